//! Client-side types: validation before a write, fallbacks on read.

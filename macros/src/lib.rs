//! Derive macros for schema types.

//! What is right, said as plainly as possible: slow, without indexes, outside the engine.
//!
//! `merge` says which facts are visible after a set of changes; `eval` what a program answers
//! over a set of facts. The rest are its parts. Where an answer of the engine differs from one of
//! these, one of the two has a bug, and the definition in the design decides which.

pub mod aggregate;
mod dates;
pub mod eval;
pub mod find;
pub mod functions;
mod inputs;
pub mod merge;
mod pattern;
pub mod pull;

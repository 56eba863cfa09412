//! The judge of the other crates: oracles, generators and named workloads for tests and benches.
//!
//! What is judged here is judged by something slow and obvious that shares no algorithm with it:
//! of the engine, only its data types (values, facts, operations, programs, answers) are used.
//! Modules in reading order: what a case is made of (`random`, `tree`, `text`), what is right
//! (`oracle`, `sql`, `datascript`), what is tried (`generate`, `workload`), and how a failure is told (`case`,
//! `minimize`, `shrink`). `seeds` is what the fuzzers share. `sim` plays whole systems. What is judged, the engine, appears in `subject` alone.

pub mod case;
pub mod datascript;
pub mod fuzz;
pub mod generate;
pub mod live;
pub mod minimize;
pub mod oracle;
pub mod random;
pub mod seeds;
mod shrink;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "system")]
pub mod sql;
pub mod subject;
pub mod text;
pub mod tree;
pub mod workload;

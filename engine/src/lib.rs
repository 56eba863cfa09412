//! Facts, merge, Datalog evaluation and live queries: a deterministic function without I/O.
//!
//! The engine reads no clock, draws no randomness, starts no thread and touches no file or socket:
//! time, replica ids and budgets arrive as arguments. That is why server, client and browser share
//! it, and why it can be simulated. Modules in reading order, lowest layer first.

pub mod ids;
#[doc(hidden)]
pub mod planted;
pub mod value;
pub mod hlc;
pub mod fact;
pub mod commit;
pub mod codec;
pub mod intern;
mod merge;
pub mod delta;
pub mod fingerprint;
pub mod store;
pub mod program;
pub mod limits;
mod sort;
pub mod error;
pub mod answer;
pub mod profile;
mod plan;
mod eval;
mod live;
pub mod db;

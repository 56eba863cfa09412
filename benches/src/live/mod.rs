//! Live queries: what a write costs beyond the write, and what subscriptions cost.
//!
//! The timed unit is the engine: [`Db::publish`](tercet_engine::db::Db::publish) of a successor
//! that was prepared outside. Beside the database with subscriptions stands one without, which
//! publishes the same successors in turns with it; what it takes is subtracted. Writes differ from
//! each other, and rows come and go; what the updates say is compared with fresh evaluations
//! outside of what is timed, and a difference fails the run. Modules: `write` (successors), `watch`
//! (the two databases), `check` (of the updates), `tasks`, `traffic` and `shapes` (an application
//! with 100 kinds of subscriptions), then the benchmarks: `route` and `memory` (100,000
//! subscriptions), `single` (one over many facts), `beside` (recursion and triangles, beside
//! differential-dataflow, whose writes are in `edges`).

pub mod write;
pub mod watch;
pub mod check;
pub mod tasks;
pub mod traffic;
pub mod shapes;
pub mod route;
pub mod memory;
pub mod single;
pub mod edges;
pub mod beside;

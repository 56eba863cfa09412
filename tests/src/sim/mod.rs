//! Deterministic simulation of sync: the real peers, and everything around them made up.
//!
//! A seed decides a [`Plan`]: tenants, servers, clients, what they subscribe to and write, and what
//! fails. [`run`] plays it in one thread and virtual time. What is real are
//! [`Tenant`](tercet_sync::Tenant) and [`ClientPeer`](tercet_sync::ClientPeer) with the engine in
//! them, and the codecs; sockets, disks, clocks and processes are simulated. First things fail and
//! everything that must hold at every moment is checked; then nothing fails any more and everything
//! must come to rest.
//!
//! Modules in reading order: `plan` and `faults` (what a run is made of), `world` (what happens
//! next), `network`, `server`, `client` (the shells around the peers), `program` (what a client's
//! program does and may see), `import` (a caller of HTTP), `question` (what is asked), `strike`
//! (what faults do), `witness` (the log, and who reads along), `checks` (what else must hold),
//! `broken` (the invariants by name), `paths` (what must have been reached), `trace`.
//!
//! Left out: rooms and permissions on reading, which sync does not have yet; real sockets and
//! files, which the end-to-end and crash tests have.

pub mod broken;
mod checks;
mod client;
pub mod faults;
mod import;
mod network;
pub mod paths;
pub mod plan;
mod program;
mod question;
mod server;
mod strike;
mod trace;
mod witness;
mod world;

pub use broken::{Broken, Invariant};
pub use paths::{Path, Paths};
pub use plan::Plan;

use crate::minimize::{catch, minimize};
use world::World;

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first thing that did not hold.
    pub broken: Option<Broken>,
    /// What was reached.
    pub paths: Paths,
    /// The whole story as a number.
    pub hash: u64,
    /// How many milliseconds passed in the run.
    pub elapsed_ms: u64,
}

/// Plays a plan. `is_loud` prints the story to the standard error.
pub fn run(plan: Plan, is_loud: bool) -> Outcome {
    let played = catch(|| play(plan, is_loud));
    played.unwrap_or_else(|panic| {
        let broken = Broken { invariant: Invariant::Panic, at_ms: 0, text: panic };
        Outcome { broken: Some(broken), paths: Paths::default(), hash: 0, elapsed_ms: 0 }
    })
}

fn play(plan: Plan, is_loud: bool) -> Outcome {
    let mut world = World::new(plan, is_loud);
    world.run_with_faults();
    if world.broken.is_none() {
        world.heal();
        world.run_to_rest();
    }
    if world.broken.is_none() {
        world.check_end();
    }
    let elapsed_ms = world.elapsed_ms();
    Outcome { broken: world.broken, paths: world.paths, hash: world.trace.hash(), elapsed_ms }
}

/// Plays a plan twice, and demands the same story.
pub fn run_twice(plan: Plan) -> Outcome {
    let (first, second) = (run(plan, false), run(plan, false));
    if first == second {
        return first;
    }
    let text = format!("hashes {:016x} and {:016x}", first.hash, second.hash);
    let broken = Broken { invariant: Invariant::Deterministic, at_ms: 0, text };
    Outcome { broken: Some(broken), ..first }
}

/// A smaller plan of the same seed in which the same thing does not hold.
pub fn shrink(plan: Plan, broken: &Broken) -> Plan {
    let is_alike = |plan: &Plan| {
        let outcome = match broken.invariant {
            Invariant::Deterministic => run_twice(*plan),
            _ => run(*plan, false),
        };
        outcome.broken.is_some_and(|other| other.invariant == broken.invariant)
    };
    minimize(plan, Plan::smaller, is_alike)
}

//! Whole systems in virtual time: a thousand seeds, and the seeds that found something once.
//!
//! What this can catch is listed in `sim::Invariant`; many more seeds run by `cargo xtask sim`. A
//! failing seed is told with the command that replays it and with a smaller plan.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use tercet_tests::seeds::Options;
use tercet_tests::sim::{Paths, Plan, run, run_twice, shrink};

/// How many seeds are tried here.
const N_SEEDS: u64 = 1_000;

fn check(plan: Plan) -> Paths {
    let outcome = if plan.seed.is_multiple_of(50) { run_twice(plan) } else { run(plan, false) };
    if let Some(broken) = &outcome.broken {
        let small = shrink(plan, broken);
        panic!(
            "seed {}: {broken}\nreplay: cargo xtask sim --seeds 1 --start {}\n\
             smaller: cargo xtask sim --plan \"{small}\"",
            plan.seed, plan.seed
        );
    }
    outcome.paths
}

#[test]
fn whatever_fails_everyone_ends_with_the_same() {
    let n_jobs = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let paths = Mutex::new(Paths::default());
    Options { n_cases: N_SEEDS, seed: 0, n_jobs }.in_threads(|seeds| {
        for seed in seeds {
            let taken = check(Plan::draw(seed));
            paths.lock().unwrap().add(&taken);
        }
    });
    let missing = paths.into_inner().unwrap().missing();
    assert!(missing.is_empty(), "no seed has taken {missing:?}");
}

/// Guards against a deletion that is believed for ever: who was told of it had ended the
/// subscription when the entity was restored, and writes to it failed early from then on.
#[test]
fn a_deletion_is_forgotten_with_the_subscription_that_told_it() {
    check(
        Plan::read("seed=48 tenants=1 servers=1 clients=2 questions=1 writes=17 ms=22500 faults=")
            .unwrap(),
    );
}

/// Guards against a client that is refused until the server's time has come to the stamps of a
/// history that a restored backup has ended.
#[test]
fn stamps_of_a_lost_history_do_not_hold_the_clock() {
    check(
        Plan::read(
            "seed=39 tenants=1 servers=2 clients=1 questions=0 writes=1 ms=90000 tight=0 \
             faults=crash-mid,twin,jump,full,restore",
        )
        .unwrap(),
    );
}

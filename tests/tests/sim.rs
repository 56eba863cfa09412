//! Whole systems in virtual time: a thousand seeds.
//!
//! What this can catch is listed in `sim::Invariant`; many more seeds run by `cargo xtask sim`. A
//! failing seed is told with the command that replays it and with a smaller plan. What seeds have
//! found is guarded by tests where it was wrong, because what a seed means changes with the
//! generators.
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

/// Guards against a write that waits for hours: the time of its next try was never reached by a
/// clock that had been set back meanwhile.
#[test]
fn a_clock_that_is_set_back_holds_up_no_write() {
    check(
        Plan::read(
            "seed=102249 tenants=1 servers=1 clients=2 questions=0 writes=0 ms=10000 tight=0 \
             faults=jump,full",
        )
        .unwrap(),
    );
}

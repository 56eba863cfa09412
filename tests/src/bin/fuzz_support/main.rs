//! Many partial replicas, judged: `fuzz_support --cases N --seed S --jobs J`.
//!
//! Started by `cargo xtask fuzz-support`, in release mode. The last line is `N passed, M failed`;
//! each failure is told in full, made small, with the command that replays it. A run stops early
//! after some failures.
#![allow(clippy::print_stdout, reason = "it reports to the person who started it")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Result;
use tercet_tests::live::replica::{Tally, try_replicas};
use tercet_tests::random::Random;
use tercet_tests::seeds::{FAILURES_MAX, Options};

/// What all threads have seen so far.
#[derive(Default)]
struct Seen {
    tally: Tally,
    n_passed: u64,
    n_failed: usize,
}

fn main() -> Result<ExitCode> {
    let seen = Mutex::new(Seen::default());
    let start = Instant::now();
    Options::from_args()?.in_threads(|seeds| {
        for seed in seeds {
            let outcome = try_replicas(&mut Random::of_case(seed));
            let mut seen = seen.lock().expect("no thread panics with it");
            if seen.n_failed >= FAILURES_MAX {
                return;
            }
            match outcome {
                Ok(tally) => {
                    seen.tally.add(&tally);
                    seen.n_passed += 1;
                }
                Err(text) => {
                    println!("== seed {seed} failed\n{text}");
                    println!("replay: cargo xtask fuzz-support --cases 1 --seed {seed}\n");
                    seen.n_failed += 1;
                }
            }
            let n_done = seen.n_passed + seen.n_failed as u64;
            if n_done.is_multiple_of(10_000) {
                println!("{n_done} cases, {} s", start.elapsed().as_secs());
            }
        }
    });
    let Seen { tally, n_passed, n_failed } = seen.into_inner().expect("no thread panics with it");
    let [delta, tables, rerun] = tally.n_in_tier;
    println!(
        "{} answers of replicas compared, {} with rows, {} of windows with an edge; supports have {:.1} % of the facts; \
         {} changes of kept supports ({delta} by deltas, {tables} by tables, {rerun} evaluated \
         again); {} questions left out",
        tally.n_answers,
        tally.n_with_rows,
        tally.n_edges,
        tally.n_held as f64 * 100.0 / tally.n_facts.max(1) as f64,
        tally.n_changes,
        tally.n_void,
    );
    println!("{:.1} s", start.elapsed().as_secs_f64());
    println!("{n_passed} passed, {n_failed} failed");
    Ok(if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

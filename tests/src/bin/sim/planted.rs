//! Planted bugs: how strong the simulation is, is how soon it finds each of them.
//!
//! Each bug is played alone, seed after seed, until an invariant breaks. The table tells which one
//! broke first and after how many seeds; a bug that many seeds do not find is a hole in the checks,
//! not luck.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tercet_engine::planted as engine;
use tercet_sync::planted as peers;
use tercet_tests::sim::{Broken, Plan, run};

/// How many seeds a bug may survive.
const SEEDS_MAX: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bug {
    Engine(engine::Bug),
    Peers(peers::Bug),
}

impl Bug {
    fn all() -> Vec<Bug> {
        let of_engine = engine::Bug::ALL.iter().copied().map(Bug::Engine);
        of_engine.chain(peers::Bug::ALL.iter().copied().map(Bug::Peers)).collect()
    }

    fn name(self) -> String {
        match self {
            Bug::Engine(bug) => format!("{bug:?}"),
            Bug::Peers(bug) => format!("{bug:?}"),
        }
    }

    fn plant(self) {
        match self {
            Bug::Engine(bug) => engine::plant(Some(bug)),
            Bug::Peers(bug) => peers::plant(Some(bug)),
        }
    }

    /// After how many seeds it breaks something, and what.
    fn hunt(self, start: u64) -> Option<(u64, Broken)> {
        self.plant();
        let seeds = start..start + SEEDS_MAX;
        let found =
            seeds.zip(1..).find_map(|(seed, n)| Some((n, run(Plan::draw(seed), false).broken?)));
        engine::plant(None);
        peers::plant(None);
        found
    }
}

/// Hunts all bugs, or those whose name contains a text, and prints the table.
pub(crate) fn hunt_all(start: u64, n_jobs: u64, filter: Option<&str>) -> ExitCode {
    let mut bugs = Bug::all();
    bugs.retain(|bug| filter.is_none_or(|filter| bug.name().contains(filter)));
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..n_jobs {
            scope.spawn(|| {
                while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = bug.hunt(start);
                    println!("{}", row(*bug, found.as_ref()));
                    rows.lock().expect("no thread panics with it").push(found.is_some());
                }
            });
        }
    });
    let rows = rows.into_inner().expect("no thread panics with it");
    let n_caught = rows.iter().filter(|is_caught| **is_caught).count();
    println!("{n_caught} passed, {} failed", rows.len() - n_caught);
    if n_caught == rows.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn row(bug: Bug, found: Option<&(u64, Broken)>) -> String {
    let name = bug.name();
    match found {
        None => format!("{name:<26} NOT CAUGHT within {SEEDS_MAX} seeds"),
        Some((n, broken)) => {
            let invariant = format!("{:?}", broken.invariant);
            let text: String = broken.text.chars().take(90).collect();
            format!("{name:<26} {invariant:<14} {n:>6} seeds  {text}")
        }
    }
}

//! The core of merge and sync as models of which every state is visited.
//!
//! A model leaves out everything but the rule it is about, and so can be tried in every order, with
//! every loss and every crash, within its bounds; the simulation (`cargo xtask sim`) plays the real
//! code in some of them. `merge`: operations in any order. `push`: pushes, answers and resumption
//! over connections that break and processes that die. `overlay`: pending writes over confirmed
//! ones, rejected, refused and stamped anew. Each has mutants, which must be caught: a property
//! that no mutant breaks says nothing.

mod merge;
mod overlay;
mod push;

use std::process::ExitCode;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What became of a model.
struct Report {
    n_states: usize,
    /// The properties that do not hold, with the shortest way there.
    broken: Vec<String>,
}

/// Visits all states of a model.
fn check<Checked>(model: Checked) -> Report
where
    Checked: Model + Send + Sync + 'static,
    Checked::State: std::fmt::Debug + Clone + std::hash::Hash + PartialEq + Send + Sync,
    Checked::Action: std::fmt::Debug + Clone + PartialEq + Send + Sync,
{
    let properties = model.properties();
    let until = HasDiscoveries::AnyFailures;
    let checker = model.checker().threads(2).finish_when(until).spawn_bfs().join();
    let found = checker.discoveries();
    let broken = properties.iter().filter_map(|property| {
        let path = found.get(property.name);
        match (&property.expectation, path) {
            (Expectation::Sometimes, None) => Some(format!("never: {}", property.name)),
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                Some(format!("{} after {} steps", property.name, path.clone().into_actions().len()))
            }
            _ => None,
        }
    });
    let mut broken: Vec<String> = broken.collect();
    // A search that has found a failure ends before it has reached everything.
    if broken.iter().any(|text| !text.starts_with("never")) {
        broken.retain(|text| !text.starts_with("never"));
    }
    Report { n_states: checker.unique_state_count(), broken }
}

/// Checks a model that must hold and its mutants, which must not. Whether all is as it should be.
fn run<Checked, Mutant>(
    name: &str,
    mutants: &[Mutant],
    model: impl Fn(Option<Mutant>) -> Checked,
) -> (u64, u64)
where
    Mutant: Copy + std::fmt::Debug,
    Checked: Model + Send + Sync + 'static,
    Checked::State: std::fmt::Debug + Clone + std::hash::Hash + PartialEq + Send + Sync,
    Checked::Action: std::fmt::Debug + Clone + PartialEq + Send + Sync,
{
    let begin = Instant::now();
    let Report { n_states, broken } = check(model(None));
    let seconds = begin.elapsed().as_secs_f64();
    let verdict = if broken.is_empty() { "holds".to_owned() } else { broken.join("; ") };
    println!("{name:<10} {n_states:>9} states {seconds:>6.1} s  {verdict}");
    let (mut n_passed, mut n_failed) = (0, 0);
    let mut count = |is_right: bool| match is_right {
        true => n_passed += 1,
        false => n_failed += 1,
    };
    count(broken.is_empty());
    for mutant in mutants {
        let Report { n_states, broken } = check(model(Some(*mutant)));
        let verdict = if broken.is_empty() { "NOT CAUGHT".to_owned() } else { broken.join("; ") };
        println!("  {:<26} {n_states:>9} states  {verdict}", format!("{mutant:?}"));
        count(!broken.is_empty());
    }
    (n_passed, n_failed)
}

fn main() -> ExitCode {
    let counts = [
        run("merge", merge::Mutant::ALL, merge::Merge::new),
        run("push", push::Mutant::ALL, push::Sync::new),
        run("overlay", overlay::Mutant::ALL, overlay::Overlay::new),
    ];
    let (n_passed, n_failed) =
        counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    println!("{n_passed} passed, {n_failed} failed");
    if n_failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

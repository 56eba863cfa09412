//! The `test` task: everything that must be green before a change lands.
//!
//! It is plain `cargo test`, on every machine, so that nothing has to be installed: unit, golden,
//! property, end-to-end and doc tests in one build, after format and lints. Each runner's own
//! summary is passed on, and the last line adds them up. Lints and tests use the dev profile and
//! the whole workspace, so that one set of dependencies serves both.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{command, setup};

/// Arguments of the `test` task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this; leaves out format and lints.
    filter: Option<String>,
}

/// How many checks went well and how many did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// The outcome of one check that is either green or not.
    fn of_one(success: bool) -> Tally {
        Tally { passed: u64::from(success), failed: u64::from(!success), ignored: 0 }
    }

    fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// One step, as the closing table shows it.
struct Step {
    name: &'static str,
    tally: Tally,
    time: Duration,
}

/// Runs all steps, also after one has failed, and adds them up.
///
/// # Errors
/// When anything failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_for_tests()?;
    let mut steps = Vec::new();
    if options.filter.is_none() {
        steps.push(timed("format", check_format)?);
        steps.push(timed("lints", check_lints)?);
    }
    steps.push(timed("tests", || run_tests(options))?);
    let total = report(&steps);
    if total.failed > 0 {
        bail!("{} of {} checks failed", total.failed, total.passed + total.failed);
    }
    if total.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn timed(name: &'static str, step: impl FnOnce() -> Result<Tally>) -> Result<Step> {
    println!("\n== {name}");
    let start = Instant::now();
    let tally = step()?;
    Ok(Step { name, tally, time: start.elapsed() })
}

fn check_format() -> Result<Tally> {
    let status = command::status(command::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Tally::of_one(status.success()))
}

fn check_lints() -> Result<Tally> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let status = command::status(command::cargo().args(arguments))?;
    Ok(Tally::of_one(status.success()))
}

/// Runs every test. A run that fails without a failed test (it did not compile, or a process
/// died) counts as one failure.
fn run_tests(options: &Options) -> Result<Tally> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    cargo.args(options.filter.as_deref());
    let mut tally = Tally::default();
    let status = command::stream(&mut cargo, |line| tally.add(read_summary(line)))?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// The counts in `test result: ok. 5 passed; 0 failed; 1 ignored; …`; nothing in other lines.
fn read_summary(line: &str) -> Tally {
    let mut tally = Tally::default();
    let Some(counts) = line.trim_start().strip_prefix("test result: ") else { return tally };
    for count in counts.split([';', '.']) {
        let Some((number, what)) = count.trim().split_once(' ') else { continue };
        let Ok(number) = number.parse() else { continue };
        match what {
            "passed" => tally.passed = number,
            "failed" => tally.failed = number,
            "ignored" => tally.ignored = number,
            _ => {}
        }
    }
    tally
}

/// Prints a line for each step and then the total, alone on the last line.
fn report(steps: &[Step]) -> Tally {
    let mut total = Tally::default();
    println!();
    for Step { name, tally, time } in steps {
        total.add(*tally);
        let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
        let Tally { passed, failed, .. } = tally;
        let seconds = time.as_secs();
        println!("{name:<8} {verdict:<6} {passed:>6} passed {failed:>4} failed {seconds:>5} s");
    }
    println!();
    let Tally { passed, failed, ignored } = total;
    if ignored > 0 {
        println!("{passed} passed, {failed} failed, {ignored} skipped");
    } else {
        println!("{passed} passed, {failed} failed");
    }
    total
}

#[cfg(test)]
mod tests {
    use super::{Tally, read_summary};

    #[test]
    fn reads_the_summary_of_cargo_test() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 7 filtered \
                    out; finished in 0.12s";
        assert_eq!(read_summary(line), Tally { passed: 12, failed: 3, ignored: 1 });
        let line = "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(read_summary(line), Tally { passed: 5, failed: 0, ignored: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in ["", "running 5 tests", "test a ... ok", "all doctests ran in 0.3s; 5 passed"] {
            assert_eq!(read_summary(line), Tally::default(), "{line}");
        }
    }

    #[test]
    fn a_step_is_one_check() {
        let mut total = Tally::of_one(true);
        total.add(Tally::of_one(false));
        assert_eq!(total, Tally { passed: 1, failed: 1, ignored: 0 });
    }
}

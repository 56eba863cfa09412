//! The `fuzz-live` task: many random trials of live queries, followed step by step by the oracle.
//!
//! This file builds the fuzzer and starts it; the fuzzer, which makes trials and judges them, is
//! `tests/src/bin/fuzz_live`, because it knows the engine. It is built in release mode and without
//! the rest of the system, so that the build is short and the run is many trials.

use anyhow::Result;

use crate::{command, setup};

/// Arguments of the `fuzz-live` task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many trials.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// The first trial's seed; the others follow it. A failure prints its own, to replay it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many at a time; as many as there are processors, if not said.
    #[arg(long)]
    jobs: Option<usize>,
}

/// Builds the fuzzer, then runs it.
///
/// # Errors
/// When it cannot be built, or a live result was wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_for_build()?;
    let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--package", "tercet-tests", "--no-default-features"]);
    cargo.args(["--bin", "fuzz_live", "--"]);
    cargo.args(["--cases", &options.cases.to_string()]);
    cargo.args(["--seed", &options.seed.to_string()]);
    cargo.args(["--jobs", &options.jobs.unwrap_or(n_processors).to_string()]);
    command::run(&mut cargo)
}

//! The `fuzz-query` and `fuzz-live` tasks: many random cases for the engine, judged by the oracle.
//!
//! This file builds a fuzzer and starts it; the fuzzers, which make cases and judge them, are
//! `tests/src/bin/fuzz_*`, because they know the engine. They are built in release mode and without
//! the rest of the system, so that the build is short and the run is many cases.

use anyhow::Result;

use crate::{command, setup};

/// Arguments of a fuzzing task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many cases.
    #[arg(long, default_value_t = 10_000)]
    cases: u64,
    /// The first case's seed; the others follow it. A failure prints its own, to replay it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many at a time; as many as there are processors, if not said.
    #[arg(long)]
    jobs: Option<usize>,
}

/// Builds the fuzzer of this name, then runs it.
///
/// # Errors
/// When it cannot be built, or a case went wrong.
pub(crate) fn run(fuzzer: &str, options: &Options) -> Result<()> {
    setup::ensure_for_build()?;
    if fuzzer == "fuzz_query" {
        setup::install_datascript();
    }
    let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--package", "tercet-tests", "--no-default-features"]);
    cargo.args(["--bin", fuzzer, "--"]);
    cargo.args(["--cases", &options.cases.to_string()]);
    cargo.args(["--seed", &options.seed.to_string()]);
    cargo.args(["--jobs", &options.jobs.unwrap_or(n_processors).to_string()]);
    command::run(&mut cargo)
}

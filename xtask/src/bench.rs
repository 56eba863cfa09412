//! The `bench` task: runs the benches crate in release mode. The workloads, the table and the
//! JSON are that crate's.

use std::path::PathBuf;

use anyhow::Result;

use crate::{command, setup};

/// Arguments of the `bench` task, handed on as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only benchmarks whose id contains this.
    #[arg(long)]
    only: Option<String>,
    /// Also write the rows as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Builds and runs the benchmarks.
///
/// # Errors
/// When they cannot be built, or fail.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_for_build()?;
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--package", "tercet-benches", "--"]);
    if let Some(name) = &options.only {
        cargo.arg("--only").arg(name);
    }
    if let Some(file) = &options.json {
        cargo.arg("--json").arg(file);
    }
    command::run(&mut cargo)
}

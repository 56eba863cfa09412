//! The `sim` task: whole systems played in virtual time, many seeds; and the planted bugs that
//! show how strong that is.
//!
//! This file builds the simulation and starts it; the simulation is `tests/src/sim`, because it
//! knows the peers. It is built in release mode and without the rest of the system; with planted
//! bugs it is another build of the engine and the peers.

use anyhow::Result;

use crate::{command, setup};

/// Arguments of the `sim` task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed; the others follow it. A failure prints its own, to replay it.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many at a time; as many as there are processors, if not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Play one plan, as a failure prints it, and tell its story.
    #[arg(long)]
    plan: Option<String>,
    /// Plant bugs, one at a time, and count the seeds that find them: all, or those whose name
    /// contains this.
    #[arg(long, num_args = 0..=1, default_missing_value = "all")]
    planted: Option<String>,
}

/// Builds the simulation, then runs it.
///
/// # Errors
/// When it cannot be built, or a seed failed, or a planted bug was not found.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_for_build()?;
    let features = if options.planted.is_some() { "planted" } else { "sim" };
    let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--package", "tercet-tests", "--no-default-features"]);
    cargo.args(["--features", features, "--bin", "sim", "--"]);
    cargo.args(["--seeds", &options.seeds.to_string()]);
    cargo.args(["--start", &options.start.to_string()]);
    cargo.args(["--jobs", &options.jobs.unwrap_or(n_processors).to_string()]);
    if let Some(plan) = &options.plan {
        cargo.args(["--plan", plan]);
    }
    if let Some(filter) = &options.planted {
        cargo.args(["--planted", filter]);
    }
    command::run(&mut cargo)
}

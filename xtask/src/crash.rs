//! The `crash` task: `kill -9` of a real server during acknowledged writes, many times.
//!
//! This file builds the server and the driver and starts the driver; the driver, which writes,
//! kills, restarts and audits, is `tests/src/bin/crash.rs`, because it speaks to the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{command, setup};

/// Arguments of the `crash` task.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the server is killed.
    #[arg(long, default_value_t = 10)]
    trials: u32,
    /// How many writes there are in a trial; the kill comes at a random one.
    #[arg(long, default_value_t = 200)]
    writes: u32,
    /// What the random moments come from; the driver prints it, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// Build and kill the release build instead of the debug build.
    #[arg(long)]
    release: bool,
}

/// Builds both programs, then runs the driver.
///
/// # Errors
/// When they cannot be built, or an acknowledged write was lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::ensure_for_build()?;
    let mut cargo = command::cargo();
    cargo.args(["build", "--workspace", "--bin", "tercet", "--bin", "crash"]);
    if options.release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    let programs = program_directory(options.release)?;
    let mut driver = std::process::Command::new(programs.join("crash"));
    driver.arg("--server").arg(programs.join("tercet"));
    driver.args(["--trials", &options.trials.to_string()]);
    driver.args(["--writes", &options.writes.to_string()]);
    if let Some(seed) = options.seed {
        driver.args(["--seed", &seed.to_string()]);
    }
    command::run(&mut driver)
}

/// Where cargo put the programs: beside this one, which is of the dev profile, or in the release
/// profile's directory next to that.
fn program_directory(release: bool) -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let debug = here.parent().context("this program has no directory")?;
    if !release {
        return Ok(debug.to_owned());
    }
    let Some(target) = debug.parent() else { bail!("{} has no parent", debug.display()) };
    Ok(Path::new(target).join("release"))
}

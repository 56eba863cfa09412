//! The `bench` task: runs the benches crate in release mode. The workloads, the table and the
//! JSON are that crate's.
//!
//! The engines to compare with are a crate outside the workspace, built here and nowhere else,
//! into a directory of their own so that they are not built again for every change of ours.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{command, setup};

/// Where the benches look for the program of the other engines.
const PEERS_VARIABLE: &str = "TERCET_PEERS";

/// Arguments of the `bench` task, handed on as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only benchmarks whose id contains this.
    #[arg(long)]
    only: Option<String>,
    /// Also write the rows as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Live queries in small: shows that they work, and no number means anything.
    #[arg(long)]
    small: bool,
    /// Compare with nobody: do not build the other engines.
    #[arg(long)]
    alone: bool,
}

/// Builds and runs the benchmarks.
///
/// # Errors
/// When they cannot be built, or fail.
pub(crate) fn run(options: &Options, root: &Path) -> Result<()> {
    setup::ensure_for_build()?;
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--package", "tercet-benches"]);
    if options.only.as_deref().is_some_and(is_of_the_engine) {
        // Without server, client and libSQL it is built much sooner.
        cargo.arg("--no-default-features");
    }
    cargo.arg("--");
    if let Some(name) = &options.only {
        cargo.arg("--only").arg(name);
    }
    if let Some(file) = &options.json {
        cargo.arg("--json").arg(file);
    }
    if options.small {
        cargo.arg("--small");
    }
    if !options.alone {
        cargo.env(PEERS_VARIABLE, build_peers(root)?);
    }
    command::run(&mut cargo)
}

/// Whether no benchmark whose id begins so needs more than the engine and its language.
fn is_of_the_engine(only: &str) -> bool {
    ["query", "store", "live"].into_iter().any(|kind| only.starts_with(kind))
}

/// Builds the other engines, and says where their program is.
fn build_peers(root: &Path) -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let target = here.ancestors().nth(2).context("this program is in no target directory")?;
    let target = target.join("peers");
    let mut cargo = command::cargo();
    cargo.args(["build", "--release", "--manifest-path"]);
    cargo.arg(root.join("benches/peers/Cargo.toml")).arg("--target-dir").arg(&target);
    command::run(&mut cargo)?;
    Ok(target.join("release").join("tercet-peers"))
}

#[cfg(test)]
mod tests {
    use super::is_of_the_engine;

    #[test]
    fn benchmarks_of_the_engine_are_built_alone() {
        assert!(is_of_the_engine("query") && is_of_the_engine("query.people.q5"));
        assert!(is_of_the_engine("store.bytes") && is_of_the_engine("live.route"));
        assert!(!is_of_the_engine("sync"));
        assert!(!is_of_the_engine(""));
    }
}

//! The `model` task: the core of merge and sync as models, of which every state is visited.
//!
//! The models and their checker are a crate of their own outside the workspace, so that nobody else
//! compiles the checker.

use std::path::Path;

use anyhow::Result;

use crate::{command, setup};

/// Builds the models, then visits all their states, and those of their mutants.
///
/// # Errors
/// When they cannot be built, a property does not hold, or a mutant is not caught.
pub(crate) fn run(repository: &Path) -> Result<()> {
    setup::ensure_for_build()?;
    let manifest = repository.join("models").join("Cargo.toml");
    let mut cargo = command::cargo();
    cargo.args(["run", "--release", "--manifest-path"]).arg(manifest);
    command::run(&mut cargo)
}

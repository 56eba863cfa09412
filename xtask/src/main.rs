//! Project tasks, as `cargo xtask NAME`. Each spawns programs; none links a crate of ours.

mod data;

use std::path::Path;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project tasks.")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    Data(data::DataArgs),
}

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match Cli::parse().task {
        Task::Data(args) => data::run(&args, &root.canonicalize()?),
    }
}

//! Project tasks, as `cargo xtask NAME`: tests, benchmarks, data sets, the crash test.
//!
//! They are a Rust program because a task then runs alike on every machine that can build Tercet,
//! without a shell or another task runner. xtask only spawns programs: what needs to know Tercet
//! lives in the crate that knows it, and this one depends on none of ours, so that it is built in
//! seconds. Modules: one for each task, and `command` for spawning.
#![allow(clippy::print_stdout, reason = "a task talks to the person who started it")]

mod bench;
mod command;
mod crash;
mod data;
mod fuzz;
mod setup;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Project tasks of Tercet.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run everything that must be green: format, lints, and all tests.
    Test(test::Options),
    /// Install what the tests need beyond Rust, where it is missing.
    Setup,
    /// Obtain data sets that are too large for the repository.
    Data(data::DataArgs),
    /// Run the benchmarks in release mode and print them as a table.
    Bench(bench::Options),
    /// Kill the server again and again during writes; check that nothing acknowledged is lost.
    Crash(crash::Options),
    /// Ask the query engine many random questions; check every answer.
    FuzzQuery(fuzz::Options),
    /// Follow live queries through many random histories; check every step.
    FuzzLive(fuzz::Options),
    /// Give partial replicas the supports of queries; check every answer of theirs.
    FuzzSupport(fuzz::Options),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Setup => setup::run(),
        Task::Data(options) => data::run(&options, &repository()),
        Task::Bench(options) => bench::run(&options, &repository()),
        Task::Crash(options) => crash::run(&options),
        Task::FuzzQuery(options) => fuzz::run("fuzz_query", &options),
        Task::FuzzLive(options) => fuzz::run("fuzz_live", &options),
        Task::FuzzSupport(options) => fuzz::run("fuzz_support", &options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The top of the repository: the directory above this package's.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}

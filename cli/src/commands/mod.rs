//! The subcommands, each with its options, its help and what it does.

pub(crate) mod apps;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod import;
mod prompt;
pub(crate) mod query;
pub(crate) mod serve;
pub(crate) mod watch;

use anyhow::Result;

use crate::cli::Command;

/// Does what the command line asks.
///
/// # Errors
/// Whatever went wrong, for the person who asked.
pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(options) => demo::run(options).await,
        Command::Serve(options) => serve::run(options).await,
        Command::Apps(options) => apps::run(options).await,
        Command::Import(options) => import::run(options).await,
        Command::Export(options) => export::run(options).await,
        Command::Query(options) => query::run(options).await,
        Command::Watch(options) => watch::run(options).await,
    }
}

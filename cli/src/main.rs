//! The `tercet` command: a server, a demo of it, and everyday work with its data from a shell.
//!
//! Each subcommand is a file in `commands` that holds its options, its help and what it does. It
//! speaks to a server over the same HTTP and WebSocket as every other program does (`api`), so it
//! can do nothing that a user's own program could not. Results go to standard output, everything
//! told to a person (progress, counts, hints) to standard error, so that output can be piped.
//!
//! In reading order: `cli` lists the subcommands; `connection` holds the flags they share; `api`
//! is the HTTP caller, `live` the client of live queries, `hosting` a server in this process;
//! `failure` is an error with a hint; `table`, `brackets`, `progress` and `output` are what a
//! terminal needs; `commands` is the rest.

mod admin_token;
mod api;
mod brackets;
mod cli;
mod commands;
mod connection;
mod failure;
mod hosting;
mod live;
mod output;
mod progress;
mod query_text;
mod table;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    start_log();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::tell(&format!("error: cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::tell(&failure::render(&error));
            ExitCode::FAILURE
        }
    }
}

/// What is logged unless `TERCET_LOG` asks for something else: warnings. Those of the client are
/// left out, because the commands that use one tell its troubles themselves.
const LOG_DEFAULT: &str = "warn,tercet_client=error";

/// Logs to standard error.
fn start_log() {
    let filter =
        EnvFilter::try_from_env("TERCET_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

//! `tercet serve`: a server in the foreground.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::admin_token;
use crate::connection::{DEFAULT_DATA, DEFAULT_LISTEN};
use crate::hosting::Hosting;
use crate::output::{print, tell};

/// Options of `tercet serve`.
#[derive(Debug, Args)]
#[command(about = "Start a server")]
#[command(long_about = "\
Start a server.

It needs no other service: everything is in the data directory, one database file for each app. \
What it has acknowledged is on the disk. Ctrl-C (or the signal to terminate) stops it in order; \
being killed costs nothing but a replay at the next start.

The admin token opens the routes that make apps and keys. It is taken from --admin-token or \
TERCET_ADMIN_TOKEN; otherwise one is made at the first start and kept in the data directory, in a \
file that only its owner may read. Commands run on this machine find it there.

By default it listens on this machine only. It speaks plain HTTP: put a proxy with TLS in front \
before it listens on a network.")]
#[command(after_long_help = "\
Examples:
  tercet serve
  tercet serve --data /var/lib/tercet --listen 0.0.0.0:7878
  TERCET_LOG=info tercet serve

Then, in the same directory:
  tercet apps create blog")]
pub(crate) struct Options {
    /// Where the data is kept; made if it is missing
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_LISTEN)]
    listen: String,
    /// What opens the admin routes; the variable keeps it out of the list of processes
    #[arg(long, env = "TERCET_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
}

/// Runs `tercet serve` until it is told to end.
///
/// # Errors
/// When the address is taken, or the data cannot be opened.
pub(crate) async fn run(options: Options) -> Result<()> {
    let given = options.admin_token.filter(|token| !token.is_empty());
    let is_given = given.is_some();
    let hosting = Hosting::start(&options.listen, &options.data, given).await?;
    print(&format!("listening on {}", hosting.url()))?;
    tell(&format!("data in {}", hosting.data().display()));
    if !is_given {
        tell(&format!("admin token in {}", admin_token::path_in(hosting.data()).display()));
    }
    tell("Ctrl-C stops it");
    hosting.run_until_ended().await?;
    tell("stopped");
    Ok(())
}

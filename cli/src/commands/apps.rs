//! `tercet apps`: the admin's side of a server.
//!
//! What a script wants (an id, a key) goes alone to standard output; the rest is told beside it.

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tercet_engine::value::Date;

use crate::connection::AdminFlags;
use crate::output::{print, tell};
use crate::table;

/// Options of `tercet apps`.
#[derive(Debug, Args)]
#[command(about = "Make and list the apps of a server, and make keys for them")]
#[command(long_about = "\
Make and list the apps of a server, and make keys for them.

An app is a database of its own: its facts, its keys and its clients never meet those of another. \
These commands need the server's admin token. Only ids and keys go to standard output, so that a \
shell can catch them.")]
#[command(after_long_help = "\
Examples:
  export TERCET_APP=$(tercet apps create blog)
  export TERCET_KEY=$(tercet apps key $TERCET_APP)
  tercet apps key $TERCET_APP --role client --access read --label 'public site'
  tercet apps list")]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: AdminFlags,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make an app and print its id
    Create {
        /// A name for people; the id is the server's choice
        name: String,
    },
    /// List all apps
    List,
    /// Make a key for an app and print it: it is shown this once
    Key {
        /// The app's id
        app: String,
        /// Who will hold it
        #[arg(long, value_enum, default_value_t = Role::Server)]
        role: Role,
        /// What it allows
        #[arg(long, value_enum, default_value_t = Access::Write)]
        access: Access,
        /// A note for people on what it is for
        #[arg(long, default_value = "")]
        label: String,
    },
}

/// Who holds a key.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// A program of yours, on a machine of yours
    Server,
    /// A program that users run
    Client,
}

/// What a key allows.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Access {
    /// Queries and subscriptions
    Read,
    /// Those, and transactions
    Write,
}

/// Runs `tercet apps`.
///
/// # Errors
/// When the server refuses or cannot be reached.
pub(crate) async fn run(options: Options) -> Result<()> {
    let admin = options.connection.admin()?;
    match options.action {
        Action::Create { name } => {
            let app = admin.create_app(&name).await?;
            tell(&format!("made app `{name}`; next, a key for it: tercet apps key {app}"));
            print(&app)
        }
        Action::List => {
            let apps = admin.list_apps().await?;
            let rows: Vec<_> = apps
                .iter()
                .map(|app| vec![json!(app.app), json!(app.name), json!(time(app.created_ms))])
                .collect();
            let columns = ["app", "name", "created"].map(str::to_owned);
            print(&table::draw(&columns, &rows, None))
        }
        Action::Key { app, role, access, label } => {
            let key = admin.create_key(&app, &name_of(role), &name_of(access), &label).await?;
            tell("keep this key: it is shown this once, the server has only its hash");
            print(&key)
        }
    }
}

/// A moment in ISO-8601, or the number if the server sends one that is no date.
fn time(ms: i64) -> String {
    Date::from_ms(ms).map_or_else(|_| ms.to_string(), |date| date.to_string())
}

/// The name of a choice as the command line and the server know it.
fn name_of(choice: impl ValueEnum) -> String {
    choice.to_possible_value().expect("no choice is hidden").get_name().to_owned()
}

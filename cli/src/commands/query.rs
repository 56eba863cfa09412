//! `tercet query`: one question from the command line, or many at a prompt.
//!
//! The text is checked here before it is sent, so that an error shows the line and a caret below
//! the place, also when it comes from a script.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;
use serde_json::Value as Json;
use tercet_engine::db::LiveProfile;
use tercet_engine::profile::Profile;

use super::prompt;
use crate::api::{About, Answer, App, Question};
use crate::connection::AppFlags;
use crate::output::{harmless, print, tell};
use crate::progress::{counted, grouped};
use crate::query_text;
use crate::table;

/// Options of `tercet query`.
#[derive(Debug, Args)]
#[command(about = "Ask an app a question, or several at a prompt")]
#[command(long_about = "\
Ask an app a question, or several at a prompt.

A query is Datalog in EDN notation: what to find, and patterns [entity attribute value] whose \
variables, written ?name, must agree. Without a query a prompt opens, with a history and with \
input over several lines; \\help tells its commands. The answer is a table, or JSON with --json.

Each --input gives one name of :in its value: JSON where it is JSON (5, true, [\"a\",\"b\"], \
{\"$ref\":\"id\"}), a string otherwise. --rules names a file of rules; the query then has % in \
its :in.")]
#[command(after_long_help = "\
Examples:
  tercet query '[:find ?name (count ?p) :where [?p :post/author ?a] [?a :user/name ?name]]'
  tercet query '[:find ?e . :in ?name :where [?e :user/name ?name]]' --input Ann
  tercet query '[:find ?e :where [?e :user/name _]]' --profile
  tercet query @report.edn --rules rules.edn --json | jq '.rows[]'
  echo '[:find (count ?e) . :where [?e :user/name _]]' | tercet query -
  tercet query")]
pub(crate) struct Options {
    /// The query; @FILE is that file, - is standard input
    pub(crate) query: Option<String>,
    /// A value for the next name of :in; repeat it for each
    #[arg(long = "input", value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) inputs: Vec<String>,
    /// A file of rules, for a query with % in its :in
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Print the whole answer as one line of JSON
    #[arg(long)]
    json: bool,
    /// Show how the query would be evaluated, without asking it
    #[arg(long, conflicts_with = "profile")]
    explain: bool,
    /// Show how the query was evaluated, after its answer: rows, facts, memory and time by step
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    connection: AppFlags,
}

/// Runs `tercet query`.
///
/// # Errors
/// When the query is wrong, or the server refuses or cannot be reached.
pub(crate) async fn run(options: Options) -> Result<()> {
    let rules = options.rules.as_deref().map(query_text::read_file).transpose()?;
    let asker = Asker {
        app: options.connection.app()?,
        rules,
        inputs: options.inputs.iter().map(|text| query_text::input(text)).collect(),
        as_json: options.json,
        about: match (options.explain, options.profile) {
            (true, _) => About::Explain,
            (false, true) => About::Profile,
            (false, false) => About::Answer,
        },
    };
    match options.query {
        Some(argument) => asker.ask(&query_text::text_of(&argument)?).await,
        None => prompt::run(asker).await,
    }
}

/// Asks queries and prints their answers.
pub(crate) struct Asker {
    app: App,
    rules: Option<String>,
    inputs: Vec<Json>,
    /// Whether answers are printed as JSON.
    pub(crate) as_json: bool,
    about: About,
}

impl Asker {
    /// Checks, sends, prints.
    ///
    /// # Errors
    /// When the query is wrong, or the server refuses or cannot be reached.
    pub(crate) async fn ask(&self, text: &str) -> Result<()> {
        let query = query_text::as_sent(text);
        let checked = query_text::check(&query, self.rules.as_deref())?;
        checked.inputs(&self.inputs)?;
        let question = Question {
            query,
            rules: self.rules.clone().filter(|_| checked.takes_rules),
            inputs: self.inputs.clone(),
            about: self.about,
        };
        if self.about == About::Explain {
            let raw = self.app.ask(&question).await?;
            return if self.as_json { print(&raw.to_string()) } else { print_explained(&raw) };
        }
        let start = Instant::now();
        let (answer, raw) = self.app.query(&question).await?;
        let time = start.elapsed();
        for warning in &answer.warnings {
            tell(&format!("warning: {}", harmless(warning)));
        }
        if self.as_json {
            return print(&raw.to_string());
        }
        print_answer(&answer, time)?;
        if self.about == About::Profile { print_profile(&raw) } else { Ok(()) }
    }
}

/// Prints how a query would be evaluated, and then how it would be kept up.
fn print_explained(raw: &Json) -> Result<()> {
    print_profile(raw)?;
    let live = &raw["live"];
    if let Some(detail) = live["refused"]["detail"].as_str() {
        return print(&format!("\nas a live query: {}", harmless(detail)));
    }
    let Ok(live) = LiveProfile::deserialize(live) else { return Ok(()) }; // an older server
    let lines: Vec<String> = live.to_string().lines().map(harmless).collect();
    print(&format!("\nas a live query: {}", lines.join("\n")))
}

/// Prints the tree of an evaluation as text.
fn print_profile(raw: &Json) -> Result<()> {
    let profile = Profile::deserialize(&raw["profile"]).context("the plan has an unknown form")?;
    let lines: Vec<String> = profile.to_string().lines().map(harmless).collect();
    print(&lines.join("\n"))
}

/// Prints a scalar as it is, and everything else as a table with a line below that counts.
fn print_answer(answer: &Answer, time: Duration) -> Result<()> {
    if let ("scalar", [row]) = (answer.form.as_str(), answer.rows.as_slice())
        && let [value] = row.as_slice()
    {
        print(&table::text(value))?;
    } else if !answer.rows.is_empty() {
        let width = terminal_width();
        print(&table::draw(&answer.columns, &answer.rows, width))?;
    }
    tell(&summary(answer.rows.len(), time));
    Ok(())
}

/// The width that a table has to fit; none when it goes to a file or a program.
pub(crate) fn terminal_width() -> Option<u16> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    comfy_table::Table::new().width()
}

fn summary(n_rows: usize, time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    let rows = match n_rows {
        0 => "no rows".to_owned(),
        n => counted(n as u64, "row"),
    };
    let hidden = match n_rows.saturating_sub(table::N_ROWS_MAX) {
        0 => String::new(),
        n => format!("; the last {} are not shown, --json has all", grouped(n as u64)),
    };
    format!("{rows} ({milliseconds:.1} ms){hidden}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::summary;

    #[test]
    fn counts_rows_and_says_what_is_not_shown() {
        let time = Duration::from_micros(1_250);
        assert_eq!(summary(0, time), "no rows (1.2 ms)");
        assert_eq!(summary(1, time), "1 row (1.2 ms)");
        assert_eq!(summary(9_999, time), "9,999 rows (1.2 ms)");
        assert_eq!(
            summary(12_000, time),
            "12,000 rows (1.2 ms); the last 2,000 are not shown, --json has all"
        );
    }
}

//! `tercet watch`: a live query's result, kept on the screen or printed change by change.
//!
//! On a terminal the table is drawn anew at every change, with the rows that came and went below
//! it. Elsewhere every change is one line, first all rows there are: whoever adds the lines with
//! `+` and takes away those with `-` holds the result at any time.

use std::fmt::Write as _;
use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use serde_json::Value as Json;
use tercet_engine::answer::{Row, RowRef};

use crate::connection::AppFlags;
use crate::hosting::ended_by_user;
use crate::live::{LiveClient, Update, json_rows};
use crate::output::{print, tell};
use crate::progress::{counted, grouped};
use crate::query_text;
use crate::table;

/// How many changed rows are listed below the table; the rest is counted.
const N_CHANGES_SHOWN: usize = 12;

/// Options of `tercet watch`.
#[derive(Debug, Args)]
#[command(about = "Keep a query's result on the screen while it changes")]
#[command(long_about = "\
Keep a query's result on the screen while it changes.

The query is subscribed to: the server sends what changes, the moment it does, and after a lost \
connection goes on where it stopped. On a terminal the table is drawn anew at every change. \
Otherwise every change is one line, `+ [...]` for a row that came and `- [...]` for one that \
went, in JSON; the first lines are the rows there are at the start. Ctrl-C ends it.")]
#[command(after_long_help = "\
Examples:
  tercet watch '[:find ?name (count ?p) :where [?p :post/author ?a] [?a :user/name ?name]]'
  tercet watch '[:find ?title :in ?tag :where [?p :post/tag ?tag] [?p :post/title ?title]]' \\
      --input rust
  tercet watch @orders.edn | while read sign row; do echo \"$sign $row\"; done")]
pub(crate) struct Options {
    /// The query; @FILE is that file, - is standard input
    query: String,
    /// A value for the next name of :in; repeat it for each
    #[arg(long = "input", value_name = "VALUE", allow_hyphen_values = true)]
    inputs: Vec<String>,
    /// A file of rules, for a query with % in its :in
    #[arg(long, value_name = "FILE")]
    rules: Option<std::path::PathBuf>,
    #[command(flatten)]
    connection: AppFlags,
}

/// Runs `tercet watch` until Ctrl-C.
///
/// # Errors
/// When the query is wrong, or the server refuses it.
pub(crate) async fn run(options: Options) -> Result<()> {
    let rules = options.rules.as_deref().map(query_text::read_file).transpose()?;
    let query = query_text::as_sent(&query_text::text_of(&options.query)?);
    let checked = query_text::check(&query, rules.as_deref())?;
    let inputs: Vec<Json> = options.inputs.iter().map(|text| query_text::input(text)).collect();
    let AppFlags { server, .. } = &options.connection;
    let (app, key) = (options.connection.app_id()?, options.connection.key()?);
    let client = LiveClient::start(&server.url, app, key)?;
    let mut live = client.subscribe(&checked, &inputs).await?;
    let on_terminal = std::io::stdout().is_terminal();
    loop {
        let update = tokio::select! {
            update = live.next() => update?,
            end = ended_by_user() => return end,
        };
        if on_terminal {
            print(&screen(&update, terminal_size()))?;
        } else {
            print_lines(&update)?;
        }
    }
}

/// Columns and lines of the terminal.
fn terminal_size() -> (u16, usize) {
    let size = terminal_size::terminal_size();
    size.map_or((80, 24), |(width, height)| (width.0, usize::from(height.0)))
}

/// Prints each row that came or went, and tells when the result is the server's.
fn print_lines(update: &Update) -> Result<()> {
    for row in json_rows(&update.removed) {
        print(&format!("- {}", table::line(&row)))?;
    }
    for row in json_rows(&update.added) {
        print(&format!("+ {}", table::line(&row)))?;
    }
    if update.is_first {
        let rows = counted(update.answer.rows.len() as u64, "row");
        tell(&format!("{rows}; waiting for changes, Ctrl-C ends"));
    }
    Ok(())
}

/// The whole screen: status, table, changes. It starts with clearing what was there.
fn screen(update: &Update, (width, height): (u16, usize)) -> String {
    let mut text = String::from("\x1b[2J\x1b[H");
    let n_rows = update.answer.rows.len();
    let _ = writeln!(text, "live · {} · Ctrl-C ends", counted(n_rows as u64, "row"));
    let changes = if update.is_first { Vec::new() } else { changes(update) };
    // Status, the line that counts hidden rows, and the last line, where the cursor rests.
    let n_lines = height.saturating_sub(changes.len() + 3);
    let (table, n_shown) = draw_within(update, width, n_lines);
    text.push_str(&table);
    if n_shown < n_rows {
        let _ = write!(text, "\n… and {} more rows", grouped((n_rows - n_shown) as u64));
    }
    for line in changes {
        let _ = write!(text, "\n{line}");
    }
    text
}

/// As many rows as fit so many lines, and how many those are. Long cells are broken into several
/// lines, so this is found by trying.
fn draw_within(update: &Update, width: u16, n_lines: usize) -> (String, usize) {
    // The lines around the rows are four.
    let answer = &update.answer;
    let columns: Vec<String> = answer.columns.iter().map(|column| column.to_string()).collect();
    let mut n_shown = answer.rows.len().min(n_lines.saturating_sub(4));
    let rows: Vec<Row> = answer.rows.iter().take(n_shown).map(RowRef::to_row).collect();
    let rows = json_rows(&rows);
    loop {
        let table = table::draw(&columns, &rows[..n_shown], Some(width));
        let n_over = table.lines().count().saturating_sub(n_lines);
        if n_over == 0 || n_shown == 0 {
            return (table, n_shown);
        }
        n_shown -= n_over.div_ceil(2).min(n_shown);
    }
}

/// The rows that went, in red, and those that came, in green.
fn changes(update: &Update) -> Vec<String> {
    let removed = update.removed.iter().map(|row| ("\x1b[31m- ", row));
    let added = update.added.iter().map(|row| ("\x1b[32m+ ", row));
    let n_changes = update.removed.len() + update.added.len();
    let line = |(sign, row): (&str, &Row)| {
        let row = json_rows(std::slice::from_ref(row)).concat();
        let cells: Vec<String> = row.iter().map(table::text).collect();
        format!("{sign}{}\x1b[0m", cells.join(" · "))
    };
    let mut lines: Vec<String> = removed.chain(added).take(N_CHANGES_SHOWN).map(line).collect();
    if n_changes > lines.len() {
        lines.push(format!("… and {} more changes", grouped((n_changes - lines.len()) as u64)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tercet_engine::answer::{Answer, Output, Row, Work};
    use tercet_engine::program::raw::FindForm;
    use tercet_engine::value::Value;

    use super::{N_CHANGES_SHOWN, changes, screen};
    use crate::live::Update;

    fn row(value: impl Into<Value>) -> Row {
        vec![Output::Value(value.into())]
    }

    fn update(n_rows: i64) -> Update {
        let answer = Answer {
            columns: ["?n".into()].into(),
            form: FindForm::Relation,
            rows: (0..n_rows).map(row).collect(),
            n_without_result: 0,
            work: Work::default(),
        };
        Update {
            answer: Arc::new(answer),
            added: vec![row("new")],
            removed: vec![row("old")],
            is_first: false,
        }
    }

    #[test]
    fn a_screen_fits_the_terminal() {
        for height in [10, 24, 60] {
            let drawn = screen(&update(100), (40, height));
            assert!(drawn.lines().count() < height, "{height}: {drawn}");
            assert!(drawn.contains("more rows"), "{drawn}");
        }
        assert!(!screen(&update(3), (40, 24)).contains("more rows"));
    }

    #[test]
    fn changes_are_listed_up_to_a_number() {
        assert_eq!(changes(&update(1)), ["\x1b[31m- old\x1b[0m", "\x1b[32m+ new\x1b[0m"]);
        let mut many = update(1);
        many.added = (0..100).map(row).collect();
        let lines = changes(&many);
        assert_eq!(lines.len(), N_CHANGES_SHOWN + 1);
        assert_eq!(lines.last().map(String::as_str), Some("… and 89 more changes"));
    }
}

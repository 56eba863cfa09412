//! The prompt of `tercet query`: queries over several lines, a history, and a few commands.
//!
//! On a terminal rustyline edits the line and keeps the history in the user's state directory;
//! elsewhere (a pipe, a here-document) lines are read plainly and grouped the same way: a query
//! ends with the line that closes its brackets.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Editor, Helper};

use super::query::Asker;
use crate::brackets::{Balance, balance};
use crate::failure;
use crate::output::{print, tell};

const HELP: &str = "\
A query is typed over as many lines as it needs; it is asked when its brackets are closed.

  [:find ?e ?a ?v :where [?e ?a ?v] :order-by [?e ?a ?v] :limit 10]

Commands:
  \\a      list the attributes, with how many entities have each
  \\json   answers as JSON, or as tables again
  \\help   this text
  \\q      leave (also Ctrl-D)

Ctrl-C drops what is typed. The arrow keys walk through the history, Ctrl-R searches it.";

/// What `\a` asks.
const ATTRIBUTES: &str = "[:find ?attribute (count ?e) :where [?e ?attribute _]]";

/// What one entry at the prompt asks for.
#[derive(Debug, PartialEq, Eq)]
enum Entry<'text> {
    Nothing,
    Query(&'text str),
    Attributes,
    Json,
    Help,
    Quit,
    Unknown(&'text str),
}

impl Entry<'_> {
    fn read(text: &str) -> Entry<'_> {
        match text.trim() {
            "" => Entry::Nothing,
            "\\q" | "\\quit" => Entry::Quit,
            "\\help" | "\\h" | "\\?" => Entry::Help,
            "\\json" => Entry::Json,
            "\\a" => Entry::Attributes,
            command if command.starts_with('\\') => Entry::Unknown(command),
            query => Entry::Query(query),
        }
    }
}

/// Whether a text is an entry by itself, or goes on in the next line.
fn is_whole(text: &str) -> bool {
    text.trim_start().starts_with('\\') || balance(text) == Balance::Closed
}

/// Runs the prompt until it is left. On a terminal an error is shown and the prompt goes on.
///
/// # Errors
/// When the terminal fails; without a terminal, also when a query fails.
pub(crate) async fn run(asker: Asker) -> Result<()> {
    if std::io::stdin().is_terminal() {
        run_on_terminal(asker).await
    } else {
        run_on_lines(asker).await
    }
}

async fn run_on_terminal(mut asker: Asker) -> Result<()> {
    let config = rustyline::Config::builder().history_ignore_space(true).build();
    let mut editor: Editor<QueryHelper, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(QueryHelper));
    let history = history_path();
    if let Some(path) = &history {
        // A history that cannot be read is an empty one.
        let _ = editor.load_history(path);
    }
    tell("\\help tells what can be typed here, \\q leaves");
    loop {
        let line;
        (editor, line) = read_line(editor).await?;
        match line {
            Ok(text) => {
                if !text.trim().is_empty() {
                    editor.add_history_entry(text.trim()).context("cannot keep the history")?;
                }
                match obey(&mut asker, &text).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => tell(&failure::render(&error)),
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("cannot read from the terminal"),
        }
    }
    if let Some(path) = &history
        && let Err(error) = save_history(&mut editor, path)
    {
        tell(&format!("warning: cannot keep the history in {}: {error}", path.display()));
    }
    Ok(())
}

/// Reads one entry on a thread that may block, so that the runtime's own stay free.
async fn read_line(
    mut editor: Editor<QueryHelper, FileHistory>,
) -> Result<(Editor<QueryHelper, FileHistory>, rustyline::Result<String>)> {
    let read = move || {
        let line = editor.readline("tercet> ");
        (editor, line)
    };
    tokio::task::spawn_blocking(read).await.context("the line editor panicked")
}

fn save_history(
    editor: &mut Editor<QueryHelper, FileHistory>,
    path: &std::path::Path,
) -> rustyline::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    editor.save_history(path)
}

/// `$XDG_STATE_HOME/tercet/history`, or where that is by default; none without a home.
fn history_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/state")))?;
    Some(state.join("tercet").join("history"))
}

async fn run_on_lines(mut asker: Asker) -> Result<()> {
    let mut text = String::new();
    for line in std::io::stdin().lock().lines() {
        text.push_str(&line.context("cannot read standard input")?);
        text.push('\n');
        if !is_whole(&text) {
            continue;
        }
        if !obey(&mut asker, &text).await? {
            return Ok(());
        }
        text.clear();
    }
    if !text.trim().is_empty() {
        bail!("the last query is not whole: a bracket or a string is still open\n{text}");
    }
    Ok(())
}

/// Does what an entry asks; whether to go on.
async fn obey(asker: &mut Asker, text: &str) -> Result<bool> {
    match Entry::read(text) {
        Entry::Nothing => {}
        Entry::Query(query) => asker.ask(query).await?,
        Entry::Attributes => asker.ask(ATTRIBUTES).await?,
        Entry::Json => asker.as_json = !asker.as_json,
        Entry::Help => print(HELP)?,
        Entry::Quit => return Ok(false),
        Entry::Unknown(command) => bail!("there is no command {command}; \\help lists them"),
    }
    Ok(true)
}

/// What rustyline asks us: whether an entry is whole. It colours nothing and completes nothing.
struct QueryHelper;

impl Helper for QueryHelper {}

impl Completer for QueryHelper {
    type Candidate = String;
}

impl Hinter for QueryHelper {
    type Hint = String;
}

impl Highlighter for QueryHelper {}

impl Validator for QueryHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_whole(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, is_whole};

    #[test]
    fn entries_are_commands_or_queries() {
        assert_eq!(Entry::read("  \n"), Entry::Nothing);
        assert_eq!(Entry::read("\\q\n"), Entry::Quit);
        assert_eq!(Entry::read("\\nonsense"), Entry::Unknown("\\nonsense"));
        assert_eq!(Entry::read("[:find ?x]\n"), Entry::Query("[:find ?x]"));
    }

    #[test]
    fn a_query_goes_on_until_its_brackets_close() {
        assert!(!is_whole("[:find ?x"));
        assert!(is_whole("[:find ?x\n :where [?x :a/b _]]"));
        assert!(is_whole("\\json"));
        assert!(is_whole(""));
    }
}

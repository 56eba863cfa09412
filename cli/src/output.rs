//! Standard output for results, standard error for what is told to a person.
//!
//! `println!` panics when the reader of a pipe goes away (`tercet query … | head`), so nothing
//! here uses it: a closed pipe is an ordinary error, and [`is_closed_pipe`] knows it.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};

/// Prints a part of the result, with a line end.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}

/// Tells the person something that is not part of the result. A terminal that has gone away is
/// no reason to fail.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Ends the line on which a terminal shows the `^C` that was typed.
pub(crate) fn end_interrupted_line() {
    if io::stderr().is_terminal() {
        tell("");
    }
}

/// Whether the only thing that went wrong is that nobody reads our output any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_closed))
        && error.to_string() == "cannot write to standard output"
}

/// Text as it may be shown on a terminal: control characters, which could move the cursor or
/// worse, are written out.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            control if control.is_control() => shown.extend(control.escape_unicode()),
            plain => shown.push(plain),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\nc é"), "a\\u{1b}[2Jb\\nc é");
    }
}

//! What can be wrong with an input, and where: file, line and column, with a stable code.
//!
//! The caller acts on the variant: the input is wrong, a limit is met, or the file system failed.
//! Left out: what a server says about operations it received; that is its own answer.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A position in an input. Lines and columns count from 1; columns in bytes where lines are read
/// one by one, in characters where a format's own reader says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or what the caller called the stream.
    pub input: Arc<str>,
    /// The line; none for what concerns the whole input.
    pub line: Option<u64>,
    /// The column, where one can be named.
    pub column: Option<u64>,
}

impl Place {
    /// A whole input.
    pub fn input(name: impl Into<Arc<str>>) -> Place {
        Place { input: name.into(), line: None, column: None }
    }

    /// A line of an input.
    pub fn line(name: &Arc<str>, line: u64) -> Place {
        Place { input: name.clone(), line: Some(line), column: None }
    }

    /// The same line at a column.
    #[must_use]
    pub fn at_column(self, column: u64) -> Place {
        Place { column: Some(column), ..self }
    }

    /// A whole file.
    pub fn path(path: &Path) -> Place {
        Place::input(path.display().to_string())
    }
}

/// `file:line:column`, as far as it is known.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.input)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

/// Why an input could not be read, or an output not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A record is not what its format says.
    #[error("{at}: {message}{}", hint_text(hint))]
    Malformed {
        /// Where.
        at: Place,
        /// The stable code, the same as the server's for the same mistake.
        code: &'static str,
        /// What is wrong, without a full stop.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A line is longer than the limit.
    #[error(
        "{at}: the line has more than {n_bytes_max} bytes; split the value, or raise the limit"
    )]
    LineTooLong {
        /// Where.
        at: Place,
        /// The limit.
        n_bytes_max: usize,
    },
    /// A line is not UTF-8.
    #[error("{at}: the line is not UTF-8; convert the file first")]
    NotUtf8 {
        /// Where.
        at: Place,
    },
    /// The input does not hold what it announced.
    #[error(
        "{at}: the input announces {n_expected} {what} but holds {n_found}{}",
        if n_found < n_expected { "; it was cut short" } else { "" }
    )]
    Truncated {
        /// Where.
        at: Place,
        /// What is counted: `facts`, `words`, …
        what: &'static str,
        /// How many were announced.
        n_expected: u64,
        /// How many there are.
        n_found: u64,
    },
    /// No format has this name.
    #[error("there is no format `{name}`; formats are {known}")]
    UnknownFormat {
        /// The name.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// The format of a path cannot be told from its name.
    #[error("cannot tell the format of `{path}` from its name; name one of {known}")]
    UndetectedFormat {
        /// The path.
        path: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// The format needs another kind of input than it was given.
    #[error("format {format} reads {wanted}, `{given}` is none")]
    WrongInput {
        /// The format's name.
        format: &'static str,
        /// What it reads.
        wanted: &'static str,
        /// What it was given.
        given: String,
    },
    /// An option of an import or export makes no sense.
    #[error("{message}")]
    Option {
        /// What is wrong with it, and what to give instead.
        message: String,
    },
    /// A format cannot be written.
    #[error("format {format} is read only; formats that can be written are {known}")]
    ReadOnly {
        /// The format's name.
        format: &'static str,
        /// The names of those that can be written.
        known: String,
    },
    /// Reading or writing failed.
    #[error("{at}: {source}")]
    Io {
        /// Where.
        at: Place,
        /// What the operating system says.
        source: io::Error,
    },
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn hint_text(hint: &Option<String>) -> String {
    hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default()
}

impl FormatError {
    /// A record that is not what its format says.
    pub fn malformed(at: Place, code: &'static str, message: impl Into<String>) -> FormatError {
        FormatError::Malformed { at, code, message: message.into(), hint: None }
    }

    /// Says what to do about a malformed record; other errors say it themselves.
    #[must_use]
    pub fn with_hint(self, text: impl Into<String>) -> FormatError {
        match self {
            FormatError::Malformed { at, code, message, .. } => {
                FormatError::Malformed { at, code, message, hint: Some(text.into()) }
            }
            other => other,
        }
    }

    /// An option that makes no sense; options have no place in an input.
    pub fn option(message: impl Into<String>) -> FormatError {
        FormatError::Option { message: message.into() }
    }

    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            FormatError::Malformed { code, .. } => code,
            FormatError::LineTooLong { .. } => "line_too_long",
            FormatError::NotUtf8 { .. } => "not_utf8",
            FormatError::Truncated { .. } => "truncated",
            FormatError::UnknownFormat { .. } | FormatError::UndetectedFormat { .. } => {
                "format_unknown"
            }
            FormatError::WrongInput { .. } => "format_input",
            FormatError::Option { .. } => "format_option",
            FormatError::ReadOnly { .. } => "format_read_only",
            // What a reader of packed files says of the bytes, not the system of a file.
            FormatError::Io { source, .. } if is_damage(source) => "input_damaged",
            FormatError::Io { .. } => "io",
        }
    }

    /// Where it happened, if it concerns a place in an input.
    pub fn place(&self) -> Option<&Place> {
        match self {
            FormatError::Malformed { at, .. }
            | FormatError::LineTooLong { at, .. }
            | FormatError::NotUtf8 { at }
            | FormatError::Truncated { at, .. }
            | FormatError::Io { at, .. } => Some(at),
            FormatError::UnknownFormat { .. }
            | FormatError::UndetectedFormat { .. }
            | FormatError::Option { .. }
            | FormatError::ReadOnly { .. }
            | FormatError::WrongInput { .. } => None,
        }
    }
}

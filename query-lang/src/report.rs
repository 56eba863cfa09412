//! Errors as people and programs read them: a stable code, a message, the place, a hint.
//!
//! A report holds every error found, each with the piece of its source line that it is about,
//! so that it outlives the text. It prints like a compiler does. Not an enum, as the engine's
//! own `ProgramError` is not: what differs between the errors is a code and words, and a caller
//! can only show them. Lines and columns count from 1, columns in characters.

use std::fmt;

use serde::Serialize;

use crate::form::{Origin, Span};
use crate::parsed::Sources;
use crate::problem::{Problem, Problems};

/// Characters of a source line shown at most, so that a text of one line stays readable.
const N_CHARACTERS_SHOWN: usize = 120;

/// Characters shown before the error where the line is longer than that.
const N_CHARACTERS_BEFORE: usize = 50;

/// Everything wrong with a query, in order of position; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Report {
    /// The errors.
    pub errors: Vec<ReportError>,
    /// How many more there were than are kept.
    pub n_more: usize,
}

/// One error of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportError {
    /// The stable code, e.g. `query_unknown_key`.
    pub code: &'static str,
    /// What is wrong: a lower-case sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where it is.
    pub location: Location,
}

/// Where an error is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Location {
    /// In a text.
    Text(TextLocation),
    /// In a JSON form.
    Json {
        /// Like `where[2].pred`; empty for the form as a whole.
        path: String,
    },
    /// In a query made by the builder, which has no text.
    Builder,
}

/// Where in a text an error is, and the line it is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextLocation {
    /// Which text: `query`, `rules` or `input 1`.
    pub source: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line, or the part of it around the error; tabs are shown as spaces.
    pub excerpt: String,
    /// Characters of the excerpt before the error.
    pub n_before: usize,
    /// Characters of the excerpt to underline, at least 1.
    pub n_marked: usize,
}

impl Report {
    /// Puts problems into words with positions.
    ///
    /// # Panics
    /// When there is no problem: a report is never empty.
    pub(crate) fn new(problems: Problems, sources: &Sources) -> Report {
        let (found, n_more) = problems.into_sorted();
        assert!(!found.is_empty(), "a report is made of at least one problem");
        let error = |(span, problem): (Span, Problem)| ReportError {
            code: problem.code,
            message: problem.message,
            hint: problem.hint,
            location: locate(span, sources),
        };
        Report { errors: found.into_iter().map(error).collect(), n_more }
    }

    /// The stable code of the first error.
    pub fn code(&self) -> &'static str {
        self.errors.first().map_or("query_invalid", |error| error.code)
    }

    /// The hint of the first error.
    pub fn hint(&self) -> Option<&str> {
        self.errors.first()?.hint.as_deref()
    }
}

impl ReportError {
    /// Line and column, if the error is in a text.
    pub fn position(&self) -> Option<(usize, usize)> {
        match &self.location {
            Location::Text(text) => Some((text.line, text.column)),
            Location::Json { .. } | Location::Builder => None,
        }
    }
}

fn locate(span: Span, sources: &Sources) -> Location {
    match span.origin {
        Origin::Builder => Location::Builder,
        Origin::Json => Location::Json { path: sources.paths.render(span.start) },
        Origin::Query | Origin::Rules | Origin::Input(_) => {
            let (name, text) = sources.text(span.origin);
            Location::Text(locate_in(name, text, span.start as usize, span.end as usize))
        }
    }
}

fn locate_in(source: String, text: &str, start: usize, end: usize) -> TextLocation {
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    let n_before = text[line_start..start].chars().count();
    let n_marked = text[start..end.min(line_end).max(start)].chars().count().max(1);
    let n_cut = n_before.saturating_sub(N_CHARACTERS_BEFORE);
    let is_long = text[line_start..line_end].chars().nth(N_CHARACTERS_SHOWN).is_some();
    let n_cut = if is_long { n_cut } else { 0 };
    let show = |c: char| if c.is_control() { ' ' } else { c };
    let shown = text[line_start..line_end].trim_end_matches('\r').chars().map(show);
    let mut excerpt: String = shown.skip(n_cut).take(N_CHARACTERS_SHOWN).collect();
    if n_cut > 0 {
        excerpt = format!("…{}", excerpt.chars().skip(1).collect::<String>());
    }
    let n_before_shown = n_before - n_cut;
    TextLocation {
        source,
        line: text[..start].matches('\n').count() + 1,
        column: n_before + 1,
        n_before: n_before_shown,
        n_marked: n_marked.min(N_CHARACTERS_SHOWN - n_before_shown.min(N_CHARACTERS_SHOWN - 1)),
        excerpt,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        match self.n_more {
            0 => Ok(()),
            1 => f.write_str("\n\nand 1 more error"),
            n_more => write!(f, "\n\nand {n_more} more errors"),
        }
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        let mut margin = 1;
        match &self.location {
            Location::Text(text) => {
                margin = text.line.to_string().len();
                write!(f, "\n{text}")?;
            }
            Location::Json { path } if path.is_empty() => f.write_str("\n --> json")?,
            // Arguments are JSON wherever they come from; the form of the query need not be.
            Location::Json { path } if path.starts_with("inputs") => write!(f, "\n --> {path}")?,
            Location::Json { path } => write!(f, "\n --> json: {path}")?,
            Location::Builder => {}
        }
        match &self.hint {
            Some(hint) => write!(f, "\n{:margin$} = hint: {hint}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TextLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let margin = self.line.to_string().len();
        let (line, before) = (self.line, " ".repeat(self.n_before));
        writeln!(f, "{:margin$}--> {}:{line}:{}", "", self.source, self.column)?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{line} | {}", self.excerpt)?;
        write!(f, "{:margin$} | {before}{}", "", "^".repeat(self.n_marked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_long_lines_are_cut() {
        let text = format!("é\n{}bad{}", "ü ".repeat(200), " x".repeat(200));
        let start = text.find("bad").expect("it is there");
        let location = locate_in("query".to_owned(), &text, start, start + 3);
        assert_eq!((location.line, location.column), (2, 401));
        assert_eq!(location.excerpt.chars().count(), N_CHARACTERS_SHOWN);
        let marked = location.excerpt.chars().skip(location.n_before).take(location.n_marked);
        assert_eq!(marked.collect::<String>(), "bad");
    }

    #[test]
    fn the_end_of_a_text_is_a_place() {
        let location = locate_in("query".to_owned(), "a\n", 2, 2);
        assert_eq!((location.line, location.column, location.n_marked), (2, 1, 1));
    }
}

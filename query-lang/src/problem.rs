//! What is wrong with a query, before it is put into words with a position.
//!
//! Reading and translating collect problems and go on, so that one bad clause hides no other.
//! The list is bounded, because a hostile text can be wrong in every character.

use tercet_engine::ids::IdError;
use tercet_engine::value::ValueError;

use crate::form::Span;

/// The most problems kept for one text; further ones are only counted.
const N_PROBLEMS_MAX: usize = 32;

/// The longest message, and hint. Both quote the text, which can be one long word.
const MESSAGE_CHARS_MAX: usize = 400;

/// A message that is too long, without its middle: what is wrong stands at its ends.
fn shortened(message: String) -> String {
    let n_chars = message.chars().count();
    if n_chars <= MESSAGE_CHARS_MAX {
        return message;
    }
    let half = MESSAGE_CHARS_MAX / 2;
    let start = message.chars().take(half);
    start.chain(std::iter::once('…')).chain(message.chars().skip(n_chars - half)).collect()
}

/// One thing wrong, without its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Problem {
        Problem { code, message: shortened(message.into()), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(shortened(hint.into()));
        self
    }

    /// Adds the hint if there is one.
    pub(crate) fn hint_maybe(self, hint: Option<String>) -> Problem {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// `nil` in text, `null` in JSON.
    pub(crate) fn null(text: &str) -> Problem {
        Problem::new("query_nil", format!("`{text}` is not a value"))
            .hint("there is no null: ask for an absent field with `[(missing? $ ?e :user/name)]`")
    }

    /// Nested deeper than any query needs, and than a recursive reader can afford.
    pub(crate) fn too_deep(n_levels_max: usize) -> Problem {
        Problem::new("query_too_deep", format!("nested deeper than {n_levels_max} levels"))
            .hint("name a part of it as a rule")
    }
}

impl From<IdError> for Problem {
    fn from(error: IdError) -> Problem {
        Problem::new(error.code(), error.to_string())
    }
}

impl From<ValueError> for Problem {
    fn from(error: ValueError) -> Problem {
        Problem::new(error.code(), error.to_string())
    }
}

/// The problems found so far, each with where it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Problems {
    found: Vec<(Span, Problem)>,
    n_more: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, span: Span, problem: Problem) {
        if self.found.len() < N_PROBLEMS_MAX {
            self.found.push((span, problem));
        } else {
            self.n_more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems in order of position, and how many more there were.
    pub(crate) fn into_sorted(mut self) -> (Vec<(Span, Problem)>, usize) {
        self.found.sort_by_key(|(span, _)| *span);
        (self.found, self.n_more)
    }
}

//! What an import or export wants people to know: guesses made, and what was not carried over.
//!
//! A format that cannot hold something says so here instead of dropping it in silence. Equal notes
//! are counted, not repeated, so that a file of any size gives a report that fits a screen.

use std::collections::BTreeMap;
use std::fmt;

/// At most this many different notes are kept; the rest is counted in one.
const N_NOTES_MAX: usize = 100;

/// One thing to know about an import or export.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The stable code of this kind of note.
    pub code: &'static str,
    /// A lower-case sentence without a full stop.
    pub message: String,
    /// How often it applies.
    pub n_times: u64,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_times {
            1 => f.write_str(&self.message),
            n_times => write!(f, "{} ({n_times} times)", self.message),
        }
    }
}

/// Notes while they are collected: sorted by code and message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    counts: BTreeMap<(&'static str, String), u64>,
    n_unkept: u64,
}

impl Notes {
    /// Counts a note.
    pub(crate) fn add(&mut self, code: &'static str, message: impl Into<String>) {
        let key = (code, message.into());
        if let Some(n_times) = self.counts.get_mut(&key) {
            *n_times += 1;
        } else if self.counts.len() < N_NOTES_MAX {
            self.counts.insert(key, 1);
        } else {
            self.n_unkept += 1;
        }
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Note> {
        let kept = self.counts.iter();
        let mut notes: Vec<Note> = kept
            .map(|((code, message), &n_times)| Note { code, message: message.clone(), n_times })
            .collect();
        if self.n_unkept > 0 {
            let message = "more notes of other kinds, which are not listed".to_owned();
            notes.push(Note { code: "more_notes", message, n_times: self.n_unkept });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_notes_are_counted_and_many_different_ones_are_bounded() {
        let mut notes = Notes::default();
        notes.add("b", "second");
        notes.add("a", "first");
        notes.add("b", "second");
        let texts: Vec<String> = notes.list().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["first", "second (2 times)"]);
        (0..200).for_each(|index| notes.add("c", index.to_string()));
        let list = notes.list();
        assert_eq!(list.len(), N_NOTES_MAX + 1);
        assert_eq!(list.last().map(|note| note.n_times), Some(102));
    }
}

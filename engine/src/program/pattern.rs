//! Regular expressions: compiled within bounds, once for a query where they are constant.
//!
//! Matching takes time linear in the text, because the `regex` crate has neither look-around nor
//! back-references; what it compiles a pattern to, and what it may cache, is bounded here. A
//! pattern that comes from a variable is compiled when it is met and kept for a while. Whether a
//! pattern is kept or not changes no answer.
//!
//! Which patterns are valid must not depend on what else a program links: `Cargo.toml` asks for
//! every table of Unicode, and for the lazy automaton, whose size counts against the bound.

use std::fmt;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use rustc_hash::FxHashMap;

/// The longest pattern, in bytes.
pub(crate) const PATTERN_BYTES_MAX: usize = 1_000;
/// The most different constant patterns of a query.
pub(crate) const CONSTANTS_MAX: usize = 32;
/// What a pattern may be compiled to, in bytes. Every `\w` takes some 45,000, so `\w{1,20}` still
/// fits; compiling so much takes some 15 ms.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// What matching may remember of one pattern, in bytes; beyond it, it is slower.
const CACHE_BYTES_MAX: usize = 512 << 10;
/// How deep groups may nest.
const NESTING_MAX: u32 = 50;
/// How many patterns that are no constants are kept.
const RECENT_MAX: usize = 16;

/// What a pattern must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Extent {
    /// All of a text.
    Whole,
    /// Some part of it.
    Part,
}

/// The compiled patterns of one query, then of one evaluation. A clone shares what is compiled.
#[derive(Clone, Default)]
pub(crate) struct Patterns {
    constant: Kept,
    /// Those met during an evaluation, the invalid ones too; emptied when there are too many.
    recent: Kept,
    has_compiled: bool,
}

type Kept = [FxHashMap<Arc<str>, Option<Regex>>; 2];

impl Patterns {
    /// Compiles a constant.
    ///
    /// # Errors
    /// What is wrong with it, without a full stop.
    pub(crate) fn add(&mut self, text: &Arc<str>, extent: Extent) -> Result<(), String> {
        let n_constants: usize = self.constant.iter().map(FxHashMap::len).sum();
        if n_constants >= CONSTANTS_MAX && !self.constant[extent as usize].contains_key(text) {
            return Err(format!("a query has at most {CONSTANTS_MAX} regular expressions"));
        }
        let regex = compile(text, extent)?;
        self.constant[extent as usize].insert(text.clone(), Some(regex));
        Ok(())
    }

    /// Whether a pattern has been compiled since this was asked last, which takes as long as many
    /// rows do.
    pub(crate) fn has_compiled(&mut self) -> bool {
        std::mem::take(&mut self.has_compiled)
    }

    /// The compiled form of a pattern, if it is one.
    pub(crate) fn get(&mut self, text: &Arc<str>, extent: Extent) -> Option<&Regex> {
        let extent_index = extent as usize;
        if self.constant[extent_index].contains_key(text) {
            return self.constant[extent_index].get(text)?.as_ref();
        }
        let recent = &mut self.recent[extent_index];
        if !recent.contains_key(text) {
            if recent.len() >= RECENT_MAX {
                recent.clear();
            }
            recent.insert(text.clone(), compile(text, extent).ok());
            self.has_compiled = true;
        }
        recent.get(text)?.as_ref()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<&Arc<str>> = self.constant.iter().flat_map(FxHashMap::keys).collect();
        texts.sort_unstable();
        f.debug_tuple("Patterns").field(&texts).finish()
    }
}

fn compile(text: &str, extent: Extent) -> Result<Regex, String> {
    if text.len() > PATTERN_BYTES_MAX {
        return Err(format!("a regular expression has at most {PATTERN_BYTES_MAX} bytes"));
    }
    let part = build(text)?;
    if extent == Extent::Part {
        return Ok(part);
    }
    // A pattern in the verbose mode may end with a comment, which a newline ends; in any other
    // the newline would be a character to match.
    build(&format!(r"\A(?:{text})\z")).or_else(|_| build(&format!("\\A(?:{text}\n)\\z")))
}

fn build(text: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        // The parser draws the pattern and a caret; its last line says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", last.trim_start_matches("error: "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(text: &str, extent: Extent, subject: &str) -> Option<bool> {
        Patterns::default().get(&text.into(), extent).map(|regex| regex.is_match(subject))
    }

    #[test]
    fn a_whole_match_is_not_the_first_match() {
        assert_eq!(matches("a|ab", Extent::Whole, "ab"), Some(true));
        assert_eq!(matches("a|ab", Extent::Whole, "abc"), Some(false));
        assert_eq!(matches("(?m)^a$", Extent::Whole, "b\na"), Some(false));
        assert_eq!(matches("(?x) a b # and then", Extent::Whole, "ab"), Some(true));
        assert_eq!(matches("a", Extent::Whole, "a\n"), Some(false));
        assert_eq!(matches("a)|(?:b", Extent::Whole, "b"), None);
    }

    #[test]
    fn large_patterns_are_refused_and_usual_ones_are_not() {
        for usual in [r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$", r"\p{L}{1,10}", r"(?i)größe", r"\w{1,20}"]
        {
            assert!(compile(usual, Extent::Whole).is_ok(), "{usual}");
        }
        let nested = "(".repeat(60) + "a" + &")".repeat(60);
        let large = [r"\w{2000}", "((a{100}){100}){100}", &"a".repeat(1_001), &nested];
        for large in large {
            assert!(compile(large, Extent::Part).is_err(), "{large}");
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let error = compile("a(b", Extent::Part).expect_err("it is not closed");
        assert_eq!(error, "not a regular expression: unclosed group");
    }

    #[test]
    fn patterns_come_and_go_without_a_trace() {
        let mut patterns = Patterns::default();
        let ask = |patterns: &mut Patterns, n: usize| {
            patterns.get(&format!("a{{{n}}}").into(), Extent::Part).is_some()
        };
        assert!((0..5 * RECENT_MAX).all(|n| ask(&mut patterns, n)));
        assert!(patterns.recent.iter().all(|kept| kept.len() <= RECENT_MAX));
        assert!(patterns.get(&"(".into(), Extent::Part).is_none());
    }
}

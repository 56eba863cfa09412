//! Regular expressions, matched by trying everything.
//!
//! A pattern is read by `regex-syntax`, because what a pattern means is that crate's to say; how
//! it matches is done here by backtracking over all the ways, in the order in which they are
//! preferred. Exponential, and good for short texts only.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    hir: Hir,
}

/// Where a match and its groups begin and end, in bytes; the match itself is group 0.
#[derive(Debug, Clone)]
pub(super) struct Match {
    groups: Vec<Option<(usize, usize)>>,
    names: Vec<(String, usize)>,
}

impl Match {
    /// What a group holds.
    pub(super) fn group<'t>(&self, text: &'t str, group: usize) -> Option<&'t str> {
        let (start, end) = (*self.groups.get(group)?)?;
        Some(&text[start..end])
    }

    fn named<'t>(&self, text: &'t str, name: &str) -> Option<&'t str> {
        let (_, group) = self.names.iter().find(|(known, _)| known == name)?;
        self.group(text, *group)
    }
}

/// One way to go on: where it ends, and what the groups hold then.
type Way = (usize, Vec<Option<(usize, usize)>>);

impl Pattern {
    /// Reads a pattern, if it is one.
    pub(super) fn read(text: &str) -> Option<Pattern> {
        regex_syntax::Parser::new().parse(text).ok().map(|hir| Pattern { hir })
    }

    fn n_groups(&self) -> usize {
        self.hir.properties().explicit_captures_len() + 1
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let none = vec![None; self.n_groups()];
        ways(&self.hir, text, (0, none)).iter().any(|(end, _)| *end == text.len())
    }

    /// The first match that begins at a place or later, in bytes.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<Match> {
        let starts = (from..=text.len()).filter(|at| text.is_char_boundary(*at));
        starts.into_iter().find_map(|start| {
            let none = vec![None; self.n_groups()];
            let (end, mut groups) = ways(&self.hir, text, (start, none)).into_iter().next()?;
            groups[0] = Some((start, end));
            let mut names = Vec::new();
            collect_names(&self.hir, &mut names);
            Some(Match { groups, names })
        })
    }

    /// The text with another for every match, one after another. An empty match directly after
    /// a match is none.
    pub(super) fn replace(&self, text: &str, by: &str) -> String {
        let (mut out, mut copied, mut from) = (String::new(), 0, 0);
        let mut last_end = None;
        while let Some(found) = self.find(text, from) {
            let (start, end) = found.groups[0].expect("the match itself");
            if start == end && last_end == Some(end) {
                let Some(next) = text[end..].chars().next() else { break };
                from = end + next.len_utf8();
                continue;
            }
            out += &text[copied..start];
            out += &expanded(by, text, &found);
            (copied, from, last_end) = (end, end, Some(end));
        }
        out + &text[copied..]
    }
}

fn expanded(by: &str, text: &str, found: &Match) -> String {
    let characters = by.chars().collect::<Vec<_>>();
    let (mut out, mut at) = (String::new(), 0);
    while at < characters.len() {
        let rest = &characters[at + 1..];
        let digits = rest.iter().take_while(|c| c.is_ascii_digit()).collect::<String>();
        let name = rest.iter().position(|c| *c == '}');
        match (characters[at], rest.first()) {
            ('$', Some('$')) => {
                out.push('$');
                at += 1;
            }
            ('$', Some('0'..='9')) => {
                let group = digits.parse().ok().and_then(|group| found.group(text, group));
                out += group.unwrap_or_default();
                at += digits.len();
            }
            ('$', Some('{')) if name.is_some() => {
                let end = name.unwrap_or_default();
                let name = rest[1..end].iter().collect::<String>();
                out += found.named(text, &name).unwrap_or_default();
                at += end + 1;
            }
            (other, _) => out.push(other),
        }
        at += 1;
    }
    out
}

fn collect_names(hir: &Hir, names: &mut Vec<(String, usize)>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            let name = capture.name.as_ref().map(|name| (name.to_string(), capture.index as usize));
            names.extend(name);
            collect_names(&capture.sub, names);
        }
        HirKind::Repetition(repetition) => collect_names(&repetition.sub, names),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            for part in parts {
                collect_names(part, names);
            }
        }
        _ => {}
    }
}

/// Every way to match from a place, the preferred ones first.
fn ways(hir: &Hir, text: &str, (at, groups): Way) -> Vec<Way> {
    match hir.kind() {
        HirKind::Empty => vec![(at, groups)],
        HirKind::Literal(literal) => {
            let fits = text.as_bytes()[at..].starts_with(&literal.0);
            Vec::from_iter(fits.then(|| (at + literal.0.len(), groups)))
        }
        HirKind::Class(class) => {
            let next = text[at..].chars().next().filter(|next| is_in(class, *next));
            Vec::from_iter(next.map(|next| (at + next.len_utf8(), groups)))
        }
        HirKind::Look(look) => Vec::from_iter(holds(*look, text, at).then_some((at, groups))),
        HirKind::Capture(capture) => {
            let inner = ways(&capture.sub, text, (at, groups));
            let close = |(end, mut groups): Way| {
                groups[capture.index as usize] = Some((at, end));
                (end, groups)
            };
            inner.into_iter().map(close).collect()
        }
        HirKind::Concat(parts) => parts.iter().fold(vec![(at, groups)], |found, part| {
            found.into_iter().flat_map(|way| ways(part, text, way)).collect()
        }),
        HirKind::Alternation(parts) => {
            parts.iter().flat_map(|part| ways(part, text, (at, groups.clone()))).collect()
        }
        HirKind::Repetition(repetition) => {
            let (min, max) = (repetition.min, repetition.max.unwrap_or(u32::MAX));
            repeated(&repetition.sub, (min, max), repetition.greedy, text, (at, groups))
        }
    }
}

fn repeated(
    sub: &Hir,
    (min, max): (u32, u32),
    greedy: bool,
    text: &str,
    (at, groups): Way,
) -> Vec<Way> {
    let stop = Vec::from_iter((min == 0).then(|| (at, groups.clone())));
    if max == 0 {
        return stop;
    }
    let once = ways(sub, text, (at, groups)).into_iter();
    // A round that takes nothing is not repeated: it would go on for ever.
    let more = once.filter(|(end, _)| *end > at || min > 0).flat_map(|(end, groups)| {
        let min = if end == at { 0 } else { min.saturating_sub(1) };
        let max = if end == at { 0 } else { max - 1 };
        repeated(sub, (min, max), greedy, text, (end, groups))
    });
    if greedy { more.chain(stop).collect() } else { stop.into_iter().chain(more).collect() }
}

fn is_in(class: &Class, character: char) -> bool {
    match class {
        Class::Unicode(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&character))
        }
        Class::Bytes(class) => class.ranges().iter().any(|range| {
            (u32::from(range.start())..=u32::from(range.end())).contains(&u32::from(character))
        }),
    }
}

/// Whether what a position is asked for holds.
///
/// # Panics
/// At an assertion that no test uses.
fn holds(look: Look, text: &str, at: usize) -> bool {
    let (before, after) = (text[..at].chars().next_back(), text[at..].chars().next());
    let is_word = |c: Option<char>| {
        c.is_some_and(|c| {
            regex_syntax::try_is_word_character(c).expect("the tables of Unicode are there")
        })
    };
    match look {
        Look::Start => at == 0,
        Look::End => at == text.len(),
        Look::StartLF => before.is_none_or(|c| c == '\n'),
        Look::EndLF => after.is_none_or(|c| c == '\n'),
        Look::WordUnicode => is_word(before) != is_word(after),
        Look::WordUnicodeNegate => is_word(before) == is_word(after),
        other => panic!("{other:?} is not in the oracle"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'t>(pattern: &str, text: &'t str, group: usize) -> Option<&'t str> {
        Pattern::read(pattern).expect("it is valid").find(text, 0)?.group(text, group)
    }

    #[test]
    fn the_preferred_way_is_found() {
        assert_eq!(found("a|ab", "ab", 0), Some("a"));
        assert_eq!(found("a+", "baaa", 0), Some("aaa"));
        assert_eq!(found("a+?", "baaa", 0), Some("a"));
        assert_eq!(found("(a|b)*c", "xabc", 1), Some("b"));
        assert_eq!(found("(a*)*", "b", 0), Some(""));
        assert_eq!(found(r"\bö\b", "aö ö", 0), Some("ö"));
        assert!(Pattern::read("a|ab").expect("it is valid").matches("ab"));
    }

    #[test]
    fn matches_are_replaced_one_after_another() {
        let replace = |pattern: &str, text: &str, by: &str| {
            Pattern::read(pattern).expect("it is valid").replace(text, by)
        };
        assert_eq!(replace("a*", "baac", "<$0>"), "<>b<aa>c<>");
        assert_eq!(replace("(?<x>b)", "abc", "${x}$1$$$"), "abb$$c");
    }
}

//! Laws of reading and writing, on random programs, random texts and spoiled queries.
//!
//! Round trips catch what a printer and a parser disagree about; damaged programs catch trust in
//! what nobody checked; random and mutated texts catch panics, endless loops and positions that
//! point nowhere.

#![allow(clippy::unwrap_used)]

mod programs;

use proptest::prelude::*;
use tercet_engine::program::raw::{ClauseId, PullId, RawClause, RawProgram, RawPullItem};
use tercet_engine::program::raw::{RawPull, RawPullNested};
use tercet_query_lang::{
    Location, Report, from_json, inputs_from_json, parse, parse_json, parse_with_rules, print,
    to_json,
};

use programs::{any_program, value};

/// The report's positions exist in the text, and it can be shown.
fn check_report(text: &str, report: &Report) {
    assert!(!report.errors.is_empty());
    assert!(report.to_string().starts_with("error["));
    for error in &report.errors {
        let Location::Text(location) = &error.location else {
            panic!("an error of a text has a position: {error}");
        };
        let line = text.split('\n').nth(location.line - 1).expect("the line exists");
        assert!(location.column <= line.chars().count() + 1, "{error}");
        assert!(location.n_marked >= 1 && !error.message.is_empty());
    }
}

/// Reads anything; what it makes of it is a program that reads back, or errors with positions.
fn check_any_text(text: &str) {
    match parse(text) {
        Ok(parsed) => {
            let printed = print(&parsed.raw);
            let again = parse(&printed).unwrap_or_else(|report| panic!("{printed}\n{report}"));
            assert_eq!(again.raw, parsed.raw, "{printed}");
        }
        Err(report) => check_report(text, &report),
    }
}

proptest! {
    #[test]
    fn parse_is_the_inverse_of_print(program in any_program()) {
        let text = print(&program);
        let parsed = parse(&text).unwrap_or_else(|report| panic!("{text}\n{report}"));
        prop_assert_eq!(parsed.raw, program, "{}", text);
    }

    #[test]
    fn from_json_is_the_inverse_of_to_json(program in any_program()) {
        let text = to_json(&program).to_string();
        let json = serde_json::from_str(&text).unwrap();
        let read = from_json(&json).unwrap_or_else(|report| panic!("{text}\n{report}"));
        prop_assert_eq!(read, program, "{}", text);
    }

    #[test]
    fn text_and_json_say_the_same(program in any_program()) {
        let text = print(&program);
        let from_text = parse(&text).unwrap().raw;
        let through_json = from_json(&to_json(&from_text)).unwrap();
        prop_assert_eq!(print(&through_json), text);
    }

    #[test]
    fn every_part_of_a_program_has_a_span_inside_the_text(program in any_program()) {
        let text = print(&program);
        let parsed = parse(&text).unwrap();
        for index in 0..parsed.raw.clauses.len() {
            let place = tercet_engine::program::raw::Place::Clause(ClauseId(index as u32));
            let span = parsed.spans.get(place).expect("every clause has a span");
            let clause = &text[span.start as usize..span.end as usize];
            prop_assert!(clause.starts_with(['[', '(']) && clause.ends_with([']', ')']));
        }
    }

    #[test]
    fn arguments_read_back(values in proptest::collection::vec(value(), 0..5)) {
        let program = parse("[:find ?x :in [?x ...]]").unwrap().raw;
        let json = serde_json::json!([values]);
        let inputs = inputs_from_json(&program, &json).unwrap();
        prop_assert_eq!(inputs, [tercet_engine::program::raw::Input::Collection(values)]);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        check_any_text(&text);
    }

    #[test]
    fn any_run_of_tokens_is_read_or_refused(
        tokens in proptest::collection::vec(prop::sample::select(TOKENS), 0..40)
    ) {
        let text = tokens.join(" ");
        check_any_text(&text);
        check_any_text(&format!("[:find ?x :where {text}]"));
        if let Err(report) = parse_with_rules("[:find ?x :in %]", &text) {
            prop_assert!(!report.errors.is_empty());
        }
    }

    #[test]
    fn a_spoiled_query_is_read_or_refused(
        program in any_program(),
        edits in proptest::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(TOKENS), 0_u8..3), 1..4)
    ) {
        let mut characters: Vec<char> = print(&program).chars().collect();
        for (at, token, kind) in edits {
            let at = at.index(characters.len() + 1);
            match kind {
                0 => characters.truncate(at),
                1 => drop(characters.splice(at..at, token.chars())),
                _ => drop(characters.drain(at..(at + 3).min(characters.len()))),
            }
        }
        check_any_text(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn any_json_is_read_or_refused(program in any_program(), edits in proptest::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(JSON_PARTS)), 1..4)
    ) {
        let mut json = to_json(&program);
        for (at, part) in edits {
            let n_nodes = count_nodes(&json);
            let part = serde_json::from_str(part).unwrap();
            *node_at(&mut json, &mut at.index(n_nodes)).unwrap() = part;
        }
        match parse_json(&json) {
            Ok(parsed) => prop_assert_eq!(from_json(&to_json(&parsed.raw)).unwrap(), parsed.raw),
            Err(report) => {
                for error in &report.errors {
                    let is_json = matches!(error.location, Location::Json { .. });
                    prop_assert!(is_json, "{}", error);
                }
            }
        }
    }

    #[test]
    fn a_damaged_program_can_be_shown(
        mut program in any_program(),
        clauses in proptest::collection::vec((0_u32..12, 0_u32..12), 0..12),
        pulls in proptest::collection::vec((0_u32..4, 0_u32..4), 0..4),
    ) {
        for (clause, child) in clauses {
            let body = vec![ClauseId(child), ClauseId(child), ClauseId(clause)];
            program.body.push(ClauseId(clause));
            program.clauses.push(RawClause::Not { join: None, body });
        }
        for (pattern, child) in pulls {
            program.pulls.push(RawPull { items: vec![pulling(pattern), pulling(child)] });
        }
        let n_parts = program.clauses.len() + program.pulls.len();
        prop_assert!(print(&program).len() < 100_000 * (1 + n_parts));
        prop_assert!(to_json(&program).is_object());
    }
}

const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "#{",
    "#_",
    "\"",
    "\"a\"",
    "\\",
    "?x",
    "?",
    "_",
    "$",
    "%",
    ".",
    "...",
    ":",
    ":find",
    ":where",
    ":in",
    ":rules",
    ":limit",
    ":order-by",
    ":having",
    ":after",
    ":a/b",
    "1",
    "-1.5e300",
    "1e999",
    "99999999999999999999",
    "nil",
    "true",
    "#inst",
    "#ref",
    "##NaN",
    "not",
    "or",
    "and",
    "not-join",
    "or-join",
    "pull",
    "*",
    "count",
    "<",
    "ground",
    "missing?",
    "name",
    ";",
    "'",
    "^",
    "é",
    "\u{1f600}",
    "\n",
    "\t",
    ",",
    "[?e :a/b ?x]",
    "[(< ?x 1)]",
    "(or [?x :a/b] [?x :c/d])",
    "[[?x ?y]]",
    "[?x ...]",
    "{:a/b [*]}",
];

const JSON_PARTS: &[&str] = &[
    "null",
    "true",
    "1",
    "-0.5",
    "1e300",
    "18446744073709551615",
    "\"\"",
    "\"?x\"",
    "\"?\"",
    "\"_\"",
    "\":a/b\"",
    "\"...\"",
    "\"%\"",
    "\"not\"",
    "[]",
    "{}",
    "[\"?x\",\"desc\"]",
    "{\"$ref\":\"\"}",
    "{\"$date\":\"x\"}",
    "{\"$int\":\"5\"}",
    "{\"$str\":\"?\"}",
    "{\"not\":[]}",
    "{\"or\":[[]]}",
    "{\"or-join\":[]}",
    "{\"rule\":[\"not\",\"?x\"]}",
    "{\"pred\":[\"<\",\"?a\",[1,[2]]]}",
    "{\"fn\":[\"ground\",[1]],\"bind\":\"?x\"}",
    "{\"attr\":\"a/b\",\"limit\":0}",
    "{\"a/b\":\"...\"}",
    "[[\"?x\"]]",
    "[\"$\",\"a/b\"]",
];

fn pulling(pattern: u32) -> RawPullItem {
    RawPullItem::Attribute {
        attribute: tercet_engine::ids::Name::new("a/b").unwrap(),
        reverse: false,
        rename: None,
        limit: None,
        default: None,
        nested: RawPullNested::Pattern(PullId(pattern)),
    }
}

fn count_nodes(json: &serde_json::Value) -> usize {
    1 + match json {
        serde_json::Value::Array(items) => items.iter().map(count_nodes).sum(),
        serde_json::Value::Object(object) => object.values().map(count_nodes).sum(),
        _ => 0,
    }
}

fn node_at<'j>(
    json: &'j mut serde_json::Value,
    index: &mut usize,
) -> Option<&'j mut serde_json::Value> {
    if *index == 0 {
        return Some(json);
    }
    *index -= 1;
    match json {
        serde_json::Value::Array(items) => {
            for item in items {
                let n_nodes = count_nodes(item);
                if *index < n_nodes {
                    return node_at(item, index);
                }
                *index -= n_nodes;
            }
        }
        serde_json::Value::Object(object) => {
            for item in object.values_mut() {
                let n_nodes = count_nodes(item);
                if *index < n_nodes {
                    return node_at(item, index);
                }
                *index -= n_nodes;
            }
        }
        _ => {}
    }
    None
}

#[test]
fn a_program_of_only_shared_clauses_costs_its_size() {
    let mut program = RawProgram::default();
    for index in 0..100_000_u32 {
        let child = ClauseId(index.saturating_sub(1));
        program.clauses.push(RawClause::Not { join: None, body: vec![child, child] });
    }
    program.body.push(ClauseId(99_999));
    assert!(print(&program).contains("(damaged)"));
    assert!(to_json(&program).to_string().contains("damaged"));
}

#[test]
fn no_nesting_uses_up_the_stack() {
    for open in ["(", "[", "{", "#{", "#_", "#inst ", "(not ", "[[", "{[("] {
        let text = open.repeat(tercet_query_lang::TEXT_BYTES_MAX / open.len());
        check_report(&text, &parse(&text).unwrap_err());
    }
    let long_string = format!("\"{}", "\\n".repeat(30_000));
    check_report(&long_string, &parse(&long_string).unwrap_err());
    let mut json = serde_json::json!(["?x", "a/b"]);
    for _ in 0..200 {
        json = serde_json::json!({ "not": [json] });
    }
    let query = serde_json::json!({ "find": ["?x"], "where": [json] });
    assert_eq!(from_json(&query).unwrap_err().code(), "query_too_deep");
}

#[test]
fn a_text_wrong_in_every_character_gives_a_short_report() {
    let text = ")".repeat(tercet_query_lang::TEXT_BYTES_MAX);
    let report = parse(&text).unwrap_err();
    assert!(report.n_more > 60_000);
    assert!(report.to_string().len() < 20_000);
}

#[test]
fn limits_are_limits() {
    let text_of =
        |n_clauses: usize| format!("[:find ?x :where {}]", "[?x :a/b] ".repeat(n_clauses));
    assert!(parse(&text_of(1_024)).is_ok());
    assert_eq!(parse(&text_of(1_025)).unwrap_err().code(), "query_too_large");
    let nested =
        |n: usize| format!("[:find ?x :where {}[?x :a/b]{}]", "(not ".repeat(n), ")".repeat(n));
    let deepest = parse(&nested(30)).unwrap().raw;
    assert_eq!(from_json(&to_json(&deepest)).unwrap(), deepest);
    assert_eq!(parse(&nested(31)).unwrap_err().code(), "query_too_deep");
    let long = format!("[:find ?x :where [?x :a/b \"{}\"]]", "x".repeat(1 << 16));
    assert_eq!(parse(&long).unwrap_err().code(), "query_too_long");
}

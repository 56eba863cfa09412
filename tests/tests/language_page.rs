//! The page of the query language: every example on it runs and gives the rows shown.
//!
//! The page's facts are in a block ```` ```facts ````. A query, ```` ```clojure ```` or ```` ```json ````, may be
//! followed by ```` ```rules ```` and ```` ```inputs ````, and has a ```` ```result ````. Oracle and engine must
//! both give that; as text and as JSON, because each says all that the other can.
//! `TERCET_BLESS=1` writes what the oracle says into the page.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use tercet_engine::program::raw::RawProgram;
use tercet_query_lang::{QuerySource, from_json, inputs_from_json, parse_any, to_json};
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::History;
use tercet_tests::subject;
use tercet_tests::text::{parse_ops, print_rows};
use tercet_tests::tree::lift;
use tercet_tests::workload;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/query-language.md")
}

/// A fenced block: its language, and where its content begins and ends in the page.
#[derive(Debug, Clone)]
struct Block {
    language: String,
    start: usize,
    end: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut offset, mut open): (usize, Option<Block>) = (0, None);
    for line in page.split_inclusive('\n') {
        if let Some(language) = line.strip_prefix("```") {
            match open.take() {
                Some(block) => blocks.push(Block { end: offset, ..block }),
                None => {
                    let language = language.trim().to_owned();
                    open = Some(Block { language, start: offset + line.len(), end: 0 });
                }
            }
        }
        offset += line.len();
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A query with what belongs to it.
struct Example<'p> {
    query: &'p Block,
    rules: Option<&'p Block>,
    inputs: Option<&'p Block>,
    result: &'p Block,
}

fn examples(blocks: &[Block]) -> Vec<Example<'_>> {
    let mut examples = Vec::new();
    let mut rest = blocks;
    while let Some((query, mut after)) = rest.split_first() {
        let mut part = |language: &str| {
            let (first, others) = after.split_first()?;
            (first.language == language).then(|| {
                after = others;
                first
            })
        };
        if ["clojure", "json"].contains(&query.language.as_str()) {
            let (rules, inputs) = (part("rules"), part("inputs"));
            let result = part("result");
            let result = result.unwrap_or_else(|| panic!("no result: {query:?}"));
            examples.push(Example { query, rules, inputs, result });
        }
        rest = after;
    }
    examples
}

fn program(page: &str, example: &Example<'_>) -> RawProgram {
    let text = &page[example.query.start..example.query.end];
    let rules = example.rules.map(|rules| &page[rules.start..rules.end]);
    let json;
    let source = match example.query.language.as_str() {
        "json" => {
            json = serde_json::from_str(text).unwrap();
            QuerySource::Json(&json)
        }
        _ => QuerySource::Text(text),
    };
    let parsed = parse_any(source, rules).unwrap_or_else(|report| panic!("{text}\n{report}"));
    parsed.prepare().unwrap_or_else(|report| panic!("{text}\n{report}"));
    parsed.raw
}

#[test]
fn every_example_gives_the_rows_shown() {
    let page = fs::read_to_string(path()).unwrap();
    let blocks = blocks(&page);
    let facts = blocks.iter().find(|block| block.language == "facts").unwrap();
    let transactions = workload::transactions(&parse_ops(&page[facts.start..facts.end]), 1);
    let facts = History::of(&transactions).visible();
    let snapshot = subject::store(&transactions).snapshot();
    let (mut shown, mut written) = (String::new(), 0);
    let examples = examples(&blocks);
    assert!(examples.len() >= 28, "{} examples", examples.len());
    for example in &examples {
        let raw = program(&page, example);
        let inputs = example.inputs.map_or("[]", |inputs| &page[inputs.start..inputs.end]);
        let inputs = inputs_from_json(&raw, &serde_json::from_str(inputs).unwrap()).unwrap();
        let rows = print_rows(&answer(&lift(&raw), &facts, &inputs).unwrap());
        for raw in [raw.clone(), from_json(&to_json(&raw)).unwrap()] {
            let query = subject::prepare(&lift(&raw)).unwrap();
            let found = print_rows(&subject::run(&query, &snapshot, &inputs).unwrap());
            assert_eq!(found, rows, "{}", &page[example.query.start..example.query.end]);
        }
        shown += &page[written..example.result.start];
        shown += &rows;
        written = example.result.end;
    }
    shown += &page[written..];
    if std::env::var_os("TERCET_BLESS").is_some() {
        fs::write(path(), shown).unwrap();
    } else {
        let differs = shown.lines().zip(page.lines()).find(|(ours, theirs)| ours != theirs);
        assert!(shown == page, "TERCET_BLESS=1 writes the results into the page: {differs:?}");
    }
}

//! Answers, worked out by hand and by the oracle: facts and query text in, rows out.
//!
//! A file of `tests/golden/answers` holds facts and cases over them. Each case says which rows its
//! query gives. Oracle and engine must both give exactly that.
//! `TERCET_BLESS=1` writes what the *oracle* says into the files, to be reviewed as a diff; the
//! engine never decides what is right. A case may also say what the engine warns of.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_query_lang::{inputs_from_json, parse, parse_with_rules};
use tercet_tests::minimize::catch;
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::{Facts, History};
use tercet_tests::subject;
use tercet_tests::text::{parse_ops, print_rows};
use tercet_tests::tree::{Program, lift};
use tercet_tests::workload;

/// A file of cases.
struct Golden {
    path: PathBuf,
    /// Everything before the first case, as it stands.
    head: String,
    transactions: Vec<Transaction>,
    cases: Vec<GoldenCase>,
}

#[derive(Clone)]
struct GoldenCase {
    name: String,
    query: String,
    rules: Option<String>,
    inputs: Option<String>,
    answer: String,
    /// What the engine warns of, in a case that is about that.
    warnings: Option<String>,
}

fn goldens() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/answers");
    let mut paths =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    paths.sort();
    paths.into_iter().map(read_golden).collect()
}

fn read_golden(path: PathBuf) -> Golden {
    let text = fs::read_to_string(&path).unwrap();
    let mut parts = text.split("\n=== ");
    let head = parts.next().unwrap().to_owned();
    let (_, facts) = head.split_once("--- facts\n").unwrap();
    let ops: Vec<Op> = parse_ops(facts);
    let transactions = workload::transactions(&ops, 1);
    let cases = parts.map(read_case).collect();
    Golden { path, head, transactions, cases }
}

fn read_case(text: &str) -> GoldenCase {
    let mut sections = text.split("\n--- ");
    let mut case = GoldenCase {
        name: sections.next().unwrap().trim().to_owned(),
        query: String::new(),
        rules: None,
        inputs: None,
        answer: String::new(),
        warnings: None,
    };
    for section in sections {
        let (title, body) = section.split_once('\n').unwrap_or((section, ""));
        let body = body.trim().to_owned();
        match title {
            "query" => case.query = body,
            "rules" => case.rules = Some(body),
            "inputs" => case.inputs = Some(body),
            "answer" => case.answer = body,
            "warnings" => case.warnings = Some(body),
            _ => panic!("{}: what is `{title}`?", case.name),
        }
    }
    case
}

fn write_golden(golden: &Golden) {
    let mut text = golden.head.clone();
    for case in &golden.cases {
        text += &format!("\n=== {}\n--- query\n{}\n", case.name, case.query);
        for (title, body) in [("rules", &case.rules), ("inputs", &case.inputs)] {
            if let Some(body) = body {
                text += &format!("--- {title}\n{body}\n");
            }
        }
        text += &format!("--- answer\n{}\n", case.answer);
        if let Some(warnings) = &case.warnings {
            text += &format!("--- warnings\n{warnings}\n");
        }
    }
    fs::write(&golden.path, text).unwrap();
}

fn load(case: &GoldenCase) -> (Program, Vec<Input>) {
    let parsed = match &case.rules {
        Some(rules) => parse_with_rules(&case.query, rules),
        None => parse(&case.query),
    };
    let raw = parsed.unwrap_or_else(|report| panic!("{}:\n{report}", case.name)).raw;
    let inputs = case.inputs.as_deref().unwrap_or("[]");
    let inputs = inputs_from_json(&raw, &serde_json::from_str(inputs).unwrap()).unwrap();
    (lift(&raw), inputs)
}

fn oracle_text(case: &GoldenCase, facts: &Facts) -> String {
    let (program, inputs) = load(case);
    print_rows(&answer(&program, facts, &inputs).unwrap()).trim_end().to_owned()
}

#[test]
fn the_oracle_gives_the_golden_answers() {
    let (mut findings, mut n_cases) = (Vec::new(), 0);
    for mut golden in goldens() {
        let facts = History::of(&golden.transactions).visible();
        let bless = std::env::var_os("TERCET_BLESS").is_some();
        for case in &mut golden.cases {
            n_cases += 1;
            let rows = catch(|| oracle_text(case, &facts)).unwrap_or_else(|why| why);
            if bless {
                case.answer = rows;
                let snapshot = subject::store(&golden.transactions).snapshot();
                case.warnings = case.warnings.is_some().then(|| warnings(case, &snapshot));
            } else if rows != case.answer {
                findings.push(told(&golden.path, case, &rows));
            }
        }
        if bless {
            write_golden(&golden);
        }
    }
    assert!(n_cases >= 40, "{n_cases} cases");
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn the_engine_gives_the_golden_answers() {
    let mut findings = Vec::new();
    for golden in goldens() {
        let snapshot = subject::store(&golden.transactions).snapshot();
        for case in &golden.cases {
            let run = || {
                let (program, inputs) = load(case);
                subject::run(&subject::prepare(&program)?, &snapshot, &inputs)
            };
            let rows = match catch(run) {
                Ok(Ok(rows)) => print_rows(&rows).trim_end().to_owned(),
                Ok(Err(subject::Refused(why))) => format!("refused: {why}"),
                Err(why) => format!("panic: {why}"),
            };
            if rows != case.answer {
                findings.push(told(&golden.path, case, &rows));
            }
        }
    }
    assert!(findings.is_empty(), "{} cases\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn the_engine_gives_the_golden_warnings() {
    let (mut findings, mut n_cases) = (Vec::new(), 0);
    for golden in goldens() {
        let snapshot = subject::store(&golden.transactions).snapshot();
        for case in &golden.cases {
            let Some(expected) = &case.warnings else { continue };
            n_cases += 1;
            let found = warnings(case, &snapshot);
            if found != *expected {
                findings.push(told(&golden.path, case, &found));
            }
        }
    }
    assert!(n_cases >= 10, "{n_cases} cases");
    assert!(findings.is_empty(), "{} cases\n{}", findings.len(), findings.join("\n"));
}

fn warnings(case: &GoldenCase, snapshot: &Snapshot) -> String {
    let (program, _) = load(case);
    let query = subject::prepare(&program).unwrap();
    query.warnings(snapshot).join("\n")
}

fn told(path: &Path, case: &GoldenCase, rows: &str) -> String {
    let file = path.file_name().unwrap().to_string_lossy();
    let GoldenCase { name, query, answer, .. } = case;
    format!("== {file}: {name}\n{query}\n-- expected\n{answer}\n-- but\n{rows}\n")
}

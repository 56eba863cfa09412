//! The oracle judged by itself: a program and its variants have one answer.
//!
//! This catches a wrong oracle or generator before it accuses an engine, and keeps the generators
//! honest: most programs must have an answer, and every language feature must turn up.

use std::collections::BTreeMap;

use tercet_engine::program::raw::{RawFindElement, RawPullNested, RawTerm};
use tercet_tests::case::check_cases;
use tercet_tests::generate::program::{Case, case};
use tercet_tests::generate::variants::variants;
use tercet_tests::generate::{database, history};
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::History;
use tercet_tests::random::Random;
use tercet_tests::tree::{Clause, flatten, lift};

#[test]
fn variants_answer_alike() {
    check_cases("variants_answer_alike", 150, |random| {
        let facts = History::of(&database::database(random)).visible();
        let case = case(random, &facts);
        let rows = answer(&case.program, &facts, &case.inputs).expect("the generator asked");
        for (what, variant) in variants(random, &case) {
            if let Ok(variant_rows) = answer(&variant.program, &facts, &variant.inputs) {
                assert_eq!(rows, variant_rows, "{what}: {case:#?}\n{variant:#?}\n{facts:#?}");
            }
        }
        assert_eq!(lift(&flatten(&case.program)), case.program);
    });
}

#[test]
fn programs_are_worth_running() {
    let mut features = BTreeMap::<&str, u32>::new();
    let mut n_with_rows = 0;
    let n_cases = 300;
    for seed in 0..n_cases {
        let random = &mut Random::new(seed);
        let facts = History::of(&database::database(random)).visible();
        let case = case(random, &facts);
        count_features(&case, &mut features);
        let rows = answer(&case.program, &facts, &case.inputs).expect("the generator asked");
        n_with_rows += u32::from(!rows.is_empty());
    }
    assert!(n_with_rows > n_cases as u32 / 2, "only {n_with_rows} of {n_cases} have an answer");
    for feature in [
        "pattern",
        "open pattern",
        "predicate",
        "function",
        "ground",
        "get-else",
        "missing?",
        "rule",
        "not",
        "not-join",
        "or",
        "or-join",
        "recursion",
        "pull",
        "pull recursion",
        "aggregate",
        "order",
        "limit",
        "after",
        "with",
        "having",
        "inputs",
    ] {
        let n = features.get(feature).copied().unwrap_or_default();
        assert!(n >= 5, "`{feature}` is in {n} of {n_cases} programs: {features:?}");
    }
}

fn count_features(case: &Case, features: &mut BTreeMap<&'static str, u32>) {
    let program = &case.program;
    let mut count =
        |feature, there: bool| *features.entry(feature).or_default() += u32::from(there);
    let frame = &program.frame;
    let find = |test: fn(&RawFindElement) -> bool| frame.find.iter().any(test);
    count("aggregate", find(|element| matches!(element, RawFindElement::Aggregate { .. })));
    count("pull", find(|element| matches!(element, RawFindElement::Pull { .. })));
    let recursion = format!("{:?}", frame.pulls);
    count("pull recursion", recursion.contains(&format!("{:?}", RawPullNested::Recursion(None))));
    count("order", !frame.order_by.is_empty());
    count("limit", frame.limit.is_some());
    count("after", !frame.after.is_empty());
    count("with", !frame.with.is_empty());
    count("having", !frame.having.is_empty());
    count("inputs", !frame.inputs.is_empty());
    for rule in &program.rules {
        let calls = format!("Rule {{ rule: {:?}", rule.name);
        count("recursion", format!("{:?}", rule.body).contains(&calls));
    }
    let mut waiting = program.body.iter().chain(program.rules.iter().flat_map(|rule| &rule.body));
    let mut waiting = waiting.by_ref().collect::<Vec<_>>();
    while let Some(clause) = waiting.pop() {
        waiting.extend(clause.bodies().iter().flatten());
        let feature = match clause {
            Clause::Pattern { attribute: RawTerm::Variable(_), .. } => "open pattern",
            Clause::Pattern { .. } => "pattern",
            Clause::Predicate { function, .. } if function.as_str() == "missing?" => "missing?",
            Clause::Predicate { .. } => "predicate",
            Clause::Function { function, .. } => match function.as_str() {
                "ground" => "ground",
                "get-else" => "get-else",
                _ => "function",
            },
            Clause::Rule { .. } => "rule",
            Clause::Not { join: None, .. } => "not",
            Clause::Not { .. } => "not-join",
            Clause::Or { join: None, .. } => "or",
            Clause::Or { .. } => "or-join",
        };
        count(feature, true);
    }
}

#[test]
fn merge_does_not_depend_on_order_or_repetition() {
    check_cases("merge_does_not_depend_on_order_or_repetition", 200, |random| {
        let transactions = history::history(random);
        let visible = History::of(&transactions).visible();
        let mut again = [transactions.clone(), transactions.clone()].concat();
        random.shuffle(&mut again);
        assert_eq!(History::of(&again).visible(), visible, "{transactions:#?}");
    });
}

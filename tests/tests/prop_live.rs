//! Live results against the oracle, evaluated afresh after every publish.
//!
//! What this can catch: a live answer that drifts from the facts, updates that do not add up, an
//! update although nothing changed or none although something did, tiers that differ, an instance
//! shared by queries that differ, one that outlives its last user. `cargo xtask fuzz-live` does the
//! first of these many times.
#![allow(clippy::unwrap_used)]

use tercet_engine::db::Db;
use tercet_engine::limits::Budget;
use tercet_tests::case::check_cases;
use tercet_tests::generate::program::{Case, case};
use tercet_tests::generate::question::question;
use tercet_tests::generate::{database, history};
use tercet_tests::live::{Step, Trial, check, try_trial};
use tercet_tests::oracle::merge::History;
use tercet_tests::subject;

/// Checks a trial in which everything is subscribed first and every transaction is published.
fn follow(
    start: Vec<tercet_engine::fact::Transaction>,
    questions: Vec<Case>,
    transactions: impl IntoIterator<Item = tercet_engine::fact::Transaction>,
) {
    let mut steps = (0..questions.len()).map(Step::Subscribe).collect::<Vec<_>>();
    let publish = |transaction| Step::Publish { arrived: vec![transaction], left: Vec::new() };
    steps.extend(transactions.into_iter().map(publish));
    if let Err(text) = check(&Trial { start, questions, steps, ..Trial::default() }) {
        panic!("{text}");
    }
}

/// Histories that hit what the programs read: the law, on everything that `generate::live` draws.
#[test]
fn live_results_follow_every_publish() {
    check_cases("live_results_follow_every_publish", 300, |random| {
        if let Err(text) = try_trial(random) {
            panic!("{text}");
        }
    });
}

/// Any transactions at all, most of which have nothing to do with the programs.
#[test]
fn live_results_follow_every_write() {
    check_cases("live_results_follow_every_write", 60, |random| {
        let start = database::database(random);
        let facts = subject::visible(&start);
        let questions = (0..3).map(|_| case(random, &facts)).collect();
        let transactions = (20..26).map(|ms| database::transaction(random, ms)).collect::<Vec<_>>();
        follow(start, questions, transactions);
    });
}

/// Closures, cyclic joins, stars, ranges and windows, over the facts that make them interesting.
#[test]
fn live_results_of_themes_follow_every_write() {
    check_cases("live_results_of_themes_follow_every_write", 60, |random| {
        let question = loop {
            let question = question(random);
            // Every write is followed by the oracle, from the first operation on.
            if question.facts.len() < 100 {
                break question;
            }
        };
        let transactions = (2_000..2_006).map(|ms| database::transaction(random, ms));
        let transactions = transactions.collect::<Vec<_>>();
        follow(question.transactions, vec![question.case], transactions);
    });
}

/// Deletions, restores and equal stamps: facts go and come back in large steps, in any order.
#[test]
fn live_results_follow_conflicts() {
    check_cases("live_results_follow_conflicts", 60, |random| {
        let mut transactions = [history::history(random), database::database(random)].concat();
        random.shuffle(&mut transactions);
        let known = History::of(&transactions).visible();
        let questions = (0..3).map(|_| case(random, &known)).collect();
        follow(Vec::new(), questions, transactions);
    });
}

#[test]
fn equal_queries_share_an_instance_until_the_last_user_leaves() {
    check_cases("equal_queries_share_an_instance_until_the_last_user_leaves", 20, |random| {
        let transactions = database::database(random);
        let mut db = Db::with_store(subject::store(&transactions));
        let case = case(random, &History::of(&transactions).visible());
        let query = subject::prepare(&case.program).unwrap();
        let budget = Budget::unlimited();
        let first = db.subscribe(&query, &case.inputs, &budget).unwrap();
        assert_eq!(db.subscribe(&query, &case.inputs, &budget).unwrap(), first);
        db.unsubscribe(first);
        assert!(db.answer(first).is_some());
        db.unsubscribe(first);
        assert!(db.answer(first).is_none());
        let again = db.subscribe(&query, &case.inputs, &budget).unwrap();
        assert_ne!(again, first, "ids are never used again");
    });
}

/// Histories are worth following only where answers change.
#[test]
fn most_trials_change_an_answer() {
    let mut n_moved = 0;
    check_cases_count(200, |moved| n_moved += usize::from(moved));
    assert!(n_moved >= 170, "{n_moved} of 200 trials changed an answer");
}

fn check_cases_count(n_cases: u64, mut tell: impl FnMut(bool)) {
    for seed in 0..n_cases {
        let tried = try_trial(&mut tercet_tests::random::Random::of_case(seed));
        let (_, report) = tried.unwrap_or_else(|text| panic!("{text}"));
        tell(report.watches.iter().any(|watch| watch.n_updates > 0));
    }
}

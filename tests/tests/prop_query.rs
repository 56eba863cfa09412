//! The evaluator against naive evaluation, on random databases and programs.
//!
//! What this can catch: a wrong answer of any kind, a valid program refused, a panic, an answer
//! that depends on the order of clauses or the names of variables, an answer that changes when the
//! same query runs twice or when the store moves on under a snapshot.

use tercet_engine::limits::Budget;
use tercet_tests::case::check_cases;
use tercet_tests::fuzz::try_question;
use tercet_tests::generate::program::case;
use tercet_tests::generate::variants::variants;
use tercet_tests::generate::{database, history};
use tercet_tests::oracle::merge::History;
use tercet_tests::subject::{self, check_case};

/// What `cargo xtask fuzz-query` does many times: the first questions of it.
#[test]
fn programs_answer_as_the_oracle_says() {
    check_cases("programs_answer_as_the_oracle_says", 1_200, |random| {
        if let Err(text) = try_question(random) {
            panic!("{text}");
        }
    });
}

#[test]
fn how_a_program_is_written_does_not_matter() {
    check_cases("how_a_program_is_written_does_not_matter", 200, |random| {
        let transactions = database::database(random);
        let facts = History::of(&transactions).visible();
        let case = case(random, &facts);
        for (what, variant) in variants(random, &case) {
            check_case(&transactions, &variant, what);
        }
    });
}

/// Histories full of deletions and conflicts: joins must see what merge left visible, no more.
#[test]
fn queries_see_visible_facts_only() {
    check_cases("queries_see_visible_facts_only", 150, |random| {
        let mut transactions = database::database(random);
        transactions.extend(history::history(random));
        random.shuffle(&mut transactions);
        let facts = History::of(&transactions).visible();
        check_case(&transactions, &case(random, &facts), "a history out of order");
    });
}

#[test]
fn a_snapshot_answers_the_same_for_ever() {
    check_cases("a_snapshot_answers_the_same_for_ever", 100, |random| {
        let transactions = database::database(random);
        let facts = History::of(&transactions).visible();
        let case = case(random, &facts);
        let mut store = subject::store(&transactions);
        let snapshot = store.snapshot();
        let query = subject::prepare(&case.program).expect("valid by construction");
        let run = || query.run(&snapshot, &case.inputs, &Budget::unlimited());
        let before = run();
        for ms in 50..55 {
            store.apply(&database::transaction(random, ms));
        }
        assert_eq!(before, run());
    });
}

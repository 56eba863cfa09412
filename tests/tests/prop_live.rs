//! Live results against the oracle, evaluated afresh after every write.
//!
//! What this can catch: a live answer that drifts from the facts, updates that do not add up, an
//! update although nothing changed or none although something did, an instance shared by queries
//! that differ, one that outlives its last user.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use tercet_engine::answer::Row;
use tercet_engine::db::{Db, InstanceId, LiveUpdate};
use tercet_engine::fact::Transaction;
use tercet_engine::limits::Budget;
use tercet_tests::case::check_cases;
use tercet_tests::generate::program::{Case, case};
use tercet_tests::generate::question::question;
use tercet_tests::generate::{database, history};
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::History;
use tercet_tests::subject;
use tercet_tests::text::{print_facts, print_rows};

/// A database with its live queries, and what the oracle knows of both.
struct Watched {
    db: Db,
    history: History,
    live: BTreeMap<InstanceId, (Case, Vec<Row>)>,
}

impl Watched {
    fn new(transactions: &[Transaction]) -> Watched {
        let db = Db::with_store(subject::store(transactions));
        Watched { db, history: History::of(transactions), live: BTreeMap::new() }
    }

    /// The oracle's answer now; none when it takes too long.
    fn expected(&self, case: &Case) -> Option<Vec<Row>> {
        answer(&case.program, &self.history.visible(), &case.inputs).ok()
    }

    fn subscribe(&mut self, case: Case) {
        let query = subject::prepare(&case.program).unwrap();
        let Some(rows) = self.expected(&case) else { return };
        query.check_live().unwrap();
        let instance = self.db.subscribe(&query, &case.inputs, &Budget::unlimited()).unwrap();
        self.compare(instance, &case, &rows);
        self.live.insert(instance, (case, rows));
    }

    fn compare(&self, instance: InstanceId, case: &Case, rows: &[Row]) {
        let answer = self.db.answer(instance).unwrap().unwrap();
        assert!(answer.rows == *rows, "{}", self.tell(case, &answer.rows.to_vec(), rows));
    }

    fn tell(&self, case: &Case, live: &[Row], rows: &[Row]) -> String {
        let facts = print_facts(&self.history.visible());
        let query = subject::print_program(&case.program);
        let (live, rows) = (print_rows(live), print_rows(rows));
        let inputs = &case.inputs;
        format!(
            "-- facts\n{facts}-- query\n{query}\n-- inputs {inputs:?}\n\
             -- live\n{live}-- oracle\n{rows}"
        )
    }

    /// Applies a transaction and checks every live result and every update.
    fn write(&mut self, transaction: &Transaction) {
        let mut successor = self.db.store().clone();
        let delta = successor.apply(transaction);
        let updates = self.db.publish(successor, &delta);
        self.history.push(transaction);
        assert!(updates.is_sorted_by_key(|update| update.instance), "updates in order of instance");
        let mut updates = updates.into_iter().map(|u| (u.instance, u)).collect::<BTreeMap<_, _>>();
        let instances = self.live.keys().copied().collect::<Vec<_>>();
        for instance in instances {
            let (case, before) = self.live[&instance].clone();
            let Some(rows) = self.expected(&case) else {
                self.live.remove(&instance);
                updates.remove(&instance);
                continue;
            };
            self.compare(instance, &case, &rows);
            match updates.remove(&instance) {
                Some(update) => check_update(update, &before, &rows),
                None => assert!(
                    before == rows,
                    "a change without an update: {:?}\n{}",
                    self.db.tier(instance),
                    self.tell(&case, &before, &rows)
                ),
            }
            self.live.insert(instance, (case, rows));
        }
    }
}

/// Rows that show the same may come more than once, so rows are counted.
fn check_update(update: LiveUpdate, before: &[Row], after: &[Row]) {
    let change = update.change.unwrap();
    let mut expected = counts(after, 1);
    for (row, n) in counts(before, -1) {
        *expected.entry(row).or_default() += n;
    }
    expected.retain(|_, n| *n != 0);
    assert!(!expected.is_empty(), "an update without a change");
    let mut told = counts(&change.added, 1);
    for (row, n) in counts(&change.removed, -1) {
        assert!(told.insert(row, n).is_none(), "a row both added and removed");
    }
    assert_eq!(told, expected);
}

fn counts(rows: &[Row], sign: i64) -> BTreeMap<Row, i64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.clone()).or_default() += sign;
    }
    counts
}

#[test]
fn live_results_follow_every_write() {
    check_cases("live_results_follow_every_write", 120, |random| {
        let mut watched = Watched::new(&database::database(random));
        for _ in 0..3 {
            let facts = watched.history.visible();
            watched.subscribe(case(random, &facts));
        }
        for ms in 20..26 {
            watched.write(&database::transaction(random, ms));
        }
    });
}

/// Closures, cyclic joins, stars, ranges and windows, over the facts that make them interesting.
#[test]
fn live_results_of_themes_follow_every_write() {
    check_cases("live_results_of_themes_follow_every_write", 150, |random| {
        let question = loop {
            let question = question(random);
            // Every write is followed by the oracle, from the first operation on.
            if question.facts.len() < 100 {
                break question;
            }
        };
        let mut watched = Watched::new(&question.transactions);
        watched.subscribe(question.case);
        for ms in 2_000..2_006 {
            watched.write(&database::transaction(random, ms));
        }
    });
}

/// Deletions, restores and late changes: facts go and come back in large steps.
#[test]
fn live_results_follow_conflicts() {
    check_cases("live_results_follow_conflicts", 60, |random| {
        let mut watched = Watched::new(&[]);
        let mut transactions = [history::history(random), database::database(random)].concat();
        random.shuffle(&mut transactions);
        let known = History::of(&transactions).visible();
        for _ in 0..3 {
            watched.subscribe(case(random, &known));
        }
        for transaction in transactions {
            watched.write(&transaction);
        }
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

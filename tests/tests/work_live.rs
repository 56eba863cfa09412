//! A write costs what it changes: not how many facts there are, not how many subscribe.
//!
//! Each test publishes the same changes to databases that differ in what has nothing to do with
//! them: facts of the same attributes about others, and live queries of twenty shapes that watch
//! others. What shapes count of their work (`ShapeStats::n_lookups`, over all shapes) must stay the
//! same up to a few steps at the edges; counts, not times, so nothing here depends on the machine.
//! That the changes are told is checked too: work that is not done would be proportional as well.
#![allow(clippy::unwrap_used)]

use tercet_engine::db::{Db, InstanceId, Query, Tier};
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_query_lang::{inputs_from_text, parse};
use tercet_tests::subject::store;
use tercet_tests::text::parse_ops;
use tercet_tests::workload::transactions;

/// How much there is beside what the changes are about.
#[derive(Debug, Clone, Copy)]
struct Others {
    n_people: usize,
    n_subscriptions: usize,
}

/// One subscription of each shape.
const FEW: Others = Others { n_people: 100, n_subscriptions: 20 };
const MANY_FACTS: Others = Others { n_people: 3_000, n_subscriptions: 20 };
const MANY_SUBSCRIPTIONS: Others = Others { n_people: 100, n_subscriptions: 2_000 };

/// People `p0`, `p1`, …, each with ten facts: a city of fifty, a name and a salary of their own,
/// and others whom they follow.
fn people(n_people: usize) -> Vec<Op> {
    let mut text = String::new();
    for index in 0..n_people {
        let (city, on) = (index % 50, index % 2 == 0);
        text += &format!("set p{index} p/name \"name {index}\"\n");
        text += &format!("set p{index} p/city \"city {city}\"\n");
        text += &format!("set p{index} p/age {}\n", index % 90);
        text += &format!("set p{index} p/salary {}\n", 1_000_000 + index);
        text += &format!("set p{index} p/on {on}\n");
        for step in [1, 7, 30] {
            text += &format!("add p{index} p/follows #ref \"p{}\"\n", (index + step) % n_people);
        }
        text += &format!("add p{index} p/tag \"tag {}\"\n", index % 40);
        text += &format!("set p{index} p/note \"note {index}\"\n");
    }
    parse_ops(&text)
}

/// The twenty shapes that others subscribe; `{}` is an argument of their own.
const SHAPES: [&str; 20] = [
    "[:find ?n :where [?p :p/city \"at {}\"] [?p :p/name ?n]]",
    "[:find ?p :where [?p :p/name \"nobody {}\"]]",
    "[:find ?p ?a :where [?p :p/city \"at {}\"] [?p :p/age ?a] [?p :p/on true]]",
    "[:find ?f :where [#ref \"q{}\" :p/follows ?f]]",
    "[:find ?n :where [#ref \"q{}\" :p/follows ?f] [?f :p/name ?n]]",
    "[:find ?f :where [?f :p/follows #ref \"q{}\"]]",
    "[:find ?g :where [#ref \"q{}\" :p/follows ?f] [?f :p/follows ?g]]",
    "[:find ?p :where [?p :p/city \"at {}\"] (not [?p :p/on true])]",
    "[:find ?p :where [?p :p/tag \"none {}\"] [(missing? $ ?p :p/age)]]",
    "[:find ?p ?s :where [?p :p/salary ?s] [?p :p/city \"at {}\"] [(> ?s 5)]]",
    "[:find ?p :where [?p :p/salary ?s] [(> ?s 9{}00000)]]",
    "[:find ?p :where [?p :p/salary ?s] [(< ?s -{})]]",
    "[:find (count ?p) :where [?p :p/city \"at {}\"]]",
    "[:find ?a (count ?p) :where [?p :p/city \"at {}\"] [?p :p/age ?a]]",
    "[:find (max ?s) :where [?p :p/city \"at {}\"] [?p :p/salary ?s]]",
    "[:find ?p ?a :where [?p :p/city \"at {}\"] [?p :p/age ?a] :order-by [?a] :limit 3]",
    "[:find ?p ?s :where [?p :p/tag \"none {}\"] [?p :p/salary ?s] :order-by [[?s :desc]] :limit 2]",
    "[:find (pull ?p [:p/name :p/age]) :where [?p :p/name \"nobody {}\"]]",
    "[:find ?p :where (or [?p :p/tag \"none {}\"] [?p :p/name \"nobody {}\"])]",
    "[:find ?p ?b :where [?p :p/tag \"none {}\"] [(get-else $ ?p :p/age 0) ?b]]",
];

fn prepare(text: &str) -> Query {
    let raw = parse(text).unwrap_or_else(|report| panic!("{text}\n{report}")).raw;
    Query::prepare(raw).unwrap()
}

/// A database with others in it, and one more live query.
struct Scene {
    db: Db,
    instance: InstanceId,
    ms: u64,
}

impl Scene {
    fn new(others: Others, facts: &str, query: &str, inputs: &[&str], tier: Tier) -> Scene {
        let ops = [people(others.n_people), parse_ops(facts)].concat();
        let mut db = Db::with_store(store(&transactions(&ops, 1_000)));
        let budget = Budget::unlimited();
        for index in 0..others.n_subscriptions {
            let shape = SHAPES[index % SHAPES.len()];
            let text = shape.replace("{}", &(index / SHAPES.len()).to_string());
            db.subscribe(&prepare(&text), &[], &budget).unwrap();
        }
        let query = prepare(query);
        let inputs: Vec<Input> = inputs_from_text(query.raw(), inputs).unwrap();
        let instance = db.subscribe(&query, &inputs, &budget).unwrap();
        assert_eq!(db.tier(instance), Some(tier), "how {query:?} is kept");
        Scene { db, instance, ms: 1_000_000 }
    }

    /// Publishes operations as one transaction; how many rows the instance lost and gained, and
    /// the work of all shapes.
    fn publish(&mut self, ops: &str) -> (usize, u64) {
        self.ms += 1;
        let transaction =
            Transaction { hlc: Hlc::new(self.ms, 0, ReplicaId(1)), ops: parse_ops(ops) };
        let mut successor = self.db.store().clone();
        let delta = successor.apply(&transaction);
        let before = self.n_lookups();
        let updates = self.db.publish(successor, &delta);
        let own = updates.into_iter().filter(|update| update.instance == self.instance);
        let n_rows = own.map(|update| {
            let rows = update.change.unwrap();
            rows.added.len() + rows.removed.len()
        });
        (n_rows.sum(), self.n_lookups() - before)
    }

    fn n_lookups(&self) -> u64 {
        self.db.live_stats().iter().map(|shape| shape.n_lookups).sum()
    }
}

/// Checks that each change tells as many rows as stated, with about the same work whatever else
/// there is.
fn check(facts: &str, query: &str, inputs: &[&str], changes: &[(&str, usize)]) {
    let run = |others: Others| -> Vec<u64> {
        let mut scene = Scene::new(others, facts, query, inputs, Tier::Delta);
        let publish = |(ops, n_rows): &(&str, usize)| {
            let (told, work) = scene.publish(ops);
            assert_eq!(told, *n_rows, "rows told of {ops} under {query}, {others:?}");
            work
        };
        changes.iter().map(publish).collect()
    };
    let few = run(FEW);
    assert!(few.iter().any(|work| *work > 0), "{query}: nothing is counted");
    for others in [MANY_FACTS, MANY_SUBSCRIPTIONS] {
        for ((many, few), (ops, _)) in run(others).iter().zip(&few).zip(changes) {
            assert!(
                *many <= few + few / 4 + 8,
                "{query}\n{ops}: {few} look-ups, and {many} with {others:?}"
            );
        }
    }
}

const ANN: &str = "set ann p/name \"Ann\"\nset ann p/city \"home\"\nset ann p/age 30\n\
                   set ann p/salary 50\nset ann p/on true\nadd ann p/follows #ref \"bob\"\n\
                   set bob p/name \"Bob\"\nset bob p/age 40\nset bob p/city \"home\"\n\
                   set bob p/salary 70";

#[test]
fn a_star_join_looks_at_its_entity() {
    check(
        ANN,
        "[:find ?n ?a :in ?c :where [?p :p/city ?c] [?p :p/name ?n] [?p :p/age ?a] [?p :p/on true]]",
        &["\"home\""],
        &[("set ann p/age 31", 2), ("set p5 p/age 3", 0), ("set bob p/on true", 1)],
    );
}

#[test]
fn a_join_of_two_looks_at_what_is_tied() {
    check(
        ANN,
        "[:find ?n :in ?p :where [?p :p/follows ?f] [?f :p/name ?n]]",
        &["#ref \"ann\""],
        &[
            ("add ann p/follows #ref \"p7\"", 1),
            ("set bob p/name \"Rob\"", 2),
            ("set p9 p/name \"Zoe\"", 0),
        ],
    );
}

#[test]
fn a_negation_looks_at_what_it_denies() {
    check(
        ANN,
        "[:find ?n :in ?c :where [?p :p/city ?c] [?p :p/name ?n] (not [?p :p/on true])]",
        &["\"home\""],
        &[("set bob p/on true", 1), ("set bob p/on false", 1), ("set p3 p/on true", 0)],
    );
}

#[test]
fn a_range_by_a_parameter_looks_at_the_value() {
    check(
        ANN,
        "[:find ?p ?s :in ?most :where [?p :p/salary ?s] [(< ?s ?most)]]",
        &["60"],
        &[("set ann p/salary 55", 2), ("set bob p/salary 10", 1), ("set p4 p/salary 2000000", 0)],
    );
}

#[test]
fn a_group_looks_at_its_members() {
    check(
        ANN,
        "[:find ?c (count ?p) (min ?a) :in [?c ...] :where [?p :p/city ?c] [?p :p/age ?a]]",
        &["[\"home\" \"away\"]"],
        &[
            ("set ann p/age 20", 2),
            ("unset ann p/age", 2),
            ("set p8 p/age 4", 0),
            ("set p8 p/city \"away\"", 1),
        ],
    );
}

#[test]
fn a_window_looks_at_its_edge() {
    check(
        ANN,
        "[:find ?s ?p :in ?c :where [?p :p/city ?c] [?p :p/salary ?s] \
         :order-by [[?s :desc]] :limit 2]",
        &["\"home\""],
        &[
            ("set cyd p/city \"home\"\nset cyd p/salary 60", 2),
            ("unset cyd p/city", 2),
            ("set p6 p/salary 3", 0),
        ],
    );
}

#[test]
fn a_pull_looks_at_what_it_shows() {
    check(
        ANN,
        "[:find (pull ?p [:p/name {:p/follows [:p/name]}]) :in ?c :where [?p :p/city ?c]]",
        &["\"home\""],
        &[("set bob p/name \"Rob\"", 4), ("set p2 p/name \"Eve\"", 0)],
    );
}

/// The measure is not blind: what concerns many is counted as much.
#[test]
fn work_grows_with_what_is_concerned() {
    let query = "[:find ?n :where [?h :p/city \"hub\"] [?p :p/follows ?h] [?p :p/name ?n]]";
    let work = |n_followers: usize| {
        let line = |index| format!("add p{index} p/follows #ref \"hub\"\n");
        let facts: String = (0..n_followers).map(line).collect();
        let mut scene = Scene::new(FEW, &facts, query, &[], Tier::Delta);
        let (n_rows, work) = scene.publish("set hub p/city \"hub\"");
        assert_eq!(n_rows, n_followers);
        work
    };
    let (few, many) = (work(5), work(80));
    assert!(many > 8 * few.max(1), "{few} and {many} look-ups");
}

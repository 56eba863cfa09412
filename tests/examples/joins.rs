//! Times of the joins of a prepared query on the named workloads: `cargo run --release -p
//! tercet-tests --no-default-features --example joins [name part]`.
//!
//! Each query runs several times in one process; the fastest is told, because the machine's noise
//! only adds. It exists to see at once what a change of a plan or an operator does; the comparisons
//! with other engines are in `benches`.

use std::time::{Duration, Instant};

use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::Value;
use tercet_query_lang::parse;
use tercet_tests::workload;

const PEOPLE: &[(&str, &str)] = &[
    ("q1", "[:find ?e :where [?e :person/name \"Ivan\"]]"),
    ("q2", "[:find ?e ?a :where [?e :person/name \"Ivan\"] [?e :person/age ?a]]"),
    (
        "q3",
        "[:find ?e ?a :where [?e :person/name \"Ivan\"] [?e :person/age ?a]
          [?e :person/sex \"male\"]]",
    ),
    (
        "q4",
        "[:find ?e ?l ?a :where [?e :person/name \"Ivan\"] [?e :person/last-name ?l]
          [?e :person/age ?a] [?e :person/sex \"male\"]]",
    ),
    (
        "q5",
        "[:find ?e1 ?l ?a :where [?e :person/name \"Ivan\"] [?e :person/age ?a]
          [?e1 :person/age ?a] [?e1 :person/last-name ?l]]",
    ),
    (
        "q6",
        "[:find ?e1 ?e2 ?l :where [?e1 :person/age 35] [?e2 :person/age 36]
          [?e1 :person/last-name ?l] [?e2 :person/last-name ?l]]",
    ),
    ("range", "[:find ?e ?s :where [?e :person/salary ?s] [(> ?s 50000)]]"),
    ("rangep", "[:find ?e ?s :in ?min :where [?e :person/salary ?s] [(> ?s ?min)]]"),
    ("range.n", "[:find (count ?e) . :where [?e :person/salary ?s] [(> ?s 50000)]]"),
    (
        "group",
        "[:find ?l ?x (avg ?s) (count ?e) :where [?e :person/last-name ?l]
          [?e :person/sex ?x] [?e :person/salary ?s]]",
    ),
    ("not", "[:find ?e :where [?e :person/name \"Ivan\"] (not [?e :person/sex \"male\"])]"),
    ("missing", "[:find ?e :where [?e :person/name _] [(missing? $ ?e :person/nothing)]]"),
    ("point", "[:find ?n ?l :in ?e :where [?e :person/name ?n] [?e :person/last-name ?l]]"),
    (
        "rule",
        "[:find ?e ?a :where (ivan ?e) (aged ?e ?a)
          :rules [[(ivan ?x) [?x :person/name \"Ivan\"]] [(aged ?x ?a) [?x :person/age ?a]]]]",
    ),
    (
        "reach",
        "[:find (count ?y) . :in ?x :where (reach ?x ?y)
          :rules [[(reach ?x ?y) [?x :person/follows ?y]]
                  [(reach ?x ?y) (reach ?x ?z) [?z :person/follows ?y]]]]",
    ),
];

const GRAPH: &[(&str, &str)] = &[
    (
        "triangle",
        "[:find (count ?a) . :with ?b ?c :where [?a :node/edge ?b] [?b :node/edge ?c]
          [?a :node/edge ?c]]",
    ),
    ("sinks", "[:find ?x :where [_ :node/edge ?x] (not [?x :node/edge _])]"),
    ("hops", "[:find (count ?c) . :in ?a :where [?a :node/edge ?b] [?b :node/edge ?c]]"),
];

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    run(&filter, "people", &workload::people(workload::N_PEOPLE), "person:7", PEOPLE);
    run(&filter, "graph", &workload::edge_ops(&workload::graph(14, 100_000)), "node:77", GRAPH);
    let tree = workload::edge_ops(&workload::tree(4_000));
    let ancestors = "[:find ?y :in ?x :where (up ?x ?y) :rules [[(up ?x ?y) [?x :node/edge ?y]]
                      [(up ?x ?y) [?x :node/edge ?z] (up ?z ?y)]]]";
    run(&filter, "tree", &tree, "node:3990", &[("ancestors", ancestors)]);
    prepare(&filter);
}

/// The inputs of a query: a number where it compares, else the entity.
fn inputs(text: &str, entity: &str) -> Vec<Input> {
    if text.contains(":in ?min") {
        return vec![Input::Scalar(Value::int(50_000))];
    }
    let entity = EntityId::new(entity).expect("an id");
    if text.contains(":in") { vec![Input::Scalar(Value::Ref(entity))] } else { Vec::new() }
}

fn run(filter: &str, workload: &str, ops: &[Op], entity: &str, queries: &[(&str, &str)]) {
    let names: Vec<String> = queries.iter().map(|(name, _)| format!("{workload}.{name}")).collect();
    if !names.iter().any(|name| name.contains(filter)) {
        return;
    }
    let snapshot = load(ops);
    for ((_, text), name) in queries.iter().zip(&names) {
        if !name.contains(filter) {
            continue;
        }
        let parsed = parse(text).expect("the text is right");
        let query = parsed.prepare().expect("the query is right");
        let inputs = inputs(text, entity);
        let answer = || query.run(&snapshot, &inputs, &Budget::unlimited()).expect("no budget");
        let n_rows = answer().rows.len();
        let (first, best) = fastest(&|| drop(answer()));
        let work = answer().work;
        println!(
            "{name:20} {best:>12.1?} (first {first:.1?})  {n_rows} rows, {} read, {} made",
            work.n_facts_read, work.n_rows_made
        );
        if std::env::var("EXPLAIN").is_ok() {
            print!("{}", query.explain(&snapshot));
        }
    }
}

fn load(ops: &[Op]) -> Snapshot {
    let mut store = Store::new();
    for transaction in workload::transactions(ops, 10_000) {
        store.apply(&transaction);
    }
    assert!(store.snapshot().find_attribute(&Attribute::new("a/b").expect("valid")).is_none());
    store.snapshot()
}

/// The first and the fastest time of many, within about a second.
fn fastest(run: &dyn Fn()) -> (Duration, Duration) {
    let began = Instant::now();
    let mut times = Vec::new();
    while times.len() < 5 || (began.elapsed() < Duration::from_secs(1) && times.len() < 10_000) {
        let start = Instant::now();
        run();
        times.push(start.elapsed());
    }
    (times[0], times.into_iter().min().expect("it ran"))
}

fn prepare(filter: &str) {
    if !"prepare".contains(filter) {
        return;
    }
    let text = "[:find ?a ?e :where [?a :x/a ?b] [?b :x/b ?c] [?c :x/c ?d] [?d :x/d ?e]
                 [?e :x/e 1] [(< ?c 5)]]";
    let snapshot = Store::new().snapshot();
    let prepared = || {
        let query = parse(text).expect("right").prepare().expect("right");
        query.explain(&snapshot)
    };
    let (_, best) = fastest(&|| drop(prepared()));
    println!("{:20} {best:>12.1?}", "prepare");
}

//! Transitive closure on graphs of real size: the engine against SQLite's recursive queries.
//!
//! The naive oracle joins in where it can keep up. What this can catch: rows lost or doubled in
//! long recursions, skew and cycles that small random databases never have.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use tercet_engine::answer::{Output, Row};
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value;
use tercet_query_lang::parse;
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::History;
use tercet_tests::subject;
use tercet_tests::tree::{Program, lift};
use tercet_tests::{sql, workload};

type Edges = Vec<(EntityId, EntityId)>;

const RIGHT_LINEAR: &str = "[(up ?a ?b) [?a :node/edge ?b]]
                            [(up ?a ?b) [?a :node/edge ?m] (up ?m ?b)]";
const LEFT_LINEAR: &str = "[(up ?a ?b) [?a :node/edge ?b]]
                           [(up ?a ?b) (up ?a ?m) [?m :node/edge ?b]]";
const NON_LINEAR: &str = "[(up ?a ?b) [?a :node/edge ?b]]
                          [(up ?a ?b) (up ?a ?m) (up ?m ?b)]";

fn program(find_and_where: &str, rules: &str) -> Program {
    lift(&parse(&format!("[{find_and_where} :rules [{rules}]]")).unwrap().raw)
}

/// How the engine answers over the edges.
fn engine(edges: &Edges, program: &Program) -> Vec<Row> {
    let transactions = workload::transactions(&workload::edge_ops(edges), 1_000);
    let snapshot = subject::store(&transactions).snapshot();
    subject::run(&subject::prepare(program).unwrap(), &snapshot, &[]).unwrap()
}

fn entities(rows: &[Row]) -> Vec<EntityId> {
    let entity = |row: &Row| match &row[..] {
        [Output::Value(Value::Ref(entity))] => entity.clone(),
        _ => panic!("{row:?}"),
    };
    rows.iter().map(entity).collect()
}

/// Compares every way to write the closure; `node` is whose ancestors are asked for.
fn check(edges: &Edges, node: &EntityId) {
    let expected = sql::closure(edges, node).unwrap();
    for rules in [RIGHT_LINEAR, LEFT_LINEAR, NON_LINEAR] {
        let pairs = engine(edges, &program(":find (count ?b) . :with ?a :where (up ?a ?b)", rules));
        assert_eq!(pairs, [[Output::Value(Value::int(expected.n_pairs as i64))]], "{rules}");
        let ancestors = program(&format!(":find ?b :where (up \"{node}\" ?b)"), rules);
        assert_eq!(entities(&engine(edges, &ancestors)), expected.ancestors, "{rules}");
        let below = program(&format!(":find ?a :where (up ?a #ref \"{node}\")"), rules);
        let turned = edges.iter().map(|(a, b)| (b.clone(), a.clone())).collect::<Vec<_>>();
        let expected_below = sql::closure(&turned, node).unwrap().ancestors;
        assert_eq!(entities(&engine(edges, &below)), expected_below, "{rules}");
    }
}

#[test]
fn a_deep_tree_closes() {
    let edges = workload::tree(600);
    check(&edges, &edges[560].0);
}

#[test]
fn a_skewed_graph_with_cycles_closes() {
    let edges = workload::graph(6, 150);
    check(&edges, &edges[20].0);
}

#[test]
fn the_naive_oracle_and_sql_agree() {
    for edges in [workload::tree(25), workload::graph(4, 25)] {
        let node = &edges[edges.len() / 2].0;
        let facts =
            History::of(&workload::transactions(&workload::edge_ops(&edges), 100)).visible();
        let rows = answer(&program(":find ?a ?b :where (up ?a ?b)", NON_LINEAR), &facts, &[]);
        let rows = rows.unwrap();
        let expected = sql::closure(&edges, node).unwrap();
        assert_eq!(rows.len() as u64, expected.n_pairs);
        let source = Output::Value(Value::Ref(node.clone()));
        let own = rows.iter().filter(|row| row[0] == source).map(|row| vec![row[1].clone()]);
        assert_eq!(entities(&own.collect::<Vec<_>>()), expected.ancestors);
        let distinct = rows.iter().collect::<BTreeSet<_>>();
        assert_eq!(distinct.len(), rows.len());
    }
}

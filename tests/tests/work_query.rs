//! How much a query touches must not depend on what it does not ask about.
//!
//! Each test runs one query over two databases, the second with many more facts that have nothing
//! to do with the answer, and compares `Answer::work`: counts, not times, so nothing here depends on
//! the machine. A larger constant is fine; growth with the unrelated data is not.
#![allow(clippy::unwrap_used)]

use tercet_engine::answer::Work;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::limits::Budget;
use tercet_engine::value::Value;
use tercet_query_lang::parse;
use tercet_tests::subject::store;
use tercet_tests::workload::transactions;

fn add(e: &str, a: &str, v: Value) -> Op {
    Op::Add { e: EntityId::new(e).unwrap(), a: Attribute::new(a).unwrap(), v }
}

fn edge(from: &str, to: &str) -> Op {
    add(from, "n/to", Value::Ref(EntityId::new(to).unwrap()))
}

/// What a query touches, and how many rows it gives.
fn work(ops: &[Op], query: &str) -> (Work, usize) {
    let snapshot = store(&transactions(ops, 1_000)).snapshot();
    let raw = parse(query).unwrap_or_else(|report| panic!("{report}")).raw;
    let query = tercet_engine::db::Query::prepare(raw).unwrap();
    let answer = query.run(&snapshot, &[], &Budget::unlimited()).unwrap();
    (answer.work, answer.rows.len())
}

/// Checks that a query gives `n_rows` and touches the same with and without the unrelated facts,
/// up to a few facts and rows at the edges of what it reads.
fn check_unmoved(related: &[Op], unrelated: &[Op], query: &str, n_rows: usize) {
    let (small, n_small) = work(related, query);
    let (large, n_large) = work(&[related, unrelated].concat(), query);
    assert_eq!((n_small, n_large), (n_rows, n_rows), "{query}");
    let near = |small: u64, large: u64| large <= small + small / 4 + 16;
    assert!(near(small.n_facts_read, large.n_facts_read), "{query}: {small:?} to {large:?}");
    assert!(near(small.n_rows_made, large.n_rows_made), "{query}: {small:?} to {large:?}");
    assert!(near(small.n_rounds, large.n_rounds), "{query}: {small:?} to {large:?}");
}

/// A chain of `n` edges whose nodes begin with `prefix`.
fn chain(prefix: &str, n: usize) -> Vec<Op> {
    let node = |index| format!("{prefix}{index}");
    (0..n).map(|index| edge(&node(index), &node(index + 1))).collect()
}

const N_UNRELATED: usize = 4_000;

/// Other graphs of the same attribute: chains, and nodes that many point to.
fn other_graphs() -> Vec<Op> {
    let mut ops = Vec::new();
    for index in 0..N_UNRELATED / 40 {
        ops.extend(chain(&format!("u{index}-"), 20));
        ops.extend(
            (0..20).map(|from| edge(&format!("s{index}-{from}"), &format!("hub{}", index % 7))),
        );
    }
    ops
}

const RIGHT: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) [?a :n/to ?c] (r ?c ?b)]]";
const LEFT: &str = "[[(r ?a ?b) [?a :n/to ?b]] [(r ?a ?b) (r ?a ?c) [?c :n/to ?b]]]";

#[test]
fn recursion_from_one_node_stays_with_what_it_reaches() {
    for rules in [RIGHT, LEFT] {
        let query = format!("[:find ?y :where (r #ref \"c3\" ?y) :rules {rules}]");
        check_unmoved(&chain("c", 10), &other_graphs(), &query, 7);
    }
}

#[test]
fn recursion_into_one_node_stays_with_what_reaches_it() {
    for rules in [RIGHT, LEFT] {
        let query = format!("[:find ?x :where (r ?x #ref \"c7\") :rules {rules}]");
        check_unmoved(&chain("c", 10), &other_graphs(), &query, 7);
    }
}

#[test]
fn recursion_bound_by_another_clause_stays_with_its_nodes() {
    let mut related = chain("c", 10);
    related.push(add("c3", "n/name", Value::from("start")));
    related.push(add("c8", "n/name", Value::from("start")));
    for rules in [RIGHT, LEFT] {
        let query = format!("[:find ?x ?y :where (r ?x ?y) [?x :n/name \"start\"] :rules {rules}]");
        check_unmoved(&related, &other_graphs(), &query, 9);
    }
}

#[test]
fn same_generation_of_one_node_stays_in_its_tree() {
    let tree = |prefix: &str| {
        let node = |index: usize| format!("{prefix}{index}");
        (1..15).map(|child| edge(&node(child), &node((child - 1) / 2))).collect::<Vec<_>>()
    };
    let related = tree("t");
    let unrelated = (0..200).flat_map(|index| tree(&format!("u{index}-")));
    let query = "[:find ?y :where (sg #ref \"t7\" ?y) :rules [[(sg ?x ?y) [?x :n/to ?p] [?y :n/to ?p]] \
                 [(sg ?x ?y) [?x :n/to ?p] (sg ?p ?q) [?y :n/to ?q]]]]";
    check_unmoved(&related, &unrelated.collect::<Vec<_>>(), query, 8);
}

/// People with some fields; the one asked for has a name that no other has.
fn people(n: usize) -> Vec<Op> {
    let person = |index: usize| {
        let e = format!("p{index}");
        [
            add(&e, "p/name", Value::from(format!("name {index}"))),
            add(&e, "p/sex", Value::from(if index.is_multiple_of(2) { "f" } else { "m" })),
            add(&e, "p/age", Value::int(index as i64 % 90)),
            add(&e, "p/city", Value::from(format!("city {}", index % 5))),
        ]
    };
    (0..n).flat_map(person).collect()
}

#[test]
fn a_star_costs_what_its_rarest_clause_gives() {
    let (related, all) = (people(20), people(N_UNRELATED));
    let query = "[:find ?age ?city :where [?p :p/sex \"f\"] [?p :p/age ?age] [?p :p/city ?city] \
                 [?p :p/name \"name 4\"]]";
    check_unmoved(&related, &all[related.len()..], query, 1);
}

#[test]
fn a_star_reads_no_other_attribute() {
    let related = people(50);
    let unrelated = (0..N_UNRELATED).flat_map(|index| {
        let e = format!("x{index}");
        [add(&e, "x/sex", Value::from("f")), add(&e, "x/age", Value::int(index as i64))]
    });
    let query = "[:find ?p ?age :where [?p :p/sex \"f\"] [?p :p/age ?age] [(< ?age 10)]]";
    check_unmoved(&related, &unrelated.collect::<Vec<_>>(), query, 5);
}

/// The window is of an attribute that few have. That a window stops before it has seen all that
/// have the attribute is a stronger claim, and not this one.
#[test]
fn a_window_reads_only_who_has_its_key() {
    let ranked = (0..30).map(|index| add(&format!("p{index}"), "p/rank", Value::int(index)));
    let related = people(30).into_iter().chain(ranked).collect::<Vec<_>>();
    let all = people(N_UNRELATED);
    let query = "[:find ?rank ?name :where [?p :p/rank ?rank] [?p :p/name ?name] \
                 :order-by [[?rank :desc]] :limit 5]";
    check_unmoved(&related, &all[30 * 4..], query, 5);
}

/// A known value leaves few facts: the order's attribute is not gone through for them, however
/// many have it.
#[test]
fn a_window_over_one_value_reads_no_others() {
    let message = |index: usize, channel: &str| {
        let e = format!("m{index}");
        [add(&e, "m/channel", Value::from(channel)), add(&e, "m/time", Value::int(index as i64))]
    };
    let related: Vec<Op> = (0..10).flat_map(|index| message(index, "c1")).collect();
    let unrelated: Vec<Op> = (10..N_UNRELATED).flat_map(|index| message(index, "others")).collect();
    let query = "[:find ?m ?time :where [?m :m/channel \"c1\"] [?m :m/time ?time] \
                 :order-by [[?time :desc]] :limit 50]";
    check_unmoved(&related, &unrelated, query, 10);
}

/// The measure is not blind: what is asked about is counted.
#[test]
fn work_grows_with_what_is_asked() {
    let query = format!("[:find ?x ?y :where (r ?x ?y) :rules {RIGHT}]");
    let (small, _) = work(&chain("c", 10), &query);
    let (large, _) = work(&chain("c", 40), &query);
    assert!(small.n_facts_read >= 10 && small.n_rows_made >= 10, "{small:?}");
    assert!(large.n_facts_read > 2 * small.n_facts_read, "{small:?} to {large:?}");
    assert!(large.n_rows_made > 2 * small.n_rows_made, "{small:?} to {large:?}");
}

/// A cyclic core takes room for its own edges, however many entities there were before them, and
/// answers the same whether its nodes are dense among all entities or not.
#[test]
fn a_cycle_of_few_edges_takes_no_room_for_other_entities() {
    let corner = |i: usize| format!("c{}", i % 300);
    let cycle =
        (0..300).flat_map(|i| [edge(&corner(i), &corner(i + 1)), edge(&corner(i), &corner(i + 2))]);
    let cycle: Vec<Op> = cycle.collect();
    let others: Vec<Op> =
        (0..100_000).map(|i| add(&format!("o{i}"), "n/name", Value::int(i))).collect();
    let text = "[:find ?a ?b ?c :where [?a :n/to ?b] [?b :n/to ?c] [?a :n/to ?c]]";
    let query = tercet_engine::db::Query::prepare(parse(text).unwrap().raw).unwrap();
    let budget = Budget { bytes: Some(200_000), ..Budget::unlimited() };
    // The entities of the cycle come first, or far behind.
    for ops in [cycle.clone(), [others, cycle].concat()] {
        let answer = query.run(&store(&transactions(&ops, 1_000)).snapshot(), &[], &budget);
        assert_eq!(answer.unwrap().rows.len(), 300);
    }
}

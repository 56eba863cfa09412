//! The first rows in an order: what a window shows is what all rows show there, and finding it
//! does not read what has nothing to do with it.
//!
//! The databases of the other properties are too small for the engine to begin at the end of an
//! index, so these have hundreds of facts; the answer is judged by the same query without its
//! window, which is judged there.
#![allow(clippy::unwrap_used)]

use tercet_engine::answer::{Output, Row};
use tercet_engine::db::Query;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::limits::Budget;
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::{Date, Value};
use tercet_tests::case::check_cases;
use tercet_tests::random::Random;

fn op(entity: usize, attribute: &str, value: Value) -> Op {
    let e = EntityId::new(format!("e{entity}")).unwrap();
    Op::Add { e, a: Attribute::new(attribute).unwrap(), v: value }
}

fn snapshot(ops: Vec<Op>) -> Snapshot {
    let mut store = Store::new();
    store.apply(&Transaction { hlc: Hlc::ZERO, ops });
    store.snapshot()
}

fn query(text: &str) -> Query {
    Query::prepare(tercet_query_lang::parse(text).unwrap().raw).unwrap()
}

fn rows(text: &str, snapshot: &Snapshot) -> Vec<Row> {
    query(text).run(snapshot, &[], &Budget::unlimited()).unwrap().rows.to_vec()
}

/// A value of a kind that an index orders, or once in a while one that it does not.
fn value(random: &mut Random, n_values: usize, has_others: bool) -> Value {
    let number = random.below(n_values) as i64;
    match random.below(40) {
        0 => Value::Boolean(number % 2 == 0),
        1 => Value::Date(Date::from_ms(number).unwrap()),
        2 if has_others => Value::double(number as f64 + 0.5).unwrap(),
        3 if has_others => Value::from(format!("s{number}")),
        4 if has_others => Value::reference(&format!("e{number}")).unwrap(),
        _ => Value::int(number - 5),
    }
}

#[test]
fn a_window_shows_what_all_rows_show_there() {
    check_cases("a_window_shows_what_all_rows_show_there", 60, |random| {
        let n_values = [3, 40, 5_000][random.below(3)];
        let has_others = random.below(4) == 0;
        let mut ops = Vec::new();
        for entity in 0..300 + random.below(400) {
            for _ in 0..=random.below(2) {
                ops.push(op(entity, "a/v", value(random, n_values, has_others)));
            }
            ops.push(op(entity, "a/w", Value::int(random.below(4) as i64)));
        }
        let snapshot = snapshot(ops);
        for _ in 0..12 {
            let direction = ["", ":desc"][random.below(2)];
            let body = [
                "[?e :a/v ?v]",
                "[?e :a/v ?v] [?e :a/w ?w]",
                "[?e :a/v ?v] [?e :a/w 1]",
                "[?e :a/v ?v] [?e :a/w ?w] [(> ?w 2)]",
                "[?e :a/v ?v] [?e :a/w ?w] [(= ?w ?v)]",
                "[?e :a/v ?v] [(missing? $ ?e :a/none)]",
            ][random.below(6)];
            let find = ["?e ?v", "?v", "?v ?e", "(pull ?e [:a/w]) ?v"][random.below(4)];
            let order = match random.below(3) {
                0 if find.contains("?e ?v") => format!("[[?v {direction}] [?e :desc]]"),
                _ => format!("[[?v {direction}]]"),
            };
            let all = rows(&format!("[:find {find} :where {body} :order-by {order}]"), &snapshot);
            let (offset, limit) = (random.below(9), random.below(12));
            let after = random.below(n_values) as i64 - 5;
            let has_after = random.below(3) == 0 && !order.contains("?e");
            let is_after = |row: &&Row| {
                let column = row.len() - 1 - usize::from(find == "?v ?e");
                let order = row[column].cmp(&Output::Value(Value::int(after)));
                !has_after || if direction.is_empty() { order.is_gt() } else { order.is_lt() }
            };
            let expected: Vec<Row> =
                all.iter().filter(is_after).skip(offset).take(limit).cloned().collect();
            let after = if has_after { format!(":after [{after}]") } else { String::new() };
            let text = format!(
                "[:find {find} :where {body} :order-by {order} {after} :limit {limit} :offset {offset}]"
            );
            assert_eq!(rows(&text, &snapshot), expected, "{text}");
        }
    });
}

/// People with pay, half of them of one trade.
fn people(n_people: usize) -> Snapshot {
    let person = |person: usize| {
        let pay = Value::int((person * 7_919 % 100_003) as i64);
        [op(person, "p/pay", pay), op(person, "p/trade", Value::int(person as i64 % 2))]
    };
    snapshot((0..n_people).flat_map(person).collect())
}

#[test]
fn the_facts_read_do_not_grow_with_those_behind() {
    let text = "[:find ?e ?pay :where [?e :p/pay ?pay] [?e :p/trade 1]
                 :order-by [[?pay :desc]] :limit 10 :offset 5]";
    let query = query(text);
    let work = |n_people| {
        let work = query.run(&people(n_people), &[], &Budget::unlimited()).unwrap().work;
        work.n_facts_read + work.n_rows_made
    };
    let (few, many) = (work(2_000), work(20_000));
    assert!(few < 1_000, "{few} for fifteen rows");
    assert!(many <= few + few / 2, "{few} grew to {many}");
}

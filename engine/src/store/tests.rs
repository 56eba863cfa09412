//! What the store promises, on small histories in every order.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::fact::{Fact, FactChange, Kind, Mark};
use crate::ids::ReplicaId;

fn e(text: &str) -> EntityId {
    EntityId::new(text).unwrap()
}

fn a(text: &str) -> Attribute {
    Attribute::new(text).unwrap()
}

fn to(text: &str) -> Value {
    Value::reference(text).unwrap()
}

fn hlc(ms: u64) -> Hlc {
    Hlc::new(ms, 0, ReplicaId(1))
}

fn stamp(ms: u64) -> Stamp {
    Stamp { hlc: hlc(ms), op: 0 }
}

fn set(entity: &str, v: impl Into<Value>) -> Op {
    Op::Set { e: e(entity), a: a("t/f"), v: v.into() }
}

fn add(entity: &str, v: impl Into<Value>) -> Op {
    Op::Add { e: e(entity), a: a("t/f"), v: v.into() }
}

fn unset(entity: &str) -> Op {
    Op::Unset { e: e(entity), a: a("t/f") }
}

fn remove(entity: &str, v: impl Into<Value>, covers: Option<u64>) -> Op {
    Op::Remove { e: e(entity), a: a("t/f"), v: v.into(), covers: covers.map(stamp) }
}

fn delete(entity: &str) -> Op {
    Op::Delete { e: e(entity) }
}

fn restore(entity: &str, covers: Option<u64>) -> Op {
    Op::Restore { e: e(entity), covers: covers.map(stamp) }
}

fn tx(ms: u64, ops: impl Into<Vec<Op>>) -> Transaction {
    Transaction { hlc: hlc(ms), ops: ops.into() }
}

fn visible(store: &Store) -> Vec<(Fact, Mark)> {
    let mut facts: Vec<_> = store.snapshot().iter().collect();
    facts.sort();
    facts
}

fn values(store: &Store, entity: &str) -> Vec<Value> {
    store.snapshot().entity_facts(&e(entity)).into_iter().map(|(fact, _)| fact.value).collect()
}

#[test]
fn a_set_replaces_and_adds_join() {
    let mut store = Store::new();
    store.apply(&tx(1, [set("x", 1)]));
    store.apply(&tx(2, [add("x", 2)]));
    assert_eq!(values(&store, "x"), [Value::int(1), Value::int(2)]);
    store.apply(&tx(3, [set("x", 3)]));
    assert_eq!(values(&store, "x"), [Value::int(3)]);
    store.apply(&tx(2, [set("x", 9)]));
    assert_eq!(values(&store, "x"), [Value::int(3)]);
    store.apply(&tx(4, [unset("x"), add("x", 5), add("x", 6)]));
    assert_eq!(values(&store, "x"), [Value::int(5), Value::int(6)]);
}

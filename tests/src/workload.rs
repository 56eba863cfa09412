//! Named workloads with fixed seeds, shared by tests and benches so that numbers mean the same.
//!
//! Each is a list of operations; `transactions` cuts it into transactions. Nothing here depends
//! on anything but its arguments.

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::value::Value;

use crate::random::Random;

/// How many people the field's usual benchmark has.
pub const N_PEOPLE: usize = 20_000;

const NAMES: [&str; 8] = ["Ivan", "Petr", "Sergei", "Oleg", "Yuri", "Dmitry", "Fedor", "Denis"];
const LAST_NAMES: [&str; 6] = ["Ivanov", "Petrov", "Sidorov", "Kovalev", "Kuznetsov", "Voronoi"];

/// The people of the DataScript benchmark: name of 8, last name of 6, sex, age 0–99, salary
/// 0–99,999, and 5 others whom each follows. Ids are `person:0` and so on.
pub fn people(n_people: usize) -> Vec<Op> {
    let mut random = Random::new(1);
    let mut ops = Vec::with_capacity(n_people * 10);
    for index in 0..n_people {
        let e = id("person", index);
        let mut field = |field, v| ops.push(Op::Set { e: e.clone(), a: attribute(field), v });
        field("person/name", Value::from(*random.pick(&NAMES)));
        field("person/last-name", Value::from(*random.pick(&LAST_NAMES)));
        field("person/sex", Value::from(*random.pick(&["male", "female"])));
        field("person/age", Value::int(random.below(100) as i64));
        field("person/salary", Value::int(random.below(100_000) as i64));
        for _ in 0..5 {
            let v = Value::Ref(id("person", random.below(n_people)));
            ops.push(Op::Add { e: e.clone(), a: attribute("person/follows"), v });
        }
    }
    ops
}

/// An R-MAT graph of `2^scale` nodes and `n_edges` draws of an edge (fewer edges: some are drawn
/// twice), with the usual quarters of 57, 19, 19 and 5 percent: a few nodes have most edges.
/// Source: Chakrabarti, Zhan, Faloutsos, "R-MAT: a recursive model for graph mining", SDM 2004.
pub fn graph(scale: u32, n_edges: usize) -> Vec<(EntityId, EntityId)> {
    let mut random = Random::new(2);
    let mut edges = Vec::with_capacity(n_edges);
    for _ in 0..n_edges {
        let (mut from, mut to) = (0, 0);
        for _ in 0..scale {
            let (down, right) = match random.below(100) {
                0..57 => (0, 0),
                57..76 => (0, 1),
                76..95 => (1, 0),
                _ => (1, 1),
            };
            from = from * 2 + down;
            to = to * 2 + right;
        }
        edges.push((id("node", from), id("node", to)));
    }
    edges
}

/// A tree of `n_nodes` as edges (child, parent), each node's parent any node before it: deep
/// chains and bushy parts, like a taxonomy.
pub fn tree(n_nodes: usize) -> Vec<(EntityId, EntityId)> {
    let mut random = Random::new(3);
    // The later of two draws makes the tree deeper than a uniform choice would.
    let mut parent = |index: usize| random.below(index).max(random.below(index));
    (1..n_nodes).map(|index| (id("node", index), id("node", parent(index)))).collect()
}

/// Edges as facts of the attribute `node/edge`.
pub fn edge_ops(edges: &[(EntityId, EntityId)]) -> Vec<Op> {
    let a = attribute("node/edge");
    let add = |(from, to): &(EntityId, EntityId)| Op::Add {
        e: from.clone(),
        a: a.clone(),
        v: Value::Ref(to.clone()),
    };
    edges.iter().map(add).collect()
}

/// A [tree] as facts of the attribute `node/parent`, of which every node but the root has one.
pub fn parent_ops(n_nodes: usize) -> Vec<Op> {
    let a = attribute("node/parent");
    let set = |(child, parent)| Op::Set { e: child, a: a.clone(), v: Value::Ref(parent) };
    tree(n_nodes).into_iter().map(set).collect()
}

/// Operations as transactions of at most `n_ops_max`, a millisecond apart, of one replica.
pub fn transactions(ops: &[Op], n_ops_max: usize) -> Vec<Transaction> {
    let chunks = ops.chunks(n_ops_max).zip(1..);
    let transaction = |(ops, ms): (&[Op], u64)| Transaction {
        hlc: Hlc::new(ms, 0, ReplicaId(1)),
        ops: ops.to_vec(),
    };
    chunks.map(transaction).collect()
}

fn id(kind: &str, index: usize) -> EntityId {
    EntityId::new(format!("{kind}:{index}")).expect("short and printable")
}

fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("type/field")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn workloads_have_the_stated_shape() {
        let people = people(100);
        assert_eq!(people.len(), 1_000);
        let graph = graph(6, 400);
        let nodes = graph.iter().map(|(from, _)| from).collect::<BTreeSet<_>>();
        assert!(graph.len() == 400 && nodes.len() < 64, "skewed: {} sources", nodes.len());
        assert_eq!((tree(50).len(), parent_ops(50).len()), (49, 49));
        assert_eq!(transactions(&people, 300).len(), 4);
    }
}

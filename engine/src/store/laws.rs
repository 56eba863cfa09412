//! The laws of merge on random histories: any order, any repetition, the same visible facts; the
//! indexes agree; deltas are the differences of snapshots.
//!
//! Histories are small and crowded: three entities, few values, colliding stamps. What is visible
//! is told by [`visible_by_scan`], which reads the formula off the list of all operations.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fact::{Fact, FactChange, Kind, Mark};
use crate::ids::ReplicaId;

fn stamp() -> impl Strategy<Value = Stamp> {
    (0_u64..7, 0_u16..3).prop_map(|(ms, op)| Stamp { hlc: Hlc::new(ms, 0, ReplicaId(0)), op })
}

fn entity() -> impl Strategy<Value = EntityId> {
    prop::sample::select(vec!["x", "y", "z"]).prop_map(|id| EntityId::new(id).unwrap())
}

fn attribute() -> impl Strategy<Value = Attribute> {
    prop::sample::select(vec!["t/f", "t/f", "t/g"]).prop_map(|a| Attribute::new(a).unwrap())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![(1_i64..3).prop_map(Value::int), entity().prop_map(Value::Ref)]
}

fn op() -> impl Strategy<Value = Op> {
    let covers = || prop::option::of(stamp());
    prop_oneof![
        4 => (entity(), attribute(), value()).prop_map(|(e, a, v)| Op::Set { e, a, v }),
        4 => (entity(), attribute(), value()).prop_map(|(e, a, v)| Op::Add { e, a, v }),
        1 => (entity(), attribute()).prop_map(|(e, a)| Op::Unset { e, a }),
        3 => (entity(), attribute(), value(), covers())
            .prop_map(|(e, a, v, covers)| Op::Remove { e, a, v, covers }),
        1 => entity().prop_map(|e| Op::Delete { e }),
        2 => (entity(), covers()).prop_map(|(e, covers)| Op::Restore { e, covers }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (0_u64..7, prop::collection::vec(op(), 1..4))
        .prop_map(|(ms, ops)| Transaction { hlc: Hlc::new(ms, 0, ReplicaId(0)), ops })
}

fn history() -> impl Strategy<Value = Vec<Transaction>> {
    prop::collection::vec(transaction(), 1..9)
}

/// A history, and the same transactions in another order with some of them twice.
fn reordered() -> impl Strategy<Value = (Vec<Transaction>, Vec<Transaction>)> {
    history().prop_flat_map(|history| {
        let twice: Vec<_> = history.iter().chain(history.iter().step_by(2)).cloned().collect();
        (Just(history), Just(twice).prop_shuffle())
    })
}

type Facts = BTreeMap<Fact, Mark>;

fn visible(store: &Store) -> Facts {
    store.snapshot().iter().collect()
}

fn stamped(history: &[Transaction]) -> impl Iterator<Item = (Stamp, &Op)> {
    let stamped = |tx: &'_ Transaction, index| tx.stamp(index);
    history
        .iter()
        .flat_map(move |tx| tx.ops.iter().enumerate().map(move |(i, op)| (stamped(tx, i), op)))
}

/// The formula at the top of `merge`, over all operations of a history.
fn visible_by_scan(history: &[Transaction]) -> Facts {
    let ops = || stamped(history);
    let deleted = |entity: &EntityId| {
        ops().filter(|(_, op)| matches!(op, Op::Delete { e } if e == entity)).map(|(s, _)| s).max()
    };
    let restored = |entity: &EntityId| {
        ops()
            .filter(|(_, op)| matches!(op, Op::Restore { e, .. } if e == entity))
            .map(|(stamp, op)| op.covers().unwrap_or(stamp))
            .max()
    };
    let admits = |entity: &EntityId, added: Stamp| {
        deleted(entity) <= restored(entity) && Some(added) > deleted(entity)
    };
    let mut added = Facts::new();
    for (stamp, op) in ops() {
        let kind = match op {
            Op::Set { .. } => Kind::Set,
            Op::Add { .. } => Kind::Add,
            _ => continue,
        };
        let (entity, attribute) = (op.entity().clone(), op.attribute().unwrap().clone());
        let fact = Fact { entity, attribute, value: op.value().unwrap().clone() };
        let mark = Mark { stamp, kind };
        let greatest = added.entry(fact).or_insert(mark);
        *greatest = mark.max(*greatest);
    }
    added.retain(|fact, mark| {
        let of_field =
            |op: &Op| op.entity() == &fact.entity && op.attribute() == Some(&fact.attribute);
        let is_below = ops().filter(|(_, op)| of_field(op)).any(|(stamp, op)| match op {
            Op::Set { v, .. } => (mark.stamp, &fact.value) < (stamp, v),
            Op::Unset { .. } => mark.stamp <= stamp,
            Op::Remove { v, covers, .. } => {
                *v == fact.value && mark.stamp <= covers.unwrap_or(stamp)
            }
            _ => false,
        });
        let target_admits = match &fact.value {
            Value::Ref(target) => admits(target, mark.stamp),
            _ => true,
        };
        !is_below && admits(&fact.entity, mark.stamp) && target_admits
    });
    added
}

fn difference(before: &Facts, after: &Facts) -> Vec<FactChange> {
    let mut facts: Vec<&Fact> = before.keys().chain(after.keys()).collect();
    facts.sort();
    facts.dedup();
    let change = |fact: &Fact| {
        let (before, after) = (before.get(fact).copied(), after.get(fact).copied());
        FactChange { fact: fact.clone(), before, after }
    };
    facts.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

/// What a server that holds everything would send for a delta.
fn installs(delta: &StoreDelta) -> Vec<Install> {
    let fact = |change: &FactChange| match change.after {
        Some(mark) => Install::Fact(change.fact.clone(), mark),
        None => Install::Retracted(change.fact.clone()),
    };
    let deleted = |(entity, stamp): &(EntityId, Stamp)| Install::Deleted(entity.clone(), *stamp);
    let restored = |(entity, stamp): &(EntityId, Stamp)| Install::Restored(entity.clone(), *stamp);
    let marks = delta.deleted.iter().map(deleted).chain(delta.restored.iter().map(restored));
    marks.chain(delta.facts.iter().map(fact)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_order_shows_what_the_formula_says((history, reordered) in reordered()) {
        let expected = visible_by_scan(&history);
        for order in [history, reordered] {
            let mut store = Store::new();
            for transaction in &order {
                store.apply(transaction);
                store.check();
            }
            prop_assert_eq!(&visible(&store), &expected);
        }
    }

    #[test]
    fn deltas_are_the_differences_of_snapshots(history in history()) {
        let mut store = Store::new();
        let (mut before, mut all) = (Facts::new(), StoreDelta::default());
        for transaction in &history {
            let (old, facts) = (store.clone(), before.clone());
            let delta = store.apply(transaction);
            let after = visible(&store);
            prop_assert_eq!(&delta.facts, &difference(&before, &after));
            prop_assert_eq!(&delta.clone().inverse().facts, &difference(&after, &before));
            prop_assert_eq!(delta.clone().then(delta.clone().inverse()).facts, vec![]);
            prop_assert_eq!(visible(&old), facts);
            old.check();
            all = all.then(delta);
            prop_assert_eq!(&all.facts, &difference(&Facts::new(), &after));
            before = after;
        }
    }

    #[test]
    fn what_was_accepted_replays_to_the_same(history in history()) {
        let (mut server, mut replay) = (Store::new(), Store::new());
        for transaction in &history {
            let accepted = server.accept(transaction);
            prop_assert_eq!(replay.apply(&accepted.transaction), accepted.delta);
            prop_assert_eq!(replay.effects(transaction), accepted.effects);
            prop_assert_eq!(visible(&replay), visible(&server));
            let ops = accepted.transaction.ops.iter().zip(&transaction.ops).enumerate();
            for (index, (committed, sent)) in ops {
                let claimed = sent.covers().unwrap_or(transaction.stamp(index));
                prop_assert!(committed.covers().is_none_or(|cover| cover <= claimed));
                let covers = matches!(sent, Op::Remove { .. } | Op::Restore { .. });
                prop_assert_eq!(committed.covers().is_some(), covers);
            }
        }
        prop_assert_eq!(replay.clock(), history.iter().map(|tx| tx.hlc).max().unwrap());
    }

    #[test]
    fn a_replica_that_installs_every_delta_shows_the_same(history in history()) {
        let (mut server, mut client) = (Store::new(), Store::new());
        for transaction in &history {
            let delta = server.apply(transaction);
            let installed = client.install(&installs(&delta));
            client.check();
            prop_assert_eq!(installed.facts, delta.facts);
            prop_assert_eq!(visible(&client), visible(&server));
            prop_assert_eq!(client.snapshot().fingerprint(), server.snapshot().fingerprint());
        }
    }

    #[test]
    fn a_snapshot_is_one_set_however_it_is_asked(history in history(), asked in 0_usize..9) {
        let mut store = Store::new();
        let mut old = store.snapshot();
        for (index, transaction) in history.iter().enumerate() {
            store.apply(transaction);
            if index == asked {
                old = store.snapshot();
            } else if index == asked + 1 {
                // Asked of an old snapshot, a question makes later writes keep the other order.
                let one = old.dictionary().intern(&Value::int(1));
                for id in old.attributes() {
                    prop_assert_eq!(
                        old.count_entities(id, one),
                        old.facts(id).filter(|(_, value)| *value == one).count() as u64
                    );
                }
            }
            store.check();
        }
        let snapshot = store.snapshot();
        let facts = visible(&store);
        prop_assert_eq!(snapshot.n_facts(), facts.len() as u64);
        for id in ["x", "y", "z"] {
            let entity = EntityId::new(id).unwrap();
            let of_entity: Vec<_> = facts
                .iter()
                .filter(|(fact, _)| fact.entity == entity)
                .map(|(fact, mark)| (fact.clone(), *mark))
                .collect();
            prop_assert_eq!(snapshot.entity_facts(&entity), of_entity);
        }
        for (fact, mark) in &facts {
            let id = snapshot.find_attribute(&fact.attribute).unwrap();
            let e = snapshot.dictionary().find_entity(&fact.entity).unwrap();
            let v = snapshot.dictionary().find(&fact.value).unwrap();
            prop_assert_eq!(snapshot.mark(id, e, v), Some(*mark));
            prop_assert!(snapshot.values(id, e).any(|value| value == v));
            prop_assert!(snapshot.entities(id, v).any(|entity| entity == e));
            prop_assert_eq!(snapshot.count_values(id, e), snapshot.values(id, e).count() as u64);
        }
    }
}

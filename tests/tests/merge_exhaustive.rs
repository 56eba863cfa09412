//! Merge, exhaustively: every list of a few operations of a small alphabet, in every order and with
//! every repetition, shows what the oracle says of the set of its operations.
//!
//! The alphabet is chosen so that everything meets: stamps that are equal, covers that just miss,
//! deletions and restorations before and after writes, references to what is deleted. Lists share
//! their beginnings: a store is cloned and merged into once for each list, and looked at after each
//! merge. What is hidden in a state (floors, removals) shows in the lists that go on from it.
//!
//! Lists of 4 operations are tried here; `TERCET_LENGTH=5 cargo test --release -p tercet-tests
//! --no-default-features --test merge_exhaustive -- --nocapture` tries 3.4 million merges.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "a run by hand wants the counts")]

use std::collections::BTreeMap;

use tercet_engine::fact::{Fact, Mark, Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::store::{Store, StoreDelta};
use tercet_engine::value::Value;
use tercet_tests::oracle::merge::{Facts, History};

const ENTITIES: [&str; 2] = ["e", "f"];

fn hlc(ms: u64) -> Hlc {
    Hlc::new(ms, 0, ReplicaId(1))
}

fn entity(id: &str) -> EntityId {
    EntityId::new(id).unwrap()
}

/// Twenty operations, each with its stamp.
fn alphabet() -> Vec<Transaction> {
    let (e, a) = (entity("e"), Attribute::new("t/a").unwrap());
    let (one, two, other) = (Value::int(1), Value::int(2), Value::Ref(entity("f")));
    let set = |v: &Value| Op::Set { e: e.clone(), a: a.clone(), v: v.clone() };
    let add = |v: &Value| Op::Add { e: e.clone(), a: a.clone(), v: v.clone() };
    let unset = || Op::Unset { e: e.clone(), a: a.clone() };
    let stamp = |ms| Stamp { hlc: hlc(ms), op: 0 };
    let remove = |v: &Value, covers: Option<u64>| {
        let covers = covers.map(stamp);
        Op::Remove { e: e.clone(), a: a.clone(), v: v.clone(), covers }
    };
    let delete = |id| Op::Delete { e: entity(id) };
    let restore = |id, covers| Op::Restore { e: entity(id), covers: Some(stamp(covers)) };
    let stamped = vec![
        (2, set(&one)),
        (2, set(&two)),
        (4, set(&one)),
        (5, set(&other)),
        (2, unset()),
        (3, unset()),
        (1, add(&one)),
        (3, add(&two)),
        (5, add(&two)),
        (2, add(&other)),
        (7, add(&other)),
        (3, remove(&one, None)),
        (6, remove(&two, Some(3))),
        (7, remove(&two, Some(5))),
        (3, delete("e")),
        (6, delete("e")),
        (4, delete("f")),
        (4, restore("e", 3)),
        (8, restore("e", 6)),
        (5, restore("f", 4)),
    ];
    stamped.into_iter().map(|(ms, op)| Transaction { hlc: hlc(ms), ops: vec![op] }).collect()
}

/// What can be seen of a state.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    facts: Vec<(Fact, Mark)>,
    dead: Vec<Option<Stamp>>,
    clock: Hlc,
}

fn seen(store: &Store, entities: &[EntityId]) -> Seen {
    let mut facts: Vec<(Fact, Mark)> = store.snapshot().iter().collect();
    facts.sort_unstable();
    let dead = entities.iter().map(|entity| store.tombstone(entity)).collect();
    Seen { facts, dead, clock: store.clock() }
}

struct Tree {
    alphabet: Vec<Transaction>,
    entities: Vec<EntityId>,
    /// By the set of operations, as bits.
    expected: BTreeMap<u32, Seen>,
    n_merges: u64,
}

impl Tree {
    /// What the oracle says of a set of operations.
    fn expected(&mut self, set: u32) -> &Seen {
        let Tree { alphabet, entities, expected, .. } = self;
        expected.entry(set).or_insert_with(|| {
            let chosen = (0..alphabet.len()).filter(|index| set & 1 << index != 0);
            let chosen: Vec<&Transaction> = chosen.map(|index| &alphabet[index]).collect();
            let history = History::of(chosen.iter().copied());
            let dead = |entity: &EntityId| {
                let deleted = history.deleted(entity);
                deleted.filter(|at| history.restored(entity).is_none_or(|until| until < *at))
            };
            Seen {
                facts: history.visible().into_iter().collect(),
                dead: entities.iter().map(dead).collect(),
                clock: chosen.iter().map(|transaction| transaction.hlc).max().unwrap_or(Hlc::ZERO),
            }
        })
    }

    /// Every way to go on from a state that these operations led to.
    fn grow(&mut self, before: &Store, list: &mut Vec<usize>, set: u32, length: usize) {
        for index in 0..self.alphabet.len() {
            let mut store = before.clone();
            let delta = store.apply(&self.alphabet[index]);
            self.n_merges += 1;
            list.push(index);
            let set = set | 1 << index;
            let found = seen(&store, &self.entities);
            assert_eq!(&found, self.expected(set), "after {list:?}");
            assert_eq!(led(before, &delta), found.facts, "by the delta, after {list:?}");
            if list.len() < length {
                self.grow(&store, list, set, length);
            }
            list.pop();
        }
    }
}

/// The facts that a delta leads to.
fn led(before: &Store, delta: &StoreDelta) -> Vec<(Fact, Mark)> {
    let mut facts: Facts = before.snapshot().iter().collect();
    for change in &delta.facts {
        assert_eq!(facts.get(&change.fact), change.before.as_ref());
        match change.after {
            Some(mark) => drop(facts.insert(change.fact.clone(), mark)),
            None => drop(facts.remove(&change.fact)),
        }
    }
    facts.into_iter().collect()
}

#[test]
fn every_list_shows_what_the_set_of_its_operations_does() {
    let length = std::env::var("TERCET_LENGTH").map_or(4, |text| text.parse().unwrap());
    let alphabet = alphabet();
    assert_eq!(alphabet.len(), 20);
    let entities = ENTITIES.map(entity).to_vec();
    let mut tree = Tree { alphabet, entities, expected: BTreeMap::new(), n_merges: 0 };
    tree.grow(&Store::new(), &mut Vec::new(), 0, length);
    let n_sets = tree.expected.len();
    println!("{} merges, {n_sets} different sets of operations, all alike", tree.n_merges);
    let n_lists = (1..=length as u32).map(|n| 20_u64.pow(n)).sum::<u64>();
    assert_eq!(tree.n_merges, n_lists);
}

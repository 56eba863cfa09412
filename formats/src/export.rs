//! What all exporters share: the order of facts, what columns or fields a database has, and notes.
//!
//! An exporter writes a snapshot to a stream that it never holds; whoever owns the stream decides
//! how fast. Invariant: importing what was written, in its order and into an empty database, gives
//! the same facts, each written by `set` or `add` as before. Stamps are not carried by any format.

use std::collections::BTreeMap;
use std::io;

use tercet_engine::fact::{Fact, Kind, Op};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::store::Snapshot;
use tercet_engine::value::{Value, ValueType};

use crate::error::{FormatError, Place};

/// All facts by attribute, then entity; of one field what was `set` before what was `add`ed. A
/// `set` replaces what its field holds, so that in the order of values it would erase members.
pub fn facts_in_order(snapshot: &Snapshot) -> impl Iterator<Item = (Fact, Kind)> + '_ {
    let mut facts = snapshot.iter().map(|(fact, mark)| (fact, mark.kind)).peekable();
    let mut field: std::vec::IntoIter<(Fact, Kind)> = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if let Some(next) = field.next() {
            return Some(next);
        }
        let first = facts.next()?;
        let is_same = |(next, _): &(Fact, Kind)| {
            next.entity == first.0.entity && next.attribute == first.0.attribute
        };
        let mut found: Vec<(Fact, Kind)> = Vec::new();
        while let Some(next) = facts.next_if(is_same) {
            found.push(next);
        }
        if found.is_empty() {
            return Some(first);
        }
        found.insert(0, first);
        found.sort_by_key(|(_, kind)| *kind);
        field = found.into_iter();
        field.next()
    })
}

/// The operation that writes a fact as it was written.
pub fn op_of(fact: Fact, kind: Kind) -> Op {
    let Fact { entity: e, attribute: a, value: v } = fact;
    match kind {
        Kind::Set => Op::Set { e, a, v },
        Kind::Add => Op::Add { e, a, v },
    }
}

/// All entities with visible facts, by id. Holds a pointer for each.
pub(crate) fn entities(snapshot: &Snapshot) -> Vec<EntityId> {
    let mut entities: Vec<EntityId> = Vec::new();
    for (fact, _) in snapshot.iter() {
        if entities.last() != Some(&fact.entity) {
            entities.push(fact.entity);
        }
        // Every attribute repeats its entities: what doubled is taken out before it is grown.
        if entities.len() == entities.capacity() {
            entities.sort_unstable();
            entities.dedup();
        }
    }
    entities.sort_unstable();
    entities.dedup();
    entities
}

/// What the facts of one attribute are like that were written in one way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) n_facts: u64,
    types: Vec<ValueType>,
    /// A text is empty, or holds the mark that was asked about.
    pub(crate) has_awkward_text: bool,
}

impl Shape {
    fn take(&mut self, value: &Value, mark: Option<char>) {
        self.n_facts += 1;
        let value_type = value.value_type();
        if !self.types.contains(&value_type) {
            self.types.push(value_type);
        }
        let text = match value {
            Value::String(text) => &**text,
            Value::Ref(id) => id.as_str(),
            Value::Boolean(_) | Value::Number(_) | Value::Date(_) => return,
        };
        self.has_awkward_text |= text.is_empty() || mark.is_some_and(|mark| text.contains(mark));
    }

    /// The one type of all values, if there is one.
    pub(crate) fn value_type(&self) -> Option<ValueType> {
        match self.types[..] {
            [value_type] => Some(value_type),
            _ => None,
        }
    }
}

/// The shapes of all attributes, those of `set` facts before those of `add` facts. `mark` is what
/// stands between members where a format joins them.
pub(crate) fn shapes(snapshot: &Snapshot, mark: char) -> BTreeMap<(Attribute, Kind), Shape> {
    let mut shapes: BTreeMap<(Attribute, Kind), Shape> = BTreeMap::new();
    for (fact, fact_mark) in snapshot.iter() {
        let joined = (fact_mark.kind == Kind::Add).then_some(mark);
        shapes.entry((fact.attribute, fact_mark.kind)).or_default().take(&fact.value, joined);
    }
    shapes
}

/// The first half of an attribute.
pub(crate) fn type_of(attribute: &Attribute) -> &str {
    attribute.as_str().split_once('/').map_or("", |(kind, _)| kind)
}

/// The second half of an attribute.
pub(crate) fn field_of(attribute: &Attribute) -> &str {
    attribute.as_str().split_once('/').map_or("", |(_, field)| field)
}

/// Writing failed.
pub(crate) fn write_error(source: io::Error) -> FormatError {
    FormatError::Io { at: Place::input("the export"), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tercet_engine::fact::Transaction;
    use tercet_engine::hlc::Hlc;
    use tercet_engine::ids::ReplicaId;
    use tercet_engine::store::Store;

    use super::*;

    fn store(ops: Vec<Op>) -> Store {
        let mut store = Store::new();
        let hlc = Hlc::new(1, 0, ReplicaId(1));
        store.apply(&Transaction { hlc, ops });
        store
    }

    #[test]
    fn a_field_of_both_kinds_survives_its_export() {
        let (e, a) = (EntityId::new("u1").unwrap(), Attribute::new("user/tag").unwrap());
        let set = Op::Set { e: e.clone(), a: a.clone(), v: Value::from("m") };
        let add = |text: &str| Op::Add { e: e.clone(), a: a.clone(), v: Value::from(text) };
        let before = store(vec![set, add("a"), add("z")]);
        let ops: Vec<Op> =
            facts_in_order(&before.snapshot()).map(|(fact, kind)| op_of(fact, kind)).collect();
        assert!(matches!(ops[0], Op::Set { .. }));
        let after = store(ops);
        assert_eq!(after.snapshot().n_facts(), 3);
        assert_eq!(entities(&after.snapshot()), [e]);
    }
}

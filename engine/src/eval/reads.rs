//! What an evaluation has read of the facts: misses included, so that whatever could change its
//! answer is known.
//!
//! Reads are kept by attribute and then by entity or value. A set that grows beyond
//! [`PRECISE_MAX`] gives way to "all of the attribute": coarser is still right, it only wakes the
//! reader more often than needed.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use super::scratch::Scratch;
use crate::fact::Fact;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::store::{AttributeId, Snapshot};
use crate::value::Value;

/// The most entities and values remembered for one attribute.
const PRECISE_MAX: usize = 4_096;

/// The part of an attribute that was read.
#[derive(Debug, Clone, Default)]
struct Part {
    all: bool,
    entities: FxHashSet<Cell>,
    values: FxHashSet<Cell>,
    /// Entities and values that the dictionary did not know: they may come to be.
    unknown: BTreeSet<Value>,
}

impl Part {
    fn is_empty(&self) -> bool {
        !self.all && self.entities.is_empty() && self.values.is_empty() && self.unknown.is_empty()
    }

    fn take_all(&mut self) {
        *self = Part { all: true, ..Part::default() };
    }

    fn add(&mut self, cell: Cell, as_entity: bool, scratch: &Scratch<'_>) {
        if self.all {
            return;
        }
        if cell.as_scratch().is_some() {
            self.unknown.insert(scratch.value(cell));
        } else if as_entity {
            self.entities.insert(cell);
        } else {
            self.values.insert(cell);
        }
        if self.entities.len() + self.values.len() + self.unknown.len() > PRECISE_MAX {
            self.take_all();
        }
    }

    fn touches(&self, fact: &Fact, entity: Cell, value: Cell) -> bool {
        self.all
            || self.entities.contains(&entity)
            || self.values.contains(&value)
            || self.unknown.iter().any(|unknown| match unknown {
                Value::Ref(id) => *id == fact.entity || *unknown == fact.value,
                _ => *unknown == fact.value,
            })
    }
}

/// Records what an evaluation reads.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// By attribute id of the evaluation's snapshot.
    known: Vec<Part>,
    /// Attributes that nobody had written.
    unknown: BTreeSet<Attribute>,
    /// What was read whatever the attribute.
    any: Part,
}

/// What of an attribute a step looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key {
    Entity(Cell),
    Value(Cell),
    All,
}

impl Recorder {
    pub(crate) fn record(&mut self, attribute: AttributeId, key: Key, scratch: &Scratch<'_>) {
        let index = attribute.0 as usize;
        if self.known.len() <= index {
            self.known.resize_with(index + 1, Part::default);
        }
        record(&mut self.known[index], key, scratch);
    }

    pub(crate) fn record_any(&mut self, key: Key, scratch: &Scratch<'_>) {
        record(&mut self.any, key, scratch);
    }

    pub(crate) fn record_unknown(&mut self, attribute: &Attribute) {
        self.unknown.insert(attribute.clone());
    }

    /// What was read, by the attributes' texts: ids need not mean the same in another store.
    pub(crate) fn finish(self, snapshot: &Snapshot) -> Reads {
        let parts = self.known.into_iter().zip(0..);
        let known = parts
            .filter(|(part, _)| !part.is_empty())
            .map(|(part, id)| (snapshot.attribute(AttributeId(id)).clone(), part));
        let unknown = self.unknown.into_iter();
        let unknown = unknown.map(|attribute| (attribute, Part { all: true, ..Part::default() }));
        Reads { by_attribute: known.chain(unknown).collect(), any: self.any }
    }
}

fn record(part: &mut Part, key: Key, scratch: &Scratch<'_>) {
    match key {
        Key::Entity(cell) => part.add(cell, true, scratch),
        Key::Value(cell) => part.add(cell, false, scratch),
        Key::All => part.take_all(),
    }
}

/// Everything one evaluation has read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    by_attribute: BTreeMap<Attribute, Part>,
    /// What was read whatever the attribute.
    any: Part,
}

impl Reads {
    /// The attributes read, those that nobody had written included.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.by_attribute.keys()
    }

    /// Whether something was read whatever the attribute.
    pub(crate) fn reads_any(&self) -> bool {
        !self.any.is_empty()
    }

    /// Whether a change of this fact, whose cells are given, can change the answer.
    pub(crate) fn touches(&self, fact: &Fact, entity: Cell, value: Cell) -> bool {
        let part = self.by_attribute.get(&fact.attribute);
        part.is_some_and(|part| part.touches(fact, entity, value))
            || self.any.touches(fact, entity, value)
    }
}

//! The merge state and the indexes over visible facts; a clone is a pointer.
#![allow(unused, missing_docs, clippy::unimplemented, dead_code)]
use crate::fact::{Effect, Fact, FactChange, Install, Mark, Transaction};
use crate::hlc::{Hlc, Stamp};
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary};

/// An attribute of a store, dense from 0; never renumbered among successors of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u32);

/// Merge state and indexes. A clone is cheap and independent (copy on write): it is how a
/// successor is prepared while the published state is read.
#[derive(Clone, Default)]
pub struct Store {}

/// What one step changed: of visible facts, consolidated (one entry a fact, in order of the
/// facts), and of tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreDelta {
    pub facts: Vec<FactChange>,
    /// Entities whose greatest deletion stamp rose, with it.
    pub deleted: Vec<(EntityId, Stamp)>,
    /// Entities whose greatest restored stamp rose, with it.
    pub restored: Vec<(EntityId, Stamp)>,
}

impl StoreDelta {
    /// The delta that leads back.
    pub fn inverse(self) -> StoreDelta {
        unimplemented!()
    }
    /// This delta followed by another one, consolidated.
    pub fn then(self, next: StoreDelta) -> StoreDelta {
        unimplemented!()
    }
}

/// What [`Store::accept`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// As committed: covers are clamped.
    pub transaction: Transaction,
    pub delta: StoreDelta,
    /// One for each operation.
    pub effects: Vec<Effect>,
}

impl Store {
    pub fn new() -> Store {
        unimplemented!()
    }
    /// Merges a transaction as it stands: log, replay, overlay.
    pub fn apply(&mut self, transaction: &Transaction) -> StoreDelta {
        unimplemented!()
    }
    /// First commit: clamps every cover to what is held, in list order, then merges.
    pub fn accept(&mut self, transaction: &Transaction) -> Accepted {
        unimplemented!()
    }
    /// Installs what a server said, as it stands.
    pub fn install(&mut self, installs: &[Install]) -> StoreDelta {
        unimplemented!()
    }
    /// What holds of each operation of a transaction now.
    pub fn effects(&self, transaction: &Transaction) -> Vec<Effect> {
        unimplemented!()
    }
    /// The stamp of the add that a `remove` of this member would see: what it should cover.
    pub fn added(&self, entity: &EntityId, attribute: &Attribute, value: &crate::value::Value) -> Option<Stamp> {
        unimplemented!()
    }
    /// The tombstone of an entity that is not alive: what a `restore` should cover.
    pub fn tombstone(&self, entity: &EntityId) -> Option<Stamp> {
        unimplemented!()
    }
    /// The greatest HLC of any operation merged or installed.
    pub fn clock(&self) -> Hlc {
        unimplemented!()
    }
    /// The visible facts now. Cheap; stays as it is whatever happens to the store.
    pub fn snapshot(&self) -> Snapshot {
        unimplemented!()
    }
}

/// An immutable view of the visible facts.
#[derive(Clone, Default)]
pub struct Snapshot {}

impl Snapshot {
    pub fn dictionary(&self) -> &Dictionary {
        unimplemented!()
    }
    pub fn n_facts(&self) -> u64 {
        unimplemented!()
    }
    pub fn attributes(&self) -> impl Iterator<Item = AttributeId> + '_ {
        std::iter::empty()
    }
    pub fn attribute(&self, id: AttributeId) -> &Attribute {
        unimplemented!()
    }
    pub fn find_attribute(&self, attribute: &Attribute) -> Option<AttributeId> {
        unimplemented!()
    }
    /// Facts of an attribute, in order of (entity, value) cells.
    pub fn facts(&self, a: AttributeId) -> impl Iterator<Item = (Cell, Cell)> + '_ {
        std::iter::empty()
    }
    /// Values of a field, in order of cells.
    pub fn values(&self, a: AttributeId, e: Cell) -> impl Iterator<Item = Cell> + '_ {
        std::iter::empty()
    }
    /// Entities whose field has this value, in order of cells.
    pub fn entities(&self, a: AttributeId, v: Cell) -> impl Iterator<Item = Cell> + '_ {
        std::iter::empty()
    }
    pub fn contains(&self, a: AttributeId, e: Cell, v: Cell) -> bool {
        unimplemented!()
    }
    pub fn mark(&self, a: AttributeId, e: Cell, v: Cell) -> Option<Mark> {
        unimplemented!()
    }
    /// How many facts the attribute has. O(1).
    pub fn count(&self, a: AttributeId) -> u64 {
        unimplemented!()
    }
    /// All visible facts with their marks, by attribute (in text order), then entity and value cells.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, Mark)> + '_ {
        std::iter::empty()
    }
    /// The visible facts of one entity, by attribute text, then value.
    pub fn entity_facts(&self, entity: &EntityId) -> Vec<(Fact, Mark)> {
        unimplemented!()
    }
}

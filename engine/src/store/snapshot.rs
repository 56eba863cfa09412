//! An immutable view of the visible facts.
//!
//! It is what everything above merge reads: facts by attribute in both orders, as cells, with the
//! dictionary that gives the cells their values. A clone is three pointers. Hidden facts, floors
//! and tombstones cannot be seen through it.

use std::sync::Arc;

use crate::fact::{Fact, Mark};
use crate::fingerprint::fact_hash;
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary, FixedHashMap};

use super::index::AttributeIndex;

/// An attribute of a store, dense from 0; never renumbered among successors of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u32);

/// The attributes of a store by id, by text, and in text order.
#[derive(Clone, Default)]
pub(super) struct Names {
    names: Vec<Attribute>,
    ids: FixedHashMap<Attribute, AttributeId>,
    by_text: Vec<AttributeId>,
}

impl Names {
    pub(super) fn find(&self, attribute: &Attribute) -> Option<AttributeId> {
        self.ids.get(attribute).copied()
    }

    pub(super) fn name(&self, id: AttributeId) -> &Attribute {
        &self.names[id.0 as usize]
    }

    /// The place of every attribute in text order, by id.
    pub(super) fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.names.len()];
        for (rank, id) in self.by_text.iter().enumerate() {
            ranks[id.0 as usize] = rank;
        }
        ranks
    }

    /// Gives a new attribute the next id.
    pub(super) fn push(&mut self, attribute: &Attribute) -> AttributeId {
        let id = u32::try_from(self.names.len()).expect("a store has fewer than 2^32 attributes");
        let id = AttributeId(id);
        let position = self.by_text.partition_point(|other| self.name(*other) < attribute);
        self.by_text.insert(position, id);
        self.names.push(attribute.clone());
        self.ids.insert(attribute.clone(), id);
        id
    }
}

/// An immutable view of the visible facts. A clone is a pointer.
///
/// Attribute ids and cells are those of the store it was taken from, its predecessors and its
/// successors; methods given an id of another store panic or answer about another attribute.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(super) dictionary: Dictionary,
    pub(super) names: Arc<Names>,
    /// By attribute id.
    pub(super) indexes: Arc<Vec<Arc<AttributeIndex>>>,
}

impl Snapshot {
    /// What gives the cells their values.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// How many facts are visible. O(attributes).
    pub fn n_facts(&self) -> u64 {
        self.indexes.iter().map(|index| index.len() as u64).sum()
    }

    /// Every attribute anyone has written, in order of ids; it may have no visible facts.
    pub fn attributes(&self) -> impl Iterator<Item = AttributeId> + '_ {
        (0..self.indexes.len() as u32).map(AttributeId)
    }

    /// The text of an attribute.
    pub fn attribute(&self, id: AttributeId) -> &Attribute {
        self.names.name(id)
    }

    /// The id of an attribute, if anyone has written it.
    pub fn find_attribute(&self, attribute: &Attribute) -> Option<AttributeId> {
        self.names.find(attribute)
    }

    /// Facts of an attribute, in order of (entity, value) cells.
    pub fn facts(&self, a: AttributeId) -> impl Iterator<Item = (Cell, Cell)> + '_ {
        self.index(a).facts().map(|(pair, _)| (pair.first(), pair.second()))
    }

    /// Values of a field, in order of cells.
    pub fn values(&self, a: AttributeId, e: Cell) -> impl Iterator<Item = Cell> + '_ {
        self.index(a).field(e).map(|(pair, _)| pair.second())
    }

    /// Values of a field with their marks, in order of cells.
    pub fn marked_values(
        &self,
        a: AttributeId,
        e: Cell,
    ) -> impl Iterator<Item = (Cell, Mark)> + '_ {
        self.index(a).field(e).map(|(pair, mark)| (pair.second(), mark))
    }

    /// Entities whose field has this value, in order of cells. The first question about values
    /// other than refs builds the order it needs, in O(n log n); writes then keep it up.
    pub fn entities(&self, a: AttributeId, v: Cell) -> impl Iterator<Item = Cell> + '_ {
        self.index(a).holders(v).map(|(pair, ())| pair.second())
    }

    /// Whether the fact is visible.
    pub fn contains(&self, a: AttributeId, e: Cell, v: Cell) -> bool {
        self.index(a).mark(e, v).is_some()
    }

    /// When and how a visible fact was last written.
    pub fn mark(&self, a: AttributeId, e: Cell, v: Cell) -> Option<Mark> {
        self.index(a).mark(e, v)
    }

    /// How many facts the attribute has. O(1).
    pub fn count(&self, a: AttributeId) -> u64 {
        self.index(a).len() as u64
    }

    /// How many values the field has. O(log n).
    pub fn count_values(&self, a: AttributeId, e: Cell) -> u64 {
        self.index(a).field_len(e) as u64
    }

    /// How many entities have this value in the field. O(log n).
    pub fn count_entities(&self, a: AttributeId, v: Cell) -> u64 {
        self.index(a).holders_len(v) as u64
    }

    /// Roughly how many different entities have facts of the attribute; exact for small ones. For
    /// planners: no answer may depend on it.
    pub fn n_entities(&self, a: AttributeId) -> u64 {
        self.index(a).n_entities()
    }

    /// Roughly how many different values the facts of the attribute have; exact for small ones.
    /// For planners: no answer may depend on it.
    pub fn n_values(&self, a: AttributeId) -> u64 {
        self.index(a).n_values()
    }

    /// All visible facts with their marks, by attribute (in text order), then entity and value
    /// cells.
    pub fn iter(&self) -> impl Iterator<Item = (Fact, Mark)> + '_ {
        self.names.by_text.iter().flat_map(move |&a| {
            self.index(a)
                .facts()
                .map(move |(pair, mark)| (self.fact(a, pair.first(), pair.second()), mark))
        })
    }

    /// The visible facts of one entity, by attribute text, then value.
    pub fn entity_facts(&self, entity: &EntityId) -> Vec<(Fact, Mark)> {
        let Some(e) = self.dictionary.find_entity(entity) else { return Vec::new() };
        let mut facts = Vec::new();
        for &a in &self.names.by_text {
            let begin = facts.len();
            facts.extend(self.marked_values(a, e).map(|(v, mark)| (self.fact(a, e, v), mark)));
            facts[begin..].sort_by(|(fact, _), (other, _)| fact.value.cmp(&other.value));
        }
        facts
    }

    /// The fingerprint of all visible facts: see [`crate::fingerprint`]. O(n).
    pub fn fingerprint(&self) -> u128 {
        self.iter().fold(0, |sum, (fact, mark)| sum.wrapping_add(fact_hash(&fact, &mark)))
    }

    pub(super) fn index(&self, a: AttributeId) -> &AttributeIndex {
        &self.indexes[a.0 as usize]
    }

    fn fact(&self, a: AttributeId, e: Cell, v: Cell) -> Fact {
        Fact {
            entity: self.dictionary.entity(e).expect("entity cells are refs"),
            attribute: self.attribute(a).clone(),
            value: self.dictionary.value(v),
        }
    }
}

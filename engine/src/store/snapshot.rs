//! An immutable view of the visible facts.
//!
//! It is what everything above merge reads: facts by attribute in both orders, as cells, with the
//! dictionary that gives the cells their values. A clone is a few pointers. Hidden facts, floors
//! and tombstones cannot be seen through it.

use std::sync::Arc;

use crate::fact::{Fact, Mark};
use crate::fingerprint::fact_hash;
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary, FixedHashMap};

use super::fields::EntityFields;
use super::index::AttributeIndex;
use super::pairs::{Marks, Pair, Pairs};
use super::tree::Range;

/// An attribute of a store, dense from 0; never renumbered among successors of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeId(pub u32);

/// The attributes of a store by id, by text, and in text order.
#[derive(Clone, Default)]
pub(super) struct Names {
    names: Vec<Attribute>,
    ids: FixedHashMap<Attribute, AttributeId>,
    by_text: Vec<AttributeId>,
    /// By id, the place in `by_text`.
    ranks: Vec<u32>,
}

impl Names {
    pub(super) fn find(&self, attribute: &Attribute) -> Option<AttributeId> {
        self.ids.get(attribute).copied()
    }

    pub(super) fn name(&self, id: AttributeId) -> &Attribute {
        &self.names[id.0 as usize]
    }

    /// Gives a new attribute the next id.
    pub(super) fn push(&mut self, attribute: &Attribute) -> AttributeId {
        let id = u32::try_from(self.names.len()).expect("a store has fewer than 2^32 attributes");
        let id = AttributeId(id);
        let position = self.by_text.partition_point(|other| self.name(*other) < attribute);
        self.by_text.insert(position, id);
        self.names.push(attribute.clone());
        self.ids.insert(attribute.clone(), id);
        self.ranks.push(id.0);
        for (rank, other) in (0..).zip(&self.by_text).skip(position) {
            self.ranks[other.0 as usize] = rank;
        }
        id
    }

    /// A number that sorts as the attribute's text does among those of this store.
    fn rank(&self, id: AttributeId) -> u32 {
        self.ranks[id.0 as usize]
    }
}

/// The attributes that some state of a store knew.
#[derive(Clone, Default)]
pub(crate) struct KnownAttributes(Arc<Names>);

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
    pub(super) fields: EntityFields,
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

    /// What [`Snapshot::knows_the_same`] compares.
    pub(crate) fn known_attributes(&self) -> KnownAttributes {
        KnownAttributes(Arc::clone(&self.names))
    }

    /// Whether attributes have the ids here that they had there. O(1); it may say no where they
    /// have.
    pub(crate) fn knows_the_same(&self, known: &KnownAttributes) -> bool {
        Arc::ptr_eq(&self.names, &known.0)
    }

    /// Whether an attribute has the same facts there, as far as that is known in O(1): it may say
    /// no where it has.
    pub(crate) fn shares(&self, other: &Snapshot, a: AttributeId) -> bool {
        let of = |snapshot: &Snapshot| snapshot.indexes.get(a.0 as usize).map(Arc::as_ptr);
        of(self) == of(other)
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
        self.index(a).facts().keys().map(|pair| (pair.first(), pair.second()))
    }

    /// Values of a field, in order of cells.
    pub fn values(&self, a: AttributeId, e: Cell) -> impl Iterator<Item = Cell> + '_ {
        self.index(a).field(e).keys().map(Pair::second)
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
        self.index(a).holders(v).keys().map(Pair::second)
    }

    /// The value of a field that has one; the least cell of several. The attribute's id and the
    /// entity's cell are what a reader prepares; this is one search.
    #[inline]
    pub fn value(&self, a: AttributeId, e: Cell) -> Option<Cell> {
        self.index(a).first_value(e)
    }

    /// What [`Snapshot::value`] says of each of these fields of one entity, in their order. The
    /// searches are made together, which takes much less time than one after the other where the
    /// facts are in no cache.
    ///
    /// ```
    /// use tercet_engine::fact::{Op, Transaction};
    /// use tercet_engine::hlc::Hlc;
    /// use tercet_engine::ids::{Attribute, EntityId};
    /// use tercet_engine::store::Store;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let e = EntityId::new("ann")?;
    /// let [age, name] = [Attribute::new("user/age")?, Attribute::new("user/name")?];
    /// let set = |a: &Attribute, v| Op::Set { e: e.clone(), a: a.clone(), v };
    /// let mut store = Store::new();
    /// let ops = vec![set(&age, 41.into()), set(&name, "Ann".into())];
    /// store.apply(&Transaction { hlc: Hlc::ZERO, ops });
    ///
    /// let snapshot = store.snapshot();
    /// let dictionary = snapshot.dictionary();
    /// let ids: Vec<_> = [age, name].iter().filter_map(|a| snapshot.find_attribute(a)).collect();
    /// let ann = dictionary.find_entity(&e).ok_or("she is known")?;
    /// let cells: Vec<_> = snapshot.values_of(ann, &ids).collect();
    /// assert_eq!(cells, [dictionary.find(&41.into()), dictionary.find(&"Ann".into())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn values_of(
        &self,
        e: Cell,
        attributes: &[AttributeId],
    ) -> impl Iterator<Item = Option<Cell>> {
        let mut fields = AttributeIndex::fields(attributes.iter().map(|a| self.index(*a)), e);
        let value = |field: &mut Range<'_, Pairs, Marks>| Some(field.next_key()?.second());
        let values: Vec<Option<Cell>> = fields.iter_mut().map(value).collect();
        values.into_iter()
    }

    /// Attributes that may have facts of this entity, in order of ids: all that have, and seldom
    /// others.
    pub fn attributes_of(&self, e: Cell) -> impl Iterator<Item = AttributeId> + '_ {
        let (ids, n_others) = match self.fields.of(e) {
            Some(ids) => (ids, 0),
            None => (&[][..], self.indexes.len() as u32),
        };
        ids.iter().copied().chain((0..n_others).map(AttributeId))
    }

    /// Whether the fact is visible.
    pub fn contains(&self, a: AttributeId, e: Cell, v: Cell) -> bool {
        self.index(a).mark(e, v).is_some()
    }

    /// When and how a visible fact was last written.
    pub fn mark(&self, a: AttributeId, e: Cell, v: Cell) -> Option<Mark> {
        self.index(a).mark(e, v)
    }

    /// The mark of a visible fact.
    pub fn mark_of(&self, fact: &Fact) -> Option<Mark> {
        let attribute = self.find_attribute(&fact.attribute)?;
        let dictionary = self.dictionary();
        let entity = dictionary.find_entity(&fact.entity)?;
        self.mark(attribute, entity, dictionary.find(&fact.value)?)
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

    /// How many entities have this value in the field, roughly where the order by value has not
    /// been asked for yet. For planners: no answer may depend on it.
    pub(crate) fn n_holders(&self, a: AttributeId, v: Cell) -> u64 {
        self.index(a).n_holders(v)
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
        let mut attributes: Vec<AttributeId> = self.attributes_of(e).collect();
        attributes.sort_unstable_by_key(|a| self.names.rank(*a));
        // All is found before anything is cloned: counting references waits for what is under way.
        let mut found = Vec::with_capacity(attributes.len());
        let indexes = attributes.iter().map(|a| self.index(*a));
        for (a, field) in attributes.iter().zip(AttributeIndex::fields(indexes, e)) {
            found.extend(field.map(|(pair, mark)| (*a, pair.second(), mark)));
        }
        let reader = self.dictionary.read();
        let entity = reader.entity(e);
        for field in found.chunk_by_mut(|(a, ..), (b, ..)| a == b) {
            field.sort_unstable_by(|(_, v, _), (_, w, _)| reader.compare(*v, *w));
        }
        let fact = |(a, v, mark)| {
            let attribute = self.attribute(a).clone();
            (Fact { entity: entity.clone(), attribute, value: reader.value(v) }, mark)
        };
        found.into_iter().map(fact).collect()
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

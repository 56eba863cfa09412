//! Which attributes an entity may have facts of: what answers "all about this entity".
//!
//! Without it the question costs a search in every attribute of the store. Entities of one kind
//! have the same attributes, so there are few different *sets* of attributes; each entity has the
//! number of its set, in a packed tree.
//!
//! **Invariant:** the set of an entity contains every attribute of which it has a visible fact. It
//! may contain more: attributes are never taken out, because readers look into the fields anyway.
//! What a writer can make it cost is bounded: beyond [`MEMBERS_MAX`] attributes, or once there are
//! [`SETS_MAX`] sets, an entity has the set of all attributes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::intern::Cell;

use super::column::Column;
use super::index::AttributeIndex;
use super::snapshot::AttributeId;
use super::tree::Tree;

/// The most attributes of a set, but for the set of all.
const MEMBERS_MAX: usize = 64;
/// The most sets.
const SETS_MAX: usize = 4_096;
/// The number of the set of all attributes.
const EVERY: u64 = 0;

/// The attributes of entities.
#[derive(Clone, Default)]
pub(super) struct EntityFields {
    /// Entity → number of its set.
    numbers: Tree<Column, Column>,
    sets: Arc<Sets>,
}

/// Sorted lists of attributes ↔ numbers, from 1.
#[derive(Clone, Default)]
struct Sets {
    members: Vec<Arc<[AttributeId]>>,
    numbers: BTreeMap<Arc<[AttributeId]>, u64>,
}

impl Sets {
    fn members(&self, number: u64) -> &Arc<[AttributeId]> {
        &self.members[number as usize - 1]
    }
}

impl EntityFields {
    /// The attributes an entity may have facts of, sorted; none where it may be any.
    pub(super) fn of(&self, entity: Cell) -> Option<&[AttributeId]> {
        match self.numbers.get(entity.0) {
            None => Some(&[]),
            Some(EVERY) => None,
            Some(number) => Some(self.sets.members(number)),
        }
    }

    /// Records that an entity has a fact of an attribute.
    pub(super) fn insert(&mut self, entity: Cell, attribute: AttributeId) {
        let before = self.numbers.get(entity.0);
        if let Some(number) = self.with(before, attribute) {
            self.numbers.insert(entity.0, number);
        }
    }

    /// The attributes of the entities of these indexes, given by attribute id.
    pub(super) fn build(indexes: &[Arc<AttributeIndex>]) -> EntityFields {
        let mut fields = EntityFields::default();
        // By the entity's symbol, which is dense.
        let mut numbers: Vec<Option<u64>> = Vec::new();
        for (attribute, index) in (0..).map(AttributeId).zip(indexes) {
            // Most entities come from the same set as the one before.
            let mut last = None;
            for pair in index.facts().keys() {
                let symbol = pair.first().narrow().expect("entities are references") as usize;
                if symbol >= numbers.len() {
                    numbers.resize(symbol + 1, None);
                }
                let before = numbers[symbol];
                let after = match last {
                    Some((from, to)) if from == before => to,
                    _ => fields.with(before, attribute).or(before),
                };
                last = Some((before, after));
                numbers[symbol] = after;
            }
        }
        let known = (0..).zip(numbers).filter_map(|(symbol, number)| {
            number.map(|number| (Cell::from_narrow(symbol).0, number))
        });
        let (entities, numbers): (Vec<u64>, Vec<u64>) = known.unzip();
        fields.numbers = Tree::from_sorted(&entities, &numbers);
        fields
    }

    /// The number of a set with one attribute more; none if it has that already.
    fn with(&mut self, before: Option<u64>, attribute: AttributeId) -> Option<u64> {
        let members: &[AttributeId] = match before {
            None => &[],
            Some(EVERY) => return None,
            Some(number) => self.sets.members(number),
        };
        let place = members.binary_search(&attribute).err()?;
        let mut longer = members.to_vec();
        longer.insert(place, attribute);
        if let Some(number) = self.sets.numbers.get(longer.as_slice()) {
            return Some(*number);
        }
        if longer.len() > MEMBERS_MAX || self.sets.members.len() == SETS_MAX {
            return Some(EVERY);
        }
        let (sets, longer) = (Arc::make_mut(&mut self.sets), Arc::from(longer));
        sets.members.push(Arc::clone(&longer));
        let number = sets.members.len() as u64;
        sets.numbers.insert(longer, number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(fields: &EntityFields, entity: u32) -> Option<Vec<u32>> {
        let ids = fields.of(Cell::from_narrow(entity))?;
        Some(ids.iter().map(|id| id.0).collect())
    }

    #[test]
    fn sets_grow_by_attributes_in_any_order_and_clones_stay() {
        let mut fields = EntityFields::default();
        for (entity, attribute) in [(1, 5), (1, 3), (2, 3), (1, 5), (2, 5)] {
            fields.insert(Cell::from_narrow(entity), AttributeId(attribute));
        }
        let clone = fields.clone();
        fields.insert(Cell::from_narrow(1), AttributeId(4));
        assert_eq!(members(&fields, 1), Some(vec![3, 4, 5]));
        assert_eq!(members(&clone, 1), Some(vec![3, 5]));
        assert_eq!(members(&fields, 2), Some(vec![3, 5]));
        assert_eq!(members(&fields, 3), Some(vec![]));
        // {5}, {3, 5} for the first entity, {3} for the second, {3, 4, 5}.
        assert_eq!(fields.sets.members.len(), 4);
    }

    #[test]
    fn what_sets_cost_is_bounded() {
        let mut fields = EntityFields::default();
        for attribute in 0..=MEMBERS_MAX as u32 {
            assert!(members(&fields, 1).is_some());
            fields.insert(Cell::from_narrow(1), AttributeId(attribute));
        }
        assert_eq!(members(&fields, 1), None, "it may have any attribute");
        for entity in 2..2 + SETS_MAX as u32 {
            fields.insert(Cell::from_narrow(entity), AttributeId(entity));
        }
        assert_eq!(fields.sets.members.len(), SETS_MAX);
        assert_eq!(members(&fields, 1 + SETS_MAX as u32), None);
        assert_eq!(members(&fields, 2), Some(vec![2]));
    }
}

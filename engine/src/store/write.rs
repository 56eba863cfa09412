//! Merging operations into the indexes, one after the other.
//!
//! Each operation raises maxima and then judges again exactly the entries whose circumstances
//! changed: a `set` or `unset` its field, an `add` or `remove` its value, a `delete` or `restore`
//! the entity's fields and the references to it. Invariant after every operation: an entry is
//! visible, hidden or absent exactly as [`Circumstances::judge`] says.

use std::sync::Arc;

use crate::fact::{Kind, Mark, Op};
use crate::hlc::Stamp;
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary};
use crate::merge::{self, Circumstances, Floor, Life, Standing};
use crate::planted::{Bug, is_planted};

use super::Store;
use super::effects::Target;
use super::fields::EntityFields;
use super::index::{AttributeIndex, Holding};
use super::log::Changes;
use super::pairs::Pair;
use super::snapshot::{AttributeId, Names};
use super::tree::Map;

/// A store while a step changes it.
pub(super) struct Writer<'store> {
    pub(super) dictionary: &'store Dictionary,
    names: &'store mut Arc<Names>,
    indexes: &'store mut Vec<Arc<AttributeIndex>>,
    fields: &'store mut EntityFields,
    pub(super) lives: &'store mut Map<Cell, Life>,
    pub(super) changes: Changes,
    last_entity: Option<(EntityId, Cell)>,
}

/// A field by its ids.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) attribute: AttributeId,
    pub(super) entity: Cell,
}

impl<'store> Writer<'store> {
    pub(super) fn new(store: &'store mut Store) -> Writer<'store> {
        Writer {
            dictionary: &store.view.dictionary,
            names: &mut store.view.names,
            indexes: Arc::make_mut(&mut store.view.indexes),
            fields: &mut store.view.fields,
            lives: &mut store.lives,
            changes: Changes::default(),
            last_entity: None,
        }
    }

    /// Merges one operation; returns what it is about, and the cover it had, if it has one.
    pub(super) fn merge(
        &mut self,
        op: &Op,
        stamp: Stamp,
        is_clamped: bool,
    ) -> (Target, Option<Stamp>) {
        let entity = self.intern_entity(op.entity());
        let attribute = op.attribute().map(|attribute| self.intern_attribute(attribute));
        let value = op.value().map(|value| self.dictionary.intern(value));
        let covered = match (op, attribute.map(|attribute| Field { attribute, entity }), value) {
            (Op::Set { .. }, Some(field), Some(value)) => {
                self.add(field, value, Mark { stamp, kind: Kind::Set });
                None
            }
            (Op::Add { .. }, Some(field), Some(value)) => {
                self.add(field, value, Mark { stamp, kind: Kind::Add });
                None
            }
            (Op::Unset { .. }, Some(field), _) => {
                let holding = self.index(field.attribute).holding(entity);
                let floor = self.raise_floor(field, holding, Floor { stamp, value: None });
                self.index_mut(field.attribute).keep_floor(entity, Some(floor));
                None
            }
            (Op::Remove { covers, .. }, Some(field), Some(value)) => {
                let held = |writer: &Self| writer.index(field.attribute).held(entity, value);
                let covers = covers.filter(|_| !is_planted(Bug::RemoveCoversAll));
                let claimed = covers.unwrap_or(stamp);
                let covered = match is_clamped {
                    true => merge::clamp(claimed, held(self).map(|mark| mark.stamp)),
                    false => claimed,
                };
                self.remove(field, value, covered);
                Some(covered)
            }
            (Op::Delete { .. }, ..) => {
                self.change_life(entity, |life| life.delete(stamp));
                None
            }
            (Op::Restore { covers, .. }, ..) => {
                let claimed = covers.unwrap_or(stamp);
                let covered = match is_clamped {
                    true => merge::clamp(claimed, self.life(entity).deleted),
                    false => claimed,
                };
                if !is_planted(Bug::RestorationIgnored) {
                    self.change_life(entity, |life| life.restore(covered));
                }
                Some(covered)
            }
            _ => unreachable!("an operation on a field has an attribute, one on a member a value"),
        };
        (Target { entity: Some(entity), attribute, value }, covered)
    }

    /// The entity's cell; operations on one entity tend to follow each other.
    fn intern_entity(&mut self, entity: &EntityId) -> Cell {
        match &self.last_entity {
            Some((last, cell)) if last == entity => *cell,
            _ => {
                let cell = self.dictionary.intern_entity(entity);
                self.last_entity = Some((entity.clone(), cell));
                cell
            }
        }
    }

    pub(super) fn intern_attribute(&mut self, attribute: &Attribute) -> AttributeId {
        self.names.find(attribute).unwrap_or_else(|| {
            self.indexes.push(Arc::default());
            Arc::make_mut(self.names).push(attribute)
        })
    }

    pub(super) fn find_attribute(&self, attribute: &Attribute) -> Option<AttributeId> {
        self.names.find(attribute)
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = AttributeId> + use<> {
        (0..self.indexes.len() as u32).map(AttributeId)
    }

    pub(super) fn index(&self, attribute: AttributeId) -> &AttributeIndex {
        &self.indexes[attribute.0 as usize]
    }

    /// The attribute's index to be changed, and the log of its changes.
    pub(super) fn index_mut(&mut self, attribute: AttributeId) -> &mut AttributeIndex {
        Arc::make_mut(&mut self.indexes[attribute.0 as usize])
    }

    pub(super) fn life(&self, entity: Cell) -> Life {
        self.lives.get(entity).unwrap_or(Life::UNTOUCHED)
    }

    fn target_life(&self, value: Cell) -> Life {
        if value.is_ref() { self.life(value) } else { Life::UNTOUCHED }
    }

    /// Judges an entry of the field under its floor.
    fn judge(&self, field: Field, floor: Option<Floor>, value: Cell, added: Mark) -> Standing {
        let Field { attribute, entity } = field;
        let circumstances = Circumstances {
            floor,
            removed: self.index(attribute).removed(entity, value),
            entity: self.life(entity),
            target: self.target_life(value),
        };
        circumstances.judge(added.stamp, value, self.dictionary)
    }

    /// Judges an entry of the field under its floor and places it accordingly.
    fn settle(&mut self, field: Field, floor: Option<Floor>, value: Cell, added: Mark) {
        let standing = self.judge(field, floor, value, added);
        self.place(field, value, added, standing);
    }

    pub(super) fn place(&mut self, field: Field, value: Cell, mark: Mark, standing: Standing) {
        let index = Arc::make_mut(&mut self.indexes[field.attribute.0 as usize]);
        let mut log = self.changes.of(field.attribute);
        index.place(Pair::new(field.entity, value), mark, standing, &mut log);
        if standing == Standing::Visible {
            self.fields.insert(field.entity, field.attribute);
        }
    }

    /// Judges an entry again, if it is held.
    fn settle_held(&mut self, field: Field, floor: Option<Floor>, value: Cell) {
        if let Some(held) = self.index(field.attribute).held(field.entity, value) {
            self.settle(field, floor, value, held);
        }
    }

    /// The field's floor once `floor` counts too; forgets what falls below. The caller keeps it.
    fn raise_floor(&mut self, field: Field, holding: Holding, floor: Floor) -> Floor {
        let index = self.index(field.attribute);
        let current = index.floor_over(field.entity, holding);
        let is_late = is_planted(Bug::LateSetWins);
        let greatest = if is_late { floor } else { floor.max(current, self.dictionary) };
        match holding {
            _ if current == Some(greatest) => {}
            Holding::Nothing => {}
            Holding::One(value, held) => self.settle(field, Some(greatest), value, held),
            Holding::Many => {
                for value in index.held_values(field.entity) {
                    self.settle_held(field, Some(greatest), value);
                }
            }
        }
        greatest
    }

    /// Merges a `set` or `add`. What the field holds is searched once: most fields are written
    /// for the first time or hold one value, and searches are what a write costs.
    fn add(&mut self, field: Field, value: Cell, mark: Mark) {
        let Field { attribute, entity } = field;
        let holding = self.index(attribute).holding(entity);
        if self.replace(field, holding, value, mark) {
            return;
        }
        let held = match holding {
            Holding::Nothing => None,
            Holding::One(other, held) => (other == value).then_some(held),
            Holding::Many => self.index(attribute).held(entity, value),
        };
        let floor = match mark.kind {
            Kind::Add => self.index(attribute).floor_over(entity, holding),
            Kind::Set => {
                let floor = Floor { stamp: mark.stamp, value: Some(value) };
                Some(self.raise_floor(field, holding, floor))
            }
        };
        self.settle(field, floor, value, merge::later(held, mark));
        if floor.is_some() {
            self.index_mut(attribute).keep_floor(entity, floor);
        }
    }

    /// Merges a `set` whose entry takes the place of the only one its field holds. Whether this is
    /// such a write; no entry has changed if not.
    fn replace(&mut self, field: Field, holding: Holding, value: Cell, mark: Mark) -> bool {
        let (Kind::Set, Holding::One(old, held)) = (mark.kind, holding) else { return false };
        let floor = Floor { stamp: mark.stamp, value: Some(value) };
        let current = self.index(field.attribute).floor_over(field.entity, holding);
        if floor.max(current, self.dictionary) != floor
            || self.judge(field, Some(floor), old, held) != Standing::Lost
            || self.judge(field, Some(floor), value, mark) != Standing::Visible
        {
            return false;
        }
        let index = Arc::make_mut(&mut self.indexes[field.attribute.0 as usize]);
        let mut log = self.changes.of(field.attribute);
        index.replace(field.entity, [old, value], mark, &mut log)
    }

    fn remove(&mut self, field: Field, value: Cell, covered: Stamp) {
        let floor = self.index(field.attribute).floor(field.entity);
        self.index_mut(field.attribute).remove(field.entity, value, covered);
        self.settle_held(field, floor, value);
        self.index_mut(field.attribute).keep_floor(field.entity, floor);
    }

    /// Changes an entity's maxima and judges again all that depends on them: its fields, and the
    /// references to it.
    fn change_life(&mut self, entity: Cell, change: impl FnOnce(&mut Life)) {
        let before = self.life(entity);
        let mut life = before;
        change(&mut life);
        if life == before {
            return;
        }
        self.set_life(entity, life);
        for attribute in self.attributes() {
            self.settle_entity(Field { attribute, entity }, life);
            for referrer in self.index(attribute).held_referrers(entity) {
                let field = Field { attribute, entity: referrer };
                let floor = self.index(attribute).floor(referrer);
                self.settle_held(field, floor, entity);
                self.index_mut(attribute).keep_floor(referrer, floor);
            }
        }
    }

    /// Records an entity's maxima.
    pub(super) fn set_life(&mut self, entity: Cell, life: Life) {
        let before = match life == Life::UNTOUCHED {
            true => self.lives.remove(entity),
            false => self.lives.insert(entity, life),
        };
        self.changes.life(entity, before.unwrap_or_default());
    }

    fn settle_entity(&mut self, field: Field, life: Life) {
        let Field { attribute, entity } = field;
        let index = self.index(attribute);
        let floor = index.floor(entity);
        let values = index.held_values(entity);
        if values.is_empty() && floor.is_none() {
            return;
        }
        for value in values {
            self.settle_held(field, floor, value);
        }
        let index = self.index_mut(attribute);
        index.keep_floor(entity, floor);
        index.bury(entity, life);
    }
}

//! Installing what a server said: the confirmed facts of a client.
//!
//! The sender has merged already; the receiver holds only some facts and must not judge by what
//! it happens to hold. So nothing is compared here: what comes is made so, in list order.
//!
//! The contract is that of [`Store::install`](super::Store::install). Deletions make no hidden
//! entries here: what they bury is forgotten, and what is visible again comes as a fact.
//!
//! It is meant for a store that is only ever installed into; clones of it may merge.

use crate::fact::{Fact, Install, Kind, Mark};
use crate::hlc::{Hlc, Stamp};
use crate::ids::EntityId;
use crate::intern::Cell;
use crate::merge::{Life, Standing};
use crate::planted::{Bug, is_planted};

use super::write::{Field, Writer};

impl Writer<'_> {
    /// Installs one item; returns the HLC it carries.
    pub(super) fn install(&mut self, install: &Install) -> Option<Hlc> {
        match install {
            Install::Fact(fact, mark) => {
                self.install_fact(fact, *mark);
                Some(mark.stamp.hlc)
            }
            Install::Retracted(fact) | Install::Released(fact) => {
                self.drop_fact(fact);
                None
            }
            Install::Deleted(entity, stamp) => {
                self.install_deleted(entity, *stamp);
                Some(stamp.hlc)
            }
            Install::Restored(entity, stamp) => {
                let entity = self.dictionary.intern_entity(entity);
                let mut life = self.life(entity);
                life.restore(*stamp);
                self.set_life(entity, life);
                Some(stamp.hlc)
            }
        }
    }

    fn install_fact(&mut self, fact: &Fact, mark: Mark) {
        let entity = self.dictionary.intern_entity(&fact.entity);
        let field = Field { attribute: self.intern_attribute(&fact.attribute), entity };
        let value = self.dictionary.intern(&fact.value);
        self.forget_contradiction(entity, mark.stamp);
        if value.is_ref() {
            self.forget_contradiction(value, mark.stamp);
        }
        self.index_mut(field.attribute).forget_removed(entity, value);
        self.put(field, value, Some(mark));
    }

    fn drop_fact(&mut self, fact: &Fact) {
        let entity = self.dictionary.find_entity(&fact.entity);
        let attribute = self.find_attribute(&fact.attribute);
        let value = self.dictionary.find(&fact.value);
        if let (Some(entity), Some(attribute), Some(value)) = (entity, attribute, value) {
            self.index_mut(attribute).forget_removed(entity, value);
            self.put(Field { attribute, entity }, value, None);
        }
    }

    fn install_deleted(&mut self, entity: &EntityId, stamp: Stamp) {
        let entity = self.dictionary.intern_entity(entity);
        let mut life = self.life(entity);
        life.delete(stamp);
        self.set_life(entity, life);
        for attribute in self.attributes() {
            for value in self.index(attribute).held_values(entity) {
                self.drop_buried(Field { attribute, entity }, value, life);
            }
            for referrer in self.index(attribute).held_referrers(entity) {
                self.drop_buried(Field { attribute, entity: referrer }, entity, life);
            }
        }
    }

    fn drop_buried(&mut self, field: Field, value: Cell, life: Life) {
        let held = self.index(field.attribute).held(field.entity, value);
        if held.is_some_and(|mark| life.has_buried(mark.stamp)) {
            self.put(field, value, None);
        }
    }

    /// Forgets the deletion of an entity under which a write of this stamp is not visible.
    fn forget_contradiction(&mut self, entity: Cell, stamp: Stamp) {
        if self.life(entity).hides(stamp).is_some() {
            self.set_life(entity, Life::UNTOUCHED);
        }
    }

    /// Makes a fact visible with a mark, or forgets it, and keeps the field's floor right.
    fn put(&mut self, field: Field, value: Cell, mark: Option<Mark>) {
        let Field { attribute, entity } = field;
        let before = self.index(attribute).held(entity, value);
        if is_planted(Bug::InstallKeepsMark) && mark.is_some() && before.is_some() {
            return;
        }
        let is_set = |mark: Option<Mark>| mark.is_some_and(|mark| mark.kind == Kind::Set);
        let floor = self.index(attribute).floor(entity);
        match (mark, before) {
            (Some(mark), _) => self.place(field, value, mark, Standing::Visible),
            (None, Some(before)) => self.place(field, value, before, Standing::Lost),
            (None, None) => return,
        }
        let is_empty = self.index(attribute).field_len(entity) == 0;
        let dictionary = self.dictionary;
        let floor = match is_set(before) || is_set(mark) || is_empty {
            true => self
                .index(attribute)
                .floor_of_visible(entity, |floor, other| floor.max(other, dictionary)),
            false => floor,
        };
        self.index_mut(attribute).keep_floor(entity, floor);
    }
}

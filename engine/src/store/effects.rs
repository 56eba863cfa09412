//! What holds of each operation of a transaction: the answer its writer gets.
//!
//! Losing is not failing: an accepted transaction tells per operation whether it holds right after
//! the whole of it, a later write stands instead, or a deletion hides it.

use crate::fact::{Effect, Op, Transaction};
use crate::hlc::Stamp;
use crate::intern::Cell;
use crate::merge::Life;

use super::Store;
use super::snapshot::AttributeId;

/// What an operation is about, as cells; absent where the store has never seen it.
#[derive(Clone, Copy, Default)]
pub(super) struct Target {
    pub(super) entity: Option<Cell>,
    pub(super) attribute: Option<AttributeId>,
    pub(super) value: Option<Cell>,
}

impl Store {
    /// What holds of each operation of a transaction now.
    ///
    /// `set` and `add` are applied when the fact is visible; else deleted when the entity, or the
    /// entity referred to, is dead or was deleted after the operation; else superseded. `unset` is
    /// applied when the field is empty, `remove` when the value is not visible, `delete` when the
    /// entity is not alive, `restore` when it is (else it is deleted).
    ///
    /// # Panics
    /// When the transaction has more than 65,536 operations: limits are checked before this.
    pub fn effects(&self, transaction: &Transaction) -> Vec<Effect> {
        let targets: Vec<Target> = transaction.ops.iter().map(|op| self.target(op)).collect();
        self.effects_on(transaction, &targets)
    }

    /// The effects of operations whose targets are known.
    pub(super) fn effects_on(&self, transaction: &Transaction, targets: &[Target]) -> Vec<Effect> {
        let ops = transaction.ops.iter().zip(targets).enumerate();
        ops.map(|(index, (op, target))| self.effect(op, target, transaction.stamp(index))).collect()
    }

    fn target(&self, op: &Op) -> Target {
        let dictionary = &self.view.dictionary;
        Target {
            entity: dictionary.find_entity(op.entity()),
            attribute: op.attribute().and_then(|attribute| self.view.find_attribute(attribute)),
            value: op.value().and_then(|value| dictionary.find(value)),
        }
    }

    fn effect(&self, op: &Op, target: &Target, stamp: Stamp) -> Effect {
        let applied_if = |holds| if holds { Effect::Applied } else { Effect::Superseded };
        match op {
            Op::Set { .. } | Op::Add { .. } if self.is_visible(target) => Effect::Applied,
            Op::Set { .. } | Op::Add { .. } => match self.hidden_by(target, stamp) {
                Some(at) => Effect::Deleted { at },
                None => Effect::Superseded,
            },
            Op::Unset { .. } => applied_if(self.is_empty_field(target)),
            Op::Remove { .. } => applied_if(!self.is_visible(target)),
            Op::Delete { .. } => applied_if(!self.life(target.entity).is_alive()),
            Op::Restore { .. } => match self.life(target.entity).tombstone() {
                Some(at) => Effect::Deleted { at },
                None => Effect::Applied,
            },
        }
    }

    fn is_empty_field(&self, target: &Target) -> bool {
        let field = target.attribute.zip(target.entity);
        field.is_none_or(|(attribute, entity)| {
            self.view.index(attribute).field(entity).next().is_none()
        })
    }

    fn is_visible(&self, target: &Target) -> bool {
        match *target {
            Target { entity: Some(entity), attribute: Some(attribute), value: Some(value) } => {
                self.view.contains(attribute, entity, value)
            }
            _ => false,
        }
    }

    /// The deletion of the entity, or of the entity referred to, that hides a write.
    fn hidden_by(&self, target: &Target, added: Stamp) -> Option<Stamp> {
        let referred = || self.life(target.value.filter(|value| value.is_ref())).hides(added);
        self.life(target.entity).hides(added).or_else(referred)
    }

    /// The maxima of an entity.
    pub(super) fn life(&self, entity: Option<Cell>) -> Life {
        entity.and_then(|cell| self.lives.get(cell)).unwrap_or(Life::UNTOUCHED)
    }
}

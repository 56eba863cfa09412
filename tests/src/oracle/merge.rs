//! Merge as one scan over all changes ever made.
//!
//! The formula of the design, literally. With, for a set of stamped operations,
//! `floor(e,a)` = greatest (stamp, value) of a `set` or `unset` (an unset above every value),
//! `added(e,a,v)` = greatest (stamp, kind) of a `set` or `add` of v, `removed(e,a,v)` and
//! `restored(e)` = greatest stamp covered, `deleted(e)` = greatest `delete`:
//!
//! > alive(e) ⇔ never deleted, or deleted(e) ≤ restored(e)
//! > visible(e,a,v) ⇔ (added, v) ≥ floor(e,a) ∧ added > removed(e,a,v) ∧ alive(e)
//! > ∧ added > deleted(e) ∧ (v is no ref, or alive(v) ∧ added > deleted(v))
//!
//! Every question is answered from scratch by reading the whole list. Limits and refusals of
//! whole transactions are left out.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::fact::{Effect, Fact, Kind, Mark, Op, Transaction};
use tercet_engine::hlc::Stamp;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;

/// The visible facts, each with its mark.
pub type Facts = BTreeMap<Fact, Mark>;

/// All changes ever made, in any order, with any repetition.
#[derive(Debug, Clone, Default)]
pub struct History(Vec<(Stamp, Op)>);

/// What a `set` or `unset` leaves in a field; greatest wins among equal stamps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    Value(Value),
    Nothing,
}

/// The visible facts, where nothing but `add` was ever done: every fact, with its greatest stamp.
/// For databases that are too large for reading the whole list at every question.
pub fn additions(transactions: &[Transaction]) -> Option<Facts> {
    let mut facts = Facts::new();
    for transaction in transactions {
        for (index, op) in transaction.ops.iter().enumerate() {
            let Op::Add { e, a, v } = op else { return None };
            let fact = Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() };
            let mark = Mark { stamp: transaction.stamp(index), kind: Kind::Add };
            let held = facts.entry(fact).or_insert(mark);
            *held = (*held).max(mark);
        }
    }
    Some(facts)
}

impl History {
    /// The changes of some transactions.
    pub fn of<'a>(transactions: impl IntoIterator<Item = &'a Transaction>) -> History {
        let mut history = History::default();
        for transaction in transactions {
            history.push(transaction);
        }
        history
    }

    /// Adds the changes of a transaction, as they stand.
    pub fn push(&mut self, transaction: &Transaction) {
        for (index, op) in transaction.ops.iter().enumerate() {
            self.0.push((transaction.stamp(index), op.clone()));
        }
    }

    fn floor(&self, e: &EntityId, a: &Attribute) -> Option<(Stamp, Written)> {
        let written = self.0.iter().filter_map(|(stamp, op)| match op {
            Op::Set { e: e2, a: a2, v } if (e2, a2) == (e, a) => {
                Some((*stamp, Written::Value(v.clone())))
            }
            Op::Unset { e: e2, a: a2 } if (e2, a2) == (e, a) => Some((*stamp, Written::Nothing)),
            _ => None,
        });
        written.max()
    }

    /// The greatest stamp and kind with which a fact was written; visible or not.
    pub fn added(&self, e: &EntityId, a: &Attribute, v: &Value) -> Option<Mark> {
        let marks = self.0.iter().filter_map(|(stamp, op)| match op {
            Op::Set { e: e2, a: a2, v: v2 } if (e2, a2, v2) == (e, a, v) => {
                Some(Mark { stamp: *stamp, kind: Kind::Set })
            }
            Op::Add { e: e2, a: a2, v: v2 } if (e2, a2, v2) == (e, a, v) => {
                Some(Mark { stamp: *stamp, kind: Kind::Add })
            }
            _ => None,
        });
        marks.max()
    }

    fn removed(&self, e: &EntityId, a: &Attribute, v: &Value) -> Option<Stamp> {
        let covers = self.0.iter().filter_map(|(stamp, op)| match op {
            Op::Remove { e: e2, a: a2, v: v2, covers } if (e2, a2, v2) == (e, a, v) => {
                Some(covers.unwrap_or(*stamp))
            }
            _ => None,
        });
        covers.max()
    }

    /// The greatest stamp of a deletion of the entity, taken back or not.
    pub fn deleted(&self, entity: &EntityId) -> Option<Stamp> {
        let stamps = self.0.iter().filter_map(|(stamp, op)| match op {
            Op::Delete { e } if e == entity => Some(*stamp),
            _ => None,
        });
        stamps.max()
    }

    /// The greatest stamp that a restore of the entity covers.
    pub fn restored(&self, entity: &EntityId) -> Option<Stamp> {
        let covers = self.0.iter().filter_map(|(stamp, op)| match op {
            Op::Restore { e, covers } if e == entity => Some(covers.unwrap_or(*stamp)),
            _ => None,
        });
        covers.max()
    }

    fn alive(&self, entity: &EntityId) -> bool {
        match self.deleted(entity) {
            None => true,
            Some(deleted) => self.restored(entity).is_some_and(|restored| deleted <= restored),
        }
    }

    /// The deletion that hides what was written to or about an entity with this stamp.
    fn buried(&self, entity: &EntityId, stamp: Stamp) -> Option<Stamp> {
        let deleted = self.deleted(entity)?;
        (!self.alive(entity) || stamp <= deleted).then_some(deleted)
    }

    fn visible_mark(&self, e: &EntityId, a: &Attribute, v: &Value) -> Option<Mark> {
        let added = self.added(e, a, v)?;
        let stamp = added.stamp;
        let above_floor = match self.floor(e, a) {
            None => true,
            Some(floor) => (stamp, Written::Value(v.clone())) >= floor,
        };
        let member = self.removed(e, a, v).is_none_or(|removed| stamp > removed);
        let target_stands = match v {
            Value::Ref(target) => self.buried(target, stamp).is_none(),
            _ => true,
        };
        let stands = self.buried(e, stamp).is_none() && target_stands;
        (above_floor && member && stands).then_some(added)
    }

    /// The visible facts with their marks.
    pub fn visible(&self) -> Facts {
        let written = self.0.iter().filter_map(|(_, op)| match op {
            Op::Set { e, a, v } | Op::Add { e, a, v } => {
                Some(Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() })
            }
            _ => None,
        });
        let facts = written.collect::<BTreeSet<_>>().into_iter().filter_map(|fact| {
            let mark = self.visible_mark(&fact.entity, &fact.attribute, &fact.value)?;
            Some((fact, mark))
        });
        facts.collect()
    }

    /// The entities that have ever been deleted, each with its greatest deletion.
    pub fn all_deleted(&self) -> BTreeMap<EntityId, Stamp> {
        let entities = self.0.iter().map(|(_, op)| op.entity().clone()).collect::<BTreeSet<_>>();
        entities.into_iter().filter_map(|e| self.deleted(&e).map(|at| (e, at))).collect()
    }

    /// The entities that have ever been restored, each with the greatest stamp covered.
    pub fn all_restored(&self) -> BTreeMap<EntityId, Stamp> {
        let entities = self.0.iter().map(|(_, op)| op.entity().clone()).collect::<BTreeSet<_>>();
        entities.into_iter().filter_map(|e| self.restored(&e).map(|at| (e, at))).collect()
    }

    /// A transaction as a server commits it on top of this history: each cover, a missing one
    /// being the operation's own stamp, is at most what is held when the operation's turn comes.
    pub fn clamp(&self, transaction: &Transaction) -> Transaction {
        let mut held = self.clone();
        let mut clamped = Transaction { hlc: transaction.hlc, ops: Vec::new() };
        for (index, op) in transaction.ops.iter().enumerate() {
            let stamp = transaction.stamp(index);
            let mut op = op.clone();
            match &mut op {
                Op::Remove { e, a, v, covers } => {
                    let seen = held.added(e, a, v).map_or(Stamp::ZERO, |mark| mark.stamp);
                    *covers = Some(covers.unwrap_or(stamp).min(seen));
                }
                Op::Restore { e, covers } => {
                    let seen = held.deleted(e).unwrap_or(Stamp::ZERO);
                    *covers = Some(covers.unwrap_or(stamp).min(seen));
                }
                Op::Set { .. } | Op::Unset { .. } | Op::Add { .. } | Op::Delete { .. } => {}
            }
            held.0.push((stamp, op.clone()));
            clamped.ops.push(op);
        }
        clamped
    }

    /// What holds of each operation of a transaction that is part of this history.
    pub fn effects(&self, transaction: &Transaction) -> Vec<Effect> {
        let effects = transaction.ops.iter().enumerate();
        effects.map(|(index, op)| self.effect(transaction.stamp(index), op)).collect()
    }

    fn effect(&self, stamp: Stamp, op: &Op) -> Effect {
        let holds = match op {
            Op::Set { e, a, v } | Op::Add { e, a, v } => self.visible_mark(e, a, v).is_some(),
            Op::Unset { e, a } => {
                !self.visible().keys().any(|fact| (&fact.entity, &fact.attribute) == (e, a))
            }
            Op::Remove { e, a, v, .. } => self.visible_mark(e, a, v).is_none(),
            Op::Delete { e } => !self.alive(e),
            Op::Restore { e, .. } => self.alive(e),
        };
        let buried = match op {
            Op::Set { e, v, .. } | Op::Add { e, v, .. } => {
                let target = match v {
                    Value::Ref(target) => self.buried(target, stamp),
                    _ => None,
                };
                self.buried(e, stamp).or(target)
            }
            Op::Restore { e, .. } => self.deleted(e),
            Op::Unset { .. } | Op::Remove { .. } | Op::Delete { .. } => None,
        };
        match (holds, buried) {
            (true, _) => Effect::Applied,
            (false, Some(at)) => Effect::Deleted { at },
            (false, None) => Effect::Superseded,
        }
    }
}

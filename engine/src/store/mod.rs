//! The merge state and the indexes over visible facts; a clone is a pointer.
//!
//! A store is what a replica knows: visible facts in indexes, and behind them the maxima that
//! `merge` needs to judge whatever comes next. Three ways lead in: [`Store::accept`] (first commit
//! on the server: covers are clamped), [`Store::apply`] (log, replay, overlay: as it stands) and
//! [`Store::install`] (client: what a server said, unmerged). Each hands back the exact delta. The
//! same set of transactions gives the same visible facts in any order and any number of times.
//!
//! Left out: the log, limits on what may come in, and who is listening.

mod index;
mod install;
mod log;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use crate::delta::StoreDelta;
pub use snapshot::{AttributeId, Snapshot};

use crate::fact::{Effect, Install, Op, Transaction};
use crate::hlc::{Hlc, Stamp};
use crate::ids::{Attribute, EntityId};
use crate::intern::Cell;
use crate::merge::Life;
use crate::value::Value;

use index::AttributeIndex;
use tree::Tree;
use write::Writer;

/// Merge state and indexes. A clone is cheap and independent (copy on write): it is how a
/// successor is prepared while the published state is read. The dictionary alone is shared.
#[derive(Clone, Default)]
pub struct Store {
    view: Snapshot,
    /// Entities that were ever deleted or restored.
    lives: Tree<Cell, Life>,
    clock: Hlc,
}

/// What [`Store::accept`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// As committed: every cover is explicit and clamped.
    pub transaction: Transaction,
    /// What changed.
    pub delta: StoreDelta,
    /// One for each operation.
    pub effects: Vec<Effect>,
}

impl Store {
    /// An empty store with a dictionary of its own.
    pub fn new() -> Store {
        Store::default()
    }

    /// Merges a transaction as it stands: log, replay, overlay. A cover that is missing is the
    /// operation's own stamp.
    ///
    /// # Panics
    /// When the transaction has more than 65,536 operations: limits are checked before this.
    pub fn apply(&mut self, transaction: &Transaction) -> StoreDelta {
        self.merge(transaction, |writer, op, stamp| {
            writer.merge(op, stamp, false);
        })
    }

    /// First commit: clamps every cover to what is held, in list order, then merges.
    ///
    /// A `remove` covers at most the stamp of the entry held when its turn comes, a `restore` at
    /// most the deletion; where nothing is held they cover [`Stamp::ZERO`], which is nothing.
    /// Applying the transaction that comes back to an equal store does the same.
    ///
    /// # Panics
    /// When the transaction has more than 65,536 operations: limits are checked before this.
    pub fn accept(&mut self, transaction: &Transaction) -> Accepted {
        let mut ops = Vec::with_capacity(transaction.ops.len());
        let delta = self.merge(transaction, |writer, op, stamp| {
            let covered = writer.merge(op, stamp, true);
            ops.push(with_cover(op, covered));
        });
        let transaction = Transaction { hlc: transaction.hlc, ops };
        let effects = self.effects(&transaction);
        Accepted { transaction, delta, effects }
    }

    fn merge(
        &mut self,
        transaction: &Transaction,
        mut merge_op: impl FnMut(&mut Writer<'_>, &Op, Stamp),
    ) -> StoreDelta {
        self.clock = self.clock.max(transaction.hlc);
        let mut writer = Writer::new(self);
        for (index, op) in transaction.ops.iter().enumerate() {
            merge_op(&mut writer, op, transaction.stamp(index));
        }
        let changes = writer.changes;
        changes.into_delta(&self.view, &self.lives)
    }

    /// Installs what a server said, as it stands: the contract is in the source file `install`.
    ///
    /// In short: a fact becomes visible with its mark and forgets deletion marks that contradict
    /// it; a retracted or released one is forgotten; deletions hide what they bury. The floor of a
    /// field follows its visible `set` facts, so that pending transactions merge over it.
    pub fn install(&mut self, installs: &[Install]) -> StoreDelta {
        let mut writer = Writer::new(self);
        let seen = installs.iter().filter_map(|install| writer.install(install)).max();
        let changes = writer.changes;
        self.clock = self.clock.max(seen.unwrap_or(Hlc::ZERO));
        changes.into_delta(&self.view, &self.lives)
    }

    /// What holds of each operation of a transaction now.
    ///
    /// `set` and `add` are applied when the fact is visible; else deleted when the entity, or the
    /// entity referred to, is dead or was deleted after the operation; else superseded. `unset` is
    /// applied when the field is empty, `remove` when the value is not visible, `delete` when the
    /// entity is not alive, `restore` when it is.
    ///
    /// # Panics
    /// When the transaction has more than 65,536 operations: limits are checked before this.
    pub fn effects(&self, transaction: &Transaction) -> Vec<Effect> {
        let effect = |(index, op)| self.effect(op, transaction.stamp(index));
        transaction.ops.iter().enumerate().map(effect).collect()
    }

    fn effect(&self, op: &Op, stamp: Stamp) -> Effect {
        let applied_if = |holds| if holds { Effect::Applied } else { Effect::Superseded };
        match op {
            Op::Set { e, a, v } | Op::Add { e, a, v } => {
                let deleted =
                    || self.hidden_by(e, stamp).or_else(|| self.target_hidden_by(v, stamp));
                match self.is_visible(e, a, v) {
                    true => Effect::Applied,
                    false => deleted().map_or(Effect::Superseded, |at| Effect::Deleted { at }),
                }
            }
            Op::Unset { e, a } => applied_if(self.is_empty_field(e, a)),
            Op::Remove { e, a, v, .. } => applied_if(!self.is_visible(e, a, v)),
            Op::Delete { e } => applied_if(!self.life(e).is_alive()),
            Op::Restore { e, .. } => match self.life(e).tombstone() {
                Some(at) => Effect::Deleted { at },
                None => Effect::Applied,
            },
        }
    }

    /// The stamp of the add that a `remove` of this member would see: what it should cover. None
    /// when nothing is held that is or can become visible.
    pub fn added(&self, entity: &EntityId, attribute: &Attribute, value: &Value) -> Option<Stamp> {
        let (index, entity) = self.field(entity, attribute)?;
        let value = self.view.dictionary.find(value)?;
        index.held(entity, value).map(|mark| mark.stamp)
    }

    /// The tombstone of an entity that is not alive: what a `restore` should cover.
    pub fn tombstone(&self, entity: &EntityId) -> Option<Stamp> {
        self.life(entity).tombstone()
    }

    /// The greatest HLC of any transaction merged or item installed.
    pub fn clock(&self) -> Hlc {
        self.clock
    }

    /// The visible facts now. Cheap; stays as it is whatever happens to the store.
    pub fn snapshot(&self) -> Snapshot {
        self.view.clone()
    }

    fn field(&self, entity: &EntityId, attribute: &Attribute) -> Option<(&AttributeIndex, Cell)> {
        let id = self.view.names.find(attribute)?;
        let entity = self.view.dictionary.find_entity(entity)?;
        Some((&self.view.indexes[id.0 as usize], entity))
    }

    fn is_empty_field(&self, entity: &EntityId, attribute: &Attribute) -> bool {
        self.field(entity, attribute)
            .is_none_or(|(index, entity)| index.field(entity).next().is_none())
    }

    fn is_visible(&self, entity: &EntityId, attribute: &Attribute, value: &Value) -> bool {
        let value = self.view.dictionary.find(value);
        self.field(entity, attribute)
            .zip(value)
            .is_some_and(|((index, entity), value)| index.mark(entity, value).is_some())
    }

    fn life(&self, entity: &EntityId) -> Life {
        let cell = self.view.dictionary.find_entity(entity);
        cell.and_then(|cell| self.lives.get(&cell)).copied().unwrap_or(Life::UNTOUCHED)
    }

    fn hidden_by(&self, entity: &EntityId, added: Stamp) -> Option<Stamp> {
        self.life(entity).hides(added)
    }

    fn target_hidden_by(&self, value: &Value, added: Stamp) -> Option<Stamp> {
        match value {
            Value::Ref(target) => self.hidden_by(target, added),
            _ => None,
        }
    }
}

/// The operation with its cover made explicit, if it is one that covers.
fn with_cover(op: &Op, covered: Option<Stamp>) -> Op {
    let mut op = op.clone();
    if let Op::Remove { covers, .. } | Op::Restore { covers, .. } = &mut op {
        *covers = covered;
    }
    op
}

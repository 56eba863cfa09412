//! The merge state and the indexes over visible facts; a clone is a pointer.
//!
//! A store is what a replica knows: visible facts in indexes, and behind them the maxima that
//! `merge` needs to judge whatever comes next. Three ways lead in: [`Store::accept`] (first commit
//! on the server: covers are clamped), [`Store::apply`] (log, replay, overlay: as it stands) and
//! [`Store::install`] (client: what a server said, unmerged). Each hands back the exact delta. The
//! same set of transactions gives the same visible facts in any order and any number of times.
//!
//! A store that begins with many facts is built at once by [`Store::load`].
//!
//! Left out: the log, limits on what may come in, and who is listening.

mod column;
mod cursor;
mod effects;
mod estimate;
mod fields;
mod holders;
mod index;
mod install;
#[cfg(test)]
mod laws;
mod load;
mod log;
mod pairs;
mod radix;
mod snapshot;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use crate::delta::StoreDelta;
pub use cursor::{Cursor, Order};
pub(crate) use snapshot::KnownAttributes;
pub use snapshot::{AttributeId, Snapshot};

use crate::fact::{Effect, Install, Op, Transaction};
use crate::hlc::{Hlc, Stamp};
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary, HashKey};
use crate::merge::Life;
use crate::value::Value;

use tree::Map;
use write::Writer;

/// Merge state and indexes. A clone is cheap and independent (copy on write): it is how a
/// successor is prepared while the published state is read. The dictionary alone is shared.
#[derive(Clone, Default)]
pub struct Store {
    view: Snapshot,
    /// Entities that were ever deleted or restored.
    lives: Map<Cell, Life>,
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

    /// The same, for values and queries of strangers: evaluations hash under this key, so that
    /// nobody can choose integers that collide. No answer depends on it.
    pub fn with_hash_key(key: HashKey) -> Store {
        let view = Snapshot { dictionary: Dictionary::with_hash_key(key), ..Snapshot::default() };
        Store { view, ..Store::default() }
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
        let n_ops = transaction.ops.len();
        let (mut ops, mut targets) = (Vec::with_capacity(n_ops), Vec::with_capacity(n_ops));
        let delta = self.merge(transaction, |writer, op, stamp| {
            let (target, covered) = writer.merge(op, stamp, true);
            ops.push(with_cover(op, covered));
            targets.push(target);
        });
        let transaction = Transaction { hlc: transaction.hlc, ops };
        let effects = self.effects_on(&transaction, &targets);
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

    /// Installs what a server said, as it stands and in list order; nothing is merged.
    ///
    /// Contract, given that the sender has merged:
    /// - `Fact` makes the fact visible with that mark, and forgets what contradicts it: a removal
    ///   of it, and a deletion mark of its entity or ref target under which it were not visible.
    /// - `Retracted` and `Released` make the fact invisible and forget it.
    /// - `Deleted` raises the entity's deletion stamp, and forgets what is held of the entity, or
    ///   refers to it, with a stamp that is not later.
    /// - `Restored` raises the restored stamp; what is visible again comes as `Fact`.
    /// - A field whose `set` facts changed, or that lost its last fact, has as its floor the
    ///   greatest (stamp, value) of its visible `set` facts, or none: so pending transactions
    ///   merge over a clone by the same rules as anywhere.
    pub fn install(&mut self, installs: &[Install]) -> StoreDelta {
        let mut writer = Writer::new(self);
        let seen = installs.iter().filter_map(|install| writer.install(install)).max();
        let changes = writer.changes;
        self.clock = self.clock.max(seen.unwrap_or(Hlc::ZERO));
        changes.into_delta(&self.view, &self.lives)
    }

    /// The stamp of the add that a `remove` of this member would see: what it should cover. None
    /// when nothing is held that is or can become visible.
    pub fn added(&self, entity: &EntityId, attribute: &Attribute, value: &Value) -> Option<Stamp> {
        let index = self.view.index(self.view.find_attribute(attribute)?);
        let entity = self.view.dictionary.find_entity(entity)?;
        let value = self.view.dictionary.find(value)?;
        index.held(entity, value).map(|mark| mark.stamp)
    }

    /// The tombstone of an entity that is not alive: what a `restore` should cover.
    pub fn tombstone(&self, entity: &EntityId) -> Option<Stamp> {
        self.life(self.view.dictionary.find_entity(entity)).tombstone()
    }

    /// The greatest HLC of any transaction merged or item installed.
    pub fn clock(&self) -> Hlc {
        self.clock
    }

    /// The visible facts now. Cheap; stays as it is whatever happens to the store.
    pub fn snapshot(&self) -> Snapshot {
        self.view.clone()
    }

    /// Asserts the invariants of all indexes, and that every entry stands as merge says.
    #[cfg(test)]
    fn check(&self) {
        for (id, index) in self.view.attributes().zip(self.view.indexes.iter()) {
            index.check();
            for pair in index.facts().keys() {
                let fields = self.view.fields.of(pair.first());
                assert!(fields.is_none_or(|ids| ids.binary_search(&id).is_ok()));
            }
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

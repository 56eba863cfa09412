//! Writes, prepared as the database does it: a copy of the store with a transaction merged.
//!
//! What is prepared is not timed. Every successor stays until whoever asked for it drops it, so
//! that publishing one frees nothing, with subscriptions or without.

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::store::{Snapshot, Store, StoreDelta};
use tercet_engine::value::Value;

/// Prepares successors, each on top of the one before.
pub struct Writer {
    store: Store,
    now_ms: u64,
}

/// A write that can be published.
pub struct Write {
    /// The facts before.
    pub before: Snapshot,
    /// With the transaction merged.
    pub successor: Store,
    /// What it changed.
    pub delta: StoreDelta,
}

impl Writer {
    /// A writer that begins with a store.
    pub fn new(store: Store) -> Writer {
        // Later than every stamp of a workload.
        Writer { store, now_ms: 1 << 40 }
    }

    /// The facts after everything that was prepared.
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// Prepares one transaction of these operations.
    pub fn prepare(&mut self, ops: Vec<Op>) -> Write {
        self.now_ms += 1;
        let hlc = Hlc::new(self.now_ms, 0, ReplicaId(2));
        let (before, mut successor) = (self.store.snapshot(), self.store.clone());
        let delta = successor.apply(&Transaction { hlc, ops });
        self.store = successor.clone();
        Write { before, successor, delta }
    }
}

/// An entity of a workload: `task:17`.
pub fn entity(kind: &str, index: usize) -> EntityId {
    EntityId::new(format!("{kind}:{index}")).expect("short and printable")
}

/// An attribute of a workload.
pub fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("type/field")
}

/// A field that is set.
pub fn set(e: EntityId, a: &str, v: impl Into<Value>) -> Op {
    Op::Set { e, a: attribute(a), v: v.into() }
}

/// A field that is emptied.
pub fn unset(e: EntityId, a: &str) -> Op {
    Op::Unset { e, a: attribute(a) }
}

//! Facts, operations and transactions: what is stored, and what travels towards the log.
//!
//! Nobody below has a schema, so an operation says itself whether it replaces (`set`) or adds
//! (`add`). A transaction is a list of operations under one HLC; operation `i` carries the stamp
//! `(hlc, i)`. How operations combine is in `merge`; this file holds their shape only.

use serde::{Deserialize, Serialize};

use crate::hlc::{Hlc, Stamp};
use crate::ids::{Attribute, EntityId};
use crate::value::Value;

/// One thing known: the entity's attribute has this value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What it is about.
    #[serde(rename = "e")]
    pub entity: EntityId,
    /// What is said.
    #[serde(rename = "a")]
    pub attribute: Attribute,
    /// How it is.
    #[serde(rename = "v")]
    pub value: Value,
}

/// How a fact was written: it replaced its field or joined it. `Set < Add` breaks equal stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// By `set`: the field is one value.
    Set,
    /// By `add`: the field is a set of values.
    Add,
}

/// When and how a visible fact was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mark {
    /// Its stamp.
    pub stamp: Stamp,
    /// Its kind.
    pub kind: Kind,
}

/// A write to one entity. In JSON: `{"set": {"e": "u1", "a": "user/name", "v": "Ann"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Op {
    /// The field `(e, a)` is exactly `v`.
    Set {
        /// The entity.
        e: EntityId,
        /// The attribute.
        a: Attribute,
        /// The value.
        v: Value,
    },
    /// The field `(e, a)` is empty.
    Unset {
        /// The entity.
        e: EntityId,
        /// The attribute.
        a: Attribute,
    },
    /// `v` is a member of the field.
    Add {
        /// The entity.
        e: EntityId,
        /// The attribute.
        a: Attribute,
        /// The value.
        v: Value,
    },
    /// Takes back the membership of `v`, as the writer saw it.
    Remove {
        /// The entity.
        e: EntityId,
        /// The attribute.
        a: Attribute,
        /// The value.
        v: Value,
        /// The stamp of the add it saw; without one, it covers up to its own stamp.
        #[serde(default)]
        covers: Option<Stamp>,
    },
    /// The entity is gone.
    Delete {
        /// The entity.
        e: EntityId,
    },
    /// Takes back a deletion, knowingly.
    Restore {
        /// The entity.
        e: EntityId,
        /// The stamp of the deletion it saw; without one, it covers up to its own stamp.
        #[serde(default)]
        covers: Option<Stamp>,
    },
}

impl Op {
    /// The entity it writes to.
    pub fn entity(&self) -> &EntityId {
        match self {
            Op::Set { e, .. }
            | Op::Unset { e, .. }
            | Op::Add { e, .. }
            | Op::Remove { e, .. }
            | Op::Delete { e }
            | Op::Restore { e, .. } => e,
        }
    }

    /// The attribute it writes to; none for `delete` and `restore`.
    pub fn attribute(&self) -> Option<&Attribute> {
        match self {
            Op::Set { a, .. } | Op::Unset { a, .. } | Op::Add { a, .. } | Op::Remove { a, .. } => {
                Some(a)
            }
            Op::Delete { .. } | Op::Restore { .. } => None,
        }
    }

    /// The value it carries, if it carries one.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Op::Set { v, .. } | Op::Add { v, .. } | Op::Remove { v, .. } => Some(v),
            Op::Unset { .. } | Op::Delete { .. } | Op::Restore { .. } => None,
        }
    }

    /// The cover it states, if it is one of the two operations that cover.
    pub fn covers(&self) -> Option<Stamp> {
        match self {
            Op::Remove { covers, .. } | Op::Restore { covers, .. } => *covers,
            Op::Set { .. } | Op::Unset { .. } | Op::Add { .. } | Op::Delete { .. } => None,
        }
    }
}

/// Operations applied and shown whole, in list order. Its identity (client id, client sequence
/// number) belongs to whoever carries it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// The stamp shared by all its operations.
    pub hlc: Hlc,
    /// At most 65,536; servers allow fewer.
    pub ops: Vec<Op>,
}

impl Transaction {
    /// The stamp of the operation at `index`.
    ///
    /// # Panics
    /// When `index` does not fit the 16 bits of a stamp: limits are checked before this.
    pub fn stamp(&self, index: usize) -> Stamp {
        let op = u16::try_from(index).expect("a transaction has at most 65,536 operations");
        Stamp { hlc: self.hlc, op }
    }
}

/// What became of one operation, right after its whole transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It holds; also when it already did.
    Applied,
    /// A later write stands, also one of the same transaction.
    Superseded,
    /// The entity, or the entity it refers to, is deleted.
    Deleted {
        /// The stamp of the tombstone.
        at: Stamp,
    },
}

/// One change that a replica is told to make to its confirmed facts. It is installed as it
/// stands, not merged: the sender has merged already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Install {
    /// The fact is visible with this mark.
    Fact(Fact, Mark),
    /// The fact is no longer visible, for anyone.
    Retracted(Fact),
    /// The fact is not needed here any more; nothing is said about its truth.
    Released(Fact),
    /// The entity was deleted with this stamp.
    Deleted(EntityId, Stamp),
    /// The deletion up to this stamp was taken back.
    Restored(EntityId, Stamp),
}

/// A change of one visible fact: its mark before and after, absent where it was not visible.
/// Invariant: the two differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactChange {
    /// The fact.
    pub fact: Fact,
    /// Its mark before.
    pub before: Option<Mark>,
    /// Its mark after.
    pub after: Option<Mark>,
}

//! What a tenant's change log holds: commits and rejections with the identity of their writer.
//!
//! Both are recorded because sending a transaction again must get the recorded answer. A replay
//! of the records through the same merge rebuilds the facts, every client's last number and every
//! answer, so nothing else has to be stored. How records reach a disk is left to storage.

use serde::{Deserialize, Serialize};

use crate::fact::Transaction;
use crate::ids::{ClientId, ClientSeq, Seq};

/// The identity of a transaction, and a digest that tells it from another one of that number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Who wrote it.
    pub client: ClientId,
    /// Its number among the client's transactions.
    pub number: ClientSeq,
    /// A digest of its operations as they were sent (stamps excluded: a client may re-stamp).
    pub digest: [u8; 16],
}

/// Why a transaction was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rejection {
    /// The stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The operation at fault, by index, if it is one.
    pub op: Option<u16>,
}

/// One record of a tenant's change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogRecord {
    /// An accepted transaction.
    Commit {
        /// Its position: one more than the commit before.
        seq: Seq,
        /// When the server accepted it, in milliseconds since 1970.
        at_ms: u64,
        /// Whose it is.
        origin: Origin,
        /// As committed: covers are clamped, so a replay merges it as it stands.
        transaction: Transaction,
    },
    /// A refused transaction; it used up its client's number.
    Reject {
        /// The last commit before it.
        seq: Seq,
        /// Whose it is.
        origin: Origin,
        /// The recorded answer.
        rejection: Rejection,
    },
}

impl LogRecord {
    /// The commit's position, or that of the last commit before a rejection.
    pub fn seq(&self) -> Seq {
        match self {
            LogRecord::Commit { seq, .. } | LogRecord::Reject { seq, .. } => *seq,
        }
    }

    /// Whose transaction it is about.
    pub fn origin(&self) -> &Origin {
        match self {
            LogRecord::Commit { origin, .. } | LogRecord::Reject { origin, .. } => origin,
        }
    }
}

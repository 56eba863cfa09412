//! What a client peer is made with, and what comes out of it.

use std::sync::Arc;

use tercet_engine::answer::Answer;
use tercet_engine::db::RowsDelta;
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Effect, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, EntityId, Epoch};
use tercet_engine::limits::Budget;

use super::cache::CacheStep;
use crate::limits::Limits;
use crate::message::{ClientMessage, SubscriptionId};

/// What a client peer is made with.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The API key sent with hello.
    pub key: String,
    /// Fresh and random at every process start: replica ids, new client ids and the jitter of
    /// reconnects are drawn from it.
    pub seed: [u8; 32],
    /// Whether there is an outbox: then a transaction is sent only after
    /// [`stored`](crate::ClientPeer::stored).
    pub durable: bool,
    /// What is checked before a write, until the server states its own.
    pub limits: Limits,
    /// For the evaluation of one local query or subscription.
    pub budget: Budget,
}

/// What must outlive the process: who writes, and what has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outbox {
    /// The durable identity; none for a replica that has never run.
    pub client: Option<ClientId>,
    /// The history in which this identity was used.
    pub epoch: Option<Epoch>,
    /// The last number ever used.
    pub last_number: ClientSeq,
    /// The greatest stamp ever used: a write after a restart must not come before one made earlier.
    pub clock: Hlc,
    /// Unanswered transactions, in order of their numbers.
    pub entries: Vec<OutboxEntry>,
}

/// One unanswered transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its number.
    pub number: ClientSeq,
    /// As it stands: with its stamp and its covers.
    pub transaction: Transaction,
}

/// What the client peer wants done. Outputs are to be carried out in the order they come.
#[derive(Debug, Clone)]
pub enum ClientOutput {
    /// Make a connection, then call `opened`; if that fails, `closed`.
    Connect,
    /// Drop the connection, and do not call `closed` for it.
    Disconnect,
    /// Send this.
    Send(ClientMessage),
    /// Call `tick` at this time, if nothing was called until then; replaces earlier ones.
    WakeAt(u64),
    /// Store this entry, its number as the last one used, its stamp as the clock; then call
    /// `stored`.
    Persist(OutboxEntry),
    /// This entry need not be kept; the last number used stays.
    Forget(ClientSeq),
    /// Replace the whole outbox, all or nothing; then call `stored` for each entry.
    Rewrite(Outbox),
    /// The identity in the outbox is used in this history; store it.
    Epoch(Epoch),
    /// Steps for the cache: to be stored in this order, all or none, before what comes after.
    Cache(Vec<CacheStep>),
    /// A subscription's answer or its flags changed.
    Update(SubscriptionUpdate),
    /// A subscription has ended, or never began, by an error of the server or the budget.
    Failed {
        /// Which.
        subscription: SubscriptionId,
        /// The stable code.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The server ended the session, or did not begin one. It is tried again after a while.
    SessionFailed {
        /// The stable code.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A transaction is durable on the server.
    Accepted {
        /// Which.
        number: ClientSeq,
        /// What became of each operation.
        effects: Vec<Effect>,
        /// Its commit.
        checkpoint: Checkpoint,
    },
    /// A transaction was refused and is taken out of the view.
    Rejected {
        /// Which.
        number: ClientSeq,
        /// The stable code.
        code: String,
        /// What is wrong and what to do.
        message: String,
        /// The operation at fault, by index.
        op: Option<u16>,
    },
    /// Pending transactions have new numbers, because this replica had to take a new identity.
    Renumbered {
        /// Old and new number of each, in order.
        numbers: Vec<(ClientSeq, ClientSeq)>,
    },
    /// The connection's state changed.
    Status(Status),
}

/// What a subscription shows now.
#[derive(Debug, Clone)]
pub struct SubscriptionUpdate {
    /// Which.
    pub subscription: SubscriptionId,
    /// The whole answer.
    pub answer: Arc<Answer>,
    /// What changed since the update before; empty when only flags changed.
    pub delta: RowsDelta,
    /// The confirmed part equals the server's at the session's position.
    pub complete: bool,
    /// Own pending writes are in it.
    pub pending: bool,
}

/// The state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waiting to connect again.
    Offline,
    /// Connecting, or waiting for welcome.
    Connecting,
    /// Connected; subscriptions or pending transactions are not all answered.
    Syncing,
    /// Everything is answered, at this position.
    Synced(Checkpoint),
}

/// Why the client peer did not do what its caller asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A limit; the code is that of the rejection the server would give.
    #[error("{message}")]
    Limit {
        /// The stable code.
        code: String,
        /// What is wrong and what to do.
        message: String,
        /// The operation at fault, by index.
        op: Option<u16>,
    },
    /// An operation writes to, or refers to, an entity that is deleted.
    #[error("entity `{entity}` is deleted (operation {op}); restore it first, or take a new id")]
    EntityDeleted {
        /// Which.
        entity: EntityId,
        /// The operation at fault, by index.
        op: usize,
    },
    /// The query or its inputs.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl ClientError {
    /// The stable code of this error.
    pub fn code(&self) -> &str {
        match self {
            ClientError::Limit { code, .. } => code,
            ClientError::EntityDeleted { .. } => "entity_deleted",
            ClientError::Query(error) => error.code(),
        }
    }
}

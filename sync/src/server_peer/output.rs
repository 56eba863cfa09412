//! What goes into a tenant beside messages, and what comes out of it.

use tercet_engine::commit::{LogRecord, Rejection};
use tercet_engine::db::ShapeStats;
use tercet_engine::fact::Effect;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Epoch, ReplicaId, Seq};
use tercet_engine::limits::Budget;

use crate::codec::SharedFrame;
use crate::limits::Limits;
use crate::message::SessionId;

/// What a tenant is made with.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// The history it has.
    pub epoch: Epoch,
    /// The server's own clock for this tenant: fresh and random at every opening.
    pub replica: ReplicaId,
    /// Fresh and random at every opening, and told to nobody: the identity of transactions that
    /// came without one is made from it, and how values are hashed.
    pub seed: [u8; 32],
    /// How far ahead of the server's time a stamp may be.
    pub drift_ms_max: u64,
    /// What it accepts.
    pub limits: Limits,
    /// For the evaluation of one subscription.
    pub budget: Budget,
}

/// How much is kept for those who come back after a short while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumeLimits {
    /// Bytes of the recent patches of one subscription, whoever shares it.
    pub ring_bytes_max: u64,
    /// Bytes of all recent patches of a tenant.
    pub rings_bytes_max: u64,
    /// Subscriptions that are kept up although nobody reads them any more.
    pub lingering_max: u32,
    /// How long they are.
    pub linger_ms: u64,
    /// A subscription of so many bytes is sent whole rather than compared bucket by bucket, which
    /// costs a round trip.
    pub whole_bytes_max: u64,
}

impl Default for ResumeLimits {
    /// A minute: longer than clients wait between two attempts to connect.
    fn default() -> ResumeLimits {
        ResumeLimits {
            ring_bytes_max: 1 << 20,
            rings_bytes_max: 16 << 20,
            lingering_max: 1_024,
            linger_ms: 60_000,
            whole_bytes_max: 8 << 10,
        }
    }
}

/// What a session or request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// It may write.
    pub write: bool,
}

/// One call of [`transact`](crate::Tenant::transact), as its caller counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// The identity that makes sending a transaction again harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub client: ClientId,
    /// Which of its transactions.
    pub number: ClientSeq,
}

/// What the tenant wants done. Outputs are to be carried out in the order they come.
#[derive(Debug, Clone)]
pub enum TenantOutput {
    /// Append these to the log, all or none, and say so by [`appended`](crate::Tenant::appended).
    /// There is at most one unanswered append.
    Append(Vec<LogRecord>),
    /// Send this to a session.
    Send {
        /// To whom.
        session: SessionId,
        /// What; shared with others where they get the same.
        frame: SharedFrame,
    },
    /// End a session, after what was sent to it.
    Close {
        /// Which.
        session: SessionId,
        /// The stable code.
        code: &'static str,
        /// Why.
        message: String,
    },
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        result: Result<TransactAccepted, TransactError>,
    },
}

/// What a tenant has in memory, and what its subscriptions have cost since it was opened.
#[derive(Debug, Clone)]
pub struct TenantStats {
    /// Connected peers.
    pub n_sessions: usize,
    /// Subscriptions that somebody reads: each counts once, whoever shares it.
    pub n_instances: usize,
    /// Subscriptions that nobody reads and that stay a while for those who come back.
    pub n_instances_lingering: usize,
    /// About how many bytes of recent patches are kept for them.
    pub n_ring_bytes: u64,
    /// Those that are not kept up for now.
    pub n_instances_stale: usize,
    /// Complete evaluations: a subscription's first one, and one for whoever joins after a change.
    pub n_evaluations: u64,
    /// Times that a subscription was told stale.
    pub n_stale_told: u64,
    /// Times that a stale one was tried again.
    pub n_retries: u64,
    /// What live queries have cost, by shape.
    pub shapes: Vec<ShapeStats>,
}

/// A transaction that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactAccepted {
    /// Its commit.
    pub checkpoint: Checkpoint,
    /// What became of each operation.
    pub effects: Vec<Effect>,
}

/// A transaction that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactError {
    /// It was refused for good; its number, if it had one, is used up.
    #[error("{}", .0.message)]
    Rejected(Rejection),
    /// It was not taken; no number is used up.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl TransactError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &str {
        match self {
            TransactError::Rejected(rejection) => &rejection.code,
            TransactError::Refused(refusal) => refusal.code,
        }
    }
}

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// `seq_gap`, `seq_conflict`, `storage_unavailable`, …
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// The log could not be appended to: none of the records is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change log cannot be written now: {message}")]
pub struct AppendFailure {
    /// What storage said; for logs, not for clients.
    pub message: String,
}

/// A log that no tenant wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// A commit is missing or there twice.
    #[error("the log has a record of commit {found} where commit {expected} belongs")]
    Gap {
        /// What the record says.
        found: Seq,
        /// What follows from the records before it.
        expected: Seq,
    },
    /// A client's transaction is missing or there twice.
    #[error("the log has transaction {found} of client `{client}` where {expected} belongs")]
    ClientGap {
        /// Whose.
        client: ClientId,
        /// What the record says.
        found: ClientSeq,
        /// What follows from the records before it.
        expected: ClientSeq,
    },
    /// More operations than stamps can number.
    #[error("commit {seq} has {n_ops} operations, more than any transaction may have")]
    TooManyOps {
        /// Which commit.
        seq: Seq,
        /// How many.
        n_ops: usize,
    },
}

//! What a tenant's task is asked to do.

use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Seq};
use tercet_engine::store::Snapshot;
use tercet_storage::StorageError;
use tercet_sync::message::Hello;
use tercet_sync::{
    ClientMessage, Digest, Identity, Rights, SessionId, TenantStats, TransactAccepted,
    TransactError,
};
use tokio::sync::oneshot;

use super::outbound::Outbound;

/// One command. A reply that nobody waits for any more is dropped.
pub(crate) enum Command {
    /// A session begins; its key has been checked.
    Connect {
        /// Which.
        session: SessionId,
        /// What it may do.
        rights: Rights,
        /// What it said.
        hello: Hello,
        /// What is sent to it.
        outbound: Outbound,
    },
    /// A session said something.
    Receive {
        /// Which.
        session: SessionId,
        /// What.
        message: ClientMessage,
    },
    /// All that waited for a session when it counted as slow has been sent.
    Drained {
        /// Which.
        session: SessionId,
    },
    /// A session has ended.
    Disconnect {
        /// Which.
        session: SessionId,
    },
    /// A transaction over HTTP.
    Transact {
        /// Makes sending it again harmless.
        identity: Option<Identity>,
        /// What it does.
        ops: Vec<Op>,
        /// What its sender may do.
        rights: Rights,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<TransactAccepted, TransactError>>,
    },
    /// Asks for the published facts.
    Snapshot {
        /// Where they go.
        reply: oneshot::Sender<(Snapshot, Checkpoint)>,
    },
    /// Asks for the fingerprint of the published facts.
    Digest {
        /// Where it goes.
        reply: oneshot::Sender<Digest>,
    },
    /// Asks what is in memory, and what it has cost.
    Stats {
        /// Where that goes.
        reply: oneshot::Sender<TenantStats>,
    },
    /// Asks for the last durable number of a client.
    LastNumber {
        /// Whose.
        client: ClientId,
        /// Where it goes.
        reply: oneshot::Sender<ClientSeq>,
    },
    /// Asks for commits of the log.
    Changes {
        /// After this one.
        after: Seq,
        /// At most so many.
        n_max: usize,
        /// About so many bytes.
        bytes_max: usize,
        /// Where they go.
        reply: oneshot::Sender<Result<Vec<LogRecord>, StorageError>>,
    },
}

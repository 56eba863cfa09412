//! What a program can watch beside its queries: the connection, and writes that came to nothing.

use std::fmt;

use futures_util::Stream;
use futures_util::stream::unfold;
use tercet_engine::ids::ClientSeq;
use tercet_sync::Status;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

/// How many rejections wait for a reader before the oldest are counted instead of kept.
pub(crate) const REJECTIONS_KEPT: usize = 256;

/// The state of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientStatus {
    /// The state of the connection.
    pub connection: Status,
    /// Transactions that are written here and not answered by the server.
    pub n_unanswered: usize,
    /// What the last attempt to connect or to store met; none when the last one went well.
    pub trouble: Option<Trouble>,
}

/// Something that keeps the client from its work, and that it goes on trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The stable code: `connection_failed`, or that of the server or of storage.
    pub code: String,
    /// What is wrong.
    pub message: String,
}

impl Trouble {
    pub(crate) fn new(code: impl Into<String>, message: impl fmt::Display) -> Trouble {
        Trouble { code: code.into(), message: message.to_string() }
    }
}

/// A transaction that the server refused; it is taken out of every answer, later ones stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its number when it was refused: [`Write::number`](crate::Write::number).
    pub number: ClientSeq,
    /// The stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The operation at fault, by index, if it is one.
    pub op: Option<u16>,
    /// How many earlier rejections this reader has missed by being slow: so many were dropped
    /// from its stream (not from their writes).
    pub n_missed: u64,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {} was rejected: {}", self.number, self.message)?;
        match self.op {
            Some(op) => write!(f, " (operation {op})"),
            None => Ok(()),
        }
    }
}

/// The states that follow the one now, the latest one only for a slow reader.
pub(crate) fn status_changes(
    receiver: watch::Receiver<ClientStatus>,
) -> impl Stream<Item = ClientStatus> + Send + Unpin {
    Box::pin(unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        let status = receiver.borrow_and_update().clone();
        Some((status, receiver))
    }))
}

/// The rejections from now on.
pub(crate) fn rejections(
    receiver: broadcast::Receiver<Rejected>,
) -> impl Stream<Item = Rejected> + Send + Unpin {
    Box::pin(unfold(receiver, |mut receiver| async move {
        let mut n_missed = 0;
        loop {
            match receiver.recv().await {
                Ok(rejected) => return Some((Rejected { n_missed, ..rejected }, receiver)),
                Err(RecvError::Lagged(n)) => n_missed += n,
                Err(RecvError::Closed) => return None,
            }
        }
    }))
}

//! The server's side of the protocol: everything of one tenant, without I/O.
#![allow(clippy::unimplemented, unused)]

mod output;

pub use output::{
    AppendFailure, Identity, RecoveryError, Refusal, RequestId, Rights, TenantConfig, TenantOutput,
    TransactAccepted, TransactError,
};

use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq};
use tercet_engine::store::Snapshot;

use crate::message::{ClientMessage, Hello, SessionId};

/// Rebuilds a tenant from its change log.
pub struct Recovery {}

impl Recovery {
    /// Starts from nothing.
    pub fn new(config: TenantConfig) -> Recovery {
        unimplemented!()
    }

    /// Takes the next record of the log.
    ///
    /// # Errors
    /// When it does not follow the records before it: the log is damaged.
    pub fn replay(&mut self, record: LogRecord) -> Result<(), RecoveryError> {
        unimplemented!()
    }

    /// The tenant, with all records taken.
    pub fn finish(self) -> Tenant {
        unimplemented!()
    }
}

/// Everything of one tenant: facts, clients' numbers and answers, sessions, subscriptions.
pub struct Tenant {}

impl Tenant {
    /// A session begins: its key has been checked, its hello is here. Answered by welcome, or by
    /// an error and a close.
    pub fn connect(&mut self, session: SessionId, rights: Rights, hello: &Hello, now_ms: u64) {
        unimplemented!()
    }

    /// A message of a session after its hello. Messages of sessions that are gone are ignored.
    pub fn receive(&mut self, session: SessionId, message: ClientMessage, now_ms: u64) {
        unimplemented!()
    }

    /// A session has ended.
    pub fn disconnect(&mut self, session: SessionId) {
        unimplemented!()
    }

    /// How many messages wait in a session's queue: told when the queue is as long as
    /// `limits.queue_max`, and again when it is empty.
    pub fn backlog(&mut self, session: SessionId, n_queued: usize) {
        unimplemented!()
    }

    /// A transaction of HTTP or of an import. Answered by [`TenantOutput::Reply`].
    pub fn transact(
        &mut self,
        request: RequestId,
        identity: Option<Identity>,
        ops: Vec<Op>,
        rights: Rights,
        now_ms: u64,
    ) {
        unimplemented!()
    }

    /// What became of the records of the last [`TenantOutput::Append`].
    pub fn appended(&mut self, result: Result<(), AppendFailure>, now_ms: u64) {
        unimplemented!()
    }

    /// Time has passed: stale instances are tried again. Once a second is enough.
    pub fn tick(&mut self, now_ms: u64) {
        unimplemented!()
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<TenantOutput> {
        unimplemented!()
    }

    /// The published facts and their position.
    pub fn snapshot(&self) -> (Snapshot, Checkpoint) {
        unimplemented!()
    }

    /// The last number of a client that is durable; 0 if it is unknown.
    pub fn last_number(&self, client: &ClientId) -> ClientSeq {
        unimplemented!()
    }
}

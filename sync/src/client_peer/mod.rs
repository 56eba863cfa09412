//! The client's side of the protocol, without I/O.
#![allow(clippy::unimplemented, unused)]

mod output;

pub use output::{
    ClientConfig, ClientError, ClientOutput, Outbox, OutboxEntry, Status, SubscriptionUpdate,
};

use tercet_engine::answer::Answer;
use tercet_engine::db::Query;
use tercet_engine::error::QueryError;
use tercet_engine::fact::Op;
use tercet_engine::ids::ClientSeq;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;

use crate::message::{Mode, ServerMessage, SubscriptionId};

/// A replica: confirmed facts, pending transactions, subscriptions, and one connection at a time.
pub struct ClientPeer {}

impl ClientPeer {
    /// A replica that goes on where its outbox stands. Its first output is
    /// [`ClientOutput::Connect`].
    pub fn new(config: ClientConfig, outbox: Outbox, now_ms: u64) -> ClientPeer {
        unimplemented!()
    }

    /// The connection asked for is there.
    pub fn opened(&mut self, now_ms: u64) {
        unimplemented!()
    }

    /// A message came.
    pub fn received(&mut self, message: ServerMessage, now_ms: u64) {
        unimplemented!()
    }

    /// The connection is gone, or could not be made.
    pub fn closed(&mut self, now_ms: u64) {
        unimplemented!()
    }

    /// Time has passed; see [`ClientOutput::WakeAt`].
    pub fn tick(&mut self, now_ms: u64) {
        unimplemented!()
    }

    /// Writes. Visible at once in facts-mode subscriptions and local queries.
    ///
    /// # Errors
    /// When a limit is exceeded or an entity written to is known to be deleted.
    pub fn transact(&mut self, ops: Vec<Op>, now_ms: u64) -> Result<ClientSeq, ClientError> {
        unimplemented!()
    }

    /// The outbox entry of this number has been handed to the operating system: only now is the
    /// transaction sent.
    pub fn stored(&mut self, number: ClientSeq) {
        unimplemented!()
    }

    /// Starts a subscription.
    ///
    /// # Errors
    /// When the query cannot be live or the inputs do not fit.
    pub fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        mode: Mode,
        now_ms: u64,
    ) -> Result<SubscriptionId, ClientError> {
        unimplemented!()
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        unimplemented!()
    }

    /// Evaluates over what is held here, own pending writes included.
    ///
    /// # Errors
    /// When the inputs do not fit or the budget is exceeded.
    pub fn query_local(&self, query: &Query, inputs: &[Input]) -> Result<Answer, QueryError> {
        unimplemented!()
    }

    /// What is held here, own pending writes included.
    pub fn view(&self) -> Snapshot {
        unimplemented!()
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<ClientOutput> {
        unimplemented!()
    }
}

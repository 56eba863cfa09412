//! The client peer's façade: what a program and its transport call.
//!
//! Inputs change the state and queue outputs; views, answers and flags are brought up to date
//! when the next output is asked for (`settle`), so that a burst of messages costs one fold.

use std::collections::{BTreeMap, VecDeque};

use tercet_engine::answer::Answer;
use tercet_engine::db::{Query, ShapeStats};
use tercet_engine::error::QueryError;
use tercet_engine::fact::Op;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Epoch, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;

use super::backoff::Backoff;
use super::cache::Caching;
use super::clock::ClientClock;
use super::connection::{Due, Phase};
use super::holdings::Holdings;
use super::joins::{Buffered, Detail};
use super::output::{ClientConfig, ClientError, ClientOutput, Outbox, OutboxEntry, Status};
use super::overlay::Overlay;
use super::pending::PendingList;
use super::renewal::Renewal;
use super::settle::Pending;
use super::subscription::{RowsChange, Subscription};
use super::writes;
use crate::limits::Limits;
use crate::message::{ClientMessage, Hello, InstanceId, Mode, Nonce, PROTOCOL, SubscriptionId};
use crate::seeded::Seeded;

/// A replica: confirmed facts, pending transactions, subscriptions, and one connection at a time.
pub struct ClientPeer {
    pub(super) key: String,
    pub(super) durable: bool,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) random: Seeded,
    pub(super) clock: ClientClock,

    pub(super) client: ClientId,
    /// The history in which the client id was used.
    pub(super) epoch: Option<Epoch>,
    pub(super) last_number: ClientSeq,
    /// What the server has been told of the answers that are here.
    pub(super) received_told: ClientSeq,
    pub(super) pending: PendingList,

    pub(super) overlay: Overlay,
    pub(super) holdings: Holdings,
    /// None where nothing is kept for the next start.
    pub(super) caching: Option<Caching>,
    /// The greatest checkpoint that a program waits for.
    pub(super) sought: Option<Checkpoint>,
    /// Of the holdings.
    pub(super) position: Option<Checkpoint>,
    /// What the session's hello said of it.
    pub(super) told_position: Option<Checkpoint>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(super) last_subscription: SubscriptionId,
    /// Rows-mode instances whose rows changed since the last updates.
    pub(super) changed_rows: BTreeMap<InstanceId, RowsChange>,

    pub(super) phase: Phase,
    pub(super) backoff: Backoff,
    pub(super) n_pings: u64,
    pub(super) renewal: Option<Renewal>,
    /// Parts since the last marker.
    pub(super) buffer: Vec<Buffered>,
    /// A new identity pushes only when its supports are reconciled.
    pub(super) is_reconciling: bool,
    /// The server refused for now: pushes wait until this time.
    pub(super) push_at_ms: Option<u64>,
    /// The time of the last tick or message.
    pub(super) seen_ms: u64,
    pub(super) push_backoff: Backoff,
    /// The number of the last refusal, until an answer comes.
    pub(super) refused_at: Option<ClientSeq>,

    /// The view has to be folded anew.
    pub(super) must_fold: bool,
    /// Something happened since the last `settle`.
    pub(super) is_unsettled: bool,
    pub(super) status: Option<Status>,
    pub(super) wake_at_ms: Option<u64>,
    pub(super) outputs: VecDeque<ClientOutput>,
}

impl ClientPeer {
    /// A replica that goes on where its outbox stands. Its outputs begin with
    /// [`ClientOutput::Connect`], before it [`ClientOutput::Rewrite`] if it had to take a client
    /// id.
    pub fn new(config: ClientConfig, outbox: Outbox, now_ms: u64) -> ClientPeer {
        let mut random = Seeded::new(config.seed);
        let mut clock = ClientClock::new(ReplicaId(random.number()));
        let mut pending = PendingList::default();
        for OutboxEntry { number, transaction } in outbox.entries {
            clock.observe_own(transaction.hlc);
            pending.push(number, transaction, true);
        }
        let is_new = outbox.client.is_none();
        clock.observe_own(outbox.clock);
        let last_number = pending.unanswered().map(|pending| pending.number).max();
        let mut peer = ClientPeer {
            key: config.key,
            durable: config.durable,
            limits: config.limits,
            budget: config.budget,
            client: outbox.client.unwrap_or_else(|| new_client_id(&mut random)),
            random,
            clock,
            epoch: outbox.epoch,
            last_number: last_number.unwrap_or_default().max(outbox.last_number),
            received_told: ClientSeq(0),
            must_fold: last_number.is_some(),
            pending,
            overlay: Overlay::new(),
            holdings: Holdings::default(),
            caching: None,
            sought: None,
            position: None,
            told_position: None,
            subscriptions: BTreeMap::new(),
            last_subscription: SubscriptionId(0),
            changed_rows: BTreeMap::new(),
            phase: Phase::Offline { until_ms: now_ms },
            backoff: Backoff::default(),
            n_pings: 0,
            renewal: None,
            buffer: Vec::new(),
            is_reconciling: false,
            push_at_ms: None,
            seen_ms: now_ms,
            push_backoff: Backoff::default(),
            refused_at: None,
            is_unsettled: true,
            status: None,
            wake_at_ms: None,
            outputs: VecDeque::new(),
        };
        if is_new {
            peer.rewrite_outbox();
        }
        peer.tick(now_ms);
        peer
    }

    /// The connection asked for is there.
    pub fn opened(&mut self, now_ms: u64) {
        if !matches!(self.phase, Phase::Connecting) {
            return self.output(ClientOutput::Disconnect);
        }
        self.phase = Phase::greeting(now_ms);
        self.is_unsettled = true;
        self.received_told = self.received_through();
        let hello = Hello {
            protocol: PROTOCOL,
            key: self.key.clone(),
            client: self.client.clone(),
            last_number: self.last_number,
            received: self.received_told,
            position: self.position,
        };
        self.told_position = self.position;
        self.send(ClientMessage::Hello(hello));
    }

    /// The connection is gone, or could not be made.
    pub fn closed(&mut self, now_ms: u64) {
        if !matches!(self.phase, Phase::Offline { .. }) {
            self.go_offline(now_ms);
        }
    }

    /// Time has passed; see [`ClientOutput::WakeAt`].
    pub fn tick(&mut self, now_ms: u64) {
        match self.phase.due(now_ms) {
            Due::Nothing => {}
            Due::Connect => {
                self.phase = Phase::Connecting;
                self.output(ClientOutput::Connect);
            }
            Due::Ping => {
                self.n_pings += 1;
                self.send(ClientMessage::Ping(Nonce { nonce: self.n_pings }));
                self.tell_received(1);
            }
            Due::Dead => self.drop_connection(now_ms),
        }
        self.see_time(now_ms);
        if self.push_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.push_at_ms = None;
            self.push_pending();
        }
        self.is_unsettled = true;
    }

    /// A clock that is set back takes with it what waits for a time.
    pub(super) fn see_time(&mut self, now_ms: u64) {
        let back_ms = self.seen_ms.saturating_sub(now_ms);
        self.push_at_ms = self.push_at_ms.map(|at_ms| at_ms.saturating_sub(back_ms));
        self.seen_ms = now_ms;
    }

    /// Writes. Visible at once in facts-mode subscriptions and local queries.
    ///
    /// # Errors
    /// When a limit is exceeded or an entity written to is known to be deleted.
    pub fn transact(&mut self, ops: Vec<Op>, now_ms: u64) -> Result<ClientSeq, ClientError> {
        self.limits.check(&ops).map_err(|rejection| ClientError::Limit {
            code: rejection.code,
            message: rejection.message,
            op: rejection.op,
        })?;
        self.settle();
        let view = self.overlay.view.store();
        writes::check_alive(&ops, view)?;
        let transaction = writes::complete(ops, self.clock.stamp(now_ms), view);
        let number = self.last_number.next();
        self.last_number = number;
        let (updates, delta) = self.overlay.push(&transaction);
        self.emit_updates(updates, Pending::Grow(&delta));
        if self.durable {
            let transaction = transaction.clone();
            self.output(ClientOutput::Persist(OutboxEntry { number, transaction }));
        }
        self.pending.push(number, transaction, !self.durable);
        self.push_pending();
        Ok(number)
    }

    /// The outbox entry of this number and stamp has been handed to the operating system: only now
    /// is the transaction sent. What has got another number or stamp meanwhile is not stored by it.
    pub fn stored(&mut self, number: ClientSeq, hlc: Hlc) {
        self.pending.set_stored(number, hlc);
        self.push_pending();
    }

    /// Starts a subscription. Its updates begin with what is held here, if that is an answer at
    /// all (in rows mode only from a cache), marked as not complete.
    ///
    /// # Errors
    /// When the query cannot be live, the inputs do not fit, or the budget is exceeded.
    pub fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        mode: Mode,
    ) -> Result<SubscriptionId, ClientError> {
        let id = self.begin(query, inputs, mode)?;
        self.take_up(id);
        self.ask(id, Detail::Fingerprint);
        Ok(id)
    }

    /// As [`ClientPeer::subscribe`], for a query that is asked once: the cache does not keep it,
    /// and no complete answer of it lacks what was written here before.
    ///
    /// # Errors
    /// As for [`ClientPeer::subscribe`].
    pub fn subscribe_once(
        &mut self,
        query: &Query,
        inputs: &[Input],
        mode: Mode,
    ) -> Result<SubscriptionId, ClientError> {
        let id = self.begin(query, inputs, mode)?;
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.owed = Some(self.last_number);
        }
        self.ask(id, Detail::Fingerprint);
        Ok(id)
    }

    fn begin(
        &mut self,
        query: &Query,
        inputs: &[Input],
        mode: Mode,
    ) -> Result<SubscriptionId, ClientError> {
        self.settle();
        query.check_live()?;
        let (selection, live) = match mode {
            Mode::Rows => (None, None),
            Mode::Auto | Mode::Facts => {
                let selection = query.selection(inputs)?;
                (Some(selection), Some(self.overlay.view.subscribe(query, inputs, &self.budget)?))
            }
        };
        let id = SubscriptionId(self.last_subscription.0 + 1);
        self.last_subscription = id;
        let subscription = Subscription {
            query: query.clone(),
            inputs: inputs.to_vec(),
            wanted: mode,
            mode: None,
            instance: None,
            entry: None,
            owed: None,
            is_asked: false,
            selection,
            live,
            shown: None,
        };
        self.subscriptions.insert(id, subscription);
        Ok(id)
    }

    /// Ends a subscription. No update of it follows.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.end_subscription(subscription);
        self.outputs.retain(|output| {
            !matches!(output, ClientOutput::Update(update) if update.subscription == subscription)
        });
    }

    /// Evaluates over what is held here, own pending writes included.
    ///
    /// # Errors
    /// When the inputs do not fit or the budget is exceeded.
    pub fn query_local(&self, query: &Query, inputs: &[Input]) -> Result<Answer, QueryError> {
        query.run(&self.view(), inputs, &self.budget)
    }

    /// What is held here, own pending writes included, as of the last call of
    /// [`poll`](ClientPeer::poll) or [`transact`](ClientPeer::transact).
    pub fn view(&self) -> Snapshot {
        self.overlay.view.snapshot()
    }

    /// What the server has confirmed of what is held: the view without own pending writes.
    pub fn confirmed(&self) -> Snapshot {
        self.overlay.confirmed()
    }

    /// Whether the view is the pending transactions folded over what is confirmed, and the answers
    /// that are kept are its queries' answers: tests ask it between calls.
    #[doc(hidden)]
    pub fn is_view_sound(&self) -> bool {
        self.overlay.is_sound(self.pending.transactions())
    }

    /// Whether the server does not keep a subscription up for now.
    pub fn is_stale(&self, subscription: SubscriptionId) -> bool {
        let instance = self.subscriptions.get(&subscription).and_then(|it| it.instance);
        instance.is_some_and(|instance| self.holdings.is_stale(instance))
    }

    /// Its durable identity now.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// The position of what is held; none before the first one.
    pub fn position(&self) -> Option<Checkpoint> {
        self.position
    }

    /// How many transactions have no answer yet.
    pub fn n_unanswered(&self) -> usize {
        self.pending.unanswered().count()
    }

    /// How many facts are held because a subscription needs them.
    pub fn n_facts_held(&self) -> usize {
        self.holdings.n_facts()
    }

    /// What live queries over what is held here have cost so far, by shape.
    pub fn live_stats(&self) -> Vec<ShapeStats> {
        self.overlay.view.live_stats()
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<ClientOutput> {
        self.settle();
        self.outputs.pop_front()
    }

    pub(super) fn output(&mut self, output: ClientOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn send(&mut self, message: ClientMessage) {
        self.output(ClientOutput::Send(message));
    }

    /// All answers up to this number are here.
    pub(super) fn received_through(&self) -> ClientSeq {
        let first = self.pending.unanswered().next();
        first.map_or(self.last_number, |first| ClientSeq(first.number.0.saturating_sub(1)))
    }

    pub(super) fn rewrite_outbox(&mut self) {
        if !self.durable {
            return self.pending.set_all_stored();
        }
        self.output(ClientOutput::Rewrite(Outbox {
            client: Some(self.client.clone()),
            epoch: self.epoch,
            last_number: self.last_number,
            clock: self.clock.last(),
            entries: self.pending.entries(),
        }));
    }
}

/// A fresh durable identity.
pub(super) fn new_client_id(random: &mut Seeded) -> ClientId {
    ClientId::new(random.id()).expect("21 letters and digits")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Guards against a client that waits for ever for the answer to its hello, because nobody
    /// wakes it up when the answer is overdue (found by the simulation, seed 463).
    #[test]
    fn a_hello_without_an_answer_is_given_up() {
        let config = ClientConfig {
            key: "key".to_owned(),
            seed: [7; 32],
            durable: false,
            limits: Limits::default(),
            budget: Budget::unlimited(),
        };
        let mut peer = ClientPeer::new(config, Outbox::default(), 1_000);
        while peer.poll().is_some() {}
        peer.opened(2_000);
        let outputs: Vec<ClientOutput> = std::iter::from_fn(|| peer.poll()).collect();
        let wakes_at = outputs.iter().find_map(|output| match output {
            ClientOutput::WakeAt(at_ms) => Some(*at_ms),
            _ => None,
        });
        assert_eq!(wakes_at, Some(12_000));
        peer.tick(12_000);
        let outputs: Vec<ClientOutput> = std::iter::from_fn(|| peer.poll()).collect();
        assert!(outputs.iter().any(|output| matches!(output, ClientOutput::Disconnect)));
    }
}

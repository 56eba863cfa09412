//! What the server's messages do to the client, and how connections begin and end.
//!
//! Operations: welcome decides whether this identity goes on here; answers take transactions out
//! of the list; refusals stop the stream and say from where it goes on. A client whose history or
//! numbers differ from the server's takes a new identity: supports first, then what is pending.

use tercet_engine::ids::{ClientSeq, ReplicaId};

use super::connection::Phase;
use super::joins::Buffered;
use super::output::ClientOutput;
use super::peer::{ClientPeer, new_client_id};
use crate::message::{
    Ack, ClientMessage, ErrorMessage, Push, Received, Refused, Reject, ServerMessage, Welcome,
};
use crate::planted::{Bug, is_planted};

/// The server is told of received answers after so many.
const RECEIVED_TOLD_EVERY: u64 = 64;

/// No client gets here by counting; a server that says so is not believed.
const LAST_NUMBER_MAX: ClientSeq = ClientSeq(u64::MAX / 2);

impl ClientPeer {
    /// A message came.
    pub fn received(&mut self, message: ServerMessage, now_ms: u64) {
        self.see_time(now_ms);
        self.is_unsettled = true;
        match (&self.phase, message) {
            (Phase::Offline { .. } | Phase::Connecting, _) => {}
            (Phase::Greeting { .. }, ServerMessage::Welcome(welcome)) => {
                self.welcome(welcome, now_ms);
            }
            (_, ServerMessage::Error(error)) => self.error(error, now_ms),
            (Phase::Live(_), message) => {
                self.phase.heard(now_ms);
                self.take(message, now_ms);
            }
            (Phase::Greeting { .. }, _) => self.drop_connection(now_ms),
        }
    }

    fn take(&mut self, message: ServerMessage, now_ms: u64) {
        match message {
            ServerMessage::Subscribed(subscribed) => {
                self.buffer.push(Buffered::Subscribed(subscribed));
            }
            ServerMessage::FactsPart(part) if is_planted(Bug::PartsAtOnce) => {
                self.take_part(&Buffered::Facts(part));
            }
            ServerMessage::FactsPart(part) => self.buffer.push(Buffered::Facts(part)),
            ServerMessage::RowsPart(part) => self.buffer.push(Buffered::Rows(part)),
            ServerMessage::Stale(stale) => self.buffer.push(Buffered::Stale(stale.instance)),
            ServerMessage::Marker(marker) => {
                self.clock.observe(marker.clock);
                self.arrive(marker.checkpoint, now_ms);
            }
            ServerMessage::Pong(pong) => {
                self.clock.observe(pong.clock);
                self.arrive(pong.checkpoint, now_ms);
            }
            ServerMessage::Ack(ack) => self.acknowledged(ack, now_ms),
            ServerMessage::Reject(reject) => self.rejected(reject),
            ServerMessage::Refused(refused) => self.refused(&refused, now_ms),
            ServerMessage::Resync(_) => self.renew(),
            ServerMessage::Compare(compare) => self.compare(compare.subscription),
            ServerMessage::Ping(nonce) => self.send(ClientMessage::Pong(nonce)),
            ServerMessage::Welcome(_) | ServerMessage::Error(_) => self.drop_connection(now_ms),
        }
    }

    fn welcome(&mut self, welcome: Welcome, now_ms: u64) {
        self.clock.synchronize(welcome.server_time_ms, now_ms);
        self.clock.observe(welcome.clock);
        self.limits = welcome.limits;
        let epoch = welcome.position.epoch;
        let is_other_history = self.epoch.is_some_and(|known| known != epoch);
        if is_other_history || self.position.is_some_and(|held| held.epoch != epoch) {
            self.clock.forget_history(welcome.clock);
        }
        let has_written = self.last_number > ClientSeq(0);
        let is_plausible = welcome.last_number < LAST_NUMBER_MAX;
        if !has_written && !is_other_history && is_plausible {
            // Nothing here can be taken for something else: an outbox that lost its last number.
            self.last_number = welcome.last_number;
            self.received_told = welcome.last_number;
        }
        let is_agreed = (self.received_through()..=self.last_number).contains(&welcome.last_number);
        if is_other_history || !is_agreed {
            return self.reidentify(now_ms, 0);
        }
        if self.epoch.replace(epoch) != Some(epoch) && self.durable {
            self.output(ClientOutput::Epoch(epoch));
        }
        self.phase = Phase::live(welcome.position, now_ms);
        self.renew();
        self.push_pending();
    }

    /// Sends what may be sent.
    pub(super) fn push_pending(&mut self) {
        self.is_unsettled = true;
        let must_wait = self.push_at_ms.is_some() || self.is_reconciling;
        if self.phase.as_live().is_none() || must_wait {
            return;
        }
        for entry in self.pending.take_sendable(self.limits.unanswered_max as usize) {
            let (number, transaction) = (entry.number, entry.transaction);
            if is_planted(Bug::ForgottenWhenSent) {
                self.output(ClientOutput::Forget(number));
            }
            self.send(ClientMessage::Push(Push { number, transaction }));
        }
    }

    fn acknowledged(&mut self, ack: Ack, now_ms: u64) {
        self.clock.observe(ack.clock);
        self.arrive(ack.checkpoint, now_ms);
        let Ack { number, checkpoint, effects, .. } = ack;
        if self.pending.acknowledge(number, checkpoint) {
            self.output(ClientOutput::Accepted { number, effects, checkpoint });
            self.answered(number);
        }
    }

    fn rejected(&mut self, reject: Reject) {
        self.clock.observe(reject.clock);
        let Reject { number, code, message, op, .. } = reject;
        if self.pending.reject(number) {
            self.must_fold |= !is_planted(Bug::RejectionStays);
            self.output(ClientOutput::Rejected { number, code, message, op });
            self.answered(number);
        }
    }

    fn answered(&mut self, number: ClientSeq) {
        if self.durable {
            self.output(ClientOutput::Forget(number));
        }
        self.refused_at = None;
        self.push_backoff.reset();
        self.tell_received(RECEIVED_TOLD_EVERY);
        self.push_pending();
    }

    /// Tells the server which answers are here, if there are so many that it does not know of.
    pub(super) fn tell_received(&mut self, n_min: u64) {
        let through = self.received_through();
        if through.0 >= self.received_told.0.saturating_add(n_min) {
            self.received_told = through;
            self.send(ClientMessage::Received(Received { through }));
        }
    }

    fn refused(&mut self, refused: &Refused, now_ms: u64) {
        let from = refused.from_number;
        self.clock.synchronize(refused.server_time_ms, now_ms);
        self.pending.unsend_from(from);
        let is_first = self.refused_at != Some(from);
        self.refused_at = Some(from);
        match refused.code.as_str() {
            "clock_drift" if self.pending.is_unanswered(from) => {
                self.restamp(from, refused.server_time_ms, now_ms);
            }
            "seq_gap" if !self.pending.is_unanswered(from) => {
                return self.reidentify(now_ms, 0);
            }
            "seq_gap" => {}
            _ => self.wait_to_push(now_ms),
        }
        if !is_first {
            // The remedy did not help; it may when time has passed.
            self.wait_to_push(now_ms);
        }
        self.push_pending();
    }

    fn wait_to_push(&mut self, now_ms: u64) {
        let delay_ms = self.push_backoff.next_delay_ms(&mut self.random);
        self.push_at_ms = Some(now_ms.saturating_add(delay_ms));
    }

    fn restamp(&mut self, from: ClientSeq, server_time_ms: u64, now_ms: u64) {
        let replica = ReplicaId(self.random.number());
        self.clock.restart(replica, server_time_ms, self.pending.greatest_before(from));
        let clock = &mut self.clock;
        self.pending.restamp_from(from, || clock.stamp(now_ms));
        self.must_fold = true;
        self.rewrite_outbox();
    }

    fn error(&mut self, error: ErrorMessage, now_ms: u64) {
        let ErrorMessage { code, message, hint, subscription } = error;
        if let Some(subscription) = subscription {
            if self.subscriptions.contains_key(&subscription) {
                self.end_subscription(subscription);
                self.output(ClientOutput::Failed { subscription, code, message, hint });
            }
            return;
        }
        let is_identity_lost = matches!(code.as_str(), "fenced" | "seq_conflict");
        self.output(ClientOutput::SessionFailed { code, message, hint });
        if is_identity_lost {
            // Someone else writes under this identity. Not at once: they may be doing the same.
            let delay_ms = self.backoff.next_delay_ms(&mut self.random);
            self.reidentify(now_ms, delay_ms);
        } else {
            self.drop_connection(now_ms);
        }
    }

    /// Takes a new client id and connects again: what is pending gets new numbers, and is pushed
    /// when the supports are reconciled.
    fn reidentify(&mut self, now_ms: u64, delay_ms: u64) {
        self.client = new_client_id(&mut self.random);
        self.epoch = None;
        let numbers = self.pending.renumber();
        let n_given = if is_planted(Bug::RenumberCountsAnew) { 0 } else { numbers.len() };
        self.last_number = ClientSeq(n_given as u64);
        for subscription in self.subscriptions.values_mut().filter(|it| it.owed.is_some()) {
            subscription.owed = Some(self.last_number);
        }
        self.is_reconciling = true;
        self.refused_at = None;
        self.rewrite_outbox();
        if !numbers.is_empty() {
            self.output(ClientOutput::Renumbered { numbers });
        }
        self.output(ClientOutput::Disconnect);
        self.go_offline_until(now_ms.saturating_add(delay_ms));
    }

    /// Ends the connection from this side.
    pub(super) fn drop_connection(&mut self, now_ms: u64) {
        self.output(ClientOutput::Disconnect);
        self.go_offline(now_ms);
    }

    /// The connection is gone.
    pub(super) fn go_offline(&mut self, now_ms: u64) {
        let delay_ms = self.backoff.next_delay_ms(&mut self.random);
        self.go_offline_until(now_ms.saturating_add(delay_ms));
    }

    fn go_offline_until(&mut self, until_ms: u64) {
        self.phase = Phase::Offline { until_ms };
        self.renewal = None;
        if !is_planted(Bug::PartsOutliveSession) {
            self.buffer.clear();
        }
        self.push_at_ms = None;
        if is_planted(Bug::DropOnTimeout) {
            self.pending.drop_sent();
        }
        self.pending.unsend_from(ClientSeq(0));
        for subscription in self.subscriptions.values_mut() {
            subscription.is_asked = false;
        }
        self.is_unsettled = true;
    }
}

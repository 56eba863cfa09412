//! The tenant's façade: sessions come, speak and go; what is to be done comes out.
//!
//! This file routes; the way of a transaction is in `commit`, that of a subscription in `joins`.
//! Invariants: a client id has at most one session (a newer one fences the older); outputs are
//! handed out in the order they arose, and an append only after everything before it.

use std::collections::{BTreeMap, VecDeque};

use tercet_engine::db::{Db, LiveClock};
use tercet_engine::hlc::{Clock, Hlc};
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Seq};
use tercet_engine::store::Snapshot;

use super::instances::{Instances, Revived};
use super::output::{ResumeLimits, Rights, TenantConfig, TenantOutput, TenantStats};
use super::records::{Records, is_reserved};
use super::session::{HeldAnswer, Pace, Session};
use super::staging::Staging;
use crate::codec::SharedFrame;
use crate::digest::{Digest, StoreSum};
use crate::message::{
    ClientMessage, ErrorMessage, Hello, Marker, Nonce, PROTOCOL, Pong, Resync, ServerMessage,
    SessionId, SubscriptionId, Welcome,
};
use crate::planted::{Bug, is_planted};
use crate::seeded::Seeded;

/// Everything of one tenant: facts, clients' numbers and answers, sessions, subscriptions.
pub struct Tenant {
    pub(super) config: TenantConfig,
    pub(super) db: Db,
    /// The last published commit.
    pub(super) seq: Seq,
    /// The server's own clock for this tenant.
    pub(super) clock: Clock,
    /// Whose the transactions are that came without an identity.
    pub(super) own_client: ClientId,
    pub(super) records: Records,
    pub(super) staging: Staging,
    pub(super) instances: Instances,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// The session of each client that has one.
    owners: BTreeMap<ClientId, SessionId>,
    /// Of all published facts.
    pub(super) sum: StoreSum,
    /// The last marker.
    marker: Option<SharedFrame>,
    outputs: VecDeque<TenantOutput>,
}

impl Tenant {
    pub(super) fn open(config: TenantConfig, db: Db, seq: Seq, records: Records) -> Tenant {
        let id = format!("{}{}", super::records::RESERVED_PREFIX, Seeded::new(config.seed).id());
        let clock = match is_planted(Bug::ServerClockForgets) {
            true => Clock::new(config.replica),
            false => Clock::new(config.replica).observe(db.store().clock()),
        };
        let instances = Instances::new(config.limits.support_facts_max, config.budget.clone());
        Tenant {
            config,
            db,
            seq,
            clock,
            own_client: ClientId::new(id).expect("a short id of letters and digits"),
            records,
            staging: Staging::default(),
            instances,
            sessions: BTreeMap::new(),
            owners: BTreeMap::new(),
            sum: StoreSum::default(),
            marker: None,
            outputs: VecDeque::new(),
        }
    }

    /// Has the steps of live queries timed, for [`Tenant::stats`].
    pub fn set_live_clock(&mut self, clock: LiveClock) {
        self.db.set_live_clock(clock);
    }

    /// Sets how much is kept for those who come back after a short while.
    pub fn set_resume_limits(&mut self, limits: ResumeLimits) {
        self.instances.set_resume_limits(limits);
    }

    /// A session begins: its key has been checked, its hello is here. Answered by welcome, or by
    /// an error and a close. A session of the same client that is still there is fenced.
    pub fn connect(&mut self, session: SessionId, rights: Rights, hello: &Hello, now_ms: u64) {
        tracing::debug!(session = session.0, "session begins");
        if hello.protocol != PROTOCOL {
            let message =
                format!("this server speaks protocol {PROTOCOL}, the client {}", hello.protocol);
            return self.refuse_session(session, "protocol_version", message);
        }
        if is_reserved(&hello.client) {
            let message = format!("client id `{}` is the server's own", hello.client);
            return self.refuse_session(session, "malformed", message);
        }
        let is_behind = hello
            .position
            .is_some_and(|position| position.epoch == self.config.epoch && position.seq > self.seq);
        if is_behind && !is_planted(Bug::BehindServes) {
            // Everything that anyone was shown is in the log: another owner has gone on with it.
            let message = "the client has seen more than this server has".to_owned();
            return self.refuse_session(session, "behind", message);
        }
        if let Some(older) = self.owners.get(&hello.client).copied()
            && !is_planted(Bug::FenceMissing)
        {
            let message = "a newer session of the same client id has begun".to_owned();
            self.end_session(older, "fenced", message);
        }
        self.records.forget(&hello.client, hello.received);
        self.owners.insert(hello.client.clone(), session);
        let state = Session::new(hello.client.clone(), rights, hello.position, self.seq);
        self.sessions.insert(session, state);
        let welcome = Welcome {
            protocol: PROTOCOL,
            session,
            server_time_ms: now_ms,
            drift_ms_max: self.config.drift_ms_max,
            limits: self.config.limits.clone(),
            position: self.checkpoint(),
            clock: self.greatest(),
            last_number: self.last_taken(&hello.client),
            write: rights.write,
        };
        self.send(session, ServerMessage::Welcome(welcome));
    }

    fn refuse_session(&mut self, session: SessionId, code: &'static str, message: String) {
        self.send_error(session, code, &message, None, None);
        self.output(TenantOutput::Close { session, code, message });
    }

    /// A message of a session after its hello. Messages of sessions that are gone are ignored.
    pub fn receive(&mut self, session: SessionId, message: ClientMessage, now_ms: u64) {
        if !self.sessions.contains_key(&session) {
            return;
        }
        match message {
            ClientMessage::Hello(_) => {
                let message = "hello is the first message and comes once".to_owned();
                self.end_session(session, "malformed", message);
            }
            ClientMessage::Subscribe(subscribe) => self.subscribe(session, subscribe),
            ClientMessage::Unsubscribe(unsubscribe) => {
                self.unsubscribe(session, unsubscribe.subscription);
            }
            ClientMessage::Push(push) => self.push(session, push, now_ms),
            ClientMessage::Received(received) => {
                let client = &self.sessions[&session].client;
                self.records.forget(client, received.through);
            }
            ClientMessage::Ping(Nonce { nonce }) => {
                let seq = self.sent_up_to(session);
                let checkpoint = Checkpoint { epoch: self.config.epoch, seq };
                let clock = self.greatest();
                self.send(session, ServerMessage::Pong(Pong { nonce, checkpoint, clock }));
            }
            ClientMessage::Pong(_) => {}
        }
    }

    /// The commit up to which a session has been sent everything; it is at that position now. A
    /// session that keeps up has been sent all that concerns it of every published commit.
    fn sent_up_to(&mut self, session: SessionId) -> Seq {
        let state = self.sessions.get_mut(&session).expect("the caller has found it");
        if !matches!(state.pace, Pace::Lagging { .. }) {
            state.position = self.seq;
        }
        state.position
    }

    /// A session has ended.
    pub fn disconnect(&mut self, session: SessionId) {
        self.detach_all(session);
        let Some(state) = self.sessions.remove(&session) else { return };
        tracing::debug!(session = session.0, "session ended");
        if self.owners.get(&state.client) == Some(&session) {
            self.owners.remove(&state.client);
        }
    }

    /// Ends a session from this side, with an error that says why.
    pub(super) fn end_session(&mut self, session: SessionId, code: &'static str, message: String) {
        self.send_error(session, code, &message, None, None);
        self.disconnect(session);
        self.output(TenantOutput::Close { session, code, message });
    }

    /// How many messages wait in a session's queue: told when the queue is as long as
    /// `limits.queue_max`, and again when it is empty.
    pub fn backlog(&mut self, session: SessionId, n_queued: usize) {
        let is_full = n_queued >= self.config.limits.queue_max as usize;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        if is_full && matches!(state.pace, Pace::Open) {
            state.pace = Pace::Full { joins: VecDeque::new() };
        }
        if n_queued > 0 {
            return;
        }
        match std::mem::take(&mut state.pace) {
            Pace::Open => {}
            Pace::Full { joins } => {
                for subscribe in joins {
                    self.subscribe(session, subscribe);
                }
            }
            Pace::Lagging { answers } => {
                state.position = self.seq;
                let reason = "the session did not keep up with what was sent to it".to_owned();
                self.send(session, ServerMessage::Resync(Resync { reason }));
                for answer in answers {
                    self.send_held(session, answer);
                }
            }
        }
    }

    /// Time has passed: stale instances are tried again, as many as are little work. Whether
    /// others are due: then call it again soon, when what has come meanwhile is done. Else once a
    /// second is enough.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        self.instances.expire(&mut self.db, now_ms);
        let revived = self.instances.retry(&mut self.db, self.seq, now_ms);
        self.send_revived(revived);
        self.instances.is_due(now_ms)
    }

    /// Sends all of instances that are kept up again to whoever reads them.
    pub(super) fn send_revived(&mut self, revived: Vec<Revived>) {
        for (instance, frames) in revived {
            for session in self.instances.sessions(instance) {
                if self.send_parts(session, &frames) {
                    self.send_marker(session);
                }
            }
        }
    }

    /// What there is and what it has cost so far.
    pub fn stats(&self) -> TenantStats {
        let counts = self.instances.counts();
        TenantStats {
            n_sessions: self.sessions.len(),
            n_instances: self.instances.n_instances(),
            n_instances_lingering: self.instances.n_lingering(),
            n_ring_bytes: self.instances.rings.n_bytes(),
            n_instances_stale: self.instances.n_stale(),
            n_evaluations: counts.n_evaluations,
            n_stale_told: counts.n_stale,
            n_retries: counts.n_retries,
            shapes: self.db.live_stats(),
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<TenantOutput> {
        let output = self.outputs.pop_front();
        output.or_else(|| self.staging.start_append().map(TenantOutput::Append))
    }

    /// The published facts and their position.
    pub fn snapshot(&self) -> (Snapshot, Checkpoint) {
        (self.db.snapshot(), self.checkpoint())
    }

    /// Of the published facts. O(1) but for the first call, which counts them.
    pub fn digest(&mut self) -> Digest {
        let snapshot = self.db.snapshot();
        let fingerprint = self.sum.of(&snapshot);
        Digest { checkpoint: self.checkpoint(), n_items: snapshot.n_facts(), fingerprint }
    }

    /// The position of the published facts.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { epoch: self.config.epoch, seq: self.seq }
    }

    /// The last number of a client that is durable; 0 if it is unknown.
    pub fn last_number(&self, client: &ClientId) -> ClientSeq {
        self.records.last(client)
    }

    /// How many sessions there are.
    pub fn n_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The last number of a client that is durable or on its way.
    pub(super) fn last_taken(&self, client: &ClientId) -> ClientSeq {
        self.staging.last(client).unwrap_or_else(|| self.records.last(client))
    }

    /// The greatest committed stamp.
    pub(super) fn greatest(&self) -> Hlc {
        self.db.store().clock()
    }

    pub(super) fn output(&mut self, output: TenantOutput) {
        self.outputs.push_back(output);
    }

    pub(super) fn send_frame(&mut self, session: SessionId, frame: SharedFrame) {
        self.outputs.push_back(TenantOutput::Send { session, frame });
    }

    pub(super) fn send(&mut self, session: SessionId, message: ServerMessage) {
        self.send_frame(session, message.into());
    }

    pub(super) fn send_error(
        &mut self,
        session: SessionId,
        code: &str,
        message: &str,
        hint: Option<String>,
        subscription: Option<SubscriptionId>,
    ) {
        let (code, message) = (code.to_owned(), message.to_owned());
        let error = ErrorMessage { code, message, hint, subscription };
        self.send(session, ServerMessage::Error(error));
    }

    fn send_held(&mut self, session: SessionId, answer: HeldAnswer) {
        match answer {
            HeldAnswer::Refusal(frame) => self.send_frame(session, frame),
            HeldAnswer::Recorded(number) => {
                let client = self.sessions.get(&session).map(|state| state.client.clone());
                let recorded = client.and_then(|client| self.recorded(&client, number));
                if let Some(answer) = recorded {
                    let message = self.answer_message(number, &answer);
                    self.send(session, message);
                }
            }
        }
    }

    /// Sends an answer to a transaction; one that moves the position waits while the session lags.
    /// `number`: under which it is recorded.
    pub(super) fn send_answer(
        &mut self,
        session: SessionId,
        message: ServerMessage,
        number: Option<ClientSeq>,
    ) {
        let n_held_max = 2 * self.config.limits.unanswered_max as usize;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match &mut state.pace {
            Pace::Lagging { .. } if is_planted(Bug::AnswerWhileLagging) => {
                self.send(session, message);
            }
            Pace::Lagging { answers } if answers.len() < n_held_max => {
                let refusal = || HeldAnswer::Refusal(message.into());
                answers.push(number.map_or_else(refusal, HeldAnswer::Recorded));
            }
            Pace::Lagging { .. } => {
                let message = "the session does not read its answers".to_owned();
                self.end_session(session, "slow_consumer", message);
            }
            Pace::Open | Pace::Full { .. } => self.send(session, message),
        }
    }

    /// Sends parts, if the session keeps up; one that does not loses its subscriptions until it
    /// is told to resync. Whether they were sent.
    pub(super) fn send_parts(&mut self, session: SessionId, frames: &[SharedFrame]) -> bool {
        let Some(state) = self.sessions.get_mut(&session) else { return false };
        match state.pace {
            Pace::Open => {
                for frame in frames {
                    self.send_frame(session, frame.clone());
                }
                true
            }
            Pace::Full { .. } => {
                state.pace = Pace::Lagging { answers: Vec::new() };
                self.detach_all(session);
                false
            }
            Pace::Lagging { .. } => false,
        }
    }

    /// All parts up to the published commit have been sent to the session.
    pub(super) fn send_marker(&mut self, session: SessionId) {
        let marker = Marker { checkpoint: self.checkpoint(), clock: self.greatest() };
        if let Some(state) = self.sessions.get_mut(&session) {
            state.position = self.seq;
            let frame = self.marker_frame(ServerMessage::Marker(marker));
            self.send_frame(session, frame);
        }
    }

    /// The frame of a marker, one for all who get the same.
    fn marker_frame(&mut self, marker: ServerMessage) -> SharedFrame {
        match &self.marker {
            Some(frame) if *frame.message() == marker => frame.clone(),
            _ => self.marker.insert(marker.into()).clone(),
        }
    }
}

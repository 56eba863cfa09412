//! Servers: processes that own tenants, and what the tenants want done.
//!
//! This is the shell around [`Tenant`] that `server` has with sockets, threads and files: it loads
//! tenants from their logs, carries outputs out in order, and lets a tenant go when its log fails.
//! A server may die at the moments that matter: before a commit, after it, while it sends.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::commit::LogRecord;
use tercet_engine::ids::{ClientId, ReplicaId, Term};
use tercet_sync::message::ServerMessage;
use tercet_sync::{
    AppendFailure, ClientMessage, Recovery, Rights, SessionId, Tenant, TenantConfig, TenantOutput,
};

use super::broken::Invariant;
use super::faults::Kind;
use super::network::{ConnectionId, Direction, FRAME_BYTES_MAX, Frame};
use super::paths::{Path, sometimes};
use super::witness::same_facts;
use super::world::{DRIFT_MS_MAX, Event, HostClock, Outcome, World};
use crate::random::Random;

/// After so much silence a session is over.
const SILENCE_MS_MAX: u64 = 45_000;

/// Frames that may wait beyond the limit that makes a session slow.
const QUEUE_SLACK: usize = 4_096;

/// A server process.
pub(super) struct Server {
    pub(super) clock: HostClock,
    pub(super) is_up: bool,
    pub(super) frozen_until_ms: u64,
    pub(super) hosted: BTreeMap<usize, Hosted>,
    pub(super) random: Random,
    /// The moment at which it is to die.
    pub(super) dies_at: Option<Moment>,
    n_hosts: u64,
}

/// A moment that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    BeforeCommit,
    AfterCommit,
    InBroadcast,
}

/// A tenant that a server has loaded.
pub(super) struct Hosted {
    pub(super) tenant: Tenant,
    /// Which loading this is; answers to an earlier one are not its.
    host: u64,
    term: Term,
    /// What is on its way to the disk.
    appending: Option<Vec<LogRecord>>,
    pub(super) sessions: BTreeMap<SessionId, ConnectionId>,
}

impl Hosted {
    /// Whether records are on their way to the disk.
    pub(super) fn is_appending(&self) -> bool {
        self.appending.is_some()
    }
}

impl Server {
    pub(super) fn new(random: &mut Random) -> Server {
        Server {
            clock: HostClock::default(),
            is_up: true,
            frozen_until_ms: 0,
            hosted: BTreeMap::new(),
            random: Random::new(random.bits()),
            dies_at: None,
            n_hosts: 0,
        }
    }
}

impl World {
    /// A server's own time.
    pub(super) fn server_now(&mut self, server: usize, tenant: usize) -> u64 {
        let now_ms = self.servers[server].clock.show(self.now_ms);
        let app = &mut self.apps[tenant];
        app.ahead_ms_max = app.ahead_ms_max.max(now_ms + DRIFT_MS_MAX);
        now_ms
    }

    /// Has a tenant do something, where the server has it, and carries out what that leads to.
    pub(super) fn with_tenant(
        &mut self,
        server: usize,
        tenant: usize,
        act: impl FnOnce(&mut Tenant, u64),
    ) {
        let now_ms = self.server_now(server, tenant);
        if let Some(hosted) = self.servers[server].hosted.get_mut(&tenant) {
            act(&mut hosted.tenant, now_ms);
            self.carry_out(server, tenant);
        }
    }

    /// Loads a tenant, unless the server has it.
    pub(super) fn host(&mut self, server: usize, tenant: usize) {
        if self.servers[server].hosted.contains_key(&tenant) {
            return;
        }
        let term = self.apps[tenant].log.open();
        let config = self.tenant_config(server, tenant);
        let mut recovery = Recovery::new(config);
        for record in self.apps[tenant].log.records.clone() {
            if let Err(error) = recovery.replay(record) {
                return self.fail(Invariant::Memory, format!("the log cannot be read: {error}"));
            }
        }
        let state = &mut self.servers[server];
        state.n_hosts += 1;
        let hosted = Hosted {
            tenant: recovery.finish(),
            host: state.n_hosts,
            term,
            appending: None,
            sessions: BTreeMap::new(),
        };
        state.hosted.insert(tenant, hosted);
        self.tell(|| format!("server {server} loads tenant {tenant} in term {term}"));
        self.check_memory(server, tenant);
    }

    fn tenant_config(&mut self, server: usize, tenant: usize) -> TenantConfig {
        let random = &mut self.servers[server].random;
        TenantConfig {
            epoch: self.apps[tenant].log.epoch,
            replica: ReplicaId(random.bits()),
            seed: seed(random),
            drift_ms_max: DRIFT_MS_MAX,
            limits: self.limits.clone(),
            budget: self.budget.clone(),
        }
    }

    /// What is in memory is what the log holds, or a state that it held.
    pub(super) fn check_memory(&mut self, server: usize, tenant: usize) {
        let Some(hosted) = self.servers[server].hosted.get(&tenant) else { return };
        let (facts, at) = hosted.tenant.snapshot();
        let witness = &self.apps[tenant].witness;
        let is_right = at.epoch == witness.epoch()
            && witness.facts(at.seq).is_some_and(|expected| same_facts(&facts, expected));
        if !is_right {
            self.fail(Invariant::Memory, format!("server {server} has other facts at {at}"));
        }
    }

    /// A frame of a client has come.
    pub(super) fn server_receives(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let connection = &self.connections[&id];
        let (server, tenant, session) = (connection.server, connection.tenant, connection.session);
        let (client, is_known) = (connection.client, connection.is_known);
        let Ok(message) = connection.codec.decode_client(bytes, FRAME_BYTES_MAX) else {
            self.server_loses(id);
            return self.server_lets_go(id, true);
        };
        self.tell(|| format!("{session} of client {client} says {}", kind_of_client(&message)));
        match message {
            ClientMessage::Hello(hello) if !is_known => {
                self.host(server, tenant);
                let rights = Rights { write: self.clients[client].may_write };
                let Some(hosted) = self.servers[server].hosted.get_mut(&tenant) else { return };
                hosted.sessions.insert(session, id);
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.is_known = true;
                    connection.identity = Some(hello.client.clone());
                }
                self.with_tenant(server, tenant, |tenant, now_ms| {
                    tenant.connect(session, rights, &hello, now_ms);
                });
                self.check_sessions(server, tenant);
            }
            message => self.with_tenant(server, tenant, |tenant, now_ms| {
                tenant.receive(session, message, now_ms);
            }),
        }
    }

    /// The connection is gone for the server.
    pub(super) fn server_loses(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.has_server = false;
        let (server, tenant, session) = (connection.server, connection.tenant, connection.session);
        if let Some(hosted) = self.servers[server].hosted.get_mut(&tenant)
            && hosted.sessions.remove(&session).is_some()
        {
            self.with_tenant(server, tenant, |tenant, _| tenant.disconnect(session));
        }
    }

    /// Carries out what a tenant wants done.
    pub(super) fn carry_out(&mut self, server: usize, tenant: usize) {
        let mut n_sent = 0;
        loop {
            let Some(hosted) = self.servers[server].hosted.get_mut(&tenant) else { return };
            let Some(output) = hosted.tenant.poll() else { return };
            match output {
                TenantOutput::Append(records) => self.start_append(server, tenant, records),
                TenantOutput::Send { session, frame } => {
                    n_sent += 1;
                    let dies = self.servers[server].dies_at == Some(Moment::InBroadcast);
                    if dies && n_sent > 1 {
                        sometimes!(self, DiedInBroadcast);
                        return self.crash_server(server);
                    }
                    self.note_sent(tenant, session, frame.message());
                    self.queue(server, tenant, session, &frame);
                }
                TenantOutput::Close { session, code, .. } => {
                    self.tell(|| format!("server {server} ends {session}: {code}"));
                    self.note_code(code);
                    let hosted = self.servers[server].hosted.get_mut(&tenant);
                    if let Some(id) = hosted.and_then(|hosted| hosted.sessions.remove(&session)) {
                        self.server_lets_go(id, true);
                    }
                }
                TenantOutput::Reply { request, result } => self.replied(tenant, request, result),
            }
        }
    }

    fn queue(
        &mut self,
        server: usize,
        tenant: usize,
        session: SessionId,
        frame: &tercet_sync::SharedFrame,
    ) {
        let hosted = &self.servers[server].hosted[&tenant];
        let Some(&id) = hosted.sessions.get(&session) else { return };
        let Some(connection) = self.connections.get(&id) else { return };
        let bytes = frame.bytes(connection.codec);
        self.tell(|| format!("{session} is told {}", kind_of(frame.message())));
        self.send(id, Direction::Down, Frame::Whole(bytes));
        let queue_max = self.limits.queue_max as usize;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let n_queued = connection.n_queued();
        if n_queued >= queue_max && connection.n_until_drained.is_none() {
            connection.n_until_drained = Some(n_queued);
            self.with_hosted(server, tenant, |tenant| tenant.backlog(session, n_queued));
        }
        // One step may bring all of a few subscriptions, and answers to what was under way.
        let n_max = queue_max + 2 * self.limits.unanswered_max as usize + 256;
        if n_queued > n_max.min(queue_max + QUEUE_SLACK) {
            self.fail(Invariant::Bounded, format!("{n_queued} frames wait for {session}"));
        }
    }

    /// Tells a tenant something in the middle of carrying out what it wants.
    fn with_hosted(&mut self, server: usize, tenant: usize, act: impl FnOnce(&mut Tenant)) {
        if let Some(hosted) = self.servers[server].hosted.get_mut(&tenant) {
            act(&mut hosted.tenant);
        }
    }

    fn start_append(&mut self, server: usize, tenant: usize, records: Vec<LogRecord>) {
        let is_slow = self.plan.faults.has(Kind::SlowDisk) && self.healed_at_ms.is_none();
        let state = &mut self.servers[server];
        let takes_ms = 1 + state.random.skewed(if is_slow { 4_000 } else { 12 }) as u64;
        let hosted = state.hosted.get_mut(&tenant).expect("it has just asked for it");
        let is_second = hosted.appending.replace(records).is_some();
        let host = hosted.host;
        if is_second {
            self.fail(Invariant::Owner, "a tenant appends while it appends");
        }
        self.schedule_in(takes_ms, Event::Durable { server, tenant, host });
    }

    /// The disk takes an append, or does not.
    pub(super) fn durable(&mut self, server: usize, tenant: usize, host: u64) {
        let is_dying = self.servers[server].dies_at == Some(Moment::BeforeCommit);
        let hosted = self.servers[server].hosted.get(&tenant).filter(|it| it.host == host);
        let Some((term, records)) = hosted.and_then(|it| Some((it.term, it.appending.clone()?)))
        else {
            return;
        };
        if is_dying {
            sometimes!(self, DiedBeforeCommit);
            return self.crash_server(server);
        }
        let outcome = self.append(server, tenant, term, &records);
        if self.servers[server].dies_at == Some(Moment::AfterCommit) && outcome == Outcome::Stored {
            sometimes!(self, DiedAfterCommit);
            return self.crash_server(server);
        }
        let after_ms = self.servers[server].random.skewed(6) as u64;
        let frozen_ms = self.servers[server].frozen_until_ms;
        let at_ms = (self.now_ms + after_ms).max(frozen_ms);
        self.schedule_at(at_ms, Event::Appended { server, tenant, host, outcome });
    }

    fn append(
        &mut self,
        server: usize,
        tenant: usize,
        term: Term,
        records: &[LogRecord],
    ) -> Outcome {
        if self.apps[tenant].full_until_ms > self.now_ms {
            sometimes!(self, DiskFull);
            return Outcome::Full;
        }
        let fails = self.servers[server].random.chance(30)
            && self.plan.faults.has(Kind::Io)
            && self.healed_at_ms.is_none();
        if fails && self.servers[server].random.chance(50) {
            sometimes!(self, AppendFailed);
            return Outcome::Failed;
        }
        let app = &mut self.apps[tenant];
        if app.log.append(term, records).is_err() {
            sometimes!(self, SecondOwner);
            return Outcome::Failed;
        }
        for record in records {
            let written = app.witness.append(record, app.ahead_ms_max, &app.writings, &self.twins);
            if let Err((invariant, text)) = written {
                self.fail(invariant, text);
                return Outcome::Failed;
            }
        }
        if fails {
            sometimes!(self, AppendUnknown);
            return Outcome::Failed;
        }
        Outcome::Stored
    }

    /// The server hears what became of an append.
    pub(super) fn appended(&mut self, server: usize, tenant: usize, host: u64, outcome: Outcome) {
        let hosted = self.servers[server].hosted.get_mut(&tenant).filter(|it| it.host == host);
        let Some(hosted) = hosted else { return };
        hosted.appending = None;
        let failure = || AppendFailure { message: "the simulated disk is full".to_owned() };
        match outcome {
            Outcome::Stored => {
                self.with_tenant(server, tenant, |tenant, now_ms| tenant.appended(Ok(()), now_ms));
            }
            Outcome::Full => self.with_tenant(server, tenant, |tenant, now_ms| {
                tenant.appended(Err(failure()), now_ms);
            }),
            Outcome::Failed => return self.let_go(server, tenant, true),
        }
        if self.checks.chance(10) {
            self.check_memory(server, tenant);
        }
    }

    /// A server lets a tenant go, with its sessions.
    pub(super) fn let_go(&mut self, server: usize, tenant: usize, says_so: bool) {
        let Some(hosted) = self.servers[server].hosted.remove(&tenant) else { return };
        self.tell(|| format!("server {server} lets tenant {tenant} go"));
        for id in hosted.sessions.into_values() {
            self.server_lets_go(id, says_so);
        }
        self.importer_hears_nothing(tenant);
    }

    /// A server's process dies, with all it has not sent yet.
    pub(super) fn crash_server(&mut self, server: usize) {
        self.tell(|| format!("server {server} dies"));
        let state = &mut self.servers[server];
        (state.is_up, state.dies_at) = (false, None);
        let tenants: Vec<usize> = state.hosted.keys().copied().collect();
        for tenant in tenants {
            self.finish_append_of_dead(server, tenant);
            let sessions = &self.servers[server].hosted[&tenant].sessions;
            for id in sessions.values().copied().collect::<Vec<_>>() {
                let n_frames = self.connections.get(&id).map_or(0, |it| it.n_queued());
                let n_kept = self.servers[server].random.below(n_frames + 1);
                self.lose_frames(id, Direction::Down, n_kept);
            }
            let says_so = self.servers[server].random.chance(80);
            self.let_go(server, tenant, says_so);
        }
        let down_ms = 200 + self.servers[server].random.below(4_000) as u64;
        self.schedule_in(down_ms, Event::StartServer(server));
    }

    /// What was on its way to the disk may reach it.
    fn finish_append_of_dead(&mut self, server: usize, tenant: usize) {
        let hosted = &self.servers[server].hosted[&tenant];
        let Some(records) = hosted.appending.clone() else { return };
        let term = hosted.term;
        // Where it has reached the disk already only the answer is lost.
        let is_there = records.first().is_some_and(|record| {
            self.apps[tenant].log.records.iter().any(|other| other.origin() == record.origin())
        });
        if !is_there && self.servers[server].random.chance(30) {
            self.append(server, tenant, term, &records);
        }
    }

    /// A server's process begins again.
    pub(super) fn start_server(&mut self, server: usize) {
        self.servers[server].is_up = true;
    }

    /// Time passes on a server.
    pub(super) fn tick(&mut self, server: usize) {
        self.schedule_in(1_000, Event::Tick(server));
        let state = &self.servers[server];
        if !state.is_up || state.frozen_until_ms > self.now_ms {
            return;
        }
        let tenants: Vec<usize> = state.hosted.keys().copied().collect();
        for tenant in tenants {
            // Whether others are due: then the next tick is soon enough.
            self.with_tenant(server, tenant, |tenant, now_ms| {
                let _ = tenant.tick(now_ms);
            });
            let Some(hosted) = self.servers[server].hosted.get(&tenant) else { continue };
            let silent: Vec<ConnectionId> = hosted.sessions.values().copied().collect();
            for id in silent {
                let heard_ms = self.connections.get(&id).map_or(0, |it| it.last_heard_ms);
                if self.now_ms > heard_ms + SILENCE_MS_MAX {
                    self.server_loses(id);
                    self.server_lets_go(id, true);
                }
            }
        }
    }

    /// A client id has one session.
    fn check_sessions(&mut self, server: usize, tenant: usize) {
        let Some(hosted) = self.servers[server].hosted.get(&tenant) else { return };
        let sessions = hosted.sessions.values().filter_map(|id| self.connections.get(id));
        let identities: BTreeSet<&ClientId> =
            sessions.filter_map(|connection| connection.identity.as_ref()).collect();
        let (n_identities, n_sessions) = (identities.len(), hosted.tenant.n_sessions());
        if n_sessions > n_identities {
            let text = format!("{n_sessions} sessions of {n_identities} client ids");
            self.fail(Invariant::Owner, text);
        }
    }

    fn note_sent(&mut self, tenant: usize, session: SessionId, message: &ServerMessage) {
        match message {
            ServerMessage::Ack(ack) => {
                // Connections and sessions are numbered alike.
                let connection = self.connections.get(&ConnectionId(session.0));
                let Some(identity) = connection.and_then(|it| it.identity.clone()) else { return };
                let acknowledged = &mut self.apps[tenant].acknowledged;
                if !acknowledged.insert((identity, ack.number)) {
                    sometimes!(self, AnsweredAgain);
                }
            }
            ServerMessage::Refused(refused) => self.note_code(&refused.code),
            ServerMessage::Reject(reject) => self.note_code(&reject.code),
            ServerMessage::Error(error) => self.note_code(&error.code),
            _ => {}
        }
    }

    fn note_code(&mut self, code: &str) {
        let path = match code {
            "clock_drift" => Path::ClockDrift,
            "seq_gap" => Path::SeqGap,
            "seq_conflict" => Path::SeqConflict,
            "fenced" => Path::Fenced,
            "storage_unavailable" => Path::StorageUnavailable,
            "read_only" => Path::ReadOnly,
            _ => return,
        };
        self.paths.note(path);
    }
}

/// A seed for a peer.
pub(super) fn seed(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&random.bits().to_be_bytes());
    }
    seed
}

/// What a message is, for the story.
pub(super) fn kind_of(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Welcome(welcome) => {
            format!("welcome at {}, last {}", welcome.position, welcome.last_number)
        }
        ServerMessage::Marker(marker) => format!("marker {}", marker.checkpoint.seq),
        ServerMessage::Ack(ack) => format!("ack {} at {}", ack.number, ack.checkpoint.seq),
        other => format!("{other:?}").chars().take(400).collect(),
    }
}

fn kind_of_client(message: &ClientMessage) -> String {
    match message {
        ClientMessage::Subscribe(subscribe) => {
            let (id, mode, resume) = (subscribe.subscription, subscribe.mode, &subscribe.resume);
            format!("subscribe {id} {mode:?} {resume:?}")
        }
        other => format!("{other:?}").chars().take(400).collect(),
    }
}

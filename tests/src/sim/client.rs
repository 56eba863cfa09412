//! Clients: a process with a peer, a clock and an outbox on a simulated disk.
//!
//! This is the shell around [`ClientPeer`] that `client` has with sockets and files. Its disk does
//! one thing after the other and says when each is stored; when the process dies, what has not been
//! done is gone, but for a part of it. What the program sees is judged in `program`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tercet_engine::fact::Op;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientSeq, EntityId, Epoch};
use tercet_sync::{
    Cache, CacheStep, ClientConfig, ClientOutput, ClientPeer, Codec, Outbox, OutboxEntry,
    SessionId, SubscriptionId,
};

use super::broken::Invariant;
use super::faults::Kind;
use super::network::{Connection, ConnectionId, Direction, FRAME_BYTES_MAX, Frame, Pipe};
use super::paths::{Path, sometimes};
use super::plan::Stream;
use super::program::Watched;
use super::question::token_of;
use super::server::{kind_of, seed};
use super::world::{Event, HostClock, World};
use crate::random::Random;

/// Something for the disk.
#[derive(Debug, Clone)]
enum Write {
    Persist(OutboxEntry),
    Forget(ClientSeq),
    Rewrite(Outbox),
    Epoch(Epoch),
    Cache(Vec<CacheStep>),
}

/// An outbox on a disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) saved: Outbox,
    cache: Cache,
    /// As it was some time ago.
    pub(super) older: Outbox,
    queue: VecDeque<Write>,
}

impl Disk {
    /// Does the next thing; the numbers that are stored by it.
    fn write(&mut self) -> Vec<(ClientSeq, Hlc)> {
        match self.queue.pop_front() {
            None => Vec::new(),
            Some(Write::Persist(entry)) => {
                let stored = (entry.number, entry.transaction.hlc);
                self.saved.last_number = entry.number;
                self.saved.clock = self.saved.clock.max(entry.transaction.hlc);
                self.saved.entries.push(entry);
                vec![stored]
            }
            Some(Write::Forget(number)) => {
                self.saved.entries.retain(|entry| entry.number != number);
                Vec::new()
            }
            Some(Write::Rewrite(outbox)) => {
                self.saved = outbox;
                let entries = self.saved.entries.iter();
                entries.map(|entry| (entry.number, entry.transaction.hlc)).collect()
            }
            Some(Write::Epoch(epoch)) => {
                self.saved.epoch = Some(epoch);
                Vec::new()
            }
            Some(Write::Cache(steps)) => {
                self.cache.follow(steps);
                Vec::new()
            }
        }
    }
}

/// A client process, and what outlives it.
pub(super) struct Client {
    pub(super) tenant: usize,
    /// None while it is dead.
    pub(super) peer: Option<ClientPeer>,
    pub(super) codec: Codec,
    pub(super) has_outbox: bool,
    /// What its subscriptions hold outlives it too.
    has_cache: bool,
    pub(super) may_write: bool,
    /// It may have written while it may not.
    pub(super) was_refused_rights: bool,
    pub(super) clock: HostClock,
    /// The time that the peer was told last.
    told_ms: u64,
    pub(super) connection: Option<ConnectionId>,
    /// Which attempt to connect is under way, if one is.
    attempt: u64,
    is_connecting: bool,
    pub(super) opened_at_ms: u64,
    alarm: u64,
    process: u64,
    pub(super) disk: Disk,
    pub(super) random: Random,
    pub(super) frozen_until_ms: u64,
    pub(super) reads_every_ms: u64,
    acts_every_ms: u64,

    pub(super) watched: BTreeMap<SubscriptionId, Watched>,
    /// Tokens of transactions without an answer.
    pub(super) tokens: BTreeMap<ClientSeq, String>,
    /// Those of them that are stored.
    pub(super) stored: BTreeSet<String>,
    /// Tokens that every answer of this process must show.
    pub(super) visible: BTreeSet<String>,
    pub(super) accepted: BTreeSet<String>,
    pub(super) rejected: BTreeSet<String>,
    /// Entities that this process has deleted.
    pub(super) deletes: BTreeSet<EntityId>,
    pub(super) position: Option<Checkpoint>,
    pub(super) n_written: u64,
}

impl World {
    /// One client more.
    pub(super) fn add_client(&mut self) {
        let index = self.clients.len();
        let mut random = self.plan.stream(Stream::Client(index));
        let tenant = index % self.apps.len();
        let is_volatile = self.plan.faults.has(Kind::Volatile) && random.chance(40);
        let mut clock = HostClock::default();
        if self.plan.faults.has(Kind::Drift) && random.chance(60) {
            clock.offset_ms = *random.pick(&[3_600_000, -600_000, 90_000, -40_000, 0]);
            clock.drift = random.below(200_000) as i64 - 100_000;
        }
        let acts_every_ms =
            self.plan.duration_ms * self.plan.n_clients as u64 / (self.plan.n_writes as u64 + 1);
        self.clients.push(Client {
            tenant,
            peer: None,
            codec: if random.chance(80) { Codec::Binary } else { Codec::Json },
            has_outbox: !is_volatile,
            has_cache: !is_volatile && random.chance(60),
            may_write: true,
            was_refused_rights: false,
            clock,
            told_ms: 0,
            connection: None,
            attempt: 0,
            is_connecting: false,
            opened_at_ms: 0,
            alarm: 0,
            process: 0,
            disk: Disk::default(),
            frozen_until_ms: 0,
            reads_every_ms: 0,
            acts_every_ms: acts_every_ms.max(1),
            watched: BTreeMap::new(),
            tokens: BTreeMap::new(),
            stored: BTreeSet::new(),
            visible: BTreeSet::new(),
            accepted: BTreeSet::new(),
            rejected: BTreeSet::new(),
            deletes: BTreeSet::new(),
            position: None,
            n_written: 0,
            random,
        });
        let begins_ms = self.clients[index].random.below(400) as u64;
        self.schedule_in(begins_ms, Event::StartClient(index));
        let acts_ms = begins_ms + self.clients[index].random.below(500) as u64;
        self.schedule_in(acts_ms, Event::Act(index));
    }

    /// A second process of an index goes on from a copy of its outbox.
    pub(super) fn add_twin(&mut self, of: usize) {
        let index = self.clients.len();
        let (tenant, saved) = (self.clients[of].tenant, self.clients[of].disk.saved.clone());
        self.add_client();
        let twin = &mut self.clients[index];
        (twin.tenant, twin.has_outbox) = (tenant, true);
        twin.disk.saved = saved;
        // What the one may not write is answered for both.
        for process in [of, index] {
            self.clients[process].was_refused_rights = true;
        }
        self.forget_identity(of);
        self.forget_identity(index);
    }

    /// What a client has written may be committed under other identities too.
    pub(super) fn forget_identity(&mut self, client: usize) {
        let Client { tenant, disk, tokens, .. } = &self.clients[client];
        let ids = [&disk.saved.client, &disk.older.client];
        self.twins.extend(ids.into_iter().flatten().map(ToString::to_string));
        let entries = disk.saved.entries.iter().chain(&disk.older.entries);
        let of_entries = entries.flat_map(|entry| entry.transaction.ops.iter().find_map(token_of));
        let tokens: Vec<String> = tokens.values().cloned().chain(of_entries).collect();
        let writings = &mut self.apps[*tenant].writings;
        for token in tokens {
            if let Some(writing) = writings.get_mut(&token) {
                writing.may_repeat = true;
            }
        }
    }

    /// A client's own time.
    pub(super) fn client_now(&mut self, client: usize) -> u64 {
        let state = &mut self.clients[client];
        state.told_ms = state.clock.show(self.now_ms);
        state.told_ms
    }

    /// A client's process begins, with what its disk has.
    pub(super) fn start_client(&mut self, client: usize) {
        let now_ms = self.client_now(client);
        let state = &mut self.clients[client];
        if state.peer.is_some() {
            return;
        }
        let config = ClientConfig {
            key: "key".to_owned(),
            seed: seed(&mut state.random),
            durable: state.has_outbox,
            limits: self.limits.clone(),
            budget: self.budget.clone(),
        };
        if !state.has_outbox {
            state.disk = Disk::default();
        }
        let entries = &state.disk.saved.entries;
        state.tokens = entries
            .iter()
            .filter_map(|entry| Some((entry.number, token_in(&entry.transaction.ops)?)))
            .collect();
        state.stored = state.tokens.values().cloned().collect();
        state.visible = state.stored.clone();
        // What the disk had not forgotten is pending again, until it gets its answer again.
        state.rejected.retain(|token| !state.visible.contains(token));
        let deleted = entries.iter().flat_map(|entry| &entry.transaction.ops);
        state.deletes = deleted.filter_map(deleted_by).collect();
        let (outbox, cache) = (state.disk.saved.clone(), state.disk.cache.clone());
        let peer = match state.has_cache {
            true => ClientPeer::restore(config, outbox, cache, now_ms),
            false => ClientPeer::new(config, outbox, now_ms),
        };
        state.position = peer.position();
        state.peer = Some(peer);
        sometimes!(self, CacheUsed, state.position.is_some());
        self.tell(|| format!("client {client} begins"));
        self.subscribe_some(client);
        self.run_client(client);
    }

    /// A client's process dies. What its disk was asked for last is lost, or a part of it.
    pub(super) fn crash_client(&mut self, client: usize, is_torn: bool) {
        let state = &mut self.clients[client];
        if state.peer.take().is_none() {
            return;
        }
        let n_done = if is_torn { state.random.below(state.disk.queue.len() + 1) } else { 0 };
        for _ in 0..n_done {
            state.disk.write();
        }
        let n_lost = state.disk.queue.len();
        state.disk.queue.clear();
        let has_pending = !state.tokens.is_empty();
        (state.is_connecting, state.alarm) = (false, state.alarm + 1);
        (state.attempt, state.process) = (state.attempt + 1, state.process + 1);
        state.watched.clear();
        let down_ms = 1 + state.random.below(3_000) as u64;
        let says_so = state.random.chance(70);
        let (connection, has_outbox) = (state.connection, state.has_outbox);
        if let Some(id) = connection {
            self.client_lets_go(id, says_so);
        }
        self.tell(|| format!("client {client} dies"));
        if has_pending {
            self.paths.note(if has_outbox { Path::ClientDied } else { Path::OutboxLost });
        }
        if n_lost > 0 && has_outbox {
            sometimes!(self, OutboxTorn);
        }
        self.check_stored_survive(client);
        self.schedule_in(down_ms, Event::StartClient(client));
    }

    /// What was stored and has no answer is on the disk.
    fn check_stored_survive(&mut self, client: usize) {
        let state = &self.clients[client];
        if !state.has_outbox {
            return;
        }
        let entries = state.disk.saved.entries.iter();
        let kept: BTreeSet<String> =
            entries.filter_map(|entry| token_in(&entry.transaction.ops)).collect();
        let unanswered = state.tokens.values().filter(|token| state.stored.contains(*token));
        let lost: Vec<String> = unanswered.filter(|it| !kept.contains(*it)).cloned().collect();
        if !lost.is_empty() {
            self.fail(Invariant::Outbox, format!("client {client} was stored and lost: {lost:?}"));
        }
    }

    /// Carries out what a client's peer wants done, then looks at what it shows.
    pub(super) fn run_client(&mut self, client: usize) {
        loop {
            let Some(peer) = &mut self.clients[client].peer else { return };
            let Some(output) = peer.poll() else { break };
            self.carry_out_client(client, output);
        }
        self.check_client(client);
    }

    fn carry_out_client(&mut self, client: usize, output: ClientOutput) {
        let latency_ms = self.latency_ms();
        let state = &mut self.clients[client];
        match output {
            ClientOutput::Connect => {
                (state.is_connecting, state.attempt) = (true, state.attempt + 1);
                let attempt = state.attempt;
                self.schedule_in(2 * latency_ms, Event::Connect(client, attempt));
            }
            ClientOutput::Disconnect => {
                (state.is_connecting, state.attempt) = (false, state.attempt + 1);
                if let Some(id) = state.connection {
                    self.client_lets_go(id, true);
                }
            }
            ClientOutput::Send(message) => {
                let Some(id) = state.connection else { return };
                let bytes = state.codec.encode_client(&message);
                self.check_sent(client, &message);
                self.send(id, Direction::Up, Frame::Whole(bytes));
            }
            ClientOutput::WakeAt(at_ms) => {
                state.alarm += 1;
                let alarm = state.alarm;
                let after_ms = at_ms.saturating_sub(state.told_ms);
                self.schedule_in(after_ms, Event::Wake { client, alarm, at_ms });
            }
            ClientOutput::Persist(entry) => self.write(client, Write::Persist(entry)),
            ClientOutput::Forget(number) => self.write(client, Write::Forget(number)),
            ClientOutput::Rewrite(outbox) => self.write(client, Write::Rewrite(outbox)),
            ClientOutput::Epoch(epoch) => self.write(client, Write::Epoch(epoch)),
            ClientOutput::Cache(steps) => self.write(client, Write::Cache(steps)),
            ClientOutput::Status(status) => self.tell(|| format!("client {client}: {status:?}")),
            output => self.show(client, output),
        }
    }

    fn write(&mut self, client: usize, write: Write) {
        let state = &mut self.clients[client];
        if !state.has_outbox {
            return;
        }
        state.disk.queue.push_back(write);
        if state.disk.queue.len() == 1 {
            let (after_ms, process) = (state.random.skewed(30) as u64, state.process);
            self.schedule_in(after_ms, Event::Stored(client, process));
        }
    }

    /// The disk of a client has done the next thing.
    pub(super) fn stored(&mut self, client: usize, process: u64) {
        let is_slow = self.plan.faults.has(Kind::SlowDisk) && self.healed_at_ms.is_none();
        let state = &mut self.clients[client];
        let Some(peer) = state.peer.as_mut().filter(|_| state.process == process) else { return };
        for (number, hlc) in state.disk.write() {
            peer.stored(number, hlc);
            // By its stamp: its number may have been given to another one meanwhile.
            let entries = state.disk.saved.entries.iter();
            let written = entries.filter(|entry| entry.transaction.hlc == hlc);
            state.stored.extend(written.filter_map(|entry| token_in(&entry.transaction.ops)));
        }
        if state.random.chance(10) {
            state.disk.older = state.disk.saved.clone();
        }
        if !state.disk.queue.is_empty() {
            let after_ms = state.random.skewed(if is_slow { 3_000 } else { 30 }) as u64;
            self.schedule_in(after_ms, Event::Stored(client, process));
        }
        self.run_client(client);
    }

    /// An attempt to connect has come to its end.
    pub(super) fn connect(&mut self, client: usize, attempt: u64) {
        let state = &self.clients[client];
        if !state.is_connecting || state.attempt != attempt || state.peer.is_none() {
            return;
        }
        let tenant = state.tenant;
        let server = self.server_for(tenant);
        let is_cut = [Direction::Up, Direction::Down].iter().any(|direction| {
            let until_ms = self.partitions.get(&(client, server, *direction));
            until_ms.is_some_and(|until_ms| *until_ms > self.now_ms)
        });
        let now_ms = self.client_now(client);
        self.clients[client].is_connecting = false;
        let is_reachable = self.servers[server].is_up && !is_cut;
        if is_reachable {
            self.open_connection(client, server);
        }
        let peer = self.clients[client].peer.as_mut().expect("it was there");
        match is_reachable {
            true => peer.opened(now_ms),
            false => peer.closed(now_ms),
        }
        self.run_client(client);
    }

    /// The server that clients of a tenant are led to; another one when it is down.
    fn server_for(&mut self, tenant: usize) -> usize {
        let owner = self.apps[tenant].owner;
        let may_move = self.healed_at_ms.is_none() && self.network.chance(50);
        if !self.servers[owner].is_up && may_move {
            self.apps[tenant].owner = (owner + 1) % self.servers.len();
        }
        self.apps[tenant].owner
    }

    fn open_connection(&mut self, client: usize, server: usize) {
        self.n_connections += 1;
        let id = ConnectionId(self.n_connections);
        let state = &mut self.clients[client];
        (state.connection, state.opened_at_ms) = (Some(id), self.now_ms);
        let connection = Connection {
            client,
            server,
            tenant: state.tenant,
            session: SessionId(self.n_connections),
            identity: None,
            codec: state.codec,
            up: Pipe::default(),
            down: Pipe::default(),
            has_client: true,
            has_server: true,
            is_known: false,
            last_heard_ms: self.now_ms,
            n_until_drained: None,
        };
        self.connections.insert(id, connection);
    }

    /// A client hears that its connection is gone.
    pub(super) fn client_loses(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.has_client = false;
        let client = connection.client;
        let now_ms = self.client_now(client);
        let state = &mut self.clients[client];
        if state.connection == Some(id) {
            state.connection = None;
            if let Some(peer) = &mut state.peer {
                peer.closed(now_ms);
            }
            self.run_client(client);
        }
    }

    /// A frame of the server has come.
    pub(super) fn client_receives(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let (client, codec) = (self.connections[&id].client, self.connections[&id].codec);
        if self.clients[client].connection != Some(id) {
            return;
        }
        let message = match codec.decode_server(bytes, FRAME_BYTES_MAX) {
            Ok(message) => message,
            Err(error) => return self.fail(Invariant::Refusal, format!("a frame: {error}")),
        };
        self.tell(|| format!("client {client} hears {}", kind_of(&message)));
        self.note_heard(&message);
        let now_ms = self.client_now(client);
        if let Some(peer) = &mut self.clients[client].peer {
            peer.received(message, now_ms);
        }
        self.run_client(client);
    }

    /// A client's alarm rings.
    pub(super) fn wake(&mut self, client: usize, alarm: u64, at_ms: u64) {
        let frozen_ms = self.clients[client].frozen_until_ms;
        if frozen_ms > self.now_ms {
            return self.schedule_at(frozen_ms, Event::Wake { client, alarm, at_ms });
        }
        let now_ms = self.client_now(client).max(at_ms);
        let state = &mut self.clients[client];
        if state.alarm != alarm {
            return;
        }
        state.told_ms = now_ms;
        if let Some(peer) = &mut state.peer {
            peer.tick(now_ms);
        }
        self.run_client(client);
    }

    /// A client's program does something, and will again.
    pub(super) fn act(&mut self, client: usize) {
        if self.healed_at_ms.is_some() {
            return;
        }
        let state = &mut self.clients[client];
        let after_ms = 1 + state.random.below(2 * state.acts_every_ms as usize) as u64;
        let is_awake = state.peer.is_some() && state.frozen_until_ms <= self.now_ms;
        let dice = state.random.below(100);
        self.schedule_in(after_ms, Event::Act(client));
        match dice {
            _ if !is_awake => {}
            0..8 => self.unsubscribe_one(client),
            8..18 => self.subscribe_one(client),
            _ => self.transact(client),
        }
    }
}

/// The token of a transaction.
pub(super) fn token_in(ops: &[Op]) -> Option<String> {
    ops.iter().find_map(token_of)
}

/// The entity that an operation deletes.
pub(super) fn deleted_by(op: &Op) -> Option<EntityId> {
    match op {
        Op::Delete { e } => Some(e.clone()),
        _ => None,
    }
}

//! A tenant and clients on a network that neither delays nor loses anything, and counts bytes.
//!
//! Everything goes through the binary codec. Disks answer at once. A client can be cut off, and
//! can stop reading, and can be another process with another clock; the tenant can be started again
//! from its log, or from the beginning of it. What is said and shown is written down as text.
#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each test crate that includes it uses a part")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tercet_engine::answer::Row;
use tercet_engine::commit::LogRecord;
use tercet_engine::db::Query;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::ids::{Attribute, ClientSeq, EntityId, Epoch, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_engine::value::Value;
use tercet_sync::message::{
    ClientMessage, Mode, ServerMessage, SessionId, SubscribedState, SubscriptionId,
};
use tercet_sync::wire_row::to_wire;
use tercet_sync::{
    Cache, ClientConfig, ClientOutput, ClientPeer, Codec, Limits, Outbox, Recovery, RequestId,
    ResumeLimits, Rights, SubscriptionUpdate, Tenant, TenantConfig, TenantOutput,
};

const FRAME_BYTES_MAX: u64 = 64 << 20;
const WRITE: Rights = Rights { write: true };

pub(crate) fn set(e: &str, a: &str, v: Value) -> Op {
    Op::Set { e: EntityId::new(e).unwrap(), a: Attribute::new(a).unwrap(), v }
}

pub(crate) fn query(text: &str) -> Query {
    Query::prepare(tercet_query_lang::parse(text).unwrap().raw).unwrap()
}

/// What went over the wire in one direction.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) n_bytes: usize,
    pub(crate) messages: Vec<String>,
}

pub(crate) struct Client {
    pub(crate) peer: ClientPeer,
    pub(crate) session: Option<SessionId>,
    /// How far its clock is ahead.
    pub(crate) skew_ms: i64,
    /// What it keeps for its next start, if it keeps anything.
    cache: Option<Cache>,
    /// What became of its transactions, and what else its program was told.
    pub(crate) told: Vec<String>,
    /// What waits for a client that does not read.
    pub(crate) queue: VecDeque<Bytes>,
    pub(crate) reads: bool,
    pub(crate) up: Traffic,
    pub(crate) down: Traffic,
    pub(crate) updates: BTreeMap<SubscriptionId, SubscriptionUpdate>,
}

pub(crate) struct Pair {
    pub(crate) tenant: Tenant,
    pub(crate) clients: Vec<Client>,
    pub(crate) log: Vec<LogRecord>,
    pub(crate) limits: Limits,
    pub(crate) now_ms: u64,
    n_sessions: u64,
    epoch: Epoch,
    resume_limits: ResumeLimits,
    /// Appends wait until [`Pair::finish_append`].
    pub(crate) is_disk_slow: bool,
    appending: Option<Vec<LogRecord>>,
    /// All that was said and shown, in order.
    pub(crate) trace: Vec<String>,
}

fn open(limits: &Limits, epoch: Epoch, log: &[LogRecord]) -> Tenant {
    let mut recovery = Recovery::new(TenantConfig {
        epoch,
        replica: ReplicaId(0x5e + log.len() as u64),
        seed: [1; 32],
        drift_ms_max: 60_000,
        limits: limits.clone(),
        budget: Budget::unlimited(),
    });
    for record in log {
        recovery.replay(record.clone()).unwrap();
    }
    recovery.finish()
}

impl Pair {
    pub(crate) fn new(n_clients: usize) -> Pair {
        let limits = Limits { ops_max: 65_536, support_facts_max: 1_000_000, ..Limits::default() };
        Pair::with_limits(n_clients, limits)
    }

    pub(crate) fn with_limits(n_clients: usize, limits: Limits) -> Pair {
        let epoch = Epoch(0xc0ffee);
        let tenant = open(&limits, epoch, &[]);
        let (clients, log) = (Vec::new(), Vec::new());
        let mut pair = Pair {
            tenant,
            clients,
            log,
            limits,
            now_ms: 1_000_000,
            n_sessions: 0,
            epoch,
            resume_limits: ResumeLimits::default(),
            is_disk_slow: false,
            appending: None,
            trace: Vec::new(),
        };
        for _ in 0..n_clients {
            pair.add_client();
        }
        pair
    }

    /// A client that has never run. It connects at once.
    pub(crate) fn add_client(&mut self) {
        let client = Some(format!("client{}", self.clients.len()).parse().unwrap());
        self.add_client_with(Outbox { client, ..Outbox::default() }, 0);
    }

    /// A client's process ends and starts again with what its cache has kept; from the first
    /// call on it has one. Subscriptions have to be begun anew.
    pub(crate) fn restart_client(&mut self, index: usize) {
        self.cut(index);
        let config = self.client_config(index);
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        let outbox = Outbox { client: Some(client.peer.client().clone()), ..Outbox::default() };
        let cache = client.cache.get_or_insert_default().clone();
        client.peer = ClientPeer::restore(config, outbox, cache, now_ms);
        client.updates.clear();
        self.run();
    }

    fn client_config(&self, index: usize) -> ClientConfig {
        ClientConfig {
            key: "trc_k".to_owned(),
            seed: [index as u8 + 2; 32],
            durable: false,
            limits: self.limits.clone(),
            budget: Budget::unlimited(),
        }
    }

    /// A client's process with what its outbox holds.
    pub(crate) fn add_client_with(&mut self, outbox: Outbox, skew_ms: i64) {
        let config = self.client_config(self.clients.len());
        let now_ms = self.now_ms.saturating_add_signed(skew_ms);
        self.clients.push(Client {
            peer: ClientPeer::new(config, outbox, now_ms),
            session: None,
            skew_ms,
            cache: None,
            told: Vec::new(),
            queue: VecDeque::new(),
            reads: true,
            up: Traffic::default(),
            down: Traffic::default(),
            updates: BTreeMap::new(),
        });
        self.run();
    }

    fn client_now(&self, index: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.clients[index].skew_ms)
    }

    /// A client writes.
    pub(crate) fn write(&mut self, index: usize, ops: Vec<Op>) -> ClientSeq {
        let now_ms = self.client_now(index);
        let number = self.clients[index].peer.transact(ops, now_ms).unwrap();
        self.run();
        number
    }

    pub(crate) fn subscribe(&mut self, index: usize, text: &str, mode: Mode) -> SubscriptionId {
        let id = self.clients[index].peer.subscribe(&query(text), &[], mode).unwrap();
        self.run();
        id
    }

    /// The committed transactions, in order.
    pub(crate) fn commits(&self) -> Vec<&Transaction> {
        let commits = self.log.iter().filter_map(|record| match record {
            LogRecord::Commit { transaction, .. } => Some(transaction),
            LogRecord::Reject { .. } => None,
        });
        commits.collect()
    }

    /// A slow disk is done.
    pub(crate) fn finish_append(&mut self) {
        self.log.extend(self.appending.take().expect("an append is under way"));
        self.tenant.appended(Ok(()), self.now_ms);
        self.run();
    }

    /// A transaction of the server's own.
    pub(crate) fn transact(&mut self, ops: Vec<Op>) {
        self.tenant.transact(RequestId(1), None, ops, WRITE, self.now_ms);
        self.run();
    }

    /// A client's connection breaks.
    pub(crate) fn cut(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Some(session) = client.session.take() {
            self.tenant.disconnect(session);
        }
        client.queue.clear();
        let now_ms = self.client_now(index);
        self.clients[index].peer.closed(now_ms);
        self.run_client(index);
    }

    /// A client connects again; nothing that went before is counted.
    pub(crate) fn reconnect(&mut self, index: usize) {
        self.now_ms += 40_000;
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        (client.up, client.down) = (Traffic::default(), Traffic::default());
        client.peer.tick(now_ms);
        self.run();
    }

    /// The server's process ends and starts again.
    pub(crate) fn restart(&mut self, epoch: Option<Epoch>) {
        for index in 0..self.clients.len() {
            self.cut(index);
        }
        self.epoch = epoch.unwrap_or(self.epoch);
        self.tenant = open(&self.limits, self.epoch, &self.log);
        self.tenant.set_resume_limits(self.resume_limits);
    }

    /// A backup is put in the place of the log: its first records, as another history.
    pub(crate) fn restore_backup(&mut self, n_records: usize, epoch: Epoch) {
        self.log.truncate(n_records);
        self.restart(Some(epoch));
    }

    pub(crate) fn set_resume_limits(&mut self, limits: ResumeLimits) {
        self.resume_limits = limits;
        self.tenant.set_resume_limits(limits);
    }

    /// The last answer, with its flags.
    pub(crate) fn shown(&self, index: usize, id: SubscriptionId) -> (Vec<Row>, bool) {
        let update = &self.clients[index].updates[&id];
        (update.answer.rows.to_vec(), update.complete)
    }

    /// Whether a client shows, complete, what the server has.
    pub(crate) fn check(&self, index: usize, id: SubscriptionId, text: &str) {
        let (snapshot, _) = self.tenant.snapshot();
        let expected = query(text).run(&snapshot, &[], &Budget::unlimited()).unwrap();
        let (rows, complete) = self.shown(index, id);
        assert!(complete, "{text}");
        assert_eq!(rows.len(), expected.rows.len(), "{text}");
        assert_eq!(rows, expected.rows.to_vec());
    }

    /// Everything that can happen happens.
    pub(crate) fn run(&mut self) {
        loop {
            let mut is_busy = self.run_tenant();
            for index in 0..self.clients.len() {
                is_busy |= self.run_client(index);
                is_busy |= self.clients[index].reads && self.deliver(index);
            }
            if !is_busy {
                return;
            }
        }
    }

    fn run_tenant(&mut self) -> bool {
        let mut is_busy = false;
        while let Some(output) = self.tenant.poll() {
            is_busy = true;
            match output {
                TenantOutput::Append(records) if self.is_disk_slow => {
                    self.appending = Some(records);
                }
                TenantOutput::Append(records) => {
                    self.log.extend(records);
                    self.tenant.appended(Ok(()), self.now_ms);
                }
                TenantOutput::Send { session, frame } => {
                    let n_max = self.limits.queue_max as usize;
                    for client in &mut self.clients {
                        if client.session == Some(session) {
                            client.queue.push_back(frame.bytes(Codec::Binary));
                            if client.queue.len() >= n_max {
                                self.tenant.backlog(session, client.queue.len());
                            }
                        }
                    }
                }
                TenantOutput::Close { session, code, .. } => self.close(session, code),
                TenantOutput::Reply { result, .. } => drop(result.unwrap()),
            }
        }
        is_busy
    }

    /// The server ends a session; what it has sent before is delivered.
    fn close(&mut self, session: SessionId, code: &str) {
        let index = self.clients.iter().position(|client| client.session == Some(session));
        let Some(index) = index else { return };
        self.trace.push(format!("client{index} < closed: {code}"));
        while self.deliver(index) {
            self.run_client(index);
        }
        let now_ms = self.client_now(index);
        if self.clients[index].session.take_if(|open| *open == session).is_some() {
            self.clients[index].peer.closed(now_ms);
        }
    }

    fn run_client(&mut self, index: usize) -> bool {
        let now_ms = self.client_now(index);
        let mut is_busy = false;
        while let Some(output) = self.clients[index].peer.poll() {
            is_busy = true;
            let client = &mut self.clients[index];
            match output {
                ClientOutput::Connect => {
                    self.n_sessions += 1;
                    client.session = Some(SessionId(self.n_sessions));
                    client.peer.opened(now_ms);
                }
                ClientOutput::Send(message) => {
                    let json = Codec::Json.encode_client(&message);
                    let json = std::str::from_utf8(&json).unwrap();
                    self.trace.push(format!("client{index} > {json}"));
                    let bytes = Codec::Binary.encode_client(&message);
                    client.up.n_bytes += bytes.len();
                    client.up.messages.push(name_of_client(&message).to_owned());
                    let message = Codec::Binary.decode_client(&bytes, FRAME_BYTES_MAX).unwrap();
                    let session = client.session.unwrap();
                    match message {
                        ClientMessage::Hello(hello) => {
                            self.tenant.connect(session, WRITE, &hello, self.now_ms);
                        }
                        message => self.tenant.receive(session, message, self.now_ms),
                    }
                }
                ClientOutput::Update(update) => {
                    let rows: Vec<_> = update
                        .answer
                        .rows
                        .iter()
                        .map(|row| to_wire(row.to_row()).unwrap())
                        .collect();
                    let json = serde_json::to_string(&rows).unwrap();
                    let complete = if update.complete { " complete" } else { "" };
                    let pending = if update.pending { " pending" } else { "" };
                    let id = update.subscription;
                    self.trace.push(format!("client{index} shows {id}: {json}{complete}{pending}"));
                    client.updates.insert(update.subscription, update);
                }
                ClientOutput::Disconnect => {
                    if let Some(session) = client.session.take() {
                        self.tenant.disconnect(session);
                    }
                    client.queue.clear();
                }
                ClientOutput::WakeAt(at_ms) if at_ms <= now_ms => client.peer.tick(at_ms),
                ClientOutput::Cache(steps) => client.cache.get_or_insert_default().follow(steps),
                ClientOutput::Accepted { number, effects, .. } => {
                    client.told.push(format!("{number} accepted {effects:?}"));
                }
                ClientOutput::Rejected { number, code, .. } => {
                    client.told.push(format!("{number} rejected {code}"));
                }
                ClientOutput::Renumbered { numbers } => {
                    client.told.push(format!("renumbered {}", numbers.len()));
                }
                ClientOutput::SessionFailed { code, .. } => client.told.push(code),
                ClientOutput::Failed { code, message, .. } => panic!("{code}: {message}"),
                _ => {}
            }
        }
        is_busy
    }

    fn deliver(&mut self, index: usize) -> bool {
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        let Some(bytes) = client.queue.pop_front() else { return false };
        client.down.n_bytes += bytes.len();
        let message = Codec::Binary.decode_server(&bytes, FRAME_BYTES_MAX).unwrap();
        client.down.messages.push(name_of_server(&message));
        if client.queue.is_empty()
            && let Some(session) = client.session
        {
            self.tenant.backlog(session, 0);
        }
        let json = Codec::Json.encode_server(&message);
        let json = std::str::from_utf8(&json).unwrap();
        self.trace.push(format!("client{index} < {json}"));
        client.peer.received(message, now_ms);
        true
    }
}

fn name_of_client(message: &ClientMessage) -> &'static str {
    match message {
        ClientMessage::Hello(_) => "hello",
        ClientMessage::Subscribe(_) => "subscribe",
        ClientMessage::Unsubscribe(_) => "unsubscribe",
        ClientMessage::Push(_) => "push",
        ClientMessage::Received(_) => "received",
        ClientMessage::Ping(_) => "ping",
        ClientMessage::Pong(_) => "pong",
    }
}

fn name_of_server(message: &ServerMessage) -> String {
    let name = match message {
        ServerMessage::Welcome(_) => "welcome",
        ServerMessage::Subscribed(subscribed) => match &subscribed.state {
            SubscribedState::Reset => "reset",
            SubscribedState::Unchanged => "unchanged",
            SubscribedState::Replay => "replay",
            SubscribedState::Buckets { cleared, .. } => {
                return format!("buckets {}", cleared.len());
            }
        },
        ServerMessage::FactsPart(part) => return format!("facts {}", part.installs.len()),
        ServerMessage::RowsPart(part) => {
            return format!("rows +{} -{}", part.added.len(), part.removed.len());
        }
        ServerMessage::Marker(_) => "marker",
        ServerMessage::Ack(_) => "ack",
        ServerMessage::Resync(_) => "resync",
        ServerMessage::Pong(_) => "pong",
        ServerMessage::Compare(_) => "compare",
        ServerMessage::Stale(_) => "stale",
        ServerMessage::Error(error) => return format!("error {}", error.code),
        _ => "other",
    };
    name.to_owned()
}

//! A tenant and its clients on a network, disk and clock that a seed decides about.
//!
//! One process, one thread, virtual time. Messages travel as bytes; connections break with what is
//! on its way; appends fail, or succeed without the answer being heard of; the tenant and the
//! clients restart from what is durable. Every step checks what must hold at every moment; what
//! must hold in the end is checked by the tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use tercet_engine::answer::{Output, Row};
use tercet_engine::commit::LogRecord;
use tercet_engine::db::Query;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::ids::{Attribute, ClientSeq, EntityId, Epoch, ReplicaId, Seq};
use tercet_engine::limits::Budget;
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::Value;
use tercet_sync::message::{
    ClientMessage, Mode, ServerMessage, SessionId, SubscribedState, SubscriptionId,
};
use tercet_sync::{
    AppendFailure, Cache, CacheEntry, CacheStep, ClientConfig, ClientOutput, ClientPeer, Codec,
    Limits, Outbox, OutboxEntry, Recovery, RequestId, ResumeLimits, Rights, SubscriptionUpdate,
    Tenant, TenantConfig, TenantOutput,
};

const FRAME_BYTES_MAX: u64 = 4 << 20;

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes());
        }
        seed
    }
}

/// A connection with what is on its way.
struct Connection {
    session: SessionId,
    up: VecDeque<Bytes>,
    down: VecDeque<Bytes>,
    is_closing: bool,
}

/// Something for the disk.
enum Write {
    Persist(OutboxEntry),
    Forget(ClientSeq),
    Rewrite(Outbox),
    Epoch(Epoch),
    Cache(Vec<CacheStep>),
}

/// A subscription as its program sees it.
struct Watched {
    query: Query,
    mode: Mode,
    is_pairs: bool,
    rows: Option<Vec<Row>>,
    /// It has been complete: what is missing now was taken away.
    was_complete: bool,
    /// Own tokens that were accepted since it began.
    owed: BTreeSet<String>,
}

pub(crate) struct Client {
    pub(crate) peer: ClientPeer,
    pub(crate) codec: Codec,
    skew_ms: i64,
    connection: Option<Connection>,
    is_connecting: bool,
    wake_at_ms: Option<u64>,
    /// What survives the process.
    disk: Outbox,
    cache: Cache,
    /// What has been handed over, in order, and is not on the disk yet.
    unstored: VecDeque<Write>,
    watched: BTreeMap<SubscriptionId, Watched>,
    /// Own tokens, by the number of their transaction.
    tokens: BTreeMap<ClientSeq, String>,
    /// Tokens that must show in every answer of this process.
    visible: BTreeSet<String>,
    pub(crate) accepted: BTreeSet<String>,
    pub(crate) rejected: BTreeSet<String>,
    pub(crate) n_renumbered: usize,
}

pub(crate) struct Network {
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    pub(crate) epoch: Epoch,
    pub(crate) tenant: Tenant,
    pub(crate) log: Vec<LogRecord>,
    /// Records handed to the disk, without an answer.
    appending: Option<Vec<LogRecord>>,
    pub(crate) clients: Vec<Client>,
    /// The facts of the log, merged beside the tenant.
    witness: Store,
    /// They, at every position of this epoch.
    history: BTreeMap<Seq, Snapshot>,
    n_sessions: u64,
    n_tokens: u64,
    pub(crate) limits: Limits,
    resume_limits: ResumeLimits,
    /// Prints what happens: for a failing seed, by `TERCET_SIM_LOUD`.
    is_loud: bool,
    /// Facts-mode subscriptions leave the mode open, so that they may become rows.
    is_open_mode: bool,
    /// How often each kind of message came through, refusals and joins by their code or state.
    pub(crate) seen: BTreeMap<String, usize>,
}

fn query(text: &str) -> Query {
    Query::prepare(tercet_query_lang::parse(text).unwrap().raw).unwrap()
}

const NOTES: &str = "[:find ?e ?v :where [?e :note/text ?v]]";
const PAIRS: &str = r#"[:find ?x ?y :where ["p1" :pair/value ?x] ["p2" :pair/value ?y]]"#;
const COUNT: &str =
    "[:find ?e (count ?v) :where [?e :note/text ?v] :order-by [[(count ?v) :desc]]]";
const LINKS: &str = "[:find ?e ?t :where [?e :link/to ?f] [?f :note/text ?t]]";

fn tenant_config(random: &mut Random, epoch: Epoch, limits: &Limits) -> TenantConfig {
    TenantConfig {
        epoch,
        replica: ReplicaId(random.next()),
        seed: random.seed(),
        drift_ms_max: 60_000,
        limits: limits.clone(),
        budget: Budget::unlimited(),
    }
}

fn open_tenant(config: TenantConfig, log: &[LogRecord]) -> Tenant {
    let mut recovery = Recovery::new(config);
    for record in log {
        recovery.replay(record.clone()).unwrap();
    }
    recovery.finish()
}

fn new_peer(
    seed: [u8; 32],
    outbox: &Outbox,
    cache: &Cache,
    limits: &Limits,
    now_ms: u64,
) -> ClientPeer {
    let config = ClientConfig {
        key: "key".to_owned(),
        seed,
        durable: true,
        limits: limits.clone(),
        budget: Budget::unlimited(),
    };
    ClientPeer::restore(config, outbox.clone(), cache.clone(), now_ms)
}

fn entity(id: &str) -> EntityId {
    EntityId::new(id).unwrap()
}

fn attribute(name: &str) -> Attribute {
    Attribute::new(name).unwrap()
}

impl Network {
    pub(crate) fn new(seed: u64, n_clients: usize, limits: Limits) -> Network {
        let mut random = Random(seed);
        let epoch = Epoch(random.next());
        let now_ms = 1_700_000_000_000;
        let tenant = open_tenant(tenant_config(&mut random, epoch, &limits), &[]);
        let mut network = Network {
            random,
            now_ms,
            epoch,
            witness: Store::new(),
            history: BTreeMap::from([(Seq(0), Snapshot::default())]),
            tenant,
            log: Vec::new(),
            appending: None,
            clients: Vec::new(),
            n_sessions: 0,
            n_tokens: 0,
            limits,
            resume_limits: ResumeLimits::default(),
            is_loud: std::env::var_os("TERCET_SIM_LOUD").is_some(),
            is_open_mode: false,
            seen: BTreeMap::new(),
        };
        for index in 0..n_clients {
            network.add_client(index);
        }
        network
    }

    /// Sets how much the tenant keeps for those who come back, now and after each restart.
    pub(crate) fn set_resume_limits(&mut self, limits: ResumeLimits) {
        self.resume_limits = limits;
        self.tenant.set_resume_limits(limits);
    }

    /// As [`Network::new`], where every subscription leaves its mode open.
    pub(crate) fn with_open_modes(seed: u64, n_clients: usize, limits: Limits) -> Network {
        let mut network = Network::new(seed, 0, limits);
        network.is_open_mode = true;
        for index in 0..n_clients {
            network.add_client(index);
        }
        network
    }

    fn add_client(&mut self, index: usize) {
        let seed = self.random.seed();
        let outbox = Outbox::default();
        // The second client's clock is an hour ahead, the third's ten minutes behind.
        let skew_ms = [0, 3_600_000, -600_000][index % 3];
        let now_ms = self.now_ms.saturating_add_signed(skew_ms);
        let peer = new_peer(seed, &outbox, &Cache::default(), &self.limits, now_ms);
        let codec = if index.is_multiple_of(2) { Codec::Binary } else { Codec::Json };
        self.clients.push(Client {
            peer,
            codec,
            skew_ms,
            connection: None,
            is_connecting: false,
            wake_at_ms: None,
            disk: outbox,
            cache: Cache::default(),
            unstored: VecDeque::new(),
            watched: BTreeMap::new(),
            tokens: BTreeMap::new(),
            visible: BTreeSet::new(),
            accepted: BTreeSet::new(),
            rejected: BTreeSet::new(),
            n_renumbered: 0,
        });
        self.subscribe_all(index);
        self.run_client(index);
    }

    fn client_now(&self, index: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.clients[index].skew_ms)
    }

    fn subscribe_all(&mut self, index: usize) {
        for (text, mode) in
            [(NOTES, Mode::Facts), (PAIRS, Mode::Auto), (COUNT, Mode::Rows), (LINKS, Mode::Facts)]
        {
            self.subscribe(index, text, mode);
        }
    }

    fn subscribe(&mut self, index: usize, text: &str, mode: Mode) {
        let mode = if self.is_open_mode { Mode::Auto } else { mode };
        let query = query(text);
        let client = &mut self.clients[index];
        let id = client.peer.subscribe(&query, &[], mode).unwrap();
        let is_pairs = text == PAIRS;
        let watched = Watched {
            query,
            mode,
            is_pairs,
            rows: None,
            was_complete: false,
            owed: BTreeSet::new(),
        };
        client.watched.insert(id, watched);
    }

    /// Writes notes that nobody touches again, so that there is something to compare.
    pub(crate) fn preload(&mut self, n_notes: u64) {
        let note = |number: u64| Op::Add {
            e: entity(&format!("k{number}")),
            a: attribute("note/text"),
            v: Value::from(format!("other, kept {number}")),
        };
        let ops = (0..n_notes).map(note).collect();
        self.tenant.transact(RequestId(0), None, ops, Rights { write: true }, self.now_ms);
        self.run_tenant();
        self.finish_append(true);
    }

    // ---- what the parts want done ----

    /// Carries out everything a client wants done.
    fn run_client(&mut self, index: usize) {
        while let Some(output) = self.clients[index].peer.poll() {
            if self.is_loud {
                eprintln!("{} client {index}: {output:?}", self.now_ms);
            }
            let client = &mut self.clients[index];
            match output {
                ClientOutput::Connect => client.is_connecting = true,
                ClientOutput::Disconnect => self.disconnect(index, false),
                ClientOutput::Send(message) => {
                    let bytes = client.codec.encode_client(&message);
                    if let Some(connection) = &mut client.connection {
                        connection.up.push_back(bytes);
                    }
                }
                ClientOutput::WakeAt(at_ms) => client.wake_at_ms = Some(at_ms),
                ClientOutput::Persist(entry) => {
                    client.unstored.push_back(Write::Persist(entry));
                }
                ClientOutput::Forget(number) => {
                    client.unstored.push_back(Write::Forget(number));
                }
                ClientOutput::Rewrite(outbox) => {
                    client.unstored.push_back(Write::Rewrite(outbox));
                }
                ClientOutput::Epoch(epoch) => client.unstored.push_back(Write::Epoch(epoch)),
                ClientOutput::Cache(steps) => client.unstored.push_back(Write::Cache(steps)),
                ClientOutput::Update(update) => self.check_update(index, &update),
                ClientOutput::Failed { subscription, code, message, .. } => {
                    panic!("subscription {subscription} failed: {code}: {message}");
                }
                ClientOutput::SessionFailed { .. } => {}
                ClientOutput::Accepted { number, checkpoint, .. } => {
                    let token = client.tokens.remove(&number).unwrap();
                    client.accepted.insert(token.clone());
                    for watched in client.watched.values_mut() {
                        watched.owed.insert(token.clone());
                    }
                    let is_durable = self.log_tokens().contains(&token);
                    assert!(is_durable, "{token} acknowledged at {checkpoint}, not in the log");
                }
                ClientOutput::Rejected { number, code, .. } => {
                    assert_eq!(code, "cover_in_future");
                    let token = client.tokens.remove(&number).unwrap();
                    assert!(token.starts_with("bad"), "{token} was rejected");
                    client.visible.remove(&token);
                    client.rejected.insert(token);
                }
                ClientOutput::Renumbered { numbers } => {
                    client.n_renumbered += 1;
                    let mut old = std::mem::take(&mut client.tokens);
                    client.tokens = numbers
                        .into_iter()
                        .map(|(from, to)| (to, old.remove(&from).unwrap()))
                        .collect();
                }
                ClientOutput::Status(_) => {}
            }
        }
    }

    /// Carries out everything the tenant wants done.
    fn run_tenant(&mut self) {
        while let Some(output) = self.tenant.poll() {
            if self.is_loud {
                eprintln!("{} tenant: {output:?}", self.now_ms);
            }
            match output {
                TenantOutput::Append(records) => {
                    assert!(self.appending.is_none(), "two appends at once");
                    self.appending = Some(records);
                }
                TenantOutput::Send { session, frame } => {
                    for client in &mut self.clients {
                        let codec = client.codec;
                        if let Some(connection) = &mut client.connection
                            && connection.session == session
                        {
                            connection.down.push_back(frame.bytes(codec));
                            let n_queued = connection.down.len();
                            if n_queued >= self.limits.queue_max as usize {
                                self.tenant.backlog(session, n_queued);
                            }
                        }
                    }
                }
                TenantOutput::Close { session, .. } => {
                    for client in &mut self.clients {
                        if let Some(connection) = &mut client.connection
                            && connection.session == session
                        {
                            connection.is_closing = true;
                        }
                    }
                }
                TenantOutput::Reply { result, .. } => {
                    if let Err(error) = result {
                        assert_eq!(error.code(), "storage_unavailable");
                    }
                }
            }
        }
    }

    fn log_tokens(&self) -> BTreeSet<String> {
        self.log.iter().flat_map(record_tokens).collect()
    }

    // ---- the checks of every moment ----

    fn check_update(&mut self, index: usize, update: &SubscriptionUpdate) {
        let client = &mut self.clients[index];
        let watched = client.watched.get_mut(&update.subscription).unwrap();
        let rows = update.answer.rows.to_vec();

        // The delta leads from what was shown to what is shown.
        let mut expected: BTreeSet<Row> = watched.rows.take().into_iter().flatten().collect();
        for row in &update.delta.removed {
            assert!(expected.remove(row), "removed a row that was not there: {row:?}");
        }
        for row in &update.delta.added {
            assert!(expected.insert(row.clone()), "added a row that was there: {row:?}");
        }
        assert_eq!(expected, rows.iter().cloned().collect(), "delta and answer differ");
        watched.rows = Some(rows.clone());

        // Transactions are shown whole.
        if watched.is_pairs {
            for row in &rows {
                assert_eq!(row[0], row[1], "half a transaction is shown");
            }
        }

        // A complete answer is the server's at the position.
        if update.complete && !update.pending {
            let position = client.peer.position().unwrap();
            assert_eq!(position.epoch, self.epoch);
            let server = watched.query.run(&self.history[&position.seq], &[], &Budget::unlimited());
            assert_eq!(update.answer.rows, server.unwrap().rows, "client {index} at {position}");
        }

        // Own writes are shown from the moment they are made, without a gap; an answer that was
        // never complete need not show those that were accepted before it was asked for.
        watched.was_complete |= update.complete;
        // Rows of the server show no pending writes.
        if watched.query.raw() == query(NOTES).raw() && !self.is_open_mode {
            let shown: BTreeSet<String> = rows.iter().filter_map(|row| text_of(&row[1])).collect();
            let earlier = client.visible.iter().filter(|_| watched.was_complete);
            for token in client.tokens.values().chain(&watched.owed).chain(earlier) {
                assert!(shown.contains(token), "client {index}: {token} flickers");
            }
            for token in &client.rejected {
                assert!(!shown.contains(token), "client {index}: {token} is still shown");
            }
        }
    }

    // ---- what can happen ----

    fn connect(&mut self, index: usize) {
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        client.is_connecting = false;
        self.n_sessions += 1;
        let session = SessionId(self.n_sessions);
        let (up, down) = (VecDeque::new(), VecDeque::new());
        client.connection = Some(Connection { session, up, down, is_closing: false });
        client.peer.opened(now_ms);
        self.run_client(index);
    }

    /// The connection breaks, with all that is on its way. `heard`: the client is told.
    fn disconnect(&mut self, index: usize, heard: bool) {
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        client.is_connecting = false;
        if let Some(connection) = client.connection.take() {
            self.tenant.disconnect(connection.session);
        }
        if heard {
            self.clients[index].peer.closed(now_ms);
        }
    }

    fn deliver_up(&mut self, index: usize, doubled: bool) {
        let client = &mut self.clients[index];
        let codec = client.codec;
        let Some(connection) = &mut client.connection else { return };
        let Some(bytes) = connection.up.pop_front() else { return };
        let session = connection.session;
        let message = codec.decode_client(&bytes, FRAME_BYTES_MAX).unwrap();
        match message {
            ClientMessage::Hello(hello) => {
                self.tenant.connect(session, Rights { write: true }, &hello, self.now_ms);
            }
            ClientMessage::Push(_) if doubled => {
                self.tenant.receive(session, message.clone(), self.now_ms);
                self.tenant.receive(session, message, self.now_ms);
            }
            message => self.tenant.receive(session, message, self.now_ms),
        }
        self.run_tenant();
    }

    fn deliver_down(&mut self, index: usize) {
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        let codec = client.codec;
        let Some(connection) = &mut client.connection else { return };
        match connection.down.pop_front() {
            Some(bytes) => {
                if connection.down.is_empty() {
                    self.tenant.backlog(connection.session, 0);
                }
                let message: ServerMessage = codec.decode_server(&bytes, FRAME_BYTES_MAX).unwrap();
                *self.seen.entry(kind_of(&message)).or_default() += 1;
                client.peer.received(message, now_ms);
                self.run_client(index);
                self.run_tenant();
            }
            None if connection.is_closing => {
                self.disconnect(index, true);
                self.run_client(index);
            }
            None => {}
        }
    }

    fn transact(&mut self, index: usize) {
        self.n_tokens += 1;
        let is_bad = self.random.below(12) == 0;
        let token = format!("{}{}", if is_bad { "bad" } else { "t" }, self.n_tokens);
        let note = entity(&format!("n{}", self.random.below(4)));
        let a = attribute("note/text");
        let mut ops =
            vec![Op::Add { e: note.clone(), a: a.clone(), v: Value::from(token.clone()) }];
        match self.random.below(6) {
            0 | 1 => {
                for e in ["p1", "p2"] {
                    let v = Value::int(self.n_tokens.cast_signed());
                    ops.push(Op::Set { e: entity(e), a: attribute("pair/value"), v });
                }
            }
            2 => ops.push(Op::Set {
                e: entity(&format!("l{}", self.random.below(3))),
                a: attribute("link/to"),
                v: Value::Ref(note),
            }),
            3 => {
                let e = entity(&format!("d{}", self.random.below(3)));
                ops.push(match self.random.below(3) {
                    0 => Op::Delete { e },
                    1 => Op::Restore { e, covers: None },
                    _ => Op::Unset { e, a: attribute("x/y") },
                });
            }
            4 => {
                // Writes to an entity that others may delete; it may fail early, then without it.
                let e = entity(&format!("d{}", self.random.below(3)));
                let v = Value::from(format!("other{}", self.n_tokens));
                ops.push(Op::Add { e, a, v });
            }
            _ => {}
        }
        if is_bad {
            let covers = Some("ffffffffffffffffffffffffffffffffffff".parse().unwrap());
            let v = Value::int(1);
            ops.push(Op::Remove { e: entity("n0"), a: attribute("note/text"), v, covers });
        }
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        match client.peer.transact(ops, now_ms) {
            Ok(number) => {
                client.tokens.insert(number, token.clone());
                client.visible.insert(token);
            }
            Err(error) => assert_eq!(error.code(), "entity_deleted"),
        }
        self.run_client(index);
    }

    fn store(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let numbers = match client.unstored.pop_front() {
            None => return,
            Some(Write::Persist(entry)) => {
                let number = entry.number;
                client.disk.last_number = number;
                client.disk.entries.push(entry);
                vec![number]
            }
            Some(Write::Forget(number)) => {
                client.disk.entries.retain(|entry| entry.number != number);
                Vec::new()
            }
            Some(Write::Rewrite(outbox)) => {
                client.disk = outbox;
                client.disk.entries.iter().map(|entry| entry.number).collect()
            }
            Some(Write::Epoch(epoch)) => {
                client.disk.epoch = Some(epoch);
                Vec::new()
            }
            Some(Write::Cache(steps)) => {
                client.cache.follow(steps);
                Vec::new()
            }
        };
        for number in numbers {
            client.peer.stored(number);
        }
        self.run_client(index);
    }

    fn finish_append(&mut self, is_ok: bool) {
        let Some(records) = self.appending.take() else { return };
        if is_ok {
            for record in records {
                self.witness(&record);
                self.log.push(record);
            }
            self.tenant.appended(Ok(()), self.now_ms);
        } else {
            let message = "the simulated disk failed".to_owned();
            self.tenant.appended(Err(AppendFailure { message }), self.now_ms);
        }
        self.run_tenant();
    }

    /// Merges a record as a replay would, and keeps the facts at its position.
    fn witness(&mut self, record: &LogRecord) {
        if let LogRecord::Commit { seq, transaction, .. } = record {
            self.witness.apply(transaction);
            self.history.insert(*seq, self.witness.snapshot());
        }
    }

    /// The tenant's process dies. An append under way may have reached the disk.
    fn restart_tenant(&mut self) {
        if let Some(records) = self.appending.take()
            && self.random.below(2) == 0
        {
            self.appending = Some(records);
            self.finish_append(true);
            self.appending = None;
        }
        for index in 0..self.clients.len() {
            self.disconnect(index, true);
        }
        let config = tenant_config(&mut self.random, self.epoch, &self.limits);
        self.tenant = open_tenant(config, &self.log);
        self.tenant.set_resume_limits(self.resume_limits);
        for index in 0..self.clients.len() {
            self.run_client(index);
        }
    }

    /// A backup is restored: the end of the log is gone, the history is another one.
    pub(crate) fn restore_backup(&mut self, n_records: usize) {
        self.appending = None;
        self.log.truncate(n_records);
        self.epoch = Epoch(self.random.next());
        for index in 0..self.clients.len() {
            self.disconnect(index, true);
            // What was accepted may be gone with the old history.
            let client = &mut self.clients[index];
            client.visible = client.tokens.values().cloned().collect();
            client.accepted.clear();
            for watched in client.watched.values_mut() {
                (watched.was_complete, watched.owed) = (false, BTreeSet::new());
            }
        }
        let config = tenant_config(&mut self.random, self.epoch, &self.limits);
        self.tenant = open_tenant(config, &self.log);
        self.tenant.set_resume_limits(self.resume_limits);
        self.witness = Store::new();
        self.history = BTreeMap::from([(Seq(0), self.witness.snapshot())]);
        for record in self.log.clone() {
            self.witness(&record);
        }
        for index in 0..self.clients.len() {
            self.run_client(index);
        }
    }

    /// A client's process dies and starts again from its outbox.
    fn restart_client(&mut self, index: usize) {
        self.disconnect(index, false);
        let seed = self.random.seed();
        let now_ms = self.client_now(index);
        let client = &mut self.clients[index];
        client.unstored.clear();
        let entries = client.disk.entries.iter();
        client.tokens = entries.map(|entry| (entry.number, token_of(&entry.transaction))).collect();
        client.visible = client.tokens.values().cloned().collect();
        // What the disk had not forgotten is pending again, until it gets its answer again.
        client.rejected.retain(|token| !client.visible.contains(token));
        client.peer = new_peer(seed, &client.disk, &client.cache, &self.limits, now_ms);
        client.watched.clear();
        client.wake_at_ms = None;
        client.is_connecting = false;
        self.check_cache(index);
        self.subscribe_all(index);
        self.run_client(index);
    }

    /// What was stored of the cache is what was held: nothing is found to be damaged, and facts
    /// that the cache has are read before any connection.
    fn check_cache(&mut self, index: usize) {
        let client = &self.clients[index];
        let current = |entry: &&CacheEntry| entry.header.frozen_at.is_none();
        let cached: BTreeSet<_> = match client.cache.head {
            Some(_) => client.cache.entries.iter().filter(current).collect::<Vec<_>>(),
            None => Vec::new(),
        }
        .into_iter()
        .flat_map(|entry| entry.facts.iter().map(|(fact, _)| fact.clone()))
        .collect();
        let n_held = client.peer.n_facts_held();
        assert_eq!(n_held, cached.len(), "a cached subscription was dropped");
        if n_held > 0 {
            *self.seen.entry("restored".to_owned()).or_default() += 1;
        }
    }

    /// One thing happens.
    pub(crate) fn step(&mut self) {
        let index = self.random.below(self.clients.len() as u64) as usize;
        let dice = self.random.below(1_000);
        if self.is_loud {
            eprintln!("{} client {index}: dice {dice}", self.now_ms);
        }
        match dice {
            0..250 => self.deliver_up(index, dice < 20),
            250..600 => self.deliver_down(index),
            600..700 => self.transact(index),
            700..790 => self.store(index),
            790..870 => self.finish_append(dice >= 800),
            870..880 => {
                self.disconnect(index, true);
                self.run_client(index);
            }
            880..883 => self.restart_tenant(),
            883..886 => self.restart_client(index),
            886..896 => {
                // One of the standing queries goes away and comes back.
                let client = &mut self.clients[index];
                let ids: Vec<_> = client.watched.keys().copied().collect();
                let id = ids[self.random.below(ids.len() as u64) as usize];
                let client = &mut self.clients[index];
                let watched = client.watched.remove(&id).unwrap();
                client.peer.unsubscribe(id);
                self.run_client(index);
                let text = tercet_query_lang::print(watched.query.raw());
                self.subscribe(index, &text, watched.mode);
                let last = self.clients[index].watched.values_mut().last().unwrap();
                last.is_pairs = watched.is_pairs;
                self.run_client(index);
            }
            _ => self.pass_time(index),
        }
        if self.clients[index].is_connecting && self.random.below(4) > 0 {
            self.connect(index);
        }
    }

    fn pass_time(&mut self, index: usize) {
        self.now_ms += self.random.below(400);
        self.tenant.tick(self.now_ms);
        self.run_tenant();
        self.wake(index);
    }

    fn wake(&mut self, index: usize) {
        let now_ms = self.client_now(index);
        if self.clients[index].wake_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.clients[index].wake_at_ms = None;
            self.clients[index].peer.tick(now_ms);
            self.run_client(index);
        }
    }

    /// Nothing fails any more, until nothing happens any more.
    pub(crate) fn heal(&mut self) {
        for _ in 0..600 {
            for index in 0..self.clients.len() {
                if self.clients[index].is_connecting {
                    self.connect(index);
                }
                while !self.clients[index].unstored.is_empty() {
                    self.store(index);
                }
                let n_up = |network: &Network| {
                    network.clients[index].connection.as_ref().map_or(0, |it| it.up.len())
                };
                while n_up(self) > 0 {
                    self.deliver_up(index, false);
                }
            }
            self.finish_append(true);
            for index in 0..self.clients.len() {
                let n_down = |network: &Network| {
                    network.clients[index].connection.as_ref().map_or(0, |it| it.down.len())
                };
                while n_down(self) > 0 {
                    self.deliver_down(index);
                }
                self.deliver_down(index);
                self.wake(index);
            }
            self.now_ms += 250;
            self.tenant.tick(self.now_ms);
            self.run_tenant();
        }
    }

    // ---- the checks of the end ----

    /// Everything is answered, and everyone shows what the server has.
    pub(crate) fn check_converged(&self) {
        let (snapshot, checkpoint) = self.tenant.snapshot();
        assert!(same_facts(&snapshot, &self.history[&checkpoint.seq]), "replay differs");
        for (index, client) in self.clients.iter().enumerate() {
            assert_eq!(client.peer.n_unanswered(), 0, "client {index} waits for answers");
            for (id, watched) in &client.watched {
                let server = watched.query.run(&snapshot, &[], &Budget::unlimited()).unwrap();
                let shown = watched.rows.as_ref();
                assert_eq!(shown, Some(&server.rows.to_vec()), "client {index}, subscription {id}");
            }
        }
    }

    /// Every token is in the log at most once, and the acknowledged ones are.
    pub(crate) fn check_exactly_once(&self) {
        let tokens: Vec<String> = self.log.iter().flat_map(record_tokens).collect();
        let unique: BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(unique.len(), tokens.len(), "a transaction was committed twice");
        for client in &self.clients {
            for token in &client.accepted {
                assert!(unique.contains(token), "{token} was acknowledged and is lost");
            }
            for token in &client.rejected {
                assert!(!unique.contains(token), "{token} was rejected and is there");
            }
        }
    }
}

fn kind_of(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Refused(refused) => refused.code.clone(),
        ServerMessage::Reject(reject) => reject.code.clone(),
        ServerMessage::Stale(stale) => stale.code.clone(),
        ServerMessage::Error(error) => error.code.clone(),
        ServerMessage::Subscribed(subscribed) => match subscribed.state {
            SubscribedState::Buckets { .. } => "Buckets".to_owned(),
            ref state => format!("{state:?}"),
        },
        ServerMessage::Compare(_) => "compare".to_owned(),
        ServerMessage::Resync(_) => "resync".to_owned(),
        ServerMessage::Ack(_) => "ack".to_owned(),
        ServerMessage::Pong(_) => "pong".to_owned(),
        _ => "other".to_owned(),
    }
}

fn token_of(transaction: &Transaction) -> String {
    tokens_of(transaction).remove(0)
}

fn record_tokens(record: &LogRecord) -> Vec<String> {
    match record {
        LogRecord::Commit { transaction, .. } => tokens_of(transaction),
        LogRecord::Reject { .. } => Vec::new(),
    }
}

fn tokens_of(transaction: &Transaction) -> Vec<String> {
    let token = |op: &Op| match op {
        Op::Add { v: Value::String(text), .. } if !text.starts_with("other") => {
            Some(text.to_string())
        }
        _ => None,
    };
    transaction.ops.iter().filter_map(token).collect()
}

fn text_of(output: &Output) -> Option<String> {
    match output {
        Output::Value(Value::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn same_facts(a: &Snapshot, b: &Snapshot) -> bool {
    let sorted = |snapshot: &Snapshot| {
        let mut facts: Vec<_> = snapshot.iter().collect();
        facts.sort_unstable();
        facts
    };
    sorted(a) == sorted(b)
}

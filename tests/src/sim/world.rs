//! Everything of a run, and the queue of what happens next.
//!
//! One thread, virtual milliseconds. Events are taken in order of time, and of when they were
//! asked for; what they lead to is again events. First things fail (safety), then nothing fails any
//! more and everything must come to rest (liveness).

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::ids::{ClientId, ClientSeq, Epoch};
use tercet_engine::limits::Budget;
use tercet_sync::Limits;

use super::broken::{Broken, Invariant};
use super::client::Client;
use super::faults::{Kind, interval_ms, next_ms};
use super::network::{Connection, ConnectionId, Direction};
use super::paths::Paths;
use super::plan::{Plan, Stream};
use super::question::Topic;
use super::server::Server;
use super::trace::Trace;
use super::witness::{Log, Witness, Writing};
use crate::random::Random;

/// When runs begin; early enough that no clock of a run is before the epoch of time.
pub(super) const START_MS: u64 = 1_700_000_000_000;

/// How far ahead of a server's time a stamp may be.
pub(super) const DRIFT_MS_MAX: u64 = 60_000;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// The frame in front of a direction arrives.
    Arrive(ConnectionId, Direction),
    /// A client's attempt to connect has an outcome. With the process that began it.
    Connect(usize, u64),
    /// A client asked to be woken up now, by its own clock's time.
    Wake { client: usize, alarm: u64, at_ms: u64 },
    /// A client's disk has done the next thing.
    Stored(usize, u64),
    /// A client's program does something.
    Act(usize),
    /// A client's process begins again.
    StartClient(usize),
    /// A server's tick.
    Tick(usize),
    /// An append has reached the disk, or not.
    Durable { server: usize, tenant: usize, host: u64 },
    /// The outcome of an append is heard of.
    Appended { server: usize, tenant: usize, host: u64, outcome: Outcome },
    /// A server's process begins again.
    StartServer(usize),
    /// A caller of HTTP sends its next transaction, or the last one again.
    Import(usize),
    /// A fault strikes.
    Strike(Kind),
}

/// What an append says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    /// Certainly not stored.
    Full,
    /// Nobody knows, or another owner: the tenant is loaded again.
    Failed,
}

/// A tenant: its log, who owns it, and what is asked and written there.
pub(super) struct App {
    pub(super) log: Log,
    pub(super) witness: Witness,
    /// The server that clients are led to.
    pub(super) owner: usize,
    pub(super) topic: Topic,
    pub(super) random: Random,
    pub(super) full_until_ms: u64,
    /// What is known of each token that was ever written.
    pub(super) writings: BTreeMap<String, Writing>,
    /// The greatest stamp that may be accepted, in milliseconds: by the latest time any owner had.
    pub(super) ahead_ms_max: u64,
    pub(super) importer: super::import::Importer,
    /// Numbers that were acknowledged to their clients.
    pub(super) acknowledged: BTreeSet<(ClientId, ClientSeq)>,
}

/// Everything of a run.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now_ms: u64,
    n_scheduled: u64,
    events: BTreeMap<(u64, u64), Event>,
    pub(super) apps: Vec<App>,
    pub(super) servers: Vec<Server>,
    pub(super) clients: Vec<Client>,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) n_connections: u64,
    /// Until when no frame passes.
    pub(super) partitions: BTreeMap<(usize, usize, Direction), u64>,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) network: Random,
    pub(super) checks: Random,
    strikes: BTreeMap<Kind, (Random, u64)>,
    pub(super) healed_at_ms: Option<u64>,
    pub(super) paths: Paths,
    pub(super) trace: Trace,
    pub(super) broken: Option<Broken>,
    /// Client ids that may be used by two processes, or by one that has forgotten something.
    pub(super) twins: BTreeSet<String>,
}

impl World {
    /// The beginning of a run.
    pub(super) fn new(plan: Plan, is_loud: bool) -> World {
        let limits = match plan.is_tight {
            true => Limits {
                queue_max: 12,
                unanswered_max: 3,
                support_facts_max: 40,
                ..Limits::default()
            },
            false => Limits::default(),
        };
        let mut servers = plan.stream(Stream::Servers);
        let apps = (0..plan.n_tenants).map(|index| App::new(&plan, index, &mut servers)).collect();
        let n_servers = plan.n_servers;
        let mut world = World {
            plan,
            now_ms: START_MS,
            n_scheduled: 0,
            events: BTreeMap::new(),
            apps,
            servers: (0..n_servers).map(|_| Server::new(&mut servers)).collect(),
            clients: Vec::new(),
            connections: BTreeMap::new(),
            n_connections: 0,
            partitions: BTreeMap::new(),
            limits,
            // Enough for what is asked, and an end for what a draw makes endless.
            budget: Budget { rows: Some(20_000), bytes: Some(64 << 20), ..Budget::unlimited() },
            network: plan.stream(Stream::Network),
            checks: plan.stream(Stream::Checks),
            strikes: BTreeMap::new(),
            healed_at_ms: None,
            paths: Paths::default(),
            trace: Trace::new(is_loud),
            broken: None,
            twins: BTreeSet::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for tenant in 0..self.apps.len() {
            self.found(tenant);
            self.schedule_in(500, Event::Import(tenant));
        }
        for server in 0..self.servers.len() {
            self.schedule_in(1_000, Event::Tick(server));
        }
        for _ in 0..self.plan.n_clients {
            self.add_client();
        }
        for kind in self.plan.faults.kinds() {
            let mut random = self.plan.stream(Stream::Fault(kind));
            let interval_ms = interval_ms(&mut random, kind, self.plan.duration_ms);
            let after_ms = next_ms(&mut random, interval_ms);
            self.strikes.insert(kind, (random, interval_ms));
            self.schedule_in(after_ms, Event::Strike(kind));
        }
    }

    /// Lets something happen after a while.
    pub(super) fn schedule_in(&mut self, after_ms: u64, event: Event) {
        self.schedule_at(self.now_ms + after_ms, event);
    }

    /// Lets something happen at a time.
    pub(super) fn schedule_at(&mut self, at_ms: u64, event: Event) {
        self.n_scheduled += 1;
        self.events.insert((at_ms.max(self.now_ms), self.n_scheduled), event);
    }

    /// The first part: things fail.
    pub(super) fn run_with_faults(&mut self) {
        let end_ms = START_MS + self.plan.duration_ms;
        while self.broken.is_none() && self.step(end_ms) {}
        self.now_ms = end_ms;
    }

    /// The next event, if it is due before a time.
    pub(super) fn step(&mut self, end_ms: u64) -> bool {
        let Some(entry) = self.events.first_entry() else { return false };
        let (at_ms, _) = *entry.key();
        if at_ms >= end_ms {
            return false;
        }
        let event = entry.remove();
        self.now_ms = at_ms;
        self.trace.number(at_ms);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(id, direction) => self.arrive(id, direction),
            Event::Connect(client, process) => self.connect(client, process),
            Event::Wake { client, alarm, at_ms } => self.wake(client, alarm, at_ms),
            Event::Stored(client, process) => self.stored(client, process),
            Event::Act(client) => self.act(client),
            Event::StartClient(client) => self.start_client(client),
            Event::Tick(server) => self.tick(server),
            Event::Durable { server, tenant, host } => self.durable(server, tenant, host),
            Event::Appended { server, tenant, host, outcome } => {
                self.appended(server, tenant, host, outcome);
            }
            Event::StartServer(server) => self.start_server(server),
            Event::Import(tenant) => self.import(tenant),
            Event::Strike(kind) => self.strike_again(kind),
        }
    }

    fn strike_again(&mut self, kind: Kind) {
        if self.healed_at_ms.is_some() {
            return;
        }
        let Some((mut random, interval_ms)) = self.strikes.remove(&kind) else { return };
        self.trace.tell(self.now_ms - START_MS, || format!("strike: {}", kind.text()));
        self.strike(kind, &mut random);
        let after_ms = next_ms(&mut random, interval_ms);
        self.strikes.insert(kind, (random, interval_ms));
        self.schedule_in(after_ms, Event::Strike(kind));
    }

    /// How long the next frame or answer takes.
    pub(super) fn latency_ms(&mut self) -> u64 {
        let is_slow = self.plan.faults.has(Kind::Delay)
            && self.healed_at_ms.is_none()
            && self.network.chance(4);
        let latency_ms = 1 + self.network.skewed(40);
        (latency_ms * if is_slow { 1 + self.network.below(80) } else { 1 }) as u64
    }

    /// Records that something does not hold; the first time is what counts.
    pub(super) fn fail(&mut self, invariant: Invariant, text: impl Into<String>) {
        let at_ms = self.now_ms - START_MS;
        self.broken.get_or_insert_with(|| Broken { invariant, at_ms, text: text.into() });
    }

    /// Tells the story where somebody reads it.
    pub(super) fn tell(&self, story: impl FnOnce() -> String) {
        self.trace.tell(self.now_ms - START_MS, story);
    }
}

impl App {
    fn new(plan: &Plan, index: usize, servers: &mut Random) -> App {
        let mut random = plan.stream(Stream::Tenant(index));
        let epoch = Epoch(random.bits());
        App {
            log: Log::new(epoch),
            witness: Witness::new(epoch),
            owner: servers.below(plan.n_servers),
            topic: Topic::draw(&mut random, plan.n_questions),
            random,
            full_until_ms: 0,
            writings: BTreeMap::new(),
            ahead_ms_max: 0,
            importer: super::import::Importer::new(index),
            acknowledged: BTreeSet::new(),
        }
    }
}

/// A clock that may be wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HostClock {
    pub(super) offset_ms: i64,
    /// Parts in a million by which it is fast.
    pub(super) drift: i64,
}

impl HostClock {
    /// What it shows.
    pub(super) fn show(&self, now_ms: u64) -> u64 {
        let passed_ms = (now_ms - START_MS).cast_signed();
        now_ms.saturating_add_signed(self.offset_ms + passed_ms * self.drift / 1_000_000)
    }
}

//! What each kind of fault does when it strikes.

use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, Epoch, ReplicaId};
use tercet_sync::message::{Hello, PROTOCOL, Push};
use tercet_sync::{ClientMessage, Codec, Rights, SessionId};

use super::faults::Kind;
use super::network::{ConnectionId, Direction, FRAME_BYTES_MAX, Frame};
use super::paths::{Path, sometimes};
use super::question::{bad_op, token_op};
use super::server::Moment;
use super::witness::{Witness, Writing};
use super::world::{START_MS, World};
use crate::random::Random;

/// More clients than this are not made by twins.
const CLIENTS_MAX: usize = 16;

impl World {
    /// A fault strikes.
    pub(super) fn strike(&mut self, kind: Kind, random: &mut Random) {
        let client = random.below(self.clients.len());
        let server = random.below(self.servers.len());
        let tenant = random.below(self.apps.len());
        let until_ms = self.now_ms + 100 + random.skewed(12_000) as u64;
        match kind {
            Kind::Drop | Kind::HalfOpen | Kind::Late | Kind::Cut | Kind::Clog => {
                let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
                if !ids.is_empty() {
                    let id = *random.pick(&ids);
                    self.strike_connection(kind, id, until_ms, random);
                }
            }
            Kind::Delay | Kind::Volatile | Kind::Io | Kind::SlowDisk => {}
            Kind::Partition => {
                let directions = *random.pick(&[
                    [Direction::Up, Direction::Up],
                    [Direction::Down, Direction::Down],
                    [Direction::Up, Direction::Down],
                ]);
                for direction in directions {
                    self.partitions.insert((client, server, direction), until_ms);
                }
            }
            Kind::Slow => {
                let is_slow = self.clients[client].reads_every_ms > 0;
                let every_ms = if is_slow { 0 } else { 50 + random.below(800) as u64 };
                self.clients[client].reads_every_ms = every_ms;
            }
            Kind::Crash if self.servers[server].is_up => self.crash_server(server),
            Kind::Crash => {}
            Kind::CrashBefore => self.servers[server].dies_at = Some(Moment::BeforeCommit),
            Kind::CrashAfter => self.servers[server].dies_at = Some(Moment::AfterCommit),
            Kind::CrashMid => self.servers[server].dies_at = Some(Moment::InBroadcast),
            Kind::ClientCrash => self.crash_client(client, false),
            Kind::Torn => self.crash_client(client, true),
            Kind::Rollback => self.roll_back(client),
            Kind::Twin if self.clients.len() < CLIENTS_MAX && self.clients[client].has_outbox => {
                sometimes!(self, ClientTwice);
                self.add_twin(client);
            }
            Kind::Twin => {}
            Kind::Drift => {
                self.clients[client].clock.drift = random.below(400_000) as i64 - 200_000;
            }
            Kind::Jump => self.jump(client, server, random),
            Kind::Freeze => match random.chance(70) {
                true => self.clients[client].frozen_until_ms = until_ms,
                false => self.servers[server].frozen_until_ms = until_ms,
            },
            Kind::Hostile => self.intrude(tenant, random),
            Kind::Full => self.apps[tenant].full_until_ms = until_ms,
            Kind::Restore => self.restore(tenant, random),
            Kind::Evict => self.evict(tenant),
            Kind::Owner => {
                let owner = self.apps[tenant].owner;
                self.apps[tenant].owner = (owner + 1) % self.servers.len();
            }
            Kind::Rights => self.change_rights(client),
        }
    }

    fn strike_connection(
        &mut self,
        kind: Kind,
        id: ConnectionId,
        until_ms: u64,
        random: &mut Random,
    ) {
        match kind {
            Kind::Clog => {
                let Some(connection) = self.connections.get_mut(&id) else { return };
                let pipe = match random.chance(50) {
                    true => &mut connection.up,
                    false => &mut connection.down,
                };
                pipe.clogged_until_ms = until_ms;
            }
            Kind::Drop => {
                self.lose_frames(id, Direction::Up, 0);
                self.lose_frames(id, Direction::Down, 0);
                self.server_loses(id);
                self.client_loses(id);
                self.connections.remove(&id);
            }
            Kind::HalfOpen if random.chance(50) => {
                self.lose_frames(id, Direction::Up, 0);
                self.client_hangs_up(id, false);
            }
            Kind::HalfOpen => {
                self.lose_frames(id, Direction::Down, 0);
                self.server_loses(id);
                self.server_lets_go(id, false);
            }
            Kind::Late => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.up.clogged_until_ms = until_ms;
                }
                self.client_hangs_up(id, true);
            }
            _ => self.cut(id, random),
        }
    }

    /// The client's side gives the connection up by itself.
    fn client_hangs_up(&mut self, id: ConnectionId, says_so: bool) {
        let Some(connection) = self.connections.get(&id) else { return };
        let client = connection.client;
        if self.clients[client].connection != Some(id) {
            return;
        }
        self.client_lets_go(id, says_so);
        let now_ms = self.client_now(client);
        if let Some(peer) = &mut self.clients[client].peer {
            peer.closed(now_ms);
        }
        self.run_client(client);
    }

    /// The last frame on its way is cut, and nothing follows it.
    fn cut(&mut self, id: ConnectionId, random: &mut Random) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = match random.chance(50) {
            true => &mut connection.up,
            false => &mut connection.down,
        };
        if let Some((_, frame)) = pipe.frames.back_mut()
            && let Frame::Whole(bytes) = frame
            && bytes.len() > 1
        {
            *frame = Frame::Cut(bytes.slice(..random.below(bytes.len() - 1)));
            sometimes!(self, CutFrame);
        }
    }

    /// A client dies, and its outbox is as it was.
    fn roll_back(&mut self, client: usize) {
        let state = &self.clients[client];
        if state.peer.is_none() || !state.has_outbox {
            return;
        }
        self.forget_identity(client);
        self.crash_client(client, true);
        let disk = &mut self.clients[client].disk;
        disk.saved = disk.older.clone();
        sometimes!(self, OutboxRolledBack);
    }

    fn jump(&mut self, client: usize, server: usize, random: &mut Random) {
        let by_ms = *random.pick(&[-3_600_000, -30_000, -1_500, 1_500, 50_000, 120_000, 7_200_000]);
        match random.chance(75) {
            true => self.clients[client].clock.offset_ms += by_ms,
            false => self.servers[server].clock.offset_ms += by_ms,
        }
    }

    /// A peer says what no client would: stamps and covers from the future, numbers out of order,
    /// another transaction under the same number, half a frame.
    fn intrude(&mut self, tenant: usize, random: &mut Random) {
        let server = self.apps[tenant].owner;
        if !self.servers[server].is_up {
            return;
        }
        self.host(server, tenant);
        self.n_connections += 1;
        let session = SessionId(self.n_connections);
        let name = format!("intruder-{}", random.below(3));
        let hello = Hello {
            protocol: PROTOCOL,
            key: "key".to_owned(),
            client: ClientId::new(name.clone()).expect("short"),
            last_number: ClientSeq(random.below(3) as u64),
            received: ClientSeq(random.below(3) as u64),
            position: None,
        };
        let now_ms = self.server_now(server, tenant);
        let ahead = Hlc::new(now_ms + 7_200_000, 0, ReplicaId(random.bits()));
        let n_drift = self.paths.count(Path::ClockDrift);
        self.with_tenant(server, tenant, |tenant, now_ms| {
            tenant.connect(session, Rights { write: true }, &hello, now_ms);
        });
        for index in 0..2 + random.below(4) {
            let token = format!("x:{tenant}:{}:{index}", self.n_connections);
            let number = ClientSeq(random.below(6) as u64);
            let fair = Hlc::new(now_ms, index as u16, ReplicaId(random.bits()));
            let is_fair = random.chance(30);
            let mut ops = vec![token_op(&token)];
            if random.chance(25) {
                ops.push(bad_op());
            }
            let hlc = if is_fair { fair } else { ahead };
            let push = Push { number, transaction: Transaction { hlc, ops } };
            let writing = Writing { seen: None, may_repeat: true };
            self.apps[tenant].writings.insert(token, writing);
            self.twins.insert(name.clone());
            let message = ClientMessage::Push(push);
            let bytes = Codec::Binary.encode_client(&message);
            let half = &bytes[..bytes.len() / 2];
            assert!(Codec::Binary.decode_client(half, FRAME_BYTES_MAX).is_err());
            self.with_tenant(server, tenant, |tenant, now_ms| {
                tenant.receive(session, message, now_ms);
            });
        }
        self.with_tenant(server, tenant, |tenant, _| tenant.disconnect(session));
        sometimes!(self, HostileRefused, self.paths.count(Path::ClockDrift) > n_drift);
    }

    /// The end of a tenant's log is gone, and another history begins.
    fn restore(&mut self, tenant: usize, random: &mut Random) {
        for server in 0..self.servers.len() {
            self.let_go(server, tenant, true);
        }
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            if self.connections[&id].tenant == tenant {
                self.lose_frames(id, Direction::Up, 0);
                self.lose_frames(id, Direction::Down, 0);
                self.client_loses(id);
                self.connections.remove(&id);
            }
        }
        let app = &mut self.apps[tenant];
        let n_founding = app.topic.stream.start.len();
        let n_kept = n_founding + random.below(app.log.records.len() - n_founding + 1);
        app.log.records.truncate(n_kept);
        app.log.epoch = Epoch(random.bits());
        app.importer.begin_anew();
        app.witness = Witness::new(app.log.epoch);
        for record in &app.log.records {
            // What was right to commit is right to keep.
            let kept = app.witness.append(record, u64::MAX, &Default::default(), &self.twins);
            kept.expect("it was witnessed before");
        }
        sometimes!(self, BackupRestored);
        for client in 0..self.clients.len() {
            if self.clients[client].tenant == tenant {
                self.forget_history(client);
            }
        }
    }

    /// What a client was promised by a history that is gone, it is not owed any more.
    fn forget_history(&mut self, client: usize) {
        self.forget_identity(client);
        let state = &mut self.clients[client];
        state.visible = state.tokens.values().cloned().collect();
        state.accepted.clear();
        for watched in state.watched.values_mut() {
            watched.forget_history();
        }
    }

    /// The owner unloads a tenant.
    fn evict(&mut self, tenant: usize) {
        let server = self.apps[tenant].owner;
        if self.servers[server].hosted.contains_key(&tenant) {
            self.check_memory(server, tenant);
            self.let_go(server, tenant, true);
            sometimes!(self, Evicted);
        }
    }

    /// What a client may do changes; it holds from its next session on.
    fn change_rights(&mut self, client: usize) {
        let state = &mut self.clients[client];
        state.may_write = !state.may_write;
        state.was_refused_rights = true;
        if let Some(id) = state.connection {
            self.server_loses(id);
            self.server_lets_go(id, true);
        }
    }

    /// The first facts of a tenant, as if they had been imported long ago.
    pub(super) fn found(&mut self, tenant: usize) {
        let app = &mut self.apps[tenant];
        let mut store = tercet_engine::store::Store::new();
        let client = ClientId::new("founder").expect("short");
        for (transaction, number) in app.topic.stream.start.clone().iter().zip(1..) {
            let transaction = store.accept(transaction).transaction;
            let record = LogRecord::Commit {
                seq: tercet_engine::ids::Seq(number),
                at_ms: START_MS,
                origin: tercet_engine::commit::Origin {
                    client: client.clone(),
                    number: ClientSeq(number),
                    digest: tercet_sync::server_peer::digest(&transaction.ops),
                },
                transaction,
            };
            let written =
                app.witness.append(&record, START_MS, &Default::default(), &Default::default());
            written.expect("the first facts are in order");
            app.log.records.push(record);
        }
    }
}

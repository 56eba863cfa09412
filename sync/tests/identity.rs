//! Who wrote what, and when: numbers, recorded answers, identities and clocks, one promise a test.
//!
//! The promises are those of the section on transactions and clocks in `docs/protocol.md`. Where
//! the server alone is meant, it is spoken to by messages; else both real peers are there.
#![allow(clippy::unwrap_used)]

mod pair;

use pair::{Pair, set};
use tercet_engine::fact::{Effect, Kind, Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{ClientSeq, Epoch, ReplicaId};
use tercet_engine::value::Value;
use tercet_sync::message::{ClientMessage, Hello, Mode, PROTOCOL, Push, ServerMessage, SessionId};
use tercet_sync::{Codec, Outbox, OutboxEntry, Rights, TenantOutput};

const NAMES: &str = "[:find ?e ?n :where [?e :user/name ?n]]";

fn name(e: &str, name: &str) -> Op {
    set(e, "user/name", Value::from(name))
}

fn transaction(ms: u64, ops: Vec<Op>) -> Transaction {
    Transaction { hlc: Hlc::new(ms, 0, ReplicaId(9)), ops }
}

/// A peer that says what the test wants, to a tenant whose disk answers at once.
struct Raw {
    pair: Pair,
    n_sessions: u64,
}

impl Raw {
    fn new() -> Raw {
        Raw { pair: Pair::new(0), n_sessions: 100 }
    }

    /// A new session of a client.
    fn connect(&mut self, client: &str) -> SessionId {
        self.n_sessions += 1;
        let session = SessionId(self.n_sessions);
        let hello = Hello {
            protocol: PROTOCOL,
            key: String::new(),
            client: client.parse().unwrap(),
            last_number: ClientSeq(0),
            received: ClientSeq(0),
            position: None,
        };
        self.pair.tenant.connect(session, Rights { write: true }, &hello, self.pair.now_ms);
        session
    }

    fn push(&mut self, session: SessionId, number: u64, transaction: Transaction) {
        let push = Push { number: ClientSeq(number), transaction };
        self.pair.tenant.receive(session, ClientMessage::Push(push), self.pair.now_ms);
    }

    /// What was sent to whom, as JSON; a close is its code.
    fn sent(&mut self) -> Vec<(SessionId, String)> {
        let mut sent = Vec::new();
        while let Some(output) = self.pair.tenant.poll() {
            match output {
                TenantOutput::Append(records) => {
                    self.pair.log.extend(records);
                    self.pair.tenant.appended(Ok(()), self.pair.now_ms);
                }
                TenantOutput::Send { session, frame } => {
                    let json = frame.bytes(Codec::Json);
                    sent.push((session, String::from_utf8(json.to_vec()).unwrap()));
                }
                TenantOutput::Close { session, code, .. } => sent.push((session, code.to_owned())),
                TenantOutput::Reply { .. } => {}
            }
        }
        sent
    }

    /// The last message to a session.
    fn answer(&mut self, to: SessionId) -> String {
        let mut sent = self.sent().into_iter().filter(|(session, _)| *session == to);
        sent.next_back().expect("an answer").1
    }
}

fn message(json: &str) -> ServerMessage {
    Codec::Json.decode_server(json.as_bytes(), 1 << 20).unwrap()
}

#[test]
fn sending_a_transaction_again_gets_its_recorded_answer() {
    let mut raw = Raw::new();
    let good = transaction(5, vec![name("u1", "Ann"), name("u1", "Anne")]);
    let future = Some("ffffffffffffffffffffffffffffffffffff".parse().unwrap());
    let covering = Op::Restore { e: "u1".parse().unwrap(), covers: future };
    let bad = transaction(6, vec![covering]);
    let session = raw.connect("c");
    raw.push(session, 1, good.clone());
    let accepted = raw.answer(session);
    raw.push(session, 2, bad.clone());
    let rejected = raw.answer(session);
    let ServerMessage::Ack(ack) = message(&accepted) else { panic!("{accepted}") };
    assert_eq!(ack.effects, [Effect::Superseded, Effect::Applied]);
    assert!(rejected.contains("cover_in_future"), "{rejected}");
    let n_records = raw.pair.log.len();
    for is_restarted in [false, true] {
        if is_restarted {
            raw.pair.restart(None);
        }
        let again = raw.connect("c");
        raw.sent();
        raw.push(again, 1, good.clone());
        assert_eq!(raw.answer(again), accepted);
        raw.push(again, 2, bad.clone());
        assert_eq!(raw.answer(again), rejected);
    }
    assert_eq!(raw.pair.log.len(), n_records, "nothing was committed twice");
}

/// A client that re-stamps keeps its number: the stamp is not what tells transactions apart.
#[test]
fn a_transaction_with_another_stamp_is_the_same() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    raw.push(session, 1, transaction(5, vec![name("u1", "Ann")]));
    let accepted = raw.answer(session);
    raw.push(session, 1, transaction(77, vec![name("u1", "Ann")]));
    assert_eq!(raw.answer(session), accepted);
}

#[test]
fn the_same_number_with_other_operations_ends_the_session() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    raw.push(session, 1, transaction(5, vec![name("u1", "Ann")]));
    raw.sent();
    raw.push(session, 1, transaction(5, vec![name("u1", "Bob")]));
    assert_eq!(raw.answer(session), "seq_conflict");
    assert_eq!(raw.pair.tenant.n_sessions(), 0);
}

/// Also while the first one is on its way to the disk.
#[test]
fn a_staged_number_with_other_operations_ends_the_session() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    raw.push(session, 1, transaction(5, vec![name("u1", "Ann")]));
    raw.push(session, 1, transaction(5, vec![name("u1", "Bob")]));
    let codes: Vec<String> = raw.sent().into_iter().map(|(_, said)| said).collect();
    assert!(codes.contains(&"seq_conflict".to_owned()), "{codes:?}");
    assert_eq!(raw.pair.log.len(), 1, "the first one stands");
}

#[test]
fn a_number_out_of_order_is_refused_and_uses_nothing_up() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    raw.push(session, 2, transaction(5, vec![name("u1", "Ann")]));
    let ServerMessage::Refused(refused) = message(&raw.answer(session)) else { panic!() };
    assert_eq!((refused.code.as_str(), refused.from_number), ("seq_gap", ClientSeq(1)));
    raw.push(session, 1, transaction(5, vec![name("u1", "Ann")]));
    raw.push(session, 2, transaction(6, vec![name("u2", "Bob")]));
    assert!(raw.answer(session).contains(r#""ack":{"number":2"#));
}

#[test]
fn a_newer_session_fences_the_older_one_and_its_pushes() {
    let mut raw = Raw::new();
    let older = raw.connect("c");
    let newer = raw.connect("c");
    let sent = raw.sent();
    assert!(sent.contains(&(older, "fenced".to_owned())), "{sent:?}");
    // What the older one sent and nobody had looked at is discarded.
    raw.push(older, 1, transaction(5, vec![name("u1", "Ann")]));
    assert_eq!(raw.sent(), []);
    raw.push(newer, 1, transaction(5, vec![name("u1", "Bob")]));
    assert!(raw.answer(newer).contains(r#""ack":{"number":1"#));
}

#[test]
fn stamps_ahead_stop_the_stream_and_use_nothing_up() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    let now_ms = raw.pair.now_ms;
    raw.push(session, 1, transaction(now_ms + 60_001, vec![name("u1", "Ann")]));
    raw.push(session, 2, transaction(now_ms, vec![name("u2", "Bob")]));
    let ServerMessage::Refused(refused) = message(&raw.answer(session)) else { panic!() };
    assert_eq!((refused.code.as_str(), refused.from_number), ("clock_drift", ClientSeq(1)));
    assert_eq!(refused.server_time_ms, now_ms);
    assert_eq!(raw.pair.log.len(), 0);
    // At the bound it is taken, and then as far as what has been committed.
    raw.push(session, 1, transaction(now_ms + 60_000, vec![name("u1", "Ann")]));
    assert!(raw.answer(session).contains(r#""ack":{"number":1"#));
    raw.pair.now_ms -= 30_000;
    raw.push(session, 2, transaction(now_ms + 60_000, vec![name("u2", "Bob")]));
    assert!(raw.answer(session).contains(r#""ack":{"number":2"#));
}

#[test]
fn stamps_far_in_the_past_are_fine() {
    let mut raw = Raw::new();
    let session = raw.connect("c");
    raw.push(session, 1, transaction(raw.pair.now_ms, vec![name("u1", "Ann")]));
    raw.push(session, 2, transaction(1, vec![name("u1", "Old"), name("u2", "Bob")]));
    let ServerMessage::Ack(ack) = message(&raw.answer(session)) else { panic!() };
    assert_eq!(ack.effects, [Effect::Superseded, Effect::Applied]);
}

/// Welcome, markers, acknowledgements and pongs carry the tenant's greatest stamp, and no clock
/// falls behind what it has seen.
#[test]
fn a_replicas_clock_never_falls_behind_what_it_has_seen() {
    let mut pair = Pair::new(1);
    pair.subscribe(0, NAMES, Mode::Facts);
    let mut raw = Raw { pair, n_sessions: 100 };
    let ahead = Hlc::new(raw.pair.now_ms + 50_000, 7, ReplicaId(9));
    let session = raw.connect("fast");
    raw.push(session, 1, Transaction { hlc: ahead, ops: vec![name("u1", "Ann")] });
    let mut pair = raw.pair;
    pair.run();
    pair.write(0, vec![name("u1", "Anne")]);
    pair.check(0, pair_subscription(), NAMES);
    let (snapshot, _) = pair.tenant.snapshot();
    let (_, mark) = snapshot.iter().next().unwrap();
    assert!(mark.stamp.hlc > ahead);
    assert_eq!(mark.kind, Kind::Set);
    let clocks = pair.trace.iter().filter(|line| line.contains(r#""clock""#)).count();
    assert!(clocks >= 3, "markers and acks carry it");
}

fn pair_subscription() -> tercet_sync::SubscriptionId {
    tercet_sync::SubscriptionId(1)
}

/// What was ahead is stamped anew in order, with the covers of what moved, by a new replica id,
/// after the server's time and the stamps before the refused one; the numbers stay.
#[test]
fn drift_is_cured_by_a_new_replica_id_and_new_stamps_in_order() {
    let mut pair = Pair::new(1);
    let id = pair.subscribe(0, NAMES, Mode::Facts);
    pair.write(0, vec![name("u0", "before")]);
    let before = pair.log.len();
    pair.clients[0].skew_ms = 3_600_000;
    pair.clients[0].reads = false;
    let tag = || Op::Add { e: "u1".parse().unwrap(), a: "user/tag".parse().unwrap(), v: 1.into() };
    let untag = Op::Remove {
        e: "u1".parse().unwrap(),
        a: "user/tag".parse().unwrap(),
        v: 1.into(),
        covers: None,
    };
    pair.write(0, vec![tag()]);
    pair.write(0, vec![untag, name("u1", "Ann")]);
    assert_eq!(pair.log.len(), before, "nothing was taken");
    pair.clients[0].reads = true;
    pair.run();
    let committed = &pair.commits()[before..];
    let [added, removed] = *committed else { panic!("{committed:?}") };
    assert!(added.hlc < removed.hlc);
    let old_replica = pair.commits()[0].hlc.replica();
    assert_ne!(added.hlc.replica(), old_replica);
    assert!(added.hlc > pair.commits()[0].hlc);
    assert!(added.hlc.physical_ms() <= pair.now_ms + 60_000);
    assert_eq!(removed.ops[0].covers(), Some(Stamp { hlc: added.hlc, op: 0 }));
    let told: Vec<&str> = pair.clients[0].told.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        ["1 accepted [Applied]", "2 accepted [Applied]", "3 accepted [Applied, Applied]"]
    );
    pair.check(0, id, NAMES);
}

/// The backup knows less than the client: it takes a new client id, reconciles what it holds
/// before it pushes, and what was pending is there once.
#[test]
fn a_restored_backup_gives_clients_new_identities() {
    let mut pair = Pair::new(1);
    let id = pair.subscribe(0, NAMES, Mode::Facts);
    pair.write(0, vec![name("u1", "Ann")]);
    pair.write(0, vec![name("u2", "Bob")]);
    let before = pair.clients[0].peer.client().clone();
    pair.cut(0);
    pair.write(0, vec![name("u3", "Cid")]);
    pair.restore_backup(1, Epoch(7));
    pair.reconnect(0);
    assert_ne!(*pair.clients[0].peer.client(), before);
    assert!(pair.clients[0].told.contains(&"renumbered 1".to_owned()));
    let up = &pair.clients[0].up.messages;
    let place = |name: &str| up.iter().position(|said| said == name);
    assert!(place("subscribe") < place("push"), "supports first: {up:?}");
    pair.check(0, id, NAMES);
    assert_eq!(pair.shown(0, id).0.len(), 2, "the commit that the backup lacks is gone");
    assert_eq!(pair.log.len(), 2);
}

/// A device put back to an earlier state would use numbers again that others hold the answers of.
#[test]
fn a_rolled_back_device_takes_a_new_identity_and_loses_nothing() {
    let mut pair = Pair::new(1);
    for number in 1..=3 {
        pair.write(0, vec![name(&format!("u{number}"), "then")]);
    }
    pair.cut(0);
    let entry = OutboxEntry {
        number: ClientSeq(2),
        transaction: transaction(1_000_000, vec![name("u9", "now")]),
    };
    let client = pair.clients[0].peer.client().clone();
    let outbox = Outbox {
        client: Some(client.clone()),
        epoch: Some(Epoch(0xc0ffee)),
        last_number: ClientSeq(2),
        entries: vec![entry],
        ..Outbox::default()
    };
    pair.add_client_with(outbox, 0);
    assert_ne!(*pair.clients[1].peer.client(), client);
    assert_eq!(pair.clients[1].told, ["renumbered 1", "1 accepted [Applied]"]);
    let (snapshot, _) = pair.tenant.snapshot();
    assert_eq!(snapshot.n_facts(), 4, "all that was written is there");
}

/// The same client id in two processes: the older one is fenced and writes under another name.
#[test]
fn a_fenced_client_goes_on_under_another_identity() {
    let mut pair = Pair::new(1);
    let client = pair.clients[0].peer.client().clone();
    let outbox = Outbox { client: Some(client.clone()), ..Outbox::default() };
    pair.add_client_with(outbox, 0);
    assert_eq!(pair.clients[0].told, ["fenced"]);
    assert_ne!(*pair.clients[0].peer.client(), client);
    assert_eq!(*pair.clients[1].peer.client(), client);
    pair.write(0, vec![name("u1", "Ann")]);
    pair.reconnect(0);
    pair.write(1, vec![name("u2", "Bob")]);
    assert_eq!(pair.tenant.snapshot().0.n_facts(), 2);
    assert_eq!(pair.clients[1].told, ["1 accepted [Applied]"]);
}

/// Stamps of one replica id strictly increase; a new process has a new one, and starts after all
/// that the outbox remembers, whatever its clock says.
#[test]
fn a_new_process_stamps_after_the_old_one() {
    let mut pair = Pair::new(0);
    let clock = Hlc::new(2_000_000, 3, ReplicaId(1));
    let client = Some("c".parse().unwrap());
    let outbox = Outbox { client, clock, ..Outbox::default() };
    // Its clock says half of that.
    pair.add_client_with(outbox, 0);
    pair.now_ms = 1_950_000;
    let mut last = clock;
    for round in 0..3 {
        pair.write(0, vec![name("u1", &format!("name {round}"))]);
        let hlc = pair.commits().last().unwrap().hlc;
        assert!(hlc > last, "{hlc} after {last}");
        last = hlc;
    }
    assert_ne!(last.replica(), clock.replica());
}

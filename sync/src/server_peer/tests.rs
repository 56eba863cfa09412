//! What subscriptions of a tenant cost, counted: evaluations, encodings, retries.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::db::LiveLimits;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, ClientSeq, EntityId, Epoch, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;

use super::*;
use crate::codec::{Codec, SharedFrame};
use crate::limits::Limits;
use crate::message::{
    ClientMessage, Hello, Mode, PROTOCOL, ServerMessage, SessionId, Subscribe, SubscriptionId,
};
use crate::wire_query::WireQuery;

const WRITE: Rights = Rights { write: true };

fn tenant() -> Tenant {
    let config = TenantConfig {
        epoch: Epoch(1),
        replica: ReplicaId(1),
        seed: [1; 32],
        drift_ms_max: 60_000,
        limits: Limits { ops_max: 50_000, ..Limits::default() },
        budget: Budget::unlimited(),
    };
    Recovery::new(config).finish()
}

fn set(e: &str, a: &str, v: Value) -> Op {
    Op::Set { e: EntityId::new(e).unwrap(), a: Attribute::new(a).unwrap(), v }
}

/// All that is sent, in order; every append succeeds at once. Whether a request was replied to.
fn drain(tenant: &mut Tenant) -> (Vec<(SessionId, SharedFrame)>, bool) {
    let (mut sent, mut is_replied) = (Vec::new(), false);
    while let Some(output) = tenant.poll() {
        match output {
            TenantOutput::Append(_) => tenant.appended(Ok(()), 0),
            TenantOutput::Send { session, frame } => sent.push((session, frame)),
            TenantOutput::Reply { result, .. } => {
                result.unwrap();
                is_replied = true;
            }
            TenantOutput::Close { code, .. } => panic!("a session is closed: {code}"),
        }
    }
    (sent, is_replied)
}

fn transact(tenant: &mut Tenant, ops: Vec<Op>) -> Vec<(SessionId, SharedFrame)> {
    tenant.transact(RequestId(1), None, ops, WRITE, 0);
    let (sent, is_replied) = drain(tenant);
    assert!(is_replied);
    sent
}

fn connect(tenant: &mut Tenant, number: u64) -> SessionId {
    let hello = Hello {
        protocol: PROTOCOL,
        key: String::new(),
        client: format!("client{number}").parse().unwrap(),
        last_number: ClientSeq(0),
        received: ClientSeq(0),
        position: None,
    };
    tenant.connect(SessionId(number), WRITE, &hello, 0);
    SessionId(number)
}

fn subscribe(tenant: &mut Tenant, session: SessionId, number: u64, text: &str, inputs: Vec<Input>) {
    let subscribe = Subscribe {
        subscription: SubscriptionId(number),
        query: WireQuery::new(tercet_query_lang::parse(text).unwrap().raw),
        inputs,
        mode: Mode::Rows,
        resume: None,
    };
    tenant.receive(session, ClientMessage::Subscribe(subscribe), 0);
}

/// How many different buffers frames are encoded to. The frames are kept, so none is reused.
fn n_encodings(frames: &[(SessionId, SharedFrame)], codec: Codec) -> usize {
    let bytes: Vec<_> = frames.iter().map(|(_, frame)| frame.bytes(codec)).collect();
    bytes.iter().map(|bytes| bytes.as_ptr()).collect::<BTreeSet<_>>().len()
}

fn of_kind(
    sent: &[(SessionId, SharedFrame)],
    is_kind: impl Fn(&ServerMessage) -> bool,
) -> Vec<(SessionId, SharedFrame)> {
    sent.iter().filter(|(_, frame)| is_kind(frame.message())).cloned().collect()
}

fn is_rows(message: &ServerMessage) -> bool {
    matches!(message, ServerMessage::RowsPart(_))
}

fn is_marker(message: &ServerMessage) -> bool {
    matches!(message, ServerMessage::Marker(_))
}

/// One evaluation and one encoding for each codec, for however many sessions: at subscribing, at
/// a commit, and for those who come after it.
#[test]
fn a_crowd_costs_one_evaluation_and_one_encoding() {
    const N: usize = 1_000;
    let text = "[:find ?n ?s :where [?p :player/name ?n] [?p :player/score ?s]
                 :order-by [[?s :desc]] :limit 10]";
    let costs = [1, N].map(|n_sessions| {
        let mut tenant = tenant();
        let player = |number: i64| {
            let id = format!("p{number}");
            let name = set(&id, "player/name", Value::from(id.as_str()));
            [name, set(&id, "player/score", Value::int(number))]
        };
        transact(&mut tenant, (0..50).flat_map(player).collect());
        for number in 1..=n_sessions as u64 {
            let session = connect(&mut tenant, number);
            subscribe(&mut tenant, session, 1, text, Vec::new());
        }
        let (sent, _) = drain(&mut tenant);
        let first = of_kind(&sent, is_rows);
        assert_eq!(first.len(), n_sessions);
        assert_eq!(tenant.stats().n_instances, 1);

        let sent = transact(&mut tenant, player(100).to_vec());
        let (rows, markers) = (of_kind(&sent, is_rows), of_kind(&sent, is_marker));
        assert_eq!((rows.len(), markers.len()), (n_sessions, n_sessions));
        let sessions: BTreeSet<SessionId> = rows.iter().map(|(session, _)| *session).collect();
        assert_eq!(sessions.len(), n_sessions, "each gets its own");
        let n_evaluations = tenant.stats().n_evaluations;

        let late = (1_000_000..1_000_005).map(|number| connect(&mut tenant, number));
        for session in late.collect::<Vec<_>>() {
            subscribe(&mut tenant, session, 1, text, Vec::new());
        }
        let (sent, _) = drain(&mut tenant);
        let later = of_kind(&sent, is_rows);
        assert_eq!(later.len(), 5);

        let stats = tenant.stats();
        let work: Vec<_> =
            stats.shapes.iter().map(|it| (it.n_instances, it.n_lookups, it.n_emitted)).collect();
        let encodings = [&first, &rows, &markers, &later]
            .map(|frames| [Codec::Binary, Codec::Json].map(|codec| n_encodings(frames, codec)));
        (encodings, n_evaluations, stats.n_evaluations, work)
    });
    let (encodings, n_evaluations, n_later, _) = &costs[1];
    assert_eq!(*encodings, [[1, 1]; 4]);
    assert_eq!((*n_evaluations, *n_later), (1, 2));
    assert_eq!(costs[0], costs[1]);
}

/// A commit that makes 2,000 subscriptions stale tells them; taking them up again is done in
/// steps, and a commit in between waits for one of them at most.
#[test]
fn many_stale_instances_are_taken_up_in_steps() {
    const N: u64 = 2_000;
    let text = "[:find ?n :in ?x :where [?x :item/group ?g] [?g :group/name ?n]]";
    let mut tenant = tenant();
    let group = || Value::reference("g").unwrap();
    let mut ops = vec![set("g", "group/name", Value::from("one"))];
    ops.extend((0..N).map(|number| set(&format!("i{number}"), "item/group", group())));
    transact(&mut tenant, ops);
    let sessions: Vec<SessionId> = (1..=20).map(|number| connect(&mut tenant, number)).collect();
    for number in 0..N {
        let session = sessions[number as usize % sessions.len()];
        let input = Input::Scalar(Value::reference(&format!("i{number}")).unwrap());
        subscribe(&mut tenant, session, number, text, vec![input]);
    }
    drain(&mut tenant);
    assert_eq!(tenant.stats().n_instances as u64, N);
    tenant.db.set_live_limits(LiveLimits { lookups: 100, reruns: 0, ..LiveLimits::default() });

    let sent = transact(&mut tenant, vec![set("g", "group/name", Value::from("two"))]);
    let stale = of_kind(&sent, |message| matches!(message, ServerMessage::Stale(_)));
    assert_eq!(stale.len() as u64, N, "whoever reads one is told");
    assert_eq!(of_kind(&sent, is_rows).len(), 0);
    assert_eq!(tenant.stats().n_instances_stale as u64, N);

    // Nothing is tried before its time.
    assert!(!tenant.tick(999));
    assert_eq!(tenant.stats().n_retries, 0);

    let mut names: BTreeMap<SessionId, usize> = BTreeMap::new();
    let mut n_steps = 0;
    loop {
        let is_more = tenant.tick(1_000);
        n_steps += 1;
        let (sent, _) = drain(&mut tenant);
        for (session, frame) in of_kind(&sent, is_rows) {
            let ServerMessage::RowsPart(part) = frame.message() else { unreachable!() };
            assert!(part.reset && part.added.len() == 1);
            *names.entry(session).or_default() += 1;
        }
        let n_left = tenant.stats().n_instances_stale as u64;
        assert_eq!(is_more, n_left > 0);
        assert!(n_left >= N.saturating_sub(n_steps * 600), "a step is bounded: {n_left} left");
        if n_steps == 1 {
            // Others write meanwhile, and are answered while most are still stale.
            transact(&mut tenant, vec![set("other", "x/y", Value::int(1))]);
            assert_eq!(tenant.stats().n_instances_stale as u64, n_left);
        }
        if !is_more {
            break;
        }
    }
    assert!(n_steps >= 4, "{n_steps} steps");
    assert_eq!(names.values().sum::<usize>() as u64, N);
    assert_eq!(tenant.stats().n_retries, N, "each is tried once");

    // All are kept up again.
    tenant.db.set_live_limits(LiveLimits::default());
    let sent = transact(&mut tenant, vec![set("g", "group/name", Value::from("three"))]);
    assert_eq!(of_kind(&sent, is_rows).len() as u64, N);
}

/// Whoever asks for a stale instance tries it, and those who wait for it profit.
#[test]
fn a_newcomer_takes_a_stale_instance_up() {
    let text = "[:find ?n :where [_ :group/name ?n]]";
    let mut tenant = tenant();
    let (first, second) = (connect(&mut tenant, 1), connect(&mut tenant, 2));
    subscribe(&mut tenant, first, 1, text, Vec::new());
    tenant.db.set_live_limits(LiveLimits { lookups: 0, reruns: 0, ..LiveLimits::default() });
    transact(&mut tenant, vec![set("g", "group/name", Value::from("one"))]);
    assert_eq!(tenant.stats().n_instances_stale, 1);
    subscribe(&mut tenant, second, 1, text, Vec::new());
    let (sent, _) = drain(&mut tenant);
    let rows = of_kind(&sent, is_rows);
    assert_eq!(rows.iter().map(|(session, _)| *session).collect::<Vec<_>>(), [first, second]);
    assert_eq!(n_encodings(&rows, Codec::Binary), 1);
    assert_eq!((tenant.stats().n_instances_stale, tenant.stats().n_retries), (0, 1));
    assert!(!tenant.tick(u64::MAX), "nothing is left to be tried");
}

//! What coming back costs, in messages and bytes, and that it ends with the server's answer.
#![allow(clippy::unwrap_used)]

mod pair;

use pair::{Pair, query, set};
use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, EntityId, Epoch};
use tercet_engine::value::Value;
use tercet_sync::message::{Mode, SubscriptionId};
use tercet_sync::{Limits, Reach, ResumeLimits};

const ITEMS: &str = "[:find ?e ?n :where [?e :item/name ?n]]";

/// Never replays, and compares whatever is not equal.
const COMPARING: ResumeLimits = ResumeLimits {
    ring_bytes_max: 0,
    rings_bytes_max: 0,
    lingering_max: 0,
    linger_ms: 0,
    whole_bytes_max: 0,
};

fn item(number: usize) -> Op {
    set(&format!("item{number}"), "item/name", Value::from(format!("the name of item {number}")))
}

fn load(pair: &mut Pair, n_items: usize) {
    let numbers: Vec<usize> = (0..n_items).collect();
    for chunk in numbers.chunks(50_000) {
        pair.transact(chunk.iter().map(|number| item(*number)).collect());
    }
}

fn rename(number: usize) -> Op {
    set(&format!("item{number}"), "item/name", Value::from(format!("renamed {number}")))
}

fn entity(id: &str) -> EntityId {
    EntityId::new(id).unwrap()
}

fn down(pair: &Pair, index: usize) -> Vec<&str> {
    pair.clients[index].down.messages.iter().map(String::as_str).collect()
}

/// The bound of `sync.resume`: 10,000 unchanged facts in 10 subscriptions.
#[test]
fn unchanged_subscriptions_cost_a_kibibyte_each_way() {
    let mut pair = Pair::new(1);
    let fields: Vec<String> = (0..10).map(|field| format!("thing/field{field}")).collect();
    for field in &fields {
        let value = |number| Value::from(format!("value {number} of {field}"));
        let ops = (0..1_000).map(|number| set(&format!("thing{number}"), field, value(number)));
        pair.transact(ops.collect());
    }
    let texts: Vec<String> =
        fields.iter().map(|field| format!("[:find ?e ?v :where [?e :{field} ?v]]")).collect();
    let ids: Vec<SubscriptionId> =
        texts.iter().map(|text| pair.subscribe(0, text, Mode::Facts)).collect();
    assert_eq!(pair.clients[0].peer.n_facts_held(), 10_000);
    for is_restarted in [false, true] {
        if is_restarted {
            pair.restart(None);
        } else {
            pair.cut(0);
        }
        assert!(!pair.shown(0, ids[0]).1, "not complete while it is away");
        pair.reconnect(0);
        let client = &pair.clients[0];
        assert_eq!(down(&pair, 0).iter().filter(|name| **name == "unchanged").count(), 10);
        assert!(client.up.n_bytes <= 1_024, "{} bytes up", client.up.n_bytes);
        assert!(client.down.n_bytes <= 1_024, "{} bytes down", client.down.n_bytes);
        for (id, text) in ids.iter().zip(&texts) {
            pair.check(0, *id, text);
        }
    }
}

/// Who was away a short while gets the patches of that while, as they were broadcast.
#[test]
fn a_short_absence_is_replayed() {
    for mode in [Mode::Facts, Mode::Rows] {
        let mut pair = Pair::new(2);
        load(&mut pair, 1_000);
        let ids = [0, 1].map(|index| pair.subscribe(index, ITEMS, mode));
        pair.cut(0);
        pair.transact(vec![rename(1), rename(2)]);
        pair.transact(vec![Op::Delete { e: entity("item3") }]);
        // Gone and back with another mark: the other client's copy of it must survive the replay.
        pair.transact(vec![Op::Unset { e: entity("item4"), a: "item/name".parse().unwrap() }]);
        pair.transact(vec![item(4)]);
        pair.reconnect(0);
        let parts = match mode {
            Mode::Rows => ["rows +2 -2", "rows +0 -1", "rows +0 -1", "rows +1 -0"],
            _ => ["facts 4", "facts 2", "facts 1", "facts 1"],
        };
        let expected = ["welcome", "replay", parts[0], parts[1], parts[2], parts[3], "marker"];
        assert_eq!(down(&pair, 0), expected);
        for (index, id) in ids.into_iter().enumerate() {
            pair.check(index, id, ITEMS);
        }
    }
}

/// With 100,000 facts and 10 that differ, about ten buckets travel; also where the server has
/// forgotten everything but its log, and where the history is another one.
#[test]
fn of_many_facts_only_differing_buckets_travel() {
    let mut pair = Pair::new(1);
    load(&mut pair, 100_000);
    let id = pair.subscribe(0, ITEMS, Mode::Facts);
    let n_bytes_whole = pair.clients[0].down.n_bytes;
    for (round, epoch) in [None, Some(Epoch(0xbee))].into_iter().enumerate() {
        pair.restart(epoch);
        let numbers = (0..10).map(|number| number * 9_000 + round);
        pair.transact(numbers.map(rename).collect());
        pair.reconnect(0);
        // A renamed item leaves one bucket and enters another.
        let names = down(&pair, 0);
        let cleared = names.iter().find_map(|name| name.strip_prefix("buckets "));
        let n_buckets: usize = cleared.unwrap_or_else(|| panic!("{names:?}")).parse().unwrap();
        assert!((10..=20).contains(&n_buckets), "{n_buckets} buckets");
        let client = &pair.clients[0];
        assert!(client.down.n_bytes < 60_000, "{} bytes down", client.down.n_bytes);
        assert!(client.down.n_bytes * 50 < n_bytes_whole);
        assert!(client.up.n_bytes < 34_000, "{} bytes up", client.up.n_bytes);
        pair.check(0, id, ITEMS);
    }
}

/// The same for rows, equal ones included.
#[test]
fn of_many_rows_only_differing_buckets_travel() {
    let text = "[:find (pull ?e [:item/name]) :where [?e :item/name]]";
    let mut pair = Pair::new(1);
    load(&mut pair, 2_000);
    let twin = |id: &str| set(id, "item/name", Value::from("a twin"));
    pair.transact(vec![twin("twin1"), twin("twin2"), twin("twin3")]);
    let id = pair.subscribe(0, text, Mode::Rows);
    pair.restart(None);
    pair.set_resume_limits(COMPARING);
    pair.transact(vec![Op::Delete { e: entity("twin2") }, rename(77)]);
    pair.reconnect(0);
    assert!(down(&pair, 0).contains(&"buckets 3"), "{:?}", down(&pair, 0));
    assert!(pair.clients[0].down.n_bytes < 5_000, "{} bytes", pair.clients[0].down.n_bytes);
    pair.check(0, id, text);
}

/// Guards against a subscription that is asked to compare and lost between the two questions.
#[test]
fn whoever_compares_misses_nothing_meanwhile() {
    let mut pair = Pair::new(1);
    load(&mut pair, 400);
    let id = pair.subscribe(0, ITEMS, Mode::Facts);
    pair.cut(0);
    pair.set_resume_limits(COMPARING);
    pair.transact(vec![rename(1)]);
    pair.clients[0].reads = false;
    pair.reconnect(0);
    pair.transact(vec![rename(2)]);
    pair.clients[0].reads = true;
    pair.run();
    assert_eq!(down(&pair, 0)[..2], ["welcome", "compare"]);
    pair.check(0, id, ITEMS);
    pair.transact(vec![rename(3)]);
    pair.check(0, id, ITEMS);
}

/// A crowd that loses its connections finds the instance still there, and its ring.
#[test]
fn an_instance_outlives_its_readers_for_a_while() {
    let mut pair = Pair::new(3);
    load(&mut pair, 500);
    let ids = [0, 1, 2].map(|index| pair.subscribe(index, ITEMS, Mode::Rows));
    let n_evaluations = pair.tenant.stats().n_evaluations;
    for index in 0..3 {
        pair.cut(index);
    }
    let stats = pair.tenant.stats();
    assert_eq!((stats.n_instances, stats.n_instances_lingering), (0, 1));
    pair.transact(vec![rename(5)]);
    for (index, id) in ids.into_iter().enumerate() {
        pair.reconnect(index);
        assert_eq!(down(&pair, index), ["welcome", "replay", "rows +1 -1", "marker"]);
        pair.check(index, id, ITEMS);
    }
    assert_eq!(pair.tenant.stats().n_evaluations, n_evaluations, "nothing is evaluated again");
    // Nobody comes back: the second tick after a minute ends it, and its ring.
    for index in 0..3 {
        pair.cut(index);
    }
    pair.tenant.tick(pair.now_ms);
    assert!(pair.tenant.stats().n_ring_bytes > 0);
    pair.tenant.tick(pair.now_ms + 60_000);
    let stats = pair.tenant.stats();
    assert_eq!((stats.n_instances_lingering, stats.n_ring_bytes), (0, 0));
    assert_eq!(stats.shapes.iter().map(|shape| shape.n_instances).sum::<u64>(), 0);
}

/// A subscription that its program has ended does not stay.
#[test]
fn what_is_unsubscribed_ends_at_once() {
    let mut pair = Pair::new(1);
    load(&mut pair, 10);
    let id = pair.subscribe(0, ITEMS, Mode::Facts);
    pair.clients[0].peer.unsubscribe(id);
    pair.run();
    let stats = pair.tenant.stats();
    assert_eq!((stats.n_instances, stats.n_instances_lingering, stats.n_ring_bytes), (0, 0, 0));
}

/// A hot subscription of few facts: its patches would be more than all of it.
#[test]
fn what_is_more_than_the_whole_is_not_replayed() {
    let mut pair = Pair::new(1);
    load(&mut pair, 3);
    let id = pair.subscribe(0, ITEMS, Mode::Facts);
    pair.cut(0);
    for _ in 0..200 {
        pair.transact(vec![item(1)]);
    }
    pair.reconnect(0);
    assert_eq!(down(&pair, 0), ["welcome", "reset", "facts 3", "marker"]);
    pair.check(0, id, ITEMS);
}

/// A client that stops reading costs the server a bounded queue and a bounded ring, however much
/// is committed meanwhile; when it reads again it gets what differs.
#[test]
fn a_stalled_client_costs_bounded_memory() {
    let limits = Limits { queue_max: 16, support_facts_max: 1_000_000, ..Limits::default() };
    let mut pair = Pair::with_limits(2, limits);
    load(&mut pair, 2_000);
    let ids = [0, 1].map(|index| pair.subscribe(index, ITEMS, Mode::Facts));
    let ring_bytes_max = 64 << 10;
    pair.set_resume_limits(ResumeLimits { ring_bytes_max, ..ResumeLimits::default() });
    pair.clients[0].reads = false;
    let mut n_bytes_max = 0;
    for round in 0..3_000 {
        let name = Value::from(format!("{round} {}", "x".repeat(1_000)));
        pair.transact(vec![set(&format!("item{}", round % 50), "item/name", name)]);
        let n_bytes = pair.clients[0].queue.iter().map(bytes::Bytes::len).sum::<usize>();
        n_bytes_max = n_bytes_max.max(n_bytes);
        assert!(pair.tenant.stats().n_ring_bytes <= ring_bytes_max);
    }
    // Of 3 MB nothing waits but what was queued before the session counted as slow.
    assert!(n_bytes_max <= 16 * 2_500, "{n_bytes_max} bytes waited");
    pair.clients[0].reads = true;
    pair.run();
    assert!(down(&pair, 0).contains(&"resync"));
    for (index, id) in ids.into_iter().enumerate() {
        pair.check(index, id, ITEMS);
    }
}

/// The digest of a replica that needs every fact is the tenant's, after any history, and a
/// checkpoint that another one has seen can be waited for.
#[test]
fn digests_are_equal_where_everything_is_held() {
    let mut pair = Pair::new(2);
    let all = "[:find ?e ?a ?v :where [?e ?a ?v]]";
    let names = pair.subscribe(1, ITEMS, Mode::Rows);
    pair.subscribe(0, all, Mode::Facts);
    assert_eq!(pair.clients[0].peer.digest(), Some(pair.tenant.digest()));
    load(&mut pair, 100);
    pair.transact(vec![Op::Delete { e: entity("item7") }, rename(8)]);
    pair.transact(vec![set("other", "x/y", Value::reference("item9").unwrap())]);
    let digest = pair.tenant.digest();
    assert_eq!(digest.n_items, 100);
    assert_eq!(pair.clients[0].peer.digest(), Some(digest));
    pair.restart(None);
    assert_eq!(pair.tenant.digest(), digest, "counted anew it is the same");
    pair.transact(vec![rename(10), item(101)]);
    let digest = pair.tenant.digest();
    assert_eq!(pair.clients[0].peer.reach(digest.checkpoint), Reach::NotYet);
    pair.reconnect(0);
    assert_eq!(pair.clients[0].peer.digest(), Some(digest));
    assert_eq!(pair.clients[0].peer.reach(digest.checkpoint), Reach::Reached);
    // The other one holds rows, and no facts.
    pair.reconnect(1);
    let rows = pair.clients[1].peer.subscription_digest(names).unwrap();
    assert_eq!((rows.checkpoint, rows.n_items), (digest.checkpoint, 100));
    assert_eq!(pair.clients[1].peer.digest().unwrap().n_items, 0);
}

/// A session that no commit concerns learns its position by asking.
#[test]
fn a_barrier_is_reached_without_a_patch() {
    let mut pair = Pair::new(1);
    pair.subscribe(0, ITEMS, Mode::Facts);
    pair.transact(vec![set("other", "x/y", Value::int(1))]);
    let (_, checkpoint) = pair.tenant.snapshot();
    assert!(pair.clients[0].peer.position().unwrap() < checkpoint);
    assert_eq!(pair.clients[0].peer.reach(checkpoint), Reach::NotYet);
    pair.run();
    assert_eq!(pair.clients[0].peer.reach(checkpoint), Reach::Reached);
    assert_eq!(pair.clients[0].peer.position(), Some(checkpoint));
    // One that is yet to come is asked for once a second.
    let next = Checkpoint { seq: checkpoint.seq.next(), ..checkpoint };
    assert_eq!(pair.clients[0].peer.reach(next), Reach::NotYet);
    pair.run();
    pair.transact(vec![set("other", "x/y", Value::int(2))]);
    assert_eq!(pair.clients[0].peer.reach(next), Reach::NotYet);
    pair.now_ms += 1_000;
    let now_ms = pair.now_ms;
    pair.clients[0].peer.tick(now_ms);
    pair.run();
    assert_eq!(pair.clients[0].peer.reach(next), Reach::Reached);
    let other = Checkpoint { epoch: Epoch(7), ..next };
    assert_eq!(pair.clients[0].peer.reach(other), Reach::OtherHistory);
}

/// A barrier waits for subscriptions that have been asked for and have not joined.
#[test]
fn a_barrier_waits_for_what_is_staged() {
    let mut pair = Pair::new(1);
    load(&mut pair, 10);
    let (_, checkpoint) = pair.tenant.snapshot();
    pair.run();
    pair.clients[0].reads = false;
    let id = pair.subscribe(0, ITEMS, Mode::Facts);
    assert_eq!(pair.clients[0].peer.reach(checkpoint), Reach::NotYet);
    pair.clients[0].reads = true;
    pair.run();
    assert_eq!(pair.clients[0].peer.reach(checkpoint), Reach::Reached);
    pair.check(0, id, ITEMS);
}

/// Rows of the server show no pending writes; who asks once must not miss its own all the same.
#[test]
fn a_question_asked_once_sees_own_writes() {
    let limits = Limits { support_facts_max: 1, ..Limits::default() };
    let mut pair = Pair::with_limits(1, limits);
    load(&mut pair, 2);
    pair.is_disk_slow = true;
    pair.write(0, vec![item(2)]);
    let id = pair.clients[0].peer.subscribe_once(&query(ITEMS), &[], Mode::Auto).unwrap();
    pair.run();
    let (rows, complete) = pair.shown(0, id);
    assert_eq!((rows.len(), complete), (2, false), "answered before the write was durable");
    pair.finish_append();
    pair.check(0, id, ITEMS);
    assert_eq!(pair.shown(0, id).0.len(), 3);
    // What is written after the question is asked does not hold its answer up.
    pair.write(0, vec![item(3)]);
    assert_eq!(pair.shown(0, id), (pair.shown(0, id).0, true));
}

/// What a cache has kept and nobody has taken up yet is resumed from when somebody does, in the
/// middle of a session: by ring, and by buckets after the server was started again.
#[test]
fn what_a_cache_has_kept_is_resumed_from_later() {
    for (mode, is_restarted) in
        [(Mode::Facts, false), (Mode::Facts, true), (Mode::Rows, false), (Mode::Rows, true)]
    {
        let mut pair = Pair::new(1);
        load(&mut pair, 400);
        pair.restart_client(0);
        pair.subscribe(0, ITEMS, mode);
        if is_restarted {
            pair.restart(None);
        }
        pair.restart_client(0);
        pair.reconnect(0);
        // The position moves on without what is set aside.
        pair.transact(vec![rename(1)]);
        let checkpoint = pair.tenant.checkpoint();
        pair.clients[0].peer.reach(checkpoint);
        pair.run();
        let id = pair.subscribe(0, ITEMS, mode);
        let expected = if is_restarted { "compare" } else { "replay" };
        assert!(down(&pair, 0).contains(&expected), "{mode:?}: {:?}", down(&pair, 0));
        assert!(pair.clients[0].down.n_bytes < 6_000, "{} bytes", pair.clients[0].down.n_bytes);
        pair.check(0, id, ITEMS);
        // What it holds now is what it keeps.
        pair.transact(vec![rename(2)]);
        pair.clients[0].reads = false;
        pair.restart_client(0);
        let id = pair.subscribe(0, ITEMS, mode);
        let (rows, complete) = pair.shown(0, id);
        assert_eq!((rows.len(), complete), (400, false), "readable at once");
        pair.clients[0].reads = true;
        pair.run();
        assert!(down(&pair, 0).contains(&"unchanged"), "{mode:?}: {:?}", down(&pair, 0));
        pair.check(0, id, ITEMS);
    }
}

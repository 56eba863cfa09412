//! Whole clients against the real server state machine, over a wire that can be cut.
//!
//! What can break here and nowhere else: the driver forgets an output, answers a caller before it
//! has published, loses a write between peer, outbox and watcher, or does not come back after the
//! wire was cut. The rules of merge and sync have their tests in their own crates.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::harness::Server;
use futures_util::StreamExt;
use tercet_client::{
    Change, Client, ClientConfig, ClientError, Entity, Id, Mode, Ref, Status, SubscribeOptions,
    Subscription, Write, new_id,
};
use tercet_engine::answer::{Answer, Output, RowRef};
use tercet_engine::fact::{Effect, Op};
use tercet_engine::value::Value;
use tercet_storage::MemoryClientStore;
use tercet_sync::Limits;
use tokio::time::timeout;

const NAMES: &str = "[:find ?name :where [?u :user/name ?name]]";

/// The strings of the first column.
fn strings(answer: &Answer) -> Vec<String> {
    let string = |row: RowRef<'_>| row.value(0).unwrap().as_str().unwrap().to_owned();
    answer.rows.iter().map(string).collect()
}

/// A test that waits for what does not come fails after an hour of virtual time, which is soon.
async fn soon<Output>(future: impl Future<Output = Output>) -> Output {
    timeout(Duration::from_secs(3_600), future).await.expect("this comes within the hour")
}

/// What a reader sees when the condition holds; fails when the stream ends before.
async fn until(subscription: &mut Subscription, condition: impl Fn(&Change) -> bool) -> Change {
    soon(async {
        loop {
            let change = subscription.next().await.expect("the stream goes on").unwrap();
            if condition(&change) {
                return change;
            }
        }
    })
    .await
}

async fn status(client: &Client, condition: impl Fn(Status) -> bool) {
    let mut changes = client.status_changes();
    while !condition(client.status().connection) {
        soon(changes.next()).await.expect("the client runs");
    }
}

async fn synced(client: &Client) {
    status(client, |status| matches!(status, Status::Synced(_))).await;
}

async fn offline(client: &Client) {
    status(client, |status| status == Status::Offline).await;
}

async fn watch_names(client: &Client) -> Subscription {
    client.subscribe(NAMES, (), SubscribeOptions::default()).await.unwrap()
}

/// The names held, whether or not they are complete.
async fn held_names(client: &Client) -> Vec<String> {
    strings(&client.query(NAMES, ()).local().await.unwrap().answer)
}

#[tokio::test(start_paused = true)]
async fn a_write_is_visible_at_once_and_accepted_later() {
    let server = Server::start();
    server.cut();
    let client = server.client();
    let write = client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    assert_eq!(held_names(&client).await, ["Ann"]);
    assert_eq!(server.snapshot().0.n_facts(), 0, "nothing has been sent yet");

    server.heal();
    let accepted = write.accepted().await.unwrap();
    assert_eq!(accepted.effects, [Effect::Applied]);
    assert_eq!(accepted.checkpoint, Some(server.snapshot().1));
    assert_eq!(server.snapshot().0.n_facts(), 1);
    client.flush().await.unwrap();
    assert_eq!(client.status().n_unanswered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_barrier_waits_for_what_another_client_has_seen() {
    let server = Server::start();
    let (writer, reader) = (server.client(), server.client());
    let mut everything = reader
        .subscribe("[:find ?e ?a ?v :where [?e ?a ?v]]", (), SubscribeOptions::default())
        .await
        .unwrap();
    until(&mut everything, |change| change.complete).await;
    server.cut();
    offline(&reader).await;
    server.heal();
    let write = writer
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    let checkpoint = soon(write.accepted()).await.unwrap().checkpoint.unwrap();
    soon(reader.synced_to(checkpoint)).await.unwrap();
    assert_eq!(held_names(&reader).await, ["Ann"]);
    let digest = reader.digest().await.unwrap().unwrap();
    assert_eq!((digest.checkpoint, digest.n_items), (checkpoint, 1));
    assert_eq!(digest.fingerprint.0, server.snapshot().0.fingerprint());

    server.lose_history();
    synced(&writer).await;
    let error = soon(writer.synced_to(checkpoint)).await.unwrap_err();
    assert_eq!(error.code(), "epoch_changed");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_gives_the_answer_and_then_deltas() {
    let server = Server::start();
    let (writer, reader) = (server.client(), server.client());
    writer
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();

    let mut names = watch_names(&reader).await;
    let first = until(&mut names, |change| change.complete).await;
    assert_eq!(strings(&first.answer), ["Ann"]);

    let write = writer
        .write(|tx| {
            tx.set("u1", "user/name", "Anne").set("u2", "user/name", "Bob");
        })
        .await
        .unwrap();
    write.accepted().await.unwrap();
    let second = until(&mut names, |change| !change.delta.added.is_empty()).await;
    assert_eq!(strings(&second.answer), ["Anne", "Bob"]);
    assert_eq!((second.delta.added.len(), second.delta.removed.len()), (2, 1));
    assert!(second.complete && !second.pending);
}

/// Whoever evaluates, client or server: a list that follows the positions is the answer, and a row
/// that only changed its sort key moved.
#[tokio::test(start_paused = true)]
async fn a_list_follows_the_positions_in_both_modes() {
    let server = Server::start();
    let writer = server.client();
    let text = "[:find ?p ?score :where [?p :player/score ?score] :order-by [[?score :desc]]]";
    for mode in [Mode::Facts, Mode::Rows] {
        let reader = server.client();
        let options = SubscribeOptions { mode };
        let mut ranking = reader.subscribe(text, (), options).await.unwrap();
        let mut list = Vec::new();
        let mut n_moved = 0;
        for scores in [[30, 20, 10], [30, 20, 40], [50, 20, 40], [30, 20, 10]] {
            let write = writer
                .write(|tx| {
                    for (player, score) in ["ann", "bob", "cy"].into_iter().zip(scores) {
                        tx.set(player, "player/score", i64::from(score));
                    }
                })
                .await
                .unwrap();
            write.accepted().await.unwrap();
            loop {
                let change = ranking.next().await.unwrap().unwrap();
                change.delta.apply(&mut list);
                assert_eq!(change.answer.rows, list);
                n_moved += change.delta.moved.len();
                let shown: Vec<i64> = list.iter().filter_map(|row| score_of(row)).collect();
                let mut expected: Vec<i64> = scores.map(i64::from).to_vec();
                expected.sort_by(|a, b| b.cmp(a));
                if change.complete && shown == expected {
                    break;
                }
            }
        }
        assert_eq!(n_moved, 4, "{mode:?}");
        let shapes = reader.live_stats().await.unwrap();
        assert_eq!(shapes.len(), usize::from(mode == Mode::Facts));
    }
}

fn score_of(row: &[Output]) -> Option<i64> {
    match row.last()? {
        Output::Value(Value::Number(number)) => number.as_i64(),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn own_writes_are_in_the_answer_as_pending_until_they_are_accepted() {
    let server = Server::start();
    let client = server.client();
    let mut names = watch_names(&client).await;
    until(&mut names, |change| change.complete).await;
    server.cut();
    offline(&client).await;

    client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    let change = until(&mut names, |change| change.pending).await;
    assert_eq!(strings(&change.answer), ["Ann"]);
    server.heal();
    let change = until(&mut names, |change| !change.pending && change.complete).await;
    assert_eq!(strings(&change.answer), ["Ann"]);
}

#[tokio::test(start_paused = true)]
async fn writes_made_offline_are_pushed_in_order_after_the_reconnect() {
    let server = Server::start();
    server.cut();
    let client = server.client();
    offline(&client).await;
    let mut writes = Vec::new();
    for name in ["Ann", "Anne", "Anna"] {
        writes.push(
            client
                .write(|tx| {
                    tx.set("u1", "user/name", name);
                })
                .await
                .unwrap(),
        );
    }
    assert_eq!(held_names(&client).await, ["Anna"]);
    assert_eq!(client.status().n_unanswered, 3);
    // An hour without a server: the client tries on, less and less often.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let (n_refused, n_made) = server.n_refused_and_made();
    assert!((60..600).contains(&n_refused), "{n_refused} attempts in an hour");
    assert_eq!(n_made, 0);
    assert_eq!(client.status().trouble.unwrap().code, "connection_failed");

    server.heal();
    for write in &writes {
        assert_eq!(write.accepted().await.unwrap().effects, [Effect::Applied]);
    }
    assert_eq!(server.snapshot().1.seq.0, 3);
    synced(&client).await;
    assert_eq!(client.status().trouble, None);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_goes_on_after_the_wire_was_cut() {
    let server = Server::start();
    let reader = server.client();
    let mut names = watch_names(&reader).await;
    until(&mut names, |change| change.complete).await;
    server.cut();
    offline(&reader).await;

    // Meanwhile somebody else writes.
    server.heal();
    let writer = server.client();
    writer
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    let is_news = |change: &Change| change.complete && !change.answer.rows.is_empty();
    let change = until(&mut names, is_news).await;
    assert_eq!(strings(&change.answer), ["Ann"]);
    assert_eq!((change.delta.added.len(), change.delta.removed.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_is_taken_out_and_reported_and_later_ones_stay() {
    let server = Server::with_limits(Limits { ops_max: 1, ..Limits::default() });
    server.cut();
    let client = server.client();
    let mut rejections = client.rejections();
    let mut names = watch_names(&client).await;
    offline(&client).await;
    // The client does not know yet how little this server takes.
    let too_many = client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann").set("u2", "user/name", "Bob");
        })
        .await
        .unwrap();
    let fine = client
        .write(|tx| {
            tx.set("u3", "user/name", "Cid");
        })
        .await
        .unwrap();
    assert_eq!(held_names(&client).await, ["Ann", "Bob", "Cid"]);

    server.heal();
    let error = too_many.accepted().await.unwrap_err();
    assert_eq!(error.code(), "too_many_ops");
    assert_eq!(too_many.stored().await.unwrap_err().code(), "too_many_ops");
    fine.accepted().await.unwrap();
    let change = until(&mut names, |change| change.complete && !change.pending).await;
    assert_eq!(strings(&change.answer), ["Cid"]);
    let rejected = rejections.next().await.unwrap();
    assert_eq!(ClientError::Rejected(rejected), error);
    // Now it knows, and tells before anything is written.
    let refused = client
        .write(|tx| {
            tx.delete("u1").delete("u2");
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "too_many_ops");
    assert!(matches!(refused, ClientError::Refused(_)));
}

#[tokio::test(start_paused = true)]
async fn a_server_with_another_history_gets_what_is_pending_under_new_numbers() {
    let server = Server::start();
    let client = server.client();
    let name = async |name: &str| {
        let write = client.write(|tx| {
            tx.set("u1", "user/name", name);
        });
        write.await.unwrap()
    };
    name("Ann").await.accepted().await.unwrap();
    server.cut();
    offline(&client).await;
    let (second, third) = (name("Anne").await, name("Anna").await);
    assert_eq!((second.number().0, third.number().0), (2, 3));

    server.lose_history();
    server.heal();
    assert_eq!(soon(second.accepted()).await.unwrap().effects, [Effect::Applied]);
    assert_eq!(soon(third.accepted()).await.unwrap().effects, [Effect::Applied]);
    assert_eq!((second.number().0, third.number().0), (1, 2));
    assert_eq!(server.snapshot().1.seq.0, 2);
    assert_eq!(client.status().n_unanswered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_nobody_from_coming_back() {
    let server = Server::start();
    server.cut();
    let skew_ms = Arc::new(AtomicI64::new(0));
    let client = server.client_with_skew(Arc::clone(&skew_ms));
    offline(&client).await;
    skew_ms.store(-3_600_000, Ordering::Relaxed);
    let write = client.write(|tx| {
        tx.set("u1", "user/name", "Ann");
    });
    let write = write.await.unwrap();
    server.heal();
    timeout(Duration::from_secs(60), write.accepted()).await.expect("within a minute").unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_against_a_key_is_shown_and_writes_wait() {
    let server = Server::start();
    server.revoke_key();
    let client = server.client();
    let write = client.write(|tx| {
        tx.set("u1", "user/name", "Ann");
    });
    let write = write.await.unwrap();
    offline(&client).await;
    let trouble = client.status().trouble.unwrap();
    assert_eq!(
        (trouble.code.as_str(), &*trouble.message),
        ("forbidden", "this key opens nothing here")
    );
    assert!(timeout(Duration::from_secs(600), write.accepted()).await.is_err());
    assert_eq!(client.status().n_unanswered, 1);
}

#[tokio::test(start_paused = true)]
async fn queries_come_as_text_with_rules_as_json_and_prepared() {
    let server = Server::start();
    let client = server.client();
    server.cut();
    client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann").set("u1", "user/age", 41);
            tx.set("u2", "user/name", "Bob").set("u2", "user/age", 12);
        })
        .await
        .unwrap();
    let text = "[:find ?name :in $ % :where (adult ?u) [?u :user/name ?name]]";
    let rules = "[[(adult ?u) [?u :user/age ?a] [(>= ?a 18)]]]";
    let json = serde_json::json!({
        "find": ["?name"],
        "where": [["?u", "user/age", "?a"], {"pred": [">=", "?a", 18]}, ["?u", "user/name", "?name"]],
    });
    let prepared = tercet_query_lang::compile(&json, None).unwrap();
    let requests =
        [client.query((text, rules), ()), client.query(&json, ()), client.query(&prepared, ())];
    for request in requests {
        assert_eq!(strings(&request.local().await.unwrap().answer), ["Ann"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_outbox_outlives_the_client() {
    let server = Server::start();
    server.cut();
    let outbox = MemoryClientStore::new();
    let config = || ClientConfig {
        store: Some(Box::new(outbox.clone())),
        ..ClientConfig::new("", "", "key")
    };
    let client = server.client_of(config());
    let write = client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    write.stored().await.unwrap();
    client.close().await;
    assert_eq!(write.accepted().await, Err(ClientError::Closed));
    assert_eq!(client.transact(Vec::new()).await.unwrap_err(), ClientError::Closed);

    let client = server.client_of(config());
    assert_eq!(held_names(&client).await, ["Ann"]);
    assert_eq!(client.status().n_unanswered, 1);
    server.heal();
    client.flush().await.unwrap();
    assert_eq!(server.snapshot().0.n_facts(), 1);
    client.close().await;

    // Answered once: a third process has nothing to send, and takes the server's numbers.
    let client = server.client_of(config());
    assert_eq!(client.status().n_unanswered, 0);
    client
        .write(|tx| {
            tx.set("u2", "user/name", "Bob");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    assert_eq!(server.snapshot().1.seq.0, 2);
}

/// A client that keeps things in this store.
fn keeping(server: &Server, store: &MemoryClientStore) -> Client {
    let store = Some(Box::new(store.clone()) as Box<_>);
    server.client_of(ClientConfig { store, ..ClientConfig::new("", "", "key") })
}

async fn set_name(client: &Client, id: &str, name: &str) -> Write {
    client
        .write(|tx| {
            tx.set(id, "user/name", name);
        })
        .await
        .unwrap()
}

/// Facts and rows are there before any connection, not complete, with own writes in the facts;
/// then they are resumed, with what happened meanwhile.
#[tokio::test(start_paused = true)]
async fn cached_subscriptions_are_read_before_any_connection_and_resumed() {
    let server = Server::start();
    let store = MemoryClientStore::new();
    let client = keeping(&server, &store);
    let mut names = watch_names(&client).await;
    let rows = || SubscribeOptions { mode: Mode::Rows };
    let count = "[:find (count ?u) . :where [?u :user/name]]";
    let mut counted = client.subscribe(count, (), rows()).await.unwrap();
    for (id, name) in [("u1", "Ann"), ("u2", "Bob")] {
        set_name(&client, id, name).await.accepted().await.unwrap();
    }
    until(&mut names, |change| change.complete && strings(&change.answer).len() == 2).await;
    let two = |change: &Change| {
        let first = change.answer.rows.first().and_then(|row| row.value(0));
        first.is_some_and(|value| value.as_i64() == Some(2))
    };
    until(&mut counted, |change| change.complete && two(change)).await;
    client.close().await;

    let other = server.client();
    other
        .write(|tx| {
            tx.delete("u2");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    set_name(&other, "u3", "Cid").await.accepted().await.unwrap();
    server.cut();
    let client = keeping(&server, &store);
    let mut names = watch_names(&client).await;
    let mut counted = client.subscribe(count, (), rows()).await.unwrap();
    let first = soon(names.next()).await.unwrap().unwrap();
    assert_eq!((strings(&first.answer), first.complete), (vec!["Ann".into(), "Bob".into()], false));
    let first = soon(counted.next()).await.unwrap().unwrap();
    assert!(two(&first) && !first.complete);
    assert_eq!(held_names(&client).await, ["Ann", "Bob"]);
    set_name(&client, "u4", "Dan").await;
    let with_own = until(&mut names, |change| change.pending).await;
    assert_eq!((strings(&with_own.answer).len(), with_own.complete), (3, false));

    server.heal();
    let now = until(&mut names, |change| change.complete && !change.pending).await;
    assert_eq!(strings(&now.answer), ["Ann", "Cid", "Dan"]);
}

/// A program that connects before it subscribes: nothing complete reads the old facts, and the
/// subscription resumes from them all the same, also in a process after that.
#[tokio::test(start_paused = true)]
async fn what_is_cached_and_not_subscribed_to_is_set_aside_and_kept() {
    let server = Server::start();
    let store = MemoryClientStore::new();
    let client = keeping(&server, &store);
    let mut names = watch_names(&client).await;
    set_name(&client, "u1", "Ann").await.accepted().await.unwrap();
    until(&mut names, |change| change.complete && !change.pending).await;
    drop(names);
    synced(&client).await;
    client.close().await;
    // At the cache's position it is read; once that has moved on, it is not.
    for expected in [&["Ann"][..], &[]] {
        let client = keeping(&server, &store);
        assert_eq!(held_names(&client).await, expected);
        synced(&client).await;
        let held: Vec<String> = held_names(&client).await;
        assert!(held.is_empty(), "{held:?} is at no position of this session");
        // Another subscription moves the cache on; what nobody reads stays where it was.
        let tags = "[:find ?t :where [_ :user/tag ?t]]";
        let mut tags = client.subscribe(tags, (), SubscribeOptions::default()).await.unwrap();
        client
            .write(|tx| {
                tx.add("u1", "user/tag", "x");
            })
            .await
            .unwrap()
            .accepted()
            .await
            .unwrap();
        until(&mut tags, |change| change.complete && !change.answer.rows.is_empty()).await;
        client.close().await;
    }
    let client = keeping(&server, &store);
    synced(&client).await;
    let resets = server.n_resets();
    let mut names = watch_names(&client).await;
    let now = until(&mut names, |change| change.complete).await;
    assert_eq!(strings(&now.answer), ["Ann"]);
    assert_eq!(server.n_resets(), resets, "nothing has changed, so nothing travels");
}

#[tokio::test(start_paused = true)]
async fn a_query_waits_for_the_complete_answer_and_offline_shows_what_is_held() {
    let server = Server::start();
    let writer = server.client();
    writer
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();

    let reader = server.client();
    assert_eq!(held_names(&reader).await, [""; 0]);
    let answer = reader.query(NAMES, ()).await.unwrap();
    assert_eq!(strings(&answer.answer), ["Ann"]);
    assert!(answer.complete && !answer.pending);

    server.cut();
    offline(&reader).await;
    reader
        .write(|tx| {
            tx.set("u2", "user/name", "Bob");
        })
        .await
        .unwrap();
    let answer = reader.query(NAMES, ()).await.unwrap();
    assert!(strings(&answer.answer).contains(&"Bob".to_owned()));
    assert!(!answer.complete && answer.pending);

    let named = "[:find ?u . :in $ ?name :where [?u :user/name ?name]]";
    let found = reader.query(named, ["Bob"]).local().await.unwrap().answer;
    assert_eq!(found.rows, [[Output::Value(Value::reference("u2").unwrap())]]);
    assert!(matches!(reader.query("[:find", ()).await, Err(ClientError::Text(_))));
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(type = "user", crate = "tercet_client::schema")]
struct User {
    id: Id<User>,
    name: String,
    age: Option<i64>,
    friends: Vec<Ref<User>>,
}

#[tokio::test(start_paused = true)]
async fn entities_are_saved_changed_read_and_deleted() {
    let server = Server::start();
    let (client, other) = (server.client(), server.client());
    let friend = new_id();
    let ann = User { id: new_id(), name: "Ann".into(), age: None, friends: vec![friend] };
    client.save(&ann).await.unwrap().accepted().await.unwrap();

    assert_eq!(other.get::<User>(&ann.id), Ok(None));
    assert_eq!(other.fetch::<User>(&ann.id).await.unwrap().as_ref(), Some(&ann));
    let older = User { age: Some(41), friends: vec![], ..ann.clone() };
    let write = other.update(&ann, &older).await.unwrap();
    assert_eq!(write.accepted().await.unwrap().effects, [Effect::Applied; 2]);
    assert_eq!(client.fetch::<User>(&ann.id).await.unwrap().as_ref(), Some(&older));

    assert_eq!(client.update(&older, &older).await.unwrap().accepted().await.unwrap().effects, []);
    client.delete(&ann.id).await.unwrap().accepted().await.unwrap();
    assert_eq!(other.fetch::<User>(&ann.id).await, Ok(None));
    assert_eq!(client.get::<User>(&ann.id), Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_may_not_write_has_its_writes_rejected() {
    let server = Server::start();
    server.forbid_writes();
    let client = server.client();
    let write = client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    assert_eq!(write.accepted().await.unwrap_err().code(), "read_only");
    assert_eq!(held_names(&client).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_releases_what_it_held() {
    let server = Server::start();
    let (writer, reader) = (server.client(), server.client());
    writer
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    let mut names = watch_names(&reader).await;
    until(&mut names, |change| change.complete && !change.answer.rows.is_empty()).await;
    assert_eq!(reader.view().n_facts(), 1);
    drop(names);
    for _ in 0..100 {
        if reader.view().n_facts() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await; // virtual: the driver runs meanwhile
    }
    panic!("the fact is still held");
}

#[tokio::test(start_paused = true)]
async fn streams_end_and_calls_fail_when_the_client_is_closed() {
    let server = Server::start();
    let client = server.client();
    let mut names = watch_names(&client).await;
    let (mut statuses, mut rejections) = (client.status_changes(), client.rejections());
    client.close().await;
    while names.next().await.is_some() {}
    while statuses.next().await.is_some() {}
    assert_eq!(rejections.next().await, None);
    let op = Op::Delete { e: tercet_client::new_entity_id() };
    assert_eq!(client.transact(vec![op]).await.unwrap_err(), ClientError::Closed);
    client.close().await; // again: harmless
}

//! Sessions over WebSocket, JSON and binary: hello, subscribe, push, patches, and bad frames.

use reqwest::Method;
use serde_json::{Value, json};
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, ReplicaId};
use tercet_server::{ServerConfig, StorageChoice};
use tercet_sync::message::{Hello, Push};
use tercet_sync::{ClientMessage, Codec, ServerMessage};

use crate::harness::{ADMIN, TestServer, hello, send};

fn push(number: u64, name: &str) -> Value {
    let hlc = Hlc::new(1_000 + number, 0, ReplicaId(7));
    let ops = json!([{"set": {"e": "u", "a": "user/name", "v": name}}]);
    json!({"push": {"number": number, "transaction": {"hlc": hlc, "ops": ops}}})
}

const NAMES: &str = "[:find ?n :where [_ :user/name ?n]]";

fn subscribe(mode: &str) -> Value {
    json!({"subscribe": {"subscription": 1, "query": NAMES, "mode": mode}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_session_sees_its_write_and_that_of_others() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut ann = server.session(&app, "ann").await;
    ann.say(subscribe("rows")).await;
    let subscribed = ann.hear_of("subscribed").await;
    assert_eq!(subscribed["subscription"], 1);
    assert_eq!(subscribed["columns"], json!(["?n"]));
    ann.hear_of("marker").await;
    ann.say(push(1, "Ann")).await;
    let part = ann.hear_of("rows_part").await;
    assert_eq!(part["added"], json!([[{"value": "Ann"}]]), "{part}");
    let ack = ann.hear_of("ack").await;
    assert_eq!((&ack["number"], &ack["effects"]), (&json!(1), &json!(["applied"])));
    assert_eq!(ack["checkpoint"]["seq"], 1);
    server.transact(&app, json!([{"set": {"e": "v", "a": "user/name", "v": "Bob"}}])).await;
    let part = ann.hear_of("rows_part").await;
    assert_eq!(part["added"], json!([[{"value": "Bob"}]]), "{part}");
    assert_eq!(ann.hear_of("marker").await["checkpoint"]["seq"], 2);
    let mut ben = server.session(&app, "ben").await;
    ben.say(subscribe("facts")).await;
    let part = ben.hear_of("facts_part").await;
    assert_eq!(part["installs"].as_array().unwrap().len(), 2, "{part}");
    server.stop().await;
}

/// Guards against an end of the connection before the close was answered, which browsers report
/// as a failure (1006).
#[tokio::test]
async fn a_close_is_answered() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.session(&app, "c").await;
    assert_eq!(socket.say_goodbye().await, 1000);
    let mut silent = server.connect(&app.id, "tercet.v1.json").await;
    assert_eq!(silent.say_goodbye().await, 1000);
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_frame_costs_an_error_and_not_the_session() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.session(&app, "c").await;
    for text in ["", "{", "[]", r#"{"shout": {}}"#, r#"{"ping": {"nonce": -1}}"#] {
        socket.say_text(text).await;
        let error = socket.hear_of("error").await;
        assert_eq!((&error["code"], &error["subscription"]), (&json!("malformed"), &Value::Null));
    }
    socket.say_bytes(vec![1, 2, 3]).await;
    assert_eq!(socket.hear_of("error").await["code"], "malformed");
    let query = "[:find ?n :where [?e :user/name]";
    socket.say(json!({"subscribe": {"subscription": 9, "query": query, "mode": "rows"}})).await;
    assert_eq!(socket.hear_of("error").await["subscription"], 9);
    socket.say(json!({"ping": {"nonce": 5}})).await;
    assert_eq!(socket.hear_of("pong").await["nonce"], 5);
    socket.say(push(1, "Ann")).await;
    assert_eq!(socket.hear_of("ack").await["number"], 1);
    server.stop().await;
}

#[tokio::test]
async fn too_many_malformed_frames_end_the_session() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.malformed_frames_max = 3;
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let mut socket = server.session(&app, "c").await;
    for _ in 0..4 {
        socket.say_text("{").await;
    }
    assert_eq!(socket.closed().await, 1008);
    server.stop().await;
}

#[tokio::test]
async fn a_newer_session_of_a_client_fences_the_older() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut older = server.session(&app, "c").await;
    let mut newer = server.session(&app, "c").await;
    assert_eq!(older.hear_of("error").await["code"], "fenced");
    assert_eq!(older.closed().await, 4409);
    newer.say(push(1, "Ann")).await;
    assert_eq!(newer.hear_of("ack").await["number"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_protocol_is_refused() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.connect(&app.id, "tercet.v1.json").await;
    let mut message = hello(&app.key, "c");
    message["hello"]["protocol"] = json!(99);
    socket.say(message).await;
    assert_eq!(socket.hear().await["error"]["code"], "protocol_version");
    socket.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_frame_beyond_its_bound_ends_the_session() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.session(&app, "c").await;
    let large = "x".repeat((4 << 20) + 1);
    // The server may end the connection before all of it is written.
    let _ = tokio::spawn(async move {
        socket.say_text(&large).await;
        socket.closed().await
    })
    .await;
    let mut other = server.session(&app, "d").await;
    other.say(push(1, "Ann")).await;
    assert_eq!(other.hear_of("ack").await["number"], 1);
    server.stop().await;
}

#[tokio::test]
async fn a_binary_session_says_the_same() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.connect(&app.id, "tercet.v1.bin").await;
    let client = ClientId::new("b").unwrap();
    let hello = ClientMessage::Hello(Hello {
        protocol: 1,
        key: app.key.clone(),
        client,
        last_number: ClientSeq(0),
        received: ClientSeq(0),
        position: None,
    });
    let hear = |bytes: Vec<u8>| Codec::Binary.decode_server(&bytes, 1 << 20).unwrap();
    socket.say_bytes(Codec::Binary.encode_client(&hello).to_vec()).await;
    assert!(matches!(hear(socket.hear_bytes().await), ServerMessage::Welcome(_)));
    let ops = serde_json::from_value(json!([{"delete": {"e": "u"}}])).unwrap();
    let transaction = Transaction { hlc: Hlc::new(5, 0, ReplicaId(1)), ops };
    let push = ClientMessage::Push(Push { number: ClientSeq(1), transaction });
    socket.say_bytes(Codec::Binary.encode_client(&push).to_vec()).await;
    loop {
        match hear(socket.hear_bytes().await) {
            ServerMessage::Ack(ack) => break assert_eq!(ack.number, ClientSeq(1)),
            ServerMessage::Marker(_) => {}
            other => panic!("{other:?}"),
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn stopping_tells_the_sessions() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut socket = server.session(&app, "c").await;
    let closed = tokio::spawn(async move { socket.closed().await });
    server.stop().await;
    assert_eq!(closed.await.unwrap(), 1012);
}

/// A session that does not read is told less, never something else: when it reads again it learns
/// that it fell behind, subscribes anew and has everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_session_is_told_to_resync() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.sync.queue_max = 4;
    config.limits.write_timeout = std::time::Duration::from_secs(60);
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let mut slow = server.session(&app, "slow").await;
    slow.say(subscribe("rows")).await;
    slow.hear_of("marker").await;
    // More than the sockets' buffers hold.
    let n_commits = 60;
    for n in 0..n_commits {
        let name = format!("{n} {}", "x".repeat(500_000));
        let set = json!([{"set": {"e": format!("e{n}"), "a": "user/name", "v": name}}]);
        server.transact(&app, set).await;
    }
    slow.hear_of("resync").await;
    let find = "[:find (count ?n) :where [_ :user/name ?n]]";
    slow.say(json!({"subscribe": {"subscription": 2, "query": find, "mode": "rows"}})).await;
    slow.hear_of("subscribed").await;
    assert_eq!(slow.hear_of("rows_part").await["added"], json!([[{"value": n_commits}]]));
    server.stop().await;
}

/// A subscription that holds a row which fits into no frame is refused by itself; before, the
/// frame ended the session, and again after each reconnect.
#[tokio::test]
async fn a_row_too_large_for_a_frame_ends_no_session() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let mut session = server.session(&app, "c").await;
    // In JSON each of its characters takes six bytes.
    let longest = "\0".repeat(1 << 20);
    let field = |n: u32| json!([{"set": {"e": "u", "a": format!("user/f{n}"), "v": longest}}]);
    server.transact(&app, field(0)).await;
    for mode in ["rows", "facts"] {
        let query = "[:find ?f :where [_ :user/f0 ?f]]";
        session.say(json!({"subscribe": {"subscription": 1, "query": query, "mode": mode}})).await;
        let part = session.hear_of(&format!("{mode}_part")).await;
        assert!(part.to_string().len() > 6 << 20, "{mode}");
    }
    server.transact(&app, field(1)).await;
    server.transact(&app, field(2)).await;
    let query = "[:find (pull ?u [*]) :where [?u :user/f0]]";
    session.say(json!({"subscribe": {"subscription": 2, "query": query, "mode": "rows"}})).await;
    let error = session.hear_of("error").await;
    assert_eq!((&error["code"], &error["subscription"]), (&json!("row_too_large"), &json!(2)));
    session.say(json!({"ping": {"nonce": 7}})).await;
    assert_eq!(session.hear_of("pong").await["nonce"], 7);
    server.stop().await;
}

#[tokio::test]
async fn kept_results_share_a_bound() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.query_bytes_max = 2 << 20;
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let op = |n: u64| json!({"set": {"e": format!("n{n}"), "a": "n/v", "v": n}});
    server.transact(&app, (0..50).map(op).collect()).await;
    let mut session = server.session(&app, "c").await;
    let product = |n: u64| {
        let query = format!("[:find ?a ?b :where [_ :n/v ?a] [_ :n/v ?b] [(!= ?a -{n})]]");
        json!({"subscribe": {"subscription": n, "query": query, "mode": "rows"}})
    };
    for n in 1..=3 {
        session.say(product(n)).await;
        assert_eq!(session.hear_of("subscribed").await["subscription"], n);
        session.hear_of("marker").await;
    }
    session.say(product(4)).await;
    let error = session.hear_of("error").await;
    assert_eq!((&error["code"], &error["subscription"]), (&json!("query_over_budget"), &json!(4)));
    session.say(json!({"unsubscribe": {"subscription": 1}})).await;
    session.say(product(5)).await;
    assert_eq!(session.hear_of("subscribed").await["subscription"], 5);
    server.stop().await;
}

/// What live queries cost is told to the admin and to nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_sees_what_live_queries_cost() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let path = format!("/v1/admin/apps/{}/live", app.id);
    let get = |path: &str, token: &str| {
        send(server.request(Method::GET, path).bearer_auth(token.to_owned()))
    };
    assert_eq!(get(&path, ADMIN).await.ok(), json!({"loaded": false}));
    assert_eq!(get(&path, &app.key).await.problem(), (403, "forbidden".to_owned()));
    let unknown = get("/v1/admin/apps/nosuchapp/live", ADMIN).await;
    assert_eq!(unknown.problem(), (404, "app_unknown".to_owned()));

    let mut sockets = Vec::new();
    for client in ["ann", "ben", "cy"] {
        let mut socket = server.session(&app, client).await;
        socket.say(subscribe("rows")).await;
        socket.hear_of("marker").await;
        sockets.push(socket);
    }
    sockets[0].say(push(1, "Ann")).await;
    sockets[0].hear_of("ack").await;
    let live = get(&path, ADMIN).await.ok();
    let counts = ["sessions", "subscriptions", "stale", "evaluations", "told_stale", "retries"];
    assert_eq!(counts.map(|name| live[name].as_u64().unwrap()), [3, 1, 0, 1, 0, 0], "{live}");
    assert_eq!(live["lingering"], 0);
    assert!(live["ring_bytes"].as_u64().unwrap() > 0, "the patch is kept: {live}");
    let [shape] = &live["shapes"].as_array().unwrap()[..] else { panic!("{live}") };
    assert_eq!(shape["query"], "[:find ?n\n :where [_ :user/name ?n]]");
    assert_eq!((&shape["tier"], &shape["emitted"]), (&json!("delta"), &json!(1)), "{live}");
    server.stop().await;
}

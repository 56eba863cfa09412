//! What bad input gets from the real server process, over HTTP and over WebSocket in both codecs.
//!
//! Each is told a stable code; the process, what it has acknowledged and everybody else's session
//! stay as they are ([`World::check`]), and so does the session of the sinner where it can. At the
//! end of each test the server is killed: what it had acknowledged is on the disk.
#![allow(clippy::unwrap_used)]

mod support {
    pub(crate) mod http;
    pub(crate) mod process;
    pub(crate) mod session;
    pub(crate) mod world;
}

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use support::http::App;
use support::process::ADMIN;
use support::session::{Session, hello};
use support::world::{World, problem, push, push_at, subscribe};
use tercet_engine::codec;
use tercet_engine::program::raw::{ClauseId, RawClause, RawFindElement, RawProgram};
use tercet_engine::value::Value as FactValue;
use tercet_sync::message::{Mode, Nonce, Subscribe};
use tercet_sync::wire_query::WireQuery;
use tercet_sync::{ClientMessage, Codec, ServerMessage, SubscriptionId};
use tokio_tungstenite::tungstenite::Message;

const CODECS: [Codec; 2] = [Codec::Json, Codec::Binary];

fn op(e: &str, a: &str, v: impl Into<Value>) -> Value {
    json!({"set": {"e": e, "a": a, "v": v.into()}})
}

fn ops(op: &Value) -> Vec<u8> {
    json!({"ops": [op]}).to_string().into_bytes()
}

/// The bytes with one piece, which is there once, exchanged.
fn exchanged(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at: Vec<usize> =
        (0..bytes.len()).filter(|&start| bytes[start..].starts_with(from)).collect();
    let [at] = at[..] else { panic!("{from:?} is there {} times", at.len()) };
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// A message with one text in it exchanged for one that the types do not let through.
fn with_text(codec: Codec, message: &ClientMessage, from: &str, to: &str) -> Vec<u8> {
    let piece = |text: &str| match codec {
        Codec::Json => json!(text).to_string().into_bytes(),
        Codec::Binary => codec::encode(&text),
    };
    exchanged(&codec.encode_client(message), &piece(from), &piece(to))
}

/// Checks that the number is the session's next, and that it is taken.
async fn check_push(session: &mut Session, number: u64) {
    session.say(&push(number, json!([op("pushed", "pushed/number", number)]))).await;
    match session.hear().await {
        ServerMessage::Ack(ack) if ack.number.0 == number => {}
        other => panic!("{other:?}"),
    }
}

/// Checks that frames are refused as no messages and that the session goes on, with number 1.
async fn check_frames(world: &mut World, codec: Codec, frames: &[Vec<u8>]) {
    let mut session = Session::begin(&world.app, codec, "sinner").await;
    for frame in frames {
        session.say_bytes(frame.clone()).await;
        let error = session.hear_error().await;
        let shown =
            format!("{codec:?} {:?}", String::from_utf8_lossy(&frame[..frame.len().min(99)]));
        assert_eq!((error.code.as_str(), error.subscription), ("malformed", None), "{shown}");
        assert!(!error.message.is_empty());
        session.check_alive().await;
        world.check(&shown).await;
    }
    check_push(&mut session, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_frames() {
    let mut world = World::start().await;
    let frames = [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "\u{0}",
        r#"{"shout": {}}"#,
        r#"{"ping": {"nonce": -1}}"#,
        r#"{"ping": {"nonce": 1, "more": 1}}"#,
        r#"{"ping": {"nonce": 1}} {"ping": {"nonce": 2}}"#,
        r#"{"push": {"number": 1}}"#,
        r#"{"push": {"number": 1, "transaction": {"hlc": "xyz", "ops": []}}}"#,
        r#"{"unsubscribe": {"subscription": "1"}}"#,
    ];
    check_frames(&mut world, Codec::Json, &frames.map(|frame| frame.as_bytes().to_vec())).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_binary_frames() {
    let mut world = World::start().await;
    let encoded = |message: &ClientMessage| Codec::Binary.encode_client(message).to_vec();
    let ping = encoded(&ClientMessage::Ping(Nonce { nonce: 1 }));
    let good = encoded(&push(1, json!([op("text", "a/b", "v")])));
    // The largest number that the codec has, where a length is.
    let claim = [253, 255, 255, 255, 255, 255, 255, 255, 127];
    let empty = codec::encode(&push(1, json!([])));
    let frames = [
        vec![],
        vec![255],
        vec![99],
        b"{\"ping\": {\"nonce\": 1}}".to_vec(),
        ping[..ping.len() - 1].to_vec(),
        [ping.as_slice(), &[0]].concat(),
        [ping.as_slice(), ping.as_slice()].concat(),
        good[..good.len() - 1].to_vec(),
        [good.as_slice(), &[1, 2, 3]].concat(),
        exchanged(&good, &codec::encode(&"text"), &claim),
        exchanged(&good, b"text", &[0xff, 0xfe, 0xfd, 0xfc]),
        [&empty[..empty.len() - 1], &claim].concat(),
        [&empty[..empty.len() - 1], &[252, 255, 255, 255, 255]].concat(),
    ];
    check_frames(&mut world, Codec::Binary, &frames).await;
    world.finish().await;
}

/// Frames of the other codec are refused as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_the_other_kind() {
    let mut world = World::start().await;
    for codec in CODECS {
        let mut session = Session::begin(&world.app, codec, "sinner").await;
        session
            .say_message(match codec {
                Codec::Json => Message::binary(vec![5, 1]),
                Codec::Binary => Message::text(r#"{"ping": {"nonce": 1}}"#),
            })
            .await;
        assert_eq!(session.hear_error().await.code, "malformed");
        check_push(&mut session, 1).await;
        world.check("a frame of the other kind").await;
    }
    world.finish().await;
}

/// What breaks the WebSocket itself ends the session, with a reason.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_websocket_frames() {
    let mut world = World::start().await;
    let too_long = |n_bytes: u64| [&[0x82, 0xff][..], &n_bytes.to_be_bytes(), &[0; 4]].concat();
    for (what, bytes, code) in [
        ("a frame without a mask", vec![0x82, 0x01, 0x00], "malformed"),
        ("a reserved bit", vec![0xf2, 0x80, 0, 0, 0, 0], "malformed"),
        ("a reserved opcode", vec![0x83, 0x80, 0, 0, 0, 0], "malformed"),
        ("a continuation of nothing", vec![0x80, 0x80, 0, 0, 0, 0], "malformed"),
        ("text that is no UTF-8", vec![0x81, 0x81, 0, 0, 0, 0, 0xff], "malformed"),
        ("a frame that claims 2^62 bytes", too_long(1 << 62), "frame_too_large"),
        ("a frame that claims 5 MiB", too_long(5 << 20), "frame_too_large"),
    ] {
        for codec in CODECS {
            let mut session = Session::begin(&world.app, codec, "sinner").await;
            session.say_raw(&bytes).await;
            session.hear_end(code).await;
            world.check(what).await;
        }
    }
    world.finish().await;
}

/// The whole of a frame that is too long is on its way when the server ends the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_beyond_its_bound() {
    let mut world = World::start().await;
    for codec in CODECS {
        let mut session = Session::begin(&world.app, codec, "sinner").await;
        session.say_bytes(vec![b' '; (4 << 20) + 1]).await;
        session.hear_end("frame_too_large").await;
        world.check("a frame beyond its bound").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies() {
    let mut world = World::start().await;
    let mut cases = Vec::new();
    for route in ["transact", "query"] {
        for body in ["", "{", "null", "[]", "{}", "{} {}", "\"x\"", "{\"no\": 1}", "\u{0}"] {
            cases.push((route, body.as_bytes().to_vec(), 400, "malformed"));
        }
        cases.push((route, vec![b'{', b'"', 0xff, b'"', b'}'], 400, "malformed"));
    }
    for body in ["{", "[]", "{\"set\": {}}", "\u{1}", "{} {}", "{\"checkpoint\": 1}"] {
        cases.push(("import?id=broken", body.as_bytes().to_vec(), 400, "malformed"));
    }
    cases.push(("import", vec![], 400, "malformed"));
    cases.push(("transact", ops(&json!({"put": {"e": "x"}})), 400, "malformed"));
    cases.push(("transact", ops(&op("x", "a/b", Value::Null)), 400, "malformed"));
    cases.push(("transact", ops(&op("x", "a/b", json!([1]))), 400, "malformed"));
    cases.push(("transact", b"{\"ops\": []}".to_vec(), 422, "malformed"));
    cases.push(("transact", vec![b' '; (32 << 20) + 1], 413, "body_too_large"));
    cases.push(("query", vec![b' '; (1 << 20) + 1], 413, "body_too_large"));
    cases.push(("import?id=broken", vec![b' '; (8 << 20) + 1], 413, "body_too_large"));
    world.check_bodies(cases).await;
    for path in ["/v1/admin/apps".to_owned(), format!("/v1/admin/apps/{}/keys", world.app.id)] {
        let request = world.app.client.post(format!("{}{path}", world.app.url));
        let answer = problem(request.bearer_auth(ADMIN).body("{")).await;
        assert_eq!((answer.0, answer.1.as_str()), (400, "malformed"));
        world.check(&path).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_edn() {
    let mut world = World::start().await;
    let cases = [
        ("", "query_form"),
        ("[", "query_syntax"),
        ("[:find ?n :where [?e :user/name ?n]", "query_syntax"),
        ("[:find ?n :where [?e :user/name ?n]]]", "query_syntax"),
        ("[:find ?n :where [?e :user/name \"n]]", "query_syntax"),
        ("[:find ?n :wher [?e :user/name ?n]]", "query_unknown_key"),
        ("[:find ?m :where [?e :user/name ?n]]", "query_unbound"),
        ("[:find ?n :where (nobody ?n)]", "query_unknown_rule"),
        ("\u{0}", "query_form"),
    ];
    world.check_queries(&cases.map(|(text, code)| (json!(text), 400, code))).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_queries() {
    let mut world = World::start().await;
    let cases = [
        (json!(7), "query_json"),
        (json!(null), "query_json"),
        (json!([]), "query_json"),
        (json!({}), "query_missing_find"),
        (json!({"find": ["?n"], "wher": []}), "query_unknown_key"),
        (json!({"find": ["?n"], "where": [7]}), "query_json"),
        (json!({"find": ["?n"], "where": [{"no": []}]}), "query_json"),
        (json!({"find": ["?m"], "where": [["?e", "user/name", "?n"]]}), "query_unbound"),
    ];
    world.check_queries(&cases.map(|(form, code)| (form, 400, code))).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_a_wrong_key_and_an_unknown_app() {
    let mut world = World::start().await;
    let other = App::create(&world.server).await;
    let (id, key) = (world.app.id.clone(), world.app.key.clone());
    let wrong = [
        (id.clone(), "trc_guess".to_owned()),
        (id.clone(), other.key.clone()),
        (id.clone(), key[..key.len() - 1].to_owned()),
        (id.clone(), "x".repeat(5_000)),
        (id.clone(), ADMIN.to_owned()),
        ("nosuchapp".to_owned(), key.clone()),
        ("..%2f..%2fetc%2fpasswd".to_owned(), key.clone()),
    ];
    let routes = ["transact", "query", "import?id=i", "export", "changes"];
    for route in routes {
        let method = if route.starts_with('e') || route.starts_with('c') {
            Method::GET
        } else {
            Method::POST
        };
        let nobody = format!("{}/v1/apps/{id}/{route}", world.app.url);
        let answer = problem(world.app.client.request(method.clone(), nobody)).await;
        assert_eq!((answer.0, answer.1.as_str()), (401, "unauthenticated"), "{route}");
        let mut answers = Vec::new();
        for (id, key) in wrong.clone() {
            let sinner =
                App { id, key, url: world.app.url.clone(), client: world.app.client.clone() };
            answers.push(problem(sinner.request(method.clone(), route)).await);
        }
        assert_eq!((answers[0].0, answers[0].1.as_str()), (403, "forbidden"), "{route}");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        world.check(route).await;
    }
    // Who is still sending is told as well.
    let upload = world.app.client.post(format!("{}/v1/apps/{id}/import?id=i", world.app.url));
    let answer = problem(upload.body(vec![b' '; 16 << 20])).await;
    assert_eq!((answer.0, answer.1.as_str()), (401, "unauthenticated"));
    for codec in CODECS {
        for (id, key) in wrong.clone().into_iter().chain([(id.clone(), String::new())]) {
            let sinner =
                App { id, key, url: world.app.url.clone(), client: world.app.client.clone() };
            let mut session = Session::connect(&sinner, codec).await;
            session.say(&hello(&sinner.key, "sinner")).await;
            session.hear_end("forbidden").await;
        }
        world.check("wrong keys").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_attributes() {
    let mut world = World::start().await;
    let internal = ["_deleted", "user/_deleted", "_user/name"];
    for attribute in internal {
        let op = op("x", attribute, true);
        world
            .check_bodies(vec![
                ("transact", ops(&op), 400, "attribute_internal"),
                ("import?id=internal", op.to_string().into_bytes(), 400, "attribute_internal"),
            ])
            .await;
        // In a text, and where only the evaluation knows that it is an attribute.
        let query = json!(format!("[:find ?v :where [_ \"{attribute}\" ?v]]"));
        world.check_queries(&[(query, 400, "attribute_internal")]).await;
    }
    for codec in CODECS {
        let good = push(1, json!([op("x", "mark/attribute", 1)]));
        let frames = internal.map(|to| with_text(codec, &good, "mark/attribute", to));
        check_frames(&mut world, codec, &frames).await;
    }
    // Deleting makes an internal mark, which no query sees.
    world.app.transact(json!([op("gone", "gone/is", true), {"delete": {"e": "gone"}}])).await;
    let attributes = world.app.rows("[:find ?a :where [_ ?a _]]").await;
    assert_eq!(attributes, [json!(["pushed/number"]), json!(["user/name"])]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none() {
    let mut world = World::start().await;
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"] {
        let set = op("x", "a/b", 0.25).to_string().replace("0.25", number);
        let asks =
            format!(r#"{{"query": {{"find": ["?e"], "where": [["?e", "a/b", {number}]]}}}}"#);
        let given = format!(
            r#"{{"query": "[:find ?e :in ?v :where [?e :a/b ?v]]", "inputs": [{number}]}}"#
        );
        world
            .check_bodies(vec![
                ("transact", format!(r#"{{"ops": [{set}]}}"#).into_bytes(), 400, "malformed"),
                ("import?id=nan", set.into_bytes(), 400, "malformed"),
                ("query", asks.into_bytes(), 400, "malformed"),
                ("query", given.into_bytes(), 400, "malformed"),
            ])
            .await;
    }
    let queries = [
        ("1e999", "number_not_finite"),
        ("-1e999", "number_not_finite"),
        ("##NaN", "number_not_finite"),
        ("##Inf", "number_not_finite"),
        ("NaN", "query_term"),
    ];
    let query = |number| json!(format!("[:find ?e :where [?e :a/b {number}]]"));
    world.check_queries(&queries.map(|(number, code)| (query(number), 400, code))).await;
    // 0/0 is no number either: it has no result, which is no error.
    let rows = world.app.rows("[:find ?x :where [(/ 0 0) ?x]]").await;
    assert_eq!(rows, [] as [Value; 0]);
    let good = push(1, json!([op("x", "a/b", 0.25)]));
    let text = String::from_utf8(Codec::Json.encode_client(&good).to_vec()).unwrap();
    let frames = ["NaN", "1e999"].map(|number| text.replace("0.25", number).into_bytes());
    check_frames(&mut world, Codec::Json, &frames).await;
    let canonical = FactValue::double(0.25).unwrap().to_canonical();
    let frames = [f64::NAN, f64::INFINITY].map(|number| {
        // As `to_canonical` writes positive numbers.
        let sortable = number.to_bits() | 1 << 63;
        let to = [&canonical[..1], &sortable.to_be_bytes()].concat();
        exchanged(&Codec::Binary.encode_client(&good), &canonical, &to)
    });
    check_frames(&mut world, Codec::Binary, &frames).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_values_that_are_too_long() {
    let mut world = World::start().await;
    let long = "e".repeat(257);
    let attribute = format!("a/{}", "b".repeat(255));
    let value = "v".repeat((1 << 20) + 1);
    for (op, status, code) in [
        (op(&long, "a/b", 1), 400, "id_too_long"),
        (op("", "a/b", 1), 400, "id_empty"),
        (op("a\u{0}", "a/b", 1), 400, "id_control_character"),
        (op("x", &attribute, 1), 400, "id_too_long"),
        (op("x", "a/b", json!({"$ref": long})), 400, "id_too_long"),
        (op("x", "a/b", value.as_str()), 422, "value_too_large"),
    ] {
        world
            .check_bodies(vec![
                ("transact", ops(&op), status, code),
                ("import?id=long", op.to_string().into_bytes(), status, code),
            ])
            .await;
    }
    let many = json!({"ops": vec![op("x", "a/b", 1); 10_001]}).to_string().into_bytes();
    let large = vec![op("x", "a/b", &value[1..]); 9];
    world
        .check_bodies(vec![
            ("transact", many, 422, "too_many_ops"),
            (
                "transact",
                json!({"ops": large}).to_string().into_bytes(),
                422,
                "transaction_too_large",
            ),
        ])
        .await;
    // What was wrong with an import is put right under the same id.
    world.app.text(world.post("import?id=long", op("x", "a/b", 1).to_string())).await;
    for codec in CODECS {
        let good = push(1, json!([op("mark", "mark/attribute", json!({"$ref": "referred"}))]));
        let mut frames = vec![
            with_text(codec, &good, "mark", &long),
            with_text(codec, &good, "mark", ""),
            with_text(codec, &good, "mark/attribute", &attribute),
        ];
        if codec == Codec::Json {
            frames.push(with_text(codec, &good, "referred", &long));
        }
        check_frames(&mut world, codec, &frames).await;
        // A value that is too long is in a message: its number is used up.
        let mut session = Session::begin(&world.app, codec, "verbose").await;
        for number in 1..=2 {
            session.say(&push(number, json!([op("x", "a/b", value.as_str())]))).await;
            match session.hear().await {
                ServerMessage::Reject(reject) if reject.number.0 == number => {
                    assert_eq!((reject.code.as_str(), reject.op), ("value_too_large", Some(0)));
                }
                other => panic!("{other:?}"),
            }
        }
        check_push(&mut session, 3).await;
        world.check("a value that is too long").await;
        world.app.text(world.app.request(Method::GET, "export")).await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_future_stamp() {
    let mut world = World::start().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    for codec in CODECS {
        let mut session = Session::begin(&world.app, codec, &format!("{codec:?}")).await;
        for future_ms in [now_ms + 3_600_000, (1 << 48) - 1] {
            session.say(&push_at(1, future_ms, json!([op("future", "a/b", 1)]))).await;
            match session.hear().await {
                ServerMessage::Refused(refused) => {
                    assert_eq!((refused.code.as_str(), refused.from_number.0), ("clock_drift", 1));
                    assert!(refused.server_time_ms >= now_ms);
                }
                other => panic!("{other:?}"),
            }
            session.check_alive().await;
            world.check("a far-future stamp").await;
        }
        // The number is not used up.
        check_push(&mut session, 1).await;
        // A cover of a stamp that is yet to come would undo what nobody has seen.
        let covers = "7f".repeat(18);
        let remove = json!({"remove": {"e": "x", "a": "a/b", "v": 1, "covers": covers}});
        session.say(&push(2, json!([remove]))).await;
        match session.hear().await {
            ServerMessage::Reject(reject) => assert_eq!(reject.code, "cover_in_future"),
            other => panic!("{other:?}"),
        }
        check_push(&mut session, 3).await;
        world.check_bodies(vec![("transact", ops(&remove), 422, "cover_in_future")]).await;
        let import = format!("import?id=future{codec:?}");
        world
            .check_bodies(vec![(&import, remove.to_string().into_bytes(), 422, "cover_in_future")])
            .await;
        world.app.text(world.post(&import, op("x", "a/b", 1).to_string())).await;
    }
    assert_eq!(world.app.rows("[:find ?v :where [\"future\" :a/b ?v]]").await, [] as [Value; 0]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deeply_nested_query() {
    let mut world = World::start().await;
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    let nots = |n: usize| {
        format!("[:find ?e :where [?e :a/b] {}[?e :a/c]{}]", "(not ".repeat(n), ")".repeat(n))
    };
    let mut form = json!(["?e", "a/c"]);
    for _ in 0..40 {
        form = json!({"not": [form]});
    }
    world
        .check_queries(&[
            (json!(nested(40)), 400, "query_too_deep"),
            (json!("[".repeat(60_000)), 400, "query_too_deep"),
            (json!(nested(30_000)), 400, "query_too_deep"),
            (json!("[".repeat(100_000)), 413, "query_too_long"),
            (json!(nested(100_000)), 413, "query_too_long"),
            (json!(nots(40)), 400, "query_too_deep"),
            (json!({"find": ["?e"], "where": [["?e", "a/b"], form]}), 400, "query_too_deep"),
        ])
        .await;
    // JSON that nests deeper than is read at all.
    let deep = nested(100_000);
    world
        .check_bodies(vec![
            ("query", format!(r#"{{"query": {deep}}}"#).into_bytes(), 400, "malformed"),
            (
                "query",
                format!(
                    r#"{{"query": "[:find ?e :in ?v :where [?e :a/b ?v]]", "inputs": {deep}}}"#
                )
                .into_bytes(),
                400,
                "malformed",
            ),
            ("transact", format!(r#"{{"ops": {deep}}}"#).into_bytes(), 400, "malformed"),
            ("import?id=deep", deep.clone().into_bytes(), 400, "malformed"),
        ])
        .await;
    let subscribe =
        format!(r#"{{"subscribe": {{"subscription": 1, "query": {deep}, "mode": "rows"}}}}"#);
    check_frames(&mut world, Codec::Json, &[subscribe.into_bytes(), deep.into_bytes()]).await;
    // Binary frames do not nest; they can only say that a clause holds itself, or what is not there.
    let mut session = Session::begin(&world.app, Codec::Binary, "knot").await;
    for (subscription, child) in [(1, 0), (2, 7), (3, u32::MAX)] {
        let program = RawProgram {
            find: vec![RawFindElement::Variable("e".parse().unwrap())],
            clauses: vec![RawClause::Not { join: None, body: vec![ClauseId(child)] }],
            body: vec![ClauseId(0)],
            ..RawProgram::default()
        };
        let (subscription, query) = (SubscriptionId(subscription), WireQuery::new(program));
        let subscribe =
            Subscribe { subscription, query, inputs: vec![], mode: Mode::Rows, resume: None };
        session.say(&ClientMessage::Subscribe(subscribe)).await;
        let error = session.hear_error().await;
        assert_eq!(
            (error.code.as_str(), error.subscription),
            ("query_malformed", Some(subscription))
        );
        session.check_alive().await;
        world.check("a clause that holds itself").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_query() {
    let mut world = World::start().await;
    let bulk: Vec<Value> = (0..1_000).map(|n| op(&format!("bulk{n}"), "bulk/n", n)).collect();
    world.app.transact(json!(bulk)).await;
    let runaways = [
        // Makes a new number in every round, for ever.
        "[:find (max ?n) . :where (up ?n) :rules [[(up ?n) [(ground 0) ?n]] [(up ?n) (up ?m) [(+ ?m 1) ?n]]]]",
        // Doubles a text in every round.
        "[:find (count ?t) . :where (up ?t) :rules [[(up ?t) [(ground \"x\") ?t]] [(up ?t) (up ?s) [(str ?s ?s) ?t]]]]",
        // A thousand million rows.
        "[:find (count ?c) . :with ?a ?b :where [?a :bulk/n] [?b :bulk/n] [?c :bulk/n]]",
        "[:find ?a ?b ?c :where [?a :bulk/n] [?b :bulk/n] [?c :bulk/n]]",
    ];
    // All of them at once, and the others are served meanwhile.
    let running = runaways.map(|query| {
        let request = world.post("query", json!({"query": query}).to_string());
        tokio::spawn(problem(request))
    });
    world.check("runaways that still run").await;
    for (query, running) in runaways.into_iter().zip(running) {
        let (status, code, answer) = running.await.unwrap();
        // Which bound is met first, work or time, depends on the machine.
        assert_eq!(status, 422, "{query} {answer}");
        assert!(["query_over_budget", "query_stopped"].contains(&&*code), "{query} {answer}");
    }
    world.check("runaways").await;
    for codec in CODECS {
        let mut session = Session::begin(&world.app, codec, "runaway").await;
        for (subscription, query) in (1_u64..).zip(&runaways[..3]) {
            session.say(&subscribe(subscription, query, Mode::Rows)).await;
            let error = session.hear_error().await;
            assert_eq!(error.subscription, Some(SubscriptionId(subscription)), "{error:?}");
            let expected = ["query_over_budget", "query_stopped"];
            assert!(expected.contains(&error.code.as_str()), "{query} {error:?}");
            session.check_alive().await;
        }
        check_push(&mut session, 1).await;
        world.check("runaway subscriptions").await;
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_turn() {
    let mut world = World::start().await;
    for codec in CODECS {
        let name = format!("{codec:?}");
        let good = hello(&world.app.key, &name);
        let mut other = good.clone();
        let ClientMessage::Hello(hello) = &mut other else { unreachable!() };
        hello.protocol = 2;
        // Nothing else than a hello comes first.
        let garbage = match codec {
            Codec::Json => b"{".to_vec(),
            Codec::Binary => vec![255],
        };
        let bytes = |message: &ClientMessage| codec.encode_client(message).to_vec();
        for (first, code) in [
            (bytes(&ClientMessage::Ping(Nonce { nonce: 1 })), "malformed"),
            (bytes(&push(1, json!([op("x", "a/b", 1)]))), "malformed"),
            (bytes(&subscribe(1, "[:find ?e :where [?e :a/b]]", Mode::Rows)), "malformed"),
            (garbage, "malformed"),
            (bytes(&other), "protocol_version"),
        ] {
            let mut session = Session::connect(&world.app, codec).await;
            session.say_bytes(first).await;
            session.hear_end(code).await;
            world.check("a message before hello").await;
        }
        let mut session = Session::begin(&world.app, codec, &name).await;
        check_push(&mut session, 1).await;
        session.say(&good).await;
        session.hear_end("malformed").await;
        world.check("a second hello").await;

        let mut session = Session::begin(&world.app, codec, &name).await;
        session.say(&push(5, json!([op("gap", "a/b", 1)]))).await;
        match session.hear().await {
            ServerMessage::Refused(refused) => {
                assert_eq!((refused.code.as_str(), refused.from_number.0), ("seq_gap", 2));
            }
            other => panic!("{other:?}"),
        }
        session.check_alive().await;
        check_push(&mut session, 2).await;
        world.check("a gap").await;
        // Number 1 was something else.
        session.say(&push(1, json!([op("conflict", "a/b", 1)]))).await;
        session.hear_end("seq_conflict").await;
        world.check("a conflict").await;
        let mut session = Session::begin(&world.app, codec, &name).await;
        check_push(&mut session, 2).await;
        check_push(&mut session, 3).await;
    }
    let numbered = |number: u64, e: &str| {
        let body = json!({"client": "http", "number": number, "ops": [op(e, "a/b", 1)]});
        body.to_string().into_bytes()
    };
    world.app.text(world.post("transact", numbered(1, "x"))).await;
    world
        .check_bodies(vec![
            ("transact", numbered(3, "gap"), 409, "seq_gap"),
            ("transact", numbered(1, "conflict"), 409, "seq_conflict"),
        ])
        .await;
    let written = world.app.rows("[:find ?e :where [?e :a/b]]").await;
    assert_eq!(written, [json!([{"$ref": "x"}])]);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_none_of_ours() {
    let mut world = World::start().await;
    let upgrade = |world: &World| {
        let request = world.app.request(Method::GET, "sync");
        let request = request.header("connection", "upgrade").header("upgrade", "websocket");
        request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let wrong = "tercet.v2.json, chat";
    for (what, request, code) in [
        ("no upgrade", world.app.request(Method::GET, "sync"), "not_a_websocket"),
        ("no version", upgrade(&world), "not_a_websocket"),
        (
            "no subprotocol",
            upgrade(&world).header("sec-websocket-version", "13"),
            "protocol_version",
        ),
        (
            "a wrong subprotocol",
            upgrade(&world)
                .header("sec-websocket-version", "13")
                .header("sec-websocket-protocol", wrong),
            "protocol_version",
        ),
    ] {
        let answer = problem(request).await;
        assert_eq!((answer.0, answer.1.as_str()), (400, code), "{what} {answer:?}");
        world.check(what).await;
    }
    world.finish().await;
}

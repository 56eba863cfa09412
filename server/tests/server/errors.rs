//! What a bad request is told: a status, a stable code, and where it is.

use reqwest::Method;
use serde_json::{Value, json};
use tercet_server::{ServerConfig, StorageChoice};

use crate::harness::{ADMIN, TestServer, send};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = TestServer::in_memory().await;
    for path in ["/", "/v1", "/v1/apps", "/v1/apps/a", "/v1/apps/a/b/c", "/v2/health"] {
        let answer = send(server.request(Method::GET, path)).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()), "{path}");
    }
    for (method, path) in [
        (Method::POST, "/v1/health"),
        (Method::GET, "/v1/apps/a/transact"),
        (Method::DELETE, "/v1/apps/a/export"),
        (Method::PUT, "/v1/admin/apps"),
    ] {
        let answer = send(server.request(method, path)).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_bad_transaction_names_its_operation() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let good = json!({"set": {"e": "u", "a": "user/name", "v": "Ann"}});
    let op = |op: Value| json!({"ops": [good, op]});
    for (body, status, code, place) in [
        (json!({"ops": []}), 422, "malformed", None),
        (json!({}), 400, "malformed", None),
        (json!({"ops": 5}), 400, "malformed", None),
        (json!({"ops": [good], "opps": 1}), 400, "malformed", None),
        (json!({"ops": [good], "client": "c"}), 400, "malformed", None),
        (json!({"ops": [good], "number": 1}), 400, "malformed", None),
        (op(json!({"put": {"e": "u"}})), 400, "malformed", Some(1)),
        (op(json!({"set": {"e": "u", "a": "user/name"}})), 400, "malformed", Some(1)),
        (op(json!({"set": {"e": "u", "a": "user/name", "v": null}})), 400, "malformed", Some(1)),
        (
            op(json!({"set": {"e": "u", "a": "_deleted", "v": 1}})),
            400,
            "attribute_internal",
            Some(1),
        ),
        (op(json!({"set": {"e": "u", "a": "name", "v": 1}})), 400, "attribute_malformed", Some(1)),
        (op(json!({"delete": {"e": ""}})), 400, "id_empty", Some(1)),
        (op(json!({"delete": {"e": "e".repeat(300)}})), 400, "id_too_long", Some(1)),
        (op(json!({"delete": {"e": "a\u{0}"}})), 400, "id_control_character", Some(1)),
        (
            op(json!({"set": {"e": "u", "a": "a/b", "v": "x".repeat((1 << 20) + 1)}})),
            422,
            "value_too_large",
            Some(1),
        ),
        (json!({"ops": vec![good.clone(); 10_001]}), 422, "too_many_ops", None),
    ] {
        let answer = server.post(&app, "transact", body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{answer:?}");
        assert_eq!(answer.json().get("op").and_then(Value::as_u64), place, "{answer:?}");
    }
    let broken = server.to(Method::POST, &app, "transact").body("{\"ops\": [");
    assert_eq!(send(broken).await.problem(), (400, "malformed".to_owned()));
    assert_eq!(server.rows(&app, "[:find ?e :where [?e :user/name]]").await, json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_number_is_used_once_and_in_order() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let body = |number: u64, value: u64| {
        json!({"client": "c", "number": number,
               "ops": [{"set": {"e": "u", "a": "user/age", "v": value}}]})
    };
    let first = server.post(&app, "transact", body(1, 10)).await.ok();
    assert_eq!((&first["seq"], &first["effects"]), (&json!(1), &json!(["applied"])));
    assert_eq!(server.post(&app, "transact", body(1, 10)).await.ok(), first);
    let conflict = server.post(&app, "transact", body(1, 11)).await;
    assert_eq!(conflict.problem(), (409, "seq_conflict".to_owned()));
    let gap = server.post(&app, "transact", body(3, 12)).await;
    assert_eq!(gap.problem(), (409, "seq_gap".to_owned()));
    assert_eq!(server.post(&app, "transact", body(2, 12)).await.ok()["seq"], 2);
    assert_eq!(server.rows(&app, "[:find ?a :where [_ :user/age ?a]]").await, json!([[12]]));
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_not_compressed() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.transact_body_bytes_max = 1_000;
    config.limits.query_text_bytes_max = 100;
    config.limits.import_line_bytes_max = 100;
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let large = "x".repeat(1_001);
    let answer = send(server.to(Method::POST, &app, "transact").body(large.clone())).await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    // The same without a length that is told beforehand.
    let chunks =
        futures_util::stream::iter(vec![large; 3].into_iter().map(Ok::<_, std::io::Error>));
    let body = reqwest::Body::wrap_stream(chunks);
    let answer = send(server.to(Method::POST, &app, "transact").body(body)).await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    let query = format!("[:find ?e :where [?e :a/b \"{}\"]]", "x".repeat(100));
    let answer = server.post(&app, "query", json!({"query": query})).await;
    assert_eq!(answer.problem(), (413, "query_too_long".to_owned()));
    let answer = server.import(&app, "i", "\n".to_owned() + &"x".repeat(101)).await;
    assert_eq!(answer.problem(), (413, "body_too_large".to_owned()));
    assert_eq!(answer.json()["line"], 2);
    let zipped = server.to(Method::POST, &app, "query").header("content-encoding", "gzip");
    assert_eq!(send(zipped.body("x")).await.problem(), (415, "encoding_unsupported".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let plain = server.get(&app, "sync").await;
    assert_eq!(plain.problem(), (400, "not_a_websocket".to_owned()));
    let upgrade = server
        .to(Method::GET, &app, "sync")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let unknown = upgrade.try_clone().unwrap().header("sec-websocket-protocol", "chat");
    for request in [upgrade, unknown] {
        assert_eq!(send(request).await.problem(), (400, "protocol_version".to_owned()));
    }
    server.stop().await;
}

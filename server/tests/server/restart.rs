//! What survives the end of a server: everything it acknowledged.

use std::time::Duration;

use serde_json::json;
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::TcpListener;

use crate::harness::{ADMIN, App, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_apps_keys_facts_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let data = || StorageChoice::Directory(directory.path().to_owned());
    let server = TestServer::start(data()).await;
    let app = server.app().await;
    let body = json!({"client": "c", "number": 1,
                      "ops": [{"set": {"e": "u", "a": "user/name", "v": "A\u{0}nn"}}]});
    let first = server.post(&app, "transact", body.clone()).await.ok();
    server
        .import(&app, "i", r#"{"set":{"e":"v","a":"user/name","v":"Bob"}}"#.to_owned())
        .await
        .ok();
    let exported = server.get(&app, "export").await.text;
    server.stop().await;
    let server = TestServer::start(data()).await;
    assert_eq!(server.get(&app, "export").await.text, exported);
    assert_eq!(server.post(&app, "transact", body).await.ok(), first);
    let rows = server.rows(&app, "[:find ?n :where [_ :user/name ?n]]").await;
    assert_eq!(rows, json!([["A\u{0}nn"], ["Bob"]]));
    let next = json!({"client": "c", "number": 2, "ops": [{"delete": {"e": "v"}}]});
    assert_eq!(server.post(&app, "transact", next).await.ok()["seq"], 3);
    server.stop().await;
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = StorageChoice::Directory(directory.path().to_owned());
    let server = TestServer::start(data.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = Server::open(ServerConfig::new(data.clone(), None), listener).await;
    assert_eq!(second.err().unwrap().code(), "storage_busy");
    server.stop().await;
    TestServer::start(data).await.stop().await;
}

#[tokio::test]
async fn an_idle_app_is_unloaded_and_comes_back() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(ADMIN.to_owned()));
    config.limits.tenant_idle = Duration::ZERO;
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    // With no idle time at all every tick of the task is the end of it.
    for n in 1..=30_u64 {
        let body = json!({"client": "c", "number": n,
                          "ops": [{"set": {"e": "u", "a": "user/age", "v": n}}]});
        let answer = server.post(&app, "transact", body).await.ok();
        assert_eq!(answer["seq"], n);
    }
    assert_eq!(server.rows(&app, "[:find ?a :where [_ :user/age ?a]]").await, json!([[30]]));
    server.stop().await;
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_hurts_no_other_app() {
    let directory = tempfile::tempdir().unwrap();
    let data = || StorageChoice::Directory(directory.path().to_owned());
    let server = TestServer::start(data()).await;
    let (damaged, whole) = (server.app().await, server.app().await);
    let write = |app: &App| {
        let id = app.id.clone();
        json!([{"set": {"e": "u", "a": "user/name", "v": id}}])
    };
    server.transact(&damaged, write(&damaged)).await;
    server.transact(&whole, write(&whole)).await;
    server.stop().await;
    let file = directory.path().join(format!("tenants/{}.db", damaged.id));
    let bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(damaged.id.len()).rposition(|part| part == damaged.id.as_bytes());
    let mut changed = bytes;
    changed[at.unwrap()] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let server = TestServer::start(data()).await;
    assert_eq!(server.get(&damaged, "export").await.problem(), (500, "internal".to_owned()));
    let rows = server.rows(&whole, "[:find ?n :where [_ :user/name ?n]]").await;
    assert_eq!(rows, json!([[whole.id]]));
    server.stop().await;
}

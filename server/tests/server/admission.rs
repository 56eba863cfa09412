//! Who gets in: health for everybody, admin routes for the token, apps for their own keys.

use reqwest::Method;
use serde_json::json;
use tercet_server::{ServerConfig, StorageChoice};

use crate::harness::{App, TestServer, hello, send};

#[tokio::test]
async fn health_asks_for_no_key() {
    let server = TestServer::in_memory().await;
    let health = send(server.request(Method::GET, "/v1/health")).await.ok();
    assert_eq!(health["status"], "ok");
    assert!(health["version"].as_str().unwrap().contains('.'));
    server.stop().await;
}

#[tokio::test]
async fn apps_are_made_and_listed_by_the_admin_only() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    let is_app_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!(app.id.len() == 21 && app.id.bytes().all(is_app_id), "{}", app.id);
    assert!(app.key.starts_with("trc_") && app.key.len() == 68, "{}", app.key);
    let list = |token: Option<&str>| {
        let request = server.request(Method::GET, "/v1/admin/apps");
        send(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let apps = list(Some(crate::harness::ADMIN)).await.ok();
    assert_eq!(apps["apps"][0]["app"], app.id);
    assert_eq!(apps["apps"][0]["name"], "test");
    assert!(apps["apps"][0]["created_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(list(None).await.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(list(Some("guess")).await.problem(), (403, "forbidden".to_owned()));
    assert_eq!(list(Some(&app.key)).await.problem(), (403, "forbidden".to_owned()));
    let body = json!({"role": "server", "access": "write"});
    let unknown = server.admin("/v1/admin/apps/nosuchapp/keys", body).await;
    assert_eq!(unknown.problem(), (404, "app_unknown".to_owned()));
    let body = json!({"role": "king", "access": "write"});
    let malformed = server.admin(&format!("/v1/admin/apps/{}/keys", app.id), body).await;
    assert_eq!(malformed.problem(), (400, "malformed".to_owned()));
    server.stop().await;
}

#[tokio::test]
async fn without_an_admin_token_nobody_is_admin() {
    let server = TestServer::start_with(ServerConfig::new(StorageChoice::Memory, None)).await;
    for token in ["x", crate::harness::ADMIN] {
        let request = server.request(Method::GET, "/v1/admin/apps").bearer_auth(token);
        assert_eq!(send(request).await.problem().0, 403, "{token:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn absence_and_prohibition_look_alike() {
    let server = TestServer::in_memory().await;
    let (mine, other) = (server.app().await, server.app().await);
    let routes = ["query", "transact", "import?id=x", "export", "changes"];
    for route in routes {
        let is_get = matches!(route, "export" | "changes");
        let method = || if is_get { Method::GET } else { Method::POST };
        let nobody = server.request(method(), &format!("/v1/apps/{}/{route}", mine.id));
        assert_eq!(send(nobody).await.problem(), (401, "unauthenticated".to_owned()), "{route}");
        let mut answers = Vec::new();
        for (id, key) in [
            (mine.id.as_str(), other.key.as_str()),
            (&mine.id, "trc_guess"),
            (&mine.id, &"x".repeat(5_000)),
            ("nosuchapp", &mine.key),
            ("no-such..app%2e", &mine.key),
        ] {
            let app = App { id: id.to_owned(), key: key.to_owned() };
            answers.push(send(server.to(method(), &app, route)).await);
        }
        for answer in &answers {
            assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{route}");
            assert_eq!(answer.text, answers[0].text, "{route}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_is_let_in_by_its_first_message() {
    let server = TestServer::in_memory().await;
    let (mine, other) = (server.app().await, server.app().await);
    let mut answers = Vec::new();
    for (id, key) in [(&*mine.id, &*other.key), (&mine.id, "trc_guess"), ("nosuchapp", &mine.key)] {
        let mut socket = server.connect(id, "tercet.v1.json").await;
        socket.say(hello(key, "c")).await;
        answers.push(socket.hear().await);
        assert_eq!(socket.closed().await, 4403);
    }
    assert_eq!(answers[0]["error"]["code"], "forbidden");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let mut socket = server.connect(&mine.id, "tercet.v1.json").await;
    socket.say(json!({"ping": {"nonce": 1}})).await;
    assert_eq!(socket.hear().await["error"]["code"], "malformed");
    server.stop().await;
}

#[tokio::test]
async fn a_session_without_a_hello_is_ended() {
    let mut config = ServerConfig::new(StorageChoice::Memory, Some(crate::harness::ADMIN.into()));
    config.limits.hello_timeout = std::time::Duration::from_millis(20);
    let server = TestServer::start_with(config).await;
    let app = server.app().await;
    let mut socket = server.connect(&app.id, "tercet.v1.json").await;
    assert_eq!(socket.hear().await["error"]["code"], "hello_timeout");
    assert_eq!(socket.closed().await, 4408);
    server.stop().await;
}

#[tokio::test]
async fn a_reading_key_does_not_write() {
    let server = TestServer::in_memory().await;
    let app = server.app().await;
    server.transact(&app, json!([{"set": {"e": "u", "a": "user/name", "v": "Ann"}}])).await;
    let reader = App { id: app.id.clone(), key: server.key(&app.id, "read").await };
    let rows = server.rows(&reader, "[:find ?n :where [_ :user/name ?n]]").await;
    assert_eq!(rows, json!([["Ann"]]));
    let ops = json!({"ops": [{"delete": {"e": "u"}}]});
    let refused = server.post(&reader, "transact", ops).await;
    assert_eq!(refused.problem(), (403, "read_only".to_owned()));
    let refused = server.import(&reader, "i", String::new()).await;
    assert_eq!(refused.problem(), (403, "read_only".to_owned()));
    server.stop().await;
}

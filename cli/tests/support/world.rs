//! A server process with something acknowledged in it and somebody quiet connected to it: what
//! bad input must leave as it is.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientSeq, ReplicaId};
use tercet_sync::message::{Mode, Push, RowsPart, Subscribe};
use tercet_sync::wire_query::WireQuery;
use tercet_sync::{ClientMessage, Codec, ServerMessage, SubscriptionId};

use super::http::App;
use super::process::ServerProcess;
use super::session::Session;

const NAMES: &str = "[:find ?n :where [_ :user/name ?n]]";

/// A server process, an app in it, and a session that only listens.
pub(crate) struct World {
    pub(crate) server: ServerProcess,
    pub(crate) app: App,
    quiet: Session,
    /// Acknowledged, in order.
    names: Vec<Value>,
}

/// What a request was answered: status, code and the whole document.
pub(crate) async fn problem(request: RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert_eq!(content_type.unwrap(), "application/problem+json", "{status} {text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["status"], status, "{document}");
    assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
    (status, document["code"].as_str().unwrap().to_owned(), document)
}

pub(crate) fn subscribe(subscription: u64, query: &str, mode: Mode) -> ClientMessage {
    let query: WireQuery = serde_json::from_value(json!(query)).unwrap();
    let subscription = SubscriptionId(subscription);
    ClientMessage::Subscribe(Subscribe { subscription, query, inputs: vec![], mode, resume: None })
}

/// A transaction of a session, stamped a second after 1970.
pub(crate) fn push(number: u64, ops: Value) -> ClientMessage {
    push_at(number, 1_000, ops)
}

pub(crate) fn push_at(number: u64, physical_ms: u64, ops: Value) -> ClientMessage {
    let hlc = Hlc::new(physical_ms, 0, ReplicaId(number));
    let ops = serde_json::from_value(ops).unwrap();
    let transaction = tercet_engine::fact::Transaction { hlc, ops };
    ClientMessage::Push(Push { number: ClientSeq(number), transaction })
}

impl World {
    pub(crate) async fn start() -> World {
        let server = ServerProcess::start();
        let app = App::create(&server).await;
        let mut quiet = Session::begin(&app, Codec::Json, "quiet").await;
        quiet.say(&subscribe(1, NAMES, Mode::Rows)).await;
        let subscribed = quiet.hear().await;
        assert!(matches!(subscribed, ServerMessage::Subscribed(_)), "{subscribed:?}");
        loop {
            match quiet.hear().await {
                ServerMessage::RowsPart(part) if part.added.is_empty() => {}
                ServerMessage::Marker(_) => break,
                other => panic!("{other:?}"),
            }
        }
        let mut world = World { server, app, quiet, names: Vec::new() };
        world.check("nothing").await;
        world
    }

    /// Checks after some bad input that nothing else has happened: the process runs and nothing
    /// in it panicked, it takes a write and answers a query, all that was acknowledged is there,
    /// and the quiet session hears of the write and of nothing else.
    pub(crate) async fn check(&mut self, after: &str) {
        self.server.check_sound();
        let health = self.app.client.get(format!("{}/v1/health", self.app.url));
        let health = self.app.text(health).await;
        assert!(health.contains("\"ok\""), "after {after}: {health}");
        let name = format!("name {:03}", self.names.len());
        let set = json!({"set": {"e": name, "a": "user/name", "v": name}});
        self.app.transact(json!([set])).await;
        self.names.push(json!([name]));
        assert_eq!(self.app.rows(NAMES).await, self.names, "after {after}");
        match self.quiet.hear().await {
            ServerMessage::RowsPart(RowsPart { reset: false, added, removed, .. })
                if serde_json::to_value(&added).unwrap() == json!([[{"value": name}]])
                    && removed.is_empty() => {}
            other => panic!("after {after}: {other:?}"),
        }
        let marker = self.quiet.hear().await;
        assert!(matches!(marker, ServerMessage::Marker(_)), "after {after}: {marker:?}");
    }

    /// Kills the server and checks that the next one has all that was acknowledged.
    pub(crate) async fn finish(mut self) {
        self.server.check_sound();
        self.server.kill();
        self.server.restart();
        assert_eq!(self.app.rows(NAMES).await, self.names, "after a kill");
        self.server.check_sound();
    }

    /// A body to a route of the app, whatever it is.
    pub(crate) fn post(&self, route: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.app.request(Method::POST, route).body(body)
    }

    /// Checks that bodies are refused, each with a status and a code.
    pub(crate) async fn check_bodies(&mut self, cases: Vec<(&str, Vec<u8>, u16, &str)>) {
        for (route, body, status, code) in cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            let answer = problem(self.post(route, body)).await;
            assert_eq!((answer.0, answer.1.as_str()), (status, code), "{route} {shown} {answer:?}");
            self.check(&shown).await;
        }
    }

    /// Checks that texts are no queries, over HTTP and in a session, with the same code; and that
    /// the session goes on.
    pub(crate) async fn check_queries(&mut self, cases: &[(Value, u16, &str)]) {
        let mut session = Session::begin(&self.app, Codec::Json, "asks").await;
        for (subscription, (query, status, code)) in (1_u64..).zip(cases) {
            let shown: String = query.to_string().chars().take(200).collect();
            let answer = problem(self.post("query", json!({"query": query}).to_string())).await;
            assert_eq!((answer.0, answer.1.as_str()), (*status, *code), "{shown} {answer:?}");
            let subscribe = json!({"subscribe": {
                "subscription": subscription, "query": query, "mode": "rows"
            }});
            session.say_bytes(subscribe.to_string().into_bytes()).await;
            let error = session.hear_error().await;
            assert_eq!(error.subscription, Some(SubscriptionId(subscription)), "{shown} {error:?}");
            assert_eq!(error.code, *code, "{shown} {error:?}");
            session.check_alive().await;
            self.check(&shown).await;
        }
    }
}

//! Real data through the real server: WordNet goes in over HTTP, and recursion over it is judged
//! by an SQL engine.
//!
//! Where the files have not been obtained, a small hierarchy of the same vocabulary goes the same
//! way, so that this always tests import, queries over HTTP and both kinds of recursion: bound
//! (what is above one synset) and free (every pair).
#![allow(clippy::unwrap_used)]

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use futures_util::stream;
use reqwest::{Body, Client, RequestBuilder};
use serde_json::{Value as Json, json};
use tercet_engine::fact::Op;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::Value;
use tercet_formats::Wordnet;
use tercet_server::{Server, ServerConfig, StorageChoice};
use tercet_tests::sql;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

const ADMIN: &str = "the admin token of this test";

/// What *dog* is in its most frequent sense as a noun, all the way up.
const ANCESTORS: &str = r#"
    [:find ?dog ?above
     :where [?word :word/lemma "dog"] [?word :word/sense ?sense] [?sense :sense/number 1]
            [?sense :sense/synset ?dog] [?dog :synset/pos "noun"]
            (ancestor ?dog ?above)
     :rules [[(ancestor ?x ?y) [?x :synset/hypernym ?y]]
             [(ancestor ?x ?y) [?x :synset/hypernym ?z] (ancestor ?z ?y)]]]"#;

/// How many pairs (below, above) there are.
const PAIRS: &str = "
    [:find (count ?x) . :with ?y
     :where (ancestor ?x ?y)
     :rules [[(ancestor ?x ?y) [?x :synset/hypernym ?y]]
             [(ancestor ?x ?y) [?x :synset/hypernym ?z] (ancestor ?z ?y)]]]";

#[tokio::test(flavor = "multi_thread")]
async fn recursion_over_an_imported_wordnet_agrees_with_sql() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wordnet");
    let is_wordnet = data.join("data.noun").exists();
    if !is_wordnet {
        // Not by a macro, whose output the test runner keeps to itself.
        let line = b"skipped: run cargo xtask data wordnet (a small hierarchy stands in for it)\n";
        io::stderr().write_all(line).unwrap();
    }
    let (server, app) = start().await;

    let (lines, body) = mpsc::channel(16);
    let import = app.post("import?id=wordnet").body(Body::wrap_stream(stream_of(body)));
    let edges = tokio::task::spawn_blocking(move || match is_wordnet {
        true => send_wordnet(&data, &lines),
        false => send_all(small_hierarchy(), &lines),
    });
    let report = answer(import).await;
    let Sent { n_ops, edges } = edges.await.unwrap();
    assert_eq!(report["lines"], n_ops);
    assert_eq!(report["transactions"], n_ops.div_ceil(10_000));

    let found = answer(app.post("query").json(&json!({ "query": ANCESTORS }))).await;
    let rows = found["rows"].as_array().unwrap();
    let dog = EntityId::new(rows[0][0]["$ref"].as_str().unwrap()).unwrap();
    let mut ancestors: Vec<EntityId> =
        rows.iter().map(|row| EntityId::new(row[1]["$ref"].as_str().unwrap()).unwrap()).collect();
    ancestors.sort();
    let counted = answer(app.post("query").json(&json!({ "query": PAIRS }))).await;
    let n_pairs = counted["rows"][0][0].as_u64().unwrap();

    let n_edges = edges.len();
    let by_sql = tokio::task::spawn_blocking(move || sql::closure(&edges, &dog).unwrap());
    assert_eq!(sql::Closure { n_pairs, ancestors: ancestors.clone() }, by_sql.await.unwrap());
    match n_edges {
        89_089 => assert_eq!((ancestors.len(), n_pairs), (14, 698_587), "WordNet 3.0"),
        9 => assert_eq!((ancestors.len(), n_pairs), (5, 19), "the small hierarchy"),
        _ => assert!(is_wordnet && ancestors.len() > 5, "another edition of WordNet"),
    }
    server.stop().await;
}

/// What was sent, and of it the edges (below, above).
struct Sent {
    n_ops: u64,
    edges: Vec<(EntityId, EntityId)>,
}

type Piece = Result<Vec<u8>, io::Error>;

fn stream_of(pieces: mpsc::Receiver<Piece>) -> impl stream::Stream<Item = Piece> {
    stream::unfold(pieces, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    })
}

fn send_wordnet(data: &Path, lines: &mpsc::Sender<Piece>) -> Sent {
    send_all(Wordnet::open(data).unwrap().map(Result::unwrap), lines)
}

fn send_all(ops: impl IntoIterator<Item = Op>, lines: &mpsc::Sender<Piece>) -> Sent {
    let mut sent = Sent { n_ops: 0, edges: Vec::new() };
    let mut piece = Vec::new();
    for op in ops {
        serde_json::to_writer(&mut piece, &op).unwrap();
        piece.push(b'\n');
        sent.n_ops += 1;
        if let Op::Add { e, a, v: Value::Ref(above) } = op
            && a.as_str() == "synset/hypernym"
        {
            sent.edges.push((e, above));
        }
        if piece.len() > 64 << 10 {
            // A server that stopped listening says why in its answer.
            let _ = lines.blocking_send(Ok(std::mem::take(&mut piece)));
        }
    }
    let _ = lines.blocking_send(Ok(piece));
    sent
}

/// *dog* with a noun sense in a lattice, and two verbs that are above each other.
fn small_hierarchy() -> Vec<Op> {
    let id = |text: &str| EntityId::new(text).unwrap();
    let attribute = |text: &str| Attribute::new(text).unwrap();
    let reference = |text: &str| Value::reference(text).unwrap();
    let set = |e: &str, a: &str, v| Op::Set { e: id(e), a: attribute(a), v };
    let add = |e: &str, a: &str, v| Op::Add { e: id(e), a: attribute(a), v };
    let mut ops = vec![
        set("word:dog", "word/lemma", "dog".into()),
        add("word:dog", "word/sense", reference("dog%1:05:00::")),
        set("dog%1:05:00::", "sense/number", 1.into()),
        set("dog%1:05:00::", "sense/synset", reference("dog")),
        set("dog", "synset/pos", "noun".into()),
        // The same word as a verb, whose ancestors are not asked for.
        add("word:dog", "word/sense", reference("dog%2:38:00::")),
        set("dog%2:38:00::", "sense/number", 1.into()),
        set("dog%2:38:00::", "sense/synset", reference("restrain")),
        set("restrain", "synset/pos", "verb".into()),
    ];
    let edges = [
        ("dog", "canine"),
        ("dog", "domestic animal"),
        ("canine", "carnivore"),
        ("cat", "carnivore"),
        ("carnivore", "mammal"),
        ("mammal", "animal"),
        ("domestic animal", "animal"),
        ("restrain", "inhibit"),
        ("inhibit", "restrain"),
    ];
    ops.extend(edges.map(|(below, above)| add(below, "synset/hypernym", reference(above))));
    ops
}

/// The server of this test, with its data in a directory that goes with it.
struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

/// An app on it, and the key to it.
struct App {
    http: Client,
    url: String,
    key: String,
}

impl App {
    fn post(&self, route: &str) -> RequestBuilder {
        self.http.post(format!("{}/{route}", self.url)).bearer_auth(&self.key)
    }
}

/// Starts a server that lets queries take their time, which a build without optimization needs.
async fn start() -> (Running, App) {
    let directory = tempfile::tempdir().unwrap();
    let storage = StorageChoice::Directory(directory.path().join("data"));
    let mut config = ServerConfig::new(storage, Some(ADMIN.to_owned()));
    config.limits.query_time = Duration::from_secs(600);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::open(config, listener).await.unwrap();
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let running = Running { stop, task, _directory: directory };

    let http = Client::builder().no_proxy().build().unwrap();
    let admin = async |route: String, body: Json| {
        let url = format!("http://{address}/v1/admin/apps{route}");
        answer(http.post(url).bearer_auth(ADMIN).json(&body)).await
    };
    let made = admin(String::new(), json!({"name": "wordnet"})).await;
    let id = made["app"].as_str().unwrap();
    let made = admin(format!("/{id}/keys"), json!({"role": "server", "access": "write"})).await;
    let key = made["key"].as_str().unwrap().to_owned();
    (running, App { http, url: format!("http://{address}/v1/apps/{id}"), key })
}

/// Sends a request that has to succeed.
async fn answer(request: RequestBuilder) -> Json {
    let response = request.send().await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

//! Two clients and a server process that is killed in the middle of their writes, three times.
//!
//! What was acknowledged is there after each restart, what was written meanwhile arrives, nothing
//! is committed twice, and both live queries end equal to what a fresh one answers. The clients
//! come back by themselves.
#![allow(clippy::unwrap_used)]

mod support {
    pub(crate) mod http;
    pub(crate) mod process;
}

use std::collections::BTreeSet;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use support::http::App;
use support::process::{LIMIT, ServerProcess};
use tercet_client::{Client, ClientConfig, Mode, Status, SubscribeOptions, Subscription, Write};
use tercet_engine::answer::{Output, RowRef};
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value as FactValue;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Writes of each client in a run.
const N_WRITES: usize = 60;

/// Acknowledged writes of a run after which the server is killed.
const N_BEFORE_KILL: usize = 20;

/// Everything that follows the root, however far behind.
const FOLLOWING: &str = r#"
[:find ?name
 :where [?root :entry/name "root"] (follows ?e ?root) [?e :entry/name ?name]
 :rules [[(follows ?e ?before) [?e :entry/after ?before]]
         [(follows ?e ?before) [?e :entry/after ?between] (follows ?between ?before)]]]"#;

/// How much each client has written.
const BY_WRITER: &str = "[:find ?by (count ?e) :where [?e :entry/by ?by]]";

const NAMES: &str = "[:find ?name :where [_ :entry/name ?name]]";

/// One of the two clients: in a run each of its entries follows the one before.
#[derive(Clone)]
struct Writer {
    client: Client,
    name: &'static str,
}

impl Writer {
    fn connect(app: &App, name: &'static str) -> Writer {
        let client = Client::connect(ClientConfig::new(&app.url, &app.id, &app.key)).unwrap();
        Writer { client, name }
    }

    /// Writes an entry. It is visible here, and no more.
    async fn write(&self, entry: &str, before: &str) -> Write {
        let before = FactValue::Ref(EntityId::new(before).unwrap());
        let write = self.client.write(|tx| {
            tx.set(entry, "entry/name", entry).set(entry, "entry/by", self.name).set(
                entry,
                "entry/after",
                before,
            );
        });
        write.await.unwrap()
    }

    /// Writes a run, each entry after the one before was acknowledged, which is told.
    async fn run(self, round: usize, acknowledged: mpsc::UnboundedSender<String>) {
        let mut before = "root".to_owned();
        for n in 0..N_WRITES {
            let entry = format!("{}-{round}-{n}", self.name);
            self.write(&entry, &before).await.accepted().await.unwrap();
            acknowledged.send(entry.clone()).unwrap();
            before = entry;
        }
    }
}

/// The rows of the next answer that is complete, has no pending writes in it and passes.
async fn answer_when(
    subscription: &mut Subscription,
    mut passes: impl FnMut(&[Value]) -> bool,
) -> Vec<Value> {
    let mut last = None;
    let reading = async {
        loop {
            let change = subscription.next().await.unwrap().unwrap();
            let cell = |output: &Output| match output {
                Output::Value(value) => serde_json::to_value(value).unwrap(),
                other => panic!("{other:?}"),
            };
            let rows = change.answer.rows.to_vec();
            let rows: Vec<Value> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
            if change.complete && !change.pending && passes(&rows) {
                return rows;
            }
            last = Some((change.complete, change.pending, rows));
        }
    };
    let read = timeout(LIMIT, reading).await;
    read.unwrap_or_else(|_| panic!("the answer does not come; the last one is {last:?}"))
}

fn column(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed() {
    let mut server = ServerProcess::start();
    let app = App::create(&server).await;
    app.transact(json!([{"set": {"e": "root", "a": "entry/name", "v": "root"}}])).await;
    let (ann, ben) = (Writer::connect(&app, "ann"), Writer::connect(&app, "ben"));
    let following = SubscribeOptions { mode: Mode::Facts };
    let mut following = ann.client.subscribe(FOLLOWING, (), following).await.unwrap();
    let by_writer = SubscribeOptions { mode: Mode::Rows };
    let mut by_writer = ben.client.subscribe(BY_WRITER, (), by_writer).await.unwrap();
    assert_eq!(answer_when(&mut following, |_| true).await, [] as [Value; 0]);
    assert_eq!(answer_when(&mut by_writer, |_| true).await, [] as [Value; 0]);

    let mut written = BTreeSet::new();
    for round in 0..3 {
        let (sender, mut acknowledged) = mpsc::unbounded_channel();
        let runs =
            [&ann, &ben].map(|writer| tokio::spawn(writer.clone().run(round, sender.clone())));
        drop(sender);
        let mut before_kill = BTreeSet::new();
        while before_kill.len() < N_BEFORE_KILL {
            let entry = timeout(LIMIT, acknowledged.recv()).await.unwrap().unwrap();
            assert!(before_kill.insert(entry));
        }
        server.kill();
        offline(&ann).await;
        offline(&ben).await;
        while let Ok(entry) = acknowledged.try_recv() {
            assert!(before_kill.insert(entry));
        }
        assert!(before_kill.len() < 2 * N_WRITES, "the kill came after the runs");

        let mut meanwhile = Vec::new();
        for writer in [&ann, &ben] {
            let entry = format!("{}-{round}-down", writer.name);
            meanwhile.push(writer.write(&entry, "root").await);
            written.insert(entry);
        }
        let own = timeout(LIMIT, following_in(&ann.client)).await.unwrap();
        assert!(own.contains(&format!("ann-{round}-down")), "a write is visible while offline");

        server.restart();
        let there = column(&app.rows(NAMES).await);
        let lost: Vec<_> = before_kill.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        for run in runs {
            timeout(LIMIT, run).await.unwrap().unwrap();
        }
        for write in meanwhile {
            timeout(LIMIT, write.accepted()).await.unwrap().unwrap();
        }
        for writer in [&ann, &ben] {
            written.extend((0..N_WRITES).map(|n| format!("{}-{round}-{n}", writer.name)));
        }

        let rows = answer_when(&mut following, |rows| rows.len() >= written.len()).await;
        assert_eq!(column(&rows), written);
        assert_eq!(rows, app.rows(FOLLOWING).await);
        let n_each = (round + 1) * (N_WRITES + 1);
        let counts = [json!(["ann", n_each]), json!(["ben", n_each])];
        let rows = answer_when(&mut by_writer, |rows| rows == counts).await;
        assert_eq!(rows, app.rows(BY_WRITER).await);
    }
    server.check_sound();
    check_history(&app, &written).await;
}

/// Waits until a client knows that its server has gone.
async fn offline(writer: &Writer) {
    let mut statuses = writer.client.status_changes();
    let waiting = async {
        while writer.client.status().connection != Status::Offline {
            statuses.next().await.unwrap();
        }
    };
    timeout(LIMIT, waiting).await.unwrap();
}

/// What follows the root by the facts that a client holds.
async fn following_in(client: &Client) -> BTreeSet<String> {
    let answer = client.query(FOLLOWING, ()).local().await.unwrap().answer;
    let name = |row: RowRef<'_>| row.value(0).unwrap().as_str().unwrap().to_owned();
    answer.rows.iter().map(name).collect()
}

/// Checks by the log that every entry was committed once, in a history without a gap.
async fn check_history(app: &App, written: &BTreeSet<String>) {
    let text = app.text(app.request(Method::GET, "changes?limit=10000")).await;
    let commits: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seqs: Vec<u64> = commits.iter().map(|commit| commit["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let mut committed = BTreeSet::new();
    // The first is that of the root.
    for commit in &commits[1..] {
        let entry = commit["ops"][0]["set"]["e"].as_str().unwrap().to_owned();
        assert!(committed.insert(entry), "committed twice: {commit}");
    }
    assert_eq!(committed, *written);
}

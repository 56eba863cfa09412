//! A client's process is killed while it is offline and writing: nothing it had stored is lost.
//!
//! The client is a program of its own and dies by SIGKILL in the middle of its writes, so nothing
//! but its file carries anything over. What is checked: every write that it called stored is there
//! again, whole; its subscription is read before any connection, from the cache, with those
//! writes; and a server then takes each of them exactly once.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tercet_client::{Change, Client, Status, SubscribeOptions};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ADMIN: &str = "the admin token of this test";
const N_SEEDED: usize = 20;
const N_STORED: usize = 1_000;

/// What says nothing for so long has hung.
const HANG: Duration = Duration::from_secs(60);

struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(data: &Path) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let storage = StorageChoice::Directory(data.to_owned());
        let config = ServerConfig::new(storage, Some(ADMIN.to_owned()));
        let server = Server::open(config, listener).await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Running { url, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    async fn post(&self, path: &str, token: &str, body: Json) -> Json {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("{}{path}", self.url)).bearer_auth(token).json(&body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// The app and its key.
    async fn app(&self) -> (String, String) {
        let app = self.post("/v1/admin/apps", ADMIN, json!({"name": "offline"})).await;
        let app = app["app"].as_str().unwrap().to_owned();
        let access = json!({"role": "client", "access": "write"});
        let key = self.post(&format!("/v1/admin/apps/{app}/keys"), ADMIN, access).await;
        (app, key["key"].as_str().unwrap().to_owned())
    }

    /// How many commits the server has, and how many operations are in them.
    async fn n_commits_and_ops(&self, app: &str, key: &str) -> (usize, usize) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let (mut n_commits, mut n_ops) = (0, 0);
        let mut epoch = String::new();
        loop {
            let path = format!("{}/v1/apps/{app}/changes?after={n_commits}{epoch}", self.url);
            let response = http.get(path).bearer_auth(key).send().await.unwrap();
            epoch = format!("&epoch={}", response.headers()["tercet-epoch"].to_str().unwrap());
            let text = response.text().await.unwrap();
            let commits: Vec<Json> =
                text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            if commits.is_empty() {
                return (n_commits, n_ops);
            }
            n_commits += commits.len();
            n_ops += commits.iter().map(|c| c["ops"].as_array().unwrap().len()).sum::<usize>();
        }
    }
}

async fn soon<Output>(future: impl Future<Output = Output>) -> Output {
    tokio::time::timeout(HANG, future).await.expect("it hangs")
}

fn client(data: &Path, url: &str, (app, key): &(String, String)) -> Client {
    Client::builder().url(url).app(app).key(key).data_dir(data).connect().unwrap()
}

/// The entities that the answer names, each of them with a number of its own.
fn notes(change: &Change) -> BTreeSet<String> {
    let name = |row: tercet_client::RowRef<'_>| row.value(0).unwrap().as_id().unwrap().to_owned();
    change.answer.rows.iter().map(name).collect()
}

/// Runs the program until it has called so many writes stored, and kills it. Which were stored.
async fn write_and_die(data: &Path, server: Running, app: &(String, String)) -> BTreeSet<String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_offline_client"))
        .arg(data)
        .args([&server.url, &app.0, &app.1])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || soon(lines.next_line()).await.unwrap();
    assert_eq!(next().await.as_deref(), Some("ready"));
    server.stop().await;
    assert_eq!(next().await.as_deref(), Some("offline"));
    let mut stored = BTreeSet::new();
    while stored.len() < N_STORED {
        let line = next().await.expect("it goes on writing");
        stored.insert(format!("own-{}", line.strip_prefix("stored ").unwrap()));
    }
    child.start_kill().unwrap();
    // It goes on until the signal arrives.
    while let Some(line) = next().await {
        stored.insert(format!("own-{}", line.strip_prefix("stored ").unwrap()));
    }
    soon(child.wait()).await.unwrap();
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_client_comes_back_with_all_it_had_stored() {
    let (server_data, client_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Running::start(server_data.path()).await;
    let app = server.app().await;
    let seeded: BTreeSet<String> = (0..N_SEEDED).map(|n| format!("seeded-{n}")).collect();
    let seed = |e: &String| json!({"set": {"e": e, "a": "note/text", "v": "seeded"}});
    let ops: Vec<Json> = seeded.iter().map(seed).collect();
    server.post(&format!("/v1/apps/{}/transact", app.0), &app.1, json!({"ops": ops})).await;
    let url = server.url.clone();
    let stored = write_and_die(client_data.path(), server, &app).await;
    assert!(stored.len() >= N_STORED);

    // Nobody is there: all of it is read all the same, and nothing of it is complete.
    let reborn = client(client_data.path(), &url, &app);
    let text = "[:find ?e ?t :where [?e :note/text ?t]]";
    let mut watched = reborn.subscribe(text, (), SubscribeOptions::default()).await.unwrap();
    let first = soon(watched.next()).await.unwrap().unwrap();
    assert!(!first.complete && first.pending);
    let held = notes(&first);
    assert!(held.is_superset(&seeded), "the cached subscription is not readable");
    assert!(held.is_superset(&stored), "a stored write is lost");
    let own = held.len() - seeded.len();
    assert_eq!(reborn.status().n_unanswered, own);
    assert!(matches!(reborn.status().connection, Status::Connecting | Status::Offline));
    drop(watched);
    reborn.close().await;

    let server = Running::start(server_data.path()).await;
    let reborn = client(client_data.path(), &server.url, &app);
    soon(reborn.flush()).await.unwrap();
    let mut watched = reborn.subscribe(text, (), SubscribeOptions::default()).await.unwrap();
    let now = soon(async {
        loop {
            let change = watched.next().await.unwrap().unwrap();
            if change.complete && !change.pending {
                return change;
            }
        }
    })
    .await;
    assert_eq!(notes(&now), held);
    // Each transaction is one commit of both of its operations, and there is no other.
    let (n_commits, n_ops) = server.n_commits_and_ops(&app.0, &app.1).await;
    assert_eq!((n_commits, n_ops), (1 + own, N_SEEDED + 2 * own));
    drop(watched);
    reborn.close().await;
    server.stop().await;
}

//! What every measure of sync stands on: a server with an app, and clients of it.
//!
//! A client over [`Counted`] says how much went over its connections: the bytes of the frames and
//! of their WebSocket headers, without what TCP adds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tercet_client::{
    Change, Client, ClientConfig, Clock, Connecting, Connection, Subscription, Transport,
    TransportError, WebSocketTransport,
};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const ADMIN: &str = "the admin token of this benchmark";

/// Facts in one support: a measure of a hundred thousand entities needs more than the default.
const SUPPORT_FACTS_MAX: u64 = 1_000_000;

/// A runtime as programs have one.
pub(super) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// A running server.
pub(super) struct Ground {
    pub(super) url: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

/// An app, and a key that may write.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) id: String,
    pub(super) key: String,
}

impl Ground {
    /// A server of the data in a directory.
    pub(super) async fn start(directory: &Path) -> Result<Ground> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let storage = StorageChoice::Directory(directory.to_owned());
        let mut config = ServerConfig::new(storage, Some(ADMIN.to_owned()));
        config.limits.sync.support_facts_max = SUPPORT_FACTS_MAX;
        let server = Server::open(config, listener).await?;
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async move { drop(stopped.await) }));
        Ok(Ground { url, stop, running })
    }

    pub(super) async fn app(&self) -> Result<App> {
        let admin = format!("{}/v1/admin/apps", self.url);
        let id = post(&admin, json!({"name": "bench"}), "app").await?;
        let access = json!({"role": "client", "access": "write"});
        let key = post(&format!("{admin}/{id}/keys"), access, "key").await?;
        Ok(App { id, key })
    }

    pub(super) fn config(&self, app: &App) -> ClientConfig {
        ClientConfig::new(&*self.url, &*app.id, &*app.key)
    }

    /// A client with everything in memory.
    pub(super) fn client(&self, app: &App) -> Result<Client> {
        Ok(Client::connect(self.config(app))?)
    }

    /// A client of some server whose connections are counted.
    pub(super) fn counted_at(url: &str, app: &App) -> Result<(Client, Arc<Counts>)> {
        let counts = Arc::new(Counts::default());
        let inner = WebSocketTransport::new(url, &app.id)?;
        let transport = Counted { inner, counts: Arc::clone(&counts), gate: None };
        let config = ClientConfig::new(url, &*app.id, &*app.key);
        Ok((Client::connect_over(config, transport, clock())?, counts))
    }

    pub(super) async fn stop(self) -> Result<()> {
        // It may have ended already, and then says why.
        let _ = self.stop.send(());
        Ok(self.running.await?)
    }
}

/// Posts JSON as an administrator and gives one text of the answer.
async fn post(url: &str, body: Json, field: &str) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let response = http.post(url).bearer_auth(ADMIN).json(&body).send().await?;
    let answer: Json = response.error_for_status()?.json().await?;
    Ok(answer[field].as_str().with_context(|| format!("no {field} in {answer}"))?.to_owned())
}

/// The time of day.
pub(super) fn clock() -> Clock {
    Arc::new(|| {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The first change for which this holds.
pub(super) async fn until(
    watched: &mut Subscription,
    mut condition: impl FnMut(&Change) -> bool,
) -> Result<Change> {
    while let Some(change) = watched.next().await {
        let change = change?;
        if condition(&change) {
            return Ok(change);
        }
    }
    bail!("the subscription ended too early")
}

/// What went over the connections of a client.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) n_bytes_up: AtomicU64,
    pub(super) n_bytes_down: AtomicU64,
}

/// When a connection may be made, and when it was.
pub(super) struct Gate {
    pub(super) open: tokio::sync::watch::Receiver<bool>,
    pub(super) opened: Arc<parking_lot::Mutex<Option<Instant>>>,
}

/// The transport of the client, with its frames counted, and a gate before it if there is one.
pub(super) struct Counted {
    pub(super) inner: WebSocketTransport,
    pub(super) counts: Arc<Counts>,
    pub(super) gate: Option<Gate>,
}

impl Transport for Counted {
    fn connect(&mut self) -> Connecting {
        let (connecting, counts) = (self.inner.connect(), Arc::clone(&self.counts));
        let gate = self.gate.as_ref().map(|gate| (gate.open.clone(), Arc::clone(&gate.opened)));
        Box::pin(async move {
            if let Some((open, _)) = &gate
                && !*open.borrow()
            {
                return Err(TransportError::new("the gate is shut"));
            }
            let connection = connecting.await?;
            if let Some((_, opened)) = gate {
                *opened.lock() = Some(Instant::now());
            }
            Ok(count(connection, counts))
        })
    }
}

fn count(connection: Connection, counts: Arc<Counts>) -> Connection {
    let Connection { outgoing, mut incoming } = connection;
    let (out, mut frames_out) = mpsc::channel::<Bytes>(64);
    let (frames_in, into) = mpsc::channel(64);
    let (up, down) = (Arc::clone(&counts), counts);
    tokio::spawn(async move {
        while let Some(frame) = frames_out.recv().await {
            // What a client sends is masked, by four bytes more.
            up.n_bytes_up.fetch_add(framed_bytes(&frame) + 4, Ordering::Relaxed);
            if outgoing.send(frame).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(frame) = incoming.recv().await {
            if let Ok(frame) = &frame {
                down.n_bytes_down.fetch_add(framed_bytes(frame), Ordering::Relaxed);
            }
            if frames_in.send(frame).await.is_err() {
                return;
            }
        }
    });
    Connection { outgoing: out, incoming: into }
}

/// RFC 6455, section 5.2: lengths of 7, 16 or 64 bits.
fn framed_bytes(frame: &Bytes) -> u64 {
    let header = match frame.len() {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    };
    frame.len() as u64 + header
}

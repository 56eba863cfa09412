//! What comes back from offline: a thousand transactions that waited in the outbox.
//!
//! The client keeps its outbox in a file, as a program that must not lose writes does. Time begins
//! when the socket is open, because how long a client waits before it tries again is another
//! matter, and ends when every transaction is acknowledged, durable on the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use tercet_client::{
    Client, ClientConfig, Durability, LibsqlClientStore, Status, WebSocketTransport,
};
use tokio::sync::watch;

use super::ground::{App, Counted, Counts, Gate, Ground, clock, runtime};
use super::{ms, percentile};
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted};

/// From the open socket until all are acknowledged.
pub(super) const OFFLINE: Benchmark = Benchmark { ids: &["sync.offline"], run: offline };

const N_WRITES: usize = 1_000;
const N_RUNS: usize = 11;

fn offline(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_writes = context.scale.of(N_WRITES);
    let mut times = runtime()?.block_on(measure(n_writes))?;
    let median = ms(percentile(&mut times, 0.5));
    let data = format!("{n_writes} transactions of one operation from an outbox in a file; median");
    let mut row = Row::new("sync.offline", "ms", median, data).within(30.0, None, Better::Less);
    row.n_runs = times.len();
    Ok(vec![row])
}

async fn measure(n_writes: usize) -> Result<Vec<Duration>> {
    let directory = tempfile::tempdir()?;
    let ground = Ground::start(&directory.path().join("data")).await?;
    let app = ground.app().await?;
    let mut times = Vec::new();
    for run in 0..N_RUNS {
        let store = directory.path().join(format!("client-{run}"));
        let store = Box::new(LibsqlClientStore::open(&store, Durability::Process)?);
        let config = ClientConfig { store: Some(store), ..ground.config(&app) };
        times.push(come_back(&ground, &app, config, n_writes).await?);
    }
    ground.stop().await?;
    Ok(times)
}

async fn come_back(
    ground: &Ground,
    app: &App,
    config: ClientConfig,
    n_writes: usize,
) -> Result<Duration> {
    let (open, is_open) = watch::channel(false);
    let opened = Arc::new(Mutex::new(None::<Instant>));
    let gate = Some(Gate { open: is_open, opened: Arc::clone(&opened) });
    let inner = WebSocketTransport::new(&ground.url, &app.id)?;
    let transport = Counted { inner, counts: Arc::<Counts>::default(), gate };
    let client = Client::connect_over(config, transport, clock())?;
    let mut writes = Vec::with_capacity(n_writes);
    for n in 0..n_writes {
        let entity = format!("n{n}");
        writes.push(
            client
                .write(|tx| {
                    tx.set(entity.as_str(), "bench/n", n as i64);
                })
                .await?,
        );
    }
    for write in &writes {
        write.stored().await?;
    }
    anyhow::ensure!(client.status().connection != Status::Connecting, "the gate was shut");
    open.send(true)?;
    for write in &writes {
        write.accepted().await?;
    }
    let end = Instant::now();
    let start = opened.lock().context("the connection was made")?;
    client.close().await;
    Ok(end.duration_since(start))
}

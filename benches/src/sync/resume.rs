//! What travels when a client comes back and nothing has changed.
//!
//! Ten subscriptions of one query with other inputs hold ten thousand facts together. The client
//! comes back in another process, from its cache: it has nothing in memory, and the server has
//! nobody's subscription any more.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use tercet_client::{
    Client, ClientConfig, Durability, LibsqlClientStore, SubscribeOptions, WebSocketTransport,
};

use super::ground::{App, Counted, Counts, Ground, clock, runtime, until};
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted};

/// Bytes each way.
pub(super) const RESUME: Benchmark =
    Benchmark { ids: &["sync.resume.up", "sync.resume.down"], run: resume };

const N_SUBSCRIPTIONS: usize = 10;
const N_FACTS_EACH: usize = 1_000;

fn resume(_: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let counts = runtime()?.block_on(measure())?;
    let data = format!(
        "{} unchanged facts in {N_SUBSCRIPTIONS} subscriptions",
        N_SUBSCRIPTIONS * N_FACTS_EACH
    );
    let row = |id, n_bytes: u64| {
        Row::new(id, "bytes", n_bytes as f64, &*data).within(1_024.0, None, Better::Less)
    };
    Ok(vec![
        row("sync.resume.up", counts.n_bytes_up.load(Ordering::Relaxed)),
        row("sync.resume.down", counts.n_bytes_down.load(Ordering::Relaxed)),
    ])
}

async fn measure() -> Result<Arc<Counts>> {
    let directory = tempfile::tempdir()?;
    let ground = Ground::start(&directory.path().join("data")).await?;
    let app = ground.app().await?;
    let writer = ground.client(&app)?;
    for list in 0..N_SUBSCRIPTIONS {
        let write = writer.write(|tx| {
            for n in 0..N_FACTS_EACH {
                tx.set(format!("l{list}-n{n}").as_str(), "bench/list", list as i64);
            }
        });
        write.await?.accepted().await?;
    }
    writer.close().await;
    let store = directory.path().join("client");
    let (first, _) = client(&ground, &app, &store)?;
    watch_all(&first).await?;
    first.close().await;
    drop(first);
    let (second, counts) = client(&ground, &app, &store)?;
    watch_all(&second).await?;
    second.close().await;
    ground.stop().await?;
    Ok(counts)
}

fn client(ground: &Ground, app: &App, store: &Path) -> Result<(Client, Arc<Counts>)> {
    let store = Box::new(LibsqlClientStore::open(store, Durability::Process)?);
    let config = ClientConfig { store: Some(store), ..ground.config(app) };
    let counts = Arc::<Counts>::default();
    let inner = WebSocketTransport::new(&ground.url, &app.id)?;
    let transport = Counted { inner, counts: Arc::clone(&counts), gate: None };
    Ok((Client::connect_over(config, transport, clock())?, counts))
}

/// Watches all lists until every one is complete, and whole.
async fn watch_all(client: &Client) -> Result<()> {
    let query = "[:find ?e :in ?list :where [?e :bench/list ?list]]";
    let mut lists = Vec::new();
    for list in 0..N_SUBSCRIPTIONS as i64 {
        lists.push(client.subscribe(query, [list], SubscribeOptions::default()).await?);
    }
    for watched in &mut lists {
        let change = until(watched, |change| change.complete).await?;
        anyhow::ensure!(change.answer.rows.len() == N_FACTS_EACH, "a list is not whole");
    }
    Ok(())
}

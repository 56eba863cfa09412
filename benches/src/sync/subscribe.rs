//! What setting up many different subscriptions over many connections takes.

use std::time::{Duration, Instant};

use anyhow::Result;
use tercet_client::{Client, Status, SubscribeOptions};

use futures_util::StreamExt;

use super::ground::{Ground, runtime, until};
use super::ms;
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted};

/// From the first call until every subscription is complete.
pub(super) const SUBSCRIBE: Benchmark = Benchmark { ids: &["sync.subscribe"], run: subscribe };

const N_CLIENTS: usize = 50;
const N_EACH: usize = 100;
/// Entities that each subscription finds.
const N_FOUND: usize = 5;

fn subscribe(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_each = context.scale.of(N_EACH);
    let took = runtime()?.block_on(measure(n_each))?;
    let n = N_CLIENTS * n_each;
    let data = format!("{n} subscriptions over {N_CLIENTS} connections, no two alike");
    Ok(vec![Row::new("sync.subscribe", "ms", ms(took), data).within(2_000.0, None, Better::Less)])
}

async fn measure(n_each: usize) -> Result<Duration> {
    let directory = tempfile::tempdir()?;
    let ground = Ground::start(directory.path()).await?;
    let app = ground.app().await?;
    let writer = ground.client(&app)?;
    for index in 0..N_CLIENTS {
        let write = writer.write(|tx| {
            for list in 0..n_each {
                for n in 0..N_FOUND {
                    let (entity, list) = (format!("e{index}-{list}-{n}"), index * n_each + list);
                    tx.set(entity.as_str(), "task/list", list as i64);
                    tx.set(entity.as_str(), "task/title", format!("task {n} of {list}"));
                }
            }
        });
        write.await?.accepted().await?;
    }
    writer.close().await;
    let mut clients = Vec::new();
    for _ in 0..N_CLIENTS {
        let client = ground.client(&app)?;
        let mut states = client.status_changes();
        while !matches!(client.status().connection, Status::Synced(_)) {
            states.next().await;
        }
        clients.push(client);
    }
    let start = Instant::now();
    let watching = clients.iter().enumerate().map(|(index, client)| {
        let (client, first) = (client.clone(), index * n_each);
        tokio::spawn(watch(client, first, n_each))
    });
    for watched in watching.collect::<Vec<_>>() {
        watched.await??;
    }
    let took = start.elapsed();
    for client in clients {
        client.close().await;
    }
    ground.stop().await?;
    Ok(took)
}

async fn watch(client: Client, first: usize, n_each: usize) -> Result<()> {
    let query = "[:find ?e ?title :in ?list :where [?e :task/list ?list] [?e :task/title ?title]]";
    let mut lists = Vec::with_capacity(n_each);
    for list in first..first + n_each {
        let inputs = [list as i64];
        lists.push(client.subscribe(query, inputs, SubscribeOptions::default()).await?);
    }
    for watched in &mut lists {
        let change = until(watched, |change| change.complete).await?;
        anyhow::ensure!(change.answer.rows.len() == N_FOUND, "a list is not whole");
    }
    Ok(())
}

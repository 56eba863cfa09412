//! An empty client becomes a replica of a hundred thousand tasks: how long, how much, how large.
//!
//! The client is in a process of its own, which says how long it took, how many bytes came, and how
//! much more memory it occupies than before it connected; everything that it needed for a moment
//! and gave back to the system is not counted.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use tercet_client::SubscribeOptions;

use super::ground::{App, Ground, runtime, until};
use super::{ms, tasks};
use crate::row::{Better, Row};
use crate::store::{measuring_memory, resident_bytes};
use crate::{Benchmark, Context, Wanted};

/// Time, bytes on the wire, memory.
pub(super) const REPLICA: Benchmark =
    Benchmark { ids: &["sync.cold", "sync.cold.bytes", "sync.memory"], run: replica };

const N_TASKS: usize = 100_000;

/// What takes longer has hung.
const HANG: Duration = Duration::from_secs(60);

/// Where a server is, for the process that becomes its replica.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    url: String,
    app: String,
    key: String,
    n_tasks: usize,
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    ms: f64,
    n_bytes_down: u64,
    n_bytes_occupied: u64,
}

fn replica(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_tasks = context.scale.of(N_TASKS);
    let outcome = runtime()?.block_on(measure(n_tasks))?;
    let data = format!("{n_tasks} tasks of id and 5 fields, each written at its own time");
    let n_bytes = outcome.n_bytes_down as f64 / n_tasks as f64;
    let n_mb = outcome.n_bytes_occupied as f64 / 1e6;
    Ok(vec![
        Row::new("sync.cold", "ms", outcome.ms, &*data).within(800.0, None, Better::Less),
        Row::new("sync.cold.bytes", "bytes/entity", n_bytes, &*data).within(
            60.0,
            None,
            Better::Less,
        ),
        Row::new("sync.memory", "MB", n_mb, &*data).within(50.0, None, Better::Less),
    ])
}

async fn measure(n_tasks: usize) -> Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let ground = Ground::start(directory.path()).await?;
    let app = ground.app().await?;
    ground.stop().await?;
    tasks::append(directory.path(), &app.id, n_tasks)?;
    let ground = Ground::start(directory.path()).await?;
    // The app is loaded, as that of a server in use is.
    let warm = ground.client(&app)?;
    warm.query("[:find (count ?e) . :where [?e :task/done]]", ()).await?;
    warm.close().await;
    let App { id, key } = app;
    let place = Place { url: ground.url.clone(), app: id, key, n_tasks };
    let output = tokio::task::spawn_blocking(move || run_apart(&place)).await??;
    ground.stop().await?;
    Ok(output)
}

fn run_apart(place: &Place) -> Result<Outcome> {
    let mut command: Command = measuring_memory()?;
    command.arg("--replica").arg(serde_json::to_string(place)?).stdout(Stdio::piped());
    let output = command.spawn().context("cannot start another process")?.wait_with_output()?;
    ensure!(output.status.success(), "the process of the replica ended: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Becomes a replica, and tells on the output what that took: the other end of `sync.cold`.
///
/// # Errors
/// When the server cannot be reached, or the system does not tell what is occupied.
pub fn become_one(place: &str, output: impl Write) -> Result<()> {
    let place: Place = serde_json::from_str(place)?;
    let outcome = runtime()?.block_on(fill(place))?;
    Ok(serde_json::to_writer(output, &outcome)?)
}

async fn fill(place: Place) -> Result<Outcome> {
    let app = App { id: place.app, key: place.key };
    let before = resident_bytes()?;
    let start = Instant::now();
    let (client, counts) = Ground::counted_at(&place.url, &app)?;
    let mut watched = client.subscribe(tasks::QUERY, (), SubscribeOptions::default()).await?;
    let whole = tokio::time::timeout(HANG, until(&mut watched, |change| change.complete)).await;
    let Ok(change) = whole else { bail!("the replica is not complete: {:?}", client.status()) };
    let change = change?;
    let took = start.elapsed();
    ensure!(change.answer.rows.len() == place.n_tasks, "the replica is not whole");
    drop(change);
    let n_bytes_occupied = resident_bytes()?.saturating_sub(before);
    let n_bytes_down = counts.n_bytes_down.load(Ordering::Relaxed);
    client.close().await;
    Ok(Outcome { ms: ms(took), n_bytes_down, n_bytes_occupied })
}

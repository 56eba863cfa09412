//! From a write of one client to its sight on another: through sockets, server and disk.
//!
//! A write cannot be seen elsewhere in less than a flushed commit and a message through a relay;
//! so it is compared with these, measured in the same rounds. A median below the sum of its parts
//! is reported as not ok, because then the measurement is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use parking_lot::Mutex;
use tercet::{Attribute, EntityId, Op, Output, Value};
use tercet_client::{Client, SubscribeOptions, Subscription};
use tokio::time::{MissedTickBehavior, interval};

use super::bare::{Commits, Relay};
use super::ground::{Ground, runtime, until};
use super::{ms, percentile};
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted};

/// `transact` called on client A until client B's subscription gives the new answer.
pub(super) const PROPAGATE: Benchmark =
    Benchmark { ids: &["sync.propagate.p50", "sync.propagate.p99"], run: propagate };

/// The same while fifty clients write.
pub(super) const LOAD: Benchmark = Benchmark { ids: &["sync.propagate.load.p99"], run: load };

const N_WARM: usize = 50;
const N_WRITES: usize = 1_000;

const N_CLIENTS: usize = 50;
/// Each client's: together 500 writes a second.
const WRITE_EVERY: Duration = Duration::from_millis(100);
const N_WRITES_EACH: usize = 100;
/// How often the bare parts are measured meanwhile.
const BARE_EVERY: Duration = Duration::from_millis(20);

/// Times of writes, and of what no write can be quicker than.
#[derive(Default)]
struct Times {
    writes: Vec<Duration>,
    relays: Vec<Duration>,
    commits: Vec<Duration>,
}

impl Times {
    /// In milliseconds: a write, a relay, a commit.
    fn at(&mut self, part: f64) -> [f64; 3] {
        [&mut self.writes, &mut self.relays, &mut self.commits]
            .map(|times| ms(percentile(times, part)))
    }
}

fn row(id: &'static str, [write, relay, commit]: [f64; 3], must: f64, data: &str) -> Row {
    let what = format!("a relay ({relay:.3}) and a commit ({commit:.3})");
    let row = Row::new(id, "ms", write, data).against(what, relay + commit, Better::Less);
    row.within(must, None, Better::Less)
}

fn propagate(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_writes = context.scale.of(N_WRITES);
    let directory = tempfile::tempdir()?;
    let commits = Commits::start(directory.path().join("floor.db"))?;
    let data = directory.path().join("data");
    let mut times = runtime()?.block_on(one_after_another(&data, &commits, n_writes))?;
    let data = format!("{n_writes} writes over loopback, one after another, flushed to disk");
    let [_, relay, commit] = times.at(0.5);
    let mut p50 = row("sync.propagate.p50", times.at(0.5), relay + commit + 0.5, &data);
    p50.ok &= p50.against_value.is_some_and(|floor| p50.value >= floor);
    let [_, relay, commit] = times.at(0.99);
    let p99 = row("sync.propagate.p99", times.at(0.99), 2.0 * (relay + commit), &data);
    Ok(vec![p50, p99])
}

fn load(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_each = context.scale.of(N_WRITES_EACH);
    let directory = tempfile::tempdir()?;
    let commits = Commits::start(directory.path().join("floor.db"))?;
    let data = directory.path().join("data");
    let mut times = runtime()?.block_on(all_at_once(&data, commits, n_each))?;
    let data = format!(
        "{} writes of {N_CLIENTS} clients, 500 a second, over loopback, flushed to disk",
        times.writes.len()
    );
    let [_, relay, commit] = times.at(0.99);
    Ok(vec![row("sync.propagate.load.p99", times.at(0.99), 4.0 * (relay + commit), &data)])
}

fn set(entity: &str, value: i64) -> Result<Op> {
    let (e, a) = (EntityId::new(entity)?, Attribute::new("bench/n")?);
    Ok(Op::Set { e, a, v: Value::int(value) })
}

/// One client writes and another watches; each write is measured beside what it contains.
async fn one_after_another(data: &Path, commits: &Commits, n_writes: usize) -> Result<Times> {
    let ground = Ground::start(data).await?;
    let app = ground.app().await?;
    let (writer, reader) = (ground.client(&app)?, ground.client(&app)?);
    let query = "[:find ?n . :where [_ :bench/n ?n]]";
    let mut watched = reader.subscribe(query, (), SubscribeOptions::default()).await?;
    let mut relay = Relay::start().await?;
    let mut times = Times::default();
    for n in 0..(N_WARM + n_writes) as i64 {
        let (commit, pass) = (commits.commit().await?, relay.pass().await?);
        let start = Instant::now();
        let write = writer.transact(vec![set("the-one", n)?]).await?;
        until(&mut watched, |change| {
            let first = change.answer.rows.first().and_then(|row| row.value(0));
            first.is_some_and(|shown| shown.as_i64() == Some(n))
        })
        .await?;
        let took = start.elapsed();
        write.accepted().await?;
        if n >= N_WARM as i64 {
            times.writes.push(took);
            times.relays.push(pass);
            times.commits.push(commit);
        }
    }
    drop(watched);
    writer.close().await;
    reader.close().await;
    ground.stop().await?;
    Ok(times)
}

/// When writes that nobody has seen yet were made.
type Made = Arc<Mutex<BTreeMap<i64, Instant>>>;

/// Many clients write at a steady pace; each write to an entity of its own, so that none can
/// hide another one.
async fn all_at_once(data: &Path, commits: Commits, n_each: usize) -> Result<Times> {
    let ground = Ground::start(data).await?;
    let app = ground.app().await?;
    let reader = ground.client(&app)?;
    let query = "[:find ?n :where [_ :bench/n ?n]]";
    let mut watched = reader.subscribe(query, (), SubscribeOptions::default()).await?;
    until(&mut watched, |change| change.complete).await?;
    let made = Made::default();
    let mut relay = Relay::start().await?;
    let bare = tokio::spawn(async move {
        let mut times = Times::default();
        let mut ticks = interval(BARE_EVERY);
        loop {
            ticks.tick().await;
            times.commits.push(commits.commit().await?);
            times.relays.push(relay.pass().await?);
            if times.commits.len() >= n_each * 5 {
                return anyhow::Ok(times);
            }
        }
    });
    let mut writers = Vec::new();
    for index in 0..N_CLIENTS {
        let first = i64::try_from(index * n_each)?;
        let (client, made) = (ground.client(&app)?, Arc::clone(&made));
        writers.push(tokio::spawn(write_steadily(client, index, first, n_each, made)));
    }
    let writes = see_all(&mut watched, &made, N_CLIENTS * n_each).await?;
    for writer in writers {
        writer.await??.close().await;
    }
    let times = Times { writes, ..bare.await?? };
    drop(watched);
    reader.close().await;
    ground.stop().await?;
    Ok(times)
}

async fn write_steadily(
    client: Client,
    index: usize,
    first: i64,
    n_each: usize,
    made: Made,
) -> Result<Client> {
    let pause = WRITE_EVERY * u32::try_from(index)? / u32::try_from(N_CLIENTS)?;
    tokio::time::sleep(WRITE_EVERY + pause).await;
    let mut ticks = interval(WRITE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in first..first + i64::try_from(n_each)? {
        ticks.tick().await;
        let op = set(&format!("n{n}"), n)?;
        made.lock().insert(n, Instant::now());
        client.transact(vec![op]).await?;
    }
    client.flush().await?;
    Ok(client)
}

/// Waits until so many writes were seen, and says how long each took.
async fn see_all(
    watched: &mut Subscription,
    made: &Made,
    n_writes: usize,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(n_writes);
    until(watched, |change| {
        let now = Instant::now();
        let mut made = made.lock();
        for placed in &change.delta.added {
            let shown = match placed.row.first() {
                Some(Output::Value(Value::Number(number))) => number.as_i64(),
                _ => None,
            };
            if let Some(start) = shown.and_then(|n| made.remove(&n)) {
                times.push(now.duration_since(start));
            }
        }
        times.len() >= n_writes
    })
    .await?;
    Ok(times)
}

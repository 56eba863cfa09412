//! From a write to its sight in the client that made it.
//!
//! The client is connected and its writes go to the server meanwhile. Its subscription holds a
//! thousand rows, because no program's is empty; the write changes one of them.

use std::time::{Duration, Instant};

use anyhow::Result;
use tercet::{Attribute, EntityId, Op, Value};
use tercet_client::SubscribeOptions;

use super::ground::{Ground, runtime, until};
use super::percentile;
use crate::row::{Better, Row};
use crate::{Benchmark, Context, Wanted};

/// `transact` called until the subscription of the same client gives the new answer.
pub(super) const LOCAL: Benchmark = Benchmark { ids: &["sync.local"], run: local };

const N_ROWS: usize = 1_000;
const N_WARM: usize = 100;
const N_WRITES: usize = 5_000;

fn local(context: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let n_writes = context.scale.of(N_WRITES);
    let mut times = runtime()?.block_on(measure(n_writes))?;
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    let (p50, p99) = (us(percentile(&mut times, 0.5)), us(percentile(&mut times, 0.99)));
    let data = format!("{n_writes} writes, one after another; p99; {N_ROWS} rows subscribed to");
    let mut row = Row::new("sync.local", "us", p99, data).within(50.0, None, Better::Less);
    row.median = Some(p50);
    Ok(vec![row])
}

async fn measure(n_writes: usize) -> Result<Vec<Duration>> {
    let directory = tempfile::tempdir()?;
    let ground = Ground::start(directory.path()).await?;
    let client = ground.client(&ground.app().await?)?;
    let a = Attribute::new("bench/n")?;
    let set = |entity: usize, value: usize| {
        let (e, a) = (EntityId::new(format!("n{entity}"))?, a.clone());
        anyhow::Ok(Op::Set { e, a, v: Value::int(i64::try_from(value)?) })
    };
    let ops: Vec<Op> = (0..N_ROWS).map(|n| set(n, n)).collect::<Result<_>>()?;
    client.transact(ops).await?.accepted().await?;
    let query = "[:find ?e ?n :where [?e :bench/n ?n]]";
    let mut watched = client.subscribe(query, (), SubscribeOptions::default()).await?;
    until(&mut watched, |change| change.complete && change.answer.rows.len() == N_ROWS).await?;
    let mut times = Vec::with_capacity(n_writes);
    for n in 0..N_WARM + n_writes {
        let value = N_ROWS + n;
        let op = set(n % N_ROWS, value)?;
        let start = Instant::now();
        let write = client.transact(vec![op]).await?;
        let seen = until(&mut watched, |change| !change.delta.added.is_empty()).await?;
        let took = start.elapsed();
        write.accepted().await?;
        // It may have been accepted before it was seen.
        if seen.pending {
            until(&mut watched, |change| !change.pending).await?;
        }
        if n >= N_WARM {
            times.push(took);
        }
    }
    drop(watched);
    client.close().await;
    ground.stop().await?;
    Ok(times)
}

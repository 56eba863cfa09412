//! A program with a durable client that writes for as long as it lives: `tests/e2e_offline.rs`
//! starts it, takes its server away, and kills it.
//!
//! It says on standard output how far it is, one line each: `ready` when its subscription is
//! complete, `offline` when it has lost the server, then `stored N` for every write that its client
//! has called stored. It never ends by itself.
#![allow(clippy::print_stdout, reason = "it is read by the test that starts it")]

use anyhow::{Context as _, Result, bail};
use futures_util::StreamExt as _;
use tercet_client::{Client, Status, SubscribeOptions, Write};

/// Writes whose storing is awaited together.
const N_TOGETHER: usize = 50;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data_dir, url, app, key] = arguments.as_slice() else {
        bail!("usage: offline_client DATA_DIR URL APP KEY");
    };
    let client = Client::builder().url(url).app(app).key(key).data_dir(data_dir).connect()?;
    let query = "[:find ?e ?t :where [?e :note/text ?t]]";
    let mut notes = client.subscribe(query, (), SubscribeOptions::default()).await?;
    while !notes.next().await.context("the subscription ended")??.complete {}
    println!("ready");
    let mut states = client.status_changes();
    while client.status().connection != Status::Offline {
        states.next().await.context("the client ended")?;
    }
    println!("offline");
    for first in (0..).step_by(N_TOGETHER) {
        let mut writes = Vec::new();
        for n in first..first + N_TOGETHER {
            let write = client.write(|tx| {
                tx.set(format!("own-{n}").as_str(), "note/text", "offline");
                tx.set(format!("own-{n}").as_str(), "note/number", n as i64);
            });
            writes.push((n, write.await?));
        }
        tell_stored(writes).await?;
    }
    Ok(())
}

async fn tell_stored(writes: Vec<(usize, Write)>) -> Result<()> {
    for (n, write) in writes {
        write.stored().await?;
        println!("stored {n}");
    }
    Ok(())
}

//! From a write of one client to its sight on another: through sockets, server and disk.
//!
//! Everything is real but the distance: client and server are in this process and talk over
//! loopback, the server commits to a libSQL file with a flush. A write cannot be seen elsewhere in
//! less than one flushed commit and one message each way, so that is what it is compared with.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tercet::{Attribute, EntityId, Op, Output, Value};
use tercet_client::{Client, ClientConfig, SubscribeOptions, Subscription};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use crate::measure::{ms, percentile};
use crate::row::{Better, Row};
use crate::sql::Sql;
use crate::{Benchmark, Context};

/// `transact` called on client A until client B's subscription gives the new answer.
pub const PROPAGATE: Benchmark =
    Benchmark { ids: &["sync.propagate.p50", "sync.propagate.p99"], run: propagate };

const N_WARM: usize = 50;
const N_WRITES: usize = 1_000;

fn propagate(_: &mut Context) -> Result<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let mut commits = Sql::durable(&directory.path().join("floor.db"))?.commits(N_WRITES)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut echoes = runtime.block_on(echoes())?;
    let storage = StorageChoice::Directory(directory.path().join("data"));
    let mut times = runtime.block_on(writes(storage))?;

    let name = format!("{N_WRITES} writes over loopback, one after another, flushed to disk");
    let mut row = |id, part| {
        let (commit, echo) = (percentile(&mut commits, part), percentile(&mut echoes, part));
        let floor = "a libSQL commit and a WebSocket echo";
        Row::new(id, "ms", ms(percentile(&mut times, part)), &*name).against(
            floor,
            ms(commit + echo),
            Better::Less,
        )
    };
    Ok(vec![row("sync.propagate.p50", 0.5), row("sync.propagate.p99", 0.99)])
}

/// Starts a server with an app, lets one client write and another watch, and gives the time from
/// each write to its sight.
async fn writes(storage: StorageChoice) -> Result<Vec<Duration>> {
    const ADMIN: &str = "the admin token of this benchmark";
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = Server::open(ServerConfig::new(storage, Some(ADMIN.to_owned())), listener).await?;
    let url = format!("http://{}", server.local_addr());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(stopped.await) }));

    let admin = format!("{url}/v1/admin/apps");
    let app = post(&admin, ADMIN, json!({"name": "bench"}), "app").await?;
    let access = json!({"role": "client", "access": "write"});
    let key = post(&format!("{admin}/{app}/keys"), ADMIN, access, "key").await?;
    let connect = || Client::connect(ClientConfig::new(&*url, &*app, &*key));
    let (writer, reader) = (connect()?, connect()?);
    let query = "[:find ?n . :where [_ :bench/n ?n]]";
    let mut watched = reader.subscribe(query, (), SubscribeOptions::default()).await?;

    let (e, a) = (EntityId::new("the-one")?, Attribute::new("bench/n")?);
    let mut times = Vec::with_capacity(N_WARM + N_WRITES);
    for n in 0..(N_WARM + N_WRITES) as i64 {
        let op = Op::Set { e: e.clone(), a: a.clone(), v: Value::int(n) };
        let start = Instant::now();
        let write = writer.transact(vec![op]).await?;
        see(&mut watched, &Output::Value(Value::int(n))).await?;
        times.push(start.elapsed());
        write.accepted().await?;
    }
    drop(watched);
    writer.close().await;
    reader.close().await;
    // It may have ended already, and then said why.
    let _ = stop.send(());
    running.await?;
    Ok(times.split_off(N_WARM))
}

/// Waits until the subscription shows the value.
async fn see(watched: &mut Subscription, value: &Output) -> Result<()> {
    while let Some(change) = watched.next().await {
        if change?.answer.rows.first().is_some_and(|row| row.first() == Some(value)) {
            return Ok(());
        }
    }
    bail!("the subscription ended before the write was seen")
}

/// Posts JSON and gives one text of the answer.
async fn post(url: &str, token: &str, body: Json, field: &str) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let response = http.post(url).bearer_auth(token).json(&body).send().await?;
    let answer: Json = response.error_for_status()?.json().await?;
    Ok(answer[field].as_str().with_context(|| format!("no {field} in {answer}"))?.to_owned())
}

/// A message there and back over a WebSocket on loopback, which does nothing else.
async fn echoes() -> Result<Vec<Duration>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut socket = tokio_tungstenite::accept_async(stream).await?;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() {
                break;
            }
            socket.send(message).await?;
        }
        anyhow::Ok(())
    });
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let url = format!("ws://{address}/");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    let mut times = Vec::with_capacity(N_WRITES);
    for n in 0..N_WARM + N_WRITES {
        let start = Instant::now();
        socket.send(Message::binary(vec![7; 100])).await?;
        socket.next().await.context("the echo ended")??;
        if n >= N_WARM {
            times.push(start.elapsed());
        }
    }
    socket.close(None).await?;
    server.await??;
    Ok(times)
}

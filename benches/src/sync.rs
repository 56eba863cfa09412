//! From a write of one client to its sight on another: through sockets, server and disk.
//!
//! Everything is real but the distance: client and server are in this process and talk over
//! loopback, the server commits to a libSQL file with a flush. A write cannot be seen elsewhere in
//! less than one flushed commit and one message each way, so that is what it is compared with.
//!
//! What a flush costs follows whatever else the machine does. Measured one after the other, the
//! three looked as if a write were ten times faster than the commit in it. So each round measures
//! all three, the commit on a thread of its own as the server's is; and a median below that of its
//! parts is reported as not ok, because then the measurement is wrong.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tercet::{Attribute, EntityId, Op, Output, Value};
use tercet_client::{Client, ClientConfig, SubscribeOptions, Subscription};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::row::{Better, Row};
use crate::sql::Sql;
use crate::{Benchmark, Context, Wanted};

/// `transact` called on client A until client B's subscription gives the new answer.
pub const PROPAGATE: Benchmark =
    Benchmark { ids: &["sync.propagate.p50", "sync.propagate.p99"], run: propagate };

const N_WARM: usize = 50;
const N_WRITES: usize = 1_000;

/// What one round took.
struct Round {
    /// From a write to its sight.
    write: Duration,
    /// A commit and an echo, which every write contains.
    floor: Duration,
}

fn propagate(_: &mut Context, _: &Wanted<'_>) -> Result<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let commits = Commits::start(directory.path().join("floor.db"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let storage = StorageChoice::Directory(directory.path().join("data"));
    let rounds = runtime.block_on(rounds(storage, &commits))?;
    let mut writes: Vec<Duration> = rounds.iter().map(|round| round.write).collect();
    let mut floors: Vec<Duration> = rounds.iter().map(|round| round.floor).collect();

    let name = format!("{N_WRITES} writes over loopback, one after another, flushed to disk");
    let mut row = |id, part| {
        let (write, floor) = (percentile(&mut writes, part), percentile(&mut floors, part));
        let what = "a libSQL commit and a WebSocket echo";
        Row::new(id, "ms", ms(write), &*name).against(what, ms(floor), Better::Less)
    };
    let (mut p50, p99) = (row("sync.propagate.p50", 0.5), row("sync.propagate.p99", 0.99));
    p50.ok &= p50.against_value.is_some_and(|floor| p50.value >= floor);
    Ok(vec![p50, p99])
}

/// Commits to a file of its own, on a thread of its own.
struct Commits {
    ask: mpsc::Sender<oneshot::Sender<Result<Duration>>>,
}

impl Commits {
    fn start(file: PathBuf) -> Result<Commits> {
        let (ask, asked) = mpsc::channel::<oneshot::Sender<Result<Duration>>>();
        let sql = Sql::durable(&file)?;
        std::thread::Builder::new().name("bare-commits".to_owned()).spawn(move || {
            let insert = sql.insert();
            for reply in asked {
                let took = match &insert {
                    Ok(insert) => sql.commit(insert),
                    Err(error) => Err(anyhow!("{error:#}")),
                };
                // Whoever asked may have failed meanwhile, and says why.
                let _ = reply.send(took);
            }
        })?;
        Ok(Commits { ask })
    }

    async fn commit(&self) -> Result<Duration> {
        let (reply, answer) = oneshot::channel();
        self.ask.send(reply).map_err(|_| anyhow!("the thread that commits ended"))?;
        answer.await?
    }
}

/// Starts a server with an app, lets one client write and another watch, and measures each write
/// beside what it contains.
async fn rounds(storage: StorageChoice, commits: &Commits) -> Result<Vec<Round>> {
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
    let mut echo = Echo::start().await?;

    let (e, a) = (EntityId::new("the-one")?, Attribute::new("bench/n")?);
    let mut rounds = Vec::with_capacity(N_WARM + N_WRITES);
    for n in 0..(N_WARM + N_WRITES) as i64 {
        let floor = commits.commit().await? + echo.round_trip().await?;
        let op = Op::Set { e: e.clone(), a: a.clone(), v: Value::int(n) };
        let start = Instant::now();
        let write = writer.transact(vec![op]).await?;
        see(&mut watched, &Output::Value(Value::int(n))).await?;
        rounds.push(Round { write: start.elapsed(), floor });
        write.accepted().await?;
    }
    drop(watched);
    writer.close().await;
    reader.close().await;
    // It may have ended already, and then said why.
    let _ = stop.send(());
    running.await?;
    Ok(rounds.split_off(N_WARM))
}

/// Waits until the subscription shows the value.
async fn see(watched: &mut Subscription, value: &Output) -> Result<()> {
    while let Some(change) = watched.next().await {
        if change?
            .answer
            .rows
            .first()
            .is_some_and(|row| row.get(0).is_some_and(|shown| shown == *value))
        {
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

/// A WebSocket on loopback whose other end sends back what it gets.
struct Echo {
    socket: WebSocketStream<TcpStream>,
}

impl Echo {
    async fn start() -> Result<Echo> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut socket = tokio_tungstenite::accept_async(stream).await?;
            while let Some(message) = socket.next().await {
                socket.send(message?).await?;
            }
            anyhow::Ok(())
        });
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (socket, _) =
            tokio_tungstenite::client_async(format!("ws://{address}/"), stream).await?;
        Ok(Echo { socket })
    }

    async fn round_trip(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.socket.send(Message::binary(vec![7; 100])).await?;
        self.socket.next().await.context("the echo ended")??;
        Ok(start.elapsed())
    }
}

/// The smallest time that at least this part of all times does not exceed. Sorts them.
///
/// # Panics
/// Without any time.
fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * part).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&mut times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&mut times[..1], 0.99), Duration::from_millis(1));
    }
}

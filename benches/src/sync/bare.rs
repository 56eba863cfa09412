//! What no write can be quicker than: a message through a WebSocket relay, and a flushed commit.
//!
//! They are measured in the same rounds as the writes, because what a flush costs follows whatever
//! else the machine does. Measured one after the other, a write once looked ten times faster than
//! the commit in it. The commits run on a thread of their own, as the server's do.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::sql::Sql;

/// Commits to a file of its own, on a thread of its own.
pub(super) struct Commits {
    ask: mpsc::Sender<oneshot::Sender<Result<Duration>>>,
}

impl Commits {
    pub(super) fn start(file: PathBuf) -> Result<Commits> {
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

    pub(super) async fn commit(&self) -> Result<Duration> {
        let (reply, answer) = oneshot::channel();
        self.ask.send(reply).map_err(|_| anyhow!("the thread that commits ended"))?;
        answer.await?
    }
}

/// Two WebSockets on loopback and a task between them that hands on what it gets from the one to
/// the other: what a write takes from client to client where nothing is done with it.
pub(super) struct Relay {
    from: WebSocketStream<TcpStream>,
    to: WebSocketStream<TcpStream>,
}

impl Relay {
    pub(super) async fn start() -> Result<Relay> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let mut sockets = Vec::new();
            for _ in 0..2 {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                sockets.push(tokio_tungstenite::accept_async(stream).await?);
            }
            let (mut to, mut from) = (sockets.pop().context("two")?, sockets.pop().context("two")?);
            while let Some(message) = from.next().await {
                to.send(message?).await?;
            }
            anyhow::Ok(())
        });
        let connect = async || {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let url = format!("ws://{address}/");
            anyhow::Ok(tokio_tungstenite::client_async(url, stream).await?.0)
        };
        Ok(Relay { from: connect().await?, to: connect().await? })
    }

    /// From the one client to the other.
    pub(super) async fn pass(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.from.send(Message::binary(vec![7; 100])).await?;
        self.to.next().await.context("the relay ended")??;
        Ok(start.elapsed())
    }
}

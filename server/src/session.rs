//! One connected peer: hello, then messages both ways until either side ends it.
//!
//! One task serves a session: it sends what the tenant queued and, while there is room for
//! answers, hands over what the peer says. A peer that asks faster than it reads is slowed down;
//! one that is told more than it reads is cut off by its queue. A frame that is no message is
//! answered with an error and costs its sender nothing more, until there are too many of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tercet_sync::message::{ErrorMessage, Hello, SubscriptionId};
use tercet_sync::{ClientMessage, Codec, ServerMessage, SessionId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes, protocol::CloseFrame};

use crate::auth::{Auth, AuthError};
use crate::limits::ServerLimits;
use crate::server::stopped;
use crate::tenant::{Command, Inbound, Queued, TenantHandle, Tenants, queue};

/// How many queued messages are written before they are flushed.
const WRITES_AT_ONCE: usize = 64;

/// How long a closed session's peer may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a session works with.
pub(crate) struct SessionContext {
    pub(crate) auth: Arc<Auth>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) limits: Arc<ServerLimits>,
}

/// How a session ends, as its peer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    close: u16,
    code: &'static str,
    message: String,
}

impl End {
    fn new(code: &'static str, message: impl Into<String>) -> End {
        let close = match code {
            "unauthenticated" => 4401,
            "forbidden" => 4403,
            "hello_timeout" => 4408,
            "fenced" => 4409,
            "resync" => 4008,
            "storage_unavailable" => u16::from(CloseCode::Again),
            "stopping" => u16::from(CloseCode::Restart),
            "gone" => u16::from(CloseCode::Normal),
            _ => u16::from(CloseCode::Policy),
        };
        End { close, code, message: message.into() }
    }

    /// The tenant's task has gone: the peer comes back and resumes.
    fn reloaded() -> End {
        End::new("storage_unavailable", "the app is being loaded again; connect again")
    }
}

/// Serves a connection whose WebSocket handshake is done, until it ends.
pub(crate) async fn serve<Stream: AsyncRead + AsyncWrite + Unpin>(
    context: &SessionContext,
    app: &str,
    codec: Codec,
    mut stop: watch::Receiver<bool>,
    socket: WebSocketStream<Stream>,
) {
    let mut connection = Connection {
        socket,
        codec,
        limits: Arc::clone(&context.limits),
        n_malformed: 0,
        last_heard: Instant::now(),
    };
    let end = match connection.begin(context, app).await {
        Ok(begun) => connection.converse(begun, &mut stop).await,
        Err(end) => {
            connection.send_error(end.code, &end.message, None).await;
            end
        }
    };
    tracing::debug!(code = end.code, "session ended");
    connection.close(end).await;
}

/// A session that the tenant knows.
struct Begun {
    session: SessionId,
    tenant: TenantHandle,
    inbound: Inbound,
}

struct Connection<Stream> {
    socket: WebSocketStream<Stream>,
    codec: Codec,
    limits: Arc<ServerLimits>,
    n_malformed: u32,
    last_heard: Instant,
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> Connection<Stream> {
    /// Waits for hello, checks the key, and tells the tenant. Nothing else is looked at before.
    async fn begin(&mut self, context: &SessionContext, app: &str) -> Result<Begun, End> {
        let hello = timeout(self.limits.hello_timeout, self.hello()).await;
        let hello = hello.map_err(|_| End::new("hello_timeout", "no hello came in time"))??;
        let grant =
            context.auth.grant(app, Some(&hello.key)).await.map_err(|error| match error {
                AuthError::Unauthenticated => End::new("unauthenticated", error.to_string()),
                AuthError::Forbidden => End::new("forbidden", error.to_string()),
                AuthError::Storage(error) => {
                    tracing::error!(code = error.code(), %error, "a key could not be looked up");
                    End::new("storage_unavailable", "keys cannot be checked now; try again")
                }
            })?;
        let tenant = context.tenants.get(&grant).await.map_err(|error| {
            tracing::error!(tenant = %grant.tenant(), %error, "tenant could not be loaded");
            End::new("storage_unavailable", "the app cannot be loaded now; try again")
        })?;
        let session = context.tenants.next_session();
        tracing::Span::current().record("session", session.0);
        let (outbound, inbound) = queue(&self.limits);
        let command = Command::Connect { session, rights: grant.rights(), hello, outbound };
        tenant.send(command).await.map_err(|_| End::reloaded())?;
        Ok(Begun { session, tenant, inbound })
    }

    async fn hello(&mut self) -> Result<Hello, End> {
        let bytes = self.receive().await.ok_or_else(|| End::new("gone", "the peer left"))?;
        let bytes = bytes.map_err(|error| End::new(error.code(), error.to_string()))?;
        let decoded = self.codec.decode_client(&bytes, self.limits.hello_bytes_max as u64);
        match decoded.map_err(|error| End::new(error.code(), error.to_string()))? {
            ClientMessage::Hello(hello) => Ok(hello),
            _ => Err(End::new("malformed", "the first message must be hello")),
        }
    }

    /// Carries messages both ways until either side ends it.
    async fn converse(&mut self, begun: Begun, stop: &mut watch::Receiver<bool>) -> End {
        let Begun { session, tenant, mut inbound } = begun;
        let mut pings = tokio::time::interval(self.limits.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        let end = loop {
            let outcome = tokio::select! {
                queued = inbound.next() => self.deliver(session, &tenant, queued, &mut inbound).await,
                heard = self.receive(), if inbound.has_room() => match heard {
                    Some(heard) => self.take(session, &tenant, heard).await,
                    None => Err(End::new("gone", "the peer left")),
                },
                _ = pings.tick() => self.ping().await,
                () = stopped(stop) => Err(End::new("stopping", "the server is stopping")),
            };
            if let Err(end) = outcome {
                break end;
            }
        };
        // An ended task has forgotten its sessions by itself.
        let _ = tenant.send(Command::Disconnect { session }).await;
        end
    }

    /// Sends what the tenant queued, and what else is there already.
    async fn deliver(
        &mut self,
        session: SessionId,
        tenant: &TenantHandle,
        first: Option<Queued>,
        inbound: &mut Inbound,
    ) -> Result<(), End> {
        let mut queued = first.ok_or_else(End::reloaded)?;
        for n_written in 1.. {
            match queued {
                Queued::Frame(frame) => self.feed(frame.bytes(self.codec)).await?,
                Queued::Drained => {
                    let told = tenant.send(Command::Drained { session }).await;
                    told.map_err(|_| End::reloaded())?;
                }
                Queued::Close { code, message } => return Err(End::new(code, message)),
            }
            if n_written >= WRITES_AT_ONCE {
                break;
            }
            match inbound.next_now() {
                Some(next) => queued = next,
                None => break,
            }
        }
        self.flush().await
    }

    /// Hands over what the peer said.
    async fn take(
        &mut self,
        session: SessionId,
        tenant: &TenantHandle,
        heard: Result<Bytes, Unreadable>,
    ) -> Result<(), End> {
        let bytes = match heard {
            Ok(bytes) => bytes,
            Err(Unreadable::WrongKind) => return self.malformed(Unreadable::WrongKind, None).await,
            Err(error) => {
                let end = End::new(error.code(), error.to_string());
                self.send_error(end.code, &end.message, None).await;
                return Err(end);
            }
        };
        match self.codec.decode_client(&bytes, self.limits.sync.frame_bytes_max) {
            Ok(message) => {
                let command = Command::Receive { session, message };
                tenant.send(command).await.map_err(|_| End::reloaded())
            }
            Err(error) => self.malformed(error, subscription_of(self.codec, &bytes)).await,
        }
    }

    /// Answers a frame that is no message.
    async fn malformed(
        &mut self,
        error: impl ToString,
        subscription: Option<SubscriptionId>,
    ) -> Result<(), End> {
        self.n_malformed += 1;
        if self.n_malformed > self.limits.malformed_frames_max {
            return Err(End::new("malformed", "too many frames were no messages"));
        }
        self.send_error("malformed", &error.to_string(), subscription).await;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.last_heard.elapsed() > self.limits.silence_max {
            return Err(End::new("gone", "nothing was heard for too long"));
        }
        self.write(Message::Ping(Bytes::new())).await?;
        self.flush().await
    }

    /// The next frame with content; none when the peer has gone.
    async fn receive(&mut self) -> Option<Result<Bytes, Unreadable>> {
        loop {
            let message = self.socket.next().await?;
            self.last_heard = Instant::now();
            match (message, self.codec) {
                (Ok(Message::Binary(bytes)), Codec::Binary) => return Some(Ok(bytes)),
                (Ok(Message::Text(text)), Codec::Json) => return Some(Ok(text.into())),
                (Ok(Message::Binary(_) | Message::Text(_)), _) => {
                    return Some(Err(Unreadable::WrongKind));
                }
                (Ok(Message::Close(_)), _) => {
                    // The library has queued the answer that a close asks for (RFC 6455, 5.5.1).
                    let _ = timeout(CLOSE_TIMEOUT, self.socket.flush()).await;
                    return None;
                }
                (Err(tungstenite::Error::ConnectionClosed), _) => return None,
                (Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)), _) => {}
                (Err(tungstenite::Error::Capacity(_)), _) => {
                    return Some(Err(Unreadable::TooLarge));
                }
                (Err(_), _) => return Some(Err(Unreadable::Broken)),
            }
        }
    }

    async fn send_error(
        &mut self,
        code: &str,
        message: &str,
        subscription: Option<SubscriptionId>,
    ) {
        let (code, message) = (code.to_owned(), message.to_owned());
        let error = ErrorMessage { code, message, hint: None, subscription };
        let bytes = self.codec.encode_server(&ServerMessage::Error(error));
        if self.feed(bytes).await.is_ok() {
            // A peer that cannot be written to is noticed at the next write.
            let _ = self.flush().await;
        }
    }

    async fn feed(&mut self, bytes: Bytes) -> Result<(), End> {
        let message = match self.codec {
            Codec::Binary => Message::Binary(bytes),
            Codec::Json => {
                Message::Text(Utf8Bytes::try_from(bytes).expect("JSON is written as UTF-8"))
            }
        };
        self.write(message).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        written(timeout(self.limits.write_timeout, self.socket.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), End> {
        written(timeout(self.limits.write_timeout, self.socket.flush()).await)
    }

    /// Says why, and waits a moment for the peer, so that what was sent is not lost to a reset.
    async fn close(mut self, end: End) {
        let reason: String =
            end.code.chars().chain(": ".chars()).chain(end.message.chars()).collect();
        let cut = reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX);
        let frame = CloseFrame { code: end.close.into(), reason: reason[..cut].to_owned().into() };
        let closing = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Who does not answer is left alone. After an error the library reads no more: then what is
        // still on its way must not reset the connection before the peer has read why.
        if timeout(CLOSE_TIMEOUT, closing).await.is_ok() {
            let _ = self.socket.get_mut().shutdown().await;
        }
    }
}

/// What a close frame has room for.
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Why a frame was not looked into.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("text frames belong to tercet.v1.json, binary frames to tercet.v1.bin")]
    WrongKind,
    #[error("the frame is longer than a frame may be")]
    TooLarge,
    #[error("the stream is broken")]
    Broken,
}

impl Unreadable {
    /// The stable code of this error on the wire.
    fn code(&self) -> &'static str {
        match self {
            Unreadable::TooLarge => "frame_too_large",
            Unreadable::WrongKind | Unreadable::Broken => "malformed",
        }
    }
}

fn written<E>(outcome: Result<Result<(), E>, tokio::time::error::Elapsed>) -> Result<(), End> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::new("gone", "the peer left")),
        Err(_) => Err(End::new("resync", "the peer reads too slowly")),
    }
}

/// Which subscription a malformed text frame was about, so that the error ends only that one.
fn subscription_of(codec: Codec, bytes: &[u8]) -> Option<SubscriptionId> {
    if codec != Codec::Json {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    json.get("subscribe")?.get("subscription")?.as_u64().map(SubscriptionId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_subscribe_names_its_subscription() {
        let of = |text: &str| subscription_of(Codec::Json, text.as_bytes());
        assert_eq!(
            of(r#"{"subscribe": {"subscription": 7, "query": 5}}"#),
            Some(SubscriptionId(7))
        );
        assert_eq!(of(r#"{"subscribe": {"subscription": -7}}"#), None);
        assert_eq!(of(r#"{"push": {"number": 7}}"#), None);
        assert_eq!(of("{"), None);
    }
}

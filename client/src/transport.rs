//! How bytes get to a server and back: a trait, and WebSocket.
//!
//! A connection is two bounded channels of frames, so the driver never waits for a socket, and a
//! test connects two machines by handing each other the ends. Whether and when to connect is
//! decided by the peer; a transport only obeys. Frames are whole messages in the binary codec.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tercet_storage::AppId;
use tercet_sync::Codec;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::error::ClientError;

/// The longest frame a server may send. Servers send at most 4 MiB unless they are told otherwise.
pub(crate) const FRAME_BYTES_MAX: u64 = 16 << 20;

/// Frames between driver and socket, either way: enough to keep both busy, few enough that a
/// slow side is felt by the other.
const FRAMES_QUEUED: usize = 32;

/// How long a socket may take for one frame, before the connection counts as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes connections.
///
/// Contract: a connection delivers whole frames in order, without gaps, until it ends; it ends
/// when either side drops its end. A transport does not connect again by itself.
pub trait Transport: Send + 'static {
    /// Begins to connect. The future is dropped when it takes too long.
    fn connect(&mut self) -> Connecting;
}

/// A connection in the making.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Connection, TransportError>> + Send>>;

/// A connection. Dropping it ends it.
#[derive(Debug)]
pub struct Connection {
    /// Frames to the server.
    pub outgoing: mpsc::Sender<Bytes>,
    /// Frames from the server; after an error nothing follows.
    pub incoming: mpsc::Receiver<Result<Bytes, TransportError>>,
}

/// Why there is no connection, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What the system said.
    pub message: String,
}

impl TransportError {
    /// An error that says so.
    pub fn new(message: impl fmt::Display) -> TransportError {
        TransportError { message: message.to_string() }
    }
}

/// Connects by WebSocket, with the binary subprotocol.
#[derive(Debug, Clone)]
pub struct WebSocketTransport {
    uri: Uri,
}

impl WebSocketTransport {
    /// A transport to an app of a server.
    ///
    /// # Errors
    /// When the URL is none of `http://…` and `ws://…`, or the app id is none.
    pub fn new(url: &str, app: &str) -> Result<WebSocketTransport, ClientError> {
        let app = AppId::new(app)
            .map_err(|error| ClientError::Config { what: "the app", why: error.to_string() })?;
        Ok(WebSocketTransport { uri: sync_uri(url, &app)? })
    }
}

/// The address of an app's sync endpoint.
fn sync_uri(url: &str, app: &AppId) -> Result<Uri, ClientError> {
    let invalid = |why: String| ClientError::Config { what: "the server's URL", why };
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| invalid(format!("`{url}` has no scheme; write http://host:port")))?;
    match scheme {
        "http" | "ws" => {}
        "https" | "wss" => {
            return Err(invalid(format!(
                "`{url}` needs TLS, which this client does not speak; put a proxy in between"
            )));
        }
        _ => return Err(invalid(format!("`{url}` is neither http:// nor ws://"))),
    }
    if rest.contains(['?', '#']) {
        return Err(invalid(format!("`{url}` has a query or a fragment; leave it out")));
    }
    let rest = rest.trim_end_matches('/');
    format!("ws://{rest}/v1/apps/{app}/sync")
        .parse()
        .map_err(|error| invalid(format!("`{url}` is no URL: {error}")))
}

impl Transport for WebSocketTransport {
    fn connect(&mut self) -> Connecting {
        let request = ClientRequestBuilder::new(self.uri.clone())
            .with_sub_protocol(Codec::Binary.subprotocol());
        Box::pin(async move {
            let connected = connect_async_with_config(request, Some(socket_config()), true).await;
            let (socket, _) = connected.map_err(TransportError::new)?;
            let (outgoing, frames_out) = mpsc::channel(FRAMES_QUEUED);
            let (frames_in, incoming) = mpsc::channel(FRAMES_QUEUED);
            tokio::spawn(carry(socket, frames_out, frames_in));
            Ok(Connection { outgoing, incoming })
        })
    }
}

/// Stated, because the defaults bound neither the write buffer nor a frame usefully.
fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(32 << 10)
        .write_buffer_size(64 << 10)
        .max_write_buffer_size(2 * FRAME_BYTES_MAX as usize)
        .max_message_size(Some(FRAME_BYTES_MAX as usize))
        .max_frame_size(Some(FRAME_BYTES_MAX as usize))
}

/// Carries frames between a socket and the channels until either side ends. Reading and writing
/// do not wait for each other: a server that reads nothing may still have much to say.
async fn carry(
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut frames_out: mpsc::Receiver<Bytes>,
    frames_in: mpsc::Sender<Result<Bytes, TransportError>>,
) {
    let (mut sink, mut stream) = socket.split();
    let write = async {
        while let Some(frame) = frames_out.recv().await {
            let sent = tokio::time::timeout(WRITE_TIMEOUT, sink.send(Message::Binary(frame))).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(TransportError::new(error)),
                Err(_) => return Err(TransportError::new("the server takes no data")),
            }
        }
        // A farewell only: whether it arrives makes no difference to the protocol.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, sink.close()).await;
        Ok(())
    };
    let read = async {
        while let Some(message) = stream.next().await {
            match message {
                Ok(Message::Binary(frame)) => {
                    if frames_in.send(Ok(frame)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Message::Close(frame)) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(TransportError::new(format!("the server closed: {reason}")));
                }
                Ok(Message::Text(_)) => {
                    return Err(TransportError::new("the server sent a text frame"));
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Err(Error::ConnectionClosed) => break,
                Err(error) => return Err(TransportError::new(error)),
            }
        }
        Err(TransportError::new("the connection ended"))
    };
    let result = tokio::select! {
        result = write => result,
        result = read => result,
    };
    if let Err(error) = result {
        // The driver may be gone, or have dropped this connection already.
        let _ = frames_in.send(Err(error)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_address_is_made_of_the_servers_url_and_the_app() {
        let uri = |url: &str| WebSocketTransport::new(url, "a1").map(|t| t.uri.to_string());
        assert_eq!(uri("http://h:7878").unwrap(), "ws://h:7878/v1/apps/a1/sync");
        assert_eq!(uri("ws://h/base/").unwrap(), "ws://h/base/v1/apps/a1/sync");
        for bad in ["h:7878", "https://h", "ftp://h", "http://h/?x", "http://", "http://a b"] {
            assert_eq!(uri(bad).unwrap_err().code(), "config_invalid", "{bad}");
        }
        assert!(WebSocketTransport::new("http://h", "../b").is_err());
    }
}

//! One WebSocket session, spoken by hand: also what no client of ours would say.

use futures_util::{SinkExt, StreamExt};
use tercet_engine::ids::ClientSeq;
use tercet_sync::message::{ErrorMessage, Hello, Nonce};
use tercet_sync::{ClientMessage, Codec, ServerMessage};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::http::App;
use super::process::LIMIT;

/// Frames are longer than any that a test expects.
const FRAME_BYTES_MAX: u64 = 1 << 30;

/// A session in either codec.
pub(crate) struct Session {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) codec: Codec,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(ServerMessage),
    /// The end, and why.
    Closed(String),
}

pub(crate) fn hello(key: &str, client: &str) -> ClientMessage {
    ClientMessage::Hello(Hello {
        protocol: 1,
        key: key.to_owned(),
        client: client.parse().unwrap(),
        last_number: ClientSeq(0),
        received: ClientSeq(0),
        position: None,
    })
}

impl Session {
    /// A connection without a hello.
    pub(crate) async fn connect(app: &App, codec: Codec) -> Session {
        let url = format!("{}/v1/apps/{}/sync", app.url.replace("http", "ws"), app.id);
        let mut request = url.into_client_request().unwrap();
        let subprotocol = codec.subprotocol().parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let (stream, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Session { stream, codec }
    }

    /// A session that has been welcomed.
    pub(crate) async fn begin(app: &App, codec: Codec, client: &str) -> Session {
        let mut session = Session::connect(app, codec).await;
        session.say(&hello(&app.key, client)).await;
        let welcome = session.hear().await;
        assert!(matches!(welcome, ServerMessage::Welcome(_)), "{welcome:?}");
        session
    }

    pub(crate) async fn say(&mut self, message: &ClientMessage) {
        self.say_bytes(self.codec.encode_client(message).to_vec()).await;
    }

    /// A frame of the kind that the codec has.
    pub(crate) async fn say_bytes(&mut self, bytes: Vec<u8>) {
        let message = match self.codec {
            Codec::Binary => Message::binary(bytes),
            Codec::Json => Message::text(String::from_utf8(bytes).unwrap()),
        };
        self.say_message(message).await;
    }

    pub(crate) async fn say_message(&mut self, message: Message) {
        timeout(LIMIT, self.stream.send(message)).await.unwrap().unwrap();
    }

    /// Bytes below the WebSocket.
    pub(crate) async fn say_raw(&mut self, bytes: &[u8]) {
        let MaybeTlsStream::Plain(stream) = self.stream.get_mut() else { unreachable!() };
        timeout(LIMIT, stream.write_all(bytes)).await.unwrap().unwrap();
    }

    pub(crate) async fn next(&mut self) -> Heard {
        timeout(LIMIT, self.next_of_any_time()).await.unwrap()
    }

    async fn next_of_any_time(&mut self) -> Heard {
        loop {
            let bytes = match self.stream.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.reason.to_string());
                }
                Some(Ok(Message::Binary(bytes))) if self.codec == Codec::Binary => bytes,
                Some(Ok(Message::Text(text))) if self.codec == Codec::Json => text.into(),
                Some(Ok(other)) => panic!("{other:?}"),
                None => return Heard::Closed("no reason".to_owned()),
                Some(Err(error)) => return Heard::Closed(error.to_string()),
            };
            return Heard::Message(self.codec.decode_server(&bytes, FRAME_BYTES_MAX).unwrap());
        }
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> ServerMessage {
        match self.next().await {
            Heard::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The next message, which is an error.
    pub(crate) async fn hear_error(&mut self) -> ErrorMessage {
        match self.next().await {
            Heard::Message(ServerMessage::Error(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Checks that the server ends the session, now, with this code in the error before the end
    /// and in the end itself.
    pub(crate) async fn hear_end(&mut self, code: &str) {
        let error = self.hear_error().await;
        assert_eq!((error.code.as_str(), error.subscription), (code, None), "{error:?}");
        match self.next().await {
            Heard::Closed(reason) if reason.starts_with(&format!("{code}: ")) => {}
            other => panic!("{code}: {other:?}"),
        }
    }

    /// Checks that nothing waits to be heard and that the session is answered.
    pub(crate) async fn check_alive(&mut self) {
        self.say(&ClientMessage::Ping(Nonce { nonce: 77 })).await;
        match self.hear().await {
            ServerMessage::Pong(pong) if pong.nonce == 77 => {}
            other => panic!("{other:?}"),
        }
    }
}

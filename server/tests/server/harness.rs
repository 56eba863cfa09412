//! A server to ask, and short ways to ask it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const ADMIN: &str = "the admin token of the tests";

/// A server that says nothing for so long says nothing at all.
pub(crate) const HANG: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    client: reqwest::Client,
}

/// An app with a key that may write.
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The lines of a stream.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks that this is a problem document, and gives its status and code.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["status"], self.status, "{self:?}");
        assert_eq!(document["type"], "about:blank");
        assert!(document["title"].is_string() && document["detail"].is_string(), "{self:?}");
        (self.status, document["code"].as_str().unwrap().to_owned())
    }

    /// The document of a request that succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.map_or("", |value| value.to_str().unwrap()).to_owned();
    Answer { status, content_type, text: response.text().await.unwrap() }
}

impl TestServer {
    pub(crate) async fn start(data: StorageChoice) -> TestServer {
        TestServer::start_with(ServerConfig::new(data, Some(ADMIN.to_owned()))).await
    }

    pub(crate) async fn in_memory() -> TestServer {
        TestServer::start(StorageChoice::Memory).await
    }

    pub(crate) async fn start_with(config: ServerConfig) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::open(config, listener).await.unwrap();
        let addr = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        TestServer { addr, stop, task, client: reqwest::Client::new() }
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.addr))
    }

    pub(crate) async fn admin(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).bearer_auth(ADMIN).json(&body)).await
    }

    pub(crate) async fn app(&self) -> App {
        let created = self.admin("/v1/admin/apps", json!({"name": "test"})).await;
        assert_eq!(created.status, StatusCode::CREATED.as_u16(), "{created:?}");
        let id = created.json()["app"].as_str().unwrap().to_owned();
        let key = self.key(&id, "write").await;
        App { id, key }
    }

    pub(crate) async fn key(&self, app: &str, access: &str) -> String {
        let body = json!({"role": "server", "access": access, "label": "test"});
        let created = self.admin(&format!("/v1/admin/apps/{app}/keys"), body).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.json()["key"].as_str().unwrap().to_owned()
    }

    /// A request to a route of an app, with its key.
    pub(crate) fn to(&self, method: Method, app: &App, route: &str) -> RequestBuilder {
        self.request(method, &format!("/v1/apps/{}/{route}", app.id)).bearer_auth(&app.key)
    }

    pub(crate) async fn post(&self, app: &App, route: &str, body: Value) -> Answer {
        send(self.to(Method::POST, app, route).json(&body)).await
    }

    pub(crate) async fn get(&self, app: &App, route: &str) -> Answer {
        send(self.to(Method::GET, app, route)).await
    }

    pub(crate) async fn transact(&self, app: &App, ops: Value) -> Value {
        self.post(app, "transact", json!({"ops": ops})).await.ok()
    }

    pub(crate) async fn import(&self, app: &App, id: &str, lines: String) -> Answer {
        send(self.to(Method::POST, app, &import_route(id)).body(lines)).await
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, app: &App, query: &str) -> Value {
        self.post(app, "query", json!({"query": query})).await.ok()["rows"].clone()
    }

    /// A WebSocket connection without a hello.
    pub(crate) async fn connect(&self, app: &str, protocol: &str) -> Socket {
        let url = format!("ws://{}/v1/apps/{app}/sync", self.addr);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
        let (stream, response) = tokio_tungstenite::connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        Socket { stream }
    }

    /// A JSON session that has been welcomed.
    pub(crate) async fn session(&self, app: &App, client: &str) -> Socket {
        let mut socket = self.connect(&app.id, "tercet.v1.json").await;
        socket.say(hello(&app.key, client)).await;
        let welcome = socket.hear().await;
        assert_eq!(welcome["welcome"]["protocol"], 1, "{welcome}");
        socket
    }
}

/// The route of an import, with its id as a URL has it.
pub(crate) fn import_route(id: &str) -> String {
    form_urlencoded::Serializer::for_suffix("import?".to_owned(), 7).append_pair("id", id).finish()
}

pub(crate) fn hello(key: &str, client: &str) -> Value {
    json!({"hello": {
        "protocol": 1, "key": key, "client": client, "last_number": 0, "received": 0
    }})
}

/// A WebSocket with JSON frames.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    pub(crate) async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    async fn next(&mut self) -> Result<Message, Option<CloseFrame>> {
        let next = tokio::time::timeout(HANG, self.next_of_any_time()).await;
        next.expect("a message or the end comes")
    }

    async fn next_of_any_time(&mut self) -> Result<Message, Option<CloseFrame>> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(message)) => return Ok(message),
                None | Some(Err(tungstenite::Error::ConnectionClosed)) => return Err(None),
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> Value {
        let message = self.next().await.unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// The next binary message.
    pub(crate) async fn hear_bytes(&mut self) -> Vec<u8> {
        self.next().await.unwrap().into_data().to_vec()
    }

    /// The next message of this name; others before it are passed over.
    pub(crate) async fn hear_of(&mut self, name: &str) -> Value {
        loop {
            let mut message = self.hear().await;
            if let Some(found) = message.get_mut(name) {
                return found.take();
            }
        }
    }

    /// Says goodbye, and gives the answer's code.
    pub(crate) async fn say_goodbye(&mut self) -> u16 {
        let frame = CloseFrame { code: 1000.into(), reason: "".into() };
        self.stream.send(Message::Close(Some(frame))).await.unwrap();
        self.closed().await
    }

    /// The close code, after whatever messages come before it.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Err(frame) = self.next().await {
                return frame.unwrap().code.into();
            }
        }
    }
}

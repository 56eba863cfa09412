//! The WebSocket transport over loopback: frames, subprotocol, and how a connection ends.
//!
//! Behind the socket is the server in memory, so what fails here is the transport.

#![allow(clippy::unwrap_used)]

use crate::harness::Server;
use futures_util::{SinkExt, StreamExt};
use tercet_client::{Client, ClientConfig, Status, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Answers the handshake with the subprotocol, whatever was asked for.
async fn accept(
    listener: &TcpListener,
    subprotocol: &'static str,
) -> Option<WebSocketStream<TcpStream>> {
    let (stream, _) = listener.accept().await.unwrap();
    // The signature is tungstenite's.
    #[allow(clippy::result_large_err)]
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), "/v1/apps/a1/sync");
        assert_eq!(request.headers()["sec-websocket-protocol"], "tercet.v1.bin");
        let headers = response.headers_mut();
        headers.insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, answer).await.ok()
}

/// Carries one connection of a client to the server in memory, until either ends.
async fn bridge(socket: WebSocketStream<TcpStream>, mut server: Server) {
    let mut connection = server.connect().await.unwrap();
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Binary(frame))) => connection.outgoing.send(frame).await.unwrap(),
                _ => return,
            },
            frame = connection.incoming.recv() => match frame {
                Some(Ok(frame)) => sink.send(Message::Binary(frame)).await.unwrap(),
                _ => return,
            },
        }
    }
}

async fn listen() -> (TcpListener, ClientConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, ClientConfig::new(url, "a1", "key"))
}

#[tokio::test]
async fn a_write_travels_over_a_socket_and_survives_a_bad_peer() {
    let (listener, config) = listen().await;
    let server = Server::start();
    let behind = server.clone();
    tokio::spawn(async move {
        // First something that is no server of ours: it talks text.
        let mut socket = accept(&listener, "tercet.v1.bin").await.unwrap();
        socket.send(Message::text("hello?")).await.unwrap();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
        let socket = accept(&listener, "tercet.v1.bin").await.unwrap();
        bridge(socket, behind).await;
    });
    let client = Client::connect(config).unwrap();
    let mut statuses = client.status_changes();
    let write = client
        .write(|tx| {
            tx.set("u1", "user/name", "Ann");
        })
        .await
        .unwrap();
    let trouble = loop {
        let status = statuses.next().await.unwrap();
        if let Some(trouble) = status.trouble {
            break trouble;
        }
    };
    assert_eq!(trouble.code, "connection_lost");
    assert!(trouble.message.contains("text frame"), "{}", trouble.message);
    write.accepted().await.unwrap();
    assert_eq!(server.snapshot().0.n_facts(), 1);
    client.close().await;
}

#[tokio::test]
async fn a_server_of_another_protocol_is_no_server() {
    let (listener, config) = listen().await;
    tokio::spawn(async move { while accept(&listener, "chat").await.is_none() {} });
    let client = Client::connect(config).unwrap();
    let mut statuses = client.status_changes();
    let trouble = loop {
        let status = statuses.next().await.unwrap();
        if let (Status::Offline, Some(trouble)) = (status.connection, status.trouble) {
            break trouble;
        }
    };
    assert_eq!(trouble.code, "connection_failed");
    assert!(trouble.message.contains("ubprotocol"), "{}", trouble.message);
}

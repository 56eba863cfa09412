//! `GET /v1/apps/{app}/sync`: the WebSocket handshake, then a session.
//!
//! The handshake checks only what a WebSocket is; the key comes in the first message, so that it
//! is in no URL and no browser sends one by itself. Nothing here says whether the app exists.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tercet_sync::Codec;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tracing::Instrument;

use super::http::Services;
use super::http::body::{Response, full};
use super::problem::Problem;
use crate::session::{self, SessionContext};

/// Allocated for each connection; the library's own choice is 16 times as much.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Written together at most.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// What a slow reader may hold besides one frame; the library's own choice is no bound.
const WRITE_BUFFER_BYTES_MAX: usize = 1 << 20;

/// How much longer than in binary a frame may be in JSON, which writes a control character as
/// `\u0000`. A frame that the buffer has no room for would end its session, each time anew.
const JSON_FACTOR_MAX: usize = 6;

/// Answers the handshake; the session starts when the connection has changed over.
pub(super) fn upgrade(
    services: &Arc<Services>,
    app: &str,
    mut request: Request<Incoming>,
) -> Result<Response, Problem> {
    let headers = request.headers();
    check_handshake(headers)?;
    let codec = chosen_codec(headers)?;
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| no_websocket("its key is missing"))?;
    let accept = derive_accept_key(key.as_bytes());
    let stop = services.stop.subscribe();
    let place = request.extensions().get::<Arc<OwnedSemaphorePermit>>().cloned();
    let (services, app) = (Arc::clone(services), app.to_owned());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(
        async move {
            let _place = place;
            let Ok(upgraded) = upgraded.await else { return };
            let config = config(services.limits.sync.frame_bytes_max);
            let socket = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
            let context = SessionContext {
                auth: Arc::clone(&services.auth),
                tenants: Arc::clone(&services.tenants),
                limits: Arc::clone(&services.limits),
            };
            drop(services);
            session::serve(&context, &app, codec, stop, socket).await;
        }
        .instrument(tracing::debug_span!("session", session = tracing::field::Empty)),
    );
    let accept = HeaderValue::try_from(accept).expect("base64 is a header value");
    Ok(switching(codec, accept))
}

fn switching(codec: Codec, accept: HeaderValue) -> Response {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(codec.subprotocol()));
    response
}

/// All bounds are explicit: several of the library's own are none.
fn config(frame_bytes_max: u64) -> WebSocketConfig {
    let frame_bytes_max = usize::try_from(frame_bytes_max).unwrap_or(usize::MAX);
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(
            frame_bytes_max.saturating_mul(JSON_FACTOR_MAX).saturating_add(WRITE_BUFFER_BYTES_MAX),
        )
        .max_message_size(Some(frame_bytes_max))
        .max_frame_size(Some(frame_bytes_max))
        .accept_unmasked_frames(false)
}

fn check_handshake(headers: &HeaderMap) -> Result<(), Problem> {
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        return Err(no_websocket("it asks for no upgrade to websocket"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(no_websocket("its version is not 13"));
    }
    Ok(())
}

fn no_websocket(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "not_a_websocket", format!("this is a WebSocket: {why}"))
}

/// The first subprotocol that is ours.
fn chosen_codec(headers: &HeaderMap) -> Result<Codec, Problem> {
    tokens(headers, SEC_WEBSOCKET_PROTOCOL).find_map(Codec::of_subprotocol).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "protocol_version",
            "no subprotocol of ours is asked for",
        )
        .with_hint("ask for tercet.v1.json or tercet.v1.bin")
    })
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_of_a_websocket_is_set() {
        let config = config(4 << 20);
        assert_eq!(config.read_buffer_size, 8 << 10);
        assert_eq!(config.write_buffer_size, 64 << 10);
        assert_eq!(config.max_write_buffer_size, 25 << 20);
        assert_eq!(config.max_message_size, Some(4 << 20));
        assert_eq!(config.max_frame_size, Some(4 << 20));
        assert!(!config.accept_unmasked_frames);
    }

    #[test]
    fn the_first_known_subprotocol_is_chosen() {
        let codec = |protocols: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in protocols {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            chosen_codec(&headers).ok()
        };
        assert_eq!(codec(&["tercet.v9.bin, tercet.v1.json", "tercet.v1.bin"]), Some(Codec::Json));
        assert_eq!(codec(&["tercet.v1.bin"]), Some(Codec::Binary));
        assert_eq!(codec(&["chat"]), None);
        assert_eq!(codec(&[]), None);
    }
}

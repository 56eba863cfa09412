//! A body that is written while it is read: lines of JSON or the bytes of a format, in chunks.
//!
//! The writer waits when its reader does not take the chunks, so that an export of any size holds
//! a few chunks of memory. A reader that takes nothing for too long loses the rest, and sees that
//! its body is incomplete.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use tokio::time::timeout;

use super::body::{BodyError, Response};

/// How much is collected before it is sent.
const CHUNK_BYTES: usize = 64 << 10;

/// Chunks that wait for the socket.
const CHUNKS_WAITING: usize = 4;

/// The rest of the body is not wanted, or not taken.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the body has gone")]
pub(super) struct ReaderGone;

/// The writing side of a body of lines.
pub(super) struct Lines {
    sender: Sender<Bytes, BodyError>,
    chunk: Vec<u8>,
    time_max: Duration,
}

/// A response whose body is written through the [`Lines`].
pub(super) fn lines(time_max: Duration) -> (Lines, Response) {
    body(time_max, "application/x-ndjson")
}

/// A response of this type whose body is written through the [`Lines`].
pub(super) fn body(time_max: Duration, media_type: &'static str) -> (Lines, Response) {
    let (sender, body) = Channel::new(CHUNKS_WAITING);
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    (Lines { sender, chunk: Vec::with_capacity(CHUNK_BYTES), time_max }, response)
}

impl Lines {
    /// Adds a line. Says whether a chunk is full and should be sent.
    pub(super) fn push(&mut self, line: &impl Serialize) -> bool {
        serde_json::to_writer(&mut self.chunk, line).expect("writing JSON to memory succeeds");
        self.chunk.push(b'\n');
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Adds bytes as they are. Says whether a chunk is full and should be sent.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> bool {
        self.chunk.extend_from_slice(bytes);
        self.chunk.len() >= CHUNK_BYTES
    }

    /// Sends what was added.
    pub(super) async fn send(&mut self) -> Result<(), ReaderGone> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        match timeout(self.time_max, self.sender.send_data(chunk.into())).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(ReaderGone),
        }
    }

    /// Breaks the body off, so that its reader does not take it for complete.
    pub(super) fn abort(self, why: &'static str) {
        self.sender.abort(why.into());
    }
}

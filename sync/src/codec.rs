//! Messages ↔ bytes: binary by the engine's codec, or JSON, with one meaning.
//!
//! Long lists of facts have a packed binary form of their own (`packed`). A frame that many sessions get is encoded at most once for each codec ([`SharedFrame`]).
//! Invariant: `decode(encode(message)) = message`; other bytes give an error, never a panic. How
//! long a frame may be is checked here too, before anything is decoded.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tercet_engine::codec;

use crate::message::{ClientMessage, ServerMessage};
use crate::packed::{self, PACKED};
use crate::size::message_bytes;

/// One of the two forms of a frame, chosen by WebSocket subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// `tercet.v1.bin`: binary frames.
    Binary,
    /// `tercet.v1.json`: text frames.
    Json,
}

impl Codec {
    /// The name of the WebSocket subprotocol.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Codec::Binary => "tercet.v1.bin",
            Codec::Json => "tercet.v1.json",
        }
    }

    /// The codec of a WebSocket subprotocol.
    pub fn of_subprotocol(name: &str) -> Option<Codec> {
        [Codec::Binary, Codec::Json].into_iter().find(|codec| codec.subprotocol() == name)
    }

    /// The bytes of a client's message.
    pub fn encode_client(self, message: &ClientMessage) -> Bytes {
        self.encode(message)
    }

    /// The bytes of a server's message.
    pub fn encode_server(self, message: &ServerMessage) -> Bytes {
        let packed = match (self, message) {
            (Codec::Binary, ServerMessage::FactsPart(part)) => packed::encode(part),
            _ => None,
        };
        packed.map_or_else(|| self.encode(message), Bytes::from)
    }

    /// A client's message.
    ///
    /// # Errors
    /// When the bytes are more than `n_bytes_max` or no message.
    pub fn decode_client(
        self,
        bytes: &[u8],
        n_bytes_max: u64,
    ) -> Result<ClientMessage, FrameError> {
        self.decode(bytes, n_bytes_max)
    }

    /// A server's message.
    ///
    /// # Errors
    /// When the bytes are more than `n_bytes_max` or no message.
    pub fn decode_server(
        self,
        bytes: &[u8],
        n_bytes_max: u64,
    ) -> Result<ServerMessage, FrameError> {
        match (self, bytes) {
            (Codec::Binary, [PACKED, packed @ ..]) if bytes.len() as u64 <= n_bytes_max => {
                let part = packed::decode(packed);
                part.map(ServerMessage::FactsPart)
                    .map_err(|error| FrameError::Malformed { why: error.to_string() })
            }
            _ => self.decode(bytes, n_bytes_max),
        }
    }

    fn encode<Message: Serialize>(self, message: &Message) -> Bytes {
        match self {
            Codec::Binary => codec::encode(message).into(),
            Codec::Json => serde_json::to_vec(message)
                .expect("messages have text keys and finite numbers only")
                .into(),
        }
    }

    fn decode<Message: DeserializeOwned>(
        self,
        bytes: &[u8],
        n_bytes_max: u64,
    ) -> Result<Message, FrameError> {
        if bytes.len() as u64 > n_bytes_max {
            return Err(FrameError::TooLarge { n_bytes: bytes.len(), n_bytes_max });
        }
        match self {
            Codec::Binary => codec::decode(bytes).map_err(|error| error.to_string()),
            Codec::Json => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        }
        .map_err(|why| FrameError::Malformed { why })
    }
}

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// More bytes than a frame may have.
    #[error("a frame has at most {n_bytes_max} bytes, this one has {n_bytes}")]
    TooLarge {
        /// How many it has.
        n_bytes: usize,
        /// How many it may have.
        n_bytes_max: u64,
    },
    /// No message of this version.
    #[error("the frame is no message: {why}")]
    Malformed {
        /// What is wrong with it, and where.
        why: String,
    },
}

impl FrameError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            FrameError::TooLarge { .. } => "frame_too_large",
            FrameError::Malformed { .. } => "malformed",
        }
    }
}

/// A server's message with its bytes, each form made when it is first asked for. A clone is a
/// pointer: all sessions that get the message share the bytes.
#[derive(Debug, Clone)]
pub struct SharedFrame(Arc<Frame>);

#[derive(Debug)]
struct Frame {
    message: ServerMessage,
    binary: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl SharedFrame {
    /// Takes a message.
    pub fn new(message: ServerMessage) -> SharedFrame {
        SharedFrame(Arc::new(Frame { message, binary: OnceLock::new(), json: OnceLock::new() }))
    }

    /// The message.
    pub fn message(&self) -> &ServerMessage {
        &self.0.message
    }

    /// About how many bytes it takes on the wire, by a rough count that encodes nothing.
    pub fn n_bytes(&self) -> usize {
        message_bytes(&self.0.message)
    }

    /// Its bytes.
    pub fn bytes(&self, codec: Codec) -> Bytes {
        let cell = match codec {
            Codec::Binary => &self.0.binary,
            Codec::Json => &self.0.json,
        };
        cell.get_or_init(|| codec.encode_server(&self.0.message)).clone()
    }
}

impl PartialEq for SharedFrame {
    fn eq(&self, other: &SharedFrame) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.message == other.0.message
    }
}

impl From<ServerMessage> for SharedFrame {
    fn from(message: ServerMessage) -> SharedFrame {
        SharedFrame::new(message)
    }
}

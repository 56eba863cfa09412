//! Messages, codecs and the two peers of the protocol as state machines without I/O.
//!
//! The server's peer is [`Tenant`]: facts, clients' numbers, sessions and subscriptions of one
//! tenant. The client's is [`ClientPeer`]: confirmed facts, pending transactions, subscriptions.
//! Both take messages and the time, and give messages and effects: no clock, no randomness, no
//! threads, no sockets. Simulation, the native client, the server and the browser run exactly
//! this code. The protocol itself is described in `docs/protocol.md`.

pub mod buckets;
pub mod client_peer;
pub mod codec;
pub mod digest;
pub mod limits;
pub mod message;
mod packed;
#[doc(hidden)]
pub mod planted;
mod seeded;
pub mod server_peer;
mod size;
pub mod wire_query;
pub mod wire_row;

pub use client_peer::Reach;
pub use client_peer::{
    Cache, CacheEntry, CacheEntryId, CacheHead, CacheHeader, CacheStep, ClientConfig, ClientError,
    ClientOutput, ClientPeer, Outbox, OutboxEntry, Status, SubscriptionUpdate,
};
pub use codec::{Codec, FrameError, SharedFrame};
pub use digest::Digest;
pub use limits::Limits;
pub use message::{ClientMessage, ServerMessage, SessionId, SubscriptionId};
pub use server_peer::{
    AppendFailure, Identity, Recovery, RecoveryError, Refusal, RequestId, ResumeLimits, Rights,
    Tenant, TenantConfig, TenantOutput, TenantStats, TransactAccepted, TransactError,
};

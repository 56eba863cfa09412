//! The multi-tenant server: HTTP and WebSocket around the sync state machines.
//!
//! ```text
//! listener → transport (http, ws: bytes ↔ messages) → session (one connected peer)
//!                     ↘ auth (key → grant)          ↘
//!                       a grant is the only way to → tenant (one task owns one tenant's state)
//!                                                    → storage (a pool of blocking threads)
//! ```
//!
//! What the protocol says is decided in `tercet_sync`; this crate gives it time, randomness,
//! sockets and a disk, and bounds everything that a peer can make it hold. One task owns a
//! tenant: no lock is held over its state, and no code path of one app has another app's handle.
//! A tenant whose task panics or whose log fails is dropped and rebuilt from the log when it is
//! next asked for. Modules in reading order.

mod limits;
mod config;
mod clock;
mod storage;
mod auth;
mod tenant;
mod session;
mod transport;
mod server;

pub use config::{ServerConfig, ServerError, StorageChoice};
pub use limits::ServerLimits;
pub use server::{Server, run};

//! The client's side of the protocol, without I/O.
//!
//! Modules in reading order. `output`: what goes in and comes out. `peer`: the façade. `session`:
//! what the server's messages do. `joins`: subscriptions, with `renewal` for taking them up again,
//! `holdings` for what they hold (`holders`: which of them a fact), `draft` for what a resumed one
//! will hold, and `cache` for what is kept of that for the next start. `settle`: bringing view,
//! answers and flags up to date.
//! `pending`, `writes`, `overlay`: own transactions, and what they make of the confirmed facts.
//! `view`: what the program sees, with its live queries and their results.
//! `position`: how far it is. `subscription`, `clock`, `connection`, `backoff`: one of each.
//!
//! Invariants: what is confirmed is all at one position, and changes only with a whole commit or
//! with a whole switch; a write is never lost between the outbox and its answer; every answer
//! says whether it is complete and whether own pending writes are in it.

mod backoff;
mod cache;
mod clock;
mod connection;
mod draft;
mod holders;
mod holdings;
mod joins;
mod output;
mod overlay;
mod peer;
mod pending;
mod position;
mod renewal;
mod session;
mod settle;
mod subscription;
mod view;
mod writes;

pub use cache::{Cache, CacheEntry, CacheEntryId, CacheHead, CacheHeader, CacheStep};
pub use output::{
    ClientConfig, ClientError, ClientOutput, Outbox, OutboxEntry, Status, SubscriptionUpdate,
};
pub use peer::ClientPeer;
pub use position::Reach;

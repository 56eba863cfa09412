//! The Rust client: local-first writes, live queries, reconnect and resume.
//!
//! A [`Client`] is a replica. Writes are visible in it at once and reach the server when they can;
//! answers come from what the replica holds and say whether they are complete. It never stops
//! trying: without a connection everything works but the news. All decisions of the protocol are
//! taken by `tercet_sync::ClientPeer`, a state machine without I/O; this crate gives it a task, a
//! socket, a store, the time of day and random seeds, and the program a typed, asynchronous
//! interface. No rule of merge, sync or evaluation lives here.
//!
//! # Connect, write, and watch a query
//! ```no_run
//! use tercet_client::{Client, ClientConfig, Entity, Id, SubscribeOptions, new_id};
//!
//! #[derive(Debug, Clone, PartialEq, Entity)]
//! #[entity(type = "user", crate = "tercet_client::schema")]
//! struct User { id: Id<User>, name: String, age: Option<i64> }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:7878", "myapp", "trc_key"))?;
//!
//! let text = "[:find ?name :where [?u :user/name ?name]]";
//! let mut names = client.subscribe(text, (), SubscribeOptions::default()).await?;
//!
//! let ann = User { id: new_id(), name: "Ann".into(), age: None };
//! let write = client.save(&ann).await?;      // visible here, now
//! let accepted = write.accepted().await?;    // durable on the server
//! println!("{:?}", accepted.effects);
//!
//! while let Some(change) = names.next().await {
//!     let change = change?;
//!     println!("{} names, complete: {}", change.answer.rows.len(), change.complete);
//! }
//! # Ok(()) }
//! ```
//!
//! Modules in reading order: `config`, `builder`, `client` (the interface), `entity` (its typed part), `query`,
//! `write`, `subscription`, `status`, `driver` (the task that owns the peer), `store`
//! and `cache` (what outlives it), `transport`, `error`. The feature `native` (on by default) is all of it.

#![cfg(feature = "native")]

mod builder;
mod cache;
mod client;
mod config;
mod driver;
mod entity;
mod error;
mod query;
mod status;
mod store;
mod subscription;
mod transport;
mod write;

pub use builder::ClientBuilder;
pub use client::Client;
pub use config::{ClientConfig, Clock};
pub use entity::{new_entity_id, new_id};
pub use error::ClientError;
pub use query::{QueryAnswer, QueryRequest};
pub use status::{ClientStatus, Rejected, Trouble};
pub use subscription::{Change, SubscribeOptions, Subscription};
pub use tercet_engine::answer::{
    Answer, AnswerRows, Branch, Output, OutputRef, Row, RowRef, Tree, ValueRef,
};
pub use tercet_engine::db::{ListDelta, Moved, Placed, Query, ShapeStats, Tier};
pub use tercet_engine::fact::{Effect, Fact, Op};
pub use tercet_engine::ids::{Attribute, Checkpoint, ClientSeq, EntityId};
pub use tercet_engine::limits::Budget;
pub use tercet_engine::program::raw::Input;
pub use tercet_engine::value::{Date, Number, Value};
pub use tercet_query_lang::{Inputs, IntoQuery};
pub use tercet_schema as schema;
pub use tercet_schema::{Entity, Id, Ref, Union};
pub use tercet_storage::{ClientStore, Durability, LibsqlClientStore, MemoryClientStore};
pub use tercet_sync::message::Mode;
pub use tercet_sync::{Digest, Status};
pub use transport::{Connecting, Connection, Transport, TransportError, WebSocketTransport};
pub use write::{Accepted, Transaction, Write};

//! Tercet embedded: a Datalog database in a Rust program.
//!
//! A [`Database`] is facts with their history, in memory or in a directory. Writes are
//! transactions, durable when they return; queries are Datalog over an immutable [`Snapshot`],
//! from any thread and without waiting for writers; a [`Subscription`] is an answer that follows
//! the facts. Merging, evaluating and live maintenance are the engine's, the text of queries is
//! `tercet_query_lang`'s, files are `tercet_storage`'s: this crate puts them together, and is the
//! one place that reads the clock and draws replica ids. No network: for that there is
//! `tercet-client`.
//!
//! # Write, ask, and watch
//! ```
//! use tercet::{Attribute, Database, EntityId, Op, Output, Value};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let db = Database::memory(); // or Database::open("some/directory")?
//! let set = |e: &str, a: &str, v: Value| -> Result<Op, Box<dyn std::error::Error>> {
//!     Ok(Op::Set { e: EntityId::new(e)?, a: Attribute::new(a)?, v })
//! };
//! db.transact(vec![
//!     set("ann", "user/name", "Ann".into())?,
//!     set("bob", "user/name", "Bob".into())?,
//!     set("bob", "user/boss", Value::reference("ann")?)?,
//! ])?;
//!
//! let text = "[:find ?name :in ?boss :where [?b :user/name ?boss]
//!                                           [?p :user/boss ?b] [?p :user/name ?name]]";
//! let answer = db.query(text, ["Ann"])?;
//! assert_eq!(answer.rows, [[Output::Value("Bob".into())]]);
//!
//! let mut team = db.subscribe(text, ["Ann"])?;
//! assert_eq!(team.next().unwrap()?.answer.rows.len(), 1); // the answer now
//! db.transact(vec![set("bob", "user/name", "Robert".into())?])?;
//! let change = team.next().unwrap()?;
//! assert_eq!(change.answer.rows, [[Output::Value("Robert".into())]]);
//! let [gone] = &change.delta.removed[..] else { panic!("one row went") };
//! assert_eq!((gone.index, &gone.row[0]), (0, &Output::Value("Bob".into())));
//! # Ok(()) }
//! ```
//!
//! Structs with `#[derive(Entity)]` are written with [`Database::save`] and read with
//! [`Snapshot::get`]; rows of a query are read as structs, tuples or values by
//! [`Database::query_as`]. Files in other formats come and go by `Database::import` and
//! `Snapshot::export` (feature `formats`, on by default; the name of the feature is the crate's,
//! which is found as `tercet::formats`). Each directory entry of `examples/` solves one task.
//!
//! Modules in reading order: `database`, `snapshot`, `query`, `subscription`, `transfer` (files),
//! `journal` (the change log and its replay), `environment` (time and randomness), `error`.

mod database;
mod snapshot;
mod query;
mod subscription;
#[cfg(feature = "formats")]
mod transfer;
mod journal;
mod environment;
mod error;

#[cfg(test)]
mod tests;

/// The programs on the page about live queries.
#[cfg(doctest)]
#[doc = include_str!("../../docs/live-queries.md")]
struct LiveQueriesPage;

pub use database::{Commit, Database};
pub use environment::new_id;
pub use error::Error;
pub use query::prepare;
pub use snapshot::Snapshot;
pub use subscription::{Change, Subscription};
pub use tercet_engine::answer::{Answer, AnswerRows, Output, OutputRef, Row, RowRef, ValueRef};
pub use tercet_engine::db::{
    DeltaProfile, ListDelta, LiveProfile, Moved, Placed, Query, ShapeStats, Tier,
};
pub use tercet_engine::fact::{Effect, Fact, Op};
pub use tercet_engine::ids::{Attribute, EntityId, Seq};
pub use tercet_engine::limits::Budget;
pub use tercet_engine::profile::{self, Profile};
pub use tercet_engine::program::raw::Input;
pub use tercet_engine::value::{Date, Number, Value};
#[cfg(feature = "formats")]
pub use tercet_formats as formats;
pub use tercet_query_lang::{Inputs, IntoQuery};
pub use tercet_schema as schema;
pub use tercet_schema::row::read_rows;
pub use tercet_schema::{Entity, FromRow, Id, Key, Ref, RowError, Union};
#[cfg(feature = "formats")]
pub use transfer::{ImportCause, ImportError, Imported};

//! EDN datoms and entity maps, as Datomic, DataScript and Datalevin write them.
//!
//! Read: datoms `[e a v tx added]`, bare or tagged (`#datascript/Datom`, `#datom`), transaction
//! forms (`[:db/add e a v]`, `:db/retract`, `:db/retractEntity`), entity maps, all of them one after
//! another or in a vector, and a whole `#datascript/DB {:schema … :datoms …}`. What is said of
//! attributes on the way (schema maps, `:db/cardinality`, `:db/valueType`) decides from there on
//! what is a reference and what is `set` or `add`. Written: transaction forms, which the others
//! take, too:
//!
//! ```text
//! [
//!  {:db/ident :user/name :db/cardinality :db.cardinality/one}
//!  [:db/add "u1" :user/name "Ann"]
//! ]
//! ```
//!
//! Text is read in a stream by an own reader ([`read`]): readers of whole documents hold all
//! datoms of a database at once, and do not know all escapes that Clojure prints. Left out: lookup
//! refs, transaction functions, transaction times, tuples.

mod form;
mod import;
mod map;
mod read;
mod write;

pub use import::Edn;
pub(crate) use write::write;

//! Backups of InstantDB: `config.json` and `entities/TABLE.jsonl`, in a zip file or a directory.
//!
//! ```text
//! {"entity":{"id":"5cb…","title":"Hello","author":"81d…","tags":["a7f…"]},"createdAt":1772650963417}
//! ```
//!
//! A table is a type, a key a field. `config.json` says which keys are links, and so references:
//! one id is `set`, an array of ids is `add`. JSON values that are no single value are kept as
//! their text; `null` is no fact. What a backup holds beside facts (files, rules, templates) is
//! noted, not imported. What Instant has no form for (values of several types in one field, sets of
//! plain values) is written under the key `tercet` of `config.json`, which says how to read it.
//! The layout is described in Instant's own documentation ("Anatomy of an Instant backup").

mod config;
mod import;
mod source;
mod write;

pub use import::Instant;
pub use write::write_directory;
pub(crate) use write::write_zip;

/// The directory of the tables.
const ENTITIES: &str = "entities/";

/// The ending of their files.
const TABLE_ENDING: &str = ".jsonl";

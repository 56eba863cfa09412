//! Import and export in streams: files of other shapes become operations, and facts become lines.
//!
//! An importer is an iterator of `Result<Op, FormatError>` over a reader or a directory: whoever
//! pulls decides how fast, in what transactions and where to. Memory stays bounded whatever the
//! size of the input: a line has a limit, and only what a format's references need is kept (for
//! WordNet, its words and senses). Left out: sending, transactions, progress bars.
//!
//! In reading order: [`error`] says what can be wrong and where; [`import`] is the contract of
//! importers; [`format`] is the list of what exists; [`ndjson`] and [`wordnet`] are the formats;
//! [`world`] is the demo's own data set, which needs no file.

pub mod error;
pub mod format;
pub mod import;
mod lines;
pub mod ndjson;
pub mod wordnet;
pub mod world;

pub use error::{FormatError, Place};
pub use format::Format;
pub use import::{Import, Progress};
pub use ndjson::{ExportHeader, Ndjson, NdjsonWriter};
pub use wordnet::Wordnet;

//! Import and export in streams: files of other shapes become operations, and facts become lines.
//!
//! An importer is an iterator of `Result<Op, FormatError>` over a reader or a directory: whoever
//! pulls decides how fast, in what transactions and where to. Memory stays bounded whatever the
//! size of the input: a line has a limit, and only what a format's references need is kept (for
//! WordNet, its words and senses). Left out: sending, transactions, progress bars.
//!
//! An exporter writes a snapshot to a stream, holding at most a pointer for each entity.
//!
//! In reading order: [`error`] says what can be wrong and where, [`note`] what people should know;
//! [`import`] is the contract of importers, [`export`] what exporters share; [`options`] are what
//! can be said about an input; [`format`](mod@format) is the list of what exists; [`ndjson`],
//! [`table`], [`rdf`], [`edn`], [`instant`] and [`wordnet`] are the formats; [`world`] is the
//! demo's own data set, which needs no file.

pub mod edn;
pub mod error;
pub mod export;
pub mod format;
pub mod import;
pub mod instant;
mod lines;
mod metered;
pub mod ndjson;
pub mod note;
mod number;
pub mod options;
pub mod rdf;
pub mod table;
pub mod wordnet;
pub mod world;

pub use edn::Edn;
pub use error::{FormatError, Place};
pub use format::Format;
pub use import::{Import, Progress};
pub use instant::Instant;
pub use ndjson::{ExportHeader, Ndjson, NdjsonWriter};
pub use note::Note;
pub use options::{ExportOptions, ImportOptions, Prefix, TableOptions};
pub use rdf::{Ntriples, Turtle};
pub use table::{CellType, ColumnRule, Delimiter, Table};
pub use wordnet::Wordnet;

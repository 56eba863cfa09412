//! Everything that can go wrong for an embedding program, by what it can do about it.

use tercet_engine::error::QueryError;
use tercet_engine::ids::Seq;
use tercet_query_lang::Report;
use tercet_schema::{RowError, SchemaError};
use tercet_storage::StorageError;

/// Why the database did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Your input: the text of a query, with the position of every error.
    #[error("{0}")]
    Text(Report),
    /// Your input does not fit the query, or an evaluation met a limit.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Your input: an entity does not fit its type; or what is stored does not.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Your input: the answer is not of the type that it is read as.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Your input: a transaction without operations.
    #[error("a transaction has at least one operation")]
    NothingToWrite,
    /// A limit: more operations than stamps can number.
    #[error("a transaction has at most {n_ops_max} operations, this one has {n_ops}; split it")]
    TooManyOps {
        /// How many were given.
        n_ops: usize,
        /// How many there may be.
        n_ops_max: usize,
    },
    /// Your input: an operation covers what has not been written yet.
    #[error("operation {op} covers a stamp later than its own; leave the cover out")]
    CoverInFuture {
        /// Its index.
        op: usize,
    },
    /// The change log cannot be opened, read or written. Nothing of a refused transaction is
    /// visible; after `storage_unavailable` it may be in the log all the same, and the next
    /// transaction finds out.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Stored data is wrong: the log's records do not continue each other.
    #[error("the change log is damaged after commit {last}: {why}; restore it from a backup")]
    Log {
        /// The last commit that is right.
        last: Seq,
        /// What is wrong.
        why: String,
    },
}

impl From<Report> for Error {
    fn from(report: Report) -> Error {
        Error::Text(report)
    }
}

impl Error {
    /// The stable code; of several errors, the first one's.
    pub fn code(&self) -> &str {
        match self {
            Error::Text(report) => report.code(),
            Error::Query(error) => error.code(),
            Error::Schema(error) => error.code(),
            Error::Row(error) => error.code(),
            Error::NothingToWrite => "malformed",
            Error::TooManyOps { .. } => "too_many_ops",
            Error::CoverInFuture { .. } => "cover_in_future",
            Error::Storage(error) => error.code(),
            Error::Log { .. } => "storage_corrupt",
        }
    }
}

//! The trait of a tenant's change log: append and read, nothing else.

use std::fmt;

use tercet_engine::commit::LogRecord;
use tercet_engine::ids::{Epoch, Seq, Term};

use crate::error::StorageError;

/// The position of a record in its log: the first one is 1, each next one more. It counts
/// rejections too, and is not a [`Seq`], which counts commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ordinal(pub u64);

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Some records of a log, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// Empty only at the end of the log.
    pub records: Vec<LogRecord>,
    /// The last one's position, or the position that was asked after.
    pub last: Ordinal,
}

/// A tenant's history: commits and rejections in the order the server decided them.
///
/// The log checks that commits are numbered without gap and that what it reads is what was
/// written; it does not look into transactions. Values in transactions come back bit by bit:
/// NUL characters, the last digit of a double and the largest integer included.
pub trait ChangeLog: Send {
    /// The history this log tells; random, made when the log was created.
    fn epoch(&self) -> Epoch;

    /// The ownership under which it was opened.
    fn term(&self) -> Term;

    /// The last commit.
    fn last_seq(&self) -> Seq;

    /// Appends records: when it returns `Ok` all of them are durable (they survive `kill -9` and
    /// a power cut), and in the order given. A reader never sees a part of a batch.
    ///
    /// The caller guarantees the numbering: a commit has the seq after the last one, a rejection
    /// repeats the last one. It is checked before anything is written.
    ///
    /// # Errors
    /// After `Full`, `Fenced`, `OutOfOrder` and `TooLarge` nothing of the batch is stored. After
    /// `Unavailable` it may be stored or not (a failed flush tells no more): the caller drops
    /// this log, opens the tenant again and replays. Until then every call fails.
    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError>;

    /// Records after a position, for recovery: as many as reach `bytes_max` of stored size, and
    /// at least one if there is one.
    ///
    /// # Errors
    /// `Corrupt` with the ordinal when a record is missing, or is not what was written.
    fn read(&mut self, after: Ordinal, bytes_max: usize) -> Result<LogBatch, StorageError>;

    /// Commits after a seq, without rejections: at most `n_max` and as many as reach
    /// `bytes_max`, but at least one if there is one and `n_max` is not 0.
    ///
    /// # Errors
    /// As for [`ChangeLog::read`].
    fn changes(
        &mut self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError>;
}

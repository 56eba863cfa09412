//! Files in and out, in the formats of `tercet_formats`.
//!
//! An import is a row of transactions, each whole: memory is bounded by one of them, and what was
//! committed before an error stays. Nothing here knows a format.

use std::io::Write;

use tercet_engine::fact::Op;
use tercet_formats::{ExportOptions, Format, FormatError, Import, Note};

use crate::database::Database;
use crate::error::Error;
use crate::snapshot::Snapshot;

/// Operations in one transaction of an import, as the server makes them.
const IMPORT_OPS: usize = 10_000;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Operations written.
    pub n_ops: u64,
    /// Transactions they were written in.
    pub n_transactions: u64,
    /// What was guessed, and what the input holds that facts cannot.
    pub notes: Vec<Note>,
}

/// Why an import stopped, and what it had done.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; {} operations before it are written", .before.n_ops)]
pub struct ImportError {
    /// The input is damaged, or the database refused.
    #[source]
    pub cause: ImportCause,
    /// What is written.
    pub before: Imported,
}

/// What stopped an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportCause {
    /// Your input: with its line and column.
    #[error(transparent)]
    Input(#[from] FormatError),
    /// The database.
    #[error(transparent)]
    Database(#[from] Error),
}

impl ImportError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match &self.cause {
            ImportCause::Input(error) => error.code(),
            ImportCause::Database(error) => error.code(),
        }
    }
}

impl Database {
    /// Writes what an importer reads, in transactions of 10,000 operations.
    ///
    /// ```
    /// use tercet::Database;
    /// use tercet::formats::{ImportOptions, Ntriples};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = Database::memory();
    /// let text = "<http://a.example/ann> <http://a.example/name> \"Ann\" .";
    /// let imported = db.import(Ntriples::new(text.as_bytes(), "a.nt", &ImportOptions::default()))?;
    /// assert_eq!(imported.n_ops, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// At the first error of the input, or when a transaction is refused. Transactions before it
    /// stay; of the one that was being collected nothing is written.
    pub fn import(&self, mut importer: impl Import) -> Result<Imported, Box<ImportError>> {
        let mut done = Imported::default();
        let stopped = |cause: ImportCause, done: &Imported| {
            Box::new(ImportError { cause, before: done.clone() })
        };
        let mut ops: Vec<Op> = Vec::with_capacity(IMPORT_OPS);
        loop {
            let next = importer.next().transpose();
            let next = next.map_err(|error| stopped(error.into(), &done))?;
            let is_end = next.is_none();
            ops.extend(next);
            if ops.len() == IMPORT_OPS || (is_end && !ops.is_empty()) {
                let n_ops = ops.len() as u64;
                let batch = std::mem::replace(&mut ops, Vec::with_capacity(IMPORT_OPS));
                self.transact(batch).map_err(|error| stopped(error.into(), &done))?;
                done.n_ops += n_ops;
                done.n_transactions += 1;
            }
            if is_end {
                done.notes = importer.notes();
                return Ok(done);
            }
        }
    }
}

impl Snapshot {
    /// Writes all facts to a stream, which should be buffered. Gives what the format does not hold.
    ///
    /// ```
    /// use tercet::formats::{ExportOptions, Format};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = tercet::Database::memory();
    /// let mut bytes = Vec::new();
    /// let notes = db.snapshot().export(Format::Csv, &ExportOptions::default(), &mut bytes)?;
    /// assert_eq!((bytes.as_slice(), notes.len()), (&b"id\n"[..], 0));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the format cannot be written, an option means nothing to it, or writing fails.
    pub fn export(
        &self,
        format: Format,
        options: &ExportOptions,
        out: &mut dyn Write,
    ) -> Result<Vec<Note>, FormatError> {
        format.export(self.store(), options, out)?;
        Ok(format.export_notes(self.store(), options))
    }
}

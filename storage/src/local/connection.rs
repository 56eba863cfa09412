//! The one connection of a libSQL file: how it is opened, committed, fenced and checkpointed.
//!
//! Invariants: the journal is a WAL that is flushed at every commit (`synchronous = FULL`; for a
//! client's file, if it asks for that), and never checkpointed by itself; a commit changes `meta` under the term of this opening or does
//! not happen. The WAL is checkpointed after some MiB, by this same connection, and keeps its
//! size: overwriting it is several times cheaper than growing it. After an I/O error nothing is
//! tried again on this connection, because a failed flush must not be repeated (Rebello et al.,
//! "Can applications recover from fsync failures?", ATC 2020).
//!
//! The futures of a local connection never wait, they run SQLite inside `poll`; so they are
//! polled once and no runtime is needed.

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libsql::params::IntoParams;
use libsql::{Builder, Connection, Database, Row, Statement, Value};
use tercet_engine::ids::{Epoch, Term};

use super::Claim;
use crate::change_log::Ordinal;
use crate::error::StorageError;

/// The format of files that this program writes.
const FORMAT: i64 = 1;

/// Checkpoint when about so much was written to the WAL since the last one.
const WAL_BYTES_MAX: u64 = 4 << 20;

/// What a commit writes to the WAL beside its payload: a few pages of tables and indexes.
const COMMIT_BYTES: u64 = 4 * 4096;

const META: &str = "CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    format INTEGER NOT NULL,
    epoch BLOB NOT NULL,
    term INTEGER NOT NULL,
    head INTEGER NOT NULL
) STRICT";

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, however violent: it is in the operating system's hands.
    Process,
    /// Also a power cut: it is flushed to the disk. A commit then takes as long as a flush, 0.1 to
    /// some milliseconds.
    PowerCut,
}

/// A file with its only connection.
pub(super) struct OwnFile {
    fence: Statement,
    connection: Connection,
    _database: Database,
    pub(super) epoch: Epoch,
    pub(super) term: Term,
    /// How many rows were ever written: of a log, the last ordinal.
    pub(super) head: u64,
    wal_bytes: u64,
    /// An I/O error happened: what is on the disk is not known any more.
    failed: Option<String>,
    /// Given back last, when the connection is closed.
    claim: Claim,
}

impl OwnFile {
    /// Opens or makes a file; `schema` makes its tables. Takes a new term.
    pub(super) fn open(
        directory: &Path,
        claim: Claim,
        schema: &[&str],
        durability: Durability,
    ) -> Result<OwnFile, StorageError> {
        let path = directory.join(&claim.file);
        let unavailable = |error: std::io::Error| StorageError::Unavailable {
            file: claim.file.clone(),
            why: error.to_string(),
        };
        if !path.exists() {
            super::private_file(&path).map_err(unavailable)?;
            super::sync_directory_of(&path).map_err(unavailable)?;
        }
        let told = |error| told(&claim.file, error);
        let database = ready(Builder::new_local(&path).build()).map_err(told)?;
        let connection = database.connect().map_err(told)?;
        configure(&connection, &claim.file, durability)?;
        let (epoch, term, head) = take_term(&connection, &claim.file, schema)?;
        let fence = "UPDATE meta SET head = head + ?1 WHERE id = 0 AND term = ?2";
        let fence = ready(connection.prepare(fence)).map_err(told)?;
        let mut file = OwnFile {
            fence,
            connection,
            _database: database,
            epoch,
            term,
            head,
            wal_bytes: 0,
            failed: None,
            claim,
        };
        file.checkpoint();
        Ok(file)
    }

    /// How errors name it.
    pub(super) fn name(&self) -> &str {
        &self.claim.file
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<Statement, StorageError> {
        ready(self.connection.prepare(sql)).map_err(|error| told(self.name(), error))
    }

    /// Commits `n_rows` more rows, written by `body`, or nothing.
    pub(super) fn commit(
        &mut self,
        n_rows: u64,
        n_bytes: u64,
        body: impl FnOnce(&OwnFile) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.check_usable()?;
        let outcome = self.try_commit(n_rows, body);
        if let Err(error) = outcome {
            if !self.connection.is_autocommit()
                && let Err(rollback) = ready(self.connection.execute("ROLLBACK", ()))
            {
                self.failed = Some(rollback.to_string());
            }
            return Err(self.note(error));
        }
        self.head += n_rows;
        self.wal_bytes += n_bytes + COMMIT_BYTES;
        if self.wal_bytes >= WAL_BYTES_MAX {
            self.checkpoint();
        }
        Ok(())
    }

    fn try_commit(
        &self,
        n_rows: u64,
        body: impl FnOnce(&OwnFile) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let told = |error| told(self.name(), error);
        ready(self.connection.execute("BEGIN IMMEDIATE", ())).map_err(told)?;
        let n_changed = self.run(&self.fence, (integer(n_rows), integer(self.term.0)))?;
        if n_changed != 1 {
            return Err(StorageError::Fenced { file: self.name().to_owned(), term: self.term });
        }
        body(self)?;
        ready(self.connection.execute("COMMIT", ())).map_err(told)?;
        Ok(())
    }

    /// Runs a prepared statement that gives no rows.
    pub(super) fn run(
        &self,
        statement: &Statement,
        parameters: impl IntoParams,
    ) -> Result<usize, StorageError> {
        // Without the reset, new parameters are silently not bound and the old row is written.
        statement.reset();
        let outcome = ready(statement.execute(parameters));
        statement.reset();
        outcome.map_err(|error| told(self.name(), error))
    }

    /// Runs a prepared query and shows its rows to `take`, until it says `false`.
    pub(super) fn query(
        &mut self,
        statement: &Statement,
        parameters: impl IntoParams,
        mut take: impl FnMut(&Row) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        self.check_usable()?;
        statement.reset();
        let outcome = each_row(self.name(), statement, parameters, &mut take);
        // A statement left in the middle would hold its read transaction open.
        statement.reset();
        outcome.map_err(|error| self.note(error))
    }

    fn check_usable(&self) -> Result<(), StorageError> {
        match &self.failed {
            Some(why) => Err(StorageError::Unavailable {
                file: self.name().to_owned(),
                why: format!("it failed before and must be opened again ({why})"),
            }),
            None => Ok(()),
        }
    }

    /// Remembers an error after which this connection must not go on.
    fn note(&mut self, error: StorageError) -> StorageError {
        if let StorageError::Unavailable { why, .. } = &error {
            self.failed = Some(why.clone());
        }
        error
    }

    /// Moves the WAL into the file. Its failure costs nothing but a longer WAL: what was
    /// committed is in the WAL, and the next checkpoint takes it along.
    fn checkpoint(&mut self) {
        self.wal_bytes = 0;
        match pragma(&self.connection, self.name(), "wal_checkpoint(PASSIVE)") {
            Ok(Value::Integer(0)) => {}
            Ok(busy) => tracing::warn!(file = self.name(), ?busy, "checkpoint was not complete"),
            Err(error) => tracing::warn!(file = self.name(), %error, "checkpoint failed"),
        }
    }

    #[cfg(test)]
    pub(super) fn execute_for_test(&self, sql: &str) {
        ready(self.connection.execute_batch(sql)).expect("test statement");
    }
}

fn each_row(
    file: &str,
    statement: &Statement,
    parameters: impl IntoParams,
    take: &mut impl FnMut(&Row) -> Result<bool, StorageError>,
) -> Result<(), StorageError> {
    let mut rows = ready(statement.query(parameters)).map_err(|error| told(file, error))?;
    while let Some(row) = ready(rows.next()).map_err(|error| told(file, error))? {
        if !take(&row)? {
            break;
        }
    }
    Ok(())
}

/// Sets and verifies how the connection works. A pragma that gives a row must be queried.
fn configure(
    connection: &Connection,
    file: &str,
    durability: Durability,
) -> Result<(), StorageError> {
    let (synchronous, level) = match durability {
        Durability::Process => ("synchronous = NORMAL", 1),
        Durability::PowerCut => ("synchronous = FULL", 2),
    };
    let settings = [
        ("locking_mode = EXCLUSIVE", "locking_mode", Value::Text("exclusive".to_owned())),
        ("journal_mode = WAL", "journal_mode", Value::Text("wal".to_owned())),
        (synchronous, "synchronous", Value::Integer(level)),
        ("wal_autocheckpoint = 0", "wal_autocheckpoint", Value::Integer(0)),
        ("cell_size_check = ON", "cell_size_check", Value::Integer(1)),
        ("trusted_schema = OFF", "trusted_schema", Value::Integer(0)),
    ];
    for (set, get, expected) in settings {
        pragma(connection, file, set)?;
        let found = pragma(connection, file, get)?;
        if found != expected {
            return Err(StorageError::Unavailable {
                file: file.to_owned(),
                why: format!("cannot set {set}: it stays {found:?}"),
            });
        }
    }
    Ok(())
}

/// The first column of a pragma's first row; null if it gives none.
fn pragma(connection: &Connection, file: &str, text: &str) -> Result<Value, StorageError> {
    let told = |error| told(file, error);
    let mut rows = ready(connection.query(&format!("PRAGMA {text}"), ())).map_err(told)?;
    match ready(rows.next()).map_err(told)? {
        Some(row) => row.get_value(0).map_err(told),
        None => Ok(Value::Null),
    }
}

/// Makes the tables if there are none, and takes the next term; in one transaction.
fn take_term(
    connection: &Connection,
    file: &str,
    schema: &[&str],
) -> Result<(Epoch, Term, u64), StorageError> {
    let told = |error| told(file, error);
    let transaction =
        ready(connection.transaction_with_behavior(libsql::TransactionBehavior::Immediate))
            .map_err(told)?;
    if !has_meta(&transaction, file)? {
        for sql in [META].iter().chain(schema) {
            ready(transaction.execute(sql, ())).map_err(told)?;
        }
        let epoch = super::random_epoch().0.to_le_bytes().to_vec();
        let insert = "INSERT INTO meta (id, format, epoch, term, head) VALUES (0, ?1, ?2, 0, 0)";
        ready(transaction.execute(insert, (FORMAT, epoch))).map_err(told)?;
    }
    // The format first: a file of another one must stay as it is.
    let found = one_row(&transaction, file, "SELECT format FROM meta")?;
    let format = integer_at(&found, 0, file)?;
    if format != FORMAT {
        return Err(StorageError::Format { file: file.to_owned(), found: format, known: FORMAT });
    }
    drop(found);
    ready(transaction.execute("UPDATE meta SET term = term + 1", ())).map_err(told)?;
    let row = one_row(&transaction, file, "SELECT epoch, term, head FROM meta")?;
    let epoch: [u8; 8] = blob_at(&row, 0, file)?
        .try_into()
        .map_err(|_| damaged(file, None, "its epoch has not 8 bytes"))?;
    let (term, head) = (unsigned_at(&row, 1, file)?, unsigned_at(&row, 2, file)?);
    drop(row);
    ready(transaction.commit()).map_err(told)?;
    Ok((Epoch(u64::from_le_bytes(epoch)), Term(term), head))
}

fn has_meta(connection: &Connection, file: &str) -> Result<bool, StorageError> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meta'";
    let row = one_row(connection, file, sql)?;
    Ok(integer_at(&row, 0, file)? == 1)
}

fn one_row(connection: &Connection, file: &str, sql: &str) -> Result<Row, StorageError> {
    let mut rows = ready(connection.query(sql, ())).map_err(|error| told(file, error))?;
    let row = ready(rows.next()).map_err(|error| told(file, error))?;
    row.ok_or_else(|| damaged(file, None, "its meta row is missing"))
}

/// What an integer column holds.
pub(super) fn integer_at(row: &Row, column: i32, file: &str) -> Result<i64, StorageError> {
    match row.get_value(column) {
        Ok(Value::Integer(number)) => Ok(number),
        _ => Err(damaged(file, None, "a column is no integer")),
    }
}

/// What a column of non-negative integers holds.
pub(super) fn unsigned_at(row: &Row, column: i32, file: &str) -> Result<u64, StorageError> {
    let number = integer_at(row, column, file)?;
    u64::try_from(number).map_err(|_| damaged(file, None, "a number is negative"))
}

/// What a blob column holds.
pub(super) fn blob_at(row: &Row, column: i32, file: &str) -> Result<Vec<u8>, StorageError> {
    match row.get_value(column) {
        Ok(Value::Blob(bytes)) => Ok(bytes),
        _ => Err(damaged(file, None, "a column is no blob")),
    }
}

/// A count as SQLite has it.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).expect("counts start at 0 or 1 and never reach 2^63")
}

pub(super) fn damaged(file: &str, ordinal: Option<Ordinal>, why: &str) -> StorageError {
    StorageError::Corrupt { file: file.to_owned(), ordinal, why: why.to_owned() }
}

/// An error of libSQL in our terms, by SQLite's primary result code.
fn told(file: &str, error: libsql::Error) -> StorageError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const NOT_A_DATABASE: i32 = 26;
    let file = file.to_owned();
    let code = match &error {
        libsql::Error::SqliteFailure(code, _) => code & 0xff,
        _ => 0,
    };
    match code {
        BUSY | LOCKED => StorageError::Busy { file, hint: Some("by another program") },
        CORRUPT | NOT_A_DATABASE => {
            StorageError::Corrupt { file, ordinal: None, why: error.to_string() }
        }
        FULL => StorageError::Full { file },
        _ => StorageError::Unavailable { file, why: error.to_string() },
    }
}

/// The result of a future that never waits.
///
/// # Panics
/// When it does wait: then it is no future of a local connection.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a local libSQL call waited, which it never does"),
    }
}

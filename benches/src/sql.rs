//! Bare commits to a libSQL file, for what cannot be quicker than one.
//!
//! Its local calls never wait, so a runtime without I/O runs them. libSQL as an engine for queries
//! is among the peers.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libsql::{Connection, Statement};
use tokio::runtime::{Builder, Runtime};

use crate::measure::once;

/// A connection.
pub struct Sql {
    runtime: Runtime,
    connection: Connection,
}

impl Sql {
    /// A database in a file that flushes every commit to the disk, set up as the server's are.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn durable(file: &Path) -> Result<Sql> {
        let sql = Sql::open(file.to_str().context("a path of ours is text")?)?;
        for pragma in ["locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"] {
            // A pragma that gives a row must be queried.
            sql.wait(sql.connection.query(&format!("PRAGMA {pragma}"), ()))?;
        }
        anyhow::ensure!(sql.number("PRAGMA synchronous")? == 2, "libSQL does not flush commits");
        sql.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, payload BLOB) STRICT")?;
        Ok(sql)
    }

    fn open(path: &str) -> Result<Sql> {
        let runtime = Builder::new_current_thread().build()?;
        let connection = runtime
            .block_on(async { libsql::Builder::new_local(path).build().await?.connect() })?;
        Ok(Sql { runtime, connection })
    }

    fn wait<T>(&self, call: impl Future<Output = libsql::Result<T>>) -> Result<T> {
        Ok(self.runtime.block_on(call)?)
    }

    fn prepare(&self, text: &str) -> Result<Statement> {
        self.wait(self.connection.prepare(text))
    }

    fn execute(&self, text: &str) -> Result<()> {
        self.wait(self.connection.execute(text, ())).map(drop)
    }

    fn number(&self, text: &str) -> Result<u64> {
        let statement = self.prepare(text)?;
        self.wait(async {
            let mut rows = statement.query(()).await?;
            rows.next().await?.map_or(Ok(0), |row| row.get(0))
        })
    }

    /// Commits one small row to a [durable](Sql::durable) database, and gives what that took.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn commit(&self, insert: &Statement) -> Result<Duration> {
        let (took, outcome) = once(|| self.wait(insert.execute([vec![7_u8; 100]])));
        outcome?;
        insert.reset();
        Ok(took.wall)
    }

    /// The statement for [`Sql::commit`].
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn insert(&self) -> Result<Statement> {
        self.prepare("INSERT INTO log (payload) VALUES (?)")
    }
}

//! The other side: libSQL over the same facts, in memory unless said otherwise.
//!
//! It gets what an SQL program would give it: prepared statements, transactions of the same size,
//! a primary key that is the index each question needs, and for the hierarchy numbers in place of
//! ids, as Tercet has them inside. Its local calls never wait, so a runtime without I/O runs them.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libsql::{Connection, Statement};
use tercet::{EntityId, Op, Value};
use tokio::runtime::{Builder, Runtime};

use crate::measure::{Took, median, once};

/// A connection.
pub struct Sql {
    runtime: Runtime,
    connection: Connection,
}

impl Sql {
    /// A new database in memory.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn in_memory() -> Result<Sql> {
        Sql::open(":memory:")
    }

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

    /// Loads facts into one table in transactions of `n_ops` and gives the time it took.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn load_facts(&self, ops: &[Op], n_ops: usize) -> Result<Took> {
        self.execute(
            "CREATE TABLE fact (e TEXT, a TEXT, v ANY, PRIMARY KEY (e, a, v)) STRICT, WITHOUT ROWID",
        )?;
        let insert = self.prepare("INSERT OR IGNORE INTO fact VALUES (?, ?, ?)")?;
        let load = || {
            for ops in ops.chunks(n_ops) {
                self.execute("BEGIN")?;
                for op in ops {
                    let (Some(a), Some(v)) = (op.attribute(), op.value()) else { continue };
                    let row = (op.entity().as_str(), a.as_str(), sql_value(v));
                    self.wait(insert.execute(row))?;
                    // Else the next parameters are silently not bound.
                    insert.reset();
                }
                self.execute("COMMIT")?;
            }
            Ok(())
        };
        let (took, outcome) = once(load);
        outcome.map(|()| took)
    }

    /// How many facts are in the table.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn n_facts(&self) -> Result<u64> {
        self.number("SELECT count(*) FROM fact")
    }

    /// Bytes of the pages that the database has.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn n_bytes(&self) -> Result<u64> {
        Ok(self.number("PRAGMA page_count")? * self.number("PRAGMA page_size")?)
    }

    fn number(&self, text: &str) -> Result<u64> {
        self.number_of(&self.prepare(text)?, ())
    }

    /// The first number of the first row.
    fn number_of(
        &self,
        statement: &Statement,
        parameters: impl libsql::params::IntoParams,
    ) -> Result<u64> {
        let number = self.wait(async {
            let mut rows = statement.query(parameters).await?;
            rows.next().await?.map_or(Ok(0), |row| row.get(0))
        });
        statement.reset();
        number
    }

    /// A statement that reads one field of an entity.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn point(&self) -> Result<Statement> {
        self.prepare("SELECT v FROM fact WHERE e = ? AND a = ?")
    }

    /// Reads one field.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn read_point(
        &self,
        point: &Statement,
        entity: &str,
        attribute: &str,
    ) -> Result<Option<libsql::Value>> {
        let value = self.wait(async {
            let mut rows = point.query((entity, attribute)).await?;
            rows.next().await?.map(|row| row.get_value(0)).transpose()
        });
        point.reset();
        value
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

/// A value as SQL stores it.
pub fn sql_value(value: &Value) -> libsql::Value {
    match value {
        Value::Boolean(boolean) => libsql::Value::Integer(i64::from(*boolean)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => libsql::Value::Integer(integer),
            None => libsql::Value::Real(number.to_f64()),
        },
        Value::Date(date) => libsql::Value::Integer(date.ms()),
        Value::String(text) => libsql::Value::Text(text.to_string()),
        Value::Ref(entity) => libsql::Value::Text(entity.to_string()),
    }
}

/// A hierarchy as a table of edges between numbers.
pub struct Hierarchy {
    sql: Sql,
    below: i64,
}

impl Hierarchy {
    /// Loads edges (below, above).
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn load(edges: &[(EntityId, EntityId)], below: &EntityId) -> Result<Hierarchy> {
        let sql = Sql::in_memory()?;
        sql.execute("CREATE TABLE edge (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID")?;
        let insert = sql.prepare("INSERT OR IGNORE INTO edge VALUES (?, ?)")?;
        let mut numbers: HashMap<&EntityId, i64> = HashMap::new();
        let mut number = |entity| {
            let next = numbers.len() as i64;
            *numbers.entry(entity).or_insert(next)
        };
        sql.execute("BEGIN")?;
        for (a, b) in edges {
            sql.wait(insert.execute((number(a), number(b))))?;
            insert.reset();
        }
        sql.execute("COMMIT")?;
        sql.execute("ANALYZE")?;
        let below = number(below);
        Ok(Hierarchy { sql, below })
    }

    /// How many nodes are above the one, and how long it takes to count them.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn ancestors(&self, n_min: usize, time: Duration) -> Result<(Took, u64)> {
        let statement = self.sql.prepare(
            "WITH RECURSIVE reach (b) AS (SELECT b FROM edge WHERE a = ?1 \
             UNION SELECT edge.b FROM reach JOIN edge ON edge.a = reach.b) \
             SELECT count(*) FROM reach",
        )?;
        let count = || self.sql.number_of(&statement, [self.below]);
        let (took, n_ancestors, _) = median(n_min, time, count);
        Ok((took, n_ancestors?))
    }

    /// How many pairs are connected, and how long it takes to count them.
    ///
    /// # Errors
    /// Those of libSQL.
    pub fn pairs(&self, n_min: usize, time: Duration) -> Result<(Took, u64)> {
        let statement = self.sql.prepare(
            "WITH RECURSIVE reach (a, b) AS (SELECT a, b FROM edge \
             UNION SELECT reach.a, edge.b FROM reach JOIN edge ON edge.a = reach.b) \
             SELECT count(*) FROM reach",
        )?;
        let (took, n_pairs, _) = median(n_min, time, || self.sql.number_of(&statement, ()));
        Ok((took, n_pairs?))
    }
}

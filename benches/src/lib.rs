//! Benchmarks: named workloads with fixed seeds, as a table and as JSON.
//!
//! Each benchmark measures Tercet and, in the same run on the same facts, something to compare it
//! with: libSQL doing the same work, or what the work cannot do without. Where both give a result
//! the results are compared too, and a difference fails the run: a wrong answer has no speed.
//! Modules in reading order: `row` (what is reported), `measure` (how), `data` (over what),
//! `sql` (the other side), then the benchmarks: `store`, `query`, `sync`. Criterion, in
//! `benches/engine.rs`, is for paths of microseconds, where its statistics tell something.

pub mod row;
pub mod measure;
pub mod data;
pub mod sql;
pub mod store;
pub mod query;
pub mod sync;

use anyhow::Result;

use crate::data::DataSet;
use crate::row::Row;

/// A benchmark: it may give several rows, whose ids it knows beforehand.
pub struct Benchmark {
    /// The ids of its rows.
    pub ids: &'static [&'static str],
    /// Runs it.
    pub run: fn(&mut Context) -> Result<Vec<Row>>,
}

/// All benchmarks, in the order they are run.
pub const BENCHMARKS: &[Benchmark] =
    &[store::LOAD, store::BYTES, store::POINT, query::ANCESTORS, query::CLOSURE, sync::PROPAGATE];

/// What benchmarks share: the data, read once, when the first one asks.
#[derive(Default)]
pub struct Context {
    data: Option<DataSet>,
}

impl Context {
    /// The facts to load and to ask.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn data(&mut self) -> Result<&DataSet> {
        if self.data.is_none() {
            self.data = Some(DataSet::read()?);
        }
        Ok(self.data.as_ref().expect("it has just been read"))
    }
}

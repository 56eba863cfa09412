//! Benchmarks: named workloads with fixed seeds, as a table and as JSON.
//!
//! Each benchmark measures Tercet and, in the same run on the same facts, something to compare it
//! with: other engines answering the same question, libSQL doing the same work, or what the work
//! cannot do without. Where both give a result the results are compared too, and a difference
//! fails the run: a wrong answer has no speed. Modules in reading order: `row` (what is reported),
//! `measure` and `race` (how), `digest` and `answer` (reading answers), `data` (over what), `peers`
//! and `script`
//! (the other engines, in processes of their own), then the benchmarks: `store`, `query`, `live`,
//! `sync`.
//! Criterion, in `benches/engine.rs`, is for paths of microseconds, where its statistics tell
//! something.

pub mod row;
pub mod measure;
pub mod race;
pub mod digest;
pub mod answer;
pub mod data;
pub mod peers;
pub mod script;
pub mod store;
pub mod query;
pub mod live;
#[cfg(feature = "system")]
pub mod sql;
#[cfg(feature = "system")]
pub mod sync;

use anyhow::Result;

use crate::data::DataSets;
use crate::peers::Peers;
use crate::row::Row;

/// A benchmark: it may give several rows, whose ids it knows beforehand.
pub struct Benchmark {
    /// The ids of its rows.
    pub ids: &'static [&'static str],
    /// Measures those of its rows that are wanted.
    pub run: fn(&mut Context, &Wanted<'_>) -> Result<Vec<Row>>,
}

/// All benchmarks, in the order they are run.
pub fn benchmarks() -> impl Iterator<Item = &'static Benchmark> {
    #[cfg(feature = "system")]
    return ENGINE.iter().chain(&sync::ALL);
    #[cfg(not(feature = "system"))]
    return ENGINE.iter();
}

/// Those of the engine.
const ENGINE: &[Benchmark] = &[
    store::LOAD,
    store::BYTES,
    store::POINT,
    store::WRITE,
    store::PREPARE,
    Benchmark { ids: query::people::IDS, run: query::people::run },
    Benchmark { ids: query::wordnet::IDS, run: query::wordnet::run },
    Benchmark { ids: query::shapes::GRAPH_IDS, run: query::shapes::run_graph },
    Benchmark { ids: query::shapes::TREE_IDS, run: query::shapes::run_tree },
    Benchmark { ids: live::route::IDS, run: live::route::run },
    Benchmark { ids: live::memory::IDS, run: live::memory::run },
    Benchmark { ids: live::single::IDS, run: live::single::run },
    Benchmark { ids: live::beside::IDS, run: live::beside::run },
];

/// Which rows are wanted.
pub struct Wanted<'w>(pub &'w str);

impl Wanted<'_> {
    /// Whether this row is.
    pub fn is(&self, id: &str) -> bool {
        id.contains(self.0)
    }
}

/// How large what is measured is, where a benchmark knows two sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As it is reported.
    Full,
    /// As much as shows that it works; its numbers mean nothing.
    Small,
}

impl Scale {
    /// A number of things that is a 50th where things are small.
    #[must_use]
    pub fn of(self, n_full: usize) -> usize {
        match self {
            Scale::Full => n_full,
            Scale::Small => n_full.div_ceil(50),
        }
    }
}

/// What benchmarks share: facts, read when the first one asks, and the other engines.
pub struct Context {
    /// Facts.
    pub data: DataSets,
    /// Other engines; none when their program was not built.
    pub peers: Option<Peers>,
    /// How large what is measured is.
    pub scale: Scale,
}

impl Context {
    /// A context without any facts yet.
    ///
    /// # Errors
    /// When the other engines should be there and cannot be started.
    pub fn new(scale: Scale) -> Result<Context> {
        Ok(Context { data: DataSets::default(), peers: Peers::start()?, scale })
    }
}

//! The facts that are loaded and asked: people, WordNet, a graph, a tree.
//!
//! All but WordNet are the tests' workloads, made from fixed seeds, so that numbers of different
//! machines are about the same facts. A set is read when the first benchmark asks for it.

use std::path::Path;

use anyhow::{Context as _, Result};
use tercet_engine::fact::Op;
use tercet_engine::store::{Snapshot, Store};
use tercet_formats::Wordnet;
use tercet_tests::workload;

/// Operations in a transaction of a load.
pub const N_OPS: usize = 10_000;

/// Facts, and a store that holds them.
pub struct DataSet {
    /// What they are, for people and for the peers.
    pub name: &'static str,
    /// All of them, as operations.
    pub ops: Vec<Op>,
    /// They, ready to be asked.
    pub snapshot: Snapshot,
}

impl DataSet {
    fn load(name: &'static str, ops: Vec<Op>) -> DataSet {
        let snapshot = store_of(&ops).snapshot();
        DataSet { name, ops, snapshot }
    }
}

/// All sets of facts, those that were asked for.
#[derive(Default)]
pub struct DataSets {
    people: Option<DataSet>,
    wordnet: Option<DataSet>,
    /// That WordNet has not been obtained is said once.
    misses_wordnet: bool,
}

impl DataSets {
    /// 20,000 people.
    pub fn people(&mut self) -> &DataSet {
        self.people.get_or_insert_with(|| {
            DataSet::load("20,000 people", workload::people(workload::N_PEOPLE))
        })
    }

    /// All of WordNet; none when it has not been obtained.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn wordnet(&mut self) -> Result<Option<&DataSet>> {
        if self.wordnet.is_none() && !self.misses_wordnet {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wordnet");
            self.misses_wordnet = !directory.join("data.noun").exists();
            if !self.misses_wordnet {
                self.wordnet = Some(read_wordnet(&directory)?);
            }
        }
        Ok(self.wordnet.as_ref())
    }

    /// Whether a benchmark asked for WordNet, and it was not there.
    pub fn misses_wordnet(&self) -> bool {
        self.misses_wordnet
    }
}

fn read_wordnet(directory: &Path) -> Result<DataSet> {
    let importer = Wordnet::open(directory).context("cannot read data/wordnet")?;
    let ops = importer.collect::<Result<Vec<Op>, _>>().context("cannot read data/wordnet")?;
    Ok(DataSet::load("WordNet", ops))
}

/// A store of facts.
pub fn store_of(ops: &[Op]) -> Store {
    let mut store = Store::new();
    for transaction in workload::transactions(ops, N_OPS) {
        store.apply(&transaction);
    }
    store
}

//! The facts that are loaded and asked: people, WordNet, a graph, a tree.
//!
//! All but WordNet are the tests' workloads, made from fixed seeds, so that numbers of different
//! machines are about the same facts. A set is read when the first benchmark asks for it.

use std::path::Path;

use anyhow::{Context as _, Result};
use tercet_engine::fact::Op;
use tercet_engine::ids::Attribute;
use tercet_engine::store::{Snapshot, Store};
use tercet_engine::value::Value;
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
    wordnet_asked: Option<DataSet>,
    graph: Option<DataSet>,
    tree: Option<DataSet>,
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

    /// A graph of 2^14 nodes and 100,000 edges, of which a few nodes have most.
    pub fn graph(&mut self) -> &DataSet {
        self.graph.get_or_insert_with(|| {
            DataSet::load("R-MAT graph", workload::edge_ops(&workload::graph(14, 100_000)))
        })
    }

    /// A tree of 4,000 nodes.
    pub fn tree(&mut self) -> &DataSet {
        self.tree.get_or_insert_with(|| DataSet::load("tree", workload::parent_ops(4_000)))
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

    /// WordNet as it is asked: with `synset/pointer`, every pointer between synsets in one
    /// attribute. Its operations, which the peers load, are only those of attributes that a
    /// question names: smaller tables are to their advantage.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn wordnet_asked(&mut self) -> Result<Option<&DataSet>> {
        if self.wordnet_asked.is_none()
            && let Some(all) = self.wordnet()?
        {
            let asked = asked_of(all)?;
            self.wordnet_asked = Some(asked);
        }
        Ok(self.wordnet_asked.as_ref())
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

/// Attributes that WordNet's questions name.
const ASKED: [&str; 4] = ["synset/hypernym", "synset/word", "synset/pos", "synset/lexfile"];

fn asked_of(all: &DataSet) -> Result<DataSet> {
    let is_synset = |id: &str| id.starts_with("wn:");
    let pointer = Attribute::new("synset/pointer")?;
    let mut ops = Vec::new();
    for op in &all.ops {
        let Some(attribute) = op.attribute() else { continue };
        if let Some(Value::Ref(to)) = op.value()
            && is_synset(op.entity().as_str())
            && is_synset(to.as_str())
        {
            ops.push(Op::Add {
                e: op.entity().clone(),
                a: pointer.clone(),
                v: Value::Ref(to.clone()),
            });
        }
        if ASKED.contains(&attribute.as_str()) {
            ops.push(op.clone());
        }
    }
    let mut store = store_of(&all.ops);
    let pointers = ops.iter().filter(|op| op.attribute() == Some(&pointer)).cloned();
    let pointers: Vec<Op> = pointers.collect();
    for transaction in workload::transactions(&pointers, N_OPS) {
        store.apply(&transaction);
    }
    Ok(DataSet { name: "WordNet with pointers", ops, snapshot: store.snapshot() })
}

/// A store of facts.
pub fn store_of(ops: &[Op]) -> Store {
    let mut store = Store::new();
    for transaction in workload::transactions(ops, N_OPS) {
        store.apply(&transaction);
    }
    store
}

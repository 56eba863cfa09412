//! The facts that are loaded and asked: WordNet where it has been obtained, else made ones.
//!
//! Made facts are the people of the tests' workloads and a tree like a taxonomy, from fixed seeds,
//! so that numbers of different machines are about the same facts. Every row says which it was.

use std::path::Path;

use anyhow::{Context as _, Result};
use tercet::{Attribute, EntityId, Op, Value};
use tercet_formats::Wordnet;
use tercet_tests::workload;

/// Nodes of the made taxonomy; WordNet has 82,115 synsets of nouns.
const N_TREE: usize = 80_000;

/// The most frequent sense of *dog* as a noun, in WordNet 3.0.
const DOG: &str = "wn:n:02084071";

/// Facts, and of them a hierarchy to climb.
pub struct DataSet {
    /// What they are, for people.
    pub name: String,
    /// All of them, as operations.
    pub ops: Vec<Op>,
    /// A field that every entity of some kind has once, to be read.
    pub field: Attribute,
    /// The attribute of the hierarchy.
    pub above: Attribute,
    /// The hierarchy: (below, above).
    pub edges: Vec<(EntityId, EntityId)>,
    /// Whose ancestors are asked for.
    pub below: EntityId,
}

impl DataSet {
    /// Reads WordNet, or makes up people and a taxonomy.
    ///
    /// # Errors
    /// When WordNet is there and cannot be read.
    pub fn read() -> Result<DataSet> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wordnet");
        match directory.join("data.noun").exists() {
            true => DataSet::wordnet(&directory),
            false => Ok(DataSet::made()),
        }
    }

    fn wordnet(directory: &Path) -> Result<DataSet> {
        let importer = Wordnet::open(directory).context("cannot read data/wordnet")?;
        let ops = importer.collect::<Result<Vec<Op>, _>>().context("cannot read data/wordnet")?;
        let name = format!("WordNet, {} operations", ops.len());
        let (field, above) = (attribute("synset/gloss"), attribute("synset/hypernym"));
        let edges = edges_of(&ops, &above);
        // Offsets differ between editions: in another one, a synset with much above it.
        let dog = EntityId::new(DOG).expect("short and printable");
        let below = match edges.iter().any(|(below, _)| *below == dog) {
            true => dog,
            false => edges.last().context("WordNet without hypernyms")?.0.clone(),
        };
        Ok(DataSet { name, ops, field, above, edges, below })
    }

    fn made() -> DataSet {
        let mut ops = workload::people(workload::N_PEOPLE);
        let edges = workload::tree(N_TREE);
        ops.extend(workload::edge_ops(&edges));
        let below = edges.last().expect("a tree of many nodes has edges").0.clone();
        let hint = "made; for WordNet: cargo xtask data wordnet";
        let name = format!("people and a tree, {} operations ({hint})", ops.len());
        let (field, above) = (attribute("person/salary"), attribute("node/edge"));
        DataSet { name, ops, field, above, edges, below }
    }

    /// The entities that have the field to be read, in the order of the data, with its value.
    pub fn fields(&self) -> impl Iterator<Item = (&EntityId, &Value)> {
        self.ops.iter().filter_map(|op| match op {
            Op::Set { e, a, v } if *a == self.field => Some((e, v)),
            _ => None,
        })
    }
}

fn edges_of(ops: &[Op], above: &Attribute) -> Vec<(EntityId, EntityId)> {
    let edge = |op: &Op| match op {
        Op::Add { e, a, v: Value::Ref(to) } if a == above => Some((e.clone(), to.clone())),
        _ => None,
    };
    ops.iter().filter_map(edge).collect()
}

fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("type/field")
}

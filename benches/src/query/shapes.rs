//! Questions to made shapes: a graph in which a few nodes have most edges, and a tree.

use anyhow::Result;
use tercet_engine::program::raw::Input;
use tercet_engine::value::Value;
use tercet_tests::workload;

use super::question::{Question, Target, ask_all, of_compiled};
use crate::row::Row;
use crate::{Context, Wanted};

/// Ids of the questions to the graph.
pub const GRAPH_IDS: &[&str] = &["query.graph.closure100", "query.graph.triangle"];

/// Ids of the questions to the tree.
pub const TREE_IDS: &[&str] = &["query.tree.samegen", "query.tree.samegen1"];

/// Asks about the graph.
///
/// # Errors
/// When somebody cannot answer.
pub fn run_graph(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let mut sources: Vec<Value> = Vec::new();
    for (from, _) in workload::graph(14, 100_000) {
        let source = Value::Ref(from);
        if sources.len() < 100 && !sources.contains(&source) {
            sources.push(source);
        }
    }
    let questions = [
        Question {
            id: "query.graph.closure100",
            text: "[:find ?x ?y :in [?x ...] :where (path ?x ?y)
                    :rules [[(path ?x ?y) [?x :node/edge ?y]]
                            [(path ?x ?y) [?x :node/edge ?z] (path ?z ?y)]]]",
            inputs: vec![Input::Collection(sources)],
            unit: "ms",
            target: of_compiled(1.0, Some(0.35)),
        },
        Question {
            id: "query.graph.triangle",
            text: "[:find ?a ?b ?c
                    :where [?a :node/edge ?b] [?b :node/edge ?c] [?a :node/edge ?c]]",
            inputs: Vec::new(),
            unit: "ms",
            target: of_compiled(1.0, Some(0.35)),
        },
    ];
    ask_all(&questions, context.data.graph(), context.peers.as_mut(), wanted)
}

/// Asks about the tree.
///
/// # Errors
/// When somebody cannot answer.
pub fn run_tree(context: &mut Context, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
    let node = Value::reference("node:3999").expect("short and printable");
    let questions = [
        Question {
            id: "query.tree.samegen",
            text:
                "[:find ?x ?y :where (same ?x ?y)
                    :rules [[(same ?x ?y) [?x :node/parent ?p] [?y :node/parent ?p]]
                            [(same ?x ?y) [?x :node/parent ?a] (same ?a ?b) [?y :node/parent ?b]]]]",
            inputs: Vec::new(),
            unit: "ms",
            target: of_compiled(1.0, Some(0.4)),
        },
        Question {
            id: "query.tree.samegen1",
            text:
                "[:find ?y :in ?x :where (same ?x ?y)
                    :rules [[(same ?x ?y) [?x :node/parent ?p] [?y :node/parent ?p]]
                            [(same ?x ?y) [?x :node/parent ?a] (same ?a ?b) [?y :node/parent ?b]]]]",
            inputs: vec![Input::Scalar(node)],
            unit: "ms",
            target: Target::Time { must: 1.5, aim: 0.5 },
        },
    ];
    ask_all(&questions, context.data.tree(), context.peers.as_mut(), wanted)
}

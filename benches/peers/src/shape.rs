//! The questions to compiled Datalog, as what they compute over which relations.
//!
//! Several questions are one program over other facts. What a person would decide who writes such
//! a program (from which end a recursion starts) is decided here, in favor of the engine.

use anyhow::{Context as _, Result, bail};

use crate::facts::{Facts, Id};

/// Pairs, sorted, no duplicates.
pub(crate) type Edges = Vec<(Id, Id)>;

/// What is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// What can be reached from one node: `reach(y) :- reach(x), edge(x, y)`.
    Reach { edges: Edges, from: Id },
    /// All pairs: `path(x, z) :- path(x, y), edge(y, z)`.
    Closure { edges: Edges },
    /// The pairs that begin at some nodes.
    ClosureFrom { edges: Edges, sources: Vec<Id> },
    /// `edge(a, b), edge(b, c), edge(a, c)`.
    Triangles { edges: Edges },
    /// `(group, a), (group, b), chosen(group), a != b`.
    Share { members: Edges, chosen: Vec<Id> },
    /// `same(x, y) :- parent(x, p), parent(y, p)` and
    /// `same(x, y) :- parent(x, a), same(a, b), parent(y, b)`. Edges are (parent, child).
    SameGeneration { children: Edges },
}

/// Questions that have a shape.
pub(crate) const QUESTIONS: &[&str] = &[
    "query.people.reach",
    "query.wordnet.ancestors",
    "query.wordnet.descendants",
    "query.wordnet.closure",
    "query.wordnet.share",
    "query.graph.closure100",
    "query.tree.samegen",
];

/// Questions for triangles, which not every engine joins in the same way.
pub(crate) const TRIANGLES: &[&str] = &["query.wordnet.triangle", "query.graph.triangle"];

/// The shape of a question.
///
/// # Errors
/// When it has none, or facts that it needs are missing.
pub(crate) fn shape(facts: &Facts, question: &str, parameters: &[&str]) -> Result<Shape> {
    let node = || {
        let id = parameters.first().and_then(|text| text.strip_prefix("r:"));
        facts.id(id.context("the question needs an entity")?)
    };
    Ok(match question {
        "query.people.reach" | "live.reach" => {
            Shape::Reach { edges: facts.edges("person/follows")?, from: node()? }
        }
        "query.wordnet.ancestors" => {
            Shape::Reach { edges: facts.edges("synset/hypernym")?, from: node()? }
        }
        "query.wordnet.descendants" => {
            Shape::Reach { edges: turned(facts.edges("synset/hypernym")?), from: node()? }
        }
        "query.wordnet.closure" | "live.closure" => {
            Shape::Closure { edges: facts.edges("synset/hypernym")? }
        }
        "query.wordnet.share" => Shape::Share {
            members: facts.edges("synset/word")?,
            chosen: facts.having("synset/pos", "noun")?,
        },
        "query.wordnet.triangle" | "live.triangle" => {
            Shape::Triangles { edges: facts.edges("synset/pointer")? }
        }
        "query.graph.triangle" => Shape::Triangles { edges: facts.edges("node/edge")? },
        "query.graph.closure100" => {
            let id = |text: &&str| facts.id(text.strip_prefix("r:").context("an entity")?);
            let mut sources = parameters.iter().map(id).collect::<Result<Vec<_>>>()?;
            sources.sort_unstable();
            Shape::ClosureFrom { edges: facts.edges("node/edge")?, sources }
        }
        "query.tree.samegen" | "live.samegen" => {
            Shape::SameGeneration { children: turned(facts.edges("node/parent")?) }
        }
        _ => bail!("{question} has no shape"),
    })
}

/// Every edge the other way round.
fn turned(edges: Edges) -> Edges {
    let mut edges: Edges = edges.into_iter().map(|(from, to)| (to, from)).collect();
    edges.sort_unstable();
    edges
}

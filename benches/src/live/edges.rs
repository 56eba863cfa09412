//! Edges that come and go, one at a time, in a graph that stays about what it was.
//!
//! One goes, one comes, in turns. Which one goes is chance; of those that come, half have been
//! there before and half are new, of a kind that suits the graph.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::fact::Op;
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value;
use tercet_tests::random::Random;

use super::write::{attribute, entity, set, unset};

/// From, to.
pub type Edge = (EntityId, EntityId);

/// How often another new edge is drawn when there is one already.
const N_TRIES: usize = 50;

/// Where new edges come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// From where some edge begins to where another ends.
    Any,
    /// From where a path of two edges begins to where it ends.
    Closing,
    /// From a node that lost the only edge it may have to one before it; nodes are `node:N`.
    Before,
}

/// Edges that are there, and those that went.
pub struct Edges {
    attribute: &'static str,
    growth: Growth,
    there: Vec<Edge>,
    /// The same, by where they begin.
    by_start: BTreeMap<EntityId, BTreeSet<EntityId>>,
    gone: Vec<Edge>,
    n_steps: usize,
    random: Random,
}

/// An edge that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether it comes.
    pub comes: bool,
    /// Which.
    pub edge: Edge,
}

impl Edges {
    /// Edges as facts of an attribute. Drawn twice is there once.
    pub fn new(attribute: &'static str, growth: Growth, edges: Vec<Edge>) -> Edges {
        let there: BTreeSet<Edge> = edges.into_iter().collect();
        let mut by_start: BTreeMap<EntityId, BTreeSet<EntityId>> = BTreeMap::new();
        for (from, to) in &there {
            by_start.entry(from.clone()).or_default().insert(to.clone());
        }
        let there = there.into_iter().collect();
        let random = Random::new(31);
        Edges { attribute, growth, there, by_start, gone: Vec::new(), n_steps: 0, random }
    }

    /// The edges that are there, as operations.
    pub fn ops(&self) -> Vec<Op> {
        let comes = |edge: &Edge| self.op(&Step { comes: true, edge: edge.clone() });
        self.there.iter().map(comes).collect()
    }

    /// A step as an operation.
    pub fn op(&self, step: &Step) -> Op {
        let (e, v) = (step.edge.0.clone(), Value::Ref(step.edge.1.clone()));
        match (self.growth, step.comes) {
            (Growth::Before, true) => set(e, self.attribute, v),
            (Growth::Before, false) => unset(e, self.attribute),
            (_, true) => Op::Add { e, a: attribute(self.attribute), v },
            (_, false) => Op::Remove { e, a: attribute(self.attribute), v, covers: None },
        }
    }

    /// The next edge that comes or goes.
    pub fn step(&mut self) -> Step {
        let comes = !self.n_steps.is_multiple_of(2);
        self.n_steps += 1;
        let edge = if comes { self.grow() } else { self.shrink() };
        Step { comes, edge }
    }

    fn shrink(&mut self) -> Edge {
        let edge = take_one(&mut self.there, &mut self.random);
        self.by_start.get_mut(&edge.0).expect("it holds all edges").remove(&edge.1);
        self.gone.push(edge.clone());
        edge
    }

    fn grow(&mut self) -> Edge {
        let fresh = match self.random.chance(50) {
            true => self.fresh(),
            false => None,
        };
        let edge = fresh.unwrap_or_else(|| take_one(&mut self.gone, &mut self.random));
        self.gone.retain(|gone| *gone != edge);
        self.by_start.entry(edge.0.clone()).or_default().insert(edge.1.clone());
        self.there.push(edge.clone());
        edge
    }

    /// An edge that is not there.
    fn fresh(&mut self) -> Option<Edge> {
        if self.growth == Growth::Before {
            let (from, _) = take_one(&mut self.gone, &mut self.random);
            let index = from.as_str().strip_prefix("node:").and_then(|index| index.parse().ok());
            let to = entity("node", self.random.below(index.expect("nodes are numbered")));
            return Some((from, to));
        }
        for _ in 0..N_TRIES {
            let (from, middle) = self.random.pick(&self.there).clone();
            let to = match self.growth {
                Growth::Closing => self.one_after(&middle),
                Growth::Any | Growth::Before => Some(self.random.pick(&self.there).1.clone()),
            };
            if let Some(to) = to
                && from != to
                && !self.by_start[&from].contains(&to)
            {
                return Some((from, to));
            }
        }
        None
    }

    fn one_after(&mut self, node: &EntityId) -> Option<EntityId> {
        let after = self.by_start.get(node).filter(|after| !after.is_empty())?;
        after.iter().nth(self.random.below(after.len())).cloned()
    }
}

fn take_one(edges: &mut Vec<Edge>, random: &mut Random) -> Edge {
    edges.swap_remove(random.below(edges.len()))
}

#[cfg(test)]
mod tests {
    use tercet_tests::workload;

    use super::*;

    /// Every edge that goes was there, and every one that comes was not.
    fn follow(growth: Growth, edges: Vec<Edge>, check: impl Fn(&BTreeSet<Edge>)) {
        let mut there: BTreeSet<Edge> = edges.iter().cloned().collect();
        let mut edges = Edges::new("node/edge", growth, edges);
        let before = there.clone();
        for _ in 0..200 {
            let Step { comes, edge } = edges.step();
            let is_right = if comes { there.insert(edge) } else { there.remove(&edge) };
            assert!(is_right);
            check(&there);
        }
        assert_eq!((there.len(), there == before), (before.len(), false));
    }

    #[test]
    fn edges_come_when_they_are_not_there_and_go_when_they_are() {
        follow(Growth::Any, workload::graph(6, 100), |_| ());
        follow(Growth::Closing, workload::graph(6, 100), |_| ());
        follow(Growth::Before, workload::tree(50), |there| {
            let children: BTreeSet<&EntityId> = there.iter().map(|(child, _)| child).collect();
            assert_eq!(children.len(), there.len(), "a node has one parent");
        });
    }
}

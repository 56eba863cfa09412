//! Condensing a graph: its strongly connected components, and which leads to which.
//!
//! Nodes of one component reach the same, so searches from many nodes go over the components, of
//! which a graph with cycles has far fewer. They are numbered so that each leads to lower ones
//! only. The algorithm is Tarjan's (*Depth-first search and linear graph algorithms*, 1972) with
//! an explicit stack, because chains are as long as the data.

use super::arcs::Arcs;
use super::meter::{BLOCK, Meter};
use crate::error::QueryError;

const UNSEEN: u32 = u32::MAX;

/// The components of a graph, in an order in which each leads to lower ones only.
#[derive(Debug)]
pub(super) struct Components {
    /// The component of each node.
    pub(super) of_node: Vec<u32>,
    /// Nodes by component.
    nodes: Vec<u32>,
    /// Where the nodes of each component begin, and where the last ones end.
    starts: Vec<u32>,
    /// From component to component, none twice and none to itself.
    pub(super) arcs: Arcs,
}

impl Components {
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The nodes of a component.
    #[inline]
    pub(super) fn members(&self, component: u32) -> &[u32] {
        let component = component as usize;
        &self.nodes[self.starts[component] as usize..self.starts[component + 1] as usize]
    }

    pub(super) fn n_bytes(&self) -> u64 {
        let words = self.of_node.len() + self.nodes.len() + self.starts.len();
        (words * size_of::<u32>()) as u64 + self.arcs.n_bytes()
    }

    /// Of the graph of these arcs between `n_nodes` nodes.
    pub(super) fn of(
        arcs: &Arcs,
        n_nodes: usize,
        meter: &mut Meter,
    ) -> Result<Components, QueryError> {
        meter.room_for((n_nodes * 6 * size_of::<u32>()) as u64)?;
        let mut tarjan = Tarjan {
            order: vec![UNSEEN; n_nodes],
            low: vec![0; n_nodes],
            of_node: vec![UNSEEN; n_nodes],
            open: Vec::new(),
            nodes: Vec::with_capacity(n_nodes),
            starts: vec![0],
            n_seen: 0,
            n_unchecked: 0,
        };
        for root in 0..n_nodes {
            if tarjan.order[root] == UNSEEN {
                tarjan.visit(root as u32, arcs, meter)?;
            }
        }
        let Tarjan { of_node, nodes, starts, .. } = tarjan;
        let mut components = Components { of_node, nodes, starts, arcs: Arcs::new() };
        components.link(arcs, meter)?;
        Ok(components)
    }

    /// The arcs between components.
    fn link(&mut self, arcs: &Arcs, meter: &Meter) -> Result<(), QueryError> {
        let mut last_from = vec![UNSEEN; self.len()];
        let mut between = Arcs::new();
        let mut n_followed = 0;
        for component in 0..self.len() as u32 {
            for node in self.members(component) {
                for to in arcs.of(*node as usize) {
                    n_followed += 1;
                    meter.check_at(n_followed)?;
                    let to = self.of_node[*to as usize];
                    if to != component && last_from[to as usize] != component {
                        last_from[to as usize] = component;
                        between.push(to);
                    }
                }
            }
            between.close_span();
        }
        self.arcs = between;
        Ok(())
    }
}

struct Tarjan {
    /// When each node was first seen.
    order: Vec<u32>,
    /// The earliest node still open that is known to be reached.
    low: Vec<u32>,
    of_node: Vec<u32>,
    /// Nodes whose component is not known yet.
    open: Vec<u32>,
    nodes: Vec<u32>,
    starts: Vec<u32>,
    n_seen: u32,
    /// Arcs followed and nodes left since the last look at the limits.
    n_unchecked: u64,
}

impl Tarjan {
    fn enter(&mut self, node: u32) {
        self.order[node as usize] = self.n_seen;
        self.low[node as usize] = self.n_seen;
        self.n_seen += 1;
        self.open.push(node);
    }

    fn visit(&mut self, root: u32, arcs: &Arcs, meter: &mut Meter) -> Result<(), QueryError> {
        // A node and how many of its arcs have been followed.
        let mut path: Vec<(u32, u32)> = vec![(root, 0)];
        self.enter(root);
        while let Some((node, n_followed)) = path.last_mut() {
            let node = *node;
            self.n_unchecked += 1;
            if self.n_unchecked == BLOCK {
                self.n_unchecked = 0;
                meter.went_through_nodes(BLOCK)?;
            }
            if let Some(to) = arcs.of(node as usize).get(*n_followed as usize) {
                *n_followed += 1;
                let target = *to as usize;
                if self.order[target] == UNSEEN {
                    self.enter(*to);
                    path.push((*to, 0));
                } else if self.of_node[target] == UNSEEN {
                    self.low[node as usize] = self.low[node as usize].min(self.order[target]);
                }
                continue;
            }
            path.pop();
            let low = self.low[node as usize];
            if let Some((before, _)) = path.last() {
                let before = *before as usize;
                self.low[before] = self.low[before].min(low);
            }
            if low == self.order[node as usize] {
                self.close(node);
            }
        }
        Ok(())
    }

    /// Closes the component whose first node this is.
    fn close(&mut self, first: u32) {
        let component = self.starts.len() as u32 - 1;
        while let Some(node) = self.open.pop() {
            self.of_node[node as usize] = component;
            self.nodes.push(node);
            if node == first {
                break;
            }
        }
        self.starts.push(self.nodes.len() as u32);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Budget;

    fn components(n_nodes: usize, pairs: &[(u32, u32)]) -> Components {
        let mut meter = Meter::new(&Budget::unlimited());
        let arcs = Arcs::of_pairs(n_nodes, pairs, &meter).unwrap();
        Components::of(&arcs, n_nodes, &mut meter).unwrap()
    }

    #[test]
    fn cycles_are_condensed_and_lead_to_lower_components_only() {
        let pairs = [(0, 1), (1, 2), (2, 1), (2, 3), (1, 3), (4, 4), (3, 5), (0, 5), (0, 5)];
        let found = components(6, &pairs);
        assert_eq!(found.len(), 5);
        assert_eq!(found.of_node[1], found.of_node[2]);
        for component in 0..5 {
            let to = found.arcs.of(component as usize);
            assert!(to.iter().all(|to| *to < component));
            let members = found.members(component);
            assert!(members.iter().all(|node| found.of_node[*node as usize] == component));
        }
        assert_eq!(found.arcs.of(found.of_node[1] as usize), [found.of_node[3]]);
        assert!(found.arcs.of(found.of_node[4] as usize).is_empty());
    }

    #[test]
    fn a_long_chain_and_a_long_cycle_do_not_use_the_stack() {
        let n = 300_000;
        let chain: Vec<(u32, u32)> = (1..n).map(|node| (node - 1, node)).collect();
        assert_eq!(components(n as usize, &chain).len(), n as usize);
        let cycle: Vec<(u32, u32)> = (0..n).map(|node| (node, (node + 1) % n)).collect();
        assert_eq!(components(n as usize, &cycle).len(), 1);
    }
}

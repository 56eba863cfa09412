//! Searching a graph that has been read: what is reached from each of some nodes.
//!
//! One node needs a walk over nodes. Many nodes share the condensed graph, and either walk over its
//! components one by one or look them up in a matrix of bits, each row the union of the rows it
//! leads to. The matrix costs a word operation for each arc and 64 components, walks cost each arc
//! they follow: a few walks are made to see which is less. Sparse hierarchies walk, dense graphs
//! and long chains use the matrix.
//!
//! It knows nothing of relations, tables or the store: see `closure`.

use super::arcs::Arcs;
use super::components::Components;
use super::meter::{BLOCK, Meter, Unpaid};
use super::nodes::Nodes;
use crate::error::QueryError;
use crate::intern::Cell;

/// The most bytes of a matrix.
const MATRIX_BYTES_MAX: usize = 1 << 26;
/// How many walks are made to see what they cost.
const SAMPLE: usize = 16;

/// What a search walks on.
pub(super) enum Graph {
    /// Nothing: there is one node to search from, and all others have been met from there.
    Met,
    Nodes(Arcs),
    Components(Components),
    /// Components, and which reach which.
    Matrix(Components, Matrix),
}

/// For each component those it reaches, itself included, as bits.
pub(super) struct Matrix {
    n_words: usize,
    bits: Vec<u64>,
}

impl Matrix {
    fn of(components: &Components, meter: &mut Meter) -> Result<Matrix, QueryError> {
        let n_words = components.len().div_ceil(64);
        let mut bits = vec![0_u64; components.len() * n_words];
        for component in 0..components.len() {
            // Arcs lead to lower components, whose rows are done and have no higher bits.
            let (below, row) = bits.split_at_mut(component * n_words);
            row[component / 64] |= 1 << (component % 64);
            let targets = components.arcs.of(component);
            for to in targets {
                let start = *to as usize * n_words;
                let other = &below[start..=start + *to as usize / 64];
                row.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
            }
            meter.went_through_nodes(1 + (targets.len() * n_words / 16) as u64)?;
        }
        Ok(Matrix { n_words, bits })
    }

    fn row(&self, component: u32) -> &[u64] {
        &self.bits[component as usize * self.n_words..][..self.n_words]
    }
}

/// A set of dense numbers that is emptied in no time.
#[derive(Default)]
struct Marks {
    stamps: Vec<u32>,
    stamp: u32,
}

impl Marks {
    fn clear(&mut self, len: usize) {
        if self.stamps.len() < len || self.stamp == u32::MAX {
            self.stamps = vec![0; len];
            self.stamp = 0;
        }
        self.stamp += 1;
    }

    #[inline]
    fn insert(&mut self, number: u32) -> bool {
        let stamp = &mut self.stamps[number as usize];
        std::mem::replace(stamp, self.stamp) != self.stamp
    }
}

/// Walks over everything that arcs lead to from some vertices, those included; each is visited
/// once, with the number of its arcs.
fn walk(
    arcs: &Arcs,
    from: impl Iterator<Item = u32>,
    met: &mut Marks,
    stack: &mut Vec<u32>,
    mut visit: impl FnMut(u32, usize) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    stack.clear();
    stack.extend(from.filter(|vertex| met.insert(*vertex)));
    while let Some(vertex) = stack.pop() {
        let next = arcs.of(vertex as usize);
        stack.extend(next.iter().copied().filter(|to| met.insert(*to)));
        visit(vertex, next.len())?;
    }
    Ok(())
}

/// A graph ready to be searched from some nodes.
pub(super) struct Search {
    /// Where each node asked for leads by the first hop.
    seeds: Arcs,
    nodes: Nodes,
    graph: Graph,
    /// The last hops, and the nodes they lead to.
    last: Option<(Arcs, Nodes)>,
    /// When each vertex of the graph was last met.
    met: Marks,
    /// When each node was last answered, if a last hop leads there.
    answered: Marks,
    stack: Vec<u32>,
    /// The union of rows of the matrix.
    row: Vec<u64>,
}

impl Search {
    /// A search from nodes that lead to `seeds`. With `last`, what is reached are the nodes that
    /// those lead to from the graph's.
    pub(super) fn new(
        seeds: Arcs,
        nodes: Nodes,
        graph: Graph,
        last: Option<(Arcs, Nodes)>,
    ) -> Search {
        let (met, answered) = (Marks::default(), Marks::default());
        Search { seeds, nodes, graph, last, met, answered, stack: Vec::new(), row: Vec::new() }
    }

    /// The nodes of the graph.
    pub(super) fn nodes(&self) -> &[Cell] {
        self.nodes.cells()
    }

    /// Whether the `index`th node asked for has no first hop.
    pub(super) fn leads_nowhere(&self, index: usize) -> bool {
        self.seeds.of(index).is_empty()
    }

    pub(super) fn n_bytes(&self) -> u64 {
        let graph = match &self.graph {
            Graph::Met => 0,
            Graph::Nodes(arcs) => arcs.n_bytes(),
            Graph::Components(components) => components.n_bytes(),
            Graph::Matrix(components, matrix) => {
                components.n_bytes() + (matrix.bits.len() * size_of::<u64>()) as u64
            }
        };
        let last = self.last.as_ref().map_or(0, |(arcs, nodes)| arcs.n_bytes() + nodes.n_bytes());
        self.seeds.n_bytes() + self.nodes.n_bytes() + graph + last
    }

    /// Makes a matrix of the components where that is less work than `n_sources` walks.
    pub(super) fn prepare_for(
        &mut self,
        n_sources: usize,
        meter: &mut Meter,
    ) -> Result<(), QueryError> {
        let Graph::Components(components) = &self.graph else { return Ok(()) };
        let n_words = components.len().div_ceil(64);
        let n_bytes = components.len() * n_words * size_of::<u64>();
        if n_sources < 2 * SAMPLE || n_bytes > MATRIX_BYTES_MAX {
            return Ok(());
        }
        let mut n_followed = 0;
        for sample in 0..SAMPLE {
            let seeds = self.seeds.of(sample * (n_sources / SAMPLE)).iter();
            let seeds = seeds.map(|seed| components.of_node[*seed as usize]);
            self.met.clear(components.len());
            walk(&components.arcs, seeds, &mut self.met, &mut self.stack, |_, n_arcs| {
                n_followed += 1 + n_arcs;
                meter.went_through_nodes(1)
            })?;
        }
        let by_walks = n_followed * (n_sources / SAMPLE);
        let by_matrix = (components.arcs.n_arcs() + n_sources) * n_words;
        if by_matrix < by_walks {
            meter.room_for(self.n_bytes() + n_bytes as u64)?;
            let matrix = Matrix::of(components, meter)?;
            if let Graph::Components(components) = std::mem::replace(&mut self.graph, Graph::Met) {
                self.graph = Graph::Matrix(components, matrix);
            }
        }
        Ok(())
    }

    /// Appends what is reached from the `index`th node asked for, none twice.
    pub(super) fn reach(
        &mut self,
        index: usize,
        out: &mut Vec<Cell>,
        meter: &mut Meter,
    ) -> Result<(), QueryError> {
        let Search { seeds, nodes, graph, last, met, answered, stack, row } = self;
        answered.clear(last.as_ref().map_or(0, |(_, reached)| reached.len()));
        let mut answer = |node: u32, out: &mut Vec<Cell>| match last {
            None => out.push(nodes.cell(node)),
            Some((arcs, reached)) => {
                let ends = arcs.of(node as usize).iter();
                out.extend(ends.filter(|end| answered.insert(**end)).map(|end| reached.cell(*end)));
            }
        };
        let seeds = seeds.of(index).iter();
        let mut unpaid = Unpaid::since(out.len());
        match graph {
            Graph::Met => {
                let reached = last.as_ref().map_or(&*nodes, |(_, reached)| reached);
                for cells in reached.cells().chunks(BLOCK as usize) {
                    out.extend_from_slice(cells);
                    unpaid.pass(cells.len(), out.len(), meter)?;
                }
            }
            Graph::Nodes(arcs) => {
                met.clear(nodes.len());
                walk(arcs, seeds.copied(), met, stack, |node, n_arcs| {
                    answer(node, out);
                    unpaid.pass(1 + n_arcs, out.len(), meter)
                })?;
            }
            Graph::Components(components) => {
                met.clear(components.len());
                let seeds = seeds.map(|seed| components.of_node[*seed as usize]);
                walk(&components.arcs, seeds, met, stack, |component, n_arcs| {
                    let members = components.members(component);
                    members.iter().for_each(|node| answer(*node, out));
                    unpaid.pass(members.len() + n_arcs, out.len(), meter)
                })?;
            }
            Graph::Matrix(components, matrix) => {
                row.clear();
                row.resize(matrix.n_words, 0);
                for seed in seeds {
                    let other = matrix.row(components.of_node[*seed as usize]);
                    row.iter_mut().zip(other).for_each(|(word, other)| *word |= other);
                    unpaid.pass(1 + matrix.n_words / 16, out.len(), meter)?;
                }
                for (word, first) in row.iter().zip((0_u32..).step_by(64)) {
                    let mut word = *word;
                    while word != 0 {
                        let members = components.members(first + word.trailing_zeros());
                        members.iter().for_each(|node| answer(*node, out));
                        unpaid.pass(members.len(), out.len(), meter)?;
                        word &= word - 1;
                    }
                }
            }
        }
        unpaid.pay(out.len(), meter)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::intern::CellHash;
    use crate::limits::Budget;

    /// What each node of a graph reaches, by one of the ways to search it.
    fn reached(n_nodes: u32, pairs: &[(u32, u32)], with_matrix: bool) -> Vec<Vec<Cell>> {
        let mut meter = Meter::new(&Budget::unlimited());
        let mut nodes = Nodes::new(CellHash::default());
        for node in 0..n_nodes {
            nodes.number(Cell::from_narrow(node));
        }
        let arcs = Arcs::of_pairs(n_nodes as usize, pairs, &meter).unwrap();
        let components = Components::of(&arcs, n_nodes as usize, &mut meter).unwrap();
        let mut search = Search::new(arcs, nodes, Graph::Components(components), None);
        if with_matrix {
            search.prepare_for(n_nodes as usize, &mut meter).unwrap();
            assert!(matches!(search.graph, Graph::Matrix(..)), "a chain is less work as a matrix");
        }
        let reach = |node: u32| {
            let mut out = Vec::new();
            search.reach(node as usize, &mut out, &mut meter).unwrap();
            out.sort_unstable();
            out
        };
        (0..n_nodes).map(reach).collect()
    }

    #[test]
    fn a_matrix_tells_what_walks_find() {
        // A long chain with shortcuts, and cycles here and there.
        let n_nodes = 700;
        let mut pairs: Vec<(u32, u32)> = (1..n_nodes).map(|node| (node - 1, node)).collect();
        pairs.extend((0..n_nodes - 90).step_by(7).map(|node| (node, node + 90)));
        pairs.extend((100..n_nodes).step_by(150).map(|node| (node, node - 20)));
        let found = reached(n_nodes, &pairs, true);
        assert_eq!(found, reached(n_nodes, &pairs, false));
        assert_eq!(found[0].len(), 699, "all but itself");
        assert_eq!(found[90].len(), 620, "itself too, on a cycle");
    }
}

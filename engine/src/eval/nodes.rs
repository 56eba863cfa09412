//! Numbering the nodes of a graph as they are met: cells ↔ dense numbers from 0.
//!
//! Small graphs are numbered by hashing, so that a search costs what it visits. Once a fair part of
//! the entities has been met, a plain vector by entity symbol takes over, because a search over a
//! whole attribute would spend its time hashing. Numbers never change.

use crate::intern::{Cell, CellHash, CellMap};

/// How many slots by symbol are allowed for each node met.
const SLOTS_PER_NODE: usize = 8;
/// Below so many nodes hashing is used.
const HASHED_MAX: usize = 1_024;
const NONE: u32 = u32::MAX;

/// The nodes of one graph.
#[derive(Debug)]
pub(super) struct Nodes {
    cells: Vec<Cell>,
    /// Numbers of references by symbol; those with symbols beyond it, and all other cells, are
    /// hashed.
    by_symbol: Vec<u32>,
    hashed: CellMap<u32>,
    /// One more than the greatest symbol met.
    n_symbols: usize,
    /// When to look again whether hashing is still right.
    n_nodes_checked: usize,
}

impl Nodes {
    /// None yet.
    pub(super) fn new(hash: CellHash) -> Nodes {
        Nodes {
            cells: Vec::new(),
            by_symbol: Vec::new(),
            hashed: CellMap::with_hasher(hash),
            n_symbols: 0,
            n_nodes_checked: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    pub(super) fn cell(&self, node: u32) -> Cell {
        self.cells[node as usize]
    }

    /// The bytes it holds.
    pub(super) fn n_bytes(&self) -> u64 {
        let hashed = self.hashed.len() * (size_of::<(Cell, u32)>() + 1);
        (self.cells.len() * size_of::<Cell>() + self.by_symbol.len() * 4 + hashed) as u64
    }

    #[inline]
    fn slot(&self, cell: Cell) -> Option<usize> {
        cell.narrow().map(|symbol| symbol as usize).filter(|symbol| *symbol < self.by_symbol.len())
    }

    /// The number of a node, given to it now if it is new.
    #[inline]
    pub(super) fn number(&mut self, cell: Cell) -> u32 {
        let next = self.cells.len() as u32;
        if let Some(slot) = self.slot(cell) {
            let node = &mut self.by_symbol[slot];
            if *node == NONE {
                *node = next;
                self.push(cell);
                return next;
            }
            return *node;
        }
        self.number_hashed(cell, next)
    }

    #[inline(never)]
    fn number_hashed(&mut self, cell: Cell, next: u32) -> u32 {
        if let Some(node) = self.hashed.get(&cell) {
            return *node;
        }
        self.hashed.insert(cell, next);
        if let Some(symbol) = cell.narrow() {
            self.n_symbols = self.n_symbols.max(symbol as usize + 1);
        }
        self.push(cell);
        self.consider_symbols();
        next
    }

    fn push(&mut self, cell: Cell) {
        assert!(self.cells.len() < NONE as usize, "fewer than 2^32 nodes fit memory");
        self.cells.push(cell);
    }

    /// Goes over to numbering by symbol when there are nodes enough.
    fn consider_symbols(&mut self) {
        let n_nodes = self.cells.len();
        let is_due = n_nodes >= HASHED_MAX && n_nodes >= 2 * self.n_nodes_checked;
        if !is_due {
            return;
        }
        self.n_nodes_checked = n_nodes;
        // Half as many again, so that symbols a little beyond are slots as well. Few symbols far
        // away stay hashed.
        let n_slots = (self.n_symbols + self.n_symbols / 2).min(n_nodes * SLOTS_PER_NODE);
        if n_slots <= self.by_symbol.len() {
            return;
        }
        let n_slots_before = self.by_symbol.len();
        self.by_symbol.resize(n_slots, NONE);
        for (cell, node) in self.cells.iter().zip(0..) {
            let symbol = cell.narrow().map_or(0, |symbol| symbol as usize);
            if cell.is_ref() && (n_slots_before..n_slots).contains(&symbol) {
                self.by_symbol[symbol] = node;
                self.hashed.remove(cell);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_when_hashing_gives_way_to_symbols() {
        let mut nodes = Nodes::new(CellHash::default());
        // Dense symbols, a few far away, and cells that are no references.
        let cells: Vec<Cell> = (0..5_000_u32)
            .flat_map(|i| {
                let far = (i % 100 == 7).then(|| Cell::from_narrow(4_000_000_000 - i));
                let scratch = (i % 50 == 3).then(|| Cell::scratch(i));
                [Some(Cell::from_narrow(i * 3)), far, scratch].into_iter().flatten()
            })
            .collect();
        for (cell, node) in cells.iter().zip(0..) {
            assert_eq!(nodes.number(*cell), node);
            assert_eq!(nodes.number(*cell), node);
        }
        assert_eq!(nodes.cells(), cells);
        assert!(cells.iter().zip(0..).all(|(cell, node)| nodes.number(*cell) == node));
        assert!(!nodes.by_symbol.is_empty() && !nodes.hashed.is_empty(), "both are in use");
    }
}

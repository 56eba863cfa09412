//! All that is reached from one node, met a level at a time.
//!
//! A search from one node needs no graph in memory: what it has met is the answer. Nodes of a level
//! are sorted, so that a cursor goes through the store's index in one direction and a wide level
//! costs about as much as a merge. What has been met is a bitmap by entity symbol, which takes a
//! bit for each entity of the dictionary up to the greatest one met; few nodes are looked through
//! instead.
//!
//! Levels of few nodes cost a search of the index for each of them, so long chains are given up
//! when reading the whole attribute would have cost less: see `closure`.

use super::Evaluator;
use super::arcs::{Toll, Way, Ways, result};
use super::reads::Key;
use crate::error::QueryError;
use crate::intern::{Cell, CellSet};
use crate::store::Order;

/// Up to so many nodes are looked through.
const SCANNED_MAX: usize = 64;
/// In a level of fewer nodes each is searched for on its own.
const CURSOR_MIN: usize = 4;

/// The nodes that a search has met, each once.
#[derive(Debug, Default)]
struct Met {
    cells: Vec<Cell>,
    /// A bit for each entity symbol; of use once there are more than [`SCANNED_MAX`] cells.
    by_symbol: Vec<u64>,
    /// Cells that are no references, likewise.
    others: CellSet,
}

impl Met {
    #[inline]
    fn insert(&mut self, cell: Cell) {
        if self.cells.len() > SCANNED_MAX {
            if self.mark(cell) {
                self.cells.push(cell);
            }
        } else if !self.cells.contains(&cell) {
            self.cells.push(cell);
            if self.cells.len() > SCANNED_MAX {
                for index in 0..self.cells.len() {
                    self.mark(self.cells[index]);
                }
            }
        }
    }

    /// Whether the cell was not marked yet.
    #[inline]
    fn mark(&mut self, cell: Cell) -> bool {
        let Some(symbol) = cell.narrow() else { return self.others.insert(cell) };
        let (index, bit) = (symbol as usize / 64, 1 << (symbol % 64));
        if index >= self.by_symbol.len() {
            self.grow(index + 1);
        }
        let word = &mut self.by_symbol[index];
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Makes room for so many words. New memory comes zeroed, and is not touched before it is used.
    #[cold]
    fn grow(&mut self, n_words: usize) {
        let mut words = vec![0; n_words.max(2 * self.by_symbol.len())];
        words[..self.by_symbol.len()].copy_from_slice(&self.by_symbol);
        self.by_symbol = words;
    }

    fn n_bytes(&self) -> u64 {
        let n_words = self.cells.len() + self.by_symbol.len() + 2 * self.others.len();
        (n_words * size_of::<u64>()) as u64
    }
}

impl Evaluator<'_> {
    /// What the ways lead to from one node, by a `first` hop and any number of steps; none if that
    /// takes more than so many levels.
    pub(super) fn meet(
        &mut self,
        first: &Ways,
        step: &Ways,
        source: Cell,
        n_levels_max: u64,
    ) -> Result<Option<Vec<Cell>>, QueryError> {
        let others = CellSet::with_hasher(self.cell_hash());
        let mut met = Met { others, ..Met::default() };
        let (mut ways, mut level, mut n_levels) = (first, vec![source], 0);
        while !level.is_empty() {
            if n_levels == n_levels_max {
                return Ok(None);
            }
            let n_before = met.cells.len();
            for way in ways.all() {
                self.meet_level(*way, &level, &mut met)?;
            }
            self.meter.room_for(met.n_bytes())?;
            level.clear();
            level.extend_from_slice(&met.cells[n_before..]);
            level.sort_unstable();
            (ways, n_levels) = (step, n_levels + 1);
        }
        Ok(Some(met.cells))
    }

    /// Meets what one way leads to from the nodes of a level, which are sorted.
    fn meet_level(&mut self, way: Way, level: &[Cell], met: &mut Met) -> Result<(), QueryError> {
        let snapshot = self.snapshot;
        let (id, order) = match way {
            Way::Values(id) => (id, Order::ByEntity),
            Way::Entities(id) => (id, Order::ByValue),
            Way::Answers { .. } => unreachable!("rules are asked by `follow`"),
        };
        if self.reads.is_some() {
            let key = if order == Order::ByEntity { Key::Entity } else { Key::Value };
            level.iter().for_each(|cell| self.record(id, key(*cell)));
        }
        // References alone: the order of other values may have to be built for it.
        let mut cursor = (level.len() >= CURSOR_MIN).then(|| snapshot.cursor_of_refs(id, order));
        let mut toll = Toll { meter: &mut self.meter, n_unpaid: 0 };
        for cell in level {
            let mut flow = toll.pass(|| met.n_bytes());
            if flow.is_continue() {
                let take = |to: Cell| {
                    met.insert(to);
                    toll.pass(|| met.n_bytes())
                };
                flow = match (&mut cursor, order) {
                    (Some(cursor), _) if cell.is_ref() => cursor.for_each_second(*cell, take),
                    (_, Order::ByEntity) => snapshot.for_each_value(id, *cell, take),
                    (_, Order::ByValue) => snapshot.for_each_entity(id, *cell, take),
                };
            }
            result(flow)?;
        }
        let n_unpaid = toll.n_unpaid;
        self.meter.read_facts(n_unpaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_twice_counts_once() {
        let mut met = Met::default();
        let refs = (0..500_u32).map(|symbol| Cell::from_narrow(symbol * 37));
        let cells: Vec<Cell> = refs.chain((0..90).map(Cell::scratch)).collect();
        for cell in cells.iter().chain(&cells) {
            met.insert(*cell);
        }
        assert_eq!(met.cells, cells);
    }
}

//! A kept relation: derived tuples with a rank each, and on which sides of a step they are there.
//!
//! Between steps every tuple is there on both sides. During one, a tuple that is new is there after
//! only, one that is gone (or doubted and not yet derived again) before only. Whatever a step
//! changes is noted, so that it can be settled, or taken back as if it had not begun.

use std::ops::ControlFlow;

use crate::intern::{Cell, CellHash};
use crate::live::join::Side;
use crate::live::relation::{Relation, RowIndex};

/// It is there before the step.
const BEFORE: u8 = 1;
/// It is there after the step.
const AFTER: u8 = 2;
/// It is noted among what the step touched.
const TOUCHED: u8 = 4;
/// Whether it is still supported was asked for.
const DOUBTED: u8 = 8;

fn bit(side: Side) -> u8 {
    match side {
        Side::Before => BEFORE,
        Side::After => AFTER,
    }
}

/// The tuples of a relation.
pub(in crate::live) struct Derived {
    relation: Relation,
    /// By the place of a tuple.
    marks: Vec<Mark>,
    /// What the step changed: the place, and its rank before.
    touched: Vec<(RowIndex, u32)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    rank: u32,
    /// How many callers ask for it: it needs no other support while there are any.
    n_given: u32,
    state: u8,
}

impl Derived {
    pub(super) fn new(width: usize, hash: CellHash) -> Derived {
        let mut relation = Relation::new(width, hash);
        // Index 0 is by the whole tuple.
        relation.index_by(&(0..width as u8).collect::<Vec<u8>>());
        Derived { relation, marks: Vec::new(), touched: Vec::new() }
    }

    pub(in crate::live) fn len(&self) -> usize {
        self.relation.len()
    }

    pub(super) fn width(&self) -> usize {
        self.relation.width()
    }

    pub(in crate::live) fn row(&self, row: RowIndex) -> &[Cell] {
        self.relation.row(row)
    }

    pub(in crate::live) fn rank(&self, row: RowIndex) -> u32 {
        self.marks[row as usize].rank
    }

    pub(in crate::live) fn is_there(&self, row: RowIndex, at: Side) -> bool {
        self.marks[row as usize].state & bit(at) != 0
    }

    /// It is there on both sides, and nothing is left of a step.
    pub(super) fn is_settled(&self, row: RowIndex) -> bool {
        self.marks[row as usize].state == BEFORE | AFTER && self.touched.is_empty()
    }

    pub(super) fn is_given(&self, row: RowIndex) -> bool {
        self.marks[row as usize].n_given > 0
    }

    /// Every place that holds a tuple, whatever its side.
    pub(in crate::live) fn rows(&self) -> impl Iterator<Item = RowIndex> {
        self.relation.rows()
    }

    /// The place of a tuple, whatever its side.
    pub(super) fn find_tuple(&self, cells: &[Cell]) -> Option<RowIndex> {
        self.relation.first(0, cells)
    }

    /// Hands over the tuples that have these cells in the columns of an index.
    pub(in crate::live) fn find<Break>(
        &self,
        index: usize,
        key: &[Cell],
        take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        self.relation.find(index, key, take)
    }

    pub(super) fn index_by(&mut self, columns: &[u8]) -> usize {
        self.relation.index_by(columns)
    }

    pub(super) fn rows_each(&self, columns: &[u8]) -> f64 {
        self.relation.rows_each(columns)
    }

    /// The place of a tuple; if it is new, it is there on neither side.
    pub(super) fn place(&mut self, cells: &[Cell]) -> RowIndex {
        if let Some(row) = self.find_tuple(cells) {
            return row;
        }
        let row = self.relation.insert(cells);
        self.marks.resize(self.relation.n_places(), Mark::default());
        self.marks[row as usize] = Mark::default();
        self.touch(row);
        row
    }

    fn touch(&mut self, row: RowIndex) {
        let mark = &mut self.marks[row as usize];
        if mark.state & TOUCHED == 0 {
            mark.state |= TOUCHED;
            self.touched.push((row, mark.rank));
        }
    }

    /// One caller more asks for a tuple; true if it is the first.
    pub(super) fn give(&mut self, row: RowIndex) -> bool {
        let mark = &mut self.marks[row as usize];
        mark.n_given += 1;
        mark.n_given == 1
    }

    /// One caller fewer; true if it was the last.
    pub(super) fn take_back(&mut self, row: RowIndex) -> bool {
        let mark = &mut self.marks[row as usize];
        mark.n_given -= 1;
        mark.n_given == 0
    }

    /// Notes that a tuple's support was asked for; false if it had been, or is not there after.
    pub(super) fn doubt(&mut self, row: RowIndex) -> bool {
        let is_news = self.marks[row as usize].state & (DOUBTED | AFTER) == AFTER;
        if is_news {
            self.touch(row);
            self.marks[row as usize].state |= DOUBTED;
        }
        is_news
    }

    /// It is not there after, unless it is derived again.
    pub(super) fn suspend(&mut self, row: RowIndex) {
        self.touch(row);
        self.marks[row as usize].state &= !AFTER;
    }

    /// It is there after, by a derivation that gives it this rank; false if it was. The lower rank
    /// of two is kept.
    pub(super) fn accept(&mut self, row: RowIndex, rank: u32) -> bool {
        let mark = self.marks[row as usize];
        let is_news = mark.state & AFTER == 0;
        if is_news || rank < mark.rank {
            self.touch(row);
            let mark = &mut self.marks[row as usize];
            (mark.rank, mark.state) = (rank, mark.state | AFTER);
        }
        is_news
    }

    /// What came and went, with the side on which it is there.
    pub(super) fn changes(&self) -> impl Iterator<Item = (RowIndex, Side)> {
        self.touched.iter().filter_map(|(row, _)| {
            match self.marks[*row as usize].state & (BEFORE | AFTER) {
                BEFORE => Some((*row, Side::Before)),
                AFTER => Some((*row, Side::After)),
                _ => None,
            }
        })
    }

    /// Ends a step: what is there after is there.
    pub(super) fn settle(&mut self) {
        for (row, _) in std::mem::take(&mut self.touched) {
            let mark = &mut self.marks[row as usize];
            match mark.state & AFTER {
                0 => self.forget(row),
                _ => mark.state = BEFORE | AFTER,
            }
        }
    }

    /// Takes a step back.
    pub(super) fn undo(&mut self) {
        for (row, rank) in std::mem::take(&mut self.touched) {
            let mark = &mut self.marks[row as usize];
            match mark.state & BEFORE {
                0 => self.forget(row),
                _ => (mark.rank, mark.state) = (rank, BEFORE | AFTER),
            }
        }
    }

    fn forget(&mut self, row: RowIndex) {
        debug_assert!(!self.is_given(row), "what is given is there");
        self.relation.remove(row);
        if self.relation.len() == 0 {
            self.relation.clear();
            self.marks = Vec::new();
        }
    }

    /// Takes all tuples out; those that are given come back, there on neither side, and are handed
    /// over.
    pub(super) fn restart(&mut self) -> Vec<RowIndex> {
        let given = self.relation.rows().filter(|row| self.is_given(*row));
        let given: Vec<(Vec<Cell>, u32)> =
            given.map(|row| (self.row(row).to_vec(), self.marks[row as usize].n_given)).collect();
        self.relation.clear();
        (self.marks, self.touched) = (Vec::new(), Vec::new());
        let again = |(cells, n_given): (Vec<Cell>, u32)| {
            let row = self.place(&cells);
            self.marks[row as usize].n_given = n_given;
            row
        };
        given.into_iter().map(again).collect()
    }
}

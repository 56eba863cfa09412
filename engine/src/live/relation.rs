//! Rows of cells in memory, found by any set of their columns.
//!
//! Both kinds of rows that live queries keep are held like this: parameters, and what rules that
//! recurse derive. Hash indexes hold nothing but chains of row numbers, so that a row costs its
//! cells and a few words for each index; they are made when a plan first asks for them. Row
//! numbers are used again. What a row means, and who owns it, is left to those who keep them.
//!
//! Invariant: a chain links exactly the rows that agree in the columns of its index.

use std::ops::ControlFlow;

use hashbrown::HashTable;

use crate::intern::{Cell, CellHash};

/// No row.
const NONE: u32 = u32::MAX;

/// A row, by its place.
pub(super) type RowIndex = u32;

/// Rows of one width.
#[derive(Default)]
pub(super) struct Relation {
    table: Table,
    /// By place whether a row is there.
    is_used: Vec<bool>,
    free: Vec<RowIndex>,
    n_rows: usize,
    indexes: Vec<Index>,
}

/// The cells of rows.
#[derive(Default)]
struct Table {
    width: usize,
    /// `width` for each row.
    cells: Vec<Cell>,
    hash: CellHash,
}

impl Table {
    fn row(&self, row: RowIndex) -> &[Cell] {
        let start = row as usize * self.width;
        &self.cells[start..start + self.width]
    }
}

/// Rows by some of their columns.
struct Index {
    columns: Vec<u8>,
    /// The first row of each chain.
    heads: HashTable<RowIndex>,
    /// For each row the ones before and behind it in its chain.
    links: Vec<[RowIndex; 2]>,
}

impl Index {
    fn key<'t>(&'t self, table: &'t Table, row: RowIndex) -> impl Iterator<Item = Cell> {
        let cells = table.row(row);
        self.columns.iter().map(|column| cells[*column as usize])
    }

    /// Makes a row the first of its chain.
    fn link(&mut self, table: &Table, row: RowIndex) {
        if self.links.len() <= row as usize {
            self.links.resize(row as usize + 1, [NONE; 2]);
        }
        let mut heads = std::mem::take(&mut self.heads);
        let is_alike = |head: &RowIndex| self.key(table, *head).eq(self.key(table, row));
        let hash_of = |row: RowIndex| table.hash.of(self.key(table, row));
        let hash = hash_of(row);
        let next = match heads.find_mut(hash, is_alike) {
            Some(head) => std::mem::replace(head, row),
            None => {
                heads.insert_unique(hash, row, |row| hash_of(*row));
                NONE
            }
        };
        self.heads = heads;
        self.links[row as usize] = [NONE, next];
        if next != NONE {
            self.links[next as usize][0] = row;
        }
    }

    /// Takes a row out of its chain.
    fn unlink(&mut self, table: &Table, row: RowIndex) {
        let [before, behind] = self.links[row as usize];
        if behind != NONE {
            self.links[behind as usize][0] = before;
        }
        if before != NONE {
            self.links[before as usize][1] = behind;
            return;
        }
        let hash = table.hash.of(self.key(table, row));
        let head = self.heads.find_entry(hash, |head| *head == row);
        let mut head = head.expect("every chain has a head");
        if behind == NONE {
            head.remove();
        } else {
            *head.get_mut() = behind;
        }
    }
}

impl Relation {
    pub(super) fn new(width: usize, hash: CellHash) -> Relation {
        Relation { table: Table { width, cells: Vec::new(), hash }, ..Relation::default() }
    }

    pub(super) fn width(&self) -> usize {
        self.table.width
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.n_rows
    }

    /// One more than the greatest place that a row ever had.
    pub(super) fn n_places(&self) -> usize {
        self.is_used.len()
    }

    pub(super) fn row(&self, row: RowIndex) -> &[Cell] {
        self.table.row(row)
    }

    /// The rows that are there.
    pub(super) fn rows(&self) -> impl Iterator<Item = RowIndex> {
        let used = (0..).zip(&self.is_used).filter(|(_, is_used)| **is_used);
        used.map(|(row, _)| row)
    }

    /// Adds a row, whether or not there is an equal one.
    pub(super) fn insert(&mut self, cells: &[Cell]) -> RowIndex {
        let Table { width, cells: all, .. } = &mut self.table;
        let row = self.free.pop().unwrap_or_else(|| {
            self.is_used.push(false);
            all.resize(all.len() + *width, Cell::MIN);
            self.is_used.len() as u32 - 1
        });
        let start = row as usize * *width;
        all[start..start + *width].copy_from_slice(cells);
        self.is_used[row as usize] = true;
        self.n_rows += 1;
        for index in &mut self.indexes {
            index.link(&self.table, row);
        }
        row
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, row: RowIndex) {
        for index in &mut self.indexes {
            index.unlink(&self.table, row);
        }
        self.is_used[row as usize] = false;
        self.free.push(row);
        self.n_rows -= 1;
    }

    /// Takes all rows out, and gives their memory back.
    pub(super) fn clear(&mut self) {
        let indexes = std::mem::take(&mut self.indexes);
        *self = Relation::new(self.table.width, self.table.hash);
        let empty = |index: Index| Index {
            columns: index.columns,
            heads: HashTable::new(),
            links: Vec::new(),
        };
        self.indexes = indexes.into_iter().map(empty).collect();
    }

    /// The index by these columns, made if there is none yet.
    pub(super) fn index_by(&mut self, columns: &[u8]) -> usize {
        if let Some(found) = self.indexes.iter().position(|index| index.columns == columns) {
            return found;
        }
        let links = Vec::with_capacity(self.n_places());
        let heads = HashTable::with_capacity(self.n_rows);
        let mut index = Index { columns: columns.to_vec(), heads, links };
        for row in self.rows() {
            index.link(&self.table, row);
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    /// The first row that has these cells in the columns of an index.
    #[inline]
    pub(super) fn first(&self, index: usize, key: &[Cell]) -> Option<RowIndex> {
        let index = &self.indexes[index];
        let is_alike = |head: &RowIndex| {
            let row = self.row(*head);
            index.columns.iter().zip(key).all(|(column, cell)| row[*column as usize] == *cell)
        };
        index.heads.find(self.table.hash.of(key.iter().copied()), is_alike).copied()
    }

    /// Hands over the rows that have these cells in the columns of an index.
    #[inline]
    pub(super) fn find<Break>(
        &self,
        index: usize,
        key: &[Cell],
        mut take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let mut next = self.first(index, key);
        let links = &self.indexes[index].links;
        while let Some(row) = next.filter(|row| *row != NONE) {
            next = Some(links[row as usize][1]);
            take(row)?;
        }
        ControlFlow::Continue(())
    }

    /// How many rows there are for each different value of these columns, by a sample.
    pub(super) fn rows_each(&self, columns: &[u8]) -> f64 {
        const SAMPLE: usize = 512;
        if columns.is_empty() || self.n_rows == 0 {
            return self.n_rows as f64;
        }
        let n_all = self.n_places();
        let stride = n_all.div_ceil(SAMPLE);
        let live = (0..n_all).step_by(stride).filter(|row| self.is_used[*row]);
        let mut keys: Vec<Vec<Cell>> = live
            .map(|row| columns.iter().map(|c| self.row(row as u32)[*c as usize]).collect())
            .collect();
        let n_sampled = keys.len().max(1);
        keys.sort_unstable();
        keys.dedup();
        // Where hardly a sampled value repeats, values are taken to be as many as the rows.
        if keys.len() * 2 > n_sampled {
            return n_sampled as f64 / keys.len() as f64;
        }
        self.n_rows as f64 / keys.len() as f64
    }
}

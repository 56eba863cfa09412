//! The parameter relation of a shape: one more relation of its delta plans.
//!
//! Each row is one binding of the shape's parameters, and belongs to one instance; an instance has
//! several rows where an input is a collection or a relation. Rows are found by any set of their
//! columns through hash indexes that hold nothing but chains of row numbers, so that an idle
//! subscription costs its cells and a few words; columns that are compared get an ordered index.
//! Indexes are made when a plan first asks for them.
//!
//! Invariant: a chain links exactly the rows that agree in the columns of its index.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::ControlFlow;

use hashbrown::HashTable;

use super::intervals::Intervals;
use crate::intern::{Cell, Dictionary};
use crate::value::Value;

/// No row.
const NONE: u32 = u32::MAX;

/// A row of parameters.
pub(super) type RowIndex = u32;

/// The rows of all instances of one shape.
#[derive(Default)]
pub(super) struct Params {
    table: Table,
    /// The instance of each row, by its place; `NONE` where the row is free.
    owners: Vec<u32>,
    free: Vec<RowIndex>,
    n_rows: usize,
    indexes: Vec<Index>,
    orders: Vec<ColumnOrder>,
    intervals: Vec<ColumnIntervals>,
}

/// The cells of rows.
#[derive(Default)]
struct Table {
    width: usize,
    /// `width` for each row.
    cells: Vec<Cell>,
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

/// Rows by the value of one column.
struct ColumnOrder {
    column: u8,
    rows: BTreeSet<(Value, RowIndex)>,
}

/// Rows by the interval between two columns.
struct ColumnIntervals {
    columns: [u8; 2],
    rows: Intervals,
}

fn hash(cells: impl Iterator<Item = Cell>) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for cell in cells {
        // Many parameters differ in few bits; what attackers choose is hashed once more below.
        state = (state.rotate_left(5) ^ cell.0).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    BuildHasherDefault::<DefaultHasher>::default().hash_one(state)
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
        let hash_of = |row: RowIndex| hash(self.key(table, row));
        let next = match heads.find_mut(hash_of(row), is_alike) {
            Some(head) => std::mem::replace(head, row),
            None => {
                heads.insert_unique(hash_of(row), row, |row| hash_of(*row));
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
        let hash = hash(self.key(table, row));
        let head = self.heads.find_entry(hash, |head| *head == row);
        let mut head = head.expect("every chain has a head");
        if behind == NONE {
            head.remove();
        } else {
            *head.get_mut() = behind;
        }
    }
}

impl Params {
    pub(super) fn new(width: usize) -> Params {
        Params { table: Table { width, cells: Vec::new() }, ..Params::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.n_rows
    }

    pub(super) fn row(&self, row: RowIndex) -> &[Cell] {
        self.table.row(row)
    }

    pub(super) fn owner(&self, row: RowIndex) -> u32 {
        self.owners[row as usize]
    }

    /// The rows that are there.
    fn rows(&self) -> impl Iterator<Item = RowIndex> + use<> {
        let owned = (0..).zip(&self.owners).filter(|(_, owner)| **owner != NONE);
        owned.map(|(row, _)| row).collect::<Vec<RowIndex>>().into_iter()
    }

    /// Adds a row of an instance.
    pub(super) fn insert(
        &mut self,
        cells: &[Cell],
        owner: u32,
        dictionary: &Dictionary,
    ) -> RowIndex {
        let Table { width, cells: all } = &mut self.table;
        let row = self.free.pop().unwrap_or_else(|| {
            self.owners.push(NONE);
            all.resize(all.len() + *width, Cell::MIN);
            self.owners.len() as u32 - 1
        });
        let start = row as usize * *width;
        all[start..start + *width].copy_from_slice(cells);
        self.owners[row as usize] = owner;
        self.n_rows += 1;
        for index in &mut self.indexes {
            index.link(&self.table, row);
        }
        for order in &mut self.orders {
            order.rows.insert((dictionary.value(cells[order.column as usize]), row));
        }
        for ColumnIntervals { columns, rows } in &mut self.intervals {
            let [from, until] = columns.map(|column| dictionary.value(cells[column as usize]));
            rows.insert(from, until, row);
        }
        row
    }

    /// Takes a row out.
    pub(super) fn remove(&mut self, row: RowIndex, dictionary: &Dictionary) {
        for index in &mut self.indexes {
            index.unlink(&self.table, row);
        }
        for order in &mut self.orders {
            let value = dictionary.value(self.table.row(row)[order.column as usize]);
            order.rows.remove(&(value, row));
        }
        for ColumnIntervals { columns: [from, _], rows } in &mut self.intervals {
            rows.remove(&dictionary.value(self.table.row(row)[*from as usize]), row);
        }
        self.owners[row as usize] = NONE;
        self.free.push(row);
        self.n_rows -= 1;
    }

    /// The index by these columns, made if there is none yet.
    pub(super) fn index_by(&mut self, columns: &[u8]) -> usize {
        if let Some(found) = self.indexes.iter().position(|index| index.columns == columns) {
            return found;
        }
        let links = Vec::with_capacity(self.owners.len());
        let heads = HashTable::with_capacity(self.n_rows);
        let mut index = Index { columns: columns.to_vec(), heads, links };
        for row in self.rows() {
            index.link(&self.table, row);
        }
        self.indexes.push(index);
        self.indexes.len() - 1
    }

    /// The order of a column, made if there is none yet.
    pub(super) fn order_by(&mut self, column: u8, dictionary: &Dictionary) -> usize {
        if let Some(found) = self.orders.iter().position(|order| order.column == column) {
            return found;
        }
        let value = |row: RowIndex| dictionary.value(self.row(row)[column as usize]);
        let rows = self.rows().map(|row| (value(row), row)).collect();
        self.orders.push(ColumnOrder { column, rows });
        self.orders.len() - 1
    }

    /// The intervals between two columns, made if there are none yet.
    pub(super) fn intervals_of(&mut self, columns: [u8; 2], dictionary: &Dictionary) -> usize {
        if let Some(found) = self.intervals.iter().position(|it| it.columns == columns) {
            return found;
        }
        let mut rows = Intervals::default();
        for row in self.rows() {
            let value = |column: u8| dictionary.value(self.row(row)[column as usize]);
            rows.insert(value(columns[0]), value(columns[1]), row);
        }
        self.intervals.push(ColumnIntervals { columns, rows });
        self.intervals.len() - 1
    }

    /// Hands over the rows whose interval holds a value, and perhaps some that end at it.
    pub(super) fn find_holding<Break>(
        &self,
        intervals: usize,
        value: &Value,
        take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        self.intervals[intervals].rows.holding(value, take)
    }

    /// Hands over the rows that have these cells in the columns of an index.
    #[inline]
    pub(super) fn find<Break>(
        &self,
        index: usize,
        key: &[Cell],
        mut take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let index = &self.indexes[index];
        let is_alike = |head: &RowIndex| {
            let row = self.row(*head);
            index.columns.iter().zip(key).all(|(column, cell)| row[*column as usize] == *cell)
        };
        let mut next = index.heads.find(hash(key.iter().copied()), is_alike).copied();
        while let Some(row) = next.filter(|row| *row != NONE) {
            next = Some(index.links[row as usize][1]);
            take(row)?;
        }
        ControlFlow::Continue(())
    }

    /// Hands over the rows whose value in an ordered column is above (or below) a value of the
    /// same type, or equal to it where that is asked for.
    pub(super) fn find_beyond<Break>(
        &self,
        order: usize,
        value: &Value,
        is_above: bool,
        or_equal: bool,
        mut take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let rows = &self.orders[order].rows;
        let of_type = |found: &Value| found.value_type() == value.value_type();
        if is_above {
            let from = (value.clone(), if or_equal { 0 } else { NONE });
            for (_, row) in rows.range(from..).take_while(|(found, _)| of_type(found)) {
                take(*row)?;
            }
        } else {
            let until = (value.clone(), if or_equal { NONE } else { 0 });
            for (_, row) in rows.range(..until).rev().take_while(|(found, _)| of_type(found)) {
                take(*row)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Hands over all rows.
    pub(super) fn all<Break>(
        &self,
        mut take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        for (row, owner) in (0..).zip(&self.owners) {
            if *owner != NONE {
                take(row)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// How many rows there are for each different value of these columns, by a sample.
    pub(super) fn rows_each(&self, columns: &[u8]) -> f64 {
        const SAMPLE: usize = 512;
        if columns.is_empty() || self.n_rows == 0 {
            return self.n_rows as f64;
        }
        let n_all = self.owners.len();
        let stride = n_all.div_ceil(SAMPLE);
        let live = (0..n_all).step_by(stride).filter(|row| self.owners[*row] != NONE);
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

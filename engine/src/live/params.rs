//! The parameter relation of a shape: one more relation of its delta plans.
//!
//! Each row is one binding of the shape's parameters, and belongs to one instance; an instance has
//! several rows where an input is a collection or a relation. Rows are found by any set of their
//! columns, and columns that are compared get an ordered index when a plan first asks for one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::intervals::Intervals;
use super::relation::Relation;
pub(super) use super::relation::RowIndex;
use crate::intern::{Cell, CellHash, Dictionary};
use crate::value::Value;

/// No instance.
const NONE: u32 = u32::MAX;

/// The rows of all instances of one shape.
#[derive(Default)]
pub(super) struct Params {
    relation: Relation,
    /// The instance of each row, by its place.
    owners: Vec<u32>,
    orders: Vec<ColumnOrder>,
    intervals: Vec<ColumnIntervals>,
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

impl Params {
    pub(super) fn new(width: usize, hash: CellHash) -> Params {
        Params { relation: Relation::new(width, hash), ..Params::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.relation.len()
    }

    pub(super) fn row(&self, row: RowIndex) -> &[Cell] {
        self.relation.row(row)
    }

    pub(super) fn owner(&self, row: RowIndex) -> u32 {
        self.owners[row as usize]
    }

    /// Adds a row of an instance.
    pub(super) fn insert(
        &mut self,
        cells: &[Cell],
        owner: u32,
        dictionary: &Dictionary,
    ) -> RowIndex {
        let row = self.relation.insert(cells);
        self.owners.resize(self.relation.n_places(), NONE);
        self.owners[row as usize] = owner;
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
        for order in &mut self.orders {
            let value = dictionary.value(self.relation.row(row)[order.column as usize]);
            order.rows.remove(&(value, row));
        }
        for ColumnIntervals { columns: [from, _], rows } in &mut self.intervals {
            rows.remove(&dictionary.value(self.relation.row(row)[*from as usize]), row);
        }
        self.relation.remove(row);
    }

    /// The index by these columns, made if there is none yet.
    pub(super) fn index_by(&mut self, columns: &[u8]) -> usize {
        self.relation.index_by(columns)
    }

    /// The order of a column, made if there is none yet.
    pub(super) fn order_by(&mut self, column: u8, dictionary: &Dictionary) -> usize {
        if let Some(found) = self.orders.iter().position(|order| order.column == column) {
            return found;
        }
        let value = |row: RowIndex| dictionary.value(self.row(row)[column as usize]);
        let rows = self.relation.rows().map(|row| (value(row), row)).collect();
        self.orders.push(ColumnOrder { column, rows });
        self.orders.len() - 1
    }

    /// The intervals between two columns, made if there are none yet.
    pub(super) fn intervals_of(&mut self, columns: [u8; 2], dictionary: &Dictionary) -> usize {
        if let Some(found) = self.intervals.iter().position(|it| it.columns == columns) {
            return found;
        }
        let mut rows = Intervals::default();
        for row in self.relation.rows() {
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
        take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        self.relation.find(index, key, take)
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
        take: impl FnMut(RowIndex) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        self.relation.rows().try_for_each(take)
    }

    /// How many rows there are for each different value of these columns, by a sample.
    pub(super) fn rows_each(&self, columns: &[u8]) -> f64 {
        self.relation.rows_each(columns)
    }
}

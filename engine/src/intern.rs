//! Values ↔ dense cells of 64 bits. Equality of cells is equality of values; evaluation joins on
//! cells and looks at the values only to order, compute and answer.
#![allow(unused, missing_docs, clippy::unimplemented)]
use std::cmp::Ordering;
use std::sync::Arc;

use crate::ids::EntityId;
use crate::value::Value;

/// A value as one machine word: small values inline, texts and large numbers by symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub(crate) u64);

/// The dictionary of one store and all its successors and snapshots: grows, never renumbers.
#[derive(Clone, Default)]
pub struct Dictionary {}

impl Dictionary {
    /// The cell of a value, made if it is new.
    pub fn intern(&self, value: &Value) -> Cell {
        unimplemented!()
    }
    /// The cell of a value, if it has one already.
    pub fn find(&self, value: &Value) -> Option<Cell> {
        unimplemented!()
    }
    /// The value of a cell.
    pub fn value(&self, cell: Cell) -> Value {
        unimplemented!()
    }
    /// The order of two cells' values.
    pub fn compare(&self, a: Cell, b: Cell) -> Ordering {
        unimplemented!()
    }
}

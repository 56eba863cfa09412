//! Cells for values that only this evaluation knows: results of functions, unknown constants.
//!
//! They are not put into the store's dictionary, so a hostile query cannot make it grow. Equality
//! of cells stays equality of values: a value keeps the first cell this evaluation gave it, even
//! if a writer adds it to the dictionary meanwhile, which is right because no fact of the snapshot
//! can hold a value that the dictionary did not have when the snapshot was taken. What they take is
//! counted, because a function in a recursion can make texts without end.

use std::cmp::Ordering;
use std::sync::Arc;

use super::meter::Meter;
use crate::error::QueryError;
use crate::intern::{Cell, CellHash, Dictionary, KeyedMap, Ranks};
use crate::value::Value;

/// What a value takes in both directions, besides its text.
const ENTRY_BYTES: u64 = (2 * size_of::<Value>() + size_of::<Cell>()) as u64;

/// The dictionary of a snapshot, and the values of one evaluation on top.
pub(crate) struct Scratch<'s> {
    dictionary: &'s Dictionary,
    values: Vec<Value>,
    cells: KeyedMap<Value, Cell>,
    n_bytes: u64,
}

impl<'s> Scratch<'s> {
    pub(crate) fn new(dictionary: &'s Dictionary) -> Scratch<'s> {
        let cells = KeyedMap::with_hasher(dictionary.cell_hash());
        Scratch { dictionary, values: Vec::new(), cells, n_bytes: 0 }
    }

    /// The cell of a value.
    pub(crate) fn cell(&mut self, value: &Value) -> Cell {
        if let Some(cell) = self.cells.get(value) {
            return *cell;
        }
        if let Some(cell) = self.dictionary.find(value) {
            return cell;
        }
        let index = u32::try_from(self.values.len()).expect("fewer than 2^32 values fit memory");
        let cell = Cell::scratch(index);
        self.values.push(value.clone());
        self.cells.insert(value.clone(), cell);
        self.n_bytes += ENTRY_BYTES + value.n_bytes() as u64;
        cell
    }

    /// How cells are hashed.
    pub(crate) fn cell_hash(&self) -> CellHash {
        self.dictionary.cell_hash()
    }

    /// What the values take that only this evaluation knows.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The value of a cell.
    pub(crate) fn value(&self, cell: Cell) -> Value {
        match cell.as_scratch() {
            Some(index) => self.values[index as usize].clone(),
            None => self.dictionary.value(cell),
        }
    }

    /// Integers to sort so many cells of the dictionary by, where that is cheaper than comparing
    /// their texts.
    pub(crate) fn ranks_for(
        &self,
        n_cells: usize,
        meter: &Meter,
    ) -> Result<Option<Arc<Ranks>>, QueryError> {
        self.dictionary.ranks_for(n_cells, &|| meter.check())
    }

    /// Whether a cell's value is a reference.
    pub(crate) fn is_ref(&self, cell: Cell) -> bool {
        match cell.as_scratch() {
            Some(index) => matches!(self.values[index as usize], Value::Ref(_)),
            None => cell.is_ref(),
        }
    }

    /// The order of the values of two cells.
    pub(crate) fn compare(&self, a: Cell, b: Cell) -> Ordering {
        if a == b {
            Ordering::Equal
        } else if a.as_scratch().is_none() && b.as_scratch().is_none() {
            self.dictionary.compare(a, b)
        } else {
            self.value(a).cmp(&self.value(b))
        }
    }
}

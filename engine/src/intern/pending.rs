//! Interning many values together.
//!
//! Who has many values puts them here first and gets their cells at once: the ways of many items
//! through the tables are gone side by side, which is several times as fast as one after the other
//! where the tables are larger than caches. Invariant: cells are those that interning one by one
//! in the same order would have given.

use std::sync::Arc;

use crate::ids::EntityId;
use crate::value::Value;

use super::{Cell, Dictionary, TAG_REF, TAG_STRING};

/// Values that have no cells yet. They are taken, not cloned.
#[derive(Default)]
pub(crate) struct Pending {
    entities: Vec<EntityId>,
    strings: Vec<Arc<str>>,
}

/// Where the cell of a value will be found.
#[derive(Clone, Copy)]
pub(crate) enum PendingCell {
    Known(Cell),
    Entity(usize),
    String(usize),
}

/// The cells of the values that were pending.
pub(crate) struct Interned {
    entities: Vec<u32>,
    strings: Vec<u32>,
}

impl Pending {
    /// Takes an entity; one that is equal to the last taken costs nothing more.
    pub(crate) fn entity(&mut self, entity: EntityId) -> PendingCell {
        if self.entities.last() != Some(&entity) {
            self.entities.push(entity);
        }
        PendingCell::Entity(self.entities.len() - 1)
    }

    /// Takes a value.
    pub(crate) fn value(&mut self, value: Value, dictionary: &Dictionary) -> PendingCell {
        match value {
            Value::Ref(entity) => self.entity(entity),
            Value::String(text) => {
                self.strings.push(text);
                PendingCell::String(self.strings.len() - 1)
            }
            Value::Boolean(_) | Value::Number(_) | Value::Date(_) => {
                PendingCell::Known(dictionary.intern(&value))
            }
        }
    }

    /// Gives all of them their cells; nothing is pending then.
    pub(crate) fn intern(&mut self, dictionary: &Dictionary) -> Interned {
        Interned {
            entities: dictionary.tables.entities.intern_all(&mut self.entities),
            strings: dictionary.tables.strings.intern_all(&mut self.strings),
        }
    }
}

impl Interned {
    /// The cell.
    pub(crate) fn cell(&self, pending: PendingCell) -> Cell {
        match pending {
            PendingCell::Known(cell) => cell,
            PendingCell::Entity(index) => Cell::symbol(TAG_REF, self.entities[index]),
            PendingCell::String(index) => Cell::symbol(TAG_STRING, self.strings[index]),
        }
    }
}

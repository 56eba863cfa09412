//! Fields that were just looked up.
//!
//! Shapes of one application begin their plans alike: from a task to its project, from a message to
//! its channel. What one of them found within a step, the others take from here. A field of an
//! attribute that the step did not change is the same on both sides.

use super::join::Side;
use crate::intern::Cell;
use crate::store::AttributeId;

/// How many fields are remembered.
const N_FIELDS: usize = 8;

/// A field with at most one value.
#[derive(Clone, Copy)]
struct Field {
    attribute: AttributeId,
    side: Side,
    entity: Cell,
    value: Option<Cell>,
}

/// The fields looked up last.
#[derive(Default)]
pub(super) struct Memo {
    fields: [Option<Field>; N_FIELDS],
    next: usize,
}

impl Memo {
    /// The value of a field that is remembered, if it has one.
    #[inline]
    pub(super) fn get(
        &self,
        attribute: AttributeId,
        side: Side,
        entity: Cell,
    ) -> Option<Option<Cell>> {
        let is_it = |field: &&Field| {
            (field.attribute, field.side, field.entity) == (attribute, side, entity)
        };
        self.fields.iter().flatten().find(is_it).map(|field| field.value)
    }

    /// Remembers a field instead of the one that was remembered first.
    pub(super) fn put(
        &mut self,
        attribute: AttributeId,
        side: Side,
        entity: Cell,
        value: Option<Cell>,
    ) {
        self.fields[self.next] = Some(Field { attribute, side, entity, value });
        self.next = (self.next + 1) % N_FIELDS;
    }
}

//! The attributes that live queries read, by numbers of their own.
//!
//! Ids of attributes are those of a store and its successors. A client folds its pending
//! transactions over two lines of stores in which one attribute may have two ids, so plans speak
//! of numbers, and each of the two states of a step says which ids they have in it.

use crate::ids::Attribute;
use crate::intern::FixedHashMap;
use crate::store::{AttributeId, KnownAttributes, Snapshot};

/// An attribute of the live queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AttributeNumber(pub(super) u32);

/// All attributes that were ever read.
#[derive(Default)]
pub(super) struct Attributes {
    numbers: FixedHashMap<Attribute, AttributeNumber>,
    attributes: Vec<Attribute>,
}

impl Attributes {
    pub(super) fn len(&self) -> usize {
        self.attributes.len()
    }

    pub(super) fn find(&self, attribute: &Attribute) -> Option<AttributeNumber> {
        self.numbers.get(attribute).copied()
    }

    pub(super) fn get(&self, number: AttributeNumber) -> &Attribute {
        &self.attributes[number.0 as usize]
    }

    /// The number of an attribute, which is known from now on.
    pub(super) fn number(&mut self, attribute: &Attribute) -> AttributeNumber {
        if let Some(number) = self.find(attribute) {
            return number;
        }
        let number = AttributeNumber(self.attributes.len() as u32);
        self.numbers.insert(attribute.clone(), number);
        self.attributes.push(attribute.clone());
        number
    }
}

/// The ids of attributes in one state of the store, by their numbers.
#[derive(Default)]
pub(super) struct Ids {
    of: KnownAttributes,
    pub(super) ids: Vec<Option<AttributeId>>,
}

impl Ids {
    /// Makes them those of a state.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, attributes: &Attributes) {
        if !snapshot.knows_the_same(&self.of) || self.ids.len() != attributes.len() {
            let ids = attributes.attributes.iter();
            self.ids = ids.map(|attribute| snapshot.find_attribute(attribute)).collect();
            self.of = snapshot.known_attributes();
        }
    }
}

//! Values ↔ dense cells of 64 bits: equality of cells is equality of values.
//!
//! It exists so that indexes and joins compare machine words and look at values only to order,
//! compute and answer. A cell is a tag of 4 bits over a payload of 60: booleans, dates and most
//! integers are the payload itself; strings, references, doubles and large integers are the
//! symbol of a table. Invariants: one value has one cell for the life of the dictionary; symbols
//! are dense from 0 and never renumbered; a scratch cell equals no dictionary cell. What the
//! values mean, and when one is no longer needed, is left out: the tables only grow.
//!
//! `symbols` is the table of one kind of item, `hash` what finds items in it, `cell_hash` what
//! finds cells anywhere else, `pending` interns
//! many values together, `ranks` is what sorts by the order of texts.

mod cell_hash;
mod hash;
mod pending;
mod ranks;
mod symbols;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicUsize};

use parking_lot::Mutex;

use crate::ids::EntityId;
use crate::value::{Date, Number, Value, ValueType};

pub use cell_hash::HashKey;
pub(crate) use cell_hash::{CellHash, CellMap, CellSet, KeyedMap, KeyedSet};
pub(crate) use pending::{Pending, PendingCell};
pub use ranks::Ranks;
use symbols::Symbols;

/// A hash map whose layout depends on its keys alone; as hard to flood as [`hash`] says.
pub(crate) type FixedHashMap<Key, Item> = HashMap<Key, Item, BuildHasherDefault<DefaultHasher>>;

const PAYLOAD_BITS: u32 = 60;
const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;
/// What is added to an inline integer or date so that payloads sort as the numbers do.
const OFFSET: i64 = 1 << (PAYLOAD_BITS - 1);

// Tags stand in the order of the value types, so that cells of one type are neighbors.
const TAG_BOOLEAN: u64 = 1;
const TAG_INT: u64 = 2;
const TAG_NUMBER: u64 = 3;
const TAG_DATE: u64 = 4;
const TAG_STRING: u64 = 5;
const TAG_REF: u64 = 6;
const TAG_SCRATCH: u64 = 14;

/// A value as one machine word: small values inline, texts and large numbers by symbol.
///
/// The order of cells is a fixed total order that makes them keys; it is not the order of the
/// values: see [`Dictionary::compare`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell(pub(crate) u64);

impl Cell {
    /// Below every cell.
    pub const MIN: Cell = Cell(0);
    /// Above every cell.
    pub const MAX: Cell = Cell(u64::MAX);

    fn new(tag: u64, payload: u64) -> Cell {
        debug_assert!(payload <= PAYLOAD_MASK, "a payload has 60 bits");
        Cell(tag << PAYLOAD_BITS | payload)
    }

    fn symbol(tag: u64, symbol: u32) -> Cell {
        Cell::new(tag, u64::from(symbol))
    }

    /// What kind of cell it is: cells with one tag are of one value type.
    pub(crate) fn tag(self) -> u64 {
        self.0 >> PAYLOAD_BITS
    }

    fn payload(self) -> u64 {
        self.0 & PAYLOAD_MASK
    }

    /// The signed number an inline integer or date holds.
    fn signed(self) -> i64 {
        self.payload() as i64 - OFFSET
    }

    /// The entity symbol of a reference: a dense 32-bit key, equal exactly when the cells are. None
    /// for cells of other types, whose numbers would be mistaken for entities.
    #[inline]
    pub fn narrow(self) -> Option<u32> {
        self.is_ref().then_some(self.0 as u32)
    }

    /// The reference whose [`Cell::narrow`] this is.
    #[inline]
    pub fn from_narrow(entity: u32) -> Cell {
        Cell::new(TAG_REF, u64::from(entity))
    }

    /// The upper and the lower half. Among cells with equal upper halves, as columns of one type
    /// mostly have, the lower halves are 32-bit keys that are equal and ordered as the cells are.
    #[inline]
    pub fn halves(self) -> (u32, u32) {
        ((self.0 >> 32) as u32, self.0 as u32)
    }

    /// The cell of two [`Cell::halves`].
    #[inline]
    pub fn from_halves(upper: u32, lower: u32) -> Cell {
        Cell(u64::from(upper) << 32 | u64::from(lower))
    }

    /// The least cell that refers: every reference is at or above it, every value below it.
    pub(crate) const REFS: Cell = Cell(TAG_REF << PAYLOAD_BITS);

    /// The cells of inline integers, in whose order they are, from the first up to, without, the
    /// second.
    pub(crate) const INTEGERS: (Cell, Cell) =
        (Cell(TAG_INT << PAYLOAD_BITS), Cell((TAG_INT + 1) << PAYLOAD_BITS));

    /// The cells of all values of a type, from the first up to, without, the second.
    pub(crate) fn of_type(value_type: ValueType) -> (Cell, Cell) {
        let (first, last) = match value_type {
            ValueType::Boolean => (TAG_BOOLEAN, TAG_BOOLEAN),
            ValueType::Number => (TAG_INT, TAG_NUMBER),
            ValueType::Date => (TAG_DATE, TAG_DATE),
            ValueType::String => (TAG_STRING, TAG_STRING),
            ValueType::Ref => (TAG_REF, TAG_REF),
        };
        (Cell(first << PAYLOAD_BITS), Cell((last + 1) << PAYLOAD_BITS))
    }

    /// Whether its order among the cells that say the same here is the order of the values.
    pub(crate) fn is_in_order(self) -> bool {
        matches!(self.tag(), TAG_BOOLEAN | TAG_INT | TAG_DATE)
    }

    /// The cell after this one in the order of cells: the end of a range of one key.
    pub(crate) fn after(self) -> Cell {
        Cell(self.0.checked_add(1).expect("no value has the last cell"))
    }

    /// A cell for a value that is in no dictionary: the evaluator's own table gives it a meaning.
    pub fn scratch(index: u32) -> Cell {
        Cell::new(TAG_SCRATCH, u64::from(index))
    }

    /// The index given to [`Cell::scratch`], if this is such a cell.
    pub fn as_scratch(self) -> Option<u32> {
        (self.tag() == TAG_SCRATCH).then(|| self.payload() as u32)
    }

    /// Whether it is a reference to an entity.
    pub fn is_ref(self) -> bool {
        self.tag() == TAG_REF
    }

    /// The type of its value; none for a scratch cell, which only its owner knows.
    pub fn value_type(self) -> Option<ValueType> {
        match self.tag() {
            TAG_BOOLEAN => Some(ValueType::Boolean),
            TAG_INT | TAG_NUMBER => Some(ValueType::Number),
            TAG_DATE => Some(ValueType::Date),
            TAG_STRING => Some(ValueType::String),
            TAG_REF => Some(ValueType::Ref),
            _ => None,
        }
    }

    /// The value of a cell that needs no table, if this is one. Cells of one tag that have such
    /// values are ordered as these.
    pub(crate) fn to_inline(self) -> Option<Value> {
        match self.tag() {
            TAG_BOOLEAN => Some(Value::Boolean(self.payload() != 0)),
            TAG_INT => Some(Value::int(self.signed())),
            TAG_DATE => {
                Some(Value::Date(Date::from_ms(self.signed()).expect("it was made of a date")))
            }
            _ => None,
        }
    }

    /// Where the cells of values lie that need a table. All others are ordered as their values.
    pub(crate) const SYMBOLS: [Range<Cell>; 2] = [
        Cell(TAG_NUMBER << PAYLOAD_BITS)..Cell(TAG_DATE << PAYLOAD_BITS),
        Cell(TAG_STRING << PAYLOAD_BITS)..Cell::MAX,
    ];

    /// The cell of a value that needs no table, if this is one.
    pub(crate) fn inline(value: &Value) -> Option<Cell> {
        match value {
            Value::Boolean(flag) => Some(Cell::new(TAG_BOOLEAN, u64::from(*flag))),
            Value::Date(date) => Some(Cell::new(TAG_DATE, (date.ms() + OFFSET) as u64)),
            Value::Number(number) => number
                .as_i64()
                .filter(|int| (-OFFSET..OFFSET).contains(int))
                .map(|int| Cell::new(TAG_INT, (int + OFFSET) as u64)),
            Value::String(_) | Value::Ref(_) => None,
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag() {
            TAG_BOOLEAN => write!(f, "bool:{}", self.payload()),
            TAG_INT => write!(f, "int:{}", self.signed()),
            TAG_NUMBER => write!(f, "number#{}", self.payload()),
            TAG_DATE => write!(f, "date:{}", self.signed()),
            TAG_STRING => write!(f, "string#{}", self.payload()),
            TAG_REF => write!(f, "ref#{}", self.payload()),
            TAG_SCRATCH => write!(f, "scratch#{}", self.payload()),
            tag => write!(f, "{tag}#{}", self.payload()),
        }
    }
}

#[derive(Default)]
struct Tables {
    strings: Symbols<Arc<str>>,
    entities: Symbols<EntityId>,
    numbers: Symbols<Number>,
    /// Those made last; locked only to take or replace them.
    ranks: Mutex<Arc<Ranks>>,
    /// Locked by whoever makes new ones.
    ranks_making: Mutex<()>,
    /// How many cells have been sorted without ranks since.
    n_sorted_without: AtomicUsize,
    /// How evaluations hash cells.
    cell_hash: CellHash,
}

impl Tables {
    fn n_texts(&self) -> usize {
        self.strings.len() + self.entities.len()
    }

    fn find(&self, value: &Value) -> Option<Cell> {
        match value {
            Value::String(text) => self.strings.find(text).map(|s| Cell::symbol(TAG_STRING, s)),
            Value::Ref(entity) => self.entities.find(entity).map(|s| Cell::symbol(TAG_REF, s)),
            Value::Number(number) => self.numbers.find(number).map(|s| Cell::symbol(TAG_NUMBER, s)),
            Value::Boolean(_) | Value::Date(_) => Cell::inline(value),
        }
    }

    fn intern(&self, value: &Value) -> Cell {
        match value {
            Value::String(text) => Cell::symbol(TAG_STRING, self.strings.intern(text)),
            Value::Ref(entity) => Cell::symbol(TAG_REF, self.entities.intern(entity)),
            Value::Number(number) => Cell::symbol(TAG_NUMBER, self.numbers.intern(number)),
            Value::Boolean(_) | Value::Date(_) => {
                Cell::inline(value).expect("booleans and dates are inline")
            }
        }
    }

    fn entity(&self, cell: Cell) -> &EntityId {
        self.entities.get(cell.payload() as u32)
    }

    fn string(&self, cell: Cell) -> &Arc<str> {
        self.strings.get(cell.payload() as u32)
    }

    fn number(&self, cell: Cell) -> Number {
        match cell.tag() {
            TAG_INT => Number::from(cell.signed()),
            _ => *self.numbers.get(cell.payload() as u32),
        }
    }

    fn value(&self, cell: Cell) -> Value {
        match cell.tag() {
            TAG_BOOLEAN => Value::Boolean(cell.payload() != 0),
            TAG_DATE => Value::Date(Date::from_ms(cell.signed()).expect("it was made of a date")),
            TAG_INT | TAG_NUMBER => Value::Number(self.number(cell)),
            TAG_STRING => Value::String(Arc::clone(self.string(cell))),
            TAG_REF => Value::Ref(self.entity(cell).clone()),
            _ => panic!("{cell:?} is no cell of a dictionary"),
        }
    }

    /// The order of two different cells of one value type.
    fn compare(&self, a: Cell, b: Cell) -> Ordering {
        match a.tag() {
            TAG_STRING => self.string(a).cmp(self.string(b)),
            TAG_REF => self.entity(a).cmp(self.entity(b)),
            _ => self.number(a).cmp(&self.number(b)),
        }
    }
}

/// The dictionary of one store and all its successors and snapshots: grows, never renumbers.
/// A clone is the same dictionary. Reading a cell takes no lock; finding and making one takes a
/// short one.
#[derive(Clone, Default)]
pub struct Dictionary {
    tables: Arc<Tables>,
}

impl Dictionary {
    /// An empty one whose cells are hashed under this key.
    pub(crate) fn with_hash_key(key: HashKey) -> Dictionary {
        let tables = Tables { cell_hash: CellHash::new(key), ..Tables::default() };
        Dictionary { tables: Arc::new(tables) }
    }

    /// How its cells are hashed.
    pub(crate) fn cell_hash(&self) -> CellHash {
        self.tables.cell_hash
    }

    /// The cell of a value, made if it is new.
    pub fn intern(&self, value: &Value) -> Cell {
        Cell::inline(value).unwrap_or_else(|| self.tables.intern(value))
    }

    /// The cell of a value, if it has one already.
    pub fn find(&self, value: &Value) -> Option<Cell> {
        Cell::inline(value).or_else(|| self.tables.find(value))
    }

    /// The cell of a reference to this entity, made if it is new.
    pub fn intern_entity(&self, entity: &EntityId) -> Cell {
        Cell::symbol(TAG_REF, self.tables.entities.intern(entity))
    }

    /// The cell of a reference to this entity, if it has one already.
    pub fn find_entity(&self, entity: &EntityId) -> Option<Cell> {
        self.tables.entities.find(entity).map(|symbol| Cell::symbol(TAG_REF, symbol))
    }

    /// The value of a cell.
    ///
    /// # Panics
    /// When the cell is none of this dictionary: a scratch cell, or one of another dictionary.
    pub fn value(&self, cell: Cell) -> Value {
        self.tables.value(cell)
    }

    /// Whether this is the same dictionary, so that its cells mean the same.
    pub(crate) fn is_same(&self, other: &Dictionary) -> bool {
        Arc::ptr_eq(&self.tables, &other.tables)
    }

    /// The dictionary as many look-ups want it: what it gives is borrowed, not counted.
    pub fn read(&self) -> Reader<'_> {
        Reader { tables: &self.tables }
    }

    /// The entity a cell refers to; none for cells of other types.
    ///
    /// # Panics
    /// When the cell is one of another dictionary.
    pub fn entity(&self, cell: Cell) -> Option<EntityId> {
        cell.is_ref().then(|| self.tables.entity(cell).clone())
    }

    /// The order of two cells' values, without making the values.
    ///
    /// # Panics
    /// When a cell is none of this dictionary.
    pub fn compare(&self, a: Cell, b: Cell) -> Ordering {
        self.read().compare(a, b)
    }

    /// Ranks of all texts there are, integers to sort cells by instead of texts, for who wants to
    /// sort so many cells. Made when first asked for, in O(n log n) of the whole dictionary, and
    /// again when it has grown.
    ///
    /// None when comparing the cells by texts is cheaper than making the ranks, even if those who
    /// came before are counted: so a small sort that is done again and again has ranks in the end,
    /// at a cost that is never more than about that of the sorts without. None also while somebody
    /// else makes them: nobody waits for another's work.
    ///
    /// # Errors
    /// What `check` gives, which is asked for each block of texts while ranks are made.
    pub(crate) fn ranks_for<Error>(
        &self,
        n_cells: usize,
        check: &impl Fn() -> Result<(), Error>,
    ) -> Result<Option<Arc<Ranks>>, Error> {
        /// So many cells must be sorted for each text that has no rank yet. A sort looks at each
        /// cell some ten times, the ranks' merge at each of all texts once.
        const TEXTS_A_CELL: usize = 4;
        let n_texts = self.tables.n_texts();
        let made = Arc::clone(&self.tables.ranks.lock());
        if n_texts > 0 && made.len() >= n_texts {
            return Ok(Some(made));
        }
        let n_sorted_without = &self.tables.n_sorted_without;
        let n_sorted = n_sorted_without.fetch_add(n_cells, atomic::Ordering::Relaxed);
        if n_texts / TEXTS_A_CELL >= n_sorted.saturating_add(n_cells) {
            return Ok(None);
        }
        let Some(_making) = self.tables.ranks_making.try_lock() else { return Ok(None) };
        // They may have been made between the look above and the lock.
        let made = Arc::clone(&self.tables.ranks.lock());
        let ranks = made.extended(&self.tables.strings, &self.tables.entities, check)?;
        let ranks = Arc::new(ranks);
        *self.tables.ranks.lock() = Arc::clone(&ranks);
        n_sorted_without.store(0, atomic::Ordering::Relaxed);
        Ok(Some(ranks))
    }
}

/// See [`Dictionary::read`].
#[derive(Clone, Copy)]
pub struct Reader<'dictionary> {
    tables: &'dictionary Tables,
}

impl<'dictionary> Reader<'dictionary> {
    /// The value of a cell of this dictionary.
    ///
    /// # Panics
    /// When the cell is none of this dictionary.
    pub fn value(&self, cell: Cell) -> Value {
        self.tables.value(cell)
    }

    /// The entity a cell refers to.
    ///
    /// # Panics
    /// When the cell is no reference, or one of another dictionary.
    pub fn entity(&self, cell: Cell) -> &'dictionary EntityId {
        assert!(cell.is_ref(), "{cell:?} refers to no entity");
        self.tables.entity(cell)
    }

    /// The text of a string; none for cells of other types.
    ///
    /// # Panics
    /// When the cell is one of another dictionary.
    pub fn string(&self, cell: Cell) -> Option<&'dictionary Arc<str>> {
        (cell.tag() == TAG_STRING).then(|| self.tables.string(cell))
    }

    /// The order of two cells' values, without making the values.
    ///
    /// # Panics
    /// When a cell is none of this dictionary.
    pub fn compare(&self, a: Cell, b: Cell) -> Ordering {
        if a == b {
            return Ordering::Equal;
        }
        let type_of = |cell: Cell| cell.value_type().expect("a cell of a dictionary has a type");
        match (a.tag(), b.tag()) {
            (TAG_BOOLEAN, TAG_BOOLEAN) | (TAG_INT, TAG_INT) | (TAG_DATE, TAG_DATE) => a.cmp(&b),
            _ => type_of(a).cmp(&type_of(b)).then_with(|| self.tables.compare(a, b)),
        }
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("n_strings", &self.tables.strings.len())
            .field("n_entities", &self.tables.entities.len())
            .field("n_numbers", &self.tables.numbers.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let edge = prop_oneof![Just(OFFSET), Just(-OFFSET), Just(1_i64 << 53)];
        let int = (edge, -2_i64..3).prop_map(|(edge, step)| Value::int(edge + step));
        let ms = prop_oneof![Just(Date::MIN.ms()), Just(0), Just(Date::MAX.ms())];
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            int,
            any::<i64>().prop_map(Value::int),
            (-4_i32..4).prop_map(|half| Value::double(f64::from(half) / 2.0).unwrap()),
            any::<f64>().prop_filter_map("finite", |double| Value::double(double).ok()),
            ms.prop_map(|ms| Value::Date(Date::from_ms(ms).unwrap())),
            "[ab]{0,2}".prop_map(Value::from),
            "[ab]{1,2}".prop_map(|id| Value::reference(&id).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn cells_are_equal_and_ordered_as_their_values(
            values in proptest::collection::vec(any_value(), 2..12)
        ) {
            let dictionary = Dictionary::default();
            let cells: Vec<Cell> = values.iter().map(|value| dictionary.intern(value)).collect();
            for (a, a_cell) in values.iter().zip(&cells) {
                prop_assert_eq!(&dictionary.value(*a_cell), a);
                prop_assert_eq!(dictionary.find(a), Some(*a_cell));
                prop_assert_eq!(a_cell.value_type(), Some(a.value_type()));
                for (b, b_cell) in values.iter().zip(&cells) {
                    prop_assert_eq!(a == b, a_cell == b_cell);
                    prop_assert_eq!(dictionary.compare(*a_cell, *b_cell), a.cmp(b));
                }
            }
        }
    }

    #[test]
    fn a_string_and_a_reference_of_the_same_text_differ() {
        let dictionary = Dictionary::default();
        let string = dictionary.intern(&Value::from("abc"));
        let reference = dictionary.intern(&Value::reference("abc").unwrap());
        assert_ne!(string, reference);
        assert!(reference.is_ref() && !string.is_ref());
        let entity = EntityId::new("abc").unwrap();
        assert_eq!(dictionary.find_entity(&entity), Some(reference));
        assert_eq!(dictionary.entity(reference), Some(entity));
        assert_eq!(dictionary.entity(string), None);
    }

    #[test]
    fn finding_makes_nothing_and_clones_share() {
        let dictionary = Dictionary::default();
        let clone = dictionary.clone();
        assert_eq!(dictionary.find(&Value::from("new")), None);
        let cell = clone.intern(&Value::from("new"));
        assert_eq!(dictionary.find(&Value::from("new")), Some(cell));
    }

    #[test]
    fn scratch_cells_equal_no_cell_of_a_dictionary() {
        let dictionary = Dictionary::default();
        for index in [0, 1, u32::MAX] {
            let scratch = Cell::scratch(index);
            assert_eq!(scratch.as_scratch(), Some(index));
            assert_eq!(scratch.value_type(), None);
            for value in [Value::Boolean(false), Value::int(0), Value::from("")] {
                let cell = dictionary.intern(&value);
                assert_ne!(cell, scratch);
                assert_eq!(cell.as_scratch(), None);
            }
        }
    }
}

//! Loading many facts at once into an empty store: sort, judge field by field, build.
//!
//! A store that starts from an image or an import gets facts by the million. Merging them one by
//! one searches several trees for each; here they are sorted instead, once for each attribute, and
//! the trees are built of full leaves.
//!
//! **Definition.** A row (fact, mark) is the operation that its mark tells: a `set` or an `add` of
//! that stamp. **Invariant:** the store is the one that these operations give by
//! [`Store::apply`](super::Store::apply), in any order. Without deletions and removals a field is
//! judged alone: its floor is its greatest `set`, an added value is its greatest row, and what the
//! floor does not admit can never be visible.

use std::sync::Arc;

use crate::fact::{Fact, Kind, Mark};
use crate::ids::{Attribute, EntityId};
use crate::intern::{Cell, Dictionary, Pending, PendingCell};
use crate::merge::Floor;

use super::Store;
use super::fields::EntityFields;
use super::index::AttributeIndex;
use super::pairs::Pair;
use super::radix;
use super::snapshot::{AttributeId, Snapshot};

impl Store {
    /// A store with a dictionary of its own and these facts in it, in any order: as if each had
    /// been applied as the `set` or `add` that its mark tells.
    ///
    /// ```
    /// use tercet_engine::fact::{Fact, Kind, Mark};
    /// use tercet_engine::hlc::Stamp;
    /// use tercet_engine::ids::{Attribute, EntityId};
    /// use tercet_engine::store::Store;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let attribute = Attribute::new("user/age")?;
    /// let fact = Fact { entity: EntityId::new("ann")?, attribute, value: 41.into() };
    /// let store = Store::load([(fact, Mark { stamp: Stamp::ZERO, kind: Kind::Set })]);
    /// assert_eq!(store.snapshot().n_facts(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn load(rows: impl IntoIterator<Item = (Fact, Mark)>) -> Store {
        let mut store = Store::new();
        let mut loader = Loader::new();
        for (fact, mark) in rows {
            store.clock = store.clock.max(mark.stamp.hlc);
            loader.put(&mut store.view, fact, mark);
        }
        loader.flush(&store.view.dictionary);
        let dictionary = &store.view.dictionary;
        let index = |rows: Rows| Arc::new(rows.into_index(dictionary));
        let indexes: Vec<Arc<AttributeIndex>> = loader.rows.into_iter().map(index).collect();
        store.view.fields = EntityFields::build(&indexes);
        store.view.indexes = Arc::new(indexes);
        store
    }
}

/// Rows of one attribute, in the order in which they came.
#[derive(Default)]
struct Rows {
    /// By their symbols.
    entities: Vec<u32>,
    values: Vec<Cell>,
    marks: Vec<Mark>,
}

/// How many rows are interned together.
const BLOCK: usize = 1_024;

/// Rows by attribute id, the last ones that have no cells yet, and attributes seen lately, which
/// are mostly shared by the rows that have them.
struct Loader {
    rows: Vec<Rows>,
    pending: Pending,
    waiting: Vec<Waiting>,
    /// The entity of the last row: rows of one entity tend to follow each other.
    entity: Option<(EntityId, PendingCell)>,
    attributes: [Option<(Attribute, AttributeId)>; N_REMEMBERED],
}

/// A row that has no cells yet.
struct Waiting {
    attribute: AttributeId,
    entity: PendingCell,
    value: PendingCell,
    mark: Mark,
}

/// Attributes that are recognized without looking at their text.
const N_REMEMBERED: usize = 64;

impl Loader {
    fn new() -> Loader {
        Loader {
            rows: Vec::new(),
            pending: Pending::default(),
            waiting: Vec::with_capacity(BLOCK),
            entity: None,
            attributes: [const { None }; N_REMEMBERED],
        }
    }

    fn put(&mut self, view: &mut Snapshot, fact: Fact, mark: Mark) {
        let Fact { entity, attribute, value } = fact;
        let attribute = self.attribute(view, &attribute);
        let entity = self.entity(entity);
        let value = self.pending.value(value, &view.dictionary);
        self.waiting.push(Waiting { attribute, entity, value, mark });
        if self.waiting.len() == BLOCK {
            self.flush(&view.dictionary);
        }
    }

    /// Gives the rows that wait their cells and puts them to their attributes.
    fn flush(&mut self, dictionary: &Dictionary) {
        self.entity = None;
        let cells = self.pending.intern(dictionary);
        for Waiting { attribute, entity, value, mark } in self.waiting.drain(..) {
            let rows = &mut self.rows[attribute.0 as usize];
            let entity = cells.cell(entity).narrow().expect("entities are references");
            rows.entities.push(entity);
            rows.values.push(cells.cell(value));
            rows.marks.push(mark);
        }
    }

    fn entity(&mut self, entity: EntityId) -> PendingCell {
        match &self.entity {
            Some((last, cell)) if *last == entity => *cell,
            _ => {
                let cell = self.pending.entity(entity.clone());
                self.entity = Some((entity, cell));
                cell
            }
        }
    }

    fn attribute(&mut self, view: &mut Snapshot, attribute: &Attribute) -> AttributeId {
        // Texts lie 16 bytes apart at least. What is remembered is held, so that its address
        // cannot become that of another text.
        let address = attribute.shared().as_ptr().addr();
        let slot = &mut self.attributes[(address / 16) % N_REMEMBERED];
        match slot {
            Some((known, id)) if Arc::ptr_eq(known.shared(), attribute.shared()) => *id,
            _ => {
                let id = view.names.find(attribute).unwrap_or_else(|| {
                    self.rows.push(Rows::default());
                    Arc::make_mut(&mut view.names).push(attribute)
                });
                *slot = Some((attribute.clone(), id));
                id
            }
        }
    }
}

impl Rows {
    /// What the rows leave of each field.
    fn into_index(self, dictionary: &Dictionary) -> AttributeIndex {
        let n = u32::try_from(self.marks.len()).expect("an attribute has fewer than 2^32 facts");
        let mut order: Vec<u64> =
            (0..n).zip(&self.entities).map(|(place, entity)| radix::word(*entity, place)).collect();
        radix::sort_by_upper(&mut order);
        let mut entries = Entries::with_capacity(order.len());
        let mut field = Vec::new();
        for places in order.chunk_by(|a, b| radix::upper(*a) == radix::upper(*b)) {
            let entity = Cell::from_narrow(radix::upper(places[0]));
            let row = |place: &u64| {
                let place = *place as u32 as usize;
                (Pair::new(entity, self.values[place]), self.marks[place])
            };
            if let [only] = places {
                // The greatest `set`, if it is one, is the entry: it implies the floor.
                let (pair, mark) = row(only);
                entries.push(pair, mark);
                continue;
            }
            field.clear();
            field.extend(places.iter().map(row));
            field.sort_unstable();
            entries.judge(&field, dictionary);
        }
        AttributeIndex::from_sorted(&entries.keys, &entries.items, &entries.floors)
    }
}

/// What is held in the end, field by field.
struct Entries {
    keys: Vec<Pair>,
    items: Vec<Mark>,
    floors: Vec<(Cell, Floor)>,
}

impl Entries {
    fn with_capacity(n: usize) -> Entries {
        Entries { keys: Vec::with_capacity(n), items: Vec::with_capacity(n), floors: Vec::new() }
    }

    fn push(&mut self, pair: Pair, mark: Mark) {
        self.keys.push(pair);
        self.items.push(mark);
    }

    /// Puts what the sorted rows of one field leave of it.
    fn judge(&mut self, field: &[(Pair, Mark)], dictionary: &Dictionary) {
        let begin = self.keys.len();
        let floor = field
            .iter()
            .filter(|(_, mark)| mark.kind == Kind::Set)
            .map(|(pair, mark)| Floor { stamp: mark.stamp, value: Some(pair.second()) })
            .reduce(|floor, next| floor.max(Some(next), dictionary));
        for equal in field.chunk_by(|(a, _), (b, _)| a == b) {
            let (pair, added) = equal[equal.len() - 1];
            if floor.is_none_or(|floor| floor.admits(added.stamp, pair.second(), dictionary)) {
                self.push(pair, added);
            }
        }
        let is_implied = self.keys.len() == begin + 1
            && self.items[begin].kind == Kind::Set
            && floor.is_some_and(|floor| {
                floor.stamp == self.items[begin].stamp
                    && floor.value == Some(self.keys[begin].second())
            });
        if let Some(floor) = floor.filter(|_| !is_implied) {
            self.floors.push((field[0].0.first(), floor));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::fact::{Op, Transaction};
    use crate::hlc::{Hlc, Stamp};
    use crate::ids::ReplicaId;
    use crate::store::Order;
    use crate::value::Value;

    fn row() -> impl Strategy<Value = (Fact, Mark)> {
        let value = prop_oneof![
            (0_i64..3).prop_map(Value::int),
            (0_u8..3).prop_map(|text| Value::from(format!("{text}"))),
            (0_u8..4).prop_map(|id| Value::reference(&format!("e{id}")).unwrap()),
        ];
        let stamp = (0_u64..5, 0_u16..2)
            .prop_map(|(ms, op)| Stamp { hlc: Hlc::new(ms, 0, ReplicaId(0)), op });
        let kind = prop::sample::select(vec![Kind::Set, Kind::Add, Kind::Add]);
        let place = (0_u16..300, prop::sample::select(vec![4, 300]), 0_u8..3);
        (place, value, stamp, kind).prop_map(|((entity, among, field), value, stamp, kind)| {
            let entity = EntityId::new(format!("e{}", entity % among)).unwrap();
            let attribute = Attribute::new(format!("t/f{field}")).unwrap();
            (Fact { entity, attribute, value }, Mark { stamp, kind })
        })
    }

    /// The transaction of one operation that a row is.
    fn transaction((fact, mark): &(Fact, Mark)) -> Transaction {
        let Fact { entity: e, attribute: a, value: v } = fact.clone();
        let op = match mark.kind {
            Kind::Set => Op::Set { e, a, v },
            Kind::Add => Op::Add { e, a, v },
        };
        // The operation's index is its place: others, of nobody, stand before it.
        let nobody = EntityId::new("nobody").unwrap();
        let nothing = Op::Unset { e: nobody, a: Attribute::new("t/nothing").unwrap() };
        let mut ops = vec![nothing; usize::from(mark.stamp.op)];
        ops.push(op);
        Transaction { hlc: mark.stamp.hlc, ops }
    }

    /// All that can be seen of a store.
    fn visible(store: &Store) -> Vec<(Fact, Mark)> {
        let mut facts: Vec<_> = store.snapshot().iter().collect();
        facts.sort();
        facts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn loading_is_applying_one_by_one(
            rows in prop::collection::vec(row(), 0..600),
            later in prop::collection::vec(row(), 0..30),
        ) {
            let mut loaded = Store::load(rows.clone());
            let mut applied = Store::new();
            for row in &rows {
                applied.apply(&transaction(row));
            }
            loaded.check();
            prop_assert_eq!(loaded.clock(), applied.clock());
            prop_assert_eq!(loaded.snapshot().fingerprint(), applied.snapshot().fingerprint());
            for row in &later {
                // What merge remembers shows in what it makes of later writes.
                prop_assert_eq!(visible(&loaded), visible(&applied));
                prop_assert_eq!(loaded.apply(&transaction(row)), applied.apply(&transaction(row)));
            }
            loaded.check();
            let snapshot = loaded.snapshot();
            for a in snapshot.attributes() {
                let mut cursor = snapshot.cursor(a, Order::ByValue);
                let mut n = 0;
                while let Some((value, entity)) = cursor.current() {
                    prop_assert!(snapshot.contains(a, entity, value));
                    n += 1;
                    cursor.advance();
                }
                prop_assert_eq!(n, snapshot.count(a));
            }
        }
    }
}

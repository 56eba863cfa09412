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
use crate::intern::{Cell, Dictionary};
use crate::merge::Floor;

use super::Store;
use super::fields::EntityFields;
use super::index::AttributeIndex;
use super::pairs::Pair;
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
            loader.put(&mut store.view, &fact, mark);
        }
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
    /// With the row's place, which is that of its mark.
    pairs: Vec<(Pair, u32)>,
    marks: Vec<Mark>,
}

/// Rows by attribute id, and what the last ones were about: rows of one entity tend to follow each
/// other, and attributes are mostly shared by the rows that have them.
struct Loader {
    rows: Vec<Rows>,
    entity: Option<(EntityId, Cell)>,
    attributes: [Option<(Attribute, AttributeId)>; N_REMEMBERED],
}

/// Attributes that are recognized without looking at their text.
const N_REMEMBERED: usize = 64;

impl Loader {
    fn new() -> Loader {
        Loader { rows: Vec::new(), entity: None, attributes: [const { None }; N_REMEMBERED] }
    }

    fn put(&mut self, view: &mut Snapshot, fact: &Fact, mark: Mark) {
        let entity = self.entity(&view.dictionary, &fact.entity);
        let attribute = self.attribute(view, &fact.attribute);
        let value = view.dictionary.intern(&fact.value);
        let rows = &mut self.rows[attribute.0 as usize];
        let place =
            u32::try_from(rows.marks.len()).expect("an attribute has fewer than 2^32 facts");
        rows.pairs.push((Pair::new(entity, value), place));
        rows.marks.push(mark);
    }

    fn entity(&mut self, dictionary: &Dictionary, entity: &EntityId) -> Cell {
        match &self.entity {
            Some((last, cell)) if last == entity => *cell,
            _ => {
                let cell = dictionary.intern_entity(entity);
                self.entity = Some((entity.clone(), cell));
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
        let Rows { mut pairs, marks } = self;
        pairs.sort_unstable();
        let (mut keys, mut items) =
            (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
        let mut floors = Vec::new();
        let mark = |place: u32| marks[place as usize];
        for field in pairs.chunk_by(|(a, _), (b, _)| a.first() == b.first()) {
            let begin = keys.len();
            let floor = match field {
                [(_, place)] if mark(*place).kind == Kind::Add => None,
                _ => field
                    .iter()
                    .map(|(pair, place)| (pair.second(), mark(*place)))
                    .filter(|(_, mark)| mark.kind == Kind::Set)
                    .map(|(value, mark)| Floor { stamp: mark.stamp, value: Some(value) })
                    .reduce(|floor, next| floor.max(Some(next), dictionary)),
            };
            for equal in field.chunk_by(|(a, _), (b, _)| a == b) {
                let pair = equal[0].0;
                let added = equal.iter().map(|(_, place)| mark(*place)).max();
                let added = added.expect("chunks are not empty");
                if floor.is_none_or(|floor| floor.admits(added.stamp, pair.second(), dictionary)) {
                    keys.push(pair);
                    items.push(added);
                }
            }
            let is_implied = keys.len() == begin + 1
                && items[begin].kind == Kind::Set
                && floor.is_some_and(|floor| {
                    floor.stamp == items[begin].stamp && floor.value == Some(keys[begin].second())
                });
            if let Some(floor) = floor.filter(|_| !is_implied) {
                floors.push((field[0].0.first(), floor));
            }
        }
        AttributeIndex::from_sorted(&keys, &items, &floors)
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

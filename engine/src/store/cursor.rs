//! How operators read a snapshot: cursors that seek, iteration that calls back, counts of ranges.
//!
//! Joins are merges of sorted sequences. A [`Cursor`] gives them one: the (first, second) pairs of
//! an attribute in the order asked for, with forward seeks that gallop, so that a sorted sequence
//! of seeks costs like a merge. Where every fact of a range is wanted, the `for_each` methods of
//! [`Snapshot`] are faster than any iterator, and stop as soon as they are told to.
//!
//! Orders are those of cells, not of values. Facts whose value refers sort behind all others by
//! value, so the order by value is two trees one after the other: that of other values, which is
//! built when it is first needed, and that of references, which is always there.

use std::ops::ControlFlow;

use crate::intern::Cell;

use super::pairs::{Marks, Pair, PairSet, Pairs};
use super::snapshot::{AttributeId, Snapshot};
use super::tree::{Entries, Position, Range, Units};

/// Which cell of a fact comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// (entity, value).
    ByEntity,
    /// (value, entity). The first use of it for values that do not refer builds it, in
    /// O(n log n); writes then keep it up.
    ByValue,
}

/// A place between the facts of an attribute that moves forward. Pairs ascend strictly.
///
/// ```
/// use tercet_engine::fact::{Op, Transaction};
/// use tercet_engine::hlc::Hlc;
/// use tercet_engine::ids::{Attribute, EntityId};
/// use tercet_engine::intern::Cell;
/// use tercet_engine::store::{Order, Store};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let likes = Attribute::new("user/likes")?;
/// let (ann, bob) = (EntityId::new("ann")?, EntityId::new("bob")?);
/// let add = |e: &EntityId, v| Op::Add { e: e.clone(), a: likes.clone(), v };
/// let mut store = Store::new();
/// let ops = vec![add(&ann, 7.into()), add(&ann, 8.into()), add(&bob, 7.into())];
/// store.apply(&Transaction { hlc: Hlc::ZERO, ops });
///
/// let snapshot = store.snapshot();
/// let id = snapshot.find_attribute(&likes).ok_or("somebody likes something")?;
/// let eight = snapshot.dictionary().find(&8.into()).ok_or("eight is known")?;
/// let mut cursor = snapshot.cursor(id, Order::ByValue);
/// cursor.seek_first(eight);
/// assert_eq!(cursor.current(), snapshot.dictionary().find_entity(&ann).map(|ann| (eight, ann)));
/// cursor.advance();
/// assert_eq!(cursor.current(), None);
/// # Ok(())
/// # }
/// ```
pub struct Cursor<'s> {
    place: Place<'s>,
}

enum Place<'s> {
    ByEntity(Position<'s, Pairs, Marks>),
    ByValue {
        at: Position<'s, Pairs, Units>,
        /// The references, while the cursor stands before them.
        refs: Option<&'s PairSet>,
    },
}

impl<'s> Place<'s> {
    /// Goes on to the references when the other values are used up.
    #[inline]
    fn settle(&mut self) {
        if let Place::ByValue { at, refs } = self
            && at.key().is_none()
            && let Some(refs) = refs.take()
        {
            *at = refs.begin();
        }
    }
}

impl Cursor<'_> {
    /// The pair after this place, in the cursor's order; none at the end.
    #[inline]
    pub fn current(&self) -> Option<(Cell, Cell)> {
        let pair = match &self.place {
            Place::ByEntity(at) => at.key(),
            Place::ByValue { at, .. } => at.key(),
        };
        pair.map(|pair| (pair.first(), pair.second()))
    }

    /// Goes behind the current pair; stays at the end.
    #[inline]
    pub fn advance(&mut self) {
        match &mut self.place {
            Place::ByEntity(at) => at.advance(),
            Place::ByValue { at, .. } => at.advance(),
        }
        self.place.settle();
    }

    /// Goes forward to the first pair that is not below (first, second); stays if it has passed it.
    pub fn seek(&mut self, first: Cell, second: Cell) {
        let pair = Pair::new(first, second);
        match &mut self.place {
            Place::ByEntity(at) => at.seek(pair),
            Place::ByValue { at, refs } => {
                if let Some(refs) = refs.take_if(|_| first >= Cell::REFS) {
                    *at = refs.begin();
                }
                at.seek(pair);
            }
        }
        self.place.settle();
    }

    /// Goes forward to the first pair whose first cell is not below `first`.
    pub fn seek_first(&mut self, first: Cell) {
        self.seek(first, Cell::MIN);
    }

    /// Hands over the second cells of the pairs with this first cell, from where the cursor stands
    /// on, and goes behind them, until told to stop.
    pub(crate) fn for_each_second<Break>(
        &mut self,
        first: Cell,
        mut take: impl FnMut(Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        self.seek_first(first);
        while let Some((found, second)) = self.current()
            && found == first
        {
            take(second)?;
            self.advance();
        }
        ControlFlow::Continue(())
    }

    /// Goes forward behind every pair that begins like the current one; stays at the end.
    pub fn next_first(&mut self) {
        if let Some((first, _)) = self.current() {
            self.seek(first.after(), Cell::MIN);
        }
    }
}

/// Hands each pair to `take` until told to stop.
fn visit<I: Entries, Break>(
    range: Range<'_, Pairs, I>,
    mut take: impl FnMut(Cell, Cell) -> ControlFlow<Break>,
) -> ControlFlow<Break> {
    range.for_each_leaf(|pairs, places| pairs.visit(places, &mut take))
}

/// Reads for operators. What `take` answers decides whether the reading goes on; what it breaks
/// with is handed back.
impl Snapshot {
    /// A cursor before the first fact of an attribute.
    pub fn cursor(&self, a: AttributeId, order: Order) -> Cursor<'_> {
        let index = self.index(a);
        let mut place = match order {
            Order::ByEntity => Place::ByEntity(index.visible().begin()),
            Order::ByValue => {
                let (others, refs) = index.both_holders();
                Place::ByValue { at: others.begin(), refs: Some(refs) }
            }
        };
        place.settle();
        Cursor { place }
    }

    /// A cursor before the first fact whose first cell refers: no order is built for it.
    pub(crate) fn cursor_of_refs(&self, a: AttributeId, order: Order) -> Cursor<'_> {
        match order {
            Order::ByEntity => self.cursor(a, order),
            Order::ByValue => {
                let refs = self.index(a).refs_by_value();
                Cursor { place: Place::ByValue { at: refs.begin(), refs: None } }
            }
        }
    }

    /// Values of a field, in order of cells.
    pub fn for_each_value<Break>(
        &self,
        a: AttributeId,
        e: Cell,
        mut take: impl FnMut(Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        visit(self.index(a).field(e), |_, value| take(value))
    }

    /// Entities whose field has this value, in order of cells.
    pub fn for_each_entity<Break>(
        &self,
        a: AttributeId,
        v: Cell,
        mut take: impl FnMut(Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        visit(self.index(a).holders(v), |_, entity| take(entity))
    }

    /// Second cells of the facts with this first cell, from one on, as a cursor of that order
    /// gives them.
    pub(crate) fn for_each_second<Break>(
        &self,
        a: AttributeId,
        order: Order,
        first: Cell,
        from: Cell,
        mut take: impl FnMut(Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let index = self.index(a);
        let (begin, end) = (Pair::new(first, from), Pair::new(first.after(), Cell::MIN));
        match order {
            Order::ByEntity => visit(index.visible().range(begin, end), |_, second| take(second)),
            Order::ByValue => {
                visit(index.holders_tree(first).range(begin, end), |_, second| take(second))
            }
        }
    }

    /// Facts of an attribute as a cursor of that order gives them: (first, second).
    pub fn for_each_fact<Break>(
        &self,
        a: AttributeId,
        order: Order,
        mut take: impl FnMut(Cell, Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        match order {
            Order::ByEntity => visit(self.index(a).facts(), take),
            Order::ByValue => {
                let (others, refs) = self.index(a).both_holders();
                visit(others.iter(), &mut take)?;
                visit(refs.iter(), take)
            }
        }
    }

    /// Facts whose first cell is in `from..until`, as a cursor of that order gives them.
    pub(crate) fn for_each_within<Break>(
        &self,
        a: AttributeId,
        order: Order,
        from: Cell,
        until: Cell,
        take: impl FnMut(Cell, Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        match order {
            Order::ByValue => self.for_each_between(a, from, until, take),
            Order::ByEntity => {
                let (begin, end) = (Pair::new(from, Cell::MIN), Pair::new(until, Cell::MIN));
                visit(self.index(a).visible().range(begin, end), take)
            }
        }
    }

    /// How many facts have a first cell in `from..until`. O(log n).
    pub(crate) fn count_within(
        &self,
        a: AttributeId,
        order: Order,
        from: Cell,
        until: Cell,
    ) -> u64 {
        match order {
            Order::ByValue => self.count_between(a, from, until),
            Order::ByEntity => {
                let (begin, end) = (Pair::new(from, Cell::MIN), Pair::new(until, Cell::MIN));
                self.index(a).visible().count(begin, end) as u64
            }
        }
    }

    /// The different first cells of an attribute's facts in this order, and how many facts have
    /// each. Facts of large groups are not gone through.
    pub(crate) fn for_each_group<Break>(
        &self,
        a: AttributeId,
        order: Order,
        mut take: impl FnMut(Cell, u64) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        /// In larger groups finding the end takes less than going there.
        const GONE_THROUGH_MAX: u64 = 64;
        let n_groups = match order {
            Order::ByEntity => self.n_entities(a),
            Order::ByValue => self.n_values(a),
        };
        if self.count(a) / n_groups.max(1) > GONE_THROUGH_MAX {
            let mut cursor = self.cursor(a, order);
            while let Some((first, _)) = cursor.current() {
                take(first, self.count_within(a, order, first, first.after()))?;
                cursor.next_first();
            }
            return ControlFlow::Continue(());
        }
        let mut group: Option<(Cell, u64)> = None;
        self.for_each_fact(a, order, |first, _| {
            match &mut group {
                Some((cell, n)) if *cell == first => *n += 1,
                _ => {
                    if let Some((cell, n)) = group.replace((first, 1)) {
                        return take(cell, n);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        group.map_or(ControlFlow::Continue(()), |(cell, n)| take(cell, n))
    }

    /// Facts whose value's cell is in `from..until`, by value: (value, entity).
    pub fn for_each_between<Break>(
        &self,
        a: AttributeId,
        from: Cell,
        until: Cell,
        mut take: impl FnMut(Cell, Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let (begin, end) = (Pair::new(from, Cell::MIN), Pair::new(until, Cell::MIN));
        for tree in self.index(a).holders_between(from, until).into_iter().flatten() {
            visit(tree.range(begin, end), &mut take)?;
        }
        ControlFlow::Continue(())
    }

    /// How many facts have a value whose cell is in `from..until`. O(log n).
    pub fn count_between(&self, a: AttributeId, from: Cell, until: Cell) -> u64 {
        let (begin, end) = (Pair::new(from, Cell::MIN), Pair::new(until, Cell::MIN));
        let trees = self.index(a).holders_between(from, until).into_iter().flatten();
        trees.map(|tree| tree.count(begin, end) as u64).sum()
    }

    /// One more than the greatest symbol of the entities and values of an attribute's facts, where
    /// all of the values refer. O(log n); builds no order.
    pub(crate) fn symbols_end(&self, a: AttributeId) -> Option<u32> {
        let index = self.index(a);
        let refs = index.refs_by_value();
        if refs.len() < index.len() {
            return None;
        }
        let Some(last) = index.len().checked_sub(1) else { return Some(0) };
        let symbol = |pair: Option<Pair>| pair.and_then(|pair| pair.first().narrow());
        let entity = symbol(index.visible().at(last).key());
        let value = symbol(refs.at(last).key());
        Some(entity.max(value).map_or(0, |symbol| symbol.saturating_add(1)))
    }

    /// The value of the fact that has so many others before it by value; none where it refers, or
    /// where there are not so many. O(log n).
    pub(crate) fn nth_value(&self, a: AttributeId, n_before: u64) -> Option<Cell> {
        let (others, _) = self.index(a).both_holders();
        others.at(usize::try_from(n_before).ok()?).key().map(Pair::first)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::fact::{Op, Transaction};
    use crate::hlc::Hlc;
    use crate::ids::{Attribute, EntityId, ReplicaId};
    use crate::store::Store;
    use crate::value::Value;

    fn entity(index: u32) -> EntityId {
        EntityId::new(format!("e{index}")).unwrap()
    }

    /// Values of all kinds: inline, by symbol, references.
    fn value(index: u32) -> Value {
        match index % 4 {
            0 => Value::Ref(entity(index / 4)),
            1 => Value::int(i64::from(index)),
            2 => Value::double(f64::from(index) + 0.5).unwrap(),
            _ => Value::from(format!("v{index}")),
        }
    }

    /// A store with facts (entity, value), some of them written before the other order was asked
    /// for and some after; and its cells as a set.
    fn store(facts: &[(u32, u32)], n_before: usize) -> (Snapshot, BTreeSet<(Cell, Cell)>) {
        let mut store = Store::new();
        let attribute = Attribute::new("t/f").unwrap();
        let n_before = n_before.min(facts.len());
        let (before, after) = facts.split_at(n_before);
        for (ms, facts) in (0..).zip([&[(0, 0)], before, after]) {
            let add =
                |&(e, v): &(u32, u32)| Op::Add { e: entity(e), a: attribute.clone(), v: value(v) };
            let ops = facts.iter().map(add).collect();
            store.apply(&Transaction { hlc: Hlc::new(ms, 0, ReplicaId(0)), ops });
            let id = store.snapshot().find_attribute(&attribute).unwrap();
            store.snapshot().count_between(id, Cell::MIN, Cell::MAX);
        }
        let snapshot = store.snapshot();
        let cells = |&(e, v): &(u32, u32)| {
            let e = snapshot.dictionary().find_entity(&entity(e)).unwrap();
            (e, snapshot.dictionary().find(&value(v)).unwrap())
        };
        let expected = facts.iter().chain([&(0, 0)]).map(cells).collect();
        (snapshot, expected)
    }

    fn collect(snapshot: &Snapshot, order: Order) -> Vec<(Cell, Cell)> {
        let (mut cursor, mut pairs) = (snapshot.cursor(ID, order), Vec::new());
        while let Some(pair) = cursor.current() {
            pairs.push(pair);
            cursor.advance();
        }
        pairs
    }

    fn push<T>(taken: &mut Vec<T>, item: T) -> ControlFlow<()> {
        taken.push(item);
        ControlFlow::Continue(())
    }

    /// Everything that an iteration hands over; it is never told to stop.
    fn taken<T>(iterate: impl FnOnce(&mut Vec<T>) -> ControlFlow<()>) -> Vec<T> {
        let mut taken = Vec::new();
        assert!(iterate(&mut taken).is_continue());
        taken
    }

    const ID: AttributeId = AttributeId(0);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn reads_are_those_of_a_sorted_set(
            facts in prop::collection::vec((0_u32..40, 0_u32..80), 0..1_000),
            n_before in 0_usize..1_000,
            probes in prop::collection::vec((0_u32..41, 0_u32..81), 40),
        ) {
            let (snapshot, by_entity) = store(&facts, n_before);
            let by_value: BTreeSet<_> = by_entity.iter().map(|&(e, v)| (v, e)).collect();
            let dictionary = snapshot.dictionary();
            let mut cells: Vec<(Cell, Cell)> = probes
                .iter()
                .map(|&(e, v)| (dictionary.intern_entity(&entity(e)), dictionary.intern(&value(v))))
                .chain([(Cell::MIN, Cell::scratch(1)), (Cell::scratch(0), Cell::MIN)])
                .collect();
            for (order, set) in [(Order::ByEntity, &by_entity), (Order::ByValue, &by_value)] {
                prop_assert!(collect(&snapshot, order).iter().eq(set));
                let groups = taken(|taken| {
                    snapshot.for_each_group(ID, order, |first, n| push(taken, (first, n)))
                });
                let firsts: BTreeSet<Cell> = set.iter().map(|pair| pair.0).collect();
                let n_of = |first| set.range((first, Cell::MIN)..(first, Cell::MAX)).count() as u64;
                let expected: Vec<_> = firsts.iter().map(|first| (*first, n_of(*first))).collect();
                prop_assert_eq!(groups, expected);

                let mut taken = Vec::new();
                let flow = snapshot.for_each_fact(ID, order, |first, second| {
                    taken.push((first, second));
                    match taken.len() {
                        500 => ControlFlow::Break(()),
                        _ => ControlFlow::Continue(()),
                    }
                });
                prop_assert_eq!(flow.is_break(), set.len() >= 500);
                prop_assert!(taken.iter().eq(set.iter().take(500)));

                let mut probes = cells.clone();
                if order == Order::ByValue {
                    probes.iter_mut().for_each(|pair| *pair = (pair.1, pair.0));
                }
                // Each from the start, then all by one cursor in this order and in ascending
                // order: a cursor never goes back.
                for &(first, second) in &probes {
                    let mut cursor = snapshot.cursor(ID, order);
                    cursor.seek(first, second);
                    let expected = set.range((first, second)..).next().copied();
                    prop_assert_eq!(cursor.current(), expected);
                    cursor.next_first();
                    let after = expected.map(|(first, _)| (first.after(), Cell::MIN));
                    let next = after.and_then(|pair| set.range(pair..).next().copied());
                    prop_assert_eq!(cursor.current(), next);
                }
                for _ in 0..2 {
                    let mut cursor = snapshot.cursor(ID, order);
                    let mut furthest = (Cell::MIN, Cell::MIN);
                    for &pair in &probes {
                        furthest = furthest.max(pair);
                        cursor.seek(pair.0, pair.1);
                        prop_assert_eq!(cursor.current(), set.range(furthest..).next().copied());
                    }
                    probes.sort_unstable();
                }
            }
            cells.truncate(cells.len() - 2);
            for window in cells.windows(2) {
                let ((e, from), (_, until)) = (window[0], window[1]);
                let group = |set: &BTreeSet<(Cell, Cell)>, first| -> Vec<Cell> {
                    set.range((first, Cell::MIN)..(first, Cell::MAX)).map(|pair| pair.1).collect()
                };
                for (order, set, first) in
                    [(Order::ByEntity, &by_entity, e), (Order::ByValue, &by_value, from)]
                {
                    let seconds = taken(|taken| {
                        snapshot.for_each_second(ID, order, first, until, |cell| push(taken, cell))
                    });
                    let pairs = set.range((first, until)..(first, Cell::MAX));
                    prop_assert_eq!(seconds, pairs.map(|pair| pair.1).collect::<Vec<_>>());
                }
                let values = taken(|taken| snapshot.for_each_value(ID, e, |v| push(taken, v)));
                prop_assert_eq!(values, group(&by_entity, e));
                let entities = taken(|taken| snapshot.for_each_entity(ID, from, |e| push(taken, e)));
                prop_assert_eq!(entities, group(&by_value, from));
                let between = taken(|taken| {
                    snapshot.for_each_between(ID, from, until, |v, e| push(taken, (v, e)))
                });
                let is_between = |pair: &&(Cell, Cell)| from <= pair.0 && pair.0 < until;
                let expected: Vec<_> = by_value.iter().filter(is_between).copied().collect();
                prop_assert_eq!(snapshot.count_between(ID, from, until), expected.len() as u64);
                let within = taken(|taken| {
                    let order = Order::ByEntity;
                    snapshot.for_each_within(ID, order, from, until, |e, v| push(taken, (e, v)))
                });
                let is_within = |pair: &&(Cell, Cell)| from <= pair.0 && pair.0 < until;
                let within_expected: Vec<_> =
                    by_entity.iter().filter(is_within).copied().collect();
                let count = snapshot.count_within(ID, Order::ByEntity, from, until);
                prop_assert_eq!(count, within.len() as u64);
                prop_assert_eq!(within, within_expected);
                prop_assert_eq!(between, expected);
            }
        }
    }

    #[test]
    fn the_lower_half_of_a_cell_tells_it_from_others_of_its_kind() {
        let snapshot = store(&[], 0).0;
        let reference = snapshot.dictionary().intern(&Value::Ref(entity(3)));
        let symbol = reference.narrow().unwrap();
        assert_eq!(Cell::from_narrow(symbol), reference);
        for value in [Value::int(3), Value::from("e3"), Value::Boolean(true)] {
            let cell = snapshot.dictionary().intern(&value);
            assert_eq!(cell.narrow(), None);
            let (upper, lower) = cell.halves();
            assert_eq!(Cell::from_halves(upper, lower), cell);
        }
    }
}

//! What the leaves over facts hold: pairs of cells as keys, marks as items, both packed.
//!
//! **Definitions.** A leaf's keys are two columns, of the pairs' first and second cells. Cells of
//! one type differ in their lower bits only, and those of neighbors mostly in few of them, so a
//! fact takes 8 bytes or less for its key. Its mark is four columns: milliseconds, counter, replica
//! and operation with kind; the latter two are mostly the same in all of a leaf, or few.
//!
//! **Invariant.** All columns of a leaf are of one length.
//!
//! **Operations.** Those of [`Entries`] and [`Keys`], on the columns where they stand; a whole leaf
//! is read by unpacking its columns one after the other.

use std::ops::{ControlFlow, Range};

use crate::fact::{Kind, Mark};
use crate::hlc::{Hlc, Stamp};
use crate::ids::ReplicaId;
use crate::intern::Cell;

use super::column::Column;
use super::tree::{Entries, Keys, LEAF_MAX, Tree, Units};

/// Two cells as a key: (entity, value), or (value, entity); sorts by the first, then the second.
///
/// One wide integer, because a search through pairs of words branches on the first word and
/// mispredicts half the time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair(u128);

impl Pair {
    #[inline]
    pub(super) fn new(first: Cell, second: Cell) -> Pair {
        Pair(u128::from(first.0) << 64 | u128::from(second.0))
    }

    #[inline]
    pub(super) fn first(self) -> Cell {
        Cell((self.0 >> 64) as u64)
    }

    #[inline]
    pub(super) fn second(self) -> Cell {
        Cell(self.0 as u64)
    }

    /// The other order.
    pub(super) fn swap(self) -> Pair {
        Pair(self.0.rotate_left(64))
    }
}

/// Facts by pair.
pub(super) type Facts = Tree<Pairs, Marks>;
/// Pairs alone.
pub(super) type PairSet = Tree<Pairs, Units>;

/// The columns of what the entries of a leaf consist of.
fn packed<const N: usize, Entry, Packed>(
    entries: &[Entry],
    parts: impl Fn(&Entry) -> [u64; N],
    pack: impl Fn([Column; N]) -> Packed,
) -> Packed {
    let mut numbers = [[0; LEAF_MAX]; N];
    for (index, entry) in entries.iter().enumerate() {
        for (numbers, part) in numbers.iter_mut().zip(parts(entry)) {
            numbers[index] = part;
        }
    }
    pack(numbers.each_ref().map(|numbers| Column::pack(&numbers[..entries.len()])))
}

/// Packed pairs.
#[derive(Clone)]
pub(super) struct Pairs {
    firsts: Column,
    seconds: Column,
}

impl Entries for Pairs {
    type Entry = Pair;

    fn pack(pairs: &[Pair]) -> Self {
        packed(
            pairs,
            |pair| [pair.first().0, pair.second().0],
            |[firsts, seconds]| Pairs { firsts, seconds },
        )
    }

    #[inline]
    fn entry(&self, index: usize) -> Pair {
        Pair::new(Cell(self.firsts.get(index)), Cell(self.seconds.get(index)))
    }

    fn insert(&mut self, index: usize, pair: Pair) {
        self.firsts.insert(index, pair.first().0);
        self.seconds.insert(index, pair.second().0);
    }

    fn set(&mut self, index: usize, pair: Pair) {
        self.firsts.set(index, pair.first().0);
        self.seconds.set(index, pair.second().0);
    }

    fn remove(&mut self, index: usize) {
        self.firsts.remove(index);
        self.seconds.remove(index);
    }

    fn split_off(&mut self, at: usize) -> Self {
        Pairs { firsts: self.firsts.split_off(at), seconds: self.seconds.split_off(at) }
    }

    fn append(&mut self, other: Self) {
        self.firsts.append(&other.firsts);
        self.seconds.append(&other.seconds);
    }
}

impl Keys for Pairs {
    #[inline]
    fn len(&self) -> usize {
        self.firsts.len()
    }

    #[inline]
    fn lower_bound(&self, begin: usize, end: usize, pair: Pair) -> usize {
        let (first, second) = (pair.first().0, pair.second().0);
        let begin = self.firsts.lower_bound(begin, end, first);
        if begin == end || self.firsts.get(begin) != first || second == 0 {
            return begin;
        }
        // Most groups are of one pair.
        let next = begin + 1;
        let end = match next < end && self.firsts.get(next) == first {
            true => {
                first.checked_add(1).map_or(end, |after| self.firsts.lower_bound(next, end, after))
            }
            false => next,
        };
        self.seconds.lower_bound(begin, end, second)
    }
}

impl Pairs {
    /// Hands over the pairs at these places until told to stop.
    #[inline]
    pub(super) fn visit<Break>(
        &self,
        places: Range<usize>,
        mut take: impl FnMut(Cell, Cell) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        /// Fewer are not worth the buffers.
        const UNPACKED_MIN: usize = 4;
        if places.len() < UNPACKED_MIN {
            return places.into_iter().try_for_each(|index| {
                let pair = self.entry(index);
                take(pair.first(), pair.second())
            });
        }
        let (mut firsts, mut seconds) = ([0; LEAF_MAX], [0; LEAF_MAX]);
        let (firsts, seconds) = (&mut firsts[..places.len()], &mut seconds[..places.len()]);
        self.firsts.unpack(places.start, firsts);
        self.seconds.unpack(places.start, seconds);
        firsts.iter().zip(seconds).try_for_each(|(first, second)| take(Cell(*first), Cell(*second)))
    }
}

/// Packed marks.
#[derive(Clone)]
pub(super) struct Marks {
    physical_ms: Column,
    counters: Column,
    replicas: Column,
    /// The operation's index, and the kind in the lowest bit.
    ops: Column,
}

/// A mark as the four columns have it.
fn parts(mark: Mark) -> [u64; 4] {
    let Stamp { hlc, op } = mark.stamp;
    let kind = u64::from(mark.kind == Kind::Add);
    [hlc.physical_ms(), u64::from(hlc.counter()), hlc.replica().0, u64::from(op) << 1 | kind]
}

impl Marks {
    fn columns(&mut self) -> [&mut Column; 4] {
        [&mut self.physical_ms, &mut self.counters, &mut self.replicas, &mut self.ops]
    }
}

impl Entries for Marks {
    type Entry = Mark;

    fn pack(marks: &[Mark]) -> Self {
        packed(
            marks,
            |mark| parts(*mark),
            |[physical_ms, counters, replicas, ops]| Marks { physical_ms, counters, replicas, ops },
        )
    }

    fn entry(&self, index: usize) -> Mark {
        let counter = self.counters.get(index) as u16;
        let replica = ReplicaId(self.replicas.get(index));
        let op = self.ops.get(index);
        let hlc = Hlc::new(self.physical_ms.get(index), counter, replica);
        let kind = if op & 1 == 0 { Kind::Set } else { Kind::Add };
        Mark { stamp: Stamp { hlc, op: (op >> 1) as u16 }, kind }
    }

    fn insert(&mut self, index: usize, mark: Mark) {
        for (column, part) in self.columns().into_iter().zip(parts(mark)) {
            column.insert(index, part);
        }
    }

    fn set(&mut self, index: usize, mark: Mark) {
        for (column, part) in self.columns().into_iter().zip(parts(mark)) {
            column.set(index, part);
        }
    }

    fn remove(&mut self, index: usize) {
        for column in self.columns() {
            column.remove(index);
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Marks {
            physical_ms: self.physical_ms.split_off(at),
            counters: self.counters.split_off(at),
            replicas: self.replicas.split_off(at),
            ops: self.ops.split_off(at),
        }
    }

    fn append(&mut self, other: Self) {
        self.physical_ms.append(&other.physical_ms);
        self.counters.append(&other.counters);
        self.replicas.append(&other.replicas);
        self.ops.append(&other.ops);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn cell() -> impl Strategy<Value = Cell> {
        let small = (0_u32..60).prop_map(Cell::from_narrow);
        let edge = prop::sample::select(vec![Cell::MIN, Cell::MAX, Cell::scratch(7)]);
        prop_oneof![20 => small, 8 => (0_u64..400).prop_map(Cell), 1 => edge]
    }

    fn mark() -> impl Strategy<Value = Mark> {
        let ms = prop_oneof![0_u64..300, Just(crate::hlc::PHYSICAL_MS_MAX)];
        let replica = prop_oneof![Just(7), any::<u64>()];
        let parts = (ms, prop_oneof![Just(0_u16), any::<u16>()], replica, any::<u16>());
        (parts, any::<bool>()).prop_map(|((ms, counter, replica, op), is_add)| Mark {
            stamp: Stamp { hlc: Hlc::new(ms, counter, ReplicaId(replica)), op },
            kind: if is_add { Kind::Add } else { Kind::Set },
        })
    }

    type Model = BTreeMap<Pair, Mark>;

    fn assert_same(facts: &Facts, pairs: &PairSet, model: &Model) {
        assert!(facts.iter().eq(model.iter().map(|(pair, mark)| (*pair, *mark))));
        assert!(pairs.iter().map(|(pair, ())| pair).eq(model.keys().copied()));
    }

    fn visited(facts: &Facts, from: Pair, until: Pair) -> Vec<Pair> {
        let mut pairs = Vec::new();
        let flow = facts.range(from, until).for_each_leaf(|keys, places| {
            keys.visit(places, |first, second| {
                pairs.push(Pair::new(first, second));
                ControlFlow::<()>::Continue(())
            })
        });
        assert!(flow.is_continue());
        pairs
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn packed_trees_are_sorted_maps(
            entries in prop::collection::vec((cell(), cell(), mark(), 0_u8..8), 0..1_500),
            probes in prop::collection::vec((cell(), cell()), 30),
        ) {
            let (mut facts, mut pairs, mut model) =
                (Facts::default(), PairSet::default(), Model::new());
            let mut old = None;
            for (index, (first, second, mark, dice)) in entries.into_iter().enumerate() {
                let pair = Pair::new(first, second);
                if dice == 1 {
                    let Some((&old, &before)) = model.range(pair..).next() else { continue };
                    let new = Pair::new(old.first(), second);
                    if new == old || !model.contains_key(&new) {
                        let replaced = facts.exchange(old, new, mark);
                        prop_assert!(replaced.is_none_or(|replaced| replaced == before));
                        if replaced.is_some() {
                            model.remove(&old);
                            model.insert(new, mark);
                            if pairs.exchange(old, new, ()).is_none() {
                                pairs.remove(old);
                                pairs.insert(new, ());
                            }
                        }
                    } else {
                        prop_assert_eq!(facts.exchange(old, new, mark), None);
                    }
                } else if dice > 1 {
                    prop_assert_eq!(facts.insert(pair, mark), model.insert(pair, mark));
                    pairs.insert(pair, ());
                } else if let Some((&pair, _)) = model.range(pair..).next() {
                    prop_assert_eq!(facts.remove(pair), model.remove(&pair));
                    prop_assert_eq!(pairs.remove(pair), Some(()));
                }
                if index == 400 {
                    old = Some((facts.clone(), pairs.clone(), model.clone()));
                }
            }
            let (keys, items): (Vec<Pair>, Vec<Mark>) = model.clone().into_iter().unzip();
            let built = (Facts::from_sorted(&keys, &items), pairs.clone(), model.clone());
            let versions = old.into_iter().chain([(facts, pairs, model), built]);
            for (facts, pairs, model) in versions {
                assert_same(&facts, &pairs, &model);
                for window in probes.windows(2) {
                    let [from, until] = [window[0], window[1]].map(|(a, b)| Pair::new(a, b));
                    prop_assert_eq!(facts.get(from), model.get(&from).copied());
                    let range: Vec<Pair> =
                        model.range(from..until.max(from)).map(|(pair, _)| *pair).collect();
                    prop_assert_eq!(facts.count(from, until), range.len());
                    prop_assert!(facts.range(from, until).map(|(pair, _)| pair).eq(range.clone()));
                    prop_assert!(visited(&facts, from, until) == range);
                    for together in Facts::ranges([&facts, &facts].into_iter(), from, until) {
                        prop_assert!(together.map(|(pair, _)| pair).eq(range.clone()));
                    }
                    let mut position = facts.begin();
                    position.seek(from);
                    prop_assert!(position.key() == model.range(from..).next().map(|(pair, _)| *pair));
                }
            }
        }
    }
}

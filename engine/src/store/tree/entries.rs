//! The lists that the leaves of a tree hold: keys, and an item for each of them.
//!
//! They stand apart from the tree because there are several kinds of them: plain vectors for what
//! merge remembers here and there, packed columns for facts, and nothing at all for the items of a
//! set. Whoever calls has checked the places; lists only panic on wrong ones.

use super::insert_tight;

/// A list that leaves hold: one entry for each of their keys, or the keys themselves.
pub(in super::super) trait Entries: Clone {
    /// What it is a list of.
    type Entry: Copy;
    /// The list of these entries.
    fn pack(entries: &[Self::Entry]) -> Self;
    /// The entry at `index`; there is one.
    fn entry(&self, index: usize) -> Self::Entry;
    /// Puts an entry before the one at `index`.
    fn insert(&mut self, index: usize, entry: Self::Entry);
    /// Exchanges the entry at `index`.
    fn set(&mut self, index: usize, entry: Self::Entry);
    /// Takes the entry at `index` out.
    fn remove(&mut self, index: usize);
    /// Parts the list before `at`.
    fn split_off(&mut self, at: usize) -> Self;
    /// Takes over the entries of another list.
    fn append(&mut self, other: Self);
}

/// A list that leaves search.
pub(in super::super) trait Keys: Entries<Entry: Ord> {
    /// How many keys there are.
    fn len(&self) -> usize;
    /// The first place in `begin..end` whose key is not below `key`, else `end`. Keys ascend.
    fn lower_bound(&self, begin: usize, end: usize, key: Self::Entry) -> usize;
}

/// A plain list.
impl<T: Copy> Entries for Vec<T> {
    type Entry = T;
    fn pack(entries: &[T]) -> Self {
        entries.to_vec()
    }
    fn entry(&self, index: usize) -> T {
        self[index]
    }
    fn insert(&mut self, index: usize, entry: T) {
        insert_tight(self, index, entry);
    }
    fn set(&mut self, index: usize, entry: T) {
        self[index] = entry;
    }
    fn remove(&mut self, index: usize) {
        Vec::remove(self, index);
    }
    fn split_off(&mut self, at: usize) -> Self {
        Vec::split_off(self, at)
    }
    fn append(&mut self, other: Self) {
        self.extend(other);
    }
}

impl<T: Copy + Ord> Keys for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn lower_bound(&self, begin: usize, end: usize, key: T) -> usize {
        begin + self[begin..end].partition_point(|other| *other < key)
    }
}

/// The items of a set: nothing.
#[derive(Clone)]
pub(in super::super) struct Units;

impl Entries for Units {
    type Entry = ();
    fn pack(_: &[()]) -> Self {
        Units
    }
    fn entry(&self, _: usize) {}
    fn insert(&mut self, _: usize, (): ()) {}
    fn set(&mut self, _: usize, (): ()) {}
    fn remove(&mut self, _: usize) {}
    fn split_off(&mut self, _: usize) -> Self {
        Units
    }
    fn append(&mut self, _: Self) {}
}

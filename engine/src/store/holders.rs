//! The way back from values to the entities that hold them.
//!
//! References always have it, because a deletion must find them. For other values it is built when
//! someone first asks and kept up from then on: most attributes are never asked by value, and the
//! second order costs a write as much as the first. Invariants: `refs` holds (value, entity) for
//! exactly the visible facts whose value is a ref; `others`, once built, for exactly the others.
//!
//! Whoever asks first may hold an old snapshot whose successors exist already. So that those do
//! not build it again for every question, the wish is shared by all versions of the attribute, and
//! the next write to one that lacks the order builds it. Only speed depends on who asked.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::intern::Cell;

use super::pairs::{Facts, Pair, PairSet};
use super::radix;

/// (value, entity) of the visible facts of one attribute.
#[derive(Clone, Default)]
pub(super) struct Holders {
    refs: PairSet,
    others: OnceLock<PairSet>,
    is_wanted: Arc<AtomicBool>,
}

impl Holders {
    /// The tree that has the entities of this value; `visible` is the attribute's facts.
    pub(super) fn of(&self, value: Cell, visible: &Facts) -> &PairSet {
        // No fact has a scratch cell: any tree tells, and none is built for it.
        if value.is_ref() || value.as_scratch().is_some() {
            return &self.refs;
        }
        let [others, _] = self.both(visible);
        others
    }

    /// Of the facts that begin an index.
    pub(super) fn of_refs(facts: &[Pair]) -> Holders {
        let refs: Vec<Pair> = facts.iter().filter(|pair| pair.second().is_ref()).copied().collect();
        let refs = swapped(refs);
        Holders { refs, ..Holders::default() }
    }

    /// The tree that has the entities of this value, if it need not be built for that.
    pub(super) fn if_built(&self, value: Cell) -> Option<&PairSet> {
        match value.is_ref() || value.as_scratch().is_some() {
            true => Some(&self.refs),
            false => self.others.get(),
        }
    }

    /// The trees of the values that do not refer, and of those that do.
    pub(super) fn both(&self, visible: &Facts) -> [&PairSet; 2] {
        let others = self.others.get_or_init(|| {
            // Where every value refers there is nothing to build, nor to keep up for anyone.
            if self.refs.len() == visible.len() {
                return PairSet::default();
            }
            self.is_wanted.store(true, Ordering::Relaxed);
            build(visible)
        });
        [others, &self.refs]
    }

    /// The tree of the values that refer.
    pub(super) fn refs(&self) -> &PairSet {
        &self.refs
    }

    /// To be called before `visible` is written: builds what other versions were asked for.
    pub(super) fn prepare(&mut self, visible: &Facts) {
        if self.others.get().is_none() && self.is_wanted.load(Ordering::Relaxed) {
            self.others = OnceLock::from(build(visible));
        }
    }

    /// Follows the insertion of a fact, given as (entity, value).
    pub(super) fn insert(&mut self, pair: Pair) {
        if let Some(tree) = self.kept(pair) {
            tree.insert(pair.swap(), ());
        }
    }

    /// Follows the removal of a fact that was there, given as (entity, value).
    pub(super) fn remove(&mut self, pair: Pair) {
        if let Some(tree) = self.kept(pair) {
            tree.take(pair.swap());
        }
    }

    fn kept(&mut self, pair: Pair) -> Option<&mut PairSet> {
        if pair.second().is_ref() { Some(&mut self.refs) } else { self.others.get_mut() }
    }

    /// Asserts the invariants.
    #[cfg(test)]
    pub(super) fn check(&self, visible: &Facts) {
        let others = self.others.get().into_iter().flat_map(PairSet::iter);
        let mut held: Vec<Pair> = self.refs.iter().chain(others).map(|(pair, ())| pair).collect();
        held.sort_unstable();
        let is_built = self.others.get().is_some();
        let is_kept = |pair: &Pair| is_built || pair.first().is_ref();
        let mut expected: Vec<Pair> = visible.iter().map(|(pair, _)| pair.swap()).collect();
        expected.retain(is_kept);
        expected.sort_unstable();
        assert!(held == expected, "holders and visible facts are one set");
    }
}

fn build(visible: &Facts) -> PairSet {
    let mut facts = Vec::with_capacity(visible.len());
    let _ = visible.iter().for_each_leaf(|keys, places| {
        keys.visit(places, |entity, value| {
            if !value.is_ref() {
                facts.push(Pair::new(entity, value));
            }
            ControlFlow::<()>::Continue(())
        })
    });
    swapped(facts)
}

/// The set of these pairs, which ascend, the other way around.
fn swapped(facts: Vec<Pair>) -> PairSet {
    let halves = |pair: &Pair| pair.second().halves();
    let shared = facts.first().map_or(0, |pair| halves(pair).0);
    let is_narrow = |pair: &Pair| halves(pair).0 == shared && pair.first().is_ref();
    let pairs: Vec<Pair> = if facts.iter().all(is_narrow) {
        // Each is one word of two keys; what comes second ascends already.
        let word = |pair: &Pair| radix::word(halves(pair).1, pair.first().halves().1);
        let mut words: Vec<u64> = facts.iter().map(word).collect();
        drop(facts);
        radix::sort_by_upper(&mut words);
        let pair = |word: u64| {
            let value = Cell::from_halves(shared, radix::upper(word));
            Pair::new(value, Cell::from_narrow(word as u32))
        };
        words.into_iter().map(pair).collect()
    } else {
        let mut pairs: Vec<Pair> = facts.into_iter().map(Pair::swap).collect();
        pairs.sort_unstable();
        pairs
    };
    PairSet::from_sorted(&pairs, &vec![(); pairs.len()])
}

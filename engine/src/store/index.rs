//! One attribute: its visible facts in both orders, and what merge must remember about it.
//!
//! Cells only; what decides visibility is `merge`. Invariants:
//!
//! - `holders` leads from the values of `visible` back to their entities;
//! - `hidden` and `visible` are disjoint: together they are the *held* entries, those `added` that
//!   are or can become visible; `hidden_targets` holds (value, entity) for exactly those keys of
//!   `hidden` whose value is a ref;
//! - `floor(e)` is in `floors`, unless the field holds exactly one entry and that was written by
//!   the floor itself (`set`, same stamp): then it is that entry. Fields written by `set` alone,
//!   the common case, so cost no entry in `floors`.

use std::sync::OnceLock;

use crate::fact::{Kind, Mark};
use crate::hlc::Stamp;
use crate::intern::Cell;
use crate::merge::{Floor, Life, Standing};

use super::estimate;
use super::holders::Holders;
use super::log::ChangeLog;
use super::pairs::{Facts, Marks, Pair, PairSet, Pairs};
use super::tree::{Entries, Keys, Map, Range, Tree, Units};

/// What a field holds, as far as most writes need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// No entry.
    Nothing,
    /// One entry, visible or hidden.
    One(Cell, Mark),
    /// Several entries.
    Many,
}

impl Holding {
    /// The floor that the field's only entry implies: see the invariants above.
    fn implied_floor(self) -> Option<Floor> {
        match self {
            Holding::One(value, Mark { stamp, kind: Kind::Set }) => {
                Some(Floor { stamp, value: Some(value) })
            }
            _ => None,
        }
    }
}

/// The indexes and the merge state of one attribute.
#[derive(Clone, Default)]
pub(super) struct AttributeIndex {
    visible: Facts,
    holders: Holders,
    hidden: Map<Pair, Mark>,
    hidden_targets: Map<Pair, ()>,
    floors: Map<Cell, Floor>,
    removed: Map<Pair, Stamp>,
    /// What was estimated of this version.
    distinct: OnceLock<(u64, u64)>,
}

/// The range of the keys that begin with `first`.
fn bounds(first: Cell) -> (Pair, Pair) {
    (Pair::new(first, Cell::MIN), Pair::new(first.after(), Cell::MIN))
}

/// The entries whose key begins with `first`.
fn group<K: Keys<Entry = Pair>, I: Entries>(tree: &Tree<K, I>, first: Cell) -> Range<'_, K, I> {
    let (from, until) = bounds(first);
    tree.range(from, until)
}

fn group_len<K: Keys<Entry = Pair>, I: Entries>(tree: &Tree<K, I>, first: Cell) -> usize {
    let (from, until) = bounds(first);
    tree.count(from, until)
}

impl AttributeIndex {
    /// The index of these visible facts and stored floors, both sorted by their keys. The caller
    /// keeps the invariant of floors.
    pub(super) fn from_sorted(pairs: &[Pair], marks: &[Mark], floors: &[(Cell, Floor)]) -> Self {
        let (entities, floors): (Vec<Cell>, Vec<Floor>) = floors.iter().copied().unzip();
        AttributeIndex {
            visible: Facts::from_sorted(pairs, marks),
            holders: Holders::of_refs(pairs),
            floors: Map::from_sorted(&entities, &floors),
            ..AttributeIndex::default()
        }
    }

    /// Visible facts, by (entity, value).
    pub(super) fn facts(&self) -> Range<'_, Pairs, Marks> {
        self.visible.iter()
    }

    /// How many facts are visible.
    pub(super) fn len(&self) -> usize {
        self.visible.len()
    }

    /// Visible facts of one field, by value.
    pub(super) fn field(&self, entity: Cell) -> Range<'_, Pairs, Marks> {
        group(&self.visible, entity)
    }

    /// What [`AttributeIndex::field`] gives of each of these attributes, in less time than one
    /// after the other.
    pub(super) fn fields<'i>(
        indexes: impl Iterator<Item = &'i AttributeIndex>,
        entity: Cell,
    ) -> Vec<Range<'i, Pairs, Marks>> {
        let (from, until) = bounds(entity);
        Facts::ranges(indexes.map(|index| &index.visible), from, until)
    }

    /// The least value of a field.
    #[inline]
    pub(super) fn first_value(&self, entity: Cell) -> Option<Cell> {
        let first = self.visible.ceiling(Pair::new(entity, Cell::MIN));
        first.filter(|pair| pair.first() == entity).map(Pair::second)
    }

    pub(super) fn field_len(&self, entity: Cell) -> usize {
        group_len(&self.visible, entity)
    }

    /// The tree of the visible facts.
    pub(super) fn visible(&self) -> &Facts {
        &self.visible
    }

    /// (value, entity) of the visible facts: of values that do not refer, and of those that do,
    /// which sort behind them.
    pub(super) fn both_holders(&self) -> (&PairSet, &PairSet) {
        let [others, refs] = self.holders.both(&self.visible);
        (others, refs)
    }

    /// (value, entity) of visible facts whose value refers.
    pub(super) fn refs_by_value(&self) -> &PairSet {
        self.holders.refs()
    }

    /// The trees of [`AttributeIndex::both_holders`] that can have values in `from..until`.
    pub(super) fn holders_between(&self, from: Cell, until: Cell) -> [Option<&PairSet>; 2] {
        let refs = (until > Cell::REFS).then(|| self.holders.refs());
        let others = (from < until.min(Cell::REFS)).then(|| self.both_holders().0);
        [others, refs]
    }

    /// Roughly how many different entities the facts have.
    pub(super) fn n_entities(&self) -> u64 {
        self.distinct().0
    }

    /// Roughly how many different values the facts have.
    pub(super) fn n_values(&self) -> u64 {
        self.distinct().1
    }

    /// How many facts have this value: exactly where that is known or they are few, else roughly.
    /// Builds no order.
    pub(super) fn n_holders(&self, value: Cell) -> u64 {
        match self.holders.if_built(value) {
            Some(tree) => group_len(tree, value) as u64,
            None => estimate::holders(&self.visible, value, self.n_values()),
        }
    }

    /// Estimates of entities and values; made once for each version of the attribute.
    fn distinct(&self) -> (u64, u64) {
        *self.distinct.get_or_init(|| {
            let refs = self.holders.refs();
            let n_others = self.visible.len() - refs.len();
            let others = estimate::distinct_others(&self.visible, n_others);
            let values = others + estimate::distinct_firsts(refs);
            (estimate::distinct_firsts(&self.visible), values)
        })
    }

    /// (value, entity) of visible facts of one value, by entity.
    pub(super) fn holders(&self, value: Cell) -> Range<'_, Pairs, Units> {
        group(self.holders_tree(value), value)
    }

    /// The tree that has the facts of this value.
    pub(super) fn holders_tree(&self, value: Cell) -> &PairSet {
        self.holders.of(value, &self.visible)
    }

    pub(super) fn holders_len(&self, value: Cell) -> usize {
        group_len(self.holders.of(value, &self.visible), value)
    }

    /// The mark of a visible fact.
    pub(super) fn mark(&self, entity: Cell, value: Cell) -> Option<Mark> {
        self.visible.get(Pair::new(entity, value))
    }

    /// The mark of an entry that is held, visible or hidden.
    pub(super) fn held(&self, entity: Cell, value: Cell) -> Option<Mark> {
        self.mark(entity, value).or_else(|| self.hidden.get(Pair::new(entity, value)))
    }

    /// The values held in a field, in no stated order.
    pub(super) fn held_values(&self, entity: Cell) -> Vec<Cell> {
        let value = |(pair, _): (Pair, Mark)| pair.second();
        let mut values: Vec<Cell> = self.field(entity).map(value).collect();
        if !self.hidden.is_empty() {
            values.extend(group(&self.hidden, entity).map(value));
        }
        values
    }

    /// The entities that hold a reference to `target`, in no stated order.
    pub(super) fn held_referrers(&self, target: Cell) -> Vec<Cell> {
        let entity = |(pair, ()): (Pair, ())| pair.second();
        let mut entities: Vec<Cell> = self.holders(target).map(entity).collect();
        entities.extend(group(&self.hidden_targets, target).map(entity));
        entities
    }

    /// The greatest stamp that a `remove` of this value covered.
    pub(super) fn removed(&self, entity: Cell, value: Cell) -> Option<Stamp> {
        self.removed.get(Pair::new(entity, value))
    }

    /// Records what a `remove` covered.
    pub(super) fn remove(&mut self, entity: Cell, value: Cell, covered: Stamp) {
        if Some(covered) > self.removed(entity, value) {
            self.removed.insert(Pair::new(entity, value), covered);
        }
    }

    /// Forgets what was removed from this value.
    pub(super) fn forget_removed(&mut self, entity: Cell, value: Cell) {
        self.removed.remove(Pair::new(entity, value));
    }

    /// What a field holds, in one search.
    pub(super) fn holding(&self, entity: Cell) -> Holding {
        let mut visible = self.field(entity);
        let first = visible.next();
        let (first, is_alone) = match (first, self.hidden.is_empty()) {
            (first, true) => (first, visible.next().is_none()),
            (first, false) => {
                let mut held = first.into_iter().chain(visible).chain(group(&self.hidden, entity));
                (held.next(), held.next().is_none())
            }
        };
        match first {
            None => Holding::Nothing,
            Some((pair, mark)) if is_alone => Holding::One(pair.second(), mark),
            Some(_) => Holding::Many,
        }
    }

    /// The greatest `set` or `unset` of a field.
    pub(super) fn floor(&self, entity: Cell) -> Option<Floor> {
        self.floor_over(entity, self.holding(entity))
    }

    /// The same, for who knows what the field holds.
    pub(super) fn floor_over(&self, entity: Cell, holding: Holding) -> Option<Floor> {
        self.floors.get(entity).or_else(|| holding.implied_floor())
    }

    /// Records the floor of a field, or that it has none. To be called with what
    /// [`AttributeIndex::floor`] said before the entries of the field changed, or a greater one.
    pub(super) fn keep_floor(&mut self, entity: Cell, floor: Option<Floor>) {
        let is_stored = |floor: &Floor| self.holding(entity).implied_floor() != Some(*floor);
        match floor.filter(is_stored) {
            Some(floor) if self.floors.get(entity) == Some(floor) => {}
            Some(floor) => drop(self.floors.insert(entity, floor)),
            None => drop(self.floors.remove(entity)),
        }
    }

    /// The floor that the field's visible `set` facts alone give it, `None` without one.
    pub(super) fn floor_of_visible(
        &self,
        entity: Cell,
        max: impl Fn(Floor, Option<Floor>) -> Floor,
    ) -> Option<Floor> {
        self.field(entity)
            .filter(|(_, mark)| mark.kind == Kind::Set)
            .map(|(pair, mark)| Floor { stamp: mark.stamp, value: Some(pair.second()) })
            .fold(None, |floor, next| Some(max(next, floor)))
    }

    /// Forgets what a deletion makes meaningless: floors and removals of the entity that are not
    /// later than it. Every entry they could still forbid, the deletion forbids.
    pub(super) fn bury(&mut self, entity: Cell, life: Life) {
        if self.floors.get(entity).is_some_and(|floor| life.has_buried(floor.stamp)) {
            self.floors.remove(entity);
        }
        if self.removed.is_empty() {
            return;
        }
        let buried: Vec<Pair> = group(&self.removed, entity)
            .filter(|(_, covered)| life.has_buried(*covered))
            .map(|(pair, _)| pair)
            .collect();
        for pair in buried {
            self.removed.remove(pair);
        }
    }

    /// Makes an entry visible, hidden or forgotten.
    pub(super) fn place(
        &mut self,
        pair: Pair,
        mark: Mark,
        standing: Standing,
        log: &mut ChangeLog<'_>,
    ) {
        self.distinct.take();
        self.holders.prepare(&self.visible);
        match standing {
            Standing::Visible => {
                self.unhide(pair);
                self.show(pair, mark, log);
            }
            Standing::Hidden => {
                self.conceal(pair, log);
                self.hidden.insert(pair, mark);
                if pair.second().is_ref() {
                    self.hidden_targets.insert(pair.swap(), ());
                }
            }
            Standing::Lost => {
                self.conceal(pair, log);
                self.unhide(pair);
            }
        }
    }

    /// Puts a visible `set` in the place of the one entry that its field holds and it outdates, as
    /// most writes do. Whether it could be done: no entry has changed if not.
    pub(super) fn replace(
        &mut self,
        entity: Cell,
        [old, new]: [Cell; 2],
        mark: Mark,
        log: &mut ChangeLog<'_>,
    ) -> bool {
        let [old, new] = [old, new].map(|value| Pair::new(entity, value));
        self.holders.prepare(&self.visible);
        let Some(before) = self.visible.exchange(old, new, mark) else { return false };
        self.distinct.take();
        if old == new {
            log.touch(new, Some(before), Some(mark));
        } else {
            self.holders.remove(old);
            self.holders.insert(new);
            log.touch(old, Some(before), None);
            log.touch(new, None, Some(mark));
        }
        // The entry implies the floor now: see the invariants above.
        if !self.floors.is_empty() {
            self.floors.remove(entity);
        }
        true
    }

    fn show(&mut self, pair: Pair, mark: Mark, log: &mut ChangeLog<'_>) {
        let before = self.visible.insert(pair, mark);
        if before.is_none() {
            self.holders.insert(pair);
        }
        log.touch(pair, before, Some(mark));
    }

    fn conceal(&mut self, pair: Pair, log: &mut ChangeLog<'_>) {
        if let Some(before) = self.visible.remove(pair) {
            self.holders.remove(pair);
            log.touch(pair, Some(before), None);
        }
    }

    fn unhide(&mut self, pair: Pair) {
        if self.hidden.remove(pair).is_some() && pair.second().is_ref() {
            self.hidden_targets.remove(pair.swap());
        }
    }

    /// Whether the order by value is there.
    #[cfg(test)]
    pub(super) fn is_built_by_value(&self) -> bool {
        self.holders.if_built(Cell::MIN).is_some()
    }

    /// Asserts the invariants at the top of this file, but for the floors.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.holders.check(&self.visible);
        let refs =
            self.hidden.iter().map(|(pair, _)| pair.swap()).filter(|pair| pair.first().is_ref());
        let mut targets: Vec<Pair> = refs.collect();
        targets.sort_unstable();
        assert!(self.hidden_targets.iter().map(|(pair, ())| pair).eq(targets));
        assert!(self.hidden.iter().all(|(pair, _)| self.visible.get(pair).is_none()));
        let is_implied =
            |(entity, floor): (Cell, Floor)| self.holding(entity).implied_floor() == Some(floor);
        assert!(!self.floors.iter().any(is_implied), "an implied floor costs no entry");
    }
}

//! One attribute: its visible facts in both orders, and what merge must remember about it.
//!
//! Cells only; what decides visibility is `merge`. Invariants:
//!
//! - `entities` holds (value, entity) for exactly the keys (entity, value) of `visible`;
//! - `hidden` and `visible` are disjoint: together they are the *held* entries, those `added` that
//!   are or can become visible; `hidden_targets` holds (value, entity) for exactly those keys of
//!   `hidden` whose value is a ref;
//! - `floor(e)` is in `floors`, unless the field holds exactly one entry and that was written by
//!   the floor itself (`set`, same stamp): then it is that entry. Fields written by `set` alone,
//!   the common case, so cost no entry in `floors`.

use crate::fact::{Kind, Mark};
use crate::hlc::Stamp;
use crate::intern::Cell;
use crate::merge::{Floor, Life, Standing};

use super::log::ChangeLog;
use super::tree::{Range, Tree};

/// Two cells as a key: (entity, value), or (value, entity).
pub(crate) type Pair = (Cell, Cell);

/// The indexes and the merge state of one attribute.
#[derive(Clone, Default)]
pub(crate) struct AttributeIndex {
    visible: Tree<Pair, Mark>,
    entities: Tree<Pair, ()>,
    hidden: Tree<Pair, Mark>,
    hidden_targets: Tree<Pair, ()>,
    floors: Tree<Cell, Floor>,
    removed: Tree<Pair, Stamp>,
}

/// The entries whose key begins with `first`.
fn group<Item: Clone>(tree: &Tree<Pair, Item>, first: Cell) -> Range<'_, Pair, Item> {
    tree.range(&(first, Cell::MIN), (first.after(), Cell::MIN))
}

fn group_len<Item: Clone>(tree: &Tree<Pair, Item>, first: Cell) -> usize {
    tree.count(&(first, Cell::MIN), &(first.after(), Cell::MIN))
}

impl AttributeIndex {
    /// Visible facts, by (entity, value).
    pub(crate) fn facts(&self) -> Range<'_, Pair, Mark> {
        self.visible.iter()
    }

    /// How many facts are visible.
    pub(crate) fn len(&self) -> usize {
        self.visible.len()
    }

    /// Visible facts of one field, by value.
    pub(crate) fn field(&self, entity: Cell) -> Range<'_, Pair, Mark> {
        group(&self.visible, entity)
    }

    pub(crate) fn field_len(&self, entity: Cell) -> usize {
        group_len(&self.visible, entity)
    }

    /// (value, entity) of visible facts of one value, by entity.
    pub(crate) fn holders(&self, value: Cell) -> Range<'_, Pair, ()> {
        group(&self.entities, value)
    }

    pub(crate) fn holders_len(&self, value: Cell) -> usize {
        group_len(&self.entities, value)
    }

    /// The mark of a visible fact.
    pub(crate) fn mark(&self, entity: Cell, value: Cell) -> Option<Mark> {
        self.visible.get(&(entity, value)).copied()
    }

    /// The mark of an entry that is held, visible or hidden.
    pub(crate) fn held(&self, entity: Cell, value: Cell) -> Option<Mark> {
        self.mark(entity, value).or_else(|| self.hidden.get(&(entity, value)).copied())
    }

    /// The values held in a field, in no stated order.
    pub(crate) fn held_values(&self, entity: Cell) -> Vec<Cell> {
        let value = |((_, value), _): (&Pair, &Mark)| *value;
        let mut values: Vec<Cell> = self.field(entity).map(value).collect();
        if !self.hidden.is_empty() {
            values.extend(group(&self.hidden, entity).map(value));
        }
        values
    }

    /// The entities that hold a reference to `target`, in no stated order.
    pub(crate) fn held_referrers(&self, target: Cell) -> Vec<Cell> {
        let entity = |((_, entity), ()): (&Pair, &())| *entity;
        let mut entities: Vec<Cell> = self.holders(target).map(entity).collect();
        entities.extend(group(&self.hidden_targets, target).map(entity));
        entities
    }

    /// The greatest stamp that a `remove` of this value covered.
    pub(crate) fn removed(&self, entity: Cell, value: Cell) -> Option<Stamp> {
        self.removed.get(&(entity, value)).copied()
    }

    /// Records what a `remove` covered.
    pub(crate) fn remove(&mut self, entity: Cell, value: Cell, covered: Stamp) {
        if Some(covered) > self.removed(entity, value) {
            self.removed.insert((entity, value), covered);
        }
    }

    /// Forgets what was removed from this value.
    pub(crate) fn forget_removed(&mut self, entity: Cell, value: Cell) {
        self.removed.remove(&(entity, value));
    }

    /// The greatest `set` or `unset` of a field.
    pub(crate) fn floor(&self, entity: Cell) -> Option<Floor> {
        self.floors.get(&entity).copied().or_else(|| self.implied_floor(entity))
    }

    /// The floor that the field's only entry implies, if it has one entry and that was `set`.
    fn implied_floor(&self, entity: Cell) -> Option<Floor> {
        let mut visible = self.field(entity);
        let first = visible.next();
        let (&(_, value), mark) = match (first, self.hidden.is_empty()) {
            (first, true) => first.filter(|_| visible.next().is_none())?,
            (first, false) => {
                let mut held = first.into_iter().chain(visible).chain(group(&self.hidden, entity));
                held.next().filter(|_| held.next().is_none())?
            }
        };
        (mark.kind == Kind::Set).then_some(Floor { stamp: mark.stamp, value: Some(value) })
    }

    /// Records the floor of a field, or that it has none. To be called with what
    /// [`AttributeIndex::floor`] said before the entries of the field changed, or a greater one.
    pub(crate) fn keep_floor(&mut self, entity: Cell, floor: Option<Floor>) {
        match floor.filter(|floor| self.implied_floor(entity) != Some(*floor)) {
            Some(floor) if self.floors.get(&entity) == Some(&floor) => {}
            Some(floor) => drop(self.floors.insert(entity, floor)),
            None => drop(self.floors.remove(&entity)),
        }
    }

    /// The floor that the field's visible `set` facts alone give it, `None` without one.
    pub(crate) fn floor_of_visible(
        &self,
        entity: Cell,
        max: impl Fn(Floor, Option<Floor>) -> Floor,
    ) -> Option<Floor> {
        self.field(entity)
            .filter(|(_, mark)| mark.kind == Kind::Set)
            .map(|(&(_, value), mark)| Floor { stamp: mark.stamp, value: Some(value) })
            .fold(None, |floor, next| Some(max(next, floor)))
    }

    /// Forgets what a deletion makes meaningless: floors and removals of the entity that are not
    /// later than it. Every entry they could still forbid, the deletion forbids.
    pub(crate) fn bury(&mut self, entity: Cell, life: Life) {
        if self.floors.get(&entity).is_some_and(|floor| life.has_buried(floor.stamp)) {
            self.floors.remove(&entity);
        }
        if self.removed.is_empty() {
            return;
        }
        let buried: Vec<Pair> = group(&self.removed, entity)
            .filter(|(_, covered)| life.has_buried(**covered))
            .map(|(pair, _)| *pair)
            .collect();
        for pair in buried {
            self.removed.remove(&pair);
        }
    }

    /// Makes an entry visible, hidden or forgotten.
    pub(crate) fn place(
        &mut self,
        (entity, value): Pair,
        mark: Mark,
        standing: Standing,
        log: &mut ChangeLog<'_>,
    ) {
        match standing {
            Standing::Visible => {
                self.unhide(entity, value);
                self.show(entity, value, mark, log);
            }
            Standing::Hidden => {
                self.conceal(entity, value, log);
                self.hidden.insert((entity, value), mark);
                if value.is_ref() {
                    self.hidden_targets.insert((value, entity), ());
                }
            }
            Standing::Lost => {
                self.conceal(entity, value, log);
                self.unhide(entity, value);
            }
        }
    }

    fn show(&mut self, entity: Cell, value: Cell, mark: Mark, log: &mut ChangeLog<'_>) {
        let before = self.visible.insert((entity, value), mark);
        if before.is_none() {
            self.entities.insert((value, entity), ());
        }
        log.touch((entity, value), before, Some(mark));
    }

    fn conceal(&mut self, entity: Cell, value: Cell, log: &mut ChangeLog<'_>) {
        if let Some(before) = self.visible.remove(&(entity, value)) {
            self.entities.remove(&(value, entity));
            log.touch((entity, value), Some(before), None);
        }
    }

    fn unhide(&mut self, entity: Cell, value: Cell) {
        if self.hidden.remove(&(entity, value)).is_some() && value.is_ref() {
            self.hidden_targets.remove(&(value, entity));
        }
    }
}

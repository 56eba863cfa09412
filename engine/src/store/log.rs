//! The changes of one step as they happen, and their consolidation into a delta.
//!
//! While a transaction is merged one fact can come and go several times; the log notes each touch
//! as cells, and only what differs in the end becomes facts.

use crate::fact::{FactChange, Mark};
use crate::hlc::Stamp;
use crate::ids::EntityId;
use crate::intern::{Cell, Dictionary};
use crate::merge::Life;

use super::StoreDelta;
use super::index::Pair;
use super::snapshot::{AttributeId, Snapshot};
use super::tree::Tree;

struct Touch {
    attribute: AttributeId,
    pair: Pair,
    before: Option<Mark>,
    after: Option<Mark>,
}

/// What a step has done so far.
#[derive(Default)]
pub(super) struct Changes {
    touches: Vec<Touch>,
    /// Entities whose maxima changed, with what they were before that change.
    lives: Vec<(Cell, Life)>,
}

/// The log of one attribute's changes.
pub(crate) struct ChangeLog<'changes> {
    attribute: AttributeId,
    changes: &'changes mut Changes,
}

impl ChangeLog<'_> {
    /// Notes that a fact's mark went from `before` to `after`.
    pub(super) fn touch(&mut self, pair: Pair, before: Option<Mark>, after: Option<Mark>) {
        if before != after {
            let attribute = self.attribute;
            self.changes.touches.push(Touch { attribute, pair, before, after });
        }
    }
}

impl Changes {
    pub(super) fn of(&mut self, attribute: AttributeId) -> ChangeLog<'_> {
        ChangeLog { attribute, changes: self }
    }

    /// Notes what an entity's maxima were before they changed.
    pub(super) fn life(&mut self, entity: Cell, before: Life) {
        self.lives.push((entity, before));
    }

    /// The consolidated delta; `view` and `lives` are the state after the step.
    pub(super) fn into_delta(mut self, view: &Snapshot, lives: &Tree<Cell, Life>) -> StoreDelta {
        // The sorts are stable: of one fact, the touches stay in the order they happened.
        self.touches.sort_by_key(|touch| (touch.attribute, touch.pair));
        let one_fact = |a: &Touch, b: &Touch| (a.attribute, a.pair) == (b.attribute, b.pair);
        let mut facts: Vec<FactChange> = self
            .touches
            .chunk_by(one_fact)
            .filter_map(|touches| {
                let (first, last) = (touches.first()?, touches.last()?);
                let (entity, value) = first.pair;
                (first.before != last.after).then(|| FactChange {
                    fact: view.fact(first.attribute, entity, value),
                    before: first.before,
                    after: last.after,
                })
            })
            .collect();
        facts.sort_unstable_by(|a, b| a.fact.cmp(&b.fact));
        self.lives.sort_by_key(|(entity, _)| *entity);
        self.lives.dedup_by_key(|(entity, _)| *entity);
        StoreDelta {
            facts,
            deleted: self.risen(&view.dictionary, lives, |life| life.deleted),
            restored: self.risen(&view.dictionary, lives, |life| life.restored),
        }
    }

    fn risen(
        &self,
        dictionary: &Dictionary,
        lives: &Tree<Cell, Life>,
        stamp: impl Fn(Life) -> Option<Stamp>,
    ) -> Vec<(EntityId, Stamp)> {
        let risen = |(cell, before): &(Cell, Life)| {
            let after = stamp(lives.get(cell).copied().unwrap_or_default());
            let entity = dictionary.entity(*cell).expect("entity cells are refs");
            after.filter(|_| after > stamp(*before)).map(|after| (entity, after))
        };
        let mut entities: Vec<_> = self.lives.iter().filter_map(risen).collect();
        entities.sort_unstable();
        entities
    }
}

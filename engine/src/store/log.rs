//! The changes of one step as they happen, and their consolidation into a delta.
//!
//! While a transaction is merged one fact can come and go several times; the log notes each touch
//! as cells, and only what differs in the end becomes facts.

use crate::fact::{Fact, FactChange, Mark};
use crate::hlc::Stamp;
use crate::ids::EntityId;
use crate::intern::{Cell, Dictionary};
use crate::merge::Life;

use super::StoreDelta;
use super::pairs::Pair;
use super::snapshot::{AttributeId, Snapshot};
use super::tree::Map;

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
    pub(super) fn into_delta(mut self, view: &Snapshot, lives: &Map<Cell, Life>) -> StoreDelta {
        self.lives.sort_by_key(|(entity, _)| *entity);
        self.lives.dedup_by_key(|(entity, _)| *entity);
        StoreDelta {
            deleted: self.risen(&view.dictionary, lives, |life| life.deleted),
            restored: self.risen(&view.dictionary, lives, |life| life.restored),
            facts: fact_changes(self.touches, view),
        }
    }

    fn risen(
        &self,
        dictionary: &Dictionary,
        lives: &Map<Cell, Life>,
        stamp: impl Fn(Life) -> Option<Stamp>,
    ) -> Vec<(EntityId, Stamp)> {
        let risen = |(cell, before): &(Cell, Life)| {
            let after = stamp(lives.get(*cell).unwrap_or_default());
            let entity = dictionary.entity(*cell).expect("entity cells are refs");
            after.filter(|_| after > stamp(*before)).map(|after| (entity, after))
        };
        let mut entities: Vec<_> = self.lives.iter().filter_map(risen).collect();
        entities.sort_unstable();
        entities
    }
}

/// One change for each fact that differs in the end, in order of the facts.
///
/// Sorted by entity cells first: texts are then compared once an entity, not once a fact.
fn fact_changes(mut touches: Vec<Touch>, view: &Snapshot) -> Vec<FactChange> {
    let entity = |touch: &Touch| touch.pair.first();
    let (ranks, reader) = (view.names.ranks(), view.dictionary.read());
    // The sort is stable: of one fact, the touches stay in the order they happened.
    touches.sort_by_key(|touch| (entity(touch), ranks[touch.attribute.0 as usize], touch.pair));
    let mut groups: Vec<(EntityId, &[Touch])> = touches
        .chunk_by(|a, b| entity(a) == entity(b))
        .map(|touches| (reader.entity(entity(&touches[0])).clone(), touches))
        .collect();
    groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let mut changes: Vec<FactChange> = Vec::with_capacity(touches.len());
    for (entity, touches) in groups {
        for of_field in touches.chunk_by(|a, b| a.attribute == b.attribute) {
            let attribute = view.attribute(of_field[0].attribute);
            let begin = changes.len();
            changes.extend(of_field.chunk_by(|a, b| a.pair == b.pair).filter_map(|touches| {
                let (before, after) = (touches.first()?.before, touches.last()?.after);
                (before != after).then(|| FactChange {
                    fact: Fact {
                        entity: entity.clone(),
                        attribute: attribute.clone(),
                        value: reader.value(touches[0].pair.second()),
                    },
                    before,
                    after,
                })
            }));
            changes[begin..].sort_unstable_by(|a, b| a.fact.value.cmp(&b.fact.value));
        }
    }
    changes
}

//! What one step changed, inside one replica: visible facts before and after, and tombstones.
//!
//! It exists so that whoever watches a store pays for what changed. A delta is consolidated: one
//! entry for each fact whose mark differs between the two states, in order of the facts; what
//! came and went within the step is not in it. Merging, and hidden facts, are left out.

use std::collections::BTreeMap;
use std::iter::Peekable;

use crate::fact::FactChange;
use crate::hlc::Stamp;
use crate::ids::EntityId;

/// What one step changed: of visible facts, consolidated (one entry a fact, in order of the
/// facts), and of tombstones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreDelta {
    /// Sorted by fact, no duplicates; marks before and after differ.
    pub facts: Vec<FactChange>,
    /// Entities whose greatest deletion stamp rose, with it; sorted, no duplicates.
    pub deleted: Vec<(EntityId, Stamp)>,
    /// Entities whose greatest restored stamp rose, with it; sorted, no duplicates.
    pub restored: Vec<(EntityId, Stamp)>,
}

impl StoreDelta {
    /// Whether the step changed nothing that can be seen.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.deleted.is_empty() && self.restored.is_empty()
    }

    /// The delta that leads back: every fact's marks exchanged. It says nothing of tombstones,
    /// because a delta can only raise them; facts alone lead back exactly.
    pub fn inverse(self) -> StoreDelta {
        let swap = |change: FactChange| FactChange {
            fact: change.fact,
            before: change.after,
            after: change.before,
        };
        let facts = self.facts.into_iter().map(swap).collect();
        StoreDelta { facts, deleted: Vec::new(), restored: Vec::new() }
    }

    /// Deltas that follow each other as one, consolidated. O(n log n) in their changes.
    pub fn concat(deltas: Vec<StoreDelta>) -> StoreDelta {
        let mut deltas = deltas;
        while deltas.len() > 1 {
            let mut pairs = deltas.into_iter();
            deltas = Vec::new();
            while let Some(first) = pairs.next() {
                deltas.push(match pairs.next() {
                    Some(second) => first.then(second),
                    None => first,
                });
            }
        }
        deltas.pop().unwrap_or_default()
    }

    /// This delta followed by another one, consolidated. `next` begins where `self` ends: the
    /// marks before of the one are the marks after of the other.
    pub fn then(self, next: StoreDelta) -> StoreDelta {
        let facts = Joined {
            first: self.facts.into_iter().peekable(),
            second: next.facts.into_iter().peekable(),
        };
        StoreDelta {
            facts: facts.filter(|change| change.before != change.after).collect(),
            deleted: greatest(self.deleted, next.deleted),
            restored: greatest(self.restored, next.restored),
        }
    }
}

/// Two sorted lists of changes as one; a fact in both keeps its outer marks, which may be equal.
struct Joined<First: Iterator, Second: Iterator> {
    first: Peekable<First>,
    second: Peekable<Second>,
}

impl<First, Second> Iterator for Joined<First, Second>
where
    First: Iterator<Item = FactChange>,
    Second: Iterator<Item = FactChange>,
{
    type Item = FactChange;

    fn next(&mut self) -> Option<FactChange> {
        let order = match (self.first.peek(), self.second.peek()) {
            (Some(first), Some(second)) => first.fact.cmp(&second.fact),
            (Some(_), None) => return self.first.next(),
            (None, _) => return self.second.next(),
        };
        if order.is_gt() {
            return self.second.next();
        }
        let mut change = self.first.next()?;
        if order.is_eq() {
            change.after = self.second.next()?.after;
        }
        Some(change)
    }
}

fn greatest(
    first: Vec<(EntityId, Stamp)>,
    second: Vec<(EntityId, Stamp)>,
) -> Vec<(EntityId, Stamp)> {
    let mut stamps = BTreeMap::new();
    for (entity, stamp) in first.into_iter().chain(second) {
        let greatest = stamps.entry(entity).or_insert(stamp);
        *greatest = stamp.max(*greatest);
    }
    stamps.into_iter().collect()
}

//! Last-writer-wins fields, sets and tombstones, as pure functions of maxima.
//!
//! This is where conflicts are decided, and nowhere else. The state is a set of maxima, so merging
//! is commutative, associative and idempotent by construction:
//!
//! - `floor(e,a)`: greatest (stamp, value) of a `set` or `unset`; an `unset` is above every value;
//! - `added(e,a,v)`: greatest (stamp, kind) of a `set` or `add` of `v`;
//! - `removed(e,a,v)`, `restored(e)`: greatest stamp covered by a `remove`, a `restore`;
//! - `deleted(e)`: greatest stamp of a `delete`.
//!
//! > alive(e) ⇔ never deleted, or deleted(e) ≤ restored(e)
//! > visible(e,a,v) ⇔ (added, v) ≥ floor(e,a) ∧ added > removed(e,a,v) ∧ alive(e)
//! >   ∧ added > deleted(e) ∧ (v is no ref, or alive(v) ∧ added > deleted(v))
//!
//! A stamp never seen is below every stamp, also below [`Stamp::ZERO`]. Invariant used by the
//! store to forget: every maximum only rises, so an `added` that fails one of the comparisons of
//! stamps fails it for ever, and so does every earlier one; only `alive` can come back. How the
//! maxima are kept is left to `store`.

use std::cmp::Ordering;

use crate::fact::Mark;
use crate::hlc::Stamp;
use crate::intern::{Cell, Dictionary};
use crate::planted::{Bug, is_planted};

/// The two maxima of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Life {
    pub(crate) deleted: Option<Stamp>,
    pub(crate) restored: Option<Stamp>,
}

impl Life {
    /// Of an entity that was never deleted.
    pub(crate) const UNTOUCHED: Life = Life { deleted: None, restored: None };

    /// Never deleted, or restored since.
    pub(crate) fn is_alive(self) -> bool {
        self.deleted <= self.restored
    }

    /// The deletion, while it holds.
    pub(crate) fn tombstone(self) -> Option<Stamp> {
        self.deleted.filter(|_| !self.is_alive())
    }

    /// Whether a write of this stamp is from before the deletion, and so gone for ever.
    pub(crate) fn has_buried(self, added: Stamp) -> bool {
        Some(added) <= self.deleted
    }

    /// The deletion that hides a write of this stamp: that of a dead entity, or a later one.
    pub(crate) fn hides(self, added: Stamp) -> Option<Stamp> {
        self.deleted.filter(|_| !self.is_alive() || self.has_buried(added))
    }

    pub(crate) fn delete(&mut self, stamp: Stamp) {
        self.deleted = self.deleted.max(Some(stamp));
    }

    pub(crate) fn restore(&mut self, covered: Stamp) {
        self.restored = self.restored.max(Some(covered));
    }
}

/// The greatest `set` or `unset` of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) stamp: Stamp,
    /// None for an `unset`.
    pub(crate) value: Option<Cell>,
}

impl Floor {
    /// By stamp, then value, an `unset` above every value.
    pub(crate) fn compare(self, other: Floor, dictionary: &Dictionary) -> Ordering {
        self.stamp.cmp(&other.stamp).then_with(|| match (self.value, other.value) {
            (Some(value), Some(other)) => dictionary.compare(value, other),
            (value, other) => value.is_none().cmp(&other.is_none()),
        })
    }

    /// The greater of the two.
    pub(crate) fn max(self, other: Option<Floor>, dictionary: &Dictionary) -> Floor {
        other.filter(|other| other.compare(self, dictionary).is_gt()).unwrap_or(self)
    }

    /// Whether it leaves a write of `value` standing: (added, value) ≥ floor.
    pub(crate) fn admits(self, added: Stamp, value: Cell, dictionary: &Dictionary) -> bool {
        Floor { stamp: added, value: Some(value) }.compare(self, dictionary).is_ge()
    }
}

/// What decides whether an added value is visible, besides its stamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    pub(crate) floor: Option<Floor>,
    pub(crate) removed: Option<Stamp>,
    pub(crate) entity: Life,
    /// Of the entity referred to; untouched when the value is no ref.
    pub(crate) target: Life,
}

/// What is to be done with an `added` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is visible.
    Visible,
    /// It is not, but will be if the entity or the target is restored: keep it.
    Hidden,
    /// It can never become visible again, nor can an earlier one: forget it.
    Lost,
}

impl Circumstances {
    /// The standing of (added, value).
    pub(crate) fn judge(&self, added: Stamp, value: Cell, dictionary: &Dictionary) -> Standing {
        let is_lost = self.floor.is_some_and(|floor| !floor.admits(added, value, dictionary))
            || Some(added) <= self.removed
            || self.entity.has_buried(added)
            || self.target.has_buried(added);
        let stands = self.entity.is_alive() || is_planted(Bug::DeletedWriteShows);
        let leads = self.target.is_alive() || is_planted(Bug::DanglingRefShows);
        match is_lost {
            true => Standing::Lost,
            false if stands && leads => Standing::Visible,
            false if is_planted(Bug::DeletionForgets) => Standing::Lost,
            false => Standing::Hidden,
        }
    }
}

/// The greater of the mark held and an incoming one.
pub(crate) fn later(held: Option<Mark>, incoming: Mark) -> Mark {
    held.map_or(incoming, |held| held.max(incoming))
}

/// The cover that a first commit keeps of `claimed`: what is held, at most.
pub(crate) fn clamp(claimed: Stamp, held: Option<Stamp>) -> Stamp {
    if is_planted(Bug::CoverUnclamped) {
        return claimed;
    }
    held.map_or(Stamp::ZERO, |held| held.min(claimed))
}

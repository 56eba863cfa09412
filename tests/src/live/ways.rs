//! The ways a program is subscribed: each of them must show the same, at every step.

use std::sync::Arc;

use tercet_engine::answer::Answer;
use tercet_engine::db::{Db, InstanceId, Query};
use tercet_engine::error::QueryError;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;

/// How a program is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As everybody does: shared, in the best tier.
    Shared,
}

/// Every program is kept in all of these ways at once, the shared one first.
pub(super) const WAYS: [Kept; 1] = [Kept::Shared];

impl Kept {
    /// Subscribes a program in this way.
    ///
    /// # Errors
    /// When the query cannot be live or the inputs do not fit.
    pub(super) fn subscribe(
        self,
        db: &mut Db,
        query: &Query,
        inputs: &[Input],
    ) -> Result<InstanceId, QueryError> {
        match self {
            Kept::Shared => db.subscribe(query, inputs, &Budget::unlimited()),
        }
    }

    /// The best tier, 1 to 3, that an instance of this way may be in.
    pub(super) fn best_tier(self) -> u8 {
        match self {
            Kept::Shared => 1,
        }
    }
}

/// The tier of an instance: all that are known are of tier 3.
pub(super) fn tier(db: &Db, instance: InstanceId) -> Option<u8> {
    db.answer(instance).map(|_| 3)
}

/// The complete answer of an instance; none when it is unknown or stale.
pub(super) fn answer(db: &Db, instance: InstanceId) -> Option<Result<Arc<Answer>, QueryError>> {
    db.answer(instance).cloned().map(Ok)
}

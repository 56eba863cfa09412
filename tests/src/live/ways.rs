//! The ways a program is subscribed: each of them must show the same, at every step.

use tercet_engine::db::{Db, InstanceId, Query, Tier};
use tercet_engine::error::QueryError;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;

/// How a program is subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As everybody does: shared, in the best tier.
    Shared,
    /// In no better tier than this.
    In(Tier),
}

/// Every program is kept in all of these ways at once, the shared one first.
pub(super) const WAYS: [Kept; 4] =
    [Kept::Shared, Kept::In(Tier::Delta), Kept::In(Tier::Tables), Kept::In(Tier::Rerun)];

impl Kept {
    /// Subscribes a program in this way.
    ///
    /// # Errors
    /// When the query cannot be live, the inputs do not fit, or the budget is used up.
    pub(super) fn subscribe(
        self,
        db: &mut Db,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        match self {
            Kept::Shared => db.subscribe(query, inputs, budget),
            Kept::In(tier) => db.subscribe_in(tier, query, inputs, budget),
        }
    }

    /// The best tier that an instance of this way may be in.
    pub(super) fn best_tier(self) -> Tier {
        match self {
            Kept::Shared => Tier::Delta,
            Kept::In(tier) => tier,
        }
    }
}

//! The façade: a published store, and the live queries that follow it.
//!
//! Writers prepare a successor (a clone of the store with a transaction merged) and publish it
//! when they may; between the two, readers and live queries see the state before. This file only
//! puts parts together.

use std::sync::Arc;

use crate::answer::Answer;
use crate::error::QueryError;
pub use crate::eval::measure::Clock;
pub use crate::eval::query::Query;
use crate::fact::{Fact, Mark};
use crate::ids::Revision;
use crate::limits::Budget;
use crate::live::LiveQueries;
pub use crate::live::selection::Selection;
pub use crate::live::support::fact_of;
use crate::live::support::facts;
pub use crate::live::{
    DeltaProfile, Edit, InstanceId, ListDelta, LiveClock, LiveLimits, LiveProfile, LiveResult,
    LiveUpdate, Moved, PathStep, Placed, RowPatch, RowsDelta, ShapeStats, Tier, TreeChange,
    UnreadDeltas,
};
use crate::program::raw::Input;
use crate::store::{Snapshot, Store, StoreDelta};

/// A store with its live queries.
///
/// ```
/// use tercet_engine::db::Db;
/// use tercet_engine::fact::{Op, Transaction};
/// use tercet_engine::hlc::Clock;
/// use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
/// use tercet_engine::value::Value;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut db = Db::new();
/// let (_, hlc) = Clock::new(ReplicaId(1)).tick(1_700_000_000_000);
/// let set = Op::Set {
///     e: EntityId::new("u1")?,
///     a: Attribute::new("user/name")?,
///     v: Value::from("Ann"),
/// };
/// let mut successor = db.store().clone();
/// let accepted = successor.accept(&Transaction { hlc, ops: vec![set] });
/// assert_eq!(db.snapshot().n_facts(), 0);
/// db.publish(successor, &accepted.delta);
/// assert_eq!(db.snapshot().n_facts(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Db {
    store: Store,
    live: LiveQueries,
    revision: Revision,
}

impl Db {
    /// An empty database.
    pub fn new() -> Db {
        Db::default()
    }

    /// A database that starts from a store, for example one that a log was replayed into.
    pub fn with_store(store: Store) -> Db {
        let live = LiveQueries::new(store.snapshot().dictionary().cell_hash());
        Db { store, live, ..Db::default() }
    }

    /// The published store. Clone it to prepare a successor.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The published facts.
    pub fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }

    /// How many states have been published.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Makes a successor the published state and brings the live queries up to it. `delta` leads
    /// from the published store to the successor. Updates come in order of instance; those of
    /// instances that a support of a window is made of may be among them.
    pub fn publish(&mut self, successor: Store, delta: &StoreDelta) -> Vec<LiveUpdate> {
        let before = std::mem::replace(&mut self.store, successor).snapshot();
        self.revision = self.revision.next();
        self.live.maintain(&before, &self.store.snapshot(), delta)
    }

    /// Registers a live query, or another user of an equal one. The budget is that of every
    /// evaluation; an equal instance keeps the budget of its first user.
    ///
    /// # Errors
    /// When the query cannot be live, the inputs do not fit, or it had to be evaluated and the
    /// budget is used up.
    pub fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        self.subscribe_in(Tier::Delta, query, inputs, budget)
    }

    /// The same, kept up at no better tier than this: tests compare tiers with it.
    ///
    /// # Errors
    /// As [`Db::subscribe`].
    #[doc(hidden)]
    pub fn subscribe_in(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        self.live.subscribe(tier, query, inputs, budget, &self.store.snapshot())
    }

    /// Registers the support of a query: its rows are the facts (entity, attribute, value) that a
    /// replica must hold to give the query's answer itself, see [`fact_of`]. A fact that is stamped
    /// anew is on both lists of an update.
    ///
    /// # Errors
    /// As [`Db::subscribe`], and when the program that gives the support is larger than programs
    /// may be.
    pub fn subscribe_support(
        &mut self,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        self.subscribe_support_in(Tier::Delta, query, inputs, budget)
    }

    /// The same, kept up at no better tier than this: tests compare tiers with it.
    ///
    /// # Errors
    /// As [`Db::subscribe_support`].
    #[doc(hidden)]
    pub fn subscribe_support_in(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        self.live.subscribe_support(tier, query, inputs, budget, &self.store.snapshot())
    }

    /// All facts of a support with their marks, sorted. None when the instance is unknown or
    /// stale; an error when the budget does not allow the evaluation.
    pub fn support_facts(
        &self,
        instance: InstanceId,
    ) -> Option<Result<Vec<(Fact, Mark)>, QueryError>> {
        let answer = self.answer(instance)?;
        Some(answer.map(|answer| facts(&answer.rows, &self.snapshot())))
    }

    /// One user fewer; the last one ends it.
    pub fn unsubscribe(&mut self, instance: InstanceId) {
        self.live.unsubscribe(instance, &self.store.snapshot());
    }

    /// How a live result is kept up; none when the instance is unknown.
    pub fn tier(&self, instance: InstanceId) -> Option<Tier> {
        self.live.tier(instance)
    }

    /// The complete result at the published state: kept, or evaluated now. None when the instance
    /// is unknown or stale; an error when the budget does not allow the evaluation.
    pub fn answer(&self, instance: InstanceId) -> Option<Result<Arc<Answer>, QueryError>> {
        self.live.answer(instance, &self.store.snapshot())
    }

    /// Says when live queries do what: no result depends on it, which is what tests show with it.
    #[doc(hidden)]
    pub fn set_live_limits(&mut self, limits: LiveLimits) {
        self.live.set_limits(limits);
    }

    /// How a live result is kept up: its tier, and the plans that follow changes. None when the
    /// instance is unknown.
    pub fn explain_live(&mut self, instance: InstanceId) -> Option<LiveProfile> {
        self.live.explain(instance, &self.store.snapshot())
    }

    /// Has the steps of live queries timed: see [`ShapeStats::time`]. The engine has no clock.
    pub fn set_live_clock(&mut self, clock: LiveClock) {
        self.live.set_clock(clock);
    }

    /// What every shape of live queries has done so far.
    pub fn live_stats(&self) -> Vec<ShapeStats> {
        self.live.stats()
    }

    /// Brings a complete result, kept for an instance, up to an update of it, and says what that
    /// changed. After an update that went over the budget the instance is taken up again and
    /// evaluated.
    ///
    /// # Errors
    /// When that goes over the budget, too: the result is not kept up any more.
    pub fn follow(
        &mut self,
        result: &mut LiveResult,
        update: LiveUpdate,
    ) -> Result<RowsDelta, QueryError> {
        let LiveUpdate { instance, change } = update;
        if let Ok(delta) = change {
            let fits = result.apply(&delta);
            debug_assert!(fits, "updates of an instance add up to its answer");
            if fits {
                return Ok(delta);
            }
        }
        self.refresh(instance)?;
        match self.answer(instance) {
            Some(answer) => Ok(result.replace(answer?)),
            // Nobody uses it any more.
            None => Ok(RowsDelta::default()),
        }
    }

    /// Whether what is kept for recursive rules keeps its invariant, looked at tuple by tuple:
    /// tests ask it between writes.
    #[doc(hidden)]
    pub fn are_tables_sound(&mut self) -> bool {
        self.live.are_tables_sound(&self.store.snapshot())
    }

    /// Takes up a stale instance again.
    ///
    /// # Errors
    /// When it is still over its budget; it stays stale.
    pub fn refresh(&mut self, instance: InstanceId) -> Result<(), QueryError> {
        self.live.refresh(instance, &self.store.snapshot())
    }
}

/// How a query would be kept up if it were live: its tier, and the plans that follow changes.
/// Nothing is evaluated or kept, so tables of recursive rules that would go over the budget (then
/// the query is evaluated again instead) are not noticed.
///
/// # Errors
/// When the query cannot be live, or the inputs do not fit.
pub fn explain_live(
    query: &Query,
    inputs: &[Input],
    snapshot: &Snapshot,
) -> Result<LiveProfile, QueryError> {
    LiveQueries::explain_query(query, inputs, snapshot)
}

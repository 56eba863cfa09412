//! What the program sees of the facts: a published state, live queries over it, their results.
//!
//! The engine keeps no result of what it maintains by deltas; the program wants each one whole. So
//! they are evaluated once, when they begin, and then follow the deltas. Invariant: the answer of
//! a live query equals a fresh evaluation over the snapshot. How the state comes about is left out
//! (`overlay`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tercet_engine::answer::Answer;
use tercet_engine::db::{Db, InstanceId, LiveResult, LiveUpdate, Query, RowsDelta, ShapeStats};
use tercet_engine::error::QueryError;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, Store, StoreDelta};

/// The result of one live query.
struct Kept {
    result: LiveResult,
    n_users: usize,
}

/// What a publish did to a live query.
#[derive(Debug, PartialEq)]
pub(crate) struct ViewUpdate {
    pub(crate) instance: InstanceId,
    /// The answer that it leads on from.
    pub(crate) before: Arc<Answer>,
    /// What changed; never empty. After an error the live query has no answer.
    pub(crate) change: Result<RowsDelta, QueryError>,
}

/// A published state with its live queries.
pub(crate) struct View {
    db: Db,
    kept: BTreeMap<InstanceId, Kept>,
}

impl View {
    /// Of this state.
    pub(crate) fn new(store: Store) -> View {
        View { db: Db::with_store(store), kept: BTreeMap::new() }
    }

    /// The published state.
    pub(crate) fn store(&self) -> &Store {
        self.db.store()
    }

    /// Its facts.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.db.snapshot()
    }

    /// What its live queries have cost so far.
    pub(crate) fn live_stats(&self) -> Vec<ShapeStats> {
        self.db.live_stats()
    }

    /// Whether every result that is kept is what evaluating it anew gives, where the budget allows.
    pub(crate) fn is_sound(&self) -> bool {
        self.kept.iter().all(|(id, kept)| match self.db.answer(*id) {
            Some(Ok(answer)) => answer.rows == kept.result.answer().rows,
            Some(Err(_)) | None => true,
        })
    }

    /// Begins a live query, or adds a user to an equal one.
    pub(crate) fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<InstanceId, QueryError> {
        let id = self.db.subscribe(query, inputs, budget)?;
        match self.kept.entry(id) {
            Entry::Occupied(mut kept) => kept.get_mut().n_users += 1,
            Entry::Vacant(vacant) => {
                match self.db.answer(id).expect("it has just been subscribed to") {
                    Ok(answer) => {
                        let result = LiveResult::new(query, answer);
                        vacant.insert(Kept { result, n_users: 1 });
                    }
                    Err(error) => {
                        self.db.unsubscribe(id);
                        return Err(error);
                    }
                }
            }
        }
        Ok(id)
    }

    /// Takes a user from a live query.
    pub(crate) fn unsubscribe(&mut self, id: InstanceId) {
        self.db.unsubscribe(id);
        if let Entry::Occupied(mut kept) = self.kept.entry(id) {
            kept.get_mut().n_users -= 1;
            if kept.get().n_users == 0 {
                kept.remove();
            }
        }
    }

    /// The answer of a live query now; none after an error of its update.
    pub(crate) fn answer(&self, id: InstanceId) -> Option<&Arc<Answer>> {
        Some(self.kept.get(&id)?.result.answer())
    }

    /// Publishes a state that the delta leads to. What was too much work for a delta is evaluated
    /// anew; an error says that this was too much, too.
    pub(crate) fn publish(&mut self, store: Store, delta: &StoreDelta) -> Vec<ViewUpdate> {
        let updates = self.db.publish(store, delta).into_iter();
        updates.filter_map(|update| self.follow(update)).collect()
    }

    fn follow(&mut self, update: LiveUpdate) -> Option<ViewUpdate> {
        let instance = update.instance;
        let kept = self.kept.get_mut(&instance)?;
        let before = Arc::clone(kept.result.answer());
        let change = self.db.follow(&mut kept.result, update);
        if change.is_err() {
            self.kept.remove(&instance);
        }
        let is_news = change.as_ref().map_or(true, |delta| !delta.is_empty());
        is_news.then_some(ViewUpdate { instance, before, change })
    }
}

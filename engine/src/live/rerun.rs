//! Tier 3: what an evaluation read is remembered, misses included; when a change touches that, the
//! query is evaluated again and the difference is told.
//!
//! It is what remains for queries that no other tier takes, what all of them fall back to, and the
//! oracle of their tests. Invariant: an answer that is not stale equals a fresh evaluation over the
//! published snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::update::RowsDelta;
use super::{InstanceId, LiveUpdate};
use crate::answer::Answer;
use crate::error::QueryError;
use crate::eval::query::{Query, Watched};
use crate::eval::reads::Reads;
use crate::ids::Attribute;
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::store::{Snapshot, StoreDelta};

struct Instance {
    query: Query,
    inputs: Vec<Input>,
    budget: Budget,
    /// None while it is stale.
    current: Option<Current>,
}

struct Current {
    answer: Arc<Answer>,
    reads: Reads,
}

impl From<Watched> for Current {
    fn from(watched: Watched) -> Current {
        Current { answer: Arc::new(watched.answer), reads: watched.reads }
    }
}

/// The live queries that are evaluated again, and the way from a changed fact to those it may
/// touch.
#[derive(Default)]
pub(super) struct Reruns {
    instances: BTreeMap<InstanceId, Instance>,
    by_attribute: BTreeMap<Attribute, BTreeSet<InstanceId>>,
    any_attribute: BTreeSet<InstanceId>,
}

impl Reruns {
    /// Evaluates a live query and keeps what it read.
    pub(super) fn insert(
        &mut self,
        id: InstanceId,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        let current = Current::from(query.watch(snapshot, inputs, budget)?);
        self.route(id, &current.reads);
        let (query, inputs) = (query.clone(), inputs.to_vec());
        let (budget, current) = (budget.clone(), Some(current));
        self.instances.insert(id, Instance { query, inputs, budget, current });
        Ok(())
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, id: InstanceId) {
        let instance = self.instances.remove(&id);
        if let Some(current) = instance.and_then(|instance| instance.current) {
            self.unroute(id, &current.reads);
        }
    }

    /// Whether one is known and not kept up.
    pub(super) fn is_stale(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| instance.current.is_none())
    }

    /// The current result; none when the instance is unknown or stale.
    pub(super) fn answer(&self, id: InstanceId) -> Option<&Arc<Answer>> {
        self.instances.get(&id)?.current.as_ref().map(|current| &current.answer)
    }

    /// Evaluates an instance again, stale or not.
    pub(super) fn refresh(
        &mut self,
        id: InstanceId,
        snapshot: &Snapshot,
    ) -> Result<Option<RowsDelta>, QueryError> {
        let Some(instance) = self.instances.get_mut(&id) else { return Ok(None) };
        let watched = instance.query.watch(snapshot, &instance.inputs, &instance.budget);
        let old = instance.current.take();
        if let Some(old) = &old {
            self.unroute(id, &old.reads);
        }
        let current = Current::from(watched?);
        self.route(id, &current.reads);
        let before = old.map(|old| old.answer.rows.clone()).unwrap_or_default();
        let delta = RowsDelta::between(&before, &current.answer.rows);
        let instance = self.instances.get_mut(&id).expect("it was there a moment ago");
        instance.current = Some(current);
        Ok(delta)
    }

    /// Brings every instance that the delta touches up to the snapshot, in order of instance.
    pub(super) fn maintain(&mut self, snapshot: &Snapshot, delta: &StoreDelta) -> Vec<LiveUpdate> {
        let mut updates = Vec::new();
        for instance in self.touched(snapshot, delta) {
            match self.refresh(instance, snapshot) {
                Ok(None) => {}
                Ok(Some(rows)) => updates.push(LiveUpdate { instance, change: Ok(rows) }),
                Err(error) => updates.push(LiveUpdate { instance, change: Err(error) }),
            }
        }
        updates
    }

    fn touched(&self, snapshot: &Snapshot, delta: &StoreDelta) -> BTreeSet<InstanceId> {
        let mut touched = BTreeSet::new();
        let dictionary = snapshot.dictionary();
        for change in &delta.facts {
            let fact = &change.fact;
            let cells = dictionary.find_entity(&fact.entity).zip(dictionary.find(&fact.value));
            let (entity, value) = cells.expect("the values of a changed fact are known");
            let by_attribute = self.by_attribute.get(&fact.attribute);
            let readers = by_attribute.into_iter().flatten().chain(&self.any_attribute);
            for reader in readers {
                let current = self.instances.get(reader).and_then(|it| it.current.as_ref());
                let is_touched = current.is_some_and(|it| it.reads.touches(fact, entity, value));
                if is_touched {
                    touched.insert(*reader);
                }
            }
        }
        touched
    }

    fn route(&mut self, id: InstanceId, reads: &Reads) {
        for attribute in reads.attributes() {
            self.by_attribute.entry(attribute.clone()).or_default().insert(id);
        }
        if reads.reads_any() {
            self.any_attribute.insert(id);
        }
    }

    fn unroute(&mut self, id: InstanceId, reads: &Reads) {
        for attribute in reads.attributes() {
            if let Some(readers) = self.by_attribute.get_mut(attribute) {
                readers.remove(&id);
                if readers.is_empty() {
                    self.by_attribute.remove(attribute);
                }
            }
        }
        self.any_attribute.remove(&id);
    }
}

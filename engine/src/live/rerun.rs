//! Tier 3: what an evaluation read is remembered, misses included; when a change touches that, the
//! query is evaluated again and the difference is told.
//!
//! It is what remains for queries that no other tier takes, what all of them fall back to, and the
//! oracle of their tests. Invariant: an answer that is not stale equals a fresh evaluation over the
//! published snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::update::RowsDelta;
use super::{InstanceId, LiveUpdate, Tier, support};
use crate::answer::Answer;
use crate::codec;
use crate::error::QueryError;
use crate::eval::query::{Query, Watched};
use crate::eval::reads::Reads;
use crate::ids::Attribute;
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::store::{Snapshot, StoreDelta};

struct Instance {
    key: Vec<u8>,
    n_users: u32,
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
    /// Equal ones have equal keys.
    by_key: BTreeMap<Vec<u8>, InstanceId>,
    by_attribute: BTreeMap<Attribute, BTreeSet<InstanceId>>,
    any_attribute: BTreeSet<InstanceId>,
}

impl Reruns {
    /// Another user of an equal one, if there is one; a stale one is evaluated again.
    pub(super) fn join(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        snapshot: &Snapshot,
    ) -> Result<Option<InstanceId>, QueryError> {
        if self.instances.is_empty() {
            return Ok(None);
        }
        let Some(id) = self.by_key.get(&key(tier, query, inputs)).copied() else { return Ok(None) };
        if self.instances[&id].current.is_none() {
            self.refresh(id, snapshot)?;
        }
        self.instances.get_mut(&id).expect("keys name instances").n_users += 1;
        Ok(Some(id))
    }

    /// Evaluates a live query and keeps what it read, for one user.
    pub(super) fn insert(
        &mut self,
        id: InstanceId,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        let current = Current::from(query.watch(snapshot, inputs, budget)?);
        self.route(id, &current.reads);
        let (query, inputs) = (query.clone(), inputs.to_vec());
        let (budget, current) = (budget.clone(), Some(current));
        let key = key(tier, &query, &inputs);
        self.by_key.insert(key.clone(), id);
        self.instances.insert(id, Instance { key, n_users: 1, query, inputs, budget, current });
        Ok(())
    }

    /// One user fewer; whether it was the last, who ends it.
    pub(super) fn leave(&mut self, id: InstanceId) -> bool {
        let instance = self.instances.get_mut(&id).expect("whoever leaves has come");
        instance.n_users -= 1;
        if instance.n_users > 0 {
            return false;
        }
        let instance = self.instances.remove(&id).expect("it was just there");
        self.by_key.remove(&instance.key);
        if let Some(current) = instance.current {
            self.unroute(id, &current.reads);
        }
        true
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
            let change = self.refresh(instance, snapshot);
            match change.map(|change| self.with_stamped(instance, change, delta)) {
                Ok(None) => {}
                Ok(Some(rows)) => updates.push(LiveUpdate { instance, change: Ok(rows) }),
                Err(error) => updates.push(LiveUpdate { instance, change: Err(error) }),
            }
        }
        updates
    }

    /// With the facts that were stamped anew, where facts are the rows.
    fn with_stamped(
        &self,
        id: InstanceId,
        change: Option<RowsDelta>,
        delta: &StoreDelta,
    ) -> Option<RowsDelta> {
        match self.instances.get(&id).and_then(|it| Some((&it.query, it.current.as_ref()?))) {
            Some((query, current)) if query.is_support() => {
                support::with_stamped(change, delta, &current.answer.rows)
            }
            _ => change,
        }
    }

    fn touched(&self, snapshot: &Snapshot, delta: &StoreDelta) -> BTreeSet<InstanceId> {
        let mut touched = BTreeSet::new();
        let dictionary = snapshot.dictionary();
        for change in &delta.facts {
            let fact = &change.fact;
            let by_attribute = self.by_attribute.get(&fact.attribute);
            if by_attribute.is_none() && self.any_attribute.is_empty() {
                continue;
            }
            let cells = dictionary.find_entity(&fact.entity).zip(dictionary.find(&fact.value));
            let (entity, value) = cells.expect("the values of a changed fact are known");
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

/// What equal ones have in common, the tier asked for included.
fn key(tier: Tier, query: &Query, inputs: &[Input]) -> Vec<u8> {
    codec::encode(&(tier.name(), query.is_support(), query.raw(), inputs))
}

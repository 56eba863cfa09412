//! Live queries: results that follow the facts.
//!
//! An *instance* is a program with its inputs; equal ones share one, whoever asked. Every instance
//! here is of tier 3: what its evaluation read is remembered, misses included, and when a change
//! touches that, it is evaluated again and the difference is told. Tier 3 is the fallback and the
//! oracle of the tiers that maintain results without evaluating again; they will stand behind the
//! same interface: a delta of facts in, a delta of rows for each instance out.
//!
//! Invariant, at every revision: the answer of an instance that is not stale equals a fresh
//! evaluation over the published snapshot.

pub(crate) mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::answer::{Answer, AnswerRows, Row, RowRef};
use crate::codec;
use crate::error::QueryError;
use crate::eval::query::{Query, Watched};
use crate::eval::reads::Reads;
use crate::ids::Attribute;
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::store::{Snapshot, StoreDelta};

/// One live (program, inputs); equal ones share it. Never used again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

/// What a step did to one live result.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveUpdate {
    /// Whose result it is.
    pub instance: InstanceId,
    /// What changed. An error (over budget) leaves the instance stale: its answer is not kept up
    /// any more until it is refreshed.
    pub change: Result<RowsDelta, QueryError>,
}

/// Rows that came and went, each list in the order of rows; never both empty. A row that several
/// entities were pulled to stands as often as its count changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsDelta {
    /// Rows that are new.
    pub added: Vec<Row>,
    /// Rows that are gone.
    pub removed: Vec<Row>,
}

impl RowsDelta {
    /// The difference between two lists of rows, whatever their order; none where they hold the
    /// same. Rows are counted: two entities may be pulled to equal trees.
    pub fn between(before: &AnswerRows, after: &AnswerRows) -> Option<RowsDelta> {
        // Results of one query mostly begin and end alike, and alike rows need not be made.
        let n_alike = |pairs: &mut dyn Iterator<Item = (RowRef<'_>, RowRef<'_>)>| {
            pairs.take_while(|(a, b)| a == b).count()
        };
        let n_first = n_alike(&mut before.iter().zip(after));
        let n_last_max = before.len().min(after.len()) - n_first;
        let n_last = n_alike(&mut before.iter().rev().zip(after.iter().rev()).take(n_last_max));
        let middle = |rows: &AnswerRows| -> Vec<Row> {
            let n_rows = rows.len() - n_first - n_last;
            rows.iter().skip(n_first).take(n_rows).map(RowRef::to_row).collect()
        };
        let mut counts: FxHashMap<Row, i64> = FxHashMap::default();
        for row in middle(before) {
            *counts.entry(row).or_default() -= 1;
        }
        for row in middle(after) {
            *counts.entry(row).or_default() += 1;
        }
        let mut delta = RowsDelta::default();
        let mut changed: Vec<(Row, i64)> =
            counts.into_iter().filter(|(_, count)| *count != 0).collect();
        changed.sort_unstable();
        for (row, count) in changed {
            let n_times = usize::try_from(count.unsigned_abs()).expect("no more than the rows");
            let side = if count > 0 { &mut delta.added } else { &mut delta.removed };
            side.extend(std::iter::repeat_n(row, n_times));
        }
        (!delta.added.is_empty() || !delta.removed.is_empty()).then_some(delta)
    }
}

struct Instance {
    query: Query,
    inputs: Vec<Input>,
    budget: Budget,
    key: Vec<u8>,
    n_users: usize,
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

/// All live queries over one store, and the way from a changed fact to those it may touch.
#[derive(Default)]
pub(crate) struct LiveQueries {
    instances: BTreeMap<InstanceId, Instance>,
    by_key: BTreeMap<Vec<u8>, InstanceId>,
    next: u64,
    by_attribute: BTreeMap<Attribute, BTreeSet<InstanceId>>,
    any_attribute: BTreeSet<InstanceId>,
}

impl LiveQueries {
    /// Registers a live query, or another user of an equal one.
    pub(crate) fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<InstanceId, QueryError> {
        query.check_live()?;
        let key = codec::encode(&(query.raw(), inputs));
        if let Some(id) = self.by_key.get(&key).copied() {
            let instance = self.instances.get_mut(&id).expect("keys name live instances");
            instance.n_users += 1;
            if instance.current.is_none()
                && let Err(error) = self.refresh(id, snapshot)
            {
                self.unsubscribe(id);
                return Err(error);
            }
            return Ok(id);
        }
        let current = Current::from(query.watch(snapshot, inputs, budget)?);
        let id = InstanceId(self.next);
        self.next += 1;
        self.route(id, &current.reads);
        self.by_key.insert(key.clone(), id);
        let (query, inputs) = (query.clone(), inputs.to_vec());
        let (budget, current) = (budget.clone(), Some(current));
        self.instances.insert(id, Instance { query, inputs, budget, key, n_users: 1, current });
        Ok(id)
    }

    /// One user fewer; the last one ends it. Unknown instances are ignored.
    pub(crate) fn unsubscribe(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.n_users -= 1;
        if instance.n_users > 0 {
            return;
        }
        let Some(instance) = self.instances.remove(&id) else { return };
        self.by_key.remove(&instance.key);
        if let Some(current) = &instance.current {
            self.unroute(id, &current.reads);
        }
    }

    /// The current result; none when the instance is unknown or stale.
    pub(crate) fn answer(&self, id: InstanceId) -> Option<&Arc<Answer>> {
        self.instances.get(&id)?.current.as_ref().map(|current| &current.answer)
    }

    /// Evaluates an instance again, stale or not.
    pub(crate) fn refresh(
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
    pub(crate) fn maintain(&mut self, snapshot: &Snapshot, delta: &StoreDelta) -> Vec<LiveUpdate> {
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

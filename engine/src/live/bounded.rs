//! Supports of windows: what the rows up to an *edge* need, a margin past the window.
//!
//! A query with an order and a limit shows few rows of perhaps many. A replica needs those, and
//! some more, so that a deletion of its own does not leave it with nothing to show. The edge is the
//! first key of the row that ends window and margin together; rows are needed up to that key, also
//! those that a negation rejects. Where there are fewer rows, or where keys are of several types,
//! which `<` does not compare, or of one that the index does not order, there is no edge, and all
//! rows are needed. So the edge is a pure function of the facts, and with it the support.
//!
//! Kept are the rows of the widened window, as a live query, and the support up to the edge, as
//! another with the edge for an input. When the edge moves, the second is exchanged; what that
//! changes is the difference of two evaluations, which are as small as the window.

use std::collections::{BTreeMap, BTreeSet};

use super::support::{Derived, with_stamped};
use super::update::RowsDelta;
use super::{At, InstanceId, LiveQueries, LiveResult, LiveUpdate, Tier};
use crate::answer::{AnswerRows, Output};
use crate::codec;
use crate::error::{ProgramError, QueryError};
use crate::eval::query::Query;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::limits::Budget;
use crate::program::raw::{Input, RawFindElement};
use crate::program::support::Edge;
use crate::store::{Snapshot, StoreDelta};
use crate::value::{Value, ValueType};

/// How many rows past a window of so many a replica holds.
fn margin(shown: u64) -> u64 {
    2 + shown / 2
}

/// A query with a window, widened by the margin.
#[derive(Clone)]
pub(super) struct Widened {
    /// Without trees, which nobody looks at.
    pub(super) query: Query,
    /// Gives the support up to an edge, its last input.
    pub(super) support: Query,
    edge: Edge,
    /// The find element that is the first key of the order.
    element: usize,
    n_rows: usize,
}

impl Widened {
    /// None where the support has no edge whatever the facts are.
    pub(super) fn of(lifted: &Query) -> Result<Option<Widened>, Vec<ProgramError>> {
        let Some(edge) = lifted.edge() else { return Ok(None) };
        let mut raw = lifted.raw().clone();
        let Some(limit) = raw.limit else { return Ok(None) };
        let shown = raw.offset.saturating_add(limit);
        let n_rows = shown.saturating_add(margin(shown));
        (raw.offset, raw.limit) = (0, Some(n_rows));
        for element in &mut raw.find {
            if let RawFindElement::Pull { variable, .. } = element {
                *element = RawFindElement::Variable(variable.clone());
            }
        }
        raw.pulls.clear();
        raw.keys.clear();
        let element = raw.order_by[0].element as usize;
        let query = Query::prepare(raw)?;
        let support = lifted.prepare_support(Some(&edge))?;
        let n_rows = usize::try_from(n_rows).unwrap_or(usize::MAX);
        Ok(Some(Widened { query, support, edge, element, n_rows }))
    }

    /// The edge in a snapshot.
    pub(super) fn edge(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<Option<Value>, QueryError> {
        let rows = self.query.run(snapshot, inputs, budget)?.rows;
        Ok(self.edge_of(&rows, snapshot))
    }

    /// The edge, given the first rows.
    pub(super) fn edge_of(&self, rows: &AnswerRows, snapshot: &Snapshot) -> Option<Value> {
        let last = rows.get(self.n_rows.checked_sub(1)?)?;
        let Output::Value(key) = last.to_output(self.element)? else { return None };
        let value_type = key.value_type();
        let is_ordered =
            matches!(value_type, ValueType::Boolean | ValueType::Number | ValueType::Date);
        let attribute = snapshot.find_attribute(&self.edge.attribute)?;
        let (from, until): (Cell, Cell) = Cell::of_type(value_type);
        let n_alike = snapshot.count_between(attribute, from, until);
        (is_ordered && n_alike == snapshot.count(attribute)).then_some(key)
    }
}

/// The support of a query with a window, kept up.
pub(super) struct Bounded {
    key: Vec<u8>,
    n_users: u32,
    tier: Tier,
    derived: Derived,
    /// Of the lifted query.
    inputs: Vec<Input>,
    budget: Budget,
    /// None while it is stale.
    current: Option<Current>,
}

struct Current {
    /// The rows of the widened window.
    window: (InstanceId, LiveResult),
    edge: Option<Value>,
    /// The support up to the edge.
    support: InstanceId,
}

/// All of them.
#[derive(Default)]
pub(super) struct AllBounded {
    by_id: BTreeMap<InstanceId, Bounded>,
    by_key: BTreeMap<Vec<u8>, InstanceId>,
    /// By the live queries that they are made of.
    by_part: BTreeMap<InstanceId, BTreeSet<InstanceId>>,
    /// By the attribute of their first key.
    by_attribute: BTreeMap<Attribute, BTreeSet<InstanceId>>,
}

impl AllBounded {
    /// Those that a step may have changed.
    fn touched(&self, updates: &[LiveUpdate], delta: &StoreDelta) -> BTreeSet<InstanceId> {
        let by_part = updates.iter().filter_map(|update| self.by_part.get(&update.instance));
        let changed = delta.facts.iter().map(|change| &change.fact.attribute);
        let by_attribute = changed.filter_map(|attribute| self.by_attribute.get(attribute));
        by_part.chain(by_attribute).flatten().copied().collect()
    }

    fn link(&mut self, id: InstanceId, current: &Current) {
        for part in [current.window.0, current.support] {
            self.by_part.entry(part).or_default().insert(id);
        }
    }

    fn unlink(&mut self, id: InstanceId, part: InstanceId) {
        if let Some(readers) = self.by_part.get_mut(&part) {
            readers.remove(&id);
            if readers.is_empty() {
                self.by_part.remove(&part);
            }
        }
    }

    /// The live query that holds its facts; none while it is stale.
    pub(super) fn support(&self, id: InstanceId) -> Option<InstanceId> {
        Some(self.by_id.get(&id)?.current.as_ref()?.support)
    }
}

impl Bounded {
    fn window(&self) -> &Widened {
        self.derived.window.as_ref().expect("only windows are bounded")
    }
}

impl LiveQueries {
    /// Registers the support of a query with a window, or another user of an equal one.
    pub(super) fn subscribe_bounded(
        &mut self,
        tier: Tier,
        query: &Query,
        derived: Derived,
        inputs: Vec<Input>,
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<InstanceId, QueryError> {
        let key = codec::encode(&(tier.name(), &query.lifted().key, &inputs));
        if let Some(id) = self.bounded.by_key.get(&key).copied() {
            self.refresh_bounded(id, snapshot)?;
            self.bounded.by_id.get_mut(&id).expect("keys name them").n_users += 1;
            return Ok(id);
        }
        let (key_of, budget) = (key.clone(), budget.clone());
        let bounded = Bounded { key, n_users: 1, tier, derived, inputs, budget, current: None };
        let current = self.begin(&bounded, snapshot)?;
        let id = self.new_id();
        self.instances.insert(id, At::Bounded);
        self.bounded.link(id, &current);
        self.bounded.by_key.insert(key_of, id);
        let attribute = bounded.window().edge.attribute.clone();
        self.bounded.by_attribute.entry(attribute).or_default().insert(id);
        self.bounded.by_id.insert(id, Bounded { current: Some(current), ..bounded });
        Ok(id)
    }

    /// Subscribes to the parts.
    fn begin(&mut self, bounded: &Bounded, snapshot: &Snapshot) -> Result<Current, QueryError> {
        let Bounded { tier, inputs, budget, .. } = bounded;
        let query = &bounded.window().query;
        let window = self.subscribe(*tier, query, inputs, budget, snapshot)?;
        let begun = self.answer(window, snapshot).expect("it was just taken up").and_then(|rows| {
            let edge = bounded.window().edge_of(&rows.rows, snapshot);
            let (support, inputs) = bounded.derived.within(edge.as_ref(), inputs)?;
            let support = self.subscribe(*tier, support, &inputs, budget, snapshot)?;
            Ok((LiveResult::new(query, rows), edge, support))
        });
        match begun {
            Ok((rows, edge, support)) => Ok(Current { window: (window, rows), edge, support }),
            Err(error) => {
                self.unsubscribe(window, snapshot);
                Err(error)
            }
        }
    }

    /// One user fewer; the last one ends it.
    pub(super) fn leave_bounded(&mut self, id: InstanceId, snapshot: &Snapshot) {
        let bounded = self.bounded.by_id.get_mut(&id).expect("whoever leaves has come");
        bounded.n_users -= 1;
        if bounded.n_users > 0 {
            return;
        }
        self.stop(id, snapshot);
        let bounded = self.bounded.by_id.remove(&id).expect("it was just there");
        self.bounded.by_key.remove(&bounded.key);
        let attribute = &bounded.window().edge.attribute;
        if let Some(readers) = self.bounded.by_attribute.get_mut(attribute) {
            readers.remove(&id);
            if readers.is_empty() {
                self.bounded.by_attribute.remove(attribute);
            }
        }
        self.instances.remove(&id);
    }

    /// Ends the parts: it is stale.
    fn stop(&mut self, id: InstanceId, snapshot: &Snapshot) {
        let bounded = self.bounded.by_id.get_mut(&id).expect("the caller has found it");
        if let Some(current) = bounded.current.take() {
            for part in [current.window.0, current.support] {
                self.bounded.unlink(id, part);
                self.unsubscribe(part, snapshot);
            }
        }
    }

    /// Takes it up again if it is stale.
    pub(super) fn refresh_bounded(
        &mut self,
        id: InstanceId,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        let Some(bounded) = self.bounded.by_id.remove(&id) else { return Ok(()) };
        let begun = match &bounded.current {
            Some(_) => Ok(None),
            None => self.begin(&bounded, snapshot).map(Some),
        };
        self.bounded.by_id.insert(id, bounded);
        if let Some(current) = begun? {
            self.bounded.link(id, &current);
            self.bounded.by_id.get_mut(&id).expect("it was just put there").current = Some(current);
        }
        Ok(())
    }

    /// Brings those that a step touches up to it, given what it did to their parts.
    pub(super) fn maintain_bounded(
        &mut self,
        [before, after]: [&Snapshot; 2],
        delta: &StoreDelta,
        updates: &[LiveUpdate],
    ) -> Vec<LiveUpdate> {
        let mut told = Vec::new();
        for id in self.bounded.touched(updates, delta) {
            let change = match self.step_bounded(id, [before, after], delta, updates) {
                Ok(None) => continue,
                Ok(Some(change)) => Ok(change),
                Err(error) => {
                    self.stop(id, after);
                    Err(error)
                }
            };
            told.push(LiveUpdate { instance: id, change });
        }
        told
    }

    fn step_bounded(
        &mut self,
        id: InstanceId,
        [before, after]: [&Snapshot; 2],
        delta: &StoreDelta,
        updates: &[LiveUpdate],
    ) -> Result<Option<RowsDelta>, QueryError> {
        let of = |part: InstanceId| updates.iter().find(|update| update.instance == part);
        let Some(bounded) = self.bounded.by_id.get_mut(&id) else { return Ok(None) };
        let Some(current) = &mut bounded.current else { return Ok(None) };
        if let Some(update) = of(current.window.0) {
            let fits = current.window.1.apply(update.change.as_ref().map_err(Clone::clone)?);
            debug_assert!(fits, "updates of a window add up to its rows");
        }
        let Bounded { tier, derived, inputs, budget, current: Some(current), .. } = bounded else {
            unreachable!("it was just there")
        };
        let window = derived.window.as_ref().expect("only windows are bounded");
        let edge = window.edge_of(&current.window.1.answer().rows, after);
        if edge == current.edge {
            return of(current.support).map(|update| update.change.clone()).transpose();
        }
        let (old_query, old_inputs) = derived.within(current.edge.as_ref(), inputs)?;
        let (query, inputs) = derived.within(edge.as_ref(), inputs)?;
        let old = old_query.run(before, &old_inputs, budget)?;
        let new = query.run(after, &inputs, budget)?;
        let change = RowsDelta::between(&old.rows, &new.rows);
        let change = with_stamped(change, delta, &new.rows);
        let (tier, query, budget) = (*tier, query.clone(), budget.clone());
        let support = self.subscribe(tier, &query, &inputs, &budget, after)?;
        let bounded = self.bounded.by_id.get_mut(&id).expect("it was just there");
        let current = bounded.current.as_mut().expect("it was just there");
        let old = std::mem::replace(&mut current.support, support);
        current.edge = edge;
        self.bounded.unlink(id, old);
        self.bounded.by_part.entry(support).or_default().insert(id);
        self.unsubscribe(old, after);
        Ok(change)
    }
}

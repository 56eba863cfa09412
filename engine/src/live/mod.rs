//! Live queries: results that follow the facts.
//!
//! A subscription is a *shape* (a program whose constants are parameters, see `lift`) with the
//! parameters bound: an *instance*; equal ones are one, whoever asked. A step of the store leads a
//! changed fact to the places of shapes that read its attribute, from there by a delta plan to the
//! parameters it concerns, and so to the rows that instances gained and lost. Subscriptions that a
//! write does not concern are never looked at.
//!
//! | tier | queries | kept |
//! | --- | --- | --- |
//! | [`Tier::Delta`] | whatever does not recurse | the parameters |
//! | [`Tier::Tables`] | rules that recurse | their rows, shared |
//! | [`Tier::Rerun`] | anything else | what was read, and the result |
//!
//! Invariant, at every revision: the answer of an instance that is not stale equals a fresh
//! evaluation over the published snapshot, and updates add up to it.

mod accumulate;
mod attributes;
mod bounded;
mod delta_plan;
mod explain;
mod goals;
mod intervals;
mod join;
mod kept;
mod list_delta;
mod maintain;
mod memo;
mod output;
mod params;
mod patch;
mod pulls;
mod relation;
mod rerun;
mod result;
pub(crate) mod selection;
mod shape;
mod step;
pub(crate) mod support;
mod tables;
mod update;
mod window;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::answer::Answer;
use crate::error::QueryError;
use crate::eval::query::{Query, check_count};
use crate::ids::Attribute;
use crate::intern::{Cell, CellHash, FixedHashMap};
use crate::limits::Budget;
use crate::program::AttributeTerm;
use crate::program::raw::Input;
use crate::store::Snapshot;
use crate::value::Value;
use attributes::{Attributes, Ids};
use bounded::AllBounded;
use delta_plan::Start;
pub use explain::{DeltaProfile, LiveProfile};
pub use list_delta::{ListDelta, Moved, Placed};
pub use patch::{Edit, PathStep, RowPatch, TreeChange};
use rerun::Reruns;
pub use result::LiveResult;
use shape::{Budgets, Instance, Shape};
use support::Supports;
use tables::{Tables, TablesId};
pub use update::{LiveUpdate, RowsDelta, UnreadDeltas};

/// One live (program, inputs); equal ones share it. Never used again after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u64);

/// How a live result is kept up: the better tiers come first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A change is joined with what it concerns; nothing is kept.
    Delta,
    /// Rows of recursive rules are kept, and maintained like facts.
    Tables,
    /// Evaluated again when something it read has changed.
    Rerun,
}

/// A clock that live queries look at before and after the step of each shape: the time since any
/// fixed moment.
pub type LiveClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What a shape has done since it came to be.
#[derive(Debug, Clone)]
pub struct ShapeStats {
    /// The query, its constants lifted to inputs.
    pub query: Query,
    /// How its instances are kept up.
    pub tier: Tier,
    /// Instances now.
    pub n_instances: u64,
    /// Rows that delta plans found on their side.
    pub n_candidates: u64,
    /// Candidates that were looked up on the other side.
    pub n_verified: u64,
    /// Updates told.
    pub n_emitted: u64,
    /// Steps that were too much work for a delta.
    pub n_fallbacks: u64,
    /// Steps of delta plans run, facts and parameters met: the measure of its work.
    pub n_lookups: u64,
    /// What its steps took, where a clock was given.
    pub time: Duration,
    /// Tuples of recursive rules kept now, also those that other shapes read too.
    pub n_kept: u64,
}

impl Tier {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Delta => "delta",
            Tier::Tables => "tables",
            Tier::Rerun => "rerun",
        }
    }
}

/// Stands for an occurrence where a fact is read by `pull`.
const PULLED: u32 = u32::MAX;

/// When live queries do what. No result depends on it: tests draw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveLimits {
    /// The most look-ups for one shape in one step; what takes more is no matter for deltas.
    pub lookups: u64,
    /// The most instances of a shape that are then evaluated at once; more become stale.
    pub reruns: usize,
    /// A group's aggregates are kept when it has so many members.
    pub hot_rows: u64,
    /// The most rows kept behind a window.
    pub margin: usize,
}

impl Default for LiveLimits {
    fn default() -> LiveLimits {
        LiveLimits { lookups: 400_000, reruns: 16, hot_rows: 32, margin: 1_000 }
    }
}

/// Where an instance is.
#[derive(Debug, Clone, Copy)]
enum At {
    Shape {
        shape: u32,
        owner: u32,
    },
    Rerun,
    /// The support of a window, made of others.
    Bounded,
}

/// A lifted program, and whether it gives a support.
type ShapeKey = (bool, Vec<u8>);

fn shape_key(query: &Query) -> ShapeKey {
    let (is_support, lifted) = query.live_key();
    (is_support, lifted.to_vec())
}

/// All live queries over one store.
#[derive(Default)]
pub(crate) struct LiveQueries {
    shapes: Vec<Option<Shape>>,
    by_key: FixedHashMap<ShapeKey, u32>,
    supports: Supports,
    bounded: AllBounded,
    instances: FxHashMap<InstanceId, At>,
    reruns: Reruns,
    tables: Tables,
    budgets: Budgets,
    next: u64,
    attributes: Attributes,
    /// By attribute number, who reads it: shape and occurrence.
    readers: Vec<Vec<(u32, u32)>>,
    /// Who reads facts whatever the attribute.
    any_readers: Vec<(u32, u32)>,
    /// Who reads a kept relation: shape and occurrence.
    table_readers: BTreeMap<TablesId, Vec<(u32, u32)>>,
    /// Of the states before and after the last step.
    ids: [Ids; 2],
    limits: LiveLimits,
    /// Tells how long shapes take, if somebody wants to know.
    clock: Option<LiveClock>,
}

impl LiveQueries {
    /// None yet, over a store whose cells are hashed like this.
    pub(crate) fn new(hash: CellHash) -> LiveQueries {
        LiveQueries { tables: Tables::new(hash), ..LiveQueries::default() }
    }

    /// Registers a live query at no better tier than this, or another user of an equal one.
    pub(crate) fn subscribe(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<InstanceId, QueryError> {
        query.check_live()?;
        // Also where it would have room in a better tier by now.
        if let Some(id) = self.reruns.join(tier, query, inputs, snapshot)? {
            return Ok(id);
        }
        if tier < Tier::Rerun {
            let subscribed = self.subscribe_shape(tier, query, inputs, budget, snapshot);
            if !matches!(subscribed, Ok(Some(_))) {
                self.remove_unused(query);
            }
            if let Some(id) = subscribed? {
                return Ok(id);
            }
        }
        let id = self.new_id();
        self.reruns.insert(id, tier, query, inputs, budget, snapshot)?;
        self.instances.insert(id, At::Rerun);
        Ok(id)
    }

    fn new_id(&mut self) -> InstanceId {
        self.next += 1;
        InstanceId(self.next - 1)
    }

    fn shape(&self, number: u32) -> &Shape {
        self.shapes[number as usize].as_ref().expect("numbers name shapes")
    }

    fn shape_mut(&mut self, number: u32) -> &mut Shape {
        self.shapes[number as usize].as_mut().expect("numbers name shapes")
    }

    /// None where no shape takes the query.
    fn subscribe_shape(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<Option<InstanceId>, QueryError> {
        let inputs = lifted_inputs(query, inputs)?;
        let Some(number) = self.shape_of(query) else { return Ok(None) };
        let shape = self.shape_mut(number);
        if shape.tier() < tier {
            return Ok(None);
        }
        let Some(rows) = shape.param_rows(&inputs)? else { return Ok(None) };
        let dictionary = snapshot.dictionary();
        let cells = |row: &Vec<Value>| -> Vec<Cell> {
            row.iter().map(|value| dictionary.intern(value)).collect()
        };
        let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
        if let Some(owner) = shape.find(&rows, &inputs) {
            let Instance { id, is_stale, .. } = *shape.instance(owner);
            if is_stale {
                self.refresh(id, snapshot)?;
            }
            self.shape_mut(number).instance_mut(owner).n_users += 1;
            return Ok(Some(id));
        }
        let (id, numbered) = (self.new_id(), self.budgets.number(budget));
        let shape = self.shape_mut(number);
        let owner = shape.add(id, numbered, &rows, inputs, dictionary);
        let asks = shape.asks(owner, dictionary);
        if !self.ask(&asks, budget, snapshot) {
            self.shape_mut(number).remove(owner, dictionary);
            return Ok(None);
        }
        self.instances.insert(id, At::Shape { shape: number, owner });
        Ok(Some(id))
    }

    /// The shape of a query, made if it is new.
    fn shape_of(&mut self, query: &Query) -> Option<u32> {
        let key = shape_key(query);
        if let Some(number) = self.by_key.get(&key) {
            return Some(*number);
        }
        let query = query.prepare_lifted().ok()?;
        let shape = Shape::new(query, &self.limits, &mut self.tables, &mut self.attributes)?;
        let free = self.shapes.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.shapes.push(None);
            self.shapes.len() - 1
        }) as u32;
        self.enter_tables(number, &shape);
        for (occurrence, place) in shape.occurrences.iter().zip(0..) {
            let Start::Fact { attribute, .. } = &occurrence.start else { continue };
            match attribute {
                AttributeTerm::Const(attribute) => {
                    self.readers_of(attribute).push((number, place));
                }
                AttributeTerm::Var(_) | AttributeTerm::Blank => {
                    self.any_readers.push((number, place));
                }
            }
        }
        if let Some(pulls) = &shape.pulls {
            match pulls.attributes() {
                None => self.any_readers.push((number, PULLED)),
                Some(attributes) => {
                    for attribute in attributes {
                        self.readers_of(attribute).push((number, PULLED));
                    }
                }
            }
        }
        self.shapes[number as usize] = Some(shape);
        self.by_key.insert(key, number);
        Some(number)
    }

    /// Who reads an attribute.
    fn readers_of(&mut self, attribute: &Attribute) -> &mut Vec<(u32, u32)> {
        let number = self.attributes.number(attribute).0 as usize;
        self.readers.resize_with(self.readers.len().max(number + 1), Vec::new);
        &mut self.readers[number]
    }

    /// One user fewer; the last one ends it. Unknown instances are ignored.
    pub(crate) fn unsubscribe(&mut self, id: InstanceId, snapshot: &Snapshot) {
        match self.instances.get(&id).copied() {
            None => {}
            Some(At::Rerun) => {
                let is_last = self.reruns.leave(id);
                if is_last {
                    self.instances.remove(&id);
                }
            }
            Some(At::Bounded) => self.leave_bounded(id, snapshot),
            Some(At::Shape { shape: number, owner }) => {
                let shape = self.shape_mut(number);
                let instance = shape.instance_mut(owner);
                instance.n_users -= 1;
                if instance.n_users > 0 {
                    return;
                }
                let asks = shape.asks(owner, snapshot.dictionary());
                shape.remove(owner, snapshot.dictionary());
                let is_last = shape.params.len() == 0;
                self.instances.remove(&id);
                self.unask(&asks, snapshot);
                if is_last {
                    self.remove_shape(number);
                }
            }
        }
    }

    /// Forgets the shape of a query that no instance has.
    fn remove_unused(&mut self, query: &Query) {
        let Some(number) = self.by_key.get(&shape_key(query)).copied() else { return };
        if self.shape(number).params.len() == 0 {
            self.remove_shape(number);
        }
    }

    fn remove_shape(&mut self, number: u32) {
        let shape = self.shapes[number as usize].take().expect("only shapes that are there end");
        self.leave_tables(number, &shape);
        self.by_key.remove(&shape_key(&shape.query));
        for readers in self.readers.iter_mut().chain([&mut self.any_readers]) {
            readers.retain(|(shape, _)| *shape != number);
        }
    }

    /// Has the steps of shapes timed.
    pub(crate) fn set_clock(&mut self, clock: LiveClock) {
        self.clock = Some(clock);
    }

    /// Says when what is done; what is there already keeps to what was said before.
    pub(crate) fn set_limits(&mut self, limits: LiveLimits) {
        self.limits = limits;
    }

    /// How an instance is kept up.
    pub(crate) fn tier(&self, id: InstanceId) -> Option<Tier> {
        Some(match self.instances.get(&id)? {
            At::Shape { shape, .. } => self.shape(*shape).tier(),
            At::Rerun => Tier::Rerun,
            At::Bounded => self.tier(self.bounded.support(id)?)?,
        })
    }

    /// What every shape has done, in the order in which they came.
    pub(crate) fn stats(&self) -> Vec<ShapeStats> {
        let stats = |shape: &Shape| ShapeStats {
            query: shape.query.clone(),
            tier: shape.tier(),
            n_instances: shape.instances.iter().flatten().count() as u64,
            n_candidates: shape.counts.candidates,
            n_verified: shape.counts.verified,
            n_emitted: shape.counts.emitted,
            n_fallbacks: shape.counts.fallbacks,
            n_lookups: shape.counts.lookups,
            time: shape.counts.time,
            n_kept: shape.tables().map(|tables| self.tables.n_tuples(tables)).sum(),
        };
        self.shapes.iter().flatten().map(stats).collect()
    }

    /// How an instance is kept up, and by what plans.
    pub(crate) fn explain(&mut self, id: InstanceId, snapshot: &Snapshot) -> Option<LiveProfile> {
        Some(match self.instances.get(&id)? {
            At::Rerun => explain::of_rerun(),
            At::Bounded => return self.explain(self.bounded.support(id)?, snapshot),
            At::Shape { shape, .. } => {
                let shape = self.shapes[*shape as usize].as_mut()?;
                shape.plan(snapshot, &mut self.tables, &mut self.attributes);
                explain::of_shape(shape, &self.attributes, snapshot.dictionary())
            }
        })
    }

    /// How a query would be kept up, alone; nothing is evaluated.
    pub(crate) fn explain_query(
        query: &Query,
        inputs: &[Input],
        snapshot: &Snapshot,
    ) -> Result<LiveProfile, QueryError> {
        query.check_live()?;
        let inputs = lifted_inputs(query, inputs)?;
        let mut live = LiveQueries::default();
        let Some(number) = live.shape_of(query) else { return Ok(explain::of_rerun()) };
        if live.shape(number).param_rows(&inputs)?.is_none() {
            return Ok(explain::of_rerun());
        }
        let shape = live.shapes[number as usize].as_mut().expect("it was just made");
        shape.plan(snapshot, &mut live.tables, &mut live.attributes);
        Ok(explain::of_shape(shape, &live.attributes, snapshot.dictionary()))
    }

    /// The current result; none when the instance is unknown or stale.
    pub(crate) fn answer(
        &self,
        id: InstanceId,
        snapshot: &Snapshot,
    ) -> Option<Result<Arc<Answer>, QueryError>> {
        match self.instances.get(&id)? {
            At::Rerun => self.reruns.answer(id).cloned().map(Ok),
            At::Bounded => self.answer(self.bounded.support(id)?, snapshot),
            At::Shape { shape, owner } => {
                let shape = self.shape(*shape);
                let instance = shape.instance(*owner);
                if instance.is_stale {
                    return None;
                }
                let inputs = shape.inputs(instance, snapshot.dictionary());
                let budget = self.budgets.get(instance.budget);
                Some(shape.query.run(snapshot, &inputs, budget).map(Arc::new))
            }
        }
    }

    /// Takes up a stale instance again, evaluated over this snapshot.
    pub(crate) fn refresh(
        &mut self,
        id: InstanceId,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        match self.instances.get(&id).copied() {
            None => Ok(()),
            Some(At::Rerun) => self.reruns.refresh(id, snapshot).map(|_| ()),
            Some(At::Bounded) => self.refresh_bounded(id, snapshot),
            Some(At::Shape { shape: number, owner }) => {
                let shape = self.shape(number);
                let tables: Vec<(TablesId, Vec<Cell>)> =
                    shape.tables().map(|tables| (tables, Vec::new())).collect();
                let budget = self.budgets.get(shape.instance(owner).budget).clone();
                self.refill(&tables, &budget, snapshot)?;
                self.shape_mut(number).instance_mut(owner).is_stale = false;
                Ok(())
            }
        }
    }
}

/// The inputs of the lifted program: those given, then the constants.
fn lifted_inputs(query: &Query, inputs: &[Input]) -> Result<Vec<Input>, QueryError> {
    check_count(query.program(), inputs)?;
    let constants = query.lifted().constants.iter().cloned().map(Input::Scalar);
    Ok(inputs.iter().cloned().chain(constants).collect())
}

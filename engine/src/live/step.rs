//! One step of the store: from its delta to what every live query is told.
//!
//! Changed facts are routed to the shapes and tables that read their attributes; tables are brought
//! up first, because what they gained and lost are changes for the shapes above. Each shape has its
//! own bound of work: what is too much for a delta is evaluated, or becomes stale, and holds up no
//! other shape.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::join::{Machine, Side, States};
use super::kept::{self, Work};
use super::maintain::{self, Change, FactDelta, Workbench};
use super::output::{self, Halt, Hot};
use super::shape::{Budgets, Counts, Shape};
use super::update::{LiveUpdate, RowsDelta};
use super::{LiveLimits, LiveQueries, PULLED};
use crate::answer::Work as Done;
use crate::error::QueryError;
use crate::eval::scratch::Scratch;
use crate::intern::Cell;
use crate::store::{Snapshot, StoreDelta};
use crate::value::Value;

impl LiveQueries {
    /// Brings every instance that the delta touches up to the state after, in order of instance.
    pub(crate) fn maintain(
        &mut self,
        before: &Snapshot,
        after: &Snapshot,
        delta: &StoreDelta,
    ) -> Vec<LiveUpdate> {
        let mut updates = self.reruns.maintain(after, delta);
        let work = self.route(after, delta);
        if !work.shapes.is_empty() || !work.tables.is_empty() {
            self.maintain_shapes(work, before, after, delta, &mut updates);
        }
        updates.sort_unstable_by_key(|update| update.instance);
        updates
    }

    /// Which changes concern which occurrences of which shapes and tables.
    fn route(&self, snapshot: &Snapshot, delta: &StoreDelta) -> Work {
        let mut work = Work::default();
        if self.by_key.is_empty() {
            return work;
        }
        let dictionary = snapshot.dictionary();
        let reads_any = !self.any_readers.is_empty() || self.tables.reads_any_attribute();
        for (change, index) in delta.facts.iter().zip(0..) {
            let (side, is_kind_only) = match (change.before, change.after) {
                (None, Some(_)) => (Side::After, false),
                (Some(_), None) => (Side::Before, false),
                // How it was written shows in pulled trees, as a value or a list.
                (Some(before), Some(after)) if before.kind != after.kind => (Side::After, true),
                _ => continue,
            };
            let fact = &change.fact;
            let number = self.attributes.find(&fact.attribute);
            let readers = number.and_then(|number| self.readers.get(number.0 as usize));
            let readers = readers.map_or(&[][..], |readers| &readers[..]);
            let in_tables = || self.tables.readers(number);
            if readers.is_empty() && !reads_any && in_tables().next().is_none() {
                continue;
            }
            let cells = dictionary.find_entity(&fact.entity).zip(dictionary.find(&fact.value));
            let (entity, value) = cells.expect("the values of a changed fact are known");
            let attribute = match reads_any {
                false => Cell::MIN,
                true => dictionary.intern(&Value::String(fact.attribute.shared().clone())),
            };
            let delta = FactDelta { index, attribute, entity, value, side };
            let readers = readers.iter().chain(&self.any_readers);
            let readers = readers.filter(|(_, occurrence)| !is_kind_only || *occurrence == PULLED);
            work.shapes.extend(
                readers.map(|(shape, occurrence)| (*shape, *occurrence, Change::Fact(delta))),
            );
            if !is_kind_only {
                work.tables.extend(in_tables().map(|reader| (reader, delta)));
            }
        }
        work.tables.sort_by_key(|(reader, _)| reader.tables);
        work
    }

    fn maintain_shapes(
        &mut self,
        mut work: Work,
        before: &Snapshot,
        after: &Snapshot,
        delta: &StoreDelta,
        updates: &mut Vec<LiveUpdate>,
    ) {
        let stepped = work.stepped();
        let read = stepped.iter().filter_map(|tables| self.table_readers.get(tables)).flatten();
        let mut touched: BTreeSet<u32> = work.shapes.iter().map(|(shape, ..)| *shape).collect();
        touched.extend(read.map(|(shape, _)| *shape));
        for tables in &stepped {
            self.tables.plan(*tables, after, &mut self.attributes);
        }
        for number in touched {
            let shape = self.shapes[number as usize].as_mut().expect("readers are shapes");
            shape.plan(after, &mut self.tables, &mut self.attributes);
        }
        self.readers.resize_with(self.attributes.len(), Vec::new);
        for (ids, snapshot) in self.ids.iter_mut().zip([before, after]) {
            ids.follow(snapshot, &self.attributes);
        }
        let [ids_before, ids_after] = &self.ids;
        let states = States { snapshots: [before, after], ids: [&ids_before.ids, &ids_after.ids] };
        if self.tables.reads_any_attribute() {
            kept::intern_attributes(after);
        }
        let scratch = Scratch::new(after.dictionary());
        let mut bench = Workbench::new(states, scratch);
        let mut stepping = kept::Stepping {
            tables: &mut self.tables,
            readers: &self.table_readers,
            shapes: &mut self.shapes,
            limits: &self.limits,
        };
        let lost_track = stepping.step(&mut work, &mut bench);
        for number in &lost_track {
            let shape = self.shapes[*number as usize].as_mut().expect("readers are shapes");
            let is_kept = shape.tables().all(|tables| self.tables.is_filled(tables));
            self.hot[*number as usize].clear();
            fall_back(shape, before, after, is_kept, &self.budgets, &self.limits, updates);
        }
        for changes in work.shapes.chunk_by(|(a, ..), (b, ..)| a == b) {
            if lost_track.contains(&changes[0].0) {
                continue;
            }
            let number = changes[0].0 as usize;
            let (shapes, hot) = (&mut self.shapes[number], &mut self.hot[number]);
            let shape = shapes.as_mut().expect("readers are shapes");
            let begin = self.clock.as_ref().map(|clock| clock());
            let mut fuel = self.limits.lookups;
            let mut patterns = shape.query.program().patterns.clone();
            let mut machine = bench.machine(shape, &self.tables, &mut patterns, &mut fuel);
            let mut counts = Counts::default();
            let told =
                step(shape, hot, changes, delta, &mut machine, &mut counts, &self.budgets, updates);
            counts.lookups = self.limits.lookups - fuel;
            shape.counts.add(counts);
            match told {
                Ok(stale) => {
                    for owner in stale {
                        hot.remove(owner);
                        let instance = shape.instances[owner as usize].as_mut();
                        instance.expect("owners are instances").is_stale = true;
                    }
                }
                Err(told_before) => {
                    updates.truncate(told_before);
                    hot.clear();
                    fall_back(shape, before, after, true, &self.budgets, &self.limits, updates);
                }
            }
            if let (Some(clock), Some(begin)) = (&self.clock, begin) {
                shape.counts.time += clock().saturating_sub(begin);
            }
        }
        for id in stepped {
            self.tables.settle(id);
        }
    }
}

/// Tells what changes do to the instances of a shape; which of them became stale. Where it is too
/// much work for a delta, how many updates had been told before.
#[expect(clippy::too_many_arguments, reason = "each is borrowed from another place")]
fn step(
    shape: &Shape,
    hot: &mut Hot,
    changes: &[(u32, u32, Change)],
    delta: &StoreDelta,
    machine: &mut Machine<'_, '_>,
    counts: &mut Counts,
    budgets: &Budgets,
    updates: &mut Vec<LiveUpdate>,
) -> Result<Vec<u32>, usize> {
    let n_told_before = updates.len();
    let shown = changes.iter().filter_map(|(_, occurrence, change)| match change {
        Change::Fact(delta) if *occurrence == PULLED => Some(delta),
        _ => None,
    });
    let roots = match &shape.pulls {
        Some(pulls) => pulls
            .roots(
                shown,
                |change| delta.facts[change.index as usize].fact.attribute.clone(),
                machine.states,
            )
            .ok_or(n_told_before)?,
        None => BTreeSet::new(),
    };
    let joined = changes.iter().filter(|(_, occurrence, _)| *occurrence != PULLED);
    let joined = joined.map(|(_, occurrence, change)| (*occurrence, *change));
    let ControlFlow::Continue(delta) = maintain::step(shape, joined, &roots, machine, counts)
    else {
        return Err(n_told_before);
    };
    let mut stale = Vec::new();
    for owner in delta.owners() {
        let instance = shape.instances[owner as usize].as_ref().expect("owners are instances");
        let (instance, budget) = (instance.id, budgets.get(instance.budget));
        let change = match output::change(shape, hot, owner, &delta, budget, machine) {
            Ok(None) => continue,
            Ok(Some(rows)) => Ok(rows),
            Err(Halt::OverBudget) => return Err(n_told_before),
            Err(Halt::Failed(error)) => {
                stale.push(owner);
                Err(error)
            }
        };
        updates.push(LiveUpdate { instance, change });
        counts.emitted += 1;
    }
    Ok(stale)
}

/// The error of an instance that became stale because of too much of something.
pub(super) fn over_budget(what: &str) -> QueryError {
    let hint = "subscribe again, or wait until the server does";
    QueryError::over(what.to_owned(), Done::default(), hint)
}

/// Where a delta was too much work: a few instances are evaluated on both sides; many become stale,
/// and whoever holds them decides when they are taken up again. All do where the tables that keep
/// them up are not kept any more.
fn fall_back(
    shape: &mut Shape,
    before: &Snapshot,
    after: &Snapshot,
    is_kept: bool,
    budgets: &Budgets,
    limits: &LiveLimits,
    updates: &mut Vec<LiveUpdate>,
) {
    shape.counts.fallbacks += 1;
    let n_live = shape.instances.iter().flatten().filter(|instance| !instance.is_stale).count();
    for owner in 0..shape.instances.len() {
        let Some(instance) = shape.instances[owner].as_ref().filter(|it| !it.is_stale) else {
            continue;
        };
        let inputs = shape.inputs(instance, after.dictionary());
        let budget = budgets.get(instance.budget);
        let run = |snapshot| shape.query.run(snapshot, &inputs, budget);
        let change = match is_kept && n_live <= limits.reruns {
            true => run(before)
                .and_then(|old| run(after).map(|new| RowsDelta::between(&old.rows, &new.rows))),
            false => Err(over_budget("look-ups of one step")),
        };
        let instance = instance.id;
        match change {
            Ok(None) => {}
            Ok(Some(rows)) => updates.push(LiveUpdate { instance, change: Ok(rows) }),
            Err(error) => {
                let stale = shape.instances[owner].as_mut().expect("it was there");
                stale.is_stale = true;
                updates.push(LiveUpdate { instance, change: Err(error) });
            }
        }
    }
}

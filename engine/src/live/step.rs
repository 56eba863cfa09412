//! One step of the store: from its delta to what every live query is told.
//!
//! Changed facts are routed to the shapes and tables that read their attributes; tables are brought
//! up first, because what they gained and lost are changes for the shapes above. Each shape has its
//! own bound of work: what is too much for a delta is evaluated, or becomes stale, and holds up no
//! other shape.

use std::collections::BTreeSet;

use super::join::{Machine, Side, States};
use super::kept::{self, Work};
use super::maintain::{self, Change, FactDelta, Workbench};
use super::output::{self, Halt, Hot};
use super::shape::{Budgets, Counts, Shape};
use super::update::{LiveUpdate, RowsDelta};
use super::{LiveLimits, LiveQueries, PULLED, support};
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
        updates.extend(self.maintain_bounded([before, after], delta, &updates));
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
            let (side, other_kind) = match (change.before, change.after) {
                (None, Some(_)) => (Side::After, None),
                (Some(_), None) => (Side::Before, None),
                (Some(before), Some(after)) => (Side::After, Some(before.kind != after.kind)),
                (None, None) => continue,
            };
            let is_stamp = other_kind.is_some();
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
            let attribute = match reads_any || is_stamp {
                false => Cell::MIN,
                true => dictionary.intern(&Value::String(fact.attribute.shared().clone())),
            };
            let delta = FactDelta { index, attribute, entity, value, side, is_stamp };
            let readers = readers.iter().chain(&self.any_readers);
            // How a fact was written shows in pulled trees, as a value or a list; when, in supports.
            let concerns = |shape, occurrence| match other_kind {
                None => true,
                Some(is_other) if occurrence == PULLED => is_other,
                Some(_) => self.shape(shape).query.is_support(),
            };
            let readers = readers.filter(|(shape, occurrence)| concerns(*shape, *occurrence));
            work.shapes.extend(
                readers.map(|(shape, occurrence)| (*shape, *occurrence, Change::Fact(delta))),
            );
            if !is_stamp {
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
            let sides = [before, after];
            let told = fall_back(shape, sides, delta, is_kept, &self.budgets, &self.limits);
            updates.extend(told);
        }
        for changes in work.shapes.chunk_by(|(a, ..), (b, ..)| a == b) {
            if lost_track.contains(&changes[0].0) {
                continue;
            }
            let shape = self.shapes[changes[0].0 as usize].as_mut().expect("readers are shapes");
            let begin = self.clock.as_ref().map(|clock| clock());
            let mut hot = std::mem::take(&mut shape.hot);
            let mut fuel = self.limits.lookups;
            let mut patterns = shape.query.program().patterns.clone();
            let mut machine = bench.machine(shape, &self.tables, &mut patterns, &mut fuel);
            let mut counts = Counts::default();
            let told =
                step(shape, &mut hot, changes, delta, &mut machine, &mut counts, &self.budgets);
            counts.lookups = self.limits.lookups - fuel;
            shape.counts.add(counts);
            shape.hot = hot;
            match told {
                Ok(told) => {
                    for (owner, update) in told {
                        if update.change.is_err() {
                            shape.lose_track(owner);
                        }
                        updates.push(update);
                    }
                }
                Err(TooMuch) => {
                    let sides = [before, after];
                    let told = fall_back(shape, sides, delta, true, &self.budgets, &self.limits);
                    updates.extend(told);
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

/// A delta is more work than one may be.
struct TooMuch;

/// What changes do to the instances of a shape, with the owner of each. An error leaves its
/// instance stale.
fn step(
    shape: &Shape,
    hot: &mut Hot,
    changes: &[(u32, u32, Change)],
    delta: &StoreDelta,
    machine: &mut Machine<'_, '_>,
    counts: &mut Counts,
    budgets: &Budgets,
) -> Result<Vec<(u32, LiveUpdate)>, TooMuch> {
    let shown = changes.iter().filter_map(|(_, occurrence, change)| match change {
        Change::Fact(delta) if *occurrence == PULLED => Some(delta),
        _ => None,
    });
    let attribute_of =
        |change: &FactDelta| delta.facts[change.index as usize].fact.attribute.clone();
    let roots = match &shape.pulls {
        Some(pulls) => pulls.roots(shown, attribute_of, machine.states).ok_or(TooMuch)?,
        None => BTreeSet::new(),
    };
    let joined = changes.iter().filter(|(_, occurrence, _)| *occurrence != PULLED);
    let joined = joined.map(|(_, occurrence, change)| (*occurrence, *change));
    let delta = maintain::step(shape, joined, &roots, machine, counts);
    let delta = delta.continue_value().ok_or(TooMuch)?;
    let mut updates = Vec::new();
    for owner in delta.owners() {
        let instance = shape.instance(owner);
        let budget = budgets.get(instance.budget);
        let change = match output::change(shape, hot, owner, &delta, budget, machine) {
            Ok(None) => continue,
            Ok(Some(rows)) => Ok(rows),
            Err(Halt::OverBudget) => return Err(TooMuch),
            Err(Halt::Failed(error)) => Err(error),
        };
        updates.push((owner, LiveUpdate { instance: instance.id, change }));
        counts.emitted += 1;
    }
    Ok(updates)
}

/// The error of an instance that became stale because of too much of something.
pub(super) fn over_budget(what: &str) -> QueryError {
    let hint = "subscribe again, or wait until the server does";
    QueryError::over(what.to_owned(), crate::answer::Work::default(), hint)
}

/// Where a delta was too much work: a few instances are evaluated on both sides; many become stale,
/// and whoever holds them decides when they are taken up again. All do where the tables that keep
/// them up are not kept any more.
fn fall_back(
    shape: &mut Shape,
    [before, after]: [&Snapshot; 2],
    delta: &StoreDelta,
    is_kept: bool,
    budgets: &Budgets,
    limits: &LiveLimits,
) -> Vec<LiveUpdate> {
    shape.counts.fallbacks += 1;
    shape.hot.clear();
    let live = (0..).zip(&shape.instances).filter_map(|(owner, instance)| {
        instance.as_ref().filter(|instance| !instance.is_stale).map(|_| owner)
    });
    let live: Vec<u32> = live.collect();
    let is_evaluated = is_kept && live.len() <= limits.reruns;
    let mut updates = Vec::new();
    for owner in live {
        let instance = shape.instance(owner);
        let id = instance.id;
        let inputs = shape.inputs(instance, after.dictionary());
        let budget = budgets.get(instance.budget);
        let run = |snapshot| shape.query.run(snapshot, &inputs, budget);
        let change = match is_evaluated {
            true => run(before).and_then(|old| {
                let new = run(after)?;
                let change = RowsDelta::between(&old.rows, &new.rows);
                Ok(match shape.query.is_support() {
                    true => support::with_stamped(change, delta, &new.rows),
                    false => change,
                })
            }),
            false => Err(over_budget("look-ups of one step")),
        };
        if change.is_err() {
            shape.lose_track(owner);
        }
        let change = change.transpose();
        updates.extend(change.map(|change| LiveUpdate { instance: id, change }));
    }
    updates
}

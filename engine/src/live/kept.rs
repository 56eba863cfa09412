//! Live queries and the tables of recursive rules: who fills them, and how a step goes through them.
//!
//! Instances ask tables for what their parameters bind; a step takes the tables that read a changed
//! fact to the state after, and what changed there is work for the shapes that read them, like
//! facts that came or went. Tables that cannot follow within bounds are filled again if that is
//! little; their shapes are then evaluated, or become stale.

use std::collections::{BTreeMap, BTreeSet};

use super::delta_plan::{Occurrence, Start};
use super::join::States;
use super::maintain::{Change, Workbench};
use super::shape::Shape;
use super::step::over_budget;
use super::tables::{Allowance, Bounds, Changes, Tables, TablesId, TablesWork};
use super::{LiveLimits, LiveQueries};
use crate::error::QueryError;
use crate::eval::scratch::Scratch;
use crate::intern::Cell;
use crate::limits::Budget;
use crate::store::Snapshot;
use crate::value::Value;

/// How many times the look-ups of a shape the tables of a rule may take in one step: what follows
/// from a change inside a recursion is more than what it shows.
const STEP_LOOKUPS: u64 = 8;

/// How many times the look-ups of a shape filling tables again may take, after a step that took
/// too many.
const REFILL_LOOKUPS: u64 = 16;

/// What a step changed, at the places that read it, in order of shape and of tables.
#[derive(Default)]
pub(super) struct Work {
    pub(super) shapes: Vec<(u32, u32, Change)>,
    pub(super) tables: Vec<TablesWork>,
}

impl LiveQueries {
    /// Has tables derive what an instance asks for; false if that is more than its budget.
    pub(super) fn ask(
        &mut self,
        asks: &[(TablesId, Vec<Cell>)],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> bool {
        if asks.is_empty() {
            return true;
        }
        let allowance = Allowance::of(budget);
        self.on_bench(asks, snapshot, |tables, bench| {
            for (n_done, (id, cells)) in asks.iter().enumerate() {
                if tables.ask(*id, cells, bench, &allowance).is_break() {
                    for (id, cells) in &asks[..n_done] {
                        tables.unask(*id, cells, bench);
                    }
                    return false;
                }
            }
            true
        })
    }

    /// Takes back what an instance asked for.
    pub(super) fn unask(&mut self, asks: &[(TablesId, Vec<Cell>)], snapshot: &Snapshot) {
        if !asks.is_empty() {
            self.on_bench(asks, snapshot, |tables, bench| {
                for (id, cells) in asks {
                    tables.unask(*id, cells, bench);
                }
            });
        }
    }

    /// Works on tables over one state of the facts.
    fn on_bench<Result>(
        &mut self,
        asks: &[(TablesId, Vec<Cell>)],
        snapshot: &Snapshot,
        work: impl FnOnce(&mut Tables, &mut Workbench<'_>) -> Result,
    ) -> Result {
        for (id, _) in asks {
            self.tables.plan(*id, snapshot, &mut self.attributes);
        }
        if self.tables.reads_any_attribute() {
            intern_attributes(snapshot);
        }
        let ids = &mut self.ids[1];
        ids.follow(snapshot, &self.attributes);
        let states = States { snapshots: [snapshot, snapshot], ids: [&ids.ids, &ids.ids] };
        let scratch = Scratch::new(snapshot.dictionary());
        let mut bench = Workbench::new(states, scratch);
        work(&mut self.tables, &mut bench)
    }

    /// Fills tables that hold nothing since a step was too much for them.
    pub(super) fn refill(
        &mut self,
        tables: &[(TablesId, Vec<Cell>)],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<(), QueryError> {
        if tables.iter().all(|(id, _)| self.tables.is_filled(*id)) {
            return Ok(());
        }
        let allowance = Allowance::of(budget);
        let is_filled = self.on_bench(tables, snapshot, |tables_of, bench| {
            tables.iter().all(|(id, _)| tables_of.fill(*id, bench, &allowance).is_continue())
        });
        match is_filled {
            true => Ok(()),
            false => Err(over_budget("tuples of rules that recurse")),
        }
    }

    /// Whether all tables that are filled keep their invariant: every tuple is supported by tuples
    /// below it, or asked for.
    pub(crate) fn are_tables_sound(&mut self, snapshot: &Snapshot) -> bool {
        let shapes = self.shapes.iter().flatten();
        let all: BTreeSet<TablesId> = shapes.flat_map(Shape::tables).collect();
        let all: Vec<(TablesId, Vec<Cell>)> = all.into_iter().map(|id| (id, Vec::new())).collect();
        self.on_bench(&all, snapshot, |tables, bench| {
            all.iter().all(|(id, _)| !tables.is_filled(*id) || tables.is_sound(*id, bench))
        })
    }

    /// Notes where a shape reads tables.
    pub(super) fn enter_tables(&mut self, number: u32, shape: &Shape) {
        for seed in &shape.seeds {
            let readers = self.table_readers.entry(seed.tables).or_default();
            let reads = |occurrence: &Occurrence| match occurrence.start {
                Start::Derived { relation, .. } => relation == seed.answers,
                Start::Fact { .. } => false,
            };
            let places = (0..).zip(&shape.occurrences).filter(|(_, it)| reads(it));
            readers.extend(places.map(|(place, _)| (number, place)));
            readers.sort_unstable();
            readers.dedup();
        }
    }

    /// A shape that ends uses its tables no more.
    pub(super) fn leave_tables(&mut self, number: u32, shape: &Shape) {
        for seed in &shape.seeds {
            if let Some(readers) = self.table_readers.get_mut(&seed.tables) {
                readers.retain(|(reader, _)| *reader != number);
                if readers.is_empty() {
                    self.table_readers.remove(&seed.tables);
                }
            }
            self.tables.release(seed.tables);
        }
    }
}

/// Where a rule reads the names of attributes, they are values that its tuples hold.
pub(super) fn intern_attributes(snapshot: &Snapshot) {
    for attribute in snapshot.attributes() {
        let text = snapshot.attribute(attribute).shared().clone();
        snapshot.dictionary().intern(&Value::String(text));
    }
}

impl Work {
    /// The tables that have something to do.
    pub(super) fn stepped(&self) -> BTreeSet<TablesId> {
        self.tables.iter().map(|(reader, _)| reader.tables).collect()
    }
}

/// What a step of all tables works with.
pub(super) struct Stepping<'q> {
    pub(super) tables: &'q mut Tables,
    /// By tables: shape and occurrence.
    pub(super) readers: &'q BTreeMap<TablesId, Vec<(u32, u32)>>,
    pub(super) shapes: &'q mut [Option<Shape>],
    pub(super) limits: &'q LiveLimits,
}

impl Stepping<'_> {
    /// Takes tables to the state after; what changed there is more work for shapes. The shapes
    /// whose tables could not follow.
    pub(super) fn step(&mut self, work: &mut Work, bench: &mut Workbench<'_>) -> BTreeSet<u32> {
        let mut lost_track = BTreeSet::new();
        let Work { shapes, tables } = work;
        for facts in tables.chunk_by(|(a, _), (b, _)| a.tables == b.tables) {
            let id = facts[0].0.tables;
            if !self.tables.is_filled(id) {
                continue;
            }
            let readers = self.readers.get(&id).map_or(&[][..], |readers| &readers[..]);
            let fuel_max = self.limits.lookups.saturating_mul(STEP_LOOKUPS);
            let mut fuel = fuel_max;
            let mut bounds = Bounds { fuel: &mut fuel, n_tuples_max: u64::MAX, interrupt: None };
            let changes = Changes { facts, ..Changes::default() };
            let flow = self.tables.step(id, &changes, bench, &mut bounds);
            if flow.is_break() {
                let fuel = self.limits.lookups.saturating_mul(REFILL_LOOKUPS);
                self.tables.refill(id, fuel, bench);
                lost_track.extend(readers.iter().map(|(shape, _)| *shape));
            } else {
                let relation = self.tables.answers(id);
                for (row, side) in self.tables.changes(relation) {
                    let change = Change::Tuple { relation, row, side };
                    shapes.extend(readers.iter().map(|(shape, at)| (*shape, *at, change)));
                }
            }
            for shape in readers.iter().map(|(shape, _)| *shape).collect::<BTreeSet<u32>>() {
                let shape = self.shapes[shape as usize].as_mut().expect("readers are shapes");
                shape.counts.lookups += fuel_max - fuel;
            }
        }
        shapes.sort_by_key(|(shape, ..)| *shape);
        lost_track
    }
}

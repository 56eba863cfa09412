//! Tables: what has been asked of a rule under one adornment, and what it has answered.
//!
//! Rows of both sets have three ages: *stable* (every combination with them has been made),
//! *recent* (from the last round), *new* (from this round). Ages are ranges of positions, because
//! sets keep the order of arrival. A round begins by [`Table::advance`]; the fixpoint is reached
//! when nothing is recent any more. This is what datafrog calls a variable.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::rows::{KeyIndex, RowSet};
use crate::intern::Cell;
use crate::plan::{Adornment, Plan};
use crate::program::RuleId;

/// A set of rows with ages and indexes.
#[derive(Debug)]
pub(crate) struct AgedSet {
    rows: RowSet,
    stable_end: usize,
    recent_end: usize,
    indexes: BTreeMap<Vec<usize>, KeyIndex>,
}

impl AgedSet {
    pub(crate) fn new(width: usize) -> AgedSet {
        AgedSet { rows: RowSet::new(width), stable_end: 0, recent_end: 0, indexes: BTreeMap::new() }
    }

    pub(crate) fn insert(&mut self, row: &[Cell]) -> bool {
        self.rows.insert(row)
    }

    pub(crate) fn row(&self, position: usize) -> &[Cell] {
        self.rows.row(position)
    }

    pub(crate) fn recent(&self) -> Range<usize> {
        self.stable_end..self.recent_end
    }

    pub(crate) fn up_to_recent(&self) -> Range<usize> {
        0..self.recent_end
    }

    pub(crate) fn all(&self) -> Range<usize> {
        0..self.rows.len()
    }

    /// Recent rows become stable, new ones recent; whether there are any recent ones now.
    fn advance(&mut self) -> bool {
        self.stable_end = self.recent_end;
        self.recent_end = self.rows.len();
        self.stable_end < self.recent_end
    }

    /// Brings the index over these columns up to date.
    pub(crate) fn prepare_index(&mut self, columns: &[usize]) {
        if !self.indexes.contains_key(columns) {
            self.indexes.insert(columns.to_vec(), KeyIndex::new(columns.to_vec()));
        }
        let index = self.indexes.get_mut(columns).expect("it has just been made");
        index.extend(&self.rows);
    }

    /// Positions of the rows whose `columns` are `key`, ascending, those of the range only.
    /// The index must have been prepared.
    pub(crate) fn find(&self, columns: &[usize], key: &[Cell], range: &Range<usize>) -> &[u32] {
        let index = self.indexes.get(columns).expect("the index was prepared before the join");
        let found = index.find(key, &self.rows);
        let start = found.partition_point(|position| (*position as usize) < range.start);
        let end = found.partition_point(|position| (*position as usize) < range.end);
        &found[start..end]
    }
}

/// What one rule has been asked and has answered under one adornment.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rule: RuleId,
    pub(crate) adornment: Adornment,
    /// Bindings of the adorned columns that were asked for.
    pub(crate) demand: AgedSet,
    /// Rows of the rule; for every stable demand all of them, once the fixpoint is reached.
    pub(crate) answers: AgedSet,
    /// One for each definition of the rule.
    pub(crate) plans: Arc<Vec<Plan>>,
    /// The rows that have reached a recursive call and wait for more of its answers, by
    /// definition and step.
    pub(crate) waiting: BTreeMap<(usize, usize), AgedSet>,
}

impl Table {
    pub(crate) fn new(
        rule: RuleId,
        arity: usize,
        adornment: Adornment,
        plans: Arc<Vec<Plan>>,
    ) -> Table {
        Table {
            rule,
            demand: AgedSet::new(adornment.columns().len()),
            adornment,
            answers: AgedSet::new(arity),
            plans,
            waiting: BTreeMap::new(),
        }
    }

    /// Begins a round; whether it has anything to do.
    pub(crate) fn advance(&mut self) -> bool {
        let new_demand = self.demand.advance();
        let new_answers = self.answers.advance();
        new_demand || new_answers
    }
}

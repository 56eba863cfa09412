//! Tables: what has been asked of a rule under one adornment, and what it has answered.
//!
//! Rows of both sets have three ages: *stable* (every combination with them has been made),
//! *recent* (from the last round), *new* (from this round). Ages are ranges of positions, because
//! sets keep the order of arrival. A round begins by [`Table::advance`]; the fixpoint is reached
//! when nothing is recent any more. This is what datafrog calls a variable.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::meter::Meter;
use super::reached::Reached;
use super::rows::{KeyIndex, RowSet};
use crate::error::QueryError;
use crate::intern::{Cell, CellHash};
use crate::plan::{Adornment, Plan};
use crate::program::RuleId;

/// A set of rows with ages and indexes.
#[derive(Debug)]
pub(crate) struct AgedSet {
    rows: RowSet,
    stable_end: usize,
    recent_end: usize,
    indexes: Vec<KeyIndex>,
}

impl AgedSet {
    pub(crate) fn new(width: usize, hash: CellHash) -> AgedSet {
        let rows = RowSet::new(width, hash);
        AgedSet { rows, stable_end: 0, recent_end: 0, indexes: Vec::new() }
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

    /// The bytes that one more row takes.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.rows.row_bytes()
    }

    /// Brings the index over these columns up to date; gives its number and the bytes it grew by.
    pub(crate) fn prepare_index(
        &mut self,
        columns: &[usize],
        meter: &Meter,
    ) -> Result<(usize, u64), QueryError> {
        let number = self.index_over(columns).unwrap_or_else(|| {
            self.indexes.push(KeyIndex::new(columns, self.rows.hash()));
            self.indexes.len() - 1
        });
        let index = &mut self.indexes[number];
        let n_bytes_before = index.n_bytes();
        index.extend(&self.rows, meter)?;
        Ok((number, index.n_bytes() - n_bytes_before))
    }

    fn index_over(&self, columns: &[usize]) -> Option<usize> {
        self.indexes.iter().position(|index| index.columns() == columns)
    }

    /// Positions below `end` of the rows with this key in an index that was prepared, ascending.
    pub(crate) fn find(
        &self,
        index: usize,
        key: &[Cell],
        end: usize,
    ) -> impl Iterator<Item = usize> + use<'_> {
        self.indexes[index].find(key, &self.rows, end)
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
    /// The answers instead, where searches give them.
    pub(crate) reached: Option<Reached>,
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
        hash: CellHash,
    ) -> Table {
        Table {
            rule,
            demand: AgedSet::new(adornment.columns().len(), hash),
            adornment,
            answers: AgedSet::new(arity, hash),
            reached: None,
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

    /// To be called before [`Table::try_for_each`] for these columns; the bytes that it took.
    pub(crate) fn prepare(&mut self, columns: &[usize], meter: &Meter) -> Result<u64, QueryError> {
        match self.reached.is_none() && !columns.is_empty() {
            true => Ok(self.answers.prepare_index(columns, meter)?.1),
            false => Ok(0),
        }
    }

    /// Hands over each answer whose `columns` are `key`, until told to stop.
    pub(crate) fn try_for_each<Break>(
        &self,
        columns: &[usize],
        key: &[Cell],
        mut take: impl FnMut(&[Cell]) -> ControlFlow<Break>,
    ) -> ControlFlow<Break> {
        let answers = &self.answers;
        if let Some(reached) = &self.reached {
            reached.try_for_each(columns, key, |pair| take(&pair))
        } else if columns.is_empty() {
            answers.all().try_for_each(|position| take(answers.row(position)))
        } else {
            let index = answers.index_over(columns).expect("the columns were prepared");
            let mut found = answers.find(index, key, answers.all().end);
            found.try_for_each(|position| take(answers.row(position)))
        }
    }
}

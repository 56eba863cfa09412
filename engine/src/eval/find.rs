//! From the rows of the body to the answer: projection, groups, order, window, pull.
//!
//! Rows are a set over the find and `:with` variables; aggregates see one value for each member.
//! The order is total: by `:order-by`, then by the whole row, trees included, so a result is the
//! same whatever plan made it, and whoever holds its rows can order them. Trees are pulled only for
//! the window and for what ties with its ends.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rustc_hash::FxHashMap;

use super::batch::Rows;
use super::rows::{CELL_BYTES, RowSet};
use super::{Evaluator, aggregate, functions};
use crate::answer::{Output, Row};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::program::functions::Function;
use crate::program::raw::{FindForm, RawHaving, RawHavingTerm};
use crate::program::{Aggregate, FindElement, Program};
use crate::value::Value;

/// What a group takes besides its key and members: its place in the map, and two lists.
const GROUP_BYTES: u64 = 96;

impl Evaluator<'_> {
    /// The rows of the answer, given those of the body.
    pub(super) fn find(&mut self, program: &Program, rows: &Rows) -> Result<Vec<Row>, QueryError> {
        "the result".clone_into(&mut self.meter.place);
        let tuples = self.tuples(program, rows)?;
        let is_aggregate = |element: &FindElement| matches!(element, FindElement::Aggregate { .. });
        let mut found = if program.find.iter().any(is_aggregate) {
            self.groups(program, &tuples)?
        } else {
            self.sorted(program.find.len(), &tuples)?
        };
        drop(tuples);
        for (having, function) in program.having.iter().zip(&program.having_functions) {
            found.retain(|row| holds(having, *function, row));
        }
        order_by(program, &mut found);
        drop_up_to_after(program, &mut found);
        self.pull_and_window(program, found)
    }

    /// Cuts rows in their order to the window, and replaces entities to be pulled by their trees.
    fn pull_and_window(
        &mut self,
        program: &Program,
        mut rows: Vec<Row>,
    ) -> Result<Vec<Row>, QueryError> {
        let raw = &program.raw;
        let bound = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let start = bound(raw.offset).min(rows.len());
        let end = raw.limit.map_or(rows.len(), |n| start.saturating_add(bound(n)).min(rows.len()));
        let is_pull = |element: &FindElement| matches!(element, FindElement::Pull { .. });
        if !program.find.iter().any(is_pull) {
            rows.truncate(end);
            rows.drain(..start);
            return Ok(rows);
        }
        let pulls_a_key =
            program.order_by().iter().any(|key| is_pull(&program.find[key.element as usize]));
        let tied = if pulls_a_key || start == end {
            0..if start == end { 0 } else { rows.len() }
        } else {
            let tied = |a: usize, b: usize| compare_keys(program, &rows[a], &rows[b]).is_eq();
            let first = (0..start).rev().take_while(|row| tied(*row, start)).count();
            let last = (end..rows.len()).take_while(|row| tied(*row, end - 1)).count();
            start - first..end + last
        };
        rows.truncate(tied.end);
        rows.drain(..tied.start);
        self.pull_all(program, &mut rows)?;
        rows.sort_unstable_by(|a, b| compare_keys(program, a, b).then_with(|| a.cmp(b)));
        rows.truncate(end.saturating_sub(tied.start));
        rows.drain(..(start - tied.start.min(start)).min(rows.len()));
        Ok(rows)
    }

    /// The distinct tuples of the find elements' variables and those of `:with`.
    fn tuples(&mut self, program: &Program, rows: &Rows) -> Result<RowSet, QueryError> {
        let find = program.find.iter().map(FindElement::var);
        let columns: Vec<&[Cell]> =
            find.chain(program.with.iter().copied()).map(|var| rows.column(var)).collect();
        // Without aggregates `:with` changes nothing: the answer is a set of rows.
        let has_aggregate =
            program.find.iter().any(|element| matches!(element, FindElement::Aggregate { .. }));
        let columns = if has_aggregate { columns } else { columns[..program.find.len()].to_vec() };
        let mut tuples = RowSet::new(columns.len());
        let mut tuple = Vec::with_capacity(columns.len());
        for row in 0..rows.len() {
            tuple.clear();
            tuple.extend(columns.iter().map(|column| column[row]));
            if tuples.insert(&tuple) {
                self.meter.made_row()?;
                self.meter.room_for(tuples.n_bytes())?;
            }
        }
        self.meter.hold(tuples.n_bytes())?;
        Ok(tuples)
    }

    /// The tuples as rows, ordered by the whole row.
    fn sorted(&mut self, width: usize, tuples: &RowSet) -> Result<Vec<Row>, QueryError> {
        // Each different cell is compared by value only while ranks are found; rows are then
        // sorted by the ranks of their cells.
        let mut cells: Vec<Cell> =
            (0..tuples.len()).flat_map(|position| tuples.row(position)).copied().collect();
        cells.sort_unstable();
        cells.dedup();
        cells.sort_unstable_by(|a, b| self.scratch.compare(*a, *b));
        let ranks: FxHashMap<Cell, u32> =
            cells.iter().enumerate().map(|(rank, cell)| (*cell, rank as u32)).collect();
        let mut keys: Vec<u32> = Vec::with_capacity(tuples.len() * width);
        for position in 0..tuples.len() {
            keys.extend(tuples.row(position)[..width].iter().map(|cell| ranks[cell]));
        }
        let key = |position: u32| {
            let start = position as usize * width;
            &keys[start..start + width]
        };
        let mut positions: Vec<u32> = (0..tuples.len() as u32).collect();
        positions.sort_unstable_by(|a, b| key(*a).cmp(key(*b)));
        self.meter.hold(positions.len() as u64 * row_bytes(width))?;
        let values: Vec<Value> = cells.iter().map(|cell| self.scratch.value(*cell)).collect();
        let mut rows = Vec::with_capacity(positions.len());
        for position in positions {
            let outputs = key(position).iter();
            rows.push(outputs.map(|rank| Output::Value(values[*rank as usize].clone())).collect());
            self.meter.made_row()?;
        }
        Ok(rows)
    }

    /// One row for each group that has results, ordered by the whole row.
    fn groups(&mut self, program: &Program, tuples: &RowSet) -> Result<Vec<Row>, QueryError> {
        let find = program.find.iter().enumerate();
        let grouped: Vec<usize> = find
            .filter(|(_, element)| !matches!(element, FindElement::Aggregate { .. }))
            .map(|(column, _)| column)
            .collect();
        let mut groups: BTreeMap<Vec<Cell>, Vec<usize>> = BTreeMap::new();
        for position in 0..tuples.len() {
            let tuple = tuples.row(position);
            let key: Vec<Cell> = grouped.iter().map(|column| tuple[*column]).collect();
            match groups.entry(key) {
                Entry::Occupied(group) => group.into_mut().push(position),
                Entry::Vacant(group) => {
                    self.meter.hold(GROUP_BYTES + grouped.len() as u64 * CELL_BYTES)?;
                    group.insert(vec![position]);
                }
            }
            self.meter.hold(size_of::<usize>() as u64)?;
            self.meter.made_row()?;
        }
        let mut rows = Vec::with_capacity(groups.len());
        for members in groups.values() {
            self.meter.hold(row_bytes(program.find.len()))?;
            match self.group(program, tuples, members)? {
                Some(row) => rows.push(row),
                None => self.meter.n_without_result += 1,
            }
            self.meter.made_row()?;
        }
        if groups.is_empty() {
            rows.extend(of_nothing(program));
        }
        rows.sort_unstable();
        Ok(rows)
    }

    /// The row of a group; none where an aggregate has no result.
    fn group(
        &mut self,
        program: &Program,
        tuples: &RowSet,
        members: &[usize],
    ) -> Result<Option<Row>, QueryError> {
        let mut row = Row::with_capacity(program.find.len());
        for (column, element) in program.find.iter().enumerate() {
            let value = |position: &usize| self.scratch.value(tuples.row(*position)[column]);
            let output = match element {
                FindElement::Aggregate { function, n, .. } => {
                    let n_members = members.len() as u64;
                    self.meter.room_for(values_bytes(function.n_values_max(*n, n_members)))?;
                    self.meter.went_through(values_bytes(n_members))?;
                    aggregate::aggregate(*function, *n, members.iter().map(value).collect())
                }
                FindElement::Variable(_) | FindElement::Pull { .. } => {
                    members.first().map(value).map(Output::Value)
                }
            };
            let Some(output) = output else { return Ok(None) };
            if let Output::List(values) = &output {
                self.meter.hold(values_bytes(values.len() as u64))?;
            }
            row.push(output);
        }
        Ok(Some(row))
    }

    fn pull_all(&mut self, program: &Program, rows: &mut [Row]) -> Result<(), QueryError> {
        for (column, element) in program.find.iter().enumerate() {
            let FindElement::Pull { pattern, .. } = element else { continue };
            for row in rows.iter_mut() {
                if let Output::Value(Value::Ref(entity)) = &row[column] {
                    row[column] =
                        Output::Tree(self.pull(&program.raw, *pattern, &entity.clone())?);
                }
            }
        }
        Ok(())
    }
}

/// The row of a scalar count or sum over nothing.
fn of_nothing(program: &Program) -> Option<Row> {
    let is_zero = matches!(
        program.find.as_slice(),
        [FindElement::Aggregate {
            function: Aggregate::Count | Aggregate::CountDistinct | Aggregate::Sum,
            ..
        }]
    );
    (program.form() == FindForm::Scalar && is_zero).then(|| vec![Output::Value(Value::int(0))])
}

/// Whether a row passes a predicate of `:having`; a list or tree is never a value.
fn holds(having: &RawHaving, function: Function, row: &Row) -> bool {
    let args: Option<Vec<Value>> = having
        .args
        .iter()
        .map(|arg| match arg {
            RawHavingTerm::Constant(value) => Some(value.clone()),
            RawHavingTerm::Element(element) => match &row[*element as usize] {
                Output::Value(value) => Some(value.clone()),
                Output::List(_) | Output::Tree(_) => None,
            },
        })
        .collect();
    args.is_some_and(|args| functions::call(function, &args) == Some(Value::Boolean(true)))
}

/// Compares rows by the keys of `:order-by` alone.
fn compare_keys(program: &Program, a: &Row, b: &Row) -> Ordering {
    program.order_by().iter().fold(Ordering::Equal, |order, key| {
        let element = key.element as usize;
        order.then_with(|| directed(a[element].cmp(&b[element]), key.descending))
    })
}

/// What a row of an answer takes, but for lists, trees and texts.
fn row_bytes(width: usize) -> u64 {
    (size_of::<Row>() + width * size_of::<Output>()) as u64
}

/// What a list of so many values takes; their texts are those of the dictionary.
fn values_bytes(n_values: u64) -> u64 {
    n_values.saturating_mul(size_of::<Value>() as u64)
}

fn directed(order: Ordering, descending: bool) -> Ordering {
    if descending { order.reverse() } else { order }
}

/// Sorts rows that are in order of the whole row.
fn order_by(program: &Program, rows: &mut [Row]) {
    if !program.order_by().is_empty() {
        rows.sort_by(|a, b| compare_keys(program, a, b));
    }
}

/// Drops the rows whose keys are not after those of `:after`.
fn drop_up_to_after(program: &Program, rows: &mut Vec<Row>) {
    if program.raw.after.is_empty() {
        return;
    }
    let after: Vec<Output> = program.raw.after.iter().cloned().map(Output::Value).collect();
    rows.retain(|row| {
        let keys = program.order_by().iter().zip(&after);
        let compared = keys.fold(Ordering::Equal, |order, (key, after)| {
            order.then_with(|| directed(row[key.element as usize].cmp(after), key.descending))
        });
        compared.is_gt()
    });
}

//! From the rows of the body to the answer: projection, order, window, pull.
//!
//! Rows are a set over the find and `:with` variables; aggregates see one value for each member.
//! The order is total: by `:order-by`, then by the whole row, trees included, so a result is the
//! same whatever plan made it, and whoever holds its rows can order them. Rows stay columns of
//! cells from end to end; where only the first are wanted, only those are ordered. Trees are
//! pulled only for the window and for what ties with its ends.

use std::cmp::Ordering;
use std::ops::Range;

use super::batch::Rows;
use super::meter::{Doing, Meter};
use super::order::{By, Found, Ordered, Source};
use super::rows::CELL_BYTES;
use super::{Evaluator, functions};
use crate::answer::{AnswerRows, Columns, Output, Row};
use crate::error::QueryError;
use crate::program::functions::Function;
use crate::program::raw::{RawHaving, RawHavingTerm, RawOrder};
use crate::program::{FindElement, Program, Var};
use crate::sort::sort_by;
use crate::value::Value;

/// How many times the window's rows there must be before the first are picked out instead of
/// ordering all.
const PICK_FACTOR: usize = 8;

impl Evaluator<'_> {
    /// The rows of the answer, given those of the body.
    pub(super) fn find(&mut self, program: &Program, rows: Rows) -> Result<AnswerRows, QueryError> {
        self.meter.doing = Doing::Result;
        let found = if program.find.iter().any(is_aggregate) {
            self.groups(program, rows)?
        } else {
            let vars: Vec<Var> = program.find.iter().map(FindElement::var).collect();
            project(program, &vars, rows)
        };
        self.answer_rows(program, found)
    }

    /// Those rows that are asked for, in their order.
    pub(super) fn answer_rows(
        &mut self,
        program: &Program,
        mut found: Found,
    ) -> Result<AnswerRows, QueryError> {
        for (having, function) in program.having.iter().zip(&program.having_functions) {
            let mut rows = Vec::new();
            for row in 0..found.n_rows as u32 {
                if self.holds(having, *function, &found, row as usize)? {
                    rows.push(row);
                }
            }
            found = found.keep(&rows, &self.meter)?;
        }
        let keys = keys(program, &found);
        if !program.raw.after.is_empty() {
            let after: Vec<(By, &Value)> = keys.iter().copied().zip(&program.raw.after).collect();
            let rows = found.after(&after, &self.scratch, &self.meter)?;
            found = found.keep(&rows, &self.meter)?;
        }
        let by = whole_row(&keys, &found);
        let n_bytes = found.n_rows as u64 * by.len() as u64 * CELL_BYTES;
        self.meter.hold(n_bytes)?;
        let pulls = program.find.iter().any(is_pull);
        let window = window(program);
        let ordered = if !pulls && window.end < found.n_rows / PICK_FACTOR {
            let n_keys = keys.len().clamp(1, by.len());
            found.first(window.end, &by, n_keys, &self.scratch, &self.meter)?
        } else {
            found.order(&by, &self.scratch, &self.meter)?
        };
        self.meter.release(n_bytes);
        self.meter.hold(ordered.n_bytes())?;
        if pulls {
            return self.pull_window(program, &ordered, &keys, window);
        }
        let end = window.end.min(ordered.len());
        self.rows(program, &ordered, window.start.min(end)..end)
    }

    /// Rows of the answer without trees.
    fn rows(
        &mut self,
        program: &Program,
        ordered: &Ordered,
        rows: Range<usize>,
    ) -> Result<AnswerRows, QueryError> {
        self.meter.made_rows(rows.len() as u64)?;
        self.meter.hold(rows.len() as u64 * program.find.len() as u64 * CELL_BYTES)?;
        let elements = 0..program.find.len();
        let column = |element| ordered.column(rows.clone(), element, &self.scratch, &self.meter);
        Ok(AnswerRows::new(Columns {
            n_rows: rows.len(),
            columns: elements.map(column).collect::<Result<_, _>>()?,
            dictionary: self.snapshot.dictionary().clone(),
        }))
    }

    /// The rows of a window of the order, entities replaced by trees, which may change the order
    /// of rows that tie.
    fn pull_window(
        &mut self,
        program: &Program,
        ordered: &Ordered,
        keys: &[By],
        window: Range<usize>,
    ) -> Result<AnswerRows, QueryError> {
        let end = window.end.min(ordered.len());
        let start = window.start.min(end);
        let pulls_a_key =
            program.order_by().iter().any(|key| is_pull(&program.find[key.element as usize]));
        let tied = if start == end {
            start..end
        } else if pulls_a_key {
            0..ordered.len()
        } else {
            tied_with(start..end, ordered, keys, &self.meter)?
        };
        let mut rows = Vec::with_capacity(tied.len());
        for row in tied.clone() {
            self.meter.hold(row_bytes(program.find.len()))?;
            self.meter.made_rows(1)?;
            rows.push(self.pulled_row(program, ordered, row)?);
        }
        let by_keys = |a: &u32, b: &u32| {
            let (a, b) = (&rows[*a as usize], &rows[*b as usize]);
            compare_keys(program, a, b).then_with(|| a.cmp(b))
        };
        let order = sort_by((0..rows.len() as u32).collect(), by_keys, || self.meter.check())?;
        let order = &order[start - tied.start..end - tied.start];
        let window = order.iter().map(|row| std::mem::take(&mut rows[*row as usize]));
        Ok(AnswerRows::from(window.collect::<Vec<Row>>()))
    }

    fn pulled_row(
        &mut self,
        program: &Program,
        ordered: &Ordered,
        row: usize,
    ) -> Result<Row, QueryError> {
        let mut outputs = Row::with_capacity(program.find.len());
        for (element, column) in program.find.iter().zip(0..) {
            let output = ordered.output(row, column, &self.scratch);
            outputs.push(match (element, output) {
                (FindElement::Pull { pattern, .. }, Output::Value(Value::Ref(entity))) => {
                    Output::Tree(self.pull(&program.raw, *pattern, &entity)?)
                }
                (_, output) => output,
            });
        }
        Ok(outputs)
    }

    /// Whether a row passes a predicate of `:having`; a list or tree is never a value.
    fn holds(
        &mut self,
        having: &RawHaving,
        function: Function,
        found: &Found,
        row: usize,
    ) -> Result<bool, QueryError> {
        let arg = |arg: &RawHavingTerm| match arg {
            RawHavingTerm::Constant(value) => Some(value.clone()),
            RawHavingTerm::Element(element) => {
                match found.output(*element as usize, row, &self.scratch) {
                    Output::Value(value) => Some(value),
                    Output::List(_) | Output::Tree(_) => None,
                }
            }
        };
        let args: Option<Vec<Value>> = having.args.iter().map(arg).collect();
        let n_bytes: usize = args.iter().flatten().map(Value::n_bytes).sum();
        self.meter.went_through_nodes(1)?;
        self.meter.went_through(n_bytes as u64)?;
        let result = args.and_then(|args| functions::call(function, &args, &mut self.patterns));
        if self.patterns.has_compiled() {
            self.meter.check()?;
        }
        Ok(result == Some(Value::Boolean(true)))
    }
}

/// The rows as columns of some variables, none of them twice, which are all that find asks for.
pub(super) fn project(program: &Program, vars: &[Var], rows: Rows) -> Found {
    let mut distinct: Vec<Var> = Vec::with_capacity(vars.len());
    for var in vars {
        if !distinct.contains(var) {
            distinct.push(*var);
        }
    }
    let column = |element: &FindElement| {
        let place = distinct.iter().position(|var| *var == element.var());
        place.expect("the variables of find are among those asked for")
    };
    let elements = program.find.iter().map(column).collect();
    let n_rows = rows.len();
    let sources = rows.into_columns(&distinct).into_iter().map(Source::Cells).collect();
    Found { n_rows, sources, elements }
}

/// The columns of `:order-by`.
fn keys(program: &Program, found: &Found) -> Vec<By> {
    let key = |key: &RawOrder| By {
        source: found.elements[key.element as usize],
        descending: key.descending,
    };
    program.order_by().iter().map(key).collect()
}

/// A window of the order with the rows before and behind it that tie with its ends.
fn tied_with(
    window: Range<usize>,
    ordered: &Ordered,
    keys: &[By],
    meter: &Meter,
) -> Result<Range<usize>, QueryError> {
    let code = |row: usize, by: &By| ordered.code(row, by.source);
    let tied = |a: usize, b: usize| keys.iter().all(|by| code(a, by) == code(b, by));
    let (mut start, mut end) = (window.start, window.end);
    while start > 0 && tied(start - 1, window.start) {
        start -= 1;
        meter.check_at(start)?;
    }
    while end < ordered.len() && tied(end, window.end - 1) {
        end += 1;
        meter.check_at(end)?;
    }
    Ok(start..end)
}

/// The columns that make the order total: the keys, then the others of the row.
fn whole_row(keys: &[By], found: &Found) -> Vec<By> {
    let rest = found.elements.iter().map(|source| By { source: *source, descending: false });
    let mut by: Vec<By> = Vec::new();
    for column in keys.iter().copied().chain(rest) {
        // A second time a column tells nothing new.
        if by.iter().all(|known| known.source != column.source) {
            by.push(column);
        }
    }
    by
}

/// The positions that are asked for, in the order of the rows.
fn window(program: &Program) -> Range<usize> {
    let bound = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let start = bound(program.raw.offset);
    start..program.raw.limit.map_or(usize::MAX, |n| start.saturating_add(bound(n)))
}

pub(crate) fn is_aggregate(element: &FindElement) -> bool {
    matches!(element, FindElement::Aggregate { .. })
}

pub(crate) fn is_pull(element: &FindElement) -> bool {
    matches!(element, FindElement::Pull { .. })
}

/// Compares rows by the keys of `:order-by` alone.
pub(crate) fn compare_keys(program: &Program, a: &Row, b: &Row) -> Ordering {
    program.order_by().iter().fold(Ordering::Equal, |order, key| {
        let element = key.element as usize;
        order.then_with(|| {
            let order = a[element].cmp(&b[element]);
            if key.descending { order.reverse() } else { order }
        })
    })
}

/// What a row takes that is made of outputs, but for lists, trees and texts.
pub(super) fn row_bytes(width: usize) -> u64 {
    (size_of::<Row>() + width * size_of::<Output>()) as u64
}

/// What a list of so many values takes; their texts are those of the dictionary.
pub(super) fn values_bytes(n_values: u64) -> u64 {
    n_values.saturating_mul(size_of::<Value>() as u64)
}

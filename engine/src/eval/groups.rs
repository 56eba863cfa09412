//! Groups: rows that agree in the find elements that are no aggregates.
//!
//! Members of a group are distinct tuples of the find and `:with` variables. They are brought
//! together by sorting, group first, which also makes them distinct, and groups are then runs: no
//! list of members is kept. Where the rows are known to be distinct, only the groups are sorted.
//! What an aggregate makes of its members is left out: see `aggregate`.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Evaluator;
use super::aggregate::Members;
use super::batch::Rows;
use super::find::{is_aggregate, project, row_bytes, values_bytes};
use super::meter::Meter;
use super::order::{By, Found, Ordered, Source};
use super::rows::CELL_BYTES;
use crate::answer::Output;
use crate::error::QueryError;
use crate::program::raw::FindForm;
use crate::program::{Aggregate, FindElement, Program, Var};
use crate::value::Value;

impl Evaluator<'_> {
    /// One row for each group that has results.
    pub(super) fn groups(&mut self, program: &Program, rows: Rows) -> Result<Found, QueryError> {
        let keys = program.find.iter().filter(|element| !is_aggregate(element));
        let keys: BTreeSet<Var> = keys.map(FindElement::var).collect();
        let find = program.find.iter().map(FindElement::var);
        let others: BTreeSet<Var> =
            find.chain(program.with.iter().copied()).filter(|var| !keys.contains(var)).collect();
        let vars: Vec<Var> = keys.iter().chain(&others).copied().collect();
        let is_set = rows.is_set() && rows.vars().len() == vars.len();
        let found = project(program, &vars, rows);
        let n_bytes = found.n_rows as u64 * vars.len() as u64 * CELL_BYTES;
        self.meter.hold(n_bytes)?;
        let by: Vec<By> = (0..vars.len()).map(|source| By { source, descending: false }).collect();
        let key = &by[..keys.len()];
        let (members, starts) = if is_set || found.is_distinct(&self.meter)? {
            found.group(key, &self.scratch, &self.meter)?
        } else {
            let ordered = found.order(&by, &self.scratch, &self.meter)?;
            let starts = ordered.starts(key, &self.meter)?;
            (ordered, starts)
        };
        self.meter.made_rows(members.len() as u64)?;
        let groups = self.rows_of_groups(program, &members, &starts)?;
        self.meter.release(n_bytes);
        Ok(groups)
    }

    fn rows_of_groups(
        &mut self,
        program: &Program,
        members: &Ordered,
        starts: &[usize],
    ) -> Result<Found, QueryError> {
        let width = program.find.len();
        let columns: Vec<Members<'_>> =
            (0..width).map(|element| Members::new(members, element, &self.scratch)).collect();
        let source = |element: &FindElement| match element {
            FindElement::Aggregate { .. } => Source::Outputs(Vec::new()),
            FindElement::Variable(_) | FindElement::Pull { .. } => Source::Cells(Vec::new()),
        };
        let mut sources: Vec<Source> = program.find.iter().map(source).collect();
        let ends = starts.iter().skip(1).copied().chain([members.len()]);
        let mut n_rows = 0;
        for (start, end) in starts.iter().copied().zip(ends) {
            self.meter.made_rows(1)?;
            let Some(results) = results(program, &columns, start..end, &mut self.meter)? else {
                self.meter.n_without_result += 1;
                continue;
            };
            self.meter.hold(row_bytes(width))?;
            let mut results = results.into_iter();
            for (source, column) in sources.iter_mut().zip(&columns) {
                match source {
                    Source::Cells(cells) => cells.push(column.cell(start)),
                    Source::Outputs(outputs) => outputs.extend(results.next()),
                }
            }
            n_rows += 1;
        }
        if starts.is_empty() && gives_zero(program) {
            sources = vec![Source::Outputs(vec![Output::Value(Value::int(0))])];
            n_rows = 1;
        }
        let sources = sources.into_iter().map(|source| source.narrow(&self.meter));
        let sources = sources.collect::<Result<_, _>>()?;
        Ok(Found { n_rows, sources, elements: (0..width).collect() })
    }
}

/// What the aggregates of one group result in; nothing where one of them has no result.
fn results(
    program: &Program,
    columns: &[Members<'_>],
    group: Range<usize>,
    meter: &mut Meter,
) -> Result<Option<Vec<Output>>, QueryError> {
    let n_members = group.len() as u64;
    let mut results = Vec::new();
    for (element, column) in program.find.iter().zip(columns) {
        let FindElement::Aggregate { function, n, .. } = element else { continue };
        meter.room_for(values_bytes(function.n_values_max(*n, n_members)))?;
        meter.went_through(values_bytes(n_members))?;
        let Some(result) = column.aggregate(*function, *n, group.clone(), meter)? else {
            return Ok(None);
        };
        if let Output::List(values) = &result {
            meter.hold(values_bytes(values.len() as u64))?;
        }
        results.push(result);
    }
    Ok(Some(results))
}

/// Whether the query asks for a scalar count or sum, which is 0 of nothing.
pub(crate) fn gives_zero(program: &Program) -> bool {
    let is_zero = matches!(
        program.find.as_slice(),
        [FindElement::Aggregate {
            function: Aggregate::Count | Aggregate::CountDistinct | Aggregate::Sum,
            ..
        }]
    );
    program.form() == FindForm::Scalar && is_zero
}

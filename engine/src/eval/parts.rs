//! What live queries ask of the evaluator besides whole answers: the members of a group, the first
//! rows.
//!
//! The evaluation is the same as that of answers, only begun with more bound or ended earlier, so
//! what is maintained agrees with what is evaluated by construction.

use super::Evaluator;
use super::batch::Rows;
use super::find::is_aggregate;
use super::meter::Meter;
use super::query::{Query, asked_vars};
use crate::answer::AnswerRows;
use crate::error::QueryError;
use crate::limits::Budget;
use crate::plan::{Choice, Planner};
use crate::program::raw::Input;
use crate::program::{FindElement, Program, Var};
use crate::store::Snapshot;
use crate::value::Value;

/// An evaluator of one query over one snapshot.
pub(crate) struct Parts<'e, 's> {
    evaluator: &'e mut Evaluator<'s>,
}

impl Query {
    /// Asks for parts of an answer.
    pub(crate) fn parts<Found>(
        &self,
        snapshot: &Snapshot,
        budget: &Budget,
        ask: impl FnOnce(&mut Parts<'_, '_>) -> Result<Found, QueryError>,
    ) -> Result<Found, QueryError> {
        let planner = Planner::new(self.stratified(), snapshot, self.plans(), Choice::Cheapest);
        let meter = Meter::new(budget);
        let mut evaluator = Evaluator::new(self.stratified(), snapshot, &planner, meter, false);
        evaluator.patterns = self.program().patterns.clone();
        ask(&mut Parts { evaluator: &mut evaluator })
    }
}

impl Parts<'_, '_> {
    /// The distinct bindings of the variables that the answer is made of, where some variables have
    /// the given values.
    pub(crate) fn tuples(
        &mut self,
        program: &Program,
        vars: &[Var],
        bindings: &[Vec<Value>],
        asked: &[Var],
        mut take: impl FnMut(&[Value]),
    ) -> Result<(), QueryError> {
        let bound = self.bound(vars, bindings)?;
        let plan = self.evaluator.planner.body(bound.vars(), &asked_vars(program));
        let rows = self.evaluator.run(&plan, 0, bound, None)?;
        let n_rows = rows.len();
        let columns = rows.into_columns(asked);
        let mut cells: Vec<Vec<_>> =
            (0..n_rows).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
        cells.sort_unstable();
        cells.dedup();
        let mut tuple = Vec::with_capacity(asked.len());
        for row in cells {
            tuple.clear();
            tuple.extend(row.iter().map(|cell| self.evaluator.scratch.value(*cell)));
            take(&tuple);
        }
        Ok(())
    }

    /// The rows of a program that differs from the query's own in its window.
    pub(crate) fn answer(
        &mut self,
        program: &Program,
        inputs: &[Input],
    ) -> Result<AnswerRows, QueryError> {
        self.evaluator.answer_located(program, inputs)
    }

    fn bound(&mut self, vars: &[Var], bindings: &[Vec<Value>]) -> Result<Rows, QueryError> {
        let mut distinct: Vec<Var> = Vec::with_capacity(vars.len());
        for var in vars {
            if !distinct.contains(var) {
                distinct.push(*var);
            }
        }
        let mut rows = Rows::new(&distinct);
        'bindings: for binding in bindings {
            let mut cells = Vec::with_capacity(distinct.len());
            for (var, value) in vars.iter().zip(binding) {
                let cell = self.evaluator.counted_cell(value)?;
                match distinct[..cells.len()].iter().position(|other| other == var) {
                    None => cells.push(cell),
                    // A variable that is given twice has to agree with itself.
                    Some(first) if cells[first] == cell => {}
                    Some(_) => continue 'bindings,
                }
            }
            rows.push(&cells);
        }
        Ok(rows.maybe_repeated())
    }
}

/// Makes a program's window the first rows, or all.
pub(crate) fn windowed(program: &mut Program, limit: Option<u64>) {
    program.raw.limit = limit;
    program.raw.offset = 0;
}

/// The variables of the groups: those of find elements that are no aggregates, each once.
pub(crate) fn group_vars(program: &Program) -> Vec<Var> {
    let keys = program.find.iter().filter(|element| !is_aggregate(element));
    let mut vars: Vec<Var> = keys.map(FindElement::var).collect();
    vars.sort_unstable();
    vars.dedup();
    vars
}

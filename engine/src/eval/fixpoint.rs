//! Rules to their fixpoint: rounds over the tables of one stratum.
//!
//! In a round every definition of every table is evaluated for what is recent:
//!
//! - *new demand* runs through the definition's plan from its start;
//! - rows that reach a recursive call are kept there, *waiting*, and go on with the answers known
//!   so far;
//! - *new answers* of a call are joined with the rows that have been waiting there, and go on.
//!
//! So every combination of a row and an answer is made exactly once (semi-naive evaluation;
//! the waiting rows are the supplementary relations of Beeri & Ramakrishnan, *On the power of
//! magic*, 1987). Rows found become recent in the next round. The stratum is complete when a round
//! begins with nothing recent; then every table holds all answers for all of its demand. Demand
//! that arrives later starts it again from there, so nothing is evaluated twice.

use std::sync::Arc;

use super::Evaluator;
use super::batch::Rows;
use super::meter::Doing;
use super::steps::Emit;
use super::table::{AgedSet, Table};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::{Action, Adornment, Call, Plan, Slot};
use crate::program::lower::FlatDefinition;
use crate::program::{RuleId, Var};

/// Which definition of which table is being evaluated: where its rows wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Frame {
    pub(super) table: usize,
    pub(super) definition: usize,
}

impl Evaluator<'_> {
    /// The table of a rule under an adornment, made if it is new.
    pub(super) fn table(&mut self, rule: RuleId, adornment: &Adornment) -> usize {
        if let Some(table) = self.table_of.get(&(rule, adornment.clone())) {
            return *table;
        }
        let arity = self.program.rules[rule.index()].arity;
        let plans = match &self.program.recursions[rule.index()] {
            // What is searched needs none.
            Some(_) => Arc::default(),
            None => self.planner.rule(rule, adornment),
        };
        let index = self.tables.len();
        self.tables.push(Table::new(rule, arity, adornment.clone(), plans, self.cell_hash()));
        self.table_of.insert((rule, adornment.clone()), index);
        index
    }

    /// Asks a table for one binding of its adorned columns; whether that is new.
    pub(super) fn demand(&mut self, table: usize, key: &[Cell]) -> Result<bool, QueryError> {
        let is_new = self.tables[table].demand.insert(key);
        if is_new {
            self.meter.hold(self.tables[table].demand.row_bytes())?;
        }
        Ok(is_new)
    }

    /// Evaluates a rule, and those it recurses with, until all demand is answered.
    pub(super) fn complete(&mut self, rule: RuleId) -> Result<(), QueryError> {
        if let Some(recursion) = &self.program.recursions[rule.index()] {
            return self.search(rule, recursion);
        }
        let stratum = self.program.stratum_of[rule.index()];
        let mut n_rounds = 0;
        loop {
            let tables: Vec<usize> = (0..self.tables.len())
                .filter(|table| {
                    let rule = self.tables[*table].rule;
                    self.program.stratum_of[rule.index()] == stratum
                })
                .collect();
            let mut is_busy = false;
            for table in &tables {
                is_busy |= self.tables[*table].advance();
            }
            if !is_busy {
                return Ok(());
            }
            n_rounds += 1;
            for table in tables {
                self.round(table, n_rounds)?;
            }
        }
    }

    fn round(&mut self, table: usize, n_rounds: u64) -> Result<(), QueryError> {
        let (program, rule) = (self.program, self.tables[table].rule);
        let flat = &program.rules[rule.index()];
        let outer = self.meter.doing;
        self.meter.doing = Doing::Body { of: Some((rule, 0)), goal: None };
        if let Err(error) = self.meter.made_round(n_rounds) {
            self.meter.doing = Doing::Search(rule);
            return Err(error);
        }
        let mark = self.begin_table(table);
        let plans = Arc::clone(&self.tables[table].plans);
        for (index, (definition, plan)) in flat.definitions.iter().zip(plans.iter()).enumerate() {
            let frame = Frame { table, definition: index };
            self.meter.doing = Doing::Body { of: Some((rule, index as u32)), goal: None };
            let n_waiting = self.n_waiting(frame, plan);
            self.new_demand(frame, definition, plan)?;
            for (step, n_waiting) in n_waiting {
                self.new_answers(frame, definition, plan, step, n_waiting)?;
            }
        }
        self.end_table(mark);
        self.meter.doing = outer;
        Ok(())
    }

    /// The recursive calls of a plan, each with the number of rows waiting there.
    fn n_waiting(&self, frame: Frame, plan: &Plan) -> Vec<(usize, usize)> {
        let waiting = &self.tables[frame.table].waiting;
        let steps = plan.steps.iter().enumerate();
        steps
            .filter(|(_, step)| matches!(&step.action, Action::Call(call) if call.recurses))
            .map(|(step, _)| {
                let rows = waiting.get(&(frame.definition, step));
                (step, rows.map_or(0, |rows| rows.all().len()))
            })
            .collect()
    }

    /// The plan from its start, for the demand of the last round.
    fn new_demand(
        &mut self,
        frame: Frame,
        definition: &FlatDefinition,
        plan: &Plan,
    ) -> Result<(), QueryError> {
        let demand = &self.tables[frame.table].demand;
        // The plan begins with the head's variables of the adorned columns, in their order.
        let n_asked = self.tables[frame.table].adornment.columns().len();
        debug_assert_eq!(plan.start.len(), n_asked, "a demand has a cell for each variable");
        let mut rows = Rows::new(&plan.start);
        for (index, position) in demand.recent().enumerate() {
            rows.push(demand.row(position));
            self.meter.check_at(index)?;
        }
        let rows = self.run(plan, 0, rows, Some(frame))?;
        self.answer(frame.table, definition, &rows)
    }

    /// The plan from after a recursive call, for the answers that the call got in the last round
    /// and the rows that had been waiting for them before this one.
    fn new_answers(
        &mut self,
        frame: Frame,
        definition: &FlatDefinition,
        plan: &Plan,
        step: usize,
        n_waiting: usize,
    ) -> Result<(), QueryError> {
        let Action::Call(call) = &plan.steps[step].action else {
            unreachable!("rows wait at calls only")
        };
        if n_waiting == 0 {
            return Ok(());
        }
        let of = Some((self.tables[frame.table].rule, frame.definition as u32));
        self.meter.doing = Doing::Body { of, goal: plan.steps[step].goals.first().copied() };
        let part = self.measured_body(Some(frame), plan.steps.len());
        let mark = self.begin_step(part, step, 0);
        let rows = self.resume(frame, plan, call, step, n_waiting)?;
        self.end_step(mark, rows.len(), rows.n_bytes());
        let rows = self.run(plan, step + 1, rows, Some(frame))?;
        self.answer(frame.table, definition, &rows)
    }

    /// Joins the recent answers of a call with the first `n_waiting` rows that wait there.
    fn resume(
        &mut self,
        frame: Frame,
        plan: &Plan,
        call: &Call,
        step: usize,
        n_waiting: usize,
    ) -> Result<Rows, QueryError> {
        let called = self.table(call.rule, &call.adornment);
        let (before, after) = (plan.live_before(step), &plan.steps[step].live);
        let column_of = |var: &Var| before.iter().position(|other| other == var);
        let mut constants: Vec<(usize, Cell)> = Vec::new();
        let (mut positions, mut columns) = (Vec::new(), Vec::new());
        for (position, arg) in call.args.iter().enumerate() {
            match arg {
                Slot::Const(value) => constants.push((position, self.scratch.cell(value))),
                Slot::Bound(var) => {
                    positions.push(position);
                    columns.push(column_of(var).expect("a bound variable is live"));
                }
                Slot::Free(_) | Slot::Blank => {}
            }
        }
        let emit = Emit::of_vars(call.args.iter().map(|arg| match arg {
            Slot::Free(var) => Some(*var),
            _ => None,
        }));
        // Where each cell of a row comes from: the answer, or else the row that waited.
        let sources: Vec<(Option<usize>, usize)> = after
            .iter()
            .map(|var| match emit.position(*var) {
                Some(position) => (Some(position), 0),
                None => (None, column_of(var).expect("what is live was bound before or is now")),
            })
            .collect();
        let waiting = self.tables[frame.table].waiting.get_mut(&(frame.definition, step));
        let (index, n_bytes) =
            waiting.expect("rows wait there").prepare_index(&columns, &self.meter)?;
        self.meter.hold(n_bytes)?;
        let waiting = &self.tables[frame.table].waiting[&(frame.definition, step)];
        let answers = &self.tables[called].answers;
        let mut out = Rows::new(after);
        let mut key = Vec::with_capacity(columns.len());
        let mut cells = Vec::with_capacity(after.len());
        for (index_of_answer, position) in answers.recent().enumerate() {
            self.meter.check_at(index_of_answer)?;
            let answer = answers.row(position);
            if constants.iter().any(|(position, cell)| answer[*position] != *cell)
                || !emit.fits(answer)
            {
                continue;
            }
            self.meter.room_for(out.n_bytes())?;
            key.clear();
            key.extend(positions.iter().map(|position| answer[*position]));
            for row in waiting.find(index, &key, n_waiting) {
                let row = waiting.row(row);
                cells.clear();
                cells.extend(sources.iter().map(|(position, column)| match position {
                    Some(position) => answer[*position],
                    None => row[*column],
                }));
                out.push(&cells);
                self.meter.made_row()?;
            }
        }
        let out = if plan.steps[step].repeats { out.maybe_repeated() } else { out };
        if plan.steps[step].merges {
            out.merge_equal(self.cell_hash(), &self.meter)
        } else {
            Ok(out)
        }
    }

    /// Keeps the rows that reach a recursive call; gives those that are new there.
    pub(super) fn wait(
        &mut self,
        frame: Frame,
        step: usize,
        rows: &Rows,
    ) -> Result<Rows, QueryError> {
        let waiting = self.tables[frame.table]
            .waiting
            .entry((frame.definition, step))
            .or_insert_with(|| AgedSet::new(rows.vars().len(), self.scratch.cell_hash()));
        let mut fresh = Rows::new(rows.vars());
        let mut row = Vec::with_capacity(rows.vars().len());
        for index in 0..rows.len() {
            rows.read_row(index, &mut row);
            if waiting.insert(&row) {
                fresh.push(&row);
            }
            self.meter.check_at(index)?;
        }
        let n_bytes = fresh.len() as u64 * waiting.row_bytes();
        self.meter.hold(n_bytes)?;
        Ok(fresh)
    }

    /// Adds the head of every row to the table.
    fn answer(
        &mut self,
        table: usize,
        definition: &FlatDefinition,
        rows: &Rows,
    ) -> Result<(), QueryError> {
        let columns: Vec<&[Cell]> = definition.head.iter().map(|var| rows.column(*var)).collect();
        let mut head = Vec::with_capacity(columns.len());
        for row in 0..rows.len() {
            head.clear();
            head.extend(columns.iter().map(|column| column[row]));
            if self.tables[table].answers.insert(&head) {
                self.meter.hold(self.tables[table].answers.row_bytes())?;
            }
            self.meter.check_at(row)?;
        }
        Ok(())
    }
}

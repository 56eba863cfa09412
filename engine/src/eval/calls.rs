//! Steps that call rules: they ask a table and join its answers.

use std::ops::Range;

use super::Evaluator;
use super::batch::{Matches, Rows};
use super::steps::Emit;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::Call;

impl Evaluator<'_> {
    /// A call of a rule in a lower stratum: asks, and waits for all answers.
    pub(super) fn call(&mut self, call: &Call, rows: &Rows) -> Result<Matches, QueryError> {
        let table = self.table(call.rule, &call.adornment);
        if self.ask(call, table, rows)? {
            self.complete(call.rule)?;
        }
        let range = self.tables[table].answers.all();
        self.join(call, table, range, rows)
    }

    /// A call within its own recursion: asks, and goes on with the answers known so far.
    pub(super) fn recursive_call(
        &mut self,
        call: &Call,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let table = self.table(call.rule, &call.adornment);
        self.ask(call, table, rows)?;
        let range = self.tables[table].answers.up_to_recent();
        self.join(call, table, range, rows)
    }

    /// Puts the bindings of every row into the table's demand; whether any is new.
    fn ask(&mut self, call: &Call, table: usize, rows: &Rows) -> Result<bool, QueryError> {
        let args = self.operands(&call.args, rows);
        let columns = call.adornment.columns();
        let mut is_new = false;
        let mut key: Vec<Cell> = Vec::with_capacity(columns.len());
        for row in 0..rows.len() {
            key.clear();
            let cells = columns.iter().map(|column| args[*column].known(row));
            key.extend(cells.map(|cell| cell.expect("adorned columns are bound")));
            is_new |= self.demand(table, &key)?;
            self.meter.check_at(row)?;
        }
        Ok(is_new)
    }

    /// Joins rows with a table's answers, those of a range that begins with the first one; keeps those without a match where the call
    /// is negated.
    fn join(
        &mut self,
        call: &Call,
        table: usize,
        range: Range<usize>,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        if self.tables[table].reached.is_some() {
            return self.join_reached(call, table, rows);
        }
        let args = self.operands(&call.args, rows);
        let known: Vec<usize> = (0..args.len()).filter(|arg| args[*arg].is_known()).collect();
        let emit = Emit::new(&args);
        let mut out = emit.matches();
        let mut index = None;
        if !known.is_empty() {
            let (number, n_bytes) =
                self.tables[table].answers.prepare_index(&known, &self.meter)?;
            self.meter.hold(n_bytes)?;
            index = Some(number);
        }
        let answers = &self.tables[table].answers;
        let mut key = Vec::with_capacity(known.len());
        for row in 0..rows.len() {
            self.meter.room_for(out.n_bytes())?;
            self.meter.check_at(row)?;
            key.clear();
            key.extend(known.iter().filter_map(|arg| args[*arg].known(row)));
            if call.negated {
                let has_match = match index {
                    Some(index) => answers.find(index, &key, range.end).next().is_some(),
                    None => !range.is_empty(),
                };
                if !has_match {
                    out.from.push(row as u32);
                }
                self.meter.made_row_in(out.n_bytes())?;
            } else if let Some(index) = index {
                for position in answers.find(index, &key, range.end) {
                    emit.push(&mut out, row, answers.row(position));
                    self.meter.made_row_in(out.n_bytes())?;
                }
            } else {
                for position in range.clone() {
                    emit.push(&mut out, row, answers.row(position));
                    self.meter.made_row_in(out.n_bytes())?;
                }
            }
        }
        Ok(out)
    }
}

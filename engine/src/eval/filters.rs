//! Steps that read no facts: predicates, functions and constants.

use std::collections::BTreeSet;
use std::ops::Range;

use super::batch::{Matches, Rows};
use super::meter::BLOCK;
use super::steps::{Emit, Operand};
use super::{Evaluator, functions};
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::Slot;
use crate::program::functions::Function;
use crate::value::Value;

impl Evaluator<'_> {
    /// The arguments of a call in a row. There must be room for the longest text that a function
    /// makes of them, because it is made in one go.
    fn values(&mut self, args: &[Operand<'_>], row: usize) -> Result<Vec<Value>, QueryError> {
        let cells = args.iter().map(|arg| arg.known(row).expect("arguments are bound"));
        let values: Vec<Value> = cells.map(|cell| self.scratch.value(cell)).collect();
        let n_bytes: u64 = values.iter().map(|value| value.n_bytes() as u64).sum();
        self.meter.room_for(n_bytes)?;
        self.meter.went_through(n_bytes)?;
        Ok(values)
    }

    /// What a function gives for a row.
    fn result(
        &mut self,
        function: Function,
        args: &[Operand<'_>],
        row: usize,
    ) -> Result<Option<Value>, QueryError> {
        let values = self.values(args, row)?;
        let result = functions::call(function, &values, &mut self.patterns);
        if self.patterns.has_compiled() {
            self.check()?;
        }
        Ok(result)
    }

    /// The rows for which a function holds.
    pub(super) fn predicate(
        &mut self,
        function: Function,
        args: &[Slot],
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let args = self.operands(args, rows);
        let mut out = Matches::new(Vec::new());
        for begin in (0..rows.len()).step_by(BLOCK as usize) {
            let block = begin..rows.len().min(begin + BLOCK as usize);
            let n_rows = block.len() as u64;
            match (function, &args[..]) {
                (Function::Equal, [a, b]) => keep_equal(*a, *b, true, block, &mut out),
                (Function::NotEqual, [a, b]) => keep_equal(*a, *b, false, block, &mut out),
                _ => {
                    for row in block {
                        if self.holds_in(function, &args, row)? {
                            out.from.push(row as u32);
                        }
                    }
                }
            }
            self.meter.room_for(out.n_bytes())?;
            self.meter.made_rows(n_rows)?;
        }
        Ok(out)
    }

    fn holds_in(
        &mut self,
        function: Function,
        args: &[Operand<'_>],
        row: usize,
    ) -> Result<bool, QueryError> {
        match self.compare_cells(function, args, row) {
            Some(holds) => Ok(holds),
            None => Ok(self.result(function, args, row)? == Some(Value::Boolean(true))),
        }
    }

    /// Comparisons of two cells, without building their values where that decides.
    fn compare_cells(&self, function: Function, args: &[Operand<'_>], row: usize) -> Option<bool> {
        let [a, b] = args else { return None };
        let (a, b) = (a.known(row)?, b.known(row)?);
        if a.value_type()? != b.value_type()? {
            return None;
        }
        let order = self.scratch.compare(a, b);
        match function {
            Function::Less => Some(order.is_lt()),
            Function::LessEqual => Some(order.is_le()),
            Function::Greater => Some(order.is_gt()),
            Function::GreaterEqual => Some(order.is_ge()),
            _ => None,
        }
    }

    /// Binds the result of a function; a row without one is absent.
    pub(super) fn function(
        &mut self,
        function: Function,
        args: &[Slot],
        out_slot: &Slot,
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let args = self.operands(args, rows);
        let result = self.operand(out_slot, rows);
        let emit = Emit::new(&[result]);
        let mut out = emit.matches();
        for row in 0..rows.len() {
            self.meter.made_row_in(out.n_bytes())?;
            let Some(value) = self.result(function, &args, row)? else {
                self.meter.n_without_result += 1;
                continue;
            };
            let cell = self.counted_cell(&value)?;
            if result.known(row).is_none_or(|known| known == cell) {
                emit.push(&mut out, row, &[cell]);
            }
        }
        Ok(out)
    }

    /// Every row with each of the constants that fit it.
    pub(super) fn ground(
        &mut self,
        constants: &[Vec<Value>],
        out_slots: &[Slot],
        rows: &Rows,
    ) -> Result<Matches, QueryError> {
        let results = self.operands(out_slots, rows);
        let emit = Emit::new(&results);
        let distinct: BTreeSet<&Vec<Value>> = constants.iter().collect();
        let constants: Vec<Vec<Cell>> = distinct
            .into_iter()
            .map(|row| row.iter().map(|value| self.scratch.cell(value)).collect())
            .collect();
        let mut out = emit.matches();
        for row in 0..rows.len() {
            for cells in &constants {
                let mut pairs = results.iter().zip(cells);
                if pairs.all(|(result, cell)| result.known(row).is_none_or(|known| known == *cell))
                {
                    emit.push(&mut out, row, cells);
                }
                self.meter.made_row_in(out.n_bytes())?;
            }
        }
        Ok(out)
    }
}

/// The rows of a block in which two arguments are the same cell, or are not.
fn keep_equal(
    a: Operand<'_>,
    b: Operand<'_>,
    is_equal: bool,
    block: Range<usize>,
    out: &mut Matches,
) {
    // Written always and counted only where it is kept: a branch here would be a guess.
    let begin = out.from.len();
    out.from.resize(begin + block.len(), 0);
    let mut n_kept = 0;
    let kept = &mut out.from[begin..];
    for row in block {
        kept[n_kept] = row as u32;
        n_kept += usize::from((a.known(row) == b.known(row)) == is_equal);
    }
    out.from.truncate(begin + n_kept);
}

//! The steps of a plan: each turns a batch of rows into the next one.
//!
//! This file drives them and says what they have in common: operands, and where what they find
//! goes. The steps themselves are in `patterns` (facts), `filters` (functions and constants) and
//! `calls` (rules).

use super::Evaluator;
use super::batch::{Matches, Rows};
use super::fixpoint::Frame;
use super::meter::Doing;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::{Action, Plan, Slot};
use crate::program::Var;

/// A slot over a batch: its constant as a cell, or its column.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<'r> {
    Cell(Cell),
    Column(&'r [Cell]),
    Free(Var),
    Blank,
}

impl Operand<'_> {
    /// What is known of it in a row.
    pub(super) fn known(self, row: usize) -> Option<Cell> {
        match self {
            Operand::Cell(cell) => Some(cell),
            Operand::Column(column) => Some(column[row]),
            Operand::Free(_) | Operand::Blank => None,
        }
    }

    pub(super) fn is_known(self) -> bool {
        matches!(self, Operand::Cell(_) | Operand::Column(_))
    }
}

/// Where the free positions of a step go: which variable takes which position, and which positions
/// are the same variable and must be equal.
pub(super) struct Emit {
    vars: Vec<Var>,
    /// One for each variable.
    positions: Vec<usize>,
    equal: Vec<(usize, usize)>,
}

impl Emit {
    pub(super) fn new(operands: &[Operand<'_>]) -> Emit {
        let free = |operand: &Operand<'_>| match operand {
            Operand::Free(var) => Some(*var),
            _ => None,
        };
        Emit::of_vars(operands.iter().map(free))
    }

    /// For the variables that are free, by position.
    pub(super) fn of_vars(free: impl Iterator<Item = Option<Var>>) -> Emit {
        let mut emit = Emit { vars: Vec::new(), positions: Vec::new(), equal: Vec::new() };
        for (position, var) in free.enumerate() {
            let Some(var) = var else { continue };
            match emit.vars.iter().position(|taken| *taken == var) {
                Some(first) => emit.equal.push((emit.positions[first], position)),
                None => {
                    emit.vars.push(var);
                    emit.positions.push(position);
                }
            }
        }
        emit
    }

    /// No matches yet.
    pub(super) fn matches(&self) -> Matches {
        Matches::new(self.vars.clone())
    }

    /// The position that each variable takes, unless one takes two, which must then be equal.
    pub(super) fn positions(&self) -> Option<&[usize]> {
        self.equal.is_empty().then_some(&self.positions[..])
    }

    /// Whether positions that are one variable are equal.
    pub(super) fn fits(&self, cells: &[Cell]) -> bool {
        self.equal.iter().all(|(a, b)| cells[*a] == cells[*b])
    }

    /// Makes the found cells, given by position, the columns of the variables that take them.
    pub(super) fn put<const N: usize>(&self, out: &mut Matches, mut found: [Vec<Cell>; N]) {
        for (column, position) in out.cells.iter_mut().zip(&self.positions) {
            *column = std::mem::take(&mut found[*position]);
        }
    }

    /// The position that a variable takes.
    pub(super) fn position(&self, var: Var) -> Option<usize> {
        let index = self.vars.iter().position(|other| *other == var);
        index.map(|index| self.positions[index])
    }

    /// Continues a row with the free positions, unless equal positions differ.
    pub(super) fn push(&self, out: &mut Matches, row: usize, cells: &[Cell]) {
        if self.fits(cells) {
            out.from.push(row as u32);
            for (column, position) in out.cells.iter_mut().zip(&self.positions) {
                column.push(cells[*position]);
            }
        }
    }
}

impl Evaluator<'_> {
    /// Passes rows through the steps of a plan, from one on; the rows have the variables that are
    /// live there. `frame` says where rows wait; a plan without recursive calls needs none.
    pub(super) fn run(
        &mut self,
        plan: &Plan,
        first_step: usize,
        rows: Rows,
        frame: Option<Frame>,
    ) -> Result<Rows, QueryError> {
        let mut rows = rows;
        self.meter.hold(rows.n_bytes())?;
        let outer = self.meter.doing;
        let of = match (frame, outer) {
            (Some(Frame { table, definition }), _) => {
                Some((self.tables[table].rule, definition as u32))
            }
            (None, Doing::Body { of, .. }) => of,
            (None, _) => None,
        };
        let part = self.measured_body(frame, plan.steps.len());
        for (index, step) in plan.steps.iter().enumerate().skip(first_step) {
            if rows.is_empty() {
                // Whoever reads the rows may ask for the columns of the last step.
                let live = plan.steps.last().map_or(&plan.start, |last| &last.live);
                rows = Rows::new(live);
                break;
            }
            self.meter.doing = Doing::Body { of, goal: step.goals.first().copied() };
            let mark = self.begin_step(part, index, rows.len());
            let n_bytes = rows.n_bytes();
            let (before, matches) = match (&step.action, frame) {
                (Action::Call(call), Some(frame)) if call.recurses => {
                    let fresh = self.wait(frame, index, &rows)?;
                    let matches = self.recursive_call(call, &fresh)?;
                    (fresh, matches)
                }
                (action, _) => {
                    let matches = self.step(action, &rows)?;
                    (rows, matches)
                }
            };
            let n_bytes_found = matches.n_bytes();
            self.meter.room_for(n_bytes_found)?;
            rows = before.continued(matches, &step.live, &self.meter)?;
            if step.repeats {
                rows = rows.maybe_repeated();
            }
            if step.merges {
                rows = rows.merge_equal(self.cell_hash(), &self.meter)?;
            }
            self.end_step(mark, rows.len(), n_bytes_found);
            self.meter.hold(rows.n_bytes())?;
            self.meter.release(n_bytes);
        }
        self.meter.release(rows.n_bytes());
        self.check()?;
        self.meter.doing = outer;
        Ok(rows)
    }

    fn step(&mut self, action: &Action, rows: &Rows) -> Result<Matches, QueryError> {
        match action {
            Action::Pattern { entity, attribute, value } => {
                self.pattern(entity, attribute, value, rows)
            }
            Action::Absent { entity, attribute, value } => {
                self.absent(entity, attribute, value, rows)
            }
            Action::Range { entity, attribute, value, bounds } => {
                self.range(entity, attribute, value, bounds, rows)
            }
            Action::Generic { vars, edges } => self.generic(vars, edges, rows),
            Action::Join { plan, on, out } => self.hash_join(plan, on, out, rows),
            Action::Predicate { function, args } => self.predicate(*function, args, rows),
            Action::Function { function, args, out } => self.function(*function, args, out, rows),
            Action::Ground { rows: constants, out } => self.ground(constants, out, rows),
            Action::Missing { entity, attribute } => self.missing(entity, attribute, rows),
            Action::GetElse { entity, attribute, default, out } => {
                self.get_else(entity, attribute, default, out, rows)
            }
            Action::Call(call) => self.call(call, rows),
        }
    }

    pub(super) fn operand<'r>(&mut self, slot: &Slot, rows: &'r Rows) -> Operand<'r> {
        match slot {
            Slot::Const(value) => Operand::Cell(self.scratch.cell(value)),
            Slot::Bound(var) => Operand::Column(rows.column(*var)),
            Slot::Free(var) => Operand::Free(*var),
            Slot::Blank => Operand::Blank,
        }
    }

    pub(super) fn operands<'r>(&mut self, slots: &[Slot], rows: &'r Rows) -> Vec<Operand<'r>> {
        slots.iter().map(|slot| self.operand(slot, rows)).collect()
    }
}

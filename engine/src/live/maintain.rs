//! One step of a shape: from changed facts to the rows that its instances gained and lost.
//!
//! Delta plans give candidates that hold on the row's own side. A row is a set member, so it may
//! hold on the other side too, by another binding: each candidate is looked up there, with all its
//! variables given, and is news only if it is absent. What an instance holds is kept nowhere.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::delta_plan::{AttributePlace, Polarity};
use super::goals::RelationId;
use super::join::{Flow, Machine, Ranks, Side, States, Stop};
use super::memo::Memo;
use super::params::RowIndex;
use super::shape::{Counts, DeltaPlan, PlanStart, Shape};
use super::tables::Tables;
use crate::eval::scratch::Scratch;
use crate::intern::Cell;
use crate::program::Var;
use crate::program::pattern::Patterns;

/// A fact that became visible, or ceased to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct FactDelta {
    /// Where it is among the changes of the step.
    pub(super) index: u32,
    /// The cell of the attribute's text, where somebody reads it.
    pub(super) attribute: Cell,
    pub(super) entity: Cell,
    pub(super) value: Cell,
    /// The side on which it is visible.
    pub(super) side: Side,
    /// It is visible on both, and was stamped anew.
    pub(super) is_stamp: bool,
}

/// What leads to rows that came or went.
#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    Fact(FactDelta),
    /// A tuple of a kept relation, and the side on which it is there.
    Tuple {
        relation: RelationId,
        row: RowIndex,
        side: Side,
    },
}

impl Change {
    pub(super) fn side(&self) -> Side {
        match self {
            Change::Fact(fact) => fact.side,
            Change::Tuple { side, .. } => *side,
        }
    }
}

/// Rows of instances: the owner, then a cell for each variable.
#[derive(Default)]
pub(super) struct OwnedRows {
    width: usize,
    cells: Vec<Cell>,
}

impl OwnedRows {
    pub(super) fn new(width: usize) -> OwnedRows {
        OwnedRows { width: width + 1, cells: Vec::new() }
    }

    pub(super) fn push(&mut self, owner: u32, cells: impl Iterator<Item = Cell>) {
        self.cells.push(Cell(u64::from(owner)));
        self.cells.extend(cells);
    }

    /// Owner and cells of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &[Cell])> {
        self.cells.chunks_exact(self.width).map(|row| (row[0].0 as u32, &row[1..]))
    }

    /// The cells of each row of an owner; rows are sorted.
    pub(super) fn of(&self, owner: u32) -> impl Iterator<Item = &[Cell]> {
        let owner_of = |row: usize| self.cells[row * self.width].0 as u32;
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if owner_of(middle) < owner { low = middle + 1 } else { high = middle }
        }
        let rows = self.cells[low * self.width..].chunks_exact(self.width);
        rows.take_while(move |row| row[0].0 as u32 == owner).map(|row| &row[1..])
    }

    fn len(&self) -> usize {
        self.cells.len() / self.width
    }

    /// Sorts by owner and leaves every row once.
    pub(super) fn dedup(&mut self) {
        if self.len() < 2 {
            return;
        }
        let mut rows: Vec<&[Cell]> = self.cells.chunks_exact(self.width).collect();
        if rows.is_sorted_by(|a, b| a < b) {
            return;
        }
        rows.sort_unstable();
        rows.dedup();
        self.cells = rows.concat();
    }
}

/// What a step did to the rows of a shape's instances, sorted by owner.
pub(super) struct ShapeDelta {
    pub(super) gained: OwnedRows,
    pub(super) lost: OwnedRows,
    /// Rows there on both sides that show entities whose trees may differ.
    pub(super) touched: OwnedRows,
}

impl ShapeDelta {
    /// The owners that something happened to, in their order.
    pub(super) fn owners(&self) -> Vec<u32> {
        let rows = [&self.gained, &self.lost, &self.touched].into_iter().flat_map(OwnedRows::iter);
        let mut owners: Vec<u32> = rows.map(|(owner, _)| owner).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }
}

/// What steps of all shapes share.
pub(super) struct Workbench<'s> {
    pub(super) states: States<'s>,
    pub(super) scratch: Scratch<'s>,
    pub(super) regs: Vec<Cell>,
    pub(super) memo: Memo,
}

impl<'s> Workbench<'s> {
    pub(super) fn new(states: States<'s>, scratch: Scratch<'s>) -> Workbench<'s> {
        Workbench { states, scratch, regs: Vec::new(), memo: Memo::default() }
    }

    /// A machine for the plans of a shape.
    pub(super) fn machine<'m>(
        &'m mut self,
        shape: &'m Shape,
        tables: &'m Tables,
        patterns: &'m mut Patterns,
        fuel: &'m mut u64,
    ) -> Machine<'m, 's> {
        self.regs.resize(self.regs.len().max(shape.tree.n_vars), Cell::MIN);
        Machine {
            states: &self.states,
            tables,
            params: &shape.params,
            scratch: &mut self.scratch,
            patterns,
            regs: &mut self.regs,
            memo: &mut self.memo,
            row: 0,
            ranks: Ranks::default(),
            fuel,
        }
    }
}

/// The rows that came and went by some changes, given with the number of the occurrence that each
/// is to be joined at. `roots` are pulled variables and entities whose trees may differ.
pub(super) fn step(
    shape: &Shape,
    changes: impl Iterator<Item = (u32, Change)>,
    roots: &BTreeSet<(Var, Cell)>,
    machine: &mut Machine<'_, '_>,
    counts: &mut Counts,
) -> ControlFlow<Stop, ShapeDelta> {
    let plans = shape.plans.as_ref().expect("planned before a step");
    let width = shape.row_vars.len();
    let (mut gained, mut lost) = (OwnedRows::new(width), OwnedRows::new(width));
    let mut touched = OwnedRows::new(width);
    for (number, change) in changes {
        let occurrence = &shape.occurrences[number as usize];
        let plan = &plans.deltas[number as usize];
        if !machine.starts(plan, &change) {
            continue;
        }
        if let Change::Fact(fact @ FactDelta { is_stamp: true, .. }) = &change {
            stamped(shape, plan, fact, machine, &mut touched)?;
            continue;
        }
        let own = change.side().flipped(occurrence.flip);
        let sides: &[Side] = match occurrence.polarity {
            Polarity::Positive => &[own],
            Polarity::Negative => &[own.other()],
            Polarity::Both => &[Side::Before, Side::After],
        };
        for side in sides {
            let into = if *side == Side::After { &mut gained } else { &mut lost };
            let flow: Flow = machine.run(&plan.ops, *side, &mut |machine| {
                let cells = shape.row_vars.iter().map(|var| machine.regs[var.column()]);
                into.push(shape.params.owner(machine.row), cells);
                ControlFlow::Continue(())
            });
            flow?;
        }
    }
    for (var, entity) in roots {
        machine.regs[var.column()] = *entity;
        let flow: Flow = machine.run(&plans.rows_of[var], Side::After, &mut |machine| {
            let cells = shape.row_vars.iter().map(|var| machine.regs[var.column()]);
            touched.push(shape.params.owner(machine.row), cells);
            ControlFlow::Continue(())
        });
        flow?;
    }
    let kinds = [
        (&mut gained, Side::After, false),
        (&mut lost, Side::Before, false),
        (&mut touched, Side::After, true),
    ];
    for (rows, side, is_on_both) in kinds {
        rows.dedup();
        if rows.len() == 0 {
            continue;
        }
        counts.candidates += rows.len() as u64;
        let candidates = std::mem::replace(rows, OwnedRows::new(width));
        for (owner, cells) in candidates.iter() {
            let instance = shape.instance(owner);
            if instance.is_stale {
                continue;
            }
            counts.verified += 1;
            let is_there = machine.is_there_for(shape, instance.rows(), cells, side.other())?;
            if is_there == is_on_both {
                rows.push(owner, cells.iter().copied());
            }
        }
    }
    ControlFlow::Continue(ShapeDelta { gained, lost, touched })
}

/// The rows of a support that are a fact which was stamped anew.
fn stamped(
    shape: &Shape,
    plan: &DeltaPlan,
    fact: &FactDelta,
    machine: &mut Machine<'_, '_>,
    touched: &mut OwnedRows,
) -> Flow {
    machine.run(&plan.ops, Side::After, &mut |machine| {
        let cells = shape.row_vars.iter().map(|var| machine.regs[var.column()]);
        if cells.clone().eq([fact.entity, fact.attribute, fact.value]) {
            touched.push(shape.params.owner(machine.row), cells);
        }
        ControlFlow::Continue(())
    })
}

impl Machine<'_, '_> {
    /// Whether a change fits the start of a plan, whose registers it then fills.
    pub(super) fn starts(&mut self, plan: &DeltaPlan, change: &Change) -> bool {
        match (&plan.start, change) {
            (PlanStart::Fact { attribute, places: [entity, value] }, Change::Fact(fact)) => {
                let attribute = match attribute {
                    AttributePlace::Const(_) => true,
                    AttributePlace::Place(place) => self.fits(*place, fact.attribute),
                };
                attribute && self.fits(*entity, fact.entity) && self.fits(*value, fact.value)
            }
            (PlanStart::Derived(places), Change::Tuple { relation, row, .. }) => {
                let tables = self.tables;
                let cells = tables.relation(*relation).row(*row);
                places.iter().zip(cells).all(|(place, cell)| self.fits(*place, *cell))
            }
            _ => unreachable!("changes are led to plans that begin with their kind"),
        }
    }

    /// Whether a row is there for any of some rows of parameters.
    fn is_there_for(
        &mut self,
        shape: &Shape,
        rows: &[u32],
        cells: &[Cell],
        side: Side,
    ) -> ControlFlow<Stop, bool> {
        let plans = shape.plans.as_ref().expect("planned before a step");
        for row in rows {
            // A parameter may be part of the row: it has to be that of the row then.
            for (var, cell) in shape.param_vars.iter().zip(shape.params.row(*row)) {
                self.regs[var.column()] = *cell;
            }
            let params = shape.params.row(*row);
            let agrees = shape.row_vars.iter().zip(cells).all(|(var, cell)| {
                let column = shape.param_vars.iter().position(|param| param == var);
                column.is_none_or(|column| params[column] == *cell)
            });
            if !agrees {
                continue;
            }
            for (var, cell) in shape.row_vars.iter().zip(cells) {
                self.regs[var.column()] = *cell;
            }
            self.row = *row;
            if self.is_there(&plans.exists, side)? {
                return ControlFlow::Continue(true);
            }
        }
        ControlFlow::Continue(false)
    }
}

//! Who asks for which tuples: subscribing fills tables, the last one leaving empties them.

use std::ops::ControlFlow;

use super::maintain::{Bounds, Changes};
use super::{Tables, TablesId};
use crate::intern::{Cell, Dictionary};
use crate::limits::{Budget, Interrupt};
use crate::live::goals::RelationId;
use crate::live::join::Flow;
use crate::live::maintain::Workbench;
use crate::live::params::RowIndex;
use crate::program::RuleId;
use crate::value::Value;

/// The most tuples that one subscriber may have derived, if its own budget allows more.
const TUPLES_MAX: u64 = 1 << 24;

/// What a tuple is taken to cost of a budget's bytes.
const TUPLE_BYTES: u64 = 96;

/// A call in a query: the tables it reads, and what of them its instances ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) struct Seed {
    /// What is called.
    pub(in crate::live) rule: RuleId,
    /// The relation that answers.
    pub(in crate::live) answers: RelationId,
    pub(in crate::live) tables: TablesId,
    /// What each column of the demand is.
    pub(in crate::live) columns: Vec<SeedColumn>,
}

/// Where a bound column of a call comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::live) enum SeedColumn {
    Param(u8),
    Const(Value),
}

impl Seed {
    /// What an instance with this row of parameters asks for.
    pub(in crate::live) fn cells(&self, params: &[Cell], dictionary: &Dictionary) -> Vec<Cell> {
        let cell = |column: &SeedColumn| match column {
            SeedColumn::Param(column) => params[usize::from(*column)],
            SeedColumn::Const(value) => dictionary.intern(value),
        };
        self.columns.iter().map(cell).collect()
    }
}

/// What deriving tuples for a subscriber may cost.
pub(in crate::live) struct Allowance<'b> {
    n_tuples_max: u64,
    interrupt: Option<&'b Interrupt>,
}

impl<'b> Allowance<'b> {
    pub(in crate::live) fn of(budget: &'b Budget) -> Allowance<'b> {
        let by_bytes = budget.bytes.map(|bytes| bytes / TUPLE_BYTES);
        let limits = [budget.rows, by_bytes].into_iter().flatten();
        Allowance {
            n_tuples_max: limits.min().unwrap_or(TUPLES_MAX).min(TUPLES_MAX),
            interrupt: budget.interrupt.as_ref(),
        }
    }
}

impl Tables {
    /// Counts one who asks for some tuples, and derives them. `Break` when that is more than is
    /// allowed: then it is as if nobody had asked.
    pub(in crate::live) fn ask(
        &mut self,
        id: TablesId,
        cells: &[Cell],
        bench: &mut Workbench<'_>,
        allowance: &Allowance<'_>,
    ) -> Flow {
        let demand = self.set(id).demand;
        let asked = demand.map(|demand| {
            let demand = self.relation_mut(demand);
            let row = demand.place(cells);
            (row, demand.give(row))
        });
        let flow = match (self.is_filled(id), asked) {
            (false, _) => self.fill(id, bench, allowance),
            (true, Some((row, true))) => {
                let changes = Changes { asked: vec![row], ..Changes::default() };
                self.derive(id, &changes, bench, allowance)
            }
            (true, _) => return ControlFlow::Continue(()),
        };
        if flow.is_break()
            && let Some(demand) = demand
        {
            let demand = self.relation_mut(demand);
            let row = demand.find_tuple(cells).expect("it was asked for");
            demand.take_back(row);
        }
        match (flow, self.is_filled(id)) {
            (ControlFlow::Continue(()), _) => self.settle(id),
            (ControlFlow::Break(_), true) => self.undo(id),
            (ControlFlow::Break(_), false) => drop(self.empty(id)),
        }
        flow
    }

    fn derive(
        &mut self,
        id: TablesId,
        changes: &Changes<'_>,
        bench: &mut Workbench<'_>,
        allowance: &Allowance<'_>,
    ) -> Flow {
        let Allowance { n_tuples_max, interrupt } = *allowance;
        let mut fuel = u64::MAX;
        self.step(id, changes, bench, &mut Bounds { fuel: &mut fuel, n_tuples_max, interrupt })
    }

    /// Derives everything that is asked for, from the start.
    pub(in crate::live) fn fill(
        &mut self,
        id: TablesId,
        bench: &mut Workbench<'_>,
        allowance: &Allowance<'_>,
    ) -> Flow {
        let asked = self.empty(id);
        let changes = Changes { asked, is_first: true, ..Changes::default() };
        self.derive(id, &changes, bench, allowance)?;
        self.set_mut(id).is_filled = true;
        self.settle(id);
        ControlFlow::Continue(())
    }

    /// Derives everything for the state after a step that was too much to follow, if that is less;
    /// otherwise nothing is kept until somebody asks again.
    pub(in crate::live) fn refill(
        &mut self,
        id: TablesId,
        mut fuel: u64,
        bench: &mut Workbench<'_>,
    ) {
        let asked = self.empty(id);
        let changes = Changes { asked, is_first: true, ..Changes::default() };
        let mut bounds = Bounds { fuel: &mut fuel, n_tuples_max: TUPLES_MAX, interrupt: None };
        match self.step(id, &changes, bench, &mut bounds) {
            ControlFlow::Continue(()) => {
                self.set_mut(id).is_filled = true;
                self.settle(id);
            }
            ControlFlow::Break(_) => drop(self.empty(id)),
        }
    }

    /// Takes everything out that nobody asks for by name; what is left of the demand.
    fn empty(&mut self, id: TablesId) -> Vec<RowIndex> {
        let set = self.set_mut(id);
        set.is_filled = false;
        let (relations, demand) = (set.relations.clone(), set.demand);
        let mut asked = Vec::new();
        for relation in relations {
            let given = self.relation_mut(relation).restart();
            if demand == Some(relation) {
                asked = given;
            }
        }
        asked
    }

    /// Counts one fewer who asks for some tuples; what nobody asks for is taken out.
    pub(in crate::live) fn unask(
        &mut self,
        id: TablesId,
        cells: &[Cell],
        bench: &mut Workbench<'_>,
    ) {
        let Some(demand) = self.set(id).demand else { return };
        let relation = self.relation_mut(demand);
        let row = relation.find_tuple(cells).expect("who asked was counted");
        if !relation.take_back(row) {
            return;
        }
        if !self.is_filled(id) {
            drop(self.empty(id));
            return;
        }
        let changes = Changes { unasked: vec![row], ..Changes::default() };
        let mut fuel = u64::MAX;
        let mut bounds = Bounds { fuel: &mut fuel, n_tuples_max: u64::MAX, interrupt: None };
        let flow = self.step(id, &changes, bench, &mut bounds);
        assert!(flow.is_continue(), "nothing bounds what is taken out");
        self.settle(id);
    }
}

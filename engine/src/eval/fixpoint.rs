//! Rules to their fixpoint: rounds over the tables of one stratum.
//!
//! In a round every definition of every table is evaluated for what is recent: new demand by the
//! base plan, new answers by the delta rules (see `plan::delta_rules`). Rows found become recent
//! in the next round. The stratum is complete when a round begins with nothing recent; then every
//! table holds all answers for all of its demand. Demand that arrives later starts it again from
//! there, so nothing is evaluated twice.

use std::sync::Arc;

use super::Evaluator;
use super::rows::{CELL_BYTES, Rows, UNBOUND};
use super::table::Table;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::delta_rules::{DefinitionPlan, DeltaRule, definition_plan};
use crate::plan::{Adornment, Context};
use crate::program::RuleId;
use crate::program::lower::FlatDefinition;

impl Evaluator<'_> {
    /// The table of a rule under an adornment, made if it is new.
    pub(super) fn table(&mut self, rule: RuleId, adornment: &Adornment) -> usize {
        if let Some(table) = self.table_of.get(&(rule, adornment.clone())) {
            return *table;
        }
        let flat = &self.program.rules[rule.index()];
        let stratum = &self.program.strata[self.program.stratum_of[rule.index()]];
        let context = Context {
            rules: &self.program.rules,
            counts: self.snapshot,
            stratum: &stratum.rules,
            asks_nothing: adornment.is_free(),
        };
        let definitions = flat.definitions.iter();
        let plans =
            definitions.map(|definition| definition_plan(definition, adornment, context)).collect();
        let index = self.tables.len();
        self.tables.push(Table::new(rule, flat.arity, adornment.clone(), plans));
        self.table_of.insert((rule, adornment.clone()), index);
        index
    }

    /// Asks a table for one binding of its adorned columns; whether that is new.
    pub(super) fn demand(&mut self, table: usize, key: &[Cell]) -> Result<bool, QueryError> {
        let is_new = self.tables[table].demand.insert(key);
        if is_new {
            self.meter.hold((key.len() as u64 + 1) * CELL_BYTES)?;
        }
        Ok(is_new)
    }

    /// Evaluates a rule, and those it recurses with, until all demand is answered.
    pub(super) fn complete(&mut self, rule: RuleId) -> Result<(), QueryError> {
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
        let outer = std::mem::replace(&mut self.meter.place, format!("rule {}", flat.name));
        self.meter.made_round(n_rounds)?;
        let plans = Arc::clone(&self.tables[table].plans);
        for (definition, plan) in flat.definitions.iter().zip(plans.iter()) {
            self.new_demand(table, definition, plan)?;
            for delta in &plan.deltas {
                self.new_answers(table, definition, delta)?;
            }
        }
        self.meter.place = outer;
        Ok(())
    }

    /// The base plan, for the demand of the last round.
    fn new_demand(
        &mut self,
        table: usize,
        definition: &FlatDefinition,
        plan: &DefinitionPlan,
    ) -> Result<(), QueryError> {
        let demand = &self.tables[table].demand;
        let columns = self.tables[table].adornment.columns();
        let mut rows = Rows::new(definition.scope.names.len());
        let unbound = vec![UNBOUND; definition.scope.names.len()];
        for position in demand.recent() {
            let row = rows.push(&unbound);
            for (column, cell) in columns.iter().zip(demand.row(position)) {
                row[definition.head[*column].column()] = *cell;
            }
        }
        let rows = self.run(&plan.base, rows, table)?;
        self.answer(table, definition, &rows)
    }

    /// A delta rule, for the answers that its call got in the last round.
    fn new_answers(
        &mut self,
        table: usize,
        definition: &FlatDefinition,
        delta: &DeltaRule,
    ) -> Result<(), QueryError> {
        let called = self.table(delta.call.rule, &delta.call.adornment);
        let unbound = Rows::unbound(definition.scope.names.len());
        let recent = self.tables[called].answers.recent();
        let rows = self.join(&delta.call, called, recent, &unbound)?;
        let rows = self.run(&delta.rest, rows, table)?;
        self.answer(table, definition, &rows)
    }

    /// Adds the head of every row to the table.
    fn answer(
        &mut self,
        table: usize,
        definition: &FlatDefinition,
        rows: &Rows,
    ) -> Result<(), QueryError> {
        let mut head = Vec::with_capacity(definition.head.len());
        for row in rows.iter() {
            head.clear();
            head.extend(definition.head.iter().map(|var| row[var.column()]));
            if self.tables[table].answers.insert(&head) {
                self.meter.hold((head.len() as u64 + 1) * CELL_BYTES)?;
            }
        }
        Ok(())
    }
}

//! The first rows by a value that an index is ordered by, without the rest of the facts.
//!
//! For `[?e :a ?v] … :order-by [[?v :desc]] :limit k` the facts of `:a` are taken from that end of
//! their order by value where the answer begins, a few at first, and the body is evaluated for
//! their bindings alone. Selecting `?v ≥ t` before the body or after it gives the same rows, and
//! every row that is left out comes after all that are there; so when there are enough of them the
//! window is right, ties included, and otherwise more are taken. Where the body rejects so many
//! that a good part of the facts would be tried, the whole is evaluated in the planner's order.
//!
//! Left out: values that are not ordered as their cells, and bodies with functions or rules, whose
//! evaluation says or costs something for each binding. The order of rows is `find`'s affair.

use std::convert::Infallible;
use std::ops::{ControlFlow, Range};

use super::Evaluator;
use super::batch::Rows;
use super::reads::Key;
use crate::answer::AnswerRows;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::plan::Planner;
use crate::program::{Atom, AttributeTerm, FindElement, Program, Term, Var};
use crate::store::AttributeId;

/// Facts taken at first for each row of the window, and at least.
const FACTS_A_ROW: u64 = 2;
const FACTS_MIN: u64 = 32;

/// How many times more are taken when they were not enough.
const GROWTH: u64 = 4;

/// The part of the facts that is tried before all of them are evaluated: one of so many.
const PART_MAX: u64 = 8;

/// The facts that decide which rows come first.
struct Scan {
    attribute: AttributeId,
    entity: Var,
    value: Var,
    descending: bool,
    /// Values outside come before the rows that are asked for.
    values: Range<Cell>,
    /// How many facts have a value below, and how many one within.
    n_below: u64,
    n_within: u64,
}

impl Evaluator<'_> {
    /// The rows of the answer, where some of the facts are enough to find them.
    pub(super) fn top(
        &mut self,
        program: &Program,
        planner: &Planner<'_>,
        inputs: &Rows,
    ) -> Result<Option<AnswerRows>, QueryError> {
        let Some(limit) = program.raw.limit else { return Ok(None) };
        let Some(scan) = self.value_scan(program, inputs.vars()) else { return Ok(None) };
        let n_most = self.snapshot.count(scan.attribute) / PART_MAX;
        let n_rows = program.raw.offset.saturating_add(limit);
        let mut n_facts = n_rows.saturating_mul(FACTS_A_ROW).max(FACTS_MIN);
        loop {
            let is_all = n_facts >= scan.n_within;
            let values = self.first_values(&scan, n_facts);
            let n_taken = self.snapshot.count_between(scan.attribute, values.start, values.end);
            if n_taken > n_most {
                return Ok(None);
            }
            let bound = self.bound_by(&scan, values, inputs)?;
            // Where the body is this one pattern, every fact is a row.
            let rows = match program.body.clauses.len() {
                1 => self.find(program, bound)?,
                _ => self.rows_of(program, planner, bound)?,
            };
            if is_all || rows.len() as u64 >= limit {
                return Ok(Some(rows));
            }
            n_facts = n_taken.max(n_facts).saturating_mul(GROWTH);
        }
    }

    /// The facts to begin with, if there are such.
    fn value_scan(&mut self, program: &Program, inputs: &[Var]) -> Option<Scan> {
        let key = program.order_by().first()?;
        let FindElement::Variable(value) = program.find[key.element as usize] else { return None };
        let is_cheap = |atom: &Atom| {
            matches!(
                atom,
                Atom::Pattern { .. }
                    | Atom::Predicate { .. }
                    | Atom::Missing { .. }
                    | Atom::GetElse { .. }
            )
        };
        let is_aggregate = |element: &FindElement| matches!(element, FindElement::Aggregate { .. });
        if !program.body.clauses.iter().all(|clause| is_cheap(&clause.atom))
            || program.find.iter().any(is_aggregate)
            || inputs.contains(&value)
        {
            return None;
        }
        let (entity, attribute) =
            program.body.clauses.iter().find_map(|clause| match &clause.atom {
                Atom::Pattern {
                    entity: Term::Var(entity),
                    attribute: AttributeTerm::Const(attribute),
                    value: Term::Var(found),
                } if *found == value && *entity != value && !inputs.contains(entity) => {
                    Some((*entity, attribute))
                }
                _ => None,
            })?;
        let attribute = self.snapshot.find_attribute(attribute)?;
        let count =
            |values: &Range<Cell>| self.snapshot.count_between(attribute, values.start, values.end);
        if self.snapshot.count(attribute) / PART_MAX < FACTS_MIN
            || Cell::SYMBOLS.iter().any(|symbols| count(symbols) > 0)
        {
            return None;
        }
        let mut values = Cell::MIN..Cell::MAX;
        if let Some(after) = program.raw.after.first() {
            let after = Cell::inline(after)?;
            values = if key.descending { values.start..after.after() } else { after..values.end };
        }
        let (n_below, n_within) = (count(&(Cell::MIN..values.start)), count(&values));
        let descending = key.descending;
        Some(Scan { attribute, entity, value, descending, values, n_below, n_within })
    }

    /// The values of the first so many facts, and of those that tie with the last of them.
    fn first_values(&self, scan: &Scan, n_facts: u64) -> Range<Cell> {
        let Range { start, end } = scan.values;
        if n_facts >= scan.n_within {
            return start..end;
        }
        let value = |place: u64| {
            let value = self.snapshot.nth_value(scan.attribute, scan.n_below + place);
            value.expect("the place is among the values counted")
        };
        if scan.descending {
            value(scan.n_within - n_facts)..end
        } else {
            start..value(n_facts - 1).after()
        }
    }

    /// Each row of the inputs with each of the facts.
    fn bound_by(
        &mut self,
        scan: &Scan,
        values: Range<Cell>,
        inputs: &Rows,
    ) -> Result<Rows, QueryError> {
        self.record(scan.attribute, Key::All);
        let mut facts: Vec<(Cell, Cell)> = Vec::new();
        let (from, until) = (values.start, values.end);
        let done: ControlFlow<Infallible> =
            self.snapshot.for_each_between(scan.attribute, from, until, |value, entity| {
                facts.push((entity, value));
                ControlFlow::Continue(())
            });
        let ControlFlow::Continue(()) = done;
        self.meter.read_facts(facts.len() as u64)?;
        let vars: Vec<Var> =
            inputs.vars().iter().copied().chain([scan.entity, scan.value]).collect();
        let mut bound = Rows::new(&vars);
        let mut row = Vec::with_capacity(vars.len());
        for input in 0..inputs.len() {
            for (entity, value) in &facts {
                inputs.read_row(input, &mut row);
                row.extend([*entity, *value]);
                bound.push(&row);
                self.meter.made_row_in(bound.n_bytes())?;
            }
        }
        Ok(bound)
    }
}

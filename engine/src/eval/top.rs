//! The first rows by a value that an index is ordered by, without the rest of the facts.
//!
//! For `[?e :a ?v] … :order-by [[?v :desc]] :limit k` the facts of `:a` are taken from that end of
//! their order by value where the answer begins, a few at first, and the body is evaluated for
//! their bindings alone. Selecting `?v ≥ t` before the body or after it gives the same rows, and
//! every row that is left out comes after all that are there; so when there are enough of them the
//! window is right, ties included, and otherwise more are taken. Where the body rejects so many
//! that a good part of the facts would be tried, or more than the body has for something it knows
//! (a constant, an input), the whole is evaluated in the planner's order.
//!
//! Left out: values that are not ordered as their cells, and bodies with functions or rules, whose
//! evaluation says or costs something for each binding. The order of rows is `find`'s affair.

use std::ops::{ControlFlow, Range};

use super::Evaluator;
use super::batch::Rows;
use super::find::is_aggregate;
use super::meter::BLOCK;
use super::reads::Key;
use crate::answer::AnswerRows;
use crate::error::QueryError;
use crate::intern::Cell;
use crate::profile::count;
use crate::program::{Atom, AttributeTerm, Clause, FindElement, Program, Term, Var};
use crate::store::{AttributeId, Snapshot};

/// Facts taken at first for each row of the window, and at least.
const FACTS_A_ROW: u64 = 2;
const FACTS_MIN: u64 = 32;

/// How many times more are taken when they were not enough.
const GROWTH: u64 = 4;

/// The part of the facts that is tried before all of them are evaluated: one of so many.
const PART_MAX: u64 = 8;

/// How many times the fewest facts of something known are tried before the body begins there.
const KNOWN_FACTOR: u64 = 4;

/// The facts that decide which rows come first.
pub(super) struct Scan {
    attribute: AttributeId,
    pub(super) entity: Var,
    pub(super) value: Var,
    descending: bool,
    /// Values outside come before the rows that are asked for.
    values: Range<Cell>,
    /// How many facts have a value below, and how many one within.
    n_below: u64,
    n_within: u64,
}

/// How the first rows were found, or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    n_tries: u64,
    /// Facts taken at last.
    n_facts: u64,
    found: bool,
}

impl Evaluator<'_> {
    /// The rows of the answer, where some of the facts are enough to find them.
    pub(super) fn top(
        &mut self,
        program: &Program,
        inputs: &Rows,
    ) -> Result<Option<AnswerRows>, QueryError> {
        let Some(limit) = program.raw.limit else { return Ok(None) };
        let snapshot = self.snapshot;
        let Some(scan) = Scan::of(program, inputs.vars(), snapshot) else { return Ok(None) };
        let fewest = fewest_known(program, Some(inputs), snapshot);
        // Who watches what is read would be woken by every fact of the attribute, instead of by
        // those of the known value.
        if self.reads.is_some() && fewest.is_some() {
            return Ok(None);
        }
        let n_most = scan.n_facts_most(fewest, snapshot) / (inputs.len() as u64).max(1);
        let mut n_facts = n_facts_at_first(program, limit);
        for n_tries in 1.. {
            let is_all = n_facts >= scan.n_within;
            let values = scan.first_values(n_facts, snapshot);
            let n_taken = snapshot.count_between(scan.attribute, values.start, values.end);
            if n_taken > n_most {
                break;
            }
            let bound = self.bound_by(&scan, values, inputs)?;
            // Where the body is this one pattern, every fact is a row.
            let rows = match program.body.clauses.len() {
                1 => self.find(program, bound)?,
                _ => self.rows_of(program, bound)?,
            };
            let found = is_all || rows.len() as u64 >= limit;
            if let Some(measure) = &mut self.measure {
                measure.tried = Some(Tried { n_tries, n_facts: n_taken, found });
            }
            if found {
                return Ok(Some(rows));
            }
            n_facts = n_taken.max(n_facts).saturating_mul(GROWTH);
        }
        if let Some(measure) = &mut self.measure {
            measure.begin_again();
        }
        Ok(None)
    }
}

/// The fewest facts that a pattern of the body has whose entity or value is known: a constant, or
/// an input where there is one row of them. None where no pattern knows either.
fn fewest_known(program: &Program, inputs: Option<&Rows>, snapshot: &Snapshot) -> Option<u64> {
    let inputs = inputs.filter(|inputs| inputs.len() == 1);
    let known = |term: &Term| match term {
        Term::Const(value) => Some(snapshot.dictionary().find(value)),
        Term::Var(var) => inputs
            .filter(|inputs| inputs.vars().contains(var))
            .map(|inputs| Some(inputs.column(*var)[0]).filter(|cell| cell.as_scratch().is_none())),
        Term::Blank => None,
    };
    let count = |clause: &Clause| {
        let Atom::Pattern { entity, attribute: AttributeTerm::Const(attribute), value } =
            &clause.atom
        else {
            return None;
        };
        let id = snapshot.find_attribute(attribute);
        let facts_of = |cell: Option<Cell>, count: &dyn Fn(AttributeId, Cell) -> u64| {
            id.zip(cell).map_or(0, |(id, cell)| count(id, cell))
        };
        let by_entity =
            known(entity).map(|cell| facts_of(cell, &|id, cell| snapshot.count_values(id, cell)));
        let by_value =
            known(value).map(|cell| facts_of(cell, &|id, cell| snapshot.count_entities(id, cell)));
        by_entity.into_iter().chain(by_value).min()
    };
    program.body.clauses.iter().filter_map(count).min()
}

/// How many facts are taken at first.
fn n_facts_at_first(program: &Program, limit: u64) -> u64 {
    let n_rows = program.raw.offset.saturating_add(limit);
    n_rows.saturating_mul(FACTS_A_ROW).max(FACTS_MIN)
}

impl Scan {
    /// The facts to begin with, if there are such.
    fn of(program: &Program, inputs: &[Var], snapshot: &Snapshot) -> Option<Scan> {
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
        let attribute = snapshot.find_attribute(attribute)?;
        let count =
            |values: &Range<Cell>| snapshot.count_between(attribute, values.start, values.end);
        // One look before the order by value is asked for, which may have to be built.
        let is_symbol = |cell: Cell| Cell::SYMBOLS.iter().any(|symbols| symbols.contains(&cell));
        if snapshot.count(attribute) / PART_MAX < FACTS_MIN
            || snapshot.facts(attribute).next().is_none_or(|(_, value)| is_symbol(value))
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

    /// The facts that would be tried when a query runs now, as text for people; none where it
    /// would begin with the whole body.
    pub(super) fn explained(
        program: &Program,
        inputs: &[Var],
        snapshot: &Snapshot,
        tried: Option<Tried>,
    ) -> Option<(Scan, String)> {
        let limit = program.raw.limit?;
        let scan = Scan::of(program, inputs, snapshot)?;
        let n_facts = n_facts_at_first(program, limit);
        let values = scan.first_values(n_facts, snapshot);
        let n_taken = snapshot.count_between(scan.attribute, values.start, values.end);
        let n_most = scan.n_facts_most(fewest_known(program, None, snapshot), snapshot);
        if n_taken > n_most {
            return None;
        }
        let which = if scan.descending { "greatest" } else { "least" };
        let (attribute, n_taken) = (snapshot.attribute(scan.attribute), count(n_taken));
        let mut text = format!("the {n_taken} facts of :{attribute} with the {which} values");
        match tried {
            None => {
                let (n_all, n_most) = (count(snapshot.count(scan.attribute)), count(n_most));
                text += &format!("; while they are not enough more, up to {n_most} of {n_all}");
            }
            Some(Tried { n_tries, n_facts, found }) => {
                let n_facts = count(n_facts);
                let verdict =
                    if found { "were enough" } else { "were not enough, so all were evaluated" };
                text += &format!("; at try {n_tries} {n_facts} facts {verdict}");
            }
        }
        Some((scan, text))
    }

    /// The part of the facts that is tried: no more than are worth it where the body can begin
    /// with the `fewest` facts of something known.
    fn n_facts_most(&self, fewest: Option<u64>, snapshot: &Snapshot) -> u64 {
        let part = snapshot.count(self.attribute) / PART_MAX;
        part.min(fewest.map_or(part, |fewest| fewest.saturating_mul(KNOWN_FACTOR)))
    }

    /// The values of the first so many facts, and of those that tie with the last of them.
    fn first_values(&self, n_facts: u64, snapshot: &Snapshot) -> Range<Cell> {
        let Range { start, end } = self.values;
        if n_facts >= self.n_within {
            return start..end;
        }
        let value = |place: u64| {
            let value = snapshot.nth_value(self.attribute, self.n_below + place);
            value.expect("the place is among the values counted")
        };
        if self.descending {
            value(self.n_within - n_facts)..end
        } else {
            start..value(n_facts - 1).after()
        }
    }
}

impl Tried {
    pub(super) fn found(self) -> bool {
        self.found
    }
}

impl Evaluator<'_> {
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
        let (mut failure, meter) = (Ok(()), &mut self.meter);
        let _ = self.snapshot.for_each_between(scan.attribute, from, until, |value, entity| {
            facts.push((entity, value));
            if (facts.len() as u64).is_multiple_of(BLOCK) {
                failure = meter.read_facts(BLOCK);
            }
            if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failure?;
        self.meter.read_facts(facts.len() as u64 % BLOCK)?;
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
        // Facts are a set; inputs need not be one.
        Ok(if inputs.is_set() { bound } else { bound.maybe_repeated() })
    }
}

//! Counts of the facts of one attribute by entity or by value, without the facts.
//!
//! For `[:find ?v (count ?e) :where [?e :a ?v]]` and the like a group is a run of the order by
//! value, and how long it is the index tells. Left out: bodies of more than this pattern, and
//! aggregates that look at the members, for which `groups` brings the rows together.

use std::ops::ControlFlow;

use super::Evaluator;
use super::find::is_aggregate;
use super::meter::BLOCK;
use super::order::{Found, Source};
use super::reads::Key;
use crate::answer::AnswerRows;
use crate::error::QueryError;
use crate::ids::Attribute;
use crate::intern::Cell;
use crate::program::{Aggregate, Atom, AttributeTerm, Clause, FindElement, Program, Term, Var};
use crate::store::Order;
use crate::value::Value;

/// What is counted.
struct Count<'p> {
    attribute: &'p Attribute,
    /// By what: the order in which groups are runs.
    order: Order,
}

impl Evaluator<'_> {
    /// The rows of the answer, where the index knows them.
    pub(super) fn counts(&mut self, program: &Program) -> Result<Option<AnswerRows>, QueryError> {
        let Some(Count { attribute, order }) = count(program) else { return Ok(None) };
        let (mut groups, mut counts) = (Vec::new(), Vec::new());
        if let Some(id) = self.attribute_id(attribute) {
            self.record(id, Key::All);
            let (snapshot, meter) = (self.snapshot, &mut self.meter);
            let (mut n_facts, mut failure) = (0, Ok(()));
            let _ = snapshot.for_each_group(id, order, |group, n| {
                groups.push(group);
                let n = i64::try_from(n).expect("a store has fewer than 2^63 facts");
                counts.push(Cell::inline(&Value::int(n)).expect("so few are inline"));
                n_facts += n as u64;
                if n_facts >= BLOCK {
                    failure = meter.read_facts(std::mem::take(&mut n_facts));
                }
                if failure.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            failure?;
            self.meter.read_facts(n_facts)?;
        }
        self.meter.made_rows(groups.len() as u64)?;
        let source = |element: &FindElement| usize::from(is_aggregate(element));
        let found = Found {
            n_rows: groups.len(),
            sources: vec![Source::Cells(groups), Source::Cells(counts)],
            elements: program.find.iter().map(source).collect(),
        };
        self.answer_rows(program, found).map(Some)
    }
}

/// What a program counts, if that is all it does.
fn count(program: &Program) -> Option<Count<'_>> {
    let [Clause { atom, .. }] = &program.body.clauses[..] else { return None };
    let Atom::Pattern {
        entity: Term::Var(entity),
        attribute: AttributeTerm::Const(attribute),
        value: Term::Var(value),
    } = atom
    else {
        return None;
    };
    let variable = |element: &FindElement| match element {
        FindElement::Variable(var) => Some(*var),
        FindElement::Aggregate { .. } | FindElement::Pull { .. } => None,
    };
    let group: Var = program.find.iter().find_map(variable)?;
    let (order, member) = match group == *entity {
        true => (Order::ByEntity, *value),
        false => (Order::ByValue, *entity),
    };
    let is_known = |element: &FindElement| match element {
        FindElement::Variable(var) => *var == group,
        FindElement::Aggregate { function, var, .. } => {
            *var == member && matches!(function, Aggregate::Count | Aggregate::CountDistinct)
        }
        FindElement::Pull { .. } => false,
    };
    let counts = program.find.iter().any(is_aggregate);
    (entity != value && counts && program.inputs.is_empty() && program.find.iter().all(is_known))
        .then_some(Count { attribute, order })
}

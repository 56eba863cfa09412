//! Supports kept up: the facts that a replica needs for a query are the rows of another query (see
//! `program::support`), so a support is a live query like any other, shared and maintained alike.
//!
//! What is more here: a fact that is stamped anew stays a row, and yet whoever holds it has to be
//! told. Such a row is on both lists of an update.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::update::RowsDelta;
use super::{InstanceId, LiveQueries, Tier};
use crate::answer::{AnswerRows, Output, Row, RowRef};
use crate::error::QueryError;
use crate::eval::query::{Query, input_rows};
use crate::fact::{Fact, Mark};
use crate::ids::{Attribute, EntityId};
use crate::intern::FixedHashMap;
use crate::limits::Budget;
use crate::program::raw::Input;
use crate::program::support::takes_relation;
use crate::store::{Snapshot, StoreDelta};
use crate::value::Value;

/// Supports kept at hand before all are forgotten; they can be derived again.
const KEPT_MAX: usize = 4_096;

/// Rows that the inputs of one query may come to.
const INPUT_ROWS_MAX: usize = 100_000;

/// The queries that give the supports of others, by the lifted program of these.
#[derive(Default)]
pub(super) struct Supports(FixedHashMap<Vec<u8>, Derived>);

/// A lifted query and the one that gives its support.
#[derive(Clone)]
struct Derived {
    lifted: Query,
    support: Query,
}

impl Derived {
    fn of(query: &Query) -> Result<Derived, QueryError> {
        let of_program = |errors| QueryError::Program { errors };
        let lifted = query.prepare_lifted().map_err(of_program)?;
        let support = lifted.prepare_support().map_err(of_program)?;
        Ok(Derived { lifted, support })
    }

    /// What the support's query takes for these inputs of the original.
    fn inputs(&self, query: &Query, inputs: &[Input]) -> Result<Vec<Input>, QueryError> {
        let inputs = super::lifted_inputs(query, inputs)?;
        let rows = input_rows(self.lifted.program(), &inputs, INPUT_ROWS_MAX)?;
        let rows = rows.ok_or_else(|| QueryError::Input {
            message: format!("the inputs come to more than {INPUT_ROWS_MAX} rows"),
        })?;
        if takes_relation(self.lifted.program()) {
            return Ok(vec![Input::Relation(rows)]);
        }
        Ok(rows.into_iter().flatten().map(Input::Scalar).collect())
    }
}

impl Supports {
    fn of(&mut self, query: &Query) -> Result<Derived, QueryError> {
        if let Some(derived) = self.0.get(&query.lifted().key) {
            return Ok(derived.clone());
        }
        let derived = Derived::of(query)?;
        if self.0.len() >= KEPT_MAX {
            self.0.clear();
        }
        self.0.insert(query.lifted().key.clone(), derived.clone());
        Ok(derived)
    }
}

impl LiveQueries {
    /// Registers the support of a query, or another user of an equal one.
    pub(crate) fn subscribe_support(
        &mut self,
        tier: Tier,
        query: &Query,
        inputs: &[Input],
        budget: &Budget,
        snapshot: &Snapshot,
    ) -> Result<InstanceId, QueryError> {
        let derived = self.supports.of(query)?;
        let inputs = derived.inputs(query, inputs)?;
        self.subscribe(tier, &derived.support, &inputs, budget, snapshot)
    }
}

impl Query {
    /// The facts that a replica must hold to give this query's answer itself, sorted, with their
    /// marks.
    ///
    /// # Errors
    /// When the inputs do not fit `:in`, the budget is used up, or the program that gives the
    /// support is larger than programs may be.
    pub fn support(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<Vec<(Fact, Mark)>, QueryError> {
        let derived = Derived::of(self)?;
        let inputs = derived.inputs(self, inputs)?;
        let answer = derived.support.run(snapshot, &inputs, budget)?;
        Ok(facts(&answer.rows, snapshot))
    }
}

/// The facts that rows of a support are, with their marks in the snapshot that they are of.
pub(crate) fn facts(rows: &AnswerRows, snapshot: &Snapshot) -> Vec<(Fact, Mark)> {
    let marked = |row: Row| {
        let fact = fact_of(&row);
        let mark = snapshot.mark_of(&fact).expect("a support is of visible facts");
        (fact, mark)
    };
    let mut facts: Vec<(Fact, Mark)> = rows.iter().map(|row| marked(row.to_row())).collect();
    facts.sort_unstable();
    facts
}

/// The fact that a row of a support is.
///
/// # Panics
/// When the row is of another query.
pub fn fact_of(row: &Row) -> Fact {
    let text = |output: &Output| -> Arc<str> {
        match output {
            Output::Value(Value::String(text)) => text.clone(),
            _ => panic!("the attribute of a fact is a string"),
        }
    };
    let (Output::Value(Value::Ref(entity)), Output::Value(value)) = (&row[0], &row[2]) else {
        panic!("a fact has an entity and a value");
    };
    let attribute = Attribute::new(text(&row[1])).expect("it was an attribute");
    let (entity, value): (EntityId, Value) = (entity.clone(), value.clone());
    Fact { entity, attribute, value }
}

/// A change of a support by evaluation, with those of its rows that were stamped anew.
pub(super) fn with_stamped(
    change: Option<RowsDelta>,
    delta: &StoreDelta,
    rows: &AnswerRows,
) -> Option<RowsDelta> {
    let is_stamp =
        |change: &&crate::fact::FactChange| change.before.is_some() && change.after.is_some();
    let row = |fact: &Fact| -> Row {
        let attribute = Value::String(fact.attribute.shared().clone());
        let values = [Value::Ref(fact.entity.clone()), attribute, fact.value.clone()];
        values.into_iter().map(Output::Value).collect()
    };
    let stamped = delta.facts.iter().filter(is_stamp).map(|change| row(&change.fact));
    let stamped: BTreeSet<Row> = stamped.collect();
    if stamped.is_empty() {
        return change;
    }
    let is_new = |row: &Row| change.as_ref().is_some_and(|change| change.added.contains(row));
    let rows = rows.iter().map(RowRef::to_row);
    let told = rows.filter(|row| stamped.contains(row) && !is_new(row)).collect();
    let mut change = change.unwrap_or_default();
    change.replace(told);
    (!change.is_empty()).then_some(change)
}

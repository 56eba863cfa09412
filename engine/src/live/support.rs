//! Supports kept up: the facts that a replica needs for a query are the rows of another query (see
//! `program::support`), so a support is a live query like any other, shared and maintained alike.
//!
//! What is more here: a fact that is stamped anew stays a row, and yet whoever holds it has to be
//! told. Such a row is on both lists of an update.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bounded::Widened;
use super::update::RowsDelta;
use super::{InstanceId, LiveQueries, Tier};
use crate::answer::{AnswerRows, Output, Row, RowRef};
use crate::error::QueryError;
use crate::eval::query::{Query, input_rows};
use crate::fact::{Fact, FactChange, Mark};
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
pub(super) struct Derived {
    lifted: Query,
    support: Query,
    pub(super) window: Option<Widened>,
}

impl Derived {
    fn of(query: &Query) -> Result<Derived, QueryError> {
        let of_program = |errors| QueryError::Program { errors };
        let lifted = query.prepare_lifted().map_err(of_program)?;
        let support = lifted.prepare_support(None).map_err(of_program)?;
        let window = Widened::of(&lifted).map_err(of_program)?;
        Ok(Derived { lifted, support, window })
    }

    /// The query that gives the support up to an edge, or all of it, and what it takes for these
    /// inputs of the lifted query.
    pub(super) fn within(
        &self,
        edge: Option<&Value>,
        inputs: &[Input],
    ) -> Result<(&Query, Vec<Input>), QueryError> {
        let rows = input_rows(self.lifted.program(), inputs, INPUT_ROWS_MAX)?;
        let mut rows = rows.ok_or_else(|| QueryError::Input {
            message: format!("the inputs come to more than {INPUT_ROWS_MAX} rows"),
        })?;
        let bounded = edge.zip(self.window.as_ref());
        rows.iter_mut().for_each(|row| row.extend(bounded.map(|(edge, _)| edge.clone())));
        let query = bounded.map_or(&self.support, |(_, window)| &window.support);
        if takes_relation(self.lifted.program()) {
            return Ok((query, vec![Input::Relation(rows)]));
        }
        Ok((query, rows.into_iter().flatten().map(Input::Scalar).collect()))
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
        query.check_live()?;
        let derived = self.supports.of(query)?;
        let inputs = super::lifted_inputs(query, inputs)?;
        if derived.window.is_some() {
            return self.subscribe_bounded(tier, query, derived, inputs, budget, snapshot);
        }
        let (support, inputs) = derived.within(None, &inputs)?;
        self.subscribe(tier, support, &inputs, budget, snapshot)
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
        let inputs = super::lifted_inputs(self, inputs)?;
        let edge = match &derived.window {
            Some(window) => window.edge(snapshot, &inputs, budget)?,
            None => None,
        };
        let (support, inputs) = derived.within(edge.as_ref(), &inputs)?;
        let answer = support.run(snapshot, &inputs, budget)?;
        Ok(facts(&answer.rows, snapshot))
    }

    /// The last key of the order up to which a replica that holds the support may trust the rows
    /// that it finds: where the support of a query with `:limit` ends, in what the replica has
    /// confirmed. None where it may trust all.
    ///
    /// # Errors
    /// As [`Query::support`].
    pub fn support_edge(
        &self,
        snapshot: &Snapshot,
        inputs: &[Input],
        budget: &Budget,
    ) -> Result<Option<Value>, QueryError> {
        if self.raw().limit.is_none() {
            return Ok(None);
        }
        let lifted = self.prepare_lifted();
        let window = lifted.and_then(|lifted| Widened::of(&lifted));
        match window.map_err(|errors| QueryError::Program { errors })? {
            Some(window) => window.edge(snapshot, &super::lifted_inputs(self, inputs)?, budget),
            None => Ok(None),
        }
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
    let is_stamp = |change: &&FactChange| change.before.is_some() && change.after.is_some();
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

//! From bindings to the rows of an answer: projection, aggregates, `:having`, order, window.
//!
//! Aggregates run over the set of distinct tuples of find and `:with` variables, grouped by the
//! elements that are no aggregates. Nothing gives no rows, but a scalar `count` or `sum` of
//! nothing is 0. Rows are ordered by `:order-by` and then by the whole row; `:after` keeps what
//! lies strictly behind its key, then rows are skipped, then counted. A pull stands for its
//! entity in the set, in `:having` and in `:after`: two entities that show the same are two rows.
//! It is ordered by what it shows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::answer::{Output, Row};
use tercet_engine::ids::Name;
use tercet_engine::program::raw::{
    FindForm, RawFindElement, RawHaving, RawHavingTerm, RawOrder, RawProgram,
};
use tercet_engine::value::Value;

use super::eval::Binding;
use super::merge::Facts;
use super::{aggregate, functions, pull};

/// The rows of an answer.
pub fn find(frame: &RawProgram, bindings: BTreeSet<Binding>, facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::from_iter(project(frame, &bindings));
    rows.retain(|row| frame.having.iter().all(|having| passes(having, row)));
    if !frame.after.is_empty() {
        rows.retain(|row| is_after(frame, row));
    }
    let mut rows = Vec::from_iter(rows.into_iter().map(|row| show(frame, row, facts)));
    rows.sort_by(|a, b| compare(&frame.order_by, a, b).then_with(|| a.cmp(b)));
    let rows = rows.into_iter().skip(frame.offset as usize);
    rows.take(frame.limit.map_or(usize::MAX, |limit| limit as usize)).collect()
}

/// The row with every pull in the place of its entity.
fn show(frame: &RawProgram, row: Row, facts: &Facts) -> Row {
    let cells = frame.find.iter().zip(row).map(|(element, cell)| match (element, cell) {
        (RawFindElement::Pull { pattern, .. }, Output::Value(entity)) => {
            pull::pull(&frame.pulls, *pattern, &entity, facts)
        }
        (_, cell) => cell,
    });
    cells.collect()
}

fn variable(element: &RawFindElement) -> &Name {
    match element {
        RawFindElement::Variable(variable)
        | RawFindElement::Aggregate { variable, .. }
        | RawFindElement::Pull { variable, .. } => variable,
    }
}

/// The variables that a query's clauses must bind.
pub fn wanted(frame: &RawProgram) -> BTreeSet<Name> {
    frame.find.iter().map(variable).chain(&frame.with).cloned().collect()
}

fn is_aggregate(element: &RawFindElement) -> bool {
    matches!(element, RawFindElement::Aggregate { .. })
}

fn project(frame: &RawProgram, bindings: &BTreeSet<Binding>) -> BTreeSet<Row> {
    let wanted = frame.find.iter().map(variable).chain(&frame.with).collect::<Vec<_>>();
    let tuple = |row: &Binding| wanted.iter().map(|name| row[*name].clone()).collect::<Vec<_>>();
    let tuples = bindings.iter().map(tuple).collect::<BTreeSet<Vec<Value>>>();

    let mut groups = BTreeMap::<Vec<Value>, Vec<Vec<Value>>>::new();
    for tuple in tuples {
        let keys = frame.find.iter().zip(&tuple).filter(|(element, _)| !is_aggregate(element));
        let key = keys.map(|(_, value)| value.clone()).collect();
        groups.entry(key).or_default().push(tuple);
    }
    if groups.is_empty() && frame.find_form == FindForm::Scalar {
        return frame.find.iter().filter_map(of_nothing).map(|output| vec![output]).collect();
    }
    groups.values().filter_map(|group| group_row(frame, group)).collect()
}

/// The scalar `count`, `count-distinct` or `sum` of nothing.
fn of_nothing(element: &RawFindElement) -> Option<Output> {
    match element {
        RawFindElement::Aggregate { function, .. } => {
            let counts = ["count", "count-distinct", "sum"].contains(&function.as_str());
            counts.then(|| Output::Value(Value::int(0)))
        }
        RawFindElement::Variable(_) | RawFindElement::Pull { .. } => None,
    }
}

fn group_row(frame: &RawProgram, group: &[Vec<Value>]) -> Option<Row> {
    let output = |(index, element): (usize, &RawFindElement)| match element {
        RawFindElement::Variable(_) | RawFindElement::Pull { .. } => {
            Some(Output::Value(group[0][index].clone()))
        }
        RawFindElement::Aggregate { function, n, .. } => {
            let bag = group.iter().map(|tuple| tuple[index].clone()).collect::<Vec<_>>();
            aggregate::aggregate(function.as_str(), n.as_ref().map(as_count), &bag)
        }
    };
    frame.find.iter().enumerate().map(output).collect()
}

fn as_count(n: &Value) -> usize {
    match n {
        Value::Number(n) => n.as_i64().and_then(|n| usize::try_from(n).ok()).expect("a count"),
        _ => panic!("{n} is no count"),
    }
}

fn passes(having: &RawHaving, row: &Row) -> bool {
    let value = |term: &RawHavingTerm| match term {
        RawHavingTerm::Constant(value) => Some(value.clone()),
        RawHavingTerm::Element(index) => match &row[*index as usize] {
            Output::Value(value) => Some(value.clone()),
            Output::List(_) | Output::Tree(_) => None,
        },
    };
    let args = having.args.iter().map(value).collect::<Option<Vec<_>>>();
    args.is_some_and(|args| functions::holds(having.function.as_str(), &args))
}

fn compare(order: &[RawOrder], a: &Row, b: &Row) -> Ordering {
    let keys = order.iter().map(|key| {
        let ordering = a[key.element as usize].cmp(&b[key.element as usize]);
        if key.descending { ordering.reverse() } else { ordering }
    });
    keys.fold(Ordering::Equal, Ordering::then)
}

fn is_after(frame: &RawProgram, row: &Row) -> bool {
    assert_eq!(frame.after.len(), frame.order_by.len(), "one value for each key");
    let mut boundary = row.clone();
    for (key, value) in frame.order_by.iter().zip(&frame.after) {
        boundary[key.element as usize] = Output::Value(value.clone());
    }
    compare(&frame.order_by, row, &boundary).is_gt()
}

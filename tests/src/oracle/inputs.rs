//! Arguments: the bindings a query starts from, and which strings among them are ids.
//!
//! A string given for an entity is its id. A variable of the query stands for an entity when it is
//! in entity position somewhere in the query, nested clauses included, or is pulled; an argument of
//! a rule is in entity position when its head variable is, in any definition of the rule. All
//! other strings are strings.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::ids::{EntityId, Name};
use tercet_engine::program::raw::{Input, RawFindElement, RawInput, RawTerm};
use tercet_engine::value::Value;

use super::eval::{Binding, NoAnswer, unify};
use crate::tree::{Clause, Names, Program, Rule, variables};

fn as_reference(value: Value) -> Value {
    match &value {
        Value::String(text) => EntityId::new(text.clone()).map_or(value, Value::Ref),
        _ => value,
    }
}

pub(super) fn input_variables(inputs: &[RawInput]) -> Names {
    let mut names = Names::new();
    for input in inputs {
        match input {
            RawInput::Scalar(name) | RawInput::Collection(name) => names.extend([name.clone()]),
            RawInput::Tuple(parts) | RawInput::Relation(parts) => {
                names.extend(parts.iter().flatten().cloned());
            }
            RawInput::Rules => {}
        }
    }
    names
}

/// The bindings that the arguments stand for: every combination of their rows.
pub(super) fn seeds(program: &Program, inputs: &[Input]) -> Result<BTreeSet<Binding>, NoAnswer> {
    let entities = query_entities(program);
    let mut seeds = BTreeSet::from([Binding::new()]);
    let shapes = program.frame.inputs.iter().filter(|input| **input != RawInput::Rules);
    assert_eq!(shapes.clone().count(), inputs.len(), "one argument for each input");
    for (shape, input) in shapes.zip(inputs) {
        let (names, rows) = match (shape, input) {
            (RawInput::Scalar(name), Input::Scalar(value)) => {
                (vec![Some(name.clone())], vec![vec![value.clone()]])
            }
            (RawInput::Collection(name), Input::Collection(values)) => {
                let rows = values.iter().map(|value| vec![value.clone()]);
                (vec![Some(name.clone())], rows.collect())
            }
            (RawInput::Tuple(names), Input::Tuple(values)) => (names.clone(), vec![values.clone()]),
            (RawInput::Relation(names), Input::Relation(rows)) => (names.clone(), rows.clone()),
            _ => panic!("{input:?} does not fit {shape:?}"),
        };
        let term = |name: &Option<Name>| name.clone().map_or(RawTerm::Blank, RawTerm::Variable);
        let terms = names.iter().map(term).collect::<Vec<_>>();
        let mut next = BTreeSet::new();
        for row in &rows {
            let coerce = |(name, value): (&Option<Name>, &Value)| match name {
                Some(name) if entities.contains(name) => as_id(value),
                _ => Ok(value.clone()),
            };
            let values = names.iter().zip(row).map(coerce).collect::<Result<Vec<_>, _>>()?;
            next.extend(seeds.iter().filter_map(|seed| unify(seed, &terms, &values)));
        }
        seeds = next;
    }
    Ok(seeds)
}

/// A string given for an entity is its id.
fn as_id(value: &Value) -> Result<Value, NoAnswer> {
    match as_reference(value.clone()) {
        Value::String(_) => Err(NoAnswer::NotAnId),
        value => Ok(value),
    }
}

/// For each rule, the positions of its head that stand for entities.
pub(super) type EntityPositions = BTreeMap<Name, BTreeSet<usize>>;

/// An argument of a rule stands in entity position when, in any definition of the rule, its head
/// variable does, directly or as an argument of another rule.
pub(super) fn entity_positions(rules: &[Rule]) -> EntityPositions {
    let mut positions = EntityPositions::new();
    loop {
        let before = positions.clone();
        for rule in rules {
            let entities = entity_variables(&rule.body, &before);
            let heads = rule.head.iter().enumerate().filter(|(_, name)| entities.contains(*name));
            let found = positions.entry(rule.name.clone()).or_default();
            found.extend(heads.map(|(position, _)| position));
        }
        if positions == before {
            return positions;
        }
    }
}

/// The variables that stand in entity position somewhere in a conjunction.
fn entity_variables(body: &[Clause], positions: &EntityPositions) -> Names {
    let mut names = Names::new();
    for clause in body {
        let terms = match clause {
            Clause::Pattern { entity, .. } => vec![entity],
            Clause::Predicate { function, args } if function.as_str() == "missing?" => {
                vec![&args[0]]
            }
            Clause::Function { function, args, .. } if function.as_str() == "get-else" => {
                vec![&args[0]]
            }
            Clause::Rule { rule, args } => {
                positions.get(rule).into_iter().flatten().map(|position| &args[*position]).collect()
            }
            _ => Vec::new(),
        };
        names.extend(terms.into_iter().flat_map(|t| variables(std::slice::from_ref(t))).cloned());
        names.extend(clause.bodies().iter().flat_map(|body| entity_variables(body, positions)));
    }
    names
}

/// The variables of a query that stand for entities.
fn query_entities(program: &Program) -> Names {
    let pulled = program.frame.find.iter().filter_map(|element| match element {
        RawFindElement::Pull { variable, .. } => Some(variable.clone()),
        RawFindElement::Variable(_) | RawFindElement::Aggregate { .. } => None,
    });
    let positions = entity_positions(&program.rules);
    pulled.chain(entity_variables(&program.body, &positions)).collect()
}

/// A string constant in entity position is an id.
pub(super) fn as_entity(term: &RawTerm) -> RawTerm {
    match term {
        RawTerm::Constant(value) => RawTerm::Constant(as_reference(value.clone())),
        _ => term.clone(),
    }
}

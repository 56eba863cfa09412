//! Programs that must answer as another one does.
//!
//! Each changes how a program is written and not what it means; an engine that lets one change the
//! answer is wrong without any oracle having to say what is right.

use std::collections::BTreeMap;

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{RawFindElement, RawInput, RawTerm};
use tercet_engine::value::Value;

use super::program::{Case, shuffle_all};
use crate::random::Random;
use crate::tree::{Clause, Names, Program, Rule, variables};

/// A few variants of a case, each with what was done to it.
pub fn variants(random: &mut Random, case: &Case) -> Vec<(&'static str, Case)> {
    let mut permuted = case.clone();
    shuffle_all(random, &mut permuted.program.body);
    random.shuffle(&mut permuted.program.rules);
    for rule in &mut permuted.program.rules {
        shuffle_all(random, &mut rule.body);
    }
    vec![
        ("clauses and rules permuted", permuted.clone()),
        ("variables renamed", renamed(case)),
        ("a clause repeated", with_program(case, repeated(random, &case.program))),
        ("the body behind a rule", with_program(case, behind_a_rule(&permuted.program))),
        ("parted by a predicate", with_program(case, parted(random, &case.program))),
    ]
}

fn with_program(case: &Case, program: Program) -> Case {
    Case { program, inputs: case.inputs.clone() }
}

/// New names whose order is the old one backwards.
fn renamed(case: &Case) -> Case {
    let mut case = case.clone();
    let mut new_names = BTreeMap::new();
    let mut rename = |name: &mut Name| {
        let n = 999_999 - new_names.len();
        let new = new_names.entry(name.clone());
        *name = new.or_insert_with(|| Name::new(format!("w{n}")).expect("short")).clone();
    };
    let frame = &mut case.program.frame;
    for element in &mut frame.find {
        match element {
            RawFindElement::Variable(variable)
            | RawFindElement::Aggregate { variable, .. }
            | RawFindElement::Pull { variable, .. } => rename(variable),
        }
    }
    frame.with.iter_mut().for_each(&mut rename);
    for input in &mut frame.inputs {
        match input {
            RawInput::Scalar(name) | RawInput::Collection(name) => rename(name),
            RawInput::Tuple(names) | RawInput::Relation(names) => {
                names.iter_mut().flatten().for_each(&mut rename);
            }
            RawInput::Rules => {}
        }
    }
    rename_body(&mut case.program.body, &mut rename);
    for rule in &mut case.program.rules {
        rule.head.iter_mut().for_each(&mut rename);
        rename_body(&mut rule.body, &mut rename);
    }
    case
}

fn rename_body(body: &mut [Clause], rename: &mut impl FnMut(&mut Name)) {
    for clause in body {
        for term in clause.terms_mut() {
            if let RawTerm::Variable(name) = term {
                rename(name);
            }
        }
        match clause {
            Clause::Not { join: Some(join), .. } => join.iter_mut().for_each(&mut *rename),
            Clause::Or { join, required, .. } => {
                join.iter_mut().flatten().chain(required).for_each(&mut *rename);
            }
            _ => {}
        }
        for inner in clause.bodies_mut() {
            rename_body(inner, rename);
        }
    }
}

/// Blanks stay blanks, so a repeated clause says nothing new.
fn repeated(random: &mut Random, program: &Program) -> Program {
    let mut program = program.clone();
    if let Some(index) = program.body.len().checked_sub(1) {
        let clause = program.body[random.below(index + 1)].clone();
        program.body.push(clause);
    }
    program
}

fn find_variables(program: &Program) -> Names {
    let found = program.frame.find.iter().map(|element| match element {
        RawFindElement::Variable(variable)
        | RawFindElement::Aggregate { variable, .. }
        | RawFindElement::Pull { variable, .. } => variable,
    });
    found.chain(&program.frame.with).cloned().collect()
}

fn input_variables(program: &Program) -> Names {
    let names = program.frame.inputs.iter().flat_map(|input| match input {
        RawInput::Scalar(name) | RawInput::Collection(name) => vec![name.clone()],
        RawInput::Tuple(names) | RawInput::Relation(names) => {
            names.iter().flatten().cloned().collect()
        }
        RawInput::Rules => Vec::new(),
    });
    names.collect()
}

/// `:where (body …)` with one more rule; inputs become its required variables.
fn behind_a_rule(program: &Program) -> Program {
    let mut program = program.clone();
    let given = input_variables(&program);
    let found = find_variables(&program).difference(&given).cloned().collect::<Vec<_>>();
    let head = given.iter().cloned().chain(found).collect::<Vec<_>>();
    if head.is_empty() {
        return program;
    }
    let name = Name::new("body").expect("short");
    let args = head.iter().cloned().map(RawTerm::Variable).collect();
    let call = vec![Clause::Rule { rule: name.clone(), args }];
    let body = std::mem::replace(&mut program.body, call);
    program.rules.push(Rule { name, n_required: given.len(), head, body });
    program
}

/// `(or [(= ?x c)] [(!= ?x c)])` holds for every `?x`.
fn parted(random: &mut Random, program: &Program) -> Program {
    let mut program = program.clone();
    let names = find_variables(&program).into_iter().collect::<Vec<_>>();
    let terms = [
        RawTerm::Variable(random.pick(&names).clone()),
        RawTerm::Constant(Value::int(random.below(3) as i64)),
    ];
    debug_assert_eq!(variables(&terms).count(), 1);
    let branch = |function: &str| {
        let function = Name::new(function).expect("short");
        vec![Clause::Predicate { function, args: terms.to_vec() }]
    };
    let branches = vec![branch("="), branch("!=")];
    program.body.push(Clause::Or { join: None, required: Vec::new(), branches });
    program
}

//! What a smaller failing trial may be: everything that can be left out of one, a piece at a time.
//!
//! Facts go first, in halves and then one by one, because a case with few facts is judged fast.
//! A smaller program may be invalid; the oracle then says nothing of it and it is passed over.

use tercet_engine::program::raw::Input;

use crate::generate::program::Case;
use crate::minimize::shorter;
use crate::subject::Trial;
use crate::tree::{Clause, Program};

/// The trials that are a step smaller: a fact, clause, rule or part of the query left out.
pub(crate) fn smaller(trial: &Trial) -> Vec<Trial> {
    let programs = smaller_programs(&trial.case.program).into_iter().map(|program| Trial {
        case: Case { program, inputs: trial.case.inputs.clone() },
        ..trial.clone()
    });
    let fewer_rows = fewer_input_rows(&trial.case.inputs).into_iter().map(|inputs| Trial {
        case: Case { program: trial.case.program.clone(), inputs },
        ..trial.clone()
    });
    let fewer_orders = shorter(&trial.orders).into_iter();
    let fewer_orders = fewer_orders.map(|orders| Trial { orders, ..trial.clone() });
    let databases = shorter(&trial.transactions).into_iter();
    let fewer_ops = trial.transactions.iter().enumerate().flat_map(|(index, transaction)| {
        shorter(&transaction.ops).into_iter().map(move |ops| {
            let mut transactions = trial.transactions.clone();
            transactions[index].ops = ops;
            transactions
        })
    });
    let databases = databases.chain(fewer_ops);
    let databases = databases.map(|transactions| Trial { transactions, ..trial.clone() });
    databases.chain(programs).chain(fewer_rows).chain(fewer_orders).collect()
}

/// The inputs with a row of one of them left out.
pub(crate) fn fewer_input_rows(inputs: &[Input]) -> Vec<Vec<Input>> {
    let fewer = |input: &Input| match input {
        Input::Scalar(_) | Input::Tuple(_) => Vec::new(),
        Input::Collection(values) => shorter(values).into_iter().map(Input::Collection).collect(),
        Input::Relation(rows) => shorter(rows).into_iter().map(Input::Relation).collect(),
    };
    let with = |(index, input): (usize, &Input)| {
        let replace = |input| {
            let mut inputs = inputs.to_vec();
            inputs[index] = input;
            inputs
        };
        fewer(input).into_iter().map(replace).collect::<Vec<_>>()
    };
    inputs.iter().enumerate().flat_map(with).collect()
}

pub(crate) fn smaller_programs(program: &Program) -> Vec<Program> {
    let mut programs = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Program)| {
        let mut smaller = program.clone();
        change(&mut smaller);
        if smaller != *program {
            programs.push(smaller);
        }
    };
    for body in smaller_bodies(&program.body) {
        offer(&|program| program.body = body.clone());
    }
    for index in 0..program.rules.len() {
        offer(&|program| drop(program.rules.remove(index)));
        for body in smaller_bodies(&program.rules[index].body) {
            offer(&|program| program.rules[index].body = body.clone());
        }
    }
    offer(&|program| program.frame.after.clear());
    offer(&|program| program.frame.limit = None);
    offer(&|program| program.frame.offset = 0);
    offer(&|program| program.frame.having.clear());
    offer(&|program| program.frame.with.clear());
    offer(&|program| program.frame.find_form = Default::default());
    offer(&|program| {
        program.frame.after.clear();
        program.frame.order_by.clear();
    });
    if program.frame.order_by.is_empty() && program.frame.having.is_empty() {
        for index in 0..program.frame.find.len() {
            offer(&|program| drop(program.frame.find.remove(index)));
        }
    }
    for pull in 0..program.frame.pulls.len() {
        for item in 0..program.frame.pulls[pull].items.len() {
            offer(&|program| drop(program.frame.pulls[pull].items.remove(item)));
        }
    }
    // What the text cannot say would fail in another way than the trial does.
    programs.retain(|program| {
        !program.frame.find.is_empty()
            && program.frame.pulls.iter().all(|pull| !pull.items.is_empty())
            && program.rules.iter().all(|rule| !rule.body.is_empty())
    });
    programs
}

/// Conjunctions with a clause left out, or with a smaller one inside a clause.
fn smaller_bodies(body: &[Clause]) -> Vec<Vec<Clause>> {
    let mut bodies = Vec::new();
    for index in 0..body.len() {
        let mut without = body.to_vec();
        without.remove(index);
        bodies.push(without);
        for (inner, nested) in body[index].bodies().iter().enumerate() {
            for nested in smaller_bodies(nested).into_iter().filter(|body| !body.is_empty()) {
                let mut smaller = body.to_vec();
                smaller[index].bodies_mut()[inner] = nested;
                bodies.push(smaller);
            }
        }
        if let Clause::Or { branches, .. } = &body[index] {
            for branch in 0..branches.len() {
                let mut smaller = body.to_vec();
                if let Clause::Or { branches, .. } = &mut smaller[index]
                    && branches.len() > 1
                {
                    branches.remove(branch);
                    bodies.push(smaller);
                }
            }
        }
    }
    bodies
}

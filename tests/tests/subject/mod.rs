//! The engine as the tests see it: transactions and a program in, rows out.
//!
//! The one place of the tests that evaluates with the engine; everything else of these tests knows
//! rows only. A disagreement with the oracle is made small here and told in text.

use tercet_engine::answer::Row;
use tercet_engine::db::Query;
use tercet_engine::fact::Transaction;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, Store};
use tercet_tests::generate::program::Case;
use tercet_tests::minimize::{catch, minimize, shorter};
use tercet_tests::oracle::eval::answer;
use tercet_tests::oracle::merge::History;
use tercet_tests::text::{print_facts, print_rows};
use tercet_tests::tree::{Clause, Program, flatten};

/// A program that the engine refuses, with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refused(pub String);

/// The checked form of a program.
pub(crate) fn prepare(program: &Program) -> Result<Query, Refused> {
    Query::prepare(flatten(program)).map_err(|errors| {
        let errors = errors.iter().map(|e| format!("{:?} {}: {e}", e.place, e.code));
        Refused(errors.collect::<Vec<_>>().join("\n"))
    })
}

/// What the engine answers.
pub(crate) fn run(
    query: &Query,
    snapshot: &Snapshot,
    inputs: &[Input],
) -> Result<Vec<Row>, Refused> {
    let answer = query.run(snapshot, inputs, &Budget::unlimited());
    answer.map(|answer| answer.rows.to_vec()).map_err(|error| Refused(error.to_string()))
}

/// What the engine answers when it evaluates goals in an order drawn from a seed, or in its own.
fn run_in_order(
    query: &Query,
    snapshot: &Snapshot,
    inputs: &[Input],
    seed: Option<u64>,
) -> Result<Vec<Row>, Refused> {
    let Some(seed) = seed else { return run(query, snapshot, inputs) };
    let answer = query.run_with_order_seed(snapshot, inputs, &Budget::unlimited(), seed);
    answer.map(|answer| answer.rows.to_vec()).map_err(|error| Refused(error.to_string()))
}

/// The store that holds some transactions.
pub(crate) fn store(transactions: &[Transaction]) -> Store {
    let mut store = Store::new();
    for transaction in transactions {
        store.apply(transaction);
    }
    store
}

/// How the engine and the oracle compare on a case.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Agree,
    /// The case is not valid, or too much for the oracle: it says nothing.
    Void,
    Differ {
        engine: Vec<Row>,
        oracle: Vec<Row>,
    },
    Refuse(String),
    Panic(String),
}

/// A database and a program on it.
#[derive(Debug, Clone)]
struct Trial {
    transactions: Vec<Transaction>,
    case: Case,
}

fn judge(trial: &Trial) -> Verdict {
    let Case { program, inputs } = &trial.case;
    let facts = History::of(&trial.transactions).visible();
    let Ok(Ok(oracle)) = catch(|| answer(program, &facts, inputs)) else {
        return Verdict::Void;
    };
    let snapshot = store(&trial.transactions).snapshot();
    let orders = [None, Some(0), Some(facts.len() as u64)];
    for order in orders {
        match catch(|| run_in_order(&prepare(program)?, &snapshot, inputs, order)) {
            Ok(Ok(engine)) if engine == oracle => {}
            Ok(Ok(engine)) => return Verdict::Differ { engine, oracle },
            Ok(Err(Refused(why))) => return Verdict::Refuse(why),
            Err(message) => return Verdict::Panic(message),
        }
    }
    Verdict::Agree
}

/// Checks that the engine answers a case as the oracle does.
///
/// # Panics
/// When it does not, with a small case that shows it.
#[expect(clippy::allow_attributes, reason = "not every test binary uses every item")]
#[allow(dead_code)]
pub(crate) fn check_case(transactions: &[Transaction], case: &Case, what: &str) {
    let trial = Trial { transactions: transactions.to_vec(), case: case.clone() };
    let verdict = judge(&trial);
    if matches!(verdict, Verdict::Agree | Verdict::Void) {
        return;
    }
    let alike = |other: &Verdict| std::mem::discriminant(other) == std::mem::discriminant(&verdict);
    let small = minimize(trial, smaller, |trial| alike(&judge(trial)));
    panic!("{what}\n{}", tell(&small));
}

fn tell(trial: &Trial) -> String {
    let facts = print_facts(&History::of(&trial.transactions).visible());
    let program = print_program(&trial.case.program);
    let outcome = match judge(trial) {
        Verdict::Differ { engine, oracle } => {
            format!("-- engine\n{}-- oracle\n{}", print_rows(&engine), print_rows(&oracle))
        }
        Verdict::Refuse(why) => format!("-- engine refuses\n{why}\n"),
        Verdict::Panic(why) => format!("-- engine panics\n{why}\n"),
        Verdict::Agree | Verdict::Void => String::from("-- it does not happen again\n"),
    };
    let inputs = &trial.case.inputs;
    format!("-- facts\n{facts}-- query\n{program}\n-- inputs {inputs:?}\n{outcome}")
}

/// The program as people write it.
pub(crate) fn print_program(program: &Program) -> String {
    tercet_query_lang::print(&flatten(program))
}

fn smaller(trial: &Trial) -> Vec<Trial> {
    let programs = smaller_programs(&trial.case.program).into_iter().map(|program| Trial {
        transactions: trial.transactions.clone(),
        case: Case { program, inputs: trial.case.inputs.clone() },
    });
    let databases = shorter(&trial.transactions).into_iter();
    let fewer_ops = trial.transactions.iter().enumerate().flat_map(|(index, transaction)| {
        shorter(&transaction.ops).into_iter().map(move |ops| {
            let mut transactions = trial.transactions.clone();
            transactions[index].ops = ops;
            transactions
        })
    });
    let databases = databases.chain(fewer_ops);
    let databases = databases.map(|transactions| Trial { transactions, case: trial.case.clone() });
    programs.chain(databases).collect()
}

fn smaller_programs(program: &Program) -> Vec<Program> {
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
    programs.retain(|program| !program.frame.find.is_empty());
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

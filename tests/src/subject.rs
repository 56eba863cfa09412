//! The engine as the tests see it: transactions and a program in, rows out.
//!
//! The one file of this library that evaluates with the engine; everything else of it knows rows
//! only. A [`Trial`] is judged by the oracle in the planner's order and in drawn ones; a
//! disagreement is made small (`shrink`) and told in text.

use crate::generate::program::Case;
use crate::minimize::{catch, minimize};
use crate::oracle::eval::answer;
use crate::oracle::merge::{Facts, History, additions};
use crate::shrink::smaller;
use crate::text::{print_facts, print_rows};
use crate::tree::{Program, flatten, lift};
use tercet_engine::answer::Row;
use tercet_engine::db::Query;
use tercet_engine::error::QueryError;
use tercet_engine::fact::Transaction;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, Store};

/// A program that the engine refuses, with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused(
    /// The reasons, one a line.
    pub String,
);

/// The checked form of a program.
///
/// # Errors
/// When the engine refuses it.
pub fn prepare(program: &Program) -> Result<Query, Refused> {
    Query::prepare(flatten(program)).map_err(|errors| {
        let errors = errors.iter().map(|e| format!("{:?} {}: {e}", e.place, e.code));
        Refused(errors.collect::<Vec<_>>().join("\n"))
    })
}

/// What the engine answers.
///
/// # Errors
/// When it refuses the inputs, or its own order takes more work than a question that the oracle
/// can answer is worth.
pub fn run(query: &Query, snapshot: &Snapshot, inputs: &[Input]) -> Result<Vec<Row>, Refused> {
    let budget = Budget { rows: Some(50_000_000), bytes: Some(2 << 30), ..Budget::unlimited() };
    let answer = query.run(snapshot, inputs, &budget);
    answer.map(|answer| answer.rows.to_vec()).map_err(|error| Refused(error.to_string()))
}

/// What the engine answers when it evaluates goals in an order drawn from a seed, or in its own.
/// None where a drawn order is too much work: most orders of a long body are bad ones.
fn run_in_order(
    query: &Query,
    snapshot: &Snapshot,
    inputs: &[Input],
    seed: Option<u64>,
) -> Result<Option<Vec<Row>>, Refused> {
    let Some(seed) = seed else { return run(query, snapshot, inputs).map(Some) };
    let budget = Budget { rows: Some(2_000_000), bytes: Some(256 << 20), ..Budget::unlimited() };
    match query.run_with_order_seed(snapshot, inputs, &budget, seed) {
        Ok(answer) => Ok(Some(answer.rows.to_vec())),
        Err(QueryError::Budget { .. }) => Ok(None),
        Err(error) => Err(Refused(error.to_string())),
    }
}

/// The store that holds some transactions.
pub fn store(transactions: &[Transaction]) -> Store {
    let mut store = Store::new();
    for transaction in transactions {
        store.apply(transaction);
    }
    store
}

/// How the engine and the oracle compare on a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The engine answers what the oracle says, in every order tried.
    Agree,
    /// The case is not valid, or too much for the oracle: it says nothing.
    Void,
    /// They answer differently.
    Differ {
        /// The engine's rows.
        engine: Vec<Row>,
        /// The oracle's rows.
        oracle: Vec<Row>,
        /// The drawn order, if it was not the planner's.
        order: Option<u64>,
    },
    /// The engine refuses the program or the inputs.
    Refuse(String),
    /// The engine panics.
    Panic(String),
    /// The printed program cannot be read back.
    Reread(String),
}

/// A database, a program on it, and the orders of evaluation to try.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What makes the database.
    pub transactions: Vec<Transaction>,
    /// What is asked.
    pub case: Case,
    /// Seeds of orders that are tried beside the planner's own, with the program read back from
    /// its text.
    pub orders: Vec<u64>,
}

impl Trial {
    /// How engine and oracle compare.
    pub fn judge(&self) -> Verdict {
        let Case { program, inputs } = &self.case;
        let facts = visible(&self.transactions);
        match catch(|| answer(program, &facts, inputs)) {
            Ok(Ok(oracle)) => self.compare(&oracle),
            _ => Verdict::Void,
        }
    }

    /// How the engine compares with these rows.
    pub fn compare(&self, oracle: &[Row]) -> Verdict {
        let Case { program, inputs } = &self.case;
        let reread = match reread(program) {
            Ok(program) => program,
            Err(report) => return Verdict::Reread(report),
        };
        let snapshot = store(&self.transactions).snapshot();
        let drawn = self.orders.iter().map(|seed| (&reread, Some(*seed)));
        for (program, order) in std::iter::once((program, None)).chain(drawn) {
            match catch(|| run_in_order(&prepare(program)?, &snapshot, inputs, order)) {
                Ok(Ok(None)) => {}
                Ok(Ok(Some(engine))) if engine == oracle => {}
                Ok(Ok(Some(engine))) => {
                    return Verdict::Differ { engine, oracle: oracle.to_vec(), order };
                }
                Ok(Err(Refused(why))) => return Verdict::Refuse(why),
                Err(message) => return Verdict::Panic(message),
            }
        }
        Verdict::Agree
    }

    /// A small trial that goes wrong in the same way, and what is wrong with it, as text.
    pub fn explain(self) -> String {
        let verdict = self.judge();
        let alike =
            |other: &Verdict| std::mem::discriminant(other) == std::mem::discriminant(&verdict);
        let small = minimize(self, smaller, |trial| alike(&trial.judge()));
        tell(&small)
    }
}

/// The facts that transactions leave visible.
pub fn visible(transactions: &[Transaction]) -> Facts {
    additions(transactions).unwrap_or_else(|| History::of(transactions).visible())
}

/// The program that the printed program reads back as: another way to write the same.
fn reread(program: &Program) -> Result<Program, String> {
    let parsed = tercet_query_lang::parse(&print_program(program));
    parsed.map(|parsed| lift(&parsed.raw)).map_err(|report| report.to_string())
}

/// Checks that the engine answers a case as the oracle does, in the planner's order and in two
/// others.
///
/// # Panics
/// When it does not, with a small case that shows it.
pub fn check_case(transactions: &[Transaction], case: &Case, what: &str) {
    let orders = vec![0, transactions.len() as u64];
    let trial = Trial { transactions: transactions.to_vec(), case: case.clone(), orders };
    if !matches!(trial.judge(), Verdict::Agree | Verdict::Void) {
        panic!("{what}\n{}", trial.explain());
    }
}

fn tell(trial: &Trial) -> String {
    let facts = print_facts(&visible(&trial.transactions));
    let program = print_program(&trial.case.program);
    let outcome = match trial.judge() {
        Verdict::Differ { engine, oracle, order } => {
            let order = order.map_or(String::new(), |seed| format!(", in the order of {seed}"));
            let (engine, oracle) = (print_rows(&engine), print_rows(&oracle));
            format!("-- engine{order}\n{engine}-- oracle\n{oracle}")
        }
        Verdict::Refuse(why) => format!("-- engine refuses\n{why}\n"),
        Verdict::Panic(why) => format!("-- engine panics\n{why}\n"),
        Verdict::Reread(why) => format!("-- text\n{why}\n"),
        Verdict::Agree | Verdict::Void => String::from("-- it does not happen again\n"),
    };
    let inputs = &trial.case.inputs;
    format!("-- facts\n{facts}-- query\n{program}\n-- inputs {inputs:?}\n{outcome}")
}

/// The program as people write it.
pub fn print_program(program: &Program) -> String {
    tercet_query_lang::print(&flatten(program))
}

//! One database and one question on it: what a seed of the fuzzer means.
//!
//! Most questions are grown freely (`program`). The others come from themes: families of questions
//! that an engine has a particular way of evaluating (closures, cyclic joins, stars, ranges,
//! windows, rules used several times), over data in which that way can go wrong. A question whose
//! evaluation is too much for the oracle is drawn again.

use tercet_engine::answer::Row;
use tercet_engine::fact::Transaction;

use super::program::{Case, case};
use super::{database, theme};
use crate::oracle::eval::answer;
use crate::oracle::merge::Facts;
use crate::random::Random;
use crate::subject::visible;

/// A database, a program on it, and what the oracle answers.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which family it is of.
    pub theme: &'static str,
    /// What makes the database.
    pub transactions: Vec<Transaction>,
    /// The facts that are visible then.
    pub facts: Facts,
    /// What is asked.
    pub case: Case,
    /// The right answer.
    pub rows: Vec<Row>,
}

/// A random question.
pub fn question(random: &mut Random) -> Question {
    loop {
        let (theme, transactions, case) = match random.chance(45) {
            true => grown(random),
            false => theme::draw(random),
        };
        let facts = visible(&transactions);
        if let Ok(rows) = answer(&case.program, &facts, &case.inputs) {
            return Question { theme, transactions, facts, case, rows };
        }
    }
}

fn grown(random: &mut Random) -> (&'static str, Vec<Transaction>, Case) {
    let transactions = database::database(random);
    let facts = visible(&transactions);
    let case = case(random, &facts);
    ("grown", transactions, case)
}

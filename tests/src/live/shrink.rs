//! What a smaller failing trial may be: steps, operations, questions and parts of programs left
//! out, one piece at a time.
//!
//! Questions and steps go first: a trial with few of them is judged fast, and most of a history has
//! nothing to do with what is wrong.

use tercet_engine::fact::Transaction;

use super::{Limits, Step, Trial};
use crate::generate::program::Case;
use crate::minimize::shorter;
use crate::shrink::{fewer_input_rows, smaller_programs};

/// The trials that are a step smaller.
pub(super) fn smaller(trial: &Trial) -> Vec<Trial> {
    let mut trials = Vec::new();
    if trial.limits != Limits::default() {
        trials.push(Trial { limits: Limits::default(), ..trial.clone() });
    }
    for question in 0..trial.questions.len() {
        trials.push(without_question(trial, question));
    }
    for steps in shorter(&trial.steps) {
        trials.push(Trial { steps, ..trial.clone() });
    }
    for start in fewer_ops(&trial.start) {
        trials.push(Trial { start, ..trial.clone() });
    }
    for (index, step) in trial.steps.iter().enumerate() {
        for step in smaller_steps(step) {
            let mut smaller = trial.clone();
            smaller.steps[index] = step;
            trials.push(smaller);
        }
    }
    for (index, case) in trial.questions.iter().enumerate() {
        for case in smaller_cases(case) {
            let mut smaller = trial.clone();
            smaller.questions[index] = case;
            trials.push(smaller);
        }
    }
    trials
}

fn without_question(trial: &Trial, gone: usize) -> Trial {
    let renumber = |question: usize| question - usize::from(question > gone);
    let steps = trial.steps.iter().filter_map(|step| match step {
        Step::Subscribe(question) | Step::Unsubscribe(question) | Step::Refresh(question)
            if *question == gone =>
        {
            None
        }
        Step::Refresh(question) => Some(Step::Refresh(renumber(*question))),
        Step::Subscribe(question) => Some(Step::Subscribe(renumber(*question))),
        Step::Unsubscribe(question) => Some(Step::Unsubscribe(renumber(*question))),
        other => Some(other.clone()),
    });
    let steps = steps.collect();
    let mut questions = trial.questions.clone();
    questions.remove(gone);
    Trial { limits: trial.limits, start: trial.start.clone(), questions, steps }
}

/// Lists of transactions with a transaction or an operation left out.
fn fewer_ops(transactions: &[Transaction]) -> Vec<Vec<Transaction>> {
    let mut lists = shorter(transactions);
    for (index, transaction) in transactions.iter().enumerate() {
        for ops in shorter(&transaction.ops) {
            let mut fewer = transactions.to_vec();
            fewer[index].ops = ops;
            lists.push(fewer);
        }
    }
    lists
}

fn smaller_steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Subscribe(_) | Step::Unsubscribe(_) | Step::Refresh(_) => Vec::new(),
        Step::Push(transaction) => {
            // What was pending may as well arrive.
            let arrived = vec![transaction.clone()];
            let fewer = shorter(&transaction.ops).into_iter();
            let fewer = fewer.map(|ops| Step::Push(Transaction { ops, ..transaction.clone() }));
            std::iter::once(Step::Publish { arrived, left: Vec::new() }).chain(fewer).collect()
        }
        Step::Publish { arrived, left } => {
            let fewer = fewer_ops(arrived).into_iter();
            let fewer = fewer.map(|arrived| Step::Publish { arrived, left: left.clone() });
            let stay = shorter(left).into_iter();
            let stay = stay.map(|left| Step::Publish { arrived: arrived.clone(), left });
            fewer.chain(stay).collect()
        }
    }
}

fn smaller_cases(case: &Case) -> Vec<Case> {
    let programs = smaller_programs(&case.program).into_iter();
    let programs = programs.map(|program| Case { program, inputs: case.inputs.clone() });
    let inputs = fewer_input_rows(&case.inputs).into_iter();
    let inputs = inputs.map(|inputs| Case { program: case.program.clone(), inputs });
    programs.chain(inputs).collect()
}

//! Random trials of live queries: a database, a few programs over it, and a history that hits what
//! the programs read.
//!
//! Programs are grown freely, taken from the themes, or made of the parts that live queries are
//! kept by (`theme/kept`); some are another program with other constants and arguments, so that
//! one shape has several instances. Databases are small, because the oracle follows every step.
//! The history (`changes`) is drawn from the facts there are and from what the programs mention.

use super::program::{Case, case};
use super::{database, theme};
use crate::live::{Fate, Limits, Step, Trial};
use crate::oracle::eval::answer;
use crate::oracle::merge::Facts;
use crate::random::Random;
use crate::subject::visible;
use changes::Changes;
use sibling::sibling;
use tercet_engine::db::LiveLimits;
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;

mod changes;
mod reads;
mod sibling;

/// Operations in most databases at most, and in any.
const OPS_MAX: [usize; 2] = [40, 150];

/// A random trial.
pub fn live(random: &mut Random) -> Trial {
    let (start, first) = beginning(random);
    let facts = visible(&start);
    let mut questions = vec![first];
    // Now and then a crowd of one shape; otherwise a few, of one shape or of several.
    let (n_more, alike_percent) =
        if random.chance(12) { (3 + random.below(5), 95) } else { (random.skewed(4), 55) };
    for _ in 0..n_more {
        let like = random.below(questions.len());
        let is_alike = random.chance(alike_percent);
        let another = |random: &mut Random| match random.below(100) {
            _ if is_alike => sibling(random, &questions[like], &facts),
            0..45 => case(random, &facts),
            _ => theme::kept::question(random),
        };
        let another = answered(random, &facts, another);
        questions.push(another);
    }
    let mut changes = Changes::new(&questions, &facts, start.len() as u64 * MS_APART);
    let limits = limits(random);
    let steps = steps(random, questions.len(), limits, &mut changes);
    Trial { limits, start, questions, steps }
}

/// A small database, questions on it, and operations without end that hit what they read.
pub struct Stream {
    /// What makes the database.
    pub start: Vec<Transaction>,
    /// What may be asked. Whether they have answers, and can be live, was not looked at.
    pub questions: Vec<Case>,
    changes: Changes,
}

/// A random stream; its questions are of one shape now and then.
pub fn stream(random: &mut Random, n_questions: usize) -> Stream {
    let (start, first) = match random.chance(25) {
        true => {
            let transactions = database::database(random);
            let case = case(random, &visible(&transactions));
            (transactions, case)
        }
        false => theme::kept::kept(random),
    };
    let start = apart(start);
    let facts = visible(&start);
    let mut questions = vec![first];
    while questions.len() < n_questions {
        let like = random.below(questions.len());
        questions.push(match random.below(100) {
            0..30 => sibling(random, &questions[like], &facts),
            30..50 => case(random, &facts),
            _ => theme::kept::question(random),
        });
    }
    questions.truncate(n_questions);
    let changes = Changes::new(&questions, &facts, start.len() as u64 * MS_APART);
    Stream { start, questions, changes }
}

impl Stream {
    /// The next few operations, made for one transaction.
    pub fn ops(&mut self, random: &mut Random) -> Vec<Op> {
        self.changes.transaction(random).ops
    }
}

/// A question that mostly has an answer: what has none seldom gets one. The last one drawn, if
/// none of some has one.
fn answered(random: &mut Random, facts: &Facts, mut draw: impl FnMut(&mut Random) -> Case) -> Case {
    let mut case = draw(random);
    for _ in 0..N_TRIES {
        if has_answer(&case, facts) || random.chance(12) {
            break;
        }
        case = draw(random);
    }
    case
}

fn has_answer(case: &Case, facts: &Facts) -> bool {
    answer(&case.program, facts, &case.inputs).is_ok_and(|rows| !rows.is_empty())
}

/// How often a question is drawn again until it has an answer.
const N_TRIES: usize = 6;

/// Drawn so that what is kept only of large results is kept of small ones; now and then so low
/// that deltas are given up and results become stale.
fn limits(random: &mut Random) -> Limits {
    let mut live = LiveLimits {
        hot_rows: if random.chance(60) { random.below(4) as u64 } else { 128 },
        margin: if random.chance(80) { random.skewed(12) } else { 1_000 },
        ..LiveLimits::default()
    };
    if random.chance(8) {
        live.lookups = random.skewed(60) as u64;
        live.reruns = if random.chance(40) { random.below(3) } else { live.reruns };
    }
    let rows = random.chance(6).then(|| 1 + random.skewed(80) as u64);
    Limits { live, rows }
}

/// Milliseconds between transactions: late ones fit in between.
const MS_APART: u64 = 10;

/// A small database and a question on it.
fn beginning(random: &mut Random) -> (Vec<Transaction>, Case) {
    let n_ops_max = OPS_MAX[usize::from(random.chance(8))];
    loop {
        let (transactions, case) = match random.below(100) {
            0..30 => {
                let transactions = database::database(random);
                let case = case(random, &visible(&transactions));
                (transactions, case)
            }
            30..50 => {
                let (_, transactions, case) = theme::draw(random);
                (transactions, case)
            }
            _ => theme::kept::kept(random),
        };
        let n_ops = transactions.iter().map(|it| it.ops.len()).sum::<usize>();
        let is_small = n_ops <= n_ops_max;
        if is_small && (has_answer(&case, &visible(&transactions)) || random.chance(5)) {
            return (apart(transactions), case);
        }
    }
}

/// Each transaction at its own time, with room for late ones between them.
fn apart(mut transactions: Vec<Transaction>) -> Vec<Transaction> {
    for (transaction, index) in transactions.iter_mut().zip(1..) {
        transaction.hlc = Hlc::new(index * MS_APART, 0, ReplicaId(1));
    }
    transactions
}

fn steps(
    random: &mut Random,
    n_questions: usize,
    limits: Limits,
    changes: &mut Changes,
) -> Vec<Step> {
    let n_publishes = 4 + random.below(7);
    let mut steps = Vec::new();
    for question in 0..n_questions {
        // Some come in the middle, all have come by then.
        if question == 0 || random.chance(75) {
            steps.push(Step::Subscribe(question));
        }
    }
    let is_client = random.chance(25);
    let mut pending = Vec::new();
    for index in 0..n_publishes {
        if index == n_publishes / 2 {
            let subscribed = |question: &usize| steps.contains(&Step::Subscribe(*question));
            let late = (0..n_questions).filter(|question| !subscribed(question));
            let late = late.map(Step::Subscribe).collect::<Vec<_>>();
            steps.extend(late);
        }
        let question = random.below(n_questions);
        match random.below(100) {
            0..4 => steps.push(Step::Unsubscribe(question)),
            4..11 => steps.push(Step::Subscribe(question)),
            11..40 if limits.are_low() => steps.push(Step::Refresh(question)),
            _ => {}
        }
        steps.push(match is_client && random.chance(45) {
            true => {
                let transaction = changes.transaction(random);
                pending.push(transaction.hlc.physical_ms());
                Step::Push(transaction)
            }
            false => publish(random, changes, &mut pending),
        });
    }
    steps
}

/// One publish, mostly of one transaction; pending ones leave now and then.
fn publish(random: &mut Random, changes: &mut Changes, pending: &mut Vec<u64>) -> Step {
    let mut left = Vec::new();
    while !pending.is_empty() && random.chance(50) {
        // Mostly in order, as servers acknowledge.
        let index = random.skewed(pending.len());
        let fate = if random.chance(70) { Fate::Confirmed } else { Fate::Rejected };
        left.push((pending.remove(index), fate));
    }
    let n_arrived = match random.below(100) {
        0..35 if !left.is_empty() => 0,
        0..78 => 1,
        78..94 => 2,
        _ => 4,
    };
    let arrived = (0..n_arrived).map(|_| changes.transaction(random)).collect();
    Step::Publish { arrived, left }
}

//! The law of live queries, as one case: a database, some programs, and what happens then.
//!
//! A [`Trial`] is a list of steps. After every publish and for every subscribed program, kept in
//! each tier, `judge` demands that *previous rows + delta = kept answer = the oracle's answer from
//! scratch*, that an update is told exactly when something changed, and that updates come in order
//! of instance. A trial that fails is made small (`shrink`) and told as a `script`, which is also
//! how regressions are written. `features` says what a program and a history are made of, so that
//! a run can show what it has tried.
//!
//! Trials also play the client: transactions that are pending over confirmed facts, and views that
//! are folded anew when one of them leaves, as the overlay of `sync` does.

pub mod features;
mod judge;
pub mod replica;
pub mod script;
mod shrink;
mod watched;
mod ways;
mod world;

pub use judge::{Report, Verdict, Watch, What, Wrong};
pub use ways::Kept;

use tercet_engine::db::LiveLimits;
use tercet_engine::fact::Transaction;

use crate::generate::live::live;
use crate::generate::program::Case;
use crate::minimize::minimize;
use crate::random::Random;

/// A database, programs over it, and a history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trial {
    /// What the engine may do.
    pub limits: Limits,
    /// What makes the database before anything is subscribed.
    pub start: Vec<Transaction>,
    /// What may be subscribed.
    pub questions: Vec<Case>,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What the engine may do, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// When it keeps what, and when it gives up on deltas.
    pub live: LiveLimits,
    /// Rows made by one evaluation at most. Results over it are told to be stale, which is right
    /// then.
    pub rows: Option<u64>,
}

impl Limits {
    /// Whether a step or an evaluation may be more work than is allowed.
    pub fn are_low(&self) -> bool {
        self.rows.is_some() || self.live.lookups != LiveLimits::default().lookups
    }
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The question of this index is subscribed, once more if it is already.
    Subscribe(usize),
    /// One user of the question leaves.
    Unsubscribe(usize),
    /// What is stale of the question is taken up again, if the limits allow it.
    Refresh(usize),
    /// One publish: transactions arrive, and pending ones leave. With pending transactions the
    /// view is folded anew.
    Publish {
        /// What becomes part of the confirmed facts, in order.
        arrived: Vec<Transaction>,
        /// Pending transactions that leave, by the millisecond of their stamp.
        left: Vec<(u64, Fate)>,
    },
    /// A transaction becomes pending: one publish.
    Push(Transaction),
}

/// Why a transaction is not pending any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the confirmed facts now, after those that arrive with it.
    Confirmed,
    /// It is gone.
    Rejected,
}

impl Trial {
    /// A small trial that goes wrong in the same way, and what is wrong with it, as text.
    pub fn explain(self, wrong: &Wrong) -> String {
        let alike = |trial: &Trial| match trial.judge() {
            Verdict::Wrong(other) => (other.what, other.kept) == (wrong.what, wrong.kept),
            Verdict::Agree(_) => false,
        };
        let mut cut = self.clone();
        cut.steps.truncate(wrong.step + 1);
        let small = minimize(if alike(&cut) { cut } else { self }, shrink::smaller, alike);
        let outcome = match small.judge() {
            Verdict::Wrong(wrong) => wrong.to_string(),
            Verdict::Agree(_) => String::from("it does not happen again\n"),
        };
        format!("{}\n{outcome}", script::print(&small))
    }
}

/// A random trial, judged.
///
/// # Errors
/// When a live result is wrong: a small trial that shows it, as text.
pub fn try_trial(random: &mut Random) -> Result<(Trial, Report), String> {
    let trial = live(random);
    check(&trial).map(|report| (trial, report))
}

/// Judges a trial.
///
/// # Errors
/// When a live result is wrong: a small trial that shows it, as text.
pub fn check(trial: &Trial) -> Result<Report, String> {
    match trial.judge() {
        Verdict::Agree(report) => Ok(report),
        Verdict::Wrong(wrong) => Err(trial.clone().explain(&wrong)),
    }
}

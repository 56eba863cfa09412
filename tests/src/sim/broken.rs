//! What must hold, by name, and the report that it did not.
//!
//! The names are those of the table that planted bugs are told in. A run stops at the first one
//! that is broken: what comes after it is a consequence.

use std::fmt;

/// Something that must hold at every moment, at every marker or in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// What a client has confirmed is what the log holds at its position, and nothing its
    /// subscriptions do not need.
    Replica,
    /// Positions do not go back within an epoch and a process.
    Position,
    /// What is acknowledged is in the log.
    Durable,
    /// A (client, number) is in the log once, after the one before it.
    ExactlyOnce,
    /// Server and oracle agree on the facts that all changes leave.
    Merge,
    /// No stamp in the log was ahead of the server's time by more than the drift.
    Ahead,
    /// Stamps are unique, rise with a client's numbers, and are later than what their writer saw.
    Stamps,
    /// Covers in the log are explicit, and name what was there.
    Covers,
    /// A client's view is its pending writes folded over what is confirmed; answers over it are
    /// its queries' answers.
    View,
    /// Own writes never disappear, rejected ones do.
    Flicker,
    /// A transaction is shown whole.
    Whole,
    /// A complete answer is the query's answer over all facts at the position.
    Complete,
    /// The change that an update tells leads from the answer before to the answer now.
    Delta,
    /// A transaction is sent only when it is stored; one that is stored survives its process.
    Outbox,
    /// A write fails early only when its entity is deleted.
    EarlyFailure,
    /// Rejections and errors are those that the writer earned.
    Refusal,
    /// What the server has in memory is what a replay of its log gives; commits have no gap.
    Memory,
    /// One client id has one session, and one owner commits in a term.
    Owner,
    /// Queues are bounded.
    Bounded,
    /// When nothing fails any more everything is answered and everyone shows the same.
    Liveness,
    /// No tenant sees another one's facts.
    Tenant,
    /// Two runs of a plan are the same.
    Deterministic,
    /// Nothing panics.
    Panic,
}

/// What is broken, and how it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// When, in milliseconds of the run.
    pub at_ms: u64,
    /// The story.
    pub text: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken at {} ms: {}", self.invariant, self.at_ms, self.text)
    }
}

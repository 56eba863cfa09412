//! Transactions on their way to the log: accepted or rejected, not yet durable.
//!
//! Group commit: at most one append is under way; what is staged meanwhile goes out in the next.
//! Invariants: the entries' successors follow each other from the published store; the first
//! `n_in_flight` entries are in the append under way; nothing here has been shown to anyone. A
//! failed append drops every entry, and with them all that they counted.

use std::collections::{BTreeMap, VecDeque};

use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Effect;
use tercet_engine::ids::{ClientId, ClientSeq};
use tercet_engine::store::{Store, StoreDelta};

use super::output::RequestId;
use crate::message::SessionId;
use crate::planted::{Bug, is_planted};

/// Who is told what becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiter {
    Session(SessionId),
    Request(RequestId),
}

/// A transaction with its record and what publishing it will do.
pub(crate) struct Staged {
    pub(crate) record: LogRecord,
    /// None for a rejection.
    pub(crate) step: Option<Step>,
    pub(crate) waiters: Vec<Waiter>,
}

/// What an accepted transaction leads to.
pub(crate) struct Step {
    pub(crate) successor: Store,
    pub(crate) delta: StoreDelta,
    pub(crate) effects: Vec<Effect>,
}

/// All that is staged, in order.
#[derive(Default)]
pub(crate) struct Staging {
    entries: VecDeque<Staged>,
    n_in_flight: usize,
    /// The last staged number of each client that has one.
    last: BTreeMap<ClientId, ClientSeq>,
    n_commits: u64,
}

impl Staging {
    /// The state that the next transaction is applied to, if it is not the published one.
    pub(crate) fn head(&self) -> Option<&Store> {
        self.entries.iter().rev().find_map(|staged| Some(&staged.step.as_ref()?.successor))
    }

    /// How many of the entries are commits.
    pub(crate) fn n_commits(&self) -> u64 {
        self.n_commits
    }

    /// The last staged number of a client.
    pub(crate) fn last(&self, client: &ClientId) -> Option<ClientSeq> {
        self.last.get(client).copied()
    }

    /// The entry of a client's number.
    pub(crate) fn find(&mut self, client: &ClientId, number: ClientSeq) -> Option<&mut Staged> {
        if self.last(client)? < number {
            return None;
        }
        self.entries.iter_mut().find(|staged| {
            let origin = staged.record.origin();
            origin.number == number && origin.client == *client
        })
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&mut self, staged: Staged) {
        let origin = staged.record.origin();
        self.last.insert(origin.client.clone(), origin.number);
        self.n_commits += u64::from(staged.step.is_some());
        self.entries.push_back(staged);
    }

    /// The records of the next append, if there is something to append and none is under way.
    pub(crate) fn start_append(&mut self) -> Option<Vec<LogRecord>> {
        if self.n_in_flight > 0 || self.entries.is_empty() {
            return None;
        }
        self.n_in_flight = self.entries.len();
        Some(self.entries.iter().map(|staged| staged.record.clone()).collect())
    }

    /// The append under way is done: its entries, in order.
    pub(crate) fn finish_append(&mut self) -> Vec<Staged> {
        let durable: Vec<Staged> = self.entries.drain(..self.n_in_flight).collect();
        self.n_in_flight = 0;
        for staged in &durable {
            let origin = staged.record.origin();
            if self.last.get(&origin.client) == Some(&origin.number) {
                self.last.remove(&origin.client);
            }
            self.n_commits -= u64::from(staged.step.is_some());
        }
        durable
    }

    /// The append under way has failed: everything is dropped, what followed it included.
    pub(crate) fn fail_append(&mut self) -> Vec<Staged> {
        if is_planted(Bug::FailedAppendKeepsLater) {
            return self.finish_append();
        }
        self.n_in_flight = 0;
        self.n_commits = 0;
        self.last.clear();
        self.entries.drain(..).collect()
    }
}

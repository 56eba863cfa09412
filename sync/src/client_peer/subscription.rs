//! One subscription of the client: its query, where its answer comes from, what was shown last.
//!
//! Sources: in facts mode a live query over the view; in rows mode the server's rows, which show
//! no pending writes; *frozen* while the server does not keep it up: the last answer stands.

use std::sync::Arc;

use tercet_engine::answer::{Answer, AnswerRows, Output};
use tercet_engine::db::{self, Query, RowsDelta, Selection};
use tercet_engine::fact::{Fact, Op, Transaction};
use tercet_engine::ids::ClientSeq;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, StoreDelta};

use super::cache::CacheEntryId;
use crate::message::{InstanceId, InstanceMode, Mode};

/// What was shown last.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) answer: Arc<Answer>,
    pub(crate) complete: bool,
    pub(crate) pending: bool,
}

/// What happened to the rows of a rows-mode instance since the last updates.
#[derive(Debug)]
pub(crate) struct RowsChange {
    /// The answer that it leads on from.
    pub(crate) before: Arc<Answer>,
    /// Step by step; none where the rows began anew.
    pub(crate) steps: Option<Vec<RowsDelta>>,
}

/// One subscription.
pub(crate) struct Subscription {
    pub(crate) query: Query,
    pub(crate) inputs: Vec<Input>,
    pub(crate) wanted: Mode,
    /// How the server answers it, once it has.
    pub(crate) mode: Option<InstanceMode>,
    /// The server's instance that it reads, as of what is held now.
    pub(crate) instance: Option<InstanceId>,
    /// What the cache keeps of it; none where it keeps nothing.
    pub(crate) entry: Option<CacheEntryId>,
    /// Own transactions up to this one must be answered before rows of the server count as
    /// complete; none where it does not matter.
    pub(crate) owed: Option<ClientSeq>,
    /// It was asked for in this session and has not been answered.
    pub(crate) is_asked: bool,
    /// None where the server evaluates.
    pub(crate) selection: Option<Selection>,
    /// The live query over the view.
    pub(crate) live: Option<db::InstanceId>,
    pub(crate) shown: Option<Shown>,
}

impl Subscription {
    /// Whether its answer comes from the view, when it is not frozen.
    pub(crate) fn is_local(&self) -> bool {
        match self.mode {
            Some(mode) => mode == InstanceMode::Facts,
            None => self.wanted != Mode::Rows,
        }
    }

    /// Whether a change of facts can be in its answer.
    pub(crate) fn is_touched_by(&self, delta: &StoreDelta) -> bool {
        self.is_local()
            && self.selection.as_ref().is_some_and(|selection| {
                delta.facts.iter().any(|change| selection.covers(&change.fact))
            })
    }

    /// Whether own pending writes took so many rows from its window that it shows, or lacks, rows
    /// beyond what the support of the window holds: they are not the server's. In doubt they did.
    pub(crate) fn is_eaten(&self, answer: &Answer, confirmed: &Snapshot, budget: &Budget) -> bool {
        let raw = self.query.raw();
        let Some(limit) = raw.limit.filter(|_| self.is_local()) else { return false };
        let edge = match self.query.support_edge(confirmed, &self.inputs, budget) {
            Ok(None) => return false,
            Ok(Some(edge)) => Output::Value(edge),
            Err(_) => return true,
        };
        let Some(first) = raw.order_by.first() else { return false };
        let is_beyond = |key: Output| match first.descending {
            true => key < edge,
            false => key > edge,
        };
        let keys = answer.rows.iter().filter_map(|row| row.to_output(first.element as usize));
        (answer.rows.len() as u64) < limit || keys.into_iter().any(is_beyond)
    }

    /// Whether it needs to see what a transaction wrote; in doubt it does.
    pub(crate) fn needs(&self, transaction: &Transaction) -> bool {
        let Some(selection) = &self.selection else { return false };
        self.is_local() && transaction.ops.iter().any(|op| covers(selection, op))
    }
}

fn covers(selection: &Selection, op: &Op) -> bool {
    match op {
        Op::Set { e, a, v } | Op::Add { e, a, v } => {
            selection.covers(&Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() })
        }
        // What these change is not in the operation.
        Op::Unset { .. } | Op::Remove { .. } | Op::Delete { .. } | Op::Restore { .. } => true,
    }
}

/// What leads from one list of rows to another.
pub(crate) fn rows_delta(old: &AnswerRows, new: &AnswerRows) -> RowsDelta {
    RowsDelta::between(old, new).unwrap_or_default()
}

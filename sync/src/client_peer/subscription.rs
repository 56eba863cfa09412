//! One subscription of the client: its query, where its answer comes from, what was shown last.
//!
//! Sources: in facts mode a live query over the view; in rows mode the server's rows, which show
//! no pending writes; *frozen* while the server does not keep it up: the last answer stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tercet_engine::answer::{Answer, AnswerRows, Row, Work};
use tercet_engine::db::{self, Query, RowsDelta, Support};
use tercet_engine::fact::{Fact, Op, Transaction};
use tercet_engine::program::raw::{Input, RawProgram};
use tercet_engine::store::StoreDelta;

use crate::message::{InstanceId, InstanceMode, Mode};

/// What was shown last.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) answer: Arc<Answer>,
    pub(crate) complete: bool,
    pub(crate) pending: bool,
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
    /// It was asked for in this session and has not been answered.
    pub(crate) is_asked: bool,
    /// None where the server evaluates.
    pub(crate) support: Option<Support>,
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
            && self.support.as_ref().is_some_and(|support| {
                delta.facts.iter().any(|change| support.covers(&change.fact))
            })
    }

    /// Whether it needs to see what a transaction wrote; in doubt it does.
    pub(crate) fn needs(&self, transaction: &Transaction) -> bool {
        let Some(support) = &self.support else { return false };
        self.is_local() && transaction.ops.iter().any(|op| covers(support, op))
    }
}

fn covers(support: &Support, op: &Op) -> bool {
    match op {
        Op::Set { e, a, v } | Op::Add { e, a, v } => {
            support.covers(&Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() })
        }
        // What these change is not in the operation.
        Op::Unset { .. } | Op::Remove { .. } | Op::Delete { .. } | Op::Restore { .. } => true,
    }
}

/// What leads from one list of rows to another.
pub(crate) fn rows_delta(old: &AnswerRows, new: &AnswerRows) -> RowsDelta {
    RowsDelta::between(old, new).unwrap_or_default()
}

/// An answer made of the server's rows, in the order that the query asks for.
pub(crate) fn answer_of_rows(query: &Query, rows: &BTreeMap<Row, u64>) -> Answer {
    let program = query.raw();
    let repeated = |(row, n): (&Row, &u64)| (0..*n).map(|_| row.clone()).collect::<Vec<_>>();
    let mut rows: Vec<Row> = rows.iter().flat_map(repeated).collect();
    rows.sort_by(|a, b| compare(program, a, b));
    Answer {
        columns: query.columns().clone(),
        form: program.find_form,
        rows: rows.into(),
        n_without_result: 0,
        work: Work::default(),
    }
}

/// By the keys of `:order-by`, then by the whole row.
fn compare(program: &RawProgram, a: &Row, b: &Row) -> std::cmp::Ordering {
    let by_key = program.order_by.iter().map(|order| {
        let element = order.element as usize;
        let ascending = a.get(element).cmp(&b.get(element));
        if order.descending { ascending.reverse() } else { ascending }
    });
    by_key.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then_with(|| a.cmp(b))
}

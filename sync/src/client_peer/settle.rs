//! Bringing everything that shows up to date with everything that happened.
//!
//! In order: live queries of frozen subscriptions end; acknowledged transactions that the position
//! shows leave; the view is folded; thawed subscriptions get live queries again; then whoever
//! changed, in answer or flags, is told.
//!
//! No flicker: a transaction leaves only while no renewal is under way and no subscription that
//! was asked for and not answered needs what it wrote; then what is confirmed shows it already.

use std::collections::BTreeMap;
use std::sync::Arc;

use tercet_engine::answer::{Answer, AnswerRows};
use tercet_engine::db::{self, RowsDelta};
use tercet_engine::error::QueryError;
use tercet_engine::store::StoreDelta;

use super::connection::Phase;
use super::output::{ClientOutput, Status, SubscriptionUpdate};
use super::peer::ClientPeer;
use super::subscription::{Shown, Subscription, rows_delta};
use super::view::ViewUpdate;
use crate::message::SubscriptionId;
use crate::planted::{Bug, is_planted};

/// How to tell whether own pending writes are in an answer.
#[derive(Clone, Copy)]
pub(crate) enum Pending<'delta> {
    /// From all that is pending.
    Whole,
    /// As before, or from what a new transaction did.
    Grow(&'delta StoreDelta),
}

impl ClientPeer {
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.is_unsettled) {
            return;
        }
        self.end_unfit_live_queries();
        self.let_acknowledged_leave();
        let updates = match std::mem::take(&mut self.must_fold) {
            true => self.overlay.fold(self.pending.transactions()),
            false => Vec::new(),
        };
        self.start_live_queries();
        self.emit_updates(updates, Pending::Whole);
        self.emit_status();
        // Ending subscriptions that failed above has left nothing to show, but work to do.
        if self.must_fold {
            let updates = self.overlay.fold(self.pending.transactions());
            self.must_fold = false;
            self.emit_updates(updates, Pending::Whole);
        }
        self.is_unsettled = false;
    }

    fn is_frozen(&self, subscription: &Subscription) -> bool {
        subscription.instance.is_some_and(|instance| self.holdings.is_stale(instance))
    }

    fn end_unfit_live_queries(&mut self) {
        let is_unfit =
            |subscription: &Subscription| !subscription.is_local() || self.is_frozen(subscription);
        let unfit: Vec<SubscriptionId> = self
            .subscriptions
            .iter()
            .filter_map(|(id, subscription)| is_unfit(subscription).then_some(*id))
            .collect();
        for id in unfit {
            let subscription = self.subscriptions.get_mut(&id);
            if let Some(live) = subscription.and_then(|subscription| subscription.live.take()) {
                self.overlay.view.unsubscribe(live);
            }
        }
    }

    fn let_acknowledged_leave(&mut self) {
        let Some(live) = self.phase.as_live() else { return };
        let is_renewing = self.renewal.is_some() && !is_planted(Bug::LeavesInRenewal);
        if is_renewing || !self.pending.any_acknowledged() {
            return;
        }
        let position = live.position;
        let asked: Vec<&Subscription> =
            self.subscriptions.values().filter(|subscription| subscription.is_asked).collect();
        let has_left = self.pending.leave(|transaction, at| {
            // An acknowledgement of another history says nothing about this one's positions.
            let is_reached = at.epoch != position.epoch || at.seq <= position.seq;
            is_reached && !asked.iter().any(|subscription| subscription.needs(transaction))
        });
        self.must_fold |= has_left;
    }

    fn start_live_queries(&mut self) {
        let lacks_live = |subscription: &Subscription| {
            subscription.live.is_none() && subscription.is_local() && !self.is_frozen(subscription)
        };
        let lacking: Vec<SubscriptionId> = self
            .subscriptions
            .iter()
            .filter_map(|(id, subscription)| lacks_live(subscription).then_some(*id))
            .collect();
        for id in lacking {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let Subscription { query, inputs, .. } = subscription;
            match self.overlay.view.subscribe(query, inputs, &self.budget) {
                Ok(live) => subscription.live = Some(live),
                Err(error) => self.fail(id, &error),
            }
        }
    }

    fn fail(&mut self, subscription: SubscriptionId, error: &QueryError) {
        self.end_subscription(subscription);
        let (code, message) = (error.code().to_owned(), error.to_string());
        self.output(ClientOutput::Failed { subscription, code, message, hint: None });
    }

    /// Tells of every subscription whose answer or flags are not what was shown last.
    pub(super) fn emit_updates(&mut self, updates: Vec<ViewUpdate>, pending: Pending<'_>) {
        let failed = updates.iter().filter_map(|ViewUpdate { instance, change, .. }| {
            Some((*instance, change.as_ref().err()?.clone()))
        });
        for (live, error) in failed.collect::<Vec<_>>() {
            self.fail_live(live, &error);
        }
        let told: BTreeMap<db::InstanceId, ViewUpdate> =
            updates.into_iter().map(|update| (update.instance, update)).collect();
        let subscriptions = self.subscriptions.iter();
        let changed: Vec<SubscriptionUpdate> = subscriptions
            .filter_map(|(id, subscription)| self.update_of(*id, subscription, &told, pending))
            .collect();
        for update in changed {
            let SubscriptionUpdate { subscription, ref answer, complete, pending, .. } = update;
            let Some(subscription) = self.subscriptions.get_mut(&subscription) else { continue };
            let shown = Shown { answer: Arc::clone(answer), complete, pending };
            let before = subscription.shown.replace(shown);
            let has_flags = |shown: Shown| (shown.complete, shown.pending) == (complete, pending);
            let is_same = before.is_some_and(has_flags) && update.delta == RowsDelta::default();
            if !is_same {
                self.output(ClientOutput::Update(update));
            }
        }
        self.changed_rows.clear();
    }

    fn fail_live(&mut self, live: db::InstanceId, error: &QueryError) {
        let readers = self.subscriptions.iter();
        let readers: Vec<SubscriptionId> = readers
            .filter_map(|(id, subscription)| (subscription.live == Some(live)).then_some(*id))
            .collect();
        for id in readers {
            self.fail(id, error);
        }
    }

    /// What leads from what was shown to what is there now; none where both are the same. Asked of
    /// every subscription, so what has not changed must cost little.
    fn update_of(
        &self,
        id: SubscriptionId,
        subscription: &Subscription,
        told: &BTreeMap<db::InstanceId, ViewUpdate>,
        pending: Pending<'_>,
    ) -> Option<SubscriptionUpdate> {
        let answer = self.answer_of(subscription)?;
        let shown = subscription.shown.as_ref();
        let pending = match pending {
            Pending::Whole => {
                self.overlay.layers().iter().any(|delta| subscription.is_touched_by(delta))
            }
            Pending::Grow(delta) => {
                shown.is_some_and(|shown| shown.pending) || subscription.is_touched_by(delta)
            }
        };
        let is_eaten = || subscription.is_eaten(answer, &self.overlay.confirmed(), &self.budget);
        let complete = self.is_complete(subscription) && !(pending && is_eaten());
        let delta = match shown {
            Some(shown) if Arc::ptr_eq(&shown.answer, answer) => {
                if (shown.complete, shown.pending) == (complete, pending) {
                    return None;
                }
                RowsDelta::default()
            }
            Some(shown) => {
                let told = self.told_delta(subscription, &shown.answer, told);
                told.unwrap_or_else(|| rows_delta(&shown.answer.rows, &answer.rows))
            }
            None => rows_delta(&AnswerRows::default(), &answer.rows),
        };
        let answer = Arc::clone(answer);
        Some(SubscriptionUpdate { subscription: id, answer, delta, complete, pending })
    }

    /// Its answer now, if it has one.
    fn answer_of<'a>(&'a self, subscription: &'a Subscription) -> Option<&'a Arc<Answer>> {
        let shown = subscription.shown.as_ref().map(|shown| &shown.answer);
        if self.is_frozen(subscription) {
            return shown;
        }
        if subscription.is_local() {
            return self.overlay.view.answer(subscription.live?);
        }
        let instance = subscription.instance?;
        match shown {
            Some(shown) if !self.changed_rows.contains_key(&instance) => Some(shown),
            _ => Some(self.holdings.rows(instance)?.answer()),
        }
    }

    /// What leads from the answer that was shown to the one now, told by its source; none where
    /// the source tells of another answer than that.
    fn told_delta(
        &self,
        subscription: &Subscription,
        shown: &Arc<Answer>,
        told: &BTreeMap<db::InstanceId, ViewUpdate>,
    ) -> Option<RowsDelta> {
        if let Some(live) = subscription.live {
            let ViewUpdate { before, change, .. } = told.get(&live)?;
            return change.clone().ok().filter(|_| Arc::ptr_eq(before, shown));
        }
        let change = self.changed_rows.get(&subscription.instance?)?;
        let steps = change.steps.as_ref().filter(|_| Arc::ptr_eq(&change.before, shown))?;
        Some(RowsDelta::sum(steps))
    }

    /// Whether the confirmed part of its answer is the server's at the position.
    fn is_complete(&self, subscription: &Subscription) -> bool {
        self.phase.as_live().is_some()
            && self.renewal.is_none()
            && (subscription.instance.is_some() || is_planted(Bug::CompleteBeforeAnswer))
            && (!subscription.is_asked || is_planted(Bug::CompleteBeforeAnswer))
            && (!self.is_frozen(subscription) || is_planted(Bug::StaleIsComplete))
            && (subscription.is_local() || !self.lacks_own(subscription))
    }

    /// Whether own transactions that it must show have no answer yet.
    fn lacks_own(&self, subscription: &Subscription) -> bool {
        let first = self.pending.unanswered().next();
        let pair = subscription.owed.zip(first);
        pair.is_some_and(|(owed, first)| first.number <= owed)
    }

    fn emit_status(&mut self) {
        let status = match &self.phase {
            Phase::Offline { .. } => Status::Offline,
            Phase::Connecting | Phase::Greeting { .. } => Status::Connecting,
            Phase::Live(live) => {
                let is_asking =
                    self.subscriptions.values().any(|subscription| subscription.is_asked);
                let is_waiting = self.pending.unanswered().next().is_some();
                match self.renewal.is_some() || is_asking || is_waiting {
                    true => Status::Syncing,
                    false => Status::Synced(live.position),
                }
            }
        };
        if self.status.replace(status) != Some(status) {
            self.output(ClientOutput::Status(status));
        }
        let deadlines = [self.phase.deadline_ms(), self.push_at_ms];
        let wake_at_ms = deadlines.into_iter().flatten().min();
        if let Some(at_ms) = wake_at_ms
            && self.wake_at_ms != wake_at_ms
        {
            self.output(ClientOutput::WakeAt(at_ms));
        }
        self.wake_at_ms = wake_at_ms;
    }
}

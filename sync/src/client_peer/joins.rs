//! Subscriptions of the client: asking for them, taking their parts, and the switch after a
//! reconnect.
//!
//! Parts wait for their marker; at the marker all of them are installed at once, into what is
//! held or, while subscriptions are being renewed, into what will be.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use tercet_engine::fact::Install;
use tercet_engine::ids::Checkpoint;

use super::cache::ResumeBase;
use super::holdings::Holdings;
use super::peer::ClientPeer;
use super::renewal::{Assigned, Renewal};
use super::subscription::RowsChange;
use crate::message::{
    ClientMessage, FactsPart, InstanceId, Resume, RowsPart, Subscribe, Subscribed, SubscribedState,
    SubscriptionId, Unsubscribe,
};
use crate::planted::{Bug, is_planted};
use crate::wire_query::WireQuery;

/// What waits for its marker.
#[derive(Debug)]
pub(crate) enum Buffered {
    Subscribed(Subscribed),
    Facts(FactsPart),
    Rows(RowsPart),
    Stale(InstanceId),
}

impl ClientPeer {
    /// Asks the server for a subscription, if there is one to ask.
    pub(super) fn ask(&mut self, id: SubscriptionId) {
        self.is_unsettled = true;
        if self.phase.as_live().is_none() {
            return;
        }
        let resume = self.resume_of(id);
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.is_asked = true;
        let subscribe = Subscribe {
            subscription: id,
            query: WireQuery::new(subscription.query.raw().clone()),
            inputs: subscription.inputs.clone(),
            mode: subscription.wanted,
            resume,
        };
        if let Some(renewal) = &mut self.renewal {
            renewal.awaited.insert(id);
        }
        self.send(ClientMessage::Subscribe(subscribe));
    }

    fn resume_of(&self, id: SubscriptionId) -> Option<Resume> {
        let ResumeBase { holdings, instance, mode, position } = self.resume_base(id)?;
        let fingerprint = holdings.fingerprint(instance)?;
        Some(Resume { checkpoint: position, mode, fingerprint })
    }

    /// Takes up all subscriptions again, beside what is held.
    pub(super) fn renew(&mut self) {
        if !is_planted(Bug::PartsOutliveSession) {
            self.buffer.clear();
        }
        let mut renewal = Renewal::default();
        if self.caching.is_some() {
            renewal.holdings.note_steps();
        }
        self.renewal = Some(renewal);
        let ids: Vec<SubscriptionId> = self.subscriptions.keys().copied().collect();
        for id in ids {
            self.ask(id);
        }
        self.switch_if_renewed();
    }

    /// Everything up to this position has come: what waited for it is installed at once.
    pub(super) fn reach(&mut self, checkpoint: Checkpoint) {
        for buffered in std::mem::take(&mut self.buffer) {
            match buffered {
                Buffered::Subscribed(subscribed) => self.joined(&subscribed),
                part => self.take_part(&part),
            }
        }
        let Some(live) = self.phase.as_live_mut() else { return };
        live.position = live.position.max(checkpoint);
        if self.renewal.is_none() {
            self.position = Some(live.position);
        }
        self.switch_if_renewed();
        self.write_cache();
    }

    pub(super) fn take_part(&mut self, part: &Buffered) {
        let is_renewing = self.renewal.is_some() && !is_planted(Bug::PartsGoToOld);
        let holdings = match &mut self.renewal {
            Some(renewal) if is_renewing => &mut renewal.holdings,
            _ => &mut self.holdings,
        };
        let (installs, rows) = take_into(holdings, part);
        if is_renewing {
            return;
        }
        if let Some((instance, change)) = rows {
            self.note_rows(instance, change);
        }
        self.install(&installs);
    }

    /// Notes what happened to the rows of an instance since the last updates.
    fn note_rows(&mut self, instance: InstanceId, RowsChange { before, steps }: RowsChange) {
        match self.changed_rows.entry(instance) {
            Entry::Vacant(entry) => drop(entry.insert(RowsChange { before, steps })),
            Entry::Occupied(entry) => {
                let known = &mut entry.into_mut().steps;
                *known = known.take().zip(steps).map(|(known, steps)| [known, steps].concat());
            }
        }
    }

    /// The rows of an instance are others, whatever they were.
    fn renew_rows(&mut self, instance: InstanceId) {
        if let Some(rows) = self.holdings.rows(instance) {
            let before = Arc::clone(rows.answer());
            self.note_rows(instance, RowsChange { before, steps: None });
        }
    }

    fn install(&mut self, installs: &[Install]) {
        if !installs.is_empty() {
            self.overlay.install(installs);
            self.must_fold = true;
        }
    }

    fn joined(&mut self, subscribed: &Subscribed) {
        let Subscribed { subscription: id, instance, mode, state, .. } = *subscribed;
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.is_asked = false;
        let query = subscription.query.clone();
        let is_unchanged = state == SubscribedState::Unchanged || is_planted(Bug::ResetAdopts);
        if let Some(mut renewal) = self.renewal.take() {
            let base = self.resume_base(id).filter(|_| is_unchanged);
            let is_adopted = !renewal.holdings.contains(instance)
                && base.is_some_and(|base| base.adopt_into(&mut renewal.holdings, instance));
            if !is_adopted {
                renewal.holdings.open(instance, mode, &query);
            }
            if renewal.assigned.get(&id).is_some_and(|before| before.instance != instance) {
                renewal.forget(id);
            }
            renewal.awaited.remove(&id);
            renewal.assigned.insert(id, Assigned { instance, mode });
            self.renewal = Some(renewal);
            return;
        }
        let aside = self.take_aside(id).filter(|_| is_unchanged);
        if let Some((aside, from)) = aside.filter(|_| !self.holdings.contains(instance)) {
            let installs = self.holdings.adopt(&aside, from, instance).unwrap_or_default();
            self.install(&installs);
        }
        self.holdings.open(instance, mode, &query);
        self.note_reassigned();
        self.renew_rows(instance);
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.mode = Some(mode);
        let before = subscription.instance.replace(instance);
        if let Some(before) = before.filter(|before| *before != instance) {
            self.close_if_unread(before);
        }
    }

    fn close_if_unread(&mut self, instance: InstanceId) {
        let mut subscriptions = self.subscriptions.values();
        let is_read = subscriptions.any(|subscription| subscription.instance == Some(instance));
        if !is_read && !self.is_loaded(instance) {
            let installs = self.holdings.close(instance);
            self.install(&installs);
        }
    }

    /// When every subscription has been answered, what was prepared beside becomes what is held.
    fn switch_if_renewed(&mut self) {
        let Some(renewal) = self.renewal.take_if(|renewal| renewal.awaited.is_empty()) else {
            return;
        };
        let installs = renewal.holdings.installs_since(&self.holdings);
        self.set_unread_aside();
        self.holdings = renewal.holdings;
        for (id, Assigned { instance, mode }) in renewal.assigned {
            if let Some(subscription) = self.subscriptions.get_mut(&id) {
                subscription.instance = Some(instance);
                subscription.mode = Some(mode);
                self.renew_rows(instance);
            }
        }
        self.install(&installs);
        self.position = self.phase.as_live().map(|live| live.position);
        self.write_cache();
        self.backoff.reset();
        self.is_reconciling = false;
        self.push_pending();
    }

    /// A subscription is over, whoever ended it.
    pub(super) fn end_subscription(&mut self, id: SubscriptionId) {
        self.is_unsettled = true;
        let Some(subscription) = self.subscriptions.remove(&id) else { return };
        if self.phase.as_live().is_some() {
            self.send(ClientMessage::Unsubscribe(Unsubscribe { subscription: id }));
        }
        if let Some(live) = subscription.live {
            self.overlay.view.unsubscribe(live);
        }
        if let Some(instance) = subscription.instance {
            self.close_if_unread(instance);
        }
        self.leave_entry(id, &subscription);
        if let Some(renewal) = &mut self.renewal {
            renewal.forget(id);
            self.switch_if_renewed();
        }
    }
}

/// Takes a part into what is held, or will be: what to install, and whose rows changed.
fn take_into(
    holdings: &mut Holdings,
    part: &Buffered,
) -> (Vec<Install>, Option<(InstanceId, RowsChange)>) {
    match part {
        Buffered::Facts(part) => (holdings.take_facts(part), None),
        Buffered::Stale(instance) => (holdings.set_stale(*instance), None),
        Buffered::Rows(part) => {
            let before = holdings.rows(part.instance).map(|rows| Arc::clone(rows.answer()));
            match (holdings.take_rows(part), before) {
                (Ok(Some(delta)), Some(before)) => {
                    let steps = (!part.reset).then(|| vec![delta]);
                    (Vec::new(), Some((part.instance, RowsChange { before, steps })))
                }
                (Ok(_), _) => (Vec::new(), None),
                (Err(error), _) => {
                    tracing::warn!(%error, "rows cannot be read");
                    (holdings.set_stale(part.instance), None)
                }
            }
        }
        Buffered::Subscribed(_) => (Vec::new(), None),
    }
}

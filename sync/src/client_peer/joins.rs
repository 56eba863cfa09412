//! Subscriptions of the client: asking for them, taking their parts, and the switch after a
//! reconnect.
//!
//! Parts wait for their marker; at the marker all of them are installed at once, into what is
//! held or, while subscriptions are being renewed, into what will be. What is resumed is made apart
//! first (`draft`), and counts only when its fingerprint is the server's.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use tercet_engine::fact::Install;
use tercet_engine::ids::Checkpoint;

use super::cache::ResumeBase;
use super::draft::Draft;
use super::holdings::Holdings;
use super::peer::ClientPeer;
use super::renewal::{Assigned, Renewal};
use super::subscription::{RowsChange, Subscription};
use crate::message::{
    ClientMessage, FactsPart, Fingerprint, InstanceId, InstanceMode, Resume, RowsPart, Subscribe,
    Subscribed, SubscribedState, SubscriptionId, Unsubscribe,
};
use crate::planted::{Bug, is_planted};
use crate::wire_query::WireQuery;

/// The server contradicts itself: the connection is not to be used any more.
#[derive(Debug, PartialEq, Eq)]
struct Contradiction;

/// What waits for its marker.
#[derive(Debug)]
pub(crate) enum Buffered {
    Subscribed(Subscribed),
    Facts(FactsPart),
    Rows(RowsPart),
    Stale(InstanceId),
}

impl Buffered {
    fn instance(&self) -> InstanceId {
        match self {
            Buffered::Subscribed(subscribed) => subscribed.instance,
            Buffered::Facts(part) => part.instance,
            Buffered::Rows(part) => part.instance,
            Buffered::Stale(instance) => *instance,
        }
    }
}

/// How much of what is held a subscription is asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// As if nothing were.
    Nothing,
    /// Its fingerprint.
    Fingerprint,
    /// Its fingerprint, and the sums of its buckets.
    Buckets,
}

/// A subscription between its answer and the marker.
struct Join {
    subscription: SubscriptionId,
    instance: InstanceId,
    mode: InstanceMode,
    /// Of what is to be held at the marker.
    fingerprint: Fingerprint,
    /// How to ask again if it is not that.
    otherwise: Option<Detail>,
    content: Content,
}

/// Where the parts of a join go.
enum Content {
    /// Nowhere: all of it is held already.
    Held,
    /// Into what is, or will be, held: they begin it anew.
    Reset,
    /// Beside what was held.
    Draft(Draft),
    /// Nowhere: they lead on from what is not held any more.
    Late,
}

impl ClientPeer {
    /// Asks the server for a subscription, if there is one to ask.
    pub(super) fn ask(&mut self, id: SubscriptionId, detail: Detail) {
        self.is_unsettled = true;
        if self.phase.as_live().is_none() {
            return;
        }
        let resume = self.resume_of(id, detail);
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

    fn resume_of(&self, id: SubscriptionId, detail: Detail) -> Option<Resume> {
        let ResumeBase { holdings, instance, mode, position } = self.resume_base(id)?;
        let fingerprint = holdings.fingerprint(instance)?;
        let buckets = match detail {
            Detail::Nothing => return None,
            Detail::Fingerprint => None,
            Detail::Buckets => holdings.bucket_sums(instance),
        };
        let checkpoint = Some(position).filter(|_| self.told_position != Some(position));
        Some(Resume { checkpoint, mode, fingerprint, buckets })
    }

    /// The server asks what is held of a subscription, bucket by bucket.
    pub(super) fn compare(&mut self, id: SubscriptionId) {
        let is_asked = |subscription: &Subscription| subscription.is_asked;
        if self.subscriptions.get(&id).is_some_and(is_asked) {
            self.ask(id, Detail::Buckets);
        }
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
            self.ask(id, Detail::Fingerprint);
        }
        self.switch_if_renewed();
    }

    /// Everything up to this position has come: what waited for it is installed at once.
    pub(super) fn arrive(&mut self, checkpoint: Checkpoint, now_ms: u64) {
        let mut joins: Vec<Join> = Vec::new();
        for buffered in std::mem::take(&mut self.buffer) {
            let instance = buffered.instance();
            let join = joins.iter_mut().rev().find(|join| join.instance == instance);
            match (buffered, join.map(|join| &mut join.content)) {
                (Buffered::Subscribed(subscribed), _) => match self.begin_join(&subscribed) {
                    Ok(join) => joins.extend(join),
                    Err(Contradiction) => return self.contradicted(&subscribed, now_ms),
                },
                (_, Some(Content::Held | Content::Late)) => {}
                (part, Some(Content::Draft(draft))) => take_beside(draft, &part),
                (part, Some(Content::Reset) | None) => self.take_part(&part),
            }
        }
        for join in joins {
            if self.finish_join(join) == Err(Contradiction) {
                return self.drop_connection(now_ms);
            }
        }
        let Some(live) = self.phase.as_live_mut() else { return };
        live.position = live.position.max(checkpoint);
        if self.renewal.is_none() {
            self.position = Some(live.position);
        }
        self.switch_if_renewed();
        self.write_cache();
        self.seek_on(now_ms);
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

    /// What is held, or will be after the switch.
    fn target(&mut self) -> &mut Holdings {
        match &mut self.renewal {
            Some(renewal) => &mut renewal.holdings,
            None => &mut self.holdings,
        }
    }

    /// A subscription is answered; none if it has ended meanwhile.
    fn begin_join(&mut self, subscribed: &Subscribed) -> Result<Option<Join>, Contradiction> {
        let Subscribed { subscription: id, instance, mode, fingerprint, ref state, .. } =
            *subscribed;
        let Some(subscription) = self.subscriptions.get(&id) else { return Ok(None) };
        let query = subscription.query.clone();
        // What it reads now is ahead of what the question was about: it was asked before the last
        // switch, and so was answered twice.
        let is_late = self.renewal.is_none() && subscription.instance.is_some();
        let otherwise = match state {
            SubscribedState::Reset => None,
            _ if is_late => Some(Detail::Nothing),
            SubscribedState::Unchanged => None,
            SubscribedState::Replay => Some(Detail::Buckets),
            SubscribedState::Buckets { .. } => Some(Detail::Nothing),
        };
        let content = if self.target().fingerprint(instance) == Some(fingerprint) {
            Content::Held
        } else if *state == SubscribedState::Reset {
            self.target().open(instance, mode, &query);
            Content::Reset
        } else if is_late {
            Content::Late
        } else {
            let base = self.resume_base(id).filter(|base| base.mode == mode);
            let base = base.ok_or(Contradiction)?;
            let draft = Draft::new(base.holdings, base.instance, instance);
            let mut draft = draft.ok_or(Contradiction)?;
            if let SubscribedState::Buckets { bits, cleared } = state {
                draft.clear(base.holdings, *bits, cleared);
            }
            Content::Draft(draft)
        };
        let subscription = id;
        Ok(Some(Join { subscription, instance, mode, fingerprint, otherwise, content }))
    }

    /// The marker after a subscription's answer is here: the subscription reads the instance from
    /// now on, unless something is wrong with it.
    fn finish_join(&mut self, join: Join) -> Result<(), Contradiction> {
        let Join { subscription: id, instance, fingerprint, otherwise, content, .. } = join;
        let found = match &content {
            Content::Draft(draft) => {
                self.resume_base(id).and_then(|base| draft.fingerprint(base.holdings))
            }
            Content::Held | Content::Reset => self.target().fingerprint(instance),
            Content::Late => None,
        };
        if found != Some(fingerprint) && !is_believed() {
            tracing::warn!(subscription = id.0, "what was resumed is not what the server has");
            self.ask(id, otherwise.ok_or(Contradiction)?);
            return Ok(());
        }
        if let Content::Draft(draft) = content {
            self.adopt(id, instance, draft);
        }
        self.joined(id, instance, join.mode);
        Ok(())
    }

    /// What was made beside is, or will be, held.
    fn adopt(&mut self, id: SubscriptionId, instance: InstanceId, draft: Draft) {
        if let Some(mut renewal) = self.renewal.take() {
            if let Some(base) = self.resume_base(id) {
                draft.adopt(base.holdings, &mut renewal.holdings, instance);
            }
            self.renewal = Some(renewal);
        } else if let Some((aside, _)) = self.take_aside(id) {
            let installs = draft.adopt(&aside, &mut self.holdings, instance);
            self.install(&installs);
        }
    }

    fn joined(&mut self, id: SubscriptionId, instance: InstanceId, mode: InstanceMode) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        subscription.is_asked = false;
        if let Some(renewal) = &mut self.renewal {
            if renewal.assigned.get(&id).is_some_and(|before| before.instance != instance) {
                renewal.forget(id);
            }
            renewal.awaited.remove(&id);
            renewal.assigned.insert(id, Assigned { instance, mode });
            return;
        }
        subscription.mode = Some(mode);
        let before = subscription.instance.replace(instance);
        // What was set aside for it is not needed any more.
        self.take_aside(id);
        self.note_reassigned();
        self.renew_rows(instance);
        if let Some(before) = before.filter(|before| *before != instance) {
            self.close_if_unread(before);
        }
    }

    /// The server answers a subscription with something that nobody asked for.
    fn contradicted(&mut self, subscribed: &Subscribed, now_ms: u64) {
        let subscription = subscribed.subscription;
        tracing::warn!(subscription = subscription.0, "an answer fits no question");
        self.drop_connection(now_ms);
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

/// Takes a part beside what was held. A row that cannot be read is missing from the fingerprint.
fn take_beside(draft: &mut Draft, part: &Buffered) {
    match part {
        Buffered::Facts(part) => draft.take_facts(part),
        Buffered::Rows(part) => {
            if let Err(error) = draft.take_rows(part) {
                tracing::warn!(%error, "rows cannot be read");
            }
        }
        Buffered::Stale(_) | Buffered::Subscribed(_) => {}
    }
}

/// Whether a server is believed without a check: with deliberate bugs of its answer.
fn is_believed() -> bool {
    let bugs = [Bug::ResumeUnchecked, Bug::ReplaySkipsFirst, Bug::BucketsLackOne];
    bugs.into_iter().any(is_planted)
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

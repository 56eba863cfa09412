//! Subscriptions of sessions: joining an instance, leaving it, and changing from facts to rows.
//!
//! A subscription joins at the published commit: its answer, what its client lacks (`resume`), then
//! a marker. Since every part of an earlier commit has
//! been sent before, the session's position moves to the published commit with it. Invariant: from
//! its first answer to its end a subscription misses no part, also while it is started over.

use super::Tenant;
use super::instances::Parting;
use super::resume::Way;
use super::session::{Attached, Pace};
use super::trouble::Trouble;
use crate::message::{
    Compare, InstanceId, InstanceMode, Mode, ServerMessage, SessionId, Subscribe, Subscribed,
    SubscriptionId,
};
use crate::wire_query::WireQuery;

impl Tenant {
    pub(super) fn subscribe(&mut self, session: SessionId, mut subscribe: Subscribe) {
        let n_max = self.config.limits.subscriptions_max as usize;
        let subscription = subscribe.subscription;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let is_new = !state.subscriptions.contains_key(&subscription);
        match &mut state.pace {
            // A subscription that is started over goes on until it is answered: the session's
            // position must not move while it gets nothing.
            Pace::Full { joins } => {
                joins.retain(|waiting| waiting.subscription != subscription);
                if joins.len() < n_max {
                    // They are long, and can be asked for again.
                    if let Some(resume) = &mut subscribe.resume {
                        resume.buckets = None;
                    }
                    return joins.push_back(subscribe);
                }
            }
            Pace::Open if !is_new || state.subscriptions.len() < n_max => {
                return self.join(session, &subscribe);
            }
            Pace::Open => {}
            // All subscriptions will be renewed, this one included.
            Pace::Lagging { .. } => return,
        }
        let message = format!("a session has at most {n_max} subscriptions");
        let hint = Some("end one before starting another".to_owned());
        let code = "too_many_subscriptions";
        self.send_error(session, code, &message, hint, Some(subscription));
    }

    fn join(&mut self, session: SessionId, subscribe: &Subscribe) {
        let subscription = subscribe.subscription;
        let opened = self.open_instance(subscribe);
        let revived = self.instances.take_revived();
        self.send_revived(revived);
        let joined = opened.and_then(|instance| {
            self.instances.join(instance, session);
            self.attach(session, subscribe, instance)
                .inspect_err(|_| self.leave_unread(session, instance, Parting::Ends))
        });
        if let Err(Trouble { code, message, hint }) = joined {
            self.detach(session, subscription, Parting::Ends);
            self.send_error(session, &code, &message, hint, Some(subscription));
        }
    }

    /// The instance that a subscription asks for; `Auto` takes rows where facts are too many.
    fn open_instance(&mut self, subscribe: &Subscribe) -> Result<InstanceId, Trouble> {
        let Subscribe { query, inputs, .. } = subscribe;
        let (db, seq) = (&mut self.db, self.seq);
        let mut open = |mode| self.instances.open(db, seq, query, inputs, mode);
        match subscribe.mode {
            Mode::Facts => open(InstanceMode::Facts),
            Mode::Rows => open(InstanceMode::Rows),
            Mode::Auto => match open(InstanceMode::Facts) {
                Err(trouble) if trouble.code == "support_over_budget" => open(InstanceMode::Rows),
                opened => opened,
            },
        }
    }

    /// Answers a subscription whose session has joined the instance.
    fn attach(
        &mut self,
        session: SessionId,
        subscribe: &Subscribe,
        instance: InstanceId,
    ) -> Result<(), Trouble> {
        let Subscribe { subscription, mode: wanted, ref resume, .. } = *subscribe;
        let (epoch, seq) = (self.config.epoch, self.seq);
        let came_from = self.sessions.get(&session).and_then(|state| state.came_from);
        let resume = resume.as_ref().map(|resume| (resume, resume.checkpoint.or(came_from)));
        let way = self.instances.way(&self.db, epoch, seq, instance, resume)?;
        let Way::Join(state, frames) = way else {
            self.leave_unread(session, instance, Parting::Lingers);
            self.send(session, ServerMessage::Compare(Compare { subscription }));
            return Ok(());
        };
        let query = self.instances.query(instance);
        let subscribed = Subscribed {
            subscription,
            instance,
            mode: self.instances.mode(instance),
            columns: query.columns().iter().map(ToString::to_string).collect(),
            form: query.raw().find_form,
            state,
            fingerprint: self.instances.fingerprint(instance),
            warnings: query.warnings(&self.db.snapshot()),
        };
        if let Some(state) = self.sessions.get_mut(&session) {
            let before = state.subscriptions.insert(subscription, Attached { instance, wanted });
            if let Some(Attached { instance: before, .. }) = before {
                self.leave_unread(session, before, Parting::Lingers);
            }
        }
        self.send(session, ServerMessage::Subscribed(subscribed));
        for frame in frames {
            self.send_frame(session, frame);
        }
        self.send_marker(session);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, session: SessionId, subscription: SubscriptionId) {
        self.detach(session, subscription, Parting::Ends);
        if let Some(state) = self.sessions.get_mut(&session)
            && let Pace::Full { joins } = &mut state.pace
        {
            joins.retain(|waiting| waiting.subscription != subscription);
        }
    }

    fn detach(&mut self, session: SessionId, subscription: SubscriptionId, parting: Parting) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(Attached { instance, .. }) = state.subscriptions.remove(&subscription) else {
            return;
        };
        self.leave_unread(session, instance, parting);
    }

    /// A session leaves an instance, unless a subscription of it reads that.
    fn leave_unread(&mut self, session: SessionId, instance: InstanceId, parting: Parting) {
        let readers = self.sessions.get(&session).map(|state| state.readers(instance));
        if readers.is_none_or(|readers| readers.is_empty()) {
            self.instances.leave(&mut self.db, instance, session, parting);
        }
    }

    /// Ends all subscriptions of a session.
    pub(super) fn detach_all(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        for (_, attached) in std::mem::take(&mut state.subscriptions) {
            self.instances.leave(&mut self.db, attached.instance, session, Parting::Lingers);
        }
    }

    /// The subscriptions by which a session reads a facts-mode instance and that left the mode
    /// open, as they would be asked for again: when the support has grown over its budget, they
    /// go on with rows.
    pub(super) fn open_readers(&self, session: SessionId, instance: InstanceId) -> Vec<Subscribe> {
        let Some(state) = self.sessions.get(&session) else { return Vec::new() };
        let readers = state.readers(instance).into_iter();
        let query = || WireQuery::new(self.instances.query(instance).raw().clone());
        readers
            .filter(|(_, wanted)| *wanted == Mode::Auto)
            .map(|(subscription, mode)| Subscribe {
                subscription,
                query: query(),
                inputs: self.instances.inputs(instance).to_vec(),
                mode,
                resume: None,
            })
            .collect()
    }
}

//! The way of a transaction: checked, staged on a successor, appended, published, answered.
//!
//! Operations: [`Tenant::push`] and [`Tenant::transact`] stage; [`Tenant::appended`] publishes, one
//! commit after the other: parts to whoever reads them, then the marker, then the answer to the
//! author. Invariants: a number is answered exactly once and the same way ever after; a refusal
//! (clock, gap, storage) uses up no number, and the session's later pushes are dropped until the
//! refused number comes again; when an append fails, what was staged never happened.

use std::collections::BTreeSet;

use tercet_engine::commit::{LogRecord, Origin, Rejection};
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Seq};

use super::Tenant;
use super::instances::Change;
use super::output::{
    AppendFailure, Identity, Refusal, RequestId, Rights, TenantOutput, TransactAccepted,
    TransactError,
};
use super::records::{Answer, Lookup, Recorded, digest, is_reserved};
use super::session::Pace;
use super::staging::{Staged, Step, Waiter};
use super::trouble::Trouble;
use crate::limits::rejection;
use crate::message::{
    Ack, InstanceId, InstanceMode, Push, Refused, Reject, ServerMessage, SessionId, Stale,
    Subscribe,
};
use crate::planted::{Bug, is_planted};

/// What is to be done with a transaction of some number.
enum Turn {
    /// It is the client's next.
    Next,
    /// It is staged; the waiter has been added to it, unless it waited already.
    Staged { added: bool },
    /// It is answered.
    Answered(Answer),
    /// It cannot be taken.
    Refused(Refusal),
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

impl Tenant {
    /// A transaction of a session.
    pub(super) fn push(&mut self, session: SessionId, push: Push, now_ms: u64) {
        let Push { number, transaction } = push;
        let Some(state) = self.sessions.get_mut(&session) else { return };
        match state.stopped_at {
            Some(stopped_at) if number > stopped_at => return,
            Some(stopped_at) if number == stopped_at => state.stopped_at = None,
            _ => {}
        }
        let (client, rights) = (state.client.clone(), state.rights);
        let n_staged = state.n_staged;
        let origin = Origin { client, number, digest: digest(&transaction.ops) };
        let waiter = Waiter::Session(session);
        match self.turn(&origin, waiter) {
            Turn::Staged { added } => self.count_staged(&[waiter], added),
            Turn::Answered(answer) => self.answer(waiter, number, &answer),
            Turn::Refused(refusal) if refusal.code == "seq_gap" => {
                let next = self.last_taken(&origin.client).next();
                self.refuse(session, next, refusal, now_ms);
            }
            Turn::Refused(refusal) => self.end_session(session, refusal.code, refusal.message),
            Turn::Next if n_staged >= self.config.limits.unanswered_max => {
                let message = "too many transactions of this client wait for the disk";
                self.refuse(session, number, refusal("overloaded", message), now_ms);
            }
            // The clock comes first: a rejection uses up the number, and then nothing would give
            // new stamps to the later transactions that cover this one's.
            Turn::Next => match self.check_clock(&transaction, now_ms) {
                Err(refusal) => self.refuse(session, number, refusal, now_ms),
                Ok(()) => match self.check(&transaction, rights) {
                    Err(rejection) => self.stage_rejection(origin, rejection, waiter),
                    Ok(()) => self.stage(origin, &transaction, waiter, now_ms),
                },
            },
        }
    }

    /// A transaction of HTTP or of an import; the server stamps it. Answered by
    /// [`TenantOutput::Reply`]. With an identity, sending it again gets the recorded answer.
    pub fn transact(
        &mut self,
        request: RequestId,
        identity: Option<Identity>,
        ops: Vec<Op>,
        rights: Rights,
        now_ms: u64,
    ) {
        let waiter = Waiter::Request(request);
        let is_own = identity.is_none();
        if let Some(Identity { client, .. }) = &identity
            && is_reserved(client)
        {
            let message = format!("client id `{client}` is the server's own");
            return self.reply_refused(request, refusal("malformed", message));
        }
        let Identity { client, number } = identity.unwrap_or_else(|| Identity {
            number: self.last_taken(&self.own_client).next(),
            client: self.own_client.clone(),
        });
        let origin = Origin { client, number, digest: digest(&ops) };
        match self.turn(&origin, waiter) {
            Turn::Staged { .. } => {}
            Turn::Answered(answer) => self.answer(waiter, number, &answer),
            Turn::Refused(refusal) => self.reply_refused(request, refusal),
            Turn::Next => {
                let (clock, hlc) = self.clock.tick(now_ms);
                let transaction = Transaction { hlc, ops };
                match self.check(&transaction, rights) {
                    // Nobody can ask for its answer again: it need not be recorded.
                    Err(rejection) if is_own => {
                        let result = Err(TransactError::Rejected(rejection));
                        self.output(TenantOutput::Reply { request, result });
                    }
                    Err(rejection) => self.stage_rejection(origin, rejection, waiter),
                    Ok(()) => {
                        self.clock = clock;
                        self.stage(origin, &transaction, waiter, now_ms);
                    }
                }
            }
        }
    }

    /// What is to be done with a transaction, by its number alone.
    fn turn(&mut self, origin: &Origin, waiter: Waiter) -> Turn {
        let Origin { client, number, digest } = origin;
        let conflict = || {
            let message = format!("transaction {number} of this client had other operations");
            Turn::Refused(refusal("seq_conflict", message))
        };
        let next = self.last_taken(client).next();
        if *number == next || *number > next && is_planted(Bug::GapIsNext) {
            return Turn::Next;
        }
        if *number > next {
            let message = format!("transaction {next} is missing before transaction {number}");
            return Turn::Refused(refusal("seq_gap", message));
        }
        if let Some(staged) = self.staging.find(client, *number) {
            if staged.record.origin().digest != *digest {
                return conflict();
            }
            let added = !staged.waiters.contains(&waiter);
            if added {
                staged.waiters.push(waiter);
            }
            return Turn::Staged { added };
        }
        match self.records.find(client, *number) {
            Lookup::Answered(_) if is_planted(Bug::RepeatIsNew) => Turn::Next,
            Lookup::Answered(recorded)
                if recorded.digest != *digest && !is_planted(Bug::DigestUnchecked) =>
            {
                conflict()
            }
            Lookup::Answered(recorded) => Turn::Answered(recorded.answer.clone()),
            Lookup::Forgotten | Lookup::New => {
                let message = format!("the answer to transaction {number} is not kept any more");
                Turn::Refused(refusal("seq_conflict", message))
            }
        }
    }

    /// Whether a transaction may be accepted, but for its stamp: rights, limits, covers.
    fn check(&self, transaction: &Transaction, rights: Rights) -> Result<(), Rejection> {
        if !rights.write {
            let message = "this key may read only; use one that may write";
            return Err(rejection("read_only", message, None));
        }
        self.config.limits.check(&transaction.ops)?;
        let is_later = |(index, op): &(usize, &Op)| {
            op.covers().is_some_and(|covers| covers > transaction.stamp(*index))
        };
        match transaction.ops.iter().enumerate().find(is_later) {
            None => Ok(()),
            Some((index, _)) => {
                let message = format!("operation {index} covers a stamp later than its own");
                Err(rejection("cover_in_future", &message, Some(index)))
            }
        }
    }

    /// Whether a client's stamp may be accepted.
    fn check_clock(&self, transaction: &Transaction, now_ms: u64) -> Result<(), Refusal> {
        let committed = self.staging.head().map_or(self.greatest(), |head| head.clock());
        let drift_ms_max = self.config.drift_ms_max;
        if !hlc::is_ahead(transaction.hlc, now_ms, drift_ms_max, committed) {
            return Ok(());
        }
        let message = format!(
            "the transaction's stamp is more than {drift_ms_max} ms ahead of the server's time"
        );
        Err(refusal("clock_drift", message))
    }

    fn stage(&mut self, origin: Origin, transaction: &Transaction, waiter: Waiter, now_ms: u64) {
        let mut successor = self.staging.head().unwrap_or(self.db.store()).clone();
        let accepted = successor.accept(transaction);
        self.clock = self.clock.observe(transaction.hlc);
        let seq = Seq(self.seq.0 + self.staging.n_commits() + 1);
        let transaction = accepted.transaction;
        if is_planted(Bug::AnswerBeforeCommit) {
            let answer = Answer::Accepted { seq, effects: accepted.effects.clone().into() };
            self.answer(waiter, origin.number, &answer);
        }
        let record = LogRecord::Commit { seq, at_ms: now_ms, origin, transaction };
        let step = Step { successor, delta: accepted.delta, effects: accepted.effects };
        self.push_staged(Staged { record, step: Some(step), waiters: vec![waiter] });
    }

    fn stage_rejection(&mut self, origin: Origin, rejection: Rejection, waiter: Waiter) {
        if is_planted(Bug::RejectionUnrecorded) {
            return self.answer(waiter, origin.number, &Answer::Rejected(Box::new(rejection)));
        }
        let seq = Seq(self.seq.0 + self.staging.n_commits());
        let record = LogRecord::Reject { seq, origin, rejection };
        self.push_staged(Staged { record, step: None, waiters: vec![waiter] });
    }

    fn push_staged(&mut self, staged: Staged) {
        self.count_staged(&staged.waiters, true);
        self.staging.push(staged);
    }

    /// Counts a staged transaction for the sessions that wait for it.
    fn count_staged(&mut self, waiters: &[Waiter], added: bool) {
        for waiter in waiters {
            if let Waiter::Session(session) = waiter
                && let Some(state) = self.sessions.get_mut(session)
            {
                state.n_staged += u32::from(added);
            }
        }
    }

    /// What became of the records of the last [`TenantOutput::Append`].
    ///
    /// On failure everything staged is dropped, what was staged after that append included: it
    /// was built on what is not there. Its clients are told, and their streams stop.
    pub fn appended(&mut self, result: Result<(), AppendFailure>, now_ms: u64) {
        let stands = is_planted(Bug::FailedAppendStands);
        match result.or_else(|failure| if stands { Ok(()) } else { Err(failure) }) {
            Ok(()) => {
                for staged in self.staging.finish_append() {
                    self.settle_waiters(&staged);
                    self.publish(staged, now_ms);
                }
            }
            Err(failure) => {
                tracing::warn!(error = %failure, "append failed");
                let staged = self.staging.fail_append();
                for staged in staged {
                    self.settle_waiters(&staged);
                    self.drop_staged(&staged, now_ms);
                }
            }
        }
    }

    fn settle_waiters(&mut self, staged: &Staged) {
        for waiter in &staged.waiters {
            if let Waiter::Session(session) = waiter
                && let Some(state) = self.sessions.get_mut(session)
            {
                state.n_staged = state.n_staged.saturating_sub(1);
            }
        }
    }

    fn drop_staged(&mut self, staged: &Staged, now_ms: u64) {
        let message = "the change log cannot be written now; nothing was committed, try again";
        let number = staged.record.origin().number;
        for waiter in &staged.waiters {
            let refusal = refusal("storage_unavailable", message);
            match *waiter {
                Waiter::Request(request) => self.reply_refused(request, refusal),
                Waiter::Session(session) => {
                    // Only the first of a session's dropped numbers is where it goes on from.
                    let state = self.sessions.get(&session);
                    if state.is_some_and(|state| state.stopped_at.is_none_or(|at| at > number)) {
                        self.refuse(session, number, refusal, now_ms);
                    }
                }
            }
        }
    }

    fn publish(&mut self, staged: Staged, now_ms: u64) {
        let Staged { record, step, mut waiters } = staged;
        let answer = match &record {
            LogRecord::Commit { seq, .. } => {
                let step = step.expect("a commit is staged with its step");
                self.seq = *seq;
                if is_planted(Bug::AnswerBeforeParts) {
                    let effects = step.effects.clone().into();
                    let answer = Answer::Accepted { seq: *seq, effects };
                    for waiter in std::mem::take(&mut waiters) {
                        self.answer(waiter, record.origin().number, &answer);
                    }
                }
                self.publish_step(&step, now_ms);
                Answer::Accepted { seq: *seq, effects: step.effects.into() }
            }
            LogRecord::Reject { rejection, .. } => Answer::Rejected(Box::new(rejection.clone())),
        };
        let Origin { client, number, digest } = record.origin();
        for waiter in waiters {
            self.answer(waiter, *number, &answer);
        }
        self.records.add(client, Recorded { digest: *digest, answer });
    }

    fn publish_step(&mut self, step: &Step, now_ms: u64) {
        let before = self.db.snapshot();
        self.sum.follow(&step.delta);
        let updates = self.db.publish(step.successor.clone(), &step.delta);
        let sides = [&before, &self.db.snapshot()];
        let changes = self.instances.commit(self.seq, &step.delta, &updates, sides, now_ms);
        if is_planted(Bug::MarkerBeforeParts) {
            self.sessions.keys().copied().collect::<Vec<_>>().into_iter().for_each(|session| {
                self.send_marker(session);
            });
        }
        let mut touched = BTreeSet::new();
        let mut rejoins = Vec::new();
        for (instance, change) in changes {
            let is_stale = matches!(change, Change::Stale(_));
            let frames = match change {
                Change::Frames(frames) => frames,
                Change::Stale(Trouble { code, message, .. }) => {
                    vec![ServerMessage::Stale(Stale { instance, code, message }).into()]
                }
            };
            for session in self.instances.sessions(instance) {
                if is_stale {
                    rejoins.extend(self.rejoins(session, instance));
                }
                if self.send_parts(session, &frames) {
                    touched.insert(session);
                }
            }
        }
        for session in touched {
            self.send_marker(session);
        }
        for (session, subscribe) in rejoins {
            self.subscribe(session, subscribe);
        }
    }

    fn rejoins(&self, session: SessionId, instance: InstanceId) -> Vec<(SessionId, Subscribe)> {
        if self.instances.mode(instance) == InstanceMode::Rows {
            return Vec::new();
        }
        let readers = self.open_readers(session, instance).into_iter();
        readers.map(|subscribe| (session, subscribe)).collect()
    }

    fn answer(&mut self, waiter: Waiter, number: ClientSeq, answer: &Answer) {
        match waiter {
            Waiter::Session(session) => {
                let message = self.answer_message(number, answer);
                self.send_answer(session, message, Some(number));
                if let Answer::Accepted { seq, .. } = answer
                    && let Some(state) = self.sessions.get_mut(&session)
                    && !matches!(state.pace, Pace::Lagging { .. })
                {
                    state.position = state.position.max(*seq);
                }
            }
            Waiter::Request(request) => {
                let result = match answer {
                    Answer::Accepted { seq, effects } => Ok(TransactAccepted {
                        checkpoint: Checkpoint { epoch: self.config.epoch, seq: *seq },
                        effects: effects.to_vec(),
                    }),
                    Answer::Rejected(rejection) => {
                        Err(TransactError::Rejected((**rejection).clone()))
                    }
                };
                self.output(TenantOutput::Reply { request, result });
            }
        }
    }

    /// The recorded answer to a number, if it is kept.
    pub(super) fn recorded(&self, client: &ClientId, number: ClientSeq) -> Option<Answer> {
        match self.records.find(client, number) {
            Lookup::Answered(recorded) => Some(recorded.answer.clone()),
            Lookup::Forgotten | Lookup::New => None,
        }
    }

    pub(super) fn answer_message(&self, number: ClientSeq, answer: &Answer) -> ServerMessage {
        let clock = self.greatest();
        match answer {
            Answer::Accepted { seq, effects } => ServerMessage::Ack(Ack {
                number,
                checkpoint: Checkpoint { epoch: self.config.epoch, seq: *seq },
                effects: effects.to_vec(),
                clock,
            }),
            Answer::Rejected(rejection) => ServerMessage::Reject(Reject {
                number,
                code: rejection.code.clone(),
                message: rejection.message.clone(),
                op: rejection.op,
                clock,
            }),
        }
    }

    /// Stops a session's stream before a number.
    fn refuse(&mut self, session: SessionId, from: ClientSeq, refusal: Refusal, now_ms: u64) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.stopped_at = Some(from);
        }
        let refused = Refused {
            from_number: from,
            code: refusal.code.to_owned(),
            server_time_ms: now_ms,
            message: refusal.message,
        };
        self.send_answer(session, ServerMessage::Refused(refused), None);
    }

    fn reply_refused(&mut self, request: RequestId, refusal: Refusal) {
        let result = Err(TransactError::Refused(refusal));
        self.output(TenantOutput::Reply { request, result });
    }
}

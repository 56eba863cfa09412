//! What a client's program does and sees, and whether it may see that.
//!
//! It writes transactions that each leave a token, subscribes to questions in any mode, and looks at
//! every update the moment it comes: is the change what leads to the answer, is a complete answer
//! the one that all facts at the position have, is every own write there. What must hold of answers
//! that did not change is looked at when the position has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tercet_engine::answer::{Answer, AnswerRows, Output, Row};
use tercet_engine::fact::Op;
use tercet_engine::value::Value;
use tercet_sync::message::{ClientMessage, Mode, ServerMessage, SubscribedState};
use tercet_sync::{ClientOutput, SubscriptionId, SubscriptionUpdate};

use super::broken::Invariant;
use super::client::{deleted_by, token_in};
use super::paths::{Path, sometimes};
use super::question::{PAIRS, TOKENS, bad_op, pair_ops, token_op};
use super::witness::Writing;
use super::world::World;

/// How many percent of the updates are followed row by row, which costs more than the rest.
const DELTA_PERCENT: usize = 30;

/// A subscription as its program sees it.
pub(super) struct Watched {
    pub(super) question: usize,
    mode: Mode,
    /// What was shown last.
    answer: Option<Arc<Answer>>,
    complete: bool,
    pending: bool,
    /// It has been complete: what is missing now was taken away.
    was_complete: bool,
    /// Own tokens that were accepted since it began.
    owed: BTreeSet<String>,
}

impl Watched {
    /// Whether it was said to be complete last.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether these rows are what was shown last.
    pub(super) fn shows(&self, rows: &AnswerRows) -> bool {
        self.answer.as_ref().is_some_and(|shown| shown.rows == *rows)
    }

    /// What was promised by a history that is gone is not owed any more.
    pub(super) fn forget_history(&mut self) {
        (self.was_complete, self.owed) = (false, BTreeSet::new());
    }
}

impl World {
    /// A new process takes up what its program wants.
    pub(super) fn subscribe_some(&mut self, client: usize) {
        let random = &mut self.clients[client].random;
        let (wants_tokens, wants_pairs) = (random.chance(85), random.chance(50));
        let n_others = random.below(4);
        if wants_tokens {
            let mode = if self.plan.is_tight { Mode::Auto } else { Mode::Facts };
            self.subscribe(client, TOKENS, mode);
        }
        if wants_pairs {
            self.subscribe(client, PAIRS, Mode::Auto);
        }
        for _ in 0..n_others {
            self.subscribe_to_any(client);
        }
    }

    /// The program wants one subscription more.
    pub(super) fn subscribe_one(&mut self, client: usize) {
        if self.clients[client].watched.len() < 8 {
            self.subscribe_to_any(client);
            self.run_client(client);
        }
    }

    fn subscribe_to_any(&mut self, client: usize) {
        let state = &mut self.clients[client];
        let question = state.random.below(self.apps[state.tenant].topic.questions.len());
        let mode = *state.random.pick(&[Mode::Facts, Mode::Facts, Mode::Auto, Mode::Rows]);
        self.subscribe(client, question, mode);
    }

    fn subscribe(&mut self, client: usize, question: usize, mode: Mode) {
        self.client_now(client);
        let state = &mut self.clients[client];
        let asked = &self.apps[state.tenant].topic.questions[question];
        let Some(peer) = &mut state.peer else { return };
        let subscribed = peer.subscribe(&asked.query, asked.inputs(), mode);
        let id = match subscribed {
            Ok(id) => id,
            Err(error) if is_budget(error.code()) => return,
            Err(error) => return self.fail(Invariant::Refusal, format!("subscribe: {error}")),
        };
        let watched = Watched {
            question,
            mode,
            answer: None,
            complete: false,
            pending: false,
            was_complete: false,
            owed: BTreeSet::new(),
        };
        state.watched.insert(id, watched);
        self.tell(|| {
            format!("client {client} subscribes to question {question} in {mode:?}: {id}")
        });
    }

    /// The program ends a subscription.
    pub(super) fn unsubscribe_one(&mut self, client: usize) {
        let state = &mut self.clients[client];
        let ids: Vec<SubscriptionId> = state.watched.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *state.random.pick(&ids);
        state.watched.remove(&id);
        if let Some(peer) = &mut state.peer {
            peer.unsubscribe(id);
        }
        self.tell(|| format!("client {client} ends {id}"));
        self.run_client(client);
    }

    /// The program writes.
    pub(super) fn transact(&mut self, client: usize) {
        let now_ms = self.client_now(client);
        let state = &mut self.clients[client];
        let tenant = state.tenant;
        state.n_written += 1;
        let random = &mut state.random;
        let is_bad = random.chance(5);
        let prefix = if is_bad { "bad" } else { "w" };
        let token = format!("{prefix}:{tenant}:{client}:{}", state.n_written);
        let mut ops = vec![token_op(&token)];
        if random.chance(75) {
            ops.extend(self.apps[tenant].topic.stream.ops(random));
        }
        if random.chance(25) {
            ops.extend(pair_ops(random.bits() >> 12));
        }
        if is_bad {
            ops.push(bad_op());
        }
        let Some(peer) = &mut state.peer else { return };
        let seen = peer.position().filter(|at| at.epoch == self.apps[tenant].witness.epoch());
        let seen = seen.and_then(|at| Some((at, self.apps[tenant].witness.clock(at.seq)?)));
        match peer.transact(ops.clone(), now_ms) {
            Ok(number) => {
                state.deletes.extend(ops.iter().filter_map(deleted_by));
                state.tokens.insert(number, token.clone());
                state.visible.insert(token.clone());
                let writing = Writing { seen, may_repeat: false };
                self.apps[tenant].writings.insert(token, writing);
                self.tell(|| format!("client {client} writes {number}: {ops:?}"));
            }
            Err(tercet_sync::ClientError::EntityDeleted { entity, .. }) => {
                sometimes!(self, FailedEarly);
                self.check_early_failure(client, &entity, &ops);
            }
            Err(error) => self.fail(Invariant::Refusal, format!("transact: {error}")),
        }
        self.run_client(client);
    }

    /// A write may fail early only where the entity is deleted as far as the client can know.
    fn check_early_failure(
        &mut self,
        client: usize,
        entity: &tercet_engine::ids::EntityId,
        ops: &[Op],
    ) {
        let state = &self.clients[client];
        let is_own = state.deletes.contains(entity)
            || ops.iter().filter_map(deleted_by).any(|deleted| deleted == *entity);
        let witness = &self.apps[state.tenant].witness;
        let position = state.peer.as_ref().and_then(|peer| peer.position());
        let is_known = position.is_none_or(|at| {
            let is_dead = |seq| witness.store(seq).is_none_or(|it| it.tombstone(entity).is_some());
            at.epoch != witness.epoch() || is_dead(at.seq)
        });
        if !is_own && (!is_known || position.is_none()) {
            let text = format!("client {client}: {entity} is alive at {position:?}");
            self.fail(Invariant::EarlyFailure, text);
        }
    }

    /// Something comes to the program.
    pub(super) fn show(&mut self, client: usize, output: ClientOutput) {
        match output {
            ClientOutput::Update(update) => self.check_update(client, &update),
            ClientOutput::Failed { subscription, code, message, .. } => {
                self.clients[client].watched.remove(&subscription);
                if !is_budget(&code) {
                    self.fail(Invariant::Refusal, format!("{subscription}: {code}: {message}"));
                }
            }
            ClientOutput::Accepted { number, checkpoint, effects } => {
                let state = &mut self.clients[client];
                let Some(token) = state.tokens.remove(&number) else {
                    let text = format!("client {client}: {number} is accepted and not asked for");
                    return self.fail(Invariant::ExactlyOnce, text);
                };
                sometimes!(self, Accepted);
                if effects.iter().any(|effect| *effect != tercet_engine::fact::Effect::Applied) {
                    sometimes!(self, Superseded);
                }
                let tenant = state.tenant;
                for watched in state.watched.values_mut() {
                    watched.owed.insert(token.clone());
                }
                state.accepted.insert(token.clone());
                if !self.apps[tenant].witness.has_token(&token) {
                    let text = format!("`{token}` is acknowledged at {checkpoint}, not in the log");
                    self.fail(Invariant::Durable, text);
                }
            }
            ClientOutput::Rejected { number, code, message, .. } => {
                self.rejected(client, number, &code, &message);
            }
            ClientOutput::Renumbered { numbers } => {
                sometimes!(self, Renumbered);
                let state = &mut self.clients[client];
                let mut old = std::mem::take(&mut state.tokens);
                let moved = numbers.into_iter();
                state.tokens =
                    moved.filter_map(|(from, to)| Some((to, old.remove(&from)?))).collect();
                if let Some(lost) = old.values().next().cloned() {
                    self.fail(Invariant::Outbox, format!("`{lost}` was not renumbered"));
                }
                self.forget_identity(client);
            }
            _ => {}
        }
    }

    fn rejected(
        &mut self,
        client: usize,
        number: tercet_engine::ids::ClientSeq,
        code: &str,
        message: &str,
    ) {
        let state = &mut self.clients[client];
        let Some(token) = state.tokens.remove(&number) else {
            let text = format!("client {client}: {number} is rejected and not asked for");
            return self.fail(Invariant::ExactlyOnce, text);
        };
        let is_earned = match code {
            "cover_in_future" => token.starts_with("bad"),
            "read_only" => state.was_refused_rights,
            _ => false,
        };
        state.visible.remove(&token);
        state.rejected.insert(token.clone());
        sometimes!(self, Rejected);
        if !is_earned {
            self.fail(Invariant::Refusal, format!("`{token}` is rejected: {code}: {message}"));
        }
    }

    fn check_update(&mut self, client: usize, update: &SubscriptionUpdate) {
        let state = &mut self.clients[client];
        let Some(watched) = state.watched.get_mut(&update.subscription) else {
            let text = format!("client {client}: {} has ended", update.subscription);
            return self.fail(Invariant::Delta, text);
        };
        let before = watched.answer.replace(Arc::clone(&update.answer));
        (watched.complete, watched.pending) = (update.complete, update.pending);
        watched.was_complete |= update.complete;
        let question = watched.question;
        sometimes!(self, PendingShown, update.pending);
        sometimes!(self, Partial, !update.complete);
        sometimes!(self, Complete, update.complete);
        let n_rows = update.answer.rows.len();
        self.trace.number(n_rows as u64);
        self.tell(|| {
            let (complete, pending) = (update.complete, update.pending);
            format!(
                "client {client}: {} of question {question} has {n_rows} rows, complete \
                 {complete}, pending {pending}",
                update.subscription
            )
        });
        if self.checks.chance(DELTA_PERCENT) {
            let before = before.map(|answer| answer.rows.to_vec()).unwrap_or_default();
            if let Err(text) = leads(&before, &update.delta, &update.answer.rows.to_vec()) {
                let text = format!("client {client}, {}: {text}", update.subscription);
                self.fail(Invariant::Delta, text);
            }
        }
        self.check_complete(client, update.subscription);
        if [TOKENS, PAIRS].contains(&question) {
            let rows = update.answer.rows.to_vec();
            if question == PAIRS && rows.iter().any(|row| row[0] != row[1]) {
                self.fail(Invariant::Whole, format!("client {client}: {rows:?}"));
            } else if question == TOKENS {
                self.check_tokens(client, update.subscription, &rows);
            }
        }
    }

    /// A complete answer without own writes is the one that all facts at the position have.
    pub(super) fn check_complete(&mut self, client: usize, subscription: SubscriptionId) {
        let state = &self.clients[client];
        let Some(watched) = state.watched.get(&subscription) else { return };
        if !watched.complete || watched.pending {
            return;
        }
        let Some(at) = state.peer.as_ref().and_then(|peer| peer.position()) else {
            return self.fail(Invariant::Complete, "a complete answer without a position");
        };
        let app = &mut self.apps[state.tenant];
        if at.epoch != app.witness.epoch() || app.witness.facts(at.seq).is_none() {
            return self.fail(Invariant::Position, format!("client {client} is at {at}"));
        }
        let questions = &app.topic.questions;
        let expected = app.witness.answer(questions, watched.question, at.seq, &self.budget);
        let Some(expected) = expected else { return };
        if !watched.shows(&expected.rows) {
            let query = tercet_query_lang::print(questions[watched.question].query.raw());
            let text = format!(
                "client {client}, {subscription} in {:?} at {at}: {:?}, not {:?}, of {query}",
                watched.mode,
                watched.answer.as_ref().map(|answer| answer.rows.to_vec()),
                expected.rows.to_vec()
            );
            self.fail(Invariant::Complete, text);
        }
    }

    /// Own writes are shown from the moment they are made, without a gap; an answer that was never
    /// complete need not show those that were accepted before it was asked for. Rows of the server
    /// show no pending writes.
    fn check_tokens(&mut self, client: usize, subscription: SubscriptionId, rows: &[Row]) {
        let state = &self.clients[client];
        let Some(watched) = state.watched.get(&subscription) else { return };
        let shown: BTreeSet<&str> = rows.iter().filter_map(|row| text_of(&row[1])).collect();
        let other = shown.iter().find(|token| {
            let mut parts = token.split(':').skip(1);
            parts.next().is_some_and(|tenant| tenant != state.tenant.to_string())
        });
        if let Some(other) = other {
            let text = format!("client {client} of tenant {} sees {other}", state.tenant);
            return self.fail(Invariant::Tenant, text);
        }
        if watched.mode != Mode::Facts || self.plan.is_tight {
            return;
        }
        let earlier = state.visible.iter().filter(|_| watched.was_complete);
        let mut expected = state.tokens.values().chain(&watched.owed).chain(earlier);
        if let Some(missing) = expected.find(|token| !shown.contains(token.as_str())) {
            let text = format!("client {client}: `{missing}` is not shown");
            return self.fail(Invariant::Flicker, text);
        }
        let writings = &self.apps[state.tenant].writings;
        let is_once = |token: &&String| writings.get(*token).is_none_or(|it| !it.may_repeat);
        let rejected = state.rejected.iter().filter(is_once);
        let rejected = rejected.into_iter().find(|token| shown.contains(token.as_str()));
        if let Some(rejected) = rejected {
            let text = format!("client {client}: `{rejected}` is rejected and shown");
            self.fail(Invariant::Flicker, text);
        }
    }

    /// The message that a client sends may be sent.
    pub(super) fn check_sent(&mut self, client: usize, message: &ClientMessage) {
        let ClientMessage::Push(push) = message else { return };
        let state = &self.clients[client];
        let entries = &state.disk.saved.entries;
        let is_there = entries
            .iter()
            .any(|entry| entry.number == push.number && entry.transaction == push.transaction);
        if state.has_outbox && !is_there {
            let token = token_in(&push.transaction.ops);
            let text = format!("client {client} sends {} `{token:?}`, not stored", push.number);
            self.fail(Invariant::Outbox, text);
        }
    }

    /// What a message shows of rare paths.
    pub(super) fn note_heard(&mut self, message: &ServerMessage) {
        let path = match message {
            ServerMessage::Subscribed(subscribed) => match subscribed.state {
                SubscribedState::Reset => Path::Reset,
                SubscribedState::Unchanged => Path::Unchanged,
                SubscribedState::Replay => Path::Replay,
                SubscribedState::Buckets { .. } => Path::Buckets,
            },
            ServerMessage::Resync(_) => Path::Resync,
            ServerMessage::Compare(_) => Path::Compare,
            ServerMessage::Stale(_) => Path::Stale,
            ServerMessage::RowsPart(_) => Path::Rows,
            ServerMessage::FactsPart(part) => {
                for install in &part.installs {
                    match install {
                        tercet_engine::fact::Install::Deleted(..) => sometimes!(self, Deleted),
                        tercet_engine::fact::Install::Restored(..) => sometimes!(self, Restored),
                        tercet_engine::fact::Install::Released(..) => sometimes!(self, Released),
                        _ => {}
                    }
                }
                return;
            }
            _ => return,
        };
        self.paths.note(path);
    }
}

fn is_budget(code: &str) -> bool {
    ["query_over_budget", "support_over_budget"].contains(&code)
}

fn text_of(output: &Output) -> Option<&str> {
    match output {
        Output::Value(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether a change leads from some rows to others, each counted.
fn leads(
    before: &[Row],
    delta: &tercet_engine::db::RowsDelta,
    after: &[Row],
) -> Result<(), String> {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    for row in before.iter().chain(&delta.added) {
        *counts.entry(row).or_default() += 1;
    }
    for row in delta.removed.iter().chain(after) {
        *counts.entry(row).or_default() -= 1;
    }
    match counts.into_iter().find(|(_, count)| *count != 0) {
        None => Ok(()),
        Some((row, count)) => Err(format!("{count} too many of {row:?} before what is shown")),
    }
}

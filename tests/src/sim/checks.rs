//! What is looked at when a client has come to rest for a moment, and in the end.

use std::collections::BTreeSet;

use tercet_engine::commit::LogRecord;
use tercet_engine::fact::{Fact, Mark};
use tercet_engine::store::Snapshot;
use tercet_sync::SubscriptionId;

use super::broken::Invariant;
use super::network::{Connection, ConnectionId};
use super::server::Hosted;
use super::world::{START_MS, World};
use crate::minimize::catch;
use crate::oracle::eval::answer;
use crate::oracle::merge::History;

/// How long it may take until everything is answered when nothing fails any more: a connection is
/// found dead after 30 s, and tried again or pushed over after 36 s each; a subscription that was
/// too much is tried again after a minute.
const REST_MS_MAX: u64 = 200_000;

/// How long a queue may take to drain over a fresh connection.
const DRAIN_MS_MAX: u64 = 10_000;

/// When the last attempt that was made before the healing is over.
const BACKOFF_MS_MAX: u64 = 37_000;

/// How many percent of the runs have their last answers judged by the oracle, which is slow.
const ORACLE_PERCENT: usize = 20;

impl World {
    /// Looks at a client after something has happened to it.
    pub(super) fn check_client(&mut self, client: usize) {
        let state = &mut self.clients[client];
        let Some(peer) = &state.peer else { return };
        let position = peer.position();
        let before = std::mem::replace(&mut state.position, position);
        let went_back = before.zip(position).is_some_and(|(before, position)| {
            before.epoch == position.epoch && position.seq < before.seq
        });
        if went_back {
            let text = format!("client {client} goes from {before:?} to {position:?}");
            return self.fail(Invariant::Position, text);
        }
        if before != position {
            self.check_move(client);
        }
        if self.checks.chance(4) {
            self.check_view(client);
        }
        if self.checks.chance(4) {
            self.check_replica(client);
        }
    }

    /// The position has moved: what was complete and did not change must still be right.
    fn check_move(&mut self, client: usize) {
        let state = &self.clients[client];
        let watched: Vec<SubscriptionId> = state.watched.keys().copied().collect();
        for subscription in watched {
            self.check_complete(client, subscription);
        }
    }

    /// The view is the pending writes over what is confirmed, and answers follow it.
    fn check_view(&mut self, client: usize) {
        let state = &self.clients[client];
        let Some(peer) = &state.peer else { return };
        if !peer.is_view_sound() {
            self.fail(Invariant::View, format!("client {client} shows another fold"));
        }
    }

    /// What is confirmed is what the log has at the position, and all of it is needed.
    fn check_replica(&mut self, client: usize) {
        let state = &self.clients[client];
        let Some(peer) = &state.peer else { return };
        let confirmed = peer.confirmed();
        let n_held = peer.n_facts_held() as u64;
        if n_held != confirmed.n_facts() {
            let text = format!("client {client}: {n_held} held, {} known", confirmed.n_facts());
            return self.fail(Invariant::Replica, text);
        }
        let Some(at) = peer.position() else { return };
        let witness = &self.apps[state.tenant].witness;
        let Some(facts) = witness.facts(at.seq).filter(|_| at.epoch == witness.epoch()) else {
            return;
        };
        if let Some(stray) = first_stray(&confirmed, facts) {
            self.fail(Invariant::Replica, format!("client {client} at {at} holds {stray:?}"));
        }
    }

    /// Nothing fails any more.
    pub(super) fn heal(&mut self) {
        self.healed_at_ms = Some(self.now_ms);
        self.partitions.clear();
        for connection in self.connections.values_mut() {
            (connection.up.clogged_until_ms, connection.down.clogged_until_ms) = (0, 0);
        }
        for client in &mut self.clients {
            (client.reads_every_ms, client.frozen_until_ms) = (0, 0);
            client.clock.drift = 0;
        }
        for server in &mut self.servers {
            (server.frozen_until_ms, server.dies_at) = (0, None);
        }
        // Whoever was led to another server than the owner comes again.
        let misled: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, it)| it.server != self.apps[it.tenant].owner)
            .map(|(id, _)| *id)
            .collect();
        for id in misled {
            self.server_loses(id);
            self.client_loses(id);
            self.connections.remove(&id);
        }
        // The operator ends a process that another one has taken over from.
        for tenant in 0..self.apps.len() {
            self.apps[tenant].full_until_ms = 0;
            for server in 0..self.servers.len() {
                if server != self.apps[tenant].owner || !self.is_owner(server, tenant) {
                    self.let_go(server, tenant, true);
                }
            }
        }
    }

    /// The second part: everything comes to rest.
    pub(super) fn run_to_rest(&mut self) {
        let healed_ms = self.now_ms;
        let mut looked_ms = healed_ms;
        while self.broken.is_none() && !self.is_at_rest() {
            looked_ms += 250;
            if looked_ms > healed_ms + REST_MS_MAX {
                let text = self.unrest().unwrap_or_default();
                return self.fail(Invariant::Liveness, text);
            }
            while self.broken.is_none() && self.step(looked_ms) {}
            self.now_ms = looked_ms;
            self.check_drained(healed_ms);
        }
    }

    fn is_at_rest(&self) -> bool {
        self.unrest().is_none()
    }

    /// What is not yet at rest.
    fn unrest(&self) -> Option<String> {
        for tenant in 0..self.apps.len() {
            if !self.is_import_answered(tenant) {
                return Some(format!("an import of tenant {tenant} waits"));
            }
            let is_appending = self
                .servers
                .iter()
                .any(|server| server.hosted.get(&tenant).is_some_and(Hosted::is_appending));
            if is_appending {
                return Some(format!("tenant {tenant} appends"));
            }
        }
        if self.connections.values().any(Connection::is_carrying) {
            return Some("frames are on their way".to_owned());
        }
        (0..self.clients.len()).find_map(|client| self.unrest_of(client))
    }

    fn unrest_of(&self, client: usize) -> Option<String> {
        let state = &self.clients[client];
        let Some(peer) = &state.peer else { return Some(format!("client {client} is dead")) };
        if peer.n_unanswered() > 0 || !state.tokens.is_empty() {
            let (n, tokens) = (peer.n_unanswered(), &state.tokens);
            return Some(format!("client {client} has {n} without an answer: {tokens:?}"));
        }
        if !state.connection.is_some_and(|id| self.is_whole(id)) {
            return Some(format!("client {client} is not connected"));
        }
        let Some(at) = peer.position() else {
            return Some(format!("client {client} was never live"));
        };
        let witness = &self.apps[state.tenant].witness;
        let incomplete = state.watched.iter().find(|(_, watched)| !watched.is_complete());
        match incomplete {
            _ if at.epoch != witness.epoch() => Some(format!("client {client} is at {at}")),
            None => None,
            // What is over its budget may stay stale for ever.
            Some((id, _)) if !self.plan.is_tight && !peer.is_stale(*id) => {
                Some(format!("client {client}: {id} is partial at {at}"))
            }
            Some(_) => None,
        }
    }

    /// A client whose connection is fresh has its answers soon.
    fn check_drained(&mut self, healed_ms: u64) {
        for client in 0..self.clients.len() {
            let state = &self.clients[client];
            let since_ms = state.opened_at_ms.max(healed_ms + BACKOFF_MS_MAX);
            let has_late = self.now_ms > since_ms + DRAIN_MS_MAX && !state.tokens.is_empty();
            if has_late && state.connection.is_some_and(|id| self.is_whole(id)) {
                let text = format!("client {client} still waits for {:?}", state.tokens);
                return self.fail(Invariant::Liveness, text);
            }
        }
    }

    fn is_whole(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|it| it.has_client && it.has_server)
    }

    /// What must hold in the end.
    pub(super) fn check_end(&mut self) {
        for client in 0..self.clients.len() {
            self.check_view(client);
            self.check_replica(client);
            self.check_shown(client);
            self.check_tokens_kept(client);
        }
        for tenant in 0..self.apps.len() {
            for server in 0..self.servers.len() {
                self.check_memory(server, tenant);
            }
            self.check_merge(tenant);
            self.check_answers(tenant);
        }
    }

    /// Everyone shows what the log holds, also where the position is an earlier one: nothing that
    /// concerns the answer has happened since.
    fn check_shown(&mut self, client: usize) {
        let state = &self.clients[client];
        let app = &mut self.apps[state.tenant];
        let (last, questions) = (app.witness.seq(), &app.topic.questions);
        for (id, watched) in &state.watched {
            let expected = app.witness.answer(questions, watched.question, last, &self.budget);
            let Some(expected) = expected.filter(|_| watched.is_complete()) else { continue };
            if !watched.shows(&expected.rows) {
                let text = format!("client {client}, {id} does not show what all others do");
                return self.fail(Invariant::Liveness, text);
            }
        }
    }

    /// What was accepted is there, what was rejected is not.
    fn check_tokens_kept(&mut self, client: usize) {
        let state = &self.clients[client];
        let witness = &self.apps[state.tenant].witness;
        let lost = state.accepted.iter().find(|token| !witness.has_token(token));
        if let Some(lost) = lost.cloned() {
            self.fail(Invariant::Durable, format!("`{lost}` was acknowledged and is lost"));
        }
        let state = &self.clients[client];
        let witness = &self.apps[state.tenant].witness;
        let twins = &self.twins;
        let is_alone = state.peer.as_ref().is_some_and(|it| !twins.contains(it.client().as_str()));
        let there = state.rejected.iter().find(|token| is_alone && witness.has_token(token));
        let may_repeat = |token: &String| {
            self.apps[state.tenant].writings.get(token).is_some_and(|writing| writing.may_repeat)
        };
        if let Some(there) = there.filter(|token| !may_repeat(token)).cloned() {
            self.fail(Invariant::ExactlyOnce, format!("`{there}` was rejected and is there"));
        }
    }

    /// The facts that all changes leave, by the oracle; and covers that were clamped once.
    fn check_merge(&mut self, tenant: usize) {
        let app = &self.apps[tenant];
        let mut history = History::default();
        for record in &app.log.records {
            let LogRecord::Commit { transaction, seq, .. } = record else { continue };
            let has_covers = transaction.ops.iter().any(|op| op.covers().is_some());
            if has_covers && history.clamp(transaction) != *transaction {
                let clamped = history.clamp(transaction);
                let text = format!("commit {seq}: {transaction:?}, not {clamped:?}");
                return self.fail(Invariant::Covers, text);
            }
            history.push(transaction);
        }
        let expected: Vec<(Fact, Mark)> = history.visible().into_iter().collect();
        let last = app.witness.seq();
        let facts = app.witness.facts(last).expect("the last position is known");
        if sorted(facts) != expected {
            let found = sorted(facts).into_iter().collect::<BTreeSet<_>>();
            let expected = expected.into_iter().collect::<BTreeSet<_>>();
            let more: Vec<_> = found.difference(&expected).collect();
            let fewer: Vec<_> = expected.difference(&found).collect();
            let text = format!("tenant {tenant} has {more:?} and lacks {fewer:?}");
            self.fail(Invariant::Merge, text);
        }
    }

    /// A share of the answers, by the oracle: it shares no code with the engine, and is slow.
    fn check_answers(&mut self, tenant: usize) {
        if !self.checks.chance(ORACLE_PERCENT) {
            return;
        }
        let app = &mut self.apps[tenant];
        let transactions = app.log.records.iter().filter_map(|record| match record {
            LogRecord::Commit { transaction, .. } => Some(transaction),
            LogRecord::Reject { .. } => None,
        });
        let facts = History::of(transactions).visible();
        let last = app.witness.seq();
        for index in 0..app.topic.questions.len() {
            let case = &app.topic.questions[index].case;
            let found = app.witness.answer(&app.topic.questions, index, last, &self.budget);
            let expected = catch(|| answer(&case.program, &facts, &case.inputs));
            if let (Ok(Ok(expected)), Some(found)) = (expected, found) {
                self.paths.note(super::paths::Path::OracleAsked);
                if found.rows.to_vec() != expected {
                    let text = format!("question {index}: {:?}, not {expected:?}", found.rows);
                    return self.fail(Invariant::Complete, text);
                }
            }
        }
    }

    /// How long the run has taken until now.
    pub(super) fn elapsed_ms(&self) -> u64 {
        self.now_ms - START_MS
    }
}

fn sorted(snapshot: &Snapshot) -> Vec<(Fact, Mark)> {
    let mut facts: Vec<_> = snapshot.iter().collect();
    facts.sort_unstable();
    facts
}

/// A fact of the first that the second does not have, with the same mark.
fn first_stray(some: &Snapshot, all: &Snapshot) -> Option<(Fact, Mark)> {
    let all = sorted(all);
    sorted(some).into_iter().find(|fact| all.binary_search(fact).is_err())
}

//! The engine's database with its live queries, and what the oracle knows of both.
//!
//! The oracle sees a list of transactions and evaluates from scratch; the engine is told deltas.
//! A program that the oracle has enough of, or that cannot be live, is left out from there on:
//! nothing is said about it.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::answer::Row;
use tercet_engine::db::{Db, InstanceId, Query};
use tercet_engine::fact::Transaction;
use tercet_engine::limits::Budget;
use tercet_engine::store::{Store, StoreDelta};

use super::judge::{Complaint, Report, Watch, What};
use super::watched::{Watched, is_over};
use super::ways::{Kept, WAYS};
use super::{Fate, Step, Trial};
use crate::minimize::catch;
use crate::oracle::eval::answer;
use crate::oracle::merge::{Facts, History};
use crate::subject;

pub(super) struct World<'a> {
    trial: &'a Trial,
    db: Db,
    confirmed: Store,
    confirmed_transactions: Vec<Transaction>,
    pending: Vec<Transaction>,
    /// What each pending transaction changed when the view was folded.
    layers: Vec<StoreDelta>,
    facts: Facts,
    watched: BTreeMap<usize, Watched>,
    /// How many times each instance is subscribed.
    users: BTreeMap<InstanceId, usize>,
    /// Instances that were said to be stale.
    stale: BTreeSet<InstanceId>,
    watches: Vec<Watch>,
}

impl<'a> World<'a> {
    pub(super) fn new(trial: &'a Trial) -> World<'a> {
        let confirmed = subject::store(&trial.start);
        let mut db = Db::with_store(confirmed.clone());
        db.set_live_limits(trial.limits.live);
        let mut world = World {
            trial,
            db,
            confirmed,
            confirmed_transactions: trial.start.clone(),
            pending: Vec::new(),
            layers: Vec::new(),
            facts: Facts::new(),
            watched: BTreeMap::new(),
            users: BTreeMap::new(),
            stale: BTreeSet::new(),
            watches: vec![Watch::default(); trial.questions.len()],
        };
        world.facts = world.visible();
        world
    }

    /// What has been shown.
    pub(super) fn report(self) -> Report {
        let stats = self.db.live_stats();
        let n_fallbacks = stats.iter().map(|shape| shape.n_fallbacks).sum();
        Report { watches: self.watches, n_fallbacks }
    }

    fn visible(&self) -> Facts {
        History::of(self.confirmed_transactions.iter().chain(&self.pending)).visible()
    }

    /// The oracle's answer now; none when it has enough, or the program is not valid.
    fn expected(&self, question: usize) -> Option<Vec<Row>> {
        let case = &self.trial.questions[question];
        catch(|| answer(&case.program, &self.facts, &case.inputs)).ok()?.ok()
    }

    /// Far more than what the oracle can answer takes, unless the trial says less: facts may come
    /// that make a recursion endless, and it has to come to an end.
    fn budget(&self) -> Budget {
        let rows = self.trial.limits.rows.unwrap_or(2_000_000);
        Budget { rows: Some(rows), bytes: Some(256 << 20), ..Budget::unlimited() }
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), Complaint> {
        match step {
            Step::Subscribe(question) => self.subscribe(*question),
            Step::Unsubscribe(question) => self.unsubscribe(*question),
            Step::Refresh(question) => self.refresh(*question),
            Step::Publish { arrived, left } => {
                let (successor, delta) = self.arrive(arrived, left);
                self.publish(successor, &delta)
            }
            Step::Push(transaction) => {
                let mut successor = self.db.store().clone();
                let delta = successor.apply(transaction);
                self.pending.push(transaction.clone());
                self.layers.push(delta.clone());
                self.publish(successor, &delta)
            }
        }
    }

    fn subscribe(&mut self, question: usize) -> Result<(), Complaint> {
        let case = &self.trial.questions[question];
        if self.watches[question].is_void {
            return Ok(());
        }
        let Some(rows) = self.expected(question) else {
            self.watches[question].is_void = true;
            return Ok(());
        };
        let query = subject::prepare(&case.program);
        let query = query.map_err(|why| (What::Refused, None, why.0))?;
        if query.check_live().is_err() {
            self.watches[question].is_void = true;
            return Ok(());
        }
        match self.watched.get(&question).map(Watched::shared) {
            None => self.subscribe_in_all_ways(question, &query, rows),
            Some(instance) => self.subscribe_again(question, &query, instance),
        }
    }

    fn subscribe_in_all_ways(
        &mut self,
        question: usize,
        query: &Query,
        rows: Vec<Row>,
    ) -> Result<(), Complaint> {
        let mut instances: Vec<(Kept, InstanceId)> = Vec::new();
        for kept in WAYS {
            match self.enter(kept, question, query)? {
                Some(instance) => instances.push((kept, instance)),
                // Too much for the limits in one way: it is not watched in any.
                None => {
                    return instances.iter().try_for_each(|(kept, id)| self.leave(*kept, *id));
                }
            }
        }
        let watched = Watched::new(&self.db, query, instances, rows)?;
        self.watches[question].tier = self.db.tier(watched.shared());
        watched.check_tiers(&self.db)?;
        watched.check_answers(&self.db, &self.stale, self.trial.limits)?;
        self.watched.insert(question, watched);
        Ok(())
    }

    fn subscribe_again(
        &mut self,
        question: usize,
        query: &Query,
        instance: InstanceId,
    ) -> Result<(), Complaint> {
        let Some(again) = self.enter(Kept::Shared, question, query)? else { return Ok(()) };
        let watched = self.watched.get_mut(&question).expect("it is subscribed");
        watched.n_users += 1;
        if again != instance {
            let text = format!("{instance:?} is subscribed, and again it is {again:?}");
            return Err((What::Instance, Some(Kept::Shared), text));
        }
        watched.check_answers(&self.db, &self.stale, self.trial.limits)
    }

    /// One more user of an instance; none when that is too much for the limits.
    fn enter(
        &mut self,
        kept: Kept,
        question: usize,
        query: &Query,
    ) -> Result<Option<InstanceId>, Complaint> {
        let (inputs, budget) = (&self.trial.questions[question].inputs, self.budget());
        match kept.subscribe(&mut self.db, query, inputs, &budget) {
            Ok(instance) => {
                *self.users.entry(instance).or_default() += 1;
                // Whoever comes takes it up again.
                self.stale.remove(&instance);
                Ok(Some(instance))
            }
            Err(error) if is_over(&error, self.trial.limits) => Ok(None),
            Err(error) => Err((What::Refused, Some(kept), format!("{error:?}"))),
        }
    }

    fn unsubscribe(&mut self, question: usize) -> Result<(), Complaint> {
        let Some(watched) = self.watched.get_mut(&question) else { return Ok(()) };
        watched.n_users -= 1;
        if watched.n_users > 0 {
            let shared = watched.shared();
            return self.leave(Kept::Shared, shared);
        }
        self.forget(question)
    }

    /// Ends all subscriptions of a question.
    fn forget(&mut self, question: usize) -> Result<(), Complaint> {
        let Some(watched) = self.watched.remove(&question) else { return Ok(()) };
        for _ in 1..watched.n_users {
            self.leave(Kept::Shared, watched.shared())?;
        }
        watched.instances.iter().try_for_each(|(kept, instance)| self.leave(*kept, *instance))
    }

    /// One user of an instance leaves; the last one ends it.
    fn leave(&mut self, kept: Kept, instance: InstanceId) -> Result<(), Complaint> {
        self.db.unsubscribe(instance);
        let n_users = self.users.get_mut(&instance).expect("it was subscribed");
        *n_users -= 1;
        let has_ended = *n_users == 0;
        if has_ended {
            self.users.remove(&instance);
            self.stale.remove(&instance);
        }
        if has_ended == self.db.tier(instance).is_some() {
            let text = format!("{instance:?} has ended: {has_ended}; the engine says otherwise");
            return Err((What::Instance, Some(kept), text));
        }
        Ok(())
    }

    /// Takes up the stale instances of a question again; some may still be too much.
    fn refresh(&mut self, question: usize) -> Result<(), Complaint> {
        let Some(watched) = self.watched.get(&question) else { return Ok(()) };
        for (kept, instance) in &watched.instances {
            match self.db.refresh(*instance) {
                Ok(()) => drop(self.stale.remove(instance)),
                Err(error) if is_over(&error, self.trial.limits) => {
                    self.stale.insert(*instance);
                }
                Err(error) => return Err((What::Refused, Some(*kept), format!("{error:?}"))),
            }
        }
        watched.check_answers(&self.db, &self.stale, self.trial.limits)
    }

    /// The next state and what leads to it: by the transactions alone, or by folding the view
    /// anew where some are pending.
    fn arrive(&mut self, arrived: &[Transaction], left: &[(u64, Fate)]) -> (Store, StoreDelta) {
        let mut arrived = arrived.to_vec();
        let was_pending = !self.pending.is_empty();
        for (ms, fate) in left {
            let is_meant = |pending: &Transaction| pending.hlc.physical_ms() == *ms;
            let Some(index) = self.pending.iter().position(is_meant) else { continue };
            let transaction = self.pending.remove(index);
            if *fate == Fate::Confirmed {
                arrived.push(transaction);
            }
        }
        let deltas = arrived.iter().map(|transaction| self.confirmed.apply(transaction));
        let installed = StoreDelta::concat(deltas.collect());
        self.confirmed_transactions.extend(arrived);
        let mut view = self.confirmed.clone();
        if !was_pending {
            return (view, installed);
        }
        let layers: Vec<StoreDelta> = self.pending.iter().map(|it| view.apply(it)).collect();
        let undone = StoreDelta::concat(std::mem::take(&mut self.layers)).inverse();
        let delta = undone.then(installed).then(StoreDelta::concat(layers.clone()));
        self.layers = layers;
        (view, delta)
    }

    fn publish(&mut self, successor: Store, delta: &StoreDelta) -> Result<(), Complaint> {
        let updates = self.db.publish(successor, delta);
        if !updates.is_sorted_by(|a, b| a.instance < b.instance) {
            let instances = updates.iter().map(|update| update.instance).collect::<Vec<_>>();
            return Err((What::Stray, None, format!("updates of {instances:?}, in this order")));
        }
        let stray = updates.iter().find(|update| !self.users.contains_key(&update.instance));
        if let Some(stray) = stray {
            return Err((What::Stray, None, format!("{stray:?} of an instance that has ended")));
        }
        let facts = self.visible();
        let is_unchanged = facts == self.facts;
        self.facts = facts;
        let updates = updates.into_iter().map(|it| (it.instance, it)).collect::<BTreeMap<_, _>>();
        let mut stale = self.stale.clone();
        for question in self.watched.keys().copied().collect::<Vec<_>>() {
            let rows = match is_unchanged {
                true => Some(self.watched[&question].rows.clone()),
                false => self.expected(question),
            };
            let Some(rows) = rows else {
                self.watches[question].is_void = true;
                self.forget(question)?;
                continue;
            };
            let watched = self.watched.get_mut(&question).expect("it is watched");
            let limits = self.trial.limits;
            let checked = watched.check_updates(rows, &updates, &self.stale, limits);
            let (has_moved, newly_stale) = checked.map_err(|it| of_question(question, it))?;
            let watch = &mut self.watches[question];
            watch.n_publishes += 1;
            watch.n_updates += usize::from(has_moved);
            watch.n_stale += newly_stale.len();
            stale.extend(newly_stale);
            let answers = watched.check_answers(&self.db, &stale, limits);
            answers.map_err(|it| of_question(question, it))?;
        }
        self.stale = stale;
        Ok(())
    }
}

fn of_question(question: usize, (what, kept, text): Complaint) -> Complaint {
    (what, kept, format!("question {question}\n{text}"))
}

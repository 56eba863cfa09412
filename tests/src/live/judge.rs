//! Playing a trial against the engine, with the oracle's answer beside every step.
//!
//! The oracle sees a list of transactions and evaluates from scratch; the engine is told deltas.
//! A program that the oracle has enough of, or that cannot be live, is left out from there on:
//! nothing is said about it.

use std::collections::BTreeMap;
use std::fmt;

use tercet_engine::answer::Row;
use tercet_engine::db::{Db, InstanceId, LiveUpdate, RowsDelta, Tier};
use tercet_engine::fact::Transaction;
use tercet_engine::store::{Store, StoreDelta};

use super::ways::{Kept, WAYS};
use super::{Fate, Step, Trial};
use crate::minimize::catch;
use crate::oracle::eval::answer;
use crate::oracle::merge::{Facts, History};
use crate::subject;
use crate::text::print_rows;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A valid program is refused.
    Refused,
    /// The engine panics.
    Panic,
    /// There is no answer, or another one than the oracle's.
    Answer,
    /// The update is not the difference of the answers.
    Update,
    /// An update of an instance that has ended, or two of one, or out of order.
    Stray,
    /// Instances are shared, ended or kept otherwise than they should be.
    Instance,
}

/// Where a trial goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// The index of the step.
    pub step: usize,
    /// What is wrong.
    pub what: What,
    /// The instance that is wrong, if one is.
    pub kept: Option<Kept>,
    /// The whole story.
    pub text: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.map_or(String::new(), |kept| format!(", kept {kept:?}"));
        writeln!(f, "; wrong after step {}: {:?}{kept}", self.step + 1, self.what)?;
        self.text.lines().try_for_each(|line| writeln!(f, ";   {line}"))
    }
}

/// What became of a question.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    /// The tier of the shared instance, once it was subscribed.
    pub tier: Option<Tier>,
    /// How many publishes it saw.
    pub n_publishes: usize,
    /// How many of them changed its answer.
    pub n_updates: usize,
    /// It was left out from some step on.
    pub is_void: bool,
}

/// What a trial that went well has shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// One for each question.
    pub watches: Vec<Watch>,
}

/// How engine and oracle compare on a trial.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The law held.
    Agree(Report),
    /// It did not.
    Wrong(Wrong),
}

impl Trial {
    /// Plays the trial.
    pub fn judge(&self) -> Verdict {
        let mut world = match catch(|| World::new(self)) {
            Ok(world) => world,
            Err(text) => {
                return Verdict::Wrong(Wrong { step: 0, what: What::Panic, kept: None, text });
            }
        };
        for (step, happens) in self.steps.iter().enumerate() {
            let (what, kept, text) = match catch(|| world.step(happens)) {
                Ok(Ok(())) => continue,
                Ok(Err(complaint)) => complaint,
                Err(message) => (What::Panic, None, message),
            };
            return Verdict::Wrong(Wrong { step, what, kept, text });
        }
        Verdict::Agree(world.report)
    }
}

type Complaint = (What, Option<Kept>, String);

/// The engine's database with its live queries, and what the oracle knows of both.
struct World<'a> {
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
    report: Report,
}

/// A subscribed question.
struct Watched {
    instances: Vec<(Kept, InstanceId)>,
    /// How often the shared one is subscribed for this question.
    n_users: usize,
    /// The oracle's answer at the last publish.
    rows: Vec<Row>,
}

impl<'a> World<'a> {
    fn new(trial: &'a Trial) -> World<'a> {
        let confirmed = subject::store(&trial.start);
        let mut world = World {
            trial,
            db: Db::with_store(confirmed.clone()),
            confirmed,
            confirmed_transactions: trial.start.clone(),
            pending: Vec::new(),
            layers: Vec::new(),
            facts: Facts::new(),
            watched: BTreeMap::new(),
            users: BTreeMap::new(),
            report: Report { watches: vec![Watch::default(); trial.questions.len()] },
        };
        world.facts = world.visible();
        world
    }

    fn visible(&self) -> Facts {
        History::of(self.confirmed_transactions.iter().chain(&self.pending)).visible()
    }

    /// The oracle's answer now; none when it has enough, or the program is not valid.
    fn expected(&self, question: usize) -> Option<Vec<Row>> {
        let case = &self.trial.questions[question];
        catch(|| answer(&case.program, &self.facts, &case.inputs)).ok()?.ok()
    }

    fn step(&mut self, step: &Step) -> Result<(), Complaint> {
        match step {
            Step::Subscribe(question) => self.subscribe(*question),
            Step::Unsubscribe(question) => self.unsubscribe(*question),
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
        let refused = |kept, text: String| (What::Refused, kept, text);
        let case = &self.trial.questions[question];
        if self.report.watches[question].is_void {
            return Ok(());
        }
        let Some(rows) = self.expected(question) else {
            self.report.watches[question].is_void = true;
            return Ok(());
        };
        let query = subject::prepare(&case.program).map_err(|why| refused(None, why.0))?;
        if query.check_live().is_err() {
            self.report.watches[question].is_void = true;
            return Ok(());
        }
        let n_users_before = self.watched.get(&question).map_or(0, |watched| watched.n_users);
        let ways = if n_users_before == 0 { &WAYS[..] } else { &WAYS[..1] };
        let mut instances = Vec::new();
        for kept in ways {
            let subscribed = kept.subscribe(&mut self.db, &query, &case.inputs);
            let instance =
                subscribed.map_err(|error| refused(Some(*kept), format!("{error:?}")))?;
            *self.users.entry(instance).or_default() += 1;
            instances.push((*kept, instance));
        }
        match self.watched.get_mut(&question) {
            Some(watched) => {
                watched.n_users += 1;
                if watched.instances[0] != instances[0] {
                    let text = format!("{:?} again is {:?}", watched.instances[0], instances[0]);
                    return Err((What::Instance, Some(Kept::Shared), text));
                }
            }
            None => {
                self.watched.insert(question, Watched { instances, n_users: 1, rows });
            }
        }
        self.report.watches[question].tier = self.db.tier(self.instance(question));
        self.check_tiers(question)?;
        self.check_answers(question)
    }

    /// The shared instance of a question that is subscribed.
    fn instance(&self, question: usize) -> InstanceId {
        self.watched[&question].instances[0].1
    }

    /// No instance is kept in a better tier than was asked for.
    fn check_tiers(&self, question: usize) -> Result<(), Complaint> {
        for (kept, instance) in &self.watched[&question].instances {
            let tier = self.db.tier(*instance);
            if tier.is_none_or(|tier| tier < kept.best_tier()) {
                return Err((What::Instance, Some(*kept), format!("it is in tier {tier:?}")));
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, question: usize) -> Result<(), Complaint> {
        let Some(watched) = self.watched.get_mut(&question) else { return Ok(()) };
        watched.n_users -= 1;
        match watched.n_users {
            0 => self.forget(question),
            _ => {
                let shared = self.instance(question);
                self.leave(Kept::Shared, shared)
            }
        }
    }

    /// Ends all subscriptions of a question but those of the shared instance that were ended
    /// before.
    fn forget(&mut self, question: usize) -> Result<(), Complaint> {
        let Some(watched) = self.watched.remove(&question) else { return Ok(()) };
        let (shared_kept, shared) = watched.instances[0];
        for _ in 1..watched.n_users {
            self.leave(shared_kept, shared)?;
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
        }
        if has_ended == self.db.answer(instance).is_some() {
            let text = format!("{instance:?} ended: {has_ended}, and its answer says otherwise");
            return Err((What::Instance, Some(kept), text));
        }
        Ok(())
    }

    /// The next state and what leads to it: by the transactions alone, or by folding the view
    /// anew where some are pending.
    fn arrive(&mut self, arrived: &[Transaction], left: &[(u64, Fate)]) -> (Store, StoreDelta) {
        let mut arrived = arrived.to_vec();
        let was_pending = !self.pending.is_empty();
        for (ms, fate) in left {
            let index = self.pending.iter().position(|pending| pending.hlc.physical_ms() == *ms);
            let Some(index) = index else { continue };
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
        let updates = updates.into_iter().map(|u| (u.instance, u)).collect::<BTreeMap<_, _>>();
        for question in self.watched.keys().copied().collect::<Vec<_>>() {
            let rows = match is_unchanged {
                true => Some(self.watched[&question].rows.clone()),
                false => self.expected(question),
            };
            match rows {
                Some(rows) => self.check(question, rows, &updates)?,
                None => {
                    self.report.watches[question].is_void = true;
                    self.forget(question)?;
                }
            }
        }
        Ok(())
    }

    /// Checks the updates and the answers of one question, whose right answer is `rows` now.
    fn check(
        &mut self,
        question: usize,
        rows: Vec<Row>,
        updates: &BTreeMap<InstanceId, LiveUpdate>,
    ) -> Result<(), Complaint> {
        let watched = self.watched.get_mut(&question).expect("it is watched");
        let before = std::mem::replace(&mut watched.rows, rows);
        let right = difference(&before, &watched.rows);
        for (kept, instance) in &watched.instances {
            let told = match updates.get(instance).map(|update| &update.change) {
                None => RowsDelta::default(),
                Some(Ok(told)) if told.added.is_empty() && told.removed.is_empty() => {
                    let text = format!("question {question}: an update that says nothing");
                    return Err((What::Update, Some(*kept), text));
                }
                Some(Ok(told)) => told.clone(),
                Some(Err(error)) => {
                    let text = format!("question {question}: {error:?}");
                    return Err((What::Update, Some(*kept), text));
                }
            };
            if told != right {
                let (told, right) = (print_delta(&told), print_delta(&right));
                let text = format!("question {question}\ntold\n{told}right\n{right}");
                return Err((What::Update, Some(*kept), text));
            }
        }
        let watch = &mut self.report.watches[question];
        watch.n_publishes += 1;
        watch.n_updates += usize::from(right != RowsDelta::default());
        self.check_answers(question)
    }

    fn check_answers(&self, question: usize) -> Result<(), Complaint> {
        let watched = &self.watched[&question];
        let instances = &watched.instances;
        for (index, (kept, instance)) in instances.iter().enumerate() {
            // What is kept in two ways alike is one instance.
            if instances[..index].iter().any(|(_, other)| other == instance) {
                continue;
            }
            let wrong = |text: String| Err((What::Answer, Some(*kept), text));
            match self.db.answer(*instance) {
                Some(Ok(answer)) if answer.rows == watched.rows => {}
                Some(Ok(answer)) => {
                    let (kept, oracle) =
                        (print_rows(&answer.rows.to_vec()), print_rows(&watched.rows));
                    return wrong(format!("question {question}\nkept\n{kept}oracle\n{oracle}"));
                }
                other => return wrong(format!("question {question} has {other:?}")),
            }
        }
        Ok(())
    }
}

/// The rows that came and went, each list in the order of rows. Rows that show the same may come
/// more than once, so rows are counted.
fn difference(before: &[Row], after: &[Row]) -> RowsDelta {
    let mut counts = BTreeMap::<&Row, i64>::new();
    after.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    before.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    let times = |sign: i64| {
        let rows = counts.iter().flat_map(move |(row, count)| {
            std::iter::repeat_n((*row).clone(), usize::try_from(count * sign).unwrap_or(0))
        });
        rows.collect()
    };
    RowsDelta { added: times(1), removed: times(-1) }
}

fn print_delta(delta: &RowsDelta) -> String {
    let lines = |sign: &str, rows: &[Row]| {
        let lines = print_rows(rows);
        lines.lines().map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    lines("-", &delta.removed) + &lines("+", &delta.added)
}

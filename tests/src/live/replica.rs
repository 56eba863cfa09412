//! Partial replicas: whoever holds a query's support gives the answer of who holds everything,
//! whatever else that is true it holds.
//!
//! A trial's history is played as one list of transactions. At every state a replica is made for
//! each question: its support, those of up to five others, and some facts more; the engine, which
//! only installs them, has to answer what the oracle answers over all facts. Supports are kept up
//! in every tier beside that, and have to stay what they are when derived anew.

use std::collections::BTreeMap;

use super::{Step, Trial, script, shrink};
use crate::generate::live::live;
use crate::generate::program::Case;
use crate::minimize::{catch, minimize};
use crate::oracle::eval::answer;
use crate::oracle::merge::{Facts, History};
use crate::random::Random;
use crate::subject;
use crate::text::print_rows;
use tercet_engine::answer::Row;
use tercet_engine::db::{Db, InstanceId, Query, Tier, fact_of};
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Fact, Install, Mark, Transaction};
use tercet_engine::limits::Budget;
use tercet_engine::store::Store;

/// What the replicas of a trial came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// Complete answers of a replica that were compared.
    pub n_answers: u64,
    /// Of those, with rows.
    pub n_with_rows: u64,
    /// Facts in supports, and facts there were, over all answers.
    pub n_held: u64,
    /// See `n_held`.
    pub n_facts: u64,
    /// Supports kept up, by tier.
    pub n_in_tier: [u64; 3],
    /// Changes of kept supports, facts stamped anew included.
    pub n_changes: u64,
    /// Answers of windows whose support has an edge.
    pub n_edges: u64,
    /// Questions left out: too much for the oracle, or for a program.
    pub n_void: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        self.n_answers += other.n_answers;
        self.n_with_rows += other.n_with_rows;
        self.n_held += other.n_held;
        self.n_facts += other.n_facts;
        for (sum, n) in self.n_in_tier.iter_mut().zip(other.n_in_tier) {
            *sum += n;
        }
        self.n_changes += other.n_changes;
        self.n_edges += other.n_edges;
        self.n_void += other.n_void;
    }
}

/// A random trial of replicas, judged.
///
/// # Errors
/// When a replica answers otherwise, or a support is kept up wrongly: a small trial, as text.
pub fn try_replicas(random: &mut Random) -> Result<Tally, String> {
    check(&live(random))
}

/// Judges the replicas of a trial.
///
/// # Errors
/// As [`try_replicas`].
pub fn check(trial: &Trial) -> Result<Tally, String> {
    judged(trial).map_err(|text| {
        let class = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let alike =
            |trial: &Trial| judged(trial).err().is_some_and(|it| class(&it) == class(&text));
        let small = minimize(trial.clone(), shrink::smaller, alike);
        let text = judged(&small).err().unwrap_or(text);
        format!("{}\n{text}", script::print(&small))
    })
}

fn judged(trial: &Trial) -> Result<Tally, String> {
    catch(|| play(trial)).unwrap_or_else(|panic| Err(format!("panic\n{panic}")))
}

/// A support that is kept up.
struct Kept {
    instance: InstanceId,
    tier: Tier,
    /// None once it was given up; tiers may share the instance.
    facts: Option<Facts>,
}

/// One question of the trial.
struct Asked<'t> {
    case: &'t Case,
    query: Query,
    kept: Vec<Kept>,
}

const TIERS: [Tier; 3] = [Tier::Delta, Tier::Tables, Tier::Rerun];

/// Trials are of live queries at work, and may be endless: far more than any of them takes.
fn budget() -> Budget {
    Budget { rows: Some(2_000_000), bytes: Some(256 << 20), ..Budget::unlimited() }
}

fn play(trial: &Trial) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut history: Vec<&Transaction> = trial.start.iter().collect();
    let mut db = Db::with_store(subject::store(&trial.start));
    db.set_live_limits(trial.limits.live);
    let mut asked = Vec::new();
    for case in &trial.questions {
        let query = subject::prepare(&case.program).map_err(|why| format!("refused\n{}", why.0))?;
        asked.push(Asked { case, query, kept: Vec::new() });
    }
    let mut facts = History::of(history.iter().copied()).visible();
    compare(&mut db, &mut asked, &facts, &mut tally)?;
    for step in &trial.steps {
        let arrived = match step {
            Step::Publish { arrived, .. } => arrived.iter().collect(),
            Step::Push(transaction) => vec![transaction],
            _ => continue,
        };
        for transaction in arrived {
            history.push(transaction);
            let mut successor = db.store().clone();
            let delta = successor.apply(transaction);
            let updates = db.publish(successor, &delta);
            facts = History::of(history.iter().copied()).visible();
            for update in updates {
                let kept = asked.iter_mut().flat_map(|it| &mut it.kept);
                for kept in kept.filter(|kept| kept.instance == update.instance) {
                    follow(kept, &update.change, &facts, &mut tally);
                }
            }
            compare(&mut db, &mut asked, &facts, &mut tally)?;
        }
    }
    Ok(tally)
}

/// Brings a kept support up to an update, as whoever holds it does. One that was given up is begun
/// again.
fn follow(
    kept: &mut Kept,
    change: &Result<tercet_engine::db::RowsDelta, QueryError>,
    facts: &Facts,
    tally: &mut Tally,
) {
    let (Ok(delta), Some(held)) = (change, &mut kept.facts) else {
        kept.facts = None;
        return;
    };
    tally.n_changes += 1;
    for row in &delta.removed {
        held.remove(&fact_of(row));
    }
    for row in &delta.added {
        let fact = fact_of(row);
        if let Some(mark) = facts.get(&fact) {
            held.insert(fact, *mark);
        }
    }
}

fn compare(
    db: &mut Db,
    asked: &mut [Asked<'_>],
    facts: &Facts,
    tally: &mut Tally,
) -> Result<(), String> {
    let snapshot = db.snapshot();
    let mut supports: BTreeMap<usize, Facts> = BTreeMap::new();
    for (number, Asked { case, query, kept }) in asked.iter_mut().enumerate() {
        let is_answered = answer(&case.program, facts, &case.inputs).is_ok();
        if !is_answered || query.check_live().is_err() {
            tally.n_void += 1;
            for kept in kept.drain(..) {
                db.unsubscribe(kept.instance);
            }
            continue;
        }
        let support = match query.support(&snapshot, &case.inputs, &budget()) {
            Ok(facts) => facts.into_iter().collect::<Facts>(),
            Err(QueryError::Program { errors })
                if errors.iter().all(|error| error.code.starts_with("query_too_")) =>
            {
                tally.n_void += 1;
                continue;
            }
            Err(error) => return Err(format!("question {number}: no support\n{error:?}")),
        };
        if let Some((fact, _)) = support.iter().find(|(fact, mark)| facts.get(fact) != Some(mark)) {
            return Err(format!("question {number}: not true\n{fact:?}"));
        }
        keep_up(db, query, case, kept, &support, tally)
            .map_err(|text| format!("question {number}: {text}"))?;
        supports.insert(number, support);
    }
    for (number, support) in &supports {
        let case = asked[*number].case;
        let expected = answer(&case.program, facts, &case.inputs);
        let Ok(expected) = expected else { continue };
        tally.n_answers += 1;
        tally.n_with_rows += u64::from(!expected.is_empty());
        let edge = asked[*number].query.support_edge(&snapshot, &case.inputs, &budget());
        tally.n_edges += u64::from(edge.is_ok_and(|edge| edge.is_some()));
        tally.n_held += support.len() as u64;
        tally.n_facts += facts.len() as u64;
        for (what, more) in beside(*number, &supports, facts) {
            let mut held = support.clone();
            held.extend(more);
            let found = evaluate(&asked[*number].query, case, &held);
            if found != Ok(expected.clone()) {
                let all = print_rows(&expected);
                let found = found.map_or_else(|why| why, |rows| print_rows(&rows));
                let held: Vec<String> = held.keys().map(|fact| format!("{fact:?}")).collect();
                return Err(format!(
                    "question {number}: another answer\n{what}\n-- oracle, all facts\n{all}-- \
                     replica\n{found}\n-- holds\n{}",
                    held.join("\n")
                ));
            }
        }
    }
    Ok(())
}

/// What kept supports hold is what they are; what is not kept yet, or was given up, begins.
fn keep_up(
    db: &mut Db,
    query: &Query,
    case: &Case,
    kept: &mut Vec<Kept>,
    support: &Facts,
    tally: &mut Tally,
) -> Result<(), String> {
    if kept.is_empty() {
        for tier in TIERS {
            let instance = db.subscribe_support_in(tier, query, &case.inputs, &budget());
            let instance = instance.map_err(|error| format!("not kept\n{error:?}"))?;
            let best = db.tier(instance).expect("it is subscribed");
            tally.n_in_tier[best as usize] += 1;
            kept.push(Kept { instance, tier, facts: Some(support.clone()) });
        }
    }
    for Kept { instance, tier, facts } in kept {
        let Some(facts) = facts else {
            db.refresh(*instance).map_err(|error| format!("not taken up\n{error:?}"))?;
            *facts = Some(support.clone());
            continue;
        };
        if facts != support {
            let tell = |facts: &Facts, others: &Facts| -> Vec<String> {
                let only = facts.iter().filter(|(fact, mark)| others.get(fact) != Some(mark));
                only.map(|(fact, mark)| format!("{fact:?} {mark:?}")).collect()
            };
            return Err(format!(
                "kept wrongly in {tier:?}\n-- only in what is kept\n{}\n-- only in what is\n{}",
                tell(facts, support).join("\n"),
                tell(support, facts).join("\n")
            ));
        }
    }
    Ok(())
}

/// What a replica may hold beside a support: nothing, what others need, some of what is true, all
/// but one fact, everything.
fn beside(
    number: usize,
    supports: &BTreeMap<usize, Facts>,
    facts: &Facts,
) -> Vec<(&'static str, Vec<(Fact, Mark)>)> {
    let listed = |facts: &Facts| facts.iter().map(|(f, m)| (f.clone(), *m)).collect::<Vec<_>>();
    let mut random = Random::of_case(number as u64 * 1_000 + facts.len() as u64);
    let others = supports.iter().filter(|(other, _)| **other != number).take(5);
    let some: Vec<(Fact, Mark)> = listed(facts);
    let half = some.iter().filter(|_| random.chance(50)).cloned().collect();
    let few = some.iter().filter(|_| random.chance(12)).cloned().collect();
    vec![
        ("alone", Vec::new()),
        ("with other subscriptions", others.flat_map(|(_, facts)| listed(facts)).collect()),
        ("with half of all facts", half),
        ("with a few facts", few),
    ]
}

/// What a replica answers that holds these facts.
fn evaluate(query: &Query, case: &Case, held: &Facts) -> Result<Vec<Row>, String> {
    let mut store = Store::new();
    let installs: Vec<Install> =
        held.iter().map(|(fact, mark)| Install::Fact(fact.clone(), *mark)).collect();
    store.install(&installs);
    let answer = query.run(&store.snapshot(), &case.inputs, &budget());
    answer.map(|answer| answer.rows.to_vec()).map_err(|error| format!("{error:?}"))
}

//! A facts-mode instance: the support of one (query, inputs), kept up by facts that came and went.
//!
//! Nothing of the query is evaluated here: the client does that. The engine tells which facts a
//! commit added to the support and which it took away (see `Db::subscribe_support`); what the
//! server keeps is how many facts there are and their fingerprint. The facts themselves are found
//! when someone needs all of them, and the frames are kept until the next change, so that a crowd
//! that comes at once costs one reading.
//!
//! Formula: `fingerprint = Σ hash(fact, mark)` over the facts of the support.

use std::collections::BTreeSet;

use tercet_engine::db::{self, Db, RowsDelta, fact_of};
use tercet_engine::fact::{Fact, Install, Mark};
use tercet_engine::fingerprint::fact_hash;
use tercet_engine::ids::{EntityId, Seq};
use tercet_engine::store::Snapshot;
use tercet_engine::value::Value;

use super::parts::facts_frames;
use super::trouble::Trouble;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId};
use crate::planted::{Bug, is_planted};

/// The support of one (query, inputs).
pub(crate) struct FactsInstance {
    /// The engine's own number of it.
    pub(crate) live: db::InstanceId,
    pub(crate) fingerprint: Fingerprint,
    n_facts: u64,
    n_facts_max: u64,
    /// All of it as frames, until the next change.
    reset: Option<Vec<SharedFrame>>,
}

/// What a commit did to a support.
#[derive(Default)]
pub(crate) struct FactsChange {
    pub(crate) installs: Vec<Install>,
    /// Whose facts came or went, and to whom they refer.
    pub(crate) entities: BTreeSet<EntityId>,
}

impl FactsInstance {
    /// The support, not yet counted: [`FactsInstance::load`] comes next.
    pub(crate) fn new(live: db::InstanceId, n_facts_max: u64) -> FactsInstance {
        let fingerprint = Fingerprint::default();
        FactsInstance { live, fingerprint, n_facts: 0, n_facts_max, reset: None }
    }

    fn facts(&self, db: &Db) -> Result<Vec<(Fact, Mark)>, Trouble> {
        let facts = db.support_facts(self.live).ok_or_else(Trouble::stopped)?;
        let facts = facts.map_err(|error| Trouble::over_budget(&error.to_string()))?;
        match facts.len() as u64 > self.n_facts_max {
            true => Err(self.too_many()),
            false => Ok(facts),
        }
    }

    /// Counts the support as it is now, and has all of it at hand as frames: whoever asked for it
    /// mostly needs them.
    pub(crate) fn load(&mut self, id: InstanceId, seq: Seq, db: &Db) -> Result<(), Trouble> {
        let facts = self.facts(db)?;
        self.n_facts = facts.len() as u64;
        let hashes = facts.iter().map(|(fact, mark)| fact_hash(fact, mark));
        self.fingerprint = hashes.fold(Fingerprint::default(), Fingerprint::with);
        self.reset = Some(whole_frames(id, seq, facts));
        Ok(())
    }

    /// Takes what a commit did; what holders have to install. A fact on both lists was stamped
    /// anew; one that went and is still true is not needed any more.
    pub(crate) fn change(
        &mut self,
        delta: &RowsDelta,
        [before, after]: [&Snapshot; 2],
    ) -> FactsChange {
        let removed: BTreeSet<Fact> = delta.removed.iter().map(fact_of).collect();
        let added: BTreeSet<Fact> = delta.added.iter().map(fact_of).collect();
        let mut installs = Vec::with_capacity(removed.len() + added.len());
        for fact in &removed {
            if let Some(mark) = before.mark_of(fact) {
                self.fingerprint = self.fingerprint.without(fact_hash(fact, &mark));
                self.n_facts = self.n_facts.saturating_sub(1);
            }
            if !added.contains(fact) {
                let is_released = !is_planted(Bug::ReleaseIsRetraction);
                installs.push(match after.mark_of(fact) {
                    Some(_) if is_released => Install::Released(fact.clone()),
                    None if is_planted(Bug::RetractionUntold) => continue,
                    _ => Install::Retracted(fact.clone()),
                });
            }
        }
        for fact in &added {
            if let Some(mark) = after.mark_of(fact) {
                self.fingerprint = self.fingerprint.with(fact_hash(fact, &mark));
                self.n_facts += 1;
                if is_planted(Bug::MarkUntold) && removed.contains(fact) {
                    continue;
                }
                installs.push(Install::Fact(fact.clone(), mark));
            }
        }
        if !is_planted(Bug::ResetOutdated) {
            self.reset = None;
        }
        let entities = removed.iter().chain(&added).flat_map(|fact| {
            let target = match &fact.value {
                Value::Ref(target) => Some(target.clone()),
                _ => None,
            };
            [Some(fact.entity.clone()), target].into_iter().flatten()
        });
        FactsChange { entities: entities.collect(), installs }
    }

    /// How many facts it has.
    pub(crate) fn n_facts(&self) -> u64 {
        self.n_facts
    }

    /// Whether it has more facts than it may.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.n_facts > self.n_facts_max
    }

    /// That it has.
    pub(crate) fn too_many(&self) -> Trouble {
        Trouble::over_budget(&format!(
            "the query's support has more than {} facts",
            self.n_facts_max
        ))
    }

    /// All of it.
    pub(crate) fn reset_frames(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        db: &Db,
    ) -> Result<Vec<SharedFrame>, Trouble> {
        if self.reset.is_none() {
            self.reset = Some(whole_frames(instance, seq, self.facts(db)?));
        }
        Ok(self.reset.clone().unwrap_or_default())
    }
}

/// All facts of an instance as frames.
fn whole_frames(id: InstanceId, seq: Seq, facts: Vec<(Fact, Mark)>) -> Vec<SharedFrame> {
    let installs = facts.into_iter().map(|(fact, mark)| Install::Fact(fact, mark)).collect();
    facts_frames(id, seq, true, installs)
}

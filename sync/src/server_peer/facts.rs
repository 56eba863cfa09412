//! A facts-mode instance: the support of one (query, inputs), kept up by signed facts.
//!
//! Nothing is evaluated here: the client does that. What the server keeps is how many facts the
//! support has and their fingerprint, both maintained in the size of the change. The facts
//! themselves are read from the published snapshot when someone needs all of them, and the frames
//! are kept until the next change, so that a crowd that comes back at once costs one reading.
//!
//! Formula: `fingerprint = Σ hash(fact, mark)` over the visible facts that the support covers.

use std::collections::BTreeSet;

use tercet_engine::db::{Query, Support};
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Fact, FactChange, Install, Mark};
use tercet_engine::fingerprint::fact_hash;
use tercet_engine::ids::{Attribute, Seq};
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;

use super::parts::facts_frames;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId};

/// The support has more facts than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget;

/// The support of one (query, inputs).
pub(crate) struct FactsInstance {
    pub(crate) support: Support,
    /// Whose facts may be in it; none for every attribute.
    pub(crate) attributes: Option<BTreeSet<Attribute>>,
    pub(crate) fingerprint: Fingerprint,
    n_facts: u64,
    n_facts_max: u64,
    /// All of it as frames, until the next change.
    reset: Option<Vec<SharedFrame>>,
}

impl FactsInstance {
    /// The support, not yet counted: [`FactsInstance::load`] comes next.
    pub(crate) fn new(
        query: &Query,
        inputs: &[Input],
        n_facts_max: u64,
    ) -> Result<FactsInstance, QueryError> {
        let support = query.support(inputs)?;
        Ok(FactsInstance {
            attributes: support.attributes(),
            support,
            fingerprint: Fingerprint::default(),
            n_facts: 0,
            n_facts_max,
            reset: None,
        })
    }

    fn facts(&self, snapshot: &Snapshot) -> Result<Vec<(Fact, Mark)>, OverBudget> {
        let n_max = usize::try_from(self.n_facts_max).unwrap_or(usize::MAX);
        self.support.facts(snapshot, n_max).ok_or(OverBudget)
    }

    /// Counts the support as it is now.
    pub(crate) fn load(&mut self, snapshot: &Snapshot) -> Result<(), OverBudget> {
        let facts = self.facts(snapshot)?;
        self.n_facts = facts.len() as u64;
        let hashes = facts.iter().map(|(fact, mark)| fact_hash(fact, mark));
        self.fingerprint = hashes.fold(Fingerprint::default(), Fingerprint::with);
        self.reset = None;
        Ok(())
    }

    /// Takes a change that the support covers; what its holders have to install.
    pub(crate) fn change(&mut self, change: &FactChange) -> Install {
        let FactChange { fact, before, after } = change;
        if let Some(mark) = before {
            self.fingerprint = self.fingerprint.without(fact_hash(fact, mark));
            self.n_facts = self.n_facts.saturating_sub(1);
        }
        if let Some(mark) = after {
            self.fingerprint = self.fingerprint.with(fact_hash(fact, mark));
            self.n_facts += 1;
        }
        self.reset = None;
        match after {
            Some(mark) => Install::Fact(fact.clone(), *mark),
            None => Install::Retracted(fact.clone()),
        }
    }

    /// How many facts it has.
    pub(crate) fn n_facts(&self) -> u64 {
        self.n_facts
    }

    /// Whether it has more facts than it may.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.n_facts > self.n_facts_max
    }

    /// All of it.
    pub(crate) fn reset_frames(
        &mut self,
        instance: InstanceId,
        seq: Seq,
        snapshot: &Snapshot,
    ) -> Result<Vec<SharedFrame>, OverBudget> {
        if self.reset.is_none() {
            let facts = self.facts(snapshot)?.into_iter();
            let installs = facts.map(|(fact, mark)| Install::Fact(fact, mark)).collect();
            self.reset = Some(facts_frames(instance, seq, true, installs));
        }
        Ok(self.reset.clone().unwrap_or_default())
    }
}

//! What an instance will hold when it is resumed: what was held before, and what the server said
//! differs.
//!
//! It is made apart, because patches of the past must not touch what other instances hold now: a
//! fact that was retracted and came back would be taken from them. It is adopted only when its
//! fingerprint is the one that the server stated, so a ring that lies or a bucket sum that missed
//! something costs another question and never a wrong answer.

use std::collections::BTreeMap;

use tercet_engine::fact::{Fact, Install, Mark};
use tercet_engine::fingerprint::fact_hash;

use super::holdings::Holdings;
use crate::buckets::fact_bucket;
use crate::message::{FactsPart, Fingerprint, InstanceId, RowsPart};
use crate::wire_row::WireRowError;

/// What was held, and how it differs now.
#[derive(Debug)]
pub(crate) enum Draft {
    /// By fact: its mark now, none where it is not held any more.
    Facts { from: InstanceId, changes: BTreeMap<Fact, Option<Mark>> },
    /// All of it, and nothing else, under the old number.
    Rows { from: InstanceId, holdings: Holdings, is_changed: bool },
}

impl Draft {
    /// Begins with all that an instance held before; none where it held nothing.
    pub(crate) fn new(old: &Holdings, from: InstanceId) -> Option<Draft> {
        old.fingerprint(from)?;
        if old.rows(from).is_none() {
            return Some(Draft::Facts { from, changes: BTreeMap::new() });
        }
        let mut holdings = Holdings::default();
        holdings.take_over(old, from, from);
        Some(Draft::Rows { from, holdings, is_changed: false })
    }

    /// Forgets what is in some buckets, which are in order.
    pub(crate) fn clear(&mut self, old: &Holdings, bits: u8, buckets: &[u32]) {
        match self {
            Draft::Facts { from, changes } => {
                let is_cleared =
                    |fact: &Fact| buckets.binary_search(&fact_bucket(fact, bits)).is_ok();
                let facts = old.facts(*from).map(|(fact, _)| fact);
                changes.extend(facts.filter(|fact| is_cleared(fact)).map(|it| (it.clone(), None)));
            }
            Draft::Rows { from, holdings, is_changed } => {
                *is_changed = true;
                holdings.clear_row_buckets(*from, bits, buckets);
            }
        }
    }

    /// Takes a part.
    pub(crate) fn take_facts(&mut self, part: &FactsPart) {
        let Draft::Facts { changes, .. } = self else { return };
        for install in &part.installs {
            match install {
                Install::Fact(fact, mark) => {
                    changes.insert(fact.clone(), Some(*mark));
                }
                Install::Retracted(fact) | Install::Released(fact) => {
                    changes.insert(fact.clone(), None);
                }
                // Marks of deletions are dropped when subscriptions are resumed.
                Install::Deleted(..) | Install::Restored(..) => {}
            }
        }
    }

    /// Takes a part.
    pub(crate) fn take_rows(&mut self, part: &RowsPart) -> Result<(), WireRowError> {
        match self {
            Draft::Facts { .. } => Ok(()),
            Draft::Rows { from, holdings, is_changed } => {
                *is_changed = true;
                let part = RowsPart { instance: *from, ..part.clone() };
                holdings.take_rows(&part).map(drop)
            }
        }
    }

    /// Of all that it holds.
    pub(crate) fn fingerprint(&self, old: &Holdings) -> Option<Fingerprint> {
        let (from, changes) = match self {
            Draft::Rows { from, holdings, .. } => return holdings.fingerprint(*from),
            Draft::Facts { from, changes } => (*from, changes),
        };
        let change = |sum: Fingerprint, (fact, mark): (&Fact, &Option<Mark>)| {
            let before = old.mark(from, fact).map(|mark| fact_hash(fact, &mark));
            let after = mark.map(|mark| fact_hash(fact, &mark));
            sum.without(before.unwrap_or(0)).with(after.unwrap_or(0))
        };
        old.fingerprint(from).map(|sum| changes.iter().fold(sum, change))
    }

    /// Has an instance hold what it says; the installs that this takes.
    pub(crate) fn adopt(
        &self,
        old: &Holdings,
        target: &mut Holdings,
        to: InstanceId,
    ) -> Vec<Install> {
        let (from, changes) = match self {
            Draft::Rows { from, holdings, is_changed: true } => {
                target.take_over(holdings, *from, to);
                return Vec::new();
            }
            Draft::Rows { from, .. } => (*from, &BTreeMap::new()),
            Draft::Facts { from, changes } => (*from, changes),
        };
        target.adopt(old, from, to, changes).unwrap_or_default()
    }
}

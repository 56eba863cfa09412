//! What a replica holds, in a few bytes: two that hold the same facts with the same marks at the
//! same checkpoint have equal digests, and others do not, but for one chance in 2^128.
//!
//! Formula: `fingerprint = Σ hash(fact, mark)` over the facts held (`engine::fingerprint`), kept up
//! in the size of each change. A digest of a whole tenant and one of a client compare where the
//! client's subscriptions need every fact.

use serde::{Deserialize, Serialize};
use tercet_engine::fingerprint::fact_hash;
use tercet_engine::ids::Checkpoint;
use tercet_engine::store::{Snapshot, StoreDelta};

use crate::message::Fingerprint;

/// What a replica holds at a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// The position.
    pub checkpoint: Checkpoint,
    /// How many facts, or rows where it is about a subscription that the server evaluates.
    pub n_items: u64,
    /// Of the facts with their marks, or of the encoded rows.
    pub fingerprint: Fingerprint,
}

/// The fingerprint of all facts of a tenant: counted when somebody first asks, then kept up.
#[derive(Debug, Default)]
pub(crate) struct StoreSum(Option<Fingerprint>);

impl StoreSum {
    /// Of these facts, which are those that all deltas so far have led to.
    pub(crate) fn of(&mut self, snapshot: &Snapshot) -> Fingerprint {
        *self.0.get_or_insert_with(|| Fingerprint(snapshot.fingerprint()))
    }

    /// Takes what a commit changed.
    pub(crate) fn follow(&mut self, delta: &StoreDelta) {
        let Some(sum) = &mut self.0 else { return };
        for change in &delta.facts {
            if let Some(mark) = &change.before {
                *sum = sum.without(fact_hash(&change.fact, mark));
            }
            if let Some(mark) = &change.after {
                *sum = sum.with(fact_hash(&change.fact, mark));
            }
        }
    }
}

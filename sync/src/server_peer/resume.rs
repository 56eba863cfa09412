//! What a subscription that joins is sent: as little as leads from what its client holds to what
//! the instance has.
//!
//! In this order: nothing, where the fingerprints are equal; the patches since the client's
//! checkpoint, where the ring has all of them and they are less than all of the instance; whole
//! buckets, where the client has told its sums; all of it, where that is little. Else the client is
//! asked for its sums. Fingerprints and buckets say what is held and not how it came about, so
//! they hold across restarts and epochs; a ring holds in its own epoch only.

use tercet_engine::db::Db;
use tercet_engine::ids::{Checkpoint, Epoch, Seq};

use super::instances::Instances;
use super::parts::{facts_frames, rows_frames};
use super::trouble::Trouble;
use crate::buckets::{BucketSums, BucketTable, Contents};
use crate::codec::SharedFrame;
use crate::message::{InstanceId, Resume, SubscribedState};
use crate::planted::{Bug, is_planted};

/// How a subscription joins.
pub(crate) enum Way {
    /// At once, with these frames.
    Join(SubscribedState, Vec<SharedFrame>),
    /// When the client has told what it holds, bucket by bucket.
    Compare,
}

impl Instances {
    /// What to send for a subscription that joins an instance; `seq` is the published commit, and
    /// `resume` comes with the position of what is held.
    pub(crate) fn way(
        &mut self,
        db: &Db,
        epoch: Epoch,
        seq: Seq,
        id: InstanceId,
        resume: Option<(&Resume, Option<Checkpoint>)>,
    ) -> Result<Way, Trouble> {
        let resume = resume.filter(|(resume, _)| resume.mode == self.mode(id));
        let Some((resume, held_at)) = resume else {
            return self.whole(db, seq, id);
        };
        if resume.fingerprint == self.fingerprint(id) || is_planted(Bug::ResumeUnchecked) {
            return Ok(Way::Join(SubscribedState::Unchanged, Vec::new()));
        }
        if let Some(sums) = &resume.buckets {
            return self.buckets(db, seq, id, sums);
        }
        let whole_bytes_max = self.resume_limits.whole_bytes_max;
        let n_bytes_max = self.n_bytes(id).max(whole_bytes_max);
        if let Some(held_at) = held_at.filter(|held_at| held_at.epoch == epoch)
            && let Some(mut replay) = self.rings.since(id, held_at.seq)
            && !replay.frames.is_empty()
            && replay.n_bytes <= n_bytes_max
        {
            if is_planted(Bug::ReplaySkipsFirst) {
                replay.frames.remove(0);
            }
            return Ok(Way::Join(SubscribedState::Replay, replay.frames));
        }
        match self.n_bytes(id) <= whole_bytes_max {
            true => self.whole(db, seq, id),
            false => Ok(Way::Compare),
        }
    }

    fn whole(&mut self, db: &Db, seq: Seq, id: InstanceId) -> Result<Way, Trouble> {
        Ok(Way::Join(SubscribedState::Reset, self.reset_frames(db, seq, id)?))
    }

    fn buckets(
        &mut self,
        db: &Db,
        seq: Seq,
        id: InstanceId,
        sums: &BucketSums,
    ) -> Result<Way, Trouble> {
        let bits = sums.bits();
        let frames = self.reset_frames(db, seq, id)?;
        let table = self.table_mut(id);
        let table = match table.take() {
            Some(known) if known.bits() == bits => table.insert(known),
            _ => table.insert(BucketTable::new(&frames, bits)),
        };
        let mut cleared = table.differing(sums);
        if is_planted(Bug::BucketsLackOne) && cleared.len() > 1 {
            cleared.pop();
        }
        // None: something differs that the sums do not tell. Most: all of it is there in frames.
        if cleared.is_empty() || cleared.len() > 1 << bits >> 1 {
            return Ok(Way::Join(SubscribedState::Reset, frames));
        }
        let frames = match table.contents(&frames, &cleared) {
            Contents::Facts(installs) if installs.is_empty() => Vec::new(),
            Contents::Facts(installs) => facts_frames(id, seq, false, installs),
            Contents::Rows(rows) if rows.is_empty() => Vec::new(),
            Contents::Rows(rows) => rows_frames(id, seq, false, rows, Vec::new()),
        };
        Ok(Way::Join(SubscribedState::Buckets { bits, cleared }, frames))
    }
}

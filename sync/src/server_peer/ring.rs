//! Rings: the last patches of each instance, so that who was away a short while gets only those.
//!
//! What is kept are the frames that were broadcast, not copies of them. Definitions: an entry is
//! what one commit changed in one instance; the *floor* of a ring is the commit after which none
//! of its entries is missing. Invariants: whoever held all of an instance at a commit not before
//! the floor holds all of it now when the entries after that commit are applied in order; a ring
//! takes at most `ring_bytes_max`, all of them at most `rings_bytes_max`, by the count of `size`
//! and with the oldest commits leaving first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tercet_engine::ids::Seq;

use super::output::ResumeLimits;
use crate::codec::SharedFrame;
use crate::message::InstanceId;

/// What one commit changed in one instance.
#[derive(Debug)]
struct Entry {
    seq: Seq,
    frames: Vec<SharedFrame>,
    n_bytes: u64,
}

#[derive(Debug)]
struct Ring {
    floor: Seq,
    entries: VecDeque<Entry>,
    n_bytes: u64,
}

/// The rings of all instances that are kept up.
#[derive(Debug, Default)]
pub(crate) struct Rings {
    limits: ResumeLimits,
    rings: BTreeMap<InstanceId, Ring>,
    /// Every entry, oldest commit first.
    by_age: BTreeSet<(Seq, InstanceId)>,
    n_bytes: u64,
}

/// What leads from a checkpoint to now.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) frames: Vec<SharedFrame>,
    pub(crate) n_bytes: u64,
}

impl Rings {
    /// Sets the bounds; what is over them leaves.
    pub(crate) fn set_limits(&mut self, limits: ResumeLimits) {
        self.limits = limits;
        let ids: Vec<InstanceId> = self.rings.keys().copied().collect();
        for id in ids {
            self.shrink(id);
        }
    }

    /// An instance begins, or begins anew, as of this commit.
    pub(crate) fn begin(&mut self, id: InstanceId, seq: Seq) {
        self.end(id);
        self.rings.insert(id, Ring { floor: seq, entries: VecDeque::new(), n_bytes: 0 });
    }

    /// An instance is not kept up any more.
    pub(crate) fn end(&mut self, id: InstanceId) {
        let Some(ring) = self.rings.remove(&id) else { return };
        self.n_bytes -= ring.n_bytes;
        for entry in ring.entries {
            self.by_age.remove(&(entry.seq, id));
        }
    }

    /// Takes what a commit changed in an instance.
    pub(crate) fn push(&mut self, id: InstanceId, seq: Seq, frames: &[SharedFrame]) {
        let Some(ring) = self.rings.get_mut(&id) else { return };
        let n_bytes = frames.iter().map(|frame| frame.n_bytes() as u64).sum();
        ring.entries.push_back(Entry { seq, frames: frames.to_vec(), n_bytes });
        ring.n_bytes += n_bytes;
        self.n_bytes += n_bytes;
        self.by_age.insert((seq, id));
        self.shrink(id);
    }

    fn shrink(&mut self, id: InstanceId) {
        while self.rings[&id].n_bytes > self.limits.ring_bytes_max {
            self.drop_oldest(id);
        }
        while self.n_bytes > self.limits.rings_bytes_max
            && let Some(&(_, oldest)) = self.by_age.first()
        {
            self.drop_oldest(oldest);
        }
    }

    fn drop_oldest(&mut self, id: InstanceId) {
        let ring = self.rings.get_mut(&id).expect("entries are in rings");
        let entry = ring.entries.pop_front().expect("whoever takes bytes has an entry");
        ring.floor = entry.seq;
        ring.n_bytes -= entry.n_bytes;
        self.n_bytes -= entry.n_bytes;
        self.by_age.remove(&(entry.seq, id));
    }

    /// What changed in an instance after a commit, if all of that is here.
    pub(crate) fn since(&self, id: InstanceId, seq: Seq) -> Option<Replay> {
        let ring = self.rings.get(&id).filter(|ring| ring.floor <= seq)?;
        let start = ring.entries.partition_point(|entry| entry.seq <= seq);
        let entries = ring.entries.range(start..);
        let n_bytes = entries.clone().map(|entry| entry.n_bytes).sum();
        let frames = entries.flat_map(|entry| entry.frames.iter().cloned()).collect();
        Some(Replay { frames, n_bytes })
    }

    /// What all of them take.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::{Resync, ServerMessage};

    const A: InstanceId = InstanceId(1);
    const B: InstanceId = InstanceId(2);

    /// Takes 132 bytes.
    fn frame(seq: u64) -> SharedFrame {
        let reason = format!("{seq:0100}");
        ServerMessage::Resync(Resync { reason }).into()
    }

    fn rings(ring_bytes_max: u64, rings_bytes_max: u64) -> Rings {
        let mut rings = Rings::default();
        rings.set_limits(ResumeLimits {
            ring_bytes_max,
            rings_bytes_max,
            ..ResumeLimits::default()
        });
        rings.begin(A, Seq(10));
        rings.begin(B, Seq(20));
        rings
    }

    fn since(rings: &Rings, id: InstanceId, seq: u64) -> Option<Vec<SharedFrame>> {
        rings.since(id, Seq(seq)).map(|replay| replay.frames)
    }

    #[test]
    fn what_came_after_a_commit_is_there_from_the_floor_on() {
        let mut rings = rings(1_000, 1_000);
        rings.push(A, Seq(12), &[frame(12), frame(12)]);
        rings.push(A, Seq(15), &[frame(15)]);
        assert_eq!(since(&rings, A, 9), None, "the ring began later");
        for seq in [10, 11] {
            assert_eq!(since(&rings, A, seq).unwrap(), [frame(12), frame(12), frame(15)]);
        }
        for seq in [12, 14] {
            assert_eq!(since(&rings, A, seq).unwrap(), [frame(15)]);
        }
        assert_eq!(since(&rings, A, 15).unwrap(), []);
        assert_eq!(since(&rings, InstanceId(7), 15).map(|frames| frames.len()), None);
        assert_eq!(rings.n_bytes(), 3 * 132);
        rings.begin(A, Seq(30));
        assert_eq!((since(&rings, A, 29), rings.n_bytes()), (None, 0));
    }

    #[test]
    fn a_ring_forgets_its_oldest_patches_first() {
        let mut rings = rings(300, 10_000);
        for seq in 31..=33 {
            rings.push(A, Seq(seq), &[frame(seq)]);
        }
        assert_eq!(since(&rings, A, 30), None);
        assert_eq!(since(&rings, A, 31).unwrap(), [frame(32), frame(33)]);
        // One that fits no ring at all empties it.
        rings.push(A, Seq(34), &[frame(34), frame(34), frame(34)]);
        assert_eq!((since(&rings, A, 33), rings.n_bytes()), (None, 0));
        assert_eq!(since(&rings, A, 34).unwrap(), []);
    }

    #[test]
    fn all_rings_together_forget_the_oldest_commits_first() {
        let mut rings = rings(10_000, 400);
        rings.push(A, Seq(31), &[frame(31)]);
        rings.push(B, Seq(31), &[frame(31)]);
        rings.push(B, Seq(32), &[frame(32)]);
        assert_eq!(rings.n_bytes(), 396);
        rings.push(B, Seq(33), &[frame(33)]);
        assert_eq!(since(&rings, A, 30), None);
        assert_eq!(since(&rings, A, 31).unwrap(), []);
        assert_eq!(since(&rings, B, 30).unwrap().len(), 3);
        rings.end(B);
        assert_eq!((rings.n_bytes(), rings.by_age.len()), (0, 0));
    }
}

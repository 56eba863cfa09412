//! Instances that nobody reads any more and that stay a while: a crowd that lost its connections
//! comes back at once, and finds fingerprints and rings instead of starting the queries again.
//!
//! Invariants: an instance is here only while no session reads it; at most `lingering_max` are,
//! those leave first that came first; none stays longer than `linger_ms` after the first tick
//! that saw it. Left out: what ending one means (`instances`).

use std::collections::BTreeMap;

use super::output::ResumeLimits;
use crate::message::InstanceId;

/// Those that stay a while, in the order in which they were left.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    limits: ResumeLimits,
    last: u64,
    /// With the time when each has to go, once a tick has seen it.
    by_turn: BTreeMap<u64, (InstanceId, Option<u64>)>,
    turns: BTreeMap<InstanceId, u64>,
}

impl Lingering {
    /// Sets the bounds, for those that come from now on.
    pub(crate) fn set_limits(&mut self, limits: ResumeLimits) {
        self.limits = limits;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.turns.len()
    }

    /// An instance has lost its last reader. What has to go for it, itself perhaps.
    pub(crate) fn add(&mut self, id: InstanceId) -> Option<InstanceId> {
        self.remove(id);
        self.last += 1;
        self.by_turn.insert(self.last, (id, None));
        self.turns.insert(id, self.last);
        let is_full = self.turns.len() > self.limits.lingering_max as usize;
        is_full.then(|| self.pop()).flatten()
    }

    /// An instance is read again, or has ended.
    pub(crate) fn remove(&mut self, id: InstanceId) {
        if let Some(turn) = self.turns.remove(&id) {
            self.by_turn.remove(&turn);
        }
    }

    /// Takes the one that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<InstanceId> {
        let (_, (id, _)) = self.by_turn.pop_first()?;
        self.turns.remove(&id);
        Some(id)
    }

    /// Takes those whose time is over.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<InstanceId> {
        for (_, until_ms) in self.by_turn.values_mut() {
            until_ms.get_or_insert(now_ms.saturating_add(self.limits.linger_ms));
        }
        let mut expired = Vec::new();
        while let Some((_, (_, Some(until_ms)))) = self.by_turn.first_key_value()
            && *until_ms <= now_ms
        {
            expired.extend(self.pop());
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lingering(lingering_max: u32, linger_ms: u64) -> Lingering {
        let mut lingering = Lingering::default();
        lingering.set_limits(ResumeLimits { lingering_max, linger_ms, ..ResumeLimits::default() });
        lingering
    }

    #[test]
    fn the_first_to_come_is_the_first_to_go() {
        let mut lingering = lingering(2, 100);
        assert_eq!([1, 2].map(|id| lingering.add(InstanceId(id))), [None, None]);
        // Whoever was read meanwhile starts again at the end.
        assert_eq!(lingering.add(InstanceId(1)), None);
        assert_eq!(lingering.add(InstanceId(3)), Some(InstanceId(2)));
        lingering.remove(InstanceId(1));
        assert_eq!(
            (lingering.len(), lingering.pop(), lingering.pop()),
            (1, Some(InstanceId(3)), None)
        );
        let mut none = self::lingering(0, 100);
        assert_eq!((none.add(InstanceId(1)), none.len()), (Some(InstanceId(1)), 0));
    }

    #[test]
    fn time_starts_with_the_first_tick() {
        let mut lingering = lingering(9, 100);
        lingering.add(InstanceId(1));
        assert_eq!(lingering.expire(1_000), []);
        lingering.add(InstanceId(2));
        assert_eq!(lingering.expire(1_099), []);
        assert_eq!(lingering.expire(1_100), [InstanceId(1)]);
        assert_eq!(lingering.expire(1_198), []);
        assert_eq!(lingering.expire(1_199), [InstanceId(2)]);
        assert_eq!(lingering.len(), 0);
    }
}

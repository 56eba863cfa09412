//! The client's clock: local time corrected by the server's, never behind what was seen.
//!
//! Invariants: stamps strictly increase but for [`ClientClock::restart`], which takes a new
//! replica id with it; a write never fails because of the clock. `seen` is kept apart from the
//! clock itself, because a clock that ran ahead must be restarted without its own stamps.

use tercet_engine::hlc::{Clock, Hlc};
use tercet_engine::ids::ReplicaId;

use crate::planted::{Bug, is_planted};

/// A client's clock.
#[derive(Debug, Clone)]
pub(crate) struct ClientClock {
    clock: Clock,
    /// The greatest stamp that came from the server.
    seen: Hlc,
    /// What to add to local time to get the server's.
    offset_ms: i64,
}

impl ClientClock {
    /// A clock that has seen nothing.
    pub(crate) fn new(replica: ReplicaId) -> ClientClock {
        ClientClock { clock: Clock::new(replica), seen: Hlc::ZERO, offset_ms: 0 }
    }

    /// A stamp for a new write.
    pub(crate) fn stamp(&mut self, now_ms: u64) -> Hlc {
        let (clock, hlc) = self.clock.tick(now_ms.saturating_add_signed(self.offset_ms));
        self.clock = clock;
        hlc
    }

    /// The greatest stamp that came from the server.
    pub(crate) fn seen(&self) -> Hlc {
        self.seen
    }

    /// The stamp after which the next write comes.
    pub(crate) fn last(&self) -> Hlc {
        self.clock.last()
    }

    /// A stamp of this replica's own past.
    pub(crate) fn observe_own(&mut self, own: Hlc) {
        if is_planted(Bug::OwnClockForgotten) {
            return;
        }
        self.clock = self.clock.observe(own);
    }

    /// A stamp that the server has committed.
    pub(crate) fn observe(&mut self, committed: Hlc) {
        if is_planted(Bug::SeenForgotten) {
            return;
        }
        self.clock = self.clock.observe(committed);
        self.seen = self.seen.max(committed);
    }

    /// The server tells another history, of which this is the greatest stamp: those of the one
    /// before bind nobody, and may be far ahead of a clock that was set right since.
    pub(crate) fn forget_history(&mut self, committed: Hlc) {
        if !is_planted(Bug::EpochKeepsClock) {
            self.seen = committed;
        }
    }

    /// The server has told its time.
    pub(crate) fn synchronize(&mut self, server_time_ms: u64, now_ms: u64) {
        let (server, now) = (server_time_ms.cast_signed(), now_ms.cast_signed());
        self.offset_ms = server.saturating_sub(now);
    }

    /// Starts again as another replica: after the server's time, what was seen, and `own`, the
    /// greatest of this client's stamps that stand.
    pub(crate) fn restart(&mut self, replica: ReplicaId, server_time_ms: u64, own: Hlc) {
        let time = Hlc::new(server_time_ms, 0, replica);
        self.clock = Clock::new(replica).observe(time).observe(self.seen).observe(own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_ran_ahead_comes_back_with_the_servers_time() {
        let mut clock = ClientClock::new(ReplicaId(1));
        let ahead = clock.stamp(9_000_000);
        clock.observe(Hlc::new(40, 3, ReplicaId(5)));
        clock.synchronize(1_000, 9_000_000);
        assert!(clock.stamp(9_000_001) > ahead);
        clock.restart(ReplicaId(2), 1_000, Hlc::ZERO);
        let stamp = clock.stamp(9_000_002);
        assert_eq!((stamp.physical_ms(), stamp.replica()), (1_002, ReplicaId(2)));
        clock.restart(ReplicaId(3), 1_000, Hlc::new(5_000, 0, ReplicaId(1)));
        assert_eq!(clock.stamp(9_000_003).physical_ms(), 5_000);
        // Of a history that is gone nothing need be later.
        clock.observe(Hlc::new(8_000_000, 0, ReplicaId(5)));
        clock.forget_history(Hlc::new(40, 3, ReplicaId(5)));
        clock.restart(ReplicaId(4), 1_000, Hlc::ZERO);
        assert_eq!(clock.stamp(9_000_004).physical_ms(), 1_004);
    }
}

//! The connection as the client sees it: phases, and when to wake up for them.
//!
//! Phases: offline until a time → connecting → greeting (hello sent) → live. A connection that
//! gives no answer in time is dropped like one that broke. Invariant: every phase but connecting
//! has a deadline, so the client never waits for ever (connecting is the transport's to end).

use tercet_engine::ids::Checkpoint;

/// How often a live connection is asked whether it is there.
const PING_EVERY_MS: u64 = 20_000;
/// How long an answer may take.
const ANSWER_MS_MAX: u64 = 10_000;

/// The phase of the connection.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// Not connected; to be tried again at this time.
    Offline { until_ms: u64 },
    /// A connection has been asked for.
    Connecting,
    /// Hello has been sent; welcome is due by this time.
    Greeting { until_ms: u64 },
    /// Welcomed.
    Live(Live),
}

/// A session that has been welcomed.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// The session's position: everything up to it has come.
    pub(crate) position: Checkpoint,
    next_ping_ms: u64,
    /// An answer is due by this time.
    answer_until_ms: Option<u64>,
}

/// What time has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Connect,
    Ping,
    /// No answer came.
    Dead,
}

impl Live {
    /// The other side is asked whether it is there not later than this.
    pub(crate) fn ping_by(&mut self, at_ms: u64) {
        self.next_ping_ms = self.next_ping_ms.min(at_ms);
    }
}

impl Phase {
    /// Hello has been sent.
    pub(crate) fn greeting(now_ms: u64) -> Phase {
        Phase::Greeting { until_ms: now_ms.saturating_add(ANSWER_MS_MAX) }
    }

    /// Welcome has come.
    pub(crate) fn live(position: Checkpoint, now_ms: u64) -> Phase {
        let next_ping_ms = now_ms.saturating_add(PING_EVERY_MS);
        Phase::Live(Live { position, next_ping_ms, answer_until_ms: None })
    }

    /// When to look again.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        match self {
            Phase::Offline { until_ms } | Phase::Greeting { until_ms } => Some(*until_ms),
            Phase::Connecting => None,
            Phase::Live(live) => Some(live.answer_until_ms.unwrap_or(live.next_ping_ms)),
        }
    }

    /// What is due now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Due {
        if self.deadline_ms().is_none_or(|deadline_ms| now_ms < deadline_ms) {
            return Due::Nothing;
        }
        match self {
            Phase::Offline { .. } => Due::Connect,
            Phase::Connecting => Due::Nothing,
            Phase::Greeting { .. } => Due::Dead,
            Phase::Live(live) if live.answer_until_ms.is_some() => Due::Dead,
            Phase::Live(live) => {
                live.answer_until_ms = Some(now_ms.saturating_add(ANSWER_MS_MAX));
                Due::Ping
            }
        }
    }

    /// Something came: the other side is there.
    pub(crate) fn heard(&mut self, now_ms: u64) {
        if let Phase::Live(live) = self
            && live.answer_until_ms.take().is_some()
        {
            live.next_ping_ms = now_ms.saturating_add(PING_EVERY_MS);
        }
    }

    /// The session, if it has been welcomed.
    pub(crate) fn as_live(&self) -> Option<&Live> {
        match self {
            Phase::Live(live) => Some(live),
            _ => None,
        }
    }

    /// The session, if it has been welcomed.
    pub(crate) fn as_live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Phase::Live(live) => Some(live),
            _ => None,
        }
    }
}

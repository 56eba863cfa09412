//! Deliberate bugs, one at a time, that the simulation must find: how strong it is, is how many of
//! them it finds. Only with the feature `planted`, which nothing but that run has; without it
//! every question here is `false` when it is compiled. Per thread, so that threads can try several.

#[cfg(feature = "planted")]
use std::cell::Cell;

/// A deliberate bug of the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A transaction is answered before it is in the log.
    AnswerBeforeCommit,
    /// What a failed append had is published all the same.
    FailedAppendStands,
    /// After a failed append what was staged behind it stays.
    FailedAppendKeepsLater,
    /// A transaction sent again is taken for a new one.
    RepeatIsNew,
    /// A number out of order is taken for the next one.
    GapIsNext,
    /// A number with other operations gets the recorded answer.
    DigestUnchecked,
    /// A newer session does not end the older one of its client.
    FenceMissing,
    /// A server that another one has taken over from serves those who have seen more.
    BehindServes,
    /// A rejection is not recorded.
    RejectionUnrecorded,
    /// An answer comes before the parts of its commit.
    AnswerBeforeParts,
    /// A marker comes before the parts of its commit.
    MarkerBeforeParts,
    /// A lagging session gets its answers.
    AnswerWhileLagging,
    /// All of a support is sent as it was before the last change.
    ResetOutdated,
    /// Whatever a client holds is said to be unchanged, and nobody checks.
    ResumeUnchecked,
    /// Facts that are gone are not told.
    RetractionUntold,
    /// Facts that are not needed any more are told as gone.
    ReleaseIsRetraction,
    /// A fact that was stamped anew is not told.
    MarkUntold,
    /// Rows that are gone are not told.
    RowRemovalUntold,
    /// An instance that is not kept up is not told to be stale.
    StaleUntold,
    /// A restored entity is not told.
    RestorationUntold,
    /// Whoever joins an instance that others read gets no changes.
    JoinMissesChanges,
    /// The server's clock does not begin after the log's stamps.
    ServerClockForgets,
    /// A client's clock does not follow the stamps it sees.
    SeenForgotten,
    /// A client's clock does not begin after its own stamps.
    OwnClockForgotten,
    /// Only the refused transaction gets a new stamp.
    RestampsOne,
    /// Covers of what got a new stamp keep the old one.
    RestampKeepsCovers,
    /// What was sent and not answered is dropped with its connection.
    DropOnTimeout,
    /// A transaction is sent before it is stored.
    SentUnstored,
    /// The outbox forgets a transaction when it is sent.
    ForgottenWhenSent,
    /// An accepted transaction leaves the view before its facts have come.
    LeavesInRenewal,
    /// The view is not folded anew after a rejection.
    RejectionStays,
    /// A rejection takes later transactions with it.
    RejectionTakesLater,
    /// After a new identity numbers begin at 1 beside those given out.
    RenumberCountsAnew,
    /// A fact is evicted when one of its holders leaves.
    EvictedAtFirst,
    /// Parts that come during a renewal go to what is held from before.
    PartsGoToOld,
    /// Parts are installed before their marker.
    PartsAtOnce,
    /// Parts wait for the marker of another session.
    PartsOutliveSession,
    /// A subscription is complete before the server has answered it.
    CompleteBeforeAnswer,
    /// A stale subscription is complete.
    StaleIsComplete,
    /// A replay leaves out its first commit, and nobody checks.
    ReplaySkipsFirst,
    /// Of the buckets that differ one is not sent, and nobody checks.
    BucketsLackOne,
    /// A deletion that was told is believed after its instance has gone.
    GravesOutliveHolders,
    /// Stamps of a history that is gone hold the clock.
    EpochKeepsClock,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::AnswerBeforeCommit,
        Bug::FailedAppendStands,
        Bug::FailedAppendKeepsLater,
        Bug::RepeatIsNew,
        Bug::GapIsNext,
        Bug::DigestUnchecked,
        Bug::FenceMissing,
        Bug::BehindServes,
        Bug::RejectionUnrecorded,
        Bug::AnswerBeforeParts,
        Bug::MarkerBeforeParts,
        Bug::AnswerWhileLagging,
        Bug::ResetOutdated,
        Bug::ResumeUnchecked,
        Bug::RetractionUntold,
        Bug::ReleaseIsRetraction,
        Bug::MarkUntold,
        Bug::RowRemovalUntold,
        Bug::StaleUntold,
        Bug::RestorationUntold,
        Bug::JoinMissesChanges,
        Bug::ServerClockForgets,
        Bug::SeenForgotten,
        Bug::OwnClockForgotten,
        Bug::RestampsOne,
        Bug::RestampKeepsCovers,
        Bug::DropOnTimeout,
        Bug::SentUnstored,
        Bug::ForgottenWhenSent,
        Bug::LeavesInRenewal,
        Bug::RejectionStays,
        Bug::RejectionTakesLater,
        Bug::RenumberCountsAnew,
        Bug::EvictedAtFirst,
        Bug::PartsGoToOld,
        Bug::PartsAtOnce,
        Bug::PartsOutliveSession,
        Bug::CompleteBeforeAnswer,
        Bug::StaleIsComplete,
        Bug::ReplaySkipsFirst,
        Bug::BucketsLackOne,
        Bug::GravesOutliveHolders,
        Bug::EpochKeepsClock,
    ];
}

#[cfg(feature = "planted")]
thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

/// Has this thread make a bug, or none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the bug is to be made.
#[cfg(feature = "planted")]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether the bug is to be made: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}

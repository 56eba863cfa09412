//! Deliberate bugs, one at a time, that the simulation must find: how strong it is, is how many of
//! them it finds. Only with the feature `planted`, which nothing but that run has; without it
//! every question here is `false` when it is compiled. Per thread, so that threads can try several.

#[cfg(feature = "planted")]
use std::cell::Cell;

/// A deliberate bug of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A `set` wins when it comes last, whatever its stamp.
    LateSetWins,
    /// A `remove` covers up to its own stamp, whatever it saw.
    RemoveCoversAll,
    /// A write stamped after a deletion shows.
    DeletedWriteShows,
    /// What a deletion hides is forgotten, also what a restoration would show.
    DeletionForgets,
    /// A reference to a deleted entity shows.
    DanglingRefShows,
    /// A cover is kept as it was claimed.
    CoverUnclamped,
    /// A restoration does nothing.
    RestorationIgnored,
    /// Stamps of one millisecond are equal.
    ClockStands,
    /// No stamp is too far ahead.
    DriftUnchecked,
    /// An installed fact that is held keeps its mark.
    InstallKeepsMark,
    /// A support leaves out what is negated.
    SupportLacksNegation,
    /// A support leaves out what rules read.
    SupportLacksCalls,
    /// A support leaves out absences.
    SupportLacksMissing,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Bug] = &[
        Bug::LateSetWins,
        Bug::RemoveCoversAll,
        Bug::DeletedWriteShows,
        Bug::DeletionForgets,
        Bug::DanglingRefShows,
        Bug::CoverUnclamped,
        Bug::RestorationIgnored,
        Bug::ClockStands,
        Bug::DriftUnchecked,
        Bug::InstallKeepsMark,
        Bug::SupportLacksNegation,
        Bug::SupportLacksCalls,
        Bug::SupportLacksMissing,
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

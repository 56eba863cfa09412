//! What can go wrong, and how often in a run.
//!
//! Every run draws which kinds it has and how often each strikes (swarm testing: Groce and others,
//! ISSTA 2012): a run in which everything fails at once hides what a rare pair of failures does.
//! Faults are at the level at which they happen: TCP neither reorders nor repeats within a
//! connection, so frames are late only across connections, and lost only with theirs.

use crate::random::Random;

/// Declares the kinds with the names by which a plan speaks of them.
macro_rules! kinds {
    ($($kind:ident => $text:literal, $doc:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $doc] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// Its name.
            pub fn text(self) -> &'static str {
                match self {
                    $(Kind::$kind => $text,)*
                }
            }
        }
    };
}

kinds! {
    Drop => "drop", "A connection breaks, with what is on its way.";
    Delay => "delay", "A frame takes long; those behind it wait.";
    Clog => "clog", "A direction of a connection stands still for a while.";
    HalfOpen => "half-open", "A connection breaks and one side does not hear of it.";
    Late => "late", "A connection is given up while its frames go on.";
    Partition => "partition", "No frame passes between a client and a server, in one or both directions.";
    Slow => "slow", "A client reads slowly.";
    Cut => "cut", "A frame is cut in the middle, and its connection ends.";
    CrashBefore => "crash-before", "A server dies before a commit.";
    CrashAfter => "crash-after", "A server dies between a commit and its answers.";
    CrashMid => "crash-mid", "A server dies when it has sent a part of what a commit brings.";
    Crash => "crash", "A server dies at any moment.";
    ClientCrash => "client-crash", "A client dies.";
    Torn => "torn", "A client dies; what it handed over last is torn.";
    Volatile => "volatile", "Some clients have no outbox.";
    Rollback => "rollback", "A client dies, and its outbox is an earlier copy.";
    Twin => "twin", "A second process starts with a copy of an outbox.";
    Jump => "jump", "A clock jumps, forwards or back.";
    Freeze => "freeze", "A process stands still for a while, a client's clock with it.";
    Drift => "drift", "Clocks run fast or slow, or are wrong from the start.";
    Hostile => "hostile", "A peer sends what no client would.";
    Full => "full", "A disk is full for a while.";
    Io => "io", "An append fails, and nobody knows whether it is in the log.";
    SlowDisk => "slow-disk", "Disks are slow.";
    Restore => "restore", "A backup is restored: a new epoch.";
    Evict => "evict", "A tenant is unloaded.";
    Owner => "owner", "Another server takes a tenant over while the first one has it.";
    Rights => "rights", "A client may only read from now on, or may write again.";
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults(u32);

impl Faults {
    /// Whether a kind is in it.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    /// With a kind more.
    #[must_use]
    pub fn with(self, kind: Kind) -> Faults {
        Faults(self.0 | 1 << kind as u32)
    }

    /// With a kind fewer.
    #[must_use]
    pub fn without(self, kind: Kind) -> Faults {
        Faults(self.0 & !(1 << kind as u32))
    }

    /// Those in it.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.iter().copied().filter(move |kind| self.has(*kind))
    }

    /// A swarm: in most runs a few kinds, in some of them many.
    pub fn draw(random: &mut Random) -> Faults {
        let percent = *random.pick(&[0, 10, 10, 20, 20, 35, 60]);
        let drawn = Kind::ALL.iter().filter(|_| random.chance(percent));
        drawn.fold(Faults::default(), |faults, kind| faults.with(*kind))
    }
}

/// Milliseconds between two strikes of a kind, on average, in a run of `duration_ms`.
pub(super) fn interval_ms(random: &mut Random, kind: Kind, duration_ms: u64) -> u64 {
    let n_strikes = match kind {
        Kind::Restore | Kind::Rollback | Kind::Twin => 1 + random.below(2),
        Kind::Drop | Kind::Clog | Kind::Late => 2 + random.skewed(24),
        _ => 1 + random.skewed(8),
    };
    (duration_ms / n_strikes as u64).max(1)
}

/// When the next strike comes, if they come so far apart on average.
pub(super) fn next_ms(random: &mut Random, interval_ms: u64) -> u64 {
    1 + random.below(2 * interval_ms as usize) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        assert!(Kind::ALL.len() <= 32);
        let faults = Faults::default().with(Kind::Drop).with(Kind::Rights).without(Kind::Drop);
        assert_eq!(faults.kinds().collect::<Vec<_>>(), [Kind::Rights]);
    }
}

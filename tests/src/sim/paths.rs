//! Rare paths that a simulation must have taken, counted: a run that never met one proves nothing
//! about it.
//!
//! A path is noted where it is seen from outside (a message, a refusal, a fault that really hit
//! something), never where it is only intended. `sometimes!(world, Path)` counts one.

/// Declares the paths with their names in the table.
macro_rules! paths {
    ($($path:ident => $text:literal,)*) => {
        /// A path that some seed must take.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Path {
            $(#[doc = $text] $path,)*
        }

        impl Path {
            /// All of them, in the order of the table.
            pub const ALL: &[Path] = &[$(Path::$path),*];

            /// What the table calls it.
            pub fn text(self) -> &'static str {
                match self {
                    $(Path::$path => $text,)*
                }
            }
        }
    };
}

paths! {
    Accepted => "a write is accepted",
    Rejected => "a write is rejected",
    AnsweredAgain => "a write sent again gets its recorded answer",
    Superseded => "an accepted write has lost",
    FailedEarly => "a write to a deleted entity fails early",
    ClockDrift => "a stamp is refused as ahead",
    SeqGap => "a number is refused as out of order",
    SeqConflict => "a number with other operations ends a session",
    Fenced => "a newer session fences an older one",
    StorageUnavailable => "a write is refused for storage",
    ReadOnly => "a write is rejected for rights",
    Renumbered => "pending writes get new numbers",
    Resync => "a slow session is told to resynchronise",
    Stale => "a subscription becomes stale",
    Unchanged => "a subscription is resumed unchanged",
    Replay => "a subscription is resumed by its ring",
    Buckets => "a subscription is resumed by its buckets",
    Reset => "a subscription is sent whole",
    Rows => "a subscription goes on as rows",
    PendingShown => "an answer shows pending writes",
    Partial => "an answer is partial",
    Complete => "an answer is complete",
    Restored => "a restored entity is told",
    Deleted => "a deletion is told",
    LostInFlight => "frames are lost with their connection",
    LateFrames => "frames of an ended connection arrive after the next one began",
    HalfOpen => "one side does not hear of the end",
    CutFrame => "a frame is cut in the middle",
    DiedBeforeCommit => "a server dies before a commit",
    DiedAfterCommit => "a server dies between commit and answer",
    DiedInBroadcast => "a server dies while it sends",
    ClientDied => "a client dies with pending writes",
    OutboxTorn => "writes to an outbox are lost with their process",
    OutboxLost => "a client dies and has no outbox",
    OutboxRolledBack => "an outbox is put back to an earlier state",
    ClientTwice => "a client id is used by two processes",
    DiskFull => "an append is refused by a full disk",
    AppendUnknown => "an append fails and is in the log",
    AppendFailed => "an append fails and is not in the log",
    BackupRestored => "a backup is restored",
    Evicted => "a tenant is unloaded and loaded",
    SecondOwner => "a late append of an earlier owner is refused",
    HostileRefused => "a hostile stamp is refused",
    ImportRepeated => "an import's part is sent again",
    OracleAsked => "a complete answer is compared with the oracle's",
}

/// How often each path was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Vec<u64>);

impl Default for Paths {
    fn default() -> Paths {
        Paths(vec![0; Path::ALL.len()])
    }
}

impl Paths {
    /// Counts one.
    pub fn note(&mut self, path: Path) {
        self.0[path as usize] += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Paths) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// How often it was taken.
    pub fn count(&self, path: Path) -> u64 {
        self.0[path as usize]
    }

    /// Those never taken.
    pub fn missing(&self) -> Vec<Path> {
        Path::ALL.iter().copied().filter(|path| self.count(*path) == 0).collect()
    }
}

/// Notes that a path was taken, or that it was where something holds.
macro_rules! sometimes {
    ($world:expr, $path:ident) => {
        $world.paths.note($crate::sim::paths::Path::$path)
    };
    ($world:expr, $path:ident, $holds:expr) => {
        if $holds {
            $world.paths.note($crate::sim::paths::Path::$path);
        }
    };
}
pub(super) use sometimes;

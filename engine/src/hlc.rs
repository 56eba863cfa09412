//! Hybrid logical clock: 48-bit milliseconds, 16-bit counter, 64-bit replica id.
//!
//! It exists so that replicas that never met agree which of two writes is the later one, while
//! stamps stay close to wall time. The clock is a pure step: whoever has a real clock passes the
//! time in. Invariants: stamps of one [`Clock`] strictly increase whatever the wall clock does;
//! a step never fails (a full counter borrows a millisecond); the text forms sort as the stamps.
//!
//! Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks", OPODIS 2014.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::ReplicaId;
use crate::planted::{Bug, is_planted};

/// The greatest millisecond an HLC can hold (48 bits: the year 10889).
pub const PHYSICAL_MS_MAX: u64 = (1 << 48) - 1;

/// A stamp of a hybrid logical clock: ordered by time, then counter, then replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc {
    /// Milliseconds in the upper 48 bits, counter in the lower 16.
    time: u64,
    replica: ReplicaId,
}

impl Hlc {
    /// The stamp before all others.
    pub const ZERO: Hlc = Hlc { time: 0, replica: ReplicaId(0) };

    /// A stamp from its parts; milliseconds beyond [`PHYSICAL_MS_MAX`] are cut to it.
    pub fn new(physical_ms: u64, counter: u16, replica: ReplicaId) -> Hlc {
        Hlc { time: physical_ms.min(PHYSICAL_MS_MAX) << 16 | u64::from(counter), replica }
    }

    /// Wall time in milliseconds since 1970, as the writer saw it.
    pub fn physical_ms(self) -> u64 {
        self.time >> 16
    }

    /// How many stamps this millisecond had before.
    pub fn counter(self) -> u16 {
        (self.time & 0xffff) as u16
    }

    /// Whose clock made it.
    pub fn replica(self) -> ReplicaId {
        self.replica
    }

    /// The sixteen bytes that sort as the stamps do.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.time.to_be_bytes());
        bytes[8..].copy_from_slice(&self.replica.0.to_be_bytes());
        bytes
    }

    /// The inverse of [`Hlc::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Hlc {
        let (time, replica) = bytes.split_at(8);
        let number = |part: &[u8]| u64::from_be_bytes(part.try_into().expect("split at 8 of 16"));
        Hlc { time: number(time), replica: ReplicaId(number(replica)) }
    }
}

/// A text that is no stamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a stamp: expected {n_digits} lower-case hex digits")]
pub struct HlcTextError {
    text: String,
    n_digits: usize,
}

fn parse_hex(text: &str, n_digits: usize) -> Result<u128, HlcTextError> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != n_digits || !text.bytes().all(is_digit) {
        let text = text.chars().take(64).collect();
        return Err(HlcTextError { text, n_digits });
    }
    Ok(u128::from_str_radix(text, 16).expect("only hex digits, at most 32 of them"))
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.time, self.replica.0)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{:x}", self.physical_ms(), self.counter(), self.replica.0)
    }
}

impl FromStr for Hlc {
    type Err = HlcTextError;
    fn from_str(text: &str) -> Result<Hlc, HlcTextError> {
        Ok(Hlc::from_bytes(parse_hex(text, 32)?.to_be_bytes()))
    }
}

/// The stamp of one operation: its transaction's HLC and its index in the transaction's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    /// The transaction's.
    pub hlc: Hlc,
    /// The operation's position in the transaction, from 0.
    pub op: u16,
}

impl Stamp {
    /// The stamp before all others: what a cover of nothing covers.
    pub const ZERO: Stamp = Stamp { hlc: Hlc::ZERO, op: 0 };

    /// The eighteen bytes that sort as the stamps do.
    pub fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&self.hlc.to_bytes());
        bytes[16..].copy_from_slice(&self.op.to_be_bytes());
        bytes
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:04x}", self.hlc, self.op)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}", self.hlc, self.op)
    }
}

impl FromStr for Stamp {
    type Err = HlcTextError;
    fn from_str(text: &str) -> Result<Stamp, HlcTextError> {
        let malformed = || HlcTextError { text: text.chars().take(64).collect(), n_digits: 36 };
        let (hlc, op) = text.split_at_checked(32).ok_or_else(malformed)?;
        let hlc = hlc.parse().map_err(|_| malformed())?;
        let op = parse_hex(op, 4).map_err(|_| malformed())?;
        Ok(Stamp { hlc, op: u16::try_from(op).expect("four hex digits") })
    }
}

macro_rules! serde_as_text_or_binary {
    ($type:ty, $binary:ty, $to:expr, $from:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let to: fn(&$type) -> $binary = $to;
                    to(self).serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    let from: fn($binary) -> $type = $from;
                    <$binary>::deserialize(deserializer).map(from)
                }
            }
        }
    };
}

serde_as_text_or_binary!(Hlc, (u64, u64), |hlc| (hlc.time, hlc.replica.0), |(time, replica)| Hlc {
    time,
    replica: ReplicaId(replica)
});
serde_as_text_or_binary!(Stamp, (Hlc, u16), |stamp| (stamp.hlc, stamp.op), |(hlc, op)| Stamp {
    hlc,
    op
});

/// A replica's clock: the greatest stamp it has made or seen. Stepping it is a pure function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Time part of the greatest stamp made or seen.
    time: u64,
    replica: ReplicaId,
}

impl Clock {
    /// A clock that has seen nothing.
    pub fn new(replica: ReplicaId) -> Clock {
        Clock { time: 0, replica }
    }

    /// Whose clock this is.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// The greatest stamp this clock has made or could have been made by what it saw.
    pub fn last(&self) -> Hlc {
        Hlc { time: self.time, replica: self.replica }
    }

    /// A stamp for a new write: later than every stamp this clock made or saw, and not earlier
    /// than `now_ms`. A counter that is full borrows the next millisecond. Never fails; at the
    /// end of 48-bit time it stays at the last stamp, which no honest clock reaches.
    #[must_use]
    pub fn tick(self, now_ms: u64) -> (Clock, Hlc) {
        let after = u64::from(!is_planted(Bug::ClockStands));
        let time = (self.time.saturating_add(after)).max(now_ms.min(PHYSICAL_MS_MAX) << 16);
        let clock = Clock { time, replica: self.replica };
        (clock, clock.last())
    }

    /// Takes note of a stamp seen elsewhere, so that the next one made here is later.
    #[must_use]
    pub fn observe(self, seen: Hlc) -> Clock {
        Clock { time: self.time.max(seen.time), replica: self.replica }
    }
}

/// Whether the server must refuse a stamp: later than the greater of `now_ms + drift_ms_max` and
/// the millisecond after the greatest committed stamp. Whoever has seen that stamp writes after it:
/// without the millisecond (which is 65,536 counts) a server whose clock was set back would refuse
/// everyone until its time has come there again.
pub fn is_ahead(stamp: Hlc, now_ms: u64, drift_ms_max: u64, committed: Hlc) -> bool {
    let is_checked = !is_planted(Bug::DriftUnchecked);
    is_checked
        && stamp.physical_ms() > now_ms.saturating_add(drift_ms_max)
        && stamp.physical_ms() > committed.physical_ms() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_increase_when_the_wall_clock_stands_or_jumps_back() {
        let mut clock = Clock::new(ReplicaId(7));
        let mut last = Hlc::ZERO;
        for now_ms in [1_000, 1_000, 5, 2_000, 0] {
            let (next, stamp) = clock.tick(now_ms);
            assert!(stamp > last);
            (clock, last) = (next, stamp);
        }
    }

    #[test]
    fn a_full_counter_borrows_a_millisecond() {
        let clock = Clock::new(ReplicaId(1)).observe(Hlc::new(50, u16::MAX, ReplicaId(2)));
        let (_, stamp) = clock.tick(50);
        assert_eq!((stamp.physical_ms(), stamp.counter()), (51, 0));
    }

    #[test]
    fn text_sorts_as_the_stamps_and_parses_back() {
        let stamps = [
            Hlc::ZERO,
            Hlc::new(9, 65_535, ReplicaId(u64::MAX)),
            Hlc::new(10, 0, ReplicaId(0)),
            Hlc::new(10, 0, ReplicaId(1)),
            Hlc::new(PHYSICAL_MS_MAX, 0, ReplicaId(0)),
        ];
        assert!(stamps.is_sorted());
        assert!(stamps.map(|stamp| stamp.to_string()).is_sorted());
        for hlc in stamps {
            assert_eq!(hlc.to_string().parse(), Ok(hlc));
            let stamp = Stamp { hlc, op: 513 };
            assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
        assert!("0123".parse::<Hlc>().is_err());
        assert!("é".repeat(18).parse::<Stamp>().is_err());
    }

    #[test]
    fn a_stamp_is_ahead_only_beyond_drift_and_beyond_what_is_committed() {
        let stamp = Hlc::new(61_001, 0, ReplicaId(1));
        assert!(is_ahead(stamp, 1_000, 60_000, Hlc::ZERO));
        assert!(!is_ahead(stamp, 1_001, 60_000, Hlc::ZERO));
        assert!(!is_ahead(stamp, 1_000, 60_000, Hlc::new(61_001, 0, ReplicaId(9))));
        // Guards against a server that was set back and refuses whoever has seen its last commit
        // (found by the simulation, seed 384).
        let (_, next) = Clock::new(ReplicaId(2)).observe(stamp).tick(1_000);
        assert!(!is_ahead(next, 1_000, 60_000, stamp));
        let later = Hlc::new(61_003, 0, ReplicaId(2));
        assert!(is_ahead(later, 1_000, 60_000, stamp));
    }
}

//! The story of a run as one number: equal numbers, equal runs.
//!
//! Everything that happens is mixed in, bytes included, so that a difference anywhere (an
//! unordered map, a forgotten clock) shows when a seed is run twice. Not for secrets.

/// A running hash, and the story itself where somebody wants to read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    hash: u64,
    is_loud: bool,
}

impl Trace {
    /// One that is printed too, where `is_loud`.
    pub(super) fn new(is_loud: bool) -> Trace {
        Trace { hash: 0, is_loud }
    }

    /// The number of all that was noted.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Mixes a number in.
    pub(super) fn number(&mut self, number: u64) {
        let mixed = (self.hash.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.hash = mixed ^ (mixed >> 29);
    }

    /// Mixes bytes in.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.number(u64::from_le_bytes(last));
        self.number(bytes.len() as u64);
    }

    /// Tells, where somebody reads it.
    pub(super) fn tell(&self, now_ms: u64, story: impl FnOnce() -> String) {
        if self.is_loud {
            eprintln!("{now_ms:>7} {}", story());
        }
    }
}

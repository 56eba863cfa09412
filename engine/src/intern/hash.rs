//! The hash of the tables of symbols: SipHash-1-3 of a whole item at once, under fixed keys.
//!
//! The choice: foldhash, wyhash and their like are faster still, but under keys that anyone can
//! read, texts that collide in them are written down by solving one multiplication; nobody knows
//! how to do that for SipHash but by trying. What made it slow here is not its rounds but that the
//! standard library feeds them byte by byte through a buffer. Items lie in memory whole, so
//! eight bytes a round are loaded instead. Keys are fixed because the engine has no randomness:
//! layout and cost depend on the items alone.
//!
//! Source: Aumasson & Bernstein, "SipHash: a fast short-input PRF", 2012; one round a word and
//! three to finish, as the standard library has it.

use std::sync::Arc;

use crate::ids::EntityId;
use crate::value::Number;

/// What a table of symbols can hold: equal items have equal hashes.
pub(super) trait Hashed {
    /// The hash.
    fn hash(&self) -> u64;
    /// Reads a little of what an item is compared by, so that it is at hand when it is.
    fn touch(&self) -> usize;
}

impl Hashed for Arc<str> {
    fn hash(&self) -> u64 {
        sip(self.as_bytes())
    }
    fn touch(&self) -> usize {
        self.as_bytes().first().map_or(0, |byte| usize::from(*byte))
    }
}

impl Hashed for EntityId {
    fn hash(&self) -> u64 {
        self.shared().hash()
    }
    fn touch(&self) -> usize {
        self.shared().touch()
    }
}

impl Hashed for Number {
    fn hash(&self) -> u64 {
        match self.as_i64() {
            Some(int) => sip(&int.to_le_bytes()),
            None => sip(&self.to_f64().to_bits().to_le_bytes()),
        }
    }
    fn touch(&self) -> usize {
        0
    }
}

struct State([u64; 4]);

impl State {
    #[inline(always)]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32).wrapping_add(*d);
        *c = c.wrapping_add(*b);
        *d = d.rotate_left(21) ^ *a;
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }

    #[inline(always)]
    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }
}

/// SipHash-1-3 under zero keys.
fn sip(bytes: &[u8]) -> u64 {
    let mut state = State([
        0x736f_6d65_7073_6575,
        0x646f_7261_6e64_6f6d,
        0x6c79_6765_6e65_7261,
        0x7465_6462_7974_6573,
    ]);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.take(u64::from_le_bytes(*word));
    }
    let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    state.take(rest | (bytes.len() as u64) << 56);
    state.0[2] ^= 0xff;
    for _ in 0..3 {
        state.round();
    }
    let [a, b, c, d] = state.0;
    a ^ b ^ c ^ d
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    /// The standard library does not promise its algorithm; as long as it is this one, it says
    /// whether ours is right.
    #[test]
    fn hashes_are_those_of_the_standard_library() {
        let bytes: Vec<u8> = (0_u8..70).map(|index| index.wrapping_mul(151)).collect();
        for begin in 0..8 {
            for end in begin..bytes.len() {
                let mut hasher = DefaultHasher::new();
                hasher.write(&bytes[begin..end]);
                assert_eq!(sip(&bytes[begin..end]), hasher.finish(), "bytes {begin}..{end}");
            }
        }
    }

    #[test]
    fn equal_numbers_have_equal_hashes() {
        let double = Number::from_f64(2.0).expect("two is finite");
        assert_eq!(double.hash(), Number::from(2_i64).hash());
    }
}

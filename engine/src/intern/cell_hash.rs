//! The hash of cells, wherever an evaluation tells rows and nodes apart.
//!
//! Clients choose the integers and dates that cells hold as they are, so under a hash that anyone
//! can compute they could write a million that collide. The hash is therefore under a *key*. The
//! engine has no randomness: whoever opens a store for strangers draws the key ([`HashKey`]) and
//! tells nobody. Without one, all keys are the same, which is right for tests and for programs that
//! trust their data. No order and no answer depends on the key.
//!
//! The choice: SipHash, which texts get (see `hash`), takes as long as a join takes for all else.
//! Folding the 128 bits of one product, as wyhash and foldhash do, takes a nanosecond, and what
//! collides under it is known only to who knows the key.
//!
//! Source: Yi Wang, *wyhash*; Orson Peters, *foldhash*; keys are spread as in Steele, Lea & Flood,
//! "Fast splittable pseudorandom number generators", 2014.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use super::Cell;

/// A map whose layout depends on its keys and on the key of the store alone.
pub(crate) type KeyedMap<Key, Item> = HashMap<Key, Item, CellHash>;

/// A set, likewise.
pub(crate) type KeyedSet<Key> = HashSet<Key, CellHash>;

/// A map by cells.
pub(crate) type CellMap<Item> = KeyedMap<Cell, Item>;

/// A set of cells.
pub(crate) type CellSet = KeyedSet<Cell>;

/// What the hashes of one store depend on, so that nobody else can choose values that collide.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct HashKey(u64);

impl HashKey {
    /// The key that a secret gives: 32 random bytes, which may serve other ends as well.
    pub fn of_secret(secret: &[u8; 32]) -> HashKey {
        let hash = blake3::derive_key("tercet 2026 keys of hash tables", secret);
        let first = *hash.first_chunk().expect("a hash has 32 bytes");
        HashKey(u64::from_le_bytes(first))
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(secret)")
    }
}

/// Hashes under the key of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CellHash {
    start: u64,
    factor: u64,
}

impl Default for CellHash {
    fn default() -> CellHash {
        CellHash::new(HashKey::default())
    }
}

impl CellHash {
    pub(crate) fn new(key: HashKey) -> CellHash {
        let spread = |state: u64| {
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let start = spread(key.0.wrapping_add(STEP));
        let factor = spread(key.0.wrapping_add(STEP.wrapping_mul(2)));
        // An odd factor of many bits: a product loses nothing of what is multiplied.
        CellHash { start, factor: factor | 1 | 1 << 63 }
    }

    /// The hash of some cells in their order.
    #[inline]
    pub(crate) fn of(self, cells: impl IntoIterator<Item = Cell>) -> u64 {
        let mut hasher = self.build_hasher();
        cells.into_iter().for_each(|cell| hasher.write_u64(cell.0));
        hasher.finish()
    }
}

impl BuildHasher for CellHash {
    type Hasher = CellHasher;

    #[inline]
    fn build_hasher(&self) -> CellHasher {
        CellHasher { hash: self.start, factor: self.factor }
    }
}

/// See [`CellHash`].
#[derive(Debug, Clone)]
pub(crate) struct CellHasher {
    hash: u64,
    factor: u64,
}

impl Hasher for CellHasher {
    #[inline]
    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.hash ^ word) * u128::from(self.factor);
        self.hash = product as u64 ^ (product >> 64) as u64;
    }

    #[inline]
    fn write_u128(&mut self, words: u128) {
        self.write_u64(words as u64);
        self.write_u64((words >> 64) as u64);
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.write_u64(rest | (bytes.len() as u64) << 56);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(number: u8) -> HashKey {
        HashKey::of_secret(&[number; 32])
    }

    /// Of `n` hashes, how many there are in the fullest of `n` places and of the 128 tags: what a
    /// hash table makes of them.
    fn fullest(hash: CellHash, cells: &[Cell]) -> (usize, usize) {
        let mask = cells.len().next_power_of_two() as u64 - 1;
        let (mut places, mut tags) = (vec![0; mask as usize + 1], vec![0; 128]);
        for cell in cells {
            let hash = hash.of([*cell]);
            places[(hash & mask) as usize] += 1;
            tags[(hash >> 57) as usize] += 1;
        }
        let most = |counts: Vec<usize>| counts.into_iter().max().unwrap_or(0);
        (most(places), most(tags))
    }

    #[test]
    fn cells_of_any_pattern_are_spread_evenly() {
        let n = 1 << 16;
        // The inverse of the factor of `FxHasher`: multiples of it collide there.
        const INVERSE: u64 = 0x7814_94a5_5daa_ed0d;
        let patterns: [fn(u64) -> u64; 6] = [
            |i| i,
            |i| i << 20,
            |i| i << 40,
            |i| i | 2 << 60,
            |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            |i| i.wrapping_mul(INVERSE),
        ];
        for (number, pattern) in patterns.iter().enumerate() {
            let cells: Vec<Cell> = (0..n).map(|i| Cell(pattern(i))).collect();
            for number_of_key in 0..4 {
                let (place, tag) = fullest(CellHash::new(key(number_of_key)), &cells);
                assert!(place <= 16, "pattern {number}: {place} in one place");
                assert!(tag <= 2 * n as usize / 128, "pattern {number}: {tag} of one tag");
            }
        }
    }

    /// What collides under one key, found by trying, does not under another.
    #[test]
    fn collisions_are_those_of_one_key_alone() {
        let known = CellHash::new(key(1));
        let place = |hash: CellHash, cell: Cell| hash.of([cell]) & 0xff;
        let cells: Vec<Cell> =
            (0..1 << 18).map(Cell).filter(|cell| place(known, *cell) == 0).collect();
        assert!(cells.len() > 900);
        let secret = CellHash::new(key(2));
        let places: BTreeSet<u64> = cells.iter().map(|cell| place(secret, *cell)).collect();
        assert!(places.len() > 200, "{} cells in {} places", cells.len(), places.len());
    }

    #[test]
    fn hashes_tell_the_order_and_the_number_of_cells() {
        let hash = CellHash::default();
        let (a, b) = (Cell(1), Cell(2));
        let hashes = [vec![], vec![a], vec![b], vec![a, b], vec![b, a], vec![a, a]];
        let different: BTreeSet<u64> = hashes.into_iter().map(|cells| hash.of(cells)).collect();
        assert_eq!(different.len(), 6);
    }
}

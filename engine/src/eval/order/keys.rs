//! Rows packed into integers: sorting them, once each, without looking at values.
//!
//! The codes of a row's columns stand side by side in one word, the first to decide in the
//! highest bits. So the order of words is the order of rows, and equal words are equal rows. Few
//! possible words are marked in a bitmap, many words are sorted by their digits, from the last to
//! the first (Knuth, TAOCP vol. 3, 5.2.5); both are linear. What the codes stand for is left out.

use crate::error::QueryError;
use crate::eval::meter::Meter;

use super::{BLOCK, ascends};

/// Fewer words are sorted by comparing.
const RADIX_MIN: usize = 1_024;

/// The widest digit: its counters fit the nearest cache.
const DIGIT_BITS_MAX: u32 = 11;

/// The widest words that a bitmap is made for.
const BITMAP_BITS_MAX: u32 = 30;

/// A word that codes are packed into.
pub(in crate::eval) trait Key: Copy + Ord {
    /// The word without codes.
    const EMPTY: Self;

    /// Appends a code of so many bits.
    fn push(self, code: u64, bits: u32) -> Self;

    /// The code of so many bits that has `shift` bits behind it.
    fn code(self, shift: u32, bits: u32) -> u64;
}

macro_rules! key {
    ($word:ty) => {
        impl Key for $word {
            const EMPTY: $word = 0;

            #[inline]
            fn push(self, code: u64, bits: u32) -> $word {
                self.checked_shl(bits).unwrap_or(0) | <$word>::from(code)
            }

            #[inline]
            fn code(self, shift: u32, bits: u32) -> u64 {
                let mask = 1_u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
                self.checked_shr(shift).unwrap_or(0) as u64 & mask
            }
        }
    };
}

key!(u64);
key!(u128);

/// Sorts words of so many bits, keeping each once.
pub(in crate::eval) fn sort_distinct<Word: Key>(
    mut keys: Vec<Word>,
    bits: u32,
    meter: &Meter,
) -> Result<Vec<Word>, QueryError> {
    if ascends(&keys, meter)? {
        return Ok(keys);
    }
    if keys.len() >= RADIX_MIN && bits <= BITMAP_BITS_MAX && 1 << bits <= 64 * keys.len() {
        return sort_by_bitmap(&keys, bits, meter);
    }
    keys = sort(keys, 0, bits, meter)?;
    // As `dedup` does, with a look at the limits now and then. Each is written, and counted only
    // where it is the last of its kind: a branch here would be a guess.
    let (mut n_kept, n_keys) = (0, keys.len());
    let kept = keys.as_mut_slice();
    meter.in_blocks(n_keys, |block| {
        // A count of its own for each block stays in a register.
        let mut n = n_kept;
        for index in block {
            let key = kept[index];
            kept[n] = key;
            n += usize::from(index + 1 == n_keys || kept[index + 1] != key);
        }
        n_kept = n;
    })?;
    keys.truncate(n_kept);
    Ok(keys)
}

/// Sorts words of `shift + bits` bits whose last `shift` bits ascend already, or are none.
pub(in crate::eval) fn sort<Word: Key>(
    mut keys: Vec<Word>,
    shift: u32,
    bits: u32,
    meter: &Meter,
) -> Result<Vec<Word>, QueryError> {
    if bits == 0 {
        return Ok(keys);
    }
    if keys.len() < RADIX_MIN {
        keys.sort_unstable();
        return Ok(keys);
    }
    let n_digits = bits.div_ceil(DIGIT_BITS_MAX);
    let digit_bits = bits.div_ceil(n_digits);
    let mut sorted = vec![Word::EMPTY; keys.len()];
    for digit in 0..n_digits {
        let start = digit * digit_bits;
        let width = digit_bits.min(bits - start);
        if distribute(&keys, &mut sorted, shift + start, width, meter)? {
            std::mem::swap(&mut keys, &mut sorted);
        }
    }
    Ok(keys)
}

/// Copies words in the order of one digit; false where all have the same.
fn distribute<Word: Key>(
    keys: &[Word],
    sorted: &mut [Word],
    shift: u32,
    bits: u32,
    meter: &Meter,
) -> Result<bool, QueryError> {
    let mut starts = vec![0_usize; 1 << bits];
    for block in keys.chunks(BLOCK) {
        meter.check()?;
        for key in block {
            starts[key.code(shift, bits) as usize] += 1;
        }
    }
    if starts.contains(&keys.len()) {
        return Ok(false);
    }
    let mut start = 0;
    for count in &mut starts {
        start += std::mem::replace(count, start);
    }
    for block in keys.chunks(BLOCK) {
        meter.check()?;
        for key in block {
            let place = &mut starts[key.code(shift, bits) as usize];
            sorted[*place] = *key;
            *place += 1;
        }
    }
    Ok(true)
}

fn sort_by_bitmap<Word: Key>(
    keys: &[Word],
    bits: u32,
    meter: &Meter,
) -> Result<Vec<Word>, QueryError> {
    let mut marks = vec![0_u64; (1_usize << bits).div_ceil(64)];
    for block in keys.chunks(BLOCK) {
        meter.check()?;
        for key in block {
            let code = key.code(0, bits);
            marks[(code >> 6) as usize] |= 1 << (code & 63);
        }
    }
    let mut n_distinct = 0;
    for block in marks.chunks(BLOCK) {
        meter.check()?;
        n_distinct += block.iter().map(|word| word.count_ones() as usize).sum::<usize>();
    }
    let mut sorted = Vec::with_capacity(n_distinct);
    for (index, word) in marks.into_iter().enumerate() {
        meter.check_at(index)?;
        let mut left = word;
        while left != 0 {
            let code = (index as u64) << 6 | u64::from(left.trailing_zeros());
            sorted.push(Word::EMPTY.push(code, bits));
            left &= left - 1;
        }
    }
    Ok(sorted)
}

/// The `n`th of some words in their order, found without sorting them.
pub(super) struct Least<Word> {
    n: usize,
    /// The least so far, and some that came since; at most twice as many.
    kept: Vec<Word>,
    /// Greater ones are not among the least.
    bound: Option<Word>,
}

impl<Word: Key> Least<Word> {
    /// Of no words yet; `n` is positive.
    pub(super) fn new(n: usize) -> Least<Word> {
        Least { n, kept: Vec::new(), bound: None }
    }

    /// Takes one more.
    #[inline]
    pub(super) fn push(&mut self, key: Word) {
        if self.bound.is_none_or(|bound| key < bound) {
            self.kept.push(key);
            if self.kept.len() >= self.n.saturating_mul(2) {
                self.compact();
            }
        }
    }

    fn compact(&mut self) {
        if self.kept.len() > self.n {
            let (_, nth, _) = self.kept.select_nth_unstable(self.n - 1);
            self.bound = Some(*nth);
            self.kept.truncate(self.n);
        }
    }

    /// The `n`th of the words; none where there are not so many.
    pub(super) fn bound(mut self) -> Option<Word> {
        self.compact();
        (self.kept.len() >= self.n).then(|| self.kept.iter().copied().max()).flatten()
    }
}

//! Sorting many numbers by their upper half, without comparing any.
//!
//! A row that is to be sorted is one word: a dense 32-bit key over what tells the row, which
//! ascends already among equal keys. So the words are distributed by the digits of the key, the
//! lowest first, each time in the order in which they stand (Knuth, TAOCP 3, 5.2.5). Digits that
//! all keys share, as the upper ones of dense keys are, cost nothing.

/// Bits of a digit: so few that the counters of one stay in the nearest cache.
const DIGIT_BITS: u32 = 11;
const N_DIGITS: usize = 3;
/// Fewer words are sorted by comparing.
const WORDS_MIN: usize = 256;

/// The upper half of a word.
pub(super) fn upper(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A word of its halves.
pub(super) fn word(upper: u32, lower: u32) -> u64 {
    u64::from(upper) << 32 | u64::from(lower)
}

fn digit(word: u64, place: usize) -> usize {
    (word >> (32 + place as u32 * DIGIT_BITS)) as usize & ((1 << DIGIT_BITS) - 1)
}

/// Sorts words whose lower halves ascend among equal upper halves.
pub(super) fn sort_by_upper(words: &mut Vec<u64>) {
    if words.is_sorted() {
        return;
    }
    if words.len() < WORDS_MIN {
        return words.sort_unstable();
    }
    let mut counts = vec![[0_usize; 1 << DIGIT_BITS]; N_DIGITS];
    for &word in &*words {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[digit(word, place)] += 1;
        }
    }
    let mut sorted = vec![0; words.len()];
    for (place, counts) in counts.iter_mut().enumerate() {
        if counts[digit(words[0], place)] == words.len() {
            continue;
        }
        let mut next = 0;
        for count in &mut *counts {
            next += std::mem::replace(count, next);
        }
        for &word in &*words {
            let place = &mut counts[digit(word, place)];
            sorted[*place] = word;
            *place += 1;
        }
        std::mem::swap(words, &mut sorted);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn words_are_sorted(
            keys in prop::collection::vec(any::<u32>(), 0..2_000),
            mask in prop::sample::select(vec![3, 0xfff, 0xf_f000, 0xffff_0000, u32::MAX]),
        ) {
            let words = (0..).zip(&keys).map(|(lower, key)| word(key & mask, lower));
            let mut words: Vec<u64> = words.collect();
            let mut expected = words.clone();
            expected.sort_unstable();
            sort_by_upper(&mut words);
            prop_assert_eq!(words, expected);
        }
    }
}

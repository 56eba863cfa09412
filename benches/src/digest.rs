//! What a contestant's answer comes to: how many rows, and a sum over the values of all of them.
//!
//! Every contestant reads every value of every row to compute it, so all pay for delivery, and
//! equal digests mean equal answers, whatever the order of the rows (the sum of the rows' hashes
//! does not depend on it). An entity counts as the text of its id, in every engine: what is
//! delivered is an answer that the asker can use, not an engine's own numbers. This file is
//! compiled into the benches and into the peers, so that both mean the same.

use std::ops::AddAssign;

/// An odd multiplier whose bits are spread: the golden ratio's fraction in 64 bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The digest of rows read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many rows.
    pub n_rows: u64,
    /// The sum of their hashes.
    pub sum: u64,
}

impl AddAssign<RowDigest> for Digest {
    fn add_assign(&mut self, row: RowDigest) {
        self.n_rows += 1;
        self.sum = self.sum.wrapping_add(row.mixed());
    }
}

/// The digest of what a step changed: rows that came, and rows that went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeDigest {
    /// How many rows came.
    pub n_added: u64,
    /// How many went.
    pub n_removed: u64,
    /// The sum of the hashes of those that came, less those that went.
    pub sum: u64,
}

impl ChangeDigest {
    /// Reads a row that came.
    pub fn add(&mut self, row: RowDigest) {
        self.n_added += 1;
        self.sum = self.sum.wrapping_add(row.mixed());
    }

    /// Reads a row that went.
    pub fn remove(&mut self, row: RowDigest) {
        self.n_removed += 1;
        self.sum = self.sum.wrapping_sub(row.mixed());
    }
}

/// The hash of one row, value by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowDigest(u64);

impl RowDigest {
    /// Reads an integer.
    pub fn integer(&mut self, integer: i64) {
        self.word(integer as u64);
    }

    /// Reads a number that may have a fraction. An integral one is that integer.
    pub fn double(&mut self, double: f64) {
        if double.fract() == 0.0 && double.abs() < 9.0e15 {
            self.integer(double as i64);
        } else {
            self.word(double.to_bits());
        }
    }

    /// Reads a string, or the id of an entity.
    pub fn text(&mut self, text: &str) {
        let mut chunks = text.as_bytes().chunks_exact(8);
        let mut hash = text.len() as u64;
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().expect("chunks of 8"));
            hash = (hash.rotate_left(5) ^ word).wrapping_mul(SPREAD);
        }
        let mut last = [0; 8];
        last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word((hash.rotate_left(5) ^ u64::from_le_bytes(last)).wrapping_mul(SPREAD));
    }

    /// The multiplication moves information up only; this brings it down again.
    fn mixed(self) -> u64 {
        self.0 ^ self.0 >> 29
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(SPREAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[(&str, i64)]) -> Digest {
        let mut digest = Digest::default();
        for (text, integer) in rows {
            let mut row = RowDigest::default();
            row.text(text);
            row.integer(*integer);
            digest += row;
        }
        digest
    }

    #[test]
    fn order_of_rows_does_not_count_and_everything_else_does() {
        let rows = [("person:1", 1), ("person:1", 2), ("person:12345", 1)];
        let mut turned = rows;
        turned.reverse();
        assert_eq!(digest(&rows), digest(&turned));
        let others = [
            [("person:1", 1), ("person:1", 2), ("person:12346", 1)],
            [("person:1", 1), ("person:1", 2), ("person:12345", 2)],
            [("person:1", 1), ("person:2", 1), ("person:12345", 1)],
        ];
        for other in &others {
            assert_ne!(digest(&rows), digest(other));
        }
        assert_ne!(digest(&rows), digest(&rows[..2]));
    }

    #[test]
    fn a_change_is_the_difference_of_digests() {
        let row = |integer| {
            let mut row = RowDigest::default();
            row.integer(integer);
            row
        };
        let (mut before, mut after) = (Digest::default(), Digest::default());
        before += row(1);
        before += row(2);
        after += row(2);
        after += row(3);
        let mut change = ChangeDigest::default();
        change.add(row(3));
        change.remove(row(1));
        assert_eq!((change.n_added, change.n_removed), (1, 1));
        assert_eq!(before.sum.wrapping_add(change.sum), after.sum);
        assert_ne!(before.sum, after.sum);
    }

    #[test]
    fn values_stay_in_their_columns() {
        let row = |first: i64, second: i64| {
            let mut row = RowDigest::default();
            row.integer(first);
            row.integer(second);
            row
        };
        assert_ne!(row(1, 2), row(2, 1));
        assert_ne!(row(0, 1), row(1, 0));
    }

    #[test]
    fn an_integral_double_is_that_integer() {
        let of = |read: fn(&mut RowDigest)| {
            let mut row = RowDigest::default();
            read(&mut row);
            row
        };
        assert_eq!(of(|row| row.double(3.0)), of(|row| row.integer(3)));
        assert_ne!(of(|row| row.double(3.5)), of(|row| row.integer(3)));
    }
}

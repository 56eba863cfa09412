//! Buckets: what a set of facts or rows is, in a few bytes for every couple of dozens of them.
//!
//! Two peers that hold nearly the same set find out where they differ: each item belongs to one of
//! `2^bits` buckets, by a hash of its own; the sums of the buckets are compared; only buckets
//! whose sums differ travel, whole. The client chooses `bits` by how much it holds, so that a
//! bucket has 16 to 32 items. Left out: who compares what when (`docs/protocol.md`).
//!
//! Formulas: the bucket of a fact is the `bits` most significant bits of its key hash (its mark is
//! not in it, so a fact that was written again is in the same bucket), that of a row of its hash.
//! The sum of a bucket is `Σ hash mod 2^64`, of the hashes that fingerprints are made of. It is
//! half as long as a fingerprint: what escapes it is found by the fingerprint of the whole, which
//! is compared in the end. After set reconciliation by partition: Minsky and Trachtenberg, 2002.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tercet_engine::fact::{Fact, Install, Mark};
use tercet_engine::fingerprint::{fact_hash, fact_key_hash};

use crate::codec::SharedFrame;
use crate::message::ServerMessage;
use crate::wire_row::{WireRow, row_hash};

/// The most bits that number a bucket.
pub const BITS_MAX: u8 = 16;

/// The fewest items that a bucket has on average.
const BUCKET_ITEMS_MIN: usize = 16;

const SUM_BYTES: usize = size_of::<u64>();

/// Where an item is, and what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    key: u128,
    hash: u128,
}

impl Place {
    /// Of a fact.
    pub(crate) fn of_fact(fact: &Fact, mark: &Mark) -> Place {
        Place { key: fact_key_hash(fact), hash: fact_hash(fact, mark) }
    }

    /// Of a row.
    pub(crate) fn of_row(row: &WireRow) -> Place {
        let hash = row_hash(row);
        Place { key: hash, hash }
    }

    /// Its bucket.
    pub(crate) fn bucket(self, bits: u8) -> u32 {
        bucket_of(self.key, bits)
    }
}

/// The bucket of a fact.
pub(crate) fn fact_bucket(fact: &Fact, bits: u8) -> u32 {
    bucket_of(fact_key_hash(fact), bits)
}

/// The bucket of a row.
pub(crate) fn row_bucket(row: &WireRow, bits: u8) -> u32 {
    bucket_of(row_hash(row), bits)
}

fn bucket_of(key: u128, bits: u8) -> u32 {
    let bits = u32::from(bits.min(BITS_MAX));
    // With no bits there is one bucket.
    key.checked_shr(u128::BITS - bits).map_or(0, |bucket| bucket as u32)
}

/// The sums of all buckets, in the order of their numbers. In JSON 16 hex digits each, in one
/// text; in binary 8 bytes each, big-endian. Invariant: a power of two of them, `2^`[`BITS_MAX`]
/// at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSums(Vec<u64>);

impl BucketSums {
    /// Of some items; how many there are decides how many buckets.
    pub(crate) fn of(places: &[Place]) -> BucketSums {
        BucketSums::with_bits(places, bits_for(places.len()))
    }

    fn with_bits(places: &[Place], bits: u8) -> BucketSums {
        let mut sums = vec![0_u64; 1 << bits];
        for place in places {
            let sum = &mut sums[place.bucket(bits) as usize];
            *sum = sum.wrapping_add(place.hash as u64);
        }
        BucketSums(sums)
    }

    /// How many bits number a bucket.
    pub fn bits(&self) -> u8 {
        u8::try_from(self.0.len().trailing_zeros()).expect("a length has few bits")
    }

    /// The buckets in which two lists of as many buckets differ, in order.
    fn differing(&self, other: &BucketSums) -> Vec<u32> {
        let pairs = (0..).zip(self.0.iter().zip(&other.0));
        pairs.filter(|(_, (one, another))| one != another).map(|(bucket, _)| bucket).collect()
    }

    fn read(sums: Vec<u64>) -> Option<BucketSums> {
        let is_fit = sums.len().is_power_of_two() && sums.len() <= 1 << BITS_MAX;
        is_fit.then_some(BucketSums(sums))
    }
}

/// How many bits number the buckets of so many items.
fn bits_for(n_items: usize) -> u8 {
    let bits = (n_items / BUCKET_ITEMS_MIN).checked_ilog2().unwrap_or(0);
    u8::try_from(bits).map_or(BITS_MAX, |bits| bits.min(BITS_MAX))
}

impl Serialize for BucketSums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            let text: String = self.0.iter().map(|sum| format!("{sum:016x}")).collect();
            text.serialize(serializer)
        } else {
            let bytes: Vec<u8> = self.0.iter().flat_map(|sum| sum.to_be_bytes()).collect();
            bytes.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for BucketSums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sums = if deserializer.is_human_readable() {
            read_text(&String::deserialize(deserializer)?)
        } else {
            let bytes = Vec::<u8>::deserialize(deserializer)?;
            let chunks = bytes.as_chunks::<SUM_BYTES>();
            chunks.1.is_empty().then(|| chunks.0.iter().copied().map(u64::from_be_bytes).collect())
        };
        sums.and_then(BucketSums::read)
            .ok_or_else(|| de::Error::custom("bucket sums are 8 bytes each, 1 to 65536 of them"))
    }
}

fn read_text(text: &str) -> Option<Vec<u64>> {
    let (chunks, rest) = text.as_bytes().as_chunks::<{ 2 * SUM_BYTES }>();
    let sum = |digits: &[u8; 16]| {
        // A sign is no digit.
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
        u64::from_str_radix(text, 16).ok()
    };
    rest.is_empty().then(|| chunks.iter().map(sum).collect()).flatten()
}

/// All of an instance by buckets: made from its frames, kept until it changes.
#[derive(Debug)]
pub(crate) struct BucketTable {
    sums: BucketSums,
    /// Each item: its bucket, its frame, its index there. Sorted.
    items: Vec<(u32, u32, u32)>,
}

/// What a bucket or several contain.
pub(crate) enum Contents {
    Facts(Vec<Install>),
    Rows(Vec<WireRow>),
}

impl BucketTable {
    /// Of frames that hold all of an instance.
    pub(crate) fn new(frames: &[SharedFrame], bits: u8) -> BucketTable {
        let (mut places, mut items) = (Vec::new(), Vec::new());
        for (frame_index, frame) in (0..).zip(frames) {
            for (item_index, place) in (0..).zip(places_of(frame.message())) {
                items.push((place.bucket(bits), frame_index, item_index));
                places.push(place);
            }
        }
        items.sort_unstable();
        BucketTable { sums: BucketSums::with_bits(&places, bits), items }
    }

    /// How many bits number its buckets.
    pub(crate) fn bits(&self) -> u8 {
        self.sums.bits()
    }

    /// The buckets of another list that are not as here.
    pub(crate) fn differing(&self, other: &BucketSums) -> Vec<u32> {
        self.sums.differing(other)
    }

    /// All that is in these buckets, which are in order; `frames` are those it was made from.
    pub(crate) fn contents(&self, frames: &[SharedFrame], buckets: &[u32]) -> Contents {
        let (mut installs, mut rows) = (Vec::new(), Vec::new());
        for &bucket in buckets {
            let start = self.items.partition_point(|(other, ..)| *other < bucket);
            let items = self.items[start..].iter().take_while(|(other, ..)| *other == bucket);
            for &(_, frame_index, item_index) in items {
                match frames[frame_index as usize].message() {
                    ServerMessage::FactsPart(part) => {
                        installs.push(part.installs[item_index as usize].clone());
                    }
                    ServerMessage::RowsPart(part) => {
                        rows.push(part.added[item_index as usize].clone());
                    }
                    _ => {}
                }
            }
        }
        match frames.first().map(SharedFrame::message) {
            Some(ServerMessage::RowsPart(_)) => Contents::Rows(rows),
            _ => Contents::Facts(installs),
        }
    }
}

/// One for each install or row of a part that resets; others have none.
fn places_of(message: &ServerMessage) -> Vec<Place> {
    match message {
        ServerMessage::FactsPart(part) => {
            let facts = part.installs.iter().filter_map(|install| match install {
                Install::Fact(fact, mark) => Some(Place::of_fact(fact, mark)),
                _ => None,
            });
            facts.collect()
        }
        ServerMessage::RowsPart(part) => part.added.iter().map(Place::of_row).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::codec;
    use tercet_engine::value::Value;

    use super::*;
    use crate::wire_row::WireOutput;

    fn places(n: i64) -> Vec<Place> {
        let row = |number| vec![WireOutput::Value(Value::int(number))];
        (0..n).map(|number| Place::of_row(&row(number))).collect()
    }

    #[test]
    fn a_bucket_has_about_two_dozen_items() {
        for (n_items, bits) in [(0, 0), (31, 0), (32, 1), (100_000, 12), (usize::MAX, BITS_MAX)] {
            assert_eq!(bits_for(n_items), bits, "{n_items}");
        }
        let items = places(10_000);
        let sums = BucketSums::of(&items);
        assert_eq!(sums.bits(), 9);
        assert!(sums.0.iter().all(|sum| *sum != 0), "none is left out");
    }

    #[test]
    fn one_item_more_is_one_bucket_that_differs() {
        let items = places(1_000);
        let (all, fewer) =
            (BucketSums::with_bits(&items, 5), BucketSums::with_bits(&items[1..], 5));
        assert_eq!(all.differing(&all.clone()), Vec::<u32>::new());
        assert_eq!(all.differing(&fewer), [items[0].bucket(5)]);
    }

    #[test]
    fn sums_read_back_and_others_are_refused() {
        let sums = BucketSums::of(&places(100));
        let text = serde_json::to_string(&sums).unwrap();
        assert_eq!(text.len(), 2 + 16 * 4);
        assert_eq!(serde_json::from_str::<BucketSums>(&text).unwrap(), sums);
        let bytes = codec::encode(&sums);
        assert_eq!(bytes.len(), 1 + 8 * 4);
        assert_eq!(codec::decode(&bytes), Ok(sums));

        let digits = "0".repeat(16);
        let wrong = [String::new(), digits.repeat(3), digits[1..].to_owned(), format!("+{digits}")];
        let signed = format!("+{}", &digits[1..]);
        for text in wrong.iter().chain([&signed, &digits.repeat(1 << 17)]) {
            let json = serde_json::Value::from(text.as_str());
            assert!(serde_json::from_value::<BucketSums>(json).is_err(), "{} digits", text.len());
        }
        for n_bytes in [0, 7, 24, 8 << 17] {
            assert!(codec::decode::<BucketSums>(&codec::encode(&vec![0_u8; n_bytes])).is_err());
        }
    }
}

//! Order-independent fingerprints of sets of visible facts.
//!
//! They exist so that two replicas can tell whether they hold the same facts, with the same
//! stamps, without sending them. The fingerprint of a set is the wrapping sum of the hashes of its
//! members: it does not depend on their order, and a member is added or taken out in O(1). Which
//! sets are compared, and when, is left to sync.
//!
//! A sum tells honest replicas apart with certainty for any practical purpose; it is no proof
//! against someone who looks for sets with equal sums (Wagner, "A Generalized Birthday Problem",
//! CRYPTO 2002), and nothing relies on it as one.

use crate::fact::{Fact, Kind, Mark};

/// The hash of one visible fact with its mark: the first 128 bits, little-endian, of BLAKE3 over
/// entity, attribute and canonical value, each after its length in 4 bytes big-endian, then the 18
/// bytes of the stamp and one for the kind (`set` 0, `add` 1).
pub fn fact_hash(fact: &Fact, mark: &Mark) -> u128 {
    let mut bytes = fact_bytes(fact);
    bytes.extend(mark.stamp.to_bytes());
    bytes.push(match mark.kind {
        Kind::Set => 0,
        Kind::Add => 1,
    });
    hash128(&bytes)
}

/// The hash of a fact whatever its mark: as [`fact_hash`], without stamp and kind. It says in
/// which bucket of a comparison a fact is, so that a fact stays in its bucket when it is written
/// again.
pub fn fact_key_hash(fact: &Fact) -> u128 {
    hash128(&fact_bytes(fact))
}

fn fact_bytes(fact: &Fact) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for part in [
        fact.entity.as_str().as_bytes(),
        fact.attribute.as_str().as_bytes(),
        &fact.value.to_canonical(),
    ] {
        let n_bytes = u32::try_from(part.len()).expect("values are shorter than 4 GiB");
        bytes.extend(n_bytes.to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

fn hash128(bytes: &[u8]) -> u128 {
    let hash = blake3::hash(bytes);
    let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
    u128::from_le_bytes(*first)
}

/// The fingerprint of a set of facts: the same for every order; 0 for none.
pub fn fingerprint<'facts>(facts: impl IntoIterator<Item = &'facts (Fact, Mark)>) -> u128 {
    facts.into_iter().fold(0, |sum, (fact, mark)| sum.wrapping_add(fact_hash(fact, mark)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hlc::{Hlc, Stamp};
    use crate::ids::{Attribute, EntityId, ReplicaId};
    use crate::value::Value;

    fn fact(entity: &str, attribute: &str, value: Value) -> Fact {
        let entity = EntityId::new(entity).unwrap();
        Fact { entity, attribute: Attribute::new(attribute).unwrap(), value }
    }

    fn mark(ms: u64, op: u16, kind: Kind) -> Mark {
        Mark { stamp: Stamp { hlc: Hlc::new(ms, 2, ReplicaId(3)), op }, kind }
    }

    /// Other implementations compute these; a change breaks every resume.
    #[test]
    fn hashes_are_as_documented() {
        let fact = fact("u1", "user/name", Value::from("Ann"));
        let mark = mark(1_700_000_000_000, 7, Kind::Set);
        assert_eq!(format!("{:032x}", fact_hash(&fact, &mark)), "31a6afd7168b3ff3bc21515e63d2c011");
        assert_eq!(format!("{:032x}", fact_key_hash(&fact)), "d0ca798dea5314732d74633caba18e98");
        let again = Mark { kind: Kind::Add, ..mark };
        assert_ne!(fact_hash(&fact, &again), fact_hash(&fact, &mark));
    }

    #[test]
    fn every_part_counts_and_order_does_not() {
        let facts = [
            (fact("e", "a/b", Value::from("x")), mark(1, 0, Kind::Set)),
            (fact("ea", "a/b", Value::from("x")), mark(1, 0, Kind::Set)),
            (fact("e", "a/bx", Value::from("")), mark(1, 0, Kind::Set)),
            (fact("e", "a/b", Value::reference("x").unwrap()), mark(1, 0, Kind::Set)),
            (fact("e", "a/b", Value::from("x")), mark(2, 0, Kind::Set)),
            (fact("e", "a/b", Value::from("x")), mark(1, 1, Kind::Set)),
            (fact("e", "a/b", Value::from("x")), mark(1, 0, Kind::Add)),
        ];
        let mut hashes: Vec<u128> = facts.iter().map(|(f, m)| fact_hash(f, m)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), facts.len());
        assert_eq!(fingerprint(&facts), fingerprint(facts.iter().rev()));
        assert_eq!(fingerprint(&[]), 0);
    }
}

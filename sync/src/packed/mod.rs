//! The packed binary form of a long [`FactsPart`]: by columns, with tables, deflated.
//!
//! A first synchronization is mostly facts, and in the plain form each of them repeats its entity,
//! its attribute and 19 bytes of stamp. Here each id stands once, marks tell how they differ from
//! the mark before, dates from the moment they were written, and each column is deflated by itself
//! where that makes it shorter. The form is written down in `docs/protocol.md`; it is a form of the
//! same message, which the JSON codec writes out in full.
//!
//! Invariants: `decode(encode(part)) = part`, installs in their order; a frame that begins with
//! [`PACKED`] is no plain message; a frame inflates to at most [`RAW_BYTES_MAX`], whatever it says,
//! and what is not used up by its installs is an error. Source of the idea: column stores, e.g.
//! Abadi et al., "Integrating compression and execution in column-oriented database systems",
//! SIGMOD 2006.

mod column;
mod read;
mod write;

use crate::message::FactsPart;

pub(crate) use column::PackedError;

/// What a packed frame begins with: as the number of a kind of message it would be 254, which none
/// has.
pub(crate) const PACKED: u8 = 0xfe;

/// Parts of fewer installs are sent plain: they would not get shorter.
const INSTALLS_MIN: usize = 24;

/// How much a frame may inflate to. A server cuts its parts long before.
const RAW_BYTES_MAX: usize = 16 << 20;

/// The columns, in their order.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// One byte for each install: 8 × what it is, plus the type of its value.
    Shapes,
    Entities,
    EntityLengths,
    EntityTexts,
    Attributes,
    AttributeLengths,
    AttributeTexts,
    Integers,
    Doubles,
    Dates,
    StringLengths,
    StringTexts,
    Refs,
    RefLengths,
    RefTexts,
    Hlcs,
    Times,
    Counters,
    Replicas,
    ReplicaIds,
    Ops,
}

const N_COLUMNS: usize = Part::Ops as usize + 1;

/// What an install is.
mod kind {
    pub(super) const SET: u8 = 0;
    pub(super) const ADDED: u8 = 1;
    pub(super) const RETRACTED: u8 = 2;
    pub(super) const RELEASED: u8 = 3;
    pub(super) const DELETED: u8 = 4;
    pub(super) const RESTORED: u8 = 5;
}

/// What the value of a fact is.
mod of {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const INTEGER: u8 = 2;
    pub(super) const DOUBLE: u8 = 3;
    pub(super) const DATE: u8 = 4;
    pub(super) const STRING: u8 = 5;
    pub(super) const REF: u8 = 6;
}

/// The frame of a part; none where the plain form will do.
pub(crate) fn encode(part: &FactsPart) -> Option<Vec<u8>> {
    (part.installs.len() >= INSTALLS_MIN).then(|| write::frame(part))
}

/// The part of a frame, after its first byte.
///
/// # Errors
/// When the bytes are no packed part.
pub(crate) fn decode(bytes: &[u8]) -> Result<FactsPart, PackedError> {
    read::part(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::fact::{Fact, Install, Kind, Mark};
    use tercet_engine::hlc::{Hlc, Stamp};
    use tercet_engine::ids::{Attribute, EntityId, ReplicaId, Seq};
    use tercet_engine::value::{Date, Value};

    use super::*;
    use crate::message::InstanceId;

    /// Tasks of five fields, each written at its own time.
    fn part(n_tasks: u64) -> FactsPart {
        let mut installs = Vec::new();
        for n in 0..n_tasks {
            let ms = 1_700_000_000_000 + n * 977 % 100_000;
            let entity =
                EntityId::new(format!("{:021x}", u128::from(n) * 0x9e37_79b9_7f4a)).unwrap();
            let values = [
                Value::reference(&format!("user-{}", n % 40)).unwrap(),
                Value::from(format!("text of {}", n % 7)),
                Value::Boolean(n % 3 == 0),
                Value::Date(Date::from_ms(ms as i64).unwrap()),
                Value::double(n as f64 / 8.0).unwrap(),
            ];
            for (op, value) in (0..).zip(values) {
                let attribute = Attribute::new(format!("task/field{op}")).unwrap();
                let stamp = Stamp { hlc: Hlc::new(ms, 0, ReplicaId(n % 5)), op };
                let fact = Fact { entity: entity.clone(), attribute, value };
                installs.push(Install::Fact(fact, Mark { stamp, kind: Kind::Set }));
            }
        }
        FactsPart { instance: InstanceId(3), seq: Seq(77), reset: true, installs }
    }

    #[test]
    fn a_task_takes_a_fraction_of_the_plain_form() {
        let part = part(1_000);
        let bytes = encode(&part).unwrap();
        assert_eq!(decode(&bytes[1..]).unwrap(), part);
        let plain = tercet_engine::codec::encode(&part).len();
        assert!(bytes.len() * 6 < plain, "{} of {plain}", bytes.len());
    }

    #[test]
    fn short_parts_stay_plain() {
        assert_eq!(encode(&part(4)), None);
        assert!(encode(&part(5)).is_some());
    }

    /// Every prefix and every changed byte is a part or an error: no panic, no endless memory.
    #[test]
    fn damaged_frames_are_errors() {
        let bytes = encode(&part(30)).unwrap();
        let frame = &bytes[1..];
        for end in 0..frame.len() {
            assert!(decode(&frame[..end]).is_err(), "{end}");
        }
        for index in 0..frame.len() {
            for bit in [1, 0x10, 0x80] {
                let mut damaged = frame.to_vec();
                damaged[index] ^= bit;
                let _ = decode(&damaged);
            }
        }
        assert!(decode(&[frame, &[0]].concat()).is_err());
    }

    #[test]
    fn a_column_that_claims_too_much_is_refused_before_it_is_inflated() {
        let mut bytes = vec![0, 0, 0, 1];
        column::put_varint(&mut bytes, RAW_BYTES_MAX as u64 + 1);
        column::put_varint(&mut bytes, 3);
        bytes.extend([1, 2, 3]);
        assert!(decode(&bytes).is_err());
    }
}

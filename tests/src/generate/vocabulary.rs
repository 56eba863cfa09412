//! The attributes of random databases, the kind of value each holds, and random values.

use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::value::{Date, Value};

use crate::random::Random;

/// What a variable of a random program stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An entity.
    Ref,
    /// A small integer.
    Int,
    /// An integer or a fraction.
    Number,
    /// A short text.
    Text,
    /// A boolean.
    Flag,
    /// A date.
    Date,
    /// An attribute, as text.
    Attribute,
    /// Anything.
    Any,
}

/// How many entities a random database talks about.
pub const N_ENTITIES: usize = 8;

/// Attribute, kind of its values, whether it is written by `add`.
pub const ATTRIBUTES: [(&str, Kind, bool); 9] = [
    ("n/edge", Kind::Ref, true),
    ("n/link", Kind::Ref, true),
    ("n/next", Kind::Ref, false),
    ("n/age", Kind::Int, false),
    ("n/size", Kind::Number, true),
    ("n/name", Kind::Text, false),
    ("n/tag", Kind::Text, true),
    ("n/on", Kind::Flag, false),
    ("n/any", Kind::Any, true),
];

/// An attribute whose values are dates: apart, because few functions take them.
pub const DATE_ATTRIBUTE: &str = "n/at";

const TEXTS: [&str; 7] = ["", "a", "ab", "b", "Ä", "n1", "n/age"];

/// A random entity, the first ones more often.
pub fn entity(random: &mut Random) -> EntityId {
    EntityId::new(format!("n{}", random.skewed(N_ENTITIES))).expect("short")
}

/// The attribute of a text.
///
/// # Panics
/// When it is none.
pub fn attribute(text: &str) -> Attribute {
    Attribute::new(text).expect("type/field")
}

/// A random value of a kind.
pub fn value(random: &mut Random, kind: Kind) -> Value {
    match kind {
        Kind::Ref => Value::Ref(entity(random)),
        Kind::Int => Value::int(random.below(6) as i64 - 1),
        Kind::Number => match random.below(8) {
            0..4 => Value::int(random.below(4) as i64),
            4..7 => Value::double(random.below(8) as f64 / 4.0 - 0.1).expect("finite"),
            _ => odd_number(random),
        },
        Kind::Text => Value::from(*random.pick(&TEXTS)),
        Kind::Flag => Value::Boolean(random.chance(50)),
        Kind::Date => {
            Value::Date(Date::from_ms(86_400_000 * random.below(4) as i64).expect("in 1970"))
        }
        Kind::Attribute => {
            let (text, ..) = random.pick(&ATTRIBUTES);
            Value::from(*text)
        }
        Kind::Any => {
            let kinds = [Kind::Ref, Kind::Int, Kind::Number, Kind::Text, Kind::Flag, Kind::Date];
            let kind = *random.pick(&kinds);
            value(random, kind)
        }
    }
}

/// Numbers at which arithmetic goes wrong.
fn odd_number(random: &mut Random) -> Value {
    let ints = [i64::MAX, i64::MIN, (1 << 53) + 1, -1];
    let doubles = [1e300, -1e300, f64::MAX, 5e-324, 1e19, 0.1];
    match random.chance(50) {
        true => Value::int(*random.pick(&ints)),
        false => Value::double(*random.pick(&doubles)).expect("finite"),
    }
}

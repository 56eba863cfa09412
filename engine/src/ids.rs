//! Identities, each its own type so that no two can be swapped unnoticed.
//!
//! Text identities (`EntityId`, `Attribute`, `ClientId`, `Name`) are checked once, when they are
//! made, and cheap to clone. Numbers that count different things (`Seq`, `Revision`, `ClientSeq`)
//! have no conversion between them. This file leaves out what the identities are attached to.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest entity id, attribute or client id, in bytes of UTF-8.
pub const ID_BYTES_MAX: usize = 256;

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Nothing was given.
    #[error("{what} must not be empty")]
    Empty {
        /// What was being made, with its article: `an entity id`, `a name`, …
        what: &'static str,
    },
    /// More than [`ID_BYTES_MAX`] bytes.
    #[error("{what} has at most {ID_BYTES_MAX} bytes, this one has {n_bytes}: `{start}…`")]
    TooLong {
        /// What was being made.
        what: &'static str,
        /// How long the text is.
        n_bytes: usize,
        /// Its first characters.
        start: String,
    },
    /// A control character, which no log or terminal shows faithfully.
    #[error("{what} must not contain control characters: {text:?}")]
    Control {
        /// What was being made.
        what: &'static str,
        /// The whole text.
        text: String,
    },
    /// An attribute without a type or without a field.
    #[error("`{text}` is not an attribute; write it as type/field, for example user/name")]
    NotTypeField {
        /// The whole text.
        text: String,
    },
    /// A name reserved for the engine itself.
    #[error("`{text}` is internal: attributes whose type or field starts with `_` are refused")]
    Internal {
        /// The whole text.
        text: String,
    },
}

impl IdError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            IdError::Empty { .. } => "id_empty",
            IdError::TooLong { .. } => "id_too_long",
            IdError::Control { .. } => "id_control_character",
            IdError::NotTypeField { .. } => "attribute_malformed",
            IdError::Internal { .. } => "attribute_internal",
        }
    }
}

fn check_text(what: &'static str, text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > ID_BYTES_MAX {
        let start = text.chars().take(32).collect();
        return Err(IdError::TooLong { what, n_bytes: text.len(), start });
    }
    if text.chars().any(char::is_control) {
        return Err(IdError::Control { what, text: text.to_owned() });
    }
    Ok(())
}

fn check_attribute(text: &str) -> Result<(), IdError> {
    let what = "an attribute";
    if text.starts_with('_') {
        return Err(IdError::Internal { text: text.to_owned() });
    }
    check_text(what, text)?;
    match text.split_once('/') {
        // A colon is how query text writes an attribute, not part of it.
        Some((kind, field)) if !kind.is_empty() && !field.is_empty() && !kind.starts_with(':') => {
            if field.starts_with('_') {
                return Err(IdError::Internal { text: text.to_owned() });
            }
            Ok(())
        }
        _ => Err(IdError::NotTypeField { text: text.to_owned() }),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// When it is empty, too long, holds control characters, or is not of the form
            /// this identity asks for.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, IdError> {
                let text: Arc<str> = text.into();
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text, shared.
            pub fn shared(&self) -> &Arc<str> {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }
    };
}

text_id!(
    /// What a fact is about: 1–256 bytes of UTF-8 without control characters, compared bytewise.
    EntityId,
    |text| check_text("an entity id", text)
);
text_id!(
    /// `type/field`, for example `user/name`; 1–256 bytes. The first `/` separates the two.
    Attribute,
    check_attribute
);
text_id!(
    /// The durable identity of one replica as a writer.
    ClientId,
    |text| check_text("a client id", text)
);
text_id!(
    /// A variable (without its `?`), rule, function or output name in a program.
    Name,
    |text| check_text("a name", text)
);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one.
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id!(
    /// One process's clock; fresh and random at every process start.
    ReplicaId
);
number_id!(
    /// A commit of a tenant's log: the first one is 1, each next one more. 0 is "nothing yet".
    Seq
);
number_id!(
    /// A state of one replica; grows by one with every change of its visible facts or rules.
    Revision
);
number_id!(
    /// The position of a transaction among those of its client: the first one is 1.
    ClientSeq
);
number_id!(
    /// One ownership of a tenant's file.
    Term
);

/// A history of a tenant: random, and new when a backup is restored or a log repaired.
/// As JSON and text it is 16 hex digits, because scripts lose digits of large numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

impl std::str::FromStr for Epoch {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Epoch)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(deserializer).map(Epoch)
        }
    }
}

/// A position in a tenant's history: the only thing sync resumes from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The history.
    pub epoch: Epoch,
    /// How many of its commits have been seen.
    pub seq: Seq,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_type_and_field() {
        for good in ["user/name", "a/b", "user/first name", "a/b/c", "größe/wert"] {
            assert!(Attribute::new(good).is_ok(), "{good}");
        }
        let code = |text: &str| Attribute::new(text).expect_err(text).code();
        assert_eq!(code("_deleted"), "attribute_internal");
        assert_eq!(code("user/_name"), "attribute_internal");
        assert_eq!(code("user"), "attribute_malformed");
        assert_eq!(code("/x"), "attribute_malformed");
        assert_eq!(code("x/"), "attribute_malformed");
        assert_eq!(code(":user/name"), "attribute_malformed");
        assert_eq!(code(""), "id_empty");
        assert_eq!(code("a/\0"), "id_control_character");
        assert_eq!(code(&format!("a/{}", "b".repeat(255))), "id_too_long");
    }

    #[test]
    fn an_entity_id_may_fill_its_limit() {
        assert!(EntityId::new("é".repeat(128)).is_ok());
        assert!(EntityId::new("é".repeat(129)).is_err());
    }
}

//! What can be wrong with a value that is to be written, with a stored entity, or with a
//! definition; every error names its field and says what would be right.
//!
//! Writing reports all problems of a record at once, because a form shows them at once.

use std::fmt;
use std::sync::Arc;

use tercet_engine::ids::{Attribute, EntityId, IdError};
use tercet_engine::value::Value;

use crate::field_type::FieldType;

/// The longest text a fact may hold, in bytes; the servers' default.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A value as an error shows it: at most so many characters of it.
const SHOWN_CHARS_MAX: usize = 64;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A field that must have a value has none.
    #[error("has no value")]
    Required,
    /// The value is of another type.
    #[error("is {value}, which is not a {expected}")]
    Type {
        /// What the field takes.
        expected: FieldType,
        /// What it was given, shortened.
        value: String,
    },
    /// The text is none of the union's.
    #[error("is {value}, which is none of {}", list(options))]
    NotInUnion {
        /// The texts it may be.
        options: Arc<[Arc<str>]>,
        /// What it was given, shortened.
        value: String,
    },
    /// NaN or an infinity.
    #[error("is {value}, which is not a finite number")]
    NotFinite {
        /// How the number prints.
        value: String,
    },
    /// An integer beyond 64 bits.
    #[error("is {value}, which is not an integer of 64 bits with a sign")]
    OutOfRange {
        /// How the number prints.
        value: String,
    },
    /// A text longer than [`VALUE_BYTES_MAX`].
    #[error("has {n_bytes} bytes of text, more than {VALUE_BYTES_MAX}")]
    TooLarge {
        /// How many it has.
        n_bytes: usize,
    },
    /// Several values for a field of one.
    #[error("has {n_values} values, and the field holds one")]
    SeveralValues {
        /// How many it has.
        n_values: usize,
    },
    /// An operation for a field of one on a field of many, or the reverse.
    #[error("is written by `{operation}`, but the field holds {}", if *many { "many values" } else { "one value" })]
    Operation {
        /// `set`, `add` or `remove`.
        operation: &'static str,
        /// Whether the field holds many values.
        many: bool,
    },
    /// The type has no such field.
    #[error("is no field of the schema")]
    Unknown {
        /// The closest field there is.
        nearest: Option<Attribute>,
    },
}

fn list(options: &[Arc<str>]) -> String {
    options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ")
}

/// A value in an error, cut to a readable length.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl Fault {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Required => "field_required",
            Fault::Type { .. } => "field_type",
            Fault::NotInUnion { .. } => "field_not_in_union",
            Fault::NotFinite { .. } => "number_not_finite",
            Fault::OutOfRange { .. } => "number_out_of_range",
            Fault::TooLarge { .. } => "value_too_large",
            Fault::SeveralValues { .. } => "field_several_values",
            Fault::Operation { .. } => "field_operation",
            Fault::Unknown { .. } => "field_unknown",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Fault::Required => {
                Some("give it one, or make the field optional or give it a default".to_owned())
            }
            Fault::Type { expected, .. } => Some(format!("write {}", expected.example())),
            Fault::NotInUnion { .. } => None,
            Fault::NotFinite { .. } => Some("leave the field empty instead".to_owned()),
            Fault::OutOfRange { .. } => Some("write it as a string".to_owned()),
            Fault::TooLarge { .. } => {
                Some("split it over several entities, or store it elsewhere".to_owned())
            }
            Fault::SeveralValues { .. } => {
                Some("define the field with `many` if it holds a set".to_owned())
            }
            Fault::Operation { many: true, .. } => Some("use `add` and `remove`".to_owned()),
            Fault::Operation { many: false, .. } => Some("use `set` and `unset`".to_owned()),
            Fault::Unknown { nearest } => {
                nearest.as_ref().map(|attribute| format!("did you mean `{attribute}`?"))
            }
        }
    }
}

/// A fault and the field it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entity that was to be written.
    pub entity: EntityId,
    /// The field.
    pub attribute: Attribute,
    /// What is wrong.
    pub fault: Fault,
}

impl Problem {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of `{}` {}", self.attribute, self.entity, self.fault)?;
        match self.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that this crate refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// Your input: what was to be written does not fit its type. Nothing was written.
    #[error("{}", lines(problems))]
    Invalid {
        /// Everything wrong with it, at least one, in order of the fields.
        problems: Vec<Problem>,
    },
    /// Stored data: a required field has no readable value and no fallback.
    #[error(
        "`{entity}` has no readable `{attribute}`{}; make the field optional or give it a default",
        stored.as_ref().map(|stored| format!(" (stored is {stored})")).unwrap_or_default()
    )]
    Incomplete {
        /// The entity that was read.
        entity: EntityId,
        /// The field without a value.
        attribute: Attribute,
        /// What is stored there instead, shortened; nothing when nothing is.
        stored: Option<String>,
    },
    /// Your input: a change must lead from one state of an entity to another one of it.
    #[error(
        "cannot write changes of `{old}` to `{new}`: an entity keeps its id; delete one and save the other"
    )]
    OtherEntity {
        /// The entity that the change starts from.
        old: EntityId,
        /// The entity it should lead to.
        new: EntityId,
    },
    /// Your input: a definition that contradicts itself.
    #[error("the definition of `{type_name}` is not valid: {why}")]
    Definition {
        /// The entity type.
        type_name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Your input: a text that is no id.
    #[error(transparent)]
    Id(#[from] IdError),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl SchemaError {
    /// The stable code; of several problems, the first one's.
    pub fn code(&self) -> &'static str {
        match self {
            SchemaError::Invalid { problems } => {
                problems.first().map_or("field_invalid", Problem::code)
            }
            SchemaError::Incomplete { .. } => "entity_incomplete",
            SchemaError::OtherEntity { .. } => "entity_mismatch",
            SchemaError::Definition { .. } => "schema_invalid",
            SchemaError::Id(error) => error.code(),
        }
    }
}

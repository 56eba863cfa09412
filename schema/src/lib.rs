//! Client-side types: validation before a write, fallbacks on read, plain facts below.
//!
//! The database stores facts of any shape; only its clients know what a user is. This crate is
//! that knowledge: an [`EntityType`] says which fields there are, and lowers a [`Record`] to
//! operations and facts to a [`Record`]. `#[derive(Entity)]` does it for a struct, `#[derive(Union)]`
//! for an enum of texts. Three rules keep clients of different versions from hurting each other:
//! a write names **only the fields that changed**; a fact of an unknown field is ignored; a stored
//! value that a field cannot hold reads as absent. The crate has no store and no network in it.
//!
//! # Define, write, read
//! ```
//! use tercet_schema::{Entity, Id, Ref, Union};
//!
//! #[derive(Debug, Clone, PartialEq, Union)]
//! enum Role { Admin, Member }
//!
//! #[derive(Debug, Clone, PartialEq, Entity)]
//! #[entity(type = "user")]
//! struct User {
//!     id: Id<User>,
//!     name: String,                  // user/name, required
//!     age: Option<i64>,              // user/age, may be absent
//!     #[entity(default = Role::Member)]
//!     role: Role,                    // user/role, "admin" or "member"
//!     #[entity(rename = "friendIds")]
//!     friends: Vec<Ref<User>>,       // user/friendIds, a set of references
//! }
//!
//! let ann = User {
//!     id: Id::new("u1")?,
//!     name: "Ann".into(),
//!     age: None,
//!     role: Role::Admin,
//!     friends: vec![Ref::new("u2")?],
//! };
//! assert_eq!(ann.to_ops()?.len(), 3); // two sets and one add; nothing for the absent age
//!
//! let older = User { age: Some(41), ..ann.clone() };
//! let ops = older.changes_from(&ann)?; // only the age is written
//! assert_eq!(serde_json::to_string(&ops)?, r#"[{"set":{"e":"u1","a":"user/age","v":41}}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Modules in reading order: [`field_type`], [`definition`], [`record`], `read`, [`schema`],
//! [`entity`] (the typed side), [`row`] (answers as structs), [`error`].

// The derives name this crate by its path from outside; the examples and tests here use it too.
extern crate self as tercet_schema;

pub mod definition;
pub mod entity;
pub mod error;
pub mod field_type;
mod read;
pub mod record;
pub mod row;
pub mod schema;

pub use definition::{EntityType, Field, FieldSpec, Presence, t};
pub use entity::{Entity, FieldValue, Id, Key, Ref, Scalar};
pub use error::{Fault, Problem, SchemaError};
pub use field_type::FieldType;
pub use record::Record;
pub use row::{FromOutput, FromRow, RowError};
pub use schema::Schema;
pub use tercet_macros::{Entity, FromRow, Union};

/// What the code made by the derives refers to; not for other use.
#[doc(hidden)]
pub mod derive_support {
    pub use crate::entity::{Draft, default_of, field};
    pub use tercet_engine::answer::ValueRef;
    pub use tercet_engine::ids::EntityId;
    pub use tercet_engine::value::Value;
}

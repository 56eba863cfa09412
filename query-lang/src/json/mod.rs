//! The JSON form of queries: the same language for those who would rather build an object.
//!
//! Reading turns JSON into the same forms as text and leaves their meaning to the one
//! translator; writing is its inverse: `from_json ∘ to_json` is the identity on every program
//! that a front end of this crate made.

mod path;
pub(crate) mod read;
mod write;

pub(crate) use path::{Paths, Step};
pub use write::to_json;

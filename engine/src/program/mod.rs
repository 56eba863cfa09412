//! Programs: from the flat form that travels to the checked form that is planned.
pub mod raw;

//! Random histories, databases and programs, each decided by its stream of random numbers.
//!
//! Vocabularies are small and skewed, because bugs live where things meet: equal stamps, covers
//! that just miss, joins that hit. `question` is what all judges of the query engine draw from.

pub mod database;
pub mod history;
pub mod live;
pub mod program;
pub mod question;
mod theme;
pub mod variants;
pub mod vocabulary;

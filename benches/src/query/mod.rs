//! Questions to facts: Tercet's engine beside others, in one batch, on the same facts.
//!
//! Tercet gets the text of a question, prepared once, and answers with rows of values; there is no
//! plan by hand. The others are described in the crate of the peers. Everybody's answer is read
//! whole and compared. Modules: `question` (what is asked, and what must be reached), then one
//! for each set of facts.

pub mod question;
pub mod people;

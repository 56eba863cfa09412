//! What is wrong with a program, and where.

use super::raw::Place;

/// One thing wrong with a program. The front end that has its text adds the position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct ProgramError {
    /// Where.
    pub place: Place,
    /// The stable code.
    pub code: &'static str,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

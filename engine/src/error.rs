//! Why a query gave no answer: what is wrong with it or its inputs, or which limit was met.

pub use crate::program::ProgramError;

/// Why a query gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The program is not valid; every error found.
    #[error("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Program {
        /// At least one.
        errors: Vec<ProgramError>,
    },
    /// The arguments do not fit `:in`.
    #[error("{message}")]
    Input {
        /// What does not fit, and where.
        message: String,
    },
    /// The evaluation went over its budget.
    #[error(
        "the query went over its budget of {limit} in {place}, after {n_rows_made} rows; {hint}"
    )]
    Budget {
        /// Which limit: `rows`, `bytes`, `rounds`.
        limit: String,
        /// The rule or clause being evaluated.
        place: String,
        /// What it had done.
        n_rows_made: u64,
        /// What to do about it.
        hint: String,
    },
    /// The evaluation was cancelled or ran out of time.
    #[error("the query was stopped in {place}, after {n_rows_made} rows")]
    Stopped {
        /// The rule or clause being evaluated.
        place: String,
        /// What it had done.
        n_rows_made: u64,
    },
}

impl QueryError {
    /// The stable code of this error on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            QueryError::Program { errors } => {
                errors.first().map_or("query_invalid", |error| error.code)
            }
            QueryError::Input { .. } => "query_input",
            QueryError::Budget { .. } => "query_over_budget",
            QueryError::Stopped { .. } => "query_stopped",
        }
    }
}

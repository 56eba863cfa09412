//! Why a query gave no answer: what is wrong with it or its inputs, or which limit was met.

use crate::answer::Work;
pub use crate::program::ProgramError;
use crate::program::raw::ClauseId;

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
        "the query went over its budget of {limit} in {place}, after {}; {hint}",
        done(*n_rows_made, *n_facts_read, *n_rounds)
    )]
    Budget {
        /// Which limit, and how much it is: `1000 rows`.
        limit: String,
        /// What was being evaluated: the rule, and the clause as text.
        place: String,
        /// The clause, where it was one.
        clause: Option<ClauseId>,
        /// What it had done: rows made by all steps.
        n_rows_made: u64,
        /// Facts read from indexes.
        n_facts_read: u64,
        /// Rounds of all fixpoints.
        n_rounds: u64,
        /// What to do about it.
        hint: String,
    },
    /// The evaluation was cancelled or ran out of time.
    #[error(
        "the query was stopped in {place}, after {}",
        done(*n_rows_made, *n_facts_read, *n_rounds)
    )]
    Stopped {
        /// What was being evaluated: the rule, and the clause as text.
        place: String,
        /// The clause, where it was one.
        clause: Option<ClauseId>,
        /// What it had done: rows made by all steps.
        n_rows_made: u64,
        /// Facts read from indexes.
        n_facts_read: u64,
        /// Rounds of all fixpoints.
        n_rounds: u64,
    },
}

fn done(n_rows_made: u64, n_facts_read: u64, n_rounds: u64) -> String {
    format!("{n_rows_made} rows made, {n_facts_read} facts read and {n_rounds} rounds")
}

impl QueryError {
    /// Over a limit, at a place that who made the program tells.
    pub(crate) fn over(limit: String, work: Work, hint: &str) -> QueryError {
        let Work { n_rows_made, n_facts_read, n_rounds } = work;
        let (place, hint) = (String::new(), hint.to_owned());
        QueryError::Budget { limit, place, clause: None, n_rows_made, n_facts_read, n_rounds, hint }
    }

    /// Stopped, at a place that who made the program tells.
    pub(crate) fn stopped(work: Work) -> QueryError {
        let Work { n_rows_made, n_facts_read, n_rounds } = work;
        let place = String::new();
        QueryError::Stopped { place, clause: None, n_rows_made, n_facts_read, n_rounds }
    }

    /// The same at a place.
    pub(crate) fn at(mut self, text: String, id: Option<ClauseId>) -> QueryError {
        if let QueryError::Budget { place, clause, .. }
        | QueryError::Stopped { place, clause, .. } = &mut self
        {
            (*place, *clause) = (text, id);
        }
        self
    }

    /// The clause that was being evaluated when a limit was met.
    pub fn clause(&self) -> Option<ClauseId> {
        match self {
            QueryError::Budget { clause, .. } | QueryError::Stopped { clause, .. } => *clause,
            QueryError::Program { .. } | QueryError::Input { .. } => None,
        }
    }

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

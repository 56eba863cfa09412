//! Why a subscription cannot be, or is not kept up: what its readers are told.

use tercet_engine::error::QueryError;

use crate::wire_query::QueryTextError;
use crate::wire_row::WireRowError;

/// Why an instance cannot be, or is not kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Trouble {
        let hint = match &error {
            QueryError::Program { errors } => errors.iter().find_map(|error| error.hint.clone()),
            QueryError::Budget { hint, .. } => Some(hint.clone()),
            _ => None,
        };
        Trouble { code: error.code().to_owned(), message: error.to_string(), hint }
    }
}

impl From<&QueryTextError> for Trouble {
    fn from(error: &QueryTextError) -> Trouble {
        Trouble { code: error.code.clone(), message: error.message.clone(), hint: None }
    }
}

impl From<WireRowError> for Trouble {
    fn from(error: WireRowError) -> Trouble {
        Trouble { code: error.code().to_owned(), message: error.to_string(), hint: None }
    }
}

impl Trouble {
    /// A support that the server does not keep up; an open mode takes rows then.
    pub(crate) fn over_budget(message: &str) -> Trouble {
        Trouble {
            code: "support_over_budget".to_owned(),
            message: message.to_owned(),
            hint: Some("narrow the query, or subscribe in rows mode".to_owned()),
        }
    }

    /// Something that is not kept up for now.
    pub(crate) fn stopped() -> Trouble {
        Trouble {
            code: "stale".to_owned(),
            message: "the subscription's result is not kept up for now".to_owned(),
            hint: Some("subscribe again in a while".to_owned()),
        }
    }
}

//! Everything that can go wrong for a program that uses the client, by what it can do about it.

use tercet_engine::error::QueryError;
use tercet_engine::ids::{Checkpoint, IdError};
use tercet_query_lang::Report;
use tercet_schema::SchemaError;
use tercet_storage::StorageError;

use crate::status::Rejected;

/// Why the client did not do what it was asked. A lost connection is never among the reasons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Your input: the configuration.
    #[error("{what} is not valid: {why}")]
    Config {
        /// Which part of it.
        what: &'static str,
        /// What is wrong and what to do.
        why: String,
    },
    /// Your input: operations given as texts that make no ids or attributes.
    #[error("{}", lines(errors))]
    Ids {
        /// All of them with the position of their operation, at least one.
        errors: Vec<(usize, IdError)>,
    },
    /// Your input does not fit its type, or what is stored does not.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Your input: the text of a query.
    #[error("{0}")]
    Text(Report),
    /// Your input, a limit, or an entity known to be deleted; found before anything was written.
    #[error(transparent)]
    Refused(#[from] tercet_sync::ClientError),
    /// The server refused the transaction; it is taken out of every answer.
    #[error("{0}")]
    Rejected(Rejected),
    /// The server cannot keep up the subscription.
    #[error("{message}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Subscription {
        /// The stable code.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A checkpoint of a history that the server does not have (any more): a backup was restored.
    #[error("checkpoint {checkpoint} is of another history than the server's; ask for a new one")]
    OtherHistory {
        /// The checkpoint.
        checkpoint: Checkpoint,
    },
    /// The client has been closed. What is in its outbox will be sent by the next one.
    #[error("the client is closed; connect a new one")]
    Closed,
}

fn lines(errors: &[(usize, IdError)]) -> String {
    let line = |(op, error): &(usize, IdError)| format!("operation {op}: {error}");
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl From<QueryError> for ClientError {
    fn from(error: QueryError) -> ClientError {
        ClientError::Refused(error.into())
    }
}

impl From<Report> for ClientError {
    fn from(report: Report) -> ClientError {
        ClientError::Text(report)
    }
}

impl ClientError {
    /// The stable code; of several errors, the first one's.
    pub fn code(&self) -> &str {
        match self {
            ClientError::Config { .. } => "config_invalid",
            ClientError::Ids { errors } => {
                errors.first().map_or("id_invalid", |(_, error)| error.code())
            }
            ClientError::Schema(error) => error.code(),
            ClientError::Text(report) => report.code(),
            ClientError::Refused(error) => error.code(),
            ClientError::Rejected(rejected) => &rejected.code,
            ClientError::Subscription { code, .. } => code,
            ClientError::Storage(error) => error.code(),
            ClientError::OtherHistory { .. } => "epoch_changed",
            ClientError::Closed => "client_closed",
        }
    }
}

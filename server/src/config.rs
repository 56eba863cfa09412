//! How a server is set up, and why it could not be.

use std::path::PathBuf;

use tercet_storage::StorageError;

use crate::limits::ServerLimits;

/// Where tenants' logs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageChoice {
    /// In memory: everything is gone when the server ends.
    Memory,
    /// In a directory of libSQL files, which the server owns while it runs.
    Directory(PathBuf),
}

/// How a server is set up.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where data is kept.
    pub data: StorageChoice,
    /// Opens the admin routes; without one they are closed to everybody.
    pub admin_token: Option<String>,
    /// What it accepts.
    pub limits: ServerLimits,
}

impl ServerConfig {
    /// A server with the documented limits.
    pub fn new(data: StorageChoice, admin_token: Option<String>) -> ServerConfig {
        ServerConfig { data, admin_token, limits: ServerLimits::default() }
    }
}

/// Why a server did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Its data cannot be opened.
    #[error("cannot open the server's data: {0}")]
    Storage(#[from] StorageError),
    /// Its listener does not work.
    #[error("cannot listen: {0}")]
    Listener(#[from] std::io::Error),
}

impl ServerError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            ServerError::Storage(error) => error.code(),
            ServerError::Listener(_) => "listener",
        }
    }
}

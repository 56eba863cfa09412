//! What can go wrong with stored data, by what the caller can do about it.

use tercet_engine::ids::{Seq, Term};

use crate::change_log::Ordinal;

/// Why storage did not do what it was asked.
///
/// `file` names a tenant or the registry as an operator knows it (a file name, never a value).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Try again, after opening anew: what a failed append left behind is not known.
    #[error("storage of {file} is not available: {why}")]
    Unavailable {
        /// Whose.
        file: String,
        /// What the system said.
        why: String,
    },
    /// No space left. Nothing of the refused batch is stored.
    #[error("no space left for {file}; free some on its volume and try again")]
    Full {
        /// Whose.
        file: String,
    },
    /// Stored data is wrong. Nothing is repaired by guessing.
    #[error("{file} is damaged{}: {why}; restore it from a backup", at(*ordinal))]
    Corrupt {
        /// Which file.
        file: String,
        /// The record at fault, when it is one.
        ordinal: Option<Ordinal>,
        /// What is wrong.
        why: String,
    },
    /// Somebody else has taken ownership since this log was opened.
    #[error("{file} has a newer owner than term {term}; stop writing and open it again")]
    Fenced {
        /// Which file.
        file: String,
        /// The term that was refused.
        term: Term,
    },
    /// It is open already, here or in another process.
    #[error("{file} is in use{}; one owner at a time", hint.map(|h| format!(" ({h})")).unwrap_or_default())]
    Busy {
        /// Which file or directory.
        file: String,
        /// By whom, when we know.
        hint: Option<&'static str>,
    },
    /// Too many jobs of this tenant wait already.
    #[error("{n_jobs} storage jobs of {file} wait already; try again later")]
    Overloaded {
        /// Whose.
        file: String,
        /// How many wait.
        n_jobs: usize,
    },
    /// Written by another version of this program.
    #[error("{file} has format {found}, this program knows format {known}")]
    Format {
        /// Which file.
        file: String,
        /// What the file says.
        found: i64,
        /// What is known here.
        known: i64,
    },
    /// A text that is no app id.
    #[error("`{text}` is not an app id: 1 to 64 lower-case letters and digits")]
    AppId {
        /// The first characters of the text.
        text: String,
    },
    /// An app of this id exists, or the key's app does not.
    #[error("app {app} {}", if *exists { "exists already" } else { "does not exist" })]
    App {
        /// Which app.
        app: String,
        /// Which of the two it is.
        exists: bool,
    },
    /// The records do not continue the log: a defect of the caller.
    #[error("{file} continues after commit {last}, but a record of commit {found} was given")]
    OutOfOrder {
        /// Which file.
        file: String,
        /// The last commit of the log.
        last: Seq,
        /// What the refused record says.
        found: Seq,
    },
    /// A record that could not be read back: a defect of the caller's limits.
    #[error("a record of {n_bytes} bytes is too large to store in {file}")]
    TooLarge {
        /// Which file.
        file: String,
        /// How long its encoding is.
        n_bytes: usize,
    },
}

fn at(ordinal: Option<Ordinal>) -> String {
    ordinal.map(|ordinal| format!(" at record {ordinal}")).unwrap_or_default()
}

impl StorageError {
    /// The stable code of this error.
    pub fn code(&self) -> &'static str {
        match self {
            StorageError::Unavailable { .. } | StorageError::Full { .. } => "storage_unavailable",
            StorageError::Corrupt { .. } => "storage_corrupt",
            StorageError::Fenced { .. } => "fenced",
            StorageError::Busy { .. } => "storage_busy",
            StorageError::Overloaded { .. } => "overloaded",
            StorageError::Format { .. } => "storage_format",
            StorageError::AppId { .. } => "app_id_malformed",
            StorageError::App { exists: true, .. } => "app_exists",
            StorageError::App { exists: false, .. } => "app_unknown",
            StorageError::OutOfOrder { .. } => "log_out_of_order",
            StorageError::TooLarge { .. } => "record_too_large",
        }
    }

    /// Whether the same call may succeed later without anybody mending anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            StorageError::Unavailable { .. }
                | StorageError::Full { .. }
                | StorageError::Busy { .. }
                | StorageError::Overloaded { .. }
        )
    }
}

//! Names of apps and tenants, safe as file and host names by construction.
//!
//! A checked id is the only way to a file: there is no path from a peer's text to the disk.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::StorageError;

/// How long an app id may be, in bytes.
const APP_ID_BYTES_MAX: usize = 64;

/// How long generated app ids are.
const APP_ID_GENERATED: usize = 21;

const APP_ID_ALPHABET: [char; 36] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's',
    't', 'u', 'v', 'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// An app: 1 to 64 lower-case letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

impl AppId {
    /// Checks the text and takes it.
    ///
    /// # Errors
    /// When it has another character, is empty or too long.
    pub fn new(text: &str) -> Result<AppId, StorageError> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if text.is_empty() || text.len() > APP_ID_BYTES_MAX || !text.bytes().all(is_allowed) {
            return Err(StorageError::AppId { text: text.chars().take(32).collect() });
        }
        Ok(AppId(text.into()))
    }

    /// A new random one.
    pub fn generate() -> AppId {
        let text = nanoid::nanoid!(APP_ID_GENERATED, &APP_ID_ALPHABET);
        AppId(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AppId {
    type Err = StorageError;
    fn from_str(text: &str) -> Result<AppId, StorageError> {
        AppId::new(text)
    }
}

/// The unit of isolation: one log, one file, one owner. Today an app is one tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId {
    app: AppId,
}

impl TenantId {
    /// The one tenant of an app.
    pub fn of_app(app: AppId) -> TenantId {
        TenantId { app }
    }

    /// Whose tenant it is.
    pub fn app(&self) -> &AppId {
        &self.app
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.app.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_letters_and_digits_name_a_file() {
        for good in ["a", "0", "abc123", &"z".repeat(64)] {
            assert!(AppId::new(good).is_ok(), "{good}");
        }
        let bad = ["", ".", "..", "a/b", "a\\b", "A", "a b", "a\0", "%2e", "é", "а", "a-b", "a.db"];
        for bad in bad.into_iter().chain([&*"z".repeat(65)]) {
            assert_eq!(AppId::new(bad).map_err(|e| e.code()), Err("app_id_malformed"), "{bad:?}");
        }
        assert_eq!(AppId::new(AppId::generate().as_str()).map(|id| id.as_str().len()), Ok(21));
    }
}

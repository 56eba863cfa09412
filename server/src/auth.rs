//! Who may do what: API keys, the admin token, and the grant that leads to a tenant.
//!
//! A [`Grant`] can only be made here, and nothing else opens a tenant. A key is found by its
//! BLAKE3 hash, so no comparison of secrets depends on how much of one was guessed. A wrong key,
//! an app that does not exist and another app's key give one and the same answer: absence and
//! prohibition look alike.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use tercet_storage::{
    Access, ApiKey, App, AppId, KeyHash, Role, StorageError, StoragePool, TenantId,
};

use crate::clock;
use crate::limits::KNOWN_KEYS_MAX;
use crate::storage::with_registry;

/// What every key starts with, so that people and scanners recognise one.
const KEY_PREFIX: &str = "trc_";

/// The longest text that is looked at as a key.
const KEY_BYTES_MAX: usize = 256;

/// What a request or session may do: reach this tenant, and write to it or not.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    tenant: TenantId,
    may_write: bool,
}

impl Grant {
    #[cfg(test)]
    pub(crate) fn for_test(tenant: TenantId) -> Grant {
        Grant { tenant, may_write: true }
    }

    /// Which tenant.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What it may do there.
    pub(crate) fn rights(&self) -> tercet_sync::Rights {
        tercet_sync::Rights { write: self.may_write }
    }
}

/// Why there is no grant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// No key was shown.
    #[error("no key was given")]
    Unauthenticated,
    /// The key does not open this. Says nothing about what exists.
    #[error("this key does not open this app")]
    Forbidden,
    /// It cannot be told now.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The keys of this server.
pub(crate) struct Auth {
    admin: Option<blake3::Hash>,
    pool: Arc<StoragePool>,
    /// Keys that have been found. They cannot be revoked yet, so none becomes untrue.
    known: Mutex<HashMap<KeyHash, Arc<ApiKey>>>,
}

impl Auth {
    pub(crate) fn new(admin_token: Option<&str>, pool: Arc<StoragePool>) -> Auth {
        let admin = admin_token.map(|token| blake3::hash(token.as_bytes()));
        Auth { admin, pool, known: Mutex::default() }
    }

    /// Whether this is the admin token.
    pub(crate) fn check_admin(&self, token: Option<&str>) -> Result<(), AuthError> {
        let token = token.ok_or(AuthError::Unauthenticated)?;
        let shown = blake3::hash(token.as_bytes());
        // Hashes are compared in constant time.
        match self.admin {
            Some(admin) if admin == shown => Ok(()),
            _ => Err(AuthError::Forbidden),
        }
    }

    /// What a key allows on an app, given by its text as it came.
    pub(crate) async fn grant(&self, app: &str, key: Option<&str>) -> Result<Grant, AuthError> {
        let key = key.ok_or(AuthError::Unauthenticated)?;
        if key.len() > KEY_BYTES_MAX {
            return Err(AuthError::Forbidden);
        }
        let found = self.find(KeyHash::of(key)).await?;
        match found {
            Some(key) if key.app.as_str() == app => Ok(Grant {
                tenant: TenantId::of_app(key.app.clone()),
                may_write: key.access == Access::Write,
            }),
            _ => Err(AuthError::Forbidden),
        }
    }

    async fn find(&self, hash: KeyHash) -> Result<Option<Arc<ApiKey>>, StorageError> {
        if let Some(key) = self.known.lock().get(&hash) {
            return Ok(Some(Arc::clone(key)));
        }
        let found = with_registry(&self.pool, move |registry| registry.find_key(&hash)).await?;
        Ok(found.map(|key| self.remember(key)))
    }

    fn remember(&self, key: ApiKey) -> Arc<ApiKey> {
        let key = Arc::new(key);
        let mut known = self.known.lock();
        if known.len() >= KNOWN_KEYS_MAX {
            known.clear();
        }
        known.insert(key.hash, Arc::clone(&key));
        key
    }

    pub(crate) async fn create_app(&self, name: String) -> Result<App, StorageError> {
        let app = App { id: AppId::generate(), name, created_ms: clock::now_ms() };
        let created = app.clone();
        with_registry(&self.pool, move |registry| registry.create_app(&app)).await?;
        Ok(created)
    }

    pub(crate) async fn apps(&self) -> Result<Vec<App>, StorageError> {
        with_registry(&self.pool, |registry| registry.apps()).await
    }

    /// Makes a key. Its text is given out here and nowhere again.
    pub(crate) async fn create_key(
        &self,
        app: AppId,
        role: Role,
        access: Access,
        label: String,
    ) -> Result<(String, ApiKey), StorageError> {
        let text = new_key();
        let key = ApiKey {
            id: AppId::generate().to_string(),
            app,
            hash: KeyHash::of(&text),
            role,
            access,
            label,
            created_ms: clock::now_ms(),
        };
        let stored = key.clone();
        with_registry(&self.pool, move |registry| registry.insert_key(&stored)).await?;
        Ok((text, key))
    }
}

/// 256 random bits as text.
fn new_key() -> String {
    let mut text = KEY_PREFIX.to_owned();
    for byte in clock::random_bytes::<32>() {
        write!(text, "{byte:02x}").expect("writing to a string succeeds");
    }
    text
}

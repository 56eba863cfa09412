//! Where a server keeps its tenants' change logs, apps and keys, and a client its outbox and cache.
//!
//! Durability is decided here and nowhere else: when [`ChangeLog::append`] returns, its records
//! survive `kill -9` and a power cut, or none of them is there. Everything above works in memory
//! and replays the log. The traits state contracts that one test suite runs against every
//! implementation; what a record *means* is left to the engine, and calls simply block: whoever
//! has an event loop hands jobs to a [`StoragePool`]. Modules in reading order.

mod change_log;
mod client_store;
mod error;
mod ids;
mod local;
mod memory;
mod memory_client;
mod pool;
mod record;
mod registry;

#[cfg(test)]
mod contract_tests;

pub use change_log::{ChangeLog, LogBatch, Ordinal};
pub use client_store::{
    CacheChange, ClientChange, ClientStore, EntryId, Pending, StoredCache, StoredClient,
    StoredEntry, StoredOutbox,
};
pub use error::StorageError;
pub use ids::{AppId, TenantId};
pub use local::{Durability, LibsqlClientStore, LibsqlStorage};
pub use memory::MemoryStorage;
pub use memory_client::MemoryClientStore;
pub use pool::{PoolOptions, StoragePool, TenantLog};
pub use registry::{Access, ApiKey, App, KeyHash, Registry, Role};

/// Opens what is stored. One value of it owns its place (a directory, say) until it is dropped.
///
/// Contract: a tenant is open at most once at a time; a second `open_tenant` before the first log
/// is dropped gives [`StorageError::Busy`]. Opening creates what does not exist. Each opening
/// takes a new *term*, durable before it returns, and from then on every log opened under an
/// earlier term is refused with [`StorageError::Fenced`].
pub trait Storage: Send + Sync {
    /// The change log of a tenant.
    ///
    /// # Errors
    /// When it is open already, damaged, of an unknown format, or cannot be reached.
    fn open_tenant(&self, tenant: &TenantId) -> Result<Box<dyn ChangeLog>, StorageError>;

    /// The apps and keys. Also open at most once.
    ///
    /// # Errors
    /// As for [`Storage::open_tenant`].
    fn open_registry(&self) -> Result<Box<dyn Registry>, StorageError>;
}

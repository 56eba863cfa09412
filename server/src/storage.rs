//! The async side of storage: jobs go to the pool's threads, answers come back by one-shot.

use std::sync::Arc;

use tercet_storage::{
    ChangeLog, LibsqlStorage, MemoryStorage, PoolOptions, Registry, Storage, StorageError,
    StoragePool, TenantId, TenantLog,
};
use tokio::sync::oneshot;

use crate::config::StorageChoice;
use crate::limits::ServerLimits;

/// Opens the data and starts the threads. Blocks.
pub(crate) fn start(
    data: &StorageChoice,
    limits: &ServerLimits,
) -> Result<StoragePool, StorageError> {
    let storage: Arc<dyn Storage> = match data {
        StorageChoice::Memory => Arc::new(MemoryStorage::new()),
        StorageChoice::Directory(directory) => Arc::new(LibsqlStorage::open(directory)?),
    };
    let options = PoolOptions {
        n_threads: limits.storage_threads,
        n_jobs_max: limits.storage_jobs_max,
        n_registry_jobs_max: limits.registry_jobs_max,
    };
    StoragePool::start(storage, options)
}

/// Runs a job with the registry.
pub(crate) async fn with_registry<T: Send + 'static>(
    pool: &StoragePool,
    job: impl FnOnce(&mut dyn Registry) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let (reply, answer) = oneshot::channel();
    pool.registry(move |registry| {
        // Nobody waits any more when the request was given up.
        let _ = reply.send(job(registry));
    })?;
    answer.await.unwrap_or_else(|_| Err(lost("the registry")))
}

/// Opens a tenant's log.
pub(crate) async fn open(pool: &StoragePool, tenant: &TenantId) -> Result<TenantLog, StorageError> {
    let (reply, answer) = oneshot::channel();
    pool.open(tenant, move |opened| {
        // A log that nobody waits for any more is closed by being dropped.
        let _ = reply.send(opened);
    });
    answer.await.unwrap_or_else(|_| Err(lost(&tenant.to_string())))
}

/// Runs a job with a tenant's log.
pub(crate) async fn with_log<T: Send + 'static>(
    log: &TenantLog,
    job: impl FnOnce(&mut dyn ChangeLog) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let (reply, answer) = oneshot::channel();
    log.submit(move |log| {
        let _ = reply.send(job(log));
    })?;
    answer.await.unwrap_or_else(|_| Err(lost("a tenant's log")))
}

/// The thread dropped the job: it panicked, or an earlier one did.
pub(crate) fn lost(file: &str) -> StorageError {
    StorageError::Unavailable { file: file.to_owned(), why: "its storage job was lost".to_owned() }
}

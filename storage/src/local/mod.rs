//! Storage in a directory of libSQL files: one for each tenant, one for the registry. A client has
//! a directory of its own with one file (`client`).
//!
//! ```text
//! DIR/lock              held (flock) while a server owns the directory
//! DIR/registry.db       apps and hashed keys
//! DIR/tenants/APP.db    one tenant's change log
//! ```
//!
//! The SQLite in libSQL 0.10 (3.47.0) can lose commits when one connection checkpoints while
//! another one commits (sqlite.org/wal.html#walresetbug). So a file has exactly one connection,
//! which does all its commits and all its checkpoints. That is held up three times: the lock file
//! keeps other servers out of the directory, a set of open files keeps a second connection out of
//! this process, and SQLite's exclusive locking mode keeps every other program out of the file.

mod client;
mod connection;
mod log;
mod registry;

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tercet_engine::ids::Epoch;

use crate::Storage;
use crate::change_log::ChangeLog;
use crate::error::StorageError;
use crate::ids::TenantId;
use crate::registry::Registry;

pub use client::LibsqlClientStore;
pub use connection::Durability;

/// A directory of libSQL files, owned by this value.
#[derive(Debug)]
pub struct LibsqlStorage {
    directory: PathBuf,
    open_files: Arc<Mutex<BTreeSet<String>>>,
    /// Unlocked by the system when it is closed, however this process ends.
    _lock: File,
}

impl LibsqlStorage {
    /// Takes ownership of a directory, made if it does not exist.
    ///
    /// # Errors
    /// `Busy` when another server owns it; `Unavailable` when it cannot be reached.
    pub fn open(directory: &Path) -> Result<LibsqlStorage, StorageError> {
        let directory = directory.to_owned();
        let name = directory.display().to_string();
        let unavailable = |why: String| StorageError::Unavailable { file: name.clone(), why };
        make_directory(&directory.join("tenants"))
            .map_err(|error| unavailable(error.to_string()))?;
        let lock = lock_directory(&directory, "by another server")?;
        Ok(LibsqlStorage { directory, open_files: Arc::default(), _lock: lock })
    }

    fn claim(&self, file: &str) -> Result<Claim, StorageError> {
        Claim::take(&self.open_files, file)
    }
}

impl Storage for LibsqlStorage {
    fn open_tenant(&self, tenant: &TenantId) -> Result<Box<dyn ChangeLog>, StorageError> {
        let file = format!("tenants/{tenant}.db");
        let claim = self.claim(&file)?;
        Ok(Box::new(log::LibsqlLog::open(&self.directory, claim)?))
    }

    fn open_registry(&self) -> Result<Box<dyn Registry>, StorageError> {
        let claim = self.claim("registry.db")?;
        Ok(Box::new(registry::LibsqlRegistry::open(&self.directory, claim)?))
    }
}

/// The right to have the one connection of a file; given back when dropped.
#[derive(Debug)]
struct Claim {
    /// Relative to the directory; also how errors name it.
    file: String,
    open_files: Arc<Mutex<BTreeSet<String>>>,
}

impl Claim {
    fn take(open_files: &Arc<Mutex<BTreeSet<String>>>, file: &str) -> Result<Claim, StorageError> {
        if !open_files.lock().insert(file.to_owned()) {
            let file = file.to_owned();
            return Err(StorageError::Busy { file, hint: Some("by this server") });
        }
        Ok(Claim { file: file.to_owned(), open_files: Arc::clone(open_files) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.open_files.lock().remove(&self.file);
    }
}

/// Takes a directory for this process. The system gives it back when the file is closed, however
/// the process ends.
fn lock_directory(directory: &Path, owner: &'static str) -> Result<File, StorageError> {
    let name = directory.display().to_string();
    let unavailable = |error: std::io::Error| StorageError::Unavailable {
        file: name.clone(),
        why: format!("its lock file: {error}"),
    };
    let lock = private_file(&directory.join("lock")).map_err(unavailable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StorageError::Busy { file: name, hint: Some(owner) }),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

fn make_directory(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file that only its owner can read, made if it does not exist.
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes the entry of a new file durable, which flushing the file itself does not promise.
fn sync_directory_of(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().expect("a file of ours is in a directory");
    File::open(parent)?.sync_all()
}

/// A new history's name.
pub(crate) fn random_epoch() -> Epoch {
    let bytes = nanoid::rngs::default(8);
    Epoch(u64::from_le_bytes(bytes.try_into().expect("eight were asked for")))
}

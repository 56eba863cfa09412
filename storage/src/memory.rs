//! Storage in memory: for tests, demonstrations and tenants that need not survive.
//!
//! It lives as long as its [`MemoryStorage`], so a log that is dropped and opened again has its
//! records, as a file would. Records are kept encoded: what reads them back has decoded them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tercet_engine::commit::LogRecord;
use tercet_engine::ids::{Epoch, Seq, Term};

use crate::change_log::{ChangeLog, LogBatch, Ordinal};
use crate::error::StorageError;
use crate::ids::{AppId, TenantId};
use crate::record::{Head, StoredRecord};
use crate::registry::{ApiKey, App, KeyHash, Registry};
use crate::{Storage, local};

/// One tenant's records.
#[derive(Debug)]
struct Tenant {
    epoch: Epoch,
    term: Term,
    is_open: bool,
    records: Vec<StoredRecord>,
    seq: Seq,
}

#[derive(Debug, Default)]
struct Registered {
    is_open: bool,
    apps: BTreeMap<AppId, App>,
    keys: BTreeMap<KeyHash, ApiKey>,
}

/// Storage that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    tenants: Mutex<BTreeMap<TenantId, Arc<Mutex<Tenant>>>>,
    registered: Arc<Mutex<Registered>>,
}

impl MemoryStorage {
    /// Nothing yet.
    pub fn new() -> MemoryStorage {
        MemoryStorage::default()
    }

    #[cfg(test)]
    pub(crate) fn damage(&self, tenant: &TenantId, ordinal: Ordinal) {
        let index = usize::try_from(ordinal.0 - 1).expect("a small test");
        self.tenants.lock()[tenant].lock().records[index].payload[0] ^= 1;
    }

    #[cfg(test)]
    pub(crate) fn take_over(&self, tenant: &TenantId) {
        self.tenants.lock()[tenant].lock().term.0 += 1;
    }
}

impl Storage for MemoryStorage {
    fn open_tenant(&self, tenant: &TenantId) -> Result<Box<dyn ChangeLog>, StorageError> {
        let file = tenant.to_string();
        let new = || Tenant {
            epoch: local::random_epoch(),
            term: Term(0),
            is_open: false,
            records: Vec::new(),
            seq: Seq(0),
        };
        let shared = Arc::clone(
            self.tenants
                .lock()
                .entry(tenant.clone())
                .or_insert_with(|| Arc::new(Mutex::new(new()))),
        );
        let mut state = shared.lock();
        if state.is_open {
            return Err(StorageError::Busy { file, hint: Some("by this server") });
        }
        state.is_open = true;
        state.term = state.term.next();
        let (epoch, term) = (state.epoch, state.term);
        drop(state);
        Ok(Box::new(MemoryLog { tenant: shared, file, epoch, term }))
    }

    fn open_registry(&self) -> Result<Box<dyn Registry>, StorageError> {
        let registered = Arc::clone(&self.registered);
        if std::mem::replace(&mut registered.lock().is_open, true) {
            let file = "the registry".to_owned();
            return Err(StorageError::Busy { file, hint: Some("by this server") });
        }
        Ok(Box::new(MemoryRegistry { registered }))
    }
}

struct MemoryLog {
    tenant: Arc<Mutex<Tenant>>,
    file: String,
    epoch: Epoch,
    term: Term,
}

impl MemoryLog {
    fn decode<'a>(
        &self,
        stored: impl Iterator<Item = &'a StoredRecord>,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let mut records = Vec::new();
        let mut n_bytes = 0;
        for stored in stored {
            records.push(stored.decode(&self.file, self.epoch)?);
            n_bytes += stored.n_bytes();
            if n_bytes >= bytes_max {
                break;
            }
        }
        Ok(records)
    }
}

impl ChangeLog for MemoryLog {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn term(&self) -> Term {
        self.term
    }

    fn last_seq(&self) -> Seq {
        self.tenant.lock().seq
    }

    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        let mut tenant = self.tenant.lock();
        if tenant.term != self.term {
            return Err(StorageError::Fenced { file: self.file.clone(), term: self.term });
        }
        let ordinal = Ordinal(tenant.records.len() as u64);
        let head = Head { epoch: tenant.epoch, ordinal, seq: tenant.seq };
        let (stored, head) = head.encode(&self.file, records)?;
        tenant.records.extend(stored);
        tenant.seq = head.seq;
        Ok(())
    }

    fn read(&mut self, after: Ordinal, bytes_max: usize) -> Result<LogBatch, StorageError> {
        let tenant = self.tenant.lock();
        let n_skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let records = self.decode(tenant.records.iter().skip(n_skipped), bytes_max)?;
        let last = Ordinal(after.0 + records.len() as u64);
        Ok(LogBatch { records, last })
    }

    fn changes(
        &mut self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let tenant = self.tenant.lock();
        // Ordinals are at least seqs, so the records before cannot be later commits.
        let n_skipped = usize::try_from(after.0).unwrap_or(usize::MAX);
        let later = tenant.records.iter().skip(n_skipped).filter(|stored| stored.seq > Some(after));
        self.decode(later.take(n_max), bytes_max)
    }
}

impl Drop for MemoryLog {
    fn drop(&mut self) {
        self.tenant.lock().is_open = false;
    }
}

struct MemoryRegistry {
    registered: Arc<Mutex<Registered>>,
}

impl Registry for MemoryRegistry {
    fn create_app(&mut self, app: &App) -> Result<(), StorageError> {
        let mut registered = self.registered.lock();
        if registered.apps.contains_key(&app.id) {
            return Err(StorageError::App { app: app.id.to_string(), exists: true });
        }
        registered.apps.insert(app.id.clone(), app.clone());
        Ok(())
    }

    fn apps(&mut self) -> Result<Vec<App>, StorageError> {
        let mut apps: Vec<App> = self.registered.lock().apps.values().cloned().collect();
        apps.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        Ok(apps)
    }

    fn find_app(&mut self, app: &AppId) -> Result<Option<App>, StorageError> {
        Ok(self.registered.lock().apps.get(app).cloned())
    }

    fn insert_key(&mut self, key: &ApiKey) -> Result<(), StorageError> {
        let mut registered = self.registered.lock();
        if !registered.apps.contains_key(&key.app) {
            return Err(StorageError::App { app: key.app.to_string(), exists: false });
        }
        registered.keys.insert(key.hash, key.clone());
        Ok(())
    }

    fn find_key(&mut self, hash: &KeyHash) -> Result<Option<ApiKey>, StorageError> {
        Ok(self.registered.lock().keys.get(hash).cloned())
    }
}

impl Drop for MemoryRegistry {
    fn drop(&mut self) {
        self.registered.lock().is_open = false;
    }
}

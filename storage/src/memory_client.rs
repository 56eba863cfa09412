//! What a client keeps, in memory: for tests, and the model that the file is compared with.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tercet_engine::ids::ClientSeq;

use crate::client_store::{
    CacheChange, ClientChange, ClientStore, EntryId, Pending, StoredCache, StoredClient,
    StoredEntry, StoredOutbox,
};
use crate::error::StorageError;

/// A client store that ends with the process. A clone is the same store, so a test can "restart" a
/// client on what it left.
#[derive(Debug, Clone, Default)]
pub struct MemoryClientStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Without what is pending.
    outbox: StoredOutbox,
    pending: BTreeMap<ClientSeq, Pending>,
    header: Vec<u8>,
    entries: BTreeMap<EntryId, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    header: Vec<u8>,
    items: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl MemoryClientStore {
    /// Nothing yet.
    pub fn new() -> MemoryClientStore {
        MemoryClientStore::default()
    }
}

impl ClientStore for MemoryClientStore {
    fn load(&mut self) -> Result<StoredClient, StorageError> {
        let state = self.state.lock();
        let pending = state.pending.values().cloned().collect();
        let entries = state.entries.iter().map(|(id, Entry { header, items })| {
            let items = items.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            (*id, StoredEntry { header: header.clone(), items })
        });
        Ok(StoredClient {
            outbox: StoredOutbox { pending, ..state.outbox.clone() },
            cache: StoredCache { header: state.header.clone(), entries: entries.collect() },
        })
    }

    fn write(&mut self, changes: &[ClientChange]) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        for change in changes {
            state.take(change);
        }
        Ok(())
    }
}

impl State {
    fn take(&mut self, change: &ClientChange) {
        match change {
            ClientChange::Put(pending) => {
                self.outbox.last_number = self.outbox.last_number.max(pending.number);
                self.outbox.clock = self.outbox.clock.max(pending.transaction.hlc);
                self.pending.insert(pending.number, pending.clone());
            }
            ClientChange::Answered(number) => drop(self.pending.remove(number)),
            ClientChange::Epoch(epoch) => self.outbox.epoch = Some(*epoch),
            ClientChange::Rewrite(outbox) => {
                let pending = outbox.pending.iter();
                self.pending = pending.map(|pending| (pending.number, pending.clone())).collect();
                self.outbox = StoredOutbox { pending: Vec::new(), ..outbox.clone() };
            }
            ClientChange::Cache(change) => self.take_cache(change),
        }
    }

    fn take_cache(&mut self, change: &CacheChange) {
        match change {
            CacheChange::Header(header) => self.header.clone_from(header),
            CacheChange::Entry(id, header) => {
                self.entries.entry(*id).or_default().header.clone_from(header);
            }
            CacheChange::Item(id, key, value) => {
                let Some(entry) = self.entries.get_mut(id) else { return };
                match value {
                    Some(value) => drop(entry.items.insert(key.clone(), value.clone())),
                    None => drop(entry.items.remove(key)),
                }
            }
            CacheChange::Clear(id) => {
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.items.clear();
                }
            }
            CacheChange::Drop(id) => drop(self.entries.remove(id)),
        }
    }
}

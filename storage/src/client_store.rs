//! The trait of what a client keeps for its next start: its outbox and its cache.
//!
//! The *outbox* is its durable name and the writes it has not been answered: it keeps transaction
//! boundaries and order and never drops a write by itself. The *cache* is what the server has said
//! so far, subscription by subscription; losing its end costs some traffic and nothing else. They
//! are one store, because an answered write may leave the outbox only together with the facts that
//! show it. What is sent when is decided by the client peer; what the bytes of the cache mean, by
//! the client: here they are entries of keys with values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, Epoch};

use crate::error::StorageError;

/// A transaction that has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Its number among its client's transactions.
    pub number: ClientSeq,
    /// What is to be sent.
    pub transaction: Transaction,
}

/// Who writes, and what has not been answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredOutbox {
    /// The client id these writes belong to; none in a new outbox.
    pub client: Option<ClientId>,
    /// The server's history in which the client id is used.
    pub epoch: Option<Epoch>,
    /// The last number ever used, also when its transaction has been answered.
    pub last_number: ClientSeq,
    /// The greatest stamp ever used.
    pub clock: Hlc,
    /// In order of number.
    pub pending: Vec<Pending>,
}

/// The number of an entry of the cache. Chosen by the client, and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

/// One entry of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredEntry {
    /// What it is.
    pub header: Vec<u8>,
    /// What it holds: keys with their values, sorted, no key twice.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What the server has said so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredCache {
    /// What holds for all entries; empty in a new cache.
    pub header: Vec<u8>,
    /// All entries.
    pub entries: BTreeMap<EntryId, StoredEntry>,
}

/// All that a client finds again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredClient {
    /// Its unanswered writes.
    pub outbox: StoredOutbox,
    /// What it had been told.
    pub cache: StoredCache,
}

/// A step of what is kept. Doing one twice in a row is doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientChange {
    /// Adds a transaction, or replaces the one of the same number; the last number and the clock
    /// are at least the transaction's from then on.
    Put(Pending),
    /// Forgets an answered transaction; the last number stays. One that is not there is passed
    /// over.
    Answered(ClientSeq),
    /// The client id is used in this history.
    Epoch(Epoch),
    /// The whole outbox is this.
    Rewrite(StoredOutbox),
    /// Something about the cache.
    Cache(CacheChange),
}

/// A step of the cache. Steps of an entry that is not there are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// What holds for all entries.
    Header(Vec<u8>),
    /// Makes an entry without items, or gives one that is there another header.
    Entry(EntryId, Vec<u8>),
    /// A key of an entry has this value, or is gone.
    Item(EntryId, Vec<u8>, Option<Vec<u8>>),
    /// The entry has no items.
    Clear(EntryId),
    /// The entry is gone.
    Drop(EntryId),
}

/// Keeps what a client must find again after a restart.
///
/// Contract: a `write` that returned `Ok` is *stored*: all its changes, in order, survive the end
/// of the process, and a reader never sees a part of them. After an error none of them counts, and
/// the same changes may be written again.
pub trait ClientStore: Send {
    /// What is kept.
    ///
    /// # Errors
    /// When storage fails, or what is stored is not what was written.
    fn load(&mut self) -> Result<StoredClient, StorageError>;

    /// Does all of it in one step.
    ///
    /// # Errors
    /// When storage fails.
    fn write(&mut self, changes: &[ClientChange]) -> Result<(), StorageError>;
}

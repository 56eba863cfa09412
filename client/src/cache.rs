//! The cache between the peer, which knows what it holds, and the store, which keeps bytes.
//!
//! An entry's items are its facts with their marks or its rows with their numbers, both in the
//! engine's binary form; which of the two is in its header. Bytes that are none of these make an
//! entry damaged, and a damaged entry is dropped: it is a copy of what the server has.

use serde::de::DeserializeOwned;
use tercet_engine::codec::{self, CodecError};
use tercet_storage::{CacheChange, EntryId, StoredCache, StoredEntry};
use tercet_sync::message::InstanceMode;
use tercet_sync::{Cache, CacheEntry, CacheEntryId, CacheHeader, CacheStep};

/// A step as the store takes it.
pub(crate) fn encode(step: &CacheStep) -> CacheChange {
    match step {
        CacheStep::Head(head) => CacheChange::Header(codec::encode(head)),
        CacheStep::Entry(id, header) => CacheChange::Entry(stored(*id), codec::encode(header)),
        CacheStep::Fact(id, fact, mark) => {
            CacheChange::Item(stored(*id), codec::encode(fact), mark.as_ref().map(codec::encode))
        }
        CacheStep::Row(id, row, n) => {
            let n = (*n > 0).then(|| codec::encode(n));
            CacheChange::Item(stored(*id), codec::encode(row), n)
        }
        CacheStep::Clear(id) => CacheChange::Clear(stored(*id)),
        CacheStep::Drop(id) => CacheChange::Drop(stored(*id)),
    }
}

fn stored(id: CacheEntryId) -> EntryId {
    EntryId(id.0)
}

/// What the store has, and the entries that are damaged.
pub(crate) fn decode(cache: StoredCache) -> (Cache, Vec<EntryId>) {
    // Without a head nothing can be resumed, but nothing is lost either.
    let head = codec::decode(&cache.header).ok();
    let (mut entries, mut damaged) = (Vec::new(), Vec::new());
    for (id, entry) in cache.entries {
        match decode_entry(id, entry) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                tracing::warn!(entry = id.0, %error, "a cached subscription is damaged");
                damaged.push(id);
            }
        }
    }
    (Cache { head, entries }, damaged)
}

fn decode_entry(id: EntryId, entry: StoredEntry) -> Result<CacheEntry, CodecError> {
    let header: CacheHeader = codec::decode(&entry.header)?;
    let (mut facts, mut rows) = (Vec::new(), Vec::new());
    match header.mode {
        InstanceMode::Facts => facts = pairs(&entry.items)?,
        InstanceMode::Rows => rows = pairs(&entry.items)?,
    }
    Ok(CacheEntry { id: CacheEntryId(id.0), header, facts, rows })
}

fn pairs<Key: DeserializeOwned, Mapped: DeserializeOwned>(
    items: &[(Vec<u8>, Vec<u8>)],
) -> Result<Vec<(Key, Mapped)>, CodecError> {
    let pair = |(key, value): &(Vec<u8>, Vec<u8>)| Ok((codec::decode(key)?, codec::decode(value)?));
    items.iter().map(pair).collect()
}

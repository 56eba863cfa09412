//! The one place of this crate that reads the time and draws randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use tercet_engine::ids::{ClientId, EntityId, ReplicaId};

/// Milliseconds since 1970. It may jump either way: stamps do not suffer.
pub(crate) fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// A replica that nobody else is.
pub(crate) fn random_replica() -> ReplicaId {
    let bytes = nanoid::rngs::default(8);
    ReplicaId(u64::from_le_bytes(bytes.try_into().expect("eight were asked for")))
}

/// A writer that nobody else is.
pub(crate) fn random_client() -> ClientId {
    ClientId::new(format!("embedded:{}", nanoid::nanoid!())).expect("short and printable")
}

/// A new random entity id: 21 characters, 126 bits.
pub fn new_id() -> EntityId {
    EntityId::new(nanoid::nanoid!()).expect("a nano id is short and printable")
}

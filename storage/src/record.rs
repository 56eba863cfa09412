//! The stored form of a log record: its binary encoding, and a check that notices damage.
//!
//! The check is the first 16 bytes of BLAKE3 over (epoch, ordinal, payload): a record that was
//! altered, moved to another place or copied from another log does not pass.

use tercet_engine::codec;
use tercet_engine::commit::LogRecord;
use tercet_engine::ids::{Epoch, Seq};

use crate::change_log::Ordinal;
use crate::error::StorageError;

/// How long a check is.
pub(crate) const CHECK_BYTES: usize = 16;

/// A record as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct StoredRecord {
    pub(crate) ordinal: Ordinal,
    /// None for a rejection.
    pub(crate) seq: Option<Seq>,
    pub(crate) payload: Vec<u8>,
    pub(crate) check: [u8; CHECK_BYTES],
}

impl StoredRecord {
    /// What is kept of it, for limits on how much is read at once.
    pub(crate) fn n_bytes(&self) -> usize {
        self.payload.len() + CHECK_BYTES
    }

    /// Reads it back, after checking it.
    pub(crate) fn decode(&self, file: &str, epoch: Epoch) -> Result<LogRecord, StorageError> {
        let damaged = |why: String| StorageError::Corrupt {
            file: file.to_owned(),
            ordinal: Some(self.ordinal),
            why,
        };
        if check(epoch, self.ordinal, &self.payload) != self.check {
            return Err(damaged("its check does not match".to_owned()));
        }
        let record = codec::decode(&self.payload).map_err(|error| damaged(error.to_string()))?;
        if commit_seq(&record) != self.seq {
            return Err(damaged("its seq is not that of its row".to_owned()));
        }
        Ok(record)
    }
}

/// What notices damage: of the payload, or of its place.
pub(crate) fn check(epoch: Epoch, ordinal: Ordinal, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&epoch.0.to_le_bytes()).update(&ordinal.0.to_le_bytes()).update(payload);
    let mut check = [0; CHECK_BYTES];
    hasher.finalize_xof().fill(&mut check);
    check
}

fn commit_seq(record: &LogRecord) -> Option<Seq> {
    match record {
        LogRecord::Commit { seq, .. } => Some(*seq),
        LogRecord::Reject { .. } => None,
    }
}

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: Epoch,
    pub(crate) ordinal: Ordinal,
    pub(crate) seq: Seq,
}

impl Head {
    /// Checks that the records continue the log, and encodes them. Gives also the new head.
    pub(crate) fn encode(
        mut self,
        file: &str,
        records: &[LogRecord],
    ) -> Result<(Vec<StoredRecord>, Head), StorageError> {
        let mut stored = Vec::with_capacity(records.len());
        for record in records {
            let seq = commit_seq(record);
            let expected = if seq.is_some() { self.seq.next() } else { self.seq };
            if record.seq() != expected {
                let file = file.to_owned();
                return Err(StorageError::OutOfOrder { file, last: self.seq, found: record.seq() });
            }
            let payload = codec::encode(record);
            if payload.len() > codec::DECODE_BYTES_MAX {
                let file = file.to_owned();
                return Err(StorageError::TooLarge { file, n_bytes: payload.len() });
            }
            self.ordinal.0 += 1;
            self.seq = expected;
            let check = check(self.epoch, self.ordinal, &payload);
            stored.push(StoredRecord { ordinal: self.ordinal, seq, payload, check });
        }
        Ok((stored, self))
    }
}

//! The change log from the writer's side: replayed when it is opened, appended to, and opened
//! again after it became unavailable.
//!
//! A log that failed to flush tells no more than that: the record may be there or not. So the
//! journal drops it, opens it again before the next append, and replays what it finds there
//! beyond what it knew, through the same merge as on opening.

use std::sync::Arc;

use tercet_engine::commit::{LogRecord, Origin};
use tercet_engine::fact::Transaction;
use tercet_engine::ids::{Epoch, Seq};
use tercet_storage::{ChangeLog, Ordinal, Storage, StorageError, TenantId};

use crate::error::Error;

/// The most operations that stamps can number.
pub(crate) const OPS_MAX: usize = 65_536;

/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 4 << 20;

/// A change log, or the way back to it.
pub(crate) struct Journal {
    storage: Arc<dyn Storage>,
    tenant: TenantId,
    /// None after it became unavailable.
    log: Option<Box<dyn ChangeLog>>,
    /// It may hold records that are not known here: nothing is appended before they are.
    is_behind: bool,
    epoch: Epoch,
    /// The last record that is known here.
    ordinal: Ordinal,
    seq: Seq,
}

impl Journal {
    /// Opens a log; nothing is replayed yet.
    pub(crate) fn open(storage: Arc<dyn Storage>, tenant: TenantId) -> Result<Journal, Error> {
        let log = storage.open_tenant(&tenant)?;
        let epoch = log.epoch();
        let (log, is_behind, ordinal, seq) = (Some(log), true, Ordinal(0), Seq(0));
        Ok(Journal { storage, tenant, log, is_behind, epoch, ordinal, seq })
    }

    /// Gives every transaction of the log that is not known here to `replay`, in order.
    pub(crate) fn catch_up(
        &mut self,
        mut replay: impl FnMut(Seq, &Origin, &Transaction),
    ) -> Result<(), Error> {
        while self.is_behind {
            let after = self.ordinal;
            let batch = self.with_log(|log| log.read(after, READ_BYTES))?;
            self.is_behind = !batch.records.is_empty();
            for record in &batch.records {
                self.check(record)?;
                if let LogRecord::Commit { seq, origin, transaction, .. } = record {
                    self.seq = *seq;
                    replay(*seq, origin, transaction);
                }
                self.ordinal.0 += 1;
            }
        }
        Ok(())
    }

    /// Whether a record may follow what is known; what a log can get wrong is never guessed at.
    fn check(&self, record: &LogRecord) -> Result<(), Error> {
        let damaged = |why| Err(Error::Log { last: self.seq, why });
        match record {
            LogRecord::Commit { seq, .. } if *seq != self.seq.next() => {
                damaged(format!("commit {seq} follows"))
            }
            LogRecord::Commit { transaction, .. } if transaction.ops.len() > OPS_MAX => {
                damaged(format!("the next one has {} operations", transaction.ops.len()))
            }
            LogRecord::Reject { seq, .. } if *seq != self.seq => {
                damaged(format!("a rejection after commit {seq} follows"))
            }
            _ => Ok(()),
        }
    }

    /// Appends one record: durable when this returns. The journal has caught up.
    pub(crate) fn append(&mut self, record: LogRecord) -> Result<(), Error> {
        assert!(!self.is_behind, "whoever writes catches up first");
        let seq = record.seq();
        self.with_log(|log| log.append(&[record]))?;
        (self.ordinal, self.seq) = (Ordinal(self.ordinal.0 + 1), seq);
        Ok(())
    }

    /// Calls the log, opened again if it was lost; one that becomes unavailable is lost.
    fn with_log<T>(
        &mut self,
        call: impl FnOnce(&mut dyn ChangeLog) -> Result<T, StorageError>,
    ) -> Result<T, Error> {
        let log = match &mut self.log {
            Some(log) => log,
            None => {
                let log = self.storage.open_tenant(&self.tenant)?;
                if log.epoch() != self.epoch {
                    let why = "it tells another history now".to_owned();
                    return Err(Error::Log { last: self.seq, why });
                }
                self.log.insert(log)
            }
        };
        let outcome = call(&mut **log);
        if matches!(outcome, Err(StorageError::Unavailable { .. })) {
            (self.log, self.is_behind) = (None, true);
        }
        Ok(outcome?)
    }
}

//! Opening a tenant: its change log, replayed through the same merge as live commits.
//!
//! A replay rebuilds facts, clients' numbers and recorded answers; nothing else is stored. What a
//! log can get wrong (a commit missing, a client's number twice) is an error, never a guess.

use tercet_engine::commit::LogRecord;
use tercet_engine::db::Db;
use tercet_engine::fact::Transaction;
use tercet_engine::ids::Seq;
use tercet_engine::intern::HashKey;
use tercet_engine::store::Store;

use super::Tenant;
use super::output::{RecoveryError, TenantConfig};
use super::records::{Answer, Recorded, Records};

/// The most operations that stamps can number.
const OPS_MAX: usize = 65_536;

/// Rebuilds a tenant from its change log.
pub struct Recovery {
    config: TenantConfig,
    store: Store,
    seq: Seq,
    records: Records,
}

impl Recovery {
    /// Starts from nothing.
    pub fn new(config: TenantConfig) -> Recovery {
        let store = Store::with_hash_key(HashKey::of_secret(&config.seed));
        Recovery { config, store, seq: Seq(0), records: Records::default() }
    }

    /// Takes the next record of the log.
    ///
    /// # Errors
    /// When it does not follow the records before it: the log is damaged.
    pub fn replay(&mut self, record: LogRecord) -> Result<(), RecoveryError> {
        let origin = record.origin().clone();
        let expected = self.records.last(&origin.client).next();
        if origin.number != expected {
            let (client, found) = (origin.client, origin.number);
            return Err(RecoveryError::ClientGap { client, found, expected });
        }
        let answer = match record {
            LogRecord::Commit { seq, transaction, .. } => self.commit(seq, &transaction)?,
            LogRecord::Reject { seq, rejection, .. } => {
                check_seq(seq, self.seq)?;
                Answer::Rejected(Box::new(rejection))
            }
        };
        self.records.add(&origin.client, Recorded { digest: origin.digest, answer });
        Ok(())
    }

    fn commit(&mut self, seq: Seq, transaction: &Transaction) -> Result<Answer, RecoveryError> {
        check_seq(seq, self.seq.next())?;
        let n_ops = transaction.ops.len();
        if n_ops > OPS_MAX {
            return Err(RecoveryError::TooManyOps { seq, n_ops });
        }
        self.store.apply(transaction);
        self.seq = seq;
        let effects = self.store.effects(transaction).into();
        Ok(Answer::Accepted { seq, effects })
    }

    /// The tenant, with all records taken.
    pub fn finish(self) -> Tenant {
        Tenant::open(self.config, Db::with_store(self.store), self.seq, self.records)
    }
}

fn check_seq(found: Seq, expected: Seq) -> Result<(), RecoveryError> {
    if found == expected { Ok(()) } else { Err(RecoveryError::Gap { found, expected }) }
}

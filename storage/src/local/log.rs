//! A tenant's change log in a libSQL file.
//!
//! Records are rows of one table keyed by their ordinal, so that an append goes to the end of one
//! tree; a partial index finds commits by seq. Payloads are blobs, because text columns cut at
//! NUL and lose digits. Invariants: ordinals are 1 to `meta.head` without a gap, and every row
//! passes its check; a missing or altered row is found when it is read.

use std::path::Path;

use libsql::{Row, Statement, Value};
use tercet_engine::commit::LogRecord;
use tercet_engine::ids::{Epoch, Seq, Term};

use super::Claim;
use super::connection::{Durability, OwnFile, blob_at, damaged, integer, unsigned_at};
use crate::change_log::{ChangeLog, LogBatch, Ordinal};
use crate::error::StorageError;
use crate::record::{Head, StoredRecord};

const SCHEMA: &[&str] = &[
    "CREATE TABLE log (
        ordinal INTEGER PRIMARY KEY,
        seq INTEGER,
        payload BLOB NOT NULL,
        proof BLOB NOT NULL
    ) STRICT",
    "CREATE UNIQUE INDEX log_by_seq ON log (seq) WHERE seq IS NOT NULL",
];

/// The change log of one tenant.
pub(super) struct LibsqlLog {
    insert: Statement,
    read: Statement,
    changes: Statement,
    last_seq: Seq,
    file: OwnFile,
}

impl LibsqlLog {
    pub(super) fn open(directory: &Path, claim: Claim) -> Result<LibsqlLog, StorageError> {
        let mut file = OwnFile::open(directory, claim, SCHEMA, Durability::PowerCut)?;
        let name = file.name().to_owned();
        let last = file.prepare("SELECT coalesce(max(seq), 0) FROM log WHERE seq IS NOT NULL")?;
        let mut last_seq = Seq(0);
        file.query(&last, (), |row| {
            last_seq = Seq(unsigned_at(row, 0, &name)?);
            Ok(false)
        })?;
        drop(last);
        Ok(LibsqlLog {
            insert: file.prepare(
                "INSERT INTO log (ordinal, seq, payload, proof) VALUES (?1, ?2, ?3, ?4)",
            )?,
            read: file.prepare(
                "SELECT ordinal, seq, payload, proof FROM log WHERE ordinal > ?1 ORDER BY ordinal",
            )?,
            changes: file.prepare(
                "SELECT ordinal, seq, payload, proof FROM log WHERE seq > ?1 ORDER BY seq",
            )?,
            last_seq,
            file,
        })
    }

    fn end(&self) -> Head {
        let ordinal = Ordinal(self.file.head);
        Head { epoch: self.file.epoch, ordinal, seq: self.last_seq }
    }
}

impl ChangeLog for LibsqlLog {
    fn epoch(&self) -> Epoch {
        self.file.epoch
    }

    fn term(&self) -> Term {
        self.file.term
    }

    fn last_seq(&self) -> Seq {
        self.last_seq
    }

    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        if records.is_empty() {
            return Ok(());
        }
        let (stored, end) = self.end().encode(self.file.name(), records)?;
        let n_bytes = stored.iter().map(|record| record.n_bytes() as u64).sum();
        let insert = &self.insert;
        self.file.commit(stored.len() as u64, n_bytes, |file| {
            for record in stored {
                let n_rows = file.run(insert, row_of(record))?;
                assert_eq!(n_rows, 1, "an insert writes its row or fails");
            }
            Ok(())
        })?;
        self.last_seq = end.seq;
        assert_eq!(self.end(), end, "the file counts as the records do");
        Ok(())
    }

    fn read(&mut self, after: Ordinal, bytes_max: usize) -> Result<LogBatch, StorageError> {
        let (name, epoch, head) = (self.file.name().to_owned(), self.file.epoch, self.file.head);
        let mut batch = LogBatch { records: Vec::new(), last: after };
        let mut n_bytes = 0;
        self.file.query(&self.read, [integer(after.0)], |row| {
            let stored = stored_of(row, &name)?;
            let expected = Ordinal(batch.last.0 + 1);
            if stored.ordinal != expected {
                return Err(damaged(&name, Some(expected), "it is missing"));
            }
            batch.records.push(stored.decode(&name, epoch)?);
            batch.last = expected;
            n_bytes += stored.n_bytes();
            Ok(n_bytes < bytes_max)
        })?;
        if batch.records.is_empty() && after.0 < head {
            return Err(damaged(&name, Some(Ordinal(after.0 + 1)), "it is missing"));
        }
        Ok(batch)
    }

    fn changes(
        &mut self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        let (name, epoch) = (self.file.name().to_owned(), self.file.epoch);
        let mut records: Vec<LogRecord> = Vec::new();
        let mut n_bytes = 0;
        if n_max == 0 || after >= self.last_seq {
            return Ok(records);
        }
        self.file.query(&self.changes, [integer(after.0)], |row| {
            let stored = stored_of(row, &name)?;
            if stored.seq != Some(Seq(after.0 + records.len() as u64 + 1)) {
                return Err(damaged(
                    &name,
                    Some(stored.ordinal),
                    "the commit before it is missing",
                ));
            }
            records.push(stored.decode(&name, epoch)?);
            n_bytes += stored.n_bytes();
            Ok(n_bytes < bytes_max && records.len() < n_max)
        })?;
        Ok(records)
    }
}

fn row_of(record: StoredRecord) -> [Value; 4] {
    [
        Value::Integer(integer(record.ordinal.0)),
        record.seq.map_or(Value::Null, |seq| Value::Integer(integer(seq.0))),
        Value::Blob(record.payload),
        Value::Blob(record.check.to_vec()),
    ]
}

fn stored_of(row: &Row, file: &str) -> Result<StoredRecord, StorageError> {
    let ordinal = Ordinal(unsigned_at(row, 0, file)?);
    let damaged = |why| damaged(file, Some(ordinal), why);
    let seq = match row.get_value(1) {
        Ok(Value::Null) => None,
        _ => Some(Seq(unsigned_at(row, 1, file)?)),
    };
    let payload = blob_at(row, 2, file)?;
    let check = blob_at(row, 3, file)?.try_into();
    let check = check.map_err(|_| damaged("its check has a wrong length"))?;
    Ok(StoredRecord { ordinal, seq, payload, check })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::contract_tests::{commit, tenant};
    use crate::{LibsqlStorage, Storage};

    fn with_three(directory: &Path) -> LibsqlLog {
        let storage = LibsqlStorage::open(directory).unwrap();
        let claim = storage.claim("tenants/a.db").unwrap();
        let mut log = LibsqlLog::open(directory, claim).unwrap();
        for seq in 1..=3 {
            log.append(&[commit(seq)]).unwrap();
        }
        log
    }

    #[test]
    fn damage_and_loss_are_found_with_their_ordinal() {
        for (sql, ordinal) in [
            ("UPDATE log SET payload = x'00' WHERE ordinal = 2", 2),
            ("UPDATE log SET proof = x'00' WHERE ordinal = 3", 3),
            ("UPDATE log SET seq = 9 WHERE ordinal = 3", 3),
            ("DELETE FROM log WHERE ordinal = 1", 1),
            ("DELETE FROM log WHERE ordinal = 2", 2),
            ("DELETE FROM log WHERE ordinal = 3", 3),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let mut log = with_three(directory.path());
            log.file.execute_for_test(sql);
            let mut after = Ordinal(0);
            let error = loop {
                match log.read(after, 1) {
                    Ok(batch) if batch.records.is_empty() => panic!("{sql}: not noticed"),
                    Ok(batch) => after = batch.last,
                    Err(error) => break error,
                }
            };
            let StorageError::Corrupt { ordinal: found, file, .. } = error else {
                panic!("{sql}: {error}");
            };
            assert_eq!((found, &*file), (Some(Ordinal(ordinal)), "tenants/a.db"), "{sql}");
        }
    }

    #[test]
    fn a_batch_that_fails_in_its_middle_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = with_three(directory.path());
        // The second insert of the batch meets a row that should not be there.
        log.file.execute_for_test("INSERT INTO log VALUES (5, NULL, x'00', x'00')");
        let error = log.append(&[commit(4), commit(5)]).unwrap_err();
        assert_eq!(error.code(), "storage_unavailable");
        // Not only rolled back: this log does not go on by itself.
        assert_eq!(log.append(&[commit(4)]).unwrap_err().code(), "storage_unavailable");
        drop(log);
        let storage = LibsqlStorage::open(directory.path()).unwrap();
        let log = storage.open_tenant(&tenant("a")).unwrap();
        assert_eq!((log.last_seq(), log.term()), (Seq(3), Term(2)));
    }

    /// What a crash can leave of the WAL: a part of it, or one with a damaged frame. The log then
    /// holds whole batches from its start, never a part of one and never one without its
    /// predecessors.
    #[test]
    fn a_torn_tail_is_a_prefix_of_whole_batches() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = with_three(directory.path());
        for seq in [4, 6, 8] {
            log.append(&[commit(seq), commit(seq + 1)]).unwrap();
        }
        let [file, wal] = ["a.db", "a.db-wal"]
            .map(|name| std::fs::read(directory.path().join("tenants").join(name)).unwrap());
        let reopened = |wal: &[u8]| {
            let crashed = tempfile::tempdir().unwrap();
            let storage = LibsqlStorage::open(crashed.path()).unwrap();
            std::fs::write(crashed.path().join("tenants/a.db"), &file).unwrap();
            std::fs::write(crashed.path().join("tenants/a.db-wal"), wal).unwrap();
            let mut log = storage.open_tenant(&tenant("a")).unwrap();
            let n_records = log.read(Ordinal(0), usize::MAX).unwrap().records.len();
            assert_eq!(log.last_seq(), Seq(n_records as u64));
            log.append(&[commit(log.last_seq().0 + 1)]).unwrap();
            n_records
        };
        let whole = [0, 1, 2, 3, 5, 7, 9];
        let mut found: Vec<usize> = Vec::new();
        for cut in (0..wal.len()).step_by(1_500).chain([wal.len()]) {
            found.push(reopened(&wal[..cut]));
        }
        assert!(found.is_sorted(), "{found:?}");
        found.dedup();
        assert_eq!(found, whole);
        for position in (0..wal.len()).step_by(4_099) {
            let mut damaged = wal.clone();
            damaged[position] ^= 0x10;
            assert!(whole.contains(&reopened(&damaged)));
        }
    }

    #[test]
    fn a_newer_term_in_the_file_refuses_the_commit() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = with_three(directory.path());
        log.file.execute_for_test("UPDATE meta SET term = term + 1");
        let error = log.append(&[commit(4)]).unwrap_err();
        let file = "tenants/a.db".to_owned();
        assert_eq!(error, StorageError::Fenced { file, term: Term(1) });
        assert_eq!(log.read(Ordinal(0), usize::MAX).unwrap().records.len(), 3);
    }

    #[test]
    fn the_wal_is_checkpointed_and_keeps_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = with_three(directory.path());
        let wal = directory.path().join("tenants/a.db-wal");
        let size = |wal: &Path| wal.metadata().unwrap().len();
        let mut largest = 0;
        for seq in 4..1_500 {
            log.append(&[commit(seq)]).unwrap();
            assert!(size(&wal) >= largest, "truncated at {seq}");
            largest = size(&wal);
        }
        assert!(largest < 3 * (4 << 20), "{largest} bytes: not reused");
    }

    #[test]
    fn only_the_owner_may_read_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let _log = with_three(directory.path());
        for file in ["lock", "tenants/a.db", "tenants/a.db-wal"] {
            let mode = directory.path().join(file).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_foreign_format_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let log = with_three(directory.path());
        log.file.execute_for_test("UPDATE meta SET format = 77");
        drop(log);
        for _ in 0..2 {
            let storage = LibsqlStorage::open(directory.path()).unwrap();
            let error = storage.open_tenant(&tenant("a")).err().unwrap();
            let file = "tenants/a.db".to_owned();
            assert_eq!(error, StorageError::Format { file, found: 77, known: 1 });
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_called_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let storage = LibsqlStorage::open(directory.path()).unwrap();
        let path = directory.path().join("tenants/a.db");
        std::fs::write(
            &path,
            "not a database, and long enough to have a header of one. ".repeat(99),
        )
        .unwrap();
        let error = storage.open_tenant(&tenant("a")).err().unwrap();
        assert_eq!(error.code(), "storage_corrupt");
        // The claim was given back: a mended file can be opened without a restart.
        std::fs::remove_file(&path).unwrap();
        assert!(storage.open_tenant(&tenant("a")).is_ok());
    }
}

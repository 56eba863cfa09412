//! What a client keeps, in a libSQL file: outbox and cache behind one connection.
//!
//! Formula: one call of `write` is one SQLite transaction, so a thousand writes handed over
//! together cost one commit. Invariants: `proofs` are those of the rows of `pending`, and the row
//! of `client` states how many they are and their sum, so that a row that is altered, copied from
//! elsewhere or missing is found when the file is opened, before anything is sent. The cache has no
//! proofs of its own here: its entries carry fingerprints, which whoever decodes them compares.
//!
//! What survives: with [`Durability::Process`] a commit is in the system's hands when it returns
//! (the WAL is written and not flushed): it survives the end of the process, however violent. A
//! power cut or a crash of the system may take the last seconds, whole commits from the end; a
//! server that knows more than such a client makes it take a new client id. With
//! [`Durability::PowerCut`] every commit is flushed to the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libsql::{Statement, Value};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tercet_engine::codec;
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, Epoch};

use super::connection::{Durability, OwnFile, blob_at, damaged, integer, unsigned_at};
use super::{Claim, lock_directory, make_directory};
use crate::change_log::Ordinal;
use crate::client_store::{
    CacheChange, ClientChange, ClientStore, EntryId, Pending, StoredCache, StoredClient,
    StoredEntry, StoredOutbox,
};
use crate::error::StorageError;
use crate::record::{CHECK_BYTES, check};

const FILE: &str = "client.db";

const SCHEMA: &[&str] = &[
    "CREATE TABLE client (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        payload BLOB NOT NULL,
        proof BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE pending (
        number INTEGER PRIMARY KEY,
        payload BLOB NOT NULL,
        proof BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE cache (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        header BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        header BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE item (
        entry INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (entry, key)
    ) STRICT, WITHOUT ROWID",
];

type Proof = [u8; CHECK_BYTES];

/// The outbox without what is pending, and how to tell that all of that is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Head {
    client: Option<ClientId>,
    epoch: Option<Epoch>,
    last_number: ClientSeq,
    clock: Hlc,
    n_pending: u64,
    /// The sum of the proofs of all that is pending.
    proofs: u128,
}

/// A client's store in a directory of its own, owned by this value:
///
/// ```text
/// DIR/lock        held (flock) while a client owns the directory
/// DIR/client.db   its outbox and its cache
/// ```
pub struct LibsqlClientStore {
    directory: PathBuf,
    durability: Durability,
    /// None after a failure: it is opened again for the next call.
    open: Option<Open>,
    open_files: Arc<Mutex<BTreeSet<String>>>,
    _lock: File,
}

impl LibsqlClientStore {
    /// Takes ownership of a directory, made if it does not exist.
    ///
    /// # Errors
    /// `Busy` when another client owns it; `Corrupt` when what is pending is not what was stored;
    /// `Unavailable` when it cannot be reached.
    pub fn open(
        directory: &Path,
        durability: Durability,
    ) -> Result<LibsqlClientStore, StorageError> {
        let name = directory.display().to_string();
        make_directory(directory).map_err(|error| StorageError::Unavailable {
            file: name.clone(),
            why: error.to_string(),
        })?;
        let lock = lock_directory(directory, "by another client")?;
        let mut store = LibsqlClientStore {
            directory: directory.to_owned(),
            durability,
            open: None,
            open_files: Arc::default(),
            _lock: lock,
        };
        store.opened()?;
        Ok(store)
    }

    fn opened(&mut self) -> Result<&mut Open, StorageError> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let claim = Claim::take(&self.open_files, FILE)?;
                let file = OwnFile::open(&self.directory, claim, SCHEMA, self.durability)?;
                Open::new(file)?
            }
        };
        Ok(self.open.insert(open))
    }

    fn with_open<Output>(
        &mut self,
        run: impl FnOnce(&mut Open) -> Result<Output, StorageError>,
    ) -> Result<Output, StorageError> {
        let outcome = run(self.opened()?);
        if outcome.is_err() {
            // What it knows of the file may not be what is in it.
            self.open = None;
        }
        outcome
    }
}

impl ClientStore for LibsqlClientStore {
    fn load(&mut self) -> Result<StoredClient, StorageError> {
        self.with_open(|open| {
            let (head, pending) = (open.head.clone(), open.read_pending()?);
            let outbox = StoredOutbox {
                client: head.client,
                epoch: head.epoch,
                last_number: head.last_number,
                clock: head.clock,
                pending: pending.into_iter().map(|(pending, _)| pending).collect(),
            };
            Ok(StoredClient { outbox, cache: open.read_cache()? })
        })
    }

    fn write(&mut self, changes: &[ClientChange]) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.with_open(|open| open.write(changes))
    }
}

/// The file, and what is known of it.
struct Open {
    statements: Statements,
    head: Head,
    proofs: Proofs,
    file: OwnFile,
}

/// The proofs of all that is pending, with their sum: a write must not cost what is pending
/// already.
#[derive(Default)]
struct Proofs {
    of: BTreeMap<ClientSeq, Proof>,
    sum: u128,
}

impl Proofs {
    fn insert(&mut self, number: ClientSeq, proof: Proof) {
        self.remove(number);
        self.of.insert(number, proof);
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(proof));
    }

    fn remove(&mut self, number: ClientSeq) {
        if let Some(proof) = self.of.remove(&number) {
            self.sum = self.sum.wrapping_sub(u128::from_le_bytes(proof));
        }
    }
}

struct Statements {
    set_head: Statement,
    pending: Statement,
    put: Statement,
    remove: Statement,
    remove_all: Statement,
    set_header: Statement,
    set_entry: Statement,
    remove_entry: Statement,
    set_item: Statement,
    remove_item: Statement,
    clear: Statement,
}

impl Statements {
    fn prepare(file: &OwnFile) -> Result<Statements, StorageError> {
        Ok(Statements {
            set_head: file
                .prepare("INSERT OR REPLACE INTO client (id, payload, proof) VALUES (0, ?1, ?2)")?,
            pending: file.prepare("SELECT number, payload, proof FROM pending ORDER BY number")?,
            put: file.prepare(
                "INSERT OR REPLACE INTO pending (number, payload, proof) VALUES (?1, ?2, ?3)",
            )?,
            remove: file.prepare("DELETE FROM pending WHERE number = ?1")?,
            remove_all: file.prepare("DELETE FROM pending")?,
            set_header: file.prepare("INSERT OR REPLACE INTO cache (id, header) VALUES (0, ?1)")?,
            set_entry: file.prepare("INSERT OR REPLACE INTO entry (id, header) VALUES (?1, ?2)")?,
            remove_entry: file.prepare("DELETE FROM entry WHERE id = ?1")?,
            // Of entries that are not there, nothing is kept.
            set_item: file.prepare(
                "INSERT OR REPLACE INTO item (entry, key, value)
                 SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM entry WHERE id = ?1)",
            )?,
            remove_item: file.prepare("DELETE FROM item WHERE entry = ?1 AND key = ?2")?,
            clear: file.prepare("DELETE FROM item WHERE entry = ?1")?,
        })
    }
}

impl Open {
    fn new(mut file: OwnFile) -> Result<Open, StorageError> {
        let head = read_head(&mut file)?;
        let statements = Statements::prepare(&file)?;
        let mut open = Open { statements, head, proofs: Proofs::default(), file };
        for (pending, proof) in open.read_pending()? {
            open.proofs.insert(pending.number, proof);
        }
        open.check_complete()?;
        Ok(open)
    }

    fn check_complete(&self) -> Result<(), StorageError> {
        let n_pending = self.proofs.of.len() as u64;
        if (n_pending, self.proofs.sum) == (self.head.n_pending, self.head.proofs) {
            return Ok(());
        }
        let expected = self.head.n_pending;
        let why = format!("{n_pending} unanswered writes are in it, and not the {expected} stored");
        Err(damaged(self.file.name(), None, &why))
    }

    fn read_pending(&mut self) -> Result<Vec<(Pending, Proof)>, StorageError> {
        let (name, epoch) = (self.file.name().to_owned(), self.file.epoch);
        let mut found = Vec::new();
        self.file.query(&self.statements.pending, (), |row| {
            let number = ClientSeq(unsigned_at(row, 0, &name)?);
            let at = Some(Ordinal(number.0));
            let payload = blob_at(row, 1, &name)?;
            let proof = proof_of(epoch, number, &payload);
            if blob_at(row, 2, &name)? != proof {
                return Err(damaged(&name, at, "its check does not match"));
            }
            let transaction: Transaction =
                codec::decode(&payload).map_err(|error| damaged(&name, at, &error.to_string()))?;
            found.push((Pending { number, transaction }, proof));
            Ok(true)
        })?;
        Ok(found)
    }

    fn read_cache(&mut self) -> Result<StoredCache, StorageError> {
        let name = self.file.name().to_owned();
        let mut cache = StoredCache::default();
        let header = self.file.prepare("SELECT header FROM cache")?;
        self.file.query(&header, (), |row| {
            cache.header = blob_at(row, 0, &name)?;
            Ok(false)
        })?;
        let entries = self.file.prepare("SELECT id, header FROM entry")?;
        self.file.query(&entries, (), |row| {
            let entry = StoredEntry { header: blob_at(row, 1, &name)?, items: Vec::new() };
            cache.entries.insert(EntryId(unsigned_at(row, 0, &name)?), entry);
            Ok(true)
        })?;
        let items = self.file.prepare("SELECT entry, key, value FROM item ORDER BY entry, key")?;
        self.file.query(&items, (), |row| {
            if let Some(entry) = cache.entries.get_mut(&EntryId(unsigned_at(row, 0, &name)?)) {
                entry.items.push((blob_at(row, 1, &name)?, blob_at(row, 2, &name)?));
            }
            Ok(true)
        })?;
        Ok(cache)
    }

    fn write(&mut self, changes: &[ClientChange]) -> Result<(), StorageError> {
        let (mut head, mut proofs) = (self.head.clone(), std::mem::take(&mut self.proofs));
        let steps = plan(self.file.epoch, self.file.name(), changes, &mut head, &mut proofs)?;
        head.n_pending = proofs.of.len() as u64;
        head.proofs = proofs.sum;
        // The first commit of all writes one, so that a missing one is damage.
        let is_head_new = head != self.head || self.file.head == 0;
        let head_step = is_head_new.then(|| head_row(self.file.epoch, &head));
        let n_bytes = steps.iter().map(Step::n_bytes).sum();
        let statements = &self.statements;
        self.file.commit(1, n_bytes, |file| {
            for step in steps {
                step.run(file, statements)?;
            }
            if let Some(row) = head_step {
                file.run(&statements.set_head, row)?;
            }
            Ok(())
        })?;
        (self.head, self.proofs) = (head, proofs);
        Ok(())
    }
}

/// What is done to the tables.
enum Step {
    Put([Value; 3]),
    Remove(ClientSeq),
    RemoveAll,
    Header(Vec<u8>),
    Entry(EntryId, Vec<u8>),
    Item(EntryId, Vec<u8>, Option<Vec<u8>>),
    Clear(EntryId),
    Drop(EntryId),
}

/// From changes to steps, with what they make of the head and the proofs.
fn plan(
    epoch: Epoch,
    file: &str,
    changes: &[ClientChange],
    head: &mut Head,
    proofs: &mut Proofs,
) -> Result<Vec<Step>, StorageError> {
    let mut steps = Vec::with_capacity(changes.len());
    let put = |pending: &Pending, proofs: &mut Proofs| {
        let payload = codec::encode(&pending.transaction);
        if payload.len() > codec::DECODE_BYTES_MAX {
            let file = file.to_owned();
            return Err(StorageError::TooLarge { file, n_bytes: payload.len() });
        }
        let proof = proof_of(epoch, pending.number, &payload);
        proofs.insert(pending.number, proof);
        let number = Value::Integer(integer(pending.number.0));
        Ok(Step::Put([number, Value::Blob(payload), Value::Blob(proof.to_vec())]))
    };
    for change in changes {
        match change {
            ClientChange::Put(pending) => {
                head.last_number = head.last_number.max(pending.number);
                head.clock = head.clock.max(pending.transaction.hlc);
                steps.push(put(pending, proofs)?);
            }
            ClientChange::Answered(number) => {
                proofs.remove(*number);
                steps.push(Step::Remove(*number));
            }
            ClientChange::Epoch(epoch) => head.epoch = Some(*epoch),
            ClientChange::Rewrite(outbox) => {
                let StoredOutbox { client, epoch, last_number, clock, pending } = outbox;
                let (client, epoch, last_number, clock) =
                    (client.clone(), *epoch, *last_number, *clock);
                *head = Head { client, epoch, last_number, clock, ..Head::default() };
                *proofs = Proofs::default();
                steps.push(Step::RemoveAll);
                for pending in pending {
                    steps.push(put(pending, proofs)?);
                }
            }
            ClientChange::Cache(change) => steps.push(cache_step(change.clone())),
        }
    }
    Ok(steps)
}

fn cache_step(change: CacheChange) -> Step {
    match change {
        CacheChange::Header(header) => Step::Header(header),
        CacheChange::Entry(id, header) => Step::Entry(id, header),
        CacheChange::Item(id, key, value) => Step::Item(id, key, value),
        CacheChange::Clear(id) => Step::Clear(id),
        CacheChange::Drop(id) => Step::Drop(id),
    }
}

impl Step {
    fn n_bytes(&self) -> u64 {
        let n_bytes = match self {
            Step::Put([_, Value::Blob(payload), _]) => payload.len(),
            Step::Header(header) | Step::Entry(_, header) => header.len(),
            Step::Item(_, key, value) => key.len() + value.as_ref().map_or(0, Vec::len),
            Step::Put(_) | Step::Remove(_) | Step::RemoveAll | Step::Clear(_) | Step::Drop(_) => 0,
        };
        n_bytes as u64
    }

    fn run(self, file: &OwnFile, statements: &Statements) -> Result<(), StorageError> {
        let entry = |id: EntryId| Value::Integer(integer(id.0));
        match self {
            Step::Put(row) => file.run(&statements.put, row)?,
            Step::Remove(number) => file.run(&statements.remove, [integer(number.0)])?,
            Step::RemoveAll => file.run(&statements.remove_all, ())?,
            Step::Header(header) => file.run(&statements.set_header, [Value::Blob(header)])?,
            Step::Entry(id, header) => {
                file.run(&statements.set_entry, [entry(id), Value::Blob(header)])?
            }
            Step::Item(id, key, Some(value)) => {
                let row = [entry(id), Value::Blob(key), Value::Blob(value)];
                file.run(&statements.set_item, row)?
            }
            Step::Item(id, key, None) => {
                file.run(&statements.remove_item, [entry(id), Value::Blob(key)])?
            }
            Step::Clear(id) => file.run(&statements.clear, [entry(id)])?,
            Step::Drop(id) => {
                file.run(&statements.clear, [entry(id)])?;
                file.run(&statements.remove_entry, [entry(id)])?
            }
        };
        Ok(())
    }
}

/// A transaction's check: of a row that is altered or moved to another number it does not match.
fn proof_of(epoch: Epoch, number: ClientSeq, payload: &[u8]) -> Proof {
    check(epoch, Ordinal(number.0), payload)
}

/// Numbers of transactions begin at 1, so 0 stands for the head.
fn head_row(epoch: Epoch, head: &Head) -> [Value; 2] {
    let payload = codec::encode(head);
    let proof = check(epoch, Ordinal(0), &payload).to_vec();
    [Value::Blob(payload), Value::Blob(proof)]
}

fn read_head(file: &mut OwnFile) -> Result<Head, StorageError> {
    let (name, epoch, n_commits) = (file.name().to_owned(), file.epoch, file.head);
    let mut head = None;
    let select = file.prepare("SELECT payload, proof FROM client")?;
    file.query(&select, (), |row| {
        let payload = blob_at(row, 0, &name)?;
        if blob_at(row, 1, &name)? != check(epoch, Ordinal(0), &payload) {
            return Err(damaged(&name, None, "the check of its state does not match"));
        }
        let decoded = codec::decode::<Head>(&payload);
        head = Some(decoded.map_err(|error| damaged(&name, None, &error.to_string()))?);
        Ok(false)
    })?;
    match head {
        Some(head) => Ok(head),
        None if n_commits == 0 => Ok(Head::default()),
        None => Err(damaged(&name, None, "its state is missing")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::ids::ReplicaId;

    use super::*;

    fn pending(number: u64) -> ClientChange {
        let transaction = Transaction { hlc: Hlc::new(number, 0, ReplicaId(1)), ops: Vec::new() };
        ClientChange::Put(Pending { number: ClientSeq(number), transaction })
    }

    fn open(directory: &Path) -> Result<LibsqlClientStore, StorageError> {
        LibsqlClientStore::open(directory, Durability::Process)
    }

    fn three(directory: &Path) -> LibsqlClientStore {
        let mut store = open(directory).unwrap();
        let rewrite = ClientChange::Rewrite(StoredOutbox::default());
        store.write(&[rewrite, pending(1), pending(2), pending(3)]).unwrap();
        store
    }

    /// Whatever is done to a stored write is found before anything is sent.
    #[test]
    fn damage_of_what_is_pending_is_found_when_the_file_is_opened() {
        for damage in [
            "UPDATE pending SET payload = x'00' WHERE number = 2",
            "DELETE FROM pending WHERE number = 3",
            "UPDATE pending SET number = 7 WHERE number = 3",
            "UPDATE pending SET proof = (SELECT proof FROM pending WHERE number = 1)",
            "INSERT INTO pending SELECT 4, payload, proof FROM pending WHERE number = 3",
            "DELETE FROM client",
            "UPDATE client SET payload = zeroblob(8)",
        ] {
            let directory = tempfile::tempdir().unwrap();
            let mut store = three(directory.path());
            store.open.as_mut().unwrap().file.execute_for_test(damage);
            drop(store);
            let error = open(directory.path()).err();
            let error = error.unwrap_or_else(|| panic!("not found: {damage}"));
            assert_eq!(error.code(), "storage_corrupt", "{damage}: {error}");
        }
    }

    /// A file that was torn in the middle, as a bad disk leaves it.
    #[test]
    fn a_torn_file_is_an_error_and_no_panic() {
        let directory = tempfile::tempdir().unwrap();
        drop(three(directory.path()));
        let path = directory.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        for n_bytes in [100, 4_096, bytes.len() / 2] {
            let mut torn = bytes[..n_bytes].to_vec();
            torn.resize(bytes.len(), 0x5a);
            std::fs::write(&path, torn).unwrap();
            let error = open(directory.path()).err().expect("the file is torn");
            assert!(["storage_corrupt", "storage_unavailable"].contains(&error.code()), "{error}");
        }
    }

    #[test]
    fn a_failed_write_counts_for_nothing_and_the_same_may_be_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = three(directory.path());
        let file = |store: &mut LibsqlClientStore, sql: &str| {
            store.opened().unwrap().file.execute_for_test(sql);
        };
        let guard = "CREATE TRIGGER guard BEFORE INSERT ON pending WHEN NEW.number = 5
                     BEGIN SELECT RAISE(ABORT, 'no'); END";
        file(&mut store, guard);
        let changes = [pending(4), ClientChange::Answered(ClientSeq(1)), pending(5)];
        let numbers = |store: &mut LibsqlClientStore| -> Vec<u64> {
            let pending = store.load().unwrap().outbox.pending;
            pending.into_iter().map(|pending| pending.number.0).collect()
        };
        for _ in 0..2 {
            assert!(store.write(&changes).is_err());
            assert_eq!(numbers(&mut store), [1, 2, 3]);
        }
        file(&mut store, "DROP TRIGGER guard");
        store.write(&changes).unwrap();
        assert_eq!(numbers(&mut store), [2, 3, 4, 5]);
        drop(store);
        assert_eq!(numbers(&mut open(directory.path()).unwrap()), [2, 3, 4, 5]);
    }

    #[test]
    fn a_directory_has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let first = three(directory.path());
        assert_eq!(open(directory.path()).err().unwrap().code(), "storage_busy");
        drop(first);
        assert!(open(directory.path()).is_ok());
    }
}

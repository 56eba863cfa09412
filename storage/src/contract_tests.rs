//! One suite for every implementation of the traits: what they promise, whoever keeps it.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use tercet_engine::commit::{LogRecord, Origin, Rejection};
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, ClientId, ClientSeq, EntityId, Epoch, ReplicaId, Seq};
use tercet_engine::value::Value;

use crate::{
    Access, ApiKey, App, AppId, CacheChange, ClientChange, ClientStore, Durability, EntryId,
    KeyHash, LibsqlClientStore, LibsqlStorage, MemoryClientStore, MemoryStorage, Ordinal, Pending,
    Role, Storage, StorageError, StoredClient, StoredEntry, StoredOutbox, TenantId,
};

pub(crate) fn tenant(app: &str) -> TenantId {
    TenantId::of_app(AppId::new(app).unwrap())
}

fn origin(number: u64) -> Origin {
    let client = ClientId::new("client").unwrap();
    Origin { client, number: ClientSeq(number), digest: [7; 16] }
}

/// Values that careless storage changes: NUL, last digits, large integers, types that print alike.
fn delicate_values() -> Vec<Value> {
    vec![
        Value::from("a\0b"),
        Value::from(""),
        Value::from("1"),
        Value::int(1),
        Value::int(i64::MAX),
        Value::int(i64::MIN),
        Value::double(0.1 + 0.2).unwrap(),
        Value::double(1_234_567_890.123_456_7).unwrap(),
        Value::double(f64::MIN_POSITIVE / 4.0).unwrap(),
        Value::Boolean(true),
        Value::reference("1").unwrap(),
    ]
}

pub(crate) fn commit(seq: u64) -> LogRecord {
    let hlc = Hlc::new(1_000 + seq, 3, ReplicaId(u64::MAX));
    let e = EntityId::new(format!("e{seq}")).unwrap();
    let a = Attribute::new("test/value").unwrap();
    let ops = delicate_values().into_iter().map(|v| Op::Add { e: e.clone(), a: a.clone(), v });
    let transaction = Transaction { hlc, ops: ops.collect() };
    LogRecord::Commit { seq: Seq(seq), at_ms: 5_000 + seq, origin: origin(seq), transaction }
}

fn reject(seq: u64) -> LogRecord {
    let message = "no\0 good".to_owned();
    let rejection = Rejection { code: "clock_drift".to_owned(), message, op: Some(1) };
    LogRecord::Reject { seq: Seq(seq), origin: origin(99), rejection }
}

/// Commit, rejection, two commits, rejection.
fn five() -> Vec<LogRecord> {
    vec![commit(1), reject(1), commit(2), commit(3), reject(3)]
}

/// Runs a check against every implementation.
fn each(check: impl Fn(&dyn Storage)) {
    check(&MemoryStorage::new());
    let directory = tempfile::tempdir().unwrap();
    check(&LibsqlStorage::open(directory.path()).unwrap());
}

#[test]
fn what_was_appended_is_read_back_bit_by_bit() {
    each(|storage| {
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        assert_eq!(log.last_seq(), Seq(0));
        assert!(log.read(Ordinal(0), 1).unwrap().records.is_empty());
        log.append(&[]).unwrap();
        log.append(&five()[..2]).unwrap();
        log.append(&five()[2..]).unwrap();
        assert_eq!(log.last_seq(), Seq(3));
        let batch = log.read(Ordinal(0), usize::MAX).unwrap();
        assert_eq!((batch.records, batch.last), (five(), Ordinal(5)));
    });
}

#[test]
fn reading_goes_on_where_a_small_batch_ended() {
    each(|storage| {
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        log.append(&five()).unwrap();
        let (mut found, mut after, mut n_batches) = (Vec::new(), Ordinal(0), 0);
        loop {
            let batch = log.read(after, 1).unwrap();
            if batch.records.is_empty() {
                assert_eq!(batch.last, after);
                break;
            }
            (after, n_batches) = (batch.last, n_batches + 1);
            found.extend(batch.records);
        }
        assert_eq!((found, n_batches), (five(), 5));
    });
}

#[test]
fn changes_are_the_commits_after_a_seq() {
    each(|storage| {
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        log.append(&five()).unwrap();
        let mut seqs = |after, n_max, bytes_max| -> Vec<u64> {
            let records = log.changes(Seq(after), n_max, bytes_max).unwrap();
            records.iter().map(|record| record.seq().0).collect()
        };
        assert_eq!(seqs(0, 9, usize::MAX), [1, 2, 3]);
        assert_eq!(seqs(1, 9, usize::MAX), [2, 3]);
        assert_eq!(seqs(0, 2, usize::MAX), [1, 2]);
        assert_eq!(seqs(0, 9, 1), [1]);
        assert_eq!(seqs(0, 0, 1), [0; 0]);
        assert_eq!(seqs(3, 9, usize::MAX), [0; 0]);
        assert_eq!(seqs(u64::MAX, 9, usize::MAX), [0; 0]);
    });
}

#[test]
fn reopening_keeps_the_records_and_the_epoch_and_takes_a_new_term() {
    each(|storage| {
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        log.append(&five()).unwrap();
        let (epoch, term) = (log.epoch(), log.term());
        drop(log);
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        assert_eq!((log.epoch(), log.term(), log.last_seq()), (epoch, term.next(), Seq(3)));
        assert_eq!(log.read(Ordinal(0), usize::MAX).unwrap().records, five());
        log.append(&[commit(4)]).unwrap();
        assert_eq!(log.read(Ordinal(5), usize::MAX).unwrap().records, [commit(4)]);
    });
}

#[test]
fn tenants_are_separate_and_each_is_open_once() {
    each(|storage| {
        let mut a = storage.open_tenant(&tenant("a")).unwrap();
        let mut b = storage.open_tenant(&tenant("b")).unwrap();
        a.append(&five()).unwrap();
        assert!(b.read(Ordinal(0), usize::MAX).unwrap().records.is_empty());
        assert_ne!(a.epoch(), b.epoch());
        let again = storage.open_tenant(&tenant("a")).err().unwrap();
        assert_eq!(again.code(), "storage_busy");
    });
}

#[test]
fn records_that_do_not_continue_the_log_are_refused_whole() {
    each(|storage| {
        let mut log = storage.open_tenant(&tenant("a")).unwrap();
        log.append(&five()).unwrap();
        for wrong in [vec![commit(5)], vec![commit(3)], vec![reject(4)], vec![commit(4), commit(6)]]
        {
            assert_eq!(log.append(&wrong).unwrap_err().code(), "log_out_of_order");
        }
        assert_eq!(log.read(Ordinal(5), usize::MAX).unwrap().records, []);
        log.append(&[commit(4), commit(5)]).unwrap();
        assert_eq!(log.last_seq(), Seq(5));
    });
}

#[test]
fn memory_notices_damage_and_fences_too() {
    let storage = MemoryStorage::new();
    let mut log = storage.open_tenant(&tenant("a")).unwrap();
    log.append(&five()).unwrap();
    storage.take_over(&tenant("a"));
    assert_eq!(log.append(&[commit(4)]).unwrap_err().code(), "fenced");
    storage.damage(&tenant("a"), Ordinal(3));
    let error = log.read(Ordinal(0), usize::MAX).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { ordinal: Some(Ordinal(3)), .. }), "{error}");
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let first = LibsqlStorage::open(directory.path()).unwrap();
    assert_eq!(LibsqlStorage::open(directory.path()).unwrap_err().code(), "storage_busy");
    drop(first);
    assert!(LibsqlStorage::open(directory.path()).is_ok());
}

fn app(id: &str, created_ms: u64) -> App {
    App { id: AppId::new(id).unwrap(), name: format!("{id} \0 app"), created_ms }
}

fn key(app: &str, text: &str) -> ApiKey {
    ApiKey {
        id: format!("id-of-{text}"),
        app: AppId::new(app).unwrap(),
        hash: KeyHash::of(text),
        role: Role::Client,
        access: Access::Read,
        label: "phone".to_owned(),
        created_ms: 9,
    }
}

#[test]
fn the_registry_finds_what_was_put_there() {
    each(|storage| {
        let mut registry = storage.open_registry().unwrap();
        for app in [app("b", 2), app("a", 2), app("c", 1)] {
            registry.create_app(&app).unwrap();
        }
        assert_eq!(registry.create_app(&app("a", 3)).unwrap_err().code(), "app_exists");
        assert_eq!(registry.insert_key(&key("x", "k1")).unwrap_err().code(), "app_unknown");
        let server = ApiKey { role: Role::Server, access: Access::Write, ..key("b", "k2") };
        registry.insert_key(&key("a", "k1")).unwrap();
        registry.insert_key(&server).unwrap();
        assert_eq!(storage.open_registry().err().unwrap().code(), "storage_busy");
        drop(registry);
        let mut registry = storage.open_registry().unwrap();
        assert_eq!(registry.apps().unwrap(), [app("c", 1), app("a", 2), app("b", 2)]);
        assert_eq!(registry.find_app(&AppId::new("a").unwrap()).unwrap(), Some(app("a", 2)));
        assert_eq!(registry.find_app(&AppId::new("x").unwrap()).unwrap(), None);
        assert_eq!(registry.find_key(&KeyHash::of("k1")).unwrap(), Some(key("a", "k1")));
        assert_eq!(registry.find_key(&KeyHash::of("k2")).unwrap(), Some(server));
        assert_eq!(registry.find_key(&KeyHash::of("k3")).unwrap(), None);
    });
}

/// Runs a check against every implementation of a client's store. The check gets a store, and a
/// way to let its process end and another one begin.
fn each_client(check: impl Fn(&mut dyn FnMut() -> Box<dyn ClientStore>)) {
    let memory = MemoryClientStore::new();
    check(&mut || Box::new(memory.clone()));
    for durability in [Durability::Process, Durability::PowerCut] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        check(&mut || Box::new(LibsqlClientStore::open(path, durability).unwrap()));
    }
}

fn pending(number: u64, ms: u64) -> Pending {
    let LogRecord::Commit { transaction, .. } = commit(number) else { unreachable!("it is one") };
    let hlc = Hlc::new(ms, 0, ReplicaId(1));
    Pending { number: ClientSeq(number), transaction: Transaction { hlc, ..transaction } }
}

fn put(number: u64, ms: u64) -> ClientChange {
    ClientChange::Put(pending(number, ms))
}

#[test]
fn an_outbox_keeps_order_numbers_and_clock_and_is_rewritten_whole() {
    each_client(|open| {
        let mut store = open();
        assert_eq!(store.load().unwrap(), StoredClient::default());
        let one = StoredOutbox {
            client: Some(ClientId::new("one").unwrap()),
            epoch: None,
            last_number: ClientSeq(0),
            clock: Hlc::new(5, 0, ReplicaId(1)),
            pending: Vec::new(),
        };
        store.write(&[ClientChange::Rewrite(one.clone())]).unwrap();
        store.write(&[put(2, 2), put(1, 1), put(3, 3)]).unwrap();
        let answered = |number| ClientChange::Answered(ClientSeq(number));
        let epoch = ClientChange::Epoch(Epoch(u64::MAX));
        store.write(&[put(2, 20), answered(1), answered(3), epoch, answered(77)]).unwrap();
        store.write(&[]).unwrap();
        drop(store);
        let mut store = open();
        let expected = StoredOutbox {
            epoch: Some(Epoch(u64::MAX)),
            last_number: ClientSeq(3),
            clock: pending(2, 20).transaction.hlc,
            pending: vec![pending(2, 20)],
            ..one
        };
        assert_eq!(store.load().unwrap().outbox, expected);
        let two = StoredOutbox {
            client: Some(ClientId::new("two").unwrap()),
            pending: vec![pending(1, 20)],
            last_number: ClientSeq(1),
            ..expected
        };
        store.write(&[put(9, 9), ClientChange::Rewrite(two.clone())]).unwrap();
        drop(store);
        assert_eq!(open().load().unwrap().outbox, two);
    });
}

#[test]
fn a_cache_keeps_entries_and_what_they_hold() {
    each_client(|open| {
        let cache = |change| ClientChange::Cache(change);
        let (a, b) = (EntryId(1), EntryId(2));
        let item = |id, key: &[u8], value: &[u8]| {
            cache(CacheChange::Item(id, key.to_vec(), Some(value.to_vec())))
        };
        let mut store = open();
        store
            .write(&[
                cache(CacheChange::Header(vec![1])),
                cache(CacheChange::Entry(b, vec![2])),
                cache(CacheChange::Entry(a, vec![3])),
                item(a, b"y", b"1"),
                item(a, b"x\0", b""),
                item(b, b"x", b"2"),
                item(EntryId(3), b"nowhere", b"2"),
            ])
            .unwrap();
        store
            .write(&[
                cache(CacheChange::Header(vec![9])),
                item(a, b"y", b"3"),
                cache(CacheChange::Entry(a, vec![4])),
                cache(CacheChange::Item(b, b"x".to_vec(), None)),
                item(b, b"z", b"5"),
            ])
            .unwrap();
        drop(store);
        let mut store = open();
        let entry = |header: u8, items: &[(&[u8], &[u8])]| {
            let items = items.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            StoredEntry { header: vec![header], items }
        };
        let found = store.load().unwrap().cache;
        assert_eq!(found.header, [9]);
        let expected =
            [(a, entry(4, &[(b"x\0", b""), (b"y", b"3")])), (b, entry(2, &[(b"z", b"5")]))];
        assert_eq!(found.entries, BTreeMap::from(expected));
        store.write(&[cache(CacheChange::Clear(a)), cache(CacheChange::Drop(b))]).unwrap();
        let again = [cache(CacheChange::Entry(b, vec![6])), item(b, b"k", b"v")];
        store.write(&again).unwrap();
        store.write(&again).unwrap();
        drop(store);
        let expected = [(a, entry(4, &[])), (b, entry(6, &[(b"k", b"v")]))];
        assert_eq!(open().load().unwrap().cache.entries, BTreeMap::from(expected));
    });
}

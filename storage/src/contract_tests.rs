//! One suite for every implementation of the traits: what they promise, whoever keeps it.
#![allow(clippy::unwrap_used)]

use tercet_engine::commit::{LogRecord, Origin, Rejection};
use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Attribute, ClientId, ClientSeq, EntityId, ReplicaId, Seq};
use tercet_engine::value::Value;

use crate::{
    Access, ApiKey, App, AppId, KeyHash, LibsqlStorage, MemoryOutbox, MemoryStorage, Ordinal,
    Outbox, Pending, Role, Storage, StorageError, TenantId,
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

#[test]
fn an_outbox_keeps_order_and_replaces_whole() {
    let mut outbox = MemoryOutbox::new();
    assert_eq!(outbox.client().unwrap(), None);
    let pending = |number: u64, ms: u64| Pending {
        number: ClientSeq(number),
        transaction: Transaction { hlc: Hlc::new(ms, 0, ReplicaId(1)), ops: Vec::new() },
    };
    let client = |name: &str| ClientId::new(name.to_owned()).unwrap();
    outbox.replace(&client("one"), &[]).unwrap();
    for number in [2, 1, 3] {
        outbox.put(&pending(number, number)).unwrap();
    }
    outbox.put(&pending(2, 20)).unwrap();
    outbox.remove(ClientSeq(1)).unwrap();
    outbox.remove(ClientSeq(77)).unwrap();
    let mut restarted = outbox.clone();
    assert_eq!(restarted.load().unwrap(), [pending(2, 20), pending(3, 3)]);
    restarted.replace(&client("two"), &[pending(1, 20)]).unwrap();
    assert_eq!(restarted.client().unwrap(), Some(client("two")));
    assert_eq!(restarted.load().unwrap(), [pending(1, 20)]);
}

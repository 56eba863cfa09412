//! A tenant over storage that fails: nothing acknowledged is lost, nothing refused is there.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroUsize;
use std::time::Duration;

use tercet_engine::ids::{Attribute, EntityId, Term};
use tercet_engine::value::Value;
use tercet_storage::{
    AppId, ChangeLog, LogBatch, MemoryStorage, Ordinal, PoolOptions, Registry, Storage,
};

use super::*;
use crate::auth::Grant;

/// How an append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// No space: nothing is stored.
    Full,
    /// Nobody can tell, and it is not stored.
    LostBefore,
    /// Nobody can tell, and it is stored.
    LostAfter,
    /// A defect.
    Panic,
}

/// Storage in memory whose next append fails.
#[derive(Default)]
struct Faulty {
    inner: MemoryStorage,
    next: Arc<Mutex<Option<Fault>>>,
}

struct FaultyLog {
    inner: Box<dyn ChangeLog>,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Storage for Faulty {
    fn open_tenant(&self, tenant: &TenantId) -> Result<Box<dyn ChangeLog>, StorageError> {
        let inner = self.inner.open_tenant(tenant)?;
        Ok(Box::new(FaultyLog { inner, next: Arc::clone(&self.next) }))
    }

    fn open_registry(&self) -> Result<Box<dyn Registry>, StorageError> {
        self.inner.open_registry()
    }
}

impl ChangeLog for FaultyLog {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn term(&self) -> Term {
        self.inner.term()
    }

    fn last_seq(&self) -> Seq {
        self.inner.last_seq()
    }

    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        let file = "a test".to_owned();
        let fault = self.next.lock().take();
        let lost = || StorageError::Unavailable { file: file.clone(), why: "as a test".to_owned() };
        match fault {
            None => self.inner.append(records),
            Some(Fault::Full) => Err(StorageError::Full { file }),
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::LostAfter) => self.inner.append(records).and_then(|()| Err(lost())),
            Some(Fault::Panic) => panic!("as a test"),
        }
    }

    fn read(&mut self, after: Ordinal, bytes_max: usize) -> Result<LogBatch, StorageError> {
        self.inner.read(after, bytes_max)
    }

    fn changes(
        &mut self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        self.inner.changes(after, n_max, bytes_max)
    }
}

struct Bench {
    tenants: Tenants,
    grant: Grant,
    next: Arc<Mutex<Option<Fault>>>,
}

impl Bench {
    fn new(limits: ServerLimits) -> Bench {
        let storage = Faulty::default();
        let next = Arc::clone(&storage.next);
        let n_threads = NonZeroUsize::new(1).unwrap();
        let options = PoolOptions { n_threads, n_jobs_max: 16, n_registry_jobs_max: 16 };
        let pool = Arc::new(StoragePool::start(Arc::new(storage), options).unwrap());
        let tenants = Tenants::new(pool, Arc::new(limits));
        let grant = Grant::for_test(TenantId::of_app(AppId::new("a").unwrap()));
        Bench { tenants, grant, next }
    }

    /// Writes transaction `number` of one client.
    async fn write(&self, number: u64) -> Result<Result<Seq, String>, Gone> {
        let client = ClientId::new("c").unwrap();
        let identity = Identity { client, number: ClientSeq(number) };
        let e = EntityId::new(format!("e{number}")).unwrap();
        let a = Attribute::new("n/v").unwrap();
        let ops = vec![Op::Set { e, a, v: Value::int(1) }];
        let tenant = self.tenants.get(&self.grant).await.unwrap();
        let answer = tenant.start_transact(Some(identity), ops, self.grant.rights()).await?;
        let answer = answer.await.map_err(|_| Gone)?;
        Ok(answer.map(|accepted| accepted.checkpoint.seq).map_err(|e| e.code().to_owned()))
    }

    async fn n_facts(&self) -> u64 {
        let tenant = self.tenants.get(&self.grant).await.unwrap();
        tenant.snapshot().await.unwrap().0.n_facts()
    }
}

#[tokio::test]
async fn a_full_disk_refuses_the_write_and_goes_on() {
    let bench = Bench::new(ServerLimits::default());
    assert_eq!(bench.write(1).await, Ok(Ok(Seq(1))));
    *bench.next.lock() = Some(Fault::Full);
    assert_eq!(bench.write(2).await, Ok(Err("storage_unavailable".to_owned())));
    assert_eq!(bench.n_facts().await, 1);
    assert_eq!(bench.write(2).await, Ok(Ok(Seq(2))));
    assert_eq!(bench.n_facts().await, 2);
    bench.tenants.stop().await;
}

#[tokio::test]
async fn an_append_of_unknown_outcome_is_answered_by_the_log() {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::Panic] {
        let bench = Bench::new(ServerLimits::default());
        assert_eq!(bench.write(1).await, Ok(Ok(Seq(1))));
        *bench.next.lock() = Some(fault);
        assert_eq!(bench.write(2).await, Err(Gone), "{fault:?}");
        let n_facts = if fault == Fault::LostAfter { 2 } else { 1 };
        assert_eq!(bench.n_facts().await, n_facts, "{fault:?}");
        assert_eq!(bench.write(2).await, Ok(Ok(Seq(2))), "{fault:?}");
        assert_eq!(bench.write(3).await, Ok(Ok(Seq(3))), "{fault:?}");
        assert_eq!(bench.n_facts().await, 3, "{fault:?}");
        bench.tenants.stop().await;
    }
}

/// On virtual time, which passes when every task waits.
#[tokio::test(start_paused = true)]
async fn an_idle_tenant_leaves_memory_only_when_nobody_has_a_handle() {
    let limits = ServerLimits { tenant_idle: Duration::ZERO, ..ServerLimits::default() };
    let bench = Bench::new(limits);
    assert_eq!(bench.write(1).await, Ok(Ok(Seq(1))));
    let handle = bench.tenants.get(&bench.grant).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(handle.last_number(ClientId::new("c").unwrap()).await, Ok(ClientSeq(1)));
    drop(handle);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(bench.tenants.slots.lock().is_empty());
    assert_eq!(bench.write(2).await, Ok(Ok(Seq(2))));
    bench.tenants.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_at_once_share_one_loading() {
    let bench = Arc::new(Bench::new(ServerLimits::default()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let bench = Arc::clone(&bench);
        // A second loading would find the log busy.
        tasks.spawn(async move { bench.n_facts().await });
    }
    while let Some(outcome) = tasks.join_next().await {
        assert_eq!(outcome.unwrap(), 0);
    }
    bench.tenants.stop().await;
}

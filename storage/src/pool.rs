//! A fixed number of threads on which blocking storage runs, for callers that must not block.
//!
//! A tenant's log lives on one thread from opening to closing, so its jobs run one after another
//! in the order they were handed in, and different tenants share a thread only by their number.
//! The registry has a thread of its own: a look-up never waits behind a tenant's flush. Bound:
//! every tenant has at most [`PoolOptions::n_jobs_max`] jobs waiting, so that the queue of a
//! thread is bounded by the open tenants, and one tenant's load is refused before it is felt by
//! another. A job that panics closes its own log and nothing else.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;
use tercet_engine::ids::{Epoch, Seq};

use crate::Storage;
use crate::change_log::ChangeLog;
use crate::error::StorageError;
use crate::ids::TenantId;
use crate::registry::Registry;

/// How a pool is made.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Threads for tenants; the registry has one more.
    pub n_threads: NonZeroUsize,
    /// How many jobs of one tenant may wait.
    pub n_jobs_max: usize,
    /// How many jobs of the registry may wait.
    pub n_registry_jobs_max: usize,
}

/// Which log on a thread: never used twice, so a late job cannot meet a log opened after its own.
type LogId = u64;
type Opened = Result<Box<dyn ChangeLog>, StorageError>;
type LogJob = Box<dyn FnOnce(&mut dyn ChangeLog) + Send>;
type RegistryJob = Box<dyn FnOnce(&mut dyn Registry) + Send>;

enum Message {
    Open { id: LogId, tenant: TenantId, done: Box<dyn FnOnce(&Opened) + Send> },
    Run { id: LogId, job: LogJob, ticket: Ticket },
    RunRegistry { job: RegistryJob, ticket: Ticket },
    Close { id: LogId },
    Stop,
}

/// The threads.
pub struct StoragePool {
    workers: Vec<Sender<Message>>,
    registry: Queue,
    next_id: AtomicU64,
    n_jobs_max: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl StoragePool {
    /// Opens the registry and starts the threads.
    ///
    /// # Errors
    /// When the registry cannot be opened or the system gives no thread.
    pub fn start(
        storage: Arc<dyn Storage>,
        options: PoolOptions,
    ) -> Result<StoragePool, StorageError> {
        let registry = storage.open_registry()?;
        let mut pool = StoragePool {
            workers: Vec::new(),
            registry: Queue::new("the registry".to_owned(), options.n_registry_jobs_max),
            next_id: AtomicU64::new(1),
            n_jobs_max: options.n_jobs_max,
            threads: Mutex::new(Vec::new()),
        };
        for index in 0..options.n_threads.get() {
            let (sender, inbox) = channel();
            pool.workers.push(sender);
            let storage = Arc::clone(&storage);
            pool.spawn(format!("storage-{index}"), move || serve_tenants(&*storage, &inbox))?;
        }
        let (sender, inbox) = channel();
        pool.registry.sender = Some(sender);
        pool.spawn("storage-registry".to_owned(), move || serve_registry(registry, &inbox))?;
        Ok(pool)
    }

    fn spawn(
        &self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StorageError> {
        let spawned = thread::Builder::new().name(name.clone()).spawn(body);
        let thread = spawned
            .map_err(|error| StorageError::Unavailable { file: name, why: error.to_string() })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Opens a tenant's log on its thread and says so to `done`, on that thread.
    pub fn open(
        &self,
        tenant: &TenantId,
        done: impl FnOnce(Result<TenantLog, StorageError>) + Send + 'static,
    ) {
        let mut hasher = DefaultHasher::new();
        tenant.hash(&mut hasher);
        let index = hasher.finish() % self.workers.len() as u64;
        let worker = &self.workers[usize::try_from(index).expect("less than a length")];
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut queue = Queue::new(tenant.to_string(), self.n_jobs_max);
        queue.sender = Some(worker.clone());
        let file = queue.file.clone();
        let reply = move |opened: &Opened| match opened {
            Ok(log) => {
                done(Ok(TenantLog { id, queue, epoch: log.epoch(), last_seq: log.last_seq() }));
            }
            Err(error) => done(Err(error.clone())),
        };
        let message = Message::Open { id, tenant: tenant.clone(), done: Box::new(reply) };
        if let Err(refused) = worker.send(message)
            && let Message::Open { done, .. } = refused.0
        {
            done(&Err(stopped(file)));
        }
    }

    /// Runs a job with the registry, on its thread.
    ///
    /// # Errors
    /// When too many wait already, or the pool has stopped; the job is dropped then.
    pub fn registry(
        &self,
        job: impl FnOnce(&mut dyn Registry) + Send + 'static,
    ) -> Result<(), StorageError> {
        let job = Box::new(job);
        self.registry.send(|ticket| Message::RunRegistry { job, ticket })
    }

    /// Runs what waits, closes every log and ends the threads. Blocks until they have ended.
    pub fn stop(&self) {
        for worker in self.workers.iter().chain(&self.registry.sender) {
            // A thread that has ended already needs no message.
            let _ = worker.send(Message::Stop);
        }
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked outside its jobs");
            }
        }
    }
}

impl Drop for StoragePool {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An open log on its thread; dropping it closes the log after the jobs that wait.
pub struct TenantLog {
    id: LogId,
    queue: Queue,
    epoch: Epoch,
    last_seq: Seq,
}

impl TenantLog {
    /// The history the log tells.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last commit at the time of opening.
    pub fn opened_at(&self) -> Seq {
        self.last_seq
    }

    /// Hands in a job; it runs after all earlier ones.
    ///
    /// # Errors
    /// When too many wait already, or the pool has stopped; the job is dropped then. A job is
    /// also dropped without having run when an earlier one panicked.
    pub fn submit(
        &self,
        job: impl FnOnce(&mut dyn ChangeLog) + Send + 'static,
    ) -> Result<(), StorageError> {
        let (id, job) = (self.id, Box::new(job));
        self.queue.send(|ticket| Message::Run { id, job, ticket })
    }
}

impl Drop for TenantLog {
    fn drop(&mut self) {
        if let Some(sender) = &self.queue.sender {
            // A thread that has ended has closed everything.
            let _ = sender.send(Message::Close { id: self.id });
        }
    }
}

/// The sending side of a bounded queue.
struct Queue {
    /// How errors name it.
    file: String,
    sender: Option<Sender<Message>>,
    n_waiting: Arc<AtomicUsize>,
    n_max: usize,
}

impl Queue {
    fn new(file: String, n_max: usize) -> Queue {
        Queue { file, sender: None, n_waiting: Arc::default(), n_max }
    }

    fn send(&self, message: impl FnOnce(Ticket) -> Message) -> Result<(), StorageError> {
        let n_jobs = self.n_waiting.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket(Arc::clone(&self.n_waiting));
        if n_jobs >= self.n_max {
            return Err(StorageError::Overloaded { file: self.file.clone(), n_jobs });
        }
        let sent = self.sender.as_ref().map(|sender| sender.send(message(ticket)));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(stopped(self.file.clone())),
        }
    }
}

/// A place in a queue; given back when dropped, whatever became of the job.
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn stopped(file: String) -> StorageError {
    StorageError::Unavailable { file, why: "the server is stopping".to_owned() }
}

fn serve_tenants(storage: &dyn Storage, inbox: &Receiver<Message>) {
    let mut logs: BTreeMap<LogId, Box<dyn ChangeLog>> = BTreeMap::new();
    while let Ok(message) = inbox.recv() {
        match message {
            Message::Open { id, tenant, done } => {
                let opened = storage.open_tenant(&tenant);
                let outcome = catch_unwind(AssertUnwindSafe(|| done(&opened)));
                if let (Ok(()), Ok(log)) = (outcome, opened) {
                    logs.insert(id, log);
                }
            }
            Message::Run { id, job, ticket } => {
                let Some(log) = logs.get_mut(&id) else { continue };
                let outcome = catch_unwind(AssertUnwindSafe(|| job(&mut **log)));
                if outcome.is_err() {
                    tracing::error!("a storage job panicked; its log is closed");
                    logs.remove(&id);
                }
                drop(ticket);
            }
            Message::Close { id } => drop(logs.remove(&id)),
            Message::RunRegistry { .. } => unreachable!("the registry has its own thread"),
            Message::Stop => break,
        }
    }
}

fn serve_registry(mut registry: Box<dyn Registry>, inbox: &Receiver<Message>) {
    while let Ok(Message::RunRegistry { job, ticket }) = inbox.recv() {
        if catch_unwind(AssertUnwindSafe(|| job(&mut *registry))).is_err() {
            tracing::error!("a registry job panicked");
        }
        drop(ticket);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::contract_tests::{commit, tenant};
    use crate::{MemoryStorage, Ordinal};

    fn pool(n_jobs_max: usize) -> StoragePool {
        let n_threads = NonZeroUsize::new(2).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        StoragePool::start(storage, PoolOptions { n_threads, n_jobs_max, n_registry_jobs_max: 64 })
            .unwrap()
    }

    fn open(pool: &StoragePool, name: &str) -> Result<TenantLog, StorageError> {
        let (sender, receiver) = sync_channel(1);
        pool.open(&tenant(name), move |log| sender.send(log).map_err(drop).unwrap());
        receiver.recv().unwrap()
    }

    fn n_records(log: &TenantLog) -> Option<usize> {
        let (sender, receiver) = sync_channel(1);
        log.submit(move |log| {
            let batch = log.read(Ordinal(0), usize::MAX).unwrap();
            sender.send(batch.records.len()).unwrap();
        })
        .unwrap();
        receiver.recv().ok()
    }

    #[test]
    fn jobs_run_in_order_and_a_dropped_log_can_be_opened_again() {
        let pool = pool(64);
        let log = open(&pool, "a").unwrap();
        assert_eq!(open(&pool, "a").err().unwrap().code(), "storage_busy");
        for seq in 1..=5 {
            log.submit(move |log| log.append(&[commit(seq)]).unwrap()).unwrap();
        }
        assert_eq!(n_records(&log), Some(5));
        drop(log);
        let log = open(&pool, "a").unwrap();
        assert_eq!((log.opened_at(), n_records(&log)), (Seq(5), Some(5)));
    }

    #[test]
    fn a_panic_closes_its_own_log_only() {
        let pool = pool(64);
        let (a, b) = (open(&pool, "a").unwrap(), open(&pool, "b").unwrap());
        a.submit(|_| panic!("as a test")).unwrap();
        assert_eq!(n_records(&a), None);
        assert_eq!(n_records(&b), Some(0));
        drop(a);
        assert_eq!(n_records(&open(&pool, "a").unwrap()), Some(0));
    }

    #[test]
    fn a_full_queue_refuses_and_recovers() {
        let pool = pool(2);
        let log = open(&pool, "a").unwrap();
        let (started, has_started) = sync_channel(1);
        let (go, may_go) = sync_channel::<()>(1);
        log.submit(move |_| {
            started.send(()).unwrap();
            may_go.recv().unwrap();
        })
        .unwrap();
        has_started.recv().unwrap();
        let (done, is_done) = sync_channel(1);
        log.submit(move |_| done.send(()).unwrap()).unwrap();
        assert_eq!(log.submit(|_| {}).unwrap_err().code(), "overloaded");
        go.send(()).unwrap();
        is_done.recv().unwrap();
        // The place of the last job is given back just after it ran.
        while log.submit(|_| {}).is_err() {
            thread::yield_now();
        }
    }

    #[test]
    fn stopping_runs_what_waits_and_refuses_what_comes() {
        let pool = pool(64);
        let log = open(&pool, "a").unwrap();
        let (done, is_done) = sync_channel(64);
        for seq in 1..=20 {
            let done = done.clone();
            log.submit(move |log| {
                log.append(&[commit(seq)]).unwrap();
                done.send(seq).unwrap();
            })
            .unwrap();
        }
        pool.stop();
        assert_eq!(is_done.try_iter().count(), 20);
        assert_eq!(log.submit(|_| {}).unwrap_err().code(), "storage_unavailable");
        assert_eq!(open(&pool, "b").err().unwrap().code(), "storage_unavailable");
        assert_eq!(pool.registry(|_| {}).unwrap_err().code(), "storage_unavailable");
    }
}

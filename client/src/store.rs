//! The client's store at work: one thread that stores what the peer wants stored, in order.
//!
//! Storage calls block, and a full disk may last; so they have a thread of their own, and what
//! fails for a while is tried again for as long as the client lives. All that waits is stored in
//! one step, so that a burst of writes costs one commit. A write that cannot be stored stays
//! visible and pending, and is not sent: what the server has must not be unknown to a restarted
//! client. The order between outbox and cache is kept: an answered write is forgotten in the step
//! that stores the facts that show it, or in a later one. The queue holds no more than the peer
//! itself holds in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientSeq, Epoch};
use tercet_storage::{CacheChange, ClientChange, ClientStore, Pending, StorageError, StoredOutbox};
use tercet_sync::{Cache, CacheStep, OutboxEntry};
use tokio::sync::mpsc;

use crate::cache;

/// How long to wait after the first failure; doubled after each further one up to the maximum.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How many changes are stored in one step, unless the peer gave more at once.
const STEP_CHANGES_MAX: usize = 10_000;

/// What the peer wants stored.
enum Job {
    Put(OutboxEntry),
    Answered(ClientSeq),
    Epoch(Epoch),
    Rewrite(tercet_sync::Outbox),
    Cache(Vec<CacheStep>),
}

/// What the thread reports.
#[derive(Debug)]
pub(crate) enum StoreEvent {
    /// These are stored: the number and the stamp of each.
    Stored(Vec<(ClientSeq, Hlc)>),
    /// A step failed, and is tried again unless nothing can come of it.
    Failing(StorageError),
    /// The step that failed has been done.
    Recovered,
}

/// What a store holds, as the peer wants it.
pub(crate) fn load(
    store: &mut dyn ClientStore,
) -> Result<(tercet_sync::Outbox, Cache), StorageError> {
    let stored = store.load()?;
    let StoredOutbox { client, epoch, last_number, clock, pending } = stored.outbox;
    let entries = pending.into_iter();
    let entries =
        entries.map(|Pending { number, transaction }| OutboxEntry { number, transaction });
    let entries = entries.collect();
    let (cache, damaged) = cache::decode(stored.cache);
    let dropped = damaged.into_iter().map(|id| ClientChange::Cache(CacheChange::Drop(id)));
    store.write(&dropped.collect::<Vec<_>>())?;
    Ok((tercet_sync::Outbox { client, epoch, last_number, clock, entries }, cache))
}

/// The driver's end of the thread. Dropping it lets the thread finish its jobs.
pub(crate) struct StoreWorker {
    jobs: std::sync::mpsc::Sender<Job>,
    events: mpsc::UnboundedReceiver<StoreEvent>,
    is_closing: Arc<AtomicBool>,
}

impl StoreWorker {
    pub(crate) fn start(store: Box<dyn ClientStore>) -> StoreWorker {
        let (jobs, queue) = std::sync::mpsc::channel();
        let (reports, events) = mpsc::unbounded_channel();
        let is_closing = Arc::new(AtomicBool::new(false));
        let worker = Worker { store, reports, is_closing: Arc::clone(&is_closing) };
        thread::spawn(move || worker.run(&queue));
        StoreWorker { jobs, events, is_closing }
    }

    pub(crate) fn put(&self, entry: OutboxEntry) {
        self.send(Job::Put(entry));
    }

    pub(crate) fn answered(&self, number: ClientSeq) {
        self.send(Job::Answered(number));
    }

    pub(crate) fn epoch(&self, epoch: Epoch) {
        self.send(Job::Epoch(epoch));
    }

    pub(crate) fn rewrite(&self, outbox: tercet_sync::Outbox) {
        self.send(Job::Rewrite(outbox));
    }

    pub(crate) fn cache(&self, steps: Vec<CacheStep>) {
        self.send(Job::Cache(steps));
    }

    fn send(&self, job: Job) {
        // The thread is gone only after an error that it has reported and cannot get over.
        let _ = self.jobs.send(job);
    }

    /// The next report; `None` when the thread has ended.
    pub(crate) async fn event(&mut self) -> Option<StoreEvent> {
        self.events.recv().await
    }

    /// Lets the thread do what it was given, and waits for its end. A step that fails from now on
    /// is not tried again.
    pub(crate) async fn finish(self) {
        let StoreWorker { jobs, mut events, is_closing } = self;
        is_closing.store(true, Ordering::Relaxed);
        drop(jobs);
        while events.recv().await.is_some() {}
    }
}

/// Changes that are stored together, and the writes among them.
#[derive(Default)]
struct Batch {
    changes: Vec<ClientChange>,
    numbers: Vec<(ClientSeq, Hlc)>,
}

impl Batch {
    fn take(&mut self, job: Job) {
        match job {
            Job::Put(entry) => {
                self.numbers.push((entry.number, entry.transaction.hlc));
                self.changes.push(ClientChange::Put(pending(entry)));
            }
            Job::Answered(number) => self.changes.push(ClientChange::Answered(number)),
            Job::Epoch(epoch) => self.changes.push(ClientChange::Epoch(epoch)),
            Job::Rewrite(outbox) => {
                let tercet_sync::Outbox { client, epoch, last_number, clock, entries } = outbox;
                let stored = entries.iter().map(|entry| (entry.number, entry.transaction.hlc));
                self.numbers = stored.collect();
                let pending = entries.into_iter().map(pending).collect();
                let outbox = StoredOutbox { client, epoch, last_number, clock, pending };
                self.changes.push(ClientChange::Rewrite(outbox));
            }
            Job::Cache(steps) => {
                let changes = steps.iter().map(|step| ClientChange::Cache(cache::encode(step)));
                self.changes.extend(changes);
            }
        }
    }
}

fn pending(entry: OutboxEntry) -> Pending {
    Pending { number: entry.number, transaction: entry.transaction }
}

/// The thread.
struct Worker {
    store: Box<dyn ClientStore>,
    reports: mpsc::UnboundedSender<StoreEvent>,
    is_closing: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, queue: &std::sync::mpsc::Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            let mut batch = Batch::default();
            batch.take(job);
            while batch.changes.len() < STEP_CHANGES_MAX
                && let Ok(job) = queue.try_recv()
            {
                batch.take(job);
            }
            if self.persevere(&batch.changes).is_err() {
                return;
            }
            if !batch.numbers.is_empty() {
                self.report(StoreEvent::Stored(batch.numbers));
            }
        }
    }

    /// Does a step, as often as it takes. Fails when nothing can come of it.
    fn persevere(&mut self, changes: &[ClientChange]) -> Result<(), ()> {
        let mut wait = RETRY_MIN;
        let mut n_failures = 0;
        while let Err(error) = self.store.write(changes) {
            let is_final = !error.is_transient() || self.is_closing.load(Ordering::Relaxed);
            if n_failures == 0 || is_final {
                self.report(StoreEvent::Failing(error));
            }
            if is_final {
                return Err(());
            }
            n_failures += 1;
            thread::sleep(wait);
            wait = (wait * 2).min(RETRY_MAX);
        }
        if n_failures > 0 {
            self.report(StoreEvent::Recovered);
        }
        Ok(())
    }

    fn report(&self, event: StoreEvent) {
        // A driver that is gone needs no reports.
        let _ = self.reports.send(event);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::VecDeque;

    use parking_lot::Mutex;
    use tercet_engine::fact::Transaction;
    use tercet_engine::hlc::Hlc;
    use tercet_storage::{MemoryClientStore, StoredClient};

    use super::*;

    fn entry(number: u64) -> OutboxEntry {
        let transaction = Transaction { hlc: Hlc::ZERO, ops: Vec::new() };
        OutboxEntry { number: ClientSeq(number), transaction }
    }

    /// A store whose `write` fails as it is told to, and that counts its steps.
    #[derive(Default)]
    struct Failing {
        inner: MemoryClientStore,
        failures: VecDeque<StorageError>,
        n_steps: Arc<Mutex<usize>>,
    }

    impl ClientStore for Failing {
        fn load(&mut self) -> Result<StoredClient, StorageError> {
            self.inner.load()
        }
        fn write(&mut self, changes: &[ClientChange]) -> Result<(), StorageError> {
            match self.failures.pop_front() {
                Some(error) => Err(error),
                None => {
                    *self.n_steps.lock() += 1;
                    self.inner.write(changes)
                }
            }
        }
    }

    #[tokio::test]
    async fn what_fails_for_a_while_is_stored_in_order_and_what_waits_with_one_commit() {
        let memory = MemoryClientStore::new();
        let full = || StorageError::Full { file: "client.db".into() };
        let failures = VecDeque::from([full(), full()]);
        let failing = Failing { inner: memory.clone(), failures, ..Failing::default() };
        let n_steps = Arc::clone(&failing.n_steps);
        let mut worker = StoreWorker::start(Box::new(failing));
        worker.put(entry(1));
        let mut next = async || match worker.event().await.unwrap() {
            StoreEvent::Stored(numbers) => numbers
                .iter()
                .map(|(number, _)| number.0)
                .map(i64::try_from)
                .map(Result::unwrap)
                .sum(),
            StoreEvent::Failing(_) => -1,
            StoreEvent::Recovered => -2,
        };
        assert_eq!(next().await, -1);
        // The first step fails again and then waits, so that these are stored together.
        let rest: Vec<u64> = (2..=1_000).collect();
        for number in &rest {
            worker.put(entry(*number));
        }
        let mut next = async || worker.event().await.unwrap();
        assert!(matches!(next().await, StoreEvent::Recovered));
        assert!(
            matches!(next().await, StoreEvent::Stored(one) if one.len() == 1 && one[0].0 == ClientSeq(1))
        );
        let StoreEvent::Stored(numbers) = next().await else { panic!("all of them are stored") };
        assert_eq!(numbers.iter().map(|(number, _)| number.0).collect::<Vec<_>>(), rest);
        worker.finish().await;
        assert_eq!(*n_steps.lock(), 2);
        let (loaded, _) = load(&mut memory.clone()).unwrap();
        assert_eq!(loaded.last_number, ClientSeq(1_000));
        assert_eq!(loaded.entries.len(), 1_000);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_reported_and_ends_the_work() {
        let corrupt =
            StorageError::Corrupt { file: "client.db".into(), ordinal: None, why: "torn".into() };
        let failures = VecDeque::from([corrupt]);
        let mut worker = StoreWorker::start(Box::new(Failing { failures, ..Failing::default() }));
        worker.put(entry(1));
        assert!(matches!(worker.event().await, Some(StoreEvent::Failing(_))));
        assert!(worker.event().await.is_none());
    }
}

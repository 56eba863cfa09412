//! The outbox at work: one thread that stores what the peer wants stored, in order.
//!
//! Storage calls block, and a full disk may last; so they have a thread of their own, and what
//! fails for a while is tried again for as long as the client lives. A write that cannot be
//! stored stays visible and pending, and is not sent: what the server has must not be unknown to
//! a restarted client. The queue holds no more than the peer itself holds in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tercet_engine::ids::{ClientId, ClientSeq};
use tercet_storage::{Outbox, Pending, StorageError};
use tercet_sync::OutboxEntry;
use tokio::sync::mpsc;

/// How long to wait after the first failure; doubled after each further one up to the maximum.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What the peer wants stored.
enum Job {
    Put(Pending),
    Remove(ClientSeq),
    Replace(ClientId, Vec<Pending>),
}

/// What the thread reports.
#[derive(Debug)]
pub(crate) enum OutboxEvent {
    /// These are stored.
    Stored(Vec<ClientSeq>),
    /// A job failed, and is tried again unless nothing can come of it.
    Failing(StorageError),
    /// The job that failed has been done.
    Recovered,
}

/// What an outbox holds, as the peer wants it.
///
/// The trait keeps neither the last number nor the epoch. The last number is that of the last
/// entry; where none is left the peer finds itself behind the server and takes a new identity,
/// which is safe.
pub(crate) fn load(outbox: &mut dyn Outbox) -> Result<tercet_sync::Outbox, StorageError> {
    let client = outbox.client()?;
    let pending = outbox.load()?;
    let entries: Vec<OutboxEntry> = pending
        .into_iter()
        .map(|Pending { number, transaction }| OutboxEntry { number, transaction })
        .collect();
    let last_number = entries.last().map_or(ClientSeq(0), |entry| entry.number);
    Ok(tercet_sync::Outbox { client, epoch: None, last_number, entries })
}

/// The driver's end of the thread. Dropping it lets the thread finish its jobs.
pub(crate) struct OutboxWorker {
    jobs: std::sync::mpsc::Sender<Job>,
    events: mpsc::UnboundedReceiver<OutboxEvent>,
    is_closing: Arc<AtomicBool>,
}

impl OutboxWorker {
    pub(crate) fn start(outbox: Box<dyn Outbox>) -> OutboxWorker {
        let (jobs, queue) = std::sync::mpsc::channel();
        let (reports, events) = mpsc::unbounded_channel();
        let is_closing = Arc::new(AtomicBool::new(false));
        let worker = Worker { outbox, reports, is_closing: Arc::clone(&is_closing) };
        thread::spawn(move || worker.run(&queue));
        OutboxWorker { jobs, events, is_closing }
    }

    pub(crate) fn put(&self, entry: OutboxEntry) {
        self.send(Job::Put(pending(entry)));
    }

    pub(crate) fn remove(&self, number: ClientSeq) {
        self.send(Job::Remove(number));
    }

    pub(crate) fn replace(&self, outbox: tercet_sync::Outbox) {
        let client = outbox.client.expect("a peer writes its outbox under its client id");
        let entries = outbox.entries.into_iter().map(pending).collect();
        self.send(Job::Replace(client, entries));
    }

    fn send(&self, job: Job) {
        // The thread is gone only after an error that it has reported and cannot get over.
        let _ = self.jobs.send(job);
    }

    /// The next report; `None` when the thread has ended.
    pub(crate) async fn event(&mut self) -> Option<OutboxEvent> {
        self.events.recv().await
    }

    /// Lets the thread do what it was given, and waits for its end. A job that fails from now on
    /// is not tried again.
    pub(crate) async fn finish(self) {
        let OutboxWorker { jobs, mut events, is_closing } = self;
        is_closing.store(true, Ordering::Relaxed);
        drop(jobs);
        while events.recv().await.is_some() {}
    }
}

fn pending(entry: OutboxEntry) -> Pending {
    Pending { number: entry.number, transaction: entry.transaction }
}

/// The thread.
struct Worker {
    outbox: Box<dyn Outbox>,
    reports: mpsc::UnboundedSender<OutboxEvent>,
    is_closing: Arc<AtomicBool>,
}

impl Worker {
    fn run(mut self, queue: &std::sync::mpsc::Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            if self.persevere(&job).is_err() {
                return;
            }
            let stored = match job {
                Job::Put(pending) => vec![pending.number],
                Job::Replace(_, entries) => entries.iter().map(|entry| entry.number).collect(),
                Job::Remove(_) => continue,
            };
            self.report(OutboxEvent::Stored(stored));
        }
    }

    /// Does a job, as often as it takes. Fails when nothing can come of it.
    fn persevere(&mut self, job: &Job) -> Result<(), ()> {
        let mut wait = RETRY_MIN;
        let mut n_failures = 0;
        while let Err(error) = self.perform(job) {
            let is_final = !error.is_transient() || self.is_closing.load(Ordering::Relaxed);
            if n_failures == 0 || is_final {
                self.report(OutboxEvent::Failing(error));
            }
            if is_final {
                return Err(());
            }
            n_failures += 1;
            thread::sleep(wait);
            wait = (wait * 2).min(RETRY_MAX);
        }
        if n_failures > 0 {
            self.report(OutboxEvent::Recovered);
        }
        Ok(())
    }

    fn perform(&mut self, job: &Job) -> Result<(), StorageError> {
        match job {
            Job::Put(pending) => self.outbox.put(pending),
            Job::Remove(number) => self.outbox.remove(*number),
            Job::Replace(client, entries) => self.outbox.replace(client, entries),
        }
    }

    fn report(&self, event: OutboxEvent) {
        // A driver that is gone needs no reports.
        let _ = self.reports.send(event);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::VecDeque;

    use tercet_engine::fact::Transaction;
    use tercet_engine::hlc::Hlc;
    use tercet_storage::MemoryOutbox;

    use super::*;

    fn entry(number: u64) -> OutboxEntry {
        let transaction = Transaction { hlc: Hlc::ZERO, ops: Vec::new() };
        OutboxEntry { number: ClientSeq(number), transaction }
    }

    /// An outbox whose `put` fails as it is told to.
    struct Failing {
        inner: MemoryOutbox,
        failures: VecDeque<StorageError>,
    }

    impl Outbox for Failing {
        fn client(&mut self) -> Result<Option<ClientId>, StorageError> {
            self.inner.client()
        }
        fn put(&mut self, pending: &Pending) -> Result<(), StorageError> {
            match self.failures.pop_front() {
                Some(error) => Err(error),
                None => self.inner.put(pending),
            }
        }
        fn remove(&mut self, number: ClientSeq) -> Result<(), StorageError> {
            self.inner.remove(number)
        }
        fn load(&mut self) -> Result<Vec<Pending>, StorageError> {
            self.inner.load()
        }
        fn replace(&mut self, client: &ClientId, all: &[Pending]) -> Result<(), StorageError> {
            self.inner.replace(client, all)
        }
    }

    #[tokio::test]
    async fn what_fails_for_a_while_is_stored_in_order_all_the_same() {
        let memory = MemoryOutbox::new();
        let full = || StorageError::Full { file: "outbox".into() };
        let failures = VecDeque::from([full(), full()]);
        let mut worker = OutboxWorker::start(Box::new(Failing { inner: memory.clone(), failures }));
        worker.put(entry(1));
        worker.put(entry(2));
        let mut events = Vec::new();
        for _ in 0..4 {
            events.push(match worker.event().await.unwrap() {
                OutboxEvent::Stored(numbers) => format!("stored {numbers:?}"),
                OutboxEvent::Failing(error) => error.code().to_owned(),
                OutboxEvent::Recovered => "recovered".to_owned(),
            });
        }
        let stored = ["stored [ClientSeq(1)]", "stored [ClientSeq(2)]"];
        assert_eq!(events, ["storage_unavailable", "recovered", stored[0], stored[1]]);
        worker.finish().await;
        let loaded = load(&mut memory.clone()).unwrap();
        assert_eq!(loaded.last_number, ClientSeq(2));
        assert_eq!(loaded.entries, [entry(1), entry(2)]);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_reported_and_ends_the_work() {
        let corrupt =
            StorageError::Corrupt { file: "outbox".into(), ordinal: None, why: "torn".into() };
        let failures = VecDeque::from([corrupt]);
        let outbox = Failing { inner: MemoryOutbox::new(), failures };
        let mut worker = OutboxWorker::start(Box::new(outbox));
        worker.put(entry(1));
        assert!(matches!(worker.event().await, Some(OutboxEvent::Failing(_))));
        assert!(worker.event().await.is_none());
    }
}

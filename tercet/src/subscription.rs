//! A live answer, read by a thread that may fall behind.
//!
//! Between the writer and the reader stands a mailbox of one place, so that a slow reader neither
//! holds a writer up nor makes anything grow: it finds the newest answer, and as its delta what
//! changed since the answer it read last. Invariant: answer read + delta of the next = next answer.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tercet_engine::answer::Answer;
use tercet_engine::db::{InstanceId, RowsDelta};
use tercet_engine::ids::Seq;

use crate::database::Inner;
use crate::error::Error;

/// What a subscription shows: the answer now, and how it differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The whole answer.
    pub answer: Arc<Answer>,
    /// Rows that came and went since the item before; in the first item, all rows came.
    pub delta: RowsDelta,
    /// The commit it is the answer at.
    pub seq: Seq,
}

/// A live query: an iterator that waits for changes. The first item is the answer at the time of
/// subscribing. It ends when the last [`Database`](crate::Database) of its kind is dropped, or
/// after an error. Dropping it ends the live query.
pub struct Subscription {
    instance: InstanceId,
    mailbox: Arc<Mailbox>,
    /// The answer of the last item.
    read: Option<Arc<Answer>>,
    database: Weak<Inner>,
}

impl Subscription {
    pub(crate) fn new(
        instance: InstanceId,
        mailbox: Arc<Mailbox>,
        database: Weak<Inner>,
    ) -> Subscription {
        Subscription { instance, mailbox, read: None, database }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<Result<Change, Error>> {
        self.next_until(Some(Instant::now()))
    }

    /// Waits for the next change, but no longer than this. `None` also at the end.
    pub fn next_within(&mut self, limit: Duration) -> Option<Result<Change, Error>> {
        self.next_until(Instant::now().checked_add(limit))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Option<Result<Change, Error>> {
        loop {
            let Unread { answer, seq, delta } = match self.mailbox.take(deadline)? {
                Ok(unread) => unread,
                Err(error) => return Some(Err(error)),
            };
            let read = self.read.replace(Arc::clone(&answer));
            let before = read.as_ref().map(|read| read.rows.clone()).unwrap_or_default();
            let delta = delta.or_else(|| RowsDelta::between(&before, &answer.rows));
            // Changes that took each other back while nobody read are none.
            if delta.is_some() || read.is_none() {
                return Some(Ok(Change { answer, delta: delta.unwrap_or_default(), seq }));
            }
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<Change, Error>;

    /// Waits for the next change.
    fn next(&mut self) -> Option<Result<Change, Error>> {
        self.next_until(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(database) = self.database.upgrade() {
            database.unsubscribe(self.instance, &self.mailbox);
        }
    }
}

/// The place between writer and reader.
#[derive(Default)]
pub(crate) struct Mailbox {
    slot: Mutex<Slot>,
    filled: Condvar,
}

#[derive(Default)]
struct Slot {
    unread: Option<Unread>,
    /// Given after what is unread.
    error: Option<Error>,
    has_ended: bool,
}

struct Unread {
    answer: Arc<Answer>,
    seq: Seq,
    /// What changed since the answer before; none when that one was never read.
    delta: Option<RowsDelta>,
}

impl Mailbox {
    /// Puts the newest answer in; `delta` leads there from the answer put in before.
    pub(crate) fn put(&self, answer: Arc<Answer>, seq: Seq, delta: Option<RowsDelta>) {
        let mut slot = self.slot.lock();
        if slot.has_ended {
            return; // An equal subscription that began later may be kept up again.
        }
        let delta = if slot.unread.is_some() { None } else { delta };
        slot.unread = Some(Unread { answer, seq, delta });
        drop(slot);
        self.filled.notify_all();
    }

    /// Nothing follows but this error, if there is one.
    pub(crate) fn end(&self, error: Option<Error>) {
        let mut slot = self.slot.lock();
        slot.error = slot.error.take().or(error);
        slot.has_ended = true;
        drop(slot);
        self.filled.notify_all();
    }

    /// Waits for an answer until `deadline`, or without one for as long as one may come.
    fn take(&self, deadline: Option<Instant>) -> Option<Result<Unread, Error>> {
        let mut slot = self.slot.lock();
        loop {
            if let Some(unread) = slot.unread.take() {
                return Some(Ok(unread));
            }
            if let Some(error) = slot.error.take() {
                return Some(Err(error));
            }
            if slot.has_ended {
                return None;
            }
            match deadline {
                None => self.filled.wait(&mut slot),
                Some(deadline) if Instant::now() >= deadline => return None,
                Some(deadline) => {
                    self.filled.wait_until(&mut slot, deadline);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tercet_engine::answer::{Output, Row, Work};
    use tercet_engine::program::raw::FindForm;
    use tercet_engine::value::Value;

    use super::*;

    fn rows(texts: &[&str]) -> Vec<Row> {
        texts.iter().map(|text| vec![Output::Value(Value::from(*text))]).collect()
    }

    fn put(mailbox: &Mailbox, seq: u64, before: &[&str], answer: &[&str]) {
        let delta = RowsDelta::between(&rows(before).into(), &rows(answer).into());
        let answer = Answer {
            columns: ["?x".into()].into(),
            form: FindForm::Relation,
            rows: rows(answer).into(),
            n_without_result: 0,
            work: Work::default(),
        };
        mailbox.put(Arc::new(answer), Seq(seq), delta);
    }

    fn subscription() -> (Arc<Mailbox>, Subscription) {
        let mailbox = Arc::new(Mailbox::default());
        (Arc::clone(&mailbox), Subscription::new(InstanceId(0), mailbox, Weak::new()))
    }

    #[test]
    fn a_slow_reader_finds_the_newest_answer_and_what_changed_since_it_read() {
        let (mailbox, mut subscription) = subscription();
        put(&mailbox, 0, &[], &["a", "b"]);
        let first = subscription.try_next().unwrap().unwrap();
        assert_eq!(first.delta.added, rows(&["a", "b"]));
        put(&mailbox, 1, &["a", "b"], &["b", "c"]);
        put(&mailbox, 2, &["b", "c"], &["a", "c"]);
        put(&mailbox, 3, &["a", "c"], &["a", "d"]);
        let change = subscription.try_next().unwrap().unwrap();
        assert_eq!(change.seq, Seq(3));
        assert_eq!(change.answer.rows, rows(&["a", "d"]));
        assert_eq!(
            change.delta,
            RowsDelta { added: rows(&["d"]), removed: rows(&["b"]), ..RowsDelta::default() }
        );
        assert!(subscription.try_next().is_none());
    }

    #[test]
    fn changes_that_took_each_other_back_are_none() {
        let (mailbox, mut subscription) = subscription();
        put(&mailbox, 0, &[], &[]);
        let first = subscription.try_next().unwrap().unwrap();
        assert_eq!((first.delta, first.answer.rows.len()), (RowsDelta::default(), 0));
        put(&mailbox, 1, &[], &["a"]);
        put(&mailbox, 2, &["a"], &[]);
        assert!(subscription.try_next().is_none());
        put(&mailbox, 3, &[], &["b"]);
        assert_eq!(subscription.try_next().unwrap().unwrap().delta.added, rows(&["b"]));
    }

    #[test]
    fn an_error_comes_after_what_is_unread_and_then_the_end() {
        let (mailbox, mut subscription) = subscription();
        put(&mailbox, 1, &[], &["a"]);
        mailbox.end(Some(Error::NothingToWrite));
        assert!(subscription.next().unwrap().is_ok());
        assert_eq!(subscription.next().unwrap(), Err(Error::NothingToWrite));
        assert!(subscription.next().is_none());
        put(&mailbox, 2, &["a"], &["b"]);
        assert!(subscription.next().is_none());
    }
}

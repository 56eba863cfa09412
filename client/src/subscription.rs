//! A live query as a stream: each item is the answer now and what changed since the item before.
//!
//! Between the driver and the program stands a mailbox of one place. A reader that falls behind
//! finds the newest answer with the deltas in between added up, so it misses no state that still
//! holds, and nothing grows but to the size of two answers. Positions are looked up when a change
//! is read, in the answer read last and the newest one. Invariant: the answer of the last item
//! read, plus the delta in the mailbox, is the answer in the mailbox.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::Mutex;
use tercet_engine::answer::Answer;
use tercet_engine::db::{ListDelta, Query, UnreadDeltas};
use tercet_sync::message::Mode;
use tercet_sync::{SubscriptionId, SubscriptionUpdate};

use crate::client::Client;
use crate::error::ClientError;

/// How a subscription is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// [`Mode::Facts`]: this replica holds the facts and evaluates, offline too and with its own
    /// writes in the answer. [`Mode::Rows`]: the server evaluates. [`Mode::Auto`]: facts where
    /// they are few enough.
    pub mode: Mode,
}

impl Default for SubscribeOptions {
    fn default() -> SubscribeOptions {
        SubscribeOptions { mode: Mode::Auto }
    }
}

/// What a subscription shows now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The whole answer.
    pub answer: Arc<Answer>,
    /// Rows that came, went and moved since the item before, with their positions; empty when only
    /// flags changed, all rows with the first item.
    pub delta: ListDelta,
    /// The confirmed part equals the server's answer at this replica's position.
    pub complete: bool,
    /// Own writes are in it that the server has not accepted yet.
    pub pending: bool,
}

/// A live query. A stream that ends when the client is closed, or after an error that ended the
/// subscription. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    id: SubscriptionId,
    query: Query,
    mailbox: Arc<Mailbox>,
    /// What was read last.
    read: Option<Arc<Answer>>,
    /// Kept so that the client lives as long as something is read from it.
    client: Client,
}

impl Subscription {
    pub(crate) fn new(
        id: SubscriptionId,
        query: Query,
        mailbox: Arc<Mailbox>,
        client: Client,
    ) -> Subscription {
        Subscription { id, query, mailbox, read: None, client }
    }

    /// Waits for the next change; `None` when the subscription has ended.
    pub async fn next(&mut self) -> Option<Result<Change, ClientError>> {
        poll_fn(|context| self.poll_change(context)).await
    }

    fn poll_change(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Change, ClientError>>> {
        let unread = std::task::ready!(self.mailbox.poll(context));
        Poll::Ready(unread.map(|unread| {
            let Unread { answer, deltas, complete, pending } = unread?;
            let before = self.read.replace(Arc::clone(&answer));
            let before = before.map(|read| read.rows.clone()).unwrap_or_default();
            let delta = deltas.between(&before, &answer.rows);
            let delta = ListDelta::between(&self.query, &before, &answer.rows, delta);
            Ok(Change { answer, delta, complete, pending })
        }))
    }
}

impl Stream for Subscription {
    type Item = Result<Change, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_change(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.unsubscribe(self.id);
    }
}

/// The place between driver and reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    unread: Option<Unread>,
    /// Read after the last change.
    error: Option<ClientError>,
    ended: bool,
    waker: Option<Waker>,
}

/// The newest state, and what leads there from the one read last.
#[derive(Debug)]
struct Unread {
    answer: Arc<Answer>,
    deltas: UnreadDeltas,
    complete: bool,
    pending: bool,
}

impl Mailbox {
    /// Puts the newest state in, on top of what has not been read.
    pub(crate) fn put(&self, update: SubscriptionUpdate) {
        let SubscriptionUpdate { answer, delta, complete, pending, .. } = update;
        let delta = Arc::new(delta);
        self.wake_after(|slot| {
            let unread = slot.unread.take();
            let mut deltas = unread.map_or_else(UnreadDeltas::new, |unread| unread.deltas);
            if !delta.is_empty() {
                deltas.push(delta, answer.rows.len());
            }
            slot.unread = Some(Unread { answer, deltas, complete, pending });
        });
    }

    /// Ends the subscription, with an error if there was one.
    pub(crate) fn end(&self, error: Option<ClientError>) {
        self.wake_after(|slot| {
            slot.error = error;
            slot.ended = true;
        });
    }

    fn wake_after(&self, change: impl FnOnce(&mut Slot)) {
        let mut slot = self.0.lock();
        change(&mut slot);
        let waker = slot.waker.take();
        drop(slot); // the reader may run at once, and takes the lock
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Unread, ClientError>>> {
        let mut slot = self.0.lock();
        if let Some(unread) = slot.unread.take() {
            return Poll::Ready(Some(Ok(unread)));
        }
        if let Some(error) = slot.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if slot.ended {
            return Poll::Ready(None);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::Waker;

    use tercet_engine::answer::{Output, Row, Work};
    use tercet_engine::db::RowsDelta;
    use tercet_engine::program::raw::FindForm;
    use tercet_engine::value::Value;

    use super::*;

    fn rows(texts: &[&str]) -> Vec<Row> {
        texts.iter().map(|text| vec![Output::Value(Value::from(*text))]).collect()
    }

    fn update(answer: &[&str], added: &[&str], removed: &[&str]) -> SubscriptionUpdate {
        let answer = Answer {
            columns: ["?x".into()].into(),
            form: FindForm::Relation,
            rows: rows(answer).into(),
            n_without_result: 0,
            work: Work::default(),
        };
        SubscriptionUpdate {
            subscription: SubscriptionId(1),
            answer: Arc::new(answer),
            delta: RowsDelta { added: rows(added), removed: rows(removed), ..RowsDelta::default() },
            complete: true,
            pending: false,
        }
    }

    fn read(mailbox: &Mailbox) -> Poll<Option<Result<Unread, ClientError>>> {
        mailbox.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_slow_reader_finds_the_newest_answer_and_the_sum_of_the_deltas() {
        let mailbox = Mailbox::default();
        mailbox.put(update(&["a", "b"], &["a", "b"], &[]));
        assert!(read(&mailbox).is_ready());
        mailbox.put(update(&["b", "c"], &["c"], &["a"]));
        mailbox.put(update(&["a", "c"], &["a"], &["b"]));
        mailbox.put(update(&["a", "d"], &["d"], &["c"]));
        let Poll::Ready(Some(Ok(unread))) = read(&mailbox) else { panic!("a change is there") };
        assert_eq!(unread.answer.rows, rows(&["a", "d"]));
        let delta = unread.deltas.between(&rows(&["a", "b"]).into(), &unread.answer.rows);
        assert_eq!(
            delta,
            RowsDelta { added: rows(&["d"]), removed: rows(&["b"]), ..RowsDelta::default() }
        );
        assert!(read(&mailbox).is_pending());
    }

    #[test]
    fn an_error_is_read_after_the_last_change_and_ends_the_stream() {
        let mailbox = Mailbox::default();
        mailbox.put(update(&["a"], &["a"], &[]));
        mailbox.end(Some(ClientError::Closed));
        assert!(matches!(read(&mailbox), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(read(&mailbox), Poll::Ready(Some(Err(ClientError::Closed)))));
        assert!(matches!(read(&mailbox), Poll::Ready(None)));
        assert!(matches!(read(&mailbox), Poll::Ready(None)));
    }
}

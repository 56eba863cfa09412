//! The queue from a tenant's task to a session: bounded, and it knows when it is slow.
//!
//! A tenant never waits for a socket. When a queue holds `queue_max` messages, or `queue_bytes_max`
//! bytes, the tenant is told and ends the session's subscriptions; a marker at the end of the
//! queue says when all of it has been sent. A queue that is full beyond that is cut off: its
//! session ends, and the client comes back and resumes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tercet_sync::SharedFrame;
use tokio::sync::mpsc;

use crate::limits::{QUEUE_SLACK, ServerLimits};

/// What waits for a session.
#[derive(Debug)]
pub(crate) enum Queued {
    /// A message.
    Frame(SharedFrame),
    /// Everything before this has been sent: say so to the tenant.
    Drained,
    /// The session ends here.
    Close {
        /// The stable code.
        code: &'static str,
        /// Why.
        message: String,
    },
}

/// How long a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// It takes more.
    Fine,
    /// This message made it slow; holds how many wait.
    Slow(usize),
    /// It cannot be used any more: it is full, or its session has gone.
    Over,
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct Outbound {
    sender: mpsc::Sender<Queued>,
    n_bytes: Arc<AtomicUsize>,
    n_messages_max: usize,
    n_bytes_max: usize,
    /// A [`Queued::Drained`] is in the queue.
    is_slow: bool,
}

/// The receiving side.
#[derive(Debug)]
pub(crate) struct Inbound {
    receiver: mpsc::Receiver<Queued>,
    n_bytes: Arc<AtomicUsize>,
    n_messages_max: usize,
    n_bytes_max: usize,
}

/// An empty queue.
pub(crate) fn queue(limits: &ServerLimits) -> (Outbound, Inbound) {
    let n_messages_max = limits.sync.queue_max as usize;
    let n_bytes_max = limits.queue_bytes_max;
    let (sender, receiver) = mpsc::channel(n_messages_max + QUEUE_SLACK);
    let n_bytes = Arc::new(AtomicUsize::new(0));
    let outbound = Outbound {
        sender,
        n_bytes: Arc::clone(&n_bytes),
        n_messages_max,
        n_bytes_max,
        is_slow: false,
    };
    (outbound, Inbound { receiver, n_bytes, n_messages_max, n_bytes_max })
}

impl Outbound {
    /// Puts a message at the end.
    pub(crate) fn push(&mut self, frame: SharedFrame) -> Level {
        let n_bytes = frame.n_bytes();
        let n_bytes = self.n_bytes.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes;
        if self.sender.try_send(Queued::Frame(frame)).is_err() {
            return Level::Over;
        }
        let n_messages = self.sender.max_capacity() - self.sender.capacity();
        if self.is_slow || (n_messages < self.n_messages_max && n_bytes < self.n_bytes_max) {
            return Level::Fine;
        }
        self.is_slow = true;
        match self.sender.try_send(Queued::Drained) {
            Ok(()) => Level::Slow(n_messages.max(self.n_messages_max)),
            Err(_) => Level::Over,
        }
    }

    /// All that waited has been sent.
    pub(crate) fn drained(&mut self) {
        self.is_slow = false;
    }

    /// Ends the session after what waits. A full queue is cut off instead.
    pub(crate) fn close(self, code: &'static str, message: String) {
        // Either way the sender goes, and the session sees that.
        let _ = self.sender.try_send(Queued::Close { code, message });
    }
}

impl Inbound {
    /// The next thing to send; none when the tenant's task has gone or cut this queue off.
    pub(crate) async fn next(&mut self) -> Option<Queued> {
        let queued = self.receiver.recv().await;
        queued.inspect(|queued| self.taken(queued))
    }

    /// The next thing, if it is there already.
    pub(crate) fn next_now(&mut self) -> Option<Queued> {
        let queued = self.receiver.try_recv().ok();
        queued.inspect(|queued| self.taken(queued))
    }

    fn taken(&self, queued: &Queued) {
        if let Queued::Frame(frame) = queued {
            self.n_bytes.fetch_sub(frame.n_bytes(), Ordering::Relaxed);
        }
    }

    /// Whether there is room for the answer to another request of the session. A session that
    /// asks faster than it reads is served at the speed at which it reads.
    pub(crate) fn has_room(&self) -> bool {
        self.receiver.len() < (self.n_messages_max / 4).max(1)
            && self.n_bytes.load(Ordering::Relaxed) < (self.n_bytes_max / 4).max(1)
    }
}

#[cfg(test)]
mod tests {
    use tercet_sync::ServerMessage;
    use tercet_sync::message::{Nonce, Resync};

    use super::*;

    fn frame() -> SharedFrame {
        SharedFrame::new(ServerMessage::Ping(Nonce { nonce: 1 }))
    }

    #[test]
    fn a_queue_is_slow_once_until_it_was_drained() {
        let mut limits = ServerLimits::default();
        limits.sync.queue_max = 3;
        let (mut outbound, mut inbound) = queue(&limits);
        assert_eq!(outbound.push(frame()), Level::Fine);
        assert_eq!(outbound.push(frame()), Level::Fine);
        assert_eq!(outbound.push(frame()), Level::Slow(3));
        assert_eq!(outbound.push(frame()), Level::Fine);
        let mut seen = String::new();
        while let Some(queued) = inbound.next_now() {
            seen.push(if matches!(queued, Queued::Drained) { 'd' } else { 'f' });
        }
        assert_eq!(seen, "fffdf");
        outbound.drained();
        for expected in [Level::Fine, Level::Fine, Level::Slow(3)] {
            assert_eq!(outbound.push(frame()), expected);
        }
    }

    /// Guards against few messages that are all large.
    #[test]
    fn a_queue_of_many_bytes_is_slow() {
        let limits = ServerLimits { queue_bytes_max: 10_000, ..ServerLimits::default() };
        let (mut outbound, mut inbound) = queue(&limits);
        let large =
            || SharedFrame::new(ServerMessage::Resync(Resync { reason: "x".repeat(4_000) }));
        assert_eq!(outbound.push(large()), Level::Fine);
        assert!(!inbound.has_room(), "a quarter is full");
        assert_eq!(outbound.push(large()), Level::Fine);
        assert_eq!(outbound.push(large()), Level::Slow(limits.sync.queue_max as usize));
        while inbound.next_now().is_some() {}
        assert!(inbound.has_room());
        outbound.drained();
        assert_eq!(outbound.push(large()), Level::Fine);
    }

    #[test]
    fn a_queue_beyond_its_slack_is_over() {
        let mut limits = ServerLimits::default();
        limits.sync.queue_max = 1;
        let (mut outbound, _inbound) = queue(&limits);
        assert_eq!(outbound.push(frame()), Level::Slow(1));
        // One place is taken by the frame, one by the marker.
        for _ in 0..QUEUE_SLACK - 1 {
            assert_eq!(outbound.push(frame()), Level::Fine);
        }
        assert_eq!(outbound.push(frame()), Level::Over);
    }
}

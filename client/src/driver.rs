//! The one task that owns the peer: it feeds it calls, frames and time, and does what it says.
//!
//! The peer decides; this file has no rule of the protocol in it. After every event all outputs
//! are carried out, then the new view and status are published, then the caller is answered: who
//! has its answer reads its own write. Nothing here waits for a socket or a disk, so every call is
//! answered as fast as the peer computes. Frames wait in `unsent` only as many as the peer has in
//! flight, which the server's limits bound.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tercet_engine::db::{Query, ShapeStats};
use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, ClientSeq};
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_sync::message::{ClientMessage, Mode};
use tercet_sync::{ClientOutput, ClientPeer, Codec, Digest, Reach, Status, SubscriptionId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, Timeout, sleep_until, timeout};

use crate::config::Clock;
use crate::error::ClientError;
use crate::status::{ClientStatus, Rejected, Trouble};
use crate::store::{StoreEvent, StoreWorker};
use crate::subscription::Mailbox;
use crate::transport::{Connecting, Connection, FRAME_BYTES_MAX, Transport, TransportError};
use crate::write::{Accepted, Progress, Write};

/// How long connecting may take, the WebSocket handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many frames are taken before what they change is shown: answers of the program's own calls
/// wait so long at most.
const FRAMES_AT_ONCE: usize = 256;

/// What the interface asks of the driver.
pub(crate) enum Command {
    Transact {
        ops: Vec<Op>,
        reply: oneshot::Sender<Result<Write, ClientError>>,
    },
    Subscribe {
        query: Query,
        inputs: Vec<Input>,
        mode: Mode,
        /// It is asked once, and not kept for the next start.
        once: bool,
        reply: oneshot::Sender<Result<(SubscriptionId, Arc<Mailbox>), ClientError>>,
    },
    Digest {
        reply: oneshot::Sender<Option<Digest>>,
    },
    SyncedTo {
        checkpoint: Checkpoint,
        reply: oneshot::Sender<Result<(), ClientError>>,
    },
    LiveStats {
        reply: oneshot::Sender<Vec<ShapeStats>>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// What the driver publishes and the interface reads without asking.
pub(crate) struct Published {
    pub(crate) view: Arc<Mutex<Snapshot>>,
    pub(crate) status: watch::Sender<ClientStatus>,
    pub(crate) rejections: broadcast::Sender<Rejected>,
}

pub(crate) struct Driver {
    peer: ClientPeer,
    transport: Box<dyn Transport>,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    unsubscribed: mpsc::UnboundedReceiver<SubscriptionId>,
    link: Link,
    unsent: VecDeque<ClientMessage>,
    store: Option<StoreWorker>,
    alarm: Option<Alarm>,
    /// When the peer was last told the time, and which.
    told: (Instant, u64),
    /// Every unanswered transaction, with its watchers if it was made by this process.
    writes: BTreeMap<ClientSeq, Option<watch::Sender<Progress>>>,
    subscriptions: BTreeMap<SubscriptionId, Arc<Mailbox>>,
    barriers: Vec<Barrier>,
    published: Published,
    connection: Status,
    connection_trouble: Option<Trouble>,
    /// The trouble is what the server of this connection said.
    has_server_said_why: bool,
    store_trouble: Option<Trouble>,
}

/// Someone waits until the peer has reached a checkpoint.
struct Barrier {
    checkpoint: Checkpoint,
    reply: oneshot::Sender<Result<(), ClientError>>,
}

/// When to wake the peer. The moment is fixed by the steady clock when the peer asks, because
/// the time of day may jump.
#[derive(Clone, Copy)]
struct Alarm {
    at: Instant,
    at_ms: u64,
}

enum Link {
    Down,
    Opening(Pin<Box<Timeout<Connecting>>>),
    Up(Connection),
}

enum LinkEvent {
    Opened(Result<Connection, TransportError>),
    Frame(Bytes),
    Lost(TransportError),
    /// The connection takes another frame.
    Room,
}

enum Event {
    Command(Option<Command>),
    Unsubscribed(SubscriptionId),
    Link(LinkEvent),
    Store(StoreEvent),
    Alarm(Alarm),
}

impl Link {
    /// The next event of the connection; loses nothing when it is dropped before its end.
    async fn event(&mut self, has_unsent: bool) -> LinkEvent {
        match self {
            Link::Down => pending().await,
            Link::Opening(connecting) => LinkEvent::Opened(match connecting.await {
                Ok(result) => result,
                Err(_) => Err(TransportError::new("connecting took too long")),
            }),
            Link::Up(connection) => tokio::select! {
                frame = connection.incoming.recv() => match frame {
                    Some(Ok(frame)) => LinkEvent::Frame(frame),
                    Some(Err(error)) => LinkEvent::Lost(error),
                    None => LinkEvent::Lost(TransportError::new("the connection ended")),
                },
                // Without room the frame waits; a closed channel is told by the other branch.
                Ok(_) = connection.outgoing.reserve(), if has_unsent => LinkEvent::Room,
            },
        }
    }
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) peer: ClientPeer,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) clock: Clock,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) unsubscribed: mpsc::UnboundedReceiver<SubscriptionId>,
    pub(crate) store: Option<StoreWorker>,
    /// Transactions of earlier processes that wait in the outbox.
    pub(crate) unanswered: Vec<ClientSeq>,
    pub(crate) published: Published,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Driver {
        let told = (Instant::now(), (parts.clock)());
        let mut driver = Driver {
            peer: parts.peer,
            transport: parts.transport,
            clock: parts.clock,
            commands: parts.commands,
            unsubscribed: parts.unsubscribed,
            link: Link::Down,
            unsent: VecDeque::new(),
            store: parts.store,
            alarm: None,
            told,
            writes: parts.unanswered.into_iter().map(|number| (number, None)).collect(),
            subscriptions: BTreeMap::new(),
            barriers: Vec::new(),
            published: parts.published,
            connection: Status::Connecting,
            connection_trouble: None,
            has_server_said_why: false,
            store_trouble: None,
        };
        // Before the first call returns: what the outbox holds is in the first view.
        driver.settle();
        driver
    }

    /// Runs until the client is closed or nobody holds it any more.
    pub(crate) async fn run(mut self) {
        let reply = loop {
            match self.event().await {
                Event::Command(Some(Command::Close { reply })) => break Some(reply),
                Event::Command(None) => break None,
                event => self.handle(event),
            }
        };
        if let Some(store) = self.store.take() {
            store.finish().await;
        }
        drop(self);
        if let Some(reply) = reply {
            // Who asked may have given up waiting.
            let _ = reply.send(());
        }
    }

    async fn event(&mut self) -> Event {
        let has_unsent = !self.unsent.is_empty();
        tokio::select! {
            command = self.commands.recv() => Event::Command(command),
            Some(id) = self.unsubscribed.recv() => Event::Unsubscribed(id),
            event = self.link.event(has_unsent) => Event::Link(event),
            Some(event) = stored(&mut self.store) => Event::Store(event),
            alarm = ring(self.alarm) => Event::Alarm(alarm),
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Command(Some(Command::Transact { ops, reply })) => self.transact(ops, reply),
            Event::Command(Some(Command::Subscribe { query, inputs, mode, once, reply })) => {
                let result = self.subscribe(&query, &inputs, mode, once);
                if let Err(Ok((id, _))) = reply.send(result) {
                    self.unsubscribe(id); // the caller has gone
                }
            }
            Event::Command(Some(Command::Digest { reply })) => {
                // Who asked may have given up waiting.
                let _ = reply.send(self.peer.digest());
            }
            Event::Command(Some(Command::SyncedTo { checkpoint, reply })) => {
                self.barriers.push(Barrier { checkpoint, reply });
                self.settle();
            }
            Event::Command(Some(Command::LiveStats { reply })) => {
                // Who asked may have given up waiting.
                let _ = reply.send(self.peer.live_stats());
            }
            Event::Command(Some(Command::Close { .. }) | None) => {
                unreachable!("the end is handled by the loop")
            }
            Event::Unsubscribed(id) => self.unsubscribe(id),
            Event::Link(event) => self.handle_link(event),
            Event::Store(event) => self.handle_store(event),
            Event::Alarm(alarm) => {
                self.alarm = None;
                let now_ms = self.tell_time().max(alarm.at_ms);
                self.told.1 = now_ms;
                self.peer.tick(now_ms);
                self.settle();
            }
        }
    }

    /// The time for the next call of the peer.
    fn tell_time(&mut self) -> u64 {
        self.told = (Instant::now(), (self.clock)());
        self.told.1
    }

    fn transact(&mut self, ops: Vec<Op>, reply: oneshot::Sender<Result<Write, ClientError>>) {
        let now_ms = self.tell_time();
        let result = self.peer.transact(ops, now_ms).map(|number| {
            let (sender, receiver) = watch::channel(Progress::Visible(number));
            self.writes.insert(number, Some(sender));
            Write::new(receiver)
        });
        self.settle();
        // Who asked may be gone; the write stands.
        let _ = reply.send(result.map_err(ClientError::from));
    }

    fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
        mode: Mode,
        once: bool,
    ) -> Result<(SubscriptionId, Arc<Mailbox>), ClientError> {
        self.tell_time();
        let id = match once {
            true => self.peer.subscribe_once(query, inputs, mode)?,
            false => self.peer.subscribe(query, inputs, mode)?,
        };
        let mailbox = Arc::new(Mailbox::default());
        self.subscriptions.insert(id, Arc::clone(&mailbox));
        self.settle();
        Ok((id, mailbox))
    }

    fn unsubscribe(&mut self, id: SubscriptionId) {
        if self.subscriptions.remove(&id).is_some() {
            self.peer.unsubscribe(id);
            self.settle();
        }
    }

    fn handle_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Opened(Ok(connection)) => {
                tracing::debug!("connected");
                self.link = Link::Up(connection);
                let now_ms = self.tell_time();
                self.peer.opened(now_ms);
                self.settle();
            }
            LinkEvent::Opened(Err(error)) => self.lose(Trouble::new("connection_failed", error)),
            LinkEvent::Lost(error) => self.lose(Trouble::new("connection_lost", error)),
            LinkEvent::Room => self.send(),
            LinkEvent::Frame(frame) => self.receive(frame),
        }
    }

    /// Takes a frame and those that wait behind it: what they change together is shown once, so
    /// that a thousand answers do not fold the view a thousand times.
    fn receive(&mut self, first: Bytes) {
        let now_ms = self.tell_time();
        let mut frame = Ok(first);
        for n in 1.. {
            match frame {
                Err(error) => return self.lose(Trouble::new("connection_lost", error)),
                Ok(bytes) => match Codec::Binary.decode_server(&bytes, FRAME_BYTES_MAX) {
                    Ok(message) => self.peer.received(message, now_ms),
                    Err(error) => return self.lose(Trouble::new(error.code(), error)),
                },
            }
            let Link::Up(connection) = &mut self.link else { break };
            if n == FRAMES_AT_ONCE {
                break;
            }
            let Ok(next) = connection.incoming.try_recv() else { break };
            frame = next;
        }
        self.settle();
    }

    fn lose(&mut self, trouble: Trouble) {
        tracing::debug!(code = trouble.code, message = trouble.message, "connection lost");
        // What the server said before it hung up says more than the hanging up.
        if !self.has_server_said_why {
            self.connection_trouble = Some(trouble);
        }
        self.link = Link::Down;
        self.unsent.clear();
        let now_ms = self.tell_time();
        self.peer.closed(now_ms);
        self.settle();
    }

    fn handle_store(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Stored(numbers) => {
                for (number, hlc) in numbers {
                    self.peer.stored(number, hlc);
                    self.progress(number, Progress::Stored(number));
                }
            }
            StoreEvent::Failing(error) => {
                tracing::error!(code = error.code(), %error, "the store cannot be written");
                self.store_trouble = Some(Trouble::new(error.code(), error));
            }
            StoreEvent::Recovered => {
                tracing::info!("the store can be written again");
                self.store_trouble = None;
            }
        }
        self.settle();
    }

    /// Does all the peer wants done, then publishes what has become of it.
    fn settle(&mut self) {
        self.carry_out_all();
        self.answer_barriers();
        self.carry_out_all();
        self.send();
        *self.published.view.lock() = self.peer.view();
        self.publish_status();
    }

    fn carry_out_all(&mut self) {
        while let Some(output) = self.peer.poll() {
            self.carry_out(output);
        }
    }

    /// Answers who waits for a checkpoint that has been reached, or never will be.
    fn answer_barriers(&mut self) {
        for Barrier { checkpoint, reply } in std::mem::take(&mut self.barriers) {
            let answer = match self.peer.reach(checkpoint) {
                Reach::Reached => Ok(()),
                Reach::OtherHistory => Err(ClientError::OtherHistory { checkpoint }),
                Reach::NotYet if reply.is_closed() => continue,
                Reach::NotYet => {
                    self.barriers.push(Barrier { checkpoint, reply });
                    continue;
                }
            };
            // Who asked may have given up waiting.
            let _ = reply.send(answer);
        }
    }

    fn carry_out(&mut self, output: ClientOutput) {
        match output {
            ClientOutput::Connect => {
                let connecting = timeout(CONNECT_TIMEOUT, self.transport.connect());
                self.link = Link::Opening(Box::pin(connecting));
                self.has_server_said_why = false;
                self.unsent.clear();
            }
            ClientOutput::Disconnect => {
                self.link = Link::Down;
                self.unsent.clear();
            }
            ClientOutput::Send(message) => self.unsent.push_back(message),
            ClientOutput::WakeAt(at_ms) => {
                let (then, then_ms) = self.told;
                let at = then + Duration::from_millis(at_ms.saturating_sub(then_ms));
                self.alarm = Some(Alarm { at, at_ms });
            }
            ClientOutput::Persist(entry) => self.keep(|store| store.put(entry)),
            ClientOutput::Forget(number) => self.keep(|store| store.answered(number)),
            ClientOutput::Rewrite(outbox) => self.keep(|store| store.rewrite(outbox)),
            ClientOutput::Epoch(epoch) => self.keep(|store| store.epoch(epoch)),
            ClientOutput::Cache(steps) => self.keep(|store| store.cache(steps)),
            ClientOutput::Update(update) => {
                if let Some(mailbox) = self.subscriptions.get(&update.subscription) {
                    mailbox.put(update);
                }
            }
            ClientOutput::Failed { subscription, code, message, hint } => {
                if let Some(mailbox) = self.subscriptions.remove(&subscription) {
                    mailbox.end(Some(ClientError::Subscription { code, message, hint }));
                }
            }
            ClientOutput::SessionFailed { code, message, .. } => {
                tracing::warn!(code, message, "the server ended the session");
                self.connection_trouble = Some(Trouble { code, message });
                self.has_server_said_why = true;
            }
            ClientOutput::Accepted { number, effects, checkpoint } => {
                let accepted = Accepted { effects, checkpoint: Some(checkpoint) };
                self.progress(number, Progress::Accepted(number, accepted));
                self.writes.remove(&number);
            }
            ClientOutput::Rejected { number, code, message, op } => {
                let rejected = Rejected { number, code, message, op, n_missed: 0 };
                self.progress(number, Progress::Rejected(rejected.clone()));
                self.writes.remove(&number);
                // Nobody may be listening; the write itself tells its own.
                let _ = self.published.rejections.send(rejected);
            }
            ClientOutput::Renumbered { numbers } => self.renumber(&numbers),
            ClientOutput::Status(status) => {
                self.connection = status;
                if matches!(status, Status::Syncing | Status::Synced(_)) {
                    self.connection_trouble = None;
                }
            }
        }
    }

    fn keep(&self, give: impl FnOnce(&StoreWorker)) {
        if let Some(store) = &self.store {
            give(store);
        }
    }

    fn progress(&self, number: ClientSeq, progress: Progress) {
        if let Some(Some(watchers)) = self.writes.get(&number) {
            watchers.send_replace(progress);
        }
    }

    /// Old and new numbers may overlap, so all are taken out before any is put back.
    fn renumber(&mut self, numbers: &[(ClientSeq, ClientSeq)]) {
        let moved: Vec<_> = numbers
            .iter()
            .filter_map(|(old, new)| Some((*new, self.writes.remove(old)?)))
            .collect();
        for (new, watchers) in moved {
            if let Some(watchers) = &watchers {
                watchers.send_modify(|progress| match progress {
                    Progress::Visible(number) | Progress::Stored(number) => *number = new,
                    Progress::Accepted(..) | Progress::Rejected(_) => {}
                });
            }
            self.writes.insert(new, watchers);
        }
    }

    /// Hands over as many frames as the connection takes.
    fn send(&mut self) {
        let Link::Up(connection) = &self.link else { return };
        while !self.unsent.is_empty() {
            let Ok(permit) = connection.outgoing.try_reserve() else { return };
            let message = self.unsent.pop_front().expect("there is one");
            permit.send(Codec::Binary.encode_client(&message));
        }
    }

    fn publish_status(&self) {
        let trouble = self.store_trouble.as_ref().or(self.connection_trouble.as_ref());
        let status = ClientStatus {
            connection: self.connection,
            n_unanswered: self.writes.len(),
            trouble: trouble.cloned(),
        };
        self.published.status.send_if_modified(|published| {
            let is_new = *published != status;
            *published = status;
            is_new
        });
    }
}

/// However the driver ends, by a panic too, no reader waits for ever.
impl Drop for Driver {
    fn drop(&mut self) {
        for mailbox in self.subscriptions.values() {
            mailbox.end(None);
        }
    }
}

async fn stored(store: &mut Option<StoreWorker>) -> Option<StoreEvent> {
    match store {
        Some(worker) => worker.event().await,
        None => None,
    }
}

async fn ring(alarm: Option<Alarm>) -> Alarm {
    match alarm {
        Some(alarm) => {
            sleep_until(alarm.at).await;
            alarm
        }
        None => pending().await,
    }
}

//! The interface: calls go to the driver by channel, reads look at what it has published.

use std::fmt;
use std::sync::Arc;

use futures_util::Stream;
use parking_lot::Mutex;
use tercet_engine::db::{Query, ShapeStats};
use tercet_engine::fact::Op;
use tercet_engine::ids::Checkpoint;
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_query_lang::{Inputs, IntoQuery};
use tercet_schema::Schema;
use tercet_sync::message::Mode;
use tercet_sync::{ClientPeer, Digest, Outbox, Status, SubscriptionId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::config::{ClientConfig, Clock, random_seed, system_clock};
use crate::driver::{Command, Driver, Parts, Published};
use crate::error::ClientError;
use crate::query::{QueryAnswer, QueryRequest};
use crate::status::{ClientStatus, REJECTIONS_KEPT, Rejected, rejections, status_changes};
use crate::store::{StoreWorker, load};
use crate::subscription::{SubscribeOptions, Subscription};
use crate::transport::{Transport, WebSocketTransport};
use crate::write::{Transaction, Write};

/// Calls that may wait for the driver; further ones wait to be let in.
const COMMANDS_QUEUED: usize = 256;

/// A replica of an app, and the connection that keeps it in step. A clone is the same replica.
///
/// When the last clone and the last [`Subscription`] are dropped the client ends, as by
/// [`Client::close`]; without a store, writes that the server has not accepted end with it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    commands: mpsc::Sender<Command>,
    /// Of its own, because a dropped subscription cannot wait for room. Holds at most as many as
    /// there are subscriptions.
    unsubscribed: mpsc::UnboundedSender<SubscriptionId>,
    view: Arc<Mutex<Snapshot>>,
    status: watch::Receiver<ClientStatus>,
    rejections: broadcast::WeakSender<Rejected>,
    schema: Option<Schema>,
    budget: Budget,
}

impl Client {
    /// Starts a replica. Returns at once: everything works without a connection, which is made
    /// as soon as it can be, and again whenever it is lost. Reads the store, if one is given: what it
    /// holds is in the first answers.
    ///
    /// # Errors
    /// When the configuration is not valid, or the store cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(config: ClientConfig) -> Result<Client, ClientError> {
        let transport = WebSocketTransport::new(&config.url, &config.app)?;
        Client::connect_over(config, transport, system_clock())
    }

    /// As [`Client::connect`], over another transport and with another clock; the URL and the
    /// app of the configuration are not looked at.
    ///
    /// # Errors
    /// When the store cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_over(
        config: ClientConfig,
        transport: impl Transport,
        clock: Clock,
    ) -> Result<Client, ClientError> {
        let ClientConfig { key, mut store, schema, limits, budget, .. } = config;
        let (durable, seed) = (store.is_some(), random_seed());
        let peer_config =
            tercet_sync::ClientConfig { key, seed, durable, limits, budget: budget.clone() };
        let (unanswered, peer) = match &mut store {
            Some(store) => {
                let (outbox, cache) = load(store.as_mut())?;
                let unanswered = outbox.entries.iter().map(|entry| entry.number).collect();
                (unanswered, ClientPeer::restore(peer_config, outbox, cache, clock()))
            }
            None => (Vec::new(), ClientPeer::new(peer_config, Outbox::default(), clock())),
        };

        let view = Arc::new(Mutex::new(peer.view()));
        let (status_sender, status) = watch::channel(ClientStatus {
            connection: Status::Connecting,
            n_unanswered: unanswered.len(),
            trouble: None,
        });
        let rejections = broadcast::Sender::new(REJECTIONS_KEPT);
        let weak_rejections = rejections.downgrade();
        let (commands, command_queue) = mpsc::channel(COMMANDS_QUEUED);
        let (unsubscribed, unsubscribed_queue) = mpsc::unbounded_channel();
        let driver = Driver::new(Parts {
            peer,
            transport: Box::new(transport),
            clock,
            commands: command_queue,
            unsubscribed: unsubscribed_queue,
            store: store.map(StoreWorker::start),
            unanswered,
            published: Published { view: Arc::clone(&view), status: status_sender, rejections },
        });
        tokio::spawn(driver.run());
        let rejections = weak_rejections;
        let inner = Inner { commands, unsubscribed, view, status, rejections, schema, budget };
        Ok(Client { inner: Arc::new(inner) })
    }

    /// Writes. When this returns, the write is visible here; what becomes of it is told by the
    /// [`Write`]. The operations are applied and shown whole, in order. A `remove` or `restore`
    /// without a cover covers what this replica sees.
    ///
    /// # Errors
    /// When an operation does not fit the schema, a limit is exceeded, or an entity is known to be
    /// deleted. Nothing is written then.
    pub async fn transact(&self, ops: Vec<Op>) -> Result<Write, ClientError> {
        if let Some(schema) = &self.inner.schema {
            schema.check(&ops)?;
        }
        self.transact_checked(ops).await
    }

    /// As [`Client::transact`], for operations that an entity type has checked.
    pub(crate) async fn transact_checked(&self, ops: Vec<Op>) -> Result<Write, ClientError> {
        self.call(|reply| Command::Transact { ops, reply }).await?
    }

    /// Puts a transaction together and writes it.
    ///
    /// ```no_run
    /// # async fn run(client: tercet_client::Client) -> Result<(), tercet_client::ClientError> {
    /// let write = client
    ///     .write(|tx| {
    ///         tx.set("u1", "user/name", "Ann").add("u1", "user/tags", "admin");
    ///         tx.delete("u2");
    ///     })
    ///     .await?;
    /// write.stored().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When a text is no id or no attribute, and as for [`Client::transact`].
    pub async fn write(&self, give: impl FnOnce(&mut Transaction)) -> Result<Write, ClientError> {
        let mut transaction = Transaction::default();
        give(&mut transaction);
        self.transact(transaction.finish()?).await
    }

    /// Asks once. Connected, it waits for the complete answer; without a connection, or with
    /// [`QueryRequest::local`], it answers from what is held here.
    ///
    /// ```no_run
    /// # async fn run(client: tercet_client::Client) -> Result<(), tercet_client::ClientError> {
    /// let text = "[:find ?u . :in $ ?name :where [?u :user/name ?name]]";
    /// let found = client.query(text, ["Ann"]).await?;
    /// let held = client.query(text, ["Ann"]).local().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// Awaiting it fails when the query or its inputs are not valid or the evaluation goes over
    /// its budget; and, unless it is local, for queries that cannot be live.
    pub fn query(&self, query: impl IntoQuery, inputs: impl Into<Inputs>) -> QueryRequest {
        QueryRequest::new(self, query, inputs.into())
    }

    /// Watches a query.
    ///
    /// # Errors
    /// When the query or its inputs are not valid, or the query cannot be live.
    pub async fn subscribe(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
        options: SubscribeOptions,
    ) -> Result<Subscription, ClientError> {
        self.watch(query.into_query()?, inputs.into().0, options.mode, false).await
    }

    pub(crate) async fn watch(
        &self,
        query: Query,
        inputs: Vec<Input>,
        mode: Mode,
        once: bool,
    ) -> Result<Subscription, ClientError> {
        let asked = query.clone();
        let subscribe = |reply| Command::Subscribe { query: asked, inputs, mode, once, reply };
        let (id, mailbox) = self.call(subscribe).await??;
        Ok(Subscription::new(id, query, mailbox, self.clone()))
    }

    /// What live queries over what is held here have cost so far, by shape: queries that differ in
    /// constants and inputs alone. Those that the server evaluates are not among them.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn live_stats(&self) -> Result<Vec<ShapeStats>, ClientError> {
        self.call(|reply| Command::LiveStats { reply }).await
    }

    /// The facts held here, own pending writes included. Stays as it is.
    pub fn view(&self) -> Snapshot {
        self.inner.view.lock().clone()
    }

    /// The state now.
    pub fn status(&self) -> ClientStatus {
        self.inner.status.borrow().clone()
    }

    /// The states from now on; a slow reader sees the latest one. Ends with the client.
    pub fn status_changes(&self) -> impl Stream<Item = ClientStatus> + Send + Unpin + use<> {
        let mut receiver = self.inner.status.clone();
        receiver.mark_unchanged();
        status_changes(receiver)
    }

    /// The rejections from now on, also of writes of earlier processes. Ends with the client.
    pub fn rejections(&self) -> impl Stream<Item = Rejected> + Send + Unpin + use<> {
        let receiver = match self.inner.rejections.upgrade() {
            Some(sender) => sender.subscribe(),
            None => broadcast::channel(1).1, // the driver has ended, and so does this stream
        };
        rejections(receiver)
    }

    /// Waits until the server has answered everything written so far. Without a connection that
    /// may be never: give it a time limit of your own.
    ///
    /// # Errors
    /// When the client is closed first.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let mut status = self.inner.status.clone();
        let is_answered = |status: &ClientStatus| status.n_unanswered == 0;
        status.wait_for(is_answered).await.map_err(|_| ClientError::Closed)?;
        Ok(())
    }

    /// Waits until everything up to a checkpoint is held here and every subscription has joined:
    /// from then on, as long as the connection lasts, complete answers are at least as new. The
    /// checkpoint may be another client's, or one that an HTTP route has told. Without a
    /// connection that may be never: give it a time limit of your own.
    ///
    /// # Errors
    /// When the server has another history, or the client is closed first.
    pub async fn synced_to(&self, checkpoint: Checkpoint) -> Result<(), ClientError> {
        self.call(|reply| Command::SyncedTo { checkpoint, reply }).await?
    }

    /// The fingerprint of the facts that subscriptions hold here, at its checkpoint; none before
    /// the first one. Equal to the server's digest at that checkpoint where every fact is needed.
    ///
    /// # Errors
    /// When the client is closed.
    pub async fn digest(&self) -> Result<Option<Digest>, ClientError> {
        self.call(|reply| Command::Digest { reply }).await
    }

    /// Ends the replica, for all clones: streams end, unfinished calls fail. Waits until the store
    /// has what it was given, not for the server: [`Client::flush`] does that.
    pub async fn close(&self) {
        // An error means that it is closed already.
        let _ = self.call(|reply| Command::Close { reply }).await;
    }

    pub(crate) fn unsubscribe(&self, id: SubscriptionId) {
        // Without a driver there is nothing to end.
        let _ = self.inner.unsubscribed.send(id);
    }

    /// Evaluates over what is held. Off the event loop, because a query may take its time.
    pub(crate) async fn query_held(
        &self,
        query: &Query,
        inputs: Vec<Input>,
    ) -> Result<QueryAnswer, ClientError> {
        let (query, view, budget) = (query.clone(), self.view(), self.inner.budget.clone());
        let pending = self.status().n_unanswered > 0;
        let run = tokio::task::spawn_blocking(move || query.run(&view, &inputs, &budget));
        let answer = run.await.expect("an evaluation neither panics nor is aborted")?;
        Ok(QueryAnswer { answer: Arc::new(answer), complete: false, pending })
    }

    async fn call<Reply>(
        &self,
        command: impl FnOnce(oneshot::Sender<Reply>) -> Command,
    ) -> Result<Reply, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.inner.commands.send(command(reply)).await.map_err(|_| ClientError::Closed)?;
        answer.await.map_err(|_| ClientError::Closed)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("status", &*self.inner.status.borrow()).finish()
    }
}

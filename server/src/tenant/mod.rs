//! The tenants that are in memory: each loaded when it is first asked for, owned by one task.
//!
//! A handle sends commands to the task and holds nothing of the tenant. A task ends when it has
//! been idle and nobody has a handle, when its log fails, when it panics, or when the server
//! stops; whoever asks next loads the tenant again from its log. A command that was on its way to
//! a failed task is answered with [`Gone`]: whether it was carried out is not known, exactly as if
//! the network had failed. A log is closed before anybody can see that its task has ended.

mod command;
mod load;
mod outbound;
mod task;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Op;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Epoch, Seq};
use tercet_engine::store::Snapshot;
use tercet_storage::{StorageError, StoragePool, TenantId};
use tercet_sync::{
    Digest, Identity, RecoveryError, Rights, SessionId, TenantStats, TransactAccepted,
    TransactError,
};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};

pub(crate) use command::Command;
pub(crate) use outbound::{Inbound, Queued, queue};

use crate::auth::Grant;
use crate::limits::ServerLimits;

/// The tenant's task ended before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the app is being loaded again; try again")]
pub(crate) struct Gone;

/// Why a tenant is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Its log cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its log is none that a tenant wrote.
    #[error("the log of {tenant} cannot be replayed: {error}")]
    Recovery {
        /// Whose.
        tenant: TenantId,
        /// What is wrong with it.
        error: RecoveryError,
    },
    /// Its replay panicked.
    #[error("the replay of {tenant} panicked")]
    Panicked {
        /// Whose.
        tenant: TenantId,
    },
}

/// The way to a tenant's task. A clone is the same way.
#[derive(Clone)]
pub(crate) struct TenantHandle {
    commands: mpsc::Sender<Command>,
    epoch: Epoch,
    head: watch::Receiver<Seq>,
}

impl TenantHandle {
    /// The history it has.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Tells when there are new commits: the last one that is published. Ends with the task.
    pub(crate) fn head(&self) -> watch::Receiver<Seq> {
        self.head.clone()
    }

    /// Hands over a command; waits while too many wait already.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Hands over a transaction; its answer comes when it is durable or refused.
    pub(crate) async fn start_transact(
        &self,
        identity: Option<Identity>,
        ops: Vec<Op>,
        rights: Rights,
    ) -> Result<oneshot::Receiver<Result<TransactAccepted, TransactError>>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Transact { identity, ops, rights, reply }).await?;
        Ok(answer)
    }

    /// The published facts.
    pub(crate) async fn snapshot(&self) -> Result<(Snapshot, Checkpoint), Gone> {
        self.ask(|reply| Command::Snapshot { reply }).await
    }

    /// The fingerprint of the published facts.
    pub(crate) async fn digest(&self) -> Result<Digest, Gone> {
        self.ask(|reply| Command::Digest { reply }).await
    }

    /// What is in memory, and what it has cost.
    pub(crate) async fn stats(&self) -> Result<TenantStats, Gone> {
        self.ask(|reply| Command::Stats { reply }).await
    }

    /// The last durable number of a client.
    pub(crate) async fn last_number(&self, client: ClientId) -> Result<ClientSeq, Gone> {
        self.ask(|reply| Command::LastNumber { client, reply }).await
    }

    /// Commits after a seq, from the log.
    pub(crate) async fn changes(
        &self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Result<Vec<LogRecord>, StorageError>, Gone> {
        self.ask(|reply| Command::Changes { after, n_max, bytes_max, reply }).await
    }
}

type Slot = Arc<OnceCell<TenantHandle>>;

/// The tenants that are in memory or on their way there.
type Slots = Arc<Mutex<BTreeMap<TenantId, Slot>>>;

/// Where a task finds the slot that leads to it.
struct Place {
    slots: Slots,
    tenant: TenantId,
}

impl Place {
    /// Takes the tenant out of memory, if nobody can send to its task any more. `close` runs
    /// before anybody can load the tenant again.
    fn leave(&self, commands: &mpsc::Receiver<Command>, close: impl FnOnce()) -> bool {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.get(&self.tenant) else { return false };
        // The slot itself holds one sender. Handles are taken from slots that were found under
        // this lock, so nobody is about to take another one.
        let is_unused = Arc::strong_count(slot) == 1
            && commands.sender_strong_count() == 1
            && commands.is_empty();
        if is_unused {
            close();
            slots.remove(&self.tenant);
        }
        is_unused
    }
}

/// All tenants of a server.
pub(crate) struct Tenants {
    pool: Arc<StoragePool>,
    limits: Arc<ServerLimits>,
    slots: Slots,
    /// Every task holds a receiver: closed when all have ended.
    stop: watch::Sender<bool>,
    last_session: AtomicU64,
}

impl Tenants {
    pub(crate) fn new(pool: Arc<StoragePool>, limits: Arc<ServerLimits>) -> Tenants {
        Tenants {
            pool,
            limits,
            slots: Slots::default(),
            stop: watch::Sender::new(false),
            last_session: AtomicU64::new(0),
        }
    }

    /// A number for a session that no other session of this server had.
    pub(crate) fn next_session(&self) -> SessionId {
        SessionId(self.last_session.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The tenant that a grant is about, loaded if it is not there. Those who ask at the same
    /// time wait for one loading.
    pub(crate) async fn get(&self, grant: &Grant) -> Result<TenantHandle, LoadError> {
        let tenant = grant.tenant();
        loop {
            let slot = Arc::clone(self.slots.lock().entry(tenant.clone()).or_default());
            let place = Place { slots: Arc::clone(&self.slots), tenant: tenant.clone() };
            let load = || load::start(&self.pool, place, &self.limits, self.stop.subscribe());
            let outcome = slot.get_or_try_init(load).await;
            match outcome {
                Ok(handle) if !handle.commands.is_closed() => return Ok(handle.clone()),
                Ok(_) => self.forget(tenant, &slot),
                Err(error) => {
                    self.forget(tenant, &slot);
                    return Err(error);
                }
            }
        }
    }

    /// A tenant, if it is in memory.
    pub(crate) fn loaded(&self, tenant: &TenantId) -> Option<TenantHandle> {
        let slots = self.slots.lock();
        let handle = slots.get(tenant)?.get()?;
        (!handle.commands.is_closed()).then(|| handle.clone())
    }

    /// Removes a slot, unless another one has taken its place.
    fn forget(&self, tenant: &TenantId, slot: &Slot) {
        let mut slots = self.slots.lock();
        if slots.get(tenant).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            slots.remove(tenant);
        }
    }

    /// Tells all tasks to end, and waits until their outstanding appends are answered.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

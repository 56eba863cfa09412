//! The task that owns one tenant: commands in, effects out, one after another.
//!
//! It never waits for a socket, and for the disk only by going on with other commands meanwhile:
//! the state machine stages what comes, and appends it together when the last append is done
//! (group commit). Memory never runs ahead of the disk: when an append may or may not have
//! happened, the task ends and the tenant is rebuilt from its log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tercet_engine::commit::LogRecord;
use tercet_engine::ids::Seq;
use tercet_storage::{StorageError, TenantLog};
use tercet_sync::{
    AppendFailure, RequestId, SessionId, Tenant, TenantOutput, TransactAccepted, TransactError,
};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::Place;
use super::command::Command;
use super::outbound::{Level, Outbound};
use crate::clock::{self, Deadline};
use crate::limits::ServerLimits;
use crate::server::stopped;
use crate::storage;

/// How often the tenant is told that time passes.
const TICK: Duration = Duration::from_secs(1);

/// How many waiting commands are carried out before appends and time are looked at again.
const COMMANDS_AT_ONCE: usize = 64;

type TransactReply = oneshot::Sender<Result<TransactAccepted, TransactError>>;
type AppendResult = Result<(), StorageError>;

/// One tenant with everything that belongs to it.
///
/// The log comes before the commands, so that it is closed before anybody can see that this task
/// has gone and opens it again. It is there until the task leaves.
pub(super) struct Task {
    log: Option<TenantLog>,
    commands: mpsc::Receiver<Command>,
    place: Place,
    tenant: Tenant,
    sessions: BTreeMap<SessionId, Outbound>,
    replies: BTreeMap<RequestId, TransactReply>,
    next_request: u64,
    append_done: mpsc::Sender<AppendResult>,
    append_results: mpsc::Receiver<AppendResult>,
    /// The last commit that is published.
    head: watch::Sender<Seq>,
    /// An append has been handed to storage and not been answered.
    is_appending: bool,
    /// Subscriptions wait to be taken up again, and no time has to pass for it.
    is_retry_due: bool,
    /// The log failed; the task ends.
    has_failed: bool,
    /// Evaluations are stopped at it.
    deadline: Deadline,
    limits: Arc<ServerLimits>,
}

/// What woke the task up.
enum Event {
    Command(Command),
    Appended(AppendResult),
    Tick,
    /// Nothing else is to be done now.
    Retry,
    /// The server stops, or nobody can send commands any more.
    Stop,
}

impl Task {
    pub(super) fn new(
        place: Place,
        log: TenantLog,
        commands: mpsc::Receiver<Command>,
        state: Tenant,
        deadline: Deadline,
        limits: Arc<ServerLimits>,
        head: watch::Sender<Seq>,
    ) -> Task {
        let (append_done, append_results) = mpsc::channel(1);
        Task {
            log: Some(log),
            commands,
            place,
            tenant: state,
            sessions: BTreeMap::new(),
            replies: BTreeMap::new(),
            next_request: 0,
            append_done,
            append_results,
            head,
            is_appending: false,
            is_retry_due: false,
            has_failed: false,
            deadline,
            limits,
        }
    }

    /// Runs until the tenant is idle, its log fails, or the server stops.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_command = Instant::now();
        while !self.has_failed {
            let event = tokio::select! {
                biased;
                () = stopped(&mut stop) => Event::Stop,
                Some(result) = self.append_results.recv() => Event::Appended(result),
                _ = ticks.tick() => Event::Tick,
                command = self.commands.recv() => command.map_or(Event::Stop, Event::Command),
                // Only when nothing else is there: others wait for one step of it at most.
                () = tokio::task::yield_now(), if self.is_retry_due => Event::Retry,
            };
            match event {
                Event::Command(command) => {
                    last_command = Instant::now();
                    blocking(|| self.carry_out_waiting(command));
                }
                Event::Appended(result) => blocking(|| self.appended(result)),
                Event::Tick if self.is_idle(last_command) && self.unload() => return,
                Event::Tick | Event::Retry => blocking(|| self.tick()),
                Event::Stop => return self.finish().await,
            }
        }
    }

    fn is_idle(&self, last_command: Instant) -> bool {
        self.sessions.is_empty()
            && !self.is_appending
            && last_command.elapsed() >= self.limits.tenant_idle
    }

    /// Leaves, unless somebody can still send to this task.
    fn unload(&mut self) -> bool {
        let has_left = self.place.leave(&self.commands, || self.log = None);
        if has_left {
            tracing::info!("tenant is unloaded");
        }
        has_left
    }

    /// The server stops: carries out what was sent before, and waits for what is on its way to the
    /// disk.
    async fn finish(mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if !self.has_failed {
                blocking(|| self.carry_out(command));
            }
        }
        while self.is_appending && !self.has_failed {
            let Some(result) = self.append_results.recv().await else { break };
            blocking(|| self.appended(result));
        }
        tracing::info!("tenant is closed");
    }

    fn carry_out_waiting(&mut self, first: Command) {
        self.carry_out(first);
        for _ in 1..COMMANDS_AT_ONCE {
            match self.commands.try_recv() {
                Ok(command) if !self.has_failed => self.carry_out(command),
                _ => break,
            }
        }
    }

    /// Carries out one command. An answer that nobody waits for any more is dropped.
    fn carry_out(&mut self, command: Command) {
        let now_ms = self.start_step();
        match command {
            Command::Connect { session, rights, hello, outbound } => {
                self.sessions.insert(session, outbound);
                self.tenant.connect(session, rights, &hello, now_ms);
            }
            Command::Receive { session, message } => {
                self.tenant.receive(session, message, now_ms);
            }
            Command::Drained { session } => {
                if let Some(outbound) = self.sessions.get_mut(&session) {
                    outbound.drained();
                    self.tenant.backlog(session, 0);
                }
            }
            Command::Disconnect { session } => {
                if self.sessions.remove(&session).is_some() {
                    self.tenant.disconnect(session);
                }
            }
            Command::Transact { identity, ops, rights, reply } => {
                self.next_request += 1;
                let request = RequestId(self.next_request);
                self.replies.insert(request, reply);
                self.tenant.transact(request, identity, ops, rights, now_ms);
            }
            Command::Snapshot { reply } => {
                let _ = reply.send(self.tenant.snapshot());
            }
            Command::Digest { reply } => {
                let _ = reply.send(self.tenant.digest());
            }
            Command::Stats { reply } => {
                let _ = reply.send(self.tenant.stats());
            }
            Command::LastNumber { client, reply } => {
                let _ = reply.send(self.tenant.last_number(&client));
            }
            Command::Changes { after, n_max, bytes_max, reply } => {
                let read = self.log().submit(move |log| {
                    let _ = reply.send(log.changes(after, n_max, bytes_max));
                });
                // The reply went with the job: its receiver sees that it was dropped.
                if let Err(error) = read {
                    tracing::warn!(code = error.code(), "changes were not read");
                }
            }
        }
        self.do_outputs();
    }

    fn appended(&mut self, result: AppendResult) {
        self.is_appending = false;
        let now_ms = self.start_step();
        match result {
            Ok(()) => self.tenant.appended(Ok(()), now_ms),
            Err(error) if nothing_is_stored(&error) => {
                tracing::error!(code = error.code(), %error, "the log was not appended to");
                let message = error.to_string();
                self.tenant.appended(Err(AppendFailure { message }), now_ms);
            }
            Err(error) => self.fail(&error),
        }
        if !self.has_failed {
            self.do_outputs();
            let seq = self.tenant.snapshot().1.seq;
            self.head.send_if_modified(|head| std::mem::replace(head, seq) != seq);
        }
    }

    fn tick(&mut self) {
        let now_ms = self.start_step();
        self.is_retry_due = self.tenant.tick(now_ms);
        self.do_outputs();
    }

    /// The time, and a new deadline for evaluations that follow.
    fn start_step(&self) -> u64 {
        self.deadline.restart(self.limits.query_time);
        clock::now_ms()
    }

    fn log(&self) -> &TenantLog {
        self.log.as_ref().expect("a task that has left carries nothing out")
    }

    fn fail(&mut self, error: &StorageError) {
        tracing::error!(code = error.code(), %error, "the log failed; the tenant is loaded again");
        self.has_failed = true;
    }

    fn do_outputs(&mut self) {
        while let Some(output) = self.tenant.poll() {
            match output {
                TenantOutput::Append(records) => self.append(records),
                TenantOutput::Send { session, frame } => self.send(session, frame),
                TenantOutput::Close { session, code, message } => {
                    if let Some(outbound) = self.sessions.remove(&session) {
                        outbound.close(code, message);
                    }
                }
                TenantOutput::Reply { request, result } => {
                    if let Some(reply) = self.replies.remove(&request) {
                        // Nobody waits any more when the request was given up.
                        let _ = reply.send(result);
                    }
                }
            }
        }
    }

    fn append(&mut self, records: Vec<LogRecord>) {
        assert!(!self.is_appending, "there is at most one unanswered append");
        self.is_appending = true;
        let answer = AppendAnswer { done: self.append_done.clone(), result: None };
        let tenant = self.place.tenant.clone();
        let submitted = self.log().submit(move |log| {
            let mut answer = answer;
            let span = tracing::debug_span!("storage_append", %tenant, n_changes = records.len());
            answer.result = Some(span.in_scope(|| log.append(&records)));
        });
        if let Err(error) = submitted {
            // The dropped job has answered that it was lost; nothing of it was stored.
            tracing::warn!(code = error.code(), "an append was not taken");
        }
    }

    fn send(&mut self, session: SessionId, frame: tercet_sync::SharedFrame) {
        let Some(outbound) = self.sessions.get_mut(&session) else { return };
        match outbound.push(frame) {
            Level::Fine => {}
            Level::Slow(n_queued) => self.tenant.backlog(session, n_queued),
            Level::Over => {
                tracing::debug!(%session, "session is cut off");
                self.sessions.remove(&session);
                self.tenant.disconnect(session);
            }
        }
    }
}

/// Answers an append when it is dropped, whether the job ran, panicked or was never run.
struct AppendAnswer {
    done: mpsc::Sender<AppendResult>,
    result: Option<AppendResult>,
}

impl Drop for AppendAnswer {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(storage::lost("a tenant's log")));
        // Nobody waits any more when the task has ended; there is one append at a time.
        let _ = self.done.try_send(result);
    }
}

/// Whether a refused batch is certainly not in the log. After any other error it may be, and only
/// the log itself can tell.
fn nothing_is_stored(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Full { .. } | StorageError::Overloaded { .. } | StorageError::TooLarge { .. }
    )
}

/// Runs what may take long (a query's evaluation) without holding up other tasks, where the
/// runtime has other threads.
fn blocking(step: impl FnOnce()) {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => step(),
        _ => tokio::task::block_in_place(step),
    }
}

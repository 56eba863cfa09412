//! A server in memory and the wire to it, for tests of whole clients.
//!
//! The server is the real state machine; what is faked is everything with a clock, a socket or a
//! disk: sessions are pairs of channels, appends succeed at once, and time is virtual, so that
//! back-offs of half a minute pass in no time. The wire can be cut and the server made to refuse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tercet_client::{
    Client, ClientConfig, Clock, Connecting, Connection, Transport, TransportError,
};
use tercet_engine::ids::{Checkpoint, Epoch, ReplicaId};
use tercet_engine::limits::Budget;
use tercet_engine::store::Snapshot;
use tercet_sync::message::{ClientMessage, ErrorMessage, ServerMessage, SubscribedState};
use tercet_sync::{Codec, Limits, Recovery, Rights, SessionId, Tenant, TenantConfig, TenantOutput};
use tokio::sync::mpsc;
use tokio::time::Instant;

const FRAME_BYTES_MAX: u64 = 16 << 20;

/// A tenant and its sessions. A clone is the same server.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<State>>);

struct State {
    tenant: Tenant,
    clock: Clock,
    rights: Rights,
    is_reachable: bool,
    is_key_known: bool,
    n_sessions: u64,
    n_refused: u64,
    /// Subscriptions that got everything anew.
    n_resets: u64,
    sessions: BTreeMap<SessionId, mpsc::Sender<Result<Bytes, TransportError>>>,
}

/// Virtual time as time of day.
fn clock() -> Clock {
    let start = Instant::now();
    Arc::new(move || 1_700_000_000_000 + start.elapsed().as_millis() as u64)
}

fn config(epoch: Epoch, limits: Limits) -> TenantConfig {
    TenantConfig {
        epoch,
        replica: ReplicaId(99),
        seed: [9; 32],
        drift_ms_max: 60_000,
        limits,
        budget: Budget::unlimited(),
    }
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::with_limits(Limits::default())
    }

    pub(crate) fn with_limits(limits: Limits) -> Server {
        let config = config(Epoch(7), limits);
        Server(Arc::new(Mutex::new(State {
            tenant: Recovery::new(config).finish(),
            clock: clock(),
            rights: Rights { write: true },
            is_reachable: true,
            is_key_known: true,
            n_sessions: 0,
            n_refused: 0,
            n_resets: 0,
            sessions: BTreeMap::new(),
        })))
    }

    /// A client of this server, without an outbox.
    pub(crate) fn client(&self) -> Client {
        self.client_of(ClientConfig::new("", "", "key"))
    }

    pub(crate) fn client_of(&self, config: ClientConfig) -> Client {
        let clock = Arc::clone(&self.0.lock().clock);
        Client::connect_over(config, self.clone(), clock).expect("the configuration is valid")
    }

    /// A client whose clock differs from the server's by so many milliseconds, which may change.
    pub(crate) fn client_with_skew(&self, skew_ms: Arc<AtomicI64>) -> Client {
        let clock = Arc::clone(&self.0.lock().clock);
        let skewed = move || clock().saturating_add_signed(skew_ms.load(Ordering::Relaxed));
        let config = ClientConfig::new("", "", "key");
        Client::connect_over(config, self.clone(), Arc::new(skewed)).expect("it is valid")
    }

    /// Puts a server with another, empty history in the place of this one, as a restored backup
    /// does, and ends all sessions.
    pub(crate) fn lose_history(&self) {
        let mut state = self.0.lock();
        state.sessions.clear();
        state.tenant = Recovery::new(config(Epoch(8), Limits::default())).finish();
    }

    /// From now on sessions are refused for their key.
    pub(crate) fn revoke_key(&self) {
        self.0.lock().is_key_known = false;
    }

    /// Sessions from now on may not write.
    pub(crate) fn forbid_writes(&self) {
        self.0.lock().rights.write = false;
    }

    /// Ends all sessions and refuses new ones.
    pub(crate) fn cut(&self) {
        let mut state = self.0.lock();
        state.is_reachable = false;
        let sessions = std::mem::take(&mut state.sessions);
        for session in sessions.into_keys() {
            state.tenant.disconnect(session);
        }
        state.settle();
    }

    /// Takes connections again.
    pub(crate) fn heal(&self) {
        self.0.lock().is_reachable = true;
    }

    /// How many connections were refused, and how many were made.
    pub(crate) fn n_refused_and_made(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.n_refused, state.n_sessions)
    }

    /// How many subscriptions have got everything anew.
    pub(crate) fn n_resets(&self) -> u64 {
        self.0.lock().n_resets
    }

    pub(crate) fn snapshot(&self) -> (Snapshot, Checkpoint) {
        self.0.lock().tenant.snapshot()
    }
}

fn is_reset(frame: &[u8]) -> bool {
    let message = Codec::Binary.decode_server(frame, FRAME_BYTES_MAX).expect("it is a message");
    let reset = SubscribedState::Reset;
    matches!(message, ServerMessage::Subscribed(subscribed) if subscribed.state == reset)
}

impl State {
    /// Does all the tenant wants done. Every append succeeds.
    fn settle(&mut self) {
        while let Some(output) = self.tenant.poll() {
            match output {
                TenantOutput::Append(_) => self.tenant.appended(Ok(()), (self.clock)()),
                TenantOutput::Send { session, frame } => {
                    self.n_resets += u64::from(is_reset(&frame.bytes(Codec::Binary)));
                    if let Some(wire) = self.sessions.get(&session) {
                        // A client that has dropped its end is about to be noticed.
                        let _ = wire.try_send(Ok(frame.bytes(Codec::Binary)));
                    }
                }
                TenantOutput::Close { session, .. } => {
                    self.sessions.remove(&session);
                }
                TenantOutput::Reply { .. } => unreachable!("nobody asks by HTTP here"),
            }
        }
    }

    /// What the server in front of the tenant says to a wrong key.
    fn refuse(&mut self, session: SessionId) {
        let error = ServerMessage::Error(ErrorMessage {
            code: "forbidden".into(),
            message: "this key opens nothing here".into(),
            hint: None,
            subscription: None,
        });
        if let Some(wire) = self.sessions.remove(&session) {
            let _ = wire.try_send(Ok(Codec::Binary.encode_server(&error)));
        }
    }

    fn receive(&mut self, session: SessionId, frame: &[u8]) {
        let message =
            Codec::Binary.decode_client(frame, FRAME_BYTES_MAX).expect("clients send messages");
        let now_ms = (self.clock)();
        match message {
            ClientMessage::Hello(_) if !self.is_key_known => self.refuse(session),
            ClientMessage::Hello(hello) => {
                let rights = self.rights;
                self.tenant.connect(session, rights, &hello, now_ms);
            }
            message => self.tenant.receive(session, message, now_ms),
        }
        self.settle();
    }
}

impl Transport for Server {
    fn connect(&mut self) -> Connecting {
        let server = self.clone();
        Box::pin(async move {
            let mut state = server.0.lock();
            if !state.is_reachable {
                state.n_refused += 1;
                return Err(TransportError::new("the wire is cut"));
            }
            state.n_sessions += 1;
            let session = SessionId(state.n_sessions);
            let (outgoing, mut frames) = mpsc::channel::<Bytes>(64);
            let (wire, incoming) = mpsc::channel(4_096);
            state.sessions.insert(session, wire);
            drop(state);
            tokio::spawn(async move {
                while let Some(frame) = frames.recv().await {
                    let mut state = server.0.lock();
                    if !state.sessions.contains_key(&session) {
                        return;
                    }
                    state.receive(session, &frame);
                }
                let mut state = server.0.lock();
                if state.sessions.remove(&session).is_some() {
                    state.tenant.disconnect(session);
                    state.settle();
                }
            });
            Ok(Connection { outgoing, incoming })
        })
    }
}

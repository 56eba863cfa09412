//! Connections: two directions of frames in order, each of which may stand still or end.
//!
//! A frame is on its way for a while; frames of a direction arrive in the order they were sent.
//! Closing is a frame too, so that what was sent before it still arrives; a side that is gone
//! without a word never sends it. What breaks takes with it all that is on its way.

use std::collections::VecDeque;

use bytes::Bytes;
use tercet_engine::ids::ClientId;
use tercet_sync::{Codec, SessionId};

use super::paths::sometimes;
use super::world::{Event, World};

/// One connection of a run. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(pub(super) u64);

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Up,
    Down,
}

/// What is on its way.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Whole(Bytes),
    /// The beginning of one; nothing follows.
    Cut(Bytes),
    /// The other side has closed.
    End,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// With the time at which each arrives.
    pub(super) frames: VecDeque<(u64, Frame)>,
    pub(super) clogged_until_ms: u64,
    is_scheduled: bool,
}

/// A connection between a client and a server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) tenant: usize,
    pub(super) session: SessionId,
    /// Whose it is, once the server knows.
    pub(super) identity: Option<ClientId>,
    pub(super) codec: Codec,
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    /// Whether the side still has it.
    pub(super) has_client: bool,
    pub(super) has_server: bool,
    /// The tenant has had its hello.
    pub(super) is_known: bool,
    pub(super) last_heard_ms: u64,
    /// The server's queue is slow until so many frames have left it.
    pub(super) n_until_drained: Option<usize>,
}

impl Connection {
    fn pipe_mut(&mut self, direction: Direction) -> &mut Pipe {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    /// Whether a frame is on its way to a side that is there.
    pub(super) fn is_carrying(&self) -> bool {
        self.has_client && !self.down.frames.is_empty()
            || self.has_server && !self.up.frames.is_empty()
    }

    /// Frames in the queue towards the client.
    pub(super) fn n_queued(&self) -> usize {
        self.down.frames.len()
    }
}

impl World {
    /// Puts a frame on its way.
    pub(super) fn send(&mut self, id: ConnectionId, direction: Direction, frame: Frame) {
        let latency_ms = self.latency_ms();
        let arrives_at_ms = self.now_ms + latency_ms;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = connection.pipe_mut(direction);
        let after_ms = pipe.frames.back().map_or(0, |(at_ms, _)| *at_ms);
        let at_ms = arrives_at_ms.max(after_ms);
        pipe.frames.push_back((at_ms, frame));
        self.schedule_pipe(id, direction, at_ms);
    }

    fn schedule_pipe(&mut self, id: ConnectionId, direction: Direction, at_ms: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = connection.pipe_mut(direction);
        if !std::mem::replace(&mut pipe.is_scheduled, true) {
            self.schedule_at(at_ms, Event::Arrive(id, direction));
        }
    }

    /// When the frame in front may be looked at again, if not now.
    fn blocked_until(&self, id: ConnectionId, direction: Direction) -> Option<u64> {
        let connection = &self.connections[&id];
        let pipe = match direction {
            Direction::Up => &connection.up,
            Direction::Down => &connection.down,
        };
        let link = (connection.client, connection.server, direction);
        let partitioned = self.partitions.get(&link).copied().unwrap_or(0);
        let frozen = match direction {
            Direction::Up => self.servers[connection.server].frozen_until_ms,
            Direction::Down => self.clients[connection.client].frozen_until_ms,
        };
        // A server reads no request while its answers are not read.
        let n_queued_max = (self.limits.queue_max as usize / 4).max(1);
        let is_full = direction == Direction::Up && connection.n_queued() >= n_queued_max;
        let full = if is_full && connection.has_client { self.now_ms + 20 } else { 0 };
        let until_ms = pipe.clogged_until_ms.max(partitioned).max(frozen).max(full);
        (until_ms > self.now_ms).then_some(until_ms)
    }

    /// The frame in front has come to its end of the connection.
    pub(super) fn arrive(&mut self, id: ConnectionId, direction: Direction) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.pipe_mut(direction).is_scheduled = false;
        if let Some(until_ms) = self.blocked_until(id, direction) {
            return self.schedule_pipe(id, direction, until_ms);
        }
        let connection = self.connections.get_mut(&id).expect("it was there");
        let Some((_, frame)) = connection.pipe_mut(direction).frames.pop_front() else { return };
        match direction {
            Direction::Up => self.arrive_up(id, frame),
            Direction::Down => self.arrive_down(id, frame),
        }
        let pace_ms = self.pace_ms(id, direction);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some((at_ms, _)) = connection.pipe_mut(direction).frames.front() {
            let at_ms = (*at_ms).max(self.now_ms + pace_ms);
            self.schedule_pipe(id, direction, at_ms);
        }
        self.forget_if_over(id);
    }

    fn pace_ms(&self, id: ConnectionId, direction: Direction) -> u64 {
        match (direction, self.connections.get(&id)) {
            (Direction::Down, Some(connection)) => self.clients[connection.client].reads_every_ms,
            _ => 0,
        }
    }

    fn arrive_up(&mut self, id: ConnectionId, frame: Frame) {
        let connection = self.connections.get_mut(&id).expect("it has just arrived");
        if !connection.has_server {
            return;
        }
        connection.last_heard_ms = self.now_ms;
        let client = connection.client;
        let is_late = !connection.has_client && self.clients[client].connection.is_some();
        if is_late && matches!(frame, Frame::Whole(_)) {
            sometimes!(self, LateFrames);
        }
        match frame {
            Frame::Whole(bytes) => self.server_receives(id, &bytes),
            Frame::Cut(bytes) => {
                let codec = self.connections[&id].codec;
                assert!(codec.decode_client(&bytes, FRAME_BYTES_MAX).is_err(), "half is whole");
                self.server_loses(id);
            }
            Frame::End => self.server_loses(id),
        }
    }

    fn arrive_down(&mut self, id: ConnectionId, frame: Frame) {
        self.drained(id);
        let connection = &self.connections[&id];
        if !connection.has_client {
            return;
        }
        match frame {
            Frame::Whole(bytes) => self.client_receives(id, &bytes),
            Frame::Cut(bytes) => {
                let codec = connection.codec;
                assert!(codec.decode_server(&bytes, FRAME_BYTES_MAX).is_err(), "half is whole");
                self.client_loses(id);
            }
            Frame::End => self.client_loses(id),
        }
    }

    /// One frame fewer waits; the tenant is told when all have left that waited.
    fn drained(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(n) = connection.n_until_drained else { return };
        connection.n_until_drained = Some(n.saturating_sub(1)).filter(|n| *n > 0);
        if n <= 1 && connection.has_server {
            let (server, tenant, session) =
                (connection.server, connection.tenant, connection.session);
            self.with_tenant(server, tenant, |hosted, _| hosted.backlog(session, 0));
        }
    }

    /// The client's side lets go of it. `says_so`: the server is told.
    pub(super) fn client_lets_go(&mut self, id: ConnectionId, says_so: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.has_client = false;
        let client = connection.client;
        if self.clients[client].connection == Some(id) {
            self.clients[client].connection = None;
        }
        match says_so {
            true => self.send(id, Direction::Up, Frame::End),
            false => sometimes!(self, HalfOpen),
        }
        self.forget_if_over(id);
    }

    /// The server's side lets go of it, after what was sent. `says_so`: the client is told.
    pub(super) fn server_lets_go(&mut self, id: ConnectionId, says_so: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.has_server = false;
        match says_so {
            true => self.send(id, Direction::Down, Frame::End),
            false => sometimes!(self, HalfOpen),
        }
        self.forget_if_over(id);
    }

    /// What is on its way in a direction is lost, but for the first `n_kept` frames.
    pub(super) fn lose_frames(&mut self, id: ConnectionId, direction: Direction, n_kept: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = connection.pipe_mut(direction);
        if pipe.frames.len() > n_kept {
            pipe.frames.truncate(n_kept);
            sometimes!(self, LostInFlight);
        }
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        // Of a client that is gone before its hello only the hello may still come.
        let is_over = self.connections.get(&id).is_some_and(|connection| {
            let is_unheard = !connection.is_known && connection.up.frames.is_empty();
            !connection.has_client && (!connection.has_server || is_unheard)
        });
        if is_over {
            self.connections.remove(&id);
        }
    }
}

/// The longest frame either side takes.
pub(super) const FRAME_BYTES_MAX: u64 = 4 << 20;

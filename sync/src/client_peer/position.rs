//! Where a client stands, for programs that ask: what it holds, and whether it has got as far as a
//! checkpoint that somebody else told them of.
//!
//! Invariant: once a checkpoint counts as reached, every complete answer is at least as new as it,
//! until the connection is lost. Reaching needs the session to have got there, every subscription
//! that was asked for to have joined, and no renewal to be under way.
//!
//! A session that no commit concerns is told of none, so the client asks (a pong is a marker too):
//! at once, and once a second while the server is not there itself.

use tercet_engine::ids::Checkpoint;

use super::peer::ClientPeer;
use crate::digest::Digest;
use crate::message::{ClientMessage, Nonce, SubscriptionId};

/// How often the server is asked for a position that it has not reached.
const ASK_EVERY_MS: u64 = 1_000;

/// How far a client is from a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is there, or further.
    Reached,
    /// Not yet, or not connected.
    NotYet,
    /// The server has another history, in which the checkpoint means nothing.
    OtherHistory,
}

impl ClientPeer {
    /// Whether everything up to a checkpoint is held and every subscription has joined. It asks the
    /// server for what is missing; call it again after each output that follows.
    pub fn reach(&mut self, checkpoint: Checkpoint) -> Reach {
        self.settle();
        let reach = self.reach_now(checkpoint);
        if reach == Reach::NotYet && self.sought.is_none_or(|sought| sought < checkpoint) {
            self.sought = Some(checkpoint);
            self.ask_position();
        }
        reach
    }

    fn reach_now(&self, checkpoint: Checkpoint) -> Reach {
        let Some(live) = self.phase.as_live() else { return Reach::NotYet };
        if live.position.epoch != checkpoint.epoch {
            return Reach::OtherHistory;
        }
        let is_asking = self.subscriptions.values().any(|subscription| subscription.is_asked);
        let is_there = live.position.seq >= checkpoint.seq;
        match is_there && self.renewal.is_none() && !is_asking {
            true => Reach::Reached,
            false => Reach::NotYet,
        }
    }

    fn ask_position(&mut self) {
        if self.phase.as_live().is_some() {
            self.n_pings += 1;
            self.send(ClientMessage::Ping(Nonce { nonce: self.n_pings }));
        }
    }

    /// The server has said where it is.
    pub(super) fn seek_on(&mut self, now_ms: u64) {
        let Some(sought) = self.sought else { return };
        let Some(live) = self.phase.as_live_mut() else { return };
        if live.position.epoch != sought.epoch || live.position.seq >= sought.seq {
            self.sought = None;
        } else {
            live.ping_by(now_ms.saturating_add(ASK_EVERY_MS));
        }
    }

    /// Of all facts that subscriptions need, at the position; none before the first one. O(1).
    pub fn digest(&self) -> Option<Digest> {
        let (n_facts, fingerprint) = self.holdings.digest();
        Some(Digest { checkpoint: self.position?, n_items: n_facts as u64, fingerprint })
    }

    /// Of the facts or rows of one subscription, at the position; none while it holds nothing that
    /// could be compared. O(1).
    pub fn subscription_digest(&self, subscription: SubscriptionId) -> Option<Digest> {
        let instance = self.subscriptions.get(&subscription)?.instance?;
        let fingerprint = self.holdings.fingerprint(instance)?;
        let n_items = self.holdings.n_items(instance) as u64;
        Some(Digest { checkpoint: self.position?, n_items, fingerprint })
    }
}

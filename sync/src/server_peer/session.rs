//! One connected peer, as the tenant sees it: whose it is, what it reads, how it keeps up.
//!
//! Definitions: a session is *full* while its queue is, *lagging* once something it needed did not
//! fit. Invariants: a lagging session reads no instance, and its answers are held until it is told
//! to resync, because an answer moves the position past parts that it never got. Held answers are
//! bounded; more of them end the session.

use std::collections::{BTreeMap, VecDeque};

use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Seq};

use super::output::Rights;
use crate::codec::SharedFrame;
use crate::message::{InstanceId, Mode, Subscribe, SubscriptionId};

/// One subscription of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attached {
    pub(crate) instance: InstanceId,
    /// What was asked for: an `Auto` one may change from facts to rows.
    pub(crate) wanted: Mode,
}

/// An answer to a transaction that waits for its session.
#[derive(Debug)]
pub(crate) enum HeldAnswer {
    /// It is recorded: it is looked up when its time comes.
    Recorded(ClientSeq),
    /// It is a refusal, which nobody records.
    Refusal(SharedFrame),
}

/// How a session keeps up with what is sent to it.
#[derive(Debug, Default)]
pub(crate) enum Pace {
    /// Its queue has room.
    #[default]
    Open,
    /// Its queue is full. New subscriptions wait.
    Full { joins: VecDeque<Subscribe> },
    /// It has missed something. Answers wait.
    Lagging { answers: Vec<HeldAnswer> },
}

/// One connected peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientId,
    pub(crate) rights: Rights,
    /// The position of what it held when it came.
    pub(crate) came_from: Option<Checkpoint>,
    /// After a refusal: pushes of later numbers are dropped until this one comes again.
    pub(crate) stopped_at: Option<ClientSeq>,
    /// Everything up to this commit has been sent to it.
    pub(crate) position: Seq,
    /// How many of its transactions are staged.
    pub(crate) n_staged: u32,
    pub(crate) pace: Pace,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Attached>,
}

impl Session {
    /// A session without subscriptions.
    pub(crate) fn new(
        client: ClientId,
        rights: Rights,
        came_from: Option<Checkpoint>,
        position: Seq,
    ) -> Session {
        Session {
            client,
            rights,
            came_from,
            stopped_at: None,
            position,
            n_staged: 0,
            pace: Pace::Open,
            subscriptions: BTreeMap::new(),
        }
    }

    /// The subscriptions that read an instance, with what they asked for.
    pub(crate) fn readers(&self, instance: InstanceId) -> Vec<(SubscriptionId, Mode)> {
        let reads = self.subscriptions.iter().filter(|(_, attached)| attached.instance == instance);
        reads.map(|(subscription, attached)| (*subscription, attached.wanted)).collect()
    }
}

//! The messages of the protocol: plain data, one set of types for both codecs.
//!
//! In JSON a message is an object with one key, its name: `{"ping": {"nonce": 7}}`. Unknown names
//! and unknown fields are refused. No type here is recursive, so hostile bytes cannot nest. What
//! the messages mean, and in which order they may come, is in `docs/protocol.md`; the two peers
//! enforce it. Rooms are not part of version 1.
//!
//! Invariant: frames that are shared by sessions ([`FactsPart`], [`RowsPart`], [`Stale`]) carry
//! instance ids and nothing of any one session.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tercet_engine::fact::{Effect, Install, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Seq};
use tercet_engine::program::raw::{FindForm, Input};

use crate::buckets::BucketSums;
use crate::limits::Limits;
use crate::wire_query::WireQuery;
use crate::wire_row::WireRow;

/// The version of the protocol that this crate speaks.
pub const PROTOCOL: u32 = 1;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number!(
    /// One connected peer of a tenant, as the server counts them. Never used again.
    SessionId
);
number!(
    /// A subscription, as its client counts them. Never used again by that client.
    SubscriptionId
);
number!(
    /// A (query, inputs, mode) that the server keeps up for everyone who subscribed to it. Lasts
    /// as long as the server's process: after a reconnect the same number may be another one.
    InstanceId
);

/// An order-independent sum of hashes: equal sums mean equal sets, but for one chance in 2^128.
/// In JSON and text it is 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// With one member more.
    #[must_use]
    pub fn with(self, hash: u128) -> Fingerprint {
        Fingerprint(self.0.wrapping_add(hash))
    }

    /// With one member fewer.
    #[must_use]
    pub fn without(self, hash: u128) -> Fingerprint {
        Fingerprint(self.0.wrapping_sub(hash))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Fingerprint, Self::Err> {
        u128::from_str_radix(text, 16).map(Fingerprint)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Fingerprint)
        }
    }
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message, and only the first.
    Hello(Hello),
    /// Starts a subscription, or starts it over.
    Subscribe(Subscribe),
    /// Ends a subscription.
    Unsubscribe(Unsubscribe),
    /// A transaction.
    Push(Push),
    /// The answers up to here need not be kept.
    Received(Received),
    /// Asks for a [`Pong`].
    Ping(Nonce),
    /// Answers a ping of the server.
    Pong(Nonce),
}

/// Who connects, and where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The version it speaks.
    pub protocol: u32,
    /// Its API key.
    pub key: String,
    /// Its durable identity.
    pub client: ClientId,
    /// The last transaction number that it ever used; 0 for none.
    pub last_number: ClientSeq,
    /// It has the answers to its transactions up to this one.
    pub received: ClientSeq,
    /// The position it has reached, if it was connected before.
    #[serde(default)]
    pub position: Option<Checkpoint>,
}

/// Which of the two ways a subscription is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Facts where the support is small enough, else rows.
    Auto,
    /// The client gets the support and evaluates.
    Facts,
    /// The server evaluates.
    Rows,
}

/// Which of the two ways a subscription *is* answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceMode {
    /// The client gets the support and evaluates.
    Facts,
    /// The server evaluates.
    Rows,
}

/// A standing query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Chosen by the client. One that the session has already is started over.
    pub subscription: SubscriptionId,
    /// The query.
    pub query: WireQuery,
    /// One for each element of `:in` that takes an argument.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// How it is to be answered.
    pub mode: Mode,
    /// What the client holds of it already.
    #[serde(default)]
    pub resume: Option<Resume>,
}

/// What a client holds of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The position of what it holds; none where it is the one that hello told.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// Whether facts or rows are held.
    pub mode: InstanceMode,
    /// Of the facts with their marks, or of the encoded rows.
    pub fingerprint: Fingerprint,
    /// The same bucket by bucket: given after [`Compare`], or when a replay went wrong.
    #[serde(default)]
    pub buckets: Option<BucketSums>,
}

/// Ends a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// Which one.
    pub subscription: SubscriptionId,
}

/// A transaction on its way up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Its number: one more than the client's last.
    pub number: ClientSeq,
    /// What it does.
    pub transaction: Transaction,
}

/// The answers up to here need not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// The last transaction whose answer, and all before, the client has.
    pub through: ClientSeq,
}

/// A number that the answer repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nonce {
    /// The number.
    pub nonce: u64,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answers hello.
    Welcome(Welcome),
    /// Answers subscribe; its parts and a marker follow.
    Subscribed(Subscribed),
    /// Facts of an instance that changed.
    FactsPart(FactsPart),
    /// Rows of an instance that changed.
    RowsPart(RowsPart),
    /// All parts up to this position have been sent.
    Marker(Marker),
    /// A transaction is durable.
    Ack(Ack),
    /// A transaction was refused, and its number is used up.
    Reject(Reject),
    /// A transaction was not taken, nor those after it; no number is used up.
    Refused(Refused),
    /// An instance is not kept up for now.
    Stale(Stale),
    /// The session fell behind: all subscriptions must be renewed.
    Resync(Resync),
    /// Asks for a pong.
    Ping(Nonce),
    /// Answers a ping; also a marker.
    Pong(Pong),
    /// Something the client sent cannot be served.
    Error(ErrorMessage),
    /// Asks for bucket sums of what the client holds of a subscription.
    Compare(Compare),
}

/// Where the server stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// The version it speaks.
    pub protocol: u32,
    /// The session's number, for logs.
    pub session: SessionId,
    /// Its time, in milliseconds since 1970.
    pub server_time_ms: u64,
    /// How far ahead of its time a stamp may be.
    pub drift_ms_max: u64,
    /// What it accepts.
    pub limits: Limits,
    /// The session's position.
    pub position: Checkpoint,
    /// The tenant's greatest stamp.
    pub clock: Hlc,
    /// The last transaction number of this client that the server has answered or is about to.
    pub last_number: ClientSeq,
    /// Whether this session may write.
    pub write: bool,
}

/// How the parts between a [`Subscribed`] and its marker are to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SubscribedState {
    /// Everything follows; what was held before is replaced.
    Reset,
    /// What the client holds is what the server has; nothing follows.
    Unchanged,
    /// What changed since the client's checkpoint follows, commit by commit.
    Replay,
    /// What differs follows, bucket by bucket.
    Buckets {
        /// How many bits number a bucket, as the client chose.
        bits: u8,
        /// What the client holds in these buckets is forgotten; all that is in them follows.
        cleared: Vec<u32>,
    },
}

/// A subscription has joined the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribed {
    /// Which one.
    pub subscription: SubscriptionId,
    /// The instance whose parts it reads.
    pub instance: InstanceId,
    /// How it is answered.
    pub mode: InstanceMode,
    /// The name of each find element.
    pub columns: Vec<String>,
    /// The form of the result.
    pub form: FindForm,
    /// What follows.
    pub state: SubscribedState,
    /// Of all facts or rows of the instance at the marker: what the client must have then.
    pub fingerprint: Fingerprint,
    /// What the author of the query should know, e.g. attributes that nobody has written.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The subscription is not answered yet: what the client holds of it is neither what the server
/// has, nor can the way from there be replayed. The client asks again with
/// [`Resume::buckets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// Which one.
    pub subscription: SubscriptionId,
}

/// Part of what a commit changed in the facts of an instance, or part of all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactsPart {
    /// Whose facts.
    pub instance: InstanceId,
    /// The commit, or for a reset a commit since which these facts are unchanged.
    pub seq: Seq,
    /// What was held before is forgotten first.
    pub reset: bool,
    /// What to install.
    pub installs: Vec<Install>,
}

/// Part of what a commit changed in the rows of an instance, or part of all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsPart {
    /// Whose rows.
    pub instance: InstanceId,
    /// The commit, or for a reset a commit since which these rows are unchanged.
    pub seq: Seq,
    /// What was held before is forgotten first.
    pub reset: bool,
    /// Rows that came.
    pub added: Vec<WireRow>,
    /// Rows that went.
    pub removed: Vec<WireRow>,
}

/// All parts up to this position have been sent: install them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// The session's position now.
    pub checkpoint: Checkpoint,
    /// The tenant's greatest stamp.
    pub clock: Hlc,
}

/// A transaction is durable. Everything up to its commit has been sent before, so the position
/// moves there too, unless it was further already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// Which one.
    pub number: ClientSeq,
    /// Its commit.
    pub checkpoint: Checkpoint,
    /// What became of each operation, right after the whole transaction.
    pub effects: Vec<Effect>,
    /// The tenant's greatest stamp.
    pub clock: Hlc,
}

/// A transaction was refused as a whole; sending it again gets this answer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// Which one.
    pub number: ClientSeq,
    /// The stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The operation at fault, by index, if it is one.
    #[serde(default)]
    pub op: Option<u16>,
    /// The tenant's greatest stamp.
    pub clock: Hlc,
}

/// The client's stream stops before this transaction, until it is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The number to go on from.
    pub from_number: ClientSeq,
    /// `clock_drift`, `seq_gap` or `storage_unavailable`.
    pub code: String,
    /// The server's time, in milliseconds since 1970.
    pub server_time_ms: u64,
    /// What is wrong and what to do.
    pub message: String,
}

/// An instance is not kept up for now; a reset follows when it is again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stale {
    /// Which one.
    pub instance: InstanceId,
    /// The stable code.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// The session fell behind; the server has ended all its subscriptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resync {
    /// Why.
    pub reason: String,
}

/// Answers a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pong {
    /// That of the ping.
    pub nonce: u64,
    /// The session's position now.
    pub checkpoint: Checkpoint,
    /// The tenant's greatest stamp.
    pub clock: Hlc,
}

/// Something the client sent cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorMessage {
    /// The stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// The subscription that does not exist because of it; without one the session ends.
    #[serde(default)]
    pub subscription: Option<SubscriptionId>,
}

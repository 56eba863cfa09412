//! What a server accepts, and the check of a transaction against it.
//!
//! Both peers run the same check: a client before it writes, so that its program learns at once,
//! and the server again, because a client may be of another mind. Stamps and rights are not
//! looked at here.

use serde::{Deserialize, Serialize};
use tercet_engine::commit::Rejection;
use tercet_engine::fact::Op;

/// The most operations any stamp can number.
const OPS_MAX: u32 = 65_536;

/// The bounds that a server states in its welcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Operations in a transaction.
    pub ops_max: u32,
    /// Bytes of a transaction: ids, attributes and values together.
    pub transaction_bytes_max: u64,
    /// Bytes of a value.
    pub value_bytes_max: u64,
    /// Bytes of a frame, either way.
    pub frame_bytes_max: u64,
    /// Subscriptions of a session.
    pub subscriptions_max: u32,
    /// Facts in the support of a subscription that is answered by facts.
    pub support_facts_max: u64,
    /// Transactions of a client that are sent and not answered.
    pub unanswered_max: u32,
    /// Messages queued towards a session before it counts as slow.
    pub queue_max: u32,
}

impl Default for Limits {
    /// What the documentation states.
    fn default() -> Limits {
        Limits {
            ops_max: 10_000,
            transaction_bytes_max: 8 << 20,
            value_bytes_max: 1 << 20,
            frame_bytes_max: 4 << 20,
            subscriptions_max: 200,
            support_facts_max: 100_000,
            unanswered_max: 1_024,
            queue_max: 1_024,
        }
    }
}

/// The bytes of an operation that limits count.
fn op_bytes(op: &Op) -> u64 {
    let attribute = op.attribute().map_or(0, |attribute| attribute.as_str().len());
    let value = op.value().map_or(0, |value| value.n_bytes());
    (op.entity().as_str().len() + attribute + value) as u64
}

impl Limits {
    /// Whether a list of operations may be a transaction.
    ///
    /// # Errors
    /// The rejection that the server would record.
    pub fn check(&self, ops: &[Op]) -> Result<(), Rejection> {
        let n_ops_max = self.ops_max.min(OPS_MAX) as usize;
        if ops.is_empty() {
            return Err(rejection("malformed", "a transaction has at least one operation", None));
        }
        if ops.len() > n_ops_max {
            let message = format!(
                "a transaction has at most {n_ops_max} operations, this one has {}; split it",
                ops.len()
            );
            return Err(rejection("too_many_ops", &message, None));
        }
        for (index, op) in ops.iter().enumerate() {
            let n_bytes = op.value().map_or(0, |value| value.n_bytes()) as u64;
            if n_bytes > self.value_bytes_max {
                let max = self.value_bytes_max;
                let message = format!(
                    "a value has at most {max} bytes, that of operation {index} has {n_bytes}"
                );
                return Err(rejection("value_too_large", &message, Some(index)));
            }
        }
        let n_bytes: u64 = ops.iter().map(op_bytes).sum();
        if n_bytes > self.transaction_bytes_max {
            let max = self.transaction_bytes_max;
            let message =
                format!("a transaction has at most {max} bytes, this one has {n_bytes}; split it");
            return Err(rejection("transaction_too_large", &message, None));
        }
        Ok(())
    }
}

/// A rejection of an operation, or of the whole.
pub(crate) fn rejection(code: &str, message: &str, op: Option<usize>) -> Rejection {
    let op = op.map(|index| u16::try_from(index).unwrap_or(u16::MAX));
    Rejection { code: code.to_owned(), message: message.to_owned(), op }
}

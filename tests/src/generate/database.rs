//! Random databases for queries: histories of `set` and `add` over the vocabulary, with a few
//! removals and deletions so that what is gone is asked for too.

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::ReplicaId;

use super::vocabulary::{ATTRIBUTES, DATE_ATTRIBUTE, Kind, attribute, entity, value};
use crate::random::Random;

/// Transactions that make a database of some dozens of facts.
pub fn database(random: &mut Random) -> Vec<Transaction> {
    let n_transactions = 2 + random.below(8);
    (0..n_transactions).map(|index| transaction(random, index as u64 + 1)).collect()
}

/// One more transaction, at its own millisecond.
pub fn transaction(random: &mut Random, ms: u64) -> Transaction {
    let n_ops = 1 + random.below(14);
    let ops = (0..n_ops).map(|_| op(random)).collect();
    Transaction { hlc: Hlc::new(ms, 0, ReplicaId(1)), ops }
}

/// A random operation on the vocabulary.
pub(super) fn op(random: &mut Random) -> Op {
    let e = entity(random);
    let (text, kind, many) = match random.chance(4) {
        true => (DATE_ATTRIBUTE, Kind::Date, false),
        false => ATTRIBUTES[random.skewed(ATTRIBUTES.len())],
    };
    let a = attribute(text);
    let v = value(random, kind);
    match random.below(100) {
        0..3 => Op::Delete { e },
        3..5 => Op::Restore { e, covers: None },
        5..8 => Op::Unset { e, a },
        8..14 => Op::Remove { e, a, v, covers: None },
        // Now and then against the attribute's habit: fields of both kinds must work.
        14..17 => Op::Add { e, a, v },
        _ if many => Op::Add { e, a, v },
        _ => Op::Set { e, a, v },
    }
}

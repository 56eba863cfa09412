//! Random histories: few entities, few values, few stamps, so that everything conflicts.
//!
//! Transactions may share an HLC, and so stamps, with different operations: honest replicas never
//! do that, but merge must converge all the same. Covers name stamps that exist, nearly exist or
//! do not; some lie after their own operation, which a server would refuse and merge need not.

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::value::Value;

use crate::random::Random;

const ENTITIES: [&str; 4] = ["e", "f", "g", "h"];
const ATTRIBUTES: [&str; 2] = ["t/a", "t/b"];

/// A history of a few transactions.
pub fn history(random: &mut Random) -> Vec<Transaction> {
    let n_transactions = 1 + random.below(10);
    (0..n_transactions).map(|_| transaction(random)).collect()
}

/// A history whose covers are never later than their operation, as servers admit.
pub fn admissible_history(random: &mut Random) -> Vec<Transaction> {
    let mut history = history(random);
    for transaction in &mut history {
        for index in 0..transaction.ops.len() {
            let own = transaction.stamp(index);
            if let Op::Remove { covers, .. } | Op::Restore { covers, .. } =
                &mut transaction.ops[index]
            {
                *covers = covers.map(|stamp| stamp.min(own));
            }
        }
    }
    history
}

fn transaction(random: &mut Random) -> Transaction {
    let hlc = hlc(random);
    let n_ops = 1 + random.skewed(6);
    Transaction { hlc, ops: (0..n_ops).map(|_| op(random)).collect() }
}

fn hlc(random: &mut Random) -> Hlc {
    let replica = ReplicaId(1 + random.below(2) as u64);
    Hlc::new(1 + random.below(5) as u64, random.skewed(2) as u16, replica)
}

fn op(random: &mut Random) -> Op {
    let e = entity(random);
    let a = Attribute::new(*random.pick(&ATTRIBUTES)).expect("type/field");
    let v = value(random);
    match random.below(100) {
        0..28 => Op::Set { e, a, v },
        28..58 => Op::Add { e, a, v },
        58..66 => Op::Unset { e, a },
        66..82 => Op::Remove { e, a, v, covers: cover(random) },
        82..91 => Op::Delete { e },
        _ => Op::Restore { e, covers: cover(random) },
    }
}

fn entity(random: &mut Random) -> EntityId {
    EntityId::new(ENTITIES[random.skewed(ENTITIES.len())]).expect("short")
}

fn value(random: &mut Random) -> Value {
    match random.below(10) {
        0..3 => Value::Ref(entity(random)),
        3..7 => Value::int(random.below(3) as i64),
        7..9 => Value::from(*random.pick(&["", "e"])),
        _ => Value::Boolean(true),
    }
}

fn cover(random: &mut Random) -> Option<Stamp> {
    random.chance(70).then(|| Stamp { hlc: hlc(random), op: random.skewed(4) as u16 })
}

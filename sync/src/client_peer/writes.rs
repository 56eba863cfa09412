//! From what a program asks for to a transaction: early errors, and covers.
//!
//! A client's own write fails early when its replica knows that an entity is deleted; nobody
//! else's does. A `remove` or `restore` states what it saw, so that what others wrote meanwhile
//! survives; where this replica holds nothing to cover (it may hold only a part), none is stated.

use std::collections::BTreeMap;

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::store::Store;
use tercet_engine::value::Value;

use super::output::ClientError;

/// Refuses writes to entities, and references to them, that the view knows to be deleted.
pub(crate) fn check_alive(ops: &[Op], view: &Store) -> Result<(), ClientError> {
    // What the transaction itself has done to entities so far.
    let mut alive: BTreeMap<&EntityId, bool> = BTreeMap::new();
    for (op, written) in ops.iter().enumerate() {
        match written {
            Op::Delete { e } => {
                alive.insert(e, false);
            }
            Op::Restore { e, .. } => {
                alive.insert(e, true);
            }
            Op::Set { e, v, .. } | Op::Add { e, v, .. } => {
                let target = match v {
                    Value::Ref(target) => Some(target),
                    _ => None,
                };
                for entity in [Some(e), target].into_iter().flatten() {
                    let is_alive = alive.get(entity).copied();
                    if !is_alive.unwrap_or_else(|| view.tombstone(entity).is_none()) {
                        return Err(ClientError::EntityDeleted { entity: entity.clone(), op });
                    }
                }
            }
            Op::Unset { .. } | Op::Remove { .. } => {}
        }
    }
    Ok(())
}

/// The transaction, with the covers that its writer saw.
pub(crate) fn complete(ops: Vec<Op>, hlc: Hlc, view: &Store) -> Transaction {
    let mut transaction = Transaction { hlc, ops };
    let mut written: BTreeMap<(EntityId, Attribute, Value), Stamp> = BTreeMap::new();
    let mut deleted: BTreeMap<EntityId, Stamp> = BTreeMap::new();
    for index in 0..transaction.ops.len() {
        let stamp = transaction.stamp(index);
        match &mut transaction.ops[index] {
            Op::Set { e, a, v } | Op::Add { e, a, v } => {
                written.insert((e.clone(), a.clone(), v.clone()), stamp);
            }
            Op::Remove { e, a, v, covers: covers @ None } => {
                let own = written.get(&(e.clone(), a.clone(), v.clone())).copied();
                *covers = own.or_else(|| view.added(e, a, v));
            }
            Op::Delete { e } => {
                deleted.insert(e.clone(), stamp);
            }
            Op::Restore { e, covers: covers @ None } => {
                *covers = deleted.get(e).copied().or_else(|| view.tombstone(e));
            }
            Op::Unset { .. } | Op::Remove { .. } | Op::Restore { .. } => {}
        }
    }
    transaction
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::ids::ReplicaId;

    use super::*;

    fn ops(json: &str) -> Vec<Op> {
        serde_json::from_str(json).unwrap()
    }

    fn hlc(ms: u64) -> Hlc {
        Hlc::new(ms, 0, ReplicaId(1))
    }

    fn view(json: &str) -> Store {
        let mut store = Store::new();
        store.apply(&Transaction { hlc: hlc(5), ops: ops(json) });
        store
    }

    #[test]
    fn covers_are_what_the_writer_saw() {
        let view = view(r#"[{"add":{"e":"x","a":"a/b","v":1}},{"delete":{"e":"dead"}}]"#);
        let asked =
            ops(r#"[{"remove":{"e":"x","a":"a/b","v":1}},{"add":{"e":"x","a":"a/b","v":2}},
                {"remove":{"e":"x","a":"a/b","v":2}},{"remove":{"e":"x","a":"a/b","v":3}},
                {"restore":{"e":"dead"}},{"delete":{"e":"x"}},{"restore":{"e":"x"}}]"#);
        let transaction = complete(asked, hlc(9), &view);
        let covers: Vec<Option<Stamp>> = transaction.ops.iter().map(Op::covers).collect();
        let stamp = |ms, op| Some(Stamp { hlc: hlc(ms), op });
        assert_eq!(covers, [stamp(5, 0), None, stamp(9, 1), None, stamp(5, 1), None, stamp(9, 5)]);
    }

    #[test]
    fn writes_to_the_dead_fail_early() {
        let view = view(r#"[{"delete":{"e":"dead"}}]"#);
        let check = |json: &str| check_alive(&ops(json), &view);
        assert!(check(r#"[{"set":{"e":"dead","a":"a/b","v":1}}]"#).is_err());
        assert!(check(r#"[{"add":{"e":"x","a":"a/b","v":{"$ref":"dead"}}}]"#).is_err());
        assert!(check(r#"[{"delete":{"e":"x"}},{"set":{"e":"x","a":"a/b","v":1}}]"#).is_err());
        assert_eq!(
            check(r#"[{"restore":{"e":"dead"}},{"set":{"e":"dead","a":"a/b","v":1}}]"#),
            Ok(())
        );
        assert_eq!(check(r#"[{"unset":{"e":"dead","a":"a/b"}},{"delete":{"e":"dead"}}]"#), Ok(()));
    }
}

//! The instances that hold a fact: nearly always one, which then takes no memory of its own.
//!
//! A tree of one allocates a node for eleven, about 100 bytes: 50 MB for 500,000 facts. Invariant: in order, without duplicates; `Many` has two or
//! more, or none.

use std::collections::BTreeSet;

use crate::message::InstanceId;

/// A set of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holders {
    One(InstanceId),
    Many(BTreeSet<InstanceId>),
}

impl Default for Holders {
    /// None.
    fn default() -> Holders {
        Holders::Many(BTreeSet::new())
    }
}

impl Holders {
    pub(crate) fn contains(&self, id: InstanceId) -> bool {
        match self {
            Holders::One(holder) => *holder == id,
            Holders::Many(holders) => holders.contains(&id),
        }
    }

    pub(crate) fn insert(&mut self, id: InstanceId) {
        match self {
            Holders::One(holder) if *holder == id => {}
            Holders::One(holder) => *self = Holders::Many(BTreeSet::from([*holder, id])),
            Holders::Many(holders) if holders.is_empty() => *self = Holders::One(id),
            Holders::Many(holders) => drop(holders.insert(id)),
        }
    }

    pub(crate) fn remove(&mut self, id: InstanceId) {
        match self {
            Holders::One(holder) if *holder == id => *self = Holders::default(),
            Holders::One(_) => {}
            Holders::Many(holders) => {
                holders.remove(&id);
                if holders.len() == 1
                    && let Some(last) = holders.pop_first()
                {
                    *self = Holders::One(last);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Holders::Many(holders) if holders.is_empty())
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = InstanceId> + '_ {
        let (one, many) = match self {
            Holders::One(holder) => (Some(*holder), None),
            Holders::Many(holders) => (None, Some(holders)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u64..4), 0..20)) {
            let mut holders = Holders::default();
            let mut set = BTreeSet::new();
            for (is_insert, id) in steps {
                let id = InstanceId(id);
                if is_insert {
                    holders.insert(id);
                    set.insert(id);
                } else {
                    holders.remove(id);
                    set.remove(&id);
                }
                prop_assert!(holders.iter().eq(set.iter().copied()));
                prop_assert_eq!(holders.is_empty(), set.is_empty());
                prop_assert_eq!(matches!(holders, Holders::One(_)), set.len() == 1);
                for id in (0..4).map(InstanceId) {
                    prop_assert_eq!(holders.contains(id), set.contains(&id));
                }
            }
        }
    }
}

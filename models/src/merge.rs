//! Merge: three replicas that get the same operations in any order and any number of times.
//!
//! One entity, one field, two values. A state is a set of maxima, and entries that can never show
//! again are forgotten, as the store does; that forgetting is what the model is about. Property:
//! replicas that have seen the same operations show the same, whatever the order.

use stateright::{Model, Property};

/// Ways to get it wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// What comes last wins.
    ArrivalWins,
    /// A deletion forgets all entries, also those with a later stamp.
    DeletionForgetsAll,
    /// A removal is forgotten when nothing is there to remove.
    RemovalForgotten,
    /// A removal covers everything up to its own stamp.
    RemovalCoversAll,
    /// Of two values of one stamp the first one stays.
    TieByArrival,
}

impl Mutant {
    pub(crate) const ALL: &[Mutant] = &[
        Mutant::ArrivalWins,
        Mutant::DeletionForgetsAll,
        Mutant::RemovalForgotten,
        Mutant::RemovalCoversAll,
        Mutant::TieByArrival,
    ];
}

/// An operation on the field; stamps are small numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Set(u8, usize),
    Add(u8, usize),
    Unset(u8),
    /// Stamp, value, cover.
    Remove(u8, usize, u8),
    Delete(u8),
    Restore(u8),
}

/// Two of one stamp, covers that just miss, a write behind a deletion and its restoration.
const OPS: [Op; 7] = [
    Op::Set(3, 0),
    Op::Set(3, 1),
    Op::Add(6, 1),
    Op::Remove(7, 1, 3),
    Op::Delete(4),
    Op::Restore(4),
    Op::Unset(2),
];

/// The maxima of a replica; 0 is a stamp never seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Replica {
    /// Which operations it has seen, as bits.
    seen: u8,
    /// Stamp, and which value; an unset is above every value.
    floor: (u8, u8),
    added: [u8; 2],
    removed: [u8; 2],
    deleted: u8,
    restored: u8,
}

impl Replica {
    fn shows(&self) -> [bool; 2] {
        let is_alive = self.deleted <= self.restored;
        [0, 1].map(|value| {
            let added = self.added[value];
            added > 0
                && (added, value as u8) >= self.floor
                && added > self.removed[value]
                && is_alive
                && added > self.deleted
        })
    }

    fn merge(&mut self, op: Op, mutant: Option<Mutant>) {
        let is = |other: Mutant| mutant == Some(other);
        let raise = |floor: &mut (u8, u8), stamp: (u8, u8)| {
            let is_equal = is(Mutant::TieByArrival) && floor.0 == stamp.0;
            if is(Mutant::ArrivalWins) || stamp > *floor && !is_equal {
                *floor = stamp;
            }
        };
        match op {
            Op::Set(stamp, value) => {
                raise(&mut self.floor, (stamp, value as u8));
                self.added[value] = self.added[value].max(stamp);
            }
            Op::Add(stamp, value) => self.added[value] = self.added[value].max(stamp),
            Op::Unset(stamp) => raise(&mut self.floor, (stamp, u8::MAX)),
            Op::Remove(stamp, value, covers) => {
                let covers = if is(Mutant::RemovalCoversAll) { stamp } else { covers };
                let is_forgotten = is(Mutant::RemovalForgotten) && self.added[value] == 0;
                if !is_forgotten {
                    self.removed[value] = self.removed[value].max(covers);
                }
            }
            Op::Delete(stamp) => {
                self.deleted = self.deleted.max(stamp);
                if is(Mutant::DeletionForgetsAll) {
                    self.added = [0; 2];
                }
            }
            Op::Restore(covers) => self.restored = self.restored.max(covers),
        }
        self.forget();
    }

    /// Entries that can never show again are forgotten; others, if hidden, are kept.
    fn forget(&mut self) {
        for value in [0, 1] {
            let added = self.added[value];
            let is_lost = (added, value as u8) < self.floor
                || added <= self.removed[value]
                || added <= self.deleted;
            if is_lost {
                self.added[value] = 0;
            }
        }
    }
}

/// What is right, from the set of operations alone.
fn expected(seen: u8) -> [bool; 2] {
    let chosen = || OPS.iter().enumerate().filter(move |(index, _)| seen & 1 << index != 0);
    let mut maxima = Replica::default();
    for (_, op) in chosen() {
        match *op {
            Op::Set(stamp, value) => {
                maxima.floor = maxima.floor.max((stamp, value as u8));
                maxima.added[value] = maxima.added[value].max(stamp);
            }
            Op::Add(stamp, value) => maxima.added[value] = maxima.added[value].max(stamp),
            Op::Unset(stamp) => maxima.floor = maxima.floor.max((stamp, u8::MAX)),
            Op::Remove(_, value, covers) => {
                maxima.removed[value] = maxima.removed[value].max(covers);
            }
            Op::Delete(stamp) => maxima.deleted = maxima.deleted.max(stamp),
            Op::Restore(covers) => maxima.restored = maxima.restored.max(covers),
        }
    }
    maxima.shows()
}

/// The model.
pub(crate) struct Merge {
    mutant: Option<Mutant>,
}

impl Merge {
    pub(crate) fn new(mutant: Option<Mutant>) -> Merge {
        Merge { mutant }
    }
}

impl Model for Merge {
    type State = [Replica; 3];
    /// An operation comes to a replica, for the first time or again.
    type Action = (usize, usize);

    fn init_states(&self) -> Vec<Self::State> {
        vec![[Replica::default(); 3]]
    }

    fn actions(&self, _: &Self::State, actions: &mut Vec<Self::Action>) {
        actions.extend((0..3).flat_map(|replica| (0..OPS.len()).map(move |op| (replica, op))));
    }

    fn next_state(&self, last: &Self::State, (replica, op): Self::Action) -> Option<Self::State> {
        let mut next = *last;
        next[replica].merge(OPS[op], self.mutant);
        next[replica].seen |= 1 << op;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "what is shown is decided by what was seen",
                |_: &Merge, state: &[Replica; 3]| {
                    let is_right = |replica: &Replica| replica.shows() == expected(replica.seen);
                    state.iter().all(is_right)
                },
            ),
            Property::always("who has seen the same shows the same", |_, state: &[Replica; 3]| {
                state.iter().all(|one| {
                    state.iter().all(|other| one.seen != other.seen || one.shows() == other.shows())
                })
            }),
            Property::sometimes(
                "a restored entity shows a later write",
                |_, state: &[Replica; 3]| {
                    state.iter().any(|replica: &Replica| replica.deleted > 0 && replica.shows()[1])
                },
            ),
        ]
    }
}

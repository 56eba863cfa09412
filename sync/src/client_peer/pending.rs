//! Transactions that this client has written and that its confirmed facts do not show yet.
//!
//! Life of one: written → stored (in the outbox) → sent → acknowledged → left, when the position
//! shows it; or rejected, and taken out. Invariants: in order of their numbers, and but for
//! rejected ones without gaps; a number is sent only when all before it have been.

use std::collections::VecDeque;

use tercet_engine::fact::{Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Checkpoint, ClientSeq};

use super::output::OutboxEntry;
use crate::planted::{Bug, is_planted};

/// One transaction.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) number: ClientSeq,
    pub(crate) transaction: Transaction,
    pub(crate) is_stored: bool,
    pub(crate) is_sent: bool,
    /// Its commit, once the server has said that it is durable.
    pub(crate) acknowledged: Option<Checkpoint>,
}

/// All of them, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingList {
    list: VecDeque<Pending>,
}

impl PendingList {
    /// Adds one at the end.
    pub(crate) fn push(&mut self, number: ClientSeq, transaction: Transaction, is_stored: bool) {
        let (is_sent, acknowledged) = (false, None);
        self.list.push_back(Pending { number, transaction, is_stored, is_sent, acknowledged });
    }

    /// The transactions, in order: what the view is folded from.
    pub(crate) fn transactions(&self) -> impl Iterator<Item = &Transaction> {
        self.list.iter().map(|pending| &pending.transaction)
    }

    /// Those that have no answer yet.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &Pending> {
        self.list.iter().filter(|pending| pending.acknowledged.is_none())
    }

    fn unanswered_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.list.iter_mut().filter(|pending| pending.acknowledged.is_none())
    }

    /// Those of them that may be sent now, in order, at most so many under way.
    pub(crate) fn take_sendable(&mut self, n_unanswered_max: usize) -> Vec<OutboxEntry> {
        let window = self.unanswered_mut().take(n_unanswered_max);
        let is_ready = |pending: &&mut Pending| pending.is_stored || is_planted(Bug::SentUnstored);
        let ready = window.take_while(is_ready);
        ready
            .filter(|pending| !pending.is_sent)
            .map(|pending| {
                pending.is_sent = true;
                pending.entry()
            })
            .collect()
    }

    /// The outbox has it, as it was stamped then.
    pub(crate) fn set_stored(&mut self, number: ClientSeq, hlc: Hlc) {
        let is_it =
            |pending: &&mut Pending| pending.number == number && pending.transaction.hlc == hlc;
        if let Some(pending) = self.unanswered_mut().find(is_it) {
            pending.is_stored = true;
        }
    }

    /// From this number on nothing counts as sent.
    pub(crate) fn unsend_from(&mut self, from: ClientSeq) {
        for pending in self.unanswered_mut().filter(|pending| pending.number >= from) {
            pending.is_sent = false;
        }
    }

    /// Drops what was sent and has no answer: a deliberate bug.
    pub(crate) fn drop_sent(&mut self) {
        self.list.retain(|pending| pending.acknowledged.is_some() || !pending.is_sent);
    }

    /// Whether a transaction without an answer has this number.
    pub(crate) fn is_unanswered(&self, number: ClientSeq) -> bool {
        self.unanswered().any(|pending| pending.number == number)
    }

    /// The server has it, durably. Whether it was waiting for that.
    pub(crate) fn acknowledge(&mut self, number: ClientSeq, at: Checkpoint) -> bool {
        let found = self.unanswered_mut().find(|pending| pending.number == number);
        found.map(|pending| pending.acknowledged = Some(at)).is_some()
    }

    /// Takes a rejected one out. Whether it was there.
    pub(crate) fn reject(&mut self, number: ClientSeq) -> bool {
        let is_it = |pending: &Pending| pending.number == number && pending.acknowledged.is_none();
        let index = self.list.iter().position(is_it);
        if let Some(index) = index.filter(|_| is_planted(Bug::RejectionTakesLater)) {
            self.list.truncate(index + 1);
        }
        index.and_then(|index| self.list.remove(index)).is_some()
    }

    /// Takes out the acknowledged ones that may leave. Whether any did.
    pub(crate) fn leave(
        &mut self,
        mut may_leave: impl FnMut(&Transaction, Checkpoint) -> bool,
    ) -> bool {
        let n_before = self.list.len();
        self.list.retain(|pending| match pending.acknowledged {
            Some(at) => !may_leave(&pending.transaction, at),
            None => true,
        });
        self.list.len() < n_before
    }

    /// Whether any is acknowledged and has not left.
    pub(crate) fn any_acknowledged(&self) -> bool {
        self.list.iter().any(|pending| pending.acknowledged.is_some())
    }

    /// The greatest stamp of those before a number.
    pub(crate) fn greatest_before(&self, number: ClientSeq) -> Hlc {
        let before = self
            .list
            .iter()
            .filter(|pending| pending.acknowledged.is_some() || pending.number < number);
        before.map(|pending| pending.transaction.hlc).max().unwrap_or(Hlc::ZERO)
    }

    /// Gives everything from a number on a new stamp, in order. Covers of re-stamped operations
    /// are rewritten with them: a `remove` goes on covering the `add` it saw.
    pub(crate) fn restamp_from(&mut self, from: ClientSeq, mut stamp: impl FnMut() -> Hlc) {
        let mut moved: Vec<(Hlc, Hlc)> = Vec::new();
        for pending in self.unanswered_mut().filter(|pending| pending.number >= from) {
            if is_planted(Bug::RestampsOne) && !moved.is_empty() {
                continue;
            }
            let hlc = stamp();
            moved.push((pending.transaction.hlc, hlc));
            pending.transaction.hlc = hlc;
            for (op, index) in pending.transaction.ops.iter_mut().zip(0..) {
                if let Op::Remove { covers: Some(covers), .. }
                | Op::Restore { covers: Some(covers), .. } = op
                {
                    let is_kept = is_planted(Bug::RestampKeepsCovers);
                    let new = moved.iter().find(|(old, _)| *old == covers.hlc && !is_kept);
                    *covers = new.map_or(*covers, |(_, new)| Stamp { hlc: *new, ..*covers });
                    // What it saw was stamped anew by another process of this outbox: a cover from
                    // the future would be rejected for good.
                    if !is_kept {
                        *covers = (*covers).min(Stamp { hlc, op: index });
                    }
                }
            }
            pending.is_sent = false;
            pending.is_stored = false;
        }
    }

    /// Numbers the unanswered ones from 1; old and new number of each.
    pub(crate) fn renumber(&mut self) -> Vec<(ClientSeq, ClientSeq)> {
        let mut next = ClientSeq(0);
        let renumber = |pending: &mut Pending| {
            next = next.next();
            let old = std::mem::replace(&mut pending.number, next);
            pending.is_sent = false;
            pending.is_stored = false;
            (old, next)
        };
        self.unanswered_mut().map(renumber).collect()
    }

    /// The unanswered ones, as the outbox keeps them.
    pub(crate) fn entries(&self) -> Vec<OutboxEntry> {
        self.unanswered().map(Pending::entry).collect()
    }

    /// Without an outbox everything counts as stored.
    pub(crate) fn set_all_stored(&mut self) {
        for pending in &mut self.list {
            pending.is_stored = true;
        }
    }
}

impl Pending {
    fn entry(&self) -> OutboxEntry {
        OutboxEntry { number: self.number, transaction: self.transaction.clone() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
    use tercet_engine::value::Value;

    use super::*;

    fn hlc(ms: u64, replica: u64) -> Hlc {
        Hlc::new(ms, 0, ReplicaId(replica))
    }

    fn remove(covers: Stamp) -> Op {
        let e = EntityId::new("e").unwrap();
        let a = Attribute::new("a/b").unwrap();
        Op::Remove { e, a, v: Value::int(1), covers: Some(covers) }
    }

    #[test]
    fn restamping_rewrites_covers_of_what_moved_and_of_nothing_else() {
        let foreign = Stamp { hlc: hlc(3, 9), op: 4 };
        let own = Stamp { hlc: hlc(900, 1), op: 1 };
        let mut pending = PendingList::default();
        pending.push(ClientSeq(4), Transaction { hlc: hlc(10, 1), ops: vec![] }, true);
        pending.push(ClientSeq(5), Transaction { hlc: own.hlc, ops: vec![] }, true);
        let ops = vec![remove(own), remove(foreign)];
        pending.push(ClientSeq(6), Transaction { hlc: hlc(901, 1), ops }, true);
        // Guards against a write that is rejected for good, because it covers one that another
        // process of this outbox has stamped anew (found by the simulation, seed 1049).
        let lost = Stamp { hlc: hlc(899, 1), op: 0 };
        pending.push(ClientSeq(7), Transaction { hlc: hlc(902, 1), ops: vec![remove(lost)] }, true);
        let mut next = 100;
        pending.restamp_from(ClientSeq(5), || {
            next += 1;
            hlc(next, 2)
        });
        let stamps: Vec<Hlc> = pending.transactions().map(|transaction| transaction.hlc).collect();
        assert_eq!(stamps, [hlc(10, 1), hlc(101, 2), hlc(102, 2), hlc(103, 2)]);
        let own = Stamp { hlc: hlc(103, 2), op: 0 };
        assert_eq!(pending.transactions().last().unwrap().ops, vec![remove(own)]);
        let ops = &pending.transactions().nth(2).unwrap().ops;
        let moved = Stamp { hlc: hlc(101, 2), op: 1 };
        assert_eq!(*ops, vec![remove(moved), remove(foreign)]);
    }

    #[test]
    fn nothing_is_sent_before_what_comes_before_it_is_stored() {
        let mut pending = PendingList::default();
        for number in 1..=4 {
            pending.push(
                ClientSeq(number),
                Transaction { hlc: hlc(number, 1), ops: vec![] },
                false,
            );
        }
        let numbers = |entries: Vec<OutboxEntry>| -> Vec<u64> {
            entries.iter().map(|entry| entry.number.0).collect()
        };
        pending.set_stored(ClientSeq(2), hlc(2, 1));
        assert!(pending.take_sendable(10).is_empty());
        // Guards against a transaction that is sent before the outbox has it, because one of its
        // number was stored before numbers were given anew (found by the simulation, seed 773).
        pending.set_stored(ClientSeq(1), hlc(7, 1));
        assert!(pending.take_sendable(10).is_empty());
        pending.set_stored(ClientSeq(1), hlc(1, 1));
        assert_eq!(numbers(pending.take_sendable(1)), [1]);
        assert_eq!(numbers(pending.take_sendable(10)), [2]);
        pending.unsend_from(ClientSeq(2));
        assert_eq!(numbers(pending.take_sendable(10)), [2]);
        assert!(pending.reject(ClientSeq(1)));
        assert!(!pending.reject(ClientSeq(1)));
        assert_eq!(
            pending.renumber(),
            [(2, 1), (3, 2), (4, 3)].map(|(old, new)| (ClientSeq(old), ClientSeq(new)))
        );
    }
}

//! The client's view: confirmed facts with the pending transactions folded over them.
//!
//! Formula: `view = pending₁ ∘ … ∘ pendingₙ (confirmed)`, by the same merge as on the server; nothing
//! is ever un-merged. When the confirmed part or the list of pending transactions changes, the
//! view is folded anew from a clone, and the delta that the live queries see is
//! `inverse(old overlay) · confirmed delta · new overlay`, consolidated. So what a transaction
//! shows before and after its commit is the same fact, and no live query sees it flicker.
//!
//! Invariant: confirmed store and view number their attributes alike. Attribute ids are stable
//! only along one line of successors, and the view leaves that line whenever it is folded anew;
//! so every attribute is made known to the confirmed store before the view can number it.

use tercet_engine::db::{Db, LiveUpdate};
use tercet_engine::fact::{Fact, Install, Kind, Mark, Op, Transaction};
use tercet_engine::hlc::Stamp;
use tercet_engine::ids::{Attribute, EntityId};
use tercet_engine::store::{Store, StoreDelta};
use tercet_engine::value::Value;

/// Confirmed facts, and the view over them.
pub(crate) struct Overlay {
    confirmed: Store,
    /// The view, and the live queries over it.
    pub(crate) db: Db,
    /// What leads from the confirmed facts, as the view knows them, to the view.
    overlay: StoreDelta,
    /// What was installed since the view was folded.
    installed: StoreDelta,
}

impl Overlay {
    /// Nothing.
    pub(crate) fn new() -> Overlay {
        let confirmed = Store::new();
        let db = Db::with_store(confirmed.clone());
        let (overlay, installed) = (StoreDelta::default(), StoreDelta::default());
        Overlay { confirmed, db, overlay, installed }
    }

    /// Changes the confirmed facts; the view follows when it is folded.
    pub(crate) fn install(&mut self, installs: &[Install]) {
        let delta = self.confirmed.install(installs);
        self.installed = std::mem::take(&mut self.installed).then(delta);
    }

    /// Folds the view anew.
    pub(crate) fn fold<'pending>(
        &mut self,
        pending: impl Iterator<Item = &'pending Transaction>,
    ) -> Vec<LiveUpdate> {
        let pending: Vec<&Transaction> = pending.collect();
        for transaction in &pending {
            self.number_attributes(transaction);
        }
        let mut view = self.confirmed.clone();
        let overlay = pending.into_iter().fold(StoreDelta::default(), |overlay, transaction| {
            overlay.then(view.apply(transaction))
        });
        let undone = std::mem::take(&mut self.overlay).inverse();
        let delta = undone.then(std::mem::take(&mut self.installed)).then(overlay.clone());
        self.overlay = overlay;
        self.db.publish(view, &delta)
    }

    /// Folds one more transaction over a view that is up to date; also what that changed.
    pub(crate) fn push(&mut self, transaction: &Transaction) -> (Vec<LiveUpdate>, StoreDelta) {
        self.number_attributes(transaction);
        let mut view = self.db.store().clone();
        let delta = view.apply(transaction);
        self.overlay = std::mem::take(&mut self.overlay).then(delta.clone());
        (self.db.publish(view, &delta), delta)
    }

    /// Makes a transaction's attributes known to the confirmed store, in the order in which the
    /// view will meet them.
    fn number_attributes(&mut self, transaction: &Transaction) {
        for attribute in transaction.ops.iter().filter_map(Op::attribute) {
            if self.confirmed.snapshot().find_attribute(attribute).is_none() {
                self.confirmed.install(&passing_fact(attribute));
            }
        }
    }

    /// What the pending transactions change.
    pub(crate) fn overlay(&self) -> &StoreDelta {
        &self.overlay
    }
}

/// A fact that comes and goes: what stays is that its attribute is known. Its entity is no one's.
fn passing_fact(attribute: &Attribute) -> [Install; 2] {
    let fact = Fact {
        entity: EntityId::new("tercet:attribute").expect("a short text without control characters"),
        attribute: attribute.clone(),
        value: Value::Boolean(false),
    };
    let mark = Mark { stamp: Stamp::ZERO, kind: Kind::Add };
    [Install::Fact(fact.clone(), mark), Install::Released(fact)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::db::Query;
    use tercet_engine::hlc::Hlc;
    use tercet_engine::ids::ReplicaId;
    use tercet_engine::limits::Budget;

    use super::*;

    fn set(attribute: &str, ms: u64, value: i64) -> Transaction {
        let (e, a) = (EntityId::new("e").unwrap(), Attribute::new(attribute).unwrap());
        let ops = vec![Op::Set { e, a, v: Value::int(value) }];
        Transaction { hlc: Hlc::new(ms, 0, ReplicaId(1)), ops }
    }

    fn installed(transaction: &Transaction) -> Vec<Install> {
        let mut store = Store::new();
        let delta = store.apply(transaction);
        let install = |change: tercet_engine::fact::FactChange| {
            Install::Fact(change.fact, change.after.unwrap())
        };
        delta.facts.into_iter().map(install).collect()
    }

    /// Guards against live queries that no longer hear of an attribute, because a new fold
    /// numbered it differently.
    #[test]
    fn live_queries_survive_a_fold_after_attributes_came_from_both_sides() {
        let mut overlay = Overlay::new();
        let raw = tercet_query_lang::parse("[:find ?v . :where [_ :own/x ?v]]").unwrap().raw;
        let query = Query::prepare(raw).unwrap();
        let live = overlay.db.subscribe(&query, &[], &Budget::unlimited()).unwrap();
        let own = [set("own/x", 5, 1), set("own/y", 6, 2)];
        for transaction in &own {
            overlay.push(transaction);
        }
        overlay.install(&installed(&set("foreign/z", 7, 3)));
        assert_eq!(overlay.fold(own.iter()), []);
        let (updates, _) = overlay.push(&set("own/x", 8, 9));
        assert_eq!(updates.len(), 1);
        let rows = &overlay.db.answer(live).unwrap().rows;
        assert_eq!(rows[0][0], tercet_engine::answer::Output::Value(Value::int(9)));
    }

    #[test]
    fn what_is_pending_and_then_confirmed_is_no_change() {
        let mut overlay = Overlay::new();
        let raw = tercet_query_lang::parse("[:find ?v . :where [_ :own/x ?v]]").unwrap().raw;
        let query = Query::prepare(raw).unwrap();
        overlay.db.subscribe(&query, &[], &Budget::unlimited()).unwrap();
        let transaction = set("own/x", 5, 1);
        assert_eq!(overlay.push(&transaction).0.len(), 1);
        overlay.install(&installed(&transaction));
        assert_eq!(overlay.fold([&transaction].into_iter()), []);
        assert_eq!(overlay.overlay().facts, []);
        assert_eq!(overlay.fold(std::iter::empty()), []);
    }
}

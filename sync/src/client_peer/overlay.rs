//! The client's view: confirmed facts with the pending transactions folded over them.
//!
//! Formula: `view = pending₁ ∘ … ∘ pendingₙ (confirmed)`, by the same merge as on the server; nothing
//! is ever un-merged. When the confirmed part or the list of pending transactions changes, the
//! view is folded anew from a clone, and the delta that the live queries see is
//! `inverse(old overlay) · confirmed delta · new overlay`, consolidated. So what a transaction
//! shows before and after its commit is the same fact, and no live query sees it flicker.
//!
//! The overlay is kept in layers, one for each transaction, and consolidated only when the view is
//! folded: a write must not cost what is pending already.

use tercet_engine::fact::{Install, Transaction};
use tercet_engine::store::{Snapshot, Store, StoreDelta};

use super::view::{View, ViewUpdate};

/// Confirmed facts, and the view over them.
pub(crate) struct Overlay {
    confirmed: Store,
    /// The view, and the live queries over it.
    pub(crate) view: View,
    /// What leads from the confirmed facts, as the view knows them, to the view: one delta for each
    /// pending transaction, in order.
    layers: Vec<StoreDelta>,
    /// What was installed since the view was folded.
    installed: StoreDelta,
}

impl Overlay {
    /// Nothing.
    pub(crate) fn new() -> Overlay {
        let confirmed = Store::new();
        let view = View::new(confirmed.clone());
        Overlay { confirmed, view, layers: Vec::new(), installed: StoreDelta::default() }
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
    ) -> Vec<ViewUpdate> {
        let mut view = self.confirmed.clone();
        let layers: Vec<StoreDelta> = pending.map(|transaction| view.apply(transaction)).collect();
        let undone = StoreDelta::concat(std::mem::take(&mut self.layers)).inverse();
        let delta = undone
            .then(std::mem::take(&mut self.installed))
            .then(StoreDelta::concat(layers.clone()));
        self.layers = layers;
        self.view.publish(view, &delta)
    }

    /// Folds one more transaction over a view that is up to date; also what that changed.
    pub(crate) fn push(&mut self, transaction: &Transaction) -> (Vec<ViewUpdate>, StoreDelta) {
        let mut view = self.view.store().clone();
        let delta = view.apply(transaction);
        self.layers.push(delta.clone());
        (self.view.publish(view, &delta), delta)
    }

    /// The confirmed facts.
    pub(crate) fn confirmed(&self) -> Snapshot {
        self.confirmed.snapshot()
    }

    /// Whether the view is what folding it from nothing gives, and its answers what evaluating
    /// them does.
    pub(crate) fn is_sound<'pending>(
        &self,
        pending: impl Iterator<Item = &'pending Transaction>,
    ) -> bool {
        let mut view = self.confirmed.clone();
        for transaction in pending {
            view.apply(transaction);
        }
        let facts = |snapshot: Snapshot| {
            let mut facts: Vec<_> = snapshot.iter().collect();
            facts.sort_unstable();
            facts
        };
        facts(view.snapshot()) == facts(self.view.snapshot()) && self.view.is_sound()
    }

    /// What each pending transaction changes, in order.
    pub(crate) fn layers(&self) -> &[StoreDelta] {
        &self.layers
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::db::Query;
    use tercet_engine::fact::Op;
    use tercet_engine::hlc::Hlc;
    use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
    use tercet_engine::limits::Budget;
    use tercet_engine::value::Value;

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
        let live = overlay.view.subscribe(&query, &[], &Budget::unlimited()).unwrap();
        let own = [set("own/x", 5, 1), set("own/y", 6, 2)];
        for transaction in &own {
            overlay.push(transaction);
        }
        overlay.install(&installed(&set("foreign/z", 7, 3)));
        assert_eq!(overlay.fold(own.iter()), []);
        let (updates, _) = overlay.push(&set("own/x", 8, 9));
        assert_eq!(updates.len(), 1);
        let answer = overlay.view.answer(live).unwrap();
        let rows = &answer.rows;
        let value = rows.first().and_then(|row| row.value(0)).unwrap();
        assert_eq!(value, Value::int(9));
    }

    #[test]
    fn what_is_pending_and_then_confirmed_is_no_change() {
        let mut overlay = Overlay::new();
        let raw = tercet_query_lang::parse("[:find ?v . :where [_ :own/x ?v]]").unwrap().raw;
        let query = Query::prepare(raw).unwrap();
        overlay.view.subscribe(&query, &[], &Budget::unlimited()).unwrap();
        let transaction = set("own/x", 5, 1);
        assert_eq!(overlay.push(&transaction).0.len(), 1);
        overlay.install(&installed(&transaction));
        assert_eq!(overlay.fold([&transaction].into_iter()), []);
        assert_eq!(overlay.layers()[0].facts, []);
        assert_eq!(overlay.fold(std::iter::empty()), []);
    }
}

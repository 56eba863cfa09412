//! The client's view: confirmed facts with the pending transactions folded over them.
//!
//! Formula: `view = pending₁ ∘ … ∘ pendingₙ (confirmed)`, by the same merge as on the server; nothing
//! is ever un-merged. When the confirmed part or the list of pending transactions changes, the
//! view is folded anew from a clone, and the delta that the live queries see is
//! `inverse(old overlay) · confirmed delta · new overlay`, consolidated. So what a transaction
//! shows before and after its commit is the same fact, and no live query sees it flicker.

use tercet_engine::db::{Db, LiveUpdate};
use tercet_engine::fact::{Install, Transaction};
use tercet_engine::store::{Store, StoreDelta};

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
        let mut view = self.confirmed.clone();
        let overlay = pending.fold(StoreDelta::default(), |overlay, transaction| {
            overlay.then(view.apply(transaction))
        });
        let undone = std::mem::take(&mut self.overlay).inverse();
        let delta = undone.then(std::mem::take(&mut self.installed)).then(overlay.clone());
        self.overlay = overlay;
        self.db.publish(view, &delta)
    }

    /// Folds one more transaction over a view that is up to date; also what that changed.
    pub(crate) fn push(&mut self, transaction: &Transaction) -> (Vec<LiveUpdate>, StoreDelta) {
        let mut view = self.db.store().clone();
        let delta = view.apply(transaction);
        self.overlay = std::mem::take(&mut self.overlay).then(delta.clone());
        (self.db.publish(view, &delta), delta)
    }

    /// What the pending transactions change.
    pub(crate) fn overlay(&self) -> &StoreDelta {
        &self.overlay
    }
}

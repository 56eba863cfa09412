//! Taking up the subscriptions again after a reconnect or a resync, beside what is held.
//!
//! Until every subscription has been answered the old facts and rows stay, all of them at the old
//! position; then the switch to the new ones happens at once, at the session's position. Live
//! parts that arrive meanwhile go to the new ones. Invariant: answers never mix two positions.

use std::collections::{BTreeMap, BTreeSet};

use super::holdings::Holdings;
use crate::message::{InstanceId, InstanceMode, SubscriptionId};

/// What a subscription will read after the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) instance: InstanceId,
    pub(crate) mode: InstanceMode,
}

/// The state beside the old one.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    pub(crate) holdings: Holdings,
    /// Asked for and not answered.
    pub(crate) awaited: BTreeSet<SubscriptionId>,
    pub(crate) assigned: BTreeMap<SubscriptionId, Assigned>,
}

impl Renewal {
    /// A subscription is gone: nobody waits for it, and what only it reads is not kept.
    pub(crate) fn forget(&mut self, subscription: SubscriptionId) {
        self.awaited.remove(&subscription);
        let Some(assigned) = self.assigned.remove(&subscription) else { return };
        if !self.assigned.values().any(|other| other.instance == assigned.instance) {
            self.holdings.close(assigned.instance);
        }
    }
}

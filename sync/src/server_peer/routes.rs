//! From a commit to the facts-mode instances that it changes: attribute → instances → support.
//!
//! Invariant: an instance that is kept up is listed under every attribute it can read, or under
//! *any*; nothing else is listed. The price of a commit is its facts times the instances listed
//! under their attributes, whatever the number of instances.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::ids::Attribute;

use crate::message::InstanceId;

/// Which instances may read an attribute.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_attribute: BTreeMap<Attribute, BTreeSet<InstanceId>>,
    any: BTreeSet<InstanceId>,
}

impl Routes {
    /// Lists an instance.
    pub(crate) fn add(&mut self, instance: InstanceId, attributes: Option<&BTreeSet<Attribute>>) {
        let Some(attributes) = attributes else {
            self.any.insert(instance);
            return;
        };
        for attribute in attributes {
            self.by_attribute.entry(attribute.clone()).or_default().insert(instance);
        }
    }

    /// Lists it no more.
    pub(crate) fn remove(
        &mut self,
        instance: InstanceId,
        attributes: Option<&BTreeSet<Attribute>>,
    ) {
        self.any.remove(&instance);
        for attribute in attributes.into_iter().flatten() {
            if let Some(instances) = self.by_attribute.get_mut(attribute) {
                instances.remove(&instance);
                if instances.is_empty() {
                    self.by_attribute.remove(attribute);
                }
            }
        }
    }

    /// The instances that may read an attribute.
    pub(crate) fn readers(&self, attribute: &Attribute) -> impl Iterator<Item = InstanceId> + '_ {
        self.by_attribute.get(attribute).into_iter().flatten().chain(&self.any).copied()
    }
}

//! Whether updates are right: they are compared with fresh evaluations, outside of what is timed.
//!
//! Two ways. Of a write now and then, each update is the difference between the results before and
//! after it. And of many subscriptions, updated or not, the first result and all updates together
//! are the last result: an update that was not told would be missed there.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use tercet_engine::answer::Row;
use tercet_engine::db::{InstanceId, RowsDelta};
use tercet_engine::limits::Budget;
use tercet_engine::store::Snapshot;

use super::watch::{Subscription, Updates};
use super::write::Write;
use crate::answer;
use crate::digest::{ChangeDigest, Digest};

/// Writes whose updates are checked one by one.
const N_WRITES: usize = 20;
/// Updates of such a write that are.
const N_UPDATES: usize = 5;
/// Subscriptions whose updates are checked altogether, of those that had any and of the others.
const N_INSTANCES: usize = 300;

/// Sees all updates.
pub struct Checker {
    first: Snapshot,
    changes: BTreeMap<InstanceId, ChangeDigest>,
    n_checked: usize,
    /// What is wrong, once something is.
    error: Option<anyhow::Error>,
}

impl Checker {
    /// Begins with these facts.
    pub fn new(first: Snapshot) -> Checker {
        Checker { first, changes: BTreeMap::new(), n_checked: 0, error: None }
    }

    /// Sees what some writes told, and checks one of them that told something.
    pub fn see(
        &mut self,
        writes: &[Write],
        updates: &[Updates],
        subscriptions: &BTreeMap<InstanceId, Subscription>,
    ) {
        if let Err(error) = self.try_see(writes, updates, subscriptions) {
            self.error.get_or_insert(error);
        }
    }

    fn try_see(
        &mut self,
        writes: &[Write],
        updates: &[Updates],
        subscriptions: &BTreeMap<InstanceId, Subscription>,
    ) -> Result<()> {
        for update in updates.iter().flatten() {
            let delta = update.change.as_ref().map_err(Clone::clone)?;
            answer::read_change(delta, self.changes.entry(update.instance).or_default());
        }
        // Another place in the round each time, lest it is always the same kind of write.
        let turn = self.n_checked * 37 % writes.len().max(1);
        let mut both = writes.iter().zip(updates).cycle().skip(turn).take(writes.len());
        let told = both.find(|(_, updates)| !updates.is_empty());
        if let Some((write, updates)) = told.filter(|_| self.n_checked < N_WRITES) {
            self.n_checked += 1;
            for update in updates.iter().take(N_UPDATES) {
                let delta = update.change.as_ref().map_err(Clone::clone)?;
                let subscription =
                    subscriptions.get(&update.instance).context("an update of nobody's")?;
                check(subscription, write, delta)?;
            }
        }
        Ok(())
    }

    /// Compares the last results with the first ones and all that was told; says aloud what is
    /// wrong, if anything is.
    pub fn conclude(
        mut self,
        last: &Snapshot,
        subscriptions: &BTreeMap<InstanceId, Subscription>,
    ) -> bool {
        let error = match self.error.take() {
            Some(error) => Err(error),
            None => self.compare(last, subscriptions),
        };
        if let Err(error) = &error {
            eprintln!("WRONG: {error:#}");
        }
        error.is_ok()
    }

    fn compare(
        &self,
        last: &Snapshot,
        subscriptions: &BTreeMap<InstanceId, Subscription>,
    ) -> Result<()> {
        let updated = every_nth(self.changes.keys().copied().collect());
        let quiet = |id: &InstanceId| !self.changes.contains_key(id);
        let others = every_nth(subscriptions.keys().copied().filter(quiet).collect());
        for instance in updated.into_iter().chain(others) {
            let subscription = &subscriptions[&instance];
            let change = self.changes.get(&instance).copied().unwrap_or_default();
            let told = answer::changed(subscription.digest(&self.first)?, change);
            ensure!(
                told == subscription.digest(last)?,
                "the updates of {instance:?} do not lead to its last result: {}",
                subscription.text()
            );
        }
        Ok(())
    }
}

/// At most [`N_INSTANCES`] of them, evenly.
fn every_nth(instances: Vec<InstanceId>) -> Vec<InstanceId> {
    let step = instances.len().div_ceil(N_INSTANCES).max(1);
    instances.into_iter().step_by(step).collect()
}

impl Subscription {
    fn digest(&self, snapshot: &Snapshot) -> Result<Digest> {
        Ok(answer::digest(&self.query.run(snapshot, &self.inputs, &Budget::unlimited())?))
    }

    fn text(&self) -> String {
        format!("{:?} with {:?}", self.query.columns(), self.inputs)
    }
}

/// The update is the difference between two fresh evaluations.
fn check(subscription: &Subscription, write: &Write, told: &RowsDelta) -> Result<()> {
    let run =
        |snapshot| subscription.query.run(snapshot, &subscription.inputs, &Budget::unlimited());
    let (before, after) = (run(&write.before)?, run(&write.successor.snapshot())?);
    let mut counts: BTreeMap<Row, i64> = BTreeMap::new();
    for (rows, sign) in [(after.rows.to_vec(), 1), (before.rows.to_vec(), -1)] {
        rows.into_iter().for_each(|row| *counts.entry(row).or_default() += sign);
    }
    for (rows, sign) in [(&told.added, -1), (&told.removed, 1)] {
        rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += sign);
    }
    match counts.into_iter().find(|(_, count)| *count != 0) {
        None => Ok(()),
        Some((row, count)) => bail!(
            "{count} times this row is missing in an update of {}: {row:?}",
            subscription.text()
        ),
    }
}

#[cfg(test)]
mod tests {
    use tercet_engine::db::LiveUpdate;
    use tercet_engine::store::Store;

    use super::super::write::{Writer, entity, set};
    use super::*;

    /// Whether what is told of one write, made of the true update, passes.
    fn passes(tell: impl FnOnce(RowsDelta) -> Option<RowsDelta>) -> bool {
        let mut writer = Writer::new(Store::new());
        let mut checker = Checker::new(writer.snapshot());
        let query = tercet_query_lang::compile("[:find ?v :where [_ :item/price ?v]]", None);
        let query = query.expect("it is a query");
        let write = writer.prepare(vec![set(entity("item", 0), "item/price", 7)]);
        let run = |snapshot: &Snapshot| {
            query.run(snapshot, &[], &Budget::unlimited()).expect("it is evaluated").rows
        };
        let (before, after) = (run(&write.before), run(&write.successor.snapshot()));
        let change = RowsDelta::between(&before, &after).expect("a price came");
        let instance = InstanceId(0);
        let updates = tell(change).map(|rows| LiveUpdate { instance, change: Ok(rows) });
        let subscription = Subscription { query: query.clone(), inputs: Vec::new() };
        let subscriptions = BTreeMap::from([(instance, subscription)]);
        checker.see(&[write], &[updates.into_iter().collect()], &subscriptions);
        checker.conclude(&writer.snapshot(), &subscriptions)
    }

    #[test]
    fn what_is_not_told_or_told_wrongly_is_found() {
        assert!(passes(Some));
        assert!(!passes(|_| None));
        assert!(!passes(|delta| Some(RowsDelta { removed: delta.added, ..RowsDelta::default() })));
        assert!(!passes(|delta| {
            Some(RowsDelta { added: [&delta.added[..], &delta.added[..]].concat(), ..delta })
        }));
    }
}

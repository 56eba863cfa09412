//! A subscribed question: its instances, one for each way of keeping it, and the checks on them.
//!
//! Invariant checked at every publish, for an instance that is not stale: rows before + delta =
//! rows now, and a delta is told exactly when they differ. A stale one is told of once, has no
//! answer, and is told of nothing more until it is taken up again. Only limits make one stale. A
//! complete result that follows the deltas, and the list that follows its positions, are the
//! oracle's too.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::answer::Row;
use tercet_engine::db::{Db, InstanceId, ListDelta, LiveResult, LiveUpdate, Query, RowsDelta};
use tercet_engine::error::QueryError;

use super::judge::{Complaint, What};
use super::{Kept, Limits};
use crate::text::print_rows;

/// A question that is subscribed.
pub(super) struct Watched {
    /// The shared one first.
    pub(super) instances: Vec<(Kept, InstanceId)>,
    /// How often the shared one is subscribed for this question.
    pub(super) n_users: usize,
    /// The oracle's answer at the last publish.
    pub(super) rows: Vec<Row>,
    query: Query,
    /// What follows the deltas.
    result: LiveResult,
}

/// Whether an error says that a limit was reached, which only limits can bring about.
pub(super) fn is_over(error: &QueryError, limits: Limits) -> bool {
    limits.are_low() && matches!(error, QueryError::Budget { .. })
}

impl Watched {
    /// A question that has just been subscribed, and the oracle's answer.
    pub(super) fn new(
        db: &Db,
        query: &Query,
        instances: Vec<(Kept, InstanceId)>,
        rows: Vec<Row>,
    ) -> Result<Watched, Complaint> {
        let result = match db.answer(instances[0].1) {
            Some(Ok(answer)) => LiveResult::new(query, answer),
            // Too much for the limits; then it begins with nothing and all rows come.
            _ => {
                let mut result = LiveResult::empty(query);
                let all = RowsDelta { added: rows.clone(), ..RowsDelta::default() };
                check_followed(result.apply(&all), &result, &rows)?;
                result
            }
        };
        Ok(Watched { instances, n_users: 1, rows, query: query.clone(), result })
    }

    /// The shared instance.
    pub(super) fn shared(&self) -> InstanceId {
        self.instances[0].1
    }

    /// Every instance once, however many ways are alike.
    fn distinct(&self) -> impl Iterator<Item = (Kept, InstanceId)> {
        let is_first = |index: usize, instance: InstanceId| {
            self.instances[..index].iter().all(|(_, other)| *other != instance)
        };
        let instances = self.instances.iter().copied().enumerate();
        instances.filter_map(move |(index, it)| is_first(index, it.1).then_some(it))
    }

    /// No instance is kept in a better tier than was asked for.
    pub(super) fn check_tiers(&self, db: &Db) -> Result<(), Complaint> {
        for (kept, instance) in &self.instances {
            let tier = db.tier(*instance);
            if tier.is_none_or(|tier| tier < kept.best_tier()) {
                return Err((What::Instance, Some(*kept), format!("it is in tier {tier:?}")));
            }
        }
        Ok(())
    }

    /// Takes in the oracle's answer after a publish, and checks what was told of the difference.
    /// Whether there was any, and which instances are stale from now on.
    pub(super) fn check_updates(
        &mut self,
        rows: Vec<Row>,
        updates: &BTreeMap<InstanceId, LiveUpdate>,
        stale: &BTreeSet<InstanceId>,
        limits: Limits,
    ) -> Result<(bool, Vec<InstanceId>), Complaint> {
        let before = std::mem::replace(&mut self.rows, rows);
        let right = difference(&before, &self.rows);
        let nothing = RowsDelta::default();
        let mut newly_stale = Vec::new();
        for (kept, instance) in self.distinct() {
            let wrong = |what, text: String| Err((what, Some(kept), text));
            let told = match updates.get(&instance).map(|update| &update.change) {
                Some(told) if stale.contains(&instance) => {
                    return wrong(What::Stray, format!("it is stale, and told {told:?}"));
                }
                None if stale.contains(&instance) => continue,
                Some(Err(error)) if is_over(error, limits) => {
                    newly_stale.push(instance);
                    continue;
                }
                Some(Err(error)) => return wrong(What::Update, format!("{error:?}")),
                Some(Ok(told)) if *told == nothing => {
                    return wrong(What::Update, String::from("an update that says nothing"));
                }
                Some(Ok(told)) => told,
                None => &nothing,
            };
            if (&told.added, &told.removed) != (&right.added, &right.removed) {
                let (told, right) = (print_delta(told), print_delta(&right));
                return wrong(What::Update, format!("told\n{told}right\n{right}"));
            }
            for patch in &told.patches {
                let (before, after) = (&told.removed[patch.removed], &told.added[patch.added]);
                if patch.changes.is_empty() || patch.apply(before).as_ref() != Some(after) {
                    return wrong(What::Update, format!("{before:?} → {after:?}: {patch:?}"));
                }
            }
        }
        self.follow(before, &right)?;
        Ok((right != nothing, newly_stale))
    }

    /// Lets the complete result and the list of rows follow a delta.
    fn follow(&mut self, mut list: Vec<Row>, delta: &RowsDelta) -> Result<(), Complaint> {
        let before = self.result.answer().rows.clone();
        let fits = self.result.apply(delta);
        check_followed(fits, &self.result, &self.rows)?;
        let after = &self.result.answer().rows;
        let list_delta = ListDelta::between(&self.query, &before, after, delta.clone());
        list_delta.apply(&mut list);
        if list != self.rows || list_delta.is_empty() != delta.is_empty() {
            let (list, right) = (print_rows(&list), print_rows(&self.rows));
            let text = format!("{list_delta:?} makes\n{list}right\n{right}");
            return Err((What::Followed, None, text));
        }
        Ok(())
    }

    /// Checks the complete answers.
    pub(super) fn check_answers(
        &self,
        db: &Db,
        stale: &BTreeSet<InstanceId>,
        limits: Limits,
    ) -> Result<(), Complaint> {
        for (kept, instance) in self.distinct() {
            let wrong = |text: String| Err((What::Answer, Some(kept), text));
            match (db.answer(instance), stale.contains(&instance)) {
                (None, true) => {}
                (Some(Ok(answer)), false) if answer.rows == self.rows => {}
                (Some(Ok(answer)), false) => {
                    let kept = print_rows(&answer.rows.to_vec());
                    return wrong(format!("kept\n{kept}oracle\n{}", print_rows(&self.rows)));
                }
                (Some(Err(error)), false) if is_over(&error, limits) => {}
                (other, is_stale) => return wrong(format!("stale: {is_stale}, and {other:?}")),
            }
        }
        Ok(())
    }
}

fn check_followed(fits: bool, result: &LiveResult, rows: &[Row]) -> Result<(), Complaint> {
    if fits && result.answer().rows == *rows {
        return Ok(());
    }
    let followed = print_rows(&result.answer().rows.to_vec());
    let text = format!("the delta fits: {fits}; followed\n{followed}right\n{}", print_rows(rows));
    Err((What::Followed, None, text))
}

/// The rows that came and went, each list in the order of rows. Rows that show the same may come
/// more than once, so rows are counted.
fn difference(before: &[Row], after: &[Row]) -> RowsDelta {
    let mut counts = BTreeMap::<&Row, i64>::new();
    after.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    before.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    let times = |sign: i64| {
        let rows = counts.iter().flat_map(move |(row, count)| {
            std::iter::repeat_n((*row).clone(), usize::try_from(count * sign).unwrap_or(0))
        });
        rows.collect()
    };
    RowsDelta { added: times(1), removed: times(-1), patches: Vec::new() }
}

fn print_delta(delta: &RowsDelta) -> String {
    let lines = |sign: &str, rows: &[Row]| {
        let lines = print_rows(rows);
        lines.lines().map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    lines("-", &delta.removed) + &lines("+", &delta.added)
}

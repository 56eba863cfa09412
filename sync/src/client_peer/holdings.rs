//! What a client holds because its subscriptions need it: facts with their holders, and rows.
//!
//! Definitions: an instance *holds* the facts of its support; a fact has a set of holders and is
//! evicted with the last. Invariants: a fact in `facts` has at least one holder, and each of them
//! lists it; an instance's fingerprint is the sum over what it holds, with marks as they are. All
//! of it is at one position: whoever changes it does so with all parts of a commit at once.
//!
//! Everything here returns the installs that bring the confirmed store along. A *stale* instance
//! holds nothing: what is not at the position must not be read.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::answer::{Row, RowRef};
use tercet_engine::db::{LiveResult, Query, RowsDelta};
use tercet_engine::fact::{Fact, Install, Mark};
use tercet_engine::fingerprint::fact_hash;
use tercet_engine::hlc::Stamp;
use tercet_engine::ids::EntityId;
use tercet_engine::value::Value;

use super::holders::Holders;
use crate::buckets::{BucketSums, Place, row_bucket};
use crate::message::{FactsPart, Fingerprint, InstanceId, InstanceMode, RowsPart};
use crate::planted::{Bug, is_planted};
use crate::wire_row::{WireRow, WireRowError, from_wire, row_hash, to_wire};

#[derive(Debug, Clone, PartialEq, Eq)]
struct HeldFact {
    mark: Mark,
    holders: Holders,
}

#[derive(Debug, Clone)]
enum Content {
    Facts(BTreeSet<Fact>),
    /// In the order of the query. Rows are counted: entities may be pulled to equal trees.
    Rows(LiveResult),
}

#[derive(Debug, Clone)]
struct HeldInstance {
    content: Content,
    fingerprint: Fingerprint,
    is_stale: bool,
}

impl HeldInstance {
    fn new(content: Content) -> HeldInstance {
        HeldInstance { content, fingerprint: Fingerprint::default(), is_stale: false }
    }
}

/// A deletion, and the instances it was told for: what happens to the entity is told to them only.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grave {
    stamp: Stamp,
    told: BTreeSet<InstanceId>,
}

/// What a client holds, all of it at one position.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    facts: BTreeMap<Fact, HeldFact>,
    instances: BTreeMap<InstanceId, HeldInstance>,
    /// Over all facts.
    sum: Fingerprint,
    /// Entities that the server said were deleted, until it says otherwise.
    graves: BTreeMap<EntityId, Grave>,
    /// What has changed since somebody asked; none where nobody does.
    noted: Option<HeldSteps>,
}

/// What has changed in what instances hold. Closing an instance is not noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct HeldSteps {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// Instances that began as what another one held before, which is not among the steps.
    pub(crate) adopted: BTreeMap<InstanceId, InstanceId>,
}

/// One change of what an instance holds.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    instance: InstanceId,
    pub(crate) held: Held,
}

/// What is held now.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// The fact with this mark, or not any more.
    Fact(Fact, Option<Mark>),
    /// The row once more, or once less.
    Row(WireRow, bool),
    /// Nothing.
    Nothing,
}

impl HeldSteps {
    /// The steps of each instance, in order.
    pub(crate) fn by_instance(&self) -> BTreeMap<InstanceId, Vec<&Step>> {
        let mut by_instance: BTreeMap<InstanceId, Vec<&Step>> = BTreeMap::new();
        for step in &self.steps {
            by_instance.entry(step.instance).or_default().push(step);
        }
        by_instance
    }
}

impl Holdings {
    /// Makes room for an instance, unless it is there.
    pub(crate) fn open(&mut self, id: InstanceId, mode: InstanceMode, query: &Query) {
        self.instances.entry(id).or_insert_with(|| {
            HeldInstance::new(match mode {
                InstanceMode::Facts => Content::Facts(BTreeSet::new()),
                InstanceMode::Rows => Content::Rows(LiveResult::empty(query)),
            })
        });
    }

    /// Whether the instance is there.
    pub(crate) fn contains(&self, id: InstanceId) -> bool {
        self.instances.contains_key(&id)
    }

    /// Whether the instance is there and not kept up.
    pub(crate) fn is_stale(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| instance.is_stale)
    }

    /// Its fingerprint, if it can be resumed.
    pub(crate) fn fingerprint(&self, id: InstanceId) -> Option<Fingerprint> {
        let instance = self.instances.get(&id)?;
        (!instance.is_stale).then_some(instance.fingerprint)
    }

    /// The result of a rows-mode instance.
    pub(crate) fn rows(&self, id: InstanceId) -> Option<&LiveResult> {
        match &self.instances.get(&id)?.content {
            Content::Rows(rows) => Some(rows),
            Content::Facts(_) => None,
        }
    }

    /// Begins to note what changes.
    pub(crate) fn note_steps(&mut self) {
        self.noted = Some(HeldSteps::default());
    }

    /// What has changed since the last call.
    pub(crate) fn take_steps(&mut self) -> HeldSteps {
        self.noted.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, instance: InstanceId, held: impl FnOnce() -> Held) {
        if let Some(noted) = &mut self.noted {
            noted.steps.push(Step { instance, held: held() });
        }
    }

    /// How the instance is answered.
    pub(crate) fn mode(&self, id: InstanceId) -> Option<InstanceMode> {
        Some(match self.instances.get(&id)?.content {
            Content::Facts(_) => InstanceMode::Facts,
            Content::Rows(_) => InstanceMode::Rows,
        })
    }

    /// All that an instance holds, as steps from nothing.
    pub(crate) fn contents(&self, id: InstanceId) -> Vec<Step> {
        let step = |held: Held| Step { instance: id, held };
        match self.instances.get(&id).map(|instance| &instance.content) {
            Some(Content::Facts(facts)) => {
                let marked = |fact: &Fact| Some((fact.clone(), self.facts.get(fact)?.mark));
                let facts = facts.iter().filter_map(marked);
                facts.map(|(fact, mark)| step(Held::Fact(fact, Some(mark)))).collect()
            }
            Some(Content::Rows(rows)) => {
                let rows = rows.answer().rows.to_vec().into_iter();
                // What came over the wire can go there again.
                let rows = rows.filter_map(|row| to_wire(row).ok());
                rows.map(|row| step(Held::Row(row, true))).collect()
            }
            None => Vec::new(),
        }
    }

    /// Forgets an instance.
    pub(crate) fn close(&mut self, id: InstanceId) -> Vec<Install> {
        let installs = self.clear(id);
        self.instances.remove(&id);
        installs
    }

    /// The server does not keep an instance up for now.
    pub(crate) fn set_stale(&mut self, id: InstanceId) -> Vec<Install> {
        self.note(id, || Held::Nothing);
        let installs = self.clear(id);
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.is_stale = true;
        }
        installs
    }

    fn clear(&mut self, id: InstanceId) -> Vec<Install> {
        let Some(instance) = self.instances.get_mut(&id) else { return Vec::new() };
        instance.fingerprint = Fingerprint::default();
        let facts = match &mut instance.content {
            Content::Facts(facts) => std::mem::take(facts),
            Content::Rows(rows) => {
                rows.clear();
                BTreeSet::new()
            }
        };
        let graves = self.leave_graves(id);
        let released = facts.into_iter().filter_map(|fact| self.release(id, fact));
        released.chain(graves).collect()
    }

    /// Nobody will tell this instance what becomes of the entities that it was told are deleted:
    /// they are believed dead only while another one is told.
    fn leave_graves(&mut self, id: InstanceId) -> Vec<Install> {
        let mut left = Vec::new();
        if is_planted(Bug::GravesOutliveHolders) {
            return left;
        }
        self.graves.retain(|entity, grave| {
            let is_last = grave.told.remove(&id) && grave.told.is_empty();
            if is_last {
                left.push(Install::Restored(entity.clone(), grave.stamp));
            }
            !is_last
        });
        left
    }

    /// Takes a holder from a fact that the holder does not list any more.
    fn release(&mut self, id: InstanceId, fact: Fact) -> Option<Install> {
        let held = self.facts.get_mut(&fact)?;
        held.holders.remove(id);
        if !held.holders.is_empty() && !is_planted(Bug::EvictedAtFirst) {
            return None;
        }
        self.sum = self.sum.without(fact_hash(&fact, &held.mark));
        self.facts.remove(&fact);
        Some(Install::Released(fact))
    }

    /// Takes a part. Parts of instances that are not there are ignored: they were on their way
    /// when the subscription ended.
    pub(crate) fn take_facts(&mut self, part: &FactsPart) -> Vec<Install> {
        if !self.contains(part.instance) {
            return Vec::new();
        }
        let mut installs = Vec::new();
        if part.reset {
            self.note(part.instance, || Held::Nothing);
            installs = self.clear(part.instance);
            self.revive(part.instance);
        } else if self.is_stale(part.instance) {
            return installs;
        }
        for install in &part.installs {
            installs.extend(self.take(part.instance, install));
        }
        installs
    }

    /// Takes a part. What it changed, where the instance is there; all that a reset brings.
    pub(crate) fn take_rows(&mut self, part: &RowsPart) -> Result<Option<RowsDelta>, WireRowError> {
        if part.reset {
            self.note(part.instance, || Held::Nothing);
            self.clear(part.instance);
            self.revive(part.instance);
        }
        let Some(instance) = self.instances.get_mut(&part.instance) else { return Ok(None) };
        let Content::Rows(result) = &mut instance.content else { return Ok(None) };
        if instance.is_stale {
            return Ok(None);
        }
        let n_outputs = result.answer().columns.len();
        let read = |rows: &[WireRow]| -> Result<Vec<Row>, WireRowError> {
            rows.iter().map(|row| read(row, n_outputs)).collect()
        };
        let mut delta = RowsDelta { added: read(&part.added)?, ..RowsDelta::default() };
        // A server that takes away what is not here is passed over, row by row.
        for (row, wire) in read(&part.removed)?.into_iter().zip(&part.removed) {
            let one = RowsDelta { removed: vec![row], ..RowsDelta::default() };
            if result.apply(&one) {
                instance.fingerprint = instance.fingerprint.without(row_hash(wire));
                delta.removed.extend(one.removed);
                if let Some(noted) = &mut self.noted {
                    let held = Held::Row(wire.clone(), false);
                    noted.steps.push(Step { instance: part.instance, held });
                }
            }
        }
        let added = RowsDelta { added: delta.added, ..RowsDelta::default() };
        assert!(result.apply(&added), "rows that come fit any result");
        let hashes = part.added.iter().map(row_hash);
        instance.fingerprint = hashes.fold(instance.fingerprint, Fingerprint::with);
        for row in &part.added {
            self.note(part.instance, || Held::Row(row.clone(), true));
        }
        Ok(Some(RowsDelta { added: added.added, ..delta }))
    }

    fn revive(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.is_stale = false;
        }
    }

    fn take(&mut self, id: InstanceId, install: &Install) -> Option<Install> {
        match install {
            Install::Fact(fact, mark) => self.hold(id, fact, *mark),
            Install::Retracted(fact) => self.retract(fact),
            Install::Released(fact) => {
                let instance = self.instances.get_mut(&id)?;
                let Content::Facts(facts) = &mut instance.content else { return None };
                if facts.remove(fact) {
                    let mark = self.facts.get(fact)?.mark;
                    instance.fingerprint = instance.fingerprint.without(fact_hash(fact, &mark));
                    self.note(id, || Held::Fact(fact.clone(), None));
                    return self.release(id, fact.clone());
                }
                None
            }
            Install::Deleted(entity, stamp) => {
                let new = || Grave { stamp: *stamp, told: BTreeSet::new() };
                let grave = self.graves.entry(entity.clone()).or_insert_with(new);
                grave.stamp = grave.stamp.max(*stamp);
                grave.told.insert(id);
                Some(install.clone())
            }
            Install::Restored(entity, stamp) => {
                // One that covers an earlier deletion only leaves this one standing.
                if self.graves.get(entity).is_some_and(|grave| grave.stamp <= *stamp) {
                    self.graves.remove(entity);
                }
                Some(install.clone())
            }
        }
    }

    fn hold(&mut self, id: InstanceId, fact: &Fact, mark: Mark) -> Option<Install> {
        self.leave_grave(&fact.entity, mark);
        if let Value::Ref(target) = &fact.value {
            self.leave_grave(target, mark);
        }
        if !matches!(self.instances.get(&id)?.content, Content::Facts(_)) {
            return None;
        }
        let is_known = self.facts.contains_key(fact);
        let held = self
            .facts
            .entry(fact.clone())
            .or_insert_with(|| HeldFact { mark, holders: Holders::default() });
        let before = held.mark;
        held.mark = mark;
        let is_new = !held.holders.contains(id);
        if !is_new && before == mark {
            return None;
        }
        let new = fact_hash(fact, &mark);
        if !is_known {
            self.sum = self.sum.with(new);
        }
        if before != mark {
            let old = fact_hash(fact, &before);
            self.sum = self.sum.without(old).with(new);
            for holder in held.holders.iter() {
                if let Some(instance) = self.instances.get_mut(&holder) {
                    instance.fingerprint = instance.fingerprint.without(old).with(new);
                }
            }
            if let Some(noted) = &mut self.noted {
                let held_by = held.holders.iter().filter(|holder| *holder != id);
                noted.steps.extend(held_by.map(|holder| Step {
                    instance: holder,
                    held: Held::Fact(fact.clone(), Some(mark)),
                }));
            }
        }
        if is_new {
            held.holders.insert(id);
            let instance = self.instances.get_mut(&id)?;
            instance.fingerprint = instance.fingerprint.with(new);
            if let Content::Facts(facts) = &mut instance.content {
                facts.insert(fact.clone());
            }
        }
        self.note(id, || Held::Fact(fact.clone(), Some(mark)));
        (!is_known || before != mark).then(|| Install::Fact(fact.clone(), mark))
    }

    /// A newer fact about an entity says that it lives.
    fn leave_grave(&mut self, entity: &EntityId, mark: Mark) {
        if self.graves.get(entity).is_some_and(|grave| grave.stamp < mark.stamp) {
            self.graves.remove(entity);
        }
    }

    /// A fact is no longer visible, whoever holds it.
    fn retract(&mut self, fact: &Fact) -> Option<Install> {
        let HeldFact { mark, holders } = self.facts.remove(fact)?;
        let hash = fact_hash(fact, &mark);
        self.sum = self.sum.without(hash);
        for holder in holders.iter() {
            if let Some(instance) = self.instances.get_mut(&holder) {
                instance.fingerprint = instance.fingerprint.without(hash);
                if let Content::Facts(facts) = &mut instance.content {
                    facts.remove(fact);
                }
            }
            self.note(holder, || Held::Fact(fact.clone(), None));
        }
        Some(Install::Retracted(fact.clone()))
    }

    /// Copies an instance from what was held before, under its new number.
    pub(crate) fn adopt(
        &mut self,
        old: &Holdings,
        from: InstanceId,
        to: InstanceId,
    ) -> Vec<Install> {
        match old.instances.get(&from) {
            None => Vec::new(),
            Some(HeldInstance { content: Content::Facts(_), .. }) => {
                self.adopt_facts(old, from, to, &BTreeMap::new())
            }
            Some(instance) => {
                self.adopt_rows(instance.clone(), from, to, Vec::new());
                Vec::new()
            }
        }
    }

    /// The same for facts, of which some are others now: with this mark, or gone.
    pub(crate) fn adopt_facts(
        &mut self,
        old: &Holdings,
        from: InstanceId,
        to: InstanceId,
        changes: &BTreeMap<Fact, Option<Mark>>,
    ) -> Vec<Install> {
        let is_new = !self.contains(to);
        let mut installs = self.clear(to);
        if !is_new {
            self.note(to, || Held::Nothing);
        }
        self.instances.insert(to, HeldInstance::new(Content::Facts(BTreeSet::new())));
        let n_noted = self.noted.as_ref().map_or(0, |noted| noted.steps.len());
        for (fact, mark) in old.facts(from).filter(|(fact, _)| !changes.contains_key(fact)) {
            installs.extend(self.hold(to, fact, mark));
        }
        if let Some(noted) = self.noted.as_mut().filter(|_| is_new) {
            let own = noted.steps.split_off(n_noted).into_iter();
            noted.steps.extend(own.filter(|step| step.instance != to));
            noted.adopted.insert(to, from);
        }
        for (fact, mark) in changes {
            match mark {
                Some(mark) => installs.extend(self.hold(to, fact, *mark)),
                None => self.note(to, || Held::Fact(fact.clone(), None)),
            }
        }
        installs
    }

    /// Takes over the rows of another one's instance, with the steps from what it began as.
    pub(crate) fn take_over_rows(&mut self, mut other: Holdings, from: InstanceId, to: InstanceId) {
        let steps = other.take_steps().steps;
        if let Some(instance) = other.instances.remove(&to) {
            self.adopt_rows(instance, from, to, steps);
        }
    }

    fn adopt_rows(
        &mut self,
        instance: HeldInstance,
        from: InstanceId,
        to: InstanceId,
        steps: Vec<Step>,
    ) {
        let is_new = self.instances.insert(to, instance).is_none();
        let all = self.noted.as_ref().filter(|_| !is_new).map(|_| self.contents(to));
        if !is_new {
            self.note(to, || Held::Nothing);
        }
        if let Some(noted) = &mut self.noted {
            if is_new {
                noted.adopted.insert(to, from);
            }
            noted.steps.extend(all.unwrap_or(steps));
        }
    }

    /// The facts that an instance holds, with their marks.
    pub(crate) fn facts(&self, id: InstanceId) -> impl Iterator<Item = (&Fact, Mark)> {
        let facts = self.instances.get(&id).and_then(|instance| match &instance.content {
            Content::Facts(facts) => Some(facts),
            Content::Rows(_) => None,
        });
        facts.into_iter().flatten().filter_map(|fact| Some((fact, self.facts.get(fact)?.mark)))
    }

    /// The mark of a fact, if the instance holds it.
    pub(crate) fn mark(&self, id: InstanceId, fact: &Fact) -> Option<Mark> {
        let held = self.facts.get(fact)?;
        held.holders.contains(id).then_some(held.mark)
    }

    /// What an instance holds, bucket by bucket; none where it can be resumed by nothing.
    pub(crate) fn bucket_sums(&self, id: InstanceId) -> Option<BucketSums> {
        let instance = self.instances.get(&id).filter(|instance| !instance.is_stale)?;
        let places: Vec<Place> = match &instance.content {
            Content::Facts(_) => {
                self.facts(id).map(|(fact, mark)| Place::of_fact(fact, &mark)).collect()
            }
            Content::Rows(rows) => wire_rows(rows).map(|(_, wire)| Place::of_row(&wire)).collect(),
        };
        Some(BucketSums::of(&places))
    }

    /// Forgets the rows in some buckets, which are in order.
    pub(crate) fn clear_row_buckets(&mut self, id: InstanceId, bits: u8, buckets: &[u32]) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Content::Rows(result) = &mut instance.content else { return };
        let is_cleared = |wire: &WireRow| buckets.binary_search(&row_bucket(wire, bits)).is_ok();
        let cleared: Vec<(Row, WireRow)> =
            wire_rows(result).filter(|(_, wire)| is_cleared(wire)).collect();
        for (_, wire) in &cleared {
            instance.fingerprint = instance.fingerprint.without(row_hash(wire));
            if let Some(noted) = &mut self.noted {
                noted.steps.push(Step { instance: id, held: Held::Row(wire.clone(), false) });
            }
        }
        let removed = cleared.into_iter().map(|(row, _)| row).collect();
        let is_there = result.apply(&RowsDelta { removed, ..RowsDelta::default() });
        assert!(is_there, "they were listed from the result itself");
    }

    /// What leads from what was held before to this. Deletions told before are taken back: what
    /// happened to the entities meanwhile was not told.
    pub(crate) fn installs_since(&self, old: &Holdings) -> Vec<Install> {
        let restored = old.graves.iter().filter(|(entity, _)| !self.graves.contains_key(*entity));
        let restored =
            restored.map(|(entity, grave)| Install::Restored(entity.clone(), grave.stamp));
        let deleted = self.graves.iter();
        let deleted = deleted.map(|(entity, grave)| Install::Deleted(entity.clone(), grave.stamp));
        let released = old.facts.keys().filter(|fact| !self.facts.contains_key(*fact));
        let released = released.cloned().map(Install::Released);
        let is_news = |(fact, held): &(&Fact, &HeldFact)| {
            old.facts.get(*fact).is_none_or(|before| before.mark != held.mark)
        };
        let facts = self.facts.iter().filter(is_news);
        let facts = facts.map(|(fact, held)| Install::Fact(fact.clone(), held.mark));
        restored.chain(deleted).chain(released).chain(facts).collect()
    }

    /// How many facts are held.
    pub(crate) fn n_facts(&self) -> usize {
        self.facts.len()
    }

    /// How many facts are held, and the fingerprint of all of them.
    pub(crate) fn digest(&self) -> (usize, Fingerprint) {
        (self.facts.len(), self.sum)
    }

    /// How many facts or rows an instance holds.
    pub(crate) fn n_items(&self, id: InstanceId) -> usize {
        match self.instances.get(&id).map(|instance| &instance.content) {
            Some(Content::Facts(facts)) => facts.len(),
            Some(Content::Rows(rows)) => rows.answer().rows.len(),
            None => 0,
        }
    }
}

/// The rows of a result, as they came.
fn wire_rows(result: &LiveResult) -> impl Iterator<Item = (Row, WireRow)> {
    let rows = result.answer().rows.iter().map(RowRef::to_row);
    rows.map(|row| {
        let wire = to_wire(row.clone()).expect("whatever came from the wire fits on it");
        (row, wire)
    })
}

/// A row of a result of so many columns.
fn read(row: &WireRow, n_outputs: usize) -> Result<Row, WireRowError> {
    if row.len() != n_outputs {
        let why = format!("it has {} outputs, the query asks for {n_outputs}", row.len());
        return Err(WireRowError::Malformed { why });
    }
    from_wire(row)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tercet_engine::answer::{Output, Tree};
    use tercet_engine::fact::Kind;
    use tercet_engine::hlc::Hlc;
    use tercet_engine::ids::{Attribute, ReplicaId, Seq};

    use super::*;

    const A: InstanceId = InstanceId(1);
    const B: InstanceId = InstanceId(2);

    fn query() -> Query {
        let text = "[:find (pull ?e [*]) :where [?e :a/b]]";
        Query::prepare(tercet_query_lang::parse(text).unwrap().raw).unwrap()
    }

    fn fact(entity: &str) -> Fact {
        let attribute = Attribute::new("a/b").unwrap();
        Fact { entity: EntityId::new(entity).unwrap(), attribute, value: Value::int(1) }
    }

    fn mark(ms: u64) -> Mark {
        let stamp = Stamp { hlc: Hlc::new(ms, 0, ReplicaId(1)), op: 0 };
        Mark { stamp, kind: Kind::Set }
    }

    fn part(instance: InstanceId, reset: bool, installs: Vec<Install>) -> FactsPart {
        FactsPart { instance, seq: Seq(1), reset, installs }
    }

    fn two() -> Holdings {
        let mut holdings = Holdings::default();
        holdings.open(A, InstanceMode::Facts, &query());
        holdings.open(B, InstanceMode::Facts, &query());
        holdings
    }

    fn sum(facts: &[(&str, u64)]) -> Fingerprint {
        let hashes = facts.iter().map(|(entity, ms)| fact_hash(&fact(entity), &mark(*ms)));
        hashes.fold(Fingerprint::default(), Fingerprint::with)
    }

    #[test]
    fn a_fact_stays_until_its_last_holder_leaves() {
        let mut holdings = two();
        let install = Install::Fact(fact("x"), mark(1));
        let installs = holdings.take_facts(&part(A, true, vec![install.clone()]));
        assert_eq!(installs, std::slice::from_ref(&install));
        assert_eq!(holdings.take_facts(&part(B, true, vec![install])), []);
        assert_eq!(holdings.close(A), []);
        assert_eq!(holdings.close(B), [Install::Released(fact("x"))]);
        assert_eq!(holdings.n_facts(), 0);
    }

    #[test]
    fn fingerprints_follow_marks_for_all_holders() {
        let mut holdings = two();
        for instance in [A, B] {
            let installs =
                vec![Install::Fact(fact("x"), mark(1)), Install::Fact(fact("y"), mark(2))];
            holdings.take_facts(&part(instance, true, installs));
        }
        holdings.take_facts(&part(A, false, vec![Install::Fact(fact("x"), mark(5))]));
        assert_eq!(holdings.fingerprint(B), Some(sum(&[("x", 5), ("y", 2)])));
        holdings.take_facts(&part(B, false, vec![Install::Retracted(fact("y"))]));
        assert_eq!(holdings.fingerprint(A), Some(sum(&[("x", 5)])));
        holdings.take_facts(&part(A, false, vec![Install::Released(fact("x"))]));
        assert_eq!(holdings.fingerprint(A), Some(sum(&[])));
        assert_eq!(holdings.fingerprint(B), Some(sum(&[("x", 5)])));
    }

    /// Guards against a set of rows: two entities pulled to equal trees are two equal rows, and
    /// the row must outlive one of them.
    #[test]
    fn equal_rows_are_counted() {
        let mut holdings = Holdings::default();
        holdings.open(A, InstanceMode::Rows, &query());
        let row: Row = vec![Output::Tree(Tree::default())];
        let wire = to_wire(row.clone()).unwrap();
        let part = |added: usize, removed: usize| RowsPart {
            instance: A,
            seq: Seq(1),
            reset: false,
            added: vec![wire.clone(); added],
            removed: vec![wire.clone(); removed],
        };
        let held = |holdings: &Holdings| holdings.rows(A).unwrap().answer().rows.to_vec();
        let delta = |added: usize, removed: usize| RowsDelta {
            added: vec![row.clone(); added],
            removed: vec![row.clone(); removed],
            ..RowsDelta::default()
        };
        assert_eq!(holdings.take_rows(&part(2, 0)).unwrap(), Some(delta(2, 0)));
        assert_eq!(held(&holdings), vec![row.clone(); 2]);
        let hash = row_hash(&wire);
        let both = Fingerprint::default().with(hash).with(hash);
        assert_eq!(holdings.fingerprint(A), Some(both));
        assert_eq!(holdings.take_rows(&part(0, 1)).unwrap(), Some(delta(0, 1)));
        assert_eq!(held(&holdings), vec![row.clone(); 1]);
        assert_eq!(holdings.take_rows(&part(0, 2)).unwrap(), Some(delta(0, 1)));
        assert!(held(&holdings).is_empty());
        assert_eq!(holdings.fingerprint(A), Some(Fingerprint::default()));
    }

    /// Guards against a panic: what a server sends is not believed.
    #[test]
    fn rows_of_another_width_are_refused() {
        let mut holdings = Holdings::default();
        holdings.open(A, InstanceMode::Rows, &query());
        let wide = to_wire(vec![Output::Tree(Tree::default()); 2]).unwrap();
        let part =
            RowsPart { instance: A, seq: Seq(1), reset: true, added: vec![], removed: vec![] };
        for wire in [wide, Vec::new()] {
            let part = RowsPart { added: vec![wire], ..part.clone() };
            assert_eq!(holdings.take_rows(&part).unwrap_err().code(), "malformed");
        }
    }

    /// Guards against a write that fails early on an entity that is alive: who was told that it is
    /// deleted had gone when it was restored (found by the simulation, seed 48).
    #[test]
    fn a_deletion_is_believed_only_while_somebody_is_told_more() {
        let mut holdings = two();
        let (entity, stamp) = (EntityId::new("x").unwrap(), mark(3).stamp);
        let deleted = Install::Deleted(entity.clone(), stamp);
        let restored = Install::Restored(entity, stamp);
        for instance in [A, B] {
            let told = holdings.take_facts(&part(instance, false, vec![deleted.clone()]));
            assert_eq!(told, std::slice::from_ref(&deleted));
        }
        assert_eq!(holdings.close(A), []);
        assert_eq!(holdings.set_stale(B), [restored]);
        assert_eq!(holdings.close(B), []);
    }

    /// Guards against a client that forgets that it holds a deletion, because a restoration of an
    /// earlier one was told (found by the simulation, seed 141).
    #[test]
    fn a_restoration_of_an_earlier_deletion_leaves_a_later_one() {
        let mut holdings = two();
        let entity = EntityId::new("x").unwrap();
        let deleted = Install::Deleted(entity.clone(), mark(5).stamp);
        let earlier = Install::Restored(entity.clone(), mark(3).stamp);
        holdings.take_facts(&part(A, false, vec![deleted, earlier]));
        assert_eq!(holdings.close(A), [Install::Restored(entity, mark(5).stamp)]);
    }

    #[test]
    fn a_stale_instance_holds_nothing_until_its_reset() {
        let mut holdings = two();
        let install = Install::Fact(fact("x"), mark(1));
        holdings.take_facts(&part(A, true, vec![install.clone()]));
        assert_eq!(holdings.set_stale(A), [Install::Released(fact("x"))]);
        assert_eq!(holdings.take_facts(&part(A, false, vec![install.clone()])), []);
        assert_eq!(holdings.fingerprint(A), None);
        assert_eq!(holdings.take_facts(&part(A, true, vec![install.clone()])), [install]);
        assert_eq!(holdings.fingerprint(A), Some(sum(&[("x", 1)])));
    }

    #[test]
    fn the_way_from_old_to_new_is_what_differs() {
        let mut old = two();
        let installs = ["x", "y"].map(|entity| Install::Fact(fact(entity), mark(1))).to_vec();
        old.take_facts(&part(A, true, installs));
        let stamp = mark(3).stamp;
        let entity = EntityId::new("z").unwrap();
        old.take_facts(&part(A, false, vec![Install::Deleted(entity.clone(), stamp)]));
        let mut new = Holdings::default();
        new.open(B, InstanceMode::Facts, &query());
        let installs = vec![Install::Fact(fact("x"), mark(1)), Install::Fact(fact("z"), mark(9))];
        new.take_facts(&part(B, true, installs));
        let expected = [
            Install::Restored(entity, stamp),
            Install::Released(fact("y")),
            Install::Fact(fact("z"), mark(9)),
        ];
        assert_eq!(new.installs_since(&old), expected);
        let mut adopted = Holdings::default();
        adopted.adopt(&new, B, A);
        assert_eq!(adopted.fingerprint(A), new.fingerprint(B));
        assert_eq!(adopted.installs_since(&new), []);
    }
}

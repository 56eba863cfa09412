//! All instances of a tenant: each one a (query, inputs, mode), shared by whoever subscribes.
//!
//! Invariants: equal keys share one instance; an instance lives as long as a session reads it, and
//! a while longer where its last reader may come back (`linger`); a *stale* one is not kept up, gets
//! nothing from commits, and is tried again after a while, each time after a longer one, or when
//! somebody new asks for it. However many are due, a step tries only as many as make
//! [`RETRY_WORK`], so a commit never waits for all of them. Entities whose deletion an instance was
//! told are remembered (`graves`) as long as it lives, because a restored entity may have no fact
//! that would lead to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tercet_engine::answer::Answer;
use tercet_engine::codec;
use tercet_engine::db::{self, Db, LiveUpdate, Query, RowsDelta};
use tercet_engine::error::QueryError;
use tercet_engine::fact::Install;
use tercet_engine::ids::{EntityId, Seq};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Snapshot, StoreDelta};

use super::facts::{FactsChange, FactsInstance};
use super::linger::Lingering;
use super::output::ResumeLimits;
use super::parts::facts_frames;
use super::ring::Rings;
use super::rows::RowsInstance;
use super::trouble::Trouble;
use crate::buckets::BucketTable;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId, InstanceMode, SessionId};
use crate::planted::{Bug, is_planted};
use crate::wire_query::WireQuery;

/// The first wait before a stale instance is tried again; it doubles up to the last.
const RETRY_MS_MIN: u64 = 1_000;
const RETRY_MS_MAX: u64 = 60_000;

/// How much work the retries of one step may be before the others wait for the next step: facts
/// read, and rows made or sent. At some millions a second this is a few hundredths of one.
const RETRY_WORK: u64 = 50_000;

/// About what a fact takes as part of a frame.
const FACT_BYTES: u64 = 96;

/// What taking up an instance is at least, however little it reads.
const RETRY_WORK_MIN: u64 = 100;

/// What makes two subscriptions share an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    mode: InstanceMode,
    program: Vec<u8>,
    inputs: Vec<u8>,
}

enum Kind {
    Facts(FactsInstance),
    Rows(RowsInstance),
}

impl Kind {
    /// The engine's own number of it.
    fn live(&self) -> db::InstanceId {
        match self {
            Kind::Facts(facts) => facts.live,
            Kind::Rows(rows) => rows.live,
        }
    }
}

struct Stale {
    trouble: Trouble,
    /// The published commit when all of it was last found to be too much.
    failed_at: Option<Seq>,
    retry_at_ms: u64,
    retry_after_ms: u64,
}

struct Instance {
    key: Key,
    query: Query,
    inputs: Vec<Input>,
    kind: Kind,
    sessions: BTreeSet<SessionId>,
    stale: Option<Stale>,
    /// All of it by buckets, until the next change.
    table: Option<BucketTable>,
}

/// Why a session reads an instance no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It does not need it any more.
    Ends,
    /// It may come back.
    Lingers,
}

/// What a commit did to an instance.
pub(crate) enum Change {
    Frames(Vec<SharedFrame>),
    Stale(Trouble),
}

/// All instances of a tenant.
pub(crate) struct Instances {
    n_facts_max: u64,
    budget: Budget,
    last: InstanceId,
    by_key: BTreeMap<Key, InstanceId>,
    /// Queries that differ may have one support, or one lifted form.
    by_live: BTreeMap<db::InstanceId, BTreeSet<InstanceId>>,
    instances: BTreeMap<InstanceId, Instance>,
    graves: BTreeMap<EntityId, BTreeSet<InstanceId>>,
    /// The stale ones, by when they are to be tried again.
    due: BTreeSet<(u64, InstanceId)>,
    /// Stale ones that are kept up again because somebody new asked for them.
    revived: Vec<Revived>,
    /// Those that nobody reads and that became stale.
    doomed: Vec<InstanceId>,
    counts: Counts,
    /// What all results take together.
    n_bytes_held: u64,
    pub(super) resume_limits: ResumeLimits,
    pub(super) rings: Rings,
    lingering: Lingering,
}

/// A stale instance that is kept up again, with all of it.
pub(crate) type Revived = (InstanceId, Vec<SharedFrame>);

/// What instances have cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Complete evaluations, of rows-mode instances.
    pub(crate) n_evaluations: u64,
    /// Times that an instance was told stale.
    pub(crate) n_stale: u64,
    /// Times that a stale one was tried again.
    pub(crate) n_retries: u64,
}

impl Instances {
    /// None yet.
    pub(crate) fn new(n_facts_max: u64, budget: Budget) -> Instances {
        Instances {
            n_facts_max,
            budget,
            last: InstanceId(0),
            by_key: BTreeMap::new(),
            by_live: BTreeMap::new(),
            instances: BTreeMap::new(),
            graves: BTreeMap::new(),
            due: BTreeSet::new(),
            revived: Vec::new(),
            doomed: Vec::new(),
            counts: Counts::default(),
            n_bytes_held: 0,
            resume_limits: ResumeLimits::default(),
            rings: Rings::default(),
            lingering: Lingering::default(),
        }
    }

    /// Sets how much is kept for those who come back.
    pub(crate) fn set_resume_limits(&mut self, limits: ResumeLimits) {
        self.resume_limits = limits;
        self.rings.set_limits(limits);
        self.lingering.set_limits(limits);
    }

    /// How many somebody reads.
    pub(crate) fn n_instances(&self) -> usize {
        self.instances.len() - self.lingering.len()
    }

    /// How many stay although nobody reads them.
    pub(crate) fn n_lingering(&self) -> usize {
        self.lingering.len()
    }

    /// How many of them are stale.
    pub(crate) fn n_stale(&self) -> usize {
        self.due.len()
    }

    /// What they have cost so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Stale instances that [`Instances::open`] has taken up again, for those who read them.
    pub(crate) fn take_revived(&mut self) -> Vec<Revived> {
        std::mem::take(&mut self.revived)
    }

    /// The instance of a (query, inputs, mode), made if it is new, tried again if it is stale. The
    /// caller joins it at once, and sends [`Instances::take_revived`] to whoever reads those.
    pub(crate) fn open(
        &mut self,
        db: &mut Db,
        seq: Seq,
        program: &WireQuery,
        inputs: &[Input],
        mode: InstanceMode,
    ) -> Result<InstanceId, Trouble> {
        let program = program.program().map_err(Trouble::from)?;
        let key = Key { mode, program: codec::encode(program), inputs: codec::encode(&inputs) };
        if let Some(&id) = self.by_key.get(&key) {
            return self.rouse(db, seq, id).map(|()| id);
        }
        let query =
            Query::prepare((**program).clone()).map_err(|errors| QueryError::Program { errors })?;
        query.check_live()?;
        let id = InstanceId(self.last.0 + 1);
        let kind = match mode {
            InstanceMode::Facts => self.open_facts(db, seq, id, &query, inputs)?,
            InstanceMode::Rows => self.open_rows(db, seq, id, &query, inputs)?,
        };
        self.last = id;
        self.by_key.insert(key.clone(), id);
        let inputs = inputs.to_vec();
        let sessions = BTreeSet::new();
        let instance = Instance { key, query, inputs, kind, sessions, stale: None, table: None };
        self.instances.insert(id, instance);
        self.rings.begin(id, seq);
        Ok(id)
    }

    /// Tries an instance again if it is stale and something has changed since it was tried.
    fn rouse(&mut self, db: &mut Db, seq: Seq, id: InstanceId) -> Result<(), Trouble> {
        match &self.instances[&id].stale {
            None => return Ok(()),
            Some(stale) if stale.failed_at == Some(seq) => return Err(stale.trouble.clone()),
            Some(_) => {}
        }
        let frames = self.revive(db, seq, id)?;
        self.revived.push((id, frames));
        Ok(())
    }

    fn open_facts(
        &mut self,
        db: &mut Db,
        seq: Seq,
        id: InstanceId,
        query: &Query,
        inputs: &[Input],
    ) -> Result<Kind, Trouble> {
        let live = match db.subscribe_support(query, inputs, &self.budget) {
            Err(error @ QueryError::Input { .. }) => return Err(error.into()),
            subscribed => subscribed.map_err(|error| Trouble::over_budget(&error.to_string()))?,
        };
        let mut facts = FactsInstance::new(live, self.n_facts_max);
        if let Err(trouble) = facts.load(id, seq, db) {
            db.unsubscribe(live);
            return Err(trouble);
        }
        self.by_live.entry(live).or_default().insert(id);
        Ok(Kind::Facts(facts))
    }

    fn open_rows(
        &mut self,
        db: &mut Db,
        seq: Seq,
        id: InstanceId,
        query: &Query,
        inputs: &[Input],
    ) -> Result<Kind, Trouble> {
        let live = db.subscribe(query, inputs, &self.budget)?;
        let mut rows = RowsInstance::new(live);
        let answer = evaluate(db, live, &mut self.counts);
        let loaded = answer.and_then(|answer| Ok(rows.load(id, seq, &answer)?));
        let loaded = loaded.and_then(|()| self.make_room(db, rows.n_bytes));
        if let Err(trouble) = loaded {
            db.unsubscribe(live);
            return Err(trouble);
        }
        self.by_live.entry(live).or_default().insert(id);
        self.n_bytes_held += rows.n_bytes;
        Ok(Kind::Rows(rows))
    }

    /// Ends what nobody reads until another result of so many bytes may be kept up.
    fn make_room(&mut self, db: &mut Db, n_bytes: u64) -> Result<(), Trouble> {
        while let Err(trouble) = self.check_room(n_bytes) {
            let unread = self.lingering.pop().ok_or(trouble)?;
            self.end(db, unread);
        }
        Ok(())
    }

    /// Whether another result of so many bytes may be kept up. All results of a tenant together
    /// may take what one evaluation may: nobody can fill the memory with many large ones.
    fn check_room(&self, n_bytes: u64) -> Result<(), Trouble> {
        let Some(n_bytes_max) = self.budget.bytes else { return Ok(()) };
        if self.n_bytes_held.saturating_add(n_bytes) <= n_bytes_max {
            return Ok(());
        }
        Err(Trouble {
            code: "query_over_budget".to_owned(),
            message: format!(
                "the results that the server keeps up for this app would take more than \
                 {n_bytes_max} bytes"
            ),
            hint: Some("subscribe to fewer rows, or end other subscriptions".to_owned()),
        })
    }

    /// Its query.
    pub(crate) fn query(&self, id: InstanceId) -> &Query {
        &self.instances[&id].query
    }

    /// Its arguments.
    pub(crate) fn inputs(&self, id: InstanceId) -> &[Input] {
        &self.instances[&id].inputs
    }

    /// How it is answered.
    pub(crate) fn mode(&self, id: InstanceId) -> InstanceMode {
        self.instances[&id].key.mode
    }

    /// Of its facts or rows now.
    pub(crate) fn fingerprint(&self, id: InstanceId) -> Fingerprint {
        match &self.instances[&id].kind {
            Kind::Facts(facts) => facts.fingerprint,
            Kind::Rows(rows) => rows.fingerprint,
        }
    }

    /// About how many bytes all of it takes.
    pub(crate) fn n_bytes(&self, id: InstanceId) -> u64 {
        match &self.instances[&id].kind {
            Kind::Facts(facts) => facts.n_facts() * FACT_BYTES,
            Kind::Rows(rows) => rows.n_bytes,
        }
    }

    /// All of it by buckets, if that has been made since it changed.
    pub(crate) fn table_mut(&mut self, id: InstanceId) -> &mut Option<BucketTable> {
        &mut self.instances.get_mut(&id).expect("the caller has joined it").table
    }

    /// Who reads it.
    pub(crate) fn sessions(&self, id: InstanceId) -> Vec<SessionId> {
        self.instances
            .get(&id)
            .map_or(Vec::new(), |instance| instance.sessions.iter().copied().collect())
    }

    /// A session reads it from now on.
    pub(crate) fn join(&mut self, id: InstanceId, session: SessionId) {
        if let Some(instance) = self.instances.get_mut(&id) {
            if is_planted(Bug::JoinMissesChanges) && !instance.sessions.is_empty() {
                return;
            }
            instance.sessions.insert(session);
            self.lingering.remove(id);
        }
    }

    /// A session reads it no more. With the last one it ends, or stays a while.
    pub(crate) fn leave(
        &mut self,
        db: &mut Db,
        id: InstanceId,
        session: SessionId,
        parting: Parting,
    ) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.sessions.remove(&session);
        if !instance.sessions.is_empty() {
            return;
        }
        match parting {
            Parting::Lingers if instance.stale.is_none() => {
                if let Some(unread) = self.lingering.add(id) {
                    self.end(db, unread);
                }
            }
            _ => self.end(db, id),
        }
    }

    /// Ends those that nobody came back for.
    pub(crate) fn expire(&mut self, db: &mut Db, now_ms: u64) {
        for id in self.lingering.expire(now_ms) {
            self.end(db, id);
        }
        for id in std::mem::take(&mut self.doomed) {
            let instance = self.instances.get(&id);
            if instance.is_some_and(|it| it.sessions.is_empty() && it.stale.is_some()) {
                self.end(db, id);
            }
        }
    }

    fn end(&mut self, db: &mut Db, id: InstanceId) {
        let Some(instance) = self.instances.remove(&id) else { return };
        self.lingering.remove(id);
        self.rings.end(id);
        self.by_key.remove(&instance.key);
        if let Some(stale) = &instance.stale {
            self.due.remove(&(stale.retry_at_ms, id));
        }
        let live = instance.kind.live();
        if let Some(readers) = self.by_live.get_mut(&live) {
            readers.remove(&id);
            if readers.is_empty() {
                self.by_live.remove(&live);
            }
        }
        db.unsubscribe(live);
        match instance.kind {
            Kind::Facts(_) => {
                self.graves.retain(|_, told| {
                    told.remove(&id);
                    !told.is_empty()
                });
            }
            Kind::Rows(rows) => self.n_bytes_held -= rows.n_bytes,
        }
    }

    /// All of it, as frames.
    pub(crate) fn reset_frames(
        &mut self,
        db: &Db,
        seq: Seq,
        id: InstanceId,
    ) -> Result<Vec<SharedFrame>, Trouble> {
        let instance = self.instances.get_mut(&id).expect("the caller has joined it");
        match &mut instance.kind {
            Kind::Facts(facts) => facts.reset_frames(id, seq, db),
            Kind::Rows(rows) => match rows.reset_frames() {
                Some(frames) => Ok(frames),
                None => {
                    let answer = evaluate(db, rows.live, &mut self.counts)?;
                    Ok(rows.make_reset(id, seq, &answer)?)
                }
            },
        }
    }

    /// What a commit did, by instance: `delta` to the facts, `updates` to the live results, from
    /// one snapshot to another.
    pub(crate) fn commit(
        &mut self,
        seq: Seq,
        delta: &StoreDelta,
        updates: &[LiveUpdate],
        sides: [&Snapshot; 2],
        now_ms: u64,
    ) -> BTreeMap<InstanceId, Change> {
        let mut changes = BTreeMap::new();
        let mut facts = BTreeMap::new();
        for update in updates {
            for id in self.by_live.get(&update.instance).cloned().unwrap_or_default() {
                let Some(instance) = self.instances.get_mut(&id) else { continue };
                if instance.stale.is_some() {
                    continue;
                }
                match (&mut instance.kind, &update.change) {
                    (Kind::Rows(rows), change) => {
                        self.n_bytes_held -= rows.n_bytes;
                        changes.insert(id, rows_change(rows, id, seq, change));
                        self.n_bytes_held += rows.n_bytes;
                    }
                    (Kind::Facts(kept), Ok(delta)) => {
                        facts.insert(id, kept.change(delta, sides));
                    }
                    (Kind::Facts(_), Err(error)) => {
                        let trouble = Trouble::over_budget(&error.to_string());
                        changes.insert(id, Change::Stale(trouble));
                    }
                }
            }
        }
        self.bury(delta, &mut facts);
        for (id, FactsChange { installs, .. }) in facts {
            let change = match &self.instances[&id].kind {
                Kind::Facts(facts) if facts.is_over_budget() => Change::Stale(facts.too_many()),
                _ => Change::Frames(facts_frames(id, seq, false, installs)),
            };
            changes.insert(id, change);
        }
        for (&id, change) in &mut changes {
            match change {
                Change::Stale(trouble) => {
                    self.set_stale(id, trouble.clone(), seq, now_ms);
                    if is_planted(Bug::StaleUntold) {
                        *change = Change::Frames(Vec::new());
                    }
                }
                Change::Frames(frames) => self.rings.push(id, seq, frames),
            }
            *self.table_mut(id) = None;
        }
        changes
    }

    /// Tells deletions to the instances whose facts they took, and restorations to those that were
    /// told of the deletion, or have facts of the entity again.
    fn bury(&mut self, delta: &StoreDelta, facts: &mut BTreeMap<InstanceId, FactsChange>) {
        let concerned = |facts: &BTreeMap<InstanceId, FactsChange>, entity: &EntityId| {
            let concerned = facts.iter().filter(|(_, change)| change.entities.contains(entity));
            concerned.map(|(id, _)| *id).collect::<BTreeSet<InstanceId>>()
        };
        for (entity, stamp) in &delta.deleted {
            for id in concerned(facts, entity) {
                let change = facts.get_mut(&id).expect("it was just there");
                change.installs.push(Install::Deleted(entity.clone(), *stamp));
                self.graves.entry(entity.clone()).or_default().insert(id);
            }
        }
        for (entity, stamp) in &delta.restored {
            if is_planted(Bug::RestorationUntold) {
                break;
            }
            let told = self.graves.get(entity).cloned().unwrap_or_default();
            for id in told.union(&concerned(facts, entity)) {
                if self.instances.get(id).is_some_and(|instance| instance.stale.is_none()) {
                    let change = facts.entry(*id).or_default();
                    change.installs.push(Install::Restored(entity.clone(), *stamp));
                }
            }
        }
    }

    fn set_stale(&mut self, id: InstanceId, trouble: Trouble, seq: Seq, now_ms: u64) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let failed_at = match &instance.kind {
            Kind::Facts(_) => Some(seq),
            // One step was too much; all of it has not been tried.
            Kind::Rows(_) => None,
        };
        let retry_at_ms = now_ms.saturating_add(RETRY_MS_MIN);
        let retry_after_ms = RETRY_MS_MIN;
        instance.stale = Some(Stale { trouble, failed_at, retry_at_ms, retry_after_ms });
        self.rings.end(id);
        if instance.sessions.is_empty() {
            return self.doomed.push(id);
        }
        self.due.insert((retry_at_ms, id));
        self.counts.n_stale += 1;
    }

    /// Tries stale instances whose time has come, those first that have waited longest, until the
    /// work of a step is done; those that are kept up again.
    pub(crate) fn retry(&mut self, db: &mut Db, seq: Seq, now_ms: u64) -> Vec<Revived> {
        let (mut revived, mut n_work) = (Vec::new(), 0);
        while n_work < RETRY_WORK
            && let Some(id) = self.next_due(now_ms)
        {
            match self.revive(db, seq, id) {
                Ok(frames) => {
                    n_work += self.n_work(id);
                    revived.push((id, frames));
                }
                Err(_) => {
                    // It may have taken all that its budget allows.
                    n_work = RETRY_WORK;
                    self.wait_longer(id, now_ms);
                }
            }
        }
        revived
    }

    /// Whether a stale instance's time has come.
    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.next_due(now_ms).is_some()
    }

    fn next_due(&self, now_ms: u64) -> Option<InstanceId> {
        let (at_ms, id) = self.due.first()?;
        (*at_ms <= now_ms).then_some(*id)
    }

    /// About how much work it was to take an instance up again.
    fn n_work(&self, id: InstanceId) -> u64 {
        RETRY_WORK_MIN
            + match &self.instances[&id].kind {
                Kind::Facts(facts) => facts.n_facts(),
                Kind::Rows(rows) => rows.n_work,
            }
    }

    fn wait_longer(&mut self, id: InstanceId, now_ms: u64) {
        let instance = self.instances.get_mut(&id);
        let Some(stale) = instance.and_then(|instance| instance.stale.as_mut()) else { return };
        self.due.remove(&(stale.retry_at_ms, id));
        stale.retry_after_ms = (stale.retry_after_ms * 2).min(RETRY_MS_MAX);
        stale.retry_at_ms = now_ms.saturating_add(stale.retry_after_ms);
        self.due.insert((stale.retry_at_ms, id));
    }

    /// Takes a stale instance up again; all of it. After an error it stays stale.
    fn revive(
        &mut self,
        db: &mut Db,
        seq: Seq,
        id: InstanceId,
    ) -> Result<Vec<SharedFrame>, Trouble> {
        self.counts.n_retries += 1;
        let loaded = self.load(db, seq, id);
        let instance = self.instances.get_mut(&id).expect("whoever is stale is there");
        if let Err(trouble) = loaded {
            if let Some(stale) = &mut instance.stale {
                (stale.trouble, stale.failed_at) = (trouble.clone(), Some(seq));
            }
            return Err(trouble);
        }
        if let Some(stale) = instance.stale.take() {
            self.due.remove(&(stale.retry_at_ms, id));
        }
        self.rings.begin(id, seq);
        self.reset_frames(db, seq, id)
    }

    /// Counts all of an instance as it is now.
    fn load(&mut self, db: &mut Db, seq: Seq, id: InstanceId) -> Result<(), Trouble> {
        let instance = self.instances.get_mut(&id).expect("the caller has found it");
        match &mut instance.kind {
            Kind::Facts(facts) => {
                let refreshed = db.refresh(facts.live);
                refreshed.map_err(|error| Trouble::over_budget(&error.to_string()))?;
                facts.load(id, seq, db)
            }
            Kind::Rows(rows) => {
                db.refresh(rows.live)?;
                let answer = evaluate(db, rows.live, &mut self.counts)?;
                self.n_bytes_held -= rows.n_bytes;
                let loaded = rows.load(id, seq, &answer);
                self.n_bytes_held += rows.n_bytes;
                Ok(loaded?)
            }
        }
    }
}

fn rows_change(
    rows: &mut RowsInstance,
    id: InstanceId,
    seq: Seq,
    change: &Result<RowsDelta, QueryError>,
) -> Change {
    match change {
        Ok(delta) => match rows.change(id, seq, delta) {
            Ok(frames) => Change::Frames(frames),
            Err(error) => Change::Stale(error.into()),
        },
        Err(error) => Change::Stale(error.clone().into()),
    }
}

/// The complete result of a live query.
fn evaluate(db: &Db, live: db::InstanceId, counts: &mut Counts) -> Result<Arc<Answer>, Trouble> {
    counts.n_evaluations += 1;
    Ok(db.answer(live).ok_or_else(Trouble::stopped)??)
}

//! All instances of a tenant: each one a (query, inputs, mode), shared by whoever subscribes.
//!
//! Invariants: equal keys share one instance; an instance lives as long as a session reads it; a
//! *stale* one is not kept up, gets nothing from commits, and is tried again after a while, each
//! time after a longer one. Entities whose deletion an instance was told are remembered (`graves`)
//! as long as it lives, because a restored entity may have no fact that would lead to it.

use std::collections::{BTreeMap, BTreeSet};

use tercet_engine::codec;
use tercet_engine::db::{self, Db, LiveUpdate, Query};
use tercet_engine::error::QueryError;
use tercet_engine::fact::Install;
use tercet_engine::ids::{EntityId, Seq};
use tercet_engine::limits::Budget;
use tercet_engine::program::raw::Input;
use tercet_engine::store::StoreDelta;
use tercet_engine::value::Value;

use super::facts::{FactsInstance, OverBudget};
use super::parts::facts_frames;
use super::routes::Routes;
use super::rows::RowsInstance;
use crate::codec::SharedFrame;
use crate::message::{Fingerprint, InstanceId, InstanceMode, SessionId};
use crate::wire_query::{QueryTextError, WireQuery};
use crate::wire_row::WireRowError;

/// The first wait before a stale instance is tried again; it doubles up to the last.
const RETRY_MS_MIN: u64 = 1_000;
const RETRY_MS_MAX: u64 = 60_000;

/// Why an instance cannot be, or is not kept up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl From<QueryError> for Trouble {
    fn from(error: QueryError) -> Trouble {
        let hint = match &error {
            QueryError::Program { errors } => errors.iter().find_map(|error| error.hint.clone()),
            QueryError::Budget { hint, .. } => Some(hint.clone()),
            _ => None,
        };
        Trouble { code: error.code().to_owned(), message: error.to_string(), hint }
    }
}

impl From<&QueryTextError> for Trouble {
    fn from(error: &QueryTextError) -> Trouble {
        Trouble { code: error.code.clone(), message: error.message.clone(), hint: None }
    }
}

impl From<WireRowError> for Trouble {
    fn from(error: WireRowError) -> Trouble {
        Trouble { code: error.code().to_owned(), message: error.to_string(), hint: None }
    }
}

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

struct Stale {
    trouble: Trouble,
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
    by_live: BTreeMap<db::InstanceId, InstanceId>,
    instances: BTreeMap<InstanceId, Instance>,
    routes: Routes,
    graves: BTreeMap<EntityId, BTreeSet<InstanceId>>,
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
            routes: Routes::default(),
            graves: BTreeMap::new(),
        }
    }

    /// The instance of a (query, inputs, mode), made if it is new. The caller joins it at once.
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
            return match &self.instances[&id].stale {
                Some(stale) => Err(stale.trouble.clone()),
                None => Ok(id),
            };
        }
        let query =
            Query::prepare((**program).clone()).map_err(|errors| QueryError::Program { errors })?;
        query.check_live()?;
        let id = InstanceId(self.last.0 + 1);
        let kind = match mode {
            InstanceMode::Facts => self.open_facts(db, id, &query, inputs)?,
            InstanceMode::Rows => self.open_rows(db, seq, id, &query, inputs)?,
        };
        self.last = id;
        self.by_key.insert(key.clone(), id);
        let inputs = inputs.to_vec();
        let instance =
            Instance { key, query, inputs, kind, sessions: BTreeSet::new(), stale: None };
        self.instances.insert(id, instance);
        Ok(id)
    }

    fn open_facts(
        &mut self,
        db: &Db,
        id: InstanceId,
        query: &Query,
        inputs: &[Input],
    ) -> Result<Kind, Trouble> {
        let mut facts = FactsInstance::new(query, inputs, self.n_facts_max)?;
        facts.load(&db.snapshot()).map_err(|OverBudget| self.over_budget())?;
        self.routes.add(id, facts.attributes.as_ref());
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
        let loaded = match db.answer(live) {
            Some(Ok(answer)) => rows.load(id, seq, &answer).map_err(Trouble::from),
            Some(Err(error)) => Err(error.into()),
            None => Err(stopped()),
        };
        let loaded = loaded.and_then(|()| self.check_room(rows.n_bytes));
        if let Err(trouble) = loaded {
            db.unsubscribe(live);
            return Err(trouble);
        }
        self.by_live.insert(live, id);
        Ok(Kind::Rows(rows))
    }

    /// Whether another result of so many bytes may be kept up. All results of a tenant together
    /// may take what one evaluation may: nobody can fill the memory with many large ones.
    fn check_room(&self, n_bytes: u64) -> Result<(), Trouble> {
        let Some(n_bytes_max) = self.budget.bytes else { return Ok(()) };
        let rows_bytes = |instance: &Instance| match &instance.kind {
            Kind::Rows(rows) => rows.n_bytes,
            Kind::Facts(_) => 0,
        };
        let n_bytes_held: u64 = self.instances.values().map(rows_bytes).sum();
        if n_bytes_held.saturating_add(n_bytes) <= n_bytes_max {
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

    fn over_budget(&self) -> Trouble {
        Trouble {
            code: "support_over_budget".to_owned(),
            message: format!("the query's support has more than {} facts", self.n_facts_max),
            hint: Some("narrow the query, or subscribe in rows mode".to_owned()),
        }
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

    /// Who reads it.
    pub(crate) fn sessions(&self, id: InstanceId) -> Vec<SessionId> {
        self.instances
            .get(&id)
            .map_or(Vec::new(), |instance| instance.sessions.iter().copied().collect())
    }

    /// A session reads it from now on.
    pub(crate) fn join(&mut self, id: InstanceId, session: SessionId) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.sessions.insert(session);
        }
    }

    /// A session reads it no more. The last one ends it.
    pub(crate) fn leave(&mut self, db: &mut Db, id: InstanceId, session: SessionId) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.sessions.remove(&session);
        if !instance.sessions.is_empty() {
            return;
        }
        let Some(instance) = self.instances.remove(&id) else { return };
        self.by_key.remove(&instance.key);
        match instance.kind {
            Kind::Facts(facts) => {
                self.routes.remove(id, facts.attributes.as_ref());
                self.graves.retain(|_, told| {
                    told.remove(&id);
                    !told.is_empty()
                });
            }
            Kind::Rows(rows) => {
                self.by_live.remove(&rows.live);
                db.unsubscribe(rows.live);
            }
        }
    }

    /// All of it, as frames.
    pub(crate) fn reset_frames(
        &mut self,
        db: &Db,
        seq: Seq,
        id: InstanceId,
    ) -> Result<Vec<SharedFrame>, Trouble> {
        let over_budget = self.over_budget();
        let instance = self.instances.get_mut(&id).expect("the caller has joined it");
        match &mut instance.kind {
            Kind::Facts(facts) => {
                facts.reset_frames(id, seq, &db.snapshot()).map_err(|OverBudget| over_budget)
            }
            Kind::Rows(rows) => {
                let answer = db.answer(rows.live).ok_or_else(stopped)??;
                Ok(rows.reset_frames(id, seq, &answer)?)
            }
        }
    }

    /// What a commit did, by instance: `delta` to the facts, `updates` to the live results.
    pub(crate) fn commit(
        &mut self,
        seq: Seq,
        delta: &StoreDelta,
        updates: &[LiveUpdate],
        now_ms: u64,
    ) -> BTreeMap<InstanceId, Change> {
        let mut changes = BTreeMap::new();
        for (id, installs) in self.install_lists(delta) {
            changes.insert(id, Change::Frames(facts_frames(id, seq, false, installs)));
        }
        for update in updates {
            if let Some((id, change)) = self.rows_change(seq, update) {
                changes.insert(id, change);
            }
        }
        for (&id, change) in &mut changes {
            if let Kind::Facts(facts) = &self.instances[&id].kind
                && facts.is_over_budget()
            {
                *change = Change::Stale(self.over_budget());
            }
        }
        for (&id, change) in &changes {
            if let Change::Stale(trouble) = change {
                self.set_stale(id, trouble.clone(), now_ms);
            }
        }
        changes
    }

    fn rows_change(&mut self, seq: Seq, update: &LiveUpdate) -> Option<(InstanceId, Change)> {
        let id = *self.by_live.get(&update.instance)?;
        let instance = self.instances.get_mut(&id)?;
        let Kind::Rows(rows) = &mut instance.kind else { return None };
        if instance.stale.is_some() {
            return None;
        }
        let change = match &update.change {
            Ok(delta) => match rows.change(id, seq, delta) {
                Ok(frames) => Change::Frames(frames),
                Err(error) => Change::Stale(error.into()),
            },
            Err(error) => Change::Stale(error.clone().into()),
        };
        Some((id, change))
    }

    /// What the holders of each facts-mode instance have to install.
    fn install_lists(&mut self, delta: &StoreDelta) -> BTreeMap<InstanceId, Vec<Install>> {
        let mut lists: BTreeMap<InstanceId, Vec<Install>> = BTreeMap::new();
        let mut concerned: BTreeMap<&EntityId, BTreeSet<InstanceId>> = BTreeMap::new();
        for change in &delta.facts {
            let readers: Vec<InstanceId> = self.routes.readers(&change.fact.attribute).collect();
            for id in readers {
                let kind = self.instances.get_mut(&id).map(|instance| &mut instance.kind);
                let Some(Kind::Facts(facts)) = kind else { continue };
                if !facts.support.covers(&change.fact) {
                    continue;
                }
                lists.entry(id).or_default().push(facts.change(change));
                concerned.entry(&change.fact.entity).or_default().insert(id);
                if let Value::Ref(target) = &change.fact.value {
                    concerned.entry(target).or_default().insert(id);
                }
            }
        }
        for (entity, stamp) in &delta.deleted {
            for &id in concerned.get(entity).into_iter().flatten() {
                lists.entry(id).or_default().push(Install::Deleted(entity.clone(), *stamp));
                self.graves.entry(entity.clone()).or_default().insert(id);
            }
        }
        for (entity, stamp) in &delta.restored {
            let told = self.graves.get(entity).into_iter().flatten().copied();
            let concerned = concerned.get(entity).into_iter().flatten().copied();
            for id in told.chain(concerned).collect::<BTreeSet<_>>() {
                lists.entry(id).or_default().push(Install::Restored(entity.clone(), *stamp));
            }
        }
        lists
    }

    fn set_stale(&mut self, id: InstanceId, trouble: Trouble, now_ms: u64) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Kind::Facts(facts) = &instance.kind {
            self.routes.remove(id, facts.attributes.as_ref());
        }
        let retry_at_ms = now_ms.saturating_add(RETRY_MS_MIN);
        instance.stale = Some(Stale { trouble, retry_at_ms, retry_after_ms: RETRY_MS_MIN });
    }

    /// Tries the stale instances whose time has come; those that are kept up again, with all of
    /// each.
    pub(crate) fn retry(
        &mut self,
        db: &mut Db,
        seq: Seq,
        now_ms: u64,
    ) -> Vec<(InstanceId, Vec<SharedFrame>)> {
        let is_due = |instance: &Instance| {
            instance.stale.as_ref().is_some_and(|stale| stale.retry_at_ms <= now_ms)
        };
        let due: Vec<InstanceId> = self
            .instances
            .iter()
            .filter_map(|(id, instance)| is_due(instance).then_some(*id))
            .collect();
        due.into_iter().filter_map(|id| Some((id, self.retry_one(db, seq, id, now_ms)?))).collect()
    }

    fn retry_one(
        &mut self,
        db: &mut Db,
        seq: Seq,
        id: InstanceId,
        now_ms: u64,
    ) -> Option<Vec<SharedFrame>> {
        let instance = self.instances.get_mut(&id)?;
        let reloaded = match &mut instance.kind {
            Kind::Facts(facts) => facts.load(&db.snapshot()).is_ok(),
            Kind::Rows(rows) => {
                db.refresh(rows.live).is_ok()
                    && matches!(db.answer(rows.live), Some(Ok(answer)) if rows.load(id, seq, &answer).is_ok())
            }
        };
        if !reloaded {
            let stale = instance.stale.as_mut()?;
            stale.retry_after_ms = (stale.retry_after_ms * 2).min(RETRY_MS_MAX);
            stale.retry_at_ms = now_ms.saturating_add(stale.retry_after_ms);
            return None;
        }
        instance.stale = None;
        if let Kind::Facts(facts) = &instance.kind {
            self.routes.add(id, facts.attributes.as_ref());
        }
        self.reset_frames(db, seq, id).ok()
    }
}

fn stopped() -> Trouble {
    Trouble {
        code: "stale".to_owned(),
        message: "the subscription's result is not kept up for now".to_owned(),
        hint: Some("subscribe again in a while".to_owned()),
    }
}

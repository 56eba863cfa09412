//! The cache: what a client keeps of its subscriptions for its next start.
//!
//! Definitions: an *entry* is a subscription by its definition (query, inputs, wanted mode), with
//! what its instance holds. All entries are at one position, that of the cache, but for *frozen*
//! ones, which nobody reads any more and which say at which position they were left. Invariants:
//! the steps written so far lead from nothing to what the open entries hold at the cache's
//! position; an entry's fingerprint is that of what is written of it.
//!
//! At a start the entries at the cache's position are held at once, whether or not somebody has
//! subscribed to them: they are at one position, so they are one consistent, if old, state, and no
//! answer that reads it is complete. Frozen ones, and after the first switch those that nobody has
//! taken up, are set aside: nothing reads them, but a subscription of their definition resumes from
//! them. Where the cache is stored is not known here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use tercet_engine::codec;
use tercet_engine::db::Query;
use tercet_engine::fact::{Fact, Install, Mark};
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::Checkpoint;
use tercet_engine::program::raw::{Input, RawProgram};

use super::holdings::{Held, Holdings, Step};
use super::output::{ClientConfig, ClientOutput, Outbox};
use super::peer::ClientPeer;
use super::subscription::Subscription;
use crate::message::{
    FactsPart, Fingerprint, InstanceId, InstanceMode, Mode, RowsPart, SubscriptionId,
};
use crate::wire_row::{WireRow, row_hash};

/// How many entries are kept that nobody reads; the one left longest ago goes first.
const UNREAD_MAX: usize = 64;

/// The number of an entry; never used again by this client.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CacheEntryId(pub u64);

/// Where the cache stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheHead {
    /// The position of all entries but the frozen ones.
    pub position: Checkpoint,
    /// The greatest stamp of the server that was seen.
    pub clock: Hlc,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheHeader {
    /// The query.
    pub query: RawProgram,
    /// Its inputs.
    pub inputs: Vec<Input>,
    /// How it was asked to be answered.
    pub wanted: Mode,
    /// How it is answered.
    pub mode: InstanceMode,
    /// Of what it holds.
    pub fingerprint: Fingerprint,
    /// The position it was left at; none while it is at that of the cache.
    pub frozen_at: Option<Checkpoint>,
}

/// An entry as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheEntry {
    /// Its number.
    pub id: CacheEntryId,
    /// What it is.
    pub header: CacheHeader,
    /// In facts mode: what it holds.
    pub facts: Vec<(Fact, Mark)>,
    /// In rows mode: what it holds, and how often.
    pub rows: Vec<(WireRow, u32)>,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cache {
    /// Where it stands; none for a new one.
    pub head: Option<CacheHead>,
    /// Its entries.
    pub entries: Vec<CacheEntry>,
}

/// A step of what is to be stored. Steps of an entry that is not there are passed over.
#[derive(Debug, Clone, PartialEq)]
pub enum CacheStep {
    /// It stands here.
    Head(CacheHead),
    /// Makes an entry that holds nothing, or gives one that is there another header.
    Entry(CacheEntryId, Box<CacheHeader>),
    /// The entry holds this fact with this mark, or holds it no more.
    Fact(CacheEntryId, Fact, Option<Mark>),
    /// The entry holds this row so often.
    Row(CacheEntryId, WireRow, u32),
    /// The entry holds nothing.
    Clear(CacheEntryId),
    /// The entry is gone.
    Drop(CacheEntryId),
}

impl Cache {
    /// What a store has when it has done these steps: for stores that keep this in memory.
    pub fn follow(&mut self, steps: Vec<CacheStep>) {
        for step in steps {
            match step {
                CacheStep::Head(head) => self.head = Some(head),
                CacheStep::Entry(id, header) => match self.entry(id) {
                    Some(entry) => entry.header = *header,
                    None => {
                        let (facts, rows) = Default::default();
                        self.entries.push(CacheEntry { id, header: *header, facts, rows });
                    }
                },
                CacheStep::Fact(id, fact, mark) => {
                    let Some(CacheEntry { facts, .. }) = self.entry(id) else { continue };
                    let place = facts.binary_search_by(|(held, _)| held.cmp(&fact));
                    follow_pair(facts, place, fact, mark);
                }
                CacheStep::Row(id, row, n) => {
                    let Some(CacheEntry { rows, .. }) = self.entry(id) else { continue };
                    let place = rows.iter().position(|(held, _)| *held == row).ok_or(rows.len());
                    follow_pair(rows, place, row, (n > 0).then_some(n));
                }
                CacheStep::Clear(id) => {
                    if let Some(entry) = self.entry(id) {
                        entry.facts.clear();
                        entry.rows.clear();
                    }
                }
                CacheStep::Drop(id) => self.entries.retain(|entry| entry.id != id),
            }
        }
    }

    fn entry(&mut self, id: CacheEntryId) -> Option<&mut CacheEntry> {
        self.entries.iter_mut().find(|entry| entry.id == id)
    }
}

/// The key at this place, or that would be, has this now, or is gone.
fn follow_pair<Key, Mapped>(
    pairs: &mut Vec<(Key, Mapped)>,
    place: Result<usize, usize>,
    key: Key,
    mapped: Option<Mapped>,
) {
    match (place, mapped) {
        (Ok(index), Some(mapped)) => pairs[index].1 = mapped,
        (Ok(index), None) => drop(pairs.remove(index)),
        (Err(index), Some(mapped)) => pairs.insert(index, (key, mapped)),
        (Err(_), None) => {}
    }
}

/// The peer's side of the cache.
#[derive(Debug, Default)]
pub(crate) struct Caching {
    last_entry: CacheEntryId,
    by_definition: BTreeMap<Vec<u8>, CacheEntryId>,
    entries: BTreeMap<CacheEntryId, Kept>,
    /// Entries that nobody reads, the one left last at the end.
    unread: VecDeque<CacheEntryId>,
    head: Option<CacheHead>,
    /// Who reads which instance has changed since the last steps.
    is_reassigned: bool,
    /// Since the last steps other holdings have come in place of those before: the same number may
    /// be another instance.
    is_switched: bool,
}

/// One entry.
#[derive(Debug)]
struct Kept {
    header: CacheHeader,
    readers: BTreeSet<SubscriptionId>,
    /// Whether it is in the store.
    is_stored: bool,
    /// The instance that what is stored equals.
    source: Option<InstanceId>,
    /// Holds the source, where the peer's holdings do not.
    aside: Option<Holdings>,
    /// In rows mode: how often each row is there, by its hash.
    n_rows: BTreeMap<u128, u32>,
}

/// Where what is held comes from.
struct Sources<'held> {
    holdings: &'held Holdings,
    adopted: &'held BTreeMap<InstanceId, InstanceId>,
    is_switched: bool,
}

impl Sources<'_> {
    /// Whether the noted steps lead from what the one instance held at the last steps to what the
    /// other one holds now.
    fn leads_from(&self, source: InstanceId, instance: InstanceId) -> bool {
        let is_same = !self.is_switched && source == instance;
        is_same || self.adopted.get(&instance) == Some(&source)
    }
}

/// What a subscription can be resumed from.
pub(crate) struct ResumeBase<'peer> {
    pub(crate) holdings: &'peer Holdings,
    pub(crate) instance: InstanceId,
    pub(crate) mode: InstanceMode,
    pub(crate) position: Checkpoint,
}

/// The instance of an entry of an earlier process: of servers' numbers none comes here by counting.
fn loaded_instance(entry: CacheEntryId) -> InstanceId {
    InstanceId(u64::MAX - entry.0)
}

fn definition(query: &RawProgram, inputs: &[Input], wanted: Mode) -> Vec<u8> {
    codec::encode(&(query, inputs, wanted))
}

impl ClientPeer {
    /// As [`ClientPeer::new`], with what a cache has kept, and keeping it up by
    /// [`ClientOutput::Cache`]. Entries that are not what was stored, or of queries that are none
    /// any more, are dropped.
    pub fn restore(config: ClientConfig, outbox: Outbox, cache: Cache, now_ms: u64) -> ClientPeer {
        let mut peer = ClientPeer::new(config, outbox, now_ms);
        let mut caching = Caching { head: cache.head, ..Caching::default() };
        let mut dropped = Vec::new();
        for entry in cache.entries {
            let id = entry.id;
            caching.last_entry = caching.last_entry.max(id);
            if !caching.load(entry, &mut peer.holdings) {
                tracing::warn!(entry = id.0, "a cached subscription is damaged and is dropped");
                dropped.push(CacheStep::Drop(id));
            }
        }
        dropped.extend(caching.forget_unread());
        if let Some(CacheHead { position, clock }) = caching.head {
            peer.position = Some(position);
            peer.clock.observe(clock);
        }
        peer.overlay.install(&peer.holdings.installs_since(&Holdings::default()));
        peer.must_fold = true;
        peer.holdings.note_steps();
        peer.caching = Some(caching);
        if !dropped.is_empty() {
            peer.output(ClientOutput::Cache(dropped));
        }
        peer
    }

    /// What a subscription can be resumed from.
    pub(super) fn resume_base(&self, id: SubscriptionId) -> Option<ResumeBase<'_>> {
        let subscription = self.subscriptions.get(&id)?;
        if let Some(instance) = subscription.instance {
            let (mode, position) = (subscription.mode?, self.position?);
            return Some(ResumeBase { holdings: &self.holdings, instance, mode, position });
        }
        let caching = self.caching.as_ref()?;
        let kept = caching.entries.get(&subscription.entry?)?;
        let position = kept.header.frozen_at.or(caching.head.map(|head| head.position))?;
        let (holdings, instance, mode) = (kept.aside.as_ref()?, kept.source?, kept.header.mode);
        Some(ResumeBase { holdings, instance, mode, position })
    }

    /// A new subscription takes up the entry of its definition, or begins one.
    pub(super) fn take_up(&mut self, id: SubscriptionId) {
        let is_settled = self.phase.as_live().is_some() && self.renewal.is_none();
        let Some(caching) = &mut self.caching else { return };
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return };
        let entry = caching.entry_of(subscription);
        let Some(kept) = caching.entries.get_mut(&entry) else { return };
        kept.readers.insert(id);
        caching.unread.retain(|unread| *unread != entry);
        caching.is_reassigned = true;
        subscription.entry = Some(entry);
        let is_held = |source: &InstanceId| {
            self.holdings.contains(*source) && !self.holdings.is_stale(*source)
        };
        if !is_settled && let Some(source) = kept.source.filter(is_held) {
            subscription.instance = Some(source);
            subscription.mode = Some(kept.header.mode);
        }
    }

    /// A subscription has ended: its entry stays, unless somebody reads it still.
    pub(super) fn leave_entry(&mut self, id: SubscriptionId, subscription: &Subscription) {
        let Some(caching) = &mut self.caching else { return };
        let Some(entry) = subscription.entry else { return };
        let Some(kept) = caching.entries.get_mut(&entry) else { return };
        kept.readers.remove(&id);
        if !kept.readers.is_empty() {
            return;
        }
        if kept.aside.is_none() && subscription.instance != Some(loaded_instance(entry)) {
            // The server may use its number again.
            kept.source = None;
        }
        caching.unread.push_back(entry);
        if !kept.is_stored {
            caching.remove(entry);
        }
        let dropped = caching.forget_unread();
        if !dropped.is_empty() {
            self.output(ClientOutput::Cache(dropped));
        }
    }

    /// What is set aside for a subscription, which has it no more.
    pub(super) fn take_aside(&mut self, id: SubscriptionId) -> Option<(Holdings, InstanceId)> {
        let entry = self.subscriptions.get(&id)?.entry?;
        let kept = self.caching.as_mut()?.entries.get_mut(&entry)?;
        kept.aside.take().zip(kept.source)
    }

    /// Whether the cache holds an instance from an earlier process.
    pub(super) fn is_loaded(&self, instance: InstanceId) -> bool {
        let entries = self.caching.as_ref().map(|caching| &caching.entries);
        let entry = CacheEntryId(u64::MAX - instance.0);
        let kept = entries.and_then(|entries| entries.get(&entry));
        kept.is_some_and(|kept| kept.source == Some(instance))
    }

    /// Subscriptions read other instances than before.
    pub(super) fn note_reassigned(&mut self) {
        if let Some(caching) = &mut self.caching {
            caching.is_reassigned = true;
        }
    }

    /// Before a switch: what is held from an earlier process and nobody has taken up is set aside.
    pub(super) fn set_unread_aside(&mut self) {
        let Some(caching) = &mut self.caching else { return };
        caching.is_switched = true;
        for kept in caching.entries.values_mut().filter(|kept| kept.readers.is_empty()) {
            let Some(source) = kept.source.filter(|source| self.holdings.contains(*source)) else {
                continue;
            };
            let mut aside = Holdings::default();
            aside.adopt(&self.holdings, source, source, &BTreeMap::new());
            kept.aside = Some(aside);
        }
    }

    /// Tells of all that has changed in what the subscriptions hold.
    pub(super) fn write_cache(&mut self) {
        let (Some(caching), None) = (&mut self.caching, &self.renewal) else { return };
        let (held, Some(position)) = (self.holdings.take_steps(), self.position) else { return };
        let is_reassigned = std::mem::take(&mut caching.is_reassigned);
        let is_switched = std::mem::take(&mut caching.is_switched);
        if held.steps.is_empty() && !is_reassigned && !is_switched {
            return;
        }
        let sources = Sources { holdings: &self.holdings, adopted: &held.adopted, is_switched };
        let by_instance = held.by_instance();
        let mut steps = Vec::new();
        for (id, kept) in &mut caching.entries {
            let instance = kept.readers.iter().find_map(|reader| {
                let subscription = self.subscriptions.get(reader)?;
                (!subscription.is_asked).then_some(subscription.instance?)
            });
            // What comes from an earlier process is in the store as it is.
            if let Some(instance) = instance.filter(|instance| *instance != loaded_instance(*id)) {
                let changed = by_instance.get(&instance).map_or(&[][..], Vec::as_slice);
                kept.write(*id, instance, &sources, changed, &mut steps);
            }
        }
        if !steps.is_empty() {
            let head = CacheHead { position, clock: self.clock.seen() };
            caching.move_to(head, &mut steps);
            self.output(ClientOutput::Cache(steps));
        }
    }
}

impl Caching {
    /// Takes an entry of the store. Whether it is what was stored.
    fn load(&mut self, entry: CacheEntry, holdings: &mut Holdings) -> bool {
        let CacheEntry { id, header, facts, rows } = entry;
        let Ok(query) = Query::prepare(header.query.clone()) else { return false };
        let instance = loaded_instance(id);
        let n_rows = rows.iter().map(|(row, n)| (row_hash(row), *n)).collect();
        let mut aside = Holdings::default();
        aside.open(instance, header.mode, &query);
        let (seq, reset) = Default::default();
        let installs = facts.into_iter().map(|(fact, mark)| Install::Fact(fact, mark)).collect();
        aside.take_facts(&FactsPart { instance, seq, reset, installs });
        let added = rows.into_iter().flat_map(|(row, n)| std::iter::repeat_n(row, n as usize));
        let (added, removed) = (added.collect(), Vec::new());
        let is_read = aside.take_rows(&RowsPart { instance, seq, reset, added, removed }).is_ok();
        if !is_read || aside.fingerprint(instance) != Some(header.fingerprint) {
            return false;
        }
        let is_current = header.frozen_at.is_none() && self.head.is_some();
        if is_current {
            holdings.adopt(&aside, instance, instance, &BTreeMap::new());
        }
        let key = definition(&header.query, &header.inputs, header.wanted);
        self.by_definition.insert(key, id);
        self.unread.push_back(id);
        let kept = Kept {
            header,
            readers: BTreeSet::new(),
            is_stored: true,
            source: Some(instance),
            aside: (!is_current).then_some(aside),
            n_rows,
        };
        self.entries.insert(id, kept);
        true
    }

    fn entry_of(&mut self, subscription: &Subscription) -> CacheEntryId {
        let Subscription { query, inputs, wanted, .. } = subscription;
        let key = definition(query.raw(), inputs, *wanted);
        if let Some(entry) = self.by_definition.get(&key) {
            return *entry;
        }
        self.last_entry.0 += 1;
        let header = CacheHeader {
            query: query.raw().clone(),
            inputs: inputs.clone(),
            wanted: *wanted,
            mode: InstanceMode::Facts,
            fingerprint: Fingerprint::default(),
            frozen_at: None,
        };
        let kept = Kept {
            header,
            readers: BTreeSet::new(),
            is_stored: false,
            source: None,
            aside: None,
            n_rows: BTreeMap::new(),
        };
        self.by_definition.insert(key, self.last_entry);
        self.entries.insert(self.last_entry, kept);
        self.last_entry
    }

    fn remove(&mut self, entry: CacheEntryId) {
        let Some(Kept { header, .. }) = self.entries.remove(&entry) else { return };
        self.by_definition.remove(&definition(&header.query, &header.inputs, header.wanted));
        self.unread.retain(|unread| *unread != entry);
    }

    /// Drops the entries that were left longest ago, if there are too many.
    fn forget_unread(&mut self) -> Vec<CacheStep> {
        let n_surplus = self.unread.len().saturating_sub(UNREAD_MAX);
        let surplus: Vec<CacheEntryId> = self.unread.iter().take(n_surplus).copied().collect();
        for entry in &surplus {
            self.remove(*entry);
        }
        surplus.into_iter().map(CacheStep::Drop).collect()
    }

    /// The cache stands here now; what nobody reads stays where it was.
    fn move_to(&mut self, head: CacheHead, steps: &mut Vec<CacheStep>) {
        if let Some(left) = self.head.filter(|left| left.position != head.position) {
            let is_left = |kept: &&mut Kept| {
                kept.readers.is_empty() && kept.is_stored && kept.header.frozen_at.is_none()
            };
            for id in &self.unread {
                if let Some(kept) = self.entries.get_mut(id).filter(is_left) {
                    kept.header.frozen_at = Some(left.position);
                    steps.push(CacheStep::Entry(*id, Box::new(kept.header.clone())));
                }
            }
        }
        self.head = Some(head);
        steps.push(CacheStep::Head(head));
    }
}

impl Kept {
    /// Brings what is stored of it to what its instance holds.
    fn write(
        &mut self,
        id: CacheEntryId,
        instance: InstanceId,
        sources: &Sources<'_>,
        changed: &[&Step],
        steps: &mut Vec<CacheStep>,
    ) {
        self.aside = None;
        let holdings = sources.holdings;
        let Some(fingerprint) = holdings.fingerprint(instance) else {
            // Not kept up for now, and what was held is gone.
            if std::mem::take(&mut self.is_stored) {
                steps.push(CacheStep::Drop(id));
            }
            self.source = None;
            return;
        };
        let mode = holdings.mode(instance).unwrap_or(InstanceMode::Facts);
        let is_source = |source| sources.leads_from(source, instance);
        let is_followed = self.is_stored && self.source.is_some_and(is_source);
        self.source = Some(instance);
        let header = CacheHeader { mode, fingerprint, frozen_at: None, ..self.header.clone() };
        if is_followed && changed.is_empty() && self.header == header {
            return;
        }
        self.header = header.clone();
        steps.push(CacheStep::Entry(id, Box::new(header)));
        self.is_stored = true;
        if is_followed {
            steps.extend(changed.iter().map(|step| self.follow(id, step)));
        } else {
            self.n_rows.clear();
            steps.push(CacheStep::Clear(id));
            let whole = holdings.contents(instance);
            steps.extend(whole.iter().map(|step| self.follow(id, step)));
        }
    }

    fn follow(&mut self, id: CacheEntryId, step: &Step) -> CacheStep {
        match &step.held {
            Held::Fact(fact, mark) => CacheStep::Fact(id, fact.clone(), *mark),
            Held::Row(row, is_there) => {
                let hash = row_hash(row);
                let n_before = self.n_rows.get(&hash).copied().unwrap_or(0);
                let n = match is_there {
                    true => n_before + 1,
                    false => n_before.saturating_sub(1),
                };
                match n {
                    0 => self.n_rows.remove(&hash),
                    n => self.n_rows.insert(hash, n),
                };
                CacheStep::Row(id, row.clone(), n)
            }
            Held::Nothing => {
                self.n_rows.clear();
                CacheStep::Clear(id)
            }
        }
    }
}

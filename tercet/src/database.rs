//! The database: one writer at a time, any number of readers, live queries in step.
//!
//! A transaction is merged into a copy-on-write successor, appended to the log, and only then
//! published: memory never runs ahead of the disk, and a write that failed was never visible.
//! Three locks, taken in this order: `writer` for as long as a transaction takes, its append
//! included; `live` while live queries are brought up to a commit, or one comes or goes; `view`
//! for the exchange of a pointer. Readers take only the last, so they wait for nobody.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tercet_engine::answer::Answer;
use tercet_engine::codec;
use tercet_engine::commit::{LogRecord, Origin};
use tercet_engine::db::{Db, InstanceId, LiveResult, Query, RowsDelta, ShapeStats};
use tercet_engine::error::QueryError;
use tercet_engine::fact::{Effect, Op, Transaction};
use tercet_engine::hlc::Clock;
use tercet_engine::ids::{ClientId, ClientSeq, Seq};
use tercet_engine::limits::Budget;
use tercet_engine::profile::Profile;
use tercet_engine::program::raw::Input;
use tercet_engine::store::{Accepted, Store, StoreDelta};
use tercet_query_lang::{Inputs, IntoQuery};
use tercet_schema::{Entity, FromRow, SchemaError};
use tercet_storage::{AppId, LibsqlStorage, Storage, TenantId};

use crate::environment::{now_ms, random_client, random_replica};
use crate::error::Error;
use crate::journal::{Journal, OPS_MAX};
use crate::snapshot::Snapshot;
use crate::subscription::{Mailbox, Subscription};

/// The name of the one tenant in a directory of ours.
const TENANT: &str = "embedded";

/// A database, in memory or in a directory. A clone is the same database; it is closed when the
/// last one is dropped.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its position among all commits.
    pub seq: Seq,
    /// What became of each operation, right after the whole transaction.
    pub effects: Vec<Effect>,
}

pub(crate) struct Inner {
    writer: Mutex<Writer>,
    live: Mutex<Live>,
    view: RwLock<Snapshot>,
}

/// Whatever a transaction needs beside its operations.
struct Writer {
    /// The state after the last commit.
    store: Store,
    seq: Seq,
    clock: Clock,
    /// Of this opening: a number is never used twice.
    client: ClientId,
    number: ClientSeq,
    /// None in memory.
    journal: Option<Journal>,
}

/// The published state with its live queries, and who reads them.
struct Live {
    db: Db,
    seq: Seq,
    watched: BTreeMap<InstanceId, Watched>,
}

/// The complete result of a live query, one for all who read it.
struct Watched {
    result: LiveResult,
    readers: Vec<Arc<Mailbox>>,
}

impl Database {
    /// An empty database that ends with its last clone.
    pub fn memory() -> Database {
        Database::with(Writer::new(None))
    }

    /// Opens the database in a directory, made if it does not exist, and replays its log. The
    /// directory belongs to this database until the last clone is dropped.
    ///
    /// ```
    /// use tercet::{Attribute, Database, EntityId, Op};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("people.tercet");
    /// let db = Database::open(&path)?;
    /// let name = Attribute::new("user/name")?;
    /// db.transact(vec![Op::Set { e: EntityId::new("ann")?, a: name, v: "Ann".into() }])?;
    /// drop(db);
    ///
    /// let db = Database::open(&path)?;
    /// assert_eq!(db.query("[:find ?n . :where [_ :user/name ?n]]", ())?.rows.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it is open already, in this process or another, is damaged, or cannot be reached.
    pub fn open(path: impl AsRef<Path>) -> Result<Database, Error> {
        Database::open_in(Arc::new(LibsqlStorage::open(path.as_ref())?))
    }

    /// Opens the database in any storage.
    pub(crate) fn open_in(storage: Arc<dyn Storage>) -> Result<Database, Error> {
        let app = AppId::new(TENANT).expect("lower-case letters");
        let mut writer = Writer::new(Some(Journal::open(storage, TenantId::of_app(app))?));
        writer.catch_up(|_, _| {})?;
        Ok(Database::with(writer))
    }

    fn with(writer: Writer) -> Database {
        let mut db = Db::with_store(writer.store.clone());
        let origin = std::time::Instant::now();
        db.set_live_clock(Arc::new(move || origin.elapsed()));
        let live = Live { db, seq: writer.seq, watched: BTreeMap::new() };
        let view = Snapshot::new(writer.store.snapshot(), writer.seq);
        let (writer, live, view) = (Mutex::new(writer), Mutex::new(live), RwLock::new(view));
        Database { inner: Arc::new(Inner { writer, live, view }) }
    }

    /// Writes: all operations or none, in order, shown whole. Durable when this returns, if the
    /// database is in a directory. A `remove` or `restore` without a cover covers what is there.
    ///
    /// # Errors
    /// When there are no operations or too many, one covers what is not written yet, or the log
    /// cannot be written. Nothing is visible then.
    pub fn transact(&self, ops: Vec<Op>) -> Result<Commit, Error> {
        self.inner.transact(&mut self.inner.writer.lock(), ops)
    }

    /// Writes an entity: whole if it is new, else the fields that differ from what is there, so
    /// that nothing which a newer version of the program stored is erased. `None` when nothing
    /// differs.
    ///
    /// ```
    /// use tercet::{Database, Entity, Id};
    ///
    /// #[derive(Debug, Clone, PartialEq, Entity)]
    /// #[entity(type = "user", crate = "tercet::schema")]
    /// struct User { id: Id<User>, name: String, age: Option<i64> }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = Database::memory();
    /// let ann = User { id: Id::new("ann")?, name: "Ann".into(), age: None };
    /// assert!(db.save(&ann)?.is_some());
    /// assert!(db.save(&ann)?.is_none());
    /// assert_eq!(db.snapshot().get::<User>(&ann.id)?, Some(ann));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the entity does not fit its type, and as for [`Database::transact`].
    pub fn save<T: Entity>(&self, entity: &T) -> Result<Option<Commit>, Error> {
        // What is there cannot change between the look and the write.
        let mut writer = self.inner.writer.lock();
        let facts = writer.store.snapshot().entity_facts(entity.entity_id());
        let ops = match T::from_facts(entity.entity_id(), &facts) {
            Ok(Some(stored)) => entity.changes_from(&stored)?,
            // Not there, or only in part: then nothing can be said about differences.
            Ok(None) | Err(SchemaError::Incomplete { .. }) => entity.to_ops()?,
            Err(error) => return Err(error.into()),
        };
        if ops.is_empty() {
            return Ok(None);
        }
        self.inner.transact(&mut writer, ops).map(Some)
    }

    /// The facts now, to be asked several questions that belong together, from any thread.
    pub fn snapshot(&self) -> Snapshot {
        self.inner.view.read().clone()
    }

    /// Evaluates a query over the facts now.
    ///
    /// # Errors
    /// When the query is not valid or the inputs do not fit it.
    pub fn query(&self, query: impl IntoQuery, inputs: impl Into<Inputs>) -> Result<Answer, Error> {
        self.snapshot().query(query, inputs)
    }

    /// Evaluates a query over the facts now and reads its rows as structs, tuples or values.
    ///
    /// # Errors
    /// As for [`Snapshot::query_as`].
    pub fn query_as<T: FromRow>(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<Vec<T>, Error> {
        self.snapshot().query_as(query, inputs)
    }

    /// How a query would be evaluated over the facts now; a tree that prints itself.
    ///
    /// # Errors
    /// When the query is not valid.
    pub fn explain(&self, query: impl IntoQuery) -> Result<Profile, Error> {
        self.snapshot().explain(query)
    }

    /// Evaluates a query over the facts now and tells what each part of the evaluation did.
    ///
    /// # Errors
    /// As for [`Snapshot::profile`].
    pub fn profile(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<(Answer, Profile), Error> {
        self.snapshot().profile(query, inputs)
    }

    /// Watches a query. The first item is the answer now.
    ///
    /// # Errors
    /// When the query is not valid or cannot be live, or the inputs do not fit it.
    pub fn subscribe(
        &self,
        query: impl IntoQuery,
        inputs: impl Into<Inputs>,
    ) -> Result<Subscription, Error> {
        let (query, inputs) = (query.into_query()?, inputs.into().0);
        let mut live = self.inner.live.lock();
        let (instance, mailbox) = live.subscribe(&query, &inputs)?;
        Ok(Subscription::new(instance, query, mailbox, Arc::downgrade(&self.inner)))
    }

    /// What live queries have cost so far, by shape: queries that differ in constants and inputs
    /// alone.
    ///
    /// ```
    /// # fn main() -> Result<(), tercet::Error> {
    /// use tercet::{Attribute, Database, EntityId, Op, Tier};
    ///
    /// let db = Database::memory();
    /// let ann = db.subscribe("[:find ?u :where [?u :user/name \"Ann\"]]", ())?;
    /// let bob = db.subscribe("[:find ?u :where [?u :user/name \"Bob\"]]", ())?;
    /// let [shape] = &db.live_stats()[..] else { panic!("both are of one shape") };
    /// assert_eq!((shape.tier, shape.n_instances), (Tier::Delta, 2));
    /// # drop((ann, bob));
    /// # Ok(()) }
    /// ```
    pub fn live_stats(&self) -> Vec<ShapeStats> {
        self.inner.live.lock().db.live_stats()
    }

    #[cfg(test)]
    pub(crate) fn set_live_limits(&self, limits: tercet_engine::db::LiveLimits) {
        self.inner.live.lock().db.set_live_limits(limits);
    }
}

impl Inner {
    fn transact(&self, writer: &mut Writer, ops: Vec<Op>) -> Result<Commit, Error> {
        match ops.len() {
            0 => return Err(Error::NothingToWrite),
            n_ops if n_ops > OPS_MAX => {
                return Err(Error::TooManyOps { n_ops, n_ops_max: OPS_MAX });
            }
            _ => {}
        }
        writer.catch_up(|writer, delta| self.publish(writer, delta))?;
        let Accepted { delta, effects, .. } = writer.commit(ops)?;
        self.publish(writer, &delta);
        Ok(Commit { seq: writer.seq, effects })
    }

    /// Shows readers the writer's state, then live queries: whoever hears of a commit from one of
    /// them finds it in the facts.
    fn publish(&self, writer: &Writer, delta: &StoreDelta) {
        *self.view.write() = Snapshot::new(writer.store.snapshot(), writer.seq);
        self.live.lock().publish(writer, delta);
    }

    pub(crate) fn unsubscribe(&self, instance: InstanceId, mailbox: &Arc<Mailbox>) {
        let mut live = self.live.lock();
        if let Some(watched) = live.watched.get_mut(&instance) {
            watched.readers.retain(|reader| !Arc::ptr_eq(reader, mailbox));
            if watched.readers.is_empty() {
                live.watched.remove(&instance);
            }
        }
        live.db.unsubscribe(instance);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for mailbox in self.live.get_mut().watched.values().flat_map(|it| &it.readers) {
            mailbox.end(None);
        }
    }
}

impl Live {
    /// One more reader of a live query. Only the first one costs an evaluation.
    fn subscribe(
        &mut self,
        query: &Query,
        inputs: &[Input],
    ) -> Result<(InstanceId, Arc<Mailbox>), QueryError> {
        let instance = self.db.subscribe(query, inputs, &Budget::unlimited())?;
        if let Entry::Vacant(vacant) = self.watched.entry(instance) {
            let answer = match self.db.answer(instance).expect("it has just been subscribed to") {
                Ok(answer) => answer,
                Err(error) => {
                    self.db.unsubscribe(instance);
                    return Err(error);
                }
            };
            let result = LiveResult::new(query, answer);
            vacant.insert(Watched { result, readers: Vec::new() });
        }
        let watched = self.watched.get_mut(&instance).expect("it is there by now");
        let mailbox = Arc::new(Mailbox::new(Arc::clone(watched.result.answer()), self.seq));
        watched.readers.push(Arc::clone(&mailbox));
        Ok((instance, mailbox))
    }

    fn publish(&mut self, writer: &Writer, delta: &StoreDelta) {
        self.seq = writer.seq;
        for update in self.db.publish(writer.store.clone(), delta) {
            let instance = update.instance;
            let Some(watched) = self.watched.get_mut(&instance) else { continue };
            match self.db.follow(&mut watched.result, update) {
                Ok(delta) => watched.tell(self.seq, delta),
                Err(error) => {
                    let ended = self.watched.remove(&instance);
                    for mailbox in ended.into_iter().flat_map(|watched| watched.readers) {
                        mailbox.end(Some(error.clone().into()));
                    }
                }
            }
        }
    }
}

impl Watched {
    fn tell(&self, seq: Seq, delta: RowsDelta) {
        if delta.is_empty() {
            return;
        }
        let delta = Arc::new(delta);
        for mailbox in &self.readers {
            mailbox.put(Arc::clone(self.result.answer()), seq, Arc::clone(&delta));
        }
    }
}

impl Writer {
    fn new(journal: Option<Journal>) -> Writer {
        Writer {
            store: Store::new(),
            seq: Seq(0),
            clock: Clock::new(random_replica()),
            client: random_client(),
            number: ClientSeq(0),
            journal,
        }
    }

    /// Replays what the log holds beyond this state, and shows each commit to `observe`.
    fn catch_up(&mut self, mut observe: impl FnMut(&Writer, &StoreDelta)) -> Result<(), Error> {
        // Taken out, because the replay changes the rest.
        let Some(mut journal) = self.journal.take() else { return Ok(()) };
        let outcome = journal.catch_up(|seq, origin, transaction| {
            let delta = self.store.apply(transaction);
            self.seq = seq;
            self.clock = self.clock.observe(transaction.hlc);
            if origin.client == self.client {
                self.number = origin.number;
            }
            observe(self, &delta);
        });
        self.journal = Some(journal);
        outcome
    }

    /// Merges operations and makes them durable; unless both succeed nothing has changed.
    fn commit(&mut self, ops: Vec<Op>) -> Result<Accepted, Error> {
        let now_ms = now_ms();
        let (clock, hlc) = self.clock.tick(now_ms);
        self.clock = clock;
        let transaction = Transaction { hlc, ops };
        check_covers(&transaction)?;
        let mut successor = self.store.clone();
        let accepted = successor.accept(&transaction);
        let seq = self.seq.next();
        if let Some(journal) = &mut self.journal {
            let (client, number) = (self.client.clone(), self.number.next());
            let origin = Origin { client, number, digest: digest(&transaction.ops) };
            let transaction = accepted.transaction.clone();
            journal.append(LogRecord::Commit { seq, at_ms: now_ms, origin, transaction })?;
            self.number = number;
        }
        (self.store, self.seq) = (successor, seq);
        Ok(accepted)
    }
}

fn check_covers(transaction: &Transaction) -> Result<(), Error> {
    let is_later = |(index, op): &(usize, &Op)| {
        op.covers().is_some_and(|covers| covers > transaction.stamp(*index))
    };
    match transaction.ops.iter().enumerate().find(is_later) {
        Some((op, _)) => Err(Error::CoverInFuture { op }),
        None => Ok(()),
    }
}

/// As servers make it, so that a server can take the log over: 128 bits of BLAKE3 over the encoded
/// operations.
fn digest(ops: &[Op]) -> [u8; 16] {
    let hash = blake3::hash(&codec::encode(&ops));
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

//! What the database promises: durability, all or nothing, readers beside a writer, live answers.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use tercet_engine::commit::LogRecord;
use tercet_engine::db::LiveLimits;
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Epoch, ReplicaId, Term};
use tercet_storage::{
    ChangeLog, LogBatch, MemoryStorage, Ordinal, Registry, Storage, StorageError, TenantId,
};

use crate::*;

fn set(e: &str, a: &str, v: impl Into<Value>) -> Op {
    Op::Set { e: EntityId::new(e).unwrap(), a: Attribute::new(a).unwrap(), v: v.into() }
}

fn add(e: &str, a: &str, v: impl Into<Value>) -> Op {
    Op::Add { e: EntityId::new(e).unwrap(), a: Attribute::new(a).unwrap(), v: v.into() }
}

fn delete(e: &str) -> Op {
    Op::Delete { e: EntityId::new(e).unwrap() }
}

fn facts(db: &Database) -> Vec<Fact> {
    let mut facts: Vec<Fact> = db.snapshot().facts().collect();
    facts.sort();
    facts
}

const NAMES: &str = "[:find [?n ...] :where [_ :user/name ?n]]";

fn added(change: &Change) -> Vec<Row> {
    change.delta.added.iter().map(|placed| placed.row.clone()).collect()
}

fn names(texts: &[&str]) -> Vec<Row> {
    texts.iter().map(|text| vec![Output::Value(Value::from(*text))]).collect()
}

/// What happens to the next append.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Refused whole.
    Full,
    /// Reported as failed, and not there.
    Lost,
    /// Reported as failed, but there.
    Stored,
}

/// Storage in memory whose next append can fail.
struct Faulty {
    storage: MemoryStorage,
    fault: Arc<Mutex<Fault>>,
}

struct FaultyLog {
    log: Box<dyn ChangeLog>,
    fault: Arc<Mutex<Fault>>,
}

impl Storage for Faulty {
    fn open_tenant(&self, tenant: &TenantId) -> Result<Box<dyn ChangeLog>, StorageError> {
        let (log, fault) = (self.storage.open_tenant(tenant)?, Arc::clone(&self.fault));
        Ok(Box::new(FaultyLog { log, fault }))
    }

    fn open_registry(&self) -> Result<Box<dyn Registry>, StorageError> {
        self.storage.open_registry()
    }
}

impl ChangeLog for FaultyLog {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    fn term(&self) -> Term {
        self.log.term()
    }

    fn last_seq(&self) -> Seq {
        self.log.last_seq()
    }

    fn append(&mut self, records: &[LogRecord]) -> Result<(), StorageError> {
        let file = "test".to_owned();
        let why = "as the test wants".to_owned();
        match std::mem::replace(&mut *self.fault.lock(), Fault::None) {
            Fault::None => self.log.append(records),
            Fault::Full => Err(StorageError::Full { file }),
            Fault::Lost => Err(StorageError::Unavailable { file, why }),
            Fault::Stored => {
                self.log.append(records)?;
                Err(StorageError::Unavailable { file, why })
            }
        }
    }

    fn read(&mut self, after: Ordinal, bytes_max: usize) -> Result<LogBatch, StorageError> {
        self.log.read(after, bytes_max)
    }

    fn changes(
        &mut self,
        after: Seq,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<LogRecord>, StorageError> {
        self.log.changes(after, n_max, bytes_max)
    }
}

fn faulty() -> (Database, Arc<Mutex<Fault>>) {
    let fault = Arc::new(Mutex::new(Fault::None));
    let storage = Faulty { storage: MemoryStorage::new(), fault: Arc::clone(&fault) };
    (Database::open_in(Arc::new(storage)).unwrap(), fault)
}

#[test]
fn opening_again_keeps_everything() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("people");
    let db = Database::open(&path).unwrap();
    db.transact(vec![set("a", "user/name", "Ann\0"), set("a", "user/age", 41)]).unwrap();
    db.transact(vec![add("b", "user/tag", "x"), add("b", "user/tag", "y")]).unwrap();
    db.transact(vec![delete("a"), set("c", "user/name", "Cy")]).unwrap();
    let before = (db.snapshot().seq(), facts(&db));
    assert_eq!(before.1.len(), 3);
    assert_eq!(Database::open(&path).err().unwrap().code(), "storage_busy");
    drop(db);

    let db = Database::open(&path).unwrap();
    assert_eq!((db.snapshot().seq(), facts(&db)), before);
    // New stamps are later than those in the log, and what was deleted stays deleted.
    let commit = db.transact(vec![set("c", "user/name", "Di"), set("a", "user/age", 1)]).unwrap();
    assert_eq!((commit.seq, commit.effects[0]), (Seq(4), Effect::Applied));
    assert!(matches!(commit.effects[1], Effect::Deleted { .. }));
    assert_eq!(db.query(NAMES, ()).unwrap().rows, names(&["Di"]));
    drop(db);

    let db = Database::open(&path).unwrap();
    assert_eq!((db.snapshot().seq(), db.snapshot().n_facts()), (Seq(4), 3));
    assert_eq!(db.query(NAMES, ()).unwrap().rows, names(&["Di"]));
}

#[test]
fn a_failed_append_publishes_nothing_and_the_next_transaction_succeeds() {
    for fault in [Fault::Full, Fault::Lost] {
        let (db, next) = faulty();
        let mut live = db.subscribe(NAMES, ()).unwrap();
        assert_eq!(live.next().unwrap().unwrap().answer.rows, names(&[]));
        db.transact(vec![set("a", "user/name", "Ann")]).unwrap();
        assert_eq!(live.next().unwrap().unwrap().answer.rows, names(&["Ann"]));

        *next.lock() = fault;
        let error = db.transact(vec![set("a", "user/name", "Bob")]).unwrap_err();
        assert_eq!(error.code(), "storage_unavailable");
        assert_eq!(db.query(NAMES, ()).unwrap().rows, names(&["Ann"]));
        assert_eq!(db.snapshot().seq(), Seq(1));
        assert!(live.try_next().is_none());

        let commit = db.transact(vec![set("b", "user/name", "Cy")]).unwrap();
        assert_eq!((commit.seq, commit.effects), (Seq(2), vec![Effect::Applied]));
        let change = live.next().unwrap().unwrap();
        assert_eq!((change.seq, added(&change)), (Seq(2), names(&["Cy"])));
        assert_eq!(db.query(NAMES, ()).unwrap().rows, names(&["Ann", "Cy"]));
    }
}

#[test]
fn a_transaction_that_was_stored_all_the_same_is_found_before_the_next_one() {
    let (db, next) = faulty();
    let mut live = db.subscribe(NAMES, ()).unwrap();
    live.next().unwrap().unwrap();
    *next.lock() = Fault::Stored;
    db.transact(vec![set("a", "user/name", "Ann")]).unwrap_err();
    assert_eq!(db.query(NAMES, ()).unwrap().rows, names(&[]));
    let commit = db.transact(vec![set("b", "user/name", "Bob")]).unwrap();
    assert_eq!(commit.seq, Seq(2));
    assert_eq!(added(&live.next().unwrap().unwrap()), names(&["Ann", "Bob"]));
    // Numbers of the log's writers go on without a gap: a third one is taken, too.
    assert_eq!(db.transact(vec![set("c", "user/name", "Cy")]).unwrap().seq, Seq(3));
}

#[test]
fn a_snapshot_stays_while_writers_go_on() {
    let db = Database::memory();
    db.transact(vec![set("x", "n/a", 0), set("x", "n/b", 0)]).unwrap();
    let old = db.snapshot();
    let is_done = AtomicBool::new(false);
    let both = prepare("[:find ?a ?b :where [?x :n/a ?a] [?x :n/b ?b]]").unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_reads = 0;
            let mut last = Value::int(0);
            while !is_done.load(Ordering::Relaxed) || n_reads == 0 {
                let rows = db.query(&both, ()).unwrap().rows;
                assert_eq!(rows.len(), 1, "one row, not {rows:?}");
                let row = rows.first().unwrap();
                let (a, b) = (row.value(0).unwrap(), row.value(1).unwrap());
                let is_later = a >= ValueRef::from(&last);
                assert!(a == b && is_later, "a transaction is seen whole, and later ones later");
                last = a.to_value();
                n_reads += 1;
            }
        });
        for n in 1..200 {
            db.transact(vec![set("x", "n/a", n), set("x", "n/b", n)]).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let zeroes = old.query(&both, ()).unwrap().rows;
    assert_eq!((old.seq(), zeroes.to_vec()), (Seq(1), vec![vec![Output::Value(Value::int(0)); 2]]));
}

#[test]
fn a_subscription_waits_for_changes_and_ends_with_the_database() {
    let db = Database::memory();
    let writer = db.clone();
    let rules = "[(reaches ?a ?b) [?a :n/to ?b]] [(reaches ?a ?b) [?a :n/to ?c] (reaches ?c ?b)]";
    let text = "[:find ?b :in % ?a :where (reaches ?a ?b)]";
    let start = Value::reference("a").unwrap();
    let mut live = db.subscribe((text, rules), [start.clone()]).unwrap();
    let other = db.subscribe((text, rules), [start]).unwrap();
    drop(db);
    let thread = thread::spawn(move || {
        for (from, to) in [("a", "b"), ("x", "y"), ("b", "c"), ("c", "a")] {
            writer.transact(vec![set(from, "n/to", Value::reference(to).unwrap())]).unwrap();
        }
    });
    // However many steps are seen as one, they add up to the last answer.
    let mut rows: Vec<Row> = Vec::new();
    for change in live.by_ref() {
        let Change { answer, delta, .. } = change.unwrap();
        delta.apply(&mut rows);
        assert_eq!(rows, answer.rows);
    }
    thread.join().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(other.last().unwrap().unwrap().answer.rows, rows);
}

#[test]
fn a_dropped_subscription_leaves_equal_ones_alone() {
    let db = Database::memory();
    let (mut kept, dropped) = (db.subscribe(NAMES, ()).unwrap(), db.subscribe(NAMES, ()).unwrap());
    kept.next().unwrap().unwrap();
    drop(dropped);
    db.transact(vec![set("a", "user/name", "Ann")]).unwrap();
    assert_eq!(added(&kept.try_next().unwrap().unwrap()), names(&["Ann"]));
}

/// A ranking as its reader sees it: positions before and after, and a row that only moved.
#[test]
fn a_change_says_where_rows_came_went_and_moved() {
    let db = Database::memory();
    let score = |who: &str, score: i64| set(who, "player/score", score);
    db.transact(vec![score("ann", 30), score("bob", 20), score("cy", 10)]).unwrap();
    let text = "[:find ?p ?score :where [?p :player/score ?score] :order-by [[?score :desc]]]";
    let mut ranking = db.subscribe(text, ()).unwrap();
    let first = ranking.next().unwrap().unwrap();
    let mut list = Vec::new();
    first.delta.apply(&mut list);
    assert_eq!(list, first.answer.rows);

    // Cy wins, Bob leaves, Dee comes last.
    let unset =
        Op::Unset { e: EntityId::new("bob").unwrap(), a: Attribute::new("player/score").unwrap() };
    db.transact(vec![score("cy", 40), unset, score("dee", 5)]).unwrap();
    let change = ranking.next().unwrap().unwrap();
    let row = |who: &str, score: i64| {
        vec![Output::Value(Value::reference(who).unwrap()), Output::Value(Value::int(score))]
    };
    let expected = ListDelta {
        removed: vec![Placed { index: 1, row: row("bob", 20) }],
        added: vec![Placed { index: 2, row: row("dee", 5) }],
        moved: vec![Moved { from: 2, to: 0, row: row("cy", 40) }],
    };
    assert_eq!(change.delta, expected);
    assert_eq!(change.answer.rows, [row("cy", 40), row("ann", 30), row("dee", 5)]);
    change.delta.apply(&mut list);
    assert_eq!(list, change.answer.rows);

    // A reader who was away finds both steps as one; the answer before stays what it was.
    db.transact(vec![score("dee", 35)]).unwrap();
    db.transact(vec![score("dee", 50), score("ann", 60)]).unwrap();
    let before = change.answer;
    let change = ranking.next().unwrap().unwrap();
    let moved: Vec<(usize, usize)> =
        change.delta.moved.iter().map(|moved| (moved.from, moved.to)).collect();
    assert_eq!(moved, [(1, 0), (2, 1)]);
    assert_eq!(before.rows, list);
    change.delta.apply(&mut list);
    assert_eq!(list, [row("ann", 60), row("dee", 50), row("cy", 40)]);
}

/// What tells a row from others: the variables that are no sort key, whatever is pulled beside.
#[test]
fn a_row_moves_with_what_is_pulled_and_not_without_an_order() {
    let db = Database::memory();
    let ops = |who: &str, score: i64| vec![set(who, "p/score", score), set(who, "p/name", who)];
    db.transact([ops("ann", 2), ops("bob", 1)].concat()).unwrap();
    let pulled = "[:find ?p (pull ?p [:p/name :p/score]) ?score :where [?p :p/score ?score]
                   :order-by [?score]]";
    let unordered = "[:find ?p ?score :where [?p :p/score ?score]]";
    let alike = "[:find ?score :where [_ :p/score ?score] :order-by [?score]]";
    let mut lives = [pulled, unordered, alike].map(|text| db.subscribe(text, ()).unwrap());
    lives.iter_mut().for_each(|live| drop(live.next().unwrap().unwrap()));
    db.transact(vec![set("bob", "p/score", 3)]).unwrap();
    let counts = lives.each_mut().map(|live| {
        let delta = live.next().unwrap().unwrap().delta;
        (delta.removed.len(), delta.added.len(), delta.moved.len())
    });
    assert_eq!(counts, [(0, 0, 1), (1, 1, 0), (1, 1, 0)]);
}

/// Guards against subscriptions that end because one step was too much work for deltas.
#[test]
fn a_step_too_large_for_deltas_is_evaluated_anew() {
    let db = Database::memory();
    db.set_live_limits(LiveLimits { lookups: 0, reruns: 0, ..LiveLimits::default() });
    let (mut ann, mut again) = (db.subscribe(NAMES, ()).unwrap(), db.subscribe(NAMES, ()).unwrap());
    for name in ["Ann", "Bob", "Cy"] {
        db.transact(vec![set(name, "user/name", name)]).unwrap();
        if name != "Ann" {
            let change = ann.next().unwrap().unwrap();
            assert_eq!(change.answer.rows, db.query(NAMES, ()).unwrap().rows);
        }
    }
    let mut list = Vec::new();
    again.next().unwrap().unwrap().delta.apply(&mut list);
    assert_eq!(list, names(&["Ann", "Bob", "Cy"]));
    assert!(db.live_stats()[0].n_fallbacks > 0);
}

#[test]
fn what_is_wrong_is_told_with_its_code_and_changes_nothing() {
    let db = Database::memory();
    let code = |ops| db.transact(ops).unwrap_err().code().to_owned();
    assert_eq!(code(vec![]), "malformed");
    assert_eq!(code(vec![delete("a"); 65_537]), "too_many_ops");
    let future = Stamp { hlc: Hlc::new(u64::MAX >> 17, 0, ReplicaId(0)), op: 0 };
    let restore = Op::Restore { e: EntityId::new("a").unwrap(), covers: Some(future) };
    assert_eq!(code(vec![set("a", "user/name", "Ann"), restore]), "cover_in_future");
    assert_eq!(db.snapshot().seq(), Seq(0));
    let code = |text: &str| db.query(text, ()).unwrap_err().code().to_owned();
    assert_eq!(code("[:find ?x :wher [?x :a/b 1]]"), "query_unknown_key");
    assert_eq!(code("[:find ?x :in ?y :where [?x :a/b ?y]]"), "query_input");
    let budget = Budget { rows: Some(10), ..Budget::unlimited() };
    db.transact((0..20).map(|n| add("a", "a/b", n)).collect()).unwrap();
    let text = "[:find ?x ?y :where [?x :a/b ?y]]";
    let error = db.snapshot().query_within(text, (), &budget).unwrap_err();
    assert_eq!(error.code(), "query_over_budget");
    let text = "[:find ?x :where [?x :a/b ?y]]";
    let explained = |text: &str| db.explain(text).unwrap().to_string();
    assert!(explained("[:find ?x :where [?x :a/c ?y]]").contains("did you mean :a/b"));
    assert!(!explained(text).contains("warning"));
}

/// A recursion that doubles a text fits any number of rows; one call can be as bad.
#[test]
fn texts_that_a_query_makes_count_as_bytes() {
    let db = Database::memory();
    let budget = Budget { bytes: Some(1 << 20), rounds: Some(24), ..Budget::unlimited() };
    let doubling = "[:find (count ?t) . :where (made ?t)
                     :rules [[(made ?t) [(ground \"x\") ?t]]
                             [(made ?t) (made ?s) [(str ?s ?s) ?t]]]]";
    let joined = format!("[:find ?t :in ?s :where [(str {}) ?t]]", "?s ".repeat(200));
    let text = Inputs::from([Value::from("x".repeat(10_000))]);
    for (query, inputs) in [(doubling, Inputs::from(())), (joined.as_str(), text)] {
        let error = db.snapshot().query_within(query, inputs, &budget).unwrap_err();
        assert_eq!(error.code(), "query_over_budget");
        assert!(error.to_string().contains("1048576 bytes"), "{error}");
    }
}

#[test]
fn a_database_can_be_used_from_any_thread() {
    fn is_shared<T: Send + Sync + Clone>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Database>();
    is_shared::<Snapshot>();
    is_sent::<Subscription>();
}

//! A tenant's log on its simulated disk, and a witness that reads along.
//!
//! The log is the only truth of a run: a commit has happened when it is here. It checks the owner's
//! term and the numbering as storage does. The witness knows the facts at every position of the
//! epoch, and checks what must hold of every record at the moment it becomes durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tercet_engine::answer::Answer;
use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Transaction;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Epoch, Seq, Term};
use tercet_engine::limits::Budget;
use tercet_engine::store::{Snapshot, Store};

use super::broken::Invariant;
use super::question::{Question, token_of};

/// A tenant's log.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) epoch: Epoch,
    /// The last ownership.
    pub(super) term: Term,
    pub(super) records: Vec<LogRecord>,
}

/// An append by an owner whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fenced;

impl Log {
    pub(super) fn new(epoch: Epoch) -> Log {
        Log { epoch, term: Term(0), records: Vec::new() }
    }

    /// Another owner opens it.
    pub(super) fn open(&mut self) -> Term {
        self.term = self.term.next();
        self.term
    }

    /// All of the records, or none.
    pub(super) fn append(&mut self, term: Term, records: &[LogRecord]) -> Result<(), Fenced> {
        if term != self.term {
            return Err(Fenced);
        }
        self.records.extend_from_slice(records);
        Ok(())
    }
}

/// What a transaction's writer knew when it wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writing {
    /// The greatest stamp it had seen, at a position of an epoch.
    pub(super) seen: Option<(Checkpoint, Hlc)>,
    /// Its token may be committed more than once, under other identities.
    pub(super) may_repeat: bool,
}

type Complaint = (Invariant, String);

/// Who reads along.
pub(super) struct Witness {
    epoch: Epoch,
    store: Store,
    /// The state at every position.
    history: BTreeMap<Seq, (Store, Snapshot)>,
    numbers: BTreeMap<ClientId, (ClientSeq, Hlc)>,
    hlcs: BTreeMap<Hlc, String>,
    tokens: BTreeMap<String, u32>,
    answers: BTreeMap<(usize, Seq), Option<Arc<Answer>>>,
}

impl Witness {
    /// Of an empty log.
    pub(super) fn new(epoch: Epoch) -> Witness {
        let store = Store::new();
        Witness {
            epoch,
            history: BTreeMap::from([(Seq(0), (store.clone(), store.snapshot()))]),
            store,
            numbers: BTreeMap::new(),
            hlcs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            answers: BTreeMap::new(),
        }
    }

    /// The epoch it reads.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last position.
    pub(super) fn seq(&self) -> Seq {
        *self.history.keys().next_back().expect("it begins with 0")
    }

    /// The facts at a position.
    pub(super) fn facts(&self, seq: Seq) -> Option<&Snapshot> {
        self.history.get(&seq).map(|(_, snapshot)| snapshot)
    }

    /// The greatest stamp until a position.
    pub(super) fn clock(&self, seq: Seq) -> Option<Hlc> {
        self.store(seq).map(Store::clock)
    }

    /// The state at a position.
    pub(super) fn store(&self, seq: Seq) -> Option<&Store> {
        self.history.get(&seq).map(|(store, _)| store)
    }

    /// Whether a token was committed.
    pub(super) fn has_token(&self, token: &str) -> bool {
        self.tokens.contains_key(token)
    }

    /// The answer of a question at a position; none where it is too much work.
    pub(super) fn answer(
        &mut self,
        questions: &[Question],
        index: usize,
        seq: Seq,
        budget: &Budget,
    ) -> Option<Arc<Answer>> {
        let Witness { history, answers, .. } = self;
        let (_, facts) = history.get(&seq)?;
        let answer = answers.entry((index, seq)).or_insert_with(|| {
            let question = &questions[index];
            question.query.run(facts, question.inputs(), budget).ok().map(Arc::new)
        });
        answer.clone()
    }

    /// Takes a record as it becomes durable.
    pub(super) fn append(
        &mut self,
        record: &LogRecord,
        ahead_ms_max: u64,
        writings: &BTreeMap<String, Writing>,
        twins: &BTreeSet<String>,
    ) -> Result<(), Complaint> {
        let origin = record.origin();
        let (last, last_hlc) = self.numbers.get(&origin.client).copied().unwrap_or_default();
        if origin.number != last.next() {
            let text = format!("{} of `{}` after {last}", origin.number, origin.client);
            return Err((Invariant::ExactlyOnce, text));
        }
        match record {
            LogRecord::Reject { seq, .. } => {
                self.numbers.insert(origin.client.clone(), (origin.number, last_hlc));
                match *seq == self.seq() {
                    true => Ok(()),
                    false => Err((Invariant::Memory, format!("a rejection at {seq}"))),
                }
            }
            LogRecord::Commit { seq, transaction, .. } => {
                if *seq != self.seq().next() {
                    let text = format!("commit {seq} after {}", self.seq());
                    return Err((Invariant::Memory, text));
                }
                let is_twin = twins.contains(origin.client.as_str());
                let last = if is_twin { Hlc::ZERO } else { last_hlc };
                self.check_stamp(transaction, last, ahead_ms_max)?;
                self.check_tokens(transaction, writings)?;
                let hlc = last_hlc.max(transaction.hlc);
                self.numbers.insert(origin.client.clone(), (origin.number, hlc));
                self.take(*seq, transaction);
                Ok(())
            }
        }
    }

    fn take(&mut self, seq: Seq, transaction: &Transaction) {
        self.store.apply(transaction);
        self.history.insert(seq, (self.store.clone(), self.store.snapshot()));
    }

    fn check_stamp(
        &mut self,
        transaction: &Transaction,
        last: Hlc,
        ahead_ms_max: u64,
    ) -> Result<(), Complaint> {
        let hlc = transaction.hlc;
        if hlc.physical_ms() > ahead_ms_max && hlc > self.store.clock() {
            return Err((Invariant::Ahead, format!("{hlc:?} when {ahead_ms_max} was the limit")));
        }
        if hlc <= last {
            return Err((Invariant::Stamps, format!("{hlc:?} after {last:?} of the same client")));
        }
        let token = transaction.ops.iter().find_map(token_of).unwrap_or_default();
        match self.hlcs.insert(hlc, token.clone()) {
            Some(other) if other != token => {
                Err((Invariant::Stamps, format!("{hlc:?} of `{token}` and of `{other}`")))
            }
            _ => Ok(()),
        }
    }

    fn check_tokens(
        &mut self,
        transaction: &Transaction,
        writings: &BTreeMap<String, Writing>,
    ) -> Result<(), Complaint> {
        for token in transaction.ops.iter().filter_map(token_of) {
            let Some(Writing { seen, may_repeat }) = writings.get(&token) else { continue };
            let n_before = self.tokens.entry(token.clone()).or_default();
            *n_before += 1;
            if *n_before > 1 && !may_repeat {
                return Err((Invariant::ExactlyOnce, format!("`{token}` is committed twice")));
            }
            if let Some((position, seen)) = seen
                && position.epoch == self.epoch
                && *seen >= transaction.hlc
            {
                let text = format!("`{token}` at {:?} had seen {seen:?}", transaction.hlc);
                return Err((Invariant::Stamps, text));
            }
        }
        Ok(())
    }
}

/// Whether two states have the same visible facts with the same marks.
pub(super) fn same_facts(a: &Snapshot, b: &Snapshot) -> bool {
    let sorted = |snapshot: &Snapshot| {
        let mut facts: Vec<_> = snapshot.iter().collect();
        facts.sort_unstable();
        facts
    };
    a.n_facts() == b.n_facts() && sorted(a) == sorted(b)
}

//! Tier 2: what rules that recurse derive is kept in tables, and maintained.
//!
//! A call of such a rule reads a relation of derived tuples. The relations of one rule, for one
//! set of columns that its callers bind (see `rules`), are kept once, whoever reads them:
//! instances of `(reach ?p ?x)` with ten thousand different `?p` share one relation with a column
//! for `?p`, and ask for their tuples by a row of its demand relation. The last one leaving takes
//! that row back, which is a deletion like any other and frees the memory.
//!
//! # How they are maintained
//!
//! *Definitions.* Every tuple has a **rank**. A derivation is **sound** for a tuple if all tuples of
//! the same stratum in it have lower ranks than the tuple. *Invariant*: every tuple has a sound
//! derivation, or is asked for from outside. So a cycle never holds itself up, whatever its tuples
//! derive from each other: ranks fall along sound derivations and end at facts.
//!
//! A step goes stratum by stratum; facts and tuples of lower strata that came or went are its
//! changes.
//!
//! 1. *Doubt.* The heads of the derivations that were lost are queued by rank. The lowest is looked
//!    at: with a sound derivation left it stays, and nothing more is to be done for it. Otherwise
//!    it is suspended, and the heads of higher rank that it helped to derive are queued. Since a
//!    sound derivation has lower ranks only, all it could rest on has been decided by then: each
//!    tuple is looked at once, by one bounded query.
//! 2. *Return.* Suspended tuples that anything else derives come back, with new ranks, and so on to
//!    what they derive.
//! 3. *Insertion.* The heads of new derivations are new tuples; semi-naive from these on.
//! 4. What is still suspended is gone. Only tuples that came or went go on to higher strata and to
//!    the delta plans of queries; what was suspended and returned is no change.
//!
//! *Sources.* Deleting and deriving again: Gupta, Mumick & Subrahmanian, "Maintaining views
//! incrementally", 1993, which takes out all that depends on a deletion first. Looking for another
//! proof before: Motik, Nenov, Piro & Horrocks, "Incremental update of Datalog materialisation:
//! the backward/forward algorithm", AAAI 2015, which searches backward through proofs of proofs
//! until it meets facts, for a proof may rest on what is in doubt itself; counting derivations to
//! cut that search: Hu, Motik & Horrocks, "Optimised maintenance of Datalog materialisations",
//! AAAI 2018. What is different here: a rank is a certificate that the tuples below it are proven
//! without it, so the search ends at depth one, and no counts are kept. The price is that a tuple
//! whose other proofs all have higher ranks is suspended and comes back in phase 2.

mod demand;
mod derived;
mod maintain;
pub(super) mod rules;

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{AttributeNumber, Attributes};
use super::delta_plan::{self, Compiler, Occurrence, Op, Src, Start};
use super::goals::RelationId;
use super::join::Side;
use super::maintain::FactDelta;
use super::params::{Params, RowIndex};
use super::shape::DeltaPlan;
use crate::intern::{CellHash, FixedHashMap};
use crate::program::pattern::Patterns;
use crate::program::{AttributeTerm, Term, Var};
use crate::store::Snapshot;
pub(super) use demand::{Allowance, Seed, SeedColumn};
use derived::Derived;
pub(super) use maintain::{Bounds, Changes};
use rules::{KeptRule, Ruleset};

/// The tables of one set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TablesId(u32);

/// An occurrence of a rule of some tables: the tables, the rule and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TablesReader {
    pub(super) tables: TablesId,
    rule: u32,
    occurrence: u32,
}

/// A fact that came or went, at the place of a rule that reads it.
pub(super) type TablesWork = (TablesReader, FactDelta);

/// All that is kept for rules that recurse.
#[derive(Default)]
pub(super) struct Tables {
    relations: Vec<Option<Derived>>,
    free: Vec<RelationId>,
    sets: Vec<Option<RuleTables>>,
    by_key: FixedHashMap<String, TablesId>,
    /// By attribute number, who reads it.
    readers: Vec<Vec<TablesReader>>,
    /// Who reads facts whatever the attribute.
    any_readers: Vec<TablesReader>,
    hash: CellHash,
}

/// The relations of one rule, for one set of bound columns.
struct RuleTables {
    key: String,
    relations: Vec<RelationId>,
    answers: RelationId,
    demand: Option<RelationId>,
    rules: Vec<Rule>,
    /// Callees first.
    strata: Vec<Stratum>,
    patterns: Patterns,
    n_users: u32,
    /// They hold what the rules derive. Otherwise their rows are given tuples at most.
    is_filled: bool,
    /// How many bits the number of tuples had when plans were made; none before.
    planned: Option<u32>,
}

/// Relations that are derived together.
struct Stratum {
    relations: Vec<RelationId>,
    /// Those that derive them.
    rules: Vec<u32>,
    /// The places where a tuple of its own helps to derive another.
    inner: Vec<InnerReader>,
}

/// A place where a tuple helps to derive one of its own stratum.
#[derive(Clone, Copy)]
struct InnerReader {
    relation: RelationId,
    rule: u32,
    occurrence: u32,
}

/// A rule with its plans.
struct Rule {
    of: RelationId,
    head: Vec<Term>,
    kept: KeptRule,
    n_vars: usize,
    stratum: u32,
    occurrences: Vec<Occurrence>,
    plans: RulePlans,
}

#[derive(Default)]
struct RulePlans {
    /// What its head is made of.
    head: Vec<Src>,
    /// By occurrence.
    deltas: Vec<DeltaPlan>,
    /// Whether its head is derived, that being given.
    exists: Vec<Op>,
    /// All it derives; none where that begins with tuples of its own stratum or of a demand.
    all: Option<Vec<Op>>,
}

impl Tables {
    pub(super) fn relation(&self, relation: RelationId) -> &Derived {
        self.relations[relation.index()].as_ref().expect("plans name relations that are kept")
    }

    fn relation_mut(&mut self, relation: RelationId) -> &mut Derived {
        self.relations[relation.index()].as_mut().expect("plans name relations that are kept")
    }

    fn set(&self, id: TablesId) -> &RuleTables {
        self.sets[id.0 as usize].as_ref().expect("users name tables that are kept")
    }

    fn set_mut(&mut self, id: TablesId) -> &mut RuleTables {
        self.sets[id.0 as usize].as_mut().expect("users name tables that are kept")
    }

    /// The index of a relation by these columns, made if there is none yet.
    pub(super) fn index_by(&mut self, relation: RelationId, columns: &[u8]) -> usize {
        self.relation_mut(relation).index_by(columns)
    }

    /// What a call is expected to multiply rows by where these columns are known.
    pub(super) fn cost(&self, relation: RelationId, known: &[u8]) -> f64 {
        /// What an empty relation is taken to hold: it is about to be filled.
        const UNKNOWN: f64 = 1e6;
        let relation = self.relation(relation);
        match (relation.width() - known.len(), known.len(), relation.len()) {
            (0, ..) => 0.15,
            (_, 0, 0) => UNKNOWN,
            (_, 0, n_tuples) => n_tuples as f64 + 1.0,
            (_, _, 0) => 16.0,
            _ => relation.rows_each(known).max(0.9),
        }
    }

    /// Who reads an attribute of this number.
    pub(super) fn readers(
        &self,
        number: Option<AttributeNumber>,
    ) -> impl Iterator<Item = TablesReader> {
        let readers = number.and_then(|number| self.readers.get(number.0 as usize));
        readers.into_iter().flatten().chain(&self.any_readers).copied()
    }

    /// Whether anything reads facts whatever the attribute, which then is a value like others.
    pub(super) fn reads_any_attribute(&self) -> bool {
        !self.any_readers.is_empty()
    }

    /// None yet; their rows are hashed like this.
    pub(super) fn new(hash: CellHash) -> Tables {
        Tables { hash, ..Tables::default() }
    }

    /// How rows are hashed.
    pub(super) fn cell_hash(&self) -> CellHash {
        self.hash
    }

    /// One user more of the tables of some rules, which are made if there are none.
    pub(super) fn acquire(
        &mut self,
        rules: Ruleset,
        patterns: &Patterns,
        attributes: &mut Attributes,
    ) -> TablesId {
        let key = format!("{rules:?}");
        if let Some(id) = self.by_key.get(&key).copied() {
            self.set_mut(id).n_users += 1;
            return id;
        }
        let strata = rules.strata();
        let numbers: Vec<RelationId> =
            rules.relations.iter().map(|relation| self.make(relation.width)).collect();
        let set = RuleTables::new(key.clone(), rules, &numbers, &strata, patterns.clone());
        let place = self.sets.iter().position(Option::is_none).unwrap_or_else(|| {
            self.sets.push(None);
            self.sets.len() - 1
        });
        let id = TablesId(place as u32);
        self.read(id, &set, attributes);
        self.sets[place] = Some(set);
        self.by_key.insert(key, id);
        id
    }

    fn make(&mut self, width: usize) -> RelationId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.relations.push(None);
            RelationId(self.relations.len() as u32 - 1)
        });
        self.relations[id.index()] = Some(Derived::new(width, self.hash));
        id
    }

    /// Notes which facts the rules of some tables read.
    fn read(&mut self, tables: TablesId, set: &RuleTables, attributes: &mut Attributes) {
        for (rule, number) in set.rules.iter().zip(0..) {
            for (place, occurrence) in (0..).zip(&rule.occurrences) {
                let Start::Fact { attribute, .. } = &occurrence.start else { continue };
                let reader = TablesReader { tables, rule: number, occurrence: place };
                let AttributeTerm::Const(attribute) = attribute else {
                    self.any_readers.push(reader);
                    continue;
                };
                let reads = attributes.number(attribute);
                let n_numbers = self.readers.len().max(reads.0 as usize + 1);
                self.readers.resize_with(n_numbers, Vec::new);
                self.readers[reads.0 as usize].push(reader);
            }
        }
    }

    /// One user fewer; the last one ends them.
    pub(super) fn release(&mut self, id: TablesId) {
        let set = self.set_mut(id);
        set.n_users -= 1;
        if set.n_users > 0 {
            return;
        }
        let set = self.sets[id.0 as usize].take().expect("it was there a moment ago");
        self.by_key.remove(&set.key);
        for readers in self.readers.iter_mut().chain([&mut self.any_readers]) {
            readers.retain(|reader| reader.tables != id);
        }
        for relation in set.relations {
            self.relations[relation.index()] = None;
            self.free.push(relation);
        }
    }

    /// The relation that answers a call.
    pub(super) fn answers(&self, id: TablesId) -> RelationId {
        self.set(id).answers
    }

    /// Whether they hold what the rules derive.
    pub(super) fn is_filled(&self, id: TablesId) -> bool {
        self.set(id).is_filled
    }

    fn relations_of(&self, id: TablesId) -> &[RelationId] {
        &self.set(id).relations
    }

    /// How many tuples they hold, demand included.
    pub(super) fn n_tuples(&self, id: TablesId) -> u64 {
        let relations = self.set(id).relations.iter();
        relations.map(|relation| self.relation(*relation).len() as u64).sum()
    }

    /// Makes the plans of some tables, if there are none for about so many tuples.
    pub(super) fn plan(&mut self, id: TablesId, snapshot: &Snapshot, attributes: &mut Attributes) {
        let magnitude = u64::BITS - self.n_tuples(id).leading_zeros();
        let set = self.set_mut(id);
        if set.planned.is_some_and(|planned| planned.abs_diff(magnitude) < 4) {
            return;
        }
        set.planned = Some(magnitude);
        let (mut rules, strata) = (std::mem::take(&mut set.rules), std::mem::take(&mut set.strata));
        let demand = set.demand;
        let mut params = Params::default();
        for rule in &mut rules {
            let inner = &strata[rule.stratum as usize].relations;
            let mut compiler = Compiler {
                rules: &[],
                snapshot,
                params: &mut params,
                tables: self,
                inner,
                param_vars: &[],
                attributes,
                fanouts: BTreeMap::new(),
            };
            rule.plan(&mut compiler, demand);
        }
        let set = self.set_mut(id);
        (set.rules, set.strata) = (rules, strata);
    }

    /// What a step did to a relation: tuples that came or went, with the side they are there on.
    pub(super) fn changes(&self, relation: RelationId) -> impl Iterator<Item = (RowIndex, Side)> {
        self.relation(relation).changes()
    }

    /// Ends the step of some tables: what is there after is there.
    pub(super) fn settle(&mut self, id: TablesId) {
        if !self.is_filled(id) {
            return;
        }
        for relation in self.set(id).relations.clone() {
            self.relation_mut(relation).settle();
        }
    }

    /// Takes the step of some tables back.
    fn undo(&mut self, id: TablesId) {
        for relation in self.set(id).relations.clone() {
            self.relation_mut(relation).undo();
        }
    }
}

impl RuleTables {
    fn new(
        key: String,
        rules: Ruleset,
        numbers: &[RelationId],
        strata_of: &[usize],
        patterns: Patterns,
    ) -> RuleTables {
        let number = |relation: RelationId| numbers[relation.index()];
        let n_strata = strata_of.iter().max().map_or(0, |last| last + 1);
        let empty = || Stratum { relations: Vec::new(), rules: Vec::new(), inner: Vec::new() };
        let mut strata: Vec<Stratum> = (0..n_strata).map(|_| empty()).collect();
        for (relation, stratum) in numbers.iter().zip(strata_of) {
            strata[*stratum].relations.push(*relation);
        }
        let mut made = Vec::new();
        for ((relation, of), stratum) in rules.relations.into_iter().zip(numbers).zip(strata_of) {
            for mut kept in relation.rules {
                kept.renumber(number);
                let rule = Rule::new(kept, *of, *stratum as u32);
                let stratum = &mut strata[*stratum];
                let number = made.len() as u32;
                stratum.rules.push(number);
                for (place, occurrence) in (0..).zip(&rule.occurrences) {
                    if let Start::Derived { relation, .. } = occurrence.start
                        && stratum.relations.contains(&relation)
                    {
                        stratum.inner.push(InnerReader {
                            relation,
                            rule: number,
                            occurrence: place,
                        });
                    }
                }
                made.push(rule);
            }
        }
        RuleTables {
            key,
            relations: numbers.to_vec(),
            answers: number(rules.answers),
            demand: rules.demand.map(|(relation, _)| number(relation)),
            rules: made,
            strata,
            patterns,
            n_users: 1,
            is_filled: false,
            planned: None,
        }
    }
}

impl Rule {
    fn new(kept: KeptRule, of: RelationId, stratum: u32) -> Rule {
        let mut n_vars = kept.n_vars;
        let occurrences = delta_plan::occurrences(&kept.body, false, &mut n_vars);
        let plans = RulePlans::default();
        Rule { of, head: kept.head.clone(), kept, n_vars, stratum, occurrences, plans }
    }

    fn plan(&mut self, compiler: &mut Compiler<'_>, demand: Option<RelationId>) {
        let deltas = self.occurrences.iter().map(|occurrence| compiler.delta(occurrence));
        let deltas = deltas.collect();
        let head: Vec<Var> = self.head.iter().filter_map(Term::var).collect();
        let exists = compiler.exists(&self.kept.body, head.into_iter().collect());
        let begins_with_tuples = self.kept.reads().iter().any(|relation| {
            compiler.inner.contains(relation) || demand.is_some_and(|demand| demand == *relation)
        });
        let all = (!begins_with_tuples).then(|| compiler.exists(&self.kept.body, BTreeSet::new()));
        self.plans = RulePlans { head: compiler.head(&self.head), deltas, exists, all };
    }
}

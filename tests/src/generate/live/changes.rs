//! Histories that hit what some programs read.
//!
//! It keeps a rough idea of the facts there are and of those there were, so that most operations
//! do something: they take away what is there, bring back what was, write beside it, close a cycle
//! of edges or open one. Some do nothing on purpose: late stamps that lose, values overwritten
//! within one transaction, facts written again in the other way. What is really visible only
//! `oracle::merge` knows.

use tercet_engine::fact::{Fact, Kind as Written, Op, Transaction};
use tercet_engine::hlc::{Hlc, Stamp};
use tercet_engine::ids::{Attribute, EntityId, ReplicaId};
use tercet_engine::value::{Number, Value};

use super::MS_APART;
use super::reads::Reads;
use crate::generate::program::Case;
use crate::generate::vocabulary::{self, ATTRIBUTES, DATE_ATTRIBUTE, Kind};
use crate::oracle::merge::Facts;
use crate::random::Random;

/// A fact, and whether it was written by `add`.
type Held = (Fact, bool);

pub(super) struct Changes {
    reads: Reads,
    present: Vec<Held>,
    gone: Vec<Held>,
    deleted: Vec<EntityId>,
    ms: u64,
    n_late: u16,
}

impl Changes {
    /// Changes to come after the millisecond `ms`.
    pub(super) fn new(cases: &[Case], facts: &Facts, ms: u64) -> Changes {
        let held = facts.iter().map(|(fact, mark)| (fact.clone(), mark.kind == Written::Add));
        Changes {
            reads: Reads::of(cases),
            present: held.collect(),
            gone: Vec::new(),
            deleted: Vec::new(),
            ms,
            n_late: 0,
        }
    }

    /// The next transaction; one in eight is stamped before some that came already.
    pub(super) fn transaction(&mut self, random: &mut Random) -> Transaction {
        let n_ops = match random.below(100) {
            0..50 => 1,
            50..85 => 2 + random.below(2),
            _ => 3 + random.below(4),
        };
        let is_late = random.chance(12);
        let hlc = match is_late {
            true => {
                self.n_late += 1;
                let ms = 1 + random.below(self.ms as usize) as u64;
                Hlc::new(ms - u64::from(ms.is_multiple_of(MS_APART)), self.n_late, ReplicaId(2))
            }
            false => {
                self.ms += MS_APART;
                Hlc::new(self.ms, 0, ReplicaId(1))
            }
        };
        let mut ops = Vec::new();
        while ops.len() < n_ops {
            for op in self.ops(random) {
                // What a late operation does is for merge to say.
                if !is_late {
                    self.note(&op);
                }
                ops.push(op);
            }
        }
        Transaction { hlc, ops }
    }

    fn ops(&mut self, random: &mut Random) -> Vec<Op> {
        let op = match random.below(100) {
            0..24 => self.take_away(random),
            24..38 => self.bring_back(random),
            38..64 => Some(self.write(random)),
            64..74 => self.bend(random),
            74..79 => self.rewrite(random),
            79..86 => return self.overwrite(random),
            86..91 => Some(Op::Delete { e: self.entity(random) }),
            91..95 => self.restore(random),
            _ => Some(super::database::op(random)),
        };
        vec![op.unwrap_or_else(|| self.write(random))]
    }

    /// A fact that the programs read, more often than not.
    fn of_interest(&self, random: &mut Random, held: &[Held]) -> Option<Held> {
        let is_read = |(fact, _): &&Held| self.reads.attributes.contains(&fact.attribute);
        let read = held.iter().filter(is_read).collect::<Vec<_>>();
        match random.chance(92) && !read.is_empty() {
            true => Some((*random.pick(&read)).clone()),
            false => (!held.is_empty()).then(|| random.pick(held).clone()),
        }
    }

    fn take_away(&mut self, random: &mut Random) -> Option<Op> {
        let (Fact { entity: e, attribute: a, value: v }, _) =
            self.of_interest(random, &self.present)?;
        Some(match random.below(100) {
            0..65 => Op::Remove { e, a, v, covers: self.cover(random) },
            65..80 => Op::Unset { e, a },
            _ => Op::Set { e, v: self.value(random, &a), a },
        })
    }

    /// Mostly none: up to the operation's own stamp. Otherwise that of some earlier transaction.
    fn cover(&self, random: &mut Random) -> Option<Stamp> {
        let n_before = self.ms / MS_APART;
        (n_before > 0 && random.chance(12)).then(|| {
            let ms = (1 + random.below(n_before as usize) as u64) * MS_APART;
            Stamp { hlc: Hlc::new(ms, 0, ReplicaId(1)), op: random.skewed(4) as u16 }
        })
    }

    fn bring_back(&mut self, random: &mut Random) -> Option<Op> {
        let (fact, is_added) = self.of_interest(random, &self.gone)?;
        Some(write(fact, is_added))
    }

    fn write(&mut self, random: &mut Random) -> Op {
        let attribute = self.attribute(random);
        let value = self.value(random, &attribute);
        let is_many = ATTRIBUTES.iter().any(|(text, _, many)| *text == attribute.as_str() && *many);
        let fact = Fact { entity: self.entity(random), attribute, value };
        write(fact, is_many != random.chance(6))
    }

    /// An edge back along one there is, or on from its end: cycles close, paths grow.
    fn bend(&mut self, random: &mut Random) -> Option<Op> {
        let is_edge = |(fact, _): &&Held| matches!(fact.value, Value::Ref(_));
        let edges = self.present.iter().filter(is_edge).cloned().collect::<Vec<_>>();
        let (fact, is_added) = self.of_interest(random, &edges)?;
        let Value::Ref(end) = fact.value else { return None };
        let to = if random.chance(50) { fact.entity } else { self.entity(random) };
        let value = Value::Ref(to);
        Some(write(Fact { entity: end, attribute: fact.attribute, value }, is_added))
    }

    /// The same fact, written in the same way again or in the other one.
    fn rewrite(&mut self, random: &mut Random) -> Option<Op> {
        let (fact, is_added) = self.of_interest(random, &self.present)?;
        Some(write(fact, is_added != random.chance(60)))
    }

    /// Two operations of which the second one takes back what the first one did, or does it again.
    fn overwrite(&mut self, random: &mut Random) -> Vec<Op> {
        let Some((fact, is_added)) = self.of_interest(random, &self.present) else {
            return vec![self.write(random)];
        };
        let Fact { entity: e, attribute: a, value: v } = fact.clone();
        let other = Fact { value: self.value(random, &a), ..fact.clone() };
        let remove = Op::Remove { e: e.clone(), a: a.clone(), v, covers: None };
        match random.below(5) {
            0 => vec![remove, write(fact, is_added)],
            1 => {
                let Op::Set { e, a, v } = write(other.clone(), false) else { return Vec::new() };
                vec![write(other, true), Op::Remove { e, a, v, covers: None }]
            }
            2 => vec![write(other, false), write(fact, false)],
            3 => vec![Op::Unset { e, a }, write(fact, true), write(other, true)],
            _ => vec![Op::Delete { e: e.clone() }, Op::Restore { e, covers: None }],
        }
    }

    fn restore(&mut self, random: &mut Random) -> Option<Op> {
        let e = (!self.deleted.is_empty()).then(|| random.pick(&self.deleted).clone())?;
        let covers = self.cover(random);
        Some(Op::Restore { e, covers })
    }

    fn attribute(&self, random: &mut Random) -> Attribute {
        match random.chance(92) {
            true => random.pick(&self.reads.attributes).clone(),
            false => vocabulary::attribute(random.pick(&ATTRIBUTES).0),
        }
    }

    fn entity(&self, random: &mut Random) -> EntityId {
        match random.below(100) {
            0..55 if !self.present.is_empty() => {
                let (fact, _) = random.pick(&self.present);
                match &fact.value {
                    Value::Ref(entity) if random.chance(40) => entity.clone(),
                    _ => fact.entity.clone(),
                }
            }
            55..72 if !self.reads.entities.is_empty() => random.pick(&self.reads.entities).clone(),
            72..78 => EntityId::new(format!("n{}", 8 + random.below(4))).expect("short"),
            _ => vocabulary::entity(random),
        }
    }

    fn value(&self, random: &mut Random, attribute: &Attribute) -> Value {
        let kind = ATTRIBUTES.iter().find(|(text, ..)| *text == attribute.as_str());
        let kind = match kind {
            Some((_, kind, _)) => *kind,
            None if attribute.as_str() == DATE_ATTRIBUTE => Kind::Date,
            None => Kind::Any,
        };
        if kind == Kind::Ref {
            return Value::Ref(self.entity(random));
        }
        let held = self.present.iter().chain(&self.gone).map(|(fact, _)| fact);
        let known = held.filter(|fact| fact.attribute == *attribute).map(|fact| &fact.value);
        let known = known.chain(self.reads.values.iter().filter(|value| fits(kind, value)));
        let known = known.collect::<Vec<_>>();
        if known.is_empty() || random.chance(40) {
            return vocabulary::value(random, kind);
        }
        let known = *random.pick(&known);
        if random.chance(65) { known.clone() } else { beside(known, random.chance(50)) }
    }

    /// Keeps up the idea of what there is.
    fn note(&mut self, op: &Op) {
        let is_field =
            |fact: &Fact, e: &EntityId, a: &Attribute| fact.entity == *e && fact.attribute == *a;
        match op {
            Op::Set { e, a, v } => {
                self.drop_facts(|fact| is_field(fact, e, a));
                self.present.push((fact(e, a, v), false));
            }
            Op::Add { e, a, v } => {
                let added = fact(e, a, v);
                self.present.retain(|(fact, _)| *fact != added);
                self.present.push((added, true));
            }
            Op::Unset { e, a } => self.drop_facts(|fact| is_field(fact, e, a)),
            Op::Remove { e, a, v, .. } => {
                self.drop_facts(|fact| is_field(fact, e, a) && fact.value == *v);
            }
            Op::Delete { e } => {
                let end = Value::Ref(e.clone());
                self.drop_facts(|fact| fact.entity == *e || fact.value == end);
                self.deleted.push(e.clone());
            }
            Op::Restore { e, .. } => self.deleted.retain(|deleted| deleted != e),
        }
    }

    fn drop_facts(&mut self, is_dropped: impl Fn(&Fact) -> bool) {
        let (dropped, kept) =
            std::mem::take(&mut self.present).into_iter().partition(|(fact, _)| is_dropped(fact));
        self.present = kept;
        self.gone.extend::<Vec<Held>>(dropped);
    }
}

fn fact(e: &EntityId, a: &Attribute, v: &Value) -> Fact {
    Fact { entity: e.clone(), attribute: a.clone(), value: v.clone() }
}

fn write(fact: Fact, is_added: bool) -> Op {
    let Fact { entity: e, attribute: a, value: v } = fact;
    if is_added { Op::Add { e, a, v } } else { Op::Set { e, a, v } }
}

/// Whether an attribute of a kind may as well hold the value.
fn fits(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Number(_) => matches!(kind, Kind::Int | Kind::Number | Kind::Any),
        Value::String(_) => matches!(kind, Kind::Text | Kind::Any),
        Value::Boolean(_) => matches!(kind, Kind::Flag | Kind::Any),
        Value::Date(_) => matches!(kind, Kind::Date | Kind::Any),
        Value::Ref(_) => kind == Kind::Any,
    }
}

/// A value close to another one: where ranges and windows end.
fn beside(value: &Value, is_above: bool) -> Value {
    let step = if is_above { 1 } else { -1 };
    match value {
        Value::Number(number) => {
            let next = number.as_i64().and_then(|n| n.checked_add(step)).map(Number::from);
            next.map_or_else(|| value.clone(), Value::Number)
        }
        Value::Boolean(flag) => Value::Boolean(!flag),
        other => other.clone(),
    }
}

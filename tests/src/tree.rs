//! A program as a tree: what the oracle evaluates and the generators grow.
//!
//! A [`RawProgram`] keeps clauses in an arena because it travels; nested clauses are easier to
//! read, permute and shrink. `lift` and `flatten` go between the two. Nothing is checked here.

use std::collections::BTreeSet;

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{ClauseId, RawBinding, RawClause, RawProgram, RawRule, RawTerm};
use tercet_engine::value::Value;

/// A query with its rules, clauses nested.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// Everything but clauses and rules, which are empty in it.
    pub frame: RawProgram,
    /// The conjunction of `:where`.
    pub body: Vec<Clause>,
    /// Rule definitions.
    pub rules: Vec<Rule>,
}

/// One definition of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// How many of the head's first variables a caller binds.
    pub n_required: usize,
    /// The head's variables.
    pub head: Vec<Name>,
    /// The conjunction that defines it.
    pub body: Vec<Clause>,
}

/// A clause; the fields mean what they mean in [`RawClause`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "they are documented on RawClause")]
pub enum Clause {
    Pattern { entity: RawTerm, attribute: RawTerm, value: RawTerm },
    Predicate { function: Name, args: Vec<RawTerm> },
    Function { function: Name, args: Vec<RawTerm>, rows: Vec<Vec<Value>>, binding: RawBinding },
    Rule { rule: Name, args: Vec<RawTerm> },
    Not { join: Option<Vec<Name>>, body: Vec<Clause> },
    Or { join: Option<Vec<Name>>, required: Vec<Name>, branches: Vec<Vec<Clause>> },
}

/// A set of variables.
pub type Names = BTreeSet<Name>;

/// The variables among terms.
pub fn variables(terms: &[RawTerm]) -> impl Iterator<Item = &Name> {
    terms.iter().filter_map(|term| match term {
        RawTerm::Variable(name) => Some(name),
        RawTerm::Blank | RawTerm::Keyword(_) | RawTerm::Constant(_) => None,
    })
}

/// The terms of a binding, in order.
pub fn binding_terms(binding: &RawBinding) -> &[RawTerm] {
    match binding {
        RawBinding::Scalar(term) | RawBinding::Collection(term) => std::slice::from_ref(term),
        RawBinding::Tuple(terms) | RawBinding::Relation(terms) => terms,
    }
}

impl Clause {
    /// The conjunctions directly inside it.
    pub fn bodies(&self) -> &[Vec<Clause>] {
        match self {
            Clause::Not { body, .. } => std::slice::from_ref(body),
            Clause::Or { branches, .. } => branches,
            _ => &[],
        }
    }

    /// The same, to change.
    pub fn bodies_mut(&mut self) -> &mut [Vec<Clause>] {
        match self {
            Clause::Not { body, .. } => std::slice::from_mut(body),
            Clause::Or { branches, .. } => branches,
            _ => &mut [],
        }
    }

    /// Its own terms, those of nested clauses left out.
    pub fn terms(&self) -> Vec<&RawTerm> {
        match self {
            Clause::Pattern { entity, attribute, value } => vec![entity, attribute, value],
            Clause::Predicate { args, .. } | Clause::Rule { args, .. } => args.iter().collect(),
            Clause::Function { args, binding, .. } => {
                args.iter().chain(binding_terms(binding)).collect()
            }
            Clause::Not { .. } | Clause::Or { .. } => Vec::new(),
        }
    }

    /// The same, to change.
    pub fn terms_mut(&mut self) -> Vec<&mut RawTerm> {
        match self {
            Clause::Pattern { entity, attribute, value } => vec![entity, attribute, value],
            Clause::Predicate { args, .. } | Clause::Rule { args, .. } => args.iter_mut().collect(),
            Clause::Function { args, binding, .. } => {
                let bound = match binding {
                    RawBinding::Scalar(term) | RawBinding::Collection(term) => {
                        std::slice::from_mut(term)
                    }
                    RawBinding::Tuple(terms) | RawBinding::Relation(terms) => terms,
                };
                args.iter_mut().chain(bound).collect()
            }
            Clause::Not { .. } | Clause::Or { .. } => Vec::new(),
        }
    }

    /// All variables that occur in it, nested clauses included; what is hidden behind the join of
    /// a `not-join` or `or-join` is left out.
    pub fn variables(&self) -> Names {
        match self {
            Clause::Not { join: Some(join), .. } | Clause::Or { join: Some(join), .. } => {
                join.iter().cloned().collect()
            }
            _ => {
                let own = self.terms().into_iter().cloned().collect::<Vec<_>>();
                let nested = self.bodies().iter().flatten().flat_map(Clause::variables);
                variables(&own).cloned().chain(nested).collect()
            }
        }
    }
}

/// Nests the clauses of a program.
///
/// # Panics
/// When a clause names a child that is not before it.
pub fn lift(raw: &RawProgram) -> Program {
    let body = |ids: &[ClauseId]| ids.iter().map(|id| lift_clause(raw, *id)).collect::<Vec<_>>();
    let rule = |rule: &RawRule| Rule {
        name: rule.name.clone(),
        n_required: rule.n_required as usize,
        head: variables(&rule.head).cloned().collect(),
        body: body(&rule.body),
    };
    Program {
        frame: RawProgram {
            clauses: Vec::new(),
            body: Vec::new(),
            rules: Vec::new(),
            ..raw.clone()
        },
        body: body(&raw.body),
        rules: raw.rules.iter().map(rule).collect(),
    }
}

fn lift_clause(raw: &RawProgram, id: ClauseId) -> Clause {
    let body = |ids: &[ClauseId]| {
        assert!(ids.iter().all(|child| child < &id), "children come before their parents");
        ids.iter().map(|id| lift_clause(raw, *id)).collect::<Vec<_>>()
    };
    match raw.clauses[id.0 as usize].clone() {
        RawClause::Pattern { entity, attribute, value } => {
            Clause::Pattern { entity, attribute, value }
        }
        RawClause::Predicate { function, args } => Clause::Predicate { function, args },
        RawClause::Function { function, args, rows, binding } => {
            Clause::Function { function, args, rows, binding }
        }
        RawClause::Rule { rule, args } => Clause::Rule { rule, args },
        RawClause::Not { join, body: ids } => Clause::Not { join, body: body(&ids) },
        RawClause::Or { join, required, branches } => {
            let branches = branches.iter().map(|ids| body(ids)).collect();
            Clause::Or { join, required, branches }
        }
    }
}

/// Puts the clauses of a program into its arena.
pub fn flatten(program: &Program) -> RawProgram {
    let mut raw = program.frame.clone();
    raw.body = flatten_body(&mut raw.clauses, &program.body);
    for rule in &program.rules {
        let body = flatten_body(&mut raw.clauses, &rule.body);
        raw.rules.push(RawRule {
            name: rule.name.clone(),
            n_required: rule.n_required as u32,
            head: rule.head.iter().cloned().map(RawTerm::Variable).collect(),
            body,
        });
    }
    raw
}

fn flatten_body(arena: &mut Vec<RawClause>, body: &[Clause]) -> Vec<ClauseId> {
    body.iter().map(|clause| flatten_clause(arena, clause)).collect()
}

fn flatten_clause(arena: &mut Vec<RawClause>, clause: &Clause) -> ClauseId {
    let raw = match clause.clone() {
        Clause::Pattern { entity, attribute, value } => {
            RawClause::Pattern { entity, attribute, value }
        }
        Clause::Predicate { function, args } => RawClause::Predicate { function, args },
        Clause::Function { function, args, rows, binding } => {
            RawClause::Function { function, args, rows, binding }
        }
        Clause::Rule { rule, args } => RawClause::Rule { rule, args },
        Clause::Not { join, body } => RawClause::Not { join, body: flatten_body(arena, &body) },
        Clause::Or { join, required, branches } => {
            let branches = branches.iter().map(|body| flatten_body(arena, body)).collect();
            RawClause::Or { join, required, branches }
        }
    };
    arena.push(raw);
    ClauseId(arena.len() as u32 - 1)
}

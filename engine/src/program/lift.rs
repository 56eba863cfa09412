//! Shapes: queries whose constants have become parameters.
//!
//! Subscriptions of an application differ in constants: one channel each, one user each. Lifting
//! turns every constant of the body that may as well be an input into one, so that such queries
//! are one program with other arguments: planned once, routed together, and shared where the
//! arguments are equal too. What stays in the shape: constants of rules, of `or` and of joins that
//! state their variables, where an input could not be seen; regular expressions and units, which
//! are checked before a query runs; rows of `ground`.
//!
//! Invariant: the lifted program with the constants as further arguments gives the same rows.

use std::collections::BTreeSet;

use super::functions::Function;
use super::raw::{ClauseId, RawClause, RawInput, RawProgram, RawTerm};
use crate::codec;
use crate::ids::Name;
use crate::value::Value;

/// A program without the constants that could be lifted, and these in the order of the inputs that
/// were appended for them.
#[derive(Debug)]
pub(crate) struct Lifted {
    pub(crate) raw: RawProgram,
    /// Equal for equal programs.
    pub(crate) key: Vec<u8>,
    pub(crate) constants: Vec<Value>,
}

/// Lifts the constants of a program's body.
pub(crate) fn lift(raw: &RawProgram) -> Lifted {
    let mut lifting = Lifting {
        taken: names(raw),
        lifted: Lifted { raw: raw.clone(), key: Vec::new(), constants: Vec::new() },
    };
    for id in raw.body.clone() {
        lifting.clause(id);
    }
    let lifted = lifting.lifted;
    Lifted { key: codec::encode(&lifted.raw), ..lifted }
}

struct Lifting {
    taken: BTreeSet<String>,
    lifted: Lifted,
}

impl Lifting {
    fn clause(&mut self, id: ClauseId) {
        let mut clause = self.lifted.raw.clauses[id.0 as usize].clone();
        match &mut clause {
            RawClause::Pattern { entity, value, .. } => {
                self.term(entity);
                self.term(value);
            }
            RawClause::Predicate { function, args } => self.args(function, args),
            RawClause::Function { function, args, rows, .. } if rows.is_empty() => {
                self.args(function, args);
            }
            RawClause::Rule { args, .. } => args.iter_mut().for_each(|arg| self.term(arg)),
            RawClause::Not { join: None, body } => {
                for id in body.clone() {
                    self.clause(id);
                }
                return;
            }
            RawClause::Function { .. } | RawClause::Not { .. } | RawClause::Or { .. } => return,
        }
        self.lifted.raw.clauses[id.0 as usize] = clause;
    }

    /// Lifts the arguments of a function that means the same with a variable there.
    fn args(&mut self, function: &Name, args: &mut [RawTerm]) {
        let Some(signature) = Function::find(function.as_str()) else { return };
        if signature.function.directive().is_none() {
            args.iter_mut().for_each(|arg| self.term(arg));
        }
    }

    fn term(&mut self, term: &mut RawTerm) {
        let RawTerm::Constant(value) = term else { return };
        let Some(name) = self.fresh() else { return };
        self.lifted.constants.push(value.clone());
        self.lifted.raw.inputs.push(RawInput::Scalar(name.clone()));
        *term = RawTerm::Variable(name);
    }

    /// A name that the program does not use.
    fn fresh(&mut self) -> Option<Name> {
        let number = self.lifted.constants.len();
        let mut text = format!("constant-{number}");
        while self.taken.contains(&text) {
            text.push('-');
        }
        Name::new(text).ok()
    }
}

/// Every name that could be that of a variable.
fn names(raw: &RawProgram) -> BTreeSet<String> {
    let terms = raw.clauses.iter().flat_map(|clause| match clause {
        RawClause::Pattern { entity, attribute, value } => vec![entity, attribute, value],
        RawClause::Predicate { args, .. }
        | RawClause::Function { args, .. }
        | RawClause::Rule { args, .. } => args.iter().collect(),
        RawClause::Not { .. } | RawClause::Or { .. } => Vec::new(),
    });
    let in_clauses = terms.filter_map(|term| match term {
        RawTerm::Variable(name) => Some(name.to_string()),
        _ => None,
    });
    let in_inputs = raw.inputs.iter().flat_map(|input| match input {
        RawInput::Scalar(name) | RawInput::Collection(name) => vec![name.to_string()],
        RawInput::Tuple(names) | RawInput::Relation(names) => {
            names.iter().flatten().map(Name::to_string).collect()
        }
        RawInput::Rules => Vec::new(),
    });
    in_clauses.chain(in_inputs).collect()
}

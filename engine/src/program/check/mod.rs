//! From the flat program to the checked one: names resolved, forms and limits verified.
//!
//! Every error found is reported, with its place; nothing is trusted, because a peer may have
//! sent the program. `arenas` comes first, because the others follow ids; then `rules`, `find` and
//! `clauses` (with `calls`, `terms` and `names` below them) resolve the parts. What can be bound where is
//! decided in [`safety`], what may recurse in [`strata`].

mod arenas;
mod calls;
mod clauses;
mod find;
mod names;
mod rules;
mod terms;

use std::collections::BTreeSet;

use super::error::ProgramError;
use super::pattern::Patterns;
use super::raw::{Place, PullId, RawProgram};
use super::{Program, Scope, safety, strata};
use crate::ids::Name;
use arenas::check_arenas;
pub use arenas::{CLAUSES_MAX, NESTING_MAX};
use names::Names;
pub(crate) use names::nearest;
use rules::rule_names;

impl Program {
    /// Checks a flat program.
    ///
    /// # Errors
    /// Every error found, in order of place.
    pub(crate) fn check(raw: RawProgram) -> Result<Program, Vec<ProgramError>> {
        let mut errors = Vec::new();
        check_arenas(&raw, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let rule_names = rule_names(&raw);
        let checked_pulls = BTreeSet::new();
        let mut checker = Checker {
            raw: &raw,
            rule_names: &rule_names,
            checked_pulls,
            patterns: Patterns::default(),
            errors,
        };
        let program = checker.program();
        let mut errors = checker.errors;
        let mut program = match program {
            Some(program) if errors.is_empty() => program,
            _ => return Err(sorted(errors)),
        };
        safety::complete(&mut program, &mut errors);
        errors.extend(strata::check(&program).err());
        if errors.is_empty() {
            program.raw = raw;
            Ok(program)
        } else {
            Err(sorted(errors))
        }
    }
}

fn sorted(mut errors: Vec<ProgramError>) -> Vec<ProgramError> {
    errors.sort_by_key(|error| error.place);
    errors.dedup();
    errors
}

pub(super) fn error(
    place: Place,
    code: &'static str,
    message: impl Into<String>,
    hint: Option<&str>,
) -> ProgramError {
    ProgramError { place, code, message: message.into(), hint: hint.map(str::to_owned) }
}

struct Checker<'r> {
    raw: &'r RawProgram,
    rule_names: &'r [Name],
    /// Pull patterns that have been checked: one may be used many times.
    checked_pulls: BTreeSet<PullId>,
    /// The regular expressions met so far.
    patterns: Patterns,
    errors: Vec<ProgramError>,
}

impl Checker<'_> {
    fn fail(&mut self, place: Place, code: &'static str, message: String, hint: Option<&str>) {
        self.errors.push(error(place, code, message, hint));
    }

    fn program(&mut self) -> Option<Program> {
        let raw = self.raw;
        let rules = self.rules();
        let (mut scope, mut names) = (Scope::default(), Names::new());
        let inputs = self.inputs(&mut scope, &mut names);
        let body = self.body(&raw.body, &mut scope, &mut names);
        let find = self.find(&names);
        let with = self.with(&names);
        self.order_and_keys();
        let having_functions = self.having();
        if !self.errors.is_empty() {
            return None;
        }
        Some(Program {
            raw: RawProgram::default(),
            scope,
            inputs,
            body,
            rules,
            find,
            with,
            having: raw.having.clone(),
            having_functions,
            patterns: std::mem::take(&mut self.patterns),
        })
    }
}

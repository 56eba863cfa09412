//! Clauses: each becomes an atom, or an error at its place. Calls of functions are in [`super::calls`].

use std::collections::BTreeSet;

use super::Checker;
use super::names::{Names, inner_names, nearest};
use crate::ids::Name;
use crate::program::raw::{ClauseId, Place, RawClause, RawTerm};
use crate::program::{Atom, Body, Clause, RuleId, Scope};
use crate::value::Value;

impl Checker<'_> {
    pub(super) fn body(&mut self, ids: &[ClauseId], scope: &mut Scope, names: &mut Names) -> Body {
        let clauses = ids.iter().filter_map(|id| self.clause(*id, scope, names)).collect();
        Body { clauses }
    }

    fn clause(&mut self, id: ClauseId, scope: &mut Scope, names: &mut Names) -> Option<Clause> {
        let raw = self.raw;
        let atom = match &raw.clauses[id.0 as usize] {
            RawClause::Pattern { entity, attribute, value } => {
                let entity = self.entity_term(entity, Place::Argument(id, 0), scope, names);
                let attribute =
                    self.attribute_term(attribute, Place::Argument(id, 1), scope, names);
                let value = self.value_term(value, Place::Argument(id, 2), scope, names);
                Some(Atom::Pattern { entity: entity?, attribute: attribute?, value: value? })
            }
            RawClause::Predicate { function, args } => {
                self.predicate(id, function, args, scope, names)
            }
            RawClause::Function { function, args, rows, binding } => {
                self.function_clause(id, function, args, rows, binding, scope, names)
            }
            RawClause::Rule { rule, args } => self.rule_call(id, rule, args, scope, names),
            RawClause::Not { join, body } => self.not(id, join.as_deref(), body, scope, names),
            RawClause::Or { join, required, branches } => {
                self.or(id, join.as_deref(), required, branches, scope, names)
            }
        };
        atom.map(|atom| Clause { id, atom })
    }

    fn rule_call(
        &mut self,
        id: ClauseId,
        name: &Name,
        args: &[RawTerm],
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        let place = Place::Clause(id);
        // An attribute may be an argument: it is the string that attribute variables bind.
        let args: Vec<RawTerm> = args
            .iter()
            .map(|arg| match arg {
                RawTerm::Keyword(name) => RawTerm::Constant(Value::String(name.shared().clone())),
                other => other.clone(),
            })
            .collect();
        let terms = self.args(id, &args, true, scope, names);
        let Some(index) = self.rule_names.iter().position(|known| known == name) else {
            let message = format!("unknown rule {name}");
            let hint = nearest(name.as_str(), self.rule_names.iter().map(Name::as_str))
                .map_or_else(
                    || "rules are given by :rules, or as an argument for % in :in".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
            self.fail(place, "query_unknown_rule", message, Some(&hint));
            return None;
        };
        let arity = self.arity(name);
        if args.len() != arity {
            let message = format!("rule {name} takes {arity} arguments, not {}", args.len());
            self.fail(place, "query_arity", message, None);
            return None;
        }
        Some(Atom::Rule { rule: RuleId(index as u32), args: terms? })
    }

    fn not(
        &mut self,
        id: ClauseId,
        join: Option<&[Name]>,
        body: &[ClauseId],
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        if body.is_empty() {
            let message = "not has nothing to negate".to_owned();
            self.fail(Place::Clause(id), "query_empty_body", message, None);
            return None;
        }
        // For a plain `not`, `safety` finds which variables it shares with the outside.
        let Some(join) = join else {
            let body = self.body(body, scope, names);
            return Some(Atom::Not { stated: false, join: Vec::new(), body });
        };
        let (join, mut inner) = inner_names(join, scope, names);
        let body = self.body(body, scope, &mut inner);
        Some(Atom::Not { stated: true, join, body })
    }

    fn or(
        &mut self,
        id: ClauseId,
        join: Option<&[Name]>,
        required: &[Name],
        branches: &[Vec<ClauseId>],
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        if branches.is_empty() || branches.iter().any(Vec::is_empty) {
            let message = "or has an empty alternative".to_owned();
            self.fail(Place::Clause(id), "query_empty_body", message, None);
            return None;
        }
        let Some(join) = join else {
            let branches = branches.iter().map(|branch| self.body(branch, scope, names)).collect();
            let (join, required) = (Vec::new(), BTreeSet::new());
            return Some(Atom::Or { stated: false, join, required, branches });
        };
        let (join, inner) = inner_names(join, scope, names);
        if join.is_empty() {
            let message = "or-join has no variables".to_owned();
            self.fail(Place::Clause(id), "query_join", message, None);
        }
        let required = required.iter().filter_map(|name| inner.get(name).copied()).collect();
        let branches =
            branches.iter().map(|branch| self.body(branch, scope, &mut inner.clone())).collect();
        Some(Atom::Or { stated: true, join, required, branches })
    }
}

//! Warnings: what is valid in a query and yet may not be what was meant, given the facts.
//!
//! What can be said of the program alone is found in `program::lint`; here stands what depends on
//! which attributes have been written and what they hold. Warnings never change an answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::query::Query;
use crate::ids::Attribute;
use crate::program::check::nearest;
use crate::program::{Atom, AttributeTerm, Term, visit_clauses};
use crate::store::Snapshot;
use crate::value::Value;

impl Query {
    /// What is valid and yet may not be what was meant: aggregates that merge equal values,
    /// recursion that may never end, attributes that nobody has written (with the nearest known
    /// one), and strings where an attribute has references.
    pub fn warnings(&self, snapshot: &Snapshot) -> Vec<String> {
        let of_program = self.program().warnings().into_iter();
        of_program
            .chain(self.unknown_attributes(snapshot))
            .chain(self.strings_for_references(snapshot))
            .collect()
    }

    /// A warning for each pattern that asks for a string where there are references.
    fn strings_for_references(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut asked = BTreeSet::new();
        for body in self.program().bodies() {
            visit_clauses(body, &mut |clause| {
                if let Atom::Pattern { attribute: AttributeTerm::Const(attribute), value, .. } =
                    &clause.atom
                    && let Term::Const(Value::String(text)) = value
                    && refers_only(snapshot, attribute)
                {
                    asked.insert((attribute, text));
                }
            });
        }
        let warning = |(attribute, text): (&Attribute, &Arc<str>)| {
            let text = Value::String(text.clone());
            format!(":{attribute} has references, and the string {text} is none; write #ref {text}")
        };
        asked.into_iter().map(warning).collect()
    }

    /// A warning for each attribute that nobody has written.
    fn unknown_attributes(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut unknown = BTreeSet::new();
        for body in self.program().bodies() {
            visit_clauses(body, &mut |clause| {
                if let Atom::Pattern { attribute: AttributeTerm::Const(attribute), .. }
                | Atom::Missing { attribute: AttributeTerm::Const(attribute), .. }
                | Atom::GetElse { attribute: AttributeTerm::Const(attribute), .. } = &clause.atom
                {
                    let id = snapshot.find_attribute(attribute);
                    if id.is_none_or(|id| snapshot.count(id) == 0) {
                        unknown.insert(attribute.clone());
                    }
                }
            });
        }
        let known: Vec<&str> = snapshot
            .attributes()
            .filter(|id| snapshot.count(*id) > 0)
            .map(|id| snapshot.attribute(id).as_str())
            .collect();
        let warning = |attribute: &Attribute| {
            let near = nearest(attribute.as_str(), known.iter().copied());
            let hint = near.map(|near| format!("; did you mean :{near}?")).unwrap_or_default();
            format!("no fact has attribute :{attribute}{hint}")
        };
        unknown.iter().map(warning).collect()
    }
}

/// Whether an attribute has facts, and references in those that are looked at: enough for a
/// warning, which must not cost more than the query.
fn refers_only(snapshot: &Snapshot, attribute: &Attribute) -> bool {
    const FACTS_MAX: usize = 256;
    let Some(id) = snapshot.find_attribute(attribute) else { return false };
    let mut facts = snapshot.facts(id).take(FACTS_MAX).peekable();
    facts.peek().is_some() && facts.all(|(_, value)| value.is_ref())
}

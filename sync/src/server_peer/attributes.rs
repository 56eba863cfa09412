//! Which attributes a query can read, by its text alone.
//!
//! It exists so that a commit finds the facts-mode instances it may concern without asking each
//! of them. The set may be too large, never too small: where the text leaves an attribute open,
//! the answer is [`Attributes::Any`]. Whether a fact is really needed, `Support` says.

use std::collections::BTreeSet;

use tercet_engine::ids::Attribute;
use tercet_engine::program::raw::{RawClause, RawProgram, RawPullItem, RawTerm};
use tercet_engine::value::Value;

/// The attributes that a query can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// Some attribute is not known from the text.
    Any,
    /// At most these.
    These(BTreeSet<Attribute>),
}

impl Attributes {
    /// Those of a program.
    pub(crate) fn of(program: &RawProgram) -> Attributes {
        let clauses = program.clauses.iter().map(of_clause);
        let pulls = program.pulls.iter().flat_map(|pull| &pull.items).map(of_pull_item);
        let mut all = BTreeSet::new();
        for attributes in clauses.chain(pulls) {
            match attributes {
                Attributes::Any => return Attributes::Any,
                Attributes::These(these) => all.extend(these),
            }
        }
        Attributes::These(all)
    }
}

fn of_clause(clause: &RawClause) -> Attributes {
    match clause {
        RawClause::Pattern { attribute: RawTerm::Variable(_) | RawTerm::Blank, .. } => {
            Attributes::Any
        }
        RawClause::Pattern { attribute, .. } => of_terms(std::slice::from_ref(attribute)),
        RawClause::Predicate { args, .. } | RawClause::Function { args, .. } => match reads(clause)
        {
            true if !args.iter().any(is_attribute) => Attributes::Any,
            true => of_terms(args),
            false => Attributes::These(BTreeSet::new()),
        },
        RawClause::Rule { .. } | RawClause::Not { .. } | RawClause::Or { .. } => {
            Attributes::These(BTreeSet::new())
        }
    }
}

/// Whether a predicate or function looks at facts.
fn reads(clause: &RawClause) -> bool {
    match clause {
        RawClause::Predicate { function, .. } => function.as_str() == "missing?",
        RawClause::Function { function, .. } => {
            matches!(function.as_str(), "get-else" | "get-some")
        }
        _ => false,
    }
}

fn is_attribute(term: &RawTerm) -> bool {
    attribute_of(term).is_some()
}

fn of_terms(terms: &[RawTerm]) -> Attributes {
    Attributes::These(terms.iter().filter_map(attribute_of).collect())
}

fn attribute_of(term: &RawTerm) -> Option<Attribute> {
    match term {
        RawTerm::Keyword(name) => Attribute::new(name.shared().clone()).ok(),
        RawTerm::Constant(Value::String(text)) => Attribute::new(text.clone()).ok(),
        RawTerm::Constant(_) | RawTerm::Variable(_) | RawTerm::Blank => None,
    }
}

fn of_pull_item(item: &RawPullItem) -> Attributes {
    match item {
        RawPullItem::Wildcard => Attributes::Any,
        RawPullItem::Attribute { attribute, .. } => {
            let attribute = Attribute::new(attribute.shared().clone()).ok();
            Attributes::These(attribute.into_iter().collect())
        }
    }
}

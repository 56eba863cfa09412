//! Which facts a query can read, whatever the facts are: those that fit the constants of one of its
//! atoms, positive or negated, in its body or its rules.
//!
//! It is a pure function of program and inputs, and costs nothing to ask: a replica asks it whether
//! a write can be in an answer. Which facts a query needs, given the others, is its *support*.

use std::collections::BTreeSet;

use crate::error::QueryError;
use crate::eval::query::Query;
use crate::fact::Fact;
use crate::ids::{Attribute, EntityId};
use crate::program::raw::{Input, RawPullItem};
use crate::program::{
    Atom, AttributeTerm, Body, FindElement, InputShape, Program, Term, Var, visit_clauses,
};
use crate::value::Value;

/// Which facts a query can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// A fact can be read when it fits one of them.
    selectors: BTreeSet<Selector>,
}

/// Facts with these parts; a part that is not given fits every fact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Selector {
    attribute: Option<Attribute>,
    entity: Option<EntityId>,
    value: Option<Value>,
}

impl Selector {
    fn fits(&self, fact: &Fact) -> bool {
        self.attribute.as_ref().is_none_or(|attribute| *attribute == fact.attribute)
            && self.entity.as_ref().is_none_or(|entity| *entity == fact.entity)
            && self.value.as_ref().is_none_or(|value| *value == fact.value)
    }
}

impl Query {
    /// Which facts the query can read.
    ///
    /// # Errors
    /// When the inputs do not fit `:in`.
    pub fn selection(&self, inputs: &[Input]) -> Result<Selection, QueryError> {
        let program = self.program();
        if inputs.len() != program.inputs.len() {
            let message = format!(
                ":in asks for {} inputs, {} were given",
                program.inputs.len(),
                inputs.len()
            );
            return Err(QueryError::Input { message });
        }
        let given = Given::of(program, inputs);
        let mut selectors = BTreeSet::new();
        select(&program.body, &given, &mut selectors);
        for definition in program.rules.iter().flat_map(|rule| &rule.definitions) {
            select(&definition.body, &Given::default(), &mut selectors);
        }
        select_pulls(program, &mut selectors);
        if selectors.contains(&Selector::default()) {
            selectors.retain(|selector| *selector == Selector::default());
        }
        Ok(Selection { selectors })
    }
}

impl Selection {
    /// Whether the query can read a fact.
    pub fn covers(&self, fact: &Fact) -> bool {
        self.selectors.iter().any(|selector| selector.fits(fact))
    }
}

/// The inputs that are one value, by variable: they are constants as far as support goes.
#[derive(Default)]
struct Given(Vec<(Var, Value)>);

impl Given {
    fn of(program: &Program, inputs: &[Input]) -> Given {
        let mut given = Vec::new();
        for (shape, input) in program.inputs.iter().zip(inputs) {
            if let (InputShape::Scalar(column), Input::Scalar(value)) = (shape, input) {
                let entity = match value {
                    Value::String(text) if column.is_entity => EntityId::new(text.clone()).ok(),
                    _ => None,
                };
                given.push((column.var, entity.map_or_else(|| value.clone(), Value::Ref)));
            }
        }
        Given(given)
    }

    fn value(&self, term: &Term) -> Option<Value> {
        match term {
            Term::Const(value) => Some(value.clone()),
            Term::Var(var) => {
                self.0.iter().find(|(given, _)| given == var).map(|(_, value)| value.clone())
            }
            Term::Blank => None,
        }
    }

    fn entity(&self, term: &Term) -> Option<EntityId> {
        match self.value(term)? {
            Value::Ref(entity) => Some(entity),
            _ => None,
        }
    }
}

fn attribute_of(term: &AttributeTerm) -> Option<Attribute> {
    match term {
        AttributeTerm::Const(attribute) => Some(attribute.clone()),
        AttributeTerm::Var(_) | AttributeTerm::Blank => None,
    }
}

fn select(body: &Body, given: &Given, selectors: &mut BTreeSet<Selector>) {
    visit_clauses(body, &mut |clause| {
        let selector = match &clause.atom {
            Atom::Pattern { entity, attribute, value } => Selector {
                attribute: attribute_of(attribute),
                entity: given.entity(entity),
                value: given.value(value),
            },
            Atom::Missing { entity, attribute } | Atom::GetElse { entity, attribute, .. } => {
                Selector {
                    attribute: attribute_of(attribute),
                    entity: given.entity(entity),
                    value: None,
                }
            }
            _ => return,
        };
        selectors.insert(selector);
    });
}

fn select_pulls(program: &Program, selectors: &mut BTreeSet<Selector>) {
    let pulls = program.find.iter().any(|element| matches!(element, FindElement::Pull { .. }));
    if !pulls {
        return;
    }
    for item in program.raw.pulls.iter().flat_map(|pull| &pull.items) {
        selectors.insert(match item {
            RawPullItem::Wildcard => Selector::default(),
            RawPullItem::Attribute { attribute, .. } => Selector {
                attribute: Attribute::new(attribute.shared().clone()).ok(),
                ..Selector::default()
            },
        });
    }
}

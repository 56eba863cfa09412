//! Support: the facts a replica must hold to give a query's answer itself.
//!
//! Here it is the *whole support*: every fact that fits the constants of one of the program's
//! atoms, positive or negated, in its body or its rules. It is a pure function of program and
//! inputs, so whoever holds it evaluates the query to the server's answer, whatever else true
//! facts it holds. A smaller support, that follows bindings, can replace it behind this interface.

use std::collections::BTreeSet;

use crate::error::QueryError;
use crate::eval::query::Query;
use crate::fact::{Fact, Mark};
use crate::ids::{Attribute, EntityId};
use crate::program::raw::{Input, RawPullItem};
use crate::program::{
    Atom, AttributeTerm, Body, FindElement, InputShape, Program, Term, Var, visit_clauses,
};
use crate::store::Snapshot;
use crate::value::Value;

/// Which facts a query can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// A fact is in the support when it fits one of them.
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
    /// The facts a replica must hold to give this query's answer itself.
    ///
    /// # Errors
    /// When the inputs do not fit `:in`.
    pub fn support(&self, inputs: &[Input]) -> Result<Support, QueryError> {
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
        Ok(Support { selectors })
    }
}

impl Support {
    /// Whether a fact is in the support.
    pub fn covers(&self, fact: &Fact) -> bool {
        self.selectors.iter().any(|selector| selector.fits(fact))
    }

    /// The attributes whose facts may be in it; none when those of every attribute may be.
    pub fn attributes(&self) -> Option<BTreeSet<Attribute>> {
        self.selectors.iter().map(|selector| selector.attribute.clone()).collect()
    }

    /// The facts of the support in a snapshot with their marks, sorted, without duplicates; none
    /// when there are more than `n_max`.
    pub fn facts(&self, snapshot: &Snapshot, n_max: usize) -> Option<Vec<(Fact, Mark)>> {
        let mut facts = Vec::new();
        for selector in &self.selectors {
            collect(selector, snapshot, n_max, &mut facts)?;
        }
        facts.sort_unstable();
        facts.dedup();
        (facts.len() <= n_max).then_some(facts)
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

/// Appends the facts that fit; none when there would be more than `n_max`.
fn collect(
    selector: &Selector,
    snapshot: &Snapshot,
    n_max: usize,
    facts: &mut Vec<(Fact, Mark)>,
) -> Option<()> {
    let mut n_found = 0;
    let mut take = |fact: (Fact, Mark)| {
        n_found += 1;
        facts.push(fact);
        (n_found <= n_max).then_some(())
    };
    if let Some(entity) = &selector.entity {
        let facts = snapshot.entity_facts(entity).into_iter();
        return facts.filter(|(fact, _)| selector.fits(fact)).try_for_each(take);
    }
    let Some(attribute) = &selector.attribute else {
        return snapshot.iter().filter(|(fact, _)| selector.fits(fact)).try_for_each(take);
    };
    let Some(id) = snapshot.find_attribute(attribute) else { return Some(()) };
    let dictionary = snapshot.dictionary();
    let mut found = |(entity, value)| {
        let fact = Fact {
            entity: dictionary.entity(entity).expect("entity cells are references"),
            attribute: attribute.clone(),
            value: dictionary.value(value),
        };
        take((fact, snapshot.mark(id, entity, value).expect("the fact is visible")))
    };
    match &selector.value {
        Some(value) => match dictionary.find(value) {
            Some(value) => {
                snapshot.entities(id, value).try_for_each(|entity| found((entity, value)))
            }
            None => Some(()),
        },
        None => snapshot.facts(id).try_for_each(found),
    }
}

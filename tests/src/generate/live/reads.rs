//! What programs mention: the attributes they read, and the values that stand in them.
//!
//! A history that is drawn from this changes answers; one drawn from anything else mostly does
//! not. It is a guide to drawing only, so it may be too wide.

use tercet_engine::ids::{EntityId, Name};
use tercet_engine::program::raw::{Input, RawHavingTerm, RawPullItem, RawTerm};
use tercet_engine::value::Value;

use crate::generate::program::Case;
use crate::generate::vocabulary::{ATTRIBUTES, DATE_ATTRIBUTE, attribute};
use crate::tree::Clause;

/// What some programs mention.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Attributes, as often as they are mentioned.
    pub(super) attributes: Vec<tercet_engine::ids::Attribute>,
    /// Constants and arguments.
    pub(super) values: Vec<Value>,
    /// Those of them that name entities.
    pub(super) entities: Vec<EntityId>,
}

impl Reads {
    pub(super) fn of(cases: &[Case]) -> Reads {
        let mut reads = Reads::default();
        for Case { program, inputs } in cases {
            reads.body(&program.body);
            program.rules.iter().for_each(|rule| reads.body(&rule.body));
            for item in program.frame.pulls.iter().flat_map(|pull| &pull.items) {
                match item {
                    RawPullItem::Wildcard => reads.any_attribute(),
                    RawPullItem::Attribute { attribute: name, .. } => reads.attribute(name),
                }
            }
            for term in program.frame.having.iter().flat_map(|having| &having.args) {
                if let RawHavingTerm::Constant(value) = term {
                    reads.value(value);
                }
            }
            program.frame.after.iter().for_each(|value| reads.value(value));
            for input in inputs {
                match input {
                    Input::Scalar(value) => reads.value(value),
                    Input::Tuple(values) | Input::Collection(values) => {
                        values.iter().for_each(|value| reads.value(value));
                    }
                    Input::Relation(rows) => {
                        rows.iter().flatten().for_each(|value| reads.value(value));
                    }
                }
            }
        }
        if reads.attributes.is_empty() {
            reads.any_attribute();
        }
        reads
    }

    fn body(&mut self, body: &[Clause]) {
        for clause in body {
            match clause {
                Clause::Pattern { attribute, .. } => self.attribute_term(attribute),
                Clause::Predicate { function, args } | Clause::Function { function, args, .. }
                    if ["missing?", "get-else"].contains(&function.as_str()) =>
                {
                    self.attribute_term(&args[1]);
                }
                _ => {}
            }
            for term in clause.terms() {
                match term {
                    RawTerm::Constant(value) => self.value(value),
                    RawTerm::Keyword(name) => self.attribute(name),
                    RawTerm::Variable(_) | RawTerm::Blank => {}
                }
            }
            if let Clause::Function { rows, .. } = clause {
                rows.iter().flatten().for_each(|value| self.value(value));
            }
            clause.bodies().iter().for_each(|body| self.body(body));
        }
    }

    fn attribute_term(&mut self, term: &RawTerm) {
        match term {
            RawTerm::Constant(Value::String(text)) => self.attribute_text(text),
            RawTerm::Keyword(name) => self.attribute(name),
            RawTerm::Variable(_) | RawTerm::Blank | RawTerm::Constant(_) => self.any_attribute(),
        }
    }

    fn attribute(&mut self, name: &Name) {
        self.attribute_text(name.as_str());
    }

    fn attribute_text(&mut self, text: &str) {
        self.attributes.extend(tercet_engine::ids::Attribute::new(text).ok());
    }

    fn any_attribute(&mut self) {
        let texts = ATTRIBUTES.iter().map(|(text, ..)| *text).chain([DATE_ATTRIBUTE]);
        self.attributes.extend(texts.map(attribute));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Ref(entity) => self.entities.push(entity.clone()),
            Value::String(text) if text.starts_with('n') && !text.contains('/') => {
                self.entities.extend(EntityId::new(text.clone()).ok());
            }
            _ => {}
        }
        self.values.push(value.clone());
    }
}

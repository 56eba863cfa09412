//! Terms: what a flat term means in the position it stands in.

use super::Checker;
use super::names::{Names, resolve};
use crate::ids::{Attribute, EntityId, Name};
use crate::program::raw::{ClauseId, Place, RawTerm};
use crate::program::{AttributeTerm, Scope, Term};
use crate::value::Value;

impl Checker<'_> {
    pub(super) fn entity_term(
        &mut self,
        term: &RawTerm,
        place: Place,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Term> {
        match term {
            RawTerm::Variable(name) => Some(Term::Var(resolve(name, scope, names))),
            RawTerm::Blank => Some(Term::Blank),
            RawTerm::Constant(Value::String(text)) => match EntityId::new(text.clone()) {
                Ok(entity) => Some(Term::Const(Value::Ref(entity))),
                Err(wrong) => {
                    self.fail(place, wrong.code(), wrong.to_string(), None);
                    None
                }
            },
            RawTerm::Constant(value @ Value::Ref(_)) => Some(Term::Const(value.clone())),
            RawTerm::Constant(value) => {
                let message = format!("{value} stands where an entity id is expected");
                self.fail(place, "query_entity", message, Some("an id is a string"));
                None
            }
            RawTerm::Keyword(keyword) => self.stray_keyword(keyword, place),
        }
    }

    pub(super) fn attribute_term(
        &mut self,
        term: &RawTerm,
        place: Place,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<AttributeTerm> {
        match term {
            RawTerm::Variable(name) => Some(AttributeTerm::Var(resolve(name, scope, names))),
            RawTerm::Blank => Some(AttributeTerm::Blank),
            RawTerm::Keyword(name) => self.attribute(name, place).map(AttributeTerm::Const),
            RawTerm::Constant(Value::String(text)) => match Attribute::new(text.clone()) {
                Ok(attribute) => Some(AttributeTerm::Const(attribute)),
                Err(wrong) => {
                    self.fail(place, wrong.code(), wrong.to_string(), None);
                    None
                }
            },
            RawTerm::Constant(value) => {
                let message = format!("{value} stands where an attribute is expected");
                let hint = "write it as :user/name or \"user/name\"";
                self.fail(place, "query_attribute", message, Some(hint));
                None
            }
        }
    }

    pub(super) fn attribute(&mut self, name: &Name, place: Place) -> Option<Attribute> {
        match Attribute::new(name.shared().clone()) {
            Ok(attribute) => Some(attribute),
            Err(wrong) => {
                self.fail(place, wrong.code(), wrong.to_string(), None);
                None
            }
        }
    }

    pub(super) fn value_term(
        &mut self,
        term: &RawTerm,
        place: Place,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Term> {
        match term {
            RawTerm::Variable(name) => Some(Term::Var(resolve(name, scope, names))),
            RawTerm::Blank => Some(Term::Blank),
            RawTerm::Constant(value) => Some(Term::Const(value.clone())),
            RawTerm::Keyword(keyword) => self.stray_keyword(keyword, place),
        }
    }

    fn stray_keyword<T>(&mut self, keyword: &Name, place: Place) -> Option<T> {
        let message = format!(":{keyword} is an attribute and cannot be a value");
        let hint = format!("for a string write \"{keyword}\"");
        self.fail(place, "query_keyword_value", message, Some(&hint));
        None
    }

    /// Arguments of a call; a blank is allowed where `blanks` says so.
    pub(super) fn args(
        &mut self,
        id: ClauseId,
        args: &[RawTerm],
        blanks: bool,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Vec<Term>> {
        let mut terms = Vec::new();
        for (index, arg) in args.iter().enumerate() {
            let place = Place::Argument(id, index as u32);
            let term = self.value_term(arg, place, scope, names);
            if term == Some(Term::Blank) && !blanks {
                let message = "_ cannot be an argument of a function".to_owned();
                self.fail(place, "query_blank", message, None);
            }
            terms.extend(term);
        }
        (terms.len() == args.len()).then_some(terms)
    }
}

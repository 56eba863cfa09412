//! Terms: variables, blanks, attributes and constants, and the names in them.
//!
//! Every name is checked here to be one that text can carry, because JSON and the builder can
//! bring any string.

use tercet_engine::ids::Name;
use tercet_engine::program::raw::RawTerm;
use tercet_engine::value::Value;

use super::Translator;
use crate::form::{Form, Kind};
use crate::problem::Problem;
use crate::syntax::{is_plain_symbol, is_variable_name};

impl Translator {
    /// `?x`, without the question mark.
    pub(super) fn variable(&mut self, form: &Form) -> Option<Name> {
        let Some(name) = form.as_symbol().and_then(|text| text.strip_prefix('?')) else {
            let problem = self.unexpected(form, "query_variable", "a variable");
            let problem = match &form.kind {
                Kind::Symbol(text) if is_plain_symbol(text) => {
                    problem.hint(format!("variables start with `?`: `?{text}`"))
                }
                _ => problem,
            };
            return self.refuse(form, problem);
        };
        if !is_variable_name(name) {
            let problem =
                Problem::new("query_variable", format!("{} is no variable", form.brief()));
            self.error(form.span, problem.hint("`?` and then letters, digits, `-` and the like"));
            return None;
        }
        self.name(form, name)
    }

    /// The name of a function or rule.
    pub(super) fn symbol(&mut self, form: &Form, code: &'static str, what: &str) -> Option<Name> {
        match form.as_symbol() {
            Some(text) if is_plain_symbol(text) => self.name(form, text),
            _ => {
                let problem = self.unexpected(form, code, what);
                self.refuse(form, problem)
            }
        }
    }

    /// Checks the length and characters of a name.
    pub(super) fn name(&mut self, form: &Form, text: &str) -> Option<Name> {
        match Name::new(text) {
            Ok(name) => Some(name),
            Err(error) => {
                self.error(form.span, error.into());
                None
            }
        }
    }

    /// A term in any position but an attribute's.
    pub(super) fn term(&mut self, form: &Form) -> Option<RawTerm> {
        match &form.kind {
            Kind::Value(value) => Some(RawTerm::Constant(value.clone())),
            Kind::Keyword(_) => self.attribute(form).map(RawTerm::Keyword),
            Kind::Symbol(text) if &**text == "_" => Some(RawTerm::Blank),
            Kind::Symbol(text) if text.starts_with('?') => {
                self.variable(form).map(RawTerm::Variable)
            }
            Kind::Symbol(text) if text.starts_with('$') => self.named_source(form),
            _ => {
                let problem = self.unexpected(form, "query_term", "a variable or constant");
                let hint = term_hint(form);
                self.refuse(form, problem.hint_maybe(hint))
            }
        }
    }

    /// A term in attribute position, where a string names an attribute.
    pub(super) fn attribute_term(&mut self, form: &Form) -> Option<RawTerm> {
        match &form.kind {
            Kind::Value(_) => self.attribute(form).map(RawTerm::Keyword),
            _ => self.term(form),
        }
    }

    /// `:user/name` or `"user/name"`.
    pub(super) fn attribute(&mut self, form: &Form) -> Option<Name> {
        let text = match &form.kind {
            Kind::Keyword(text) | Kind::Value(Value::String(text)) if !text.starts_with(':') => {
                text
            }
            _ => {
                let problem = self.unexpected(form, "query_attribute", "an attribute");
                let hint = match &form.kind {
                    Kind::Keyword(_) => "write one colon",
                    Kind::Value(Value::String(_)) => "leave out the colon inside the string",
                    _ => "write it as `:user/name` or \"user/name\"",
                };
                return self.refuse(form, problem.hint(hint));
            }
        };
        self.name(form, text)
    }

    /// A constant.
    pub(super) fn constant(&mut self, form: &Form, code: &'static str) -> Option<Value> {
        match &form.kind {
            Kind::Value(value) => Some(value.clone()),
            _ => {
                let problem = self.unexpected(form, code, "a constant");
                self.refuse(form, problem)
            }
        }
    }

    /// `$users`: there is one database.
    pub(super) fn named_source<T>(&mut self, form: &Form) -> Option<T> {
        let text = form.as_symbol().unwrap_or_default();
        let message = match text {
            "$" => "`$` may stand only first, before the parts of a clause".to_owned(),
            _ => format!("unknown source `{text}`"),
        };
        let problem = Problem::new("query_source", message);
        self.error(form.span, problem.hint("a query has one source, `$`, which can be left out"));
        None
    }
}

fn term_hint(form: &Form) -> Option<String> {
    Some(match &form.kind {
        Kind::Symbol(text) if matches!(&**text, "..." | "." | "%") => return None,
        Kind::Symbol(text) => {
            format!("a variable is `?{text}`, a string is \"{text}\", an attribute `:{text}`")
        }
        Kind::List(_) => {
            "calls do not nest: bind the inner one first, `[(+ ?a 1) ?b]`, and use ?b".to_owned()
        }
        Kind::Vector(_) | Kind::Set(_) | Kind::Map(_) => {
            "a collection is given by `ground` or as an input; an entity by another pattern"
                .to_owned()
        }
        _ => return None,
    })
}

//! Calls of functions: the right name, number and kind of arguments, and constants that make sense.
//!
//! What a function means is left out; so is whether its arguments are bound.

use super::Checker;
use super::names::{Names, nearest};
use crate::ids::Name;
use crate::program::functions::{Directive, Function, Signature, Unit, meant};
use crate::program::pattern::Extent;
use crate::program::raw::{ClauseId, Place, RawBinding, RawTerm};
use crate::program::{Atom, Scope, Term};
use crate::value::Value;

impl Checker<'_> {
    /// The function of a name that takes so many arguments.
    pub(super) fn function(
        &mut self,
        name: &Name,
        n_args: usize,
        as_predicate: bool,
        place: Place,
    ) -> Option<Function> {
        let Some(signature) = Function::find(name.as_str()) else {
            self.unknown_function(name, as_predicate, place);
            return None;
        };
        if n_args < signature.args_min || n_args > signature.args_max {
            let message = format!("{name} takes {}, not {n_args}", arity(signature));
            let hint = format!("write {}", signature.usage);
            self.fail(place, "query_arity", message, Some(&hint));
            return None;
        }
        if as_predicate && !signature.function.is_predicate() {
            let message = format!("{name} gives a value, not true or false");
            let hint = match signature.function {
                Function::Find => {
                    "write re-find?, or bind its result: [(re-find …) ?result]".into()
                }
                _ => format!("bind its result: [({name} …) ?result]"),
            };
            self.fail(place, "query_not_predicate", message, Some(&hint));
            return None;
        }
        Some(signature.function)
    }

    fn unknown_function(&mut self, name: &Name, as_predicate: bool, place: Place) {
        let misplaced = match (name.as_str(), as_predicate) {
            ("missing?", false) => Some(("missing? is true or false", "leave its binding out")),
            ("get-else", true) => {
                Some(("get-else gives a value", "bind it: [(get-else ?e :a/b 0) ?value]"))
            }
            ("ground", true) => Some(("ground gives a value", "bind it: [(ground 5) ?value]")),
            _ => None,
        };
        if let Some((message, hint)) = misplaced {
            return self.fail(place, "query_call", message.to_owned(), Some(hint));
        }
        let message = format!("unknown function {name}");
        let near = meant(name.as_str(), |name, known| nearest(name, known));
        let hint = near.map_or_else(
            || {
                "functions are built in; what a rule is called stands in (…), without […]"
                    .to_owned()
            },
            |near| format!("did you mean `{near}`?"),
        );
        self.fail(place, "query_unknown_function", message, Some(&hint));
    }

    /// Checks the argument that says how to compute, where it is a constant.
    pub(super) fn directive<'v>(
        &mut self,
        function: Function,
        constant: impl Fn(usize) -> Option<&'v Value>,
        place: impl Fn(u32) -> Place,
    ) {
        let Some((index, directive)) = function.directive() else { return };
        let Some(value) = constant(index) else { return };
        let place = place(index as u32);
        let name = function.name();
        let Value::String(text) = value else {
            let what = if directive == Directive::Unit { "a unit of time" } else { "a pattern" };
            let message = format!("{name} takes {what} here, not {value}");
            return self.fail(place, "query_argument", message, Some("write it as a string"));
        };
        let pattern = match directive {
            Directive::WholePattern => self.patterns.add(text, Extent::Whole),
            Directive::Pattern => self.patterns.add(text, Extent::Part),
            Directive::Unit => return self.unit(text, place),
        };
        if let Err(message) = pattern {
            self.fail(place, "query_regex", message, None);
        }
    }

    fn unit(&mut self, text: &str, place: Place) {
        if Unit::find(text).is_some() {
            return;
        }
        let names = || Unit::ALL.iter().map(|(name, _)| *name);
        let hint = match nearest(text, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("units: {}", names().collect::<Vec<_>>().join(", ")),
        };
        self.fail(place, "query_argument", format!("unknown unit \"{text}\""), Some(&hint));
    }

    fn terms_directive(&mut self, function: Function, args: &[Term], id: ClauseId) {
        let constant = |index: usize| match args.get(index) {
            Some(Term::Const(value)) => Some(value),
            _ => None,
        };
        self.directive(function, constant, |index| Place::Argument(id, index));
    }

    pub(super) fn predicate(
        &mut self,
        id: ClauseId,
        name: &Name,
        args: &[RawTerm],
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        let place = Place::Clause(id);
        if name.as_str() == "missing?" {
            let [entity, attribute] = args else {
                let message = "missing? takes an entity and an attribute".to_owned();
                self.fail(place, "query_arity", message, None);
                return None;
            };
            let entity = self.entity_term(entity, Place::Argument(id, 0), scope, names);
            let attribute = self.attribute_term(attribute, Place::Argument(id, 1), scope, names);
            return Some(Atom::Missing { entity: entity?, attribute: attribute? });
        }
        let function = self.function(name, args.len(), true, place);
        let args = self.args(id, &plain(args, function), false, scope, names);
        let (function, args) = (function?, args?);
        self.terms_directive(function, &args, id);
        Some(Atom::Predicate { function, args })
    }

    #[allow(clippy::too_many_arguments)] // The fields of one raw clause, and where names live.
    pub(super) fn function_clause(
        &mut self,
        id: ClauseId,
        name: &Name,
        args: &[RawTerm],
        rows: &[Vec<Value>],
        binding: &RawBinding,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        let place = Place::Clause(id);
        if name.as_str() == "ground" {
            return self.ground(id, args, rows, binding, scope, names);
        }
        let RawBinding::Scalar(out) = binding else {
            let message = format!("{name} gives one value; only ground gives several");
            self.fail(place, "query_binding", message, Some("bind it to one variable"));
            return None;
        };
        if name.as_str() == "get-else" {
            return self.get_else(id, args, out, scope, names);
        }
        let function = self.function(name, args.len(), false, place);
        let n_args = args.len() as u32;
        let args = self.args(id, &plain(args, function), false, scope, names);
        let out = self.value_term(out, Place::Argument(id, n_args), scope, names);
        let (function, args) = (function?, args?);
        self.terms_directive(function, &args, id);
        Some(Atom::Function { function, args, out: out? })
    }

    fn get_else(
        &mut self,
        id: ClauseId,
        args: &[RawTerm],
        out: &RawTerm,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        let [entity, attribute, default] = args else {
            let message = "get-else takes an entity, an attribute and a default".to_owned();
            self.fail(Place::Clause(id), "query_arity", message, None);
            return None;
        };
        let entity = self.entity_term(entity, Place::Argument(id, 0), scope, names);
        let attribute = self.attribute_term(attribute, Place::Argument(id, 1), scope, names);
        let default = self.value_term(default, Place::Argument(id, 2), scope, names);
        if default == Some(Term::Blank) {
            let message = "_ cannot be the default of get-else".to_owned();
            self.fail(Place::Argument(id, 2), "query_blank", message, None);
        }
        let out = self.value_term(out, Place::Argument(id, 3), scope, names);
        let (entity, attribute, default, out) = (entity?, attribute?, default?, out?);
        Some(Atom::GetElse { entity, attribute, default, out })
    }

    fn ground(
        &mut self,
        id: ClauseId,
        args: &[RawTerm],
        rows: &[Vec<Value>],
        binding: &RawBinding,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Option<Atom> {
        let place = Place::Clause(id);
        let (rows, out): (Vec<Vec<Value>>, &[RawTerm]) = match (binding, args) {
            (RawBinding::Scalar(out), [RawTerm::Constant(value)]) => {
                (vec![vec![value.clone()]], std::slice::from_ref(out))
            }
            (RawBinding::Collection(out), []) => (rows.to_vec(), std::slice::from_ref(out)),
            (RawBinding::Tuple(out), []) if rows.len() == 1 => (rows.to_vec(), out),
            (RawBinding::Relation(out), []) => (rows.to_vec(), out),
            _ => {
                let message = "the constant of ground does not fit its binding".to_owned();
                let hint = "write [(ground 5) ?x], [(ground [1 2]) [?x ...]] or \
                            [(ground [[1 \"a\"]]) [[?x ?y]]]";
                self.fail(place, "query_ground", message, Some(hint));
                return None;
            }
        };
        if rows.iter().any(|row| row.len() != out.len()) {
            let message = format!("every row of ground needs {} values", out.len());
            self.fail(place, "query_ground", message, None);
            return None;
        }
        let out: Vec<Option<Term>> =
            out.iter().map(|term| self.value_term(term, place, scope, names)).collect();
        Some(Atom::Ground { rows, out: out.into_iter().collect::<Option<_>>()? })
    }
}

/// The arguments as they are, of a function that is not known without attributes: whether one may
/// stand there is not known either.
fn plain(args: &[RawTerm], function: Option<Function>) -> Vec<RawTerm> {
    let is_plain = |arg: &&RawTerm| function.is_some() || !matches!(arg, RawTerm::Keyword(_));
    args.iter().filter(is_plain).cloned().collect()
}

/// `2 arguments`, `1 to 3 arguments`, `2 or more arguments`.
fn arity(signature: &Signature) -> String {
    let Signature { args_min, args_max, .. } = signature;
    match (*args_min, *args_max) {
        (1, 1) => "1 argument".to_owned(),
        (min, max) if min == max => format!("{min} arguments"),
        (min, max) if max == min + 1 => format!("{min} or {max} arguments"),
        (min, usize::MAX) => format!("{min} or more arguments"),
        (min, max) => format!("{min} to {max} arguments"),
    }
}

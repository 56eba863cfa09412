//! From the flat program to the checked one: names resolved, forms and limits verified.
//!
//! Every error found is reported, with its place; nothing is trusted, because a peer may have
//! sent the program. What can be bound where is decided in `safety`, what may recurse in `strata`.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ProgramError;
use super::functions::Function;
use super::raw::{
    ClauseId, FindForm, Place, PullId, RawBinding, RawClause, RawFindElement, RawHavingTerm,
    RawInput, RawOrder, RawProgram, RawPullItem, RawPullNested, RawTerm,
};
use super::{
    Aggregate, Atom, AttributeTerm, Body, Clause, Definition, FindElement, InputColumn, InputShape,
    Program, Rule, RuleId, Scope, Term, Var, safety, strata,
};
use crate::ids::{Attribute, EntityId, Name};
use crate::value::Value;

/// The most clauses of a program, rules included.
pub(crate) const CLAUSES_MAX: usize = 1_024;
/// The deepest nesting of clauses or pull patterns.
pub(crate) const NESTING_MAX: usize = 32;

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
        let mut checker = Checker { raw: &raw, rule_names: &rule_names, checked_pulls, errors };
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

/// Rule names in order of first definition.
fn rule_names(raw: &RawProgram) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for rule in &raw.rules {
        if !names.contains(&rule.name) {
            names.push(rule.name.clone());
        }
    }
    names
}

/// Checks that the arenas form trees of bounded depth: children before parents, each used once.
fn check_arenas(raw: &RawProgram, errors: &mut Vec<ProgramError>) {
    let malformed = |place, what: &str| error(place, "query_malformed", what, None);
    if raw.clauses.len() > CLAUSES_MAX {
        let message = format!("{} clauses, at most {CLAUSES_MAX} are allowed", raw.clauses.len());
        errors.push(error(Place::Query, "query_too_large", message, None));
        return;
    }
    let mut used = vec![false; raw.clauses.len()];
    let mut depth = vec![1_usize; raw.clauses.len()];
    let mut take = |id: ClauseId, parent: Option<usize>, errors: &mut Vec<ProgramError>| {
        let index = id.0 as usize;
        let in_order = parent.is_none_or(|parent| index < parent);
        match used.get_mut(index) {
            Some(used) if in_order && !*used => *used = true,
            _ => errors.push(malformed(Place::Clause(id), "a clause is not the child of one")),
        }
    };
    for (index, clause) in raw.clauses.iter().enumerate() {
        let children: Vec<ClauseId> = match clause {
            RawClause::Not { body, .. } => body.clone(),
            RawClause::Or { branches, .. } => branches.concat(),
            _ => Vec::new(),
        };
        for child in children {
            take(child, Some(index), errors);
            let below = depth.get(child.0 as usize).copied().unwrap_or(0);
            depth[index] = depth[index].max(below + 1);
        }
        if depth[index] > NESTING_MAX {
            let place = Place::Clause(ClauseId(index as u32));
            let message = format!("clauses are nested deeper than {NESTING_MAX}");
            errors.push(error(place, "query_too_deep", message, None));
            return;
        }
    }
    let rule_bodies = raw.rules.iter().flat_map(|rule| &rule.body);
    for id in raw.body.iter().chain(rule_bodies) {
        take(*id, None, errors);
    }
    check_pull_arena(raw, errors);
}

fn check_pull_arena(raw: &RawProgram, errors: &mut Vec<ProgramError>) {
    let mut depth = vec![1_usize; raw.pulls.len()];
    for (index, pull) in raw.pulls.iter().enumerate() {
        let place = Place::Pull(PullId(index as u32));
        for item in &pull.items {
            let RawPullItem::Attribute { nested: RawPullNested::Pattern(child), .. } = item else {
                continue;
            };
            let child = child.0 as usize;
            if child >= index {
                let message = "a pull pattern must come after the patterns it holds";
                errors.push(error(place, "query_malformed", message, None));
                return;
            }
            depth[index] = depth[index].max(depth[child] + 1);
        }
        if depth[index] > NESTING_MAX {
            let message = format!("pull patterns are nested deeper than {NESTING_MAX}");
            errors.push(error(place, "query_too_deep", message, None));
        }
    }
}

/// The names visible in one body: variables of the scope by name.
type Names = BTreeMap<Name, Var>;

struct Checker<'r> {
    raw: &'r RawProgram,
    rule_names: &'r [Name],
    /// Pull patterns that have been checked: one may be used many times.
    checked_pulls: BTreeSet<PullId>,
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
        })
    }

    // ---- rules ----

    fn rules(&mut self) -> Vec<Rule> {
        let mut rules: Vec<Rule> = self
            .rule_names
            .iter()
            .map(|name| Rule {
                name: name.clone(),
                arity: self.arity(name),
                needed: BTreeSet::new(),
                entity_columns: BTreeSet::new(),
                definitions: Vec::new(),
            })
            .collect();
        for (index, raw_rule) in self.raw.rules.iter().enumerate() {
            let place = Place::Rule(index as u32);
            let position = self.rule_names.iter().position(|name| *name == raw_rule.name);
            let rule = &mut rules[position.expect("every rule's name was collected")];
            if raw_rule.head.len() != rule.arity {
                let message = format!(
                    "rule {} is defined with {} and with {} arguments",
                    raw_rule.name,
                    rule.arity,
                    raw_rule.head.len()
                );
                self.fail(place, "query_arity", message, None);
                continue;
            }
            rule.needed.extend(0..(raw_rule.n_required as usize).min(rule.arity));
            let (mut scope, mut names) = (Scope::default(), Names::new());
            let head = self.head(&raw_rule.head, place, &mut scope, &mut names);
            if raw_rule.body.is_empty() {
                let message = format!("rule {} has no body", raw_rule.name);
                self.fail(place, "query_empty_body", message, Some("add a clause after the head"));
            }
            let body = self.body(&raw_rule.body, &mut scope, &mut names);
            rule.definitions.push(Definition { head, scope, body });
        }
        rules
    }

    fn arity(&self, name: &Name) -> usize {
        let first = self.raw.rules.iter().find(|rule| rule.name == *name);
        first.expect("the name comes from a definition").head.len()
    }

    fn head(
        &mut self,
        head: &[RawTerm],
        place: Place,
        scope: &mut Scope,
        names: &mut Names,
    ) -> Vec<Var> {
        let mut vars = Vec::new();
        for term in head {
            match term {
                RawTerm::Variable(name) if !names.contains_key(name) => {
                    vars.push(declare(name, scope, names));
                }
                RawTerm::Variable(name) => {
                    let message = format!("variable ?{name} occurs twice in the head of a rule");
                    self.fail(place, "query_rule_head", message, None);
                }
                _ => {
                    let message = "the head of a rule has variables only".to_owned();
                    let hint = "bind the constant in the body, with [(ground …) ?x]";
                    self.fail(place, "query_rule_head", message, Some(hint));
                }
            }
        }
        if head.is_empty() {
            self.fail(place, "query_rule_head", "a rule has no arguments".to_owned(), None);
        }
        vars
    }

    // ---- inputs, find, order ----

    fn inputs(&mut self, scope: &mut Scope, names: &mut Names) -> Vec<InputShape> {
        let mut shapes = Vec::new();
        for (index, input) in self.raw.inputs.iter().enumerate() {
            let place = Place::Input(index as u32);
            let mut column = |name: &Name, checker: &mut Self| {
                if names.contains_key(name) {
                    let message = format!("variable ?{name} is an input twice");
                    checker.fail(place, "query_input_twice", message, None);
                }
                InputColumn { var: declare(name, scope, names), is_entity: false }
            };
            match input {
                RawInput::Scalar(name) => shapes.push(InputShape::Scalar(column(name, self))),
                RawInput::Collection(name) => {
                    shapes.push(InputShape::Collection(column(name, self)));
                }
                RawInput::Tuple(columns) | RawInput::Relation(columns) => {
                    let columns: Vec<Option<InputColumn>> = columns
                        .iter()
                        .map(|name| name.as_ref().map(|name| column(name, self)))
                        .collect();
                    let is_tuple = matches!(input, RawInput::Tuple(_));
                    shapes.push(if is_tuple {
                        InputShape::Tuple(columns)
                    } else {
                        InputShape::Relation(columns)
                    });
                }
                RawInput::Rules => {}
            }
        }
        shapes
    }

    fn known(&mut self, name: &Name, place: Place, names: &Names) -> Option<Var> {
        let var = names.get(name).copied();
        if var.is_none() {
            let message = format!("variable ?{name} does not occur in :where or :in");
            self.fail(place, "query_unbound", message, Some("add an atom that binds it"));
        }
        var
    }

    fn find(&mut self, names: &Names) -> Vec<FindElement> {
        if self.raw.find.is_empty() {
            self.fail(Place::Query, "query_no_find", ":find has no elements".to_owned(), None);
        }
        if matches!(self.raw.find_form, FindForm::Scalar | FindForm::Collection)
            && self.raw.find.len() > 1
        {
            let message = "this form of :find has exactly one element".to_owned();
            self.fail(Place::Query, "query_find_form", message, None);
        }
        let raw = self.raw;
        let elements = raw.find.iter().enumerate();
        elements
            .filter_map(|(index, element)| self.find_element(element, index as u32, names))
            .collect()
    }

    fn find_element(
        &mut self,
        element: &RawFindElement,
        index: u32,
        names: &Names,
    ) -> Option<FindElement> {
        let place = Place::Find(index);
        match element {
            RawFindElement::Variable(name) => {
                self.known(name, place, names).map(FindElement::Variable)
            }
            RawFindElement::Pull { variable, pattern } => {
                self.pull(*pattern, place);
                let var = self.known(variable, place, names)?;
                Some(FindElement::Pull { var, pattern: *pattern })
            }
            RawFindElement::Aggregate { function, n, variable } => {
                let var = self.known(variable, place, names);
                let Some(aggregate) = Aggregate::find(function.as_str()) else {
                    let known = Aggregate::ALL.map(|(name, _)| name).join(", ");
                    let message = format!("unknown aggregate {function}");
                    let hint = format!("known ones: {known}");
                    self.fail(place, "query_unknown_function", message, Some(&hint));
                    return None;
                };
                let n = self.aggregate_n(aggregate, function, n.as_ref(), place)?;
                Some(FindElement::Aggregate { function: aggregate, n, var: var? })
            }
        }
    }

    fn aggregate_n(
        &mut self,
        aggregate: Aggregate,
        name: &Name,
        n: Option<&Value>,
        place: Place,
    ) -> Option<Option<usize>> {
        let Some(n) = n else {
            if aggregate == Aggregate::Sample {
                let message = "sample takes how many values to draw".to_owned();
                self.fail(place, "query_arity", message, Some("write (sample 3 ?x)"));
                return None;
            }
            return Some(None);
        };
        let count = match n {
            Value::Number(number) => number.as_i64().and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        if !aggregate.takes_n() || count.is_none() {
            let message = format!("aggregate {name} does not take {n} before its variable");
            self.fail(place, "query_arity", message, None);
            return None;
        }
        Some(count)
    }

    fn pull(&mut self, id: PullId, place: Place) {
        let Some(pattern) = self.raw.pulls.get(id.0 as usize) else {
            let message = "a pull names a pattern that is not there".to_owned();
            return self.fail(place, "query_malformed", message, None);
        };
        if !self.checked_pulls.insert(id) {
            return;
        }
        for (index, item) in pattern.items.iter().enumerate() {
            let place = Place::PullItem(id, index as u32);
            let RawPullItem::Attribute { attribute, nested, .. } = item else { continue };
            self.attribute(attribute, place);
            if let RawPullNested::Pattern(nested) = nested {
                self.pull(*nested, place);
            }
        }
    }

    fn with(&mut self, names: &Names) -> Vec<Var> {
        let raw = self.raw;
        let with = raw.with.iter().enumerate();
        with.filter_map(|(index, name)| self.known(name, Place::With(index as u32), names))
            .collect()
    }

    fn order_and_keys(&mut self) {
        let raw = self.raw;
        for (index, order) in raw.order_by.iter().enumerate() {
            if order.element as usize >= raw.find.len() {
                let message = ":order-by names an element that :find does not have".to_owned();
                self.fail(Place::Order(index as u32), "query_order", message, None);
            }
        }
        if !raw.keys.is_empty() && raw.keys.len() != raw.find.len() {
            let message =
                format!(":keys has {} names for {} elements", raw.keys.len(), raw.find.len());
            self.fail(Place::Query, "query_keys", message, None);
        }
        if !raw.after.is_empty() && raw.after.len() != raw.order_by.len() {
            let message = format!(
                ":after has {} values for {} keys of :order-by",
                raw.after.len(),
                raw.order_by.len()
            );
            self.fail(Place::After, "query_after", message, None);
        }
        let is_pull = |key: &RawOrder| {
            matches!(raw.find.get(key.element as usize), Some(RawFindElement::Pull { .. }))
        };
        if !raw.after.is_empty() && raw.order_by.iter().any(is_pull) {
            let message = ":after cannot follow an order by a pulled tree".to_owned();
            self.fail(Place::After, "query_after", message, Some("order by a variable"));
        }
    }

    fn having(&mut self) -> Vec<Function> {
        let raw = self.raw;
        let mut functions = Vec::new();
        for (index, having) in raw.having.iter().enumerate() {
            let place = Place::Having(index as u32);
            let function = self.function(&having.function, having.args.len(), true, place);
            functions.extend(function);
            for arg in &having.args {
                if let RawHavingTerm::Element(element) = arg
                    && *element as usize >= raw.find.len()
                {
                    let message = ":having names an element that :find does not have".to_owned();
                    self.fail(place, "query_having", message, None);
                }
            }
        }
        functions
    }

    // ---- clauses ----

    fn body(&mut self, ids: &[ClauseId], scope: &mut Scope, names: &mut Names) -> Body {
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

    fn entity_term(
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

    fn attribute_term(
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

    fn attribute(&mut self, name: &Name, place: Place) -> Option<Attribute> {
        match Attribute::new(name.shared().clone()) {
            Ok(attribute) => Some(attribute),
            Err(wrong) => {
                self.fail(place, wrong.code(), wrong.to_string(), None);
                None
            }
        }
    }

    fn value_term(
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
    fn args(
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

    fn function(
        &mut self,
        name: &Name,
        n_args: usize,
        as_predicate: bool,
        place: Place,
    ) -> Option<Function> {
        let Some(signature) = Function::find(name.as_str()) else {
            let message = format!("unknown function {name}");
            let hint = nearest(name.as_str(), super::functions::FUNCTIONS.iter().map(|s| s.name))
                .map(|near| format!("did you mean {near}?"));
            self.fail(place, "query_unknown_function", message, hint.as_deref());
            return None;
        };
        if n_args < signature.args_min || n_args > signature.args_max {
            let message = format!("{name} does not take {n_args} arguments");
            self.fail(place, "query_arity", message, None);
            return None;
        }
        if as_predicate && !signature.function.is_predicate() {
            let message = format!("{name} gives a value, not true or false");
            let hint = format!("bind its result: [({name} …) ?result]");
            self.fail(place, "query_not_predicate", message, Some(&hint));
            return None;
        }
        Some(signature.function)
    }

    fn predicate(
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
        let args = self.args(id, args, false, scope, names);
        Some(Atom::Predicate { function: function?, args: args? })
    }

    #[allow(clippy::too_many_arguments)] // The fields of one raw clause, and where names live.
    fn function_clause(
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
            let [entity, attribute, default] = args else {
                let message = "get-else takes an entity, an attribute and a default".to_owned();
                self.fail(place, "query_arity", message, None);
                return None;
            };
            let entity = self.entity_term(entity, Place::Argument(id, 0), scope, names);
            let attribute = self.attribute_term(attribute, Place::Argument(id, 1), scope, names);
            let default = self.value_term(default, Place::Argument(id, 2), scope, names);
            let out = self.value_term(out, Place::Argument(id, 3), scope, names);
            return Some(Atom::GetElse {
                entity: entity?,
                attribute: attribute?,
                default: default?,
                out: out?,
            });
        }
        let function = self.function(name, args.len(), false, place);
        let n_args = args.len() as u32;
        let args = self.args(id, args, false, scope, names);
        let out = self.value_term(out, Place::Argument(id, n_args), scope, names);
        Some(Atom::Function { function: function?, args: args?, out: out? })
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
                    |near| format!("did you mean {near}?"),
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

/// A new variable of this name.
fn declare(name: &Name, scope: &mut Scope, names: &mut Names) -> Var {
    let var = Var(scope.names.len() as u32);
    scope.names.push(name.clone());
    names.insert(name.clone(), var);
    var
}

/// The variable of this name, new if it is not known here.
fn resolve(name: &Name, scope: &mut Scope, names: &mut Names) -> Var {
    match names.get(name) {
        Some(var) => *var,
        None => declare(name, scope, names),
    }
}

/// The names inside a body that shares only `join` with the outside.
fn inner_names(join: &[Name], scope: &mut Scope, names: &mut Names) -> (Vec<Var>, Names) {
    let mut inner = Names::new();
    let mut vars = Vec::new();
    for name in join {
        let var = resolve(name, scope, names);
        if inner.insert(name.clone(), var).is_none() {
            vars.push(var);
        }
    }
    (vars, inner)
}

/// The known name that is nearest to a wrong one, if it is near enough to be meant.
pub(crate) fn nearest<'n>(wrong: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = 1 + wrong.chars().count() / 4;
    known
        .map(|name| (edit_distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance, in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

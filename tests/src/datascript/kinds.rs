//! Which types of value a variable of a program may have, over given facts: what decides whether
//! DataScript and we agree on it by design.
//!
//! For each body (the query's, each rule definition's) a variable's types are the union of what its
//! sources give: the values that the facts of an attribute have, results of functions, inputs,
//! constants, the heads of called rules. It is an over-approximation, by a fixpoint over the rules.

use std::collections::BTreeMap;

use tercet_engine::answer::Output;
use tercet_engine::ids::Name;
use tercet_engine::program::raw::{Input, RawInput, RawTerm};
use tercet_engine::value::Value;

use crate::generate::program::Case;
use crate::oracle::merge::Facts;
use crate::tree::{Clause, binding_terms};

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const BOOLEAN: Kinds = Kinds(1);
    pub(super) const INT: Kinds = Kinds(2);
    pub(super) const DOUBLE: Kinds = Kinds(4);
    pub(super) const NUMBER: Kinds = Kinds(2 | 4);
    pub(super) const DATE: Kinds = Kinds(8);
    pub(super) const STRING: Kinds = Kinds(16);
    pub(super) const REF: Kinds = Kinds(32);
    pub(super) const ANY: Kinds = Kinds(63);

    pub(super) fn of(value: &Value) -> Kinds {
        match value {
            Value::Boolean(_) => Kinds::BOOLEAN,
            Value::Number(number) if number.as_i64().is_some() => Kinds::INT,
            Value::Number(_) => Kinds::DOUBLE,
            Value::Date(_) => Kinds::DATE,
            Value::String(_) => Kinds::STRING,
            Value::Ref(_) => Kinds::REF,
        }
    }

    pub(super) fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub(super) fn within(self, other: Kinds) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether all its values can be compared with each other.
    pub(super) fn is_one(self) -> bool {
        self.within(Kinds::NUMBER) || self.0.is_power_of_two()
    }
}

/// The kinds of each variable of a body.
pub(super) type Scope = BTreeMap<Name, Kinds>;

/// What is known of a case over its facts.
pub(super) struct Typing {
    /// Attribute → the kinds of its values.
    attributes: BTreeMap<String, Kinds>,
    /// The kinds of each argument of each rule.
    pub(super) heads: BTreeMap<Name, Vec<Kinds>>,
    /// The query's variables.
    pub(super) body: Scope,
    /// The variables of each rule definition.
    pub(super) rules: Vec<Scope>,
}

impl Typing {
    pub(super) fn of(case: &Case, facts: &Facts) -> Typing {
        let mut attributes = BTreeMap::<String, Kinds>::new();
        for fact in facts.keys() {
            let kinds = attributes.entry(fact.attribute.as_str().to_owned()).or_default();
            *kinds = kinds.or(Kinds::of(&fact.value));
        }
        let program = &case.program;
        let heads = program
            .rules
            .iter()
            .map(|rule| (rule.name.clone(), vec![Kinds::default(); rule.head.len()]));
        let heads = heads.collect();
        let mut typing = Typing { attributes, heads, body: Scope::new(), rules: Vec::new() };
        loop {
            typing.rules = program.rules.iter().map(|rule| typing.scope(&rule.body)).collect();
            let before = typing.heads.clone();
            for (rule, scope) in program.rules.iter().zip(&typing.rules) {
                let head = typing.heads.get_mut(&rule.name).expect("every rule has one");
                for (kinds, variable) in head.iter_mut().zip(&rule.head) {
                    *kinds = kinds.or(scope.get(variable).copied().unwrap_or_default());
                }
            }
            if typing.heads == before {
                break;
            }
        }
        typing.body = typing.scope(&program.body);
        for (shape, input) in program.frame.inputs.iter().zip(&case.inputs) {
            add_input(&mut typing.body, shape, input);
        }
        // A second pass: results of functions over inputs.
        let inputs = typing.body.clone();
        typing.body = typing.scope_from(&program.body, inputs);
        typing
    }

    fn scope(&self, body: &[Clause]) -> Scope {
        self.scope_from(body, Scope::new())
    }

    fn scope_from(&self, body: &[Clause], mut scope: Scope) -> Scope {
        loop {
            let before = scope.clone();
            self.add_body(&mut scope, body);
            if scope == before {
                return scope;
            }
        }
    }

    fn add_body(&self, scope: &mut Scope, body: &[Clause]) {
        for clause in body {
            match clause {
                Clause::Pattern { entity, attribute, value } => {
                    add(scope, entity, Kinds::REF);
                    add(scope, attribute, Kinds::STRING);
                    add(scope, value, self.values_of(attribute));
                }
                Clause::Predicate { .. } => {}
                Clause::Function { function, args, rows, binding } => {
                    let terms = binding_terms(binding);
                    let result = self.result(function.as_str(), args, scope);
                    for (index, term) in terms.iter().enumerate() {
                        let given = rows.iter().map(|row| Kinds::of(&row[index]));
                        add(scope, term, given.fold(result, Kinds::or));
                    }
                }
                Clause::Rule { rule, args } => {
                    for (kinds, arg) in self.heads[rule].iter().zip(args) {
                        add(scope, arg, *kinds);
                    }
                }
                Clause::Not { .. } | Clause::Or { .. } => {
                    clause.bodies().iter().for_each(|body| self.add_body(scope, body));
                }
            }
        }
    }

    /// The kinds of the values of a field's attribute.
    pub(super) fn values_of(&self, attribute: &RawTerm) -> Kinds {
        let text = match attribute {
            RawTerm::Keyword(name) => name.as_str(),
            RawTerm::Constant(Value::String(text)) => text,
            _ => return self.attributes.values().copied().fold(Kinds::default(), Kinds::or),
        };
        self.attributes.get(text).copied().unwrap_or_default()
    }

    fn result(&self, function: &str, args: &[RawTerm], scope: &Scope) -> Kinds {
        let of = |term: &RawTerm| kinds_of(term, scope);
        match function {
            "ground" | "identity" | "min" | "max" | "+" | "-" | "*" => {
                args.iter().map(of).fold(Kinds::default(), Kinds::or)
            }
            "get-else" => self.values_of(&args[1]).or(of(&args[2])),
            "count" => Kinds::INT,
            "str" | "subs" | "upper-case" | "lower-case" => Kinds::STRING,
            _ => Kinds::ANY,
        }
    }
}

/// The kinds of a term.
pub(super) fn kinds_of(term: &RawTerm, scope: &Scope) -> Kinds {
    match term {
        RawTerm::Variable(name) => scope.get(name).copied().unwrap_or_default(),
        RawTerm::Constant(value) => Kinds::of(value),
        RawTerm::Blank | RawTerm::Keyword(_) => Kinds::default(),
    }
}

fn add(scope: &mut Scope, term: &RawTerm, kinds: Kinds) {
    if let RawTerm::Variable(name) = term {
        let held = scope.entry(name.clone()).or_default();
        *held = held.or(kinds);
    }
}

fn add_input(scope: &mut Scope, shape: &RawInput, input: &Input) {
    let rows: Vec<&[Value]> = match input {
        Input::Scalar(value) => vec![std::slice::from_ref(value)],
        Input::Tuple(values) => vec![values],
        Input::Collection(values) => values.iter().map(std::slice::from_ref).collect(),
        Input::Relation(rows) => rows.iter().map(Vec::as_slice).collect(),
    };
    let names: Vec<Option<Name>> = match shape {
        RawInput::Scalar(name) | RawInput::Collection(name) => vec![Some(name.clone())],
        RawInput::Tuple(names) | RawInput::Relation(names) => names.clone(),
        RawInput::Rules => Vec::new(),
    };
    for row in rows {
        for (name, value) in names.iter().zip(row) {
            if let Some(name) = name {
                add(scope, &RawTerm::Variable(name.clone()), Kinds::of(value));
            }
        }
    }
}

/// A value that JavaScript has too: numbers that every function takes and gives exactly, and text
/// whose order and length are the same in UTF-8 and in UTF-16.
pub(super) fn agreed(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.to_f64().abs() <= 1_000.0,
        Value::String(text) => text.chars().all(|c| c <= '\u{d7ff}'),
        Value::Boolean(_) | Value::Date(_) | Value::Ref(_) => true,
    }
}

/// An answer without numbers that only one side can hold.
pub(super) fn is_exact(output: &Output) -> bool {
    let exact = |value: &Value| match value {
        Value::Number(number) => number.to_f64().abs() < 9e15,
        _ => true,
    };
    match output {
        Output::Value(value) => exact(value),
        Output::List(values) => values.iter().all(exact),
        Output::Tree(_) => true,
    }
}

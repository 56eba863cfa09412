//! Growing a conjunction, clause by clause, from the variables bound so far.

use tercet_engine::program::raw::{RawBinding, RawTerm};
use tercet_engine::value::Value;

use super::{ATTRIBUTES, Grower, Kind, Typed, name, variable};
use crate::tree::{Clause, Names};

/// What may appear in a conjunction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// Functions that make values which are in no fact.
    pub(super) functions: bool,
    /// How deep `not` and `or` may nest.
    pub(super) depth: usize,
}

impl Allowed {
    pub(super) const ALL: Allowed = Allowed { functions: true, depth: 2 };
    /// Inside recursion.
    pub(super) const FINITE: Allowed = Allowed { functions: false, depth: 1 };

    fn deeper(self) -> Allowed {
        Allowed { depth: self.depth - 1, ..self }
    }
}

/// Predicates of one argument, and those of a pattern and a text.
const TESTS: [&str; 15] = [
    "zero?",
    "pos?",
    "neg?",
    "even?",
    "odd?",
    "blank?",
    "number?",
    "int?",
    "string?",
    "boolean?",
    "date?",
    "ref?",
    "not",
    "re-matches?",
    "re-find?",
];

const PATTERNS: [&str; 8] = ["a", "b*", "^.$", "[ab]+", "(a|ab)(b?)", r"\w", "(?i)ä", "/(?<x>.+)"];

const UNITS: [&str; 9] =
    ["millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// What a function takes after its first argument; a pattern stands before it.
#[derive(Debug, Clone, Copy)]
enum Arg {
    Kind(Kind),
    Pattern,
    Unit,
}

/// Kind of the first argument, function, further arguments, kind of the result.
type Library = (Kind, &'static str, &'static [Arg], Kind);

const LIBRARY: &[Library] = &[
    (Kind::Int, "inc", &[], Kind::Number),
    (Kind::Int, "pow", &[Arg::Kind(Kind::Int)], Kind::Number),
    (Kind::Int, "ms->date", &[], Kind::Date),
    (Kind::Int, "compare", &[Arg::Kind(Kind::Any)], Kind::Int),
    (Kind::Number, "dec", &[], Kind::Number),
    (Kind::Number, "abs", &[], Kind::Number),
    (Kind::Number, "floor", &[], Kind::Number),
    (Kind::Number, "ceil", &[], Kind::Number),
    (Kind::Number, "round", &[], Kind::Number),
    (Kind::Number, "sqrt", &[], Kind::Number),
    (Kind::Text, "trim", &[], Kind::Text),
    (Kind::Text, "index-of", &[Arg::Kind(Kind::Text)], Kind::Int),
    (Kind::Text, "last-index-of", &[Arg::Kind(Kind::Text)], Kind::Int),
    (Kind::Text, "replace", &[Arg::Kind(Kind::Text), Arg::Kind(Kind::Text)], Kind::Text),
    (Kind::Text, "number", &[], Kind::Number),
    (Kind::Text, "ref", &[], Kind::Ref),
    (Kind::Text, "re-find", &[Arg::Pattern], Kind::Text),
    (Kind::Text, "re-group", &[Arg::Pattern, Arg::Kind(Kind::Int)], Kind::Text),
    (Kind::Text, "re-replace", &[Arg::Pattern, Arg::Kind(Kind::Text)], Kind::Text),
    (Kind::Attribute, "namespace", &[], Kind::Text),
    (Kind::Attribute, "name", &[], Kind::Text),
    (Kind::Date, "year", &[], Kind::Int),
    (Kind::Date, "day", &[], Kind::Int),
    (Kind::Date, "weekday", &[], Kind::Int),
    (Kind::Date, "day-of-year", &[], Kind::Int),
    (Kind::Date, "date->ms", &[], Kind::Number),
    (Kind::Date, "format-date", &[], Kind::Text),
    (Kind::Date, "date-add", &[Arg::Kind(Kind::Int), Arg::Unit], Kind::Date),
    (Kind::Date, "date-diff", &[Arg::Kind(Kind::Date), Arg::Unit], Kind::Int),
    (Kind::Date, "date-trunc", &[Arg::Unit], Kind::Date),
    (Kind::Ref, "id", &[], Kind::Text),
    (Kind::Any, "type", &[], Kind::Text),
    (Kind::Any, "hash", &[], Kind::Number),
    (Kind::Flag, "not", &[], Kind::Flag),
];

impl Grower<'_> {
    pub(super) fn conjunction(
        &mut self,
        scope: &mut Vec<Typed>,
        n_clauses: usize,
        allowed: Allowed,
    ) -> Vec<Clause> {
        (0..n_clauses).map(|_| self.clause(scope, allowed)).collect()
    }

    fn clause(&mut self, scope: &mut Vec<Typed>, allowed: Allowed) -> Clause {
        let clause = match self.random.below(100) {
            0..42 => None,
            42..48 => Some(self.open_pattern(scope)),
            48..60 => self.predicate(scope),
            60..67 if allowed.functions => self.function(scope),
            67..72 => self.about_field(scope),
            72..81 if allowed.depth > 0 => self.negation(scope, allowed.deeper()),
            81..88 if allowed.depth > 0 => Some(self.alternative(scope, allowed.deeper())),
            88..100 => self.call(scope),
            _ => None,
        };
        clause.unwrap_or_else(|| self.pattern(scope))
    }

    fn pattern(&mut self, scope: &mut Vec<Typed>) -> Clause {
        let (text, kind, _) = ATTRIBUTES[self.random.skewed(ATTRIBUTES.len())];
        let attribute = self.attribute_term(text);
        let entity = self.entity_term(scope);
        let value = self.value_term(scope, kind);
        Clause::Pattern { entity, attribute, value }
    }

    fn entity_term(&mut self, scope: &mut Vec<Typed>) -> RawTerm {
        let known = self.existing(scope, Kind::Ref);
        match (self.random.below(100), known) {
            (0..65, Some(known)) => variable(&known),
            (65..70, _) => RawTerm::Constant(self.constant(Kind::Ref)),
            (70..73, _) => RawTerm::Constant(Value::from("n1")),
            (73..77, _) => RawTerm::Blank,
            _ => self.new_variable(scope, Kind::Ref),
        }
    }

    fn value_term(&mut self, scope: &mut Vec<Typed>, kind: Kind) -> RawTerm {
        let known = self.existing(scope, kind);
        match (self.random.below(100), known) {
            (0..35, Some(known)) => variable(&known),
            (35..45, _) => RawTerm::Constant(self.constant(kind)),
            (45..55, _) => RawTerm::Blank,
            _ => self.new_variable(scope, kind),
        }
    }

    fn new_variable(&mut self, scope: &mut Vec<Typed>, kind: Kind) -> RawTerm {
        let fresh = self.fresh(kind);
        scope.push(fresh.clone());
        variable(&fresh)
    }

    /// A pattern whose attribute is a variable.
    fn open_pattern(&mut self, scope: &mut Vec<Typed>) -> Clause {
        let known = self.existing(scope, Kind::Attribute);
        let attribute = match known {
            Some(known) if self.random.chance(50) => variable(&known),
            _ => self.new_variable(scope, Kind::Attribute),
        };
        let entity = self.entity_term(scope);
        let kind = self.head_kind();
        let value = match self.existing(scope, kind) {
            Some(known) if self.random.chance(50) => variable(&known),
            _ => self.new_variable(scope, Kind::Any),
        };
        Clause::Pattern { entity, attribute, value }
    }

    fn predicate(&mut self, scope: &[Typed]) -> Option<Clause> {
        let subject = self.existing(scope, Kind::Any)?;
        let text = matches!(subject.1, Kind::Text | Kind::Attribute | Kind::Any);
        let function = match self.random.below(10) {
            0..3 if text => *self.random.pick(&["starts-with?", "ends-with?", "includes?"]),
            3 => return Some(self.test(&subject)),
            _ => *self.random.pick(&["<", "<=", ">", ">=", "=", "!=", "!=", "not="]),
        };
        let chains = ["<", "<=", ">", ">=", "="].contains(&function);
        let n_more = if chains { 1 + self.random.skewed(2) } else { 1 };
        let mut args = vec![variable(&subject)];
        for _ in 0..n_more {
            args.push(self.argument(scope, subject.1));
        }
        self.random.shuffle(&mut args);
        Some(Clause::Predicate { function: name(function), args })
    }

    /// A predicate of one argument, or one with a pattern.
    fn test(&mut self, subject: &Typed) -> Clause {
        let function = *self.random.pick(&TESTS);
        let mut args = vec![variable(subject)];
        if function.starts_with("re-") {
            args.insert(0, RawTerm::Constant(Value::from(*self.random.pick(&PATTERNS))));
        }
        Clause::Predicate { function: name(function), args }
    }

    /// A bound variable or constant of a kind.
    fn argument(&mut self, scope: &[Typed], kind: Kind) -> RawTerm {
        match self.existing(scope, kind) {
            Some(known) if self.random.chance(50) => variable(&known),
            _ => RawTerm::Constant(self.constant(kind)),
        }
    }

    fn function(&mut self, scope: &mut Vec<Typed>) -> Option<Clause> {
        if self.random.chance(20) {
            return Some(self.ground(scope));
        }
        let subject = self.existing(scope, Kind::Any)?;
        if self.random.chance(35) {
            return Some(self.library(scope, &subject));
        }
        let subject_term = variable(&subject);
        let more = [self.argument(scope, subject.1), self.argument(scope, Kind::Int)];
        let (function, args, result) = match subject.1 {
            Kind::Int | Kind::Number => {
                let function = *self.random.pick(&["+", "-", "*", "/", "mod", "quot", "rem"]);
                let takes_two = !["+", "-", "*"].contains(&function);
                let n_more = if takes_two { 1 } else { 1 + self.random.skewed(2) };
                let mut args = [&[subject_term], &more[..n_more]].concat();
                self.random.shuffle(&mut args);
                (function, args, Kind::Number)
            }
            Kind::Text | Kind::Attribute => match self.random.below(4) {
                0 => ("count", vec![subject_term], Kind::Int),
                1 => ("upper-case", vec![subject_term], Kind::Text),
                2 => ("lower-case", vec![subject_term], Kind::Text),
                _ => ("subs", vec![subject_term, more[1].clone()], Kind::Text),
            },
            _ if self.random.chance(30) => ("identity", vec![subject_term], subject.1),
            _ if self.random.chance(40) => {
                let function = *self.random.pick(&["min", "max"]);
                (function, vec![subject_term, more[1].clone()], Kind::Any)
            }
            _ => ("str", vec![subject_term, more[1].clone()], Kind::Text),
        };
        Some(self.bound_to(scope, function, args, result))
    }

    /// A call with its result bound to a variable, at times to one that has a value.
    fn bound_to(
        &mut self,
        scope: &mut Vec<Typed>,
        function: &str,
        args: Vec<RawTerm>,
        result: Kind,
    ) -> Clause {
        let bound = match self.existing(scope, result) {
            Some(known) if self.random.chance(15) => variable(&known),
            _ => self.new_variable(scope, result),
        };
        Clause::Function {
            function: name(function),
            args,
            rows: Vec::new(),
            binding: RawBinding::Scalar(bound),
        }
    }

    /// Any function of the library: of the subject's kind more often than not.
    fn library(&mut self, scope: &mut Vec<Typed>, subject: &Typed) -> Clause {
        let fitting = LIBRARY.iter().filter(|(kind, ..)| *kind == subject.1).collect::<Vec<_>>();
        let (_, function, more, result) = match fitting.is_empty() || self.random.chance(25) {
            true => *self.random.pick(LIBRARY),
            false => **self.random.pick(&fitting),
        };
        let mut args = vec![variable(subject)];
        for arg in more {
            let constant = match arg {
                Arg::Kind(kind) => self.argument(scope, *kind),
                Arg::Pattern => RawTerm::Constant(Value::from(*self.random.pick(&PATTERNS))),
                Arg::Unit => RawTerm::Constant(Value::from(*self.random.pick(&UNITS))),
            };
            match arg {
                Arg::Pattern => args.insert(0, constant),
                _ => args.push(constant),
            }
        }
        self.bound_to(scope, function, args, result)
    }

    fn ground(&mut self, scope: &mut Vec<Typed>) -> Clause {
        let (one, two) = (self.head_kind(), self.head_kind());
        let row = |grower: &mut Self| vec![grower.constant(one), grower.constant(two)];
        let n_rows = 1 + self.random.below(3);
        let mut args = Vec::new();
        let (rows, binding) = match self.random.below(4) {
            0 => {
                args.push(RawTerm::Constant(self.constant(one)));
                (Vec::new(), RawBinding::Scalar(self.new_variable(scope, one)))
            }
            1 => {
                let rows = (0..n_rows).map(|_| vec![self.constant(one)]).collect();
                (rows, RawBinding::Collection(self.new_variable(scope, one)))
            }
            2 => {
                let rows = vec![row(self)];
                (rows, RawBinding::Tuple(vec![self.new_variable(scope, one), RawTerm::Blank]))
            }
            _ => {
                let rows = (0..n_rows).map(|_| row(self)).collect();
                let terms = vec![self.new_variable(scope, one), self.new_variable(scope, two)];
                (rows, RawBinding::Relation(terms))
            }
        };
        Clause::Function { function: name("ground"), args, rows, binding }
    }

    /// `missing?` or `get-else` of an entity in scope.
    fn about_field(&mut self, scope: &mut Vec<Typed>) -> Option<Clause> {
        let subject = self.existing(scope, Kind::Ref)?;
        let (text, kind, _) = *self.random.pick(&ATTRIBUTES);
        let mut args = vec![variable(&subject), self.attribute_term(text)];
        if self.random.chance(50) {
            return Some(Clause::Predicate { function: name("missing?"), args });
        }
        args.push(RawTerm::Constant(self.constant(kind)));
        let binding = RawBinding::Scalar(self.new_variable(scope, kind));
        Some(Clause::Function { function: name("get-else"), args, rows: Vec::new(), binding })
    }

    /// `not` or `not-join` of a conjunction that shares a variable with the scope.
    fn negation(&mut self, scope: &[Typed], allowed: Allowed) -> Option<Clause> {
        let subject = self.existing(scope, Kind::Any)?;
        let mut inner = scope.to_vec();
        let mut body = self.bind_all(std::slice::from_ref(&subject));
        if self.random.chance(50) {
            // Something other than the plain presence of the subject.
            body = self.conjunction(&mut inner, 1, allowed);
        }
        let n_more = self.random.skewed(2);
        body.extend(self.conjunction(&mut inner, n_more, allowed));
        let used: Names = body.iter().flat_map(Clause::variables).collect();
        let shared = scope.iter().map(|(name, _)| name).filter(|name| used.contains(*name));
        let shared = shared.cloned().collect::<Names>().into_iter().collect::<Vec<_>>();
        if shared.is_empty() {
            return None;
        }
        self.random.shuffle(&mut body);
        let join = self.random.chance(30).then_some(shared);
        Some(Clause::Not { join, body })
    }

    /// `or` or `or-join` about a variable in scope, a new one, or both.
    fn alternative(&mut self, scope: &mut Vec<Typed>, allowed: Allowed) -> Clause {
        let known = self.existing(scope, Kind::Any);
        let known = known.filter(|_| self.random.chance(80));
        let mut shared = Vec::from_iter(known.clone());
        if known.is_none() || self.random.chance(60) {
            // Without a variable of its own, a plain branch can tie two variables only by a fact.
            let kind = match &known {
                Some((_, Kind::Ref)) | None => self.head_kind(),
                Some(_) => Kind::Ref,
            };
            shared.push(self.fresh(kind));
        }
        let is_join = self.random.chance(40);
        let n_branches = 1 + self.random.below(3);
        let branches = (0..n_branches).map(|_| self.branch(&shared, is_join, allowed)).collect();
        let names = shared.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let required = match known {
            Some((name, _)) if is_join && self.random.chance(30) => vec![name],
            _ => Vec::new(),
        };
        scope.extend(shared.into_iter().filter(|typed| !scope.contains(typed)).collect::<Vec<_>>());
        Clause::Or { join: is_join.then_some(names), required, branches }
    }

    fn branch(&mut self, shared: &[Typed], is_join: bool, allowed: Allowed) -> Vec<Clause> {
        let mut body = self.bind_all(shared);
        if self.random.chance(30) {
            body.extend(self.predicate(shared));
        }
        if is_join && self.random.chance(40) {
            let mut inner = shared.to_vec();
            body.extend(self.conjunction(&mut inner, 1, allowed));
        }
        self.random.shuffle(&mut body);
        body
    }

    /// Patterns that bind all of some variables; of one or two variables with an entity among
    /// them, without any other variable.
    pub(super) fn bind_all(&mut self, wanted: &[Typed]) -> Vec<Clause> {
        let entities = wanted.iter().filter(|(_, kind)| *kind == Kind::Ref).cloned();
        let entities = entities.collect::<Vec<_>>();
        let Some(entity) = entities.first() else {
            let entity =
                if wanted.len() > 1 { variable(&self.fresh(Kind::Ref)) } else { RawTerm::Blank };
            return wanted.iter().map(|typed| self.field_pattern(entity.clone(), typed)).collect();
        };
        let others = wanted.iter().filter(|typed| *typed != entity).collect::<Vec<_>>();
        if others.is_empty() {
            return vec![self.presence(entity)];
        }
        others.into_iter().map(|typed| self.field_pattern(variable(entity), typed)).collect()
    }

    fn field_pattern(&mut self, entity: RawTerm, value: &Typed) -> Clause {
        let attribute = match value.1 {
            Kind::Any | Kind::Attribute => RawTerm::Blank,
            kind => self.attribute_of(kind),
        };
        match value.1 {
            Kind::Attribute => {
                Clause::Pattern { entity, attribute: variable(value), value: RawTerm::Blank }
            }
            _ => Clause::Pattern { entity, attribute, value: variable(value) },
        }
    }

    fn presence(&mut self, entity: &Typed) -> Clause {
        let kind = self.head_kind();
        match self.random.chance(70) {
            true => Clause::Pattern {
                entity: variable(entity),
                attribute: self.attribute_of(kind),
                value: RawTerm::Blank,
            },
            false => Clause::Pattern {
                entity: RawTerm::Blank,
                attribute: self.attribute_of(Kind::Ref),
                value: variable(entity),
            },
        }
    }

    fn call(&mut self, scope: &mut Vec<Typed>) -> Option<Clause> {
        if self.heads.is_empty() {
            return None;
        }
        let head = self.random.pick(&self.heads).clone();
        let mut args = Vec::new();
        for (index, kind) in head.kinds.iter().enumerate() {
            let known = self.existing(scope, *kind);
            let term = match (self.random.below(100), known) {
                (0..60, Some(known)) => variable(&known),
                (60..70, _) => RawTerm::Constant(self.given(*kind)),
                (_, Some(known)) if index < head.n_required => variable(&known),
                (_, None) if index < head.n_required => RawTerm::Constant(self.constant(*kind)),
                (70..76, _) => RawTerm::Blank,
                _ => self.new_variable(scope, *kind),
            };
            args.push(term);
        }
        Some(Clause::Rule { rule: head.name, args })
    }
}

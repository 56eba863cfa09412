//! Random programs that are valid by construction and mostly have an answer.
//!
//! A program grows rule by rule over the rules before it, so negation and aggregation are always
//! of something lower; recursion comes in stated forms (`rules`), functions that make new values
//! stay out of it. A rule or query that gives nothing is kept in 30 of 100 cases only. Variables
//! carry the kind of value they stand for, so that most joins and calls make sense, and every
//! variable is named once, so none is shared by accident. Clauses are shuffled at the end.
//! Source of the method: Deopt and queryFuzz, arXiv 2402.12863 and ESEC/FSE 2021.

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{Input, RawInput, RawProgram, RawTerm};
use tercet_engine::value::Value;

use super::vocabulary::{self, ATTRIBUTES, Kind};
use crate::oracle::eval::answer;
use crate::oracle::merge::Facts;
use crate::random::Random;
use crate::tree::{Clause, Program, Rule};

mod clauses;
mod find;
mod rules;

/// A program with arguments for its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The program.
    pub program: Program,
    /// One argument for each input.
    pub inputs: Vec<Input>,
}

/// A random program for a database.
pub fn case(random: &mut Random, facts: &Facts) -> Case {
    loop {
        let mut grower = Grower { random, facts, rules: Vec::new(), heads: Vec::new(), n_names: 0 };
        for _ in 0..grower.random.skewed(5) {
            grower.add_rules();
        }
        let case = grower.query();
        let keep_empty = grower.random.chance(30);
        match answer(&case.program, facts, &case.inputs) {
            Ok(rows) if keep_empty || !rows.is_empty() => return case,
            _ => {}
        }
    }
}

/// A variable and what it stands for.
type Typed = (Name, Kind);

/// What a caller has to know of a rule.
#[derive(Debug, Clone)]
struct Head {
    name: Name,
    kinds: Vec<Kind>,
    n_required: usize,
}

struct Grower<'a> {
    random: &'a mut Random,
    facts: &'a Facts,
    rules: Vec<Rule>,
    heads: Vec<Head>,
    n_names: usize,
}

/// A name written in the generator itself.
fn name(text: &str) -> Name {
    Name::new(text).expect("short and printable")
}

fn variable((name, _): &Typed) -> RawTerm {
    RawTerm::Variable(name.clone())
}

impl Grower<'_> {
    fn fresh(&mut self, kind: Kind) -> Typed {
        self.n_names += 1;
        (name(&format!("v{}", self.n_names)), kind)
    }

    /// A variable in scope of a kind; now and then of any kind at all.
    fn existing(&mut self, scope: &[Typed], kind: Kind) -> Option<Typed> {
        let loose = kind == Kind::Any || self.random.chance(3);
        let fits = |typed: &&Typed| typed.1 == kind || loose;
        let fitting = scope.iter().filter(fits).cloned().collect::<Vec<_>>();
        (!fitting.is_empty()).then(|| self.random.pick(&fitting).clone())
    }

    /// A constant that the database holds, or one that it may hold.
    fn constant(&mut self, kind: Kind) -> Value {
        vocabulary::value(self.random, kind)
    }

    /// A value for an input or a rule: an entity now and then by its id as a string, which works
    /// where it stands in entity position.
    fn given(&mut self, kind: Kind) -> Value {
        match self.constant(kind) {
            Value::Ref(entity) if self.random.chance(30) => Value::from(entity.as_str()),
            value => value,
        }
    }

    fn head_kind(&mut self) -> Kind {
        *self.random.pick(&[Kind::Ref, Kind::Ref, Kind::Ref, Kind::Int, Kind::Number, Kind::Text])
    }

    /// An attribute that holds values of a kind.
    fn attribute_of(&mut self, kind: Kind) -> RawTerm {
        let fitting = ATTRIBUTES.iter().filter(|(_, holds, _)| *holds == kind);
        let texts = fitting.map(|(text, ..)| *text).collect::<Vec<_>>();
        let text = if texts.is_empty() { "n/any" } else { *self.random.pick(&texts) };
        self.attribute_term(text)
    }

    fn attribute_term(&mut self, text: &str) -> RawTerm {
        match self.random.chance(80) {
            true => RawTerm::Keyword(name(text)),
            false => RawTerm::Constant(Value::from(text)),
        }
    }

    fn query(&mut self) -> Case {
        let (mut frame, mut scope, mut inputs) = (RawProgram::default(), Vec::new(), Vec::new());
        while self.random.chance(20) {
            self.add_input(&mut frame, &mut scope, &mut inputs);
        }
        let n_clauses = 1 + self.random.below(4);
        let mut body = self.conjunction(&mut scope, n_clauses, clauses::Allowed::ALL);
        if scope.is_empty() {
            let anything = self.fresh(Kind::Ref);
            body.extend(self.bind_all(std::slice::from_ref(&anything)));
            scope.push(anything);
        }
        self.random.shuffle(&mut body);
        self.find(&mut frame, &scope);
        Case { program: Program { frame, body, rules: self.rules.clone() }, inputs }
    }

    fn add_input(
        &mut self,
        frame: &mut RawProgram,
        scope: &mut Vec<Typed>,
        inputs: &mut Vec<Input>,
    ) {
        let first = (self.head_kind(), self.head_kind());
        let (a, b) = (self.fresh(first.0), self.fresh(first.1));
        let n_rows = self.random.below(4);
        let (shape, input) = match self.random.below(4) {
            0 => (RawInput::Scalar(a.0.clone()), Input::Scalar(self.given(a.1))),
            1 => {
                let values = (0..n_rows).map(|_| self.given(a.1)).collect();
                (RawInput::Collection(a.0.clone()), Input::Collection(values))
            }
            2 => {
                let values = vec![self.given(a.1), self.given(b.1)];
                (RawInput::Tuple(vec![Some(a.0.clone()), None]), Input::Tuple(values))
            }
            _ => {
                let row = |grower: &mut Self| vec![grower.given(a.1), grower.given(b.1)];
                let rows = (0..n_rows).map(|_| row(self)).collect();
                scope.push(b.clone());
                (RawInput::Relation(vec![Some(a.0.clone()), Some(b.0)]), Input::Relation(rows))
            }
        };
        scope.push(a);
        frame.inputs.push(shape);
        inputs.push(input);
    }
}

/// Clauses in any order, those inside `not` and `or` included.
pub(super) fn shuffle_all(random: &mut Random, body: &mut [Clause]) {
    random.shuffle(body);
    for clause in body {
        for inner in clause.bodies_mut() {
            shuffle_all(random, inner);
        }
    }
}

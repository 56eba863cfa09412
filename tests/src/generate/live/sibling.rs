//! The same question about something else: one shape, other constants and other arguments, at
//! times with its clauses in another order or its variables under other names.

use tercet_engine::ids::EntityId;
use tercet_engine::program::raw::{Input, RawTerm};
use tercet_engine::value::Value;

use crate::generate::program::Case;
use crate::generate::variants::variants;
use crate::generate::vocabulary::{self, Kind};
use crate::oracle::merge::Facts;
use crate::random::Random;
use crate::subject::prepare;
use crate::tree::Clause;

/// A case that differs from another one in its values only; now and then in none.
pub(super) fn sibling(random: &mut Random, case: &Case, facts: &Facts) -> Case {
    let mut sibling = case.clone();
    if random.chance(25) {
        // The same, written otherwise: it may or may not be told from the other one.
        let mut variants = variants(random, case);
        (_, sibling) = variants.swap_remove(random.below(variants.len()));
    }
    if random.chance(10) {
        return sibling;
    }
    let original = sibling.program.clone();
    let known = facts.keys().map(|fact| &fact.value).collect::<Vec<_>>();
    let mut values = Values { random, known };
    values.body(&mut sibling.program.body);
    for rule in &mut sibling.program.rules {
        values.body(&mut rule.body);
    }
    for input in &mut sibling.inputs {
        values.input(input);
    }
    if sibling.program.frame.limit.is_some() && values.random.chance(25) {
        sibling.program.frame.limit = Some(1 + values.random.below(5) as u64);
    }
    match prepare(&sibling.program) {
        Ok(_) => sibling,
        // Some constants mean something to the checks, such as units of time.
        Err(_) => Case { program: original, inputs: sibling.inputs },
    }
}

struct Values<'a> {
    random: &'a mut Random,
    known: Vec<&'a Value>,
}

impl Values<'_> {
    fn body(&mut self, body: &mut [Clause]) {
        for clause in body {
            match clause {
                Clause::Pattern { entity, value, .. } => {
                    self.term(entity);
                    self.term(value);
                }
                Clause::Rule { args, .. } => args.iter_mut().for_each(|arg| self.term(arg)),
                Clause::Predicate { function, args }
                    if ["<", "<=", ">", ">=", "=", "!=", "not="].contains(&function.as_str()) =>
                {
                    args.iter_mut().for_each(|arg| self.term(arg));
                }
                Clause::Function { function, args, rows, .. } => match function.as_str() {
                    "get-else" => self.term(&mut args[2]),
                    "ground" => {
                        args.iter_mut().for_each(|arg| self.term(arg));
                        rows.iter_mut().flatten().for_each(|value| self.value(value));
                    }
                    _ => {}
                },
                _ => {}
            }
            for inner in clause.bodies_mut() {
                self.body(inner);
            }
        }
    }

    fn term(&mut self, term: &mut RawTerm) {
        if let RawTerm::Constant(value) = term {
            self.value(value);
        }
    }

    /// Another value of the same type, more often than not.
    fn value(&mut self, value: &mut Value) {
        if self.random.chance(30) {
            return;
        }
        let alike =
            |other: &&&Value| std::mem::discriminant(**other) == std::mem::discriminant(value);
        let known = self.known.iter().filter(alike).copied().collect::<Vec<_>>();
        *value = match value {
            // A string may be an entity's id.
            Value::String(text) if text.starts_with('n') && EntityId::new(text.clone()).is_ok() => {
                Value::from(vocabulary::entity(self.random).as_str())
            }
            _ if !known.is_empty() && self.random.chance(60) => (*self.random.pick(&known)).clone(),
            Value::Number(_) => vocabulary::value(self.random, Kind::Int),
            Value::String(_) => vocabulary::value(self.random, Kind::Text),
            Value::Boolean(_) => vocabulary::value(self.random, Kind::Flag),
            Value::Date(_) => vocabulary::value(self.random, Kind::Date),
            Value::Ref(_) => vocabulary::value(self.random, Kind::Ref),
        };
    }

    fn input(&mut self, input: &mut Input) {
        match input {
            Input::Scalar(value) => self.value(value),
            Input::Tuple(values) => values.iter_mut().for_each(|value| self.value(value)),
            Input::Collection(values) => {
                resize(self.random, values);
                values.iter_mut().for_each(|value| self.value(value));
            }
            Input::Relation(rows) => {
                resize(self.random, rows);
                rows.iter_mut().flatten().for_each(|value| self.value(value));
            }
        }
    }
}

/// One row fewer or one more, which is like another one at first.
fn resize<Row: Clone>(random: &mut Random, rows: &mut Vec<Row>) {
    match (random.below(3), rows.is_empty()) {
        (0, false) => drop(rows.swap_remove(random.below(rows.len()))),
        (1, false) => rows.push(rows[random.below(rows.len())].clone()),
        _ => {}
    }
}

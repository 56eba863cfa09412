//! Forms into a program: what the language means, for text, JSON and builder alike.
//!
//! Sections are translated in one fixed order (find, body, rules, having, …), whatever order
//! they are written in, and children before parents: so equal queries become equal programs,
//! arena indices included, and printing and parsing are inverse. Each part that fails reports
//! its problems and is left out; the rest is translated all the same. Whether variables are
//! bound, functions known and rules safe is the engine's to check.

mod clause;
mod find;
mod pull;
mod section;
mod term;

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{Place, RawInput, RawProgram};
use tercet_engine::value::Value;

use crate::form::{Form, Kind, Span};
use crate::parsed::Spans;
use crate::problem::{Problem, Problems};
use section::Sections;

/// The outcome: to be used only if there are no problems.
pub(crate) struct Translation {
    pub(crate) program: RawProgram,
    pub(crate) spans: Spans,
    pub(crate) problems: Problems,
}

/// Translates a query, and the rules given apart if there are any.
pub(crate) fn translate(query: &Form, rules: Option<&[Form]>, problems: Problems) -> Translation {
    let mut translator = Translator {
        program: RawProgram::default(),
        spans: Spans::default(),
        problems,
        is_full: false,
        is_find_whole: true,
    };
    translator.query(query, rules);
    let Translator { program, spans, problems, .. } = translator;
    Translation { program, spans, problems }
}

struct Translator {
    program: RawProgram,
    spans: Spans,
    problems: Problems,
    /// The limit on clauses has been met and reported.
    is_full: bool,
    /// All elements of `:find` were understood, so a reference to none of them is an error.
    is_find_whole: bool,
}

impl Translator {
    fn query(&mut self, form: &Form, rules: Option<&[Form]>) {
        self.place(Place::Query, form.span);
        let Some(sections) = Sections::of(form, &mut self.problems) else {
            return;
        };
        self.find(&sections, form.span);
        self.keys(&sections);
        self.with(&sections);
        self.inputs(&sections);
        if let Some(section) = &sections.where_ {
            self.program.body = self.body(section.items);
        }
        if let Some(definitions) = self.single(sections.rules.as_ref(), "a vector of rules") {
            self.rules(std::slice::from_ref(definitions));
        }
        if let Some(definitions) = rules {
            self.rules_apart(definitions, form.span);
        }
        self.having(&sections);
        self.order_by(&sections);
        self.window(&sections);
    }

    fn rules_apart(&mut self, definitions: &[Form], query: Span) {
        if !self.program.inputs.contains(&RawInput::Rules) && self.problems.is_empty() {
            let problem = Problem::new("query_rules_unused", "rules are given, but not asked for");
            self.error(query, problem.hint("add `%` to `:in`, e.g. `:in %`"));
        }
        self.rules(definitions);
    }

    fn with(&mut self, sections: &Sections<'_>) {
        let Some(section) = &sections.with else {
            return;
        };
        for form in section.items {
            if let Some(name) = self.variable(form) {
                self.place(Place::With(self.program.with.len() as u32), form.span);
                self.program.with.push(name);
            }
        }
    }

    fn inputs(&mut self, sections: &Sections<'_>) {
        let Some(section) = &sections.in_ else {
            return;
        };
        for form in section.items.iter().filter(|form| !form.is_symbol("$")) {
            let Some(input) = self.input(form) else {
                continue;
            };
            if input == RawInput::Rules && self.program.inputs.contains(&RawInput::Rules) {
                self.error(form.span, Problem::new("query_in", "`%` is given twice"));
                continue;
            }
            self.place(Place::Input(self.program.inputs.len() as u32), form.span);
            self.program.inputs.push(input);
        }
    }

    fn input(&mut self, form: &Form) -> Option<RawInput> {
        match &form.kind {
            Kind::Symbol(text) if &**text == "%" => Some(RawInput::Rules),
            Kind::Symbol(text) if text.starts_with('$') => self.named_source(form),
            Kind::Symbol(text) if text.starts_with('?') => {
                self.variable(form).map(RawInput::Scalar)
            }
            Kind::Vector(items) => match items.as_slice() {
                [item, dots] if dots.is_symbol("...") => {
                    self.variable(item).map(RawInput::Collection)
                }
                [Form { kind: Kind::Vector(row), span }] => {
                    self.slots(row, *span).map(RawInput::Relation)
                }
                _ => self.slots(items, form.span).map(RawInput::Tuple),
            },
            _ => {
                let problem = self.unexpected(form, "query_in", "an input");
                self.refuse(form, problem.hint("write ?x, [?x ?y], [?x ...], [[?x ?y]] or %"))
            }
        }
    }

    /// The variables of a tuple, `None` for `_`.
    fn slots(&mut self, items: &[Form], span: Span) -> Option<Vec<Option<Name>>> {
        if items.is_empty() {
            self.error(span, Problem::new("query_in", "an input of no variables"));
            return None;
        }
        let slot = |form: &Form| {
            if form.is_symbol("_") { Some(None) } else { self.variable(form).map(Some) }
        };
        all(items.iter().map(slot))
    }

    fn window(&mut self, sections: &Sections<'_>) {
        let limit = self.single(sections.limit.as_ref(), "a number");
        self.program.limit = limit.and_then(|form| self.count(form, "query_limit"));
        let offset = self.single(sections.offset.as_ref(), "a number");
        self.program.offset =
            offset.and_then(|form| self.count(form, "query_limit")).unwrap_or_default();
        let Some(after) = self.single(sections.after.as_ref(), "a vector of values") else {
            return;
        };
        self.place(Place::After, after.span);
        let Kind::Vector(items) = &after.kind else {
            let problem = self.unexpected(after, "query_after", "a vector of values");
            let hint = "one value for each key of `:order-by`: `:after [\"Ann\" 5]`";
            return self.complain(after, problem.hint(hint));
        };
        if items.is_empty() {
            let problem = Problem::new("query_after", "`:after` names no key");
            return self.error(after.span, problem.hint("leave it out for the first page"));
        }
        let values = all(items.iter().map(|item| self.constant(item, "query_after")));
        self.program.after = values.unwrap_or_default();
    }

    /// A number of things, not negative.
    fn count(&mut self, form: &Form, code: &'static str) -> Option<u64> {
        let number = match &form.kind {
            Kind::Value(Value::Number(number)) => number.as_i64(),
            _ => None,
        };
        match number.and_then(|number| u64::try_from(number).ok()) {
            Some(count) => Some(count),
            None => {
                let problem = self.unexpected(form, code, "a whole number, not negative");
                self.refuse(form, problem)
            }
        }
    }

    fn place(&mut self, place: Place, span: Span) {
        self.spans.0.insert(place, span);
    }

    fn error(&mut self, span: Span, problem: Problem) {
        self.problems.push(span, problem);
    }

    /// "expected …, found …".
    fn unexpected(&self, form: &Form, code: &'static str, expected: &str) -> Problem {
        Problem::new(code, format!("expected {expected}, found {}", form.brief()))
    }

    /// Reports the problem with a form, unless the form has been reported already.
    fn complain(&mut self, form: &Form, problem: Problem) {
        match &form.kind {
            Kind::Poison => {}
            Kind::Refused(own) => self.error(form.span, (**own).clone()),
            _ => self.error(form.span, problem),
        }
    }

    /// The same where something was to be made of the form.
    fn refuse<T>(&mut self, form: &Form, problem: Problem) -> Option<T> {
        self.complain(form, problem);
        None
    }
}

/// All of them or none, but every one is made, so that each reports its problems.
fn all<T>(parts: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut whole = Some(Vec::new());
    for part in parts {
        match (part, &mut whole) {
            (Some(part), Some(parts)) => parts.push(part),
            _ => whole = None,
        }
    }
    whole
}

//! Clauses and rules.
//!
//! A vector is a pattern, a predicate or a function; a list is a clause of the language or a
//! rule call. `and` leaves no trace: its clauses join the conjunction around it.

use tercet_engine::ids::Name;
use tercet_engine::program::raw::{ClauseId, Place, RawBinding, RawClause, RawRule, RawTerm};
use tercet_engine::value::Value;

use super::{Translator, all};
use crate::form::{Form, Kind, Span};
use crate::problem::Problem;
use crate::syntax::{attribute_argument, is_clause_word, is_function_word};

/// A call without its `$`.
struct Call {
    function: Name,
    args: Vec<RawTerm>,
    spans: Vec<Span>,
    rows: Vec<Vec<Value>>,
}

impl Translator {
    /// A conjunction.
    pub(super) fn body(&mut self, forms: &[Form]) -> Vec<ClauseId> {
        let mut ids = Vec::with_capacity(forms.len());
        for form in forms {
            self.clause(form, &mut ids);
        }
        ids
    }

    fn clause(&mut self, form: &Form, ids: &mut Vec<ClauseId>) {
        if self.is_full {
            return;
        }
        match &form.kind {
            Kind::Vector(items) => ids.extend(self.vector_clause(form, without_source(items))),
            Kind::List(items) => {
                let items = without_source(items);
                match items.first().and_then(Form::as_symbol) {
                    Some("and") => ids.extend(self.non_empty_body(form, &items[1..])),
                    Some("not") => ids.extend(self.not(form, None, &items[1..])),
                    Some("not-join") => ids.extend(self.not_join(form, &items[1..])),
                    Some("or") => ids.extend(self.or(form, None, &items[1..])),
                    Some("or-join") => ids.extend(self.or_join(form, &items[1..])),
                    _ => ids.extend(self.rule_call(form, items)),
                }
            }
            _ => {
                let problem = self.unexpected(form, "query_clause", "a clause");
                let hint = "e.g. `[?e :user/name ?name]`, `[(< ?age 30)]`, `(not …)`, `(rule ?x)`";
                self.complain(form, problem.hint(hint));
            }
        }
    }

    fn vector_clause(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        match items.first().map(|first| &first.kind) {
            Some(Kind::List(call)) => self.call_clause(form, call, items),
            Some(Kind::Vector(_) | Kind::Map(_)) => {
                let problem = self.unexpected(form, "query_clause", "a clause");
                self.refuse(
                    form,
                    problem.hint(
                        "clauses follow `:where` one by one, without a vector around them; \
                     an entity is a variable or an id",
                    ),
                )
            }
            _ => self.pattern(form, items),
        }
    }

    fn pattern(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        let (entity, attribute, value) = match items {
            [entity, attribute] => (entity, attribute, None),
            [entity, attribute, value] => (entity, attribute, Some(value)),
            _ => return self.pattern_arity(form, items),
        };
        let terms = (
            self.term(entity),
            self.attribute_term(attribute),
            value.map_or(Some(RawTerm::Blank), |value| self.term(value)),
        );
        let spans = [Some(entity), Some(attribute), value];
        let clause = RawClause::Pattern { entity: terms.0?, attribute: terms.1?, value: terms.2? };
        self.add(form, clause, spans.into_iter().flatten().map(|form| form.span))
    }

    fn pattern_arity(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        // What could not be read may be what makes it too long or too short.
        if items.iter().any(|item| matches!(item.kind, Kind::Poison)) {
            return None;
        }
        let n_items = items.len();
        let message = match n_items {
            0 => "an empty clause".to_owned(),
            1 => "a pattern of one position says nothing".to_owned(),
            n_items => format!("a pattern has at most 3 positions, this one has {n_items}"),
        };
        let hint = match n_items {
            0 | 1 => "write `[?e :user/name ?name]`, or `[?e :user/name]` for any value",
            4 | 5 => "there is no transaction position: a fact is entity, attribute, value",
            _ => "one pattern matches one fact: entity, attribute, value",
        };
        self.error(form.span, Problem::new("query_pattern", message).hint(hint));
        None
    }

    /// `[(f args…)]` or `[(f args…) binding]`.
    fn call_clause(&mut self, form: &Form, call: &[Form], items: &[Form]) -> Option<ClauseId> {
        let binding = match items {
            [_] => None,
            [_, binding] => Some(binding),
            _ => {
                let message = format!("a call has one binding, found {}", items.len() - 1);
                let problem = Problem::new("query_binding", message);
                self.error(items[2].span, problem.hint("bind several values as `[?x ?y]`"));
                return None;
            }
        };
        let binding = match binding {
            Some(binding) => Some(self.binding(binding)?),
            None => None,
        };
        let call = self.call(&items[0], call, binding.as_ref())?;
        let Call { function, args, spans, rows } = call;
        let clause = match binding {
            Some(binding) => RawClause::Function { function, args, rows, binding },
            None => RawClause::Predicate { function, args },
        };
        self.add(form, clause, spans.into_iter())
    }

    fn call(&mut self, form: &Form, items: &[Form], binding: Option<&RawBinding>) -> Option<Call> {
        let Some((head, args)) = items.split_first() else {
            let problem = Problem::new("query_call", "a call needs the name of a function");
            self.error(form.span, problem.hint("e.g. `[(< ?age 30)]`"));
            return None;
        };
        let function = self.symbol(head, "query_call", "the name of a function");
        // `not` of one term is the function, of anything else a clause in the wrong place.
        let is_negation = head.is_symbol("not") && matches!(args, [only] if is_term(only));
        let clause_word = function.as_ref().filter(|name| is_clause_word(name.as_str()));
        if let Some(function) = clause_word.filter(|_| !is_negation) {
            let problem = Problem::new("query_call", format!("`{function}` is no function"));
            self.error(head.span, problem.hint(format!("write `({function} …)`, without `[ ]`")));
            return None;
        }
        let args = without_source(args);
        if let (Some("ground"), Some(binding), [collection]) =
            (function.as_ref().map(Name::as_str), binding, args)
            && let Kind::Vector(items) | Kind::Set(items) = &collection.kind
        {
            let rows = self.ground_rows(collection, items, binding)?;
            let spans = vec![collection.span];
            return Some(Call { function: function?, args: Vec::new(), spans, rows });
        }
        let attribute = function.as_ref().and_then(|name| attribute_argument(name.as_str()));
        let terms = all(args.iter().enumerate().map(|(index, arg)| {
            if Some(index) == attribute { self.attribute_term(arg) } else { self.term(arg) }
        }));
        let spans = args.iter().map(|arg| arg.span).collect();
        Some(Call { function: function?, args: terms?, spans, rows: Vec::new() })
    }

    /// The constant collection of `ground`, as rows that fit its binding.
    fn ground_rows(
        &mut self,
        form: &Form,
        items: &[Form],
        binding: &RawBinding,
    ) -> Option<Vec<Vec<Value>>> {
        match binding {
            RawBinding::Scalar(_) => {
                let problem = Problem::new("query_ground", "a collection bound to one variable");
                let hint = "bind each of its values with `[?x ...]`, all of them with `[?x ?y]`";
                self.error(form.span, problem.hint(hint));
                None
            }
            RawBinding::Collection(_) => all(items
                .iter()
                .map(|item| self.constant(item, "query_ground").map(|value| vec![value]))),
            RawBinding::Tuple(terms) => {
                self.ground_row(form.span, items, terms.len()).map(|row| vec![row])
            }
            RawBinding::Relation(terms) => all(items.iter().map(|item| match &item.kind {
                Kind::Vector(row) => self.ground_row(item.span, row, terms.len()),
                _ => {
                    let problem = self.unexpected(item, "query_ground", "a row");
                    self.refuse(item, problem.hint("a relation is a vector of vectors"))
                }
            })),
        }
    }

    fn ground_row(&mut self, span: Span, items: &[Form], n_terms: usize) -> Option<Vec<Value>> {
        if items.len() != n_terms {
            let message = format!("a row of {} for a binding of {n_terms}", items.len());
            self.error(span, Problem::new("query_ground", message));
            return None;
        }
        all(items.iter().map(|item| self.constant(item, "query_ground")))
    }

    fn binding(&mut self, form: &Form) -> Option<RawBinding> {
        let Kind::Vector(items) = &form.kind else {
            return self.slot(form).map(RawBinding::Scalar);
        };
        match items.as_slice() {
            [item, dots] if dots.is_symbol("...") => self.slot(item).map(RawBinding::Collection),
            [Form { kind: Kind::Vector(row), span }] => {
                self.binding_row(row, *span).map(RawBinding::Relation)
            }
            items => self.binding_row(items, form.span).map(RawBinding::Tuple),
        }
    }

    fn binding_row(&mut self, items: &[Form], span: Span) -> Option<Vec<RawTerm>> {
        if items.is_empty() {
            self.error(span, Problem::new("query_binding", "a binding of no variables"));
            return None;
        }
        all(items.iter().map(|item| self.slot(item)))
    }

    /// A variable or `_`.
    fn slot(&mut self, form: &Form) -> Option<RawTerm> {
        match form.as_symbol() {
            Some("_") => Some(RawTerm::Blank),
            Some(text) if text.starts_with('?') => self.variable(form).map(RawTerm::Variable),
            _ => {
                let problem = self.unexpected(form, "query_binding", "a variable to bind");
                let hint = "bind ?x, [?x ?y], [?x ...] or [[?x ?y]]; compare with `[(= ?x 5)]`";
                self.refuse(form, problem.hint(hint))
            }
        }
    }

    fn rule_call(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        let Some((head, args)) = items.split_first() else {
            self.error(form.span, Problem::new("query_clause", "an empty clause"));
            return None;
        };
        if let Some(word) = head.as_symbol().filter(|word| is_function_word(word)) {
            let problem = Problem::new("query_clause", format!("`{word}` is no rule"));
            let hint = format!("a predicate stands in a vector: `[{}]`", brief_call(form));
            self.error(form.span, problem.hint(hint));
            return None;
        }
        let rule = self.symbol(head, "query_clause", "the name of a rule");
        let terms = all(args.iter().map(|arg| self.term(arg)));
        let clause = RawClause::Rule { rule: rule?, args: terms? };
        self.add(form, clause, args.iter().map(|arg| arg.span))
    }

    fn not(&mut self, form: &Form, join: Option<Vec<Name>>, items: &[Form]) -> Option<ClauseId> {
        let body = self.non_empty_body(form, items);
        if body.is_empty() {
            return None;
        }
        self.add(form, RawClause::Not { join, body }, std::iter::empty())
    }

    fn not_join(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        let (variables, clauses) = self.join_head(form, items, "not-join")?;
        let join = all(variables.iter().map(|variable| self.variable(variable)));
        self.not(form, join, clauses)
    }

    fn or_join(&mut self, form: &Form, items: &[Form]) -> Option<ClauseId> {
        let (variables, branches) = self.join_head(form, items, "or-join")?;
        let join = self.required_and_free(variables);
        self.or(form, join, branches)
    }

    /// The vector of variables that a join starts with, and what follows it.
    fn join_head<'f>(
        &mut self,
        form: &Form,
        items: &'f [Form],
        word: &str,
    ) -> Option<(&'f [Form], &'f [Form])> {
        match items {
            [Form { kind: Kind::Vector(variables), .. }, rest @ ..]
                if !variables.first().is_some_and(|first| matches!(first.kind, Kind::List(_))) =>
            {
                Some((variables, rest))
            }
            _ => {
                let problem = Problem::new("query_join", format!("`{word}` needs its variables"));
                self.error(form.span, problem.hint(format!("e.g. `({word} [?x] …)`")));
                None
            }
        }
    }

    /// `[?required] ?x ?y`, taken apart; the names required come first.
    fn required_and_free(&mut self, items: &[Form]) -> Option<(Vec<Name>, Vec<Name>)> {
        let (required, free) = match items {
            [Form { kind: Kind::Vector(required), .. }, free @ ..] => (required.as_slice(), free),
            free => (&[][..], free),
        };
        let required = all(required.iter().map(|form| self.variable(form)));
        let free = all(free.iter().map(|form| self.variable(form)));
        Some((required?, free?))
    }

    fn or(
        &mut self,
        form: &Form,
        join: Option<(Vec<Name>, Vec<Name>)>,
        forms: &[Form],
    ) -> Option<ClauseId> {
        if forms.is_empty() {
            self.error(form.span, Problem::new("query_clause", "`or` without alternatives"));
            return None;
        }
        let branches: Vec<Vec<ClauseId>> =
            forms.iter().map(|branch| self.body(std::slice::from_ref(branch))).collect();
        let (join, required) = match join {
            None => (None, Vec::new()),
            Some((required, free)) => (Some([required.clone(), free].concat()), required),
        };
        let clause = RawClause::Or { join, required, branches };
        self.add(form, clause, std::iter::empty())
    }

    fn non_empty_body(&mut self, form: &Form, items: &[Form]) -> Vec<ClauseId> {
        if items.is_empty() {
            let message = format!("{} holds no clause", form.brief());
            self.error(form.span, Problem::new("query_clause", message));
        }
        self.body(items)
    }

    /// Definitions, in one vector or one after another.
    pub(super) fn rules(&mut self, forms: &[Form]) {
        let definitions = match forms {
            [Form { kind: Kind::Vector(items), .. }] if !starts_with_list(items) => items,
            _ => forms,
        };
        for definition in definitions {
            if let Some(rule) = self.rule(definition) {
                self.place(Place::Rule(self.program.rules.len() as u32), definition.span);
                self.program.rules.push(rule);
            }
        }
    }

    fn rule(&mut self, form: &Form) -> Option<RawRule> {
        let parts = match &form.kind {
            Kind::Vector(items) => match items.as_slice() {
                [Form { kind: Kind::List(head), span }, body @ ..] => Some((head, *span, body)),
                _ => None,
            },
            _ => None,
        };
        let Some((head, head_span, body)) = parts else {
            let problem = self.unexpected(form, "query_rule", "a rule");
            let hint = "e.g. `[(colleague ?a ?b) [?a :user/team ?t] [?b :user/team ?t]]`";
            return self.refuse(form, problem.hint(hint));
        };
        let head = self.rule_head(head, head_span);
        if body.is_empty() {
            self.error(form.span, Problem::new("query_rule", "a rule needs a body"));
        }
        let body = self.body(body);
        let (name, required, free) = head?;
        let n_required = required.len() as u32;
        let head = required.into_iter().chain(free).map(RawTerm::Variable).collect();
        Some(RawRule { name, n_required, head, body })
    }

    fn rule_head(&mut self, items: &[Form], span: Span) -> Option<(Name, Vec<Name>, Vec<Name>)> {
        let Some((head, args)) = items.split_first() else {
            self.error(span, Problem::new("query_rule", "a rule needs a name"));
            return None;
        };
        if let Some(word) =
            head.as_symbol().filter(|word| is_clause_word(word) || is_function_word(word))
        {
            let problem = Problem::new("query_rule", format!("`{word}` cannot name a rule"));
            self.error(head.span, problem.hint("it has a meaning of its own: choose another name"));
            return None;
        }
        let name = self.symbol(head, "query_rule", "the name of a rule");
        let variables = self.required_and_free(args);
        let (required, free) = variables?;
        Some((name?, required, free))
    }

    fn add(
        &mut self,
        form: &Form,
        clause: RawClause,
        args: impl Iterator<Item = Span>,
    ) -> Option<ClauseId> {
        if self.program.clauses.len() >= crate::CLAUSES_MAX {
            if !self.is_full {
                let message = format!("more than {} clauses", crate::CLAUSES_MAX);
                let problem = Problem::new("query_too_large", message);
                self.error(form.span, problem.hint("pass long lists as an input, `[?x ...]`"));
            }
            self.is_full = true;
            return None;
        }
        let id = ClauseId(self.program.clauses.len() as u32);
        self.place(Place::Clause(id), form.span);
        for (index, span) in args.enumerate() {
            self.place(Place::Argument(id, index as u32), span);
        }
        self.program.clauses.push(clause);
        Some(id)
    }
}

fn is_term(form: &Form) -> bool {
    matches!(form.kind, Kind::Symbol(_) | Kind::Value(_))
}

/// `$` may stand first in a clause; there is only one source, so it says nothing.
fn without_source(items: &[Form]) -> &[Form] {
    match items {
        [source, rest @ ..] if source.is_symbol("$") => rest,
        items => items,
    }
}

fn starts_with_list(items: &[Form]) -> bool {
    items.first().is_some_and(|first| matches!(first.kind, Kind::List(_)))
}

/// The call in its own brackets, without the backquotes of a message.
fn brief_call(form: &Form) -> String {
    form.brief().trim_matches('`').to_owned()
}

//! `:find` with its four forms and its aggregates, and what refers to it: `:keys`, `:having`,
//! `:order-by`.
//!
//! Keys of `:order-by` and arguments of `:having` are written as the element they mean and
//! become its position.

use tercet_engine::program::raw::{
    FindForm, Place, RawFindElement, RawHaving, RawHavingTerm, RawOrder,
};
use tercet_engine::value::Value;

use super::section::Sections;
use super::{Translator, all};
use crate::form::{Form, Kind, Span};
use crate::problem::Problem;
use crate::suggest::did_you_mean;

impl Translator {
    pub(super) fn find(&mut self, sections: &Sections<'_>, query: Span) {
        let Some(section) = &sections.find else {
            self.is_find_whole = false;
            if sections.is_damaged {
                return;
            }
            let problem = Problem::new("query_missing_find", "the query has no `:find`");
            return self.error(query, problem.hint("say what to find: `[:find ?x :where …]`"));
        };
        let (form, elements) = match section.items {
            [Form { kind: Kind::Vector(items), .. }] => match items.as_slice() {
                [element, dots] if dots.is_symbol("...") => {
                    (FindForm::Collection, std::slice::from_ref(element))
                }
                items => (FindForm::Tuple, items),
            },
            [element, dot] if dot.is_symbol(".") => {
                (FindForm::Scalar, std::slice::from_ref(element))
            }
            items => (FindForm::Relation, items),
        };
        if elements.is_empty() {
            self.is_find_whole = false;
            return self.error(section.key, Problem::new("query_find", "`:find` names nothing"));
        }
        self.program.find_form = form;
        for (index, element) in elements.iter().enumerate() {
            self.place(Place::Find(index as u32), element.span);
            match self.find_element(element) {
                Some(found) => self.program.find.push(found),
                None => self.is_find_whole = false,
            }
        }
    }

    fn find_element(&mut self, form: &Form) -> Option<RawFindElement> {
        match &form.kind {
            Kind::List(items) if items.first().is_some_and(|head| head.is_symbol("pull")) => {
                self.find_pull(form, &items[1..])
            }
            _ => self.plain_element(form),
        }
    }

    /// A variable or an aggregate.
    fn plain_element(&mut self, form: &Form) -> Option<RawFindElement> {
        match &form.kind {
            Kind::Symbol(text) if text.starts_with('?') => {
                self.variable(form).map(RawFindElement::Variable)
            }
            Kind::List(items) => self.aggregate(form, items),
            _ => {
                let problem = self.unexpected(form, "query_find", "a variable or aggregate");
                let hint = match &form.kind {
                    Kind::Vector(_) => "a tuple `[?x ?y]` or collection `[?x ...]` stands alone",
                    Kind::Symbol(text) if matches!(&**text, "." | "...") => {
                        "write `:find ?x .` for one value, `:find [?x ...]` for one column"
                    }
                    _ => "e.g. `:find ?name (count ?post)`",
                };
                self.refuse(form, problem.hint(hint))
            }
        }
    }

    fn aggregate(&mut self, form: &Form, items: &[Form]) -> Option<RawFindElement> {
        let (head, n, variable) = match items {
            [head, variable] => (head, None, variable),
            [head, n, variable] => (head, Some(n), variable),
            _ => {
                let message = format!("{} is no aggregate", form.brief());
                let problem = Problem::new("query_find", message);
                self.error(form.span, problem.hint("write `(count ?x)` or `(min 3 ?x)`"));
                return None;
            }
        };
        let function = self.symbol(head, "query_find", "the name of an aggregate");
        let n = match n {
            Some(n) => self.constant(n, "query_find").map(Some),
            None => Some(None),
        };
        let variable = self.variable(variable);
        Some(RawFindElement::Aggregate { function: function?, n: n?, variable: variable? })
    }

    fn find_pull(&mut self, form: &Form, items: &[Form]) -> Option<RawFindElement> {
        let items = match items {
            [source, rest @ ..] if source.is_symbol("$") => rest,
            items => items,
        };
        let [entity, pattern] = items else {
            let problem = Problem::new("query_pull", "`pull` takes an entity and a pattern");
            self.error(form.span, problem.hint("e.g. `(pull ?e [:user/name])`"));
            return None;
        };
        let variable = self.variable(entity);
        let pattern = self.pull_pattern(pattern);
        Some(RawFindElement::Pull { variable: variable?, pattern: pattern? })
    }

    pub(super) fn keys(&mut self, sections: &Sections<'_>) {
        let Some(section) = &sections.keys else {
            return;
        };
        let names = all(section.items.iter().map(|form| match &form.kind {
            Kind::Symbol(text) | Kind::Value(Value::String(text)) => self.name(form, text),
            _ => {
                let problem = self.unexpected(form, "query_keys", "a name");
                self.refuse(form, problem.hint("e.g. `:keys name age`"))
            }
        }));
        let (n_keys, n_elements) = (section.items.len(), self.program.find.len());
        if self.is_find_whole && n_keys != n_elements {
            let message = format!("`:find` has {n_elements} elements, `:keys` has {n_keys}");
            let problem = Problem::new("query_keys", message);
            self.error(section.key, problem.hint("name every element, in order"));
        }
        self.program.keys = names.unwrap_or_default();
    }

    pub(super) fn having(&mut self, sections: &Sections<'_>) {
        let Some(section) = &sections.having else {
            return;
        };
        for (index, form) in section.items.iter().enumerate() {
            self.place(Place::Having(index as u32), form.span);
            if let Some(having) = self.having_predicate(form) {
                self.program.having.push(having);
            }
        }
    }

    fn having_predicate(&mut self, form: &Form) -> Option<RawHaving> {
        let call = match &form.kind {
            Kind::Vector(items) => match items.as_slice() {
                [Form { kind: Kind::List(call), .. }] => call.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        let Some((head, args)) = call.split_first() else {
            let problem = self.unexpected(form, "query_having", "a predicate");
            return self.refuse(form, problem.hint("e.g. `:having [(> (count ?x) 3)]`"));
        };
        let function = self.symbol(head, "query_having", "the name of a function");
        let args = all(args.iter().map(|arg| match &arg.kind {
            Kind::Value(value) => Some(RawHavingTerm::Constant(value.clone())),
            _ => self.element_position(arg, "query_having").map(RawHavingTerm::Element),
        }));
        Some(RawHaving { function: function?, args: args? })
    }

    pub(super) fn order_by(&mut self, sections: &Sections<'_>) {
        let expected = "a vector of keys";
        let Some(form) = self.single(sections.order_by.as_ref(), expected) else {
            return;
        };
        let Kind::Vector(items) = &form.kind else {
            let problem = self.unexpected(form, "query_order", expected);
            let hint = "e.g. `:order-by [?name [(count ?x) :desc]]`";
            return self.complain(form, problem.hint(hint));
        };
        for (index, key) in items.iter().enumerate() {
            self.place(Place::Order(index as u32), key.span);
            if let Some(order) = self.order_key(key) {
                self.program.order_by.push(order);
            }
        }
    }

    fn order_key(&mut self, form: &Form) -> Option<RawOrder> {
        let (element, descending) = match &form.kind {
            Kind::Vector(items) => match items.as_slice() {
                [element] => (element, Some(false)),
                [element, direction] => (element, self.direction(direction)),
                _ => {
                    let problem = self.unexpected(form, "query_order", "a key and its direction");
                    return self.refuse(form, problem.hint("e.g. `[?name :desc]`"));
                }
            },
            Kind::Keyword(_) => {
                let problem = self.unexpected(form, "query_order", "a key");
                return self.refuse(form, problem.hint("each key is a pair: `[[?name :desc]]`"));
            }
            _ => (form, Some(false)),
        };
        let element = match &element.kind {
            Kind::List(items) if items.first().is_some_and(|head| head.is_symbol("pull")) => {
                self.pull_position(element, &items[1..])
            }
            _ => self.element_position(element, "query_order"),
        };
        Some(RawOrder { element: element?, descending: descending? })
    }

    fn direction(&mut self, form: &Form) -> Option<bool> {
        match &form.kind {
            Kind::Keyword(name) if &**name == "asc" => Some(false),
            Kind::Keyword(name) if &**name == "desc" => Some(true),
            Kind::Keyword(name) => {
                let message = format!("unknown direction `:{name}`");
                let hint = did_you_mean(name, ":", &["asc", "desc"]);
                self.error(form.span, Problem::new("query_order", message).hint(hint));
                None
            }
            _ => {
                let problem = self.unexpected(form, "query_order", "`:asc` or `:desc`");
                self.refuse(form, problem)
            }
        }
    }

    /// The position of the one pull of an entity, written without its pattern.
    fn pull_position(&mut self, form: &Form, items: &[Form]) -> Option<u32> {
        let [entity] = items else {
            let problem = self.unexpected(form, "query_order", "a pull without its pattern");
            return self.refuse(form, problem.hint("name it by its entity: `(pull ?e)`"));
        };
        let entity = self.variable(entity)?;
        let is_meant = |element: &RawFindElement| matches!(element, RawFindElement::Pull { variable, .. } if *variable == entity);
        let elements = self.program.find.iter().enumerate();
        let mut meant = elements.filter(|(_, element)| is_meant(element)).map(|(index, _)| index);
        match (meant.next(), meant.next()) {
            (Some(index), None) => Some(index as u32),
            (None, _) if !self.is_find_whole => None,
            (found, _) => {
                let what = if found.is_some() { "two pulls" } else { "no pull" };
                let message = format!("`:find` has {what} of ?{entity}");
                let problem = Problem::new("query_order", message);
                self.error(form.span, problem.hint("order by variables or aggregates"));
                None
            }
        }
    }

    /// The position in `:find` of the element written here.
    fn element_position(&mut self, form: &Form, code: &'static str) -> Option<u32> {
        let element = self.plain_element(form)?;
        match self.program.find.iter().position(|found| *found == element) {
            Some(index) => Some(index as u32),
            None if !self.is_find_whole => None,
            None => {
                let message = format!("{} is not an element of `:find`", form.brief());
                self.error(form.span, Problem::new(code, message).hint("add it to `:find`"));
                None
            }
        }
    }
}

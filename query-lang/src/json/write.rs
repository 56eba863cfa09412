//! A program as JSON.
//!
//! Parts that are empty are left out, so equal programs have equal JSON. A string that would read as a variable, blank or attribute is written
//! `{"$str": …}`.

use serde_json::{Map, Value as Json, json};
use tercet_engine::ids::Name;
use tercet_engine::program::raw::{
    ClauseId, FindForm, PullId, RawBinding, RawClause, RawFindElement, RawHavingTerm, RawInput,
    RawProgram, RawPullItem, RawPullNested, RawRule, RawTerm,
};
use tercet_engine::value::Value;

use crate::print::pulled_name;
use crate::syntax::attribute_argument;
use crate::walk::Walk;

/// The program in its JSON form.
///
/// ```
/// let program = tercet_query_lang::parse("[:find ?n :where [?e :user/name ?n]]")?.raw;
/// let json = tercet_query_lang::to_json(&program);
/// assert_eq!(json.to_string(), r#"{"find":["?n"],"where":[["?e","user/name","?n"]]}"#);
/// # Ok::<(), tercet_query_lang::Report>(())
/// ```
pub fn to_json(program: &RawProgram) -> Json {
    Writer { program, walk: Walk::new(program) }.query()
}

struct Writer<'p> {
    program: &'p RawProgram,
    walk: Walk<'p>,
}

impl Writer<'_> {
    fn query(&mut self) -> Json {
        let program = self.program;
        let mut object = Map::new();
        let find = program.find.iter().map(|element| self.element(element)).collect();
        object.insert("find".to_owned(), Json::Array(find));
        let form = match program.find_form {
            FindForm::Relation => None,
            FindForm::Tuple => Some("tuple"),
            FindForm::Collection => Some("collection"),
            FindForm::Scalar => Some("scalar"),
        };
        object.extend(form.map(|form| ("form".to_owned(), form.into())));
        let mut section = |key: &str, items: Vec<Json>| {
            if !items.is_empty() {
                object.insert(key.to_owned(), Json::Array(items));
            }
        };
        section("keys", program.keys.iter().map(|name| name.as_str().into()).collect());
        section("with", variables(&program.with));
        section("in", program.inputs.iter().map(input).collect());
        section("where", self.clauses(&program.body));
        section("rules", program.rules.iter().map(|rule| self.rule(rule)).collect());
        section("having", self.having());
        section("order-by", self.order_by());
        section("after", program.after.iter().map(value).collect());
        object.extend(program.limit.map(|limit| ("limit".to_owned(), limit.into())));
        if program.offset != 0 {
            object.insert("offset".to_owned(), program.offset.into());
        }
        Json::Object(object)
    }

    fn element(&mut self, element: &RawFindElement) -> Json {
        match element {
            RawFindElement::Pull { variable, pattern } => {
                json!(["pull", format!("?{variable}"), self.pull(*pattern)])
            }
            plain => plain_element(plain),
        }
    }

    fn pull(&mut self, id: PullId) -> Json {
        let Some(pull) = self.walk.pull(id) else {
            return damaged();
        };
        let items = pull.items.iter().map(|item| self.pull_item(item)).collect();
        self.walk.leave();
        Json::Array(items)
    }

    fn pull_item(&mut self, item: &RawPullItem) -> Json {
        let RawPullItem::Attribute { attribute, reverse, rename, limit, default, nested } = item
        else {
            return "*".into();
        };
        let name = pulled_name(attribute, *reverse);
        let nested = match nested {
            RawPullNested::No => None,
            RawPullNested::Pattern(id) => Some(self.pull(*id)),
            RawPullNested::Recursion(None) => Some("...".into()),
            RawPullNested::Recursion(Some(depth)) => Some((*depth).into()),
        };
        let is_plain = rename.is_none() && limit.is_none() && default.is_none();
        match nested {
            None if is_plain && name != "*" => name.into(),
            Some(nested) if is_plain && name != "attr" => {
                Json::Object(Map::from_iter([(name, nested)]))
            }
            nested => {
                let mut object = Map::from_iter([("attr".to_owned(), name.into())]);
                object.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
                object.extend(default.as_ref().map(|v| ("default".to_owned(), value(v))));
                object.extend(rename.as_ref().map(|r| ("as".to_owned(), r.as_str().into())));
                object.extend(nested.map(|nested| ("pull".to_owned(), nested)));
                Json::Object(object)
            }
        }
    }

    fn clauses(&mut self, ids: &[ClauseId]) -> Vec<Json> {
        ids.iter().map(|id| self.clause(*id)).collect()
    }

    fn clause(&mut self, id: ClauseId) -> Json {
        let Some(clause) = self.walk.clause(id) else {
            return damaged();
        };
        let json = match clause {
            RawClause::Pattern { entity, attribute, value: RawTerm::Blank } => {
                json!([term(entity), attribute_term(attribute)])
            }
            RawClause::Pattern { entity, attribute, value } => {
                json!([term(entity), attribute_term(attribute), term(value)])
            }
            RawClause::Predicate { function, args } => json!({ "pred": call(function, args) }),
            RawClause::Function { function, args, rows, binding } => {
                let call = match rows.as_slice() {
                    [] if !args.is_empty() || function.as_str() != "ground" => call(function, args),
                    rows => json!([function.as_str(), ground_rows(rows, binding)]),
                };
                json!({ "fn": call, "bind": print_binding(binding) })
            }
            RawClause::Rule { rule, args } => json!({ "rule": call(rule, args) }),
            RawClause::Not { join: None, body } => json!({ "not": self.clauses(body) }),
            RawClause::Not { join: Some(join), body } => {
                json!({ "not-join": variables(join), "where": self.clauses(body) })
            }
            RawClause::Or { join, required, branches } => {
                self.or(join.as_deref(), required, branches)
            }
        };
        self.walk.leave();
        json
    }

    fn or(&mut self, join: Option<&[Name]>, required: &[Name], branches: &[Vec<ClauseId>]) -> Json {
        let branches: Vec<Json> =
            branches.iter().map(|branch| Json::Array(self.clauses(branch))).collect();
        let Some(join) = join else {
            return json!({ "or": branches });
        };
        let free = join.iter().filter(|name| !required.contains(name));
        let free: Vec<Json> = free.map(variable).collect();
        if required.is_empty() {
            return json!({ "or-join": free, "branches": branches });
        }
        json!({ "or-join": free, "required": variables(required), "branches": branches })
    }

    fn rule(&mut self, rule: &RawRule) -> Json {
        let n_required = (rule.n_required as usize).min(rule.head.len());
        let (required, free) = rule.head.split_at(n_required);
        let mut object = Map::from_iter([("rule".to_owned(), rule.name.as_str().into())]);
        let terms = |terms: &[RawTerm]| Json::Array(terms.iter().map(term).collect());
        if !required.is_empty() {
            object.insert("required".to_owned(), terms(required));
        }
        object.insert("args".to_owned(), terms(free));
        object.insert("where".to_owned(), Json::Array(self.clauses(&rule.body)));
        Json::Object(object)
    }

    fn having(&self) -> Vec<Json> {
        let json = |having: &tercet_engine::program::raw::RawHaving| {
            let args = having.args.iter().map(|arg| match arg {
                RawHavingTerm::Constant(value) => constant(value),
                RawHavingTerm::Element(index) => self.element_at(*index),
            });
            let call = std::iter::once(having.function.as_str().into()).chain(args);
            json!({ "pred": call.collect::<Vec<Json>>() })
        };
        self.program.having.iter().map(json).collect()
    }

    fn order_by(&self) -> Vec<Json> {
        let json = |order: &tercet_engine::program::raw::RawOrder| {
            let element = self.element_at(order.element);
            if order.descending { json!([element, "desc"]) } else { element }
        };
        self.program.order_by.iter().map(json).collect()
    }

    fn element_at(&self, index: u32) -> Json {
        self.program.find.get(index as usize).map_or_else(damaged, plain_element)
    }
}

/// Something of a damaged program that is not there; reading refuses it.
fn damaged() -> Json {
    json!({ "damaged": true })
}

fn plain_element(element: &RawFindElement) -> Json {
    match element {
        RawFindElement::Variable(name) => variable(name),
        RawFindElement::Aggregate { function, n: None, variable } => {
            json!([function.as_str(), format!("?{variable}")])
        }
        RawFindElement::Aggregate { function, n: Some(n), variable } => {
            json!([function.as_str(), constant(n), format!("?{variable}")])
        }
        RawFindElement::Pull { variable, .. } => json!(["pull", format!("?{variable}")]),
    }
}

fn call(function: &Name, args: &[RawTerm]) -> Json {
    let attribute = attribute_argument(function.as_str());
    let args = args
        .iter()
        .enumerate()
        .map(|(index, arg)| if Some(index) == attribute { attribute_term(arg) } else { term(arg) });
    Json::Array(std::iter::once(function.as_str().into()).chain(args).collect())
}

fn ground_rows(rows: &[Vec<Value>], binding: &RawBinding) -> Json {
    let row = |row: &Vec<Value>| row.iter().map(constant).collect::<Vec<Json>>();
    match binding {
        RawBinding::Relation(_) => rows.iter().map(row).collect(),
        _ => rows.iter().flat_map(row).collect(),
    }
}

fn print_binding(binding: &RawBinding) -> Json {
    let terms = |slots: &[RawTerm]| slots.iter().map(term).collect::<Vec<Json>>();
    match binding {
        RawBinding::Scalar(slot) => term(slot),
        RawBinding::Tuple(slots) => terms(slots).into(),
        RawBinding::Collection(slot) => json!([term(slot), "..."]),
        RawBinding::Relation(slots) => json!([terms(slots)]),
    }
}

fn input(input: &RawInput) -> Json {
    let slots = |slots: &[Option<Name>]| {
        let slot = |slot: &Option<Name>| slot.as_ref().map_or_else(|| "_".into(), variable);
        slots.iter().map(slot).collect::<Vec<Json>>()
    };
    match input {
        RawInput::Scalar(name) => variable(name),
        RawInput::Collection(name) => json!([variable(name), "..."]),
        RawInput::Tuple(names) => slots(names).into(),
        RawInput::Relation(names) => json!([slots(names)]),
        RawInput::Rules => "%".into(),
    }
}

fn term(term: &RawTerm) -> Json {
    match term {
        RawTerm::Variable(name) => variable(name),
        RawTerm::Blank => "_".into(),
        RawTerm::Keyword(name) => format!(":{name}").into(),
        RawTerm::Constant(value) => constant(value),
    }
}

/// In attribute position a string is an attribute.
fn attribute_term(attribute: &RawTerm) -> Json {
    match attribute {
        RawTerm::Keyword(name) => attribute_text(name.as_str()),
        other => term(other),
    }
}

fn attribute_text(name: &str) -> Json {
    if is_plain(name) { name.into() } else { json!({ "$str": name }) }
}

/// A constant where variables may stand.
fn constant(constant: &Value) -> Json {
    match constant {
        Value::String(text) if !is_plain(text) => json!({ "$str": &**text }),
        other => value(other),
    }
}

/// Whether a string stands for itself where variables may stand.
fn is_plain(text: &str) -> bool {
    !text.starts_with(['?', ':']) && text != "_"
}

/// A value where only values stand.
fn value(value: &Value) -> Json {
    serde_json::to_value(value).expect("values are JSON")
}

fn variables(names: &[Name]) -> Vec<Json> {
    names.iter().map(variable).collect()
}

fn variable(name: &Name) -> Json {
    format!("?{name}").into()
}

//! JSON into forms.
//!
//! Says only what is JSON's own: which keys an object has, which strings are variables. What
//! the forms mean, and whether they fit where they stand, is the translator's. Depth is bounded
//! here as it is for text.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tercet_engine::value::{Date, Value};

use super::path::{Paths, Step};
use crate::form::{Form, Kind, Span};
use crate::problem::{Problem, Problems};
use crate::suggest::did_you_mean;
use crate::syntax::{is_clause_word, is_plain_symbol};

/// Reads a query.
pub(crate) fn read(json: &Json, problems: &mut Problems) -> (Form, Paths) {
    let mut reader = Reader { paths: Paths::default(), problems, n_levels: 0 };
    let form = reader.query(json);
    let n_levels = form.n_levels();
    if n_levels > crate::NESTING_MAX && reader.problems.is_empty() {
        reader.problems.push(form.span, Problem::too_deep(crate::NESTING_MAX));
    }
    (form, reader.paths)
}

/// Reads one value, as it stands in facts and arguments: every string is itself.
pub(crate) fn read_value(json: &Json) -> Result<Value, Problem> {
    match json {
        Json::String(text) => Ok(Value::from(text.as_str())),
        Json::Bool(flag) => Ok(Value::Boolean(*flag)),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Ok(Value::int(int)),
            (None, Some(double)) => Ok(Value::double(double)?),
            (None, None) => Err(not_a_value(json)),
        },
        Json::Object(object) => tagged_value(object).unwrap_or_else(|| Err(not_a_value(json))),
        Json::Null => Err(Problem::null("null")),
        Json::Array(_) => Err(not_a_value(json)),
    }
}

/// `{"$ref": …}` and its like; none if the object is something else.
fn tagged_value(object: &Map<String, Json>) -> Option<Result<Value, Problem>> {
    let mut entries = object.iter();
    let (Some((tag, Json::String(text))), None) = (entries.next(), entries.next()) else {
        return None;
    };
    Some(match tag.as_str() {
        "$str" => Ok(Value::from(text.as_str())),
        "$ref" => Value::reference(text).map_err(Problem::from),
        "$date" => Date::parse(text).map(Value::Date).map_err(Problem::from),
        "$int" => text.parse().map(Value::int).map_err(|_| {
            let message = format!("`{}` is not an integer of 64 bits", cut(text));
            Problem::new("integer_malformed", message)
        }),
        _ => return None,
    })
}

fn not_a_value(json: &Json) -> Problem {
    let problem = Problem::new("query_json", format!("expected a value, found {}", brief(json)));
    problem.hint(
        "a value is a string, number or boolean, {\"$ref\": id}, {\"$date\": text}, \
         {\"$int\": digits} or {\"$str\": text}",
    )
}

/// The JSON in backquotes, cut after some characters.
pub(crate) fn brief(json: &Json) -> String {
    match json {
        Json::Array(items) => format!("an array of {}", items.len()),
        Json::Object(object) => match object.keys().next() {
            Some(key) => format!("an object with `{}`", cut(key)),
            None => "an empty object".to_owned(),
        },
        Json::String(text) => format!("`\"{}\"`", cut(text)),
        other => format!("`{other}`"),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const KEYS: [&str; 12] = [
    "find", "form", "keys", "with", "in", "where", "rules", "having", "order-by", "limit",
    "offset", "after",
];

/// What an object of `where` starts with, and what else it may have.
const CLAUSES: [(&str, &[&str]); 7] = [
    ("pred", &[]),
    ("fn", &["bind"]),
    ("rule", &[]),
    ("not", &[]),
    ("not-join", &["where"]),
    ("or", &[]),
    ("or-join", &["required", "branches"]),
];

struct Reader<'a> {
    paths: Paths,
    problems: &'a mut Problems,
    n_levels: usize,
}

impl Reader<'_> {
    fn query(&mut self, json: &Json) -> Form {
        let span = self.paths.root();
        let Json::Object(object) = json else {
            let message = format!("expected a query object, found {}", brief(json));
            let problem = Problem::new("query_json", message);
            return self.poison(span, problem.hint("e.g. {\"find\": [\"?x\"], \"where\": […]}"));
        };
        // A vector, as text has: its depth is then the same as that of the printed query.
        let mut forms = Vec::new();
        for (key, value) in object {
            let at = self.paths.add(span, Step::Key(key.clone()));
            let content = match key.as_str() {
                "find" => self.find(value, object.get("form"), at, span),
                "form" => continue,
                "keys" => self.each(value, at, Reader::plain_value),
                "with" => self.each(value, at, Reader::binding),
                "in" => self.each(value, at, Reader::binding),
                "where" => self.each(value, at, Reader::clause),
                "having" => self.each(value, at, Reader::having),
                "rules" => self.vector(value, at, Reader::rule),
                "order-by" => self.vector(value, at, Reader::order_key),
                "after" => self.vector(value, at, Reader::plain_value),
                "limit" | "offset" => vec![self.plain_value(value, at)],
                _ => {
                    let problem = Problem::new("query_unknown_key", format!("unknown key `{key}`"));
                    self.problems.push(at, problem.hint(did_you_mean(key, "", &KEYS)));
                    continue;
                }
            };
            forms.push(Form::new(Kind::Keyword(key.as_str().into()), at));
            forms.extend(content);
        }
        self.form_without_find(object, span);
        Form::new(Kind::Vector(forms), span)
    }

    /// `form` is read with `find`; here only if there is none.
    fn form_without_find(&mut self, object: &Map<String, Json>, span: Span) {
        if let (Some(form), None) = (object.get("form"), object.get("find")) {
            let at = self.paths.add(span, Step::Key("form".to_owned()));
            let message = format!("a form, {}, of nothing to find", brief(form));
            self.problems.push(at, Problem::new("query_json", message).hint("add `find`"));
        }
    }

    fn poison(&mut self, span: Span, problem: Problem) -> Form {
        self.problems.push(span, problem);
        Form::new(Kind::Poison, span)
    }

    fn symbol(&self, text: &str, span: Span) -> Form {
        Form::new(Kind::Symbol(text.into()), span)
    }

    fn key(&mut self, parent: Span, key: &str) -> Span {
        self.paths.add(parent, Step::Key(key.to_owned()))
    }

    /// Reads the elements of an array.
    fn each(
        &mut self,
        json: &Json,
        span: Span,
        read: impl Fn(&mut Self, &Json, Span) -> Form,
    ) -> Vec<Form> {
        let Json::Array(items) = json else {
            let message = format!("expected an array, found {}", brief(json));
            return vec![self.poison(span, Problem::new("query_json", message))];
        };
        let read_item = |(index, item)| {
            let at = self.paths.add(span, Step::Index(index));
            read(self, item, at)
        };
        items.iter().enumerate().map(read_item).collect()
    }

    /// The same as one vector.
    fn vector(
        &mut self,
        json: &Json,
        span: Span,
        read: impl Fn(&mut Self, &Json, Span) -> Form,
    ) -> Vec<Form> {
        let items = self.each(json, span, read);
        vec![Form::new(Kind::Vector(items), span)]
    }

    /// Goes one level down, unless that is too deep.
    fn nested(&mut self, span: Span, read: impl FnOnce(&mut Self) -> Form) -> Form {
        if self.n_levels >= crate::NESTING_MAX {
            return self.poison(span, Problem::too_deep(crate::NESTING_MAX));
        }
        self.n_levels += 1;
        let form = read(self);
        self.n_levels -= 1;
        form
    }

    fn find(&mut self, json: &Json, form: Option<&Json>, span: Span, root: Span) -> Vec<Form> {
        let mut elements = self.each(json, span, Reader::element);
        let name = match form {
            None => "relation",
            Some(Json::String(name)) => name,
            Some(_) => "",
        };
        match name {
            "relation" => return elements,
            "tuple" => {}
            "collection" | "scalar" if elements.len() != 1 => {
                let message = format!("a {name} has 1 element, this one has {}", elements.len());
                return vec![self.poison(span, Problem::new("query_find", message))];
            }
            "collection" => elements.push(self.symbol("...", span)),
            "scalar" => {
                elements.push(self.symbol(".", span));
                return elements;
            }
            _ => {
                let problem = Problem::new("query_json", "unknown form of the result");
                let known = ["relation", "tuple", "collection", "scalar"];
                let at = self.key(root, "form");
                self.problems.push(at, problem.hint(did_you_mean(name, "", &known)));
                return elements;
            }
        }
        vec![Form::new(Kind::Vector(elements), span)]
    }

    /// An element of `find`: a variable, an aggregate or a pull.
    fn element(&mut self, json: &Json, span: Span) -> Form {
        let Json::Array(items) = json else {
            return self.term(json, span);
        };
        let is_pull = items.first().and_then(Json::as_str) == Some("pull");
        self.call(items, span, |reader, index, item, at| match (is_pull, index) {
            (true, 2) => reader.pull(item, at),
            _ => reader.term(item, at),
        })
    }

    /// `[name, args…]` as a list.
    fn call(
        &mut self,
        items: &[Json],
        span: Span,
        read: impl Fn(&mut Self, usize, &Json, Span) -> Form,
    ) -> Form {
        let mut forms = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let at = self.paths.add(span, Step::Index(index));
            forms.push(match (index, item) {
                (0, Json::String(name)) if is_plain_symbol(name) => self.symbol(name, at),
                (0, _) => {
                    let message = format!("expected a name, found {}", brief(item));
                    self.poison(at, Problem::new("query_json", message))
                }
                _ => read(self, index, item, at),
            });
        }
        Form::new(Kind::List(forms), span)
    }

    /// A call under a key of a clause.
    fn call_at(&mut self, json: &Json, span: Span) -> Form {
        match json {
            Json::Array(items) => {
                self.call(items, span, |reader, _, item, at| reader.term(item, at))
            }
            _ => {
                let message = format!("expected an array, found {}", brief(json));
                self.poison(span, Problem::new("query_json", message).hint("[name, arguments…]"))
            }
        }
    }

    fn rule_call(&mut self, json: &Json, span: Span) -> Form {
        let name = json.get(0).and_then(Json::as_str);
        if let Some(word) = name.filter(|word| is_clause_word(word)) {
            let problem = Problem::new("query_clause", format!("`{word}` is no rule"));
            return self.poison(span, problem.hint(format!("write {{\"{word}\": […]}}")));
        }
        self.call_at(json, span)
    }

    /// A term: strings may be variables, blanks and keywords; arrays are constants of `ground`.
    fn term(&mut self, json: &Json, span: Span) -> Form {
        let kind = match json {
            Json::String(text) if text.starts_with('?') || text == "_" => {
                Kind::Symbol(text.as_str().into())
            }
            Json::String(text) if text.starts_with(':') => Kind::Keyword(text[1..].into()),
            Json::Array(_) => {
                return self.nested(span, |reader| {
                    let items = reader.each(json, span, Reader::term);
                    Form::new(Kind::Vector(items), span)
                });
            }
            _ => return self.plain_value(json, span),
        };
        Form::new(kind, span)
    }

    /// A value where no variable may stand.
    fn plain_value(&mut self, json: &Json, span: Span) -> Form {
        match read_value(json) {
            Ok(value) => Form::new(Kind::Value(value), span),
            Err(problem) => self.poison(span, problem),
        }
    }

    /// An input or a binding: `?x`, `["?x", "?y"]`, `["?x", "..."]`, `[["?x", "?y"]]`.
    fn binding(&mut self, json: &Json, span: Span) -> Form {
        match json {
            Json::String(text) if text.starts_with('?') => self.symbol(text, span),
            Json::String(text) if matches!(text.as_str(), "_" | "%" | "$" | "...") => {
                self.symbol(text, span)
            }
            Json::Array(_) => self.nested(span, |reader| {
                let items = reader.each(json, span, Reader::binding);
                Form::new(Kind::Vector(items), span)
            }),
            _ => self.plain_value(json, span),
        }
    }

    fn clause(&mut self, json: &Json, span: Span) -> Form {
        self.nested(span, |reader| match json {
            Json::Array(items) => reader.pattern(items, span),
            Json::Object(object) => reader.object_clause(object, span),
            _ => {
                let message = format!("expected a clause, found {}", brief(json));
                let problem = Problem::new("query_json", message);
                reader.poison(span, problem.hint("[\"?e\", \"user/name\", \"?name\"] or an object"))
            }
        })
    }

    fn pattern(&mut self, items: &[Json], span: Span) -> Form {
        let mut forms = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let at = self.paths.add(span, Step::Index(index));
            forms.push(match item {
                Json::Array(_) => {
                    let problem = Problem::new("query_json", "an array is no part of a pattern");
                    self.poison(at, problem.hint("a call is an object: {\"pred\": [\"<\", …]}"))
                }
                _ => self.term(item, at),
            });
        }
        Form::new(Kind::Vector(forms), span)
    }

    fn object_clause(&mut self, object: &Map<String, Json>, span: Span) -> Form {
        let found = CLAUSES.iter().find(|(head, _)| object.contains_key(*head));
        let Some((head, others)) = found else {
            let first = object.keys().next().map_or("", String::as_str);
            let heads: Vec<&str> = CLAUSES.iter().map(|(head, _)| *head).collect();
            let problem = Problem::new("query_json", format!("unknown kind of clause `{first}`"));
            return self.poison(span, problem.hint(did_you_mean(first, "", &heads)));
        };
        self.only_keys(object, span, head, others);
        let content = &object[*head];
        let at = self.key(span, head);
        let kind = match *head {
            "pred" => Kind::Vector(vec![self.call_at(content, at)]),
            "fn" => {
                let call = self.call_at(content, at);
                let binding = self.required_key(object, "bind", span, Reader::binding);
                Kind::Vector(vec![call, binding])
            }
            "rule" => return self.rule_call(content, at),
            "not" => self.list(head, at, None, |reader| reader.each(content, at, Reader::clause)),
            "not-join" => {
                let variables = self.each(content, at, Reader::binding);
                self.list(head, span, Some(variables), |reader| {
                    reader.clauses_at(object, "where", span)
                })
            }
            "or" => self.list(head, at, None, |reader| reader.each(content, at, Reader::branch)),
            _ => self.or_join(object, content, span, at),
        };
        Form::new(kind, span)
    }

    fn or_join(&mut self, object: &Map<String, Json>, free: &Json, span: Span, at: Span) -> Kind {
        let mut variables = self.required_variables(object, span);
        variables.extend(self.each(free, at, Reader::binding));
        self.list("or-join", span, Some(variables), |reader| match object.get("branches") {
            Some(branches) => {
                let at = reader.key(span, "branches");
                reader.each(branches, at, Reader::branch)
            }
            None => vec![reader.missing_key("branches", span)],
        })
    }

    /// `(word [variables] forms…)`.
    fn list(
        &mut self,
        word: &str,
        span: Span,
        variables: Option<Vec<Form>>,
        read: impl FnOnce(&mut Self) -> Vec<Form>,
    ) -> Kind {
        let mut forms = vec![self.symbol(word, span)];
        forms.extend(variables.map(|variables| Form::new(Kind::Vector(variables), span)));
        forms.extend(read(self));
        Kind::List(forms)
    }

    /// An alternative: a conjunction.
    fn branch(&mut self, json: &Json, span: Span) -> Form {
        let mut clauses = self.each(json, span, Reader::clause);
        if clauses.is_empty() {
            let problem = Problem::new("query_clause", "an alternative without clauses");
            return self.poison(span, problem);
        }
        if clauses.len() == 1 {
            return clauses.swap_remove(0);
        }
        clauses.insert(0, self.symbol("and", span));
        Form::new(Kind::List(clauses), span)
    }

    fn clauses_at(&mut self, object: &Map<String, Json>, key: &str, span: Span) -> Vec<Form> {
        match object.get(key) {
            Some(clauses) => {
                let at = self.key(span, key);
                self.each(clauses, at, Reader::clause)
            }
            None => vec![self.missing_key(key, span)],
        }
    }

    /// The vector of `required` variables, if there are any.
    fn required_variables(&mut self, object: &Map<String, Json>, span: Span) -> Vec<Form> {
        let Some(required) = object.get("required") else {
            return Vec::new();
        };
        let at = self.key(span, "required");
        self.vector(required, at, Reader::binding)
    }

    fn required_key(
        &mut self,
        object: &Map<String, Json>,
        key: &str,
        span: Span,
        read: impl Fn(&mut Self, &Json, Span) -> Form,
    ) -> Form {
        match object.get(key) {
            Some(json) => {
                let at = self.key(span, key);
                read(self, json, at)
            }
            None => self.missing_key(key, span),
        }
    }

    fn missing_key(&mut self, key: &str, span: Span) -> Form {
        self.poison(span, Problem::new("query_json", format!("`{key}` is missing here")))
    }

    /// Reports every key that is neither the head nor one of the others.
    fn only_keys(&mut self, object: &Map<String, Json>, span: Span, head: &str, others: &[&str]) {
        let known: Vec<&str> = std::iter::once(head).chain(others.iter().copied()).collect();
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let at = self.key(span, key);
            let problem = Problem::new("query_unknown_key", format!("unknown key `{key}`"));
            self.problems.push(at, problem.hint(did_you_mean(key, "", &known)));
        }
    }

    fn having(&mut self, json: &Json, span: Span) -> Form {
        let Some(call) = json.as_object().and_then(|object| object.get("pred")) else {
            let message = format!("expected a predicate, found {}", brief(json));
            let problem = Problem::new("query_json", message);
            return self
                .poison(span, problem.hint("e.g. {\"pred\": [\">\", [\"count\", \"?x\"], 3]}"));
        };
        self.only_keys(json.as_object().expect("it has a key"), span, "pred", &[]);
        let at = self.key(span, "pred");
        let Json::Array(items) = call else {
            return self.call_at(call, at);
        };
        let call = self.call(items, at, |reader, _, item, at| reader.element(item, at));
        Form::new(Kind::Vector(vec![call]), span)
    }

    fn order_key(&mut self, json: &Json, span: Span) -> Form {
        let direction = match json.as_array().map(Vec::as_slice) {
            Some([_, Json::String(word)]) if !word.starts_with('?') => Some(word),
            _ => None,
        };
        let (Some(word), Some(element)) = (direction, json.get(0)) else {
            return self.element(json, span);
        };
        let at = self.paths.add(span, Step::Index(0));
        let element = self.element(element, at);
        let at = self.paths.add(span, Step::Index(1));
        let direction = Form::new(Kind::Keyword(Arc::from(word.trim_start_matches(':'))), at);
        Form::new(Kind::Vector(vec![element, direction]), span)
    }

    fn rule(&mut self, json: &Json, span: Span) -> Form {
        let Some((object, name)) = json.as_object().and_then(|o| Some((o, o.get("rule")?))) else {
            let message = format!("expected a rule, found {}", brief(json));
            let hint = "{\"rule\": name, \"args\": [\"?x\"], \"where\": […]}";
            return self.poison(span, Problem::new("query_json", message).hint(hint));
        };
        self.only_keys(object, span, "rule", &["required", "args", "where"]);
        let at = self.key(span, "rule");
        let name = match name {
            Json::String(name) => self.symbol(name, at),
            _ => {
                let message = format!("expected a name, found {}", brief(name));
                self.poison(at, Problem::new("query_json", message))
            }
        };
        let mut head = vec![name];
        head.extend(self.required_variables(object, span));
        match object.get("args") {
            Some(args) => {
                let at = self.key(span, "args");
                head.extend(self.each(args, at, Reader::binding));
            }
            None => head.push(self.missing_key("args", span)),
        }
        let mut definition = vec![Form::new(Kind::List(head), span)];
        definition.extend(self.clauses_at(object, "where", span));
        Form::new(Kind::Vector(definition), span)
    }

    fn pull(&mut self, json: &Json, span: Span) -> Form {
        self.nested(span, |reader| {
            let items = reader.each(json, span, Reader::pull_item);
            Form::new(Kind::Vector(items), span)
        })
    }

    fn pull_item(&mut self, json: &Json, span: Span) -> Form {
        let Json::Object(object) = json else {
            return self.pulled_attribute(json, span);
        };
        if let Some(attribute) = object.get("attr") {
            return self.pull_options(object, attribute, span);
        }
        let mut entries = Vec::with_capacity(object.len());
        for (attribute, nested) in object {
            let at = self.key(span, attribute);
            let name = attribute.strip_prefix(':').unwrap_or(attribute);
            let nested = self.pull_nested(nested, at);
            entries.push((Form::new(Kind::Keyword(name.into()), at), nested));
        }
        Form::new(Kind::Map(entries), span)
    }

    fn pulled_attribute(&mut self, json: &Json, span: Span) -> Form {
        match json {
            Json::String(text) if text == "*" => self.symbol("*", span),
            Json::String(text) => {
                let name = text.strip_prefix(':').unwrap_or(text);
                Form::new(Kind::Keyword(name.into()), span)
            }
            _ => self.plain_value(json, span),
        }
    }

    /// `{"attr": …, "limit": …, "default": …, "as": …, "pull": …}`.
    fn pull_options(&mut self, object: &Map<String, Json>, attribute: &Json, span: Span) -> Form {
        self.only_keys(object, span, "attr", &["limit", "default", "as", "pull"]);
        let at = self.key(span, "attr");
        let attribute = match attribute {
            Json::String(text) => {
                let name = text.strip_prefix(':').unwrap_or(text);
                Form::new(Kind::Keyword(name.into()), at)
            }
            other => self.plain_value(other, at),
        };
        let mut spec = vec![attribute];
        for option in ["limit", "default", "as"] {
            if let Some(value) = object.get(option) {
                let at = self.key(span, option);
                spec.push(Form::new(Kind::Keyword(option.into()), at));
                spec.push(self.plain_value(value, at));
            }
        }
        let spec = Form::new(Kind::Vector(spec), span);
        match object.get("pull") {
            None => spec,
            Some(nested) => {
                let at = self.key(span, "pull");
                let nested = self.pull_nested(nested, at);
                Form::new(Kind::Map(vec![(spec, nested)]), span)
            }
        }
    }

    fn pull_nested(&mut self, json: &Json, span: Span) -> Form {
        match json {
            Json::Array(_) => self.pull(json, span),
            Json::String(text) if text == "..." => self.symbol("...", span),
            _ => self.plain_value(json, span),
        }
    }
}

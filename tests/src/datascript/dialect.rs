//! Programs that mean the same in DataScript's dialect, and how they are written there.
//!
//! [`translate`] takes a case apart until what is left means the same on both sides by design, or
//! says that nothing is. Left out, and why:
//!
//! - `:having`, `:order-by`, `:limit`, `:offset`, `:after`, tuple and scalar results: DataScript has
//!   no order, so the whole relation (or collection) is compared, as a set. These parts are dropped
//!   from the case, the rest is compared.
//! - Facts with numbers beyond 1,000 (JavaScript has doubles only, so large integers and exact sums
//!   differ) and text outside the first 55,296 characters (UTF-16 order and length): such facts
//!   are dropped from both sides. Programs that name such values are left out.
//! - Variables of several types, but where types do not matter (values of patterns, `=`, `!=`):
//!   DataScript compares values of different types in some order, adds strings to numbers, and
//!   raises an error for an entity that is none; here that is false, or no row.
//! - Entity ids given as strings: entities are integers there.
//! - `/`, `mod`, `quot`, `rem` (division by zero is no error in JavaScript), `subs` (beyond the end
//!   it gives less), `upper-case`, `lower-case` (absent), `str` of doubles (their text).
//! - `sum`, `avg`, `median` of doubles (rounded in the order of rows), `variance`, `stddev` (always
//!   rounded); `rand` and `sample`.
//! - `get-else` of fields with several values: DataScript gives one of them.
//! - `pull`: whether a field is a list is the attribute's there and the field's own here; numbers
//!   and ids look alike.
//! - Rules that call their own recursion twice in one body: `[(r ?a ?b) (r ?a ?c) (r ?c ?b)]` does
//!   not end there, even over two facts. For the same reason a recursive call is put last.
//! - A variable twice in one pattern or call: DataScript does not compare the two (a bug:
//!   `[:find ?x :where [?x "n/to" ?x]]` over `[1 "n/to" 2]` gives 1).
//! - A variable both in `:find` and in `:with`: refused there, allowed here, where it says nothing.
//! - `or` whose branches do not all have the same variables (refused there, allowed here where a
//!   variable occurs under `not` only).
//!
//! DataScript takes clauses in the order written and refuses what is not bound by then; so they are
//! put into an order that works. The blank of a rule call becomes a variable, because DataScript
//! confuses it with the blanks in the rule: `(r ?x _)` with `[(r ?a ?b) [?a "n/to" ?b] [?b "n/on"
//! _]]` compares `?b` with the value of `n/on`. What it refuses all the same (such a call in one
//! branch of a plain `or`, say) is counted by the fuzzer, with its reason.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use tercet_engine::answer::{Output, Row};
use tercet_engine::ids::{EntityId, Name};
use tercet_engine::program::raw::{
    FindForm, Input, RawBinding, RawFindElement, RawInput, RawProgram, RawTerm,
};
use tercet_engine::value::{Date, Number, Value};

use super::kinds::{Kinds, Scope, Typing, agreed, is_exact, kinds_of};
use crate::generate::program::Case;
use crate::oracle::merge::Facts;
use crate::tree::{Clause, Names, Program, binding_terms};

/// The first entity's number: beyond every number that facts have, so that the two never meet.
const FIRST_ENTITY: i64 = 100_000_000;

/// A case that means the same on both sides.
#[derive(Debug, Clone)]
pub struct Translated {
    /// The case as it is compared: without what DataScript does not have.
    pub case: Case,
    /// The facts that are compared over.
    pub facts: Facts,
    /// DataScript's schema.
    pub schema: Json,
    /// The facts as DataScript takes them.
    pub datoms: Vec<Json>,
    /// The query's text.
    pub query: String,
    /// Its inputs, rules included.
    pub inputs: Vec<Json>,
    entities: Vec<EntityId>,
}

/// Writes a case in DataScript's dialect; none when it does not mean the same there.
pub fn translate(case: &Case, facts: &Facts) -> Option<Translated> {
    let facts: Facts = facts
        .iter()
        .filter(|(fact, _)| agreed(&fact.value))
        .map(|(f, m)| (f.clone(), *m))
        .collect();
    let case = Case { program: stripped(&case.program), inputs: case.inputs.clone() };
    let typing = Typing::of(&case, &facts);
    let checker = Checker { facts: &facts, typing: &typing };
    checker.agrees(&case).then_some(())?;
    let writer = Writer {
        entities: entities(&case, &facts),
        recursive: recursive(&case.program),
        n_blanks: Cell::new(0),
    };
    let (query, inputs) = writer.query(&case)?;
    let datom = |entity: &EntityId, attribute: &str, value: &Value| {
        json!([writer.number(entity), attribute, writer.json(value)])
    };
    let datoms = facts.keys().map(|fact| datom(&fact.entity, fact.attribute.as_str(), &fact.value));
    let datoms = datoms.collect();
    let attributes = facts.keys().map(|fact| fact.attribute.as_str()).collect::<BTreeSet<_>>();
    // Every field may have several values here. That values are references changes nothing but
    // `pull`, so it is not said.
    let many = json!({":db/cardinality": ":db.cardinality/many"});
    let schema = attributes.into_iter().map(|name| (name.to_owned(), many.clone()));
    let schema = Json::Object(schema.collect());
    Some(Translated { case, schema, datoms, query, inputs, entities: writer.entities, facts })
}

/// The program without what DataScript does not have and what can be taken away.
fn stripped(program: &Program) -> Program {
    let mut program = program.clone();
    let frame = &mut program.frame;
    *frame = RawProgram {
        find_form: match frame.find_form {
            FindForm::Collection => FindForm::Collection,
            _ => FindForm::Relation,
        },
        find: std::mem::take(&mut frame.find),
        with: std::mem::take(&mut frame.with),
        inputs: std::mem::take(&mut frame.inputs),
        pulls: std::mem::take(&mut frame.pulls),
        ..RawProgram::default()
    };
    program
}

impl Translated {
    /// The rows of DataScript's answer, as a set; lists in it in order.
    ///
    /// # Errors
    /// When it is no answer to the query.
    pub fn rows(&self, answer: &Json) -> Result<BTreeSet<Row>, String> {
        let rows = answer.as_array().ok_or_else(|| format!("no rows: {answer}"))?;
        let is_collection = self.case.program.frame.find_form == FindForm::Collection;
        let row = |row: &Json| match is_collection {
            true => Ok(vec![self.output(row)?]),
            false => {
                let cells = row.as_array().ok_or_else(|| format!("no row: {row}"))?;
                cells.iter().map(|cell| self.output(cell)).collect()
            }
        };
        rows.iter().map(row).collect()
    }

    /// Our rows, in the same form; none when they hold what JavaScript cannot.
    pub fn own_rows(&self, rows: &[Row]) -> Option<BTreeSet<Row>> {
        let rows = rows.iter().map(|row| {
            row.iter().all(is_exact).then(|| row.iter().cloned().map(in_order).collect())
        });
        rows.collect()
    }

    fn output(&self, json: &Json) -> Result<Output, String> {
        match json {
            Json::Array(items) => {
                let values = items.iter().map(|item| self.value(item));
                Ok(in_order(Output::List(values.collect::<Result<_, _>>()?)))
            }
            _ => self.value(json).map(Output::Value),
        }
    }

    fn value(&self, json: &Json) -> Result<Value, String> {
        let unknown = || format!("what is {json}?");
        match json {
            Json::Bool(flag) => Ok(Value::Boolean(*flag)),
            Json::String(text) => Ok(Value::from(text.as_str())),
            Json::Number(number) => {
                let number = number.as_f64().ok_or_else(unknown)?;
                let index = number as i64 - FIRST_ENTITY;
                match usize::try_from(index).ok().and_then(|index| self.entities.get(index)) {
                    Some(entity) => Ok(Value::Ref(entity.clone())),
                    None => Number::from_f64(number).map(Value::Number).map_err(|e| e.to_string()),
                }
            }
            Json::Object(object) => {
                let ms = object.get("$date").and_then(Json::as_i64).ok_or_else(unknown)?;
                Date::from_ms(ms).map(Value::Date).map_err(|error| error.to_string())
            }
            Json::Null | Json::Array(_) => Err(unknown()),
        }
    }
}

/// The order of a list of aggregated values is not the same on both sides.
fn in_order(output: Output) -> Output {
    match output {
        Output::List(mut values) => {
            values.sort();
            Output::List(values)
        }
        other => other,
    }
}

/// Decides whether a case means the same on both sides.
struct Checker<'a> {
    facts: &'a Facts,
    typing: &'a Typing,
}

impl Checker<'_> {
    fn agrees(&self, case: &Case) -> bool {
        let program = &case.program;
        let recursive = recursive(program);
        let linear = |body: &[Clause]| n_calls(body, &recursive) <= 1;
        let rules = program.rules.iter().zip(&self.typing.rules);
        let mut rules = rules.map(|(rule, scope)| {
            // A rule with required bindings may not bind them itself.
            let heads = rule.head.iter().skip(rule.n_required);
            let typed = heads.into_iter().all(|name| scope.get(name).is_some_and(|k| k.is_one()));
            typed
                && rule.n_required == 0
                && (linear(&rule.body) || !recursive.contains(&rule.name))
                && self.body(&rule.body, scope)
        });
        rules.all(|agrees| agrees)
            && self.body(&program.body, &self.typing.body)
            && program.frame.find.iter().all(|element| self.element(element))
            && values(&case.inputs).all(agreed)
            && program.frame.with.iter().all(|name| !found(&program.frame).any(|f| f == name))
    }

    fn body(&self, body: &[Clause], scope: &Scope) -> bool {
        body.iter().all(|clause| self.clause(clause, scope))
    }

    fn clause(&self, clause: &Clause, scope: &Scope) -> bool {
        let of = |term: &RawTerm| kinds_of(term, scope);
        let constants = clause.terms();
        let constants = constants.iter().all(|term| match term {
            RawTerm::Constant(value) => agreed(value),
            _ => true,
        });
        let mut names = BTreeSet::new();
        let is_tuple = matches!(clause, Clause::Pattern { .. } | Clause::Rule { .. });
        let twice = clause.terms().into_iter().any(|term| match term {
            RawTerm::Variable(name) => !names.insert(name),
            _ => false,
        });
        constants
            && !(is_tuple && twice)
            && match clause {
                Clause::Pattern { entity, attribute, .. } => {
                    let is_entity = match entity {
                        RawTerm::Blank => true,
                        term => of(term) == Kinds::REF,
                    };
                    let is_attribute = match attribute {
                        RawTerm::Variable(_) => of(attribute) == Kinds::STRING,
                        _ => true,
                    };
                    is_entity && is_attribute
                }
                Clause::Predicate { function, args } => self.predicate(function, args, scope),
                Clause::Function { function, args, rows, binding } => {
                    let bound = binding_terms(binding);
                    let rows_agree = rows.iter().flatten().all(agreed);
                    let one = bound.iter().all(|term| *term == RawTerm::Blank || of(term).is_one());
                    rows_agree && one && self.function(function, args, scope)
                }
                Clause::Rule { rule, args } => {
                    let heads = &self.typing.heads[rule];
                    heads.iter().zip(args).all(|(kinds, arg)| match arg {
                        RawTerm::Blank => true,
                        arg => kinds.is_one() && of(arg).within(*kinds),
                    })
                }
                Clause::Not { body, .. } => self.body(body, scope),
                Clause::Or { branches, .. } => {
                    let names = |body: &Vec<Clause>| -> Names {
                        body.iter().flat_map(Clause::variables).collect()
                    };
                    let same = branches.windows(2).all(|pair| names(&pair[0]) == names(&pair[1]));
                    let is_join = matches!(clause, Clause::Or { join: Some(_), .. });
                    (same || is_join) && branches.iter().all(|body| self.body(body, scope))
                }
            }
    }

    fn predicate(&self, function: &Name, args: &[RawTerm], scope: &Scope) -> bool {
        let kinds = args.iter().map(|arg| kinds_of(arg, scope));
        let all = kinds.fold(Kinds::default(), Kinds::or);
        match function.as_str() {
            "=" | "!=" | "not=" => true,
            "<" | "<=" | ">" | ">=" => all.is_one(),
            "starts-with?" | "ends-with?" | "includes?" => all == Kinds::STRING,
            "missing?" => kinds_of(&args[0], scope) == Kinds::REF,
            _ => false,
        }
    }

    fn function(&self, function: &Name, args: &[RawTerm], scope: &Scope) -> bool {
        let kinds = args.iter().map(|arg| kinds_of(arg, scope));
        let all = kinds.fold(Kinds::default(), Kinds::or);
        match function.as_str() {
            "ground" | "identity" => true,
            "+" | "-" | "*" => all.within(Kinds::NUMBER),
            "min" | "max" => all.is_one() && all.within(Kinds::NUMBER),
            "count" => all == Kinds::STRING,
            "str" => all.within(Kinds::STRING.or(Kinds::INT).or(Kinds::BOOLEAN)),
            "get-else" => {
                kinds_of(&args[0], scope) == Kinds::REF && self.has_single_values(&args[1])
            }
            _ => false,
        }
    }

    fn has_single_values(&self, attribute: &RawTerm) -> bool {
        let text = attribute_text(attribute);
        let mut fields = BTreeSet::new();
        let own = self.facts.keys().filter(|fact| Some(fact.attribute.as_str()) == text.as_deref());
        own.into_iter().all(|fact| fields.insert(&fact.entity))
    }

    fn element(&self, element: &RawFindElement) -> bool {
        let RawFindElement::Aggregate { function, variable, .. } = element else {
            return matches!(element, RawFindElement::Variable(_));
        };
        let kinds = self.typing.body.get(variable).copied().unwrap_or_default();
        match function.as_str() {
            "count" | "count-distinct" | "distinct" => true,
            "min" | "max" => kinds.is_one(),
            "sum" | "avg" | "median" => kinds == Kinds::INT,
            _ => false,
        }
    }
}

/// The variables of `:find`.
fn found(frame: &RawProgram) -> impl Iterator<Item = &Name> {
    frame.find.iter().map(|element| match element {
        RawFindElement::Variable(variable)
        | RawFindElement::Aggregate { variable, .. }
        | RawFindElement::Pull { variable, .. } => variable,
    })
}

fn attribute_text(term: &RawTerm) -> Option<String> {
    match term {
        RawTerm::Keyword(name) => Some(name.as_str().to_owned()),
        RawTerm::Constant(Value::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

fn values(inputs: &[Input]) -> impl Iterator<Item = &Value> {
    inputs.iter().flat_map(|input| match input {
        Input::Scalar(value) => vec![value],
        Input::Tuple(values) | Input::Collection(values) => values.iter().collect(),
        Input::Relation(rows) => rows.iter().flatten().collect(),
    })
}

/// The rules that can reach themselves.
fn recursive(program: &Program) -> Names {
    let mut reaches = BTreeMap::<Name, Names>::new();
    for rule in &program.rules {
        called(&rule.body, reaches.entry(rule.name.clone()).or_default());
    }
    for _ in 0..reaches.len() {
        let before = reaches.clone();
        for names in reaches.values_mut() {
            let further = names.iter().flat_map(|name| before[name].clone()).collect::<Names>();
            names.extend(further);
        }
    }
    reaches.into_iter().filter(|(name, names)| names.contains(name)).map(|(name, _)| name).collect()
}

fn called(body: &[Clause], names: &mut Names) {
    for clause in body {
        if let Clause::Rule { rule, .. } = clause {
            names.insert(rule.clone());
        }
        clause.bodies().iter().for_each(|body| called(body, names));
    }
}

fn n_calls(body: &[Clause], rules: &Names) -> usize {
    let own = |clause: &Clause| match clause {
        Clause::Rule { rule, .. } => usize::from(rules.contains(rule)),
        _ => clause.bodies().iter().map(|body| n_calls(body, rules)).sum(),
    };
    body.iter().map(own).sum()
}

/// All entities that facts, constants and inputs name, in order.
fn entities(case: &Case, facts: &Facts) -> Vec<EntityId> {
    let mut found = BTreeSet::new();
    let mut add = |value: &Value| {
        if let Value::Ref(entity) = value {
            found.insert(entity.clone());
        }
    };
    for fact in facts.keys() {
        add(&Value::Ref(fact.entity.clone()));
        add(&fact.value);
    }
    values(&case.inputs).for_each(&mut add);
    let program = &case.program;
    let mut waiting = program.body.iter().collect::<Vec<_>>();
    waiting.extend(program.rules.iter().flat_map(|rule| &rule.body));
    while let Some(clause) = waiting.pop() {
        waiting.extend(clause.bodies().iter().flatten());
        for term in clause.terms() {
            if let RawTerm::Constant(value) = term {
                add(value);
            }
        }
        if let Clause::Function { rows, .. } = clause {
            rows.iter().flatten().for_each(&mut add);
        }
    }
    found.into_iter().collect()
}

/// Writes text. Attributes are strings there, entities integers.
struct Writer {
    entities: Vec<EntityId>,
    recursive: Names,
    n_blanks: Cell<u32>,
}

impl Writer {
    fn number(&self, entity: &EntityId) -> i64 {
        let index = self.entities.binary_search(entity).expect("all entities were collected");
        FIRST_ENTITY + index as i64
    }

    fn json(&self, value: &Value) -> Json {
        match value {
            Value::Boolean(flag) => json!(flag),
            Value::Number(number) => match number.as_i64() {
                Some(int) => json!(int),
                None => json!(number.to_f64()),
            },
            Value::Date(date) => json!({"$date": date.ms()}),
            Value::String(text) => json!(&**text),
            Value::Ref(entity) => json!(self.number(entity)),
        }
    }

    /// The query's text and its inputs; none when no order of clauses binds what they need.
    fn query(&self, case: &Case) -> Option<(String, Vec<Json>)> {
        let Program { frame, body, rules } = &case.program;
        let mut text = String::from("[:find ");
        if frame.find_form == FindForm::Collection {
            let _ = write!(text, "[{} ...]", element(frame.find.first()?));
        } else {
            text += &frame.find.iter().map(element).collect::<Vec<_>>().join(" ");
        }
        if !frame.with.is_empty() {
            text += " :with";
            frame.with.iter().for_each(|name| text += &format!(" ?{name}"));
        }
        text += " :in $ %";
        let (mut bound, mut inputs) = (Names::new(), vec![json!(self.rules(rules)?)]);
        let shapes = frame.inputs.iter().filter(|shape| **shape != RawInput::Rules);
        for (shape, input) in shapes.zip(&case.inputs) {
            text += &input_shape(shape, &mut bound);
            inputs.push(self.input(input));
        }
        text += " :where";
        for clause in self.ordered(body, &bound)? {
            text += " ";
            text += &self.clause(clause, &mut bound)?;
        }
        Some((text + "]", inputs))
    }

    fn input(&self, input: &Input) -> Json {
        let list = |values: &[Value]| values.iter().map(|v| self.json(v)).collect::<Vec<_>>();
        match input {
            Input::Scalar(value) => self.json(value),
            Input::Tuple(values) | Input::Collection(values) => json!(list(values)),
            Input::Relation(rows) => json!(rows.iter().map(|row| list(row)).collect::<Vec<_>>()),
        }
    }

    fn rules(&self, rules: &[crate::tree::Rule]) -> Option<String> {
        let mut text = String::from("[");
        for rule in rules {
            let _ = write!(text, "[({}", rule.name);
            rule.head.iter().for_each(|name| text += &format!(" ?{name}"));
            text += ")";
            let mut bound = Names::new();
            for clause in self.ordered(&rule.body, &bound)? {
                text += " ";
                text += &self.clause(clause, &mut bound)?;
            }
            text += "]";
        }
        Some(text + "]")
    }

    /// A conjunction in an order in which everything is bound in time: facts, what can be computed
    /// from them, other rules, recursion, and `not` last.
    fn ordered<'c>(&self, body: &'c [Clause], bound: &Names) -> Option<Vec<&'c Clause>> {
        let (mut bound, mut ordered) = (bound.clone(), Vec::new());
        let mut waiting = body.iter().collect::<Vec<_>>();
        while !waiting.is_empty() {
            let rank = |clause: &Clause| {
                let all_bound = |terms: &[RawTerm]| {
                    crate::tree::variables(terms).all(|name| bound.contains(name))
                };
                let apart = clause.variables().is_disjoint(&bound) && !bound.is_empty();
                match clause {
                    Clause::Pattern { .. } => Some((0, apart)),
                    Clause::Function { args, .. } => all_bound(args).then_some((1, apart)),
                    Clause::Predicate { args, .. } => all_bound(args).then_some((1, apart)),
                    Clause::Rule { rule, .. } if self.recursive.contains(rule) => Some((5, apart)),
                    Clause::Rule { .. } => Some((3, apart)),
                    Clause::Or { required, .. } => {
                        required.iter().all(|name| bound.contains(name)).then_some((4, apart))
                    }
                    Clause::Not { .. } => Some((6, apart)),
                }
            };
            let ready = waiting.iter().enumerate();
            let ready = ready.filter_map(|(index, clause)| Some((rank(clause)?, index)));
            let (_, index) = ready.min()?;
            let clause = waiting.remove(index);
            if !matches!(clause, Clause::Not { .. }) {
                bound.extend(clause.variables());
            }
            ordered.push(clause);
        }
        Some(ordered)
    }

    fn clause(&self, clause: &Clause, bound: &mut Names) -> Option<String> {
        let terms = |terms: &[RawTerm]| {
            terms.iter().map(|term| self.term(term)).collect::<Vec<_>>().join(" ")
        };
        let text = match clause {
            Clause::Pattern { entity, attribute, value } => {
                format!("[{} {} {}]", self.term(entity), self.term(attribute), self.term(value))
            }
            Clause::Predicate { function, args } => {
                format!("[({} {})]", function_name(function.as_str()), terms(args))
            }
            Clause::Function { function, args, rows, binding } => {
                let (args, bound) = match (function.as_str(), binding) {
                    ("ground", _) if args.is_empty() => (self.rows(rows, binding), binding),
                    _ => (terms(args), binding),
                };
                let bound = match bound {
                    RawBinding::Scalar(term) => self.term(term),
                    RawBinding::Collection(term) => format!("[{} ...]", self.term(term)),
                    RawBinding::Tuple(all) => format!("[{}]", terms(all)),
                    RawBinding::Relation(all) => format!("[[{}]]", terms(all)),
                };
                format!("[({} {args}) {bound}]", function_name(function.as_str()))
            }
            Clause::Rule { rule, args } => {
                let args = args.iter().map(|arg| self.rule_arg(arg)).collect::<Vec<_>>();
                format!("({rule} {})", args.join(" "))
            }
            Clause::Not { join, body } => {
                let inside = self.nested(body, &mut bound.clone())?;
                match join {
                    None => format!("(not {inside})"),
                    Some(join) => format!("(not-join [{}] {inside})", names(join)),
                }
            }
            Clause::Or { join, required, branches } => {
                let branches = branches.iter().map(|branch| {
                    let inside = self.nested(branch, &mut bound.clone())?;
                    Some(if branch.len() == 1 { inside } else { format!("(and {inside})") })
                });
                let branches = branches.collect::<Option<Vec<_>>>()?.join(" ");
                match join {
                    None => format!("(or {branches})"),
                    Some(join) => {
                        let free = join.iter().filter(|name| !required.contains(name)).cloned();
                        let free = names(&free.collect::<Vec<_>>());
                        match required.is_empty() {
                            true => format!("(or-join [{free}] {branches})"),
                            false => {
                                format!("(or-join [[{}] {free}] {branches})", names(required))
                            }
                        }
                    }
                }
            }
        };
        if !matches!(clause, Clause::Not { .. }) {
            bound.extend(clause.variables());
        }
        Some(text)
    }

    fn nested(&self, body: &[Clause], bound: &mut Names) -> Option<String> {
        let ordered = self.ordered(body, bound)?;
        let clauses = ordered.into_iter().map(|clause| self.clause(clause, bound));
        Some(clauses.collect::<Option<Vec<_>>>()?.join(" "))
    }

    /// The constant collection of `ground`.
    fn rows(&self, rows: &[Vec<Value>], binding: &RawBinding) -> String {
        let list = |values: &[Value]| {
            values.iter().map(|value| self.value(value)).collect::<Vec<_>>().join(" ")
        };
        match binding {
            RawBinding::Relation(_) => {
                let rows = rows.iter().map(|row| format!("[{}]", list(row)));
                format!("[{}]", rows.collect::<Vec<_>>().join(" "))
            }
            _ => format!("[{}]", rows.iter().map(|row| list(row)).collect::<Vec<_>>().join(" ")),
        }
    }

    fn term(&self, term: &RawTerm) -> String {
        match term {
            RawTerm::Variable(name) => format!("?{name}"),
            RawTerm::Blank => String::from("_"),
            RawTerm::Keyword(name) => json!(name.as_str()).to_string(),
            RawTerm::Constant(value) => self.value(value),
        }
    }

    /// DataScript takes the blank of a call for the same variable as every blank in the rule, and
    /// then misses rows or makes some; a variable of its own means what a blank should.
    fn rule_arg(&self, term: &RawTerm) -> String {
        if *term != RawTerm::Blank {
            return self.term(term);
        }
        self.n_blanks.set(self.n_blanks.get() + 1);
        format!("?blank{}", self.n_blanks.get())
    }

    fn value(&self, value: &Value) -> String {
        match value {
            Value::Date(_) => value.to_string(),
            _ => self.json(value).to_string(),
        }
    }
}

fn element(element: &RawFindElement) -> String {
    match element {
        RawFindElement::Variable(name) => format!("?{name}"),
        RawFindElement::Aggregate { function, n: None, variable } => {
            format!("({function} ?{variable})")
        }
        RawFindElement::Aggregate { function, n: Some(n), variable } => {
            format!("({function} {n} ?{variable})")
        }
        RawFindElement::Pull { .. } => unreachable!("pulls are left out"),
    }
}

fn names(names: &[Name]) -> String {
    names.iter().map(|name| format!("?{name}")).collect::<Vec<_>>().join(" ")
}

fn input_shape(shape: &RawInput, bound: &mut Names) -> String {
    let place = |name: &Option<Name>| match name {
        Some(name) => format!("?{name}"),
        None => String::from("_"),
    };
    let places = |names: &[Option<Name>]| names.iter().map(place).collect::<Vec<_>>().join(" ");
    match shape {
        RawInput::Scalar(name) | RawInput::Collection(name) => drop(bound.insert(name.clone())),
        RawInput::Tuple(names) | RawInput::Relation(names) => {
            bound.extend(names.iter().flatten().cloned());
        }
        RawInput::Rules => {}
    }
    match shape {
        RawInput::Scalar(name) => format!(" ?{name}"),
        RawInput::Collection(name) => format!(" [?{name} ...]"),
        RawInput::Tuple(names) => format!(" [{}]", places(names)),
        RawInput::Relation(names) => format!(" [[{}]]", places(names)),
        RawInput::Rules => String::new(),
    }
}

/// Our name of a function in DataScript; `$` is the database that two of them look into.
fn function_name(function: &str) -> String {
    match function {
        "missing?" | "get-else" => format!("{function} $"),
        "starts-with?" | "ends-with?" | "includes?" => format!("clojure.string/{function}"),
        _ => function.to_owned(),
    }
}

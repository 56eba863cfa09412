//! Arguments of a query, from JSON or text, shaped as its `:in` asks.
//!
//! One argument for each input but `$` and `%`. In JSON every string is itself, a `?` included:
//! arguments are data, not query.

use serde_json::Value as Json;
use tercet_engine::program::raw::{Input, RawInput, RawProgram};
use tercet_engine::value::Value;

use crate::form::{Form, Kind, Origin, Span};
use crate::json::Paths;
use crate::json::read::{brief, read_value};
use crate::parsed::Sources;
use crate::problem::{Problem, Problems};
use crate::reader;
use crate::report::Report;

/// Arguments from a JSON array: a value for `?x`, an array for `[?x ?y]` and `[?x ...]`, an
/// array of arrays for `[[?x ?y]]`.
///
/// ```
/// use tercet_engine::{program::raw::Input, value::Value};
/// let query = tercet_query_lang::parse("[:find ?e :in ?n [?tag ...] :where [?e ?n ?tag]]")?;
/// let json = serde_json::json!(["user/tag", ["a", {"$ref": "b"}]]);
/// let inputs = tercet_query_lang::inputs_from_json(&query.raw, &json)?;
/// assert_eq!(inputs[0], Input::Scalar(Value::from("user/tag")));
/// # Ok::<(), tercet_query_lang::Report>(())
/// ```
///
/// # Errors
/// Every argument that does not fit, with its path, e.g. `inputs[1][0]`.
pub fn inputs_from_json(program: &RawProgram, json: &Json) -> Result<Vec<Input>, Report> {
    let mut paths = Paths::default();
    let root = paths.root();
    let mut shaper = JsonForms { paths, problems: Problems::default() };
    let at = shaper.key(root, "inputs");
    let forms = match json {
        Json::Array(items) => shaper.items(items, at),
        Json::Null => Vec::new(),
        _ => {
            let message = format!("expected an array of arguments, found {}", brief(json));
            shaper.problems.push(at, Problem::new("query_input", message));
            Vec::new()
        }
    };
    let JsonForms { paths, mut problems } = shaper;
    let sources = Sources { paths, ..Sources::default() };
    shape_all(program, &forms, at, &mut problems).ok_or_else(|| Report::new(problems, &sources))
}

/// Arguments from EDN texts, one for each input: `5`, `"text"`, `[1 2 3]`, `[["a" 1] ["b" 2]]`.
///
/// # Errors
/// Every argument that does not fit, with its position.
pub fn inputs_from_text(program: &RawProgram, texts: &[&str]) -> Result<Vec<Input>, Report> {
    let mut problems = Problems::default();
    let mut forms = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let origin = Origin::Input(index as u32);
        let whole = Span { origin, start: 0, end: 0 };
        let read = reader::read(text, origin, crate::NESTING_MAX, &mut problems);
        forms.push(match read.as_deref() {
            Some([form]) => form.clone(),
            Some(found) => {
                let message = format!("expected one value, found {}", found.len());
                problems.push(whole, Problem::new("query_input", message));
                Form::new(Kind::Poison, whole)
            }
            None => Form::new(Kind::Poison, whole),
        });
    }
    let inputs = texts.iter().map(|text| (*text).into()).collect();
    let sources = Sources { inputs, ..Sources::default() };
    let at = Span { origin: Origin::Input(0), start: 0, end: 0 };
    shape_all(program, &forms, at, &mut problems).ok_or_else(|| Report::new(problems, &sources))
}

/// JSON arguments as forms: arrays become vectors.
struct JsonForms {
    paths: Paths,
    problems: Problems,
}

impl JsonForms {
    fn key(&mut self, parent: Span, key: &str) -> Span {
        self.paths.add(parent, crate::json::Step::Key(key.to_owned()))
    }

    fn items(&mut self, items: &[Json], span: Span) -> Vec<Form> {
        self.nested_items(items, span, 0)
    }

    fn nested_items(&mut self, items: &[Json], span: Span, n_levels: usize) -> Vec<Form> {
        let read = |(index, item): (usize, &Json)| {
            let at = self.paths.add(span, crate::json::Step::Index(index));
            match item {
                Json::Array(items) if n_levels < 2 => {
                    Form::new(Kind::Vector(self.nested_items(items, at, n_levels + 1)), at)
                }
                _ => match read_value(item) {
                    Ok(value) => Form::new(Kind::Value(value), at),
                    Err(problem) => {
                        self.problems.push(at, problem);
                        Form::new(Kind::Poison, at)
                    }
                },
            }
        };
        items.iter().enumerate().map(read).collect()
    }
}

fn shape_all(
    program: &RawProgram,
    forms: &[Form],
    span: Span,
    problems: &mut Problems,
) -> Option<Vec<Input>> {
    let inputs: Vec<&RawInput> =
        program.inputs.iter().filter(|input| **input != RawInput::Rules).collect();
    if inputs.len() != forms.len() && problems.is_empty() {
        let message = format!("the query takes {} arguments, found {}", inputs.len(), forms.len());
        let problem = Problem::new("query_input", message);
        problems.push(span, problem.hint("one argument for each part of `:in` but `$` and `%`"));
    }
    let mut shaped = Vec::with_capacity(inputs.len());
    for (input, form) in inputs.into_iter().zip(forms) {
        shaped.extend(shape(input, form, problems));
    }
    problems.is_empty().then_some(shaped)
}

fn shape(input: &RawInput, form: &Form, problems: &mut Problems) -> Option<Input> {
    Some(match input {
        RawInput::Scalar(_) => Input::Scalar(scalar(form, problems)?),
        RawInput::Tuple(slots) => Input::Tuple(row(form, slots.len(), problems)?),
        RawInput::Collection(_) => {
            let items = vector(form, "an array of values", problems)?.iter();
            Input::Collection(items.map(|item| scalar(item, problems)).collect::<Option<_>>()?)
        }
        RawInput::Relation(slots) => {
            let rows = vector(form, "an array of rows", problems)?.iter();
            let n_values = slots.len();
            Input::Relation(rows.map(|item| row(item, n_values, problems)).collect::<Option<_>>()?)
        }
        RawInput::Rules => return None,
    })
}

fn scalar(form: &Form, problems: &mut Problems) -> Option<Value> {
    match &form.kind {
        Kind::Value(value) => return Some(value.clone()),
        Kind::Poison => {}
        _ => misfit(form, "a value", problems),
    }
    None
}

fn row(form: &Form, n_values: usize, problems: &mut Problems) -> Option<Vec<Value>> {
    let items = vector(form, &format!("an array of {n_values} values"), problems)?;
    if items.len() != n_values {
        misfit(form, &format!("an array of {n_values} values"), problems);
        return None;
    }
    items.iter().map(|item| scalar(item, problems)).collect()
}

fn vector<'f>(form: &'f Form, expected: &str, problems: &mut Problems) -> Option<&'f [Form]> {
    match &form.kind {
        Kind::Vector(items) => return Some(items),
        Kind::Poison => {}
        _ => misfit(form, expected, problems),
    }
    None
}

fn misfit(form: &Form, expected: &str, problems: &mut Problems) {
    let message = format!("expected {expected}, found {}", form.brief());
    problems.push(form.span, Problem::new("query_input", message));
}

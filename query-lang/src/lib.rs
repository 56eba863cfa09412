//! Query text, its JSON form and a builder, all into one program; errors with positions.
//!
//! Datomic's dialect of Datalog as EDN text, because the field knows it; a JSON form with the
//! same meaning, because the web speaks it; a builder in Rust. All three become a tree of
//! *forms*, and one translator turns forms into the engine's flat `RawProgram`: the front ends
//! cannot drift apart. Going back, [`print()`] and [`to_json`] are the inverses of [`parse`] and
//! [`from_json`]. Reading reports every error it can find, each with a stable code, its line and
//! column or JSON path, and a hint. Whether a program makes sense (bound variables, known
//! functions, safe rules) is checked by the engine; [`Parsed::prepare`] puts its errors at their
//! positions too. Nothing here evaluates, and nothing recurses deeper than [`NESTING_MAX`].
//!
//! Modules in reading order: `syntax` (characters and words), `token`, `form`, `reader` (text to
//! forms), `translate` (forms to programs), `parsed` and `report` (positions and errors),
//! `print`, `json`, `inputs`, `builder`.

mod ask;
pub mod builder;
mod form;
mod inputs;
mod json;
mod parsed;
mod print;
mod problem;
mod reader;
mod report;
mod suggest;
mod syntax;
mod token;
mod translate;
mod walk;

use serde_json::Value as Json;
use tercet_engine::db::Query;
use tercet_engine::program::raw::RawProgram;
pub use tercet_engine::program::{CLAUSES_MAX, NESTING_MAX};

pub use ask::{Inputs, IntoQuery};
pub use form::{Origin, Span};
pub use inputs::{inputs_from_json, inputs_from_text};
pub use json::to_json;
pub use parsed::{Parsed, Spans};
pub use print::print;
pub use report::{Location, Report, ReportError, TextLocation};

use form::{Form, Kind};
use parsed::Sources;
use problem::{Problem, Problems};

/// The longest text of a query or of rules, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// Rules given apart stand three levels deep when they are printed inside a query; as a bare
/// sequence they are written from the first. The limit leaves room for the difference.
const RULES_NESTING_MAX: usize = NESTING_MAX - 2;

/// Reads a query from EDN text.
///
/// ```
/// let parsed = tercet_query_lang::parse("[:find ?name :where [?e :user/name ?name]]")?;
/// assert_eq!(parsed.raw.clauses.len(), 1);
///
/// let report = tercet_query_lang::parse("[:find ?name :wher [?e :user/name ?name]]").unwrap_err();
/// assert_eq!(report.code(), "query_unknown_key");
/// assert_eq!(report.errors[0].position(), Some((1, 14)));
/// # Ok::<(), tercet_query_lang::Report>(())
/// ```
///
/// # Errors
/// Everything wrong with the text.
pub fn parse(text: &str) -> Result<Parsed, Report> {
    parse_any(QuerySource::Text(text), None)
}

/// Reads a query and the rules that its `%` asks for.
///
/// The rules are one vector of definitions, or definitions one after another.
///
/// # Errors
/// Everything wrong with either text; rules that the query does not ask for.
pub fn parse_with_rules(text: &str, rules: &str) -> Result<Parsed, Report> {
    parse_any(QuerySource::Text(text), Some(rules))
}

/// Reads a query in its JSON form, keeping the paths of its parts.
///
/// # Errors
/// Everything wrong with it, each with its path.
pub fn parse_json(json: &Json) -> Result<Parsed, Report> {
    parse_any(QuerySource::Json(json), None)
}

/// Reads a query in its JSON form.
///
/// # Errors
/// Everything wrong with it, each with its path.
pub fn from_json(json: &Json) -> Result<RawProgram, Report> {
    parse_json(json).map(|parsed| parsed.raw)
}

/// A query as it comes in: text, or the JSON form.
#[derive(Debug, Clone, Copy)]
pub enum QuerySource<'a> {
    /// EDN text.
    Text(&'a str),
    /// The JSON form.
    Json(&'a Json),
}

impl<'a> From<&'a str> for QuerySource<'a> {
    fn from(text: &'a str) -> QuerySource<'a> {
        QuerySource::Text(text)
    }
}

/// A JSON string is EDN text, anything else the JSON form.
impl<'a> From<&'a Json> for QuerySource<'a> {
    fn from(json: &'a Json) -> QuerySource<'a> {
        match json {
            Json::String(text) => QuerySource::Text(text),
            other => QuerySource::Json(other),
        }
    }
}

/// Reads and checks a query of either form, with the text of its rules if they are given apart.
///
/// # Errors
/// Everything wrong with it, whoever found it.
pub fn compile<'a>(
    query: impl Into<QuerySource<'a>>,
    rules: Option<&str>,
) -> Result<Query, Report> {
    parse_any(query, rules)?.prepare()
}

/// Reads a query of either form, with the text of its rules if they are given apart.
///
/// # Errors
/// Everything wrong with it.
pub fn parse_any<'a>(
    query: impl Into<QuerySource<'a>>,
    rules: Option<&str>,
) -> Result<Parsed, Report> {
    let mut problems = Problems::default();
    let mut sources = Sources { rules: rules.unwrap_or_default().into(), ..Sources::default() };
    let form = match query.into() {
        QuerySource::Text(text) => {
            sources.query = text.into();
            read_query(text, &mut problems)
        }
        QuerySource::Json(json) => {
            let (form, paths) = json::read::read(json, &mut problems);
            sources.paths = paths;
            Some(form)
        }
    };
    let rules = rules.map(|text| {
        let forms = reader::read(text, Origin::Rules, RULES_NESTING_MAX, &mut problems);
        forms.unwrap_or_default()
    });
    match form.filter(|form| form.n_levels() <= NESTING_MAX) {
        Some(form) => translate_form(&form, rules.as_deref(), problems, sources),
        None => Err(Report::new(problems, &sources)),
    }
}

/// The one form of a query's text.
fn read_query(text: &str, problems: &mut Problems) -> Option<Form> {
    let forms = reader::read(text, Origin::Query, NESTING_MAX, problems)?;
    // What could not be read has been reported: it is no second query.
    let is_readable = |form: &Form| !matches!(form.kind, Kind::Poison);
    let mut forms = forms.into_iter().filter(is_readable);
    let whole = Span { origin: Origin::Query, start: 0, end: text.len() as u32 };
    let first = forms.next();
    if let Some(extra) = forms.next() {
        let message = format!("{} follows the query", extra.brief());
        let problem = Problem::new("query_form", message);
        problems.push(extra.span, problem.hint("a query is one vector, `[:find … :where …]`"));
    }
    if first.is_none() && problems.is_empty() {
        let problem = Problem::new("query_form", "the query is empty");
        problems.push(whole, problem.hint("e.g. `[:find ?name :where [?e :user/name ?name]]`"));
    }
    first.or_else(|| Some(Form::new(Kind::Poison, whole)))
}

fn translate_form(
    form: &Form,
    rules: Option<&[Form]>,
    problems: Problems,
    sources: Sources,
) -> Result<Parsed, Report> {
    let translation = translate::translate(form, rules, problems);
    if translation.problems.is_empty() {
        Ok(Parsed { raw: translation.program, spans: translation.spans, sources })
    } else {
        Err(Report::new(translation.problems, &sources))
    }
}

//! A program together with where each part of it stands in its sources.
//!
//! The engine checks programs without knowing any text and names what is wrong by [`Place`];
//! here a place becomes a line and column, or a JSON path. A place without a position of its own
//! stands where the part that holds it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tercet_engine::db::Query;
use tercet_engine::error::ProgramError;
use tercet_engine::program::raw::{Place, RawProgram};

use crate::form::{Origin, Span};
use crate::json::Paths;
use crate::problem::{Problem, Problems};
use crate::report::Report;

/// A program and the positions of its parts.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The program.
    pub raw: RawProgram,
    /// Where its parts stand.
    pub spans: Spans,
    pub(crate) sources: Sources,
}

impl Parsed {
    /// Checks the program.
    ///
    /// # Errors
    /// Every error that the engine finds, at its position in the source.
    pub fn prepare(&self) -> Result<Query, Report> {
        Query::prepare(self.raw.clone()).map_err(|errors| self.report(&errors))
    }

    /// The engine's errors at their positions.
    ///
    /// # Panics
    /// When there are no errors.
    pub fn report(&self, errors: &[ProgramError]) -> Report {
        let mut problems = Problems::default();
        for error in errors {
            let problem = Problem::new(error.code, error.message.clone());
            problems.push(self.spans.locate(error.place), problem.hint_maybe(error.hint.clone()));
        }
        Report::new(problems, &self.sources)
    }
}

/// Where the parts of a program stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans(pub(crate) BTreeMap<Place, Span>);

impl Spans {
    /// The span recorded for exactly this place.
    pub fn get(&self, place: Place) -> Option<Span> {
        self.0.get(&place).copied()
    }

    /// The span of the place, or of the nearest part that holds it.
    pub fn locate(&self, place: Place) -> Span {
        let holder = match place {
            Place::Argument(clause, _) => Place::Clause(clause),
            Place::PullItem(pull, _) => Place::Pull(pull),
            _ => Place::Query,
        };
        let span = self.get(place).or_else(|| self.get(holder)).or_else(|| self.get(Place::Query));
        span.unwrap_or(Span::BUILDER)
    }
}

/// The texts that spans point into.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    pub(crate) query: Arc<str>,
    pub(crate) rules: Arc<str>,
    pub(crate) inputs: Vec<Arc<str>>,
    pub(crate) paths: Paths,
}

impl Sources {
    /// The name and the text of an origin that has one.
    pub(crate) fn text(&self, origin: Origin) -> (String, &str) {
        match origin {
            Origin::Rules => ("rules".to_owned(), &self.rules),
            Origin::Input(index) => {
                let text = self.inputs.get(index as usize).map_or("", |text| text);
                (format!("input {}", index + 1), text)
            }
            Origin::Query | Origin::Json | Origin::Builder => ("query".to_owned(), &self.query),
        }
    }
}

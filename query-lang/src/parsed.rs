//! A program together with where each part of it stands in its sources.
//!
//! The engine checks programs without knowing any text and names what is wrong by [`Place`];
//! here a place becomes a line and column, or a JSON path. A place without a position of its own
//! stands where the part that holds it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tercet_engine::db::Query;
use tercet_engine::error::{ProgramError, QueryError};
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

    /// Where an evaluation met a limit: the clause at its position, or the query as a whole.
    pub fn report_of(&self, error: &QueryError) -> Report {
        let mut problems = Problems::default();
        let place = error.clause().map_or(Place::Query, Place::Clause);
        let problem = Problem::new(error.code(), error.to_string());
        problems.push(self.spans.locate(place), problem);
        Report::new(problems, &self.sources)
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

#[cfg(test)]
mod tests {
    use tercet_engine::program::raw::{ClauseId, PullId};

    use super::*;

    const TEXT: &str = "[:find ?n (pull ?e [:user/name {:user/boss [*]}])
 :with ?w :in ?i %
 :where [(get-else $ ?e :user/age 0) ?a]
        (not [?e :user/name])
 :having [(> ?n 3)]
 :order-by [?n] :after [5]]";

    /// The code and the text that the error points at.
    fn check(place: Place, expected: &str) {
        let parsed = crate::parse_with_rules(TEXT, "[(r ?x) [?x :a/b]]").expect("it is valid");
        let hint = Some("bind it".to_owned());
        let error = ProgramError { place, code: "query_unbound", message: "m".to_owned(), hint };
        let report = parsed.report(&[error]);
        let crate::Location::Text(location) = &report.errors[0].location else {
            panic!("a text has positions");
        };
        let shown = location.excerpt.chars().skip(location.n_before).take(location.n_marked);
        assert_eq!(shown.collect::<String>(), expected, "{place:?}");
        assert_eq!((report.code(), report.hint()), ("query_unbound", Some("bind it")));
    }

    #[test]
    fn every_kind_of_place_has_its_position() {
        check(Place::Query, TEXT.lines().next().expect("the first line"));
        check(Place::Find(0), "?n");
        check(Place::With(0), "?w");
        check(Place::Input(1), "%");
        check(Place::Clause(ClauseId(0)), "[(get-else $ ?e :user/age 0) ?a]");
        check(Place::Argument(ClauseId(0), 1), ":user/age");
        check(Place::Clause(ClauseId(1)), "[?e :user/name]");
        check(Place::Argument(ClauseId(1), 0), "?e");
        check(Place::Clause(ClauseId(2)), "(not [?e :user/name])");
        check(Place::Pull(PullId(0)), "[*]");
        check(Place::PullItem(PullId(1), 1), ":user/boss");
        check(Place::Having(0), "[(> ?n 3)]");
        check(Place::Order(0), "?n");
        check(Place::After, "[5]");
        check(Place::Rule(0), "[(r ?x) [?x :a/b]]");
        check(Place::Clause(ClauseId(3)), "[?x :a/b]");
    }

    #[test]
    fn a_place_without_a_position_stands_where_its_holder_does() {
        check(Place::Argument(ClauseId(1), 2), "[?e :user/name]");
        check(Place::PullItem(PullId(0), 9), "[*]");
        check(Place::Rule(9), TEXT.lines().next().expect("the first line"));
    }

    #[test]
    fn places_of_json_are_paths() {
        let json = serde_json::json!({
            "find": ["?x"], "where": [{ "not": [["?x", "a/b"]] }], "order-by": [["?x", "desc"]],
        });
        let parsed = crate::parse_json(&json).expect("it is valid");
        let path = |place| {
            let error =
                ProgramError { place, code: "query_unbound", message: "m".to_owned(), hint: None };
            match &parsed.report(&[error]).errors[0].location {
                crate::Location::Json { path } => path.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(path(Place::Query), "");
        assert_eq!(path(Place::Find(0)), "find[0]");
        assert_eq!(path(Place::Argument(ClauseId(0), 1)), "where[0].not[0][1]");
        assert_eq!(path(Place::Clause(ClauseId(1))), "where[0]");
        assert_eq!(path(Place::Order(0)), "order-by[0]");
    }
}

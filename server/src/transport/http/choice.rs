//! Which format a body has, and its options: from the query string, else from a header.

use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::{Request, StatusCode};
use tercet_formats::{Format, FormatError};

use super::parameter;
use crate::transport::problem::Problem;

/// The format that `?format=` names, or else a header; NDJSON if neither does. A media type that
/// is no format of ours counts as none: tools send one for every body.
pub(super) fn choose(request: &Request<Incoming>, header: HeaderName) -> Result<Format, Problem> {
    if let Some(name) = parameter(request, "format") {
        return Ok(Format::from_name(&name)?);
    }
    let named = request.headers().get(header).and_then(|value| value.to_str().ok());
    Ok(named.and_then(Format::from_media_type).unwrap_or(Format::Ndjson))
}

/// Gives every parameter of the query string to `take`; `others` are read elsewhere.
pub(super) fn take_options(
    request: &Request<Incoming>,
    others: &[&str],
    known: &[&str],
    mut take: impl FnMut(&str, &str) -> Result<bool, FormatError>,
) -> Result<(), Problem> {
    let query = request.uri().query().unwrap_or_default();
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        if name == "format" || others.contains(&&*name) || take(&name, &text)? {
            continue;
        }
        let detail = format!("there is no parameter `{name}`");
        let all = others.iter().chain(&["format"]).chain(known);
        let all = all.copied().collect::<Vec<_>>().join(", ");
        return Err(Problem::malformed(detail).with_hint(format!("parameters are {all}")));
    }
    Ok(())
}

/// What is wrong with an input, with its place.
impl From<FormatError> for Problem {
    fn from(error: FormatError) -> Problem {
        let mut problem = Problem::new(StatusCode::BAD_REQUEST, error.code(), error.to_string());
        if let Some(place) = error.place() {
            for (name, number) in [("line", place.line), ("column", place.column)] {
                if let Some(number) = number {
                    problem = problem.with(name, number);
                }
            }
        }
        problem
    }
}

//! Bodies both ways: read whole within a bound and a time, or streamed with back-pressure.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{StatusCode, http};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::transport::problem::Problem;

/// Why a body broke off after its head was sent: its reader sees an incomplete body.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What every route gives.
pub(crate) type Response = http::Response<UnsyncBoxBody<Bytes, BodyError>>;

/// A body that is there already.
pub(crate) fn full(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, BodyError> {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, document: &serde_json::Value) -> Response {
    json_bytes(status, document.to_string())
}

/// A JSON document that is text already.
pub(crate) fn json_bytes(status: StatusCode, document: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(document));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Refuses compressed bodies, which could be of any size.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding == "identity" => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "encoding_unsupported",
            "compressed bodies are not read; send it without content-encoding",
        )),
    }
}

/// Reads a body as a whole.
pub(crate) async fn read(
    body: Incoming,
    n_bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(format!("the body has at most {n_bytes_max} bytes"));
    if body.size_hint().lower() > n_bytes_max as u64 {
        return Err(too_large());
    }
    let collected = timeout(time_max, Limited::new(body, n_bytes_max).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::malformed("the body broke off")),
        Err(_) => Err(timed_out()),
    }
}

/// A body that made no progress.
pub(crate) fn timed_out() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time")
}

/// Parses a body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::malformed(format!("the body is not what this route takes: {error}"))
    })
}

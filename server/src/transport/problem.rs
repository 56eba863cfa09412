//! Errors over HTTP: `application/problem+json` (RFC 9457) with a stable code.
//!
//! What storage and the runtime say is logged and not sent: it names files. Each error is logged
//! once, where it becomes a problem.

use std::borrow::Cow;

use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};
use tercet_storage::StorageError;
use tercet_sync::TransactError;

use super::http::body::{Response, full};
use crate::auth::AuthError;
use crate::tenant::{Gone, LoadError};

/// After how many seconds an overloaded server may be asked again.
const RETRY_AFTER_S: u32 = 1;

/// An error as its caller sees it. Boxed, because every result of a route has room for one.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

#[derive(Debug)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    hint: Option<String>,
    /// More members of the document.
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Problem {
        let (code, detail) = (code.into(), detail.into());
        let (hint, members, headers) = (None, Vec::new(), Vec::new());
        Problem(Box::new(Parts { status, code, detail, hint, members, headers }))
    }

    /// The request is not what the route takes.
    pub(crate) fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// Too much of something.
    pub(crate) fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// There is no such route.
    pub(crate) fn not_found() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
    }

    /// The route does not take this method.
    pub(crate) fn method_not_allowed(allowed: &'static str) -> Problem {
        let detail = format!("this path takes {allowed}");
        let mut problem =
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        problem.0.headers.push((ALLOW, HeaderValue::from_static(allowed)));
        problem
    }

    /// Try again.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.with_retry()
    }

    /// Too much is going on.
    pub(crate) fn overloaded(what: &str) -> Problem {
        Problem::unavailable("overloaded", format!("too many {what} run now; try again"))
    }

    /// A defect of the server.
    pub(crate) fn internal() -> Problem {
        let detail = "the server failed; its log says more";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    fn with_retry(mut self) -> Problem {
        self.0.headers.push((RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S)));
        self
    }

    /// With what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.0.hint = Some(hint.into());
        self
    }

    /// With another member.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.0.members.push((name, value.into()));
        self
    }

    /// The document with its status.
    pub(crate) fn into_response(self) -> Response {
        let Parts { status, code, detail, hint, members, headers } = *self.0;
        let mut document = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        if let Some(hint) = hint {
            document["hint"] = hint.into();
        }
        for (name, value) in members {
            document[name] = value;
        }
        let mut response = Response::new(full(document.to_string()));
        *response.status_mut() = status;
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, problem_json);
        response.headers_mut().extend(headers);
        response
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Problem {
        match error {
            AuthError::Unauthenticated => {
                Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", error.to_string())
                    .with_hint("send the header Authorization: Bearer KEY")
            }
            AuthError::Forbidden => {
                Problem::new(StatusCode::FORBIDDEN, "forbidden", error.to_string())
            }
            AuthError::Storage(error) => error.into(),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Problem {
        if matches!(error, StorageError::Overloaded { .. }) {
            return Problem::overloaded("storage jobs");
        }
        tracing::error!(code = error.code(), %error, "storage failed");
        if error.is_transient() {
            Problem::unavailable("storage_unavailable", "storage cannot be reached now; try again")
        } else {
            Problem::internal()
        }
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Problem {
        match error {
            LoadError::Storage(error) => error.into(),
            LoadError::Recovery { .. } | LoadError::Panicked { .. } => {
                tracing::error!(%error, "tenant could not be loaded");
                Problem::internal()
            }
        }
    }
}

impl From<Gone> for Problem {
    fn from(gone: Gone) -> Problem {
        Problem::unavailable("storage_unavailable", gone.to_string()).with_hint(
            "a transaction may have been committed: send it again with the same client and number",
        )
    }
}

impl From<TransactError> for Problem {
    fn from(error: TransactError) -> Problem {
        let detail = error.to_string();
        match error {
            TransactError::Rejected(rejection) => {
                let problem =
                    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.code, detail);
                match rejection.op {
                    Some(op) => problem.with("op", op),
                    None => problem,
                }
            }
            TransactError::Refused(refusal) => match refusal.code {
                "storage_unavailable" | "overloaded" => Problem::unavailable(refusal.code, detail),
                "read_only" => Problem::new(StatusCode::FORBIDDEN, refusal.code, detail),
                _ => Problem::new(StatusCode::CONFLICT, refusal.code, detail),
            },
            _ => Problem::internal(),
        }
    }
}

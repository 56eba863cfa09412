//! `POST /v1/apps/{app}/query`: one evaluation over the published facts, within a budget.
//!
//! It runs on a thread for blocking work, over a snapshot that costs the tenant nothing, and is
//! stopped when it takes too long or when the one who asked has gone.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tercet_engine::answer::{Answer, RowRef};
use tercet_engine::db::{LiveProfile, Query, explain_live};
use tercet_engine::error::QueryError;
use tercet_engine::ids::Checkpoint;
use tercet_engine::limits::Budget;
use tercet_engine::profile::Profile;
use tercet_engine::program::raw::Input;
use tercet_engine::store::Snapshot;
use tercet_query_lang::{Parsed, Report};
use tercet_sync::wire_row::{self, WireOutput};

use super::Services;
use super::body::{self, Response};
use crate::clock::Deadline;
use crate::limits::ServerLimits;
use crate::transport::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// EDN text, or the JSON form.
    query: Json,
    #[serde(default)]
    rules: Option<String>,
    #[serde(default)]
    inputs: Json,
    /// Only how it would be evaluated is asked for.
    #[serde(default)]
    explain: bool,
    /// What each part of the evaluation did is asked for, too.
    #[serde(default)]
    profile: bool,
}

pub(super) async fn query(
    services: &Services,
    app: &str,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    let grant = services.grant(app, request.headers()).await?;
    let limits = &services.limits;
    let permit = services.queries.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::overloaded("queries"))?;
    let n_bytes_max = limits.query_body_bytes_max;
    let bytes = body::read(request.into_body(), n_bytes_max, limits.body_timeout).await?;
    let asked: Asked = body::parse(&bytes)?;
    check_texts(&asked, limits)?;
    if asked.explain && asked.profile {
        let detail = "`explain` and `profile` exclude each other: a profile has the plan, too";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "query_form", detail));
    }
    let (snapshot, checkpoint) = services.tenants.get(&grant).await?.snapshot().await?;
    let (deadline, limits) = (Deadline::after(limits.query_time), limits.clone());
    let _cancel = CancelOnDrop(deadline.clone());
    let evaluation = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let (parsed, query, inputs) = prepare(&asked)?;
        if asked.explain {
            let live = explain_live(&query, &inputs, &snapshot);
            return Ok(explanation(&query.explain(&snapshot), &live, checkpoint));
        }
        let evaluated = evaluate(&query, &inputs, &snapshot, &deadline, &limits, asked.profile);
        let (answer, profile) = evaluated.map_err(|error| stopped(&parsed, &error))?;
        if answer.rows.len() > limits.query_rows_max {
            let detail = format!("an answer has at most {} rows", limits.query_rows_max);
            return Err(over_budget(detail));
        }
        document(&query, &answer, profile.as_ref(), &snapshot, checkpoint, &limits)
    });
    let document = evaluation.await.map_err(|_| Problem::internal())??;
    Ok(body::json_bytes(StatusCode::OK, document))
}

/// Stops an evaluation that nobody waits for any more.
struct CancelOnDrop(Deadline);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn check_texts(asked: &Asked, limits: &ServerLimits) -> Result<(), Problem> {
    let texts = [asked.query.as_str(), asked.rules.as_deref()];
    if texts.into_iter().flatten().any(|text| text.len() > limits.query_text_bytes_max) {
        let max = limits.query_text_bytes_max;
        let detail = format!("the text of a query, and of its rules, has at most {max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "query_too_long", detail));
    }
    Ok(())
}

fn prepare(asked: &Asked) -> Result<(Parsed, Query, Vec<Input>), Problem> {
    let parsed = tercet_query_lang::parse_any(&asked.query, asked.rules.as_deref());
    let parsed = parsed.map_err(|report| reported(&report))?;
    let query = parsed.prepare().map_err(|report| reported(&report))?;
    let inputs = tercet_query_lang::inputs_from_json(&parsed.raw, &asked.inputs);
    let inputs = inputs.map_err(|report| reported(&report))?;
    Ok((parsed, query, inputs))
}

/// A query that is none: every error with its place.
fn reported(report: &Report) -> Problem {
    let problem = Problem::new(StatusCode::BAD_REQUEST, report.code(), report.to_string());
    let errors = serde_json::to_value(&report.errors).expect("reports are plain data");
    let problem = problem.with("errors", errors);
    match report.hint() {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

fn evaluate(
    query: &Query,
    inputs: &[Input],
    snapshot: &Snapshot,
    deadline: &Deadline,
    limits: &ServerLimits,
    profiles: bool,
) -> Result<(Answer, Option<Profile>), QueryError> {
    let span = tracing::debug_span!("evaluate");
    let budget = Budget {
        rows: Some(limits.query_work_rows_max),
        bytes: Some(limits.query_bytes_max),
        rounds: None,
        interrupt: Some(deadline.interrupt()),
    };
    span.in_scope(|| {
        if !profiles {
            return query.run(snapshot, inputs, &budget).map(|answer| (answer, None));
        }
        let clock = || deadline.elapsed();
        let (answer, profile) = query.profile(snapshot, inputs, &budget, Some(&clock))?;
        Ok((answer, Some(profile)))
    })
}

/// An evaluation without an answer; where it met a limit, with the place.
fn stopped(parsed: &Parsed, error: &QueryError) -> Problem {
    match error {
        QueryError::Budget { .. } | QueryError::Stopped { .. } => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let problem = Problem::new(status, error.code(), error.to_string());
            let errors = serde_json::to_value(&parsed.report_of(error).errors);
            problem.with("errors", errors.expect("reports are plain data"))
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, error.code(), error.to_string()),
    }
}

/// How a query would be evaluated, and kept up as a live query, as JSON. One that cannot be live
/// has the reason instead.
fn explanation(
    profile: &Profile,
    live: &Result<LiveProfile, QueryError>,
    checkpoint: Checkpoint,
) -> Bytes {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"{\"profile\":");
    put(&mut bytes, profile);
    bytes.extend_from_slice(b",\"live\":");
    match live {
        Ok(live) => put(&mut bytes, live),
        Err(error) => {
            let refused = json!({"code": error.code(), "detail": error.to_string()});
            put(&mut bytes, &json!({"refused": refused}));
        }
    }
    bytes.extend_from_slice(b",\"checkpoint\":");
    put(&mut bytes, &checkpoint);
    bytes.push(b'}');
    bytes.into()
}

fn over_budget(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "query_over_budget", detail)
        .with_hint("ask for fewer rows with :limit, and go on with :after")
}

/// The answer as JSON. Written by hand where it is long: rows go straight to bytes.
fn document(
    query: &Query,
    answer: &Answer,
    profile: Option<&Profile>,
    snapshot: &Snapshot,
    checkpoint: Checkpoint,
    limits: &ServerLimits,
) -> Result<Bytes, Problem> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"{\"columns\":");
    put(&mut bytes, &*answer.columns);
    bytes.extend_from_slice(b",\"form\":");
    put(&mut bytes, &answer.form);
    bytes.extend_from_slice(b",\"rows\":[");
    for (index, row) in answer.rows.iter().enumerate() {
        bytes.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        put_row(&mut bytes, row)?;
        bytes.push(b']');
        if bytes.len() > limits.query_answer_bytes_max {
            let max = limits.query_answer_bytes_max;
            return Err(over_budget(format!("an answer has at most {max} bytes")));
        }
    }
    bytes.extend_from_slice(b"],\"warnings\":");
    put(&mut bytes, &warnings(query, answer, snapshot));
    if let Some(profile) = profile {
        bytes.extend_from_slice(b",\"profile\":");
        put(&mut bytes, profile);
    }
    bytes.extend_from_slice(b",\"checkpoint\":");
    put(&mut bytes, &checkpoint);
    bytes.push(b'}');
    Ok(bytes.into())
}

fn put(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(bytes, value).expect("writing JSON to memory succeeds");
}

fn put_row(bytes: &mut Vec<u8>, row: RowRef<'_>) -> Result<(), Problem> {
    let row = wire_row::to_wire(row.to_row()).map_err(|error| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
    })?;
    for (index, output) in row.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        match output {
            WireOutput::Value(value) => put(bytes, value),
            WireOutput::List(values) => put(bytes, values),
            WireOutput::Tree(json) => bytes.extend_from_slice(json.as_bytes()),
        }
    }
    Ok(())
}

fn warnings(query: &Query, answer: &Answer, snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = query.warnings(snapshot);
    if answer.n_without_result > 0 {
        let n = answer.n_without_result;
        warnings.push(format!("a function had no result {n} times; those rows are absent"));
    }
    warnings
}

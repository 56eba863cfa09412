//! `GET /v1/apps/{app}/changes`: the commits after a position, from the log.

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Serialize;
use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Op;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{ClientId, ClientSeq, Epoch, Seq};

use super::body::Response;
use super::stream::{self, Lines};
use super::{Services, parameter};
use crate::tenant::TenantHandle;
use crate::transport::problem::Problem;

/// Commits when no limit is given.
const CHANGES_DEFAULT: usize = 1_000;

/// How much of the log is read at a time.
const READ_BYTES: usize = 1 << 20;

/// Says which history the lines are of.
const EPOCH_HEADER: HeaderName = HeaderName::from_static("tercet-epoch");

#[derive(Serialize)]
struct Change {
    seq: Seq,
    at_ms: u64,
    client: ClientId,
    number: ClientSeq,
    hlc: Hlc,
    ops: Vec<Op>,
}

pub(super) async fn changes(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let tenant = services.tenant(app, request.headers()).await?;
    let after = Seq(number(request, "after")?.unwrap_or(0));
    let epoch = parameter(request, "epoch").map(|text| text.parse::<Epoch>());
    match epoch {
        None if after > Seq(0) => {
            return Err(Problem::malformed("after needs the epoch that it counts in")
                .with_hint("it is in every checkpoint, and in the header tercet-epoch here"));
        }
        Some(Err(_)) => return Err(Problem::malformed("epoch is 16 hex digits")),
        Some(Ok(epoch)) if epoch != tenant.epoch() => {
            return Err(Problem::new(
                StatusCode::GONE,
                "epoch_changed",
                "the history was replaced; read everything again, from an export",
            )
            .with("epoch", tenant.epoch().to_string()));
        }
        None | Some(Ok(_)) => {}
    }
    let limit = number(request, "limit")?
        .map_or(CHANGES_DEFAULT, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let limit = limit.min(services.limits.changes_max);
    let first = read(&tenant, after, limit).await?;
    let (lines, mut response) = stream::lines(services.limits.stream_timeout);
    let epoch = HeaderValue::try_from(tenant.epoch().to_string()).expect("hex digits");
    response.headers_mut().insert(EPOCH_HEADER, epoch);
    tokio::spawn(write(tenant, first, after, limit, lines));
    Ok(response)
}

fn number(request: &Request<Incoming>, name: &str) -> Result<Option<u64>, Problem> {
    parameter(request, name)
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| Problem::malformed(format!("{name} is a number")))
}

async fn read(tenant: &TenantHandle, after: Seq, n_max: usize) -> Result<Vec<LogRecord>, Problem> {
    Ok(tenant.changes(after, n_max, READ_BYTES).await??)
}

async fn write(
    tenant: TenantHandle,
    mut records: Vec<LogRecord>,
    mut after: Seq,
    mut n_left: usize,
    mut lines: Lines,
) {
    while !records.is_empty() {
        n_left -= records.len();
        for record in records {
            after = record.seq();
            if let Some(change) = change_of(record) {
                lines.push(&change);
            }
            if lines.send().await.is_err() {
                return lines.abort("the changes were not taken in time");
            }
        }
        records = match read(&tenant, after, n_left).await {
            Ok(records) => records,
            Err(_) => return lines.abort("the log cannot be read now"),
        };
    }
}

fn change_of(record: LogRecord) -> Option<Change> {
    match record {
        LogRecord::Commit { seq, at_ms, origin, transaction } => Some(Change {
            seq,
            at_ms,
            client: origin.client,
            number: origin.number,
            hlc: transaction.hlc,
            ops: transaction.ops,
        }),
        LogRecord::Reject { .. } => None,
    }
}

//! `GET /v1/apps/{app}/changes`: the commits after a position, from the log.
//!
//! Followed, the list has no end: what is committed later comes as soon as it is durable, and a
//! heartbeat when nothing does, so that both sides notice a connection that is dead. The log is the
//! only source: a reader that is slow reads on from where it is, and nothing waits for it in
//! memory but the chunk on its way. The body ends when the server stops; it breaks off when the
//! list cannot go on, and whoever follows begins again after the last commit that it has.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Serialize;
use tercet_engine::commit::LogRecord;
use tercet_engine::fact::Op;
use tercet_engine::hlc::Hlc;
use tercet_engine::ids::{Checkpoint, ClientId, ClientSeq, Epoch, Seq};
use tokio::sync::watch;

use super::body::Response;
use super::stream::{self, Lines};
use super::{Services, parameter};
use crate::server::stopped;
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
    let limit = number(request, "limit")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let follow = match parameter(request, "follow").as_deref() {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(Problem::malformed("follow is true or false")),
    };
    let limit = match follow {
        true => limit.unwrap_or(usize::MAX),
        false => limit.unwrap_or(CHANGES_DEFAULT).min(services.limits.changes_max),
    };
    // Before the first look at the log, so that no commit falls between the two.
    let head = tenant.head();
    let first = read(&tenant, after, limit).await?;
    let (lines, mut response) = stream::lines(services.limits.stream_timeout);
    let epoch = HeaderValue::try_from(tenant.epoch().to_string()).expect("hex digits");
    response.headers_mut().insert(EPOCH_HEADER, epoch);
    let follower = follow.then(|| Follower {
        head,
        stop: services.stop.subscribe(),
        heartbeat: services.limits.heartbeat_interval,
    });
    tokio::spawn(write(tenant, first, after, limit, lines, follower));
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

/// How a list that has no end goes on.
struct Follower {
    head: watch::Receiver<Seq>,
    stop: watch::Receiver<bool>,
    heartbeat: Duration,
}

/// What a follower waited for.
enum Next {
    Commits,
    Silence,
    /// The server stops.
    Stop,
    /// The app is being loaded again.
    Gone,
}

impl Follower {
    async fn next(&mut self, after: Seq) -> Next {
        tokio::select! {
            () = stopped(&mut self.stop) => Next::Stop,
            head = self.head.wait_for(|head| *head > after) => match head {
                Ok(_) => Next::Commits,
                Err(_) => Next::Gone,
            },
            () = tokio::time::sleep(self.heartbeat) => Next::Silence,
        }
    }
}

/// Says that the connection is there, and up to where everything has been sent.
#[derive(Serialize)]
struct Heartbeat {
    heartbeat: Checkpoint,
}

async fn write(
    tenant: TenantHandle,
    mut records: Vec<LogRecord>,
    mut after: Seq,
    mut n_left: usize,
    mut lines: Lines,
    mut follower: Option<Follower>,
) {
    loop {
        n_left -= records.len();
        let is_all = records.is_empty();
        for record in records {
            after = record.seq();
            if let Some(change) = change_of(record)
                && lines.push(&change)
                && lines.send().await.is_err()
            {
                return lines.abort("the changes were not taken in time");
            }
        }
        if lines.send().await.is_err() {
            return lines.abort("the changes were not taken in time");
        }
        match &mut follower {
            _ if n_left == 0 => return,
            Some(follower) if is_all => match follower.next(after).await {
                Next::Commits => {}
                Next::Silence => {
                    let heartbeat = Checkpoint { epoch: tenant.epoch(), seq: after };
                    lines.push(&Heartbeat { heartbeat });
                }
                Next::Stop => return,
                Next::Gone => return lines.abort("the app is being loaded again"),
            },
            None if is_all => return,
            _ => {}
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

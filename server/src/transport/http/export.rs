//! `GET /v1/apps/{app}/export`: all visible facts of one position, as operations that write them.
//!
//! The snapshot stays as it is while it is written out, whatever is committed meanwhile.

use hyper::Request;
use hyper::body::Incoming;
use serde_json::json;
use tercet_engine::fact::{Fact, Kind, Op};
use tercet_engine::store::Snapshot;
use tokio::runtime::Handle;

use super::Services;
use super::body::Response;
use super::stream::{self, Lines, ReaderGone};
use crate::transport::problem::Problem;

pub(super) async fn export(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let tenant = services.tenant(app, request.headers()).await?;
    let permit = services.exports.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::overloaded("exports"))?;
    let (snapshot, checkpoint) = tenant.snapshot().await?;
    let (mut lines, response) = stream::lines(services.limits.stream_timeout);
    lines.push(&json!({"checkpoint": checkpoint, "facts": snapshot.n_facts()}));
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        if write(&snapshot, &mut lines, &runtime).is_err() {
            lines.abort("the export was not taken in time");
        }
    });
    Ok(response)
}

fn write(snapshot: &Snapshot, lines: &mut Lines, runtime: &Handle) -> Result<(), ReaderGone> {
    for (fact, mark) in snapshot.iter() {
        if lines.push(&op_of(fact, mark.kind)) {
            runtime.block_on(lines.send())?;
        }
    }
    runtime.block_on(lines.send())
}

/// The operation that writes a fact as it was written.
fn op_of(fact: Fact, kind: Kind) -> Op {
    let Fact { entity: e, attribute: a, value: v } = fact;
    match kind {
        Kind::Set => Op::Set { e, a, v },
        Kind::Add => Op::Add { e, a, v },
    }
}

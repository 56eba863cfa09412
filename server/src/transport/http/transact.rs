//! `POST /v1/apps/{app}/transact`: one transaction, answered when it is durable.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tercet_engine::fact::Op;
use tercet_engine::ids::{ClientId, ClientSeq};
use tercet_sync::Identity;

use super::body::{self, Response};
use super::{Services, ops};
use crate::tenant::Gone;
use crate::transport::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transact<Operation> {
    ops: Vec<Operation>,
    #[serde(default)]
    client: Option<ClientId>,
    #[serde(default)]
    number: Option<ClientSeq>,
}

pub(super) async fn transact(
    services: &Services,
    app: &str,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    let grant = services.grant_to_write(app, request.headers()).await?;
    let limits = &services.limits;
    let n_bytes_max = limits.transact_body_bytes_max;
    let bytes = body::read(request.into_body(), n_bytes_max, limits.body_timeout).await?;
    let (identity, ops) = parse(&bytes)?;
    drop(bytes);
    let tenant = services.tenants.get(&grant).await?;
    let answer = tenant.start_transact(identity, ops, grant.rights()).await?;
    let accepted = answer.await.map_err(|_| Gone)??;
    let document = json!({
        "seq": accepted.checkpoint.seq,
        "epoch": accepted.checkpoint.epoch,
        "effects": accepted.effects,
    });
    Ok(body::json(StatusCode::OK, &document))
}

fn parse(bytes: &[u8]) -> Result<(Option<Identity>, Vec<Op>), Problem> {
    let parsed: Transact<Op> = serde_json::from_slice(bytes).map_err(|_| explain(bytes))?;
    let identity = match (parsed.client, parsed.number) {
        (Some(client), Some(number)) => Some(Identity { client, number }),
        (None, None) => None,
        _ => return Err(Problem::malformed("client and number are given together or not at all")),
    };
    Ok((identity, parsed.ops))
}

/// What is wrong with a body that is no transaction.
fn explain(bytes: &[u8]) -> Problem {
    let untyped: Transact<serde_json::Value> = match body::parse(bytes) {
        Ok(untyped) => untyped,
        Err(problem) => return problem,
    };
    match ops::first_error(&untyped.ops) {
        Some((index, error)) => {
            let detail = format!("operation {index} is none: {}", error.message);
            Problem::new(StatusCode::BAD_REQUEST, error.code, detail).with("op", index)
        }
        None => Problem::malformed("the body is no transaction"),
    }
}

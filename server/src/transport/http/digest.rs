//! `GET /v1/apps/{app}/digest`: what the app holds, in a few bytes, to compare with a replica.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::json;

use super::Services;
use super::body::{self, Response};
use crate::transport::problem::Problem;

pub(super) async fn digest(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let digest = services.tenant(app, request.headers()).await?.digest().await?;
    let document = json!({
        "checkpoint": digest.checkpoint,
        "n_facts": digest.n_items,
        "fingerprint": digest.fingerprint,
    });
    Ok(body::json(StatusCode::OK, &document))
}

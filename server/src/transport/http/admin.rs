//! The admin routes: apps, their keys, and what their live queries cost. They answer to the admin
//! token only.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tercet_engine::db::ShapeStats;
use tercet_storage::{Access, App, AppId, Role, StorageError, TenantId};
use tercet_sync::TenantStats;

use super::body::{self, Response};
use super::{Services, bearer};
use crate::transport::problem::Problem;

/// How long names and labels may be, in bytes.
const NAME_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApp {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    role: NewRole,
    access: NewAccess,
    #[serde(default)]
    label: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NewRole {
    Server,
    Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum NewAccess {
    Read,
    Write,
}

/// `GET /v1/admin/apps`.
pub(super) async fn apps(
    services: &Services,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    services.auth.check_admin(bearer(request.headers()))?;
    let apps = services.auth.apps().await?;
    let apps: Vec<_> = apps.iter().map(described).collect();
    Ok(body::json(StatusCode::OK, &json!({"apps": apps})))
}

fn described(app: &App) -> serde_json::Value {
    json!({"app": app.id.as_str(), "name": app.name, "created_ms": app.created_ms})
}

/// `POST /v1/admin/apps`.
pub(super) async fn create_app(
    services: &Services,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    services.auth.check_admin(bearer(request.headers()))?;
    let NewApp { name } = read(services, request).await?;
    check_name("name", &name)?;
    if name.is_empty() {
        return Err(Problem::malformed("an app has a name"));
    }
    let app = services.auth.create_app(name).await?;
    tracing::info!(tenant = %app.id, "app created");
    Ok(body::json(StatusCode::CREATED, &json!({"app": app.id.as_str(), "name": app.name})))
}

/// `POST /v1/admin/apps/{app}/keys`.
pub(super) async fn create_key(
    services: &Services,
    app: &str,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    services.auth.check_admin(bearer(request.headers()))?;
    let app = AppId::new(app).map_err(|_| app_unknown())?;
    let NewKey { role, access, label } = read(services, request).await?;
    check_name("label", &label)?;
    let role = match role {
        NewRole::Server => Role::Server,
        NewRole::Client => Role::Client,
    };
    let access = match access {
        NewAccess::Read => Access::Read,
        NewAccess::Write => Access::Write,
    };
    match services.auth.create_key(app, role, access, label).await {
        Ok((text, key)) => {
            tracing::info!(tenant = %key.app, key = key.id, "key created");
            Ok(body::json(StatusCode::CREATED, &json!({"key": text, "id": key.id})))
        }
        Err(StorageError::App { exists: false, .. }) => Err(app_unknown()),
        Err(error) => Err(error.into()),
    }
}

/// `GET /v1/admin/apps/{app}/live`.
pub(super) async fn live(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    services.auth.check_admin(bearer(request.headers()))?;
    let apps = services.auth.apps().await?;
    let known = apps.into_iter().map(|known| known.id).find(|known| known.as_str() == app);
    let app = known.ok_or_else(app_unknown)?;
    let document = match services.tenants.loaded(&TenantId::of_app(app)) {
        Some(tenant) => described_live(&tenant.stats().await?),
        None => json!({"loaded": false}),
    };
    Ok(body::json(StatusCode::OK, &document))
}

fn described_live(stats: &TenantStats) -> serde_json::Value {
    let shape = |shape: &ShapeStats| {
        json!({
            "query": tercet_query_lang::print(shape.query.raw()),
            "tier": shape.tier,
            "instances": shape.n_instances,
            "candidates": shape.n_candidates,
            "verified": shape.n_verified,
            "emitted": shape.n_emitted,
            "fallbacks": shape.n_fallbacks,
            "lookups": shape.n_lookups,
            "microseconds": shape.time.as_micros() as u64,
            "kept": shape.n_kept,
        })
    };
    json!({
        "loaded": true,
        "sessions": stats.n_sessions,
        "subscriptions": stats.n_instances,
        "lingering": stats.n_instances_lingering,
        "ring_bytes": stats.n_ring_bytes,
        "stale": stats.n_instances_stale,
        "evaluations": stats.n_evaluations,
        "told_stale": stats.n_stale_told,
        "retries": stats.n_retries,
        "shapes": stats.shapes.iter().map(shape).collect::<Vec<_>>(),
    })
}

fn app_unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "app_unknown", "there is no such app")
}

async fn read<T: serde::de::DeserializeOwned>(
    services: &Services,
    request: Request<Incoming>,
) -> Result<T, Problem> {
    let limits = &services.limits;
    let bytes =
        body::read(request.into_body(), limits.admin_body_bytes_max, limits.body_timeout).await?;
    body::parse(&bytes)
}

fn check_name(what: &str, text: &str) -> Result<(), Problem> {
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let detail =
            format!("a {what} has at most {NAME_BYTES_MAX} bytes and no control characters");
        return Err(Problem::malformed(detail));
    }
    Ok(())
}

//! The admin routes: apps and their keys. They answer to the admin token only.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tercet_storage::{Access, App, AppId, Role, StorageError};

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
    let unknown = || Problem::new(StatusCode::NOT_FOUND, "app_unknown", "there is no such app");
    let app = AppId::new(app).map_err(|_| unknown())?;
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
        Err(StorageError::App { exists: false, .. }) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
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

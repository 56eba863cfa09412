//! The HTTP routes: which path and method leads where, and what every request has in common.

mod admin;
pub(crate) mod body;
mod changes;
mod choice;
mod convert;
mod digest;
mod export;
mod import;
mod ops;
mod query;
mod stream;
mod transact;

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use self::body::Response;
use super::problem::Problem;
use super::ws;
use crate::auth::{Auth, Grant};
use crate::limits::ServerLimits;
use crate::tenant::{TenantHandle, Tenants};

/// What a path means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health,
    Apps,
    Keys,
    Live,
    Transact,
    Query,
    Import,
    Export,
    Changes,
    Digest,
    Sync,
}

const ROUTES: [(&str, Route); 11] = [
    ("/v1/health", Route::Health),
    ("/v1/admin/apps", Route::Apps),
    ("/v1/admin/apps/{app}/keys", Route::Keys),
    ("/v1/admin/apps/{app}/live", Route::Live),
    ("/v1/apps/{app}/transact", Route::Transact),
    ("/v1/apps/{app}/query", Route::Query),
    ("/v1/apps/{app}/import", Route::Import),
    ("/v1/apps/{app}/export", Route::Export),
    ("/v1/apps/{app}/changes", Route::Changes),
    ("/v1/apps/{app}/digest", Route::Digest),
    ("/v1/apps/{app}/sync", Route::Sync),
];

impl Route {
    /// The methods it takes, as an `Allow` header says them.
    fn allowed(self) -> &'static str {
        match self {
            Route::Health
            | Route::Live
            | Route::Export
            | Route::Changes
            | Route::Digest
            | Route::Sync => "GET",
            Route::Apps | Route::Import => "GET, POST",
            Route::Keys | Route::Transact | Route::Query => "POST",
        }
    }
}

/// Everything that routes work with.
pub(crate) struct Services {
    pub(crate) auth: Arc<Auth>,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) limits: Arc<ServerLimits>,
    /// Turns true when connections are to end.
    pub(crate) stop: watch::Sender<bool>,
    queries: Arc<Semaphore>,
    imports: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    routes: matchit::Router<Route>,
}

impl Services {
    pub(crate) fn new(
        auth: Arc<Auth>,
        tenants: Arc<Tenants>,
        limits: Arc<ServerLimits>,
    ) -> Services {
        let mut routes = matchit::Router::new();
        for (path, route) in ROUTES {
            routes.insert(path, route).expect("the paths differ");
        }
        Services {
            auth,
            tenants,
            stop: watch::Sender::new(false),
            queries: Arc::new(Semaphore::new(limits.queries_max)),
            imports: Arc::new(Semaphore::new(limits.imports_max)),
            exports: Arc::new(Semaphore::new(limits.exports_max)),
            limits,
            routes,
        }
    }

    /// What the request's key allows on an app.
    async fn grant(&self, app: &str, headers: &HeaderMap) -> Result<Grant, Problem> {
        Ok(self.auth.grant(app, bearer(headers)).await?)
    }

    /// The same, for a route that writes.
    async fn grant_to_write(&self, app: &str, headers: &HeaderMap) -> Result<Grant, Problem> {
        let grant = self.grant(app, headers).await?;
        if grant.rights().write {
            Ok(grant)
        } else {
            Err(Problem::new(StatusCode::FORBIDDEN, "read_only", "this key may only read"))
        }
    }

    /// The tenant that the request's key opens.
    async fn tenant(&self, app: &str, headers: &HeaderMap) -> Result<TenantHandle, Problem> {
        let grant = self.grant(app, headers).await?;
        Ok(self.tenants.get(&grant).await?)
    }
}

/// Answers a request. A refused one may have left some of its body unread; then the connection
/// cannot take another, and its peer is told so rather than finding it closed.
pub(crate) async fn handle(services: Arc<Services>, request: Request<Incoming>) -> Response {
    let has_body = !request.body().is_end_stream();
    match dispatch(&services, request).await {
        Ok(response) => response,
        Err(problem) => {
            let mut response = problem.into_response();
            if has_body {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

async fn dispatch(
    services: &Arc<Services>,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    let path = request.uri().path().to_owned();
    let found = services.routes.at(&path).map_err(|_| Problem::not_found())?;
    let (route, app) = (*found.value, found.params.get("app").unwrap_or_default());
    body::check_encoding(request.headers())?;
    match (route, request.method()) {
        (Route::Health, &Method::GET) => Ok(health()),
        (Route::Apps, &Method::GET) => admin::apps(services, &request).await,
        (Route::Apps, &Method::POST) => admin::create_app(services, request).await,
        (Route::Keys, &Method::POST) => admin::create_key(services, app, request).await,
        (Route::Live, &Method::GET) => admin::live(services, app, &request).await,
        (Route::Transact, &Method::POST) => transact::transact(services, app, request).await,
        (Route::Query, &Method::POST) => query::query(services, app, request).await,
        (Route::Import, &Method::POST) => import::import(services, app, request).await,
        (Route::Import, &Method::GET) => import::progress(services, app, &request).await,
        (Route::Export, &Method::GET) => export::export(services, app, &request).await,
        (Route::Changes, &Method::GET) => changes::changes(services, app, &request).await,
        (Route::Digest, &Method::GET) => digest::digest(services, app, &request).await,
        (Route::Sync, &Method::GET) => ws::upgrade(services, app, request),
        _ => Err(Problem::method_not_allowed(route.allowed())),
    }
}

fn health() -> Response {
    let document = json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")});
    body::json(StatusCode::OK, &document)
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A parameter of the query string, decoded; the last one counts when it is given twice.
fn parameter(request: &Request<Incoming>, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).last()
}

//! The server's HTTP interface as this command uses it.
//!
//! Every answer that is not a success is a `problem+json` with a stable code; it becomes a
//! [`Failure`] that keeps the code and the hint. Bodies that may be large (import, export) stream.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::failure::Failure;

/// How long a server may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A server, without any right.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    http: Client,
    url: Url,
}

/// A server, with the admin's rights.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    server: Server,
    token: String,
}

/// One app of a server, with the rights of a key.
#[derive(Debug, Clone)]
pub(crate) struct App {
    server: Server,
    id: String,
    key: String,
}

/// An app, as the list of apps shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AppEntry {
    /// Its id.
    pub(crate) app: String,
    /// The name it was given.
    pub(crate) name: String,
    /// When it was made, in milliseconds since 1970.
    pub(crate) created_ms: i64,
}

/// What an import did.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ImportReport {
    /// Lines read.
    pub(crate) lines: u64,
    /// Transactions they made.
    pub(crate) transactions: u64,
    /// How many of those an earlier run had already committed.
    #[serde(default)]
    pub(crate) applied_before: u64,
    /// The app's last commit afterwards.
    pub(crate) seq: u64,
}

/// The result of a query.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Answer {
    /// Names of the find elements.
    pub(crate) columns: Vec<String>,
    /// `relation`, `tuple`, `collection` or `scalar`.
    #[serde(default)]
    pub(crate) form: String,
    /// One cell for each column.
    pub(crate) rows: Vec<Vec<Json>>,
    /// What the server found odd.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// A query as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// EDN text as a string, or the JSON form.
    pub(crate) query: Json,
    /// EDN text of rules.
    pub(crate) rules: Option<String>,
    /// One for each name of `:in`.
    pub(crate) inputs: Vec<Json>,
    /// What else is asked about it.
    pub(crate) about: About,
}

/// What is asked about a query besides its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing.
    Answer,
    /// Instead of it: how it would be evaluated.
    Explain,
    /// How it was evaluated.
    Profile,
}

impl Server {
    /// A caller of the server at this address.
    ///
    /// # Errors
    /// When the address is none, or needs TLS.
    pub(crate) fn new(url: &str) -> Result<Server> {
        let hint = "write it as http://127.0.0.1:7878";
        let parsed = Url::parse(url)
            .map_err(|error| Failure::new(format!("`{url}` is no address: {error}")))
            .map_err(|failure| failure.with_hint(hint))?;
        if parsed.scheme() != "http" || parsed.host_str().is_none() {
            let failure = Failure::new(format!("`{url}` is not an http address"));
            return Err(failure.with_hint(hint).into());
        }
        let mut builder = Client::builder().connect_timeout(CONNECT_LIMIT);
        if is_loopback(&parsed) {
            // A proxy that the environment names cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        let http = builder.build().context("cannot make an HTTP client")?;
        Ok(Server { http, url: parsed })
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.url)
    }

    /// The same server with the admin's rights.
    pub(crate) fn admin(&self, token: &str) -> Admin {
        Admin { server: self.clone(), token: token.to_owned() }
    }

    /// One of its apps.
    pub(crate) fn app(&self, id: &str, key: &str) -> App {
        App { server: self.clone(), id: id.to_owned(), key: key.to_owned() }
    }

    /// The address of a route; each segment is escaped.
    fn route(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        url.path_segments_mut()
            .expect("an http address has a path")
            .pop_if_empty()
            .push("v1")
            .extend(segments);
        url
    }

    /// Sends a request, and gives the response if it is a success.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await.into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let url = self.url.as_str().trim_end_matches('/');
        if error.is_connect() {
            let failure = Failure::new(format!("no server answers at {url}"));
            return failure.with_hint("start one with `tercet serve`, or give its --url").into();
        }
        Failure::new(format!("the connection to {url} broke: {}", innermost(error))).into()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// The cause at the bottom, which alone says something a person can use.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// What a server says when it refuses.
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: Option<String>,
}

async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let body = response.text().await.unwrap_or_default();
    let Ok(problem) = serde_json::from_str::<Problem>(&body) else {
        return Failure::new(format!("the server answered {status}, which is no Tercet answer"))
            .with_hint("is --url the address of a Tercet server?");
    };
    let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
    let failure = Failure::new(message).with_code(&problem.code);
    match problem.hint.or_else(|| hint_for(status, &problem.code)) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// What the server cannot know: how this command is told apps, keys and tokens.
fn hint_for(status: StatusCode, code: &str) -> Option<String> {
    let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    match code {
        "read_only" => Some("make a key that may write: `tercet apps key APP`".to_owned()),
        "forbidden" | "unauthenticated" if is_refused => Some(
            "check --app and --key (TERCET_APP, TERCET_KEY), for `apps` --admin-token \
             (TERCET_ADMIN_TOKEN)"
                .to_owned(),
        ),
        _ => None,
    }
}

impl Admin {
    /// Makes an app and gives its id.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn create_app(&self, name: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            app: String,
        }
        let route = self.server.route(&["admin", "apps"]);
        let request = self.server.http.post(route).bearer_auth(&self.token);
        let response = self.server.send(request.json(&json!({"name": name}))).await?;
        Ok(read::<Created>(response).await?.app)
    }

    /// All apps.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn list_apps(&self) -> Result<Vec<AppEntry>> {
        #[derive(Deserialize)]
        struct Apps {
            apps: Vec<AppEntry>,
        }
        let route = self.server.route(&["admin", "apps"]);
        let request = self.server.http.get(route).bearer_auth(&self.token);
        Ok(read::<Apps>(self.server.send(request).await?).await?.apps)
    }

    /// Makes a key. The server keeps only its hash: this is the one time it is seen.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn create_key(
        &self,
        app: &str,
        role: &str,
        access: &str,
        label: &str,
    ) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            key: String,
        }
        let route = self.server.route(&["admin", "apps", app, "keys"]);
        let body = json!({"role": role, "access": access, "label": label});
        let request = self.server.http.post(route).bearer_auth(&self.token).json(&body);
        Ok(read::<Created>(self.server.send(request).await?).await?.key)
    }
}

impl App {
    /// Asks a query; gives the answer as it came, too.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn query(&self, question: &Question) -> Result<(Answer, Json)> {
        let raw = self.ask(question).await?;
        let answer = Answer::deserialize(&raw).context("the answer has an unknown form")?;
        Ok((answer, raw))
    }

    /// Asks about a query, whatever comes back for it.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn ask(&self, question: &Question) -> Result<Json> {
        let mut body = json!({"query": question.query, "inputs": question.inputs});
        if let Some(rules) = &question.rules {
            body["rules"] = json!(rules);
        }
        match question.about {
            About::Answer => {}
            About::Explain => body["explain"] = json!(true),
            About::Profile => body["profile"] = json!(true),
        }
        let request = self.server.http.post(self.route("query")).bearer_auth(&self.key);
        read(self.server.send(request.json(&body)).await?).await
    }

    /// Sends lines of operations under an import id. Repeating it is harmless.
    ///
    /// # Errors
    /// When the server refuses (what it had committed stays), or cannot be reached.
    pub(crate) async fn import(&self, id: &str, lines: Body) -> Result<ImportReport> {
        let mut route = self.route("import");
        route.query_pairs_mut().append_pair("id", id);
        let request = self.server.http.post(route).bearer_auth(&self.key);
        let request = request.header("content-type", "application/x-ndjson").body(lines);
        read(self.server.send(request).await?).await
    }

    /// All facts in a format, streaming; `parameters` are its name and options.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub(crate) async fn export(&self, parameters: &[(&str, &str)]) -> Result<Response> {
        let mut route = self.route("export");
        route.query_pairs_mut().extend_pairs(parameters);
        let request = self.server.http.get(route).bearer_auth(&self.key);
        self.server.send(request).await
    }

    fn route(&self, name: &str) -> Url {
        self.server.route(&["apps", &self.id, name])
    }
}

/// Reads a JSON answer.
async fn read<Body: for<'de> Deserialize<'de>>(response: Response) -> Result<Body> {
    let bytes = response.bytes().await.context("the answer was cut short")?;
    serde_json::from_slice(&bytes).context("the server's answer is not what this version expects")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Server;

    #[test]
    fn routes_escape_what_people_type() {
        let server = Server::new("http://127.0.0.1:7878/").unwrap();
        let route = server.route(&["apps", "a/../b", "query"]);
        assert_eq!(route.as_str(), "http://127.0.0.1:7878/v1/apps/a%2F..%2Fb/query");
        let below = Server::new("http://example.org/tercet").unwrap();
        assert_eq!(below.route(&["health"]).as_str(), "http://example.org/tercet/v1/health");
    }

    #[test]
    fn knows_this_machine() {
        for url in ["http://localhost:1", "http://127.0.0.9", "http://[::1]:80"] {
            assert!(Server::new(url).unwrap().is_local(), "{url}");
        }
        for url in ["http://example.org", "http://localhost.example.org", "http://10.0.0.1"] {
            assert!(!Server::new(url).unwrap().is_local(), "{url}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for url in ["", "127.0.0.1:7878", "https://example.org", "ftp://example.org"] {
            assert!(Server::new(url).is_err(), "{url}");
        }
    }
}

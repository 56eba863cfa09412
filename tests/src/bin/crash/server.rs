//! The server as a process, and the few requests that the crash test sends to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, Command};

use crate::audit::{HELD_QUERY, Held, WHOLE_QUERY, Write};

/// The admin token of the servers started here; they listen on loopback only.
const ADMIN_TOKEN: &str = "crash-test-admin-token";

/// A server that takes longer than this to open its data has hung.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server process. It dies with this value, should the test end early.
pub(crate) struct Server {
    process: Child,
    data: PathBuf,
    url: String,
    log: Log,
}

/// What a server has written to its standard error, shown when it fails.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Takes in everything, so that the server never waits for us.
    fn keep(&self, mut lines: Lines<impl AsyncBufRead + Unpin + Send + 'static>) {
        let log = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// An app on the server, with a key that may write.
pub(crate) struct App {
    id: String,
    key: String,
}

impl Server {
    /// Starts the program on a free port and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) async fn start(program: &Path, data: &Path) -> Result<Server> {
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-token", ADMIN_TOKEN, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().context("stdout was not piped")?;
        let stderr = process.stderr.take().context("stderr was not piped")?;
        let log = Log::default();
        log.keep(BufReader::new(stderr).lines());
        let url = tokio::time::timeout(START_LIMIT, read_url(stdout, &log)).await.with_context(
            || format!("the server does not say where it listens\n{}", log.text()),
        )??;
        Ok(Server { process, data: data.to_owned(), url, log })
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// `kill -9`: it has no chance to write anything more.
    ///
    /// # Errors
    /// When it was dead already, which is a crash of its own making.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait().context("cannot ask for the server")? {
            bail!("the server had ended by itself: {status}\n{}", self.log.text());
        }
        self.process.start_kill().context("cannot kill the server")
    }

    /// Makes an app and a key through the admin routes.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) async fn create_app(&self) -> Result<App> {
        let apps = format!("{}/v1/admin/apps", self.url);
        let app = post_as_admin(&apps, &json!({"name": "crash"})).await?;
        let id = app["app"].as_str().context("no app id in the answer")?.to_owned();
        let body = json!({"role": "server", "access": "write", "label": "crash test"});
        let key = post_as_admin(&format!("{apps}/{id}/keys"), &body).await?;
        Ok(App { id, key: key["key"].as_str().context("no key in the answer")?.to_owned() })
    }

    /// What sends requests about an app to this server.
    pub(crate) fn to(&self, app: &App) -> Caller {
        let root = format!("{}/v1/apps/{}", self.url, app.id);
        Caller { http: http_client(), root, key: app.key.clone() }
    }
}

/// A client that speaks to loopback directly, whatever proxy the environment names.
fn http_client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client without options can be made")
}

/// Reads what the server prints up to its address.
async fn read_url(stdout: tokio::process::ChildStdout, log: &Log) -> Result<String> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(start) = line.find("http://") {
            log.keep(lines);
            return Ok(line[start..].trim_end().to_owned());
        }
    }
    bail!("the server ended before it listened\n{}", log.text())
}

async fn post_as_admin(url: &str, body: &Json) -> Result<Json> {
    let request = http_client().post(url).bearer_auth(ADMIN_TOKEN).json(body);
    Ok(request.send().await?.error_for_status()?.json().await?)
}

/// Sends requests about one app. A clone of the address and the key: it outlives the server.
pub(crate) struct Caller {
    http: reqwest::Client,
    root: String,
    key: String,
}

impl Caller {
    /// Sends a write. Gives the `seq` when the server acknowledged it, nothing when the
    /// connection broke.
    ///
    /// # Errors
    /// When the server answered, and refused: no write of this test may be refused.
    pub(crate) async fn transact(&self, write: &Write) -> Result<Option<u64>> {
        let url = format!("{}/transact", self.root);
        let request = self.http.post(url).bearer_auth(&self.key).json(&write.body());
        let Ok(response) = request.send().await else { return Ok(None) };
        let status = response.status();
        let Ok(body) = response.text().await else { return Ok(None) };
        if !status.is_success() {
            bail!("{write:?} was refused with {status}: {body}");
        }
        let answer: Json = serde_json::from_str(&body).context("the answer is no JSON")?;
        Ok(Some(answer["seq"].as_u64().context("no seq in the answer")?))
    }

    /// Everything that the server holds of this test.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn all_writes(&self) -> Result<Held> {
        Ok(Held::from_rows(&self.query(HELD_QUERY).await?, &self.query(WHOLE_QUERY).await?))
    }

    async fn query(&self, query: &str) -> Result<Vec<Json>> {
        let url = format!("{}/query", self.root);
        let request = self.http.post(url).bearer_auth(&self.key).json(&json!({"query": query}));
        let mut answer: Json = request.send().await?.error_for_status()?.json().await?;
        match answer["rows"].take() {
            Json::Array(rows) => Ok(rows),
            _ => bail!("no rows in the answer: {answer}"),
        }
    }
}

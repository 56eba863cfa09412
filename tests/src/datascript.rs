//! DataScript, run by Node: a second opinion on answers, and a peer to compare speed with.
//!
//! [`DataScript`] is one process that holds one database at a time and answers queries in its own
//! dialect; requests and answers are lines of JSON (`tests/datascript/driver.mjs` says which).
//! `cargo xtask setup` installs the npm package; where Node or the package is missing,
//! [`DataScript::start`] says so and the caller leaves that part out, aloud.
//!
//! A query of DataScript may never end (left-linear and doubled recursion do not), so the caller
//! says how long it waits; after that the process is ended and a new one is needed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value as Json, json};
use thiserror::Error;

/// A running DataScript. It ends when this is dropped.
#[derive(Debug)]
pub struct DataScript {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

/// Why DataScript gave no answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// Node or the npm package is not there.
    #[error(
        "DataScript is not installed ({0}); `cargo xtask setup` installs it where there is npm"
    )]
    Missing(String),
    /// It refused the request, in its own words.
    #[error("DataScript: {0}")]
    Refused(String),
    /// It did not answer in time.
    #[error("DataScript did not answer within {0:?}")]
    TimedOut(Duration),
    /// The process ended, or said what is no answer.
    #[error("DataScript's process: {0}")]
    Broken(String),
}

/// How long one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(600);

/// Facts in one line of a request: lines stay of a size that any reader takes.
const FACTS_PER_LINE: usize = 50_000;

/// Times of a repeated query.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// How many rows each run gave.
    pub n_rows: u64,
    /// Wall time of each run, in microseconds.
    pub wall_us: Vec<f64>,
    /// Processor time of each run, in microseconds; Node's other threads included.
    pub cpu_us: Vec<f64>,
}

impl DataScript {
    /// Where the driver and the installed package are.
    pub fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("datascript")
    }

    /// Starts the process.
    ///
    /// # Errors
    /// When Node or the package is missing.
    pub fn start() -> Result<DataScript, Failure> {
        let folder = DataScript::folder();
        if !folder.join("node_modules/datascript").is_dir() {
            return Err(Failure::Missing(String::from("the npm package is missing")));
        }
        let mut command = Command::new("node");
        command.arg("--stack-size=4000").arg("driver.mjs").current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let missing = |error: std::io::Error| Failure::Missing(format!("cannot run node: {error}"));
        let mut child = command.spawn().map_err(missing)?;
        let stdin = child.stdin.take().expect("piped above");
        let stdout = child.stdout.take().expect("piped above");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(DataScript { child, stdin, lines })
    }

    /// Makes these facts the database. A fact is `[entity, attribute, value]`, entities (and values
    /// of reference attributes) being integers; a date is `{"$date": milliseconds}`. The schema is
    /// DataScript's, by attribute, e.g. `{"n/edge": {":db/valueType": ":db.type/ref"}}`.
    ///
    /// # Errors
    /// When DataScript refuses them.
    pub fn load(&mut self, schema: &Json, facts: &[Json]) -> Result<(), Failure> {
        for facts in facts.chunks(FACTS_PER_LINE) {
            self.ask(&json!({"do": "facts", "facts": facts}), REQUEST_MAX)?;
        }
        self.ask(&json!({"do": "index", "schema": schema}), REQUEST_MAX)?;
        Ok(())
    }

    /// The result of a query, as JSON: an array of rows for a relation. Rules are an input of text.
    ///
    /// # Errors
    /// When DataScript refuses the query or does not answer in time; after that it has ended.
    pub fn query(
        &mut self,
        query: &str,
        inputs: &[Json],
        time_max: Duration,
    ) -> Result<Json, Failure> {
        let mut answer =
            self.ask(&json!({"do": "query", "query": query, "inputs": inputs}), time_max)?;
        Ok(answer["rows"].take())
    }

    /// Runs a query several times; the rows stay in the process.
    ///
    /// # Errors
    /// When DataScript refuses the query or does not answer in time; after that it has ended.
    pub fn time(
        &mut self,
        query: &str,
        inputs: &[Json],
        times: u32,
        time_max: Duration,
    ) -> Result<Timing, Failure> {
        let request = json!({"do": "time", "query": query, "inputs": inputs, "times": times});
        let answer = self.ask(&request, time_max)?;
        let times = |key: &str| {
            let times = answer[key].as_array().into_iter().flatten();
            times.filter_map(Json::as_f64).collect()
        };
        let n_rows = answer["n_rows"].as_u64().unwrap_or_default();
        Ok(Timing { n_rows, wall_us: times("wall_us"), cpu_us: times("cpu_us") })
    }

    fn ask(&mut self, request: &Json, time_max: Duration) -> Result<Json, Failure> {
        let broken = |error: &dyn std::fmt::Display| Failure::Broken(error.to_string());
        let sent = writeln!(self.stdin, "{request}").and_then(|()| self.stdin.flush());
        sent.map_err(|error| broken(&error))?;
        let line = match self.lines.recv_timeout(time_max) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                self.end();
                return Err(Failure::TimedOut(time_max));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(broken(&"it has ended")),
        };
        let answer: Json = serde_json::from_str(&line).map_err(|error| broken(&error))?;
        match answer["ok"].as_bool() {
            Some(true) => Ok(answer),
            Some(false) => {
                Err(Failure::Refused(answer["error"].as_str().unwrap_or_default().to_owned()))
            }
            None => Err(broken(&line)),
        }
    }

    fn end(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for DataScript {
    fn drop(&mut self) {
        self.end();
    }
}

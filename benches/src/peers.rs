//! The other side: a process with other engines, asked over pipes. Its protocol is described in
//! `peers/src/main.rs`.
//!
//! The crate it comes from is outside the workspace; `cargo xtask bench` builds it and says where
//! it is. Without it questions are measured and compared with nobody.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value as Json;
use tempfile::TempDir;
use tercet_engine::fact::Op;
use tercet_engine::value::Value;

use crate::digest::{ChangeDigest, Digest};
use crate::measure::Took;

/// Where `cargo xtask bench` says the program is.
pub const PROGRAM_VARIABLE: &str = "TERCET_PEERS";

/// The process. It ends with this.
pub struct Peers {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    files: TempDir,
    loaded: Option<&'static str>,
}

/// What a number of runs gave.
#[derive(Debug, Deserialize)]
struct Ran {
    n_rows: u64,
    sum: u64,
    wall_ns: u64,
    cpu_ns: u64,
}

/// What one step took and changed.
#[derive(Debug, Deserialize)]
struct Stepped {
    n_added: u64,
    n_removed: u64,
    sum: u64,
    wall_ns: u64,
    cpu_ns: u64,
}

impl Peers {
    /// Starts the process, if there is a program for it.
    ///
    /// # Errors
    /// When it is said where the program is, and it is not there.
    pub fn start() -> Result<Option<Peers>> {
        let Some(program) = std::env::var_os(PROGRAM_VARIABLE) else { return Ok(None) };
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", Path::new(&program).display()))?;
        let input = child.stdin.take().context("stdin was piped just above")?;
        let output = child.stdout.take().context("stdout was piped just above")?;
        let (output, files) = (BufReader::new(output), TempDir::new()?);
        Ok(Some(Peers { child, input, output, files, loaded: None }))
    }

    /// Makes facts the ones that are asked, unless they are already. `name` says which they are.
    ///
    /// # Errors
    /// When a fact cannot be told, or the process does not take it.
    pub fn load(&mut self, name: &'static str, ops: &[Op]) -> Result<()> {
        if self.loaded == Some(name) {
            return Ok(());
        }
        let file = self.files.path().join("facts");
        fs::write(&file, text_of(ops)?)?;
        self.ask(&["load", file.to_str().context("a path of ours is text")?])?;
        fs::remove_file(&file)?;
        self.loaded = Some(name);
        Ok(())
    }

    /// Who can answer a question.
    ///
    /// # Errors
    /// When the process ended.
    pub fn contestants(&mut self, question: &str) -> Result<Vec<String>> {
        let mut answer = self.ask(&["contestants", question])?;
        Ok(serde_json::from_value(answer["names"].take())?)
    }

    /// Lets one of them answer several times; gives the time of all and one answer.
    ///
    /// # Errors
    /// When it cannot.
    pub fn run(
        &mut self,
        question: &str,
        contestant: &str,
        n_runs: usize,
        parameters: &[String],
    ) -> Result<(Took, Digest)> {
        let n_runs = n_runs.to_string();
        let mut words = vec!["run", question, contestant, &n_runs];
        words.extend(parameters.iter().map(String::as_str));
        let ran: Ran = serde_json::from_value(self.ask(&words)?)?;
        let took =
            Took { wall: Duration::from_nanos(ran.wall_ns), cpu: Duration::from_nanos(ran.cpu_ns) };
        Ok((took, Digest { n_rows: ran.n_rows, sum: ran.sum }))
    }

    /// Lets differential-dataflow keep the answer to a question up to date, in place of the one
    /// before; gives the answer over the facts as they were loaded.
    ///
    /// # Errors
    /// When it cannot.
    pub fn follow(&mut self, question: &str, parameters: &[String]) -> Result<Digest> {
        let mut words = vec!["follow", question];
        words.extend(parameters.iter().map(String::as_str));
        let answer = self.ask(&words)?;
        let number = |name: &str| answer[name].as_u64().context("a digest is two numbers");
        Ok(Digest { n_rows: number("n_rows")?, sum: number("sum")? })
    }

    /// Tells edges that come and go, a step each: `+` or `-`, from and to. Gives what each took
    /// and changed.
    ///
    /// # Errors
    /// When nothing is followed, or an edge is not between entities that were loaded.
    pub fn steps(&mut self, edges: &[(char, &str, &str)]) -> Result<Vec<(Took, ChangeDigest)>> {
        let file = self.files.path().join("steps");
        let mut text = String::new();
        for (sign, from, to) in edges {
            writeln!(text, "{sign}\t{from}\t{to}")?;
        }
        fs::write(&file, text)?;
        let words = ["steps", file.to_str().context("a path of ours is text")?];
        let steps: Vec<Stepped> = serde_json::from_value(self.ask(&words)?["steps"].take())?;
        ensure!(steps.len() == edges.len(), "the peers made {} steps", steps.len());
        let step = |step: Stepped| {
            let Stepped { n_added, n_removed, sum, wall_ns, cpu_ns } = step;
            let wall = Duration::from_nanos(wall_ns);
            let took = Took { wall, cpu: Duration::from_nanos(cpu_ns) };
            (took, ChangeDigest { n_added, n_removed, sum })
        };
        Ok(steps.into_iter().map(step).collect())
    }

    fn ask(&mut self, words: &[&str]) -> Result<Json> {
        writeln!(self.input, "{}", words.join("\t")).context("the peers ended")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the peers ended without an answer to {words:?}");
        let answer: Json = serde_json::from_str(&line)?;
        match &answer["error"] {
            Json::Null => Ok(answer),
            error => bail!("the peers, asked {words:?}: {}", error.as_str().unwrap_or_default()),
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It may have ended already, which whoever asked it last has reported.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Facts as the process reads them.
fn text_of(ops: &[Op]) -> Result<String> {
    let mut text = String::new();
    for op in ops {
        let (Op::Set { e, a, v } | Op::Add { e, a, v }) = op else {
            bail!("{op:?} is not a fact");
        };
        let parameter = parameter(v)?;
        let (kind, value) = parameter.split_once(':').context("a kind and a value")?;
        writeln!(text, "{e}\t{a}\t{kind}\t{value}", e = e.as_str(), a = a.as_str())?;
    }
    Ok(text)
}

/// A value as the process reads it: its kind, a colon, and its text.
///
/// # Errors
/// When the process knows no such value, or the text would not stay one word.
pub fn parameter(value: &Value) -> Result<String> {
    let text = match value {
        Value::Ref(entity) => format!("r:{}", entity.as_str()),
        Value::String(text) => format!("s:{text}"),
        Value::Number(number) => {
            format!("i:{}", number.as_i64().context("the peers take integers only")?)
        }
        Value::Boolean(_) | Value::Date(_) => bail!("the peers take no {value:?}"),
    };
    ensure!(!text.contains(['\t', '\n']), "the peers take no value with a tab or a line break");
    Ok(text)
}

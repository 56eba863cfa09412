//! `POST /v1/apps/{app}/import?id=ID`: a stream of operations, one a line, as transactions.
//!
//! Transaction *n* of the client `import:ID` is the *n*-th run of 10,000 operations, or fewer where
//! those would be too large for one. Where it ends depends on the lines alone, so repeating an
//! import sends the same transactions under the same numbers and changes nothing, and one that
//! broke off goes on where it ended. The last, shorter transaction is made only when the body
//! ended properly. At most two transactions are on their way: memory is bounded by them, and the
//! body is read as fast as they become durable.
//!
//! An export's first line (its checkpoint) and empty lines are passed over. Bodies of other formats
//! (`?format=`, or the content type) are converted as they arrive (`convert`), and their operations
//! numbered instead of lines; what they mean depends on the bytes and options alone, so that the
//! same holds for them.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde_json::json;
use tercet_engine::fact::Op;
use tercet_engine::ids::{ClientId, ClientSeq, Seq};
use tercet_formats::{Format, ImportOptions, Note};
use tercet_sync::{Identity, Rights, TransactAccepted, TransactError};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::{self, Response};
use super::choice::{choose, take_options};
use super::convert::convert;
use super::{Services, ops, parameter};
use crate::clock;
use crate::limits::{IMPORT_BYTES, IMPORT_IN_FLIGHT, IMPORT_OPS, ServerLimits};
use crate::tenant::{Gone, TenantHandle};
use crate::transport::problem::Problem;

pub(super) async fn import(
    services: &Services,
    app: &str,
    request: Request<Incoming>,
) -> Result<Response, Problem> {
    let grant = services.grant_to_write(app, request.headers()).await?;
    let (id, client) = identity(&request)?;
    let format = choose(&request, CONTENT_TYPE)?;
    let mut options = ImportOptions { scope: Some(id.clone()), ..ImportOptions::default() };
    take_options(&request, &["id"], &ImportOptions::NAMES, |name, text| options.take(name, text))?;
    options.check(format)?;
    let _permit = services.imports.try_acquire().map_err(|_| Problem::overloaded("imports"))?;
    let tenant = services.tenants.get(&grant).await?;
    let last_before = tenant.last_number(client.clone()).await?;
    let mut import = Import {
        tenant,
        client,
        rights: grant.rights(),
        limits: &services.limits,
        last_before,
        last_number: ClientSeq(0),
        in_flight: VecDeque::new(),
        seq: Seq(0),
        ops: Vec::new(),
        n_bytes: 0,
        first: 1,
        unit: "line",
    };
    let outcome = match format {
        Format::Ndjson => import.run(request.into_body()).await.map(|n_lines| (n_lines, None)),
        _ => import.run_converted(request.into_body(), format, options).await,
    };
    let (n_lines, notes) = match outcome {
        Ok(outcome) => outcome,
        Err(problem) => {
            let committed = import.settle().await;
            return Err(problem.with("transactions", committed.0));
        }
    };
    let mut document = json!({
        "id": id,
        "lines": n_lines,
        "transactions": import.last_number,
        "applied_before": last_before.min(import.last_number),
        "seq": import.seq,
    });
    if let Some(notes) = notes {
        let as_json = |note: &Note| json!({"code": note.code, "message": note.message, "times": note.n_times});
        document["notes"] = notes.iter().map(as_json).collect();
    }
    Ok(body::json(StatusCode::OK, &document))
}

/// `GET /v1/apps/{app}/import?id=ID`: how far an import has come. What is not durable yet does not
/// count, so whoever lost the connection asks here and sends the whole again, or leaves it be.
pub(super) async fn progress(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let tenant = services.tenant(app, request.headers()).await?;
    let (id, client) = identity(request)?;
    let transactions = tenant.last_number(client).await?;
    Ok(body::json(StatusCode::OK, &json!({"id": id, "transactions": transactions})))
}

/// The id of an import, and the client that its transactions are of.
fn identity(request: &Request<Incoming>) -> Result<(String, ClientId), Problem> {
    let id = parameter(request, "id").unwrap_or_default();
    if id.is_empty() {
        return Err(Problem::malformed("an import has an id: ?id=…")
            .with_hint("repeating an import with the same id is harmless"));
    }
    let client = ClientId::new(format!("import:{id}"))
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.code(), error.to_string()))?;
    Ok((id, client))
}

/// A transaction on its way.
struct InFlight {
    number: ClientSeq,
    /// The line, or number, of its first operation.
    first: u64,
    answer: oneshot::Receiver<Result<TransactAccepted, TransactError>>,
}

struct Import<'a> {
    tenant: TenantHandle,
    client: ClientId,
    rights: Rights,
    limits: &'a ServerLimits,
    /// The last transaction that was there before this request.
    last_before: ClientSeq,
    /// The last transaction that was sent.
    last_number: ClientSeq,
    in_flight: VecDeque<InFlight>,
    /// The latest commit of this import.
    seq: Seq,
    /// The next transaction as far as it is there.
    ops: Vec<Op>,
    n_bytes: u64,
    first: u64,
    /// What `first` counts: `line` or `operation`.
    unit: &'static str,
}

impl Import<'_> {
    /// Reads the body to its end. Gives the number of lines.
    async fn run(&mut self, mut body: Incoming) -> Result<u64, Problem> {
        let mut splitter =
            Splitter { rest: Vec::new(), n_bytes_max: self.limits.import_line_bytes_max };
        let mut n_lines = 0;
        loop {
            let frame = timeout(self.limits.stream_timeout, body.frame()).await;
            let Some(frame) = frame.map_err(|_| body::timed_out())? else { break };
            let broken = |_| Problem::malformed("the body broke off");
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            for line in splitter.split(&bytes) {
                n_lines += 1;
                let line = line.map_err(|TooLong| too_long(self.limits, n_lines))?;
                self.take(&line, n_lines).await?;
            }
        }
        if !splitter.rest.is_empty() {
            n_lines += 1;
            let line = std::mem::take(&mut splitter.rest);
            self.take(&line, n_lines).await?;
        }
        self.finish().await?;
        Ok(n_lines)
    }

    /// Reads a body of another format to its end. Gives the number of its records, and notes.
    async fn run_converted(
        &mut self,
        body: Incoming,
        format: Format,
        options: ImportOptions,
    ) -> Result<(u64, Option<Vec<Note>>), Problem> {
        let (feeder, mut batches, end) = convert(format, options).split();
        let limits = self.limits;
        let take = async {
            let mut n_ops = 0;
            while let Some(batch) = batches.recv().await {
                for op in batch? {
                    n_ops += 1;
                    self.take_op(op, "operation", n_ops).await?;
                }
            }
            Ok(())
        };
        // What is wrong with the body itself is told before what the importer makes of it.
        tokio::try_join!(feeder.feed(body, limits), take)?;
        let end = end.await.map_err(|_| Problem::internal())?;
        self.finish().await?;
        Ok((end.n_records, Some(end.notes)))
    }

    /// Sends the rest, and waits for all answers.
    async fn finish(&mut self) -> Result<(), Problem> {
        if !self.ops.is_empty() {
            self.send().await?;
        }
        while !self.in_flight.is_empty() {
            self.answered().await?;
        }
        Ok(())
    }

    /// Takes a line, and sends a transaction when one is full.
    async fn take(&mut self, line: &[u8], number: u64) -> Result<(), Problem> {
        let line = line.trim_ascii();
        if line.is_empty() || (number == 1 && is_export_head(line)) {
            return Ok(());
        }
        let op = ops::parse_op(line).map_err(|error| {
            let detail = format!("line {number} is no operation: {}", error.message);
            Problem::new(StatusCode::BAD_REQUEST, error.code, detail).with("line", number)
        })?;
        self.take_op(op, "line", number).await
    }

    /// Takes an operation; `unit` is what `number` counts.
    async fn take_op(&mut self, op: Op, unit: &'static str, number: u64) -> Result<(), Problem> {
        self.limits.sync.check(std::slice::from_ref(&op)).map_err(|rejection| {
            let detail = format!("{unit} {number}: {}", rejection.message);
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, rejection.code, detail)
                .with(unit, number)
        })?;
        // The tenant would refuse the whole transaction, for good, and its number would be used up:
        // the import could not be put right. Its stamp will not be earlier than this moment.
        if op.covers().is_some_and(|covers| covers.hlc.physical_ms() >= clock::now_ms()) {
            let detail = format!("{unit} {number} covers a stamp that is yet to come");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(Problem::new(status, "cover_in_future", detail).with(unit, number));
        }
        let n_bytes = op_bytes(&op);
        if !self.ops.is_empty() && self.n_bytes + n_bytes > IMPORT_BYTES {
            self.send().await?;
        }
        if self.ops.is_empty() {
            (self.first, self.unit) = (number, unit);
        }
        self.ops.push(op);
        self.n_bytes += n_bytes;
        if self.ops.len() >= IMPORT_OPS {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what was taken as the next transaction.
    async fn send(&mut self) -> Result<(), Problem> {
        while self.in_flight.len() >= IMPORT_IN_FLIGHT {
            self.answered().await?;
        }
        let number = self.last_number.next();
        let identity = Identity { client: self.client.clone(), number };
        let ops = std::mem::take(&mut self.ops);
        let answer = self.tenant.start_transact(Some(identity), ops, self.rights).await?;
        self.last_number = number;
        self.n_bytes = 0;
        self.in_flight.push_back(InFlight { number, first: self.first, answer });
        Ok(())
    }

    /// Waits for the answer to the oldest transaction on its way.
    async fn answered(&mut self) -> Result<(), Problem> {
        let Some(InFlight { number, first, answer }) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let answer = answer.await;
        if !matches!(answer, Ok(Ok(_))) {
            self.last_number = ClientSeq(number.0 - 1);
        }
        match answer.map_err(|_| Gone)? {
            Ok(accepted) => {
                self.seq = self.seq.max(accepted.checkpoint.seq);
                Ok(())
            }
            Err(error) => {
                let is_other = error.code() == "seq_conflict";
                let problem = Problem::from(error).with(self.unit, first);
                Err(if is_other {
                    problem.with_hint(
                        "an import of this id had other operations from here on; \
                         take another id for another import",
                    )
                } else {
                    problem
                })
            }
        }
    }

    /// After an error: waits for what is on its way, so that the answer tells the truth. Gives
    /// the last transaction that is there.
    async fn settle(&mut self) -> ClientSeq {
        while !self.in_flight.is_empty() {
            if self.answered().await.is_err() {
                break;
            }
        }
        self.in_flight.clear();
        self.last_number.max(self.last_before)
    }
}

fn too_long(limits: &ServerLimits, line: u64) -> Problem {
    let max = limits.import_line_bytes_max;
    Problem::too_large(format!("line {line} has more than {max} bytes")).with("line", line)
}

/// The bytes of an operation that the size of a transaction counts.
fn op_bytes(op: &Op) -> u64 {
    let attribute = op.attribute().map_or(0, |attribute| attribute.as_str().len());
    let value = op.value().map_or(0, |value| value.n_bytes());
    (op.entity().as_str().len() + attribute + value) as u64
}

/// Whether this is the first line of an export.
fn is_export_head(line: &[u8]) -> bool {
    let parsed: Result<serde_json::Value, _> = serde_json::from_slice(line);
    parsed.is_ok_and(|head| head.get("checkpoint").is_some() && head.get("facts").is_some())
}

/// A line beyond its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TooLong;

/// Cuts chunks of any size into lines, without their line ends.
struct Splitter {
    /// The start of a line whose end has not come.
    rest: Vec<u8>,
    n_bytes_max: usize,
}

impl Splitter {
    /// The lines that end in this chunk. What follows a line that is too long is not looked at.
    fn split<'a>(
        &'a mut self,
        chunk: &'a Bytes,
    ) -> impl Iterator<Item = Result<Vec<u8>, TooLong>> + 'a {
        let mut pieces = chunk.split_inclusive(|&byte| byte == b'\n');
        std::iter::from_fn(move || {
            let piece = pieces.next()?;
            let (content, has_end) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            if self.rest.len() + content.len() > self.n_bytes_max {
                return Some(Err(TooLong));
            }
            self.rest.extend_from_slice(content);
            has_end.then(|| Ok(std::mem::take(&mut self.rest)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str], n_bytes_max: usize) -> (Vec<Result<String, TooLong>>, String) {
        let mut splitter = Splitter { rest: Vec::new(), n_bytes_max };
        let mut lines = Vec::new();
        for chunk in chunks {
            let chunk = Bytes::copy_from_slice(chunk.as_bytes());
            for line in splitter.split(&chunk) {
                lines.push(line.map(|line| String::from_utf8_lossy(&line).into_owned()));
            }
        }
        (lines, String::from_utf8_lossy(&splitter.rest).into_owned())
    }

    #[test]
    fn lines_do_not_depend_on_how_the_body_was_cut() {
        let text = "a\n\nbcd\r\ne";
        let expected: Vec<_> = ["a", "", "bcd\r"].map(|line| Ok(line.to_owned())).into();
        for cut in 0..=text.len() {
            let (start, end) = text.split_at(cut);
            assert_eq!(lines(&[start, end], 9), (expected.clone(), "e".to_owned()), "{cut}");
        }
    }

    #[test]
    fn a_line_beyond_its_bound_is_refused_before_it_is_kept() {
        assert_eq!(lines(&["abc\n"], 3).0, [Ok("abc".to_owned())]);
        assert_eq!(lines(&["abcd\n"], 3).0, [Err(TooLong)]);
        assert_eq!(lines(&["ab", "cd", "e"], 3).0[0], Err(TooLong));
        assert_eq!(lines(&["abcd"], 3).0, [Err(TooLong)]);
    }
}

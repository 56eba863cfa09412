//! `GET /v1/apps/{app}/export`: all visible facts of one position, in any format that is written.
//!
//! The snapshot stays as it is while it is written out, whatever is committed meanwhile. How many
//! facts it has, at which checkpoint, and what the format will not hold, is said in headers: the
//! body of most formats has no place for it.

use std::io::{self, BufWriter, Write};

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderName, HeaderValue};
use tercet_formats::ExportOptions;
use tokio::runtime::Handle;

use super::Services;
use super::body::Response;
use super::choice::{choose, take_options};
use super::stream::{self, Lines};
use crate::transport::problem::Problem;

const FACTS: HeaderName = HeaderName::from_static("tercet-facts");
const CHECKPOINT: HeaderName = HeaderName::from_static("tercet-checkpoint");
const NOTE: HeaderName = HeaderName::from_static("tercet-note");

pub(super) async fn export(
    services: &Services,
    app: &str,
    request: &Request<Incoming>,
) -> Result<Response, Problem> {
    let tenant = services.tenant(app, request.headers()).await?;
    let format = choose(request, ACCEPT)?;
    let mut options = ExportOptions::default();
    take_options(request, &[], &ExportOptions::NAMES, |name, text| options.take(name, text))?;
    format.check_export(&options)?;
    let media_type = format.media_type().expect("what is written is one stream");
    let permit = services.exports.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::overloaded("exports"))?;
    let (snapshot, checkpoint) = tenant.snapshot().await?;
    options.checkpoint = Some(checkpoint);
    let (lines, mut response) = stream::body(services.limits.stream_timeout, media_type);
    let headers = response.headers_mut();
    headers.insert(FACTS, HeaderValue::from(snapshot.n_facts()));
    let checkpoint = HeaderValue::from_str(&checkpoint.to_string());
    headers.insert(CHECKPOINT, checkpoint.expect("a checkpoint is hexadecimal digits"));
    // Looking through all facts would hold up the other tasks of this thread.
    let (notes, snapshot, options) = tokio::task::spawn_blocking(move || {
        (format.export_notes(&snapshot, &options), snapshot, options)
    })
    .await
    .map_err(|_| Problem::internal())?;
    for note in notes {
        // A name in it may be no ASCII; then its code says enough.
        let text = HeaderValue::from_str(&note.to_string());
        headers.append(NOTE, text.unwrap_or(HeaderValue::from_static(note.code)));
    }
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut out = BufWriter::with_capacity(16 << 10, Chunks { lines, runtime });
        let outcome = format.export(&snapshot, &options, &mut out);
        let is_written = outcome.is_ok() && out.flush().is_ok();
        let (chunks, _) = out.into_parts();
        if !is_written {
            chunks.lines.abort("the export was not taken in time");
        }
    });
    Ok(response)
}

/// Bytes on their way to the socket; whoever writes waits for it.
struct Chunks {
    lines: Lines,
    runtime: Handle,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        self.runtime.block_on(self.lines.send()).map_err(io::Error::other)
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines.push_bytes(bytes) {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

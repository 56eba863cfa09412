//! A body of another format becomes operations: read by a thread that may block, as it arrives.
//!
//! Importers pull from a reader; a body arrives in frames. Between them stand two channels of a few
//! places, so that memory is bounded and a slow database slows the body down. Invariant: the
//! importer sees the end of its input only if the body ended properly; a body that broke off is an
//! error to it, so that nothing after the break is taken for whole.

use std::io::{self, BufReader, Read};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tercet_engine::fact::Op;
use tercet_formats::{Format, FormatError, Import, ImportOptions, Note};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::body;
use crate::limits::ServerLimits;
use crate::transport::problem::Problem;

/// Frames that wait for the importer.
const FRAMES_WAITING: usize = 4;

/// Operations in one hand-over, and hand-overs that wait.
const BATCH_OPS: usize = 512;
const BATCHES_WAITING: usize = 2;

/// What errors call the body.
const INPUT: &str = "the body";

/// Operations as they are read, until the first error.
type Batches = mpsc::Receiver<Result<Vec<Op>, FormatError>>;

/// Operations of a body as they come, in batches; an error is the last item.
pub(super) struct Converted {
    pub(super) batches: Batches,
    frames: mpsc::Sender<Frame>,
    pub(super) end: oneshot::Receiver<End>,
}

/// What is known when all was read.
pub(super) struct End {
    pub(super) n_records: u64,
    pub(super) notes: Vec<Note>,
}

enum Frame {
    Bytes(Bytes),
    End,
}

/// Starts the thread.
pub(super) fn convert(format: Format, options: ImportOptions) -> Converted {
    let (frames, frames_receiver) = mpsc::channel(FRAMES_WAITING);
    let (batches_sender, batches) = mpsc::channel(BATCHES_WAITING);
    let (end_sender, end) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let frames = Frames { receiver: frames_receiver, bytes: Bytes::new(), has_ended: false };
        match read(format, &options, frames, &batches_sender) {
            // A receiver that is gone has its reason elsewhere.
            Ok(end) => drop(end_sender.send(end)),
            Err(error) => drop(batches_sender.blocking_send(Err(error))),
        }
    });
    Converted { batches, frames, end }
}

fn read(
    format: Format,
    options: &ImportOptions,
    frames: Frames,
    batches: &mpsc::Sender<Result<Vec<Op>, FormatError>>,
) -> Result<End, FormatError> {
    let reader = Box::new(BufReader::with_capacity(1 << 16, frames));
    let mut importer = format.read(reader, INPUT, options)?;
    let mut batch = Vec::with_capacity(BATCH_OPS);
    let mut failed = None;
    for op in importer.by_ref() {
        match op {
            Ok(op) => batch.push(op),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        if batch.len() == BATCH_OPS {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_OPS));
            if batches.blocking_send(Ok(full)).is_err() {
                break;
            }
        }
    }
    let _ = batches.blocking_send(Ok(batch));
    match failed {
        Some(error) => Err(error),
        None => Ok(End { n_records: importer.progress().n_records, notes: importer.notes() }),
    }
}

impl Converted {
    /// Takes the sending side out: whoever holds it feeds the importer.
    pub(super) fn split(self) -> (Feeder, Batches, oneshot::Receiver<End>) {
        (Feeder { frames: self.frames }, self.batches, self.end)
    }
}

/// Feeds a body to the importer.
pub(super) struct Feeder {
    frames: mpsc::Sender<Frame>,
}

impl Feeder {
    /// Feeds the body to its end, or until the importer wants no more.
    pub(super) async fn feed(
        self,
        mut body: Incoming,
        limits: &ServerLimits,
    ) -> Result<(), Problem> {
        loop {
            let frame = timeout(limits.stream_timeout, body.frame()).await;
            let frame = frame.map_err(|_| body::timed_out())?;
            let frame = match frame {
                None => Frame::End,
                Some(Err(_)) => return Err(Problem::malformed("the body broke off")),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Frame::Bytes(bytes),
                    Err(_) => continue,
                },
            };
            let is_end = matches!(frame, Frame::End);
            // An importer that wants no more has met an error, which comes with the operations.
            if self.frames.send(frame).await.is_err() || is_end {
                return Ok(());
            }
        }
    }
}

/// The reading side of the frames.
struct Frames {
    receiver: mpsc::Receiver<Frame>,
    bytes: Bytes,
    has_ended: bool,
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.bytes.is_empty() && !self.has_ended {
            match self.receiver.blocking_recv() {
                Some(Frame::Bytes(bytes)) => self.bytes = bytes,
                Some(Frame::End) => self.has_ended = true,
                None => return Err(io::Error::other("the body broke off")),
            }
        }
        let n_bytes = self.bytes.len().min(buffer.len());
        self.bytes.copy_to_slice(&mut buffer[..n_bytes]);
        Ok(n_bytes)
    }
}

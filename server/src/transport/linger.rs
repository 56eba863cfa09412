//! A socket that is closed without losing what was said last.
//!
//! Whoever refuses a request, or a frame, before all of it is there leaves bytes unread; a socket
//! that is closed then is reset, and the reset overtakes the refusal: its reader finds a broken
//! pipe instead of a code. So a shutdown here first ends the writing side, then reads on and throws
//! away, until the peer has ended too, is silent, or has been given time enough (RFC 9112, 9.6).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A peer that sends nothing for so long is not waited for.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Nor is one that does not come to an end.
const LINGER_MAX: Duration = Duration::from_secs(30);

/// How much is thrown away at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// A stream whose shutdown lingers.
pub(crate) struct Lingering<Stream> {
    stream: Stream,
    lingers: Option<Lingers>,
}

/// A shutdown under way: our side is ended, the peer's is read.
struct Lingers {
    until: Instant,
    /// When the peer counts as silent.
    silence: Pin<Box<Sleep>>,
}

impl<Stream> Lingering<Stream> {
    pub(crate) fn new(stream: Stream) -> Lingering<Stream> {
        Lingering { stream, lingers: None }
    }
}

impl<Stream: AsyncRead + Unpin> AsyncRead for Lingering<Stream> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<Stream> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Lingering { stream, lingers } = &mut *self;
        if lingers.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        let now = Instant::now();
        let lingers = lingers.get_or_insert_with(|| Lingers {
            until: now + LINGER_MAX,
            silence: Box::pin(sleep_until(now + SILENCE_MAX)),
        });
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut chunk);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let silent_at = (Instant::now() + SILENCE_MAX).min(lingers.until);
                    lingers.silence.as_mut().reset(silent_at);
                    if Instant::now() >= lingers.until {
                        return Poll::Ready(Ok(()));
                    }
                }
                // It has ended, in order or not: there is nobody left to lose anything.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return lingers.silence.as_mut().poll(context).map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_end_is_thrown_away() {
        let (ours, mut peer) = duplex(64);
        let mut ours = Lingering::new(ours);
        ours.write_all(b"no").await.unwrap();
        let sending = async {
            // More than fits between them: without a reader this would never end.
            peer.write_all(&[7; 10_000]).await.unwrap();
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).await.unwrap();
            drop(peer);
            heard
        };
        let (shutdown, heard) = tokio::join!(ours.shutdown(), sending);
        shutdown.unwrap();
        assert_eq!(heard, b"no");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_or_endless_peer_is_not_waited_for() {
        let (ours, peer) = duplex(64);
        let started = Instant::now();
        Lingering::new(ours).shutdown().await.unwrap();
        assert_eq!(started.elapsed().as_secs(), SILENCE_MAX.as_secs());
        drop(peer);

        let (ours, mut peer) = duplex(64);
        tokio::spawn(async move {
            while peer.write_all(&[7; 10]).await.is_ok() {
                tokio::time::sleep(SILENCE_MAX / 2).await;
            }
        });
        let started = Instant::now();
        Lingering::new(ours).shutdown().await.unwrap();
        assert_eq!(started.elapsed().as_secs(), LINGER_MAX.as_secs());
    }
}

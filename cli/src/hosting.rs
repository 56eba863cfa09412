//! A server inside this process, for `serve` and `demo`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tercet_server::{Server, ServerConfig, StorageChoice};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::admin_token;
use crate::failure::Failure;
use crate::output::end_interrupted_line;

/// A running server.
pub(crate) struct Hosting {
    address: SocketAddr,
    data: PathBuf,
    admin_token: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Hosting {
    /// Starts a server over the data in a directory, which is made if it is missing. Without an
    /// admin token the one kept there is used, or made.
    ///
    /// # Errors
    /// When the address is taken, or the data cannot be opened.
    pub(crate) async fn start(
        listen: &str,
        data: &Path,
        admin_token: Option<String>,
    ) -> Result<Hosting> {
        make_private_directory(data)
            .with_context(|| format!("cannot make the directory {}", data.display()))?;
        let admin_token = match admin_token {
            Some(token) => token,
            None => admin_token::read_or_make(data)?,
        };
        let listener =
            TcpListener::bind(listen).await.map_err(|error| not_bound(listen, &error))?;
        let storage = StorageChoice::Directory(data.to_owned());
        let config = ServerConfig::new(storage, Some(admin_token.clone()));
        let server = Server::open(config, listener)
            .await
            .with_context(|| format!("cannot serve the data in {}", data.display()))?;
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        // A sender that is dropped stops the server as well.
        let shutdown = async move { drop(stopped.await) };
        let running = tokio::spawn(server.run(shutdown));
        Ok(Hosting { address, data: data.to_owned(), admin_token, stop, running })
    }

    /// The address for clients on this machine.
    pub(crate) fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What opens its admin routes.
    pub(crate) fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Waits until the user wants it to end, then stops it: everything under way is finished and
    /// every file is closed.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn run_until_ended(mut self) -> Result<()> {
        tokio::select! {
            ended = ended_by_user() => ended?,
            ended = &mut self.running => return ended.context("the server panicked"),
        }
        self.stop().await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) async fn stop(self) -> Result<()> {
        // It may have ended already; then nobody hears this.
        let _ = self.stop.send(());
        self.running.await.context("the server panicked")
    }
}

/// A directory that only its owner may enter: it holds the admin token and everybody's data. One
/// that is there already stays as it is.
fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn not_bound(listen: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(format!("cannot listen on {listen}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            failure.with_hint("another program listens there; choose another address with --listen")
        }
        io::ErrorKind::InvalidInput => failure.with_hint("write it as 127.0.0.1:7878"),
        _ => failure,
    }
}

/// Waits for Ctrl-C, or on Unix for the signal to terminate.
///
/// # Errors
/// When signals cannot be waited for.
pub(crate) async fn ended_by_user() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        tokio::select! {
            interrupt = interrupted() => interrupt,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    interrupted().await
}

/// Waits for Ctrl-C.
///
/// # Errors
/// When it cannot be waited for.
async fn interrupted() -> Result<()> {
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    end_interrupted_line();
    Ok(())
}

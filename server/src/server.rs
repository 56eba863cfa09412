//! The life of a server: opening its data, accepting connections, stopping in order.
//!
//! Stopping goes from the outside in, so that nothing acknowledged is cut off: no new
//! connections, then requests and sessions end, then tenants wait for their outstanding appends,
//! then storage closes its files.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tercet_storage::StoragePool;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use crate::auth::Auth;
use crate::config::{ServerConfig, ServerError};
use crate::storage;
use crate::tenant::Tenants;
use crate::transport::http::{self, Services};
use crate::transport::linger::Lingering;

/// How long to wait when the system gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// hyper's smallest read buffer.
const HEAD_BYTES_MIN: usize = 8 << 10;

/// A server that is ready to run.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    pool: Arc<StoragePool>,
    tenants: Arc<Tenants>,
    services: Arc<Services>,
}

/// Opens the data and serves a listener until `shutdown` is ready and everything has been closed.
///
/// # Errors
/// When the data cannot be opened.
pub async fn run(
    config: ServerConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    Server::open(config, listener).await?.run(shutdown).await;
    Ok(())
}

impl Server {
    /// Opens the data. Nothing is accepted before [`Server::run`].
    ///
    /// # Errors
    /// When the data cannot be opened, for example because another server owns it.
    pub async fn open(config: ServerConfig, listener: TcpListener) -> Result<Server, ServerError> {
        let local_addr = listener.local_addr()?;
        let ServerConfig { data, admin_token, limits } = config;
        let limits = Arc::new(limits);
        let for_storage = Arc::clone(&limits);
        let opened = tokio::task::spawn_blocking(move || storage::start(&data, &for_storage));
        let pool = Arc::new(opened.await.map_err(std::io::Error::other)??);
        if admin_token.is_none() {
            tracing::warn!("no admin token is set: the admin routes are closed");
        }
        let auth = Arc::new(Auth::new(admin_token.as_deref(), Arc::clone(&pool)));
        let tenants = Arc::new(Tenants::new(Arc::clone(&pool), Arc::clone(&limits)));
        let services = Arc::new(Services::new(auth, Arc::clone(&tenants), limits));
        Ok(Server { listener, local_addr, pool, tenants, services })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is ready, then stops and closes everything.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Server { listener, local_addr, pool, tenants, services } = self;
        tracing::info!(%local_addr, "server is listening");
        tokio::select! {
            () = accept(&listener, &services) => {}
            () = shutdown => {}
        }
        drop(listener);
        tracing::info!("server is stopping");
        services.stop.send_replace(true);
        // Who holds a receiver of it is a connection or a session.
        if timeout(services.limits.stop_timeout, services.stop.closed()).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
        tenants.stop().await;
        let stopped = tokio::task::spawn_blocking(move || pool.stop()).await;
        if stopped.is_err() {
            tracing::error!("storage panicked while it was stopping");
        }
        tracing::info!("server has stopped");
    }
}

/// Accepts connections for ever; while there are too many, the next ones wait.
async fn accept(listener: &TcpListener, services: &Arc<Services>) {
    let places = Arc::new(Semaphore::new(services.limits.connections_max));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let stop = services.stop.subscribe();
                tokio::spawn(serve(stream, Arc::clone(services), stop, place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection. Its place is given back when it ends; a session keeps its own time.
async fn serve(
    stream: TcpStream,
    services: Arc<Services>,
    mut stop: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    // Without it a connection is only slower.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    let limits = Arc::clone(&services.limits);
    let service = service_fn(move |mut request| {
        // An upgraded connection goes on after this one: it takes its place along.
        request.extensions_mut().insert(Arc::clone(&place));
        let services = Arc::clone(&services);
        async move { Ok::<_, std::convert::Infallible>(http::handle(services, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.head_bytes_max.max(HEAD_BYTES_MIN))
        .serve_connection(TokioIo::new(Lingering::new(stream)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Waits until the server stops.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that has gone stops as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

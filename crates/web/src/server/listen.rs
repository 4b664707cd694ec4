//! Accepting connections, seating them, and seeing them off.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_domain::refusal::Refusal;

use super::connection::{Origin, boxed, first_byte, serve_http1, serve_http2, until_cut};
use super::line::{Phase, Seat, Shared};
use super::{ServerConfig, ServerLimits, Service, TrustedProxies};
use crate::error::{ErrorContext, Sending, busy_wait_ms, envelope};
use crate::request_id::RequestIds;

/// Connections that the kernel keeps for us while we are busy: a burst, not a queue to wait in.
const BACKLOG: u32 = 1024;

/// How long nothing is accepted after the system refused (most often: no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Most connections that are still taken from the backlog once a drain has begun.
const LAST_GUESTS: usize = 1024;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}")]
    Address {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The socket file cannot be made.
    #[error("cannot listen on the socket {}", path.display())]
    Socket {
        /// The path that was asked for.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process answers on that socket file.
    #[error("another process is listening on the socket {}", path.display())]
    SocketTaken {
        /// The path that was asked for.
        path: PathBuf,
    },
}

/// A server that has its socket, and does not serve yet.
pub struct Server {
    listener: Listener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    shared: Arc<Shared>,
}

enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, PathBuf),
}

impl Server {
    /// Takes an address. Callers can connect from here on and wait for [`Server::start`].
    #[expect(clippy::unused_async, reason = "a socket belongs to the runtime that it is bound in")]
    pub async fn bind(config: ServerConfig) -> Result<Server, BindError> {
        let failed = |source| BindError::Address { address: config.listen, source };
        let socket = if config.listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(config.listen).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = config.tls.map(|tls| {
            let mut tls = (*tls).clone();
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            tokio_rustls::TlsAcceptor::from(Arc::new(tls))
        });
        let shared = Arc::new(Shared::new(config.limits, config.trusted_proxies, config.request_ids));
        Ok(Server { listener: Listener::Tcp(listener, address), tls, shared })
    }

    /// Takes a UNIX socket that only this user may open (0600). A socket file that nobody answers
    /// on, left by a process that was killed, is replaced.
    pub async fn bind_unix(path: &Path, limits: ServerLimits, request_ids: Arc<RequestIds>) -> Result<Server, BindError> {
        let failed = |source| BindError::Socket { path: path.to_owned(), source };
        if UnixStream::connect(path).await.is_ok() {
            return Err(BindError::SocketTaken { path: path.to_owned() });
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket")));
            }
            _ => {}
        }
        // Made under another name, closed to others, then put in place: nobody can open it between.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        std::fs::rename(&fresh, path).map_err(failed)?;
        let shared = Arc::new(Shared::new(limits, TrustedProxies::default(), request_ids));
        Ok(Server { listener: Listener::Unix(listener, path.to_owned()), tls: None, shared })
    }

    /// The address that was taken, with its real port; `None` for a UNIX socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.listener {
            Listener::Tcp(_, address) => Some(*address),
            Listener::Unix(..) => None,
        }
    }

    /// Serves until `shutdown` is cancelled, then drains: accepts no more, lets requests in flight
    /// finish, closes connections as they become idle, and cuts the rest at the deadline.
    ///
    /// All tasks run on `tracker`. Sends are not refused by the server itself; close the
    /// [`Gate`](crate::gate::Gate) before cancelling, so that new ones are answered GW_004.
    pub fn start<S: Service>(self, service: Arc<S>, tracker: &TaskTracker, shutdown: CancellationToken) -> ServerHandle {
        let shared = self.shared.clone();
        let address = self.address();
        let sweeping = tracker.spawn(sweep(shared.clone()));
        let own = tracker.clone();
        let serving = tracker.spawn(async move {
            self.accept_until(&service, &own, &shutdown).await;
            sweeping.abort();
        });
        ServerHandle { shared, address, serving }
    }

    async fn accept_until<S: Service>(self, service: &Arc<S>, tracker: &TaskTracker, shutdown: &CancellationToken) {
        let Server { listener, tls, shared } = self;
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(guest) => receive(guest, &shared, tls.as_ref(), service, tracker),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(error = %error, "cannot accept connections; trying again shortly");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        shared.begin_draining();
        // Those whom the kernel has already let in would meet a reset when the socket closes.
        for _ in 0..LAST_GUESTS {
            match futures_util::FutureExt::now_or_never(listener.accept()) {
                Some(Ok(guest)) => receive(guest, &shared, tls.as_ref(), service, tracker),
                Some(Err(error)) if is_of_one_connection(&error) => {}
                _ => break,
            }
        }
        if let Listener::Unix(_, path) = &listener {
            let _ = std::fs::remove_file(path);
        }
        drop(listener);
        tracing::info!(connections = shared.open(), "draining: no new connections, finishing what is in flight");
        let deadline = tokio::time::Instant::now() + shared.limits.drain_deadline;
        while shared.open() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(shared.tick()).await;
        }
        if shared.open() > 0 {
            tracing::warn!(connections = shared.open(), "the drain's deadline has come; cutting what is left");
            shared.cut_all();
            while shared.open() > 0 {
                tokio::time::sleep(shared.tick()).await;
            }
        }
    }
}

/// Looks over all connections, tick by tick.
async fn sweep(shared: Arc<Shared>) {
    let began = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(shared.tick());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.sweep(began.elapsed());
    }
}

enum Guest {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Guest> {
        match self {
            Listener::Tcp(listener, _) => listener.accept().await.map(|(stream, address)| Guest::Tcp(stream, address)),
            Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Guest::Unix(stream)),
        }
    }
}

/// Whether an error of `accept` says something of the connection and nothing of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Seats a connection and serves it on a task of its own, or turns it away.
fn receive<S: Service>(
    guest: Guest,
    shared: &Arc<Shared>,
    tls: Option<&tokio_rustls::TlsAcceptor>,
    service: &Arc<S>,
    tracker: &TaskTracker,
) {
    shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
    let service = service.clone();
    match guest {
        Guest::Unix(stream) => {
            let Some(seat) = shared.seat(None, Phase::Silent) else {
                shared.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                return;
            };
            tracker.spawn(async move {
                let line = seat.line.clone();
                until_cut(seat, serve_http1(stream, &line, Origin::Local, &*service)).await;
            });
        }
        Guest::Tcp(stream, address) => {
            let address = address.ip().to_canonical();
            let trusted = shared.trusted.contains(address);
            let phase = if tls.is_some() { Phase::Handshake } else { Phase::Silent };
            let Some(seat) = shared.seat(if trusted { None } else { Some(address) }, phase) else {
                shared.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                return turn_away(&stream, tls.is_some(), shared);
            };
            let _ = stream.set_nodelay(true);
            let origin = Origin::Network { address, trusted };
            match tls {
                Some(tls) => {
                    let (tls, own) = (tls.clone(), tracker.clone());
                    tracker.spawn(boxed(serve_tls(stream, tls, seat, origin, service, own)));
                }
                None => {
                    tracker.spawn(async move {
                        let line = seat.line.clone();
                        let connection = async {
                            if first_byte(&stream, &line).await {
                                serve_http1(stream, &line, origin, &*service).await;
                            }
                        };
                        until_cut(seat, connection).await;
                    });
                }
            }
        }
    }
}

async fn serve_tls<S: Service>(
    stream: TcpStream,
    tls: tokio_rustls::TlsAcceptor,
    seat: Seat,
    origin: Origin,
    service: Arc<S>,
    tracker: TaskTracker,
) {
    let line = seat.line.clone();
    let connection = async {
        let stream = match tls.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(error = %error, "TLS handshake failed"),
        };
        line.enter(Phase::Silent);
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            serve_http2(stream, &line, origin, &service, &tracker).await;
        } else {
            serve_http1(stream, &line, origin, &*service).await;
        }
    };
    until_cut(seat, connection).await;
}

/// Tells a connection past the limits why it is closed, as far as one write without waiting can. In
/// TLS nothing can be said before a handshake, which is what it shall not cost.
fn turn_away(stream: &TcpStream, encrypted: bool, shared: &Shared) {
    if encrypted {
        return;
    }
    let chance = shared.counts.turned_away.load(Ordering::Relaxed);
    let wait_ms = busy_wait_ms(chance);
    let body = envelope(&Refusal::Overloaded { retry_after_ms: wait_ms }, ErrorContext { send: Sending::AsRefused, chance });
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: {}\r\nconnection: close\r\ncache-control: no-store\r\nx-request-id: {}\r\n\r\n",
        body.len(),
        wait_ms.div_ceil(1000),
        shared.ids.make(),
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    let _ = stream.try_write(&answer);
}

/// A server that serves.
pub struct ServerHandle {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
    serving: JoinHandle<()>,
}

/// What a server counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Connections open now.
    pub connections: usize,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Of these, closed at once because there were too many.
    pub turned_away: u64,
    /// Connections cut for a time limit.
    pub cut: u64,
    /// Requests whose head could be read.
    pub requests: u64,
}

impl ServerHandle {
    /// The address with its real port; `None` for a UNIX socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open()
    }

    /// Whether the server has been told to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let counts = &self.shared.counts;
        ServerStats {
            connections: self.shared.open(),
            accepted: counts.accepted.load(Ordering::Relaxed),
            turned_away: counts.turned_away.load(Ordering::Relaxed),
            cut: counts.cut.load(Ordering::Relaxed),
            requests: counts.requests.load(Ordering::Relaxed),
        }
    }

    /// Waits until the server has drained: after its token was cancelled and its last connection
    /// is gone.
    pub async fn drained(self) {
        let _ = self.serving.await;
    }
}

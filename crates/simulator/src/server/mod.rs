//! Listening, TLS, and finding out which version of HTTP a client speaks.

mod h1;
mod h2;
mod stream;
mod tap;
mod tls;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::chance::NoEntropy;
use crate::clock;
use crate::config::Config;
use crate::exchange::World;
use crate::faults::{Behaviour, Impossible, Stage};
use crate::record::{RecordError, RecordedRequest};
use crate::script::{Rule, SetRule};
use crate::statuses;
use crate::webhooks::Made;
use stream::Stream;
use tls::Tls;
pub use tls::TlsError;

/// What every HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long accepting waits after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The simulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The record cannot be kept.
    #[error("opening the record of requests")]
    Record(#[source] RecordError),
    /// TLS cannot be spoken.
    #[error("setting up TLS")]
    Tls(#[source] TlsError),
    /// Something in the configuration cannot be.
    #[error("the simulator's configuration: {0}")]
    Config(String),
    /// No seed for ids.
    #[error("drawing a seed")]
    Entropy(#[source] NoEntropy),
}

/// A running simulator. Dropping the handle stops it without waiting.
pub struct Simulator {
    pub(crate) world: Arc<World>,
    address: SocketAddr,
    ca_pem: Option<String>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Simulator {
    /// Starts one on the current tokio runtime; it listens when this returns.
    ///
    /// # Errors
    /// When the address is taken, the record cannot be opened (or another
    /// simulator writes it), or the certificate cannot be read or made.
    pub async fn start(config: Config) -> Result<Simulator, StartError> {
        let failed = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        Simulator::start_on(listener, config).await
    }

    /// The same on a listener that is bound already, whatever `config.listen` says: for who must know
    /// the address before the simulator starts.
    ///
    /// # Errors
    /// As [`Simulator::start`].
    pub async fn start_on(listener: TcpListener, config: Config) -> Result<Simulator, StartError> {
        let failed = |source| StartError::Listen { address: config.listen, source };
        let tls = match &config.tls {
            Some(files) => Some(tls::set_up(files, config.http2).map_err(StartError::Tls)?),
            None => None,
        };
        let (acceptor, ca_pem) = match tls {
            Some(Tls { acceptor, ca_pem }) => (Some(acceptor), ca_pem),
            None => (None, None),
        };
        let address = listener.local_addr().map_err(failed)?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let world = Arc::new(World::new(&config, base_url(scheme, address))?);
        for (n, subscription) in config.subscriptions.iter().enumerate() {
            let refused = |problem| StartError::Config(format!("subscriptions[{n}].{problem}"));
            let subscribed = world.webhooks.add(subscription.clone(), Made::ByProgram).map_err(refused)?;
            world.webhooks.shake_hands_eventually(subscribed, world.chance.digits());
        }
        world.webhooks.keep(statuses::run(Arc::clone(&world)));
        world.webhooks.keep(World::sync_memory(Arc::downgrade(&world)));
        let (stop, stopped) = watch::channel(false);
        let door = Door { world: Arc::clone(&world), acceptor, http2: config.http2 };
        let accepting = clock::spawn(accept(listener, Arc::new(door), stopped));
        Ok(Simulator { world, address, ca_pem, stop, accepting })
    }

    /// `http://127.0.0.1:PORT`, or `https://…`: what a client sets in place of
    /// `https://graph.facebook.com`.
    pub fn base_url(&self) -> String {
        self.world.base_url.clone()
    }

    /// The address that is listened on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate (PEM) that a client must trust, where it was made here.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The newest `limit` requests, oldest first.
    ///
    /// # Errors
    /// When the record's file cannot be read.
    pub fn try_requests(&self, limit: usize) -> Result<Vec<RecordedRequest>, RecordError> {
        let json = self.world.record.newest_json(limit)?;
        serde_json::from_slice(&json).map_err(|error| RecordError::Read(error.into()))
    }

    /// The newest `limit` requests, oldest first.
    ///
    /// # Panics
    /// When the record's file cannot be read, which in a test is the end of it;
    /// [`Simulator::try_requests`] gives the error.
    pub fn requests(&self, limit: usize) -> Vec<RecordedRequest> {
        self.try_requests(limit).expect("the record that we write can be read")
    }

    /// How many requests are in the record.
    pub fn request_count(&self) -> usize {
        self.world.record.count()
    }

    /// Forgets the record.
    ///
    /// # Errors
    /// When the record's file cannot be emptied.
    pub async fn forget_requests(&self) -> Result<(), RecordError> {
        self.world.record.clear().await
    }

    /// Sets a rule behind those that are set; gives its id.
    ///
    /// # Errors
    /// A sentence that says why the rule can never be carried out.
    pub async fn script(&self, rule: Rule) -> Result<u64, Impossible> {
        let ids = self.world.script.add(vec![rule])?;
        Ok(ids[0])
    }

    /// The rules that are set, with what they struck.
    pub fn rules(&self) -> Vec<SetRule> {
        self.world.script.all()
    }

    /// Takes all rules back.
    pub fn clear_script(&self) {
        self.world.script.clear();
    }

    /// Stops listening, breaks all connections off, and returns when the port is free.
    pub async fn shutdown(mut self) {
        // Nobody listening means that accepting has ended by itself.
        let _ = self.stop.send(true);
        self.world.webhooks.stop();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        self.world.webhooks.stop();
    }
}

fn base_url(scheme: &str, address: SocketAddr) -> String {
    let mut reachable = address;
    if reachable.ip().is_unspecified() {
        reachable.set_ip(match reachable {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{reachable}")
}

/// What every connection needs to be served.
struct Door {
    world: Arc<World>,
    acceptor: Option<TlsAcceptor>,
    http2: bool,
}

async fn accept(listener: TcpListener, door: Arc<Door>, mut stopped: watch::Receiver<bool>) {
    // Dropping the set aborts what is still served.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    let door = Arc::clone(&door);
                    connections.spawn(async move { door.serve(tcp).await });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            _ = connections.join_next(), if !connections.is_empty() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

impl Door {
    async fn serve(&self, tcp: TcpStream) {
        // Answers are small and whole; waiting for more would only delay them.
        let _ = tcp.set_nodelay(true);
        let plain = Stream::Plain(tcp);
        let Some(plain) = self.strike(Stage::Accept, plain).await else { return };
        let stream = match (&self.acceptor, plain) {
            (Some(acceptor), Stream::Plain(tcp)) => match acceptor.accept(tcp).await {
                Ok(tls) => Stream::Tls(Box::new(tls)),
                Err(_) => return,
            },
            (_, stream) => stream,
        };
        let mut buffer = BytesMut::with_capacity(8 * 1024);
        let Some(mut stream) = self.first_byte(stream, &mut buffer).await else { return };
        match self.speaks_http2(&mut stream, &mut buffer).await {
            Some(false) => h1::serve(stream, buffer, Arc::clone(&self.world)).await,
            Some(true) => h2::serve(stream, buffer, Arc::clone(&self.world)).await,
            None => {}
        }
    }

    /// Waits for the first request's first bytes.
    async fn first_byte(&self, mut stream: Stream, buffer: &mut BytesMut) -> Option<Stream> {
        let there = match &mut stream {
            Stream::Plain(_) => stream.wait_readable().await,
            // What TLS has decrypted already cannot be seen from outside.
            Stream::Tls(tls) => tls.read_buf(buffer).await,
        };
        match there {
            Ok(1..) => self.strike(Stage::FirstByte, stream).await,
            _ => None,
        }
    }

    /// Lets a rule for this stage strike; gives the stream back where it goes on.
    async fn strike(&self, stage: Stage, mut stream: Stream) -> Option<Stream> {
        match self.world.strike_connection(stage) {
            Some(Behaviour::Close { how, .. }) => {
                stream.close(how).await;
                None
            }
            Some(Behaviour::Hang { .. }) => {
                stream.drain().await;
                None
            }
            Some(Behaviour::Delay { ms, .. }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Some(stream)
            }
            _ => Some(stream),
        }
    }

    /// Whether the client speaks HTTP/2; `None` when it went away first.
    async fn speaks_http2(&self, stream: &mut Stream, buffer: &mut BytesMut) -> Option<bool> {
        if !self.http2 {
            return Some(false);
        }
        loop {
            let seen = buffer.len().min(PREFACE.len());
            if buffer[..seen] != PREFACE[..seen] {
                return Some(false);
            }
            if seen == PREFACE.len() {
                return Some(true);
            }
            if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                return None;
            }
        }
    }
}

//! The canary: listens at every address of the network, and writes down at which it was met.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Where nothing is delivered: a connection to it says that all before it were written down.
const MARK: IpAddr = IpAddr::V4(Ipv4Addr::new(44, 44, 44, 44));

/// Listens until its test ends.
pub(super) struct Canary {
    ports: Vec<u16>,
    heard: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Canary {
    /// Listens on these ports at every address there is, with and without TLS.
    #[expect(clippy::disallowed_methods, reason = "a test's server ends with the test")]
    pub(super) async fn start(ports: &[u16], tls: TlsAcceptor) -> Canary {
        let canary = Canary { ports: ports.to_vec(), heard: Arc::default() };
        for port in ports {
            // Both families: what comes by IPv4 has an address inside ::ffff:0:0/96.
            let listener = TcpListener::bind(format!("[::]:{port}")).await.unwrap_or_else(|error| panic!("port {port}: {error}"));
            let (heard, tls) = (Arc::clone(&canary.heard), tls.clone());
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    let far = socket.local_addr().expect("an accepted connection has an address");
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(SocketAddr::new(far.ip().to_canonical(), far.port()));
                    tokio::spawn(answer(socket, tls.clone()));
                }
            });
        }
        canary
    }

    /// Where it was met since it was last asked.
    pub(super) async fn met_at(&self) -> Vec<SocketAddr> {
        let marks: Vec<SocketAddr> = self.ports.iter().map(|port| SocketAddr::new(MARK, *port)).collect();
        for mark in &marks {
            // A queue of connections is served in its order, so whoever waited before has been met then.
            let _open = TcpStream::connect(mark).await.expect("it listens");
            while !self.heard().contains(mark) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let met = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        met.into_iter().filter(|place| !marks.contains(place)).collect()
    }

    fn heard(&self) -> Vec<SocketAddr> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The first byte of a TLS handshake, which no method of HTTP begins with.
const HANDSHAKE: u8 = 0x16;

async fn answer(socket: TcpStream, tls: TlsAcceptor) -> Option<()> {
    let mut first = [0];
    if socket.peek(&mut first).await.ok()? == 1 && first[0] == HANDSHAKE {
        take(tls.accept(socket).await.ok()?).await
    } else {
        take(socket).await
    }
}

async fn take(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
    let mut seen = Vec::new();
    // Every body here is JSON, and ends as an object does.
    while !(seen.windows(4).any(|four| four == b"\r\n\r\n") && seen.ends_with(b"}")) {
        if socket.read_buf(&mut seen).await.ok()? == 0 {
            return None;
        }
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nheard").await.ok()?;
    socket.shutdown().await.ok()
}

//! Endpoints over TLS: whose certificates are believed, and what is said of those that are not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::guard::Resolve;
use turnpike_store::deliveries::DeliveryState;

use crate::authority::{Authority, Valid, self_signed};
use crate::house::{House, quick, unhurried};

/// Every name is this machine.
#[derive(Debug)]
struct AllHere;

impl Resolve for AllHere {
    fn resolve<'a>(&'a self, _host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)]) })
    }
}

/// How an endpoint begins to speak.
enum Manner {
    Tls(TlsAcceptor),
    /// Plain HTTP, where TLS was expected.
    Plain,
    /// It hangs up at once.
    Closes,
}

/// An endpoint that takes whatever reaches it.
struct Endpoint {
    port: u16,
    /// Requests of which a byte was read.
    heard: Arc<AtomicUsize>,
}

impl Endpoint {
    async fn start(manner: Manner) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let heard = Arc::new(AtomicUsize::new(0));
        let (manner, counted) = (Arc::new(manner), Arc::clone(&heard));
        tokio::runtime::Handle::current().spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (manner, heard) = (Arc::clone(&manner), Arc::clone(&counted));
                tokio::runtime::Handle::current().spawn(async move {
                    match &*manner {
                        Manner::Closes => {}
                        // Whoever speaks no TLS answers the first bytes of a handshake with an error.
                        Manner::Plain => drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await),
                        Manner::Tls(acceptor) => {
                            let Ok(mut socket) = acceptor.accept(socket).await else { return };
                            let mut seen = Vec::new();
                            while socket.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
                                if seen.ends_with(b"}") {
                                    heard.fetch_add(1, Ordering::SeqCst);
                                    seen.clear();
                                    drop(socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await);
                                }
                            }
                        }
                    }
                });
            }
        });
        Endpoint { port, heard }
    }
}

fn trusting(authority: &Authority) -> DeliverySettings {
    DeliverySettings { resolver: Arc::new(AllHere), extra_roots_pem: vec![authority.pem().as_bytes().to_vec()], ..unhurried(quick()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_a_company_s_own_authority_is_believed_by_name_and_by_address() {
    let authority = Authority::new("Acme");
    let house = House::new(trusting(&authority)).await;
    let app = house.app("acme");
    let names = ["hooks.example.com", "127.0.0.1"];
    let endpoint = Endpoint::start(Manner::Tls(authority.signs(&names, Valid::Now))).await;
    for (number, name) in names.iter().enumerate() {
        house.endpoint(format!("https://{name}:{}/hook", endpoint.port), |_| ()).await;
        let id = house.event(&app, 1, "sealed").await;
        assert_eq!(house.until(&id, DeliveryState::Delivered).await.tries, 1);
        assert_eq!(endpoint.heard.load(Ordering::SeqCst), number + 1);
    }
    // A company's authority comes beside the public ones and not instead of the check.
    let strict = House::new(DeliverySettings { extra_roots_pem: Vec::new(), ..trusting(&authority) }).await;
    strict.endpoint(format!("https://hooks.example.com:{}/hook", endpoint.port), |_| ()).await;
    let id = strict.event(&strict.app("acme"), 1, "sealed").await;
    strict.until(&id, DeliveryState::Dead).await;
    assert_eq!(endpoint.heard.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_certificate_fails_the_attempt_and_its_record_says_why() {
    let authority = Authority::new("Acme");
    let house = House::new(trusting(&authority)).await;
    let app = house.app("acme");
    let host = "hooks.example.com";
    let of = |names: &[&str], valid| Manner::Tls(authority.signs(names, valid));
    let untrusted = "no authority that is trusted here has signed the server's certificate: it is self-signed";
    let cases = [
        (of(&[host], Valid::Until2020), "the server's certificate has expired on 2020-03-01"),
        (of(&[host], Valid::From2120), "the server's certificate is not valid before 2120-03-01"),
        (of(&["other.example.com"], Valid::Now), "the server's certificate is not for hooks.example.com but for other.example.com"),
        (of(&["*.com", "example.com", "x.hooks.example.com"], Valid::Now), "is not for hooks.example.com but for"),
        (of(&["127.0.0.1"], Valid::Now), "is not for hooks.example.com but for"),
        (Manner::Tls(self_signed(&[host])), untrusted),
        (Manner::Tls(Authority::new("Somebody").signs(&[host], Valid::Now)), untrusted),
        (Manner::Tls(Authority::new("Acme").signs(&[host], Valid::Now)), "is not signed by the authority that it names"),
        (Manner::Plain, "what answers there speaks no TLS"),
        (Manner::Closes, "the TLS handshake failed"),
    ];
    for (manner, reason) in cases {
        let endpoint = Endpoint::start(manner).await;
        house.endpoint(format!("https://{host}:{}/hook", endpoint.port), |_| ()).await;
        let id = house.event(&app, 1, "sealed").await;
        let dead = house.until(&id, DeliveryState::Dead).await;
        let attempts = dead.attempts.expect("asked for");
        assert_eq!(attempts.len(), 3, "tried by the schedule like any failure");
        for attempt in attempts {
            let fault = attempt.fault.expect("it did not answer");
            assert!(attempt.status.is_none() && fault.contains(reason), "{fault}");
            assert!(fault.starts_with("the TLS handshake failed: "), "{fault}");
        }
        assert_eq!(endpoint.heard.load(Ordering::SeqCst), 0, "nothing was said to {reason}");
    }
}

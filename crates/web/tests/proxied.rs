//! A gateway in the clear behind a proxy that speaks TLS: keys are taken through that proxy and on this
//! machine, and nowhere else. And what the plainest health checks of load balancers send.

mod door;

use std::net::SocketAddr;
use std::sync::Arc;

use door::{Answer, Door, PATIENCE, config, read_answer, read_to_end, request_ids, short, write_all};
use http::Method;
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_web::gate::Gate;
use turnpike_web::server::{Server, ServerConfig, ServerHandle, TrustedProxies};

/// A gateway for sheltered callers, whose own machine has several addresses.
struct Gateway {
    address: SocketAddr,
    _handle: ServerHandle,
}

/// An address of this machine that is not loopback, so that callers from it are not "this machine";
/// `None` in a sandbox that has none.
fn an_outward_address() -> Option<std::net::IpAddr> {
    // Nothing is sent: connecting a datagram socket only chooses the address that would be used.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback() && !address.is_unspecified())
}

async fn open(listen: SocketAddr, trusted: &[&str]) -> Gateway {
    let trusted_proxies = TrustedProxies::new(trusted.iter().map(|text| text.parse().expect("a network")).collect());
    let config = ServerConfig { trusted_proxies, limits: short(), ..ServerConfig::new(listen, request_ids()) };
    let server = Server::bind(config).await.expect("a free port");
    let address = server.address().expect("a network address");
    let service = Arc::new(door::router(&Gate::new(64)).for_sheltered_only());
    Gateway { address, _handle: server.start(service, &TaskTracker::new(), CancellationToken::new()) }
}

async fn ask(stream: TcpStream, method: &Method, path: &str) -> Answer {
    let mut stream = stream;
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pk_x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    write_all(&mut stream, head.as_bytes()).await;
    Answer::only(&read_to_end(&mut stream).await)
}

#[tokio::test]
async fn keys_are_taken_through_the_proxy_and_on_this_machine_only() {
    let Some(outward) = an_outward_address() else { return };
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let named = outward.to_string();
    let mapped = match outward {
        std::net::IpAddr::V4(address) => format!("{}/128", address.to_ipv6_mapped()),
        std::net::IpAddr::V6(address) => address.to_string(),
    };
    for (trusted, is_let_in) in [("203.0.113.9", false), (named.as_str(), true), (mapped.as_str(), true)] {
        let gateway = open(any, &[trusted]).await;
        let there = SocketAddr::new(outward, gateway.address.port());
        for (method, path, code) in [
            (Method::POST, "/v1/wa/message", ""),
            (Method::GET, "/v1/wa/who", ""),
            (Method::GET, "/operator/v1/echo", ""),
            (Method::GET, "/nowhere", "REQ_005"),
        ] {
            let answer = ask(TcpStream::connect(there).await.expect("it listens"), &method, path).await;
            if is_let_in {
                let expected = if code.is_empty() { 200 } else { 404 };
                assert_eq!(answer.status, expected, "{trusted} {path}: {answer:?}");
                continue;
            }
            assert_eq!((answer.status, answer.code().as_str()), (403, "AUTH_006"), "{path}: {answer:?}");
            let params = &answer.json()["errors"]["params"];
            assert_eq!(params["reason"], "unencrypted", "{path}: {params}");
            assert_eq!(params.get("sent").is_some(), path == "/v1/wa/message", "{path}: {params}");
        }
        // A load balancer's checks come from wherever they come.
        for path in ["/livez", "/readyz", "/docs/errors", "/openapi.json"] {
            let answer = ask(TcpStream::connect(there).await.expect("it listens"), &Method::GET, path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        let here = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
        let answer = ask(TcpStream::connect(here).await.expect("it listens"), &Method::GET, "/v1/wa/who").await;
        assert_eq!(answer.status, 200, "this machine is no network: {answer:?}");
    }
}

#[tokio::test]
async fn a_listener_of_both_kinds_knows_an_ipv4_proxy_in_either_spelling() {
    let Ok(socket) = TcpSocket::new_v6() else { return };
    // Where IPv6 is off there is no such listener.
    if socket.bind("[::]:0".parse().expect("an address")).is_err() {
        return;
    }
    drop(socket);
    for trusted in ["127.0.0.0/8", "::ffff:127.0.0.0/104", "127.0.0.1", "::ffff:127.0.0.1"] {
        let gateway = open("[::]:0".parse().expect("an address"), &[trusted]).await;
        let there = SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
        let Ok(mut stream) = TcpStream::connect(there).await else { return };
        write_all(&mut stream, b"GET /v1/wa/who HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n").await;
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.json()["address"], "203.0.113.9", "{trusted}: {answer:?}");
    }
}

#[tokio::test]
async fn a_health_check_of_http_1_0_needs_no_host_and_its_connection_ends() {
    let door = Door::with(config(short())).await;
    for (request, status) in [
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /readyz HTTP/1.0\r\n\r\n", 200),
        ("HEAD /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nHost: a\r\n\r\n", 200),
    ] {
        let mut stream = door.connect().await;
        write_all(&mut stream, request.as_bytes()).await;
        // To the end: whoever reads so would else wait for the idle time.
        let answer = Answer::only(&tokio::time::timeout(PATIENCE, read_to_end(&mut stream)).await.expect("it ends"));
        assert_eq!(answer.status, status, "{request:?}");
        if !request.contains("Host") {
            assert_eq!(answer.header("connection"), Some("close"), "{request:?}: {answer:?}");
        }
        if request.starts_with("GET") {
            assert_eq!(answer.body, b"ok\n", "{request:?}");
        }
    }
    door.gate.drain();
    let draining = Answer::only(&door.tell_and_stay("GET /readyz HTTP/1.0\r\n\r\n").await);
    assert_eq!((draining.status, draining.code().as_str()), (503, "GW_004"), "{draining:?}");
}

#[tokio::test]
async fn nothing_else_goes_without_a_host() {
    let door = Door::open(short()).await;
    for request in [
        "GET /livez HTTP/1.1\r\n\r\n",
        "POST /livez HTTP/1.0\r\n\r\n",
        "GET /livez HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /livez HTTP/1.0\r\nHost:\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /metrics HTTP/1.0\r\n\r\n",
        "GET /docs/errors HTTP/1.0\r\n\r\n",
        "GET /v1/wa/who HTTP/1.0\r\n\r\n",
        "POST /v1/wa/message HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        "GET http://other/livez HTTP/1.0\r\n\r\n",
    ] {
        let answer = Answer::only(&door.tell(request).await);
        assert_eq!((answer.status, answer.code().as_str()), (400, "REQ_006"), "{request:?}: {answer:?}");
    }
}

//! TLS with a certificate of our own making, and from files; both versions of HTTP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use turnpike_simulator::{Behaviour, Config, Rule, Simulator, StartError, TlsFiles};

use crate::client::{Ending, exchange, read_answer, request_bytes, start, text_to};

const WAIT: Duration = Duration::from_millis(500);

fn self_signed() -> Config {
    Config { tls: Some(TlsFiles::SelfSigned { names: Vec::new(), write_ca_to: None }), ..Config::default() }
}

async fn connect(simulator: &Simulator, ca_pem: &str, name: &'static str, alpn: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a PEM certificate")).expect("a usable authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows today's versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let tcp = TcpStream::connect(simulator.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).expect("a name"), tcp).await
}

fn send_bytes() -> Vec<u8> {
    request_bytes("POST", "/v23.0/1/messages", "authorization: Bearer EAAgood\r\n", &text_to("905321234567").to_string())
}

#[tokio::test]
async fn a_client_that_trusts_the_made_authority_is_served_by_name_and_by_address() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca_file = folder.path().join("ca.pem");
    let tls = TlsFiles::SelfSigned { names: vec!["graph.test".to_owned()], write_ca_to: Some(ca_file.clone()) };
    let simulator = start(Config { tls: Some(tls), ..Config::default() }).await;
    assert!(simulator.base_url().starts_with("https://127.0.0.1:"));
    let ca_pem = std::fs::read_to_string(&ca_file).expect("the authority was written");
    assert_eq!(simulator.ca_pem(), Some(ca_pem.as_str()));
    for name in ["graph.test", "localhost", "127.0.0.1"] {
        let mut connection = connect(&simulator, &ca_pem, name, &[b"http/1.1"]).await.expect("a trusted connection");
        connection.write_all(&send_bytes()).await.expect("the request goes out");
        assert_eq!(read_answer(&mut connection).await.status, 200, "{name}");
    }
    assert!(connect(&simulator, &ca_pem, "elsewhere.test", &[]).await.is_err(), "a name that it does not bear");
    let other = start(self_signed()).await;
    let other_ca = other.ca_pem().expect("it made one").to_owned();
    assert!(connect(&simulator, &other_ca, "localhost", &[]).await.is_err(), "another authority");
}

#[tokio::test]
async fn the_version_of_http_is_agreed_by_alpn() {
    /// What the client offers, whether the server speaks HTTP/2, what is agreed.
    type Offer = (&'static [&'static [u8]], bool, Option<&'static [u8]>);
    let offers: [Offer; 4] = [
        (&[b"h2", b"http/1.1"], true, Some(b"h2")),
        (&[b"http/1.1"], true, Some(b"http/1.1")),
        (&[b"h2", b"http/1.1"], false, Some(b"http/1.1")),
        (&[], true, None),
    ];
    for (offered, http2, agreed) in offers {
        let simulator = start(Config { http2, ..self_signed() }).await;
        let ca_pem = simulator.ca_pem().expect("it made one");
        let mut connection = connect(&simulator, ca_pem, "localhost", offered).await.expect("a connection");
        assert_eq!(connection.get_ref().1.alpn_protocol(), agreed);
        if agreed == Some(b"h2") {
            let (sender, driver) = h2::client::handshake(connection).await.expect("HTTP/2 is spoken");
            let mut drivers = JoinSet::new();
            drivers.spawn(async move {
                let _ = driver.await;
            });
            let request = http::Request::post("https://localhost/v23.0/1/messages")
                .header("authorization", "Bearer EAAgood")
                .body(())
                .expect("a request");
            let mut sender = sender.ready().await.expect("a free stream");
            let (response, mut stream) = sender.send_request(request, false).expect("a stream");
            stream.send_data(Bytes::from(text_to("905321234567").to_string()), true).expect("the body goes out");
            let response = response.await.expect("an answer");
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["facebook-api-version"], "v23.0");
        } else {
            connection.write_all(&send_bytes()).await.expect("the request goes out");
            assert_eq!(read_answer(&mut connection).await.status, 200);
        }
        assert_eq!(simulator.request_count(), 1);
    }
}

#[tokio::test]
async fn faults_pass_through_tls() {
    for (name, some_bytes, ending, recorded) in [
        ("close_before_reading_fin", false, Ending::Fin, 0),
        ("close_after_head_rst", false, Ending::Rst, 0),
        ("close_after_body_fin", false, Ending::Fin, 1),
        ("close_after_body_rst", false, Ending::Rst, 1),
        ("close_mid_head_fin", true, Ending::Fin, 1),
        ("close_mid_body_fin", true, Ending::Fin, 1),
        ("hang", false, Ending::Open, 1),
        ("garbage", true, Ending::Fin, 1),
        ("goaway_below", false, Ending::Fin, 0),
    ] {
        let simulator = start(self_signed()).await;
        simulator.script(Rule::next_sends(Behaviour::named(name).expect("a name"), 1)).await.expect("it can be carried out");
        let ca_pem = simulator.ca_pem().expect("it made one");
        let mut connection = connect(&simulator, ca_pem, "localhost", &[b"http/1.1"]).await.expect("a connection");
        let (bytes, seen) = exchange(&mut connection, &send_bytes(), WAIT).await;
        assert_eq!((!bytes.is_empty(), seen), (some_bytes, ending), "{name}");
        assert_eq!(simulator.request_count(), recorded, "{name}");
    }
    for name in ["close_on_accept_fin", "close_on_accept_rst"] {
        let simulator = start(self_signed()).await;
        simulator.script(Rule::next_sends(Behaviour::named(name).expect("a name"), 1)).await.expect("it can be carried out");
        let ca_pem = simulator.ca_pem().expect("it made one").to_owned();
        assert!(connect(&simulator, &ca_pem, "localhost", &[]).await.is_err(), "{name} strikes before TLS");
        assert!(connect(&simulator, &ca_pem, "localhost", &[]).await.is_ok(), "once was asked for");
    }
}

#[tokio::test]
async fn a_certificate_may_come_from_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let cert = folder.path().join("cert.pem");
    let key = folder.path().join("key.pem");
    std::fs::write(&cert, made.cert.pem()).expect("the certificate is written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the key is written");
    let files = TlsFiles::Pem { cert: cert.clone(), key };
    let simulator = start(Config { tls: Some(files), ..Config::default() }).await;
    let mut connection = connect(&simulator, &made.cert.pem(), "localhost", &[]).await.expect("a trusted connection");
    connection.write_all(&send_bytes()).await.expect("the request goes out");
    assert_eq!(read_answer(&mut connection).await.status, 200);

    let missing = TlsFiles::Pem { cert: folder.path().join("none.pem"), key: cert };
    let refused = Simulator::start(Config { tls: Some(missing), ..Config::default() }).await;
    assert!(matches!(refused, Err(StartError::Tls(_))));
}

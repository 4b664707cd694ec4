//! A gateway in this process, its store on disk, with a small Meta of the test's own on the other side
//! of real sockets: what a file and a stream of events need to be seen whole.

#![expect(dead_code, reason = "each test file of this folder uses its own part")]

pub(crate) mod files;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use turnpike_domain::api_key::OperatorToken;
use turnpike_domain::money::{Currency, Micros};
use turnpike_domain::rates::Markup;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_engine::clock::{Clock as _, SystemClock};
use turnpike_engine::control::applications::Connect;
use turnpike_engine::control::keys::NewKey;
use turnpike_engine::directory::App;
use turnpike_engine::entropy::SystemEntropy;
use turnpike_engine::net::{NetConfig, NetTransport};
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::{MetaApp, SandboxUpstream, Settings};
use turnpike_engine::vault::{MasterKey, Vault};
use turnpike_engine::{Engine, Parts};
use turnpike_store::faults::FaultyStore;
use turnpike_store::keys::KeyPolicy;
use turnpike_store::sqlite::{Options, SqliteStore, Tuning};
use turnpike_web::gate::Gate;
use turnpike_web::messaging::Messaging;
use turnpike_web::meta::MetaWebhook;
use turnpike_web::operations::Operations;
use turnpike_web::operator::{Check, Machine, Operator};
use turnpike_web::request_id::RequestIds;
use turnpike_web::router::Router;
use turnpike_web::server::{BodyPace, Server, ServerConfig, ServerLimits};

/// What no test waits longer than; reaching it means that something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Meta's token; it must be seen by Meta and by nobody else.
pub(crate) const TOKEN: &str = "EAACANARY0000000000000000";

/// What our app at Meta signs with, and the words of its handshake.
pub(crate) const APP_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const VERIFY_TOKEN: &str = "our own words";

/// What lets an operator in over the network.
pub(crate) const OPERATOR_TOKEN: &str = "op_jX4NtgzuH04RsyoXOdLDxNM0xPSXaStuBjl3UdCeIoK2Z6JmJ";

struct NoMachine;

impl Machine for NoMachine {
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}

/// A gateway.
pub(crate) struct Works {
    pub(crate) engine: Arc<Engine>,
    pub(crate) address: SocketAddr,
    pub(crate) gate: Gate,
    pub(crate) folder: TempDir,
    /// The store, which fails where a test asks it to.
    pub(crate) store: Arc<FaultyStore>,
    shutdown: CancellationToken,
}

/// How a gateway is to be.
pub(crate) struct Plan {
    pub(crate) graph_url: String,
    /// Where sandbox sends go; `None` switches the sandbox off.
    pub(crate) sandbox_url: Option<String>,
    pub(crate) limits: ServerLimits,
    pub(crate) body_pace: BodyPace,
    /// Whether endpoints may be on this machine.
    pub(crate) has_loopback: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            graph_url: "http://127.0.0.1:9".to_owned(),
            sandbox_url: Some("http://127.0.0.1:9".to_owned()),
            limits: ServerLimits::default(),
            body_pace: BodyPace::default(),
            has_loopback: false,
        }
    }
}

impl Works {
    /// Two organizations, `acme` and `other`, with an application each, of the numbers 1001 and 1002.
    pub(crate) async fn open(plan: Plan) -> Works {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::new(&MasterKey::from_bytes([5; 32]));
        let clock = Arc::new(SystemClock::new());
        let options = Options {
            folder: folder.path().to_owned(),
            erasures_copy: None,
            cipher: vault.message_cipher(),
            now: clock.now(),
            fatal: Arc::new(|reason| panic!("the store died: {reason}")),
            tuning: Tuning::default(),
        };
        let (store, _) = SqliteStore::open(options).expect("the store opens");
        let store = FaultyStore::new(Arc::new(store));
        let entropy = Arc::new(SystemEntropy);
        let transport = NetTransport::new(NetConfig::default(), entropy.clone()).expect("TLS is set up");
        let app = MetaApp {
            id: "42".to_owned(),
            secrets: vec![Secret::new(APP_SECRET.to_owned())],
            verify_token: Secret::new(VERIFY_TOKEN.to_owned()),
            customer: false,
        };
        let sandbox = plan.sandbox_url.map(|url| SandboxUpstream { url, secret: Secret::new(APP_SECRET.to_owned()) });
        let spool_folder = folder.path().join("spool");
        let mut settings = Settings { graph_url: plan.graph_url, sandbox, spool_folder, meta_apps: vec![app], ..Settings::default() };
        if plan.has_loopback {
            settings.delivery = settings.delivery.allowing_loopback();
        }
        let parts = Parts { settings, clock, entropy, store: store.clone(), vault, transport: Arc::new(transport) };
        let engine = Engine::start(parts).await.expect("the engine starts");

        let gate = Gate::new(64);
        let messaging = Messaging { engine: Arc::clone(&engine), gate: gate.clone(), body_pace: plan.body_pace };
        let counted = Arc::clone(&engine);
        let operations = Operations::new(Arc::new(|| true), Arc::new(move || counted.metrics.render()));
        let meta = MetaWebhook { engine: Arc::clone(&engine), body_pace: plan.body_pace };
        let token = OperatorToken::parse(OPERATOR_TOKEN).map(Arc::new);
        let operator = Operator { engine: Arc::clone(&engine), token, machine: Arc::new(NoMachine) };
        let router = Arc::new(Router::new(messaging, operations, operator.router()).with_meta(meta));
        let ids = Arc::new(RequestIds::new(UnixMs(1_790_000_000_000), 7));
        let config = ServerConfig { limits: plan.limits, ..ServerConfig::new(SocketAddr::from(([127, 0, 0, 1], 0)), ids) };
        let server = Server::bind(config).await.expect("a free port");
        let address = server.address().expect("a network address");
        let shutdown = CancellationToken::new();
        let _serving = server.start(router, &TaskTracker::new(), shutdown.clone());
        let works = Works { engine, address, gate, folder, store, shutdown };
        works.application("acme", "1001").await;
        works.application("other", "1002").await;
        works
    }

    /// An organization with one connected application of the same name.
    pub(crate) async fn application(&self, name: &str, number: &str) -> Arc<App> {
        let app = self.draft(name).await;
        let connect = Connect {
            phone_number_id: number.to_owned(),
            waba_id: format!("2{number}"),
            token: Secret::new(TOKEN.to_owned()),
            phone_number: None,
            meta_app_id: None,
            connection_type: None,
        };
        self.engine.connect_application(&app, connect).await.expect("it connects")
    }

    /// An organization with an application that has no number yet.
    pub(crate) async fn draft(&self, name: &str) -> Arc<App> {
        let markup = Markup { factor_ppm: 1_000_000, fixed: Micros::ZERO, base_fee: Micros(1_000) };
        self.engine.create_organization(name, Currency::USD, markup).await.expect("an organization");
        let organization = self.engine.organization(Some(name)).expect("it is in the directory");
        self.engine.create_application(&organization, name, Some(name)).await.expect("an application")
    }

    pub(crate) fn app(&self, app_id: &str) -> Arc<App> {
        let state = self.engine.directory().snapshot();
        Arc::clone(&state.applications[state.by_app_id.get(app_id).expect("an application of that name")])
    }

    /// A key's text and id.
    pub(crate) async fn key(&self, app_id: &str, mode: Mode, scopes: Option<&[&str]>) -> (String, uuid::Uuid) {
        let mut policy = KeyPolicy::default();
        if let Some(scopes) = scopes {
            policy.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        }
        let new = NewKey { name: "test".to_owned(), mode, policy, expires_at: None, count: 1 };
        let made = self.engine.create_keys(&self.app(app_id), new).await.expect("a key").pop().expect("one key");
        (made.text.expose().to_owned(), made.row.id)
    }

    /// A live key with every scope.
    pub(crate) async fn live_key(&self, app_id: &str) -> String {
        self.key(app_id, Mode::Live, None).await.0
    }

    /// One request, to where its answer ends or is known to have no end.
    pub(crate) async fn begin(&self, method: &str, path: &str, key: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(self.address).await.expect("it listens");
        socket.write_all(head.as_bytes()).await.expect("it is open");
        socket.write_all(body).await.expect("it is open");
        begun(&mut socket).await
    }

    /// One request, to the end of its answer.
    pub(crate) async fn call(&self, method: &str, path: &str, key: &str, headers: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let mut socket = TcpStream::connect(self.address).await.expect("it listens");
        let (mut reading, mut writing) = socket.split();
        let mut bytes = Vec::new();
        let both = async {
            let write = async {
                // A refusal may come, and the connection close, before the whole body is written.
                let _ = writing.write_all(head.as_bytes()).await;
                let _ = writing.write_all(body).await;
            };
            let read = async {
                let _ = reading.read_to_end(&mut bytes).await;
            };
            tokio::join!(write, read);
        };
        timeout(PATIENCE, both).await.expect("an answer");
        Answer::of(bytes)
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.call("GET", path, key, "", b"").await
    }

    /// What the metrics page says now.
    pub(crate) fn metrics(&self) -> String {
        self.engine.metrics.render()
    }

    /// Stops the front door as a drain does: no new sends, listeners closed.
    pub(crate) fn drain(&self) {
        self.gate.drain();
        self.shutdown.cancel();
    }
}

/// An answer as far as it says how long it is: of one that has no end, its head.
pub(crate) async fn begun(socket: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        if let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let mut answer = Answer::of(bytes[..head + 4].to_vec());
            let length: Option<usize> = answer.header("content-length").and_then(|length| length.parse().ok());
            if length.is_none_or(|length| bytes.len() >= head + 4 + length) {
                answer.body = bytes[head + 4..][..length.unwrap_or(0)].to_vec();
                return answer;
            }
        }
        let mut piece = [0; 4096];
        let read = timeout(PATIENCE, socket.read(&mut piece)).await.expect("an answer").expect("an answer");
        assert!(read > 0, "closed within an answer: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..read]);
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(bytes: Vec<u8>) -> Answer {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status");
        let mut answer = Answer { status, head, body: bytes[end..].to_vec() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunked(&answer.body);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name)))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Status, code and the first faulty field.
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let errors = &self.json()["errors"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (self.status, text(&errors["code"]), text(&errors["params"]["fields"][0]["path"]))
    }
}

fn dechunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = chunks.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).expect("a length"), 16).expect("a length");
        if length == 0 {
            break;
        }
        whole.extend_from_slice(&chunks[end + 2..end + 2 + length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
    whole
}

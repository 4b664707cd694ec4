//! Composition: which store, engine, web and simulator make a gateway, and how they start and stop.
//!
//! The only place that knows all the rooms. A gateway that serves and a command that works on a
//! folder by itself are made of the same parts, so that both follow the same rules.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use turnpike_domain::api_key::OperatorToken;
use turnpike_engine::clock::{Clock, SystemClock};
use turnpike_engine::entropy::{Entropy, SystemEntropy};
use turnpike_engine::erasures::Elsewhere;
use turnpike_engine::net::NetTransport;
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::{SandboxUpstream, Settings};
use turnpike_engine::transport::Transport;
use turnpike_engine::vault::{MasterKey, Vault};
use turnpike_engine::{Engine, Parts};
use turnpike_simulator::{Forgetter, Record, Simulator, Subscription, forget_at_rest};
use turnpike_store::Store;
use turnpike_store::sqlite::{Options, SqliteStore, Tuning};
use turnpike_web::gate::Gate;
use turnpike_web::messaging::Messaging;
use turnpike_web::meta::MetaWebhook;
use turnpike_web::operations::Operations;
use turnpike_web::operator::{BODY_MAX, Operator};
use turnpike_web::request_id::RequestIds;
use turnpike_web::router::Router;
use turnpike_web::server::{BodyPace, Peer, Server, ServerConfig, ServerHandle, TrustedProxies};

use crate::config::{Config, MasterKeyPlace};
use crate::machine::DataFolder;
use crate::panics;

/// The socket of the operator's commands, in the data folder.
pub(crate) const CONTROL_SOCKET: &str = "control.sock";

/// The file in the data folder that says where the built-in simulator listens.
pub(crate) const SIMULATOR_ADDRESS: &str = "simulator/address";

/// The built-in simulator's record, in the data folder.
pub(crate) const SIMULATOR_RECORD: &str = "simulator/requests.jsonl";

/// How long sends under way may take once the gateway was told to stop (reliability §c1).
const STOP_PATIENCE: Duration = Duration::from_secs(35);
/// How long a command's own background work (a first sync of templates) may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
/// Exit code of a gateway whose store died: sysexits' EX_IOERR. A supervisor starts it again.
const EXIT_STORE_DIED: i32 = 74;

/// A gateway that serves.
pub(crate) struct Running {
    /// The works.
    pub(crate) engine: Arc<Engine>,
    /// Where callers reach it.
    pub(crate) address: SocketAddr,
    /// Where the built-in simulator listens, if it runs.
    pub(crate) simulator_url: Option<String>,
    simulator: Option<Simulator>,
    gate: Gate,
    servers: Vec<ServerHandle>,
    shutdown: CancellationToken,
    socket: PathBuf,
}

/// The built-in simulator that is to run.
pub(crate) struct Play {
    /// How it is to be.
    pub(crate) settings: turnpike_simulator::Config,
    /// Where it listens, if somebody had to know that before; otherwise `settings` say it.
    pub(crate) listener: Option<TcpListener>,
}

impl Play {
    /// One that listens where its settings say.
    pub(crate) fn anywhere(settings: turnpike_simulator::Config) -> Play {
        Play { settings, listener: None }
    }

    /// Starts it.
    pub(crate) async fn begin(self) -> anyhow::Result<Simulator> {
        if let Record::File(path) = &self.settings.record
            && let Some(folder) = path.parent()
        {
            std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        }
        let started = match self.listener {
            Some(listener) => Simulator::start_on(listener, self.settings).await,
            None => Simulator::start(self.settings).await,
        };
        started.context("starting the built-in simulator")
    }
}

/// The seams and what is below them.
struct Base {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    vault: Vault,
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
}

/// Starts a gateway: store, simulator, engine, doors. Ready when it returns.
pub(crate) async fn start(config: &Config, simulator: Option<Play>) -> anyhow::Result<Running> {
    let base = base(config).await?;
    let secret = sandbox_secret(&*base.entropy);
    let request_ids = request_ids(&base);
    let simulator = match simulator {
        Some(mut play) => {
            play.settings.sandbox_secret = Some(secret.expose().to_owned());
            Some(play.begin().await?)
        }
        None => None,
    };
    let mut settings = config.settings.clone();
    let simulator_url = simulator.as_ref().map(Simulator::base_url);
    if config.sandbox {
        settings.sandbox = simulator_url.clone().map(|url| SandboxUpstream { url, secret });
    }
    // Where the system chooses the port, nobody knows it yet, and the engine must. A port that people
    // wait for listens last: who gets through then finds everything, the commands' socket too.
    let early = match config.listen.port() {
        0 => Some(front_door(config, &request_ids).await?),
        _ => None,
    };
    if let Some((_, address)) = &early {
        settings.public_url = at_port(&settings.public_url, config.listen, *address);
        settings.delivery.own_addresses.push(*address);
    }
    let engine = engine(settings.clone(), base).await?;
    engine.keeps_elsewhere(Arc::new(match &simulator {
        Some(simulator) => BuiltIn::Running(simulator.forgetter()),
        None => BuiltIn::AtRest(Record::File(config.data.join(SIMULATOR_RECORD))),
    }));
    panics::count_in(&engine.metrics);
    engine.run();

    let inner = inner_door(config, simulator.is_some(), &request_ids).await?;
    let socket = config.data.join(CONTROL_SOCKET);
    let control = Server::bind_unix(&socket, config.server.clone(), Arc::clone(&request_ids)).await?;
    let (server, address) = match early {
        Some(bound) => bound,
        None => front_door(config, &request_ids).await?,
    };
    let callback = callback(inner.as_ref().and_then(Server::address).unwrap_or(address));

    let gate = Gate::new(config.sends_in_flight);
    let service = Arc::new(router(config, &engine, &gate));
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let doors = [Some(server), inner, Some(control)].into_iter().flatten();
    let servers = doors.map(|door| door.start(Arc::clone(&service), &tracker, shutdown.clone())).collect();
    if let Some(simulator) = &simulator {
        for subscription in subscriptions(&settings, &callback) {
            simulator.subscribe(subscription).await.context("telling the built-in simulator where its webhooks go")?;
        }
        leave_address(&config.data, &simulator.base_url())?;
    }
    Ok(Running { engine, address, simulator_url, simulator, gate, servers, shutdown, socket })
}

/// Where everybody comes in, bound and not yet served.
async fn front_door(config: &Config, request_ids: &Arc<RequestIds>) -> anyhow::Result<(Server, SocketAddr)> {
    let server = Server::bind(ServerConfig {
        tls: config.tls.as_ref().map(crate::config::tls::server_config).transpose()?,
        limits: config.server.clone(),
        trusted_proxies: TrustedProxies::new(config.trusted_proxies.clone()),
        ..ServerConfig::new(config.listen, Arc::clone(request_ids))
    })
    .await?;
    let address = server.address().context("a TCP listener has an address")?;
    Ok((server, address))
}

/// The built-in simulator's webhooks come over plain HTTP; where the gateway speaks TLS they have a
/// door of their own, on this machine only.
async fn inner_door(config: &Config, has_simulator: bool, request_ids: &Arc<RequestIds>) -> anyhow::Result<Option<Server>> {
    if config.tls.is_none() || !has_simulator {
        return Ok(None);
    }
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let door = ServerConfig { limits: config.server.clone(), ..ServerConfig::new(anywhere, Arc::clone(request_ids)) };
    Ok(Some(Server::bind(door).await?))
}

/// An address for customers that was taken from where we listen, with the port that it became; one
/// that was configured stays.
fn at_port(public_url: &str, listen: SocketAddr, bound: SocketAddr) -> String {
    match public_url.strip_suffix(&listen.to_string()) {
        Some(scheme) => format!("{scheme}{bound}"),
        None => public_url.to_owned(),
    }
}

/// Where Meta's webhooks come in, for who is on this machine.
fn callback(address: SocketAddr) -> String {
    let host = match address {
        SocketAddr::V4(address) if address.ip().is_unspecified() => "127.0.0.1".to_owned(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => "[::1]".to_owned(),
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    format!("http://{host}:{}/v1/meta/webhook", address.port())
}

/// What the built-in simulator reports, and how it signs: for sandbox ids with the sandbox's secret;
/// for the numbers of a demo, whose Graph API it plays, as the demo's app at Meta.
fn subscriptions(settings: &Settings, callback: &str) -> Vec<Subscription> {
    let plays_meta = |upstream: &SandboxUpstream| upstream.url == settings.graph_url;
    let sandbox = settings
        .sandbox
        .as_ref()
        .map(|upstream| Subscription::new(callback, upstream.secret.expose(), upstream.secret.expose()).for_prefix("sandbox-"));
    let live = settings.sandbox.as_ref().filter(|upstream| plays_meta(upstream)).and(settings.meta_apps.first());
    let live = live.and_then(|app| Some(Subscription::new(callback, app.secrets.first()?.expose(), app.verify_token.expose())));
    live.into_iter().chain(sandbox).collect()
}

/// Where `turnpike sim` finds the simulator.
fn leave_address(folder: &Path, url: &str) -> anyhow::Result<()> {
    let path = folder.join(SIMULATOR_ADDRESS);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, url).with_context(|| format!("writing {}", path.display()))
}

/// The built-in simulator as one who keeps something of users: what sandbox keys sent, and what it
/// made of that.
enum BuiltIn {
    Running(Forgetter),
    /// Its files, where it does not run.
    AtRest(Record),
}

impl Elsewhere for BuiltIn {
    fn forget(&self, name: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(async move {
            let forgotten = match self {
                BuiltIn::Running(forgetter) => forgetter.forget(&name).await,
                BuiltIn::AtRest(record) => forget_at_rest(record, &name).await,
            };
            forgotten.map(drop).map_err(|error| format!("the built-in simulator cannot forget a user: {error}"))
        })
    }
}

impl Running {
    /// Stops: no new work, what is under way ends, the store closes. In this order nothing that was
    /// begun is lost: doors first, then sends, then the money's store.
    pub(crate) async fn stop(self) {
        self.gate.drain();
        self.shutdown.cancel();
        for server in self.servers {
            server.drained().await;
        }
        self.engine.stop(STOP_PATIENCE).await;
        if let Some(simulator) = self.simulator {
            simulator.shutdown().await;
        }
        // A socket that nobody answers on would only cost the next command a look.
        let _ = std::fs::remove_file(&self.socket);
        if let Some(folder) = self.socket.parent() {
            let _ = std::fs::remove_file(folder.join(SIMULATOR_ADDRESS));
        }
    }
}

/// Answers one operator's request on a folder on which no gateway runs: the same router, without
/// listeners, without the clock, and the store closed afterwards.
pub(crate) async fn call_in_process(config: &Config, request: http::Request<Bytes>) -> anyhow::Result<http::Response<Bytes>> {
    let base = base(config).await?;
    let engine = engine(config.settings.clone(), base).await?;
    engine.keeps_elsewhere(Arc::new(BuiltIn::AtRest(Record::File(config.data.join(SIMULATOR_RECORD)))));
    let router = operator(config, &engine).router();
    let mut request = request.map(axum::body::Body::from);
    request.extensions_mut().insert(Peer::Local);
    let answer = match router.oneshot(request).await {
        Ok(answer) => answer,
        Err(impossible) => match impossible {},
    };
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.context("reading the answer")?.to_bytes();
    engine.stop(COMMAND_PATIENCE).await;
    Ok(http::Response::from_parts(parts, body))
}

async fn base(config: &Config) -> anyhow::Result<Base> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    make_private_folder(&config.data)?;
    let vault = Vault::new(&master_key(config, &*entropy)?);
    let options = Options {
        folder: config.data.clone(),
        erasures_copy: config.erasures_copy.clone(),
        cipher: vault.message_cipher(),
        now: clock.now(),
        fatal: Arc::new(|reason: &str| {
            tracing::error!(reason, "the store died; the gateway ends, because what it would answer could not be kept");
            std::process::exit(EXIT_STORE_DIED);
        }),
        tuning: Tuning::default(),
    };
    let (store, recovery) = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await.context("opening the store")??;
    if recovery.unknown > 0 {
        tracing::warn!(
            messages = recovery.unknown,
            "the last run ended while messages were under way: their outcome is unknown and their price stays held; \
             see: turnpike message list --state unknown"
        );
    }
    let transport: Arc<dyn Transport> =
        Arc::new(NetTransport::new(config.net.clone(), Arc::clone(&entropy)).context("preparing TLS towards Meta")?);
    Ok(Base { clock, entropy, vault, store: Arc::new(store), transport })
}

async fn engine(settings: Settings, base: Base) -> anyhow::Result<Arc<Engine>> {
    let Base { clock, entropy, vault, store, transport } = base;
    Engine::start(Parts { settings, clock, entropy, store, vault, transport }).await.context("starting the engine")
}

fn router(config: &Config, engine: &Arc<Engine>, gate: &Gate) -> Router<Messaging> {
    let messaging = Messaging { engine: Arc::clone(engine), gate: gate.clone(), body_pace: BodyPace::default() };
    let (draining, counted) = (gate.clone(), Arc::clone(engine));
    let operations = Operations::new(Arc::new(move || !draining.is_draining()), Arc::new(move || counted.metrics.render()));
    let operations = if config.metrics_public { operations.with_metrics_for_all() } else { operations };
    let control = operator(config, engine).router();
    let meta = MetaWebhook { engine: Arc::clone(engine), body_pace: BodyPace::default() };
    let router = Router::new(messaging, operations, control).with_meta(meta).with_control_body(BODY_MAX, BodyPace::default());
    // What comes past the proxy came unencrypted.
    if config.behind_proxy && config.tls.is_none() { router.for_sheltered_only() } else { router }
}

fn operator(config: &Config, engine: &Arc<Engine>) -> Operator {
    let token = config.operator_token.as_ref().and_then(|token| OperatorToken::parse(token.expose()));
    Operator {
        engine: Arc::clone(engine),
        token: token.map(Arc::new),
        machine: Arc::new(DataFolder { folder: config.data.clone(), warnings: config.warnings.clone() }),
    }
}

fn master_key(config: &Config, entropy: &dyn Entropy) -> anyhow::Result<MasterKey> {
    Ok(match &config.master_key {
        MasterKeyPlace::DataFolder(path) if holds_a_database(&config.data) => MasterKey::load(path)?,
        MasterKeyPlace::DataFolder(path) => MasterKey::load_or_create(path, entropy)?,
        MasterKeyPlace::File(path) => MasterKey::load(path)?,
        MasterKeyPlace::Text { text, origin } => MasterKey::parse(text.expose(), origin)?,
    })
}

/// A database without its master key must not get a new one: nothing that it sealed would open.
fn holds_a_database(folder: &Path) -> bool {
    folder.join(turnpike_store::sqlite::DATABASE_FILE).exists()
}

/// The secret of `sandbox-…` ids: made anew at every start, since both sides live in this process.
fn sandbox_secret(entropy: &dyn Entropy) -> Secret {
    let mut bytes = [0u8; 16];
    entropy.fill(&mut bytes);
    Secret::new(bytes.iter().fold("sbx_".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

fn request_ids(base: &Base) -> Arc<RequestIds> {
    let mut random = [0u8; 4];
    base.entropy.fill(&mut random);
    Arc::new(RequestIds::new(base.clock.now(), u32::from_ne_bytes(random)))
}

fn make_private_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if folder.is_dir() {
        return Ok(());
    }
    if folder.exists() {
        bail!("{} is not a folder; name another with --data", folder.display());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the data folder {}", folder.display()))
}

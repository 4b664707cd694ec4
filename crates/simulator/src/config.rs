//! What a simulator is told at its start.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::graph::templates::TemplateSeed;
use crate::numbers::{DEFAULT_WABA, Number};
use crate::phones::Events;
use crate::plan::{StatusRule, Timing};
use crate::users::User;
use crate::wabas::Waba;
use crate::webhooks::Subscription;

/// Updates in one POST at most: a busy number's batches stay small enough to read.
const BATCH_DEFAULT: usize = 10;

/// How long a callback may take to answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that can be set. `Config::default()` is a plain-HTTP simulator on
/// a free port that forgets its record when it ends.
#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Where the record of requests is kept.
    pub record: Record,
    /// How many requests the record keeps at least; the oldest go once there are twice as many.
    /// `None` keeps all: a test wants them.
    pub record_newest: Option<usize>,
    /// TLS, or plain HTTP where `None`.
    pub tls: Option<TlsFiles>,
    /// Whether HTTP/2 is offered (by ALPN over TLS, by prior knowledge without).
    pub http2: bool,
    /// Which access tokens are good.
    pub tokens: Tokens,
    /// When set, `appsecret_proof` is required and verified on every Graph call
    /// (but on those to sandbox numbers, which belong to no Meta app).
    pub app_secret: Option<String>,
    /// The token for number ids of the form `sandbox-<appId>`; good for those
    /// ids only, and nothing else is good for them.
    pub sandbox_secret: Option<String>,
    /// Whether a number's 80 messages a second (130429) and the pair rate of 45,
    /// then one per 6 s (131056), are enforced.
    pub rate_limits: bool,
    /// Templates that every WABA has at the start.
    pub seed_templates: Vec<TemplateSeed>,
    /// Whether a user of whom nothing else is known has written to us lately.
    pub unscripted_window: Window,
    /// How long every Graph answer takes at least.
    pub latency: Duration,
    /// Makes wamids, trace ids and dice throws repeatable.
    pub seed: Option<u64>,
    /// Who is told of accepted messages in this process, beside the webhooks.
    pub events: Option<Arc<dyn Events>>,
    /// Who is told of statuses, messages and changes by webhook, from the start.
    /// Their handshake is tried for a minute, since they may start later.
    pub subscriptions: Vec<Subscription>,
    /// How many times as fast as real time simulated time runs: 60 is a minute a
    /// second. All statuses, windows, expiries and repeats go by simulated time.
    pub speed: f64,
    /// When the usual statuses of a message come.
    pub timing: Timing,
    /// Which messages get other statuses than the usual ones.
    pub plans: Vec<StatusRule>,
    /// Users of whom more is known than their number.
    pub users: Vec<User>,
    /// Which account each number belongs to.
    pub numbers: Vec<Number>,
    /// What is special about accounts: their time zones.
    pub wabas: Vec<Waba>,
    /// The account of all other numbers.
    pub waba_id: String,
    /// Updates in one POST at most, 1 to 1,000. What is due at once shares a POST.
    pub batch_max: usize,
    /// How long (in real time) a callback may take to answer.
    pub webhook_timeout: Duration,
    /// Certificates (PEM) that a callback's may be signed by, beside those of the
    /// public authorities. Meta has no such thing: it is for a gateway under test.
    pub webhook_roots_pem: Vec<Vec<u8>>,
    /// How many service messages of each number are free each month; Meta's 1,000
    /// since 2026-10-01. How its webhooks show them is not documented; here they
    /// are `free_customer_service`, and there are none unless asked for.
    pub free_service_messages: u32,
    /// Leaves `biz_opaque_callback_data` out of `failed` statuses.
    pub omit_callback_data_on_failed: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            record: Record::Memory,
            record_newest: None,
            tls: None,
            http2: true,
            tokens: Tokens::Any,
            app_secret: None,
            sandbox_secret: None,
            rate_limits: false,
            seed_templates: Vec::new(),
            unscripted_window: Window::Open,
            latency: Duration::ZERO,
            seed: None,
            events: None,
            subscriptions: Vec::new(),
            speed: 1.0,
            timing: Timing::default(),
            plans: Vec::new(),
            users: Vec::new(),
            numbers: Vec::new(),
            wabas: Vec::new(),
            waba_id: DEFAULT_WABA.to_owned(),
            batch_max: BATCH_DEFAULT,
            webhook_timeout: WEBHOOK_TIMEOUT,
            webhook_roots_pem: Vec::new(),
            free_service_messages: 0,
            omit_callback_data_on_failed: false,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets and tokens stay out, since a Config may end in a log.
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("record", &self.record)
            .field("tls", &self.tls)
            .field("http2", &self.http2)
            .field("app_secret", &self.app_secret.is_some())
            .field("sandbox_secret", &self.sandbox_secret.is_some())
            .field("rate_limits", &self.rate_limits)
            .field("seed_templates", &self.seed_templates.len())
            .field("unscripted_window", &self.unscripted_window)
            .field("latency", &self.latency)
            .field("seed", &self.seed)
            .field("subscriptions", &self.subscriptions)
            .field("speed", &self.speed)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// Where the record of requests is kept.
#[derive(Debug, Clone)]
pub enum Record {
    /// In memory; gone with the simulator.
    Memory,
    /// In this file, one JSON object a line, appended. A POST is on disk before
    /// it is answered, and the file is read again at the next start.
    File(PathBuf),
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone)]
pub enum TlsFiles {
    /// PEM files: the certificate chain, leaf first, and its private key.
    Pem {
        /// The chain's path.
        cert: PathBuf,
        /// The key's path.
        key: PathBuf,
    },
    /// A certificate authority made at the start, and a certificate signed by it.
    SelfSigned {
        /// DNS names and IP addresses beside `localhost`, `127.0.0.1` and `::1`.
        names: Vec<String>,
        /// Where to write the authority's certificate (PEM), so that a client
        /// process can be told to trust it.
        write_ca_to: Option<PathBuf>,
    },
}

/// Which access tokens are good.
///
/// Some are bad whatever is set here, so that a client's handling can be tried:
/// `EAAEXPIRED…` (190, subcode 463), `EAAINVALID…` (190, subcode 467) and
/// `EAANOPERM…` (10).
#[derive(Debug, Clone)]
pub enum Tokens {
    /// Every token that is not empty.
    Any,
    /// These; every other is 190.
    Only(Vec<String>),
}

/// Whether a customer service window is open for users of whom nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Every user wrote a minute ago.
    Open,
    /// Nobody wrote.
    Closed,
}

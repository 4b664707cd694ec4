//! What the engine is told at start; the program reads it from flags, environment and file.

use std::time::Duration;

use turnpike_domain::money::Micros;

use crate::secret::Secret;

/// Numbers and addresses that the engine works with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Meta's Graph API, `https://graph.facebook.com`.
    pub graph_url: String,
    /// The Graph version that we speak, `v26.0`, whatever a caller's path says (contract §1).
    pub graph_version: String,
    /// The built-in simulator that answers sandbox keys; `None` where it is switched off.
    pub sandbox: Option<SandboxUpstream>,
    /// Our apps at Meta: their secrets sign webhooks and prove tokens.
    pub meta_apps: Vec<MetaApp>,
    /// How long a caller waits for Meta before the outcome is answered as unknown (contract §3.3).
    pub answer_wait: Duration,
    /// Within this every send is answered (contract §3.3).
    pub reply_within: Duration,
    /// How much an empty play wallet is refilled with.
    pub sandbox_refill: Micros,
    /// Where files lie on their way to Meta, at most a few at a time.
    pub spool_folder: std::path::PathBuf,
    /// A paused number lets one send through this often, to learn whether Meta lifted the bar.
    pub pause_probe_every: Duration,
    /// A copy of a template read within this is trusted to refuse (contract §3.2).
    pub template_trust: Duration,
    /// Within this a send without a key that equals an unknown one is taken for its repeat
    /// (contract §3.5).
    pub likely_repeat: Duration,
    /// Where customers reach us, `https://gateway.example.org`: the addresses of received media
    /// begin with it.
    pub public_url: String,
    /// A webhook of Meta's that is not durable within this is answered 503, so that Meta sends it
    /// again (contract §8).
    pub intake_within: Duration,
    /// How long what Meta reported is kept.
    pub retention: Retention,
    /// How events are delivered.
    pub delivery: crate::delivery::DeliverySettings,
    /// Whether who sets an endpoint that exists is shown its secrets again: only in a demo, whose keys
    /// lie in a file anyhow. Elsewhere secrets are shown once (contract §5).
    pub shows_secrets_again: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            graph_url: "https://graph.facebook.com".to_owned(),
            graph_version: "v26.0".to_owned(),
            sandbox: None,
            meta_apps: Vec::new(),
            answer_wait: Duration::from_secs(20),
            reply_within: Duration::from_secs(25),
            sandbox_refill: Micros(100_000_000),
            spool_folder: std::env::temp_dir(),
            pause_probe_every: Duration::from_secs(60),
            template_trust: Duration::from_secs(30),
            likely_repeat: Duration::from_secs(600),
            public_url: "http://127.0.0.1:8080".to_owned(),
            intake_within: Duration::from_millis(900),
            retention: Retention::default(),
            delivery: crate::delivery::DeliverySettings::default(),
            shows_secrets_again: false,
        }
    }
}

/// How many days what Meta reported is kept (contract §10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Webhooks as they came; 0 keeps none.
    pub raw_days: u16,
    /// Events, their bodies and their deliveries, dead letters among them.
    pub event_days: u16,
    /// Statuses of messages.
    pub status_days: u16,
    /// The oldest backup that may be restored: as long an erasure is remembered, so that it is applied
    /// again to what a backup brings back.
    pub backup_days: u16,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { raw_days: 7, event_days: 30, status_days: 90, backup_days: 365 }
    }
}

/// Where sandbox sends go.
#[derive(Clone, Debug)]
pub struct SandboxUpstream {
    /// The built-in simulator's address.
    pub url: String,
    /// The secret that it takes for ids `sandbox-<appId>`, and for nothing else.
    pub secret: Secret,
}

/// One of our apps at Meta.
#[derive(Clone, Debug)]
pub struct MetaApp {
    /// Its id.
    pub id: String,
    /// Its secret; several during rotation, the newest first.
    pub secrets: Vec<Secret>,
    /// What Meta must present when it asks for the handshake.
    pub verify_token: Secret,
    /// A customer's own app: its signature counts only for applications that name it as theirs, and
    /// never moves a fee that Meta bills the operator (contract §8).
    pub customer: bool,
}

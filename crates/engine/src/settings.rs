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
    /// A paused number lets one send through this often, to learn whether Meta lifted the bar.
    pub pause_probe_every: Duration,
    /// A copy of a template read within this is trusted to refuse (contract §3.2).
    pub template_trust: Duration,
    /// Within this a send without a key that equals an unknown one is taken for its repeat
    /// (contract §3.5).
    pub likely_repeat: Duration,
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
            pause_probe_every: Duration::from_secs(60),
            template_trust: Duration::from_secs(30),
            likely_repeat: Duration::from_secs(600),
        }
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
}

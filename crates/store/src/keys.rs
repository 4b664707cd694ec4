//! API keys: digests and what each key may do. The key's text is never here.

use serde::{Deserialize, Serialize};
use turnpike_domain::ids::{ApiKeyId, ApplicationId, OrganizationId};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::Answer;

/// What a key may do and how much of it (contract §4). `None` is no limit of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPolicy {
    /// Requests in any span of one second.
    pub rate_per_second: u32,
    /// Requests in any span of sixty seconds.
    pub rate_per_minute: u32,
    /// Messages of the UTC day.
    pub daily_limit: Option<u32>,
    /// Sends in flight.
    pub concurrency_limit: Option<u32>,
    /// Held and captured amounts of the UTC day.
    pub daily_spend: Option<Micros>,
    /// Market codes that it may send to.
    pub allowed_markets: Option<Vec<String>>,
    /// Addresses or networks (`192.0.2.0/24`) that it may be used from.
    pub allowed_ips: Option<Vec<String>>,
    /// `send`, `read`, `templates`, `webhooks`, `billing:read`.
    pub scopes: Vec<String>,
    /// Whether a closed customer service window refuses (POL_001).
    pub enforce_window: bool,
}

impl Default for KeyPolicy {
    /// 80 a second, 4,800 in sixty seconds (contract §4), nothing else limited, all scopes but none
    /// that moves money.
    fn default() -> Self {
        KeyPolicy {
            rate_per_second: 80,
            rate_per_minute: 4_800,
            daily_limit: None,
            concurrency_limit: None,
            daily_spend: None,
            allowed_markets: None,
            allowed_ips: None,
            scopes: ["send", "read", "templates", "webhooks", "billing:read"].map(str::to_owned).to_vec(),
            enforce_window: false,
        }
    }
}

/// A key as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyRow {
    /// The store's key of it.
    #[serde(skip)]
    pub key: ApiKeyId,
    /// Owner.
    #[serde(skip)]
    pub organization: OrganizationId,
    /// The application that it sends for.
    #[serde(skip)]
    pub application: ApplicationId,
    /// Its UUID.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Live or sandbox.
    pub mode: Mode,
    /// Keyed BLAKE3 of the text, 32 bytes.
    #[serde(skip)]
    pub digest: [u8; 32],
    /// First characters, to recognise it by: `pk_4fT9a`.
    pub prefix: String,
    /// Last four characters.
    pub last_four: String,
    /// What it may do.
    #[serde(flatten)]
    pub policy: KeyPolicy,
    /// After this it is unknown.
    pub expires_at: Option<UnixMs>,
    /// Since when it is revoked.
    pub revoked_at: Option<UnixMs>,
    /// When it was made.
    pub created_at: UnixMs,
}

/// What a new key needs.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// Owner.
    pub organization: OrganizationId,
    /// The application that it sends for.
    pub application: ApplicationId,
    /// Its UUID.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// Live or sandbox.
    pub mode: Mode,
    /// Keyed BLAKE3 of the text.
    pub digest: [u8; 32],
    /// First characters.
    pub prefix: String,
    /// Last four.
    pub last_four: String,
    /// What it may do.
    pub policy: KeyPolicy,
    /// After this it is unknown.
    pub expires_at: Option<UnixMs>,
    /// Now.
    pub at: UnixMs,
}

/// Reads and writes of keys.
pub trait Keys {
    /// Stores new keys in one commit, in order (a bench makes a million). A key for an application
    /// that its organization does not have is left out of it and of the answer.
    fn create_keys(&self, new: Vec<NewApiKey>) -> Answer<'_, Vec<ApiKeyRow>>;
    /// Every key that can still be used at `now` (neither revoked nor expired): the engine keeps
    /// them in memory. Streams them in chunks to `each`, so that a million do not stand twice.
    fn load_keys(&self, now: UnixMs, each: Box<dyn FnMut(Vec<ApiKeyRow>) + Send>) -> Answer<'_, ()>;
    /// The keys of one application, revoked ones too, newest first.
    fn keys_of(&self, organization: OrganizationId, application: ApplicationId) -> Answer<'_, Vec<ApiKeyRow>>;
    /// Makes a key in an old one's place, and ends the old one, in one commit. A rotation that took
    /// place already, by the id of its new key, is answered as it was then, so that it can be asked for
    /// again where its answer got lost.
    fn rotate_key(&self, rotation: KeyRotation) -> Answer<'_, Rotated>;
    /// Revokes, or sets the end of an overlap; `None` where the organization has no such key.
    fn end_key(&self, organization: OrganizationId, id: Uuid, end: KeyEnd) -> Answer<'_, Option<ApiKeyRow>>;
}

/// A new key in an old one's place.
#[derive(Clone, Debug)]
pub struct KeyRotation {
    /// The new key, of the old one's organization and application.
    pub new: NewApiKey,
    /// The old key's UUID.
    pub old: Uuid,
    /// How the old key ends.
    pub end: KeyEnd,
}

/// What became of a [`KeyRotation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// Both are so on disk.
    Done {
        /// The new key.
        new: Box<ApiKeyRow>,
        /// The old one with its end.
        old: Box<ApiKeyRow>,
    },
    /// The old key had ended before. Nothing was written.
    Ended,
    /// The organization's application has no such key. Nothing was written.
    NotFound,
}

/// How a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEnd {
    /// At once.
    Revoked(UnixMs),
    /// At this instant, never later than it already would.
    Expires(UnixMs),
}

//! Every setting there is: its key, what kind of value it takes, and its default.
//!
//! The one list behind the file, the environment, `--set` and `config print`. What each is for
//! stands in `default.toml`, and a test holds the two together.

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key in the file, with its section: `graph.url`.
    pub(crate) key: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The value where nothing gives another, as text; `None` where there is none.
    pub(crate) default: Option<&'static str>,
}

/// What a setting takes: how it is written in a file, and whether it may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string that names a file or folder, relative to the folder of the file that it stands in.
    Path,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// An array of strings; commas between them elsewhere.
    List,
    /// A string that is never shown.
    Secret,
}

impl Kind {
    /// What a value of this kind is called in an error.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Text | Kind::Path | Kind::Secret => "a text in quotes",
            Kind::Flag => "true or false",
            Kind::Number => "a whole number",
            Kind::List => "a list of texts: [\"…\", \"…\"]",
        }
    }
}

impl Setting {
    /// Its environment variable: `TURNPIKE_GRAPH_URL`.
    pub(crate) fn variable(&self) -> String {
        format!("{}{}", super::environment::PREFIX, self.key.replace('.', "_").to_uppercase())
    }
}

/// The setting of that key.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The known word nearest to a mistyped one, where one is near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (strsim::jaro_winkler(typed, word), word))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

const fn setting(key: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { key, kind, default: Some(default) }
}

const fn unset(key: &'static str, kind: Kind) -> Setting {
    Setting { key, kind, default: None }
}

/// In the order of `default.toml`.
pub(crate) static SETTINGS: &[Setting] = &[
    setting("data", Kind::Path, super::DEFAULT_DATA),
    setting("listen", Kind::Text, "127.0.0.1:8080"),
    setting("behind_proxy", Kind::Flag, "false"),
    setting("trusted_proxies", Kind::List, ""),
    unset("public_url", Kind::Text),
    unset("workers", Kind::Number),
    unset("master_key_file", Kind::Path),
    unset("master_key", Kind::Secret),
    unset("tls.cert", Kind::Path),
    unset("tls.key", Kind::Path),
    setting("graph.url", Kind::Text, "https://graph.facebook.com"),
    setting("graph.version", Kind::Text, "v26.0"),
    unset("graph.ca_file", Kind::Path),
    setting("graph.http2", Kind::Flag, "true"),
    setting("graph.answer_wait", Kind::Text, "20s"),
    setting("graph.reply_within", Kind::Text, "25s"),
    setting("graph.hard_cap", Kind::Text, "60s"),
    setting("graph.dns_timeout", Kind::Text, "3s"),
    setting("graph.connect_timeout", Kind::Text, "3s"),
    setting("graph.tls_timeout", Kind::Text, "3s"),
    setting("graph.pool_timeout", Kind::Text, "2s"),
    setting("graph.silence", Kind::Text, "3s"),
    setting("graph.idle_timeout", Kind::Text, "20s"),
    setting("graph.ping_every", Kind::Text, "20s"),
    setting("graph.ping_answer", Kind::Text, "10s"),
    setting("graph.retry_min", Kind::Text, "100ms"),
    setting("graph.retry_max", Kind::Text, "1s"),
    setting("graph.connections", Kind::Number, "512"),
    setting("graph.pause_probe_every", Kind::Text, "60s"),
    setting("messages.likely_repeat", Kind::Text, "10m"),
    setting("messages.template_trust", Kind::Text, "30s"),
    setting("intake.durable_within", Kind::Text, "900ms"),
    setting("retention.raw_webhooks_days", Kind::Number, "7"),
    setting("retention.events_days", Kind::Number, "30"),
    setting("retention.statuses_days", Kind::Number, "90"),
    setting("retention.backups_days", Kind::Number, "365"),
    unset("retention.erasures_copy", Kind::Path),
    setting("webhooks.allowed_networks", Kind::List, ""),
    setting("webhooks.allow_http", Kind::Flag, "false"),
    setting("webhooks.any_port", Kind::Flag, "false"),
    unset("webhooks.ca_file", Kind::Path),
    setting("webhooks.connect_timeout", Kind::Text, "5s"),
    setting("webhooks.timeout", Kind::Text, "15s"),
    setting("webhooks.schedule", Kind::List, "5s,5m,30m,2h,5h,10h,14h,20h,24h"),
    setting("webhooks.in_flight", Kind::Number, "512"),
    setting("webhooks.in_flight_per_organization", Kind::Number, "32"),
    setting("webhooks.in_flight_per_endpoint", Kind::Number, "8"),
    setting("webhooks.backlog_events", Kind::Number, "1000000"),
    setting("webhooks.backlog_age", Kind::Text, "7d"),
    setting("sandbox.enabled", Kind::Flag, "true"),
    setting("sandbox.refill", Kind::Text, "100.00"),
    setting("sandbox.keep_requests", Kind::Number, "10000"),
    setting("metrics.public", Kind::Flag, "false"),
    unset("operator.token_file", Kind::Path),
    unset("operator.token", Kind::Secret),
    setting("log.format", Kind::Text, "pretty"),
    setting("log.level", Kind::Text, "info"),
    setting("limits.connections", Kind::Number, "10000"),
    setting("limits.connections_per_address", Kind::Number, "256"),
    setting("limits.sends_in_flight", Kind::Number, "4096"),
    setting("limits.http2_streams", Kind::Number, "128"),
    setting("limits.headers", Kind::Number, "64"),
    setting("limits.header_bytes", Kind::Number, "16384"),
    setting("limits.tls_handshake", Kind::Text, "10s"),
    setting("limits.first_byte", Kind::Text, "10s"),
    setting("limits.header", Kind::Text, "10s"),
    setting("limits.keep_alive", Kind::Text, "75s"),
    setting("limits.write_stall", Kind::Text, "10s"),
    setting("limits.linger", Kind::Text, "2s"),
    setting("limits.drain_idle", Kind::Text, "2s"),
    setting("limits.drain_deadline", Kind::Text, "35s"),
];

/// The keys of a `[[meta.app]]`, and of `TURNPIKE_META_APP_…`.
pub(crate) static APP_KEYS: [(&str, Kind); 7] = [
    ("id", Kind::Text),
    ("customer", Kind::Flag),
    ("secret_file", Kind::Path),
    ("secret", Kind::Secret),
    ("secrets", Kind::List),
    ("verify_token_file", Kind::Path),
    ("verify_token", Kind::Secret),
];

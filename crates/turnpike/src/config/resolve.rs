//! From text to the rooms' own types. Every value that cannot be read becomes a problem at its place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use turnpike_domain::money::Micros;
use turnpike_domain::webhook::address::Network;
use turnpike_domain::webhook::{PlainHttp, Schedule, UrlRules};
use turnpike_engine::delivery::DeliverySettings;
use turnpike_engine::net::{NetConfig, Timeouts};
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::{MetaApp, Retention, Settings};
use turnpike_web::server::ServerLimits;

use super::overlay::{Given, Overlay};
use super::problem::Problems;
use super::settings::find;
use super::{Config, Log, LogFormat, MasterKeyPlace, TlsFiles, parse_duration, secrets, tls};

/// The file of the master key in the data folder.
const MASTER_KEY_FILE: &str = "master.key";

/// What may be logged, least first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads every value of the overlay. Where one cannot be read its default stands for it, so that the
/// rest can be checked, and the second of the answer is false: the configuration is not to be used.
pub(crate) fn resolve(overlay: &Overlay, problems: &mut Problems) -> (Config, bool) {
    let mut read = Reader { overlay, problems, failed: false };
    let data = PathBuf::from(read.text("data"));
    let config = Config {
        erasures_copy: read.erasures_copy(&data),
        listen: read.parse("listen", "an address and port such as 127.0.0.1:8080 or [::]:443", SocketAddr::from(([127, 0, 0, 1], 8080))),
        tls: read.tls(),
        behind_proxy: read.flag("behind_proxy"),
        trusted_proxies: read.list("trusted_proxies"),
        workers: read.optional_count("workers", 1, 1_024),
        master_key: read.master_key(&data),
        settings: read.settings(&data),
        net: read.net(),
        sandbox: read.flag("sandbox.enabled"),
        sandbox_requests: read.count("sandbox.keep_requests", 1, 10_000_000),
        metrics_public: read.flag("metrics.public"),
        operator_token: read.operator_token(),
        log: read.log(),
        server: read.server_limits(),
        sends_in_flight: read.count("limits.sends_in_flight", 1, 1_000_000),
        warnings: Vec::new(),
        data,
    };
    (config, !read.failed)
}

/// Where files lie on their way to Meta, in the data folder: beside the database, so that one disk is
/// watched.
const SPOOL_FOLDER: &str = "spool";

struct Reader<'a> {
    overlay: &'a Overlay,
    problems: &'a mut Problems,
    failed: bool,
}

impl Reader<'_> {
    fn settings(&mut self, data: &Path) -> Settings {
        Settings {
            graph_url: self.text("graph.url").trim_end_matches('/').to_owned(),
            graph_version: self.graph_version(),
            sandbox: None,
            meta_apps: self.meta_apps(),
            answer_wait: self.duration("graph.answer_wait"),
            reply_within: self.duration("graph.reply_within"),
            sandbox_refill: self.amount("sandbox.refill"),
            spool_folder: data.join(SPOOL_FOLDER),
            pause_probe_every: self.duration("graph.pause_probe_every"),
            template_trust: self.duration("messages.template_trust"),
            likely_repeat: self.duration("messages.likely_repeat"),
            public_url: self.public_url(),
            intake_within: self.duration("intake.durable_within"),
            retention: Retention {
                raw_days: self.days("retention.raw_webhooks_days", 0),
                event_days: self.days("retention.events_days", 1),
                // A status decides money for as long as a hold may be open: 38 days (contract §6).
                status_days: self.days("retention.statuses_days", 39),
                backup_days: self.days("retention.backups_days", 1),
            },
            delivery: self.delivery(),
            shows_secrets_again: false,
        }
    }

    /// What lies in the data folder is lost with it, so a copy there would be none.
    fn erasures_copy(&mut self, data: &Path) -> Option<PathBuf> {
        let given = self.overlay.get("retention.erasures_copy").filter(|given| !given.text.is_empty())?;
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = PathBuf::from(&given.text);
        if whole(&folder).starts_with(whole(data)) {
            return self.refuse(given, "`retention.erasures_copy` must lie outside the data folder, best on another disk or machine");
        }
        Some(folder)
    }

    /// How events are delivered.
    fn delivery(&mut self) -> DeliverySettings {
        let networks: Vec<Network> = self.list("webhooks.allowed_networks");
        let plain_http = if self.flag("webhooks.allow_http") { PlainHttp::ToAllowedNetworks } else { PlainHttp::Never };
        let listen = self.text("listen").parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
        DeliverySettings {
            urls: UrlRules {
                plain_http,
                any_port: self.flag("webhooks.any_port"),
                local_names: !networks.is_empty(),
                networks: networks.into_iter().collect(),
            },
            own_addresses: listen.into_iter().collect(),
            schedule: self.schedule(),
            connect_within: self.duration("webhooks.connect_timeout"),
            answer_within: self.duration("webhooks.timeout"),
            in_flight_max: self.count("webhooks.in_flight", 1, 10_000),
            tenant_in_flight_max: self.count("webhooks.in_flight_per_organization", 1, 10_000),
            endpoint_in_flight_max: self.count("webhooks.in_flight_per_endpoint", 1, 1_000),
            backlog_max: u64::try_from(self.count("webhooks.backlog_events", 1, 1_000_000_000)).unwrap_or(u64::MAX),
            backlog_age_max: self.duration("webhooks.backlog_age"),
            extra_roots_pem: self.certificates("webhooks.ca_file"),
            ..DeliverySettings::default()
        }
    }

    /// The waits between attempts. After a timeout or a 429 a receiver gets at least a minute, or twelve
    /// times the first wait where that is shorter.
    fn schedule(&mut self) -> Schedule {
        let mut waits = Vec::new();
        for text in self.text("webhooks.schedule").split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match parse_duration(text) {
                Ok(wait) if wait >= Duration::from_millis(1) => waits.push(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
                Ok(_) => self.refuse_key("webhooks.schedule", "must not hold a wait of nothing"),
                Err(problem) => self.refuse_key("webhooks.schedule", &problem),
            }
        }
        let floor_ms = waits.first().map_or(0, |first| first.saturating_mul(12)).min(60_000);
        Schedule::new(&waits, floor_ms).unwrap_or_else(|problem| {
            self.refuse_key("webhooks.schedule", problem);
            Schedule::default()
        })
    }

    /// Where customers reach us: as configured, or where we listen.
    fn public_url(&mut self) -> String {
        let Some(given) = self.overlay.get("public_url") else {
            let scheme = if self.overlay.get("tls.cert").is_some() { "https" } else { "http" };
            return format!("{scheme}://{}", self.text("listen"));
        };
        let url = given.text.trim_end_matches('/').to_owned();
        let is_plain = url::Url::parse(&url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        });
        if !is_plain {
            self.refuse_key("public_url", "must look like https://gateway.example.org, without a user, a query or a fragment");
        }
        url
    }

    fn days(&mut self, key: &'static str, least: usize) -> u16 {
        u16::try_from(self.count(key, least, 3_650)).unwrap_or(u16::MAX)
    }

    fn net(&mut self) -> NetConfig {
        NetConfig {
            timeouts: Timeouts {
                dns: self.duration("graph.dns_timeout"),
                connect: self.duration("graph.connect_timeout"),
                tls: self.duration("graph.tls_timeout"),
                pool: self.duration("graph.pool_timeout"),
                hard_cap: self.duration("graph.hard_cap"),
                silence: self.duration("graph.silence"),
                idle: self.duration("graph.idle_timeout"),
                ping_every: self.duration("graph.ping_every"),
                ping_answer: self.duration("graph.ping_answer"),
                retry_min: self.duration("graph.retry_min"),
                retry_max: self.duration("graph.retry_max"),
            },
            connections_per_host_max: self.count("graph.connections", 1, 100_000),
            extra_roots_pem: self.certificates("graph.ca_file"),
            http2: self.flag("graph.http2"),
        }
    }

    fn server_limits(&mut self) -> ServerLimits {
        ServerLimits {
            tls_handshake: self.duration("limits.tls_handshake"),
            first_byte: self.duration("limits.first_byte"),
            header: self.duration("limits.header"),
            keep_alive_idle: self.duration("limits.keep_alive"),
            write_stall: self.duration("limits.write_stall"),
            linger: self.duration("limits.linger"),
            header_bytes: self.count("limits.header_bytes", 1_024, 1_048_576),
            headers: self.count("limits.headers", 8, 1_000),
            connections: self.count("limits.connections", 1, 1_000_000),
            connections_per_address: self.count("limits.connections_per_address", 1, 1_000_000),
            h2_streams: u32::try_from(self.count("limits.http2_streams", 1, 10_000)).unwrap_or(u32::MAX),
            drain_idle: self.duration("limits.drain_idle"),
            drain_deadline: self.duration("limits.drain_deadline"),
        }
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let (cert, key) = (self.overlay.get("tls.cert"), self.overlay.get("tls.key"));
        match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsFiles { cert: PathBuf::from(&cert.text), key: PathBuf::from(&key.text) }),
            (None, None) => None,
            (Some(one), None) => self.refuse(one, "`tls.cert` needs `tls.key`, the private key of the certificate"),
            (None, Some(one)) => self.refuse(one, "`tls.key` needs `tls.cert`, the certificate of the key"),
        }
    }

    /// The items of a list; one that cannot be read is a problem.
    fn list<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &'static str) -> Vec<T> {
        let Some(given) = self.overlay.get(key) else { return Vec::new() };
        let mut items = Vec::new();
        for text in given.text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            match text.parse() {
                Ok(item) => items.push(item),
                Err(problem) => drop(self.refuse::<()>(given, format!("`{key}`: {problem}"))),
            }
        }
        items
    }

    fn master_key(&mut self, data: &std::path::Path) -> MasterKeyPlace {
        let made = MasterKeyPlace::DataFolder(data.join(MASTER_KEY_FILE));
        match self.stronger("master_key", "master_key_file") {
            (Some(text), None) => MasterKeyPlace::Text { text: Secret::new(text.text.clone()), origin: text.source.place() },
            (None, Some(file)) => MasterKeyPlace::File(PathBuf::from(&file.text)),
            _ => made,
        }
    }

    fn operator_token(&mut self) -> Option<Secret> {
        match self.stronger("operator.token", "operator.token_file") {
            (Some(text), None) => Some(Secret::new(text.text.clone())),
            (None, Some(file)) => {
                let token = secrets::read(&PathBuf::from(&file.text), &file.source.place(), self.problems);
                self.failed |= token.is_none();
                token
            }
            _ => None,
        }
    }

    /// Of a secret and its file, the one whose source wins; both in one source are a problem.
    fn stronger(&mut self, secret: &'static str, file: &'static str) -> (Option<&Given>, Option<&Given>) {
        match (self.overlay.get(secret), self.overlay.get(file)) {
            (Some(text), Some(path)) if text.source.rank() == path.source.rank() => {
                self.problems.refused(path.source.place(), format!("give `{secret}` or `{file}`, not both"));
                self.failed = true;
                (None, None)
            }
            (Some(text), Some(path)) if text.source.rank() > path.source.rank() => (Some(text), None),
            (_, Some(path)) => (None, Some(path)),
            (text, None) => (text, None),
        }
    }

    fn meta_apps(&mut self) -> Vec<MetaApp> {
        let mut apps: Vec<MetaApp> = Vec::new();
        for given in &self.overlay.apps {
            match given.resolve(self.problems) {
                Some(app) if apps.iter().any(|known| known.id == app.id) => {
                    self.problems.refused(&given.place, format!("the app {} is given twice", app.id));
                    self.failed = true;
                }
                Some(app) => apps.push(app),
                None => self.failed = true,
            }
        }
        apps
    }

    fn certificates(&mut self, key: &'static str) -> Vec<Vec<u8>> {
        let Some(given) = self.overlay.get(key) else { return Vec::new() };
        let path = PathBuf::from(&given.text);
        match tls::certificates(&path).and_then(|_| Ok(std::fs::read(&path)?)) {
            Ok(pem) => vec![pem],
            Err(error) => self.refuse(given, format!("`{key}`: {error:#}")).unwrap_or_default(),
        }
    }

    fn graph_version(&mut self) -> String {
        let given = self.text("graph.version");
        let number = given.strip_prefix('v').and_then(|version| version.split_once('.'));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !number.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
            self.refuse_key("graph.version", "must look like v26.0");
        }
        given
    }

    fn log(&mut self) -> Log {
        let format = match self.text("log.format").as_str() {
            "pretty" => LogFormat::Pretty,
            "json" => LogFormat::Json,
            _ => {
                self.refuse_key("log.format", "must be pretty or json");
                LogFormat::Pretty
            }
        };
        let level = self.text("log.level");
        // The filter's own parser takes a mistyped level for the name of a module, and is then silent.
        let directive = |text: &str| LEVELS.contains(&text.rsplit('=').next().unwrap_or_default().trim().to_ascii_lowercase().as_str());
        if !level.split(',').all(directive) || tracing_subscriber::EnvFilter::builder().parse(&level).is_err() {
            self.refuse_key("log.level", "must be error, warn, info, debug or trace, or a filter such as info,turnpike_engine=debug");
        }
        Log { format, level }
    }

    fn flag(&mut self, key: &'static str) -> bool {
        self.parse(key, "true or false", false)
    }

    fn amount(&mut self, key: &'static str) -> Micros {
        let given = self.text(key);
        match given.parse::<Micros>() {
            Ok(amount) if !amount.is_negative() => amount,
            Ok(_) => {
                self.refuse_key(key, "must not be negative");
                Micros::ZERO
            }
            Err(problem) => {
                self.refuse_key(key, &problem.to_string());
                Micros::ZERO
            }
        }
    }

    fn duration(&mut self, key: &'static str) -> Duration {
        match parse_duration(&self.text(key)) {
            // Nothing here may be switched off: a wait of nothing refuses everybody.
            Ok(Duration::ZERO) => self.refuse_key(key, "must be longer than nothing"),
            Ok(duration) => return duration,
            Err(problem) => self.refuse_key(key, &problem),
        }
        parse_duration(default_of(key)).unwrap_or_default()
    }

    fn count(&mut self, key: &'static str, least: usize, most: usize) -> usize {
        self.optional_count(key, least, most).or_else(|| default_of(key).parse().ok()).unwrap_or(least)
    }

    fn optional_count(&mut self, key: &'static str, least: usize, most: usize) -> Option<usize> {
        let given = self.overlay.get(key)?;
        match given.text.parse() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => self.refuse(given, format!("`{key}` must be a whole number from {least} to {most}, and is `{}`", given.text)),
        }
    }

    /// `instead` stands for a value that cannot be read.
    fn parse<T: FromStr>(&mut self, key: &'static str, what: &str, instead: T) -> T {
        let given = self.text(key);
        given.parse().unwrap_or_else(|_| {
            self.refuse_key(key, &format!("must be {what}, and is `{given}`"));
            instead
        })
    }

    /// The value's text; a setting that is read by this has a default.
    fn text(&self, key: &'static str) -> String {
        self.overlay.get(key).map(|given| given.text.clone()).unwrap_or_default()
    }

    fn refuse_key(&mut self, key: &'static str, sentence: &str) {
        let place = self.overlay.get(key).map(|given| given.source.place()).unwrap_or_default();
        self.problems.refused(place, format!("`{key}` {sentence}"));
        self.failed = true;
    }

    fn refuse<T>(&mut self, given: &Given, sentence: impl Into<String>) -> Option<T> {
        self.problems.refused(given.source.place(), sentence);
        self.failed = true;
        None
    }
}

fn default_of(key: &str) -> &'static str {
    find(key).and_then(|setting| setting.default).unwrap_or_default()
}

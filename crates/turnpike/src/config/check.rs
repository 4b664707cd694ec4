//! Values that are right alone and wrong together, or unsafe: refused with a plain sentence before
//! anything listens, instead of being found by somebody else later.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use turnpike_domain::api_key::OperatorToken;
use turnpike_web::server::Network;
use url::{Host, Url};

use super::overlay::Overlay;
use super::problem::Problems;
use super::settings::{APP_KEYS, Kind, SETTINGS};
use super::{Config, Log, MasterKeyPlace, secrets, tls};

/// Meta's Graph API.
const META: &str = "https://graph.facebook.com";

/// Notes everything about the configuration that must not be, or is worth knowing.
pub(crate) fn check(config: &Config, overlay: &Overlay, problems: &mut Problems) {
    let mut checking = Checking { config, overlay, problems };
    checking.graph();
    checking.front_door();
    checking.operator();
    checking.times();
    checking.secret_files();
    checking.worth_knowing();
}

struct Checking<'a> {
    config: &'a Config,
    overlay: &'a Overlay,
    problems: &'a mut Problems,
}

impl Checking<'_> {
    fn graph(&mut self) {
        let given = &self.config.settings.graph_url;
        match Url::parse(given) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                self.refuse("graph.url", format!("`graph.url` must be https://…, and is {given}"));
            }
            Ok(url) if url.scheme() == "http" && !is_loopback(&url) => {
                self.refuse(
                    "graph.url",
                    format!("tokens and messages would go to {given} unencrypted; `graph.url` may be http only on this machine"),
                );
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() => {
                self.refuse("graph.url", "`graph.url` must not have a user, a query or a fragment");
            }
            Ok(_) => {}
            Err(problem) => self.refuse("graph.url", format!("`graph.url` is no address: {problem}")),
        }
    }

    fn front_door(&mut self) {
        let config = self.config;
        let everybody = !config.listen.ip().to_canonical().is_loopback();
        let tls_meant = ["tls.cert", "tls.key"].iter().any(|key| self.overlay.get(key).is_some());
        if everybody && !tls_meant && !config.behind_proxy {
            let listen = config.listen;
            self.refuse(
                "listen",
                format!(
                    "{listen} can be reached from other machines, and API keys would travel to it unencrypted; give `tls.cert` and `tls.key`, or say `behind_proxy = true` where a proxy speaks TLS with the callers"
                ),
            );
        }
        if config.behind_proxy && config.trusted_proxies.is_empty() {
            self.refuse(
                "behind_proxy",
                "`behind_proxy` needs `trusted_proxies`, the proxy's address: keys are taken only through it, and without it nobody is let in",
            );
        }
        if config.trusted_proxies.iter().any(Network::is_everybody) {
            self.warn(
                "trusted_proxies",
                "it names every address there is: whoever reaches the port is believed about his own address, and may send keys unencrypted",
            );
        }
        if let Some(files) = &config.tls
            && let Err(problem) = tls::server_config(files)
        {
            self.refuse("tls.cert", format!("{problem:#}"));
        }
    }

    fn operator(&mut self) {
        let Some(token) = &self.config.operator_token else { return };
        let key = if self.overlay.get("operator.token_file").is_some() { "operator.token_file" } else { "operator.token" };
        if OperatorToken::parse(token.expose()).is_none() {
            self.refuse(key, "this is no operator token, or not copied whole; make one with: turnpike config operator-token");
        }
    }

    fn times(&mut self) {
        let (settings, net, server) = (&self.config.settings, &self.config.net.timeouts, &self.config.server);
        let (answer, reply) = (settings.answer_wait, settings.reply_within);
        if reply <= answer {
            self.refuse("graph.reply_within", "`graph.reply_within` must be longer than `graph.answer_wait`, so that there is time to write down that an outcome is unknown");
        }
        if net.hard_cap < answer {
            self.refuse(
                "graph.hard_cap",
                "`graph.hard_cap` must not be shorter than `graph.answer_wait`: Meta would be hung up on before the caller is",
            );
        }
        if net.retry_max < net.retry_min {
            self.refuse("graph.retry_max", "`graph.retry_max` must not be shorter than `graph.retry_min`");
        }
        if server.drain_deadline < reply {
            self.warn(
                "limits.drain_deadline",
                "it is shorter than `graph.reply_within`, so a stop may cut callers off before they are answered",
            );
        }
        if reply > Duration::from_secs(29) {
            self.warn("graph.reply_within", "common proxies and clients give up after 30 s, so callers may never see the answer");
        }
    }

    fn secret_files(&mut self) {
        let in_file = |key: &str| self.overlay.get(key).is_some_and(|given| matches!(given.source, super::overlay::Source::File(..)));
        let inline = SETTINGS.iter().any(|setting| setting.kind == Kind::Secret && in_file(setting.key))
            || self.overlay.apps.iter().any(|app| {
                let secret = |key: &str| APP_KEYS.iter().any(|(name, kind)| *name == key && (*kind == Kind::Secret || *kind == Kind::List));
                app.values.iter().any(|(key, given)| secret(key) && matches!(given.source, super::overlay::Source::File(..)))
            });
        if inline
            && let Some(file) = &self.overlay.file
            && let Some(sentence) = secrets::readable_by_all(file)
        {
            self.problems.refused(file.display().to_string(), sentence);
        }
        if let Some(files) = &self.config.tls
            && let Some(sentence) = secrets::readable_by_all(&files.key)
        {
            self.refuse("tls.key", sentence);
        }
        match &self.config.master_key {
            MasterKeyPlace::File(path) if !path.exists() => {
                let sentence =
                    format!("the master key file {} does not exist; it is only made by itself in the data folder", path.display());
                self.refuse("master_key_file", sentence);
            }
            MasterKeyPlace::File(path) => {
                if let Some(sentence) = secrets::readable_by_all(path) {
                    self.refuse("master_key_file", sentence);
                }
            }
            MasterKeyPlace::Text { text, origin } => {
                if text.expose().trim().len() != 64 || !text.expose().trim().bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    let sentence = "a master key is 64 hexadecimal digits; make one with: openssl rand -hex 32";
                    self.problems.refused(origin, sentence);
                }
            }
            MasterKeyPlace::DataFolder(_) => {}
        }
    }

    fn worth_knowing(&mut self) {
        let config = self.config;
        if config.settings.graph_url != META {
            self.warn("graph.url", format!("messages go to {}, not to Meta", config.settings.graph_url));
        }
        if config.metrics_public && !config.listen.ip().to_canonical().is_loopback() {
            self.warn(
                "metrics.public",
                format!("everybody who reaches {} may read /metrics: see that only your monitoring does", config.listen),
            );
        }
        if matches!(&config.log, Log { level, .. } if level.contains("trace")) {
            self.warn("log.level", "at trace, libraries log what passes through them; use it for minutes, not for days");
        }
    }

    fn refuse(&mut self, key: &str, sentence: impl Into<String>) {
        let place = self.place(key);
        self.problems.refused(place, sentence);
    }

    fn warn(&mut self, key: &str, sentence: impl Into<String>) {
        let place = self.place(key);
        self.problems.warning(place, sentence);
    }

    fn place(&self, key: &str) -> String {
        match self.overlay.get(key) {
            Some(given) if given.source.rank() > 0 => given.source.place(),
            _ => key.to_owned(),
        }
    }
}

/// Whether a URL's host is this machine: a name is not looked up, since a look-up may change.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => SocketAddr::from((address, 0)).ip().is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        None => false,
    }
}

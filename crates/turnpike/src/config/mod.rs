//! What the program is told at start: flags, then environment, then file, then defaults.
//!
//! The settings are one list ([`settings`]); every source gives them as text with its origin
//! ([`overlay`]), and [`resolve`] turns the winners into a [`Config`] of the rooms' own types.
//! Problems are gathered, so that `config check` names all of them in one run. This folder is the
//! only place that reads the environment.

mod check;
mod duration;
mod environment;
mod file;
mod meta;
mod overlay;
pub(crate) mod print;
mod problem;
mod resolve;
mod secrets;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use turnpike_engine::net::NetConfig;
use turnpike_engine::secret::Secret;
use turnpike_engine::settings::Settings;
use turnpike_web::server::{Network, ServerLimits};

pub(crate) use self::check::is_loopback;
pub(crate) use self::duration::parse_duration;
pub(crate) use self::environment::Environment;
pub(crate) use self::overlay::Overlay;
pub(crate) use self::problem::{Problem, Problems, Severity};
use crate::cli::SettingArgs;

/// The configuration file's name in a data folder.
pub(crate) const FILE_NAME: &str = "turnpike.toml";

/// The data folder where nothing names another.
pub(crate) const DEFAULT_DATA: &str = "./turnpike-data";

/// The commented file with every setting, its default and its reason.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.toml");

/// Everything resolved: what `wire` composes the gateway from.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where a second copy of the journal of erasures is kept: a folder on another disk or machine.
    pub(crate) erasures_copy: Option<PathBuf>,
    /// Where callers reach us.
    pub(crate) listen: SocketAddr,
    /// Certificate and key, where we speak TLS ourselves; `tls::server_config` reads them.
    pub(crate) tls: Option<TlsFiles>,
    /// Whether callers reach us only through a proxy that speaks TLS with them.
    pub(crate) behind_proxy: bool,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Threads of the runtime; one per processor where `None`.
    pub(crate) workers: Option<usize>,
    /// Where the master key is.
    pub(crate) master_key: MasterKeyPlace,
    /// What the engine is told. `sandbox` is `None`: the built-in simulator's address is known
    /// only once it listens.
    pub(crate) settings: Settings,
    /// What the transport to Meta is told.
    pub(crate) net: NetConfig,
    /// Whether sandbox keys are answered.
    pub(crate) sandbox: bool,
    /// Requests that the built-in simulator's record keeps at least.
    pub(crate) sandbox_requests: usize,
    /// Whether every address may read `/metrics`.
    pub(crate) metrics_public: bool,
    /// The token that lets operators in over the network; without one only the local socket does.
    pub(crate) operator_token: Option<Secret>,
    /// How it logs.
    pub(crate) log: Log,
    /// Every bound of the front door.
    pub(crate) server: ServerLimits,
    /// Sends in flight at once.
    pub(crate) sends_in_flight: usize,
    /// Problems that do not forbid a start, for the log and for `doctor`.
    pub(crate) warnings: Vec<String>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, our certificate first.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
}

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub(crate) enum MasterKeyPlace {
    /// `master.key` in the data folder, made at the first start.
    DataFolder(PathBuf),
    /// A file that somebody else provides: it is never made.
    File(PathBuf),
    /// The text itself, from `origin` (a variable, a file's line).
    Text {
        /// 64 hexadecimal digits.
        text: Secret,
        /// Where it stood, for error texts.
        origin: String,
    },
}

/// How it logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// For people or for machines.
    pub(crate) format: LogFormat,
    /// A level, or a filter of `tracing_subscriber::EnvFilter`.
    pub(crate) level: String,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Resolves the configuration for `serve`, or for a command that works on the folder itself.
///
/// `data` is the flag `--data`. What forbids a start comes back as [`Problems`]; warnings are in
/// the [`Config`].
///
/// # Errors
/// Every problem at once.
pub(crate) fn load(data: Option<&Path>, flags: &SettingArgs, environment: &Environment) -> Result<Config, Problems> {
    let (config, problems) = examine(&Overlay::gather(data, flags, environment));
    match config {
        Some(config) if !problems.refuse() => Ok(Config { warnings: problems.warnings(), ..config }),
        _ => Err(problems),
    }
}

/// Resolves and checks an overlay: the configuration, where all its values could be read, and every
/// problem that was found, those of the sources first.
pub(crate) fn examine(overlay: &Overlay) -> (Option<Config>, Problems) {
    let mut problems = overlay.problems.clone();
    let (config, whole) = resolve::resolve(overlay, &mut problems);
    check::check(&config, overlay, &mut problems);
    problems.sort();
    (whole.then_some(config), problems)
}

/// The data folder, without reading a whole configuration: what finding a running gateway needs.
pub(crate) fn data_folder(data: Option<&Path>, config_file: Option<&Path>, environment: &Environment) -> Result<PathBuf, Problems> {
    let flags = SettingArgs { config: config_file.map(Path::to_owned), ..SettingArgs::default() };
    let named = data.is_some() || environment.get("TURNPIKE_DATA").is_some();
    let elsewhere = config_file.is_some() || environment.get("TURNPIKE_CONFIG").is_some();
    if named || !elsewhere {
        return Ok(data
            .map(Path::to_owned)
            .or_else(|| environment.get("TURNPIKE_DATA").map(PathBuf::from))
            .unwrap_or_else(|| DEFAULT_DATA.into()));
    }
    load(None, &flags, environment).map(|config| config.data)
}

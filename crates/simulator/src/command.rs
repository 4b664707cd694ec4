//! `turnpike simulator`: the simulator as a process of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::json;

use crate::config::{Config, Record, TlsFiles, Tokens, Window};
use crate::faults::{Behaviour, Stage, magic};
use crate::graph::templates::{TemplateSeed, demo_templates};
use crate::numbers::DEFAULT_WABA;
use crate::plan::{self, Timing};
use crate::server::{Simulator, StartError};
use crate::webhooks::Subscription;

/// The record's name in the data folder.
const RECORD_FILE: &str = "simulator.jsonl";

/// The made authority's certificate in the data folder.
const CA_FILE: &str = "simulator-ca.pem";

/// Play WhatsApp's Graph API, so that tests need no Meta account.
///
/// Set your client's base URL to the printed address in place of Meta's; any
/// version, number id and access token will do.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_long_help = recipients_help())]
pub struct Args {
    /// Address to listen on; port 0 takes a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// Folder for the record of requests (simulator.jsonl) and for what must outlive a restart; kept in memory only without it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Certificate chain (PEM) for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "tls_self_signed")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) for TLS
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Speak TLS with a certificate made at the start
    #[arg(long)]
    pub tls_self_signed: bool,
    /// Where to write the made authority's certificate; default simulator-ca.pem in the data folder
    #[arg(long, value_name = "FILE", requires = "tls_self_signed")]
    pub tls_ca_out: Option<PathBuf>,
    /// Another name or address for the made certificate (repeatable)
    #[arg(long, value_name = "NAME", requires = "tls_self_signed")]
    pub tls_name: Vec<String>,
    /// Speak HTTP/1.1 only
    #[arg(long)]
    pub no_http2: bool,
    /// An access token that is good (repeatable); without any, all are
    #[arg(long, value_name = "TOKEN")]
    pub token: Vec<String>,
    /// The app's secret: signs webhooks; without --webhook-url, requires appsecret_proof
    #[arg(long, value_name = "SECRET")]
    pub app_secret: Option<String>,
    /// Require appsecret_proof beside --webhook-url too
    #[arg(long, requires = "app_secret")]
    pub require_proof: bool,
    /// Callback that is told of statuses, messages and changes
    #[arg(long, value_name = "URL", requires = "app_secret", requires = "verify_token")]
    pub webhook_url: Option<String>,
    /// What the callback is told in its handshake
    #[arg(long, value_name = "TOKEN", requires = "webhook_url")]
    pub verify_token: Option<String>,
    /// A certificate (PEM) that an https callback's may be signed by, beside the public authorities' (repeatable)
    #[arg(long, value_name = "FILE")]
    pub webhook_ca: Vec<PathBuf>,
    /// The business account to which numbers belong
    #[arg(long, value_name = "ID", default_value = DEFAULT_WABA)]
    pub waba_id: String,
    /// Let simulated time run so many times as fast as real time
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// When a message's statuses come
    #[arg(long, value_enum, default_value_t = Pace::Brisk)]
    pub statuses: Pace,
    /// Price so many service messages of each number as free each month (Meta: 1000)
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub free_service_messages: u32,
    /// The token for number ids that begin with sandbox-
    #[arg(long, value_name = "TOKEN")]
    pub sandbox_secret: Option<String>,
    /// Enforce 80 messages a second per number and the pair rate
    #[arg(long)]
    pub rate_limits: bool,
    /// No user has written to us: free-form messages are outside the window
    #[arg(long)]
    pub strict_window: bool,
    /// Let every Graph answer take so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency_ms: u64,
    /// A JSON array of templates, as Meta lists them, in place of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub templates: Option<PathBuf>,
    /// Make message ids repeatable
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Print one line of JSON, {"address": …}, when ready
    #[arg(long)]
    pub json: bool,
}

/// When a message's statuses come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// Read within five seconds
    Brisk,
    /// Read within 37 seconds, as on a working day
    Unhurried,
    /// All at once
    AtOnce,
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|speed| *speed > 0.0 && *speed <= 1_000_000.0).ok_or_else(|| "must be above 0 and at most 1000000".to_owned())
}

/// The command ended badly.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The template file cannot be used.
    #[error("reading templates from {path}: {problem}")]
    Templates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The certificate file cannot be read.
    #[error("reading {path} of --webhook-ca")]
    Root {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The simulator could not be started.
    #[error("starting the simulator")]
    Start(#[from] StartError),
    /// No runtime, or no signals.
    #[error("preparing the process")]
    Process(#[from] std::io::Error),
}

/// Runs until SIGINT or SIGTERM, on a runtime of its own.
///
/// # Errors
/// When it cannot be started.
pub fn blocking_main(args: Args) -> Result<(), CommandError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(args))
}

/// Runs until SIGINT or SIGTERM, on the current runtime.
///
/// # Errors
/// When it cannot be started.
pub async fn run(args: Args) -> Result<(), CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let json = args.json;
    let simulator = Simulator::start(config(args)?).await?;
    announce(&simulator, json);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    simulator.shutdown().await;
    Ok(())
}

/// What the flags say.
///
/// # Errors
/// When the template file, or one with certificates, cannot be used.
pub fn config(args: Args) -> Result<Config, CommandError> {
    let tls = match (args.tls_cert, args.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles::Pem { cert, key }),
        _ if args.tls_self_signed => Some(TlsFiles::SelfSigned {
            names: args.tls_name,
            write_ca_to: args.tls_ca_out.or_else(|| args.data.as_ref().map(|folder| folder.join(CA_FILE))),
        }),
        _ => None,
    };
    let seed_templates = match &args.templates {
        Some(path) => read_templates(path)?,
        None => demo_templates(),
    };
    let root = |path: &PathBuf| std::fs::read(path).map_err(|source| CommandError::Root { path: path.clone(), source });
    let webhook_roots_pem = args.webhook_ca.iter().map(root).collect::<Result<_, _>>()?;
    let subscriptions = match (args.webhook_url.as_deref(), args.app_secret.as_deref(), args.verify_token.as_deref()) {
        (Some(url), Some(secret), Some(token)) => vec![Subscription::new(url, secret, token)],
        _ => Vec::new(),
    };
    let proves = args.require_proof || subscriptions.is_empty();
    Ok(Config {
        listen: args.listen,
        record: match args.data {
            Some(folder) => Record::File(folder.join(RECORD_FILE)),
            None => Record::Memory,
        },
        tls,
        http2: !args.no_http2,
        tokens: if args.token.is_empty() { Tokens::Any } else { Tokens::Only(args.token) },
        app_secret: args.app_secret.filter(|_| proves),
        subscriptions,
        webhook_roots_pem,
        free_service_messages: args.free_service_messages,
        waba_id: args.waba_id,
        speed: args.speed,
        timing: match args.statuses {
            Pace::Brisk => Timing::BRISK,
            Pace::Unhurried => Timing::UNHURRIED,
            Pace::AtOnce => Timing::AT_ONCE,
        },
        sandbox_secret: args.sandbox_secret,
        rate_limits: args.rate_limits,
        seed_templates,
        unscripted_window: if args.strict_window { Window::Closed } else { Window::Open },
        latency: Duration::from_millis(args.latency_ms),
        seed: args.seed,
        ..Config::default()
    })
}

fn read_templates(path: &Path) -> Result<Vec<TemplateSeed>, CommandError> {
    let failed = |problem: String| CommandError::Templates { path: path.to_owned(), problem };
    let json = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&json).map_err(|error| failed(error.to_string()))
}

fn announce(simulator: &Simulator, as_json: bool) {
    let address = simulator.base_url();
    let text = if as_json {
        format!("{}\n", json!({"address": address}))
    } else {
        format!(
            "The Graph API is played at {address}\n\n\
             Send a message:\n\n  \
             curl {address}/v23.0/1001/messages -H 'Authorization: Bearer any' \\\n    \
             -H 'Content-Type: application/json' \\\n    \
             -d '{{\"messaging_product\":\"whatsapp\",\"to\":\"15550100\",\"type\":\"text\",\"text\":{{\"body\":\"Hello\"}}}}'\n\n\
             See what was sent:\n\n  curl {address}/_sim/requests\n\n\
             `turnpike simulator --help` lists recipients that fail on purpose, and how to script faults.\n"
        )
    };
    // Nobody may be reading our output, and that is no reason to stop.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    let _ = std::io::stdout().flush();
}

/// What `--help` says of magic recipients and scripts.
fn recipients_help() -> String {
    let prefix = magic::PREFIX;
    let mut help = format!(
        "Recipients that ask for a behaviour (every other number is an ordinary user):\n  \
         {prefix}1CCCCCC  Meta's error code CCCCCC, padded with zeros: {} is 130429\n  \
         {prefix}2MMMMM   an answer after MMMMM milliseconds\n  \
         {prefix}3NN      a behaviour from this list:\n",
        magic::recipient_for_code(130_429)
    );
    let mut only_scripts = String::new();
    for named in Behaviour::all_named() {
        let line = match magic::recipient_for_name(named.name) {
            Some(recipient) => format!("    {recipient}  {:<25} {}\n", named.name, named.summary),
            None => {
                debug_assert!(named.behaviour.decided_at() < Stage::Body);
                let _ = writeln!(only_scripts, "    {:<25} {}", named.name, named.summary);
                continue;
            }
        };
        help.push_str(&line);
    }
    let _ = write!(
        help,
        "\nBehaviours that strike before the recipient is known, for scripts only:\n{only_scripts}\n\
         Tokens: EAAEXPIRED… is 190/463, EAAINVALID… is 190/467, EAANOPERM… is 10.\n\
         Ids that begin with 404 do not exist.\n\n\
         Control routes:\n  \
         GET    /_sim/health\n  \
         GET    /_sim/requests?limit=100   what was sent, oldest first; ?count=true; DELETE forgets it\n  \
         POST   /_sim/script               a rule, or an array of rules:\n    \
         {{\"match\": {{\"path\": \"/messages\", \"to\": \"905321234567\", \"type\": \"text\"}},\n     \
         \"nth\": 2, \"times\": 1, \"probability\": 0.5, \"delay_ms\": 300, \"behaviour\": \"close_after_body_rst\"}}\n    \
         every member but behaviour may be left out; a behaviour is a name or an object such as\n    \
         {{\"do\": \"graph_error\", \"code\": 131000, \"status\": 500}}\n  \
         GET    /_sim/script               the rules that are set; DELETE takes them back\n  \
         GET    /_sim/behaviours           the list above as JSON\n  \
         POST   /_sim/webhooks             {{\"url\", \"app_secret\", \"verify_token\"}}; GET shows deliveries\n  \
         POST   /_sim/reply                {{\"from\": \"905321234567\", \"text\": \"Hi\"}}, or any type of message\n  \
         POST   /_sim/call                 {{\"from\": \"905321234567\"}}: a user calls\n  \
         POST   /_sim/tap                  {{\"from\": \"905321234567\", \"button\": \"Yes\"}}, or row, or flow\n  \
         POST   /_sim/status               {{\"message_id\": \"wamid.…\", \"status\": \"failed\", \"code\": 131026}}\n  \
         POST   /_sim/template             {{\"name\": \"order_confirmation\", \"status\": \"PAUSED\"}}\n  \
         POST   /_sim/preference           {{\"from\": \"905321234567\", \"value\": \"stop\"}}\n  \
         POST   /_sim/event                {{\"field\": \"account_update\", \"value\": {{…}}}}\n  \
         POST   /_sim/plan                 {{\"match\": {{\"to\": \"905321234567\"}}, \"plan\": \"reversed\"}}\n  \
         GET    /_sim/plans                the plans that have a name\n  \
         POST   /_sim/users, /_sim/numbers who is who\n  \
         POST   /_sim/forget               {{\"name\": \"905321234567\"}}: that user is forgotten\n  \
         GET    /_sim/fields               the fields that /_sim/event knows by their names\n  \
         POST   /_sim/wabas                {{\"id\": \"102290129340398\", \"timezone_id\": \"58\"}}\n  \
         POST   /_sim/clock/advance        {{\"seconds\": 3600}}; /_sim/clock takes {{\"speed\": 60}}\n"
    );
    let _ = write!(
        help,
        "\nRecipients whose messages are taken, and what the webhooks then say:\n  \
         {prefix}4CCCCCC  failed with the code CCCCCC: {} is 131026\n  \
         {prefix}6MMMMMM  the usual statuses, MMMMMM milliseconds later\n  \
         {prefix}5NN      a plan from this list:\n",
        magic::recipient_for_failure(131_026)
    );
    for plan in plan::all_named() {
        let _ = writeln!(help, "    {}  {:<25} {}", plan.recipient, plan.name, plan.summary);
    }
    help
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        let command = <Args as ClapArgs>::augment_args(Command::new("simulator"));
        let matches = command.try_get_matches_from(std::iter::once(&"simulator").chain(words))?;
        Args::from_arg_matches(&matches)
    }

    #[test]
    fn flags_become_a_configuration() {
        let args = parse(&[
            "--listen",
            "127.0.0.1:0",
            "--data",
            "/tmp/somewhere",
            "--tls-self-signed",
            "--no-http2",
            "--token",
            "a",
            "--token",
            "b",
            "--strict-window",
            "--latency-ms",
            "40",
        ])
        .expect("the flags are known");
        let config = config(args).expect("nothing is read");
        assert!(matches!(config.record, Record::File(path) if path.ends_with("simulator.jsonl")));
        assert!(matches!(config.tls, Some(TlsFiles::SelfSigned { write_ca_to: Some(_), .. })));
        assert!(matches!(config.tokens, Tokens::Only(tokens) if tokens == ["a", "b"]));
        assert!(!config.http2);
        assert_eq!(config.unscripted_window, Window::Closed);
        assert_eq!(config.latency, Duration::from_millis(40));
        assert_eq!(config.seed_templates.len(), 5);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert!(parse(&["--tls-cert", "c.pem"]).is_err());
        assert!(parse(&["--tls-cert", "c.pem", "--tls-key", "k.pem"]).is_ok());
        assert!(parse(&["--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-self-signed"]).is_err());
    }

    #[test]
    fn help_names_every_behaviour_once() {
        let help = recipients_help();
        for named in Behaviour::all_named() {
            assert_eq!(help.matches(&format!("  {:<25} ", named.name)).count(), 1, "{}", named.name);
        }
    }
}

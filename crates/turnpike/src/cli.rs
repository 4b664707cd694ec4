//! What can be typed: the commands and their flags.
//!
//! Only shapes stand here; what a command does is in `commands/`, one file per noun. No flag reads
//! the environment by itself: `config` does that in one place, so that `config print` can say
//! where each value came from.

#![allow(rustdoc::bare_urls, reason = "doc comments are the help that people read; angle brackets would stand in it")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, Parser, Subcommand};

use crate::commands::{
    app, backup, doctor, key, ledger, listen, message, org, quarantine, rates, send, sim, template, user, wallet, webhook,
};

/// Headings in bold, what is typed in cyan: readable on dark and on light.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightWhite.on_default().bold())
    .usage(AnsiColor::BrightWhite.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// A self-hosted WhatsApp gateway.
#[derive(Debug, Parser)]
#[command(name = "turnpike", version, styles = STYLES, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, subcommand_help_heading = "Commands", override_usage = "turnpike COMMAND [OPTIONS]")]
#[command(after_help = OVERVIEW, infer_long_args = false)]
pub(crate) struct Cli {
    /// Data folder of the gateway [default: ./turnpike-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) data: Option<PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Whether a program reads what comes out. `demo` and `simulator` have a `--json` of their own.
    pub(crate) fn is_for_programs(&self) -> bool {
        match &self.command {
            Command::Demo(args) => args.json,
            Command::Simulator(args) => args.json,
            _ => self.json,
        }
    }
}

/// Whether `--json` was typed, where the words as a whole could not be understood. What follows `--` is
/// no flag.
pub(crate) fn asks_for_json(words: impl IntoIterator<Item = OsString>) -> bool {
    words.into_iter().take_while(|word| word != "--").any(|word| word == "--json")
}

/// What clap has to say as one sentence, without its colours and its page of usage.
pub(crate) fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let paragraphs =
        text.split("\n\n").map(str::trim).filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let said: Vec<String> =
        paragraphs.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|part| !part.is_empty()).collect();
    let said = said.join("; ");
    said.strip_prefix("error: ").map_or(said.clone(), str::to_owned)
}

const OVERVIEW: &str = "\
Try it without an account at Meta:
  turnpike demo

Set up a gateway:
  turnpike org create Acme
  turnpike app create Shop --phone-number-id ID --waba-id ID --token-file FILE
  turnpike wallet top-up --amount 25.00
  turnpike key create
  turnpike serve

Commands work on the gateway that runs on --data DIR, on a remote one (--server URL), or, where
none runs, on the folder itself. Exit codes: 0 done, 1 refused or a check failed, 2 wrong usage,
3 not reachable, 4 not found.";

/// Everything that turnpike can be asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway
    Serve(ServeArgs),
    /// Run a gateway with a simulated WhatsApp, to try it out
    Demo(DemoArgs),
    /// Play WhatsApp's Graph API, for tests without an account at Meta
    Simulator(turnpike_simulator::command::Args),

    /// Organizations and what they pay
    #[command(visible_alias = "organization")]
    Org(org::Args),
    /// Applications: one sending number each
    #[command(visible_alias = "application")]
    App(app::Args),
    /// API keys of applications
    Key(key::Args),
    /// Prepaid money of organizations
    Wallet(wallet::Args),
    /// What Meta charges, by market and category
    Rates(rates::Args),
    /// Prove that the books balance
    Ledger(ledger::Args),
    /// Messages and their outcomes
    Message(message::Args),
    /// Message templates, as Meta has them
    Template(template::Args),
    /// Users of an application: their windows and opt-outs
    User(user::Args),
    /// Endpoints of applications, and the deliveries to them
    Webhook(webhook::Args),
    /// Webhooks of Meta's that could not be read or taken in, or are nobody's here
    Quarantine(quarantine::Args),
    /// Follow an application's events on this machine
    Listen(Box<listen::Args>),
    /// Send one message
    Send(Box<send::Args>),

    /// Play the users and Meta on a simulated WhatsApp
    Sim(sim::Args),

    /// Check the gateway and its surroundings
    Doctor(doctor::Args),
    /// Copy the database while the gateway runs
    Backup(backup::BackupArgs),
    /// Bring a backup into a new data folder
    Restore(backup::RestoreArgs),
    /// Check or print the configuration
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Run the gateway.
#[derive(Debug, Args)]
#[command(after_help = "\
Every setting can stand in turnpike.toml in the data folder, in the environment (TURNPIKE_LISTEN,
TURNPIKE_GRAPH_URL, …) or in a flag; the flag wins. `turnpike config print --default` explains
each of them.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingArgs,
    /// Serve a folder that `turnpike demo` made, whose keys lie in a file
    #[arg(long)]
    pub(crate) adopt_demo: bool,
}

/// Settings that have a flag of their own, and `--set` for the rest.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingArgs {
    /// Configuration file [default: turnpike.toml in the data folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Certificate chain (PEM) to speak TLS with
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Callers reach us only through a proxy that speaks TLS with them: keys are taken only from it
    #[arg(long)]
    pub(crate) behind_proxy: bool,
    /// Address or network of such a proxy, whose X-Forwarded-For is believed (repeatable)
    #[arg(long, value_name = "NETWORK")]
    pub(crate) trusted_proxy: Vec<String>,
    /// Graph API to send to [default: https://graph.facebook.com]
    #[arg(long, value_name = "URL")]
    pub(crate) graph_url: Option<String>,
    /// Graph API version to speak [default: v26.0]
    #[arg(long, value_name = "VERSION")]
    pub(crate) graph_version: Option<String>,
    /// Certificates (PEM) to trust for the Graph API, beside Mozilla's
    #[arg(long, value_name = "FILE")]
    pub(crate) graph_ca_file: Option<String>,
    /// Answer no sandbox keys
    #[arg(long)]
    pub(crate) no_sandbox: bool,
    /// Threads that work [default: one per processor]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) workers: Option<String>,
    /// How logs look: pretty or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// What is logged: error, warn, info, debug, or a filter such as turnpike_engine=debug
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Any setting, as KEY=VALUE: graph.answer_wait=15s (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl SettingArgs {
    /// The flags that were given, as key, value and the flag's name.
    pub(crate) fn given(&self) -> Vec<(&'static str, String, &'static str)> {
        let yes = |given: bool, value: &str| given.then(|| value.to_owned());
        let list = (!self.trusted_proxy.is_empty()).then(|| self.trusted_proxy.join(","));
        [
            ("listen", self.listen.clone(), "--listen"),
            ("tls.cert", self.tls_cert.clone(), "--tls-cert"),
            ("tls.key", self.tls_key.clone(), "--tls-key"),
            ("behind_proxy", yes(self.behind_proxy, "true"), "--behind-proxy"),
            ("trusted_proxies", list, "--trusted-proxy"),
            ("graph.url", self.graph_url.clone(), "--graph-url"),
            ("graph.version", self.graph_version.clone(), "--graph-version"),
            ("graph.ca_file", self.graph_ca_file.clone(), "--graph-ca-file"),
            ("sandbox.enabled", yes(self.no_sandbox, "false"), "--no-sandbox"),
            ("workers", self.workers.clone(), "--workers"),
            ("log.format", self.log_format.clone(), "--log-format"),
            ("log.level", self.log_level.clone(), "--log-level"),
        ]
        .into_iter()
        .filter_map(|(key, value, flag)| value.map(|value| (key, value, flag)))
        .collect()
    }
}

/// Run a gateway with a simulated WhatsApp, to try it out.
///
/// Makes a data folder with an organization, $10, an application with templates, a live and a
/// sandbox key; prints the address, the keys and a curl line that sends a message. A second start
/// keeps its data.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Address and port of the simulated Graph API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) simulator_listen: SocketAddr,
    /// Folder that the demo keeps its data in
    #[arg(long, value_name = "DIR", default_value = "./turnpike-demo")]
    pub(crate) data: PathBuf,
    /// Start over: remove what an earlier demo left in the folder
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Print one line of JSON when ready: address, simulator, liveKey, sandboxKey, appId, organizationId
    #[arg(long)]
    pub(crate) json: bool,
    /// No user has written to us: free-form messages are outside the window
    #[arg(long)]
    pub(crate) strict_window: bool,
}

/// Where an operator's command finds its gateway.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which gateway")]
pub(crate) struct Remote {
    /// A gateway elsewhere, such as https://gateway.example.com
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the operator token of that gateway
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    pub(crate) operator_token_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for that gateway, beside Mozilla's
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Configuration file, for a folder on which no gateway runs [default: DIR/turnpike.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Check or print the configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be done with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List every problem of the configuration; exit 1 where there is one
    Check(SettingArgs),
    /// Show every setting, its value and where it comes from
    Print {
        /// The commented file with every setting, its default and its reason
        #[arg(long)]
        default: bool,
        #[command(flatten)]
        settings: SettingArgs,
    },
    /// Make a token with which operators reach this gateway from elsewhere
    OperatorToken,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Bash:  turnpike completions bash > ~/.local/share/bash-completion/completions/turnpike
Zsh:   turnpike completions zsh > ~/.zfunc/_turnpike
Fish:  turnpike completions fish > ~/.config/fish/completions/turnpike.fish")]
pub(crate) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definitions_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_is_and_fits_a_terminal() {
        fn check(command: &mut clap::Command) {
            let help = command.render_long_help().to_string();
            assert!(command.get_about().is_some(), "{} has no sentence of its own", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some() || argument.is_hide_set(),
                    "{} {} is not explained",
                    command.get_name(),
                    argument.get_id()
                );
            }
            assert!(help.lines().all(|line| line.chars().count() <= 150), "{help}");
            command.get_subcommands_mut().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&mut command);
    }

    #[test]
    fn the_data_folder_can_be_named_before_and_after_the_command() {
        for line in ["turnpike --data d org list", "turnpike org --data d list", "turnpike org list --data d"] {
            assert_eq!(parse(line).expect(line).data, Some("d".into()), "{line}");
        }
        let Command::Demo(demo) = parse("turnpike --data d demo").expect("it can be meant").command else { panic!("a demo was asked for") };
        assert_eq!(demo.data, PathBuf::from("d"));
        let Command::Demo(demo) = parse("turnpike demo").expect("it can be meant").command else { panic!("a demo was asked for") };
        assert_eq!((demo.data, demo.json, demo.listen.port()), (PathBuf::from("./turnpike-demo"), false, 8080));
        let Command::Simulator(simulator) = parse("turnpike simulator --data d --json").expect("it can be meant").command else {
            panic!("a simulator was asked for")
        };
        assert_eq!((simulator.data, simulator.json), (Some("d".into()), true));
    }

    #[test]
    fn flags_become_settings_with_their_names() {
        let Command::Serve(serve) =
            parse("turnpike serve --listen 127.0.0.1:1 --no-sandbox --trusted-proxy 10.0.0.1 --trusted-proxy 10.0.0.2 --adopt-demo")
                .expect("it can be meant")
                .command
        else {
            panic!("to serve was asked for")
        };
        assert!(serve.adopt_demo);
        let given = serve.settings.given();
        assert!(given.contains(&("sandbox.enabled", "false".to_owned(), "--no-sandbox")), "{given:?}");
        assert!(given.contains(&("trusted_proxies", "10.0.0.1,10.0.0.2".to_owned(), "--trusted-proxy")), "{given:?}");
        assert_eq!(given.len(), 3);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "turnpike org",
            "turnpike wallet top-up",
            "turnpike wallet adjust --amount -3.00",
            "turnpike send --to 905321234567",
            "turnpike send --to 905321234567 --text a --template b --language en",
            "turnpike send --to 905321234567 --template b",
            "turnpike app connect --phone-number-id 1",
            "turnpike app create Shop --token-file t",
            "turnpike message resolve 1 --as perhaps --reason x",
            "turnpike org list --operator-token-file t",
            "turnpike rates price 905321234567 gossip",
            "turnpike completions tcsh",
        ] {
            assert!(parse(line).is_err_and(|error| error.exit_code() == 2), "{line}");
        }
        assert_eq!(parse("turnpike --help").expect_err("help is no command").kind(), ErrorKind::DisplayHelp);
    }

    #[test]
    fn what_cannot_be_meant_is_one_sentence_for_programs() {
        let said = |line: &str| sentence(&parse(line).expect_err(line));
        assert_eq!(said("turnpike org lst --json"), "unrecognized subcommand 'lst'; tip: a similar subcommand exists: 'list'");
        assert_eq!(said("turnpike wallet top-up --json"), "the following required arguments were not provided: --amount <AMOUNT>");
        assert!(
            said("turnpike message list --json --state lost").starts_with("invalid value 'lost' for '--state <STATE>' [possible values:")
        );
        assert!(
            said("turnpike org --json").starts_with("'turnpike org' requires a subcommand but one was not provided [subcommands: create")
        );
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        assert!(asks("org lst --json") && asks("--json org lst"));
        assert!(!asks("org lst") && !asks("org show -- --json"));
    }

    #[test]
    fn a_correction_may_be_negative() {
        assert!(parse("turnpike wallet adjust --amount -3.00 --reason x").is_ok());
    }

    #[test]
    fn help_names_the_commands_and_what_to_try() {
        let help = Cli::command().render_help().to_string();
        let expected = "\
A self-hosted WhatsApp gateway

Usage: turnpike COMMAND [OPTIONS]

Commands:
  serve        Run the gateway
  demo         Run a gateway with a simulated WhatsApp, to try it out
  simulator    Play WhatsApp's Graph API, for tests without an account at Meta
  org          Organizations and what they pay [alias: organization]
  app          Applications: one sending number each [alias: application]
  key          API keys of applications
  wallet       Prepaid money of organizations
  rates        What Meta charges, by market and category
  ledger       Prove that the books balance
  message      Messages and their outcomes
  template     Message templates, as Meta has them
  user         Users of an application: their windows and opt-outs
  webhook      Endpoints of applications, and the deliveries to them
  quarantine   Webhooks of Meta's that could not be read or taken in, or are nobody's here
  listen       Follow an application's events on this machine
  send         Send one message
  sim          Play the users and Meta on a simulated WhatsApp
  doctor       Check the gateway and its surroundings
  backup       Copy the database while the gateway runs
  restore      Bring a backup into a new data folder
  config       Check or print the configuration
  completions  Print a completion script for a shell
";
        assert!(help.starts_with(expected), "{help}");
        assert!(help.contains("turnpike demo") && help.contains("Exit codes:"), "{help}");
    }
}

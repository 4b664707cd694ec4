//! `turnpike app`: applications, which are one sending number each.

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, THE_ONLY_ONE, state, text, time, yes_no};
use super::listing::Listing;
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style};

/// Applications: one sending number each.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike app create Shop
  turnpike app connect shop --phone-number-id 1067… --waba-id 1029… --token-file token.txt
  turnpike app set shop --timezone Europe/Istanbul --enforce-window on
  turnpike app resume shop")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an application; with a number and a token it can send at once
    Create(NewApp),
    /// List the applications
    List {
        /// Of this organization only: its name or id
        #[arg(long)]
        org: Option<String>,
    },
    /// Show one application
    Show(WhichApp),
    /// Give an application its number and token
    Connect {
        #[command(flatten)]
        app: WhichApp,
        #[command(flatten)]
        number: Number,
    },
    /// Change an application's settings; what is not given stays
    Set {
        #[command(flatten)]
        app: WhichApp,
        /// Another name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Stop an application's sends
    Suspend(WhichApp),
    /// Let an application send again, also one that was paused because Meta barred it
    Resume(WhichApp),
}

#[derive(Debug, ClapArgs)]
struct NewApp {
    /// What people call it
    name: String,
    /// Its name in paths [default: made from NAME]
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
    /// Organization that pays: its name or id
    #[arg(long)]
    org: Option<String>,
    #[command(flatten)]
    number: OptionalNumber,
    #[command(flatten)]
    settings: Settings,
}

/// The application that a command of this noun is about.
#[derive(Debug, ClapArgs)]
struct WhichApp {
    /// Its appId; may be left out where there is one application
    #[arg(value_name = "APP")]
    named: Option<String>,
    /// The same as APP
    #[arg(long, hide = true, conflicts_with = "named")]
    app: Option<String>,
}

impl WhichApp {
    fn segment(&self) -> &str {
        self.named.as_deref().or(self.app.as_deref()).unwrap_or(THE_ONLY_ONE)
    }
}

/// A number and its token, for `connect`.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "The number at Meta")]
struct Number {
    /// Meta's id of the number
    #[arg(long, value_name = "ID")]
    phone_number_id: String,
    /// Meta's id of the WhatsApp Business Account
    #[arg(long, value_name = "ID")]
    waba_id: String,
    #[command(flatten)]
    rest: NumberRest,
}

/// The same for `create`, where it may be left out.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "The number at Meta")]
struct OptionalNumber {
    /// Meta's id of the number; needs --waba-id and a token
    #[arg(long, value_name = "ID", requires = "waba_id")]
    phone_number_id: Option<String>,
    /// Meta's id of the WhatsApp Business Account
    #[arg(long, value_name = "ID", requires = "phone_number_id")]
    waba_id: Option<String>,
    #[command(flatten)]
    rest: NumberRest,
}

#[derive(Debug, ClapArgs)]
struct NumberRest {
    /// File with Meta's access token
    #[arg(long, value_name = "FILE", conflicts_with = "token_stdin", requires = "phone_number_id")]
    token_file: Option<PathBuf>,
    /// Read Meta's access token from standard input
    #[arg(long, requires = "phone_number_id")]
    token_stdin: bool,
    /// App at Meta that the token belongs to: the id of a [[meta.app]]
    #[arg(long, value_name = "ID", requires = "phone_number_id")]
    meta_app: Option<String>,
    /// The number itself, digits with country code
    #[arg(long, value_name = "NUMBER", requires = "phone_number_id")]
    phone_number: Option<String>,
    /// cloud-api, or coexistence where the number is shared with the WhatsApp Business app
    #[arg(long, value_enum, value_name = "TYPE", requires = "phone_number_id", hide_possible_values = true)]
    connection_type: Option<ConnectionType>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConnectionType {
    CloudApi,
    Coexistence,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Settings")]
struct Settings {
    /// Time zone of its prices' dates, such as Europe/Istanbul; meta for that of its account at Meta
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Who pays Meta: operator (from the wallet) or customer (directly)
    #[arg(long, value_enum, value_name = "WHO", hide_possible_values = true)]
    meta_billing: Option<MetaBilling>,
    /// The number's ceiling in messages a second; 0 for its connection type's
    #[arg(long, value_name = "NUMBER")]
    number_per_second: Option<u32>,
    /// on refuses free-form messages outside the customer service window
    #[arg(long, value_enum, value_name = "on|off", hide_possible_values = true)]
    enforce_window: Option<Switch>,
    /// Days that message bodies are kept: 30, or 0 to keep none
    #[arg(long, value_name = "DAYS")]
    body_retention_days: Option<u16>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MetaBilling {
    Operator,
    Customer,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let one = |app: &WhichApp, action: &[&str], ask: fn(&[&str]) -> Ask| {
        let path: Vec<&str> = ["applications", app.segment()].iter().chain(action).copied().collect();
        context.ask(&args.remote, ask(&path))
    };
    match &args.command {
        Command::Create(new) => create(args, context, new),
        Command::List { org } => context.list(&args.remote, Ask::get(&["applications"]).with("org", org.as_ref()), &LIST).map(drop),
        Command::Show(app) => {
            if let Some(answer) = one(app, &[], Ask::get)? {
                record(context, &answer.data);
            }
            Ok(())
        }
        Command::Connect { app, number } => {
            let body = number.rest.body(&number.phone_number_id, &number.waba_id)?;
            let path = ["applications", app.segment(), "connect"];
            let Some(answer) = context.ask(&args.remote, Ask::post(&path, &body))? else { return Ok(()) };
            context.out.line("Connected. Its templates are being read from Meta.");
            record(context, &answer.data);
            context.out.hint("See that Meta lets us in with: turnpike doctor");
            Ok(())
        }
        Command::Set { app, name, settings } => set(args, context, app, name.as_deref(), settings),
        Command::Suspend(app) => {
            let Some(answer) = one(app, &["suspend"], post_nothing)? else { return Ok(()) };
            let id = text(&answer.data["appId"]);
            context.out.line(format!("{id} sends nothing any more; what is under way ends."));
            context.out.hint(format!("Undo with: turnpike app resume {id}"));
            Ok(())
        }
        Command::Resume(app) => {
            let Some(answer) = one(app, &["resume"], post_nothing)? else { return Ok(()) };
            let (id, status) = (text(&answer.data["appId"]), text(&answer.data["status"]));
            context.out.line(match status.as_str() {
                "ACTIVATED" => format!("{id} sends again."),
                _ => format!("{id} is {status}: it has no number yet. Connect it with: turnpike app connect {id} …"),
            });
            Ok(())
        }
    }
}

fn post_nothing(path: &[&str]) -> Ask {
    Ask::post(path, &json!({}))
}

fn create(args: &Args, context: &Context, new: &NewApp) -> Result<(), Failure> {
    let mut body = json!({"displayName": new.name});
    put(&mut body, "org", new.org.as_deref());
    put(&mut body, "appId", new.app_id.as_deref());
    let settings = new.settings.body();
    put(&mut body, "settings", (settings != json!({})).then_some(settings));
    if let (Some(number), Some(waba)) = (&new.number.phone_number_id, &new.number.waba_id) {
        body["connect"] = new.number.rest.body(number, waba)?;
    }
    let Some(answer) = context.ask(&args.remote, Ask::post(&["applications"], &body))? else { return Ok(()) };
    let id = text(&answer.data["appId"]);
    context.out.line(format!("Made the application {id}."));
    record(context, &answer.data);
    context.out.hint(match answer.data["status"].as_str() {
        Some("ACTIVATED") => format!("Next: turnpike key create --app {id}"),
        _ => format!("It has no number yet, so only sandbox keys send. Give it one with: turnpike app connect {id} …"),
    });
    Ok(())
}

fn set(args: &Args, context: &Context, app: &WhichApp, name: Option<&str>, settings: &Settings) -> Result<(), Failure> {
    let mut body = settings.body();
    put(&mut body, "displayName", name);
    if body == json!({}) {
        return Err(Failure::Usage("say what to change; turnpike app set --help lists what there is".to_owned()));
    }
    let Some(answer) = context.ask(&args.remote, Ask::patch(&["applications", app.segment()], &body))? else { return Ok(()) };
    context.out.line("Changed.");
    record(context, &answer.data);
    Ok(())
}

const LIST: Listing<'static, 7> = Listing {
    headings: [
        ("app", Side::Left),
        ("name", Side::Left),
        ("organization", Side::Left),
        ("status", Side::Left),
        ("paused", Side::Left),
        ("number", Side::Left),
        ("templates", Side::Right),
    ],
    row: &|row| {
        let paused = if row["paused"].is_null() { String::new() } else { format!("by Meta ({})", text(&row["paused"]["code"])) };
        [
            text(&row["appId"]).into(),
            text(&row["displayName"]).into(),
            text(&row["organization"]).into(),
            state(&row["status"]),
            Cell::new(paused, Style::Bad),
            number(row).into(),
            text(&row["templates"]).into(),
        ]
    },
    none: "There is no application yet.",
    hint: Some("Make one with: turnpike app create NAME"),
};

fn record(context: &Context, data: &Value) {
    let paused = &data["paused"];
    let why = if paused.is_null() {
        String::new()
    } else {
        format!("since {}: {} ({})", time(&paused["since"]), text(&paused["title"]), text(&paused["code"]))
    };
    let templates = match (&data["templates"], &data["templatesSyncedAt"]) {
        (_, Value::Null) => "not read from Meta yet".to_owned(),
        (templates, at) => format!("{}, read {}", text(templates), time(at)),
    };
    context.out.record(&[
        ("App", Cell::new(text(&data["appId"]), Style::Bold)),
        ("Name", text(&data["displayName"]).into()),
        ("Organization", text(&data["organization"]).into()),
        ("Status", state(&data["status"])),
        ("Paused", Cell::new(why, Style::Bad)),
        ("What to do", text(&paused["hint"]).into()),
        ("Number", plus(&data["phoneNumber"]).into()),
        ("Number id", text(&data["phoneNumberId"]).into()),
        ("WABA id", text(&data["wabaId"]).into()),
        ("Meta app", text(&data["metaAppId"]).into()),
        ("Token", if data["hasToken"] == true { "[set]".into() } else { Cell::default() }),
        ("Connection", text(&data["connectionType"]).into()),
        ("Ceiling", format!("{} messages a second", text(&data["numberPerSecond"])).into()),
        ("Time zone", zone(data).into()),
        ("Zone to be set", Cell::new(text(&data["timezoneAdvice"]), Style::Bad)),
        ("Meta is paid by", text(&data["metaBilling"]).into()),
        ("Window enforced", yes_no(&data["enforceWindow"]).into()),
        ("Bodies kept", format!("{} days", text(&data["bodyRetentionDays"])).into()),
        ("Templates", templates.into()),
        ("Made", time(&data["createdAt"]).into()),
    ]);
}

/// A zone and who said so: `Europe/Istanbul, from Meta`.
pub(super) fn zone(data: &Value) -> String {
    let zone = text(&data["timezone"]);
    match data["timezoneFrom"].as_str() {
        Some("operator") => format!("{zone}, set by an operator"),
        Some("meta") => format!("{zone}, from Meta"),
        _ => format!("{zone}, the default"),
    }
}

fn number(row: &Value) -> String {
    if row["phoneNumber"].is_null() { text(&row["phoneNumberId"]) } else { plus(&row["phoneNumber"]) }
}

/// A number as people write it.
fn plus(number: &Value) -> String {
    number.as_str().map(|digits| format!("+{digits}")).unwrap_or_default()
}

impl NumberRest {
    fn body(&self, phone_number_id: &str, waba_id: &str) -> Result<Value, Failure> {
        let mut body = json!({"phoneNumberId": phone_number_id, "wabaId": waba_id, "accessToken": self.token()?});
        put(&mut body, "metaAppId", self.meta_app.as_deref());
        put(&mut body, "phoneNumber", self.phone_number.as_deref().map(|number| number.trim_start_matches('+')));
        let connection_type = self.connection_type.map(|kind| match kind {
            ConnectionType::CloudApi => "CLOUD_API",
            ConnectionType::Coexistence => "COEXISTENCE",
        });
        put(&mut body, "connectionType", connection_type);
        Ok(body)
    }

    fn token(&self) -> Result<String, Failure> {
        let text = match &self.token_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|problem| Failure::Usage(format!("the token's file {} cannot be read: {problem}", path.display())))?,
            None if self.token_stdin => {
                let mut text = String::new();
                std::io::stdin()
                    .take(64 * 1024)
                    .read_to_string(&mut text)
                    .map_err(|problem| Failure::Usage(format!("the token cannot be read from standard input: {problem}")))?;
                text
            }
            None => return Err(Failure::Usage("give Meta's access token with --token-file FILE or --token-stdin".to_owned())),
        };
        Ok(text.trim().to_owned())
    }
}

impl Settings {
    fn body(&self) -> Value {
        let mut body = json!({});
        put(&mut body, "timezone", self.timezone.as_deref());
        let billing = self.meta_billing.map(|who| match who {
            MetaBilling::Operator => "operator",
            MetaBilling::Customer => "customer",
        });
        put(&mut body, "metaBilling", billing);
        put(&mut body, "numberPerSecond", self.number_per_second);
        put(&mut body, "enforceWindow", self.enforce_window.map(|switch| switch == Switch::On));
        put(&mut body, "bodyRetentionDays", self.body_retention_days);
        body
    }
}

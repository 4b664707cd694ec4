//! `turnpike sim`: play the other side of a simulated WhatsApp, the users and Meta.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::context::{Context, rows, text, time};
use super::message::typed;
use super::org::put;
use crate::client::{SimulatorClient, must_be_known};
use crate::config;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// Play the users and Meta on a simulated WhatsApp.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Works on the simulator inside `turnpike demo` or `turnpike serve` on --data DIR, or on any
`turnpike simulator` by --simulator URL.

Examples:
  turnpike sim reply --from 905321234567 --text \"Where is my order?\"
  turnpike sim tap --from 905321234567 --title \"Before noon\"
  turnpike sim status wamid.HBgM… --status failed --code 131026
  turnpike sim clock --advance 24h")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Another simulator, such as http://127.0.0.1:8090
    #[arg(long, global = true, value_name = "URL")]
    simulator: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A user writes
    Reply {
        /// The user: digits, or a user id
        #[arg(long, value_name = "USER")]
        from: String,
        /// What the user writes
        #[arg(long, required_unless_present = "body")]
        text: Option<String>,
        /// A message of another type: a file with its JSON, such as {"image":{"caption":"Look"}}
        #[arg(long, value_name = "FILE", conflicts_with = "text")]
        body: Option<PathBuf>,
        /// In answer to this message: its wamid
        #[arg(long, value_name = "WAMID")]
        context: Option<String>,
        /// To this number: its phone number id
        #[arg(long, value_name = "ID")]
        number: Option<String>,
        /// In this group: its id
        #[arg(long, value_name = "ID")]
        group: Option<String>,
    },
    /// A user calls, or is called
    Call {
        /// The user: digits, or a user id
        #[arg(long, value_name = "USER")]
        from: String,
        /// The call's id, for what follows a first event [default: a new one]
        #[arg(long, value_name = "WACID")]
        id: Option<String>,
        /// connect or terminate [default: connect]
        #[arg(long, conflicts_with = "status")]
        event: Option<String>,
        /// RINGING, ACCEPTED, REJECTED: a status of a call to the user
        #[arg(long)]
        status: Option<String>,
        /// The business called
        #[arg(long)]
        outbound: bool,
        /// At this number: its phone number id
        #[arg(long, value_name = "ID")]
        number: Option<String>,
    },
    /// A user taps on a button, or chooses a row, of a message that was sent
    Tap {
        /// The user: his newest message that has it is meant
        #[arg(long, value_name = "USER", required_unless_present = "message")]
        from: Option<String>,
        /// Another message: its wamid
        #[arg(long, value_name = "WAMID")]
        message: Option<String>,
        /// Title or id of the button, row or flow [default: the first of the newest]
        #[arg(long, visible_alias = "id", value_name = "TITLE")]
        title: Option<String>,
        /// A flow is filled in: a file with the JSON of its answers
        #[arg(long, value_name = "FILE", conflicts_with = "title")]
        flow: Option<PathBuf>,
    },
    /// Meta reports a status of a message
    Status {
        /// The message's wamid
        message: String,
        /// What it is
        #[arg(long, value_enum)]
        status: Status,
        /// Meta's error code, of a failure
        #[arg(long)]
        code: Option<u32>,
        /// So many times
        #[arg(long, value_name = "NUMBER")]
        times: Option<u32>,
        /// The message went to this group: its id
        #[arg(long, value_name = "ID")]
        group: Option<String>,
    },
    /// A user stops or resumes marketing
    Preference {
        /// The user: digits, or a user id
        #[arg(long, value_name = "USER")]
        from: String,
        /// stop or resume
        value: String,
    },
    /// Meta changes a template
    Template {
        /// Its name
        name: String,
        /// Its language
        #[arg(long)]
        language: Option<String>,
        /// APPROVED, REJECTED, PAUSED, DISABLED …
        #[arg(long)]
        status: Option<String>,
        /// Its new category
        #[arg(long)]
        category: Option<String>,
        /// Its new quality
        #[arg(long)]
        quality: Option<String>,
        /// Why
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say what an account is at Meta: its time zone
    Waba {
        /// The WABA's id
        waba: String,
        /// Meta's number of the zone, such as 58 for Europe/London
        #[arg(long, value_name = "NUMBER")]
        timezone_id: String,
    },
    /// Meta reports any other change: a file with {"field": …, "value": …}, or a field by its name
    #[command(after_help = "\
With --field the value is as Meta's documents show it; GET /_sim/fields of the simulator lists the
fields that have one.

Examples:
  turnpike sim event change.json
  turnpike sim event --field account_alerts
  turnpike sim event --field smb_message_echoes --from 905321234567")]
    Event {
        /// The file
        #[arg(required_unless_present = "field")]
        file: Option<PathBuf>,
        /// A field of Meta's webhooks, such as account_update
        #[arg(long, value_name = "FIELD", conflicts_with = "file")]
        field: Option<String>,
        /// The user whom it is about, where it is about one: digits, or a user id
        #[arg(long, value_name = "USER", requires = "field")]
        from: Option<String>,
        /// The number whose it is, or whose account's: its phone number id
        #[arg(long, value_name = "ID", requires = "field")]
        number: Option<String>,
    },
    /// Say what becomes of messages that will be sent: a file with a rule
    Script {
        /// The file; `turnpike simulator --help` and its documentation tell of rules
        #[arg(required_unless_present = "clear")]
        file: Option<PathBuf>,
        /// Forget all rules
        #[arg(long, conflicts_with = "file")]
        clear: bool,
    },
    /// Show or turn the simulated clock
    Clock {
        /// Let time pass so many times faster
        #[arg(long, value_name = "FACTOR")]
        speed: Option<f64>,
        /// Let this much pass at once, such as 24h
        #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
        advance: Option<std::time::Duration>,
    },
    /// Show whom Meta tells, and what they answered
    Webhooks,
}

/// The statuses that Meta documents. Others can be played by `POST /_sim/status`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    Sent,
    Delivered,
    Read,
    Played,
    Failed,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let folder = config::data_folder(context.data.as_deref(), None, &context.environment)
        .map_err(|problems| Failure::Usage(problems.to_string()))?;
    if args.simulator.is_none() {
        must_be_known(&folder)?;
    }
    let simulator = SimulatorClient::find(args.simulator.as_deref(), &folder)?;
    let answer = ask(&simulator, &args.command)?;
    say(context, &args.command, &answer);
    Ok(())
}

/// The call that a command stands for; gives what it answered.
fn ask(simulator: &SimulatorClient, command: &Command) -> Result<Value, Failure> {
    let post = |path: &str, body: &Value| simulator.ask(Method::POST, path, Some(body));
    match command {
        Command::Reply { from, text, body, context, number, group } => {
            let mut message = match body {
                Some(file) => read(file)?,
                None => json!({}),
            };
            put(&mut message, "from", Some(from.as_str()));
            put(&mut message, "text", text.as_deref());
            put(&mut message, "context", context.as_deref());
            put(&mut message, "phone_number_id", number.as_deref());
            put(&mut message, "group_id", group.as_deref());
            post("reply", &message)
        }
        Command::Call { from, id, event, status, outbound, number } => {
            let mut call = json!({"from": from});
            put(&mut call, "id", id.as_deref());
            put(&mut call, "event", event.as_deref());
            put(&mut call, "status", status.as_deref());
            put(&mut call, "direction", outbound.then_some("BUSINESS_INITIATED"));
            put(&mut call, "phone_number_id", number.as_deref());
            post("call", &call)
        }
        Command::Tap { from, message, title, flow } => {
            let mut tap = json!({});
            put(&mut tap, "from", from.as_deref());
            put(&mut tap, "message_id", message.as_deref());
            put(&mut tap, "flow", flow.as_deref().map(read).transpose()?);
            put(&mut tap, "title", title.as_deref());
            post("tap", &tap)
        }
        Command::Status { message, status, code, times, group } => {
            let mut body = json!({"message_id": message, "status": typed(*status)});
            put(&mut body, "code", *code);
            put(&mut body, "times", *times);
            put(&mut body, "group_id", group.as_deref());
            post("status", &body)
        }
        Command::Preference { from, value } => post("preference", &json!({"from": from, "value": value})),
        Command::Template { name, language, status, category, quality, reason } => {
            let mut body = json!({"name": name});
            put(&mut body, "language", language.as_deref());
            put(&mut body, "status", status.as_deref());
            put(&mut body, "category", category.as_deref());
            put(&mut body, "quality", quality.as_deref());
            put(&mut body, "reason", reason.as_deref());
            post("template", &body)
        }
        Command::Waba { waba, timezone_id } => post("wabas", &json!({"id": waba, "timezone_id": timezone_id})),
        Command::Event { file: Some(file), .. } => post("event", &read(file)?),
        Command::Event { file: None, field, from, number } => {
            let mut event = json!({"field": field});
            put(&mut event, "from", from.as_deref());
            put(&mut event, "phone_number_id", number.as_deref());
            post("event", &event)
        }
        Command::Script { file: Some(file), .. } => script(simulator, &read(file)?),
        Command::Script { file: None, .. } => {
            simulator.ask(Method::DELETE, "script", None)?;
            simulator.ask(Method::DELETE, "plan", None)
        }
        Command::Clock { speed, advance } => {
            if let Some(speed) = speed {
                post("clock", &json!({"speed": speed}))?;
            }
            if let Some(advance) = advance {
                post("clock/advance", &json!({"seconds": advance.as_secs()}))?;
            }
            simulator.ask(Method::GET, "clock", None)
        }
        Command::Webhooks => simulator.ask(Method::GET, "webhooks", None),
    }
}

/// A rule for what a message's statuses will be has a `plan` or `statuses`; any other is for its answer.
fn script(simulator: &SimulatorClient, rule: &Value) -> Result<Value, Failure> {
    let first = rule.as_array().and_then(|rules| rules.first()).unwrap_or(rule);
    let path = if first.get("behaviour").is_some() { "script" } else { "plan" };
    simulator.ask(Method::POST, path, Some(rule))
}

fn read(file: &Path) -> Result<Value, Failure> {
    let place = file.display();
    let text = std::fs::read(file).map_err(|problem| Failure::Usage(format!("{place} cannot be read: {problem}")))?;
    serde_json::from_slice(&text).map_err(|problem| Failure::Usage(format!("{place} holds no JSON: {problem}")))
}

fn say(context: &Context, command: &Command, answer: &Value) {
    if context.out.json {
        return context.out.data(answer);
    }
    match command {
        Command::Script { clear: true, .. } => context.out.line("All rules are forgotten; statuses come as usual again."),
        Command::Waba { timezone_id, .. } => {
            context.out.line(format!("Its time zone is {timezone_id} from now on."));
            context.out.hint("The gateway asks for it with the templates: turnpike template sync");
        }
        Command::Script { .. } => context.out.line("The simulator goes by it from now on."),
        Command::Clock { .. } => context.out.record(&[
            ("Simulated time", time(&answer["now"]).into()),
            ("Speed", format!("{} times as fast as real time", text(&answer["speed"])).into()),
        ]),
        Command::Webhooks => webhooks(context, rows(&answer["webhooks"])),
        _ => {
            let told = answer["told"].as_u64().unwrap_or(0);
            let id = text(&answer["id"]);
            let what = if id.is_empty() { "It happened".to_owned() } else { format!("It happened as {id}") };
            context.out.line(format!("{what}."));
            if told == 0 {
                context.out.hint("Nobody was told: no webhook is subscribed for that number. See: turnpike sim webhooks");
            }
        }
    }
}

/// Attempts of one subscription that are shown.
const ATTEMPTS_SHOWN: usize = 10;

fn webhooks(context: &Context, webhooks: &[Value]) {
    if webhooks.is_empty() {
        return context.out.line("Nobody is told: no webhook is subscribed.");
    }
    for (n, webhook) in webhooks.iter().enumerate() {
        if n > 0 {
            context.out.line("");
        }
        let handshake = &webhook["handshake"];
        let problem = text(&handshake["problem"]);
        let state = if problem.is_empty() { text(&handshake["state"]) } else { format!("{}: {problem}", text(&handshake["state"])) };
        let numbers = match (text(&webhook["prefix"]), text(&webhook["phone_number_ids"])) {
            (prefix, _) if !prefix.is_empty() => format!("those that begin with {prefix}"),
            (_, numbers) => numbers,
        };
        context.out.record(&[
            ("Url", Cell::new(text(&webhook["url"]), Style::Bold)),
            ("Handshake", state.into()),
            ("Numbers", numbers.into()),
            ("Delivered", text(&webhook["delivered"]).into()),
            ("Retrying", text(&webhook["retrying"]).into()),
            ("Given up", text(&webhook["given_up"]).into()),
        ]);
        let attempts = rows(&webhook["attempts"]);
        if attempts.is_empty() {
            continue;
        }
        let mut table = Table::new([("when (UTC)", Side::Left), ("answer", Side::Left), ("next (UTC)", Side::Left), ("what", Side::Left)]);
        for attempt in &attempts[attempts.len().saturating_sub(ATTEMPTS_SHOWN)..] {
            let answer = match &attempt["status"] {
                Value::Null => Cell::new(text(&attempt["answer"]), Style::Bad),
                status => Cell::new(text(status), if status == 200 { Style::Good } else { Style::Bad }),
            };
            table.row([time(&attempt["at"]).into(), answer, time(&attempt["next_at"]).into(), text(&attempt["events"]).into()]);
        }
        context.out.table(&table);
    }
}

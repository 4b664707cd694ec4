//! `turnpike webhook`: where an application's events go, and whether they got there.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, count, rows, text, time, yes_no};
use super::key::OfApp;
use super::listing::{Listing, Pages};
use super::message::typed;
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style, Table};

/// The name of the endpoint that is meant where none is named.
const DEFAULT: &str = "default";

/// In place of a list of events: every one there is.
const ALL: &str = "all";

/// Endpoints of applications, and the deliveries to them.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
An endpoint gets every event of its application that it asked for, signed (Standard Webhooks and
X-Hub-Signature-256), at least once, and again for three days where it does not answer 2xx.

Examples:
  turnpike webhook set --url https://shop.example.com/whatsapp
  turnpike webhook set --event messages --event message_status --event read
  turnpike webhook test
  turnpike webhook deliveries --state dead
  turnpike webhook replay --from 2026-10-01T08:00:00Z --until 2026-10-01T09:00:00Z")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an endpoint or change it; the secrets of a new one are shown this once
    #[command(after_help = "\
A new endpoint needs --url. One that exists keeps whatever is not named, its secrets among it; these
are shown once, so --json holds `secret` and `bearer` only where they are new or given here. A
script that must have `id`, `url`, `secret` and `bearer` each time brings --secret-file and
--bearer-file along, or runs `turnpike webhook rotate --bearer --json`, which answers new ones. In
`turnpike demo` they are always shown.

Examples:
  turnpike webhook set --url https://shop.example.com/whatsapp
  turnpike webhook set --url https://shop.example.com/whatsapp --json | jq -r .secret
  turnpike webhook set --all-events --sandbox on
  turnpike webhook set --endpoint audit --url https://audit.example.com/ --event gateway")]
    Set(Box<Endpoint>),
    /// List an application's endpoints, and what waits for each
    List(OfApp),
    /// Show one endpoint
    Show(Which),
    /// Delete an endpoint with what waits for it
    Delete(Which),
    /// Send a test event and show what the endpoint answered
    Test(Which),
    /// Make a new signing secret; the old one also signs for 24 hours
    #[command(after_help = "\
For 24 hours `webhook-signature` holds both. `X-Hub-Signature-256` has room for one and stays with
the old one. Rotating again meanwhile ends the oldest at once.")]
    Rotate {
        #[command(flatten)]
        which: Which,
        /// A new bearer too, at once
        #[arg(long)]
        bearer: bool,
    },
    /// Post events again after it was switched off
    Enable {
        #[command(flatten)]
        which: Which,
        /// What becomes of the events that were kept meanwhile: replay or drop
        #[arg(long, value_enum, value_name = "CHOICE", hide_possible_values = true)]
        backlog: Option<Backlog>,
    },
    /// Keep events and post none
    Disable(Which),
    /// List deliveries, newest first
    Deliveries {
        #[command(flatten)]
        app: OfApp,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        pages: Pages,
    },
    /// Show one delivery with its attempts
    Attempts {
        /// The event's id, as `webhook deliveries` shows it: msg_…
        event: String,
        #[command(flatten)]
        which: Which,
    },
    /// Send again: one event, or all that the filter names
    #[command(after_help = "\
The bytes and webhook-id are the same as the first time; the signature is fresh. A range also takes
events from before the endpoint existed, as long as they are kept (30 days).")]
    Replay {
        /// The event's id; without one, a range
        event: Option<String>,
        #[command(flatten)]
        app: OfApp,
        #[command(flatten)]
        filter: Filter,
    },
}

#[derive(Debug, ClapArgs)]
struct Which {
    #[command(flatten)]
    app: OfApp,
    /// The endpoint's name
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    endpoint: String,
}

impl Which {
    fn path<'a>(&'a self, further: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["applications", self.app.segment(), "webhooks", &self.endpoint];
        path.extend(further);
        path
    }
}

#[derive(Debug, ClapArgs)]
struct Endpoint {
    #[command(flatten)]
    which: Which,
    /// Where events are posted: https, or http to this machine where the gateway allows it
    #[arg(long)]
    url: Option<String>,
    /// An event that it gets, or all (repeatable; replaces the list)
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Every event there is, as --event all
    #[arg(long, conflicts_with = "events")]
    all_events: bool,
    /// A header of yours, as NAME=VALUE (repeatable; replaces them all)
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Send none of your own headers any more
    #[arg(long, conflicts_with = "headers")]
    no_headers: bool,
    /// Also get sandbox events: on or off
    #[arg(long, value_enum, value_name = "SWITCH", hide_possible_values = true)]
    sandbox: Option<Switch>,
    /// Hold a user's later events while one of his fails, for five minutes at most: on or off
    #[arg(long, value_enum, value_name = "SWITCH", hide_possible_values = true)]
    ordered: Option<Switch>,
    /// Send `Authorization: Bearer`: on or off
    #[arg(long, value_enum, value_name = "SWITCH", hide_possible_values = true)]
    send_bearer: Option<Switch>,
    /// A bearer of your own, of at least 32 characters, in this file
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<std::path::PathBuf>,
    /// A signing secret of your own, whsec_… of 24 to 64 bytes in base64, in this file; for an endpoint
    /// that has another it is a rotation
    #[arg(long, value_name = "FILE")]
    secret_file: Option<std::path::PathBuf>,
}

#[derive(Debug, ClapArgs)]
struct Filter {
    /// Of this endpoint only: its name
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// In this state only
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Of this kind only (repeatable)
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Of events from then on, such as 2026-10-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Of events before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Pending,
    Delivered,
    Dead,
    Dropped,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backlog {
    Replay,
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let ask = |ask| context.ask(&args.remote, ask);
    match &args.command {
        Command::Set(endpoint) => {
            let Some(answer) = ask(Ask::post(&endpoint.which.path(&[]), &endpoint.body()?))? else { return Ok(()) };
            announce(context, &answer.data);
        }
        Command::List(app) => {
            let endpoints = context.list(&args.remote, Ask::get(&["applications", app.segment(), "webhooks"]), &LIST)?;
            for endpoint in endpoints.iter().flatten().filter(|endpoint| is_off(endpoint)) {
                context.out.hint(format!("{} is off. {}", text(&endpoint["name"]), how_to_enable(endpoint)));
            }
        }
        Command::Show(which) => {
            let Some(answer) = ask(Ask::get(&which.path(&[])))? else { return Ok(()) };
            show(context, &answer.data);
        }
        Command::Delete(which) => {
            let Some(_) = ask(Ask::delete(&which.path(&[])))? else { return Ok(()) };
            context.out.line(format!("Endpoint {} is deleted, with what waited for it.", which.endpoint));
        }
        Command::Test(which) => return test(args, context, which),
        Command::Rotate { which, bearer } => {
            let body = json!({"bearer": bearer});
            let Some(answer) = ask(Ask::post(&which.path(&["rotate"]), &body))? else { return Ok(()) };
            secrets(context, &answer.data, SHOWN_ONCE);
            context.out.line("The old signing secret also signs for 24 hours; check for either until then.");
        }
        Command::Enable { which, backlog } => return enable(args, context, which, *backlog),
        Command::Disable(which) => {
            let Some(answer) = ask(Ask::post(&which.path(&["disable"]), &json!({})))? else { return Ok(()) };
            show(context, &answer.data);
        }
        Command::Deliveries { app, filter, pages } => {
            // Where all are meant there is nothing to filter.
            let events = events(&filter.events)?.filter(Value::is_array).map(|_| filter.events.join(","));
            let ask = || filter.query(Ask::get(&["applications", app.segment(), "deliveries"])).with("events", events.as_ref());
            return context.pages(&args.remote, pages, ask, &DELIVERIES);
        }
        Command::Attempts { event, which } => {
            let path = ["applications", which.app.segment(), "deliveries", event];
            let Some(answer) = ask(Ask::get(&path).with("endpoint", Some(&which.endpoint)))? else { return Ok(()) };
            attempts(context, &answer.data);
        }
        Command::Replay { event: Some(event), app, filter } => return replay_one(args, context, app, event, filter),
        Command::Replay { event: None, app, filter } => return replay_all(args, context, app, filter),
    }
    Ok(())
}

/// Switches an endpoint on; what was kept for it meanwhile must be decided.
fn enable(args: &Args, context: &Context, which: &Which, backlog: Option<Backlog>) -> Result<(), Failure> {
    let Some(backlog) = backlog else {
        return Err(Failure::Usage(
            "say what becomes of the events that were kept meanwhile: --backlog replay sends them, --backlog drop gives them up".to_owned(),
        ));
    };
    let body = json!({"backlog": typed(backlog)});
    let Some(answer) = context.ask(&args.remote, Ask::post(&which.path(&["enable"]), &body))? else { return Ok(()) };
    show(context, &answer.data);
    Ok(())
}

/// Sends one event again.
fn replay_one(args: &Args, context: &Context, app: &OfApp, event: &str, filter: &Filter) -> Result<(), Failure> {
    let body = json!({"endpoint": filter.endpoint.as_deref().unwrap_or(DEFAULT)});
    let path = ["applications", app.segment(), "deliveries", event, "replay"];
    let Some(_) = context.ask(&args.remote, Ask::post(&path, &body))? else { return Ok(()) };
    let of = filter.endpoint.as_ref().map_or_else(String::new, |name| format!(" --endpoint {name}"));
    context.out.line(format!("It is sent again now; see: turnpike webhook attempts {event}{of}"));
    Ok(())
}

/// Sends again all that a filter names; one that names nothing would mean everything, and is refused.
fn replay_all(args: &Args, context: &Context, app: &OfApp, filter: &Filter) -> Result<(), Failure> {
    if filter.from.is_none() && filter.state.is_none() {
        return Err(Failure::Usage(
            "say what to send again: an event's id, --from TIME for all since then, or --state dead for the dead letters".to_owned(),
        ));
    }
    let path = ["applications", app.segment(), "webhooks", filter.endpoint.as_deref().unwrap_or(DEFAULT), "replay"];
    let Some(answer) = context.ask(&args.remote, Ask::post(&path, &filter.body()?))? else { return Ok(()) };
    let replayed = usize::try_from(answer.data["replayed"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    context.out.line(format!("{} sent again now.", count(replayed, "event is", "events are")));
    Ok(())
}

impl Endpoint {
    fn body(&self) -> Result<Value, Failure> {
        let mut body = json!({});
        put(&mut body, "url", self.url.as_deref());
        let events = if self.all_events { Some(json!(ALL)) } else { events(&self.events)? };
        put(&mut body, "events", events);
        if !self.headers.is_empty() || self.no_headers {
            let mut headers = serde_json::Map::new();
            for header in &self.headers {
                let (name, value) = header
                    .split_once('=')
                    .ok_or_else(|| Failure::Usage(format!("--header takes NAME=VALUE, such as X-Shop=7; `{header}` has no =")))?;
                headers.insert(name.to_owned(), json!(value));
            }
            put(&mut body, "headers", Some(Value::Object(headers)));
        }
        let on = |switch: Option<Switch>| switch.map(|switch| switch == Switch::On);
        put(&mut body, "sandbox", on(self.sandbox));
        put(&mut body, "ordered", on(self.ordered));
        put(&mut body, "sendBearer", on(self.send_bearer));
        for (member, what, file) in [("bearer", "bearer", &self.bearer_file), ("secret", "signing secret", &self.secret_file)] {
            let Some(path) = file else { continue };
            let text = std::fs::read_to_string(path)
                .map_err(|problem| Failure::Usage(format!("the {what}'s file {} cannot be read: {problem}", path.display())))?;
            put(&mut body, member, Some(text.trim()));
        }
        Ok(body)
    }
}

impl Filter {
    fn query(&self, ask: Ask) -> Ask {
        ask.with("endpoint", self.endpoint.as_ref())
            .with("state", self.state.map(typed))
            .with("from", self.from.as_ref())
            .with("until", self.until.as_ref())
    }

    fn body(&self) -> Result<Value, Failure> {
        let mut body = json!({});
        put(&mut body, "state", self.state.map(typed));
        put(&mut body, "events", events(&self.events)?);
        put(&mut body, "from", self.from.as_deref());
        put(&mut body, "until", self.until.as_deref());
        Ok(body)
    }
}

/// The events that were named, as the route takes them: a list, or the word for all of them.
fn events(named: &[String]) -> Result<Option<Value>, Failure> {
    match named {
        [] => Ok(None),
        [only] if only == ALL => Ok(Some(json!(ALL))),
        several if several.iter().any(|name| name == ALL) => {
            Err(Failure::Usage("--event all is every event there is; name no other beside it".to_owned()))
        }
        several => Ok(Some(json!(several))),
    }
}

/// Before secrets that nobody will see again.
const SHOWN_ONCE: &str = "Copy these now: they are shown this once.";

fn announce(context: &Context, endpoint: &Value) {
    let is_new = endpoint["createdAt"] == endpoint["updatedAt"];
    if endpoint["secret"].is_string() || endpoint["bearer"].is_string() {
        secrets(context, endpoint, if is_new { SHOWN_ONCE } else { "It signs and calls with these." });
    }
    show(context, endpoint);
}

fn secrets(context: &Context, endpoint: &Value, heading: &str) {
    context.out.line(format!("{heading}\n"));
    for (what, value) in [("signing secret", &endpoint["secret"]), ("bearer", &endpoint["bearer"])] {
        if value.is_string() {
            context.out.line(format!("  {what:<15} {}", context.out.paint(Style::Bold, &text(value))));
        }
    }
    context.out.line("");
}

fn show(context: &Context, endpoint: &Value) {
    let headers = endpoint["headers"].as_object().map(|headers| headers.keys().cloned().collect::<Vec<_>>().join(", "));
    context.out.record(&[
        ("Endpoint", Cell::new(text(&endpoint["name"]), Style::Bold)),
        ("App", text(&endpoint["appId"]).into()),
        ("Url", text(&endpoint["url"]).into()),
        ("State", life(endpoint)),
        ("Events", text(&endpoint["events"]).into()),
        ("Sandbox events", yes_no(&endpoint["sandbox"]).into()),
        ("In order", yes_no(&endpoint["ordered"]).into()),
        ("Bearer sent", yes_no(&endpoint["sendBearer"]).into()),
        ("Own headers", headers.unwrap_or_default().into()),
        ("Waiting", waiting(endpoint).into()),
        // While it is off nothing is tried.
        ("Next retry", if is_off(endpoint) { Cell::default() } else { time(&endpoint["backlog"]["nextRetryAt"]).into() }),
        ("Given up", given_up(&endpoint["overflow"])),
        ("Old secret until", time(&endpoint["oldSecretUntil"]).into()),
        ("Id", text(&endpoint["id"]).into()),
    ]);
    if is_off(endpoint) {
        context.out.hint(how_to_enable(endpoint));
    }
}

fn is_off(endpoint: &Value) -> bool {
    endpoint["isActive"] == false
}

/// What to do about an endpoint that is off.
fn how_to_enable(endpoint: &Value) -> String {
    let name = text(&endpoint["name"]);
    let of = if name == DEFAULT { String::new() } else { format!(" --endpoint {name}") };
    format!("Its events are kept. On again, with them or without: turnpike webhook enable{of} --backlog replay, or --backlog drop")
}

fn life(endpoint: &Value) -> Cell {
    if is_off(endpoint) {
        let why = text(&endpoint["disabledReason"]);
        return Cell::new(if why.is_empty() { "off".to_owned() } else { format!("off: {why}") }, Style::Bad);
    }
    match &endpoint["failingSince"] {
        Value::String(_) => Cell::new(format!("failing since {}", time(&endpoint["failingSince"])), Style::Warn),
        _ => Cell::new("active", Style::Good),
    }
}

fn waiting(endpoint: &Value) -> String {
    let backlog = &endpoint["backlog"];
    format!("{} new, {} to be retried", backlog["first"].as_u64().unwrap_or(0), backlog["retries"].as_u64().unwrap_or(0))
}

/// What became dead letters since the backlog was too long or too old; empty where nothing did.
fn given_up(overflow: &Value) -> Cell {
    if overflow.is_null() {
        return Cell::from(String::new());
    }
    let count = |name: &str| overflow[name].as_u64().unwrap_or(0);
    let (number, age) = (count("beyondNumber"), count("beyondAge"));
    let said = format!(
        "{} untried, last {}: {number} beyond the number that may wait, {age} beyond the age",
        number + age,
        time(&overflow["lastAt"])
    );
    Cell::new(said, Style::Warn)
}

const LIST: Listing<'static, 5> = Listing {
    headings: [("endpoint", Side::Left), ("state", Side::Left), ("waiting", Side::Left), ("url", Side::Left), ("events", Side::Left)],
    row: &|endpoint| {
        [
            text(&endpoint["name"]).into(),
            life(endpoint),
            waiting(endpoint).into(),
            text(&endpoint["url"]).into(),
            text(&endpoint["events"]).into(),
        ]
    },
    none: "The application has no endpoint: its events are kept, and nobody is told.",
    hint: Some("Make one with: turnpike webhook set --url https://…"),
};

fn test(args: &Args, context: &Context, which: &Which) -> Result<(), Failure> {
    let gateway = context.gateway(&args.remote)?;
    let answer = gateway.ask(Ask::post(&which.path(&["test"]), &json!({})))?;
    let data = &answer.data;
    if context.out.json {
        context.out.data(data);
    } else {
        let outcome = match &data["status"] {
            Value::Null => Cell::new(text(&data["fault"]), Style::Bad),
            status => Cell::new(text(status), if data["ok"] == true { Style::Good } else { Style::Bad }),
        };
        context.out.record(&[
            ("Answered", outcome),
            ("After", format!("{} ms", text(&data["latencyMs"])).into()),
            ("Said", text(&data["answer"]).into()),
            ("Event", text(&data["eventId"]).into()),
        ]);
        if data["ok"] != true {
            context.out.hint("An endpoint takes an event by answering 2xx within 15 seconds.");
        }
    }
    if data["ok"] == true { Ok(()) } else { Err(Failure::Said) }
}

const DELIVERIES: Listing<'static, 7> = Listing {
    headings: [
        ("recorded (UTC)", Side::Left),
        ("state", Side::Left),
        ("event", Side::Left),
        ("tries", Side::Right),
        ("next (UTC)", Side::Left),
        ("endpoint", Side::Left),
        ("id", Side::Left),
    ],
    row: &|row| {
        [
            time(&row["at"]).into(),
            delivery_state(&row["state"]),
            text(&row["event"]).into(),
            text(&row["tries"]).into(),
            time(&row["nextAt"]).into(),
            text(&row["endpoint"]).into(),
            text(&row["id"]).into(),
        ]
    },
    none: "There is no such delivery.",
    hint: None,
};

fn delivery_state(state: &Value) -> Cell {
    let word = text(state);
    let style = match word.as_str() {
        "delivered" => Style::Good,
        "dead" | "dropped" => Style::Bad,
        _ => Style::Warn,
    };
    Cell::new(word, style)
}

fn attempts(context: &Context, delivery: &Value) {
    context.out.record(&[
        ("Event", Cell::new(text(&delivery["id"]), Style::Bold)),
        ("Kind", text(&delivery["event"]).into()),
        ("Endpoint", text(&delivery["endpoint"]).into()),
        ("State", delivery_state(&delivery["state"])),
        ("Recorded", time(&delivery["at"]).into()),
        ("Next try", time(&delivery["nextAt"]).into()),
        ("Message", text(&delivery["messageId"]).into()),
        ("Mode", text(&delivery["mode"]).into()),
    ]);
    let tries = rows(&delivery["attempts"]);
    if tries.is_empty() {
        return;
    }
    context.out.line("");
    let mut table = Table::new([("when (UTC)", Side::Left), ("answer", Side::Left), ("ms", Side::Right), ("said", Side::Left)]);
    for attempt in tries {
        let answer = match &attempt["status"] {
            Value::Null => Cell::new(text(&attempt["fault"]), Style::Bad),
            status => {
                Cell::new(text(status), if status.as_u64().is_some_and(|status| status / 100 == 2) { Style::Good } else { Style::Bad })
            }
        };
        let said: String = text(&attempt["answer"]).chars().take(80).collect();
        table.row([time(&attempt["at"]).into(), answer, text(&attempt["latencyMs"]).into(), said.into()]);
    }
    context.out.table(&table);
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command as Of};

    /// The body that a command would send.
    fn body(typed: &str) -> Result<Value, Failure> {
        let typed = Cli::try_parse_from(format!("turnpike webhook {typed}").split(' ')).expect("it can be understood");
        let Of::Webhook(args) = typed.command else { panic!("a command of this file") };
        match &args.command {
            Command::Set(endpoint) => endpoint.body(),
            Command::Replay { filter, .. } => filter.body(),
            _ => panic!("a command with events"),
        }
    }

    #[test]
    fn every_event_is_the_same_wish_whichever_way_it_is_typed() {
        for typed in ["set --event all", "set --all-events", "replay --from 2026-10-01 --event all"] {
            assert_eq!(body(typed).expect("it is a wish")["events"], json!("all"), "{typed}");
        }
        assert_eq!(body("set --event read --event messages").expect("a list")["events"], json!(["read", "messages"]));
        assert_eq!(body("set --ordered on").expect("no list")["events"], Value::Null);
        let both = body("set --event all --event read").expect_err("all and one of them");
        assert!(matches!(&both, Failure::Usage(said) if said.contains("--event all")), "{both:?}");
    }
}

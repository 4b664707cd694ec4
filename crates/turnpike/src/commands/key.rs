//! `turnpike key`: API keys of applications. A key's text is shown once, when it is made.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, THE_ONLY_ONE, count, rows, text, time};
use super::listing::Listing;
use super::org::put;
use crate::cli::Remote;
use crate::client::Ask;
use crate::config::parse_duration;
use crate::failure::Failure;
use crate::output::{Cell, Side, Style};

/// API keys of applications.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike key create --name shop-backend
  turnpike key create --sandbox --expires-in 30d
  turnpike key create --daily-spend 50.00 --allowed-market turkey --allowed-market germany
  turnpike key rotate 0199…  --overlap 24h")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key; its text is shown this once
    Create(Box<NewKey>),
    /// List an application's keys
    List(OfApp),
    /// End a key at once
    Revoke {
        /// The key's id, as `key list` shows it
        id: String,
    },
    /// Make a key like an old one, which goes on for a while
    Rotate {
        /// The old key's id, as `key list` shows it
        id: String,
        /// How long the old key goes on, in whole hours, at most 7d [default: 24h]
        #[arg(long, value_name = "TIME", value_parser = parse_duration)]
        overlap: Option<Duration>,
    },
}

/// The application whose keys or templates these are.
#[derive(Debug, ClapArgs)]
pub(super) struct OfApp {
    /// Application: its appId; may be left out where there is one
    #[arg(long)]
    pub(super) app: Option<String>,
}

impl OfApp {
    /// Its place in a path.
    pub(super) fn segment(&self) -> &str {
        self.app.as_deref().unwrap_or(THE_ONLY_ONE)
    }
}

#[derive(Debug, ClapArgs)]
struct NewKey {
    #[command(flatten)]
    app: OfApp,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// A key that reaches the built-in simulator only and spends play money
    #[arg(long)]
    sandbox: bool,
    /// It ends after this time, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires_in: Option<Duration>,
    /// Make so many, all alike
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "What it may do")]
struct Limits {
    /// Requests in any second [default: 80]
    #[arg(long, value_name = "NUMBER")]
    rate_per_second: Option<u32>,
    /// Requests in any sixty seconds [default: 4800]
    #[arg(long, value_name = "NUMBER")]
    rate_per_minute: Option<u32>,
    /// Messages a day (UTC)
    #[arg(long, value_name = "NUMBER")]
    daily_limit: Option<u32>,
    /// Sends under way at once
    #[arg(long, value_name = "NUMBER")]
    concurrency_limit: Option<u32>,
    /// Money a day (UTC), such as 50.00
    #[arg(long, value_name = "AMOUNT")]
    daily_spend: Option<String>,
    /// Market that it may send to, as `rates show --at DATE` lists them (repeatable)
    #[arg(long, value_name = "MARKET")]
    allowed_market: Vec<String>,
    /// Address or network that it may be used from (repeatable)
    #[arg(long, value_name = "NETWORK")]
    allowed_ip: Vec<String>,
    /// send, read, templates, webhooks or billing:read (repeatable) [default: all]
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Refuse free-form messages outside the customer service window
    #[arg(long)]
    enforce_window: bool,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Create(new) => create(args, context, new),
        Command::List(app) => context.list(&args.remote, Ask::get(&["applications", app.segment(), "api-keys"]), &LIST).map(drop),
        Command::Revoke { id } => {
            let Some(answer) = context.ask(&args.remote, Ask::delete(&["api-keys", id]))? else { return Ok(()) };
            context.out.line(format!("{} is revoked: nobody gets in with it any more.", shown(&answer.data)));
            Ok(())
        }
        Command::Rotate { id, overlap } => rotate(args, context, id, *overlap),
    }
}

fn create(args: &Args, context: &Context, new: &NewKey) -> Result<(), Failure> {
    let ask = Ask::post(&["applications", new.app.segment(), "api-keys"], &new.body());
    let Some(answer) = context.ask(&args.remote, ask)? else { return Ok(()) };
    let keys = if answer.data.is_array() { rows(&answer.data) } else { std::slice::from_ref(&answer.data) };
    if new.count.is_some() {
        // A list of keys is for programs: one a line and nothing else.
        keys.iter().for_each(|key| context.out.line(text(&key["key"])));
        return Ok(());
    }
    let Some(key) = keys.first() else { return Ok(()) };
    announce(context, key);
    Ok(())
}

fn rotate(args: &Args, context: &Context, id: &str, overlap: Option<Duration>) -> Result<(), Failure> {
    let hours = overlap.map(|overlap| overlap.as_secs() / 3_600);
    if overlap.is_some_and(|overlap| !overlap.as_millis().is_multiple_of(3_600_000)) {
        return Err(Failure::Usage("--overlap takes whole hours, such as 24h or 2d, or 0h to end the old key at once".to_owned()));
    }
    let mut body = json!({});
    put(&mut body, "overlapHours", hours);
    let Some(answer) = context.ask(&args.remote, Ask::post(&["api-keys", id, "rotate"], &body))? else { return Ok(()) };
    announce(context, &answer.data);
    context.out.line(match hours.unwrap_or(24) {
        0 => "The old key is revoked.".to_owned(),
        hours => format!("The old key goes on for {} beside it.", count(usize::try_from(hours).unwrap_or(usize::MAX), "hour", "hours")),
    });
    Ok(())
}

fn announce(context: &Context, key: &Value) {
    let mode = text(&key["mode"]);
    context.out.line(format!("Made a {mode} key for {}. Copy it now: it is shown this once.\n", text(&key["appId"])));
    context.out.line(format!("  {}\n", context.out.paint(Style::Bold, &text(&key["key"]))));
    context.out.record(&[
        ("Name", text(&key["name"]).into()),
        ("Id", text(&key["id"]).into()),
        ("Rate", format!("{} a second, {} a minute", text(&key["ratePerSecond"]), text(&key["ratePerMinute"])).into()),
        ("Daily limit", text(&key["dailyLimit"]).into()),
        ("Daily spend", text(&key["dailySpend"]).into()),
        ("At once", text(&key["concurrencyLimit"]).into()),
        ("Markets", text(&key["allowedMarkets"]).into()),
        ("Addresses", text(&key["allowedIps"]).into()),
        ("Scopes", text(&key["scopes"]).into()),
        ("Ends", time(&key["expiresAt"]).into()),
    ]);
}

const LIST: Listing<'static, 9> = Listing {
    headings: [
        ("key", Side::Left),
        ("name", Side::Left),
        ("mode", Side::Left),
        ("state", Side::Left),
        ("a second", Side::Right),
        ("a day", Side::Right),
        ("spend a day", Side::Right),
        ("made", Side::Left),
        ("id", Side::Left),
    ],
    row: &|row| {
        [
            shown(row).into(),
            text(&row["name"]).into(),
            text(&row["mode"]).into(),
            life(row),
            text(&row["ratePerSecond"]).into(),
            text(&row["dailyLimit"]).into(),
            text(&row["dailySpend"]).into(),
            time(&row["createdAt"]).into(),
            text(&row["id"]).into(),
        ]
    },
    none: "The application has no key yet.",
    hint: Some("Make one with: turnpike key create"),
};

fn life(row: &Value) -> Cell {
    match (&row["revokedAt"], &row["expiresAt"], &row["isActive"]) {
        (Value::String(_), _, _) => Cell::new(format!("revoked {}", time(&row["revokedAt"])), Style::Bad),
        (_, Value::String(_), Value::Bool(true)) => Cell::new(format!("until {}", time(&row["expiresAt"])), Style::Warn),
        (_, Value::String(_), _) => Cell::new(format!("ended {}", time(&row["expiresAt"])), Style::Bad),
        _ => Cell::new("active", Style::Good),
    }
}

/// How a key is recognised without showing it.
fn shown(row: &Value) -> String {
    format!("{}…{}", text(&row["prefix"]), text(&row["lastFour"]))
}

impl NewKey {
    fn body(&self) -> Value {
        let limits = &self.limits;
        let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
        let mut body = json!({"mode": if self.sandbox { "sandbox" } else { "live" }});
        put(&mut body, "name", self.name.as_deref());
        put(&mut body, "expiresInSeconds", self.expires_in.map(|time| time.as_secs()));
        put(&mut body, "count", self.count);
        put(&mut body, "ratePerSecond", limits.rate_per_second);
        put(&mut body, "ratePerMinute", limits.rate_per_minute);
        put(&mut body, "dailyLimit", limits.daily_limit);
        put(&mut body, "concurrencyLimit", limits.concurrency_limit);
        put(&mut body, "dailySpend", limits.daily_spend.as_deref());
        put(&mut body, "allowedMarkets", list(&limits.allowed_market));
        put(&mut body, "allowedIps", list(&limits.allowed_ip));
        put(&mut body, "scopes", list(&limits.scope));
        put(&mut body, "enforceWindow", limits.enforce_window.then_some(true));
        body
    }
}

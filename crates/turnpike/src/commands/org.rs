//! `turnpike org`: who pays, in which currency, with which markup.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, THE_ONLY_ONE, money, rows, text, time};
use super::listing::Listing;
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Side, Style};

/// Organizations and what they pay.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnpike org create Acme
  turnpike org create \"Acme Türkiye\" --currency USD --base-fee 0.001 --factor 1.05
  turnpike org prices --base-fee 0.002")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an organization with an empty wallet
    Create {
        /// Its unique name
        name: String,
        /// Currency of its wallet [default: USD]
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
        #[command(flatten)]
        markup: Markup,
    },
    /// List the organizations
    List,
    /// Show one organization with its wallets
    Show(WhichOrg),
    /// Set what an organization pays from now on
    #[command(after_help = "What is not given stays. Messages under way keep the price that they were admitted with.")]
    Prices {
        #[command(flatten)]
        org: WhichOrg,
        #[command(flatten)]
        markup: Markup,
    },
}

/// What is put on Meta's fee.
#[derive(Debug, ClapArgs)]
struct Markup {
    /// Our fee for every message, such as 0.001
    #[arg(long, value_name = "AMOUNT")]
    base_fee: Option<String>,
    /// What Meta's fee is multiplied with, such as 1.05
    #[arg(long, value_name = "FACTOR")]
    factor: Option<String>,
    /// What is added to Meta's fee, such as 0.0005
    #[arg(long, value_name = "AMOUNT")]
    fixed: Option<String>,
}

/// The organization that a command of this noun is about.
#[derive(Debug, ClapArgs)]
struct WhichOrg {
    /// Name or id; may be left out where there is one organization
    #[arg(value_name = "ORG")]
    named: Option<String>,
    /// The same as ORG
    #[arg(long, hide = true, conflicts_with = "named")]
    org: Option<String>,
}

impl WhichOrg {
    fn segment(&self) -> &str {
        self.named.as_deref().or(self.org.as_deref()).unwrap_or(THE_ONLY_ONE)
    }
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Create { name, currency, markup } => create(args, context, name, currency.as_deref(), markup),
        Command::List => context.list(&args.remote, Ask::get(&["organizations"]), &LIST).map(drop),
        Command::Show(org) => show(args, context, org),
        Command::Prices { org, markup } => set_prices(args, context, org, markup),
    }
}

fn create(args: &Args, context: &Context, name: &str, currency: Option<&str>, markup: &Markup) -> Result<(), Failure> {
    let mut body = json!({"name": name});
    put(&mut body, "currency", currency);
    markup.put(&mut body);
    let Some(answer) = context.ask_new_or_known(&args.remote, Ask::post(&["organizations"], &body))? else { return Ok(()) };
    context.out.line(format!("Made the organization {name}."));
    record(context, &answer.data);
    context.out.hint("Next: turnpike app create NAME, turnpike wallet top-up --amount 25.00");
    Ok(())
}

const LIST: Listing<'static, 7> = Listing {
    headings: [
        ("name", Side::Left),
        ("currency", Side::Left),
        ("base fee", Side::Right),
        ("factor", Side::Right),
        ("fixed", Side::Right),
        ("made", Side::Left),
        ("id", Side::Left),
    ],
    row: &|row| {
        [
            text(&row["name"]).into(),
            text(&row["currency"]).into(),
            text(&row["baseFee"]).into(),
            text(&row["factor"]).into(),
            text(&row["fixed"]).into(),
            time(&row["createdAt"]).into(),
            text(&row["id"]).into(),
        ]
    },
    none: "There is no organization yet.",
    hint: Some("Make one with: turnpike org create NAME"),
};

fn show(args: &Args, context: &Context, org: &WhichOrg) -> Result<(), Failure> {
    let Some(answer) = context.ask(&args.remote, Ask::get(&["organizations", org.segment()]))? else { return Ok(()) };
    record(context, &answer.data);
    Ok(())
}

fn set_prices(args: &Args, context: &Context, org: &WhichOrg, markup: &Markup) -> Result<(), Failure> {
    let mut body = json!({});
    markup.put(&mut body);
    if body == json!({}) {
        return Err(Failure::Usage("say what to change: --base-fee, --factor or --fixed".to_owned()));
    }
    let Some(answer) = context.ask(&args.remote, Ask::patch(&["organizations", org.segment()], &body))? else { return Ok(()) };
    context.out.line("New messages cost this from now on; those under way keep their price.");
    record(context, &answer.data);
    Ok(())
}

fn record(context: &Context, data: &Value) {
    let currency = &data["currency"];
    let available = |mode: &str| {
        let wallet = rows(&data["wallets"]).iter().find(|wallet| wallet["mode"] == mode);
        wallet.map(|wallet| super::wallet::available(wallet, currency)).unwrap_or_default()
    };
    context.out.record(&[
        ("Name", crate::output::Cell::new(text(&data["name"]), Style::Bold)),
        ("Id", text(&data["id"]).into()),
        ("Base fee", money(&data["baseFee"], currency).into()),
        ("On Meta's fee", format!("× {} + {}", text(&data["factor"]), money(&data["fixed"], currency)).into()),
        ("Applications", text(&data["applications"]).into()),
        ("Wallet", available("live").into()),
        ("Play wallet", available("sandbox").into()),
        ("Made", time(&data["createdAt"]).into()),
    ]);
}

impl Markup {
    fn put(&self, body: &mut Value) {
        put(body, "baseFee", self.base_fee.as_deref());
        put(body, "factor", self.factor.as_deref());
        put(body, "fixed", self.fixed.as_deref());
    }
}

/// Puts a member where there is a value.
pub(super) fn put(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[name] = value.into();
    }
}

//! `turnpike send`: one message through the public API, as a caller would send it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{ArgGroup, Args as ClapArgs};
use http::HeaderValue;
use serde_json::{Value, json};
use turnpike_domain::api_key::{ApiKeyText, KeyKind, Presented};

use super::api_key::KeyArgs;
use super::context::{Context, money, text};
use crate::cli::Remote;
use crate::client::Ask;
use crate::failure::Failure;
use crate::output::{Cell, Style};

/// Path of the public send route.
const SEND_PATH: &str = "/v1/wa/message";

/// Bytes of a message at most (contract §3.1): more would be refused anyway.
const BODY_MAX: u64 = 1024 * 1024;

/// Send one message.
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("what").required(true).args(["text", "template", "body"]))]
#[command(after_help = "\
Needs an API key: --key, --key-file, TURNPIKE_API_KEY, or in a folder of `turnpike demo` the demo's.

Examples:
  turnpike send --to 905321234567 --text \"Hello\"
  turnpike send --to 905321234567 --template order_update --language en_US --param Kim --param 42
  turnpike send --body message.json --idempotency-key order-42")]
pub(crate) struct Args {
    /// Recipient: digits with country code
    #[arg(long, value_name = "NUMBER", required_unless_present = "body")]
    to: Option<String>,
    /// A text message
    #[arg(long)]
    text: Option<String>,
    /// A template message: the template's name
    #[arg(long, value_name = "NAME", requires = "language")]
    template: Option<String>,
    /// The template's language, such as en_US
    #[arg(long, value_name = "CODE", requires = "template")]
    language: Option<String>,
    /// A variable of the template's body, in order, or as name=value (repeatable)
    #[arg(long, value_name = "VALUE", requires = "template")]
    param: Vec<String>,
    /// The whole message as JSON; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    body: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
    /// Check everything and send nothing
    #[arg(long)]
    fake: bool,
    /// The same key again sends nothing again and gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Does it.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let body = args.message()?;
    let gateway = context.gateway(&args.remote)?;
    if !gateway.runs() {
        let folder = gateway.folder().map(|folder| folder.display().to_string()).unwrap_or_default();
        return Err(Failure::Unreachable(format!(
            "no gateway runs on {folder}, and a message is only sent by one that runs. Start it with: turnpike serve --data {folder}"
        )));
    }
    let key = args.key.find(context, &gateway)?;
    let simulated = matches!(ApiKeyText::parse(key.expose()).map(Presented::kind), Some(KeyKind::Sandbox));
    let mut ask = Ask::public(SEND_PATH, body, key).with("is_fake", args.fake.then_some(true));
    if let Some(key) = &args.idempotency_key {
        let value =
            HeaderValue::try_from(key).map_err(|_| Failure::Usage("--idempotency-key takes visible ASCII characters only".to_owned()))?;
        ask = ask.header("Idempotency-Key", value);
    }
    let answer = gateway.ask(ask).map_err(where_to_look)?;
    if context.out.json {
        context.out.data(&answer.body);
        return Ok(());
    }
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let billing = &answer.body["billing"];
    let replayed = !header("Idempotent-Replayed").is_empty();
    context.out.line(match (args.fake, replayed) {
        (true, _) => "Checked; nothing was sent.",
        (false, true) => "Sent before under this Idempotency-Key; nothing was sent again.",
        (false, false) if simulated => "Sent to the built-in simulator; nothing reached WhatsApp.",
        (false, false) => "Sent: Meta took the message.",
    });
    context.out.record(&[
        ("Message", Cell::new(header("X-Message-Id"), Style::Bold)),
        ("Wamid", text(&answer.data["messages"][0]["id"]).into()),
        ("To", text(&answer.data["contacts"][0]["wa_id"]).into()),
        ("Base fee", money(&billing["baseFee"], &billing["currency"]).into()),
        ("Meta's fee held", money(&billing["metaFeeHeld"], &billing["currency"]).into()),
        ("Priced as", priced(billing).into()),
    ]);
    Ok(())
}

/// A message of unknown outcome is looked up, not sent again.
fn where_to_look(failure: Failure) -> Failure {
    match failure {
        Failure::Answered { status, errors, advice: None } => {
            let advice =
                errors["params"]["message_id"].as_str().map(|id| format!("See what becomes of it with: turnpike message show {id}"));
            Failure::Answered { status, errors, advice }
        }
        other => other,
    }
}

fn priced(billing: &Value) -> String {
    if billing.is_null() {
        return String::new();
    }
    format!("{}, {}, {}", text(&billing["category"]), text(&billing["market"]), text(&billing["rateCard"]))
}

impl Args {
    fn message(&self) -> Result<Bytes, Failure> {
        if let Some(path) = &self.body {
            return read_body(path);
        }
        let mut message = json!({"messaging_product": "whatsapp", "to": self.to.as_deref().map(|to| to.trim_start_matches('+'))});
        if let Some(text) = &self.text {
            message["type"] = json!("text");
            message["text"] = json!({"body": text});
        } else if let Some(name) = &self.template {
            message["type"] = json!("template");
            message["template"] = json!({"name": name, "language": {"code": self.language}});
            let parameters = parameters(&self.param)?;
            if !parameters.is_empty() {
                message["template"]["components"] = json!([{"type": "body", "parameters": parameters}]);
            }
        }
        Ok(Bytes::from(message.to_string()))
    }
}

fn read_body(path: &Path) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(BODY_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(BODY_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|problem| Failure::Usage(format!("the message {} cannot be read: {problem}", path.display())))?;
    Ok(Bytes::from(bytes))
}

/// `value` each in its order, or `name=value` each; a mixture cannot be meant.
fn parameters(given: &[String]) -> Result<Vec<Value>, Failure> {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: Vec<Option<(&str, &str)>> = given.iter().map(|text| text.split_once('=').filter(|(name, _)| is_name(name))).collect();
    if named.iter().all(Option::is_some) {
        let parameter = |(name, value): &(&str, &str)| json!({"type": "text", "parameter_name": name, "text": value});
        return Ok(named.iter().flatten().map(parameter).collect());
    }
    if named.iter().any(Option::is_some) {
        return Err(Failure::Usage("--param is either a value each, in order, or name=value each, not both in one message".to_owned()));
    }
    Ok(given.iter().map(|text| json!({"type": "text", "text": text})).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], expected: Value) {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(Value::Array(parameters(&given).expect("they are of one sort")), expected);
    }

    #[test]
    fn parameters_are_by_order_or_by_name() {
        check(&[], json!([]));
        check(&["Kim", "42"], json!([{"type": "text", "text": "Kim"}, {"type": "text", "text": "42"}]));
        check(&["first_name=Kim"], json!([{"type": "text", "parameter_name": "first_name", "text": "Kim"}]));
        check(&["1=2"], json!([{"type": "text", "text": "1=2"}]));
        assert!(parameters(&["a=1".to_owned(), "2".to_owned()]).is_err());
    }
}

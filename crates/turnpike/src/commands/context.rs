//! What every command is given, and how it reads an answer's JSON.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::Remote;
use crate::client::{Answer, Ask, Folder, Gateway};
use crate::config::Environment;
use crate::failure::Failure;
use crate::output::{Cell, Out, Style};

/// In a path, "the only one there is".
pub(crate) const THE_ONLY_ONE: &str = "-";

/// What was typed beside the command itself.
pub(crate) struct Context {
    /// The flag `--data`.
    pub(crate) data: Option<PathBuf>,
    /// The environment.
    pub(crate) environment: Environment,
    /// Where the answer goes.
    pub(crate) out: Out,
}

impl Context {
    /// The gateway that the command works on. A folder that is no gateway's is refused, and not made.
    pub(crate) fn gateway(&self, remote: &Remote) -> Result<Gateway, Failure> {
        Gateway::find(self.data.as_deref(), remote, &self.environment, Folder::Known)
    }

    /// Asks one thing. With `--json` the answer is printed, and `None` comes back.
    pub(crate) fn ask(&self, remote: &Remote, ask: Ask) -> Result<Option<Answer>, Failure> {
        self.answered(&self.gateway(remote)?, ask)
    }

    /// The same for the command that a gateway begins with: where there is none, its folder is made.
    pub(crate) fn ask_new_or_known(&self, remote: &Remote, ask: Ask) -> Result<Option<Answer>, Failure> {
        self.answered(&Gateway::find(self.data.as_deref(), remote, &self.environment, Folder::NewOrKnown)?, ask)
    }

    fn answered(&self, gateway: &Gateway, ask: Ask) -> Result<Option<Answer>, Failure> {
        let answer = gateway.ask(ask)?;
        if self.out.json {
            self.out.data(&answer.data);
            return Ok(None);
        }
        Ok(Some(answer))
    }

    /// Asks the person at the terminal; without one there is nobody to ask.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Failure> {
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Usage("there is no terminal to ask on; say --yes to go ahead without being asked".to_owned()));
        }
        eprint!("{question} [y/N] ");
        let mut typed = String::new();
        let read = std::io::stderr().flush().and_then(|()| std::io::stdin().lock().read_line(&mut typed));
        read.map_err(|problem| Failure::Usage(format!("your answer cannot be read: {problem}")))?;
        Ok(matches!(typed.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// A member as text: nothing for null, the plain value for numbers and flags.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// An instant as people read it: `2026-11-22 14:18:51`, UTC.
pub(crate) fn time(value: &Value) -> String {
    let text = text(value);
    match text.split_once('T') {
        Some((date, clock)) if clock.len() >= 8 && clock.is_char_boundary(8) => format!("{date} {}", &clock[..8]),
        _ => text,
    }
}

/// `yes` or `no`.
pub(crate) fn yes_no(value: &Value) -> &'static str {
    if value == true { "yes" } else { "no" }
}

/// An amount with its currency.
pub(crate) fn money(amount: &Value, currency: &Value) -> String {
    match text(amount) {
        amount if amount.is_empty() => amount,
        amount => format!("{amount} {}", text(currency)),
    }
}

/// A state in the colour of what it means.
pub(crate) fn state(value: &Value) -> Cell {
    let word = text(value);
    let style = match word.as_str() {
        "ACTIVATED" | "APPROVED" | "accepted" | "sent" | "delivered" | "read" | "played" => Style::Good,
        "SUSPENDED" | "REJECTED" | "DISABLED" | "refused" | "failed" => Style::Bad,
        "DRAFT" | "PAUSED" | "PENDING" | "unknown" | "admitted" | "presumed_not_sent" => Style::Warn,
        _ => Style::Plain,
    };
    Cell::new(word, style)
}

/// The rows of a list.
pub(crate) fn rows(data: &Value) -> &[Value] {
    data.as_array().map_or(&[], Vec::as_slice)
}

/// `1 key`, `2 keys`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_short_and_odd_ones_are_shown_as_they_are() {
        assert_eq!(time(&json!("2026-11-22T14:18:51.123Z")), "2026-11-22 14:18:51");
        assert_eq!(time(&json!(null)), "");
        assert_eq!(time(&json!("soon")), "soon");
    }

    #[test]
    fn members_become_text_whatever_they_are() {
        assert_eq!(text(&json!(null)), "");
        assert_eq!(text(&json!(["US", "TR"])), "US, TR");
        assert_eq!(text(&json!(80)), "80");
        assert_eq!(money(&json!("9.50"), &json!("USD")), "9.50 USD");
    }
}

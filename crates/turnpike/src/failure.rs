//! Why a command did not do what it was asked, and with which exit code it says so.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};

/// A command's bad end. Its text says what happened and what to do next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was typed cannot be meant: exit code 2.
    Usage(String),
    /// A rule says no, or a check failed: exit code 1.
    Refused(String),
    /// A check failed and its result was printed already: exit code 1.
    Said,
    /// Nobody answers, or not now: exit code 3.
    Unreachable(String),
    /// There is no such thing: exit code 4.
    NotFound(String),
    /// The gateway's own error, as it was answered; the exit code goes by its status.
    Answered {
        /// HTTP status.
        status: u16,
        /// Its `errors` object.
        errors: Value,
        /// What to do next, where we know better than the gateway.
        advice: Option<String>,
    },
}

impl Failure {
    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    fn number(&self) -> u8 {
        match self {
            Failure::Refused(_) | Failure::Said => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 3,
            Failure::NotFound(_) => 4,
            // Meta's no is a no, whatever its status makes of it.
            Failure::Answered { errors, .. } if errors["code"] == "GW_001" => 1,
            Failure::Answered { status, .. } => match status {
                400 | 405 | 411 | 413..=415 | 431 => 2,
                404 => 4,
                500.. => 3,
                _ => 1,
            },
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Failure::Answered { status, errors, advice: Some(advice) } => {
                json!({"exitCode": self.number(), "status": status, "errors": errors, "advice": advice})
            }
            Failure::Answered { status, errors, advice: None } => json!({"exitCode": self.number(), "status": status, "errors": errors}),
            other => json!({"exitCode": self.number(), "errors": {"description": other.to_string()}}),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(text) | Failure::Refused(text) | Failure::Unreachable(text) | Failure::NotFound(text) => f.write_str(text),
            Failure::Said => Ok(()),
            Failure::Answered { errors, advice, .. } => {
                show_errors(f, errors)?;
                advice.iter().try_for_each(|advice| write!(f, "\n{advice}"))
            }
        }
    }
}

/// The gateway's sentence, with the fields that it names. One field alone is its own sentence.
fn show_errors(f: &mut fmt::Formatter<'_>, errors: &Value) -> fmt::Result {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let fields: Vec<(String, String)> =
        errors["params"]["fields"].as_array().into_iter().flatten().map(|field| (text(&field["path"]), text(&field["problem"]))).collect();
    let one = |(path, problem): &(String, String)| if path.is_empty() { problem.clone() } else { format!("{path} {problem}") };
    match fields.as_slice() {
        [] => {
            f.write_str(&text(&errors["description"]))?;
            let meta = &errors["params"]["meta"];
            let hint = ["hint", "title"].iter().find_map(|key| meta[*key].as_str().or_else(|| errors["params"][*key].as_str()));
            hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
        }
        [only] => f.write_str(&one(only)),
        many => {
            f.write_str(&text(&errors["description"]))?;
            many.iter().try_for_each(|field| write!(f, "\n  {}", one(field)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, errors: Value) -> Failure {
        Failure::Answered { status, errors, advice: None }
    }

    #[test]
    fn exit_codes_tell_the_sorts_of_failure_apart() {
        for (status, code) in [(400, 2), (401, 1), (402, 1), (404, 4), (409, 1), (422, 1), (429, 1), (500, 3), (503, 3), (504, 3)] {
            assert_eq!(answered(status, json!({})).number(), code, "{status}");
        }
        let others = [Failure::Refused(String::new()), Failure::Usage(String::new()), Failure::Unreachable(String::new())];
        assert_eq!(others.map(|failure| failure.number()), [1, 2, 3]);
        assert_eq!(Failure::NotFound(String::new()).number(), 4);
        assert_eq!(answered(502, json!({"code": "GW_001"})).number(), 1);
        assert_eq!(answered(502, json!({"code": "GW_002"})).number(), 3);
    }

    #[test]
    fn one_wrong_field_is_a_sentence_and_several_are_a_list() {
        let one = json!({"description": "Some fields are wrong; each is named.", "params": {"fields": [{"path": "amount", "problem": "must not be 0"}]}});
        assert_eq!(answered(400, one).to_string(), "amount must not be 0");
        let two = json!({"description": "Some fields are wrong; each is named.", "params": {"fields": [
            {"path": "amount", "problem": "must not be 0"}, {"path": "", "problem": "is too large"}]}});
        assert_eq!(answered(400, two).to_string(), "Some fields are wrong; each is named.\n  amount must not be 0\n  is too large");
    }
}

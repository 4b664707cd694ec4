//! How a no looks, and which codes a route can answer (contract §2, §3.4): made from the catalogue, as
//! the answers themselves are.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value, json};
use turnpike_domain::refusal::LimitKind;

use super::schema::{amount, any_integer, flag, list, object, said, string, time, word};
use crate::error::{CATALOGUE, ERRORS_PAGE, ErrorDoc, document};

/// Where refusals are kept in the document.
const COMPONENTS: &str = "#/components/responses/";

/// Codes of the operator's routes, and the one that only operators meet.
pub(super) fn is_for_operators(document: &ErrorDoc) -> bool {
    document.code.starts_with("MGMT_") || document.code == "WH_004"
}

/// Adds the schema of every answer that is not a success.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    let known: Vec<&str> = CATALOGUE.iter().filter(|document| !is_for_operators(document)).map(|document| document.code).collect();
    let code = format!("Branch on it. New codes may appear; known are {}.", known.join(", "));
    let errors = object()
        .with("code", said(json!({"type": "string", "pattern": "^[A-Z]+_[0-9]{3}$"}), &code))
        .with("group", said(string(), "The name of the HTTP status, in capitals."))
        .with("description", said(string(), "For people; may be reworded."))
        .seldom("params", params())
        .with("doc", said(string(), &format!("What happened and what to do: a section of {ERRORS_PAGE} on the same gateway.")))
        .schema();
    let failure = object().with("isSuccess", json!({"const": false})).with("errors", errors).schema();
    schemas.insert("Failure".to_owned(), failure);
}

/// The members of `errors.params`; each code has its own.
fn params() -> Value {
    let sent = "Of a send or a check: `no` means that no message went out and nothing was charged, `unknown` that it may have.";
    let retryable =
        "Of a send or a check: whether the very same request can succeed if it is sent again, without the danger of a second message.";
    let params = object().seldom("sent", said(word(&["no", "unknown"]), sent)).seldom("retryable", said(flag(), retryable));
    let documented = CATALOGUE.iter().filter(|document| !is_for_operators(document)).flat_map(|document| {
        let code = document.code;
        document.params.iter().map(move |(name, meaning)| (*name, format!("{code}: {meaning}")))
    });
    let mut meanings: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for (name, meaning) in documented {
        meanings.entry(name).or_default().push(meaning);
    }
    meanings.into_iter().fold(params, |params, (name, meanings)| params.seldom(name, said(param(name), &meanings.join("\n\n")))).schema()
}

/// The shape of one of them.
fn param(name: &str) -> Value {
    match name {
        "limit_type" => {
            let kinds = [
                LimitKind::Second,
                LimitKind::Minute,
                LimitKind::Day,
                LimitKind::Concurrency,
                LimitKind::Number,
                LimitKind::Pair,
                LimitKind::Spend,
                LimitKind::Address,
            ];
            word(&kinds.map(LimitKind::as_str))
        }
        "retry_after" => json!({"type": "string", "pattern": "^[0-9]+s$"}),
        "required" | "available" => amount(),
        "fields" => list(object().with("path", string()).with("problem", string()).schema(), 1..=usize::MAX),
        "retry_after_ms" | "line" | "column" | "limit" | "code" | "subcode" => any_integer(),
        "window_closed_at" => time(),
        "message_id" => json!({"type": "string", "format": "uuid"}),
        _ => string(),
    }
}

/// The answers with these codes, by status.
pub(super) fn responses(codes: &[&str], has_key: bool) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for document in codes.iter().map(|code| document(code)) {
        for status in document.http {
            by_status.entry(*status).or_default().push(format!("`{}` {}", document.code, document.title));
        }
    }
    let response = |(status, codes): (u16, Vec<String>)| {
        let reference = format!("{COMPONENTS}{}", name_of(status, has_key));
        (status.to_string(), json!({"$ref": reference, "description": codes.join("; ")}))
    };
    by_status.into_iter().map(response).collect()
}

/// What [`responses`] referred to in these paths: one answer for each status, with and without a key.
pub(super) fn components(paths: &Map<String, Value>) -> Map<String, Value> {
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    let referred: BTreeSet<&str> = operations
        .filter_map(|operation| operation["responses"].as_object())
        .flat_map(Map::values)
        .filter_map(|response| response["$ref"].as_str()?.strip_prefix(COMPONENTS))
        .collect();
    let statuses: BTreeSet<u16> = CATALOGUE.iter().flat_map(|document| document.http).copied().collect();
    statuses
        .into_iter()
        .flat_map(|status| [(status, true), (status, false)])
        .filter(|(status, has_key)| referred.contains(name_of(*status, *has_key).as_str()))
        .map(|(status, has_key)| (name_of(status, has_key), response(status, has_key)))
        .collect()
}

fn name_of(status: u16, has_key: bool) -> String {
    format!("{}{status}", if has_key { "KeysRefusal" } else { "Refusal" })
}

fn response(status: u16, has_key: bool) -> Value {
    let mut headers = super::headers::of_every_answer();
    let own = match status {
        401 => Some("WWW-Authenticate"),
        405 => Some("Allow"),
        409 | 429 | 503 => Some("Retry-After"),
        _ => None,
    };
    headers.extend(own.map(|name| (name.to_owned(), super::headers::named(name))));
    // A wrong key hears nothing of limits.
    if has_key && status != 401 {
        headers.extend(super::headers::of_limits());
    }
    // These speak of a message that was stored, and some of them are kept answers.
    if has_key && ["GW_001", "GW_002", "GW_003"].iter().any(|code| document(code).http.contains(&status)) {
        headers.extend(super::headers::listed(&["X-Message-Id", "Idempotent-Replayed"]));
    }
    json!({
        "description": crate::error::group(StatusCode::from_u16(status).unwrap_or_default()),
        "headers": headers,
        "content": {"application/json": {"schema": super::schema::named("Failure")}},
    })
}

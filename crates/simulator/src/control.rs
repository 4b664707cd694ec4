//! `/_sim`: the simulator's own routes, for tests in any language.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /_sim/health` | `{"status":"ok"}` once we serve |
//! | `GET /_sim/requests?limit=` | the newest requests, oldest first (default 100, no cap) |
//! | `GET /_sim/requests?count=true` | `{"count": n}` |
//! | `DELETE /_sim/requests` | forgets the record |
//! | `POST /_sim/script` | sets a rule, an array of rules, or `{"rules": […]}`; answers `{"ids": […]}` |
//! | `GET /_sim/script` | the rules that are set, with what they struck |
//! | `DELETE /_sim/script`, `/_sim/script/{id}` | takes all rules back, or one |
//! | `GET /_sim/behaviours` | the named behaviours and their recipients |
//!
//! None of them is recorded, and no rule strikes them.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::exchange::{Answer, Head, World};
use crate::faults::{Behaviour, magic};
use crate::script::Rule;

/// Requests shown when no limit is asked for.
const REQUESTS_DEFAULT: usize = 100;

/// One rule, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rules {
    Many(Vec<Value>),
    Named { rules: Vec<Value> },
    One(Value),
}

/// Answers a call under `/_sim`.
pub(crate) async fn answer(world: &World, head: &Head, body: &[u8]) -> Answer {
    let path = head.path.trim_start_matches("/_sim").trim_end_matches('/');
    match (head.method.as_str(), path) {
        ("GET", "/health") => json_answer(200, &json!({"status": "ok"})),
        ("GET", "/requests") => requests(world, &head.query),
        ("DELETE", "/requests") => match world.record.clear().await {
            Ok(()) => json_answer(200, &json!({"success": true})),
            Err(error) => refusal(500, &error.to_string()),
        },
        ("POST", "/script") => set_rules(world, body),
        ("GET", "/script") => json_answer(200, &json!({"rules": world.script.rules()})),
        ("DELETE", "/script") => {
            world.script.clear();
            json_answer(200, &json!({"success": true}))
        }
        ("DELETE", path) if path.starts_with("/script/") => {
            let removed = path.strip_prefix("/script/").and_then(|id| id.parse().ok()).is_some_and(|id| world.script.remove(id));
            if removed { json_answer(200, &json!({"success": true})) } else { refusal(404, "no rule of this id is set") }
        }
        ("GET", "/behaviours") => json_answer(200, &behaviours()),
        (_, "/health" | "/requests" | "/script" | "/behaviours") => refusal(405, "this route has no such method"),
        _ => refusal(404, "no such route; see `turnpike simulator --help`"),
    }
}

fn requests(world: &World, query: &str) -> Answer {
    let mut limit = REQUESTS_DEFAULT;
    let mut count = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("count", "true" | "1") => count = true,
            ("count", "false" | "0") => count = false,
            ("limit", value) => match value.parse() {
                Ok(asked) => limit = asked,
                Err(_) => return refusal(400, "limit: must be a whole number, 0 or more"),
            },
            _ => return refusal(400, &format!("{name}: no such parameter, or not with this value")),
        }
    }
    if count {
        return json_answer(200, &json!({"count": world.record.count()}));
    }
    match world.record.newest_json(limit) {
        Ok(json) => framed(200, json),
        Err(error) => refusal(500, &error.to_string()),
    }
}

fn set_rules(world: &World, body: &[u8]) -> Answer {
    let rules = match serde_json::from_slice::<Rules>(body) {
        Ok(Rules::Many(rules) | Rules::Named { rules }) => rules,
        Ok(Rules::One(rule)) => vec![rule],
        Err(error) => return refusal(400, &format!("the body must be JSON: {error}")),
    };
    let parsed: Result<Vec<Rule>, String> = rules
        .into_iter()
        .enumerate()
        .map(|(n, rule)| serde_json::from_value(rule).map_err(|error| format!("rules[{n}]: {error}")))
        .collect();
    match parsed {
        Ok(rules) => match world.script.add(rules) {
            Ok(ids) => json_answer(201, &json!({"ids": ids})),
            Err(error) => refusal(400, &error.to_string()),
        },
        Err(error) => refusal(400, &error),
    }
}

fn behaviours() -> Value {
    Behaviour::all_named()
        .iter()
        .map(|named| {
            json!({
                "name": named.name,
                "number": named.number,
                "summary": named.summary,
                "behaviour": named.behaviour,
                "recipient": magic::recipient_for_name(named.name),
                "recorded": named.behaviour.is_recorded(),
            })
        })
        .collect()
}

fn refusal(status: u16, why: &str) -> Answer {
    json_answer(status, &json!({"error": why}))
}

fn json_answer(status: u16, value: &Value) -> Answer {
    framed(status, value.to_string().into_bytes())
}

fn framed(status: u16, body: Vec<u8>) -> Answer {
    let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned()), ("cache-control", "no-store".to_owned())];
    Answer { status, headers, body, wamid: None }
}

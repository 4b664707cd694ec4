//! Headers of requests and of answers (contract §2, §3, §3.3, §4).

use serde_json::{Map, Value, json};

use super::schema::{any_integer, said, string, word};

/// Headers of answers, by name: what they say, and their shape.
fn all() -> [(&'static str, &'static str, Value); 15] {
    let windows = "Both windows in one, as the IETF's draft has it.";
    [
        ("X-Request-Id", "The request's id: your own, where you sent one. Quote it when you report a problem.", string()),
        ("X-Message-Id", "The gateway's id of the message, a UUID v7.", json!({"type": "string", "format": "uuid"})),
        ("Idempotent-Replayed", "This answer was kept, and is given again: nothing was sent or charged now.", word(&["true"])),
        ("X-Gateway-Mode", "On everything that is not live.", word(&["sandbox", "fake"])),
        ("X-RateLimit-sec-Limit", "Requests that the key may make in any span of one second.", any_integer()),
        ("X-RateLimit-sec-Remaining", "What is left of them now.", any_integer()),
        ("X-RateLimit-sec-Reset", "Seconds until the next slot frees.", any_integer()),
        ("X-RateLimit-min-Limit", "Requests that the key may make in any span of sixty seconds.", any_integer()),
        ("X-RateLimit-min-Remaining", "What is left of them now.", any_integer()),
        ("X-RateLimit-min-Reset", "Seconds until the next slot frees.", any_integer()),
        ("RateLimit-Policy", windows, string()),
        ("RateLimit", windows, string()),
        ("Retry-After", "Seconds to wait before the request is worth repeating.", any_integer()),
        ("WWW-Authenticate", "How to authenticate.", word(&["Bearer"])),
        ("Allow", "The methods that the route knows.", string()),
    ]
}

/// Headers of answers for the document's components.
pub(super) fn components() -> Map<String, Value> {
    all().into_iter().map(|(name, words, schema)| (name.to_owned(), json!({"description": words, "schema": schema}))).collect()
}

/// One of the components.
pub(super) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// These headers, as an answer lists them.
pub(super) fn listed(names: &[&str]) -> Map<String, Value> {
    names.iter().map(|name| ((*name).to_owned(), named(name))).collect()
}

/// What every answer bears.
pub(super) fn of_every_answer() -> Map<String, Value> {
    listed(&["X-Request-Id"])
}

/// What every answer to a valid key bears.
pub(super) fn of_limits() -> Map<String, Value> {
    let windows =
        all().into_iter().map(|(name, _, _)| name).filter(|name| name.starts_with("X-RateLimit-") || name.starts_with("RateLimit"));
    let names: Vec<&str> = windows.chain(["X-Gateway-Mode"]).collect();
    listed(&names)
}

/// `Idempotency-Key` of a request.
pub(super) fn idempotency_key(is_required: bool, words: &str) -> Value {
    let schema = json!({"type": "string", "pattern": "^[!-~]{1,255}$"});
    json!({"name": "Idempotency-Key", "in": "header", "required": is_required, "description": words, "schema": schema})
}

/// Any other header of a request.
pub(super) fn asked(name: &str, words: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "description": words, "schema": schema})
}

/// `X-Request-Id` and `traceparent`, which every request may bear.
pub(super) fn of_every_request() -> [Value; 2] {
    let trace = said(json!({"type": "string"}), "W3C Trace Context");
    [
        asked("X-Request-Id", "Your own id of the request; the answer and the gateway's log bear it.", string()),
        asked("traceparent", "Passed on to Meta and into the log.", trace),
    ]
}

//! The API's description and the gateway agree: every answer that any of these tests gets, and every
//! delivery that an endpoint of theirs receives, is held against docs/openapi.json.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan};
use crate::receiver::Received;

/// The committed document.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../docs/openapi.json")).expect("the document is JSON"));

/// What is said of one answer or delivery.
struct Told {
    /// What its JSON must fit; `None` where it is none.
    body: Option<Validator>,
    /// Names of headers, in lower case.
    headers: Vec<String>,
}

/// Answers by method, path and status.
static ANSWERS: LazyLock<HashMap<(String, String, String), Told>> = LazyLock::new(|| {
    let mut told = HashMap::new();
    for (path, item) in members(&DOCUMENT["paths"]) {
        for (method, operation) in members(item) {
            for (status, response) in members(&operation["responses"]) {
                told.insert((method.to_uppercase(), path.clone(), status.clone()), told_of_answer(followed(response)));
            }
        }
    }
    told
});

/// Deliveries by the kind of event.
static DELIVERIES: LazyLock<HashMap<String, Told>> = LazyLock::new(|| {
    members(&DOCUMENT["webhooks"])
        .iter()
        .map(|(kind, item)| {
            let body = validator(&item["post"]["requestBody"]["content"]["application/json"]["schema"]);
            let parameters = item["post"]["parameters"].as_array().expect("headers");
            let headers = parameters.iter().map(|header| header["name"].as_str().expect("a name").to_lowercase()).collect();
            (kind.clone(), Told { body: Some(body), headers })
        })
        .collect()
});

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("the document has an object here")
}

fn followed(value: &Value) -> &Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).expect("a reference leads somewhere"),
        None => value,
    }
}

fn validator(schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = DOCUMENT["components"].clone();
    jsonschema::draft202012::new(&whole).expect("a schema")
}

fn told_of_answer(response: &Value) -> Told {
    let json = &response["content"]["application/json"]["schema"];
    let headers = members(&response["headers"]).keys().map(|name| name.to_lowercase()).collect();
    Told { body: (!json.is_null()).then(|| validator(json)), headers }
}

/// Headers of ours, which a client's author learns of from the document alone.
fn is_ours(name: &str) -> bool {
    ["x-", "ratelimit", "webhook-"].iter().any(|prefix| name.starts_with(prefix))
        || ["idempotent-replayed", "retry-after", "allow", "www-authenticate"].contains(&name)
}

/// The path of the document that a request's path is one of.
fn pattern_of(path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let paths = members(&DOCUMENT["paths"]);
    if paths.contains_key(path) {
        return Some(path.to_owned());
    }
    let is_of = |pattern: &&String| pattern.strip_suffix("{id}").is_some_and(|base| path.len() > base.len() && path.starts_with(base));
    paths.keys().find(is_of).cloned()
}

/// Holds an answer against the document; what is no route of the document's is not its business.
pub(crate) fn hold_answer(method: &Method, path: &str, answer: &Answer) {
    let Some(pattern) = pattern_of(path) else { return };
    // A HEAD is a GET whose body stays away.
    let (method, has_body) = if method == Method::HEAD { (&Method::GET, false) } else { (method, true) };
    let what = format!("{method} {path}: {}", answer.summary());
    let Some(told) = ANSWERS.get(&(method.to_string(), pattern.clone(), answer.status.to_string())) else {
        let has_method = ANSWERS.keys().any(|(known, path, _)| known == method.as_str() && *path == pattern);
        assert!(!has_method && answer.status == 405, "the document knows no such answer: {what}");
        return;
    };
    if let Some(body) = told.body.as_ref().filter(|_| has_body) {
        fits(body, &answer.json(), &what);
    }
    for name in answer.headers.keys().map(http::HeaderName::as_str).filter(|name| is_ours(name)) {
        let is_known = told.headers.iter().any(|known| known == name) || name == "x-content-type-options";
        assert!(is_known, "the document does not know the header {name} of {what}");
    }
}

/// Holds a delivery against the document.
pub(crate) fn hold_delivery(received: &Received) {
    let Some(kind) = received.headers.get("x-gateway-event") else { return };
    let told = DELIVERIES.get(kind).unwrap_or_else(|| panic!("the document knows no event {kind}"));
    let what = format!("{kind}: {}", received.body);
    fits(told.body.as_ref().expect("every event has a body"), &received.json(), &what);
    for name in received.headers.keys().filter(|name| is_ours(name)) {
        assert!(told.headers.contains(name), "the document does not know the header {name} of {what}");
    }
}

fn fits(schema: &Validator, body: &Value, what: &str) {
    let problems: Vec<String> = schema.iter_errors(body).map(|problem| format!("{}: {problem}", problem.instance_path())).collect();
    assert!(problems.is_empty(), "the document says otherwise: {problems:#?}\n{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_gateway_serves_the_committed_document_to_everybody() {
    let house = House::open(Plan::default()).await;
    let answer = house.api.call(Ask::get("/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), *DOCUMENT);
    assert_eq!(answer.json()["openapi"], json!("3.1.0"));
    let head = house.api.call(Ask::new(Method::HEAD, "/openapi.json")).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}

/// The guard itself can fail: what is not so is seen.
#[test]
fn an_answer_of_another_shape_would_be_seen() {
    let answer = |status: u16, body: Value| Answer { status, headers: http::HeaderMap::new(), body: body.to_string().into() };
    let is_held = |answer: &Answer| std::panic::catch_unwind(|| hold_answer(&Method::GET, "/v1/wa/message/wamid.a/b", answer)).is_ok();
    let refusal =
        json!({"isSuccess": false, "errors": {"code": "REQ_005", "group": "NOT_FOUND", "description": "x", "doc": "/docs/errors#req_005"}});
    assert!(is_held(&answer(404, refusal.clone())));
    assert!(!is_held(&answer(418, refusal.clone())));
    assert!(!is_held(&answer(404, json!({"isSuccess": false, "errors": []}))));
    assert!(!is_held(&answer(200, json!({"isSuccess": true, "data": {}}))));
    let mut with_header = answer(404, refusal);
    with_header.headers.insert("x-new", http::HeaderValue::from_static("1"));
    assert!(!is_held(&with_header));
}

//! The `paths` section: the messaging API, Meta's webhook, and the operations routes (contract §1).

use serde_json::{Map, Value, json};
use turnpike_domain::webhook::EventKind;

use super::answers::answer;
use super::headers::{asked, idempotency_key, listed, of_every_answer, of_every_request, of_limits};
use super::refusals::responses;
use super::schema::{filled, named, object, string};

/// What any request with a key may hear.
const OF_A_KEY: [&str; 13] = [
    "AUTH_001", "AUTH_002", "AUTH_003", "AUTH_004", "AUTH_005", "AUTH_006", "RATE_001", "REQ_002", "REQ_006", "REQ_008", "BILL_002",
    "GW_004", "SYS_001",
];

/// What a body adds.
const OF_A_BODY: [&str; 4] = ["REQ_001", "REQ_003", "REQ_004", "REQ_007"];

/// What a message adds before it is sent.
const OF_A_MESSAGE: [&str; 5] = ["BILL_001", "POL_001", "POL_002", "GW_001", "GW_002"];

/// One operation as it is put together.
struct Operation {
    value: Value,
    codes: Vec<&'static str>,
    has_key: bool,
}

/// All paths.
pub(super) fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    let mut put = |path: &str, operations: Vec<(&str, Operation)>| {
        let item = operations.into_iter().map(|(method, operation)| (method.to_owned(), operation.finished()));
        paths.insert(path.to_owned(), Value::Object(item.collect()));
    };
    put("/v1/wa/message", vec![("post", send()), ("get", look_up_by_key())]);
    put("/v1/wa/message/check", vec![("post", check())]);
    put("/v1/wa/message/{id}", vec![("get", look_up())]);
    put("/v1/wa/media", vec![("post", upload())]);
    put("/v1/wa/media/{id}", vec![("get", download()), ("delete", delete_file())]);
    put("/v1/wa/events", vec![("get", events())]);
    put("/v1/wa/me", vec![("get", me())]);
    put("/v1/meta/webhook", vec![("get", handshake()), ("post", intake())]);
    put("/livez", vec![("get", page("livez", "Whether the process lives", "text/plain", &[]))]);
    put("/healthz", vec![("get", page("healthz", "The same as `/livez`", "text/plain", &[]))]);
    put("/readyz", vec![("get", page("readyz", "Whether sends can be taken", "text/plain", &["GW_004"]))]);
    put("/metrics", vec![("get", page("metrics", METRICS, "application/openmetrics-text", &["REQ_005"]))]);
    put("/docs/errors", vec![("get", page("errors", "What each error code means and what to do", "text/html", &[]))]);
    put("/openapi.json", vec![("get", page("openapi", "This document", "application/json", &[]))]);
    paths
}

const METRICS: &str = "Metrics for Prometheus; to callers on the gateway's own machine, unless it is configured otherwise";

impl Operation {
    fn new(id: &str, tag: &str, summary: &str) -> Operation {
        let value = json!({"operationId": id, "tags": [tag], "summary": summary, "parameters": of_every_request(), "responses": {}});
        Operation { value, codes: Vec::new(), has_key: false }
    }

    /// One of the messaging API.
    fn of_a_key(id: &str, tag: &str, summary: &str) -> Operation {
        let operation = Operation { has_key: true, ..Operation::new(id, tag, summary) };
        operation.codes(&OF_A_KEY)
    }

    fn about(mut self, words: &str) -> Operation {
        self.value["description"] = json!(words);
        self
    }

    fn codes(mut self, codes: &[&'static str]) -> Operation {
        self.codes.extend_from_slice(codes);
        self
    }

    fn without_key(mut self, security: Value) -> Operation {
        self.value["security"] = security;
        self
    }

    fn asks(mut self, parameter: Value) -> Operation {
        if let Some(parameters) = self.value["parameters"].as_array_mut() {
            parameters.push(parameter);
        }
        self
    }

    fn takes(mut self, content_type: &str, content: Value) -> Operation {
        self.value["requestBody"] = json!({"required": true, "content": {content_type: content}});
        self
    }

    /// A 200 with this content and, beside what all have, these headers.
    fn answers(mut self, words: &str, content_type: &str, schema: Value, names: &[&str]) -> Operation {
        let mut headers = of_every_answer();
        if self.has_key {
            headers.extend(of_limits());
        }
        headers.extend(listed(names));
        self.value["responses"]["200"] = json!({"description": words, "headers": headers, "content": {content_type: {"schema": schema}}});
        self
    }

    fn finished(mut self) -> Value {
        let refusals = responses(&self.codes, self.has_key);
        if let Some(all) = self.value["responses"].as_object_mut() {
            all.extend(refusals);
        }
        self.value
    }
}

fn query(name: &str, words: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "description": words, "schema": schema})
}

fn path_id(words: &str) -> Value {
    json!({"name": "id", "in": "path", "required": true, "description": words, "schema": filled()})
}

/// A flag of a send's query.
fn send_flag(name: &str, words: &str) -> Value {
    query(name, words, json!({"enum": [true, false, 1, 0], "default": false}))
}

fn with_flags(operation: Operation) -> Operation {
    operation
        .asks(send_flag("mmlite", "Goes to Meta's marketing endpoint; only for marketing templates."))
        .asks(send_flag("is_fake", "Checked and priced for real; nothing is sent, held or charged."))
}

fn send() -> Operation {
    let key = "A new one for every message: then a repeat of the request never sends or charges twice, whatever its answer was. \
        Kept for 24 hours after the outcome is final.";
    let duplicate = "Sends though an equal request without a key has an unknown outcome.";
    let operation = Operation::of_a_key("sendMessage", "Messages", "Send one message").about(
        "Answered within 25 seconds: set client timeouts to 30. Branch on `errors.code`, and on `errors.params.sent`, which says \
         whether the message may have gone out. A read mark goes the same way and is answered `{\"success\": true}`.",
    );
    with_flags(operation)
        .asks(idempotency_key(false, key))
        .asks(asked("X-Allow-Duplicate", duplicate, json!({"enum": ["true"]})))
        .takes("application/json", json!({"schema": named("SendRequest"), "examples": super::examples::sends()}))
        .answers(
            "WhatsApp took it. With `is_fake` nothing was sent.",
            "application/json",
            json!({"anyOf": [named("Sent"), named("Marked")]}),
            &["X-Message-Id", "Idempotent-Replayed"],
        )
        .codes(&OF_A_BODY)
        .codes(&OF_A_MESSAGE)
        .codes(&["IDEM_001", "IDEM_002", "GW_003"])
}

fn check() -> Operation {
    let operation = Operation::of_a_key("checkMessage", "Messages", "Check and price a message")
        .about("The same checks as a send, in the same order; nothing is held, stored or sent. It counts in the key's windows.");
    with_flags(operation)
        .takes("application/json", json!({"schema": named("Message"), "examples": super::examples::messages()}))
        .answers("It could be sent, at this price.", "application/json", answer(named("Checked")), &[])
        .codes(&OF_A_BODY)
        .codes(&OF_A_MESSAGE)
}

fn look_up() -> Operation {
    Operation::of_a_key("getMessage", "Messages", "What happened to a message")
        .about("Its state, timeline, price, what became of the money, and what to do where it failed.")
        .asks(path_id("The gateway's id of the message (`X-Message-Id`), or its wamid, percent-encoded."))
        .answers("The message.", "application/json", answer(named("MessageView")), &[])
        .codes(&["REQ_005"])
}

fn look_up_by_key() -> Operation {
    Operation::of_a_key("getMessageByIdempotencyKey", "Messages", "What became of a request, by its Idempotency-Key")
        .about("Never sends. 404 means that the request never became a message.")
        .asks(idempotency_key(true, "The key of the request that is looked for."))
        .answers("The message.", "application/json", answer(named("MessageView")), &[])
        .codes(&["REQ_005"])
}

fn upload() -> Operation {
    let form = object()
        .with("file", json!({"type": "string", "contentMediaType": "application/octet-stream"}))
        .seldom(
            "type",
            json!({"type": "string", "description": "The file's media type, where its part does not say it.", "examples": ["image/jpeg"]}),
        )
        .seldom("messaging_product", json!({"const": "whatsapp"}))
        .schema();
    Operation::of_a_key("uploadMedia", "Media", "Upload a file")
        .takes("multipart/form-data", json!({"schema": form}))
        .answers("Its id, which a message names.", "application/json", answer(object().with("id", filled()).schema()), &[])
        .codes(&["REQ_004", "REQ_007", "GW_001", "GW_002"])
}

fn download() -> Operation {
    let mut operation = Operation::of_a_key("downloadMedia", "Media", "Get a file that a user sent, or that you uploaded")
        .asks(path_id("The file's id, as an event or an upload named it."))
        .answers("The file, with its own media type.", "*/*", json!({}), &[])
        .codes(&["REQ_005", "GW_001", "GW_002"]);
    let about = "SHA-256 of the file, as Meta says it.";
    operation.value["responses"]["200"]["headers"]["X-Media-Sha256"] = json!({"description": about, "schema": string()});
    operation
}

fn delete_file() -> Operation {
    Operation::of_a_key("deleteMedia", "Media", "Delete a file")
        .asks(path_id("The file's id."))
        .answers("It is gone.", "application/json", named("Marked"), &[])
        .codes(&["REQ_005", "GW_001", "GW_002"])
}

fn events() -> Operation {
    let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let events = json!({"type": "array", "items": {"enum": kinds}});
    let events = json!({"name": "events", "in": "query", "style": "form", "explode": false, "schema": events,
        "description": "The kinds that are wanted; all where it is left out."});
    Operation::of_a_key("followEvents", "Events", "The application's events as a stream")
        .about(
            "Server-sent events without an end: `id` is the delivery's `webhook-id`, `event` the kind, `data` the bytes of its delivery \
             (see Webhooks). A client that comes again with the last id misses nothing.",
        )
        .asks(events)
        .asks(query("after", "Go on behind the event of this id.", string()))
        .asks(asked("Last-Event-ID", "The same, as clients of such streams send it by themselves; it goes before `after`.", string()))
        .answers("The stream.", "text/event-stream", string(), &[])
}

fn me() -> Operation {
    Operation::of_a_key("getMe", "Account", "The key's application, limits and balance").answers(
        "How the key stands.",
        "application/json",
        answer(named("Me")),
        &[],
    )
}

fn handshake() -> Operation {
    Operation::new("verifyMetaWebhook", "Meta", "Meta's handshake")
        .without_key(json!([]))
        .asks(query("hub.mode", "`subscribe`", json!({"const": "subscribe"})))
        .asks(query("hub.verify_token", "The configured words.", string()))
        .asks(query("hub.challenge", "What is given back.", json!({"type": "string", "maxLength": 256})))
        .answers("The challenge.", "text/plain", string(), &[])
        .codes(&["WH_001", "REQ_006", "REQ_008", "GW_004"])
}

fn intake() -> Operation {
    Operation::new("takeMetaWebhook", "Meta", "Meta's events")
        .about("200 only once every event of the batch is on disk. What is not answered so, Meta sends again for 7 days.")
        .without_key(json!([{"metaSignature": []}]))
        .takes("application/json", json!({"schema": {"type": "object"}}))
        .answers("All of it is kept.", "text/plain", string(), &[])
        .codes(&["WH_002", "WH_003", "REQ_004", "REQ_006", "REQ_007", "REQ_008", "GW_004"])
}

/// A route that knows no keys.
fn page(id: &str, summary: &str, content_type: &str, codes: &[&'static str]) -> Operation {
    let schema = if content_type == "application/json" { json!({"type": "object"}) } else { string() };
    Operation::new(id, "Operations", summary).without_key(json!([])).answers("So it is.", content_type, schema, &[]).codes(codes)
}

//! The gateway's API as an OpenAPI 3.1 document: `GET /openapi.json`, docs/openapi.json (contract §1).
//!
//! It is made from what the gateway goes by where that can be read off: the error catalogue, the words of
//! states, events and templates. Where a bound is written here a second time, the tests send the same
//! requests through the document's schemas and through the parser, and the end-to-end tests hold every
//! answer of a running gateway against it. Operators' routes are not in it: they are the program's own
//! way of talking to itself (`turnpike` is their client) and may change with it.

mod answers;
mod events;
mod examples;
mod headers;
mod interactive;
mod paths;
mod refusals;
mod schema;
mod sends;
mod template;

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Where every gateway serves it.
pub const OPENAPI_PATH: &str = "/openapi.json";

const ABOUT: &str = "One endpoint for every WhatsApp message that you send, and one place where every event comes back.\n\n\
    Keys are for servers: a request with an `Origin` header is refused. Every answer that is not a success has the same shape, and \
    `errors.code` to branch on. Within `/v1` the API only grows: new members, codes, events and headers may appear at any time, and \
    whoever reads an answer passes over what he does not know.";

/// The document, as it is served.
pub fn openapi_text() -> Bytes {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(format!("{:#}\n", openapi())));
    TEXT.clone()
}

/// The document.
#[must_use]
pub fn openapi() -> Value {
    let paths = paths::paths();
    let responses = refusals::components(&paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Turnpike",
            "summary": "A gateway between your systems and WhatsApp",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that answered with this document"}],
        "tags": [
            {"name": "Messages", "description": "Send, check, look up"},
            {"name": "Media", "description": "Files in both directions"},
            {"name": "Events", "description": "What comes back, as a stream"},
            {"name": "Account", "description": "The key itself"},
            {"name": "Webhooks", "description": "What the gateway posts to your endpoint"},
            {"name": "Meta", "description": "Where Meta reports to the gateway"},
            {"name": "Operations", "description": "Health, metrics, documents"},
        ],
        "security": [{"apiKey": []}],
        "paths": paths,
        "webhooks": events::webhooks(),
        "components": {
            "schemas": schemas(),
            "responses": responses,
            "headers": headers::components(),
            "securitySchemes": security_schemes(),
        },
    })
}

fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    sends::add(&mut schemas);
    answers::add(&mut schemas);
    refusals::add(&mut schemas);
    events::add(&mut schemas);
    schemas
}

fn security_schemes() -> Value {
    let metas = "`sha256=` and hex of HMAC-SHA256 over the body, keyed with the secret of the app at Meta.";
    json!({
        "apiKey": {"type": "http", "scheme": "bearer", "description": "A live key (`pk_…`) or a sandbox key (`sk_…`)."},
        "metaSignature": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256", "description": metas},
    })
}

#[cfg(test)]
mod tests;

//! Some seven hundred bad requests over real HTTP: each gets its documented code and names its faulty
//! fields, none is a 5xx, and none leaves a trace in ledger, store or at Meta.

use std::collections::BTreeSet;

use base64::Engine as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Ask, raw};
use crate::house::{House, Plan, SEND, post, recipient, text};

/// What the promise says; the tables are longer.
const BAD_REQUESTS_MIN: usize = 300;

/// Requests under way at once.
const AT_ONCE: usize = 24;

/// A row of the table that the reader of messages is tested by, too.
#[derive(Deserialize)]
struct Row {
    name: String,
    body: Option<String>,
    body_base64: Option<String>,
    query: Option<String>,
    code: String,
    paths: BTreeSet<String>,
    line: Option<u64>,
    column: Option<u64>,
}

fn rows() -> Vec<Row> {
    include_str!("../../../domain/tests/data/bad_requests.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

impl Row {
    fn ask(&self, key: &str) -> Ask {
        let body = match (&self.body, &self.body_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).expect("base64"),
            _ => panic!("{} has no body", self.name),
        };
        let query = self.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        Ask::post(&format!("{SEND}{query}")).bearer(key).header("content-type", "application/json").bytes(body)
    }

    fn problem(&self, answer: &Answer) -> Option<String> {
        let status = if self.code == "REQ_001" || self.code == "REQ_002" { 400 } else { 0 };
        let position = (answer.param("line").as_u64(), answer.param("column").as_u64());
        let right = answer.status == status
            && answer.code() == self.code
            && (self.code != "REQ_002" || paths(answer) == self.paths)
            && (self.code != "REQ_001" || position == (self.line, self.column));
        (!right).then(|| format!("{}: {} {:?} expected, given {}", self.name, self.code, self.paths, answer.summary()))
    }
}

/// The faulty fields that an answer names.
fn paths(answer: &Answer) -> BTreeSet<String> {
    let fields = answer.param("fields");
    fields.as_array().into_iter().flatten().filter_map(|field| field["path"].as_str().map(str::to_owned)).collect()
}

/// What is wrong beside the body: method, path, query, headers, key.
struct Case {
    name: &'static str,
    ask: Ask,
    status: u16,
    code: &'static str,
    paths: &'static [&'static str],
}

fn case(name: &'static str, ask: Ask, status: u16, code: &'static str, paths: &'static [&'static str]) -> Case {
    Case { name, ask, status, code, paths }
}

/// Cases that any HTTP library can send.
fn cases(key: &str) -> Vec<Case> {
    let good = text(&recipient(1));
    let at = |path: &str| Ask::post(path).bearer(key).json(&good);
    let typed = |kind: &str| Ask::post(SEND).bearer(key).header("content-type", kind).bytes(good.to_string());
    let keyed = |value: &str| post(key, &good).header("idempotency-key", value);
    let authorized = |value: &str| Ask::post(SEND).header("authorization", value).json(&good);
    let long = "k".repeat(256);
    vec![
        case("a misspelt flag", at("/v1/wa/message?isfake=true"), 400, "REQ_002", &["query.isfake"]),
        case("a flag in capitals", at("/v1/wa/message?IS_FAKE=true"), 400, "REQ_002", &["query.IS_FAKE"]),
        case("a flag that says yes", at("/v1/wa/message?is_fake=yes"), 400, "REQ_002", &["query.is_fake"]),
        case("a flag that says TRUE", at("/v1/wa/message?is_fake=TRUE"), 400, "REQ_002", &["query.is_fake"]),
        case("a flag that says nothing", at("/v1/wa/message?is_fake="), 400, "REQ_002", &["query.is_fake"]),
        case("a flag without a value", at("/v1/wa/message?is_fake"), 400, "REQ_002", &["query.is_fake"]),
        case("a flag twice", at("/v1/wa/message?is_fake=true&is_fake=true"), 400, "REQ_002", &["query.is_fake"]),
        case("a flag twice, escaped once", at("/v1/wa/message?is_fake=true&is%5Ffake=true"), 400, "REQ_002", &["query.is_fake"]),
        case("mmlite with a number", at("/v1/wa/message?mmlite=2"), 400, "REQ_002", &["query.mmlite"]),
        case("two wrong flags", at("/v1/wa/message?mmlite=on&is_fake=off"), 400, "REQ_002", &["query.mmlite", "query.is_fake"]),
        case("a good flag and a strange one", at("/v1/wa/message?is_fake=true&dry_run=1"), 400, "REQ_002", &["query.dry_run"]),
        case("a text over the marketing endpoint", at("/v1/wa/message?mmlite=true"), 400, "REQ_002", &["type"]),
        case(
            "faults of query and body together",
            Ask::post("/v1/wa/message?fake=1")
                .bearer(key)
                .json(&json!({"messaging_product": "whatsapp", "to": "0", "type": "text", "text": {"body": ""}})),
            400,
            "REQ_002",
            &["query.fake", "to", "text.body"],
        ),
        case("an empty Idempotency-Key", keyed(""), 400, "REQ_002", &["header.Idempotency-Key"]),
        case("an empty quoted Idempotency-Key", keyed("\"\""), 400, "REQ_002", &["header.Idempotency-Key"]),
        case("an Idempotency-Key with a space", keyed("order 7"), 400, "REQ_002", &["header.Idempotency-Key"]),
        case("an Idempotency-Key of 256 characters", keyed(&long), 400, "REQ_002", &["header.Idempotency-Key"]),
        case("an Idempotency-Key with a broken escape", keyed("\"order\\7\""), 400, "REQ_002", &["header.Idempotency-Key"]),
        case(
            "a check with a wrong field",
            Ask::post("/v1/wa/message/check")
                .bearer(key)
                .json(&json!({"messaging_product": "whatsapp", "to": "905321234567", "type": "text", "text": {}})),
            400,
            "REQ_002",
            &["text.body"],
        ),
        case("no content type", Ask::post(SEND).bearer(key).bytes(good.to_string()), 415, "REQ_003", &[]),
        case("a packed body", typed("application/json").header("content-encoding", "gzip"), 415, "REQ_003", &[]),
        case("plain text", typed("text/plain"), 415, "REQ_003", &[]),
        case("a form", typed("application/x-www-form-urlencoded"), 415, "REQ_003", &[]),
        case("a form with files", typed("multipart/form-data; boundary=x"), 415, "REQ_003", &[]),
        case("JSON under another name", typed("text/json"), 415, "REQ_003", &[]),
        case("a relative of JSON", typed("application/vnd.api+json"), 415, "REQ_003", &[]),
        case("JSON with letters behind it", typed("application/jsonx"), 415, "REQ_003", &[]),
        case("an empty content type", typed(""), 415, "REQ_003", &[]),
        case(
            "a body over 1 MiB",
            Ask::post(SEND).bearer(key).header("content-type", "application/json").bytes(vec![b' '; 1024 * 1024 + 1]),
            413,
            "REQ_004",
            &[],
        ),
        case("a path in the plural", at("/v1/wa/messages"), 404, "REQ_005", &[]),
        case("a slash at the end", at("/v1/wa/message/"), 404, "REQ_005", &[]),
        case("a path in capitals", at("/V1/WA/MESSAGE"), 404, "REQ_005", &[]),
        case("another version", at("/v2/wa/message"), 404, "REQ_005", &[]),
        case("no path", at("/"), 404, "REQ_005", &[]),
        case("the operator's routes from the network", Ask::get("/api/v1/operator/organizations").bearer(key), 404, "REQ_005", &[]),
        case("a PUT", Ask::new(http::Method::PUT, SEND).bearer(key).json(&good), 405, "REQ_005", &[]),
        case("a DELETE", Ask::new(http::Method::DELETE, SEND).bearer(key), 405, "REQ_005", &[]),
        case("a PATCH", Ask::new(http::Method::PATCH, SEND).bearer(key).json(&good), 405, "REQ_005", &[]),
        case("a GET of the check", Ask::get("/v1/wa/message/check").bearer(key), 405, "REQ_005", &[]),
        case("a POST to oneself", at("/v1/wa/me"), 405, "REQ_005", &[]),
        case("a look-up of nothing", Ask::get("/v1/wa/message/01940000-0000-7000-8000-000000000000").bearer(key), 404, "REQ_005", &[]),
        case("a look-up of a wamid that is none", Ask::get("/v1/wa/message/wamid.bm9uZQ%3D%3D").bearer(key), 404, "REQ_005", &[]),
        case("a look-up by a key that was never used", Ask::get(SEND).bearer(key).key("never"), 404, "REQ_005", &[]),
        case("a look-up by no key", Ask::get(SEND).bearer(key), 400, "REQ_002", &["header.Idempotency-Key"]),
        case("no authorization", Ask::post(SEND).json(&good), 401, "AUTH_002", &[]),
        case("another scheme", authorized("Basic dXNlcjpwYXNz"), 401, "AUTH_003", &[]),
        case("a bare key", authorized(key), 401, "AUTH_003", &[]),
        case("a scheme without a token", authorized("Bearer"), 401, "AUTH_003", &[]),
        case("a scheme and a space", authorized("Bearer "), 401, "AUTH_003", &[]),
        case("two tokens", authorized("Bearer one two"), 401, "AUTH_003", &[]),
        case("a token that is no key", authorized("Bearer hello"), 401, "AUTH_001", &[]),
        case("a key of the wrong length", authorized("Bearer pk_4fT9a"), 401, "AUTH_001", &[]),
        case("a key whose checksum is wrong", authorized(&format!("Bearer {}", broken(key))), 401, "AUTH_001", &[]),
        case("a live key as a sandbox key", authorized(&format!("Bearer {}", key.replace("pk_", "sk_"))), 401, "AUTH_001", &[]),
        case("a browser", post(key, &good).header("origin", "https://shop.example.org"), 403, "AUTH_006", &[]),
    ]
}

/// A request as bytes, for what no library sends. The gateway closes behind its answer.
struct Framed {
    name: &'static str,
    bytes: Vec<u8>,
    status: u16,
    code: &'static str,
}

fn framed(key: &str) -> Vec<Framed> {
    let good = text(&recipient(1)).to_string();
    let length = good.len();
    let usual = format!("host: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n");
    let whole = |head: String| format!("POST {SEND} HTTP/1.1\r\n{head}\r\n{good}").into_bytes();
    let many: String = (0..70).map(|n| format!("x-{n}: y\r\n")).collect();
    let huge = format!("x-huge: {}\r\n", "y".repeat(17 * 1024));
    let row = |name, bytes, status, code| Framed { name, bytes, status, code };
    vec![
        row("two authorizations", whole(format!("{usual}authorization: Bearer {key}\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row("two hosts", whole(format!("host: y\r\n{usual}content-length: {length}\r\n")), 400, "REQ_006"),
        row(
            "no host",
            whole(format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n")),
            400,
            "REQ_006",
        ),
        row("two content types", whole(format!("{usual}content-type: application/json\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row(
            "two idempotency keys",
            whole(format!("{usual}idempotency-key: a\r\nidempotency-key: b\r\ncontent-length: {length}\r\n")),
            400,
            "REQ_006",
        ),
        row("two lengths", whole(format!("{usual}content-length: {length}\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row("two lengths that differ", whole(format!("{usual}content-length: {length}\r\ncontent-length: 7\r\n")), 400, "REQ_006"),
        row("a length beside chunks", whole(format!("{usual}content-length: {length}\r\ntransfer-encoding: chunked\r\n")), 400, "REQ_006"),
        row("a length with a sign", whole(format!("{usual}content-length: +{length}\r\n")), 400, "REQ_006"),
        row("an encoding that is none", whole(format!("{usual}transfer-encoding: xchunked\r\n")), 400, "REQ_006"),
        row("a space before a colon", whole(format!("{usual}x-y : z\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row("a folded header", whole(format!("{usual}x-y: z\r\n more\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row("a header with a NUL", whole(format!("{usual}x-y: a\0b\r\ncontent-length: {length}\r\n")), 400, "REQ_006"),
        row("a line that is no request", b"HELLO\r\n\r\n".to_vec(), 400, "REQ_006"),
        row("seventy headers", whole(format!("{usual}{many}content-length: {length}\r\n")), 431, "REQ_008"),
        row("a header of 17 KiB", whole(format!("{usual}{huge}content-length: {length}\r\n")), 431, "REQ_008"),
        row("a length over 1 MiB", format!("POST {SEND} HTTP/1.1\r\n{usual}content-length: 1048577\r\n\r\n").into_bytes(), 413, "REQ_004"),
        row("chunks over 1 MiB", chunks_over_the_limit(&usual), 413, "REQ_004"),
    ]
}

fn chunks_over_the_limit(head: &str) -> Vec<u8> {
    let mut bytes = format!("POST {SEND} HTTP/1.1\r\n{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..17 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&[b' '; 0x10000]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// The key with its last character changed.
fn broken(key: &str) -> String {
    let last = if key.ends_with('a') { 'b' } else { 'a' };
    format!("{}{last}", &key[..key.len() - 1])
}

/// What every refusal bears (contract §2).
fn envelope_problem(name: &str, answer: &Answer) -> Option<String> {
    let groups: &[(u16, &str)] = &[
        (400, "BAD_REQUEST"),
        (401, "UNAUTHORIZED"),
        (403, "FORBIDDEN"),
        (404, "NOT_FOUND"),
        (405, "METHOD_NOT_ALLOWED"),
        (413, "PAYLOAD_TOO_LARGE"),
        (415, "UNSUPPORTED_MEDIA_TYPE"),
        (431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
    ];
    let body: Value = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(error) => return Some(format!("{name}: the body is not JSON ({error}): {}", answer.summary())),
    };
    let group = groups.iter().find(|(status, _)| *status == answer.status).map(|(_, group)| *group);
    let right = group.is_some()
        && body["isSuccess"] == false
        && body["errors"]["group"].as_str() == group
        && body["errors"]["description"].as_str().is_some_and(|text| !text.is_empty())
        && answer.header("x-request-id").is_some_and(|id| !id.is_empty())
        && answer.header("cache-control") == Some("no-store")
        && answer.header("content-type") == Some("application/json");
    (!right).then(|| format!("{name}: not the envelope of an error: {:?} {}", answer.headers, answer.summary()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_request_gets_its_code_and_leaves_no_trace() {
    let house = House::open(Plan::default()).await;
    let before = house.wallet().await;
    let (rows, cases, framed) = (rows(), cases(&house.live), framed(&house.live));
    assert!(rows.len() + cases.len() + framed.len() >= BAD_REQUESTS_MIN, "the tables are long");

    let mut wrong: Vec<String> = Vec::new();
    let mut waiting = rows.iter();
    let mut flying = FuturesUnordered::new();
    loop {
        while flying.len() < AT_ONCE
            && let Some(row) = waiting.next()
        {
            let asked = house.api.call(row.ask(&house.live));
            flying.push(async move { (row, asked.await) });
        }
        let Some((row, answer)) = flying.next().await else { break };
        wrong.extend(envelope_problem(&row.name, &answer));
        wrong.extend(row.problem(&answer));
    }
    for Case { name, ask, status, code, paths: expected } in cases {
        let answer = house.api.call(ask).await;
        wrong.extend(envelope_problem(name, &answer));
        let expected: BTreeSet<String> = expected.iter().map(|path| (*path).to_owned()).collect();
        if (answer.status, answer.code().as_str()) != (status, code) || (code == "REQ_002" && paths(&answer) != expected) {
            wrong.push(format!("{name}: {status} {code} {expected:?} expected, given {}", answer.summary()));
        }
    }
    for Framed { name, bytes, status, code } in framed {
        match raw(&house.address, &bytes).await {
            None => wrong.push(format!("{name}: closed without an answer")),
            Some(answer) => {
                wrong.extend(envelope_problem(name, &answer));
                if (answer.status, answer.code().as_str()) != (status, code) {
                    wrong.push(format!("{name}: {status} {code} expected, given {}", answer.summary()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));

    assert_eq!(house.wallet().await, before, "a refused request moves no money");
    let statement = house.ask("/organizations/-/wallet/statement").await;
    assert_eq!(statement.as_array().map(Vec::len), Some(1), "only the top-up stands in the statement: {statement}");
    assert_eq!(house.messages("any").await, Vec::<Value>::new(), "no message was stored");
    assert_eq!(house.posts().await, Vec::<Value>::new(), "Meta was not asked");
    house.verify().await;
    // And the gateway still works.
    assert_eq!(house.send(&text(&recipient(2))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_given_up() {
    let house = House::open(Plan::default()).await;
    let head = format!(
        "POST {SEND} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        house.live
    );
    let answer = raw(&house.address, head.as_bytes()).await.expect("an answer, not only a closed connection");
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQ_007"), "{}", answer.summary());
    assert_eq!(answer.param("sent"), "no", "{}", answer.summary());
    assert_eq!(house.messages("any").await, Vec::<Value>::new());
}

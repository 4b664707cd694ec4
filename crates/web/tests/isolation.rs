//! Every route of a gateway, asked by everybody who must not: another tenant, nobody, an operator with
//! his token. What is another's is answered like what does not exist, to the last byte (contract §1).
//!
//! The list of routes is the router's own. A route that is added without a row here fails the test.

mod works;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_engine::control::money::WalletOrder;
use turnpike_store::ledger::WalletMovement;
use turnpike_web::operator::BASE;
use works::files::{File, Given, Meta};
use works::{Answer, OPERATOR_TOKEN, PATIENCE, Plan, Works};

const JSON: &str = "Content-Type: application/json\r\n";

/// What a route shows to whom.
enum Shows {
    /// What its id names, to who owns it; to everybody else it does not exist. The two requests, about
    /// theirs and about nothing.
    ItsOwner(fn(&Theirs) -> (Asked, Asked)),
    /// What is the caller's own, whoever that is.
    Ones(fn(&Theirs) -> Asked),
    /// The same to everybody, key or none: the status.
    Everybody(u16, fn(&Theirs) -> Asked),
}

/// One request but for its key.
#[derive(Clone, Default)]
struct Asked {
    path: String,
    headers: String,
    body: Vec<u8>,
}

fn at(path: impl Into<String>) -> Asked {
    Asked { path: path.into(), ..Asked::default() }
}

impl Asked {
    fn headed(mut self, headers: impl Into<String>) -> Asked {
        self.headers = headers.into();
        self
    }

    fn with(mut self, body: &Value) -> Asked {
        self.headers.push_str(JSON);
        self.body = body.to_string().into_bytes();
        self
    }
}

/// What one tenant has, by its names.
struct Theirs {
    message: String,
    wamid: String,
    order: &'static str,
    file: &'static str,
}

impl Theirs {
    /// Words that no other tenant may read. What a caller names himself is no secret.
    fn secrets(&self) -> [&str; 3] {
        [&self.message, &self.wamid, "acme"]
    }
}

fn text(body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": "905321234567", "type": "text", "text": {"body": body}})
}

fn a_form() -> Asked {
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n";
    Asked { body: body.as_bytes().to_vec(), ..at("/v1/wa/media").headed("Content-Type: multipart/form-data; boundary=b\r\n") }
}

/// The rows of what customers, Meta and everybody may ask. The operator's routes are one row of their
/// own: they know no tenants, and no key opens them.
static ROWS: [(Method, &str, Shows); 17] = [
    (
        Method::GET,
        "/v1/wa/message",
        Shows::ItsOwner(|theirs| {
            let by_key = |key: &str| at("/v1/wa/message").headed(format!("Idempotency-Key: {key}\r\n"));
            (by_key(theirs.order), by_key("order-of-nobody"))
        }),
    ),
    (
        Method::POST,
        "/v1/wa/message",
        Shows::Ones(|theirs| {
            // The same Idempotency-Key is another's key here.
            at("/v1/wa/message").headed(format!("Idempotency-Key: {}\r\n", theirs.order)).with(&text("my own"))
        }),
    ),
    (Method::POST, "/v1/wa/message/check", Shows::Ones(|_| at("/v1/wa/message/check").with(&text("my own")))),
    (
        Method::GET,
        "/v1/wa/message/{id}",
        Shows::ItsOwner(|theirs| {
            (at(format!("/v1/wa/message/{}", theirs.message)), at("/v1/wa/message/01a203b9-49e6-715c-83a0-da2151211263"))
        }),
    ),
    (Method::POST, "/v1/wa/media", Shows::Ones(|_| a_form())),
    (Method::GET, "/v1/wa/media/{id}", Shows::ItsOwner(|theirs| (at(format!("/v1/wa/media/{}", theirs.file)), at("/v1/wa/media/404404")))),
    (
        Method::DELETE,
        "/v1/wa/media/{id}",
        Shows::ItsOwner(|theirs| (at(format!("/v1/wa/media/{}", theirs.file)), at("/v1/wa/media/404404"))),
    ),
    (Method::GET, "/v1/wa/events", Shows::Ones(|_| at("/v1/wa/events"))),
    (Method::GET, "/v1/wa/me", Shows::Ones(|_| at("/v1/wa/me"))),
    (
        Method::GET,
        "/v1/meta/webhook",
        Shows::Everybody(403, |_| at("/v1/meta/webhook?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1")),
    ),
    (Method::POST, "/v1/meta/webhook", Shows::Everybody(401, |_| at("/v1/meta/webhook").with(&json!({})))),
    (Method::GET, "/livez", Shows::Everybody(200, |_| at("/livez"))),
    (Method::GET, "/healthz", Shows::Everybody(200, |_| at("/healthz"))),
    (Method::GET, "/readyz", Shows::Everybody(200, |_| at("/readyz"))),
    (Method::GET, "/metrics", Shows::Everybody(200, |_| at("/metrics"))),
    (Method::GET, "/docs/errors", Shows::Everybody(200, |_| at("/docs/errors"))),
    (Method::GET, "/openapi.json", Shows::Everybody(200, |_| at("/openapi.json"))),
];

/// Further names of what has a row already.
fn by_other_names(theirs: &Theirs) -> Vec<(Method, Asked, Asked)> {
    let look_up = |id: &str| at(format!("/v1/wa/message/{id}"));
    let escaped: String = theirs.wamid.bytes().map(|byte| format!("%{byte:02X}")).collect();
    vec![
        (Method::GET, look_up(&theirs.wamid), look_up("wamid.HBgMOTA1MzIxMjM0NTY3FQIAERgS")),
        (Method::GET, look_up(&escaped), look_up("wamid.HBgMOTA1MzIxMjM0NTY3FQIAERgS")),
        (Method::GET, look_up(&theirs.message.to_uppercase()), look_up("01A203B9-49E6-715C-83A0-DA2151211263")),
    ]
}

/// Asks, and again where so many wrong keys were tried that the address has to wait.
async fn ask(works: &Works, method: &Method, asked: &Asked, authorization: Option<&str>) -> Answer {
    let authorization = authorization.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {} HTTP/1.1\r\nHost: gateway\r\n{authorization}Connection: close\r\nContent-Length: {}\r\n{}\r\n",
        asked.path,
        asked.body.len(),
        asked.headers
    );
    let again = async {
        loop {
            let mut socket = TcpStream::connect(works.address).await.expect("it listens");
            socket.write_all(head.as_bytes()).await.expect("it is open");
            socket.write_all(&asked.body).await.expect("it is open");
            let answer = works::begun(&mut socket).await;
            if !(answer.status == 429 && String::from_utf8_lossy(&answer.body).contains("\"address\"")) {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("an answer")
}

/// All that a caller can tell two answers apart by, but for time and chance.
fn face(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let own = |name: &str| matches!(name, "date" | "x-request-id") || name.contains("ratelimit");
    let headers = answer.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).filter(|(name, _)| !own(name)).collect();
    headers.sort();
    (answer.status, headers, String::from_utf8_lossy(&answer.body).into_owned())
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, what: &str) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    assert_eq!((answer.status, body["errors"]["code"].as_str().unwrap_or_default()), (status, code), "{what}: {answer:?}");
}

async fn house() -> (Works, Meta, Theirs, String) {
    let meta = Meta::open().await;
    meta.keep("77001", File { number: "1001", mime_type: "text/plain", bytes: "canary".into(), given: Given::Bytes });
    let works = Works::open(Plan { graph_url: meta.url(), ..Plan::default() }).await;
    for organization in ["acme", "other"] {
        let organization = works.engine.organization(Some(organization)).expect("it is there");
        let order = WalletOrder {
            id: None,
            mode: Mode::Live,
            movement: WalletMovement::TopUp,
            amount: Micros(100_000_000),
            reason: String::new(),
            actor: "test".to_owned(),
        };
        works.engine.move_wallet(&organization, order).await.expect("topped up");
    }
    let key = works.live_key("acme").await;
    let send = at("/v1/wa/message").headed("Idempotency-Key: order-7\r\n").with(&text("canary"));
    let sent = ask(&works, &Method::POST, &send, Some(&key)).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let theirs = Theirs {
        message: sent.header("x-message-id").expect("its id").to_owned(),
        wamid: sent.json()["data"]["messages"][0]["id"].as_str().expect("a wamid").to_owned(),
        order: "order-7",
        file: "77001",
    };
    (works, meta, theirs, key)
}

#[test]
fn every_route_has_one_row() {
    let known = turnpike_web::router::routes();
    for (method, path) in &known {
        let rows = ROWS.iter().filter(|(row, pattern, _)| (row, *pattern) == (method, path.as_str())).count();
        let expected = usize::from(!path.starts_with(BASE));
        assert_eq!(rows, expected, "{method} {path}: say in ROWS what another tenant, nobody and an operator are shown there");
    }
    for (method, path, _) in &ROWS {
        assert!(known.iter().any(|(known, pattern)| (known, pattern.as_str()) == (method, *path)), "{method} {path} is no route");
    }
    assert!(known.iter().filter(|(_, path)| path.starts_with(BASE)).count() > 50, "{known:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_anothers_is_answered_like_what_does_not_exist() {
    let (works, _meta, theirs, own) = house().await;
    let strangers = [works.live_key("other").await, works.key("other", Mode::Sandbox, None).await.0];
    let mut pairs = by_other_names(&theirs);
    for (method, _, shows) in &ROWS {
        if let Shows::ItsOwner(requests) = shows {
            let (about_theirs, about_nothing) = requests(&theirs);
            pairs.push((method.clone(), about_theirs, about_nothing));
        }
    }
    for (method, about_theirs, about_nothing) in &pairs {
        for stranger in &strangers {
            // Here nothing plays the sandbox's Meta, who keeps its files.
            if *stranger != strangers[0] && about_theirs.path.starts_with("/v1/wa/media") {
                continue;
            }
            let theirs_told = ask(&works, method, about_theirs, Some(stranger)).await;
            refused(&theirs_told, 404, "REQ_005", &about_theirs.path);
            let nothing_told = ask(&works, method, about_nothing, Some(stranger)).await;
            assert_eq!(face(&theirs_told), face(&nothing_told), "{method} {}", about_theirs.path);
        }
    }
    for (method, path, shows) in &ROWS {
        let Shows::Ones(request) = shows else { continue };
        for stranger in &strangers {
            let answer = ask(&works, method, &request(&theirs), Some(stranger)).await;
            let said = format!("{}{}", answer.head, String::from_utf8_lossy(&answer.body));
            assert!(theirs.secrets().iter().all(|secret| !said.contains(secret)), "{method} {path}: {said}");
            assert!(answer.header("idempotent-replayed").is_none(), "{method} {path}: {said}");
            if *stranger == strangers[0] {
                assert_eq!(answer.status, 200, "{method} {path} is theirs to ask: {answer:?}");
            }
        }
    }
    // The owner's own sandbox key is another books' key; his live key opens each, what deletes it last.
    pairs.sort_by_key(|(method, ..)| *method == Method::DELETE);
    let sandbox = works.key("acme", Mode::Sandbox, None).await.0;
    for (method, about_theirs, _) in &pairs {
        if about_theirs.path.starts_with("/v1/wa/message") {
            refused(&ask(&works, method, about_theirs, Some(&sandbox)).await, 404, "REQ_005", &about_theirs.path);
        }
        let answer = ask(&works, method, about_theirs, Some(&own)).await;
        assert_eq!(answer.status, 200, "{method} {} is his: {answer:?}", about_theirs.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_and_an_operator_are_told_that_they_have_no_key() {
    let (works, _meta, theirs, own) = house().await;
    for (method, path, shows) in &ROWS {
        let request = match shows {
            Shows::ItsOwner(requests) => requests(&theirs).0,
            Shows::Ones(request) => request(&theirs),
            Shows::Everybody(status, request) => {
                let request = request(&theirs);
                for authorization in [None, Some(own.as_str()), Some(OPERATOR_TOKEN), Some("junk")] {
                    let answer = ask(&works, method, &request, authorization).await;
                    assert_eq!(answer.status, *status, "{method} {path}: {answer:?}");
                    let said = String::from_utf8_lossy(&answer.body);
                    assert!(theirs.secrets().iter().all(|secret| !said.contains(secret)), "{method} {path}: {said}");
                }
                continue;
            }
        };
        for (authorization, code) in [(None, "AUTH_002"), (Some(OPERATOR_TOKEN), "AUTH_001"), (Some("junk"), "AUTH_001")] {
            let answer = ask(&works, method, &request, authorization).await;
            refused(&answer, 401, code, path);
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{method} {path}");
        }
    }
    assert_eq!(ask(&works, &Method::GET, &at("/v1/wa/media/77001"), Some(&own)).await.status, 200, "nothing was deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_opens_an_operators_route() {
    let (works, _meta, _, own) = house().await;
    // Names that exist: what they lead to must not show in the refusal.
    let named = |path: &str| {
        let parts = path.split('/').map(|part| match part {
            "{org}" | "{app}" => "acme",
            "{name}" => "default",
            part if part.starts_with('{') => "1",
            part => part,
        });
        at(parts.collect::<Vec<_>>().join("/"))
    };
    for (method, path) in turnpike_web::operator::routes() {
        let asked = named(&path);
        let by_key = ask(&works, &method, &asked, Some(&own)).await;
        refused(&by_key, 401, "AUTH_001", &path);
        refused(&ask(&works, &method, &asked, None).await, 401, "AUTH_002", &path);
    }
    assert_eq!(ask(&works, &Method::GET, &at("/v1/wa/me"), Some(&own)).await.status, 200, "and nothing was done");
}

//! A bug below any route, met from outside: whatever of the store a route needs panics, is corrupt or
//! out of reach, one call at a time. Each answer is a documented one in the usual envelope and tells
//! nothing of our insides; the books balance; and the next request is served as if nothing had been.
//!
//! Which calls a route makes is not written down here: it is watched, so that a new one is covered. Which
//! routes there are is the router's own list: one without a request here fails the test.

mod works;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::hub_signature;
use turnpike_engine::control::money::WalletOrder;
use turnpike_store::faults::{Fault, Method};
use turnpike_store::ledger::{Ledger as _, WalletMovement};
use works::{APP_SECRET, Answer, OPERATOR_TOKEN, Plan, Works};

/// What is never in an answer.
const INSIDES: [&str; 9] = ["a test asked", "scripted", "panick", "sqlite", "SQL", ".rs", "turnpike_", "StoreError", "Corrupt"];

/// What a route may answer where the store is not well, beside SYS_001 (contract §3.4).
const DOCUMENTED: [&str; 7] = ["SYS_001", "BILL_002", "GW_003", "GW_004", "AUTH_004", "MGMT_503", "MGMT_500"];

/// Makes a request's headers from its number and its body.
type Headers = dyn Fn(u64, &[u8]) -> String;

/// Make a request's path and body from its number and what it is about.
type Path = dyn Fn(u64, &str) -> String;
type Body = dyn Fn(u64, &str) -> Value;

/// One request, numbered, so that what must be new is.
struct Route {
    name: &'static str,
    who: Who,
    verb: &'static str,
    /// What is made before each request, and what it is called in path and body.
    about: About,
    path: Box<Path>,
    headers: Box<Headers>,
    body: Box<Body>,
    /// A body that is no JSON.
    form: &'static [u8],
    /// Calls of work that goes on behind the answer, which only waits for it.
    behind: &'static [Method],
}

/// What a request is about, where it can be asked about it once.
#[derive(Clone, Copy)]
enum About {
    Nothing,
    Key,
    Endpoint,
    EndpointThatIsOff,
    Event,
    MessageThatIsLost,
    MessageThatIsAccepted,
    Quarantined,
    Erasure,
    Suspended,
    Resumed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Customer,
    Meta,
    Operator,
}

fn route(name: &'static str, who: Who, verb: &'static str, path: impl Fn(u64) -> String + 'static) -> Route {
    let json = |_: u64, _: &[u8]| "Content-Type: application/json\r\n".to_owned();
    Route {
        name,
        who,
        verb,
        about: About::Nothing,
        path: Box::new(move |n, _| path(n)),
        headers: Box::new(json),
        body: Box::new(|_, _| Value::Null),
        form: b"",
        behind: &[],
    }
}

impl Route {
    fn with(mut self, body: impl Fn(u64) -> Value + 'static) -> Route {
        self.body = Box::new(move |n, _| body(n));
        self
    }

    /// About something that is made for each request; its name goes where the path says `ID`.
    fn about(mut self, about: About) -> Route {
        let path = self.path;
        self.path = Box::new(move |n, id| path(n, id).replace("ID", id));
        Route { about, ..self }
    }

    fn with_id(mut self, body: impl Fn(&str) -> Value + 'static) -> Route {
        self.body = Box::new(move |_, id| body(id));
        self
    }

    fn headed(mut self, headers: impl Fn(u64, &[u8]) -> String + 'static) -> Route {
        self.headers = Box::new(headers);
        self
    }
}

fn text(number: u64) -> Value {
    let to = format!("90532{:07}", number % 10_000_000);
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}})
}

/// A webhook of Meta's about a number: a message of a user.
fn inbound(number: &str, n: u64) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": format!("2{number}"), "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550100001", "phone_number_id": number},
        "contacts": [{"profile": {"name": "A"}, "wa_id": "905321234567"}],
        "messages": [{"from": "905321234567", "id": format!("wamid.in{n}"), "timestamp": "1790000000", "type": "text", "text": {"body": "hi"}}]}}]}]})
}

/// What a message says that Meta reads and never answers.
const LOST: &str = "lose me";

/// A Meta that takes every message and knows every file.
async fn accepting_meta() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::task::spawn_local(async move {
        let mut number = 0u64;
        while let Ok((mut socket, _)) = listener.accept().await {
            number += 1;
            tokio::task::spawn_local(async move {
                let (mut seen, mut piece, mut answered) = (Vec::new(), [0u8; 4096], 0u64);
                loop {
                    let Ok(read @ 1..) = socket.read(&mut piece).await else { return };
                    seen.extend_from_slice(&piece[..read]);
                    while let Some(length) = whole_request(&seen) {
                        let is_send = seen.starts_with(b"POST ");
                        let request: Vec<u8> = seen.drain(..length).collect();
                        let asks = |words: &str| request.windows(words.len()).any(|window| window == words.as_bytes());
                        if asks(LOST) {
                            return;
                        }
                        answered += 1;
                        let (status, body) = if is_send && !asks("/media") {
                            let wamid = format!("wamid.out{number}.{answered}");
                            let contacts = json!([{"input": "90", "wa_id": "90"}]);
                            ("200 OK", json!({"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": wamid}]}))
                        } else {
                            let url = format!("http://{address}/files/1");
                            let file = json!({"url": url, "mime_type": "text/plain", "file_size": "5", "success": true});
                            let mut all = json!({"data": [], "id": "1", "paging": {}});
                            all.as_object_mut().into_iter().for_each(|all| all.extend(file.as_object().cloned().unwrap_or_default()));
                            ("200 OK", all)
                        };
                        let body = body.to_string();
                        let answer =
                            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

/// How long the first request in these bytes is, where it is whole.
fn whole_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok()).unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

struct Bench {
    works: Works,
    key: String,
    number: std::cell::Cell<u64>,
    /// An endpoint's address.
    hook: String,
    /// What goes wrong with the next request.
    fault: std::cell::Cell<Option<(Method, Fault)>>,
    /// The store's calls before the last request.
    before: std::cell::RefCell<std::collections::HashMap<Method, u64>>,
}

impl Bench {
    async fn ask(&self, route: &Route) -> Answer {
        let n = self.number.get() + 1;
        self.number.set(n);
        let id = self.make(route.about, n).await;
        let body = (route.body)(n, &id);
        let body = if body.is_null() { route.form.to_vec() } else { body.to_string().into_bytes() };
        let key = if route.who == Who::Operator { OPERATOR_TOKEN } else { &self.key };
        // Only what the request itself brings about goes wrong, and only it is watched.
        let fault = self.fault.take();
        *self.before.borrow_mut() = self.works.store.called();
        if let Some((method, fault)) = fault {
            self.works.store.fail_always(method, fault);
        }
        let answer = self.works.begin(route.verb, &(route.path)(n, &id), key, &(route.headers)(n, &body), &body).await;
        self.works.store.heal();
        answer
    }

    /// Makes what a request is to be about; its name.
    async fn make(&self, about: About, n: u64) -> String {
        let works = &self.works;
        let operate = async |verb: &str, path: &str, body: Value| {
            let path = format!("/api/v1/operator{path}");
            let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
            let answer = works.call(verb, &path, OPERATOR_TOKEN, JSON, &body).await;
            assert!(answer.status < 300, "{path}: {answer:?}");
            answer.json()["data"].clone()
        };
        let send = async |words: &str, status: u16| {
            let mut message = text(n);
            message["text"]["body"] = json!(words);
            let answer = works.call("POST", "/v1/wa/message", &self.key, JSON, message.to_string().as_bytes()).await;
            assert_eq!(answer.status, status, "{answer:?}");
            answer.header("x-message-id").expect("its id").to_owned()
        };
        let reported = async |number: &str| {
            let body = inbound(number, n).to_string();
            let signature = hub_signature(APP_SECRET.as_bytes(), body.as_bytes());
            let headers = format!("{JSON}X-Hub-Signature-256: {signature}\r\n");
            let answer = works.call("POST", "/v1/meta/webhook", "none", &headers, body.as_bytes()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
        };
        let endpoint = || json!({"url": self.hook});
        match about {
            About::Nothing => String::new(),
            About::Key => works.key("acme", Mode::Live, None).await.1.to_string(),
            About::Endpoint => {
                // A deletion behind which the endpoints could not be read anew is known with the next change.
                operate("POST", "/applications/acme/webhooks/default", endpoint()).await;
                operate("POST", "/applications/acme/webhooks/extra", endpoint()).await;
                "extra".to_owned()
            }
            About::EndpointThatIsOff => {
                operate("POST", "/applications/acme/webhooks/default", endpoint()).await;
                operate("POST", "/applications/acme/webhooks/extra", endpoint()).await;
                operate("POST", "/applications/acme/webhooks/extra/disable", json!({})).await;
                "extra".to_owned()
            }
            About::Event => {
                operate("POST", "/applications/acme/webhooks/default", endpoint()).await;
                reported("1001").await;
                let newest = operate("GET", "/applications/acme/deliveries?endpoint=default&limit=1", Value::Null).await;
                newest[0]["id"].as_str().expect("an event's id").to_owned()
            }
            About::MessageThatIsLost => send(LOST, 504).await,
            About::MessageThatIsAccepted => send("Hello", 200).await,
            About::Quarantined => {
                reported("9009").await;
                operate("GET", "/quarantine?limit=1", Value::Null).await[0]["id"].to_string()
            }
            About::Erasure => {
                let asked = operate("POST", "/organizations/acme/erase", json!({"user": format!("90531{:07}", n % 10_000_000)})).await;
                asked["id"].as_str().expect("its id").to_owned()
            }
            About::Suspended => {
                operate("POST", "/applications/other/suspend", json!({})).await;
                "other".to_owned()
            }
            About::Resumed => {
                operate("POST", "/applications/other/resume", json!({})).await;
                "other".to_owned()
            }
        }
    }

    async fn available(&self) -> i64 {
        let organization = self.works.app("acme").row.organization;
        self.works.store.balance(organization, Mode::Live).await.expect("answers").expect("a wallet").available().0
    }

    async fn assert_sound(&self, what: &str) {
        let verification = self.works.store.verify().await.expect("verifies");
        assert!(verification.clean, "{what}: {:#?}", verification.checks);
    }
}

async fn bench() -> Bench {
    let meta = accepting_meta().await;
    let hook = format!("{meta}/hook");
    let works = Works::open(Plan { graph_url: meta, has_loopback: true, ..Plan::default() }).await;
    let organization = works.engine.organization(Some("acme")).expect("it is there");
    let order = WalletOrder {
        id: None,
        mode: Mode::Live,
        movement: WalletMovement::TopUp,
        amount: turnpike_domain::money::Micros(100_000_000),
        reason: String::new(),
        actor: "test".to_owned(),
    };
    works.engine.move_wallet(&organization, order).await.expect("topped up");
    let key = works.live_key("acme").await;
    let fault = std::cell::Cell::new(None);
    Bench { works, key, number: std::cell::Cell::new(0), hook, fault, before: std::cell::RefCell::default() }
}

/// Asks a route once in health to see which calls it makes, then with each of them failing in each way.
async fn plague(bench: &Bench, route: &Route, told: &mut BTreeMap<String, BTreeSet<String>>) {
    let well = bench.ask(route).await;
    assert!(well.status < 300, "{}: {well:?}", route.name);
    let (before, after) = (bench.before.borrow().clone(), bench.works.store.called());
    let calls: Vec<Method> =
        after.iter().filter(|(method, times)| before.get(*method).copied().unwrap_or(0) < **times).map(|(method, _)| *method).collect();
    for method in calls.into_iter().filter(|method| !route.behind.contains(method)) {
        for fault in [Fault::Panics, Fault::Corrupt, Fault::Unavailable] {
            let what = format!("{} with {method:?} {fault:?}", route.name);
            let money = bench.available().await;
            bench.fault.set(Some((method, fault)));
            let answer = bench.ask(route).await;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            // The doctor is there to say what the store says.
            let is_told = INSIDES.iter().any(|inside| body.contains(inside));
            assert!(!is_told || route.name == "doctor", "{what}: {body}");
            assert!(answer.header("x-request-id").is_some(), "{what}: {answer:?}");
            // What was begun well may be no JSON: a file, a stream.
            let code = if answer.status < 300 { "none".to_owned() } else { answer.refusal().1 };
            if answer.status >= 300 {
                assert_eq!(answer.json()["isSuccess"], false, "{what}: {body}");
                // An operator hears what stood in a backup's way.
                let is_backups = route.name == "backup" && code == "MGMT_422";
                assert!(is_backups || DOCUMENTED.contains(&code.as_str()), "{what}: {body}");
            }
            // What Meta is not answered 200 for comes again: whatever is wrong here, it is to try later
            // (contract §8). What failed once bytes had left is not known (§3.4).
            let expected = if route.who == Who::Meta { (503, "GW_004") } else { (500, "SYS_001") };
            if fault == Fault::Panics && answer.status >= 300 && code != "GW_003" {
                assert_eq!((answer.status, code.as_str()), expected, "{what}: {body}");
            }
            if route.who == Who::Customer && matches!(route.about, About::Nothing) && code != "GW_003" && answer.status >= 300 {
                assert_eq!(bench.available().await, money, "{what}: nothing is charged");
            }
            told.entry(format!("{} {fault:?}", route.name)).or_default().insert(format!("{method:?} {code}"));
            bench.assert_sound(&what).await;
        }
    }
    let again = bench.ask(route).await;
    assert!(again.status < 300, "{} goes on afterwards: {again:?}", route.name);
}

/// A form with a small file.
const FORM: &[u8] =
    b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n";

const CARD: &str = include_str!("../../domain/data/rates/usd-2026-10-01.csv");

const JSON: &str = "Content-Type: application/json\r\n";

/// How an erasure is carried out.
const ERASING: &[Method] = &[
    Method::OpenErasures,
    Method::NamesOfUser,
    Method::NoteErasureNames,
    Method::EraseUser,
    Method::KeptWebhooks,
    Method::EraseWebhooks,
    Method::NewestRawWebhook,
    Method::ErasureIsApplied,
    Method::CutLog,
    Method::FinishErasure,
];

/// Routes that ask the store nothing.
const WITHOUT_A_STORE: [(&str, &str); 7] = [
    ("GET", "/v1/meta/webhook"),
    ("GET", "/livez"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/docs/errors"),
    ("GET", "/openapi.json"),
];

/// Whether a path is one of a pattern's.
fn is_of(pattern: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (patterns, parts): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    patterns.len() == parts.len() && patterns.iter().zip(&parts).all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
}

#[test]
fn every_route_is_asked() {
    let message = "01a203b9-49e6-715c-83a0-da2151211263";
    let asked: Vec<Route> = public(message).into_iter().chain(operators(message, std::path::Path::new("/"))).collect();
    for (method, pattern) in turnpike_web::router::routes() {
        let covered = asked.iter().any(|route| {
            let path = (route.path)(1, "x");
            // A path that is one of another route's fixed ones is not this one's.
            let is_other = turnpike_web::router::routes().iter().any(|(_, other)| !other.contains('{') && is_of(other, &path));
            route.verb == method.as_str() && is_of(&pattern, &path) && (!pattern.contains('{') || !is_other)
        });
        let exempt = WITHOUT_A_STORE.contains(&(method.as_str(), pattern.as_str()));
        assert!(covered != exempt, "{method} {pattern}: ask it here, so that it is met with a store that is not well");
    }
}

fn public(message: &str) -> Vec<Route> {
    let (by_id, signed) = (format!("/v1/wa/message/{message}"), |_: u64, body: &[u8]| {
        format!("Content-Type: application/json\r\nX-Hub-Signature-256: {}\r\n", hub_signature(APP_SECRET.as_bytes(), body))
    });
    vec![
        route("send", Who::Customer, "POST", |_| "/v1/wa/message".to_owned()).with(text),
        route("send with a key", Who::Customer, "POST", |_| "/v1/wa/message".to_owned())
            .with(text)
            .headed(|n, _| format!("Content-Type: application/json\r\nIdempotency-Key: order-{n}\r\n")),
        route("fake", Who::Customer, "POST", |_| "/v1/wa/message?is_fake=true".to_owned()).with(text),
        route("check", Who::Customer, "POST", |_| "/v1/wa/message/check".to_owned()).with(text),
        route("look-up", Who::Customer, "GET", move |_| by_id.clone()),
        route("look-up by key", Who::Customer, "GET", |_| "/v1/wa/message".to_owned())
            .headed(|_, _| "Idempotency-Key: first\r\n".to_owned()),
        route("me", Who::Customer, "GET", |_| "/v1/wa/me".to_owned()),
        route("events", Who::Customer, "GET", |_| "/v1/wa/events".to_owned()),
        route("events from a place on", Who::Customer, "GET", |_| "/v1/wa/events?after=ID".to_owned()).about(About::Event),
        route("file", Who::Customer, "GET", |_| "/v1/wa/media/1".to_owned()),
        route("deletion of a file", Who::Customer, "DELETE", |_| "/v1/wa/media/1".to_owned()),
        Route {
            form: FORM,
            ..route("upload", Who::Customer, "POST", |_| "/v1/wa/media".to_owned())
                .headed(|_, _| "Content-Type: multipart/form-data; boundary=b\r\n".to_owned())
        },
        route("webhook", Who::Meta, "POST", |_| "/v1/meta/webhook".to_owned()).with(|n| inbound("1001", n)).headed(signed),
        route("webhook of nobody's", Who::Meta, "POST", |_| "/v1/meta/webhook".to_owned()).with(|n| inbound("9009", n)).headed(signed),
    ]
}

fn operators(message: &str, folder: &std::path::Path) -> Vec<Route> {
    let base = |path: &str| format!("/api/v1/operator{path}");
    let fixed = |name: &'static str, verb: &'static str, path: &str| {
        let path = base(path);
        route(name, Who::Operator, verb, move |_| path.clone())
    };
    let (shown, folder) = (format!("/messages/{message}"), folder.to_owned());
    vec![
        fixed("organizations", "GET", "/organizations"),
        fixed("new organization", "POST", "/organizations").with(|n| json!({"name": format!("org {n}")})),
        fixed("organization", "GET", "/organizations/acme"),
        fixed("prices", "PATCH", "/organizations/acme").with(|_| json!({"baseFee": "0.001"})),
        fixed("wallet", "GET", "/organizations/acme/wallet"),
        fixed("top-up", "POST", "/organizations/acme/wallet/top-up").with(|_| json!({"amount": "1.00"})),
        fixed("adjust", "POST", "/organizations/acme/wallet/adjust").with(|_| json!({"amount": "1.00", "reason": "x"})),
        fixed("statement", "GET", "/organizations/acme/wallet/statement?from=2026-01-01"),
        fixed("alert", "POST", "/organizations/acme/wallet/alert").with(|_| json!({"below": "1.00"})),
        fixed("applications", "GET", "/applications"),
        fixed("new application", "POST", "/applications").with(|n| json!({"displayName": format!("app {n}"), "org": "other"})),
        fixed("application", "GET", "/applications/acme"),
        fixed("change of an application", "PATCH", "/applications/acme").with(|_| json!({"displayName": "Acme"})),
        fixed("new key", "POST", "/applications/acme/api-keys").with(|_| json!({"mode": "live"})),
        fixed("keys", "GET", "/applications/acme/api-keys"),
        fixed("templates", "GET", "/applications/acme/templates"),
        fixed("endpoint", "POST", "/applications/acme/webhooks/default").with(|_| json!({"url": "https://shop.example.com/hook"})),
        fixed("endpoints", "GET", "/applications/acme/webhooks"),
        fixed("one endpoint", "GET", "/applications/acme/webhooks/default"),
        fixed("deliveries", "GET", "/applications/acme/deliveries"),
        fixed("replay of a range", "POST", "/applications/acme/webhooks/default/replay").with(|_| json!({"from": "2026-01-01"})),
        fixed("user", "POST", "/applications/acme/users/show").with(|_| json!({"user": "905321234567"})),
        fixed("note of a user", "POST", "/applications/acme/users/note").with(|_| json!({"user": "905321234567", "note": "wrote"})),
        fixed("rates", "GET", "/rates"),
        fixed("a price", "GET", "/rates/price?to=905321234567&category=service&app=acme"),
        fixed("verify", "POST", "/ledger/verify"),
        fixed("messages", "GET", "/messages?org=acme"),
        fixed("one message", "GET", &shown),
        fixed("quarantine", "GET", "/quarantine"),
        fixed("one in quarantine", "GET", "/quarantine/ID").about(About::Quarantined),
        fixed("discarding", "POST", "/quarantine/ID/discard").about(About::Quarantined),
        fixed("replay of a payload", "POST", "/quarantine/ID/replay").about(About::Quarantined),
        Route {
            // The work goes on behind an answer that waits for it ten seconds.
            behind: ERASING,
            ..fixed("erasure", "POST", "/organizations/acme/erase").with(|n| json!({"user": format!("90533{:07}", n % 10_000_000)}))
        },
        fixed("erasures", "GET", "/organizations/acme/erasures"),
        fixed("one erasure", "GET", "/organizations/acme/erasures/ID").about(About::Erasure),
        fixed("carrying out of erasures", "POST", "/erasures/carry-out"),
        fixed("connecting", "POST", "/applications/other/connect")
            .with(|_| json!({"phoneNumberId": "1002", "wabaId": "21002", "accessToken": "EAAtoken"})),
        fixed("suspending", "POST", "/applications/other/suspend").about(About::Resumed),
        fixed("resuming", "POST", "/applications/other/resume").about(About::Suspended),
        fixed("sync of templates", "POST", "/applications/acme/templates/sync").with(|_| json!({})),
        fixed("deletion of an endpoint", "DELETE", "/applications/acme/webhooks/ID").about(About::Endpoint),
        fixed("rotation of an endpoint", "POST", "/applications/acme/webhooks/ID/rotate").about(About::Endpoint).with(|_| json!({})),
        fixed("test of an endpoint", "POST", "/applications/acme/webhooks/ID/test").about(About::Endpoint),
        fixed("enabling", "POST", "/applications/acme/webhooks/ID/enable")
            .about(About::EndpointThatIsOff)
            .with(|_| json!({"backlog": "drop"})),
        fixed("disabling", "POST", "/applications/acme/webhooks/ID/disable").about(About::Endpoint),
        fixed("one delivery", "GET", "/applications/acme/deliveries/ID").about(About::Event),
        fixed("replay of a delivery", "POST", "/applications/acme/deliveries/ID/replay").about(About::Event).with(|_| json!({})),
        fixed("end of a key", "DELETE", "/api-keys/ID").about(About::Key),
        fixed("rotation of a key", "POST", "/api-keys/ID/rotate").about(About::Key).with(|_| json!({})),
        fixed("import of rates", "POST", "/rates").with(|_| json!({"csv": CARD})),
        fixed("preview of rates", "POST", "/rates/preview").with(|_| json!({"csv": CARD})),
        fixed("resolution", "POST", "/messages/resolve")
            .about(About::MessageThatIsLost)
            .with_id(|id| json!({"message": id, "as": "not-sent", "reason": "x"})),
        fixed("refund", "POST", "/messages/refund")
            .about(About::MessageThatIsAccepted)
            .with_id(|id| json!({"message": id, "leg": "base", "reason": "x"})),
        fixed("doctor", "GET", "/doctor"),
        route("backup", Who::Operator, "POST", move |_| "/api/v1/operator/backup".to_owned())
            .with(move |n| json!({"target": folder.join(format!("copy-{n}"))})),
    ]
}

/// What was told, by fault: a panic of every call that a route's answer needs is SYS_001.
#[track_caller]
fn assert_met(told: &BTreeMap<String, BTreeSet<String>>, route: &str, code: &str) {
    let met = told.get(&format!("{route} Panics")).is_some_and(|answers| answers.iter().any(|answer| answer.ends_with(code)));
    assert!(met, "{route} never answered {code}: {told:#?}");
}

#[tokio::test]
async fn a_bug_below_a_public_route_is_one_documented_answer_and_nothing_else() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let bench = bench().await;
            let first = route("first", Who::Customer, "POST", |_| "/v1/wa/message".to_owned())
                .with(text)
                .headed(|_, _| "Content-Type: application/json\r\nIdempotency-Key: first\r\n".to_owned());
            let sent = bench.ask(&first).await;
            assert_eq!(sent.status, 200, "{sent:?}");
            let message = sent.header("x-message-id").expect("its id").to_owned();
            let mut told = BTreeMap::new();
            for route in public(&message) {
                plague(&bench, &route, &mut told).await;
            }
            for name in ["send", "send with a key", "fake", "check", "look-up", "look-up by key", "me", "events"] {
                assert_met(&told, name, "SYS_001");
            }
            assert_met(&told, "send", "GW_003");
            assert_met(&told, "webhook", "GW_004");
            assert_met(&told, "webhook of nobody's", "GW_004");
        })
        .await;
}

#[tokio::test]
async fn a_bug_below_an_operators_route_is_one_documented_answer_and_nothing_else() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let bench = bench().await;
            let sent = bench.ask(&route("first", Who::Customer, "POST", |_| "/v1/wa/message".to_owned()).with(text)).await;
            let message = sent.header("x-message-id").expect("its id").to_owned();
            let copies = tempfile::tempdir().expect("a folder");
            let mut told = BTreeMap::new();
            for route in operators(&message, copies.path()) {
                plague(&bench, &route, &mut told).await;
            }
            // Every route that needs the store for its answer; the others have what they tell in memory.
            let from_memory = [
                "organizations",
                "applications",
                "application",
                "templates",
                "rates",
                "a price",
                "preview of rates",
                "test of an endpoint",
            ];
            for route in operators(&message, copies.path()) {
                if !from_memory.contains(&route.name) {
                    assert_met(&told, route.name, "SYS_001");
                }
            }
        })
        .await;
}

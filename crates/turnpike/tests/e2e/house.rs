//! A gateway with a simulated Meta beside it, each a process of its own, and what tests ask of them.
//!
//! A [`House`] is set up as an operator would: through the operator's routes on the data folder's
//! socket. It can be killed and opened again on the same folder; the simulator goes on meanwhile
//! and remembers every POST, which makes it the outside witness of all that a gateway claims.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Answer, Ask, Client, Target};
use crate::process::{Process, text_of};

/// Where callers send.
pub(crate) const SEND: &str = "/v1/wa/message";

/// The number id of the first application.
pub(crate) const NUMBER_ID: &str = "100000000000001";

/// Requests that a key may make, where a test is not about limits.
pub(crate) const UNLIMITED_PER_SECOND: u32 = 100_000;

/// How a house is to be.
pub(crate) struct Plan {
    /// What is paid in at first, as a decimal.
    pub(crate) top_up: &'static str,
    /// `--set` of `serve`.
    pub(crate) settings: Vec<String>,
    /// Further flags of `turnpike simulator`.
    pub(crate) simulator: Vec<String>,
    /// Environment of `serve`.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Whether the gateway speaks HTTP/2 over TLS with the simulator, or plain HTTP/1.1.
    pub(crate) wire: Wire,
    /// The application's ceiling towards Meta, in messages a second.
    pub(crate) number_per_second: u32,
}

/// What gateway and simulator speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Plain HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS, with the simulator's own certificate.
    Http2,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            top_up: "1000.00",
            settings: Vec::new(),
            simulator: Vec::new(),
            environment: Vec::new(),
            wire: Wire::Http1,
            number_per_second: 100_000,
        }
    }
}

/// A gateway, its simulator and who calls them.
pub(crate) struct House {
    /// `serve`.
    pub(crate) gateway: Process,
    /// `simulator`.
    pub(crate) simulator: Process,
    /// Callers.
    pub(crate) api: Client,
    /// The operator.
    pub(crate) operator: Client,
    /// The simulator's own routes.
    pub(crate) witness: Client,
    /// Where callers reach the gateway, `127.0.0.1:1234`.
    pub(crate) address: String,
    /// The application's live key.
    pub(crate) live: String,
    /// And the id of it.
    pub(crate) live_id: String,
    /// The application's sandbox key.
    pub(crate) sandbox: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    folder: TempDir,
}

impl House {
    /// Starts both and furnishes the gateway: one organization, money, one application, two keys.
    pub(crate) async fn open(plan: Plan) -> House {
        let folder = tempfile::Builder::new().prefix("tp").tempdir().expect("a temporary folder");
        let (simulator, url) = start_simulator(folder.path(), &plan);
        let mut arguments = vec!["--json".to_owned(), "--data".to_owned(), text_of(&data(folder.path()))];
        arguments.extend(["--listen", "127.0.0.1:0", "--graph-url", &url].map(str::to_owned));
        if plan.wire == Wire::Http2 {
            arguments.extend(["--graph-ca-file".to_owned(), text_of(&folder.path().join(CA))]);
        }
        for setting in DEFAULTS.iter().map(|setting| (*setting).to_owned()).chain(plan.settings.iter().cloned()) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let (gateway, address) = serve(&arguments, &plan.environment);
        let mut house = House {
            gateway,
            simulator,
            api: Client::of_url(&address),
            operator: Client::new(Target::Unix(data(folder.path()).join("control.sock"))),
            witness: witness(folder.path(), &url),
            address,
            live: String::new(),
            live_id: String::new(),
            sandbox: String::new(),
            arguments,
            environment: plan.environment,
            folder,
        };
        house.furnish(plan.top_up, plan.number_per_second).await;
        house
    }

    async fn furnish(&mut self, top_up: &str, number_per_second: u32) {
        self.order("/organizations", json!({"name": "Acme"})).await;
        self.top_up(top_up).await;
        self.order(
            "/applications",
            json!({
                "displayName": "Shop",
                "appId": "shop",
                "settings": {"numberPerSecond": number_per_second},
                "connect": connection(NUMBER_ID, "200000000000001"),
            }),
        )
        .await;
        let live = self.new_key("shop", json!({})).await;
        self.live = key_text(&live);
        self.live_id = live["id"].as_str().expect("a key has an id").to_owned();
        self.sandbox = key_text(&self.new_key("shop", json!({"mode": "sandbox"})).await);
        self.order("/applications/shop/templates/sync", json!({})).await;
    }

    /// Where the gateway keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        data(self.folder.path())
    }

    /// Where the simulator listens.
    pub(crate) fn simulator_url(&self) -> String {
        let named = self.arguments.iter().skip_while(|argument| *argument != "--graph-url").nth(1);
        named.expect("the gateway was told where it is").clone()
    }

    /// SIGKILL for the gateway.
    pub(crate) fn kill_gateway(&mut self) {
        self.gateway.kill();
    }

    /// Opens the gateway again on the same folder, at a new address.
    pub(crate) fn reopen_gateway(&mut self) {
        self.reopen_gateway_with(&[]);
    }

    /// Opens the gateway again with other settings beside the first ones.
    pub(crate) fn reopen_gateway_with(&mut self, settings: &[&str]) {
        let mut arguments = self.arguments.clone();
        for setting in settings {
            arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
        }
        let (gateway, address) = serve(&arguments, &self.environment);
        self.gateway = gateway;
        self.api = Client::of_url(&address);
        self.operator = Client::new(Target::Unix(self.data().join("control.sock")));
        self.address = address;
    }

    /// Sends with the live key.
    pub(crate) async fn send(&self, body: &Value) -> Answer {
        self.api.call(post(&self.live, body)).await
    }

    /// Sends with the live key under an Idempotency-Key.
    pub(crate) async fn send_keyed(&self, body: &Value, key: &str) -> Answer {
        self.api.call(post(&self.live, body).key(key)).await
    }

    /// What an operator's GET answers.
    pub(crate) async fn ask(&self, path: &str) -> Value {
        done(path, &self.operator.call(Ask::get(&format!("{OPERATOR}{path}"))).await)
    }

    /// What an operator's POST answers.
    pub(crate) async fn order(&self, path: &str, body: Value) -> Value {
        done(path, &self.try_order(path, body).await)
    }

    /// An operator's POST, which may be refused.
    pub(crate) async fn try_order(&self, path: &str, body: Value) -> Answer {
        self.operator.call(Ask::post(&format!("{OPERATOR}{path}")).json(&body)).await
    }

    /// Changes a setting of the application.
    pub(crate) async fn change_app(&self, app: &str, body: Value) {
        let path = format!("{OPERATOR}/applications/{app}");
        done(&path, &self.operator.call(Ask::new(http::Method::PATCH, &path).json(&body)).await);
    }

    /// Pays in.
    pub(crate) async fn top_up(&self, amount: &str) {
        self.order("/organizations/-/wallet/top-up", json!({"amount": amount, "reason": "paid in"})).await;
    }

    /// Makes a key; limits are high where `policy` does not say otherwise.
    pub(crate) async fn new_key(&self, app: &str, policy: Value) -> Value {
        let mut body = json!({"ratePerSecond": UNLIMITED_PER_SECOND, "ratePerMinute": 60 * UNLIMITED_PER_SECOND});
        let asked = policy.as_object().expect("a policy is an object").clone();
        body.as_object_mut().expect("an object").extend(asked);
        self.order(&format!("/applications/{app}/api-keys"), body).await
    }

    /// The text of a new key.
    pub(crate) async fn key(&self, policy: Value) -> String {
        key_text(&self.new_key("shop", policy).await)
    }

    /// The live wallet in millionths: posted, held, available.
    pub(crate) async fn wallet(&self) -> Wallet {
        self.wallet_of(false).await
    }

    /// A wallet, live or sandbox.
    pub(crate) async fn wallet_of(&self, sandbox: bool) -> Wallet {
        let view = self.ask(&format!("/organizations/-/wallet?sandbox={sandbox}")).await;
        Wallet { posted: micros(&view["posted"]), held: micros(&view["held"]), available: micros(&view["available"]) }
    }

    /// Proves the ledger, and says what does not hold.
    pub(crate) async fn verify(&self) {
        let proof = self.order("/ledger/verify", json!({})).await;
        assert_eq!(proof["clean"], true, "the ledger is not clean: {proof:#}");
        assert!(proof["checks"].as_array().is_some_and(|checks| checks.len() >= 6), "few invariants were proved: {proof:#}");
    }

    /// Every stored message in a state (`any` for all), newest first.
    pub(crate) async fn messages(&self, state: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut before = String::new();
        loop {
            let path = format!("{OPERATOR}/messages?state={state}&limit=500{before}");
            let answer = self.operator.call(Ask::get(&path)).await;
            let page = done(&path, &answer);
            messages.extend(page.as_array().expect("a list").iter().cloned());
            match answer.json()["pagingMetadata"]["nextCursor"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return messages,
            }
        }
    }

    /// A message as its owner sees it, by id or wamid.
    pub(crate) async fn look_up(&self, id: &str) -> Answer {
        self.api.call(Ask::get(&format!("{SEND}/{}", encoded(id))).bearer(&self.live)).await
    }

    /// A message by its Idempotency-Key.
    pub(crate) async fn look_up_key(&self, key: &str) -> Answer {
        self.api.call(Ask::get(SEND).bearer(&self.live).key(key)).await
    }

    /// What the simulator was POSTed as messages, oldest first.
    pub(crate) async fn posts(&self) -> Vec<Value> {
        let all = self.witness.call(Ask::get("/_sim/requests?limit=1000000")).await.json();
        all.as_array()
            .expect("the record is a list")
            .iter()
            .filter(|request| request["method"] == "POST" && request["path"].as_str().is_some_and(|path| path.contains("messages")))
            .cloned()
            .collect()
    }

    /// What the simulator was POSTed for one recipient (digits).
    pub(crate) async fn posts_to(&self, digits: &str) -> Vec<Value> {
        let to = format!("+{digits}");
        self.posts().await.into_iter().filter(|post| post["body"]["to"] == to.as_str()).collect()
    }

    /// Sets a rule of the simulator's; gives its number.
    pub(crate) async fn script(&self, rule: Value) -> u64 {
        let answer = self.witness.call(Ask::post("/_sim/script").json(&rule)).await;
        assert_eq!(answer.status, 201, "the simulator takes the rule {rule}: {}", answer.summary());
        answer.json()["ids"][0].as_u64().expect("a rule has a number")
    }

    /// Takes every rule back.
    pub(crate) async fn unscript(&self) {
        self.witness.call(Ask::new(http::Method::DELETE, "/_sim/script")).await;
    }

    /// Waits until a message under a key has left the state `admitted`.
    pub(crate) async fn settled(&self, key: &str) -> Value {
        for _ in 0..600 {
            let found = self.look_up_key(key).await;
            if found.status == 200 && found.json()["data"]["state"] != "admitted" {
                return found.json()["data"].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the message under {key} got no outcome: {}", self.look_up_key(key).await.summary())
    }
}

/// A wallet in millionths of its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wallet {
    /// Paid in and not taken.
    pub(crate) posted: i64,
    /// Reserved.
    pub(crate) held: i64,
    /// The difference.
    pub(crate) available: i64,
}

/// Where the operator's routes begin.
const OPERATOR: &str = "/api/v1/operator";

/// The simulator's certificate authority, beside the data folder.
const CA: &str = "ca.pem";

/// So that a thousand callers of one machine get in.
const DEFAULTS: [&str; 2] = ["limits.connections_per_address=4000", "log.level=info"];

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Starts a gateway; gives its address without the scheme.
fn serve(arguments: &[String], environment: &[(&'static str, String)]) -> (Process, String) {
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (process, announced) = Process::announcing("serve", arguments, &environment);
    let url = announced["address"].as_str().expect("its address");
    (process, url.strip_prefix("http://").expect("callers are not encrypted here").to_owned())
}

/// Starts the simulator; its record is on disk before it answers.
fn start_simulator(folder: &Path, plan: &Plan) -> (Process, String) {
    let mut arguments: Vec<String> = ["--listen", "127.0.0.1:0", "--json", "--data"].map(str::to_owned).to_vec();
    arguments.push(text_of(&folder.join("simulator")));
    match plan.wire {
        Wire::Http1 => arguments.push("--no-http2".to_owned()),
        Wire::Http2 => arguments.extend(["--tls-self-signed".to_owned(), "--tls-ca-out".to_owned(), text_of(&folder.join(CA))]),
    }
    arguments.extend(plan.simulator.iter().cloned());
    std::fs::create_dir_all(folder.join("simulator")).expect("a folder for the record");
    let (process, announced) = Process::announcing("simulator", &arguments, &[]);
    let url = announced["address"].as_str().expect("its address").to_owned();
    (process, url)
}

fn witness(folder: &Path, url: &str) -> Client {
    match url.strip_prefix("https://") {
        Some(address) => Client::new(Target::Tls(address.trim_end_matches('/').to_owned(), folder.join(CA))),
        None => Client::of_url(url),
    }
}

/// What an application is connected with.
pub(crate) fn connection(number_id: &str, waba_id: &str) -> Value {
    json!({"phoneNumberId": number_id, "wabaId": waba_id, "accessToken": "EAATESTS0000000000000000", "phoneNumber": "15550001000"})
}

/// The text of a key as the answer that made it shows it.
pub(crate) fn key_text(made: &Value) -> String {
    made["key"].as_str().unwrap_or_else(|| panic!("a made key shows its text once: {made}")).to_owned()
}

/// `data` of an answer that must be 200.
fn done(what: &str, answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{what}: {}", answer.summary());
    let mut body = answer.json();
    assert_eq!(body["isSuccess"], true, "{what}: {body}");
    body["data"].take()
}

/// A send.
pub(crate) fn post(key: &str, body: &Value) -> Ask {
    Ask::post(SEND).bearer(key).json(body)
}

/// A text message.
pub(crate) fn text(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Your parcel has left our house."}})
}

/// The nth ordinary recipient: a Turkish number that no rule or magic knows.
pub(crate) fn recipient(n: usize) -> String {
    format!("90532{n:07}")
}

/// Millionths of a decimal text.
pub(crate) fn micros(amount: &Value) -> i64 {
    let text = amount.as_str().unwrap_or_else(|| panic!("an amount is a decimal text, not {amount}"));
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let part = format!("{part:0<6}");
    sign * (whole.parse::<i64>().expect("digits") * 1_000_000 + part.parse::<i64>().expect("at most six digits"))
}

/// A wamid as a path's tail.
pub(crate) fn encoded(id: &str) -> String {
    id.replace('%', "%25").replace('/', "%2F").replace('+', "%2B").replace('=', "%3D")
}

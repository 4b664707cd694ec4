//! `turnpike listen`: a developer's program gets each event as an endpoint would, and the terminal
//! shows nobody's words or number.
//!
//! Signatures are verified here with a MAC of another library's, from the secret that was printed.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::Ask;
use crate::house::{House, NUMBER_ID, Plan, recipient};
use crate::process::text_of;
use crate::receiver::{Received, Receiver};

/// Our app at Meta.
const META_APP: [(&str, &str); 3] = [
    ("TURNPIKE_META_APP_ID", "1234567890"),
    ("TURNPIKE_META_APP_SECRET", "0123456789abcdef0123456789abcdef"),
    ("TURNPIKE_META_APP_VERIFY_TOKEN", "a-token-that-only-meta-knows"),
];

/// What a user says; it must not be shown.
const WORDS: &str = "canary in the coal mine";

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `turnpike listen` whose output goes to files.
struct Listening {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Listening {
    fn start(house: &House, name: &str, key: &str, arguments: &[&str]) -> Listening {
        let (out, err) = (house.data().join(format!("{name}.out")), house.data().join(format!("{name}.err")));
        let child = Command::new(env!("CARGO_BIN_EXE_turnpike"))
            .args(["listen", "--data", &text_of(&house.data())])
            .args(arguments)
            .env_remove("TURNPIKE_API_KEY_FILE")
            .env("TURNPIKE_API_KEY", key)
            .stdin(Stdio::null())
            .stdout(Stdio::from(File::create(&out).expect("a file")))
            .stderr(Stdio::from(File::create(&err).expect("a file")))
            .spawn()
            .expect("the program starts");
        Listening { child, out, err }
    }

    fn out(&self) -> String {
        std::fs::read_to_string(&self.out).expect("a file")
    }

    fn err(&self) -> String {
        std::fs::read_to_string(&self.err).expect("a file")
    }

    fn lines(&self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Waits until its output satisfies `found`.
    async fn until<T>(&self, what: &str, found: impl Fn(&str) -> Option<T>) -> T {
        for _ in 0..PATIENCE.as_millis() / 20 {
            if let Some(found) = found(&self.out()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what} was never shown:\n{}\n{}", self.out(), self.err())
    }

    /// Ctrl-C, and how it ends.
    fn interrupt(&mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, Signal::INT).expect("it runs");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn house() -> House {
    let environment = META_APP.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    House::open(Plan { environment, ..Plan::default() }).await
}

/// A user writes: Meta tells the gateway, which takes it.
async fn user_writes(house: &House, n: usize) {
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": "200000000000001", "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001000", "phone_number_id": NUMBER_ID},
            "contacts": [{"profile": {"name": "A user"}, "wa_id": recipient(1)}],
            "messages": [{"from": recipient(1), "id": wamid(n), "timestamp": (1_795_000_000 + n).to_string(),
                "type": "text", "text": {"body": WORDS}}],
        }}]}],
    })
    .to_string();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, META_APP[1].1.as_bytes()), body.as_bytes());
    let asked = Ask::post("/v1/meta/webhook")
        .bytes(body)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", &format!("sha256={}", hexadecimal(tag.as_ref())));
    let answer = house.api.call(asked).await;
    assert_eq!(answer.status, 200, "{}", answer.summary());
}

fn wamid(n: usize) -> String {
    format!("wamid.LISTEN{n:06}")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Both signatures are those of the bytes that came, by the secret that was shown.
fn is_signed(received: &Received, secret: &str) {
    let decoded = STANDARD.decode(secret.strip_prefix("whsec_").expect("a signing secret")).expect("base64");
    let signed = format!("{}.{}.{}", received.id(), received.header("webhook-timestamp"), received.body);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &decoded), signed.as_bytes());
    assert_eq!(received.header("webhook-signature"), format!("v1,{}", STANDARD.encode(tag.as_ref())));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), received.body.as_bytes());
    assert_eq!(received.header("x-hub-signature-256"), format!("sha256={}", hexadecimal(tag.as_ref())));
    assert_eq!((received.kind(), received.header("x-gateway-application")), ("messages", "shop"));
    assert!(received.id().starts_with("msg_") && !received.headers.contains_key("authorization"), "{:?}", received.headers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_handed_on_once_as_a_delivery_though_the_gateway_is_killed() {
    let mut house = house().await;
    let receiver = Receiver::answering(|received| if received.body.contains("LISTEN000001") { 500 } else { 200 }).await;
    let mut listening = Listening::start(&house, "forward", &house.live, &["--json", "--forward-to", &receiver.url]);
    let secret = listening
        .until("that it listens", |out| {
            let greeting: Value = serde_json::from_str(out.lines().next()?).ok()?;
            assert_eq!((&greeting["listening"], &greeting["forwardTo"]), (&json!("shop"), &json!(receiver.url)));
            Some(greeting["secret"].as_str()?.to_owned())
        })
        .await;
    for n in 0..3 {
        user_writes(&house, n).await;
    }
    receiver.wait_until("three events", |all| (all.len() == 3).then_some(())).await;
    house.kill_gateway();
    house.reopen_gateway();
    user_writes(&house, 3).await;
    receiver.wait_until("the event after the start", |all| (all.len() == 4).then_some(())).await;
    listening.until("the fourth event", |out| (out.lines().count() == 5).then_some(())).await;

    let all = receiver.all();
    for (n, received) in all.iter().enumerate() {
        is_signed(received, &secret);
        assert_eq!(received.value()["messages"][0]["id"], wamid(n), "in order, each once");
    }
    assert!(listening.err().contains("Connected again"), "{}", listening.err());
    assert!(listening.interrupt().success());
    let lines = listening.lines();
    assert_eq!(lines.last(), Some(&json!({"events": 4, "answered2xx": 3, "failed": 1})));
    for (line, received) in lines[1..5].iter().zip(&all) {
        assert_eq!((&line["event"], &line["id"], &line["about"]), (&json!("messages"), &json!(received.id()), &json!("text")));
        assert!(line["ms"].is_u64(), "{line}");
    }
    assert_eq!(lines[1..5].iter().map(|line| line["status"].as_u64()).collect::<Vec<_>>(), [Some(200), Some(500), Some(200), Some(200)]);
    assert!(!listening.out().contains(WORDS) && !listening.out().contains(&recipient(1)), "{}", listening.out());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_program_it_shows_kinds_and_short_ids_alone() {
    let house = house().await;
    let mut listening = Listening::start(&house, "show", &house.live, &["--events", "messages"]);
    listening.until("that it listens", |out| out.contains("Listening for events of shop").then_some(())).await;
    user_writes(&house, 7).await;
    let line = listening.until("the event", |out| out.lines().find(|line| line.contains("msg_…")).map(str::to_owned)).await;
    assert!(line.contains("  messages text  "), "{line}");
    assert!(listening.interrupt().success());
    let shown = listening.out();
    assert!(shown.contains("1 event."), "{shown}");
    assert!(
        !shown.contains(WORDS) && !shown.contains(&recipient(1)) && !shown.contains("whsec_") && !shown.contains(&house.live),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_works_no_more_ends_it_with_a_sentence() {
    let house = house().await;
    let mut listening = Listening::start(&house, "revoked", &house.live, &[]);
    listening.until("that it listens", |out| out.contains("Listening").then_some(())).await;
    let path = format!("/api/v1/operator/api-keys/{}", house.live_id);
    let revoked = house.operator.call(Ask::new(http::Method::DELETE, &path)).await;
    assert_eq!(revoked.status, 200, "{}", revoked.summary());
    let ended = listening.child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(1));
    assert!(listening.err().contains("unknown, revoked or expired"), "{}", listening.err());
}

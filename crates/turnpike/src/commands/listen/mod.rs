//! `turnpike listen`: an application's events on a developer's machine.
//!
//! Each event is posted to the developer's program as a real delivery would be, signed by a secret of
//! this session, so that what works here works as an endpoint. What is shown of an event is its kind,
//! an id and how it was answered; never its text or whose number it is.

mod sse;

use std::time::Duration;

use bytes::Bytes;
use clap::Args as ClapArgs;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};
use turnpike_domain::api_key::{ApiKeyText, KeyKind, Presented};
use turnpike_domain::webhook::{SigningSecret, hub_signature, standard_signature};
use turnpike_engine::clock::{Clock as _, SystemClock};
use turnpike_engine::entropy::{Entropy as _, SystemEntropy};
use turnpike_engine::secret::Secret;
use url::Url;

use self::sse::{Event, Reader};
use super::api_key::KeyArgs;
use super::context::{Context, count};
use crate::cli::Remote;
use crate::client::{Gateway, post};
use crate::failure::Failure;
use crate::output::{Out, Style};

/// Where a gateway streams events.
const EVENTS_PATH: &str = "/v1/wa/events";

/// As long as a delivery waits (contract §7).
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A stream says something every 15 s; what is silent for three of these is gone.
const SILENT_MAX: Duration = Duration::from_secs(45);

/// The first wait before connecting again; it doubles up to the other.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// Follow an application's events, and hand them to a program on this machine.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Needs an API key with the scope `webhooks`: --key, --key-file, TURNPIKE_API_KEY, or, in a folder of
`turnpike demo`, the demo's. A live key hears live events, a sandbox key those of the simulator.

Examples:
  turnpike listen
  turnpike listen --forward-to http://localhost:3000/hook
  turnpike listen --sandbox --events messages,message_status --forward-to http://localhost:3000/hook")]
pub(crate) struct Args {
    /// POST each event there, as a delivery to an endpoint would be
    #[arg(long, value_name = "URL")]
    forward_to: Option<String>,
    /// Only these events, separated by commas, such as messages,message_status; or all
    #[arg(long, value_name = "NAMES")]
    events: Option<String>,
    /// Begin after this event rather than with what comes now
    #[arg(long, value_name = "EVENT_ID")]
    after: Option<String>,
    /// Sign with this secret (whsec_…) rather than one made for this session
    #[arg(long, value_name = "SECRET", requires = "forward_to")]
    secret: Option<String>,
    /// Send this as Authorization: Bearer
    #[arg(long, value_name = "TEXT", requires = "forward_to")]
    bearer: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    remote: Remote,
}

/// Does it until Ctrl-C.
pub(crate) fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let forward = args.forward()?;
    let gateway = context.gateway(&args.remote)?;
    if !gateway.runs() {
        let folder = gateway.folder().map(|folder| folder.display().to_string()).unwrap_or_default();
        return Err(Failure::Unreachable(format!(
            "no gateway runs on {folder}, so there are no events. Start it with: turnpike serve --data {folder}"
        )));
    }
    let key = args.key.find(context, &gateway)?;
    let sandbox = matches!(ApiKeyText::parse(key.expose()).map(Presented::kind), Some(KeyKind::Sandbox));
    let path = match &args.events {
        Some(names) if names.trim() != "all" => format!("{EVENTS_PATH}?events={}", names.replace(' ', "")),
        _ => EVENTS_PATH.to_owned(),
    };
    let listener = Listener { gateway: &gateway, out: context.out, path, key, sandbox, forward, clock: SystemClock::new() };
    gateway.block_on(listener.run(args.after.clone()))
}

/// Where events go, and how they are signed.
struct Forward {
    url: Url,
    secret: SigningSecret,
    bearer: Option<Secret>,
}

impl Args {
    fn forward(&self) -> Result<Option<Forward>, Failure> {
        let Some(text) = &self.forward_to else { return Ok(None) };
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let url =
            url.ok_or_else(|| Failure::Usage(format!("--forward-to takes an address such as http://localhost:3000/hook, and is {text}")))?;
        let secret = match &self.secret {
            Some(text) => SigningSecret::parse(text.trim()).map_err(|problem| Failure::Usage(format!("--secret {problem}")))?,
            None => {
                let mut random = [0u8; 32];
                SystemEntropy.fill(&mut random);
                SigningSecret::generate(&random)
            }
        };
        Ok(Some(Forward { url, secret, bearer: self.bearer.clone().map(Secret::new) }))
    }
}

struct Listener<'a> {
    gateway: &'a Gateway,
    out: Out,
    path: String,
    key: Secret,
    sandbox: bool,
    forward: Option<Forward>,
    clock: SystemClock,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Tally {
    events: usize,
    taken: usize,
    failed: usize,
}

/// How an event was answered.
enum Answered {
    NotAsked,
    Status(u16, Duration),
    Failed(String, Duration),
}

impl Listener<'_> {
    async fn run(&self, after: Option<String>) -> Result<(), Failure> {
        let none = |error: std::io::Error| Failure::Unreachable(format!("this system tells nobody of Ctrl-C: {error}"));
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt()).map_err(none)?, signal(SignalKind::terminate()).map_err(none)?);
        let mut tally = Tally::default();
        let ended = tokio::select! {
            ended = self.follow(after, &mut tally) => ended,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        self.sum_up(&tally);
        ended
    }

    /// Follows for ever; only a refusal that stays ends it.
    async fn follow(&self, mut after: Option<String>, tally: &mut Tally) -> Result<(), Failure> {
        let mut was_open = false;
        let mut wait = AGAIN_MIN;
        loop {
            match self.follow_once(&mut after, tally, &mut was_open, &mut wait).await {
                Ok(()) => self.note("The stream ended; connecting again."),
                Err(failure) if is_passing(&failure) && was_open => {
                    self.note(&format!("{failure}\nTrying again in {} s.", wait.as_secs()));
                }
                Err(failure) => return Err(failure),
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    async fn follow_once(
        &self,
        after: &mut Option<String>,
        tally: &mut Tally,
        was_open: &mut bool,
        wait: &mut Duration,
    ) -> Result<(), Failure> {
        let mut headers = vec![("Accept", "text/event-stream".to_owned())];
        headers.extend(after.clone().map(|id| ("Last-Event-ID", id)));
        let mut stream = self.gateway.follow(&self.path, &headers, &self.key).await?;
        let app_id = stream.headers.get("x-gateway-application").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        self.greet(&app_id, std::mem::replace(was_open, true));
        let mut reader = Reader::default();
        while let Ok(Some(bytes)) = timeout(SILENT_MAX, stream.next()).await {
            *wait = AGAIN_MIN;
            for event in reader.take(&bytes).map_err(|problem| Failure::Unreachable(problem.to_owned()))? {
                let answered = self.hand_on(&event, &app_id).await;
                tally.count(&answered);
                self.show(&event, &answered);
                // Handed on, whatever it was answered: a developer who wants it again says --after.
                *after = Some(event.id);
            }
        }
        Ok(())
    }

    /// Posts an event to the developer's program.
    async fn hand_on(&self, event: &Event, app_id: &str) -> Answered {
        let Some(forward) = &self.forward else { return Answered::NotAsked };
        let body = Bytes::from(event.data.clone());
        let headers = headers(event, app_id, self.sandbox, &forward.secret, self.clock.now().0.div_euclid(1_000), &body);
        let began = Instant::now();
        match post(&forward.url, headers, forward.bearer.as_ref(), body, ANSWER_WITHIN).await {
            Ok(status) => Answered::Status(status.as_u16(), began.elapsed()),
            Err(problem) => Answered::Failed(problem, began.elapsed()),
        }
    }

    fn greet(&self, app_id: &str, again: bool) {
        if again {
            return self.note("Connected again; nothing was missed.");
        }
        let to = self.forward.as_ref().map(|forward| forward.url.to_string());
        let secret = self.forward.as_ref().map(|forward| forward.secret.as_str().to_owned());
        if self.out.json {
            return self.out.line(json!({"listening": app_id, "sandbox": self.sandbox, "forwardTo": to, "secret": secret}).to_string());
        }
        let what = if self.sandbox { "sandbox events" } else { "events" };
        self.out.line(format!("Listening for {what} of {app_id}. Ctrl-C ends it."));
        if let (Some(to), Some(secret)) = (to, secret) {
            self.out.line(format!("Each goes to {to}"));
            self.out.line(format!("Signing secret: {}", self.out.paint(Style::Bold, &secret)));
        }
    }

    fn show(&self, event: &Event, answered: &Answered) {
        let at = self.clock.now().to_rfc3339();
        let gist = gist(&event.data);
        if self.out.json {
            let (status, ms, problem) = match answered {
                Answered::NotAsked => (None, None, None),
                Answered::Status(status, took) => (Some(*status), Some(took.as_millis()), None),
                Answered::Failed(problem, took) => (None, Some(took.as_millis()), Some(problem)),
            };
            let ms = ms.and_then(|ms| u64::try_from(ms).ok());
            let line =
                json!({"at": at, "event": event.name, "id": event.id, "about": gist, "status": status, "ms": ms, "problem": problem});
            return self.out.line(line.to_string());
        }
        let clock = at.get(11..19).unwrap_or_default();
        let kind = match gist {
            Some(gist) if gist != event.name => format!("{} {gist}", event.name),
            _ => event.name.clone(),
        };
        let (style, result) = match answered {
            Answered::NotAsked => (Style::Plain, String::new()),
            Answered::Status(status @ 200..=299, took) => (Style::Good, format!("{status}  {} ms", took.as_millis())),
            Answered::Status(status, took) => (Style::Bad, format!("{status}  {} ms", took.as_millis())),
            Answered::Failed(problem, _) => (Style::Bad, problem.clone()),
        };
        let line = format!("{clock}  {kind:<34}  {:<13}  {}", short(&event.id), self.out.paint(style, &result));
        self.out.line(line.trim_end());
    }

    /// Something about the stream itself; not among the events.
    fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    fn sum_up(&self, tally: &Tally) {
        if self.out.json {
            return self.out.line(json!({"events": tally.events, "answered2xx": tally.taken, "failed": tally.failed}).to_string());
        }
        let events = count(tally.events, "event", "events");
        match &self.forward {
            Some(_) => self.out.line(format!("\n{events}: {} answered 2xx, {} not.", tally.taken, tally.failed)),
            None => self.out.line(format!("\n{events}.")),
        }
    }
}

impl Tally {
    fn count(&mut self, answered: &Answered) {
        self.events += 1;
        match answered {
            Answered::NotAsked => {}
            Answered::Status(200..=299, _) => self.taken += 1,
            Answered::Status(..) | Answered::Failed(..) => self.failed += 1,
        }
    }
}

/// Whether to connect again helps: the gateway is away, stops, is busy, or counts too many streams.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Answered { status, .. } => matches!(status, 408 | 429 | 500..),
        _ => false,
    }
}

/// The headers of a delivery (contract §7).
fn headers(event: &Event, app_id: &str, sandbox: bool, secret: &SigningSecret, unix_s: i64, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("content-type", "application/json");
    put("user-agent", concat!("Turnpike-Webhook/", env!("CARGO_PKG_VERSION")));
    put("webhook-id", &event.id);
    put("webhook-timestamp", &unix_s.to_string());
    put("webhook-signature", &standard_signature(&[secret], &event.id, unix_s, body));
    put("x-hub-signature-256", &hub_signature(secret.as_str().as_bytes(), body));
    put("x-gateway-event", &event.name);
    put("x-gateway-application", app_id);
    if sandbox {
        put("x-gateway-mode", "sandbox");
    }
    if let Some(message) = &event.message {
        put("x-message-id", message);
    }
    headers
}

/// A word of what the event says: a status, a message's type, a field. Nothing that names anybody.
fn gist(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let change = &body["entry"][0]["changes"][0];
    let value = &change["value"];
    let words = [&value["statuses"][0]["status"], &value["messages"][0]["type"], &value["event"], &change["field"]];
    let word = words.into_iter().find_map(Value::as_str)?;
    let is_word = word.len() <= 32 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_word.then(|| word.to_owned())
}

/// The end of an id: enough to tell events of a session apart.
fn short(id: &str) -> String {
    let from = id.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    format!("msg_…{}", &id[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_names_nobody() {
        let status =
            r#"{"entry":[{"changes":[{"field":"messages","value":{"statuses":[{"status":"delivered","recipient_id":"905321234567"}]}}]}]}"#;
        assert_eq!(gist(status).as_deref(), Some("delivered"));
        let message = r#"{"entry":[{"changes":[{"field":"messages","value":{"messages":[{"type":"text","text":{"body":"hello"}}]}}]}]}"#;
        assert_eq!(gist(message).as_deref(), Some("text"));
        assert_eq!(gist(r#"{"entry":[{"changes":[{"field":"account_update","value":{}}]}]}"#).as_deref(), Some("account_update"));
        assert_eq!(gist(r#"{"entry":[{"changes":[{"field":"+90 532 123\u001b[2J"}]}]}"#), None);
        assert_eq!(gist("not json"), None);
        assert_eq!(short("msg_0197f3a2b4c64d0ea1b2c3d4e5f60718"), "msg_…e5f60718");
        assert_eq!(short(""), "msg_…");
    }

    #[test]
    fn an_event_bears_what_a_delivery_bears() {
        let secret = SigningSecret::generate(&[7; 32]);
        let event = Event { id: "msg_1".into(), name: "read".into(), data: "{}".into(), message: Some("0197".into()) };
        let made = headers(&event, "shop", true, &secret, 1_795_392_000, b"{}");
        for (name, value) in [
            ("content-type", "application/json"),
            ("user-agent", concat!("Turnpike-Webhook/", env!("CARGO_PKG_VERSION"))),
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1795392000"),
            ("x-gateway-event", "read"),
            ("x-gateway-application", "shop"),
            ("x-gateway-mode", "sandbox"),
            ("x-message-id", "0197"),
        ] {
            assert_eq!(made[name], value, "{name}");
        }
        assert_eq!(made["webhook-signature"], standard_signature(&[&secret], "msg_1", 1_795_392_000, b"{}").as_str());
        assert_eq!(made["x-hub-signature-256"], hub_signature(secret.as_str().as_bytes(), b"{}").as_str());
        assert!(!made.contains_key("authorization"));
    }

    #[test]
    fn only_what_passes_is_waited_for() {
        let answered = |status| Failure::Answered { status, errors: json!({}), advice: None };
        for status in [429, 500, 503] {
            assert!(is_passing(&answered(status)), "{status}");
        }
        for status in [400, 401, 403, 404] {
            assert!(!is_passing(&answered(status)), "{status}");
        }
        assert!(is_passing(&Failure::Unreachable(String::new())) && !is_passing(&Failure::Usage(String::new())));
    }
}

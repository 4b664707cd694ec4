//! One post: what an endpoint is sent, and what its answer means.

use tokio::time::Instant;
use turnpike_domain::ids::{MessageId, webhook_id};
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, Pace, Verdict, classify, retry_after_ms, standard_signature};
use turnpike_store::deliveries::Attempt;
use uuid::Uuid;

use crate::Engine;
use crate::endpoints::{KnownEndpoint, Way};
use crate::net::hooks::{Answered, Outgoing, PostFault};

/// An attempt and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// As it is kept.
    pub(crate) attempt: Attempt,
    /// What becomes of the delivery.
    pub(super) verdict: Verdict,
    /// What the endpoint asked for by `Retry-After`, in milliseconds.
    pub(super) retry_after_ms: Option<u64>,
    /// How the post ended.
    pub(super) end: PostEnd,
}

/// How a post ended: what the breaker and the counters go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostEnd {
    /// 2xx.
    Delivered,
    /// 3xx, which is not followed.
    Redirect,
    /// 410.
    Gone,
    /// 429.
    Limited,
    /// 5xx.
    ServerError,
    /// Any other answer.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// Its address may not be dialled.
    Blocked,
    /// No connection came about.
    Unreachable,
    /// The connection broke.
    Lost,
}

impl PostEnd {
    fn of_status(status: u16) -> PostEnd {
        match status {
            200..=299 => PostEnd::Delivered,
            300..=399 => PostEnd::Redirect,
            410 => PostEnd::Gone,
            429 => PostEnd::Limited,
            500.. => PostEnd::ServerError,
            _ => PostEnd::Refused,
        }
    }

    fn of_fault(fault: &PostFault) -> PostEnd {
        match fault {
            PostFault::Timeout(_) => PostEnd::Timeout,
            PostFault::Blocked(_) => PostEnd::Blocked,
            PostFault::Dns(_) | PostFault::Connect(_) | PostFault::Tls(_) => PostEnd::Unreachable,
            PostFault::Lost(_) => PostEnd::Lost,
        }
    }

    /// What it weighs on the endpoint's breaker; nothing where the endpoint lives: it answered, and
    /// neither 5xx nor 429. One that hangs costs a place for fifteen seconds, so it weighs double.
    pub(super) fn weight(self) -> Option<u32> {
        match self {
            PostEnd::Delivered | PostEnd::Redirect | PostEnd::Gone | PostEnd::Refused => None,
            PostEnd::Timeout => Some(2),
            PostEnd::Limited | PostEnd::ServerError | PostEnd::Blocked | PostEnd::Unreachable | PostEnd::Lost => Some(1),
        }
    }

    /// Its name among the counters.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            PostEnd::Delivered => "delivered",
            PostEnd::Redirect => "redirect",
            PostEnd::Gone => "gone",
            PostEnd::Limited => "limited",
            PostEnd::ServerError => "server_error",
            PostEnd::Refused => "refused",
            PostEnd::Timeout => "timeout",
            PostEnd::Blocked => "blocked",
            PostEnd::Unreachable => "unreachable",
            PostEnd::Lost => "lost",
        }
    }
}

/// Of an answer so much is kept where the delivery failed: enough for an error page's first words.
const ANSWER_KEPT_BYTES: usize = 4 * 1024;
/// And where it was taken.
const ANSWER_KEPT_BYTES_TAKEN: usize = 1024;
/// Of a fault's words so much is kept.
const FAULT_KEPT_BYTES: usize = 300;

impl Engine {
    /// Posts one event to an endpoint, signed for this very attempt.
    ///
    /// # Errors
    /// Why the endpoint cannot be posted to at all, as a sentence.
    pub(crate) async fn try_endpoint(
        &self,
        endpoint: &KnownEndpoint,
        event: Uuid,
        kind: EventKind,
        mode: Mode,
        message: Option<MessageId>,
        body: &[u8],
    ) -> Result<Tried, String> {
        let way = endpoint.way.as_ref().map_err(|problem| format!("the endpoint cannot be posted to: {problem}"))?;
        let at = self.clock.now();
        let mut request = signed(way, event, at, body);
        request.header("X-Gateway-Event", kind.as_str().as_bytes());
        request.header("X-Gateway-Application", endpoint.app_id.as_bytes());
        if mode == Mode::Sandbox {
            request.header("X-Gateway-Mode", mode.as_str().as_bytes());
        }
        if let (EventKind::MessageStatus | EventKind::Read, Some(message)) = (kind, message) {
            request.header("X-Message-Id", message.to_string().as_bytes());
        }
        let request = request.with_body(body);
        // Others are about to post as well: what can be written is written in one go, so that a receiver
        // wakes once for many. Waking one that sleeps costs more than a request's own bytes do.
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let ended = self.delivery.client.post(endpoint.row.key, &way.url, &request).await;
        let taken = begun.elapsed();
        let latency_ms = u32::try_from(taken.as_millis()).unwrap_or(u32::MAX);
        self.delivery.metrics.seconds.observe(taken.as_secs_f64());
        let tried = match ended {
            Ok(answered) => answer_means(&answered, at, latency_ms, self.clock.now()),
            Err(fault) => fault_means(&fault, at, latency_ms),
        };
        self.delivery.metrics.attempted(tried.end);
        Ok(tried)
    }
}

fn answer_means(answered: &Answered, at: UnixMs, latency_ms: u32, now: UnixMs) -> Tried {
    let verdict = classify(answered.status);
    let kept = if verdict == Verdict::Delivered { ANSWER_KEPT_BYTES_TAKEN } else { ANSWER_KEPT_BYTES };
    let retry_after_ms = match answered.status {
        429 | 503 => answered.retry_after.as_deref().and_then(|value| retry_after_ms(value, now)),
        _ => None,
    };
    Tried {
        attempt: Attempt { at, status: Some(answered.status), latency_ms, fault: None, answer: answer_kept(answered, kept) },
        verdict,
        retry_after_ms,
        end: PostEnd::of_status(answered.status),
    }
}

fn fault_means(fault: &PostFault, at: UnixMs, latency_ms: u32) -> Tried {
    let end = PostEnd::of_fault(fault);
    let said = answer_text(fault.to_string().as_bytes(), FAULT_KEPT_BYTES);
    Tried {
        attempt: Attempt { at, status: None, latency_ms, fault: Some(said), answer: String::new() },
        verdict: Verdict::Retry(if end == PostEnd::Timeout { Pace::Gentle } else { Pace::Usual }),
        retry_after_ms: None,
        end,
    }
}

/// The headers of every delivery to this endpoint, and the signatures of this attempt.
fn signed(way: &Way, event: Uuid, at: UnixMs, body: &[u8]) -> Outgoing {
    let old = way.old_secret.as_ref().filter(|(_, until)| *until > at).map(|(old, _)| old);
    let id = webhook_id(event);
    let seconds = at.0.div_euclid(1_000);
    let mut request = way.head.begun_anew(body.len());
    request.header("webhook-id", id.as_bytes());
    request.header("webhook-timestamp", itoa::Buffer::new().format(seconds).as_bytes());
    let signature = match old {
        None => standard_signature(&[&way.secret], &id, seconds, body),
        Some(old) => standard_signature(&[&way.secret, old], &id, seconds, body),
    };
    request.header("webhook-signature", signature.as_bytes());
    // Receivers made for Meta know one signature, so theirs stays the old one until the rotation ends.
    request.header("X-Hub-Signature-256", old.unwrap_or(&way.secret).hub_signature(body).as_bytes());
    request
}

/// What an endpoint said, as it is kept: of a redirect first where it leads, since that is what its
/// owner has to set instead.
fn answer_kept(answered: &Answered, kept: usize) -> String {
    match &answered.location {
        None => answer_text(&answered.body, kept),
        Some(location) => {
            let told = format!("redirects to {location}, which is not followed\n{}", String::from_utf8_lossy(&answered.body));
            answer_text(told.as_bytes(), kept)
        }
    }
}

/// At most `most` bytes of an answer as text, whatever it was.
fn answer_text(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most)]);
    let clean = text.chars().map(|character| if character.is_control() && character != '\n' { ' ' } else { character });
    let mut kept: String = clean.collect();
    let end = (0..=most.min(kept.len())).rev().find(|end| kept.is_char_boundary(*end)).unwrap_or(0);
    kept.truncate(end);
    kept
}

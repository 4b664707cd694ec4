//! Posting: batches, signatures, attempts and repeats.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::event::{self, Event};
use super::{Due, Subscribed, Webhooks, shown};
use crate::forgetting::Names;
use crate::plan::Signature;

/// Events that wait for one subscription at once; past this new ones are dropped.
const QUEUE_MAX: usize = 200_000;

/// POSTs that are under way to one callback at once.
const IN_FLIGHT_MAX: usize = 16;

/// Attempts that are kept for `GET /_sim/webhooks`.
const ATTEMPTS_KEPT: usize = 200;

/// Labels of events that an attempt shows.
const LABELS_SHOWN: usize = 10;

/// Characters of an answer that an attempt shows.
const ANSWER_SHOWN: usize = 200;

/// A body's bytes at most, as at Meta.
const BODY_MAX: usize = 3_000_000;

/// Simulated seconds between an attempt and the next; the last one repeats. Meta
/// says only "immediately, then with decreasing frequency".
pub const RETRY_AFTER_SECONDS: &[i64] = &[0, 1, 5, 30, 120, 600, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];

/// Simulated days after which a POST is given up.
pub const RETRY_FOR_DAYS: i64 = 7;

/// One attempt to post, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// Simulated time, RFC 3339.
    pub at: String,
    /// The POST's number; repeats bear the same.
    pub delivery: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Updates in the body.
    pub updates: usize,
    /// What the first of them are.
    pub events: Vec<String>,
    /// The body's length.
    pub bytes: usize,
    /// What the callback answered; none where it did not.
    pub status: Option<u16>,
    /// How its answer began, or why there was none.
    pub answer: String,
    /// When it is tried again, where it is.
    pub next_at: Option<String>,
}

/// A POST, through all its attempts.
pub(crate) struct Delivery {
    number: u64,
    body: Bytes,
    signature: Signature,
    updates: usize,
    labels: Vec<String>,
    attempts: u32,
    first_at: Timestamp,
    /// When this attempt was due.
    due: Timestamp,
    waiting: Vec<event::Attempted>,
}

impl Delivery {
    /// Whether its body names a user.
    pub(super) fn names(&self, names: &Names) -> bool {
        names.stand_in(&self.body)
    }
}

/// What one subscription is owed.
pub(crate) struct Queue {
    inner: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<Arc<Event>>,
    retries: VecDeque<Delivery>,
    in_flight: usize,
    retrying: usize,
    next_number: u64,
    closed: bool,
    delivered: u64,
    failed_attempts: u64,
    given_up: u64,
    dropped: u64,
    attempts: VecDeque<Attempt>,
}

/// How things stand.
pub(super) struct Counts {
    pub(super) queued: usize,
    pub(super) retrying: usize,
    pub(super) delivered: u64,
    pub(super) failed_attempts: u64,
    pub(super) given_up: u64,
    pub(super) dropped: u64,
    pub(super) attempts: Vec<Attempt>,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { inner: Mutex::new(State::default()), filled: Notify::new() }
    }

    pub(super) fn push(&self, event: Arc<Event>) {
        {
            let mut state = self.lock();
            if state.events.len() >= QUEUE_MAX {
                state.dropped += 1;
                return;
            }
            state.events.push_back(event);
        }
        self.filled.notify_one();
    }

    pub(super) fn repeat(&self, delivery: Delivery) {
        {
            let mut state = self.lock();
            state.retrying -= 1;
            state.retries.push_back(delivery);
        }
        self.filled.notify_one();
    }

    /// A repeat that was scheduled will not come.
    pub(super) fn gave_up_a_repeat(&self) {
        let mut state = self.lock();
        state.retrying -= 1;
        state.given_up += 1;
    }

    /// Forgets what names a user; how many things that were.
    pub(super) fn forget(&self, names: &Names) -> usize {
        let mut state = self.lock();
        let count = |state: &State| state.events.len() + state.retries.len() + state.attempts.len();
        let before = count(&state);
        state.events.retain(|event| !event.names(names));
        let retries = state.retries.len();
        state.retries.retain(|delivery| !delivery.names(names));
        state.given_up += (retries - state.retries.len()) as u64;
        state.attempts.retain(|attempt| {
            !attempt.events.iter().any(|label| names.stand_in(label.as_bytes())) && !names.stand_in(attempt.answer.as_bytes())
        });
        before - count(&state)
    }

    /// Nothing more is posted, and the pump ends.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.events.clear();
        state.retries.clear();
        drop(state);
        self.filled.notify_one();
    }

    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.events.is_empty() && state.retries.is_empty() && state.in_flight == 0
    }

    pub(super) fn counts(&self) -> Counts {
        let state = self.lock();
        Counts {
            queued: state.events.len(),
            retrying: state.retrying,
            delivered: state.delivered,
            failed_attempts: state.failed_attempts,
            given_up: state.given_up,
            dropped: state.dropped,
            attempts: state.attempts.iter().cloned().collect(),
        }
    }

    /// The next POST, already counted as under way.
    fn take(&self, batch_max: usize, now: Timestamp) -> Taken {
        let mut state = self.lock();
        if state.closed {
            return Taken::Closed;
        }
        if let Some(delivery) = state.retries.pop_front() {
            state.in_flight += 1;
            return Taken::Post(delivery);
        }
        let Some(first) = state.events.pop_front() else { return Taken::Nothing };
        let signature = first.signature;
        let mut weight = first.weight();
        let mut events = vec![first];
        // What is signed in its own way is posted on its own.
        while events.len() < batch_max && signature == Signature::Good {
            match state.events.front() {
                Some(next) if next.signature == Signature::Good && weight + next.weight() <= BODY_MAX => {
                    weight += next.weight();
                    events.extend(state.events.pop_front());
                }
                _ => break,
            }
        }
        state.in_flight += 1;
        state.next_number += 1;
        let number = state.next_number;
        drop(state);
        Taken::Post(Delivery {
            number,
            body: Bytes::from(event::body(&events)),
            signature,
            updates: events.len(),
            labels: events.iter().take(LABELS_SHOWN).map(|event| event.label.clone()).collect(),
            attempts: 0,
            first_at: now,
            due: now,
            waiting: events.iter().filter_map(|event| event.attempted.clone()).collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Taken {
    Post(Delivery),
    Nothing,
    Closed,
}

/// Posts what a subscription is owed, for as long as it exists.
pub(super) async fn pump(webhooks: Arc<Webhooks>, subscribed: Arc<Subscribed>) {
    let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut posting = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let delivery = loop {
            match subscribed.queue.take(webhooks.posting().batch_max, webhooks.clock.now()) {
                Taken::Post(delivery) => break delivery,
                Taken::Closed => return,
                Taken::Nothing => subscribed.queue.filled.notified().await,
            }
        };
        let (webhooks, subscribed) = (Arc::clone(&webhooks), Arc::clone(&subscribed));
        posting.spawn(async move {
            attempt(&webhooks, &subscribed, delivery).await;
            drop(permit);
        });
        while posting.try_join_next().is_some() {}
    }
}

async fn attempt(webhooks: &Webhooks, subscribed: &Arc<Subscribed>, mut delivery: Delivery) {
    delivery.attempts += 1;
    let at = webhooks.clock.now();
    let begun = Instant::now();
    let headers = headers(&subscribed.subscription.app_secret, &delivery);
    let outcome = subscribed.client.post(&headers, delivery.body.clone()).await;
    for waiting in delivery.waiting.drain(..) {
        event::release(&waiting);
    }
    let (status, answer) = match outcome {
        Ok(answered) => (Some(answered.status), answered.body.chars().take(ANSWER_SHOWN).collect()),
        Err(problem) => (None, problem),
    };
    let good = status == Some(200);
    let next_at = if good { None } else { next_attempt(webhooks, &delivery, begun) };
    let shown = Attempt {
        at: shown(at),
        delivery: delivery.number,
        attempt: delivery.attempts,
        updates: delivery.updates,
        events: delivery.labels.clone(),
        bytes: delivery.body.len(),
        status,
        answer,
        next_at: next_at.map(shown),
    };
    let mut state = subscribed.queue.lock();
    if state.attempts.len() >= ATTEMPTS_KEPT {
        state.attempts.pop_front();
    }
    state.attempts.push_back(shown);
    if good {
        state.delivered += 1;
    } else {
        state.failed_attempts += 1;
    }
    if let Some(next_at) = next_at {
        delivery.due = next_at;
        state.retrying += 1;
        if !webhooks.schedule.add(next_at, Due::Retry(Arc::clone(subscribed), delivery)) {
            state.retrying -= 1;
            state.given_up += 1;
        }
    } else if !good {
        state.given_up += 1;
    }
    // Last, so that nobody sees nothing under way while a repeat is being scheduled.
    state.in_flight -= 1;
}

/// When a POST that failed is tried again. Counted from when the attempt was due,
/// so that a clock that was put forward a week sees the attempts of that week.
fn next_attempt(webhooks: &Webhooks, delivery: &Delivery, begun: Instant) -> Option<Timestamp> {
    // A forger does not come back.
    if matches!(delivery.signature, Signature::Wrong | Signature::Missing) {
        return None;
    }
    let nth = (delivery.attempts as usize).saturating_sub(1).min(RETRY_AFTER_SECONDS.len() - 1);
    let took = SignedDuration::try_from_secs_f64(begun.elapsed().as_secs_f64() * webhooks.clock.speed()).ok()?;
    let next = delivery.due.checked_add(took + SignedDuration::from_secs(RETRY_AFTER_SECONDS[nth])).ok()?;
    let last = delivery.first_at.checked_add(SignedDuration::from_hours(24 * RETRY_FOR_DAYS)).ok()?;
    (next <= last).then_some(next)
}

fn headers(app_secret: &str, delivery: &Delivery) -> Vec<(&'static str, String)> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    let wrong = match delivery.signature {
        Signature::Good => false,
        Signature::Wrong => true,
        Signature::WrongFirst => delivery.attempts == 1,
        Signature::Missing => return headers,
    };
    let sign = |algorithm| {
        let key = hmac::Key::new(algorithm, app_secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(&delivery.body);
        if wrong {
            context.update(b" ");
        }
        hex::encode(context.sign())
    };
    headers.push(("x-hub-signature", format!("sha1={}", sign(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY))));
    headers.push(("x-hub-signature-256", format!("sha256={}", sign(hmac::HMAC_SHA256))));
    headers
}

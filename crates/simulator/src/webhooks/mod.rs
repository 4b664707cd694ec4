//! Webhooks out: who is told, of what, and how it went.
//!
//! A [`Subscription`] is a callback URL with the secrets that go with it. Events
//! are posted to every subscription that covers them, signed over the very bytes
//! that are sent, and repeated as Meta repeats them until the answer is 200.

mod client;
mod deliver;
pub(crate) mod event;
pub(crate) mod json;
mod schedule;
mod trust;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::clock::{self, SimulatedClock};
use crate::forgetting::Names;
use crate::memory::Remembered;
use crate::plan::PlannedStatus;
use crate::sent::SentMessage;
use client::Client;
pub use deliver::{Attempt, RETRY_AFTER_SECONDS, RETRY_FOR_DAYS};
use deliver::{Delivery, Queue};
use event::Event;
use schedule::Schedule;
use trust::Trust;

/// Subscriptions that may exist at once.
const SUBSCRIPTIONS_MAX: usize = 100;

/// Updates in one POST at most, as at Meta.
pub const BATCH_MAX: usize = 1_000;

/// How often a subscription that was made at the start tries its handshake, since
/// its receiver may start after us, and how long it waits in between.
const HANDSHAKES_MAX: usize = 60;
const HANDSHAKE_PAUSE: Duration = Duration::from_secs(1);

/// Who is told of events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The callback URL, `http://` or `https://` (with a certificate of a public
    /// authority, as Meta wants it, or of one that is named by
    /// [`crate::Config::webhook_roots_pem`]).
    pub url: String,
    /// The app's secret, which signs.
    pub app_secret: String,
    /// What the handshake must be told.
    pub verify_token: String,
    /// Only events of these numbers (and of no number); all where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phone_number_ids: Vec<String>,
    /// Only events of number ids that begin so, such as `sandbox-`. Subscriptions
    /// without a prefix are then not told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only events of this account: an override of its callback URL.
    /// Subscriptions without it are then not told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    /// Only events of this number: an override of its callback URL.
    /// Subscriptions without it are then not told of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Only these fields; all where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

impl Subscription {
    /// A subscription to everything.
    pub fn new(url: &str, app_secret: &str, verify_token: &str) -> Subscription {
        Subscription {
            url: url.to_owned(),
            app_secret: app_secret.to_owned(),
            verify_token: verify_token.to_owned(),
            phone_number_ids: Vec::new(),
            prefix: None,
            waba_id: None,
            number: None,
            fields: Vec::new(),
        }
    }

    /// The same for number ids that begin so.
    #[must_use]
    pub fn for_prefix(mut self, prefix: &str) -> Subscription {
        self.prefix = Some(prefix.to_owned());
        self
    }

    fn check(&self) -> Result<(), String> {
        let empty = [("app_secret", &self.app_secret), ("verify_token", &self.verify_token), ("url", &self.url)]
            .into_iter()
            .find(|(_, value)| value.is_empty());
        match empty {
            Some((name, _)) => Err(format!("{name}: must not be empty")),
            None => Ok(()),
        }
    }

    fn covers(&self, event: &Event) -> bool {
        let number = event.phone_number_id.as_deref();
        (self.fields.is_empty() || self.fields.contains(&event.field))
            && (self.phone_number_ids.is_empty() || number.is_none_or(|number| self.phone_number_ids.iter().any(|id| id == number)))
            && self.prefix.as_deref().is_none_or(|prefix| number.unwrap_or(&event.waba_id).starts_with(prefix))
            && self.waba_id.as_deref().is_none_or(|waba| waba == event.waba_id)
            && self.number.as_deref().is_none_or(|own| number == Some(own))
    }

    /// The more special one is told in place of the more general.
    fn rank(&self) -> u8 {
        match (&self.number, &self.prefix, &self.waba_id) {
            (Some(_), ..) => 3,
            (_, Some(_), _) => 2,
            (.., Some(_)) => 1,
            _ => 0,
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("url", &self.url)
            .field("phone_number_ids", &self.phone_number_ids)
            .field("prefix", &self.prefix)
            .field("waba_id", &self.waba_id)
            .field("number", &self.number)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// How the handshake with a callback went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Handshake {
    /// Not tried to the end yet.
    Pending,
    /// The callback gave the challenge back.
    Verified,
    /// It did not. Events are posted nevertheless.
    Failed {
        /// What went wrong, in a sentence.
        problem: String,
    },
}

/// A subscription as it stands, without its secrets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriptionReport {
    /// Its number, for taking it back.
    pub id: u64,
    /// The callback URL.
    pub url: String,
    /// As subscribed.
    pub phone_number_ids: Vec<String>,
    /// As subscribed.
    pub prefix: Option<String>,
    /// As subscribed.
    pub waba_id: Option<String>,
    /// As subscribed.
    pub number: Option<String>,
    /// As subscribed.
    pub fields: Vec<String>,
    /// How the handshake went.
    pub handshake: Handshake,
    /// Events that wait for their first attempt.
    pub queued: usize,
    /// POSTs that failed and will be repeated.
    pub retrying: usize,
    /// POSTs that were answered with 200.
    pub delivered: u64,
    /// Attempts that were answered otherwise, or not at all.
    pub failed_attempts: u64,
    /// POSTs that were given up after seven simulated days.
    pub given_up: u64,
    /// Events for which the queue had no room.
    pub dropped: u64,
    /// The newest attempts, oldest first.
    pub attempts: Vec<Attempt>,
}

/// How events are posted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting {
    pub(crate) batch_max: usize,
    pub(crate) timeout: Duration,
}

/// What is done at its time.
pub(crate) enum Due {
    /// A status of a message.
    Status(Arc<SentMessage>, PlannedStatus),
    /// Another attempt.
    Retry(Arc<Subscribed>, Delivery),
}

/// Who made a subscription, and so whether it outlives a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// The configuration or a library call, which makes it again.
    ByProgram,
    /// A call over HTTP, which does not.
    OverHttp,
}

/// A subscription in service.
pub(crate) struct Subscribed {
    id: u64,
    made: Made,
    subscription: Subscription,
    client: Client,
    handshake: Mutex<Handshake>,
    queue: Queue,
}

/// All subscriptions, and what they are owed.
pub(crate) struct Webhooks {
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) schedule: Schedule<Due>,
    pub(crate) trust: Trust,
    posting: Mutex<Posting>,
    subscribed: RwLock<Vec<Arc<Subscribed>>>,
    /// Whether there is any, so that accepting a message costs nothing without.
    any: AtomicBool,
    next_id: AtomicU64,
    tasks: Mutex<JoinSet<()>>,
}

impl Webhooks {
    pub(crate) fn new(clock: Arc<SimulatedClock>, posting: Posting) -> Webhooks {
        Webhooks {
            clock,
            schedule: Schedule::new(),
            trust: Trust::new(),
            posting: Mutex::new(posting),
            subscribed: RwLock::new(Vec::new()),
            any: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    /// Whether anybody is told of anything.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn posting(&self) -> Posting {
        *self.posting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, at most so many updates in a POST.
    pub(crate) fn set_batch_max(&self, batch_max: usize) {
        self.posting.lock().unwrap_or_else(PoisonError::into_inner).batch_max = batch_max.clamp(1, BATCH_MAX);
    }

    /// Subscribes, in place of a subscription with the same URL and the same
    /// numbers. The handshake is the caller's to make.
    pub(crate) fn add(self: &Arc<Webhooks>, subscription: Subscription, made: Made) -> Result<Arc<Subscribed>, String> {
        subscription.check()?;
        let client = Client::new(&subscription.url, self.posting().timeout, &self.trust).map_err(|problem| format!("url: {problem}"))?;
        let subscribed = Arc::new(Subscribed {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            made,
            client,
            handshake: Mutex::new(Handshake::Pending),
            queue: Queue::new(),
            subscription,
        });
        {
            let mut all = self.subscribed.write().unwrap_or_else(PoisonError::into_inner);
            let same = |known: &Arc<Subscribed>| {
                let (a, b) = (&known.subscription, &subscribed.subscription);
                a.url == b.url
                    && a.phone_number_ids == b.phone_number_ids
                    && a.prefix == b.prefix
                    && a.waba_id == b.waba_id
                    && a.number == b.number
            };
            all.retain(|known| {
                let goes = same(known);
                if goes {
                    known.queue.close();
                }
                !goes
            });
            if all.len() >= SUBSCRIPTIONS_MAX {
                return Err(format!("at most {SUBSCRIPTIONS_MAX} subscriptions can be made"));
            }
            all.push(Arc::clone(&subscribed));
        }
        self.any.store(true, Ordering::Relaxed);
        self.keep(deliver::pump(Arc::clone(self), Arc::clone(&subscribed)));
        Ok(subscribed)
    }

    /// Takes back those that fit; how many there were.
    pub(crate) fn remove(&self, fits: impl Fn(u64, &Subscription) -> bool) -> usize {
        let mut all = self.subscribed.write().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|known| {
            let goes = fits(known.id, &known.subscription);
            if goes {
                known.queue.close();
            }
            !goes
        });
        self.any.store(!all.is_empty(), Ordering::Relaxed);
        before - all.len()
    }

    /// All subscriptions as they were made.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        self.all().iter().map(|subscribed| subscribed.subscription.clone()).collect()
    }

    /// What a later process must know of them.
    pub(crate) fn remembered(&self) -> Vec<Remembered> {
        let over_http = |subscribed: &Arc<Subscribed>| {
            let verified = *subscribed.handshake.lock().unwrap_or_else(PoisonError::into_inner) == Handshake::Verified;
            let subscription = subscribed.subscription.clone();
            (subscribed.made == Made::OverHttp).then_some(Remembered { subscription, verified })
        };
        self.all().iter().filter_map(over_http).collect()
    }

    pub(crate) fn reports(&self) -> Vec<SubscriptionReport> {
        self.all().iter().map(|subscribed| subscribed.report()).collect()
    }

    /// Tells all who are to be told; how many those are.
    pub(crate) fn emit(&self, event: Event) -> usize {
        let event = Arc::new(event);
        let all = self.subscribed.read().unwrap_or_else(PoisonError::into_inner);
        let covering: Vec<&Arc<Subscribed>> = all.iter().filter(|known| known.subscription.covers(&event)).collect();
        let rank = covering.iter().map(|known| known.subscription.rank()).max();
        let told = covering.into_iter().filter(|known| Some(known.subscription.rank()) == rank);
        told.map(|known| known.queue.push(Arc::clone(&event))).count()
    }

    /// Whether nothing is due, queued or under way.
    pub(crate) fn is_settled(&self) -> bool {
        !self.schedule.is_busy(self.clock.now()) && self.all().iter().all(|known| known.queue.is_idle())
    }

    /// Forgets what was still to be told of a user, and what lists show of it; how many things that were.
    /// A POST that several users share goes whole.
    pub(crate) fn forget(&self, names: &Names) -> usize {
        let about = |due: &Due| match due {
            Due::Status(message, _) => names.are(&message.user),
            Due::Retry(subscribed, delivery) => {
                let goes = delivery.names(names);
                if goes {
                    subscribed.queue.gave_up_a_repeat();
                }
                goes
            }
        };
        self.schedule.forget(about) + self.all().iter().map(|known| known.queue.forget(names)).sum::<usize>()
    }

    /// The handshake, again and again until it succeeds or all patience is spent.
    pub(crate) fn shake_hands_eventually(self: &Arc<Webhooks>, subscribed: Arc<Subscribed>, challenge: u64) {
        self.keep(async move {
            for _ in 0..HANDSHAKES_MAX {
                if subscribed.shake_hands(challenge).await == Handshake::Verified {
                    return;
                }
                tokio::time::sleep(HANDSHAKE_PAUSE).await;
            }
        });
    }

    /// Keeps a task until [`Webhooks::stop`].
    pub(crate) fn keep(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Ends all tasks; nothing is posted any more.
    pub(crate) fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.subscribed.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn all(&self) -> Vec<Arc<Subscribed>> {
        self.subscribed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Subscribed {
    /// Its handshake was made already.
    pub(crate) fn is_verified(&self) {
        *self.handshake.lock().unwrap_or_else(PoisonError::into_inner) = Handshake::Verified;
    }

    pub(crate) fn report(&self) -> SubscriptionReport {
        let counts = self.queue.counts();
        SubscriptionReport {
            id: self.id,
            url: self.subscription.url.clone(),
            phone_number_ids: self.subscription.phone_number_ids.clone(),
            prefix: self.subscription.prefix.clone(),
            waba_id: self.subscription.waba_id.clone(),
            number: self.subscription.number.clone(),
            fields: self.subscription.fields.clone(),
            handshake: self.handshake.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            queued: counts.queued,
            retrying: counts.retrying,
            delivered: counts.delivered,
            failed_attempts: counts.failed_attempts,
            given_up: counts.given_up,
            dropped: counts.dropped,
            attempts: counts.attempts,
        }
    }

    /// Another attempt is due.
    pub(crate) fn repeat(&self, delivery: Delivery) {
        self.queue.repeat(delivery);
    }

    /// Asks the callback whether it knows the verify token, as Meta does whenever a
    /// callback is set.
    pub(crate) async fn shake_hands(&self, challenge: u64) -> Handshake {
        let outcome = shake_hands(&self.client, &self.subscription.verify_token, challenge).await;
        let handshake = match outcome {
            Ok(()) => Handshake::Verified,
            Err(problem) => Handshake::Failed { problem },
        };
        self.handshake.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&handshake);
        handshake
    }
}

/// `GET ?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…`; the answer must be
/// the challenge.
async fn shake_hands(client: &Client, verify_token: &str, challenge: u64) -> Result<(), String> {
    let challenge = challenge.to_string();
    let token = utf8_percent_encode(verify_token, NON_ALPHANUMERIC);
    let answered = client.get(&format!("hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={token}")).await?;
    if answered.status != 200 {
        return Err(format!("the callback answered the handshake with {}, not with 200", answered.status));
    }
    if answered.body != challenge {
        let begin: String = answered.body.chars().take(60).collect();
        return Err(format!("the callback answered the handshake with {begin:?}, not with the challenge {challenge:?} alone"));
    }
    Ok(())
}

/// A callback that is only looked at: what Graph's calls do before they subscribe.
pub(crate) async fn try_handshake(webhooks: &Webhooks, url: &str, verify_token: &str, challenge: u64) -> Result<(), String> {
    let client = Client::new(url, webhooks.posting().timeout, &webhooks.trust)?;
    shake_hands(&client, verify_token, challenge).await
}

/// When an attempt was made, as lists show it.
fn shown(at: Timestamp) -> String {
    clock::rfc3339(at)
}

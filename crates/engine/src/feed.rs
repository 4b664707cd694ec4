//! An application's events, followed by an API key: what `GET /v1/wa/events` streams.
//!
//! The store is the truth and a wake-up only a hint (as everywhere): a follower has a place in the
//! order of recording, reads what stands behind it page by page, and waits. So nothing is lost when
//! the connection breaks, a hint is missed or the gateway starts anew: whoever names the last event
//! that he has gets all that followed, each once.
//!
//! A follower sees the events of its key's application and mode, and nothing else; it ends within
//! seconds once its key no longer works.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use turnpike_domain::api_key::ApiKeyText;
use turnpike_domain::ids::{ApiKeyId, MessageId, parse_webhook_id, webhook_id};
use turnpike_domain::refusal::{FieldFault, LimitKind, Refusal};
use turnpike_domain::webhook::{EventKind, EventSet};
use turnpike_store::events::{EventKey, EventRecord};

use crate::Engine;
use crate::caller::Caller;
use crate::keys::Scopes;

/// Streams of one key at once: its owner's machines and developers. Beyond that somebody forgot to
/// close them.
pub const FEEDS_PER_KEY_MAX: u32 = 10;
/// Streams of a node at once: each holds a connection, a page of events and a look at its key a second.
pub const FEEDS_MAX: u32 = 1_000;
/// What a caller past these is told to wait: a stream whose client has gone ends within this.
const FULL_RETRY_MS: u64 = 15_000;

/// Events read at once. Their bodies are mostly below 2 KB, so a follower holds some 100 KB.
const PAGE: u32 = 50;

/// How often a follower looks whether its key still works, and whether the gateway stops.
const LOOK_UP_EVERY: Duration = Duration::from_secs(1);

/// How often the store is asked without a hint.
const ASK_ANYWAY_EVERY: Duration = Duration::from_secs(5);

/// Everybody who follows.
#[derive(Default)]
pub struct Feeds {
    seats: Arc<Mutex<Seats>>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct Seats {
    all: u32,
    by_key: HashMap<ApiKeyId, u32>,
}

impl Feeds {
    /// Registers how many follow.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("event_streams", "Streams of events open now", self.open.clone());
    }

    fn seat(&self, key: ApiKeyId) -> Result<Seat, Refusal> {
        let mut seats = self.seats.lock();
        if seats.all >= FEEDS_MAX {
            return Err(Refusal::Overloaded { retry_after_ms: FULL_RETRY_MS });
        }
        let own = seats.by_key.entry(key).or_default();
        if *own >= FEEDS_PER_KEY_MAX {
            return Err(Refusal::Limited { limit: LimitKind::Concurrency, retry_after_ms: FULL_RETRY_MS });
        }
        *own += 1;
        seats.all += 1;
        self.open.inc();
        Ok(Seat { seats: Arc::clone(&self.seats), open: self.open.clone(), key })
    }
}

/// One follower's place; leaving is dropping it.
#[derive(Debug)]
struct Seat {
    seats: Arc<Mutex<Seats>>,
    open: Gauge,
    key: ApiKeyId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.dec();
        let mut seats = self.seats.lock();
        seats.all -= 1;
        if let Some(own) = seats.by_key.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                seats.by_key.remove(&self.key);
            }
        }
    }
}

/// What a follower asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The key's text: a follower asks again and again whether it still works.
    pub key: &'a str,
    /// Which kinds.
    pub kinds: EventSet,
    /// The last event that the follower has, as the stream named it; `None` begins with what is
    /// recorded from now on.
    pub after: Option<&'a str>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// Its `webhook-id`.
    pub id: String,
    /// What it is.
    pub kind: EventKind,
    /// The message of ours that it is about.
    pub message: Option<MessageId>,
    /// The bytes of its delivery.
    pub body: Vec<u8>,
}

/// What comes next in a stream.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(FeedEvent),
    /// Nothing in the time given.
    Quiet,
    /// The stream is over: the key no longer works, the gateway stops, or the store does not answer.
    /// Whoever may comes again, with the last event that it has.
    Over,
}

/// A follower.
pub struct Feed {
    engine: Arc<Engine>,
    caller: Caller,
    digest: [u8; 32],
    kinds: EventSet,
    at: EventKey,
    changes: watch::Receiver<u64>,
    /// Read and not yet taken.
    page: VecDeque<FeedEvent>,
    ask_at: Instant,
    _seat: Seat,
}

impl Engine {
    /// Begins to follow the caller's application. Needs the scope `webhooks`.
    ///
    /// # Errors
    /// AUTH_006, RATE_001 (look-ups, and `concurrency` past [`FEEDS_PER_KEY_MAX`]), GW_004 past
    /// [`FEEDS_MAX`], REQ_002 where `after` is no event's id, BILL_002 where the store does not answer.
    pub async fn follow(self: &Arc<Self>, caller: Caller, wanted: Wanted<'_>) -> Result<Feed, Refusal> {
        caller.needs(Scopes::WEBHOOKS)?;
        self.limits.take_lookup(caller.key.key, &caller.key.policy, self.tick())?;
        let presented = ApiKeyText::parse(wanted.key).ok_or(Refusal::UnknownKey)?;
        let digest = presented.digest(self.vault.pepper()).0;
        let seat = self.feeds.seat(caller.key.key)?;
        // Subscribed before the place is read, so that nothing falls between.
        let changes = self.events_changed(caller.key.application);
        let at = match wanted.after {
            Some(id) => parse_webhook_id(id).and_then(|id| self.store.event_key(id)).ok_or_else(no_such_event)?,
            None => {
                let newest = self.store.events_after(caller.key.organization, caller.key.application, None, 1).await;
                newest.map_err(|_| Refusal::LedgerUnreachable)?.1
            }
        };
        Ok(Feed {
            engine: Arc::clone(self),
            caller,
            digest,
            kinds: wanted.kinds,
            at,
            changes,
            page: VecDeque::new(),
            ask_at: Instant::now(),
            _seat: seat,
        })
    }
}

fn no_such_event() -> Refusal {
    Refusal::Fields(vec![FieldFault::new(
        "header.Last-Event-ID",
        "is not the id of an event that this gateway gave; leave it out to begin with what comes now",
    )])
}

impl Feed {
    /// The next event, waiting for it at most `within`.
    pub async fn next(&mut self, within: Duration) -> Next {
        let until = Instant::now() + within;
        loop {
            if self.is_over() {
                return Next::Over;
            }
            if let Some(event) = self.page.pop_front() {
                return Next::Event(event);
            }
            let now = Instant::now();
            if now >= self.ask_at {
                match self.read_on().await {
                    Ok(true) => continue,
                    Ok(false) => self.ask_at = now + ASK_ANYWAY_EVERY,
                    Err(()) => return Next::Over,
                }
            }
            if now >= until {
                return Next::Quiet;
            }
            let wake_at = until.min(now + LOOK_UP_EVERY).min(self.ask_at);
            tokio::select! {
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.ask_at = Instant::now(),
                    // Nobody hints any more; asking anyway goes on.
                    Err(_) => sleep_until(wake_at).await,
                },
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Whether the key no longer works, or may no longer follow, or the gateway stops.
    fn is_over(&self) -> bool {
        let engine = &self.engine;
        let works = engine.keys.find(&self.digest, engine.clock.now());
        engine.stopping().is_cancelled() || !works.is_some_and(|key| key.policy.scopes.contains(Scopes::WEBHOOKS))
    }

    /// Reads what stands behind the follower's place; false where nothing does.
    async fn read_on(&mut self) -> Result<bool, ()> {
        let (organization, application) = (self.caller.key.organization, self.caller.key.application);
        let read = self.engine.store.events_after(organization, application, Some(self.at), PAGE).await;
        let (events, at) = read.map_err(|error| tracing::warn!(error = %error, "a stream of events ends: the store does not answer"))?;
        let moved = at > self.at;
        self.at = at;
        let wanted = events.into_iter().filter(|event| event.mode == self.caller.mode() && self.kinds.wants(event.kind));
        let opened: Vec<FeedEvent> = wanted.filter_map(|event| self.opened(event)).collect();
        self.page.extend(opened);
        Ok(moved)
    }

    /// `None` where its body is kept no longer, or was erased.
    fn opened(&self, event: EventRecord) -> Option<FeedEvent> {
        let body = self.engine.open_event_body(self.caller.key.organization, event.application, event.body.as_deref()?)?;
        Some(FeedEvent { id: webhook_id(event.id), kind: event.kind, message: event.message, body })
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("application", &self.caller.key.application).field("at", &self.at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_keys_streams_are_bounded_and_leave_room_for_anothers() {
        let feeds = Feeds::default();
        let own: Vec<Seat> = (0..FEEDS_PER_KEY_MAX).map(|_| feeds.seat(ApiKeyId(1)).expect("there is room")).collect();
        assert!(matches!(feeds.seat(ApiKeyId(1)), Err(Refusal::Limited { limit: LimitKind::Concurrency, .. })));
        assert!(feeds.seat(ApiKeyId(2)).is_ok());
        drop(own);
        assert!(feeds.seat(ApiKeyId(1)).is_ok());
        let seats = feeds.seats.lock();
        assert_eq!((seats.all, seats.by_key.len()), (0, 0));
    }
}

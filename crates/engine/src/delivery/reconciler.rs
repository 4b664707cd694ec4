//! The loop that joins scheduler, endpoints and store.
//!
//! It owns everything it decides with, so nothing is locked; what takes time (claims, attempts,
//! finishing) runs in tasks that report back. Finishing is grouped: while one batch is committed the
//! next gathers. [`claiming`] is its side towards the store, [`ending`] what follows from an attempt.

mod claiming;
mod ending;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use turnpike_domain::time::UnixMs;
use turnpike_store::StoreError;
use turnpike_store::deliveries::{Due, Finished, Lane, NextDue, Stalled};
use turnpike_store::endpoints::{EndpointChange, EndpointId};

use super::attempt::Tried;
use super::breaker::Breaker;
use super::scheduler::{Bounds, Scheduler};
use super::settings::DeliverySettings;
use super::standing::{Standing, Unwritten};
use crate::Engine;
use crate::endpoints::{KnownEndpoint, State};
use crate::shelter::sheltered;

/// Claims under way at once: the store has a few readers, and others read too.
const CLAIMS_MAX: usize = 2;
/// Attempts that wait to be recorded; with more nothing is begun.
const UNRECORDED_MAX: usize = 8_192;
/// Attempts recorded by one call: as many as fit a commit that does not keep others waiting.
const RECORDED_AT_ONCE: usize = 512;
/// How long to wait after the store said no.
const AFTER_A_NO: Duration = Duration::from_millis(250);
/// How long to wait after a bug ended the loop itself.
const AFTER_A_BUG: Duration = Duration::from_secs(1);
/// What the work is called where it meets a bug.
const DELIVERING: &str = "delivering";
/// Never sleep shorter: a clock that stands must not make a busy loop.
const SLEEP_MIN: Duration = Duration::from_millis(2);

impl Engine {
    /// Begins to deliver.
    pub(crate) fn run_deliveries(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            // What it held is only claims: their leases end, and the next one claims them again.
            while sheltered(DELIVERING, Reconciler::new(Arc::clone(&engine)).run()).await.is_none() {
                tokio::time::sleep(AFTER_A_BUG).await;
            }
        });
        self.run_backlogs();
    }
}

/// What tasks report.
enum Report {
    Claimed {
        endpoint: EndpointId,
        lane: Lane,
        limit: u32,
        found: Result<Vec<Due>, StoreError>,
        next_retry: Option<UnixMs>,
    },
    Stalled {
        endpoint: EndpointId,
        found: Result<Vec<Stalled>, StoreError>,
    },
    Ended {
        lane: Lane,
        due: Box<Due>,
        tried: Result<Tried, Untried>,
    },
    Recorded {
        failed: Vec<Finished>,
        back: HashSet<EndpointId>,
        retries: Vec<(EndpointId, UnixMs)>,
    },
    Looked(Result<Vec<NextDue>, StoreError>),
    /// What was to be remembered of an endpoint's standing, and whether it is.
    Stood {
        endpoint: EndpointId,
        change: Box<EndpointChange>,
        is_written: bool,
    },
}

/// Why an attempt was not made.
enum Untried {
    /// The endpoint cannot be posted to: the delivery waits until it can.
    NoWay,
    /// It never can be made; in words for the delivery's owner.
    Never(&'static str),
}

/// What is known of one endpoint beside what waits.
struct Life {
    known: Arc<KnownEndpoint>,
    breaker: Breaker,
    standing: Standing,
    /// The store may have first attempts that were not claimed.
    has_more: bool,
    /// When the earliest retry in the store is due, as far as it is known; those after it are asked
    /// for when it is claimed.
    retry_at: Option<UnixMs>,
    lines: Lines,
    claiming: [bool; 2],
    is_queued: [bool; 2],
    /// Attempts that may be under way at once.
    pace: usize,
    /// It is to be switched off, and the store is being told: until it knows, nothing is sent.
    is_leaving: bool,
    /// What the store is to remember of its standing.
    unwritten: Unwritten,
}

impl Life {
    fn is_open(&self) -> bool {
        self.known.row.is_active && self.known.way.is_ok() && !self.is_leaving
    }

    /// Retries may be due that nobody here knows of.
    fn look_for_retries(&mut self) {
        self.retry_at = Some(UnixMs(0));
    }

    /// A retry is due then. Returns whether that is earlier than was known.
    fn retry_by(&mut self, at: UnixMs) -> bool {
        let is_earlier = self.retry_at.is_none_or(|known| at < known);
        if is_earlier {
            self.retry_at = Some(at);
        }
        is_earlier
    }

    fn has_retries(&self, now: UnixMs) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }
}

/// Whether it is known which users' lines an `ordered` endpoint holds: what failed before the last
/// process ended, or before the endpoint was `ordered`, holds its line as well, so nothing is claimed
/// before that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Known,
    Unknown,
    /// The store is asked once so many attempts were recorded: before, it does not know of all.
    Recording(u64),
    Asked,
}

struct Reconciler {
    engine: Arc<Engine>,
    scheduler: Scheduler,
    lives: HashMap<EndpointId, Life>,
    book: Arc<State>,
    alarms: BinaryHeap<Reverse<(UnixMs, EndpointId)>>,
    to_claim: VecDeque<(EndpointId, Lane)>,
    claims: usize,
    finished: Vec<Finished>,
    is_recording: bool,
    /// How many of those that ended are being recorded, and how many were since the start.
    recording: u64,
    recorded: u64,
    /// Endpoints whose lines are asked for once more is recorded.
    asks_then: Vec<EndpointId>,
    is_looking: bool,
    /// After this the store is asked again for everything that waits.
    look_at: UnixMs,
    not_before: UnixMs,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    given_up: CancellationToken,
}

impl Reconciler {
    fn new(engine: Arc<Engine>) -> Reconciler {
        let settings = &engine.settings.delivery;
        let bounds = Bounds {
            endpoint: settings.endpoint_in_flight_max.max(1),
            tenant: settings.tenant_in_flight_max.max(1),
            total: settings.in_flight_max.max(1),
            quantum: settings.quantum.max(1),
            retry_percent: settings.retry_percent.min(99),
            line_held_ms: ms(settings.line_held_max),
        };
        Reconciler {
            scheduler: Scheduler::new(bounds),
            lives: HashMap::new(),
            book: Arc::default(),
            alarms: BinaryHeap::new(),
            to_claim: VecDeque::new(),
            claims: 0,
            finished: Vec::new(),
            is_recording: false,
            recording: 0,
            recorded: 0,
            asks_then: Vec::new(),
            is_looking: false,
            look_at: UnixMs(0),
            not_before: UnixMs(0),
            reports: mpsc::unbounded_channel(),
            given_up: CancellationToken::new(),
            engine,
        }
    }

    async fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        loop {
            let now = engine.clock.now();
            self.follow_the_book();
            self.take_hints();
            self.ring_alarms(now);
            self.look_now_and_then(now);
            self.claim(now);
            self.begin(now);
            self.record();
            let sleep = tokio::time::sleep(self.until_next(now));
            tokio::select! {
                biased;
                () = engine.stopping().cancelled() => break,
                report = self.reports.1.recv() => if let Some(report) = report { self.take(report) },
                () = engine.delivery.wake.notified() => {}
                () = sleep => {}
            }
            // The answers that came together are heard together, and what they make room for is posted
            // in one go: a receiver then wakes for many, and so do we for its answers.
            if self.scheduler.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
            while let Ok(report) = self.reports.1.try_recv() {
                self.take(report);
            }
        }
        self.stop().await;
    }

    /// Lets what is under way end, and records it.
    async fn stop(mut self) {
        let deadline = tokio::time::Instant::now() + self.settings().stop_within;
        while self.scheduler.in_flight() > 0 {
            match tokio::time::timeout_at(deadline, self.reports.1.recv()).await {
                Ok(Some(report)) => self.take(report),
                // What has not ended is tried again after the next start, with the same id.
                Ok(None) | Err(_) => break,
            }
        }
        self.given_up.cancel();
        while self.is_recording {
            match self.reports.1.recv().await {
                Some(report) => self.take(report),
                None => break,
            }
        }
        self.write_what_is_left().await;
        if !self.finished.is_empty()
            && let Err(error) = self.engine.store.finish(std::mem::take(&mut self.finished)).await
        {
            tracing::warn!(error = %error, "recording the last deliveries; they are made again after the next start");
        }
    }

    fn settings(&self) -> &DeliverySettings {
        &self.engine.settings.delivery
    }

    /// Takes over what changed of endpoints.
    fn follow_the_book(&mut self) {
        let book = self.engine.endpoints.snapshot();
        if Arc::ptr_eq(&book, &self.book) {
            return;
        }
        for (key, known) in &book.by_key {
            self.scheduler.know(*key, known.row.organization, known.row.ordered);
            match self.lives.get_mut(key) {
                Some(life) if Arc::ptr_eq(&life.known, known) => {}
                Some(life) => {
                    let was_open = life.is_open();
                    let before = std::mem::replace(&mut life.known, Arc::clone(known));
                    if before.row.url != known.row.url || !known.row.is_active {
                        // It is off already, or was told of as another receiver.
                        life.unwritten.change.disabled = None;
                        life.is_leaving = false;
                    }
                    if life.lines == Lines::Known && !before.row.ordered && known.row.ordered {
                        life.lines = Lines::Unknown;
                        // What waits goes once more through the store, and then behind what has failed.
                        life.has_more = true;
                        life.look_for_retries();
                        self.give_back(*key);
                        self.wants(*key);
                    }
                    self.opened_or_closed(*key, was_open);
                }
                None => {
                    let life = Life {
                        known: Arc::clone(known),
                        breaker: Breaker::Closed(0),
                        standing: Standing::of(&known.row, &self.engine.settings.delivery),
                        has_more: true,
                        retry_at: Some(UnixMs(0)),
                        lines: if known.row.ordered { Lines::Unknown } else { Lines::Known },
                        claiming: [false; 2],
                        is_queued: [false; 2],
                        pace: self.engine.settings.delivery.endpoint_in_flight_first,
                        is_leaving: false,
                        unwritten: Unwritten::default(),
                    };
                    self.scheduler.set_limit(*key, life.pace);
                    self.lives.insert(*key, life);
                    self.wants(*key);
                }
            }
        }
        let gone: Vec<EndpointId> = self.lives.keys().filter(|key| !book.by_key.contains_key(*key)).copied().collect();
        for key in gone {
            self.give_back(key);
            self.scheduler.forget(key);
            self.lives.remove(&key);
        }
        self.engine.delivery.client.close_idle(|key| book.by_key.contains_key(&key));
        self.book = book;
    }

    /// What follows where an endpoint was switched on or off.
    fn opened_or_closed(&mut self, key: EndpointId, was_open: bool) {
        let Some(life) = self.lives.get_mut(&key) else { return };
        if !was_open && life.is_open() {
            life.breaker = Breaker::Closed(0);
            life.standing = Standing::of(&life.known.row, &self.engine.settings.delivery);
            life.has_more = true;
            life.look_for_retries();
            self.wants(key);
        } else if was_open && !life.is_open() {
            self.give_back(key);
        }
    }

    fn take_hints(&mut self) {
        let hints = std::mem::take(&mut *self.engine.delivery.hints.lock());
        for (endpoint, has_retries) in hints {
            if let Some(life) = self.lives.get_mut(&endpoint) {
                life.has_more = true;
                if has_retries {
                    life.look_for_retries();
                }
                self.wants(endpoint);
            }
        }
    }

    fn ring_alarms(&mut self, now: UnixMs) {
        while let Some(Reverse((at, endpoint))) = self.alarms.peek().copied() {
            if at > now {
                break;
            }
            self.alarms.pop();
            self.scheduler.release_lines(endpoint, now);
            self.scheduler.touch(endpoint);
            self.wants(endpoint);
            self.write_unwritten(endpoint, now);
        }
    }

    /// Begins attempts as far as the limits go.
    fn begin(&mut self, now: UnixMs) {
        while self.finished.len() < UNRECORDED_MAX {
            let lives = &self.lives;
            let next = self.scheduler.next(|endpoint| lives.get(&endpoint).is_some_and(|life| life.is_open() && life.breaker.allows(now)));
            let Some((lane, due)) = next else { return };
            let Some(life) = self.lives.get_mut(&due.endpoint) else { continue };
            life.breaker.begin();
            let (engine, reports, known) = (Arc::clone(&self.engine), self.reports.0.clone(), Arc::clone(&life.known));
            let given_up = self.given_up.clone();
            let endpoint = due.endpoint;
            self.engine.tasks.spawn(async move {
                let mut due = Box::new(due);
                let Some(tried) = given_up.run_until_cancelled(engine.try_due(&known, &mut due)).await else { return };
                let _ = reports.send(Report::Ended { lane, due, tried });
            });
            self.refill(endpoint, now);
        }
    }

    fn take(&mut self, report: Report) {
        let now = self.engine.clock.now();
        match report {
            Report::Claimed { endpoint, lane, limit, found, next_retry } => {
                self.retry_by(endpoint, next_retry);
                self.claimed(endpoint, lane, limit, found, now);
            }
            Report::Stalled { endpoint, found } => self.know_lines(endpoint, found, now),
            Report::Ended { lane, due, tried } => self.ended(lane, &due, tried, now),
            Report::Recorded { mut failed, back, retries } => {
                self.is_recording = false;
                let failures = u64::try_from(failed.len()).unwrap_or(0);
                self.recorded += std::mem::take(&mut self.recording).saturating_sub(failures);
                for endpoint in std::mem::take(&mut self.asks_then) {
                    self.wants(endpoint);
                }
                for (endpoint, at) in retries {
                    self.retry_by(endpoint, Some(at));
                }
                // Only now it can be claimed again.
                for endpoint in back {
                    if let Some(life) = self.lives.get_mut(&endpoint) {
                        life.has_more = true;
                        life.look_for_retries();
                        self.wants(endpoint);
                    }
                }
                if !failed.is_empty() {
                    failed.append(&mut self.finished);
                    self.finished = failed;
                    self.not_before = now.plus_ms(ms(AFTER_A_NO));
                }
            }
            Report::Stood { endpoint, change, is_written } => self.stood(endpoint, *change, is_written, now),
            Report::Looked(due) => {
                self.is_looking = false;
                match due {
                    Ok(due) => self.looked(&due),
                    Err(error) => tracing::warn!(error = %error, "asking which deliveries wait"),
                }
            }
        }
    }

    /// How long nothing has to be done.
    fn until_next(&self, now: UnixMs) -> Duration {
        let mut next = if self.is_looking { now.plus_ms(ms(self.settings().look_every)) } else { self.look_at };
        if let Some(Reverse((at, _))) = self.alarms.peek() {
            next = next.min(*at);
        }
        if self.not_before > now {
            next = next.min(self.not_before);
        }
        Duration::from_millis(u64::try_from(next.0 - now.0).unwrap_or(0)).max(SLEEP_MIN)
    }
}

impl Engine {
    /// One attempt of a claimed delivery.
    ///
    /// # Errors
    /// Why it was not made, or not to its end.
    async fn try_due(&self, known: &KnownEndpoint, due: &mut Due) -> Result<Tried, Untried> {
        let Some(sealed) = due.body.take() else { return Err(Untried::Never("its bytes are kept no longer")) };
        let Some(body) = self.open_event_body(due.organization, due.application, &sealed) else {
            tracing::error!(event.id = %due.event_id, "an event's bytes cannot be opened with this master key; its delivery is given up");
            return Err(Untried::Never("its bytes cannot be opened with this master key"));
        };
        // A bug in one attempt would otherwise keep its place among those under way for ever. Sound: an
        // attempt borrows, and leaves nothing but a connection, which falls with it.
        let trying = AssertUnwindSafe(self.try_endpoint(known, due.event_id, due.kind, due.mode, due.message, &body)).catch_unwind();
        let Ok(tried) = trying.await else {
            tracing::error!(event.id = %due.event_id, "an attempt at a delivery met a bug of ours; the delivery is given up and can be replayed");
            return Err(Untried::Never("this attempt met a bug of the gateway's; it can be replayed"));
        };
        tried.map_err(|_problem| Untried::NoWay)
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

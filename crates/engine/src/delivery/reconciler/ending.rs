//! What an attempt came to: for its delivery, its line, its endpoint's breaker and standing, and how
//! all of it reaches the store.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{Pace, Verdict};
use turnpike_store::deliveries::{Attempt, Due, Finish, Finished, Lane};
use turnpike_store::endpoints::{EndpointChange, EndpointId};

use super::super::attempt::{PostEnd, Tried};
use super::super::scheduler::Ended;
use super::super::settings::DeliverySettings;
use super::{DELIVERING, Life, Lines, RECORDED_AT_ONCE, Reconciler, Report, Untried};
use crate::Engine;
use crate::shelter::or_unavailable;

impl Engine {
    /// Records attempts that could not be recorded together; what one of them meets is that one's alone.
    /// Returns those that are to be tried again.
    async fn finish_one_by_one(&self, batch: Vec<Finished>) -> Vec<Finished> {
        let mut failed = Vec::new();
        for finished in batch {
            match or_unavailable(DELIVERING, self.store.finish(vec![finished.clone()])).await {
                Ok(()) => {}
                Err(error) if error.is_in_the_way() => {
                    tracing::error!(error = %error, delivery.key = finished.key.0, "an attempt cannot be recorded; it counts as not made");
                }
                Err(_) => failed.push(finished),
            }
        }
        failed
    }
}

impl Life {
    /// What is to be remembered of the endpoint after an attempt, if anything.
    fn stands_after(&mut self, verdict: Verdict, now: UnixMs, settings: &DeliverySettings) -> Option<EndpointChange> {
        match verdict {
            Verdict::Delivered => self.standing.succeeded(),
            // Its end is being written down already.
            Verdict::Retry(_) if self.is_leaving => None,
            Verdict::Retry(_) => self.standing.failed(now, settings),
            Verdict::Gone if self.is_open() => {
                Some(EndpointChange { disabled: Some("the endpoint answered 410 Gone".to_owned()), ..EndpointChange::default() })
            }
            Verdict::Gone => None,
        }
    }
}

impl Reconciler {
    /// An attempt ended, or was not made: what follows for its delivery and its endpoint.
    pub(super) fn ended(&mut self, lane: Lane, due: &Due, tried: Result<Tried, Untried>, now: UnixMs) {
        let tried = match tried {
            Ok(tried) => tried,
            Err(untried) => return self.not_tried(lane, due, &untried, now),
        };
        let finish = self.finish_of(&tried, due, now);
        self.count(lane, due, finish, now);
        let ended = match finish {
            Finish::Delivered => Ended::Delivered,
            Finish::Retry(_) => Ended::Failed,
            Finish::Dead | Finish::Back => Ended::Over,
        };
        let held_until = self.scheduler.ended(lane, due, ended, now);
        self.alarms.extend(held_until.map(|until| Reverse((until, due.endpoint))));
        let (verdict, end) = (tried.verdict, tried.end);
        self.finished.push(Finished { key: due.key, endpoint: due.endpoint, attempt: Some(tried.attempt), finish });
        self.fared(due.endpoint, verdict, end, now);
        self.refill(due.endpoint, now);
    }

    /// What becomes of a delivery after an attempt.
    fn finish_of(&self, tried: &Tried, due: &Due, now: UnixMs) -> Finish {
        match tried.verdict {
            Verdict::Delivered => Finish::Delivered,
            Verdict::Retry(pace) => self.again(due.attempts.saturating_add(1), pace, tried.retry_after_ms, now),
            // Kept for the owner's choice when it is switched on again.
            Verdict::Gone => match self.again(1, Pace::Usual, None, now) {
                Finish::Dead => Finish::Retry(now),
                again => again,
            },
        }
    }

    fn count(&self, lane: Lane, due: &Due, finish: Finish, now: UnixMs) {
        let metrics = &self.engine.delivery.metrics;
        match finish {
            Finish::Delivered if lane == Lane::First => {
                let lag = u64::try_from(now.0 - due.at.0).unwrap_or(0);
                metrics.lag_seconds.observe(Duration::from_millis(lag).as_secs_f64());
            }
            Finish::Dead => {
                metrics.dead.inc();
            }
            _ => {}
        }
    }

    /// What an attempt's end says of its endpoint: of its breaker, its pace and its standing.
    fn fared(&mut self, endpoint: EndpointId, verdict: Verdict, end: PostEnd, now: UnixMs) {
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        let settings = &self.engine.settings.delivery;
        let was_closed = life.breaker.is_closed();
        let opened = life.breaker.ended(end.weight(), now, settings);
        let is_alive = end.weight().is_none();
        life.pace = if is_alive { (life.pace + 1).min(settings.endpoint_in_flight_max) } else { (life.pace / 2).max(1) };
        self.scheduler.set_limit(endpoint, life.pace);
        let change = life.stands_after(verdict, now, settings);
        // Off from here on, though the store may hear of it late.
        life.is_leaving |= change.as_ref().is_some_and(|change| change.disabled.is_some());
        let is_leaving = life.is_leaving;
        if !was_closed && life.breaker.is_closed() {
            life.has_more = true;
            life.look_for_retries();
            self.wants(endpoint);
        }
        // What waits for an endpoint that is not tried waits better in the store.
        if is_leaving || opened.is_some() {
            self.give_back(endpoint);
        }
        self.alarms.extend(opened.map(|until| Reverse((until, endpoint))));
        if let Some(change) = change {
            self.write_standing(endpoint, change, now);
        }
        self.wants_lines(endpoint);
    }

    fn not_tried(&mut self, lane: Lane, due: &Due, untried: &Untried, now: UnixMs) {
        let (ended, attempt, finish) = match untried {
            Untried::NoWay => (Ended::Failed, None, Finish::Back),
            Untried::Never(why) => {
                let fault = Some((*why).to_owned());
                let attempt = Attempt { at: now, status: None, latency_ms: 0, fault, answer: String::new() };
                (Ended::Over, Some(attempt), Finish::Dead)
            }
        };
        self.scheduler.ended(lane, due, ended, now);
        if let Some(life) = self.lives.get_mut(&due.endpoint) {
            life.breaker.not_begun(now);
        }
        self.finished.push(Finished { key: due.key, endpoint: due.endpoint, attempt, finish });
        self.wants_lines(due.endpoint);
    }

    pub(super) fn again(&self, attempts: u16, pace: Pace, asked_ms: Option<u64>, now: UnixMs) -> Finish {
        let mut random = [0; 8];
        self.engine.entropy.fill(&mut random);
        match self.settings().schedule.wait_ms(attempts, pace, asked_ms, u64::from_le_bytes(random)) {
            Some(wait) => Finish::Retry(now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX))),
            None => Finish::Dead,
        }
    }

    pub(super) fn record(&mut self) {
        if self.is_recording || self.finished.is_empty() || self.engine.clock.now() < self.not_before {
            return;
        }
        self.is_recording = true;
        let count = self.finished.len().min(RECORDED_AT_ONCE);
        self.recording = u64::try_from(count).unwrap_or(0);
        let batch: Vec<Finished> = self.finished.drain(..count).collect();
        let back = batch.iter().filter(|finished| finished.finish == Finish::Back).map(|finished| finished.endpoint).collect();
        // Looked for only once they are in the store: before, a claim would not find them.
        let retry_at = |finished: &Finished| match finished.finish {
            Finish::Retry(at) => Some((finished.endpoint, at)),
            _ => None,
        };
        let retries = batch.iter().filter_map(retry_at).collect();
        let (engine, reports) = (Arc::clone(&self.engine), self.reports.0.clone());
        self.engine.tasks.spawn(async move {
            let failed = match or_unavailable(DELIVERING, engine.store.finish(batch.clone())).await {
                Ok(()) => Vec::new(),
                Err(error) if error.is_in_the_way() => engine.finish_one_by_one(batch).await,
                Err(error) => {
                    tracing::warn!(error = %error, "recording deliveries; it is tried again");
                    batch
                }
            };
            let _ = reports.send(Report::Recorded { failed, back, retries });
        });
    }

    /// An endpoint whose lines are to be asked for waits for what is under way.
    fn wants_lines(&mut self, endpoint: EndpointId) {
        if self.lives.get(&endpoint).is_some_and(|life| life.lines != Lines::Known) {
            self.wants(endpoint);
        }
    }

    fn write_standing(&mut self, endpoint: EndpointId, change: EndpointChange, now: UnixMs) {
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        if let Some(reason) = &change.disabled {
            self.engine.delivery.metrics.disabled.inc();
            tracing::warn!(endpoint.id = %life.known.row.id, reason, "an endpoint is switched off; its events are kept");
        }
        life.unwritten.add(change);
        self.write_unwritten(endpoint, now);
    }

    /// Writes what is not written of an endpoint's standing. One write at a time, since a success must
    /// not be overtaken by the failure before it; one that failed is made again until it succeeds.
    pub(super) fn write_unwritten(&mut self, endpoint: EndpointId, now: UnixMs) {
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        let Some(change) = life.unwritten.begin(now) else { return };
        let (engine, known, reports) = (Arc::clone(&self.engine), Arc::clone(&life.known), self.reports.0.clone());
        self.engine.tasks.spawn(async move {
            let mut change = change;
            let tells = change.disabled.is_some() || change.failing_notice;
            let writing = engine.store.update_endpoint(known.row.organization, endpoint, change.clone(), engine.clock.now());
            let written = or_unavailable(DELIVERING, writing).await;
            let is_written = match written {
                Ok(_) => {
                    if tells {
                        engine.tell_soon();
                    }
                    // Not told of twice, though the rest may be written again.
                    change.failing_notice = false;
                    // Until the book says so as well, it is not known here that the endpoint is off.
                    let read = or_unavailable(DELIVERING, engine.reload_endpoints()).await;
                    read.inspect_err(|error| tracing::warn!(error = %error, "reading the endpoints anew; it is tried again")).is_ok()
                }
                Err(error) => {
                    tracing::warn!(error = %error, "remembering how an endpoint fares; it is tried again");
                    false
                }
            };
            let _ = reports.send(Report::Stood { endpoint, change: Box::new(change), is_written });
        });
    }

    pub(super) fn stood(&mut self, endpoint: EndpointId, change: EndpointChange, is_written: bool, now: UnixMs) {
        // What the owner did meanwhile decides whether it is still to be switched off.
        self.follow_the_book();
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        let is_stale = change.disabled.is_some() && !life.is_leaving;
        let was_open = life.is_open();
        if is_written {
            life.unwritten.written();
            if change.disabled.is_some() {
                life.is_leaving = false;
            }
        } else {
            let disabled = change.disabled.filter(|_| !is_stale);
            let again_at = life.unwritten.not_written(EndpointChange { disabled, ..change }, now);
            self.alarms.push(Reverse((again_at, endpoint)));
        }
        self.opened_or_closed(endpoint, was_open);
        self.write_unwritten(endpoint, now);
    }

    /// The last try before the process ends.
    pub(super) async fn write_what_is_left(&mut self) {
        let now = self.engine.clock.now();
        for (endpoint, life) in &mut self.lives {
            let Some(change) = life.unwritten.take() else { continue };
            if let Err(error) = self.engine.store.update_endpoint(life.known.row.organization, *endpoint, change, now).await {
                tracing::warn!(error = %error, "remembering how an endpoint fares; it is forgotten with this process");
            }
        }
    }
}

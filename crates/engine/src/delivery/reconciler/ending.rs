//! What an attempt came to: for its delivery, its line, its endpoint's breaker and standing, and how
//! all of it reaches the store.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{Pace, Verdict};
use turnpike_store::deliveries::{Attempt, Due, Finish, Finished, Lane};
use turnpike_store::endpoints::{EndpointChange, EndpointId};

use super::super::attempt::Tried;
use super::super::scheduler::Ended;
use super::{RECORDED_AT_ONCE, Reconciler, Report};

impl Reconciler {
    pub(super) fn ended(&mut self, lane: Lane, due: &Due, tried: Option<Tried>, now: UnixMs) {
        let Some(tried) = tried else {
            // Its bytes are kept no longer, or the endpoint cannot be posted to any more.
            let has_bytes = due.body.is_some();
            self.scheduler.ended(lane, due, if has_bytes { Ended::Failed } else { Ended::Over }, now);
            if let Some(life) = self.lives.get_mut(&due.endpoint) {
                life.breaker.not_begun(now);
            }
            let gone = || Attempt {
                at: now,
                status: None,
                latency_ms: 0,
                fault: Some("its bytes are kept no longer".to_owned()),
                answer: String::new(),
            };
            let (attempt, finish) = if has_bytes { (None, Finish::Back) } else { (Some(gone()), Finish::Dead) };
            self.finished.push(Finished { key: due.key, endpoint: due.endpoint, attempt, finish });
            return;
        };
        let is_delivered = tried.verdict == Verdict::Delivered;
        let attempts = due.attempts.saturating_add(1);
        let settings = Arc::clone(&self.engine);
        let settings = &settings.settings.delivery;
        let finish = match tried.verdict {
            Verdict::Delivered => Finish::Delivered,
            Verdict::Retry(pace) => self.again(attempts, pace, tried.retry_after_ms, now),
            // Kept for the owner's choice when it is switched on again.
            Verdict::Gone => match self.again(1, Pace::Usual, None, now) {
                Finish::Dead => Finish::Retry(now),
                again => again,
            },
        };
        let ended = match finish {
            Finish::Delivered => Ended::Delivered,
            Finish::Retry(_) => Ended::Failed,
            Finish::Dead | Finish::Back => Ended::Over,
        };
        let held_until = self.scheduler.ended(lane, due, ended, now);
        if is_delivered && lane == Lane::First {
            let lag = u64::try_from(now.0 - due.at.0).unwrap_or(0);
            self.engine.delivery.metrics.lag_seconds.observe(Duration::from_millis(lag).as_secs_f64());
        }
        if finish == Finish::Dead {
            self.engine.delivery.metrics.dead.inc();
        }
        self.alarms.extend(held_until.map(|until| Reverse((until, due.endpoint))));
        self.finished.push(Finished { key: due.key, endpoint: due.endpoint, attempt: Some(tried.attempt), finish });
        let Some(life) = self.lives.get_mut(&due.endpoint) else { return };
        let was_closed = life.breaker.is_closed();
        let weight = if tried.result == "timeout" { 2 } else { 1 };
        let opened = life.breaker.ended((!tried.is_alive).then_some(weight), now, settings);
        life.pace = if tried.is_alive { (life.pace + 1).min(settings.endpoint_in_flight_max) } else { (life.pace / 2).max(1) };
        self.scheduler.set_limit(due.endpoint, life.pace);
        let change = match tried.verdict {
            Verdict::Delivered => life.standing.succeeded(),
            Verdict::Retry(_) => life.standing.failed(now, settings),
            Verdict::Gone if life.is_open() => {
                life.is_leaving = true;
                Some(EndpointChange { disabled: Some("the endpoint answered 410 Gone".to_owned()), ..EndpointChange::default() })
            }
            Verdict::Gone => None,
        };
        let is_leaving = life.is_leaving;
        if !was_closed && life.breaker.is_closed() {
            life.has_more = true;
            life.look_for_retries();
            self.wants(due.endpoint);
        }
        if is_leaving {
            self.give_back(due.endpoint);
        }
        if let Some(until) = opened {
            self.alarms.push(Reverse((until, due.endpoint)));
            // What waits for an endpoint that is not tried waits better in the store.
            self.give_back(due.endpoint);
        }
        if let Some(change) = change {
            self.write_standing(due.endpoint, change);
        }
        self.refill(due.endpoint, now);
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
            let failed = match engine.store.finish(batch.clone()).await {
                Ok(()) => Vec::new(),
                Err(error) => {
                    tracing::warn!(error = %error, "recording deliveries; it is tried again");
                    batch
                }
            };
            let _ = reports.send(Report::Recorded { failed, back, retries });
        });
    }

    pub(super) fn write_standing(&mut self, endpoint: EndpointId, change: EndpointChange) {
        let Some(life) = self.lives.get(&endpoint) else { return };
        let (engine, known) = (Arc::clone(&self.engine), Arc::clone(&life.known));
        self.engine.tasks.spawn(async move {
            let tells = change.disabled.is_some() || change.failing_notice;
            if let Some(reason) = &change.disabled {
                engine.delivery.metrics.disabled.inc();
                tracing::warn!(endpoint.id = %known.row.id, reason, "an endpoint is switched off; its events are kept");
            }
            let written = engine.store.update_endpoint(known.row.organization, endpoint, change, engine.clock.now()).await;
            match written {
                Ok(_) => {
                    if let Err(error) = engine.reload_endpoints().await {
                        tracing::warn!(error = %error, "reading the endpoints anew");
                    }
                    if tells {
                        engine.tell_soon();
                    }
                }
                Err(error) => tracing::warn!(error = %error, "remembering how an endpoint fares"),
            }
        });
    }
}

//! What is asked of the store, and what it is given back: looks, claims, and claims that end unused.

use std::cmp::Reverse;
use std::sync::Arc;

use turnpike_domain::time::UnixMs;
use turnpike_store::StoreError;
use turnpike_store::deliveries::{Due, Finish, Finished, Lane, NextDue, Stalled};
use turnpike_store::endpoints::EndpointId;

use super::{AFTER_A_NO, CLAIMS_MAX, DELIVERING, Lines, Reconciler, Report, ms};
use crate::shelter::or_unavailable;

impl Reconciler {
    /// Asks the store for what waits, so that nothing depends on a hint or on memory.
    pub(super) fn look_now_and_then(&mut self, now: UnixMs) {
        if now < self.look_at || self.is_looking {
            return;
        }
        self.look_at = now.plus_ms(ms(self.settings().look_every));
        self.is_looking = true;
        self.engine.delivery.client.close_idle(|key| self.book.by_key.contains_key(&key));
        let (engine, reports) = (Arc::clone(&self.engine), self.reports.0.clone());
        self.engine.tasks.spawn(async move {
            let _ = reports.send(Report::Looked(or_unavailable(DELIVERING, engine.store.next_due()).await));
        });
    }

    /// Notes that something of this endpoint may have to be claimed.
    pub(super) fn wants(&mut self, endpoint: EndpointId) {
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        for lane in [Lane::First, Lane::Retry] {
            if !std::mem::replace(&mut life.is_queued[lane as usize], true) {
                self.to_claim.push_back((endpoint, lane));
            }
        }
    }

    pub(super) fn claim(&mut self, now: UnixMs) {
        if now < self.not_before {
            return;
        }
        let lease_until = now.plus_ms(ms(self.settings().lease));
        let (buffer_max, held_max) = (self.settings().buffer_max, self.settings().held_max);
        while self.claims < CLAIMS_MAX {
            let Some((endpoint, lane)) = self.to_claim.pop_front() else { return };
            let Some(life) = self.lives.get_mut(&endpoint) else { continue };
            life.is_queued[lane as usize] = false;
            if !life.is_open() || !life.breaker.allows(now) || life.claiming[lane as usize] {
                continue;
            }
            if life.lines != Lines::Known {
                self.learn_lines(endpoint, now);
                continue;
            }
            let (first, retries, behind) = self.scheduler.held(endpoint);
            let is_due = match lane {
                Lane::First => life.has_more && first < buffer_max / 2 && behind < held_max,
                Lane::Retry => life.has_retries(now) && retries < buffer_max / 4,
            };
            if !is_due {
                continue;
            }
            let limit = match (life.breaker.is_closed(), lane) {
                // A probe needs one; the rest stays where it can wait.
                (false, _) => 1,
                (true, Lane::First) => buffer_max,
                (true, Lane::Retry) => buffer_max / 2,
            };
            let limit = u32::try_from(limit.max(1)).unwrap_or(u32::MAX);
            match lane {
                Lane::First => life.has_more = false,
                Lane::Retry => life.retry_at = None,
            }
            life.claiming[lane as usize] = true;
            self.claims += 1;
            let (engine, reports) = (Arc::clone(&self.engine), self.reports.0.clone());
            self.engine.tasks.spawn(async move {
                let found = or_unavailable(DELIVERING, engine.store.claim(endpoint, lane, now, lease_until, limit)).await;
                let next_retry = match lane {
                    Lane::First => None,
                    // Where the store does not say, the next look finds it.
                    Lane::Retry => or_unavailable(DELIVERING, engine.store.next_retry(endpoint, now)).await.unwrap_or_default(),
                };
                let _ = reports.send(Report::Claimed { endpoint, lane, limit, found, next_retry });
            });
        }
    }

    /// Claims ahead where little is left in memory.
    pub(super) fn refill(&mut self, endpoint: EndpointId, now: UnixMs) {
        let (first, retries, _) = self.scheduler.held(endpoint);
        let buffer_max = self.settings().buffer_max;
        let Some(life) = self.lives.get(&endpoint) else { return };
        let wants_retries = retries < buffer_max / 4 && life.has_retries(now);
        if (life.has_more && first < buffer_max / 2) || wants_retries {
            self.wants(endpoint);
        }
    }

    pub(super) fn claimed(&mut self, endpoint: EndpointId, lane: Lane, limit: u32, found: Result<Vec<Due>, StoreError>, now: UnixMs) {
        self.claims -= 1;
        let is_full = found.as_ref().map_or(true, |found| found.len() >= usize::try_from(limit).unwrap_or(usize::MAX));
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "claiming deliveries; it is tried again");
            self.not_before = now.plus_ms(ms(AFTER_A_NO));
            Vec::new()
        });
        let Some(life) = self.lives.get_mut(&endpoint) else {
            // Deleted meanwhile.
            return self.back(found);
        };
        life.claiming[lane as usize] = false;
        if is_full {
            match lane {
                Lane::First => life.has_more = true,
                Lane::Retry => {
                    life.retry_by(now);
                }
            }
        }
        if life.lines != Lines::Known {
            self.wants(endpoint);
            return self.back(found);
        }
        if !life.is_open() || !life.breaker.allows(now) {
            return self.back(found);
        }
        let is_closed = life.breaker.is_closed();
        self.scheduler.add(endpoint, lane, found);
        // A hint may have come while it was claimed.
        if is_closed {
            self.refill(endpoint, now);
        }
    }

    pub(super) fn looked(&mut self, due: &[NextDue]) {
        for next in due {
            let Some(life) = self.lives.get_mut(&next.endpoint) else { continue };
            life.has_more |= next.has_first;
            self.retry_by(next.endpoint, next.retry_at);
            self.wants(next.endpoint);
        }
    }

    /// A retry of an endpoint is due then: the alarm rings, unless it does so earlier.
    pub(super) fn retry_by(&mut self, endpoint: EndpointId, at: Option<UnixMs>) {
        let (Some(at), Some(life)) = (at, self.lives.get_mut(&endpoint)) else { return };
        if life.retry_by(at) {
            self.alarms.push(Reverse((at, endpoint)));
        }
    }

    /// Asks which lines of an `ordered` endpoint are held, once the store can tell: when nothing of the
    /// endpoint is under way any more, and what ended is recorded.
    fn learn_lines(&mut self, endpoint: EndpointId, now: UnixMs) {
        let ended = self.recorded + self.recording + u64::try_from(self.finished.len()).unwrap_or(0);
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        if life.lines == Lines::Unknown {
            if life.claiming != [false; 2] || self.scheduler.is_under_way(endpoint) {
                // Each of these asks again when it ends.
                return;
            }
            life.lines = Lines::Recording(ended);
        }
        match life.lines {
            Lines::Recording(count) if count > self.recorded => self.asks_then.push(endpoint),
            Lines::Recording(_) => {
                life.lines = Lines::Asked;
                self.ask_for_lines(endpoint, now);
            }
            Lines::Known | Lines::Unknown | Lines::Asked => {}
        }
    }

    /// Asks which lines of an `ordered` endpoint are held by what has failed.
    fn ask_for_lines(&self, endpoint: EndpointId, now: UnixMs) {
        let since = now.plus_ms(-ms(self.settings().line_held_max));
        let (engine, reports) = (Arc::clone(&self.engine), self.reports.0.clone());
        self.engine.tasks.spawn(async move {
            let found = or_unavailable(DELIVERING, engine.store.stalled(endpoint, since)).await;
            let _ = reports.send(Report::Stalled { endpoint, found });
        });
    }

    pub(super) fn know_lines(&mut self, endpoint: EndpointId, found: Result<Vec<Stalled>, StoreError>, now: UnixMs) {
        let held_ms = ms(self.settings().line_held_max);
        let Some(life) = self.lives.get_mut(&endpoint) else { return };
        match found {
            Ok(found) => {
                life.lines = Lines::Known;
                let is_ordered = life.known.row.ordered;
                // It may have been switched off meanwhile.
                for stalled in found.into_iter().filter(|_| is_ordered) {
                    let until = stalled.failed_at.plus_ms(held_ms);
                    self.scheduler.hold(endpoint, stalled.user, stalled.key, until);
                    self.alarms.push(Reverse((until, endpoint)));
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "asking which users' events wait for an earlier one; it is tried again");
                life.lines = Lines::Unknown;
                self.not_before = now.plus_ms(ms(AFTER_A_NO));
            }
        }
        self.wants(endpoint);
    }

    /// Gives what waits of an endpoint back to the store.
    pub(super) fn give_back(&mut self, endpoint: EndpointId) {
        let drained = self.scheduler.drain(endpoint);
        self.back(drained);
    }

    pub(super) fn back(&mut self, claimed: Vec<Due>) {
        let back = |due: Due| Finished { key: due.key, endpoint: due.endpoint, attempt: None, finish: Finish::Back };
        self.finished.extend(claimed.into_iter().map(back));
    }
}

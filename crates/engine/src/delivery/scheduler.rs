//! What is tried next: lines per user, turns of tenants, lanes, limits. Pure: no I/O and no clock.
//!
//! First attempts keep order per (endpoint, user): each user that has any waiting has a *line*, and
//! only its head stands among the endpoint's ready ones; the next follows when the head's attempt
//! has ended. An event that failed once leaves its line; an `ordered` endpoint holds the line for it.
//!
//! Tenants take turns (deficit round robin, every attempt costs one). Within a tenant its endpoints
//! take turns, and of an endpoint the lanes: what may be in flight is shared between first attempts
//! and retries wherever both wait.

use std::collections::VecDeque;

use hashbrown::HashMap;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::time::UnixMs;
use turnpike_store::deliveries::{DeliveryKey, Due, Lane};
use turnpike_store::endpoints::EndpointId;
use turnpike_store::messages::Hash16;

/// The numbers that the scheduler goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) endpoint: usize,
    pub(super) tenant: usize,
    pub(super) total: usize,
    pub(super) quantum: usize,
    pub(super) retry_percent: usize,
    pub(super) line_held_ms: i64,
}

/// Counted per lane.
type PerLane = [usize; 2];

/// All that waits in memory, and what is under way.
pub(super) struct Scheduler {
    bounds: Bounds,
    endpoints: HashMap<EndpointId, Waiting>,
    tenants: HashMap<OrganizationId, Tenant>,
    /// Tenants that may have something to begin, in the order of their turns.
    turns: VecDeque<OrganizationId>,
    /// Tenants whose lane has its share of everything in flight: their turn comes when that changes.
    starved: Vec<OrganizationId>,
    in_flight: PerLane,
    ready: PerLane,
}

#[derive(Default)]
struct Tenant {
    endpoints: VecDeque<EndpointId>,
    is_turning: bool,
    /// Attempts that it may still begin at this turn.
    left: usize,
    in_flight: PerLane,
    ready: PerLane,
}

struct Waiting {
    organization: OrganizationId,
    is_ordered: bool,
    ready: [VecDeque<Due>; 2],
    lines: HashMap<Hash16, Line>,
    /// Deliveries behind the heads of lines.
    behind: usize,
    in_flight: PerLane,
    /// How many may be under way, within the bounds.
    limit: usize,
    is_turning: bool,
}

/// The waiting first attempts of one user, but for the head.
#[derive(Default)]
struct Line {
    behind: VecDeque<Due>,
    /// The events that the line waits for, each with until when: several where they failed before the
    /// endpoint was `ordered`.
    held: Vec<(DeliveryKey, UnixMs)>,
}

/// How an attempt ended, for its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The endpoint took it.
    Delivered,
    /// It is tried again.
    Failed,
    /// It is not tried again.
    Over,
}

impl Scheduler {
    pub(super) fn new(bounds: Bounds) -> Scheduler {
        Scheduler {
            bounds,
            endpoints: HashMap::new(),
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            starved: Vec::new(),
            in_flight: [0, 0],
            ready: [0, 0],
        }
    }

    /// Attempts under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight[0] + self.in_flight[1]
    }

    /// What is held in memory of an endpoint: ready first attempts, ready retries, behind heads.
    pub(super) fn held(&self, endpoint: EndpointId) -> (usize, usize, usize) {
        self.endpoints.get(&endpoint).map_or((0, 0, 0), |waiting| (waiting.ready[0].len(), waiting.ready[1].len(), waiting.behind))
    }

    /// Notes whose an endpoint is, and whether it is ordered.
    pub(super) fn know(&mut self, endpoint: EndpointId, organization: OrganizationId, is_ordered: bool) {
        let waiting = self.endpoints.entry(endpoint).or_insert_with(|| Waiting {
            organization,
            is_ordered,
            ready: [VecDeque::new(), VecDeque::new()],
            lines: HashMap::new(),
            behind: 0,
            in_flight: [0, 0],
            limit: self.bounds.endpoint,
            is_turning: false,
        });
        let was_ordered = std::mem::replace(&mut waiting.is_ordered, is_ordered);
        if was_ordered && !is_ordered {
            self.let_go(endpoint, UnixMs(i64::MAX));
        }
    }

    /// Whether attempts at this endpoint are under way.
    pub(super) fn is_under_way(&self, endpoint: EndpointId) -> bool {
        self.endpoints.get(&endpoint).is_some_and(|waiting| waiting.in_flight != [0, 0])
    }

    /// Sets how many attempts of an endpoint may be under way, at least one and within the bounds.
    pub(super) fn set_limit(&mut self, endpoint: EndpointId, limit: usize) {
        if let Some(waiting) = self.endpoints.get_mut(&endpoint) {
            waiting.limit = limit.clamp(1, self.bounds.endpoint);
        }
    }

    /// Adds what was claimed, oldest first.
    pub(super) fn add(&mut self, endpoint: EndpointId, lane: Lane, claimed: Vec<Due>) {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return };
        let mut added = 0;
        for due in claimed {
            match due.user.filter(|_| lane == Lane::First) {
                Some(user) if waiting.lines.contains_key(&user) => {
                    waiting.behind += 1;
                    waiting.lines.entry(user).or_default().behind.push_back(due);
                }
                user => {
                    if let Some(user) = user {
                        waiting.lines.insert(user, Line::default());
                    }
                    waiting.ready[lane as usize].push_back(due);
                    added += 1;
                }
            }
        }
        self.count_ready(endpoint, lane, added);
        self.touch(endpoint);
    }

    /// Something of this endpoint may be begun now that could not before.
    pub(super) fn touch(&mut self, endpoint: EndpointId) {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return };
        if waiting.ready.iter().all(VecDeque::is_empty) {
            return;
        }
        let tenant = self.tenants.entry(waiting.organization).or_default();
        if !waiting.is_turning {
            waiting.is_turning = true;
            tenant.endpoints.push_back(endpoint);
        }
        let organization = waiting.organization;
        self.give_turn(organization);
    }

    /// The next attempt to begin, where `allows` lets its endpoint.
    pub(super) fn next(&mut self, mut allows: impl FnMut(EndpointId) -> bool) -> Option<(Lane, Due)> {
        while self.in_flight() < self.bounds.total {
            let organization = *self.turns.front()?;
            let picked = self.pick(organization, &mut allows);
            let tenant = self.tenants.get_mut(&organization)?;
            match picked {
                Some(picked) => {
                    tenant.left -= 1;
                    if tenant.left == 0 {
                        tenant.left = self.bounds.quantum;
                        self.turns.rotate_left(1);
                    }
                    return Some(picked);
                }
                None => {
                    tenant.is_turning = false;
                    tenant.left = self.bounds.quantum;
                    self.turns.pop_front();
                    if !tenant.endpoints.is_empty() {
                        self.starved.push(organization);
                    }
                }
            }
        }
        None
    }

    /// An attempt ended. Returns until when its line is held, where that begins now.
    pub(super) fn ended(&mut self, lane: Lane, due: &Due, ended: Ended, now: UnixMs) -> Option<UnixMs> {
        let at = lane as usize;
        self.in_flight[at] -= 1;
        for organization in std::mem::take(&mut self.starved) {
            self.give_turn(organization);
        }
        let waiting = self.endpoints.get_mut(&due.endpoint)?;
        waiting.in_flight[at] -= 1;
        let organization = waiting.organization;
        if let Some(tenant) = self.tenants.get_mut(&organization) {
            tenant.in_flight[at] -= 1;
        }
        let mut held_until = None;
        if let Some(user) = due.user
            && let Some(line) = waiting.lines.get_mut(&user)
        {
            match lane {
                Lane::First if waiting.is_ordered && ended == Ended::Failed => {
                    let until = now.plus_ms(self.bounds.line_held_ms);
                    line.held.push((due.key, until));
                    held_until = Some(until);
                }
                Lane::First => self.advance(due.endpoint, user),
                Lane::Retry if ended != Ended::Failed && !line.held.is_empty() => {
                    line.held.retain(|(held, _)| *held != due.key);
                    if line.held.is_empty() {
                        self.advance(due.endpoint, user);
                    }
                }
                Lane::Retry => {}
            }
        }
        self.touch(due.endpoint);
        self.give_turn(organization);
        held_until
    }

    /// Holds a user's line for an event that failed before this process began, or before the endpoint
    /// was `ordered`: what comes of the user waits behind it.
    pub(super) fn hold(&mut self, endpoint: EndpointId, user: Hash16, key: DeliveryKey, until: UnixMs) {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return };
        let line = waiting.lines.entry(user).or_default();
        if line.held.iter().all(|(held, _)| *held != key) {
            line.held.push((key, until));
        }
    }

    /// Lets lines go whose time is over.
    pub(super) fn release_lines(&mut self, endpoint: EndpointId, now: UnixMs) {
        // No other holds any.
        if self.endpoints.get(&endpoint).is_some_and(|waiting| waiting.is_ordered) {
            self.let_go(endpoint, now);
        }
    }

    fn let_go(&mut self, endpoint: EndpointId, now: UnixMs) {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return };
        let mut over: Vec<Hash16> = Vec::new();
        for (user, line) in &mut waiting.lines {
            let was_held = !line.held.is_empty();
            line.held.retain(|(_, until)| *until > now);
            if was_held && line.held.is_empty() {
                over.push(*user);
            }
        }
        for user in over {
            self.advance(endpoint, user);
        }
        self.touch(endpoint);
    }

    /// Gives back all that waits of an endpoint; what is under way goes on. Held lines stay held.
    pub(super) fn drain(&mut self, endpoint: EndpointId) -> Vec<Due> {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return Vec::new() };
        let counts = [waiting.ready[0].len(), waiting.ready[1].len()];
        let mut drained: Vec<Due> = Vec::new();
        // A head that waits takes its line with it; one that is under way, or held, keeps it.
        for due in waiting.ready[0].drain(..) {
            if let Some(user) = due.user {
                let line = waiting.lines.remove(&user).unwrap_or_default();
                drained.extend(line.behind);
            }
            drained.push(due);
        }
        for line in waiting.lines.values_mut() {
            drained.extend(line.behind.drain(..));
        }
        drained.extend(waiting.ready[1].drain(..));
        waiting.behind = 0;
        let organization = waiting.organization;
        for (lane, count) in counts.into_iter().enumerate() {
            self.ready[lane] -= count;
            if let Some(tenant) = self.tenants.get_mut(&organization) {
                tenant.ready[lane] -= count;
            }
        }
        drained
    }

    /// Forgets an endpoint of which nothing is under way.
    pub(super) fn forget(&mut self, endpoint: EndpointId) {
        let is_idle = self.endpoints.get(&endpoint).is_some_and(|waiting| waiting.in_flight == [0, 0]);
        if is_idle && let Some(waiting) = self.endpoints.remove(&endpoint) {
            for (lane, ready) in waiting.ready.iter().enumerate() {
                self.ready[lane] -= ready.len();
                if let Some(tenant) = self.tenants.get_mut(&waiting.organization) {
                    tenant.ready[lane] -= ready.len();
                }
            }
        }
    }

    /// The next of a user's line becomes ready; a line without one ends.
    fn advance(&mut self, endpoint: EndpointId, user: Hash16) {
        let Some(waiting) = self.endpoints.get_mut(&endpoint) else { return };
        let Some(line) = waiting.lines.get_mut(&user) else { return };
        match line.behind.pop_front() {
            Some(next) => {
                waiting.behind -= 1;
                // Older than what others of this endpoint wait with.
                waiting.ready[0].push_front(next);
                self.count_ready(endpoint, Lane::First, 1);
            }
            None => {
                waiting.lines.remove(&user);
            }
        }
    }

    fn count_ready(&mut self, endpoint: EndpointId, lane: Lane, added: usize) {
        let Some(waiting) = self.endpoints.get(&endpoint) else { return };
        self.ready[lane as usize] += added;
        self.tenants.entry(waiting.organization).or_default().ready[lane as usize] += added;
    }

    fn give_turn(&mut self, organization: OrganizationId) {
        let Some(tenant) = self.tenants.get_mut(&organization) else { return };
        if !tenant.is_turning && !tenant.endpoints.is_empty() {
            tenant.is_turning = true;
            tenant.left = self.bounds.quantum;
            self.turns.push_back(organization);
        }
    }

    /// The tenant's next attempt. Endpoints that can begin nothing step back until they are touched.
    fn pick(&mut self, organization: OrganizationId, allows: &mut impl FnMut(EndpointId) -> bool) -> Option<(Lane, Due)> {
        let tenant = self.tenants.get_mut(&organization)?;
        for _ in 0..tenant.endpoints.len() {
            if tenant.in_flight.iter().sum::<usize>() >= self.bounds.tenant {
                return None;
            }
            let endpoint = *tenant.endpoints.front()?;
            let Some(waiting) = self.endpoints.get_mut(&endpoint) else {
                tenant.endpoints.pop_front();
                continue;
            };
            let ready: PerLane = [waiting.ready[0].len(), waiting.ready[1].len()];
            if ready == [0, 0] || waiting.in_flight.iter().sum::<usize>() >= waiting.limit || !allows(endpoint) {
                waiting.is_turning = false;
                tenant.endpoints.pop_front();
                continue;
            }
            let percent = self.bounds.retry_percent;
            let has_room = |lane: usize| {
                ready[lane] > 0
                    && within(waiting.in_flight, ready, lane, waiting.limit, percent)
                    && within(tenant.in_flight, tenant.ready, lane, self.bounds.tenant, percent)
                    && within(self.in_flight, self.ready, lane, self.bounds.total, percent)
            };
            let Some(lane) = [Lane::First, Lane::Retry].into_iter().find(|lane| has_room(*lane as usize)) else {
                tenant.endpoints.rotate_left(1);
                continue;
            };
            let at = lane as usize;
            let due = waiting.ready[at].pop_front()?;
            waiting.in_flight[at] += 1;
            tenant.in_flight[at] += 1;
            self.in_flight[at] += 1;
            tenant.ready[at] -= 1;
            self.ready[at] -= 1;
            tenant.endpoints.rotate_left(1);
            return Some((lane, due));
        }
        None
    }
}

/// Whether a lane may begin one more: it is within its share, or the other lane wants nothing.
fn within(in_flight: PerLane, ready: PerLane, lane: usize, limit: usize, retry_percent: usize) -> bool {
    let other = 1 - lane;
    if ready[other] == 0 {
        return true;
    }
    let for_retries = (limit * retry_percent / 100).max(1);
    let share = if lane == Lane::Retry as usize { for_retries } else { limit.saturating_sub(for_retries).max(1) };
    in_flight[lane] < share
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;

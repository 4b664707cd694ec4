//! Who holds what: claims of deliveries, in memory.
//!
//! A claim reads a snapshot of the database while others finish. What was held when the claim began,
//! or was let go while it read, may look waiting in its snapshot and is not: both are passed over,
//! and found by the next claim where they wait again. First attempts that were recorded since the last
//! claim read everything are handed out without reading ([`super::fresh`]).

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};
use turnpike_domain::webhook::EventKind;

use super::SLOTS;
use super::fresh::Fresh;
use crate::deliveries::{Attempt, DeliveryKey, Due, Finish, Finished, Lane};
use crate::endpoints::EndpointId;
use crate::events::EventKey;
use crate::sqlite::events::{bodies_table, event_id};
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::messages::exists;

/// Most deliveries of one claim, whatever is asked for.
const CLAIM_MAX: u32 = 1_024;

/// All claims of the process.
#[derive(Default)]
pub(in crate::sqlite) struct Claims {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    endpoints: HashMap<EndpointId, Held>,
    fresh: Fresh,
}

/// What is held of one endpoint.
#[derive(Default)]
struct Held {
    /// Until when, by key.
    until: HashMap<DeliveryKey, UnixMs>,
    /// No lease ends before.
    none_before: UnixMs,
    /// Claims that are reading now.
    looking: u32,
    /// Let go while somebody was reading.
    let_go: HashSet<DeliveryKey>,
}

impl Held {
    /// Something is held until then.
    fn begin_lease(&mut self, until: UnixMs) {
        self.none_before = if self.until.is_empty() { until } else { self.none_before.min(until) };
    }
}

impl Claims {
    /// What waits of an endpoint's first attempts, where it is in memory.
    pub(super) fn recorded_since(&self, endpoint: EndpointId, now: UnixMs, lease_until: UnixMs, limit: u32) -> Option<Vec<Due>> {
        let mut state = self.state.lock();
        let State { endpoints, fresh } = &mut *state;
        if endpoints.get(&endpoint).is_some_and(|held| !held.until.is_empty() && held.none_before <= now) {
            // What its holder lost waits again, and is older.
            return None;
        }
        let found = fresh.take(endpoint, now, usize::try_from(limit.min(CLAIM_MAX)).unwrap_or(0))?;
        if found.is_empty() {
            return Some(found);
        }
        let held = endpoints.entry(endpoint).or_default();
        held.begin_lease(lease_until);
        Some(found.into_iter().filter(|due| held.until.try_insert_new(due.key, lease_until)).collect())
    }

    /// Begins a claim that reads the store.
    pub(super) fn look(&self, endpoint: EndpointId, lane: Lane, now: UnixMs) -> Looking<'_> {
        let mut state = self.state.lock();
        let State { endpoints, fresh } = &mut *state;
        let held = endpoints.entry(endpoint).or_default();
        let leases = held.until.len();
        held.until.retain(|_, until| *until > now);
        if lane == Lane::First || held.until.len() < leases {
            fresh.forget(endpoint);
        }
        // What was let go may wait again, and this claim passes it over: it cannot see all.
        let reading = (lane == Lane::First && held.let_go.is_empty()).then(|| fresh.reading(endpoint));
        held.none_before = held.until.values().copied().min().unwrap_or(UnixMs(i64::MAX));
        held.looking += 1;
        let keys = held.until.keys().chain(&held.let_go).copied().collect();
        Looking { claims: self, endpoint, held: keys, reading, now }
    }

    /// Whether a new delivery of this endpoint is to be kept for its claim.
    pub(in crate::sqlite) fn keeps(&self, endpoint: EndpointId) -> bool {
        self.state.lock().fresh.keeps(endpoint)
    }

    /// Deliveries were committed, in this order; `None` where one is not at hand. Called before anybody
    /// hears of the commit.
    pub(in crate::sqlite) fn committed(&self, recorded: &mut Vec<(EndpointId, Option<Due>)>) {
        let mut state = self.state.lock();
        for (endpoint, due) in recorded.drain(..) {
            state.fresh.add(endpoint, due);
        }
    }

    /// What waits may have changed by other ways.
    pub(in crate::sqlite) fn distrust(&self) {
        self.state.lock().fresh.forget_all();
    }

    /// Lets go of what was finished.
    pub(super) fn release(&self, done: &[(EndpointId, DeliveryKey, Finish)]) {
        let mut state = self.state.lock();
        let State { endpoints, fresh } = &mut *state;
        for (endpoint, key, finish) in done {
            if *finish == Finish::Back {
                // It waits again, and is older than what is kept.
                fresh.forget(*endpoint);
            }
            let Some(held) = endpoints.get_mut(endpoint) else { continue };
            held.until.remove(key);
            if held.looking > 0 {
                held.let_go.insert(*key);
            } else if held.until.is_empty() {
                endpoints.remove(endpoint);
            }
        }
    }
}

/// A claim under way.
pub(super) struct Looking<'a> {
    claims: &'a Claims,
    endpoint: EndpointId,
    held: HashSet<DeliveryKey>,
    /// The number by which [`Fresh`] knows it, until it has ended.
    reading: Option<u64>,
    now: UnixMs,
}

impl Looking<'_> {
    /// What was held when it began; given away once.
    pub(super) fn held(&mut self) -> HashSet<DeliveryKey> {
        std::mem::take(&mut self.held)
    }

    /// Takes what was found and is still free; `is_all` where nothing else waited.
    pub(super) fn take(mut self, found: Vec<Due>, is_all: bool, lease_until: UnixMs) -> Vec<Due> {
        let mut state = self.claims.state.lock();
        state.fresh.found(self.endpoint, &found);
        if let Some(number) = self.reading.take() {
            state.fresh.read(self.endpoint, number, is_all, self.now);
        }
        let held = state.endpoints.entry(self.endpoint).or_default();
        held.begin_lease(lease_until);
        found.into_iter().filter(|due| !held.let_go.contains(&due.key) && held.until.try_insert_new(due.key, lease_until)).collect()
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut state = self.claims.state.lock();
        let State { endpoints, fresh } = &mut *state;
        if let Some(number) = self.reading {
            fresh.read(self.endpoint, number, false, self.now);
        }
        let Some(held) = endpoints.get_mut(&self.endpoint) else { return };
        held.looking = held.looking.saturating_sub(1);
        if held.looking == 0 {
            held.let_go.clear();
            if held.until.is_empty() {
                endpoints.remove(&self.endpoint);
            }
        }
    }
}

/// An insert that says whether the key was free.
trait InsertNew {
    fn try_insert_new(&mut self, key: DeliveryKey, until: UnixMs) -> bool;
}

impl InsertNew for HashMap<DeliveryKey, UnixMs> {
    fn try_insert_new(&mut self, key: DeliveryKey, until: UnixMs) -> bool {
        let is_new = !self.contains_key(&key);
        if is_new {
            self.insert(key, until);
        }
        is_new
    }
}

/// What a claim found.
pub(super) struct Found {
    /// What can be delivered, oldest first.
    pub(super) due: Vec<Due>,
    /// Deliveries whose rows cannot be read: they must not stand before the others for ever.
    pub(super) broken: Vec<DeliveryKey>,
    /// Nothing else waited in this lane.
    pub(super) is_all: bool,
}

/// The end of a delivery whose event cannot be read: it was never tried at its endpoint.
pub(super) fn unreadable(endpoint: EndpointId, key: DeliveryKey, now: UnixMs) -> Finished {
    let fault = Some("what is stored of its event cannot be read".to_owned());
    let attempt = Attempt { at: now, status: None, latency_ms: 0, fault, answer: String::new() };
    Finished { key, endpoint, attempt: Some(attempt), finish: Finish::Dead }
}

/// What waits of an endpoint and lane and is due, oldest first, without what is held.
pub(super) fn waiting(
    snapshot: &Connection,
    cipher: &MessageCipher,
    endpoint: EndpointId,
    lane: Lane,
    now: UnixMs,
    limit: u32,
    held: &HashSet<DeliveryKey>,
) -> Result<Found, Failure> {
    let limit = usize::try_from(limit.min(CLAIM_MAX)).unwrap_or(0);
    // Served by the index alone, so passing over what is held costs next to nothing.
    let mut statement = snapshot.prepare_cached(
        "SELECT key FROM deliveries INDEXED BY deliveries_waiting
         WHERE endpoint = ?1 AND lane = ?2 AND next_at <= ?3 ORDER BY next_at, key LIMIT ?4",
    )?;
    let most = i64::try_from(limit + held.len()).unwrap_or(i64::MAX);
    let keys: Vec<i64> = statement
        .query_map(params![endpoint.0, lane as u8, now.0, most], |row| row.get(0))?
        .filter(|key| key.as_ref().map_or(true, |key| !held.contains(&DeliveryKey(*key))))
        .take(limit)
        .collect::<Result<_, _>>()?;
    let mut bodies = Bodies { snapshot, day: None };
    let mut events = snapshot.prepare_cached(
        "SELECT e.organization, e.application, e.mode, e.kind, e.at, e.user, e.message, e.message_at, d.attempts
         FROM deliveries d JOIN events e ON e.key = ?2 WHERE d.key = ?1",
    )?;
    let is_all = keys.len() < limit && !later_ones(snapshot, endpoint, lane, now)?;
    let mut found = Found { due: Vec::with_capacity(keys.len()), broken: Vec::new(), is_all };
    for key in keys {
        match due(&mut events, cipher, endpoint, key, &mut bodies) {
            Ok(due) => found.due.extend(due),
            Err(failure) => {
                failure.of_one_item()?;
                found.broken.push(DeliveryKey(key));
            }
        }
    }
    Ok(found)
}

/// Whether something of a lane is due only later: of first attempts those that a clock recorded which
/// was ahead.
fn later_ones(snapshot: &Connection, endpoint: EndpointId, lane: Lane, now: UnixMs) -> Result<bool, Failure> {
    let mut statement = snapshot.prepare_cached(
        "SELECT 1 FROM deliveries INDEXED BY deliveries_waiting WHERE endpoint = ?1 AND lane = ?2 AND next_at > ?3 LIMIT 1",
    )?;
    Ok(statement.exists(params![endpoint.0, lane as u8, now.0])?)
}

fn due(
    events: &mut CachedStatement<'_>,
    cipher: &MessageCipher,
    endpoint: EndpointId,
    key: i64,
    bodies: &mut Bodies<'_>,
) -> Result<Option<Due>, Failure> {
    let event = EventKey(key.div_euclid(SLOTS));
    let mut rows = events.query([key, event.0])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let at = UnixMs(row.get(4)?);
    let message = match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<i64>>(7)?) {
        (Some(message), Some(admitted_at)) => Some(cipher.message_id(UnixMs(admitted_at), MessageKey(message))),
        _ => None,
    };
    Ok(Some(Due {
        key: DeliveryKey(key),
        event,
        event_id: event_id(cipher, at, event),
        endpoint,
        organization: OrganizationId(row.get(0)?),
        application: ApplicationId(row.get(1)?),
        mode: Mode::from_number(row.get(2)?).ok_or_else(|| corrupt("events", "mode", event.0))?,
        kind: EventKind::from_number(row.get(3)?).ok_or_else(|| corrupt("events", "kind", event.0))?,
        message,
        user: row.get(5)?,
        at,
        attempts: row.get(8)?,
        body: bodies.of(event, at)?,
    }))
}

/// Bodies of events, whose table is looked for once per day and not once per event.
pub(super) struct Bodies<'s> {
    pub(super) snapshot: &'s Connection,
    /// What asks for a body of that day, where its table is still there.
    pub(super) day: Option<(UtcDay, Option<CachedStatement<'s>>)>,
}

impl<'s> Bodies<'s> {
    fn asking(&mut self, day: UtcDay) -> Result<Option<&mut CachedStatement<'s>>, Failure> {
        if self.day.as_ref().is_none_or(|(known, _)| *known != day) {
            let table = bodies_table(day);
            let asking = match exists(self.snapshot, &table)? {
                true => Some(self.snapshot.prepare_cached(&format!("SELECT sealed FROM {table} WHERE event = ?1"))?),
                false => None,
            };
            self.day = Some((day, asking));
        }
        Ok(self.day.as_mut().and_then(|(_, asking)| asking.as_mut()))
    }

    fn of(&mut self, event: EventKey, at: UnixMs) -> Result<Option<Vec<u8>>, Failure> {
        let Some(asking) = self.asking(at.day())? else { return Ok(None) };
        Ok(asking.query_row([event.0], |row| row.get(0)).optional()?)
    }

    /// Whether an event's bytes are kept.
    pub(super) fn are_kept(&mut self, event: EventKey, at: UnixMs) -> Result<bool, Failure> {
        let Some(asking) = self.asking(at.day())? else { return Ok(false) };
        Ok(asking.exists([event.0])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: EndpointId = EndpointId(1);
    const NOW: UnixMs = UnixMs(1_000);
    const FAR: UnixMs = UnixMs(1_000_000);

    fn due(key: i64) -> Due {
        Due {
            key: DeliveryKey(key),
            event: EventKey(key),
            event_id: uuid::Uuid::nil(),
            endpoint: HOOK,
            organization: OrganizationId(1),
            application: ApplicationId(1),
            mode: Mode::Live,
            kind: EventKind::Messages,
            message: None,
            user: None,
            at: NOW,
            attempts: 0,
            body: Some(vec![0; 10]),
        }
    }

    fn commit(claims: &Claims, key: i64) {
        let kept = claims.keeps(HOOK).then(|| due(key));
        claims.committed(&mut vec![(HOOK, kept)]);
    }

    fn from_memory(claims: &Claims) -> Option<Vec<i64>> {
        let found = claims.recorded_since(HOOK, NOW, FAR, 10)?;
        Some(found.into_iter().map(|due| due.key.0).collect())
    }

    fn reads(claims: &Claims, found: Vec<Due>) -> Vec<i64> {
        claims.look(HOOK, Lane::First, NOW).take(found, true, FAR).into_iter().map(|due| due.key.0).collect()
    }

    #[test]
    fn what_was_let_go_while_another_claim_read_is_not_forgotten_by_one_that_passed_it_over() {
        let claims = Claims::default();
        assert_eq!(reads(&claims, vec![due(16)]), [16]);
        let retries = claims.look(HOOK, Lane::Retry, NOW);
        claims.release(&[(HOOK, DeliveryKey(16), Finish::Back)]);
        // It passes over what was let go, finds nothing else, and must not conclude that nothing waits.
        let mut first = claims.look(HOOK, Lane::First, NOW);
        assert!(first.held().contains(&DeliveryKey(16)));
        assert!(first.take(Vec::new(), true, FAR).is_empty());
        assert_eq!(from_memory(&claims), None, "the store is asked");
        drop(retries);
        assert_eq!(reads(&claims, vec![due(16)]), [16]);
        assert_eq!(from_memory(&claims), Some(Vec::new()));
    }

    #[test]
    fn what_is_recorded_while_a_claim_reads_is_handed_out_once_whether_it_saw_it_or_not() {
        let claims = Claims::default();
        let claim = claims.look(HOOK, Lane::First, NOW);
        commit(&claims, 16);
        commit(&claims, 32);
        assert_eq!(claim.take(vec![due(16)], true, FAR).len(), 1);
        assert_eq!(from_memory(&claims), Some(vec![32]));
        assert_eq!(from_memory(&claims), Some(Vec::new()));
    }

    #[test]
    fn a_claim_that_another_overtook_a_full_one_and_one_that_failed_prove_nothing() {
        let claims = Claims::default();
        let (older, newer) = (claims.look(HOOK, Lane::First, NOW), claims.look(HOOK, Lane::First, NOW));
        older.take(Vec::new(), true, FAR);
        assert_eq!(from_memory(&claims), None);
        newer.take(Vec::new(), false, FAR);
        assert_eq!(from_memory(&claims), None);
        drop(claims.look(HOOK, Lane::First, NOW));
        assert!(!claims.keeps(HOOK), "nothing is gathered for nobody");
    }

    #[test]
    fn one_that_was_not_at_hand_sends_the_next_claim_to_the_store() {
        let claims = Claims::default();
        reads(&claims, Vec::new());
        commit(&claims, 16);
        claims.committed(&mut vec![(HOOK, None)]);
        assert_eq!(from_memory(&claims), None);
        reads(&claims, vec![due(16), due(32)]);
        claims.distrust();
        assert_eq!(from_memory(&claims), None);
    }

    #[test]
    fn memory_ends_with_a_lease_that_any_claim_found_over_and_with_its_minute() {
        let claims = Claims::default();
        claims.look(HOOK, Lane::First, NOW).take(vec![due(16)], true, NOW.plus_ms(5));
        assert_eq!(from_memory(&claims), Some(Vec::new()));
        drop(claims.look(HOOK, Lane::Retry, NOW.plus_ms(5)));
        assert_eq!(from_memory(&claims), None);
        reads(&claims, Vec::new());
        assert!(claims.recorded_since(HOOK, NOW.plus_ms(59_999), FAR, 10).is_some());
        assert!(claims.recorded_since(HOOK, NOW.plus_ms(60_000), FAR, 10).is_none());
        assert!(claims.recorded_since(HOOK, NOW.plus_ms(-1), FAR, 10).is_none(), "a clock that was set back");
    }
}

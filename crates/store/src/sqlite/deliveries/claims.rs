//! Who holds what: claims of deliveries, in memory.
//!
//! A claim reads a snapshot of the database while others finish. What was held when the claim began,
//! or was let go while it read, may look waiting in its snapshot and is not: both are passed over,
//! and found by the next claim where they wait again.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};
use turnpike_domain::webhook::EventKind;

use super::SLOTS;
use crate::deliveries::{DeliveryKey, Due, Lane};
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
    endpoints: Mutex<HashMap<EndpointId, Held>>,
}

/// What is held of one endpoint.
#[derive(Default)]
struct Held {
    /// Until when, by key.
    until: HashMap<DeliveryKey, UnixMs>,
    /// Claims that are reading now.
    looking: u32,
    /// Let go while somebody was reading.
    let_go: HashSet<DeliveryKey>,
}

impl Claims {
    /// Begins a claim.
    pub(super) fn look(&self, endpoint: EndpointId, now: UnixMs) -> Looking<'_> {
        let mut endpoints = self.endpoints.lock();
        let held = endpoints.entry(endpoint).or_default();
        held.until.retain(|_, until| *until > now);
        held.looking += 1;
        let keys = held.until.keys().chain(&held.let_go).copied().collect();
        Looking { claims: self, endpoint, held: keys }
    }

    /// Lets go of what was finished.
    pub(super) fn release(&self, done: &[(EndpointId, DeliveryKey)]) {
        let mut endpoints = self.endpoints.lock();
        for (endpoint, key) in done {
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
}

impl Looking<'_> {
    /// What was held when it began; given away once.
    pub(super) fn held(&mut self) -> HashSet<DeliveryKey> {
        std::mem::take(&mut self.held)
    }

    /// Takes what was found and is still free.
    pub(super) fn take(self, found: Vec<Due>, lease_until: UnixMs) -> Vec<Due> {
        let mut endpoints = self.claims.endpoints.lock();
        let held = endpoints.entry(self.endpoint).or_default();
        found.into_iter().filter(|due| !held.let_go.contains(&due.key) && held.until.try_insert_new(due.key, lease_until)).collect()
    }
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        let mut endpoints = self.claims.endpoints.lock();
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

/// What waits of an endpoint and lane and is due, oldest first, without what is held.
pub(super) fn waiting(
    snapshot: &Connection,
    cipher: &MessageCipher,
    endpoint: EndpointId,
    lane: Lane,
    now: UnixMs,
    limit: u32,
    held: &HashSet<DeliveryKey>,
) -> Result<Vec<Due>, Failure> {
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
    keys.into_iter().filter_map(|key| due(&mut events, cipher, endpoint, key, &mut bodies).transpose()).collect()
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

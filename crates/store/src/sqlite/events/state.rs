//! What the writer keeps for events: their statements, prepared once, and what it remembers so that
//! an event costs writes and no searches.
//!
//! All of it is rebuilt at start, or asked of the rows where it is missing.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension as _, Statement, params};
use turnpike_domain::ids::{ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs, UtcDay};

use crate::endpoints::EndpointId;
use crate::sqlite::Tuning;
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::hash_index::{self, HashIndex};
use crate::sqlite::memory::WalletKey;

/// Events of one block: what a list passes over at once, where it holds none of the application.
pub(in crate::sqlite) const BLOCK: i64 = 4_096;

/// How long Meta's repeats are recognised: it repeats for seven days (contract §8).
const IDENTITY_KEPT_MS: i64 = 8 * DAY_MS;

/// Applications, endpoints and spans remembered; past this the memory begins anew and asks the rows.
const REMEMBERED_MAX: usize = 65_536;

/// Messages accepted by a status whose own answer is still awaited: each is a send in flight, so
/// there are few. Past this they are let go, which costs Meta's own words in their answers.
const EARLY_MAX: usize = 65_536;

/// Days whose statements are kept: yesterday's and today's.
const DAYS_KEPT: usize = 2;

/// What a start found of events.
pub(in crate::sqlite) struct RecoveredEvents {
    index: Arc<HashIndex>,
    last_event: i64,
    alerts: HashMap<WalletKey, Alert>,
}

/// Below what available an organization wants to hear of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alert {
    pub(super) below: Micros,
    /// It was told since available last was above.
    pub(super) told: bool,
}

/// The name under which the last event's key is kept when rows of events are dropped.
const LAST_EVENT: &str = "last_event";

/// Reads what the writer must know of events before its first job.
pub(in crate::sqlite) fn recover(connection: &Connection, tuning: &Tuning, now: UnixMs) -> Result<RecoveredEvents, Failure> {
    let last_event = connection.query_row(
        "SELECT max(coalesce((SELECT max(key) FROM events), 0), coalesce((SELECT value FROM marks WHERE name = ?1), 0))",
        [LAST_EVENT],
        |row| row.get(0),
    )?;
    let (index, covered) = HashIndex::load(connection, hash_index::EVENTS, tuning.segment_entries, Some(IDENTITY_KEPT_MS), now)?;
    let mut statement =
        connection.prepare("SELECT key, identity, at FROM events WHERE key > ?1 AND identity IS NOT NULL AND at > ?2 ORDER BY key")?;
    let mut rows = statement.query([covered.0, now.0.saturating_sub(IDENTITY_KEPT_MS)])?;
    while let Some(row) = rows.next()? {
        index.add(row.get(1)?, MessageKey(row.get(0)?), UnixMs(row.get(2)?));
    }
    let mut alerts = HashMap::new();
    let mut statement = connection.prepare("SELECT organization, mode, below, told FROM wallet_alerts")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let organization = OrganizationId(row.get(0)?);
        let mode = Mode::from_number(row.get(1)?).ok_or_else(|| corrupt("wallet_alerts", "mode", organization))?;
        alerts.insert((organization, mode), Alert { below: Micros(row.get(2)?), told: row.get(3)? });
    }
    Ok(RecoveredEvents { index: Arc::new(index), last_event, alerts })
}

/// The writer's part for events.
pub(in crate::sqlite) struct EventState<'c> {
    connection: &'c Connection,
    pub(in crate::sqlite) index: Arc<HashIndex>,
    pub(super) last_event: i64,
    pub(super) alerts: HashMap<WalletKey, Alert>,
    /// Messages whose outcome a status told before their own answer came.
    pub(super) accepted_early: HashSet<MessageKey>,
    applications: HashMap<ApplicationId, OrganizationId>,
    endpoints: HashMap<EndpointId, (ApplicationId, u8)>,
    heard: HashSet<(ApplicationId, i64)>,
    /// The newest block of events that is known to hold one of the application.
    blocks: HashMap<ApplicationId, i64>,
    pub(super) insert_event: Statement<'c>,
    pub(super) insert_delivery: Statement<'c>,
    pub(super) insert_status: Statement<'c>,
    pub(super) statuses: Statement<'c>,
    pub(super) identity: Statement<'c>,
    pub(super) user_wrote: Statement<'c>,
    pub(super) not_unpriced: Statement<'c>,
    pub(super) not_straggling: Statement<'c>,
    days: Vec<Day<'c>>,
}

/// Statements on the tables of one day.
struct Day<'c> {
    day: UtcDay,
    insert_body: Statement<'c>,
    insert_raw: Statement<'c>,
}

impl<'c> EventState<'c> {
    /// Prepares the statements and takes over what the start found.
    pub(in crate::sqlite) fn prepare(connection: &'c Connection, recovered: RecoveredEvents) -> rusqlite::Result<EventState<'c>> {
        let RecoveredEvents { index, last_event, alerts } = recovered;
        Ok(EventState {
            connection,
            index,
            last_event,
            alerts,
            accepted_early: HashSet::new(),
            applications: HashMap::new(),
            endpoints: HashMap::new(),
            heard: HashSet::new(),
            blocks: HashMap::new(),
            insert_event: connection.prepare(
                "INSERT INTO events (key, organization, application, mode, kind, at, user, message, message_at, raw, identity, aliases)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
            insert_delivery: connection.prepare(
                "INSERT OR IGNORE INTO deliveries (key, endpoint, state, lane, next_at, attempts, tries) VALUES (?1, ?2, 0, 0, ?3, 0, 0)",
            )?,
            insert_status: connection.prepare(
                "INSERT INTO message_statuses (message, status, at, received_at, pricing, failure, settles, repriced)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            statuses: connection.prepare("SELECT status, pricing, settles, repriced FROM message_statuses WHERE message = ?1")?,
            identity: connection.prepare("SELECT identity FROM events WHERE key = ?1")?,
            user_wrote: connection.prepare(
                "INSERT INTO users (application, user, last_wrote_at) VALUES (?1, ?2, ?3)
                 ON CONFLICT (application, user) DO UPDATE SET last_wrote_at = max(coalesce(last_wrote_at, 0), excluded.last_wrote_at)",
            )?,
            not_unpriced: connection.prepare("DELETE FROM unpriced WHERE message = ?1")?,
            not_straggling: connection.prepare("DELETE FROM stragglers WHERE message = ?1")?,
            days: Vec::new(),
        })
    }

    /// Whether no organization asked to hear of a low wallet.
    pub(in crate::sqlite) fn has_no_alerts(&self) -> bool {
        self.alerts.is_empty()
    }

    /// Brings a slice of the identities in memory to their pages.
    pub(in crate::sqlite) fn work_a_slice(&self, now: UnixMs) -> Result<(), Failure> {
        self.index.work_a_slice(self.connection, MessageKey(self.last_event), now)
    }

    /// Who owns an application; `None` where there is none.
    pub(super) fn owner(&mut self, application: ApplicationId) -> Result<Option<OrganizationId>, Failure> {
        if let Some(owner) = self.applications.get(&application) {
            return Ok(Some(*owner));
        }
        let owner = self
            .connection
            .prepare_cached("SELECT organization FROM applications WHERE id = ?1")?
            .query_row([application.0], |row| row.get(0).map(OrganizationId))
            .optional()?;
        if let Some(owner) = owner {
            if self.applications.len() >= REMEMBERED_MAX {
                self.applications.clear();
            }
            self.applications.insert(application, owner);
        }
        Ok(owner)
    }

    /// The slot of an endpoint of this application; `None` where the application has none of that key.
    pub(super) fn slot(&mut self, application: ApplicationId, endpoint: EndpointId) -> Result<Option<u8>, Failure> {
        let (owner, slot) = match self.endpoints.get(&endpoint) {
            Some(known) => *known,
            None => {
                let stored = self
                    .connection
                    .prepare_cached("SELECT application, slot FROM endpoints WHERE id = ?1")?
                    .query_row([endpoint.0], |row| Ok((ApplicationId(row.get(0)?), row.get(1)?)))
                    .optional()?;
                let Some(stored) = stored else { return Ok(None) };
                if self.endpoints.len() >= REMEMBERED_MAX {
                    self.endpoints.clear();
                }
                self.endpoints.insert(endpoint, stored);
                stored
            }
        };
        Ok((owner == application).then_some(slot))
    }

    /// Forgets what a write of the control plane may have changed.
    pub(in crate::sqlite) fn control_wrote(&mut self) {
        self.endpoints.clear();
        self.applications.clear();
    }

    /// Notes that a status came of a message of this application that was admitted then.
    pub(super) fn hear(&mut self, application: ApplicationId, admitted_at: UnixMs) -> Result<(), Failure> {
        let span = heard_span(admitted_at);
        if self.heard.contains(&(application, span)) {
            return Ok(());
        }
        if self.heard.len() >= REMEMBERED_MAX {
            self.heard.clear();
        }
        self.heard.insert((application, span));
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO heard (application, span) VALUES (?1, ?2)")?
            .execute([application.0, span])?;
        Ok(())
    }

    /// Notes that an event of this application lies in its block. Keys only grow, so the newest block
    /// is all that has to be remembered.
    pub(super) fn note_block(&mut self, application: ApplicationId, event: i64) -> Result<(), Failure> {
        let block = event.div_euclid(BLOCK);
        if self.blocks.get(&application) == Some(&block) {
            return Ok(());
        }
        if self.blocks.len() >= REMEMBERED_MAX {
            self.blocks.clear();
        }
        self.blocks.insert(application, block);
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO event_blocks (application, block) VALUES (?1, ?2)")?
            .execute([application.0, block])?;
        Ok(())
    }

    /// Lets go of the memory of spans: rows of theirs were dropped.
    pub(super) fn forget_spans(&mut self) {
        self.heard.clear();
    }

    /// Notes that a status told the outcome before the send's own answer.
    pub(super) fn note_early(&mut self, message: MessageKey) {
        if self.accepted_early.len() >= EARLY_MAX {
            self.accepted_early.clear();
        }
        self.accepted_early.insert(message);
    }

    /// Whether a status told this message's outcome before its own answer came.
    pub(in crate::sqlite) fn was_early(&self, message: MessageKey) -> bool {
        self.accepted_early.contains(&message)
    }

    /// Its own answer has come.
    pub(in crate::sqlite) fn no_longer_early(&mut self, message: MessageKey) {
        self.accepted_early.remove(&message);
    }

    /// The next event's key.
    pub(super) fn next_event(&mut self) -> i64 {
        self.last_event += 1;
        self.last_event
    }

    /// Writes an event's bytes into its day.
    pub(super) fn insert_body(&mut self, day: UtcDay, event: i64, sealed: &[u8]) -> Result<(), Failure> {
        self.day(day)?.insert_body.execute(params![event, sealed])?;
        Ok(())
    }

    /// Writes a POST as it came into its day; returns its row there.
    pub(super) fn insert_raw(&mut self, day: UtcDay, sealed: &[u8]) -> Result<i64, Failure> {
        self.day(day)?.insert_raw.execute([sealed])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn day(&mut self, day: UtcDay) -> rusqlite::Result<&mut Day<'c>> {
        if let Some(place) = self.days.iter().position(|known| known.day == day) {
            return Ok(&mut self.days[place]);
        }
        if self.days.len() >= DAYS_KEPT {
            self.days.remove(0);
        }
        let (bodies, raw) = (bodies_table(day), raw_table(day));
        self.connection.execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {bodies} (event INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS {raw} (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;"
        ))?;
        self.days.push(Day {
            day,
            insert_body: self.connection.prepare(&format!("INSERT INTO {bodies} (event, sealed) VALUES (?1, ?2)"))?,
            insert_raw: self.connection.prepare(&format!("INSERT INTO {raw} (sealed) VALUES (?1)"))?,
        });
        let last = self.days.len() - 1;
        Ok(&mut self.days[last])
    }

    /// Lets go of every day's statements: a table of theirs is about to be dropped.
    pub(super) fn forget_days(&mut self) {
        self.days.clear();
    }

    /// Keeps the last key beside the rows, which are about to be dropped: a key is never used twice.
    pub(super) fn mark_last_event(&self) -> Result<(), Failure> {
        self.connection
            .prepare_cached("INSERT INTO marks (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value")?
            .execute(params![LAST_EVENT, self.last_event])?;
        Ok(())
    }
}

/// Length of a span of the table `heard`.
pub(super) const HEARD_SPAN_MS: i64 = 300_000;

/// The span of `heard` that an instant falls into.
pub(super) fn heard_span(at: UnixMs) -> i64 {
    at.0.div_euclid(HEARD_SPAN_MS)
}

/// Sealed bytes of a day's events.
pub(in crate::sqlite) fn bodies_table(day: UtcDay) -> String {
    format!("event_bodies_{}", day.compact())
}

/// Sealed POSTs of a day.
pub(in crate::sqlite) fn raw_table(day: UtcDay) -> String {
    format!("raw_{}", day.compact())
}

//! Recording what a POST brought: everything that follows from each event, in the open commit.

use rusqlite::params;
use turnpike_domain::ids::MessageKey;
use turnpike_domain::time::UnixMs;

use super::ids::event_id;
use super::notices;
use super::status::Reported;
use crate::deliveries::{DeliveryKey, Due};
use crate::endpoints::EndpointId;
use crate::events::{EventKey, Intake, NewEvent, Quarantine, Recorded, StatusEffect};
use crate::messages::Hash16;
use crate::sqlite::failure::Failure;
use crate::sqlite::users;
use crate::sqlite::writer::Writer;
use crate::users::UserNote;

/// Slots of a delivery's key ([`crate::endpoints::ENDPOINTS_MAX`]).
pub(super) const SLOTS: i64 = 16;

/// The POST that the events came with: kept once something in it is new.
struct Post {
    received_at: UnixMs,
    sealed: Option<Vec<u8>>,
    row: Option<i64>,
}

/// What was read of an event before anything is written.
struct Weighed {
    /// The message of ours that a status is about.
    reported: Option<Reported>,
    /// The message that the event is kept with.
    about: Option<(MessageKey, UnixMs)>,
    /// Its message has such a status, or its identity was recorded.
    is_known: bool,
}

impl Writer<'_> {
    /// Records an intake in order.
    pub(super) fn record(&mut self, intake: Intake) -> Result<Vec<Recorded>, Failure> {
        let Intake { received_at, raw, events, quarantine } = intake;
        self.memory.newest_at = self.memory.newest_at.max(received_at);
        let mut post = Post { received_at, sealed: raw, row: None };
        if events.is_empty() && quarantine.is_empty() {
            self.keep(&mut post)?;
        }
        let mut told: Vec<i64> = Vec::new();
        let mut recorded = Vec::with_capacity(events.len());
        for event in events {
            recorded.push(self.record_one(&event, &mut post)?);
            told.extend(event.notice.filter(|notice| !told.contains(notice)));
        }
        for part in quarantine {
            self.quarantine(&part, &mut post)?;
        }
        // Last, since several events may tell of one notice: one for each application.
        for notice in told {
            notices::drop_notice(self.connection, notice)?;
        }
        Ok(recorded)
    }

    /// Records one event, or nothing of it where rows that it is about cannot be read: such a row
    /// must not hold up the others of its commit, and these are everybody's.
    ///
    /// So everything that may turn out unreadable is read first ([`Writer::weigh`]), and only then is
    /// anything written or remembered: to leave such an event out, nothing has to be undone.
    fn record_one(&mut self, event: &NewEvent, post: &mut Post) -> Result<Recorded, Failure> {
        match self.weigh(event) {
            Ok(Some(weighed)) => self.write_event(event, weighed, post),
            Ok(None) => Ok(Recorded::NotFound),
            Err(failure) => Ok(Recorded::Broken { fault: failure.of_one_item()? }),
        }
    }

    /// Reads what an event's writing depends on; `None` where its application is gone. Changes nothing.
    fn weigh(&mut self, event: &NewEvent) -> Result<Option<Weighed>, Failure> {
        if self.events.owner(event.application)? != Some(event.organization) {
            return Ok(None);
        }
        let mut weighed = Weighed { reported: None, about: None, is_known: false };
        if let Some(report) = &event.status {
            weighed.reported = self.reported_message(event.organization, event.application, event.mode, report)?;
        } else if let Some(notice) = event.notice {
            weighed.about = notices::message_of(self.connection, event.organization, notice)?;
        }
        weighed.is_known = match &weighed.reported {
            Some(found) if found.has(event.status.as_ref().map(|report| report.status)) => true,
            _ => self.is_known(&event.identity)?,
        };
        for endpoint in &event.endpoints {
            self.events.slot(event.application, *endpoint)?;
        }
        Ok(Some(weighed))
    }

    fn write_event(&mut self, event: &NewEvent, weighed: Weighed, post: &mut Post) -> Result<Recorded, Failure> {
        let Weighed { reported, mut about, is_known } = weighed;
        let mut effect = None;
        if let Some(report) = &event.status {
            effect = Some(match reported {
                Some(found) => {
                    about = Some((found.key, found.standing.admitted_at));
                    self.apply_status(found, report, post.received_at)?
                }
                None => StatusEffect { message: None, resolved: false, legs: None },
            });
        }
        if is_known {
            return Ok(Recorded::Duplicate);
        }
        let raw = self.keep(post)?;
        let at = post.received_at;
        let key = self.events.next_event();
        self.events.note_block(event.application, key)?;
        // A repeat of a status of ours is told by the message; everything else by its identity.
        let by_message = event.status.is_some() && about.is_some();
        let identity = (!by_message).then_some(&event.identity);
        self.events.insert_event.execute(params![
            key,
            event.organization.0,
            event.application.0,
            event.mode.number(),
            event.kind.number(),
            at.0,
            &event.user,
            about.map(|(message, _)| message.0),
            about.map(|(_, admitted_at)| admitted_at.0),
            raw,
            identity,
            (!event.aliases.is_empty()).then(|| event.aliases.concat()),
        ])?;
        if let Some(identity) = identity {
            self.events.index.add(*identity, MessageKey(key), at);
        }
        self.events.insert_body(at.day(), key, &event.body)?;
        for endpoint in &event.endpoints {
            // One that was deleted since the engine looked gets nothing.
            if let Some(slot) = self.events.slot(event.application, *endpoint)? {
                let delivery = key * SLOTS + i64::from(slot);
                if self.events.insert_delivery.execute(params![delivery, endpoint.0, at.0])? == 1 {
                    let due = self.claims.keeps(*endpoint).then(|| self.due_at_once(event, (key, delivery), *endpoint, at, about));
                    self.recorded.push((*endpoint, due));
                }
            }
        }
        if let Some(note) = event.note {
            for user in event.user.iter().chain(&event.aliases) {
                match note {
                    UserNote::Wrote(wrote_at) => {
                        self.events.user_wrote.execute(params![event.application.0, user, wrote_at.0])?;
                    }
                    UserNote::OptedOut(_) | UserNote::OptedIn(_) => users::write(self.connection, event.application, *user, note)?,
                }
            }
        }
        let key = EventKey(key);
        Ok(Recorded::New { key, id: event_id(&self.cipher, at, key), status: effect })
    }

    /// A new delivery as a claim of it would be read.
    fn due_at_once(
        &self,
        event: &NewEvent,
        (key, delivery): (i64, i64),
        endpoint: EndpointId,
        at: UnixMs,
        about: Option<(MessageKey, UnixMs)>,
    ) -> Due {
        Due {
            key: DeliveryKey(delivery),
            event: EventKey(key),
            event_id: event_id(&self.cipher, at, EventKey(key)),
            endpoint,
            organization: event.organization,
            application: event.application,
            mode: event.mode,
            kind: event.kind,
            message: about.map(|(message, admitted_at)| self.cipher.message_id(admitted_at, message)),
            user: event.user,
            at,
            attempts: 0,
            body: Some(event.body.clone()),
        }
    }

    /// Whether an event of this identity was recorded in the days in which Meta repeats.
    fn is_known(&mut self, identity: &Hash16) -> Result<bool, Failure> {
        let stored = &mut self.events.identity;
        let found = self.events.index.find(self.connection, identity, |event| {
            let mut rows = stored.query([event.0])?;
            Ok(match rows.next()? {
                Some(row) => row.get::<_, Option<Hash16>>(0)?.as_ref() == Some(identity),
                // Its row was dropped before Meta's repeats end; 64 bits of a keyed hash are enough.
                None => true,
            })
        })?;
        Ok(found.is_some())
    }

    /// Keeps the POST, once, and tells in which row.
    fn keep(&mut self, post: &mut Post) -> Result<Option<i64>, Failure> {
        if let Some(sealed) = post.sealed.take() {
            post.row = Some(self.events.insert_raw(post.received_at.day(), &sealed)?);
        }
        Ok(post.row)
    }

    fn quarantine(&mut self, part: &Quarantine, post: &mut Post) -> Result<(), Failure> {
        let inserted = self
            .connection
            .prepare_cached(
                "INSERT INTO quarantine (at, reason, meta_app_id, waba_id, phone_number_id, field, identity, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (identity) DO NOTHING",
            )?
            .execute(params![
                post.received_at.0,
                part.reason as i64,
                part.meta_app_id,
                part.waba_id,
                part.phone_number_id,
                part.field,
                &part.identity,
                &part.body,
            ])?;
        if inserted == 1 {
            self.keep(post)?;
        }
        Ok(())
    }
}

//! Which card is in force when: cards begin at midnight of the application's own time zone.
//!
//! Time zones are looked up once, when a [`CardSchedule`] is made; on the way of a message only
//! instants are compared. The zones are those compiled in, so that the same gateway prices the same
//! on every machine.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::SHIPPED;
use super::card::{CardId, RateCard};
use crate::money::Currency;
use crate::time::UnixMs;

/// A time zone by its IANA name, found once. Cheap to clone.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    zone: TimeZone,
}

/// A text that names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an IANA time zone such as Europe/Istanbul or UTC")]
pub struct NotAZone;

impl Zone {
    /// UTC, the zone of applications that name none.
    #[must_use]
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// The name, `Europe/Istanbul`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first instant of a day here: 00:00, or where a change of the clocks skips it the first
    /// moment after.
    #[must_use]
    pub fn midnight(&self, date: Date) -> UnixMs {
        match date.to_zoned(self.zone.clone()) {
            Ok(midnight) => UnixMs(midnight.timestamp().as_millisecond()),
            // Only dates at the two ends of the calendar (years -9999 and 9999) have no instant.
            Err(_) if date.year() < 0 => UnixMs(i64::MIN),
            Err(_) => UnixMs(i64::MAX),
        }
    }

    /// Reads an RFC 3339 instant, or a date, which is its first instant here.
    #[must_use]
    pub fn instant(&self, text: &str) -> Option<UnixMs> {
        match text.parse::<Date>() {
            Ok(date) if text.len() == "2026-10-01".len() => Some(self.midnight(date)),
            _ => UnixMs::parse(text),
        }
    }

    /// The civil date here at an instant, or `None` past the calendar's ends.
    #[must_use]
    pub fn date_at(&self, at: UnixMs) -> Option<Date> {
        let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
        Some(self.zone.to_datetime(instant).date())
    }
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(name: &str) -> Result<Zone, NotAZone> {
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Zone::utc());
        }
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| NotAZone)?;
        let name = zone.iana_name().unwrap_or(name).into();
        Ok(Zone { name, zone })
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::utc()
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl std::hash::Hash for Zone {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Every card that the gateway knows, of all currencies.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    /// In order of currency, date and edition.
    cards: Vec<Arc<RateCard>>,
}

impl Cards {
    /// The cards that ship with the gateway.
    #[must_use]
    pub fn shipped() -> Cards {
        let mut cards = Cards::default();
        for (name, text) in SHIPPED {
            let card = RateCard::parse_csv(name, text).expect("a test reads every shipped card");
            cards.add(card);
        }
        cards
    }

    /// Adds a card. One of the same currency and date gets the next edition, which is what new
    /// messages are priced by; held ones keep theirs. `None`, and nothing added, where 255 editions
    /// are used up.
    pub fn add(&mut self, card: RateCard) -> Option<CardId> {
        let same_day = |other: &&Arc<RateCard>| other.currency() == card.currency() && other.id().effective == card.id().effective;
        let edition = match self.cards.iter().rev().find(same_day) {
            Some(last) => last.id().edition.checked_add(1)?,
            None => card.id().edition,
        };
        let card = card.with_edition(edition);
        let id = card.id();
        let place = self.cards.partition_point(|other| other.id() < id);
        self.cards.insert(place, Arc::new(card));
        Some(id)
    }

    /// A card by its id: how a held message finds the prices that it was held by.
    #[must_use]
    pub fn get(&self, id: CardId) -> Option<&Arc<RateCard>> {
        self.cards.binary_search_by(|card| card.id().cmp(&id)).ok().map(|place| &self.cards[place])
    }

    /// Every card, in order of currency, date and edition.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RateCard>> {
        self.cards.iter()
    }

    /// The card in force on a civil date: the last edition of the latest that has begun, or before
    /// them all the first.
    #[must_use]
    pub fn card_on(&self, currency: Currency, date: Date) -> Option<&Arc<RateCard>> {
        let mut of_currency = self.cards.iter().filter(|card| card.currency() == currency).peekable();
        let first = of_currency.peek().map(|card| card.id().effective)?;
        of_currency.rfind(|card| card.id().effective <= date.max(first))
    }

    /// When which card is in force in a zone; `None` for a currency without a card.
    #[must_use]
    pub fn schedule(&self, currency: Currency, zone: &Zone) -> Option<CardSchedule> {
        let mut later: Vec<(UnixMs, Arc<RateCard>)> = Vec::new();
        for card in self.cards.iter().filter(|card| card.currency() == currency) {
            let from = zone.midnight(card.id().effective);
            match later.last_mut() {
                // A further edition of the same date takes the place of the one before it.
                Some(last) if last.1.id().effective == card.id().effective => last.1 = card.clone(),
                _ => later.push((from, card.clone())),
            }
        }
        if later.is_empty() {
            return None;
        }
        let (_, first) = later.remove(0);
        Some(CardSchedule { first, later: later.into() })
    }
}

/// The cards of one currency with the instants at which they begin in one zone.
#[derive(Clone, Debug)]
pub struct CardSchedule {
    /// In force until the next begins. It prices what lies before its own date too: a clock that is
    /// wrong by months must not stop a gateway from sending.
    first: Arc<RateCard>,
    later: Box<[(UnixMs, Arc<RateCard>)]>,
}

impl CardSchedule {
    /// The card in force at an instant. A few comparisons, latest first.
    #[must_use]
    pub fn at(&self, at: UnixMs) -> &Arc<RateCard> {
        self.later.iter().rev().find(|(from, _)| *from <= at).map_or(&self.first, |(_, card)| card)
    }
}

//! Admission: decided in the writer's memory, one message after the other, in one commit.

use rusqlite::params;
use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{OutcomeKind, Resolution};
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs};

use crate::messages::{Admission, Admit, Hash16, PinnedPrice};
use crate::planted::{self, Bug};
use crate::sqlite::failure::Failure;
use crate::sqlite::memory::{InFlight, PRICES_MAX, PriceKey};
use crate::sqlite::writer::Writer;

/// How long an answer stays under its Idempotency-Key once it is final (contract §3.5).
pub(in crate::sqlite) const KEY_KEPT_MS: i64 = DAY_MS;

impl Writer<'_> {
    /// Admits one message, or says why not. Only `New` has written anything.
    pub(in crate::sqlite) fn admit(&mut self, new: Admit) -> Result<Admission, Failure> {
        self.memory.newest_at = self.memory.newest_at.max(new.at);
        if let Some(hash) = &new.idempotency
            && let Some(refused) = self.under_key(hash, &new)?
        {
            return Ok(refused);
        }
        if let Some(since) = new.likely_repeat_since
            && let Some((key, at)) = self.memory.likely_repeat(new.application, new.mode, new.fingerprint, since)
        {
            return Ok(Admission::LikelyRepeat { key, id: self.cipher.message_id(at, key) });
        }

        // A fake is priced and looks at the live wallet, and takes nothing from it.
        let wallet = (new.organization, if new.mode == Mode::Fake { Mode::Live } else { new.mode });
        let Some(balance) = self.wallet(wallet)? else { return Ok(Admission::NoWallet) };
        let available = if planted::is(Bug::HoldsNotCounted) { balance.posted } else { balance.available() };
        let covered = new.price.base.checked_add(new.price.meta).is_some_and(|cost| cost <= available);
        if !covered {
            return Ok(Admission::InsufficientFunds { available });
        }
        let (base, meta) = if new.mode == Mode::Fake { Default::default() } else { (new.price.base, new.price.meta) };
        assert!(!base.is_negative() && !meta.is_negative(), "a price below zero was refused before the queue");

        let price = self.price(&new.price)?;
        let key = MessageKey(self.place_at(new.at)?);
        self.statements.insert_message.execute(params![
            key.0,
            new.organization.0,
            new.application.0,
            new.api_key.0,
            new.at.0,
            new.mode.number(),
            new.kind.number(),
            new.endpoint.number(),
            price,
            base.0,
            meta.0,
            &new.fingerprint,
            &new.idempotency,
            &new.token_salt,
        ])?;
        self.statements.day(new.at.day())?.insert_content.execute(params![key.0, &new.recipient, &new.content])?;
        if base.0 != 0 || meta.0 != 0 {
            self.change_wallet(wallet, |balance| {
                balance.held_base.0 += base.0;
                balance.held_meta.0 += meta.0;
            })?;
        }
        if let Some(days) = new.counts_in {
            self.memory.usage.entry((days.message, new.api_key)).or_default().0 += 1;
            self.memory.usage.entry((days.spend, new.api_key)).or_default().1 += base.0 + meta.0;
        }
        if let Some(hash) = new.idempotency.filter(|_| !planted::is(Bug::KeyClaimedLate)) {
            self.idempotency.add(hash, key, new.at);
        }
        let admitted = InFlight {
            organization: new.organization,
            application: new.application,
            at: new.at,
            mode: new.mode,
            base,
            meta,
            fingerprint: new.fingerprint,
            idempotency: new.idempotency,
        };
        self.memory.in_flight.insert(key, admitted);
        Ok(Admission::New { key, id: self.cipher.message_id(new.at, key) })
    }

    /// What stands in the way of admitting under this Idempotency-Key, if anything.
    fn under_key(&mut self, hash: &Hash16, new: &Admit) -> Result<Option<Admission>, Failure> {
        let in_flight = &self.memory.in_flight;
        let connection = self.connection;
        let mut earlier = None;
        self.idempotency.find(connection, hash, |key| {
            if let Some(flying) = in_flight.get(&key) {
                earlier = (flying.idempotency.as_ref() == Some(hash)).then_some((key, flying.fingerprint, Held::InFlight));
            } else {
                let row = held_by(connection, key, hash)?;
                earlier = row.map(|(fingerprint, held)| (key, fingerprint, held));
            }
            Ok(earlier.is_some())
        })?;
        let Some((key, fingerprint, held)) = earlier else { return Ok(None) };
        Ok(match held {
            _ if !held.at(new.at) => None,
            _ if fingerprint != new.fingerprint && !planted::is(Bug::FingerprintIgnored) => Some(Admission::KeyReused),
            Held::InFlight => Some(Admission::InFlight { key }),
            _ => Some(Admission::Replayed { key }),
        })
    }

    /// The number of a pinned price, written where it is new.
    fn price(&mut self, price: &PinnedPrice) -> Result<i64, Failure> {
        let known = PriceKey::from(price);
        if let Some(number) = self.memory.prices.get(&known) {
            return Ok(*number);
        }
        let number = self
            .connection
            .prepare_cached(
                "INSERT INTO pinned_prices (market, category, card, meta_billing, base, meta, meta_reported, factor_ppm, fixed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                price.market,
                price.category.number(),
                price.card.as_ref(),
                price.meta_billing.number(),
                price.base.0,
                price.meta.0,
                price.meta_reported.0,
                price.factor_ppm,
                price.fixed.0,
            ])
            .and_then(|inserted| if inserted == 1 { Ok(self.connection.last_insert_rowid()) } else { self.stored_price(price) })?;
        if self.memory.prices.len() >= PRICES_MAX {
            self.memory.prices.clear();
        }
        self.memory.prices.insert(known, number);
        Ok(number)
    }

    fn stored_price(&self, price: &PinnedPrice) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached(
                "SELECT id FROM pinned_prices
                 WHERE market = ?1 AND category = ?2 AND card = ?3 AND meta_billing = ?4
                   AND base = ?5 AND meta = ?6 AND meta_reported = ?7 AND factor_ppm = ?8 AND fixed = ?9",
            )?
            .query_row(
                params![
                    price.market,
                    price.category.number(),
                    price.card.as_ref(),
                    price.meta_billing.number(),
                    price.base.0,
                    price.meta.0,
                    price.meta_reported.0,
                    price.factor_ppm,
                    price.fixed.0,
                ],
                |row| row.get(0),
            )
    }
}

/// Whether a message still holds its Idempotency-Key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Held {
    /// It has no outcome yet.
    InFlight,
    /// Its answer is kept for as long as nobody knows how it ended.
    Unknown,
    /// Its answer has been final since then.
    Since(UnixMs),
    /// Its answer does not use up the key.
    Free,
}

impl Held {
    /// What an outcome and its resolution make of the key.
    pub(in crate::sqlite) fn by(outcome: Option<(OutcomeKind, UnixMs)>, resolution: Option<(Resolution, UnixMs)>) -> Held {
        match (outcome, resolution) {
            (None, _) => Held::InFlight,
            (Some(_), Some((_, at))) => Held::Since(at),
            (Some((OutcomeKind::Unknown, _)), None) => Held::Unknown,
            (Some((kind, at)), None) if kind.keeps_the_key() => Held::Since(at),
            (Some(_), None) => Held::Free,
        }
    }

    /// Whether the key is taken at `now`.
    pub(in crate::sqlite) fn at(self, now: UnixMs) -> bool {
        match self {
            Held::InFlight => true,
            Held::Unknown => !planted::is(Bug::UnknownFreesKey),
            Held::Since(at) => now.0 < at.0.saturating_add(KEY_KEPT_MS),
            Held::Free => false,
        }
    }
}

/// Fingerprint and hold of a stored message, where it really has this Idempotency-Key.
pub(in crate::sqlite) fn held_by(
    connection: &rusqlite::Connection,
    key: MessageKey,
    hash: &Hash16,
) -> Result<Option<(Hash16, Held)>, Failure> {
    use rusqlite::OptionalExtension as _;

    use crate::sqlite::failure::corrupt;

    type Row = (Option<Hash16>, Hash16, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
    let row: Option<Row> = connection
        .prepare_cached(
            "SELECT m.idempotency, m.fingerprint, o.kind, o.at, r.resolution, r.at
             FROM messages m
             LEFT JOIN outcomes o ON o.message = m.key
             LEFT JOIN resolutions r ON r.message = m.key
             WHERE m.key = ?1",
        )?
        .query_row([key.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)))
        .optional()?;
    let Some((stored, fingerprint, kind, at, resolution, resolved_at)) = row else { return Ok(None) };
    if stored.as_ref() != Some(hash) {
        return Ok(None);
    }
    let outcome = match (kind, at) {
        (Some(kind), Some(at)) => Some((OutcomeKind::from_number(kind).ok_or_else(|| corrupt("outcomes", "kind", key))?, UnixMs(at))),
        _ => None,
    };
    let resolution = match (resolution, resolved_at) {
        (Some(kind), Some(at)) => {
            Some((Resolution::from_number(kind).ok_or_else(|| corrupt("resolutions", "resolution", key))?, UnixMs(at)))
        }
        _ => None,
    };
    Ok(Some((fingerprint, Held::by(outcome, resolution))))
}

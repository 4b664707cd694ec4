//! What a status does: it is noted with its message, decides an outcome that nobody knew, and
//! settles Meta's fee, all in the open commit.
//!
//! Money moves only by a status that came with our own token for the message (contract §8). Without
//! one a message is found by its wamid: then its state moves and its timeline shows the status.

use rusqlite::params;
use turnpike_domain::ids::{ApplicationId, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Leg, LegState, OutcomeKind};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::settle::{self, Decision, Move, Proof, Report};
use turnpike_domain::webhook::{PricingType, StatusKind};

use crate::events::{StatusEffect, StatusReport};
use crate::ledger::{LegMoved, MoveLeg};
use crate::messages::{Evidence, Hash16, Outcome, Resolve};
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::messages::{Standing, standing};
use crate::sqlite::writer::Writer;

/// A message of ours that a status is about.
pub(super) struct Reported {
    pub(super) key: MessageKey,
    pub(super) standing: Standing,
    /// The status came with our token: it is evidence.
    by_token: bool,
    /// What was reported of it before.
    known: Vec<Report>,
}

impl Reported {
    /// Whether it has such a status.
    pub(super) fn has(&self, status: Option<StatusKind>) -> bool {
        self.known.iter().any(|known| Some(known.status) == status)
    }
}

/// What writing a status down came to.
enum Noted {
    /// The message had none of this kind.
    First(Report),
    /// It had one, and this says more.
    Adds(Report),
    /// It had one that says as much.
    Nothing,
}

impl Writer<'_> {
    /// The message that a status is about, with everything that decides what the status does; `None`
    /// where it is none of this application's. Changes nothing.
    pub(super) fn reported_message(
        &mut self,
        organization: OrganizationId,
        application: ApplicationId,
        mode: Mode,
        report: &StatusReport,
    ) -> Result<Option<Reported>, Failure> {
        // What the built-in simulator says never touches a live message, nor the other way round, and
        // nobody can have heard of a fake.
        let ours = |found: &Standing| {
            found.organization == organization && found.application == application && found.mode == mode && mode != Mode::Fake
        };
        if let Some(token) = report.token {
            // A token of another message, application or life of this database settles nothing.
            let found = standing(self.connection, token.key)?.filter(|found| ours(found) && found.salt == token.salt);
            let Some(standing) = found else { return Ok(None) };
            self.check_books(token.key, &standing)?;
            let known = self.known_statuses(token.key)?;
            return Ok(Some(Reported { key: token.key, standing, by_token: true, known }));
        }
        let Some(key) = self.message_by_wamid(&report.wamid)? else { return Ok(None) };
        let Some(standing) = standing(self.connection, key)?.filter(ours) else { return Ok(None) };
        let known = self.known_statuses(key)?;
        Ok(Some(Reported { key, standing, by_token: false, known }))
    }

    /// Whether what a message holds stands in its wallet, and its legs follow from its outcome: money
    /// that is about to move must not meet a contradiction half-way.
    fn check_books(&mut self, key: MessageKey, standing: &Standing) -> Result<(), Failure> {
        self.check_holds((standing.organization, standing.mode), standing.base.held(), standing.meta.held())?;
        let is_undecided = matches!((standing.outcome, standing.resolution), (None, _) | (Some((OutcomeKind::Unknown, _)), None));
        let is_untouched = |leg| matches!(leg, LegState::None | LegState::Held(_));
        if is_undecided && !(is_untouched(standing.base) && is_untouched(standing.meta)) {
            return Err(corrupt("leg_movements", "message", key));
        }
        Ok(())
    }

    /// Most wamids that come without our token were never ours, and the writer has no time to look
    /// for them in all that was ever sent: a message that Meta can still report about is recent.
    fn message_by_wamid(&self, wamid: &Hash16) -> Result<Option<MessageKey>, Failure> {
        self.wamids.find_recent(self.connection, wamid, |key| {
            Ok(self
                .connection
                .prepare_cached(
                    "SELECT 1 FROM outcomes o LEFT JOIN resolutions r ON r.message = o.message
                     WHERE o.message = ?1 AND (o.wamid = ?2 OR r.wamid = ?2)",
                )?
                .exists(params![key.0, wamid])?)
        })
    }

    /// Notes a status and does what follows from it.
    pub(super) fn apply_status(&mut self, found: Reported, report: &StatusReport, received_at: UnixMs) -> Result<StatusEffect, Failure> {
        let Reported { key, standing: mut now, by_token, mut known } = found;
        let id = self.cipher.message_id(now.admitted_at, key);
        let settles = by_token && report.moves_operator_fee;
        let noted = self.note_status(key, now.held_meta, report, received_at, settles, &mut known)?;
        let mut resolved = false;
        if let Noted::First(counted) | Noted::Adds(counted) = noted {
            self.events.hear(now.application, now.admitted_at)?;
            if by_token {
                let Decision { proof, moves } = settle::decide(&in_words(&now, &known), &counted);
                if let Some(proof) = proof {
                    resolved = matches!(proof, Proof::Resolution(_));
                    self.record_proof(key, &now, proof, report, received_at)?;
                    now = standing(self.connection, key)?.ok_or_else(|| corrupt("messages", "key", key))?;
                }
                for step in moves {
                    self.move_by_status(key, &mut now, step, &counted, received_at)?;
                }
            }
            known.push(counted);
            self.watch_for_a_price(key, &now, &known, received_at)?;
        }
        Ok(StatusEffect { message: Some((key, id)), resolved, legs: Some((now.base, now.meta)) })
    }

    fn known_statuses(&mut self, key: MessageKey) -> Result<Vec<Report>, Failure> {
        let mut rows = self.events.statuses.query([key.0])?;
        let mut known = Vec::new();
        while let Some(row) = rows.next()? {
            let pricing = match row.get_ref(1)?.as_str_or_null().unwrap_or(None) {
                Some(text) => Some(serde_json::from_str(text).map_err(|_| corrupt("message_statuses", "pricing", key))?),
                None => None,
            };
            known.push(Report {
                status: StatusKind::from_number(row.get(0)?).ok_or_else(|| corrupt("message_statuses", "status", key))?,
                pricing,
                moves_operator_fee: row.get(2)?,
                repriced: row.get::<_, Option<i64>>(3)?.map(Micros),
            });
        }
        Ok(known)
    }

    /// Writes the status down, or what a repeat of it adds: our token, or more of a price. What counts
    /// now is taken out of `known`.
    fn note_status(
        &mut self,
        key: MessageKey,
        held_meta: Micros,
        report: &StatusReport,
        received_at: UnixMs,
        settles: bool,
        known: &mut Vec<Report>,
    ) -> Result<Noted, Failure> {
        let new = Report { status: report.status, pricing: report.pricing.clone(), repriced: report.repriced, moves_operator_fee: settles };
        let Some(place) = known.iter().position(|known| known.status == report.status) else {
            let pricing = report.pricing.as_ref().map(to_json).transpose()?;
            let failure = report.failure.as_ref().map(to_json).transpose()?;
            self.events.insert_status.execute(params![
                key.0,
                report.status.number(),
                report.at.0,
                received_at.0,
                pricing,
                failure,
                settles,
                report.repriced.map(|fee| fee.0),
            ])?;
            return Ok(Noted::First(new));
        };
        let same = &known[place];
        // What may not settle never lends its price to what may.
        let adds = if same.moves_operator_fee == settles { new.tells_more_than(same, held_meta) } else { settles };
        if !adds {
            return Ok(Noted::Nothing);
        }
        known.remove(place);
        let pricing = report.pricing.as_ref().map(to_json).transpose()?;
        self.connection
            .prepare_cached("UPDATE message_statuses SET pricing = ?3, settles = ?4, repriced = ?5 WHERE message = ?1 AND status = ?2")?
            .execute(params![key.0, report.status.number(), pricing, settles, report.repriced.map(|fee| fee.0)])?;
        Ok(Noted::Adds(new))
    }

    /// Gives a message in flight its outcome, or an unknown one its end.
    fn record_proof(
        &mut self,
        key: MessageKey,
        before: &Standing,
        proof: Proof,
        report: &StatusReport,
        received_at: UnixMs,
    ) -> Result<(), Failure> {
        match proof {
            Proof::Outcome(kind) => {
                self.settle(Outcome {
                    organization: before.organization,
                    message: key,
                    at: received_at,
                    kind,
                    meta_code: None,
                    wamid: Some(report.wamid),
                    answer: report.answer.clone(),
                })?;
                self.events.note_early(key);
            }
            Proof::Resolution(resolution) => {
                self.resolve(Resolve {
                    organization: before.organization,
                    message: key,
                    at: received_at,
                    resolution,
                    evidence: Evidence::Status,
                    reason: format!("Meta reported it as {}", report.status),
                    wamid: Some(report.wamid),
                    answer: report.answer.clone(),
                })?;
            }
        }
        Ok(())
    }

    fn move_by_status(&mut self, key: MessageKey, now: &mut Standing, step: Move, report: &Report, at: UnixMs) -> Result<(), Failure> {
        let Move { leg, movement, amount, reason: because } = step;
        let asked = MoveLeg { organization: now.organization, message: key, leg, movement, amount, reason: reason(because, report), at };
        // A leg that cannot make the movement (any more) stays as it is.
        if let LegMoved::Done(after) = self.move_standing_leg(now, &asked)? {
            match leg {
                Leg::Base => now.base = after,
                Leg::Meta => now.meta = after,
            }
        }
        Ok(())
    }

    /// Delivered, and nobody has said at what price: the sweeper looks again after a while. A price
    /// that took the fee, or gave it back, ended that with its movement; one that came after the fee
    /// had been given back and charges nothing ends it here.
    fn watch_for_a_price(&mut self, key: MessageKey, now: &Standing, known: &[Report], received_at: UnixMs) -> Result<(), Failure> {
        if !settle::waits_for_a_price(now.meta, known) {
            let says_a_price = known.last().is_some_and(|counted| counted.moves_operator_fee && counted.pricing.is_some());
            if says_a_price && matches!(now.meta, LegState::Released(_)) {
                self.events.not_unpriced.execute([key.0])?;
            }
        } else {
            self.connection
                .prepare_cached("INSERT OR IGNORE INTO unpriced (message, delivered_at) VALUES (?1, ?2)")?
                .execute([key.0, received_at.0])?;
        }
        Ok(())
    }
}

/// What the statuses and the rows say, in the words of the rules.
fn in_words(standing: &Standing, known: &[Report]) -> settle::Standing {
    settle::Standing {
        mode: standing.mode,
        outcome: standing.outcome.map(|(outcome, _)| outcome),
        resolution: standing.resolution.map(|(resolution, _)| resolution),
        base: standing.base,
        meta: standing.meta,
        held_base: standing.held_base,
        held_meta: standing.held_meta,
        known: known.to_vec(),
    }
}

/// Why a leg moved, for statement and timeline; `ledger verify` knows a settlement by status from
/// the words in brackets.
fn reason(because: &str, report: &Report) -> String {
    let mut said = format!("{because} (status {}", report.status);
    let pricing = report.pricing.as_ref();
    let words =
        [pricing.and_then(|pricing| pricing.kind).map(PricingType::as_str), pricing.and_then(|pricing| pricing.category.as_deref())];
    for (place, word) in words.into_iter().flatten().enumerate() {
        said.push_str(if place == 0 { ": " } else { ", " });
        said.push_str(word);
    }
    said.push(')');
    said
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::Store(crate::StoreError::unavailable(error)))
}

//! Outcomes: written once, with what they do to the holds.

use rusqlite::params;
use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, Movement, OutcomeKind};
use turnpike_domain::money::Micros;

use super::record::{Standing, standing};
use crate::events::NoticeKind;
use crate::messages::{Outcome, Settled};
use crate::planted::{self, Bug};
use crate::sqlite::events::leave_notice;
use crate::sqlite::failure::{Failure, corrupt};
use crate::sqlite::memory::WalletKey;
use crate::sqlite::writer::Writer;

/// What an outcome or a resolution takes from holds and gives back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sqlite) struct Moved {
    pub(in crate::sqlite) base_captured: Micros,
    pub(in crate::sqlite) base_released: Micros,
    pub(in crate::sqlite) meta_released: Micros,
}

impl Moved {
    /// What `movement` of each leg does to these holds.
    pub(in crate::sqlite) fn of(base: Micros, meta: Micros, movement: impl Fn(Leg) -> Option<Movement>) -> Moved {
        let mut moved = Moved::default();
        match movement(Leg::Base) {
            Some(Movement::Capture) => moved.base_captured = base,
            Some(Movement::Release) => moved.base_released = base,
            _ => {}
        }
        // No outcome captures Meta's fee: only a status with Meta's own pricing does.
        if movement(Leg::Meta) == Some(Movement::Release) {
            moved.meta_released = meta;
        }
        moved
    }
}

impl Writer<'_> {
    /// Records how a send ended. The first outcome stands.
    pub(in crate::sqlite) fn settle(&mut self, outcome: Outcome) -> Result<Settled, Failure> {
        self.memory.newest_at = self.memory.newest_at.max(outcome.at);
        let Some(flying) = self.memory.in_flight.get(&outcome.message) else {
            return self.already_settled(&outcome);
        };
        if flying.organization != outcome.organization {
            return Ok(Settled::NotFound);
        }
        let flying = flying.clone();
        let forgets_to_release = planted::is(Bug::RefusalKeepsHold) && outcome.kind == OutcomeKind::Refused;
        let moved = Moved::of(flying.base, flying.meta, |leg| outcome.kind.movement(leg).filter(|_| !forgets_to_release));
        self.statements.insert_outcome.execute(params![
            outcome.message.0,
            outcome.at.0,
            outcome.kind as i64,
            outcome.meta_code,
            &outcome.wamid,
            moved.base_captured.0,
            moved.base_released.0,
            moved.meta_released.0,
        ])?;
        if !outcome.answer.is_empty() {
            self.statements.day(flying.at.day())?.put_answer.execute(params![outcome.message.0, &outcome.answer])?;
        }
        if moved != Moved::default() {
            self.apply((flying.organization, flying.mode), moved)?;
        }
        if let Some(wamid) = outcome.wamid {
            self.wamids.add(wamid, outcome.message, outcome.at);
        }
        if outcome.kind == OutcomeKind::Unknown {
            self.open_unknown(outcome.message)?;
            self.memory.remember_unknown(outcome.message, &flying);
            if let Some(hash) = flying.idempotency {
                self.idempotency.pin(hash, outcome.message);
            }
        }
        if let Some(hash) = flying.idempotency.filter(|_| planted::is(Bug::KeyClaimedLate)) {
            self.idempotency.add(hash, outcome.message, outcome.at);
        }
        self.memory.in_flight.remove(&outcome.message);
        Ok(Settled::Done)
    }

    /// Takes captures and releases from a wallet's holds.
    pub(in crate::sqlite) fn apply(&mut self, wallet: WalletKey, moved: Moved) -> Result<(), Failure> {
        let mut is_held = true;
        self.change_wallet(wallet, |balance| {
            balance.held_base.0 -= moved.base_captured.0 + moved.base_released.0;
            balance.held_meta.0 -= moved.meta_released.0;
            balance.posted.0 -= moved.base_captured.0;
            if planted::is(Bug::DoubleCapture) {
                balance.posted.0 -= moved.base_captured.0;
            }
            is_held = !balance.held_base.is_negative() && !balance.held_meta.is_negative();
        })?;
        // Its wallet contradicts the message: what was begun here is undone.
        if is_held { Ok(()) } else { Err(corrupt("wallets", "held_base", wallet.0)) }
    }

    fn already_settled(&mut self, outcome: &Outcome) -> Result<Settled, Failure> {
        let message = match standing(self.connection, outcome.message) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Settled::NotFound),
            // Its own rows: nothing of it was written, and the others of the batch are not to wait.
            Err(failure) => return Ok(Settled::Broken { fault: failure.of_one_item()? }),
        };
        if message.organization == outcome.organization && self.events.was_early(outcome.message) {
            self.after_a_status(outcome, &message)?;
        }
        Ok(match message.outcome {
            Some((kind, _)) if message.organization == outcome.organization => {
                Settled::Already { outcome: kind, resolution: message.resolution.map(|(resolution, _)| resolution) }
            }
            _ => Settled::NotFound,
        })
    }

    /// A status came before the send's own answer, and stands. Meta's own words are kept all the same,
    /// and who was told that nobody knows is told what is known.
    fn after_a_status(&mut self, outcome: &Outcome, message: &Standing) -> Result<(), Failure> {
        match outcome.kind {
            OutcomeKind::Accepted if !outcome.answer.is_empty() => {
                self.statements.day(message.admitted_at.day())?.put_answer.execute(params![outcome.message.0, &outcome.answer])?;
                self.events.no_longer_early(outcome.message);
            }
            OutcomeKind::Unknown => {
                leave_notice(self.connection, outcome.at, message.organization, &NoticeKind::MessageResolved(outcome.message))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open_unknown(&self, message: MessageKey) -> Result<(), Failure> {
        self.connection.prepare_cached("INSERT INTO open_unknowns (message) VALUES (?1)")?.execute([message.0])?;
        Ok(())
    }
}

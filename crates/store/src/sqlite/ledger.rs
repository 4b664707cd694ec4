//! Wallet movements and later movements of legs, decided by the writer.

use rusqlite::{OptionalExtension as _, params};
use turnpike_domain::ledger::{Balance, Leg, LegState, Movement, NotMoved, OutcomeKind};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::UnixMs;

use super::failure::{Failure, corrupt};
use super::memory::WalletKey;
use super::messages::{Standing, standing};
use super::statement::DISORDER_MS;
use super::writer::Writer;
use crate::ledger::{LegMoved, MoveLeg, MoveWallet, WalletMoved, WalletMovement};

impl Writer<'_> {
    /// Where a wallet stands, with everything that this batch has decided so far.
    pub(super) fn wallet(&mut self, key: WalletKey) -> Result<Option<Balance>, Failure> {
        if let Some(balance) = self.memory.wallets.get(&key) {
            return Ok(Some(*balance));
        }
        let stored = self
            .connection
            .prepare_cached("SELECT posted, held_base, held_meta FROM wallets WHERE organization = ?1 AND mode = ?2")?
            .query_row(params![key.0.0, key.1.number()], |row| {
                Ok(Balance { posted: Micros(row.get(0)?), held_base: Micros(row.get(1)?), held_meta: Micros(row.get(2)?) })
            })
            .optional()?;
        if let Some(balance) = stored {
            self.memory.wallets.insert(key, balance);
        }
        Ok(stored)
    }

    /// Changes a wallet; its row is written once, at the end of the batch.
    pub(super) fn change_wallet(&mut self, key: WalletKey, change: impl FnOnce(&mut Balance)) -> Result<(), Failure> {
        let mut balance = self.wallet(key)?.ok_or_else(|| corrupt("wallets", "organization", key.0))?;
        change(&mut balance);
        self.memory.wallets.insert(key, balance);
        self.memory.changed_wallets.insert(key);
        Ok(())
    }

    /// Whether a wallet has these holds. Asked before anything is written of them: a wallet that
    /// contradicts its messages is one message's trouble at a time, and not everybody's.
    pub(super) fn check_holds(&mut self, key: WalletKey, base: Micros, meta: Micros) -> Result<(), Failure> {
        if (base, meta) == (Micros::ZERO, Micros::ZERO) {
            return Ok(());
        }
        let balance = self.wallet(key)?.ok_or_else(|| corrupt("wallets", "organization", key.0))?;
        if balance.held_base < base {
            return Err(corrupt("wallets", "held_base", key.0));
        }
        if balance.held_meta < meta {
            return Err(corrupt("wallets", "held_meta", key.0));
        }
        Ok(())
    }

    /// The next place of the journal, for what happens at `at`. A place at which the clock turns out to
    /// have been set back is noted: from there on places follow the time anew (see [`statement`]).
    ///
    /// [`statement`]: super::statement
    pub(super) fn place_at(&mut self, at: UnixMs) -> Result<i64, Failure> {
        let place = self.memory.next_place();
        if at.0 < self.memory.placed_at.0.saturating_sub(DISORDER_MS) {
            self.connection.prepare_cached("INSERT OR IGNORE INTO clock_turns (place) VALUES (?1)")?.execute([place])?;
            self.memory.placed_at = at;
        }
        self.memory.placed_at = self.memory.placed_at.max(at);
        Ok(place)
    }

    /// Tops up or adjusts.
    pub(super) fn move_wallet(&mut self, asked: &MoveWallet) -> Result<WalletMoved, Failure> {
        self.memory.newest_at = self.memory.newest_at.max(asked.at);
        let key = (asked.organization, asked.mode);
        let balance = if asked.mode == Mode::Fake { None } else { self.wallet(key)? };
        let Some(balance) = balance else { return Ok(WalletMoved::NotFound) };
        let known = self
            .connection
            .prepare_cached("SELECT organization, mode, movement, amount FROM wallet_movements WHERE id = ?1")?
            .query_row([asked.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        if let Some(known) = known {
            let same = known == (asked.organization.0, asked.mode.number(), asked.movement as i64, asked.amount.0);
            return Ok(if same { WalletMoved::Already(balance) } else { WalletMoved::Taken });
        }
        // A top-up brings money; only an adjustment has a sign.
        if asked.movement == WalletMovement::TopUp && asked.amount.is_negative() {
            return Ok(WalletMoved::BelowZero(balance));
        }
        let Some(posted) = balance.posted.checked_add(asked.amount) else { return Ok(WalletMoved::TooLarge) };
        let after = Balance { posted, ..balance };
        if asked.amount.is_negative() && after.available().is_negative() {
            return Ok(WalletMoved::BelowZero(balance));
        }
        let place = self.place_at(asked.at)?;
        self.connection
            .prepare_cached(
                "INSERT INTO wallet_movements (place, id, organization, mode, movement, amount, reason, actor, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                place,
                asked.id.as_bytes(),
                asked.organization.0,
                asked.mode.number(),
                asked.movement as i64,
                asked.amount.0,
                asked.reason,
                asked.actor,
                asked.at.0,
            ])?;
        self.change_wallet(key, |balance| *balance = after)?;
        Ok(WalletMoved::Done(after))
    }

    /// Moves one leg of a message that has a known end. Rows that cannot be read are this message's
    /// trouble alone: whatever may turn out so is read before anything is written.
    pub(super) fn move_leg(&mut self, asked: &MoveLeg) -> Result<LegMoved, Failure> {
        self.memory.newest_at = self.memory.newest_at.max(asked.at);
        match self.move_known_leg(asked) {
            Err(failure) => Ok(LegMoved::Broken { fault: failure.of_one_item()? }),
            moved => moved,
        }
    }

    fn move_known_leg(&mut self, asked: &MoveLeg) -> Result<LegMoved, Failure> {
        let message = standing(self.connection, asked.message)?.filter(|message| message.organization == asked.organization);
        let Some(message) = message else { return Ok(LegMoved::NotFound) };
        // Only what Meta says can make a message dearer than it was held for; a person's late
        // capture takes what had been given back.
        let leg = if asked.leg == Leg::Base { message.base } else { message.meta };
        if asked.movement == Movement::LateCapture && matches!(leg, LegState::Captured(_)) {
            return Ok(LegMoved::Not(NotMoved::Already(leg)));
        }
        self.move_standing_leg(&message, asked)
    }

    /// Moves one leg of a message that stands like this.
    pub(super) fn move_standing_leg(&mut self, message: &Standing, asked: &MoveLeg) -> Result<LegMoved, Failure> {
        let before = if asked.leg == Leg::Base { message.base } else { message.meta };
        // What is in flight is settled first, what is unknown resolved first: their evidence is
        // recorded there, and a leg that moved alone would have none.
        let undecided = matches!((message.outcome, message.resolution), (None, _) | (Some((OutcomeKind::Unknown, _)), None));
        if undecided || asked.movement == Movement::Hold || asked.amount.is_negative() {
            return Ok(LegMoved::Not(NotMoved::Impossible(before)));
        }
        let after = match before.apply(asked.movement, asked.amount) {
            Ok(after) => after,
            Err(not) => return Ok(LegMoved::Not(not)),
        };
        let (held, posted, amount) = match (before, after) {
            (LegState::Held(held), LegState::Captured(amount)) => (held, -amount.0, amount),
            (LegState::Held(held), LegState::Released(amount)) => (held, 0, amount),
            (_, LegState::LateCaptured(_)) => (Micros::ZERO, -asked.amount.0, asked.amount),
            (_, LegState::Refunded(amount)) => (Micros::ZERO, amount.0, amount),
            _ => return Ok(LegMoved::Not(NotMoved::Impossible(before))),
        };
        let wallet = (message.organization, message.mode);
        match asked.leg {
            Leg::Base => self.check_holds(wallet, held, Micros::ZERO)?,
            Leg::Meta => self.check_holds(wallet, Micros::ZERO, held)?,
        }
        let Some(balance) = self.wallet(wallet)? else { return Ok(LegMoved::NotFound) };
        let Some(posted) = balance.posted.0.checked_add(posted) else { return Ok(LegMoved::Not(NotMoved::Impossible(before))) };
        let returned = if asked.movement == Movement::Capture { held.0 - amount.0 } else { 0 };
        self.connection
            .prepare_cached(
                "INSERT INTO leg_movements (message, leg, movement, amount, returned, reason, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![asked.message.0, asked.leg as i64, asked.movement as i64, amount.0, returned, asked.reason, asked.at.0])?;
        if asked.leg == Leg::Meta {
            self.is_settled(asked.message)?;
        }
        self.change_wallet(wallet, |balance| {
            balance.posted = Micros(posted);
            let hold = if asked.leg == Leg::Base { &mut balance.held_base } else { &mut balance.held_meta };
            hold.0 -= held.0;
            assert!(!hold.is_negative(), "a hold was resolved twice");
        })?;
        Ok(LegMoved::Done(after))
    }
}

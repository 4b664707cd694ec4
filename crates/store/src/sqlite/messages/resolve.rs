//! Resolutions: what evidence said in the end about an unknown outcome.

use rusqlite::params;
use turnpike_domain::ledger::{OutcomeKind, Resolution};
use turnpike_domain::time::UnixMs;

use super::admit::KEY_KEPT_MS;
use super::record::{Standing, standing};
use super::settle::Moved;
use crate::events::NoticeKind;
use crate::messages::{Evidence, Resolve, Settled};
use crate::sqlite::events::leave_notice;
use crate::sqlite::failure::Failure;
use crate::sqlite::hash_index::FILTERED_FOR_MS;
use crate::sqlite::writer::Writer;

impl Writer<'_> {
    /// Resolves an unknown outcome. The first resolution stands. Rows that cannot be read are this
    /// message's trouble alone: whatever may turn out so is read before anything is written.
    pub(in crate::sqlite) fn resolve(&mut self, resolve: Resolve) -> Result<Settled, Failure> {
        self.memory.newest_at = self.memory.newest_at.max(resolve.at);
        let message = match self.resolvable(&resolve) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(Settled::NotFound),
            Err(failure) => return Ok(Settled::Broken { fault: failure.of_one_item()? }),
        };
        match (message.outcome, message.resolution) {
            (Some((outcome, _)), Some((resolution, _))) => {
                self.keep_late_words(&resolve, message.admitted_at, resolution == Resolution::Accepted)?;
                return Ok(Settled::Already { outcome, resolution: Some(resolution) });
            }
            (Some((OutcomeKind::Unknown, _)), None) => {}
            _ => {
                let told_early = self.events.was_early(resolve.message);
                self.keep_late_words(&resolve, message.admitted_at, told_early)?;
                return Ok(Settled::NotUnknown);
            }
        }
        let moved = Moved::of(message.base.held(), message.meta.held(), |leg| resolve.resolution.movement(leg));
        self.connection
            .prepare_cached(
                "INSERT INTO resolutions
                   (message, at, resolution, evidence, reason, wamid, base_captured, base_released, meta_released)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                resolve.message.0,
                resolve.at.0,
                resolve.resolution as i64,
                resolve.evidence as i64,
                resolve.reason,
                &resolve.wamid,
                moved.base_captured.0,
                moved.base_released.0,
                moved.meta_released.0,
            ])?;
        self.connection.prepare_cached("DELETE FROM open_unknowns WHERE message = ?1")?.execute([resolve.message.0])?;
        if !resolve.answer.is_empty() {
            self.statements.day(message.admitted_at.day())?.put_answer.execute(params![resolve.message.0, &resolve.answer])?;
        }
        if moved != Moved::default() {
            self.apply((message.organization, message.mode), moved)?;
        }
        if let Some(wamid) = resolve.wamid {
            // Segments are made of outcomes; a resolution can be about a message of any age.
            self.wamids.pin(wamid, resolve.message);
            self.memory.resolved_wamids.insert((resolve.at.plus_ms(FILTERED_FOR_MS), resolve.message), wamid);
        }
        if resolve.resolution == Resolution::Accepted && message.meta.held().0 > 0 {
            self.may_straggle(resolve.message, resolve.at)?;
        }
        leave_notice(self.connection, resolve.at, message.organization, &NoticeKind::MessageResolved(resolve.message))?;
        self.memory.forget_unknown(resolve.message, message.application, message.mode, message.fingerprint);
        if let Some(hash) = message.idempotency {
            self.memory.resolved_keys.insert((resolve.at.plus_ms(KEY_KEPT_MS), resolve.message), hash);
        }
        Ok(Settled::Done)
    }

    /// The message, where it is this organization's, and its wallet has its holds.
    fn resolvable(&mut self, resolve: &Resolve) -> Result<Option<Standing>, Failure> {
        let found = standing(self.connection, resolve.message)?.filter(|message| message.organization == resolve.organization);
        if let Some(message) = &found {
            self.check_holds((message.organization, message.mode), message.base.held(), message.meta.held())?;
        }
        Ok(found)
    }

    /// A status told the outcome first. What Meta itself answers later says more than the status
    /// did, so it takes the place of the answer; nothing else changes.
    fn keep_late_words(&mut self, resolve: &Resolve, admitted_at: UnixMs, was_accepted: bool) -> Result<(), Failure> {
        let says_the_same = was_accepted
            && resolve.evidence == Evidence::LateAnswer
            && resolve.resolution == Resolution::Accepted
            && !resolve.answer.is_empty();
        if says_the_same {
            self.statements.day(admitted_at.day())?.put_answer.execute(params![resolve.message.0, &resolve.answer])?;
        }
        Ok(())
    }
}

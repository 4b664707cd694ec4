//! What time decides: unknown outcomes that no evidence reached, holds that no status settled, days
//! past their retention; and the note of when intake could be relied on.
//!
//! | what | when | what becomes of it |
//! | --- | --- | --- |
//! | an unknown outcome | 24 h, with intake healthy and its neighbours heard | presumed not sent |
//! | an unknown outcome | 7 days and an hour: Meta repeats no longer | presumed not sent |
//! | Meta's fee, delivered without a price | 8 days | captured as held, late where it had been given back |
//! | Meta's fee without any status | 38 days | released |
//! | a part of a webhook that could not be taken in | 1 min, 5 min, 30 min and 2 h after each try | tried again, five times in all |
//! | webhooks as they came, events, statuses | the days of the settings | forgotten |
//!
//! Every step is decided by what is stored and by the wall clock, and is a commit of its own, so a
//! restart in between changes nothing. Nothing here hurries: money that is held too long costs a
//! top-up, money that is released too early costs trust.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Movement, Resolution};
use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_domain::webhook::settle;
use turnpike_store::StoreError;
use turnpike_store::events::{OPEN_UNKNOWNS_MAX, OpenUnknown, Overdue};
use turnpike_store::ledger::{LegMoved, MoveLeg};
use turnpike_store::messages::{Evidence, Resolve, Settled};

use crate::Engine;
use crate::shelter::{or_unavailable, sheltered};
use crate::unwritten::{SetAside, What, one_by_one};

/// Silence of a healthy intake proves something after this (reliability §c2).
const PRESUMED_AFTER_MS: i64 = DAY_MS;
/// After this Meta repeats no webhook any more, and an hour (reliability §c2).
const CERTAIN_AFTER_MS: i64 = 7 * DAY_MS + 3_600_000;
/// A shorter gap is bridged by Meta's first repeats (reliability §c2).
const GAP_MS: i64 = 60_000;
/// Delivered, and nobody said at what price (contract §6).
const UNPRICED_MS: i64 = 8 * DAY_MS;
/// Longer than Meta keeps an undelivered message (contract §6).
const NO_STATUS_MS: i64 = 38 * DAY_MS;
/// How often what is due is looked for: nothing here is due to the minute.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often it is noted that intake works. A crash leaves a gap that seems at most this longer.
const BEAT_EVERY: Duration = Duration::from_secs(10);
/// Rows of one commit: the writer serves sends in between.
const AT_ONCE: u32 = 500;
/// Commits of one pass, so that a pass ends; the rest waits for the next.
const STEPS_MAX: u32 = 100;
/// Pages of unknown outcomes that one pass looks at for a day's silence. Whose neighbours were heard
/// is asked for each, some milliseconds at worst, so ten thousand are as much as a minute should
/// read; the next pass goes on behind them.
const SILENT_PAGES: u32 = 10;

/// Of many broken rows the log names so many.
const NAMED_MAX: usize = 8;

/// What a part of a pass is called where it meets a bug.
const SWEEPING: &str = "sweeping";

/// Where the next pass goes on.
///
/// Outcomes that must wait their seven days would otherwise stand before younger ones for ever, whose
/// silence proves something already. In memory alone: a new process begins with the oldest.
#[derive(Default)]
pub(crate) struct Progress {
    /// The unknown outcome that was looked at last; `None` where the end was reached.
    silent_after: Mutex<Option<MessageKey>>,
    /// Unknown outcomes whose end the store would not take.
    refused: SetAside<MessageKey>,
}

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Unknown outcomes presumed not sent.
    pub presumed: usize,
    /// Meta's fee taken as held.
    pub captured: usize,
    /// Holds of Meta's fee given back.
    pub released: usize,
}

impl Engine {
    /// Begins what time decides: the gap since intake last worked is noted first, so that no silence
    /// of ours is taken for Meta's.
    pub(crate) fn run_sweeper(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut noted = false;
            let mut next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
            loop {
                noted = sheltered(SWEEPING, engine.beat(noted)).await.unwrap_or(noted);
                if noted && tokio::time::Instant::now() >= next_sweep {
                    // It may be cut short: each of its steps is a commit of its own.
                    match engine.stopping().run_until_cancelled(engine.sweep()).await {
                        Some(Err(error)) => tracing::warn!(error = %error, "sweeping; it is tried again"),
                        Some(Ok(_)) => {}
                        None => return,
                    }
                    next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
                }
                if engine.stopping().run_until_cancelled(tokio::time::sleep(BEAT_EVERY)).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Notes that intake works, and at first since when it did not. Returns whether that first note
    /// is made: before it nothing may be presumed.
    async fn beat(&self, noted: bool) -> bool {
        let noting = async {
            if !noted {
                self.note_downtime().await?;
            }
            // While POSTs fail, the last beat stays where it was: should the process die now, the gap
            // that the next start writes begins there.
            if !self.intake.health.is_failing() {
                self.note_intake_works().await?;
            }
            Ok::<(), StoreError>(())
        };
        match noting.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %error, "noting that intake works");
                noted
            }
        }
    }

    /// Writes down the span since intake last worked: nobody was there to hear.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn note_downtime(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (last, _) = self.store.intake_gaps(now).await?;
        if let Some(last) = last.filter(|last| *last < now) {
            self.store.intake_was_down(last, now).await?;
        }
        self.store.intake_works(now).await
    }

    /// Notes that intake works now.
    ///
    /// # Errors
    /// The store's silence.
    pub async fn note_intake_works(&self) -> Result<(), StoreError> {
        self.store.intake_works(self.clock.now()).await
    }

    /// One pass over everything that is due.
    ///
    /// None of its parts waits for another: what stops one (a row that cannot be read, a bug) leaves
    /// the rest to be done, in this pass and in every later one.
    ///
    /// # Errors
    /// What stopped the first of the parts that did not come to their end; what was done is done.
    pub async fn sweep(self: &Arc<Self>) -> Result<Swept, StoreError> {
        let mut swept = Swept::default();
        self.intake.sweep.refused.forget_gone();
        let parts = [
            or_unavailable(SWEEPING, self.try_poison_again()).await,
            or_unavailable(SWEEPING, self.presume_certain(&mut swept.presumed)).await,
            or_unavailable(SWEEPING, self.presume_silent(&mut swept.presumed)).await,
            or_unavailable(SWEEPING, self.settle_overdue(&mut swept)).await,
            or_unavailable(SWEEPING, self.forget_events()).await,
        ];
        if swept.presumed > 0 {
            tracing::warn!(
                messages = swept.presumed,
                "no evidence of these messages ever came; they are presumed not sent and their price is released"
            );
            self.tell_soon();
        }
        if swept.captured + swept.released > 0 {
            tracing::info!(
                captured = swept.captured,
                released = swept.released,
                "Meta's fee of these messages was settled, since no status did it in time"
            );
        }
        parts.into_iter().collect::<Result<(), _>>()?;
        Ok(swept)
    }

    /// Those of which Meta repeats nothing any more, oldest first. Each goes from the list, so a
    /// pass needs no place to go on from but its own.
    async fn presume_certain(&self, presumed: &mut usize) -> Result<(), StoreError> {
        let before = self.clock.now().plus_ms(-CERTAIN_AFTER_MS);
        let mut after = None;
        for _ in 0..STEPS_MAX {
            let certain = self.store.open_unknowns(before, after, AT_ONCE).await?;
            let Some(last) = certain.last() else { break };
            after = Some(last.message);
            *presumed += self.presume_not_sent(&certain, "no status came in the seven days in which Meta repeats them").await?;
        }
        Ok(())
    }

    /// Those of a day ago whose silence proves something, page after page through all of them.
    async fn presume_silent(&self, presumed: &mut usize) -> Result<(), StoreError> {
        let now = self.clock.now();
        let before = now.plus_ms(-PRESUMED_AFTER_MS);
        // None of them is older than this: what is was presumed above.
        let gaps = self.store.intake_gaps(now.plus_ms(-CERTAIN_AFTER_MS - DAY_MS)).await?;
        let health = Healthy::of(gaps, self.intake.health.is_failing(), now);
        let mut after = *self.intake.sweep.silent_after.lock();
        for _ in 0..SILENT_PAGES {
            let page = self.store.open_unknowns(before, after, OPEN_UNKNOWNS_MAX).await?;
            let is_last = page.len() < OPEN_UNKNOWNS_MAX as usize;
            after = page.last().map(|last| last.message).filter(|_| !is_last);
            let is_silent = |unknown: &&OpenUnknown| unknown.neighbours_heard && health.since(unknown.admitted_at);
            let due: Vec<OpenUnknown> = page.iter().filter(is_silent).copied().collect();
            for some in due.chunks(AT_ONCE as usize) {
                *presumed +=
                    self.presume_not_sent(some, "no status came within a day, though those of messages before and after it did").await?;
            }
            *self.intake.sweep.silent_after.lock() = after;
            // One that began in the middle goes on to the end, and the next begins with the oldest.
            if is_last {
                break;
            }
        }
        Ok(())
    }

    async fn presume_not_sent(&self, unknowns: &[OpenUnknown], reason: &str) -> Result<usize, StoreError> {
        let aside = &self.intake.sweep.refused;
        let unknowns: Vec<&OpenUnknown> = unknowns.iter().filter(|unknown| !aside.holds(&unknown.message)).collect();
        if unknowns.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let resolve = |unknown: &OpenUnknown| Resolve {
            organization: unknown.organization,
            message: unknown.message,
            at: now,
            resolution: Resolution::PresumedNotSent,
            evidence: Evidence::Presumed,
            reason: reason.to_owned(),
            wamid: None,
            // What stands says the rest: that nobody knows why.
            answer: Vec::new(),
        };
        let settled = one_by_one(unknowns.iter().map(|unknown| resolve(unknown)).collect(), |batch| self.store.resolve(batch)).await?;
        let mut done = 0;
        for (unknown, settled) in unknowns.iter().zip(settled) {
            match settled {
                Ok(settled) => {
                    aside.taken(&unknown.message);
                    done += usize::from(settled == Settled::Done);
                }
                Err(error) if aside.refused(unknown.message, &self.unwritten, What::Resolution) => tracing::error!(
                    error = %error, message.key = unknown.message.0,
                    "PAGE: an unknown outcome cannot be decided; its money stays held, and it is tried again; see turnpike ledger verify"
                ),
                Err(_) => {}
            }
        }
        self.intake.metrics.presumed.inc_by(done as u64);
        Ok(done)
    }

    /// Holds of Meta's fee that no status decided in time.
    async fn settle_overdue(&self, swept: &mut Swept) -> Result<(), StoreError> {
        let now = self.clock.now();
        for _ in 0..STEPS_MAX {
            let overdue = self.store.overdue(now.plus_ms(-NO_STATUS_MS), now.plus_ms(-UNPRICED_MS), AT_ONCE).await?;
            if overdue.is_empty() {
                return Ok(());
            }
            let mut moves = Vec::with_capacity(overdue.len());
            let mut broken = Vec::new();
            for one in &overdue {
                match self.overdue_move(one, now).await {
                    Err(StoreError::Corrupt { .. }) => broken.push(one.message),
                    asked => moves.extend(asked?),
                }
            }
            let (kinds, messages): (Vec<Movement>, Vec<MessageKey>) = moves.iter().map(|one| (one.movement, one.message)).unzip();
            let moved = if moves.is_empty() { Vec::new() } else { one_by_one(moves, |moves| self.store.move_legs(moves)).await? };
            let is_broken = |moved: &Result<LegMoved, StoreError>| matches!(moved, Ok(LegMoved::Broken { .. }) | Err(_));
            broken.extend(messages.into_iter().zip(&moved).filter(|(_, moved)| is_broken(moved)).map(|(message, _)| message));
            let parked = broken.len();
            if parked > 0 {
                // They stay held, and behind them others wait.
                let some: Vec<i64> = broken.iter().take(NAMED_MAX).map(|message| message.0).collect();
                tracing::error!(
                    messages = parked,
                    message.keys = ?some,
                    "PAGE: Meta's fee of these messages stays held, since what is stored of them cannot be read or does not fit their wallet; see turnpike ledger verify"
                );
                self.store.park_overdue(broken, now).await?;
            }
            let done = || kinds.iter().zip(&moved).filter(|(_, moved)| matches!(moved, Ok(LegMoved::Done(_))));
            let captured = done().filter(|(kind, _)| **kind != Movement::Release).count();
            let all = done().count();
            swept.captured += captured;
            swept.released += all - captured;
            self.intake.metrics.overdue.inc_by(all as u64);
            if all + parked == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn overdue_move(&self, overdue: &Overdue, now: UnixMs) -> Result<Option<MoveLeg>, StoreError> {
        let record = self.store.message(overdue.organization, overdue.message).await?;
        let Some(step) = record.and_then(|record| settle::decide_overdue(record.meta_leg, overdue.delivered)) else { return Ok(None) };
        Ok(Some(MoveLeg {
            organization: overdue.organization,
            message: overdue.message,
            leg: step.leg,
            movement: step.movement,
            amount: step.amount,
            reason: step.reason.to_owned(),
            at: now,
        }))
    }

    /// What is past its retention. It goes by slices, each a commit of its own.
    async fn forget_events(&self) -> Result<(), StoreError> {
        let (kept, now) = (self.settings.retention, self.clock.now());
        let first_day = |days: u16| now.plus_ms(-i64::from(days) * DAY_MS).day();
        self.store.forget_events_before(first_day(kept.raw_days), first_day(kept.event_days), first_day(kept.status_days)).await?;
        Ok(())
    }
}

/// When intake could be relied on.
struct Healthy {
    /// Gaps that are long enough to matter.
    gaps: Vec<(UnixMs, UnixMs)>,
    is_now: bool,
}

impl Healthy {
    fn of((last, gaps): (Option<UnixMs>, Vec<(UnixMs, UnixMs)>), is_failing: bool, now: UnixMs) -> Healthy {
        let gaps = gaps.into_iter().filter(|(from, until)| until.0.saturating_sub(from.0) > GAP_MS).collect();
        let is_heard_of = last.is_some_and(|last| now.0.saturating_sub(last.0) <= GAP_MS);
        Healthy { gaps, is_now: is_heard_of && !is_failing }
    }

    /// Whether everything since then was heard.
    fn since(&self, at: UnixMs) -> bool {
        self.is_now && self.gaps.iter().all(|(_, until)| *until <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn silence_proves_nothing_where_a_gap_lay_in_it() {
        let now = UnixMs(100 * HOUR);
        let health = |gaps: &[(i64, i64)], last: Option<i64>, is_failing| {
            let gaps = gaps.iter().map(|(from, until)| (UnixMs(*from), UnixMs(*until))).collect();
            Healthy::of((last.map(UnixMs), gaps), is_failing, now).since(UnixMs(50 * HOUR))
        };
        assert!(health(&[], Some(now.0), false));
        assert!(health(&[(40 * HOUR, 49 * HOUR)], Some(now.0), false), "it was over before");
        assert!(health(&[(60 * HOUR, 60 * HOUR + GAP_MS)], Some(now.0), false), "it was short");
        assert!(!health(&[(60 * HOUR, 61 * HOUR)], Some(now.0), false));
        assert!(!health(&[(49 * HOUR, 51 * HOUR)], Some(now.0), false), "it reached into it");
        assert!(!health(&[], Some(now.0), true), "it fails now");
        assert!(!health(&[], Some(now.0 - 2 * GAP_MS), false), "nobody listens");
        assert!(!health(&[], None, false));
    }
}

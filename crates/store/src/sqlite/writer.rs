//! The one writer: a thread that brings what waits to the disk, a commit for many.
//!
//! SQLite has one writer at a time, so we bring the work to it: callers leave jobs in the queue,
//! the thread drains them into one `BEGIN IMMEDIATE … COMMIT` and answers after the commit. For
//! sends it never waits for more to come: what comes in while one commit is synced is the next one,
//! so commits grow with the load by themselves, and between two of them it lets others have the
//! processor. (Waiting half a millisecond for more was tried: it saves no CPU that can be measured,
//! and doubles the slowest hundredth at a thousand messages a second.)
//!
//! An error of disk or file ends the store: the failed batch is never tried again, everyone who
//! waits hears `Unavailable`, and the `fatal` hook ends the program. The next start knows what was
//! committed.
//!
//! A row that contradicts what is written, or a bug, ends nothing but its batch: that is undone, the
//! memory is read from the rows again, as a start does but with what is in flight left so, and the next
//! jobs have a commit each, so that what stands in somebody's way is soon his alone
//! (docs/decisions/0019).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::{Connection, params};
use turnpike_domain::ids::{MessageCipher, OrganizationId};
use turnpike_domain::ledger::Balance;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{UnixMs, UtcDay};

use super::Tuning;
use super::deliveries::Claims;
use super::events::{EventState, EventsJob, RecoveredEvents};
use super::failure::{Failure, corrupt};
use super::hash_index::HashIndex;
use super::keeper::{self, Keeper};
use super::memory::{Memory, RESOLVED_WAMIDS_MAX};
use super::messages::Forgotten;
use super::queue::Queue;
use super::recover;
use super::reply::{self, Caller, Withheld};
use super::statements::Statements;
use crate::StoreError;
use crate::deliveries::{Due, Finished};
use crate::endpoints::EndpointId;
use crate::ledger::{LegMoved, MoveLeg, MoveWallet, WalletMoved};
use crate::messages::{Admission, Admit, Outcome, Resolve, Settled};

/// After this many places the mark of what is settled is written again: a start looks at no more
/// rows than this, and those in flight.
const MARK_EVERY: i64 = 8_192;

/// Jobs that have a commit each after one that was undone: who was undone with another asks again
/// among them.
const ALONE_AFTER: u32 = 1_000;

/// A commit of so many messages and commands shows load. Who was answered with it then has the
/// processor first: out of the answers come the next jobs, and a commit costs the same for all of
/// them. Where another processor is free this takes no time, and alone nobody ever waits for it.
const LOADED: usize = 8;

/// What the writer is asked to do.
pub(super) enum Job {
    /// See [`crate::messages::Messages::admit`].
    Admit(Vec<Admit>, Caller<Vec<Admission>>),
    /// See [`crate::messages::Messages::settle`].
    Settle(Vec<Outcome>, Caller<Vec<Settled>>),
    /// See [`crate::messages::Messages::resolve`].
    Resolve(Vec<Resolve>, Caller<Vec<Settled>>),
    /// See [`crate::ledger::Ledger::move_wallet`].
    MoveWallet(MoveWallet, Caller<WalletMoved>),
    /// See [`crate::ledger::Ledger::move_legs`].
    MoveLegs(Vec<MoveLeg>, Caller<Vec<LegMoved>>),
    /// See [`crate::ledger::Ledger::balance`].
    Balance(OrganizationId, Mode, Caller<Option<Balance>>),
    /// One slice of [`crate::messages::Messages::forget_before`].
    Forget(UtcDay, UtcDay, Caller<Forgotten>),
    /// What Meta reported, and what is kept of it.
    Events(EventsJob),
    /// See [`crate::deliveries::Deliveries::finish`].
    Finish(Vec<Finished>, Caller<()>),
    /// Rare writes of the control plane, each in a savepoint of its own.
    Control(Box<dyn ControlJob>),
}

impl Job {
    /// How many messages or commands it carries; an empty batch waits for its answer like any other.
    pub(super) fn weight(&self) -> usize {
        match self {
            Job::Admit(batch, _) => batch.len().max(1),
            Job::Settle(batch, _) => batch.len().max(1),
            Job::Resolve(batch, _) => batch.len().max(1),
            Job::MoveLegs(batch, _) => batch.len().max(1),
            Job::Events(job) => job.weight(),
            Job::Finish(batch, _) => batch.len().max(1),
            Job::MoveWallet(..) | Job::Balance(..) | Job::Forget(..) | Job::Control(_) => 1,
        }
    }

    /// Whether its commit may come a little later: an attempt at a delivery that is over. Nobody's
    /// answer hangs on it, and there are thousands a second.
    pub(super) fn is_patient(&self) -> bool {
        matches!(self, Job::Finish(..))
    }

    /// Whether it may change what waits to be delivered by other ways than recording and finishing.
    fn may_change_waiting(&self) -> bool {
        match self {
            Job::Control(job) => job.may_change_waiting(),
            Job::Events(EventsJob::Forget(..) | EventsJob::Erase(..)) => true,
            _ => false,
        }
    }

    /// Tells the caller that nothing was done.
    fn refuse(self, error: StoreError) {
        match self {
            Job::Admit(_, caller) => caller.refuse(error),
            Job::Settle(_, caller) | Job::Resolve(_, caller) => caller.refuse(error),
            Job::MoveWallet(_, caller) => caller.refuse(error),
            Job::MoveLegs(_, caller) => caller.refuse(error),
            Job::Balance(_, _, caller) => caller.refuse(error),
            Job::Forget(_, _, caller) => caller.refuse(error),
            Job::Events(job) => job.refuse(error),
            Job::Finish(_, caller) => caller.refuse(error),
            Job::Control(job) => job.refuse(error),
        }
    }
}

/// A control-plane write whose result type is its own business.
pub(super) trait ControlJob: Send {
    /// Does the work inside the savepoint. `Ok` keeps it, `Err` undoes it (and has told its caller).
    fn run(self: Box<Self>, connection: &Connection) -> Result<Withheld, Failure>;
    /// Does nothing and says why.
    fn refuse(self: Box<Self>, error: StoreError);
    /// Whether it may change what waits to be delivered.
    fn may_change_waiting(&self) -> bool;
}

/// What the thread needs.
pub(super) struct WriterSetup {
    /// The connection that writes.
    pub(super) connection: Connection,
    /// What was rebuilt from the rows.
    pub(super) memory: Memory,
    /// Where idempotency keys are found.
    pub(super) idempotency: Arc<HashIndex>,
    /// Where wamids are found.
    pub(super) wamids: Arc<HashIndex>,
    /// What the start found of events.
    pub(super) events: RecoveredEvents,
    /// Copies the log beside it; `None` leaves that to SQLite.
    pub(super) keeper: Option<Arc<Keeper>>,
    /// Makes public ids.
    pub(super) cipher: MessageCipher,
    /// Who holds which delivery.
    pub(super) claims: Arc<Claims>,
    /// Where jobs come from.
    pub(super) queue: Arc<Queue>,
    /// See [`Tuning`].
    pub(super) tuning: Tuning,
    /// Called once with the reason when the store dies.
    pub(super) fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

/// What outlives a writer that has to begin anew.
#[derive(Default)]
struct Line {
    /// Taken from the queue, and not begun.
    jobs: VecDeque<Job>,
    /// Of the commit that is being made; what was begun of it is gone from here.
    batch: VecDeque<Job>,
    /// So many jobs have a commit each.
    alone: u32,
    /// The newest instant that was committed.
    newest_at: UnixMs,
}

/// Runs until the queue ends.
pub(super) fn run(setup: WriterSetup) {
    let WriterSetup { connection, mut memory, idempotency, wamids, mut events, keeper, cipher, claims, queue, tuning, fatal } = setup;
    let death = Death { queue: &queue, fatal: fatal.as_ref() };
    let mut line = Line { newest_at: memory.newest_at, ..Line::default() };
    let mut begins_anew = false;
    loop {
        let writing = || -> Result<(), Failure> {
            let marked = memory.settled_to().0;
            let mut writer = Writer {
                connection: &connection,
                statements: Statements::prepare(&connection)?,
                memory,
                idempotency: Arc::clone(&idempotency),
                wamids: Arc::clone(&wamids),
                events: EventState::prepare(&connection, events)?,
                keeper: keeper.clone(),
                cipher: cipher.clone(),
                claims: Arc::clone(&claims),
                recorded: Vec::new(),
                marked,
            };
            if begins_anew {
                // Where not even nothing can be committed, there is no way on.
                writer.write(&mut VecDeque::new())?;
                begins_anew = false;
            }
            writer.serve(&queue, &tuning, &mut line)
        };
        // Sound: what the writer leaves half changed is made anew below, and the locks that it may have
        // held know no poisoning.
        let ended = catch_unwind(AssertUnwindSafe(writing)).unwrap_or(Err(Failure::Bug));
        let Err(failure) = ended else { return };
        if begins_anew || !failure.can_be_undone() {
            return death.because(&failure.to_string());
        }
        tracing::error!(fault = %failure, "PAGE: a commit was undone; the store goes on from what is on disk, and whose write it was is told");
        match recover::again(&connection, &tuning, line.newest_at, &idempotency, &wamids) {
            Ok(found) => (memory, events) = found,
            Err(failure) => return death.because(&failure.to_string()),
        }
        claims.distrust();
        begins_anew = true;
        line.alone = ALONE_AFTER;
        while let Some(job) = line.batch.pop_back() {
            line.jobs.push_front(job);
        }
    }
}

/// The writer at work: its connection, its statements and its memory.
pub(super) struct Writer<'c> {
    pub(super) connection: &'c Connection,
    pub(super) statements: Statements<'c>,
    pub(super) memory: Memory,
    pub(super) idempotency: Arc<HashIndex>,
    pub(super) wamids: Arc<HashIndex>,
    pub(super) events: EventState<'c>,
    keeper: Option<Arc<Keeper>>,
    pub(super) cipher: MessageCipher,
    pub(super) claims: Arc<Claims>,
    /// Deliveries of the open commit; `None` where nobody keeps it for its claim.
    pub(super) recorded: Vec<(EndpointId, Option<Due>)>,
    /// What the mark in the database says is settled.
    marked: i64,
}

impl Writer<'_> {
    /// Drains the queue until it ends. An error means that this writer is at its end.
    fn serve(&mut self, queue: &Queue, tuning: &Tuning, line: &mut Line) -> Result<(), Failure> {
        let mut waiting = Vec::new();
        loop {
            let mut last_weight = 0;
            while !line.jobs.is_empty() {
                let mut weight = 0;
                while weight < tuning.batch_max
                    && let Some(job) = line.jobs.pop_front()
                {
                    weight += job.weight();
                    line.batch.push_back(job);
                    if tuning.inline || line.alone > 0 {
                        line.alone = line.alone.saturating_sub(1);
                        break;
                    }
                }
                last_weight = weight;
                self.write(&mut line.batch)?;
                line.newest_at = self.memory.newest_at;
                if self.keeper.as_ref().is_some_and(|keeper| keeper.committed(weight)) {
                    keeper::copy_the_log(self.connection)?;
                }
            }
            if last_weight >= LOADED {
                std::thread::yield_now();
            }
            queue.take(&mut waiting);
            if waiting.is_empty() {
                return self.leave_a_mark();
            }
            line.jobs.extend(waiting.drain(..));
        }
    }

    /// One batch, one commit.
    fn write(&mut self, batch: &mut VecDeque<Job>) -> Result<(), Failure> {
        match self.statements.begin.execute([]) {
            // Somebody else's tool has the database open and locked: nothing was begun, so nothing
            // is in doubt.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                for job in batch.drain(..) {
                    job.refuse(StoreError::unavailable("another program keeps the database locked"));
                }
                return Ok(());
            }
            begun => begun?,
        };
        let mut answers = Vec::with_capacity(batch.len());
        let may_change_waiting = batch.iter().any(Job::may_change_waiting);
        #[cfg(feature = "planted-bugs")]
        let answers_too_early = crate::planted::is(crate::planted::Bug::AnswerBeforeCommit)
            && batch.iter().all(|job| matches!(job, Job::Admit(..) | Job::Settle(..)));
        while let Some(job) = batch.pop_front() {
            answers.extend(self.run_job(job)?);
        }
        self.write_wallets()?;
        self.write_usage()?;
        self.forget_old_hashes();
        if self.memory.settled_to().0 - self.marked >= MARK_EVERY {
            self.write_mark()?;
        }
        let admitted_to = turnpike_domain::ids::MessageKey(self.memory.last_place);
        self.idempotency.work_a_slice(self.connection, admitted_to, self.memory.newest_at)?;
        self.wamids.work_a_slice(self.connection, self.memory.settled_to(), self.memory.newest_at)?;
        self.events.work_a_slice(self.memory.newest_at)?;

        #[cfg(feature = "planted-bugs")]
        if answers_too_early {
            answers.drain(..).for_each(|answer: Withheld| answer.release(&reply::pretended()));
            // A kill loses a commit only until its pages are with the operating system: on a fast
            // machine a moment that hardly any kill meets. A commit that comes behind its answers
            // is late in the programs that really had this bug, too.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let committed = reply::commit(self.connection).map_err(Failure::Commit)?;
        self.idempotency.committed();
        self.wamids.committed();
        self.events.index.committed();
        if !self.recorded.is_empty() {
            self.claims.committed(&mut self.recorded);
        }
        if may_change_waiting {
            self.claims.distrust();
        }
        for answer in answers {
            answer.release(&committed);
        }
        Ok(())
    }

    fn run_job(&mut self, job: Job) -> Result<Option<Withheld>, Failure> {
        Ok(Some(match job {
            Job::Admit(batch, caller) => caller.withheld(batch.into_iter().map(|new| self.admit(new)).collect())?,
            Job::Settle(batch, caller) => caller.withheld(batch.into_iter().map(|outcome| self.settle(outcome)).collect())?,
            Job::Resolve(batch, caller) => caller.withheld(batch.into_iter().map(|resolve| self.resolve(resolve)).collect())?,
            Job::MoveLegs(batch, caller) => caller.withheld(batch.iter().map(|movement| self.move_leg(movement)).collect())?,
            Job::MoveWallet(movement, caller) => caller.withheld(self.move_wallet(&movement))?,
            Job::Balance(organization, mode, caller) => caller.withheld(self.wallet((organization, mode)))?,
            Job::Forget(contents, answers, caller) => caller.withheld(self.forget_a_slice(contents, answers))?,
            Job::Events(job) => self.run_events(job)?,
            Job::Finish(batch, caller) => caller.withheld(self.finish(batch))?,
            Job::Control(job) => {
                let answer = control(self.connection, job);
                self.events.control_wrote();
                return answer;
            }
        }))
    }

    fn write_wallets(&mut self) -> Result<(), Failure> {
        if !self.events.has_no_alerts() {
            let changed: Vec<_> = self.memory.changed_wallets.iter().copied().collect();
            for wallet in changed {
                self.watch_wallet(wallet)?;
            }
        }
        for (organization, mode) in self.memory.changed_wallets.drain() {
            let Some(balance) = self.memory.wallets.get(&(organization, mode)) else { continue };
            let changed = self.statements.update_wallet.execute(params![
                organization.0,
                mode.number(),
                balance.posted.0,
                balance.held_base.0,
                balance.held_meta.0
            ])?;
            if changed != 1 {
                return Err(corrupt("wallets", "organization", organization));
            }
        }
        Ok(())
    }

    fn write_usage(&mut self) -> Result<(), Failure> {
        for ((day, api_key), (messages, spend)) in self.memory.usage.drain() {
            self.connection
                .prepare_cached(
                    "INSERT INTO usage (day, api_key, messages, spend) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT DO UPDATE SET messages = messages + excluded.messages, spend = spend + excluded.spend",
                )?
                .execute(params![day.0, api_key.0, messages, spend])?;
        }
        Ok(())
    }

    /// Lets go of resolved messages' keys whose day is over, and of their wamids once no status comes
    /// by them any more.
    fn forget_old_hashes(&mut self) {
        while let Some(first) = self.memory.resolved_keys.first_entry() {
            let (until, message) = *first.key();
            if until > self.memory.newest_at {
                break;
            }
            self.idempotency.unpin(&first.remove(), message);
        }
        let wamids = &mut self.memory.resolved_wamids;
        while let Some(((until, message), wamid)) = wamids.first_key_value()
            && (*until <= self.memory.newest_at || wamids.len() > RESOLVED_WAMIDS_MAX)
        {
            self.wamids.unpin(wamid, *message);
            wamids.pop_first();
        }
    }

    fn write_mark(&mut self) -> Result<(), Failure> {
        self.marked = self.memory.settled_to().0;
        self.connection
            .prepare_cached("INSERT INTO marks (name, value) VALUES ('settled', ?1) ON CONFLICT DO UPDATE SET value = excluded.value")?
            .execute([self.marked])?;
        Ok(())
    }

    /// The last thing of an orderly end.
    fn leave_a_mark(&mut self) -> Result<(), Failure> {
        if self.memory.settled_to().0 == self.marked {
            return Ok(());
        }
        self.statements.begin.execute([])?;
        self.write_mark()?;
        reply::commit(self.connection).map_err(Failure::Commit)?;
        Ok(())
    }
}

/// A control job in its savepoint: what fails there is undone there, and does not touch the rest
/// of the batch.
fn control(connection: &Connection, job: Box<dyn ControlJob>) -> Result<Option<Withheld>, Failure> {
    connection.prepare_cached("SAVEPOINT control")?.execute([])?;
    let answer = match job.run(connection) {
        Ok(answer) => Some(answer),
        Err(failure) if failure.is_fatal() => return Err(failure),
        Err(_told_by_the_job) => {
            connection.prepare_cached("ROLLBACK TO control")?.execute([])?;
            None
        }
    };
    connection.prepare_cached("RELEASE control")?.execute([])?;
    Ok(answer)
}

/// Ends the store for good; also when the thread panics, which would otherwise leave callers to
/// wait for ever.
struct Death<'a> {
    queue: &'a Queue,
    fatal: &'a (dyn Fn(&str) + Send + Sync),
}

impl Death<'_> {
    fn because(&self, reason: &str) {
        die(self.queue, self.fatal, reason);
    }
}

/// Ends the store: whoever waits and whoever comes hears why, and the hook ends the program.
pub(super) fn die(queue: &Queue, fatal: &(dyn Fn(&str) + Send + Sync), reason: &str) {
    tracing::error!("the store stops for good: {reason}");
    queue.end(reason);
    let mut refused = Vec::new();
    queue.take(&mut refused);
    drop(refused);
    fatal(reason);
}

impl Drop for Death<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.because("the writer met a bug and stopped");
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;

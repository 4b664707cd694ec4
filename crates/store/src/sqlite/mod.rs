//! SQLite, the engine that starts with the binary.
//!
//! One thread writes (`writer`), a few connections read, and the money is decided in the
//! writer's memory inside the commit that records it. Control-plane writes go through
//! `SqliteStore::control`, all reads through `SqliteStore::read`.

mod applications;
mod backup;
mod calls;
mod cells;
mod deliveries;
mod endpoints;
mod erasures;
mod events;
mod failure;
mod filter;
mod hash_index;
mod keeper;
mod keys;
mod ledger;
mod memory;
mod messages;
mod migrate;
mod open;
mod organizations;
mod queue;
mod rates;
mod readers;
mod recover;
mod reply;
mod statement;
mod statements;
mod templates;
mod users;
mod verify;
mod wallets;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use turnpike_domain::ids::MessageCipher;
use turnpike_domain::time::UnixMs;

pub use self::backup::{MANIFEST_FILE, RestoreError, RestoreReport, restore};
pub use self::erasures::journal::ERASURES_FILE;
use self::erasures::journal::Journal;
use self::failure::Failure;
use self::hash_index::HashIndex;
use self::keeper::Keeper;
pub use self::open::{DATABASE_FILE, LOCK_FILE, OpenError};
use self::queue::Queue;
use self::readers::Readers;
use self::reply::{Caller, Withheld};
use self::writer::{ControlJob, Job};
use crate::{Answer, BackupReport, Store, StoreError};

/// Below this much free disk the store says that it is not ready, while it still is: a full disk
/// ends it.
const DISK_FREE_MIN: u64 = 64 << 20;

/// What opening a store takes.
pub struct Options {
    /// The data folder; made where it is missing.
    pub folder: PathBuf,
    /// A folder on another machine or disk, where a second copy of the journal of erasures is kept; it is
    /// not made where it is missing.
    pub erasures_copy: Option<PathBuf>,
    /// Turns message keys into public ids.
    pub cipher: MessageCipher,
    /// Now, for what the start itself records.
    pub now: UnixMs,
    /// Called once, from the writer's thread, when the store has died and the program must end.
    pub fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// How it commits; [`Tuning::default`] is measured.
    pub tuning: Tuning,
}

/// How the writer groups, and how much may wait.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Past this many messages a commit no longer gets cheaper per message, only later.
    pub batch_max: usize,
    /// Messages that may wait for the writer; more are refused, since they would wait longer than
    /// their callers do.
    pub queue_max: usize,
    /// Reading connections.
    pub readers: usize,
    /// Pages in the write-ahead log past which the writer itself moves them into the database.
    pub checkpoint_ceiling_pages: u32,
    /// Entries of the look-up tails in memory before they go to disk.
    pub segment_entries: usize,
    /// Every call blocks its thread until it is done and every job has a commit of its own: the
    /// same calls give the same rows, for the seeded simulation.
    pub inline: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            batch_max: 512,
            queue_max: 16_384,
            readers: 4,
            checkpoint_ceiling_pages: 16_384,
            segment_entries: hash_index::SEGMENT_ENTRIES,
            inline: false,
        }
    }
}

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Messages that were admitted and had no outcome; they are unknown now.
    pub unknown: u64,
    /// Fake messages that were admitted and had no outcome; they count as not sent now.
    pub fakes: u64,
    /// Erasures that the journal beside the database names and the database did not know: it came
    /// back from a backup, or the last run ended between the two. They wait to be applied.
    pub erasures: u64,
}

/// A store in one SQLite file.
pub struct SqliteStore {
    file: PathBuf,
    inline: bool,
    queue: Arc<Queue>,
    readers: Readers,
    idempotency: Arc<HashIndex>,
    wamids: Arc<HashIndex>,
    cipher: MessageCipher,
    claims: Arc<deliveries::Claims>,
    erasures: Arc<Journal>,
    keeper: Arc<Keeper>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// What the keeper syncs; see [`open::make`] for why it stays open.
    _database: Arc<std::fs::File>,
    /// Held open for as long as the store is.
    _lock: std::fs::File,
}

impl SqliteStore {
    /// Opens the folder's store: takes its lock, brings the schema up to date, settles what a
    /// crash left, starts the writer.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing of ours runs afterwards.
    pub fn open(options: Options) -> Result<(SqliteStore, Recovery), OpenError> {
        let Options { folder, erasures_copy, cipher, now, fatal, tuning } = options;
        let lock = open::take_lock(&folder)?;
        let file = folder.join(DATABASE_FILE);
        let database = Arc::new(open::make(&file)?);
        let mut connection = open::writing(&file, tuning.checkpoint_ceiling_pages)?;
        migrate::migrate(&mut connection, now)?;
        recover::recognise(&connection, &cipher)?;
        let (erasures, owed) = erasures::adopt(&mut connection, &folder, erasures_copy)?;
        let recover::Recovered { memory, idempotency, wamids, events, recovery } =
            recover::recover(&mut connection, &tuning, now).map_err(OpenError::from)?;
        let recovery = Recovery { erasures: owed, ..recovery };

        let queue = Arc::new(Queue::new(tuning.queue_max));
        let claims = Arc::new(deliveries::Claims::default());
        let readers = Readers::new(file.clone(), tuning.readers, tuning.inline);
        let inline = tuning.inline;
        let keeper = Arc::new(Keeper::default());
        let setup = writer::WriterSetup {
            connection,
            memory,
            idempotency: Arc::clone(&idempotency),
            wamids: Arc::clone(&wamids),
            events,
            keeper: (!inline).then(|| Arc::clone(&keeper)),
            cipher: cipher.clone(),
            claims: Arc::clone(&claims),
            queue: Arc::clone(&queue),
            tuning,
            fatal: Arc::clone(&fatal),
        };
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let failed = |source| OpenError::Folder { path: folder.clone(), source };
            std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(failed)
        };
        let mut threads = vec![spawn("store-writer", Box::new(move || writer::run(setup)))?];
        if !inline {
            let connection = open::copying(&file)?;
            let (keeper, queue, database) = (Arc::clone(&keeper), Arc::clone(&queue), Arc::clone(&database));
            let keep = move || {
                if let Err(failure) = keeper.run(&connection, &database) {
                    writer::die(&queue, fatal.as_ref(), &failure.to_string());
                }
            };
            threads.push(spawn("store-keeper", Box::new(keep))?);
        }
        let store = SqliteStore {
            file,
            inline,
            queue,
            readers,
            idempotency,
            wamids,
            cipher,
            claims,
            erasures: Arc::new(erasures),
            keeper,
            threads: Mutex::new(threads),
            _database: database,
            _lock: lock,
        };
        Ok((store, recovery))
    }

    /// The database's file.
    pub(in crate::sqlite) fn file(&self) -> &Path {
        &self.file
    }

    /// Runs `work` in the writer's next commit, in a savepoint of its own, and answers after the
    /// commit. Where `work` fails, what it wrote is undone and its error is the answer.
    ///
    /// `work` must not touch wallets or money rows: the writer keeps those in memory.
    pub(in crate::sqlite) async fn control<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|caller| Job::Control(Box::new(Control { work, caller, may_change_waiting: true }))).await
    }

    /// The same for work that touches no delivery and is done while many are made: what is known of
    /// waiting deliveries stays known.
    pub(in crate::sqlite) async fn control_beside_deliveries<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|caller| Job::Control(Box::new(Control { work, caller, may_change_waiting: false }))).await
    }

    /// Runs `work` on a reading connection, in one transaction, so that it sees one state.
    pub(in crate::sqlite) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.read(work).await
    }

    /// Leaves a job with the writer and waits for its answer.
    async fn ask<T: Send + 'static>(&self, job: impl FnOnce(Caller<T>) -> Job) -> Result<T, StoreError> {
        let gone = || match self.queue.ended() {
            Some(reason) => StoreError::unavailable(reason),
            None => StoreError::Undone { reason: "something in the same commit stood in its way".to_owned() },
        };
        if self.inline {
            let (caller, answer) = Caller::thread();
            self.queue.push(job(caller))?;
            return answer.recv().map_err(|_| gone())?;
        }
        let (caller, answer) = Caller::task();
        self.queue.push(job(caller))?;
        answer.await.map_err(|_| gone())?
    }

    /// Leaves a batch with the writer in one job, and where that is undone each of it in one of its own:
    /// what stands in the way of one is told in that one's answer, and the others are written.
    async fn ask_each<T: Clone, A: Send + 'static>(
        &self,
        batch: Vec<T>,
        job: impl Fn(Vec<T>, Caller<Vec<A>>) -> Job,
        broken: impl Fn(String) -> A,
    ) -> Result<Vec<A>, StoreError> {
        let each = batch.clone();
        let stands_in_the_way = |error: &StoreError| matches!(error, StoreError::Undone { .. } | StoreError::Corrupt { .. });
        match self.ask(|caller| job(batch, caller)).await {
            Err(error) if stands_in_the_way(&error) => {}
            answered => return answered,
        }
        let mut answers = Vec::with_capacity(each.len());
        for one in each {
            match self.ask(|caller| job(vec![one], caller)).await {
                Err(error) if stands_in_the_way(&error) => answers.push(broken(error.to_string())),
                answered => answers.extend(answered?),
            }
        }
        Ok(answers)
    }

    /// Ends the writer after what waits is committed; gives what waits for its end.
    fn end(&self) -> impl FnOnce() + Send + 'static {
        self.queue.end("the store was closed");
        self.keeper.end();
        let threads = std::mem::take(&mut *self.threads.lock());
        move || {
            for thread in threads {
                // A panic of a thread has already been reported by its own hook.
                drop(thread.join());
            }
        }
    }
}

impl Store for SqliteStore {
    fn ready(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let disk = rustix::fs::statvfs(&self.file).map_err(StoreError::unavailable)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < DISK_FREE_MIN {
                return Err(StoreError::unavailable(format_args!("the disk has {} MiB left", free >> 20)));
            }
            // An empty commit: it says that the writer lives and keeps up.
            self.control_beside_deliveries(|_| Ok(())).await
        })
    }

    fn backup(&self, target: PathBuf) -> Answer<'_, BackupReport> {
        Box::pin(self.back_up(target))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let wait = self.end();
            if self.inline {
                wait();
                return Ok(());
            }
            tokio::task::spawn_blocking(wait).await.map_err(StoreError::unavailable)
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.end()();
    }
}

/// A closure and who waits for it.
struct Control<T, F> {
    work: F,
    caller: Caller<T>,
    may_change_waiting: bool,
}

impl<T, F> ControlJob for Control<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Failure> + Send,
{
    fn run(self: Box<Self>, connection: &Connection) -> Result<Withheld, Failure> {
        let Control { work, caller, .. } = *self;
        match work(connection) {
            Ok(answer) => Ok(caller.withhold(answer)),
            Err(failure) if failure.is_fatal() => {
                caller.refuse(StoreError::unavailable(&failure));
                Err(failure)
            }
            Err(failure) => {
                caller.refuse(failure.into());
                Err(Failure::Store(StoreError::unavailable("undone")))
            }
        }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        self.caller.refuse(error);
    }

    fn may_change_waiting(&self) -> bool {
        self.may_change_waiting
    }
}

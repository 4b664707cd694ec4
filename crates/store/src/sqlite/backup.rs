//! Backup while the gateway runs, and the way back.
//!
//! A backup is a folder with three files: the database, copied through SQLite's backup interface from
//! one snapshot, `backup.json`, which says what the copy holds and what its bytes hash to, and the
//! journal of erasures as it is then. It is written beside its final name and renamed when it is whole
//! and proved, so a folder of that name is a backup that can be restored. The master key is never in
//! it: a stolen backup opens nothing.
//!
//! A restore brings back users who were erased since. So it gathers every journal of erasures that it
//! can find (the backup's own, those of the backups beside it, one that lies in the folder, those that
//! the operator names) into the new folder's, where the first start finds what is owed.
//!
//! The copy reads one snapshot of the write-ahead log from a connection of its own, so the writer
//! goes on; what it cannot do meanwhile is to begin the log anew, which costs disk and no time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::SqliteStore;
use super::erasures::journal::{self, ERASURES_FILE, UNFINISHED_JOURNAL};
use super::erasures::{any_is_of, unknown_to};
use super::migrate::newest_version;
use super::open::{self, APPLICATION_ID, DATABASE_FILE, LOCK_FILE, OpenError};
use crate::{BackupReport, StoreError};

/// What a backup says of itself.
pub const MANIFEST_FILE: &str = "backup.json";

/// Beside the database in a data folder and never in a backup.
const MASTER_KEY_FILE: &str = "master.key";

/// The manifest's own version.
const MANIFEST_FORMAT: u32 = 1;

/// Pages copied at a time: a megabyte, some milliseconds of disk.
const PAGES_PER_STEP: i32 = 256;

/// Rest between steps, so that the copy takes at most about half of a disk's time and the writer's
/// syncs never queue behind more than one step.
const PAUSE: Duration = Duration::from_millis(2);

/// Steps between syncs of the copy: what is left for the last sync is then small, and no sync of
/// the writer waits behind gigabytes of it.
const STEPS_PER_SYNC: u32 = 32;

/// How often a step may find the source busy before the backup gives up: some seconds. A reader of
/// a write-ahead log waits only for recovery, which is over long before.
const BUSY_MAX: u32 = 2_000;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    format: u32,
    schema_version: u32,
    bytes: u64,
    messages: u64,
    /// BLAKE3 of the database file, hexadecimal: integrity checks see torn pages, not flipped bits
    /// in a body.
    blake3: String,
}

impl SqliteStore {
    /// See [`crate::Store::backup`].
    pub(super) async fn back_up(&self, target: PathBuf) -> Result<BackupReport, StoreError> {
        let file = self.file().to_owned();
        // A thread of its own kind, not a reader's place: look-ups must not wait for the copy.
        tokio::task::spawn_blocking(move || back_up(&file, &target)).await.map_err(StoreError::unavailable)?
    }
}

/// Copies the database `file` into the new folder `target`. Blocks its thread for as long as the
/// copy takes.
///
/// # Errors
/// `Unavailable` with a sentence for the operator; then there is no folder `target`.
pub(super) fn back_up(file: &Path, target: &Path) -> Result<BackupReport, StoreError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(StoreError::unavailable(format!(
            "{} exists already: a backup is only written to a new folder, so give another name",
            target.display()
        )));
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".unfinished");
    let unfinished = PathBuf::from(name);
    let written = write_backup(file, target, &unfinished);
    if written.is_err() {
        // What cannot be removed stays under its unfinished name, and the next backup tries again.
        drop(remove_unfinished(&unfinished));
    }
    written
}

fn write_backup(file: &Path, target: &Path, unfinished: &Path) -> Result<BackupReport, StoreError> {
    let unwritable = |error: io::Error| StoreError::unavailable(format!("cannot write the backup {}: {error}", target.display()));
    remove_unfinished(unfinished).map_err(unwritable)?;
    DirBuilder::new().mode(0o700).create(unfinished).map_err(unwritable)?;
    let copy = unfinished.join(DATABASE_FILE);
    let copied = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&copy).map_err(unwritable)?;
    copy_database(file, &copy, &copied)?;
    let facts = prove(&copy)?;
    let (bytes, blake3) = hash(&copy).map_err(unwritable)?;
    copied.sync_all().map_err(unwritable)?;
    // After the database, so that nothing is missing in it that the copy knows.
    let erasures = journal::Read::file(&file.with_file_name(ERASURES_FILE)).map_err(unwritable)?;
    journal::write(unfinished, &erasures).map_err(unwritable)?;

    let manifest = Manifest { format: MANIFEST_FORMAT, schema_version: facts.schema_version, bytes, messages: facts.messages, blake3 };
    let mut text = serde_json::to_vec_pretty(&manifest).map_err(StoreError::unavailable)?;
    text.push(b'\n');
    let mut said = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished.join(MANIFEST_FILE)).map_err(unwritable)?;
    said.write_all(&text).and_then(|()| said.sync_all()).map_err(unwritable)?;
    sync_folder(unfinished).map_err(unwritable)?;
    fs::rename(unfinished, target).map_err(unwritable)?;
    sync_folder(&parent(target)).map_err(unwritable)?;
    Ok(BackupReport { bytes, messages: facts.messages, schema_version: facts.schema_version })
}

/// Removes what a backup that died left behind, and nothing else.
fn remove_unfinished(unfinished: &Path) -> io::Result<()> {
    for name in
        [DATABASE_FILE, MANIFEST_FILE, ERASURES_FILE, UNFINISHED_JOURNAL, "turnpike.db-journal", "turnpike.db-wal", "turnpike.db-shm"]
    {
        absent_is_fine(fs::remove_file(unfinished.join(name)))?;
    }
    absent_is_fine(fs::remove_dir(unfinished))
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn copy_database(file: &Path, copy: &Path, copied: &File) -> Result<(), StoreError> {
    let copying = |error: rusqlite::Error| StoreError::unavailable(format!("copying the database: {error}"));
    let mut source = open::reading(file).map_err(copying)?;
    // One snapshot for the whole copy. Without it SQLite would begin anew after every commit of the
    // writer, and under load never come to an end.
    let snapshot = source.transaction().map_err(copying)?;
    snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(copying)?;
    let mut target = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(copying)?;
    // The copy is worth nothing until it is whole, so it needs no journal and is synced from here.
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(copying)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(copying)?;

    let backup = Backup::new(&snapshot, &mut target).map_err(copying)?;
    let (mut steps, mut busy) = (0_u32, 0_u32);
    loop {
        match backup.step(PAGES_PER_STEP).map_err(copying)? {
            StepResult::Done => return Ok(()),
            StepResult::More => (steps, busy) = (steps + 1, 0),
            _ if busy >= BUSY_MAX => return Err(StoreError::unavailable("copying the database: it stays busy")),
            _ => busy += 1,
        }
        if steps.is_multiple_of(STEPS_PER_SYNC) {
            copied.sync_data().map_err(|error| StoreError::unavailable(format!("copying the database: {error}")))?;
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a proved copy holds.
struct Facts {
    schema_version: u32,
    messages: u64,
}

/// Turns the copy into one file that needs no log beside it, and proves it.
fn prove(copy: &Path) -> Result<Facts, StoreError> {
    let checking = |error: rusqlite::Error| StoreError::unavailable(format!("checking the backup: {error}"));
    let connection = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(checking)?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(checking)?;
    if let Some(damage) = damage(&connection).map_err(checking)? {
        return Err(StoreError::unavailable(format!(
            "the copy is damaged ({damage}), so the database probably is too: keep the last good backup and check the disk"
        )));
    }
    facts(&connection).map_err(checking)
}

/// The first thing that is wrong with a database, in SQLite's words.
fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((found != "ok").then_some(found))
}

fn facts(connection: &Connection) -> rusqlite::Result<Facts> {
    Ok(Facts {
        schema_version: connection.query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0))?,
        messages: connection.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0))?.unsigned_abs(),
    })
}

/// What a restored folder holds, and what is left to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// Size of the database in bytes.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// The schema's version; an older one is brought up to date at the next start.
    pub schema_version: u32,
    /// Whether a `master.key` lies in the folder already.
    pub master_key_present: bool,
    /// Erasures that the restored database does not know: the next start applies them again.
    pub erasures_owed: u64,
    /// Journals of erasures that were found beyond the backup's own.
    pub erasures_from: Vec<PathBuf>,
    /// What to do before the first start, in sentences.
    pub next: Vec<String>,
}

/// Why nothing was restored. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder is no backup of ours.
    #[error(
        "{} is not a backup: {problem}. Give the folder that `turnpike backup` wrote, with both its files, {DATABASE_FILE} and {MANIFEST_FILE}",
        .backup.display()
    )]
    NotABackup {
        /// What was given.
        backup: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// The backup's bytes are not those that were written.
    #[error("the backup {} is damaged: {problem}. Nothing was restored; take an older backup, or another copy of this one", .backup.display())]
    Damaged {
        /// What was given.
        backup: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A newer program wrote it.
    #[error(
        "the backup has schema version {found}, and this program knows versions up to {known}. Install the program that wrote it, or a newer one, and restore with that"
    )]
    Newer {
        /// Version of the backup.
        found: u32,
        /// Newest version of this program.
        known: u32,
    },
    /// There is something in the folder.
    #[error(
        "{} already holds {found}. Restoring never writes over anything: give a folder that does not exist, or move what is there away",
        .folder.display()
    )]
    NotEmpty {
        /// The data folder.
        folder: PathBuf,
        /// The first thing in it.
        found: String,
    },
    /// A gateway is about to use the folder.
    #[error("{} is in use by another process. Stop it, and restore into a folder that does not exist", .folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// Reading or writing failed.
    #[error("cannot use {}. Check that it can be read and written, and that the disk has room", .path.display())]
    Unusable {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Restores the backup folder `backup` into the data folder `folder`, which must not exist or hold
/// nothing but a `master.key` and a journal of erasures. The bytes are compared with the manifest, SQLite's integrity check
/// is run on the restored copy, and only then does it get its name; until then a start would find
/// an empty folder.
///
/// `erasures` are journals of erasures, or the folders that they lie in (the data folder that is being
/// replaced), beside those that are found without being named.
///
/// # Errors
/// [`RestoreError`]; no database is in `folder` then.
pub fn restore(backup: &Path, folder: &Path, erasures: &[PathBuf]) -> Result<RestoreReport, RestoreError> {
    let manifest = read_manifest(backup)?;
    if manifest.schema_version > newest_version() {
        return Err(RestoreError::Newer { found: manifest.schema_version, known: newest_version() });
    }
    refuse_occupied(folder)?;
    let _lock = open::take_lock(folder).map_err(|error| match error {
        OpenError::InUse { folder } => RestoreError::InUse { folder },
        OpenError::Folder { path, source } => RestoreError::Unusable { path, source },
        other => RestoreError::Unusable { path: folder.to_owned(), source: io::Error::other(other) },
    })?;
    // Again, now that nobody else can begin here.
    refuse_occupied(folder)?;
    let unfinished = folder.join(UNFINISHED_DATABASE);
    let restored = bring_back(backup, &manifest, folder, &unfinished, erasures);
    if restored.is_err() {
        // What cannot be removed now is written over by the next try.
        drop(fs::remove_file(&unfinished));
    }
    let (facts, gathered) = restored?;
    let master_key_present = folder.join(MASTER_KEY_FILE).exists();
    let mut next = next_steps(folder, master_key_present);
    next.extend(gathered.next_step(folder));
    Ok(RestoreReport {
        bytes: manifest.bytes,
        messages: facts.messages,
        schema_version: facts.schema_version,
        master_key_present,
        erasures_owed: gathered.owed,
        erasures_from: gathered.from,
        next,
    })
}

/// What is known of erasures that the restored database may not know.
struct Gathered {
    owed: u64,
    /// Where it is known from, beside the backup itself.
    from: Vec<PathBuf>,
    /// Whether the journal of the folder that is replaced may be among them.
    is_newest: bool,
    /// Backups beside this one whose journal cannot be read.
    unreadable: Vec<PathBuf>,
}

impl Gathered {
    /// What is left to do for them.
    fn next_step(&self, folder: &Path) -> Option<String> {
        let unreadable = self.unreadable.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let unread = if unreadable.is_empty() { String::new() } else { format!(" {unreadable} cannot be read.") };
        (!self.is_newest || !unread.is_empty()).then(|| {
            format!(
                "If users were erased since the newest backup was made, copy {ERASURES_FILE} of the folder that you replace to {} before the first start (or restore again with --erasures): they are back otherwise.{unread}",
                folder.join(ERASURES_FILE).display()
            )
        })
    }
}

/// Every journal of erasures that can be found, joined in the folder.
fn gather(backup: &Path, folder: &Path, named: &[PathBuf], restored: &Path) -> Result<Gathered, RestoreError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Unusable { path, source }
    };
    let reading = |error: rusqlite::Error| RestoreError::Damaged { backup: backup.to_owned(), problem: error.to_string() };
    let database = Connection::open_with_flags(restored, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(reading)?;
    let mut gathered = Gathered { owed: 0, from: Vec::new(), is_newest: !named.is_empty(), unreadable: Vec::new() };
    let of_backup = backup.join(ERASURES_FILE);
    let mut all = journal::Read::file(&of_backup).map_err(unusable(&of_backup))?;
    let own = folder.join(ERASURES_FILE);
    if own.exists() {
        all.join(journal::Read::file(&own).map_err(unusable(&own))?);
        gathered.from.push(own);
        gathered.is_newest = true;
    }
    for path in named {
        let file = if path.is_dir() { path.join(ERASURES_FILE) } else { path.clone() };
        // Asked for by name, so its absence is no detail.
        fs::metadata(&file).map_err(unusable(&file))?;
        all.join(journal::Read::file(&file).map_err(unusable(&file))?);
        gathered.from.push(file);
    }
    for file in journals_beside(backup) {
        match journal::Read::file(&file) {
            // Another gateway may keep its backups in the same place.
            Ok(read) if any_is_of(&database, &read.told).map_err(reading)? => {
                all.join(read);
                gathered.from.push(file);
            }
            Ok(_) => {}
            Err(_) => gathered.unreadable.push(file),
        }
    }
    gathered.owed = unknown_to(&database, &all.told).map_err(reading)?;
    journal::write(folder, &all).map_err(unusable(folder))?;
    Ok(gathered)
}

/// Journals of the other backups in the same place, in the order of their names.
fn journals_beside(backup: &Path) -> Vec<PathBuf> {
    let whole = fs::canonicalize(backup).unwrap_or_else(|_| backup.to_owned());
    let Ok(entries) = fs::read_dir(parent(&whole)) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| *path != whole && path.join(MANIFEST_FILE).is_file())
        .map(|path| path.join(ERASURES_FILE))
        .filter(|file| file.is_file())
        .collect();
    found.sort();
    found
}

/// Name of the database until it is proved.
const UNFINISHED_DATABASE: &str = "turnpike.db.restoring";

fn next_steps(folder: &Path, master_key_present: bool) -> Vec<String> {
    let key = folder.join(MASTER_KEY_FILE);
    let key = key.display();
    vec![
        if master_key_present {
            format!("See that {key} is the key that the backup was made under: with another one no API key works and no token opens.")
        } else {
            format!(
                "Put the master key back as {key}, readable by its owner only (chmod 600), before the first start: no backup holds it, and without it no API key works and no token opens."
            )
        },
        "Revoke again the API keys that were revoked after the backup: they work as they did when it was made.".to_owned(),
        "Enter top-ups and other wallet movements from after the backup again; messages sent since then are not in it, nor what they cost."
            .to_owned(),
        "Run `turnpike ledger verify` before you let callers in.".to_owned(),
    ]
}

fn read_manifest(backup: &Path) -> Result<Manifest, RestoreError> {
    let not_a_backup = |problem: String| RestoreError::NotABackup { backup: backup.to_owned(), problem };
    let missing = |path: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            not_a_backup(format!("there is no {}", path.file_name().unwrap_or(path.as_os_str()).display()))
        }
        _ => RestoreError::Unusable { path: path.to_owned(), source: error },
    };
    let path = backup.join(MANIFEST_FILE);
    let text = fs::read(&path).map_err(|error| missing(&path, error))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| not_a_backup(format!("{MANIFEST_FILE} cannot be read ({error})")))?;
    if manifest.format != MANIFEST_FORMAT {
        return Err(not_a_backup(format!("{MANIFEST_FILE} has format {}, and this program reads {MANIFEST_FORMAT}", manifest.format)));
    }
    let database = backup.join(DATABASE_FILE);
    fs::metadata(&database).map_err(|error| missing(&database, error))?;
    Ok(manifest)
}

/// Refuses a folder with anything in it but the master key, a journal of erasures and what an
/// interrupted restore left.
fn refuse_occupied(folder: &Path) -> Result<(), RestoreError> {
    let unusable = |source| RestoreError::Unusable { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable(error)),
    };
    for entry in entries {
        let name = entry.map_err(unusable)?.file_name();
        if ![MASTER_KEY_FILE, LOCK_FILE, UNFINISHED_DATABASE, ERASURES_FILE, UNFINISHED_JOURNAL].iter().any(|known| name == *known) {
            return Err(RestoreError::NotEmpty { folder: folder.to_owned(), found: name.display().to_string() });
        }
    }
    Ok(())
}

fn bring_back(
    backup: &Path,
    manifest: &Manifest,
    folder: &Path,
    unfinished: &Path,
    erasures: &[PathBuf],
) -> Result<(Facts, Gathered), RestoreError> {
    let damaged = |problem: String| RestoreError::Damaged { backup: backup.to_owned(), problem };
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Unusable { path, source }
    };
    absent_is_fine(fs::remove_file(unfinished)).map_err(unusable(unfinished))?;
    let source = backup.join(DATABASE_FILE);
    let mut from = File::open(&source).map_err(unusable(&source))?;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished).map_err(unusable(unfinished))?;
    io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).map_err(unusable(unfinished))?;
    // Hashed as it was written, not as it was read: this is what will be started with.
    let (bytes, blake3) = hash(unfinished).map_err(unusable(unfinished))?;
    if bytes != manifest.bytes {
        return Err(damaged(format!("{DATABASE_FILE} has {bytes} bytes, and {MANIFEST_FILE} says {}", manifest.bytes)));
    }
    if blake3 != manifest.blake3 {
        return Err(damaged(format!("the bytes of {DATABASE_FILE} are not those that {MANIFEST_FILE} names")));
    }
    let facts = examine(unfinished).map_err(|error| damaged(error.to_string()))?.map_err(damaged)?;
    if facts.schema_version > newest_version() {
        return Err(RestoreError::Newer { found: facts.schema_version, known: newest_version() });
    }
    // Before there is a database: one that starts knows what it owes.
    let gathered = gather(backup, folder, erasures, unfinished)?;
    let database = folder.join(DATABASE_FILE);
    fs::rename(unfinished, &database).map_err(unusable(&database))?;
    sync_folder(folder).map_err(unusable(folder))?;
    Ok((facts, gathered))
}

/// Reads a restored file without changing it: its facts, or what is wrong with it.
fn examine(file: &Path) -> rusqlite::Result<Result<Facts, String>> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Ok(Err(format!("{DATABASE_FILE} is a database of another program")));
    }
    match damage(&connection)? {
        Some(damage) => Ok(Err(damage)),
        None => facts(&connection).map(Ok),
    }
}

/// Length and hash of a file.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hasher.finalize().to_hex().to_string())),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

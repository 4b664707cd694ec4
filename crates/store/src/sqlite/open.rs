//! Opening a data folder: the lock, the file and the settings that every connection has.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, FileControl, MAIN_DB, OpenFlags};

use super::failure::Failure;

/// The database's file in the data folder.
pub const DATABASE_FILE: &str = "turnpike.db";
/// Held by the one process that uses the folder.
pub const LOCK_FILE: &str = "LOCK";

/// Marks a SQLite file as ours (`TPK1`), so that a wrong path is refused before anything is written.
pub(super) const APPLICATION_ID: i32 = 0x5450_4b31;

/// How long a connection waits for another's lock: reliability §e. Only checkpoints and backups
/// can hold one, since there is one writer.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Page cache of the writer in KiB: the ends of the append-only tables are its working set, and
/// they are small however large the tables are.
const WRITER_CACHE_KIB: i64 = 8_192;

/// Deleted bytes are written over where their page is written anyway. Erasure and retention ask for
/// more while they are at work.
pub(super) const SECURE_DELETE: &str = "fast";

/// Page cache of each reader in KiB.
const READER_CACHE_KIB: i64 = 2_048;

/// The database grows by this much at a time, blocks and all. To sync a file that has grown costs
/// a commit of the file system's own journal, ten times a plain sync: so it grows rarely, and then
/// in the keeper's hands.
const GROWS_BY_BYTES: i32 = 256 << 10;

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data folder {folder} is in use by another process: stop that one first, or use another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The database was written by a newer binary.
    #[error("the database has schema version {found}, this program knows versions up to {known}: start a newer program")]
    Newer {
        /// Version of the database.
        found: u32,
        /// Newest version of this binary.
        known: u32,
    },
    /// A migration that ran is not the one that this binary carries.
    #[error("schema version {version} ({name}) is not the one that this program carries: the database belongs to another build")]
    Altered {
        /// Version of the migration.
        version: u32,
        /// Its name.
        name: &'static str,
    },
    /// The secret that the database was made with is another.
    #[error(
        "the master key is not the one that this database was made with: message ids would not be found and nothing that it \
         sealed would open; start with the master key that belongs to it"
    )]
    OtherKey,
    /// The file is a SQLite database of something else.
    #[error("{file} is a database of another program")]
    NotOurs {
        /// The file.
        file: PathBuf,
    },
    /// A row that is needed to start cannot be read.
    #[error("the database cannot be read: {0}")]
    Corrupt(#[from] crate::StoreError),
    /// The folder or a file in it cannot be used.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite said no.
    #[error("the database cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Makes the folder where it is missing (0700) and takes its lock. The lock goes with the file.
pub(super) fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    let path = folder.join(LOCK_FILE);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(failed(&path))?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(errno) => Err(failed(&path)(errno.into())),
    }
}

/// Makes the database's file (0600) where it is missing. What it returns must outlive every
/// connection: closing any descriptor of a file drops all locks that the process has on it, SQLite's
/// too.
pub(super) fn make(file: &Path) -> Result<File, OpenError> {
    // SQLite gives its log and index files the mode of the database, so the mode is set here once.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(file)
        .map_err(|source| OpenError::Folder { path: file.to_owned(), source })
}

/// Opens the database for writing.
pub(super) fn writing(file: &Path, checkpoint_ceiling_pages: u32) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || tables > 0 {
            return Err(OpenError::NotOurs { file: file.to_owned() });
        }
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Without this, `INSERT OR REPLACE` would delete a money row past its trigger.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Without this, bytes that moved to another page stay behind in the old one, where no erasure finds them.
    connection.pragma_update(None, "secure_delete", SECURE_DELETE)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", checkpoint_ceiling_pages)?;
    grow_by_the_chunk(&connection)?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Opens the database for copying the log into it.
pub(super) fn copying(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    grow_by_the_chunk(&connection)?;
    Ok(connection)
}

/// The size of a chunk belongs to a connection, and whoever copies the log cuts the file to it.
fn grow_by_the_chunk(connection: &Connection) -> rusqlite::Result<()> {
    let mut bytes = GROWS_BY_BYTES;
    connection.file_control(Some(MAIN_DB), FileControl::ChunkSize(&mut bytes))
}

/// Opens the database for reading only.
pub(super) fn reading(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    plan_once(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Plans stand for the life of a statement. Without this SQLite may plan a join anew whenever a value
/// is bound, and a look-up by key then costs ten times the reading.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => OpenError::Sqlite(error),
            failure => OpenError::Corrupt(failure.into()),
        }
    }
}

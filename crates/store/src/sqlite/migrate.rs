//! The schema's versions: embedded, forward-only, checked at every start.
//!
//! Each migration runs once, in a transaction with the row that records it. The recorded checksum
//! proves that the text that ran is the text that this binary carries; a database that was written
//! by a newer binary is refused, because an older one cannot know what its rows mean.

use rusqlite::{Connection, TransactionBehavior, params};
use turnpike_domain::time::UnixMs;

use super::open::OpenError;

/// Every migration, oldest first; its number is its place, from 1. Only ever appended to.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "foundation", sql: include_str!("../../migrations/sqlite/0001_foundation.sql") },
    Migration { name: "users", sql: include_str!("../../migrations/sqlite/0002_users.sql") },
    Migration { name: "webhooks", sql: include_str!("../../migrations/sqlite/0003_webhooks.sql") },
    Migration { name: "wamid filters", sql: include_str!("../../migrations/sqlite/0004_wamid_filters.sql") },
    Migration { name: "backlogs", sql: include_str!("../../migrations/sqlite/0005_backlogs.sql") },
    Migration { name: "erasures", sql: include_str!("../../migrations/sqlite/0006_erasures.sql") },
    Migration { name: "first attempts", sql: include_str!("../../migrations/sqlite/0007_first_attempts.sql") },
    Migration { name: "poison", sql: include_str!("../../migrations/sqlite/0008_poison.sql") },
    Migration { name: "statement", sql: include_str!("../../migrations/sqlite/0009_statement.sql") },
    Migration { name: "preferences", sql: include_str!("../../migrations/sqlite/0010_preferences.sql") },
    Migration { name: "time zones", sql: include_str!("../../migrations/sqlite/0011_time_zones.sql") },
    Migration { name: "clock turns", sql: include_str!("../../migrations/sqlite/0012_clock_turns.sql") },
];

/// One step of the schema.
struct Migration {
    /// What it brings, for people.
    name: &'static str,
    /// Its text.
    sql: &'static str,
}

impl Migration {
    fn checksum(&self) -> Vec<u8> {
        blake3::hash(self.sql.as_bytes()).as_bytes().to_vec()
    }
}

/// The version that this binary writes.
pub(super) fn newest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Brings the database to [`newest_version`].
///
/// # Errors
/// [`OpenError::Newer`] and [`OpenError::Altered`] where the database is not this binary's;
/// [`OpenError::Sqlite`] where a step failed (nothing of that step stays).
pub(super) fn migrate(connection: &mut Connection, now: UnixMs) -> Result<(), OpenError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (
           version     INTEGER PRIMARY KEY,
           name        TEXT    NOT NULL,
           checksum    BLOB    NOT NULL,
           applied_at  INTEGER NOT NULL
         ) STRICT",
    )?;
    let applied: Vec<(u32, Vec<u8>)> = connection
        .prepare("SELECT version, checksum FROM schema_migrations ORDER BY version")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (place, (version, checksum)) in applied.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(place) else {
            return Err(OpenError::Newer { found: *version, known: newest_version() });
        };
        if usize::try_from(*version).ok() != Some(place + 1) || *checksum != migration.checksum() {
            return Err(OpenError::Altered { version: *version, name: migration.name });
        }
    }
    for (place, migration) in MIGRATIONS.iter().enumerate().skip(applied.len()) {
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(migration.sql)?;
        step.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
            params![i64::try_from(place + 1).unwrap_or(i64::MAX), migration.name, migration.checksum(), now.0],
        )?;
        step.commit()?;
        // A new database had nothing to bring over: one line says that it was made.
        if !applied.is_empty() {
            tracing::info!(schema.version = place + 1, "brought the database to schema version {} ({})", place + 1, migration.name);
        }
    }
    if applied.is_empty() {
        tracing::info!(schema.version = newest_version(), "made a new database");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_finds_nothing_to_do() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        migrate(&mut connection, UnixMs(1)).expect("first start");
        migrate(&mut connection, UnixMs(2)).expect("second start");
        let versions: u32 = connection.query_row("SELECT count(*) FROM schema_migrations", [], |row| row.get(0)).expect("count");
        assert_eq!(versions, newest_version());
        let entries: i64 = connection.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).expect("the view reads");
        assert_eq!(entries, 0);
    }

    #[test]
    fn a_database_of_a_newer_program_is_refused() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        migrate(&mut connection, UnixMs(1)).expect("first start");
        let newer = newest_version() + 1;
        connection
            .execute("INSERT INTO schema_migrations VALUES (?1, 'from the future', x'00', 1)", [newer])
            .expect("plant a newer version");
        let refused = migrate(&mut connection, UnixMs(2)).expect_err("an older program must not go on");
        assert!(matches!(refused, OpenError::Newer { found, .. } if found == newer), "{refused}");
    }

    #[test]
    fn a_migration_that_is_not_ours_is_refused() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        migrate(&mut connection, UnixMs(1)).expect("first start");
        connection.execute("UPDATE schema_migrations SET checksum = x'00' WHERE version = 1", []).expect("alter");
        let refused = migrate(&mut connection, UnixMs(2)).expect_err("another build's schema");
        assert!(matches!(refused, OpenError::Altered { version: 1, .. }), "{refused}");
    }
}

//! Users' windows and opt-outs: one row each, found by its key.

use rusqlite::{Connection, OptionalExtension, params};
use turnpike_domain::ids::{ApplicationId, OrganizationId};
use turnpike_domain::time::UnixMs;

use super::SqliteStore;
use super::failure::Failure;
use crate::Answer;
use crate::messages::Hash16;
use crate::users::{UserNote, UserStanding, Users};

impl Users for SqliteStore {
    fn user(&self, organization: OrganizationId, application: ApplicationId, user: Hash16) -> Answer<'_, UserStanding> {
        Box::pin(self.read(move |connection| standing(connection, organization, application, user)))
    }

    fn note_user(
        &self,
        organization: OrganizationId,
        application: ApplicationId,
        user: Hash16,
        note: UserNote,
    ) -> Answer<'_, Option<UserStanding>> {
        Box::pin(self.control(move |connection| {
            if !owns(connection, organization, application)? {
                return Ok(None);
            }
            write(connection, application, user, note)?;
            standing(connection, organization, application, user).map(Some)
        }))
    }
}

fn owns(connection: &Connection, organization: OrganizationId, application: ApplicationId) -> Result<bool, Failure> {
    let found: i64 = connection
        .prepare_cached("SELECT count(*) FROM applications WHERE organization = ?1 AND id = ?2")?
        .query_row([organization.0, application.0], |row| row.get(0))?;
    Ok(found == 1)
}

pub(super) fn write(connection: &Connection, application: ApplicationId, user: Hash16, note: UserNote) -> Result<(), Failure> {
    // Events come out of order, because Meta repeats what failed: the newest time stands. Meta's times
    // are whole seconds; within one the order of arrival decides.
    let (change, at) = match note {
        UserNote::Wrote(at) => ("SET last_wrote_at = max(coalesce(last_wrote_at, 0), ?3) WHERE true", at),
        UserNote::OptedOut(at) => {
            ("SET opted_out_at = coalesce(opted_out_at, ?3), preferred_at = ?3 WHERE coalesce(preferred_at, ?3) / 1000 <= ?3 / 1000", at)
        }
        UserNote::OptedIn(at) => ("SET opted_out_at = NULL, preferred_at = ?3 WHERE coalesce(preferred_at, ?3) / 1000 <= ?3 / 1000", at),
    };
    connection
        .prepare_cached("INSERT INTO users (application, user) VALUES (?1, ?2) ON CONFLICT (application, user) DO NOTHING")?
        .execute(params![application.0, user])?;
    connection.prepare_cached(&format!("UPDATE users {change} AND application = ?1 AND user = ?2"))?.execute(params![
        application.0,
        user,
        at.0
    ])?;
    Ok(())
}

fn standing(
    connection: &Connection,
    organization: OrganizationId,
    application: ApplicationId,
    user: Hash16,
) -> Result<UserStanding, Failure> {
    let found = connection
        .prepare_cached(
            "SELECT u.last_wrote_at, u.opted_out_at
             FROM users u
             JOIN applications a ON a.id = u.application
             WHERE u.application = ?1 AND u.user = ?2 AND a.organization = ?3",
        )?
        .query_row(params![application.0, user, organization.0], |row| {
            Ok(UserStanding {
                last_wrote_at: row.get::<_, Option<i64>>(0)?.map(UnixMs),
                opted_out_at: row.get::<_, Option<i64>>(1)?.map(UnixMs),
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

//! Finishing: an attempt's row and what it came to, in the writer's commit.

use rusqlite::{OptionalExtension as _, params};

use crate::deliveries::{DeliveryState, Finish, Finished};
use crate::sqlite::failure::Failure;
use crate::sqlite::writer::Writer;

impl Writer<'_> {
    /// Records attempts. A delivery that was deleted, or whose slot has another endpoint now, is
    /// passed over; one that was given up meanwhile does not wait again.
    pub(in crate::sqlite) fn finish(&mut self, batch: Vec<Finished>) -> Result<(), Failure> {
        for finished in batch {
            let (state, retry_at) = match finished.finish {
                Finish::Delivered => (DeliveryState::Delivered, None),
                Finish::Retry(at) => (DeliveryState::Pending, Some(at)),
                Finish::Dead => (DeliveryState::Dead, None),
                Finish::Back => continue,
            };
            let tries: Option<i64> = match retry_at {
                None => self
                    .connection
                    .prepare_cached(
                        "UPDATE deliveries SET state = ?3, lane = NULL, next_at = NULL, attempts = attempts + ?4, tries = tries + ?4
                         WHERE key = ?1 AND endpoint = ?2 RETURNING tries",
                    )?
                    .query_row(params![finished.key.0, finished.endpoint.0, state as u8, finished.attempt.is_some()], |row| row.get(0))
                    .optional()?,
                Some(at) => self
                    .connection
                    .prepare_cached(
                        "UPDATE deliveries
                         SET lane = iif(state = 0, 1, NULL), next_at = iif(state = 0, ?3, NULL), attempts = attempts + ?4, tries = tries + ?4
                         WHERE key = ?1 AND endpoint = ?2 RETURNING tries",
                    )?
                    .query_row(params![finished.key.0, finished.endpoint.0, at.0, finished.attempt.is_some()], |row| row.get(0))
                    .optional()?,
            };
            if let (Some(tries), Some(attempt)) = (tries, &finished.attempt) {
                self.connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO delivery_attempts (delivery, number, at, status, latency_ms, fault, answer)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        finished.key.0,
                        tries,
                        attempt.at.0,
                        attempt.status,
                        attempt.latency_ms,
                        attempt.fault,
                        attempt.answer,
                    ])?;
            }
        }
        Ok(())
    }
}

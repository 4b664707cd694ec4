//! Finishing: an attempt's row and what it came to, in the writer's commit.

use rusqlite::params;

use crate::deliveries::{DeliveryState, Finish, Finished};
use crate::sqlite::failure::Failure;
use crate::sqlite::writer::Writer;

impl Writer<'_> {
    /// Records attempts. A delivery that was deleted, or whose slot has another endpoint now, is
    /// passed over; one that was given up meanwhile does not wait again.
    pub(in crate::sqlite) fn finish(&mut self, batch: Vec<Finished>) -> Result<(), Failure> {
        // No RETURNING: SQLite makes a table of its own for what a statement returns, and that costs
        // more than everything else here.
        let mut over = self.connection.prepare_cached(
            "UPDATE deliveries SET state = ?3, lane = NULL, next_at = NULL, attempts = attempts + ?4, tries = tries + ?4
             WHERE key = ?1 AND endpoint = ?2",
        )?;
        let mut again = self.connection.prepare_cached(
            "UPDATE deliveries
             SET lane = iif(state = 0, 1, NULL), next_at = iif(state = 0, ?3, NULL), attempts = attempts + ?4, tries = tries + ?4
             WHERE key = ?1 AND endpoint = ?2",
        )?;
        let mut keep = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO delivery_attempts (delivery, number, at, status, latency_ms, fault, answer)
             SELECT key, tries, ?2, ?3, ?4, ?5, ?6 FROM deliveries WHERE key = ?1",
        )?;
        for finished in batch {
            let (key, endpoint, is_try) = (finished.key.0, finished.endpoint.0, finished.attempt.is_some());
            let found = match finished.finish {
                Finish::Delivered => over.execute(params![key, endpoint, DeliveryState::Delivered as u8, is_try])?,
                Finish::Dead => over.execute(params![key, endpoint, DeliveryState::Dead as u8, is_try])?,
                Finish::Retry(at) => again.execute(params![key, endpoint, at.0, is_try])?,
                Finish::Back => continue,
            };
            if let (1, Some(attempt)) = (found, &finished.attempt) {
                keep.execute(params![key, attempt.at.0, attempt.status, attempt.latency_ms, attempt.fault, attempt.answer])?;
            }
        }
        Ok(())
    }
}

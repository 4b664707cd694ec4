//! Finishing: an attempt and what it came to, in the writer's commit.
//!
//! Nearly every delivery is taken at its first try, so that attempt stands in the delivery's own row,
//! which is written anyway; all others have rows of their own.

use rusqlite::params;

use crate::deliveries::{Attempt, DeliveryKey, DeliveryState, Finish, Finished};
use crate::endpoints::EndpointId;
use crate::sqlite::failure::Failure;
use crate::sqlite::writer::Writer;

/// Longest answer that the delivery's own row keeps: who lists deliveries reads these rows.
const ANSWER_BESIDE_MAX_BYTES: usize = 96;

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
            if let (Finish::Delivered, Some(attempt)) = (finished.finish, &finished.attempt)
                && self.took_at_once(finished.key, finished.endpoint, attempt)?
            {
                continue;
            }
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
    /// Records an attempt in the delivery's own row, where it is the first of all; false where it is
    /// not, and nothing is recorded yet.
    fn took_at_once(&mut self, key: DeliveryKey, endpoint: EndpointId, attempt: &Attempt) -> Result<bool, Failure> {
        if attempt.fault.is_some() || attempt.answer.len() > ANSWER_BESIDE_MAX_BYTES {
            return Ok(false);
        }
        let recorded = self
            .connection
            .prepare_cached(
                "UPDATE deliveries
                 SET state = 1, lane = NULL, next_at = NULL, attempts = attempts + 1, tries = 1,
                   first_at = ?3, first_status = ?4, first_latency_ms = ?5, first_answer = ?6
                 WHERE key = ?1 AND endpoint = ?2 AND tries = 0",
            )?
            .execute(params![key.0, endpoint.0, attempt.at.0, attempt.status, attempt.latency_ms, attempt.answer])?;
        Ok(recorded == 1)
    }
}

//! What is kept under an Idempotency-Key, asked by a reader.

use rusqlite::Connection;
use turnpike_domain::ids::{ApplicationId, MessageCipher, MessageKey, OrganizationId};
use turnpike_domain::time::UnixMs;

use super::admit::Held;
use super::record;
use crate::messages::{Hash16, MessageRecord, Recalled};
use crate::planted::{self, Bug};
use crate::sqlite::failure::Failure;
use crate::sqlite::hash_index::HashIndex;

/// A question about a key.
pub(in crate::sqlite) struct Question {
    pub(in crate::sqlite) organization: OrganizationId,
    pub(in crate::sqlite) application: ApplicationId,
    pub(in crate::sqlite) idempotency: Hash16,
    pub(in crate::sqlite) fingerprint: Option<Hash16>,
    pub(in crate::sqlite) now: UnixMs,
}

/// Answers it from memory and one snapshot of the database.
pub(in crate::sqlite) fn recall(
    connection: &Connection,
    index: &HashIndex,
    cipher: &MessageCipher,
    question: &Question,
) -> Result<Recalled, Failure> {
    enum Found {
        /// The writer knows it, and its commit has not reached this snapshot.
        Uncommitted(MessageKey),
        Stored(Box<MessageRecord>),
    }

    let mut found = None;
    index.find(connection, &question.idempotency, |key| {
        found = match record::read(connection, key)? {
            None => Some(Found::Uncommitted(key)),
            Some(row) if row.idempotency == Some(question.idempotency) => Some(Found::Stored(Box::new(row))),
            Some(_) => None,
        };
        Ok(found.is_some())
    })?;
    let stored = match found {
        None => return Ok(Recalled::Nothing),
        Some(Found::Uncommitted(key)) => return Ok(Recalled::InFlight(key)),
        Some(Found::Stored(stored)) => stored,
    };
    // The hash covers the application; comparing it again costs nothing and forgives nothing.
    if stored.organization != question.organization || stored.application != question.application {
        return Ok(Recalled::Nothing);
    }
    let held = Held::by(stored.outcome, stored.resolution.as_ref().map(|resolution| (resolution.resolution, resolution.at)));
    let is_look_up = question.fingerprint.is_none();
    Ok(match held {
        // Whoever asks what became of a request is told, also where its key is free again.
        _ if !held.at(question.now) && !is_look_up => Recalled::Nothing,
        _ if question.fingerprint.is_some_and(|fingerprint| fingerprint != stored.fingerprint) && !planted::is(Bug::FingerprintIgnored) => {
            Recalled::KeyReused
        }
        Held::InFlight => Recalled::InFlight(stored.key),
        _ => match record::read_whole(connection, cipher, stored.key)? {
            Some(whole) => Recalled::Kept(Box::new(whole)),
            None => Recalled::Nothing,
        },
    })
}

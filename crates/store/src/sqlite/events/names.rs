//! Under which names a user is known, beginning with one of them.
//!
//! A name is a keyed hash: of a phone number, of a user id, of its parent. Two names are the same
//! user's where one event bears both, or where one is whom a message went to and the other whom its
//! status is about (Meta writes some numbers otherwise than who sends to them). Each round reads what
//! the organization's events and messages say of the names that are known so far; rounds go on until
//! one finds nothing new.

use hashbrown::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension as _, params};
use turnpike_domain::ids::{MessageKey, OrganizationId};
use turnpike_domain::time::UnixMs;

use super::erase::{LOOKED_AT, NAMING, messages_to, tables_of};
use crate::StoreError;
use crate::messages::Hash16;
use crate::sqlite::SqliteStore;
use crate::sqlite::failure::Failure;
use crate::sqlite::messages::exists;
use crate::sqlite::statements::{contents_table, recipients_table};

/// Names of one user at most. A user has three, and three more after a change of number; past this
/// something else than a user is named, and erasing it would take others along.
const NAMES_MAX: usize = 64;

/// What one range of events told.
struct Told {
    names: HashSet<Hash16>,
    /// Messages that these events are about, with their admission.
    messages: Vec<(MessageKey, UnixMs)>,
    next: Option<i64>,
}

impl SqliteStore {
    /// Every name that goes with these, themselves among them.
    pub(super) async fn all_names(&self, organization: OrganizationId, given: Vec<Hash16>) -> Result<Vec<Hash16>, StoreError> {
        let mut names: HashSet<Hash16> = given.into_iter().collect();
        loop {
            let known = names.len();
            let to_them = self.messages_to_names(organization, names.clone()).await?;
            let mut after = 0;
            loop {
                let (asked, messages) = (names.clone(), to_them.clone());
                let told = self.read(move |snapshot| told_of(snapshot, organization, &asked, &messages, after)).await?;
                names.extend(told.names);
                if !told.messages.is_empty() {
                    names.extend(self.read(move |snapshot| recipients_of(snapshot, &told.messages)).await?);
                }
                let Some(next) = told.next else { break };
                after = next;
            }
            if names.len() == known || names.len() > NAMES_MAX {
                break;
            }
        }
        if names.len() > NAMES_MAX {
            tracing::warn!(names = names.len(), "a user seems to have more names than a user can; only some are followed");
        }
        Ok(names.into_iter().collect())
    }

    async fn messages_to_names(&self, organization: OrganizationId, names: HashSet<Hash16>) -> Result<HashSet<MessageKey>, StoreError> {
        let mut found = HashSet::new();
        for naming in NAMING {
            for (_, table) in self.read(|snapshot| tables_of(snapshot, naming)).await? {
                let mut after = 0;
                loop {
                    let (names, table) = (names.clone(), table.clone());
                    let (messages, next) = self.read(move |snapshot| messages_to(snapshot, organization, &names, &table, after)).await?;
                    found.extend(messages);
                    let Some(next) = next else { break };
                    after = next;
                }
            }
        }
        Ok(found)
    }
}

fn told_of(
    connection: &Connection,
    organization: OrganizationId,
    names: &HashSet<Hash16>,
    messages: &HashSet<MessageKey>,
    after: i64,
) -> Result<Told, Failure> {
    let mut told = Told { names: HashSet::new(), messages: Vec::new(), next: None };
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(key) FROM events WHERE key > ?1")?.query_row([after], |row| row.get(0))?;
    let Some(first) = first else { return Ok(told) };
    let last = first.saturating_add(LOOKED_AT);
    told.next = Some(last);
    let mut statement = connection.prepare_cached(
        "SELECT user, aliases, message, message_at FROM events
         WHERE key BETWEEN ?1 AND ?2 AND organization = ?3 AND (user IS NOT NULL OR aliases IS NOT NULL)",
    )?;
    let mut rows = statement.query(params![first, last, organization.0])?;
    while let Some(row) = rows.next()? {
        let of_event = names_in(row.get(0)?, row.get_ref(1)?.as_blob_or_null().unwrap_or(None));
        let message: Option<i64> = row.get(2)?;
        let is_about = message.is_some_and(|message| messages.contains(&MessageKey(message)));
        if !is_about && !of_event.iter().any(|name| names.contains(name)) {
            continue;
        }
        if let (Some(message), Some(at)) = (message, row.get::<_, Option<i64>>(3)?) {
            told.messages.push((MessageKey(message), UnixMs(at)));
        }
        told.names.extend(of_event);
    }
    Ok(told)
}

/// The names that an event bears.
pub(super) fn names_in(user: Option<Hash16>, aliases: Option<&[u8]>) -> Vec<Hash16> {
    let aliases = aliases.unwrap_or_default().chunks_exact(16).filter_map(|alias| alias.try_into().ok());
    user.into_iter().chain(aliases).collect()
}

/// Whom these messages went to, while that is kept.
fn recipients_of(connection: &Connection, messages: &[(MessageKey, UnixMs)]) -> Result<Vec<Hash16>, Failure> {
    let mut tables: HashMap<String, bool> = HashMap::new();
    let mut found = Vec::new();
    for (message, admitted_at) in messages {
        let day = admitted_at.day();
        for table in [contents_table(day), recipients_table(day)] {
            let is_there = match tables.get(&table) {
                Some(is_there) => *is_there,
                None => {
                    let is_there = exists(connection, &table)?;
                    tables.insert(table.clone(), is_there);
                    is_there
                }
            };
            if is_there {
                let recipient: Option<Hash16> = connection
                    .prepare_cached(&format!("SELECT recipient FROM {table} WHERE message = ?1"))?
                    .query_row([message.0], |row| row.get(0))
                    .optional()?;
                found.extend(recipient);
            }
        }
    }
    Ok(found)
}

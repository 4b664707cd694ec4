//! The other end of keeping: everything about one user of an organization, erased by any one name.
//!
//! A user has a phone number, a user id, a parent of that, and others after a change of number. Which
//! of them go together is in what was stored: names are followed first, then everything that bears
//! one of them is emptied. What is kept as it came (quarantine, raw webhooks) is sealed and bears no
//! name outside, so each is opened and read; what cannot be read is searched for the given name as
//! text, and counted where that finds nothing, so that nobody is told that it is clean.

use std::sync::Arc;

use hashbrown::HashSet;
use serde::Serialize;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::webhook::view::Content;
use turnpike_domain::webhook::{self, Item, View};
use turnpike_store::events::KeptWebhook;
use turnpike_store::messages::Hash16;
use turnpike_store::organizations::Organization;

use crate::Engine;
use crate::control::ControlFault;

/// Kept webhooks opened between two commits.
const PAGE: u32 = 100;

/// What erasing a user came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Erased {
    /// Records that were emptied, webhooks among them.
    pub erased: u64,
    /// Under how many names the user was known, the given one included.
    pub names: usize,
    /// Webhooks in quarantine, and raw ones that no event named, that spoke of the user.
    pub webhooks: u64,
    /// Webhooks in quarantine that nobody can read and that do not hold the name as text: they may
    /// speak of the user all the same, and go by age.
    pub unreadable: u64,
}

/// Who is to be forgotten.
struct Forgotten<'n> {
    organization: OrganizationId,
    /// As it was given.
    name: &'n str,
    /// All that are known.
    names: HashSet<Hash16>,
}

/// What a kept webhook says of the user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Something,
    Nothing,
    /// It cannot be read.
    Unreadable,
}

impl Engine {
    /// Erases a user of an organization: bodies of events and webhooks, contents and answers of
    /// messages, windows and wishes. `user` is a phone number (digits, a `+` in front is taken off) or
    /// a BSUID; every other name that what is kept knows the same user by is erased with it. Done
    /// again it does nothing more, so a call that was cut short is repeated.
    ///
    /// # Errors
    /// A text that can be no user's name, the store's silence.
    pub async fn erase_user(self: &Arc<Self>, organization: &Organization, user: &str) -> Result<Erased, ControlFault> {
        let name = user.trim();
        let name = name.strip_prefix('+').unwrap_or(name);
        let is_name = !name.is_empty() && name.len() <= 200 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !is_name {
            return Err(ControlFault::field(
                "user",
                "must be a phone number in digits with its country code, or a user id such as US.1349",
            ));
        }
        let names = self.store.names_of_user(organization.key, vec![self.user_hash(name)]).await?;
        let forgotten = Forgotten { organization: organization.key, name, names: names.iter().copied().collect() };
        let mut erased = Erased { names: names.len(), ..Erased::default() };
        erased.erased = self.store.erase_user(organization.key, names).await?;
        self.erase_kept_webhooks(&forgotten, &mut erased).await?;
        Ok(erased)
    }

    async fn erase_kept_webhooks(&self, forgotten: &Forgotten<'_>, erased: &mut Erased) -> Result<(), ControlFault> {
        let mut after = None;
        loop {
            let page = self.store.kept_webhooks(after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            let mut about = Vec::new();
            for (place, sealed) in &page {
                match self.says_of(forgotten, *place, sealed) {
                    Says::Something => about.push(*place),
                    // A raw one that cannot be read stands in quarantine, too, and is counted there.
                    Says::Unreadable if matches!(place, KeptWebhook::Quarantined(_)) => erased.unreadable += 1,
                    Says::Unreadable | Says::Nothing => {}
                }
                // Each may have megabytes.
                tokio::task::yield_now().await;
            }
            if !about.is_empty() {
                let emptied = self.store.erase_webhooks(about).await?;
                erased.webhooks += emptied;
                erased.erased += emptied;
            }
        }
        Ok(())
    }

    fn says_of(&self, forgotten: &Forgotten<'_>, place: KeptWebhook, sealed: &[u8]) -> Says {
        let Some(body) = self.open_webhook(sealed) else { return Says::Unreadable };
        let items = match webhook::read(&body) {
            Ok(items) => items,
            Err(_) if holds_name(&body, forgotten.name) => return Says::Something,
            Err(_) => return Says::Unreadable,
        };
        let routes = self.intake.routes.of(&self.directory);
        // What a raw POST says of another organization's chat with the same number is that one's.
        let concerns = |item: &&Item<'_>| match place {
            KeptWebhook::Quarantined(_) => true,
            KeptWebhook::Raw(..) => routes.owner(item).is_none_or(|owner| owner == forgotten.organization),
        };
        let mut says = Says::Nothing;
        for item in items.iter().filter(concerns) {
            let is_named = self.names_said(item).any(|name| forgotten.names.contains(&name));
            if is_named || holds_name(item.raw().as_bytes(), forgotten.name) {
                return Says::Something;
            }
            if matches!(item.view, View::Unreadable(_)) {
                says = Says::Unreadable;
            }
        }
        says
    }

    /// The names that an item gives of its user, those from now on included.
    fn names_said(&self, item: &Item<'_>) -> impl Iterator<Item = Hash16> {
        self.names_of(item.user.as_ref()).into_iter().chain(self.new_names_of(item))
    }

    /// The names that a user has from now on, where the item tells of a change.
    pub(super) fn new_names_of(&self, item: &Item<'_>) -> Vec<Hash16> {
        let View::Message(message) = &item.view else { return Vec::new() };
        let Content::System { now, .. } = &message.content else { return Vec::new() };
        self.names_of(Some(now))
    }
}

/// Whether a name stands in these bytes as a word of its own, not within a longer number.
fn holds_name(bytes: &[u8], name: &str) -> bool {
    let is_of_a_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.windows(name.len()).enumerate().any(|(place, window)| {
        window == name.as_bytes()
            && !is_of_a_word(place.checked_sub(1).and_then(|before| bytes.get(before)))
            && !is_of_a_word(bytes.get(place + name.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_word_of_its_own_alone() {
        for (text, found) in [
            (r#"{"from":"905551112233"}"#, true),
            ("+905551112233", true),
            ("905551112233", true),
            ("9055511122334", false),
            ("1905551112233", false),
            ("wamid.x905551112233", false),
            ("90555111223", false),
            ("", false),
        ] {
            assert_eq!(holds_name(text.as_bytes(), "905551112233"), found, "{text}");
        }
    }
}

//! What a kept webhook says of a user who is to be forgotten ([`crate::erasures`]).
//!
//! A user has a phone number, a user id, a parent of that, and others after a change of number. What is
//! kept as it came (quarantine, raw webhooks) is sealed and bears no name outside, so each is opened and
//! read; what cannot be read is searched for the given name as text, and counted where that finds
//! nothing, so that nobody is told that it is clean.

use hashbrown::HashSet;
use serde::Serialize;
use turnpike_domain::ids::OrganizationId;
use turnpike_domain::webhook::view::Content;
use turnpike_domain::webhook::{self, Item, View};
use turnpike_store::events::KeptWebhook;
use turnpike_store::messages::Hash16;
use uuid::Uuid;

use crate::Engine;

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
pub(crate) struct Forgotten {
    /// `None` where this database does not know the organization.
    pub(crate) organization: Option<OrganizationId>,
    /// Its public id.
    pub(crate) organization_id: Uuid,
    /// As it was given.
    pub(crate) name: String,
    /// All that are known.
    pub(crate) names: HashSet<Hash16>,
}

/// What a kept webhook says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Something,
    Nothing,
    /// It cannot be read.
    Unreadable,
}

impl Engine {
    /// What one says of each of these users; it is opened and read once.
    pub(crate) fn says_of(&self, forgotten: &[&Forgotten], place: KeptWebhook, sealed: &[u8]) -> Vec<Says> {
        let Some(body) = self.open_webhook(sealed) else { return vec![Says::Unreadable; forgotten.len()] };
        let Ok(items) = webhook::read(&body) else {
            let as_text = |one: &&Forgotten| if holds_name(&body, &one.name) { Says::Something } else { Says::Unreadable };
            return forgotten.iter().map(as_text).collect();
        };
        let routes = self.intake.routes.of(&self.directory);
        let mut says = vec![Says::Nothing; forgotten.len()];
        for item in &items {
            // What a raw POST says of another organization's chat with the same number is that one's.
            let owner = match place {
                KeptWebhook::Quarantined(_) => None,
                KeptWebhook::Raw(..) => routes.owner(item),
            };
            let names: Vec<Hash16> = self.names_said(item).collect();
            for (one, says) in forgotten.iter().zip(&mut says) {
                if owner.is_some() && owner != one.organization {
                    continue;
                }
                if names.iter().any(|name| one.names.contains(name)) || holds_name(item.raw().as_bytes(), &one.name) {
                    *says = Says::Something;
                } else if matches!(item.view, View::Unreadable(_)) && *says == Says::Nothing {
                    *says = Says::Unreadable;
                }
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

//! Our tokens in what Meta echoes: which message of ours a status is about, and what its caller had
//! written where our token stands (contract §3.1).
//!
//! A token is opened, not believed: what it names counts only where the message belongs to the
//! application that the status came for, with the same random part. The callers' own texts are read
//! for a whole POST in one look.

use hashbrown::HashMap;
use turnpike_domain::ids::{AttemptToken, MessageKey, OrganizationId};
use turnpike_domain::webhook::{CallbackData, Item, View};
use turnpike_store::StoreError;

use crate::Engine;
use crate::send::stored::Content;
use crate::vault::Purpose;

/// What stands where our tokens stand.
#[derive(Default)]
pub(super) struct Restoring {
    /// Sealed contents of the messages that have a text of their callers'.
    sealed: HashMap<MessageKey, (OrganizationId, Vec<u8>)>,
}

impl Restoring {
    /// Reads what the statuses among `items` need.
    pub(super) async fn of(engine: &Engine, items: &[Item<'_>]) -> Result<Restoring, StoreError> {
        let mut keys: Vec<MessageKey> =
            items.iter().filter_map(|item| engine.token_of(item)).filter(|token| token.has_callback_data).map(|token| token.key).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(Restoring::default());
        }
        let found = engine.store.contents(keys.clone()).await?;
        let sealed = keys.into_iter().zip(found).filter_map(|(key, content)| Some((key, content?))).collect();
        Ok(Restoring { sealed })
    }

    /// The caller's own text of a message; `None` where there is none, it is kept no longer, or the
    /// message is another organization's.
    pub(super) fn text(&self, engine: &Engine, organization: OrganizationId, token: &AttemptToken) -> Option<String> {
        let (owner, sealed) = self.sealed.get(&token.key)?;
        if *owner != organization {
            return None;
        }
        // Sealed for the token's random part: a forged one opens nothing.
        let bytes = engine.vault.open(Purpose::Content, organization, &token.salt, sealed).ok()?;
        Content::decode(&bytes)?.callback_data
    }
}

impl Engine {
    /// Our token in a status.
    pub(super) fn token_of(&self, item: &Item<'_>) -> Option<AttemptToken> {
        let View::Status(status) = &item.view else { return None };
        self.cipher.open_attempt_token(status.callback_data.as_deref()?)
    }
}

/// What becomes of `biz_opaque_callback_data`: our token never leaves, another sender's text stays.
pub(super) fn change_of<'c>(token: Option<&AttemptToken>, text: Option<&'c str>) -> CallbackData<'c> {
    match (token, text) {
        (None, _) => CallbackData::AsItCame,
        (Some(_), Some(text)) => CallbackData::Restored(text),
        (Some(_), None) => CallbackData::Removed,
    }
}

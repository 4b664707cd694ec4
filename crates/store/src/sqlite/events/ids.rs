//! Ids of events towards people, made and opened with the cipher of messages.

use turnpike_domain::ids::MessageCipher;
use turnpike_domain::time::UnixMs;
use uuid::Uuid;

use crate::events::EventKey;

/// The id of the event `key`, recorded `at`.
pub(in crate::sqlite) fn event_id(cipher: &MessageCipher, at: UnixMs, key: EventKey) -> Uuid {
    cipher.event_id(at, key.0)
}

/// The key that an id claims to name; the row decides whether it is true.
pub(in crate::sqlite) fn event_key(cipher: &MessageCipher, id: Uuid) -> Option<EventKey> {
    cipher.open_event_id(id).map(EventKey)
}

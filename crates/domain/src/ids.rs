//! Ids: small integers among ourselves, UUID v7 towards people, tokens towards Meta.
//!
//! A message's public id and its attempt token both carry its integer key, enciphered, so that a
//! look-up needs no index on a random column: the hot tables stay append-only however many
//! messages are stored (ARCHITECTURE.md, "The store").

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::send::Category;
use crate::time::UnixMs;

macro_rules! row_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_key!(
    /// The paying account, as the store counts it. People see its UUID.
    OrganizationId
);
row_key!(
    /// One sending number and its settings, as the store counts it. People see its `appId`.
    ApplicationId
);
row_key!(
    /// One API key, as the store counts it. People see its UUID.
    ApiKeyId
);
row_key!(
    /// A message's place in the order of admission: monotonic, never used twice.
    MessageKey
);

/// A message's id towards people: a UUID v7 whose time is the admission and whose random part is
/// the enciphered [`MessageKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub Uuid);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A UUID v7 from injected time and chance, for organizations, keys and everything rare.
#[must_use]
pub fn uuid_v7(at: UnixMs, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(at.0).unwrap_or(0), &random).into_uuid()
}

/// Enciphers message keys into public ids and attempt tokens, and back.
///
/// A four-round Feistel network over 62 bits with a keyed BLAKE3 as its round function: a
/// permutation, so two keys never share an id, and without the secret an id tells neither the key
/// nor how many messages there are. It hides; it does not authenticate: whoever opens an id must
/// compare it with the stored row.
#[derive(Clone)]
pub struct MessageCipher {
    id_key: [u8; 32],
    event_key: [u8; 32],
    token_key: [u8; 32],
}

impl fmt::Debug for MessageCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageCipher(secret)")
    }
}

/// Bits of a half in the Feistel network; two halves make the 62 random bits of a UUID v7.
const HALF_BITS: u32 = 31;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;

impl MessageCipher {
    /// A cipher from 32 secret bytes (derived from the master key).
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> MessageCipher {
        MessageCipher {
            id_key: blake3::derive_key("turnpike message id v1", secret),
            event_key: blake3::derive_key("turnpike event id v1", secret),
            token_key: blake3::derive_key("turnpike attempt token v1", secret),
        }
    }

    /// A number by which ciphers of different secrets are told apart, and that tells nothing of them:
    /// kept beside what was made with a cipher, so that a start with another one is noticed.
    #[must_use]
    pub fn mark(&self) -> i64 {
        let hash = blake3::keyed_hash(&self.id_key, b"turnpike mark of a cipher v1");
        let first: [u8; 8] = hash.as_bytes()[..8].try_into().unwrap_or_default();
        i64::from_be_bytes(first)
    }

    /// The public id of the message `key`, admitted `at`.
    #[must_use]
    pub fn message_id(&self, at: UnixMs, key: MessageKey) -> MessageId {
        MessageId(public_id(&self.id_key, at, key.0))
    }

    /// The key that a public id claims to name. The row's own id decides whether it is true.
    #[must_use]
    pub fn open_message_id(&self, id: MessageId) -> Option<MessageKey> {
        open_public_id(&self.id_key, id.0).map(MessageKey)
    }

    /// The public id of the event with the store's number `key`, recorded `at`; [`webhook_id`] is
    /// its text towards customers.
    #[must_use]
    pub fn event_id(&self, at: UnixMs, key: i64) -> Uuid {
        public_id(&self.event_key, at, key)
    }

    /// The number that an event's id claims to name. The row decides whether it is true.
    #[must_use]
    pub fn open_event_id(&self, id: Uuid) -> Option<i64> {
        open_public_id(&self.event_key, id)
    }

    /// The text that stands in `biz_opaque_callback_data`: it names message and attempt, and other
    /// apps of the WABA that read it learn nothing that a message does not tell anyway.
    ///
    /// # Panics
    /// Where the attempt's number is past [`ATTEMPT_MAX`]: nobody sends a message sixteen times.
    #[must_use]
    pub fn attempt_token(&self, key: MessageKey, attempt: Attempt, salt: &[u8; 12]) -> String {
        let mut bytes = [0u8; 21];
        bytes[..8].copy_from_slice(&encipher(&self.token_key, key.0.unsigned_abs()).to_be_bytes());
        bytes[8] = attempt.to_byte();
        bytes[9..].copy_from_slice(salt);
        let mut token = String::with_capacity(TOKEN_PREFIX.len() + 28);
        token.push_str(TOKEN_PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut token);
        token
    }

    /// Reads a token back. The salt must be compared with the row's before anything is settled:
    /// after a restore from backup a key can be used anew, its salt never.
    #[must_use]
    pub fn open_attempt_token(&self, token: &str) -> Option<AttemptToken> {
        let bytes: [u8; 21] = URL_SAFE_NO_PAD.decode(token.strip_prefix(TOKEN_PREFIX)?).ok()?.try_into().ok()?;
        let hidden = u64::from_be_bytes(bytes[..8].try_into().ok()?);
        if hidden >> (2 * HALF_BITS) != 0 {
            return None;
        }
        Some(AttemptToken {
            key: MessageKey(i64::try_from(decipher(&self.token_key, hidden)).ok()?),
            attempt: bytes[8] & ATTEMPT_MAX,
            category: Category::from_number(i64::from(bytes[8] >> 4 & 7)),
            has_callback_data: bytes[8] & CALLBACK_DATA_BIT != 0,
            salt: bytes[9..].try_into().ok()?,
        })
    }
}

/// What every attempt token begins with; its number is the format's version.
const TOKEN_PREFIX: &str = "tp1.";

/// Most attempts of one message: the number has four bits of its byte.
pub const ATTEMPT_MAX: u8 = 15;
const CALLBACK_DATA_BIT: u8 = 0x80;

/// One attempt to send a message, as its token tells of it, so that a status can be handled without
/// a look at the message's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which attempt, from 1 to [`ATTEMPT_MAX`].
    pub number: u8,
    /// The category that the hold assumed.
    pub category: Category,
    /// Whether the caller gave callback data of its own, to be restored in every status.
    pub has_callback_data: bool,
}

impl Attempt {
    fn to_byte(self) -> u8 {
        assert!((1..=ATTEMPT_MAX).contains(&self.number), "attempt {} of a message", self.number);
        self.number | self.category.number() << 4 | if self.has_callback_data { CALLBACK_DATA_BIT } else { 0 }
    }
}

/// An attempt token, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptToken {
    /// The message that it names.
    pub key: MessageKey,
    /// Which attempt of it, from 1.
    pub attempt: u8,
    /// The category that the hold assumed; `None` where the token was not made by this version.
    pub category: Option<Category>,
    /// Whether the caller gave callback data of its own.
    pub has_callback_data: bool,
    /// The 12 random bytes that the message's row keeps.
    pub salt: [u8; 12],
}

/// What a webhook's id begins with (Standard Webhooks).
const WEBHOOK_ID_PREFIX: &str = "msg_";

/// The `webhook-id` of an event: `msg_` and its UUID without dashes. The same on every attempt and
/// replay; a receiver dedupes by it.
#[must_use]
pub fn webhook_id(event: Uuid) -> String {
    let mut text = String::with_capacity(WEBHOOK_ID_PREFIX.len() + 32);
    text.push_str(WEBHOOK_ID_PREFIX);
    text.push_str(event.simple().encode_lower(&mut Uuid::encode_buffer()));
    text
}

/// The event that a `webhook-id` names, or the same id written as a UUID.
#[must_use]
pub fn parse_webhook_id(text: &str) -> Option<Uuid> {
    match text.strip_prefix(WEBHOOK_ID_PREFIX) {
        Some(simple) if simple.len() == 32 => Uuid::try_parse(simple).ok(),
        Some(_) => None,
        None if text.len() == 36 => Uuid::try_parse(text).ok(),
        None => None,
    }
}

/// A UUID v7 whose random part is the enciphered number.
fn public_id(secret: &[u8; 32], at: UnixMs, number: i64) -> Uuid {
    let hidden = encipher(secret, number.unsigned_abs());
    // The 12 bits beside the time come from the cipher text too, so that the id is a function of
    // time and number alone.
    let beside = blake3::keyed_hash(secret, &hidden.to_le_bytes());
    let mut random = [0u8; 10];
    random[..2].copy_from_slice(&beside.as_bytes()[..2]);
    random[2..].copy_from_slice(&hidden.to_be_bytes());
    uuid_v7(at, random)
}

fn open_public_id(secret: &[u8; 32], id: Uuid) -> Option<i64> {
    if id.get_version_num() != 7 {
        return None;
    }
    let low = u64::from_be_bytes(id.as_bytes()[8..16].try_into().ok()?) & ((1 << (2 * HALF_BITS)) - 1);
    i64::try_from(decipher(secret, low)).ok()
}

fn round(secret: &[u8; 32], number: u8, half: u64) -> u64 {
    let mut input = [0u8; 9];
    input[0] = number;
    input[1..].copy_from_slice(&half.to_le_bytes());
    let hash = blake3::keyed_hash(secret, &input);
    let first: [u8; 8] = hash.as_bytes()[..8].try_into().unwrap_or_default();
    u64::from_le_bytes(first) & HALF_MASK
}

fn encipher(secret: &[u8; 32], plain: u64) -> u64 {
    let (mut left, mut right) = ((plain >> HALF_BITS) & HALF_MASK, plain & HALF_MASK);
    for number in 0..ROUNDS {
        (left, right) = (right, left ^ round(secret, number, right));
    }
    (left << HALF_BITS) | right
}

fn decipher(secret: &[u8; 32], hidden: u64) -> u64 {
    let (mut left, mut right) = ((hidden >> HALF_BITS) & HALF_MASK, hidden & HALF_MASK);
    for number in (0..ROUNDS).rev() {
        (left, right) = (right ^ round(secret, number, left), left);
    }
    (left << HALF_BITS) | right
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cipher() -> MessageCipher {
        MessageCipher::new(&[7; 32])
    }

    #[test]
    fn neighbouring_messages_have_unrelated_ids() {
        let at = UnixMs(1_795_392_000_000);
        let (one, two) = (cipher().message_id(at, MessageKey(1)), cipher().message_id(at, MessageKey(2)));
        let differing = one.0.as_bytes().iter().zip(two.0.as_bytes()).filter(|(a, b)| a != b).count();
        assert!(differing >= 6, "{one} {two}");
    }

    #[test]
    fn ciphers_of_different_secrets_have_different_marks() {
        assert_eq!(cipher().mark(), cipher().mark());
        assert_ne!(cipher().mark(), MessageCipher::new(&[8; 32]).mark());
    }

    #[test]
    fn text_that_is_no_token_opens_to_nothing() {
        for text in ["", "tp1.", "tp1.AAAA", "tp2.AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "order-7"] {
            assert_eq!(cipher().open_attempt_token(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_id_opens_to_its_key(key in 0i64..(1 << 62), at in 0i64..(1 << 47)) {
            let id = cipher().message_id(UnixMs(at), MessageKey(key));
            prop_assert_eq!(id.0.get_version_num(), 7);
            prop_assert_eq!(cipher().open_message_id(id), Some(MessageKey(key)));
        }

        #[test]
        fn an_events_id_opens_to_its_number_and_is_no_messages(key in 0i64..(1 << 62), at in 0i64..(1 << 47)) {
            let id = cipher().event_id(UnixMs(at), key);
            prop_assert_eq!(id.get_version_num(), 7);
            prop_assert_eq!(cipher().open_event_id(id), Some(key));
            prop_assert_ne!(id, cipher().message_id(UnixMs(at), MessageKey(key)).0);
            let text = webhook_id(id);
            prop_assert!(text.len() == 36 && text.starts_with("msg_"), "{}", text);
            prop_assert_eq!(parse_webhook_id(&text), Some(id));
            prop_assert_eq!(parse_webhook_id(&id.to_string()), Some(id));
        }

        #[test]
        fn a_token_opens_to_what_it_was_made_of(
            key in 0i64..(1 << 62),
            number in 1..=ATTEMPT_MAX,
            category in proptest::sample::select(Category::ALL),
            has_callback_data: bool,
            salt: [u8; 12],
        ) {
            let token = cipher().attempt_token(MessageKey(key), Attempt { number, category, has_callback_data }, &salt);
            prop_assert!(token.len() <= 40);
            let opened = AttemptToken { key: MessageKey(key), attempt: number, category: Some(category), has_callback_data, salt };
            prop_assert_eq!(cipher().open_attempt_token(&token), Some(opened));
        }
    }

    #[test]
    fn what_is_no_webhook_id_names_no_event() {
        for text in ["", "msg_", "msg_00", "00000000000070008000000000000000", "msg_zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "evt_1"] {
            assert_eq!(parse_webhook_id(text), None, "{text}");
        }
    }
}

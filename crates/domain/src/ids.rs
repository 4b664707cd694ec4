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
        let hidden = encipher(&self.id_key, key.0.unsigned_abs());
        // The 12 bits beside the time come from the cipher text too, so that the id is a function
        // of time and key alone.
        let rand_a = blake3::keyed_hash(&self.id_key, &hidden.to_le_bytes()).as_bytes()[0..2].to_vec();
        let mut random = [0u8; 10];
        random[..2].copy_from_slice(&rand_a);
        random[2..].copy_from_slice(&hidden.to_be_bytes());
        MessageId(uuid_v7(at, random))
    }

    /// The key that a public id claims to name. The row's own id decides whether it is true.
    #[must_use]
    pub fn open_message_id(&self, id: MessageId) -> Option<MessageKey> {
        if id.0.get_version_num() != 7 {
            return None;
        }
        let bytes = id.0.as_bytes();
        let low = u64::from_be_bytes(bytes[8..16].try_into().ok()?) & ((1 << (2 * HALF_BITS)) - 1);
        i64::try_from(decipher(&self.id_key, low)).ok().map(MessageKey)
    }

    /// The text that stands in `biz_opaque_callback_data`: it names message and attempt, and other
    /// apps of the WABA that read it learn nothing.
    #[must_use]
    pub fn attempt_token(&self, key: MessageKey, attempt: u8, salt: &[u8; 12]) -> String {
        let mut bytes = [0u8; 21];
        bytes[..8].copy_from_slice(&encipher(&self.token_key, key.0.unsigned_abs()).to_be_bytes());
        bytes[8] = attempt;
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
            attempt: bytes[8],
            salt: bytes[9..].try_into().ok()?,
        })
    }
}

/// What every attempt token begins with; its number is the format's version.
const TOKEN_PREFIX: &str = "tp1.";

/// An attempt token, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptToken {
    /// The message that it names.
    pub key: MessageKey,
    /// Which attempt of it, from 1.
    pub attempt: u8,
    /// The 12 random bytes that the message's row keeps.
    pub salt: [u8; 12],
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
        fn a_token_opens_to_what_it_was_made_of(key in 0i64..(1 << 62), attempt: u8, salt: [u8; 12]) {
            let token = cipher().attempt_token(MessageKey(key), attempt, &salt);
            prop_assert!(token.len() <= 40);
            prop_assert_eq!(cipher().open_attempt_token(&token), Some(AttemptToken { key: MessageKey(key), attempt, salt }));
        }
    }
}

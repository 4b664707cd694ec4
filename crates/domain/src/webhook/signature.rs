//! Signatures, both ways: Meta's `X-Hub-Signature-256` is verified and, over our own bodies, made;
//! Standard Webhooks signatures are made.
//!
//! Everything is HMAC-SHA256 by `ring`, which also compares in constant time. An altered signature
//! is refused whatever was altered: exactly one header, `sha256=` and 64 lower-case hexadecimal
//! digits, as Meta writes it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;

/// Header in which Meta signs, and in which we sign for receivers made for Meta.
pub const HUB_HEADER: &str = "X-Hub-Signature-256";

/// Why a POST is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// WH_002: no signature.
    #[error("there is no signature")]
    Missing,
    /// WH_003: more than one, of another shape, or made with none of the secrets.
    #[error("the signature is wrong")]
    Wrong,
}

/// The app secrets by which Meta may sign, made ready once.
#[derive(Clone)]
pub struct HubSecrets(Vec<hmac::Key>);

impl fmt::Debug for HubSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HubSecrets({} secrets)", self.0.len())
    }
}

impl HubSecrets {
    /// Makes the secrets ready; their order is that of the answers of [`HubSecrets::verify`].
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> HubSecrets {
        HubSecrets(secrets.into_iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())).collect())
    }

    /// Which secret signed `body`. `headers` are all values of [`HUB_HEADER`] that the request has.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn verify<'h>(&self, headers: impl IntoIterator<Item = &'h [u8]>, body: &[u8]) -> Result<usize, NotSigned> {
        let mut headers = headers.into_iter();
        let header = headers.next().ok_or(NotSigned::Missing)?;
        if headers.next().is_some() {
            return Err(NotSigned::Wrong);
        }
        let tag = header.strip_prefix(HUB_PREFIX.as_bytes()).and_then(read_hex).ok_or(NotSigned::Wrong)?;
        self.0.iter().position(|key| hmac::verify(key, body, &tag).is_ok()).ok_or(NotSigned::Wrong)
    }
}

const HUB_PREFIX: &str = "sha256=";

/// The value of [`HUB_HEADER`] for `body`. Towards a customer the secret is the whole `whsec_…`
/// text (contract §7), towards ourselves the app secret.
#[must_use]
pub fn hub_signature(secret: &[u8], body: &[u8]) -> String {
    hub_value(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), body))
}

fn hub_value(tag: &hmac::Tag) -> String {
    let mut value = String::with_capacity(HUB_PREFIX.len() + 64);
    value.push_str(HUB_PREFIX);
    for byte in tag.as_ref() {
        value.push(char::from(HEX[usize::from(byte >> 4)]));
        value.push(char::from(HEX[usize::from(byte & 15)]));
    }
    value
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// 32 bytes of exactly 64 lower-case digits.
fn read_hex(digits: &[u8]) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = digits.try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |character: u8| match character {
            b'0'..=b'9' => Some(character - b'0'),
            b'a'..=b'f' => Some(character - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The value of `webhook-signature`: one `v1,<base64>` per secret, newest first, separated by
/// spaces, over `{id}.{timestamp}.{body}`.
#[must_use]
pub fn standard_signature(secrets: &[&SigningSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let mut value = String::with_capacity(secrets.len() * 48);
    for secret in secrets {
        let mut context = hmac::Context::with_key(&secret.key);
        context.update(id.as_bytes());
        context.update(b".");
        context.update(itoa::Buffer::new().format(timestamp_s).as_bytes());
        context.update(b".");
        context.update(body);
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str("v1,");
        STANDARD.encode_string(context.sign(), &mut value);
    }
    value
}

/// What signing secrets begin with.
pub const SECRET_PREFIX: &str = "whsec_";
/// What bearers that we make begin with.
pub const BEARER_PREFIX: &str = "whb_";
/// Fewest bytes of a signing secret (Standard Webhooks).
pub const SECRET_BYTES_MIN: usize = 24;
/// Most bytes of a signing secret (Standard Webhooks).
pub const SECRET_BYTES_MAX: usize = 64;
/// Fewest characters of a customer's own bearer: it is a password that nobody types (contract §5).
pub const BEARER_CHARS_MIN: usize = 32;
/// Most characters of a customer's own bearer: it stands in a header of every delivery.
pub const BEARER_CHARS_MAX: usize = 512;

/// An endpoint's signing secret: `whsec_` and the base64 of 24–64 bytes.
#[derive(Clone)]
pub struct SigningSecret {
    text: Box<str>,
    /// Of the decoded bytes, made ready once.
    key: hmac::Key,
    /// Of the whole text, likewise.
    hub_key: hmac::Key,
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(secret)")
    }
}

impl SigningSecret {
    /// A new one of 32 random bytes.
    #[must_use]
    pub fn generate(random: &[u8; 32]) -> SigningSecret {
        let mut text = String::with_capacity(SECRET_PREFIX.len() + 44);
        text.push_str(SECRET_PREFIX);
        STANDARD.encode_string(random, &mut text);
        SigningSecret::of(text.into(), random)
    }

    /// Reads one back, or a customer's own. The base64 must be of the standard alphabet with its
    /// padding, since receivers' libraries decode the same text.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence part that does not repeat it.
    pub fn parse(text: &str) -> Result<SigningSecret, &'static str> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or("must begin with whsec_")?;
        let bytes = STANDARD.decode(encoded).map_err(|_| "must be whsec_ followed by base64 with its padding")?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) {
            return Err("must hold 24 to 64 bytes behind whsec_");
        }
        Ok(SigningSecret::of(text.into(), &bytes))
    }

    fn of(text: Box<str>, bytes: &[u8]) -> SigningSecret {
        let hub_key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        SigningSecret { text, key: hmac::Key::new(hmac::HMAC_SHA256, bytes), hub_key }
    }

    /// [`hub_signature`] by this secret, whose key is ready.
    #[must_use]
    pub fn hub_signature(&self, body: &[u8]) -> String {
        hub_value(&hmac::sign(&self.hub_key, body))
    }

    /// The whole text: shown once, sealed in the store, and the key of [`hub_signature`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A new bearer of 32 random bytes: `whb_` and 43 characters that need no escapes anywhere.
#[must_use]
pub fn generate_bearer(random: &[u8; 32]) -> String {
    let mut text = String::with_capacity(BEARER_PREFIX.len() + 43);
    text.push_str(BEARER_PREFIX);
    URL_SAFE_NO_PAD.encode_string(random, &mut text);
    text
}

/// Whether a customer's own text can be a bearer.
///
/// # Errors
/// What is wrong with it, as a sentence part that does not repeat it.
pub fn check_bearer(text: &str) -> Result<(), &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be visible ASCII characters without spaces");
    }
    if text.len() < BEARER_CHARS_MIN {
        return Err("must have at least 32 characters");
    }
    if text.len() > BEARER_CHARS_MAX {
        return Err("must have at most 512 characters");
    }
    if text.starts_with(SECRET_PREFIX) {
        return Err("must not be a signing secret: a bearer lands in logs");
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/signature.rs"]
mod tests;

//! Secrets that callers show us: API keys and the operator's token.
//!
//! Each ends in a checksum, so that junk is refused without a look-up (contract §5), and each is
//! remembered only as a keyed hash. The secret is the pepper: a stolen table of digests opens
//! nothing without it. Random bytes come in as arguments, since this crate has no chance of its
//! own.

use std::fmt;

use crate::send::Mode;

/// Which of the two kinds of API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// `pk_…`: sends for real.
    Live,
    /// `sk_…`: the same calls, never reaches Meta.
    Sandbox,
}

impl KeyKind {
    /// Both kinds.
    pub const ALL: &'static [KeyKind] = &[KeyKind::Live, KeyKind::Sandbox];

    /// What a key of this kind begins with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            KeyKind::Live => "pk_",
            KeyKind::Sandbox => "sk_",
        }
    }

    /// The mode of messages that a key of this kind sends, before `is_fake` is looked at.
    #[must_use]
    pub fn mode(self) -> Mode {
        match self {
            KeyKind::Live => Mode::Live,
            KeyKind::Sandbox => Mode::Sandbox,
        }
    }
}

/// The text of an API key: `pk_` or `sk_`, 26 random base62 characters, 6 of checksum.
///
/// Shown once, when it is made; afterwards only its [`KeyDigest`] is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKeyText(String);

/// Random base62 characters in an API key: about 154 bits.
const API_KEY_RANDOM: usize = 26;
/// Base62 characters that hold a CRC32; six are enough, since 62⁶ > 2³².
const CHECKSUM_LEN: usize = 6;
/// Length of every API key.
const API_KEY_LEN: usize = 3 + API_KEY_RANDOM + CHECKSUM_LEN;

impl ApiKeyText {
    /// The key that 32 random bytes make. Of the 256 bits some 154 end in the text, evenly to one
    /// part in 2¹⁰¹, so that nothing has to be drawn again.
    #[must_use]
    pub fn generate(kind: KeyKind, random: [u8; 32]) -> ApiKeyText {
        ApiKeyText(checksummed(kind.prefix(), random, API_KEY_RANDOM))
    }

    /// Reads what a caller presents. `None` for whatever cannot be a key: wrong prefix, length,
    /// alphabet or checksum. No look-up is worth making for those.
    #[must_use]
    pub fn parse(text: &str) -> Option<Presented<'_>> {
        let kind = match text.as_bytes().first_chunk::<3>()? {
            b"pk_" => KeyKind::Live,
            b"sk_" => KeyKind::Sandbox,
            _ => return None,
        };
        is_checksummed(text, API_KEY_LEN).then_some(Presented { kind, text })
    }

    /// The secret itself, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key as a caller would present it.
    #[must_use]
    pub fn presented(&self) -> Presented<'_> {
        let kind = if self.0.starts_with(KeyKind::Sandbox.prefix()) { KeyKind::Sandbox } else { KeyKind::Live };
        Presented { kind, text: &self.0 }
    }
}

impl fmt::Debug for ApiKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.presented().fmt(f)
    }
}

/// A well-formed API key as it came in: worth looking up, not yet known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    kind: KeyKind,
    text: &'a str,
}

impl<'a> Presented<'a> {
    /// Live or sandbox, by its prefix.
    #[must_use]
    pub fn kind(self) -> KeyKind {
        self.kind
    }

    /// What the table of keys is searched by.
    #[must_use]
    pub fn digest(self, pepper: &[u8; 32]) -> KeyDigest {
        KeyDigest::of(pepper, self.text)
    }

    /// The first 8 characters, by which people recognise a key; not secret.
    #[must_use]
    pub fn prefix(self) -> &'a str {
        &self.text[..8]
    }

    /// The last 4 characters. They belong to the checksum and give nothing of the secret away that
    /// could be used.
    #[must_use]
    pub fn last_four(self) -> &'a str {
        &self.text[API_KEY_LEN - 4..]
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", self.prefix(), self.last_four())
    }
}

/// A keyed BLAKE3 of a secret: what is stored and searched instead of it.
///
/// An index by digest needs no constant-time comparison: without the pepper nobody can choose
/// digests that share a beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// The digest of `text` under `pepper`.
    #[must_use]
    pub fn of(pepper: &[u8; 32], text: &str) -> KeyDigest {
        KeyDigest(*blake3::keyed_hash(pepper, text.as_bytes()).as_bytes())
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyDigest({:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2])
    }
}

/// The token of the operator's commands: `op_`, 43 base62 characters (256 bits), 6 of checksum.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorToken(String);

/// Base62 characters that hold 256 bits.
const OPERATOR_TOKEN_RANDOM: usize = 43;
const OPERATOR_TOKEN_PREFIX: &str = "op_";
const OPERATOR_TOKEN_LEN: usize = OPERATOR_TOKEN_PREFIX.len() + OPERATOR_TOKEN_RANDOM + CHECKSUM_LEN;

impl OperatorToken {
    /// The token that 32 random bytes make; all 256 bits are in it.
    #[must_use]
    pub fn generate(random: [u8; 32]) -> OperatorToken {
        OperatorToken(checksummed(OPERATOR_TOKEN_PREFIX, random, OPERATOR_TOKEN_RANDOM))
    }

    /// Reads what a caller presents; `None` for whatever cannot be an operator's token.
    #[must_use]
    pub fn parse(text: &str) -> Option<OperatorToken> {
        (text.starts_with(OPERATOR_TOKEN_PREFIX) && is_checksummed(text, OPERATOR_TOKEN_LEN)).then(|| OperatorToken(text.to_owned()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored and compared instead of the token.
    #[must_use]
    pub fn digest(&self, pepper: &[u8; 32]) -> KeyDigest {
        KeyDigest::of(pepper, &self.0)
    }

    /// The first 8 characters, by which people recognise it; not secret.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..8]
    }

    /// The last 4 characters, which belong to the checksum.
    #[must_use]
    pub fn last_four(&self) -> &str {
        &self.0[OPERATOR_TOKEN_LEN - 4..]
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", self.prefix(), self.last_four())
    }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `prefix`, `len` base62 characters of `random`, and the checksum of both.
fn checksummed(prefix: &str, random: [u8; 32], len: usize) -> String {
    let mut text = String::with_capacity(prefix.len() + len + CHECKSUM_LEN);
    text.push_str(prefix);
    let mut rest = random;
    for _ in 0..len {
        text.push(char::from(BASE62[usize::from(divide_by_62(&mut rest))]));
    }
    for digit in checksum(text.as_bytes()) {
        text.push(char::from(digit));
    }
    text
}

/// Divides a big-endian number by 62 in place and gives the remainder.
fn divide_by_62(number: &mut [u8; 32]) -> u8 {
    let mut remainder = 0u16;
    for byte in number.iter_mut() {
        let value = remainder << 8 | u16::from(*byte);
        *byte = u8::try_from(value / 62).expect("a remainder below 62 leaves a quotient below 256");
        remainder = value % 62;
    }
    u8::try_from(remainder).expect("a remainder of 62 is below 62")
}

/// The CRC32 of `body` as six base62 digits, most significant first.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut crc = crc32fast::hash(body);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(crc % 62) as usize];
        crc /= 62;
    }
    digits
}

/// Whether `text` has this length, is base62 after its three characters of prefix, and ends in its
/// own checksum.
fn is_checksummed(text: &str, len: usize) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != len || !bytes[3..].iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let (body, claimed) = bytes.split_at(len - CHECKSUM_LEN);
    checksum(body) == claimed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEPPER: [u8; 32] = [9; 32];

    #[test]
    fn a_key_has_the_published_shape() {
        let key = ApiKeyText::generate(KeyKind::Live, [1; 32]);
        assert!(key.reveal().starts_with("pk_"));
        assert_eq!(key.reveal().len(), 35);
        assert!(ApiKeyText::generate(KeyKind::Sandbox, [1; 32]).reveal().starts_with("sk_"));
    }

    #[test]
    fn the_checksum_is_the_crc32_of_all_before_it() {
        // CRC32("123456789") is 0xCBF43926, the check value of the algorithm; 3421780262 in base62.
        assert_eq!(&checksum(b"123456789"), b"3jZRME");
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn junk_is_refused_without_a_look_up() {
        let good = ApiKeyText::generate(KeyKind::Live, [3; 32]).reveal().to_owned();
        let sandbox_twin = good.replacen("pk_", "sk_", 1);
        for junk in [
            "",
            "pk_",
            "pk_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            &good[..34],
            &format!("{good}0"),
            &format!(" {}", &good[..34]),
            &sandbox_twin,
            &good.replacen("pk_", "PK_", 1),
            "pk_ééééééééééééééé1é",
        ] {
            assert!(ApiKeyText::parse(junk).is_none(), "{junk}");
        }
        assert!(ApiKeyText::parse(&good).is_some());
    }

    #[test]
    fn no_secret_is_shown_by_debug() {
        let key = ApiKeyText::generate(KeyKind::Live, [5; 32]);
        let token = OperatorToken::generate([6; 32]);
        let secret_middle = &key.reveal()[8..29];
        for shown in [format!("{key:?}"), format!("{:?}", key.presented()), format!("{token:?}"), format!("{:?}", token.digest(&PEPPER))] {
            assert!(!shown.contains(secret_middle) && !shown.contains(&token.reveal()[8..46]), "{shown}");
            assert!(shown.len() < 24, "{shown}");
        }
    }

    #[test]
    fn another_pepper_gives_another_digest() {
        let key = ApiKeyText::generate(KeyKind::Live, [5; 32]);
        assert_ne!(key.presented().digest(&PEPPER), key.presented().digest(&[8; 32]));
    }

    #[test]
    fn an_operators_token_holds_all_its_random_bits() {
        let mut top = [0; 32];
        top[0] = 0x80;
        assert_ne!(OperatorToken::generate(top), OperatorToken::generate([0; 32]));
        let token = OperatorToken::generate([255; 32]);
        assert_eq!(token.reveal().len(), 52);
        assert_eq!(OperatorToken::parse(token.reveal()), Some(token));
        assert_eq!(OperatorToken::parse("op_"), None);
        assert_eq!(OperatorToken::parse(ApiKeyText::generate(KeyKind::Live, [1; 32]).reveal()), None);
    }

    proptest! {
        #[test]
        fn a_generated_key_reads_back(random: [u8; 32], sandbox: bool) {
            let kind = if sandbox { KeyKind::Sandbox } else { KeyKind::Live };
            let key = ApiKeyText::generate(kind, random);
            let read = ApiKeyText::parse(key.reveal()).expect("a generated key is well formed");
            prop_assert_eq!(read.kind(), kind);
            prop_assert_eq!(read.prefix(), &key.reveal()[..8]);
            prop_assert_eq!(read.last_four(), &key.reveal()[31..]);
            prop_assert_eq!(read.digest(&PEPPER), KeyDigest::of(&PEPPER, key.reveal()));
        }

        #[test]
        fn any_one_wrong_character_is_noticed(random: [u8; 32], place in 3usize..35, other in 0usize..62) {
            let mut text = ApiKeyText::generate(KeyKind::Live, random).reveal().to_owned().into_bytes();
            prop_assume!(text[place] != BASE62[other]);
            text[place] = BASE62[other];
            prop_assert!(ApiKeyText::parse(std::str::from_utf8(&text).expect("ascii")).is_none());
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = ApiKeyText::parse(&text);
            let _ = OperatorToken::parse(&text);
        }
    }
}

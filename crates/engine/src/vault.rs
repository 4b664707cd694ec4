//! The master key, and everything that is secret because of it.
//!
//! One key of 32 bytes lies beside the database and never in it, nor in a backup: who has only the
//! database or only the key has nothing. From it are derived, each under a context of its own so
//! that no two uses share a key: the pepper of API keys, the secret of message ids and attempt
//! tokens, the keys of look-up hashes, and for every purpose and organization a key that seals.
//! A context ends in a version: changing a derivation means a new version beside the old one,
//! since stored rows were made by the old.

mod master_key;

use std::fmt;

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use turnpike_domain::ids::{MessageCipher, OrganizationId};
use zeroize::Zeroizing;

pub use self::master_key::{MasterKey, MasterKeyError};
use crate::entropy::Entropy;

/// Length of every key.
const KEY_LEN: usize = 32;

/// What sealed bytes are for. Bytes sealed for one purpose do not open for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Meta's access token of an application.
    Token,
    /// Recipient, body and callback data of a message.
    Content,
    /// The answer that a message got.
    Answer,
    /// An event's delivery, the bytes that an endpoint gets.
    Event,
    /// A webhook of Meta's as it came, or the part of it that is in quarantine.
    Webhook,
    /// An endpoint's signing secrets, bearer and headers.
    Endpoint,
    /// The names of a user who is to be forgotten.
    Erasure,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 7] =
        [Purpose::Token, Purpose::Content, Purpose::Answer, Purpose::Event, Purpose::Webhook, Purpose::Endpoint, Purpose::Erasure];

    /// Unique, and never changed: stored rows were sealed under it.
    fn context(self) -> &'static str {
        match self {
            Purpose::Token => "turnpike seal application token v1",
            Purpose::Content => "turnpike seal message content v1",
            Purpose::Answer => "turnpike seal message answer v1",
            Purpose::Event => "turnpike seal event v1",
            Purpose::Webhook => "turnpike seal webhook v1",
            Purpose::Endpoint => "turnpike seal endpoint v1",
            Purpose::Erasure => "turnpike seal erasure v1",
        }
    }
}

/// Sealed bytes that do not open: sealed under another master key, purpose, organization or row, or
/// changed since. Which of them cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed bytes do not open: they were changed or moved, or the master key is another one")]
pub struct Unsealable;

/// Seals, opens and hashes with keys derived from the master key.
pub struct Vault {
    pepper: Zeroizing<[u8; KEY_LEN]>,
    message_secret: Zeroizing<[u8; KEY_LEN]>,
    sealing: [Zeroizing<[u8; KEY_LEN]>; Purpose::ALL.len()],
    idempotency: Hasher16,
    fingerprint: Hasher16,
    wamid: Hasher16,
    recipient: Hasher16,
    event: Hasher16,
}

impl Vault {
    /// Derives every key.
    #[must_use]
    pub fn new(master: &MasterKey) -> Vault {
        Vault {
            pepper: master.derive("turnpike api key pepper v1"),
            message_secret: master.derive("turnpike message cipher v1"),
            sealing: Purpose::ALL.map(|purpose| master.derive(purpose.context())),
            idempotency: Hasher16(master.derive("turnpike idempotency key hash v1")),
            fingerprint: Hasher16(master.derive("turnpike request fingerprint v1")),
            wamid: Hasher16(master.derive("turnpike wamid hash v1")),
            recipient: Hasher16(master.derive("turnpike recipient hash v1")),
            event: Hasher16(master.derive("turnpike event identity hash v1")),
        }
    }

    /// What API keys and operator tokens are hashed under (`domain::api_key`).
    #[must_use]
    pub fn pepper(&self) -> &[u8; KEY_LEN] {
        &self.pepper
    }

    /// Makes and opens public message ids and attempt tokens.
    #[must_use]
    pub fn message_cipher(&self) -> MessageCipher {
        MessageCipher::new(&self.message_secret)
    }

    /// Hashes an Idempotency-Key in its scope.
    #[must_use]
    pub fn idempotency(&self) -> &Hasher16 {
        &self.idempotency
    }

    /// Hashes what makes two requests the same (contract §3.5).
    #[must_use]
    pub fn fingerprint(&self) -> &Hasher16 {
        &self.fingerprint
    }

    /// Hashes a wamid.
    #[must_use]
    pub fn wamid(&self) -> &Hasher16 {
        &self.wamid
    }

    /// Hashes a recipient.
    #[must_use]
    pub fn recipient(&self) -> &Hasher16 {
        &self.recipient
    }

    /// Hashes what makes an event the same when Meta repeats it.
    #[must_use]
    pub fn event(&self) -> &Hasher16 {
        &self.event
    }

    /// Seals `plaintext` for one purpose and organization. `row` is bound in, not kept: whatever
    /// names the row that will hold the bytes (a token's application, a message's salt), so that
    /// they do not open when they are moved to another. 41 bytes longer than the plaintext.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, organization: OrganizationId, row: &[u8], plaintext: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        // 24 random bytes: so many that chance never repeats one, whatever is sealed.
        entropy.fill(&mut nonce);
        let mut sealed = Vec::with_capacity(HEAD_LEN + plaintext.len() + TAG_LEN);
        sealed.push(SEALED_V1);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (key, rest) = self.cipher(purpose, organization, &nonce);
        let tag = key
            .seal_in_place_separate_tag(rest, Aad::from(row), &mut sealed[HEAD_LEN..])
            .expect("only 256 GiB are too long to seal, and no body is");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`Vault::seal`] made for the same purpose, organization and row.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, purpose: Purpose, organization: OrganizationId, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let (head, rest) = sealed.split_at_checked(HEAD_LEN).ok_or(Unsealable)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(Unsealable)?;
        // The version byte chooses how to read, so it needs no seal: another one opens nothing.
        if head[0] != SEALED_V1 {
            return Err(Unsealable);
        }
        let nonce = head[1..].try_into().map_err(|_| Unsealable)?;
        let (key, rest) = self.cipher(purpose, organization, nonce);
        let mut plaintext = body.to_vec();
        key.open_in_place_separate_tag(rest, Aad::from(row), Tag::from(*tag), &mut plaintext, 0..).map_err(|_| Unsealable)?;
        Ok(plaintext)
    }

    /// XChaCha20-Poly1305, put together: HChaCha20 turns the organization's key and the first 16
    /// bytes of the nonce into a key that is used once, and the other 8 are ChaCha20-Poly1305's
    /// nonce. The organization's key is derived at each use: that costs 0.06 µs, less than a shared
    /// map of ciphers would, and no such map lies in memory.
    fn cipher(&self, purpose: Purpose, organization: OrganizationId, nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
        let (first, last) = nonce.split_first_chunk::<16>().expect("a nonce has more than 16 bytes");
        let key = Zeroizing::new(*blake3::keyed_hash(&self.sealing[purpose as usize], &organization.0.to_le_bytes()).as_bytes());
        let once = Zeroizing::new(hchacha::<R20>((&*key).into(), first.into()).0);
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*once).expect("the key has the cipher's length");
        let mut rest = [0; 12];
        rest[4..].copy_from_slice(last);
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(secret)")
    }
}

/// The first byte of everything sealed; another format takes another number.
const SEALED_V1: u8 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 1 + NONCE_LEN;

/// Hashes short secrets to 16 bytes that the database may hold: without the key nobody can try
/// phone numbers against them.
pub struct Hasher16(Zeroizing<[u8; KEY_LEN]>);

impl Hasher16 {
    /// The hash of `parts` in order. Each part's length goes in too, so that `["ab", "c"]` and
    /// `["a", "bc"]` differ.
    #[must_use]
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        hash
    }
}

impl fmt::Debug for Hasher16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher16(secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::entropy::{SeededEntropy, SystemEntropy};

    const ACME: OrganizationId = OrganizationId(1);
    const OTHER: OrganizationId = OrganizationId(2);

    fn vault() -> Vault {
        Vault::new(&MasterKey::from_bytes([7; 32]))
    }

    #[test]
    fn nothing_secret_is_shown() {
        let master = MasterKey::from_bytes([7; 32]);
        let vault = Vault::new(&master);
        assert_eq!(
            format!("{master:?} {vault:?} {:?} {:?}", vault.recipient(), vault.message_cipher()),
            "MasterKey(secret) Vault(secret) Hasher16(secret) MessageCipher(secret)"
        );
    }

    #[test]
    fn no_two_uses_share_a_key() {
        let master = MasterKey::from_bytes([7; 32]);
        let vault = Vault::new(&master);
        let mut keys: Vec<[u8; 32]> =
            [&vault.idempotency, &vault.fingerprint, &vault.wamid, &vault.recipient, &vault.event].map(|hasher| *hasher.0).to_vec();
        keys.extend(vault.sealing.iter().map(|key| **key));
        keys.extend([*vault.pepper, *vault.message_secret, [7; 32]]);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
    }

    #[test]
    fn what_was_derived_once_is_derived_for_ever() {
        // Stored rows depend on these: a change here needs a new version beside the old one.
        let vault = vault();
        let seen = [
            hex::encode(&vault.pepper()[..8]),
            hex::encode(&vault.message_secret[..8]),
            hex::encode(vault.idempotency().hash(&[b"a"])),
            hex::encode(vault.fingerprint().hash(&[b"a"])),
            hex::encode(vault.wamid().hash(&[b"a"])),
            hex::encode(vault.recipient().hash(&[b"a"])),
            hex::encode(&vault.sealing[0][..8]),
            hex::encode(&vault.sealing[1][..8]),
            hex::encode(&vault.sealing[2][..8]),
        ];
        assert_eq!(seen, DERIVED_V1);
        let sealed = hex::decode(SEALED_EXAMPLE_V1).expect("hexadecimal");
        assert_eq!(vault.open(Purpose::Content, ACME, b"row", &sealed), Ok(b"hello".to_vec()));
    }

    const DERIVED_V1: [&str; 9] = [
        "7a2c104b3ffafc3b",
        "5406783ada8d7393",
        "57f221d496b4a293406b15e5bac86d20",
        "9e8d9ce00817638d81e99f7f6bbda7c5",
        "3d9ce3c01895441c84322d799e60ea91",
        "060b9861a82ecbe458a3288dbc0a8800",
        "a2074b23b695e69e",
        "045d6b0a7ffd63e8",
        "a5c05c500cdd2d33",
    ];
    const SEALED_EXAMPLE_V1: &str = "019a3744504560639ec670b7a17d492b273e077b0a96bef58b32f4a5bf878f16adcccb815dbab540b2f47a4b22e8";

    #[test]
    fn parts_of_a_hash_do_not_run_together() {
        let vault = vault();
        let hash = |parts: &[&[u8]]| vault.idempotency().hash(parts);
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
        assert_ne!(vault.wamid().hash(&[b"ab"]), vault.recipient().hash(&[b"ab"]));
    }

    #[test]
    fn sealed_bytes_open_nowhere_but_where_they_belong() {
        let vault = vault();
        let places: Vec<(Purpose, OrganizationId, &[u8])> = Purpose::ALL
            .into_iter()
            .flat_map(|purpose| [ACME, OTHER].map(|organization| (purpose, organization)))
            .flat_map(|(purpose, organization)| [&b"row 1"[..], b"row 2", b""].map(|row| (purpose, organization, row)))
            .collect();
        let stranger = Vault::new(&MasterKey::from_bytes([8; 32]));
        let mut moved = 0;
        for from in &places {
            let sealed = vault.seal(from.0, from.1, from.2, b"a token", &SystemEntropy);
            assert_eq!(stranger.open(from.0, from.1, from.2, &sealed), Err(Unsealable));
            for to in &places {
                let opened = vault.open(to.0, to.1, to.2, &sealed);
                if from == to {
                    assert_eq!(opened.as_deref(), Ok(&b"a token"[..]));
                } else {
                    assert_eq!(opened, Err(Unsealable), "from {from:?} to {to:?}");
                    moved += 1;
                }
            }
        }
        assert_eq!(moved, places.len() * (places.len() - 1));
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let vault = vault();
        let sealed = vault.seal(Purpose::Answer, ACME, b"row", b"the answer", &SystemEntropy);
        assert_eq!(sealed.len(), 10 + 41);
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(vault.open(Purpose::Answer, ACME, b"row", &changed), Err(Unsealable), "bit {bit} of byte {at}");
            }
            assert_eq!(vault.open(Purpose::Answer, ACME, b"row", &sealed[..at]), Err(Unsealable), "cut at {at}");
        }
        let longer = [&sealed[..], b"x"].concat();
        assert_eq!(vault.open(Purpose::Answer, ACME, b"row", &longer), Err(Unsealable));
    }

    #[test]
    fn the_same_text_is_sealed_differently_each_time() {
        let (vault, chance) = (vault(), SeededEntropy::new(1));
        let sealed: HashSet<Vec<u8>> = (0..1_000).map(|_| vault.seal(Purpose::Token, ACME, b"", b"same", &chance)).collect();
        let nonces: HashSet<&[u8]> = sealed.iter().map(|sealed| &sealed[1..HEAD_LEN]).collect();
        assert_eq!((sealed.len(), nonces.len()), (1_000, 1_000));
    }

    proptest! {
        #[test]
        fn what_is_sealed_comes_back(
            plaintext in proptest::collection::vec(any::<u8>(), 0..3_000),
            row in proptest::collection::vec(any::<u8>(), 0..40),
            organization: i64,
            purpose in proptest::sample::select(Purpose::ALL.to_vec()),
        ) {
            let vault = vault();
            let sealed = vault.seal(purpose, OrganizationId(organization), &row, &plaintext, &SystemEntropy);
            prop_assert_eq!(sealed.len(), plaintext.len() + 41);
            prop_assert_eq!(vault.open(purpose, OrganizationId(organization), &row, &sealed), Ok(plaintext));
        }

        #[test]
        fn the_cipher_is_the_one_that_others_implement(
            plaintext in proptest::collection::vec(any::<u8>(), 0..600),
            row in proptest::collection::vec(any::<u8>(), 0..40),
            seed: u64,
        ) {
            use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
            let vault = vault();
            let sealed = vault.seal(Purpose::Token, ACME, &row, &plaintext, &SeededEntropy::new(seed));
            let mut nonce = [0; NONCE_LEN];
            SeededEntropy::new(seed).fill(&mut nonce);
            let key = blake3::keyed_hash(&vault.sealing[Purpose::Token as usize], &ACME.0.to_le_bytes());
            let mut theirs = plaintext;
            let tag = chacha20poly1305::XChaCha20Poly1305::new(key.as_bytes().into())
                .encrypt_inout_detached(&nonce.into(), &row, theirs.as_mut_slice().into())
                .expect("short enough");
            prop_assert_eq!(sealed, [&[SEALED_V1][..], &nonce, &theirs, &tag].concat());
        }

        #[test]
        fn bytes_that_nobody_sealed_open_to_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(vault().open(Purpose::Content, ACME, b"row", &bytes), Err(Unsealable));
        }
    }
}

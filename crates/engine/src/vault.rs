//! The master key, and everything that is secret because of it.
//!
//! One key of 32 bytes lies beside the database and never in it, nor in a backup: who has only the
//! database or only the key has nothing. From it are derived, each under a context of its own so
//! that no two uses share a key: the pepper of API keys, the secret of message ids and attempt
//! tokens, the keys of look-up hashes, and for every purpose and organization a key that seals.
//! A context ends in a version: changing a derivation means a new version beside the old one,
//! since stored rows were made by the old.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};
use turnpike_domain::ids::{MessageCipher, OrganizationId};
use zeroize::Zeroizing;

use crate::entropy::Entropy;

/// The master key. Shown by nothing; wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

const KEY_LEN: usize = 32;

/// Why there is no master key to start with. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Not 64 hexadecimal digits.
    #[error(
        "a master key is 64 hexadecimal digits (32 bytes); {origin} holds something else. Put the right key back, from where you keep its copy"
    )]
    Malformed {
        /// The file, or what the program calls the place.
        origin: String,
    },
    /// Others than its owner may read or write the file.
    #[error(
        "the master key file {path} is open to other users (mode {mode:04o}). Run `chmod 600 {path}`, and if others had access to this machine, treat what the key seals as known to them"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a socket, a device.
    #[error("the master key {path} is not a file. Put the key's file there, or configure another path")]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the master key file {path} cannot be read. See that it exists and belongs to the user that runs the gateway")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A new key cannot be written.
    #[error("a new master key cannot be written to {path}. See that the folder exists and that the gateway may write there")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl MasterKey {
    /// A key from its bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> MasterKey {
        MasterKey(Zeroizing::new(bytes))
    }

    /// A key from its hexadecimal text, with or without white space around it; `origin` names the
    /// place in the error (never the text itself).
    ///
    /// # Errors
    /// [`MasterKeyError::Malformed`].
    pub fn parse(text: &str, origin: &str) -> Result<MasterKey, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        match hex::decode_to_slice(text.trim_ascii(), &mut *bytes) {
            Ok(()) => Ok(MasterKey(bytes)),
            Err(_) => Err(MasterKeyError::Malformed { origin: origin.to_owned() }),
        }
    }

    /// The key in the file `path`, which only its owner may be able to read.
    ///
    /// # Errors
    /// [`MasterKeyError`], all but `Unwritable`.
    pub fn load(path: &Path) -> Result<MasterKey, MasterKeyError> {
        let unreadable = |source| MasterKeyError::Unreadable { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(unreadable)?;
        // Asked of the open file, so that what is checked is what is read.
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(MasterKeyError::NotAFile { path: path.to_owned() });
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::TooOpen { path: path.to_owned(), mode });
        }
        let malformed = || MasterKeyError::Malformed { origin: path.display().to_string() };
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_MAX));
        file.take(FILE_MAX as u64).read_to_end(&mut text).map_err(unreadable)?;
        MasterKey::parse(std::str::from_utf8(&text).map_err(|_| malformed())?, &path.display().to_string())
    }

    /// The key in the file `path`; where there is none, makes one there (0600, hexadecimal with a
    /// newline), whole and on disk before it returns.
    ///
    /// A new key opens nothing that an old one sealed: a caller that finds a database without its
    /// key must use [`MasterKey::load`], whose refusal says what is missing. The caller holds the
    /// data folder's lock, so no second process makes a key at the same time.
    ///
    /// # Errors
    /// [`MasterKeyError`].
    pub fn load_or_create(path: &Path, entropy: &dyn Entropy) -> Result<MasterKey, MasterKeyError> {
        match MasterKey::load(path) {
            Err(MasterKeyError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            loaded => return loaded,
        }
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(&mut *bytes);
        let mut text = Zeroizing::new(hex::encode(*bytes));
        text.push('\n');
        write_new(path, text.as_bytes()).map_err(|source| MasterKeyError::Unwritable { path: path.to_owned(), source })?;
        Ok(MasterKey(bytes))
    }

    /// 16 hexadecimal digits by which two keys are told apart without being shown: they may be kept
    /// in the database, so that a start with another key is noticed before anything fails to open.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.derive("turnpike master key fingerprint v1")[..8])
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(blake3::derive_key(context, &*self.0))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(secret)")
    }
}

/// More than a key file with generous white space needs; a larger file is not one.
const FILE_MAX: usize = 256;

/// Writes a file that is there whole or not at all: a torn key file would be refused at the next
/// start, after rows had been sealed with it.
fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

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
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 6] = [Purpose::Token, Purpose::Content, Purpose::Answer, Purpose::Event, Purpose::Webhook, Purpose::Endpoint];

    /// Unique, and never changed: stored rows were sealed under it.
    fn context(self) -> &'static str {
        match self {
            Purpose::Token => "turnpike seal application token v1",
            Purpose::Content => "turnpike seal message content v1",
            Purpose::Answer => "turnpike seal message answer v1",
            Purpose::Event => "turnpike seal event v1",
            Purpose::Webhook => "turnpike seal webhook v1",
            Purpose::Endpoint => "turnpike seal endpoint v1",
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

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    }

    #[test]
    fn a_first_start_makes_a_key_that_later_starts_find() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("master.key");
        let made = MasterKey::load_or_create(&path, &SystemEntropy).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(text, format!("{}\n", hex::encode(*made.0)));
        let found = MasterKey::load_or_create(&path, &SystemEntropy).expect("found");
        assert_eq!(found.fingerprint(), made.fingerprint());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing unfinished stays behind");
    }

    #[test]
    fn a_start_that_died_while_making_the_key_does_not_hinder_the_next() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("master.key.new"), "4a").expect("written");
        let path = folder.path().join("master.key");
        let made = MasterKey::load_or_create(&path, &SystemEntropy).expect("made");
        assert_eq!(MasterKey::load(&path).expect("found").fingerprint(), made.fingerprint());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("master.key");
        MasterKey::load_or_create(&path, &SystemEntropy).expect("made");
        for mode in [0o640, 0o604, 0o644, 0o620, 0o666, 0o601] {
            chmod(&path, mode);
            let refused = MasterKey::load_or_create(&path, &SystemEntropy).expect_err("open to others");
            assert!(matches!(refused, MasterKeyError::TooOpen { mode: seen, .. } if seen == mode), "{refused:?}");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
        chmod(&path, 0o400);
        MasterKey::load(&path).expect("readable by its owner alone");
    }

    #[test]
    fn what_is_no_key_is_refused_and_never_written_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("master.key");
        let long = "ab".repeat(400);
        for text in ["", "\n", "abcd", &"ab".repeat(31), &"ab".repeat(33), &"xy".repeat(32), &long] {
            fs::write(&path, text).expect("written");
            chmod(&path, 0o600);
            let refused = MasterKey::load_or_create(&path, &SystemEntropy).expect_err("no key");
            assert!(matches!(refused, MasterKeyError::Malformed { .. }), "{refused:?}");
            assert_eq!(fs::read_to_string(&path).expect("still there"), text);
        }
        fs::write(&path, [0xff; 64]).expect("written");
        assert!(matches!(MasterKey::load(&path), Err(MasterKeyError::Malformed { .. })));
        let refused = MasterKey::load_or_create(folder.path(), &SystemEntropy).expect_err("a folder");
        assert!(matches!(refused, MasterKeyError::NotAFile { .. }), "{refused:?}");
        let refused = MasterKey::load_or_create(&folder.path().join("none/master.key"), &SystemEntropy).expect_err("no folder");
        assert!(matches!(refused, MasterKeyError::Unwritable { .. }), "{refused:?}");
    }

    #[test]
    fn a_refused_text_is_not_repeated_in_the_error() {
        let refused = MasterKey::parse("c0ffee-not-a-key", "TURNPIKE_MASTER_KEY").expect_err("no key");
        assert!(!format!("{refused} {refused:?}").contains("c0ffee"), "{refused:?}");
        assert!(refused.to_string().contains("TURNPIKE_MASTER_KEY"), "{refused}");
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
        keys.extend([*vault.pepper, *vault.message_secret, *master.0]);
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

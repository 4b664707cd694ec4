//! The one key from which all others are derived, and its file.
//!
//! The file may be read by its owner alone, is there whole or not at all, and is never written over:
//! a new key opens nothing that the old one sealed.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::KEY_LEN;
use crate::entropy::Entropy;

/// The master key. Shown by nothing; wiped from memory when dropped.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

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

    pub(super) fn derive(&self, context: &str) -> Zeroizing<[u8; KEY_LEN]> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;

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
}

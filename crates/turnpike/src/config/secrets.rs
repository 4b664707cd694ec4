//! Secrets that lie in files of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use turnpike_engine::secret::Secret;

use super::problem::Problems;

/// Where container runtimes put secrets, readable by everybody in a container that has one user.
const RUNTIME_SECRETS: &str = "/run/secrets/";

/// Bytes of a secret's file; more is another file.
const FILE_MAX: u64 = 64 * 1024;

/// Reads a file that holds one secret; white space around it does not count.
pub(crate) fn read(path: &Path, place: &str, problems: &mut Problems) -> Option<Secret> {
    let text = text(path, place, problems)?;
    let secret = text.expose().trim();
    if secret.is_empty() {
        problems.refused(place, format!("the file {} is empty; it must hold the secret", path.display()));
        return None;
    }
    Some(Secret::new(secret.to_owned()))
}

/// Reads a file with one secret a line.
pub(crate) fn read_lines(path: &Path, place: &str, problems: &mut Problems) -> Option<Vec<Secret>> {
    let text = text(path, place, problems)?;
    let secrets: Vec<Secret> =
        text.expose().lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| Secret::new(line.to_owned())).collect();
    if secrets.is_empty() {
        problems.refused(place, format!("the file {} is empty; it must hold the secret", path.display()));
        return None;
    }
    Some(secrets)
}

fn text(path: &Path, place: &str, problems: &mut Problems) -> Option<Secret> {
    if let Some(sentence) = readable_by_all(path) {
        problems.refused(place, sentence);
        return None;
    }
    let read = std::fs::metadata(path).and_then(|facts| match facts.len() {
        0..=FILE_MAX => std::fs::read_to_string(path),
        more => Err(std::io::Error::other(format!("it has {more} bytes, which no secret has"))),
    });
    match read {
        Ok(text) => Some(Secret::new(text)),
        Err(error) => {
            problems.refused(place, format!("the file {} cannot be read: {error}", path.display()));
            None
        }
    }
}

/// Why a secret in this file is none: every user of the machine may read it.
pub(crate) fn readable_by_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let open = mode & 0o007 != 0 && !path.starts_with(RUNTIME_SECRETS);
    open.then(|| {
        format!(
            "every user of this machine may open {path} (mode {mode:04o}), and a secret is in it; run: chmod 600 {path}",
            path = path.display()
        )
    })
}

//! A text that must not be shown: no `Debug`, no `Display`, wiped when dropped.

use std::fmt;
use std::sync::Arc;

/// A token, an app secret, a password. Cheap to clone; shown as `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<zeroize::Zeroizing<String>>);

impl Secret {
    /// Takes `text` as a secret.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(Arc::new(zeroize::Zeroizing::new(text)))
    }

    /// The text itself: for the wire and for sealing, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

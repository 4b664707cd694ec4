//! What makes an item the same when Meta repeats it.

use super::item::Item;

impl Item<'_> {
    /// The bytes that decide whether this is a repeat: equal for what Meta sends again, different
    /// for anything else. To be hashed with the application.
    #[must_use]
    pub fn identity(&self) -> Vec<u8> {
        self.raw().as_bytes().to_vec()
    }
}

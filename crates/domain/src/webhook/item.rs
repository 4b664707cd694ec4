//! One message, status or change: what a delivery carries and an intake records.

use std::ops::Range;
use std::sync::Arc;

use super::event::EventKind;
use super::view::{MessageType, Text, User, View};
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
    /// Where in the payload it stood.
    pub(super) place: Place,
    /// Its own bytes.
    pub(super) own: &'a str,
    /// The elements of `contacts` that are about its user.
    pub(super) contacts: Vec<&'a str>,
    /// What a delivery changes within `own`, in order.
    pub(super) edits: Vec<Edit<'a>>,
}

/// Where in the payload an item stood, and stands again in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is an element of `entry`, which could not be read.
    Entry,
    /// It is an element of `changes`, which could not be read.
    Change,
    /// It is the whole `value`.
    Value,
    /// It is an element of this array of the value.
    Element(&'static str),
    /// It is this member of the value, which should have been an array.
    Member(&'static str),
}

/// A place in an item's bytes that a delivery changes.
#[derive(Clone, Debug)]
pub(super) struct Edit<'a> {
    /// The value, quotes included, within the item's own bytes.
    pub(super) value: Range<usize>,
    /// What goes when the member is removed: itself and one comma beside it.
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
#[derive(Debug, Default)]
pub(super) struct Shell<'a> {
    /// `object`, as raw JSON.
    pub(super) object: &'a str,
    /// Members of the entry but for `changes`, each as it stands.
    pub(super) entry: Arc<[&'a str]>,
    /// Members of the change but for `value`, each as it stands.
    pub(super) change: Vec<&'a str>,
    /// Members of the value that every item keeps, each as it stands.
    pub(super) value: Vec<&'a str>,
    /// `entry[].time`, as raw JSON, for identities.
    pub(super) time: Option<&'a str>,
    /// About how long a body is before the item comes into it.
    pub(super) bytes: usize,
}

impl<'a> Shell<'a> {
    /// With its length.
    pub(super) fn measured(self) -> Shell<'a> {
        let members = self.entry.iter().chain(&self.change).chain(&self.value);
        let bytes = members.map(|member| member.len() + 1).sum::<usize>() + self.object.len() + SKELETON_BYTES;
        Shell { bytes, ..self }
    }
}

/// A body's own braces and names, at most.
const SKELETON_BYTES: usize = 96;

impl Item<'_> {
    /// The item's own JSON, as Meta wrote it.
    #[must_use]
    pub fn raw(&self) -> &str {
        self.parts.own
    }

    /// Whether it opens the customer service window: the user wrote or called (meta-cloud-api §10).
    /// Not what the business wrote, not a history, not Meta's own news of a user, not in a group.
    #[must_use]
    pub fn opens_window(&self) -> bool {
        match &self.view {
            View::Message(message) => {
                let is_users =
                    !matches!(message.kind, MessageType::System | MessageType::RequestWelcome | MessageType::Edit | MessageType::Revoke);
                is_users && message.group_id.is_none() && self.kind != EventKind::History
            }
            View::Call(call) => call.is_inbound == Some(true),
            _ => false,
        }
    }
}

//! What a customer can subscribe to (contract §7).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::words;

words! {
    /// The kind of an event, as subscriptions and `X-Gateway-Event` name it.
    EventKind {
        /// A message from a user, of any type that has no finer name.
        Messages = 1 "messages",
        /// A tap on a reply button; also sent to who subscribed `messages`.
        ButtonReply = 2 "interactive.button_reply",
        /// A choice from a list; also sent to who subscribed `messages`.
        ListReply = 3 "interactive.list_reply",
        /// `sent`, `delivered` or `failed` of a message of ours.
        MessageStatus = 4 "message_status",
        /// `read` or `played` of a message of ours.
        Read = 5 "read",
        /// A template was approved, rejected, paused …
        MessageTemplateStatus = 6 "message_template_status",
        /// Something happened to the WhatsApp Business Account.
        Account = 7 "account",
        /// A user stopped or resumed marketing.
        UserPreferences = 8 "user_preferences",
        /// A template's category changed or will.
        TemplateCategory = 9 "template_category",
        /// The quality or throughput of the number changed.
        PhoneQuality = 10 "phone_quality",
        /// A message that was sent from the WhatsApp Business app (coexistence).
        MessageEchoes = 11 "message_echoes",
        /// Chats from before the number was connected (coexistence).
        History = 12 "history",
        /// Calls.
        Calls = 13 "calls",
        /// A flow's state or health.
        Flows = 14 "flows",
        /// Everything that has no name of its own here, also what Meta invented yesterday.
        Other = 15 "other",
        /// The gateway's own: message_resolved, endpoint_disabled, endpoint_failing, backlog_overflow,
        /// balance_low.
        Gateway = 16 "gateway",
    }
}

impl EventKind {
    /// The coarser kind whose subscribers get this one too.
    #[must_use]
    pub fn coarser(self) -> Option<EventKind> {
        matches!(self, EventKind::ButtonReply | EventKind::ListReply).then_some(EventKind::Messages)
    }
}

/// A set of event kinds: what an endpoint asked for. Written as a list of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet(u32);

impl EventSet {
    /// What a new endpoint gets: the events of the founding document and of its product's pages.
    #[must_use]
    pub fn of_a_new_endpoint() -> EventSet {
        [
            EventKind::Messages,
            EventKind::ButtonReply,
            EventKind::ListReply,
            EventKind::MessageStatus,
            EventKind::Read,
            EventKind::MessageTemplateStatus,
            EventKind::Account,
        ]
        .into_iter()
        .collect()
    }

    /// Every kind there is.
    #[must_use]
    pub fn all() -> EventSet {
        EventKind::ALL.iter().copied().collect()
    }

    /// The set with `kind`, or without.
    #[must_use]
    pub fn with(self, kind: EventKind, wanted: bool) -> EventSet {
        let bit = 1 << kind.number();
        EventSet(if wanted { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether exactly this name was asked for.
    #[must_use]
    pub fn contains(self, kind: EventKind) -> bool {
        self.0 & (1 << kind.number()) != 0
    }

    /// Whether an event of this kind is sent: its own name was asked for, or the coarser one.
    #[must_use]
    pub fn wants(self, kind: EventKind) -> bool {
        self.contains(kind) || kind.coarser().is_some_and(|coarser| self.contains(coarser))
    }

    /// The kinds in it, in order.
    pub fn iter(self) -> impl Iterator<Item = EventKind> {
        EventKind::ALL.iter().copied().filter(move |kind| self.contains(*kind))
    }

    /// The number that the database keeps.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The set for the database's number; bits without a kind fall away.
    #[must_use]
    pub fn from_bits(bits: u32) -> EventSet {
        EventKind::ALL.iter().copied().filter(|kind| bits & (1 << kind.number()) != 0).collect()
    }
}

impl FromIterator<EventKind> for EventSet {
    fn from_iter<I: IntoIterator<Item = EventKind>>(kinds: I) -> EventSet {
        kinds.into_iter().fold(EventSet::default(), |set, kind| set.with(kind, true))
    }
}

impl Serialize for EventSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for EventSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventSet, D::Error> {
        Ok(Vec::<EventKind>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_reaches_who_asked_for_taps_and_who_asked_for_messages() {
        let taps = EventSet::default().with(EventKind::ButtonReply, true);
        let messages = EventSet::default().with(EventKind::Messages, true);
        assert!(taps.wants(EventKind::ButtonReply) && messages.wants(EventKind::ButtonReply));
        assert!(!taps.wants(EventKind::Messages) && !taps.wants(EventKind::ListReply));
    }

    #[test]
    fn a_set_is_kept_as_a_number_and_written_as_names() {
        let set = EventSet::of_a_new_endpoint();
        assert_eq!(EventSet::from_bits(set.bits()), set);
        let text = serde_json::to_string(&set).expect("names");
        assert!(text.starts_with(r#"["messages","interactive.button_reply""#), "{text}");
        assert_eq!(serde_json::from_str::<EventSet>(&text).expect("its own text"), set);
    }
}

//! The vocabulary of a send: its mode, its kind, its state and the category that it is priced by.

use serde::{Deserialize, Serialize};

use crate::words::words;

words! {
    /// Whether a message is real. Sandbox and fake rows never mix with live ones (contract §3.3, §5).
    Mode {
        /// Sent to Meta, paid from the organization's wallet.
        Live = 0 "live",
        /// Sent to the built-in simulator, paid from the play wallet.
        Sandbox = 1 "sandbox",
        /// `is_fake=true`: checked and priced, never sent, nothing held.
        Fake = 2 "fake",
    }
}

words! {
    /// What a request asks for, as `type` and `interactive.type` name it.
    MessageKind {
        /// `text`
        Text = 1 "text",
        /// `image`
        Image = 2 "image",
        /// `audio`
        Audio = 3 "audio",
        /// `video`
        Video = 4 "video",
        /// `document`
        Document = 5 "document",
        /// `sticker`
        Sticker = 6 "sticker",
        /// `location`
        Location = 7 "location",
        /// `contacts`
        Contacts = 8 "contacts",
        /// `reaction`; holds no Meta fee (contract §6).
        Reaction = 9 "reaction",
        /// `template`
        Template = 10 "template",
        /// `interactive`, any of its types
        Interactive = 11 "interactive",
        /// Mark-as-read, with or without a typing indicator; never charged (contract §3.1).
        ReadMark = 12 "read",
    }
}

words! {
    /// The category that decides Meta's fee.
    Category {
        /// Any non-template message.
        Service = 1 "service",
        /// A utility template, or Direct Send with `category: utility`.
        Utility = 2 "utility",
        /// An authentication template.
        Authentication = 3 "authentication",
        /// A marketing template, on either of Meta's endpoints.
        Marketing = 4 "marketing",
        /// Authentication at the international rate (meta-cloud-api §9.2).
        AuthenticationInternational = 5 "authentication-international",
    }
}

words! {
    /// Where a message stands. States only move forward (ARCHITECTURE.md, "Words").
    MessageState {
        /// Held by us, not yet answered by Meta.
        Admitted = 1 "admitted",
        /// Meta answered with a wamid.
        Accepted = 2 "accepted",
        /// Left Meta's servers.
        Sent = 3 "sent",
        /// On the recipient's device.
        Delivered = 4 "delivered",
        /// Shown to the recipient.
        Read = 5 "read",
        /// A voice message was played.
        Played = 6 "played",
        /// Meta refused it, or it never left us: nothing was sent.
        Refused = 7 "refused",
        /// Meta accepted it and could not deliver it.
        Failed = 8 "failed",
        /// Bytes went out and no usable answer came; its money stays held.
        Unknown = 9 "unknown",
        /// Was unknown, and evidence says that it never went out.
        PresumedNotSent = 10 "presumed_not_sent",
    }
}

words! {
    /// Who pays Meta for an application's messages (contract §6, `metaBilling`).
    MetaBilling {
        /// Meta bills the operator: the fee is charged to the wallet.
        Operator = 0 "operator",
        /// Meta bills the customer directly: the fee is 0 and only reported.
        Customer = 1 "customer",
    }
}

words! {
    /// How a number is connected; decides its ceiling (contract §4).
    ConnectionType {
        /// Cloud API only: 80 messages a second.
        CloudApi = 0 "CLOUD_API",
        /// Shared with the WhatsApp Business app: 20 messages a second.
        Coexistence = 1 "COEXISTENCE",
    }
}

words! {
    /// Which of Meta's endpoints carries a message.
    MetaEndpoint {
        /// `/{phone-number-id}/messages`
        Messages = 0 "messages",
        /// `/{phone-number-id}/marketing_messages` (`mmlite=true`)
        MarketingMessages = 1 "marketing_messages",
    }
}

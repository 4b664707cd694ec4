//! What an item of Meta's says, typed: every type and field of meta-cloud-api §5, and a place for
//! what Meta invented yesterday.
//!
//! A view borrows from the payload; a text is copied only where it holds escapes. Nothing here
//! decides whether an item is delivered: the bytes are, whatever we understood of them. A member
//! that is missing or of another shape is `None` or empty.

use std::borrow::Cow;

use super::status::{Pricing, StatusKind};
use crate::words::words;
use serde::{Deserialize, Serialize};

/// A text of the payload, unescaped.
pub type Text<'a> = Cow<'a, str>;

/// A user as Meta names one. Without a visible phone number only the ids are there
/// (meta-cloud-api §5.8); either is enough.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct User<'a> {
    /// Phone number: digits, without `+`.
    pub phone: Option<Text<'a>>,
    /// Business-scoped user id (`US.1349…`).
    pub id: Option<Text<'a>>,
    /// Parent business-scoped user id (`US.ENT.1181…`).
    pub parent_id: Option<Text<'a>>,
}

impl User<'_> {
    /// The name by which a user's line, window and wishes are kept: the phone number, else the
    /// BSUID, else the parent id. `None` where Meta named nobody.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.names().next()
    }

    /// Every name that the item gives of this user, the best first: a user who is known by two
    /// names is noted under both.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.phone, &self.id, &self.parent_id].into_iter().flatten().map(|name| &**name)
    }
}

impl std::fmt::Debug for User<'_> {
    /// Says which names there are, not what they are: numbers stay out of logs (contract §10).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let which = |name: &Option<Text<'_>>| name.as_ref().map(|name| name.len());
        f.debug_struct("User")
            .field("phone_digits", &which(&self.phone))
            .field("id_chars", &which(&self.id))
            .field("parent_id_chars", &which(&self.parent_id))
            .finish()
    }
}

/// What an item is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum View<'a> {
    /// A message from a user.
    Message(Box<Message<'a>>),
    /// A status of a message that a business sent.
    Status(Box<Status<'a>>),
    /// Something about a template.
    Template(Box<TemplateChange<'a>>),
    /// Something about the WhatsApp Business Account.
    Account(AccountChange<'a>),
    /// The name or quality of a number changed.
    Number(NumberChange<'a>),
    /// How much the business may send changed (`business_capability_update`).
    Capability(CapabilityChange<'a>),
    /// A number's PIN was changed or is to be (`security`).
    Security(SecurityChange<'a>),
    /// A user stopped or resumed marketing.
    UserPreference(UserPreference<'a>),
    /// A message that was sent from the WhatsApp Business app (coexistence).
    Echo(Box<Message<'a>>),
    /// A part of the chats from before the number was connected (coexistence).
    History(HistoryChunk<'a>),
    /// A contact of the WhatsApp Business app was added or removed (coexistence).
    AppState(AppState<'a>),
    /// A call, or a status of one.
    Call(CallEvent<'a>),
    /// A flow's state or health.
    Flow(FlowEvent<'a>),
    /// Troubles of the number that belong to no message: `value.errors`.
    Errors(Vec<MetaError<'a>>),
    /// A field, or a shape of one, that this gateway does not know. Its bytes are delivered.
    Other,
    /// A part that cannot be read: what is wrong with it, as a sentence part.
    Unreadable(&'static str),
}

/// An error as Meta writes it in `errors[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaError<'a> {
    /// `code`; 0 where it is missing.
    pub code: i64,
    /// `title`, or `message` where that is missing.
    pub title: Text<'a>,
    /// `error_data.details`.
    pub details: Option<Text<'a>>,
}

words! {
    /// The type of a message from a user.
    MessageType {
        /// `text`
        Text = 1 "text",
        /// `image`
        Image = 2 "image",
        /// `audio`, also voice notes
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
        /// `interactive`: an answer to one of ours
        Interactive = 9 "interactive",
        /// `button`: a tap on a template's quick reply
        Button = 10 "button",
        /// `reaction`
        Reaction = 11 "reaction",
        /// `order`
        Order = 12 "order",
        /// `system`: the user's number or id changed
        System = 13 "system",
        /// `unsupported`: Meta cannot pass on what the user sent
        Unsupported = 14 "unsupported",
        /// `request_welcome`: the chat was opened for the first time
        RequestWelcome = 15 "request_welcome",
        /// `edit`: an earlier message was edited
        Edit = 16 "edit",
        /// `revoke`: an earlier message was deleted
        Revoke = 17 "revoke",
        /// `media_placeholder`: media of the history, to follow
        MediaPlaceholder = 18 "media_placeholder",
        /// Any other, or none
        Other = 99 "other",
    }
}

/// One message, of a user or (as an echo) of the business' own app.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: MessageType,
    /// `type` as Meta spells it; empty where it is missing.
    pub type_name: Text<'a>,
    /// What it holds.
    pub content: Content<'a>,
    /// What it answers or where it was forwarded from.
    pub context: Option<Context<'a>>,
    /// The advertisement or post that it came from.
    pub referral: Option<Referral<'a>>,
    /// The group that it was written in.
    pub group_id: Option<Text<'a>>,
    /// Why it is incomplete, where Meta says so.
    pub errors: Vec<MetaError<'a>>,
}

/// What a message holds, by its type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// `text.body`
    Text {
        /// What the user wrote.
        body: Text<'a>,
    },
    /// An image, audio, video, document or sticker.
    Media(Media<'a>),
    /// A place.
    Location {
        /// Degrees; NaN never, 0 where it is missing.
        latitude: f64,
        /// Degrees.
        longitude: f64,
        /// `name`
        name: Option<Text<'a>>,
        /// `address`
        address: Option<Text<'a>>,
    },
    /// Contact cards.
    Contacts(Vec<SharedContact<'a>>),
    /// A tap on a reply button.
    ButtonReply {
        /// The id that the sender gave it.
        id: Text<'a>,
        /// What stood on it.
        title: Text<'a>,
    },
    /// A choice from a list.
    ListReply {
        /// The id that the sender gave it.
        id: Text<'a>,
        /// The row's title.
        title: Text<'a>,
        /// The row's description.
        description: Option<Text<'a>>,
    },
    /// The answer of a flow or an address form.
    FormReply {
        /// `flow` or `address_message`.
        name: Text<'a>,
        /// What is shown of it.
        body: Text<'a>,
        /// The answers: JSON as text, with the `flow_token`.
        response_json: Text<'a>,
    },
    /// The answer to a request for permission to call.
    CallPermissionReply {
        /// `accept` or `reject`.
        response: Text<'a>,
        /// Whether it holds for good.
        is_permanent: bool,
        /// When it ends, in seconds.
        expires_at: Option<i64>,
        /// What made the user answer.
        source: Option<Text<'a>>,
    },
    /// A tap on a template's quick reply.
    Button {
        /// What the sender put behind it.
        payload: Text<'a>,
        /// What stood on it.
        text: Text<'a>,
    },
    /// A reaction to a message.
    Reaction {
        /// The wamid that it is about.
        message_id: Text<'a>,
        /// `None` where the reaction was taken away.
        emoji: Option<Text<'a>>,
    },
    /// An order from a catalogue.
    Order {
        /// The catalogue.
        catalog_id: Text<'a>,
        /// What the user wrote with it.
        text: Option<Text<'a>>,
        /// What is ordered.
        items: Vec<OrderItem<'a>>,
    },
    /// The user's number or id changed.
    System {
        /// `user_changed_number`, `user_changed_user_id`, `customer_identity_changed` …
        kind: Text<'a>,
        /// A sentence about it.
        body: Text<'a>,
        /// The user as named from now on.
        now: User<'a>,
    },
    /// What Meta cannot pass on; the message's errors say why.
    Unsupported {
        /// What it was (`poll`, `video_note` …), where Meta says so.
        kind: Option<Text<'a>>,
    },
    /// The chat was opened for the first time.
    RequestWelcome,
    /// An earlier message, edited.
    Edit {
        /// The wamid of what was edited.
        original_message_id: Text<'a>,
        /// What it holds now.
        content: Box<Content<'a>>,
    },
    /// An earlier message, deleted.
    Revoke {
        /// The wamid of what was deleted.
        original_message_id: Text<'a>,
    },
    /// Media of the history, to follow in an item of its own.
    MediaPlaceholder,
    /// A type, or a shape of one, that this gateway does not know.
    Other,
}

/// Media of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media<'a> {
    /// Meta's media id; empty where it is missing.
    pub id: Text<'a>,
    /// `mime_type`
    pub mime_type: Option<Text<'a>>,
    /// `sha256`, in base64.
    pub sha256: Option<Text<'a>>,
    /// Meta's own URL, which needs Meta's token: never sent on.
    pub url: Option<Text<'a>>,
    /// `caption`
    pub caption: Option<Text<'a>>,
    /// `filename`
    pub filename: Option<Text<'a>>,
    /// Whether audio is a voice note.
    pub is_voice: bool,
    /// Whether a sticker moves.
    pub is_animated: bool,
}

/// A contact card, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedContact<'a> {
    /// `name.formatted_name`
    pub name: Option<Text<'a>>,
    /// `phones[].wa_id`, or `phones[].phone` where that is missing.
    pub phones: Vec<Text<'a>>,
}

/// One line of an order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderItem<'a> {
    /// The product.
    pub product_retailer_id: Text<'a>,
    /// How many.
    pub quantity: i64,
    /// The price of one, as Meta writes it.
    pub item_price: Text<'a>,
    /// Its currency.
    pub currency: Text<'a>,
}

/// What a message answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context<'a> {
    /// Who wrote what is answered.
    pub from: Option<Text<'a>>,
    /// The wamid of what is answered.
    pub id: Option<Text<'a>>,
    /// The user forwarded it.
    pub is_forwarded: bool,
    /// It was forwarded often.
    pub is_frequently_forwarded: bool,
    /// Catalogue and product that the user asks about.
    pub referred_product: Option<(Text<'a>, Text<'a>)>,
}

/// The advertisement or post that a message came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referral<'a> {
    /// `ad` or `post`.
    pub source_type: Text<'a>,
    /// Its id.
    pub source_id: Text<'a>,
    /// Its address.
    pub source_url: Text<'a>,
    /// The click's id.
    pub ctwa_clid: Option<Text<'a>>,
}

/// A status of a message that a business sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Status<'a> {
    /// Which; `None` for a word that this gateway does not know.
    pub status: Option<StatusKind>,
    /// The word as Meta spells it.
    pub name: Text<'a>,
    /// The group that the message went to; the item's user is then the participant.
    pub group_id: Option<Text<'a>>,
    /// `biz_opaque_callback_data`: our token where the message is ours.
    pub callback_data: Option<Text<'a>>,
    /// What Meta charges.
    pub pricing: Option<Pricing>,
    /// The conversation, where Meta still names one.
    pub conversation: Option<Conversation<'a>>,
    /// Why it failed.
    pub errors: Vec<MetaError<'a>>,
}

/// `conversation` of a status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation<'a> {
    /// Its id.
    pub id: Text<'a>,
    /// `origin.type`: the category that opened it.
    pub origin: Option<Text<'a>>,
    /// When it ends, in seconds.
    pub expires_at: Option<i64>,
}

/// Something about a template: status, quality, category or components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateChange<'a> {
    /// Meta's id of the template.
    pub id: Text<'a>,
    /// Its name.
    pub name: Text<'a>,
    /// Its language.
    pub language: Text<'a>,
    /// `event` of a status update: `APPROVED`, `REJECTED`, `PAUSED` …
    pub event: Option<Text<'a>>,
    /// `reason` of a status update.
    pub reason: Option<Text<'a>>,
    /// `message_template_category`, as Meta spells it.
    pub category: Option<Text<'a>>,
    /// `new_category` of a category update.
    pub new_category: Option<Text<'a>>,
    /// `previous_category`: the change has been made.
    pub previous_category: Option<Text<'a>>,
    /// `correct_category`: the change is announced.
    pub correct_category: Option<Text<'a>>,
    /// `new_quality_score`: `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub new_quality: Option<Text<'a>>,
    /// `previous_quality_score`
    pub previous_quality: Option<Text<'a>>,
}

/// Something about the account: update, review or alert.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange<'a> {
    /// `event` of an update, `decision` of a review, `alert_type` of an alert.
    pub event: Text<'a>,
    /// `waba_info.waba_id`: the account that a partner's event is about.
    pub waba_id: Option<Text<'a>>,
    /// `ban_info.waba_ban_state`: `DISABLE`, `REINSTATE`, `SCHEDULE_FOR_DISABLE`.
    pub ban_state: Option<Text<'a>>,
    /// `violation_info.violation_type`
    pub violation: Option<Text<'a>>,
    /// `restriction_info[].restriction_type`
    pub restrictions: Vec<Text<'a>>,
    /// `alert_severity`
    pub severity: Option<Text<'a>>,
    /// `alert_description`
    pub description: Option<Text<'a>>,
}

/// The name or the quality of a number changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumberChange<'a> {
    /// `event` of a quality update, `decision` of a name update.
    pub event: Text<'a>,
    /// `current_limit`, or `max_daily_conversations_per_business`, as Meta writes it.
    pub limit: Option<Text<'a>>,
    /// `requested_verified_name`
    pub requested_name: Option<Text<'a>>,
    /// `rejection_reason`
    pub rejection_reason: Option<Text<'a>>,
}

/// How much the business may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityChange<'a> {
    /// `max_daily_conversations_per_business`: a number or `TIER_…`, as Meta writes it.
    pub max_daily_conversations: Option<Text<'a>>,
    /// `max_phone_numbers_per_business`, else `max_phone_numbers_per_waba`.
    pub max_phone_numbers: Option<i64>,
}

/// Something happened to a number's PIN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityChange<'a> {
    /// `PIN_CHANGED`, `PIN_RESET_REQUEST`, `PIN_RESET_SUCCESS`.
    pub event: Text<'a>,
    /// Who asked for it.
    pub requester: Option<Text<'a>>,
}

/// What a user wishes of the business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPreference<'a> {
    /// What the user wants now.
    pub wish: Wish,
    /// `category`: `marketing_messages`.
    pub category: Text<'a>,
    /// `value` as Meta spells it.
    pub value: Text<'a>,
    /// `detail`, a sentence.
    pub detail: Option<Text<'a>>,
}

/// What a user wants of marketing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// `stop`: none.
    Stop,
    /// `resume` or `signup`: again.
    Resume,
    /// Anything else.
    Other,
}

/// A part of the chats from before the number was connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryChunk<'a> {
    /// Which days: 0 the first, 1 up to day 90, 2 up to day 180.
    pub phase: Option<i64>,
    /// Its place among the chunks.
    pub chunk_order: Option<i64>,
    /// How much of all there is has come, in percent.
    pub progress: Option<i64>,
    /// `threads[].id`: the users whose chats it holds. For erasure.
    pub users: Vec<Text<'a>>,
    /// Why there is no history.
    pub errors: Vec<MetaError<'a>>,
}

/// A contact of the WhatsApp Business app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppState<'a> {
    /// `type`: `contact`.
    pub kind: Text<'a>,
    /// `add` (also an edit) or `remove`.
    pub action: Text<'a>,
    /// `contact.full_name`
    pub name: Option<Text<'a>>,
}

/// A call, or a status of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallEvent<'a> {
    /// Its id.
    pub id: Text<'a>,
    /// `event` of a call (`connect`, `terminate`), `status` of a status.
    pub event: Text<'a>,
    /// Whether the user called: such a call opens the window. `None` where Meta does not say.
    pub is_inbound: Option<bool>,
}

/// A flow's state or health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowEvent<'a> {
    /// `FLOW_STATUS_CHANGE`, `ENDPOINT_AVAILABILITY` …
    pub event: Text<'a>,
    /// The flow.
    pub flow_id: Option<Text<'a>>,
    /// A sentence.
    pub message: Option<Text<'a>>,
}

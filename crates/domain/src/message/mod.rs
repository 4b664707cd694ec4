//! Reads the body of `POST /v1/wa/message`: one message that a caller asks us to send.
//!
//! [`parse`] is the hot path of the gateway and its first line of defence. It scans the bytes once
//! into a flat tape, strictly, with our own scanner (why: see `json::scan`), and then looks only at the
//! fields that it knows. What we know to be wrong is refused before it costs money, every faulty
//! field at once and by its path; fields that we do not know pass unread, since Meta may have added
//! them yesterday. Where Meta's own rule is uncertain, Meta decides (contract §3.1).
//!
//! The caller's bytes are kept as they came: [`NewMessage::outgoing`] splices our token into them.

mod commerce;
mod interactive;
mod media;
mod outgoing;
mod place;
mod plain;
mod read_mark;
pub mod recipient;
mod template_fields;
pub mod template_use;

use std::fmt;

use bytes::Bytes;

use crate::json::{Document, Value, scan};
use crate::refusal::Refusal;
use crate::send::{Category, MessageKind, MetaEndpoint};
use interactive::InteractiveKind;
use outgoing::{CALLBACK_MEMBER, CallbackPlace, Splices};
use place::{Faults, Optional, Place, Required, one_of};
pub use recipient::{Bsuid, PhoneNumber, Recipient};
pub use template_use::{ButtonKind, ButtonUse, CardUse, ComponentKind, ComponentUse, ParameterKind, ParameterUse, TemplateUse};

/// Longest `biz_opaque_callback_data`, in Unicode scalar values.
pub const CALLBACK_DATA_CHARS_MAX: usize = 512;

/// Longest body of a Direct Send: Meta makes a template of it (meta-cloud-api §1.9).
const DIRECT_SEND_TEXT_CHARS_MAX: usize = 1024;

/// A message that was read and found well-formed; see [`parse`].
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    body: Bytes,
    content: Content,
    recipient: Option<Recipient>,
    category: Option<Category>,
    ttl_seconds: Option<u32>,
    callback_data: Option<Box<str>>,
    /// `None` only for a read mark, which goes out as it came.
    splices: Option<Splices>,
}

/// What the types differ in.
#[derive(Clone, PartialEq, Eq)]
enum Content {
    Plain(MessageKind),
    Interactive(InteractiveKind),
    Template(TemplateUse),
}

/// Reads and checks a request's body, which goes to `endpoint`.
///
/// Refused with [`Refusal::NotOneObject`] where the body is not one strict JSON object (UTF-8
/// without BOM, no member name twice in one object, no lone surrogate, at most 32 deep); otherwise
/// with [`Refusal::Fields`], which names every faulty field (up to a hundred) in the order of
/// reading. What passes may still fail at Meta; what is refused certainly would have, or must not
/// be sent (contract §3.1).
pub fn parse(body: Bytes, endpoint: MetaEndpoint) -> Result<NewMessage, Refusal> {
    let text = utf8(&body)?;
    let document = Document::scan(text).map_err(|fault| not_one_object(&body, fault.offset, fault.problem))?;
    let mut faults = Faults::default();
    let message = read(&Place::root(document.root()), endpoint, &mut faults);
    match message {
        Some(message) if faults.is_empty() => Ok(NewMessage { body, ..message }),
        _ => {
            debug_assert!(!faults.is_empty(), "a message is given up only with a fault noted");
            Err(Refusal::Fields(faults.into_list()))
        }
    }
}

impl NewMessage {
    /// What it is. [`MessageKind::ReadMark`] stands for mark-as-read, with or without typing.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self.content {
            Content::Plain(kind) => kind,
            Content::Interactive(_) => MessageKind::Interactive,
            Content::Template(_) => MessageKind::Template,
        }
    }

    /// `interactive.type`, for an interactive message.
    #[must_use]
    pub fn interactive_type(&self) -> Option<&'static str> {
        match self.content {
            Content::Interactive(kind) => Some(kind.as_str()),
            _ => None,
        }
    }

    /// Who it goes to; `None` only for a read mark.
    #[must_use]
    pub fn recipient(&self) -> Option<&Recipient> {
        self.recipient.as_ref()
    }

    /// How it uses a template, for a template message.
    #[must_use]
    pub fn template(&self) -> Option<&TemplateUse> {
        match &self.content {
            Content::Template(template) => Some(template),
            _ => None,
        }
    }

    /// `category`: Direct Send, utility or authentication. `None` for every ordinary message.
    #[must_use]
    pub fn direct_send_category(&self) -> Option<Category> {
        self.category
    }

    /// `ttl_seconds` of a Direct Send.
    #[must_use]
    pub fn ttl_seconds(&self) -> Option<u32> {
        self.ttl_seconds
    }

    /// The caller's own `biz_opaque_callback_data`, unescaped, at most 512 characters. We keep it
    /// and restore it in every status.
    #[must_use]
    pub fn callback_data(&self) -> Option<&str> {
        self.callback_data.as_deref()
    }

    /// The bytes that the caller sent.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The bytes for Meta: the caller's own, nothing lost or reordered, but for `to` written
    /// `+<digits>` and `token` as `biz_opaque_callback_data`. A read mark goes out unchanged.
    #[must_use]
    pub fn outgoing(&self, token: &str) -> Vec<u8> {
        match &self.splices {
            None => self.body.to_vec(),
            Some(splices) => outgoing::write(&self.body, splices, self.recipient.as_ref().map_or("", Recipient::as_str), token),
        }
    }
}

/// Says what it is, never what it says or to whom: a message may end up in a log.
impl fmt::Debug for NewMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewMessage")
            .field("kind", &self.kind())
            .field("interactive_type", &self.interactive_type())
            .field("category", &self.category)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The byte order mark that some editors put before UTF-8.
const BOM: &[u8] = b"\xEF\xBB\xBF";

fn utf8(body: &[u8]) -> Result<&str, Refusal> {
    if body.starts_with(BOM) {
        return Err(not_one_object(body, 0, "the body begins with a byte order mark; send UTF-8 without one"));
    }
    std::str::from_utf8(body).map_err(|error| not_one_object(body, error.valid_up_to(), "this is not UTF-8"))
}

fn not_one_object(body: &[u8], offset: usize, problem: &str) -> Refusal {
    let (line, column) = scan::position(body, offset);
    Refusal::NotOneObject { line, column, problem: problem.to_owned() }
}

/// The message without its bytes. `None`, or a message that is to be thrown away, where faults were
/// noted.
fn read(root: &Place<'_>, endpoint: MetaEndpoint, faults: &mut Faults) -> Option<NewMessage> {
    root.word("messaging_product", Required, &["whatsapp"], faults);
    if root.has("status") {
        return read_mark(root, endpoint, faults);
    }
    let (recipient, to) = recipient(root, faults).unzip();
    let kind = kind(root, faults);
    if endpoint == MetaEndpoint::MarketingMessages && kind.is_some_and(|kind| kind != MessageKind::Template) {
        root.fault("type", "must be template where `mmlite` is true", faults);
    }
    marketing_fields(root, endpoint, faults);
    let (category, ttl_seconds) = direct_send(root, kind, recipient.as_ref(), faults);
    if let Some(context) = root.object("context", Optional, faults) {
        context.filled("message_id", Required, faults);
    }
    root.any_string("recipient_identity_key_hash", Optional, faults);
    let callback_data = root.string(CALLBACK_MEMBER, Optional, 0..=CALLBACK_DATA_CHARS_MAX, faults).map(|value| value.text().into());
    let content = content(root, kind?, category, faults);
    Some(NewMessage {
        body: Bytes::new(),
        content: content?,
        recipient: Some(recipient?),
        category,
        ttl_seconds,
        callback_data,
        splices: Some(Splices { to: to?.map(Value::span), callback: callback_place(root) }),
    })
}

fn read_mark(root: &Place<'_>, endpoint: MetaEndpoint, faults: &mut Faults) -> Option<NewMessage> {
    read_mark::check(root, faults);
    if endpoint == MetaEndpoint::MarketingMessages {
        root.fault("status", "does not go with `mmlite`, which only sends templates", faults);
    }
    Some(NewMessage {
        body: Bytes::new(),
        content: Content::Plain(MessageKind::ReadMark),
        recipient: None,
        category: None,
        ttl_seconds: None,
        callback_data: None,
        splices: None,
    })
}

/// Who the message goes to, and the value of `to` where that is what names them.
fn recipient<'d>(root: &Place<'d>, faults: &mut Faults) -> Option<(Recipient, Option<Value<'d>>)> {
    if let Some(kind) = root.any_string("recipient_type", Optional, faults)
        && !kind.spells("individual")
    {
        let problem =
            if kind.spells("group") { "must be individual: this gateway does not send to groups yet" } else { "must be individual" };
        root.fault("recipient_type", problem, faults);
    }
    let to = root.field("to");
    let phone = root.any_string("to", Optional, faults).and_then(|value| {
        let number = PhoneNumber::parse(&value.text());
        if number.is_none() {
            root.fault(
                "to",
                "must be 7 to 15 digits with the country code first, without +, spaces or dashes, not beginning with 0",
                faults,
            );
        }
        Some((Recipient::Phone(number?), Some(value)))
    });
    let given = root.field("recipient");
    let user = root.any_string("recipient", Optional, faults).and_then(|value| {
        let id = Bsuid::parse(&value.text());
        if id.is_none() {
            root.fault("recipient", "must be a business-scoped user id: two capital letters, a dot, 1 to 128 letters and digits", faults);
        }
        Some((Recipient::User(id?), None))
    });
    match (to, given) {
        (Some(_), Some(_)) => {
            root.fault("recipient", "must not stand beside `to`: one of the two names the recipient", faults);
            None
        }
        (None, None) => {
            root.fault("to", "is required (or `recipient`, for a user without a visible phone number)", faults);
            None
        }
        _ => phone.or(user),
    }
}

/// `type`, which decides how the rest is read and priced.
fn kind(root: &Place<'_>, faults: &mut Faults) -> Option<MessageKind> {
    let text = root.any_string("type", Required, faults)?.text();
    let kind = MessageKind::parse(&text).filter(|kind| *kind != MessageKind::ReadMark);
    if kind.is_none() {
        let known: Vec<&str> = MessageKind::ALL.iter().filter(|kind| **kind != MessageKind::ReadMark).map(|kind| kind.as_str()).collect();
        root.fault("type", one_of(&known), faults);
    }
    kind
}

/// What only Meta's marketing endpoint takes. On the other one the caller would believe in a
/// protection that is not there.
fn marketing_fields(root: &Place<'_>, endpoint: MetaEndpoint, faults: &mut Faults) {
    if endpoint == MetaEndpoint::MarketingMessages {
        root.word("product_policy", Optional, &["CLOUD_API_FALLBACK", "STRICT"], faults);
        root.boolean("message_activity_sharing", Optional, faults);
        return;
    }
    for name in ["product_policy", "message_activity_sharing"] {
        if root.has(name) {
            root.fault(name, "goes only with `mmlite=true`", faults);
        }
    }
}

/// `category` and `ttl_seconds` (meta-cloud-api §1.9).
fn direct_send(
    root: &Place<'_>,
    kind: Option<MessageKind>,
    recipient: Option<&Recipient>,
    faults: &mut Faults,
) -> (Option<Category>, Option<u32>) {
    let category = match root.word("category", Optional, &["utility", "authentication"], faults).as_deref() {
        Some("utility") => Some(Category::Utility),
        Some(_) => Some(Category::Authentication),
        None => None,
    };
    if root.has("category") && kind.is_some_and(|kind| !matches!(kind, MessageKind::Text | MessageKind::Interactive)) {
        root.fault("category", "goes only with type text or interactive", faults);
    }
    if category == Some(Category::Authentication) && matches!(recipient, Some(Recipient::User(_))) {
        root.fault("recipient", "cannot receive authentication messages; name a phone number in `to`", faults);
    }
    if root.has("ttl_seconds") && !root.has("category") {
        root.fault("ttl_seconds", "goes only with `category`", faults);
        return (category, None);
    }
    let most = if category == Some(Category::Authentication) { 900 } else { 43_200 };
    let ttl_seconds = root.integer("ttl_seconds", Optional, 30..=most, faults);
    (category, ttl_seconds.and_then(|seconds| u32::try_from(seconds).ok()))
}

/// The payload that `type` names.
fn content(root: &Place<'_>, kind: MessageKind, category: Option<Category>, faults: &mut Faults) -> Option<Content> {
    match kind {
        MessageKind::Template => return Some(Content::Template(template_fields::read(root, faults))),
        MessageKind::Interactive => return interactive::read(root, category, faults).map(Content::Interactive),
        MessageKind::Text if category.is_some() => plain::text(root, DIRECT_SEND_TEXT_CHARS_MAX, faults),
        MessageKind::Text => plain::text(root, plain::TEXT_CHARS_MAX, faults),
        MessageKind::Location => plain::location(root, faults),
        MessageKind::Contacts => plain::contacts(root, faults),
        MessageKind::Reaction => plain::reaction(root, faults),
        MessageKind::Image | MessageKind::Audio | MessageKind::Video | MessageKind::Document | MessageKind::Sticker => {
            media::check_message(root, kind.as_str(), faults);
        }
        MessageKind::ReadMark => {}
    }
    Some(Content::Plain(kind))
}

fn callback_place(root: &Place<'_>) -> CallbackPlace {
    let mut last_end = root.value().span().end - 1;
    for (name, value) in root.value().members() {
        if name.spells(CALLBACK_MEMBER) {
            return CallbackPlace::Replaces(value.span());
        }
        last_end = value.span().end;
    }
    CallbackPlace::Appended(last_end)
}

#[cfg(test)]
mod tests;

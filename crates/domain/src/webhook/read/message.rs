//! Messages: of users, and as echoes of the business' own app (meta-cloud-api §5.4, §5.7).

use super::Found;
use super::contacts::user;
use super::source::{Source, get};
use crate::json::{Kind, Value};
use crate::webhook::event::EventKind;
use crate::webhook::item::{Edit, Edited};
use crate::webhook::view::{Content, Context, Media, Message, MessageType, OrderItem, Referral, SharedContact, User, View};

/// Who wrote a message.
#[derive(Clone, Copy)]
pub(super) enum Direction<'a> {
    /// The user.
    Inbound,
    /// The business, in its own app.
    Echo,
    /// Either, as in a history; the business by this display number.
    Either(Option<&'a str>),
}

const FROM: [&str; 3] = ["from", "from_user_id", "from_parent_user_id"];
const TO: [&str; 3] = ["to", "to_user_id", "to_parent_user_id"];

pub(super) fn read<'t>(source: Source<'t>, object: Value<'_>, direction: Direction<'_>) -> Found<'t> {
    let type_name = source.member_or_empty(object, "type");
    let kind = MessageType::parse(&type_name).unwrap_or(MessageType::Other);
    let content = content(source, object, kind, &type_name);
    let mut edits = Vec::new();
    mark_media(source, object, object.span().start, &mut edits);
    let by_business = match direction {
        Direction::Inbound => false,
        Direction::Echo => true,
        Direction::Either(business) => {
            let from = source.member(object, "from");
            get(object, "to").is_some() && from.as_deref().map(digits) == business.map(digits)
        }
    };
    let event = match (&content, by_business) {
        (_, true) => EventKind::MessageEchoes,
        (Content::ButtonReply { .. }, _) => EventKind::ButtonReply,
        (Content::ListReply { .. }, _) => EventKind::ListReply,
        _ => EventKind::Messages,
    };
    let message = Box::new(Message {
        kind,
        type_name,
        content,
        context: get(object, "context").map(|context| read_context(source, context)),
        referral: get(object, "referral").map(|referral| Referral {
            source_type: source.member_or_empty(referral, "source_type"),
            source_id: source.member_or_empty(referral, "source_id"),
            source_url: source.member_or_empty(referral, "source_url"),
            ctwa_clid: source.member(referral, "ctwa_clid"),
        }),
        group_id: source.member(object, "group_id"),
        errors: source.errors(object),
    });
    Found {
        kind: event,
        user: user(source, object, if by_business { TO } else { FROM }),
        at: source.timestamp(object),
        wamid: source.member(object, "id").filter(|id| !id.is_empty()),
        view: if by_business { View::Echo(message) } else { View::Message(message) },
        edits,
    }
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

fn content<'t>(source: Source<'t>, message: Value<'_>, kind: MessageType, type_name: &str) -> Content<'t> {
    // Some types need no object, or do without one.
    match kind {
        MessageType::RequestWelcome => return Content::RequestWelcome,
        MessageType::MediaPlaceholder => return Content::MediaPlaceholder,
        MessageType::Unsupported => {
            let kind = get(message, "unsupported").and_then(|unsupported| source.member(unsupported, "type"));
            return Content::Unsupported { kind };
        }
        _ => {}
    }
    let Some(object) = get(message, type_name) else { return Content::Other };
    let text = |name: &str| source.member(object, name);
    let or_empty = |name: &str| source.member_or_empty(object, name);
    match kind {
        MessageType::Contacts => Content::Contacts(object.elements().map(|card| shared_contact(source, card)).collect()),
        _ if object.kind() != Kind::Object => Content::Other,
        MessageType::Text => Content::Text { body: or_empty("body") },
        MessageType::Image | MessageType::Audio | MessageType::Video | MessageType::Document | MessageType::Sticker => {
            Content::Media(Media {
                id: or_empty("id"),
                mime_type: text("mime_type"),
                sha256: text("sha256"),
                url: text("url"),
                caption: text("caption"),
                filename: text("filename"),
                is_voice: is_true(object, "voice"),
                is_animated: is_true(object, "animated"),
            })
        }
        MessageType::Location => {
            let degrees = |name| source.member(object, name).and_then(|text| text.parse().ok()).filter(|degrees: &f64| degrees.is_finite());
            Content::Location {
                latitude: degrees("latitude").unwrap_or_default(),
                longitude: degrees("longitude").unwrap_or_default(),
                name: text("name"),
                address: text("address"),
            }
        }
        MessageType::Interactive => interactive(source, object),
        MessageType::Button => Content::Button { payload: or_empty("payload"), text: or_empty("text") },
        MessageType::Reaction => {
            Content::Reaction { message_id: or_empty("message_id"), emoji: text("emoji").filter(|emoji| !emoji.is_empty()) }
        }
        MessageType::Order => Content::Order {
            catalog_id: or_empty("catalog_id"),
            text: text("text").filter(|text| !text.is_empty()),
            items: get(object, "product_items")
                .into_iter()
                .flat_map(Value::elements)
                .map(|item| OrderItem {
                    product_retailer_id: source.member_or_empty(item, "product_retailer_id"),
                    quantity: source.integer(item, "quantity").unwrap_or(0),
                    item_price: source.member_or_empty(item, "item_price"),
                    currency: source.member_or_empty(item, "currency"),
                })
                .collect(),
        },
        MessageType::System => Content::System {
            kind: or_empty("type"),
            body: or_empty("body"),
            now: user(source, object, ["wa_id", "user_id", "parent_user_id"]).unwrap_or_else(User::default),
        },
        MessageType::Edit => Content::Edit {
            original_message_id: or_empty("original_message_id"),
            content: Box::new(get(object, "message").map_or(Content::Other, |edited| edited_content(source, edited))),
        },
        MessageType::Revoke => Content::Revoke { original_message_id: or_empty("original_message_id") },
        _ => Content::Other,
    }
}

/// The content of an edited message, which is never an edit itself.
fn edited_content<'t>(source: Source<'t>, edited: Value<'_>) -> Content<'t> {
    let type_name = source.member_or_empty(edited, "type");
    match MessageType::parse(&type_name) {
        None | Some(MessageType::Edit) => Content::Other,
        Some(kind) => content(source, edited, kind, &type_name),
    }
}

fn interactive<'t>(source: Source<'t>, object: Value<'_>) -> Content<'t> {
    let kind = source.member_or_empty(object, "type");
    let Some(answer) = get(object, &kind) else { return Content::Other };
    let text = |name: &str| source.member(answer, name);
    let or_empty = |name: &str| source.member_or_empty(answer, name);
    match &*kind {
        "button_reply" => Content::ButtonReply { id: or_empty("id"), title: or_empty("title") },
        "list_reply" => Content::ListReply { id: or_empty("id"), title: or_empty("title"), description: text("description") },
        "nfm_reply" => Content::FormReply { name: or_empty("name"), body: or_empty("body"), response_json: or_empty("response_json") },
        "call_permission_reply" => Content::CallPermissionReply {
            response: or_empty("response"),
            is_permanent: is_true(answer, "is_permanent"),
            expires_at: source.integer(answer, "expiration_timestamp"),
            source: text("response_source"),
        },
        _ => Content::Other,
    }
}

fn shared_contact<'t>(source: Source<'t>, card: Value<'_>) -> SharedContact<'t> {
    let phones = get(card, "phones").into_iter().flat_map(Value::elements);
    SharedContact {
        name: get(card, "name").and_then(|name| source.member(name, "formatted_name")),
        phones: phones.filter_map(|phone| source.member(phone, "wa_id").or_else(|| source.member(phone, "phone"))).collect(),
    }
}

fn read_context<'t>(source: Source<'t>, context: Value<'_>) -> Context<'t> {
    let product = get(context, "referred_product");
    Context {
        from: source.member(context, "from"),
        id: source.member(context, "id"),
        is_forwarded: is_true(context, "forwarded"),
        is_frequently_forwarded: is_true(context, "frequently_forwarded"),
        referred_product: product
            .map(|product| (source.member_or_empty(product, "catalog_id"), source.member_or_empty(product, "product_retailer_id"))),
    }
}

fn is_true(object: Value<'_>, name: &str) -> bool {
    get(object, name).is_some_and(|value| value.kind() == Kind::True)
}

/// Marks the `url` of every medium of a message: Meta's needs Meta's token, so ours takes its place.
///
/// A medium is what is named like one, or looks like one (a type and a hash beside the URL), so that
/// a kind of media that Meta adds does not leak either. `own_start` is where the item begins.
pub(super) fn mark_media<'t>(source: Source<'t>, message: Value<'_>, own_start: usize, edits: &mut Vec<Edit<'t>>) {
    for (name, object) in message.members().filter(|(_, object)| object.kind() == Kind::Object) {
        if name.spells("edit") {
            if let Some(message) = get(object, "message") {
                mark_media(source, message, own_start, edits);
            }
            continue;
        }
        if get(object, "url").is_none_or(|url| !url.is_string()) {
            continue;
        }
        let is_named = ["image", "audio", "video", "document", "sticker"].iter().any(|media| name.spells(media));
        if is_named || get(object, "mime_type").is_some() || get(object, "sha256").is_some() {
            let id = source.member(object, "id").filter(|id| !id.is_empty());
            source.mark(object, "url", own_start, &Edited::MediaUrl(id), edits);
        }
    }
}

//! What `POST /v1/wa/message` takes: one message of any type, or a read mark (contract §3.1).
//!
//! The bounds are those of `turnpike_domain::message`, which decides; the tests send each of its good
//! and bad requests through both.

use serde_json::{Map, Value, json};

use super::schema::{either, filled, flag, integer, list, named, object, said, string, text, web_url, word};
use super::{interactive, template};

/// Degrees, as a number or as its text.
const DEGREES: &str = "^\\s*[+-]?[0-9]*\\.?[0-9]*([eE][+-]?[0-9]+)?\\s*$";

/// The types of messages and the schema of each.
const TYPES: [(&str, &str); 11] = [
    ("text", "TextMessage"),
    ("image", "ImageMessage"),
    ("audio", "AudioMessage"),
    ("video", "VideoMessage"),
    ("document", "DocumentMessage"),
    ("sticker", "StickerMessage"),
    ("location", "LocationMessage"),
    ("contacts", "ContactsMessage"),
    ("reaction", "ReactionMessage"),
    ("template", "TemplateMessage"),
    ("interactive", "InteractiveMessage"),
];

/// Adds the schemas of requests.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    let mut put = |name: &str, schema: Value| drop(schemas.insert(name.to_owned(), schema));
    put("SendRequest", json!({"oneOf": [named("Message"), named("ReadMark")]}));
    put("Message", one_of(&TYPES));
    put("MessageHead", head());
    put("ReadMark", read_mark());
    put("TextMessage", message("text", text_content(), true));
    put("ImageMessage", message("image", medium(true).schema(), false));
    put("AudioMessage", message("audio", medium(false).may("voice", said(flag(), "A voice note, shown as one.")).schema(), false));
    put("VideoMessage", message("video", medium(true).schema(), false));
    put("DocumentMessage", message("document", medium(true).may("filename", string()).schema(), false));
    put("StickerMessage", message("sticker", medium(false).schema(), false));
    put("LocationMessage", message("location", named("Location"), false));
    put("ContactsMessage", message("contacts", list(contact(), 1..=257), false));
    put("ReactionMessage", message("reaction", reaction(), false));
    put("TemplateMessage", template_message());
    put("InteractiveMessage", message("interactive", named("Interactive"), true));
    put("Location", location());
    put("Medium", medium(false).may("filename", string()).schema());
    interactive::add(schemas);
    template::add(schemas);
}

/// One of several objects, told apart by their `type`.
pub(super) fn one_of(types: &[(&str, &str)]) -> Value {
    let all: Vec<Value> = types.iter().map(|(_, name)| named(name)).collect();
    let mapping: Map<String, Value> = types.iter().map(|(word, name)| ((*word).to_owned(), named(name)["$ref"].clone())).collect();
    json!({"oneOf": all, "discriminator": {"propertyName": "type", "mapping": mapping}})
}

/// What all messages have.
fn head() -> Value {
    let to = "7 to 15 digits with the country code first; no `+`, spaces or dashes.";
    let recipient = "A business-scoped user id, for a user without a visible phone number. Instead of `to`.";
    let callback = "Comes back in every status of the message.";
    object()
        .with("messaging_product", word(&["whatsapp"]))
        .may("to", said(json!({"type": "string", "pattern": "^[1-9][0-9]{6,14}$", "examples": ["905321234567"]}), to))
        .may("recipient", said(json!({"type": "string", "pattern": "^[A-Z]{2}\\.(ENT\\.)?[A-Za-z0-9]{1,128}$"}), recipient))
        .may("recipient_type", word(&["individual"]))
        .may("context", object().about("The message that this one answers.").with("message_id", filled()).schema())
        .may("recipient_identity_key_hash", string())
        .may("biz_opaque_callback_data", said(text(0..=512), callback))
        .and("oneOf", either(&["to", "recipient"]))
        .schema()
}

/// A message of one type: what all have, and the member that its type names.
fn message(kind: &'static str, content: Value, goes_by_direct_send: bool) -> Value {
    let mut own = object().with("type", word(&[kind])).with(kind, content);
    if goes_by_direct_send {
        let category = "Direct Send: Meta makes a template of the message. Text and body have at most 1,024 characters then.";
        let ttl = "Direct Send only: seconds in which it must be delivered; at most 900 for authentication.";
        own = own.may("category", said(word(&["utility", "authentication"]), category)).may("ttl_seconds", said(integer(30..=43_200), ttl));
    } else {
        own = own.seldom("category", json!({"type": "null"}));
    }
    json!({"allOf": [named("MessageHead"), own.schema()]})
}

fn template_message() -> Value {
    let own = object()
        .with("type", word(&["template"]))
        .with("template", named("Template"))
        .may("product_policy", said(word(&["CLOUD_API_FALLBACK", "STRICT"]), "With `mmlite=true` only."))
        .may("message_activity_sharing", said(flag(), "With `mmlite=true` only."))
        .seldom("category", json!({"type": "null"}));
    json!({"allOf": [named("MessageHead"), own.schema()]})
}

fn text_content() -> Value {
    object().with("body", text(1..=4096)).may("preview_url", flag()).schema()
}

/// A file, by the id of an uploaded one or by a link that Meta fetches.
pub(super) fn medium(has_caption: bool) -> super::schema::Object {
    let medium = object()
        .may("id", said(filled(), "Of a file uploaded with `POST /v1/wa/media`."))
        .may("link", said(web_url(), "A public URL, which Meta fetches."))
        .and("oneOf", either(&["id", "link"]));
    if has_caption { medium.may("caption", text(0..=1024)) } else { medium.seldom("caption", json!({"type": "null"})) }
}

fn location() -> Value {
    let degrees = |most: i64| json!({"anyOf": [{"type": "number", "minimum": -most, "maximum": most}, {"type": "string", "pattern": DEGREES, "minLength": 1}]});
    object().with("latitude", degrees(90)).with("longitude", degrees(180)).may("name", string()).may("address", string()).schema()
}

fn contact() -> Value {
    let texts = |names: &[&'static str]| names.iter().fold(object(), |place, name| place.may(name, string()));
    let parts = ["first_name", "last_name", "middle_name", "prefix", "suffix"];
    let given = |name: &&str| json!({"required": [name], "properties": {*name: {"type": "string"}}});
    let name = texts(&parts).with("formatted_name", filled()).and("anyOf", parts.iter().map(given).collect());
    let many = |names: &[&'static str]| list(texts(names).schema(), 0..=usize::MAX);
    object()
        .with("name", name.about("`formatted_name` and at least one of the others.").schema())
        .may("birthday", json!({"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}))
        .may("org", texts(&["company", "department", "title"]).schema())
        .may("phones", many(&["phone", "type", "wa_id"]))
        .may("emails", many(&["email", "type"]))
        .may("urls", many(&["url", "type"]))
        .may("addresses", many(&["street", "city", "state", "zip", "country", "country_code", "type"]))
        .schema()
}

fn reaction() -> Value {
    let emoji = "One emoji; an empty text takes the reaction back.";
    let mut schema = said(text(0..=20), emoji);
    schema["pattern"] = json!("^$|^([0-9#*]*[^\\x00-\\x7F\\s])+[0-9#*]*$");
    object().with("message_id", filled()).with("emoji", schema).schema()
}

/// Mark-as-read, with or without a typing indicator: nothing else may stand beside its members.
fn read_mark() -> Value {
    object()
        .about("Marks a user's message as read, and shows that an answer is being written. Never charged; answered `{\"success\": true}`.")
        .with("messaging_product", word(&["whatsapp"]))
        .with("status", word(&["read"]))
        .with("message_id", filled())
        .may("typing_indicator", object().with("type", word(&["text"])).schema())
        .and("additionalProperties", json!(false))
        .schema()
}

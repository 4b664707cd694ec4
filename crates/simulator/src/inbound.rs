//! What users write: from a few words of a test to the message that Meta reports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::exchange::World;
use crate::media::{FILE_MAX, Origin};
use crate::memory::Line;
use crate::numbers;
use crate::plan::Signature;
use crate::samples;
use crate::statuses;
use crate::users::Person;
use crate::wamid;
use crate::webhooks::event::{Content, Event};

/// Types of a message from a user.
const TYPES: &[&str] = &[
    "text",
    "image",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "order",
    "interactive",
    "button",
    "system",
    "unsupported",
    "request_welcome",
    "edit",
    "revoke",
];

/// The code of an unsupported message.
const UNSUPPORTED: u32 = 131_051;

/// A message from a user: by [`crate::Simulator::reply`] or `POST /_sim/reply`.
///
/// In JSON the payload stands under its type, as at Meta, and may be short:
/// `{"from": "905321234567", "text": "Hi"}`, `{"from": "…", "image": {"caption": "Look"}}`
/// (with a small real picture), `{"from": "…", "image": {"data": "<base64>", "mime_type": "image/png"}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Who writes: a number, a business-scoped id, or a declared username.
    pub from: String,
    /// To which number; left out, to the one that wrote to the user last, else the only one declared,
    /// else the one that wrote to anybody last.
    pub phone_number_id: Option<String>,
    /// `text`, `image`, …
    pub kind: String,
    /// What stands under the type. Media may have `data` (base64) in place of an
    /// `id`; without either they get a small real file.
    pub payload: Value,
    /// The message that it answers.
    pub context: Option<String>,
    /// It was passed on; `true` for "many times".
    pub forwarded: Option<bool>,
    /// The product that it asks about: `{"catalog_id", "product_retailer_id"}`.
    pub referred_product: Option<Value>,
    /// The advertisement by which the user came; opens a free entry point once it
    /// is answered.
    pub referral: Option<Value>,
    /// The group that it is written in, which opens no window.
    pub group_id: Option<String>,
    /// How many simulated seconds ago it was written.
    pub seconds_ago: u32,
}

impl Reply {
    /// A message of this type.
    pub fn new(from: &str, kind: &str, payload: Value) -> Reply {
        Reply {
            from: from.to_owned(),
            phone_number_id: None,
            kind: kind.to_owned(),
            payload,
            context: None,
            forwarded: None,
            referred_product: None,
            referral: None,
            group_id: None,
            seconds_ago: 0,
        }
    }

    /// Some words.
    pub fn text(from: &str, text: &str) -> Reply {
        Reply::new(from, "text", json!({"body": text}))
    }

    /// The same, to this number.
    #[must_use]
    pub fn to_number(mut self, phone_number_id: &str) -> Reply {
        self.phone_number_id = Some(phone_number_id.to_owned());
        self
    }

    /// The same, as the answer to this message.
    #[must_use]
    pub fn answering(mut self, wamid: &str) -> Reply {
        self.context = Some(wamid.to_owned());
        self
    }

    /// Reads `{"from", "phone_number_id"?, "type"?, <type>: …, "context"?, …}`. The
    /// sentence names the member that does not fit.
    pub fn from_json(value: Value) -> Result<Reply, String> {
        let Value::Object(mut members) = value else { return Err("the body must be a JSON object".to_owned()) };
        let from = text(&mut members, "from")?.ok_or("from: the user's number or id is required")?;
        let phone_number_id = text(&mut members, "phone_number_id")?;
        let asked = text(&mut members, "type")?;
        let context = match members.remove("context") {
            None | Some(Value::Null) => None,
            Some(Value::String(wamid)) => Some(wamid),
            Some(Value::Object(mut context)) => {
                let id = text(&mut context, "message_id")?.or(text(&mut context, "id")?);
                if let Some(unknown) = context.keys().next() {
                    return Err(format!("context.{unknown}: no such member; it has message_id"));
                }
                id
            }
            Some(_) => return Err("context: must be a message id, or an object with message_id".to_owned()),
        };
        let forwarded = match members.remove("forwarded") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(true)) => Some(false),
            Some(Value::Bool(false)) => None,
            Some(Value::String(how)) if how == "frequently" => Some(true),
            Some(_) => return Err("forwarded: must be true, or \"frequently\"".to_owned()),
        };
        let referred_product = members.remove("referred_product");
        let referral = members.remove("referral");
        let group_id = text(&mut members, "group_id")?;
        let seconds_ago = match members.remove("seconds_ago") {
            None => 0,
            Some(value) => value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("seconds_ago: must be a whole number")?,
        };
        let kind = match asked {
            Some(kind) => kind,
            None => {
                let given = TYPES.iter().find(|kind| members.contains_key(**kind));
                given.map(|kind| (*kind).to_owned()).ok_or_else(|| missing_type(&members))?
            }
        };
        let payload = members.remove(&kind).unwrap_or(Value::Null);
        if let Some(unknown) = members.keys().next() {
            return Err(format!("{unknown}: no such member"));
        }
        Ok(Reply { from, phone_number_id, kind, payload, context, forwarded, referred_product, referral, group_id, seconds_ago })
    }
}

fn missing_type(members: &Map<String, Value>) -> String {
    match members.keys().next() {
        Some(unknown) => format!("{unknown}: no such member; a message has one of {}", TYPES.join(", ")),
        None => format!("type: a message has one of {}", TYPES.join(", ")),
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(format!("{name}: must be a string")),
    }
}

/// What was made to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// The message's id, where it is a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number that it is about, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// How many subscriptions are told.
    pub told: usize,
}

/// A user writes.
pub(crate) fn reply(world: &World, reply: Reply) -> Result<Happened, String> {
    let person = person(world, &reply.from, "from")?;
    let number = match reply.phone_number_id {
        Some(number) if !number.is_empty() => number,
        _ => number_for(world, &person)?,
    };
    let at = ago(world.clock.now(), reply.seconds_ago);
    let mut extra = Map::new();
    let payload = match reply.kind.as_str() {
        "text" => Some(text_payload(reply.payload)?),
        kind @ ("image" | "audio" | "video" | "document" | "sticker") => Some(media(world, kind, reply.payload, &person, &number, at)?),
        "location" => Some(required(reply.payload, "location", &[("latitude", Value::is_number), ("longitude", Value::is_number)])?),
        "contacts" => Some(contacts(reply.payload)?),
        "reaction" => Some(required(reply.payload, "reaction", &[("message_id", Value::is_string)])?),
        "order" => Some(required(reply.payload, "order", &[("product_items", Value::is_array)])?),
        "interactive" => Some(required(reply.payload, "interactive", &[("type", Value::is_string)])?),
        "button" => Some(required(reply.payload, "button", &[("text", Value::is_string)])?),
        "system" => Some(system(reply.payload, &person, &mut extra, at)?),
        "unsupported" => {
            extra.insert("errors".to_owned(), json!([unsupported()]));
            Some(unsupported_payload(reply.payload)?)
        }
        "request_welcome" => None,
        "edit" => Some(required(reply.payload, "edit", &[("original_message_id", Value::is_string), ("message", Value::is_object)])?),
        "revoke" => Some(required(reply.payload, "revoke", &[("original_message_id", Value::is_string)])?),
        other => return Err(format!("type: {other} is none of {}", TYPES.join(", "))),
    };
    let mut context = Map::new();
    if let Some(wamid) = &reply.context {
        context.insert("from".to_owned(), numbers::own_digits(&number).into());
        context.insert("id".to_owned(), wamid.as_str().into());
    }
    if let Some(many_times) = reply.forwarded {
        context.insert(if many_times { "frequently_forwarded" } else { "forwarded" }.to_owned(), true.into());
    }
    if let Some(product) = reply.referred_product {
        context.insert("from".to_owned(), numbers::own_digits(&number).into());
        context.insert("referred_product".to_owned(), product);
    }
    if !context.is_empty() {
        extra.insert("context".to_owned(), Value::Object(context));
    }
    if let Some(group) = reply.group_id {
        extra.insert("group_id".to_owned(), group.into());
    }
    if let Some(referral) = reply.referral {
        world.phones.entered(&number, person.key(), at);
        extra.insert("referral".to_owned(), referral);
    }
    Ok(deliver(world, &Written { person: &person, number: &number, kind: &reply.kind, at }, payload, extra))
}

/// A message that a user has written.
pub(crate) struct Written<'a> {
    pub(crate) person: &'a Person,
    pub(crate) number: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) at: Timestamp,
}

/// Gives a message its id, opens the window, and tells of it.
pub(crate) fn deliver(world: &World, written: &Written<'_>, payload: Option<Value>, extra: Map<String, Value>) -> Happened {
    let Written { person, number, kind, at } = *written;
    let id = wamid::inbound(person.key(), world.chance.inbound_id());
    let mut message = extra;
    if let Some(phone) = person.visible_phone() {
        message.insert("from".to_owned(), phone.into());
    }
    message.insert("from_user_id".to_owned(), person.user_id.as_str().into());
    if let Some(parent) = &person.parent_user_id {
        message.insert("from_parent_user_id".to_owned(), parent.as_str().into());
    }
    message.insert("id".to_owned(), id.as_str().into());
    message.insert("timestamp".to_owned(), at.as_second().to_string().into());
    message.insert("type".to_owned(), kind.into());
    if let Some(payload) = payload {
        message.insert(kind.to_owned(), payload);
    }
    // What is no message of the user's, or not to the number alone, opens nothing.
    if !message.contains_key("group_id") && !matches!(kind, "system" | "edit" | "revoke" | "request_welcome") {
        world.wrote(number, person.key(), at);
    }
    let contact = (kind != "system").then(|| person.contact(person.visible_phone()));
    let event = Event {
        waba_id: world.numbers.waba_of(number),
        phone_number_id: Some(number.to_owned()),
        field: "messages".to_owned(),
        at,
        content: Content::message(&numbers::metadata(number), &Value::Object(message), contact.as_ref()),
        signature: Signature::Good,
        label: format!("{kind} {id}"),
        attempted: None,
    };
    let told = world.webhooks.emit(event);
    Happened { id: Some(id), phone_number_id: Some(number.to_owned()), told }
}

/// The user whom an address names; the sentence names the member.
pub(crate) fn person(world: &World, address: &str, member: &str) -> Result<Person, String> {
    world
        .users
        .find(address)
        .ok_or_else(|| format!("{member}: {address:?} is no phone number, no business-scoped id, and no username that was declared"))
}

/// The number to which a user writes when none is said: who never heard from anybody writes to the one
/// that was declared, and not to the sandbox number that happened to send last.
pub(crate) fn number_for(world: &World, person: &Person) -> Result<String, String> {
    let is_theirs = |user: &str| user == person.user_id || person.phone.as_deref() == Some(user);
    let number = |message: std::sync::Arc<crate::sent::SentMessage>| message.phone_number_id.clone();
    let theirs = world.sent.newest(|message| is_theirs(&message.user)).map(number);
    theirs
        .or_else(|| world.numbers.only_one())
        .or_else(|| world.sent.newest(|_| true).map(number))
        .ok_or_else(|| "phone_number_id: is required: no number is declared, and none has sent since the first subscription".to_owned())
}

fn ago(now: Timestamp, seconds: u32) -> Timestamp {
    now - jiff::SignedDuration::from_secs(i64::from(seconds))
}

fn text_payload(payload: Value) -> Result<Value, String> {
    match payload {
        Value::String(body) => Ok(json!({"body": body})),
        payload => required(payload, "text", &[("body", Value::is_string)]),
    }
}

type Shape = (&'static str, fn(&Value) -> bool);

/// An object with these members.
fn required(payload: Value, kind: &str, shape: &[Shape]) -> Result<Value, String> {
    if !payload.is_object() {
        return Err(format!("{kind}: must be an object"));
    }
    match shape.iter().find(|(name, fits)| !payload.get(name).is_some_and(fits)) {
        Some((name, _)) => Err(format!("{kind}.{name}: is required, or of the wrong kind")),
        None => Ok(payload),
    }
}

fn contacts(payload: Value) -> Result<Value, String> {
    let Value::Array(contacts) = &payload else { return Err("contacts: must be an array".to_owned()) };
    let nameless = |contact: &Value| !contact["name"]["formatted_name"].is_string();
    match contacts.iter().position(nameless) {
        Some(n) => Err(format!("contacts[{n}].name.formatted_name: is required")),
        None => Ok(payload),
    }
}

/// A file with what webhooks say of it.
fn media(world: &World, kind: &str, payload: Value, person: &Person, number: &str, at: Timestamp) -> Result<Value, String> {
    let mut given = match payload {
        Value::Object(given) => given,
        Value::Null => Map::new(),
        _ => return Err(format!("{kind}: must be an object")),
    };
    let data = text(&mut given, "data").map_err(|problem| format!("{kind}.{problem}"))?;
    let mime_type = text(&mut given, "mime_type").map_err(|problem| format!("{kind}.{problem}"))?;
    let id = text(&mut given, "id").map_err(|problem| format!("{kind}.{problem}"))?;
    let file = match (id, data) {
        (Some(id), _) => {
            let file = world.media.find(&id, at).ok_or_else(|| format!("{kind}.id: there is no media {id}"))?;
            world.media.is_shared_with(&id, person.key());
            file
        }
        (None, data) => {
            let (sample, usual) = samples::of(kind);
            let bytes = match data {
                Some(data) => STANDARD.decode(data).map_err(|_| format!("{kind}.data: must be base64"))?,
                None => sample,
            };
            if bytes.len() > FILE_MAX {
                return Err(format!("{kind}.data: at most {FILE_MAX} bytes"));
            }
            let mime_type = mime_type.unwrap_or_else(|| usual.to_owned());
            world.media.keep(
                world.chance.digits().to_string(),
                number,
                &mime_type,
                Bytes::from(bytes),
                Origin::Received { from: person.key() },
                at,
            )
        }
    };
    let mut shown = Map::new();
    shown.insert("id".to_owned(), file.id.as_str().into());
    shown.insert("mime_type".to_owned(), file.mime_type.as_str().into());
    shown.insert("sha256".to_owned(), STANDARD.encode(file.sha256).into());
    shown.insert("url".to_owned(), world.media.url(&world.base_url, &file, at).into());
    match kind {
        "audio" => {
            shown.insert("voice".to_owned(), given.remove("voice").unwrap_or(true.into()));
        }
        "sticker" => {
            shown.insert("animated".to_owned(), given.remove("animated").unwrap_or(false.into()));
        }
        "document" => {
            shown.insert("filename".to_owned(), given.remove("filename").unwrap_or("document.pdf".into()));
        }
        _ => {}
    }
    if let Some(caption) = given.remove("caption").filter(|_| matches!(kind, "image" | "video" | "document")) {
        shown.insert("caption".to_owned(), caption);
    }
    match given.keys().next() {
        Some(unknown) => Err(format!("{kind}.{unknown}: no such member")),
        None => Ok(Value::Object(shown)),
    }
}

/// A note of the system about the user; the identity change bears its hash beside it.
fn system(payload: Value, person: &Person, extra: &mut Map<String, Value>, at: Timestamp) -> Result<Value, String> {
    let mut given = match payload {
        Value::Object(given) => given,
        Value::Null => Map::new(),
        _ => return Err("system: must be an object".to_owned()),
    };
    let kind = text(&mut given, "type")?.unwrap_or_else(|| "user_changed_number".to_owned());
    let old = person.visible_phone().unwrap_or(&person.user_id).to_owned();
    let body = match kind.as_str() {
        "user_changed_number" => {
            let new = given.get("wa_id").and_then(Value::as_str).ok_or("system.wa_id: the new number is required")?;
            format!("User {} changed from {old} to {new}", person.name)
        }
        "user_changed_user_id" => {
            let new = given.get("user_id").and_then(Value::as_str).ok_or("system.user_id: the new id is required")?;
            format!("User {} changed from {} to {new}", person.name, person.user_id)
        }
        "customer_identity_changed" => {
            let hash = given.remove("hash").unwrap_or_else(|| "DF2lS5v2W6x=".into());
            let identity = json!({"acknowledged": false, "created_timestamp": at.as_second().to_string(), "hash": hash});
            extra.insert("identity".to_owned(), identity);
            format!("User {} changed their security code", person.name)
        }
        other => {
            return Err(format!("system.type: {other} is none of user_changed_number, user_changed_user_id, customer_identity_changed"));
        }
    };
    given.entry("body").or_insert_with(|| body.into());
    given.insert("type".to_owned(), kind.into());
    Ok(Value::Object(given))
}

fn unsupported() -> Value {
    let mut error = statuses::error(UNSUPPORTED);
    if let Some(error) = error.as_object_mut() {
        error.remove("href");
    }
    error
}

fn unsupported_payload(payload: Value) -> Result<Value, String> {
    match payload {
        Value::Null => Ok(json!({"type": "unknown"})),
        Value::String(kind) => Ok(json!({"type": kind})),
        payload => required(payload, "unsupported", &[("type", Value::is_string)]),
    }
}

/// A number's preference of a user about marketing, as [`crate::Simulator::prefer`]
/// and `POST /_sim/preference` take it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preference {
    /// Who.
    pub from: String,
    /// Of which number; as for a [`Reply`].
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// `stop` or `resume`.
    pub value: String,
}

/// A user wants marketing no more, or again.
pub(crate) fn prefer(world: &World, preference: &Preference) -> Result<Happened, String> {
    let person = person(world, &preference.from, "from")?;
    let wants = match preference.value.as_str() {
        "stop" => false,
        "resume" => true,
        _ => return Err("value: must be stop or resume".to_owned()),
    };
    let number = match &preference.phone_number_id {
        Some(number) => number.clone(),
        None => number_for(world, &person)?,
    };
    world.phones.wants_marketing(&number, person.key(), wants);
    world.remember(|| Line::Marketing { number: number.clone(), user: person.key().to_owned(), wants });
    let at = world.clock.now();
    let detail = if wants { "User requested to resume marketing messages" } else { "User requested to stop marketing messages" };
    let mut shown = json!({
        "user_id": person.user_id,
        "detail": detail,
        "category": "marketing_messages",
        "value": preference.value,
        "timestamp": at.as_second(),
    });
    if let Some(phone) = person.visible_phone() {
        shown["wa_id"] = phone.into();
    }
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": numbers::metadata(&number),
        "contacts": [person.contact(person.visible_phone())],
        "user_preferences": [shown],
    });
    let told = world.webhooks.emit(Event {
        waba_id: world.numbers.waba_of(&number),
        phone_number_id: Some(number.clone()),
        field: "user_preferences".to_owned(),
        at,
        content: Content::whole(&value),
        signature: Signature::Good,
        label: format!("user_preferences {}", preference.value),
        attempted: None,
    });
    Ok(Happened { id: None, phone_number_id: Some(number), told })
}

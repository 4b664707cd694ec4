//! Interactive messages: buttons, lists, links, flows, products, orders (meta-cloud-api §1.6).

use serde_json::{Map, Value, json};

use super::schema::{Object, either, filled, integer, list, named, object, or_null, said, string, text, web_url, word};
use super::sends::one_of;

/// The interactive types and the schema of each.
const TYPES: [(&str, &str); 17] = [
    ("button", "InteractiveButtons"),
    ("list", "InteractiveList"),
    ("cta_url", "InteractiveLink"),
    ("flow", "InteractiveFlow"),
    ("product", "InteractiveProduct"),
    ("product_list", "InteractiveProducts"),
    ("catalog_message", "InteractiveCatalog"),
    ("location_request_message", "InteractiveLocationRequest"),
    ("address_message", "InteractiveAddress"),
    ("voice_call", "InteractiveVoiceCall"),
    ("call_permission_request", "InteractiveCallPermission"),
    ("contact_request", "InteractiveContactRequest"),
    ("request_contact_info", "InteractiveContactInfo"),
    ("carousel", "InteractiveCarousel"),
    ("order_details", "InteractiveOrder"),
    ("order_status", "InteractiveOrderStatus"),
    ("mixed", "InteractiveMixed"),
];

/// What may stand above the body.
#[derive(Clone, Copy)]
enum Header {
    /// A text, or a file.
    Any,
    /// A text only.
    Text,
    /// A text, which must be there.
    TextNeeded,
    /// Nothing.
    None,
}

/// Adds the schemas of interactive messages.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    schemas.insert("Interactive".to_owned(), one_of(&TYPES));
    schemas.insert("InteractiveHeader".to_owned(), header(&["text", "image", "video", "document"]));
    schemas.insert("Flow".to_owned(), flow());
    schemas.insert("ProductSections".to_owned(), product_sections());
    for (kind, name) in TYPES {
        schemas.insert(name.to_owned(), interactive(kind));
    }
}

/// One type.
fn interactive(kind: &'static str) -> Value {
    let (above, action) = match kind {
        "button" => (Header::Any, object().with("buttons", buttons("reply", 10))),
        "list" => (Header::Text, list_action()),
        "cta_url" => (Header::Any, link_action()),
        "flow" => (Header::Any, named_action("flow").with("parameters", named("Flow"))),
        "product" => (Header::None, product_action()),
        "product_list" => (Header::TextNeeded, object().with("catalog_id", filled()).with("sections", named("ProductSections"))),
        "catalog_message" => {
            let parameters = object().may("thumbnail_product_retailer_id", filled()).schema();
            (Header::Any, named_action("catalog_message").may("parameters", parameters))
        }
        "location_request_message" => (Header::Any, named_action("send_location")),
        "address_message" => (Header::Any, named_action("address_message").with("parameters", address())),
        "voice_call" => (Header::Any, named_action("voice_call").may("parameters", voice_call())),
        "call_permission_request" => (Header::Any, named_action("call_permission_request")),
        "contact_request" | "request_contact_info" => (Header::Any, named_action("request_contact_info")),
        "carousel" => (Header::None, object().with("cards", list(card(), 2..=10))),
        "order_details" => (Header::Any, named_action("review_and_pay").with("parameters", order(false))),
        "order_status" => (Header::Any, named_action("review_order").with("parameters", order(true))),
        _ => (Header::Any, object().with("buttons", list(json!({"type": "object"}), 1..=10))),
    };
    let body = object().with("text", text(1..=if kind == "list" { 4096 } else { 1024 })).schema();
    let footer = object().with("text", text(1..=60)).schema();
    let whole = object().with("type", word(&[kind])).may("footer", footer).with("action", action.schema());
    let whole = match above {
        Header::Any => whole.may("header", named("InteractiveHeader")),
        Header::Text => whole.may("header", header(&["text"])),
        Header::TextNeeded => whole.with("header", header(&["text"])),
        Header::None => whole.seldom("header", json!({"type": "null"})),
    };
    let whole = match kind {
        "product" | "call_permission_request" | "contact_request" | "request_contact_info" => whole.may("body", body),
        _ => whole.with("body", body),
    };
    match kind {
        "mixed" => whole.about("Direct Send only: buttons of several kinds."),
        "button" => whole.about("At most 3 buttons; 10 with `category` (Direct Send)."),
        _ => whole,
    }
    .schema()
}

/// A header of one of these kinds: the member of that name holds it.
fn header(kinds: &[&'static str]) -> Value {
    let one = |kind: &&'static str| {
        let header = object().with("type", word(&[kind]));
        match *kind {
            "text" => header.with("text", text(1..=60)),
            // The card's action names it.
            "product" => header,
            medium => header.with(medium, named("Medium")),
        }
        .schema()
    };
    match kinds {
        [only] => one(only),
        _ => json!({"oneOf": kinds.iter().map(one).collect::<Vec<_>>()}),
    }
}

/// An action whose name is the only one possible.
fn named_action(name: &'static str) -> Object {
    object().with("name", word(&[name]))
}

/// Buttons that answer; cards call them `quick_reply`.
fn buttons(reply: &'static str, most: usize) -> Value {
    let id = "Comes back when it is tapped; differs from the others', and neither begins nor ends with white space.";
    let mut schema = said(text(1..=256), id);
    schema["not"] = json!({"pattern": "^\\s|\\s$"});
    let content = object().with("id", schema).with("title", said(text(1..=20), "Differs from the others'.")).schema();
    list(object().with("type", word(&[reply])).with(reply, content).schema(), 1..=most)
}

fn list_action() -> Object {
    let row = object().with("id", text(1..=200)).with("title", text(1..=24)).may("description", text(0..=72));
    let section =
        object().may("title", said(text(0..=24), "Needed where there are several sections.")).with("rows", list(row.schema(), 1..=10));
    object().with("button", text(1..=20)).with("sections", said(sections(section), "At most 10 rows in all."))
}

fn link_action() -> Object {
    named_action("cta_url").with("parameters", object().with("display_text", text(1..=20)).with("url", web_url()).schema())
}

fn product_action() -> Object {
    object().with("catalog_id", filled()).with("product_retailer_id", filled())
}

fn product_sections() -> Value {
    let item = object().with("product_retailer_id", filled()).schema();
    let section =
        object().may("title", said(text(1..=24), "Needed where there are several sections.")).with("product_items", list(item, 1..=30));
    said(sections(section), "At most 30 products in all.")
}

/// Up to ten sections; where there are several, each has a title.
fn sections(section: Object) -> Value {
    let titled = object().with("title", json!({"type": "string", "minLength": 1})).schema();
    let mut sections = list(section.schema(), 1..=10);
    sections["if"] = json!({"minItems": 2});
    sections["then"] = json!({"items": titled});
    sections
}

fn flow() -> Value {
    let payload = object().may("screen", filled()).may("data", json!({"type": "object", "minProperties": 1}));
    object()
        .with("flow_message_version", json!({"enum": ["3", 3]}))
        .may("flow_id", filled())
        .may("flow_name", filled())
        .with("flow_cta", text(1..=30))
        .may("flow_token", string())
        .may("mode", word(&["draft", "published"]))
        .may("flow_action", word(&["navigate", "data_exchange"]))
        .may("flow_action_payload", payload.schema())
        .and("oneOf", either(&["flow_id", "flow_name"]))
        .schema()
}

fn address() -> Value {
    let anything = || json!({"type": "object"});
    let saved = object().with("id", filled()).with("value", anything()).schema();
    object()
        .with("country", word(&["IN", "SG"]))
        .may("values", anything())
        .may("validation_errors", anything())
        .may("saved_addresses", list(saved, 0..=usize::MAX))
        .schema()
}

fn voice_call() -> Value {
    object().may("display_text", text(1..=20)).may("ttl_minutes", integer(1..=43_200)).may("payload", string()).schema()
}

/// A card with buttons, with a link, or with a product.
fn card() -> Value {
    let with = |header: Value, action: Value, is_product: bool| {
        let kind = json!({"type": ["string", "null"], "not": {"const": "product"}});
        let own = object().with("card_index", integer(0..=9)).may("body", object().with("text", card_text()).schema());
        let own = if is_product { own.with("type", word(&["product"])) } else { own.seldom("type", kind) };
        let own = if is_product { own.seldom("header", or_null(header)) } else { own.with("header", header) };
        own.with("action", action).schema()
    };
    let quick_replies = object().with("buttons", buttons("quick_reply", 3)).schema();
    let link = link_action().seldom("buttons", json!({"type": "null"})).schema();
    let files = || header(&["image", "video"]);
    json!({"anyOf": [
        with(files(), quick_replies, false),
        with(files(), link, false),
        with(header(&["image", "video", "product"]), product_action().schema(), true),
    ]})
}

/// Up to two line breaks.
fn card_text() -> Value {
    let mut schema = text(1..=160);
    schema["not"] = json!({"pattern": "\\n[\\s\\S]*\\n[\\s\\S]*\\n"});
    schema
}

/// What an order must have; the rest differs by country and provider, and Meta decides on it.
fn order(is_status: bool) -> Value {
    let order = object().may("status", string()).schema();
    let parameters = object().with("reference_id", filled());
    if is_status { parameters.with("order", order) } else { parameters.may("order", order) }.schema()
}

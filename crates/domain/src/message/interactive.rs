//! Interactive messages: what stands around the action, and the actions that are not about products
//! (meta-cloud-api §1.6).

use super::commerce;
use super::media::{self, Caption, link};
use super::place::{Faults, Need, Optional, Place, Required, one_of};
use super::template_fields::CARDS_MAX;
use crate::send::Category;

/// Declares the interactive types with Meta's spelling.
macro_rules! interactive_kinds {
    ($($variant:ident $text:literal,)*) => {
        /// `interactive.type`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum InteractiveKind { $($variant,)* }

        impl InteractiveKind {
            pub(super) const ALL: &'static [InteractiveKind] = &[$(InteractiveKind::$variant),*];

            pub(super) fn as_str(self) -> &'static str {
                match self { $(InteractiveKind::$variant => $text,)* }
            }

            fn parse(text: &str) -> Option<InteractiveKind> {
                match text { $($text => Some(InteractiveKind::$variant),)* _ => None }
            }
        }
    };
}

interactive_kinds! {
    Button "button",
    List "list",
    CtaUrl "cta_url",
    Flow "flow",
    Product "product",
    ProductList "product_list",
    CatalogMessage "catalog_message",
    LocationRequestMessage "location_request_message",
    AddressMessage "address_message",
    VoiceCall "voice_call",
    CallPermissionRequest "call_permission_request",
    // Meta's pages and its open-source clients name this one differently; Meta decides.
    ContactRequest "contact_request",
    RequestContactInfo "request_contact_info",
    Carousel "carousel",
    OrderDetails "order_details",
    OrderStatus "order_status",
    Mixed "mixed",
}

impl InteractiveKind {
    /// Whether it can go out with `category` (meta-cloud-api §1.9).
    fn goes_by_direct_send(self) -> bool {
        matches!(self, InteractiveKind::Button | InteractiveKind::CtaUrl | InteractiveKind::Mixed | InteractiveKind::VoiceCall)
    }
}

/// Longest body of an interactive message.
const BODY_CHARS_MAX: usize = 1024;
/// Longest body of a list: the laxer of Meta's two figures.
const LIST_BODY_CHARS_MAX: usize = 4096;
const HEADER_CHARS_MAX: usize = 60;
const FOOTER_CHARS_MAX: usize = 60;
/// Longest label of a button of any kind.
const LABEL_CHARS_MAX: usize = 20;
/// Longest label that opens a flow: the laxer of Meta's two figures.
const FLOW_LABEL_CHARS_MAX: usize = 30;
/// Longest id of a reply button.
const BUTTON_ID_CHARS_MAX: usize = 256;
const BUTTONS_MAX: usize = 3;
/// Most buttons of a Direct Send (meta-cloud-api §1.9).
const DIRECT_SEND_BUTTONS_MAX: usize = 10;
const SECTIONS_MAX: usize = 10;
/// Most rows in all sections of a list together.
const ROWS_MAX: usize = 10;
const SECTION_TITLE_CHARS_MAX: usize = 24;
const ROW_ID_CHARS_MAX: usize = 200;
const ROW_TITLE_CHARS_MAX: usize = 24;
const ROW_DESCRIPTION_CHARS_MAX: usize = 72;
const CARD_BODY_CHARS_MAX: usize = 160;
const CARD_LINE_BREAKS_MAX: usize = 2;
/// Longest time that a call button works: 30 days.
const CALL_TTL_MINUTES_MAX: i64 = 43_200;

/// The `interactive` of the body, and which kind it is.
pub(super) fn read(root: &Place<'_>, direct_send: Option<Category>, faults: &mut Faults) -> Option<InteractiveKind> {
    let interactive = root.object("interactive", Required, faults)?;
    let kind = InteractiveKind::parse(&interactive.any_string("type", Required, faults)?.text());
    let Some(kind) = kind else {
        let known: Vec<&str> = InteractiveKind::ALL.iter().map(|kind| kind.as_str()).collect();
        interactive.fault("type", one_of(&known), faults);
        return None;
    };
    if direct_send.is_some() && !kind.goes_by_direct_send() {
        interactive.fault("type", "must be one of button, cta_url, mixed, voice_call where `category` is given", faults);
    } else if direct_send.is_none() && kind == InteractiveKind::Mixed {
        interactive.fault("type", "mixed goes only with `category` (Direct Send)", faults);
    }
    header(&interactive, kind, faults);
    body(&interactive, kind, faults);
    if let Some(footer) = interactive.object("footer", Optional, faults) {
        footer.string("text", Required, 1..=FOOTER_CHARS_MAX, faults);
    }
    if let Some(action) = interactive.object("action", Required, faults) {
        check_action(&action, kind, direct_send, faults);
    }
    Some(kind)
}

fn body(interactive: &Place<'_>, kind: InteractiveKind, faults: &mut Faults) {
    let need = match kind {
        InteractiveKind::Product
        | InteractiveKind::CallPermissionRequest
        | InteractiveKind::ContactRequest
        | InteractiveKind::RequestContactInfo => Optional,
        _ => Required,
    };
    let most = if kind == InteractiveKind::List { LIST_BODY_CHARS_MAX } else { BODY_CHARS_MAX };
    if let Some(body) = interactive.object("body", need, faults) {
        body.string("text", Required, 1..=most, faults);
    }
}

fn header(interactive: &Place<'_>, kind: InteractiveKind, faults: &mut Faults) {
    let (need, kinds): (Need, &[&str]) = match kind {
        InteractiveKind::List => (Optional, &["text"]),
        InteractiveKind::ProductList => (Required, &["text"]),
        InteractiveKind::Product | InteractiveKind::Carousel => {
            if interactive.has("header") {
                interactive.fault("header", format!("is not allowed in a message of type {}", kind.as_str()), faults);
            }
            return;
        }
        _ => (Optional, &["text", "image", "video", "document"]),
    };
    if let Some(header) = interactive.object("header", need, faults) {
        header_fields(&header, kinds, faults);
    }
}

fn header_fields(header: &Place<'_>, kinds: &[&str], faults: &mut Faults) {
    match header.word("type", Required, kinds, faults).as_deref() {
        Some("text") => {
            header.string("text", Required, 1..=HEADER_CHARS_MAX, faults);
        }
        // A product needs nothing here: the card's action names it.
        Some("product") | None => {}
        Some(medium) => {
            if let Some(media) = header.object(medium, Required, faults) {
                media::check(&media, Caption::Refused, faults);
                if medium == "document" {
                    media.any_string("filename", Optional, faults);
                }
            }
        }
    }
}

fn check_action(action: &Place<'_>, kind: InteractiveKind, direct_send: Option<Category>, faults: &mut Faults) {
    match kind {
        InteractiveKind::Button => {
            let most = if direct_send.is_some() { DIRECT_SEND_BUTTONS_MAX } else { BUTTONS_MAX };
            reply_buttons(action, "reply", most, faults);
        }
        InteractiveKind::Mixed => {
            action.list("buttons", Required, 1..=DIRECT_SEND_BUTTONS_MAX, faults);
        }
        InteractiveKind::List => list(action, faults),
        InteractiveKind::CtaUrl => {
            named_action(action, "cta_url", faults);
            cta_parameters(action, faults);
        }
        InteractiveKind::Flow => flow(action, faults),
        InteractiveKind::Product => commerce::product(action, faults),
        InteractiveKind::ProductList => commerce::product_list(action, faults),
        InteractiveKind::CatalogMessage => commerce::catalog(action, faults),
        InteractiveKind::LocationRequestMessage => named_action(action, "send_location", faults),
        InteractiveKind::AddressMessage => address(action, faults),
        InteractiveKind::VoiceCall => voice_call(action, faults),
        InteractiveKind::CallPermissionRequest => named_action(action, "call_permission_request", faults),
        InteractiveKind::ContactRequest | InteractiveKind::RequestContactInfo => named_action(action, "request_contact_info", faults),
        InteractiveKind::Carousel => carousel(action, faults),
        InteractiveKind::OrderDetails => commerce::order(action, "review_and_pay", faults),
        InteractiveKind::OrderStatus => commerce::order(action, "review_order", faults),
    }
}

/// An action whose `name` is the only one possible.
pub(super) fn named_action(action: &Place<'_>, name: &'static str, faults: &mut Faults) {
    action.word("name", Required, &[name], faults);
}

/// Reply buttons; a carousel's cards call them `quick_reply`.
fn reply_buttons(action: &Place<'_>, reply_name: &'static str, most: usize, faults: &mut Faults) {
    let Some(list) = action.list("buttons", Required, 1..=most, faults) else { return };
    let places = list.objects(faults);
    let mut ids: Vec<String> = Vec::with_capacity(places.len());
    let mut titles: Vec<String> = Vec::with_capacity(places.len());
    for button in &places {
        button.word("type", Required, &[reply_name], faults);
        let Some(reply) = button.object(reply_name, Required, faults) else { continue };
        if let Some(id) = reply.string("id", Required, 1..=BUTTON_ID_CHARS_MAX, faults) {
            let id = id.text().into_owned();
            if id.starts_with(char::is_whitespace) || id.ends_with(char::is_whitespace) {
                reply.fault("id", "must not begin or end with white space", faults);
            }
            if list.sound && ids.contains(&id) {
                reply.fault("id", "must differ from the ids of the other buttons", faults);
            }
            ids.push(id);
        }
        if let Some(title) = reply.string("title", Required, 1..=LABEL_CHARS_MAX, faults) {
            let title = title.text().into_owned();
            if list.sound && titles.contains(&title) {
                reply.fault("title", "must differ from the titles of the other buttons", faults);
            }
            titles.push(title);
        }
    }
}

fn list(action: &Place<'_>, faults: &mut Faults) {
    action.string("button", Required, 1..=LABEL_CHARS_MAX, faults);
    let Some(sections) = action.list("sections", Required, 1..=SECTIONS_MAX, faults) else { return };
    let title = if sections.len() > 1 { Required } else { Optional };
    let mut row_count = 0;
    for section in sections.objects(faults) {
        let least = if title == Required { 1 } else { 0 };
        section.string("title", title, least..=SECTION_TITLE_CHARS_MAX, faults);
        let Some(rows) = section.list("rows", Required, 1..=usize::MAX, faults) else { continue };
        row_count += rows.len();
        for row in rows.objects(faults) {
            row.string("id", Required, 1..=ROW_ID_CHARS_MAX, faults);
            row.string("title", Required, 1..=ROW_TITLE_CHARS_MAX, faults);
            row.string("description", Optional, 0..=ROW_DESCRIPTION_CHARS_MAX, faults);
        }
    }
    if row_count > ROWS_MAX {
        faults.add(sections.path(), format!("must have at most {ROWS_MAX} rows in all ({row_count} given)"));
    }
}

fn cta_parameters(action: &Place<'_>, faults: &mut Faults) {
    if let Some(parameters) = action.object("parameters", Required, faults) {
        parameters.string("display_text", Required, 1..=LABEL_CHARS_MAX, faults);
        link(&parameters, "url", Required, faults);
    }
}

fn flow(action: &Place<'_>, faults: &mut Faults) {
    named_action(action, "flow", faults);
    let Some(parameters) = action.object("parameters", Required, faults) else { return };
    match parameters.field("flow_message_version") {
        None => parameters.fault("flow_message_version", "is required", faults),
        Some(version) if version.spells("3") || version.integer() == Some(3) => {}
        Some(_) => parameters.fault("flow_message_version", "must be \"3\"", faults),
    }
    parameters.filled("flow_id", Optional, faults);
    parameters.filled("flow_name", Optional, faults);
    match (parameters.has("flow_id"), parameters.has("flow_name")) {
        (true, true) => parameters.fault_here("must have either `flow_id` or `flow_name`, not both", faults),
        (false, false) => parameters.fault_here("must have `flow_id` or `flow_name`", faults),
        _ => {}
    }
    parameters.string("flow_cta", Required, 1..=FLOW_LABEL_CHARS_MAX, faults);
    parameters.any_string("flow_token", Optional, faults);
    parameters.word("mode", Optional, &["draft", "published"], faults);
    parameters.word("flow_action", Optional, &["navigate", "data_exchange"], faults);
    if let Some(payload) = parameters.object("flow_action_payload", Optional, faults) {
        payload.filled("screen", Optional, faults);
        if let Some(data) = payload.object("data", Optional, faults)
            && data.value().members().next().is_none()
        {
            payload.fault("data", "must not be empty; leave it out instead", faults);
        }
    }
}

fn address(action: &Place<'_>, faults: &mut Faults) {
    named_action(action, "address_message", faults);
    let Some(parameters) = action.object("parameters", Required, faults) else { return };
    parameters.word("country", Required, &["IN", "SG"], faults);
    parameters.object("values", Optional, faults);
    parameters.object("validation_errors", Optional, faults);
    if let Some(addresses) = parameters.list("saved_addresses", Optional, 0..=usize::MAX, faults) {
        for address in addresses.objects(faults) {
            address.filled("id", Required, faults);
            address.object("value", Required, faults);
        }
    }
}

fn voice_call(action: &Place<'_>, faults: &mut Faults) {
    named_action(action, "voice_call", faults);
    let Some(parameters) = action.object("parameters", Optional, faults) else { return };
    parameters.string("display_text", Optional, 1..=LABEL_CHARS_MAX, faults);
    parameters.integer("ttl_minutes", Optional, 1..=CALL_TTL_MINUTES_MAX, faults);
    parameters.any_string("payload", Optional, faults);
}

fn carousel(action: &Place<'_>, faults: &mut Faults) {
    let Some(cards) = action.list("cards", Required, 2..=CARDS_MAX, faults) else { return };
    for card in cards.objects(faults) {
        card.integer("card_index", Required, 0..=9, faults);
        // Cards of links and products name their type, cards of quick replies have none.
        let kind = card.any_string("type", Optional, faults).map(|kind| kind.text());
        let is_product = kind.as_deref() == Some("product");
        let (need, kinds): (Need, &[&str]) =
            if is_product { (Optional, &["image", "video", "product"]) } else { (Required, &["image", "video"]) };
        if let Some(header) = card.object("header", need, faults) {
            header_fields(&header, kinds, faults);
        }
        if let Some(body) = card.object("body", Optional, faults)
            && let Some(text) = body.string("text", Required, 1..=CARD_BODY_CHARS_MAX, faults)
            && text.text().matches('\n').count() > CARD_LINE_BREAKS_MAX
        {
            body.fault("text", format!("must have at most {CARD_LINE_BREAKS_MAX} line breaks"), faults);
        }
        let Some(card_action) = card.object("action", Required, faults) else { continue };
        if is_product {
            commerce::product(&card_action, faults);
        } else if card_action.has("buttons") {
            reply_buttons(&card_action, "quick_reply", BUTTONS_MAX, faults);
        } else {
            named_action(&card_action, "cta_url", faults);
            cta_parameters(&card_action, faults);
        }
    }
}

//! What the messaging API answers (contract §2, §3.3, §4).

use serde_json::{Map, Value, json};
use turnpike_domain::send::{Category, MessageKind, MessageState, Mode};
use turnpike_domain::webhook::{PricingType, StatusKind};
use turnpike_engine::keys::Scopes;

use super::schema::{amount, any_integer, filled, flag, integer, list, named, object, or_null, said, string, time, word, words};

/// Adds the schemas of answers.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    let mut put = |name: &str, schema: Value| drop(schemas.insert(name.to_owned(), schema));
    put("Sent", sent());
    put("Marked", answer(object().with("success", json!({"const": true})).schema()));
    put("Billing", billing());
    put("Checked", checked());
    put("MessageView", message_view());
    put("Money", money());
    put("Leg", leg());
    put("Status", status());
    put("Me", me());
    put("Window", window());
}

/// `{"isSuccess": true, "data": …}`.
pub(super) fn answer(data: Value) -> Value {
    object().with("isSuccess", json!({"const": true})).with("data", data).schema()
}

fn sent() -> Value {
    let contact = object().with("input", said(string(), "The recipient as the request named it."));
    let contact = contact.seldom("wa_id", said(string(), "WhatsApp's id of the user."));
    let id = said(filled(), "The wamid: WhatsApp's id of the message, which its statuses bear.");
    let message = object().with("id", id).seldom("message_status", string()).schema();
    let data = object()
        .about("WhatsApp's answer.")
        .with("messaging_product", word(&["whatsapp"]))
        .with("contacts", list(contact.schema(), 0..=usize::MAX))
        .with("messages", said(list(message, 0..=usize::MAX), "One; none where an operator found that it was sent, but not its wamid."))
        .schema();
    object().with("isSuccess", json!({"const": true})).with("data", data).with("billing", named("Billing")).schema()
}

fn billing() -> Value {
    object()
        .about("What the message costs.")
        .with("baseFee", said(amount(), "The gateway's own fee."))
        .with("metaFeeHeld", said(amount(), "Meta's fee, held until its delivery is reported; 0 where Meta bills you directly."))
        .with("currency", currency())
        .with("market", said(string(), "The recipient's market, by which Meta prices."))
        .with("category", category())
        .with("rateCard", said(string(), "The rate card it is priced by."))
        .schema()
}

fn checked() -> Value {
    object()
        .with("valid", json!({"const": true}))
        .with("type", kind())
        .with("billing", named("Billing"))
        .seldom("template", said(word(&["matched", "not_checked"]), "Whether the template's definition was known and compared."))
        .schema()
}

fn message_view() -> Value {
    let entry = object()
        .with("at", time())
        .with("event", said(string(), "A state, or a movement of money. New ones may appear."))
        .with("detail", string())
        .schema();
    object()
        .with("id", message_id())
        .with("wamid", or_null(string()))
        .with("appId", string())
        .with("to", or_null(said(string(), "As long as it is kept.")))
        .with("type", kind())
        .with("mode", words(Mode::ALL, Mode::as_str))
        .with("state", said(words(MessageState::ALL, MessageState::as_str), STATES))
        .with("timeline", said(list(entry, 0..=usize::MAX), "What happened, oldest first."))
        .with("statuses", list(named("Status"), 0..=usize::MAX))
        .with("price", named("Billing"))
        .with("money", named("Money"))
        .with("problem", or_null(problem()))
        .with("bizOpaqueCallbackData", or_null(string()))
        .schema()
}

const STATES: &str = "`admitted`: held, not answered yet. `unknown`: it may or may not have been sent. `refused`: nothing was sent. \
    `failed`: WhatsApp took it and could not deliver it. `presumed_not_sent`: was unknown, and no evidence came.";

fn problem() -> Value {
    object()
        .about("Why it did not go out, and what to do.")
        .with("code", string())
        .with("metaCode", or_null(any_integer()))
        .with("title", string())
        .with("details", or_null(string()))
        .with("hint", string())
        .with("fbtraceId", or_null(string()))
        .schema()
}

fn money() -> Value {
    object()
        .about("What became of the price, leg by leg.")
        .with("base", named("Leg"))
        .with("baseWhy", string())
        .with("meta", named("Leg"))
        .with("metaWhy", string())
        .seldom("metaReported", said(amount(), "Meta's fee where Meta bills you directly: reported, never held."))
        .with("currency", currency())
        .schema()
}

fn leg() -> Value {
    object().with("state", word(&["none", "held", "captured", "released", "late_captured", "refunded"])).seldom("amount", amount()).schema()
}

fn status() -> Value {
    let pricing = object()
        .with("type", or_null(words(PricingType::ALL, PricingType::as_str)))
        .with("billable", or_null(flag()))
        .with("category", or_null(string()));
    let failure = object()
        .with("code", any_integer())
        .with("title", string())
        .with("details", or_null(string()))
        .with("whatHappened", string())
        .with("whatToDo", string());
    object()
        .with("status", words(StatusKind::ALL, StatusKind::as_str))
        .with("at", said(time(), "Meta's own time."))
        .with("receivedAt", time())
        .seldom("pricing", pricing.schema())
        .seldom("failure", failure.schema())
        .schema()
}

fn me() -> Value {
    let paused = object().with("code", any_integer()).with("title", string()).with("hint", string()).with("since", time()).schema();
    let count = || integer(0..=i64::from(u32::MAX));
    let concurrency = object().with("limit", count()).with("remaining", count()).schema();
    let spend = object().with("limit", amount()).with("remaining", amount()).with("resetMs", integer(0..=86_400_000)).schema();
    let limits = object()
        .with("sec", named("Window"))
        .with("min", named("Window"))
        .seldom("day", named("Window"))
        .seldom("concurrency", concurrency)
        .seldom("spend", spend)
        .schema();
    let balance = object()
        .about("For keys with the scope `billing:read`.")
        .with("currency", currency())
        .with("available", amount())
        .with("held", said(amount(), "Reserved for messages under way."))
        .schema();
    object()
        .with("appId", string())
        .with("displayName", string())
        .with("status", word(&["DRAFT", "ACTIVATED", "SUSPENDED"]))
        .with("phoneNumber", or_null(string()))
        .with("phoneNumberId", or_null(string()))
        .with("paused", or_null(said(paused, "Why the number is paused, where Meta barred it.")))
        .with("mode", word(&["live", "sandbox"]))
        .with("scopes", list(word(&Scopes::ALL.names()), 0..=usize::MAX))
        .with("limits", limits)
        .seldom("balance", balance)
        .schema()
}

fn window() -> Value {
    let count = || integer(0..=i64::from(u32::MAX));
    let reset = said(integer(0..=86_400_000), "Milliseconds until the next slot frees; 0 where none is taken.");
    object().with("limit", count()).with("remaining", count()).with("resetMs", reset).schema()
}

fn currency() -> Value {
    json!({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]})
}

fn category() -> Value {
    words(Category::ALL, Category::as_str)
}

fn kind() -> Value {
    words(MessageKind::ALL, MessageKind::as_str)
}

fn message_id() -> Value {
    json!({"type": "string", "format": "uuid", "description": "The gateway's id of the message, a UUID v7."})
}

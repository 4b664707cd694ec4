//! From an accepted message to its statuses.
//!
//! Accepting only plans and schedules; what a status says is put together when it
//! is due, so that an answer never waits for it.

use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use crate::exchange::World;
use crate::graph::codes;
use crate::graph::messages::Endpoint;
use crate::memory::Line;
use crate::numbers;
use crate::phones::Accepted;
use crate::plan::{PlanFacts, PlannedStatus, Pricing};
use crate::sent::SentMessage;
use crate::users::Person;
use crate::validate::Checked;
use crate::webhooks::Due;
use crate::webhooks::event::{Attempted, Content, Event};

/// Where Meta explains its codes.
const ERRORS_HREF: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// The code of a `failed` of which nothing more is said.
const SOMETHING_WENT_WRONG: u32 = 131_000;

/// Free-form outside the window.
const RE_ENGAGEMENT: u32 = 131_047;

/// Marketing to one who wants none.
const STOPPED_MARKETING: u32 = 131_050;

/// Since when a free-form message and a utility template are charged inside the
/// window too: 2026-10-01 in UTC.
const NOTHING_IS_FREE_SINCE: i64 = 1_790_812_800;

/// A message was taken and has its id. Gives what the answer must wait for: the
/// statuses that are to overtake it.
pub(crate) fn accepted(
    world: &World,
    number: &str,
    checked: &Checked,
    members: &Map<String, Value>,
    endpoint: Endpoint,
    wamid: &str,
) -> Vec<oneshot::Receiver<()>> {
    let told = world.webhooks.any();
    if !told && world.events.is_none() {
        return Vec::new();
    }
    let at = world.clock.now();
    let key = world.users.find(&checked.user).map_or_else(|| checked.user.clone(), |person| person.key().to_owned());
    let window_open = world.phones.window_open(number, &key, at);
    let callback_data = members.get("biz_opaque_callback_data").and_then(Value::as_str).map(str::to_owned);
    if let Some(events) = &world.events {
        events.accepted(&Accepted {
            at,
            phone_number_id: number.to_owned(),
            user: checked.user.clone(),
            wamid: wamid.to_owned(),
            kind: checked.kind.to_owned(),
            template_category: checked.template_category.clone(),
            biz_opaque_callback_data: callback_data.clone(),
            window_open,
        });
    }
    if !told {
        return Vec::new();
    }
    let direct = members.get("category").and_then(Value::as_str).map(str::to_ascii_lowercase);
    let category = match (&checked.template_category, &direct) {
        (Some(_), _) if endpoint == Endpoint::Marketing => "marketing_lite".to_owned(),
        (Some(category), _) => category.to_ascii_lowercase(),
        (None, Some(direct)) => direct.clone(),
        (None, None) => "service".to_owned(),
    };
    let template = members.get("template").filter(|_| checked.kind == "template");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = Arc::new(SentMessage {
        at,
        phone_number_id: number.to_owned(),
        user: checked.user.clone(),
        by_phone: checked.by_phone,
        wamid: wamid.to_owned(),
        kind: checked.kind.to_owned(),
        template: template.map(|template| (text(&template["name"]), text(&template["language"]["code"]))),
        payload: matches!(checked.kind, "interactive" | "template").then(|| members.get(checked.kind).cloned()).flatten(),
        callback_data,
        voice: checked.kind == "audio" && members.get("audio").is_some_and(|audio| audio["voice"] == true),
        window_open,
        free_entry_until: world.phones.answered(number, &key, at),
        category,
        free: OnceLock::new(),
    });
    world.remember(|| Line::Sent(Box::new(SentMessage::clone(&message))));
    world.sent.keep(Arc::clone(&message));
    let free_form = checked.kind != "template" && direct.is_none();
    let doomed = if free_form && !window_open {
        Some(RE_ENGAGEMENT)
    } else if message.category.starts_with("marketing") && world.phones.has_stopped(number, &key) {
        Some(STOPPED_MARKETING)
    } else {
        None
    };
    plan(world, &message, doomed)
}

fn plan(world: &World, message: &Arc<SentMessage>, doomed: Option<u32>) -> Vec<oneshot::Receiver<()>> {
    let facts = PlanFacts {
        user: &message.user,
        by_phone: message.by_phone,
        kind: &message.kind,
        template: message.template.as_ref().map(|(name, _)| name.as_str()),
        phone_number_id: &message.phone_number_id,
        voice: message.voice,
        doomed,
        category: &message.category,
    };
    let mut statuses = world.plans.of(&facts, &world.timing, &world.chance);
    price_once(&mut statuses);
    let mut held = Vec::new();
    for status in statuses {
        if status.before_answer {
            for _ in 0..status.times {
                let (attempted, receiver) = Attempted::new();
                held.push(receiver);
                let event = event(world, message, &status, message.at);
                world.webhooks.emit(Event { attempted: Some(attempted), ..event });
            }
            continue;
        }
        let after = SignedDuration::from_millis(i64::try_from(status.after_ms).unwrap_or(i64::MAX));
        let Ok(at) = message.at.checked_add(after) else { continue };
        for _ in 1..status.times {
            world.webhooks.schedule.add(at, Due::Status(Arc::clone(message), status.clone()));
        }
        if status.times > 0 {
            world.webhooks.schedule.add(at, Due::Status(Arc::clone(message), status));
        }
    }
    held
}

/// Leaves Meta's price on `sent` and on whichever of `delivered` and `read` is first.
fn price_once(statuses: &mut [PlannedStatus]) {
    let arrives = |status: &PlannedStatus| matches!(status.status.as_str(), "delivered" | "read");
    let time = |status: &PlannedStatus| (!status.before_answer, status.after_ms);
    let first = (0..statuses.len()).filter(|n| arrives(&statuses[*n])).min_by_key(|n| time(&statuses[*n]));
    for (n, status) in statuses.iter_mut().enumerate() {
        if status.pricing == Pricing::AsMeta && status.status != "sent" && Some(n) != first {
            status.pricing = Pricing::Absent;
        }
    }
}

/// Does what is due, for as long as the simulator runs.
pub(crate) async fn run(world: Arc<World>) {
    loop {
        let (at, due) = world.webhooks.schedule.next(&world.clock).await;
        match due {
            Due::Status(message, status) => {
                world.webhooks.emit(event(&world, &message, &status, at));
            }
            Due::Retry(subscribed, delivery) => subscribed.repeat(delivery),
        }
    }
}

/// A status now, whatever the message's plan says; how many are told.
pub(crate) fn report(world: &World, message: &SentMessage, status: &PlannedStatus) -> usize {
    world.webhooks.emit(event(world, message, status, world.clock.now()))
}

fn event(world: &World, message: &SentMessage, status: &PlannedStatus, at: Timestamp) -> Event {
    let person = world.users.find(&message.user);
    let failed = status.status == "failed";
    let object = object(world, message, status, at, person.as_ref());
    let contact = match &person {
        Some(person) if !failed => {
            // Whoever was written to by number is known by it.
            let phone = if message.by_phone { Some(message.user.as_str()) } else { person.visible_phone() };
            Some(person.contact(phone))
        }
        _ => None,
    };
    Event {
        waba_id: world.numbers.waba_of(&message.phone_number_id),
        field: "messages".to_owned(),
        at,
        content: Content::status(&numbers::metadata(&message.phone_number_id), &object, contact.as_ref()),
        phone_number_id: Some(message.phone_number_id.clone()),
        signature: status.signature,
        label: format!("{} {}", status.status, message.wamid),
        attempted: None,
    }
}

fn object(world: &World, message: &SentMessage, status: &PlannedStatus, at: Timestamp, person: Option<&Person>) -> Value {
    let failed = status.status == "failed";
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", message.wamid.as_str().into());
    put("status", status.status.as_str().into());
    put("timestamp", at.as_second().to_string().into());
    let phone = if message.by_phone { Some(message.user.as_str()) } else { person.and_then(Person::visible_phone) };
    if let Some(phone) = phone {
        put("recipient_id", phone.into());
    }
    if let Some(person) = person
        && !(failed && message.by_phone)
    {
        put("recipient_user_id", person.user_id.as_str().into());
        if let Some(parent) = &person.parent_user_id {
            put("recipient_parent_user_id", parent.as_str().into());
        }
    }
    if let Some(data) = &message.callback_data
        && !(failed && world.omit_callback_data_on_failed)
    {
        put("biz_opaque_callback_data", data.as_str().into());
    }
    if failed || status.code.is_some() {
        put("errors", json!([error(status.code.unwrap_or(SOMETHING_WENT_WRONG))]));
    } else {
        let bears_price = status.pricing != Pricing::Absent && matches!(status.status.as_str(), "sent" | "delivered" | "read");
        match &status.pricing {
            Pricing::These(pricing) => {
                put("pricing", pricing.clone());
            }
            Pricing::AsMeta if bears_price => {
                put("pricing", pricing(world, message));
            }
            _ => {}
        }
        if let Some(until) = message.free_entry_until.filter(|_| bears_price) {
            let id = conversation_id(message, until);
            let mut conversation = json!({"id": id, "origin": {"type": "referral_conversion"}});
            if status.status == "sent" {
                conversation["expiration_timestamp"] = until.as_second().to_string().into();
            }
            put("conversation", conversation);
        }
    }
    for (name, value) in &status.with {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    Value::Object(object)
}

/// What Meta says of a message's price.
fn pricing(world: &World, message: &SentMessage) -> Value {
    let (billable, kind, category) = if message.free_entry_until.is_some() {
        (false, "free_entry_point", "referral_conversion")
    } else {
        let may_be_free = matches!(message.category.as_str(), "service" | "utility");
        let is_charged = message.at.as_second() >= NOTHING_IS_FREE_SINCE;
        let of_the_month = || *message.free.get_or_init(|| world.allowance.take(&message.phone_number_id, message.at));
        let free = may_be_free && message.window_open && (!is_charged || message.category == "service" && of_the_month());
        (!free, if free { "free_customer_service" } else { "regular" }, message.category.as_str())
    };
    json!({"billable": billable, "pricing_model": "PMP", "type": kind, "category": category})
}

/// One for all messages of one free entry point.
fn conversation_id(message: &SentMessage, until: Timestamp) -> String {
    let until = until.as_second().to_string();
    let parts = [message.phone_number_id.as_str(), message.user.as_str(), until.as_str()];
    hex::encode(crate::chance::Chance::stable_id(&parts))
}

/// An element of `errors[]`.
pub(crate) fn error(code: u32) -> Value {
    let (title, details) = codes::find(code).map_or(("Unknown error", "No details are known."), |row| (row.title, row.details));
    json!({"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": ERRORS_HREF})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_on_sent_and_on_the_first_of_delivered_and_read() {
        let priced = |statuses: &[(&str, u64)]| -> Vec<bool> {
            let mut statuses: Vec<PlannedStatus> = statuses.iter().map(|(status, ms)| PlannedStatus::new(status, *ms)).collect();
            price_once(&mut statuses);
            statuses.iter().map(|status| status.pricing == Pricing::AsMeta).collect()
        };
        assert_eq!(priced(&[("sent", 1), ("delivered", 2), ("read", 3), ("played", 4)]), [true, true, false, false]);
        assert_eq!(priced(&[("read", 1), ("delivered", 2), ("sent", 3)]), [true, false, true]);
        assert_eq!(priced(&[("sent", 1), ("read", 2)]), [true, true]);
    }

    #[test]
    fn every_error_has_the_members_that_meta_gives() {
        let known = error(131_047);
        assert_eq!(known["title"], "Re-engagement message");
        assert!(known["error_data"]["details"].as_str().is_some_and(|details| details.contains("24 hours")));
        assert_eq!(error(999_999)["code"], 999_999);
    }
}

//! Calls: what the field `calls` tells of one that a user makes, or that was made to a user.
//!
//! Nothing rings here and no sound goes anywhere: a test says what happened, and who subscribed is
//! told. What a call has beside its usual members (a session, a duration) is given as it stands.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::exchange::World;
use crate::inbound::{self, Happened};
use crate::numbers;
use crate::plan::Signature;
use crate::wamid;
use crate::webhooks::event::{Content, Event};

/// Something happens to a call: by [`crate::Simulator::call`] or `POST /_sim/call`.
/// `{"from": "905321234567"}` rings; `{"from": "905321234567", "id": "wacid.…", "event": "terminate"}`
/// ends it; `{"from": "…", "direction": "BUSINESS_INITIATED", "status": "RINGING"}` is the other way.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The user, whichever of the two calls.
    pub from: String,
    /// Which of the business's numbers; as for a [`crate::Reply`].
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// The call's id, `wacid.…`; a new one without it.
    #[serde(default)]
    pub id: Option<String>,
    /// `connect` (the usual one), `terminate`: an element of `calls`.
    #[serde(default)]
    pub event: Option<String>,
    /// `RINGING`, `ACCEPTED`, `REJECTED`: an element of `statuses` instead.
    #[serde(default)]
    pub status: Option<String>,
    /// `USER_INITIATED`, or `BUSINESS_INITIATED`.
    #[serde(default)]
    pub direction: Option<String>,
    /// Members beside or in place of the usual ones; `null` takes one out.
    #[serde(default)]
    pub with: Map<String, Value>,
}

/// Who calls, where it is not said.
const BY_USER: &str = "USER_INITIATED";

/// The other way round.
const BY_BUSINESS: &str = "BUSINESS_INITIATED";

/// Tells of a call. One that a user makes opens the window, like a message.
pub(crate) fn call(world: &World, call: Call) -> Result<Happened, String> {
    if call.event.is_some() && call.status.is_some() {
        return Err("event, status: one of them".to_owned());
    }
    let direction = call.direction.as_deref().unwrap_or(BY_USER);
    if ![BY_USER, BY_BUSINESS].contains(&direction) {
        return Err(format!("direction: must be {BY_USER} or {BY_BUSINESS}"));
    }
    let person = inbound::person(world, &call.from, "from")?;
    let number = match call.phone_number_id {
        Some(number) if !number.is_empty() => number,
        _ => inbound::number_for(world, &person)?,
    };
    let at = world.clock.now();
    let id = call.id.unwrap_or_else(|| wamid::inbound(person.key(), world.chance.inbound_id()).replacen("wamid.", "wacid.", 1));
    let (own, user) = (numbers::own_digits(&number), person.visible_phone());
    let mut told_of = json!({"id": id, "timestamp": at.as_second().to_string()});
    let list = match &call.status {
        Some(status) => {
            told_of["type"] = "call".into();
            told_of["status"] = status.as_str().into();
            told_of["recipient_id"] = user.into();
            told_of["recipient_user_id"] = person.user_id.as_str().into();
            "statuses"
        }
        None => {
            told_of["event"] = call.event.as_deref().unwrap_or("connect").into();
            told_of["direction"] = direction.into();
            let (users, ours) = if direction == BY_USER { ("from", "to") } else { ("to", "from") };
            told_of[users] = user.into();
            told_of[format!("{users}_user_id")] = person.user_id.as_str().into();
            told_of[ours] = own.into();
            "calls"
        }
    };
    if let Some(members) = told_of.as_object_mut() {
        members.extend(call.with);
        members.retain(|_, value| !value.is_null());
    }
    if direction == BY_USER && call.status.is_none() {
        world.wrote(&number, person.key(), at);
    }
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": numbers::metadata(&number),
        "contacts": [person.contact(user)],
    });
    value[list] = json!([told_of]);
    let told = world.webhooks.emit(Event {
        waba_id: world.numbers.waba_of(&number),
        phone_number_id: Some(number.clone()),
        field: "calls".to_owned(),
        at,
        content: Content::whole(&value),
        signature: Signature::Good,
        label: format!("calls {id}"),
        attempted: None,
    });
    Ok(Happened { id: Some(id), phone_number_id: Some(number), told })
}

//! `POST /{version}/{number}/messages` and `/marketing_messages`.

use serde::Serialize;
use serde_json::{Map, json};
use tokio::time::Instant;

use super::error::GraphError;
use super::request::GraphRequest;
use super::{Found, Taking};
use crate::exchange::World;
use crate::numbers::own_digits;
use crate::statuses;
use crate::validate;
use crate::wamid;

/// Which of the two sending edges was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/messages`.
    Cloud,
    /// `/marketing_messages`.
    Marketing,
}

#[derive(Serialize)]
struct SendAnswer<'a> {
    messaging_product: &'static str,
    contacts: [Contact<'a>; 1],
    messages: [Message<'a>; 1],
}

#[derive(Serialize)]
struct Contact<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wa_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_status: Option<&'static str>,
}

/// Takes a message, a read mark or a typing mark.
pub(super) fn send(world: &World, request: &GraphRequest<'_>, endpoint: Endpoint, taking: Taking) -> Result<Found, GraphError> {
    let nothing = Map::new();
    let members = request.body.object().unwrap_or(&nothing);
    if endpoint == Endpoint::Cloud && members.contains_key("status") {
        validate::mark(members)?;
        return Ok(Found::json(&json!({"success": true})));
    }
    let message = validate::message(members, endpoint, request.version, &world.templates)?;
    let number = request.object_id;
    if message.user == own_digits(number) {
        return Err(GraphError::usual(131_021));
    }
    if taking == Taking::Takes
        && let Some(limits) = &world.limits
    {
        limits.take(number, &message.user, Instant::now())?;
    }

    let id = wamid::outbound(&message.user, world.chance.wamid_id());
    let mut held = Vec::new();
    if taking == Taking::Takes {
        world.gave_wamid(number, &id);
        let to = || world.users.find(&message.user).map_or_else(|| message.user.clone(), |person| person.key().to_owned());
        world.media.sent(members, to);
        held = statuses::accepted(world, number, &message, members, endpoint, &id);
    }
    let by_phone = message.by_phone;
    let answer = SendAnswer {
        messaging_product: "whatsapp",
        contacts: [Contact {
            input: &message.input,
            wa_id: by_phone.then_some(message.user.as_str()),
            user_id: (!by_phone).then_some(message.user.as_str()),
        }],
        messages: [Message { id: &id, message_status: (message.kind == "template").then_some("accepted") }],
    };
    let body = serde_json::to_vec(&answer).expect("strings always become JSON");
    Ok(Found { body, wamid: Some(id), counted_for: None, held })
}

//! Taps: what a user can touch on a message that was really sent to them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::exchange::World;
use crate::inbound::{self, Happened, Written};
use crate::numbers;
use crate::sent::SentMessage;

/// How long a permission to call holds: seven days.
const CALL_PERMISSION_SECONDS: i64 = 7 * 24 * 3_600;

/// A tap: by [`crate::Simulator::tap`] or `POST /_sim/tap`.
///
/// `{"message_id": "wamid.…", "button": "yes"}` taps on a message;
/// `{"from": "905321234567", "row": "Tomorrow"}` on the newest message to that
/// user that has such a row.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// On which message; left out, the newest of the user's that has what is named, or, where nothing
    /// is, with something to tap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Who; may be left out where the message is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only messages of this number, where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// A button's id, title or (of a template) payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub button: Option<String>,
    /// Whatever has this id or title: a button, a row, the button of a flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A list row's id or title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// What the flow's screens were filled with; the flow's token is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Map<String, Value>>,
}

/// Something that can be tapped, and what comes of it.
struct Target {
    what: What,
    /// Of a button, a row or an answer.
    id: String,
    title: String,
    /// `interactive` or `button`.
    kind: &'static str,
    payload: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Button,
    Row,
    Flow,
}

/// A user taps.
pub(crate) fn tap(world: &World, tap: &Tap) -> Result<Happened, String> {
    if [tap.button.is_some(), tap.row.is_some(), tap.title.is_some(), tap.flow.is_some()].into_iter().filter(|given| *given).count() > 1 {
        return Err("button, row, title, flow: only one can be tapped at a time".to_owned());
    }
    let message = message(world, tap)?;
    let person = inbound::person(world, tap.from.as_deref().unwrap_or(&message.user), "from")?;
    if message.user != person.user_id && Some(message.user.as_str()) != person.phone.as_deref() {
        return Err(format!("from: the message {} was not sent to this user but to {}", message.wamid, message.user));
    }
    let targets = targets(world, &message);
    let target = choose(tap, &message, targets)?;
    let mut payload = target.payload;
    if let Some(answers) = &tap.flow {
        fill_in(&mut payload, answers);
    }
    if payload["call_permission_reply"]["response"] == "accept" {
        let until = world.clock.now().as_second() + CALL_PERMISSION_SECONDS;
        payload["call_permission_reply"]["expiration_timestamp"] = until.to_string().into();
    }
    let mut extra = Map::new();
    let from = numbers::own_digits(&message.phone_number_id);
    extra.insert("context".to_owned(), json!({"from": from, "id": message.wamid}));
    let written = Written { person: &person, number: &message.phone_number_id, kind: target.kind, at: world.clock.now() };
    Ok(inbound::deliver(world, &written, Some(payload), extra))
}

fn message(world: &World, tap: &Tap) -> Result<std::sync::Arc<SentMessage>, String> {
    if let Some(wamid) = &tap.message_id {
        return world.sent.by_wamid(wamid).ok_or_else(|| {
            format!("message_id: no message {wamid} is remembered; messages are, from the first subscription on, the newest 50,000")
        });
    }
    let from = tap.from.as_deref().ok_or("message_id: the message, or `from`, is required")?;
    let person = inbound::person(world, from, "from")?;
    let theirs = |message: &SentMessage| message.user == person.user_id || Some(message.user.as_str()) == person.phone.as_deref();
    let of_number = |message: &SentMessage| tap.phone_number_id.as_ref().is_none_or(|number| *number == message.phone_number_id);
    let can_be_meant = |message: &SentMessage| message.payload.is_some() && theirs(message) && of_number(message);
    let wanted = Wanted::of(tap);
    // What was named is looked for on older messages, too: a person scrolls up. What is nowhere is
    // explained by the newest.
    world
        .sent
        .newest(|message| can_be_meant(message) && wanted.among(&targets(world, message)).is_some())
        .or_else(|| world.sent.newest(|message| can_be_meant(message) && !targets(world, message).is_empty()))
        .ok_or_else(|| format!("from: no message with anything to tap was sent to {from}"))
}

/// What a tap names.
struct Wanted<'a> {
    /// The member that names it; for a sentence.
    member: &'static str,
    /// `None`: of any sort.
    what: Option<What>,
    /// Id or title; `None`: the first of its sort.
    name: Option<&'a str>,
}

impl Wanted<'_> {
    fn of(tap: &Tap) -> Wanted<'_> {
        let wanted = |member, what, name| Wanted { member, what, name };
        match (&tap.button, &tap.row, &tap.title, &tap.flow) {
            (Some(button), ..) => wanted("button", Some(What::Button), Some(button.as_str())),
            (_, Some(row), ..) => wanted("row", Some(What::Row), Some(row.as_str())),
            (_, _, Some(title), _) => wanted("title", None, Some(title.as_str())),
            (_, _, _, Some(_)) => wanted("flow", Some(What::Flow), None),
            _ => wanted("message_id", None, None),
        }
    }

    fn is_of_sort(&self, target: &Target) -> bool {
        self.what.is_none_or(|what| target.what == what)
    }

    /// Which of these it is; an id goes before a title.
    fn among(&self, targets: &[Target]) -> Option<usize> {
        let Some(name) = self.name else { return targets.iter().position(|target| self.is_of_sort(target)) };
        let by = |of: fn(&Target) -> &str| targets.iter().position(|target| self.is_of_sort(target) && of(target) == name);
        by(|target| &target.id).or_else(|| by(|target| &target.title))
    }
}

fn choose(tap: &Tap, message: &SentMessage, mut targets: Vec<Target>) -> Result<Target, String> {
    let wanted = Wanted::of(tap);
    if let Some(at) = wanted.among(&targets) {
        return Ok(targets.swap_remove(at));
    }
    let there: Vec<String> =
        targets.iter().filter(|target| wanted.is_of_sort(target)).map(|target| format!("{:?} ({})", target.title, target.id)).collect();
    let member = wanted.member;
    Err(match wanted.name {
        Some(name) if !there.is_empty() => {
            format!("{member}: the message {} has no {name:?}; it has {}", message.wamid, there.join(", "))
        }
        _ if targets.is_empty() => format!("{member}: on {} ({}) nothing can be tapped", message.wamid, message.kind),
        _ => format!("{member}: the message {} ({}) has none", message.wamid, message.kind),
    })
}

/// All that can be tapped on a message.
fn targets(world: &World, message: &SentMessage) -> Vec<Target> {
    let Some(payload) = &message.payload else { return Vec::new() };
    match message.kind.as_str() {
        "interactive" => interactive(payload),
        "template" => template(world, message, payload),
        _ => Vec::new(),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn interactive(payload: &Value) -> Vec<Target> {
    let action = &payload["action"];
    match text(payload, "type") {
        "button" => items(&action["buttons"]).map(|button| reply_button(&button["reply"])).collect(),
        "list" => items(&action["sections"]).flat_map(|section| items(&section["rows"])).map(row).collect(),
        "flow" => vec![flow(text(&action["parameters"], "flow_token"), text(&action["parameters"], "flow_cta"), "flow")],
        "address_message" => vec![flow("", "Address", "address_message")],
        "call_permission_request" => ["accept", "reject"].into_iter().map(call_permission).collect(),
        "carousel" => items(&action["cards"])
            .flat_map(|card| items(&card["action"]["buttons"]))
            .filter(|button| button["quick_reply"].is_object() || button["reply"].is_object())
            .map(|button| reply_button(if button["quick_reply"].is_object() { &button["quick_reply"] } else { &button["reply"] }))
            .collect(),
        _ => Vec::new(),
    }
}

fn reply_button(reply: &Value) -> Target {
    let (id, title) = (text(reply, "id").to_owned(), text(reply, "title").to_owned());
    let payload = json!({"type": "button_reply", "button_reply": {"id": id, "title": title}});
    Target { what: What::Button, id, title, kind: "interactive", payload }
}

fn row(row: &Value) -> Target {
    let (id, title) = (text(row, "id").to_owned(), text(row, "title").to_owned());
    let mut reply = json!({"id": id, "title": title});
    if let Some(description) = row["description"].as_str() {
        reply["description"] = description.into();
    }
    Target { what: What::Row, id, title, kind: "interactive", payload: json!({"type": "list_reply", "list_reply": reply}) }
}

fn flow(token: &str, cta: &str, name: &str) -> Target {
    let token = if token.is_empty() { "unused" } else { token };
    let answers = if name == "flow" { json!({"flow_token": token}) } else { json!({}) };
    let reply = json!({"name": name, "body": "Sent", "response_json": answers.to_string()});
    Target {
        what: What::Flow,
        id: token.to_owned(),
        title: cta.to_owned(),
        kind: "interactive",
        payload: json!({"type": "nfm_reply", "nfm_reply": reply}),
    }
}

fn call_permission(answer: &str) -> Target {
    let reply = json!({"response": answer, "is_permanent": false, "response_source": "user_action"});
    Target {
        what: What::Button,
        id: answer.to_owned(),
        title: answer.to_owned(),
        kind: "interactive",
        payload: json!({"type": "call_permission_reply", "call_permission_reply": reply}),
    }
}

/// Adds what the user filled in to a flow's answer.
fn fill_in(payload: &mut Value, answers: &Map<String, Value>) {
    let reply = &mut payload["nfm_reply"]["response_json"];
    let mut all: Map<String, Value> = reply.as_str().and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    all.extend(answers.clone());
    *reply = Value::Object(all).to_string().into();
}

fn template(world: &World, message: &SentMessage, payload: &Value) -> Vec<Target> {
    let Some((name, language)) = &message.template else { return Vec::new() };
    let Some(seed) = world.templates.sendable(name, language) else { return Vec::new() };
    let mut targets = Vec::new();
    for component in &seed.components {
        match text(component, "type").to_ascii_uppercase().as_str() {
            "BUTTONS" => targets.extend(template_buttons(&component["buttons"], &payload["components"])),
            "CAROUSEL" => {
                let given = items(&payload["components"]).find(|given| text(given, "type").eq_ignore_ascii_case("carousel"));
                for (n, card) in items(&component["cards"]).enumerate() {
                    let sent = given.map_or(&Value::Null, |given| {
                        items(&given["cards"])
                            .find(|sent| sent["card_index"].as_u64() == Some(n as u64))
                            .map_or(&Value::Null, |sent| &sent["components"])
                    });
                    for part in items(&card["components"]).filter(|part| text(part, "type").eq_ignore_ascii_case("buttons")) {
                        targets.extend(template_buttons(&part["buttons"], sent));
                    }
                }
            }
            _ => {}
        }
    }
    targets
}

/// The buttons of a template's definition with what the send gave each of them.
fn template_buttons(buttons: &Value, sent: &Value) -> Vec<Target> {
    let parameters = |n: usize| {
        items(sent)
            .find(|given| {
                let index = given["index"].as_str().and_then(|index| index.parse().ok()).or_else(|| given["index"].as_u64());
                text(given, "type").eq_ignore_ascii_case("button") && index == Some(n as u64)
            })
            .map_or(&Value::Null, |given| &given["parameters"][0])
    };
    items(buttons)
        .enumerate()
        .filter_map(|(n, button)| {
            let title = text(button, "text").to_owned();
            match text(button, "type").to_ascii_uppercase().as_str() {
                "QUICK_REPLY" => {
                    let id = parameters(n)["payload"].as_str().unwrap_or(&title).to_owned();
                    let payload = json!({"payload": id, "text": title});
                    Some(Target { what: What::Button, id, title, kind: "button", payload })
                }
                "FLOW" => Some(flow(text(&parameters(n)["action"], "flow_token"), &title, "flow")),
                _ => None,
            }
        })
        .collect()
}

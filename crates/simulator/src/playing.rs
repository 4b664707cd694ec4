//! What a test makes happen on the other side: replies, taps, statuses, changes,
//! and the time.
//!
//! Each is a call of [`Simulator`] and a route under `/_sim`; both come here.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::calls::{self, Call};
use crate::changes::{self, About};
use crate::exchange::World;
use crate::inbound::{self, Happened, Preference, Reply};
use crate::numbers::Number;
use crate::plan::{PlannedStatus, Pricing, SetStatusRule, Signature, StatusRule};
use crate::server::Simulator;
use crate::statuses;
use crate::tap::{self, Tap};
use crate::users::User;
use crate::wabas::Waba;
use crate::wamid;
use crate::webhooks::event::{Content, Event};
use crate::webhooks::{Handshake, Made, Subscription, SubscriptionReport};

/// How long (in real time) [`settle`] waits at most.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// The clock can be put forward by so many days at once.
const ADVANCE_DAYS_MAX: i64 = 3_660;

/// What was asked for cannot be; the sentence names the member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unplayable(pub String);

/// A status out of turn: by [`Simulator::status`] or `POST /_sim/status`.
/// `{"message_id": "wamid.…", "status": "failed", "code": 131026}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusNow {
    /// Of which message; left out, of the newest.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Of the newest message to this user, where no message is said.
    #[serde(default)]
    pub to: Option<String>,
    /// `sent`, `delivered`, `read`, `played`, `failed`.
    pub status: String,
    /// The code of a `failed`.
    #[serde(default)]
    pub code: Option<u32>,
    /// A pricing object; none without it.
    #[serde(default)]
    pub pricing: Option<Value>,
    /// How often.
    #[serde(default)]
    pub times: Option<u32>,
    /// The message went to this group, and the status is one participant's: whom it was sent to here.
    #[serde(default)]
    pub group_id: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub signature: Signature,
    /// Members in place of the status' own; `null` takes one out.
    #[serde(default)]
    pub with: serde_json::Map<String, Value>,
}

/// A change of a template: by [`Simulator::template`] or `POST /_sim/template`. The
/// stored template changes with it. At least one of the three must be given.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateChange {
    /// The template's name.
    pub name: String,
    /// Its language; `en_US` where it is left out.
    #[serde(default)]
    pub language: Option<String>,
    /// In which account; the account of undeclared numbers where it is left out.
    #[serde(default)]
    pub waba_id: Option<String>,
    /// `APPROVED`, `REJECTED`, `PAUSED`, `DISABLED`, …: `message_template_status_update`.
    #[serde(default)]
    pub status: Option<String>,
    /// Why, for a status.
    #[serde(default)]
    pub reason: Option<String>,
    /// The new category: `template_category_update`.
    #[serde(default)]
    pub category: Option<String>,
    /// The new score, `GREEN`, `YELLOW`, `RED`, `UNKNOWN`: `message_template_quality_update`.
    #[serde(default)]
    pub quality: Option<String>,
}

/// Any change: by [`Simulator::event`] or `POST /_sim/event`.
/// `{"field": "account_update", "value": {"event": "ACCOUNT_RESTRICTION"}}`, or by its name alone with a
/// value as Meta's documents show it: `{"field": "account_alerts"}` (`GET /_sim/fields` lists those).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawEvent {
    /// `account_update`, `phone_number_quality_update`, `smb_message_echoes`, …
    pub field: String,
    /// The whole value; null for the field's example. Where it is about a number and has no `metadata`,
    /// it gets it.
    #[serde(default)]
    pub value: Value,
    /// Members in place of the example's own; `null` takes one out.
    #[serde(default)]
    pub with: serde_json::Map<String, Value>,
    /// The user whom an example is about; one of Meta's examples without it.
    #[serde(default)]
    pub from: Option<String>,
    /// About which number, where it is about one.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// Of which account; the number's, or that of undeclared numbers, without it.
    #[serde(default)]
    pub waba_id: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub signature: Signature,
}

/// The simulated clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClockReport {
    /// The simulated time; in JSON, RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    pub now: Timestamp,
    /// How many times as fast as real time it runs.
    pub speed: f64,
}

impl Simulator {
    /// Subscribes and makes the handshake. The subscription stands however that
    /// went; [`SubscriptionReport::handshake`] says how.
    ///
    /// # Errors
    /// When the URL cannot be called at all, or something is missing.
    pub async fn subscribe(&self, subscription: Subscription) -> Result<SubscriptionReport, Unplayable> {
        subscribe(&self.world, subscription, Made::ByProgram).await.map_err(Unplayable)
    }

    /// Takes subscriptions to this URL back; how many there were.
    pub fn unsubscribe(&self, url: &str) -> usize {
        let removed = self.world.webhooks.remove(|_, subscription| subscription.url == url);
        self.world.remember_subscriptions();
        removed
    }

    /// Trusts these certificates (PEM) too when a callback is called over https, in
    /// subscriptions that are made from now on.
    ///
    /// # Errors
    /// When there is no certificate in it.
    pub fn trust(&self, roots_pem: &[u8]) -> Result<(), Unplayable> {
        self.world.webhooks.trust.add(roots_pem).map_err(|problem| Unplayable(format!("roots_pem: {problem}")))
    }

    /// All subscriptions, what they are owed, and what they answered lately.
    pub fn webhooks(&self) -> Vec<SubscriptionReport> {
        self.world.webhooks.reports()
    }

    /// At most so many updates in a POST from now on, 1 to 1,000.
    pub fn set_batch_max(&self, batch_max: usize) {
        self.world.webhooks.set_batch_max(batch_max);
    }

    /// Lets matching messages have other statuses than the usual; gives the rule's id.
    ///
    /// # Errors
    /// When the rule can never be carried out.
    pub fn plan(&self, rule: StatusRule) -> Result<u64, Unplayable> {
        self.world.plans.add(vec![rule]).map(|ids| ids[0]).map_err(Unplayable)
    }

    /// The rules for statuses that are set, with what they struck.
    pub fn plans(&self) -> Vec<SetStatusRule> {
        self.world.plans.all()
    }

    /// Takes all rules for statuses back.
    pub fn clear_plans(&self) {
        self.world.plans.clear();
    }

    /// Declares a user.
    ///
    /// # Errors
    /// When the number or the id cannot be one.
    pub fn define_user(&self, user: User) -> Result<(), Unplayable> {
        self.world.users.define(user).map(|_| ()).map_err(Unplayable)
    }

    /// Declares which account a number belongs to.
    ///
    /// # Errors
    /// When one of the ids is empty, or too many were declared.
    pub fn define_number(&self, number: Number) -> Result<(), Unplayable> {
        self.world.numbers.define(number).map_err(Unplayable)
    }

    /// Declares an account: its time zone.
    ///
    /// # Errors
    /// When its id is empty, its zone is no number, or too many were declared.
    pub fn define_waba(&self, waba: Waba) -> Result<(), Unplayable> {
        self.world.wabas.define(waba).map_err(Unplayable)
    }

    /// A user writes.
    ///
    /// # Errors
    /// When the payload does not fit its type, or no number can be found.
    pub fn reply(&self, reply: Reply) -> Result<Happened, Unplayable> {
        inbound::reply(&self.world, reply).map_err(Unplayable)
    }

    /// A user calls, or is called.
    ///
    /// # Errors
    /// When the user or the direction cannot be, or no number can be found.
    pub fn call(&self, call: Call) -> Result<Happened, Unplayable> {
        calls::call(&self.world, call).map_err(Unplayable)
    }

    /// A user taps on a message that was sent to them.
    ///
    /// # Errors
    /// When the message is unknown, or has nothing of the kind.
    pub fn tap(&self, tap: &Tap) -> Result<Happened, Unplayable> {
        tap::tap(&self.world, tap).map_err(Unplayable)
    }

    /// A user wants marketing no more, or again.
    ///
    /// # Errors
    /// When the value is neither `stop` nor `resume`.
    pub fn prefer(&self, preference: &Preference) -> Result<Happened, Unplayable> {
        inbound::prefer(&self.world, preference).map_err(Unplayable)
    }

    /// A status of a message now, whatever its plan says.
    ///
    /// # Errors
    /// When the message is unknown.
    pub fn status(&self, status: StatusNow) -> Result<Happened, Unplayable> {
        status_now(&self.world, status).map_err(Unplayable)
    }

    /// A template changes.
    ///
    /// # Errors
    /// When there is no such template, or nothing is to change.
    pub fn template(&self, change: &TemplateChange) -> Result<Happened, Unplayable> {
        template(&self.world, change).map_err(Unplayable)
    }

    /// Any change, as it stands, or a field's example.
    ///
    /// # Errors
    /// When there is neither a value nor an example, or an example lacks its number.
    pub fn event(&self, event: RawEvent) -> Result<Happened, Unplayable> {
        change(&self.world, event).map_err(Unplayable)
    }

    /// A user writes to a number now, which opens the window for a day; nobody is
    /// told.
    pub fn user_wrote(&self, phone_number_id: &str, user: &str) {
        let key = self.world.users.find(user).map_or_else(|| user.to_owned(), |person| person.key().to_owned());
        self.world.wrote(phone_number_id, &key, self.world.clock.now());
    }

    /// The simulated clock.
    pub fn clock(&self) -> ClockReport {
        clock_report(&self.world)
    }

    /// Lets simulated time run so many times as fast as real time.
    ///
    /// # Errors
    /// When that is no speed: it must be above 0, and at most a million.
    pub fn set_speed(&self, speed: f64) -> Result<(), Unplayable> {
        set_speed(&self.world, speed).map_err(Unplayable)
    }

    /// Puts the simulated clock forward, and returns once everything that became
    /// due has had its attempt (or after a minute of real time; then `false`).
    pub async fn advance(&self, by: Duration) -> bool {
        self.world.clock.advance(SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX));
        settle(&self.world).await
    }

    /// Returns once everything that is due by now has had its attempt (or after a
    /// minute of real time; then `false`).
    pub async fn settled(&self) -> bool {
        settle(&self.world).await
    }
}

pub(crate) async fn subscribe(world: &World, subscription: Subscription, made: Made) -> Result<SubscriptionReport, String> {
    let subscribed = world.webhooks.add(subscription, made)?;
    let _: Handshake = subscribed.shake_hands(world.chance.digits()).await;
    world.remember_subscriptions();
    Ok(subscribed.report())
}

pub(crate) fn status_now(world: &World, status: StatusNow) -> Result<Happened, String> {
    let message = match (&status.message_id, &status.to) {
        (Some(wamid), _) => world.sent.by_wamid(wamid).ok_or_else(|| {
            format!("message_id: no message {wamid} is remembered; messages are, from the first subscription on, the newest 50,000")
        })?,
        (None, to) => {
            let person = to.as_deref().map(|to| inbound::person(world, to, "to")).transpose()?;
            let fits = |user: &str| person.as_ref().is_none_or(|person| user == person.user_id || Some(user) == person.phone.as_deref());
            let newest = world.sent.newest(|message| fits(&message.user));
            newest.ok_or("message_id: is required, since nothing that fits was sent since the first subscription")?
        }
    };
    if status.status.is_empty() {
        return Err("status: must not be empty".to_owned());
    }
    let mut with = status.with;
    if let Some(group) = status.group_id {
        let participant = world.users.find(&message.user).and_then(|person| person.visible_phone().map(str::to_owned));
        let told = [
            ("recipient_type", "group".into()),
            ("recipient_id", group.into()),
            ("recipient_participant_id", participant.unwrap_or_else(|| message.user.clone()).into()),
            ("recipient_user_id", Value::Null),
            ("recipient_parent_user_id", Value::Null),
        ];
        for (name, value) in told {
            with.entry(name).or_insert(value);
        }
    }
    let planned = PlannedStatus {
        pricing: status.pricing.map_or(Pricing::Absent, Pricing::These),
        code: status.code,
        signature: status.signature,
        with,
        ..PlannedStatus::new(&status.status, 0)
    };
    let mut told = 0;
    for _ in 0..status.times.unwrap_or(1).min(1_000) {
        told = statuses::report(world, &message, &planned);
    }
    Ok(Happened { id: Some(message.wamid.clone()), phone_number_id: Some(message.phone_number_id.clone()), told })
}

pub(crate) fn template(world: &World, change: &TemplateChange) -> Result<Happened, String> {
    if change.status.is_none() && change.category.is_none() && change.quality.is_none() {
        return Err("status, category, quality: one of them is required".to_owned());
    }
    let language = change.language.as_deref().unwrap_or("en_US");
    let mut wabas = match &change.waba_id {
        Some(waba) => vec![waba.clone()],
        None => world.templates.wabas_with(&change.name, language),
    };
    if wabas.is_empty() {
        wabas.push(world.numbers.default_waba().to_owned());
    }
    let mut told = 0;
    for waba in wabas {
        told = told.max(template_of(world, &waba, language, change)?);
    }
    Ok(Happened { id: None, phone_number_id: None, told })
}

/// Changes one account's template; gives how many are told.
fn template_of(world: &World, waba: &str, language: &str, change: &TemplateChange) -> Result<usize, String> {
    let upper = |value: &Option<String>| value.as_ref().map(|value| value.to_ascii_uppercase());
    let (status, category, quality) = (upper(&change.status), upper(&change.category), upper(&change.quality));
    let at = world.clock.now().as_second();
    let changed = world.templates.change(waba, &change.name, language, |seed| {
        let score = seed.more.get("quality_score").map_or_else(|| "UNKNOWN".into(), |score| score["score"].clone());
        let before = (seed.category.clone(), score);
        if let Some(status) = &status {
            // What Meta reports of a template is not always a status of its own.
            seed.status = match status.as_str() {
                "REINSTATED" | "UNARCHIVED" | "UNLOCKED" => "APPROVED".to_owned(),
                "FLAGGED" => seed.status.clone(),
                status => status.to_owned(),
            };
            if let Some(reason) = &change.reason {
                seed.more.insert("rejected_reason".to_owned(), reason.as_str().into());
            }
        }
        if let Some(category) = &category {
            seed.more.insert("previous_category".to_owned(), seed.category.as_str().into());
            seed.category.clone_from(category);
        }
        if let Some(quality) = &quality {
            seed.more.insert("quality_score".to_owned(), json!({"score": quality, "date": at}));
        }
        before
    });
    let (id, (old_category, old_quality)) =
        changed.ok_or_else(|| format!("name: the account {waba} has no template {} in {language}", change.name))?;
    let id: u64 = id.parse().map_err(|_| "name: the template's id is no number".to_owned())?;
    let mut told = 0;
    let mut tell = |field: &str, mut value: Value| {
        value["message_template_id"] = id.into();
        value["message_template_name"] = change.name.as_str().into();
        value["message_template_language"] = language.into();
        let event = RawEvent { field: field.to_owned(), value, waba_id: Some(waba.to_owned()), ..RawEvent::default() };
        told = told.max(raw(world, event).told);
    };
    if let Some(status) = status {
        let reason = change.reason.as_deref().unwrap_or("NONE");
        let of = category.as_ref().unwrap_or(&old_category);
        tell("message_template_status_update", json!({"event": status, "reason": reason, "message_template_category": of}));
    }
    if let Some(category) = category {
        tell(
            "template_category_update",
            json!({"new_category": category, "previous_category": old_category, "category_update_timestamp": at}),
        );
    }
    if let Some(quality) = quality {
        tell("message_template_quality_update", json!({"previous_quality_score": old_quality, "new_quality_score": quality}));
    }
    Ok(told)
}

/// A user of whom Meta's own examples tell.
const EXAMPLES_USER: &str = "16505551234";

/// A change with its value, or a field's example.
pub(crate) fn change(world: &World, mut event: RawEvent) -> Result<Happened, String> {
    if !event.value.is_null() {
        if !event.with.is_empty() || event.from.is_some() {
            return Err("with, from: are for a field's example, and a value is given".to_owned());
        }
        return Ok(raw(world, event));
    }
    let field = changes::find(&event.field)
        .ok_or_else(|| format!("value: is required, since {} has no example; GET /_sim/fields lists those that have one", event.field))?;
    let user = inbound::person(world, event.from.as_deref().unwrap_or(EXAMPLES_USER), "from")?;
    let number = match event.phone_number_id.take() {
        Some(number) if !number.is_empty() => number,
        _ => inbound::number_for(world, &user)?,
    };
    let wamid = wamid::inbound(user.key(), world.chance.inbound_id());
    event.value = field.example(&About { number: &number, user: &user, at: world.clock.now(), wamid });
    if let Some(members) = event.value.as_object_mut() {
        members.extend(std::mem::take(&mut event.with));
        members.retain(|_, value| !value.is_null());
    }
    event.waba_id.get_or_insert_with(|| world.numbers.waba_of(&number));
    event.phone_number_id = field.of_a_number.then_some(number);
    Ok(raw(world, event))
}

fn raw(world: &World, event: RawEvent) -> Happened {
    let RawEvent { field, mut value, phone_number_id, waba_id, signature, .. } = event;
    if let (Some(number), Some(members)) = (&phone_number_id, value.as_object_mut()) {
        // These fields have the envelope of messages; the account's have none.
        let has_envelope = members.contains_key("messaging_product")
            || field == "messages"
            || changes::find(&field).is_some_and(|field| field.of_a_number);
        if has_envelope {
            members.entry("messaging_product").or_insert_with(|| "whatsapp".into());
            members.entry("metadata").or_insert_with(|| crate::numbers::metadata(number));
        }
    }
    let waba_id = waba_id
        .or_else(|| phone_number_id.as_deref().map(|number| world.numbers.waba_of(number)))
        .unwrap_or_else(|| world.numbers.default_waba().to_owned());
    let told = world.webhooks.emit(Event {
        waba_id,
        phone_number_id: phone_number_id.clone(),
        label: field.clone(),
        field,
        at: world.clock.now(),
        content: Content::whole(&value),
        signature,
        attempted: None,
    });
    Happened { id: None, phone_number_id, told }
}

pub(crate) fn clock_report(world: &World) -> ClockReport {
    ClockReport { now: world.clock.now(), speed: world.clock.speed() }
}

fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::clock::rfc3339(*at))
}

pub(crate) fn set_speed(world: &World, speed: f64) -> Result<(), String> {
    if world.clock.set_speed(speed) { Ok(()) } else { Err("speed: must be above 0 and at most 1000000".to_owned()) }
}

/// Puts the clock forward by so many seconds; the sentence says why it cannot be.
pub(crate) fn advance(world: &World, seconds: f64) -> Result<(), String> {
    let by = SignedDuration::try_from_secs_f64(seconds).ok().filter(|by| !by.is_negative() && by.as_hours() <= 24 * ADVANCE_DAYS_MAX);
    let by = by.ok_or("seconds: must be 0 or more, and at most ten years")?;
    world.clock.advance(by);
    Ok(())
}

pub(crate) async fn settle(world: &World) -> bool {
    let begun = Instant::now();
    // Twice in a row, since between two looks something may have changed hands.
    let mut quiet = 0;
    while quiet < 2 {
        if begun.elapsed() > SETTLE_MAX {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        quiet = if world.webhooks.is_settled() { quiet + 1 } else { 0 };
    }
    true
}

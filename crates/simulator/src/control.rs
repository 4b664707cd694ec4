//! `/_sim`: the simulator's own routes, for tests in any language.
//!
//! | call | what it does |
//! | --- | --- |
//! | `GET /_sim/health` | `{"status":"ok"}` once we serve |
//! | `GET /_sim/requests?limit=` | the newest requests, oldest first (default 100, no cap) |
//! | `GET /_sim/requests?count=true` | `{"count": n}` |
//! | `DELETE /_sim/requests` | forgets the record |
//! | `POST /_sim/script` | sets a rule, an array of rules, or `{"rules": […]}`; answers `{"ids": […]}` |
//! | `GET /_sim/script` | the rules that are set, with what they struck |
//! | `DELETE /_sim/script`, `/_sim/script/{id}` | takes all rules back, or one |
//! | `GET /_sim/behaviours` | the named behaviours and their recipients |
//!
//! What the other side does; each answers what was made to happen
//! (`{"id", "phone_number_id", "told"}`, where `told` counts subscriptions):
//!
//! | call | what it does |
//! | --- | --- |
//! | `POST /_sim/reply` | a user writes: [`Reply`] |
//! | `POST /_sim/call` | a user calls, or is called: [`Call`] |
//! | `POST /_sim/tap` | a user taps on a message that was sent to them: [`Tap`] |
//! | `POST /_sim/status` | a status out of turn: [`StatusNow`] |
//! | `POST /_sim/template` | a template changes: [`TemplateChange`] |
//! | `POST /_sim/preference` | a user wants marketing no more, or again: [`Preference`] |
//! | `POST /_sim/event` | any change, as it stands, or a field's example: [`RawEvent`] |
//! | `GET /_sim/fields` | the fields that have an example |
//! | `POST /_sim/users`, `GET` | declares a user ([`User`]), or an array of them |
//! | `POST /_sim/numbers` | says which account a number belongs to: [`Number`] |
//! | `POST /_sim/wabas` | says an account's time zone: [`Waba`] |
//! | `POST /_sim/plan`, `GET`, `DELETE`, `DELETE /_sim/plan/{id}` | rules for statuses: [`plan::StatusRule`], an array of them, or `{"rules": […]}` |
//! | `GET /_sim/plans` | the named plans and their recipients |
//! | `POST /_sim/webhooks` | subscribes ([`Subscription`]) and makes the handshake |
//! | `GET /_sim/webhooks` | subscriptions, what they are owed, and what they answered lately |
//! | `DELETE /_sim/webhooks`, `/_sim/webhooks/{id}` | unsubscribes all, or one |
//! | `POST /_sim/forget` | forgets a user, in the record too: `{"name": "905321234567"}` |
//! | `GET /_sim/clock`, `POST` | simulated time; `{"speed": 60}` |
//! | `POST /_sim/clock/advance` | `{"seconds": 3600}`; answers once all that became due had its attempt |
//! | `POST /_sim/settle` | answers once all that is due had its attempt |
//!
//! None of them is recorded, and no rule strikes them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::calls::{self, Call};
use crate::changes;
use crate::clock;
use crate::exchange::{Answer, Head, World};
use crate::faults::{Behaviour, magic};
use crate::forgetting;
use crate::inbound::{self, Happened, Preference, Reply};
use crate::memory::Line;
use crate::numbers::Number;
use crate::plan;
use crate::playing::{self, RawEvent, TemplateChange};
use crate::rules::{self, Ruling};
use crate::tap::{self, Tap};
use crate::users::User;
use crate::wabas::Waba;
use crate::webhooks::Made;

/// Requests shown when no limit is asked for.
const REQUESTS_DEFAULT: usize = 100;

/// `POST /_sim/clock`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Speed {
    speed: f64,
}

/// `POST /_sim/clock/advance`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

/// `POST /_sim/forget`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    name: String,
}

/// One rule, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Many(Vec<Value>),
    Named { rules: Vec<Value> },
    One(Value),
}

/// Answers a call under `/_sim`.
pub(crate) async fn answer(world: &World, head: &Head, body: &[u8]) -> Answer {
    let path = head.path.trim_start_matches("/_sim").trim_end_matches('/');
    match (head.method.as_str(), path) {
        ("GET", "/health") => json_answer(200, &json!({"status": "ok"})),
        ("GET", "/requests") => requests(world, &head.query),
        ("DELETE", "/requests") => clear_record(world).await,
        ("POST", "/script") => set_rules(&world.script, body),
        ("GET", "/script") => json_answer(200, &json!({"rules": world.script.all()})),
        ("DELETE", "/script") => clear_rules(&world.script),
        ("DELETE", path) if path.starts_with("/script/") => remove_rule(&world.script, &path["/script/".len()..]),
        ("GET", "/behaviours") => json_answer(200, &behaviours()),
        ("POST", "/reply") => happened(read::<Value>(body).and_then(Reply::from_json).and_then(|reply| inbound::reply(world, reply))),
        ("POST", "/call") => happened(read(body).and_then(|call: Call| calls::call(world, call))),
        ("POST", "/tap") => happened(read(body).and_then(|tap: Tap| tap::tap(world, &tap))),
        ("POST", "/status") => happened(read(body).and_then(|status| playing::status_now(world, status))),
        ("POST", "/template") => happened(read(body).and_then(|change: TemplateChange| playing::template(world, &change))),
        ("POST", "/preference") => happened(read(body).and_then(|preference: Preference| inbound::prefer(world, &preference))),
        ("POST", "/event") => happened(read(body).and_then(|event: RawEvent| playing::change(world, event))),
        ("GET", "/fields") => json_answer(200, &json!({"fields": changes::FIELDS})),
        ("POST", "/users") => define_users(world, body),
        ("GET", "/users") => json_answer(200, &json!({"users": world.users.all()})),
        ("POST", "/numbers") => done(read(body).and_then(|number| define_number(world, number))),
        ("POST", "/wabas") => done(read(body).and_then(|waba| define_waba(world, waba))),
        ("POST", "/plan") => set_rules(&world.plans, body),
        ("GET", "/plan") => json_answer(200, &json!({"rules": world.plans.all()})),
        ("DELETE", "/plan") => clear_rules(&world.plans),
        ("DELETE", path) if path.starts_with("/plan/") => remove_rule(&world.plans, &path["/plan/".len()..]),
        ("GET", "/plans") => json_answer(200, &json!(plan::all_named())),
        ("POST", "/webhooks") => subscribe(world, body).await,
        ("GET", "/webhooks") => subscriptions(world),
        ("DELETE", "/webhooks") => json_answer(200, &json!({"removed": unsubscribe(world, |_| true)})),
        ("DELETE", path) if path.starts_with("/webhooks/") => unsubscribe_one(world, &path["/webhooks/".len()..]),
        ("POST", "/forget") => forget(world, body).await,
        ("GET", "/clock") => json_answer(200, &json!(playing::clock_report(world))),
        ("POST", "/clock") => set_speed(world, body),
        ("POST", "/clock/advance") => advance(world, body).await,
        ("POST", "/settle") => json_answer(200, &json!({"settled": playing::settle(world).await})),
        (
            _,
            "/health" | "/requests" | "/script" | "/behaviours" | "/reply" | "/call" | "/tap" | "/status" | "/template" | "/preference"
            | "/event" | "/fields" | "/users" | "/numbers" | "/wabas" | "/forget" | "/plan" | "/plans" | "/webhooks" | "/clock"
            | "/clock/advance" | "/settle",
        ) => refusal(405, "this route has no such method"),
        _ => refusal(404, "no such route; see `turnpike simulator --help`"),
    }
}

fn requests(world: &World, query: &str) -> Answer {
    let mut limit = REQUESTS_DEFAULT;
    let mut count = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("count", "true" | "1") => count = true,
            ("count", "false" | "0") => count = false,
            ("limit", value) => match value.parse() {
                Ok(asked) => limit = asked,
                Err(_) => return refusal(400, "limit: must be a whole number, 0 or more"),
            },
            _ => return refusal(400, &format!("{name}: no such parameter, or not with this value")),
        }
    }
    if count {
        return json_answer(200, &json!({"count": world.record.count()}));
    }
    match world.record.newest_json(limit) {
        Ok(json) => framed(200, json),
        Err(error) => refusal(500, &error.to_string()),
    }
}

async fn clear_record(world: &World) -> Answer {
    match world.record.clear().await {
        Ok(()) => json_answer(200, &json!({"success": true})),
        Err(error) => refusal(500, &error.to_string()),
    }
}

/// Sets rules of a kind: one, an array of them, or `{"rules": […]}`.
fn set_rules<R: Ruling + DeserializeOwned>(rules: &rules::Rules<R>, body: &[u8]) -> Answer
where
    R::Problem: std::fmt::Display,
{
    let given = match serde_json::from_slice::<Given>(body) {
        Ok(Given::Many(given) | Given::Named { rules: given }) => given,
        Ok(Given::One(rule)) => vec![rule],
        Err(error) => return refusal(400, &format!("the body must be JSON: {error}")),
    };
    let parsed: Result<Vec<R>, String> = given
        .into_iter()
        .enumerate()
        .map(|(n, rule)| serde_path_to_error::deserialize(rule).map_err(|error| format!("rules[{n}].{error}")))
        .collect();
    match parsed.and_then(|parsed| rules.add(parsed).map_err(|problem| problem.to_string())) {
        Ok(ids) => json_answer(201, &json!({"ids": ids})),
        Err(problem) => refusal(400, &problem),
    }
}

/// Takes back all rules of a kind.
fn clear_rules<R: Ruling>(rules: &rules::Rules<R>) -> Answer {
    rules.clear();
    json_answer(200, &json!({"success": true}))
}

/// Takes back the rule whose id ends the path.
fn remove_rule<R: Ruling>(rules: &rules::Rules<R>, id: &str) -> Answer {
    let removed = id.parse().is_ok_and(|id| rules.remove(id));
    if removed { json_answer(200, &json!({"success": true})) } else { refusal(404, "no rule of this id is set") }
}

fn define_number(world: &World, number: Number) -> Result<(), String> {
    world.numbers.define(number.clone())?;
    world.remember(|| Line::Number(number));
    Ok(())
}

fn define_waba(world: &World, waba: Waba) -> Result<(), String> {
    world.wabas.define(waba.clone())?;
    world.remember(|| Line::Waba(waba));
    Ok(())
}

fn define_user(world: &World, user: User) -> Result<(), String> {
    world.users.define(user.clone())?;
    world.remember(|| Line::User(user));
    Ok(())
}

fn define_users(world: &World, body: &[u8]) -> Answer {
    let users: Result<Vec<User>, String> = match read(body) {
        Ok(Value::Array(users)) => {
            users.into_iter().map(|user| serde_path_to_error::deserialize(user).map_err(|error| error.to_string())).collect()
        }
        Ok(user) => serde_path_to_error::deserialize(user).map(|user| vec![user]).map_err(|error| error.to_string()),
        Err(problem) => Err(problem),
    };
    match users.and_then(|users| users.into_iter().try_for_each(|user| define_user(world, user))) {
        Ok(()) => json_answer(201, &json!({"success": true})),
        Err(problem) => refusal(400, &problem),
    }
}

async fn subscribe(world: &World, body: &[u8]) -> Answer {
    let subscription = match read(body) {
        Ok(subscription) => subscription,
        Err(problem) => return refusal(400, &problem),
    };
    match playing::subscribe(world, subscription, Made::OverHttp).await {
        Ok(report) => json_answer(201, &json!(report)),
        Err(problem) => refusal(400, &problem),
    }
}

/// The subscriptions, and how many deliveries wait or found no place.
fn subscriptions(world: &World) -> Answer {
    let (waiting, refused) = world.webhooks.schedule.counts();
    json_answer(200, &json!({"webhooks": world.webhooks.reports(), "scheduled": waiting, "unscheduled": refused}))
}

/// Ends the subscriptions whose ids are meant; gives their number.
fn unsubscribe(world: &World, is_meant: impl Fn(u64) -> bool) -> usize {
    let removed = world.webhooks.remove(|id, _| is_meant(id));
    world.remember_subscriptions();
    removed
}

/// Ends the subscription whose id ends the path.
fn unsubscribe_one(world: &World, id: &str) -> Answer {
    let asked: Option<u64> = id.parse().ok();
    let removed = unsubscribe(world, |id| Some(id) == asked);
    if removed > 0 { json_answer(200, &json!({"success": true})) } else { refusal(404, "no subscription of this id") }
}

async fn forget(world: &World, body: &[u8]) -> Answer {
    let user: Forget = match read(body) {
        Ok(user) => user,
        Err(problem) => return refusal(400, &problem),
    };
    if user.name.trim().is_empty() {
        return refusal(400, "name: must be a number or a business-scoped id");
    }
    match forgetting::forget(world, &user.name).await {
        Ok(forgotten) => json_answer(200, &json!({"forgotten": forgotten})),
        Err(error) => refusal(500, &error.to_string()),
    }
}

fn set_speed(world: &World, body: &[u8]) -> Answer {
    match read(body).and_then(|wanted: Speed| playing::set_speed(world, wanted.speed)) {
        Ok(()) => json_answer(200, &json!(playing::clock_report(world))),
        Err(problem) => refusal(400, &problem),
    }
}

/// Lets time pass; answers once all that became due had its attempt.
async fn advance(world: &World, body: &[u8]) -> Answer {
    if let Err(problem) = read(body).and_then(|wanted: Advance| playing::advance(world, wanted.seconds)) {
        return refusal(400, &problem);
    }
    let settled = playing::settle(world).await;
    let clock = playing::clock_report(world);
    json_answer(200, &json!({"now": clock::rfc3339(clock.now), "speed": clock.speed, "settled": settled}))
}

/// The body as what a route takes; the sentence names the member that does not fit.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        if path == "." { format!("the body: {}", error.inner()) } else { format!("{path}: {}", error.inner()) }
    })
}

fn happened(outcome: Result<Happened, String>) -> Answer {
    match outcome {
        Ok(happened) => json_answer(200, &json!(happened)),
        Err(problem) => refusal(400, &problem),
    }
}

fn done(outcome: Result<(), String>) -> Answer {
    match outcome {
        Ok(()) => json_answer(200, &json!({"success": true})),
        Err(problem) => refusal(400, &problem),
    }
}

fn behaviours() -> Value {
    Behaviour::all_named()
        .iter()
        .map(|named| {
            json!({
                "name": named.name,
                "number": named.number,
                "summary": named.summary,
                "behaviour": named.behaviour,
                "recipient": magic::recipient_for_name(named.name),
                "recorded": named.behaviour.is_recorded(),
            })
        })
        .collect()
}

fn refusal(status: u16, why: &str) -> Answer {
    json_answer(status, &json!({"error": why}))
}

fn json_answer(status: u16, value: &Value) -> Answer {
    framed(status, value.to_string().into_bytes())
}

fn framed(status: u16, body: Vec<u8>) -> Answer {
    let headers = vec![("content-type", "application/json; charset=UTF-8".to_owned()), ("cache-control", "no-store".to_owned())];
    Answer { status, headers, body, wamid: None, held: Vec::new() }
}

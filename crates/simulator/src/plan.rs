//! Which statuses a message gets, when, and with what oddities.
//!
//! A [`StatusRule`] (by library, or `POST /_sim/plan`) or a magic recipient
//! ([`crate::faults::magic`]) decides; without either a message gets what Meta
//! would most likely report, at the times of [`Timing`].
//!
//! ```json
//! {"match": {"to": "905321234567", "type": "template", "template": "order_confirmation"}, "nth": 2,
//!  "statuses": [{"status": "delivered", "after_ms": 50, "pricing": null},
//!               {"status": "sent", "after_ms": 400, "times": 2, "signature": "wrong_first"}]}
//! {"match": {"type": "text"}, "plan": "reversed"}
//! ```
//!
//! | plan | what comes |
//! | --- | --- |
//! | `none` (01) | no status ever |
//! | `only_sent` (02) | `sent` alone |
//! | `skip_delivered` (03) | `sent`, then `read`; `read` bears the pricing |
//! | `skip_sent` (04) | `delivered`, then `read` |
//! | `reversed` (05) | `read`, then `delivered`, then `sent` |
//! | `twice` (06) | every status twice |
//! | `five_times` (07) | every status five times |
//! | `before_answer` (08) | `sent` and `delivered` before the send is answered |
//! | `no_pricing` (09) | no status bears a pricing object |
//! | `free` (10) | `pricing` says free_customer_service, not billable |
//! | `other_category` (11) | `pricing` names the category marketing (utility, where it is marketing) |
//! | `wrong_signature` (12) | every status once, with a signature that is wrong; never repeated |
//! | `wrong_signature_first` (13) | the first attempt of each is signed wrong, the next right |
//! | `no_signature` (14) | every status once, unsigned; never repeated |
//! | `wrong_token` (15) | `biz_opaque_callback_data` comes back as something else |
//! | `no_token` (16) | `biz_opaque_callback_data` does not come back |
//! | `never_read` (17) | `sent`, then `delivered`; the user never looks |
//! | `delivered_then_failed` (18) | `sent`, `delivered`, and then `failed` with 131026 |
//! | `late` (19) | the usual statuses, a minute later |
//! | `very_late` (20) | `sent` as usual, and the rest 26 hours later |
//! | `at_once` (21) | all statuses the moment the message is taken |
//! | `unknown_status` (22) | `sent`, a status that no document names, then the rest |
//! | `category_changes` (23) | `sent` says one category, `delivered` another |
//! | `fail_CCCCCC` | `failed` with Meta's code CCCCCC, and nothing else |

mod named;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::chance::Chance;
use crate::faults::magic;
use crate::rules::{Often, Rules, Ruling, Set};
pub(crate) use named::name_of;
pub use named::{NamedPlan, all_named};
use named::{fail_code, named, number_of};

/// Statuses that one plan may make of one message.
const STATUSES_MAX: usize = 1_000;

/// A number of milliseconds between `min` and `max`, both in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Span {
    /// From `min` to `max` milliseconds.
    pub const fn ms(min: u64, max: u64) -> Span {
        Span { min, max }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a span is within the span")]
    fn draw(self, chance: &Chance) -> u64 {
        let width = self.max.saturating_sub(self.min);
        if width == 0 { self.min } else { self.min + (chance.fraction() * (width as f64 + 1.0)) as u64 }
    }
}

/// When a message's usual statuses come, in simulated milliseconds, each counted
/// from the one before it (`sent`: from the acceptance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// From the acceptance to `sent` (or `failed`).
    pub sent: Span,
    /// From `sent` to `delivered`.
    pub delivered: Span,
    /// From `delivered` to `read`.
    pub read: Span,
    /// From `read` to `played`, for a voice message.
    pub played: Span,
}

impl Timing {
    /// `sent` within 1 s, `delivered` within 2 s, `read` within 5 s of the
    /// acceptance: believable, and no strain on anybody's patience.
    pub const BRISK: Timing =
        Timing { sent: Span::ms(300, 900), delivered: Span::ms(300, 1_000), read: Span::ms(1_000, 2_800), played: Span::ms(500, 1_500) };

    /// As it may be on a working day: `sent` 0.3 to 2 s after the acceptance,
    /// `delivered` 0.5 to 5 s later, `read` 1 to 30 s later.
    pub const UNHURRIED: Timing = Timing {
        sent: Span::ms(300, 2_000),
        delivered: Span::ms(500, 5_000),
        read: Span::ms(1_000, 30_000),
        played: Span::ms(1_000, 20_000),
    };

    /// All at once, for tests that have no time.
    pub const AT_ONCE: Timing = Timing { sent: Span::ms(0, 0), delivered: Span::ms(0, 0), read: Span::ms(0, 0), played: Span::ms(0, 0) };
}

impl Default for Timing {
    fn default() -> Timing {
        Timing::BRISK
    }
}

/// How an event is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// As Meta signs.
    #[default]
    Good,
    /// With a signature over other bytes. Posted once.
    Wrong,
    /// Wrong at the first attempt, good at every later one.
    WrongFirst,
    /// Not at all. Posted once.
    Missing,
}

/// What a status says of the price.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Pricing {
    /// What Meta would say, on the statuses on which Meta says it.
    #[default]
    AsMeta,
    /// Nothing.
    Absent,
    /// This, whatever the status.
    These(Value),
}

/// One status of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStatus {
    /// `sent`, `delivered`, `read`, `played`, `failed`; or a word that Meta does
    /// not know (yet).
    pub status: String,
    /// Simulated milliseconds from the acceptance.
    #[serde(default)]
    pub after_ms: u64,
    /// How often it comes, each in a POST of its own right.
    #[serde(default = "once")]
    pub times: u32,
    /// Left out: as Meta. `null`: none. An object: that.
    #[serde(default, deserialize_with = "given_pricing", skip_serializing_if = "pricing_is_metas", serialize_with = "pricing_value")]
    pub pricing: Pricing,
    /// The code of a `failed`; 131000 where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Before the send is answered. `after_ms` has no meaning then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub before_answer: bool,
    /// How it is signed.
    #[serde(default)]
    pub signature: Signature,
    /// Members that the status object gets in place of its own; `null` takes one
    /// out. `{"biz_opaque_callback_data": "x"}` is a wrong echo.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
}

impl PlannedStatus {
    /// A status as Meta would report it, so many milliseconds after the acceptance.
    pub fn new(status: &str, after_ms: u64) -> PlannedStatus {
        PlannedStatus {
            status: status.to_owned(),
            after_ms,
            times: 1,
            pricing: Pricing::AsMeta,
            code: None,
            before_answer: false,
            signature: Signature::Good,
            with: Map::new(),
        }
    }

    /// `failed` with this code.
    pub fn failed(code: u32, after_ms: u64) -> PlannedStatus {
        PlannedStatus { code: Some(code), ..PlannedStatus::new("failed", after_ms) }
    }
}

/// Which messages, how often, and which statuses they get.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRule {
    /// Which messages; an empty match is every message.
    #[serde(default, rename = "match")]
    pub matching: StatusMatch,
    /// Only the nth matching message (from 1), counted from the rule's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// At most so many times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// With this probability, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// A plan from the list; either this or `statuses`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The statuses themselves; an empty list is none ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<PlannedStatus>>,
    /// Simulated milliseconds by which everything comes later.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often each status comes.
    #[serde(default = "once")]
    pub repeat: u32,
}

impl StatusRule {
    /// A plan from the list, for every message.
    pub fn named(plan: &str) -> StatusRule {
        StatusRule { plan: Some(plan.to_owned()), repeat: 1, ..StatusRule::default() }
    }

    /// These statuses, for every message.
    pub fn statuses(statuses: Vec<PlannedStatus>) -> StatusRule {
        StatusRule { statuses: Some(statuses), repeat: 1, ..StatusRule::default() }
    }

    /// The same for messages to one user only.
    #[must_use]
    pub fn to(mut self, user: &str) -> StatusRule {
        self.matching.to = Some(user.to_owned());
        self
    }
}

impl Ruling for StatusRule {
    type Problem = String;

    fn often(&self) -> Often {
        Often { nth: self.nth, times: self.times, probability: self.probability }
    }

    fn check(&self) -> Result<(), String> {
        match (&self.plan, &self.statuses) {
            (Some(name), None) => {
                if number_of(name).is_none() && fail_code(name).is_none() {
                    return Err(format!("plan: there is none named `{name}`; GET /_sim/plans lists them"));
                }
            }
            (None, Some(statuses)) => {
                if let Some(n) = statuses.iter().position(|status| status.status.is_empty()) {
                    return Err(format!("statuses[{n}].status: must not be empty"));
                }
                let total = statuses.iter().map(|status| status.times as usize).sum::<usize>();
                if total.saturating_mul(self.repeat as usize) > STATUSES_MAX {
                    return Err(format!("statuses: at most {STATUSES_MAX} of one message"));
                }
            }
            _ => return Err("either `plan` or `statuses` must be given".to_owned()),
        }
        if self.repeat as usize > STATUSES_MAX / 10 {
            return Err(format!("repeat: at most {}", STATUSES_MAX / 10));
        }
        Ok(())
    }
}

/// Which messages a rule is for; every member that is given must agree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusMatch {
    /// The user: digits (with or without `+`), or a business-scoped id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `type` of the message.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The template's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The sending number's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
}

/// What is known of a message when its statuses are planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanFacts<'a> {
    pub(crate) user: &'a str,
    pub(crate) by_phone: bool,
    pub(crate) kind: &'a str,
    pub(crate) template: Option<&'a str>,
    pub(crate) phone_number_id: &'a str,
    pub(crate) voice: bool,
    /// Why it can never be delivered, where that is so: 131047, 131050, …
    pub(crate) doomed: Option<u32>,
    /// The category of its price.
    pub(crate) category: &'a str,
}

impl StatusMatch {
    fn agrees(&self, facts: &PlanFacts<'_>) -> bool {
        self.to.as_deref().is_none_or(|to| to.strip_prefix('+').unwrap_or(to) == facts.user)
            && self.kind.as_deref().is_none_or(|kind| kind == facts.kind)
            && self.template.as_deref().is_none_or(|name| facts.template == Some(name))
            && self.phone_number_id.as_deref().is_none_or(|id| id == facts.phone_number_id)
    }
}

/// A rule as it is set, with the messages that matched it and those whose statuses it made.
pub type SetStatusRule = Set<StatusRule>;

/// The rules that are set.
pub(crate) type Plans = Rules<StatusRule>;

impl Rules<StatusRule> {
    /// The statuses of a message, each once for every time that it comes.
    pub(crate) fn of(&self, facts: &PlanFacts<'_>, timing: &Timing, chance: &Chance) -> Vec<PlannedStatus> {
        let rule = self.strike(|rule| rule.matching.agrees(facts), chance);
        match (rule, magic_plan(facts)) {
            (Some(rule), _) => {
                let statuses = match (rule.statuses, rule.plan) {
                    (Some(statuses), _) => statuses,
                    (None, Some(name)) => named(&name, facts, timing, chance),
                    (None, None) => usual(facts, timing, chance),
                };
                let shift = |status| PlannedStatus { after_ms: after(&status, rule.delay_ms), times: status.times * rule.repeat, ..status };
                statuses.into_iter().map(shift).collect()
            }
            (None, Some(magic::Later::Fails(code))) => vec![PlannedStatus::failed(code, timing.sent.draw(chance))],
            (None, Some(magic::Later::Plan(name))) => named(name, facts, timing, chance),
            (None, Some(magic::Later::DelayedBy(ms))) => {
                let shift = |status| PlannedStatus { after_ms: after(&status, ms), ..status };
                usual(facts, timing, chance).into_iter().map(shift).collect()
            }
            (None, None) => usual(facts, timing, chance),
        }
    }
}

fn after(status: &PlannedStatus, ms: u64) -> u64 {
    status.after_ms.saturating_add(ms)
}

fn magic_plan(facts: &PlanFacts<'_>) -> Option<magic::Later> {
    if facts.by_phone { magic::later_for(facts.user) } else { None }
}

/// What Meta most likely reports.
fn usual(facts: &PlanFacts<'_>, timing: &Timing, chance: &Chance) -> Vec<PlannedStatus> {
    let sent = timing.sent.draw(chance);
    if let Some(code) = facts.doomed {
        return vec![PlannedStatus::failed(code, sent)];
    }
    let mut statuses = vec![PlannedStatus::new("sent", sent)];
    // Meta reports nothing more of a reaction.
    if facts.kind != "reaction" {
        let delivered = sent + timing.delivered.draw(chance);
        let read = delivered + timing.read.draw(chance);
        statuses.push(PlannedStatus::new("delivered", delivered));
        statuses.push(PlannedStatus::new("read", read));
        if facts.voice {
            statuses.push(PlannedStatus::new("played", read + timing.played.draw(chance)));
        }
    }
    statuses
}

fn once() -> u32 {
    1
}

fn given_pricing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pricing, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => Pricing::Absent,
        given => Pricing::These(given),
    })
}

fn pricing_is_metas(pricing: &Pricing) -> bool {
    *pricing == Pricing::AsMeta
}

fn pricing_value<S: serde::Serializer>(pricing: &Pricing, serializer: S) -> Result<S::Ok, S::Error> {
    match pricing {
        Pricing::These(value) => value.serialize(serializer),
        _ => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;

//! The plans of the list: what each makes of a message's usual statuses.

use serde::Serialize;
use serde_json::{Value, json};

use super::{PlanFacts, PlannedStatus, Pricing, Signature, Timing, usual};
use crate::chance::Chance;
use crate::faults::magic;

/// How much later the plan `late` is.
const LATE_MS: u64 = 60_000;

/// How much later the plan `very_late` is: after the customer service window.
const VERY_LATE_MS: u64 = 26 * 3_600_000;

/// The code with which `delivered_then_failed` ends.
const UNDELIVERABLE: u32 = 131_026;

/// The plans of the list: name, number in a magic recipient, what comes.
const NAMED: &[(&str, u8, &str)] = &[
    ("none", 1, "no status ever"),
    ("only_sent", 2, "sent alone"),
    ("skip_delivered", 3, "sent, then read; read bears the pricing"),
    ("skip_sent", 4, "delivered, then read"),
    ("reversed", 5, "read, then delivered, then sent"),
    ("twice", 6, "every status twice"),
    ("five_times", 7, "every status five times"),
    ("before_answer", 8, "sent and delivered before the send is answered"),
    ("no_pricing", 9, "no status bears a pricing object"),
    ("free", 10, "pricing says free_customer_service, not billable"),
    ("other_category", 11, "pricing says marketing (utility, where it is marketing)"),
    ("wrong_signature", 12, "every status once, signed wrong; never repeated"),
    ("wrong_signature_first", 13, "the first attempt of each is signed wrong, the next right"),
    ("no_signature", 14, "every status once, unsigned; never repeated"),
    ("wrong_token", 15, "biz_opaque_callback_data comes back as something else"),
    ("no_token", 16, "biz_opaque_callback_data does not come back"),
    ("never_read", 17, "sent, then delivered; the user never looks"),
    ("delivered_then_failed", 18, "sent, delivered, and then failed with 131026"),
    ("late", 19, "the usual statuses, a minute later"),
    ("very_late", 20, "sent as usual, and the rest 26 hours later"),
    ("at_once", 21, "all statuses the moment the message is taken"),
    ("unknown_status", 22, "sent, a status that no document names, then the rest"),
    ("category_changes", 23, "sent says one category, delivered another"),
];

/// A plan from the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedPlan {
    /// What a rule calls it.
    pub name: &'static str,
    /// The two digits at the end of [`NamedPlan::recipient`].
    pub number: u8,
    /// What comes, in one line.
    pub summary: &'static str,
    /// The recipient whose messages have it.
    pub recipient: String,
}

/// All plans of the list.
pub fn all_named() -> Vec<NamedPlan> {
    let plan = |&(name, number, summary): &(&'static str, u8, &'static str)| NamedPlan {
        name,
        number,
        summary,
        recipient: magic::recipient_for_plan(number),
    };
    NAMED.iter().map(plan).collect()
}

/// The plan of this number.
pub(crate) fn name_of(number: u8) -> Option<&'static str> {
    NAMED.iter().find(|(_, known, _)| *known == number).map(|(name, _, _)| *name)
}

pub(super) fn number_of(name: &str) -> Option<u8> {
    NAMED.iter().find(|(known, _, _)| *known == name).map(|(_, number, _)| *number)
}

/// `fail_131026` → 131026.
pub(super) fn fail_code(name: &str) -> Option<u32> {
    name.strip_prefix("fail_")?.parse().ok().filter(|code| *code <= 999_999)
}

/// The statuses of a plan of the list.
pub(super) fn named(name: &str, facts: &PlanFacts<'_>, timing: &Timing, chance: &Chance) -> Vec<PlannedStatus> {
    if let Some(code) = fail_code(name) {
        return vec![PlannedStatus::failed(code, timing.sent.draw(chance))];
    }
    let mut statuses = usual(facts, timing, chance);
    let all = |statuses: &mut Vec<PlannedStatus>, change: &dyn Fn(&mut PlannedStatus)| statuses.iter_mut().for_each(change);
    let other = if facts.category == "marketing" { "utility" } else { "marketing" };
    let regular = |category: &str| json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": category});
    match name {
        "none" => statuses.clear(),
        "only_sent" => statuses.truncate(1),
        "skip_delivered" => statuses.retain(|status| status.status != "delivered"),
        "skip_sent" => statuses.retain(|status| status.status != "sent"),
        "reversed" => {
            let times: Vec<u64> = statuses.iter().map(|status| status.after_ms).collect();
            statuses.reverse();
            for (status, time) in statuses.iter_mut().zip(times) {
                status.after_ms = time;
            }
        }
        "twice" => all(&mut statuses, &|status| status.times = 2),
        "five_times" => all(&mut statuses, &|status| status.times = 5),
        "before_answer" => statuses.iter_mut().take(2).for_each(|status| status.before_answer = true),
        "no_pricing" => all(&mut statuses, &|status| status.pricing = Pricing::Absent),
        "free" => {
            let free = json!({"billable": false, "pricing_model": "PMP", "type": "free_customer_service", "category": facts.category});
            priced(&mut statuses, &free);
        }
        "other_category" => priced(&mut statuses, &regular(other)),
        "wrong_signature" => all(&mut statuses, &|status| status.signature = Signature::Wrong),
        "wrong_signature_first" => all(&mut statuses, &|status| status.signature = Signature::WrongFirst),
        "no_signature" => all(&mut statuses, &|status| status.signature = Signature::Missing),
        "wrong_token" => all(&mut statuses, &|status| {
            status.with.insert("biz_opaque_callback_data".to_owned(), "not-what-you-gave".into());
        }),
        "no_token" => all(&mut statuses, &|status| {
            status.with.insert("biz_opaque_callback_data".to_owned(), Value::Null);
        }),
        "never_read" => statuses.retain(|status| matches!(status.status.as_str(), "sent" | "delivered" | "failed")),
        "delivered_then_failed" => {
            let last = statuses.last().map_or(0, |status| status.after_ms);
            statuses.retain(|status| matches!(status.status.as_str(), "sent" | "delivered"));
            statuses.push(PlannedStatus::failed(UNDELIVERABLE, last));
        }
        "late" => all(&mut statuses, &|status| status.after_ms += LATE_MS),
        "very_late" => statuses.iter_mut().skip(1).for_each(|status| status.after_ms += VERY_LATE_MS),
        "at_once" => all(&mut statuses, &|status| status.after_ms = 0),
        "unknown_status" => {
            statuses.insert(1, PlannedStatus { pricing: Pricing::Absent, ..PlannedStatus::new("pondered", statuses[0].after_ms) })
        }
        "category_changes" => {
            for status in &mut statuses {
                if status.status == "delivered" {
                    status.pricing = Pricing::These(regular(other));
                }
            }
        }
        // Names are checked when a rule is set.
        _ => {}
    }
    statuses
}

/// This price on `sent` and `delivered`, the statuses that bear one.
fn priced(statuses: &mut [PlannedStatus], pricing: &Value) {
    for status in statuses.iter_mut().filter(|status| matches!(status.status.as_str(), "sent" | "delivered")) {
        status.pricing = Pricing::These(pricing.clone());
    }
}

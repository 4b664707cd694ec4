//! Rules by which a test says what shall happen to which request.
//!
//! Which of several strikes is decided in [`crate::rules`], once per stage of a request.

use serde::{Deserialize, Deserializer, Serialize};

use crate::chance::Chance;
use crate::faults::{Behaviour, Impossible, Stage};
use crate::rules::{Often, Rules, Ruling, Set};

/// Which requests, how often, and what happens to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests; an empty match is every Graph request.
    #[serde(default, rename = "match", skip_serializing_if = "Match::is_empty")]
    pub matching: Match,
    /// Only the nth matching request (from 1), counted from the rule's making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// At most so many times; without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// With this probability, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Waits so long before the behaviour, once the body was read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    /// Whether the message counts as taken, where it shall not be as
    /// [`Behaviour::accepts_by_default`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept: Option<bool>,
    /// What happens: an object, or the name of a named behaviour.
    #[serde(deserialize_with = "by_name_or_value")]
    pub behaviour: Behaviour,
}

/// Which requests a rule is for; every member that is given must agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// `POST`, `GET`, `DELETE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A part of the path, such as `/messages`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The id in the path: of a number, a WABA, a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The recipient: digits (with or without `+`), or a business-scoped id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `type` of the message.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A part of the body's bytes as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
}

impl Rule {
    /// A rule without conditions: this behaviour for every Graph request.
    pub fn always(behaviour: Behaviour) -> Rule {
        Rule { matching: Match::default(), nth: None, times: None, probability: None, delay_ms: 0, accept: None, behaviour }
    }

    /// This behaviour for the next `times` sends (POST to a path with `/messages`
    /// or `/marketing_messages`, where the stage knows the path).
    pub fn next_sends(behaviour: Behaviour, times: u64) -> Rule {
        let matching = if behaviour.decided_at() >= Stage::Head {
            Match { method: Some("POST".to_owned()), path: Some("messages".to_owned()), ..Match::default() }
        } else {
            Match::default()
        };
        Rule { matching, times: Some(times), ..Rule::always(behaviour) }
    }

    /// This behaviour for sends to one recipient.
    pub fn to(recipient: &str, behaviour: Behaviour) -> Rule {
        Rule { matching: Match { to: Some(recipient.to_owned()), ..Match::default() }, ..Rule::always(behaviour) }
    }
}

impl Ruling for Rule {
    type Problem = Impossible;

    fn often(&self) -> Often {
        Often { nth: self.nth, times: self.times, probability: self.probability }
    }

    fn check(&self) -> Result<(), Impossible> {
        self.behaviour.check()?;
        let no = |why: &str| Err(Impossible(why.to_owned()));
        let stage = self.behaviour.decided_at();
        if stage < Stage::Head && !self.matching.is_empty() {
            return no("this behaviour strikes before anything is read, so `match` must be empty");
        }
        if stage < Stage::Body && (self.matching.to.is_some() || self.matching.kind.is_some() || self.matching.body_contains.is_some()) {
            return no("this behaviour strikes before the body is read, so `match` cannot name `to`, `type` or `body_contains`");
        }
        if stage < Stage::Body && (self.delay_ms != 0 || self.accept.is_some()) {
            return no("this behaviour strikes before the body is read, so `delay_ms` and `accept` have no meaning");
        }
        Ok(())
    }
}

impl Match {
    fn is_empty(&self) -> bool {
        *self == Match::default()
    }

    fn agrees(&self, facts: &Facts<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(facts.method))
            && self.path.as_deref().is_none_or(|part| facts.path.contains(part))
            && self.phone_number_id.as_deref().is_none_or(|id| facts.object_id == Some(id))
            && self.to.as_deref().is_none_or(|to| facts.to.is_some_and(|asked| plain(to) == plain(asked)))
            && self.kind.as_deref().is_none_or(|kind| facts.kind == Some(kind))
            && self
                .body_contains
                .as_deref()
                .is_none_or(|part| facts.body.windows(part.len().max(1)).any(|window| window == part.as_bytes()))
    }
}

/// What is known of a request; what is not known yet is `None` or empty.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) object_id: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// A rule as it is set, with the requests that matched it and those that it struck.
pub type SetRule = Set<Rule>;

/// What a rule that struck asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Strike {
    pub(crate) behaviour: Behaviour,
    pub(crate) delay_ms: u64,
    pub(crate) accept: Option<bool>,
}

/// The rules that are set.
pub(crate) type Script = Rules<Rule>;

impl Rules<Rule> {
    /// What the first rule for this stage asks for that strikes the request.
    pub(crate) fn strike_at(&self, stage: Stage, facts: &Facts<'_>, chance: &Chance) -> Option<Strike> {
        let rule = self.strike(|rule| rule.behaviour.decided_at() == stage && rule.matching.agrees(facts), chance)?;
        Some(Strike { behaviour: rule.behaviour, delay_ms: rule.delay_ms, accept: rule.accept })
    }
}

/// A recipient as both sides may spell it.
fn plain(to: &str) -> &str {
    to.strip_prefix('+').unwrap_or(to)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

fn by_name_or_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Behaviour, D::Error> {
    use serde::de::Error as _;
    let value = serde_json::Value::deserialize(deserializer)?;
    match value {
        serde_json::Value::String(name) => Behaviour::named(&name)
            .ok_or_else(|| D::Error::custom(format!("behaviour: there is none named `{name}`; GET /_sim/behaviours lists them"))),
        value => serde_json::from_value(value).map_err(|error| D::Error::custom(format!("behaviour: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance() -> Chance {
        Chance::new(Some(3), 0).expect("a given seed needs no entropy")
    }

    fn send_to(to: &str) -> Facts<'_> {
        Facts { method: "POST", path: "/v23.0/1/messages", object_id: Some("1"), to: Some(to), kind: Some("text"), body: b"{\"to\":\"1\"}" }
    }

    fn rule(json: &str) -> Result<Rule, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn the_nth_matching_request_is_struck_and_no_other() {
        let script = Script::default();
        let nth = rule(r#"{"match":{"to":"+2"},"nth":2,"behaviour":"hang"}"#).expect("a rule");
        script.add(vec![nth]).expect("it can be carried out");
        let chance = chance();
        let struck = |to| script.strike_at(Stage::Body, &send_to(to), &chance).is_some();
        assert!(!struck("2"));
        assert!(!struck("3"));
        assert!(struck("2"));
        assert!(!struck("2"));
    }

    #[test]
    fn a_used_up_rule_lets_the_next_one_answer() {
        let script = Script::default();
        script
            .add(vec![Rule { times: Some(1), ..Rule::always(Behaviour::Garbage) }, Rule::always(Behaviour::Hang { at: Stage::Body })])
            .expect("they can be carried out");
        let chance = chance();
        let next = || script.strike_at(Stage::Body, &send_to("2"), &chance).map(|strike| strike.behaviour);
        assert_eq!(next(), Some(Behaviour::Garbage));
        assert_eq!(next(), Some(Behaviour::Hang { at: Stage::Body }));
        let rules = script.all();
        assert_eq!((rules[0].struck, rules[1].struck), (1, 1));
        assert!(script.remove(rules[1].id));
        assert!(!script.remove(rules[1].id));
        assert_eq!(next(), None);
    }

    #[test]
    fn a_probability_strikes_about_as_often_as_it_says() {
        let script = Script::default();
        script.add(vec![Rule { probability: Some(0.25), ..Rule::always(Behaviour::Garbage) }]).expect("it can be carried out");
        let chance = chance();
        let struck = (0..2_000).filter(|_| script.strike_at(Stage::Body, &send_to("2"), &chance).is_some()).count();
        assert!((400..600).contains(&struck), "{struck}");
    }

    #[test]
    fn a_rule_that_asks_what_nobody_can_know_yet_is_refused() {
        let script = Script::default();
        for json in [
            r#"{"match":{"to":"1"},"behaviour":"close_after_head_fin"}"#,
            r#"{"match":{"path":"/messages"},"behaviour":"close_on_accept_fin"}"#,
            r#"{"delay_ms":5,"behaviour":"hang_after_head"}"#,
            r#"{"nth":0,"behaviour":"hang"}"#,
            r#"{"probability":1.5,"behaviour":"hang"}"#,
            r#"{"behaviour":{"do":"reset_stream","at":"body","reason":"refused_stream"}}"#,
            r#"{"behaviour":{"do":"interim","status":101}}"#,
        ] {
            let parsed = rule(json).expect("well-formed");
            assert!(script.add(vec![parsed]).is_err(), "{json}");
        }
        assert!(rule(r#"{"behaviour":"no_such_thing"}"#).is_err());
        assert!(rule(r#"{"behavior":"hang"}"#).is_err());
        assert!(script.all().is_empty());
    }
}

//! Rules, the list of plans, and times.

use super::*;

fn chance() -> Chance {
    Chance::new(Some(5), 0).expect("a given seed needs no entropy")
}

fn facts<'a>() -> PlanFacts<'a> {
    PlanFacts {
        user: "905321234567",
        by_phone: true,
        kind: "text",
        template: None,
        phone_number_id: "1001",
        voice: false,
        doomed: None,
        category: "service",
    }
}

fn words(statuses: &[PlannedStatus]) -> Vec<&str> {
    statuses.iter().map(|status| status.status.as_str()).collect()
}

#[test]
fn a_brisk_message_is_read_within_five_seconds() {
    let chance = chance();
    for _ in 0..500 {
        let statuses = Plans::default().of(&facts(), &Timing::BRISK, &chance);
        assert_eq!(words(&statuses), ["sent", "delivered", "read"]);
        let times: Vec<u64> = statuses.iter().map(|status| status.after_ms).collect();
        assert!(times.is_sorted() && (300..=1_000).contains(&times[0]) && times[1] <= 2_000 && times[2] <= 5_000, "{times:?}");
    }
}

#[test]
fn voice_is_played_reactions_are_only_sent_and_the_doomed_fail() {
    let of = |facts| Plans::default().of(&facts, &Timing::AT_ONCE, &chance());
    assert_eq!(words(&of(PlanFacts { voice: true, kind: "audio", ..facts() })), ["sent", "delivered", "read", "played"]);
    assert_eq!(words(&of(PlanFacts { kind: "reaction", ..facts() })), ["sent"]);
    let failed = of(PlanFacts { doomed: Some(131_047), ..facts() });
    assert_eq!((words(&failed), failed[0].code), (vec!["failed"], Some(131_047)));
}

#[test]
fn every_plan_of_the_list_can_be_asked_for_by_name_and_by_recipient() {
    for plan in all_named() {
        let rules = Plans::default();
        rules.add(vec![StatusRule::named(plan.name)]).expect("it is in the list");
        let by_rule = rules.of(&facts(), &Timing::AT_ONCE, &chance());
        let by_magic = Plans::default().of(&PlanFacts { user: &plan.recipient, ..facts() }, &Timing::AT_ONCE, &chance());
        assert_eq!(by_rule, by_magic, "{}", plan.name);
        if plan.name != "at_once" {
            assert_ne!(by_rule, usual(&facts(), &Timing::AT_ONCE, &chance()), "{} changes nothing", plan.name)
        }
    }
}

#[test]
fn the_nth_message_that_matches_is_struck_and_the_rest_is_usual() {
    let plans = Plans::default();
    let rule = r#"{"match":{"to":"+905321234567","type":"text"},"nth":2,"delay_ms":5,"repeat":3,
        "statuses":[{"status":"delivered","after_ms":50,"pricing":null},{"status":"failed","code":131026,"times":2}]}"#;
    plans.add(vec![serde_json::from_str(rule).expect("a rule")]).expect("it can be carried out");
    let chance = chance();
    assert_eq!(words(&plans.of(&facts(), &Timing::AT_ONCE, &chance)), ["sent", "delivered", "read"]);
    assert_eq!(words(&plans.of(&PlanFacts { kind: "image", ..facts() }, &Timing::AT_ONCE, &chance)), ["sent", "delivered", "read"]);
    let struck = plans.of(&facts(), &Timing::AT_ONCE, &chance);
    assert_eq!(words(&struck), ["delivered", "failed"]);
    assert_eq!((struck[0].after_ms, struck[0].times, &struck[0].pricing), (55, 3, &Pricing::Absent));
    assert_eq!((struck[1].after_ms, struck[1].times, struck[1].code), (5, 6, Some(131_026)));
    assert_eq!(plans.all()[0].struck, 1);
}

#[test]
fn a_rule_that_means_nothing_is_refused_by_name() {
    let refused = |json: &str| match serde_json::from_str::<StatusRule>(json) {
        Ok(rule) => Plans::default().add(vec![rule]).expect_err("nothing to carry out"),
        Err(error) => error.to_string(),
    };
    assert!(refused(r#"{"plan":"backwards"}"#).contains("`backwards`"));
    assert!(refused("{}").contains("`plan` or `statuses`"));
    assert!(refused(r#"{"plan":"none","statuses":[]}"#).contains("`plan` or `statuses`"));
    assert!(refused(r#"{"plan":"none","nth":0}"#).contains("nth"));
    assert!(refused(r#"{"plan":"none","probability":2}"#).contains("probability"));
    assert!(refused(r#"{"statuses":[{"status":"sent","afterMs":1}]}"#).contains("afterMs"));
    assert!(refused(r#"{"statuses":[{"status":"sent","times":4000000000}]}"#).contains("statuses"));
}

//! Windows and wishes: what users say decides what an enforced send may do.

use serde_json::{Value, json};
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::Mode;

use crate::house::*;
use crate::money::token;
use crate::posts::*;

const HOUR_MS: i64 = 3_600_000;
const BSUID: &str = "TR.13491208655302741918";

fn enforced(house: &House) -> String {
    house.another_key(Mode::Live, |policy| policy.enforce_window = true)
}

fn to_user(id: &str, words: &str) -> turnpike_engine::send::SendRequest {
    body(&json!({"messaging_product": "whatsapp", "recipient": id, "type": "text", "text": {"body": words}}))
}

/// A message of a user with these names.
fn from(phone: Option<&str>, id: Option<&str>, message: Value) -> Value {
    let mut message = message;
    let mut contact = json!({"profile": {"name": "A"}});
    message["timestamp"] = json!(NOON_S.to_string());
    if let Some(phone) = phone {
        message["from"] = json!(phone);
        contact["wa_id"] = json!(phone);
    }
    if let Some(id) = id {
        message["from_user_id"] = json!(id);
        contact["user_id"] = json!(id);
    }
    message_of(NUMBER, WABA, json!([contact]), message)
}

fn hello(wamid: &str) -> Value {
    json!({"id": wamid, "type": "text", "text": {"body": "hello"}})
}

#[test]
fn a_users_message_opens_the_window_for_a_day() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        assert_eq!(refused(house.send_by(&key, text("one")).await), Refusal::WindowClosed { closed_at: None });
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        sent(house.send_by(&key, text("two")).await);
        assert!(matches!(refused(house.send_by(&key, text_to("905551119999", "no")).await), Refusal::WindowClosed { .. }), "another user");
        house.clock.advance(24 * HOUR_MS - 1);
        sent(house.send_by(&key, text("three")).await);
        house.clock.advance(1);
        let closed_at = Some(NOON.plus_ms(24 * HOUR_MS));
        assert_eq!(refused(house.send_by(&key, text("four")).await), Refusal::WindowClosed { closed_at });
        // A repeat of Meta's is no new message, and neither is one from before.
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.0", NOON_S - 60)).await;
        assert!(matches!(refused(house.send_by(&key, text("five")).await), Refusal::WindowClosed { .. }));
    });
    house.finish();
}

#[test]
fn only_what_a_user_writes_opens_it() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        let echo = json!([{"from": "15550001000", "to": TO, "id": "wamid.E", "timestamp": NOON_S.to_string(), "type": "text", "text": {"body": "x"}}]);
        post(&house, &change(WABA, "smb_message_echoes", value_of(NUMBER, "message_echoes", echo))).await;
        post(&house, &statuses(vec![status("wamid.S", "read", None)])).await;
        let system = json!({"id": "wamid.Y", "type": "system", "system": {"type": "customer_identity_changed", "body": "b"}});
        post(&house, &from(Some(TO), None, system)).await;
        post(&house, &from(Some(TO), None, json!({"id": "wamid.R", "type": "revoke", "revoke": {"original_message_id": "wamid.0"}}))).await;
        assert!(matches!(refused(house.send_by(&key, text("no")).await), Refusal::WindowClosed { closed_at: None }));
        let tap = json!({"id": "wamid.T", "type": "button", "button": {"payload": "p", "text": "Yes"}});
        post(&house, &from(Some(TO), None, tap)).await;
        sent(house.send_by(&key, text("yes")).await);
    });
    house.finish();
}

#[test]
fn a_message_of_tomorrow_opens_no_window_of_tomorrow() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S + 30 * 24 * 3_600)).await;
        sent(house.send_by(&key, text("one")).await);
        house.clock.advance(24 * HOUR_MS);
        assert!(matches!(refused(house.send_by(&key, text("two")).await), Refusal::WindowClosed { .. }));
    });
    house.finish();
}

#[test]
fn a_user_without_a_number_has_a_window_and_one_with_both_names_has_it_under_both() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        post(&house, &from(None, Some(BSUID), hello("wamid.1"))).await;
        sent(house.send_by(&key, to_user(BSUID, "one")).await);
        assert!(matches!(refused(house.send_by(&key, text("no")).await), Refusal::WindowClosed { .. }), "nobody said that it is the same");
        house.clock.advance(24 * HOUR_MS);
        let mut both = from(Some(TO), Some(BSUID), hello("wamid.2"));
        both["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = json!((NOON_S + 24 * 3_600).to_string());
        post(&house, &both).await;
        sent(house.send_by(&key, to_user(BSUID, "two")).await);
        sent(house.send_by(&key, text("three")).await);
    });
    house.finish();
}

#[test]
fn a_user_whose_number_changes_keeps_window_and_wishes() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        let new = "905559998877";
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        assert!(matches!(refused(house.send_by(&key, text_to(new, "no")).await), Refusal::WindowClosed { .. }));
        let system = json!({"id": "wamid.2", "type": "system",
            "system": {"type": "user_changed_number", "body": "A changed", "wa_id": new, "user_id": BSUID}});
        post(&house, &from(Some(TO), None, system.clone())).await;
        sent(house.send_by(&key, text_to(new, "yes")).await);
        sent(house.send_by(&key, to_user(BSUID, "yes")).await);
        house.clock.advance(24 * HOUR_MS);
        post(&house, &from(Some(TO), None, system)).await;
        assert!(
            matches!(refused(house.send_by(&key, text_to(new, "no")).await), Refusal::WindowClosed { .. }),
            "the window is as old as it was"
        );
    });
    house.finish();
}

#[test]
fn who_stopped_marketing_gets_none_until_it_is_resumed() {
    let house = house();
    let key = enforced(&house);
    house.run(async {
        house.meta.has_templates(vec![definition("sale", "MARKETING", "On sale"), definition("order", "UTILITY", "Your order")]);
        house.engine().sync_templates(&house.app("acme-main"), Mode::Live).await.expect("synced");
        sent(house.send_by(&key, template("sale", &[])).await);
        let wish = |value: &str, at: i64| {
            let wish = json!([{"wa_id": TO, "detail": "d", "category": "marketing_messages", "value": value, "timestamp": at}]);
            change(WABA, "user_preferences", value_of(NUMBER, "user_preferences", wish))
        };
        post(&house, &wish("stop", NOON_S)).await;
        assert_eq!(refused(house.send_by(&key, template("sale", &[])).await), Refusal::OptedOut);
        sent(house.send_by(&key, template("order", &[])).await);
        sent(house.send(template("sale", &[])).await);
        post(&house, &wish("resume", NOON_S + 5)).await;
        sent(house.send_by(&key, template("sale", &[])).await);
    });
    house.finish();
}

#[test]
fn where_nothing_is_enforced_the_timeline_says_what_is_known_of_the_window() {
    let house = house();
    house.run(async {
        let marked = |id: &str| {
            let (house, id) = (&house, id.to_owned());
            async move {
                let view = house.engine().look_up(&house.caller(), &id).await.expect("found");
                let mark = view.timeline.iter().find(|entry| matches!(entry.event.as_str(), "outside_window" | "window_unknown"));
                mark.map(|entry| (entry.event.clone(), entry.detail.clone()))
            }
        };
        let one = sent(house.send(text("one")).await);
        let never = wamid(&one);
        let (event, detail) = marked(&never).await.expect("it is marked");
        assert_eq!(event, "window_unknown");
        assert!(detail.contains("only Meta knows"), "{detail}");
        // What reached the phone was let through: there was a window, though nobody had told us.
        post(&house, &statuses(vec![status(&never, "delivered", Some(&token(&house)))])).await;
        assert_eq!(marked(&never).await, None);

        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        house.clock.advance(HOUR_MS);
        let inside = wamid(&sent(house.send(text("two")).await));
        assert_eq!(marked(&inside).await, None);
        house.clock.advance(24 * HOUR_MS);
        let after = wamid(&sent(house.send(text("three")).await));
        let (event, detail) = marked(&after).await.expect("it is marked");
        assert_eq!(event, "outside_window");
        assert!(detail.contains("the user last wrote at 2026-11-23T12:00:00"), "{detail}");
    });
    house.finish();
}

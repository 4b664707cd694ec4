//! The gateway's own events.

use serde_json::{Value, json};
use turnpike_domain::ledger::Resolution;
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::webhook::EventKind;
use turnpike_engine::directory::App;
use turnpike_store::faults::{Broken, Fault, Method};

use crate::house::*;
use crate::meta::End;
use crate::posts::*;

/// What the gateway told an application of its own accord.
async fn told(house: &House, app: &App) -> Vec<(Mode, Value)> {
    house.engine().tell_notices().await.expect("the store answers");
    let events = events_of(house, app).await.into_iter().filter(|(event, _)| event.kind == EventKind::Gateway);
    events
        .map(|(event, body)| {
            assert_eq!((&body["object"], &body["entry"][0]["id"]), (&json!("turnpike"), &json!(app.row.app_id)));
            (event.mode, body["entry"][0]["changes"][0].clone())
        })
        .collect()
}

#[test]
fn an_unknown_outcome_that_is_decided_is_told_once_however_it_was_decided() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        for _ in 0..2 {
            house.meta.next(End::Lost);
        }
        let with = body(&json!({"messaging_product": "whatsapp", "to": TO, "type": "text", "text": {"body": "hello"},
            "biz_opaque_callback_data": "order-7"}));
        refused(house.send(with).await);
        let token = house.meta.posted().last().and_then(|post| post.token().map(str::to_owned)).expect("Meta was asked");
        assert!(told(&house, &app).await.is_empty(), "nothing is decided yet");
        post(&house, &statuses(vec![status("wamid.1", "delivered", Some(&token))])).await;
        let first = told(&house, &app).await;
        assert_eq!(first.len(), 1);
        let (mode, change) = &first[0];
        assert_eq!((*mode, &change["field"]), (Mode::Live, &json!("message_resolved")));
        let value = &change["value"];
        assert_eq!(value["message_id"], json!(house.messages().await[0].id));
        for (name, expected) in [
            ("wamid", json!("wamid.1")),
            ("state", json!("delivered")),
            ("resolution", json!("accepted")),
            ("evidence", json!("status")),
            ("to", json!(TO)),
            ("biz_opaque_callback_data", json!("order-7")),
        ] {
            assert_eq!(value[name], expected, "{name} of {value}");
        }
        refused(house.send(text_to("905551112299", "two")).await);
        let record = house.messages().await.remove(0);
        let order = turnpike_engine::control::messages::ResolveOrder {
            resolution: Resolution::PresumedNotSent,
            wamid: None,
            reason: "asked Meta".to_owned(),
            actor: "carol".to_owned(),
        };
        house.engine().resolve_message(&record, order).await.expect("it is unknown");
        let both = told(&house, &app).await;
        assert_eq!(both.len(), 2);
        let value = &both[1].1["value"];
        assert_eq!((&value["state"], &value["reason"]), (&json!("presumed_not_sent"), &json!("asked Meta")), "who it was stays with us");
        assert_eq!(told(&house, &app).await.len(), 2, "each once");
    });
    house.finish();
}

#[test]
fn what_a_status_decided_before_the_answer_was_given_up_is_told_with_its_evidence() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let (end, gate) = End::Lost.held();
        house.meta.next(end);
        let sending = house.send(text("hello"));
        let reporting = async {
            house.until("Meta has it", || async { !house.meta.posted().is_empty() }).await;
            let token = house.meta.posted()[0].token().map(str::to_owned).expect("it bears our token");
            post(&house, &statuses(vec![status("wamid.1", "sent", Some(&token))])).await;
            gate.add_permits(1);
        };
        let (ended, ()) = tokio::join!(sending, reporting);
        refused(ended);
        let told = told(&house, &app).await;
        assert_eq!(told.len(), 1);
        let value = &told[0].1["value"];
        for (name, expected) in [("state", "sent"), ("resolution", "accepted"), ("evidence", "status")] {
            assert_eq!(value[name], json!(expected), "{name} of {value}");
        }
        assert!(value["resolved_at"].is_string() && value["reason"].is_string(), "{value}");
    });
    house.finish();
}

#[test]
fn a_low_balance_is_told_to_every_application_of_the_organization_and_to_no_other() {
    let house = house();
    house.run(async {
        let (acme, other) = (house.engine().organization(Some("acme")).expect("the first"), house.organization("other").await);
        house.application(&acme, "acme-second", "1004", "2004").await;
        house.application(&other, "other-main", "1002", "2002").await;
        house.engine().store().set_wallet_alert(acme.key, Mode::Live, Some(TEN)).await.expect("the store answers");
        sent(house.send(text("hello")).await);
        for app in ["acme-main", "acme-second"] {
            let told = told(&house, &house.app(app)).await;
            assert_eq!(told.len(), 1, "{app}");
            let value = &told[0].1["value"];
            assert_eq!((&told[0].1["field"], &value["mode"], &value["currency"]), (&json!("balance_low"), &json!("live"), &json!("USD")));
            assert_eq!(value["available"], json!(Micros(TEN.0 - COST.0)));
        }
        assert!(told(&house, &house.app("other-main")).await.is_empty());
    });
    house.finish();
}

#[test]
fn a_follower_hears_that_something_was_recorded() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let mut changed = house.engine().events_changed(app.row.key);
        assert!(!changed.has_changed().expect("open"));
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        tokio::time::timeout(std::time::Duration::from_secs(5), changed.changed()).await.expect("in time").expect("open");
        post(&house, &text_from(NUMBER, WABA, TO, "wamid.1", NOON_S)).await;
        house.quiet().await;
        assert!(!changed.has_changed().expect("open"), "a repeat is nothing new");
    });
    house.finish();
}

/// Two messages whose unknown outcomes were decided, each with its notice.
async fn two_decided(house: &House) {
    for count in 0..2 {
        house.meta.next(End::Lost);
        refused(house.send(text_to("905551112299", &format!("text {count}"))).await);
        let token = house.meta.posted().last().and_then(|post| post.token().map(str::to_owned)).expect("Meta was asked");
        post(house, &statuses(vec![status(&format!("wamid.{count}"), "delivered", Some(&token))])).await;
    }
}

#[test]
fn a_notice_that_cannot_be_told_keeps_no_other_from_being_told_and_is_not_lost() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        two_decided(&house).await;
        let notices = house.engine().store().notices(10).await.expect("the store answers");
        house.faults().break_row(Broken::Notice(notices[0].id));
        let second = told(&house, &app).await;
        assert_eq!(second.len(), 1);
        assert_eq!(second[0].1["value"]["wamid"], json!("wamid.1"));
        assert_eq!(house.engine().unwritten(), 1);
        let asked = house.faults().calls(Method::Record);
        assert_eq!(told(&house, &app).await.len(), 1);
        assert_eq!(house.faults().calls(Method::Record), asked, "it waits for its next try");
        let left = house.engine().store().notices(10).await.expect("the store answers");
        assert_eq!(left.iter().map(|notice| notice.id).collect::<Vec<_>>(), [notices[0].id]);
    });
    house.finish();
}

#[test]
fn a_bug_met_while_one_notice_is_told_keeps_no_other_from_being_told() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        two_decided(&house).await;
        house.faults().fail_next(Method::Message, Fault::Panics);
        assert_eq!(told(&house, &app).await.len(), 1);
        assert_eq!(house.engine().store().notices(10).await.expect("the store answers").len(), 1, "and it is not lost");
    });
    house.finish();
}

//! Never a wrong tenant: what goes to whom, and what goes to nobody.

use serde_json::{Value, json};
use turnpike_domain::send::Mode;
use turnpike_engine::control::ControlFault;
use turnpike_engine::control::applications::Connect;
use turnpike_engine::directory::App;
use turnpike_engine::intake::{Replayed, TakenIn};
use turnpike_engine::secret::Secret;
use turnpike_store::events::QuarantineReason;
use turnpike_store::organizations::Organization;

use crate::house::*;
use crate::posts::*;

const USER: &str = "905551112233";

/// The wamids in an application's events.
async fn heard(house: &House, app: &App) -> Vec<String> {
    let events = events_of(house, app).await;
    let wamid = |body: &Value| body.pointer("/entry/0/changes/0/value/messages/0/id").and_then(Value::as_str).map(str::to_owned);
    events.iter().filter_map(|(_, body)| wamid(body)).collect()
}

async fn reasons(house: &House) -> Vec<QuarantineReason> {
    house.engine().quarantined(None, 500).await.expect("the store answers").iter().map(|record| record.reason).collect()
}

/// An application that a customer connected through an app of its own.
async fn with_own_app(house: &House, organization: &Organization, app_id: &str, number: &str, waba: &str) -> std::sync::Arc<App> {
    let app = house.draft(organization, app_id).await;
    let connect = Connect {
        phone_number_id: number.to_owned(),
        waba_id: waba.to_owned(),
        token: Secret::new("EAAtoken".to_owned()),
        phone_number: None,
        meta_app_id: Some(CUSTOMERS_APP.to_owned()),
        connection_type: None,
    };
    house.engine().connect_application(&app, connect).await.expect("it connects")
}

#[test]
fn a_batch_across_three_tenants_reaches_each_only_its_own() {
    let house = house();
    house.run(async {
        let (other, third) = (house.organization("other").await, house.organization("third").await);
        house.application(&other, "other-main", "1002", "2002").await;
        house.application(&third, "third-main", "1003", "2003").await;
        let numbers = [("1001", "2001"), ("1002", "2002"), ("1003", "2003")];
        let batch: Vec<Value> = (0..30)
            .map(|count: usize| {
                let (number, waba) = numbers[count % 3];
                text_from(number, waba, USER, &format!("wamid.{number}.{count}"), NOON_S)
            })
            .collect();
        post(&house, &together(&batch)).await;
        for (app_id, number) in [("acme-main", "1001"), ("other-main", "1002"), ("third-main", "1003")] {
            let heard = heard(&house, &house.app(app_id)).await;
            assert_eq!(heard.len(), 10, "{app_id}");
            assert!(heard.iter().all(|wamid| wamid.starts_with(&format!("wamid.{number}."))), "{app_id}: {heard:?}");
        }
        assert_eq!(quarantined(&house).await, 0);
    });
    house.finish();
}

#[test]
fn a_number_that_nobody_has_waits_in_quarantine_until_it_is_connected() {
    let house = house();
    house.run(async {
        let payload = text_from("1009", "2009", USER, "wamid.early", NOON_S);
        post(&house, &payload).await;
        post(&house, &payload).await;
        let kept = house.engine().quarantined(None, 50).await.expect("the store answers");
        assert_eq!(kept.len(), 1, "Meta's repeat is kept once");
        assert_eq!(
            (kept[0].reason, kept[0].phone_number_id.as_deref(), kept[0].waba_id.as_deref(), kept[0].field.as_deref()),
            (QuarantineReason::UnknownNumber, Some("1009"), Some("2009"), Some("messages"))
        );
        let id = kept[0].id;
        let again = house.engine().replay_quarantined(id).await.expect("it is there");
        assert_eq!(again, Replayed { recorded: 0, duplicates: 0, quarantined: 1 }, "still nobody's");

        let organization = house.engine().organization(Some("acme")).expect("the first");
        house.application(&organization, "acme-late", "1009", "2009").await;
        let now = house.engine().replay_quarantined(id).await.expect("it is there");
        assert_eq!(now, Replayed { recorded: 1, duplicates: 0, quarantined: 0 });
        assert_eq!(heard(&house, &house.app("acme-late")).await, ["wamid.early"]);
        let twice = house.engine().replay_quarantined(id).await;
        assert!(matches!(twice, Err(ControlFault::Rule(_))), "a payload is taken in once: {twice:?}");
        assert_eq!(heard(&house, &house.app("acme-late")).await, ["wamid.early"]);
        let kept = house.engine().quarantined(None, 50).await.expect("the store answers");
        assert!(kept[0].replayed_at.is_some());
        assert!(house.engine().replay_quarantined(id + 1).await.is_err(), "there is no other");
    });
    house.finish();
}

#[test]
fn number_and_account_must_be_of_one_application() {
    let house = house();
    house.run(async {
        let other = house.organization("other").await;
        house.application(&other, "other-main", "1002", "2002").await;
        post(&house, &text_from("1001", "2002", USER, "wamid.1", NOON_S)).await;
        post(&house, &text_from("1002", "2001", USER, "wamid.2", NOON_S)).await;
        assert_eq!(reasons(&house).await, [QuarantineReason::Mismatch; 2]);
        for app in ["acme-main", "other-main"] {
            assert!(events_of(&house, &house.app(app)).await.is_empty(), "{app}");
        }
    });
    house.finish();
}

#[test]
fn what_is_about_an_account_goes_to_each_of_its_applications() {
    let house = house();
    house.run(async {
        let (acme, other) = (house.engine().organization(Some("acme")).expect("the first"), house.organization("other").await);
        house.application(&acme, "acme-second", "1004", WABA).await;
        house.application(&acme, "acme-elsewhere", "1005", "2005").await;
        // An account can be shared: each organization gets a copy of its own.
        house.application(&other, "other-shared", "1006", WABA).await;
        post(&house, &change(WABA, "account_update", json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}})))
            .await;
        for (app, count) in [("acme-main", 1), ("acme-second", 1), ("acme-elsewhere", 0), ("other-shared", 1)] {
            assert_eq!(events_of(&house, &house.app(app)).await.len(), count, "{app}");
        }
        post(&house, &change("2999", "account_update", json!({"event": "ACCOUNT_VIOLATION"}))).await;
        assert_eq!(reasons(&house).await, [QuarantineReason::UnknownNumber]);
    });
    house.finish();
}

#[test]
fn what_shows_a_number_of_a_shared_account_goes_to_that_number_alone() {
    let house = house();
    house.run(async {
        let other = house.organization("other").await;
        let app = house.draft(&other, "other-shared").await;
        let connect = Connect {
            phone_number_id: "1006".to_owned(),
            waba_id: WABA.to_owned(),
            token: Secret::new("EAAtoken".to_owned()),
            phone_number: Some("15550009999".to_owned()),
            meta_app_id: None,
            connection_type: None,
        };
        house.engine().connect_application(&app, connect).await.expect("it connects");
        let quality = |shown: &str| {
            change(WABA, "phone_number_quality_update", json!({"display_phone_number": shown, "event": "THROUGHPUT_UPGRADE"}))
        };
        post(&house, &quality("+1 555-000-9999")).await;
        assert_eq!(events_of(&house, &house.app("other-shared")).await.len(), 1);
        assert!(events_of(&house, &house.app("acme-main")).await.is_empty());
        post(&house, &quality("+1 555-000-1000")).await;
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 1, "the only one that may have it");
        assert_eq!(events_of(&house, &house.app("other-shared")).await.len(), 1);
    });
    house.finish();
}

#[test]
fn an_event_for_partners_never_leaves() {
    let house = house();
    house.run(async {
        let value = json!({"event": "PARTNER_ADDED", "waba_info": {"waba_id": WABA, "owner_business_id": "3001"}});
        post(&house, &change(WABA, "account_update", value.clone())).await;
        post(&house, &change("3001", "account_update", value)).await;
        assert!(events_of(&house, &house.app("acme-main")).await.is_empty());
        assert_eq!(quarantined(&house).await, 2, "the operator finds it");
    });
    house.finish();
}

#[test]
fn a_customers_own_app_speaks_for_its_own_applications_alone() {
    let house = house();
    house.run(async {
        let other = house.organization("other").await;
        let theirs = with_own_app(&house, &other, "other-own", "1007", "2007").await;
        // Its word about somebody else's number counts nothing, and nor does ours about its own.
        assert_eq!(post_by(&house, CUSTOMERS_SECRET, &text_from(NUMBER, WABA, USER, "wamid.1", NOON_S)).await, TakenIn::Durable);
        assert_eq!(post_by(&house, SECRET, &text_from("1007", "2007", USER, "wamid.2", NOON_S)).await, TakenIn::Durable);
        assert_eq!(reasons(&house).await, [QuarantineReason::Mismatch; 2]);
        assert_eq!(post_by(&house, CUSTOMERS_SECRET, &text_from("1007", "2007", USER, "wamid.3", NOON_S)).await, TakenIn::Durable);
        assert_eq!(heard(&house, &theirs).await, ["wamid.3"]);
        assert!(events_of(&house, &house.app("acme-main")).await.is_empty());
    });
    house.finish();
}

#[test]
fn the_sandbox_secret_is_good_for_sandbox_ids_and_a_live_one_is_not() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let sandbox = "sandbox-acme-main";
        let tries: [(&str, &str, &str); 6] = [
            (SANDBOX_SECRET, NUMBER, WABA),
            (SANDBOX_SECRET, sandbox, WABA),
            (SANDBOX_SECRET, NUMBER, sandbox),
            (SANDBOX_SECRET, "sandbox-nobody", "sandbox-nobody"),
            (SECRET, sandbox, sandbox),
            (CUSTOMERS_SECRET, sandbox, sandbox),
        ];
        for (count, (secret, number, waba)) in tries.into_iter().enumerate() {
            let payload = text_from(number, waba, USER, &format!("wamid.{count}"), NOON_S);
            assert_eq!(post_by(&house, secret, &payload).await, TakenIn::Durable);
        }
        let by_account = change(WABA, "account_update", json!({"event": "ACCOUNT_VIOLATION"}));
        assert_eq!(post_by(&house, SANDBOX_SECRET, &by_account).await, TakenIn::Durable);
        assert!(events_of(&house, &app).await.is_empty());
        assert_eq!(quarantined(&house).await, 7);
        assert_eq!(post_by(&house, SANDBOX_SECRET, &text_from(sandbox, sandbox, USER, "wamid.ok", NOON_S)).await, TakenIn::Durable);
        let kinds = kinds_of(&house, &app).await;
        assert_eq!(kinds.iter().map(|(_, mode)| *mode).collect::<Vec<_>>(), [Mode::Sandbox]);
    });
    house.finish();
}

#[test]
fn a_suspended_application_still_hears() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        house.engine().suspend_application(&app).await.expect("suspended");
        post(&house, &text_from(NUMBER, WABA, USER, "wamid.1", NOON_S)).await;
        assert_eq!(events_of(&house, &app).await.len(), 1);
    });
    house.finish();
}

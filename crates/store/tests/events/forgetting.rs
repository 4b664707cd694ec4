//! What goes with time, and what goes when a user asks to be forgotten.

use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_domain::webhook::{EventKind, StatusKind};
use turnpike_store::events::{Intake, Quarantine, QuarantineReason, Recorded};
use turnpike_store::sqlite::Tuning;
use turnpike_store::users::UserNote;

use crate::house::{House, START, hash};
use crate::story::{META, SOON, Shop, new};
use turnpike_domain::ledger::LegState;

fn count(house: &House, sql: &str) -> i64 {
    house.database().query_row(sql, [], |row| row.get(0)).expect("counts")
}

#[tokio::test]
async fn each_kind_of_row_goes_at_its_own_age() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let endpoint = shop.endpoint(&house, 0);
    let key = shop.sent(store, 1).await;
    new(store, shop.status(key, StatusKind::Delivered)).await;
    for day in 0..3_i64 {
        let mut event = shop.event(EventKind::Messages, 10 + day.unsigned_abs());
        event.endpoints = vec![endpoint];
        let received_at = SOON.plus_ms(day * DAY_MS);
        let intake = Intake { received_at, raw: Some(vec![7; 300]), events: vec![event], quarantine: Vec::new() };
        store.record(intake).await.expect("answers");
    }
    house.database().execute("INSERT INTO delivery_attempts SELECT key, 1, 1, 500, 3, NULL, 'no' FROM deliveries", []).expect("attempts");
    let day = |days: i64| SOON.plus_ms(days * DAY_MS).day();
    let tables = |kind: &str| count(&house, &format!("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB '{kind}_2*'"));
    assert_eq!((tables("raw"), tables("event_bodies")), (3, 3));

    assert_eq!(store.forget_events_before(day(2), day(0), day(0)).await.expect("forgets"), 2);
    assert_eq!((tables("raw"), tables("event_bodies"), count(&house, "SELECT count(*) FROM events")), (1, 3, 4));
    assert_eq!(store.forget_events_before(day(2), day(1), day(0)).await.expect("forgets"), 1);
    let left = ["events", "deliveries", "delivery_attempts", "message_statuses"];
    assert_eq!(left.map(|table| count(&house, &format!("SELECT count(*) FROM {table}"))), [2, 2, 2, 1]);
    house.assert_sound().await;
    store.forget_events_before(day(9), day(9), day(9)).await.expect("forgets");
    assert_eq!(left.map(|table| count(&house, &format!("SELECT count(*) FROM {table}"))), [0; 4]);
    assert_eq!((tables("raw"), tables("event_bodies")), (0, 0));
    assert_eq!(shop.legs(store, key).await.1, LegState::Captured(META), "money stays");
    house.assert_sound().await;
    // And it goes on: the tables of a dropped day are made anew.
    new(store, shop.event(EventKind::Messages, 99)).await;
}

#[tokio::test]
async fn many_rows_go_in_slices_beside_sends() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    for batch in 0..9 {
        let events = (0..500).map(|number| shop.event(EventKind::Messages, batch * 500 + number)).collect();
        store.record(Intake { received_at: SOON, raw: None, events, quarantine: Vec::new() }).await.expect("answers");
    }
    let tomorrow = SOON.plus_ms(DAY_MS).day();
    let (forgotten, sent) = tokio::join!(store.forget_events_before(tomorrow, tomorrow, tomorrow), shop.sent(store, 1));
    assert_eq!(forgotten.expect("forgets"), 2);
    assert_eq!(count(&house, "SELECT count(*) FROM events"), 0);
    assert!(sent.0 > 0);
}

/// Whether any file of the store holds these bytes.
fn holds(house: &House, needle: &str) -> bool {
    std::fs::read_dir(house.folder.path()).expect("lists").any(|entry| {
        let path = entry.expect("an entry").path();
        path.is_file() && std::fs::read(path).expect("reads").windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

#[tokio::test]
async fn nothing_of_an_erased_user_is_left_in_any_file_and_others_keep_all() {
    let house = House::new();
    let store = &*house.store;
    let (shop, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    let endpoint = shop.endpoint(&house, 0);
    let (user, alias) = (hash("recipient", 1), hash("bsuid", 1));
    let key = shop.sent(store, 1).await; // its recipient is the user
    let neighbour = shop.sent(store, 2).await;
    let foreign = other.sent(store, 1).await; // another organization's message to the same user
    let mut ids = Vec::new();
    for (number, whose, about) in [(1, shop, Some(user)), (2, shop, Some(alias)), (3, shop, None), (4, other, Some(user))] {
        let mut event = whose.event(EventKind::Messages, number);
        event.body = format!("what number {number} said {}", "and more ".repeat(300)).into_bytes();
        event.user = about.filter(|about| *about == user);
        event.aliases = if about == Some(alias) { vec![hash("bsuid", 7), alias] } else { Vec::new() };
        event.note = Some(UserNote::Wrote(SOON));
        event.endpoints = if number < 4 { vec![endpoint] } else { Vec::new() };
        let raw = Some(format!("the post of {number} {}", "and more ".repeat(700)).into_bytes());
        let recorded = store.record(Intake { received_at: SOON, raw, events: vec![event], quarantine: Vec::new() }).await.expect("answers");
        let Recorded::New { key, id, .. } = recorded[0] else { panic!("{recorded:?}") };
        let attempt = rusqlite::params![key.0 * 16, format!("thanks for {number}")];
        house.database().execute("INSERT INTO delivery_attempts VALUES (?1, 1, 1, 500, 3, NULL, ?2)", attempt).expect("an attempt");
        let first = rusqlite::params![key.0 * 16, format!("at once for {number}")];
        let database = house.database();
        database.execute("UPDATE deliveries SET first_at = 1, first_answer = ?2 WHERE key = ?1", first).expect("a first attempt");
        ids.push((whose, id));
    }
    house.database().execute("DELETE FROM delivery_attempts WHERE delivery NOT IN (SELECT key FROM deliveries)", []).expect("tidies");
    for number in 1..=2_u64 {
        let quarantine = vec![Quarantine {
            reason: QuarantineReason::Unreadable,
            meta_app_id: None,
            waba_id: None,
            phone_number_id: None,
            field: None,
            identity: hash("quarantine", number),
            body: format!("quarantined {number} {}", "and more ".repeat(700)).into_bytes(),
        }];
        store.record(Intake { received_at: SOON, raw: None, events: Vec::new(), quarantine }).await.expect("answers");
    }
    for (needle, there) in [
        ("quarantined 1", true),
        ("number 1 said", true),
        ("the post of 2", true),
        ("sealed content 1", true),
        ("thanks for 1", true),
        ("at once for 2", true),
    ] {
        assert_eq!(holds(&house, needle), there, "{needle}");
    }

    let mut names = store.names_of_user(shop.owner, vec![user, alias]).await.expect("reads");
    names.sort_unstable();
    let mut expected = vec![user, alias, hash("bsuid", 7)];
    expected.sort_unstable();
    assert_eq!(names, expected, "a name that stands beside one of them");
    let quarantined = store.kept_webhooks(None, 10).await.expect("reads");
    let [(place, body), (_, kept_body)] = &quarantined[..] else { panic!("{quarantined:?}") };
    assert!(body.starts_with(b"quarantined 1") && kept_body.starts_with(b"quarantined 2"));
    assert_eq!(store.erase_webhooks(vec![*place, *place]).await.expect("erases"), 1, "once");
    let emptied = store.erase_user(shop.owner, names).await.expect("erases");
    assert!(store.cut_log().await.expect("copies"), "nobody reads");
    // Window; two bodies, posts and answers each; content and answer of the message.
    assert!(emptied >= 1 + 2 + 2 + 2 + 2, "{emptied}");
    for gone in ["quarantined 1", "number 1 said", "number 2 said", "the post of 1", "the post of 2", "thanks for 1", "thanks for 2"] {
        assert!(!holds(&house, gone), "{gone}");
    }
    assert!(
        !holds(&house, "at once for 1") && !holds(&house, "at once for 2") && holds(&house, "at once for 3"),
        "answers of first attempts"
    );
    for kept in ["quarantined 2", "number 3 said", "number 4 said", "the post of 3", "the post of 4", "thanks for 3", "sealed content 2"] {
        assert!(holds(&house, kept), "{kept}");
    }
    assert_eq!(store.user(shop.owner, shop.application, user).await.expect("reads").last_wrote_at, None);
    assert_eq!(store.user(other.owner, other.application, user).await.expect("reads").last_wrote_at, Some(SOON));
    let erased = shop.message(store, key).await;
    assert_eq!((erased.content, erased.answer), (None, None));
    assert!(shop.message(store, neighbour).await.content.is_some() && other.message(store, foreign).await.content.is_some());
    for (place, (whose, id)) in ids.into_iter().enumerate() {
        let event = store.event(whose.owner, id).await.expect("reads").expect("the row stays");
        assert_eq!(event.body.is_some(), place >= 2);
    }
    let waiting = count(&house, "SELECT count(*) FROM deliveries WHERE lane IS NOT NULL");
    assert_eq!(waiting, 1, "what has no body is not delivered");
    house.assert_sound().await;
    assert_eq!(store.erase_user(shop.owner, vec![user]).await.expect("erases"), 0, "there is nothing left");
}

#[tokio::test]
async fn inline_stores_record_and_erase_too() {
    let house = House::tuned(Tuning { inline: true, ..Tuning::default() });
    let shop = Shop::open(&house, "acme").await;
    new(&*house.store, shop.event(EventKind::Messages, 1)).await;
    assert_eq!(house.store.erase_user(shop.owner, vec![hash("recipient", 1)]).await.expect("erases"), 2);
    assert_eq!(house.store.intake_gaps(UnixMs(START.0)).await.expect("reads").1, []);
}

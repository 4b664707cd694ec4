//! One broken row is one item's trouble: rows broken by hand in a real file, and what goes on around
//! them.

use rusqlite::Connection;
use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, LegState, Movement, OutcomeKind, Resolution};
use turnpike_domain::time::DAY_MS;
use turnpike_domain::webhook::{EventKind, StatusKind};
use turnpike_store::deliveries::{DeliveryState, Lane};
use turnpike_store::events::{POISON_AGAIN_AFTER_MS, POISON_TRIES, Quarantine, QuarantineReason, Recorded};
use turnpike_store::ledger::{LegMoved, MoveLeg};
use turnpike_store::messages::{Evidence, Resolve, Settled};

use crate::house::{House, START, hash, settle};
use crate::story::*;

fn is_broken(recorded: &Recorded) -> bool {
    matches!(recorded, Recorded::Broken { .. })
}

/// A file that lets itself be broken: money's rows refuse to be changed, and whoever breaks a disk's
/// block does not ask them.
fn defenceless(house: &House) -> Connection {
    let database = house.database();
    let mut statement = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").expect("prepares");
    let names: Vec<String> = statement.query_map([], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("reads");
    drop(statement);
    for name in names {
        database.execute_batch(&format!("DROP TRIGGER {name}")).expect("drops");
    }
    database
}

fn write(database: &Connection, sql: &str) {
    assert!(database.execute(sql, []).expect(sql) > 0, "{sql}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_its_own_event_and_no_other_of_the_commit() {
    // How it is broken and how it was; KEY is the message, OWNER its organization.
    let cells = [
        ("message_statuses SET pricing =", "'{'", "NULL", "message = KEY"),
        ("message_statuses SET status =", "99", "1", "message = KEY"),
        ("messages SET mode =", "9", "0", "key = KEY"),
        ("messages SET kind =", "99", "1", "key = KEY"),
        ("outcomes SET kind =", "77", "1", "message = KEY"),
        ("wallets SET held_meta =", "0", "3400", "organization = OWNER AND mode = 0"),
    ];
    for (cell, bad_value, good_value, which) in cells {
        let house = House::new();
        let (shop, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
        let (bad, good) = (shop.sent(&*house.store, 1).await, other.sent(&*house.store, 2).await);
        let mut first = shop.status(bad, StatusKind::Sent);
        first.status.as_mut().expect("a status").pricing = None;
        new(&*house.store, first).await;
        // A wallet is remembered by who writes it: a new writer reads it afresh.
        let (house, _) = house.reopen(SOON);
        let database = defenceless(&house);
        let which = which.replace("KEY", &bad.0.to_string()).replace("OWNER", &shop.owner.0.to_string());
        write(&database, &format!("UPDATE {cell} {bad_value} WHERE {which}"));

        let store = &*house.store;
        let batch =
            || vec![shop.event(EventKind::Messages, 1), shop.status(bad, StatusKind::Delivered), other.status(good, StatusKind::Delivered)];
        let recorded = record(store, batch()).await;
        assert!(matches!(recorded[0], Recorded::New { .. }), "{cell}");
        assert!(is_broken(&recorded[1]), "{cell}: {:?}", recorded[1]);
        assert_eq!(other.legs(store, good).await, (LegState::Captured(BASE), LegState::Captured(META)), "{cell}");
        let repeated = record(store, batch()).await;
        assert_eq!((&repeated[0], &repeated[2]), (&Recorded::Duplicate, &Recorded::Duplicate), "{cell}");
        assert!(is_broken(&repeated[1]), "{cell}");

        // Mended, it counts like any other, and once.
        write(&database, &format!("UPDATE {cell} {good_value} WHERE {which}"));
        drop(database);
        let (house, _) = house.reopen(SOON);
        let store = &*house.store;
        let recorded = record(store, vec![shop.status(bad, StatusKind::Delivered)]).await;
        assert!(matches!(recorded[0], Recorded::New { .. }), "{cell}: {recorded:?}");
        assert_eq!(shop.legs(store, bad).await, (LegState::Captured(BASE), LegState::Captured(META)), "{cell}");
        assert_eq!(record(store, vec![shop.status(bad, StatusKind::Delivered)]).await, [Recorded::Duplicate], "{cell}");
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn a_part_is_tried_five_times_and_then_waits_for_a_person() {
    let house = House::new();
    let store = &*house.store;
    let part = || Quarantine {
        reason: QuarantineReason::Poison,
        meta_app_id: Some("42".to_owned()),
        waba_id: None,
        phone_number_id: Some("106".to_owned()),
        field: Some("messages".to_owned()),
        identity: hash("quarantine", 1),
        body: b"sealed payload".to_vec(),
    };
    let mut at = SOON;
    for tries in 1..=POISON_TRIES {
        let noted = store.note_poison(vec![(part(), format!("fault {tries}"))], at).await.expect("answers");
        assert_eq!((noted[0].tries, noted[0].is_given_up), (tries, tries == POISON_TRIES));
        let kept = store.quarantined(None, 10).await.expect("reads");
        assert_eq!(kept.len(), 1, "one row, however often");
        assert_eq!((kept[0].tries, kept[0].fault.as_deref()), (tries, Some(&*format!("fault {tries}"))));
        let Some(wait) = POISON_AGAIN_AFTER_MS.get(usize::from(tries) - 1) else { break };
        assert_eq!(kept[0].next_try_at, Some(at.plus_ms(*wait)));
        assert_eq!(store.poison_due(at.plus_ms(wait - 1), 10).await.expect("reads"), []);
        at = at.plus_ms(*wait);
        assert_eq!(store.poison_due(at, 10).await.expect("reads"), kept);
    }
    assert_eq!(store.poison_due(at.plus_ms(365 * DAY_MS), 10).await.expect("reads"), [], "it waits");
    // Taken in after all; should it fail again one day, that is another story.
    let id = store.quarantined(None, 10).await.expect("reads")[0].id;
    assert!(store.quarantine_replayed(id, at).await.expect("answers"));
    let noted = store.note_poison(vec![(part(), "again".to_owned())], at).await.expect("answers");
    assert_eq!((noted[0].id, noted[0].tries, noted[0].is_given_up), (id, 1, false));
}

#[tokio::test]
async fn a_delivery_whose_event_cannot_be_read_becomes_a_dead_letter_and_the_others_are_claimed() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let endpoint = shop.endpoint(&house, 0);
    let mut events: Vec<_> = (1..4).map(|number| shop.event(EventKind::Messages, number)).collect();
    events.iter_mut().for_each(|event| event.endpoints = vec![endpoint]);
    let recorded = record(store, events).await;
    let Recorded::New { key, id, .. } = recorded[0] else { panic!("{recorded:?}") };
    let database = house.database();
    write(&database, &format!("UPDATE events SET kind = 99 WHERE key = {}", key.0));
    let due = store.claim(endpoint, Lane::First, SOON, SOON.plus_ms(60_000), 10).await.expect("answers");
    assert_eq!(due.len(), 2, "the others");
    assert!(due.iter().all(|due| due.event != key));
    // Mended, it is a dead letter like any other.
    write(&database, &format!("UPDATE events SET kind = {} WHERE key = {}", EventKind::Messages.number(), key.0));
    let record = store.delivery(shop.owner, id, endpoint).await.expect("reads").expect("is there");
    assert_eq!(record.state, DeliveryState::Dead);
    assert_eq!(record.attempts[0].fault.as_deref(), Some("what is stored of its event cannot be read"));
    assert!(store.replay(shop.owner, id, endpoint, SOON).await.expect("answers"));
    let mut again = store.claim(endpoint, Lane::First, SOON, SOON.plus_ms(60_000), 10).await.expect("answers");
    again.extend(store.claim(endpoint, Lane::Retry, SOON, SOON.plus_ms(60_000), 10).await.expect("answers"));
    assert_eq!(again.iter().map(|due| due.event).collect::<Vec<_>>(), [key]);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_stops_neither_resolutions_nor_movements_of_the_others() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let unknown = async |number| {
        let key = shop.send(store, number).await;
        settle(store, shop.owner, key, OutcomeKind::Unknown).await;
        key
    };
    let unknowns = [unknown(1).await, unknown(2).await, unknown(3).await];
    let held = [shop.sent(store, 4).await, shop.sent(store, 5).await];
    let database = defenceless(&house);
    for key in [unknowns[1], held[0]] {
        write(&database, &format!("UPDATE messages SET kind = 99 WHERE key = {}", key.0));
    }
    let resolve = |message: MessageKey| Resolve {
        organization: shop.owner,
        message,
        at: SOON,
        resolution: Resolution::PresumedNotSent,
        evidence: Evidence::Presumed,
        reason: "for a test".to_owned(),
        wamid: None,
        answer: Vec::new(),
    };
    let settled = store.resolve(unknowns.map(resolve).to_vec()).await.expect("answers");
    assert!(matches!(&settled[..], [Settled::Done, Settled::Broken { .. }, Settled::Done]), "{settled:?}");
    let release = |message: MessageKey| MoveLeg {
        organization: shop.owner,
        message,
        leg: Leg::Meta,
        movement: Movement::Release,
        amount: META,
        reason: "for a test".to_owned(),
        at: SOON,
    };
    let moved = store.move_legs(held.map(release).to_vec()).await.expect("answers");
    assert!(matches!(&moved[..], [LegMoved::Broken { .. }, LegMoved::Done(_)]), "{moved:?}");
    for key in [unknowns[1], held[0]] {
        write(&database, &format!("UPDATE messages SET kind = 1 WHERE key = {}", key.0));
    }
    assert_eq!(store.resolve(vec![resolve(unknowns[1])]).await.expect("answers"), [Settled::Done]);
    house.assert_sound().await;
}

#[tokio::test]
async fn holds_that_are_put_aside_let_the_mark_pass_and_come_again() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let keys = [shop.sent(store, 1).await, shop.sent(store, 2).await];
    let late = START.plus_ms(40 * DAY_MS);
    let due = async |before| store.overdue(before, before, 1).await.expect("answers").iter().map(|one| one.message).collect::<Vec<_>>();
    assert_eq!(due(late).await, [keys[0]], "a page of one");
    store.park_overdue(vec![keys[0]], late).await.expect("answers");
    assert_eq!(due(late).await, [keys[1]], "the one behind it is reached");
    store.park_overdue(vec![keys[1]], late).await.expect("answers");
    assert_eq!(due(late).await, []);
    assert_eq!(due(late.plus_ms(1)).await, [keys[0]], "they are looked at again");
}

#[tokio::test]
async fn a_notice_that_cannot_be_read_leaves_the_others_to_be_told() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    for number in 1..4 {
        let key = shop.send(store, number).await;
        settle(store, shop.owner, key, OutcomeKind::Unknown).await;
        new(store, shop.status(key, StatusKind::Sent)).await;
    }
    let ids: Vec<i64> = store.notices(10).await.expect("reads").iter().map(|notice| notice.id).collect();
    write(&house.database(), &format!("UPDATE notices SET kind = 99 WHERE id = {}", ids[0]));
    let told: Vec<i64> = store.notices(1).await.expect("reads").iter().map(|notice| notice.id).collect();
    assert_eq!(told, [ids[1]], "it takes nobody's place");
}

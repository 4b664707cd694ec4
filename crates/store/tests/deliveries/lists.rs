//! Lists of deliveries: whole, in order, and without looking at what is others'.

use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_store::deliveries::{DeliveryFilter, DeliveryState, Finish, Lane};

use crate::house::House;
use crate::setting::*;
use crate::story::SOON;

/// More than four blocks of 4,096 events.
const OTHERS: u64 = 18_000;

#[tokio::test]
async fn few_deliveries_far_apart_among_many_of_others_are_all_found_page_by_page() {
    let mut house = House::new();
    let (quiet, hook) = shop(&house, "quiet").await;
    let (busy, theirs) = shop(&house, "busy").await;
    let mut ids = some(&*house.store, quiet, 0..3, hook).await;
    for batch in 0..OTHERS / 1_000 {
        some(&*house.store, busy, batch * 1_000..(batch + 1) * 1_000, theirs).await;
        if batch == 9 {
            ids.extend(some(&*house.store, quiet, 3..5, hook).await);
        }
    }
    ids.extend(some(&*house.store, quiet, 5..7, hook).await);
    ids.reverse();
    (house, _) = house.reopen(SOON);
    let store = &*house.store;
    for page in [1, 2, 3, 500] {
        let found = listed(store, quiet.owner, quiet, DeliveryFilter::default(), page).await;
        assert_eq!(found.iter().map(|record| record.event_id).collect::<Vec<_>>(), ids, "pages of {page}");
    }
    let blocks: i64 = house
        .database()
        .query_row("SELECT count(*) FROM event_blocks WHERE application = ?1", [quiet.application.0], |row| row.get(0))
        .expect("counts");
    assert_eq!(blocks, 3, "the blocks between are others'");
    let all = listed(store, busy.owner, busy, DeliveryFilter::default(), 500).await;
    assert_eq!(all.len() as u64, OTHERS);
    assert!(all.is_sorted_by(|newer, older| newer.key > older.key));
    let filter = DeliveryFilter { endpoint: Some(hook), state: Some(DeliveryState::Pending), ..DeliveryFilter::default() };
    assert_eq!(store.replay_range(quiet.owner, quiet.application, filter, SOON).await.expect("replays"), 0, "never tried: on their way");
}

#[tokio::test]
async fn dead_letters_are_found_by_themselves_also_those_of_a_deleted_endpoint() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let (other, theirs) = self::shop(&house, "other").await;
    let store = &*house.store;
    let second = endpoint(store, shop, "second").await.key;
    let mut dead = Vec::new();
    for batch in 0..OTHERS / 1_000 {
        some(store, shop, batch * 1_000..(batch + 1) * 1_000, if batch == 2 { second } else { hook }).await;
        if batch % 6 == 2 {
            let hook = if batch == 2 { second } else { hook };
            let due = claim(store, hook, Lane::First, SOON).await;
            finish(store, &due[7], Finish::Dead).await;
            dead.push((due[7].key, due[7].event_id));
        }
    }
    some(store, other, 0..10, theirs).await;
    for due in claim(store, theirs, Lane::First, SOON).await {
        finish(store, &due, Finish::Dead).await;
    }
    dead.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
    let dead: Vec<_> = dead.into_iter().map(|(_, id)| id).collect();
    let filter = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    for page in [1, 2, 500] {
        let found = listed(store, shop.owner, shop, filter, page).await;
        assert_eq!(found.iter().map(|record| record.event_id).collect::<Vec<_>>(), dead, "pages of {page}");
    }
    store.delete_endpoint(shop.owner, second).await.expect("deletes");
    assert_eq!(listed(store, shop.owner, shop, filter, 10).await.len(), dead.len(), "they happened");
    let of_one = DeliveryFilter { endpoint: Some(hook), ..filter };
    assert_eq!(listed(store, shop.owner, shop, of_one, 10).await.len(), dead.len() - 1);
}

#[tokio::test]
async fn a_list_keeps_to_its_span_of_time_and_what_retention_drops_leaves_no_trace() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    let day = |number: i64| SOON.plus_ms(number * DAY_MS);
    for number in 0..6_u64 {
        let at = day(i64::try_from(number).expect("small"));
        events(store, shop, number * 1_000..(number + 1) * 1_000, at, &[hook]).await;
    }
    let count = async |from: Option<UnixMs>, until: Option<UnixMs>| {
        listed(store, shop.owner, shop, DeliveryFilter { from, until, ..DeliveryFilter::default() }, 500).await.len()
    };
    assert_eq!(count(None, None).await, 6_000);
    assert_eq!(count(Some(day(2)), Some(day(4))).await, 2_000);
    assert_eq!(count(Some(day(9)), None).await, 0);
    let kept_from = day(5).day();
    store.forget_events_before(kept_from, kept_from, kept_from).await.expect("forgets");
    assert_eq!(count(None, None).await, 1_000);
    let blocks: i64 = house.database().query_row("SELECT count(*) FROM event_blocks", [], |row| row.get(0)).expect("counts");
    assert_eq!(blocks, 1, "blocks without an event are forgotten");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_shown_as_that_and_hides_no_other() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    let ids = some(store, shop, 0..7, hook).await;
    let keys: Vec<i64> = listed(store, shop.owner, shop, DeliveryFilter::default(), 10).await.iter().map(|record| record.key.0).collect();
    let database = house.database();
    // Newest first: the events 5, 3 and 1.
    database.execute("UPDATE events SET kind = 99 WHERE key = ?1", [keys[1] / 16]).expect("breaks a kind");
    database.execute("UPDATE events SET mode = 9 WHERE key = ?1", [keys[3] / 16]).expect("breaks a mode");
    database.execute("UPDATE deliveries SET state = 44 WHERE key = ?1", [keys[5]]).expect("breaks a state");
    for page in [1, 2, 10] {
        let found = listed(store, shop.owner, shop, DeliveryFilter::default(), page).await;
        let shown: Vec<_> = found.iter().map(|record| (record.event_id, record.kind.is_some(), record.mode.is_some())).collect();
        let expected = [(6, true, true), (5, false, true), (4, true, true), (3, true, false), (2, true, true), (0, true, true)];
        assert_eq!(shown, expected.map(|(number, kind, mode)| (ids[number], kind, mode)), "pages of {page}");
    }
    let one = store.delivery(shop.owner, ids[5], hook).await.expect("reads").expect("is there");
    assert_eq!((one.event_id, one.kind), (ids[5], None));
}

//! What was just recorded is claimed without being read, and that changes nothing of who gets what.

use std::collections::{BTreeMap, HashSet};

use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::deliveries::{DeliveryKey, Due, Finish, Lane};
use turnpike_store::endpoints::{EndpointChange, EndpointId};

use crate::house::House;
use crate::setting::*;
use crate::story::{SOON, Shop};

async fn keys(store: &dyn Store, hook: EndpointId) -> Vec<DeliveryKey> {
    claim(store, hook, Lane::First, SOON).await.iter().map(|due| due.key).collect()
}

/// Takes every event's row away, behind the store's back: what is claimed then was not read.
fn take_rows_away(house: &House) {
    house.database().execute_batch("ALTER TABLE events RENAME TO events_elsewhere").expect("renamed");
}

fn bring_rows_back(house: &House) {
    house.database().execute_batch("ALTER TABLE events_elsewhere RENAME TO events").expect("renamed");
}

#[tokio::test]
async fn after_a_claim_of_everything_what_is_recorded_is_claimed_from_memory_just_as_it_would_be_read() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    assert!(keys(store, hook).await.is_empty());
    let ids = some(store, shop, 0..3, hook).await;
    take_rows_away(&house);
    let fresh = claim(store, hook, Lane::First, SOON).await;
    bring_rows_back(&house);
    assert_eq!(fresh.iter().map(|due| due.event_id).collect::<Vec<_>>(), ids);
    for due in &fresh {
        finish(store, due, Finish::Back).await;
    }
    let read: Vec<Due> = claim(store, hook, Lane::First, SOON).await;
    assert_eq!(read, fresh);
    assert!(keys(store, hook).await.is_empty(), "all are held");
}

#[tokio::test]
async fn what_was_given_back_is_claimed_before_what_came_later() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    assert!(keys(store, hook).await.is_empty());
    some(store, shop, 0..2, hook).await;
    let older = claim(store, hook, Lane::First, SOON).await;
    some(store, shop, 2..4, hook).await;
    for due in &older {
        finish(store, due, Finish::Back).await;
    }
    let all = keys(store, hook).await;
    assert_eq!((all.len(), all.is_sorted()), (4, true));
    assert_eq!(all[..2], older.iter().map(|due| due.key).collect::<Vec<_>>()[..]);
}

#[tokio::test]
async fn what_is_more_than_is_kept_is_found_in_the_store_in_order() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    assert!(keys(store, hook).await.is_empty());
    for from in (0..600).step_by(50) {
        some(store, shop, from..from + 50, hook).await;
    }
    let all = keys(store, hook).await;
    assert_eq!((all.len(), all.is_sorted()), (600, true));
}

#[tokio::test]
async fn a_lease_that_is_over_is_seen_though_new_deliveries_are_in_memory() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    some(store, shop, 0..1, hook).await;
    let lease_until = SOON.plus_ms(5);
    let held = store.claim(hook, Lane::First, SOON, lease_until, 10).await.expect("claims");
    some(store, shop, 1..2, hook).await;
    let again = claim(store, hook, Lane::First, lease_until).await;
    assert_eq!((again.len(), again[0].key), (2, held[0].key));
}

#[tokio::test]
async fn what_was_dropped_erased_or_of_a_deleted_endpoint_is_not_handed_out_from_memory() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    assert!(keys(store, hook).await.is_empty());
    some(store, shop, 0..3, hook).await;
    assert_eq!(store.drop_backlog(shop.owner, hook).await.expect("drops"), 3);
    assert!(keys(store, hook).await.is_empty());
    some(store, shop, 3..6, hook).await;
    assert!(store.delete_endpoint(shop.owner, hook).await.expect("deletes"));
    assert!(keys(store, hook).await.is_empty());
}

/// A sequence that is the same at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the test itself knows of one endpoint.
#[derive(Default)]
struct Expected {
    waiting: HashSet<DeliveryKey>,
    held: BTreeMap<DeliveryKey, Due>,
}

#[tokio::test]
async fn whatever_comes_in_whatever_order_each_delivery_is_held_once_and_none_is_forgotten() {
    for seed in 1..=12 {
        let house = House::new();
        let (shop, hook) = shop(&house, "acme").await;
        let mut numbers = Numbers(seed * 0x9e37_79b9);
        let mut expected = Expected::default();
        let mut next = 0;
        for _ in 0..150 {
            match numbers.below(10) {
                0..4 => next = recorded(&house, (shop, hook), next, numbers.below(4) + 1, &mut expected).await,
                4..8 => {
                    let limit = u32::try_from(numbers.below(6) + 1).expect("small");
                    let found = house.store.claim(hook, Lane::First, SOON, FAR, limit).await.expect("claims");
                    let full = found.len() == limit as usize;
                    for due in found {
                        assert!(expected.waiting.remove(&due.key), "seed {seed}: {:?} was not waiting", due.key);
                        expected.held.insert(due.key, due);
                    }
                    assert!(full || expected.waiting.is_empty(), "seed {seed}: {:?} were passed over", expected.waiting);
                }
                _ => {
                    let Some((key, due)) = expected.held.pop_first() else { continue };
                    if numbers.below(3) == 0 {
                        finish(&*house.store, &due, Finish::Back).await;
                        expected.waiting.insert(key);
                    } else {
                        finish(&*house.store, &due, Finish::Delivered).await;
                    }
                }
            }
        }
        let left: HashSet<DeliveryKey> = keys(&*house.store, hook).await.into_iter().collect();
        assert_eq!(left, expected.waiting, "seed {seed}");
    }
}

async fn recorded(house: &House, (shop, hook): (Shop, EndpointId), next: u64, count: u64, expected: &mut Expected) -> u64 {
    let before = last_delivery(house);
    some(&*house.store, shop, next..next + count, hook).await;
    let database = house.database();
    let mut statement = database.prepare("SELECT key FROM deliveries WHERE key > ?1").expect("prepared");
    let rows = statement.query_map([before], |row| row.get(0)).expect("asked");
    expected.waiting.extend(rows.map(|key| DeliveryKey(key.expect("a key"))));
    next + count
}

fn last_delivery(house: &House) -> i64 {
    house.database().query_row("SELECT coalesce(max(key), 0) FROM deliveries", [], |row| row.get(0)).expect("asked")
}

#[tokio::test]
async fn a_clock_that_was_ahead_hides_nothing() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    let ahead: UnixMs = SOON.plus_ms(10);
    events(store, shop, 0..1, ahead, &[hook]).await;
    assert!(keys(store, hook).await.is_empty(), "it is not due by this clock");
    assert_eq!(claim(store, hook, Lane::First, ahead).await.len(), 1);
}

#[tokio::test]
async fn how_an_endpoint_fares_is_written_without_making_its_neighbours_read() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let neighbour = endpoint(&*house.store, shop, "neighbour").await;
    let store = &*house.store;
    assert!(keys(store, hook).await.is_empty());
    some(store, shop, 0..1, hook).await;
    let change = EndpointChange { failing: Some(Some((SOON, 3))), ..EndpointChange::default() };
    store.update_endpoint(shop.owner, neighbour.key, change, SOON).await.expect("answers").expect("is there");
    store.ready().await.expect("is ready");
    take_rows_away(&house);
    assert_eq!(keys(store, hook).await.len(), 1);
    bring_rows_back(&house);
}

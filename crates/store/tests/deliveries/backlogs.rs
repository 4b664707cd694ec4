//! Where a backlog ends: in number and in age, and never at another's cost.

use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::deliveries::{BacklogBounds, DeliveryFilter, DeliveryState, Finish, GivenUp, Lane};
use turnpike_store::endpoints::EndpointId;
use turnpike_store::events::NoticeKind;

use crate::house::House;
use crate::setting::*;
use crate::story::{SOON, Shop};

const NEVER: UnixMs = UnixMs(0);

fn at_most(most: u64) -> BacklogBounds {
    BacklogBounds { most, due_after: NEVER, told_before: SOON }
}

async fn waiting(store: &dyn Store, shop: Shop) -> u64 {
    store.backlogs(Some(shop.owner)).await.expect("counts").iter().map(|backlog| backlog.first + backlog.retries).sum()
}

async fn dead(store: &dyn Store, shop: Shop) -> Vec<uuid::Uuid> {
    let filter = DeliveryFilter { state: Some(DeliveryState::Dead), ..DeliveryFilter::default() };
    listed(store, shop.owner, shop, filter, 500).await.into_iter().rev().map(|record| record.event_id).collect()
}

async fn notices(store: &dyn Store) -> Vec<(EndpointId, GivenUp)> {
    let told = store.notices(100).await.expect("lists").into_iter();
    told.map(|notice| match notice.what {
        NoticeKind::BacklogOverflow(endpoint, given_up) => (endpoint, given_up),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[tokio::test]
async fn beyond_the_number_the_oldest_of_all_the_owners_endpoints_go_and_nobody_elses() {
    let mut house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    let (other, theirs) = shop(&house, "other").await;
    let second = endpoint(&*house.store, acme, "second").await.key;
    let store = &*house.store;
    some(store, other, 0..3_000, theirs).await;
    let mut ids = Vec::new();
    for batch in 0..4 {
        ids.extend(some(store, acme, batch * 500..(batch + 1) * 500, if batch % 2 == 0 { hook } else { second }).await);
    }
    // A retry of long ago is as old as its event, however far its next try.
    let first = &claim(store, hook, Lane::First, SOON).await[0];
    finish(store, first, Finish::Retry(FAR)).await;
    let given_up = store.trim_backlog(acme.owner, at_most(800), SOON).await.expect("trims");
    assert_eq!(given_up, GivenUp { many: 1_200, old: 0 });
    assert_eq!((waiting(store, acme).await, waiting(store, other).await), (800, 3_000));
    assert_eq!(dead(store, acme).await, ids[..1_200]);
    assert_eq!(notices(store).await, [(hook, GivenUp { many: 700, old: 0 }), (second, GivenUp { many: 500, old: 0 })]);
    (house, _) = house.reopen(SOON);
    let store = &*house.store;
    let overflows = store.overflows(Some(acme.owner)).await.expect("lists");
    assert_eq!(
        overflows.iter().map(|overflow| (overflow.endpoint, overflow.given_up.many)).collect::<Vec<_>>(),
        [(hook, 700), (second, 500)]
    );
    assert!(store.overflows(Some(other.owner)).await.expect("lists").is_empty());
    assert_eq!(store.trim_backlog(acme.owner, at_most(800), SOON).await.expect("trims"), GivenUp::default(), "it is enough");
    assert_eq!(notices(store).await.len(), 2, "and told once");
    let record = store.delivery(acme.owner, ids[3], hook).await.expect("reads").expect("is there");
    assert_eq!((record.state, record.attempts.len()), (DeliveryState::Dead, 1));
    assert!(record.attempts[0].fault.as_deref().is_some_and(|fault| fault.starts_with("given up")), "{:?}", record.attempts);
}

#[tokio::test]
async fn what_waits_too_long_goes_and_what_was_asked_for_again_begins_anew() {
    let house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    let (other, theirs) = shop(&house, "other").await;
    let store = &*house.store;
    let (old, new) = (SOON, SOON.plus_ms(10_000));
    let first = events(store, acme, 0..700, old, &[hook]).await;
    events(store, acme, 700..710, new, &[hook]).await;
    events(store, other, 0..5, old, &[theirs]).await;
    let bounds = BacklogBounds { most: 1_000_000, due_after: new, told_before: old };
    assert_eq!(store.trim_backlog(acme.owner, bounds, new).await.expect("trims"), GivenUp { many: 0, old: 700 });
    assert_eq!(dead(store, acme).await, first);
    assert_eq!((waiting(store, acme).await, waiting(store, other).await), (10, 5));
    assert!(store.replay(acme.owner, first[0], hook, new).await.expect("answers"));
    assert_eq!(store.trim_backlog(acme.owner, bounds, new).await.expect("trims"), GivenUp::default());
    assert_eq!(claim(store, hook, Lane::Retry, new).await[0].event_id, first[0]);
}

#[tokio::test]
async fn an_owner_is_told_of_the_sum_and_not_more_often_than_asked_also_across_a_restart() {
    let mut house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    some(&*house.store, acme, 0..10, hook).await;
    let trim = async |house: &House, most, at: UnixMs| {
        let bounds = BacklogBounds { most, due_after: NEVER, told_before: at.plus_ms(-3_600_000) };
        house.store.trim_backlog(acme.owner, bounds, at).await.expect("trims").many
    };
    assert_eq!(trim(&house, 8, SOON).await, 2);
    assert_eq!(trim(&house, 5, SOON.plus_ms(60_000)).await, 3);
    assert_eq!(notices(&*house.store).await, [(hook, GivenUp { many: 2, old: 0 })]);
    (house, _) = house.reopen(SOON);
    assert_eq!(trim(&house, 4, SOON.plus_ms(120_000)).await, 1);
    let untold = house.store.overflows(None).await.expect("lists")[0];
    assert_eq!((untold.untold, untold.told_at, untold.organization), (4, Some(SOON), acme.owner));
    assert_eq!(trim(&house, 4, SOON.plus_ms(3_600_000)).await, 0);
    assert_eq!(notices(&*house.store).await, [(hook, GivenUp { many: 2, old: 0 }), (hook, GivenUp { many: 4, old: 0 })]);
    assert_eq!(house.store.overflows(None).await.expect("lists")[0].untold, 0);
}

#[tokio::test]
async fn an_attempt_that_was_under_way_still_counts_and_a_failed_one_brings_nothing_back() {
    let house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    some(store, acme, 0..4, hook).await;
    let due = claim(store, hook, Lane::First, SOON).await;
    assert_eq!(store.trim_backlog(acme.owner, at_most(1), SOON).await.expect("trims").many, 3);
    finish(store, &due[0], Finish::Delivered).await;
    finish(store, &due[1], Finish::Retry(SOON)).await;
    assert_eq!(dead(store, acme).await, [due[1].event_id, due[2].event_id]);
    assert_eq!(waiting(store, acme).await, 1);
    let delivered = store.delivery(acme.owner, due[0].event_id, hook).await.expect("reads").expect("is there");
    assert_eq!(delivered.state, DeliveryState::Delivered);
    store.delete_endpoint(acme.owner, hook).await.expect("deletes");
    assert!(store.overflows(None).await.expect("lists").is_empty(), "what is gone overflows no more");
}

//! Who holds a delivery, and what an attempt leaves of it.

use std::collections::HashSet;
use std::sync::Arc;

use turnpike_domain::time::DAY_MS;
use turnpike_domain::webhook::EventKind;
use turnpike_store::deliveries::{DeliveryFilter, DeliveryState, Finish, Finished, Lane, Stalled};
use turnpike_store::events::Recorded;
use turnpike_store::sqlite::Tuning;

use crate::house::{House, hash, open};
use crate::setting::*;
use crate::story::{SOON, record};

#[tokio::test]
async fn what_is_claimed_comes_oldest_first_with_its_bytes_and_to_one_claim_only() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let ids = some(&*house.store, shop, 0..10, hook).await;
    let first = house.store.claim(hook, Lane::First, SOON, FAR, 4).await.expect("claims");
    let rest = claim(&*house.store, hook, Lane::First, SOON).await;
    assert_eq!(first.iter().chain(&rest).map(|due| due.event_id).collect::<Vec<_>>(), ids);
    let due = &first[1];
    assert_eq!((due.organization, due.application, due.kind, due.attempts), (shop.owner, shop.application, EventKind::Messages, 0));
    assert_eq!((due.body.as_deref(), due.user), (Some(&b"sealed body 1"[..]), Some(hash("recipient", 1))));
    assert!(claim(&*house.store, hook, Lane::First, SOON).await.is_empty(), "all are held");
}

#[tokio::test]
async fn concurrent_claims_never_hand_out_the_same_delivery() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    some(&*house.store, shop, 0..400, hook).await;
    let claims = futures_join(&house, hook).await;
    let keys: HashSet<_> = claims.iter().copied().collect();
    assert_eq!((keys.len(), claims.len()), (400, 400));
}

async fn futures_join(house: &House, hook: turnpike_store::endpoints::EndpointId) -> Vec<turnpike_store::deliveries::DeliveryKey> {
    let store = &*house.store;
    let mut all = Vec::new();
    for _ in 0..10 {
        let take = || store.claim(hook, Lane::First, SOON, FAR, 25);
        let (one, two, three, four) = tokio::join!(take(), take(), take(), take());
        for claimed in [one, two, three, four] {
            all.extend(claimed.expect("claims").into_iter().map(|due| due.key));
        }
    }
    // Those that were passed over because another claim read at the same moment.
    all.extend(claim(store, hook, Lane::First, SOON).await.into_iter().map(|due| due.key));
    all
}

#[tokio::test]
async fn a_lease_ends_with_its_time_and_with_the_process() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let ids = some(&*house.store, shop, 0..3, hook).await;
    let lease_until = SOON.plus_ms(60_000);
    assert_eq!(house.store.claim(hook, Lane::First, SOON, lease_until, 10).await.expect("claims").len(), 3);
    assert!(claim(&*house.store, hook, Lane::First, lease_until.plus_ms(-1)).await.is_empty());
    assert_eq!(claim(&*house.store, hook, Lane::First, lease_until).await.len(), 3, "its time is over");
    (house, _) = house.reopen(SOON);
    let again: Vec<_> = claim(&*house.store, hook, Lane::First, SOON).await.into_iter().map(|due| due.event_id).collect();
    assert_eq!(again, ids, "who held them is gone: they go out again under the same ids");
}

#[tokio::test]
async fn an_attempt_leaves_its_trace_and_moves_the_delivery_between_its_states() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    some(&*house.store, shop, 0..4, hook).await;
    let due = claim(&*house.store, hook, Lane::First, SOON).await;
    let later = SOON.plus_ms(5_000);
    for (due, ended) in due.iter().zip([Finish::Delivered, Finish::Retry(later), Finish::Dead, Finish::Back]) {
        finish(&*house.store, due, ended).await;
    }
    (house, _) = house.reopen(SOON);
    let store = &*house.store;
    let states: Vec<_> = listed(store, shop.owner, shop, DeliveryFilter::default(), 10)
        .await
        .into_iter()
        .rev()
        .map(|record| (record.state, record.tries, record.next_at))
        .collect();
    let expected = [
        (DeliveryState::Delivered, 1, None),
        (DeliveryState::Pending, 1, Some(later)),
        (DeliveryState::Dead, 1, None),
        (DeliveryState::Pending, 0, Some(SOON)),
    ];
    assert_eq!(states, expected);
    assert_eq!(claim(store, hook, Lane::First, SOON).await.len(), 1, "what was given back waits as before");
    assert!(claim(store, hook, Lane::Retry, later.plus_ms(-1)).await.is_empty());
    let again = claim(store, hook, Lane::Retry, later).await;
    assert_eq!((again.len(), again[0].attempts, again[0].event_id), (1, 1, due[1].event_id));
    finish(store, &again[0], Finish::Delivered).await;
    let record = store.delivery(shop.owner, due[1].event_id, hook).await.expect("reads").expect("is there");
    assert_eq!((record.state, record.tries), (DeliveryState::Delivered, 2));
    assert_eq!(record.attempts.iter().map(|attempt| attempt.status).collect::<Vec<_>>(), [Some(500), Some(200)]);
}

#[tokio::test]
async fn an_attempt_recorded_twice_or_too_late_undoes_nothing() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    some(store, shop, 0..3, hook).await;
    let due = claim(store, hook, Lane::First, SOON).await;
    // Given up by its owner while the attempt was under way.
    assert_eq!(store.drop_backlog(shop.owner, hook).await.expect("drops"), 3);
    finish(store, &due[0], Finish::Retry(SOON)).await;
    finish(store, &due[1], Finish::Delivered).await;
    let state = async |place: usize| {
        let record = store.delivery(shop.owner, due[place].event_id, hook).await.expect("reads").expect("is there");
        (record.state, record.next_at)
    };
    assert_eq!(state(0).await, (DeliveryState::Dropped, None), "it waits no more");
    assert_eq!(state(1).await, (DeliveryState::Delivered, None), "it did arrive");
    // The commit's answer got lost, and it is recorded again.
    finish(store, &due[1], Finish::Delivered).await;
    assert_eq!(state(1).await, (DeliveryState::Delivered, None));
    assert!(store.next_due().await.expect("looks").is_empty());
    store.delete_endpoint(shop.owner, hook).await.expect("deletes");
    let next = endpoint(store, shop, "default").await;
    finish(store, &due[2], Finish::Retry(SOON)).await;
    assert!(claim(store, next.key, Lane::Retry, FAR).await.is_empty(), "the old endpoint's attempt is not the new one's");
}

#[tokio::test]
async fn an_event_that_meta_repeats_has_one_delivery_per_endpoint() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let second = endpoint(&*house.store, shop, "second").await.key;
    let mut event = shop.event(EventKind::Messages, 1);
    event.endpoints = vec![hook, second];
    assert!(matches!(record(&*house.store, vec![event.clone()]).await[..], [Recorded::New { .. }]));
    (house, _) = house.reopen(SOON);
    assert!(matches!(record(&*house.store, vec![event.clone(), event]).await[..], [Recorded::Duplicate, Recorded::Duplicate]));
    for hook in [hook, second] {
        assert_eq!(claim(&*house.store, hook, Lane::First, SOON).await.len(), 1);
    }
}

#[tokio::test]
async fn another_organization_sees_replays_and_drops_nothing() {
    let house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    let (other, theirs) = shop(&house, "other").await;
    let store = &*house.store;
    let ids = some(store, acme, 0..5, hook).await;
    for due in claim(store, hook, Lane::First, SOON).await {
        finish(store, &due, Finish::Dead).await;
    }
    some(store, acme, 5..8, hook).await;
    let all = DeliveryFilter { endpoint: Some(hook), ..DeliveryFilter::default() };
    assert!(listed(store, other.owner, acme, all, 10).await.is_empty());
    assert_eq!(store.delivery(other.owner, ids[0], hook).await.expect("reads"), None);
    for (owner, endpoint) in [(other.owner, hook), (other.owner, theirs), (acme.owner, theirs)] {
        assert!(!store.replay(owner, ids[0], endpoint, SOON).await.expect("answers"), "{owner:?} {endpoint:?}");
    }
    for shop in [acme, other] {
        assert_eq!(store.replay_range(other.owner, shop.application, all, SOON).await.expect("answers"), 0);
    }
    assert_eq!(store.drop_backlog(other.owner, hook).await.expect("answers"), 0);
    assert!(store.backlogs(Some(other.owner)).await.expect("counts").is_empty());
    let own = store.backlogs(Some(acme.owner)).await.expect("counts");
    assert_eq!(own.iter().map(|own| (own.endpoint, own.first, own.retries)).collect::<Vec<_>>(), [(hook, 3, 0)]);
}

#[tokio::test]
async fn what_is_replayed_waits_at_once_with_a_whole_schedule_as_long_as_its_bytes_are_kept() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    let ids = some(store, shop, 0..2, hook).await;
    for due in claim(store, hook, Lane::First, SOON).await {
        finish(store, &due, Finish::Dead).await;
    }
    let later = SOON.plus_ms(60_000);
    assert!(store.replay(shop.owner, ids[0], hook, later).await.expect("answers"));
    assert!(claim(store, hook, Lane::Retry, SOON).await.is_empty());
    let again = claim(store, hook, Lane::Retry, later).await;
    assert_eq!((again.len(), again[0].attempts, again[0].event_id), (1, 0, ids[0]));
    let record = store.delivery(shop.owner, ids[0], hook).await.expect("reads").expect("is there");
    assert_eq!((record.state, record.tries), (DeliveryState::Pending, 1), "what was tried stays told");
    let tomorrow = SOON.plus_ms(2 * DAY_MS).day();
    store.forget_events_before(tomorrow, tomorrow, tomorrow).await.expect("forgets");
    assert!(!store.replay(shop.owner, ids[1], hook, later).await.expect("answers"));
    assert!(listed(store, shop.owner, shop, DeliveryFilter::default(), 10).await.is_empty());
}

#[tokio::test]
async fn what_failed_first_lately_is_known_after_a_restart_with_its_user() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    some(&*house.store, shop, 0..4, hook).await;
    let due = claim(&*house.store, hook, Lane::First, SOON).await;
    let finished = |place: usize, at| Finished {
        key: due[place].key,
        endpoint: hook,
        attempt: Some(attempt(at, 500)),
        finish: Finish::Retry(at.plus_ms(5_000)),
    };
    // Long ago, lately; delivered since; never tried.
    house.store.finish(vec![finished(0, SOON), finished(1, SOON.plus_ms(400_000)), finished(2, SOON.plus_ms(400_000))]).await.expect("ok");
    finish(&*house.store, &due[2], Finish::Delivered).await;
    (house, _) = house.reopen(SOON);
    let since = SOON.plus_ms(200_000);
    let stalled = house.store.stalled(hook, since).await.expect("reads");
    let expected = Stalled { key: due[1].key, user: hash("recipient", 1), failed_at: SOON.plus_ms(400_012) };
    assert_eq!(stalled, [expected]);
    assert_eq!(house.store.next_retry(hook, SOON).await.expect("reads"), Some(SOON.plus_ms(5_000)));
    assert_eq!(house.store.next_retry(hook, SOON.plus_ms(5_000)).await.expect("reads"), Some(SOON.plus_ms(405_000)));
    assert_eq!(house.store.next_retry(hook, SOON.plus_ms(405_000)).await.expect("reads"), None);
    let next = house.store.next_due().await.expect("reads");
    assert_eq!((next.len(), next[0].endpoint, next[0].has_first, next[0].retry_at), (1, hook, true, Some(SOON.plus_ms(5_000))));
}

/// A copy of the files under a running store is what a power cut would leave: at every instant each
/// event that was answered has its delivery, and each attempt that was answered stays recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_at_any_instant_has_every_delivery_and_every_recorded_attempt() {
    // Without checkpoints the database file holds still, so that two copies make one instant.
    let house = House::tuned(Tuning { checkpoint_ceiling_pages: u32::MAX >> 1, ..Tuning::default() });
    let (shop, hook) = shop(&house, "acme").await;
    let answered = Arc::new(parking_lot::Mutex::new((Vec::new(), Vec::new())));
    let load = {
        let (store, answered) = (Arc::clone(&house.store), Arc::clone(&answered));
        #[expect(clippy::disallowed_methods, reason = "a test's own task")]
        tokio::spawn(async move {
            for round in 0..60 {
                let ids = some(&*store, shop, round * 20..(round + 1) * 20, hook).await;
                answered.lock().0.extend(ids);
                let due = claim(&*store, hook, Lane::First, SOON).await;
                let finished = due.iter().map(|due| Finished {
                    key: due.key,
                    endpoint: hook,
                    attempt: Some(attempt(SOON, 200)),
                    finish: Finish::Delivered,
                });
                store.finish(finished.collect()).await.expect("finishes");
                answered.lock().1.extend(due.into_iter().map(|due| due.event_id));
            }
        })
    };
    let mut rounds = 0;
    loop {
        let is_last = load.is_finished();
        let (events, delivered) = answered.lock().clone();
        let copy = tempfile::tempdir().expect("a folder");
        for file in ["turnpike.db", "turnpike.db-wal"] {
            std::fs::copy(house.folder.path().join(file), copy.path().join(file)).expect("copies");
        }
        let (store, _) = open(copy.path(), SOON, Tuning::default());
        let found = listed(&*store, shop.owner, shop, DeliveryFilter::default(), 500).await;
        let known: HashSet<_> = found.iter().map(|record| record.event_id).collect();
        assert!(events.iter().all(|id| known.contains(id)), "round {rounds}: a delivery is lost");
        let taken: HashSet<_> =
            found.iter().filter(|record| record.state == DeliveryState::Delivered).map(|record| record.event_id).collect();
        assert!(delivered.iter().all(|id| taken.contains(id)), "round {rounds}: an attempt is lost");
        let waits = claim(&*store, hook, Lane::First, SOON).await.len();
        assert!(waits + taken.len() == known.len() || waits == 1_000, "round {rounds}: what was not delivered waits");
        rounds += 1;
        if is_last {
            break;
        }
    }
    load.await.expect("no panic");
    assert_eq!(answered.lock().1.len(), 1_200, "all were delivered in the end");
}

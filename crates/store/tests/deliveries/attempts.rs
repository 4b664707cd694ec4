//! What is kept of attempts, wherever it stands: a delivery that is taken at its first try keeps that
//! try in its own row, every other has rows of their own. Nobody who reads them can tell.

use turnpike_domain::time::UnixMs;
use turnpike_store::Store;
use turnpike_store::deliveries::{Attempt, DeliveryFilter, DeliveryState, Due, Finish, Finished, Lane};

use crate::house::House;
use crate::setting::*;
use crate::story::{SOON, Shop};

fn tried(at: UnixMs, status: u16, answer: &str) -> Attempt {
    Attempt { at, status: Some(status), latency_ms: 7, fault: None, answer: answer.to_owned() }
}

async fn ends(store: &dyn Store, due: &Due, attempt: &Attempt, finish: Finish) {
    let finished = Finished { key: due.key, endpoint: due.endpoint, attempt: Some(attempt.clone()), finish };
    store.finish(vec![finished]).await.expect("finishes");
}

async fn attempts(store: &dyn Store, shop: Shop, due: &Due) -> (DeliveryState, u16, Vec<Attempt>) {
    let record = store.delivery(shop.owner, due.event_id, due.endpoint).await.expect("reads").expect("is there");
    (record.state, record.tries, record.attempts)
}

#[tokio::test]
async fn a_first_try_is_shown_as_it_was_whether_its_answer_was_short_or_long_also_after_a_restart() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    some(&*house.store, shop, 0..3, hook).await;
    let due = claim(&*house.store, hook, Lane::First, SOON).await;
    let long = "a page of words ".repeat(60);
    let said = [tried(SOON, 200, ""), tried(SOON.plus_ms(1), 204, "{\"ok\":true}"), tried(SOON.plus_ms(2), 202, &long)];
    for (due, attempt) in due.iter().zip(&said) {
        ends(&*house.store, due, attempt, Finish::Delivered).await;
    }
    for _ in 0..2 {
        for (due, attempt) in due.iter().zip(&said) {
            assert_eq!(attempts(&*house.store, shop, due).await, (DeliveryState::Delivered, 1, vec![attempt.clone()]));
        }
        (house, _) = house.reopen(SOON);
    }
    house.assert_sound().await;
}

#[tokio::test]
async fn what_is_delivered_once_more_shows_both_tries_in_order_and_each_once() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    some(store, shop, 0..1, hook).await;
    let first = claim(store, hook, Lane::First, SOON).await.remove(0);
    let (one, two, three) = (tried(SOON, 200, "taken"), tried(SOON.plus_ms(50), 500, "no"), tried(SOON.plus_ms(90), 200, "taken again"));
    ends(store, &first, &one, Finish::Delivered).await;
    // Recorded once more, as after an answer that got lost between the store and who asked it.
    ends(store, &first, &one, Finish::Delivered).await;
    let (_, tries, shown) = attempts(store, shop, &first).await;
    assert_eq!((tries, shown[0].clone()), (2, one.clone()));
    assert!(store.replay(shop.owner, first.event_id, hook, SOON).await.expect("replays"));
    let again = claim(store, hook, Lane::Retry, SOON).await.remove(0);
    ends(store, &again, &two, Finish::Retry(SOON.plus_ms(60))).await;
    let last = claim(store, hook, Lane::Retry, SOON.plus_ms(60)).await.remove(0);
    ends(store, &last, &three, Finish::Delivered).await;
    let shown = attempts(store, shop, &first).await;
    assert_eq!(shown, (DeliveryState::Delivered, 4, vec![one.clone(), one, two, three]));
    house.assert_sound().await;
}

#[tokio::test]
async fn asking_for_what_waits_again_takes_retries_and_neither_what_is_over_nor_what_was_never_tried() {
    let house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let store = &*house.store;
    some(store, shop, 0..6, hook).await;
    let due = store.claim(hook, Lane::First, SOON, FAR, 4).await.expect("claims");
    let later = SOON.plus_ms(3_600_000);
    for (due, finish) in due.iter().zip([Finish::Delivered, Finish::Dead, Finish::Retry(later), Finish::Retry(later)]) {
        ends(store, due, &tried(SOON, 500, "no"), finish).await;
    }
    let filter = DeliveryFilter { endpoint: Some(hook), state: Some(DeliveryState::Pending), ..DeliveryFilter::default() };
    let replayed = store.replay_range(shop.owner, shop.application, filter, SOON).await.expect("replays");
    assert_eq!(replayed, 2);
    let again = claim(store, hook, Lane::Retry, SOON).await;
    assert_eq!(again.iter().map(|due| (due.event_id, due.attempts)).collect::<Vec<_>>(), [(due[2].event_id, 0), (due[3].event_id, 0)]);
    assert_eq!(claim(store, hook, Lane::First, SOON).await.len(), 2, "what was never tried waits as before");
    let elsewhere = DeliveryFilter { from: Some(SOON.plus_ms(1)), ..filter };
    assert_eq!(store.replay_range(shop.owner, shop.application, elsewhere, SOON).await.expect("replays"), 0);
}

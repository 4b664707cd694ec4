//! What time decides: unknown outcomes, holds that nobody settled, and spans without intake.

use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, Movement, OutcomeKind, Resolution};
use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_domain::webhook::StatusKind;
use turnpike_store::Store;
use turnpike_store::events::{Intake, Overdue};
use turnpike_store::ledger::{LegMoved, MoveLeg};
use turnpike_store::messages::{Evidence, Outcome, Resolve};

use crate::house::{House, START, outcome, settle};
use crate::story::{META, SOON, Shop, new};

const LONG_AFTER: UnixMs = UnixMs(START.0 + 40 * DAY_MS);

async fn sweep(store: &dyn Store, limit: u32) -> Vec<Overdue> {
    store.overdue(LONG_AFTER, LONG_AFTER, limit).await.expect("answers")
}

async fn finish(store: &dyn Store, overdue: &Overdue) {
    let asked = MoveLeg {
        organization: overdue.organization,
        message: overdue.message,
        leg: Leg::Meta,
        movement: if overdue.delivered { Movement::Capture } else { Movement::Release },
        amount: META,
        reason: "no status for 38 days".to_owned(),
        at: LONG_AFTER,
    };
    let moved = store.move_legs(vec![asked]).await.expect("answers");
    assert!(matches!(moved[0], LegMoved::Done(_)), "{moved:?}");
}

#[tokio::test]
async fn every_hold_that_nothing_decided_is_swept_once() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let open = shop.sent(store, 1).await;
    let settled = shop.sent(store, 2).await;
    new(store, shop.status(settled, StatusKind::Delivered)).await;
    let refused = shop.send(store, 3).await;
    settle(store, shop.owner, refused, OutcomeKind::Refused).await;
    let unpriced = shop.sent(store, 4).await;
    let mut delivered = shop.status(unpriced, StatusKind::Delivered);
    delivered.status.as_mut().expect("a status").pricing = None;
    new(store, delivered).await;
    let unknown = shop.send(store, 5).await;
    settle(store, shop.owner, unknown, OutcomeKind::Unknown).await;
    let last = shop.sent(store, 6).await;

    assert_eq!(store.overdue(START, SOON, 10).await.expect("answers"), [], "nothing is old");
    let due = |message, delivered| Overdue { organization: shop.owner, message, delivered };
    assert_eq!(store.overdue(START, SOON.plus_ms(1), 10).await.expect("answers"), [due(unpriced, true)]);
    assert_eq!(sweep(store, 10).await, [due(open, false), due(unpriced, true), due(last, false)]);
    assert_eq!(sweep(store, 10).await.len(), 3, "what nobody settled is found again");
    for overdue in sweep(store, 10).await {
        finish(store, &overdue).await;
    }
    assert_eq!(sweep(store, 10).await, []);
    // The operator decides after the sweep has passed it.
    let resolve = Resolve {
        organization: shop.owner,
        message: unknown,
        at: LONG_AFTER,
        resolution: Resolution::Accepted,
        evidence: Evidence::Operator,
        reason: "seen on the phone".to_owned(),
        wamid: None,
        answer: Vec::new(),
    };
    store.resolve(vec![resolve]).await.expect("answers");
    assert_eq!(sweep(store, 10).await, []);
    let much_later = LONG_AFTER.plus_ms(40 * DAY_MS);
    let straggling = store.overdue(much_later, much_later, 10).await.expect("answers");
    assert_eq!(straggling, [due(unknown, false)]);
    finish(store, &straggling[0]).await;
    assert_eq!(store.overdue(much_later, much_later, 10).await.expect("answers"), []);
    house.assert_sound().await;
    let (house, _) = house.reopen(much_later);
    assert_eq!(house.store.overdue(much_later, much_later, 10).await.expect("answers"), []);
}

#[tokio::test]
async fn a_sweep_in_small_steps_finds_all() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let mut expected = Vec::new();
    for number in 0..25 {
        expected.push(shop.sent(store, number).await);
    }
    let mut found = Vec::new();
    loop {
        let page = sweep(store, 4).await;
        if page.is_empty() {
            break;
        }
        for overdue in page {
            finish(store, &overdue).await;
            found.push(overdue.message);
        }
    }
    assert_eq!(found, expected);
    house.assert_sound().await;
}

#[tokio::test]
async fn an_unknown_knows_whether_its_number_was_heard_of_before_and_after() {
    let house = House::new();
    let store = &*house.store;
    let (shop, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    let unknown = async |whose: Shop, number: u64, at: UnixMs| -> MessageKey {
        let key = whose.send_at(store, number, at).await;
        settle(store, whose.owner, key, OutcomeKind::Unknown).await;
        key
    };
    let heard = async |whose: Shop, number: u64, at: UnixMs| {
        let key = whose.send_at(store, number, at).await;
        store.settle(vec![Outcome { at: at.plus_ms(80), ..outcome(whose.owner, key, OutcomeKind::Accepted) }]).await.expect("answers");
        let events = vec![whose.status(key, StatusKind::Sent)];
        store.record(Intake { received_at: at.plus_ms(500), raw: None, events, quarantine: Vec::new() }).await.expect("answers");
    };
    let hour = |hours: i64| START.plus_ms(hours * 3_600_000);
    heard(shop, 1, hour(0)).await;
    let between = unknown(shop, 2, hour(1)).await;
    let silent = unknown(other, 3, hour(1)).await;
    let last_before = unknown(shop, 4, hour(2)).await;
    assert_eq!(
        store.open_unknowns(hour(3), None, 10).await.expect("reads").iter().map(|one| one.neighbours_heard).collect::<Vec<_>>(),
        [false; 3],
        "nothing was heard after them"
    );
    heard(shop, 5, hour(4)).await;
    let newest = unknown(shop, 6, hour(5)).await;
    let far = unknown(shop, 7, hour(60)).await;
    let found = store.open_unknowns(hour(61), None, 10).await.expect("reads");
    let told: Vec<_> = found.iter().map(|one| (one.message, one.neighbours_heard)).collect();
    assert_eq!(told, [(between, true), (silent, false), (last_before, true), (newest, false), (far, false)]);
    assert_eq!(found[0].admitted_at, hour(1));
    assert_eq!(found[1].application, other.application);
    assert_eq!(store.open_unknowns(hour(1), None, 10).await.expect("reads"), [], "only those admitted before");
    // Neighbours within the same minutes count too.
    heard(other, 8, hour(1).plus_ms(1)).await;
    let near = unknown(other, 9, hour(1).plus_ms(2)).await;
    heard(other, 10, hour(1).plus_ms(3)).await;
    let found = store.open_unknowns(hour(61), None, 10).await.expect("reads");
    assert!(found.iter().any(|one| one.message == near && one.neighbours_heard), "{found:?}");
    house.assert_sound().await;
}

#[tokio::test]
async fn open_unknowns_go_page_by_page_to_the_youngest() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let mut expected = Vec::new();
    for number in 0..7 {
        let key = shop.send(store, number).await;
        settle(store, shop.owner, key, OutcomeKind::Unknown).await;
        expected.push(key);
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.open_unknowns(LONG_AFTER, after, 3).await.expect("reads");
        let Some(last) = page.last() else { break };
        after = Some(last.message);
        found.extend(page.iter().map(|one| one.message));
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn spans_without_intake_are_remembered_and_since_when_it_works() {
    let house = House::new();
    let store = &*house.store;
    assert_eq!(store.intake_gaps(START).await.expect("reads"), (None, Vec::new()));
    store.intake_works(START).await.expect("notes");
    store.intake_works(START.plus_ms(30_000)).await.expect("notes");
    store.intake_was_down(START.plus_ms(30_000), START.plus_ms(90_000)).await.expect("notes");
    store.intake_was_down(START.plus_ms(30_000), START.plus_ms(90_000)).await.expect("notes");
    let (house, _) = house.reopen(START.plus_ms(100_000));
    let gap = (START.plus_ms(30_000), START.plus_ms(90_000));
    assert_eq!(house.store.intake_gaps(START).await.expect("reads"), (Some(START.plus_ms(30_000)), vec![gap]));
    assert_eq!(house.store.intake_gaps(START.plus_ms(90_000)).await.expect("reads").1, []);
}

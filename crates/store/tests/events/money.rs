//! What statuses do to a message's money and state (contract §6), and what they must not do.

use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, LegState, Movement, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::{DAY_MS, UnixMs};
use turnpike_domain::webhook::StatusKind;
use turnpike_domain::webhook::settle::decide_overdue;
use turnpike_store::events::{NoticeKind, Recorded};
use turnpike_store::ledger::{LegMoved, MoveLeg};
use turnpike_store::messages::{Evidence, MessageFilter, Outcome, Resolve, Settled};

use crate::house::{House, START, hash, organization, outcome, settle};
use crate::story::{BASE, META, SOON, Shop, free, new, record, regular, report, token};

const CAPTURED: (LegState, LegState) = (LegState::Captured(BASE), LegState::Captured(META));

#[tokio::test]
async fn every_order_of_five_statuses_with_repeats_gives_one_state_and_one_amount() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let topped_up = store.balance(shop.owner, Mode::Live).await.expect("answers").expect("a wallet").posted;
    let mut order = [StatusKind::Sent, StatusKind::Delivered, StatusKind::Read, StatusKind::Played, StatusKind::Failed];
    let mut orders = Vec::new();
    permute(&mut order, 0, &mut |order| orders.push(order.to_vec()));
    assert_eq!(orders.len(), 120);
    let mut number = 0;
    // What Meta says of the price, what that takes, and the statuses that say it (meta-cloud-api §5.5).
    type Says = (Option<fn() -> turnpike_domain::webhook::Pricing>, Micros);
    let tellings: [Says; 3] = [(Some(regular), META), (Some(free), Micros::ZERO), (None, META)];
    let mut spent = Micros::ZERO;
    for (pricing, meta) in tellings {
        for order in &orders {
            number += 1;
            // The send's own answer: before all of them, after all of them, or never (nobody knows).
            let key = shop.send(store, number).await;
            let at_first = [Some(OutcomeKind::Accepted), Some(OutcomeKind::Unknown), None][usize::try_from(number % 3).expect("small")];
            if let Some(outcome) = at_first {
                assert_eq!(settle(store, shop.owner, key, outcome).await, Settled::Done);
            }
            let mut news = 0;
            // Each status, the one before it again, and in the end all of them once more.
            let repeated = order.iter().enumerate().flat_map(|(place, status)| [order[place.saturating_sub(1)], *status]);
            for status in repeated.chain(order.clone()) {
                let mut event = shop.status(key, status);
                let is_priced = matches!(status, StatusKind::Sent | StatusKind::Delivered);
                event.status.as_mut().expect("a status").pricing = pricing.filter(|_| is_priced).map(|pricing| pricing());
                let recorded = record(store, vec![event]).await;
                news += usize::from(matches!(recorded[0], Recorded::New { .. }));
            }
            assert_eq!(news, 5, "{order:?}");
            if number % 3 == 2 {
                settle(store, shop.owner, key, OutcomeKind::Accepted).await;
            }
            // A price that never comes is decided by time.
            let due = store.overdue(START, LATER, 10).await.expect("answers");
            assert_eq!(due.len(), usize::from(pricing.is_none()), "{order:?}");
            for one in due {
                assert_eq!((one.message, one.delivered), (key, true));
                let step = decide_overdue(shop.legs(store, key).await.1, one.delivered).expect("it is due");
                let asked = MoveLeg {
                    organization: shop.owner,
                    message: key,
                    leg: step.leg,
                    movement: step.movement,
                    amount: step.amount,
                    reason: step.reason.to_owned(),
                    at: LATER,
                };
                let moved = store.move_legs(vec![asked]).await.expect("answers");
                assert!(matches!(moved[0], LegMoved::Done(_)), "{order:?}: {moved:?}");
            }
            let message = shop.message(store, key).await;
            assert_eq!((message.base_leg.taken(), message.meta_leg.taken()), (BASE, meta), "{order:?}: {:?}", message.movements);
            assert_eq!((message.base_leg.held(), message.meta_leg.held()), (Micros::ZERO, Micros::ZERO), "{order:?}");
            assert_eq!(message.statuses.len(), 5);
            spent = Micros(spent.0 + BASE.0 + meta.0);
            let balance = store.balance(shop.owner, Mode::Live).await.expect("answers").expect("a wallet");
            assert_eq!((balance.posted, balance.held()), (Micros(topped_up.0 - spent.0), Micros::ZERO), "{order:?}");
        }
    }
    let read = store.list_messages(shop.owner, None, MessageFilter::Read, None, 1_000).await.expect("lists");
    assert_eq!(read.len(), 360, "one final state");
    house.assert_sound().await;
}

/// Long after every delivery.
const LATER: UnixMs = UnixMs(SOON.0 + 9 * DAY_MS);

fn permute(order: &mut [StatusKind; 5], from: usize, each: &mut impl FnMut(&[StatusKind; 5])) {
    if from == order.len() {
        each(order);
    }
    for place in from..order.len() {
        order.swap(from, place);
        permute(order, from + 1, each);
        order.swap(from, place);
    }
}

#[tokio::test]
async fn what_meta_does_not_charge_is_given_back() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.sent(store, 1).await;
    let mut delivered = shop.status(key, StatusKind::Delivered);
    delivered.status.as_mut().expect("a status").pricing = Some(free());
    let effect = new(store, delivered).await.expect("an effect");
    assert_eq!(effect.legs, Some((LegState::Captured(BASE), LegState::Released(META))));
    let message = shop.message(store, key).await;
    assert_eq!(message.movements[0].reason, "delivered free of charge (status delivered: free_customer_service, service)");
    let failed = shop.sent(store, 2).await;
    new(store, shop.status(failed, StatusKind::Failed)).await;
    assert_eq!(shop.legs(store, failed).await, (LegState::Captured(BASE), LegState::Released(META)));
    assert_eq!(shop.message(store, failed).await.statuses[0].failure.as_ref().map(|failure| failure.code), Some(131_026));
    house.assert_sound().await;
}

#[tokio::test]
async fn a_price_may_come_with_another_status_than_the_delivery() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    for (number, [first, second]) in
        [[StatusKind::Sent, StatusKind::Delivered], [StatusKind::Delivered, StatusKind::Read]].into_iter().enumerate()
    {
        for priced_first in [true, false] {
            let key = shop.sent(store, number as u64 * 2 + u64::from(priced_first)).await;
            for (status, priced) in [(first, priced_first), (second, !priced_first)] {
                let mut event = shop.status(key, status);
                event.status.as_mut().expect("a status").pricing = priced.then(regular);
                new(store, event).await;
            }
            assert_eq!(shop.legs(store, key).await, CAPTURED, "{first} {second} {priced_first}");
        }
    }
    assert_eq!(store.overdue(START, SOON.plus_ms(1), 10).await.expect("answers"), [], "nothing waits for a price");
    house.assert_sound().await;
}

#[tokio::test]
async fn a_dearer_category_is_taken_late_and_a_cheaper_one_gives_the_rest_back() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let price = |fee: i64| {
        move |key: MessageKey| {
            let mut event = shop.status(key, StatusKind::Delivered);
            event.status.as_mut().expect("a status").repriced = Some(Micros(fee));
            event
        }
    };
    let dear = shop.sent(store, 1).await;
    new(store, price(5_000)(dear)).await;
    assert_eq!(shop.legs(store, dear).await.1, LegState::LateCaptured(Micros(5_000)));
    assert_eq!(shop.message(store, dear).await.movements.len(), 2);
    let cheap = shop.sent(store, 2).await;
    new(store, price(400)(cheap)).await;
    assert_eq!(shop.legs(store, cheap).await.1, LegState::Captured(Micros(400)));
    // A person cannot make a message dearer.
    let asked = MoveLeg {
        organization: shop.owner,
        message: cheap,
        leg: Leg::Meta,
        movement: Movement::LateCapture,
        amount: Micros(1),
        reason: "because".to_owned(),
        at: SOON,
    };
    let moved = store.move_legs(vec![asked]).await.expect("answers");
    assert!(matches!(moved[0], LegMoved::Not(_)), "{moved:?}");
    let balance = store.balance(shop.owner, Mode::Live).await.expect("answers").expect("a wallet");
    assert_eq!(balance.posted, Micros(10_000_000 - 2 * BASE.0 - 5_400));
    assert_eq!(balance.held(), Micros::ZERO);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_price_that_comes_after_the_fee_went_back_ends_the_wait_for_one() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let unpriced = |key, status| {
        let mut event = shop.status(key, status);
        event.status.as_mut().expect("a status").pricing = None;
        event
    };
    for (number, pricing, meta) in [(1, regular(), LegState::LateCaptured(META)), (2, free(), LegState::Released(META))] {
        let key = shop.sent(store, number).await;
        new(store, shop.status(key, StatusKind::Failed)).await;
        assert_eq!(shop.legs(store, key).await.1, LegState::Released(META), "as far as anybody knows");
        new(store, unpriced(key, StatusKind::Delivered)).await;
        assert_eq!(store.overdue(START, LATER, 10).await.expect("answers").len(), 1, "it waits for a price");
        house.assert_sound().await;
        // A repeat of the delivery says it.
        let mut priced = shop.status(key, StatusKind::Delivered);
        priced.status.as_mut().expect("a status").pricing = Some(pricing);
        assert_eq!(record(store, vec![priced]).await, [Recorded::Duplicate]);
        assert_eq!(shop.legs(store, key).await.1, meta);
        assert_eq!(store.overdue(START, LATER, 10).await.expect("answers"), []);
    }
    house.assert_sound().await;
}

#[tokio::test]
async fn a_late_capture_may_overdraw_and_is_all_that_may() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.sent(store, 1).await;
    let mut event = shop.status(key, StatusKind::Delivered);
    event.status.as_mut().expect("a status").repriced = Some(Micros(20_000_000));
    new(store, event).await;
    let balance = store.balance(shop.owner, Mode::Live).await.expect("answers").expect("a wallet");
    assert!(balance.available().is_negative());
    house.assert_sound().await;
}

#[tokio::test]
async fn a_status_before_the_sends_own_answer_decides_it_and_the_answer_is_kept_all_the_same() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(store, 1).await;
    let effect = new(store, shop.status(key, StatusKind::Delivered)).await.expect("an effect");
    assert_eq!((effect.resolved, effect.legs), (false, Some(CAPTURED)));
    let message = shop.message(store, key).await;
    assert_eq!(message.outcome, Some((OutcomeKind::Accepted, SOON)));
    assert_eq!(message.answer.as_deref(), Some(format!("sealed wamid of {}", key.0).as_bytes()));
    assert_eq!(store.messages_by_wamid(shop.owner, hash("wamid", key.0.unsigned_abs())).await.expect("reads").len(), 1);

    let settled = settle(store, shop.owner, key, OutcomeKind::Accepted).await;
    assert_eq!(settled, Settled::Already { outcome: OutcomeKind::Accepted, resolution: None });
    assert_eq!(shop.message(store, key).await.answer.as_deref(), Some(&b"sealed answer Accepted"[..]), "Meta's own words");
    // Once; after that the first outcome stands, words and all.
    let mut other = outcome(shop.owner, key, OutcomeKind::Accepted);
    other.answer = b"another".to_vec();
    store.settle(vec![other]).await.expect("answers");
    assert_eq!(shop.message(store, key).await.answer.as_deref(), Some(&b"sealed answer Accepted"[..]));
    assert!(store.notices(10).await.expect("reads").is_empty(), "nobody was told that it is unknown");
    house.assert_sound().await;
}

#[tokio::test]
async fn who_was_told_that_nobody_knows_gets_a_notice_also_where_a_status_was_first() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(store, 1).await;
    new(store, shop.status(key, StatusKind::Sent)).await;
    let settled = settle(store, shop.owner, key, OutcomeKind::Unknown).await;
    assert_eq!(settled, Settled::Already { outcome: OutcomeKind::Accepted, resolution: None });
    let notices = store.notices(10).await.expect("reads");
    assert_eq!(notices.iter().map(|notice| notice.what.clone()).collect::<Vec<_>>(), [NoticeKind::MessageResolved(key)]);
    // Meta's answer came after all.
    store.resolve(vec![late_answer(shop, key)]).await.expect("answers");
    assert_eq!(shop.message(store, key).await.answer.as_deref(), Some(&b"late answer"[..]));
    house.assert_sound().await;
}

fn late_answer(shop: Shop, key: MessageKey) -> Resolve {
    Resolve {
        organization: shop.owner,
        message: key,
        at: SOON.plus_ms(9),
        resolution: Resolution::Accepted,
        evidence: Evidence::LateAnswer,
        reason: "late".to_owned(),
        wamid: Some(hash("wamid", key.0.unsigned_abs())),
        answer: b"late answer".to_vec(),
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_decided_by_any_status_with_our_token() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let expected = [
        (StatusKind::Sent, Resolution::Accepted, LegState::Held(META)),
        (StatusKind::Delivered, Resolution::Accepted, LegState::Captured(META)),
        (StatusKind::Failed, Resolution::Failed, LegState::Released(META)),
    ];
    for (number, (status, resolution, meta)) in expected.into_iter().enumerate() {
        let key = shop.send(store, number as u64).await;
        settle(store, shop.owner, key, OutcomeKind::Unknown).await;
        let effect = new(store, shop.status(key, status)).await.expect("an effect");
        assert_eq!((effect.resolved, effect.legs), (true, Some((LegState::Captured(BASE), meta))), "{status}");
        let message = shop.message(store, key).await;
        let resolved = message.resolution.expect("resolved");
        assert_eq!((resolved.resolution, resolved.evidence), (resolution, Evidence::Status));
        let told = store.notices(10).await.expect("reads").into_iter().any(|notice| notice.what == NoticeKind::MessageResolved(key));
        assert!(told, "{status} leaves a notice");
        // A late answer adds Meta's own words and nothing else.
        let late = store.resolve(vec![late_answer(shop, key)]).await.expect("answers");
        assert!(matches!(late[0], Settled::Already { .. }));
        let said = shop.message(store, key).await.answer.expect("kept");
        assert_eq!(said == b"late answer", resolution == Resolution::Accepted, "{status}");
    }
    assert!(store.list_messages(shop.owner, None, MessageFilter::Unknown, None, 10).await.expect("lists").is_empty());
    house.assert_sound().await;
}

#[tokio::test]
async fn proof_of_a_send_whose_hold_was_given_back_is_taken_late_once() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(store, 1).await;
    settle(store, shop.owner, key, OutcomeKind::Unknown).await;
    let presumed = Resolve {
        resolution: Resolution::PresumedNotSent,
        evidence: Evidence::Presumed,
        wamid: None,
        answer: Vec::new(),
        ..late_answer(shop, key)
    };
    store.resolve(vec![presumed]).await.expect("answers");
    assert_eq!(shop.legs(store, key).await, (LegState::Released(BASE), LegState::Released(META)));
    new(store, shop.status(key, StatusKind::Sent)).await;
    assert_eq!(shop.legs(store, key).await, (LegState::LateCaptured(BASE), LegState::Released(META)));
    for _ in 0..2 {
        record(store, vec![shop.status(key, StatusKind::Delivered), shop.status(key, StatusKind::Read)]).await;
    }
    assert_eq!(shop.legs(store, key).await, (LegState::LateCaptured(BASE), LegState::LateCaptured(META)));
    assert_eq!(shop.message(store, key).await.movements.len(), 2);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_token_that_does_not_fit_settles_nothing_and_the_event_is_kept() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let other = Shop::open(&house, "other").await;
    let key = shop.sent(store, 1).await;
    let held = (LegState::Captured(BASE), LegState::Held(META));

    let mut wrong_salt = shop.status(key, StatusKind::Delivered);
    wrong_salt.status.as_mut().expect("a status").token.as_mut().expect("a token").salt = [4; 12];
    wrong_salt.identity = hash("identity", 900);
    let mut of_another = other.status(key, StatusKind::Delivered);
    of_another.identity = hash("identity", 901);
    let mut of_nobody = shop.status(key, StatusKind::Delivered);
    of_nobody.status.as_mut().expect("a status").token = Some(token(MessageKey(9_999)));
    of_nobody.identity = hash("identity", 902);
    for event in [wrong_salt, of_another, of_nobody] {
        let effect = new(store, event).await.expect("an effect");
        assert_eq!((effect.message, effect.legs), (None, None));
    }
    assert_eq!(shop.legs(store, key).await, held);
    assert!(shop.message(store, key).await.statuses.is_empty());
    house.assert_sound().await;
}

#[tokio::test]
async fn a_wamid_alone_moves_the_state_and_no_money() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let other = Shop::open(&house, "other").await;
    let key = shop.sent(store, 1).await;
    let bare = |whose: Shop, status| {
        let mut event = whose.status(key, status);
        event.status.as_mut().expect("a status").token = None;
        event
    };
    let effect = new(store, bare(shop, StatusKind::Delivered)).await.expect("an effect");
    assert_eq!(effect.message.map(|(key, _)| key), Some(key));
    assert_eq!(shop.legs(store, key).await, (LegState::Captured(BASE), LegState::Held(META)));
    assert_eq!(shop.message(store, key).await.statuses.len(), 1);
    let stranger = new(store, bare(other, StatusKind::Read)).await.expect("an effect");
    assert_eq!(stranger.message, None, "another organization's wamid is nobody's");
    assert_eq!(store.overdue(START, SOON.plus_ms(1), 10).await.expect("answers"), [], "no delivery that counts");
    // The same status with the token brings no second event, and settles.
    assert_eq!(record(store, vec![shop.status(key, StatusKind::Delivered)]).await, [Recorded::Duplicate]);
    assert_eq!(shop.legs(store, key).await, CAPTURED);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_customers_signature_proves_the_send_and_never_moves_the_operators_fee() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let theirs = |key, status| {
        let mut event = shop.status(key, status);
        event.status.as_mut().expect("a status").moves_operator_fee = false;
        event
    };
    let key = shop.send(store, 1).await;
    settle(store, shop.owner, key, OutcomeKind::Unknown).await;
    for status in [StatusKind::Failed, StatusKind::Delivered] {
        new(store, theirs(key, status)).await;
        assert_eq!(shop.legs(store, key).await, (LegState::Captured(BASE), LegState::Held(META)), "{status}");
    }
    // Our own signature on the same status counts, and is no second event.
    assert_eq!(record(store, vec![shop.status(key, StatusKind::Delivered)]).await, [Recorded::Duplicate]);
    assert_eq!(shop.legs(store, key).await, CAPTURED);
    // And theirs after ours takes nothing back.
    let mut free_of_theirs = theirs(key, StatusKind::Delivered);
    free_of_theirs.status.as_mut().expect("a status").pricing = Some(free());
    assert_eq!(record(store, vec![free_of_theirs]).await, [Recorded::Duplicate]);
    assert_eq!(shop.legs(store, key).await, CAPTURED);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_fake_is_nobodys_message() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let mut fake = crate::house::text(shop.owner, 1);
    (fake.application, fake.mode) = (shop.application, Mode::Fake);
    let key = crate::house::admitted(store, fake).await;
    settle(store, shop.owner, key, OutcomeKind::Accepted).await;
    assert_eq!(new(store, shop.status(key, StatusKind::Delivered)).await.expect("an effect").message, None);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_settlement_without_its_status_is_found_out() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.sent(store, 1).await;
    new(store, shop.status(key, StatusKind::Delivered)).await;
    let database = house.database();
    for (sql, undo) in [
        ("UPDATE message_statuses SET settles = 0", "UPDATE message_statuses SET settles = 1"),
        ("INSERT INTO unpriced VALUES (1, 1)", "DELETE FROM unpriced"),
        (
            "INSERT INTO deliveries (key, endpoint, state, lane, next_at, attempts, tries) VALUES (99999, 1, 0, 0, 1, 0, 0)",
            "DELETE FROM deliveries",
        ),
    ] {
        database.execute(sql, []).expect("planted");
        assert!(!store.verify().await.expect("verifies").clean, "{sql}");
        database.execute(undo, []).expect("undone");
    }
    house.assert_sound().await;
}

#[tokio::test]
async fn a_fall_below_the_alert_is_told_once_until_it_rises_again() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let nobody = turnpike_domain::ids::OrganizationId(999);
    assert!(!store.set_wallet_alert(nobody, Mode::Live, Some(Micros(1))).await.expect("answers"));
    assert!(store.set_wallet_alert(shop.owner, Mode::Live, Some(Micros(9_990_000))).await.expect("answers"));
    assert_eq!(store.wallet_alert(shop.owner, Mode::Live).await.expect("reads"), Some(Micros(9_990_000)));
    assert_eq!(store.wallet_alert(shop.owner, Mode::Sandbox).await.expect("reads"), None);
    let told = async || store.notices(100).await.expect("reads").len();
    for number in 0..2 {
        shop.sent(store, number).await;
    }
    assert_eq!(told().await, 0);
    for number in 2..6 {
        shop.sent(store, number).await;
    }
    assert_eq!(told().await, 1);
    let notice = store.notices(1).await.expect("reads").remove(0);
    assert!(matches!(notice.what, NoticeKind::BalanceLow { mode: Mode::Live, available } if available < Micros(9_990_000)));
    crate::house::top_up(store, shop.owner, Mode::Live, Micros(1_000_000)).await;
    // Also after a restart the alert stands.
    let (house, _) = house.reopen(START.plus_ms(60_000));
    let store = &*house.store;
    let mut dear = crate::house::text(shop.owner, 77);
    (dear.application, dear.price.meta) = (shop.application, Micros(2_000_000));
    crate::house::admitted(store, dear).await;
    assert_eq!(store.notices(100).await.expect("reads").len(), 2);
    assert!(store.set_wallet_alert(shop.owner, Mode::Live, None).await.expect("answers"));
    assert_eq!(store.wallet_alert(shop.owner, Mode::Live).await.expect("reads"), None);
    for notice in store.notices(100).await.expect("reads") {
        store.drop_notice(notice.id).await.expect("drops");
    }
    assert!(store.notices(100).await.expect("reads").is_empty());
}

#[tokio::test]
async fn a_batch_across_three_organizations_reaches_each_only_its_own() {
    let house = House::new();
    let store = &*house.store;
    let mut shops = Vec::new();
    for name in ["one", "two", "three"] {
        let shop = Shop::open(&house, name).await;
        shops.push((shop, shop.sent(store, 1).await));
    }
    let mut events: Vec<_> = shops.iter().map(|(shop, key)| shop.status(*key, StatusKind::Delivered)).collect();
    // One that claims another's application.
    let mut stolen = shops[0].0.status(shops[0].1, StatusKind::Read);
    stolen.organization = shops[1].0.owner;
    events.push(stolen);
    let recorded = record(store, events).await;
    assert_eq!(recorded[3], Recorded::NotFound);
    for (place, (shop, key)) in shops.iter().enumerate() {
        assert_eq!(shop.legs(store, *key).await, CAPTURED);
        let Recorded::New { id, .. } = recorded[place] else { panic!("{:?}", recorded[place]) };
        for (whose, (reader, other_key)) in shops.iter().enumerate() {
            assert_eq!(store.event(reader.owner, id).await.expect("reads").is_some(), whose == place);
            assert_eq!(store.statuses(reader.owner, *key).await.expect("reads").len(), usize::from(whose == place));
            assert!(store.pinned(reader.owner, *other_key).await.expect("reads").is_some_and(|(price, _)| price.meta == META));
            assert_eq!(store.pinned(reader.owner, *key).await.expect("reads").is_some(), whose == place);
            let (seen, _) = store.events_after(reader.owner, shop.application, Some(Default::default()), 10).await.expect("reads");
            assert_eq!(seen.len(), usize::from(whose == place));
        }
    }
    house.assert_sound().await;
}

#[tokio::test]
async fn what_waited_for_its_answer_at_a_crash_is_resolved_by_its_status() {
    let house = House::new();
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(&*house.store, 1).await;
    let early = shop.send(&*house.store, 2).await;
    new(&*house.store, shop.status(early, StatusKind::Delivered)).await;
    let (house, recovery) = house.reopen(START.plus_ms(60_000));
    let store = &*house.store;
    assert_eq!(recovery.unknown, 1, "the one that a status had decided is not unknown");
    assert_eq!(shop.legs(store, early).await, CAPTURED);
    new(store, shop.status(key, StatusKind::Delivered)).await;
    assert_eq!(shop.legs(store, key).await, CAPTURED);
    let unknown_report = report(key, StatusKind::Sent);
    assert_eq!(unknown_report.token, Some(token(key)));
    let lost =
        Outcome { organization: organization(store, "later", Micros::ZERO).await, ..outcome(shop.owner, key, OutcomeKind::Accepted) };
    assert_eq!(store.settle(vec![lost]).await.expect("answers"), [Settled::NotFound], "another organization learns nothing");
    house.assert_sound().await;
}

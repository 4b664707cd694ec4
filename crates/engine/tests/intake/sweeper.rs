//! What time decides, with a clock that the test holds.

use turnpike_domain::ledger::{LegState, OutcomeKind};
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::{Category, MessageKind, MessageState, MetaBilling, MetaEndpoint, Mode};
use turnpike_domain::time::DAY_MS;
use turnpike_engine::clock::Clock as _;
use turnpike_engine::sweep::Swept;
use turnpike_store::faults::{Broken, Method};
use turnpike_store::messages::{Admission, Admit, Outcome, PinnedPrice};

use crate::house::*;
use crate::meta::End;
use crate::posts::*;

const HOUR_MS: i64 = 3_600_000;

fn token(house: &House) -> String {
    house.meta.posted().last().and_then(|post| post.token().map(str::to_owned)).expect("Meta was asked")
}

/// A send that Meta accepts and reports as delivered, a minute apart from what else goes on.
async fn neighbour(house: &House, to: &str) {
    house.clock.advance(60_000);
    let id = wamid(&sent(house.send(text_to(to, "hello")).await));
    post(house, &statuses(vec![priced(status(&id, "delivered", Some(&token(house))), "regular", "service")])).await;
    house.clock.advance(60_000);
}

/// An unknown message between two that were heard of.
async fn lost_between_neighbours(house: &House) {
    lost_under(house, "k").await;
}

async fn lost_under(house: &House, key: &str) {
    neighbour(house, "905551110001").await;
    house.meta.next(End::Lost);
    assert!(is_unknown(&refused(house.send(text("hello").keyed(key)).await)));
    neighbour(house, "905551110002").await;
}

async fn sweep(house: &House) -> Swept {
    house.engine().sweep().await.expect("the store answers")
}

/// As a gateway that runs notes every few seconds.
async fn goes_on_for(house: &House, ms: i64) {
    house.clock.advance(ms);
    house.engine().note_intake_works().await.expect("the store answers");
}

async fn unknowns(house: &House) -> usize {
    house.states().await.iter().filter(|state| **state == MessageState::Unknown).count()
}

#[test]
fn silence_of_a_day_is_presumed_to_mean_not_sent_where_its_neighbours_were_heard() {
    let house = house();
    house.run(async {
        lost_between_neighbours(&house).await;
        goes_on_for(&house, DAY_MS - 10 * 60_000).await;
        assert_eq!(sweep(&house).await.presumed, 0, "not a minute before");
        goes_on_for(&house, 11 * 60_000).await;
        assert_eq!(sweep(&house).await.presumed, 1);
        assert_eq!(sweep(&house).await.presumed, 0, "once");
        assert_eq!(unknowns(&house).await, 0);
        let spent = Micros(TEN.0 - 2 * COST.0);
        assert_eq!(house.balance().await, wallet(spent, Micros::ZERO, Micros::ZERO), "its price went back");
        let again = refused(house.send(text("hello").keyed("k")).await);
        assert!(matches!(again, Refusal::OutcomeUnknown { presumed_not_sent: true, .. }), "only a new key sends: {again:?}");
        // Evidence that comes all the same is taken late.
        let lost = house.meta.posted()[1].token().expect("ours").to_owned();
        post(&house, &statuses(vec![priced(status("wamid.late", "delivered", Some(&lost)), "regular", "service")])).await;
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - 3 * COST.0), Micros::ZERO, Micros::ZERO));
        let again = refused(house.send(text("hello").keyed("k")).await);
        assert!(matches!(again, Refusal::OutcomeUnknown { presumed_not_sent: true, .. }), "what was told once stays: {again:?}");
        assert!(house.states().await.iter().all(|state| *state == MessageState::Delivered), "the look-up tells the truth");
        assert_eq!(house.meta.posted().len(), 3, "and it was never sent again");
    });
    house.finish();
}

/// As many messages of an application as that, all unknown, admitted now: sent past the door, since
/// a number takes 80 a second.
async fn many_unknown(house: &House, app_id: &str, count: usize) {
    let app = house.app(app_id);
    let (organization, application) = (app.row.organization, app.row.key);
    let store = house.engine().store();
    let price = PinnedPrice {
        base: Micros::ZERO,
        meta: Micros::ZERO,
        meta_reported: Micros::ZERO,
        meta_billing: MetaBilling::Operator,
        market: "turkey",
        category: Category::Service,
        card: "usd-2026-10-01".into(),
        factor_ppm: 1_000_000,
        fixed: Micros::ZERO,
    };
    let admit = |number: usize| Admit {
        organization,
        application,
        api_key: house.caller().key.key,
        at: house.clock.now(),
        mode: Mode::Live,
        kind: MessageKind::Text,
        endpoint: MetaEndpoint::Messages,
        price: price.clone(),
        idempotency: None,
        fingerprint: [number.to_le_bytes(), [9; 8]].concat().try_into().expect("16 bytes"),
        likely_repeat_since: None,
        recipient: [7; 16],
        content: vec![1],
        token_salt: [3; 12],
        counts_in: None,
    };
    let unknown = |admitted: Admission| match admitted {
        Admission::New { key, .. } => Outcome {
            organization,
            message: key,
            at: house.clock.now(),
            kind: OutcomeKind::Unknown,
            meta_code: None,
            wamid: None,
            answer: Vec::new(),
        },
        other => panic!("not admitted: {other:?}"),
    };
    for first in (0..count).step_by(500) {
        let admitted = store.admit((first..count.min(first + 500)).map(admit).collect()).await.expect("the store answers");
        store.settle(admitted.into_iter().map(unknown).collect()).await.expect("the store answers");
    }
}

#[test]
fn thousands_that_must_wait_hide_nobody_behind_them() {
    let house = house();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        house.application(&acme, "acme-quiet", "1004", "2004").await;
        many_unknown(&house, "acme-quiet", 2_500).await;
        lost_between_neighbours(&house).await;
        goes_on_for(&house, DAY_MS + HOUR_MS).await;
        assert_eq!(sweep(&house).await.presumed, 1, "behind three pages of those whose number was never heard of");
        // More than a pass looks at: the next goes on where it stopped.
        many_unknown(&house, "acme-quiet", 9_000).await;
        lost_under(&house, "k2").await;
        goes_on_for(&house, DAY_MS + HOUR_MS).await;
        assert_eq!(sweep(&house).await.presumed, 0);
        assert_eq!(sweep(&house).await.presumed, 1);
        assert_eq!(sweep(&house).await.presumed, 0, "and from the oldest again");
        goes_on_for(&house, 7 * DAY_MS).await;
        assert_eq!(sweep(&house).await.presumed, 11_500, "after a week silence is believed of all");
    });
    house.finish();
}

#[test]
fn silence_proves_nothing_while_nobody_listened_and_is_believed_after_a_week() {
    for trouble in ["a gap", "no neighbour", "a downtime"] {
        let mut house = house();
        house.run(async {
            if trouble == "no neighbour" {
                house.meta.next(End::Lost);
                assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
            } else {
                lost_between_neighbours(&house).await;
            }
            house.engine().note_intake_works().await.expect("the store answers");
            house.clock.advance(HOUR_MS);
            if trouble == "a gap" {
                let now = house.clock.now();
                house.engine().store().intake_was_down(now, now.plus_ms(120_000)).await.expect("the store answers");
            }
        });
        if trouble == "a downtime" {
            house.crash();
            house.run(async { house.engine().note_downtime().await.expect("the store answers") });
        }
        house.run(async {
            goes_on_for(&house, 3 * DAY_MS).await;
            assert_eq!((trouble, sweep(&house).await.presumed), (trouble, 0));
            goes_on_for(&house, 4 * DAY_MS - HOUR_MS).await;
            assert_eq!((trouble, sweep(&house).await.presumed), (trouble, 0), "Meta may still repeat it");
            goes_on_for(&house, 2 * HOUR_MS).await;
            assert_eq!((trouble, sweep(&house).await.presumed), (trouble, 1));
        });
        house.finish();
    }
}

#[test]
fn after_two_hours_without_intake_every_unknown_ends_as_it_truly_was() {
    let house = house();
    house.run(async {
        let mut lost: Vec<(String, bool)> = Vec::new();
        for count in 0..20 {
            house.clock.advance(6 * 60_000);
            // Bytes went out and no answer came: half of them had arrived all the same.
            house.meta.next(End::Lost);
            assert!(is_unknown(&refused(house.send(text_to(&format!("90555222{count:04}"), "hello")).await)));
            lost.push((token(&house), count % 2 == 0));
        }
        let back = house.clock.now();
        house.engine().store().intake_was_down(NOON, back).await.expect("the store answers");
        goes_on_for(&house, DAY_MS + HOUR_MS).await;
        assert_eq!(sweep(&house).await.presumed, 0, "nothing is presumed of the time in which nobody listened");
        // Meta repeats for days what it could not deliver.
        for (count, (token, arrived)) in lost.iter().enumerate() {
            if *arrived {
                post(&house, &statuses(vec![priced(status(&format!("wamid.{count}"), "delivered", Some(token)), "regular", "service")]))
                    .await;
            }
        }
        goes_on_for(&house, 7 * DAY_MS).await;
        assert_eq!(sweep(&house).await.presumed, 10);
        let states = house.states().await;
        let count = |state: MessageState| states.iter().filter(|one| **one == state).count();
        assert_eq!((count(MessageState::Delivered), count(MessageState::PresumedNotSent)), (10, 10));
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - 10 * COST.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_hold_that_no_status_decides_ends_by_itself() {
    let house = house();
    house.run(async {
        let silent = wamid(&sent(house.send(text_to("905551110001", "one")).await));
        let unpriced = wamid(&sent(house.send(text_to("905551110002", "two")).await));
        let unpriced_token = token(&house);
        post(&house, &statuses(vec![status(&unpriced, "delivered", Some(&unpriced_token))])).await;
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - 2 * BASE.0), Micros::ZERO, Micros(2 * META.0)));
        goes_on_for(&house, 8 * DAY_MS - HOUR_MS).await;
        assert_eq!(sweep(&house).await, Swept::default());
        goes_on_for(&house, 2 * HOUR_MS).await;
        assert_eq!(sweep(&house).await, Swept { captured: 1, ..Swept::default() });
        goes_on_for(&house, 30 * DAY_MS).await;
        assert_eq!(sweep(&house).await, Swept { released: 1, ..Swept::default() });
        assert_eq!(sweep(&house).await, Swept::default(), "once");
        let spent = Micros(TEN.0 - 2 * BASE.0 - META.0);
        assert_eq!(house.balance().await, wallet(spent, Micros::ZERO, Micros::ZERO));
        for (id, leg) in [(silent, LegState::Released(META)), (unpriced, LegState::Captured(META))] {
            let view = house.engine().look_up(&house.caller(), &id).await.expect("found");
            assert_eq!(view.money.meta, leg);
            assert!(view.money.meta_why.contains("days"), "{}", view.money.meta_why);
        }
    });
    house.finish();
}

#[test]
fn a_delivery_after_a_failure_costs_what_it_costs_in_the_other_order() {
    for order in [["failed", "delivered"], ["delivered", "failed"]] {
        let house = house();
        house.run(async {
            let id = wamid(&sent(house.send(text("one")).await));
            let token = token(&house);
            for name in order {
                post(&house, &statuses(vec![status(&id, name, Some(&token))])).await;
            }
            goes_on_for(&house, 9 * DAY_MS).await;
            assert_eq!(sweep(&house).await, Swept { captured: 1, ..Swept::default() }, "{order:?}");
            assert_eq!(sweep(&house).await, Swept::default(), "once");
            let view = house.only_message().await;
            assert_eq!((view.state, view.money.meta.taken()), (MessageState::Delivered, META));
            assert!(view.money.meta_why.contains("8 days"), "{}", view.money.meta_why);
            assert_eq!(house.balance().await, wallet(Micros(TEN.0 - COST.0), Micros::ZERO, Micros::ZERO));
        });
        house.finish();
    }
}

#[test]
fn what_is_past_its_retention_is_forgotten_and_the_books_stay() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        neighbour(&house, "905551110001").await;
        goes_on_for(&house, 29 * DAY_MS).await;
        sweep(&house).await;
        assert_eq!(events_of(&house, &app).await.len(), 1);
        goes_on_for(&house, 3 * DAY_MS).await;
        sweep(&house).await;
        assert!(events_of(&house, &app).await.is_empty());
        assert_eq!(house.only_message().await.state, MessageState::Delivered, "statuses are kept longer");
        goes_on_for(&house, 60 * DAY_MS).await;
        sweep(&house).await;
        let view = house.only_message().await;
        assert!(view.statuses.is_empty());
        assert_eq!(view.money.meta, LegState::Captured(META));
    });
    house.finish();
}

#[test]
fn an_unknown_outcome_that_cannot_be_decided_keeps_no_other_from_being_decided() {
    let house = house();
    house.run(async {
        for text in ["one", "two", "three"] {
            house.meta.next(End::Lost);
            assert!(is_unknown(&refused(house.send(text_to(TO, text)).await)));
        }
        house.clock.advance(7 * DAY_MS + 2 * HOUR_MS);
        let oldest = house.messages().await.pop().expect("three").key;
        house.faults().break_row(Broken::Message(oldest));
        assert_eq!(sweep(&house).await.presumed, 2);
        assert_eq!((unknowns(&house).await, house.engine().unwritten()), (1, 1), "it is kept, and seen");
        let asked = house.faults().calls(Method::Resolve);
        assert_eq!(sweep(&house).await.presumed, 0);
        assert_eq!(house.faults().calls(Method::Resolve), asked, "each try undoes a commit, so it waits for its next");
    });
    house.finish();
}

#[test]
fn a_hold_that_cannot_be_settled_keeps_no_other_held() {
    let house = house();
    house.run(async {
        for text in ["one", "two", "three"] {
            sent(house.send(text_to(TO, text)).await);
        }
        house.clock.advance(39 * DAY_MS);
        let oldest = house.messages().await.pop().expect("three").key;
        house.faults().break_row(Broken::Message(oldest));
        assert_eq!(sweep(&house).await, Swept { released: 2, ..Swept::default() });
        assert_eq!(sweep(&house).await, Swept::default(), "the third is parked");
        house.faults().heal();
        house.clock.advance(39 * DAY_MS);
        assert_eq!(sweep(&house).await, Swept { released: 1, ..Swept::default() }, "and looked at again later");
    });
    house.finish();
}

//! Restarts: what a crash left is unknown, its money held, its repeat not sent; an operator decides.

use std::time::Duration;

use turnpike_domain::ledger::{LegState, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{LimitKind, Refusal};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

/// A house that crashed while Meta had the message `k`, and the same without a key.
fn crashed() -> House {
    let mut house = House::new();
    house.run(async {
        let (end, _gate) = End::Accept.held();
        house.meta.next(end.clone());
        house.meta.next(end);
        let both = async { tokio::join!(house.send(text("hello").keyed("k")), house.send(text("keyless"))) };
        assert!(tokio::time::timeout(Duration::from_millis(150), both).await.is_err());
        house.until("Meta has both", || async { house.meta.posted().len() == 2 }).await;
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 2);
    house
}

#[test]
fn a_crash_while_meta_has_the_message_leaves_it_unknown_and_never_sends_it_again() {
    let house = crashed();
    house.run(async {
        assert_eq!(house.states().await, [MessageState::Unknown, MessageState::Unknown]);
        assert_eq!(house.balance().await, wallet(TEN, Micros(BASE.0 * 2), Micros(META.0 * 2)));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        assert!(is_unknown(&refused(house.send(text("keyless")).await)), "a likely repeat, also after the restart");
        assert_eq!(house.meta.posted().len(), 2);
        let seen = house.engine().look_up_by_key(&house.caller(), "k").await.expect("found");
        assert_eq!((seen.state, seen.money.base), (MessageState::Unknown, LegState::Held(BASE)));
        assert!(seen.problem.is_some_and(|problem| problem.code == "GW_003"));
    });
    house.finish();
}

#[test]
fn an_operator_resolves_an_unknown_each_way_and_its_key_answers_so() {
    let other_holds = |posted: i64, base: i64, meta: i64| wallet(Micros(posted), Micros(base), Micros(meta));
    // The keyless one stays unknown: its holds stand beside.
    for (resolution, wamid, state, balance) in [
        (Resolution::Accepted, Some("wamid.FOUND"), MessageState::Accepted, other_holds(TEN.0 - BASE.0, BASE.0, META.0 * 2)),
        (Resolution::Accepted, None, MessageState::Accepted, other_holds(TEN.0 - BASE.0, BASE.0, META.0 * 2)),
        (Resolution::Failed, None, MessageState::Failed, other_holds(TEN.0 - BASE.0, BASE.0, META.0)),
        (Resolution::PresumedNotSent, None, MessageState::PresumedNotSent, other_holds(TEN.0, BASE.0, META.0)),
    ] {
        let house = crashed();
        house.run(async {
            // The oldest is the one with the key.
            house.resolve(resolution, wamid).await;
            assert_eq!(house.states().await, [MessageState::Unknown, state], "{resolution:?}");
            assert_eq!(house.balance().await, balance, "{resolution:?}");
            let reply = house.send(text("hello").keyed("k")).await;
            match (resolution, wamid) {
                (Resolution::Accepted, wamid_found) => {
                    let answer = sent(reply);
                    assert!(answer.replayed);
                    assert_eq!(turnpike_engine::send::stored::wamid_of(&answer.data).as_deref(), wamid_found);
                    if let Some(found) = wamid_found {
                        let seen = house.engine().look_up(&house.caller(), found).await.expect("found by its wamid");
                        assert_eq!(seen.id, answer.message);
                    }
                }
                (Resolution::PresumedNotSent, _) => {
                    let refusal = refused(reply);
                    assert!(matches!(refusal, Refusal::OutcomeUnknown { presumed_not_sent: true, .. }), "{refusal:?}");
                }
                _ => {
                    let refusal = refused(reply);
                    assert_eq!(meta_code(&refusal), Some((131_000, false)), "Meta had it, and it failed there: {refusal:?}");
                }
            }
            assert_eq!(house.meta.posted().len(), 2, "nothing is sent");
            let seen = house.engine().look_up_by_key(&house.caller(), "k").await.expect("found");
            let resolved = &seen.timeline.last().expect("what an operator did").detail;
            assert_eq!(resolved, "Resolved: asked Meta.", "why, and not who that was");
            let record = house.messages().await.pop().expect("a message");
            assert_eq!(
                house.engine().view(&record).timeline.last().map(|entry| entry.detail.as_str()),
                Some("Resolved: test: asked Meta.")
            );
        });
        house.finish();
    }
}

#[test]
fn a_crash_after_the_commit_and_before_the_post_is_unknown_too() {
    let mut house = House::new();
    house.run(async {
        house.faults().fail_next(Method::Admit, Fault::NeverAnswersAfterCommit);
        assert!(tokio::time::timeout(Duration::from_millis(150), house.send(text("hello").keyed("k"))).await.is_err());
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 1);
    house.run(async {
        assert!(house.meta.posted().is_empty());
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)), "it cannot be told from one that was sent");
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
    });
    house.finish();
}

#[test]
fn what_was_answered_before_a_crash_is_answered_so_after_it() {
    let mut house = House::new();
    let first = house.run(async {
        house.meta.next(End::Accept);
        house.meta.next(End::refused(131_009));
        let first = sent(house.send(text("hello").keyed("accepted")).await);
        refused(house.send(text("hello").keyed("refused")).await);
        sent(house.send(text("hello").fake().keyed("fake")).await);
        first
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 0);
    house.run(async {
        let again = sent(house.send(text("hello").keyed("accepted")).await);
        assert_eq!((again.message, &again.data, &again.billing, again.replayed), (first.message, &first.data, &first.billing, true));
        assert_eq!(meta_code(&refused(house.send(text("hello").keyed("refused")).await)), Some((131_009, false)));
        assert_eq!(sent(house.send(text("hello").fake().keyed("fake")).await).mode, Mode::Fake);
        assert_eq!(house.meta.posted().len(), 2);
        let seen = house.engine().look_up(&house.caller(), &wamid(&first)).await.expect("found by its wamid after a restart");
        assert_eq!(seen.id, first.message);
    });
    house.finish();
}

#[test]
fn windows_and_days_are_rebuilt_from_what_is_stored() {
    let mut house = House::new();
    let key = house.another_key(Mode::Live, |policy| {
        policy.rate_per_minute = 3;
        policy.daily_limit = Some(4);
    });
    house.run(async {
        for number in 0..3 {
            sent(house.send_by(&key, text(&format!("{number}"))).await);
        }
    });
    house.crash();
    house.run(async {
        let refusal = refused(house.send_by(&key, text("four")).await);
        assert!(matches!(refusal, Refusal::Limited { limit: LimitKind::Minute, .. }), "{refusal:?}");
    });
    // A minute later (by the wall clock, over another restart) the window is free, and the day has one left.
    house.clock.advance(61_000);
    house.crash();
    house.run(async {
        sent(house.send_by(&key, text("four")).await);
        let refusal = refused(house.send_by(&key, text("five")).await);
        assert!(matches!(refusal, Refusal::Limited { limit: LimitKind::Day, .. }), "{refusal:?}");
    });
    house.finish();
}

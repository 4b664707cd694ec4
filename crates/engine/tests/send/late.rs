//! Deadlines: a slow commit, a slow Meta, a late answer, a stop in between.

use std::time::Duration;

use turnpike_domain::ledger::LegState;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{NotSentCause, Refusal, UnknownCause};
use turnpike_domain::send::MessageState;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

/// A caller waits this long for Meta in these tests, and this long in all.
const ANSWER_WAIT: Duration = Duration::from_millis(300);
const REPLY_WITHIN: Duration = Duration::from_millis(1_500);

fn hasty() -> House {
    House::planned(|plan| {
        plan.settings.answer_wait = ANSWER_WAIT;
        plan.settings.reply_within = REPLY_WITHIN;
    })
}

#[test]
fn a_commit_slower_than_the_answer_may_be_sends_nothing_and_gives_everything_back() {
    for slow in [Fault::LateAnswer(REPLY_WITHIN * 2), Fault::Delay(REPLY_WITHIN * 2)] {
        let house = hasty();
        house.run(async {
            house.faults().fail_next(Method::Admit, slow);
            assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable);
            house.quiet().await;
            assert!(house.meta.posted().is_empty(), "the caller was told that nothing was sent");
            assert_eq!(house.states().await, [MessageState::Refused]);
            assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
            // The key is free: the same request goes out.
            let answer = sent(house.send(text("hello").keyed("k")).await);
            assert!(!answer.replayed);
            assert_eq!(house.meta.posted().len(), 1);
        });
        house.finish();
    }
}

#[test]
fn a_late_acceptance_resolves_the_message_and_its_key_gives_200() {
    let house = hasty();
    house.run(async {
        house.meta.next(End::Accept.after(ANSWER_WAIT * 3));
        let refusal = refused(house.send(text("hello").keyed("k")).await);
        assert!(matches!(refusal, Refusal::OutcomeUnknown { cause: Some(UnknownCause::Timeout), .. }), "{refusal:?}");
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)), "unknown until Meta answers");
        house.quiet().await;
        let answer = sent(house.send(text("hello").keyed("k")).await);
        assert!(answer.replayed);
        let seen = house.only_message().await;
        assert_eq!((seen.state, seen.id), (MessageState::Accepted, answer.message));
        assert_eq!(seen.wamid, Some(wamid(&answer)));
        assert_eq!((seen.money.base, seen.money.meta), (LegState::Captured(BASE), LegState::Held(META)));
        let found = house.engine().look_up(&house.caller(), &wamid(&answer)).await.expect("found by its wamid");
        assert_eq!(found.id, answer.message);
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn a_late_refusal_gives_everything_back_and_its_key_says_metas_words() {
    let house = hasty();
    house.run(async {
        house.meta.next(End::refused(131_009).after(ANSWER_WAIT * 3));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        house.quiet().await;
        assert_eq!(meta_code(&refused(house.send(text("hello").keyed("k")).await)), Some((131_009, false)));
        assert_eq!(house.states().await, [MessageState::Refused]);
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_late_proof_that_nothing_left_presumes_it_not_sent() {
    let house = hasty();
    house.run(async {
        house.meta.next(End::NotSent(NotSentCause::RefusedStream).after(ANSWER_WAIT * 3));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        house.quiet().await;
        let again = refused(house.send(text("hello").keyed("k")).await);
        assert!(matches!(again, Refusal::OutcomeUnknown { presumed_not_sent: true, .. }), "only a new key sends: {again:?}");
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn a_late_nothing_leaves_it_unknown() {
    let house = hasty();
    house.run(async {
        house.meta.next(End::Lost.after(ANSWER_WAIT * 3));
        assert!(is_unknown(&refused(house.send(text("hello")).await)));
        house.quiet().await;
        assert_eq!(house.states().await, [MessageState::Unknown]);
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
    });
    house.finish();
}

#[test]
fn the_whole_answer_comes_in_time_though_every_part_is_slow() {
    let house = hasty();
    house.run(async {
        // The commit takes most of the time; Meta would take the rest and more.
        house.faults().fail_next(Method::Admit, Fault::LateAnswer(REPLY_WITHIN - Duration::from_millis(300)));
        house.faults().fail_next(Method::Settle, Fault::LateAnswer(REPLY_WITHIN));
        let begun = tokio::time::Instant::now();
        let refusal = refused(house.send(text("hello").keyed("k")).await);
        assert!(is_unknown(&refusal), "{refusal:?}");
        let took = begun.elapsed();
        assert!(took >= REPLY_WITHIN && took < REPLY_WITHIN * 2, "{took:?}");
        house.quiet().await;
        assert!(sent(house.send(text("hello").keyed("k")).await).replayed, "it had been accepted all the same");
    });
    house.finish();
}

#[test]
fn a_stop_waits_for_sends_under_way_and_what_they_bring() {
    let house = House::new();
    house.run(async {
        let (end, gate) = End::Accept.held();
        house.meta.next(end);
        let stopping = async {
            house.until("Meta has the message", || async { !house.meta.posted().is_empty() }).await;
            let stop = house.engine().stop(Duration::from_secs(20));
            let open = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                gate.add_permits(1);
            };
            tokio::join!(stop, open).0
        };
        let (reply, left) = tokio::join!(house.send(text("hello").keyed("k")), stopping);
        sent(reply);
        assert_eq!(left, 0);
    });
    let mut house = house;
    house.crash();
    assert_eq!(house.recovered_unknown(), 0);
    house.run(async {
        assert_eq!(house.states().await, [MessageState::Accepted]);
        assert!(sent(house.send(text("hello").keyed("k")).await).replayed);
    });
    house.finish();
}

#[test]
fn a_stop_whose_patience_ends_leaves_the_rest_for_the_next_start() {
    let mut house = House::new();
    house.run(async {
        let (end, _gate) = End::Accept.held();
        house.meta.next(end);
        let stopping = async {
            house.until("Meta has the message", || async { !house.meta.posted().is_empty() }).await;
            house.engine().stop(Duration::from_millis(50)).await
        };
        let send = tokio::time::timeout(Duration::from_secs(2), house.send(text("hello").keyed("k")));
        let (cut, left) = tokio::join!(send, stopping);
        assert!(cut.is_err(), "it still waits for Meta");
        assert_eq!(left, 1);
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 1);
    house.run(async {
        assert_eq!(house.states().await, [MessageState::Unknown]);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
    });
    house.finish();
}

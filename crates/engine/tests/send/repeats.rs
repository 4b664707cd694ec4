//! Requests that come again (contract §3.5): with a key, without one, at once and by the thousand.

use std::time::Duration;

use turnpike_domain::ledger::Resolution;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{NotSentCause, Refusal};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_engine::send::Reply;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

const DAY_MS: i64 = 86_400_000;

#[test]
fn a_replayed_key_returns_the_first_message_and_takes_nothing() {
    let house = House::new();
    house.run(async {
        let first = sent(house.send(text("hello").keyed("k")).await);
        let before = house.engine().standing(&house.caller());
        let again = sent(house.send(text("hello").keyed("k")).await);
        assert!(again.replayed && !first.replayed);
        assert_eq!((again.message, &again.data, &again.billing), (first.message, &first.data, &first.billing));
        let after = house.engine().standing(&house.caller());
        assert_eq!(after.min.remaining, before.min.remaining, "a replay takes nothing of the windows");
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META));
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn another_request_under_the_same_key_is_told_apart_by_body_and_flags() {
    let house = House::new();
    house.run(async {
        sent(house.send(text("hello").keyed("k")).await);
        assert_eq!(refused(house.send(text("hallo").keyed("k")).await), Refusal::KeyReused);
        assert_eq!(refused(house.send(text("hello").fake().keyed("k")).await), Refusal::KeyReused);
        assert_eq!(refused(house.send(text("hello").mmlite().keyed("k")).await), Refusal::KeyReused);
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn a_final_refusal_is_kept_and_what_may_succeed_later_frees_its_key() {
    let house = House::new();
    house.run(async {
        house.meta.next(End::refused(131_009));
        let first = refused(house.send(text("a").keyed("final")).await);
        let Reply::Refused { refusal, replayed: true, .. } = house.send(text("a").keyed("final")).await else { panic!("it is kept") };
        assert_eq!(refusal, first);

        for (key, end) in [("limited", End::refused(130_429)), ("unsent", End::NotSent(NotSentCause::Dns))] {
            house.meta.next(end);
            refused(house.send(text("a").keyed(key)).await);
            // Whoever asks by the key learns what became of it, though it is free.
            let seen = house.engine().look_up_by_key(&house.caller(), key).await.expect("404 would mean never admitted");
            assert_eq!(seen.state, MessageState::Refused, "{key}");
            // Also another request may have it now; and then it is taken.
            let second = sent(house.send(text("b").keyed(key)).await);
            assert!(!second.replayed);
            assert_eq!(refused(house.send(text("a").keyed(key)).await), Refusal::KeyReused);
            assert_eq!(sent(house.send(text("b").keyed(key)).await).message, second.message);
            let seen = house.engine().look_up_by_key(&house.caller(), key).await.expect("found");
            assert_eq!(seen.id, second.message, "the key has moved");
        }
    });
    house.finish();
}

#[test]
fn limits_balance_and_faults_do_not_use_up_a_key() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.rate_per_second = 1);
    house.run(async {
        refused(house.send(text_to("90", "hello").keyed("k1")).await);
        sent(house.send(text("hello").keyed("k1")).await);
        sent(house.send_by(&key, text("one").keyed("k2")).await);
        assert!(matches!(refused(house.send_by(&key, text("two").keyed("k3")).await), Refusal::Limited { .. }));
        assert!(!sent(house.send(text("other").keyed("k3")).await).replayed);
    });
    house.finish();
}

#[test]
fn an_answer_is_kept_for_a_day_and_an_unknown_for_as_long_as_it_is_unknown() {
    let house = House::new();
    house.run(async {
        sent(house.send(text("hello").keyed("known")).await);
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("unknown")).await)));
        house.clock.advance(DAY_MS - 1_000);
        assert!(sent(house.send(text("hello").keyed("known")).await).replayed);
        house.clock.advance(2_000);
        assert!(!sent(house.send(text("hello").keyed("known")).await).replayed, "a day is over");
        house.clock.advance(30 * DAY_MS);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("unknown")).await)));
        assert_eq!(house.meta.posted().len(), 3);
    });
    house.finish();
}

#[test]
fn a_request_in_flight_is_a_conflict_and_a_look_up_by_its_key_finds_it() {
    let house = House::new();
    house.run(async {
        let (end, gate) = End::Accept.held();
        house.meta.next(end);
        let repeat = async {
            house.until("Meta has the message", || async { !house.meta.posted().is_empty() }).await;
            let conflict = refused(house.send(text("hello").keyed("k")).await);
            let other = refused(house.send(text("other").keyed("k")).await);
            let seen = house.engine().look_up_by_key(&house.caller(), "k").await.expect("it was admitted");
            gate.add_permits(1);
            (conflict, other, seen.state)
        };
        let (first, (conflict, other, state)) = tokio::join!(house.send(text("hello").keyed("k")), repeat);
        sent(first);
        assert_eq!((conflict, other, state), (Refusal::InFlight, Refusal::KeyReused, MessageState::Admitted));
    });
    house.finish();
}

#[test]
fn repeats_have_windows_of_their_own_ten_times_the_keys() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.rate_per_second = 2);
    house.run(async {
        sent(house.send_by(&key, text("hello").keyed("k")).await);
        let mut answered = 0;
        let mut limited = 0;
        for _ in 0..25 {
            match house.send_by(&key, text("hello").keyed("k")).await {
                Reply::Sent(_) => answered += 1,
                Reply::Refused { refusal: Refusal::Limited { .. }, .. } => limited += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(answered >= 20 && limited > 0 || answered == 25, "{answered} answered, {limited} limited");
        // Conflicts are repeats too.
        let conflict = refused(house.send_by(&key, text("other").keyed("k")).await);
        assert!(matches!(conflict, Refusal::Limited { .. } | Refusal::KeyReused), "{conflict:?}");
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn a_thousand_repeats_of_one_request_half_of_them_by_a_rotated_key_are_one_message() {
    let house = House::planned(|plan| plan.threads = 2);
    let (one, other) = house.run(async {
        let policy = turnpike_store::keys::KeyPolicy { rate_per_second: 100_000, rate_per_minute: 100_000, ..Default::default() };
        let one = house.make_key("acme-main", Mode::Live, policy).await;
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        let other = house.engine().rotate_key(&house.app("acme-main"), &organization, one.row.id, 24).await.expect("it rotates");
        (one.text.expose().to_owned(), other.text.expose().to_owned())
    });
    house.run(async {
        let (one, other) = (house.caller_of(&one), house.caller_of(&other));
        let ask = |number: usize| {
            let (engine, caller) = (house.engine().clone(), if number.is_multiple_of(2) { one.clone() } else { other.clone() });
            async move { engine.send(&caller, text("hello").keyed("k")).await }
        };
        house.meta.always(End::Accept.after(Duration::from_millis(20)));
        let mut replies = futures_util::future::join_all((0..500).map(ask)).await;
        for number in 500..1_000 {
            replies.push(ask(number).await);
        }
        let (mut new, mut replayed, mut conflicts) = (0, 0, 0);
        for reply in replies {
            match reply {
                Reply::Sent(sent) if sent.replayed => replayed += 1,
                Reply::Sent(_) => new += 1,
                Reply::Refused { refusal: Refusal::InFlight, .. } => conflicts += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((new, new + replayed + conflicts), (1, 1_000));
        assert!(replayed >= 500);
        assert_eq!(house.meta.posted().len(), 1);
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META));
    });
    house.finish();
}

#[test]
fn without_a_key_only_a_request_whose_outcome_is_unknown_is_taken_for_its_repeat() {
    let house = House::new();
    house.run(async {
        // Accepted twice: two messages, as asked.
        sent(house.send(text("hello")).await);
        sent(house.send(text("hello")).await);

        house.meta.next(End::Lost);
        let Reply::Refused { message: Some(first), .. } = house.send(text("lost")).await else { panic!("it is unknown") };
        let before = house.engine().standing(&house.caller()).min.remaining;
        let Reply::Refused { refusal, message: Some(again), replayed: true, .. } = house.send(text("lost")).await else {
            panic!("a likely repeat")
        };
        assert!(is_unknown(&refusal));
        assert_eq!(first, again);
        assert_eq!(house.engine().standing(&house.caller()).min.remaining, before, "a repeat takes nothing of the windows");
        assert_eq!(house.meta.posted().len(), 3, "nothing was sent");
        sent(house.send(text("something else")).await);
        sent(house.send(text("lost").keyed("a key says what is meant")).await);
        sent(house.send(text("lost").though_a_duplicate()).await);

        // After ten minutes it is taken for a new one.
        house.clock.advance(599_000);
        assert!(is_unknown(&refused(house.send(text("lost")).await)));
        house.clock.advance(2_000);
        sent(house.send(text("lost")).await);
    });
    house.finish();
}

#[test]
fn a_repeat_of_what_an_operator_resolved_is_no_likely_repeat_any_more() {
    let house = House::new();
    house.run(async {
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("lost")).await)));
        house.resolve(Resolution::PresumedNotSent, None).await;
        sent(house.send(text("lost")).await);
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META));
    });
    house.finish();
}

#[test]
fn a_repeat_that_the_store_cannot_look_up_takes_nothing_of_the_windows() {
    let house = House::new();
    house.run(async {
        sent(house.send(text("hello").keyed("k")).await);
        let before = house.engine().standing(&house.caller()).min.remaining;
        house.faults().fail_next(Method::Recall, Fault::Unavailable);
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable);
        assert_eq!(house.engine().standing(&house.caller()).min.remaining, before);
    });
    house.finish();
}

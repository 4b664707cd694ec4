//! Limits on the way of a send: what each takes, gives back, and in which order they speak.

use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{LimitKind, Refusal};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_engine::control::applications::Change;
use turnpike_store::faults::{Fault, Method};
use turnpike_store::users::UserNote;

use crate::house::*;
use crate::meta::End;

fn limit(refusal: Refusal) -> LimitKind {
    match refusal {
        Refusal::Limited { limit, retry_after_ms } => {
            assert!(retry_after_ms > 0);
            limit
        }
        other => panic!("a limit should be full: {other:?}"),
    }
}

#[test]
fn the_windows_count_what_they_admitted_whatever_followed() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.rate_per_second = 3);
    house.run(async {
        refused(house.send_by(&key, text_to("90", "not a number")).await);
        house.meta.next(End::refused(131_009));
        refused(house.send_by(&key, text("refused")).await);
        sent(house.send_by(&key, text("sent")).await);
        assert_eq!(limit(refused(house.send_by(&key, text("one too many")).await)), LimitKind::Second);
        assert_eq!(house.messages().await.len(), 2);
        // What a limit refused takes nothing: a second after the first three there is room again.
        tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
        sent(house.send_by(&key, text("later")).await);
    });
    house.finish();
}

#[test]
fn a_limit_speaks_before_the_body_is_looked_at_and_a_repeat_before_the_limit() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.rate_per_second = 1);
    house.run(async {
        let first = sent(house.send_by(&key, text("hello").keyed("k")).await);
        assert_eq!(limit(refused(house.send_by(&key, text_to("90", "bad")).await)), LimitKind::Second);
        assert_eq!(sent(house.send_by(&key, text("hello").keyed("k")).await).message, first.message);
    });
    house.finish();
}

#[test]
fn the_day_counts_messages_that_were_born() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.daily_limit = Some(2));
    house.run(async {
        refused(house.send_by(&key, text_to("90", "bad")).await);
        sent(house.send_by(&key, text("one").keyed("k")).await);
        sent(house.send_by(&key, text("one").keyed("k")).await);
        house.meta.next(End::refused(131_009));
        refused(house.send_by(&key, text("two")).await);
        assert_eq!(limit(refused(house.send_by(&key, text("three")).await)), LimitKind::Day);
        house.clock.advance(86_400_000);
        sent(house.send_by(&key, text("tomorrow")).await);
    });
    house.finish();
}

#[test]
fn the_days_spend_is_exact_and_refuses_before_the_number_is_touched() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.daily_spend = Some(Micros(COST.0 * 2)));
    house.run(async {
        let change = Change { number_per_second: Some(Some(3)), ..Default::default() };
        house.engine().change_application(&house.app("acme-main"), change).await.expect("it changes");
        sent(house.send_by(&key, text("one")).await);
        sent(house.send_by(&key, text("two")).await);
        for _ in 0..5 {
            assert_eq!(limit(refused(house.send_by(&key, text("three")).await)), LimitKind::Spend);
        }
        sent(house.send(text("the number's third of this second")).await);
    });
    house.finish();
}

#[test]
fn the_numbers_second_is_shared_by_its_keys_and_comes_back_where_nothing_went_out() {
    let house = House::new();
    let other = house.another_key(Mode::Live, |_| ());
    house.run(async {
        let change = Change { number_per_second: Some(Some(2)), ..Default::default() };
        house.engine().change_application(&house.app("acme-main"), change).await.expect("it changes");
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.top_up(&organization, Mode::Live, Micros(1 - TEN.0)).await;
        for _ in 0..5 {
            assert!(matches!(refused(house.send(text("broke")).await), Refusal::InsufficientBalance { .. }));
        }
        house.top_up(&organization, Mode::Live, TEN).await;
        house.faults().fail_next(turnpike_store::faults::Method::Admit, turnpike_store::faults::Fault::Unavailable);
        assert_eq!(refused(house.send(text("away")).await), Refusal::LedgerUnreachable);
        // A fake touches neither number nor pair.
        sent(house.send(text("fake").fake()).await);
        sent(house.send(text("one")).await);
        sent(house.send_by(&other, text("two")).await);
        assert_eq!(limit(refused(house.send(text("three")).await)), LimitKind::Number);
    });
    house.finish();
}

#[test]
fn a_pair_takes_forty_five_and_another_recipient_is_another_pair() {
    let house = House::new();
    house.run(async {
        for number in 0..45 {
            sent(house.send(text(&format!("{number}"))).await);
        }
        assert_eq!(limit(refused(house.send(text("46")).await)), LimitKind::Pair);
        sent(house.send(text_to("905550000000", "another")).await);
        assert_eq!(house.states().await.len(), 46);
    });
    house.finish();
}

#[test]
fn a_number_that_meta_bars_is_paused_probed_and_lifted() {
    let house = House::planned(|plan| plan.settings.pause_probe_every = std::time::Duration::from_millis(400));
    house.run(async {
        house.meta.next(End::refused(190));
        assert_eq!(meta_code(&refused(house.send(text("one")).await)), Some((190, false)));
        let is_paused = || async { house.app("acme-main").row.paused.is_some() };
        house.until("the number is paused", is_paused).await;
        let paused = refused(house.send(text("two").keyed("k")).await);
        assert_eq!(meta_code(&paused), Some((190, true)), "refused by us: {paused:?}");
        assert_eq!(house.meta.posted().len(), 1, "Meta is not asked");
        assert_eq!(house.messages().await.len(), 1, "and no money is held");
        let me = house.engine().me(&house.caller()).await.expect("its own standing");
        assert_eq!(me.paused.map(|paused| paused.code), Some(190));
        // A sandbox key and a fake go on.
        sent(house.send(text("fake").fake()).await);

        // One send in a while learns that the bar stands, and the others do not.
        tokio::time::sleep(std::time::Duration::from_millis(450)).await;
        house.meta.next(End::refused(190));
        let checked = house.engine().check(&house.caller(), text("three")).await.expect_err("it is paused");
        assert_eq!(meta_code(&checked), Some((190, true)), "a check takes nobody's turn");
        assert_eq!(meta_code(&refused(house.send(text("three")).await)), Some((190, false)), "a probe");
        assert_eq!(meta_code(&refused(house.send(text("four")).await)), Some((190, true)));

        // Another learns that it is lifted.
        tokio::time::sleep(std::time::Duration::from_millis(450)).await;
        sent(house.send(text("two").keyed("k")).await);
        house.until("the pause is lifted", || async { house.app("acme-main").row.paused.is_none() }).await;
        sent(house.send(text("five")).await);
        assert_eq!(house.balance().await.held_base, Micros::ZERO);
    });
    house.finish();
}

#[test]
fn a_pause_survives_a_restart_and_an_operator_lifts_it() {
    let mut house = House::new();
    house.run(async {
        house.meta.next(End::refused(368));
        refused(house.send(text("one")).await);
        house.until("the number is paused", || async { house.app("acme-main").row.paused.is_some() }).await;
        house.quiet().await;
    });
    house.crash();
    house.run(async {
        // The first send after a start may ask.
        house.meta.next(End::refused(368));
        assert_eq!(meta_code(&refused(house.send(text("two")).await)), Some((368, false)));
        assert_eq!(meta_code(&refused(house.send(text("three")).await)), Some((368, true)));
        house.engine().resume_application(&house.app("acme-main")).await.expect("it changes");
        sent(house.send(text("four")).await);
        assert_eq!(house.states().await, [MessageState::Accepted, MessageState::Refused, MessageState::Refused]);
    });
    house.finish();
}

#[test]
fn a_message_that_midnight_comes_upon_counts_in_the_same_days_after_a_restart() {
    let mut house = House::new();
    let key = house.another_key(Mode::Live, |policy| {
        policy.daily_limit = Some(10);
        policy.daily_spend = Some(Micros(COST.0 * 10));
        // So that something lies between the day's limit and its spend that a test can hold up.
        policy.enforce_window = true;
    });
    let midnight = NOON.plus_ms(12 * 3_600_000);
    house.clock.set(midnight.plus_ms(-1_000));
    let left = |house: &House| {
        let standing = house.engine().standing(&house.caller_of(&key));
        (standing.day.expect("limited").remaining, standing.spend.expect("limited").remaining)
    };
    house.run(async {
        house.engine().note_user(&house.app("acme-main"), TO, UserNote::Wrote(midnight.plus_ms(-60_000))).await.expect("noted");
        sent(house.send_by(&key, text("today")).await);
        assert_eq!(left(&house), (9, Micros(COST.0 * 9)));
        let asked = house.faults().calls(Method::User);
        house.faults().fail_next(Method::User, Fault::Held);
        let held = async {
            house.until("its user is asked for", async || house.faults().calls(Method::User) > asked).await;
            house.clock.set(midnight.plus_ms(1_000));
            house.faults().heal();
        };
        let (reply, ()) = tokio::join!(house.send_by(&key, text("over midnight")), held);
        sent(reply);
    });
    // It was one of yesterday's messages, and its price was reserved today.
    assert_eq!(left(&house), (10, Micros(COST.0 * 9)));
    house.crash();
    assert_eq!(left(&house), (10, Micros(COST.0 * 9)), "the store counted alike");
    house.finish();
}

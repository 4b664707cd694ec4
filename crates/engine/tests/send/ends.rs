//! The ends that Meta decides, one test each: what becomes of the message, of the money, and what
//! the caller hears.

use serde_json::json;
use turnpike_domain::ledger::LegState;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{NotSentCause, Refusal, UnknownCause};
use turnpike_domain::send::MessageState;
use turnpike_domain::time::DAY_MS;
use turnpike_engine::clock::Clock as _;
use turnpike_engine::send::Reply;
use turnpike_store::messages::Messages as _;

use crate::house::*;
use crate::meta::End;

#[test]
fn an_accepted_message_captures_the_base_fee_and_holds_metas() {
    let house = House::new();
    house.run(async {
        let answer = sent(house.send(text("hello")).await);
        assert_eq!((answer.billing.base_fee, answer.billing.meta_fee_held), (BASE, META));
        assert_eq!((answer.billing.market.as_str(), answer.billing.rate_card.as_str()), ("turkey", "usd-2026-10-01"));
        let data: serde_json::Value = serde_json::from_slice(&answer.data).expect("JSON");
        assert_eq!(data["contacts"], json!([{"input": TO, "wa_id": TO}]), "the caller gets its own digits back");
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META));

        let seen = house.only_message().await;
        assert_eq!(seen.state, MessageState::Accepted);
        assert_eq!((seen.money.base, seen.money.meta), (LegState::Captured(BASE), LegState::Held(META)));
        assert_eq!(seen.wamid, Some(wamid(&answer)));
        assert_eq!((seen.id, seen.to.as_deref()), (answer.message, Some(TO)));

        let posted = house.meta.posted();
        assert_eq!(posted.len(), 1);
        assert_eq!(posted[0].body["to"], json!(format!("+{TO}")));
        assert!(posted[0].token().is_some_and(|token| token.starts_with("tp1.")), "{posted:?}");
    });
    house.finish();
}

#[test]
fn a_refused_message_gives_everything_back_and_says_metas_words() {
    let house = House::new();
    house.run(async {
        house.meta.next(End::refused(131_009));
        let refusal = refused(house.send(text("hello")).await);
        assert_eq!(meta_code(&refusal), Some((131_009, false)));
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        let seen = house.only_message().await;
        assert_eq!(
            (seen.state, seen.money.base, seen.money.meta),
            (MessageState::Refused, LegState::Released(BASE), LegState::Released(META))
        );
        assert_eq!(seen.problem.and_then(|problem| problem.meta_code), Some(131_009));
    });
    house.finish();
}

#[test]
fn a_message_of_which_no_byte_left_gives_everything_back() {
    let house = House::new();
    house.run(async {
        house.meta.next(End::NotSent(NotSentCause::Connect));
        let refusal = refused(house.send(text("hello")).await);
        assert!(matches!(refusal, Refusal::NotSent { cause: NotSentCause::Connect, .. }), "{refusal:?}");
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        assert_eq!(house.states().await, [MessageState::Refused]);
    });
    house.finish();
}

#[test]
fn anything_else_is_unknown_and_keeps_its_money_held() {
    let ends = [
        (End::Lost, UnknownCause::ConnectionLost),
        (End::Answer(500, r#"{"error":{"message":"(#131000) x","code":131000}}"#.to_owned()), UnknownCause::ServerError),
        (End::Answer(502, "<html>bad gateway</html>".to_owned()), UnknownCause::ServerError),
        (End::Answer(302, String::new()), UnknownCause::Redirect),
        (End::Answer(200, "{".to_owned()), UnknownCause::UnreadableAnswer),
        (End::Answer(200, r#"{"messages":[]}"#.to_owned()), UnknownCause::UnreadableAnswer),
        (End::Answer(403, "forbidden".to_owned()), UnknownCause::UnreadableRefusal),
    ];
    for (end, expected) in ends {
        let house = House::new();
        house.run(async {
            house.meta.next(end.clone());
            let reply = house.send(text("hello")).await;
            let Reply::Refused { refusal: Refusal::OutcomeUnknown { message, cause, presumed_not_sent }, message: shown, .. } = reply
            else {
                panic!("{end:?} should be unknown: {reply:?}")
            };
            assert_eq!((cause, presumed_not_sent, shown), (Some(expected), false, Some(message)), "{end:?}");
            assert_eq!(house.balance().await, wallet(TEN, BASE, META), "{end:?}");
            assert_eq!(house.states().await, [MessageState::Unknown]);
            assert_eq!(house.meta.posted().len(), 1, "an unknown is never sent again");
        });
        house.finish();
    }
}

#[test]
fn a_bug_between_the_two_commits_leaves_an_unknown_and_not_a_message_in_flight() {
    let house = House::new();
    house.run(async {
        house.meta.next(End::Panic);
        assert!(is_unknown(&refused(house.send(text("hello")).await)));
        house.until("the outcome is there", || async { house.states().await == [MessageState::Unknown] }).await;
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
        sent(house.send(text("another")).await);
    });
    house.finish();
}

#[test]
fn a_balance_that_does_not_cover_the_price_refuses_before_anything_is_stored() {
    let house = House::new();
    house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.top_up(&organization, turnpike_domain::send::Mode::Live, Micros(COST.0 - 1 - TEN.0)).await;
        let Refusal::InsufficientBalance { required, available, .. } = refused(house.send(text("hello")).await) else { panic!("BILL_001") };
        assert_eq!((required, available), (COST, Some(Micros(COST.0 - 1))));
        assert!(house.messages().await.is_empty());
        assert!(house.meta.posted().is_empty());
        // One millionth more, and it goes out: to the last of it.
        house.top_up(&organization, turnpike_domain::send::Mode::Live, Micros(1)).await;
        sent(house.send(text("hello")).await);
        assert_eq!(house.balance().await.available(), Micros::ZERO);
    });
    house.finish();
}

#[test]
fn a_thousand_concurrent_sends_on_a_balance_for_five_hundred_admit_five_hundred() {
    let house = House::planned(|plan| plan.threads = 2);
    let key = house.another_key(turnpike_domain::send::Mode::Live, |policy| {
        policy.rate_per_second = 100_000;
        policy.rate_per_minute = 100_000;
    });
    house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        let app = house.app("acme-main");
        let change = turnpike_engine::control::applications::Change { number_per_second: Some(Some(100_000)), ..Default::default() };
        house.engine().change_application(&app, change).await.expect("it changes");
        house.top_up(&organization, turnpike_domain::send::Mode::Live, Micros(COST.0 * 500 - TEN.0)).await;
        let caller = house.caller_of(&key);
        let sends = (0..1_000).map(|number| {
            let (engine, caller) = (house.engine().clone(), caller.clone());
            async move { engine.send(&caller, text_to(&format!("9055500{number:05}"), "hello")).await }
        });
        let replies = futures_util::future::join_all(sends).await;
        let admitted = replies.iter().filter(|reply| matches!(reply, Reply::Sent(_))).count();
        let broke =
            replies.iter().filter(|reply| matches!(reply, Reply::Refused { refusal: Refusal::InsufficientBalance { .. }, .. })).count();
        assert_eq!((admitted, broke), (500, 500));
        assert_eq!(house.meta.posted().len(), 500);
        assert_eq!(house.balance().await.available(), Micros::ZERO);
    });
    house.finish();
}

#[test]
fn a_message_is_found_by_its_wamid_long_after_its_words_were_forgotten() {
    let house = House::new();
    house.run(async {
        let answer = sent(house.send(text("hello")).await);
        house.clock.advance(200 * DAY_MS);
        let long_ago = turnpike_domain::time::UnixMs(house.clock.now().0 - DAY_MS).day();
        house.faults().forget_before(long_ago, long_ago).await.expect("the store answers");
        // 404 means that it was never admitted (contract §3.3).
        let found = house.engine().look_up(&house.caller(), &wamid(&answer)).await.expect("it was admitted");
        assert_eq!((found.id, found.to, found.state), (answer.message, None, MessageState::Accepted));
    });
    house.finish();
}

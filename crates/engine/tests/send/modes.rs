//! Modes: sandbox keys and their play money, fakes, checks, read marks.

use serde_json::json;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{NotSentCause, Refusal};
use turnpike_domain::send::{MessageKind, MessageState, Mode};
use turnpike_engine::send::Reply;

use crate::house::*;
use crate::meta::End;

#[test]
fn a_sandbox_key_sends_on_a_draft_for_play_money_that_refills_itself() {
    let house = House::planned(|plan| plan.settings.sandbox_refill = Micros(COST.0 * 2));
    let key = house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.draft(&organization, "draft").await;
        house.make_key("draft", Mode::Sandbox, Default::default()).await.text.expose().to_owned()
    });
    house.run(async {
        for number in 0..5 {
            let answer = sent(house.send_by(&key, text(&format!("{number}"))).await);
            assert_eq!((answer.mode, answer.billing.base_fee), (Mode::Sandbox, BASE));
        }
        let posted = house.meta.posted();
        assert!(posted.iter().all(|post| post.path.ends_with("/sandbox-draft/messages")), "{posted:?}");
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO), "real money is not touched");
        let play = house.balance_of("acme", Mode::Sandbox).await;
        assert_eq!((play.held_meta, play.held_base), (Micros(META.0 * 5), Micros::ZERO));
        assert!(!play.available().is_negative());
    });
    house.finish();
}

#[test]
fn a_live_key_sees_no_sandbox_message_and_the_other_way_round() {
    let house = House::new();
    let sandbox = house.another_key(Mode::Sandbox, |_| ());
    house.run(async {
        let live = sent(house.send(text("hello").keyed("k")).await);
        let play = sent(house.send_by(&sandbox, text("hello").keyed("k")).await);
        assert_ne!(live.message, play.message, "the key's scope is application and mode");
        let (live_caller, sandbox_caller) = (house.caller(), house.caller_of(&sandbox));
        let engine = house.engine();
        assert_eq!(engine.look_up(&live_caller, &play.message.0.to_string()).await.err(), Some(Refusal::NoSuchMessage));
        assert_eq!(engine.look_up(&sandbox_caller, &live.message.0.to_string()).await.err(), Some(Refusal::NoSuchMessage));
        assert_eq!(engine.look_up_by_key(&live_caller, "k").await.expect("its own").id, live.message);
        assert_eq!(engine.look_up_by_key(&sandbox_caller, "k").await.expect("its own").id, play.message);
    });
    house.finish();
}

#[test]
fn a_fake_is_checked_priced_and_stored_and_costs_nothing() {
    let house = House::new();
    house.run(async {
        let first = sent(house.send(text("hello").fake().keyed("k")).await);
        let second = sent(house.send(text("hello").fake()).await);
        assert_eq!((first.mode, first.billing.base_fee, first.billing.meta_fee_held), (Mode::Fake, BASE, META));
        assert!(wamid(&first).starts_with("wamid.FAKE_"));
        assert_ne!(wamid(&first), wamid(&second));
        assert!(house.meta.posted().is_empty());
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        let again = sent(house.send(text("hello").fake().keyed("k")).await);
        assert_eq!((again.replayed, &again.data, &again.billing), (true, &first.data, &first.billing), "the kept answer, whole");
        let seen = house.engine().look_up(&house.caller(), &wamid(&first)).await.expect("found");
        assert_eq!((seen.mode, seen.state), (Mode::Fake, MessageState::Accepted));
        // The balance is looked at.
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.top_up(&organization, Mode::Live, Micros(1 - TEN.0)).await;
        assert!(matches!(refused(house.send(text("hello").fake()).await), Refusal::InsufficientBalance { .. }));
    });
    house.finish();
}

#[test]
fn is_fake_wins_over_a_sandbox_key() {
    let house = House::new();
    let sandbox = house.another_key(Mode::Sandbox, |_| ());
    house.run(async {
        let answer = sent(house.send_by(&sandbox, text("hello").fake()).await);
        assert_eq!(answer.mode, Mode::Fake);
        assert!(wamid(&answer).starts_with("wamid.FAKE_"));
        assert!(house.meta.posted().is_empty());
        let play = house.balance_of("acme", Mode::Sandbox).await;
        assert_eq!(play, wallet(Micros::ZERO, Micros::ZERO, Micros::ZERO), "no play money either");
    });
    house.finish();
}

#[test]
fn a_fake_uses_nothing_of_the_days_spend() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.daily_spend = Some(COST));
    house.run(async {
        for number in 0..5 {
            sent(house.send_by(&key, text(&format!("{number}")).fake()).await);
        }
        sent(house.send_by(&key, text("for real")).await);
        assert!(matches!(refused(house.send_by(&key, text("too much")).await), Refusal::Limited { .. }));
    });
    house.finish();
}

#[test]
fn a_check_prices_and_holds_stores_and_sends_nothing() {
    let house = House::new();
    let key = house.another_key(Mode::Live, |policy| policy.daily_spend = Some(Micros(COST.0 - 1)));
    house.run(async {
        let checked = house.engine().check(&house.caller(), text("hello")).await.expect("it would be sent");
        assert_eq!((checked.valid, checked.kind, checked.billing.base_fee), (true, MessageKind::Text, BASE));
        assert!(house.messages().await.is_empty() && house.meta.posted().is_empty());
        let refusal = house.engine().check(&house.caller_of(&key), text("hello")).await.expect_err("over the day's spend");
        assert!(matches!(refusal, Refusal::Limited { .. }), "{refusal:?}");
        let bad = house.engine().check(&house.caller(), text_to("90", "hello")).await.expect_err("no number");
        assert_eq!(fields(bad)[0].path, "to");
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.top_up(&organization, Mode::Live, Micros(1 - TEN.0)).await;
        let broke = house.engine().check(&house.caller(), text("hello")).await.expect_err("no money");
        assert!(matches!(broke, Refusal::InsufficientBalance { .. }), "{broke:?}");
        // Pairs and the number's second come back: as many checks as one likes, and then a send.
        house.top_up(&organization, Mode::Live, TEN).await;
        for _ in 0..60 {
            house.engine().check(&house.caller(), text("hello")).await.expect("it would be sent");
        }
        sent(house.send(text("hello")).await);
    });
    house.finish();
}

#[test]
fn a_read_mark_passes_through_and_is_never_charged() {
    let house = House::new();
    house.run(async {
        let mark = || {
            body(&json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.X", "typing_indicator": {"type": "text"}}))
        };
        let before = house.engine().standing(&house.caller()).min.remaining;
        assert!(matches!(house.send(mark()).await, Reply::Marked(Mode::Live)));
        assert_eq!(house.engine().standing(&house.caller()).min.remaining + 1, before, "it counts in the windows");
        assert!(matches!(house.send(mark().fake()).await, Reply::Marked(Mode::Fake)));
        house.meta.next(End::refused(131_009));
        assert_eq!(meta_code(&refused(house.send(mark()).await)), Some((131_009, false)));
        house.meta.next(End::NotSent(NotSentCause::Connect));
        assert!(matches!(refused(house.send(mark()).await), Refusal::NotSent { .. }));
        assert_eq!(house.meta.posted().len(), 3);
        assert!(house.messages().await.is_empty());
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_live_key_of_a_draft_or_suspended_application_sends_nothing() {
    let house = House::new();
    house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        house.draft(&organization, "draft").await;
        let key = house.make_key("draft", Mode::Live, Default::default()).await.text.expose().to_owned();
        let draft = refused(house.send_by(&key, text("hello")).await);
        assert_eq!(draft, Refusal::NotAllowed(turnpike_domain::refusal::NotAllowed::ApplicationDraft));
        house.engine().suspend_application(&house.app("acme-main")).await.expect("it changes");
        let suspended = refused(house.send(text("hello")).await);
        assert_eq!(suspended, Refusal::NotAllowed(turnpike_domain::refusal::NotAllowed::ApplicationSuspended));
        house.engine().resume_application(&house.app("acme-main")).await.expect("it changes");
        sent(house.send(text("hello")).await);
    });
    house.finish();
}

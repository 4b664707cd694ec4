//! What statuses do to a message: its state, its money, the answer of its key.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use turnpike_domain::ledger::{LegState, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::{MessageState, Mode};
use turnpike_engine::entropy::{Entropy as _, SeededEntropy};
use turnpike_engine::intake::TakenIn;

use crate::house::*;
use crate::meta::End;
use crate::posts::*;

/// The token of the newest POST to Meta.
pub(crate) fn token(house: &House) -> String {
    house.meta.posted().last().and_then(|post| post.token().map(str::to_owned)).expect("Meta was asked")
}

/// Every order of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    orders(n - 1)
        .into_iter()
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut order = order.clone();
                order.insert(at, n - 1);
                order
            })
        })
        .collect()
}

#[test]
fn every_order_of_five_statuses_with_repeats_gives_one_state_and_one_amount() {
    let house = house();
    house.run(async {
        let chance = SeededEntropy::new(5);
        let orders = orders(5);
        // Each message hears each status twice, the second time at a place of its own.
        let mut schedules: Vec<(String, String, Vec<usize>)> = Vec::new();
        for (count, order) in orders.iter().enumerate() {
            if count % 60 == 59 {
                // 80 a second go out of a number.
                tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
            }
            let sent = sent(house.send(text_to(&format!("90555{count:07}"), "hello")).await);
            let mut schedule = order.clone();
            for status in 0..5 {
                let first = schedule.iter().position(|one| *one == status).expect("it is there");
                let room = (schedule.len() - first) as u64;
                schedule.insert(first + 1 + usize::try_from(chance.below(room)).expect("small"), status);
            }
            schedules.push((wamid(&sent), token(&house), schedule));
        }
        for step in 0..10 {
            let list = schedules
                .iter()
                .map(|(wamid, token, schedule)| match schedule[step] {
                    0 => priced(status(wamid, "sent", Some(token)), "regular", "service"),
                    1 => priced(status(wamid, "delivered", Some(token)), "regular", "service"),
                    2 => status(wamid, "read", Some(token)),
                    3 => status(wamid, "played", Some(token)),
                    _ => failed(status(wamid, "failed", Some(token)), 131_026, "Message undeliverable"),
                })
                .collect();
            post(&house, &statuses(list)).await;
        }
        let records = house.messages().await;
        assert_eq!(records.len(), 120);
        for record in &records {
            let view = house.engine().view(record);
            assert_eq!(view.state, MessageState::Played, "what a phone reported stands");
            assert_eq!(view.statuses.len(), 5);
            assert_eq!(view.money.base, LegState::Captured(BASE));
            assert_eq!(view.money.meta.taken(), META, "it was delivered, whatever came first: {:?}", record.movements);
        }
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 120 * 5, "each status is told once");
        let spent = Micros(120 * COST.0);
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - spent.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn without_a_failure_every_order_captures_what_was_held() {
    let house = house();
    house.run(async {
        let orders = orders(4);
        let mut messages = Vec::new();
        for count in 0..orders.len() {
            let sent = sent(house.send(text_to(&format!("90555{count:07}"), "hello")).await);
            messages.push((wamid(&sent), token(&house)));
        }
        for step in 0..4 {
            let list = messages.iter().zip(&orders).map(|((wamid, token), order)| {
                let name = ["sent", "delivered", "read", "played"][order[step]];
                let plain = status(wamid, name, Some(token));
                if order[step] < 2 { priced(plain, "regular", "service") } else { plain }
            });
            post(&house, &statuses(list.collect())).await;
        }
        for record in house.messages().await {
            assert_eq!(record.meta_leg, LegState::Captured(META));
        }
        let spent = Micros(COST.0 * i64::try_from(orders.len()).expect("few"));
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - spent.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_status_may_come_before_the_sends_own_answer() {
    let house = house();
    house.run(async {
        for ends in [End::Accept, End::Lost] {
            let (end, gate) = ends.clone().held();
            house.meta.next(end);
            let early = async {
                let before = house.meta.posted().len();
                house.until("Meta has it", || async { house.meta.posted().len() > before }).await;
                // The scripted Meta gives this wamid next.
                let wamid = "wamid.HBgM/0+A==";
                post(&house, &statuses(vec![priced(status(wamid, "sent", Some(&token(&house))), "regular", "service")])).await;
                gate.add_permits(1);
                wamid
            };
            let (reply, early) = tokio::join!(house.send(text("hello").keyed(&format!("{ends:?}"))), early);
            house.quiet().await;
            if matches!(ends, End::Accept) {
                assert_eq!(wamid(&sent(reply)), early);
            }
            let again = house.send(text("hello").keyed(&format!("{ends:?}"))).await;
            assert_eq!(wamid(&sent(again)), early, "whatever became of the answer, its wamid is known");
            let view = house.engine().view(&house.messages().await[0]);
            assert_eq!((view.state, view.wamid.as_deref()), (MessageState::Sent, Some(early)));
            assert_eq!((view.money.base, view.money.meta), (LegState::Captured(BASE), LegState::Held(META)));
        }
    });
    house.finish();
}

#[test]
fn an_unknown_outcome_is_resolved_by_our_token_and_its_key_answers_200() {
    let house = house();
    house.run(async {
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)), "nothing is known yet");
        post(&house, &statuses(vec![status("wamid.found/1==", "delivered", Some(&token(&house)))])).await;
        let answer = sent(house.send(text("hello").keyed("k")).await);
        assert!(answer.replayed);
        let data: Value = serde_json::from_slice(&answer.data).expect("JSON");
        assert_eq!(
            data,
            json!({"messaging_product": "whatsapp", "contacts": [{"input": TO, "wa_id": TO}],
            "messages": [{"id": "wamid.found/1=="}]})
        );
        let seen = house.engine().look_up(&house.caller(), "wamid.found/1==").await.expect("found by the wamid");
        assert_eq!((seen.id, seen.state), (answer.message, MessageState::Delivered));
        assert_eq!((seen.money.base, seen.money.meta), (LegState::Captured(BASE), LegState::Held(META)));
        assert_eq!(house.meta.posted().len(), 1, "it was never sent again");
        // The price comes later.
        post(&house, &statuses(vec![priced(status("wamid.found/1==", "read", Some(&token(&house))), "regular", "service")])).await;
        let seen = house.only_message().await;
        assert_eq!(seen.money.meta, LegState::Captured(META));
    });
    house.finish();
}

#[test]
fn an_unknown_outcome_that_meta_reports_as_failed_is_explained_and_its_key_says_so() {
    let house = house();
    house.run(async {
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        let report = failed(status("wamid.found", "failed", Some(&token(&house))), 131_047, "Re-engagement message");
        post(&house, &statuses(vec![report])).await;
        let refusal = refused(house.send(text("hello").keyed("k")).await);
        let Refusal::MetaRefused(refusal) = refusal else { panic!("{refusal:?}") };
        assert_eq!((refusal.code, refusal.retryable, refusal.by_gateway), (131_047, false, false));
        assert!(refusal.hint.contains("approved template"), "{}", refusal.hint);
        let seen = house.engine().look_up(&house.caller(), "wamid.found").await.expect("found by the wamid");
        assert_eq!(seen.state, MessageState::Failed);
        assert_eq!((seen.money.base, seen.money.meta), (LegState::Captured(BASE), LegState::Released(META)));
        let problem = seen.problem.expect("a failure is explained");
        assert_eq!((problem.code, problem.meta_code), ("GW_001", Some(131_047)));
        assert!(problem.hint.contains("approved template"), "{}", problem.hint);
        let entry = seen.timeline.iter().find(|entry| entry.event == "failed" && entry.detail.contains("131047"));
        assert!(entry.expect("it stands on the timeline").detail.contains("More than 24 hours"), "{:?}", seen.timeline);
        assert!(!seen.money.meta_why.is_empty());
    });
    house.finish();
}

#[test]
fn a_token_is_good_for_its_own_application_alone() {
    let house = house();
    house.run(async {
        let (acme, other) = (house.engine().organization(Some("acme")).expect("the first"), house.organization("other").await);
        house.application(&acme, "acme-second", "1004", "2004").await;
        house.application(&other, "other-main", "1002", "2002").await;
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("hello")).await)));
        let stolen = token(&house);
        let report = || vec![priced(status("wamid.S", "delivered", Some(&stolen)), "regular", "service")];
        post(&house, &statuses_of("1002", "2002", report())).await;
        post(&house, &statuses_of("1004", "2004", report())).await;
        let sandbox = "sandbox-acme-main";
        assert_eq!(post_by(&house, SANDBOX_SECRET, &statuses_of(sandbox, sandbox, report())).await, TakenIn::Durable);
        assert_eq!(house.states().await, [MessageState::Unknown], "nobody else's word settles it");
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
        for (app, body) in [("acme-second", 0), ("other-main", 0), ("acme-main", 0)].map(|(app, at)| (house.app(app), at)) {
            for (_, event) in events_of(&house, &app).await.iter().skip(body) {
                assert!(!event.to_string().contains("tp1."), "the token leaves to nobody: {event}");
            }
        }
        // The right number is believed.
        post(&house, &statuses(report())).await;
        assert_eq!(house.states().await, [MessageState::Delivered]);
    });
    house.finish();
}

#[test]
fn a_wamid_alone_moves_the_state_and_no_money() {
    let house = house();
    house.run(async {
        let id = wamid(&sent(house.send(text("hello")).await));
        post(&house, &statuses(vec![priced(status(&id, "delivered", None), "regular", "service")])).await;
        let seen = house.only_message().await;
        assert_eq!(seen.state, MessageState::Delivered);
        assert_eq!(seen.money.meta, LegState::Held(META), "only our token moves money");
        post(&house, &statuses(vec![priced(status(&id, "delivered", Some(&token(&house))), "regular", "service")])).await;
        assert_eq!(house.only_message().await.money.meta, LegState::Captured(META));
    });
    house.finish();
}

#[test]
fn what_is_free_is_given_back_and_what_is_dearer_is_taken_late() {
    let house = house();
    house.run(async {
        let free = wamid(&sent(house.send(text("one")).await));
        let free_token = token(&house);
        let dear = wamid(&sent(house.send(text_to("905551112244", "two")).await));
        let dear_token = token(&house);
        post(
            &house,
            &statuses(vec![
                priced(status(&free, "delivered", Some(&free_token)), "free_customer_service", "service"),
                priced(status(&dear, "delivered", Some(&dear_token)), "regular", "marketing"),
            ]),
        )
        .await;
        let legs: BTreeMap<String, LegState> =
            house.messages().await.iter().map(|record| (house.engine().view(record).wamid.expect("accepted"), record.meta_leg)).collect();
        assert_eq!(legs[&free], LegState::Released(META));
        let LegState::LateCaptured(fee) = legs[&dear] else { panic!("{:?}", legs[&dear]) };
        // Turkey, marketing, on the card of October 2026.
        let card = house.engine().rate_cards();
        let card = card.iter().find(|card| card.id().to_string().contains("2026-10-01")).expect("it ships");
        let list = card
            .charged_price(turnpike_domain::market::Market::parse("turkey").expect("a market"), turnpike_domain::send::Category::Marketing);
        assert_eq!(Some(fee), list);
        assert!(fee > META);
        let balance = house.balance().await;
        assert_eq!(balance, wallet(Micros(TEN.0 - 2 * BASE.0 - fee.0), Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn a_customers_own_app_proves_a_send_and_moves_no_fee_that_the_operator_is_billed() {
    let house = house();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        let app = house.draft(&acme, "acme-own").await;
        let connect = turnpike_engine::control::applications::Connect {
            phone_number_id: "1008".to_owned(),
            waba_id: "2008".to_owned(),
            token: turnpike_engine::secret::Secret::new("EAAtoken".to_owned()),
            phone_number: None,
            meta_app_id: Some(CUSTOMERS_APP.to_owned()),
            connection_type: None,
        };
        house.engine().connect_application(&app, connect).await.expect("it connects");
        let key = house.make_key("acme-own", Mode::Live, turnpike_store::keys::KeyPolicy::default()).await;
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send_by(key.text.expose(), text("hello")).await)));
        let report =
            statuses_of("1008", "2008", vec![priced(status("wamid.O", "delivered", Some(&token(&house))), "free_entry_point", "service")]);
        assert_eq!(post_by(&house, CUSTOMERS_SECRET, &report).await, TakenIn::Durable);
        let seen = house.only_message().await;
        assert_eq!(seen.state, MessageState::Delivered, "it was sent: so much is proved");
        assert_eq!((seen.money.base, seen.money.meta), (LegState::Captured(BASE), LegState::Held(META)));
    });
    house.finish();
}

#[test]
fn the_callers_own_callback_data_comes_back_and_our_token_never_leaves() {
    let house = house();
    house.run(async {
        let with = body(&json!({"messaging_product": "whatsapp", "to": TO, "type": "text", "text": {"body": "hello"},
            "biz_opaque_callback_data": "order \"7\" / ü"}));
        let first = wamid(&sent(house.send(with).await));
        let first_token = token(&house);
        let second = wamid(&sent(house.send(text_to("905551112244", "two")).await));
        let second_token = token(&house);
        let mut others = status("wamid.other", "sent", None);
        others["biz_opaque_callback_data"] = json!("somebody else's");
        post(&house, &statuses(vec![status(&first, "sent", Some(&first_token)), status(&second, "sent", Some(&second_token)), others]))
            .await;
        let told: Vec<Value> = events_of(&house, &house.app("acme-main"))
            .await
            .into_iter()
            .map(|(_, body)| body["entry"][0]["changes"][0]["value"]["statuses"][0]["biz_opaque_callback_data"].clone())
            .collect();
        assert_eq!(told, [json!("order \"7\" / ü"), Value::Null, json!("somebody else's")]);
    });
    house.finish();
}

#[test]
fn a_status_after_an_operators_word_corrects_the_money_once() {
    let house = house();
    house.run(async {
        house.meta.next(End::Lost);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        house.resolve(Resolution::PresumedNotSent, None).await;
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        let report = statuses(vec![priced(status("wamid.L", "delivered", Some(&token(&house))), "regular", "service")]);
        post(&house, &report).await;
        post(&house, &report).await;
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - COST.0), Micros::ZERO, Micros::ZERO));
        let seen = house.only_message().await;
        assert_eq!(seen.state, MessageState::Delivered);
        assert_eq!((seen.money.base, seen.money.meta), (LegState::LateCaptured(BASE), LegState::LateCaptured(META)));
    });
    house.finish();
}

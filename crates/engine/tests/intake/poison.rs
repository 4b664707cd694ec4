//! One bad part holds up nobody and is not lost: a bug met in it, rows of it that cannot be read, and a
//! crash at every point between its POST and its fifth try (reliability §c3).

use serde_json::{Value, json};
use turnpike_domain::ledger::LegState;
use turnpike_engine::intake::TakenIn;
use turnpike_store::events::{POISON_AGAIN_AFTER_MS, QuarantineReason, QuarantineRecord};
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::posts::*;

/// A batch of two: a status whose price has to be looked up, and somebody's message.
async fn batch(house: &House) -> Value {
    let id = wamid(&sent(house.send(text("hello")).await));
    let posted = house.meta.posted();
    let token = posted.last().and_then(|post| post.token()).expect("Meta was asked").to_owned();
    let dear = priced(status(&id, "delivered", Some(&token)), "regular", "marketing");
    together(&[statuses(vec![dear]), text_from(NUMBER, WABA, "905551112233", "wamid.in", NOON_S)])
}

async fn kept(house: &House) -> QuarantineRecord {
    let mut kept = house.engine().quarantined(None, 10).await.expect("the store answers");
    assert_eq!(kept.len(), 1);
    kept.remove(0)
}

async fn count(house: &House) -> usize {
    events_of(house, &house.app("acme-main")).await.len()
}

#[test]
fn a_part_that_meets_a_bug_or_a_broken_row_is_kept_and_the_rest_is_answered_200() {
    for fault in [Fault::Panics, Fault::Corrupt] {
        let house = house();
        house.run(async {
            let batch = batch(&house).await;
            house.faults().fail_always(Method::Pinned, fault);
            post(&house, &batch).await;
            assert_eq!(count(&house).await, 1, "{fault:?}: the rest");
            let first = kept(&house).await;
            assert_eq!((first.reason, first.tries), (QuarantineReason::Poison, 1), "{fault:?}");
            assert!(first.fault.as_deref().is_some_and(|fault| !fault.contains("hello")), "{:?}", first.fault);

            // The sweep tries it four times more, and no more.
            for (tries, wait) in (2..).zip(POISON_AGAIN_AFTER_MS) {
                house.engine().sweep().await.expect("the store answers");
                assert_eq!(kept(&house).await.tries, tries - 1, "{fault:?}: not yet due");
                house.clock.advance(wait);
                house.engine().sweep().await.expect("the store answers");
                assert_eq!(kept(&house).await.tries, tries, "{fault:?}");
            }
            let last = kept(&house).await;
            assert_eq!((last.tries, last.next_try_at), (5, None), "{fault:?}");
            assert_eq!(house.only_message().await.money.meta, LegState::Held(META), "{fault:?}");

            // Mended, a person replays it, once.
            house.faults().heal();
            let again = house.engine().replay_quarantined(last.id).await.expect("it is there");
            assert_eq!((again.recorded, again.duplicates, again.quarantined), (1, 0, 0), "{fault:?}");
            assert!(house.only_message().await.money.meta.taken() > META, "{fault:?}");
            let refused = house.engine().replay_quarantined(last.id).await;
            assert!(refused.is_err(), "{fault:?}: a payload is taken in once");
            post(&house, &batch).await;
            assert_eq!(count(&house).await, 2, "{fault:?}: nor does Meta's repeat change anything");
        });
        house.finish();
    }
}

#[test]
fn a_part_that_undoes_the_commit_of_its_batch_is_looked_for_event_by_event() {
    let house = house();
    house.run(async {
        let batch = batch(&house).await;
        let calls = house.faults().calls(Method::Record);
        // The batch; then what was sent as it came, then the status alone, then the message alone.
        house.faults().fail_next(Method::Record, Fault::Undone);
        house.faults().pass_next(Method::Record);
        house.faults().fail_next(Method::Record, Fault::Undone);
        post(&house, &batch).await;
        assert_eq!((house.faults().calls(Method::Record) - calls, count(&house).await), (4, 1), "the message");
        let kept = kept(&house).await;
        assert_eq!((kept.reason, kept.tries), (QuarantineReason::Poison, 1));
        house.clock.advance(POISON_AGAIN_AFTER_MS[0]);
        house.engine().sweep().await.expect("the store answers");
        assert_eq!(count(&house).await, 2);
        assert!(house.only_message().await.money.meta.taken() > META, "what the status says of money came with it");
    });
    house.finish();
}

#[test]
fn what_heals_by_itself_is_taken_in_by_the_next_try() {
    let house = house();
    house.run(async {
        let batch = batch(&house).await;
        house.faults().fail_next(Method::Pinned, Fault::Panics);
        post(&house, &batch).await;
        house.clock.advance(POISON_AGAIN_AFTER_MS[0]);
        house.engine().sweep().await.expect("the store answers");
        let kept = kept(&house).await;
        assert!(kept.replayed_at.is_some());
        assert_eq!((kept.next_try_at, count(&house).await), (None, 2));
    });
    house.finish();
}

#[test]
fn a_bug_in_what_a_whole_batch_needs_is_looked_for_part_by_part() {
    let house = house();
    house.run(async {
        let request = body(&json!({"messaging_product": "whatsapp", "to": TO, "type": "text", "text": {"body": "hello"}, "biz_opaque_callback_data": "mine"}));
        let id = wamid(&sent(house.send(request).await));
        let posted = house.meta.posted();
        let token = posted.last().and_then(|post| post.token()).expect("Meta was asked").to_owned();
        let batch = together(&[
            statuses(vec![status(&id, "sent", Some(&token))]),
            text_from(NUMBER, WABA, "905551112233", "wamid.in", NOON_S),
        ]);
        house.faults().fail_always(Method::Contents, Fault::Panics);
        post(&house, &batch).await;
        assert_eq!(count(&house).await, 1, "what needs no text of its caller's");
        house.faults().heal();
        let kept = kept(&house).await;
        let again = house.engine().replay_quarantined(kept.id).await.expect("it is there");
        assert_eq!(again.recorded, 1);
        let events = events_of(&house, &house.app("acme-main")).await;
        let restored = events.iter().any(|(_, body)| body.to_string().contains("\"mine\""));
        assert!(restored, "the caller's own text is restored");
    });
    house.finish();
}

#[test]
fn a_crash_between_the_rest_and_the_part_loses_and_doubles_nothing() {
    for fault in [Fault::NeverAnswers, Fault::NeverAnswersAfterCommit, Fault::Unavailable, Fault::UnavailableAfterCommit] {
        let mut house = planned(|plan| plan.settings.intake_within = std::time::Duration::from_millis(150));
        let batch = house.run(async {
            let batch = batch(&house).await;
            house.faults().fail_next(Method::Pinned, Fault::Corrupt);
            house.faults().fail_next(Method::NotePoison, fault);
            assert_eq!(post_by(&house, SECRET, &batch).await, TakenIn::NotYet, "{fault:?}: nothing is answered before it is kept");
            batch
        });
        house.crash();
        house.run(async {
            post(&house, &batch).await;
            let kept = house.engine().quarantined(None, 10).await.expect("the store answers");
            for part in kept {
                // Already recorded by the repeat: it is found known.
                house.engine().replay_quarantined(part.id).await.expect("it is there");
            }
            assert_eq!(count(&house).await, 2, "{fault:?}");
            assert!(house.only_message().await.money.meta.taken() > META, "{fault:?}");
        });
        house.finish();
    }
}

#[test]
fn a_change_about_a_number_that_is_not_named_goes_to_nobody() {
    let house = house();
    house.run(async {
        for metadata in [json!(null), json!("1001"), json!({}), json!({"phone_number_id": {}})] {
            let mut payload = text_from(NUMBER, WABA, "905551112233", &format!("wamid.{metadata}"), NOON_S);
            payload["entry"][0]["changes"][0]["value"]["metadata"] = metadata.clone();
            let before = quarantined(&house).await;
            post(&house, &payload).await;
            assert_eq!((count(&house).await, quarantined(&house).await), (0, before + 1), "{metadata}");
        }
        let kept = house.engine().quarantined(None, 50).await.expect("the store answers");
        assert!(kept.iter().all(|part| part.reason == QuarantineReason::Unreadable && part.waba_id.as_deref() == Some(WABA)));
    });
    house.finish();
}

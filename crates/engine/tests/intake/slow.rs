//! What cannot be made durable in time is answered 503, and Meta's repeat is harmless.

use std::time::Duration;

use serde_json::Value;
use turnpike_domain::ledger::LegState;
use turnpike_domain::send::MessageState;
use turnpike_domain::time::UnixMs;
use turnpike_engine::intake::TakenIn;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::posts::*;

/// How long a webhook may take in these tests.
const WITHIN: Duration = Duration::from_millis(150);

fn hasty() -> House {
    planned(|plan| plan.settings.intake_within = WITHIN)
}

async fn report(house: &House) -> Value {
    let id = wamid(&sent(house.send(text("hello")).await));
    let posted = house.meta.posted();
    let token = posted.last().and_then(|post| post.token()).expect("Meta was asked");
    statuses(vec![priced(status(&id, "delivered", Some(token)), "regular", "service")])
}

#[test]
fn a_slow_store_is_answered_503_and_the_repeat_changes_nothing() {
    for slow in [Fault::Delay(WITHIN * 3), Fault::LateAnswer(WITHIN * 3), Fault::UnavailableAfterCommit, Fault::Unavailable] {
        let house = hasty();
        house.run(async {
            let payload = report(&house).await;
            house.faults().fail_next(Method::Record, slow);
            let begun = tokio::time::Instant::now();
            assert_eq!(post_by(&house, SECRET, &payload).await, TakenIn::NotYet, "{slow:?}");
            assert!(begun.elapsed() < WITHIN * 2, "{slow:?}: {:?}", begun.elapsed());
            for _ in 0..2 {
                post(&house, &payload).await;
            }
            house.quiet().await;
            let app = house.app("acme-main");
            assert_eq!(events_of(&house, &app).await.len(), 1, "{slow:?}");
            let seen = house.only_message().await;
            assert_eq!((seen.state, seen.money.meta), (MessageState::Delivered, LegState::Captured(META)));
        });
        house.finish();
    }
}

#[test]
fn a_part_whose_own_rows_are_broken_waits_in_quarantine_and_the_rest_of_its_batch_goes_on() {
    let house = hasty();
    house.run(async {
        let mut report = report(&house).await;
        let list = report["entry"][0]["changes"][0]["value"]["statuses"].as_array_mut().expect("a list");
        // A category that the hold did not assume: its price is looked up.
        list[0]["pricing"]["category"] = serde_json::json!("marketing");
        list.push(status("wamid.other", "read", None));
        house.faults().fail_next(Method::Pinned, Fault::Corrupt);
        post(&house, &report).await;
        let app = house.app("acme-main");
        assert_eq!(events_of(&house, &app).await.len(), 1, "the rest");
        assert_eq!(house.only_message().await.money.meta, LegState::Held(META));
        let kept = house.engine().quarantined(None, 10).await.expect("the store answers");
        assert_eq!(kept.len(), 1);
        // Once the rows are mended it is taken in like any other.
        let again = house.engine().replay_quarantined(kept[0].id).await.expect("it is there");
        assert_eq!((again.recorded, again.quarantined), (1, 0));
        assert!(house.only_message().await.money.meta.taken() > META);
    });
    house.finish();
}

#[test]
fn a_store_that_never_answers_holds_nobody_up() {
    let house = hasty();
    house.run(async {
        let payload = report(&house).await;
        house.faults().fail_next(Method::Record, Fault::NeverAnswers);
        assert_eq!(post_by(&house, SECRET, &payload).await, TakenIn::NotYet);
        post(&house, &payload).await;
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 1);
        // The lost one is given up with the process.
        assert_eq!(house.engine().stop(Duration::from_millis(50)).await, 1);
    });
    let mut house = house;
    house.crash();
    house.finish();
}

#[test]
fn what_could_not_be_taken_leaves_a_gap_in_what_is_known() {
    let house = hasty();
    house.run(async {
        let payload = report(&house).await;
        house.faults().fail_always(Method::Record, Fault::Unavailable);
        for _ in 0..3 {
            assert_eq!(post_by(&house, SECRET, &payload).await, TakenIn::NotYet);
            house.clock.advance(60_000);
        }
        house.faults().heal();
        post(&house, &payload).await;
        house.quiet().await;
        let (_, gaps) = house.engine().store().intake_gaps(UnixMs(0)).await.expect("the store answers");
        assert_eq!(gaps, [(NOON, NOON.plus_ms(180_000))]);
    });
    house.finish();
}

#[test]
fn a_crash_before_the_answer_loses_and_doubles_nothing() {
    let mut house = hasty();
    let payload = house.run(async {
        let payload = report(&house).await;
        house.faults().fail_next(Method::Record, Fault::NeverAnswersAfterCommit);
        assert_eq!(post_by(&house, SECRET, &payload).await, TakenIn::NotYet);
        payload
    });
    house.crash();
    house.run(async {
        post(&house, &payload).await;
        assert_eq!(events_of(&house, &house.app("acme-main")).await.len(), 1);
        assert_eq!(house.only_message().await.money.meta, LegState::Captured(META));
    });
    house.finish();
}

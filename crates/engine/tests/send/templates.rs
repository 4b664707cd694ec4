//! Templates: compared before money moves, refused only by a fresh copy, asked for with measure
//! (contract §3.2).

use std::time::Duration;

use turnpike_domain::money::Micros;
use turnpike_domain::send::Category;

use crate::house::*;
use crate::meta::End;

/// A copy is trusted to refuse this long in these tests.
const TRUST: Duration = Duration::from_millis(1_200);

fn house_with(templates: Vec<serde_json::Value>) -> House {
    let house = House::planned(|plan| plan.settings.template_trust = TRUST);
    house.meta.has_templates(templates);
    house
}

#[test]
fn a_template_that_fits_goes_out_and_one_that_does_not_is_refused_before_money_moves() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved to {{2}}.")]);
    house.run(async {
        sent(house.send(template("moved", &["7", "Bursa"])).await);
        for (bad, code) in [(template("moved", &["7"]), 132_000), (template("unheard", &[]), 132_001)] {
            let refusal = refused(house.send(bad).await);
            assert_eq!(meta_code(&refusal), Some((code, true)), "{refusal:?}");
        }
        assert_eq!(house.messages().await.len(), 1);
        assert_eq!(house.meta.posted().len(), 1);
        assert_eq!(house.balance().await.held_meta, META);
    });
    house.finish();
}

#[test]
fn a_copy_too_old_to_refuse_by_is_refetched_first() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async {
        sent(house.send(template("moved", &["7"])).await);
        assert_eq!(house.meta.asked_for_templates(), 1);
        // Meta's template changes. What fits the old copy needs no new one.
        house.meta.has_templates(vec![definition("moved", "UTILITY", "Parcel {{1}} moved to {{2}}.")]);
        tokio::time::sleep(TRUST + Duration::from_millis(100)).await;
        sent(house.send(template("moved", &["8"])).await);
        assert_eq!(house.meta.asked_for_templates(), 1);
        // What does not is compared with a fresh one, and goes out.
        sent(house.send(template("moved", &["8", "Bursa"])).await);
        assert_eq!(house.meta.asked_for_templates(), 2);
        // The fresh one refuses, without being asked for again.
        assert_eq!(meta_code(&refused(house.send(template("moved", &["9"])).await)), Some((132_000, true)));
        assert_eq!(house.meta.asked_for_templates(), 2);
    });
    house.finish();
}

#[test]
fn where_meta_cannot_be_asked_meta_decides_and_the_price_goes_by_the_old_copy() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async {
        sent(house.send(template("moved", &["7"])).await);
        tokio::time::sleep(TRUST + Duration::from_millis(100)).await;
        house.meta.next_templates(End::refused(190));
        let answer = sent(house.send(template("moved", &["7", "Bursa"])).await);
        assert_eq!((answer.billing.category, answer.billing.meta_fee_held), (Category::Utility, META));
        // One that nobody knows costs the dearest.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        house.meta.next_templates(End::Lost);
        let answer = sent(house.send(template("unheard", &[])).await);
        assert_eq!((answer.billing.category, answer.billing.meta_fee_held), (Category::Marketing, Micros(10_900)));
    });
    house.finish();
}

#[test]
fn a_slow_meta_is_asked_once_however_many_wait_and_nobody_waits_longer_than_two_seconds() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async {
        let (slow, gate) = End::Lost.held();
        house.meta.next_templates(slow);
        let begun = tokio::time::Instant::now();
        let replies = futures_util::future::join_all((0..30).map(|number| {
            let house = &house;
            async move { house.send(text_template(number)).await }
        }))
        .await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(6), "{took:?}");
        assert_eq!(replies.into_iter().map(sent).count(), 30, "Meta decides");
        assert_eq!(house.meta.asked_for_templates(), 1);
        // A second is long over; while the first question stands nobody asks another.
        sent(house.send(text_template(31)).await);
        assert_eq!(house.meta.asked_for_templates(), 1);
        assert_eq!(house.engine().tasks().len(), 1, "one task asks, and none queues behind it");
        gate.add_permits(1);
        house.quiet().await;
        // Now it may be asked again, and the answer counts.
        assert_eq!(meta_code(&refused(house.send(text_template(32)).await)), Some((132_000, true)));
        assert_eq!(house.meta.asked_for_templates(), 2);
    });
    house.finish();
}

/// Does not fit `moved`.
fn text_template(number: usize) -> turnpike_engine::send::SendRequest {
    template("moved", &["too", "many", &number.to_string()])
}

#[test]
fn a_burst_of_mismatches_asks_at_most_once_a_second() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async {
        for number in 0..20 {
            assert_eq!(meta_code(&refused(house.send(text_template(number)).await)), Some((132_000, true)));
        }
        assert_eq!(house.meta.asked_for_templates(), 1);
    });
    house.finish();
}

#[test]
fn metas_own_word_that_a_template_differs_makes_us_read_it_anew_with_measure() {
    let house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async {
        sent(house.send(template("moved", &["7"])).await);
        assert_eq!(house.meta.asked_for_templates(), 1);
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        house.meta.has_templates(vec![definition("moved", "UTILITY", "Parcel {{1}} moved to {{2}}.")]);
        for _ in 0..10 {
            house.meta.next(End::refused(132_000));
        }
        for _ in 0..10 {
            refused(house.send(template("moved", &["7"])).await);
        }
        house.quiet().await;
        assert_eq!(house.meta.asked_for_templates(), 2, "ten refusals in a second are one question");
        assert_eq!(meta_code(&refused(house.send(template("moved", &["7"])).await)), Some((132_000, true)), "now we know it ourselves");
    });
    house.finish();
}

#[test]
fn mmlite_takes_marketing_templates_only_and_asks_before_it_refuses() {
    let house = house_with(vec![definition("sale", "MARKETING", "Sale!"), definition("moved", "UTILITY", "Moved.")]);
    house.run(async {
        let answer = sent(house.send(template("sale", &[]).mmlite()).await);
        assert_eq!(answer.billing.category, Category::Marketing);
        assert!(house.meta.posted()[0].path.ends_with("/1001/marketing_messages"));
        assert_eq!(fields(refused(house.send(template("moved", &[]).mmlite()).await))[0].path, "template.name");
        assert!(!fields(refused(house.send(text("hello").mmlite()).await)).is_empty());
        // Meta moves the template to marketing: an old copy does not refuse it.
        house.meta.has_templates(vec![definition("moved", "MARKETING", "Moved.")]);
        tokio::time::sleep(TRUST + Duration::from_millis(100)).await;
        sent(house.send(template("moved", &[]).mmlite()).await);
    });
    house.finish();
}

#[test]
fn what_was_read_before_a_restart_is_known_and_not_fresh() {
    let mut house = house_with(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    house.run(async { sent(house.send(template("moved", &["7"])).await) });
    house.crash();
    house.run(async {
        let known = sent(house.send(template("moved", &["8"])).await);
        assert_eq!((known.billing.category, house.meta.asked_for_templates()), (Category::Utility, 1));
        assert_eq!(meta_code(&refused(house.send(text_template(1)).await)), Some((132_000, true)));
        assert_eq!(house.meta.asked_for_templates(), 2);
    });
    house.finish();
}

#[test]
fn a_stop_does_not_wait_for_a_meta_that_takes_its_time_over_templates() {
    let house = house_with(Vec::new());
    house.run(async {
        let (slow, _gate) = End::Lost.held();
        house.meta.next_templates(slow);
        house.engine().run();
        house.until("templates are asked for", || async { house.meta.asked_for_templates() == 1 }).await;
        let begun = tokio::time::Instant::now();
        assert_eq!(house.engine().stop(Duration::from_secs(15)).await, 0);
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
    let mut house = house;
    house.crash();
    house.finish();
}

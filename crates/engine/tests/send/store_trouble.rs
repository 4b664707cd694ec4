//! A store that fails, before or after its commit, at every commit of a send.

use std::time::Duration;

use turnpike_domain::money::Micros;
use turnpike_domain::refusal::Refusal;
use turnpike_domain::send::{MessageState, Mode};
use turnpike_store::applications::ApplicationStatus;
use turnpike_store::faults::{Broken, Fault, Method};
use turnpike_store::messages::MessageFilter;

use crate::house::*;
use crate::meta::End;

#[test]
fn an_admission_that_fails_sends_nothing_and_holds_nothing() {
    for fault in [Fault::Unavailable, Fault::Corrupt] {
        let house = House::new();
        house.run(async {
            house.faults().fail_next(Method::Admit, fault);
            assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable, "{fault:?}");
            assert!(house.meta.posted().is_empty());
            assert!(house.messages().await.is_empty());
            assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
            assert!(!sent(house.send(text("hello").keyed("k")).await).replayed, "the key was not used up");
        });
        house.finish();
    }
}

#[test]
fn an_admission_whose_answer_got_lost_is_released_without_being_sent() {
    let house = House::new();
    house.run(async {
        house.faults().fail_next(Method::Admit, Fault::UnavailableAfterCommit);
        // It is not found at the first look either.
        house.faults().fail_next(Method::ListMessages, Fault::Unavailable);
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable);
        house.quiet().await;
        assert!(house.meta.posted().is_empty());
        assert_eq!(house.states().await, [MessageState::Refused]);
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
        assert!(!sent(house.send(text("hello").keyed("k")).await).replayed, "the key is free");
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn an_admission_that_never_answers_is_told_from_one_that_was_sent_by_the_next_start() {
    let mut house = House::planned(|plan| plan.settings.reply_within = Duration::from_millis(300));
    house.run(async {
        house.faults().fail_next(Method::Admit, Fault::NeverAnswersAfterCommit);
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable);
        assert!(house.meta.posted().is_empty());
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::InFlight);
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 1);
    house.run(async {
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
    });
    house.finish();
}

#[test]
fn an_outcome_that_the_store_takes_at_a_later_try_is_answered_as_it_was() {
    for fault in [Fault::Unavailable, Fault::UnavailableAfterCommit] {
        for end in [End::Accept, End::refused(131_009), End::Lost] {
            let house = House::new();
            house.run(async {
                house.meta.next(end.clone());
                house.faults().fail_next(Method::Settle, fault);
                house.faults().fail_next(Method::Settle, Fault::Unavailable);
                let reply = house.send(text("hello")).await;
                let (state, balance) = match &end {
                    End::Accept => {
                        sent(reply);
                        (MessageState::Accepted, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META))
                    }
                    End::Lost => {
                        assert!(is_unknown(&refused(reply)));
                        (MessageState::Unknown, wallet(TEN, BASE, META))
                    }
                    _ => {
                        assert_eq!(meta_code(&refused(reply)), Some((131_009, false)));
                        (MessageState::Refused, wallet(TEN, Micros::ZERO, Micros::ZERO))
                    }
                };
                assert_eq!(house.states().await, [state], "{fault:?} {end:?}");
                assert_eq!(house.balance().await, balance, "{fault:?} {end:?}");
            });
            house.finish();
        }
    }
}

#[test]
fn an_outcome_is_not_forgotten_while_the_store_is_away_for_longer_than_the_caller_waits() {
    let house = House::new();
    house.run(async {
        house.faults().fail_always(Method::Settle, Fault::Unavailable);
        let refusal = refused(house.send(text("hello").keyed("k")).await);
        assert!(is_unknown(&refusal), "the caller hears what is true: {refusal:?}");
        assert_eq!(house.balance().await, wallet(TEN, BASE, META));
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::InFlight);
        house.faults().heal();
        house.quiet().await;
        assert_eq!(house.states().await, [MessageState::Accepted], "what Meta said is stored in the end");
        assert!(sent(house.send(text("hello").keyed("k")).await).replayed);
        assert_eq!(house.meta.posted().len(), 1);
    });
    house.finish();
}

#[test]
fn an_outcome_that_cannot_be_written_is_kept_counted_and_written_once_it_can() {
    let house = House::new();
    house.run(async {
        house.faults().fail_always(Method::Settle, Fault::Undone);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        house.until("it is said", async || house.engine().unwritten() == 1).await;
        assert!(house.engine().metrics.render().contains("turnpike_unwritten{what=\"outcome\"} 1"));
        assert_eq!(house.balance().await, wallet(TEN, BASE, META), "its money stays held");
        house.faults().heal();
        house.quiet().await;
        assert_eq!(house.states().await, [MessageState::Accepted]);
        assert_eq!(house.engine().unwritten(), 0);
    });
    house.finish();
}

#[test]
fn an_orphan_that_cannot_be_settled_keeps_no_other_held() {
    let house = House::new();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        for count in 0..2 {
            house.faults().fail_next(Method::Admit, Fault::UnavailableAfterCommit);
            assert_eq!(refused(house.send(text(&format!("text {count}"))).await), Refusal::LedgerUnreachable);
        }
        let in_flight = house.engine().store().list_messages(acme.key, None, MessageFilter::InFlight, None, 10).await.expect("it reads");
        house.faults().break_row(Broken::Message(in_flight[1].key));
        house.until("the other is released", async || house.balance().await == wallet(TEN, BASE, META)).await;
        house.faults().heal();
        house.quiet().await;
        assert_eq!(house.balance().await, wallet(TEN, Micros::ZERO, Micros::ZERO));
    });
    house.finish();
}

#[test]
fn an_application_is_suspended_though_the_directory_could_not_be_read_anew_at_once() {
    let mut house = House::new();
    house.run(async {
        house.faults().fail_next(Method::Applications, Fault::Unavailable);
        house.engine().suspend_application(&house.app("acme-main")).await.expect_err("it was not read anew");
        house.engine().run();
        let is_suspended = async || house.app("acme-main").row.status == ApplicationStatus::Suspended;
        house.until("it is suspended", is_suspended).await;
    });
    house.crash();
    house.finish();
}

#[test]
fn a_late_answer_is_not_forgotten_while_the_store_is_away() {
    let house = House::planned(|plan| plan.settings.answer_wait = Duration::from_millis(200));
    house.run(async {
        house.meta.next(End::Accept.after(Duration::from_millis(500)));
        // The first outcome, unknown, is refused until after Meta has answered; then its resolution once.
        house.faults().fail_always(Method::Settle, Fault::Unavailable);
        house.faults().fail_next(Method::Resolve, Fault::Unavailable);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        house.faults().heal();
        house.faults().fail_next(Method::Resolve, Fault::Unavailable);
        house.quiet().await;
        assert_eq!(house.states().await, [MessageState::Accepted]);
        assert_eq!(house.balance().await, wallet(Micros(TEN.0 - BASE.0), Micros::ZERO, META));
        assert!(sent(house.send(text("hello").keyed("k")).await).replayed);
    });
    house.finish();
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_store_that_is_away() {
    let mut house = House::new();
    house.run(async {
        house.faults().fail_always(Method::Settle, Fault::Unavailable);
        assert!(is_unknown(&refused(house.send(text("hello").keyed("k")).await)));
        let begun = tokio::time::Instant::now();
        assert_eq!(house.engine().stop(Duration::from_secs(15)).await, 0);
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
    house.crash();
    assert_eq!(house.recovered_unknown(), 1);
    house.run(async { assert_eq!(house.balance().await, wallet(TEN, BASE, META)) });
    house.finish();
}

#[test]
fn a_recall_that_fails_sends_nothing() {
    let house = House::new();
    house.run(async {
        house.faults().filter_says_yes(true);
        house.faults().fail_next(Method::Recall, Fault::Unavailable);
        assert_eq!(refused(house.send(text("hello").keyed("k")).await), Refusal::LedgerUnreachable);
        assert!(house.meta.posted().is_empty());
        sent(house.send(text("hello").keyed("k")).await);
    });
    house.finish();
}

#[test]
fn an_older_reading_of_the_store_never_covers_a_newer_one() {
    let house = House::planned(|plan| plan.threads = 2);
    house.run(async {
        let app = house.app("acme-main");
        // The first reading has its rows and is held up; meanwhile the application is suspended.
        house.faults().fail_next(Method::Applications, Fault::LateAnswer(Duration::from_millis(200)));
        let slow = house.engine().resume_application(&app);
        let suspend = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            house.engine().suspend_application(&app).await
        };
        let (resumed, suspended) = tokio::join!(slow, suspend);
        resumed.expect("it changes");
        suspended.expect("it changes");
        let refusal = refused(house.send(text("hello")).await);
        assert_eq!(refusal, Refusal::NotAllowed(turnpike_domain::refusal::NotAllowed::ApplicationSuspended));
    });
    house.finish();
}

#[test]
fn a_change_of_a_key_that_is_heard_of_late_does_not_bring_a_revoked_key_back() {
    let house = House::planned(|plan| plan.threads = 2);
    house.run(async {
        let (app, engine) = (house.app("acme-main"), house.engine());
        let organization = engine.organization(Some("acme")).expect("it is there");
        let key = house.make_key("acme-main", Mode::Live, Default::default()).await;
        // The rotation's end of the old key is committed and heard of late; meanwhile it is revoked.
        house.faults().fail_next(Method::RotateKey, Fault::LateAnswer(Duration::from_millis(200)));
        let rotate = engine.rotate_key(&app, &organization, key.row.id, 24);
        let revoke = async {
            let has_an_end = || async { engine.keys_of(&app).await.expect("it reads").iter().any(|row| row.expires_at.is_some()) };
            house.until("the rotation is committed", has_an_end).await;
            engine.revoke_key(&organization, key.row.id).await
        };
        let (rotated, revoked) = tokio::join!(rotate, revoke);
        rotated.expect("it rotates");
        revoked.expect("it ends");
        assert_eq!(engine.authenticate(key.text.expose(), None).err(), Some(Refusal::UnknownKey));
    });
    house.finish();
}

#[test]
fn a_rotation_whose_answer_gets_lost_is_one_all_the_same_and_shows_its_key() {
    for fault in [Fault::Unavailable, Fault::UnavailableAfterCommit] {
        for overlap_hours in [0, 24] {
            let house = House::new();
            house.run(async {
                let (app, engine) = (house.app("acme-main"), house.engine());
                let organization = engine.organization(Some("acme")).expect("it is there");
                let old = house.make_key("acme-main", Mode::Live, Default::default()).await;
                let before = engine.keys_of(&app).await.expect("it reads").len();
                house.faults().fail_next(Method::RotateKey, fault);
                let new = engine.rotate_key(&app, &organization, old.row.id, overlap_hours).await.expect("it rotates");
                assert_eq!(engine.keys_of(&app).await.expect("it reads").len(), before + 1, "{fault:?}: one new key");
                sent(house.send_by(new.text.expose(), text("new")).await);
                let old_is_known = engine.authenticate(old.text.expose(), None).is_ok();
                assert_eq!(old_is_known, overlap_hours > 0, "{fault:?}");
                house.clock.advance(24 * 3_600_000);
                assert!(engine.authenticate(old.text.expose(), None).is_err(), "{fault:?}: its end was set in the same commit");
            });
            house.finish();
        }
    }
}

#[test]
fn a_process_that_dies_in_a_rotation_leaves_both_keys_as_they_are_to_be_or_none() {
    for (fault, is_committed) in [(Fault::NeverAnswers, false), (Fault::NeverAnswersAfterCommit, true)] {
        let mut house = House::new();
        let old = house.run(house.make_key("acme-main", Mode::Live, Default::default()));
        let before = house.run(async {
            let (app, engine) = (house.app("acme-main"), house.engine());
            let organization = engine.organization(Some("acme")).expect("it is there");
            let before = engine.keys_of(&app).await.expect("it reads").len();
            house.faults().fail_next(Method::RotateKey, fault);
            let rotate = engine.rotate_key(&app, &organization, old.row.id, 24);
            let is_there = async || {
                let ends = engine.keys_of(&app).await.expect("it reads").iter().any(|row| row.expires_at.is_some());
                house.faults().calls(Method::RotateKey) == 1 && ends == is_committed
            };
            tokio::select! {
                _ = rotate => panic!("it was not to be answered"),
                () = house.until("it is as far as it comes", is_there) => {}
            }
            before
        });
        house.crash();
        house.run(async {
            let keys = house.engine().keys_of(&house.app("acme-main")).await.expect("it reads");
            let ending = keys.iter().filter(|row| row.expires_at.is_some()).map(|row| row.id).collect::<Vec<_>>();
            let expected = if is_committed { (before + 1, vec![old.row.id]) } else { (before, Vec::new()) };
            assert_eq!((keys.len(), ending), expected, "{fault:?}");
        });
        house.finish();
    }
}

#[test]
fn a_key_whose_end_was_committed_unheard_is_refused_once_the_store_was_read_again() {
    let mut house = House::new();
    house.run(async {
        let engine = house.engine();
        let organization = engine.organization(Some("acme")).expect("it is there");
        let key = house.make_key("acme-main", Mode::Live, Default::default()).await;
        house.faults().fail_next(Method::EndKey, Fault::UnavailableAfterCommit);
        engine.revoke_key(&organization, key.row.id).await.expect_err("nobody heard of it");
        engine.run();
        house.until("it is refused", async || engine.authenticate(key.text.expose(), None).err() == Some(Refusal::UnknownKey)).await;
        house.caller();
    });
    house.crash();
    house.finish();
}

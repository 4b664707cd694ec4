//! Everything at once: many sends, every end of Meta's, a store that fails before and after its
//! commits, callers who leave. A seed decides all of it, so that a failure can be run again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use turnpike_domain::ledger::LegState;
use turnpike_domain::money::Micros;
use turnpike_domain::refusal::{NotSentCause, Refusal};
use turnpike_domain::send::{MessageState, Mode};
use turnpike_engine::control::applications::Change;
use turnpike_engine::entropy::{Entropy as _, SeededEntropy};
use turnpike_engine::send::Reply;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

const SENDS: usize = 150;

fn end(chance: &SeededEntropy) -> End {
    let end = match chance.below(10) {
        0 => End::refused(131_009),
        1 => End::refused(130_429),
        2 => End::NotSent(NotSentCause::Connect),
        3 => End::Lost,
        4 => End::Answer(500, "{}".to_owned()),
        _ => End::Accept,
    };
    match chance.below(6) {
        // Some past the 120 ms that a caller waits here.
        0 => end.after(Duration::from_millis(200)),
        1 => end.after(Duration::from_millis(chance.below(40))),
        _ => end,
    }
}

fn fault(chance: &SeededEntropy) -> Fault {
    match chance.below(4) {
        0 => Fault::Unavailable,
        1 => Fault::UnavailableAfterCommit,
        2 => Fault::Delay(Duration::from_millis(chance.below(30))),
        _ => Fault::LateAnswer(Duration::from_millis(chance.below(30))),
    }
}

#[test]
fn whatever_happens_at_once_every_message_ends_and_the_money_is_right() {
    for seed in 0..6 {
        let chance = Arc::new(SeededEntropy::new(seed));
        let house = House::planned(|plan| {
            plan.settings.answer_wait = Duration::from_millis(120);
            plan.settings.reply_within = Duration::from_millis(2_000);
            plan.threads = 2;
        });
        let key = house.another_key(Mode::Live, |policy| {
            policy.rate_per_second = 100_000;
            policy.rate_per_minute = 100_000;
        });
        house.run(async {
            let change = Change { number_per_second: Some(Some(100_000)), ..Default::default() };
            house.engine().change_application(&house.app("acme-main"), change).await.expect("it changes");
            for _ in 0..SENDS {
                house.meta.next(end(&chance));
                for method in [Method::Admit, Method::Settle, Method::Resolve] {
                    if chance.below(5) == 0 {
                        house.faults().fail_next(method, fault(&chance));
                    } else {
                        house.faults().pass_next(method);
                    }
                }
            }
            let caller = house.caller_of(&key);
            let sends = (0..SENDS).map(|number| {
                let (engine, caller) = (Arc::clone(house.engine()), caller.clone());
                let polls = if chance.below(4) == 0 { usize::try_from(chance.below(4)).expect("small") } else { usize::MAX };
                async move {
                    let request = text_to(&format!("90555{number:07}"), "hello").keyed(&format!("k{number}"));
                    poll_times(engine.send(&caller, request), polls).await
                }
            });
            let replies = join_all(sends).await;
            house.faults().heal();
            house.quiet().await;

            let records = house.messages().await;
            let (mut posted, mut held_base, mut held_meta) = (TEN.0, 0, 0);
            for record in &records {
                let seen = house.engine().view(record);
                let legs = (record.base_leg, record.meta_leg);
                let expected = match seen.state {
                    MessageState::Accepted => (LegState::Captured(BASE), LegState::Held(META)),
                    MessageState::Unknown => (LegState::Held(BASE), LegState::Held(META)),
                    MessageState::Refused | MessageState::PresumedNotSent => (LegState::Released(BASE), LegState::Released(META)),
                    other => panic!("seed {seed}: {other:?} is no end"),
                };
                assert_eq!(legs, expected, "seed {seed}: {:?}", seen.state);
                posted -= if seen.state == MessageState::Accepted { BASE.0 } else { 0 };
                held_base += legs.0.held().0;
                held_meta += legs.1.held().0;
            }
            assert_eq!(house.balance().await, wallet(Micros(posted), Micros(held_base), Micros(held_meta)), "seed {seed}");

            let posts = house.meta.posted();
            for (number, reply) in replies.into_iter().enumerate() {
                let to = format!("90555{number:07}");
                let times = posts.iter().filter(|post| post.body["to"] == format!("+{to}")).count();
                let mine: Vec<_> =
                    records.iter().map(|record| house.engine().view(record)).filter(|seen| seen.to.as_deref() == Some(&to)).collect();
                assert!(times <= 1 && mine.len() <= 1, "seed {seed}: {times} posts, {} messages", mine.len());
                let state = mine.first().map(|seen| seen.state);
                match reply {
                    None => {}
                    Some(Reply::Sent(sent)) => {
                        assert_eq!((state, times), (Some(MessageState::Accepted), 1), "seed {seed}");
                        assert_eq!(mine[0].id, sent.message);
                    }
                    Some(Reply::Refused { refusal: Refusal::LedgerUnreachable, .. }) => {
                        assert_eq!(times, 0, "seed {seed}: the caller heard that nothing was sent");
                        assert!(state.is_none_or(|state| state == MessageState::Refused), "seed {seed}: {state:?}");
                    }
                    Some(Reply::Refused { refusal: Refusal::NotSent { .. } | Refusal::MetaRefused(_), .. }) => {
                        assert_eq!(state, Some(MessageState::Refused), "seed {seed}");
                    }
                    Some(Reply::Refused { refusal: Refusal::OutcomeUnknown { message, .. }, .. }) => {
                        assert_eq!(mine.first().map(|seen| seen.id), Some(message), "seed {seed}: it can be looked up");
                    }
                    Some(other) => panic!("seed {seed}: {other:?}"),
                }
            }
        });
        house.finish();
    }
}

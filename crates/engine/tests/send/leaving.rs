//! Callers who hang up: at every point at which their future can be dropped, the message ends in a
//! final state, its money is settled, and it is never sent twice.

use std::time::Duration;

use turnpike_domain::money::Micros;
use turnpike_domain::send::MessageState;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::meta::End;

/// More polls than any send needs; the loop ends with the first that answers.
const POLLS_MAX: usize = 40;

/// Drops a send after 0, 1, 2 … polls, until one answers. `ask` makes the same request each time.
fn leave_at_every_point(prepare: impl Fn(&House), ask: impl Fn() -> turnpike_engine::send::SendRequest, end: &End, expected: MessageState) {
    let mut answered = false;
    for polls in 0..POLLS_MAX {
        let house = House::new();
        prepare(&house);
        house.run(async {
            house.meta.next(end.clone());
            answered = poll_times(house.send(ask().keyed("k")), polls).await.is_some();
            house.quiet().await;
            let states = house.states().await;
            assert!(states.is_empty() || states == [expected], "after {polls} polls: {states:?}");
            assert_eq!(house.meta.posted().len(), states.len(), "after {polls} polls");
            let balance = house.balance().await;
            match expected {
                _ if states.is_empty() => assert_eq!(balance, wallet(TEN, Micros::ZERO, Micros::ZERO)),
                MessageState::Accepted => assert_eq!((balance.posted, balance.held_base), (Micros(TEN.0 - BASE.0), Micros::ZERO)),
                MessageState::Unknown => assert_eq!((balance.posted, balance.held_base), (TEN, BASE)),
                _ => assert_eq!(balance, wallet(TEN, Micros::ZERO, Micros::ZERO)),
            }
            // Nothing of the key's concurrency or day stays taken: a repeat is answered, and where
            // the first went out it does not go out again.
            let _ = house.send(ask().keyed("k")).await;
            assert_eq!(house.meta.posted().len(), 1, "after {polls} polls and a repeat");
        });
        house.finish();
        if answered {
            return;
        }
    }
    assert!(answered, "no send answered within {POLLS_MAX} polls");
}

#[test]
fn whoever_leaves_an_accepted_send_finds_it_accepted() {
    leave_at_every_point(|_| (), || text("hello"), &End::Accept.after(Duration::from_millis(5)), MessageState::Accepted);
}

#[test]
fn whoever_leaves_a_refused_send_finds_it_refused() {
    leave_at_every_point(|_| (), || text("hello"), &End::refused(131_009).after(Duration::from_millis(5)), MessageState::Refused);
}

#[test]
fn whoever_leaves_an_unknown_send_finds_it_unknown() {
    leave_at_every_point(|_| (), || text("hello"), &End::Lost.after(Duration::from_millis(5)), MessageState::Unknown);
}

#[test]
fn whoever_leaves_while_the_filter_lies_and_the_store_is_slow_loses_nothing() {
    let prepare = |house: &House| {
        house.faults().filter_says_yes(true);
        house.faults().fail_always(Method::Recall, Fault::LateAnswer(Duration::from_millis(2)));
        house.faults().fail_always(Method::Admit, Fault::LateAnswer(Duration::from_millis(5)));
        house.faults().fail_always(Method::Settle, Fault::Delay(Duration::from_millis(5)));
    };
    leave_at_every_point(prepare, || text("hello"), &End::Accept.after(Duration::from_millis(5)), MessageState::Accepted);
}

#[test]
fn whoever_leaves_while_templates_are_read_loses_nothing() {
    let prepare = |house: &House| {
        let list = serde_json::json!({"data": [definition("moved", "UTILITY", "Parcel {{1}} moved.")]}).to_string();
        house.meta.next_templates(End::Answer(200, list).after(Duration::from_millis(5)));
        house.meta.has_templates(vec![definition("moved", "UTILITY", "Parcel {{1}} moved.")]);
    };
    let end = End::Accept.after(Duration::from_millis(5));
    leave_at_every_point(prepare, || template("moved", &["7"]), &end, MessageState::Accepted);
}

#[test]
fn a_caller_who_leaves_keeps_its_concurrency_until_the_send_ends_and_no_longer() {
    let house = House::new();
    let key = house.another_key(turnpike_domain::send::Mode::Live, |policy| policy.concurrency_limit = Some(1));
    house.run(async {
        let (end, gate) = End::Accept.held();
        house.meta.next(end);
        assert!(tokio::time::timeout(Duration::from_millis(100), house.send_by(&key, text("first"))).await.is_err());
        house.until("Meta has the message", || async { !house.meta.posted().is_empty() }).await;
        let refusal = refused(house.send_by(&key, text("second")).await);
        assert!(
            matches!(refusal, turnpike_domain::refusal::Refusal::Limited { limit: turnpike_domain::refusal::LimitKind::Concurrency, .. }),
            "{refusal:?}"
        );
        gate.add_permits(1);
        house.quiet().await;
        sent(house.send_by(&key, text("second")).await);
    });
    house.finish();
}

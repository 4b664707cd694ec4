//! A wall clock that is set back between two movements of one message. What happened is told by the
//! rows, never by their times.

use turnpike_domain::ledger::{Leg, LegState, Movement, OutcomeKind};
use turnpike_domain::money::Micros;
use turnpike_store::Store;
use turnpike_store::ledger::{LegMoved, MoveLeg};

use crate::house::{House, START, admitted, organization, settle, text};

async fn move_leg(store: &dyn Store, asked: &MoveLeg) -> LegMoved {
    store.move_legs(vec![asked.clone()]).await.expect("the store lives").pop().expect("one answer")
}

#[tokio::test]
async fn a_refund_that_the_clock_dates_before_its_capture_follows_it_all_the_same() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", Micros(10_000_000)).await;
    let message = admitted(store, text(owner, 1)).await;
    settle(store, owner, message, OutcomeKind::Accepted).await;
    let asked = |leg, movement, amount, at| MoveLeg {
        organization: owner,
        message,
        leg,
        movement,
        amount: Micros(amount),
        reason: "for a test".to_owned(),
        at: START.plus_ms(at),
    };
    let capture = asked(Leg::Meta, Movement::Capture, 3_400, 60_000);
    assert!(matches!(move_leg(store, &capture).await, LegMoved::Done(_)));
    // The clock was a minute ahead, and has been corrected.
    assert!(matches!(move_leg(store, &asked(Leg::Meta, Movement::Refund, 0, 1_000)).await, LegMoved::Done(_)));
    assert!(matches!(move_leg(store, &asked(Leg::Base, Movement::Refund, 0, 2_000)).await, LegMoved::Done(_)));

    let refunded = LegState::Refunded(Micros(3_400));
    assert!(matches!(move_leg(store, &capture).await, LegMoved::Not(_)), "the writer reads the message and lives");
    let read = store.message(owner, message).await.expect("it can be read").expect("it is there");
    assert_eq!((read.meta_leg, read.base_leg), (refunded, LegState::Refunded(Micros(1_000))));
    let told: Vec<_> = read.movements.iter().map(|moved| (moved.leg, moved.movement)).collect();
    assert_eq!(
        told,
        [(Leg::Base, Movement::Refund), (Leg::Meta, Movement::Capture), (Leg::Meta, Movement::Refund)],
        "by their times, but a leg's own in the order in which they can follow each other"
    );
    house.assert_sound().await;
}

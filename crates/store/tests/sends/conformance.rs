//! What every engine must do, said through the seam alone, so that the next engine runs it too.

use std::sync::Arc;

use turnpike_domain::ids::{ApiKeyId, ApplicationId, MessageId, MessageKey, OrganizationId};
use turnpike_domain::ledger::{Balance, Leg, LegState, Movement, NotMoved, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::DAY_MS;
use turnpike_store::Store;
use turnpike_store::ledger::{LegMoved, MoveLeg, StatementQuery, WalletMoved, WalletMovement};
use turnpike_store::messages::{Admission, CountsIn, DayUsage, Evidence, MessageFilter, Recalled, Resolve, Settled};
use uuid::Uuid;

use crate::house::{COST, House, START, admit, admitted, hash, movement, organization, outcome, settle, text, top_up, with_key};

const PLENTY: Micros = Micros(10_000_000);

async fn balance(store: &dyn Store, organization: OrganizationId) -> Balance {
    store.balance(organization, Mode::Live).await.expect("answers").expect("the wallet exists")
}

fn resolve(organization: OrganizationId, message: MessageKey, resolution: Resolution) -> Resolve {
    Resolve {
        organization,
        message,
        at: START.plus_ms(5_000),
        resolution,
        evidence: Evidence::Operator,
        reason: "looked at Meta's console".to_owned(),
        wamid: (resolution == Resolution::Accepted).then(|| hash("wamid", message.0.unsigned_abs())),
        answer: b"sealed resolution".to_vec(),
    }
}

fn leg(organization: OrganizationId, message: MessageKey, leg: Leg, movement: Movement, amount: Micros) -> MoveLeg {
    MoveLeg { organization, message, leg, movement, amount, reason: "status".to_owned(), at: START.plus_ms(9_000) }
}

async fn move_leg(store: &dyn Store, movement: MoveLeg) -> LegMoved {
    store.move_legs(vec![movement]).await.expect("answers").pop().expect("one answer")
}

#[tokio::test]
async fn an_admitted_message_holds_both_legs_and_is_found_by_key_and_id() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let Admission::New { key, id } = admit(store, text(owner, 1)).await else { panic!("refused") };

    let stands = balance(store, owner).await;
    assert_eq!((stands.posted, stands.held_base, stands.held_meta), (PLENTY, Micros(1_000), Micros(3_400)));
    let message = store.message(owner, key).await.expect("reads").expect("is there");
    assert_eq!(message.id, id);
    assert_eq!((message.base_leg, message.meta_leg), (LegState::Held(Micros(1_000)), LegState::Held(Micros(3_400))));
    assert_eq!((message.market.as_str(), message.card.as_str()), ("turkey", "usd-2026-10-01"));
    assert_eq!(message.content.as_deref(), Some(b"sealed content 1".as_slice()));
    assert_eq!((message.outcome, message.answer.as_deref()), (None, None));
    assert_eq!(store.message_by_id(owner, id).await.expect("reads").map(|found| found.key), Some(key));
    house.assert_sound().await;
}

#[tokio::test]
async fn another_organizations_message_is_not_found() {
    let house = House::new();
    let store = &*house.store;
    let (owner, stranger) = (organization(store, "acme", PLENTY).await, organization(store, "other", PLENTY).await);
    let Admission::New { key, id } = admit(store, with_key(text(owner, 1), "k")).await else { panic!("refused") };

    assert_eq!(store.message(stranger, key).await.expect("reads"), None);
    assert_eq!(store.message_by_id(stranger, id).await.expect("reads"), None);
    assert_eq!(settle(store, stranger, key, OutcomeKind::Accepted).await, Settled::NotFound);
    assert_eq!(settle(store, owner, key, OutcomeKind::Unknown).await, Settled::Done);
    assert_eq!(settle(store, stranger, key, OutcomeKind::Accepted).await, Settled::NotFound);
    let answer = store.resolve(vec![resolve(stranger, key, Resolution::Accepted)]).await.expect("answers");
    assert_eq!(answer, [Settled::NotFound]);
    assert_eq!(move_leg(store, leg(stranger, key, Leg::Base, Movement::Capture, COST)).await, LegMoved::NotFound);
    let recalled = store.recall(stranger, ApplicationId(1), hash("k", 0), None, START).await.expect("reads");
    assert_eq!(recalled, Recalled::Nothing);
    assert!(store.list_messages(stranger, None, MessageFilter::Any, None, 10).await.expect("reads").is_empty());
    assert!(
        store
            .statement(StatementQuery::newest(stranger, Mode::Live, 10))
            .await
            .expect("reads")
            .lines
            .iter()
            .all(|line| line.kind == "top_up")
    );
    house.assert_sound().await;
}

#[tokio::test]
async fn an_id_that_was_never_given_out_finds_nothing() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let Admission::New { id, .. } = admit(&*house.store, text(owner, 1)).await else { panic!("refused") };
    // The right key under another time: the cipher opens it, the row's own id denies it.
    let mut bytes = *id.0.as_bytes();
    bytes[5] ^= 1;
    for id in [MessageId(Uuid::from_bytes(bytes)), MessageId(Uuid::nil()), MessageId(Uuid::max())] {
        assert_eq!(house.store.message_by_id(owner, id).await.expect("reads"), None);
    }
}

#[tokio::test]
async fn each_outcome_moves_the_money_that_the_contract_says() {
    for (kind, base, meta, posted) in [
        (OutcomeKind::Accepted, LegState::Captured(Micros(1_000)), LegState::Held(Micros(3_400)), PLENTY.0 - 1_000),
        (OutcomeKind::Refused, LegState::Released(Micros(1_000)), LegState::Released(Micros(3_400)), PLENTY.0),
        (OutcomeKind::RefusedRetryable, LegState::Released(Micros(1_000)), LegState::Released(Micros(3_400)), PLENTY.0),
        (OutcomeKind::NotSent, LegState::Released(Micros(1_000)), LegState::Released(Micros(3_400)), PLENTY.0),
        (OutcomeKind::Unknown, LegState::Held(Micros(1_000)), LegState::Held(Micros(3_400)), PLENTY.0),
    ] {
        let house = House::new();
        let store = &*house.store;
        let owner = organization(store, "acme", PLENTY).await;
        let key = admitted(store, text(owner, 1)).await;
        assert_eq!(settle(store, owner, key, kind).await, Settled::Done, "{kind:?}");
        let message = store.message(owner, key).await.expect("reads").expect("is there");
        assert_eq!((message.base_leg, message.meta_leg), (base, meta), "{kind:?}");
        assert_eq!(message.outcome.map(|(kind, _)| kind), Some(kind));
        assert_eq!(message.answer, Some(format!("sealed answer {kind:?}").into_bytes()));
        let stands = balance(store, owner).await;
        assert_eq!((stands.posted.0, stands.held_base, stands.held_meta), (posted, base.held(), meta.held()), "{kind:?}");
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn the_first_outcome_stands() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let key = admitted(store, text(owner, 1)).await;
    // Twice in one batch, and once more later.
    let twice = vec![outcome(owner, key, OutcomeKind::Accepted), outcome(owner, key, OutcomeKind::Refused)];
    let stands = Settled::Already { outcome: OutcomeKind::Accepted, resolution: None };
    assert_eq!(store.settle(twice).await.expect("answers"), [Settled::Done, stands.clone()]);
    assert_eq!(settle(store, owner, key, OutcomeKind::NotSent).await, stands);
    assert_eq!(settle(store, owner, MessageKey(key.0 + 100), OutcomeKind::NotSent).await, Settled::NotFound);
    assert_eq!(balance(store, owner).await.held(), Micros(3_400));
    house.assert_sound().await;
}

#[tokio::test]
async fn a_resolution_moves_what_was_held_once_and_never_touches_a_known_outcome() {
    for (resolution, base, meta) in [
        (Resolution::Accepted, LegState::Captured(Micros(1_000)), LegState::Held(Micros(3_400))),
        (Resolution::Failed, LegState::Captured(Micros(1_000)), LegState::Released(Micros(3_400))),
        (Resolution::Refused, LegState::Released(Micros(1_000)), LegState::Released(Micros(3_400))),
        (Resolution::PresumedNotSent, LegState::Released(Micros(1_000)), LegState::Released(Micros(3_400))),
    ] {
        let house = House::new();
        let store = &*house.store;
        let owner = organization(store, "acme", PLENTY).await;
        let (unknown, known, flying) =
            (admitted(store, text(owner, 1)).await, admitted(store, text(owner, 2)).await, admitted(store, text(owner, 3)).await);
        settle(store, owner, unknown, OutcomeKind::Unknown).await;
        settle(store, owner, known, OutcomeKind::Refused).await;
        let batch = [unknown, unknown, known, flying].map(|key| resolve(owner, key, resolution));
        let answers = store.resolve(batch.to_vec()).await.expect("answers");
        let already = Settled::Already { outcome: OutcomeKind::Unknown, resolution: Some(resolution) };
        assert_eq!(answers, [Settled::Done, already.clone(), Settled::NotUnknown, Settled::NotUnknown]);
        assert_eq!(settle(store, owner, unknown, OutcomeKind::Accepted).await, already);

        let message = store.message(owner, unknown).await.expect("reads").expect("is there");
        assert_eq!((message.base_leg, message.meta_leg), (base, meta), "{resolution:?}");
        assert_eq!(message.answer.as_deref(), Some(b"sealed resolution".as_slice()));
        assert_eq!(message.resolution.map(|found| (found.resolution, found.evidence)), Some((resolution, Evidence::Operator)));
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn later_movements_follow_the_leg_and_happen_once() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let key = admitted(store, text(owner, 1)).await;
    let early = move_leg(store, leg(owner, key, Leg::Base, Movement::Capture, Micros(1_000))).await;
    assert_eq!(early, LegMoved::Not(NotMoved::Impossible(LegState::Held(Micros(1_000)))), "in flight: its outcome comes first");
    settle(store, owner, key, OutcomeKind::Accepted).await;

    let too_much = move_leg(store, leg(owner, key, Leg::Meta, Movement::Capture, Micros(3_401))).await;
    assert_eq!(too_much, LegMoved::Not(NotMoved::ExceedsHold { held: Micros(3_400) }));
    let captured = LegState::Captured(Micros(3_000));
    assert_eq!(move_leg(store, leg(owner, key, Leg::Meta, Movement::Capture, Micros(3_000))).await, LegMoved::Done(captured));
    let again = move_leg(store, leg(owner, key, Leg::Meta, Movement::Capture, Micros(3_000))).await;
    assert_eq!(again, LegMoved::Not(NotMoved::Already(captured)));
    let stands = balance(store, owner).await;
    assert_eq!((stands.posted.0, stands.held()), (PLENTY.0 - 4_000, Micros::ZERO), "the rest of the hold went back");
    let refunded = move_leg(store, leg(owner, key, Leg::Base, Movement::Refund, Micros::ZERO)).await;
    assert_eq!(refunded, LegMoved::Done(LegState::Refunded(Micros(1_000))));
    assert_eq!(balance(store, owner).await.posted.0, PLENTY.0 - 3_000);
    let message = store.message(owner, key).await.expect("reads").expect("is there");
    assert_eq!((message.base_leg, message.meta_leg, message.movements.len()), (LegState::Refunded(Micros(1_000)), captured, 2));
    house.assert_sound().await;
}

#[tokio::test]
async fn only_a_late_capture_overdraws_and_then_nothing_is_admitted() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", COST).await;
    let key = admitted(store, text(owner, 1)).await;
    settle(store, owner, key, OutcomeKind::Unknown).await;
    store.resolve(vec![resolve(owner, key, Resolution::PresumedNotSent)]).await.expect("answers");
    let spend = movement(Uuid::from_u128(77), owner, Mode::Live, WalletMovement::Adjust, Micros(-4_000));
    assert!(matches!(store.move_wallet(spend).await.expect("answers"), WalletMoved::Done(_)));
    let late = move_leg(store, leg(owner, key, Leg::Base, Movement::LateCapture, Micros(1_000))).await;
    assert_eq!(late, LegMoved::Done(LegState::LateCaptured(Micros(1_000))));
    assert_eq!(balance(store, owner).await.available(), Micros(-600));
    assert_eq!(admit(store, text(owner, 2)).await, Admission::InsufficientFunds { available: Micros(-600) });
    house.assert_sound().await;
}

#[tokio::test]
async fn a_kept_answer_is_replayed_and_nothing_is_written() {
    for kind in [OutcomeKind::Accepted, OutcomeKind::Refused, OutcomeKind::Unknown] {
        let house = House::new();
        let store = &*house.store;
        let owner = organization(store, "acme", PLENTY).await;
        assert!(!store.may_know(&hash("order-7", 0)));
        let key = admitted(store, with_key(text(owner, 1), "order-7")).await;
        assert!(store.may_know(&hash("order-7", 0)));
        assert_eq!(admit(store, with_key(text(owner, 1), "order-7")).await, Admission::InFlight { key });
        assert_eq!(admit(store, with_key(text(owner, 2), "order-7")).await, Admission::KeyReused);
        let recall = |request: u64, later: i64| {
            store.recall(owner, ApplicationId(1), hash("order-7", 0), Some(hash("request", request)), START.plus_ms(later))
        };
        assert_eq!(recall(1, 10).await.expect("reads"), Recalled::InFlight(key));
        settle(store, owner, key, kind).await;

        let before = balance(store, owner).await;
        assert_eq!(admit(store, with_key(text(owner, 1), "order-7")).await, Admission::Replayed { key }, "{kind:?}");
        assert_eq!(admit(store, with_key(text(owner, 2), "order-7")).await, Admission::KeyReused, "{kind:?}");
        assert_eq!(balance(store, owner).await, before);
        let Recalled::Kept(kept) = recall(1, 90).await.expect("reads") else { panic!("{kind:?} is kept") };
        assert_eq!((kept.key, kept.answer), (key, Some(format!("sealed answer {kind:?}").into_bytes())));
        assert_eq!(recall(2, 90).await.expect("reads"), Recalled::KeyReused);
        let by_key_alone = store.recall(owner, ApplicationId(1), hash("order-7", 0), None, START.plus_ms(90)).await.expect("reads");
        assert!(matches!(by_key_alone, Recalled::Kept(_)));

        // 24 hours after the outcome the key is free, unless nobody knows how it ended.
        let (last, over) = (80 + DAY_MS - 1, 80 + DAY_MS);
        assert!(matches!(recall(1, last).await.expect("reads"), Recalled::Kept(_)));
        let mut tomorrow = with_key(text(owner, 2), "order-7");
        tomorrow.at = START.plus_ms(over);
        if kind == OutcomeKind::Unknown {
            assert!(matches!(recall(1, over).await.expect("reads"), Recalled::Kept(_)));
            assert_eq!(admit(store, tomorrow).await, Admission::KeyReused);
        } else {
            assert_eq!(recall(1, over).await.expect("reads"), Recalled::Nothing);
            let newer = admitted(store, tomorrow).await;
            assert_eq!(recall(2, over).await.expect("reads"), Recalled::InFlight(newer));
        }
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn what_may_be_tried_again_frees_its_key_for_any_request() {
    for kind in [OutcomeKind::RefusedRetryable, OutcomeKind::NotSent] {
        let house = House::new();
        let store = &*house.store;
        let owner = organization(store, "acme", PLENTY).await;
        let first = admitted(store, with_key(text(owner, 1), "order-7")).await;
        settle(store, owner, first, kind).await;
        let recall = |request| store.recall(owner, ApplicationId(1), hash("order-7", 0), request, START.plus_ms(90));
        assert_eq!(recall(Some(hash("request", 1))).await.expect("reads"), Recalled::Nothing);
        let Recalled::Kept(looked_up) = recall(None).await.expect("reads") else { panic!("{kind:?} is found by its key alone") };
        assert_eq!(looked_up.key, first);
        let second = admitted(store, with_key(text(owner, 2), "order-7")).await;
        assert_ne!(first, second);
        settle(store, owner, second, OutcomeKind::Accepted).await;
        assert_eq!(admit(store, with_key(text(owner, 2), "order-7")).await, Admission::Replayed { key: second }, "the key has moved");
        assert_eq!(admit(store, with_key(text(owner, 1), "order-7")).await, Admission::KeyReused);
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn a_refused_admission_does_not_use_up_its_key() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", Micros(1)).await;
    assert_eq!(admit(store, with_key(text(owner, 1), "order-7")).await, Admission::InsufficientFunds { available: Micros(1) });
    top_up(store, owner, Mode::Live, PLENTY).await;
    admitted(store, with_key(text(owner, 2), "order-7")).await;
    house.assert_sound().await;
}

#[tokio::test]
async fn a_presumed_unsent_message_keeps_its_key_for_a_day() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let key = admitted(store, with_key(text(owner, 1), "order-7")).await;
    settle(store, owner, key, OutcomeKind::Unknown).await;
    store.resolve(vec![resolve(owner, key, Resolution::PresumedNotSent)]).await.expect("answers");
    assert_eq!(admit(store, with_key(text(owner, 1), "order-7")).await, Admission::Replayed { key });
    let mut later = with_key(text(owner, 1), "order-7");
    later.at = START.plus_ms(5_000 + DAY_MS);
    admitted(store, later).await;
    house.assert_sound().await;
}

#[tokio::test]
async fn an_equal_request_without_a_key_is_taken_for_a_repeat_while_the_first_is_unknown() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let careful = |number| {
        let mut new = text(owner, number);
        new.likely_repeat_since = Some(START.plus_ms(-600_000));
        new
    };
    let key = admitted(store, careful(1)).await;
    settle(store, owner, key, OutcomeKind::Unknown).await;
    assert!(matches!(admit(store, careful(1)).await, Admission::LikelyRepeat { key: found, .. } if found == key));
    let mut elsewhere = careful(1);
    elsewhere.application = ApplicationId(2);
    admitted(store, elsewhere).await;
    admitted(store, careful(2)).await;
    admitted(store, text(owner, 1)).await;
    let mut too_late = careful(1);
    too_late.likely_repeat_since = Some(START);
    admitted(store, too_late).await;
    store.resolve(vec![resolve(owner, key, Resolution::Accepted)]).await.expect("answers");
    admitted(store, careful(1)).await;
    house.assert_sound().await;
}

#[tokio::test]
async fn modes_use_their_own_wallets_and_a_fake_uses_none() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", COST).await;
    let of_mode = |number, mode| {
        let mut new = text(owner, number);
        new.mode = mode;
        new
    };
    assert_eq!(admit(store, of_mode(1, Mode::Sandbox)).await, Admission::InsufficientFunds { available: Micros::ZERO });
    top_up(store, owner, Mode::Sandbox, PLENTY).await;
    let played = admitted(store, of_mode(1, Mode::Sandbox)).await;
    settle(store, owner, played, OutcomeKind::Accepted).await;
    let fake = admitted(store, of_mode(2, Mode::Fake)).await;
    assert_eq!(balance(store, owner).await, Balance { posted: COST, ..Balance::default() });
    settle(store, owner, fake, OutcomeKind::Accepted).await;
    let message = store.message(owner, fake).await.expect("reads").expect("is there");
    assert_eq!((message.base_leg, message.meta_leg, message.meta_reported), (LegState::None, LegState::None, Micros(3_400)));
    admitted(store, of_mode(3, Mode::Live)).await;
    assert_eq!(admit(store, of_mode(4, Mode::Fake)).await, Admission::InsufficientFunds { available: Micros::ZERO });
    let lines = store.statement(StatementQuery::newest(owner, Mode::Sandbox, 10)).await.expect("reads").lines;
    assert_eq!(lines.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(), ["capture", "hold", "hold", "top_up"]);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_sends_on_a_balance_for_five_hundred_admit_exactly_five_hundred() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", Micros(COST.0 * 500)).await;
    let sends: Vec<_> = (0..1_000)
        .map(|number| {
            let store = Arc::clone(&house.store);
            #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
            tokio::spawn(async move { admit(&*store, text(owner, number)).await })
        })
        .collect();
    let (mut new, mut refused) = (0, 0);
    for send in sends {
        match send.await.expect("no panic") {
            Admission::New { .. } => new += 1,
            Admission::InsufficientFunds { available } => {
                assert!(!available.is_negative() && available < COST);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, refused), (500, 500));
    assert_eq!(balance(&*house.store, owner).await.available(), Micros::ZERO);
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_repeats_of_one_keyed_request_make_one_message() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let sends: Vec<_> = (0..1_000)
        .map(|number| {
            let store = Arc::clone(&house.store);
            let mut new = with_key(text(owner, 1), "order-7");
            new.api_key = ApiKeyId(1 + number % 2);
            #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
            tokio::spawn(async move { admit(&*store, new).await })
        })
        .collect();
    let mut new = 0;
    for send in sends {
        match send.await.expect("no panic") {
            Admission::New { key, .. } => {
                new += 1;
                settle(&*house.store, owner, key, OutcomeKind::Accepted).await;
            }
            Admission::InFlight { .. } | Admission::Replayed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(new, 1);
    let stands = balance(&*house.store, owner).await;
    assert_eq!((stands.posted.0, stands.held()), (PLENTY.0 - 1_000, Micros(3_400)));
    house.assert_sound().await;
}

#[tokio::test]
async fn wallet_movements_happen_once_and_never_go_below_zero() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    admitted(store, text(owner, 1)).await;
    let adjust = |id, amount| store.move_wallet(movement(Uuid::from_u128(id), owner, Mode::Live, WalletMovement::Adjust, Micros(amount)));
    let free = PLENTY.0 - COST.0;
    assert!(matches!(adjust(1, -(free + 1)).await.expect("answers"), WalletMoved::BelowZero(_)), "what is held cannot be taken");
    assert!(matches!(adjust(2, -free).await.expect("answers"), WalletMoved::Done(after) if after.available() == Micros::ZERO));
    assert!(matches!(adjust(2, -free).await.expect("answers"), WalletMoved::Already(now) if now.available() == Micros::ZERO));
    let other_kind = movement(Uuid::from_u128(2), owner, Mode::Live, WalletMovement::TopUp, Micros(free));
    let other_wallet = movement(Uuid::from_u128(2), owner, Mode::Sandbox, WalletMovement::Adjust, Micros(-free));
    for other in [other_kind, other_wallet] {
        assert_eq!(store.move_wallet(other).await.expect("answers"), WalletMoved::Taken, "an id is one movement's");
    }
    assert_eq!(adjust(2, -free + 1).await.expect("answers"), WalletMoved::Taken, "of one amount");
    assert!(matches!(adjust(3, 5).await.expect("answers"), WalletMoved::Done(_)));
    assert_eq!(adjust(4, i64::MAX).await.expect("answers"), WalletMoved::TooLarge);
    let negative = movement(Uuid::from_u128(5), owner, Mode::Live, WalletMovement::TopUp, Micros(-1));
    assert!(matches!(store.move_wallet(negative).await.expect("answers"), WalletMoved::BelowZero(_)));
    let nobody = movement(Uuid::from_u128(6), OrganizationId(404), Mode::Live, WalletMovement::TopUp, Micros(1));
    assert_eq!(store.move_wallet(nobody).await.expect("answers"), WalletMoved::NotFound);
    assert_eq!(store.balance(OrganizationId(404), Mode::Live).await.expect("answers"), None);
    let mut foreign = text(owner, 9);
    foreign.organization = OrganizationId(404);
    assert_eq!(admit(store, foreign).await, Admission::NoWallet);
    house.assert_sound().await;
}

#[tokio::test]
async fn lists_filter_by_where_messages_stand_and_page_backwards() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let mut keys = Vec::new();
    for number in 0..7 {
        let mut new = text(owner, number);
        new.application = ApplicationId(1 + i64::from(number == 6));
        keys.push(admitted(store, new).await);
    }
    let kinds = [
        OutcomeKind::Accepted,
        OutcomeKind::Refused,
        OutcomeKind::NotSent,
        OutcomeKind::Unknown,
        OutcomeKind::Unknown,
        OutcomeKind::Unknown,
    ];
    for (key, kind) in keys.iter().zip(kinds) {
        settle(store, owner, *key, kind).await;
    }
    let answers = vec![resolve(owner, keys[4], Resolution::PresumedNotSent), resolve(owner, keys[5], Resolution::Failed)];
    store.resolve(answers).await.expect("answers");
    let check = async |filter, expected: &[usize]| {
        let listed = store.list_messages(owner, None, filter, None, 100).await.expect("reads");
        let expected: Vec<_> = expected.iter().map(|place| keys[*place]).collect();
        assert_eq!(listed.iter().map(|message| message.key).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check(MessageFilter::Any, &[6, 5, 4, 3, 2, 1, 0]).await;
    check(MessageFilter::InFlight, &[6]).await;
    check(MessageFilter::Unknown, &[3]).await;
    check(MessageFilter::Accepted, &[5, 0]).await;
    check(MessageFilter::Refused, &[2, 1]).await;
    check(MessageFilter::PresumedNotSent, &[4]).await;
    let page = store.list_messages(owner, Some(ApplicationId(1)), MessageFilter::Any, Some(keys[3]), 2).await.expect("reads");
    assert_eq!(page.iter().map(|message| message.key).collect::<Vec<_>>(), [keys[2], keys[1]]);
}

#[tokio::test]
async fn a_message_is_found_by_its_wamid() {
    let house = House::new();
    let store = &*house.store;
    let (owner, other) = (organization(store, "acme", PLENTY).await, organization(store, "other", PLENTY).await);
    let accepted = admitted(store, text(owner, 1)).await;
    settle(store, owner, accepted, OutcomeKind::Accepted).await;
    let resolved = admitted(store, text(owner, 2)).await;
    settle(store, owner, resolved, OutcomeKind::Unknown).await;
    store.resolve(vec![resolve(owner, resolved, Resolution::Accepted)]).await.expect("answers");
    for key in [accepted, resolved] {
        let wamid = hash("wamid", key.0.unsigned_abs());
        let found = store.messages_by_wamid(owner, wamid).await.expect("reads");
        assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [key]);
        assert!(store.messages_by_wamid(other, wamid).await.expect("reads").is_empty());
    }
    assert!(store.messages_by_wamid(owner, hash("wamid", 999)).await.expect("reads").is_empty());
}

#[tokio::test]
async fn what_a_resolution_told_of_its_wamid_is_found_for_ever_and_kept_in_memory_for_a_while() {
    let mut house = House::new();
    let (owner, other) = (organization(&*house.store, "acme", PLENTY).await, organization(&*house.store, "other", PLENTY).await);
    let key = admitted(&*house.store, text(owner, 1)).await;
    settle(&*house.store, owner, key, OutcomeKind::Unknown).await;
    house.store.resolve(vec![resolve(owner, key, Resolution::Accepted)]).await.expect("answers");
    let wamid = hash("wamid", key.0.unsigned_abs());
    // In the same process, after a start within the time, and long after.
    for (days, reopens) in [(1, false), (44, false), (46, false), (46, true), (400, true)] {
        let now = START.plus_ms(days * DAY_MS);
        if reopens {
            (house, _) = house.reopen(now);
        }
        let store = &*house.store;
        let mut later = text(owner, 2);
        later.at = now;
        admitted(store, later).await;
        let found = store.messages_by_wamid(owner, wamid).await.expect("reads");
        assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [key], "after {days} days");
        assert!(store.messages_by_wamid(other, wamid).await.expect("reads").is_empty());
    }
}

#[tokio::test]
async fn limits_are_rebuilt_from_recent_sends_and_days() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let mut keys = Vec::new();
    for number in 0..4 {
        let mut new = text(owner, number);
        // Two minutes apart, across midnight.
        new.at = START.plus_ms(DAY_MS - 240_000 + 120_000 * i64::try_from(number).expect("small"));
        new.counts_in = (number != 1).then(|| CountsIn::day(new.at.day()));
        keys.push(admitted(store, new).await);
    }
    settle(store, owner, keys[3], OutcomeKind::NotSent).await;
    let since = START.plus_ms(DAY_MS - 120_000);
    let recent = store.recent_sends(since).await.expect("reads");
    assert_eq!(
        recent.iter().map(|send| send.recipient).collect::<Vec<_>>(),
        [hash("recipient", 1), hash("recipient", 2), hash("recipient", 3)]
    );
    assert_eq!(recent.iter().map(|send| send.reached_meta).collect::<Vec<_>>(), [true, true, false]);
    let used = |day, messages, spend| DayUsage { api_key: ApiKeyId(1), day, messages, spend: Micros(spend) };
    let (today, tomorrow) = (START.day(), START.day().next());
    assert_eq!(store.day_usage(today).await.expect("reads"), [used(today, 1, COST.0)]);
    assert_eq!(store.day_usage(tomorrow).await.expect("reads"), [used(tomorrow, 2, 2 * COST.0)]);
}

#[tokio::test]
async fn forgetting_takes_words_and_leaves_money() {
    let house = House::new();
    let store = &*house.store;
    let owner = organization(store, "acme", Micros(100_000_000)).await;
    let old = admitted(store, text(owner, 1)).await;
    let batch = (10..5_010).map(|number| text(owner, number)).collect();
    store.admit(batch).await.expect("answers");
    settle(store, owner, old, OutcomeKind::Accepted).await;
    let mut newer = text(owner, 2);
    newer.at = START.plus_ms(DAY_MS);
    let newer = admitted(store, newer).await;

    let tomorrow = START.day().next();
    assert_eq!(store.forget_before(tomorrow, START.day()).await.expect("forgets"), 1);
    let message = store.message(owner, old).await.expect("reads").expect("is there");
    assert_eq!((message.content, message.answer.is_some()), (None, true));
    assert_eq!(store.forget_before(tomorrow, tomorrow).await.expect("forgets"), 2, "whom its messages went to, and the answers");
    assert_eq!(store.forget_before(tomorrow, tomorrow).await.expect("forgets"), 0);
    let message = store.message(owner, old).await.expect("reads").expect("is there");
    assert_eq!((message.answer, message.base_leg), (None, LegState::Captured(Micros(1_000))));
    assert!(store.message(owner, newer).await.expect("reads").is_some_and(|newer| newer.content.is_some()));

    // A message of a forgotten day still settles and still sends.
    let flying = store.list_messages(owner, None, MessageFilter::InFlight, None, 3).await.expect("reads")[2].key;
    assert_eq!(settle(store, owner, flying, OutcomeKind::Accepted).await, Settled::Done);
    admitted(store, text(owner, 3)).await;
    house.assert_sound().await;
}

#[tokio::test]
async fn an_empty_batch_is_answered() {
    let house = House::new();
    assert!(house.store.admit(Vec::new()).await.expect("answers").is_empty());
    assert!(house.store.settle(Vec::new()).await.expect("answers").is_empty());
    assert!(house.store.resolve(Vec::new()).await.expect("answers").is_empty());
    assert!(house.store.move_legs(Vec::new()).await.expect("answers").is_empty());
}

#[tokio::test]
async fn a_closed_store_refuses() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    house.store.ready().await.expect("is ready");
    house.store.close().await.expect("closes");
    assert!(house.store.admit(vec![text(owner, 1)]).await.is_err());
    assert!(house.store.ready().await.is_err());
    house.store.close().await.expect("closing twice is harmless");
}

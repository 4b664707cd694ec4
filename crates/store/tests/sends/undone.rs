//! What the database refuses in the middle of a commit: one commit is undone, and nobody else's store
//! ends for it.

use std::sync::Arc;

use turnpike_domain::ids::MessageKey;
use turnpike_domain::ledger::{Leg, Movement, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::DAY_MS;
use turnpike_store::StoreError;
use turnpike_store::ledger::{LegMoved, MoveLeg};
use turnpike_store::messages::{Admission, Evidence, Resolve, Settled};
use turnpike_store::sqlite::{SqliteStore, Tuning};

use crate::chance::Chance;
use crate::house::{COST, House, START, admit, admitted, hash, options, organization, outcome, settle, text, with_key};

const PLENTY: Micros = Micros(100_000_000);

/// A house whose store must not end.
fn house() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = options(folder.path(), START, Tuning::default());
    opened.fatal = Arc::new(|reason| panic!("the store ended: {reason}"));
    let (store, _) = SqliteStore::open(opened).expect("opens");
    House { folder, store: Arc::new(store) }
}

/// From now on the outcome of this message cannot be written.
fn stand_in_the_way(house: &House, message: MessageKey) {
    let trigger = format!(
        "CREATE TRIGGER stands_in_the_way_{0} BEFORE INSERT ON outcomes WHEN new.message = {0}
         BEGIN SELECT RAISE(ABORT, 'a test stands in the way'); END",
        message.0
    );
    house.database().execute_batch(&trigger).expect("stands there");
}

fn step_aside(house: &House, message: MessageKey) {
    house.database().execute_batch(&format!("DROP TRIGGER stands_in_the_way_{}", message.0)).expect("steps aside");
}

fn is_undone<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Undone { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_undone_with_another_is_as_if_it_had_never_been() {
    let house = house();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let broken = admitted(store, with_key(text(owner, 1), "in flight")).await;
    let unknown = admitted(store, with_key(text(owner, 2), "unknown")).await;
    settle(store, owner, unknown, OutcomeKind::Unknown).await;
    stand_in_the_way(&house, broken);
    // The writer waits with what it has; the next three share a commit.
    let database = house.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("keeps the writer waiting");
    let (first, before, itself, behind, ()) = tokio::join!(
        store.balance(owner, Mode::Live),
        store.admit(vec![with_key(text(owner, 3), "before")]),
        store.settle(vec![outcome(owner, broken, OutcomeKind::Accepted)]),
        store.admit(vec![with_key(text(owner, 4), "behind")]),
        async {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            database.execute_batch("COMMIT").expect("lets the writer go on");
        }
    );
    // It may have been taken with the others.
    drop(first);
    assert!(is_undone(&before) && is_undone(&itself), "{before:?} {itself:?}");
    assert!(matches!(behind.as_deref(), Ok([Admission::New { .. }])), "{behind:?}");
    let balance = store.balance(owner, Mode::Live).await.expect("answers").expect("a wallet");
    assert_eq!((balance.held_base.0 + balance.held_meta.0, balance.posted), (3 * COST.0, PLENTY), "two before, and the one behind");

    // What is in flight or unknown is so still, and what was undone leaves nothing under its key.
    assert_eq!(admit(store, with_key(text(owner, 1), "in flight")).await, Admission::InFlight { key: broken });
    assert_eq!(admit(store, with_key(text(owner, 2), "unknown")).await, Admission::Replayed { key: unknown });
    assert!(matches!(admit(store, with_key(text(owner, 3), "before")).await, Admission::New { .. }));
    assert!(is_undone(&store.settle(vec![outcome(owner, broken, OutcomeKind::Accepted)]).await), "it still stands in its way");
    step_aside(&house, broken);
    assert_eq!(settle(store, owner, broken, OutcomeKind::Accepted).await, Settled::Done);
    house.assert_sound().await;
    let (house, recovery) = house.reopen(START);
    assert_eq!(recovery.unknown, 2, "the two that were admitted last");
    house.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_what_cannot_be_written_fails_and_all_else_succeeds_when_asked_again() {
    for seed in 0..3u64 {
        let mut chance = Chance(seed);
        let house = house();
        let owner = organization(&*house.store, "acme", PLENTY).await;
        let mut keys = Vec::new();
        for number in 0..200 {
            keys.push(admitted(&*house.store, with_key(text(owner, number), &format!("key-{number}"))).await);
        }
        let broken: Vec<MessageKey> = (0..5).map(|_| chance.of(&keys)).collect();
        broken.iter().collect::<std::collections::BTreeSet<_>>().into_iter().for_each(|key| stand_in_the_way(&house, *key));
        let mut tasks = tokio::task::JoinSet::new();
        for key in keys.clone() {
            let (store, broken) = (Arc::clone(&house.store), broken.contains(&key));
            tasks.spawn(async move {
                let asked = outcome(owner, key, OutcomeKind::Accepted);
                for tries in 1.. {
                    match store.settle(vec![asked.clone()]).await {
                        Ok(settled) => return assert_eq!(settled, [Settled::Done], "{key:?}"),
                        Err(StoreError::Undone { .. }) if broken && tries == 3 => return,
                        Err(StoreError::Undone { .. }) if tries < 100 => {}
                        Err(other) => panic!("{key:?} at the {tries}th time: {other}"),
                    }
                }
            });
        }
        for number in 1_000..1_100 {
            let store = Arc::clone(&house.store);
            tasks.spawn(async move {
                for tries in 1.. {
                    match store.admit(vec![text(owner, number)]).await {
                        Ok(admissions) => return assert!(matches!(*admissions, [Admission::New { .. }]), "{admissions:?}"),
                        Err(StoreError::Undone { .. }) if tries < 100 => {}
                        Err(other) => panic!("{number} at the {tries}th time: {other}"),
                    }
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("nobody is left without an answer");
        }
        house.assert_sound().await;
        let messages: i64 = house.database().query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("counts");
        assert_eq!(messages, 300, "none twice");
        for key in &broken {
            house.database().execute_batch(&format!("DROP TRIGGER IF EXISTS stands_in_the_way_{}", key.0)).expect("steps aside");
        }
        for (number, key) in keys.iter().enumerate().filter(|(_, key)| broken.contains(key)) {
            let again = with_key(text(owner, number as u64), &format!("key-{number}"));
            assert_eq!(admit(&*house.store, again).await, Admission::InFlight { key: *key }, "still in flight");
            assert!(matches!(settle(&*house.store, owner, *key, OutcomeKind::Accepted).await, Settled::Done | Settled::Already { .. }));
        }
        let found = house.store.messages_by_wamid(owner, hash("wamid", keys[7].0.unsigned_abs())).await.expect("reads");
        assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [keys[7]], "indexes were read again");
        house.assert_sound().await;
    }
}

#[tokio::test]
async fn a_writer_that_began_anew_fills_and_finds_its_segments_as_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut opened = options(folder.path(), START, Tuning { segment_entries: 64, ..Tuning::default() });
    opened.fatal = Arc::new(|reason| panic!("the store ended: {reason}"));
    let (store, _) = SqliteStore::open(opened).expect("opens");
    let house = House { folder, store: Arc::new(store) };
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let mut keys = Vec::new();
    for number in 0..400 {
        let mut new = with_key(text(owner, number), &format!("key-{number}"));
        new.at = START.plus_ms(i64::try_from(number).expect("small"));
        let key = admitted(&*house.store, new).await;
        if number % 50 == 17 {
            stand_in_the_way(&house, key);
            assert!(is_undone(&house.store.settle(vec![outcome(owner, key, OutcomeKind::Accepted)]).await));
            step_aside(&house, key);
        }
        settle(&*house.store, owner, key, OutcomeKind::Accepted).await;
        keys.push(key);
    }
    for (number, key) in keys.iter().enumerate() {
        let again = with_key(text(owner, number as u64), &format!("key-{number}"));
        assert_eq!(admit(&*house.store, again).await, Admission::Replayed { key: *key }, "{number}");
        let found = house.store.messages_by_wamid(owner, hash("wamid", key.0.unsigned_abs())).await.expect("reads");
        assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [*key], "{number}");
    }
    let mut late = with_key(text(owner, 0), "key-0");
    late.at = START.plus_ms(2 * DAY_MS);
    assert!(matches!(admit(&*house.store, late).await, Admission::New { .. }), "and its day ends as ever");
    house.assert_sound().await;
}

#[tokio::test]
async fn of_a_batch_of_evidence_only_what_cannot_be_written_is_left_out() {
    let house = house();
    let store = &*house.store;
    let owner = organization(store, "acme", PLENTY).await;
    let mut keys = Vec::new();
    for number in 0..3 {
        let key = admitted(store, text(owner, number)).await;
        settle(store, owner, key, OutcomeKind::Unknown).await;
        keys.push(key);
    }
    let table = |table: &str| {
        format!("CREATE TRIGGER no_{table} BEFORE INSERT ON {table} WHEN new.message = {} BEGIN SELECT RAISE(ABORT, 'no'); END", keys[1].0)
    };
    house.database().execute_batch(&table("resolutions")).expect("stands there");
    let resolve = |message: &MessageKey| Resolve {
        organization: owner,
        message: *message,
        at: START.plus_ms(90),
        resolution: Resolution::Accepted,
        evidence: Evidence::Operator,
        reason: "looked".to_owned(),
        wamid: None,
        answer: Vec::new(),
    };
    let resolved = store.resolve(keys.iter().map(resolve).collect()).await.expect("answers");
    assert!(matches!(&*resolved, [Settled::Done, Settled::Broken { .. }, Settled::Done]), "{resolved:?}");
    house.database().execute_batch("DROP TRIGGER no_resolutions").expect("steps aside");
    assert_eq!(store.resolve(vec![resolve(&keys[1])]).await.expect("answers"), [Settled::Done]);

    house.database().execute_batch(&table("leg_movements")).expect("stands there");
    let capture = |message: &MessageKey| MoveLeg {
        organization: owner,
        message: *message,
        leg: Leg::Meta,
        movement: Movement::Capture,
        amount: Micros(3_000),
        reason: "delivered".to_owned(),
        at: START.plus_ms(100),
    };
    let moved = store.move_legs(keys.iter().map(capture).collect()).await.expect("answers");
    assert!(matches!(&*moved, [LegMoved::Done(_), LegMoved::Broken { .. }, LegMoved::Done(_)]), "{moved:?}");
    house.assert_sound().await;
}

//! What a start finds, and what it makes of it.

use std::sync::Arc;

use turnpike_domain::ids::{ApplicationId, MessageCipher};
use turnpike_domain::ledger::{LegState, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_domain::time::DAY_MS;
use turnpike_store::messages::{Admission, CountsIn, Evidence, MessageFilter, Recalled, Resolve, Settled};
use turnpike_store::sqlite::{OpenError, SqliteStore, Tuning};

use crate::house::{COST, House, START, admit, admitted, hash, open, options, organization, outcome, settle, text, with_key};

const PLENTY: Micros = Micros(100_000_000);

#[tokio::test]
async fn what_was_in_flight_is_unknown_after_a_crash_and_holds_its_money_and_key() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let settled = admitted(&*house.store, with_key(text(owner, 1), "settled")).await;
    settle(&*house.store, owner, settled, OutcomeKind::Accepted).await;
    let keyed = admitted(&*house.store, with_key(text(owner, 2), "keyed")).await;
    let mut careful = text(owner, 3);
    careful.likely_repeat_since = Some(START.plus_ms(-600_000));
    let bare = admitted(&*house.store, careful.clone()).await;
    let mut fake = with_key(text(owner, 4), "fake");
    fake.mode = Mode::Fake;
    let fake_key = admitted(&*house.store, fake.clone()).await;

    let later = START.plus_ms(60_000);
    let (house, recovery) = house.reopen(later);
    assert_eq!((recovery.unknown, recovery.fakes), (2, 1));
    let store = &*house.store;
    house.assert_sound().await;
    for key in [keyed, bare] {
        let message = store.message(owner, key).await.expect("reads").expect("is there");
        assert_eq!(message.outcome, Some((OutcomeKind::Unknown, later)));
        assert_eq!((message.base_leg, message.meta_leg), (LegState::Held(Micros(1_000)), LegState::Held(Micros(3_400))));
    }
    assert_eq!(store.list_messages(owner, None, MessageFilter::Unknown, None, 10).await.expect("reads").len(), 2);
    let balance = store.balance(owner, Mode::Live).await.expect("answers").expect("exists");
    assert_eq!((balance.posted.0, balance.held().0), (PLENTY.0 - 1_000, 3_400 + 2 * COST.0));

    assert_eq!(admit(store, with_key(text(owner, 1), "settled")).await, Admission::Replayed { key: settled });
    assert_eq!(admit(store, with_key(text(owner, 2), "keyed")).await, Admission::Replayed { key: keyed });
    assert!(matches!(admit(store, careful).await, Admission::LikelyRepeat { key, .. } if key == bare));
    assert!(matches!(admit(store, fake).await, Admission::New { key, .. } if key > fake_key), "a fake never left: its key is free");
    assert_eq!(
        settle(store, owner, keyed, OutcomeKind::Accepted).await,
        Settled::Already { outcome: OutcomeKind::Unknown, resolution: None }
    );
    let resolve = Resolve {
        organization: owner,
        message: keyed,
        at: later,
        resolution: Resolution::Accepted,
        evidence: Evidence::Operator,
        reason: "seen".to_owned(),
        wamid: Some(hash("late", 1)),
        answer: Vec::new(),
    };
    assert_eq!(store.resolve(vec![resolve]).await.expect("answers"), [Settled::Done]);
    house.assert_sound().await;

    let (house, recovery) = house.reopen(later);
    assert_eq!((recovery.unknown, recovery.fakes), (0, 1), "only the second fake was in flight");
    assert_eq!(house.store.messages_by_wamid(owner, hash("late", 1)).await.expect("reads").len(), 1);
    house.assert_sound().await;
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_folder_is_private() {
    use std::os::unix::fs::PermissionsExt as _;

    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("data");
    let (store, _) = open(&folder, START, Tuning::default());
    let refused = SqliteStore::open(options(&folder, START, Tuning::default())).err().expect("in use");
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    organization(&*store, "acme", PLENTY).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for file in ["turnpike.db", "turnpike.db-wal", "turnpike.db-shm", "LOCK"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    drop(store);
    open(&folder, START, Tuning::default());
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("turnpike.db");
    rusqlite::Connection::open(&file).expect("opens").execute_batch("CREATE TABLE theirs (x)").expect("writes");
    let refused = SqliteStore::open(options(folder.path(), START, Tuning::default())).err().expect("not ours");
    assert!(matches!(refused, OpenError::NotOurs { .. }), "{refused}");
}

/// Small segments, so that a test of a few hundred messages has many.
fn small_segments() -> Tuning {
    Tuning { segment_entries: 40, ..Tuning::default() }
}

#[tokio::test]
async fn keys_and_wamids_are_found_in_segments_in_the_tail_and_after_a_crash() {
    let mut house = House::tuned(small_segments());
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let mut keys = Vec::new();
    for number in 0..600 {
        let key = admitted(&*house.store, with_key(text(owner, number), &format!("k{number}"))).await;
        settle(&*house.store, owner, key, OutcomeKind::Accepted).await;
        keys.push(key);
    }
    for crash in [false, true, true] {
        if crash {
            (house, _) = house.reopen_tuned(START.plus_ms(1_000), small_segments());
        }
        let segments: i64 = house.database().query_row("SELECT count(*) FROM idempotency_segments", [], |row| row.get(0)).expect("counts");
        assert!(segments >= 5, "{segments} segments");
        for (number, key) in keys.iter().enumerate() {
            let new = with_key(text(owner, number as u64), &format!("k{number}"));
            assert!(house.store.may_know(&hash(&format!("k{number}"), 0)));
            assert_eq!(admit(&*house.store, new).await, Admission::Replayed { key: *key }, "{number}");
            let found = house.store.messages_by_wamid(owner, hash("wamid", key.0.unsigned_abs())).await.expect("reads");
            assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [*key]);
        }
        let recalled = house.store.recall(owner, ApplicationId(1), hash("k7", 0), Some(hash("request", 7)), START).await.expect("reads");
        assert!(matches!(recalled, Recalled::Kept(_)));
        assert!(!house.store.may_know(&hash("never used", 0)));
    }
    house.assert_sound().await;
}

#[tokio::test]
async fn old_segments_go_and_unknown_keys_stay() {
    let mut house = House::tuned(small_segments());
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let unknown = admitted(&*house.store, with_key(text(owner, 1), "unknown")).await;
    settle(&*house.store, owner, unknown, OutcomeKind::Unknown).await;
    let mut number = 10;
    for day in 0..6 {
        for _ in 0..400 {
            let mut new = with_key(text(owner, number), &format!("k{number}"));
            new.at = START.plus_ms(day * DAY_MS);
            let key = admitted(&*house.store, new).await;
            let mut accepted = outcome(owner, key, OutcomeKind::Accepted);
            accepted.at = START.plus_ms(day * DAY_MS + 80);
            house.store.settle(vec![accepted]).await.expect("answers");
            number += 1;
        }
        if day == 3 {
            (house, _) = house.reopen_tuned(START.plus_ms(day * DAY_MS), small_segments());
        }
        assert_eq!(admit(&*house.store, with_key(text(owner, 1), "unknown")).await, Admission::Replayed { key: unknown }, "day {day}");
    }
    let oldest: i64 = house.database().query_row("SELECT min(newest_at) FROM idempotency_segments", [], |row| row.get(0)).expect("reads");
    assert!(oldest >= START.plus_ms(2 * DAY_MS).0, "segments of the first days are gone");
    let stray: i64 = house
        .database()
        .query_row("SELECT count(*) FROM idempotency_pages WHERE page / 256 < (SELECT min(segment) FROM idempotency_segments)", [], |row| {
            row.get(0)
        })
        .expect("reads");
    assert_eq!(stray, 0, "and so are their pages");
    assert!(!house.store.may_know(&hash("k10", 0)), "a key of the first day is not even suspected");
    house.assert_sound().await;
}

#[tokio::test]
async fn a_message_key_is_never_given_out_twice() {
    let mut house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let mut last = 0;
    for round in 0..5 {
        for number in 0..10 {
            let key = admitted(&*house.store, text(owner, round * 10 + number)).await;
            assert!(key.0 > last);
            last = key.0;
        }
        crate::house::top_up(&*house.store, owner, Mode::Live, Micros(1 + i64::try_from(round).expect("small"))).await;
        (house, _) = house.reopen(START);
    }
    house.assert_sound().await;
}

/// A copy of the files under a running store is what a power cut would leave: at every instant it
/// must open, keep every answered message and prove sound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_the_files_at_any_instant_keeps_what_was_answered() {
    // Without checkpoints the database file holds still, so that two copies make one instant.
    let tuning = Tuning { segment_entries: 64, checkpoint_ceiling_pages: u32::MAX >> 1, ..Tuning::default() };
    let house = House::tuned(tuning);
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let answered = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let load: Vec<_> = (0..8u64)
        .map(|task| {
            let (store, answered) = (Arc::clone(&house.store), Arc::clone(&answered));
            #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
            tokio::spawn(async move {
                for number in task * 1_000_000..task * 1_000_000 + 250 {
                    let key = admitted(&*store, with_key(text(owner, number), &format!("k{number}"))).await;
                    answered.lock().push((number, key, None));
                    let kinds = [OutcomeKind::Accepted, OutcomeKind::Refused, OutcomeKind::Unknown];
                    let kind = kinds[usize::try_from(number % 3).expect("small")];
                    settle(&*store, owner, key, kind).await;
                    answered.lock().push((number, key, Some(kind)));
                    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                }
            })
        })
        .collect();
    let mut rounds = 0;
    while load.iter().any(|task| !task.is_finished()) {
        tokio::time::sleep(std::time::Duration::from_millis(7 + rounds % 5)).await;
        let before = answered.lock().clone();
        let copy = tempfile::tempdir().expect("a folder");
        for file in ["turnpike.db", "turnpike.db-wal"] {
            std::fs::copy(house.folder.path().join(file), copy.path().join(file)).expect("copies");
        }
        let (store, _) = open(copy.path(), START.plus_ms(1_000), Tuning::default());
        let verification = store.verify().await.expect("verifies");
        assert!(verification.clean, "round {rounds}: {:#?}", verification.checks);
        for (number, key, kind) in before {
            let message = store.message(owner, key).await.expect("reads").unwrap_or_else(|| panic!("round {rounds}: {key} is lost"));
            assert_eq!(message.fingerprint, hash("request", number));
            let known = message.outcome.map(|(kind, _)| kind);
            assert!(kind.is_none() || known == kind, "round {rounds}: {key} was answered as {kind:?} and is {known:?}");
        }
        rounds += 1;
    }
    for task in load {
        task.await.expect("no panic");
    }
    assert!(rounds >= 3, "the load was over before it was looked at");
    house.assert_sound().await;
}

#[tokio::test]
async fn a_write_that_fails_ends_the_store_for_good_and_says_so_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let hook = Arc::clone(&said);
    let mut opened = options(folder.path(), START, Tuning::default());
    opened.fatal = Arc::new(move |reason| hook.lock().push(reason.to_owned()));
    let (store, _) = SqliteStore::open(opened).expect("opens");
    let house = House { folder, store: Arc::new(store) };
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let key = admitted(&*house.store, text(owner, 1)).await;

    house.database().execute_batch("DROP TABLE usage").expect("breaks the database under the store");
    let mut counted = text(owner, 2);
    counted.counts_in = Some(CountsIn::day(START.day()));
    assert!(house.store.admit(vec![counted]).await.is_err());
    for _ in 0..3 {
        let error = house.store.settle(vec![outcome(owner, key, OutcomeKind::Accepted)]).await.expect_err("it is dead");
        assert!(error.to_string().contains("usage"), "{error}");
        assert!(house.store.ready().await.is_err());
    }
    house.store.close().await.expect("waits for the writer's end");
    assert_eq!(said.lock().len(), 1, "the program is told to end, once");
    let messages: i64 = house.database().query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("counts");
    assert_eq!(messages, 1, "the failed batch left nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_writes_than_the_queue_holds_are_refused_at_once() {
    let house = House::tuned(Tuning { queue_max: 4, ..Tuning::default() });
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let database = house.database();
    database.execute_batch("BEGIN IMMEDIATE").expect("keeps the writer waiting");
    let sends: Vec<_> = (0..20)
        .map(|number| {
            let store = Arc::clone(&house.store);
            #[expect(clippy::disallowed_methods, reason = "a test's own tasks")]
            tokio::spawn(async move { store.admit(vec![text(owner, number)]).await })
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let refused = sends.iter().filter(|send| send.is_finished()).count();
    assert!((8..=16).contains(&refused), "{refused} refused while nothing could be written");
    database.execute_batch("COMMIT").expect("lets the writer go on");
    let mut new = 0;
    for send in sends {
        match send.await.expect("no panic") {
            Ok(_) => new += 1,
            Err(error) => assert!(error.to_string().contains("too many writes"), "{error}"),
        }
    }
    assert_eq!(new + refused, 20);
    house.assert_sound().await;
}

#[tokio::test]
async fn inline_the_same_calls_give_the_same_rows() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let house = House::tuned(Tuning { inline: true, ..Tuning::default() });
        let owner = organization(&*house.store, "acme", PLENTY).await;
        for number in 0..50 {
            let key = admitted(&*house.store, with_key(text(owner, number % 40), &format!("k{number}"))).await;
            settle(&*house.store, owner, key, if number % 5 == 0 { OutcomeKind::Unknown } else { OutcomeKind::Accepted }).await;
        }
        house.assert_sound().await;
        let database = house.database();
        let mut history = database.prepare("SELECT sequence, kind, amount, at FROM journal ORDER BY sequence").expect("reads");
        let rows: Vec<(i64, String, i64, i64)> = history
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .expect("reads")
            .collect::<Result<_, _>>()
            .expect("reads");
        histories.push(rows);
    }
    assert_eq!(histories[0].len(), 1 + 100 + 40);
    assert_eq!(histories[0], histories[1]);
}

#[tokio::test]
async fn a_start_with_another_master_key_is_refused_before_anything_is_written() {
    let house = House::new();
    let owner = organization(&*house.store, "acme", PLENTY).await;
    let key = admitted(&*house.store, text(owner, 1)).await;
    let House { folder, store } = house;
    drop(store);
    let mut other = options(folder.path(), START.plus_ms(60_000), Tuning::default());
    other.cipher = MessageCipher::new(&[10; 32]);
    let refused = SqliteStore::open(other).map(|_| ()).expect_err("ids made with the first key would not be found");
    assert!(matches!(refused, OpenError::OtherKey), "{refused}");
    assert!(refused.to_string().contains("master key"), "{refused}");
    // Nothing was settled by the wrong start: the right one finds what was in flight.
    let (store, recovery) = open(folder.path(), START.plus_ms(60_000), Tuning::default());
    assert_eq!(recovery.unknown, 1);
    assert!(store.message(owner, key).await.expect("reads").is_some());
}

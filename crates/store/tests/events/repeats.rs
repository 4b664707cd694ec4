//! Meta repeats for seven days, also past a restart, a crash and the index's way to disk.

use turnpike_domain::ids::MessageKey;
use turnpike_domain::time::DAY_MS;
use turnpike_domain::webhook::{EventKind, StatusKind};
use turnpike_store::events::Recorded;
use turnpike_store::sqlite::Tuning;

use crate::house::{House, START, hash};
use crate::story::{SOON, Shop, new, post, record};

fn small() -> Tuning {
    Tuning { segment_entries: 64, ..Tuning::default() }
}

#[tokio::test]
async fn a_repeat_changes_nothing_within_a_post_and_later() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.sent(store, 1).await;
    let events = || vec![shop.event(EventKind::Messages, 1), shop.event(EventKind::Messages, 1), shop.status(key, StatusKind::Delivered)];
    let first = record(store, events()).await;
    assert!(matches!(first[0], Recorded::New { .. }) && matches!(first[2], Recorded::New { .. }), "{first:?}");
    assert_eq!(first[1], Recorded::Duplicate);
    let counts = || {
        let database = house.database();
        let count =
            |table: &str| -> i64 { database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts") };
        ["events", "event_bodies_20261123", "raw_20261123", "message_statuses", "leg_movements"].map(count)
    };
    let before = counts();
    for _ in 0..3 {
        assert_eq!(record(store, events()).await, [Recorded::Duplicate, Recorded::Duplicate, Recorded::Duplicate]);
    }
    assert_eq!(counts(), before);
    house.assert_sound().await;
}

#[tokio::test]
async fn repeats_are_known_past_segments_restarts_and_crashes() {
    let mut house = House::tuned(small());
    let shop = Shop::open(&house, "acme").await;
    let mut number = 0;
    for round in 0..4_i64 {
        for _ in 0..40 {
            // Enough commits for every page of a full segment.
            for _ in 0..5 {
                number += 1;
                new(&*house.store, shop.event(EventKind::Messages, number)).await;
            }
        }
        let later = START.plus_ms((round + 1) * 60_000);
        if round % 2 == 0 {
            // Whatever a killed process leaves: a copy of the files as they are.
            let House { folder, store } = house;
            let copy = tempfile::tempdir().expect("a folder");
            for entry in std::fs::read_dir(folder.path()).expect("lists") {
                let entry = entry.expect("an entry");
                if entry.file_type().expect("a type").is_file() {
                    std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
                }
            }
            drop(store);
            let (store, _) = crate::house::open(copy.path(), later, small());
            house = House { folder: copy, store };
        } else {
            house = house.reopen_tuned(later, small()).0;
        }
        let events = (1..=number).map(|number| shop.event(EventKind::Messages, number)).collect();
        let again = record(&*house.store, events).await;
        assert!(again.iter().all(|one| *one == Recorded::Duplicate), "round {round}");
    }
    let segments: i64 = house.database().query_row("SELECT count(*) FROM event_segments", [], |row| row.get(0)).expect("counts");
    assert!(segments > 3, "{segments}");
    house.assert_sound().await;
}

#[tokio::test]
async fn a_status_of_nobody_that_is_found_later_brings_no_second_event() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(store, 1).await;
    let mut bare = shop.status(key, StatusKind::Delivered);
    bare.status.as_mut().expect("a status").token = None;
    assert_eq!(new(store, bare.clone()).await.expect("an effect").message, None, "its wamid is not known yet");
    crate::house::settle(store, shop.owner, key, turnpike_domain::ledger::OutcomeKind::Accepted).await;
    assert_eq!(record(store, vec![bare]).await, [Recorded::Duplicate]);
    assert_eq!(shop.message(store, key).await.statuses.len(), 1, "its timeline shows it all the same");
    house.assert_sound().await;
}

#[tokio::test]
async fn after_eight_days_an_identity_is_forgotten_and_its_pages_go() {
    let house = House::tuned(small());
    let shop = Shop::open(&house, "acme").await;
    for number in 0..400 {
        new(&*house.store, shop.event(EventKind::Messages, number)).await;
    }
    let (house, _) = house.reopen_tuned(SOON.plus_ms(9 * DAY_MS), small());
    let store = &*house.store;
    let mut late = post(vec![shop.event(EventKind::Messages, 3)]);
    late.received_at = SOON.plus_ms(9 * DAY_MS);
    assert!(matches!(store.record(late).await.expect("answers")[0], Recorded::New { .. }));
    for number in 0..200 {
        let mut next = post(vec![shop.event(EventKind::Messages, 1_000 + number)]);
        next.received_at = SOON.plus_ms(9 * DAY_MS);
        store.record(next).await.expect("answers");
    }
    let oldest: i64 = house.database().query_row("SELECT min(segment) FROM event_segments", [], |row| row.get(0)).expect("reads");
    assert!(oldest > 0, "{oldest}");
}

#[tokio::test]
async fn a_key_of_an_event_is_never_used_twice_also_after_everything_was_forgotten() {
    let house = House::new();
    let shop = Shop::open(&house, "acme").await;
    let first = record(&*house.store, (0..5).map(|number| shop.event(EventKind::Messages, number)).collect()).await;
    let tomorrow = SOON.plus_ms(DAY_MS).day();
    house.store.forget_events_before(tomorrow, tomorrow, tomorrow).await.expect("forgets");
    let (house, _) = house.reopen(START.plus_ms(60_000));
    let next = record(&*house.store, vec![shop.event(EventKind::Messages, 9)]).await;
    let key = |recorded: &Recorded| match recorded {
        Recorded::New { key, .. } => key.0,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(&next[0]), key(&first[4]) + 1);
    // What was dropped while Meta may still repeat it is known all the same, as long as the process lives.
    assert_eq!(record(&*house.store, vec![shop.event(EventKind::Messages, 9)]).await, [Recorded::Duplicate]);
    assert_ne!(hash("identity", 9), hash("identity", 8));
    assert!(MessageKey(key(&next[0])).0 > 5);
}

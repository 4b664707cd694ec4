//! What is written beside the event itself: deliveries, the user's window, notices, quarantine; and
//! how events are found again.

use turnpike_domain::ids::OrganizationId;
use turnpike_domain::ledger::OutcomeKind;
use turnpike_domain::time::UnixMs;
use turnpike_domain::webhook::{EventKind, StatusKind};
use turnpike_store::endpoints::EndpointId;
use turnpike_store::events::{EventKey, Intake, NoticeKind, Quarantine, QuarantineReason, Recorded};
use turnpike_store::messages::MessageFilter;
use turnpike_store::users::UserNote;
use uuid::Uuid;

use crate::house::{House, hash, settle};
use crate::story::{SOON, Shop, new, record};

#[tokio::test]
async fn an_event_makes_a_delivery_for_each_endpoint_of_its_application() {
    let house = House::new();
    let store = &*house.store;
    let (shop, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    let (first, second, foreign) = (shop.endpoint(&house, 0), shop.endpoint(&house, 5), other.endpoint(&house, 0));
    let mut event = shop.event(EventKind::Messages, 1);
    event.endpoints = vec![first, second, foreign, EndpointId(999), second];
    let recorded = record(store, vec![event]).await;
    let Recorded::New { key, id, .. } = recorded[0] else { panic!("{recorded:?}") };
    let database = house.database();
    let mut statement =
        database.prepare("SELECT key, endpoint, state, lane, next_at, attempts, tries FROM deliveries ORDER BY key").expect("sql");
    let rows: Vec<[i64; 7]> = statement
        .query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?]))
        .and_then(Iterator::collect)
        .expect("rows");
    assert_eq!(rows, [[key.0 * 16, first.0, 0, 0, SOON.0, 0, 0], [key.0 * 16 + 5, second.0, 0, 0, SOON.0, 0, 0]]);
    let stored = store.event(shop.owner, id).await.expect("reads").expect("is there");
    assert_eq!((stored.key, stored.id, stored.kind, stored.at), (key, id, EventKind::Messages, SOON));
    assert_eq!(stored.body.as_deref(), Some(&b"sealed body 1"[..]));
    assert_eq!(store.event_key(id), Some(key));
    assert_eq!(store.event(shop.owner, Uuid::from_u128(7)).await.expect("reads"), None);
    house.assert_sound().await;
}

#[tokio::test]
async fn an_application_that_is_gone_gets_nothing() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let mut event = shop.event(EventKind::Messages, 1);
    event.organization = OrganizationId(99);
    assert_eq!(record(store, vec![event]).await, [Recorded::NotFound]);
    assert_eq!(store.events_after(shop.owner, shop.application, None, 10).await.expect("reads").1, EventKey(0));
}

#[tokio::test]
async fn an_inbound_message_opens_the_window_of_every_name_of_its_user() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let (user, alias) = (hash("user", 1), hash("bsuid", 1));
    let mut wrote = shop.event(EventKind::Messages, 1);
    (wrote.user, wrote.aliases, wrote.note) = (Some(user), vec![alias], Some(UserNote::Wrote(SOON)));
    let mut older = shop.event(EventKind::Messages, 2);
    (older.user, older.note) = (Some(user), Some(UserNote::Wrote(SOON.plus_ms(-9_000))));
    let mut stopped = shop.event(EventKind::UserPreferences, 3);
    (stopped.user, stopped.note) = (Some(user), Some(UserNote::OptedOut(SOON.plus_ms(5))));
    record(store, vec![wrote, older, stopped]).await;
    let standing = store.user(shop.owner, shop.application, user).await.expect("reads");
    assert_eq!((standing.last_wrote_at, standing.opted_out_at), (Some(SOON), Some(SOON.plus_ms(5))));
    assert_eq!(store.user(shop.owner, shop.application, alias).await.expect("reads").last_wrote_at, Some(SOON));
    let mut again = shop.event(EventKind::UserPreferences, 4);
    (again.user, again.note) = (Some(user), Some(UserNote::OptedIn(SOON.plus_ms(9))));
    new(store, again).await;
    assert_eq!(store.user(shop.owner, shop.application, user).await.expect("reads").opted_out_at, None);
}

#[tokio::test]
async fn a_notice_goes_with_the_events_that_tell_of_it_and_names_their_message() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let key = shop.send(store, 1).await;
    settle(store, shop.owner, key, OutcomeKind::Unknown).await;
    new(store, shop.status(key, StatusKind::Sent)).await;
    let notice = store.notices(10).await.expect("reads").remove(0);
    assert_eq!((notice.organization, notice.what), (shop.owner, NoticeKind::MessageResolved(key)));
    let mut told: Vec<_> = (1..3).map(|number| shop.event(EventKind::Gateway, 100 + number)).collect();
    told.iter_mut().for_each(|event| event.notice = Some(notice.id));
    let recorded = record(store, told).await;
    let id = shop.message(store, key).await.id;
    for one in recorded {
        let Recorded::New { id: event, .. } = one else { panic!("{one:?}") };
        assert_eq!(store.event(shop.owner, event).await.expect("reads").expect("is there").message, Some(id));
    }
    assert!(store.notices(10).await.expect("reads").is_empty());
}

#[tokio::test]
async fn what_belongs_to_nobody_is_kept_once_and_marked_when_it_was_replayed() {
    let house = House::new();
    let store = &*house.store;
    let part = |number: u64| Quarantine {
        reason: QuarantineReason::UnknownNumber,
        meta_app_id: Some("4711".to_owned()),
        waba_id: None,
        phone_number_id: Some("106".to_owned()),
        field: Some("messages".to_owned()),
        identity: hash("quarantine", number),
        body: format!("sealed payload {number}").into_bytes(),
    };
    for _ in 0..2 {
        let intake = Intake { received_at: SOON, raw: Some(b"post".to_vec()), events: Vec::new(), quarantine: vec![part(1), part(2)] };
        assert_eq!(store.record(intake).await.expect("answers"), []);
    }
    let kept = store.quarantined(None, 10).await.expect("reads");
    assert_eq!(kept.iter().map(|kept| kept.body.clone()).collect::<Vec<_>>(), [b"sealed payload 2", b"sealed payload 1"]);
    let (newest, oldest) = (kept[0].id, kept[1].id);
    assert!(store.quarantine_replayed(oldest, SOON.plus_ms(1)).await.expect("answers"));
    assert!(!store.quarantine_replayed(999, SOON).await.expect("answers"));
    let page = store.quarantined(Some(newest), 10).await.expect("reads");
    assert_eq!(
        page.iter().map(|kept| (kept.id, kept.replayed_at, kept.reason)).collect::<Vec<_>>(),
        [(oldest, Some(SOON.plus_ms(1)), QuarantineReason::UnknownNumber)]
    );
    let posts: i64 = house.database().query_row("SELECT count(*) FROM raw_20261123", [], |row| row.get(0)).expect("counts");
    assert_eq!(posts, 1, "the repeat was not kept");
}

#[tokio::test]
async fn an_applications_events_are_followed_without_gap_or_repeat_among_others() {
    let house = House::new();
    let store = &*house.store;
    let (shop, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    for number in 0..30 {
        let whose = if number % 3 == 0 { shop } else { other };
        new(store, whose.event(EventKind::Messages, number)).await;
    }
    let (none, newest) = store.events_after(shop.owner, shop.application, None, 10).await.expect("reads");
    assert!(none.is_empty());
    let (mut seen, mut after) = (Vec::new(), EventKey(0));
    loop {
        let (page, next) = store.events_after(shop.owner, shop.application, Some(after), 4).await.expect("reads");
        if page.is_empty() && next == after {
            break;
        }
        seen.extend(page.into_iter().map(|event| event.body.expect("kept")));
        after = next;
    }
    let expected: Vec<_> = (0..30).step_by(3).map(|number| format!("sealed body {number}").into_bytes()).collect();
    assert_eq!(seen, expected);
    assert_eq!(after, newest);
    new(store, shop.event(EventKind::Messages, 77)).await;
    assert_eq!(store.events_after(shop.owner, shop.application, Some(after), 4).await.expect("reads").0.len(), 1);
}

#[tokio::test]
async fn contents_and_states_are_found_by_message() {
    let house = House::new();
    let store = &*house.store;
    let shop = Shop::open(&house, "acme").await;
    let mut keys = Vec::new();
    for (number, statuses) in
        [&[][..], &[StatusKind::Sent], &[StatusKind::Sent, StatusKind::Delivered], &[StatusKind::Read], &[StatusKind::Failed]]
            .iter()
            .enumerate()
    {
        let key = shop.sent(store, number as u64).await;
        for status in *statuses {
            new(store, shop.status(key, *status)).await;
        }
        keys.push(key);
    }
    for (filter, place) in [(MessageFilter::Sent, 1), (MessageFilter::Delivered, 2), (MessageFilter::Read, 3), (MessageFilter::Failed, 4)] {
        let found = store.list_messages(shop.owner, None, filter, None, 10).await.expect("lists");
        assert_eq!(found.iter().map(|message| message.key).collect::<Vec<_>>(), [keys[place]], "{filter:?}");
    }
    let delivered = store.messages_by_wamid(shop.owner, hash("wamid", keys[2].0.unsigned_abs())).await.expect("reads").remove(0);
    assert_eq!(delivered.statuses.iter().map(|status| status.status).collect::<Vec<_>>(), [StatusKind::Sent, StatusKind::Delivered]);
    assert_eq!(delivered.statuses[0].received_at, SOON);
    let contents = store.contents(vec![keys[1], turnpike_domain::ids::MessageKey(999), keys[0]]).await.expect("reads");
    assert_eq!(contents, [Some((shop.owner, b"sealed content 1".to_vec())), None, Some((shop.owner, b"sealed content 0".to_vec()))]);
    let (price, at) = store.pinned(shop.owner, keys[0]).await.expect("reads").expect("is there");
    assert_eq!((price, at), (crate::house::text(shop.owner, 0).price, UnixMs(crate::house::START.0)));
}

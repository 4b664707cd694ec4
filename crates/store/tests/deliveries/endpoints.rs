//! Endpoints: made, changed, switched, deleted, and always within their organization.

use turnpike_domain::time::UnixMs;
use turnpike_store::deliveries::{Finish, Lane};
use turnpike_store::endpoints::{ENDPOINTS_MAX, EndpointChange};
use turnpike_store::events::NoticeKind;
use turnpike_store::organizations::Created;

use crate::house::{House, START};
use crate::setting::*;
use crate::story::{SOON, Shop};

#[tokio::test]
async fn an_endpoint_is_kept_as_it_was_made_also_after_a_restart() {
    let house = House::new();
    let shop = Shop::open(&house, "acme").await;
    let made = endpoint(&*house.store, shop, "default").await;
    assert_eq!((made.slot, made.is_active, made.failures, made.failing_since), (0, true, 0, None));
    let (house, _) = house.reopen(SOON);
    assert_eq!(house.store.endpoints().await.expect("lists"), [made]);
}

#[tokio::test]
async fn a_name_is_taken_once_per_application_and_there_are_sixteen_at_most() {
    let house = House::new();
    let (acme, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    let store = &*house.store;
    endpoint(store, acme, "default").await;
    let again = store.create_endpoint(new_endpoint(acme, "default")).await.expect("answers");
    assert!(matches!(again, Created::Taken("name")), "{again:?}");
    endpoint(store, other, "default").await;
    for number in 1..ENDPOINTS_MAX {
        assert_eq!(endpoint(store, acme, &format!("hook-{number}")).await.slot, number);
    }
    let beyond = store.create_endpoint(new_endpoint(acme, "one more")).await.expect("answers");
    assert!(matches!(beyond, Created::Taken("endpoints")), "{beyond:?}");
}

#[tokio::test]
async fn another_organization_neither_changes_nor_deletes_an_endpoint_nor_makes_one_in_its_application() {
    let house = House::new();
    let (acme, other) = (Shop::open(&house, "acme").await, Shop::open(&house, "other").await);
    let store = &*house.store;
    let made = endpoint(store, acme, "default").await;
    let change = EndpointChange { url: Some("https://evil.example/".to_owned()), ..EndpointChange::default() };
    assert_eq!(store.update_endpoint(other.owner, made.key, change, SOON).await.expect("answers"), None);
    assert!(!store.delete_endpoint(other.owner, made.key).await.expect("answers"));
    let mut theirs = new_endpoint(acme, "theirs");
    theirs.organization = other.owner;
    store.create_endpoint(theirs).await.expect_err("the application is not theirs");
    assert_eq!(store.endpoints().await.expect("lists"), [made]);
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name_and_a_new_secret_keeps_the_old_one_for_a_while() {
    let house = House::new();
    let shop = Shop::open(&house, "acme").await;
    let store = &*house.store;
    let made = endpoint(store, shop, "default").await;
    let until = SOON.plus_ms(86_400_000);
    let change = EndpointChange {
        secret: Some((b"new".to_vec(), until)),
        ordered: Some(true),
        headers_sealed: Some(None),
        ..EndpointChange::default()
    };
    let after = store.update_endpoint(shop.owner, made.key, change, SOON).await.expect("answers").expect("is there");
    assert_eq!((&*after.secret_sealed, after.old_secret_sealed.clone()), (&b"new"[..], Some((b"sealed secret".to_vec(), until))));
    assert_eq!((after.ordered, after.headers_sealed.clone(), after.updated_at), (true, None, SOON));
    assert_eq!((&after.url, after.events, &after.bearer_sealed), (&made.url, made.events, &made.bearer_sealed));
    assert_eq!(store.endpoints().await.expect("lists"), [after]);
}

#[tokio::test]
async fn a_disabled_endpoint_leaves_one_notice_keeps_what_comes_and_forgets_its_failures_when_it_is_enabled() {
    let mut house = House::new();
    let (shop, hook) = shop(&house, "acme").await;
    let failing =
        EndpointChange { failing: Some(Some((START, 30))), disabled: Some("every attempt failed".to_owned()), ..EndpointChange::default() };
    for _ in 0..2 {
        let after = house.store.update_endpoint(shop.owner, hook, failing.clone(), SOON).await.expect("answers").expect("is there");
        assert_eq!((after.is_active, after.failing_since, after.failures), (false, Some(START), 30));
    }
    (house, _) = house.reopen(SOON);
    let notices = house.store.notices(10).await.expect("lists");
    assert_eq!(notices.len(), 1, "told once: {notices:?}");
    assert_eq!(notices[0].what, NoticeKind::EndpointDisabled(hook, "every attempt failed".to_owned()));
    some(&*house.store, shop, 1..4, hook).await;
    assert_eq!(house.store.backlogs(None).await.expect("counts")[0].first, 3);
    let enabled = EndpointChange { is_active: Some(true), ..EndpointChange::default() };
    let after = house.store.update_endpoint(shop.owner, hook, enabled, SOON).await.expect("answers").expect("is there");
    assert_eq!((after.is_active, after.disabled_reason, after.failing_since, after.failures), (true, None, None, 0));
}

#[tokio::test]
async fn a_deleted_endpoint_leaves_nothing_waiting_and_neither_its_key_nor_its_past_goes_to_the_next() {
    let mut house = House::new();
    let (acme, hook) = shop(&house, "acme").await;
    let (other, theirs) = shop(&house, "other").await;
    some(&*house.store, other, 0..5, theirs).await;
    // More than one slice.
    for batch in 0..5 {
        some(&*house.store, acme, batch * 1_000..(batch + 1) * 1_000, hook).await;
    }
    let first = &claim(&*house.store, hook, Lane::First, SOON).await[0];
    finish(&*house.store, first, Finish::Delivered).await;
    assert!(house.store.delete_endpoint(acme.owner, hook).await.expect("deletes"));
    (house, _) = house.reopen(SOON);
    let store = &*house.store;
    let backlogs = store.backlogs(None).await.expect("counts");
    assert_eq!(backlogs.iter().map(|backlog| (backlog.endpoint, backlog.first)).collect::<Vec<_>>(), [(theirs, 5)]);
    let next = endpoint(store, acme, "default").await;
    assert!(next.key > hook && next.slot == 0, "{next:?}");
    assert!(claim(store, next.key, Lane::First, SOON).await.is_empty());
    assert_eq!(store.delivery(acme.owner, first.event_id, next.key).await.expect("reads"), None, "the old one's delivery is not its own");
    assert_eq!(some(store, acme, 9_000..9_001, hook).await.len(), 1, "an event for one that is gone is an event");
    assert!(store.next_due().await.expect("looks").iter().all(|due| due.endpoint == theirs));
    assert_eq!(UnixMs(START.0), next.created_at);
}

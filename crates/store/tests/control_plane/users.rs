//! Users: the newest window stands, an opt-out holds until it is taken back, and neither is seen by
//! another organization.

use turnpike_domain::time::UnixMs;
use turnpike_store::users::{UserNote, UserStanding};

use crate::story::{NOW, Opened, application, organization};

const USER: [u8; 16] = [7; 16];

#[tokio::test]
async fn the_newest_time_that_a_user_wrote_stands() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    assert_eq!(opened.store.user(acme.key, shop.key, USER).await.expect("answered"), UserStanding::default());
    for at in [NOW, UnixMs(NOW.0 - 5_000), UnixMs(NOW.0 + 5_000)] {
        opened.store.note_user(acme.key, shop.key, USER, UserNote::Wrote(at)).await.expect("noted");
    }
    let opened = opened.again().await;
    let known = opened.store.user(acme.key, shop.key, USER).await.expect("answered");
    assert_eq!(known, UserStanding { last_wrote_at: Some(UnixMs(NOW.0 + 5_000)), opted_out_at: None });
}

#[tokio::test]
async fn an_opt_out_holds_until_it_is_taken_back() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let noted = opened.store.note_user(acme.key, shop.key, USER, UserNote::OptedOut(NOW)).await.expect("noted");
    assert_eq!(noted, Some(UserStanding { last_wrote_at: None, opted_out_at: Some(NOW) }));
    // A second opt-out does not move the first.
    let noted = opened.store.note_user(acme.key, shop.key, USER, UserNote::OptedOut(UnixMs(NOW.0 + 1))).await.expect("noted");
    assert_eq!(noted.and_then(|known| known.opted_out_at), Some(NOW));
    let noted = opened.store.note_user(acme.key, shop.key, USER, UserNote::OptedIn(UnixMs(NOW.0 + 2))).await.expect("noted");
    assert_eq!(noted, Some(UserStanding::default()));
}

#[tokio::test]
async fn an_older_wish_that_is_heard_of_later_changes_nothing() {
    let opened = Opened::new();
    let acme = organization(&*opened.store, "acme").await;
    let shop = application(&*opened.store, &acme, "shop").await;
    let (yesterday, today, tomorrow) = (UnixMs(NOW.0 - 1_000), NOW, UnixMs(NOW.0 + 1_000));
    for (note, opted_out_at) in [
        (UserNote::OptedOut(today), Some(today)),
        (UserNote::OptedIn(yesterday), Some(today)),
        (UserNote::OptedIn(tomorrow), None),
        (UserNote::OptedOut(today), None),
    ] {
        let noted = opened.store.note_user(acme.key, shop.key, USER, note).await.expect("noted");
        assert_eq!(noted, Some(UserStanding { last_wrote_at: None, opted_out_at }), "{note:?}");
    }
}

#[tokio::test]
async fn another_organization_neither_sees_nor_notes_a_user() {
    let opened = Opened::new();
    let (acme, other) = (organization(&*opened.store, "acme").await, organization(&*opened.store, "other").await);
    let shop = application(&*opened.store, &acme, "shop").await;
    opened.store.note_user(acme.key, shop.key, USER, UserNote::OptedOut(NOW)).await.expect("noted");
    assert_eq!(opened.store.user(other.key, shop.key, USER).await.expect("answered"), UserStanding::default());
    assert_eq!(opened.store.note_user(other.key, shop.key, USER, UserNote::OptedIn(UnixMs(NOW.0 + 2))).await.expect("answered"), None);
    let known = opened.store.user(acme.key, shop.key, USER).await.expect("answered");
    assert_eq!(known.opted_out_at, Some(NOW));
}

//! Who may see and do what: other organizations, other applications, ended keys.

use turnpike_domain::refusal::{LimitKind, NotAllowed, Refusal};
use turnpike_domain::send::Mode;

use crate::house::*;

#[test]
fn anothers_message_is_not_found_exactly_as_one_that_never_was() {
    let house = House::new();
    house.run(async {
        let mine = sent(house.send(text("hello").keyed("k")).await);
        let acme = house.engine().organization(Some("acme")).expect("it is there");
        house.application(&acme, "acme-second", "1002", "2001").await;
        let other = house.organization("other").await;
        house.application(&other, "other-main", "1003", "2003").await;
        for app in ["acme-second", "other-main"] {
            let key = house.make_key(app, Mode::Live, Default::default()).await;
            let stranger = house.caller_of(key.text.expose());
            let engine = house.engine();
            let never_was = engine.look_up(&stranger, "019a0000-0000-7000-8000-000000000000").await.expect_err("never was");
            for named in [mine.message.0.to_string(), wamid(&mine)] {
                assert_eq!(engine.look_up(&stranger, &named).await.expect_err("another's"), never_was, "{app} {named}");
            }
            assert_eq!(engine.look_up_by_key(&stranger, "k").await.expect_err("another's"), never_was);
            for odd in ["", "wamid.", "019a", "../../etc/passwd", "\u{0}", &"x".repeat(10_000)] {
                assert_eq!(engine.look_up(&stranger, odd).await.expect_err("no such message"), never_was, "{odd:?}");
            }
            // The same key and request of theirs is their own message.
            house.top_up(&other, Mode::Live, COST).await;
            let theirs = sent(house.send_by(key.text.expose(), text("hello").keyed("k")).await);
            assert!(!theirs.replayed);
            assert_ne!(theirs.message, mine.message);
        }
    });
    house.finish();
}

#[test]
fn a_wallet_pays_for_its_own_organization_only() {
    let house = House::new();
    house.run(async {
        let other = house.organization("other").await;
        house.application(&other, "other-main", "1003", "2003").await;
        let key = house.make_key("other-main", Mode::Live, Default::default()).await;
        let refusal = refused(house.send_by(key.text.expose(), text("hello")).await);
        assert!(matches!(refusal, Refusal::InsufficientBalance { .. }), "{refusal:?}");
        assert_eq!(house.balance().await.available(), TEN);
    });
    house.finish();
}

#[test]
fn a_revoked_key_is_unknown_at_once_and_a_rotated_one_lives_through_its_overlap() {
    let house = House::new();
    house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        let old = house.make_key("acme-main", Mode::Live, Default::default()).await;
        let new = house.engine().rotate_key(&house.app("acme-main"), &organization, old.row.id, 24).await.expect("it rotates");
        let first = sent(house.send_by(old.text.expose(), text("hello").keyed("k")).await);
        let again = sent(house.send_by(new.text.expose(), text("hello").keyed("k")).await);
        assert_eq!((again.message, again.replayed), (first.message, true), "a retry may change keys");
        house.clock.advance(24 * 3_600_000);
        assert_eq!(house.engine().authenticate(old.text.expose(), None).err(), Some(Refusal::UnknownKey), "the overlap is over");
        house.engine().revoke_key(&organization, new.row.id).await.expect("it ends");
        assert_eq!(house.engine().authenticate(new.text.expose(), None).err(), Some(Refusal::UnknownKey));
    });
    house.finish();
}

#[test]
fn a_key_revoked_while_its_send_is_under_way_lets_the_send_end() {
    let house = House::new();
    house.run(async {
        let organization = house.engine().organization(Some("acme")).expect("it is there");
        let key = house.make_key("acme-main", Mode::Live, Default::default()).await;
        let (end, gate) = crate::meta::End::Accept.held();
        house.meta.next(end);
        let revoke = async {
            house.until("Meta has the message", || async { !house.meta.posted().is_empty() }).await;
            house.engine().revoke_key(&organization, key.row.id).await.expect("it ends");
            gate.add_permits(1);
        };
        let (reply, ()) = tokio::join!(house.send_by(key.text.expose(), text("hello")), revoke);
        sent(reply);
    });
    house.finish();
}

#[test]
fn scopes_addresses_and_markets_refuse_by_name() {
    let house = House::new();
    let reader = house.another_key(Mode::Live, |policy| policy.scopes = vec!["read".to_owned()]);
    let sender = house.another_key(Mode::Live, |policy| policy.scopes = vec!["send".to_owned()]);
    let at_home = house.another_key(Mode::Live, |policy| policy.allowed_ips = Some(vec!["192.0.2.0/24".to_owned()]));
    let turkish = house.another_key(Mode::Live, |policy| policy.allowed_markets = Some(vec!["turkey".to_owned()]));
    house.run(async {
        let no = |reason| Some(Refusal::NotAllowed(reason));
        assert_eq!(Some(refused(house.send_by(&reader, text("hello")).await)), no(NotAllowed::Scope));
        let caller = house.caller_of(&sender);
        assert_eq!(house.engine().look_up(&caller, "wamid.X").await.err(), no(NotAllowed::Scope));
        assert!(house.engine().me(&caller).await.expect("its own standing").balance.is_none(), "no scope billing:read, no balance");
        assert!(house.engine().me(&house.caller()).await.expect("its own standing").balance.is_some());
        let address = |text: &str| Some(text.parse().expect("an address"));
        assert!(house.engine().authenticate(&at_home, address("192.0.2.7")).is_ok());
        assert_eq!(house.engine().authenticate(&at_home, address("198.51.100.7")).err(), no(NotAllowed::Address));
        sent(house.send_by(&turkish, text("hello")).await);
        assert_eq!(Some(refused(house.send_by(&turkish, text_to("4915112345678", "hello")).await)), no(NotAllowed::Market));
    });
    house.finish();
}

#[test]
fn wrong_keys_are_limited_per_address_and_right_ones_are_not() {
    let house = House::new();
    house.run(async {
        let address = Some("203.0.113.9".parse().expect("an address"));
        let limited = (0..40)
            .map(|_| house.engine().authenticate("pk_nonsense", address).expect_err("no key"))
            .filter(|refusal| matches!(refusal, Refusal::Limited { limit: LimitKind::Address, .. }))
            .count();
        assert!(limited >= 15, "{limited}");
        assert!(house.engine().authenticate(&house.key, address).is_ok());
    });
    house.finish();
}

#[test]
fn nothing_that_people_read_of_a_refusal_shows_whom_it_was_for() {
    let house = House::new();
    house.run(async {
        house.meta.next(crate::meta::End::Lost);
        let reply = house.send(text_to("905559998877", "a secret word")).await;
        let shown = format!("{reply:?}");
        assert!(!shown.contains("905559998877") && !shown.contains("secret word"), "{shown}");
        assert!(!format!("{:?}", house.caller()).contains("EAAtoken"));
    });
    house.finish();
}

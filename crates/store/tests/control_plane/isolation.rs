//! Another organization's message or money is not found, whatever is asked for it.
//! (Applications and keys: `records::another_organizations_object_is_not_found`.)

use turnpike_domain::ledger::{Leg, Movement, OutcomeKind, Resolution};
use turnpike_domain::money::Micros;
use turnpike_domain::send::Mode;
use turnpike_store::ledger::{LegMoved, MoveLeg, StatementQuery};
use turnpike_store::messages::{Evidence, MessageFilter, Recalled, Resolve, Settled};

use crate::story::{NOW, Opened, admitted, fund, hash16, organization, outcome, send};

#[tokio::test]
async fn another_organizations_message_is_not_found() {
    let opened = Opened::new();
    let store = &*opened.store;
    let (acme, thief) = (organization(store, "acme").await.key, organization(store, "thief").await.key);
    fund(store, acme).await;
    fund(store, thief).await;
    let sends = vec![send(acme, "accepted"), send(acme, "unknown"), send(acme, "in flight")];
    let application = sends[0].application;
    let messages = admitted(store, sends).await;
    let (accepted, unknown, in_flight) = (messages[0].0, messages[1].0, messages[2].0);
    let outcomes = vec![outcome(acme, accepted, OutcomeKind::Accepted), outcome(acme, unknown, OutcomeKind::Unknown)];
    assert_eq!(store.settle(outcomes).await.expect("settled"), [Settled::Done, Settled::Done]);
    let everything = async || {
        let mut records = Vec::new();
        for (key, _) in &messages {
            records.push(store.message(acme, *key).await.expect("answered").expect("acme's own"));
        }
        let wallets = (store.wallets(acme).await.expect("listed"), store.wallets(thief).await.expect("listed"));
        (records, wallets, store.statement(StatementQuery::newest(acme, Mode::Live, 100)).await.expect("listed"))
    };
    let before = everything().await;

    for (key, id) in &messages {
        assert_eq!(store.message(thief, *key).await.expect("answered"), None);
        assert_eq!(store.message_by_id(thief, *id).await.expect("answered"), None);
        assert!(store.message_by_id(acme, *id).await.expect("answered").is_some());
    }
    let wamid = hash16(&accepted.to_string());
    assert_eq!(store.messages_by_wamid(thief, wamid).await.expect("answered"), []);
    assert_eq!(store.messages_by_wamid(acme, wamid).await.expect("answered").len(), 1);
    for asked in [None, Some(application)] {
        for filter in [MessageFilter::Any, MessageFilter::InFlight, MessageFilter::Unknown, MessageFilter::Accepted] {
            assert_eq!(store.list_messages(thief, asked, filter, None, 100).await.expect("answered"), []);
        }
    }
    for name in ["accepted", "unknown", "in flight"] {
        let recalled = store.recall(thief, application, hash16(name), None, NOW).await.expect("answered");
        assert_eq!(recalled, Recalled::Nothing, "{name}");
    }

    let settled = store.settle(vec![outcome(thief, in_flight, OutcomeKind::Refused)]).await.expect("answered");
    assert_eq!(settled, [Settled::NotFound]);
    let resolve = Resolve {
        organization: thief,
        message: unknown,
        at: NOW,
        resolution: Resolution::PresumedNotSent,
        evidence: Evidence::Operator,
        reason: "mine now".to_owned(),
        wamid: None,
        answer: Vec::new(),
    };
    assert_eq!(store.resolve(vec![resolve]).await.expect("answered"), [Settled::NotFound]);
    for movement in [Movement::Capture, Movement::Release, Movement::LateCapture, Movement::Refund] {
        let asked = MoveLeg {
            organization: thief,
            message: accepted,
            leg: Leg::Base,
            movement,
            amount: Micros(1_000),
            reason: "mine now".to_owned(),
            at: NOW,
        };
        assert_eq!(store.move_legs(vec![asked]).await.expect("answered"), [LegMoved::NotFound]);
    }
    let theirs = store.statement(StatementQuery::newest(thief, Mode::Live, 100)).await.expect("listed").lines;
    assert_eq!(theirs.iter().map(|line| line.kind.as_str()).collect::<Vec<_>>(), ["top_up"]);
    assert!(everything().await == before, "nothing of acme's changed");
    assert!(store.verify().await.expect("verified").clean);
}

//! One user's data, gone wherever it was.

use serde_json::json;

use std::collections::BTreeSet;

use turnpike_domain::ledger::LegState;
use turnpike_engine::intake::{Erased, TakenIn};
use turnpike_store::events::KeptWebhook;
use turnpike_store::faults::{Fault, Method};

use crate::house::*;
use crate::posts::*;

/// A message of a user with these names, to a number.
fn from(number: &str, waba: &str, names: [(&str, &str); 2], wamid: &str) -> serde_json::Value {
    let mut contact = json!({});
    let mut message = json!({"id": wamid, "timestamp": NOON_S.to_string(), "type": "text", "text": {"body": "my secret"}});
    for (member, name) in names.into_iter().filter(|(_, name)| !name.is_empty()) {
        contact[if member == "from" { "wa_id" } else { "user_id" }] = json!(name);
        message[member] = json!(name);
    }
    message_of(number, waba, json!([contact]), message)
}

/// Everything sealed that the store keeps as it came.
async fn kept(house: &House) -> Vec<(KeptWebhook, Vec<u8>)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = house.engine().store().kept_webhooks(after, 2).await.expect("the store answers");
        let Some((last, _)) = page.last() else { return all };
        after = Some(*last);
        all.extend(page);
    }
}

/// Whether any file of the store holds these bytes.
fn in_any_file(house: &House, needle: &[u8]) -> bool {
    std::fs::read_dir(house.folder.path()).expect("lists").any(|entry| {
        let path = entry.expect("an entry").path();
        path.is_file() && std::fs::read(path).expect("reads").windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn one_call_by_any_name_erases_a_user_of_many_in_every_place() {
    for given in [TO, "TR.1349", "TR.ENT.77", "905559998877"] {
        let house = house();
        house.run(async {
            let app = house.app("acme-main");
            let acme = house.engine().organization(Some("acme")).expect("the first");
            let other = house.organization("other").await;
            house.application(&other, "other-main", "1002", "2002").await;
            // Number and id in one event, id and parent in another; then the number changes.
            post(&house, &from(NUMBER, WABA, [("from", TO), ("from_user_id", "TR.1349")], "wamid.1")).await;
            let parent = json!({"from_user_id": "TR.1349", "from_parent_user_id": "TR.ENT.77", "id": "wamid.2",
                "timestamp": NOON_S.to_string(), "type": "text", "text": {"body": "my secret"}});
            post(&house, &message_of(NUMBER, WABA, json!([]), parent)).await;
            let changed = json!({"from": TO, "id": "wamid.3", "timestamp": NOON_S.to_string(), "type": "system",
                "system": {"type": "user_changed_number", "body": "changed", "wa_id": "905559998877"}});
            post(&house, &message_of(NUMBER, WABA, json!([]), changed)).await;
            // Meta writes some numbers otherwise than we: the status names one that we never sent to.
            let id = wamid(&sent(house.send(text("hello")).await));
            let token = house.meta.posted().last().and_then(|post| post.token().map(str::to_owned)).expect("Meta was asked");
            let mut delivered = priced(status(&id, "delivered", Some(&token)), "regular", "service");
            delivered["recipient_id"] = json!("9055511122");
            post(&house, &statuses(vec![delivered])).await;
            // Quarantine: of the user, by number and by id alone; of somebody else; unreadable, with and without the number.
            post(&house, &from("1009", "2009", [("from", TO), ("from_user_id", "")], "wamid.q1")).await;
            post(&house, &from("1009", "2009", [("from", ""), ("from_user_id", "TR.1349")], "wamid.q2")).await;
            post(&house, &from("1009", "2009", [("from", "905550000001"), ("from_user_id", "")], "wamid.q3")).await;
            for garbage in [format!("{{{given} was here"), "{nobody was here".to_owned()] {
                assert_eq!(post_bytes(&house, SECRET, garbage.into()).await, TakenIn::Durable);
            }
            // Another organization's chat with the same number.
            post(&house, &from("1002", "2002", [("from", TO), ("from_user_id", "")], "wamid.o")).await;

            let before = kept(&house).await;
            // Raw: four events' and five that are in quarantine too, and the other organization's.
            assert_eq!(before.iter().filter(|(place, _)| matches!(place, KeptWebhook::Raw(..))).count(), 10);
            assert!(before.iter().all(|(_, sealed)| in_any_file(&house, sealed)));
            let erased = house.engine().erase_user(&acme, given).await.expect("erased");
            assert_eq!((erased.names, erased.unreadable), (5, 1), "{given}: {erased:?}");
            // Three in quarantine, and the raw POSTs that brought them.
            assert_eq!(erased.webhooks, 6, "{given}: {erased:?}");

            let after: BTreeSet<KeptWebhook> = kept(&house).await.into_iter().map(|(place, _)| place).collect();
            assert_eq!(after.len(), 2 + 3, "{given}: what names somebody else, or nobody, stays: {after:?}");
            for (place, sealed) in &before {
                assert_eq!(in_any_file(&house, sealed), after.contains(place), "{given}: {place:?}");
            }
            for name in [TO, "TR.1349", "TR.ENT.77", "905559998877", "9055511122"] {
                assert!(!in_any_file(&house, name.as_bytes()), "{name}");
                assert!(!house.engine().user(&app, name).await.expect("answered").window_is_open(NOON), "{given}: {name}");
            }
            let view = house.only_message().await;
            assert_eq!((view.to, view.money.meta), (None, LegState::Captured(META)), "the books keep what names nobody");
            assert_eq!(events_of(&house, &house.app("other-main")).await.len(), 1, "another's chat is another's");
            // Meta repeats what was erased: it is known, and does not come back.
            post(&house, &from("1009", "2009", [("from", TO), ("from_user_id", "")], "wamid.q1")).await;
            assert_eq!(kept(&house).await.len(), after.len());
            let again = house.engine().erase_user(&acme, given).await.expect("erased");
            assert_eq!((again.erased, again.webhooks, again.unreadable), (0, 0, 1));
        });
        house.finish();
    }
}

#[test]
fn an_erased_user_is_in_no_event_no_message_and_no_webhook() {
    let house = house();
    house.run(async {
        let app = house.app("acme-main");
        let id = wamid(&sent(house.send(text("a secret")).await));
        let posted = house.meta.posted();
        let token = posted.last().and_then(|post| post.token()).expect("Meta was asked").to_owned();
        post(&house, &statuses(vec![status(&id, "delivered", Some(&token))])).await;
        let contacts = json!([{"wa_id": TO, "user_id": "TR.1349"}]);
        let message = json!({"from": TO, "from_user_id": "TR.1349", "id": "wamid.I", "timestamp": NOON_S.to_string(), "type": "text",
            "text": {"body": "my secret"}});
        post(&house, &message_of(NUMBER, WABA, contacts, message)).await;
        post(&house, &text_from(NUMBER, WABA, "905550000001", "wamid.O", NOON_S)).await;
        assert_eq!(events_of(&house, &app).await.len(), 3);

        let acme = house.engine().organization(Some("acme")).expect("the first");
        let other = house.organization("other").await;
        let nothing = Erased { names: 1, ..Erased::default() };
        assert_eq!(house.engine().erase_user(&other, TO).await.expect("erased"), nothing, "another's users are not known here");
        let erased = house.engine().erase_user(&acme, &format!("+{TO}")).await.expect("erased");
        assert!(erased.erased >= 3 && erased.names == 2 && erased.unreadable == 0, "{erased:?}");
        assert!(house.engine().erase_user(&acme, "not a name!").await.is_err());

        let (events, _) = house
            .engine()
            .store()
            .events_after(app.row.organization, app.row.key, Some(turnpike_store::events::EventKey(0)), 10)
            .await
            .expect("the store answers");
        assert_eq!(events.iter().filter(|event| event.body.is_some()).count(), 1, "the other user's stays");
        let view = house.only_message().await;
        assert_eq!((view.to, view.biz_opaque_callback_data), (None, None));
        assert!(!house.engine().user(&app, TO).await.expect("answered").window_is_open(NOON));
        // The other name's window is a row of its own, and is gone with it.
        assert!(!house.engine().user(&app, "TR.1349").await.expect("answered").window_is_open(NOON));
        assert_eq!(house.engine().erase_user(&acme, "TR.1349").await.expect("erased"), nothing);
    });
    house.finish();
}

#[test]
fn what_meta_wrote_of_a_failure_is_in_no_file_in_clear_and_goes_with_its_user() {
    let house = house();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        // With our token, and without: then nobody knows at first which message it is about.
        for with_token in [true, false] {
            let id = wamid(&sent(house.send(text("a secret")).await));
            let posted = house.meta.posted();
            let token = posted.last().and_then(|post| post.token()).filter(|_| with_token);
            let mut failed = failed(status(&id, "failed", token), 131_030, "Recipient not in list");
            let said = format!("{TO} is not in the list of those whom Ada allowed");
            failed["errors"][0]["error_data"]["details"] = json!(said);
            post(&house, &statuses(vec![failed])).await;
            let shown = |view: &turnpike_engine::send::view::MessageView| {
                let failure = view.statuses[0].failure.as_ref().expect("it failed");
                (failure.code, failure.title.clone(), failure.details.clone())
            };
            let view = house.engine().view(&house.messages().await[0]);
            assert_eq!(shown(&view), (131_030, "Recipient not in list".to_owned(), Some(said)));
            assert!(!in_any_file(&house, b"whom Ada allowed"), "with token: {with_token}");
            house.engine().erase_user(&acme, TO).await.expect("erased");
            let view = house.engine().view(&house.messages().await[0]);
            assert_eq!(shown(&view), (131_030, "Meta could not deliver it".to_owned(), None), "the code names nobody");
            assert_eq!(house.engine().erase_user(&acme, TO).await.expect("erased").erased, 0, "all of it went at once");
        }
    });
    house.finish();
}

#[test]
fn an_erasure_finds_the_answers_to_messages_whose_contents_are_forgotten() {
    let house = house();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        let id = wamid(&sent(house.send(text("a secret")).await));
        let mut failed = failed(status(&id, "failed", None), 131_026, "Undeliverable");
        failed["errors"][0]["error_data"]["details"] = json!(format!("{TO} has no WhatsApp"));
        post(&house, &statuses(vec![failed])).await;
        // A month later the contents are gone; the answer has the number in it still.
        let store = house.engine().store();
        let tomorrow = NOON.day().next();
        assert!(store.forget_before(tomorrow, turnpike_domain::time::UtcDay(0)).await.expect("forgets") >= 1);
        let view = house.only_message().await;
        assert_eq!((view.to.as_deref(), view.wamid.as_deref()), (None, Some(id.as_str())));
        let details =
            |view: &turnpike_engine::send::view::MessageView| view.statuses[0].failure.as_ref().and_then(|failure| failure.details.clone());
        assert!(details(&view).is_some());
        house.engine().erase_user(&acme, TO).await.expect("erased");
        let view = house.only_message().await;
        assert_eq!((&view.wamid, details(&view)), (&None, None), "neither outlives its user");
    });
    house.finish();
}

/// How many events of an application have their bodies.
async fn bodies_of(house: &House, app: &str) -> usize {
    let app = house.app(app);
    let first = Some(turnpike_store::events::EventKey(0));
    let (events, _) = house.engine().store().events_after(app.row.organization, app.row.key, first, 100).await.expect("the store answers");
    events.iter().filter(|event| event.body.is_some()).count()
}

/// Puts a backup's database in the place of the folder's, as a restore that keeps the journal does.
fn put_back(backup: &std::path::Path, folder: &std::path::Path) {
    use turnpike_store::sqlite::{DATABASE_FILE, ERASURES_FILE, restore};
    let restored = tempfile::tempdir().expect("a folder");
    let target = restored.path().join("restored");
    let report = restore(backup, &target, &[folder.join(ERASURES_FILE)]).expect("restored");
    assert_eq!(report.erasures_owed, 1);
    for file in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal"), format!("{DATABASE_FILE}-shm")] {
        drop(std::fs::remove_file(folder.join(file)));
    }
    for file in [DATABASE_FILE, ERASURES_FILE] {
        std::fs::copy(target.join(file), folder.join(file)).expect("copied");
    }
}

#[test]
fn what_an_older_backup_brings_back_is_erased_by_names_that_it_never_joined() {
    let mut house = house();
    let room = tempfile::tempdir().expect("a folder");
    let backup = room.path().join("backup");
    let before = house.run(async {
        let other = house.organization("other").await;
        house.application(&other, "other-main", "1002", "2002").await;
        // By number alone, and by an id of which nobody knows yet that it is the same user's.
        post(&house, &from(NUMBER, WABA, [("from", TO), ("from_user_id", "")], "wamid.1")).await;
        post(&house, &from(NUMBER, WABA, [("from", ""), ("from_user_id", "TR.1349")], "wamid.2")).await;
        post(&house, &from("1009", "2009", [("from", TO), ("from_user_id", "")], "wamid.q")).await;
        post(&house, &from("1002", "2002", [("from", TO), ("from_user_id", "")], "wamid.o")).await;
        sent(house.send(text("a secret")).await);
        let before = kept(&house).await;
        house.engine().store().backup(backup.clone()).await.expect("backed up");
        // Only after the backup they are known to be one.
        post(&house, &from(NUMBER, WABA, [("from", TO), ("from_user_id", "TR.1349")], "wamid.3")).await;
        let acme = house.engine().organization(Some("acme")).expect("the first");
        let erased = house.engine().erase_user(&acme, TO).await.expect("erased");
        assert_eq!((erased.names, erased.unreadable), (2, 0), "{erased:?}");
        assert!(
            !before.iter().filter(|(place, _)| matches!(place, KeptWebhook::Quarantined(_))).any(|(_, sealed)| in_any_file(&house, sealed))
        );
        before
    });
    // Twice: an erasure that was applied once is owed to the next backup just as well.
    for _ in 0..2 {
        house.crash_and(|folder| put_back(&backup, folder));
        house.run(async {
            // At the start, before anything else: rows are empty.
            assert_eq!(house.only_message().await.to, None);
            assert_eq!(bodies_of(&house, "acme-main").await, 0);
            assert_eq!(house.engine().erasures_standing().await.expect("answered").open, 1);
            // What needs its webhooks opened follows.
            assert_eq!(house.engine().carry_out_erasures().await.expect("carried out"), 1);
            assert_eq!(house.engine().erasures_standing().await.expect("answered").open, 0);
            let left: BTreeSet<KeptWebhook> = kept(&house).await.into_iter().map(|(place, _)| place).collect();
            assert_eq!(left.len(), 1, "the other organization's: {left:?}");
            for (place, sealed) in &before {
                assert_eq!(in_any_file(&house, sealed), left.contains(place), "{place:?}");
            }
            assert_eq!(bodies_of(&house, "other-main").await, 1);
        });
    }
    house.finish();
}

#[test]
fn an_erasure_is_not_done_before_the_log_is_cut_and_goes_on_where_the_store_failed() {
    use turnpike_engine::erasures::ErasureState;
    use turnpike_store::faults::{Fault, Method};
    let mut house = house();
    house.run(async {
        post(&house, &from(NUMBER, WABA, [("from", TO), ("from_user_id", "")], "wamid.1")).await;
        let acme = house.engine().organization(Some("acme")).expect("the first");
        // Whatever step fails, the erasure is remembered and not done.
        let mut ids = Vec::new();
        for step in
            [Method::NamesOfUser, Method::NoteErasureNames, Method::EraseUser, Method::KeptWebhooks, Method::CutLog, Method::FinishErasure]
        {
            house.faults().fail_next(step, Fault::Unavailable);
            let id = house.engine().ask_erasure(&acme, TO).await.expect("asked");
            assert!(house.engine().carry_out_erasures().await.is_err(), "{step:?}");
            assert_eq!(house.engine().erasure(&acme, id).await.expect("known").state, ErasureState::Pending, "{step:?}");
            ids.push(id);
        }
        // One that was not remembered is not answered.
        house.faults().fail_next(Method::AskErasure, Fault::Unavailable);
        assert!(house.engine().ask_erasure(&acme, TO).await.is_err());
    });
    house.crash();
    house.run(async {
        let acme = house.engine().organization(Some("acme")).expect("the first");
        assert_eq!(house.engine().carry_out_erasures().await.expect("carried out"), 6);
        let all = house.engine().erasures_of(&acme).await.expect("listed");
        assert!(all.len() == 6 && all.iter().all(|erasure| erasure.state == ErasureState::Done), "{all:?}");
        assert_eq!(kept(&house).await, []);
        // Late ones are seen.
        house.engine().ask_erasure(&acme, TO).await.expect("asked");
        house.clock.advance(73 * 3_600_000);
        assert_eq!(house.engine().erasures_standing().await.expect("answered").late, 1);
    });
    house.finish();
}

#[test]
fn an_erasure_that_something_stands_in_the_way_of_keeps_no_other_user_from_being_erased() {
    let house = house();
    house.run(async {
        let (engine, acme) = (house.engine(), house.engine().organization(Some("acme")).expect("the first"));
        let done = async || engine.erasures_of(&acme).await.expect("listed").iter().filter(|one| one.done_at.is_some()).count();
        for (fault, numbers) in [(Fault::Corrupt, ["905551110001", "905551110002"]), (Fault::Panics, ["905551110003", "905551110004"])] {
            let before = done().await;
            for number in numbers {
                engine.ask_erasure(&acme, number).await.expect("it is remembered");
            }
            // Once with the other, and once alone.
            for _ in 0..2 {
                house.faults().fail_next(Method::NamesOfUser, fault);
            }
            assert!(engine.carry_out_erasures().await.is_err(), "it is said");
            assert_eq!(done().await, before + 1, "{fault:?}");
            assert_eq!(engine.carry_out_erasures().await.expect("it is mended"), 1);
            assert_eq!(done().await, before + 2);
        }
    });
    house.finish();
}

//! One user's data, gone wherever it was.

use serde_json::json;

use crate::house::*;
use crate::posts::*;

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
        assert_eq!(house.engine().erase_user(&other, TO).await.expect("erased"), 0, "another's users are not known here");
        assert!(house.engine().erase_user(&acme, &format!("+{TO}")).await.expect("erased") >= 3);
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
        // Who is known by two names is erased under each: the other name's window is a row of its own.
        assert!(house.engine().erase_user(&acme, "TR.1349").await.expect("erased") >= 1);
        assert!(!house.engine().user(&app, "TR.1349").await.expect("answered").window_is_open(NOON));
    });
    house.finish();
}

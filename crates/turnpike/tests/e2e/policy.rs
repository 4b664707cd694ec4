//! POL_001 and POL_002, where an application or a key enforces them: what is refused, what is not,
//! and that a refusal costs nothing.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::house::{House, Plan, post, recipient, text};

fn marketing(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {
        "name": "weekly_newsletter", "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Deniz"}]}]}})
}

fn utility(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template",
        "template": {"name": "order_confirmation", "language": {"code": "en_US"}}})
}

async fn note(house: &House, to: &str, note: &str) -> Value {
    house.order("/applications/shop/users/note", json!({"user": to, "note": note})).await
}

fn refused(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (422, code), "{}", answer.summary());
    assert_eq!(answer.json()["errors"]["group"], "UNPROCESSABLE_ENTITY");
    assert_eq!(answer.param("sent"), "no");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_form_needs_an_open_window_where_it_is_enforced() {
    let house = House::open(Plan::default()).await;
    let to = recipient(1);
    // By default nothing is enforced: only Meta knows for sure.
    assert_eq!(house.send(&text(&to)).await.status, 200);
    let strict = house.key(json!({"enforceWindow": true})).await;
    let before = house.wallet().await.available;
    refused(&house.api.call(post(&strict, &text(&to))).await, "POL_001");
    assert_eq!(house.wallet().await.available, before);
    assert_eq!(house.api.call(post(&strict, &utility(&to))).await.status, 200);

    assert_eq!(note(&house, &to, "wrote").await["windowOpen"], true);
    assert_eq!(house.api.call(post(&strict, &text(&to))).await.status, 200);
    let old = json!({"user": recipient(2), "note": "wrote", "at": "2026-01-01T00:00:00Z"});
    assert_eq!(house.order("/applications/shop/users/note", old).await["windowOpen"], false);
    let answer = house.api.call(post(&strict, &text(&recipient(2)))).await;
    refused(&answer, "POL_001");
    assert_eq!(answer.param("window_closed_at"), "2026-01-02T00:00:00.000Z");
    house.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marketing_to_a_user_who_opted_out_is_refused_where_it_is_enforced() {
    let house = House::open(Plan::default()).await;
    let to = recipient(1);
    note(&house, &to, "opt-out").await;
    assert_eq!(house.send(&marketing(&to)).await.status, 200, "by default Meta decides");
    house.change_app("shop", json!({"enforceWindow": true})).await;
    refused(&house.send(&marketing(&to)).await, "POL_002");
    assert_eq!(house.send(&utility(&to)).await.status, 200, "an opt-out is from marketing alone");
    note(&house, &to, "opt-in").await;
    assert_eq!(house.send(&marketing(&to)).await.status, 200);
    house.verify().await;
}

//! What is told of groups and of calls.

use serde_json::{Value, json};
use turnpike_simulator::{Config, Timing, Window};

use crate::client::{Answer, call, text_to};
use crate::webhooks::{send, subscribed};

const USER: &str = "905321234567";

fn at_once() -> Config {
    Config { timing: Timing::AT_ONCE, batch_max: 1, unscripted_window: Window::Closed, ..Config::default() }
}

async fn play(simulator: &turnpike_simulator::Simulator, what: &str, body: &Value) -> Answer {
    call(simulator.address(), "POST", &format!("/_sim/{what}"), Some(body)).await
}

#[tokio::test]
async fn what_is_written_in_a_group_bears_its_id_and_opens_no_window() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let written = json!({"from": USER, "phone_number_id": "1001", "text": "hello all", "group_id": "G1"});
    assert_eq!(play(&simulator, "reply", &written).await.status, 200);
    assert!(simulator.settled().await);
    let message = receiver.messages().remove(0);
    assert_eq!((&message["group_id"], &message["from"]), (&json!("G1"), &json!(USER)));
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.statuses().last().expect("a status")["errors"][0]["code"], 131_047, "the window is closed");
}

#[tokio::test]
async fn a_status_in_a_group_is_a_participants() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let wamid = send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    receiver.forget();
    let status = json!({"message_id": wamid, "status": "delivered", "group_id": "G1"});
    assert_eq!(play(&simulator, "status", &status).await.status, 200);
    assert!(simulator.settled().await);
    let told = receiver.statuses().remove(0);
    let members = ["id", "status", "recipient_type", "recipient_id", "recipient_participant_id"].map(|name| told[name].clone());
    assert_eq!(members, [json!(wamid), json!("delivered"), json!("group"), json!("G1"), json!(USER)]);
    assert_eq!(told.get("recipient_user_id"), None);
}

#[tokio::test]
async fn a_call_is_told_from_its_ring_to_its_end_and_opens_the_window() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let rings = play(&simulator, "call", &json!({"from": USER, "phone_number_id": "1001"})).await;
    assert_eq!((rings.status, &rings.json()["told"]), (200, &json!(1)));
    let id = rings.json()["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("wacid."), "{id}");
    let ends = json!({"from": USER, "phone_number_id": "1001", "id": id, "event": "terminate", "with": {"duration": 12, "timestamp": "7"}});
    assert_eq!(play(&simulator, "call", &ends).await.status, 200);
    assert!(simulator.settled().await);
    let values = receiver.values("calls");
    assert_eq!(values.len(), 2);
    assert_eq!(values[0]["metadata"]["phone_number_id"], "1001");
    assert_eq!(values[0]["contacts"][0]["wa_id"], USER);
    let (ring, end) = (&values[0]["calls"][0], &values[1]["calls"][0]);
    let members = ["id", "event", "direction", "from", "from_user_id", "to"].map(|name| ring[name].clone());
    let expected = [&id, "connect", "USER_INITIATED", USER, "TR.905321234567", "15550101001"].map(|text| json!(text));
    assert_eq!(members, expected);
    assert_eq!(
        (&end["event"], &end["duration"], &end["timestamp"], &end["id"]),
        (&json!("terminate"), &json!(12), &json!("7"), &json!(id))
    );
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert!(receiver.statuses().iter().all(|status| status.get("errors").is_none()), "the window is open");
}

#[tokio::test]
async fn a_call_to_a_user_has_statuses_and_opens_nothing() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let out = |more: Value| {
        let mut call = json!({"from": USER, "phone_number_id": "1001", "id": "wacid.1", "direction": "BUSINESS_INITIATED"});
        call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        call
    };
    assert_eq!(play(&simulator, "call", &out(json!({"event": "connect"}))).await.status, 200);
    assert_eq!(play(&simulator, "call", &out(json!({"status": "RINGING"}))).await.status, 200);
    assert!(simulator.settled().await);
    let values = receiver.values("calls");
    assert_eq!((&values[0]["calls"][0]["to"], &values[0]["calls"][0]["from"]), (&json!(USER), &json!("15550101001")));
    let status = &values[1]["statuses"][0];
    assert_eq!((&status["status"], &status["recipient_id"], &status["id"]), (&json!("RINGING"), &json!(USER), &json!("wacid.1")));
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.statuses().last().expect("a status")["errors"][0]["code"], 131_047);
}

#[tokio::test]
async fn a_call_that_cannot_be_is_refused_by_its_member() {
    let (simulator, _receiver) = subscribed(at_once()).await;
    for (body, member) in [
        (json!({}), "from"),
        (json!({"from": "nobody at all"}), "from"),
        (json!({"from": USER}), "phone_number_id"),
        (json!({"from": USER, "phone_number_id": "1", "direction": "SIDEWAYS"}), "direction"),
        (json!({"from": USER, "phone_number_id": "1", "event": "connect", "status": "RINGING"}), "event"),
        (json!({"from": USER, "phone_number_id": "1", "volume": 11}), "volume"),
    ] {
        let refused = play(&simulator, "call", &body).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.json()["error"].as_str().is_some_and(|error| error.contains(member)), "{body}: {}", refused.json());
    }
}

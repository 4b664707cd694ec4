//! `POST /{number}/messages`, its answer, and the record of it.

use serde_json::{Value, json};
use turnpike_simulator::{Config, Record};

use crate::client::{call, start, text_to};

#[tokio::test]
async fn a_text_is_taken_and_recorded() {
    let simulator = start(Config::default()).await;
    let message = text_to("+905321234567");
    let answer = call(simulator.address(), "POST", "/v23.0/1001/messages", Some(&message)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["contacts"], json!([{"input": "+905321234567", "wa_id": "905321234567"}]));
    assert!(answer.wamid().starts_with("wamid.HBgMOTA1MzIxMjM0NTY3FQIAERgS"), "{}", answer.wamid());
    assert_eq!(answer.header("facebook-api-version"), Some("v23.0"));
    assert!(answer.body.starts_with(br#"{"messaging_product":"whatsapp","contacts""#));

    let record = simulator.requests(10);
    assert_eq!(record.len(), 1);
    assert_eq!((record[0].method.as_str(), record[0].path.as_str()), ("POST", "/v23.0/1001/messages"));
    assert_eq!(record[0].body, message);
    assert_eq!(record[0].headers["authorization"], "Bearer EAAgood");
}

#[tokio::test]
async fn the_record_is_asked_for_by_http_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = Config { record: Record::File(folder.path().join("simulator.jsonl")), ..Config::default() };
    let simulator = start(config.clone()).await;
    for n in 0..3 {
        let answer = call(simulator.address(), "POST", "/v23.0/1/messages", Some(&text_to(&format!("90532123456{n}")))).await;
        assert_eq!(answer.status, 200);
    }
    simulator.shutdown().await;

    let simulator = start(config).await;
    let answer = call(simulator.address(), "GET", "/_sim/requests?limit=2", None).await;
    let shown: Vec<Value> = answer.json().as_array().expect("an array").clone();
    let recipients: Vec<&str> = shown.iter().filter_map(|request| request["body"]["to"].as_str()).collect();
    assert_eq!(recipients, ["905321234561", "905321234562"], "the newest two, oldest first");
    let count = call(simulator.address(), "GET", "/_sim/requests?count=true", None).await;
    assert_eq!(count.json(), json!({"count": 3}));
}

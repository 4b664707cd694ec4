//! What operators see of quarantine, over real sockets: a payload is personal data, shown to who is an
//! operator and asks for this one.

mod works;

use serde_json::{Value, json};
use turnpike_domain::webhook::hub_signature;
use turnpike_engine::control::applications::Connect;
use turnpike_engine::secret::Secret;
use turnpike_web::meta::META_WEBHOOK_PATH;
use works::{APP_SECRET, Answer, OPERATOR_TOKEN, Plan, Works};

const BASE: &str = "/api/v1/operator/quarantine";

/// A message to a number that nobody has yet.
async fn arrive(works: &Works, wamid: &str) {
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "29009", "changes": [{"field": "messages", "value": {
        "messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001000", "phone_number_id": "9009"},
        "messages": [{"from": "905551112233", "id": wamid, "timestamp": "1795392000", "type": "text", "text": {"body": "canary"}}]}}]}]})
    .to_string();
    let signature = hub_signature(APP_SECRET.as_bytes(), body.as_bytes());
    let headers = format!("Content-Type: application/json\r\nX-Hub-Signature-256: {signature}\r\n");
    assert_eq!(works.call("POST", META_WEBHOOK_PATH, "none", &headers, body.as_bytes()).await.status, 200);
}

async fn operate(works: &Works, method: &str, path: &str) -> Answer {
    works.call(method, &format!("{BASE}{path}"), OPERATOR_TOKEN, "", b"").await
}

fn data(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_slice::<Value>(&answer.body).expect("JSON")["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_is_shown_to_an_operator_who_asks_for_it_and_to_nobody_else() {
    let works = Works::open(Plan::default()).await;
    arrive(&works, "wamid.1").await;
    let listed = operate(&works, "GET", "").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("canary"), "a list holds no payload");
    let id = data(&listed)[0]["id"].as_i64().expect("a number");

    let shown = data(&operate(&works, "GET", &format!("/{id}")).await);
    assert_eq!(
        (&shown["reason"], &shown["signature"], &shown["signerConfigured"], &shown["recorded"], &shown["goesTo"]),
        (&json!("unknown_number"), &json!("verified"), &json!(true), &json!(false), &json!([]))
    );
    let payload: Value = serde_json::from_str(shown["payload"].as_str().expect("text")).expect("JSON as Meta sent it");
    assert_eq!(payload.pointer("/entry/0/changes/0/value/messages/0/text/body"), Some(&json!("canary")));

    for (method, path) in [("GET", format!("/{id}")), ("POST", format!("/{id}/replay")), ("POST", format!("/{id}/discard"))] {
        for app in ["acme", "other"] {
            let key = works.live_key(app).await;
            let refused = works.call(method, &format!("{BASE}{path}"), &key, "", b"").await;
            assert_eq!(refused.status, 401, "{method} {path}");
            assert!(!String::from_utf8_lossy(&refused.body).contains("canary"));
        }
        for nobodys in ["/999", "/-1", "/seven", "/99999999999999999999"] {
            let path = path.replace(&format!("/{id}"), nobodys);
            assert_eq!(operate(&works, method, &path).await.status, 404, "{method} {path}");
        }
    }
    assert!(!works.metrics().contains("canary"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_is_replayed_once_and_a_discarded_one_never() {
    let works = Works::open(Plan::default()).await;
    arrive(&works, "wamid.1").await;
    arrive(&works, "wamid.2").await;
    let listed = data(&operate(&works, "GET", "").await);
    let [newest, oldest] = [0, 1].map(|place: usize| listed[place]["id"].as_i64().expect("a number"));

    assert_eq!(data(&operate(&works, "POST", &format!("/{oldest}/replay")).await)["quarantined"], 1, "nobody has the number yet");
    let app = works.draft("third").await;
    let connect = Connect {
        phone_number_id: "9009".to_owned(),
        waba_id: "29009".to_owned(),
        token: Secret::new("EAAtoken".to_owned()),
        phone_number: None,
        meta_app_id: None,
        connection_type: None,
    };
    works.engine.connect_application(&app, connect).await.expect("it connects");
    assert_eq!(data(&operate(&works, "GET", &format!("/{oldest}")).await)["goesTo"], json!(["third"]));
    assert_eq!(data(&operate(&works, "POST", &format!("/{oldest}/replay")).await)["recorded"], 1);
    let again = operate(&works, "POST", &format!("/{oldest}/replay")).await;
    assert!((400..500).contains(&again.status), "a payload is taken in once: {again:?}");
    assert_eq!(data(&operate(&works, "GET", &format!("/{oldest}")).await)["recorded"], true);

    assert_eq!(data(&operate(&works, "POST", &format!("/{newest}/discard")).await)["discarded"], true);
    let emptied = data(&operate(&works, "GET", &format!("/{newest}")).await);
    assert_eq!((&emptied["payload"], &emptied["erased"]), (&Value::Null, &json!(true)));
    let refused = operate(&works, "POST", &format!("/{newest}/replay")).await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
}

//! Listing templates page by page, and changing them.

use serde_json::{Value, json};
use turnpike_simulator::{Config, Simulator, TemplateSeed, demo_templates};

use crate::client::{Answer, call, start, text_to};

async fn with_many(count: usize) -> Simulator {
    let seed_templates = (0..count)
        .map(|n| {
            let (category, language) = if n % 2 == 0 { ("UTILITY", "en_US") } else { ("MARKETING", "tr") };
            let body = json!({"type": "BODY", "text": format!("Text {n}")});
            let mut seed = TemplateSeed::new(&format!("template_{n:03}"), language, category, vec![body]);
            if n % 10 == 9 {
                seed.status = "PAUSED".to_owned();
            }
            seed
        })
        .collect();
    start(Config { seed_templates, ..Config::default() }).await
}

fn names(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let data = json["data"].as_array().unwrap_or_else(|| panic!("no data in {json}"));
    data.iter().map(|template| template["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn pages_are_followed_to_the_last() {
    let simulator = with_many(60).await;
    let mut target = "/v23.0/7/message_templates?fields=name,status&limit=25".to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = call(simulator.address(), "GET", &target, None).await;
        pages.push(names(&answer));
        let json = answer.json();
        let Some(next) = json["paging"]["next"].as_str() else { break };
        assert!(!next.contains("access_token"));
        target = next.strip_prefix("http://graph.test").expect("a link to where we asked").to_owned();
        assert!(target.contains("fields=name,status") && target.contains("limit=25"), "{target}");
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [25, 25, 10]);
    let all: Vec<String> = pages.concat();
    let expected: Vec<String> = (0..60).map(|n| format!("template_{n:03}")).collect();
    assert_eq!(all, expected);

    let last = call(simulator.address(), "GET", &target, None).await.json();
    let before = last["paging"]["cursors"]["before"].as_str().expect("a cursor");
    let back = format!("/v23.0/7/message_templates?limit=5&before={before}");
    assert_eq!(names(&call(simulator.address(), "GET", &back, None).await), expected[45..50]);
    let lost = call(simulator.address(), "GET", "/v23.0/7/message_templates?after=bm90aGluZw", None).await;
    assert_eq!(lost.code(), 131_059);
    let none = call(simulator.address(), "GET", "/v23.0/7/message_templates?limit=0", None).await;
    assert_eq!(none.code(), 100);
    assert_eq!(names(&call(simulator.address(), "GET", "/v23.0/7/message_templates", None).await).len(), 25);
}

#[tokio::test]
async fn filters_narrow_down() {
    let simulator = with_many(60).await;
    for (query, count) in [
        ("status=APPROVED", 54),
        ("status=paused", 6),
        ("category=MARKETING", 30),
        ("language=en_US", 30),
        ("name=template_003", 1),
        ("name=template_00", 0),
        ("name_or_content=template_00", 10),
        ("name_or_content=Text%2011", 1),
        ("language=tr&status=APPROVED", 24),
        ("status=%5B%22APPROVED%22,%22PAUSED%22%5D", 60),
        ("status=REJECTED", 0),
    ] {
        let target = format!("/v23.0/7/message_templates?limit=100&{query}");
        assert_eq!(names(&call(simulator.address(), "GET", &target, None).await).len(), count, "{query}");
    }
}

#[tokio::test]
async fn fields_are_those_asked_for() {
    let simulator = start(Config { seed_templates: demo_templates(), ..Config::default() }).await;
    let asked = "/v23.0/7/message_templates?fields=id,name,language&name=shipping_update";
    let json = call(simulator.address(), "GET", asked, None).await.json();
    let members: Vec<&String> = json["data"][0].as_object().expect("a template").keys().collect();
    assert_eq!(members, ["id", "language", "name"]);
    let default = call(simulator.address(), "GET", "/v23.0/7/message_templates", None).await.json();
    assert_eq!(default["data"].as_array().map(Vec::len), Some(5));
    assert_eq!(default["data"][0]["parameter_format"], "POSITIONAL");
    let unknown = call(simulator.address(), "GET", "/v23.0/7/message_templates?fields=colour", None).await;
    assert_eq!(unknown.code(), 100);
    let id = json["data"][0]["id"].as_str().expect("an id");
    let one = call(simulator.address(), "GET", &format!("/v23.0/{id}?fields=name,quality_score"), None).await.json();
    assert_eq!(one["name"], "shipping_update");
    assert_eq!(one["quality_score"]["score"], "UNKNOWN");
}

fn send(name: &str, language: &str) -> Value {
    let mut message = text_to("905321234567");
    message["type"] = "template".into();
    message["template"] = json!({"name": name, "language": {"code": language}});
    message
}

#[tokio::test]
async fn a_template_lives_from_its_making_to_its_deletion() {
    let simulator = start(Config::default()).await;
    let address = simulator.address();
    let draft = json!({"name": "welcome", "language": "en", "category": "utility",
        "components": [{"type": "body", "text": "Welcome"}]});
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&send("welcome", "en"))).await.code(), 132_001);

    let made = call(address, "POST", "/v23.0/7/message_templates", Some(&draft)).await.json();
    assert_eq!((made["status"].as_str(), made["category"].as_str()), (Some("APPROVED"), Some("UTILITY")));
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&send("welcome", "en"))).await.status, 200);
    let twice = call(address, "POST", "/v23.0/7/message_templates", Some(&draft)).await;
    assert_eq!((twice.code(), twice.json()["error"]["error_subcode"].as_u64()), (100, Some(2_388_024)));
    assert!(twice.json()["error"]["error_user_title"].is_string());

    let id = made["id"].as_str().expect("an id");
    let edit = json!({"components": [{"type": "BODY", "text": "Welcome {{1}}"}]});
    assert_eq!(call(address, "POST", &format!("/v23.0/{id}"), Some(&edit)).await.json(), json!({"success": true}));
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&send("welcome", "en"))).await.code(), 132_000);
    let category = json!({"category": "MARKETING"});
    let refused = call(address, "POST", &format!("/v23.0/{id}"), Some(&category)).await;
    assert_eq!(refused.json()["error"]["error_subcode"], 2_388_039);

    let other_account = call(address, "GET", "/v23.0/8/message_templates", None).await;
    assert!(names(&other_account).is_empty(), "an account lists its own");
    assert_eq!(call(address, "DELETE", "/v23.0/7/message_templates?name=nobody", None).await.code(), 100);
    assert_eq!(call(address, "DELETE", "/v23.0/7/message_templates", None).await.code(), 100);
    let deleted = call(address, "DELETE", "/v23.0/7/message_templates?name=welcome", None).await;
    assert_eq!(deleted.json(), json!({"success": true}));
    assert_eq!(call(address, "POST", "/v23.0/1/messages", Some(&send("welcome", "en"))).await.code(), 132_001);
}

#[tokio::test]
async fn a_deleted_seed_cannot_be_sent_any_more() {
    let simulator = start(Config { seed_templates: demo_templates(), ..Config::default() }).await;
    let address = simulator.address();
    let sent = call(address, "POST", "/v23.0/1/messages", Some(&send("order_confirmation", "en_US"))).await;
    assert_eq!(sent.status, 200);
    let id = {
        let listed = call(address, "GET", "/v23.0/7/message_templates?name=order_confirmation", None).await.json();
        listed["data"][0]["id"].as_str().expect("an id").to_owned()
    };
    let other = format!("/v23.0/7/message_templates?name=order_confirmation&hsm_id={id}9");
    assert_eq!(call(address, "DELETE", &other, None).await.code(), 100);
    let right = format!("/v23.0/7/message_templates?name=order_confirmation&hsm_id={id}");
    assert_eq!(call(address, "DELETE", &right, None).await.status, 200);
    let gone = call(address, "POST", "/v23.0/1/messages", Some(&send("order_confirmation", "en_US"))).await;
    assert_eq!(gone.code(), 132_001);
}

#[tokio::test]
async fn a_draft_that_meta_would_not_take_is_refused() {
    let simulator = start(Config::default()).await;
    let body = json!([{"type": "BODY", "text": "x"}]);
    for (draft, subcode) in [
        (json!({"language": "en", "category": "UTILITY", "components": body}), None),
        (json!({"name": "Not Allowed", "language": "en", "category": "UTILITY", "components": body}), Some(2_388_042)),
        (json!({"name": "a", "category": "UTILITY", "components": body}), None),
        (json!({"name": "a", "language": "en", "category": "OTHER", "components": body}), None),
        (json!({"name": "a", "language": "en", "category": "UTILITY"}), None),
        (json!({"name": "a", "language": "en", "category": "UTILITY", "components": []}), Some(2_388_043)),
        (json!({"name": "a", "language": "en", "category": "UTILITY", "components": [{"type": "TAIL"}]}), None),
        (
            json!({"name": "a", "language": "en", "category": "UTILITY",
                "components": [{"type": "BODY", "text": "x".repeat(1_025)}]}),
            Some(2_388_040),
        ),
    ] {
        let answer = call(simulator.address(), "POST", "/v23.0/7/message_templates", Some(&draft)).await;
        assert_eq!(answer.code(), 100, "{draft}");
        assert_eq!(answer.json()["error"]["error_subcode"].as_u64(), subcode, "{draft}");
    }
}

//! Every route's no has our shape: unknown routes, wrong methods, wrong queries, wrong paths, wrong
//! content types, on the callers' side and on the operator's; and the link of each leads somewhere.

use http::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Ask};
use crate::house::{House, Plan, post, recipient, text};

const OPERATOR: &str = "/api/v1/operator";

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, path: Option<&str>) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.summary());
    assert_eq!(answer.json()["isSuccess"], json!(false), "{}", answer.summary());
    assert!(answer.header("x-request-id").is_some() && answer.header("cache-control") == Some("no-store"), "{}", answer.summary());
    if let Some(path) = path {
        assert_eq!(answer.param("fields")[0]["path"], json!(path), "{}", answer.summary());
    }
}

/// The words that a fault says of its field.
fn problem(answer: &Answer) -> String {
    answer.param("fields")[0]["problem"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_hears_what_stood_in_the_way_and_under_the_members_own_name() {
    let house = House::open(Plan::default()).await;
    let backup = house.try_order("/backup", json!({"target": "/dev/null/backup"})).await;
    assert_eq!((backup.status, backup.code().as_str()), (422, "MGMT_422"), "{}", backup.summary());
    let said = backup.json()["errors"]["description"].as_str().unwrap_or_default().to_owned();
    assert!(said.starts_with("Cannot write the backup /dev/null/backup: "), "{said}");
    let taken = house.try_order("/applications", json!({"displayName": "Shop", "appId": "shop"})).await;
    assert_eq!((taken.status, taken.param("field")), (409, json!("appId")), "{}", taken.summary());
    // A date begins when it does for the application's prices.
    house.change_app("shop", json!({"timezone": "America/Los_Angeles"})).await;
    for (at, card) in [("2026-10-01", "usd-2026-10-01"), ("2026-09-30", "usd-2026-07-01"), ("2026-10-01T00:00:00Z", "usd-2026-07-01")] {
        let quote = house.ask(&format!("/rates/price?to=905321234567&category=service&app=shop&at={at}")).await;
        assert_eq!(quote["card"], card, "{at}: {quote}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_wrong_query_names_its_field_in_our_shape() {
    let house = House::open(Plan::default()).await;
    for (path, field, said) in [
        ("/rates/price?category=foo&to=905321234567", "category", "must be one of service, utility"),
        ("/rates/price?category=marketing", "to", "is required"),
        ("/rates/price?to=905321234567&to=1&category=marketing", "to", "must be given once"),
        ("/rates/price?to=905321234567&category=marketing&day=1", "day", "is not known here; known are to, category, app, at"),
        ("/rates/price?to=905321234567&category=marketing&at=soon", "at", "must be a date"),
        ("/rates/price?to=abc&category=marketing", "to", "must be 7 to 15 digits"),
        ("/rates?currency=dollars", "currency", "must be three capital letters"),
        ("/messages?limit=many", "limit", "must be a whole number"),
        ("/messages?limit=-1", "limit", "must be a whole number"),
        ("/messages?state=gone", "state", "must be one of"),
        ("/messages/%FF", "path", "cannot be read"),
        ("/applications/%FF", "path", "cannot be read"),
    ] {
        let answer = house.operator.call(Ask::get(&format!("{OPERATOR}{path}"))).await;
        let code = if field == "path" { "REQ_002" } else { "MGMT_001" };
        refused(&answer, 400, code, Some(field));
        assert!(problem(&answer).starts_with(said), "{path}: {}", answer.summary());
        assert!(!problem(&answer).contains("deserialize"), "{path}: {}", answer.summary());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_wrong_body_names_its_field_and_not_its_column() {
    let house = House::open(Plan::default()).await;
    for (path, body, field, said) in [
        ("/organizations/-/wallet/top-up", json!({"amount": "1.0000001"}), "amount", "must not have more than 6 decimals"),
        ("/organizations/-/wallet/top-up", json!({"amount": "much"}), "amount", "must be a decimal number such as 12.34"),
        ("/organizations/-/wallet/top-up", json!({}), "amount", "is required"),
        ("/organizations/-/wallet/top-up", json!({"amount": "1", "sum": "1"}), "sum", "is not known here; known are"),
        ("/applications", json!({"displayName": 7}), "displayName", "must be a string"),
    ] {
        let answer = house.try_order(path, body).await;
        refused(&answer, 400, "MGMT_001", Some(field));
        assert!(problem(&answer).starts_with(said), "{path}: {}", answer.summary());
        assert!(!problem(&answer).contains(" at line "), "{path}: {}", answer.summary());
    }
    let form = Ask::post(&format!("{OPERATOR}/organizations")).header("content-type", "application/x-www-form-urlencoded");
    refused(&house.operator.call(form.bytes("name=Beta")).await, 415, "REQ_003", None);
    let broken = Ask::post(&format!("{OPERATOR}/organizations")).header("content-type", "application/json");
    refused(&house.operator.call(broken.bytes("{")).await, 400, "MGMT_001", None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_is_told_those_that_the_route_has() {
    let house = House::open(Plan::default()).await;
    let call = async |operator: bool, method: Method, path: &str| {
        let side = if operator { &house.operator } else { &house.api };
        side.call(Ask::new(method, path).bearer(&house.live)).await
    };
    for (operator, method, path, allow) in [
        (true, Method::DELETE, "/api/v1/operator/organizations", "GET, POST"),
        (true, Method::PUT, "/api/v1/operator/applications/shop", "GET, PATCH"),
        (true, Method::GET, "/api/v1/operator/rates/preview", "POST"),
        (true, Method::PUT, "/api/v1/operator/applications/shop/webhooks/default", "GET, POST, DELETE"),
        (true, Method::GET, "/api/v1/operator/api-keys/1", "DELETE"),
        (true, Method::POST, "/api/v1/operator/doctor", "GET"),
        (false, Method::PUT, "/v1/wa/message", "GET, POST"),
        (false, Method::GET, "/v1/wa/message/check", "POST"),
        (false, Method::POST, "/v1/wa/me", "GET"),
        (false, Method::POST, "/v1/wa/events", "GET"),
        (false, Method::DELETE, "/v1/meta/webhook", "GET, POST"),
        (false, Method::POST, "/docs/errors", "GET, HEAD"),
        (false, Method::POST, "/openapi.json", "GET, HEAD"),
        (false, Method::DELETE, "/livez", "GET, HEAD"),
    ] {
        let answer = call(operator, method, path).await;
        refused(&answer, 405, "REQ_005", None);
        assert_eq!(answer.param("allow"), json!(allow), "{path}: {}", answer.summary());
        let mut named: Vec<&str> = answer.header("allow").unwrap_or_default().split(',').map(str::trim).collect();
        named.retain(|method| *method != "HEAD" || allow.contains("HEAD"));
        let mut wanted: Vec<&str> = allow.split(", ").collect();
        named.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(named, wanted, "{path}");
    }
    for (operator, path) in [
        (true, "/api/v1/operator/nothing"),
        (true, "/api/v1/operator/"),
        (false, "/"),
        (false, "/v1/wa"),
        (false, "/v1/wa/"),
        (false, "/v1/wa/message/"),
        (false, "/v2/wa/message"),
        (false, "/docs/errors/"),
        // Without a token there is no operator's side over the network.
        (false, "/api/v1/operator/organizations"),
    ] {
        refused(&call(operator, Method::GET, path).await, 404, "REQ_005", None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_link_of_an_error_leads_to_its_section_on_the_same_gateway() {
    let house = House::open(Plan::default()).await;
    let refusals = [
        house.api.call(post("junk", &text(&recipient(1)))).await,
        house.send(&json!({})).await,
        house.api.call(Ask::get("/nowhere")).await,
        house.try_order("/organizations", json!({})).await,
    ];
    for refusal in refusals {
        let link = refusal.json()["errors"]["doc"].as_str().expect("every error has a link").to_owned();
        let (path, anchor) = link.split_once('#').expect("it leads to a section");
        let page = house.api.call(Ask::get(path)).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")), "{link}");
        let html = String::from_utf8(page.body.to_vec()).expect("the page is UTF-8");
        assert!(html.contains(&format!("<section id=\"{anchor}\">")), "{link}");
    }
    let message = Value::from("00000000-0000-7000-8000-000000000000");
    let unknown = house.api.call(Ask::get(&format!("/v1/wa/message/{}", message.as_str().unwrap_or_default())).bearer(&house.live)).await;
    refused(&unknown, 404, "REQ_005", None);
    let said = unknown.json()["errors"]["description"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("message"), "a look-up says what was not found: {said}");
}

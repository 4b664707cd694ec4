//! What users do: messages of every type, taps on what was really sent, and who
//! they are.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use turnpike_simulator::{
    Config, Number, Preference, RawEvent, Reply, Tap, TemplateChange, TemplateSeed, Timing, User, Window, demo_templates,
};

use crate::client::{call, text_to};
use crate::receiver::SECRET;
use crate::webhooks::{send, subscribed};

const USER: &str = "905321234567";

fn at_once() -> Config {
    Config { timing: Timing::AT_ONCE, batch_max: 1, ..Config::default() }
}

#[tokio::test]
async fn every_type_of_message_has_the_members_that_meta_gives_it() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let cases = [
        ("text", json!("Merhaba 👋"), json!({"body": "Merhaba 👋"})),
        (
            "location",
            json!({"latitude": 41.01, "longitude": 28.97, "name": "İstanbul"}),
            json!({"latitude": 41.01, "longitude": 28.97, "name": "İstanbul"}),
        ),
        ("contacts", json!([{"name": {"formatted_name": "Ada"}}]), json!([{"name": {"formatted_name": "Ada"}}])),
        ("reaction", json!({"message_id": "wamid.X", "emoji": "👍"}), json!({"message_id": "wamid.X", "emoji": "👍"})),
        ("order", json!({"catalog_id": "1", "text": "", "product_items": []}), json!({"catalog_id": "1", "text": "", "product_items": []})),
        ("button", json!({"payload": "p", "text": "t"}), json!({"payload": "p", "text": "t"})),
        ("unsupported", json!("poll"), json!({"type": "poll"})),
        (
            "edit",
            json!({"original_message_id": "wamid.X", "message": {"type": "text"}}),
            json!({"original_message_id": "wamid.X", "message": {"type": "text"}}),
        ),
        ("revoke", json!({"original_message_id": "wamid.X"}), json!({"original_message_id": "wamid.X"})),
    ];
    for (kind, payload, shown) in cases {
        receiver.forget();
        let happened = simulator.reply(Reply::new(USER, kind, payload).to_number("1001").answering("wamid.Q")).expect("it can be written");
        assert_eq!(happened.told, 1);
        assert!(simulator.settled().await);
        let value = receiver.values("messages").remove(0);
        assert_eq!(value["metadata"], json!({"display_phone_number": "15550101001", "phone_number_id": "1001"}));
        assert_eq!(value["contacts"], json!([{"profile": {"name": "User 4567"}, "wa_id": USER, "user_id": "TR.905321234567"}]));
        let message = &value["messages"][0];
        assert_eq!((message["from"].as_str(), message["from_user_id"].as_str()), (Some(USER), Some("TR.905321234567")));
        assert_eq!((message["id"].as_str(), message["type"].as_str()), (happened.id.as_deref(), Some(kind)));
        assert!(message["timestamp"].as_str().is_some_and(|at| at.parse::<i64>().is_ok()), "a string of seconds");
        assert_eq!(message["context"], json!({"from": "15550101001", "id": "wamid.Q"}));
        assert_eq!(message[kind], shown, "{kind}");
        assert_eq!(message.get("errors").is_some(), kind == "unsupported");
        if kind == "unsupported" {
            assert_eq!(message["errors"][0]["code"], 131_051);
            assert!(message["errors"][0]["error_data"]["details"].is_string());
        }
        assert!(receiver.posts().iter().all(|post| post.is_signed_with(SECRET) && post.body.is_ascii()));
    }
}

#[tokio::test]
async fn media_come_with_a_file_that_can_be_fetched() {
    let (simulator, receiver) = subscribed(at_once()).await;
    for (kind, payload, mime, more) in [
        ("image", json!({"caption": "Look/é"}), "image/png", ("caption", json!("Look/é"))),
        ("audio", json!({}), "audio/ogg; codecs=opus", ("voice", json!(true))),
        ("video", json!({}), "video/mp4", ("id", Value::Null)),
        ("document", json!({"filename": "a.pdf"}), "application/pdf", ("filename", json!("a.pdf"))),
        ("sticker", json!({}), "image/webp", ("animated", json!(false))),
        ("image", json!({"data": STANDARD.encode("own bytes"), "mime_type": "image/jpeg"}), "image/jpeg", ("id", Value::Null)),
    ] {
        receiver.forget();
        simulator.reply(Reply::new(USER, kind, payload.clone()).to_number("1001")).expect("it can be written");
        assert!(simulator.settled().await);
        let message = receiver.messages().remove(0);
        let media = &message[kind];
        assert_eq!(media["mime_type"], mime);
        if !more.1.is_null() {
            assert_eq!(media[more.0], more.1);
        }
        let url = media["url"].as_str().expect("a URL").strip_prefix(&simulator.base_url()).expect("ours").to_owned();
        let file = call(simulator.address(), "GET", &url, None).await;
        assert_eq!((file.status, file.header("content-type")), (200, Some(mime)));
        if payload.get("data").is_some() {
            assert_eq!(file.body, b"own bytes");
        }
        let sum = ring::digest::digest(&ring::digest::SHA256, &file.body);
        assert_eq!(media["sha256"], STANDARD.encode(sum), "base64 in webhooks");
        let id = media["id"].as_str().expect("an id");
        let shown = call(simulator.address(), "GET", &format!("/v23.0/{id}?phone_number_id=1001"), None).await.json();
        assert_eq!(shown["sha256"], hex::encode(sum), "hex when asked");
    }
}

#[tokio::test]
async fn system_notes_have_no_contacts_and_open_no_window() {
    let (simulator, receiver) = subscribed(Config { unscripted_window: Window::Closed, ..at_once() }).await;
    simulator.reply(Reply::new(USER, "system", json!({"wa_id": "905320000000"})).to_number("1001")).expect("it can be written");
    assert!(simulator.settled().await);
    let value = receiver.values("messages").remove(0);
    assert!(value.get("contacts").is_none());
    let system =
        json!({"type": "user_changed_number", "wa_id": "905320000000", "body": "User User 4567 changed from 905321234567 to 905320000000"});
    assert_eq!(value["messages"][0]["system"], system);
    simulator.reply(Reply::new(USER, "system", json!({"type": "customer_identity_changed"})).to_number("1001")).expect("it can be written");
    assert!(simulator.settled().await);
    assert_eq!(receiver.messages()[1]["identity"]["acknowledged"], false);
    receiver.forget();
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.status_words(), ["failed"], "nobody wrote, so the window is closed");
}

#[tokio::test]
async fn a_reply_opens_the_window_for_a_simulated_day() {
    let (simulator, receiver) = subscribed(Config { unscripted_window: Window::Closed, ..at_once() }).await;
    simulator.reply(Reply::text(USER, "Hi").to_number("1001")).expect("it can be written");
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.status_words().len(), 3);
    assert!(simulator.advance(Duration::from_secs(24 * 3_600)).await);
    receiver.forget();
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    let failed = receiver.statuses().remove(0);
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["errors"][0]["code"], 131_047);
    for member in ["title", "message", "href"] {
        assert!(failed["errors"][0][member].is_string(), "{member}");
    }
    assert!(failed["errors"][0]["error_data"]["details"].is_string());
    assert!(failed.get("pricing").is_none());
    assert!(receiver.values("messages")[0].get("contacts").is_none(), "a failed one names nobody");
}

#[tokio::test]
async fn buttons_rows_and_flows_that_were_sent_can_be_tapped_and_no_others() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let interactive = |payload: Value| json!({"messaging_product": "whatsapp", "to": USER, "type": "interactive", "interactive": payload});
    let buttons = interactive(json!({"type": "button", "body": {"text": "Sure?"}, "action": {"buttons": [
        {"type": "reply", "reply": {"id": "yes", "title": "Yes, please"}}, {"type": "reply", "reply": {"id": "no", "title": "No"}}]}}));
    let list = interactive(json!({"type": "list", "body": {"text": "When?"}, "action": {"button": "Choose", "sections": [
        {"title": "Days", "rows": [{"id": "d1", "title": "Monday", "description": "early"}, {"id": "d2", "title": "Tuesday"}]}]}}));
    let flow = interactive(json!({"type": "flow", "body": {"text": "Fill in"}, "action": {"name": "flow", "parameters": {
        "flow_message_version": "3", "flow_token": "tok/1", "flow_id": "5", "flow_cta": "Open"}}}));
    let (buttons, list, flow) = (send(&simulator, &buttons).await, send(&simulator, &list).await, send(&simulator, &flow).await);
    assert!(simulator.settled().await);
    receiver.forget();

    let on = |wamid: &str| Tap { message_id: Some(wamid.to_owned()), ..Tap::default() };
    let taps = [
        (
            Tap { button: Some("No".to_owned()), ..on(&buttons) },
            &buttons,
            json!({"type": "button_reply", "button_reply": {"id": "no", "title": "No"}}),
        ),
        (on(&buttons), &buttons, json!({"type": "button_reply", "button_reply": {"id": "yes", "title": "Yes, please"}})),
        (
            Tap { from: Some(format!("+{USER}")), row: Some("d1".to_owned()), ..on(&list) },
            &list,
            json!({"type": "list_reply", "list_reply": {"id": "d1", "title": "Monday", "description": "early"}}),
        ),
        (
            Tap { from: Some(USER.to_owned()), flow: json!({"name": "Ada"}).as_object().cloned(), ..Tap::default() },
            &flow,
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": r#"{"flow_token":"tok/1","name":"Ada"}"#}}),
        ),
    ];
    for (tap, wamid, shown) in taps {
        receiver.forget();
        simulator.tap(&tap).expect("it can be tapped");
        assert!(simulator.settled().await);
        let message = receiver.messages().remove(0);
        assert_eq!(message["type"], "interactive");
        assert_eq!(message["interactive"], shown);
        assert_eq!(message["context"], json!({"from": "15550101001", "id": wamid}));
    }

    for (tap, why) in [
        (Tap { button: Some("Maybe".to_owned()), ..on(&buttons) }, "Yes, please"),
        (Tap { row: Some("d1".to_owned()), ..on(&buttons) }, "has none"),
        (Tap { button: Some("yes".to_owned()), row: Some("d1".to_owned()), ..on(&buttons) }, "only one"),
        (on("wamid.unknown"), "wamid.unknown"),
        (Tap { from: Some("905320000001".to_owned()), ..on(&buttons) }, "not sent to this user"),
        (Tap { from: Some("905320000001".to_owned()), ..Tap::default() }, "no message with anything to tap"),
    ] {
        let refused = simulator.tap(&tap).expect_err("it cannot be tapped").to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn what_is_tapped_by_its_title_is_found_on_older_messages_too() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let interactive = |inner: Value| json!({"messaging_product": "whatsapp", "to": USER, "type": "interactive", "interactive": inner});
    let buttons = interactive(json!({"type": "button", "body": {"text": "Coming?"},
        "action": {"buttons": [{"type": "reply", "reply": {"id": "yes", "title": "Yes"}}]}}));
    let list = interactive(json!({"type": "list", "body": {"text": "When?"}, "action": {"button": "Days",
        "sections": [{"title": "Week", "rows": [{"id": "d1", "title": "Monday"}]}]}}));
    let flow = interactive(json!({"type": "flow", "body": {"text": "Book"}, "action": {"name": "flow", "parameters": {
        "flow_message_version": "3", "flow_token": "tok", "flow_id": "5", "flow_cta": "Open"}}}));
    let sent = [send(&simulator, &buttons).await, send(&simulator, &list).await, send(&simulator, &flow).await];
    assert!(simulator.settled().await);
    let titled = |title: &str| Tap { from: Some(USER.to_owned()), title: Some(title.to_owned()), ..Tap::default() };
    let named = [titled("Yes"), titled("d1"), titled("Open"), Tap { row: Some("Monday".to_owned()), title: None, ..titled("") }];
    for (tap, wamid) in named.iter().zip([&sent[0], &sent[1], &sent[2], &sent[1]]) {
        receiver.forget();
        simulator.tap(tap).expect("it can be tapped");
        assert!(simulator.settled().await);
        assert_eq!(receiver.messages().remove(0)["context"]["id"], wamid.as_str(), "{tap:?}");
    }
    let refused = simulator.tap(&titled("Sunday")).expect_err("no message has it").to_string();
    assert!(refused.contains("has no \"Sunday\"; it has \"Open\""), "{refused}");
}

#[tokio::test]
async fn a_stranger_writes_to_the_number_that_was_declared() {
    let number = Number { id: "1001".to_owned(), waba_id: "2001".to_owned() };
    let (simulator, _receiver) = subscribed(Config { numbers: vec![number], ..at_once() }).await;
    let sent = call(simulator.address(), "POST", "/v23.0/777/messages", Some(&text_to(USER))).await;
    assert_eq!(sent.status, 200);
    let to = |user: &str| simulator.reply(Reply::text(user, "Hello")).expect("it can be written").phone_number_id;
    assert_eq!(to("905320000009").as_deref(), Some("1001"));
    assert_eq!(to(USER).as_deref(), Some("777"), "an answer goes to who wrote");
}

#[tokio::test]
async fn a_templates_quick_reply_bears_the_payload_that_was_sent() {
    let mut templates = demo_templates();
    templates.push(TemplateSeed::new(
        "ask",
        "en_US",
        "UTILITY",
        vec![
            json!({"type": "BODY", "text": "Coming?"}),
            json!({"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}, {"type": "QUICK_REPLY", "text": "No"}]}),
        ],
    ));
    let (simulator, receiver) = subscribed(Config { seed_templates: templates, ..at_once() }).await;
    let ask = json!({"messaging_product": "whatsapp", "to": USER, "type": "template", "template": {"name": "ask", "language": {"code": "en_US"},
        "components": [{"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "NO-7"}]}]}});
    let wamid = send(&simulator, &ask).await;
    assert!(simulator.settled().await);
    receiver.forget();
    for (button, shown) in [("No", json!({"payload": "NO-7", "text": "No"})), ("Yes", json!({"payload": "Yes", "text": "Yes"}))] {
        receiver.forget();
        simulator.tap(&Tap { from: Some(USER.to_owned()), button: Some(button.to_owned()), ..Tap::default() }).expect("it can be tapped");
        assert!(simulator.settled().await);
        let message = receiver.messages().remove(0);
        assert_eq!((&message["type"], &message["button"]), (&json!("button"), &shown));
        assert_eq!(message["context"]["id"], wamid.as_str());
    }
}

#[tokio::test]
async fn a_user_without_a_number_shows_none() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let id = "US.13491208655302741918";
    simulator.define_user(User { user_id: Some(id.to_owned()), username: Some("ada".to_owned()), ..User::default() }).expect("a user");
    let message = json!({"messaging_product": "whatsapp", "recipient": id, "type": "text", "text": {"body": "Hi"}});
    send(&simulator, &message).await;
    simulator.reply(Reply::text("@ada", "Hello")).expect("the number that wrote to her");
    assert!(simulator.settled().await);
    let contact = json!({"profile": {"name": "ada", "username": "ada"}, "user_id": id});
    for value in receiver.values("messages") {
        assert_eq!(value["contacts"], json!([contact]));
    }
    for status in receiver.statuses() {
        assert_eq!(status["recipient_user_id"], id);
        assert!(status.get("recipient_id").is_none());
    }
    let message = receiver.messages().remove(0);
    assert_eq!(message["from_user_id"], id);
    assert!(message.get("from").is_none());
}

#[tokio::test]
async fn one_who_came_by_an_advertisement_is_free_once_answered() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let referral = json!({"source_url": "https://fb.me/x", "source_id": "1", "source_type": "ad", "ctwa_clid": "c"});
    let mut reply = Reply::text(USER, "Hi").to_number("1001");
    reply.referral = Some(referral.clone());
    simulator.reply(reply).expect("it can be written");
    send(&simulator, &text_to(USER)).await;
    assert!(simulator.settled().await);
    assert_eq!(receiver.messages()[0]["referral"], referral);
    let sent = receiver.statuses().into_iter().find(|status| status["status"] == "sent").expect("it was sent");
    let pricing = json!({"billable": false, "pricing_model": "PMP", "type": "free_entry_point", "category": "referral_conversion"});
    assert_eq!(sent["pricing"], pricing);
    assert_eq!(sent["conversation"]["origin"]["type"], "referral_conversion");
    assert!(sent["conversation"]["expiration_timestamp"].is_string());
}

#[tokio::test]
async fn a_user_who_wants_no_marketing_gets_none() {
    let (simulator, receiver) = subscribed(Config { seed_templates: demo_templates(), ..at_once() }).await;
    let stop = Preference { from: USER.to_owned(), phone_number_id: Some("1001".to_owned()), value: "stop".to_owned() };
    simulator.prefer(&stop).expect("a preference");
    let newsletter = json!({"messaging_product": "whatsapp", "to": USER, "type": "template", "template": {"name": "weekly_newsletter",
        "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ada"}]}]}});
    send(&simulator, &newsletter).await;
    assert!(simulator.settled().await);
    let preference = receiver.values("user_preferences").remove(0);
    let shown = &preference["user_preferences"][0];
    assert_eq!(
        (shown["value"].as_str(), shown["category"].as_str(), shown["wa_id"].as_str()),
        (Some("stop"), Some("marketing_messages"), Some(USER))
    );
    assert!(shown["timestamp"].is_i64());
    assert_eq!(receiver.statuses()[0]["errors"][0]["code"], 131_050);
    receiver.forget();
    simulator.prefer(&Preference { value: "resume".to_owned(), ..stop }).expect("a preference");
    send(&simulator, &newsletter).await;
    assert!(simulator.settled().await);
    assert!(receiver.statuses().iter().all(|status| status["status"] != "failed"));
}

#[tokio::test]
async fn a_template_changes_in_the_account_and_in_the_webhook() {
    let (simulator, receiver) = subscribed(Config { seed_templates: demo_templates(), ..at_once() }).await;
    let change = TemplateChange {
        name: "order_confirmation".to_owned(),
        status: Some("paused".to_owned()),
        quality: Some("RED".to_owned()),
        category: Some("MARKETING".to_owned()),
        ..TemplateChange::default()
    };
    simulator.template(&change).expect("the demo's template");
    assert!(simulator.settled().await);
    let update = receiver.values("message_template_status_update").remove(0);
    assert_eq!((update["event"].as_str(), update["message_template_name"].as_str()), (Some("PAUSED"), Some("order_confirmation")));
    assert!(update["message_template_id"].is_u64());
    assert_eq!(receiver.values("template_category_update")[0]["previous_category"], "UTILITY");
    assert_eq!(receiver.values("message_template_quality_update")[0]["new_quality_score"], "RED");
    assert!(receiver.posts()[0].json()["entry"][0]["time"].is_i64());
    let order = json!({"messaging_product": "whatsapp", "to": USER, "type": "template",
        "template": {"name": "order_confirmation", "language": {"code": "en_US"}}});
    let refused = call(simulator.address(), "POST", "/v23.0/1001/messages", Some(&order)).await;
    assert_eq!(refused.code(), 132_015, "it is paused");
    assert!(simulator.template(&TemplateChange { name: "none".to_owned(), ..change }).is_err());
}

#[tokio::test]
async fn any_change_goes_out_as_it_stands() {
    let (simulator, receiver) = subscribed(at_once()).await;
    for (field, value) in [
        ("account_update", json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "x", "expiration": 1}]})),
        ("phone_number_quality_update", json!({"display_phone_number": "15550101001", "event": "THROUGHPUT_UPGRADE"})),
        ("smb_message_echoes", json!({"message_echoes": [{"from": "15550101001", "to": USER, "id": "wamid.E", "type": "text"}]})),
        ("a_field_of_next_year", json!([1, {"a/b": "é"}])),
    ] {
        receiver.forget();
        let number = (field == "smb_message_echoes").then(|| "1001".to_owned());
        let event = RawEvent {
            field: field.to_owned(),
            value: value.clone(),
            phone_number_id: number,
            waba_id: Some("77".to_owned()),
            ..RawEvent::default()
        };
        assert_eq!(simulator.event(event).expect("told").told, 1);
        assert!(simulator.settled().await);
        let mut shown = receiver.values(field).remove(0);
        if field == "smb_message_echoes" {
            assert_eq!(shown["metadata"]["phone_number_id"], "1001");
            shown.as_object_mut().expect("an object").retain(|name, _| name == "message_echoes");
        }
        assert_eq!(shown, value);
        assert_eq!(receiver.posts()[0].json()["entry"][0]["id"], "77");
    }
}

#[tokio::test]
async fn every_field_that_is_listed_goes_out_by_its_name_alone() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let post = async |body: Value| call(simulator.address(), "POST", "/_sim/event", Some(&body)).await;
    let refused = post(json!({"field": "security"})).await.json();
    assert!(refused["error"].as_str().is_some_and(|why| why.starts_with("phone_number_id: ")), "{refused}");
    simulator.define_number(Number { id: "1001".to_owned(), waba_id: "77".to_owned() }).expect("a number");
    let fields = call(simulator.address(), "GET", "/_sim/fields", None).await.json()["fields"].as_array().expect("a list").clone();
    assert!(fields.len() >= 28, "{fields:#?}");
    for field in &fields {
        receiver.forget();
        let name = field["field"].as_str().expect("a name");
        let answer = post(json!({"field": name, "from": USER, "with": {"more": 7, "event": null}})).await;
        assert_eq!((answer.status, &answer.json()["told"]), (200, &json!(1)), "{name}");
        assert!(simulator.settled().await);
        let shown = receiver.values(name).remove(0);
        assert_eq!((shown["more"].as_u64(), shown.get("event")), (Some(7), None), "{shown}");
        let number = shown["metadata"]["phone_number_id"].as_str();
        assert_eq!(number.is_some(), field["of_a_number"] == true, "{shown}");
        assert_eq!(receiver.posts()[0].json()["entry"][0]["id"], "77", "{name}");
    }
    for (bad, named) in [
        (json!({"field": "a_field_of_next_year"}), "value"),
        (json!({"field": "flows", "value": {}, "with": {"a": 1}}), "with"),
        (json!({"field": "flows", "from": "nobody"}), "from"),
    ] {
        let refused = post(bad).await;
        assert_eq!(refused.status, 400);
        let why = refused.json()["error"].as_str().expect("a sentence").to_owned();
        assert!(why.starts_with(named), "{why}");
    }
}

#[tokio::test]
async fn the_routes_do_what_the_calls_do_and_name_what_does_not_fit() {
    let (simulator, receiver) = subscribed(at_once()).await;
    let post = async |path: &str, body: Value| call(simulator.address(), "POST", path, Some(&body)).await;
    let wamid = send(&simulator, &text_to(USER)).await;
    let good = [
        ("/_sim/reply", json!({"from": USER, "text": "Hi", "context": wamid}), "text"),
        ("/_sim/reply", json!({"from": USER, "type": "request_welcome"}), "request_welcome"),
    ];
    for (path, body, kind) in good {
        receiver.forget();
        let answer = post(path, body).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_eq!((answer.json()["told"].as_u64(), answer.json()["phone_number_id"].as_str()), (Some(1), Some("1001")));
        assert_eq!(post("/_sim/settle", json!({})).await.json(), json!({"settled": true}));
        assert_eq!(receiver.messages()[0]["type"], kind);
        assert_eq!(receiver.messages()[0]["id"], answer.json()["id"]);
    }
    let status = post("/_sim/status", json!({"message_id": wamid, "status": "failed", "code": 131_026, "times": 2})).await;
    assert_eq!(status.status, 200);
    for (path, body, named) in [
        ("/_sim/reply", json!({"text": "Hi"}), "from"),
        ("/_sim/reply", json!({"from": USER, "tekst": "Hi"}), "tekst"),
        ("/_sim/reply", json!({"from": USER, "text": {"bodi": 1}}), "text.body"),
        ("/_sim/reply", json!({"from": USER, "image": {"data": "%"}}), "image.data"),
        ("/_sim/reply", json!({"from": "nobody", "text": "Hi"}), "from"),
        ("/_sim/reply", json!([]), "object"),
        ("/_sim/tap", json!({"from": USER}), "from"),
        ("/_sim/tap", json!({"form": USER}), "form"),
        ("/_sim/status", json!({"status": 5}), "status"),
        ("/_sim/status", json!({"message_id": "wamid.no", "status": "read"}), "message_id"),
        ("/_sim/template", json!({"name": "no", "status": "PAUSED"}), "name"),
        ("/_sim/preference", json!({"from": USER, "value": "perhaps"}), "value"),
        ("/_sim/event", json!({"field": "x"}), "value"),
        ("/_sim/users", json!({"name": "x"}), "phone"),
        ("/_sim/numbers", json!({"id": "1", "waba": "2"}), "waba"),
        ("/_sim/plan", json!({"plan": "backwards"}), "backwards"),
        ("/_sim/plan", json!({"statuses": [{"status": "sent", "after": 1}]}), "after"),
        ("/_sim/webhooks", json!({"url": "http://x/"}), "app_secret"),
        ("/_sim/webhooks", json!({"url": "x", "app_secret": "s", "verify_token": "t"}), "url"),
        ("/_sim/clock", json!({"speed": 0}), "speed"),
        ("/_sim/clock/advance", json!({"seconds": -1}), "seconds"),
    ] {
        let answer = post(path, body).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains(named)), "{path}: {}", answer.json());
    }
    assert_eq!(
        post("/_sim/plan", json!([{"plan": "none"}, {"match": {"type": "text"}, "plan": "twice"}])).await.json(),
        json!({"ids": [1, 2]})
    );
    let plans = call(simulator.address(), "GET", "/_sim/plans", None).await.json();
    assert!(plans.as_array().is_some_and(|plans| plans.iter().any(|plan| plan["recipient"] == "1555010505")));
    let shown = call(simulator.address(), "GET", "/_sim/webhooks", None).await.json();
    assert_eq!(shown["webhooks"][0]["handshake"]["state"], "verified");
    assert_eq!(shown["webhooks"][0]["attempts"][0]["status"], 200);
    assert!(!shown.to_string().contains(SECRET), "secrets stay inside");
}

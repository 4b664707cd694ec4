//! Bodies: one item each, in Meta's own bytes, with exactly two places changed.

use proptest::prelude::*;

use super::*;
use crate::webhook::read;
use crate::webhook::tests_payload::{leak, message, one, payload, value};

fn body(item: &Item<'_>, changes: &BodyChanges<'_>) -> String {
    String::from_utf8(item.body(changes)).expect("UTF-8")
}

fn callback(data: CallbackData<'_>) -> BodyChanges<'_> {
    BodyChanges { callback_data: data, ..BodyChanges::default() }
}

fn media(urls: MediaUrls<'_>) -> BodyChanges<'_> {
    BodyChanges { media: urls, ..BodyChanges::default() }
}

#[test]
fn a_body_holds_one_item_in_metas_own_bytes() {
    let raw = leak(
        r#"{ "object" : "whatsapp_business_account", "entry":[{"id":"1","time":1.50e3,"changes":[{"value":{"messaging_product":"whatsapp",
        "metadata" : {"display_phone_number":"15550783881","phone_number_id":"9"},
        "contacts":[{"wa_id":"1","profile":{"name":"\u00c4"}},{"wa_id":"2"},{"user_id":"US.3"}],
        "messages":[{"from":"2","id":"a","type":"text","text":{"body":"\/ 1.0e5"}},{"from":"1","id":"b"},{"from_user_id":"US.3","id":"c"},{"from":"4","id":"d"}],
        "new_member":[1.00, {"x":"y"}]},"field":"messages"}]}]}"#
            .to_owned(),
    );
    let items = read(raw).expect("readable");
    let bodies: Vec<String> = items.iter().map(|item| body(item, &BodyChanges::default())).collect();
    let head = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","time":1.50e3,"changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata" : {"display_phone_number":"15550783881","phone_number_id":"9"},"new_member":[1.00, {"x":"y"}],"#;
    let rest = [
        r#""contacts":[{"wa_id":"2"}],"messages":[{"from":"2","id":"a","type":"text","text":{"body":"\/ 1.0e5"}}]"#,
        r#""contacts":[{"wa_id":"1","profile":{"name":"\u00c4"}}],"messages":[{"from":"1","id":"b"}]"#,
        r#""contacts":[{"user_id":"US.3"}],"messages":[{"from_user_id":"US.3","id":"c"}]"#,
        r#""messages":[{"from":"4","id":"d"}]"#,
    ];
    assert_eq!(bodies, rest.map(|rest| format!("{head}{rest}}}}}]}}]}}")));
}

#[test]
fn callback_data_is_restored_or_removed_wherever_it_stands() {
    let status = |members: &str| one(payload("messages", &value(&format!(r#""statuses":[{members}]"#))));
    for (members, restored, removed) in [
        (r#"{"id":"w","biz_opaque_callback_data":"tp1.T"}"#, r#"{"id":"w","biz_opaque_callback_data":"mine"}"#, r#"{"id":"w"}"#),
        (r#"{"biz_opaque_callback_data" : "tp1.T" , "id":"w"}"#, r#"{"biz_opaque_callback_data" : "mine" , "id":"w"}"#, r#"{"id":"w"}"#),
        (
            r#"{"id":"w", "biz_opaque_callback_data":"tp1.T", "status":"sent"}"#,
            r#"{"id":"w", "biz_opaque_callback_data":"mine", "status":"sent"}"#,
            r#"{"id":"w", "status":"sent"}"#,
        ),
        (r#"{ "biz_opaque_callback_data":"tp1.T" }"#, r#"{ "biz_opaque_callback_data":"mine" }"#, "{  }"),
        (
            r#"{"biz_opaque_callback_data":"tp1.T","biz_opaque_callback_data":"tp1.U","id":"w"}"#,
            r#"{"biz_opaque_callback_data":"mine","biz_opaque_callback_data":"mine","id":"w"}"#,
            r#"{"id":"w"}"#,
        ),
        (r#"{"id":"w"}"#, r#"{"id":"w"}"#, r#"{"id":"w"}"#),
    ] {
        let item = status(members);
        let check = |changes: &BodyChanges<'_>, expected: &str| {
            let text = body(&item, changes);
            assert!(text.contains(&format!(r#""statuses":[{expected}]"#)), "{text}");
            serde_json::from_str::<serde_json::Value>(&text).expect("still JSON");
        };
        check(&callback(CallbackData::AsItCame), members);
        check(&callback(CallbackData::Restored("mine")), restored);
        check(&callback(CallbackData::Removed), removed);
    }
}

#[test]
fn restored_data_is_escaped_as_meta_escapes() {
    let item = one(payload("messages", &value(r#""statuses":[{"id":"w","biz_opaque_callback_data":"tp1.T"}]"#)));
    let mine = "a \"b\" \\ \n ü 😀";
    let text = body(&item, &callback(CallbackData::Restored(mine)));
    assert!(text.is_ascii() && text.contains(r"\u00fc \ud83d\ude00"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["entry"][0]["changes"][0]["value"]["statuses"][0]["biz_opaque_callback_data"], mine);
}

#[test]
fn media_urls_become_ours_and_never_show_metas() {
    let ours = media(MediaUrls::Under("https://gw.example/v1/wa/media/"));
    for kind in ["image", "video", "audio", "document", "sticker"] {
        let item = message(kind, &format!(r#","{kind}":{{"mime_type":"m/m","id":"17","url":"https:\/\/lookaside.fbsbx.com\/x?hash=1"}}"#));
        let text = body(&item, &ours);
        assert!(text.contains(r#""id":"17","url":"https://gw.example/v1/wa/media/17"}"#), "{text}");
        let text = body(&item, &media(MediaUrls::Removed));
        assert!(text.contains(r#"{"mime_type":"m/m","id":"17"}"#), "{text}");
        assert!(body(&item, &BodyChanges::default()).contains("lookaside"));
    }
    // A medium that Meta adds tomorrow, one that was edited in, one without an id.
    for (kind, inner, expected) in [
        ("video_note", r#","video_note":{"id":"1/..","sha256":"x","url":"https://lookaside/1"}"#, "https://gw.example/v1/wa/media/1%2F.."),
        (
            "edit",
            r#","edit":{"original_message_id":"w","message":{"type":"image","image":{"id":"2","url":"https://lookaside/2"}}}"#,
            "https://gw.example/v1/wa/media/2",
        ),
        ("image", r#","image":{"url":"https://lookaside/3","caption":"c"}"#, r#""image":{"caption":"c"}"#),
    ] {
        let text = body(&message(kind, inner), &ours);
        assert!(text.contains(expected) && !text.contains("lookaside"), "{text}");
    }
    // What is no medium keeps its URL: a place, a card, an advertisement.
    let item = message("location", r#","location":{"url":"https://maps/1"},"referral":{"source_url":"https://fb.me/1"}"#);
    let text = body(&item, &media(MediaUrls::Removed));
    assert!(text.contains("https://maps/1") && text.contains("https://fb.me/1"), "{text}");
}

#[test]
fn media_of_a_history_lose_metas_urls_too() {
    let history = value(
        r#""history":[{"threads":[{"id":"1","messages":[{"id":"a","type":"image","image":{"id":"5","url":"https://lookaside/5"}},{"id":"b","type":"audio","audio":{"url":"https://lookaside/6","id":"6"}}]}]}]"#,
    );
    let text = body(&one(payload("history", &history)), &media(MediaUrls::Under("https://gw/")));
    assert!(text.contains(r#"{"id":"5","url":"https://gw/5"}"#) && text.contains(r#"{"url":"https://gw/6","id":"6"}"#), "{text}");
}

/// A small value of any shape.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i32>().prop_map(|value| value.to_string()),
        "[a-z \\\\\"\u{e4}]{0,6}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(" , "))),
            proptest::collection::vec(("(url|id|type|from|x)", inner), 0..3)
                .prop_map(|members| format!("{{{}}}", members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect::<Vec<_>>().join(","))),
        ]
    })
}

/// One element of an array of items.
fn any_element() -> impl Strategy<Value = String> {
    let name =
        "(type|from|from_user_id|id|timestamp|image|edit|text|status|recipient_id|biz_opaque_callback_data|pricing|url|context|errors)";
    let typed = (0..4usize, 0..5u8, any_json()).prop_map(|(kind, from, inner)| {
        let kind = ["text", "image", "interactive", "edit"][kind];
        format!(r#"{{"from":"1650555123{from}","id":"wamid.{from}","timestamp":"1","type":"{kind}","{kind}":{inner}}}"#)
    });
    let status = (0..6usize, 0..5u8).prop_map(|(status, to)| {
        let status = ["sent", "delivered", "read", "played", "failed", "x"][status];
        format!(r#"{{"biz_opaque_callback_data":"t","id":"w{to}","status":"{status}","recipient_id":"1650555123{to}"}}"#)
    });
    let strange = proptest::collection::vec((name, any_json()), 0..5)
        .prop_map(|members| format!("{{{}}}", members.iter().map(|(n, v)| format!("\"{n}\":{v}")).collect::<Vec<_>>().join(", ")));
    prop_oneof![typed, status, strange, any_json()]
}

fn any_change() -> impl Strategy<Value = String> {
    let lists = "(messages|statuses|message_echoes|history|user_preferences|state_sync|calls|errors|contacts|other)";
    let field = "(messages|history|smb_message_echoes|user_preferences|calls|smb_app_state_sync|standby|account_update|new_field)";
    let contacts = proptest::collection::vec(0..5u8, 0..3).prop_map(|users| {
        users.iter().map(|user| format!(r#"{{"wa_id":"1650555123{user}","user_id":"US.{user}"}}"#)).collect::<Vec<_>>().join(",")
    });
    let list = (lists, proptest::collection::vec(any_element(), 0..4)).prop_map(|(name, list)| format!("\"{name}\":[{}]", list.join(",")));
    (field, contacts, proptest::collection::vec(list, 0..4)).prop_map(|(field, contacts, lists)| {
        let lists = lists.iter().map(|list| format!(",{list}")).collect::<String>();
        format!(r#"{{"value":{{"metadata":{{"phone_number_id":"9"}},"contacts":[{contacts}]{lists}}},"field":"{field}"}}"#)
    })
}

proptest! {
    #[test]
    fn a_body_read_again_is_the_same_one_item(changes in proptest::collection::vec(any_change(), 0..4)) {
        let raw = format!(r#"{{"entry":[{{"id":"1","changes":[{}]}},{{"id":"2","changes":[]}}]}}"#, changes.join(","));
        for item in read(raw.as_bytes()).expect("readable") {
            let bytes = item.body(&BodyChanges::default());
            let again = read(&bytes).expect("readable again");
            prop_assert_eq!(again.len(), 1, "{}", String::from_utf8_lossy(&bytes));
            let again = &again[0];
            prop_assert_eq!(&again.view, &item.view);
            prop_assert_eq!((again.kind, &again.user, &again.wamid, again.at), (item.kind, &item.user, &item.wamid, item.at));
            prop_assert_eq!((&again.waba_id, &again.field, &again.phone_number_id), (&item.waba_id, &item.field, &item.phone_number_id));
            prop_assert_eq!(again.raw(), item.raw());
            prop_assert_eq!(again.identity(), item.identity());
            prop_assert_eq!(again.body(&BodyChanges::default()), bytes, "a body of a body is that body");
        }
    }

    #[test]
    fn what_is_changed_leaves_json_that_is_otherwise_equal(changes in proptest::collection::vec(any_change(), 0..4), mine in ".{0,8}") {
        let raw = format!(r#"{{"entry":[{{"id":"1","changes":[{}]}}]}}"#, changes.join(","));
        for item in read(raw.as_bytes()).expect("readable") {
            for changes in [
                BodyChanges { callback_data: CallbackData::Restored(&mine), media: MediaUrls::Under("https://gw/") },
                BodyChanges { callback_data: CallbackData::Removed, media: MediaUrls::Removed },
            ] {
                let bytes = item.body(&changes);
                let json: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                let mut plain: serde_json::Value = serde_json::from_slice(&item.body(&BodyChanges::default())).expect("JSON");
                let mut changed = json;
                strip(&mut plain);
                strip(&mut changed);
                prop_assert_eq!(plain, changed);
            }
        }
    }

    #[test]
    fn every_item_of_a_batch_comes_once(counts in proptest::collection::vec(0..6usize, 1..5)) {
        let mut number = 0;
        let changes: Vec<String> = counts.iter().map(|count| {
            let messages: Vec<String> = (0..*count).map(|_| { number += 1; format!(r#"{{"id":"w{number}","from":"1"}}"#) }).collect();
            format!(r#"{{"field":"messages","value":{{"messages":[{}],"statuses":[{{"id":"s","status":"sent"}}]}}}}"#, messages.join(","))
        }).collect();
        let raw = format!(r#"{{"entry":[{{"id":"1","changes":[{}]}}]}}"#, changes.join(","));
        let items = read(raw.as_bytes()).expect("readable");
        prop_assert_eq!(items.len(), number + counts.len());
        for wanted in 1..=number {
            let id = format!("w{wanted}");
            prop_assert_eq!(items.iter().filter(|item| item.wamid.as_deref() == Some(&*id)).count(), 1);
        }
    }
}

/// Takes away the two members that a delivery may change, wherever they stand.
fn strip(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(members) => {
            members.remove("url");
            members.remove("biz_opaque_callback_data");
            members.values_mut().for_each(strip);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}
